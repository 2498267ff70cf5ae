//! Real captures, where there are any: `$WERO_CORPUS` or `../shared/corpus`.

use super::*;

/// Captures whose frames tshark counts differently: it numbers pcapng custom
/// blocks, which hold no packet, and follows a damaged record length that is
/// refused here.
const COUNTED_OTHERWISE: [&str; 5] = [
    "gopacket--le_test017.pcapng",
    "gopacket--le_test018.pcapng",
    "gopacket--le_test102.pcapng",
    "gopacket--le_test202.pcapng",
    "sv--bug-6875-01_fuzz.pcap",
];

/// Frame counts of real captures, as tshark counts them.
#[test]
fn corpus_frame_counts_agree() {
    let corpus = std::env::var("WERO_CORPUS").unwrap_or_else(|_| "../shared/corpus".to_owned());
    let Ok(captures) = std::fs::read_dir(Path::new(&corpus).join("captures")) else {
        println!("skipped: no corpus at {corpus}");
        return;
    };
    let mut compared = 0;
    let mut wrong = Vec::new();
    for capture in captures.flatten() {
        let name = capture.file_name().to_string_lossy().into_owned();
        if COUNTED_OTHERWISE.contains(&name.as_str()) {
            continue;
        }
        let Some((frames, warned)) = oracle_frames(&corpus, &name) else {
            continue;
        };
        let data = std::fs::read(capture.path()).expect("readable");
        let (packets, end) = read_all(&data);
        let frame = match &end {
            Ok(reader) => packets.len() as u64 + reader.skipped(),
            Err(CaptureError::Damaged { frame, .. }) => *frame,
            Err(_) => 0,
        };
        if frame != frames || end.is_err() != warned {
            wrong.push(format!(
                "{name}: {frame} frames, not {frames}; {:?}",
                end.err()
            ));
        }
        compared += 1;
    }
    assert!(compared > 0, "the corpus has no answers");
    assert!(
        wrong.is_empty(),
        "{} of {compared} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The frame count of the `file` row, and whether tshark complained.
fn oracle_frames(corpus: &str, name: &str) -> Option<(u64, bool)> {
    let rows = std::fs::read_to_string(format!("{corpus}/oracle/{name}.tsv")).ok()?;
    let row = rows.lines().find(|row| row.starts_with("file\t"))?;
    let columns: Vec<&str> = row.split('\t').collect();
    Some((columns.get(5)?.parse().ok()?, columns.last() != Some(&"-")))
}

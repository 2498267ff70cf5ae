//! The sample dissector of SMTP on real conversations, whole and cut into
//! segments of one byte: the same commands, responses and mail either way.

#[path = "support/captures.rs"]
mod captures;

use std::path::Path;
use std::process::Command;

use etherparse::{NetHeaders, PacketBuilder, PacketHeaders, TransportHeader};
use wero::capture::file::{CaptureReader, CaptureWriter, Resolution};
use wero::packet::LinkType;

/// Conversations that the sample reads to their end, with what the oracle
/// says the client asked.
const CONVERSATIONS: [&str; 1] = ["haka--doc_user_workshop_smtp.pcap"];

/// What the sample says of a capture.
fn said(capture: &Path) -> Vec<String> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/smtp-dissector");
    let run = Command::new(env!("CARGO_BIN_EXE_wero"))
        .current_dir(&sample)
        .env("TZ", "UTC")
        .args(["replay", "rule.lua"])
        .arg(capture)
        .output()
        .expect("wero runs");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let text = String::from_utf8_lossy(&run.stdout);
    text.lines().map(str::to_owned).collect()
}

/// The frames of a segment, one for each byte of its payload.
fn one_byte_segments(frame: &[u8]) -> Vec<Vec<u8>> {
    let whole = || vec![frame.to_vec()];
    let Ok(packet) = PacketHeaders::from_ethernet_slice(frame) else {
        return whole();
    };
    let (Some(link), Some(NetHeaders::Ipv4(ip, _)), Some(TransportHeader::Tcp(tcp))) =
        (packet.link, packet.net, packet.transport)
    else {
        return whole();
    };
    let Some(link) = link.ethernet2() else {
        return whole();
    };
    let payload = packet.payload.slice();
    if payload.len() < 2 {
        return whole();
    }
    let mut frames = Vec::new();
    for (at, byte) in payload.iter().enumerate() {
        let mut tcp = tcp.clone();
        tcp.sequence_number = tcp.sequence_number.wrapping_add(at as u32);
        let last = at + 1 == payload.len();
        tcp.fin &= last;
        tcp.psh &= last;
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2(link.source, link.destination)
            .ip(etherparse::IpHeaders::Ipv4(ip.clone(), Default::default()))
            .tcp_header(tcp)
            .write(&mut bytes, &[*byte])
            .expect("room for a frame");
        frames.push(bytes);
    }
    frames
}

fn cut(from: &Path, to: &Path) {
    let mut reader = CaptureReader::open(from).expect("a capture of the corpus");
    let mut writer =
        CaptureWriter::create(to, LinkType::ETHERNET, Resolution::Micro).expect("a new capture");
    while let Some(record) = reader.next().expect("an undamaged capture") {
        for frame in one_byte_segments(record.bytes) {
            writer
                .write(record.timestamp, record.link, &frame, frame.len() as u32)
                .expect("room for a frame");
        }
    }
    writer.finish().expect("room for the capture");
}

#[test]
fn real_mail_is_read_alike_whole_and_by_the_byte() {
    let Some(corpus) = captures::corpus() else {
        println!("skipped: no corpus");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in CONVERSATIONS {
        let capture = corpus.join("captures").join(name);
        let lines = said(&capture);
        let oracle = std::fs::read_to_string(corpus.join(format!("oracle/{name}.tsv")))
            .expect("answers for the capture");
        let spoken: Vec<String> = lines.iter().filter_map(|line| message(line)).collect();
        assert_eq!(spoken, answers(&oracle), "{name}: {lines:#?}");
        assert!(lines.iter().any(|line| line.contains("mail of ")), "{name}");

        let pieces = folder.path().join(name);
        cut(&capture, &pieces);
        assert_eq!(said(&pieces), lines, "{name}");
    }
}

/// A command or a line of a response, from what the sample logs.
fn message(line: &str) -> Option<String> {
    let (_, said) = line.split_once("info  external: ")?;
    let (who, text) = said.split_once(": ")?;
    let is_message = who.starts_with("client ") || who.starts_with("server ");
    is_message.then(|| text.trim_end().to_owned())
}

/// The same from the oracle's rows.
fn answers(oracle: &str) -> Vec<String> {
    let rows = oracle.lines().filter(|line| line.starts_with("smtp\t"));
    rows.flat_map(|row| {
        let columns: Vec<&str> = row.split('\t').collect();
        let (word, rest) = (columns[4], columns[5]);
        rest.split('|')
            .map(|part| match part {
                "-" => word.to_owned(),
                part => format!("{word} {part}"),
            })
            .collect::<Vec<_>>()
    })
    .collect()
}

//! Runs a rule file as Haka's suite does, and prepares its text and packets
//! for comparison.
//!
//! The text goes through the filter of that suite: what is left are prints,
//! messages of rules and protocols, and alerts without number and time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::packet::Packet;

/// One finished run.
pub struct Run {
    /// Filtered standard output.
    pub lines: Vec<String>,
    pub sent: Vec<Packet>,
    pub captured: Vec<Packet>,
    output: PathBuf,
    input: PathBuf,
    _scratch: tempfile::TempDir,
}

pub fn run(rule: &str, capture: &str) -> Run {
    run_with(rule, capture, &[])
}

/// `options` come after `--no-pass-through`, so that `--pass-through` wins.
pub fn run_with(rule: &str, capture: &str, options: &[&str]) -> Run {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/haka");
    let scratch = tempfile::tempdir().expect("there is room for temporary files");
    let output = scratch.path().join("out.pcap");
    let input = folder.join(format!("captures/{capture}.pcap"));
    let done = Command::new(env!("CARGO_BIN_EXE_hakapcap"))
        .envs([("TZ", "Europe/Paris"), ("LANG", "C"), ("LC_ALL", "C")])
        .args(["-d", "--no-pass-through"])
        .args(options)
        .arg("-o")
        .arg(&output)
        .arg(folder.join(format!("rules/{rule}.lua")))
        .arg(&input)
        .output()
        .expect("hakapcap runs");
    let complaints = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{rule}: {}\n{complaints}",
        done.status
    );
    Run {
        lines: filter(&String::from_utf8_lossy(&done.stdout)),
        sent: read_pcap(&output),
        captured: read_pcap(&input),
        output,
        input,
        _scratch: scratch,
    }
}

impl Run {
    pub fn count(&self, line: &str) -> usize {
        self.lines.iter().filter(|one| *one == line).count()
    }

    pub fn count_with(&self, part: &str) -> usize {
        self.lines.iter().filter(|one| one.contains(part)).count()
    }

    /// Asserts the whole filtered text, given as lines.
    #[track_caller]
    pub fn says(&self, expected: &[&str]) {
        assert_eq!(self.lines, expected);
    }

    /// Packets in and out, as the tables of the suite give them.
    #[track_caller]
    pub fn passes(&self, captured: usize, sent: usize) {
        assert_eq!((self.captured.len(), self.sent.len()), (captured, sent));
    }

    /// Every packet left as it came, byte for byte: nothing is left for
    /// tshark to compare, as Haka's suite does.
    #[track_caller]
    pub fn untouched(&self) {
        assert_eq!(self.sent, self.captured);
    }

    /// Where there is a tshark: it says of the output nothing bad that it
    /// does not say of the input.
    #[track_caller]
    pub fn tshark_finds_no_fault(&self) {
        if let (Some(before), Some(after)) = (faults(&self.input), faults(&self.output)) {
            assert_eq!(after, before);
        }
    }

    /// The lines about connections, without level and section.
    pub fn connections(&self) -> Vec<&str> {
        self.lines
            .iter()
            .filter_map(|line| line.strip_prefix("debug conn: "))
            .collect()
    }

    /// What rules logged.
    pub fn logged(&self) -> Vec<&str> {
        self.lines
            .iter()
            .filter_map(|line| line.strip_prefix("info external: "))
            .collect()
    }
}

/// The lines that count, in the form in which they are compared.
fn filter(text: &str) -> Vec<String> {
    let mut kept = Vec::new();
    let (mut shown, mut marker, mut hidden, mut alert, mut closing) =
        (false, false, false, false, false);
    for line in text.lines() {
        let mut line = squeezed(line).unwrap_or_else(|| line.to_owned());
        if !line.starts_with([' ', '\t']) {
            (hidden, alert) = (false, false);
        }
        if is_noise(&line) {
            continue;
        }
        if line.contains("warn core:") {
            kept.push(line.clone());
        }
        if line.contains("info core: starting single threaded processing") {
            marker = true;
            continue;
        }
        if std::mem::take(&mut marker) {
            // The line after the marker is empty.
            shown = true;
            continue;
        }
        if line.contains("info core: unload module") {
            shown = false;
        }
        if line.starts_with("debug grammar: in rule") || line.starts_with("stack traceback:") {
            hidden = true;
        }
        for head in ["alert: update id = ", "alert: id = "] {
            if line.starts_with(head) {
                (line, alert) = (format!("{head}= <>"), true);
            }
        }
        if alert && line.starts_with("\ttime = ") {
            continue;
        }
        closing |= line == "debug lua: closing state";
        if let (true, Some(rest)) = (closing, line.strip_prefix("debug conn: ")) {
            let (_, rest) = rest.split_once(' ').unwrap_or_default();
            line = format!("debug conn: <cleanup> {rest}");
        }
        if shown && !hidden {
            kept.push(line);
        }
    }
    kept
}

/// A log line with single blanks: word, text ending in a colon, text.
fn squeezed(line: &str) -> Option<String> {
    let (level, rest) = line.split_once([' ', '\t'])?;
    let is_word = !level.is_empty()
        && level
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let (section, rest) = rest.trim_start().split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    (is_word && section.ends_with(':') && !rest.is_empty())
        .then(|| format!("{level} {section} {rest}"))
}

fn is_noise(line: &str) -> bool {
    const HEADS: [&str; 7] = [
        "debug packet:",
        "debug pcre:",
        "debug states:",
        "debug time: ",
        "debug event: signal",
        "info capture: progress",
        "debug core: memory report",
    ];
    let of_chaining = line.ends_with("next dissector")
        && (line.starts_with("debug core: rejected policy")
            || line.starts_with("debug core: applying "));
    of_chaining || HEADS.iter().any(|head| line.starts_with(head))
}

/// The frames of a classic capture file with Ethernet frames.
fn read_pcap(path: &Path) -> Vec<Packet> {
    let file = fs::read(path).expect("the capture is there");
    let mut frames = Vec::new();
    let mut rest = file.get(24..).expect("a capture has a header");
    while let Some((header, body)) = rest.split_first_chunk::<16>() {
        let length = u32::from_le_bytes(*header[8..].first_chunk().expect("four bytes are left"));
        let (frame, after) = body.split_at(length as usize);
        frames.push(Packet(frame.to_vec()));
        rest = after;
    }
    frames
}

/// What tshark finds wrong in a capture, line by line; `None` where there is
/// no tshark.
fn faults(path: &Path) -> Option<Vec<String>> {
    let printed = Command::new("tshark")
        .args([
            "-o",
            "ip.check_checksum:TRUE",
            "-o",
            "udp.check_checksum:TRUE",
        ])
        .args(["-o", "tcp.check_checksum:TRUE", "-V", "-r"])
        .arg(path)
        .output()
        .ok()?;
    const BAD: [&str; 4] = [
        "Checksum Status: Bad",
        "Malformed",
        "not captured",
        "overlap",
    ];
    let text = String::from_utf8_lossy(&printed.stdout);
    let lines = text
        .lines()
        .filter(|line| BAD.iter().any(|part| line.contains(part)));
    printed
        .status
        .success()
        .then(|| lines.map(str::to_owned).collect())
}

#[test]
fn the_filter_keeps_what_haka_compares() {
    let text = "info  core: load module 'x'\nwarn  core:      no registered rule\n\n\
                info  core:      starting single threaded processing\n\n\
                debug packet:    received packet id=1\ninfo  external:  hello   there\n\
                error lua:       tcp: boom\nstack traceback:\n\t[C]: in ?\nplain  text\n\
                alert: id = 7\n\ttime = Mon\n\tseverity = low\n\
                debug core:      applying policy tcp for ipv4 next dissector\n\
                debug core:      applying policy a for b\n\
                debug conn:      closing connection 1 -> 2\ndebug lua:       closing state\n\
                debug conn:      release connection 1 -> 2\ninfo  core:      unload module 'x'\n";
    assert_eq!(
        filter(text),
        [
            "warn core: no registered rule",
            "info external: hello   there",
            "error lua: tcp: boom",
            "plain  text",
            "alert: id = = <>",
            "\tseverity = low",
            "debug core: applying policy a for b",
            "debug conn: closing connection 1 -> 2",
            "debug lua: closing state",
            "debug conn: <cleanup> connection 1 -> 2",
        ]
    );
}

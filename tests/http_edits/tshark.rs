//! What tshark reads in a capture: faults, and the messages of HTTP.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::case::Direction;

/// The messages of one direction of a connection, field by field in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Uris, or codes and reasons.
    pub starts: Vec<String>,
    pub headers: Vec<String>,
    pub bodies: Vec<String>,
}

#[derive(Default)]
pub struct Seen {
    pub faults: Vec<String>,
    /// By the client's port.
    pub messages: BTreeMap<(u16, Direction), Read>,
}

/// Fields that only a faulty packet has. What tshark says besides is no fault:
/// a segment of which nothing is left is acknowledged like the one before it.
const FAULTS: [&str; 9] = [
    "_ws.malformed",
    "tcp.analysis.lost_segment",
    "tcp.analysis.ack_lost_segment",
    "tcp.analysis.out_of_order",
    "tcp.analysis.retransmission",
    "tcp.analysis.window_full",
    "tcp.analysis.reused_ports",
    "tcp.segment.overlap",
    "tcp.segment.error",
];

/// Fields that say whether a checksum is right; 0 is bad.
const CHECKSUMS: [&str; 2] = ["ip.checksum.status", "tcp.checksum.status"];

const FIELDS: [&str; 10] = [
    "frame.number",
    "_ws.col.Info",
    "tcp.srcport",
    "tcp.dstport",
    "http.request.uri",
    "http.response.code",
    "http.response.phrase",
    "http.request.line",
    "http.response.line",
    "http.file_data",
];

/// Between values of a field: in no message.
const BETWEEN: &str = "|";

pub fn is_there() -> bool {
    Command::new("tshark").arg("--version").output().is_ok()
}

pub fn read(capture: &Path) -> Seen {
    let mut seen = Seen::default();
    for line in run(capture) {
        let cells: Vec<&str> = line.split('\t').collect();
        let (fields, signs) = cells.split_at(FIELDS.len());
        let (checksums, faults) = signs.split_at(CHECKSUMS.len());
        let bad = checksums.iter().any(|status| ["0", "Bad"].contains(status));
        if bad || faults.iter().any(|fault| !fault.is_empty()) {
            seen.faults.push(line.clone());
        }
        seen.message(fields);
    }
    seen
}

impl Seen {
    fn message(&mut self, fields: &[&str]) {
        let [
            _,
            _,
            from,
            to,
            uri,
            code,
            phrase,
            requests,
            responses,
            bodies,
        ] = fields[..]
        else {
            panic!("{fields:?}: not the fields that were asked for");
        };
        let (port, direction) = match (from, to) {
            ("80", port) => (port, Direction::Down),
            (port, _) => (port, Direction::Up),
        };
        let port = port.parse().expect("ports are numbers");
        let read = self.messages.entry((port, direction)).or_default();
        read.starts.extend(values(uri));
        for (code, phrase) in values(code).zip(values(phrase)) {
            read.starts.extend([code, phrase]);
        }
        for line in values(requests).chain(values(responses)) {
            // As tshark escapes the end of the line.
            read.headers
                .push(line.trim_end_matches("\\r\\n").to_owned());
        }
        read.bodies.extend(values(bodies).map(|body| text(&body)));
    }
}

fn values(cell: &str) -> impl Iterator<Item = String> {
    let cells = cell.split(BETWEEN).filter(|value| !value.is_empty());
    cells.map(str::to_owned)
}

/// Lines with the fields of each packet that has a message or a fault.
fn run(capture: &Path) -> Vec<String> {
    let mut command = Command::new("tshark");
    let bad = CHECKSUMS.map(|field| format!("{field} == 0"));
    let chosen = [&["http".to_owned()][..], &FAULTS.map(str::to_owned), &bad].concat();
    command
        .args([
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "ip.check_checksum:TRUE",
        ])
        .args(["-Y", &chosen.join(" || ")])
        .args(["-T", "fields", "-E", &format!("aggregator={BETWEEN}")]);
    for field in FIELDS.iter().chain(&CHECKSUMS).chain(&FAULTS) {
        command.args(["-e", field]);
    }
    let printed = command
        .arg("-r")
        .arg(capture)
        .output()
        .expect("tshark runs");
    let complaints = String::from_utf8_lossy(&printed.stderr);
    assert!(printed.status.success(), "{complaints}");
    let text = String::from_utf8_lossy(&printed.stdout);
    text.lines().map(str::to_owned).collect()
}

/// Later versions of tshark print a body in hexadecimal digits, which the
/// bodies here never consist of.
fn text(body: &str) -> String {
    let digits = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = body.as_bytes().chunks(2).map(digits).collect();
    match bytes {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => body.to_owned(),
    }
}

//! HTTP that rules edit, as tshark reads it afterwards.
//!
//! The grid: requests and responses, over IPv4 and IPv6, with a length, in
//! chunks and until the connection closes, pipelined and not; rules put
//! nothing, less, as much, more and much more in the place of a token that
//! lies in the first, a middle or the last segment, over the seams between
//! them, or over whole segments. Heads change beside that. Each combination is
//! a connection; all of one family go through `wero replay` in one capture, and
//! tshark reads what left: no malformed packet, no wrong checksum, no fault in
//! the numbers of TCP, and exactly the messages that the rules meant.

#[allow(dead_code)] // Shared with the generator of the captures.
#[path = "captures/mod.rs"]
mod captures;
mod http_edits {
    pub mod case;
    pub mod message;
    pub mod tshark;
}

use std::fs;
use std::path::Path;
use std::process::Command;

use captures::pcap::Recording;
use http_edits::case::{Case, Family};
use http_edits::tshark;

/// Listeners of bodies: one that waits for what it looks for, and one that is
/// shown piece after piece.
const STREAMED: &str = "streamed.lua";
const PIECES: &str = "pieces.lua";

#[test]
fn streamed_listeners_edit_over_ipv4() {
    run(STREAMED, Family::V4);
}

#[test]
fn streamed_listeners_edit_over_ipv6() {
    run(STREAMED, Family::V6);
}

#[test]
fn listeners_of_pieces_edit_over_ipv4() {
    run(PIECES, Family::V4);
}

#[test]
fn listeners_of_pieces_edit_over_ipv6() {
    run(PIECES, Family::V6);
}

fn run(rules: &str, family: Family) {
    if !tshark::is_there() {
        println!("skipped: no tshark");
        return;
    }
    let cases = Case::all(family);
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let (input, output) = (
        folder.path().join("in.pcap"),
        folder.path().join("out.pcap"),
    );
    let mut recording = Recording::default();
    for case in &cases {
        recording.merge(case.start(), case.conversation().into_recording());
    }
    fs::write(&input, recording.to_pcap()).expect("a writable folder");
    let rules = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/http_edits")
        .join(rules);
    let replayed = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["replay", "-o"])
        .args([&output, &rules, &input])
        .output()
        .expect("wero runs");
    let said = String::from_utf8_lossy(&replayed.stderr);
    assert!(replayed.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&replayed.stdout), "", "no alerts");

    let seen = tshark::read(&output);
    assert_eq!(seen.faults, Vec::<String>::new());
    let mut wrong = Vec::new();
    for case in &cases {
        for (direction, expected) in case.expected() {
            let read = seen.messages.get(&(case.port, direction));
            if read != Some(&expected) {
                wrong.push(format!(
                    "{case:?} {direction:?}:\n{read:#?}\ninstead of\n{expected:#?}"
                ));
            }
        }
    }
    let shown = wrong.iter().take(3).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        wrong.is_empty(),
        "{} of {} connections: {shown}",
        wrong.len(),
        cases.len()
    );
    println!("{} connections", cases.len());
}

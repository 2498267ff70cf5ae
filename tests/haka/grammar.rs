//! Rows that need grammars.

use super::harness::run;

#[test]
fn token_grammar() {
    let run = run("token-grammar", "words");
    assert_eq!(
        run.logged(),
        ["hello word", "two word", "of course", "it works"]
    );
    run.untouched();
}

#[test]
fn token_grammar_coroutine() {
    let run = run("token-grammar-coroutine", "headers");
    assert_eq!(
        run.logged(),
        [
            "hello_world= hello world",
            "header1: lol",
            "header2: bar",
            "header3: foo"
        ]
    );
    // What the parse held left later, and whole.
    let sorted = |packets: &[super::packet::Packet]| {
        let mut bytes: Vec<_> = packets.iter().map(|packet| packet.0.clone()).collect();
        bytes.sort();
        bytes
    };
    assert_eq!(sorted(&run.sent), sorted(&run.captured));
}

#[test]
fn grammar_array_setter() {
    let run = run("grammar-array-setter", "array");
    assert_eq!(run.logged(), ["2: 10180 5"]);
    run.tshark_finds_no_fault();
    assert_eq!(run.sent.len(), run.captured.len());
    let ends_with = |packet: &super::packet::Packet, bytes: &[u8]| packet.0.ends_with(bytes);
    let mut changed = 0;
    for (sent, captured) in run.sent.iter().zip(&run.captured) {
        if ends_with(captured, &[0x06, 0x80, 0x1c, 0x40, 0x0b, 0x27, 0xc4]) {
            assert!(ends_with(sent, &[0x06, 0x27, 0xc4, 0x80, 0x05]));
            changed += 1;
        } else if !ends_with(captured, b"fine") {
            assert_eq!(sent.0.len(), captured.0.len());
        }
    }
    assert_eq!(changed, 1);
}

/// A packet dissector with a grammar: fields are live, what has a validator
/// is computed when the packet is forged.
#[test]
fn packet_dissector_with_a_grammar() {
    let run = run("grammar-packet", "datagrams-plain");
    let logged = run.logged();
    assert!(!logged.is_empty(), "{:?}", run.lines);
    let mut seen = 0;
    for (sent, captured) in run.sent.iter().zip(&run.captured) {
        if captured.is_ipv4() && captured.protocol() == 17 {
            let mut expected = captured.0.clone();
            let at = expected.len() - captured.ip_len() + 20;
            expected[at + 2..at + 4].copy_from_slice(&[0, 9]);
            expected[at + 6..at + 8].copy_from_slice(&[0, 0]);
            assert_eq!(sent.0, expected);
            seen += 1;
        }
    }
    assert!(seen > 0 && logged.len() == 2 * seen, "{logged:?}");
}

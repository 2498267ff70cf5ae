//! Conversations as two peers had them, whole, cut and damaged.

use proptest::prelude::*;
use serde_json::json;

use super::fuzz::conversation;
use super::message::Message;
use super::{PREFACE, Parser};
use crate::flow::Direction;
use crate::proto::parser::SessionParser;

macro_rules! saved {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/fuzz/corpus/tls/",
            $name
        ))
    };
}

const SAVED: [&[u8]; 6] = [
    saved!("tls12"),
    saved!("tls13"),
    saved!("retry"),
    saved!("starttls"),
    saved!("alert"),
    saved!("ssl2"),
];

fn messages(saved: &[u8]) -> Vec<Message> {
    let mut parser = Parser::default();
    conversation(saved)
        .into_iter()
        .flat_map(|(direction, bytes)| parser.feed(direction, bytes))
        .collect()
}

fn kinds(messages: &[Message]) -> Vec<&'static str> {
    let kind = |message: &Message| match message {
        Message::ClientHello(_) => "client_hello",
        Message::ServerHello(_) => "server_hello",
        Message::Certificate(_) => "certificate",
        Message::Alert(_) => "alert",
        Message::Anomaly(_) => "anomaly",
    };
    messages.iter().map(kind).collect()
}

#[test]
fn a_handshake_of_tls_1_2_shows_its_certificate() {
    let found = messages(saved!("tls12"));
    assert_eq!(
        kinds(&found),
        ["client_hello", "server_hello", "certificate"]
    );
    let Message::ClientHello(hello) = &found[0] else {
        panic!("it comes first");
    };
    assert_eq!(hello.sni.as_deref(), Some("www.example.org"));
    assert_eq!(hello.alpn, ["h2", "http/1.1"]);
    assert!(hello.ja4.starts_with("t12d"), "{}", hello.ja4);
    let Message::ServerHello(hello) = &found[1] else {
        panic!("it comes second");
    };
    assert_eq!(hello.alpn.as_deref(), Some("http/1.1"));
    assert_eq!((hello.version, hello.selected_version), (0x0303, None));
    let certificate = serde_json::to_value(&found[2]).expect("it can be written");
    assert_eq!(
        certificate,
        json!({
            "type": "certificate",
            "subject": "C=DE, O=Example, CN=www.example.org",
            "issuer": "O=Example, CN=Example Root",
            "not_before": "2024-01-02T03:04:05.000000+0000",
            "not_after": "2034-01-02T03:04:05.000000+0000",
            "sans": ["www.example.org", "*.example.org", "192.0.2.1", "2001:db8::1",
                "root@example.org", "https://www.example.org/"],
            "serial": "1234abcd",
            "sha256": certificate["sha256"],
            "chain_length": 1,
        })
    );
}

#[test]
fn a_handshake_of_tls_1_3_ends_with_the_hellos() {
    let found = messages(saved!("tls13"));
    assert_eq!(kinds(&found), ["client_hello", "server_hello"]);
    let Message::ServerHello(hello) = &found[1] else {
        panic!("it comes second");
    };
    assert_eq!(hello.selected_version, Some(0x0304));
    assert!(!hello.hello_retry_request);
}

#[test]
fn a_retry_is_followed_by_two_more_hellos() {
    let found = messages(saved!("retry"));
    assert_eq!(
        kinds(&found),
        [
            "client_hello",
            "server_hello",
            "client_hello",
            "server_hello"
        ]
    );
    assert!(matches!(&found[1], Message::ServerHello(hello) if hello.hello_retry_request));
}

#[test]
fn a_stream_may_come_to_tls_later() {
    assert_eq!(
        kinds(&messages(saved!("starttls"))),
        ["client_hello", "server_hello", "certificate"]
    );
    let mut parser = Parser::default();
    parser.feed_initiator(&vec![b'x'; PREFACE]);
    parser.feed_responder(&vec![b'x'; PREFACE]);
    assert!(parser.is_done() && !parser.is_recognised());
}

#[test]
fn the_hello_of_ssl2_has_no_ja3() {
    let found = messages(saved!("ssl2"));
    let written = serde_json::to_value(&found[0]).expect("it can be written");
    assert_eq!(written["record_version"], 2);
    assert_eq!(written["version"], 0x0301);
    assert_eq!(written["cipher_kinds"], json!([0x0700c0, 0x35, 0x2f]));
    assert_eq!(written["ja4"], "t10i000000_000000000000_000000000000");
    assert_eq!(written.get("ja3"), None);
    assert_eq!(written.get("sni"), None, "what is not there is absent");
}

#[test]
fn alerts_have_a_name() {
    let found = messages(saved!("alert"));
    assert_eq!(
        serde_json::to_value(&found[1]).expect("it can be written"),
        json!({ "type": "alert", "level": "fatal", "description": 40, "name": "handshake_failure" })
    );
}

#[test]
fn a_message_is_told_once_its_record_is_whole() {
    let parts = conversation(saved!("tls12"));
    let (_, answer) = parts[1];
    let length = usize::from(u16::from_be_bytes([answer[3], answer[4]]));
    // The ServerHello and two messages that nobody tells of, in one record.
    let mut record = answer[..5 + length].to_vec();
    record.extend([16, 0, 0, 2, 7, 7, 14, 0, 0, 0]);
    record[3..5].copy_from_slice(&((length + 10) as u16).to_be_bytes());
    let (last, all_but_one) = record.split_last().expect("it is not empty");
    let mut parser = Parser::default();
    assert!(parser.feed_responder(all_but_one).is_empty());
    assert_eq!(parser.feed_responder(&[*last]).len(), 1);

    let mut parser = Parser::default();
    assert!(parser.feed_responder(all_but_one).is_empty());
    assert_eq!(parser.fin_responder().len(), 1, "nothing follows");
}

#[test]
fn nothing_is_read_behind_a_gap() {
    let mut parser = Parser::default();
    let parts = conversation(saved!("tls12"));
    parser.feed(parts[0].0, &parts[0].1[..20]);
    assert!(parser.gap(Direction::ToServer, 5).is_empty());
    assert!(parser.feed(parts[0].0, &parts[0].1[25..]).is_empty());
    assert_eq!(parser.feed(parts[1].0, parts[1].1).len(), 2);
}

proptest! {
    #[test]
    fn messages_do_not_depend_on_the_cuts(
        which in 0..SAVED.len(),
        cuts in proptest::collection::vec(1usize..200, 1..40),
        damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut saved = SAVED[which].to_vec();
        if let Some((place, value)) = damage {
            let place = place.index(saved.len());
            saved[place] = value;
        }
        let (mut whole, mut cut) = (Parser::default(), Parser::default());
        let mut cuts = cuts.iter().cycle();
        for (direction, mut bytes) in conversation(&saved) {
            let expected = whole.feed(direction, bytes);
            let mut found = Vec::new();
            while !bytes.is_empty() {
                let next = cuts.next().map_or(1, |&cut| cut.min(bytes.len()));
                let (now, later) = bytes.split_at(next);
                found.extend(cut.feed(direction, now));
                bytes = later;
            }
            prop_assert_eq!(expected, found);
        }
    }
}

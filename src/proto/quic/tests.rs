//! The sample packets of RFC 9001 and RFC 9369 (appendix A of both), and
//! connections that take more than one packet.

use super::Parser;
use super::keys::Keys;
use crate::flow::Direction;
use crate::proto::parser::DatagramParser;
use crate::proto::tls::Message;
use crate::proto::tls::fuzz::conversation;

macro_rules! saved {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/fuzz/corpus/quic/",
            $name
        ))
    };
}

fn messages(saved: &[u8]) -> Vec<Message> {
    let mut parser = Parser::default();
    conversation(saved)
        .into_iter()
        .flat_map(|(direction, datagram)| parser.parse(datagram, direction))
        .collect()
}

fn is_sample(message: &Message, version: u32) {
    let Message::ClientHello(hello) = message else {
        panic!("{message:?}");
    };
    assert_eq!(hello.sni.as_deref(), Some("example.com"));
    assert_eq!(hello.alpn, ["alpn"]);
    assert_eq!(hello.ciphers, [0x1301, 0x1302]);
    assert_eq!(hello.versions, [0x0304]);
    assert_eq!(hello.record_version, None);
    assert_eq!(hello.quic_version, Some(version));
    assert!(hello.ja4.starts_with("q13d0211an_"), "{}", hello.ja4);
}

#[test]
fn the_samples_of_version_1_are_opened() {
    let found = messages(saved!("rfc9001"));
    assert_eq!(found.len(), 2, "{found:?}");
    is_sample(&found[0], 1);
    let Message::ServerHello(hello) = &found[1] else {
        panic!("{found:?}");
    };
    assert_eq!(hello.cipher, 0x1301);
    assert_eq!(hello.selected_version, Some(0x0304));
}

#[test]
fn the_sample_of_version_2_is_opened() {
    let found = messages(saved!("rfc9369"));
    assert_eq!(found.len(), 1, "{found:?}");
    is_sample(&found[0], 0x6b33_43cf);
}

#[test]
fn frames_are_put_in_order_over_datagrams() {
    let found = messages(saved!("draft29-shuffled"));
    assert_eq!(found.len(), 1, "{found:?}");
    is_sample(&found[0], 0xff00_001d);
}

#[test]
fn a_retry_is_no_message() {
    assert_eq!(messages(saved!("retry")).len(), 1);
}

#[test]
fn the_client_is_who_sends_the_first_hello() {
    let mut parser = Parser::default();
    let found: Vec<Message> = conversation(saved!("rfc9001"))
        .into_iter()
        .flat_map(|(direction, datagram)| parser.parse(datagram, direction.opposite()))
        .collect();
    assert_eq!(found.len(), 2);
}

#[test]
fn a_repeated_hello_is_told_once() {
    let mut parser = Parser::default();
    let datagrams = conversation(saved!("rfc9001"));
    let (_, hello) = datagrams[0];
    assert_eq!(parser.parse(hello, Direction::ToServer).len(), 1);
    assert_eq!(parser.parse(hello, Direction::ToServer).len(), 0);
    assert!(!parser.is_done());
}

#[test]
fn a_flow_that_cannot_be_opened_is_let_go() {
    let mut parser = Parser::default();
    let datagrams = conversation(saved!("rfc9001"));
    let mut damaged = datagrams[0].1.to_vec();
    *damaged.last_mut().expect("it is not empty") ^= 1;
    for _ in 0..8 {
        assert!(!parser.is_done());
        assert!(parser.parse(&damaged, Direction::ToServer).is_empty());
    }
    assert!(parser.is_done());
}

#[test]
fn keys_say_nothing_of_themselves() {
    let keys = Keys::derive(super::header::Version::V1, b"id").expect("they can be derived");
    assert_eq!(format!("{keys:?}"), "Keys");
}

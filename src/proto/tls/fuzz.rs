//! The fuzz body of the TLS parser, and of what looks into messages.

use crate::flow::Direction;
use crate::proto::parser::SessionParser;

use super::{Parser, certificate, fingerprint, hello};

/// Feeds a conversation whole and byte by byte, and reads every part of what
/// else the bytes could be.
///
/// A conversation is a row of `direction, length (two bytes), bytes`.
///
/// # Panics
/// When the messages depend on how the bytes are cut: that is what it is for.
pub fn fuzz_tls(data: &[u8]) {
    let parts = conversation(data);
    let (mut whole, mut cut) = (Parser::default(), Parser::default());
    let (mut expected, mut found) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for &(direction, bytes) in &parts {
        let side = direction.index();
        expected[side].extend(whole.feed(direction, bytes));
        for byte in bytes {
            found[side].extend(cut.feed(direction, std::slice::from_ref(byte)));
        }
    }
    assert_eq!(expected, found, "messages do not depend on the cuts");
    let _ = serde_json::to_string(&expected);
    read_everything(data);
}

/// The parts of a saved conversation; what is cut short ends with the data.
pub(crate) fn conversation(mut data: &[u8]) -> Vec<(Direction, &[u8])> {
    let mut parts = Vec::new();
    while let [direction, high, low, rest @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (bytes, behind) = rest.split_at(length);
        let direction = match direction & 1 {
            0 => Direction::ToServer,
            _ => Direction::ToClient,
        };
        parts.push((direction, bytes));
        data = behind;
    }
    parts
}

fn read_everything(data: &[u8]) {
    for hello in [
        hello::ClientHello::parse(data),
        hello::ClientHello::parse_ssl2(data),
    ]
    .into_iter()
    .flatten()
    {
        let message = super::message::ClientHello::of(&hello, None, fingerprint::Carrier::Quic);
        assert_eq!(message.ja4.len(), 36, "JA4 has a fixed length");
    }
    if let Some(hello) = hello::ServerHello::parse(data) {
        let _ = super::message::ServerHello::of(&hello);
    }
    let _ = certificate::read(data);
    let _ = certificate::Reading::of(data).map(|read| (read.subject(), read.sans()));
}

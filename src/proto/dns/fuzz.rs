//! The fuzz body of the DNS parsers.

use super::message::Message;
use super::wire::{self, Item};
use super::{Parser, StreamParser, data, name};
use crate::flow::Direction;
use crate::proto::parser::{DatagramParser, SessionParser};

/// Reads the input as a datagram, and as a stream cut at two places that
/// its first bytes name.
///
/// # Panics
/// When an offset handed out lies outside the message, or the cuts change
/// the messages: that is what it is for.
pub fn fuzz_dns(input: &[u8]) {
    let Some((&[first, second], bytes)) = input.split_first_chunk::<2>() else {
        return;
    };
    let mut items = Vec::new();
    if let Ok(scan) = wire::scan(bytes, &mut items) {
        let counts = scan.found.iter().map(|&count| usize::from(count));
        assert_eq!(items.len(), counts.sum::<usize>());
        for &item in &items {
            look_at(bytes, item);
        }
        assert!(
            scan.fault.is_some() || scan.found == scan.header.counts,
            "entries are missing without a fault"
        );
    }
    Parser::default().parse(bytes, Direction::ToServer);

    let mut whole = StreamParser::default();
    let mut expected = whole.feed_responder(bytes);
    expected.extend(whole.fin_responder());
    let mut cut = StreamParser::default();
    let (head, rest) = bytes.split_at(usize::from(first).min(bytes.len()));
    let (middle, tail) = rest.split_at(usize::from(second).min(rest.len()));
    let mut found: Vec<Message> = Vec::new();
    for chunk in [head, middle, tail] {
        found.extend(cut.feed_responder(chunk));
    }
    found.extend(cut.fin_responder());
    assert_eq!(found, expected, "cuts changed the messages");
}

fn look_at(bytes: &[u8], item: Item) {
    assert!(item.end() <= bytes.len(), "an entry ends in its message");
    let mut text = Vec::new();
    let end = name::write_text(bytes, item.name.into(), &mut text);
    assert_eq!(end, Ok(usize::from(item.fixed)));
    assert!(text.len() <= name::MAX_TEXT);
    let mut back = Vec::new();
    name::read_text(&text, &mut back).expect("text that was written can be read");
    assert!(back.len() <= name::MAX_NAME);
    if item.section > 0 {
        assert_eq!(item.data(bytes).len(), usize::from(item.data_len));
        assert!(!data::text(bytes, item).is_empty());
    }
}

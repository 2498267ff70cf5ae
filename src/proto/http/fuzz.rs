//! The fuzz body of the HTTP parser.

use super::parser::{Message, Parser};
use crate::flow::Direction;
use crate::proto::parser::SessionParser;

/// Reads the input as what both sides say, in turns that bytes 0xff end;
/// then the same in smaller cuts.
///
/// # Panics
/// When the cuts change the messages: that is what it is for.
pub fn fuzz_http(input: &[u8]) {
    let Some((&cut, bytes)) = input.split_first() else {
        return;
    };
    let whole = messages(bytes, usize::MAX);
    let cut = messages(bytes, usize::from(cut).max(1));
    assert_eq!(whole, cut, "cuts changed the messages");
}

fn messages(bytes: &[u8], most: usize) -> Vec<Message> {
    let mut parser = Parser::default();
    let mut found = Vec::new();
    let mut direction = Direction::ToServer;
    for turn in bytes.split(|&byte| byte == 0xff) {
        for chunk in turn.chunks(most) {
            found.extend(parser.feed(direction, chunk));
        }
        direction = direction.opposite();
    }
    found.extend(parser.fin_initiator());
    found.extend(parser.fin_responder());
    found
}

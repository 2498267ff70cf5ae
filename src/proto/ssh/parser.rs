//! The version exchange of a connection.

use serde::Serialize;

use super::{LINE_CAP, LINES_BEFORE, anomaly};
use crate::flow::Direction;
use crate::proto::line::{self, Anomaly, LineReader};
use crate::proto::parser::SessionParser;

/// What a side says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Banner {
    /// Version of the protocol: `2.0`, or `1.99` of servers that speak both.
    pub version: String,
    /// Name and version of the program.
    pub software: String,
    /// What follows the first blank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comments: Option<String>,
}

impl Banner {
    /// Reads `SSH-version-software comments`, without the line's end.
    pub fn of(text: &[u8]) -> Option<Banner> {
        let rest = text.strip_prefix(b"SSH-")?;
        let dash = rest.iter().position(|&byte| byte == b'-')?;
        let (version, rest) = rest.split_at(dash);
        let rest = rest.strip_prefix(b"-")?;
        let blank = rest.iter().position(|&byte| byte == b' ');
        let (software, comments) = rest.split_at(blank.unwrap_or(rest.len()));
        if version.is_empty() {
            return None;
        }
        Some(Banner {
            version: line::text(version),
            software: line::text(software),
            comments: comments.strip_prefix(b" ").map(line::text),
        })
    }
}

/// What is told of a connection: at most a banner and an anomaly a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    Banner(Banner),
    Anomaly(Anomaly),
}

/// Reads the beginning of both directions.
///
/// ```
/// use wero::proto::parser::SessionParser;
/// use wero::proto::ssh::{Message, Parser};
///
/// let messages = Parser::default().feed_responder(b"SSH-2.0-OpenSSH_9.2 Debian\r\n");
/// let Message::Banner(banner) = &messages[0] else { panic!() };
/// assert_eq!(banner.software, "OpenSSH_9.2");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Parser {
    sides: [Side; 2],
}

#[derive(Clone, Debug, Default)]
struct Side {
    line: LineReader,
    lines_before: u32,
    done: bool,
}

impl Parser {
    /// Whether nothing more is read in a direction.
    pub fn is_done(&self, direction: Direction) -> bool {
        self.sides[direction.index()].done
    }

    /// Reads on in one direction: how many bytes were taken, and what they
    /// came to. None are taken once the direction is done.
    pub fn read(&mut self, direction: Direction, bytes: &[u8]) -> (usize, Vec<Message>) {
        let side = &mut self.sides[direction.index()];
        let mut used = 0;
        let mut messages = Vec::new();
        while !side.done {
            let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            let (taken, complete) = side.line.read(rest, LINE_CAP);
            used += taken;
            if complete {
                side.take_line(&mut messages);
            } else if side.line.is_cut() {
                side.give_up(&mut messages);
            }
        }
        (used, messages)
    }
}

impl Side {
    fn take_line(&mut self, messages: &mut Vec<Message>) {
        const LONGEST: u64 = 255;
        let text = self.line.text();
        let banner = Banner::of(text).filter(|_| !self.line.is_cut());
        if let Some(banner) = banner {
            if self.line.len() > LONGEST {
                messages.push(Message::Anomaly(Anomaly {
                    event: anomaly::LINE_TOO_LONG,
                    detail: line::excerpt(text),
                }));
            }
            messages.push(Message::Banner(banner));
            self.done = true;
        } else {
            self.lines_before += 1;
            if self.lines_before > LINES_BEFORE || self.line.is_cut() {
                self.give_up(messages);
            }
        }
    }

    fn give_up(&mut self, messages: &mut Vec<Message>) {
        messages.push(Message::Anomaly(Anomaly {
            event: anomaly::NO_VERSION,
            detail: line::excerpt(self.line.text()),
        }));
        self.done = true;
    }

    fn end(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        if !self.done && (self.lines_before > 0 || !self.line.is_empty()) {
            self.give_up(&mut messages);
        }
        self.done = true;
        messages
    }
}

impl SessionParser for Parser {
    type Message = Message;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.read(Direction::ToServer, bytes).1
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.read(Direction::ToClient, bytes).1
    }

    fn fin_initiator(&mut self) -> Vec<Message> {
        self.sides[Direction::ToServer.index()].end()
    }

    fn fin_responder(&mut self) -> Vec<Message> {
        self.sides[Direction::ToClient.index()].end()
    }

    /// The version comes first: what is missing was it, or part of it.
    fn gap(&mut self, direction: Direction, _: u64) -> Vec<Message> {
        self.sides[direction.index()].end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(messages: &[Message]) -> Vec<String> {
        let one = |message| serde_json::to_string(message).expect("it serialises");
        messages.iter().map(one).collect()
    }

    #[test]
    fn each_side_sends_a_version() {
        let mut parser = Parser::default();
        let server =
            parser.feed_responder(b"Welcome\r\nSSH-2.0-OpenSSH_9.2p1 Debian-2\r\nSSH-2.0-x\r\n");
        assert_eq!(
            json(&server),
            [
                r#"{"type":"banner","version":"2.0","software":"OpenSSH_9.2p1","comments":"Debian-2"}"#
            ]
        );
        let client = parser.feed_initiator(b"SSH-1.99-PuTTY-0.70\n\0\0\0");
        assert_eq!(
            json(&client),
            [r#"{"type":"banner","version":"1.99","software":"PuTTY-0.70"}"#]
        );
        assert!(parser.is_done(Direction::ToServer) && parser.is_done(Direction::ToClient));
    }

    #[test]
    fn other_traffic_is_given_up() {
        let mut parser = Parser::default();
        assert!(parser.feed_initiator(b"GET / HTTP/1.1\r\n").is_empty());
        let messages = parser.fin_initiator();
        assert!(json(&messages)[0].contains("no-version"));
        let messages = parser.feed_responder(&[0; 5000]);
        assert_eq!(messages.len(), 1, "nothing grows");
        assert!(parser.fin_responder().is_empty(), "told once");
    }

    #[test]
    fn long_versions_are_told_of() {
        let long = format!("SSH-2.0-{}\r\n", "x".repeat(300));
        let messages = Parser::default().feed_initiator(long.as_bytes());
        assert!(json(&messages)[0].contains("line-too-long"));
        assert_eq!(messages.len(), 2);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut(
            head in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'S'), any::<u8>()], 0..40),
            long in 0usize..3000,
            step in 1usize..400,
        ) {
            let mut bytes = head;
            bytes.extend(std::iter::repeat_n(b'x', long));
            bytes.extend_from_slice(b"\r\nSSH-2.0-a b\r\nmore");
            let (mut whole, mut cut) = (Parser::default(), Parser::default());
            let mut expected = whole.feed_responder(&bytes);
            let mut got: Vec<_> = bytes.chunks(step).flat_map(|part| cut.feed_responder(part)).collect();
            expected.extend(whole.fin_responder());
            got.extend(cut.fin_responder());
            prop_assert_eq!(got, expected);
        }
    }
}

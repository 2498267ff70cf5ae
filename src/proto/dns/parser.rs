//! Parsers of DNS without an engine: datagrams, and streams of TCP.
//!
//! Over TCP each message has its length before it (RFC 1035, 4.2.2), and
//! any number of them follow each other. A stream that is not DNS cannot be
//! told from one: of a frame too short for a message, nothing more is said
//! of its direction, since lengths have then lost their meaning.

use super::fault::{Fault, FaultKind};
use super::message::{Message, read};
use super::wire::{HEADER, Item, MAX_MESSAGE, scan};
use crate::flow::Direction;
use crate::proto::parser::{DatagramParser, SessionParser};

/// Reads datagrams, one message each.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    /// Used again for each message.
    items: Vec<Item>,
}

impl Parser {
    /// The messages of one datagram or frame: what could be read of it, then
    /// what is wrong with it.
    pub fn read(&mut self, bytes: &[u8], messages: &mut Vec<Message>) {
        let bytes = bytes.get(..MAX_MESSAGE).unwrap_or(bytes);
        let fault = match scan(bytes, &mut self.items) {
            Ok(found) => {
                let (message, fault) = read(bytes, &self.items, &found);
                messages.push(message);
                fault
            }
            Err(fault) => Some(fault),
        };
        messages.extend(fault.map(anomaly));
    }
}

fn anomaly(fault: Fault) -> Message {
    Message::Anomaly(fault.into())
}

impl DatagramParser for Parser {
    type Message = Message;

    fn parse(&mut self, payload: &[u8], _direction: Direction) -> Vec<Message> {
        let mut messages = Vec::with_capacity(1);
        self.read(payload, &mut messages);
        messages
    }
}

/// Reads both directions of a TCP connection.
#[derive(Clone, Debug, Default)]
pub struct StreamParser {
    parser: Parser,
    frames: [Frames; 2],
}

/// The frames of one direction: holds back at most one unfinished message.
#[derive(Clone, Debug, Default)]
struct Frames {
    /// Length and bytes of a message that is not whole yet.
    held: Vec<u8>,
    /// Lengths have lost their meaning.
    lost: bool,
}

impl Frames {
    /// Gives each whole message to `take`.
    ///
    /// # Errors
    /// At a length that no message has, which ends the direction.
    fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), Fault> {
        while !bytes.is_empty() {
            // Whole messages are read where they lie.
            if self.held.is_empty()
                && let Some((message, rest)) = first_frame(bytes)
                && message.len() >= HEADER
            {
                take(message);
                bytes = rest;
                continue;
            }
            let wanted = match self.held.first_chunk::<2>() {
                Some(&length) => 2 + usize::from(u16::from_be_bytes(length)),
                None => 2,
            };
            let missing = wanted.saturating_sub(self.held.len());
            let (more, rest) = bytes.split_at(missing.min(bytes.len()));
            self.held.extend_from_slice(more);
            bytes = rest;
            let Some(&length) = self.held.first_chunk::<2>() else {
                continue;
            };
            if usize::from(u16::from_be_bytes(length)) < HEADER {
                self.held = Vec::new();
                self.lost = true;
                return Err(FaultKind::Frame.at(0));
            }
            if let Some((message, _)) = first_frame(&self.held) {
                take(message);
                self.held.clear();
            }
        }
        Ok(())
    }
}

/// The first message of a stream, and what follows it.
fn first_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(length).into())
}

impl SessionParser for StreamParser {
    type Message = Message;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.feed(Direction::ToServer, bytes)
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.feed(Direction::ToClient, bytes)
    }

    fn gap(&mut self, direction: Direction, _bytes: u64) -> Vec<Message> {
        if let Some(frames) = self.frames.get_mut(direction.index()) {
            *frames = Frames {
                held: Vec::new(),
                lost: true,
            };
        }
        Vec::new()
    }

    fn feed(&mut self, direction: Direction, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        let StreamParser { parser, frames } = self;
        if let Some(frames) = frames.get_mut(direction.index())
            && !frames.lost
        {
            let fed = frames.feed(bytes, |message| parser.read(message, &mut messages));
            messages.extend(fed.err().map(anomaly));
        }
        messages
    }

    fn fin_initiator(&mut self) -> Vec<Message> {
        self.finish(Direction::ToServer)
    }

    fn fin_responder(&mut self) -> Vec<Message> {
        self.finish(Direction::ToClient)
    }
}

impl StreamParser {
    /// A message that its stream did not bring to an end.
    fn finish(&mut self, direction: Direction) -> Vec<Message> {
        let Some(frames) = self.frames.get_mut(direction.index()) else {
            return Vec::new();
        };
        let cut = std::mem::take(&mut frames.held);
        frames.lost = true;
        if cut.is_empty() {
            return Vec::new();
        }
        vec![anomaly(FaultKind::Truncated.at(cut.len()))]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01";
    const RESPONSE: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\
        \x03www\x07example\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
    const LOOP: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01";

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u16).to_be_bytes()[..], message].concat()
    }

    fn whole(bytes: &[u8]) -> Vec<Message> {
        let mut parser = StreamParser::default();
        let mut messages = parser.feed_initiator(bytes);
        messages.extend(parser.fin_initiator());
        messages
    }

    #[test]
    fn a_datagram_gives_its_message_and_then_what_is_wrong_with_it() {
        let mut parser = Parser::default();
        let parsed = parser.parse(RESPONSE, Direction::ToClient);
        let [Message::Response(response)] = &parsed[..] else {
            panic!("{parsed:?}");
        };
        assert_eq!(response.questions[0].name, "www.example");
        assert_eq!(response.answers[0].data, "192.0.2.1");

        let parsed = parser.parse(LOOP, Direction::ToServer);
        let [Message::Query(query), Message::Anomaly(anomaly)] = &parsed[..] else {
            panic!("{parsed:?}");
        };
        assert!(query.questions.is_empty());
        assert_eq!(anomaly.event, "bad_pointer");

        let parsed = parser.parse(b"GET / HTTP", Direction::ToServer);
        assert!(matches!(&parsed[..], [Message::Anomaly(a)] if a.event == "truncated"));
    }

    #[test]
    fn a_stream_holds_many_messages_and_both_directions() {
        let mut parser = StreamParser::default();
        let two = [framed(QUERY), framed(QUERY)].concat();
        assert_eq!(parser.feed_initiator(&two).len(), 2);
        assert_eq!(parser.feed_responder(&framed(RESPONSE)[..20]).len(), 0);
        assert_eq!(parser.feed_responder(&framed(RESPONSE)[20..]).len(), 1);
        assert!(parser.fin_responder().is_empty());
    }

    #[test]
    fn what_is_no_dns_ends_its_direction() {
        let mut parser = StreamParser::default();
        let messages = parser.feed_initiator(b"\0\x05hello");
        assert!(matches!(&messages[..], [Message::Anomaly(a)] if a.event == "bad_frame"));
        assert!(parser.feed_initiator(&framed(QUERY)).is_empty());
        assert_eq!(parser.feed_responder(&framed(RESPONSE)).len(), 1);
        parser.gap(Direction::ToClient, 10);
        assert!(parser.feed_responder(&framed(RESPONSE)).is_empty());
    }

    #[test]
    fn a_message_cut_by_the_end_is_an_anomaly() {
        let messages = whole(&framed(QUERY)[..10]);
        assert!(matches!(&messages[..], [Message::Anomaly(a)] if a.event == "truncated"));
    }

    proptest! {
        /// However the stream is cut, the messages are the same.
        #[test]
        fn chunks_do_not_matter(
            parts in prop::collection::vec(
                prop_oneof![
                    Just(framed(QUERY)), Just(framed(RESPONSE)), Just(framed(LOOP)),
                    prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| framed(&bytes)),
                    prop::collection::vec(any::<u8>(), 0..40),
                ],
                0..6,
            ),
            cuts in prop::collection::vec(1usize..50, 0..40),
        ) {
            let stream = parts.concat();
            let expected = whole(&stream);
            let mut parser = StreamParser::default();
            let (mut found, mut rest) = (Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle().take(stream.len()) {
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                found.extend(parser.feed_initiator(chunk));
                rest = after;
            }
            found.extend(parser.feed_initiator(rest));
            found.extend(parser.fin_initiator());
            prop_assert_eq!(found, expected);
        }
    }
}

//! Parsers and messages of any protocol, behind one interface each.
//!
//! Nothing is collected here: each message is shown to whoever listens while
//! it is there, and written out by its own `serde` description.

use serde::Serialize;
use serde_json::Value;

use crate::flow::Direction;
use crate::proto::parser::{DatagramParser, SessionParser};

/// A message of some protocol.
pub trait Message {
    /// Appends its JSON object.
    fn write_json(&self, out: &mut Vec<u8>);

    /// Its JSON object as a tree.
    fn to_value(&self) -> Value;
}

impl<T: Serialize> Message for T {
    fn write_json(&self, out: &mut Vec<u8>) {
        let before = out.len();
        // Only a message whose map keys are no strings could fail, and it
        // would show as an empty object.
        if serde_json::to_writer(&mut *out, self).is_err() {
            out.truncate(before);
            out.extend_from_slice(b"{}");
        }
    }

    fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Is shown the messages of one feed, with the direction of their sender.
pub type Show<'a> = &'a mut dyn FnMut(Direction, &dyn Message);

/// A parser of one connection.
pub trait StreamReader {
    fn feed(&mut self, direction: Direction, bytes: &[u8], show: Show<'_>);
    fn gap(&mut self, direction: Direction, bytes: u64, show: Show<'_>);
    fn fin(&mut self, direction: Direction, show: Show<'_>);
    fn rst(&mut self, direction: Direction);
}

impl<P> StreamReader for P
where
    P: SessionParser + 'static,
    P::Message: Serialize,
{
    fn feed(&mut self, direction: Direction, bytes: &[u8], show: Show<'_>) {
        show_all(SessionParser::feed(self, direction, bytes), direction, show);
    }

    fn gap(&mut self, direction: Direction, bytes: u64, show: Show<'_>) {
        show_all(SessionParser::gap(self, direction, bytes), direction, show);
    }

    fn fin(&mut self, direction: Direction, show: Show<'_>) {
        show_all(SessionParser::fin(self, direction), direction, show);
    }

    fn rst(&mut self, direction: Direction) {
        match direction {
            Direction::ToServer => self.rst_initiator(),
            Direction::ToClient => self.rst_responder(),
        }
    }
}

/// A parser of the datagrams of one flow.
pub trait DatagramReader {
    fn parse(&mut self, payload: &[u8], direction: Direction, show: Show<'_>);
}

impl<P> DatagramReader for P
where
    P: DatagramParser,
    P::Message: Serialize,
{
    fn parse(&mut self, payload: &[u8], direction: Direction, show: Show<'_>) {
        show_all(
            DatagramParser::parse(self, payload, direction),
            direction,
            show,
        );
    }
}

fn show_all<M: Serialize>(messages: Vec<M>, direction: Direction, show: Show<'_>) {
    for message in &messages {
        show(direction, message);
    }
}

/// Makes a parser of a connection.
pub fn stream<P>() -> Box<dyn StreamReader>
where
    P: SessionParser + Default + 'static,
    P::Message: Serialize,
{
    Box::new(P::default())
}

/// Makes a parser of datagrams.
pub fn datagrams<P>() -> Box<dyn DatagramReader>
where
    P: DatagramParser + Default + 'static,
    P::Message: Serialize,
{
    Box::new(P::default())
}

//! Parsers and messages of any protocol, behind one interface each.
//!
//! Nothing is collected here: each message is shown to whoever listens while
//! it is there, and written out by its own `serde` description.

use serde::Serialize;
use serde_json::Value;

use crate::analysis::arrivals::marks;
use crate::flow::Direction;
use crate::proto::parser::{DatagramParser, SessionParser, Waited};

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

/// Is shown the messages of one feed; some may have waited for it.
pub type Show<'a> = &'a mut dyn FnMut(Option<Waited>, &dyn Message);

/// A parser of one connection.
pub trait StreamReader {
    fn feed(&mut self, direction: Direction, bytes: &[u8], show: Show<'_>);
    fn gap(&mut self, direction: Direction, bytes: u64, show: Show<'_>);
    fn fin(&mut self, direction: Direction, show: Show<'_>);
    fn rst(&mut self, direction: Direction);
    /// Bytes of a direction that wait for the other.
    fn waiting(&self, direction: Direction) -> u64;
}

impl<P> StreamReader for P
where
    P: SessionParser + 'static,
    P::Message: Serialize,
{
    fn feed(&mut self, direction: Direction, bytes: &[u8], show: Show<'_>) {
        let messages = SessionParser::feed(self, direction, bytes);
        show_all(messages, self.waited(), show);
    }

    fn gap(&mut self, direction: Direction, bytes: u64, show: Show<'_>) {
        let messages = SessionParser::gap(self, direction, bytes);
        show_all(messages, self.waited(), show);
    }

    fn fin(&mut self, direction: Direction, show: Show<'_>) {
        let messages = SessionParser::fin(self, direction);
        show_all(messages, self.waited(), show);
    }

    fn rst(&mut self, direction: Direction) {
        match direction {
            Direction::ToServer => self.rst_initiator(),
            Direction::ToClient => self.rst_responder(),
        }
    }

    fn waiting(&self, direction: Direction) -> u64 {
        SessionParser::waiting(self, direction)
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
        show_all(DatagramParser::parse(self, payload, direction), &[], show);
    }
}

fn show_all<M: Serialize>(messages: Vec<M>, waited: &[Waited], show: Show<'_>) {
    let mut mark = marks(waited);
    for (place, message) in messages.iter().enumerate() {
        show(mark(place), message);
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

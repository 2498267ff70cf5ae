//! What every streaming parser of a protocol offers, without an engine.
//!
//! A parser takes bytes in order and gives messages; it never reads a clock
//! and never looks at addresses. However the bytes are cut, the messages are
//! the same. Not here: who puts segments in order (`stream`), who follows
//! flows (`analysis`).

use crate::flow::Direction;

/// Reads both directions of one connection.
pub trait SessionParser {
    /// What it recognises.
    type Message;

    /// The next bytes of whoever opened the connection.
    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Self::Message>;

    /// The next bytes of the other side.
    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Self::Message>;

    /// Nothing follows from the initiator: messages that end with their
    /// stream are complete now.
    fn fin_initiator(&mut self) -> Vec<Self::Message> {
        Vec::new()
    }

    /// Nothing follows from the responder.
    fn fin_responder(&mut self) -> Vec<Self::Message> {
        Vec::new()
    }

    /// The initiator broke the connection off.
    fn rst_initiator(&mut self) {}

    /// The responder broke the connection off.
    fn rst_responder(&mut self) {}

    /// So many bytes of a direction were never seen; what follows comes
    /// after them. A parser that cannot find its place again says nothing
    /// more of that direction.
    fn gap(&mut self, direction: Direction, bytes: u64) -> Vec<Self::Message> {
        let _ = (direction, bytes);
        Vec::new()
    }

    /// The next bytes of a direction.
    fn feed(&mut self, direction: Direction, bytes: &[u8]) -> Vec<Self::Message> {
        match direction {
            Direction::ToServer => self.feed_initiator(bytes),
            Direction::ToClient => self.feed_responder(bytes),
        }
    }

    /// Nothing follows in a direction.
    fn fin(&mut self, direction: Direction) -> Vec<Self::Message> {
        match direction {
            Direction::ToServer => self.fin_initiator(),
            Direction::ToClient => self.fin_responder(),
        }
    }
}

/// Reads the datagrams of one flow.
pub trait DatagramParser {
    /// What it recognises.
    type Message;

    /// The payload of one datagram, whole.
    fn parse(&mut self, payload: &[u8], direction: Direction) -> Vec<Self::Message>;
}

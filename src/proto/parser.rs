//! What every streaming parser of a protocol offers, without an engine.
//!
//! A parser takes bytes in order and gives messages; it never reads a clock
//! and never looks at addresses. However the bytes are cut, the messages are
//! the same. Not here: who puts segments in order (`stream`), who follows
//! flows (`analysis`).

use std::ops::Range;

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

    /// Which of the messages that the last call gave had waited for it, in
    /// their order; all others are of the direction that the call was about.
    fn waited(&self) -> &[Waited] {
        &[]
    }

    /// Bytes of a direction that were fed and wait for the other.
    fn waiting(&self, direction: Direction) -> u64 {
        let _ = direction;
        0
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

/// A message that had waited for what the other side would say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Its place among the messages of the call that gave it.
    pub place: usize,
    /// Who sent it.
    pub direction: Direction,
    /// How many bytes of that direction were fed behind it.
    pub behind: u64,
}

impl Waited {
    /// Messages at these places that ended together.
    pub fn all(
        places: Range<usize>,
        direction: Direction,
        behind: u64,
    ) -> impl Iterator<Item = Waited> {
        places.map(move |place| Waited {
            place,
            direction,
            behind,
        })
    }
}

/// Reads the datagrams of one flow.
pub trait DatagramParser {
    /// What it recognises.
    type Message;

    /// The payload of one datagram, whole.
    fn parse(&mut self, payload: &[u8], direction: Direction) -> Vec<Self::Message>;
}

/// The fuzz body of any session parser. The input is pieces: a byte whose top
/// bit says which side sends, and whose lower bits, with the byte behind it,
/// say how much. The top values of the length are events: a gap, an end.
///
/// # Panics
/// When the messages depend on how the bytes of a piece are cut, or there are
/// more of them than bytes and events: that is what it is for.
#[doc(hidden)]
pub fn fuzz_session<P>(data: &[u8])
where
    P: SessionParser + Default,
    P::Message: PartialEq + std::fmt::Debug,
{
    let (mut whole, mut cut) = (P::default(), P::default());
    let mut rest = data;
    while let Some((&[head, tail], behind)) = rest.split_first_chunk::<2>() {
        let direction = Direction::BOTH[usize::from(head >> 7)];
        let len = usize::from(head & 0x7f) << 8 | usize::from(tail);
        let (expected, got) = match len {
            0x7fff => (whole.fin(direction), cut.fin(direction)),
            0x7f00..=0x7ffe => {
                let bytes = u64::from(tail);
                (whole.gap(direction, bytes), cut.gap(direction, bytes))
            }
            _ => {
                let (piece, after) = behind.split_at(len.min(behind.len()));
                rest = after;
                let step = 1 + usize::from(tail % 7);
                let parts = piece.chunks(step);
                let got: Vec<_> = parts.flat_map(|part| cut.feed(direction, part)).collect();
                (whole.feed(direction, piece), got)
            }
        };
        if len >= 0x7f00 {
            rest = behind;
        }
        assert_eq!(got, expected, "the same however it is cut");
    }
}

//! A witness of the traffic that is no rule: it sees packets, bytes and
//! ends of flows as the engine does, and changes nothing.
//!
//! With no observer set all this costs one test of a pointer, and rules are
//! not watched at all: their library is another then (`lua/lib/watch.lua`).

use super::Core;
use crate::event::{DropReason, EventKind};
use crate::flow::Direction;
use crate::packet::Malformed;
use crate::stream::assembler::Piece;

/// A limit of the engine that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Name of the setting.
    pub name: &'static str,
    pub limit: u64,
}

/// Where a direction of a connection stands. Offsets count stream bytes from
/// 0, the byte after the SYN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// Sequence number of offset 0.
    pub base: u32,
    /// First offset that was not given to readers yet.
    pub next: u64,
    /// Offset behind the last byte, once the FIN was seen.
    pub end: Option<u64>,
    /// In order, but not yet let go by readers.
    pub held_bytes: u32,
    pub held_segments: usize,
    /// Behind a hole.
    pub queued_bytes: u64,
    pub queued_segments: usize,
    /// Bytes by which edits have moved what follows.
    pub shift: i64,
}

/// Something that rules do for a while: spans lie within each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// An event of the engine is delivered, or a policy is asked.
    Event(EventKind),
    /// An event that a dissector in Lua raises.
    Signal { event: String },
    /// A listener runs. `place` is its number in the list of its event.
    Rule {
        name: Option<String>,
        location: String,
        place: u32,
    },
    /// A member of a rule group runs.
    Member { location: String },
    /// The actions of a policy's entry run.
    Policy {
        policy: String,
        entry: String,
        /// `None` for entries of the program's own.
        location: Option<String>,
    },
}

/// What flow tracking (`wero flows`, the library) wants to know. `core` is
/// the engine's state at that moment; flows are named by their slots.
pub trait Observer {
    /// A flow of any protocol begins with the packet in `core.current.packet`
    /// or, for other protocols, with the next `packet` call.
    fn opened(&mut self, core: &Core, flow: u32);
    /// A packet of the flow arrived.
    fn packet(&mut self, core: &Core, flow: u32, direction: Direction, packet: u32);
    /// New bytes in order. `wire_len` is larger than `bytes` where the
    /// capture cut the packet.
    fn bytes(
        &mut self,
        core: &Core,
        flow: u32,
        direction: Direction,
        bytes: &[u8],
        wire_len: usize,
    );
    /// Bytes came again, or overlapped, and differed from the first ones.
    fn conflict(&mut self, core: &Core, flow: u32, direction: Direction);
    /// The direction ends with bytes missing before these pieces.
    fn gap(&mut self, core: &Core, flow: u32, direction: Direction, beyond: &[Piece]);
    /// An RST; `credible` when it ended the connection.
    fn reset(&mut self, core: &Core, flow: u32, direction: Direction, credible: bool);
    /// An ICMP error in the slot `packet` is about the flow: it quotes a
    /// packet that went that way.
    fn icmp_error(&mut self, _core: &Core, _flow: u32, _direction: Direction, _packet: u32) {}
    /// The flow leaves the table, for a cause of `proto::tcp::Cause`.
    fn closed(&mut self, core: &Core, flow: u32, cause: u8);

    /// All bytes of a direction were told of: its FIN is in order.
    fn finished(&mut self, _core: &Core, _flow: u32, _direction: Direction) {}
    /// The streams of a flow as its packet, told of just before, found them.
    fn streams(&mut self, _core: &Core, _flow: u32, _states: [StreamState; 2]) {}
    /// A header could not be read.
    fn malformed(&mut self, _core: &Core, _packet: u32, _malformed: Malformed) {}
    /// A limit was reached; what is refused for it follows.
    fn capped(&mut self, _core: &Core, _flow: Option<u32>, _cap: Cap) {}
    /// A packet is refused. One that is held ends later.
    fn refused(&mut self, _core: &Core, _packet: u32, _reason: DropReason) {}
    /// A flow begins to end, for a cause of `proto::tcp::Cause`.
    fn ending(&mut self, _core: &Core, _flow: u32, _cause: u8) {}
    /// Fragments became the datagram in the slot `whole`.
    fn assembled(&mut self, _core: &Core, _whole: u32, _fragments: &[u32]) {}

    /// Rules begin something; `subject` is the slot of the event, and the
    /// answer is what [`Observer::done`] is told. Rules are watched only if
    /// their runtime was made so.
    fn begin(&mut self, _core: &Core, _span: &Span, _subject: u32) -> u32 {
        0
    }
    /// The span is over, with all in it that did not come to an end. `result`
    /// is what the rule returned, where that matters.
    fn done(&mut self, _core: &Core, _token: u32, _result: Option<&str>) {}
    /// A rule reads a field.
    fn read(&mut self, _core: &Core, _object: &str, _field: &str, _value: &str) {}
    /// All spans ended by an error; there is no text for an abort.
    fn failed(&mut self, _core: &Core, _message: Option<&str>) {}
}

impl Core {
    /// Tells the observer, if there is one.
    #[inline(always)]
    pub fn observe(&mut self, tell: impl FnOnce(&mut dyn Observer, &Core)) {
        if self.observer.is_some() {
            self.tell(tell);
        }
    }

    #[inline(never)]
    fn tell(&mut self, tell: impl FnOnce(&mut dyn Observer, &Core)) {
        if let Some(mut observer) = self.observer.take() {
            tell(observer.as_mut(), self);
            self.observer = Some(observer);
        }
    }
}

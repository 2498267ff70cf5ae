//! Work under way: the explicit stack that stands in for recursion.
//!
//! A rule that sends or drops inside a listener pushes a frame; the Lua
//! library steps the engine until its own frame is gone, so events nest
//! without the engine ever calling itself.

use crate::flow::Direction;

/// Frames on the stack at once. Rules nest 32 deep at most; each level
/// needs at most four frames.
pub const MAX_DEPTH: usize = 128;

/// What a frame does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A packet on its way down through the dissectors.
    Receive,
    /// A packet on its way up.
    Send,
    /// Packets of [`Core::departing`] on their way up, one after the other:
    /// `flow` of them, the last at the place in `packet`.
    ///
    /// [`Core::departing`]: super::Core::departing
    SendAll,
    /// A TCP segment at its connection.
    Tcp,
    /// What the native dissector of a connection reads of one direction.
    Application,
    /// Segments of one direction that readers have passed.
    TcpRelease,
    /// A connection is dropped, reset or finished.
    TcpEnd,
    /// An RST for one end or both, then the end.
    TcpReset,
    /// A UDP datagram at its flow.
    Udp,
    /// A datagram that a native dissector reads.
    Datagram,
    UdpEnd,
    /// Timers that are due.
    Timers,
    /// Everything still held is given its verdict.
    Shutdown,
}

/// One piece of work and how far it has come.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub op: Op,
    pub stage: u8,
    /// Meaning depends on `op`: flags, the RST's targets, a reason.
    pub detail: u8,
    pub direction: Direction,
    pub packet: u32,
    pub flow: u32,
    /// Generation of the flow when the frame was pushed, where it matters.
    pub generation: u32,
}

/// The stage of `Op::Send` at which a packet only leaves: all else was done.
pub const JUST_LEAVE: u8 = 3;

impl Frame {
    pub fn packet(op: Op, packet: u32) -> Frame {
        Frame {
            op,
            stage: 0,
            detail: 0,
            direction: Direction::ToServer,
            packet,
            flow: u32::MAX,
            generation: 0,
        }
    }

    pub fn flow(op: Op, flow: u32, direction: Direction) -> Frame {
        Frame {
            op,
            stage: 0,
            detail: 0,
            direction,
            packet: u32::MAX,
            flow,
            generation: 0,
        }
    }

    pub fn at(self, stage: u8) -> Frame {
        Frame { stage, ..self }
    }

    pub fn with(self, detail: u8) -> Frame {
        Frame { detail, ..self }
    }
}

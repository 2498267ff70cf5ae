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
#[repr(u8)]
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

impl Op {
    /// In the order of their numbers.
    const ALL: [Op; 13] = [
        Op::Receive,
        Op::Send,
        Op::SendAll,
        Op::Tcp,
        Op::Application,
        Op::TcpRelease,
        Op::TcpEnd,
        Op::TcpReset,
        Op::Udp,
        Op::Datagram,
        Op::UdpEnd,
        Op::Timers,
        Op::Shutdown,
    ];
}

/// One piece of work and how far it has come.
///
/// Two words, written and read whole: frames are read right after they were
/// written, and a processor has to wait for bytes that were written one by
/// one and are then read at once.
#[derive(Clone, Copy)]
pub struct Frame {
    /// From the lowest byte: op, stage, detail, direction, generation (four).
    what: u64,
    /// Packet, then flow.
    which: u64,
}

/// The stage of `Op::Send` at which a packet only leaves: all else was done.
pub const JUST_LEAVE: u8 = 3;

impl Frame {
    pub fn on_packet(op: Op, packet: u32) -> Frame {
        Frame {
            what: op as u64,
            which: u64::from(packet) | u64::from(u32::MAX) << 32,
        }
    }

    pub fn on_flow(op: Op, flow: u32, direction: Direction) -> Frame {
        Frame {
            what: op as u64 | (direction as u64) << 24,
            which: u64::from(u32::MAX) | u64::from(flow) << 32,
        }
    }

    #[inline(always)]
    pub fn op(self) -> Op {
        let number = self.what as u8 as usize;
        Op::ALL.get(number).copied().unwrap_or(Op::Shutdown)
    }

    #[inline(always)]
    pub fn stage(self) -> u8 {
        (self.what >> 8) as u8
    }

    /// Meaning depends on the op: flags, the RST's targets, a reason.
    #[inline(always)]
    pub fn detail(self) -> u8 {
        (self.what >> 16) as u8
    }

    #[inline(always)]
    pub fn direction(self) -> Direction {
        match (self.what >> 24) as u8 {
            0 => Direction::ToServer,
            _ => Direction::ToClient,
        }
    }

    /// Generation of the flow when the frame was pushed, where it matters.
    #[inline(always)]
    pub fn generation(self) -> u32 {
        (self.what >> 32) as u32
    }

    #[inline(always)]
    pub fn packet(self) -> u32 {
        self.which as u32
    }

    #[inline(always)]
    pub fn flow(self) -> u32 {
        (self.which >> 32) as u32
    }

    pub fn goto(&mut self, stage: u8) {
        *self = self.at(stage);
    }

    #[must_use]
    pub fn at(self, stage: u8) -> Frame {
        let what = self.what & !(0xff << 8) | u64::from(stage) << 8;
        Frame { what, ..self }
    }

    #[must_use]
    pub fn with(self, detail: u8) -> Frame {
        let what = self.what & !(0xff << 16) | u64::from(detail) << 16;
        Frame { what, ..self }
    }

    #[must_use]
    pub fn towards(self, direction: Direction) -> Frame {
        let what = self.what & !(0xff << 24) | (direction as u64) << 24;
        Frame { what, ..self }
    }

    #[must_use]
    pub fn since(self, generation: u32) -> Frame {
        let what = self.what & u64::from(u32::MAX) | u64::from(generation) << 32;
        Frame { what, ..self }
    }

    #[must_use]
    pub fn by(self, packet: u32) -> Frame {
        let which = self.which & !u64::from(u32::MAX) | u64::from(packet);
        Frame { which, ..self }
    }

    #[must_use]
    pub fn of(self, flow: u32) -> Frame {
        let which = self.which & u64::from(u32::MAX) | u64::from(flow) << 32;
        Frame { which, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_keeps_what_it_was_given() {
        for (number, op) in Op::ALL.into_iter().enumerate() {
            assert_eq!(op as usize, number);
            let frame = Frame::on_packet(op, 7)
                .at(0xfe)
                .with(0xfd)
                .towards(Direction::ToClient)
                .since(u32::MAX - 1)
                .of(u32::MAX - 2);
            assert_eq!(
                (frame.op(), frame.stage(), frame.detail()),
                (op, 0xfe, 0xfd)
            );
            assert_eq!(frame.direction(), Direction::ToClient);
            assert_eq!(frame.generation(), u32::MAX - 1);
            assert_eq!((frame.packet(), frame.flow()), (7, u32::MAX - 2));
            let other = frame.by(9).at(0).with(0).towards(Direction::ToServer);
            assert_eq!((other.packet(), other.flow()), (9, u32::MAX - 2));
            assert_eq!((other.stage(), other.detail()), (0, 0));
        }
    }
}

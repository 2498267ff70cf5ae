//! A witness of the traffic that is no rule: it sees packets, bytes and
//! ends of flows as the engine does, and changes nothing.

use super::Core;
use crate::flow::Direction;
use crate::stream::assembler::Piece;

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
    /// The flow leaves the table, for a cause of `proto::tcp::Cause`.
    fn closed(&mut self, core: &Core, flow: u32, cause: u8);
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

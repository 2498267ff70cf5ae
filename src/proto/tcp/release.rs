//! Judged segments leave: as they came, or with the bytes that rules made
//! of them.

use super::Tcp;
use super::connection::Held;
use super::segment::Segment;
use crate::buf::Popped;
use crate::core::{Frame, Op, Step};
use crate::flow::Direction;
use crate::packet::record::{dirty, flag};

/// Lets the oldest held segment of a direction go, if no reader holds it.
pub fn release(mut tcp: Tcp<'_>, frame: Frame) -> Option<Step> {
    if let Some(slot) = tcp.let_plain_go(frame) {
        return tcp.forward(slot);
    }
    let held = tcp
        .half(frame.flow(), frame.direction())
        .and_then(|half| half.heavy.as_ref()?.held.front().copied());
    if held.is_some_and(|held| tcp.let_go_of(frame, held)) {
        return None;
    }
    if let Some(step) = tcp.present_more(frame) {
        return step;
    }
    tcp.core.stack.pop();
    if held.is_some() && tcp.is_paced() {
        tcp.still_held(frame);
    }
    None
}

impl Tcp<'_> {
    /// The short way of most segments: held alone, not in the stream, of a
    /// connection whose numbers nobody changed. Where it is none of these,
    /// nothing is done.
    fn let_plain_go(&mut self, frame: Frame) -> Option<u32> {
        let settings = &self.core.settings;
        let (paced, cap) = (settings.is_paced(), settings.kept_bytes as usize);
        let side = self.core.flows.live(frame.flow())?.side;
        let connection = self.connections.get_mut(side).filter(|_| !paced)?;
        if connection.is_translated() {
            return None;
        }
        let heavy = connection.half(frame.direction()).heavy.as_mut()?;
        let held = heavy.held.front().filter(|_| heavy.held.len() == 1)?;
        let packet = self.core.packets.get_mut(held.packet);
        // Rules may have changed the packet behind our back.
        let complete = packet.payload_at + held.len <= packet.end;
        let plain = held.piece.is_none()
            && complete
            && held.whole
            && held.last
            && held.waits()
            && !held.ends_stream
            && packet.flags & flag::AHEAD == 0;
        if !plain {
            return None;
        }
        let (slot, len) = (held.packet, held.len);
        packet.flags &= !flag::HELD;
        let (extent, at) = (packet.extent, packet.payload_at);
        heavy.held.clear();
        heavy.held_bytes -= len;
        heavy.waiting_bytes -= len;
        let pool = &mut self.core.bufs.extents;
        heavy.kept.push(pool, heavy.map.new_end(), extent, at, len);
        heavy.map.push(u64::from(len), u64::from(len));
        self.core.stats.kept_caps += u64::from(heavy.kept.shrink_to(pool, cap));
        Some(slot)
    }

    /// Takes one piece out of its stream. False when a reader holds it.
    fn let_go_of(&mut self, frame: Frame, held: Held) -> bool {
        let (flow, direction) = (frame.flow(), frame.direction());
        let mut changed = None;
        // Nothing comes behind it: there is nothing to come back for.
        let is_last = !self.is_paced()
            && self
                .half(flow, direction)
                .and_then(|half| half.heavy.as_ref())
                .is_some_and(|heavy| heavy.held.len() == 1);
        if held.piece.is_some() {
            let stream = self
                .half(flow, direction)
                .and_then(|half| half.heavy.as_ref()?.stream);
            let Some(stream) = stream else { return false };
            let Some(popped) = self.core.bufs.stream_pop(stream) else {
                return false;
            };
            changed = self.what_became(flow, direction, held, &popped);
        }
        if let Some(slot) = self.judged(flow, direction, held, changed.as_deref()) {
            let send = Frame::on_packet(Op::Send, slot);
            match self.core.stack.last_mut() {
                Some(top) if is_last && top.op() == Op::TcpRelease => *top = send,
                _ => {
                    self.core.push(send);
                }
            }
        }
        true
    }

    /// What rules made of a piece that has left its stream, unless its bytes
    /// stand in its packet.
    pub(super) fn what_became(
        &mut self,
        flow: u32,
        direction: Direction,
        held: Held,
        popped: &Popped,
    ) -> Option<Vec<u8>> {
        // What has left cannot become anything else.
        if !popped.modified || !held.waits() {
            return None;
        }
        let mut bytes = Vec::with_capacity(popped.len);
        if !popped.whole {
            self.core.bufs.popped_copy(&mut bytes);
        }
        if let Some(half) = self.half(flow, direction) {
            half.heavy().edited = true;
        }
        self.core.packet_mut(held.packet).dirty |= dirty::TRANSPORT;
        Some(bytes).filter(|_| !popped.whole)
    }

    /// A piece was judged: what it became is kept. Returns its packet, to be
    /// sent, if this was its last piece.
    pub(super) fn judged(
        &mut self,
        flow: u32,
        direction: Direction,
        held: Held,
        changed: Option<&[u8]>,
    ) -> Option<u32> {
        if let Some(heavy) = self
            .half(flow, direction)
            .and_then(|half| half.heavy.as_mut())
        {
            heavy.held.pop_front();
            heavy.held_bytes -= held.len;
            heavy.waiting_bytes -= if held.waits() { held.len } else { 0 };
        }
        if !held.left {
            self.keep(flow, direction, held, changed);
        }
        if !held.last {
            return None;
        }
        if self.core.packet(held.packet).flags & flag::AHEAD != 0 {
            self.core.retire_stand_in(held.packet);
            return None;
        }
        self.core.packet_mut(held.packet).flags &= !flag::HELD;
        self.freshen(flow, direction, held.packet);
        if !held.whole || changed.is_some() || self.is_renumbered(flow) {
            self.remake(flow, direction, held.packet);
        }
        Some(held.packet)
    }

    /// Notes what the piece became, for acknowledgements and retransmissions.
    pub(super) fn keep(
        &mut self,
        flow: u32,
        direction: Direction,
        held: Held,
        changed: Option<&[u8]>,
    ) {
        let packet = *self.core.packet(held.packet);
        let cap = self.core.settings.kept_bytes as usize;
        let side = self.core.flows.live(flow).map(|record| record.side);
        let Some(connection) = side.and_then(|side| self.connections.get_mut(side)) else {
            return;
        };
        let heavy = connection.half(direction).heavy();
        let pool = &mut self.core.bufs.extents;
        let start = heavy.map.new_end();
        match changed {
            Some(bytes) => {
                let extent = pool.alloc_packet(bytes);
                heavy.kept.push(pool, start, extent, 0, bytes.len() as u32);
                pool.release(extent);
                heavy.map.push(u64::from(held.len), bytes.len() as u64);
            }
            None => {
                let at = packet.payload_at + held.skip;
                if at + held.len <= packet.end {
                    heavy.kept.push(pool, start, packet.extent, at, held.len);
                }
                heavy.map.push(u64::from(held.len), u64::from(held.len));
            }
        }
        if held.ends_stream {
            // The FIN takes a sequence number too.
            heavy.map.push(1, 1);
        }
        if heavy.kept.shrink_to(pool, cap) {
            self.core.stats.kept_caps += 1;
        }
    }

    /// Gives a packet of which everything was judged its judged form.
    fn remake(&mut self, flow: u32, direction: Direction, slot: u32) {
        if let Some(segment) = Segment::read(self.core, slot) {
            self.rebuild(flow, direction, slot, &segment, false);
        }
    }

    /// Ends the judging of a flow whose readers hold too much: everything
    /// held leaves as it came, and the rest of the flow passes.
    pub(super) fn let_go(&mut self, flow: u32) {
        self.go_unjudged(
            flow,
            "a connection holds more than the caps allow: it goes on unjudged",
        );
    }

    /// As [`Tcp::let_go`], for a reason that the log is told.
    pub(super) fn go_unjudged(&mut self, flow: u32, why: &str) {
        if self.reframes(flow) {
            return self.drop_reframed(flow, why);
        }
        self.core
            .log_line(crate::event::Level::Warn, "tcp", || why.into());
        if let Some(record) = self.core.flows.live_mut(flow) {
            record.flags |= crate::flow::record::flags::IGNORED;
        }
        for direction in Direction::BOTH {
            self.abandon(flow, direction, None);
        }
    }
}

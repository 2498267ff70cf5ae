//! Judged segments leave: as they came, or with the bytes that rules made
//! of them.

use super::Tcp;
use super::connection::Held;
use super::segment::Segment;
use crate::core::{Frame, Op, Step};
use crate::flow::Direction;
use crate::packet::record::{dirty, flag};

/// Lets the oldest held segment of a direction go, if no reader holds it.
pub fn release(mut tcp: Tcp<'_>, frame: Frame) -> Option<Step> {
    let held = tcp.half(frame.flow, frame.direction).and_then(|half| half.heavy.as_ref()?.held.front().copied());
    let Some(held) = held else {
        tcp.core.stack.pop();
        return None;
    };
    if !tcp.let_go_of(frame, held) {
        tcp.core.stack.pop();
    }
    None
}

impl Tcp<'_> {
    /// Takes one piece out of its stream. False when a reader holds it.
    fn let_go_of(&mut self, frame: Frame, held: Held) -> bool {
        let (flow, direction) = (frame.flow, frame.direction);
        let mut changed = None;
        let mut written = false;
        if held.in_stream {
            let stream = self.half(flow, direction).and_then(|half| half.heavy.as_ref()?.stream);
            let Some(stream) = stream else { return false };
            let Some(popped) = self.core.bufs.stream_pop(stream) else { return false };
            if popped.modified && !popped.whole {
                let mut bytes = Vec::with_capacity(popped.len);
                self.core.bufs.popped_copy(&mut bytes);
                changed = Some(bytes);
            }
            written = popped.modified;
        }
        if let Some(heavy) = self.half(flow, direction).and_then(|half| half.heavy.as_mut()) {
            heavy.held.pop_front();
            heavy.held_bytes -= held.len;
        }
        self.keep(flow, direction, held, changed.as_deref());
        if written {
            let packet = self.core.packet_mut(held.packet);
            packet.dirty |= dirty::TRANSPORT;
        }
        if held.last {
            self.leave(flow, direction, held, changed);
        }
        true
    }

    /// Notes what the piece became, for acknowledgements and retransmissions.
    fn keep(&mut self, flow: u32, direction: Direction, held: Held, changed: Option<&[u8]>) {
        let packet = *self.core.packet(held.packet);
        let cap = self.core.settings.kept_bytes as usize;
        let side = self.core.flows.live(flow).map(|record| record.side);
        let Some(connection) = side.and_then(|side| self.connections.get_mut(side)) else { return };
        let heavy = connection.half(direction).heavy();
        let pool = &mut self.core.bufs.extents;
        match changed {
            Some(bytes) => {
                let extent = pool.alloc_packet(bytes);
                heavy.kept.push(pool, held.offset, held.len, extent, 0, bytes.len() as u32, true);
                pool.release(extent);
                heavy.map.push(u64::from(held.len), bytes.len() as u64);
            }
            None => {
                let at = packet.payload_at + held.skip;
                heavy.kept.push(pool, held.offset, held.len, packet.extent, at, held.len, false);
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

    /// The packet's last piece was judged: it goes.
    fn leave(&mut self, flow: u32, direction: Direction, held: Held, changed: Option<Vec<u8>>) {
        let Some(segment) = Segment::read(self.core, held.packet) else {
            self.core.push(Frame::packet(Op::Send, held.packet));
            return;
        };
        let begin = held.offset.saturating_sub(u64::from(held.skip));
        let whole = held.skip == 0 && held.len == segment.len;
        if whole && let Some(bytes) = changed {
            self.core.replace_payload(held.packet, &bytes);
        } else if !whole && !segment.cut {
            self.restore_judged(flow, direction, held.packet, begin, begin + u64::from(segment.len));
        }
        self.renumber(flow, direction, held.packet, &segment);
        self.core.packet_mut(held.packet).flags &= !flag::HELD;
        self.core.push(Frame::packet(Op::Send, held.packet));
    }

    /// Gives a packet the judged bytes for the stream offsets it carries,
    /// where they differ from its own.
    pub(super) fn restore_judged(&mut self, flow: u32, direction: Direction, slot: u32, from: u64, to: u64) {
        let packet = *self.core.packet(slot);
        let own = packet.payload_at as usize..packet.end as usize;
        let mut judged = Vec::new();
        let side = self.core.flows.live(flow).map(|record| record.side);
        let Some(heavy) = side
            .and_then(|side| self.connections.get_mut(side))
            .and_then(|connection| connection.half(direction).heavy.as_ref())
        else {
            return;
        };
        let (_, complete) = heavy.kept.copy(&self.core.bufs.extents, from, to, &mut judged);
        if !complete {
            // Acknowledged and forgotten: its receiver takes none of it.
            return;
        }
        let edited = heavy.map.to_new(to) - heavy.map.to_new(from) != to - from;
        if self.core.bytes(slot).get(own) == Some(judged.as_slice()) {
            return;
        }
        if !edited {
            self.core.stats.conflicts += 1;
            self.core.observe(|observer, core| observer.conflict(core, flow, direction));
        }
        self.core.replace_payload(slot, &judged);
    }

    /// Ends the judging of a flow whose readers hold too much: everything
    /// held leaves as it came, and the rest of the flow passes.
    pub(super) fn let_go(&mut self, flow: u32) {
        self.core.log_line(crate::event::Level::Warn, "tcp", || {
            "a reader holds more than the cap allows: the connection goes on unjudged".into()
        });
        if let Some(record) = self.core.flows.live_mut(flow) {
            record.flags |= crate::flow::record::flags::IGNORED;
        }
        for direction in Direction::BOTH {
            self.abandon(flow, direction, None);
        }
    }
}

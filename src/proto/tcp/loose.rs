//! Bytes that listeners are told of before they are in a stream.
//!
//! Many rules ask how many bytes came, and no more. So a segment that comes
//! alone, in order, to a direction of which nobody holds anything is held
//! like any other, but its bytes enter the stream when a listener looks at
//! them. From then on all bytes of that direction enter it at once: what a
//! rule has kept of one event it may use in the next.

use super::Tcp;
use super::connection::{Connections, Heavy, Held};
use super::segment::Segment;
use crate::core::{Core, Frame, Op, Step};
use crate::event::EventKind;
use crate::packet::record::flag;

/// Puts the bytes of the event under way into their stream. False where there
/// is no room.
pub fn show_piece(tcp: Tcp<'_>) -> bool {
    let there = push_piece(tcp.core, tcp.connections);
    let done = there != Some(false);
    if done {
        tcp.core.settle_loose();
    }
    done
}

/// `None` where the segment is not held any more.
fn push_piece(core: &mut Core, connections: &mut Connections) -> Option<bool> {
    let (flow, direction) = (core.current.flow, core.current.way());
    let connection = connections.get_mut(core.flows.live(flow)?.side)?;
    let signed = connection.signed;
    let heavy = connection.half(direction).heavy.as_mut()?;
    heavy.looked_at = true;
    let (number, stream) = (heavy.loose, heavy.stream?);
    let own = |held: &&mut Held| held.piece.is_none() && held.packet == core.current.packet;
    let held = heavy.held.back_mut().filter(own)?;
    let packet = core.packets.get(held.packet);
    let writable = packet.flags & flag::READ_ONLY == 0 && !signed;
    let (from, len) = ((packet.payload_at + held.skip) as usize, held.len as usize);
    let (extent, bufs) = (packet.extent, &mut core.bufs);
    let pushed = bufs.stream_push_numbered(stream, number, extent, from, len, writable);
    held.piece = pushed.is_ok().then_some(number);
    Some(pushed.is_ok())
}

impl Heavy {
    /// Nothing of the direction is held or queued.
    pub(super) fn is_clear(&self) -> bool {
        self.held.is_empty() && self.assembler.is_empty() && self.early_fin.is_none()
    }
}

impl Tcp<'_> {
    /// Shows listeners a segment, next in order, while its bytes are not in
    /// the stream. `None`, with nothing done, where they have to be there.
    pub(super) fn show_loose(
        &mut self,
        frame: Frame,
        side: u32,
        segment: &Segment,
        offset: i64,
    ) -> Option<Step> {
        let (flow, direction, slot) = (frame.flow(), frame.direction(), frame.packet());
        let core = &mut *self.core;
        let kind = EventKind::TcpReceiveData;
        let whole = segment.len > 0 && !segment.fin() && !segment.syn() && !segment.cut;
        if !whole || !core.hooks.hears(kind) || core.observer.is_some() {
            return None;
        }
        let packet = core.packet(slot);
        if packet.flags & flag::AHEAD != 0 {
            return None;
        }
        let all = packet.payload_at + segment.len == packet.end;
        let connection = self.connections.get_mut(side)?;
        let reader = connection.application.as_ref();
        let read = connection.scripted || reader.is_some_and(|attached| attached.reads());
        let half = connection.half(direction);
        let next = half.next;
        if read || offset != next as i64 {
            return None;
        }
        let heavy = half.heavy();
        if heavy.looked_at || !heavy.is_clear() || heavy.ahead_to > next {
            return None;
        }
        let stream = match heavy.stream {
            Some(stream) => stream,
            None => *heavy.stream.insert(core.bufs.stream_new().ok()?),
        };
        heavy.loose = core.bufs.stream_number(stream).ok()?;
        heavy.repeats_held = false;
        // What is queued from here on waits for another hole.
        heavy.hole_since = core.now;
        heavy.hole_given_up = false;
        heavy.held_bytes += segment.len;
        heavy.waiting_bytes += segment.len;
        heavy.held.push_back(Held {
            packet: slot,
            offset: next,
            len: segment.len,
            skip: 0,
            whole: all,
            last: true,
            ends_stream: false,
            piece: None,
            ahead: false,
            left: false,
            since: core.now,
        });
        let number = heavy.loose;
        half.next += u64::from(segment.len);
        core.packet_mut(slot).flags |= flag::HELD;
        if let Some(top) = core.stack.last_mut() {
            *top = Frame::on_flow(Op::TcpRelease, flow, direction)
                .with(frame.detail())
                .by(slot);
        }
        core.mark_loose();
        let current = &mut core.current;
        current.fresh = segment.len;
        current.finished = 0;
        current.piece = number as u32;
        current.stream = stream.0.index;
        current.stream_generation = stream.0.generation;
        self.event(kind, flow, slot, direction)
    }
}

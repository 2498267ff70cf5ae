//! The bytes of a segment, put in order and in front of the listeners.
//!
//! A direction that nobody reads only keeps count. One that is read holds
//! every segment until its bytes were judged; bytes judged once are never
//! replaced by a retransmission.

use super::Tcp;
use super::connection::{Held, Sums};
use super::segment::Segment;
use crate::core::{Frame, Op, Step};
use crate::event::profile::{CapPolicy, Checksums};
use crate::event::{DropReason, EventKind, Level};
use crate::flow::record::flags;
use crate::packet::record::flag;
use crate::proto::ip::checksums;
use crate::stream::assembler::{Assembler, Inserted, Limits, Piece};

/// Bytes ahead of what is expected that are taken for part of the stream,
/// at least; a larger announced window raises it.
const MIN_WINDOW: u64 = 1 << 20;

impl Tcp<'_> {
    /// Whether anybody reads the streams of this flow.
    fn is_read(&mut self, flow: u32) -> bool {
        if self.core.flows.live(flow).is_some_and(|record| record.has(flags::IGNORED)) {
            return false;
        }
        self.core.hooks.hears(EventKind::TcpReceiveData)
            || self.core.observer.is_some()
            || self.connection(flow).is_some_and(|connection| connection.scripted)
    }

    /// Takes the segment of the top frame into its direction's stream and
    /// sees to it that the packet leaves when it may.
    pub(super) fn deliver(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        if segment.syn() {
            self.begin_half(frame, segment);
        }
        self.note_acknowledgement(frame, segment);
        let read = self.is_read(frame.flow);
        let Some(half) = self.half(frame.flow, frame.direction) else { return self.forward(frame.packet) };
        let data_seq = segment.seq.wrapping_add(u32::from(segment.syn()));
        if !half.started {
            half.base = data_seq;
            half.started = true;
        }
        half.window = u32::from(segment.window) << half.window_scale;
        let offset = half.offset_of(data_seq);
        let end = offset + i64::from(segment.len);
        let next = half.next as i64;
        if segment.len == 0 && !segment.fin() {
            // The SYN tells whether the sender's sums are right.
            if read && segment.syn() && self.half(frame.flow, frame.direction).is_some_and(|half| half.sums == Sums::Unknown) {
                self.checksum_allows(frame);
            }
            return self.pass(frame, segment);
        }
        if !read {
            if segment.fin() && end >= next {
                half.fin = Some(end.max(0) as u64);
                half.finished = true;
            }
            half.next = half.next.max(end.max(0) as u64);
            return self.pass(frame, segment);
        }
        // A keep-alive repeats the byte before the next, or none (RFC 9293,
        // 3.8.4); its byte is garbage by design.
        if segment.len <= 1 && !segment.fin() && offset == next - 1 {
            return self.pass(frame, segment);
        }
        let window = u64::from(self.half(frame.flow, frame.direction.opposite()).map_or(0, |half| half.window));
        if offset - next > MIN_WINDOW.max(2 * window) as i64 {
            self.core.stats.out_of_window += 1;
            return self.pass(frame, segment);
        }
        if segment.len > 0 && !self.checksum_allows(frame) {
            self.core.stats.bad_checksums += 1;
            return self.pass(frame, segment);
        }
        if segment.fin() {
            self.note_fin(frame, end.max(0) as u64);
        }
        if end <= next && segment.len > 0 {
            return self.repeated(frame, segment, offset);
        }
        self.take_in(frame, segment, offset)
    }

    /// Whether a segment may enter the stream, by its checksum.
    fn checksum_allows(&mut self, frame: Frame) -> bool {
        let mode = self.core.settings.checksums;
        if mode == Checksums::Ignore {
            return true;
        }
        let known = self.half(frame.flow, frame.direction).map_or(Sums::Unknown, |half| half.sums);
        if mode == Checksums::Auto && known == Sums::Offloaded {
            return true;
        }
        let right = checksums::transport_is_right(self.core, frame.packet);
        if known == Sums::Unknown {
            let found = if right { Sums::Right } else { Sums::Offloaded };
            if let Some(half) = self.half(frame.flow, frame.direction) {
                half.sums = found;
            }
            return right || mode == Checksums::Auto;
        }
        right
    }

    fn note_fin(&mut self, frame: Frame, end: u64) {
        if let Some(half) = self.half(frame.flow, frame.direction) {
            // The first FIN wins, like the first bytes.
            half.fin.get_or_insert(end);
        }
    }

    /// The other side's bytes that this segment acknowledges need not be
    /// kept any longer.
    fn note_acknowledgement(&mut self, frame: Frame, segment: &Segment) {
        if !segment.ack_set() {
            return;
        }
        let Some(other) = self.half(frame.flow, frame.direction.opposite()) else { return };
        if !other.started {
            return;
        }
        let acked = match &other.heavy {
            Some(heavy) => {
                let on_wire = other.base.wrapping_add(heavy.map.new_end() as u32);
                let new = heavy.map.new_end() as i64 + i64::from(segment.ack.wrapping_sub(on_wire) as i32);
                heavy.map.ack_to_orig(new.max(0) as u64)
            }
            None => other.offset_of(segment.ack).max(0) as u64,
        };
        if acked <= other.acked {
            return;
        }
        other.acked = acked;
        let side = self.core.flows.live(frame.flow).map(|record| record.side);
        let Some(connection) = side.and_then(|side| self.connections.get_mut(side)) else { return };
        if let Some(heavy) = &mut connection.halves[frame.direction.opposite().index()].heavy {
            heavy.kept.acknowledge(&mut self.core.bufs.extents, acked);
            heavy.map.prune(acked);
        }
    }

    /// Lets a packet go that brings no new bytes.
    pub(super) fn pass(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        self.renumber(frame.flow, frame.direction, frame.packet, segment);
        self.forward(frame.packet)
    }

    /// All bytes of the segment were judged before.
    fn repeated(&mut self, frame: Frame, segment: &Segment, offset: i64) -> Option<Step> {
        self.core.stats.retransmissions += 1;
        let level = if self.core.settings.defaults.warn_retransmissions { Level::Warn } else { Level::Debug };
        self.core.log_line(level, "tcp", || "retransmit packet (ignored)".into());
        let start = offset.max(0) as u64;
        let end = (offset + i64::from(segment.len)).max(0) as u64;
        let released = self.half(frame.flow, frame.direction).map_or(0, |half| half.released());
        if end > released {
            // Its first copy is still held and will leave once judged.
            self.core.stack.pop();
            self.core.drop_packet(frame.packet, DropReason::Retransmission);
            return None;
        }
        if !segment.cut {
            self.restore_judged(frame.flow, frame.direction, frame.packet, start, end);
        }
        self.renumber(frame.flow, frame.direction, frame.packet, segment);
        self.forward(frame.packet)
    }

    fn take_in(&mut self, frame: Frame, segment: &Segment, offset: i64) -> Option<Step> {
        let limits = Limits {
            bytes: u64::from(self.core.settings.reassembly_bytes),
            segments: self.core.settings.reassembly_segments,
        };
        let Some(half) = self.half(frame.flow, frame.direction) else { return self.forward(frame.packet) };
        let next = half.next;
        let before_base = (-offset).clamp(0, i64::from(segment.len)) as u32;
        let start = offset.max(0) as u64;
        let len = segment.len - before_base;
        if len == 0 {
            // A FIN alone, in order or ahead of its time.
            return self.lone_fin(frame, segment, start);
        }
        let heavy = half.heavy();
        if heavy.assembler.is_empty() && start > next {
            heavy.assembler = Assembler::new(limits);
        }
        match heavy.assembler.insert(next, start, len, frame.packet) {
            Inserted::Duplicate => {
                self.core.stats.retransmissions += 1;
                self.core.stack.pop();
                self.core.drop_packet(frame.packet, DropReason::Retransmission);
                None
            }
            Inserted::Refused(_) => {
                self.core.stats.reassembly_caps += 1;
                self.at_cap(frame, segment, DropReason::ReassemblyCap)
            }
            Inserted::Accepted { ready: None, .. } => {
                self.core.packet_mut(frame.packet).flags |= flag::HELD;
                self.core.stack.pop();
                None
            }
            Inserted::Accepted { ready: Some(piece), .. } => {
                self.core.packet_mut(frame.packet).flags |= flag::HELD;
                let piece = Piece { skip: piece.skip + before_base, ..piece };
                self.present(frame, piece)
            }
        }
    }

    /// A FIN without bytes of its own.
    fn lone_fin(&mut self, frame: Frame, segment: &Segment, at: u64) -> Option<Step> {
        let Some(half) = self.half(frame.flow, frame.direction) else { return self.forward(frame.packet) };
        let (next, finished) = (half.next, half.finished);
        if at != next || finished {
            // Repeated, or bytes before it are missing: it ends the stream
            // when they have come; the receiver waits for them as well.
            return self.pass(frame, segment);
        }
        let empty = Piece { offset: at, len: 0, skip: 0, token: frame.packet, last: true };
        self.core.packet_mut(frame.packet).flags |= flag::HELD;
        self.present(frame, empty)
    }

    /// Gives readers the piece in order and all that follow it.
    fn present(&mut self, frame: Frame, first: Piece) -> Option<Step> {
        let (flow, direction) = (frame.flow, frame.direction);
        let fresh_from = self.half(flow, direction).map_or(0, |half| half.next);
        let mut first_number = None;
        let mut piece = Some(first);
        while let Some(ready) = piece {
            let number = self.append(frame, ready);
            first_number = first_number.or(number);
            let Some(half) = self.half(flow, direction) else { break };
            half.next = ready.end().max(half.next);
            let next = half.next;
            piece = half.heavy.as_mut().and_then(|heavy| heavy.assembler.pop_ready(next));
        }
        let ended = self.half(flow, direction).is_some_and(|half| {
            let ends = !half.finished && half.fin.is_some_and(|fin| fin <= half.next);
            half.finished |= ends;
            ends
        });
        let stream = self.half(flow, direction).and_then(|half| half.heavy.as_ref()?.stream);
        let (fresh, finished) = self.half(flow, direction).map_or((0, false), |half| (half.next - fresh_from, half.finished));
        if let (true, Some(stream)) = (ended, stream) {
            // Fails only for a stream that is finished already.
            let _ = self.core.bufs.stream_finish(stream);
        }
        let over_cap = self.half(flow, direction).is_some_and(|half| {
            half.heavy.as_ref().is_some_and(|heavy| heavy.held.len() > 1)
        }) && self.held_bytes(frame) > self.core.settings.hold_bytes;
        if over_cap {
            self.core.stats.hold_caps += 1;
            self.core.stack.pop();
            self.let_go(flow);
            return None;
        }
        if let Some(top) = self.core.stack.last_mut() {
            *top = Frame::flow(Op::TcpRelease, flow, direction);
        }
        if fresh == 0 && !ended {
            return None;
        }
        let current = &mut self.core.current;
        current.fresh = fresh as u32;
        current.finished = u32::from(finished);
        current.piece = first_number.unwrap_or(0) as u32;
        if let Some(stream) = stream {
            current.stream = stream.0.index;
            current.stream_generation = stream.0.generation;
        }
        self.event(EventKind::TcpReceiveData, flow, frame.packet, direction)
    }

    /// Puts one piece at the end of the stream. Returns its number there.
    fn append(&mut self, frame: Frame, piece: Piece) -> Option<u64> {
        let (flow, direction) = (frame.flow, frame.direction);
        let packet = *self.core.packet(piece.token);
        let from = packet.payload_at + piece.skip;
        let to = (from + piece.len).min(packet.end);
        if self.core.observer.is_some() {
            self.core.observe(|observer, core| {
                let bytes = core.bytes(piece.token).get(from as usize..to as usize).unwrap_or_default();
                observer.bytes(core, flow, direction, bytes, piece.len as usize);
            });
        }
        let mut number = None;
        if self.core.streams {
            let stream = self.stream(frame)?;
            let writable = packet.flags & flag::READ_ONLY == 0;
            let len = to.saturating_sub(from) as usize;
            number = self.core.bufs.stream_push(stream, packet.extent, from as usize, len, writable).ok();
        }
        let half = self.half(flow, direction)?;
        let ends_stream = !half.finished && half.fin == Some(piece.end());
        let heavy = half.heavy();
        heavy.held_bytes += piece.len;
        heavy.held.push_back(Held {
            packet: piece.token,
            offset: piece.offset,
            len: piece.len,
            skip: piece.skip,
            last: piece.last,
            ends_stream,
            in_stream: number.is_some(),
        });
        number
    }

    fn stream(&mut self, frame: Frame) -> Option<crate::buf::BufId> {
        let existing = self.half(frame.flow, frame.direction)?.heavy().stream;
        if existing.is_some() {
            return existing;
        }
        let made = self.core.bufs.stream_new().ok()?;
        self.half(frame.flow, frame.direction)?.heavy().stream = Some(made);
        Some(made)
    }

    fn held_bytes(&mut self, frame: Frame) -> u32 {
        self.half(frame.flow, frame.direction).and_then(|half| half.heavy.as_ref()).map_or(0, |heavy| heavy.held_bytes)
    }

    /// A cap of the direction is reached: the packet goes on unjudged, or
    /// not at all.
    fn at_cap(&mut self, frame: Frame, segment: &Segment, reason: DropReason) -> Option<Step> {
        match self.core.settings.hold_policy {
            CapPolicy::Drop => {
                self.core.stack.pop();
                self.core.drop_packet(frame.packet, reason);
                None
            }
            CapPolicy::Release => {
                self.core.stats.unjudged += 1;
                self.pass(frame, segment)
            }
        }
    }
}

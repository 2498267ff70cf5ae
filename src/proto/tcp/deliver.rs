//! The bytes of a segment, put in order and in front of the listeners.
//!
//! A direction that nobody reads only keeps count. One that is read holds
//! every segment until its bytes were judged; bytes judged once are never
//! replaced by a retransmission.

use super::connection::{EarlyFin, Held};
use super::segment::Segment;
use super::sums::Sums;
use super::vouch::Again;
use super::{Tcp, cause};
use crate::buf::BufId;
use crate::core::{Frame, Op, Step};
use crate::event::profile::CapPolicy;
use crate::event::{DropReason, EventKind, Level};
use crate::flow::Direction;
use crate::flow::record::flags;
use crate::packet::decode::TcpHeader;
use crate::packet::record::flag;
use crate::proto::application::Lost;
use crate::stream::assembler::{Assembler, Cap, Inserted, Limits, Piece};

/// Bytes ahead of what is expected that are taken for part of the stream,
/// at least; a larger announced window raises it.
const MIN_WINDOW: u64 = 1 << 20;

/// Bytes that readers are given at a time where senders do not wait for all
/// of them: what one packet may bring. What was judged of them leaves before
/// they see more.
const AT_ONCE: u64 = 1 << 16;

impl Tcp<'_> {
    /// Takes the segment of the top frame into its direction's stream and
    /// sees to it that the packet leaves when it may.
    pub(super) fn deliver(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        let (flow, direction) = (frame.flow(), frame.direction());
        if segment.syn() {
            self.begin_half(frame, segment);
        }
        let Some(record) = self.core.flows.live(flow) else {
            return self.forward(frame.packet());
        };
        let (side, ignored) = (record.side, record.has(flags::IGNORED));
        let Some(connection) = self.connections.get_mut(side) else {
            return self.forward(frame.packet());
        };
        // Whether anybody reads the streams.
        let read = !ignored
            && (self.core.hooks.hears(EventKind::TcpReceiveData)
                || self.core.observer.is_some()
                || connection.scripted
                || connection.application.is_some());
        let renumbered = connection.is_translated();
        let window = u64::from(connection.half(direction.opposite()).window);
        let shift = if segment.syn() {
            0
        } else {
            connection.window_shift(direction)
        };
        let half = connection.half(direction);
        let data_seq = segment.seq.wrapping_add(u32::from(segment.syn()));
        if !half.started {
            half.base = data_seq;
            half.started = true;
        }
        half.window = u32::from(segment.window) << shift;
        let offset = half.offset_of(data_seq);
        let end = offset + i64::from(segment.len);
        let next = half.next as i64;
        let bare = segment.len == 0 && !segment.fin();
        // The SYN tells already whether the sender's sums are right. A wrong
        // sum must not be made right by a rewrite.
        let verified = renumbered || read && (!bare || segment.syn() && half.sums == Sums::Unknown);
        let mut allowed = true;
        if verified {
            (half.sums, allowed) = half.sums.judge(self.core, frame.packet(), segment.len > 0);
        }
        if !allowed {
            self.core.stats.bad_checksums += 1;
            if renumbered {
                self.core.stack.pop();
                self.core.drop_packet(frame.packet(), DropReason::Checksum);
                return None;
            }
            return self.forward(frame.packet());
        }
        let news = self.note_acknowledgement(frame, side, segment);
        let frame = frame.with(u8::from(news));
        if read && offset <= next && self.is_paced() {
            self.note_stamp(frame);
        }
        if bare {
            return self.pass(frame, segment);
        }
        if !read {
            let again = match end <= next {
                true => self.vouched_again(flow, direction, frame.packet(), segment),
                false => Again::new(),
            };
            self.unread(flow, direction, frame.packet(), segment);
            let sent = self.forward(frame.packet());
            self.core.send_all(&again, 0);
            return sent;
        }
        if offset - next > MIN_WINDOW.max(2 * window) as i64 {
            self.core.stats.out_of_window += 1;
            return self.pass(frame, segment);
        }
        let Some(connection) = self.connections.get_mut(side) else {
            return self.forward(frame.packet());
        };
        let half = connection.half(direction);
        if segment.len > 0 && half.fin.is_some_and(|fin| offset >= fin as i64) {
            // The stream has ended before it: nobody takes it.
            self.core.stats.unexpected_segments += 1;
            self.core.stack.pop();
            self.core
                .drop_packet(frame.packet(), DropReason::UnexpectedPacket);
            return None;
        }
        if segment.fin() && end >= next {
            // The first FIN wins, like the first bytes.
            half.fin.get_or_insert(end as u64);
        }
        let ends = segment.fin() && !half.finished && half.fin == Some(end.max(0) as u64);
        match (end <= next, ends) {
            (true, true) => self.fin(frame, segment, end as u64),
            (true, false) => self.repeated(frame, segment, offset),
            (false, _) if segment.len == 0 => self.early_fin(frame, segment, end as u64),
            (false, _) => match self.show_loose(frame, side, segment, offset) {
                None => self.take_in(frame, segment, offset, ends),
                shown => shown,
            },
        }
    }

    /// Numbers and bytes of a packet that nobody reads any more, or never
    /// did; the stream has passed it afterwards.
    pub(super) fn unread(&mut self, flow: u32, direction: Direction, slot: u32, segment: &Segment) {
        let Some(half) = self.half(flow, direction) else {
            return;
        };
        let end = half.offset_of(segment.seq.wrapping_add(u32::from(segment.syn())))
            + i64::from(segment.len);
        if half.heavy.is_some() {
            self.rebuild(flow, direction, slot, segment, true);
        } else {
            self.renumber(flow, direction, slot, segment);
        }
        let Some(half) = self.half(flow, direction) else {
            return;
        };
        let end = end.max(0) as u64;
        let ends = segment.fin() && !half.finished && end >= half.next;
        half.skip_to(end);
        if ends {
            half.fin = Some(end);
            half.finished = true;
            if let Some(heavy) = &mut half.heavy {
                heavy.map.push(1, 1);
            }
        }
    }

    /// Lets a packet go that brings no new bytes.
    pub(super) fn pass(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        self.renumber(frame.flow(), frame.direction(), frame.packet(), segment);
        self.forward(frame.packet())
    }

    /// All bytes of the segment were judged before, or are held.
    fn repeated(&mut self, frame: Frame, segment: &Segment, offset: i64) -> Option<Step> {
        if segment.len > 0 {
            self.core.stats.retransmissions += 1;
            let level = if self.core.settings.defaults.warn_retransmissions {
                Level::Warn
            } else {
                Level::Debug
            };
            self.core
                .log_line(level, "tcp", || "retransmit packet (ignored)".into());
        }
        let released = self
            .half(frame.flow(), frame.direction())
            .map_or(0, |half| {
                let fin = half.finished && half.heavy.is_some() && half.all_left();
                half.released() + u64::from(fin)
            });
        let (flow, direction, slot) = (frame.flow(), frame.direction(), frame.packet());
        let end = (offset + i64::from(segment.len)).max(0) as u64;
        if offset.max(0) as u64 >= released {
            // Its first copy is still held and will leave once judged.
            self.superseded(frame);
        } else {
            let again = self.vouched_again(flow, direction, slot, segment);
            self.rebuild(flow, direction, slot, segment, false);
            self.forward(slot);
            self.core.send_all(&again, 0);
        }
        if end > released && segment.len > 0 {
            self.asked_for_held(frame);
        }
        None
    }

    /// Everything in the packet is held already: the first copy leaves.
    pub(super) fn superseded(&mut self, frame: Frame) -> Option<Step> {
        self.core.stack.pop();
        if self.is_paced() {
            self.tell_acknowledgement(frame);
        }
        self.core
            .drop_packet(frame.packet(), DropReason::Retransmission);
        None
    }

    fn take_in(
        &mut self,
        frame: Frame,
        segment: &Segment,
        offset: i64,
        ends: bool,
    ) -> Option<Step> {
        let limits = Limits {
            bytes: u64::from(self.core.settings.reassembly_bytes),
            segments: self.core.settings.reassembly_segments,
        };
        let Some(half) = self.half(frame.flow(), frame.direction()) else {
            return self.forward(frame.packet());
        };
        let next = half.next;
        let before_base = (-offset).clamp(0, i64::from(segment.len)) as u32;
        let start = offset.max(0) as u64;
        let heavy = half.heavy();
        if heavy.assembler.is_empty() && start > next {
            heavy.assembler = Assembler::new(limits);
        }
        match heavy.assembler.insert_part(
            next,
            start,
            segment.len - before_base,
            before_base,
            frame.packet(),
        ) {
            Inserted::Duplicate if ends => {
                self.early_fin(frame, segment, start + u64::from(segment.len - before_base))
            }
            Inserted::Duplicate => {
                self.core.stats.retransmissions += 1;
                self.repeated_behind_hole(frame, segment)
            }
            Inserted::Refused(refusal) => {
                self.core.stats.reassembly_caps += 1;
                let (name, limit) = match refusal {
                    Cap::Bytes => ("reassembly_bytes", limits.bytes),
                    Cap::Segments => ("reassembly_segments", u64::from(limits.segments)),
                };
                self.core.tell_cap(Some(frame.flow()), name, limit);
                self.at_cap(frame, segment)
            }
            Inserted::Accepted { ready: None, .. } => {
                self.core.packet_mut(frame.packet()).flags |= flag::HELD;
                self.core.stack.pop();
                if self.is_paced() {
                    self.behind_hole(frame, segment);
                }
                None
            }
            Inserted::Accepted {
                ready: Some(piece), ..
            } if self.pass_over(frame, segment, piece) => self.forward(frame.packet()),
            Inserted::Accepted {
                ready: Some(piece), ..
            } => {
                self.core.packet_mut(frame.packet()).flags |= flag::HELD;
                self.present(frame, piece)
            }
        }
    }

    /// A FIN in order whose packet has no bytes that are new.
    fn fin(&mut self, frame: Frame, segment: &Segment, at: u64) -> Option<Step> {
        self.core.packet_mut(frame.packet()).flags |= flag::HELD;
        self.present(
            frame,
            Piece {
                offset: at,
                len: 0,
                skip: segment.len,
                token: frame.packet(),
                last: true,
            },
        )
    }

    /// A FIN before whose place bytes are missing: it waits for them.
    fn early_fin(&mut self, frame: Frame, segment: &Segment, at: u64) -> Option<Step> {
        let Some(half) = self.half(frame.flow(), frame.direction()) else {
            return self.forward(frame.packet());
        };
        let expected = half.fin == Some(at);
        let heavy = half.heavy();
        if heavy.early_fin.is_some() || !expected {
            return self.superseded(frame);
        }
        heavy.early_fin = Some(EarlyFin {
            packet: frame.packet(),
            at,
            skip: segment.len,
        });
        self.core.packet_mut(frame.packet()).flags |= flag::HELD;
        self.core.stack.pop();
        if self.is_paced() {
            self.behind_hole(frame, segment);
        }
        None
    }

    /// Gives readers what was in order behind the pieces that they have seen.
    /// The top frame is what takes note of what they let go.
    pub(super) fn present_more(&mut self, frame: Frame) -> Option<Option<Step>> {
        if !self.is_paced() {
            return None;
        }
        let piece = self.half(frame.flow(), frame.direction())?.next_piece()?;
        Some(self.present(frame.by(piece.token), piece))
    }

    /// Gives readers the piece in order and all that follow it; inline, as
    /// many as they may have in hand at a time.
    fn present(&mut self, frame: Frame, first: Piece) -> Option<Step> {
        let (flow, direction) = (frame.flow(), frame.direction());
        let now = self.core.now;
        let (fresh_from, was_finished) = self.half(flow, direction).map_or((0, false), |half| {
            let was = (half.next, half.finished);
            let heavy = half.heavy();
            if !heavy.assembler.is_empty() || heavy.early_fin.is_some() {
                // Readers that were waited for as the hole was have their own
                // time from now on.
                heavy.heard_at = now;
            }
            heavy.repeats_held = false;
            was
        });
        let most = match self.is_paced() {
            true => AT_ONCE,
            false => u64::MAX,
        };
        let mut first_number = None;
        let mut piece = Some(first);
        while let Some(ready) = piece {
            let number = self.append(frame, ready);
            first_number = first_number.or(number);
            let Some(half) = self.half(flow, direction) else {
                break;
            };
            half.next = ready.end().max(half.next);
            if half.next - fresh_from >= most {
                break;
            }
            piece = half.next_piece();
        }
        let Some(half) = self.half(flow, direction) else {
            return self.forward(frame.packet());
        };
        let (fresh, finished) = (half.next - fresh_from, half.finished);
        let ended = finished && !was_finished;
        let heavy = half.heavy();
        // What is queued from here on waits for another hole.
        heavy.hole_since = now;
        heavy.hole_given_up &= !heavy.assembler.is_empty() || heavy.early_fin.is_some();
        let (stream, held, pieces) = (heavy.stream, heavy.held_bytes, heavy.held.len());
        if ended {
            self.core
                .observe(|observer, core| observer.finished(core, flow, direction));
            self.end_stream(flow, direction, stream);
        }
        if pieces > 1 && held > self.core.settings.hold_bytes {
            self.core.stats.hold_caps += 1;
            return self.held_too_much(flow);
        }
        if let Some(top) = self.core.stack.last_mut() {
            // Readers may hold the packet, but not what it acknowledges.
            *top = Frame::on_flow(Op::TcpRelease, flow, direction)
                .with(frame.detail())
                .by(frame.packet());
        }
        if fresh == 0 && !ended {
            return None;
        }
        self.hand_over(frame, first_number, fresh > 0);
        let current = &mut self.core.current;
        current.fresh = fresh as u32;
        current.finished = u32::from(finished);
        current.piece = first_number.unwrap_or(0) as u32;
        if let Some(stream) = stream {
            current.stream = stream.0.index;
            current.stream_generation = stream.0.generation;
        }
        self.event(EventKind::TcpReceiveData, flow, frame.packet(), direction)
    }

    /// Has the native dissector read, once the listeners of the bytes
    /// themselves are done.
    fn hand_over(&mut self, frame: Frame, piece: Option<u64>, fresh: bool) {
        let (flow, direction) = (frame.flow(), frame.direction());
        let generation = self.core.flows.live(flow).map(|record| record.generation());
        let Some(generation) = generation else { return };
        let attached = self
            .connection(flow)
            .and_then(|connection| connection.application.as_mut())
            .filter(|attached| attached.reads());
        let Some(attached) = attached else { return };
        match piece {
            Some(piece) if fresh => attached.arrived(direction, piece),
            None if fresh => attached.lost(direction, Lost::NoRoom),
            _ => {}
        }
        let work = Frame::on_flow(Op::Application, flow, direction);
        self.core.push(work.since(generation).by(frame.packet()));
    }

    /// Readers know that nothing follows; what is queued behind the FIN does
    /// not count.
    fn end_stream(&mut self, flow: u32, direction: Direction, stream: Option<BufId>) {
        if let Some(stream) = stream {
            // Fails only for a stream that is finished already.
            let _ = self.core.bufs.stream_finish(stream);
        }
        let Some(half) = self.half(flow, direction) else {
            return;
        };
        let heavy = half.heavy();
        let beyond: Vec<Piece> = heavy.assembler.drain().filter(|piece| piece.last).collect();
        // The FIN came with bytes, and once more before they were in order.
        if let Some(again) = heavy.early_fin.take() {
            self.core.packet_mut(again.packet).flags &= !flag::HELD;
            self.core
                .drop_packet(again.packet, DropReason::Retransmission);
        }
        for piece in beyond {
            self.core.packet_mut(piece.token).flags &= !flag::HELD;
            self.core
                .drop_packet(piece.token, DropReason::UnexpectedPacket);
        }
    }

    /// Puts one piece at the end of the stream. Returns its number there.
    fn append(&mut self, frame: Frame, piece: Piece) -> Option<u64> {
        let (flow, direction) = (frame.flow(), frame.direction());
        let packet = *self.core.packet(piece.token);
        let from = packet.payload_at + piece.skip;
        let to = (from + piece.len).min(packet.end);
        if self.core.observer.is_some() {
            self.core.observe(|observer, core| {
                let bytes = core
                    .bytes(piece.token)
                    .get(from as usize..to as usize)
                    .unwrap_or_default();
                observer.bytes(core, flow, direction, bytes, piece.len as usize);
            });
        }
        let fin = self
            .core
            .bytes(piece.token)
            .get(packet.transport_at as usize + 13)
            .is_some_and(|flags| flags & TcpHeader::FIN != 0);
        let signed = self.connection(flow)?.signed;
        let ahead = packet.flags & flag::AHEAD != 0;
        let frozen = ahead || piece.offset < self.half(flow, direction)?.heavy().ahead_to;
        let mut number = None;
        if self.core.streams {
            let stream = self.stream(frame)?;
            // What is not all there, is signed, or has left cannot be rewritten.
            let writable =
                packet.flags & (flag::READ_ONLY | flag::SNAPPED) == 0 && !signed && !frozen;
            let len = to.saturating_sub(from) as usize;
            number = self
                .core
                .bufs
                .stream_push(stream, packet.extent, from as usize, len, writable)
                .ok();
            if len < piece.len as usize
                && let Some(attached) = &mut self.connection(flow)?.application
            {
                attached.lost(direction, Lost::NotCaptured);
            }
        }
        let since = self.core.now;
        let half = self.half(flow, direction)?;
        let ends_stream = fin && piece.last && !half.finished && half.fin == Some(piece.end());
        half.finished |= ends_stream;
        let heavy = half.heavy();
        heavy.held_bytes += piece.len;
        heavy.waiting_bytes += if ahead { 0 } else { piece.len };
        heavy.held.push_back(Held {
            packet: piece.token,
            offset: piece.offset,
            len: piece.len,
            skip: piece.skip,
            whole: piece.skip == 0 && piece.last && from + piece.len == packet.end,
            last: piece.last,
            ends_stream,
            piece: number,
            ahead,
            left: false,
            since,
        });
        number
    }

    fn stream(&mut self, frame: Frame) -> Option<BufId> {
        let existing = self.half(frame.flow(), frame.direction())?.heavy().stream;
        if existing.is_some() {
            return existing;
        }
        let made = self.core.bufs.stream_new().ok()?;
        self.half(frame.flow(), frame.direction())?.heavy().stream = Some(made);
        Some(made)
    }

    /// The reassembly queue is full: the segment is left to be sent again,
    /// or the connection goes on unjudged.
    fn at_cap(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        let policy = match self.reframes(frame.flow()) {
            true => CapPolicy::Drop,
            false => self.core.settings.hold_policy,
        };
        match policy {
            CapPolicy::Drop => {
                self.core.stack.pop();
                self.core
                    .drop_packet(frame.packet(), DropReason::ReassemblyCap);
                None
            }
            CapPolicy::Release => {
                self.core.stack.pop();
                let bottom = self.core.stack.len();
                self.let_go(frame.flow());
                self.core.stats.unjudged += 1;
                self.unread(frame.flow(), frame.direction(), frame.packet(), segment);
                self.core
                    .stack
                    .insert(bottom, Frame::on_packet(Op::Send, frame.packet()));
                None
            }
        }
    }

    /// Readers hold more than they may: all of it leaves unjudged, or the
    /// connection is dropped.
    fn held_too_much(&mut self, flow: u32) -> Option<Step> {
        self.core.stack.pop();
        let limit = u64::from(self.core.settings.hold_bytes);
        self.core.tell_cap(Some(flow), "hold_bytes", limit);
        match self.core.settings.hold_policy {
            CapPolicy::Release => self.let_go(flow),
            CapPolicy::Drop => self.drop_held(flow),
        }
        None
    }

    /// Drops a connection of which too much is held.
    pub(super) fn drop_held(&mut self, flow: u32) {
        for direction in Direction::BOTH {
            self.abandon(flow, direction, Some(DropReason::HoldCap));
        }
        self.core
            .push(Frame::on_flow(Op::TcpEnd, flow, Direction::ToServer).with(cause::DROPPED));
    }
}

//! Segments that leave although their bytes stay with their readers.
//!
//! Inline, whoever sends a segment waits for its acknowledgement, and a
//! segment behind a hole can only be read once the hole is filled. Such a
//! segment may leave ahead of its judgement: a record without a verdict of
//! its own stands in for it with readers, who go on and may still drop or
//! reset the connection. Only editing is over: bytes that have left, and all
//! before them, are frozen, so that no number moves that was told already.
//! Not here: when a segment has waited long enough (`patience`).

use std::ops::Range;

use smallvec::SmallVec;

use super::Tcp;
use super::connection::Held;
use super::renumber::forward;
use super::segment::Segment;
use crate::buf::Frozen;
use crate::core::{Frame, Step};
use crate::event::EventKind;
use crate::flow::Direction;
use crate::flow::record::flags;
use crate::packet::record::{dirty, flag};

/// Packets that leave, each with the record that stands in for it.
type Leaving = SmallVec<[(u32, u32); 16]>;

impl Tcp<'_> {
    /// Whether anything of a flow may change its bytes from here on.
    pub(super) fn may_edit(&mut self, flow: u32) -> bool {
        let ignored = self
            .core
            .flows
            .live(flow)
            .is_none_or(|record| record.has(flags::IGNORED));
        if ignored || self.core.settings.pass_through {
            return false;
        }
        let listeners = self.core.hooks.hears(EventKind::TcpReceiveData);
        self.connection(flow).is_some_and(|connection| {
            let application = connection.application.as_ref();
            !connection.signed
                && (listeners
                    || connection.scripted
                    || application.is_some_and(|attached| attached.edits()))
        })
    }

    /// Lets what waits in a direction leave: what readers hold, and with
    /// `queue` what is behind a hole too.
    pub(super) fn leave_ahead(&mut self, flow: u32, direction: Direction, queue: bool) {
        let packets = self.packets_waiting(flow, direction, queue);
        if packets.is_empty() {
            return;
        }
        let frozen = self.freeze_held(flow, direction);
        let mut leaving = Leaving::new();
        for packet in packets {
            match self.core.stand_in(packet) {
                Some(other) => leaving.push((packet, other)),
                None => {
                    for (_, other) in leaving {
                        self.core.retire_stand_in(other);
                    }
                    return self.let_go(flow);
                }
            }
        }
        self.rename(flow, direction, &leaving, 0..u64::MAX);
        self.note_left(flow, direction, &frozen);
        self.send_ahead(flow, direction, &leaving);
    }

    /// Sends one packet on of which all is behind a hole.
    pub(super) fn hurry(&mut self, flow: u32, direction: Direction, slot: u32, place: Range<u64>) {
        let Some(other) = self.core.stand_in(slot) else {
            return self.let_go(flow);
        };
        let leaving = Leaving::from_slice(&[(slot, other)]);
        self.rename(flow, direction, &leaving, place);
        self.send_ahead(flow, direction, &leaving);
    }

    /// The packets that would leave, in the order of the stream.
    fn packets_waiting(&mut self, flow: u32, direction: Direction, queue: bool) -> Vec<u32> {
        let half = self.half(flow, direction);
        let Some(heavy) = half.and_then(|half| half.heavy.as_ref()) else {
            return Vec::new();
        };
        let held = heavy.held.iter().filter(|held| held.waits());
        let mut packets: Vec<u32> = held.map(|held| held.packet).collect();
        if queue {
            packets.extend(heavy.assembler.pieces().map(|piece| piece.token));
            packets.extend(heavy.early_fin.map(|fin| fin.packet));
        }
        let mut seen = std::collections::HashSet::new();
        packets
            .retain(|&slot| self.core.packet(slot).flags & flag::AHEAD == 0 && seen.insert(slot));
        packets
    }

    /// Makes the pieces that leave unchangeable, as they are now.
    fn freeze_held(&mut self, flow: u32, direction: Direction) -> Vec<Frozen> {
        let half = self.half(flow, direction);
        let Some(heavy) = half.and_then(|half| half.heavy.as_ref()) else {
            return Vec::new();
        };
        let first = heavy
            .held
            .iter()
            .skip(heavy.left())
            .find_map(|held| held.piece);
        let (Some(stream), Some(first)) = (heavy.stream, first) else {
            return Vec::new();
        };
        self.core
            .bufs
            .stream_freeze(stream, first)
            .unwrap_or_default()
    }

    /// Has other records hold what packets held: what is in order, and what
    /// is queued in a range.
    fn rename(&mut self, flow: u32, direction: Direction, leaving: &Leaving, queued: Range<u64>) {
        let mut names = leaving.clone();
        names.sort_unstable();
        let Some(heavy) = self
            .half(flow, direction)
            .and_then(|half| half.heavy.as_mut())
        else {
            return;
        };
        let new = |token: u32| {
            let found = names.binary_search_by_key(&token, |&(packet, _)| packet);
            let found = found.ok().and_then(|place| names.get(place));
            found.map_or(token, |&(_, other)| other)
        };
        let first = heavy.left();
        for held in heavy.held.iter_mut().skip(first) {
            held.packet = new(held.packet);
        }
        heavy.assembler.rename(queued, new);
        if let Some(fin) = &mut heavy.early_fin {
            fin.packet = new(fin.packet);
        }
    }

    /// Notes what every piece in order has become by leaving.
    fn note_left(&mut self, flow: u32, direction: Direction, frozen: &[Frozen]) {
        let half = self.half(flow, direction);
        let Some(heavy) = half.and_then(|half| half.heavy.as_mut()) else {
            return;
        };
        let first = heavy.left();
        let mut pieces: SmallVec<[Held; 16]> = SmallVec::new();
        for held in heavy.held.iter_mut().skip(first) {
            pieces.push(*held);
            held.left = true;
        }
        heavy.waiting_bytes = 0;
        for held in pieces {
            let became = held
                .piece
                .filter(|_| held.waits())
                .and_then(|piece| frozen.binary_search_by_key(&piece, |one| one.piece).ok())
                .and_then(|place| frozen.get(place));
            if became.is_some_and(|became| became.modified)
                && let Some(half) = self.half(flow, direction)
            {
                half.heavy().edited = true;
            }
            let changed = became.and_then(|became| became.bytes.as_deref());
            self.keep(flow, direction, held, changed);
        }
    }

    /// Makes packets what their receiver may see of them, and sends them.
    fn send_ahead(&mut self, flow: u32, direction: Direction, leaving: &Leaving) {
        let edited = self
            .half(flow, direction)
            .is_some_and(|half| half.is_edited());
        let mut sent = SmallVec::<[u32; 16]>::new();
        for &(slot, _) in leaving {
            let packet = self.core.packet_mut(slot);
            packet.flags &= !flag::HELD;
            // Its bytes may have been written in place.
            packet.dirty |= if edited { dirty::TRANSPORT } else { 0 };
            self.freshen(flow, direction, slot);
            let Some(segment) = Segment::read(self.core, slot) else {
                continue;
            };
            self.level(flow, direction, slot, &segment);
            self.number_ahead(flow, direction, slot, &segment);
            sent.push(slot);
        }
        self.core.stats.sent_ahead += sent.len() as u64;
        self.core.send_all(&sent, 0);
    }

    /// Gives a packet the numbers, and what was judged of it the bytes, that
    /// its receiver is to see; nothing before its end may be edited after.
    fn number_ahead(&mut self, flow: u32, direction: Direction, slot: u32, segment: &Segment) {
        let renumbered = self.is_renumbered(flow);
        let Some(half) = self.half(flow, direction) else {
            return;
        };
        let offset = half.offset_of(segment.seq.wrapping_add(u32::from(segment.syn())));
        let seq = forward(half, segment.seq);
        let heavy = half.heavy();
        let end = (offset + i64::from(segment.len)).max(0) as u64;
        heavy.ahead_to = heavy.ahead_to.max(end);
        if offset < heavy.map.orig_end() as i64 {
            self.rebuild(flow, direction, slot, segment, true);
        } else if renumbered {
            self.write_numbers(flow, direction, slot, segment, seq);
        }
    }

    /// Overwrites the bytes of a packet that others brought first and that
    /// are queued still: their receivers are to get what readers will.
    fn level(&mut self, flow: u32, direction: Direction, slot: u32, segment: &Segment) {
        let half = self.half(flow, direction);
        let Some((offset, heavy)) = half.and_then(|half| {
            let data_seq = segment.seq.wrapping_add(u32::from(segment.syn()));
            Some((half.offset_of(data_seq), half.heavy.as_ref()?))
        }) else {
            return;
        };
        let range = offset.max(0) as u64..(offset + i64::from(segment.len)).max(0) as u64;
        let queued: SmallVec<[_; 8]> = heavy.assembler.within(range.clone()).collect();
        let to = self.core.packet(slot).payload_at as usize;
        let mut differs = false;
        for piece in queued {
            let start = range.start.max(piece.offset);
            let end = range.end.min(piece.end());
            let len = end.saturating_sub(start) as usize;
            let skip = (start - piece.offset) as usize + piece.skip as usize;
            let from = self.core.packet(piece.token).payload_at as usize + skip;
            let first = self.core.bytes(piece.token).get(from..from + len);
            let first: SmallVec<[u8; 64]> = SmallVec::from_slice(first.unwrap_or_default());
            let at = to + (start as i64 - offset) as usize;
            if let Some(own) = self.core.bytes_mut(slot).get_mut(at..at + first.len())
                && *own != *first
            {
                own.copy_from_slice(&first);
                differs = true;
            }
        }
        if differs {
            self.core.stats.conflicts += 1;
            self.core.packet_mut(slot).dirty |= dirty::TRANSPORT;
        }
    }

    /// All bytes of a segment are queued behind a hole. If they have left,
    /// their sender knows that they were lost: they leave again.
    pub(super) fn repeated_behind_hole(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        let (flow, direction) = (frame.flow(), frame.direction());
        let half = self.half(flow, direction);
        let tokens: SmallVec<[u32; 8]> = half
            .and_then(|half| {
                let start = half.offset_of(segment.seq).max(0) as u64;
                let heavy = half.heavy.as_ref()?;
                let queued = heavy
                    .assembler
                    .within(start..start + u64::from(segment.len));
                Some(queued.map(|piece| piece.token).collect())
            })
            .unwrap_or_default();
        let left = |&slot: &u32| self.core.packet(slot).flags & flag::AHEAD != 0;
        if tokens.is_empty() || !tokens.iter().all(left) {
            self.superseded(frame);
            if self.is_paced() {
                self.acknowledge_hole(frame, segment);
            }
            return None;
        }
        self.level(flow, direction, frame.packet(), segment);
        self.number_ahead(flow, direction, frame.packet(), segment);
        self.forward(frame.packet())
    }
}

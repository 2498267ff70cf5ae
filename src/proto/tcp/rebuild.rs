//! Segments made anew from judged bytes: first transmissions that rules
//! edited, and retransmissions however their sender cuts them.
//!
//! A segment stands for a range of original offsets. Its part that was
//! released before is replaced by the judged bytes that are kept for it, up
//! to the end of every edited chunk it touches; the rest is its own. In a
//! direction that rules edited, bytes that are no longer kept do not leave
//! at all: their receiver has them, and their own may be what a rule took out.

use super::Tcp;
use super::segment::{self, Segment};
use crate::event::Level;
use crate::flow::Direction;
use crate::packet::decode::TcpHeader;
use crate::packet::record::flag;

/// What a segment has to become.
struct Rebuilt {
    payload: Vec<u8>,
    /// Where the payload begins, in the receiver's counting.
    start: u64,
    /// The rest of the segment was not judged yet and is cut off.
    truncated: bool,
    /// Its FIN is not where the stream ends, or not judged yet.
    loses_fin: bool,
}

impl Tcp<'_> {
    /// Gives a packet the judged bytes for the part of the stream it stands
    /// for, and the numbers that go with them. Bytes behind what was
    /// released leave only if `rest` says so. A keep-alive's byte may differ
    /// without being a conflict.
    pub(super) fn rebuild(
        &mut self,
        flow: u32,
        direction: Direction,
        slot: u32,
        segment: &Segment,
        rest: bool,
    ) {
        let Some(rebuilt) = self.judged_payload(flow, direction, slot, segment, rest) else {
            return self.renumber(flow, direction, slot, segment);
        };
        let Some(half) = self.half(flow, direction) else {
            return;
        };
        let edited = half.is_edited();
        let keep_alive = segment.len == 1
            && !segment.fin()
            && half.offset_of(segment.seq) == half.next as i64 - 1;
        let base = half.base;
        let packet = *self.core.packet(slot);
        let own = self
            .core
            .bytes(slot)
            .get(packet.payload_at as usize..packet.end as usize);
        let differs = own != Some(rebuilt.payload.as_slice());
        if differs && !edited && !rebuilt.truncated && !keep_alive {
            self.core.stats.conflicts += 1;
            self.core
                .observe(|observer, core| observer.conflict(core, flow, direction));
        }
        if packet.flags & flag::READ_ONLY != 0 {
            return;
        }
        let empty = rebuilt.payload.is_empty();
        if differs {
            self.core.replace_payload(slot, &rebuilt.payload);
            // More than its sender could put into one segment was offloaded.
            if segment.len as usize > segment::limit(self.again(), slot) {
                self.core.packet_mut(slot).flags |= flag::OFFLOADED;
            }
        }
        let mut segment = *segment;
        if rebuilt.loses_fin {
            segment.flags &= !TcpHeader::FIN;
            self.write_flags(slot, segment.flags);
        }
        let mut seq = base
            .wrapping_add(rebuilt.start as u32)
            .wrapping_sub(u32::from(segment.syn()));
        let bare = empty && segment.len > 0 && !segment.fin() && !segment.syn();
        if bare && !self.core.settings.recorded {
            // Nothing in it makes the receiver acknowledge what was erased
            // before it: one number too low does (RFC 9293, 3.10.7.4).
            seq = seq.wrapping_sub(1);
        }
        self.write_numbers(flow, direction, slot, &segment, seq);
    }

    /// A retransmission asks for judged bytes that the cap of kept bytes took.
    /// Untouched streams repeat them as their sender has them; where rules
    /// edited, nobody can, and the connection stands still.
    fn cannot_repeat(&mut self, edited: bool) {
        self.core.stats.forgotten_bytes += 1;
        if edited {
            self.core.log_line(Level::Warn, "tcp", || {
                "edited bytes are lost: more were under way than kept_bytes allows".into()
            });
        }
    }

    /// The judged payload of a segment. `None` if it is the packet's own or
    /// cannot be told.
    fn judged_payload(
        &mut self,
        flow: u32,
        direction: Direction,
        slot: u32,
        segment: &Segment,
        rest: bool,
    ) -> Option<Rebuilt> {
        if segment.cut {
            return None;
        }
        let side = self.core.flows.live(flow)?.side;
        let half = self.connections.get_mut(side)?.half(direction);
        let edited = half.is_edited();
        let data_seq = segment.seq.wrapping_add(u32::from(segment.syn()));
        let offset = half.offset_of(data_seq);
        let end = offset + i64::from(segment.len);
        let fin = half.fin.filter(|&fin| segment.fin() && end == fin as i64);
        let heavy = half.heavy.as_deref()?;
        let map = &heavy.map;
        let released = half
            .fin
            .unwrap_or(u64::MAX)
            .min(map.orig_end())
            .min(heavy.unjudged_from.unwrap_or(u64::MAX));
        let rest = rest || heavy.unjudged_from.is_some();
        let from = (offset.max(0) as u64).min(released);
        let to = (end.max(0) as u64).clamp(from, released);
        let new = map.to_new_range(from..to);
        // Insertions before the FIN travel with it.
        let fin_left = fin.filter(|&fin| fin < map.orig_end());
        let new = fin_left.map_or(new.clone(), |fin| {
            new.start..(map.to_new(fin + 1) - 1).max(new.end)
        });
        let packet = *self.core.packet(slot);
        let own = self
            .core
            .bytes(slot)
            .get(packet.payload_at as usize..packet.end as usize)?;
        // Bytes of the packet before and behind the part that was released.
        let head = (from as i64 - offset).clamp(0, own.len() as i64) as usize;
        let tail = (to as i64 - offset).clamp(0, own.len() as i64) as usize;
        let mut payload = Vec::with_capacity((new.end - new.start) as usize + own.len());
        let mut start = heavy
            .kept
            .copy(&self.core.bufs.extents, new.clone(), &mut payload);
        let lost = heavy.kept.lost(new.start, start);
        if !edited {
            // What is forgotten was acknowledged, and none of it is taken; or
            // the cap took it, and the policy is to believe the sender.
            let forgotten = head + (start - new.start) as usize;
            payload.splice(
                ..0,
                own.get(..forgotten).unwrap_or_default().iter().copied(),
            );
            start = offset.max(0) as u64;
        } else if offset > from as i64 {
            start = map.to_new(offset as u64);
        }
        let behind = own.get(tail..).unwrap_or_default();
        if rest {
            payload.extend_from_slice(behind);
        }
        if !edited && offset < 0 {
            // Counted from before the beginning: the numbers stay.
            start = offset as u64;
        }
        let truncated = !rest && !behind.is_empty();
        let loses_fin =
            segment.fin() && !rest && fin_left.is_none() && (edited || truncated || fin.is_some());
        if lost {
            self.cannot_repeat(edited);
        }
        Some(Rebuilt {
            payload,
            start,
            truncated,
            loses_fin,
        })
    }
}

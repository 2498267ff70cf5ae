//! What segments say besides their bytes: what their sender has of the other
//! direction, how much more it takes, and its clock.
//!
//! Judged bytes need not be kept once they are acknowledged; what was said
//! last is what acknowledgements of our own repeat (`behalf`), and how a
//! sender's window is told to be used up (`patience`).

use super::Tcp;
use super::connection::Half;
use super::renumber::recorded_acknowledgement;
use super::segment::Segment;
use crate::core::Frame;
use crate::packet::decode::{TcpOption, tcp_options};

impl Tcp<'_> {
    /// Notes what a segment acknowledges. Returns whether that, or the
    /// window that comes with it, is news to its receiver.
    pub(super) fn note_acknowledgement(
        &mut self,
        frame: Frame,
        side: u32,
        segment: &Segment,
    ) -> bool {
        let acks = segment.ack_set();
        let Some(connection) = self.connections.get_mut(side).filter(|_| acks) else {
            return false;
        };
        let direction = frame.direction().opposite();
        let other = connection.half(direction);
        if !other.started {
            return connection.half(frame.direction()).hears(segment);
        }
        let ack = match self.core.settings.recorded {
            true => recorded_acknowledgement(other, segment.ack),
            false => segment.ack,
        };
        let new = other.new_offset_of(ack).unwrap_or(0);
        // Nobody has what never left, and a FIN is all that has no bytes.
        let credible = new <= other.left_end() + 1;
        let (mut behind_hole, mut waits) = (false, false);
        if let Some(heavy) = &mut other.heavy {
            heavy.kept.acknowledge(&mut self.core.bufs.extents, new);
            heavy.map.prune(heavy.map.ack_to_orig(new));
            heavy.heard_at = self.core.now;
            waits = !heavy.parked.is_empty();
            behind_hole = heavy.owed_acks > 0 || heavy.repeats_held || !heavy.assembler.is_empty();
        }
        let before = connection.half(frame.direction()).acked;
        let news = credible && connection.half(frame.direction()).hears(segment);
        let more = |(ack, _): (u32, u16)| (segment.ack.wrapping_sub(ack) as i32) > 0;
        if news
            && before.is_none_or(more)
            && let Some(heavy) = &mut connection.half(direction).heavy
        {
            heavy.heard_at = self.core.now;
        }
        if waits && news {
            self.use_room(frame.flow(), direction);
        }
        if behind_hole {
            self.note_unseen(frame.flow(), direction, new);
            self.pay_acknowledgements(frame.flow(), direction, frame.packet());
        }
        news
    }

    /// Notes the timestamp of a segment that leaves no hole before it.
    pub(super) fn note_stamp(&mut self, frame: Frame) {
        let Some((stamp, echo)) = self.stamp_of(frame.packet()) else {
            return;
        };
        if let Some(half) = self.half(frame.flow(), frame.direction()) {
            let newer = |old: u32| stamp.wrapping_sub(old) as i32 >= 0;
            if half.stamp.is_none_or(newer) {
                half.stamp = Some(stamp);
                half.echo = echo;
            }
        }
    }

    fn stamp_of(&self, slot: u32) -> Option<(u32, u32)> {
        let packet = self.core.packet(slot);
        let at = packet.transport_at as usize + 20;
        let options = self.core.bytes(slot).get(at..packet.payload_at as usize)?;
        // As nearly all write them (RFC 7323, appendix A).
        if let Some(&[1, 1, 8, 10, a, b, c, d, e, f, g, h]) = options.first_chunk::<12>() {
            let echo = u32::from_be_bytes([e, f, g, h]);
            return Some((u32::from_be_bytes([a, b, c, d]), echo));
        }
        tcp_options(options).find_map(|(_, _, option)| match option {
            TcpOption::Timestamps { value, echo } => Some((value, echo)),
            _ => None,
        })
    }
}

impl Half {
    /// Notes what this side has, and which window it announces. Returns
    /// whether that is news.
    fn hears(&mut self, segment: &Segment) -> bool {
        // Windows of SYNs are never scaled (RFC 7323, 2.2).
        let shift = self.window_scale.filter(|_| segment.syn()).unwrap_or(0);
        let now = (segment.ack, segment.window >> shift);
        let ahead = self
            .acked
            .map_or(1, |(ack, _)| segment.ack.wrapping_sub(ack) as i32);
        let news = ahead > 0 || ahead == 0 && self.acked != Some(now);
        if news {
            self.acked = Some(now);
        }
        news
    }

    /// Where what has left of this direction ends, as its receiver counts.
    fn left_end(&self) -> u64 {
        let Some(heavy) = &self.heavy else {
            return self.next;
        };
        // Insertions before the FIN have no place of their own.
        let fin = u64::from(self.finished && self.all_left());
        let judged = heavy.map.new_end().saturating_sub(fin);
        self.to_new(self.next.max(heavy.ahead_to)).max(judged)
    }
}

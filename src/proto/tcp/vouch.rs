//! Acknowledgements of bytes that readers still hold.
//!
//! Where readers hold the bytes before a hole, their sender repeats those
//! first, at its timer nothing else: what is here, instead of what is
//! missing. So once held bytes come again while others wait behind the hole,
//! they are acknowledged on their receiver's behalf, and their sender goes on
//! to what is missing. It stays responsible for all of it: it owes the byte
//! behind those we vouch for, and hears that its receiver has that one only
//! when its receiver has all before it, by acknowledgement and SACK alike.
//! When it repeats that byte, what its receiver lacks of the vouched bytes
//! leaves again before it, as it was judged. They are kept for that.
//! Bytes beyond a hole are what proves that more is owed: without any nothing
//! is acknowledged. Nor is it before the receiver has all that has left, so
//! that we vouch for nothing but what is held.
//! Only on live traffic. Not here: how the acknowledgement is made (`behalf`),
//! and those of the receiver translated (`renumber`).

use smallvec::SmallVec;

use super::Tcp;
use super::connection::{Half, Heavy};
use super::segment::{self, Segment};
use crate::core::Frame;
use crate::event::Level;
use crate::flow::Direction;
use crate::packet::decode::TcpHeader;
use crate::packet::record::{dirty, flag};
use crate::proto::ip;

const ECE: u8 = 0x40;

/// Segments that leave once more.
pub(super) type Again = SmallVec<[u32; 4]>;

/// Vouched bytes that have left and that their receiver lacks.
struct Missing {
    /// Their number as the receiver counts, unless the cap of kept bytes took
    /// some of them.
    place: Option<u32>,
    bytes: Vec<u8>,
}

impl Heavy {
    /// Whether bytes were seen behind a hole at `next`.
    fn has_hole(&self, next: u64) -> bool {
        self.assembler.first_gap(next).is_some() || self.early_fin.is_some_and(|fin| fin.at > next)
    }

    /// Whether the receiver lacks bytes that we vouched for.
    pub fn vouches(&self) -> bool {
        self.vouched_to > 0 && self.kept.acknowledged() < self.map.to_new(self.vouched_to)
    }

    /// The first byte of which the sender may hear that its receiver has it,
    /// in a block that ends at `new` as the receiver counts.
    pub fn heard_from(&self, new: u64) -> u64 {
        match self.vouches() && new > self.kept.acknowledged() {
            true => self.vouched_to + 1,
            false => 0,
        }
    }
}

impl Half {
    /// Whether the receiver lacks bytes that we vouched for.
    pub fn vouches(&self) -> bool {
        self.heavy.as_ref().is_some_and(|heavy| heavy.vouches())
    }
}

impl Tcp<'_> {
    /// Whether acknowledgements of a flow may pass what its receivers said.
    pub(super) fn may_vouch(&self, flow: u32) -> bool {
        let plain = self.core.settings.defaults.plain_acknowledgements;
        let tunnel = self.core.flows.live(flow).map(|record| record.tunnel);
        self.core.settings.is_paced() && !plain && tunnel == Some(0)
    }

    /// A sender repeats bytes that readers hold: it is told to go on, now or
    /// as soon as that can be said.
    pub(super) fn asked_for_held(&mut self, frame: Frame) {
        let (flow, direction) = (frame.flow(), frame.direction());
        if !self.may_vouch(flow) {
            return;
        }
        if let Some(half) = self.half(flow, direction) {
            half.heavy().repeats_held = true;
        }
        self.send_acknowledgements_due(frame);
    }

    /// Vouches for what readers hold, if its sender repeated some of it and
    /// owes more. Returns whether it has to be told.
    pub(super) fn vouch(&mut self, flow: u32, direction: Direction) -> bool {
        let side = self.core.flows.live(flow).map(|record| record.side);
        let Some(connection) = side.and_then(|side| self.connections.get_mut(side)) else {
            return false;
        };
        let acked = connection.halves[direction.opposite().index()].acked;
        let half = &mut connection.halves[direction.index()];
        let acked = acked.and_then(|(ack, _)| half.new_offset_of(ack));
        let (next, left) = (half.next, half.to_new(half.released()));
        let holds = half.released() < next;
        let Some(heavy) = half.heavy.as_mut().filter(|heavy| heavy.repeats_held) else {
            return false;
        };
        let Some(acked) = acked.filter(|&acked| acked >= left) else {
            return false;
        };
        if !holds || !heavy.has_hole(next) {
            return false;
        }
        heavy.kept.acknowledge(&mut self.core.bufs.extents, acked);
        heavy.vouched_to = next;
        heavy.repeats_held = false;
        self.core.stats.vouched_acks += 1;
        true
    }

    /// What has left of vouched bytes and their receiver lacks, made anew for
    /// a segment that repeats what its sender owes. It leaves before that.
    pub(super) fn vouched_again(
        &mut self,
        flow: u32,
        direction: Direction,
        slot: u32,
        segment: &Segment,
    ) -> Again {
        let mut again = Again::new();
        let Some(Missing { place, bytes }) = self.vouched_missing(flow, direction, segment) else {
            return again;
        };
        let Some(mut seq) = place else {
            self.cannot_vouch(flow, direction);
            return again;
        };
        let packet = self.core.packet(slot);
        if packet.flags & flag::READ_ONLY != 0 || packet.depth > 0 {
            return again;
        }
        let limit = segment::limit(self.again(), slot);
        for piece in bytes.chunks(limit) {
            again.extend(self.forge_again(flow, direction, slot, segment, seq, piece));
            seq = seq.wrapping_add(piece.len() as u32);
        }
        self.core.stats.vouched_again += again.len() as u64;
        again
    }

    /// What has left from the first vouched byte that the receiver lacks to
    /// the bytes of a segment, if its sender owes some of those.
    fn vouched_missing(
        &mut self,
        flow: u32,
        direction: Direction,
        segment: &Segment,
    ) -> Option<Missing> {
        let side = self.core.flows.live(flow)?.side;
        let half = &self.connections.get(side)?.halves[direction.index()];
        let heavy = half.heavy.as_ref().filter(|heavy| heavy.vouches())?;
        let offset = half.offset_of(segment.seq);
        let end = offset + i64::from(segment.len);
        let owed = heavy.vouched_to as i64;
        if offset < 0 || offset > owed || end <= owed {
            return None;
        }
        let to = heavy.map.to_new(offset as u64).min(heavy.map.new_end());
        let from = heavy.kept.acknowledged();
        if from >= to {
            return None;
        }
        let mut bytes = Vec::with_capacity((to - from) as usize);
        let extents = &self.core.bufs.extents;
        let start = heavy.kept.copy(extents, from..to, &mut bytes);
        let place = (start == from).then_some(half.base.wrapping_add(start as u32));
        Some(Missing { place, bytes })
    }

    /// A segment of judged bytes with the headers of another.
    fn forge_again(
        &mut self,
        flow: u32,
        direction: Direction,
        slot: u32,
        segment: &Segment,
        seq: u32,
        piece: &[u8],
    ) -> Option<u32> {
        let packet = *self.core.packet(slot);
        let (ip, end) = (packet.ip_at as usize, packet.payload_at as usize);
        let head = self.core.bytes(slot).get(ip..end)?;
        let mut made = [head, piece].concat();
        let (at, len) = match packet.ip_version {
            6 => (4, made.len().checked_sub(40)?),
            _ => (2, made.len()),
        };
        *made.get_mut(at..)?.first_chunk_mut::<2>()? = (len as u16).to_be_bytes();
        let tcp = (packet.transport_at - packet.ip_at) as usize;
        let flags = segment.flags & (TcpHeader::ACK | ECE);
        *made.get_mut(tcp + 13)? = flags;
        made.get_mut(tcp + 18..tcp + 20)?.fill(0);
        let forged = self.core.forge_after(&made, slot)?;
        ip::adopt(self.core, forged);
        let own = Segment {
            flags,
            len: piece.len() as u32,
            ..*segment
        };
        self.write_numbers(flow, direction, forged, &own, seq);
        self.core.packet_mut(forged).dirty = dirty::NETWORK | dirty::TRANSPORT | dirty::REBUILT;
        Some(forged)
    }

    /// Bytes that we vouched for are forgotten, and nobody can repeat them:
    /// the connection is dropped when time is looked at next.
    fn cannot_vouch(&mut self, flow: u32, direction: Direction) {
        let now = self.core.now;
        self.core.stats.forgotten_bytes += 1;
        if let Some(half) = self.half(flow, direction) {
            half.heavy().vouched_lost = true;
        }
        self.set_deadline(flow, direction, now);
    }

    /// Drops a connection that needs bytes nobody has any more.
    pub(super) fn drop_forgotten(&mut self, flow: u32) {
        let cap = u64::from(self.core.settings.kept_bytes);
        self.core.tell_cap(Some(flow), "kept_bytes", cap);
        self.core.log_line(Level::Warn, "tcp", || {
            "acknowledged bytes are lost: more were under way than kept_bytes allows: \
             the connection is dropped"
                .into()
        });
        self.drop_held(flow);
    }
}

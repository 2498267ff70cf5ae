//! Acknowledgements that leave although no segment of their sender does.
//!
//! Where segments are held behind a hole, their receiver cannot ask for what
//! is missing: duplicate acknowledgements do so on its behalf, with SACK
//! blocks where both ends permit them (RFC 2018, RFC 5681, 3.2, RFC 6675).
//! They acknowledge what the receiver did, of what is held only what its
//! sender repeats in vain (`vouch`), and only once
//! the receiver has acknowledged all but the last bytes before the hole:
//! before, its sender would take for lost what is under way.
//! And where a segment is held that acknowledges something itself, a copy of
//! it without data leaves at once; both ends would wait for ever otherwise.
//! Only on live traffic.

use smallvec::SmallVec;

use super::Tcp;
use super::receive::endpoints;
use super::renumber::{acknowledgement, capped};
use super::segment::Segment;
use crate::core::{Frame, Op};
use crate::flow::Direction;
use crate::packet::build;
use crate::packet::decode::TcpHeader;
use crate::packet::record::{dirty, flag};
use crate::proto::ip;

/// Duplicate acknowledgements that make a sender without SACK send again.
const ENOUGH: u32 = 3;
/// Most that wait for the receiver's own acknowledgement.
const MOST_OWED: u8 = 10;
/// Full segments that a receiver may keep unacknowledged (RFC 9293, 3.8.6.3).
const DELAYED: u64 = 2;
const ECE: u8 = 0x40;

impl Tcp<'_> {
    /// Tells the sender of a segment behind a hole what is missing.
    pub(super) fn acknowledge_hole(&mut self, frame: Frame, segment: &Segment) {
        let (flow, direction) = (frame.flow(), frame.direction());
        let Some(connection) = self.connection(flow) else {
            return;
        };
        let sacks = connection.halves.iter().all(|half| half.sack_permitted);
        let mss = connection.mss();
        let copies = if sacks {
            1
        } else {
            segment.len.div_ceil(mss).clamp(1, ENOUGH)
        };
        if let Some(heavy) = connection.half(direction).heavy.as_mut() {
            heavy.owed_acks = heavy.owed_acks.saturating_add(copies as u8).min(MOST_OWED);
        }
        self.send_acknowledgements_due(frame);
    }

    /// Sends what is owed to the sender of a packet and can be said by now.
    pub(super) fn send_acknowledgements_due(&mut self, frame: Frame) {
        let (flow, direction) = (frame.flow(), frame.direction());
        for slot in self.acknowledgements_due(flow, direction, frame.packet()) {
            self.core.push(Frame::on_packet(Op::Send, slot));
        }
    }

    /// The receiver has acknowledged something: what was owed to the sender
    /// of a direction may be due. It leaves after the packet of the top frame.
    pub(super) fn pay_acknowledgements(&mut self, flow: u32, direction: Direction, cause: u32) {
        for slot in self.acknowledgements_due(flow, direction, cause) {
            let below = self.core.stack.len().saturating_sub(1);
            self.core
                .stack
                .insert(below, Frame::on_packet(Op::Send, slot));
        }
    }

    /// Makes the acknowledgements that are owed to the sender of a direction,
    /// if its receiver has everything before the hole by now.
    fn acknowledgements_due(
        &mut self,
        flow: u32,
        direction: Direction,
        cause: u32,
    ) -> SmallVec<[u32; 4]> {
        let mut made = SmallVec::new();
        let vouched = self.vouch(flow, direction);
        let Some(connection) = self.connection(flow) else {
            return made;
        };
        let slack = DELAYED * u64::from(connection.mss());
        let receiver = &connection.halves[direction.opposite().index()];
        let acked = receiver.acked.map(|(ack, _)| ack);
        let half = &mut connection.halves[direction.index()];
        let acked = acked.and_then(|ack| half.new_offset_of(ack));
        let left = half.to_new(half.released());
        let Some(heavy) = half.heavy.as_mut() else {
            return made;
        };
        if heavy.assembler.is_empty() && heavy.early_fin.is_none() {
            heavy.owed_acks = 0;
        }
        heavy.owed_acks = heavy.owed_acks.max(u8::from(vouched));
        if acked.is_none_or(|acked| acked + slack < left) {
            return made;
        }
        for _ in 0..std::mem::take(&mut heavy.owed_acks) {
            made.extend(self.forge_acknowledgement(flow, direction, cause));
        }
        self.core.stats.behalf_acks += made.len() as u64;
        made
    }

    /// An acknowledgement as the receiver of a direction would send it now.
    fn forge_acknowledgement(
        &mut self,
        flow: u32,
        direction: Direction,
        cause: u32,
    ) -> Option<u32> {
        let record = *self.core.flows.live(flow)?;
        if record.tunnel != 0 {
            return None;
        }
        let most = self.most_window(flow, direction.opposite());
        let connection = self.connections.get(record.side)?;
        let receiver = &connection.halves[direction.opposite().index()];
        let half = &connection.halves[direction.index()];
        let (ack, window) = receiver.acked?;
        let shift = connection.window_shift(direction.opposite());
        let (ack, window) = acknowledgement(half, ack, window, shift);
        let window = capped(window, most, shift);
        let mut options = SmallVec::<[u8; 64]>::new();
        if let (Some(own), Some(echo)) = (receiver.stamp, half.stamp) {
            options.extend_from_slice(&[1, 1, 8, 10]);
            options.extend_from_slice(&own.to_be_bytes());
            options.extend_from_slice(&echo.to_be_bytes());
        }
        if connection.halves.iter().all(|half| half.sack_permitted) {
            let room = (40 - options.len() - 4) / 8;
            let heavy = half.heavy.as_ref()?;
            let blocks = heavy.assembler.sack_blocks();
            let blocks = blocks.get(..room.min(blocks.len())).unwrap_or_default();
            if !blocks.is_empty() {
                options.extend_from_slice(&[1, 1, 5, 2 + 8 * blocks.len() as u8]);
            }
            for block in blocks {
                options.extend_from_slice(&half.seq_at(block.start).to_be_bytes());
                options.extend_from_slice(&half.seq_at(block.end).to_be_bytes());
            }
        }
        let [client, server] = endpoints(&record);
        let (source, target) = match direction {
            Direction::ToServer => (server, client),
            Direction::ToClient => (client, server),
        };
        let mut packet = Vec::with_capacity(100);
        let seq = receiver.next_seq_on_wire();
        build::acknowledgement(&mut packet, [source, target], seq, ack, window, &options);
        let tags = connection.tags.as_deref().unwrap_or_default();
        let slot = self.core.forge_tagged(&packet, cause, tags)?;
        ip::adopt(self.core, slot);
        let packet = self.core.packet_mut(slot);
        packet.devices = connection.devices_towards(direction.opposite());
        packet.vlan = record.vlan;
        packet.dirty = dirty::NETWORK | dirty::TRANSPORT | dirty::REBUILT;
        Some(slot)
    }

    /// The packet of a frame is held: what it acknowledges goes on.
    pub(super) fn copy_acknowledgement(&mut self, frame: Frame) {
        let slot = frame.packet();
        if !self.core.packets.is_live(slot) || !self.core.alive(slot) {
            return;
        }
        let flags = self.core.packet(slot).flags;
        if flags & flag::HELD != 0 && flags & flag::AHEAD == 0 {
            self.tell_acknowledgement(frame);
        }
    }

    /// The packet of a frame does not leave now: what it acknowledges does,
    /// if that is news.
    pub(super) fn tell_acknowledgement(&mut self, frame: Frame) {
        let slot = frame.packet();
        if self.core.packet(slot).flags & flag::READ_ONLY != 0 {
            return;
        }
        let Some(segment) = Segment::read(self.core, slot) else {
            return;
        };
        let news = frame.detail() != 0 || self.has_blocks(slot);
        if !news || !segment.ack_set() || segment.syn() || self.core.packet(slot).depth > 0 {
            return;
        }
        if let Some(copy) = self.bare_copy(frame, &segment) {
            self.core.stats.ack_copies += 1;
            self.core.push(Frame::on_packet(Op::Send, copy));
        }
    }

    /// A packet's headers without its data, numbered as its receiver counts.
    fn bare_copy(&mut self, frame: Frame, segment: &Segment) -> Option<u32> {
        let packet = *self.core.packet(frame.packet());
        let (ip, end) = (packet.ip_at as usize, packet.payload_at as usize);
        let mut head = self.core.bytes(frame.packet()).get(ip..end)?.to_vec();
        let (at, len) = match packet.ip_version {
            6 => (4, head.len().checked_sub(40)?),
            _ => (2, head.len()),
        };
        let field = head.get_mut(at..)?.first_chunk_mut::<2>()?;
        *field = (len as u16).to_be_bytes();
        let tcp = (packet.transport_at - packet.ip_at) as usize;
        let flags = segment.flags & (TcpHeader::ACK | ECE);
        *head.get_mut(tcp + 13)? = flags;
        head.get_mut(tcp + 18..tcp + 20)?.fill(0);
        let slot = self.core.forge_after(&head, frame.packet())?;
        ip::adopt(self.core, slot);
        let seq = self
            .half(frame.flow(), frame.direction())?
            .next_seq_on_wire();
        let bare = Segment {
            len: 0,
            flags,
            ..*segment
        };
        self.write_numbers(frame.flow(), frame.direction(), slot, &bare, seq);
        self.core.packet_mut(slot).dirty = dirty::NETWORK | dirty::TRANSPORT | dirty::REBUILT;
        Some(slot)
    }
}

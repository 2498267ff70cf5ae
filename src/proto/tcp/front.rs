//! Segments of which the front leaves, judged, while readers hold the end.
//!
//! A segment that an offloading card put together may be all that its sender
//! can send before it hears of its receiver. Where readers hold only its
//! last bytes, waiting for what follows, those would wait for each other. So
//! the packet leaves with what was judged, and one of our own is made for
//! the rest, which stays as open to rules as it was.
//! Only on live traffic. Not here: when (`patience`), where a piece can be
//! cut (`buf`).

use super::Tcp;
use super::connection::Held;
use super::segment::Segment;
use crate::flow::Direction;
use crate::packet::decode::TcpHeader;
use crate::packet::record::{dirty, flag};
use crate::proto::ip;

const URG: u8 = 0x20;
/// A reduced window is reported once (RFC 3168, 6.1.2).
const CWR: u8 = 0x80;

impl Tcp<'_> {
    /// Sends what was judged of the oldest held segment. False where its
    /// readers hold all of it, or it cannot be cut.
    pub(super) fn send_front(&mut self, flow: u32, direction: Direction) -> bool {
        let Some((held, segment)) = self.divisible(flow, direction) else {
            return false;
        };
        let side = self.core.flows.live(flow).map(|record| record.side);
        let connection = side.and_then(|side| self.connections.get_mut(side));
        if let Some(attached) = connection.and_then(|connection| connection.application.as_mut()) {
            attached.free_front(self.core, direction);
        }
        let half = self.half(flow, direction);
        let Some(stream) = half.and_then(|half| half.heavy.as_ref()?.stream) else {
            return false;
        };
        let Some(cut) = self.core.bufs.stream_split(stream) else {
            return false;
        };
        let cut = cut as u32;
        let rest = self.forge_rest(held, &segment, cut);
        let popped = self.core.bufs.stream_pop(stream);
        let (Some(rest), Some(popped)) = (rest, popped) else {
            if let Some(rest) = rest {
                self.core.retire_stand_in(rest);
            }
            self.let_go(flow);
            return true;
        };
        let front = Held {
            len: cut,
            whole: false,
            last: false,
            ends_stream: false,
            ..held
        };
        let changed = self.what_became(flow, direction, front, &popped);
        let now = self.core.now;
        if let Some(heavy) = self
            .half(flow, direction)
            .and_then(|half| half.heavy.as_mut())
        {
            heavy.held_bytes -= cut;
            heavy.waiting_bytes -= cut;
            if let Some(oldest) = heavy.held.front_mut() {
                *oldest = Held {
                    packet: rest,
                    offset: held.offset + u64::from(cut),
                    len: held.len - cut,
                    skip: 0,
                    whole: true,
                    since: now,
                    ..held
                };
            }
        }
        self.keep(flow, direction, front, changed.as_deref());
        self.core.packet_mut(held.packet).flags &= !flag::HELD;
        let segment = Segment {
            flags: segment.flags & !TcpHeader::PSH,
            ..segment
        };
        self.write_flags(held.packet, segment.flags);
        self.rebuild(flow, direction, held.packet, &segment, false);
        self.core.stats.sent_fronts += 1;
        self.core.send_all(&[held.packet], 0);
        true
    }

    /// The oldest held piece and its segment, if they are of a kind that can
    /// be cut.
    fn divisible(&mut self, flow: u32, direction: Direction) -> Option<(Held, Segment)> {
        let connection = self.connection(flow).filter(|connection| {
            // Whoever is reading has the stream in hand.
            !connection.signed && !connection.is_reading
        })?;
        let heavy = connection.half(direction).heavy.as_ref()?;
        let held = *heavy.held.front()?;
        let open = held.waits() && held.offset >= heavy.ahead_to && heavy.unjudged_from.is_none();
        if !open || !held.last || held.piece.is_none() || held.len < 2 {
            return None;
        }
        let packet = self.core.packet(held.packet);
        let fixed = flag::READ_ONLY | flag::SNAPPED | flag::REASSEMBLED | flag::AHEAD;
        let whole = packet.payload_at + held.skip + held.len == packet.end;
        if !whole || packet.flags & fixed != 0 || packet.depth > 0 {
            return None;
        }
        let segment = Segment::read(self.core, held.packet)?;
        let plain = !segment.syn() && segment.flags & URG == 0 && !segment.cut;
        plain.then_some((held, segment))
    }

    /// A packet for the bytes of a held one from `cut` on.
    fn forge_rest(&mut self, held: Held, segment: &Segment, cut: u32) -> Option<u32> {
        let packet = *self.core.packet(held.packet);
        let gone = held.skip + cut;
        let bytes = self.core.bytes(held.packet);
        let head = bytes.get(packet.ip_at as usize..packet.payload_at as usize)?;
        let rest = bytes.get((packet.payload_at + gone) as usize..packet.end as usize)?;
        let mut made = [head, rest].concat();
        let (at, len) = match packet.ip_version {
            6 => (4, made.len().checked_sub(40)?),
            _ => (2, made.len()),
        };
        *made.get_mut(at..)?.first_chunk_mut::<2>()? = (len as u16).to_be_bytes();
        if packet.ip_version == 4 {
            // Packets that may be fragmented need one of their own (RFC 6864):
            // those between are for the segments that a card makes of the front.
            let id = made.get_mut(4..)?.first_chunk_mut::<2>()?;
            let next = u16::from_be_bytes(*id).wrapping_add((gone / 500 + 1) as u16);
            *id = next.to_be_bytes();
        }
        let tcp = (packet.transport_at - packet.ip_at) as usize;
        let seq = segment.seq.wrapping_add(gone);
        *made.get_mut(tcp + 4..)?.first_chunk_mut::<4>()? = seq.to_be_bytes();
        *made.get_mut(tcp + 13)? &= !CWR;
        let slot = self.core.forge_after(&made, held.packet)?;
        ip::adopt(self.core, slot);
        let forged = self.core.packet_mut(slot);
        forged.flags |= flag::HELD;
        forged.dirty = dirty::NETWORK | dirty::TRANSPORT | dirty::REBUILT;
        Some(slot)
    }
}

//! Sequence and acknowledgement numbers after rules changed bytes.
//!
//! Whatever leaves is in the numbering its receiver knows: its sender's
//! offsets mapped forward, its acknowledgements and SACK blocks mapped back.
//! Connections whose bytes nobody changed are not touched.

use super::Tcp;
use super::connection::Half;
use super::segment::Segment;
use crate::flow::Direction;
use crate::packet::decode::{TcpOption, tcp_options};
use crate::packet::record::dirty;
use crate::proto::ip;
use crate::proto::ip::checksums::put_u32;

impl Tcp<'_> {
    /// Translates the numbers of a packet that is about to leave. `segment`
    /// is the packet as it came.
    pub(super) fn renumber(&mut self, flow: u32, direction: Direction, slot: u32, segment: &Segment) {
        let Some(connection) = self.connection(flow) else { return };
        let sent = &connection.halves[direction.index()];
        let answered = &connection.halves[direction.opposite().index()];
        if !sent.is_renumbered() && !answered.is_renumbered() {
            return;
        }
        let seq = forward(sent, segment.seq);
        let ack = if segment.ack_set() { backward(answered, segment.ack) } else { segment.ack };
        let edges = self.sack_edges(slot);
        let packet = *self.core.packet(slot);
        let at = packet.transport_at as usize;
        let mut written = false;
        if seq != segment.seq {
            put_u32(self.core, slot, at + 4, seq);
            written = true;
        }
        if ack != segment.ack {
            put_u32(self.core, slot, at + 8, ack);
            written = true;
        }
        for (place, left, right) in edges {
            let Some(answered) = self.half(flow, direction.opposite()) else { break };
            let (new_left, new_right) = block_backward(answered, left, right);
            if (new_left, new_right) != (left, right) {
                put_u32(self.core, slot, place, new_left);
                put_u32(self.core, slot, place + 4, new_right);
                written = true;
            }
        }
        if written {
            self.core.packet_mut(slot).dirty |= dirty::TRANSPORT | dirty::NUMBERS;
        }
    }

    /// Places in the frame and edges of the packet's SACK blocks.
    fn sack_edges(&self, slot: u32) -> smallvec::SmallVec<[(usize, u32, u32); 4]> {
        let mut found = smallvec::SmallVec::new();
        let Some(header) = ip::tcp(self.core, slot) else { return found };
        let options_at = header.at + 20;
        let options = self.core.bytes(slot).get(options_at..header.payload_at).unwrap_or_default();
        for (at, _, option) in tcp_options(options) {
            if let TcpOption::Sack(blocks) = option {
                for (number, (left, right)) in blocks.enumerate() {
                    found.push((options_at + at + 2 + 8 * number, left, right));
                }
            }
        }
        found
    }
}

/// A sender's sequence number in the numbering of the receiver.
fn forward(half: &Half, seq: u32) -> u32 {
    let Some(heavy) = half.heavy.as_ref().filter(|_| half.started) else { return seq };
    if heavy.map.is_identity() {
        return seq;
    }
    let offset = half.offset_of(seq);
    if offset < 0 {
        return seq;
    }
    half.base.wrapping_add(heavy.map.to_new(offset as u64) as u32)
}

/// An acknowledgement by the receiver in the numbering of the sender. It
/// never passes what the sender sent.
fn backward(half: &Half, ack: u32) -> u32 {
    let Some(heavy) = half.heavy.as_ref().filter(|_| half.started) else { return ack };
    if heavy.map.is_identity() {
        return ack;
    }
    let total = heavy.map.new_end();
    let new = total as i64 + i64::from(ack.wrapping_sub(half.base.wrapping_add(total as u32)) as i32);
    if new < 0 {
        return ack;
    }
    half.base.wrapping_add(heavy.map.ack_to_orig(new as u64) as u32)
}

/// A SACK block in the numbering of the sender; one that covers nothing
/// whole becomes empty, at its left edge.
fn block_backward(half: &Half, left: u32, right: u32) -> (u32, u32) {
    let Some(heavy) = half.heavy.as_ref().filter(|_| half.started) else { return (left, right) };
    if heavy.map.is_identity() {
        return (left, right);
    }
    let total = heavy.map.new_end() as i64;
    let place = |seq: u32| total + i64::from(seq.wrapping_sub(half.base.wrapping_add(total as u32)) as i32);
    let (from, to) = (place(left), place(right));
    if from < 0 || to < from {
        return (left, right);
    }
    match heavy.map.sack_to_orig(from as u64..to as u64) {
        Some(range) => (half.seq_at(range.start), half.seq_at(range.end)),
        None => {
            let edge = half.seq_at(heavy.map.ack_to_orig(from as u64));
            (edge, edge)
        }
    }
}

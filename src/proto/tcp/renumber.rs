//! Sequence and acknowledgement numbers after rules changed bytes.
//!
//! Whatever leaves is in the numbering its receiver knows: its sender's
//! offsets mapped forward; its acknowledgement, SACK blocks and the right
//! edge of its window mapped back. In a recording nobody has acknowledged what
//! rules made of the bytes: there acknowledgements are mapped forward too, so
//! that what leaves is one conversation. Connections whose bytes nobody changed
//! are not touched. Not here: payloads (`rebuild`).

use smallvec::SmallVec;

use super::Tcp;
use super::connection::Half;
use super::segment::Segment;
use crate::flow::Direction;
use crate::packet::decode::{TcpOption, tcp_options};
use crate::packet::record::{dirty, flag};
use crate::proto::ip;
use crate::proto::ip::checksums::{put_u16, put_u32};

const URG: u8 = 0x20;

/// The blocks of one SACK option: left and right edges.
type Blocks = SmallVec<[(u32, u32); 4]>;

impl Tcp<'_> {
    /// Whether the numbers of a connection's packets change at all.
    pub(super) fn is_renumbered(&mut self, flow: u32) -> bool {
        self.connection(flow)
            .is_some_and(|connection| connection.is_translated())
    }

    /// Whether rules changed bytes of a connection, be it in place.
    fn is_changed(&mut self, flow: u32) -> bool {
        self.connection(flow)
            .is_some_and(|connection| connection.halves.iter().any(Half::is_edited))
    }

    /// The largest window that is announced with the acknowledgements of an
    /// direction that was edited, or for which we vouch: what is under way in
    /// it is kept until it has arrived.
    pub(super) fn most_window(&mut self, flow: u32, acknowledging: Direction) -> Option<u32> {
        let settings = &self.core.settings;
        let most = settings.live.then_some(settings.kept_bytes / 2)?;
        let half = self.half(flow, acknowledging.opposite())?;
        (half.is_edited() || half.vouches()).then_some(most)
    }

    /// Translates the numbers of a packet that leaves with its own payload,
    /// or without any. `segment` is the packet as it came.
    pub(super) fn renumber(
        &mut self,
        flow: u32,
        direction: Direction,
        slot: u32,
        segment: &Segment,
    ) {
        let recorded = self.core.settings.recorded && self.is_changed(flow);
        let moves = recorded || self.is_renumbered(flow);
        if !moves && self.most_window(flow, direction).is_none() {
            return;
        }
        let before_parked = self.bare_seq_before_parked(flow, direction, segment.seq);
        let Some(half) = self.half(flow, direction) else {
            return;
        };
        let seq = if segment.len == 0 {
            before_parked.unwrap_or_else(|| bare_seq(half, segment.seq))
        } else {
            forward(half, segment.seq)
        };
        self.write_numbers(flow, direction, slot, segment, seq);
    }

    /// Writes the numbers of a packet that is about to leave, where they
    /// differ from those it came with.
    pub(super) fn write_numbers(
        &mut self,
        flow: u32,
        direction: Direction,
        slot: u32,
        segment: &Segment,
        seq: u32,
    ) {
        let packet = *self.core.packet(slot);
        if packet.flags & flag::READ_ONLY != 0 {
            return;
        }
        let plain = self.core.settings.defaults.plain_acknowledgements;
        let recorded = self.core.settings.recorded && self.is_changed(flow);
        let most = self.most_window(flow, direction).filter(|_| !segment.syn());
        let Some(connection) = self.connection(flow) else {
            return;
        };
        let shift = if segment.syn() {
            0
        } else {
            connection.window_shift(direction)
        };
        let sent = &connection.halves[direction.index()];
        let answered = &connection.halves[direction.opposite().index()];
        let (mut ack, mut window) = (segment.ack, segment.window);
        let translates = recorded || answered.is_translated();
        if recorded && segment.ack_set() {
            ack = recorded_acknowledgement(answered, ack);
        } else if translates && segment.ack_set() {
            if plain {
                ack = shifted(answered, ack);
            } else {
                (ack, window) = acknowledgement(answered, ack, window, shift);
            }
        }
        window = capped(window, most, shift);
        let urgent = (segment.flags & URG != 0 && sent.is_renumbered()).then(|| {
            let pointer = self
                .core
                .bytes(slot)
                .get(packet.transport_at as usize + 18..)
                .and_then(|bytes| bytes.first_chunk::<2>());
            u16::from_be_bytes(pointer.copied().unwrap_or_default())
        });
        let urgent = urgent.map(|pointer| {
            let half = self.half(flow, direction);
            let end = half.map_or(seq, |half| {
                forward(half, segment.seq.wrapping_add(u32::from(pointer)))
            });
            (pointer, end.wrapping_sub(seq).min(0xffff) as u16)
        });
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
        if window != segment.window {
            put_u16(self.core, slot, at + 14, window);
            written = true;
        }
        if let Some((old, new)) = urgent
            && old != new
        {
            put_u16(self.core, slot, at + 18, new);
            written = true;
        }
        if translates {
            written |= self.translate_blocks(flow, direction, slot, recorded);
        }
        if written {
            self.core.packet_mut(slot).dirty |= dirty::TRANSPORT | dirty::NUMBERS;
        }
    }

    /// Writes other flags into a packet.
    pub(super) fn write_flags(&mut self, slot: u32, flags: u8) {
        let at = self.core.packet(slot).transport_at as usize + 13;
        if let Some(field) = self.core.bytes_mut(slot).get_mut(at) {
            *field = flags;
            self.core.packet_mut(slot).dirty |= dirty::TRANSPORT;
        }
    }

    /// Maps the blocks of SACK options back, or forth in a recording. Blocks
    /// that cover nothing whole make place for the next; what is left over
    /// becomes padding.
    fn translate_blocks(
        &mut self,
        flow: u32,
        direction: Direction,
        slot: u32,
        recorded: bool,
    ) -> bool {
        const NOP: u8 = 1;
        let map = match recorded {
            true => recorded_block,
            false => block_backward,
        };
        let mut written = false;
        for (place, len, blocks) in self.sack_options(slot) {
            let Some(answered) = self.half(flow, direction.opposite()) else {
                break;
            };
            let mapped: Blocks = blocks
                .iter()
                .filter_map(|&(left, right)| map(answered, left, right))
                .collect();
            if mapped == blocks {
                continue;
            }
            let Some(option) = self.core.bytes_mut(slot).get_mut(place..place + len) else {
                continue;
            };
            option.fill(NOP);
            let (head, rest) = option.split_at_mut(2);
            if !mapped.is_empty() {
                head.copy_from_slice(&[5, 2 + 8 * mapped.len() as u8]);
            }
            for ((left, right), field) in mapped.iter().zip(rest.chunks_exact_mut(8)) {
                let (low, high) = field.split_at_mut(4);
                low.copy_from_slice(&left.to_be_bytes());
                high.copy_from_slice(&right.to_be_bytes());
            }
            written = true;
        }
        written
    }

    /// Whether a packet says with SACK blocks what its sender has.
    pub(super) fn has_blocks(&self, slot: u32) -> bool {
        !self.sack_options(slot).is_empty()
    }

    /// SACK options of a packet: place in the frame, length, blocks.
    fn sack_options(&self, slot: u32) -> SmallVec<[(usize, usize, Blocks); 1]> {
        let mut found = SmallVec::new();
        let Some(header) = ip::tcp(self.core, slot) else {
            return found;
        };
        let options_at = header.at + 20;
        let options = self
            .core
            .bytes(slot)
            .get(options_at..header.payload_at)
            .unwrap_or_default();
        for (at, len, option) in tcp_options(options) {
            if let TcpOption::Sack(blocks) = option {
                found.push((options_at + at, len, blocks.collect()));
            }
        }
        found
    }
}

/// A sender's sequence number in the numbering of the receiver.
pub(super) fn forward(half: &Half, seq: u32) -> u32 {
    let Some(heavy) = half.heavy.as_ref().filter(|_| half.started) else {
        return seq;
    };
    let offset = half.offset_of(seq);
    if offset < 0 || heavy.map.is_identity() {
        return seq;
    }
    half.base
        .wrapping_add(heavy.map.to_new(offset as u64) as u32)
}

/// As [`forward`], for a segment without data: no further than what has
/// left, so that its receiver expects it; a keep-alive stays one below.
fn bare_seq(half: &Half, seq: u32) -> u32 {
    let offset = half.offset_of(seq);
    let on_wire = half.next_seq_on_wire();
    if offset == half.next as i64 - 1 && !half.finished {
        return on_wire.wrapping_sub(1);
    }
    let seq = forward(half, seq);
    if offset >= half.released() as i64 && (seq.wrapping_sub(on_wire) as i32) > 0 {
        on_wire
    } else {
        seq
    }
}

/// The number of a segment without data for a receiver that takes nothing but
/// what it waits for, `ack`: exactly that, or the one below in a probe, which
/// is one below what its sender was told. At a closed window senders number
/// what has no data by what they were told, although more has left.
pub(super) fn awaited_seq(half: &Half, ack: u32, seq: u32) -> u32 {
    let told = half
        .new_offset_of(ack)
        .and_then(|new| Some(half.heavy.as_ref()?.told(new)));
    let probes = told.is_some_and(|told| half.offset_of(seq) + 1 == told as i64);
    ack.wrapping_sub(u32::from(probes))
}

/// A window as its header says it, of at most so many bytes.
pub(super) fn capped(window: u16, most: Option<u32>, shift: u8) -> u16 {
    match most.map(|most| u16::try_from(most >> shift)) {
        Some(Ok(most)) => window.min(most),
        _ => window,
    }
}

/// An acknowledgement and its window in the numbering of the sender they go
/// to. No acknowledgement passes what that sender sent, nor falls behind what
/// it was told before; and the window ends at the same byte as it did.
pub(super) fn acknowledgement(half: &Half, ack: u32, window: u16, shift: u8) -> (u32, u16) {
    let Some(heavy) = half.heavy.as_ref().filter(|_| half.started) else {
        return (ack, window);
    };
    let map = &heavy.map;
    let Some(new) = half.new_offset_of(ack) else {
        return (ack, window);
    };
    let orig = heavy.told(new);
    let edge = new + (u64::from(window) << shift);
    let orig_edge = match edge.checked_sub(map.new_end()) {
        Some(beyond) => map.orig_end() + beyond,
        None => map.ack_to_orig(edge),
    };
    let room = orig_edge.saturating_sub(orig) >> shift;
    // A window that is open stays open: closed ones are only probed.
    let room = room.clamp(u64::from(window.min(1)), 0xffff) as u16;
    (half.seq_at(orig), if window == 0 { 0 } else { room })
}

/// A recorded acknowledgement in the numbering of what rules made of the
/// stream: of as much as it was about, but of nothing that has not left yet.
pub(super) fn recorded_acknowledgement(half: &Half, ack: u32) -> u32 {
    // Where nothing was changed or held, all has left as it came.
    if half.heavy.is_none() || !half.started {
        return ack;
    }
    let (new, end) = (forward(half, ack), half.next_seq_on_wire());
    match new.wrapping_sub(end) as i32 > 0 {
        true => end,
        false => new,
    }
}

/// A recorded SACK block in the same numbering; none of what has not left.
fn recorded_block(half: &Half, left: u32, right: u32) -> Option<(u32, u32)> {
    let [left, right] = [left, right].map(|edge| recorded_acknowledgement(half, edge));
    (left != right).then_some((left, right))
}

/// An acknowledgement in the numbering of the sender by Haka's formula.
fn shifted(half: &Half, ack: u32) -> u32 {
    let Some(heavy) = half.heavy.as_ref().filter(|_| half.started) else {
        return ack;
    };
    half.new_offset_of(ack)
        .map_or(ack, |new| half.seq_at(heavy.map.ack_shifted(new)))
}

/// A SACK block in the numbering of the sender; none if it covers nothing
/// whole, or only what the sender has to owe (`vouch`).
fn block_backward(half: &Half, left: u32, right: u32) -> Option<(u32, u32)> {
    let Some(heavy) = half.heavy.as_ref().filter(|_| half.started) else {
        return Some((left, right));
    };
    let (Some(from), Some(to)) = (half.new_offset_of(left), half.new_offset_of(right)) else {
        return Some((left, right));
    };
    if to < from {
        return Some((left, right));
    }
    let (new_end, orig_end) = (heavy.map.new_end(), heavy.map.orig_end());
    let heard_from = heavy.heard_from(to);
    if from >= new_end && heavy.ahead_to > orig_end {
        // Behind a hole, sent ahead: nothing from the hole on is edited.
        let left = (orig_end + (from - new_end)).max(heard_from);
        let right = (orig_end + (to - new_end)).min(heavy.ahead_to);
        return (left < right).then(|| (half.seq_at(left), half.seq_at(right)));
    }
    heavy
        .map
        .sack_to_orig(from..to)
        .map(|range| range.start.max(heard_from)..range.end)
        .filter(|range| !range.is_empty())
        .map(|range| (half.seq_at(range.start), half.seq_at(range.end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A direction of which all was released, by lengths before and after.
    fn half(base: u32, edits: &[(u64, u64)]) -> Half {
        let mut half = Half {
            base,
            started: true,
            ..Half::default()
        };
        let map = &mut half.heavy().map;
        for &(orig, new) in edits {
            map.push(orig, new);
        }
        half.next = map.orig_end();
        half
    }

    proptest! {
        /// Whoever sent bytes that we vouched for owes the next one.
        #[test]
        fn what_follows_vouched_bytes_is_owed_until_they_have_arrived(
            base: u32,
            edits in prop::collection::vec((1u64..2000, 0u64..2000), 1..20),
            places in prop::array::uniform4(0.0f64..=1.0),
        ) {
            let mut half = half(base, &edits);
            let (orig_end, new_end) = (half.next, half.to_new(half.next));
            let [vouched, acked, from, to] = places;
            let vouched = ((vouched * orig_end as f64) as u64).max(1);
            let [acked, from, to] = [acked, from, to].map(|at| (at * new_end as f64) as u64);
            let mut pool = crate::buf::ExtentPool::new(1 << 20);
            half.heavy().vouched_to = vouched;
            half.heavy().kept.acknowledge(&mut pool, acked);
            let (ack, _) = acknowledgement(&half, base.wrapping_add(acked as u32), 1000, 0);
            let ack = u64::from(ack.wrapping_sub(base));
            prop_assert!(vouched <= ack && ack <= orig_end);
            if half.vouches() {
                prop_assert!(half.is_translated());
                prop_assert_eq!(ack, vouched);
            }
            let [left, right] = [from.min(to), from.max(to)].map(|at| base.wrapping_add(at as u32));
            let block = block_backward(&half, left, right);
            if let Some((left, right)) = block.filter(|_| half.vouches() && from.max(to) > acked) {
                let [left, right] = [left, right].map(|edge| u64::from(edge.wrapping_sub(base)));
                prop_assert!(vouched < left && left < right && right <= orig_end);
            }
        }

        #[test]
        fn acknowledgements_never_pass_what_was_sent_and_keep_the_right_edge(
            base: u32,
            edits in prop::collection::vec((1u64..2000, 0u64..2000), 1..20),
            at in 0.0f64..=1.0,
            window: u16,
            shift in 0u8..8,
        ) {
            let half = half(base, &edits);
            let (orig_end, new_end) = edits.iter().fold((0, 0), |(o, n), edit| (o + edit.0, n + edit.1));
            let acked = (at * new_end as f64) as u64;
            let (ack, room) = acknowledgement(&half, base.wrapping_add(acked as u32), window, shift);
            let offset = u64::from(ack.wrapping_sub(base));
            prop_assert!(offset <= orig_end);
            // Whole chunks before it are acknowledged, later ones are not.
            let (mut orig, mut new) = (0, 0);
            for (o, n) in edits {
                if new + n <= acked { prop_assert!(offset >= orig + o) }
                if new > acked { prop_assert!(offset <= orig) }
                (orig, new) = (orig + o, new + n);
            }
            if acked == new_end {
                prop_assert_eq!(offset, orig_end);
                prop_assert_eq!(room, window, "nothing is outstanding: the same room");
            }
            let edge = acked + (u64::from(window) << shift);
            if edge >= new_end && room < u16::MAX && room > 1 {
                let translated = offset + (u64::from(room) << shift);
                prop_assert!(translated <= orig_end + (edge - new_end));
                prop_assert!(translated + (1 << shift) > orig_end + (edge - new_end));
            }
        }

        #[test]
        fn numbers_of_new_data_are_shifted_by_what_was_added(
            base: u32,
            edits in prop::collection::vec((1u64..2000, 0u64..2000), 1..20),
            ahead in 0u32..100_000,
        ) {
            let half = half(base, &edits);
            let (orig_end, new_end) = edits.iter().fold((0, 0), |(o, n), edit| (o + edit.0, n + edit.1));
            let seq = base.wrapping_add(orig_end as u32).wrapping_add(ahead);
            prop_assert_eq!(forward(&half, seq), base.wrapping_add(new_end as u32).wrapping_add(ahead));
            // Without data it goes no further than what has left.
            prop_assert_eq!(bare_seq(&half, seq), base.wrapping_add(new_end as u32));
        }
    }

    #[test]
    fn a_keep_alive_stays_one_below_what_left() {
        let half = half(1000, &[(10, 3010)]);
        assert_eq!(bare_seq(&half, 1009), 1000 + 3009);
        assert_eq!(bare_seq(&half, 1010), 1000 + 3010);
    }

    #[test]
    fn at_a_closed_window_only_what_is_awaited_is_taken() {
        let half = half(1000, &[(10, 3010), (10, 10)]);
        // The receiver has 1,500 bytes of what nine became, as its sender knows.
        let (ack, told) = (1000 + 1500, 1009);
        for seq in [told, told + 1, told + 11] {
            assert_eq!(awaited_seq(&half, ack, seq), ack);
        }
        assert_eq!(awaited_seq(&half, ack, told - 1), ack - 1);
    }

    #[test]
    fn what_was_recorded_counts_what_became_of_it() {
        let half = half(1000, &[(10, 13), (10, 0), (10, 10), (5, 3000)]);
        for (recorded, written) in [
            (0, 0),
            (10, 13),
            (20, 13),
            (25, 18),
            (30, 23),
            (35, 3023),
            // Nobody has what never left.
            (40, 3023),
        ] {
            let ack = recorded_acknowledgement(&half, 1000 + recorded);
            assert_eq!(ack, 1000 + written, "{recorded}");
        }
        assert_eq!(recorded_block(&half, 1020, 1030), Some((1013, 1023)));
        assert_eq!(recorded_block(&half, 1010, 1020), None);
        assert_eq!(recorded_block(&half, 1035, 1050), None);
    }

    #[test]
    fn blocks_of_what_left_ahead_are_moved_by_what_was_added() {
        let mut half = half(1000, &[(10, 13)]);
        assert_eq!(block_backward(&half, 1020, 1030), None);
        half.heavy().ahead_to = 25;
        assert_eq!(block_backward(&half, 1020, 1028), Some((1017, 1025)));
        assert_eq!(block_backward(&half, 1020, 1030), Some((1017, 1025)));
        assert_eq!(block_backward(&half, 1028, 1030), None);
    }

    #[test]
    fn blocks_shrink_to_whole_chunks() {
        let half = half(u32::MAX - 4, &[(10, 10), (10, 13), (10, 10)]);
        let at = |offset: u32| (u32::MAX - 4).wrapping_add(offset);
        assert_eq!(block_backward(&half, at(5), at(33)), Some((at(5), at(30))));
        assert_eq!(
            block_backward(&half, at(15), at(33)),
            Some((at(20), at(30)))
        );
        assert_eq!(block_backward(&half, at(12), at(20)), None);
    }
}

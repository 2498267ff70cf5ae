//! Sequence numbers that wrap, and their places in a stream that does not.
//!
//! On the wire a position is 32 bits and wraps every 4 GiB; inside Wero it is
//! a 64-bit offset from the first byte of data, so that nothing else needs to
//! think about wrapping. [`SeqSpace`] translates between the two.

use std::ops::{Add, Sub};

/// A sequence number as it stands in a header (RFC 9293, 3.4).
///
/// There is no `Ord`: the numbers form a circle, and "before" is not
/// transitive on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// How far this number lies after `other`, negative if before. Numbers
    /// exactly half the circle apart count as before: RFC 1982, 3.2 leaves
    /// them undefined, and so both ends of such a pair come first.
    #[inline]
    #[must_use]
    pub const fn distance_from(self, other: SeqNum) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    /// True if this number comes before `other`.
    #[inline]
    #[must_use]
    pub const fn is_before(self, other: SeqNum) -> bool {
        self.distance_from(other) < 0
    }

    /// True if this number comes after `other`.
    #[inline]
    #[must_use]
    pub const fn is_after(self, other: SeqNum) -> bool {
        self.distance_from(other) > 0
    }

    /// True if this number is one of the `len` numbers from `start` on, as
    /// windows are tested (RFC 9293, 3.4). An empty window holds nothing.
    #[inline]
    #[must_use]
    pub const fn is_within(self, start: SeqNum, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }
}

impl Add<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn add(self, count: u32) -> SeqNum {
        SeqNum(self.0.wrapping_add(count))
    }
}

impl Sub<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn sub(self, count: u32) -> SeqNum {
        SeqNum(self.0.wrapping_sub(count))
    }
}

/// Sequence numbers of one direction, told by where its data begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqSpace {
    /// The number of the first byte of data: one more than the SYN's.
    start: SeqNum,
}

impl SeqSpace {
    /// The space after a SYN with this initial sequence number.
    #[must_use]
    pub fn after_syn(isn: SeqNum) -> SeqSpace {
        SeqSpace { start: isn + 1 }
    }

    /// The space of a stream joined midway, at the first byte seen.
    #[must_use]
    pub const fn starting_at(first: SeqNum) -> SeqSpace {
        SeqSpace { start: first }
    }

    /// The offset that `seq` stands for, given that it lies within 2 GiB of
    /// the offset `reference` (the next one expected). The SYN itself is at
    /// -1, and a number far before the data is further below zero.
    #[inline]
    #[must_use]
    pub fn unwrap_near(&self, reference: u64, seq: SeqNum) -> i64 {
        let distance = seq.distance_from(self.seq_at(reference));
        (reference as i64).wrapping_add(i64::from(distance))
    }

    /// The sequence number of an offset.
    #[inline]
    #[must_use]
    pub fn seq_at(&self, offset: u64) -> SeqNum {
        self.start + offset as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HALF: u32 = 1 << 31;

    #[test]
    fn order_survives_the_wrap() {
        let last = SeqNum(u32::MAX);
        assert_eq!(last + 1, SeqNum(0));
        assert_eq!(SeqNum(0) - 1, last);
        assert!(last.is_before(SeqNum(0)));
        assert!(SeqNum(5).is_after(last));
        assert!(!last.is_before(last) && !last.is_after(last));
        assert_eq!(SeqNum(2).distance_from(last), 3);
    }

    #[test]
    fn half_a_circle_apart_both_come_first() {
        assert!(SeqNum(0).is_before(SeqNum(HALF)));
        assert!(SeqNum(HALF).is_before(SeqNum(0)));
    }

    #[test]
    fn windows_wrap_and_may_be_empty() {
        let start = SeqNum(u32::MAX - 1);
        assert!(start.is_within(start, 1));
        assert!(SeqNum(1).is_within(start, 4));
        assert!(!SeqNum(2).is_within(start, 4));
        assert!(!(start - 1).is_within(start, 4));
        assert!(!start.is_within(start, 0));
    }

    #[test]
    fn offsets_count_from_the_byte_after_the_syn() {
        let space = SeqSpace::after_syn(SeqNum(u32::MAX));
        assert_eq!(space, SeqSpace::starting_at(SeqNum(0)));
        assert_eq!(space.unwrap_near(0, SeqNum(u32::MAX)), -1);
        assert_eq!(space.unwrap_near(0, SeqNum(0)), 0);
        // The same number is another byte 4 GiB later.
        assert_eq!(space.unwrap_near(1 << 32, SeqNum(0)), 1 << 32);
        assert_eq!(
            space.unwrap_near((1 << 32) + 5, SeqNum(u32::MAX)),
            (1 << 32) - 1
        );
    }

    proptest! {
        #[test]
        fn adding_is_moving_forward(seq: u32, count in 1..HALF) {
            let moved = SeqNum(seq) + count;
            prop_assert!(moved.is_after(SeqNum(seq)));
            prop_assert!(SeqNum(seq).is_before(moved));
            prop_assert_eq!(moved.distance_from(SeqNum(seq)), count as i32);
            prop_assert_eq!(moved - count, SeqNum(seq));
        }

        #[test]
        fn unwrapping_undoes_wrapping(
            isn: u32,
            reference in 0..1_u64 << 62,
            away in -(i64::from(HALF))..i64::from(HALF),
        ) {
            let space = SeqSpace::after_syn(SeqNum(isn));
            let offset = reference as i64 + away;
            let seq = SeqNum(isn) + 1 + offset as u32;
            prop_assert_eq!(space.unwrap_near(reference, seq), offset);
            if offset >= 0 {
                prop_assert_eq!(space.seq_at(offset as u64), seq);
            }
        }
    }
}

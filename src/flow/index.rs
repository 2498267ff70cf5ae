//! From a hash to slot numbers, in one block of memory of fixed size.
//!
//! Open addressing with linear probing: eight bytes a place (a slot and 32
//! bits of its hash), four places for three entries. A removal closes the
//! gap it leaves by moving later entries up, so there are no marks of removed
//! entries and the index never needs to be rebuilt.
//!
//! That is why it is not `hashbrown`: under constant churn its tables run out
//! of places that never were used (measured: after a half of the entries was
//! replaced) and rehash everything at once, which for a million flows means
//! reading every record, some 100 ms in which no packet moves.

/// Finds slots by hash. Memory is taken at the first insertion, for as many
/// entries as there will ever be, and used as places are.
#[derive(Debug)]
pub struct SlotIndex {
    /// Zero, or hash bits above the slot plus one. Zeroed memory comes from
    /// the kernel untouched.
    places: Vec<u64>,
    len: u32,
    max_entries: u32,
}

impl SlotIndex {
    /// An index that takes up to `max_entries` slots, each below `u32::MAX`.
    #[must_use]
    pub fn new(max_entries: u32) -> SlotIndex {
        SlotIndex {
            places: Vec::new(),
            len: 0,
            max_entries,
        }
    }

    /// The first slot filed under this hash that `is_it` accepts. Slots whose
    /// 32 bits agree by chance are asked about too.
    #[inline]
    pub fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.probe(hash, is_it).map(|(_, slot)| slot)
    }

    /// Files a slot under a hash, where it must not be already.
    ///
    /// # Panics
    /// If the index is full, which the number of slots prevents.
    pub fn insert(&mut self, hash: u64, slot: u32) {
        assert!(
            self.len < self.max_entries,
            "there are no more entries than slots"
        );
        if self.places.is_empty() {
            let entries = self.max_entries as usize;
            self.places = vec![0; entries + entries / 3 + 1];
        }
        let mut at = self.home(tag_of(hash));
        while self.places[at] != 0 {
            at = self.following(at);
        }
        self.places[at] = u64::from(tag_of(hash)) << 32 | (u64::from(slot) + 1);
        self.len += 1;
    }

    /// Removes a slot filed under this hash. `false` if it is not.
    pub fn remove(&mut self, hash: u64, slot: u32) -> bool {
        let Some((mut gap, _)) = self.probe(hash, |other| other == slot) else {
            return false;
        };
        let mut at = self.following(gap);
        while self.places[at] != 0 {
            // An entry may move up to the gap, but not before its home.
            let home = self.home((self.places[at] >> 32) as u32);
            if self.distance(home, at) >= self.distance(gap, at) {
                self.places[gap] = self.places[at];
                gap = at;
            }
            at = self.following(at);
        }
        self.places[gap] = 0;
        self.len -= 1;
        true
    }

    /// Number of slots filed.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// True if no slot is filed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The place of an entry and its slot. Ends, since a place in four is
    /// free whatever happens.
    #[inline]
    fn probe(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<(usize, u32)> {
        let tag = tag_of(hash);
        let mut at = self.home(tag);
        loop {
            let place = self.places.get(at).copied().filter(|&place| place != 0)?;
            let slot = (place as u32).wrapping_sub(1);
            if (place >> 32) as u32 == tag && is_it(slot) {
                return Some((at, slot));
            }
            at = self.following(at);
        }
    }

    /// Where the search for a tag begins: the tag scaled to the number of
    /// places, so that this need not be a power of two.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.places.len() as u64) >> 32) as usize
    }

    #[inline]
    fn following(&self, at: usize) -> usize {
        if at + 1 < self.places.len() {
            at + 1
        } else {
            0
        }
    }

    /// Steps from one place to another, around the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.places.len() - from
        }
    }
}

#[inline]
const fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_index_finds_nothing_and_owns_no_memory() {
        let mut index = SlotIndex::new(1000);
        assert_eq!(index.find(7, |_| true), None);
        assert!(!index.remove(7, 0));
        assert_eq!(index.places.capacity(), 0);
    }

    #[test]
    fn equal_hashes_are_told_apart_by_the_caller() {
        let mut index = SlotIndex::new(3);
        for slot in 0..3 {
            index.insert(u64::MAX, slot);
        }
        assert_eq!(index.find(u64::MAX, |slot| slot == 2), Some(2));
        assert!(index.remove(u64::MAX, 1));
        assert!(!index.remove(u64::MAX, 1));
        assert_eq!(index.find(u64::MAX, |slot| slot == 1), None);
        assert_eq!(index.find(u64::MAX, |slot| slot == 2), Some(2));
        assert_eq!(
            index.find(u64::MAX - (1 << 32), |_| true),
            None,
            "another hash"
        );
    }

    #[test]
    fn the_memory_is_never_rebuilt() {
        let mut index = SlotIndex::new(1000);
        let hash = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for number in 0..1000 {
            index.insert(hash(number), number as u32);
        }
        let before = (index.places.as_ptr(), index.places.len());
        assert!(before.1 * 8 <= 1000 * 11, "11 bytes an entry");
        for number in 0..20_000 {
            assert!(index.remove(hash(number), number as u32));
            index.insert(hash(number + 1000), number as u32 + 1000);
        }
        assert_eq!(before, (index.places.as_ptr(), index.places.len()));
        for number in 20_000..21_000 {
            assert!(index.remove(hash(number), number as u32));
        }
        assert!(
            index.places.iter().all(|&place| place == 0),
            "nothing stays behind"
        );
    }

    proptest! {
        /// With few different hashes, near the end of the memory and at its
        /// start, so that runs are long and go around the end.
        #[test]
        fn the_index_agrees_with_a_plain_map(
            acts in prop::collection::vec((0..24_u32, 0..5_u32), 1..200),
        ) {
            let mut index = SlotIndex::new(16);
            let mut model = BTreeMap::new();
            for (slot, hash) in acts {
                let hash = u64::from((hash << 28).wrapping_sub(1 << 29)) << 32;
                if let Some(hash) = model.remove(&slot) {
                    prop_assert!(index.remove(hash, slot));
                } else if model.len() < 16 {
                    index.insert(hash, slot);
                    model.insert(slot, hash);
                }
                prop_assert_eq!(index.len() as usize, model.len());
                for slot in 0..24 {
                    for hash in 0..5_u32 {
                        let hash = u64::from((hash << 28).wrapping_sub(1 << 29)) << 32;
                        let found = index.find(hash, |other| other == slot);
                        prop_assert_eq!(found.is_some(), model.get(&slot) == Some(&hash));
                    }
                }
            }
        }
    }
}

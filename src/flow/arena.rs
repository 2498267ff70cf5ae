//! Fixed-address records, addressed by slot and checked by generation.
//!
//! Lua reads the records through FFI by `base + slot`, so they never move:
//! the arena reserves address space for its maximum once and lets the kernel
//! fill in pages as slots are first used. Pages of freed slots stay; slots
//! are reused last in, first out, so a quiet arena stays on few pages.
//!
//! Each slot counts how often it changed hands. The generation is odd while
//! the slot is live and even while it is free, so a (slot, generation) pair
//! kept beyond the life of its record is recognised. It wraps after 2^31
//! uses of one slot; a pair kept that long could be mistaken.
//!
//! This is the only file of `flow` with `unsafe` code. What it relies on:
//! slots below `touched` hold an initialised `T`, nothing else is read, and
//! a reference into the arena borrows the arena. Whoever reads through
//! [`Arena::base_ptr`] must do so while no Rust reference is alive.

use std::io;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};
use std::ptr::NonNull;

/// "No slot", in links and in the fields of records.
pub const NO_SLOT: u32 = u32::MAX;

/// What the arena keeps inside a record: its generation and, while the slot
/// is free, the link to the next free one.
///
/// `Default` is the state of a record just allocated, apart from its generation.
pub trait Record: Copy + Default {
    fn generation(&self) -> u32;
    fn set_generation(&mut self, generation: u32);
    /// The link stored by [`Record::set_next_free`]; asked of free slots only.
    fn next_free(&self) -> u32;
    fn set_next_free(&mut self, slot: u32);
}

/// A fixed number of slots for `T` at addresses that never change.
#[derive(Debug)]
pub struct Arena<T: Record> {
    base: NonNull<T>,
    /// Length of the mapping, in bytes.
    mapped: usize,
    max_slots: u32,
    /// Slots below this one were used at least once and are initialised.
    touched: u32,
    free_head: u32,
    live: u32,
    owns: PhantomData<T>,
}

// SAFETY: the mapping belongs to this value alone and is not tied to the
// thread that made it; records are reached by `&self` and `&mut self` only.
unsafe impl<T: Record + Send> Send for Arena<T> {}

impl<T: Record> Arena<T> {
    /// Reserves address space for `max_slots` records; memory is used only
    /// as slots are.
    ///
    /// Fails if the kernel refuses the mapping, or with `InvalidInput` if
    /// the size is more than an address space or `max_slots` is [`NO_SLOT`].
    pub fn new(max_slots: u32) -> io::Result<Self> {
        const { assert!(size_of::<T>() > 0, "slots need an address each") };
        const {
            assert!(
                align_of::<T>() <= 4096,
                "mappings are aligned to pages only"
            )
        };
        let mapped = (max_slots.max(1) as usize)
            .checked_mul(size_of::<T>())
            .filter(|&bytes| max_slots != NO_SLOT && isize::try_from(bytes).is_ok())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: a new private anonymous mapping at an address of the
        // kernel's choice cannot touch memory that is in use already.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<T>())
            .ok_or_else(|| io::Error::other("the kernel mapped the arena at address zero"))?;
        Ok(Arena {
            base,
            mapped,
            max_slots,
            touched: 0,
            free_head: NO_SLOT,
            live: 0,
            owns: PhantomData,
        })
    }

    /// Takes a slot and resets its record to `T::default()` with a new, odd
    /// generation. `None` if all slots are live; whom to evict is the
    /// caller's policy.
    pub fn alloc(&mut self) -> Option<u32> {
        let slot = self.take_free().or_else(|| self.touch_next())?;
        let record = &mut self[slot];
        let generation = record.generation().wrapping_add(1) | 1;
        *record = T::default();
        record.set_generation(generation);
        self.live += 1;
        Some(slot)
    }

    /// Gives a live slot back. `false`, with nothing done, if it is not live.
    pub fn free(&mut self, slot: u32) -> bool {
        let free_head = self.free_head;
        let Some(record) = self.live_mut(slot) else {
            return false;
        };
        record.set_generation(record.generation().wrapping_add(1));
        record.set_next_free(free_head);
        self.free_head = slot;
        self.live -= 1;
        true
    }

    /// The record, if the slot still holds the one of this generation.
    #[inline]
    pub fn get(&self, slot: u32, generation: u32) -> Option<&T> {
        self.live(slot)
            .filter(|record| record.generation() == generation)
    }

    /// As [`Arena::get`], to be changed.
    #[inline]
    pub fn get_mut(&mut self, slot: u32, generation: u32) -> Option<&mut T> {
        self.live_mut(slot)
            .filter(|record| record.generation() == generation)
    }

    /// The record now in this slot, if there is one.
    #[inline]
    pub fn live(&self, slot: u32) -> Option<&T> {
        self.touched(slot)
            .filter(|record| is_live(record.generation()))
    }

    /// As [`Arena::live`], to be changed.
    #[inline]
    pub fn live_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.touched_mut(slot)
            .filter(|record| is_live(record.generation()))
    }

    /// All live slots, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..self.touched).filter_map(|slot| self.live(slot).map(|record| (slot, record)))
    }

    /// Number of live slots.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.live
    }

    /// True if no slot is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Most slots that can be live at once.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.max_slots
    }

    /// Address of slot 0 for readers through FFI, the same for the life of
    /// the arena. Slots below [`Arena::capacity`] may be read; a slot never
    /// used reads as zeroes, hence as not live.
    #[must_use]
    pub fn base_ptr(&self) -> *const T {
        self.base.as_ptr()
    }

    fn take_free(&mut self) -> Option<u32> {
        let slot = self.free_head;
        self.free_head = self.touched(slot)?.next_free();
        Some(slot)
    }

    fn touch_next(&mut self) -> Option<u32> {
        let slot = self.touched;
        if slot >= self.max_slots {
            return None;
        }
        // SAFETY: slot < max_slots, so the place lies within the mapping,
        // which is writable, aligned to pages, and large enough for
        // max_slots records. No reference to it exists: it is not below
        // `touched`.
        unsafe { self.base.add(slot as usize).write(T::default()) };
        self.touched += 1;
        Some(slot)
    }

    #[inline]
    fn touched(&self, slot: u32) -> Option<&T> {
        if slot >= self.touched {
            return None;
        }
        // SAFETY: slot < touched <= max_slots, so the place lies within the
        // mapping and was initialised by `touch_next`. The reference borrows
        // `self`, so nothing changes the record while it lives.
        Some(unsafe { self.base.add(slot as usize).as_ref() })
    }

    #[inline]
    fn touched_mut(&mut self, slot: u32) -> Option<&mut T> {
        if slot >= self.touched {
            return None;
        }
        // SAFETY: as in `touched`; `self` is borrowed exclusively, so this
        // is the only reference into the arena.
        Some(unsafe { self.base.add(slot as usize).as_mut() })
    }
}

/// For slots known to be in use: links, index entries.
///
/// # Panics
/// If the slot was never used.
impl<T: Record> Index<u32> for Arena<T> {
    type Output = T;
    #[inline]
    fn index(&self, slot: u32) -> &T {
        self.touched(slot)
            .expect("slot numbers come from this arena's alloc")
    }
}

impl<T: Record> IndexMut<u32> for Arena<T> {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut T {
        self.touched_mut(slot)
            .expect("slot numbers come from this arena's alloc")
    }
}

impl<T: Record> Drop for Arena<T> {
    fn drop(&mut self) {
        // SAFETY: base and length are those of the mapping made in `new`,
        // and no reference into it outlives `self`. `T` is `Copy`, so there
        // is nothing to drop in the records.
        let unmapped = unsafe { libc::munmap(self.base.as_ptr().cast(), self.mapped) };
        debug_assert_eq!(unmapped, 0, "munmap of our own mapping");
    }
}

const fn is_live(generation: u32) -> bool {
    generation & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Larger than what is read of it, so that a wrong stride shows.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    struct Probe {
        generation: u32,
        next_free: u32,
        value: [u64; 15],
    }

    impl Default for Probe {
        fn default() -> Self {
            Probe {
                generation: 0,
                next_free: NO_SLOT,
                value: [7; 15],
            }
        }
    }

    impl Record for Probe {
        fn generation(&self) -> u32 {
            self.generation
        }
        fn set_generation(&mut self, generation: u32) {
            self.generation = generation;
        }
        fn next_free(&self) -> u32 {
            self.next_free
        }
        fn set_next_free(&mut self, slot: u32) {
            self.next_free = slot;
        }
    }

    #[test]
    fn every_slot_of_a_full_arena_keeps_its_own_bytes() {
        let mut arena = Arena::<Probe>::new(1000).expect("address space");
        for value in 0..1000_u32 {
            let slot = arena.alloc().expect("not full");
            arena[slot].value = [u64::from(value); 15];
        }
        assert_eq!(arena.alloc(), None);
        assert_eq!(arena.len(), 1000);
        for (slot, record) in arena.iter() {
            assert_eq!(record.value, [u64::from(slot); 15]);
        }
    }

    #[test]
    fn records_stay_where_they_are() {
        let mut arena = Arena::<Probe>::new(100_000).expect("address space");
        let first = arena.alloc().expect("not full");
        let generation = arena[first].generation;
        let before = std::ptr::from_ref(&arena[first]);
        for _ in 1..100_000 {
            arena.alloc().expect("not full");
        }
        let moved = arena; // The value may move; the records may not.
        assert_eq!(before, std::ptr::from_ref(&moved[first]));
        assert_eq!(before, moved.base_ptr());
        assert_eq!(
            moved.get(first, generation).map(|record| record.value),
            Some([7; 15])
        );
    }

    #[test]
    fn a_stale_generation_is_refused_even_after_reuse() {
        let mut arena = Arena::<Probe>::new(2).expect("address space");
        let slot = arena.alloc().expect("not full");
        let stale = arena[slot].generation;
        arena[slot].value = [1; 15];
        assert!(arena.get(slot, stale).is_some());

        assert!(arena.free(slot));
        assert!(!arena.free(slot), "freed twice");
        assert!(arena.get(slot, stale).is_none());
        // Neither is the generation of the freed slot a way in.
        assert!(arena.get(slot, stale.wrapping_add(1)).is_none());

        assert_eq!(arena.alloc(), Some(slot));
        assert!(arena.get(slot, stale).is_none());
        assert!(arena.get_mut(slot, stale).is_none());
        assert_eq!(arena[slot].value, [7; 15], "reset on reuse");
        assert_eq!(arena.len(), 1);
    }

    #[test]
    fn generations_keep_their_parity_when_they_wrap() {
        let mut arena = Arena::<Probe>::new(1).expect("address space");
        let slot = arena.alloc().expect("not full");
        arena[slot].generation = u32::MAX;
        assert!(arena.free(slot));
        assert!(arena.live(slot).is_none());
        assert_eq!(arena.alloc(), Some(slot));
        assert_eq!(arena[slot].generation, 1);
    }

    #[test]
    fn freed_slots_return_last_in_first_out() {
        let mut arena = Arena::<Probe>::new(4).expect("address space");
        for _ in 0..4 {
            arena.alloc().expect("not full");
        }
        for slot in [1, 3, 0] {
            assert!(arena.free(slot));
        }
        assert_eq!(arena.iter().map(|(slot, _)| slot).collect::<Vec<_>>(), [2]);
        assert_eq!(
            [arena.alloc(), arena.alloc(), arena.alloc()],
            [Some(0), Some(3), Some(1)]
        );
        assert_eq!(arena.alloc(), None);
    }

    #[test]
    fn slots_out_of_range_are_nothing() {
        let mut arena = Arena::<Probe>::new(4).expect("address space");
        arena.alloc().expect("not full");
        for slot in [1, 4, NO_SLOT] {
            assert!(arena.live(slot).is_none());
            assert!(arena.get(slot, 0).is_none());
            assert!(!arena.free(slot));
        }
        let mut none = Arena::<Probe>::new(0).expect("address space");
        assert_eq!(none.alloc(), None);
        assert!(Arena::<Probe>::new(NO_SLOT).is_err());
    }

    #[test]
    fn slots_never_used_read_as_not_live_through_the_base() {
        let arena = Arena::<Probe>::new(4).expect("address space");
        // SAFETY: slot 3 lies within the mapping, which starts out zeroed,
        // and zeroes are a valid `Probe`. No reference into it is alive.
        let generation = unsafe { (*arena.base_ptr().add(3)).generation };
        assert!(!is_live(generation));
    }

    #[test]
    fn dropped_arenas_return_their_address_space() {
        // 2,000 times 128 GiB are twice what a process can address.
        for _ in 0..2_000 {
            drop(Arena::<Probe>::new(1 << 30).expect("address space"));
        }
    }
}

//! Slabs whose keys carry a generation: a key kept too long is refused.
//!
//! A key packs into 53 bits, so that a Lua number holds it exactly. Slots
//! are reused last freed first, which keeps the hot ones in cache and makes
//! the numbering the same in every run.

/// Bits of a packed key that number the slot; the rest is the generation.
const INDEX_BITS: u32 = 25;
const GENERATION_BITS: u32 = 28;
const LAST_GENERATION: u32 = (1 << GENERATION_BITS) - 1;
const MAX_SLOTS: usize = 1 << INDEX_BITS;

/// Ends a chain of slot numbers.
pub(crate) const NIL: u32 = u32::MAX;

/// A slot number with the generation it was handed out in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Default for Key {
    fn default() -> Key {
        Key::NONE
    }
}

impl Key {
    /// Names nothing, ever: generations start at one.
    pub const NONE: Key = Key {
        index: 0,
        generation: 0,
    };

    /// The key as a number below 2^53; zero for [`Key::NONE`].
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << INDEX_BITS | u64::from(self.index)
    }

    /// The inverse of [`Key::to_bits`]; any number is accepted.
    pub fn from_bits(bits: u64) -> Key {
        Key {
            index: (bits & (MAX_SLOTS as u64 - 1)) as u32,
            generation: (bits >> INDEX_BITS) as u32,
        }
    }

    /// The key as Lua holds it.
    pub fn to_f64(self) -> f64 {
        self.to_bits() as f64
    }

    /// The inverse of [`Key::to_f64`]. The cast saturates, so that negative
    /// numbers and NaN become a key that names nothing.
    pub fn from_f64(number: f64) -> Key {
        Key::from_bits(number as u64)
    }

    pub(crate) fn is_none(self) -> bool {
        self.generation == 0
    }
}

struct Slot<T> {
    generation: u32,
    next_free: u32,
    value: Option<T>,
}

/// Values under generation-checked keys.
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: u32,
    live: usize,
    cap: usize,
}

impl<T> Slab<T> {
    /// An empty slab that will hold at most `cap` values.
    pub(crate) fn new(cap: usize) -> Self {
        Slab {
            slots: Vec::new(),
            free: NIL,
            live: 0,
            cap: cap.min(MAX_SLOTS),
        }
    }

    /// Stores a value; none when the slab is full.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Option<Key> {
        if self.live >= self.cap {
            return None;
        }
        self.live += 1;
        if self.free == NIL {
            let index = self.slots.len() as u32;
            self.slots.push(Slot {
                generation: 1,
                next_free: NIL,
                value: Some(value),
            });
            return Some(Key {
                index,
                generation: 1,
            });
        }
        let index = self.free;
        let slot = &mut self.slots[index as usize];
        self.free = slot.next_free;
        slot.value = Some(value);
        Some(Key {
            index,
            generation: slot.generation,
        })
    }

    /// Takes the value out; keys to it name nothing from now on.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slots.get_mut(index as usize)?.value.take()?;
        self.vacate(index);
        Some(value)
    }

    /// Drops the value where it is. Copying a value out that was written just
    /// before costs more than all the rest.
    #[inline]
    pub(crate) fn discard(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        if slot.value.is_some() {
            slot.value = None;
            self.vacate(index);
        }
    }

    #[inline]
    fn vacate(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.generation = if slot.generation == LAST_GENERATION {
            1
        } else {
            slot.generation + 1
        };
        slot.next_free = self.free;
        self.free = index;
        self.live -= 1;
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation {
            slot.value.as_ref()
        } else {
            None
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation {
            slot.value.as_mut()
        } else {
            None
        }
    }

    /// The value in a slot that the caller's own links say is live.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> &T {
        self.slots[index as usize]
            .value
            .as_ref()
            .expect("links name live slots only")
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut T {
        self.slots[index as usize]
            .value
            .as_mut()
            .expect("links name live slots only")
    }

    /// The key of a live slot.
    #[inline]
    pub(crate) fn key(&self, index: u32) -> Key {
        Key {
            index,
            generation: self.slots[index as usize].generation,
        }
    }

    /// All values, by slot.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// How many more values fit.
    pub(crate) fn room(&self) -> usize {
        self.cap - self.live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_keys_name_nothing() {
        let mut slab = Slab::new(4);
        let first = slab.insert('a').unwrap();
        assert_eq!(slab.remove(first.index), Some('a'));
        let second = slab.insert('b').unwrap();
        assert_eq!(second.index, first.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get(second), Some(&'b'));
        assert_eq!(slab.get(Key::NONE), None);
    }

    #[test]
    fn the_cap_holds() {
        let mut slab = Slab::new(1);
        assert!(slab.insert(1).is_some());
        assert!(slab.insert(2).is_none());
        assert_eq!((slab.len(), slab.room()), (1, 0));
    }

    #[test]
    fn keys_survive_a_lua_number() {
        let key = Key {
            index: (MAX_SLOTS - 1) as u32,
            generation: LAST_GENERATION,
        };
        assert_eq!(Key::from_f64(key.to_f64()), key);
        for odd in [f64::NAN, f64::INFINITY, -1.0, 1e300, 0.5] {
            let mut slab = Slab::new(4);
            slab.insert(()).unwrap();
            assert_eq!(slab.get(Key::from_f64(odd)), None, "{odd}");
        }
    }
}

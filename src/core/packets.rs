//! The packets in flight: records in a fixed-address arena.

use std::io;

use crate::flow::arena::Arena;
use crate::packet::record::{PacketRecord, state};

/// The packet arena and what does not fit its records.
pub struct Packets {
    arena: Arena<PacketRecord>,
    /// Forged packets that ended without leaving, to be freed by the engine
    /// when no listener can hold them any more.
    retired: Vec<u32>,
}

impl Packets {
    /// Room for `max` packets, rounded up to a power of two, so that any
    /// number masked stays inside.
    pub fn new(max: u32) -> io::Result<Packets> {
        Ok(Packets {
            arena: Arena::new(max.next_power_of_two())?,
            retired: Vec::new(),
        })
    }

    pub fn alloc(&mut self) -> Option<u32> {
        self.arena.alloc()
    }

    #[inline(always)]
    pub fn get(&self, slot: u32) -> &PacketRecord {
        &self.arena[slot]
    }

    #[inline(always)]
    pub fn get_mut(&mut self, slot: u32) -> &mut PacketRecord {
        &mut self.arena[slot]
    }

    /// Whether the slot still holds the packet of that generation.
    #[inline(always)]
    pub fn is_current(&self, slot: u32, generation: u32) -> bool {
        self.arena.get(slot, generation).is_some()
    }

    /// Whether the slot is in use.
    #[inline(always)]
    pub fn is_live(&self, slot: u32) -> bool {
        self.arena.live(slot).is_some()
    }

    pub fn retire(&mut self, slot: u32) {
        self.retired.push(slot);
    }

    pub fn take_retired(&mut self) -> Option<u32> {
        self.retired.pop()
    }

    pub fn free(&mut self, slot: u32) {
        self.arena[slot].state = state::FREE;
        self.arena.free(slot);
    }

    pub fn len(&self) -> u32 {
        self.arena.len()
    }

    /// Whether only the margin is left that packets in hand may need.
    #[inline]
    pub fn is_crowded(&self) -> bool {
        self.arena.len() >= self.arena.capacity() - self.arena.capacity() / 8
    }

    pub fn is_empty(&self) -> bool {
        self.arena.is_empty()
    }

    /// For Lua: the first record, and the mask that keeps any number inside
    /// the arena.
    pub fn base(&self) -> (*const PacketRecord, u32) {
        (self.arena.base_ptr(), self.arena.capacity() - 1)
    }

    /// Slots of all packets in flight, in the order of capture.
    pub fn slots(&self) -> Vec<u32> {
        let mut slots: Vec<_> = self
            .arena
            .iter()
            .map(|(slot, packet)| (packet.id, slot))
            .collect();
        slots.sort_unstable();
        slots.into_iter().map(|(_, slot)| slot).collect()
    }
}

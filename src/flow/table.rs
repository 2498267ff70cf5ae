//! The flows of one worker: found by key, aged by timers, capped in number.
//!
//! Ties the records to an index and two timer wheels. The index stores slot
//! numbers only, one table per address family, and compares with the record
//! itself; one hash finds a flow in either direction. A family's index is made
//! at its final size when its first flow arrives, so that no packet ever waits
//! for a million flows to be rehashed: 10.7 bytes a flow.
//!
//! Half-open flows (nobody answered yet) have a cap and a wheel of their own
//! and never displace established ones: a flood of first packets only
//! displaces itself. Not here: how long a flow may be idle, and what is done
//! with a victim; the caller tells and acts, then calls [`FlowTable::remove`].

use std::io;
use std::time::Duration;

use super::Direction;
use super::arena::Arena;
use super::index::SlotIndex;
use super::key::{FAMILY_V4, FlowHasher, FlowKey};
use super::record::{FlowRecord, flags};
use super::timer::TimerWheel;
use crate::time::Timestamp;

/// Resolution of idle time-outs; see [`TimerWheel`].
const TICK: Duration = Duration::from_millis(1);

/// Flows found active and armed anew in one call of [`FlowTable::next_idle`].
const RECHECKS_PER_CALL: u32 = 64;

/// How a flow begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// By a packet that anybody could have sent from any address: a SYN, or
    /// the first datagram of UDP, until an answer confirms it.
    HalfOpen,
    /// By a packet that shows a conversation.
    Established,
}

/// Why a flow could not be added. [`FlowTable::evict_candidate`] finds room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableFull {
    #[error("the flow table is full")]
    Flows,
    #[error("the cap on half-open flows is reached")]
    HalfOpen,
}

/// All flows of one worker.
#[derive(Debug)]
pub struct FlowTable {
    records: Arena<FlowRecord>,
    v4: SlotIndex,
    v6: SlotIndex,
    hasher: FlowHasher,
    half_open: TimerWheel,
    established: TimerWheel,
    half_open_flows: u32,
    max_half_open: u32,
    /// Number of the flow opened last; the first is 1.
    last_id: u64,
}

impl FlowTable {
    /// A table for at most `max_flows` flows, all of which may be half-open
    /// until [`FlowTable::set_max_half_open`] says otherwise. The seed must be
    /// secret where the traffic is not trusted, and fixed where two runs
    /// shall be equal.
    ///
    /// Fails if there is no address space for `max_flows` times 128 bytes.
    pub fn new(max_flows: u32, seed: u64) -> io::Result<FlowTable> {
        Ok(FlowTable {
            records: Arena::new(max_flows)?,
            v4: SlotIndex::new(max_flows),
            v6: SlotIndex::new(max_flows),
            hasher: FlowHasher::new(seed),
            half_open: TimerWheel::new(TICK),
            established: TimerWheel::new(TICK),
            half_open_flows: 0,
            max_half_open: max_flows,
            last_id: 0,
        })
    }

    /// Sets how many flows may be half-open at once. Those above a lowered
    /// cap stay; new ones are refused until there are fewer.
    pub fn set_max_half_open(&mut self, flows: u32) {
        self.max_half_open = flows;
    }

    /// The flow a packet belongs to, and which way the packet goes on it.
    #[inline]
    #[must_use]
    pub fn find(&self, key: &FlowKey) -> Option<(u32, Direction)> {
        let mut direction = None;
        let index = if key.family == FAMILY_V4 {
            &self.v4
        } else {
            &self.v6
        };
        let slot = index.find(self.hasher.hash(key), |slot| {
            direction = key.direction_on(&self.records[slot]);
            direction.is_some()
        })?;
        Some((slot, direction?))
    }

    /// Adds a flow opened by a packet with this key, which
    /// [`FlowTable::find`] must not know. Nothing is counted yet: the first
    /// packet goes through [`FlowRecord::count`] like the others. The flow
    /// has no timer: arm one, or it can neither expire nor be evicted.
    pub fn insert(
        &mut self,
        key: &FlowKey,
        opening: Opening,
        now: Timestamp,
        frame: u64,
    ) -> Result<u32, TableFull> {
        debug_assert!(self.find(key).is_none(), "a flow is inserted once");
        if opening == Opening::HalfOpen && self.half_open_flows >= self.max_half_open {
            return Err(TableFull::HalfOpen);
        }
        let slot = self.records.alloc().ok_or(TableFull::Flows)?;
        self.last_id += 1;
        let record = &mut self.records[slot];
        record.set_key(key);
        record.id = self.last_id;
        record.first_frame = frame;
        record.first_seen = now;
        record.last_seen = now;
        if opening == Opening::HalfOpen {
            record.flags |= flags::HALF_OPEN;
            self.half_open_flows += 1;
        }

        let hash = self.hasher.hash(key);
        self.index_of(key).insert(hash, slot);
        Ok(slot)
    }

    /// Removes a flow and its timer. `false` if the slot holds none.
    pub fn remove(&mut self, slot: u32) -> bool {
        let Some(record) = self.records.live(slot) else {
            return false;
        };
        let (key, half_open) = (record.key(), record.has(flags::HALF_OPEN));
        self.disarm(slot);
        self.half_open_flows -= u32::from(half_open);
        let hash = self.hasher.hash(&key);
        let indexed = self.index_of(&key).remove(hash, slot);
        debug_assert!(indexed, "every live flow is indexed");
        self.records.free(slot)
    }

    /// Notes that a half-open flow was answered. Its timer, if armed, is
    /// disarmed: arm it with the time-out of the state it is in now.
    pub fn establish(&mut self, slot: u32) {
        if !self.is_half_open(slot) {
            return;
        }
        self.disarm(slot);
        self.records[slot].flags &= !flags::HALF_OPEN;
        self.half_open_flows -= 1;
    }

    /// Arms the idle timer of a live flow, or moves its deadline. Not needed
    /// per packet: [`FlowTable::next_idle`] looks at the time of the latest.
    pub fn arm(&mut self, slot: u32, now: Timestamp, deadline: Timestamp) {
        if self.records.live(slot).is_none() {
            return;
        }
        let wheel = if self.is_half_open(slot) {
            &mut self.half_open
        } else {
            &mut self.established
        };
        wheel.arm(&mut self.records, slot, now, deadline);
    }

    /// Disarms the idle timer of a flow; nothing happens if it has none.
    pub fn disarm(&mut self, slot: u32) {
        if self.records.live(slot).is_none() {
            return;
        }
        let wheel = if self.is_half_open(slot) {
            &mut self.half_open
        } else {
            &mut self.established
        };
        wheel.disarm(&mut self.records, slot);
    }

    /// The next flow without a packet for as long as `timeout` says, its
    /// timer disarmed. Call until `None`, before each packet.
    ///
    /// Flows that were active meanwhile are armed anew. Work per call is
    /// bounded: with more to do, `None` comes early and
    /// [`FlowTable::next_deadline`] is not later than `now`.
    ///
    /// Where time was set back, flows last seen in what is now the future
    /// count as seen now; else they would live until that time comes again.
    pub fn next_idle(
        &mut self,
        now: Timestamp,
        mut timeout: impl FnMut(&FlowRecord) -> Duration,
    ) -> Option<u32> {
        for wheel in [&mut self.half_open, &mut self.established] {
            for _ in 0..RECHECKS_PER_CALL {
                let Some(slot) = wheel.next_expired(&mut self.records, now) else {
                    break;
                };
                let record = &mut self.records[slot];
                record.last_seen = record.last_seen.min(now);
                let deadline = record.last_seen + timeout(record);
                if deadline <= now {
                    return Some(slot);
                }
                wheel.arm(&mut self.records, slot, now, deadline);
            }
        }
        None
    }

    /// When [`FlowTable::next_idle`] is to be called at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let deadlines = [
            self.half_open.next_deadline(),
            self.established.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The flow to give up so that another fits: the oldest half-open one,
    /// else, for an established newcomer only, one of the longest idle. `None`
    /// means that the newcomer must do without.
    pub fn evict_candidate(&mut self, newcomer: Opening) -> Option<u32> {
        self.oldest_half_open().or_else(|| match newcomer {
            Opening::HalfOpen => None,
            Opening::Established => self.oldest_idle(),
        })
    }

    /// The half-open flow whose timer fires first: with equal time-outs, the
    /// oldest.
    #[must_use]
    pub fn oldest_half_open(&self) -> Option<u32> {
        self.half_open.soonest(&self.records).first().copied()
    }

    /// Of the eight established flows whose timers fire next, the one idle
    /// longest. An approximation in constant time: an exact order would cost
    /// every packet of every flow two more cache misses.
    pub fn oldest_idle(&mut self) -> Option<u32> {
        let sample = self.established.soonest(&self.records);
        let victim = *sample
            .iter()
            .min_by_key(|&&slot| self.records[slot].last_seen)?;
        // Let the next call look at others.
        for slot in sample.into_iter().filter(|&slot| slot != victim) {
            self.established.move_back(&mut self.records, slot);
        }
        Some(victim)
    }

    /// The flow in this slot, if it is still the one of this generation.
    #[inline]
    #[must_use]
    pub fn get(&self, slot: u32, generation: u32) -> Option<&FlowRecord> {
        self.records.get(slot, generation)
    }

    /// As [`FlowTable::get`], to be changed.
    #[inline]
    pub fn get_mut(&mut self, slot: u32, generation: u32) -> Option<&mut FlowRecord> {
        self.records.get_mut(slot, generation)
    }

    /// The flow now in this slot.
    #[inline]
    #[must_use]
    pub fn record(&self, slot: u32) -> Option<&FlowRecord> {
        self.records.live(slot)
    }

    /// As [`FlowTable::record`], to be changed.
    #[inline]
    pub fn record_mut(&mut self, slot: u32) -> Option<&mut FlowRecord> {
        self.records.live_mut(slot)
    }

    /// All flows, in the order of their slots.
    pub fn iter_live(&self) -> impl Iterator<Item = (u32, &FlowRecord)> {
        self.records.iter()
    }

    /// Number of flows.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.records.len()
    }

    /// True if there is no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Number of half-open flows, counted in [`FlowTable::len`] too.
    #[must_use]
    pub fn half_open(&self) -> u32 {
        self.half_open_flows
    }

    /// Most flows there can be.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.records.capacity()
    }

    /// The records for readers through FFI; see [`Arena::base_ptr`].
    #[must_use]
    pub fn base_ptr(&self) -> *const FlowRecord {
        self.records.base_ptr()
    }

    fn index_of(&mut self, key: &FlowKey) -> &mut SlotIndex {
        if key.family == FAMILY_V4 {
            &mut self.v4
        } else {
            &mut self.v6
        }
    }

    fn is_half_open(&self, slot: u32) -> bool {
        self.records
            .live(slot)
            .is_some_and(|record| record.has(flags::HALF_OPEN))
    }
}

#[cfg(test)]
mod tests;

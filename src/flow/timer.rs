//! Timers on packet time: a wheel for flows and a queue for scripts.
//!
//! The wheel is hierarchical: six levels of 64 buckets, each level's bucket
//! as wide as the whole level below. A timer is armed into the bucket its
//! deadline names and moves down a level when time reaches that bucket.
//! Buckets are lists through the records themselves, so arming and disarming
//! allocate nothing and touch at most two other records.
//!
//! Idle time-outs are lazy: a packet only updates `last_seen`, and when the
//! timer fires the caller looks whether the flow really was idle and else
//! arms it again. See `FlowTable::next_idle`.
//!
//! Precision: a timer never fires before its deadline, and fires at the
//! first call that is a tick or more after it. Timers of one tick fire in the
//! order in which they were armed (or came down a level), not in the order
//! of their deadlines. The order depends on the calls alone, never on chance.
//!
//! Time jumps: a leap forward costs as much as the timers it passes, not the
//! ticks. A step backwards of less than [`BACKWARD_SLACK`] (packets of
//! several queues, out of order) is no motion at all. A longer one means that
//! the clock was set or the capture spliced: the timers then keep the spans
//! they had left, counted from the new time.

use std::collections::BTreeMap;
use std::time::Duration;

use smallvec::SmallVec;

use super::arena::NO_SLOT;
use crate::time::Timestamp;

/// [`TimerLink::bucket`] of a timer that is not armed.
pub const DISARMED: u16 = u16::MAX;

/// Steps backwards shorter than this are taken as packets out of order.
pub const BACKWARD_SLACK: Duration = Duration::from_secs(1);

/// Timers moved down a level in one call. A million timers that share a
/// bucket are spread over many calls, at some 25 us each, not one of 100 ms.
const MOVES_PER_CALL: u32 = 256;

const LEVELS: usize = 6;
const LEVEL_BITS: u32 = 6;
const BUCKETS_PER_LEVEL: usize = 1 << LEVEL_BITS;
/// Deadlines are kept as the lower 32 bits of their tick, so they must be
/// nearer than half of what those can tell apart.
const MAX_LEAD: u64 = (1 << 31) - 1;

/// The part of a timer that lives in the record it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerLink {
    pub next: u32,
    pub prev: u32,
    /// The deadline's tick, its lower 32 bits.
    pub due: u32,
    /// The list this timer is in, or [`DISARMED`].
    pub bucket: u16,
}

impl Default for TimerLink {
    fn default() -> Self {
        TimerLink {
            next: NO_SLOT,
            prev: NO_SLOT,
            due: 0,
            bucket: DISARMED,
        }
    }
}

/// Where the wheel finds the links of a slot.
pub trait TimerLinks {
    /// The link of a slot that is in use.
    fn link(&self, slot: u32) -> TimerLink;
    /// Replaces it.
    fn set_link(&mut self, slot: u32, link: TimerLink);
}

/// One timer per slot. A slot must be armed in one wheel at a time only.
#[derive(Debug)]
pub struct TimerWheel {
    /// A tick is 2^shift nanoseconds.
    tick_shift: u32,
    /// A point in time and its tick; moved by steps backwards.
    mark: Timestamp,
    mark_tick: u64,
    /// The highest time seen since `mark`; `None` before the first.
    latest: Option<Timestamp>,
    /// Ticks below this one are done with.
    current: u64,
    /// The bucket whose timers are being moved down, if that is unfinished.
    cascading: Option<u16>,
    armed: u32,
    occupied: [u64; LEVELS],
    buckets: Box<[Bucket; LEVELS * BUCKETS_PER_LEVEL]>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    head: u32,
    tail: u32,
}

const EMPTY: Bucket = Bucket {
    head: NO_SLOT,
    tail: NO_SLOT,
};

impl TimerWheel {
    /// A wheel whose tick is the smallest power of two of nanoseconds that is
    /// not shorter than `tick`: one millisecond becomes 1.05 ms. Ticks are
    /// limited to about a second; a timer reaches 2^31 ticks ahead, 26 days
    /// at 1.05 ms, and a longer one fires then.
    #[must_use]
    pub fn new(tick: Duration) -> TimerWheel {
        let nanos = u64::try_from(tick.as_nanos())
            .unwrap_or(u64::MAX)
            .clamp(1, 1 << 30);
        TimerWheel {
            tick_shift: nanos.next_power_of_two().trailing_zeros(),
            mark: Timestamp(0),
            mark_tick: 0,
            latest: None,
            current: 0,
            cascading: None,
            armed: 0,
            occupied: [0; LEVELS],
            buckets: Box::new([EMPTY; LEVELS * BUCKETS_PER_LEVEL]),
        }
    }

    /// Number of timers armed.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.armed
    }

    /// True if no timer is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// Arms the timer of `slot`, or moves its deadline if it was armed in
    /// this wheel. A deadline that has passed fires at the next tick, not at
    /// once, so that a caller who arms what just fired does not spin.
    pub fn arm(
        &mut self,
        links: &mut impl TimerLinks,
        slot: u32,
        now: Timestamp,
        deadline: Timestamp,
    ) {
        self.disarm(links, slot);
        let now_tick = self.observe(now);
        if self.armed == 0 {
            self.current = now_tick;
            self.cascading = None;
        }
        let due = self
            .due_tick(deadline)
            .clamp(self.current + 1, self.current + MAX_LEAD);
        self.armed += 1;
        self.push_back(links, self.bucket_for(due), slot, due as u32);
    }

    /// Disarms the timer of `slot`; nothing happens if it is not armed.
    pub fn disarm(&mut self, links: &mut impl TimerLinks, slot: u32) {
        if links.link(slot).bucket != DISARMED {
            self.unlink(links, slot);
            self.armed -= 1;
        }
    }

    /// Takes the next timer that is due, disarmed. Call until `None`.
    ///
    /// `None` also ends a call that has moved `MOVES_PER_CALL` timers down
    /// a level; [`TimerWheel::next_deadline`] is then not later than `now`.
    pub fn next_expired(&mut self, links: &mut impl TimerLinks, now: Timestamp) -> Option<u32> {
        let now_tick = self.observe(now);
        let mut moves = MOVES_PER_CALL;
        loop {
            if let Some(bucket) = self.cascading {
                if !self.cascade(links, bucket, &mut moves) {
                    return None;
                }
                self.cascading = None;
            }
            let Some((bucket, tick)) = self.next_bucket().filter(|&(_, tick)| tick <= now_tick)
            else {
                self.current = now_tick;
                return None;
            };
            self.current = tick;
            if usize::from(bucket) < BUCKETS_PER_LEVEL {
                let slot = self.buckets[usize::from(bucket)].head;
                self.disarm(links, slot);
                return Some(slot);
            }
            self.cascading = Some(bucket);
        }
    }

    /// When [`TimerWheel::next_expired`] is to be called next: not later than
    /// the first deadline plus one tick, possibly earlier than anything is
    /// due. `None` if no timer is armed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let latest = self.latest.unwrap_or(self.mark);
        if self.cascading.is_some() {
            return Some(latest);
        }
        let (_, tick) = self.next_bucket()?;
        let nanos = tick.saturating_sub(self.mark_tick) << self.tick_shift;
        Some((self.mark + Duration::from_nanos(nanos)).max(latest))
    }

    /// Up to eight timers among those that fire next. Within a bucket the
    /// ones armed first come first; with equal spans those fire first too.
    #[must_use]
    pub fn soonest(&self, links: &impl TimerLinks) -> SmallVec<[u32; 8]> {
        let mut found = SmallVec::new();
        let next = self.next_bucket().map(|(bucket, _)| bucket);
        let Some(bucket) = self.cascading.filter(|&at| !self.is_vacant(at)).or(next) else {
            return found;
        };
        let mut slot = self.buckets[usize::from(bucket)].head;
        while slot != NO_SLOT && found.len() < found.inline_size() {
            found.push(slot);
            slot = links.link(slot).next;
        }
        found
    }

    /// Puts an armed timer behind the others of its bucket, so that
    /// [`TimerWheel::soonest`] shows others. Its deadline stays.
    pub fn move_back(&mut self, links: &mut impl TimerLinks, slot: u32) {
        let TimerLink { due, bucket, .. } = links.link(slot);
        if bucket != DISARMED {
            self.unlink(links, slot);
            self.push_back(links, bucket, slot, due);
        }
    }

    /// The tick of `now`, or of a later time already seen.
    #[inline]
    fn observe(&mut self, now: Timestamp) -> u64 {
        let latest = match self.latest {
            None => {
                self.mark = now;
                now
            }
            Some(latest) if latest.since(now) >= BACKWARD_SLACK => {
                self.mark_tick = self.tick_of(latest);
                self.mark = now;
                now
            }
            Some(latest) => {
                self.shorten_leap(latest, now);
                latest.max(now)
            }
        };
        self.latest = Some(latest);
        self.tick_of(latest)
    }

    /// Counts a leap beyond all timers as one that just passes them. Else
    /// a capture that leaps to and fro could count the ticks to overflow.
    #[inline]
    fn shorten_leap(&mut self, latest: Timestamp, now: Timestamp) {
        let leap = (now.0.saturating_sub(latest.0).max(0) as u64) >> self.tick_shift;
        if leap > 2 * MAX_LEAD {
            self.mark_tick = self.tick_of(latest) + 2 * MAX_LEAD;
            self.mark = now;
        }
    }

    /// The tick that `time`, not before the mark, lies in.
    #[inline]
    fn tick_of(&self, time: Timestamp) -> u64 {
        self.mark_tick + (time.0.abs_diff(self.mark.0) >> self.tick_shift)
    }

    /// The first tick that begins at the deadline or after it.
    fn due_tick(&self, deadline: Timestamp) -> u64 {
        if deadline <= self.mark {
            return self.mark_tick;
        }
        let nanos = deadline.0.abs_diff(self.mark.0);
        self.mark_tick + nanos.div_ceil(1 << self.tick_shift)
    }

    /// The bucket for a tick from `current` on. The level is where the tick
    /// first differs from the current one, so that the timers of a level all
    /// fire after those of the levels below.
    fn bucket_for(&self, due: u64) -> u16 {
        let differing = (due ^ self.current).max(1).ilog2();
        let level = (differing / LEVEL_BITS).min(LEVELS as u32 - 1);
        let index = (due >> (level * LEVEL_BITS)) as usize % BUCKETS_PER_LEVEL;
        (level as usize * BUCKETS_PER_LEVEL + index) as u16
    }

    /// The occupied bucket that time reaches first, and the tick it starts at.
    #[inline]
    fn next_bucket(&self) -> Option<(u16, u64)> {
        for (level, &occupied) in self.occupied.iter().enumerate() {
            if occupied == 0 {
                continue;
            }
            let shift = level as u32 * LEVEL_BITS;
            let at = self.current >> shift;
            // The topmost level is a ring; in the others the timers lie
            // ahead of the current bucket, so that turning does no harm.
            let ahead = u64::from(occupied.rotate_right(at as u32 % 64).trailing_zeros());
            let index = (at + ahead) as usize % BUCKETS_PER_LEVEL;
            let start = ((at + ahead) << shift).max(self.current);
            return Some(((level * BUCKETS_PER_LEVEL + index) as u16, start));
        }
        None
    }

    /// Moves the timers of a bucket whose time has come to the levels below.
    /// `false` if `moves` ran out first.
    fn cascade(&mut self, links: &mut impl TimerLinks, bucket: u16, moves: &mut u32) -> bool {
        while !self.is_vacant(bucket) {
            if *moves == 0 {
                return false;
            }
            *moves -= 1;
            let slot = self.buckets[usize::from(bucket)].head;
            let due = links.link(slot).due;
            self.unlink(links, slot);
            let ahead = due.wrapping_sub(self.current as u32);
            let tick = self.current + u64::from(ahead);
            self.push_back(links, self.bucket_for(tick), slot, due);
        }
        true
    }

    fn is_vacant(&self, bucket: u16) -> bool {
        self.buckets[usize::from(bucket)].head == NO_SLOT
    }

    fn push_back(&mut self, links: &mut impl TimerLinks, bucket: u16, slot: u32, due: u32) {
        let list = &mut self.buckets[usize::from(bucket)];
        let prev = list.tail;
        list.tail = slot;
        if prev == NO_SLOT {
            list.head = slot;
            self.occupied[usize::from(bucket) / BUCKETS_PER_LEVEL] |= bit_of(bucket);
        } else {
            links.set_link(
                prev,
                TimerLink {
                    next: slot,
                    ..links.link(prev)
                },
            );
        }
        links.set_link(
            slot,
            TimerLink {
                next: NO_SLOT,
                prev,
                due,
                bucket,
            },
        );
    }

    fn unlink(&mut self, links: &mut impl TimerLinks, slot: u32) {
        let TimerLink {
            next,
            prev,
            due,
            bucket,
        } = links.link(slot);
        let list = &mut self.buckets[usize::from(bucket)];
        if prev == NO_SLOT {
            list.head = next;
        } else {
            links.set_link(
                prev,
                TimerLink {
                    next,
                    ..links.link(prev)
                },
            );
        }
        if next == NO_SLOT {
            list.tail = prev;
        } else {
            links.set_link(
                next,
                TimerLink {
                    prev,
                    ..links.link(next)
                },
            );
        }
        if list.head == NO_SLOT {
            self.occupied[usize::from(bucket) / BUCKETS_PER_LEVEL] &= !bit_of(bucket);
        }
        links.set_link(
            slot,
            TimerLink {
                due,
                ..TimerLink::default()
            },
        );
    }
}

const fn bit_of(bucket: u16) -> u64 {
    1 << (bucket as usize % BUCKETS_PER_LEVEL)
}

/// Names a timer of a [`TimerQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    deadline: Timestamp,
    /// Timers of one deadline fire in the order they were made.
    sequence: u64,
}

/// The timers of scripts: few, precise, and in the order of their deadlines.
#[derive(Debug)]
pub struct TimerQueue<T> {
    waiting: BTreeMap<TimerId, T>,
    max_timers: usize,
    made: u64,
}

impl<T> TimerQueue<T> {
    /// A queue that refuses more than `max_timers` at once.
    #[must_use]
    pub fn new(max_timers: usize) -> TimerQueue<T> {
        TimerQueue {
            waiting: BTreeMap::new(),
            max_timers,
            made: 0,
        }
    }

    /// Adds a timer. `None` if the queue is full; the caller counts it and
    /// says so to the script.
    pub fn push(&mut self, deadline: Timestamp, item: T) -> Option<TimerId> {
        if self.waiting.len() >= self.max_timers {
            return None;
        }
        let id = TimerId {
            deadline,
            sequence: self.made,
        };
        self.made += 1;
        self.waiting.insert(id, item);
        Some(id)
    }

    /// Removes a timer that has not fired and returns what it carried.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        self.waiting.remove(&id)
    }

    /// Takes the first timer whose deadline is not after `now`.
    pub fn next_expired(&mut self, now: Timestamp) -> Option<T> {
        let first = self.waiting.first_entry()?;
        (first.key().deadline <= now).then(|| first.remove())
    }

    /// Deadline of the first timer.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.waiting.first_key_value().map(|(id, _)| id.deadline)
    }

    /// Number of timers waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True if no timer is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests;

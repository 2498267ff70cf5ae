//! Until when directions of connections may hold what they hold.
//!
//! One deadline per direction, set when it begins to hold something and not
//! taken back when that leaves: whoever is woken looks whether anything is
//! due. So a segment that is held for a moment costs one insertion per
//! `hold_time`, not one per segment.

use crate::flow::Direction;
use crate::flow::timer::{TimerId, TimerQueue};
use crate::time::Timestamp;

/// A direction of a flow: slot, generation, direction.
pub type Waiting = (u32, u32, Direction);

/// The deadlines of one worker.
pub struct Deadlines {
    queue: TimerQueue<Waiting>,
    /// Nothing is due before this.
    quiet_until: Timestamp,
}

impl Deadlines {
    /// Room for both directions of so many flows.
    pub fn new(max_flows: u32) -> Deadlines {
        Deadlines {
            queue: TimerQueue::new(2 * max_flows as usize),
            quiet_until: Timestamp(i64::MAX),
        }
    }

    /// Sets the deadline of a direction that has none.
    pub fn set(&mut self, deadline: Timestamp, who: Waiting) -> Option<TimerId> {
        self.quiet_until = self.quiet_until.min(deadline);
        self.queue.push(deadline, who)
    }

    /// Takes back a deadline.
    pub fn clear(&mut self, id: TimerId) {
        self.queue.cancel(id);
    }

    /// Whether [`Deadlines::next_due`] may have something.
    #[inline]
    pub fn due(&mut self, now: Timestamp) -> bool {
        if now < self.quiet_until {
            return false;
        }
        self.quiet_until = self.next().unwrap_or(Timestamp(i64::MAX));
        self.quiet_until <= now
    }

    /// The next direction whose deadline has come.
    pub fn next_due(&mut self, now: Timestamp) -> Option<Waiting> {
        self.queue.next_expired(now)
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Timestamp> {
        self.queue.next_deadline()
    }
}

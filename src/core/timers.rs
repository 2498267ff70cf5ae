//! The timers that rules run, on packet time.
//!
//! A timer is periodic and has a number. One that fell behind fires once and
//! goes on from the first of its deadlines that is still to come. Timers
//! started before the first packet count from that packet, since there is no
//! time before it. How many run at once is capped; one too many is refused
//! and counted, and the script is told.

use crate::flow::timer::{TimerId, TimerQueue};
use crate::time::Timestamp;

/// The shortest and the longest period, in nanoseconds.
const PERIODS: (f64, f64) = (1.0, (1u64 << 62) as f64);

/// The timers of one worker's rules.
pub struct Timers {
    queue: TimerQueue<u32>,
    timers: Vec<Timer>,
    /// Numbers that are free to be used again.
    free: Vec<u32>,
    /// Started before there was any time, in the order of their start.
    waiting: Vec<u32>,
    max_timers: usize,
    /// Nothing fires before this.
    quiet_until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    period: i64,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Free,
    /// In [`Timers::waiting`].
    Unanchored,
    Running {
        id: TimerId,
        deadline: Timestamp,
    },
}

impl Timers {
    pub fn new(max_timers: u32) -> Timers {
        Timers {
            queue: TimerQueue::new(max_timers as usize),
            timers: Vec::new(),
            free: Vec::new(),
            waiting: Vec::new(),
            max_timers: max_timers as usize,
            quiet_until: Timestamp(i64::MAX),
        }
    }

    /// Starts a timer that fires every `seconds` from `now` on; `None` as
    /// `now` means that no packet has been seen. `None` when there are too
    /// many, or the period is none.
    pub fn start(&mut self, seconds: f64, now: Option<Timestamp>) -> Option<u32> {
        let running = self.timers.len() - self.free.len();
        // Also refuses what is no number.
        let positive = seconds > 0.0;
        if !positive || running >= self.max_timers {
            return None;
        }
        let timer = Timer {
            period: (seconds * 1e9).clamp(PERIODS.0, PERIODS.1) as i64,
            state: State::Unanchored,
        };
        let number = match self.free.pop() {
            Some(number) => {
                *self.timers.get_mut(number as usize)? = timer;
                number
            }
            None => {
                self.timers.push(timer);
                u32::try_from(self.timers.len() - 1).ok()?
            }
        };
        match now {
            Some(now) => self.arm(number, Timestamp(now.0.saturating_add(timer.period))),
            None => self.waiting.push(number),
        }
        Some(number)
    }

    /// Stops a timer; nothing happens if there is none of that number.
    pub fn stop(&mut self, number: u32) {
        let Some(timer) = self.timers.get_mut(number as usize) else {
            return;
        };
        match std::mem::replace(&mut timer.state, State::Free) {
            State::Free => return,
            State::Unanchored => self.waiting.retain(|&other| other != number),
            State::Running { id, .. } => {
                self.queue.cancel(id);
            }
        }
        self.free.push(number);
    }

    /// Time begins: what was started before counts from `now`.
    pub fn anchor(&mut self, now: Timestamp) {
        for number in std::mem::take(&mut self.waiting) {
            if let Some(timer) = self.timers.get(number as usize) {
                self.arm(number, Timestamp(now.0.saturating_add(timer.period)));
            }
        }
    }

    /// Whether [`Timers::next_expired`] may have something.
    #[inline]
    pub fn due(&mut self, now: Timestamp) -> bool {
        if now < self.quiet_until {
            return false;
        }
        self.quiet_until = self.next_deadline().unwrap_or(Timestamp(i64::MAX));
        self.quiet_until <= now
    }

    /// The next timer that has expired. It runs on.
    pub fn next_expired(&mut self, now: Timestamp) -> Option<u32> {
        let number = self.queue.next_expired(now)?;
        let timer = self.timers.get(number as usize)?;
        let State::Running { deadline, .. } = timer.state else {
            return None;
        };
        let late = now.0.saturating_sub(deadline.0).max(0);
        let periods = late / timer.period + 1;
        let next = deadline
            .0
            .saturating_add(periods.saturating_mul(timer.period));
        self.arm(number, Timestamp(next));
        Some(number)
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.queue.next_deadline()
    }

    /// Number of timers that run.
    pub fn len(&self) -> usize {
        self.timers.len() - self.free.len()
    }

    /// True if no timer runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The queue has room for every timer there may be.
    fn arm(&mut self, number: u32, deadline: Timestamp) {
        let Some(timer) = self.timers.get_mut(number as usize) else {
            return;
        };
        if let Some(id) = self.queue.push(deadline, number) {
            timer.state = State::Running { id, deadline };
            self.quiet_until = self.quiet_until.min(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp(milliseconds * 1_000_000)
    }

    fn expired(timers: &mut Timers, now: Timestamp) -> Vec<u32> {
        let mut fired = Vec::new();
        if timers.due(now) {
            while let Some(number) = timers.next_expired(now) {
                fired.push(number);
            }
        }
        fired
    }

    #[test]
    fn missed_periods_give_one_call_and_keep_the_beat() {
        let mut timers = Timers::new(4);
        let one = timers.start(1.0, Some(at(0))).expect("there is room");
        assert!(expired(&mut timers, at(999)).is_empty());
        assert_eq!(expired(&mut timers, at(1000)), [one]);
        assert_eq!(expired(&mut timers, at(4700)), [one]);
        assert_eq!(timers.next_deadline(), Some(at(5000)));
        assert!(expired(&mut timers, at(4999)).is_empty());
        assert_eq!(expired(&mut timers, at(5000)), [one]);
    }

    #[test]
    fn a_timer_started_before_time_counts_from_the_first_packet() {
        let mut timers = Timers::new(4);
        let early = timers.start(2.0, None).expect("there is room");
        let stopped = timers.start(1.0, None).expect("there is room");
        timers.stop(stopped);
        assert!(!timers.due(at(1_700_000_000_000)));
        timers.anchor(at(1_700_000_000_000));
        assert!(expired(&mut timers, at(1_700_000_001_999)).is_empty());
        assert_eq!(expired(&mut timers, at(1_700_000_002_000)), [early]);
    }

    #[test]
    fn expired_timers_come_in_the_order_of_their_deadlines() {
        let mut timers = Timers::new(4);
        let slow = timers.start(2.0, Some(at(0)));
        let fast = timers.start(1.0, Some(at(0)));
        let again = timers.start(1.0, Some(at(0)));
        let order: Vec<_> = expired(&mut timers, at(10_000))
            .into_iter()
            .map(Some)
            .collect();
        assert_eq!(order, [fast, again, slow]);
    }

    #[test]
    fn what_cannot_be_a_period_and_one_too_many_are_refused() {
        let mut timers = Timers::new(1);
        for seconds in [0.0, -1.0, f64::NAN] {
            assert_eq!(timers.start(seconds, Some(at(0))), None);
        }
        let only = timers
            .start(f64::INFINITY, Some(at(0)))
            .expect("there is room");
        assert_eq!(timers.start(1.0, Some(at(0))), None);
        timers.stop(only);
        timers.stop(only);
        timers.stop(77);
        assert!(timers.is_empty());
        assert!(timers.start(1e-12, Some(at(0))).is_some());
        assert_eq!(expired(&mut timers, at(5)).len(), 1);
    }
}

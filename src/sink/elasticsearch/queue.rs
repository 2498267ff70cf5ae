//! The queue between those who store documents and the thread that sends them.
//!
//! It holds a bounded number of bytes and requests. When it is full, whoever
//! adds waits for a while if requests are getting through, as in a replay
//! that is faster than the server; a request that finds no room then, or
//! finds the server failing, is dropped and counted.

use std::collections::{HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::event::{StoreAction, StoreRequest};

/// What bounds the queue and the patience with the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes and requests that may wait, those on their way included.
    pub waiting_bytes: usize,
    pub waiting: usize,
    /// Documents and bytes of one bulk request.
    pub batch: usize,
    pub batch_bytes: usize,
    /// How long adding may wait for room.
    pub patience: Duration,
    /// One request, from connecting to the end of the answer.
    pub timeout: Duration,
    /// Tries of a request; between them there is `back_off`, twice as long
    /// each time, up to `longest_back_off`.
    pub tries: u32,
    pub back_off: Duration,
    pub longest_back_off: Duration,
    /// What is left at the end of the run is sent within this time, or a
    /// fifth of it if the server fails.
    pub closing: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            waiting_bytes: 32 << 20,
            waiting: 65_536,
            batch: 1000,
            batch_bytes: 4 << 20,
            patience: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            tries: 8,
            back_off: Duration::from_millis(100),
            longest_back_off: Duration::from_secs(5),
            closing: Duration::from_secs(10),
        }
    }
}

/// Failures of one kind are told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No answer: refused, unreachable, timed out.
    Connection,
    /// An answer that says no.
    Status(u16),
    /// The server refused single documents.
    Documents,
    /// Documents were dropped for lack of room.
    Full,
}

#[derive(Default)]
struct State {
    requests: VecDeque<StoreRequest>,
    /// Of the requests that wait and those on their way.
    bytes: usize,
    on_way: usize,
    /// The latest request failed.
    failing: bool,
    /// When everything ends, once that is known.
    deadline: Option<Instant>,
    ended: bool,
    lost: u64,
    told: HashSet<Trouble>,
    notices: Vec<String>,
}

/// Shared by the thread and those who add.
pub struct Queue {
    limits: Limits,
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    pub fn new(limits: Limits) -> Queue {
        Queue {
            limits,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A panic elsewhere leaves plain data, each change of which is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Adds a request, or drops it if there is no room.
    pub fn add(&self, request: StoreRequest) {
        let size = request.size();
        let full = |state: &State| {
            state.bytes + size > self.limits.waiting_bytes
                || state.requests.len() + state.on_way >= self.limits.waiting
        };
        let until = Instant::now() + self.limits.patience;
        let mut state = self.lock();
        while full(&state) && !state.failing && !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        if full(&state) || state.ended {
            state.lost += 1;
            let text = "documents are dropped, as too many wait: \
                        store fewer, or help the server to be faster";
            state.tell(Trouble::Full, || text.to_owned());
            return;
        }
        state.bytes += size;
        state.requests.push_back(request);
        self.changed.notify_all();
    }

    /// The next requests that can go together; waits for them. `None` when
    /// there will be no more or the time for them is over.
    pub fn take(&self) -> Option<Vec<StoreRequest>> {
        let mut state = self.lock();
        loop {
            if state.is_late() {
                return None;
            }
            if !state.requests.is_empty() {
                break;
            }
            if state.deadline.is_some() {
                return None;
            }
            state = self.wait(state, Duration::from_secs(60));
        }
        let mut batch: Vec<StoreRequest> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = state.requests.front() {
            let alone = next.action == StoreAction::NewIndex;
            let together = batch.first().is_none_or(|first| {
                !alone && first.action != StoreAction::NewIndex && first.server == next.server
            });
            let small = batch.is_empty()
                || batch.len() < self.limits.batch
                    && bytes + next.size() <= self.limits.batch_bytes;
            if !together || !small {
                break;
            }
            bytes += next.size();
            batch.extend(state.requests.pop_front());
        }
        state.on_way = batch.len();
        Some(batch)
    }

    /// Requests that were taken are through or given up.
    pub fn done(&self, batch: &[StoreRequest], lost: u64) {
        let mut state = self.lock();
        let bytes: usize = batch.iter().map(StoreRequest::size).sum();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.on_way = 0;
        state.lost += lost;
        self.changed.notify_all();
    }

    /// How the latest request went.
    pub fn set_failing(&self, failing: bool) {
        let mut state = self.lock();
        state.failing = failing;
        if let Some(deadline) = state.deadline.filter(|_| failing) {
            state.deadline = Some(deadline.min(self.end_when_failing()));
        }
        self.changed.notify_all();
    }

    fn end_when_failing(&self) -> Instant {
        Instant::now() + self.limits.closing / 5
    }

    /// Waits before the next try, not beyond the end: whether there is time.
    pub fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        loop {
            let end = state.deadline.map_or(until, |deadline| deadline.min(until));
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return !state.is_late();
            }
            state = self.wait(state, left);
        }
    }

    /// The time that a request may take.
    pub fn time_for_request(&self) -> Duration {
        let left = self
            .lock()
            .deadline
            .map_or(self.limits.timeout, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
        // Zero would mean no limit.
        left.clamp(Duration::from_millis(1), self.limits.timeout)
    }

    /// Keeps a text to be logged, the first time that there is this trouble.
    pub fn tell(&self, trouble: Trouble, text: impl FnOnce() -> String) {
        self.lock().tell(trouble, text);
    }

    /// What is to be logged since this was asked last.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().notices)
    }

    /// The thread has ended; what still waits is lost.
    pub fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.lost += state.requests.len() as u64;
        state.requests.clear();
        self.changed.notify_all();
    }

    /// No more requests: the rest is sent until the deadline, and the thread
    /// waited for. Returns whether it has ended, and how many were lost.
    pub fn close(&self) -> (bool, u64) {
        let mut state = self.lock();
        let mut deadline = Instant::now() + self.limits.closing;
        if state.failing {
            deadline = self.end_when_failing();
        }
        state.deadline = Some(deadline);
        self.changed.notify_all();
        while !state.ended {
            // A request may end a little after the deadline that it was given.
            let until = state.deadline.unwrap_or(deadline) + Duration::from_millis(200);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        let unsent = (state.requests.len() + state.on_way) as u64;
        (state.ended, state.lost + unsent)
    }

    /// The run was broken off: nothing more is sent.
    pub fn abandon(&self) {
        self.lock().deadline = Some(Instant::now());
        self.changed.notify_all();
    }
}

impl State {
    fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn tell(&mut self, trouble: Trouble, text: impl FnOnce() -> String) {
        if self.told.insert(trouble) {
            self.notices.push(text());
        }
    }
}

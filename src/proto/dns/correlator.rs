//! Queries and their responses: who was asked, what came back, and when.
//!
//! A query waits under its scope (a flow, a pair of addresses) and id; one
//! with the same id replaces it. Queries wait 30 seconds of the caller's
//! time, and at most 10,000 of them: the oldest is given up for the next.
//! Not here: clocks, and whether a response says what was asked.

use std::hash::Hash;
use std::time::Duration;

use hashbrown::HashMap;
use slab::Slab;

use super::message::{Content, Message};
use crate::time::Timestamp;

/// How long and how many queries wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub timeout: Duration,
    pub max_pending: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            timeout: Duration::from_secs(30),
            max_pending: 10_000,
        }
    }
}

/// Why a query has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// None came in time.
    TimedOut,
    /// Another query of the same scope took its id.
    Replaced,
    /// It was the oldest when one too many waited.
    Evicted,
}

/// Queries that wait for a response, by scope and id. `Q` is what the caller
/// keeps of a query.
#[derive(Clone, Debug)]
pub struct Correlator<S, Q> {
    limits: Limits,
    places: HashMap<(S, u16), usize, foldhash::fast::RandomState>,
    waiting: Slab<Waiting<S, Q>>,
    /// The ends of the list of all that wait, in the order of their coming.
    oldest: usize,
    newest: usize,
}

#[derive(Clone, Debug)]
struct Waiting<S, Q> {
    key: (S, u16),
    query: Q,
    since: Timestamp,
    older: usize,
    newer: usize,
}

const NONE: usize = usize::MAX;

impl<S: Copy + Eq + Hash, Q> Default for Correlator<S, Q> {
    fn default() -> Self {
        Correlator::new(Limits::default())
    }
}

impl<S: Copy + Eq + Hash, Q> Correlator<S, Q> {
    pub fn new(limits: Limits) -> Self {
        Correlator {
            limits,
            places: HashMap::default(),
            waiting: Slab::new(),
            oldest: NONE,
            newest: NONE,
        }
    }

    /// A query was seen. Returns the one that had to make room for it.
    pub fn query(
        &mut self,
        scope: S,
        id: u16,
        query: Q,
        now: Timestamp,
    ) -> Option<(S, Q, Unanswered)> {
        let key = (scope, id);
        let gone = if let Some(&place) = self.places.get(&key) {
            Some((self.take(place), Unanswered::Replaced))
        } else if self.waiting.len() >= self.limits.max_pending.max(1) {
            Some((self.take(self.oldest), Unanswered::Evicted))
        } else {
            None
        };
        let place = self.waiting.insert(Waiting {
            key,
            query,
            since: now,
            older: self.newest,
            newer: NONE,
        });
        match self.waiting.get_mut(self.newest) {
            Some(newest) => newest.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
        self.places.insert(key, place);
        gone.map(|(gone, why)| (gone.key.0, gone.query, why))
    }

    /// A response was seen: its query, and how long it took.
    pub fn response(&mut self, scope: S, id: u16, now: Timestamp) -> Option<(Q, Duration)> {
        let &place = self.places.get(&(scope, id))?;
        let found = self.take(place);
        Some((found.query, elapsed(found.since, now)))
    }

    /// The query that waits under that id.
    pub fn pending(&self, scope: S, id: u16) -> Option<&Q> {
        let &place = self.places.get(&(scope, id))?;
        self.waiting.get(place).map(|waiting| &waiting.query)
    }

    /// The next query that has waited too long, the oldest first.
    pub fn next_timed_out(&mut self, now: Timestamp) -> Option<(S, Q)> {
        let oldest = self.waiting.get(self.oldest)?;
        if elapsed(oldest.since, now) < self.limits.timeout {
            return None;
        }
        let gone = self.take(self.oldest);
        Some((gone.key.0, gone.query))
    }

    /// Queries that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes one out of the list; the place must be in use.
    fn take(&mut self, place: usize) -> Waiting<S, Q> {
        let gone = self.waiting.remove(place);
        match self.waiting.get_mut(gone.older) {
            Some(older) => older.newer = gone.newer,
            None => self.oldest = gone.newer,
        }
        match self.waiting.get_mut(gone.newer) {
            Some(newer) => newer.older = gone.older,
            None => self.newest = gone.older,
        }
        self.places.remove(&gone.key);
        gone
    }
}

/// Time that runs backwards is none.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::from_nanos(now.0.saturating_sub(since.0).max(0).cast_unsigned())
}

/// What an observer of DNS is told. Every method may be left out.
pub trait Observer<S> {
    fn on_query(&mut self, scope: S, query: &Content) {
        let _ = (scope, query);
    }

    /// `query` is what was asked, and how long ago.
    fn on_response(&mut self, scope: S, response: &Content, query: Option<(&Content, Duration)>) {
        let _ = (scope, response, query);
    }

    fn on_unanswered(&mut self, scope: S, query: &Content, why: Unanswered) {
        let _ = (scope, query, why);
    }
}

/// Tells an observer of queries, and of responses with their queries.
#[derive(Clone, Debug, Default)]
pub struct Observed<S: Copy + Eq + Hash, O> {
    correlator: Correlator<S, Box<Content>>,
    pub observer: O,
}

impl<S: Copy + Eq + Hash, O: Observer<S>> Observed<S, O> {
    pub fn new(limits: Limits, observer: O) -> Self {
        Observed {
            correlator: Correlator::new(limits),
            observer,
        }
    }

    /// A message was read at that time. Those that waited too long until
    /// then are told first.
    pub fn message(&mut self, scope: S, message: Message, now: Timestamp) {
        self.advance(now);
        match message {
            Message::Query(query) => {
                self.observer.on_query(scope, &query);
                if let Some((scope, gone, why)) = self.correlator.query(scope, query.id, query, now)
                {
                    self.observer.on_unanswered(scope, &gone, why);
                }
            }
            Message::Response(response) => {
                let found = self.correlator.response(scope, response.id, now);
                let query = found.as_ref().map(|(query, elapsed)| (&**query, *elapsed));
                self.observer.on_response(scope, &response, query);
            }
            Message::Anomaly(_) => {}
        }
    }

    /// Time has passed.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some((scope, query)) = self.correlator.next_timed_out(now) {
            self.observer
                .on_unanswered(scope, &query, Unanswered::TimedOut);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Direction;
    use crate::proto::dns::Parser;
    use crate::proto::parser::DatagramParser;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    #[test]
    fn responses_find_their_query_once() {
        let mut correlator = Correlator::default();
        assert_eq!(correlator.query("a", 1, "first", at(0)), None);
        assert_eq!(correlator.query("b", 1, "other scope", at(0)), None);
        assert_eq!(
            correlator.response("a", 1, at(2)),
            Some(("first", Duration::from_secs(2)))
        );
        assert_eq!(correlator.response("a", 1, at(2)), None);
        assert_eq!(correlator.response("b", 2, at(2)), None);
        // A clock that was set back.
        assert_eq!(
            correlator.response("b", 1, at(-5)),
            Some(("other scope", Duration::ZERO))
        );
        assert!(correlator.is_empty());
    }

    #[test]
    fn a_query_with_the_same_id_replaces_the_one_before() {
        let mut correlator = Correlator::default();
        correlator.query((), 7, "old", at(0));
        assert_eq!(
            correlator.query((), 7, "new", at(1)),
            Some(((), "old", Unanswered::Replaced))
        );
        assert_eq!(correlator.pending((), 7), Some(&"new"));
        assert_eq!(correlator.len(), 1);
    }

    #[test]
    fn thirty_seconds_are_too_long() {
        let mut correlator = Correlator::default();
        for (second, name) in [(0, "a"), (1, "b"), (2, "c")] {
            correlator.query((), second as u16, name, at(second));
        }
        correlator.response((), 1, at(3));
        assert_eq!(correlator.next_timed_out(at(29)), None);
        assert_eq!(correlator.next_timed_out(at(40)), Some(((), "a")));
        assert_eq!(correlator.next_timed_out(at(40)), Some(((), "c")));
        assert_eq!(correlator.next_timed_out(at(40)), None);
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut correlator = Correlator::new(Limits {
            max_pending: 2,
            ..Limits::default()
        });
        correlator.query(1, 0, "a", at(0));
        correlator.query(2, 0, "b", at(0));
        assert_eq!(
            correlator.query(3, 0, "c", at(0)),
            Some((1, "a", Unanswered::Evicted))
        );
        assert_eq!(correlator.len(), 2);
        assert_eq!(Limits::default().max_pending, 10_000);
    }

    #[derive(Default)]
    struct Notes(Vec<String>);

    impl Observer<u8> for Notes {
        fn on_query(&mut self, scope: u8, query: &Content) {
            self.0
                .push(format!("{scope} asks {}", query.questions[0].name));
        }

        fn on_response(&mut self, _: u8, _: &Content, query: Option<(&Content, Duration)>) {
            let (query, elapsed) = query.expect("it was asked");
            let name = &query.questions[0].name;
            self.0
                .push(format!("{name} after {} ms", elapsed.as_millis()));
        }

        fn on_unanswered(&mut self, scope: u8, query: &Content, why: Unanswered) {
            let name = &query.questions[0].name;
            self.0.push(format!("{scope}: {name} {why:?}"));
        }
    }

    #[test]
    fn observers_hear_of_each_exchange() {
        fn message(id: u8, flags: u8, name: u8) -> Message {
            let bytes = [
                0, id, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, name, 0, 0, 1, 0, 1,
            ];
            let mut messages = Parser::default().parse(&bytes, Direction::ToServer);
            messages.pop().expect("a message")
        }
        let mut observed = Observed::new(Limits::default(), Notes::default());
        observed.message(1, message(1, 0, b'a'), at(0));
        observed.message(2, message(1, 0, b'b'), at(0));
        observed.message(1, message(1, 0x80, b'a'), Timestamp(4_000_000));
        observed.message(1, message(2, 0, b'c'), at(31));
        assert_eq!(
            observed.observer.0,
            [
                "1 asks a",
                "2 asks b",
                "a after 4 ms",
                "2: b TimedOut",
                "1 asks c"
            ]
        );
    }
}

//! One search: fed by the piece, it finds the one match that counts.

use super::lazy::{FRESH, Lazy, Place};
use super::nfa::Nfa;

/// A search under way. Offsets count from its first byte.
#[derive(Clone, Debug)]
pub struct Search {
    place: Place,
    /// Starts of the matches that are still possible, the oldest first.
    starts: Vec<u64>,
    best: Option<(u64, u64)>,
    offset: u64,
    done: bool,
    /// The end was reached in the middle of a match.
    cut_short: bool,
}

impl Search {
    /// Begins a search. One that is anchored matches at its first byte or
    /// not at all.
    pub fn new(lazy: &mut Lazy, nfa: &Nfa, anchored: bool) -> Search {
        let (place, matched) = lazy.start(nfa, anchored);
        Search {
            starts: if anchored { vec![0] } else { Vec::new() },
            best: matched.then_some((0, 0)),
            offset: 0,
            done: place.is_done(),
            cut_short: false,
            place,
        }
    }

    /// Searches on and tells how many bytes it took: fewer than given only
    /// when `work` is used up, which the building of states is paid from.
    pub fn feed(&mut self, lazy: &mut Lazy, nfa: &Nfa, bytes: &[u8], work: &mut u64) -> usize {
        if self.done {
            return bytes.len();
        }
        let mut row = lazy.row(nfa, &self.place);
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..) {
            let (run, reached) = lazy.run(nfa, row, rest);
            taken += run;
            row = reached;
            let Some(&byte) = bytes.get(taken) else {
                break;
            };
            let Some((next, step)) = lazy.advance(nfa, row, byte, work) else {
                break;
            };
            row = next;
            if step != 0 {
                self.apply(lazy, step, self.offset + taken as u64);
            }
            taken += 1;
            if self.done {
                self.offset += taken as u64;
                return bytes.len();
            }
        }
        self.offset += taken as u64;
        if let Some(place) = lazy.place(nfa, row) {
            self.place = place;
        }
        taken
    }

    fn apply(&mut self, lazy: &Lazy, number: u32, at: u64) {
        let Some(step) = lazy.step(number) else {
            return;
        };
        let start = |starts: &[u64], source: u32| match source {
            FRESH => at,
            source => starts.get(source as usize).copied().unwrap_or(at),
        };
        if let Some(source) = step.before {
            self.best = Some((start(&self.starts, source), at));
        }
        if let Some(source) = step.after {
            self.best = Some((start(&self.starts, source), at + 1));
        }
        // Sources go up, so that no start is overwritten before it moves.
        for (to, &source) in step.sources.iter().enumerate() {
            let value = start(&self.starts, source);
            match self.starts.get_mut(to) {
                Some(slot) => *slot = value,
                None => self.starts.push(value),
            }
        }
        self.starts.truncate(step.sources.len());
        self.done = step.done;
    }

    /// Decides the search: no more bytes come.
    pub fn finish(&mut self, lazy: &mut Lazy, nfa: &Nfa) {
        if self.done {
            return;
        }
        self.done = true;
        match lazy.end(nfa, &self.place).0 {
            Some(FRESH) => self.best = Some((self.offset, self.offset)),
            Some(source) => {
                let start = self.starts.get(source as usize).copied();
                self.best = Some((start.unwrap_or(self.offset), self.offset));
            }
            None => self.cut_short = self.best.is_none() && self.place.is_open(),
        }
    }

    /// Start and end of the match, once that is decided.
    pub fn matched(&self) -> Option<(u64, u64)> {
        self.best.filter(|_| self.done)
    }

    /// Start and end of the match as it is now; more bytes may change it.
    pub fn best(&self) -> Option<(u64, u64)> {
        self.best
    }

    /// Whether nothing can change the result.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether a match has begun that is not decided; stays true at an end
    /// that came in the middle of one.
    pub fn is_partial(&self) -> bool {
        self.cut_short || !self.done && (self.best.is_some() || self.place.is_open())
    }

    /// Where the oldest match that is still possible starts.
    pub fn candidate(&self) -> Option<u64> {
        if self.done && !self.cut_short {
            return self.best.map(|(start, _)| start);
        }
        let oldest = self
            .starts
            .first()
            .copied()
            .filter(|_| self.place.is_open());
        match (oldest, self.best) {
            (Some(oldest), Some((start, _))) => Some(oldest.min(start)),
            (oldest, best) => oldest.or(best.map(|(start, _)| start)),
        }
    }

    /// Bytes taken so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

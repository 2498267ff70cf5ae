//! Many patterns at once: one automaton tells which of them match.
//!
//! What a pass costs does not depend on how many patterns there are. Each
//! pattern is reported once, with the end of its first match. Where no match
//! has begun, a search for their beginnings (`prefix`) goes ahead of the
//! automaton.

use super::ast::Node;
use super::lazy::{Discipline, Lazy, Place};
use super::nfa::{MAX_SET_STATES, Nfa, Refusal};
use super::prefix::Prefixes;
use super::{Options, SyntaxError, read};

/// Most bytes of transitions that a set remembers.
pub const CACHE: usize = 8 << 20;
/// Most patterns of a set.
pub const MAX_PATTERNS: usize = 4096;

/// Bytes after which the automaton is asked whether it has begun a match.
const STRIDE: usize = 16;
/// Bytes that a search for beginnings has to save to be worth its start.
const WORTH: usize = 24;
/// Searches after which that is judged.
const TRIAL: usize = 8;

/// Patterns that become a set.
#[derive(Debug, Default)]
pub struct Draft(Vec<Node>);

impl Draft {
    /// Adds a pattern as [`super::unescape`] gives it.
    pub fn add(&mut self, pattern: &[u8], options: Options) -> Result<(), SyntaxError> {
        if self.0.len() >= MAX_PATTERNS {
            return Err(SyntaxError::new("too many patterns in a set", 0));
        }
        let (node, _) = read(pattern, options)?;
        // One that a set cannot have is refused where it stands.
        match Nfa::new([&node], super::nfa::MAX_STATES) {
            Ok(_) => {}
            Err(Refusal::Unsupported) => {
                let text =
                    "back references, atomic groups and assertions need a pattern of their own";
                return Err(SyntaxError::new(text, pattern.len()));
            }
            Err(Refusal::TooLarge) => {
                return Err(SyntaxError::new(
                    "regular expression is too large",
                    pattern.len(),
                ));
            }
        }
        self.0.push(node);
        Ok(())
    }
}

/// A compiled set of patterns.
#[derive(Debug)]
pub struct PatternSet {
    nfa: Nfa,
    lazy: Lazy,
    prefixes: Option<Prefixes>,
    patterns: usize,
}

impl PatternSet {
    /// Compiles the patterns of a draft, which are numbered from zero.
    pub fn new(draft: &Draft) -> Result<PatternSet, SyntaxError> {
        let nfa = Nfa::new(&draft.0, MAX_SET_STATES)
            .map_err(|_| SyntaxError::new("the patterns of the set are too large together", 0))?;
        Ok(PatternSet {
            nfa,
            lazy: Lazy::new(Discipline::Every, CACHE),
            prefixes: Prefixes::of(&draft.0),
            patterns: draft.0.len(),
        })
    }

    /// Whether bytes that cannot begin a match are skipped.
    #[cfg(test)]
    pub fn skips(&self) -> bool {
        self.prefixes.is_some()
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        size_of::<PatternSet>() + self.nfa.memory() + self.lazy.memory()
    }

    /// Gives back what can be built again.
    pub fn forget(&mut self) {
        self.lazy.forget();
    }
}

/// A pass over a subject that comes by the piece.
#[derive(Clone, Debug)]
pub struct Scan {
    place: Place,
    found: Box<[bool]>,
    /// Patterns not found yet.
    left: usize,
    offset: u64,
    done: bool,
}

/// A pattern, and where its first match ends.
pub type Hit = (u32, u64);

impl Scan {
    /// Begins a pass.
    pub fn new(set: &mut PatternSet) -> Scan {
        let (place, _) = set.lazy.start(&set.nfa, false);
        Scan {
            place,
            found: vec![false; set.patterns].into(),
            left: set.patterns,
            offset: 0,
            done: set.patterns == 0,
        }
    }

    /// Goes on and tells how many bytes were taken: fewer than given only
    /// when `work` is used up. Patterns found for the first time are added
    /// to `hits`.
    pub fn feed(
        &mut self,
        set: &mut PatternSet,
        bytes: &[u8],
        work: &mut u64,
        hits: &mut Vec<Hit>,
    ) -> usize {
        if self.done {
            return bytes.len();
        }
        let PatternSet {
            nfa,
            lazy,
            prefixes,
            ..
        } = set;
        let mut prefixes = prefixes.as_ref();
        let mut row = lazy.row(nfa, &self.place);
        let (mut taken, mut searches, mut saved) = (0, 0, 0);
        while let Some(mut rest) = bytes.get(taken..) {
            if let Some(ahead) = prefixes.filter(|_| lazy.is_idle(nfa, row)) {
                let idle = ahead.idle(rest);
                let (skipped, behind) = rest.split_at(idle);
                if let Some(&last) = skipped.last() {
                    row = lazy.idle(nfa, last);
                }
                (taken, rest) = (taken + idle, behind);
                (searches, saved) = (searches + 1, saved + idle);
                if searches >= TRIAL && saved < searches * WORTH {
                    prefixes = None;
                }
            }
            if let Some(some) = rest.get(..STRIDE).filter(|_| prefixes.is_some()) {
                rest = some;
            }
            let (run, reached) = lazy.run(nfa, row, rest);
            taken += run;
            row = reached;
            if run == rest.len() && taken < bytes.len() {
                continue;
            }
            let Some(&byte) = bytes.get(taken) else {
                break;
            };
            let Some((next, step)) = lazy.advance(nfa, row, byte, work) else {
                break;
            };
            row = next;
            if step != 0
                && let Some(step) = lazy.step(step)
            {
                let at = self.offset + taken as u64;
                for &(pattern, behind) in &step.found {
                    self.hit(pattern, at + u64::from(behind), hits);
                }
            }
            taken += 1;
            if self.done {
                return bytes.len();
            }
        }
        self.offset += taken as u64;
        if let Some(place) = lazy.place(nfa, row) {
            self.place = place;
        }
        taken
    }

    /// Ends the pass: no more bytes come.
    pub fn finish(&mut self, set: &mut PatternSet, hits: &mut Vec<Hit>) {
        if self.done {
            return;
        }
        for pattern in set.lazy.end(&set.nfa, &self.place).1 {
            self.hit(pattern, self.offset, hits);
        }
        self.done = true;
    }

    fn hit(&mut self, pattern: u32, end: u64, hits: &mut Vec<Hit>) {
        let Some(found) = self.found.get_mut(pattern as usize) else {
            return;
        };
        if !std::mem::replace(found, true) {
            hits.push((pattern, end));
            self.left -= 1;
            self.done |= self.left == 0;
        }
    }

    /// Whether nothing more can be found.
    pub fn is_done(&self) -> bool {
        self.done
    }
}

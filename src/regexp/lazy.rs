//! Deterministic automata, built while they run.
//!
//! A state stands for every place of the pattern that the search may be in,
//! in groups: one group for each start of a match that is still possible,
//! the oldest first. The starts themselves are the search's (`search.rs`);
//! a transition says how they move. So a stream is searched in one pass,
//! with nothing of it kept, and still every match is known by both ends.
//!
//! Groups never share a place of the pattern, so a state is no larger than
//! the automaton it is made from, and computing a transition takes a time
//! that the pattern alone bounds. Transitions are remembered up to a cap;
//! then all are forgotten and built again as needed. A search survives that:
//! it keeps the description of its state, not just the number.

use std::collections::HashMap;
use std::rc::Rc;

use super::ast::{After, Look};
use super::bytes::ByteSet;
use super::nfa::{Nfa, State, StateId};

/// Which match is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// The leftmost; of those, the one that Perl's order prefers.
    First,
    /// The leftmost; of those, the longest.
    Longest,
    /// The end of every match of every pattern.
    Every,
}

/// The start that begins at the byte at hand.
pub(super) const FRESH: u32 = u32::MAX;

/// What a transition does besides changing the state.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Step {
    /// For each start of the new state, the old one that it is.
    pub sources: Box<[u32]>,
    /// The start of a match that ends in front of the byte.
    pub before: Option<u32>,
    /// The start of a match that ends behind the byte.
    pub after: Option<u32>,
    /// Patterns that match, and whether behind the byte.
    pub found: Box<[(u32, bool)]>,
    /// Nothing more can be found.
    pub done: bool,
}

/// What a state is, independently of the automaton's memory: whether new
/// matches may start, what stands before, and the groups with their sizes.
pub(super) type Key = Rc<[u32]>;

const CLOSED: u32 = 1;
const HEADER: usize = 2;
/// In the second word: nothing stands before.
const AT_START: u32 = 1 << 31;

/// A transition: the row of the next state, and in the upper half the number
/// of a step, zero for none.
type Transition = u64;
const UNKNOWN: Transition = u64::MAX;

/// Bytes that a state takes besides its transitions and its description.
const STATE_OVERHEAD: usize = 96;

/// Transitions of one automaton under one discipline.
#[derive(Debug)]
pub struct Lazy {
    discipline: Discipline,
    cap: usize,
    /// Goes up whenever the states are forgotten.
    generation: u64,
    transitions: Vec<Transition>,
    states: Vec<Key>,
    rows: HashMap<Key, u32>,
    steps: Vec<Rc<Step>>,
    step_numbers: HashMap<Rc<Step>, u32>,
    bytes: usize,
    scratch: Scratch,
}

/// Room for computing transitions.
#[derive(Debug, Default)]
struct Scratch {
    /// By state: the last closure that visited it.
    seen: Vec<u32>,
    stamp: u32,
    stack: Vec<StateId>,
    /// What a closure reached.
    there: Vec<StateId>,
    key: Vec<u32>,
    sources: Vec<u32>,
    found: Vec<(u32, bool)>,
    /// States visited, which is what the computation costs.
    visited: u64,
}

/// Where a search is in the automaton.
#[derive(Clone, Debug)]
pub(super) struct Place {
    key: Key,
    row: u32,
    generation: u64,
}

impl Place {
    /// Whether nothing more can be found.
    pub fn is_done(&self) -> bool {
        self.key.len() == HEADER && self.is_closed()
    }

    /// Whether a match has begun that may still become one.
    pub fn is_open(&self) -> bool {
        self.key.len() > HEADER
    }

    fn is_closed(&self) -> bool {
        self.key.first().is_some_and(|flags| flags & CLOSED != 0)
    }
}

impl Lazy {
    /// An automaton that remembers up to `cap` bytes of transitions.
    pub fn new(discipline: Discipline, cap: usize) -> Lazy {
        Lazy {
            discipline,
            cap,
            generation: 0,
            transitions: Vec::new(),
            states: Vec::new(),
            rows: HashMap::new(),
            steps: vec![Rc::new(Step::default())],
            step_numbers: HashMap::new(),
            bytes: 0,
            scratch: Scratch::default(),
        }
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.bytes + self.scratch.seen.len() * 4
    }

    /// Forgets all states.
    pub fn forget(&mut self) {
        self.generation += 1;
        self.transitions = Vec::new();
        self.states.clear();
        self.rows.clear();
        self.steps.truncate(1);
        self.step_numbers.clear();
        self.scratch = Scratch::default();
        self.bytes = 0;
    }

    /// Where a search begins, and whether it has matched nothing there
    /// already. One that is anchored matches there or not at all.
    pub(super) fn start(&mut self, nfa: &Nfa, anchored: bool) -> (Place, bool) {
        let before = if has_conditions(nfa) { AT_START } else { 0 };
        let mut key = vec![0, before];
        let mut matched = false;
        if anchored {
            let mut scratch = std::mem::take(&mut self.scratch);
            scratch.begin(nfa);
            matched = scratch.close(nfa, nfa.start, before, After::Unknown, self.discipline);
            scratch.canonical(self.discipline);
            if let [flags, _] = key[..] {
                key[0] = flags | CLOSED;
            }
            if !scratch.there.is_empty() {
                key.push(scratch.there.len() as u32);
                key.append(&mut scratch.there);
            }
            scratch.there.clear();
            self.scratch = scratch;
        }
        let key: Key = key.into();
        let place = Place {
            row: self.intern(nfa, &key),
            key,
            generation: self.generation,
        };
        (place, matched)
    }

    /// The row of a place, whose state may have been forgotten.
    pub(super) fn row(&mut self, nfa: &Nfa, place: &Place) -> u32 {
        if place.generation == self.generation {
            place.row
        } else {
            self.intern(nfa, &place.key)
        }
    }

    /// The place at a row.
    pub(super) fn place(&self, nfa: &Nfa, row: u32) -> Option<Place> {
        Some(Place {
            key: self.states.get(row as usize / nfa.samples.len())?.clone(),
            row,
            generation: self.generation,
        })
    }

    pub(super) fn step(&self, number: u32) -> Option<Rc<Step>> {
        self.steps.get(number as usize).cloned()
    }

    /// Whether no match has begun at a row, and one may begin.
    pub(super) fn is_idle(&self, nfa: &Nfa, row: u32) -> bool {
        let key = self.states.get(row as usize / nfa.samples.len());
        key.is_some_and(|key| key.len() == HEADER && key.first() == Some(&0))
    }

    /// The row where no match has begun, behind a byte.
    pub(super) fn idle(&mut self, nfa: &Nfa, before: u8) -> u32 {
        let key: Key = [0, described(nfa, before)].into();
        self.intern(nfa, &key)
    }

    /// Runs over bytes that only change the state: how many, and the row.
    #[inline]
    pub(super) fn run(&self, nfa: &Nfa, mut row: u32, bytes: &[u8]) -> (usize, u32) {
        let classes = &nfa.classes;
        for (at, &byte) in bytes.iter().enumerate() {
            let column = u32::from(classes[usize::from(byte)]);
            match self.transitions.get((row + column) as usize) {
                Some(&next) if next <= u64::from(u32::MAX) => row = next as u32,
                _ => return (at, row),
            }
        }
        (bytes.len(), row)
    }

    /// The transition for one byte: the next row, and the number of its
    /// step. Takes what computing it costs from `work`; none when that is
    /// used up.
    pub(super) fn advance(
        &mut self,
        nfa: &Nfa,
        row: u32,
        byte: u8,
        work: &mut u64,
    ) -> Option<(u32, u32)> {
        let class = nfa.classes[usize::from(byte)];
        let at = row as usize + usize::from(class);
        let known = self.transitions.get(at).copied().unwrap_or(UNKNOWN);
        if known != UNKNOWN {
            return Some((known as u32, (known >> 32) as u32));
        }
        if *work == 0 {
            return None;
        }
        let key = self.states.get(row as usize / nfa.samples.len())?.clone();
        let (next, step) = self.compute(nfa, &key, byte);
        *work = work.saturating_sub(self.scratch.visited + 8);
        if self.bytes > self.cap {
            self.forget();
        }
        let generation = self.generation;
        let next = self.intern(nfa, &next);
        let step = self.intern_step(step);
        let transition = u64::from(step) << 32 | u64::from(next);
        // The row is another one if the states were forgotten in between.
        let row = self.rows.get(&key).copied();
        if let Some(slot) = row
            .filter(|_| generation == self.generation)
            .and_then(|row| self.transitions.get_mut(row as usize + usize::from(class)))
        {
            *slot = transition;
        }
        Some((next, step))
    }

    fn intern(&mut self, nfa: &Nfa, key: &Key) -> u32 {
        if let Some(&row) = self.rows.get(key) {
            return row;
        }
        let width = nfa.samples.len();
        let row = self.transitions.len();
        self.transitions.resize(row + width, UNKNOWN);
        self.states.push(key.clone());
        self.rows.insert(key.clone(), row as u32);
        self.bytes += width * size_of::<Transition>() + key.len() * 4 + STATE_OVERHEAD;
        row as u32
    }

    fn intern_step(&mut self, step: Step) -> u32 {
        let unmoved = (0u32..)
            .zip(step.sources.iter())
            .all(|(to, &from)| to == from);
        let quiet = step.before.is_none() && step.after.is_none() && step.found.is_empty();
        if unmoved && quiet && !step.done {
            return 0;
        }
        if let Some(&number) = self.step_numbers.get(&step) {
            return number;
        }
        self.bytes += step.sources.len() * 4 + step.found.len() * 8 + STATE_OVERHEAD;
        let step = Rc::new(step);
        let number = self.steps.len() as u32;
        self.steps.push(step.clone());
        self.step_numbers.insert(step, number);
        number
    }

    /// The state behind a byte, and what happens on the way.
    fn compute(&mut self, nfa: &Nfa, key: &Key, byte: u8) -> (Key, Step) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = scratch.transition(nfa, key, byte, self.discipline);
        self.scratch = scratch;
        result
    }

    /// What the end of the subject decides: the start of a match that ends
    /// there, or the patterns that do.
    pub(super) fn end(&mut self, nfa: &Nfa, place: &Place) -> (Option<u32>, Vec<u32>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = scratch.end(nfa, &place.key, self.discipline);
        self.scratch = scratch;
        result
    }
}

fn has_conditions(nfa: &Nfa) -> bool {
    nfa.states
        .iter()
        .any(|state| matches!(state, State::Check { .. }))
}

/// The groups of a key, each with the number of its start.
fn groups(key: &[u32]) -> impl Iterator<Item = (u32, &[u32])> {
    let mut rest = key.get(HEADER..).unwrap_or_default();
    (0u32..).map_while(move |number| {
        let (&len, tail) = rest.split_first()?;
        let (group, after) = tail.split_at_checked(len as usize)?;
        rest = after;
        Some((number, group))
    })
}

/// Whether a condition holds behind what `before` describes.
fn holds(nfa: &Nfa, look: Look, before: u32, after: After) -> Option<bool> {
    let known = |set: &ByteSet| {
        if before & AT_START != 0 {
            return None;
        }
        let asked = nfa.asked.iter().position(|asked| asked == set);
        Some(asked.is_some_and(|number| before >> number & 1 != 0))
    };
    look.holds(known, after)
}

/// The word that describes a byte to what comes behind it.
fn described(nfa: &Nfa, byte: u8) -> u32 {
    (0..).zip(&nfa.asked).fold(0, |word, (number, set)| {
        word | u32::from(set.contains(byte)) << number
    })
}

impl Scratch {
    /// A new closure: no state is visited.
    fn begin(&mut self, nfa: &Nfa) {
        self.seen.resize(nfa.states.len(), 0);
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.seen.fill(0);
            self.stamp = 1;
        }
    }

    /// Adds what can be reached from a state without taking a byte to
    /// `there`: what takes one, and conditions that are not decided yet.
    /// Tells whether a match is reached. Under Perl's order nothing behind
    /// that one counts.
    fn close(
        &mut self,
        nfa: &Nfa,
        from: StateId,
        before: u32,
        after: After,
        discipline: Discipline,
    ) -> bool {
        let mut matched = false;
        self.stack.clear();
        self.stack.push(from);
        while let Some(id) = self.stack.pop() {
            self.visited += 1;
            let Some(seen) = self.seen.get_mut(id as usize) else {
                continue;
            };
            if std::mem::replace(seen, self.stamp) == self.stamp {
                continue;
            }
            match nfa.states.get(id as usize) {
                Some(State::Take { set, .. }) => {
                    let useful = match after {
                        After::Byte(byte) => set.contains(byte),
                        After::Unknown => true,
                        After::End => false,
                    };
                    if useful {
                        self.there.push(id);
                    }
                }
                Some(State::Check { look, next }) => match holds(nfa, *look, before, after) {
                    Some(true) => self.stack.push(*next),
                    Some(false) => {}
                    None => self.there.push(id),
                },
                Some(State::Branch(ways)) => self.stack.extend(ways.iter().rev()),
                Some(State::Match(number)) => {
                    matched = true;
                    if discipline == Discipline::First {
                        self.stack.clear();
                        return true;
                    }
                    if discipline == Discipline::Every {
                        self.found.push((*number, false));
                    }
                }
                Some(State::Fail) | None => {}
            }
        }
        matched
    }

    /// Where order does not count, equal sets are to be equal lists.
    fn canonical(&mut self, discipline: Discipline) {
        if discipline != Discipline::First {
            self.there.sort_unstable();
        }
    }

    fn transition(
        &mut self,
        nfa: &Nfa,
        key: &[u32],
        byte: u8,
        discipline: Discipline,
    ) -> (Key, Step) {
        self.visited = 0;
        self.found.clear();
        let (flags, before) = match key {
            [flags, before, ..] => (*flags, *before),
            _ => (CLOSED, 0),
        };
        // First the place itself: what is waiting for the byte to be known,
        // and a match that begins here.
        self.begin(nfa);
        let mut all: Vec<(u32, Vec<StateId>)> = Vec::new();
        let mut ended = None;
        let after = After::Byte(byte);
        let fresh = [nfa.start];
        let begins = (flags & CLOSED == 0).then_some((FRESH, &fresh[..]));
        for (start, group) in groups(key).chain(begins) {
            let matched = self.resolve(nfa, group, before, after, discipline);
            all.push((start, std::mem::take(&mut self.there)));
            if matched && discipline != Discipline::Every {
                ended = Some(start);
                break;
            }
        }
        // Then behind the byte.
        self.begin(nfa);
        self.found.dedup();
        let found_before = self.found.len();
        let mut reached = None;
        let closed = flags & CLOSED != 0 || ended.is_some();
        let mut next = std::mem::take(&mut self.key);
        next.clear();
        next.extend([u32::from(closed), described(nfa, byte)]);
        self.sources.clear();
        for (start, group) in &all {
            let matched = self.take_byte(nfa, group, byte, discipline);
            if discipline != Discipline::Every {
                self.add_group(&mut next, *start, discipline);
            }
            if matched && discipline != Discipline::Every {
                reached = Some(*start);
                if let Some(flags) = next.first_mut() {
                    *flags |= CLOSED;
                }
                break;
            }
        }
        if discipline == Discipline::Every {
            self.add_group(&mut next, 0, discipline);
            self.sources.clear();
        }
        self.found
            .iter_mut()
            .skip(found_before)
            .for_each(|(_, behind)| *behind = true);
        let done = next.len() == HEADER && next.first().is_some_and(|flags| flags & CLOSED != 0);
        let step = Step {
            sources: self.sources.as_slice().into(),
            before: ended,
            after: reached,
            found: self.found.as_slice().into(),
            done,
        };
        let result: Key = next.as_slice().into();
        self.key = next;
        (result, step)
    }

    /// The states of a group with all conditions decided, into `there`.
    fn resolve(
        &mut self,
        nfa: &Nfa,
        group: &[StateId],
        before: u32,
        after: After,
        discipline: Discipline,
    ) -> bool {
        self.there.clear();
        let mut matched = false;
        for &id in group {
            matched |= self.close(nfa, id, before, after, discipline);
            if matched && discipline == Discipline::First {
                break;
            }
        }
        matched
    }

    /// The states behind a byte, into `there`.
    fn take_byte(
        &mut self,
        nfa: &Nfa,
        group: &[StateId],
        byte: u8,
        discipline: Discipline,
    ) -> bool {
        let before = described(nfa, byte);
        if discipline != Discipline::Every {
            self.there.clear();
        }
        let mut matched = false;
        for &id in group {
            let Some(State::Take { next, .. }) = nfa.states.get(id as usize) else {
                continue;
            };
            matched |= self.close(nfa, *next, before, After::Unknown, discipline);
            if matched && discipline == Discipline::First {
                break;
            }
        }
        matched
    }

    fn add_group(&mut self, key: &mut Vec<u32>, start: u32, discipline: Discipline) {
        if self.there.is_empty() {
            return;
        }
        self.canonical(discipline);
        key.push(self.there.len() as u32);
        key.append(&mut self.there);
        self.sources.push(start);
    }

    fn end(&mut self, nfa: &Nfa, key: &[u32], discipline: Discipline) -> (Option<u32>, Vec<u32>) {
        self.begin(nfa);
        self.found.clear();
        let (flags, before) = match key {
            [flags, before, ..] => (*flags, *before),
            _ => (CLOSED, 0),
        };
        let fresh = [nfa.start];
        let begins = (flags & CLOSED == 0).then_some((FRESH, &fresh[..]));
        let mut first = None;
        for (start, group) in groups(key).chain(begins) {
            let matched = self.resolve(nfa, group, before, After::End, discipline);
            if matched && discipline != Discipline::Every {
                first = Some(start);
                break;
            }
        }
        let found = self.found.iter().map(|(number, _)| *number).collect();
        (first, found)
    }
}

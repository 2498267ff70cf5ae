//! Patterns as nondeterministic automata over bytes.
//!
//! A state takes a byte, checks a condition, or branches; branches are in
//! the order that Perl tries them, which only one of the two disciplines
//! looks at. What an automaton cannot do is refused as unsupported: back
//! references, conditions on more than a neighbour, groups that do not give
//! back, unless what follows can be told from one byte.

use super::ast::{Greed, Look, Node};
use super::bytes::ByteSet;

/// Most states of one automaton (`regular expression is too large`).
pub const MAX_STATES: usize = 20_000;
/// Most states of the automaton of a set of patterns.
pub const MAX_SET_STATES: usize = 400_000;
/// Most different sets that conditions ask the byte before about.
const MAX_ASKED: usize = 30;
/// Most steps of a compilation for each state that it may make: repeating
/// nothing takes time, too.
const STEPS_PER_STATE: usize = 8;

/// Number of a state.
pub type StateId = u32;

/// What a state does.
#[derive(Clone, Debug)]
pub enum State {
    /// Takes one byte of the set.
    Take { set: ByteSet, next: StateId },
    /// Goes on where a condition holds.
    Check { look: Look, next: StateId },
    /// Goes on in several ways, the first preferred.
    Branch(Box<[StateId]>),
    /// The pattern of this number has matched.
    Match(u32),
    /// Goes nowhere.
    Fail,
}

/// Why a pattern has no automaton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Unsupported,
    TooLarge,
}

/// A compiled automaton.
#[derive(Debug)]
pub struct Nfa {
    pub states: Vec<State>,
    pub start: StateId,
    /// Class of each byte: those of one class are never told apart.
    pub classes: Box<[u8; 256]>,
    /// One byte of each class.
    pub samples: Vec<u8>,
    /// Sets that conditions ask the byte before about.
    pub asked: Vec<ByteSet>,
}

impl Nfa {
    /// The automaton of some patterns, which match by their numbers.
    pub fn new<'a>(
        patterns: impl IntoIterator<Item = &'a Node>,
        max_states: usize,
    ) -> Result<Nfa, Refusal> {
        let mut builder = Builder {
            states: Vec::new(),
            max_states,
            steps: max_states * STEPS_PER_STATE,
        };
        let mut starts = Vec::new();
        for (number, node) in patterns.into_iter().enumerate() {
            let number = u32::try_from(number).map_err(|_| Refusal::TooLarge)?;
            let matched = builder.push(State::Match(number))?;
            starts.push(builder.build(node, matched)?);
        }
        let start = match starts[..] {
            [start] => start,
            _ => builder.push(State::Branch(starts.into_boxed_slice()))?,
        };
        let mut asked: Vec<ByteSet> = Vec::new();
        for state in &builder.states {
            if let State::Check { look, .. } = state
                && let Some(set) = look.asks_before()
                && !asked.contains(&set)
            {
                asked.push(set);
            }
        }
        if asked.len() > MAX_ASKED {
            return Err(Refusal::TooLarge);
        }
        let (classes, samples) = classes(&builder.states, &asked);
        Ok(Nfa {
            states: builder.states,
            start,
            classes,
            samples,
            asked,
        })
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        let branches = self.states.iter().map(|state| match state {
            State::Branch(ways) => ways.len() * size_of::<StateId>(),
            _ => 0,
        });
        self.states.len() * size_of::<State>() + branches.sum::<usize>() + 512
    }
}

/// Splits the bytes into classes that no state tells apart.
fn classes(states: &[State], asked: &[ByteSet]) -> (Box<[u8; 256]>, Vec<u8>) {
    let mut classes = Box::new([0u8; 256]);
    let mut count = 1usize;
    let mut known = std::collections::HashSet::new();
    let mut split = |set: &ByteSet| {
        if count == 256 || !known.insert(*set) {
            return;
        }
        // Each old class may fall apart into those inside and those outside.
        let mut inside = [None::<u8>; 256];
        let mut outside = [false; 256];
        for byte in 0..=255u8 {
            if !set.contains(byte) {
                outside[usize::from(classes[usize::from(byte)])] = true;
            }
        }
        for byte in set.iter() {
            let class = &mut classes[usize::from(byte)];
            let old = usize::from(*class);
            if !outside[old] {
                continue;
            }
            *class = *inside[old].get_or_insert_with(|| {
                count += 1;
                (count - 1) as u8
            });
        }
    };
    asked.iter().for_each(&mut split);
    for state in states {
        match state {
            State::Take { set, .. } => split(set),
            State::Check { look, .. } => {
                if let Some(set) = look.asks_after() {
                    split(&set);
                }
            }
            _ => {}
        }
    }
    let samples = (0..count).map(|class| {
        let byte = classes.iter().position(|&of| usize::from(of) == class);
        byte.map_or(0, |byte| byte as u8)
    });
    let samples = samples.collect();
    (classes, samples)
}

/// Builds from the end to the start: every part is given what comes next.
struct Builder {
    states: Vec<State>,
    max_states: usize,
    steps: usize,
}

impl Builder {
    fn push(&mut self, state: State) -> Result<StateId, Refusal> {
        if self.states.len() >= self.max_states {
            return Err(Refusal::TooLarge);
        }
        self.states.push(state);
        Ok((self.states.len() - 1) as StateId)
    }

    fn build(&mut self, node: &Node, next: StateId) -> Result<StateId, Refusal> {
        self.steps = self.steps.checked_sub(1).ok_or(Refusal::TooLarge)?;
        match node {
            Node::Empty => Ok(next),
            Node::Fail => self.push(State::Fail),
            Node::Set(set) => self.push(State::Take { set: *set, next }),
            Node::Look(look) => self.push(State::Check { look: *look, next }),
            Node::Concat(nodes) => nodes
                .iter()
                .rev()
                .try_fold(next, |next, node| self.build(node, next)),
            Node::Alternate(nodes) => {
                let ways: Result<Vec<_>, _> =
                    nodes.iter().map(|node| self.build(node, next)).collect();
                self.push(State::Branch(ways?.into_boxed_slice()))
            }
            Node::Capture(_, node) => self.build(node, next),
            Node::Around { .. } => {
                let look = node.as_look().ok_or(Refusal::Unsupported)?;
                self.push(State::Check { look, next })
            }
            Node::Repeat {
                node,
                min,
                max,
                greed,
            } => self.repeat(node, *min, *max, *greed, next),
            Node::Atomic(_)
            | Node::BackReference { .. }
            | Node::IfGroup { .. }
            | Node::IfAround { .. }
            | Node::Keep => Err(Refusal::Unsupported),
        }
    }

    fn repeat(
        &mut self,
        node: &Node,
        min: u32,
        max: Option<u32>,
        greed: Greed,
        next: StateId,
    ) -> Result<StateId, Refusal> {
        let mut next = next;
        if greed == Greed::Possessive && max != Some(min) {
            // One that takes all there is ends in front of another byte.
            let (Some(set), None) = (node.as_set(), max) else {
                return Err(Refusal::Unsupported);
            };
            let look = Look::After { set, negated: true };
            next = self.push(State::Check { look, next })?;
        } else if greed == Greed::Possessive && node.as_set().is_none() {
            return Err(Refusal::Unsupported);
        }
        let lazy = greed == Greed::Lazy;
        let order = |body: StateId, past: StateId| -> Box<[StateId]> {
            Box::new(if lazy { [past, body] } else { [body, past] })
        };
        let mut entry = next;
        match max {
            None => {
                let around = self.push(State::Fail)?;
                let body = self.build(node, around)?;
                let ways = order(body, next);
                if let Some(state) = self.states.get_mut(around as usize) {
                    *state = State::Branch(ways);
                }
                // The last of the required ones is the one that goes round.
                entry = if min == 0 { around } else { body };
                for _ in 1..min {
                    entry = self.build(node, entry)?;
                }
            }
            Some(max) => {
                for _ in min..max {
                    let body = self.build(node, entry)?;
                    entry = self.push(State::Branch(order(body, next)))?;
                }
                for _ in 0..min {
                    entry = self.build(node, entry)?;
                }
            }
        }
        Ok(entry)
    }
}

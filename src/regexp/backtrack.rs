//! Matching by trying and going back, for what no automaton can do.
//!
//! A pattern becomes a program for a small machine with a stack of its own:
//! no pattern and no text can overflow the native one. Every instruction is
//! a step, steps are counted, and when they are used up the search fails as
//! PCRE does at its match limit. Only texts that are there whole are
//! searched like this.

use super::ast::{After, Greed, Look, Node};
use super::bytes::ByteSet;

/// Instructions of one search at most (`PCRE internal error -8`).
pub const MAX_STEPS: u64 = 2_000_000;
/// Entries of the stack at most (the same error).
const MAX_STACK: usize = 1 << 18;
/// Most instructions of a program.
const MAX_PROGRAM: usize = 20_000;

type At = usize;

/// One instruction. Slots are the registers, which going back restores.
#[derive(Clone, Debug)]
enum Op {
    Take(ByteSet),
    Check(Look),
    /// Goes on at the first, and at the second if that fails.
    Try(At, At),
    Jump(At),
    /// Keeps the position in a slot.
    Save(usize),
    /// Sets the slots of a group that began at the saved position.
    Close {
        opened: usize,
        slot: usize,
    },
    /// Leaves the loop, past the jump that comes next, if the position has
    /// not moved since it was saved.
    Moved(usize),
    /// The text between two slots once more.
    Again {
        slot: usize,
        fold: bool,
    },
    /// Goes on elsewhere unless the slot is set.
    IfSet(usize, At),
    /// Keeps the height of the stack in a slot.
    Enter(usize),
    /// Takes back the choices made since then.
    Commit(usize),
    /// Remembers place and stack in two slots, with a choice to go on
    /// elsewhere.
    Probe {
        slot: usize,
        otherwise: At,
    },
    /// Back to the remembered place, without that choice.
    Found(usize),
    /// Steps back over so many bytes.
    Back(usize),
    Fail,
    Match,
}

/// A program, and how many slots it needs.
#[derive(Debug)]
pub struct Program {
    ops: Vec<Op>,
    slots: usize,
}

/// The program is too large.
#[derive(Debug)]
pub struct TooLarge;

/// The steps were used up.
#[derive(Debug, PartialEq, Eq)]
pub struct OutOfSteps;

/// Slots of the match itself; those of the groups follow.
const START: usize = 0;
const END: usize = 1;
const UNSET: usize = usize::MAX;

impl Program {
    /// The program of a pattern with so many groups.
    pub fn new(node: &Node, groups: u32) -> Result<Program, TooLarge> {
        let mut compiler = Compiler {
            ops: Vec::new(),
            slots: 2 * (groups as usize + 1),
            steps: 8 * MAX_PROGRAM,
        };
        compiler.push(Op::Save(START))?;
        compiler.node(node)?;
        compiler.push(Op::Save(END))?;
        compiler.push(Op::Match)?;
        Ok(Program {
            ops: compiler.ops,
            slots: compiler.slots,
        })
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.ops.len() * size_of::<Op>()
    }

    /// The match that Perl prefers.
    pub fn search(&self, text: &[u8]) -> Result<Option<(usize, usize)>, OutOfSteps> {
        let mut machine = Machine {
            text,
            slots: vec![UNSET; self.slots],
            stack: Vec::new(),
            steps: MAX_STEPS,
        };
        for start in 0..=text.len() {
            machine.pay(self.slots as u64 / 8)?;
            machine.slots.fill(UNSET);
            machine.stack.clear();
            if machine.run(&self.ops, start)? {
                let slot = |slot: usize| machine.slots.get(slot).copied().unwrap_or(start);
                return Ok(Some((slot(START), slot(END))));
            }
        }
        Ok(None)
    }
}

struct Compiler {
    ops: Vec<Op>,
    slots: usize,
    /// Repeating nothing takes time, too.
    steps: usize,
}

impl Compiler {
    fn push(&mut self, op: Op) -> Result<At, TooLarge> {
        if self.ops.len() >= MAX_PROGRAM {
            return Err(TooLarge);
        }
        self.ops.push(op);
        Ok(self.ops.len() - 1)
    }

    fn here(&self) -> At {
        self.ops.len()
    }

    fn set(&mut self, at: At, op: Op) {
        if let Some(slot) = self.ops.get_mut(at) {
            *slot = op;
        }
    }

    /// Two fresh slots.
    fn fresh(&mut self) -> usize {
        self.slots += 2;
        self.slots - 2
    }

    fn node(&mut self, node: &Node) -> Result<(), TooLarge> {
        self.steps = self.steps.checked_sub(1).ok_or(TooLarge)?;
        match node {
            Node::Empty => {}
            Node::Fail => {
                self.push(Op::Fail)?;
            }
            Node::Set(set) => {
                self.push(Op::Take(*set))?;
            }
            Node::Look(look) => {
                self.push(Op::Check(*look))?;
            }
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.node(node))?,
            Node::Alternate(nodes) => {
                self.alternate(nodes, |compiler, node| compiler.node(node))?
            }
            Node::Repeat {
                node,
                min,
                max,
                greed,
            } => self.repeat(node, *min, *max, *greed)?,
            Node::Capture(group, node) => {
                let slot = 2 * *group as usize;
                // Set only once the group has matched: it may be asked for
                // inside itself.
                let opened = self.fresh();
                self.push(Op::Save(opened))?;
                self.node(node)?;
                self.push(Op::Close { opened, slot })?;
            }
            Node::Atomic(node) => {
                let slot = self.fresh();
                self.push(Op::Enter(slot))?;
                self.node(node)?;
                self.push(Op::Commit(slot))?;
            }
            Node::Around { negated, .. } => {
                let (probe, slot) = self.around(node)?;
                if *negated {
                    self.push(Op::Fail)?;
                    let past = self.here();
                    self.set(
                        probe,
                        Op::Probe {
                            slot,
                            otherwise: past,
                        },
                    );
                } else {
                    let past = self.push(Op::Jump(0))?;
                    let fail = self.push(Op::Fail)?;
                    self.set(
                        probe,
                        Op::Probe {
                            slot,
                            otherwise: fail,
                        },
                    );
                    let here = self.here();
                    self.set(past, Op::Jump(here));
                }
            }
            Node::IfAround { around, yes, no } => {
                let (probe, slot) = self.around(around)?;
                let negated = matches!(**around, Node::Around { negated: true, .. });
                let (found, missed) = if negated { (no, yes) } else { (yes, no) };
                self.node(found)?;
                let end = self.push(Op::Jump(0))?;
                let otherwise = self.here();
                self.set(probe, Op::Probe { slot, otherwise });
                self.node(missed)?;
                let here = self.here();
                self.set(end, Op::Jump(here));
            }
            Node::BackReference { group, fold } => {
                let slot = 2 * *group as usize;
                self.push(Op::Again { slot, fold: *fold })?;
            }
            Node::IfGroup { group, yes, no } => {
                let slot = 2 * *group as usize;
                let test = self.push(Op::Fail)?;
                self.node(yes)?;
                let end = self.push(Op::Fail)?;
                let otherwise = self.here();
                self.set(test, Op::IfSet(slot, otherwise));
                self.node(no)?;
                let here = self.here();
                self.set(end, Op::Jump(here));
            }
            Node::Keep => {
                self.push(Op::Save(START))?;
            }
        }
        Ok(())
    }

    fn alternate(
        &mut self,
        nodes: &[Node],
        mut choice: impl FnMut(&mut Self, &Node) -> Result<(), TooLarge>,
    ) -> Result<(), TooLarge> {
        let mut ends = Vec::new();
        let Some((last, others)) = nodes.split_last() else {
            return Ok(());
        };
        for node in others {
            let test = self.push(Op::Fail)?;
            choice(self, node)?;
            ends.push(self.push(Op::Fail)?);
            let here = self.here();
            self.set(test, Op::Try(test + 1, here));
        }
        choice(self, last)?;
        let here = self.here();
        for end in ends {
            self.set(end, Op::Jump(here));
        }
        Ok(())
    }

    /// The test of a condition, up to where it has held: the place of the
    /// probe, which the caller completes, and its slot.
    fn around(&mut self, node: &Node) -> Result<(At, usize), TooLarge> {
        let slot = self.fresh();
        let probe = self.push(Op::Fail)?;
        if let Node::Around { ahead, node, .. } = node {
            if *ahead {
                self.node(node)?;
            } else {
                let one = std::slice::from_ref(&**node);
                let choices = match &**node {
                    Node::Alternate(nodes) => nodes,
                    _ => one,
                };
                self.alternate(choices, |compiler, choice| {
                    // The parser has made sure that it is fixed.
                    let len = choice.fixed_len().ok_or(TooLarge)?;
                    compiler.push(Op::Back(len as usize))?;
                    compiler.node(choice)
                })?;
            }
        }
        self.push(Op::Found(slot))?;
        Ok((probe, slot))
    }

    fn repeat(
        &mut self,
        node: &Node,
        min: u32,
        max: Option<u32>,
        greed: Greed,
    ) -> Result<(), TooLarge> {
        let atomic = (greed == Greed::Possessive).then(|| self.fresh());
        if let Some(slot) = atomic {
            self.push(Op::Enter(slot))?;
        }
        let lazy = greed == Greed::Lazy;
        let choice = |body: At, past: At| {
            if lazy {
                Op::Try(past, body)
            } else {
                Op::Try(body, past)
            }
        };
        for _ in 0..min {
            self.node(node)?;
        }
        if let Some(max) = max {
            let mut tests = Vec::new();
            for _ in min..max {
                tests.push(self.push(Op::Fail)?);
                self.node(node)?;
            }
            let past = self.here();
            for test in tests {
                self.set(test, choice(test + 1, past));
            }
        } else {
            let slot = self.fresh();
            let test = self.push(Op::Fail)?;
            self.push(Op::Save(slot))?;
            self.node(node)?;
            // A round that took nothing is the last one.
            self.push(Op::Moved(slot))?;
            self.push(Op::Jump(test))?;
            let past = self.here();
            self.set(test, choice(test + 1, past));
        }
        if let Some(slot) = atomic {
            self.push(Op::Commit(slot))?;
        }
        Ok(())
    }
}

/// What going back finds on the stack.
enum Entry {
    /// Another way to go on.
    Choice { op: At, at: usize },
    /// What a slot held.
    Slot { slot: usize, value: usize },
}

struct Machine<'a> {
    text: &'a [u8],
    slots: Vec<usize>,
    stack: Vec<Entry>,
    steps: u64,
}

impl Machine<'_> {
    fn run(&mut self, ops: &[Op], start: usize) -> Result<bool, OutOfSteps> {
        let (mut op, mut at) = (0, start);
        loop {
            self.pay(1)?;
            let next = match ops.get(op) {
                Some(Op::Match) => return Ok(true),
                Some(instruction) => self.execute(instruction, op, at)?,
                None => None,
            };
            match next.or_else(|| self.go_back()) {
                Some(next) => (op, at) = next,
                None => return Ok(false),
            }
        }
    }

    fn pay(&mut self, steps: u64) -> Result<(), OutOfSteps> {
        self.steps = self.steps.checked_sub(steps).ok_or(OutOfSteps)?;
        Ok(())
    }

    /// The latest other way, with the slots as they were.
    fn go_back(&mut self) -> Option<(At, usize)> {
        while let Some(entry) = self.stack.pop() {
            match entry {
                Entry::Choice { op, at } => return Some((op, at)),
                Entry::Slot { slot, value } => self.put(slot, value),
            }
        }
        None
    }

    fn put(&mut self, slot: usize, value: usize) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = value;
        }
    }

    fn get(&self, slot: usize) -> usize {
        self.slots.get(slot).copied().unwrap_or(UNSET)
    }

    fn push(&mut self, entry: Entry) -> Result<(), OutOfSteps> {
        if self.stack.len() >= MAX_STACK {
            return Err(OutOfSteps);
        }
        self.stack.push(entry);
        Ok(())
    }

    fn save(&mut self, slot: usize, new: usize) -> Result<(), OutOfSteps> {
        let value = self.get(slot);
        self.push(Entry::Slot { slot, value })?;
        self.put(slot, new);
        Ok(())
    }

    /// Where to go on; none if the instruction fails.
    fn execute(
        &mut self,
        instruction: &Op,
        op: At,
        at: usize,
    ) -> Result<Option<(At, usize)>, OutOfSteps> {
        let next = op + 1;
        Ok(match *instruction {
            Op::Take(set) => {
                let byte = self.text.get(at);
                byte.is_some_and(|&byte| set.contains(byte))
                    .then_some((next, at + 1))
            }
            Op::Check(look) => self.holds(look, at).then_some((next, at)),
            Op::Try(first, second) => {
                self.push(Entry::Choice { op: second, at })?;
                Some((first, at))
            }
            Op::Jump(to) => Some((to, at)),
            Op::Save(slot) => {
                self.save(slot, at)?;
                Some((next, at))
            }
            Op::Close { opened, slot } => {
                self.save(slot, self.get(opened))?;
                self.save(slot + 1, at)?;
                Some((next, at))
            }
            // Past the jump that goes round.
            Op::Moved(slot) if self.get(slot) == at => Some((next + 1, at)),
            Op::Moved(_) => Some((next, at)),
            Op::Again { slot, fold } => self.again(slot, fold, at)?.map(|at| (next, at)),
            Op::IfSet(slot, otherwise) => {
                let set = self.get(slot + 1) != UNSET;
                Some((if set { next } else { otherwise }, at))
            }
            Op::Enter(slot) => {
                self.save(slot, 0)?;
                let height = self.stack.len();
                self.put(slot, height);
                Some((next, at))
            }
            Op::Commit(slot) => {
                self.commit(self.get(slot))?;
                Some((next, at))
            }
            Op::Probe { slot, otherwise } => {
                self.save(slot, 0)?;
                self.save(slot + 1, at)?;
                let height = self.stack.len();
                self.put(slot, height);
                self.push(Entry::Choice { op: otherwise, at })?;
                Some((next, at))
            }
            Op::Found(slot) => {
                self.commit(self.get(slot))?;
                Some((next, self.get(slot + 1)))
            }
            Op::Back(len) => at.checked_sub(len).map(|at| (next, at)),
            Op::Fail | Op::Match => None,
        })
    }

    /// Takes back the choices above a height; what slots held stays known.
    fn commit(&mut self, height: usize) -> Result<(), OutOfSteps> {
        let above = self.stack.len().saturating_sub(height);
        self.pay(above as u64)?;
        let first = height.min(self.stack.len());
        let mut kept = first;
        for at in first..self.stack.len() {
            if matches!(self.stack.get(at), Some(Entry::Slot { .. })) {
                self.stack.swap(kept, at);
                kept += 1;
            }
        }
        self.stack.truncate(kept);
        Ok(())
    }

    fn again(&mut self, slot: usize, fold: bool, at: usize) -> Result<Option<usize>, OutOfSteps> {
        let group = self.text.get(self.get(slot)..self.get(slot + 1));
        // A group that has not matched matches nowhere.
        let Some(group) = group else {
            return Ok(None);
        };
        let Some(here) = self.text.get(at..).and_then(|rest| rest.get(..group.len())) else {
            return Ok(None);
        };
        let same = if fold {
            group.eq_ignore_ascii_case(here)
        } else {
            group == here
        };
        let len = group.len();
        self.pay(len as u64 / 8)?;
        Ok(same.then_some(at + len))
    }

    fn holds(&self, look: Look, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.text.get(at));
        let after = self
            .text
            .get(at)
            .map_or(After::End, |&byte| After::Byte(byte));
        look.holds(|set| before.map(|&byte| set.contains(byte)), after) == Some(true)
    }
}

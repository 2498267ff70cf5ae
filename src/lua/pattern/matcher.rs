//! Running a compiled pattern over a subject, paying steps.
//!
//! A backtracking matcher of the same shape as LuaJIT's: it recurses once
//! per repetition or capture on the way, 200 deep at most, which both bounds
//! the stack and raises "pattern too complex" where LuaJIT does.
//! On top of that: candidates for the start are looked up with `memchr`, and
//! a repetition followed by a literal byte only tries where that byte is.

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use super::compile::{ByteSet, HEAD_WORDS, Head, Op, Repeat, Single, Start, contains};
use super::{Capture, MAX_CAPTURES, PatternError};
use std::ops::Range;

/// Items that may be open within each other (LuaJIT's `LJ_MAX_XLEVEL`).
const MAX_DEPTH: u32 = 200;

/// Subjects from this length on are worth building a substring searcher.
const FINDER_PAYS: usize = 256;

/// A compiled pattern, read from its words.
pub(super) struct Program<'a> {
    ops: &'a [u64],
    sets: &'a [ByteSet],
    anchored: bool,
    start: Start,
}

impl<'a> Program<'a> {
    /// Takes the words apart; none when they do not form a program.
    pub(super) fn new(words: &'a [u64]) -> Option<Program<'a>> {
        let (head, rest) = words.split_first_chunk::<HEAD_WORDS>()?;
        let head = Head::decode(head);
        let (ops, rest) = rest.split_at_checked(head.ops)?;
        let sets = rest.as_chunks::<4>().0.get(..head.sets)?;
        Some(Program {
            ops,
            sets,
            anchored: head.anchored,
            start: head.start,
        })
    }
}

/// Why a branch ended without a match.
enum Stop {
    /// It does not match; another one may.
    NoMatch,
    /// The whole search is over.
    Failed(PatternError),
}

/// One search.
pub(super) struct Matcher<'a> {
    program: &'a Program<'a>,
    subject: &'a [u8],
    steps: u64,
    depth: u32,
    level: usize,
    captures: &'a mut [Capture; MAX_CAPTURES],
}

impl<'a> Matcher<'a> {
    /// Prepares a search that may take `steps` and leaves its captures in
    /// `captures`.
    pub(super) fn new(
        program: &'a Program<'a>,
        subject: &'a [u8],
        steps: u64,
        captures: &'a mut [Capture; MAX_CAPTURES],
    ) -> Result<Matcher<'a>, PatternError> {
        if i32::try_from(subject.len()).is_err() {
            return Err(PatternError::SubjectTooLong);
        }
        Ok(Matcher {
            program,
            subject,
            steps,
            depth: 0,
            level: 0,
            captures,
        })
    }

    /// Steps that were not used.
    pub(super) fn steps_left(&self) -> u64 {
        self.steps
    }

    /// Captures of the last match, open ones included.
    pub(super) fn level(&self) -> usize {
        self.level
    }

    /// The first match that starts at `init` or behind.
    pub(super) fn search(&mut self, init: usize) -> Result<Option<Range<usize>>, PatternError> {
        if init > self.subject.len() {
            return Ok(None);
        }
        let program = self.program;
        let finder = match &program.start {
            Start::Prefix { bytes, len }
                if *len > 1 && !program.anchored && self.subject.len() - init >= FINDER_PAYS =>
            {
                Some(Finder::new(&bytes[..*len]))
            }
            _ => None,
        };
        let mut at = init;
        loop {
            if !program.anchored {
                match self.candidate(at, finder.as_ref()) {
                    Ok(next) => at = next,
                    Err(Stop::NoMatch) => return Ok(None),
                    Err(Stop::Failed(error)) => return Err(error),
                }
            }
            self.level = 0;
            match self.nested(at, 0) {
                Ok(end) => return Ok(Some(at..end)),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::NoMatch) if program.anchored || at >= self.subject.len() => {
                    return Ok(None);
                }
                Err(Stop::NoMatch) => at += 1,
            }
        }
    }

    /// The next place from `at` on where a match could start.
    fn candidate(&mut self, at: usize, finder: Option<&Finder>) -> Result<usize, Stop> {
        let rest = self.subject.get(at..).unwrap_or_default();
        let (found, bytes_per_step) = match &self.program.start {
            Start::Anywhere => return Ok(at),
            Start::Prefix { bytes, len } => {
                let found = match finder {
                    Some(finder) => finder.find(rest),
                    None => memchr(bytes[0], rest),
                };
                // Calling the searcher costs more than a step of matching.
                self.charge(if *len > 1 { 4 } else { 1 })?;
                (found, 32)
            }
            Start::Set(set) => {
                let set = self.set(*set);
                (rest.iter().position(|byte| contains(set, *byte)), 8)
            }
        };
        let skipped = found.unwrap_or(rest.len());
        self.charge((skipped / bytes_per_step) as u64)?;
        found.map(|skipped| at + skipped).ok_or(Stop::NoMatch)
    }

    #[inline(always)]
    fn charge(&mut self, steps: u64) -> Result<(), Stop> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err(Stop::Failed(PatternError::TooManySteps))
            }
        }
    }

    fn set(&self, index: u32) -> &'a ByteSet {
        self.program.sets.get(index as usize).unwrap_or(&[0; 4])
    }

    #[inline(always)]
    fn accepts(&self, single: Single, byte: u8) -> bool {
        match single {
            Single::Byte(expected) => byte == expected,
            Single::Any => true,
            Single::Set(set) => contains(self.set(set), byte),
        }
    }

    /// Whether `single` matches the byte at `at`; nothing matches the end.
    #[inline(always)]
    fn accepts_at(&self, single: Single, at: usize) -> bool {
        self.subject
            .get(at)
            .is_some_and(|byte| self.accepts(single, *byte))
    }

    #[inline(always)]
    fn op(&self, pc: usize) -> Op {
        self.program
            .ops
            .get(pc)
            .map_or(Op::Done, |word| Op::decode(*word))
    }

    /// The byte that item `pc` must begin with, if it is that simple.
    fn literal(&self, pc: usize) -> Option<u8> {
        match self.op(pc) {
            Op::Single(Single::Byte(byte), Repeat::Once | Repeat::GreedyOnce) => Some(byte),
            _ => None,
        }
    }

    fn check_depth(&self) -> Result<(), Stop> {
        if self.depth >= MAX_DEPTH {
            return Err(Stop::Failed(PatternError::TooComplex));
        }
        Ok(())
    }

    /// Matches the items from `pc` on at `at`, one level deeper.
    fn nested(&mut self, at: usize, pc: usize) -> Result<usize, Stop> {
        self.check_depth()?;
        self.depth += 1;
        let result = self.items(at, pc);
        self.depth -= 1;
        result
    }

    fn items(&mut self, mut at: usize, mut pc: usize) -> Result<usize, Stop> {
        loop {
            self.charge(1)?;
            match self.op(pc) {
                Op::Single(single, Repeat::Once) => {
                    if !self.accepts_at(single, at) {
                        return Err(Stop::NoMatch);
                    }
                    at += 1;
                }
                Op::Single(single, Repeat::Optional) => {
                    if self.accepts_at(single, at) {
                        match self.nested(at + 1, pc + 1) {
                            Err(Stop::NoMatch) => {}
                            end => return end,
                        }
                    }
                }
                Op::Single(single, Repeat::Greedy) => return self.greedy(single, at, at, pc),
                Op::Single(single, Repeat::GreedyOnce) => {
                    if !self.accepts_at(single, at) {
                        return Err(Stop::NoMatch);
                    }
                    return self.greedy(single, at + 1, at + 1, pc);
                }
                Op::Single(single, Repeat::Lazy) => return self.lazy(single, at, pc),
                Op::OpenText => return self.open(Capture::OPEN, at, pc),
                Op::OpenPosition => return self.open(Capture::POSITION, at, pc),
                Op::Close => return self.close(at, pc),
                Op::Balance(open, close) => at = self.balance(open, close, at)?,
                Op::Frontier(set) => {
                    // Both ends of the subject count as NUL.
                    let before = at.checked_sub(1).and_then(|index| self.subject.get(index));
                    let here = self.subject.get(at);
                    let set = self.set(set);
                    if contains(set, before.copied().unwrap_or(0))
                        || !contains(set, here.copied().unwrap_or(0))
                    {
                        return Err(Stop::NoMatch);
                    }
                }
                Op::BackRef(digit) => at = self.back_reference(digit, at)?,
                Op::End => {
                    return if at == self.subject.len() {
                        Ok(at)
                    } else {
                        Err(Stop::NoMatch)
                    };
                }
                Op::Done => return Ok(at),
                Op::Broken(error) => return Err(Stop::Failed(error)),
            }
            pc += 1;
        }
    }

    /// As many as possible from `at` on, then fewer, down to none at `least`.
    fn greedy(
        &mut self,
        single: Single,
        least: usize,
        at: usize,
        pc: usize,
    ) -> Result<usize, Stop> {
        self.check_depth()?;
        let rest = self.subject.get(at..).unwrap_or_default();
        let run = match single {
            Single::Any => rest.len(),
            Single::Byte(byte) => rest.iter().take_while(|next| **next == byte).count(),
            Single::Set(set) => {
                let set = self.set(set);
                rest.iter().take_while(|next| contains(set, **next)).count()
            }
        };
        if single != Single::Any {
            self.charge((run / 8) as u64)?;
        }
        let next = self.literal(pc + 1);
        let mut at = at + run;
        loop {
            if let Some(byte) = next.filter(|byte| self.subject.get(at) != Some(byte)) {
                let window = self.subject.get(least..at).unwrap_or_default();
                let found = memrchr(byte, window);
                self.charge(1 + ((window.len() - found.unwrap_or(0)) / 32) as u64)?;
                at = least + found.ok_or(Stop::NoMatch)?;
            }
            match self.nested(at, pc + 1) {
                Err(Stop::NoMatch) if at > least => at -= 1,
                end => return end,
            }
        }
    }

    /// As few as possible from `at` on, then more.
    fn lazy(&mut self, single: Single, mut at: usize, pc: usize) -> Result<usize, Stop> {
        self.check_depth()?;
        let next = self.literal(pc + 1);
        loop {
            if let Some(byte) = next {
                let rest = self.subject.get(at..).unwrap_or_default();
                let skipped = match single {
                    Single::Any => memchr(byte, rest),
                    _ => rest
                        .iter()
                        .position(|at| *at == byte || !self.accepts(single, *at)),
                };
                let bytes_per_step = if single == Single::Any { 32 } else { 8 };
                self.charge(1 + (skipped.unwrap_or(rest.len()) / bytes_per_step) as u64)?;
                at += skipped.ok_or(Stop::NoMatch)?;
            }
            match self.nested(at, pc + 1) {
                Err(Stop::NoMatch) if self.accepts_at(single, at) => at += 1,
                end => return end,
            }
        }
    }

    fn open(&mut self, kind: i32, at: usize, pc: usize) -> Result<usize, Stop> {
        let Some(slot) = self.captures.get_mut(self.level) else {
            return Err(Stop::Failed(PatternError::TooManyCaptures));
        };
        *slot = Capture {
            start: at as i32,
            end: kind,
        };
        self.level += 1;
        let end = self.nested(at, pc + 1);
        if end.is_err() {
            self.level -= 1;
        }
        end
    }

    fn close(&mut self, at: usize, pc: usize) -> Result<usize, Stop> {
        let opened = self.captures.iter().take(self.level);
        let Some(index) = opened
            .clone()
            .rposition(|capture| capture.end == Capture::OPEN)
        else {
            return Err(Stop::Failed(PatternError::NoOpenCapture));
        };
        self.captures[index].end = at as i32;
        let end = self.nested(at, pc + 1);
        if end.is_err() {
            self.captures[index].end = Capture::OPEN;
        }
        end
    }

    fn balance(&mut self, open: u8, close: u8, at: usize) -> Result<usize, Stop> {
        let rest = self.subject.get(at..).unwrap_or_default();
        let Some((first, inside)) = rest.split_first() else {
            return Err(Stop::NoMatch);
        };
        if *first != open {
            return Err(Stop::NoMatch);
        }
        let mut unclosed = 1u32;
        let end = inside.iter().position(|byte| {
            // The closing byte is asked for first: with equal delimiters the
            // second one closes.
            if *byte == close {
                unclosed -= 1;
            } else if *byte == open {
                unclosed += 1;
            }
            unclosed == 0
        });
        self.charge((end.unwrap_or(inside.len()) / 8) as u64)?;
        end.map(|end| at + end + 2).ok_or(Stop::NoMatch)
    }

    fn back_reference(&mut self, digit: u8, at: usize) -> Result<usize, Stop> {
        let index = usize::from(digit)
            .checked_sub(1)
            .filter(|index| *index < self.level);
        let capture = index.and_then(|index| self.captures.get(index)).copied();
        let Some(Capture { start, end }) = capture.filter(|known| known.end != Capture::OPEN)
        else {
            return Err(Stop::Failed(PatternError::CaptureIndex));
        };
        if end == Capture::POSITION {
            return Err(Stop::NoMatch);
        }
        let text = self
            .subject
            .get(start as usize..end as usize)
            .unwrap_or_default();
        self.charge((text.len() / 32) as u64)?;
        if self
            .subject
            .get(at..)
            .is_some_and(|rest| rest.starts_with(text))
        {
            Ok(at + text.len())
        } else {
            Err(Stop::NoMatch)
        }
    }
}

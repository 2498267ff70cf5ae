//! Lua patterns, step-limited: the matcher behind `string.find`, `match`,
//! `gmatch` and `gsub`.
//!
//! LuaJIT's own matcher cannot be interrupted: no hook fires inside it, and
//! `('a'):rep(300000):find('.-b')` holds a worker for minutes. This one gives
//! the same results, the same captures and the same error texts as LuaJIT
//! 2.1 with the 5.2 additions, but every search is paid for in steps and
//! ends when they are used up. One step is one pattern item tried; running
//! over bytes costs one step per 8 bytes or fewer. Steps, not time, so that
//! a replay gives up exactly where the live run did.
//!
//! A pattern is compiled once into a few words (`compile`), which the Lua
//! library keeps in memory of its own, and searched with (`matcher`). Lua
//! comes in through the C functions of `ffi`, which never unwind and never
//! call back; replacing and iterating are loops in `lib/patterns.lua`, since
//! what they call may yield.
//!
//! Limits, all LuaJIT's: 32 captures, 200 nested items, subjects below 2 GiB,
//! and a pattern ends at its first NUL byte (`%z` matches one).
//! Not here: regular expressions, searching in buffers (`buf`).

mod compile;
mod ffi;
mod matcher;

pub use ffi::{CDEF, MatchResult, PATTERN_API, PatternApi, PatternHead};

use std::ffi::CStr;
use std::fmt;
use std::ops::Range;

use matcher::{Matcher, Program};

/// Most captures that a pattern may have.
pub const MAX_CAPTURES: usize = 32;

/// Steps that a single search may take unless the host says otherwise.
pub const DEFAULT_STEPS: u64 = 1_000_000;

/// A compiled pattern, independent of the text it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    words: Vec<u64>,
}

impl Pattern {
    /// Compiles a pattern. Never fails: a mistake is reported when a search
    /// reaches it, as in Lua, where `('x'):find('a%')` is simply nil.
    pub fn new(pattern: &[u8]) -> Pattern {
        Pattern {
            words: compile::compile(pattern, true),
        }
    }

    /// The same for `gmatch`, where a leading `^` is an ordinary character.
    pub fn unanchored(pattern: &[u8]) -> Pattern {
        Pattern {
            words: compile::compile(pattern, false),
        }
    }

    /// Finds the first match that starts at byte `init` or later.
    ///
    /// Takes what the search costs from `steps`; when they do not suffice
    /// the answer is [`PatternError::TooManySteps`] and `steps` is zero.
    pub fn search(
        &self,
        subject: &[u8],
        init: usize,
        steps: &mut u64,
    ) -> Result<Option<Captures>, PatternError> {
        let program = Program::new(&self.words).ok_or(PatternError::TooComplex)?;
        let mut slots = [Capture::default(); MAX_CAPTURES];
        let mut matcher = Matcher::new(&program, subject, *steps, &mut slots)?;
        let found = matcher.search(init);
        let level = matcher.level();
        *steps = matcher.steps_left();
        Ok(found?.map(|whole| Captures {
            whole,
            level,
            slots,
        }))
    }
}

/// Compiles `pattern` and finds its first match at byte `init` or later; see
/// [`Pattern::search`] for `steps`.
pub fn match_at(
    subject: &[u8],
    pattern: &[u8],
    init: usize,
    steps: &mut u64,
) -> Result<Option<Captures>, PatternError> {
    Pattern::new(pattern).search(subject, init, steps)
}

/// True when `string.find` takes the pattern literally, NUL bytes included.
pub fn is_plain(pattern: &[u8]) -> bool {
    // Closing brackets are missing on purpose: LuaJIT does not count them.
    !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

/// Where one capture lies; shared with Lua.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Byte offset of its start.
    pub start: i32,
    /// Byte offset of its end, or [`Capture::OPEN`] or [`Capture::POSITION`].
    pub end: i32,
}

impl Capture {
    /// `end` of a capture that the pattern never closed.
    pub const OPEN: i32 = -1;
    /// `end` of a position capture, `()`.
    pub const POSITION: i32 = -2;
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captures {
    whole: Range<usize>,
    level: usize,
    slots: [Capture; MAX_CAPTURES],
}

impl Captures {
    /// The bytes that the whole pattern matched.
    pub fn whole(&self) -> Range<usize> {
        self.whole.clone()
    }

    /// The pattern's own captures, in order; none when it has none.
    pub fn list(&self) -> &[Capture] {
        &self.slots[..self.level]
    }
}

/// Why a search failed; texts and occasions are LuaJIT's, but for the first.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// The search was given up: it cost more steps than allowed.
    TooManySteps = 1,
    /// The pattern ends in a bare `%`.
    EndsWithEscape = 2,
    /// A set is not closed.
    MissingBracket = 3,
    /// `%b` without two delimiters.
    Unbalanced = 4,
    /// `%f` without a set.
    MissingFrontierSet = 5,
    /// `)` without an open capture.
    NoOpenCapture = 6,
    /// `%1` to `%9` (or `%0`) names no finished capture.
    CaptureIndex = 7,
    /// More than [`MAX_CAPTURES`] captures.
    TooManyCaptures = 8,
    /// More than 200 captures and repetitions within each other.
    TooComplex = 9,
    /// The subject is 2 GiB or longer.
    SubjectTooLong = 10,
}

impl PatternError {
    /// Every error, for tables.
    const ALL: [PatternError; 10] = [
        PatternError::TooManySteps,
        PatternError::EndsWithEscape,
        PatternError::MissingBracket,
        PatternError::Unbalanced,
        PatternError::MissingFrontierSet,
        PatternError::NoOpenCapture,
        PatternError::CaptureIndex,
        PatternError::TooManyCaptures,
        PatternError::TooComplex,
        PatternError::SubjectTooLong,
    ];

    /// The error with the given number; unknown numbers are `TooComplex`.
    fn from_code(code: u8) -> PatternError {
        let found = PatternError::ALL
            .into_iter()
            .find(|error| *error as u8 == code);
        found.unwrap_or(PatternError::TooComplex)
    }

    /// The text that Lua shows.
    pub fn text(self) -> &'static CStr {
        match self {
            PatternError::TooManySteps => c"pattern too expensive",
            PatternError::EndsWithEscape => c"malformed pattern (ends with '%')",
            PatternError::MissingBracket => c"malformed pattern (missing ']')",
            PatternError::Unbalanced => c"unbalanced pattern",
            PatternError::MissingFrontierSet => c"missing '[' after '%f' in pattern",
            PatternError::NoOpenCapture => c"invalid pattern capture",
            PatternError::CaptureIndex => c"invalid capture index",
            PatternError::TooManyCaptures => c"too many captures",
            PatternError::TooComplex => c"pattern too complex",
            PatternError::SubjectTooLong => c"string slice too long",
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().to_str().unwrap_or("pattern error"))
    }
}

impl std::error::Error for PatternError {}

/// Fuzz body: the first byte says where the pattern ends and the subject
/// begins; no input may panic, overrun its steps or match outside.
pub fn fuzz_pattern(data: &[u8]) {
    let Some((&split, rest)) = data.split_first() else {
        return;
    };
    let (pattern, subject) = rest.split_at(usize::from(split).min(rest.len()));
    for compiled in [Pattern::new(pattern), Pattern::unanchored(pattern)] {
        let mut steps = 20_000;
        let mut init = 0;
        while let Ok(Some(found)) = compiled.search(subject, init, &mut steps) {
            let whole = found.whole();
            assert!(init <= whole.start && whole.start <= whole.end);
            assert!(
                whole.end <= subject.len(),
                "a match lies within the subject"
            );
            for capture in found.list() {
                assert!(capture.start >= 0 && capture.start as usize <= whole.end);
                assert!(capture.end < 0 || capture.start <= capture.end);
                assert!(capture.end < 0 || capture.end as usize <= whole.end);
            }
            init = whole.end.max(whole.start + 1);
            if init > subject.len() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Regular expressions of PCRE's syntax, for strings and for streams.
//!
//! Patterns are read once (`parse`) into a tree and made into an automaton
//! (`nfa`) that runs deterministically (`lazy`, `search`): one pass, time in
//! proportion to the bytes, any cut of the subject into pieces. Text gets
//! the match that Perl prefers, buffers and streams the longest. What no
//! automaton can do, back references first of all, works on text alone, by
//! a matcher that tries and goes back (`backtrack`) and counts its steps.
//!
//! Nothing here can stall: work is done in portions that the caller bounds.
//! Bytes are bytes: no UTF-8, no locale. Not here: buffers and their
//! iterators (`buf`), Lua (`lua::regexp_api`).

mod ast;
mod backtrack;
mod bytes;
mod lazy;
mod nfa;
mod parse;
mod prefix;
mod search;
pub mod set;
pub mod store;

pub use lazy::{Discipline, Lazy};
pub use search::Search;

use std::borrow::Cow;
use std::fmt;

use ast::Node;
pub use backtrack::OutOfSteps;
use backtrack::Program;
use nfa::{Nfa, Refusal};

/// Longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1 << 16;

/// Most bytes of transitions that a regular expression remembers, for each
/// discipline; then it forgets them all and begins anew.
pub const CACHE: usize = 1 << 20;

/// A mistake in a pattern, worded as PCRE does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    text: &'static str,
    at: usize,
}

impl SyntaxError {
    pub(crate) fn new(text: &'static str, at: usize) -> SyntaxError {
        SyntaxError { text, at }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PCRE compilation failed with error '{}' at offset {}",
            self.text, self.at
        )
    }
}

impl std::error::Error for SyntaxError {}

/// How a pattern is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// Letters match in either case.
    pub case_insensitive: bool,
    /// White space and comments in the pattern do not count.
    pub extended: bool,
}

/// A pattern as rules write it, as PCRE reads it: `%` for a backslash, and
/// nothing behind the first NUL.
pub fn unescape(pattern: &[u8]) -> Cow<'_, [u8]> {
    let end = memchr::memchr(0, pattern).unwrap_or(pattern.len());
    let pattern = pattern.get(..end).unwrap_or_default();
    if memchr::memchr(b'%', pattern).is_none() {
        return Cow::Borrowed(pattern);
    }
    let mut bytes = pattern.iter();
    let mut out = Vec::with_capacity(pattern.len());
    while let Some(&byte) = bytes.next() {
        if byte == b'%' {
            out.push(b'\\');
            out.extend(bytes.next());
        } else {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

/// A compiled regular expression.
#[derive(Debug)]
pub struct Regexp {
    nfa: Option<Nfa>,
    /// For patterns without an automaton.
    program: Option<Program>,
    first: Option<Box<Lazy>>,
    longest: Option<Box<Lazy>>,
}

impl Regexp {
    /// Compiles a pattern as [`unescape`] gives it.
    pub fn new(pattern: &[u8], options: Options) -> Result<Regexp, SyntaxError> {
        let (node, groups) = read(pattern, options)?;
        let too_large = SyntaxError::new("regular expression is too large", pattern.len());
        let (nfa, program) = match Nfa::new([&node], nfa::MAX_STATES) {
            Ok(nfa) => (Some(nfa), None),
            Err(Refusal::Unsupported) => match Program::new(&node, groups) {
                Ok(program) => (None, Some(program)),
                Err(backtrack::TooLarge) => return Err(too_large),
            },
            Err(Refusal::TooLarge) => return Err(too_large),
        };
        Ok(Regexp {
            nfa,
            program,
            first: None,
            longest: None,
        })
    }

    /// Searches a text by trying, for patterns that have no automaton; none
    /// for the others.
    pub fn backtrack(&self, text: &[u8]) -> Option<Result<Option<(usize, usize)>, OutOfSteps>> {
        let program = self.program.as_ref()?;
        Some(program.search(text))
    }

    /// Whether it can be searched for in streams.
    pub fn has_automaton(&self) -> bool {
        self.nfa.is_some()
    }

    /// The automaton under a discipline; none if the pattern has none.
    pub fn automaton(&mut self, discipline: Discipline) -> Option<(&mut Lazy, &Nfa)> {
        let nfa = self.nfa.as_ref()?;
        let lazy = match discipline {
            Discipline::First => &mut self.first,
            _ => &mut self.longest,
        };
        let lazy = lazy.get_or_insert_with(|| Box::new(Lazy::new(discipline, CACHE)));
        Some((lazy, nfa))
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        let lazy = [&self.first, &self.longest];
        let lazy = lazy.into_iter().flatten().map(|lazy| lazy.memory());
        let fixed = self.nfa.as_ref().map_or(0, Nfa::memory)
            + self.program.as_ref().map_or(0, Program::memory);
        size_of::<Regexp>() + fixed + lazy.sum::<usize>()
    }

    /// Gives back what can be built again.
    pub fn forget(&mut self) {
        let lazy = [&mut self.first, &mut self.longest];
        lazy.into_iter().flatten().for_each(|lazy| lazy.forget());
    }
}

fn read(pattern: &[u8], options: Options) -> Result<(Node, u32), SyntaxError> {
    if pattern.len() > MAX_PATTERN {
        return Err(SyntaxError::new(
            "regular expression is too large",
            MAX_PATTERN,
        ));
    }
    let flags = parse::Flags {
        fold: options.case_insensitive,
        multi_line: true,
        dot_all: false,
        extended: options.extended,
        lazy: false,
    };
    parse::parse(pattern, flags)
}

#[cfg(test)]
mod tests;

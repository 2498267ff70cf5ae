//! All regular expressions and searches of one worker, by number.
//!
//! Rules make and drop them as they like, so all is capped: how many there
//! are, and the memory of what is compiled. Remembered transitions count
//! too, but can be built again: at the cap they are forgotten, all at once.

use std::collections::HashMap;

use thiserror::Error;

use super::set::{Draft, Hit, PatternSet, Scan};
use super::{Discipline, Options, OutOfSteps, Regexp, Search, SyntaxError, unescape};
use crate::buf::{Key, Slab};

/// Caps of a [`Store`]; at a cap the operation is refused with an error.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Regular expressions and searches alive (`too many regular
    /// expressions`).
    pub objects: usize,
    /// Bytes of compiled patterns (`not enough memory`).
    pub patterns: usize,
    /// Bytes of remembered transitions above which all are forgotten.
    pub transitions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            objects: 1 << 17,
            patterns: 64 << 20,
            transitions: 64 << 20,
        }
    }
}

/// Bytes that one call searches at most; more take more calls.
pub const SLICE: usize = 1 << 16;
/// Work of one call at most, in places of a pattern looked at.
pub const WORK: u64 = 1 << 18;

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("{0}")]
    Syntax(SyntaxError),
    #[error("invalid regular expression")]
    Invalid,
    #[error("too many regular expressions")]
    TooMany,
    #[error("not enough memory")]
    Memory,
    /// What DFA matching cannot do; the number is PCRE's.
    #[error("PCRE internal error -16")]
    Unsupported,
    /// Too many steps of a search that tries; PCRE's number as well.
    #[error("PCRE internal error -8")]
    Steps,
    #[error("internal regexp error")]
    Internal,
}

enum Object {
    Regexp(Box<Compiled>),
    Search(Box<Sink>),
    Set(Box<Set>),
    Scan(Box<SetSink>),
}

struct Set {
    set: PatternSet,
    /// What it counts for among the patterns.
    fixed: usize,
}

struct SetSink {
    set: Key,
    scan: Scan,
}

struct Compiled {
    regexp: Regexp,
    options: Options,
    pattern: Vec<u8>,
    /// The search in a text that takes more than one call.
    text: Option<Search>,
    /// What it counts for among the patterns.
    fixed: usize,
    /// Names this by its pattern from now on, however often it is compiled.
    owners: u32,
}

struct Sink {
    regexp: Key,
    search: Search,
}

/// A search as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Bytes of the last call that were taken.
    pub taken: usize,
    /// Whether the result is final.
    pub done: bool,
    /// Whether a match has begun that is not decided.
    pub partial: bool,
    /// Start and end of the match; not final unless `done`.
    pub best: Option<(u64, u64)>,
    /// Where the oldest match that is still possible starts.
    pub candidate: Option<u64>,
}

/// The regular expressions and searches of a worker.
pub struct Store {
    objects: Slab<Object>,
    /// Compiled patterns that a rule may ask for again.
    known: HashMap<(Vec<u8>, Options), Key>,
    /// Patterns added to the set that is being made.
    draft: Draft,
    /// What the last pass of a set found.
    hits: Vec<Hit>,
    limits: Limits,
    patterns: usize,
    transitions: usize,
}

impl Default for Store {
    fn default() -> Self {
        Store::new(Limits::default())
    }
}

impl Store {
    /// An empty store.
    pub fn new(limits: Limits) -> Store {
        Store {
            objects: Slab::new(limits.objects),
            known: HashMap::new(),
            draft: Draft::default(),
            hits: Vec::new(),
            limits,
            patterns: 0,
            transitions: 0,
        }
    }

    /// Compiles a pattern as rules write it. The same pattern with the same
    /// options is the same object; it is freed as often as it was asked for.
    pub fn compile(&mut self, pattern: &[u8], options: Options) -> Result<Key, Error> {
        let pattern = unescape(pattern);
        if let Some(&key) = self.known.get(&(pattern.to_vec(), options))
            && let Ok(compiled) = self.regexp(key)
        {
            compiled.owners += 1;
            return Ok(key);
        }
        let regexp = Regexp::new(&pattern, options).map_err(Error::Syntax)?;
        let fixed = regexp.memory() + 2 * pattern.len();
        if self.patterns + fixed > self.limits.patterns {
            return Err(Error::Memory);
        }
        let compiled = Compiled {
            regexp,
            options,
            pattern: pattern.to_vec(),
            text: None,
            fixed,
            owners: 1,
        };
        let key = self.insert(Object::Regexp(Box::new(compiled)))?;
        self.patterns += fixed;
        self.known.insert((pattern.into_owned(), options), key);
        Ok(key)
    }

    fn insert(&mut self, object: Object) -> Result<Key, Error> {
        self.objects.insert(object).ok_or(Error::TooMany)
    }

    /// Frees a regular expression or a search; an old number is ignored.
    pub fn free(&mut self, key: Key) {
        if let Some(Object::Regexp(compiled)) = self.objects.get_mut(key) {
            compiled.owners = compiled.owners.saturating_sub(1);
            if compiled.owners > 0 {
                return;
            }
            let name = (std::mem::take(&mut compiled.pattern), compiled.options);
            self.patterns = self.patterns.saturating_sub(compiled.fixed);
            let known = compiled.regexp.memory().saturating_sub(compiled.fixed);
            self.transitions = self.transitions.saturating_sub(known);
            self.known.remove(&name);
        }
        if let Some(Object::Set(set)) = self.objects.get(key) {
            self.patterns = self.patterns.saturating_sub(set.fixed);
            let known = set.set.memory().saturating_sub(set.fixed);
            self.transitions = self.transitions.saturating_sub(known);
        }
        if self.objects.get(key).is_some() {
            self.objects.remove(key.index);
        }
    }

    /// Regular expressions and searches alive.
    pub fn live(&self) -> usize {
        self.objects.len()
    }

    fn regexp(&mut self, key: Key) -> Result<&mut Compiled, Error> {
        match self.objects.get_mut(key) {
            Some(Object::Regexp(compiled)) => Ok(compiled),
            _ => Err(Error::Invalid),
        }
    }

    /// Searches a text, up to [`SLICE`] bytes of it at a time: `from` is zero
    /// first and then where the last call stopped, until all is done.
    pub fn search_text(&mut self, key: Key, text: &[u8], from: usize) -> Result<Status, Error> {
        self.with_regexp(key, |compiled| {
            if let Some(result) = compiled.regexp.backtrack(text) {
                let found = result.map_err(|OutOfSteps| Error::Steps)?;
                let best = found.map(|(first, last)| (first as u64, last as u64));
                return Ok(Status {
                    taken: text.len(),
                    done: true,
                    best,
                    ..Status::default()
                });
            }
            let (lazy, nfa) = compiled
                .regexp
                .automaton(Discipline::First)
                .ok_or(Error::Unsupported)?;
            let mut search = match compiled.text.take() {
                Some(search) if from > 0 && search.offset() == from as u64 => search,
                _ => Search::new(lazy, nfa, false),
            };
            let rest = text.get(from..).unwrap_or_default();
            let slice = rest.get(..SLICE).unwrap_or(rest);
            let mut work = WORK;
            let taken = search.feed(lazy, nfa, slice, &mut work);
            if taken == rest.len() {
                search.finish(lazy, nfa);
            }
            let status = status(&search, taken);
            if !status.done {
                compiled.text = Some(search);
            }
            Ok(status)
        })
    }

    /// Runs an operation on a regular expression and keeps the account of
    /// what it remembers.
    fn with_regexp<T>(
        &mut self,
        key: Key,
        operation: impl FnOnce(&mut Compiled) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let compiled = self.regexp(key)?;
        let before = compiled.regexp.memory();
        let result = operation(compiled);
        let after = compiled.regexp.memory();
        self.transitions = (self.transitions + after).saturating_sub(before);
        if self.transitions > self.limits.transitions {
            self.forget_transitions();
        }
        result
    }

    fn forget_transitions(&mut self) {
        for object in self.objects.values_mut() {
            match object {
                Object::Regexp(compiled) => compiled.regexp.forget(),
                Object::Set(set) => set.set.forget(),
                Object::Search(_) | Object::Scan(_) => {}
            }
        }
        self.transitions = 0;
    }

    /// Begins a search over pieces for the longest match. One that is
    /// anchored matches at its first byte or not at all.
    pub fn begin(&mut self, regexp: Key, anchored: bool) -> Result<Key, Error> {
        let search = self.with_regexp(regexp, |compiled| {
            let (lazy, nfa) = compiled
                .regexp
                .automaton(Discipline::Longest)
                .ok_or(Error::Unsupported)?;
            Ok(Search::new(lazy, nfa, anchored))
        })?;
        self.insert(Object::Search(Box::new(Sink { regexp, search })))
    }

    /// Begins a search anew.
    pub fn restart(&mut self, sink: Key, anchored: bool) -> Result<Status, Error> {
        self.with_search(sink, |search, lazy, nfa| {
            *search = Search::new(lazy, nfa, anchored);
            0
        })
    }

    /// Searches on, through at most [`SLICE`] bytes.
    pub fn feed(&mut self, sink: Key, bytes: &[u8]) -> Result<Status, Error> {
        let slice = bytes.get(..SLICE).unwrap_or(bytes);
        self.with_search(sink, |search, lazy, nfa| {
            search.feed(lazy, nfa, slice, &mut { WORK })
        })
    }

    /// Ends a search: no more bytes come.
    pub fn finish(&mut self, sink: Key) -> Result<Status, Error> {
        self.with_search(sink, |search, lazy, nfa| {
            search.finish(lazy, nfa);
            0
        })
    }

    /// Begins a set of patterns, or adds one to it.
    pub fn draft(&mut self, pattern: Option<&[u8]>, options: Options) -> Result<(), Error> {
        match pattern {
            None => self.draft = Draft::default(),
            Some(pattern) => {
                let pattern = unescape(pattern);
                self.draft.add(&pattern, options).map_err(Error::Syntax)?;
            }
        }
        Ok(())
    }

    /// Compiles the set that was begun.
    pub fn compile_set(&mut self) -> Result<Key, Error> {
        let draft = std::mem::take(&mut self.draft);
        let set = PatternSet::new(&draft).map_err(Error::Syntax)?;
        let fixed = set.memory();
        if self.patterns + fixed > self.limits.patterns {
            return Err(Error::Memory);
        }
        let key = self.insert(Object::Set(Box::new(Set { set, fixed })))?;
        self.patterns += fixed;
        Ok(key)
    }

    /// Begins a pass of a set.
    pub fn begin_scan(&mut self, set: Key) -> Result<Key, Error> {
        let Some(Object::Set(of)) = self.objects.get_mut(set) else {
            return Err(Error::Invalid);
        };
        let scan = Scan::new(&mut of.set);
        self.insert(Object::Scan(Box::new(SetSink { set, scan })))
    }

    /// Goes on with a pass, through at most [`SLICE`] bytes: how many were
    /// taken, and whether nothing more can be found. With no bytes, ends it.
    pub fn scan(&mut self, scan: Key, bytes: Option<&[u8]>) -> Result<(usize, bool), Error> {
        let Some(Object::Scan(sink)) = self.objects.get(scan) else {
            return Err(Error::Invalid);
        };
        let (of, mut state) = (sink.set, sink.scan.clone());
        let Some(Object::Set(set)) = self.objects.get_mut(of) else {
            return Err(Error::Invalid);
        };
        let before = set.set.memory();
        self.hits.clear();
        let taken = match bytes {
            None => {
                state.finish(&mut set.set, &mut self.hits);
                0
            }
            Some(bytes) => {
                let slice = bytes.get(..SLICE).unwrap_or(bytes);
                state.feed(&mut set.set, slice, &mut { WORK }, &mut self.hits)
            }
        };
        self.transitions = (self.transitions + set.set.memory()).saturating_sub(before);
        let done = state.is_done();
        if let Some(Object::Scan(sink)) = self.objects.get_mut(scan) {
            sink.scan = state;
        }
        if self.transitions > self.limits.transitions {
            self.forget_transitions();
        }
        Ok((taken, done))
    }

    /// What the last pass found, the last first.
    pub fn next_hit(&mut self) -> Option<Hit> {
        self.hits.pop()
    }

    fn with_search(
        &mut self,
        key: Key,
        operation: impl FnOnce(&mut Search, &mut super::Lazy, &super::nfa::Nfa) -> usize,
    ) -> Result<Status, Error> {
        let Some(Object::Search(sink)) = self.objects.get(key) else {
            return Err(Error::Invalid);
        };
        let (regexp, mut search) = (sink.regexp, sink.search.clone());
        let result = self.with_regexp(regexp, |compiled| {
            let automaton = compiled.regexp.automaton(Discipline::Longest);
            let (lazy, nfa) = automaton.ok_or(Error::Unsupported)?;
            let taken = operation(&mut search, lazy, nfa);
            Ok(status(&search, taken))
        })?;
        if let Some(Object::Search(sink)) = self.objects.get_mut(key) {
            sink.search = search;
        }
        Ok(result)
    }
}

fn status(search: &Search, taken: usize) -> Status {
    Status {
        taken,
        done: search.is_done(),
        partial: search.is_partial(),
        best: search.best(),
        candidate: search.candidate(),
    }
}

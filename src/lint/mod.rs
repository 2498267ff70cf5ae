//! `wero lint` as a library: what is wrong or doubtful in rule files, found
//! without running them.
//!
//! `token` and `parse` read a file into a `tree`; `types` infers what its
//! expressions are from the tables that the engine runs on (`event::EVENTS`,
//! `proto::PROTOCOLS`, `proto::api`); the rest are checks. Whatever is not
//! known for certain is taken to be right. A parser of our own, because
//! sources may be no UTF-8, and to limit how deep it nests.

mod calls;
mod definition;
mod fields;
mod names;
mod parse;
mod patterns;
mod requires;
mod rules;
mod token;
mod tree;
mod types;
mod walk;

use std::collections::BTreeSet;

use serde::Serialize;

use tree::Tree;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Could be better.
    Hint,
    /// Probably not what was meant.
    Warning,
    /// Fails when it is loaded or run.
    Error,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Hint => "hint",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub file: String,
    /// From 1; columns count bytes.
    pub line: usize,
    pub column: usize,
    pub severity: Severity,
    pub code: &'static str,
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A file to look at.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Why a file is no Lua, and where, in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SyntaxError {
    at: usize,
    text: String,
}

/// What is known from all files of a run together.
#[derive(Debug, Default)]
struct Facts {
    /// Names of fields that some file assigns to.
    written: BTreeSet<String>,
    /// Globals that some file sets.
    globals: BTreeSet<String>,
    /// Dissectors that some file defines.
    dissectors: BTreeSet<String>,
    /// Names that all files give to `require`, where some of them name files.
    shared: Vec<(String, usize)>,
    /// Dissectors that some file installs; `None` once one is chosen in a
    /// way that cannot be followed.
    installed: Option<BTreeSet<String>>,
}

/// One file as the checks see it.
struct File<'a> {
    tree: &'a Tree,
    facts: &'a Facts,
    /// Names that it gives to `require`, with where.
    requires: Vec<(String, usize)>,
    /// It requires a module that is not the engine's: what that one does is
    /// not known.
    foreign: bool,
    types: types::Types,
    found: Vec<(usize, Severity, &'static str, String, Option<String>)>,
}

impl File<'_> {
    fn add(
        &mut self,
        at: usize,
        severity: Severity,
        code: &'static str,
        text: impl Into<String>,
        hint: Option<String>,
    ) {
        self.found.push((at, severity, code, text.into(), hint));
    }
}

/// Looks at files. `resolves(file, module)` says whether `require` in a file
/// would find a module of the user.
pub fn lint(sources: &[Source], resolves: &dyn Fn(&str, &str) -> bool) -> Vec<Finding> {
    let trees: Vec<_> = sources
        .iter()
        .map(|source| parse::parse(&source.bytes))
        .collect();
    let mut facts = Facts {
        installed: Some(BTreeSet::new()),
        ..Facts::default()
    };
    for tree in trees.iter().flatten() {
        names::collect(tree, &mut facts);
        facts.shared.extend(requires::of(tree));
    }
    // Files that do not name each other are rules of their own.
    if facts
        .shared
        .iter()
        .all(|(name, _)| requires::is_builtin(name))
    {
        facts.shared.clear();
    }
    let mut findings = Vec::new();
    for (source, tree) in sources.iter().zip(&trees) {
        let found = match tree {
            Ok(tree) => check(tree, &facts, &source.name, resolves),
            Err(error) => vec![(
                error.at,
                Severity::Error,
                "syntax",
                error.text.clone(),
                None,
            )],
        };
        findings.extend(placed(source, found));
    }
    findings
}

type Found = (usize, Severity, &'static str, String, Option<String>);

fn check(
    tree: &Tree,
    facts: &Facts,
    name: &str,
    resolves: &dyn Fn(&str, &str) -> bool,
) -> Vec<Found> {
    let requires = requires::of(tree);
    let foreign = requires
        .iter()
        .any(|(module, _)| !requires::is_builtin(module));
    let mut file = File {
        tree,
        facts,
        requires,
        foreign,
        types: types::Types::of(tree, &facts.dissectors),
        found: Vec::new(),
    };
    requires::check(&mut file, &|module| resolves(name, module));
    fields::check(&mut file);
    rules::check(&mut file);
    calls::check(&mut file);
    names::check(&mut file);
    patterns::check(&mut file);
    file.found
}

fn placed(source: &Source, mut found: Vec<Found>) -> Vec<Finding> {
    found.sort_by(|one, other| (one.0, one.2).cmp(&(other.0, other.2)));
    found.dedup_by(|one, other| (one.0, one.2) == (other.0, other.2));
    let finding = |(at, severity, code, text, hint): Found| {
        let before = source.bytes.get(..at).unwrap_or(&source.bytes);
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        Finding {
            file: source.name.clone(),
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            column: 1 + before.len() - line_start,
            severity,
            code,
            text,
            hint,
        }
    };
    found.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests;

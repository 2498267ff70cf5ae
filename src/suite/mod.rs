//! Tests of rule files: what `wero test` does, without its command line.
//!
//! `find` looks for golden cases and Lua test files, `run` runs them (each
//! in a process of its own, several at a time), `difference` says what is
//! other than expected, `report` writes it down. A golden case is judged by
//! `golden`, a file of tests in Lua is run by `unit`.

pub mod difference;
pub mod find;
pub mod golden;
mod process;
pub mod report;
mod run;
pub mod unit;

use std::path::PathBuf;
use std::time::Duration;

pub use find::{Case, FindError, Kind, find};
pub use run::run;

/// How tests are to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program `wero`, which each case is given to.
    pub program: PathBuf,
    /// Tests with one of these in their name; all, if there is none.
    pub filters: Vec<String>,
    /// What a case gives becomes what is expected of it.
    pub update: bool,
    /// Time that a golden case or a file of Lua tests may take.
    pub timeout: Duration,
    /// Cases that run at a time.
    pub jobs: usize,
}

impl Plan {
    /// Whether a test of that name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|part| name.contains(part.as_str()))
    }
}

/// How one test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    pub name: String,
    pub outcome: Outcome,
    pub time: Duration,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// These files were rewritten.
    Updated(Vec<String>),
    Failed {
        /// One line.
        reason: String,
        /// Differences and what was said, several lines or none.
        details: String,
    },
}

impl Outcome {
    pub(crate) fn failed(reason: impl Into<String>, details: impl Into<String>) -> Outcome {
        Outcome::Failed {
            reason: reason.into(),
            details: details.into(),
        }
    }

    pub fn is_failure(&self) -> bool {
        matches!(self, Outcome::Failed { .. })
    }
}

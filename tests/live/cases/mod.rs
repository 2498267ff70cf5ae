//! The cases, a file for each question.

mod bypass;
mod datagrams;
mod ends;
mod grid;
mod interface;
mod kept;
mod neighbours;
mod passes;
mod plain;
mod setup;
mod stances;
mod workers;

use crate::harness::Case;

/// In the order in which they run: what everything else rests on comes first.
pub fn all() -> Vec<Case> {
    [
        plain::CASES,
        interface::CASES,
        passes::CASES,
        setup::CASES,
        grid::CASES,
        ends::CASES,
        kept::CASES,
        neighbours::CASES,
        bypass::CASES,
        datagrams::CASES,
        workers::CASES,
        stances::CASES,
    ]
    .concat()
}

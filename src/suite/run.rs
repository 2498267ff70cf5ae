//! Runs cases, several at a time, and hands on their outcome in order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::find::{Case, Kind};
use super::{Outcome, Plan, Test, golden, unit};

/// Runs the cases and calls `tell` with the tests of each, in the order of
/// the cases whatever the order in which they end; it may end the run.
///
/// # Errors
/// What `tell` returns.
pub fn run<E>(
    plan: &Plan,
    cases: &[Case],
    mut tell: impl FnMut(Vec<Test>) -> Result<(), E>,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let (send, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..plan.jobs.clamp(1, cases.len().max(1)) {
            let (next, send) = (&next, send.clone());
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(place) else { return };
                    // Nobody listens any more once `tell` has failed.
                    if send.send((place, tests_of(plan, case))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let (mut early, mut due) = (BTreeMap::new(), 0);
        for (place, tests) in results {
            early.insert(place, tests);
            while let Some(tests) = early.remove(&due) {
                due += 1;
                if let Err(error) = tell(tests) {
                    next.store(cases.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(())
    })
}

fn tests_of(plan: &Plan, case: &Case) -> Vec<Test> {
    if let Kind::Unit(file) = &case.kind {
        return unit::tests(plan, &case.name, file);
    }
    if !plan.wants(&case.name) {
        return Vec::new();
    }
    let start = Instant::now();
    let outcome = match &case.kind {
        Kind::Golden(golden) => golden::check(plan, golden),
        Kind::Broken(reason) => Outcome::failed(reason, ""),
        Kind::Unit(_) => Outcome::Passed,
    };
    vec![Test {
        name: case.name.clone(),
        outcome,
        time: start.elapsed(),
    }]
}

/// A test that stands for all of a file that gave no results.
pub(super) fn failed_file(name: &str, reason: String, details: String, time: Duration) -> Test {
    Test {
        name: name.to_owned(),
        outcome: Outcome::failed(reason, details),
        time,
    }
}

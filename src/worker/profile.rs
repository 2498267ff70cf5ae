//! Replays captures with rules whose costs are measured.
//!
//! What rules print, log and alert goes nowhere, and no packet is written:
//! only the costs are wanted. A run without measuring says what measuring
//! itself costs.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Worker;
use super::captures::Captures;
use super::journal::Journal;
use super::nanoseconds;
use super::replay::{Plan, ReplayError, load};
use crate::capture::file::CaptureError;
use crate::core::Stats;
use crate::lua::profile::{Abort, Cost, Profiler};
use crate::rule::Watch;

/// What rules cost.
#[derive(Debug, Default)]
pub struct Profile {
    /// Spans that ran: events, rules, members of groups, policies.
    pub costs: Vec<Cost>,
    /// Samples by stack.
    pub stacks: Vec<(String, u64)>,
    pub aborts: Vec<Abort>,
    pub stats: Stats,
    /// From the first packet to the end.
    pub elapsed: Duration,
    pub faults: Vec<CaptureError>,
}

/// Runs the plan once, measuring.
///
/// # Errors
/// When the engine cannot be started or the rules do not load.
pub fn profile(plan: &Plan, captures: Captures) -> Result<Profile, ReplayError> {
    let profiler = Profiler::new(nanoseconds);
    let (elapsed, faults, mut profile) =
        run(plan, captures, &Watch::Profiler(Rc::clone(&profiler)))?;
    (profile.elapsed, profile.faults) = (elapsed, faults);
    profile.costs = profiler.costs();
    profile.stacks = profiler.stacks();
    Ok(profile)
}

/// Runs the plan once without measuring. Returns how long that took.
///
/// # Errors
/// As [`profile`].
pub fn baseline(plan: &Plan, captures: Captures) -> Result<Duration, ReplayError> {
    Ok(run(plan, captures, &Watch::Nobody)?.0)
}

type Outcome = (Duration, Vec<CaptureError>, Profile);

fn run(plan: &Plan, captures: Captures, watch: &Watch) -> Result<Outcome, ReplayError> {
    let journal = Rc::new(RefCell::new(Journal::default()));
    journal.borrow_mut().mute(true);
    let (engine, rules) = load(plan, 0, journal.clone(), watch)?;
    let mut worker = Worker::new(engine, rules, journal, plan.wanted);
    worker.started();
    let start = Instant::now();
    let (read, _) = captures.read(|frame| {
        worker.frame(&frame);
        match worker.take_exit() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    worker.finish();
    let elapsed = start.elapsed();
    let profile = Profile {
        aborts: worker.listeners().trace_aborts(),
        stats: worker.stats(),
        ..Profile::default()
    };
    Ok((elapsed, read.faults, profile))
}

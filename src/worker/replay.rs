//! Replays captures through rules and writes what comes of it.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::captures::{Captures, Frame, ReadOut};
use super::journal::Journal;
use super::output::{Output, OutputError};
use super::terminal::{Attended, Desk};
use super::{Files, Wanted, Worker, parallel, shared_engine};
use crate::capture::file::CaptureError;
use crate::console::Console;
use crate::core::Stats;
use crate::engine::Shared;
use crate::event::{Level, Outward, Settings};
use crate::lua::Limits;
use crate::rule::{LoadError, Options, Runtime, Watch};

/// Frames between two looks at the progress.
pub(super) const PROGRESS_FRAMES: u64 = 1024;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub settings: Settings,
    pub rule_file: PathBuf,
    /// Folders that modules are looked for in first.
    pub module_dirs: Vec<PathBuf>,
    pub limits: Limits,
    /// Level lists to apply, in this order: `warn,tcp=debug`.
    pub levels: Vec<String>,
    pub wanted: Wanted,
    pub workers: usize,
}

/// How it went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// One for each worker.
    pub stats: Vec<Stats>,
    /// Captures that were damaged or could not be read on.
    pub faults: Vec<CaptureError>,
    /// A rule ended the run (`haka.exit`).
    pub stopped: bool,
    /// From the first frame to the end, rules loaded before.
    pub elapsed: Duration,
}

/// Why a run could not be made or finished.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The message names file and line.
    #[error("{0}")]
    Rules(String),
    #[error("cannot start the engine: {0}")]
    Engine(#[from] std::io::Error),
    #[error("{0}")]
    Levels(String),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("a worker ended early: this is a defect of Wero")]
    WorkerLost,
}

/// Who is told how far the run has come.
pub trait Watcher {
    /// Rules are loaded; frames are next.
    ///
    /// # Errors
    /// When it cannot say so.
    fn loaded(&mut self, output: &mut Output) -> Result<(), OutputError>;
    /// `read` bytes of the captures and `frames` frames are done.
    fn progress(&mut self, read: u64, frames: u64);
    /// Who answers interactive rules and the debugger, if somebody does. Asked
    /// once; runs of several workers have nobody.
    fn console(&mut self) -> Option<Console> {
        None
    }
}

/// Runs the plan over the captures.
///
/// # Errors
/// When the rules do not load or the output cannot be written; damage of the
/// captures stands in [`Outcome::faults`].
pub fn replay(
    plan: &Plan,
    captures: Captures,
    output: &mut Output,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, ReplayError> {
    if plan.workers > 1 {
        return parallel::replay(plan, captures, output, watcher);
    }
    // A rule that asks for a line shows first what was said before, in the
    // middle of a frame.
    let shared = Rc::new(RefCell::new(std::mem::replace(output, Output::away())));
    let outcome = alone(plan, captures, &shared, watcher);
    *output = shared.replace(Output::away());
    outcome
}

/// The run of the only worker.
fn alone(
    plan: &Plan,
    captures: Captures,
    output: &Rc<RefCell<Output>>,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, ReplayError> {
    let journal = Rc::new(RefCell::new(Journal::default()));
    let out: Rc<RefCell<dyn Outward>> = match watcher.console() {
        Some(console) => Rc::new(RefCell::new(Attended {
            journal: Rc::clone(&journal),
            desk: Rc::new(RefCell::new(Desk::new(console, &journal, output))),
        })),
        None => journal.clone(),
    };
    let loaded = worker(plan, 0, &journal, out);
    flush(&journal, &mut output.borrow_mut())?;
    let mut worker = loaded?;
    watcher.loaded(&mut output.borrow_mut())?;
    worker.started();
    flush(&journal, &mut output.borrow_mut())?;

    let start = Instant::now();
    let (read, broken) = captures.read(|frame| {
        worker.frame(&frame);
        after_frame(&mut worker, &frame, &mut output.borrow_mut(), watcher)
    });
    let stopped = match broken {
        Some(Err(error)) => return Err(error.into()),
        Some(Ok(())) => true,
        None => false,
    };
    worker.finish();
    flush(&journal, &mut output.borrow_mut())?;
    let ReadOut { faults, .. } = read;
    Ok(Outcome {
        stats: vec![worker.stats()],
        faults,
        stopped,
        elapsed: start.elapsed(),
    })
}

#[inline]
fn after_frame(
    worker: &mut Worker<Runtime>,
    frame: &Frame<'_>,
    output: &mut Output,
    watcher: &mut dyn Watcher,
) -> ControlFlow<Result<(), OutputError>> {
    if frame.number.is_multiple_of(PROGRESS_FRAMES) {
        watcher.progress(frame.read, frame.number);
    }
    if let Err(error) = flush(worker.journal(), output) {
        return ControlFlow::Break(Err(error));
    }
    match worker.take_exit() {
        true => ControlFlow::Break(Ok(())),
        false => ControlFlow::Continue(()),
    }
}

/// Makes an engine and loads the rules into it. What is said while loading
/// stands in the journal, also when loading fails; rules speak through `out`.
pub(super) fn worker(
    plan: &Plan,
    thread: u32,
    journal: &Rc<RefCell<Journal>>,
    out: Rc<RefCell<dyn Outward>>,
) -> Result<Worker<Runtime>, ReplayError> {
    let (engine, rules) = load(plan, thread, out, &Watch::Nobody)?;
    Ok(Worker::new(engine, rules, journal.clone(), plan.wanted))
}

/// As [`worker`], for callers that deal with what comes out themselves.
/// `out` gets what is said, an error of loading included.
pub(super) fn load(
    plan: &Plan,
    thread: u32,
    out: Rc<RefCell<dyn Outward>>,
    watch: &Watch,
) -> Result<(Shared, Runtime), ReplayError> {
    let engine = shared_engine(plan.settings.clone())?;
    for list in &plan.levels {
        let applied = engine.borrow_mut().core.log.apply(list);
        applied.map_err(|error| ReplayError::Levels(error.to_string()))?;
    }
    let options = Options {
        rule_file: plan.rule_file.clone(),
        module_dirs: plan.module_dirs.clone(),
        limits: plan.limits,
        thread,
        colour: std::io::IsTerminal::is_terminal(&std::io::stdout()),
        time_text: crate::sink::ctime::ctime,
    };
    match Runtime::load_watched(&engine, &options, Box::new(Files), Rc::clone(&out), watch) {
        Ok(rules) => Ok((engine, rules)),
        Err(error) => {
            let text = error.to_string();
            // Users look for it in the log, where rules that fail to load
            // have written it themselves.
            if !matches!(error, LoadError::Rules(_)) {
                out.borrow_mut().log(Level::Error, "lua", &text);
            }
            Err(ReplayError::Rules(text))
        }
    }
}

/// Writes the journal of the only worker.
pub(super) fn flush(journal: &RefCell<Journal>, output: &mut Output) -> Result<(), OutputError> {
    let mut journal = journal.borrow_mut();
    if journal.is_empty() {
        return Ok(());
    }
    let written = output.write(0, &journal, journal.entries());
    journal.clear();
    written
}

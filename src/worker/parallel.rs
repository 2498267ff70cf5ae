//! Several workers on one run of captures, with one worker's output.
//!
//! A reader fills batches and names the worker of each frame; every worker
//! walks every batch, handles its own frames and lets the time of the others
//! pass, so that flows time out at the same frame as with one worker. What
//! workers say is tagged with the frame, and written in frame order by the
//! thread that called.
//!
//! Rules are loaded by every worker. What they say while loading and on
//! `started` is written for the first worker only, as all say the same; what
//! they say at the end, worker by worker. Queues between threads are bounded,
//! so a slow output slows the reader.

use std::cell::RefCell;
use std::ops::{ControlFlow, Range};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use super::Worker;
use super::captures::{Captures, Frame, ReadOut};
use super::journal::Journal;
use super::output::{Output, OutputError};
use super::replay::{Outcome, Plan, ReplayError, Watcher, worker};
use super::shard::Sharder;
use crate::core::Stats;
use crate::packet::LinkType;
use crate::rule::Runtime;
use crate::time::Timestamp;

/// A batch is handed on when it has so many frames or bytes.
const BATCH_FRAMES: usize = 512;
const BATCH_BYTES: usize = 1 << 20;

/// Batches and answers that may wait in each queue.
const QUEUED: usize = 4;

/// Frames with their workers, shared by all of these.
#[derive(Default)]
struct Batch {
    frames: Vec<Captured>,
    owners: Vec<usize>,
    bytes: Vec<u8>,
    /// Bytes of the captures read so far.
    read: u64,
}

struct Captured {
    number: u64,
    timestamp: Timestamp,
    link: LinkType,
    wire_len: u32,
    bytes: Range<usize>,
}

/// What a worker reports, in this order: loaded, started, batches, the end.
enum Report {
    Loaded(Journal, Result<(), ReplayError>),
    Started(Journal),
    Batch(Said),
    Ended(Journal, Box<Stats>),
}

/// What a worker said during one batch.
struct Said {
    journal: Journal,
    marks: Vec<Mark>,
    /// The rule of this frame asked for the end.
    exit: Option<usize>,
    read: u64,
    last_frame: u64,
}

/// The entries that one frame gave rise to.
#[derive(Clone)]
struct Mark {
    frame: usize,
    /// The worker owns the frame; otherwise only its time passed, which comes
    /// first.
    own: bool,
    entries: Range<usize>,
}

/// As [`super::replay::replay`], with `plan.workers` threads.
pub(super) fn replay(
    plan: &Plan,
    captures: Captures,
    output: &mut Output,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, ReplayError> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut reports = Vec::new();
        let mut queues = Vec::new();
        for number in 0..plan.workers {
            let (to_worker, batches) = sync_channel(QUEUED);
            let (to_merger, from_worker) = sync_channel(QUEUED);
            scope.spawn(move || work(plan, number, &batches, &to_merger));
            queues.push(to_worker);
            reports.push(from_worker);
        }
        let reader = {
            let (stop, tunnels) = (&stop, plan.settings.inspect_tunnels);
            scope.spawn(move || read(captures, &queues, tunnels, stop))
        };
        Merger {
            reports,
            output,
            watcher,
            stop: &stop,
        }
        .run(reader)
    })
}

/// Fills batches until the captures end, somebody says stop or all workers
/// are gone.
fn read(
    captures: Captures,
    queues: &[SyncSender<Arc<Batch>>],
    tunnels: bool,
    stop: &AtomicBool,
) -> ReadOut {
    let mut sharder = Sharder::new(queues.len(), tunnels);
    let mut batch = Batch::default();
    let (out, broken) = captures.read(|frame| {
        batch.add(&frame, &mut sharder);
        if batch.frames.len() < BATCH_FRAMES && batch.bytes.len() < BATCH_BYTES {
            return ControlFlow::Continue(());
        }
        sharder.settle();
        let sent = send(std::mem::take(&mut batch), queues);
        match sent && !stop.load(Ordering::Relaxed) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    if broken.is_none() && !batch.frames.is_empty() {
        send(batch, queues);
    }
    out
}

fn send(batch: Batch, queues: &[SyncSender<Arc<Batch>>]) -> bool {
    let batch = Arc::new(batch);
    queues.iter().all(|queue| queue.send(batch.clone()).is_ok())
}

impl Batch {
    fn add(&mut self, frame: &Frame<'_>, sharder: &mut Sharder) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(frame.bytes);
        self.frames.push(Captured {
            number: frame.number,
            timestamp: frame.timestamp,
            link: frame.link,
            wire_len: frame.wire_len,
            bytes: start..self.bytes.len(),
        });
        self.read = frame.read;
        sharder.assign(frame.link, frame.bytes, frame.wire_len, &mut self.owners);
    }

    fn frame(&self, captured: &Captured) -> Frame<'_> {
        Frame {
            number: captured.number,
            timestamp: captured.timestamp,
            link: captured.link,
            bytes: self.bytes.get(captured.bytes.clone()).unwrap_or_default(),
            wire_len: captured.wire_len,
            read: self.read,
            file: 0,
        }
    }
}

/// A worker's thread. Ends early when nobody listens any more.
fn work(plan: &Plan, number: usize, batches: &Receiver<Arc<Batch>>, reports: &SyncSender<Report>) {
    let journal = Rc::new(RefCell::new(Journal::default()));
    journal.borrow_mut().mute(number != 0);
    let loaded = worker(plan, number as u32, &journal, journal.clone());
    let (mut worker, outcome) = match loaded {
        Ok(worker) => (Some(worker), Ok(())),
        Err(error) => (None, Err(error)),
    };
    let told = reports.send(Report::Loaded(journal.take(), outcome));
    let (Some(worker), Ok(())) = (worker.as_mut(), told) else {
        return;
    };

    journal.borrow_mut().mute(number != 0);
    worker.started();
    if reports.send(Report::Started(journal.take())).is_err() {
        return;
    }
    for batch in batches {
        let said = walk(worker, number, &batch);
        if reports.send(Report::Batch(said)).is_err() {
            return;
        }
    }
    worker.finish();
    // The end: whether somebody still listens makes no difference.
    let _ = reports.send(Report::Ended(journal.take(), Box::new(worker.stats())));
}

fn walk(worker: &mut Worker<Runtime>, number: usize, batch: &Batch) -> Said {
    let mut marks = Vec::new();
    let mut exit = None;
    let mut said = 0;
    for (at, (captured, &owner)) in batch.frames.iter().zip(&batch.owners).enumerate() {
        let own = owner == number;
        match own {
            true => worker.frame(&batch.frame(captured)),
            false => worker.pass_time(captured.timestamp),
        }
        let now = worker.journal().borrow().len();
        if now > said {
            marks.push(Mark {
                frame: at,
                own,
                entries: said..now,
            });
            said = now;
        }
        if own && worker.take_exit() {
            exit = Some(at);
            break;
        }
    }
    Said {
        journal: worker.journal().take(),
        marks,
        exit,
        read: batch.read,
        last_frame: batch.frames.last().map_or(0, |frame| frame.number),
    }
}

/// Writes what all workers say, in the order of the frames.
struct Merger<'a> {
    reports: Vec<Receiver<Report>>,
    output: &'a mut Output,
    watcher: &'a mut dyn Watcher,
    stop: &'a AtomicBool,
}

impl Merger<'_> {
    fn run(mut self, reader: ScopedJoinHandle<'_, ReadOut>) -> Result<Outcome, ReplayError> {
        for report in self.next_of_all()? {
            let Report::Loaded(journal, outcome) = report else {
                return Err(ReplayError::WorkerLost);
            };
            self.output.write(0, &journal, journal.entries())?;
            outcome?;
        }
        self.watcher.loaded(self.output)?;
        for report in self.next_of_all()? {
            let Report::Started(journal) = report else {
                return Err(ReplayError::WorkerLost);
            };
            self.output.write(0, &journal, journal.entries())?;
        }
        let start = Instant::now();
        let mut outcome = Outcome::default();
        loop {
            let reports = self.next_of_all()?;
            let mut batch = Vec::new();
            for (number, report) in reports.into_iter().enumerate() {
                match report {
                    Report::Batch(said) => batch.push(said),
                    Report::Ended(journal, stats) => {
                        self.output.write(number, &journal, journal.entries())?;
                        outcome.stats.push(*stats);
                    }
                    Report::Loaded(..) | Report::Started(_) => return Err(ReplayError::WorkerLost),
                }
            }
            if batch.is_empty() {
                break;
            }
            if !outcome.stopped {
                outcome.stopped = self.write_batch(&batch)?;
            }
        }
        outcome.elapsed = start.elapsed();
        // The queues are closed only when the reader is done.
        outcome.faults = reader.join().map_err(|_| ReplayError::WorkerLost)?.faults;
        Ok(outcome)
    }

    /// One report of each worker. All walk the same batches, so all are at
    /// the same one.
    fn next_of_all(&self) -> Result<Vec<Report>, ReplayError> {
        let reports = self
            .reports
            .iter()
            .map(|reports| reports.recv().map_err(|_| ReplayError::WorkerLost));
        reports.collect()
    }

    /// Writes a batch; true when a rule asked for the end in it.
    fn write_batch(&mut self, batch: &[Said]) -> Result<bool, OutputError> {
        let last = batch.iter().filter_map(|said| said.exit).min();
        for (number, mark) in in_order(batch, last) {
            if let Some(said) = batch.get(number) {
                let entries = said.journal.entries().get(mark.entries).unwrap_or_default();
                self.output.write(number, &said.journal, entries)?;
            }
        }
        if let Some(said) = batch.first() {
            self.watcher.progress(said.read, said.last_frame);
        }
        if last.is_some() {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(last.is_some())
    }
}

/// The marks of all workers in the order of one worker, up to a last frame.
fn in_order(batch: &[Said], last: Option<usize>) -> Vec<(usize, Mark)> {
    let mut marks: Vec<_> = batch
        .iter()
        .enumerate()
        .flat_map(|(number, said)| said.marks.iter().map(move |mark| (number, mark.clone())))
        .filter(|(_, mark)| last.is_none_or(|last| mark.frame <= last))
        .collect();
    marks.sort_by_key(|(number, mark)| (mark.frame, mark.own, *number));
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(marks: &[(usize, bool)]) -> Said {
        let mark = |(at, &(frame, own)): (usize, &(usize, bool))| Mark {
            frame,
            own,
            entries: at..at + 1,
        };
        Said {
            journal: Journal::default(),
            marks: marks.iter().enumerate().map(mark).collect(),
            exit: None,
            read: 0,
            last_frame: 0,
        }
    }

    #[test]
    fn frames_come_in_order_and_time_passes_before_the_frame() {
        let batch = [
            said(&[(0, true), (2, false), (5, true)]),
            said(&[(1, true), (2, true), (5, false)]),
        ];
        let order: Vec<_> = in_order(&batch, None)
            .into_iter()
            .map(|(number, mark)| (mark.frame, number))
            .collect();
        assert_eq!(order, [(0, 0), (1, 1), (2, 0), (2, 1), (5, 1), (5, 0)]);
    }

    #[test]
    fn nothing_is_said_after_the_last_frame() {
        let batch = [
            said(&[(0, true), (3, true)]),
            said(&[(2, true), (3, false)]),
        ];
        assert_eq!(in_order(&batch, Some(2)).len(), 2);
    }
}

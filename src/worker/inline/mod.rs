//! Rules on live traffic: one lane for each queue, and the thread that
//! supervises and writes.
//!
//! Order of a run: every lane loads its rules and opens its queue; when all
//! are ready a packet is sent through a queue in a network of its own; only
//! then is traffic diverted. At the end traffic is led past
//! the queues first, then the lanes empty them. Order of reading: this file,
//! then `lane`.

mod inlet;
mod lane;
mod stance;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use stance::Stances;

use super::journal::Journal;
use super::output::{Output, OutputError};
use super::replay::{self, ReplayError};
use crate::capture::inject;
use crate::capture::nfqueue::{self, QueueError};
use crate::core::Stats;
use crate::event::Level;
use crate::gateway::{self, Marks, Queues, Stance, selftest};
use lane::{Pulse, milliseconds};

/// Reports of one lane that may wait for the writer.
const QUEUED: usize = 64;
/// How often the supervisor looks at stop flags and pulses.
const TICK: Duration = Duration::from_millis(50);
/// A lane busy with one burst for so long is reported.
const STUCK: u64 = 2_000;
/// How long lanes may take to stop.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rules: replay::Plan,
    /// The queues, a lane each.
    pub queues: Queues,
    /// Packets that may wait in each queue.
    pub queue_length: u32,
    pub marks: Marks,
    pub stances: Stances,
    /// What to do to the firewall for the time of the run; nothing if the
    /// operator's own rules lead to the queues.
    pub setup: Option<gateway::Plan>,
    /// The tool to do it with; otherwise the first that works.
    pub backend: Option<gateway::Backend>,
}

impl Plan {
    /// What each queue is asked to be like.
    fn queue(&self, number: u16) -> nfqueue::Config {
        nfqueue::Config {
            number,
            fail_open: self.stances.on_overload == Stance::Open,
            length: self.queue_length,
            ..nfqueue::Config::default()
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// One for each lane.
    pub figures: Vec<Figures>,
    pub elapsed: Duration,
}

/// What a lane counted since its start.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub stats: Stats,
    pub queue: nfqueue::Counters,
    /// Of datagrams that came many in a packet and were taken apart.
    pub datagrams: nfqueue::Counters,
    pub injected: inject::Counters,
    /// Packets that belong to another lane by the hash of the firewall rules.
    pub wrong_worker: u64,
    /// Lines and alerts that could not be kept until they were written.
    pub lost_text: u64,
    /// Bytes that the Lua state uses.
    pub lua_memory: usize,
}

/// Why a run could not be made or finished.
#[derive(Debug, thiserror::Error)]
pub enum InlineError {
    #[error(transparent)]
    Rules(#[from] ReplayError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Inject(#[from] inject::OpenError),
    #[error(transparent)]
    Firewall(#[from] gateway::ChangeError),
    #[error(
        "rules lead to queue {queue} already, which process {holder} holds: stop it, or run without --setup"
    )]
    InUse { queue: u16, holder: u32 },
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("a worker ended early: this is a defect of Wero")]
    WorkerLost,
}

/// Who is told how a run goes.
pub trait Watcher {
    /// Rules are loaded and queues open; this is what the kernel granted.
    fn granted(&mut self, granted: &str);
    /// A packet was sent through a queue by the rule of a tool, or not.
    fn tested(&mut self, tool: gateway::Backend, outcome: &selftest::Outcome);
    /// Traffic is diverted.
    fn ready(&mut self, plan: &Plan, diverted: Option<&gateway::Applied>);
    /// New figures of a lane.
    fn figures(&mut self, lane: usize, figures: &Figures);
    /// Called often, for whoever shows something every now and then.
    fn tick(&mut self) {}
}

/// What lanes say.
enum Report {
    /// Rules are loaded, the queue is open: what the kernel granted.
    Ready(Journal, String),
    Said(usize, Journal),
    Figures(usize, Box<Figures>),
    /// A rule asked for the end.
    Exit,
    Ended(usize, Journal, Box<Figures>),
    Failed(usize, Journal, InlineError),
}

/// Runs the plan until `stop` is set or a rule asks for the end.
///
/// # Errors
/// When it cannot be started, or a lane or an output fails. The firewall is
/// as before then, too.
pub fn run(
    plan: &Plan,
    output: &mut Output,
    stop: &AtomicBool,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, InlineError> {
    let mut lanes = Lanes::start(plan)?;
    let begun = lanes.all_ready(output, watcher);
    if let Err(error) = begun {
        lanes.stop();
        return Err(error);
    }
    let mut diversion = match Diversion::begin(plan, watcher) {
        Ok(diversion) => diversion,
        Err(error) => {
            lanes.stop();
            return Err(error);
        }
    };
    lanes.know_spread(diversion.applied.as_ref());
    watcher.ready(plan, diversion.applied.as_ref());
    let start = Instant::now();
    let supervised = lanes.supervise(output, stop, watcher);
    // First no more packets come, then those that wait are judged. A run that
    // fails is no run that was stopped.
    let stance = match &supervised {
        Ok(()) => plan.stances.on_stop,
        Err(_) => plan.stances.on_crash,
    };
    let restored = diversion.end(plan, stance);
    lanes.stop();
    // What the others would still say matters less than why a run failed.
    supervised?;
    let figures = lanes.finish(output);
    restored?;
    Ok(Outcome {
        figures: figures?,
        elapsed: start.elapsed(),
    })
}

/// The firewall rules of this run; they go with it, however it ends.
struct Diversion {
    applied: Option<gateway::Applied>,
}

impl Diversion {
    fn begin(plan: &Plan, watcher: &mut dyn Watcher) -> Result<Diversion, InlineError> {
        let Some(setup) = &plan.setup else {
            return Ok(Diversion { applied: None });
        };
        let present = gateway::Present::read();
        refuse_a_second(plan, &present)?;
        let mut applied = gateway::apply_tested(setup, plan.backend, |tool| {
            let outcome = selftest::run(tool, &plan.queue(plan.queues.first()));
            watcher.tested(tool, &outcome);
            match outcome.fault() {
                None => Ok(()),
                Some(fault) => Err(format!("the self-test failed: {fault}")),
            }
        })?;
        if present.has_ours() {
            applied.remarks.push(
                "rules of `wero setup`, or of a run that was killed, were there: these take their place, and go at the end".to_owned(),
            );
        }
        Ok(Diversion {
            applied: Some(applied),
        })
    }

    fn end(&mut self, plan: &Plan, stance: Stance) -> Result<(), InlineError> {
        if self.applied.take().is_none() {
            return Ok(());
        }
        match (&plan.setup, stance) {
            (Some(setup), Stance::Closed) => gateway::close(setup, plan.backend)?,
            _ => gateway::clean()?,
        };
        Ok(())
    }
}

impl Drop for Diversion {
    fn drop(&mut self) {
        if self.applied.is_some() {
            // Only a panic leads here, which nobody can be told more of.
            let _ = gateway::clean();
        }
    }
}

/// Rules of ours can serve only one run in a namespace: the second would take
/// the first one's place.
fn refuse_a_second(plan: &Plan, present: &gateway::Present) -> Result<(), InlineError> {
    for (_, ours, (first, last)) in present.queue_rules() {
        let others = (first..=last).filter(|&queue| ours && !plan.queues.contains(queue));
        for queue in others {
            let Some(status) = nfqueue::status::queue(queue).ok().flatten() else {
                continue;
            };
            let holder = nfqueue::status::holder(status.port);
            let holder = holder.map_or(status.port, |process| process.id);
            return Err(InlineError::InUse { queue, holder });
        }
    }
    Ok(())
}

/// The threads of a run.
struct Lanes {
    threads: Vec<JoinHandle<()>>,
    pulses: Vec<Arc<Pulse>>,
    reports: Receiver<Report>,
    /// Lanes that were reported as stuck in the burst that began then.
    told_stuck: Vec<u64>,
    /// A rule asked for the end before all were ready.
    exits: bool,
}

impl Lanes {
    fn start(plan: &Plan) -> Result<Lanes, InlineError> {
        let (to_writer, reports) = sync_channel(QUEUED * usize::from(plan.queues.count()));
        let mut lanes = Lanes {
            threads: Vec::new(),
            pulses: Vec::new(),
            reports,
            told_stuck: vec![0; usize::from(plan.queues.count())],
            exits: false,
        };
        for (number, queue) in plan.queues.numbered() {
            let pulse = Arc::new(Pulse::default());
            let (plan, own, reports) = (plan.clone(), Arc::clone(&pulse), to_writer.clone());
            let thread = thread::Builder::new()
                .name(format!("queue {queue}"))
                .spawn(move || lane::run(&plan, number, queue, &own, &reports))
                .map_err(ReplayError::Engine)?;
            lanes.pulses.push(pulse);
            lanes.threads.push(thread);
        }
        Ok(lanes)
    }

    /// Waits until every lane has loaded its rules and opened its queue. All
    /// say the same while loading: it is written once.
    fn all_ready(
        &mut self,
        output: &mut Output,
        watcher: &mut dyn Watcher,
    ) -> Result<(), InlineError> {
        let mut ready = 0;
        while ready < self.threads.len() {
            match self.reports.recv() {
                Ok(Report::Ready(said, granted)) => {
                    if ready == 0 {
                        write(output, 0, &said)?;
                    }
                    ready += 1;
                    watcher.granted(&granted);
                }
                // Some are at work already while others still load.
                Ok(Report::Said(lane, said)) => write(output, lane, &said)?,
                Ok(Report::Figures(lane, figures)) => watcher.figures(lane, &figures),
                Ok(Report::Exit) => self.exits = true,
                Ok(Report::Failed(lane, said, error)) => {
                    write(output, lane, &said)?;
                    return Err(error);
                }
                Ok(Report::Ended(..)) | Err(_) => return Err(InlineError::WorkerLost),
            }
        }
        Ok(())
    }

    /// Writes what lanes say until the end is asked for.
    fn supervise(
        &mut self,
        output: &mut Output,
        stop: &AtomicBool,
        watcher: &mut dyn Watcher,
    ) -> Result<(), InlineError> {
        while !self.exits && !stop.load(Ordering::Relaxed) {
            let mut report = match self.reports.recv_timeout(TICK) {
                Ok(report) => Some(report),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Err(InlineError::WorkerLost),
            };
            while let Some(said) = report {
                match said {
                    Report::Said(lane, said) => write(output, lane, &said)?,
                    Report::Figures(lane, figures) => watcher.figures(lane, &figures),
                    Report::Exit => return Ok(()),
                    Report::Failed(lane, said, error) => {
                        write(output, lane, &said)?;
                        return Err(error);
                    }
                    Report::Ready(..) | Report::Ended(..) => {}
                }
                report = self.reports.try_recv().ok();
            }
            output.flush()?;
            if self.threads.iter().any(JoinHandle::is_finished) {
                return Err(InlineError::WorkerLost);
            }
            self.look_for_stuck(output)?;
            watcher.tick();
        }
        Ok(())
    }

    /// Tells of lanes that do not come to an end with what they do: rules
    /// are stopped by the watchdog, so this is the engine's own code, or a
    /// machine that gives the thread no time.
    fn look_for_stuck(&mut self, output: &mut Output) -> Result<(), OutputError> {
        let now = milliseconds();
        for (lane, (pulse, told)) in self.pulses.iter().zip(&mut self.told_stuck).enumerate() {
            let since = pulse.busy_since.load(Ordering::Relaxed);
            if since != 0 && since != *told && now.saturating_sub(since) > STUCK {
                *told = since;
                output.log(
                    Level::Warn,
                    "core",
                    &format!("worker {lane} has been busy with one burst of packets for more than {STUCK} ms; its queue waits"),
                )?;
            }
        }
        Ok(())
    }

    /// Tells lanes what the firewall does. The hash of nft is another one than
    /// ours, with a seed that nobody tells.
    fn know_spread(&self, applied: Option<&gateway::Applied>) {
        let known = applied.is_some_and(|applied| {
            applied.spread == Some(gateway::Spread::Flow)
                && applied.backend != Some(gateway::Backend::Nft)
        });
        let ours = applied.is_some() || gateway::Present::read().has_ours();
        for pulse in &self.pulses {
            let checks = known && self.pulses.len() > 1;
            pulse.known_spread.store(checks, Ordering::Relaxed);
            pulse.untracked.store(ours, Ordering::Relaxed);
        }
    }

    fn stop(&self) {
        for pulse in &self.pulses {
            pulse.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Waits for all lanes, which were stopped, and writes the rest of what
    /// they say.
    fn finish(mut self, output: &mut Output) -> Result<Vec<Figures>, InlineError> {
        let mut figures = vec![None; self.threads.len()];
        let deadline = Instant::now() + PATIENCE;
        while figures.iter().any(Option::is_none) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.reports.recv_timeout(left) {
                Ok(Report::Said(lane, said)) => write(output, lane, &said)?,
                Ok(Report::Ended(lane, said, own)) => {
                    write(output, lane, &said)?;
                    if let Some(place) = figures.get_mut(lane) {
                        *place = Some(*own);
                    }
                }
                Ok(Report::Failed(lane, said, error)) => {
                    write(output, lane, &said)?;
                    return Err(error);
                }
                Ok(_) => {}
                Err(_) => return Err(InlineError::WorkerLost),
            }
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                return Err(InlineError::WorkerLost);
            }
        }
        Ok(figures.into_iter().flatten().collect())
    }
}

fn write(output: &mut Output, lane: usize, said: &Journal) -> Result<(), OutputError> {
    output.write(lane, said, said.entries())
}

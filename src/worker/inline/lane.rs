//! One worker of the gateway: its queue, its engine, its rules, its thread.
//!
//! A burst of packets comes out of the queue (`inlet`), goes through the engine one by
//! one, and what the engine decided goes back in one message before the
//! thread waits again. Nothing here is shared with other lanes; what rules
//! say is handed to the thread that writes, which never holds a lane up.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant, SystemTime};

use super::inlet::{Inlets, Source};
use super::{Figures, InlineError, Plan, Report};
use crate::capture::conntrack::Tracking;
use crate::capture::inject::Injector;
use crate::capture::nfqueue::{QueueError, Queued};
use crate::engine::Departure;
use crate::event::{Level, Outward, Verdict};
use crate::gateway::{self, Marks, Stance};
use crate::packet::{Arrival, Devices, LinkType, Payload};
use crate::rule::Runtime;
use crate::time::Timestamp;
use crate::worker::journal::Journal;
use crate::worker::{Worker, replay};

/// Entries that a lane keeps while the writer is busy; beyond, they are lost
/// and counted.
const MAX_UNWRITTEN: usize = 1 << 16;
/// How often figures are published.
const FIGURES_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for a packet: the stop flag is looked at this often.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// Waits while something falls due soon or at once.
const SHORT_WAIT: Duration = Duration::from_millis(20);
const SHORTEST_WAIT: Duration = Duration::from_millis(4);
/// Longest time that verdicts may find no room to be sent.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time that a stopping lane takes what still waits in its queue.
const DRAIN: Duration = Duration::from_secs(1);

/// What the supervisor sees of a lane.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Milliseconds of the process's clock at which the burst under way
    /// began; 0 while the lane waits.
    pub busy_since: AtomicU64,
    /// Set to end the lane.
    pub stop: AtomicBool,
    /// Set while rules of ours keep packets out of connection tracking that
    /// have both bits of our mark.
    pub untracked: AtomicBool,
    /// Set while the firewall spreads flows by the hash that we know.
    pub known_spread: AtomicBool,
}

/// Milliseconds since some start of the process, from 1.
pub fn milliseconds() -> u64 {
    crate::worker::nanoseconds() / 1_000_000 + 1
}

/// Runs a lane to its end. What happens on the way goes to `reports`.
pub fn run(plan: &Plan, number: u16, queue: u16, pulse: &Pulse, reports: &SyncSender<Report>) {
    let journal = Rc::new(RefCell::new(Journal::default()));
    let loaded = replay::worker(&plan.rules, number.into(), &journal, journal.clone());
    let opened = loaded
        .map_err(InlineError::Rules)
        .and_then(|worker| Lane::open(plan, number, queue, worker));
    let said = journal.take();
    let mut lane = match opened {
        Ok(lane) => lane,
        Err(error) => {
            // The writer ends with the first failure.
            let _ = reports.send(Report::Failed(number.into(), said, error));
            return;
        }
    };
    let granted = lane.inlets.main().granted().to_string();
    if reports.send(Report::Ready(said, granted)).is_err() {
        return;
    }
    let outcome = lane.work(pulse, reports);
    let figures = Box::new(lane.close(reports));
    let said = lane.worker.journal().take();
    let _ = reports.send(match outcome {
        Ok(()) => Report::Ended(number.into(), said, figures),
        Err(error) => Report::Failed(number.into(), said, error),
    });
}

struct Lane {
    inlets: Inlets,
    exit: Exit,
    worker: Worker<Runtime>,
    number: u16,
    lanes: u16,
    monitor: bool,
    wrong_worker: u64,
    unwritten_lost: u64,
    published: Instant,
    /// A rule asked for the end, and nobody was told yet.
    exits: bool,
    clock: Clock,
    /// Since when verdicts cannot be sent, by queue.
    stuck: [Option<Instant>; 2],
    on_overload: Stance,
}

/// The way out of a lane, beside its queue.
struct Exit {
    injector: Injector,
    /// Nothing where the kernel has no connection tracking to ask.
    tracking: Option<Tracking>,
    marks: Marks,
    /// See [`Pulse::untracked`].
    untracked: bool,
}

impl Lane {
    fn open(
        plan: &Plan,
        number: u16,
        queue: u16,
        worker: Worker<Runtime>,
    ) -> Result<Lane, InlineError> {
        Ok(Lane {
            inlets: Inlets::open(plan, number, queue)?,
            exit: Exit {
                injector: Injector::open(plan.marks.injected())?,
                tracking: Tracking::open().ok(),
                marks: plan.marks,
                untracked: false,
            },
            worker,
            number,
            lanes: plan.queues.count(),
            monitor: plan.rules.wanted.monitor,
            wrong_worker: 0,
            unwritten_lost: 0,
            published: Instant::now(),
            exits: false,
            clock: Clock::start(),
            stuck: [None; 2],
            on_overload: plan.stances.on_overload,
        })
    }

    /// Takes packets until it is told to stop or a rule asks for the end.
    fn work(&mut self, pulse: &Pulse, reports: &SyncSender<Report>) -> Result<(), InlineError> {
        self.worker.begin();
        self.settle();
        while !pulse.stop.load(Ordering::Relaxed) {
            pulse.busy_since.store(0, Ordering::Relaxed);
            let taken = self.receive(self.wait())?;
            pulse.busy_since.store(milliseconds(), Ordering::Relaxed);
            self.bursts(taken, pulse)?;
            if taken == 0 {
                self.worker.idle();
            }
            self.say(reports);
            if self.worker.take_exit() {
                // The writer stops all lanes; if it has no room for this, it
                // hears of it with the next burst.
                self.exits = true;
            }
            if self.exits && reports.try_send(Report::Exit).is_ok() {
                self.exits = false;
            }
        }
        let begun = Instant::now();
        while begun.elapsed() < DRAIN {
            let taken = self.receive(SHORT_WAIT)?;
            if taken == 0 {
                break;
            }
            self.bursts(taken, pulse)?;
        }
        Ok(())
    }

    /// Takes a burst. Verdicts that find no room are kept and sent later; no
    /// packets are taken meanwhile.
    fn receive(&mut self, wait: Duration) -> Result<usize, InlineError> {
        let received = self.inlets.receive(wait);
        self.unless_stuck(Source::Main, received)
    }

    /// What was received; nothing where verdicts find no room, for a while.
    fn unless_stuck(
        &mut self,
        source: Source,
        received: Result<usize, QueueError>,
    ) -> Result<usize, InlineError> {
        let stuck = &mut self.stuck[source as usize];
        match received {
            Ok(taken) => {
                *stuck = None;
                Ok(taken)
            }
            Err(QueueError::Send { .. })
                if stuck.get_or_insert_with(Instant::now).elapsed() < PATIENCE =>
            {
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Judges a burst, and then the datagrams that packets of it were taken
    /// apart into.
    fn bursts(&mut self, taken: usize, pulse: &Pulse) -> Result<(), InlineError> {
        self.exit.untracked = pulse.untracked.load(Ordering::Relaxed);
        if pulse.known_spread.load(Ordering::Relaxed) {
            self.check_spread(taken);
        }
        let apart = self.worker.judges_datagrams();
        let mut from = 0;
        for index in 0..taken {
            if apart && self.inlets.is_bundle(index) {
                // What came before leaves before, and what comes behind, behind.
                self.burst(Source::Main, from..index);
                from = index;
                self.take_apart(index)?;
            }
        }
        self.burst(Source::Main, from..taken);
        self.judge_moved()?;
        self.worker.reach(self.clock.now());
        self.settle();
        Ok(())
    }

    fn take_apart(&mut self, index: usize) -> Result<(), InlineError> {
        if let Err(error) = self.inlets.take_apart(index) {
            self.worker.journal().borrow_mut().log(
                Level::Warn,
                "core",
                &format!("datagrams that come many in a packet pass unjudged: {error}"),
            );
        }
        self.judge_moved()
    }

    /// Judges the datagrams that a packet was taken apart into.
    fn judge_moved(&mut self) -> Result<(), InlineError> {
        while self.inlets.has_moved() {
            let moved = self.inlets.receive_moved();
            let moved = self.unless_stuck(Source::Aside, moved)?;
            if moved == 0 {
                break;
            }
            self.burst(Source::Aside, 0..moved);
        }
        Ok(())
    }

    fn burst(&mut self, source: Source, packets: Range<usize>) {
        let now = self.clock.now();
        if self.monitor
            && let Some(queue) = self.inlets.of(source)
        {
            for index in packets.clone() {
                let id = queue.packet(index).map(|packet| packet.id);
                if let Some(id) = id {
                    queue.accept(id, None);
                }
            }
            queue.flush();
        }
        for index in packets {
            self.take(now, source, index);
            self.settle();
        }
    }

    /// Counts packets that should have come to another lane.
    fn check_spread(&mut self, taken: usize) {
        let queue = self.inlets.main();
        for packet in (0..taken).filter_map(|index| queue.packet(index)) {
            let right = gateway::queue_of(packet.bytes, self.lanes);
            self.wrong_worker += u64::from(right.is_some_and(|right| right != self.number));
        }
    }

    /// Takes one packet of the burst through the engine.
    fn take(&mut self, now: Timestamp, source: Source, index: usize) {
        let Some(queue) = self.inlets.of(source) else {
            return;
        };
        let Some(packet) = queue.packet(index) else {
            return;
        };
        let facts = Queued {
            bytes: &[],
            ..packet
        };
        let number = self.inlets.number(source, facts.id);
        let (queue, _) = self.inlets.holder(number);
        let given = queue.give(index, || self.worker.spare_block());
        let Some(payload) = given.map(Payload::Given).or_else(|| {
            let packet = queue.packet(index)?;
            Some(Payload::Lent(packet.bytes))
        }) else {
            return;
        };
        let arrival = Arrival {
            link: LinkType::RAW,
            payload,
            wire_len: facts.wire_len,
            mark: facts.mark,
            devices: Devices {
                from: facts.in_device,
                to: facts.out_device,
            },
            offloaded: facts.offloaded,
            trusted: facts.partial_checksum || facts.checksum_verified,
        };
        if !self.worker.arrive(now, number, arrival) {
            // All that may be held is held.
            match self.on_overload {
                Stance::Open => queue.accept(facts.id, None),
                Stance::Closed => queue.refuse(facts.id),
            }
        }
    }

    /// Gives verdicts for everything that the engine is done with.
    fn settle(&mut self) {
        let (inlets, exit, monitor) = (&mut self.inlets, &mut self.exit, self.monitor);
        self.worker.outputs(|departure| {
            if !monitor {
                exit.leave(inlets, departure);
            }
        });
    }

    /// How long nothing falls due.
    fn wait(&self) -> Duration {
        if self.inlets.has_moved() {
            return SHORTEST_WAIT;
        }
        match self.worker.due_in(self.clock.now()) {
            Some(due) if due <= SHORT_WAIT => SHORTEST_WAIT,
            Some(due) if due <= IDLE_WAIT => SHORT_WAIT,
            _ => IDLE_WAIT,
        }
    }

    /// Hands what was said to the writer, if it has room.
    fn say(&mut self, reports: &SyncSender<Report>) {
        let journal = self.worker.journal();
        if !journal.borrow().is_empty() {
            match reports.try_send(Report::Said(self.number.into(), journal.take())) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full(report)) => {
                    if let Report::Said(_, said) = report {
                        self.unwritten_lost += journal.borrow_mut().restore(said, MAX_UNWRITTEN);
                    }
                }
            }
        }
        if self.published.elapsed() >= FIGURES_EVERY {
            self.published = Instant::now();
            // Figures that find no room are followed by newer ones.
            let _ = reports.try_send(Report::Figures(
                self.number.into(),
                Box::new(self.figures()),
            ));
        }
    }

    fn figures(&self) -> Figures {
        Figures {
            stats: self.worker.stats(),
            queue: *self.inlets.main().counters(),
            datagrams: self
                .inlets
                .aside()
                .map(|queue| *queue.counters())
                .unwrap_or_default(),
            injected: *self.exit.injector.counters(),
            wrong_worker: self.wrong_worker,
            lost_text: self.unwritten_lost,
            lua_memory: self.worker.listeners().memory(),
        }
    }

    /// Rules hear the end, and what is held leaves.
    fn close(&mut self, reports: &SyncSender<Report>) -> Figures {
        self.worker.finish_rules();
        self.worker.close_all();
        self.settle();
        self.inlets.flush();
        if self.unwritten_lost > 0 {
            let lost = self.unwritten_lost;
            self.worker.journal().borrow_mut().log(
                Level::Warn,
                "core",
                &format!(
                    "{lost} lines and alerts were lost: they came faster than they could be written"
                ),
            );
        }
        self.say(reports);
        self.figures()
    }
}

impl Exit {
    fn leave(&mut self, inlets: &mut Inlets, departure: &Departure<'_>) {
        let (queue, id) = inlets.holder(departure.id);
        let mark = departure
            .bypass
            .then(|| departure.mark | self.marks.bypass());
        match departure.verdict {
            Verdict::Accept => queue.accept(id, mark),
            Verdict::Rewrite => {
                if !queue.rewrite(id, mark, departure.bytes) {
                    queue.refuse(id);
                }
            }
            Verdict::Replace => {
                queue.refuse(id);
                self.inject(inlets, departure);
            }
            Verdict::Drop(_) => queue.refuse(id),
            Verdict::Inject => self.inject(inlets, departure),
        }
    }

    /// Sends a packet of our own, after all that was decided before it.
    fn inject(&mut self, inlets: &mut Inlets, departure: &Departure<'_>) {
        inlets.flush();
        let known = self
            .tracking
            .as_mut()
            .and_then(|tracking| tracking.knows(departure.bytes));
        let own = match known {
            Some(false) if self.untracked => self.marks.untracked(),
            _ => self.marks.injected(),
        };
        // What could not be sent is counted by the injector; a sender that
        // waits for it sends again.
        let mark = departure.mark | own;
        let _ = self
            .injector
            .send_through(departure.bytes, mark, departure.device);
    }
}

/// The time of day at the start, and what has passed since: nothing falls due
/// early or late because somebody sets the clock.
struct Clock {
    start: Timestamp,
    since: Instant,
}

impl Clock {
    fn start() -> Clock {
        let day = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            start: Timestamp(i64::try_from(day.as_nanos()).unwrap_or(i64::MAX)),
            since: Instant::now(),
        }
    }

    fn now(&self) -> Timestamp {
        self.start + self.since.elapsed()
    }
}

//! One thread: captures into the engine, what comes of them to the outputs.
//!
//! [`Worker`] owns an engine with its hooks and keeps what they say in a
//! journal; `replay` drives one worker over captures, `parallel` several,
//! with the same bytes and alerts out for rules that keep no globals.
//! `explain` and `profile` drive an engine whose rules are watched.
//! Order of reading: this file, `replay`, then `shard` and `parallel`.

pub mod captures;
pub mod explain;
pub mod inline;
pub mod journal;
pub mod output;
mod parallel;
pub mod profile;
pub mod replay;
mod shard;
mod terminal;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use captures::Frame;
use journal::{Entry, Journal};

use crate::addr::Addr;
use crate::alert::{Alert, Node, NodeKind, Severity};
use crate::core::Stats;
use crate::engine::{self, Departure, Engine, Shared};
use crate::event::notice::NativeAlert;
use crate::event::{
    EventKind, Hooks, Level, ListenerFailed, Loader, Notice, Outward, Settings, Verdict,
};
use crate::packet::Arrival;
use crate::rule::Runtime;
use crate::time::Timestamp;

/// The largest rule file or module that is loaded, in bytes.
const MAX_SOURCE: u64 = 16 << 20;

/// The largest file of data, such as a database of addresses.
const MAX_DATA: u64 = 1 << 30;

/// What a worker drives beside the engine: rules, or nobody.
pub trait Listeners: Hooks {
    /// Where a listener stands, as `file:line`, for those who ask.
    fn location(&self, listener: (EventKind, u32)) -> Option<String>;
    /// The first packet is about to come.
    fn started(&mut self) {}
    /// There will be no more packets.
    fn exiting(&mut self) {}
    /// There is nothing to do for a while.
    fn idle(&mut self) {}
    /// Whether a rule asked for the end since the last call.
    fn take_exit(&mut self) -> bool {
        false
    }
}

impl Listeners for Runtime {
    fn location(&self, listener: (EventKind, u32)) -> Option<String> {
        Runtime::location(self, listener)
    }
    fn started(&mut self) {
        Runtime::started(self);
    }
    fn exiting(&mut self) {
        Runtime::exiting(self);
    }
    fn idle(&mut self) {
        Runtime::idle(self);
    }
    fn take_exit(&mut self) -> bool {
        Runtime::take_exit(self)
    }
}

/// Hears nothing.
pub struct Nobody;

impl Hooks for Nobody {
    fn fire(&mut self, _: EventKind, _: u32) -> Result<(), (ListenerFailed, bool)> {
        Ok(())
    }
}

impl Listeners for Nobody {
    fn location(&self, _: (EventKind, u32)) -> Option<String> {
        None
    }
}

/// What a worker keeps of the packets themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Packets that leave, for an output capture.
    pub packets: bool,
    /// Packets that do not, with the rule that refused them.
    pub refusals: bool,
    /// Rules only look on: packets leave as they came, whatever rules decide,
    /// and none of theirs leave.
    pub monitor: bool,
}

/// An engine, its listeners, and what they say.
pub struct Worker<L> {
    engine: Shared,
    listeners: L,
    journal: Rc<RefCell<Journal>>,
    wanted: Wanted,
    now: Timestamp,
}

impl<L: Listeners> Worker<L> {
    /// A worker over an engine that `listeners` are attached to already.
    pub fn new(
        engine: Shared,
        listeners: L,
        journal: Rc<RefCell<Journal>>,
        wanted: Wanted,
    ) -> Worker<L> {
        Worker {
            engine,
            listeners,
            journal,
            wanted,
            now: Timestamp(i64::MIN),
        }
    }

    /// The journal, to be written out and cleared between frames.
    pub fn journal(&self) -> &RefCell<Journal> {
        &self.journal
    }

    pub fn started(&mut self) {
        self.listeners.started();
        self.run();
    }

    /// As [`Worker::started`], for those who take outputs themselves.
    pub fn begin(&mut self) {
        self.listeners.started();
        self.drive();
    }

    /// Nothing came for a while.
    pub fn idle(&mut self) {
        self.listeners.idle();
    }

    /// Takes a packet through the engine that waits for its verdict; see
    /// [`Worker::outputs`].
    /// False if there is no room for it: then it is the caller's.
    #[must_use]
    pub fn arrive(&mut self, now: Timestamp, number: u64, arrival: Arrival<'_>) -> bool {
        self.now = self.now.max(now);
        let taken = self
            .engine
            .borrow_mut()
            .handle_arrival(now, number, arrival);
        self.drive();
        taken
    }

    /// See [`Engine::judges_datagrams`].
    pub fn judges_datagrams(&self) -> bool {
        self.engine.borrow().judges_datagrams()
    }

    /// An empty block for a capture that gives its own away with a packet.
    pub fn spare_block(&mut self) -> Box<[u8]> {
        self.engine.borrow_mut().core.bufs.extents.spare_block()
    }

    /// As [`Worker::pass_time`], for those who take outputs themselves.
    pub fn reach(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let due = self.engine.borrow().poll_timeout();
        if due.is_some_and(|due| due <= self.now) {
            self.engine.borrow_mut().handle_timeout(self.now);
            self.drive();
        }
    }

    /// How soon something falls due.
    pub fn due_in(&self, now: Timestamp) -> Option<Duration> {
        Some(self.engine.borrow().poll_timeout()?.since(now))
    }

    /// Takes one frame through the engine.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        self.now = self.now.max(frame.timestamp);
        if self.wanted.monitor && self.wanted.packets {
            self.journal.borrow_mut().push_packet(
                frame.timestamp,
                frame.link,
                frame.wire_len,
                frame.bytes,
            );
        }
        let taken = self.engine.borrow_mut().handle_packet(
            frame.timestamp,
            frame.number,
            frame.link,
            frame.bytes,
            frame.wire_len,
        );
        debug_assert!(
            taken,
            "outputs are taken after every frame, so there is a slot"
        );
        self.run();
    }

    /// A frame went to another worker: its time counts here too, so that
    /// flows time out alike whatever the number of workers.
    #[inline]
    pub fn pass_time(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let due = self.engine.borrow().poll_timeout();
        if due.is_some_and(|due| due <= self.now) {
            self.engine.borrow_mut().handle_timeout(self.now);
            self.run();
        }
    }

    /// The capture ended: rules hear it, then everything still open is closed.
    pub fn finish(&mut self) {
        self.finish_rules();
        self.run();
        self.engine.borrow_mut().shutdown();
        self.run();
    }

    /// Rules hear that there are no more packets.
    pub fn finish_rules(&mut self) {
        let tells = self.engine.borrow().core.log.enabled(Level::Debug, "lua");
        if tells {
            self.journal
                .borrow_mut()
                .log(Level::Debug, "lua", "closing state");
        }
        self.listeners.exiting();
        self.drive();
    }

    /// Everything still open is closed; see [`Worker::outputs`].
    pub fn close_all(&mut self) {
        self.engine.borrow_mut().shutdown();
        self.drive();
    }

    pub fn take_exit(&mut self) -> bool {
        self.listeners.take_exit()
    }

    pub fn listeners(&self) -> &L {
        &self.listeners
    }

    pub fn stats(&self) -> Stats {
        self.engine.borrow().core.stats.clone()
    }

    fn run(&mut self) {
        self.drive();
        loop {
            let Some(output) = self.engine.borrow_mut().poll_output() else {
                break;
            };
            self.note(&self.engine.borrow().departure(&output));
            self.engine.borrow_mut().release_output(&output);
        }
    }

    /// Gives every packet that the engine is done with to `take`.
    pub fn outputs(&mut self, mut take: impl FnMut(&Departure<'_>)) {
        let mut engine = self.engine.borrow_mut();
        while let Some(output) = engine.poll_output() {
            take(&engine.departure(&output));
            engine.release_output(&output);
        }
    }

    /// Runs the engine until its work is done.
    fn drive(&mut self) {
        let (journal, now) = (&self.journal, self.now);
        engine::run(&self.engine, &mut self.listeners, &mut |notice| {
            let mut journal = journal.borrow_mut();
            match notice {
                Notice::Log {
                    level,
                    section,
                    text,
                } => journal.log(level, section, &text),
                Notice::Alert(alert) => {
                    journal.push(Entry::NativeAlert(Box::new(told(alert, now))))
                }
            }
        });
    }

    /// Keeps what is wanted of a packet that leaves or is refused.
    fn note(&self, departure: &Departure<'_>) {
        if let Verdict::Drop(reason) = departure.verdict {
            if self.wanted.refusals {
                let rule = departure
                    .listener
                    .and_then(|listener| self.listeners.location(listener));
                self.journal.borrow_mut().push(Entry::Refused {
                    frame: departure.id,
                    reason,
                    rule,
                });
            }
            return;
        }
        if !self.wanted.packets || self.wanted.monitor {
            return;
        }
        // A packet of our own has the time of the one that it answers, and
        // what was changed is as long as it is now.
        let (timestamp, wire_len) = match departure.verdict {
            Verdict::Accept => (departure.timestamp, departure.wire_len),
            Verdict::Inject => (self.now, departure.bytes.len() as u32),
            _ => (departure.timestamp, departure.bytes.len() as u32),
        };
        self.journal
            .borrow_mut()
            .push_packet(timestamp, departure.link, wire_len, departure.bytes);
    }
}

/// Nanoseconds of a clock that never goes back, from some start on.
fn nanoseconds() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes an engine that several owners on this thread can share.
///
/// # Errors
/// When the kernel refuses the address space of the arenas.
pub fn shared_engine(settings: Settings) -> io::Result<Shared> {
    Ok(Rc::new(RefCell::new(Engine::new(settings)?)))
}

/// An alert of the engine's own as a record, still without id.
fn told(alert: NativeAlert, time: Timestamp) -> Alert {
    let node = |kind, value| Node {
        kind,
        values: vec![value],
    };
    let nodes = |(addr, service): (Addr, Option<String>)| {
        let mut nodes = vec![node(NodeKind::Address, addr.to_string())];
        nodes.extend(service.map(|service| node(NodeKind::Service, service)));
        nodes
    };
    let (sources, targets) = match alert.endpoints {
        Some([source, target]) => (Some(nodes(source)), Some(nodes(target))),
        None => (None, None),
    };
    Alert {
        time,
        severity: alert.severity_low.then_some(Severity::Low),
        description: Some(alert.description),
        sources,
        targets,
        ..Alert::default()
    }
}

/// Reads rule files, modules and data from the file system: whatever regular
/// files the process may read, up to a size.
pub struct Files;

impl Loader for Files {
    fn read(&mut self, path: &str) -> io::Result<Vec<u8>> {
        read_file(path, MAX_SOURCE, "larger than 16 MiB: no rule file")
    }

    fn data(&mut self, path: &str) -> io::Result<Arc<[u8]>> {
        let mut kept = KEPT_DATA.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(data) = kept.get(path).and_then(Weak::upgrade) {
            return Ok(data);
        }
        let data: Arc<[u8]> = read_file(path, MAX_DATA, "larger than 1 GiB")?.into();
        kept.retain(|_, data| data.strong_count() > 0);
        kept.insert(path.to_owned(), Arc::downgrade(&data));
        Ok(data)
    }

    fn write_graph(&mut self, name: &str, text: &[u8]) -> io::Result<()> {
        std::fs::write(name, text)
    }
}

/// Data that some worker still holds: the others share it.
static KEPT_DATA: Mutex<BTreeMap<String, Weak<[u8]>>> = Mutex::new(BTreeMap::new());

fn read_file(path: &str, most: u64, too_large: &str) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(io::Error::other(too_large));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_native_alert_names_its_ends() {
        let alert = told(
            NativeAlert {
                severity_low: true,
                description: "no connection found for tcp packet".to_owned(),
                endpoints: Some([
                    (Addr::v4([10, 0, 0, 1]), Some("tcp/1234".to_owned())),
                    (Addr::v4([10, 0, 0, 2]), None),
                ]),
            },
            Timestamp(5),
        );
        assert_eq!(
            (alert.severity, alert.time),
            (Some(Severity::Low), Timestamp(5))
        );
        let values = |nodes: Option<Vec<Node>>| {
            nodes
                .into_iter()
                .flatten()
                .flat_map(|node| node.values)
                .collect::<Vec<_>>()
        };
        assert_eq!(values(alert.sources), ["10.0.0.1", "tcp/1234"]);
        assert_eq!(values(alert.targets), ["10.0.0.2"]);
    }

    #[test]
    fn only_regular_files_are_loaded() {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let path = folder.path().join("rule.lua");
        std::fs::write(&path, b"return 1").expect("the folder is writable");
        assert_eq!(
            Files
                .read(&path.display().to_string())
                .expect("the file is there"),
            b"return 1"
        );
        assert!(Files.read(&folder.path().display().to_string()).is_err());
        assert!(Files.read("/nonexistent.lua").is_err());
    }

    #[test]
    fn data_are_read_once_and_shared() {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let path = folder.path().join("countries.dat");
        std::fs::write(&path, b"data").expect("the folder is writable");
        let path = path.display().to_string();
        let first = Files.data(&path).expect("the file is there");
        let second = Files.data(&path).expect("the file is there");
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, second));
        std::fs::write(&path, b"newer").expect("the folder is writable");
        let later = Files.data(&path).expect("the file is there");
        assert_eq!(&*later, b"newer");
        assert!(Files.data("/nonexistent").is_err());
    }
}

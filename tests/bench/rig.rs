//! A worker as `wero replay` runs it, with a rule file and no output.
//!
//! JIT compiler, budgets, profile and every setting are the defaults. What
//! rules say is forgotten after each frame, but for what they print at the
//! end of a pass: a rule proves there that it did its work.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use wero::capture::file::CaptureReader;
use wero::event::{EventKind, Hooks, Level, ListenerFailed, Profile, Settings};
use wero::lua::Limits;
use wero::packet::LinkType;
use wero::rule::{Options, Runtime};
use wero::time::Timestamp;
use wero::worker::captures::Frame;
use wero::worker::journal::{Entry, Journal};
use wero::worker::{Files, Listeners, Wanted, Worker, shared_engine};

use crate::clock::cpu_nanos;
use crate::synthetic::Batch;

/// Packet time between two passes over the same file: whatever the first
/// left behind has timed out.
const BETWEEN_PASSES: Duration = Duration::from_secs(2 * 3600);

/// The folder of the rule files.
pub fn rules(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/bench/rules")
        .join(name)
}

/// A worker and what it cost.
pub struct Rig {
    worker: Worker<Watched>,
    journal: Rc<RefCell<Journal>>,
    heap: Rc<RefCell<usize>>,
    shift: Duration,
    /// The latest packet time.
    now: Timestamp,
    frames: u64,
    /// The first that was logged.
    error: Option<String>,
}

/// One pass over a capture.
pub struct Pass {
    pub nanos: u64,
    pub packets: u64,
    /// What the rule file printed at its end, or why the pass is void.
    pub said: String,
}

impl Rig {
    /// # Panics
    /// When the rule file does not load: there is nothing to measure then.
    pub fn new(rule_file: &str) -> Rig {
        let settings = Settings::new(Profile::Wero);
        let engine = shared_engine(settings).expect("there is address space for the arenas");
        let journal = Rc::new(RefCell::new(Journal::default()));
        let options = Options {
            rule_file: rules(rule_file),
            module_dirs: Vec::new(),
            limits: Limits::default(),
            thread: 0,
            colour: false,
            time_text: wero::sink::ctime,
        };
        let runtime = Runtime::load(&engine, &options, Box::new(Files), journal.clone())
            .unwrap_or_else(|error| panic!("{rule_file}: {error}"));
        let heap = Rc::new(RefCell::new(0));
        let watched = Watched {
            runtime,
            heap: Rc::clone(&heap),
        };
        let mut worker = Worker::new(engine, watched, journal.clone(), Wanted::default());
        worker.started();
        journal.borrow_mut().clear();
        Rig {
            worker,
            journal,
            heap,
            shift: Duration::ZERO,
            now: Timestamp(0),
            frames: 0,
            error: None,
        }
    }

    /// From opening the file to the last verdict and the end of every flow.
    pub fn pass(&mut self, capture: &Path) -> Pass {
        let start = cpu_nanos();
        let mut reader = CaptureReader::open(capture).expect("the capture was there");
        let mut packets = 0;
        while let Some(record) = reader.next().expect("the capture is sound") {
            packets = record.frame;
            self.now = record.timestamp + self.shift;
            self.worker.frame(&Frame {
                number: packets,
                timestamp: self.now,
                link: record.link,
                bytes: record.bytes,
                wire_len: record.orig_len,
                read: 0,
                file: 0,
            });
            self.forget();
        }
        self.worker.finish();
        let nanos = cpu_nanos() - start;
        self.shift += BETWEEN_PASSES;
        let said = self.said();
        Pass {
            nanos,
            packets,
            said: self.void().unwrap_or(said),
        }
    }

    /// Runs the packets of a batch, `gap` of packet time apart; gives the
    /// CPU time in nanoseconds.
    pub fn feed(&mut self, batch: &Batch, gap: Duration) -> u64 {
        let start = cpu_nanos();
        for bytes in batch.frames() {
            self.frames += 1;
            self.now = self.now + gap;
            self.worker.frame(&Frame {
                number: self.frames,
                timestamp: self.now,
                link: LinkType::ETHERNET,
                bytes,
                wire_len: bytes.len() as u32,
                read: 0,
                file: 0,
            });
            self.forget();
        }
        cpu_nanos() - start
    }

    /// Clears the journal, but for the first error.
    #[inline]
    fn forget(&mut self) {
        let mut journal = self.journal.borrow_mut();
        if journal.is_empty() {
            return;
        }
        if self.error.is_none() {
            self.error = first_error(&journal);
        }
        journal.clear();
    }

    /// Bytes that the Lua state uses.
    pub fn heap(&mut self) -> usize {
        self.worker.take_exit();
        *self.heap.borrow()
    }

    /// Why the figures do not mean what they say, if they do not: a packet
    /// was refused, a rule failed, or the flow table was full.
    pub fn void(&self) -> Option<String> {
        let stats = self.worker.stats();
        let counts = [
            ("packets refused", stats.drops.total()),
            ("rule errors", stats.rule_errors),
            ("flows evicted", stats.flows_evicted),
            ("flows refused", stats.flows_refused),
        ];
        let (what, count) = counts.into_iter().find(|&(_, count)| count > 0)?;
        let error = self.error.as_deref().unwrap_or_default();
        Some(format!("void: {what}: {count} {error}"))
    }

    /// What was printed since the journal was cleared.
    fn said(&mut self) -> String {
        let mut text = Vec::new();
        let journal = self.journal.borrow();
        for entry in journal.entries() {
            if let Entry::Print { text: range, .. } = entry {
                text.extend_from_slice(journal.bytes(range));
            }
        }
        drop(journal);
        self.forget();
        String::from_utf8_lossy(&text).trim().replace('\n', " ")
    }
}

fn first_error(journal: &Journal) -> Option<String> {
    journal.entries().iter().find_map(|entry| match entry {
        Entry::Log {
            level: Level::Error,
            text,
            ..
        } => Some(text.clone()),
        _ => None,
    })
}

/// The rules, and how much memory they used when last asked.
struct Watched {
    runtime: Runtime,
    heap: Rc<RefCell<usize>>,
}

impl Hooks for Watched {
    #[inline]
    fn fire(&mut self, kind: EventKind, subject: u32) -> Result<(), (ListenerFailed, bool)> {
        self.runtime.fire(kind, subject)
    }
}

impl Listeners for Watched {
    fn location(&self, listener: (EventKind, u32)) -> Option<String> {
        self.runtime.location(listener)
    }
    fn started(&mut self) {
        self.runtime.started();
    }
    fn exiting(&mut self) {
        self.runtime.exiting();
    }
    fn take_exit(&mut self) -> bool {
        self.heap.replace(self.runtime.memory());
        self.runtime.take_exit()
    }
}

//! The program under test: `wero run` in the gateway's namespace, or another.
//!
//! The only place that knows its flags.

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tempfile::TempDir;

use crate::namespace::{self, Namespace};
use crate::process::{self, Process};

/// From the start to the diversion of traffic, on a busy machine.
const READY: Duration = Duration::from_secs(20);

/// From the signal to the end.
const STOP: Duration = Duration::from_secs(10);

/// How it is to be run; what is not said is left to its defaults.
pub struct Run<'a> {
    namespace: &'a Namespace,
    setup: &'static str,
    rules: Rules,
    workers: Option<u32>,
    /// Rules may take longer than by default.
    generous: bool,
    flags: Vec<String>,
}

enum Rules {
    /// A file of `tests/live/rules`.
    File(&'static str),
    Text(String),
}

/// A stance towards traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    Open,
    Closed,
}

impl Stance {
    fn word(self) -> &'static str {
        match self {
            Stance::Open => "open",
            Stance::Closed => "closed",
        }
    }
}

impl<'a> Run<'a> {
    /// Forwarded traffic of a namespace, without a rule.
    pub fn gateway(namespace: &'a Namespace) -> Run<'a> {
        Run {
            namespace,
            setup: "gateway",
            rules: Rules::Text("-- Nothing is asked.\n".to_string()),
            workers: None,
            generous: true,
            flags: Vec::new(),
        }
    }

    /// What a host receives and sends itself.
    pub fn host(namespace: &'a Namespace) -> Run<'a> {
        Run {
            setup: "host",
            ..Run::gateway(namespace)
        }
    }

    /// What the bridges of a namespace pass on.
    pub fn bridge(namespace: &'a Namespace) -> Run<'a> {
        Run {
            setup: "bridge",
            ..Run::gateway(namespace)
        }
    }

    pub fn rules(mut self, file: &'static str) -> Run<'a> {
        self.rules = Rules::File(file);
        self
    }

    pub fn rule_text(mut self, text: impl Into<String>) -> Run<'a> {
        self.rules = Rules::Text(text.into());
        self
    }

    pub fn workers(mut self, count: u32) -> Run<'a> {
        self.workers = Some(count);
        self
    }

    /// Rules have the time that is theirs by default.
    pub fn default_budget(mut self) -> Run<'a> {
        self.generous = false;
        self
    }

    pub fn monitor(self) -> Run<'a> {
        self.flag("--monitor")
    }

    pub fn on_crash(self, stance: Stance) -> Run<'a> {
        self.flag("--on-crash").flag(stance.word())
    }

    pub fn on_overload(self, stance: Stance) -> Run<'a> {
        self.flag("--on-overload").flag(stance.word())
    }

    pub fn on_stop(self, stance: Stance) -> Run<'a> {
        self.flag("--on-stop").flag(stance.word())
    }

    pub fn on_rule_error(self, stance: Stance) -> Run<'a> {
        self.flag("--on-rule-error").flag(stance.word())
    }

    /// Flows skip the queue behind so many bytes.
    pub fn bypass_after(self, size: &str) -> Run<'a> {
        self.flag("--bypass-after").flag(size)
    }

    fn flag(mut self, flag: &str) -> Run<'a> {
        self.flags.push(flag.to_string());
        self
    }

    /// Returns when traffic is diverted.
    pub fn start(self) -> Result<Wero, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("temporary folder: {error}"))?;
        let rules = match &self.rules {
            Rules::File(name) => PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join("tests/live/rules")
                .join(name),
            Rules::Text(text) => {
                let path = folder.path().join("rule.lua");
                fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
                path
            }
        };
        let mut command = namespace::outside(program());
        command.arg("run").arg(rules);
        match self.workers {
            Some(count) => command.args(["--workers", &count.to_string()]),
            None => command.args(["-q", "0"]),
        };
        command.args(["--setup", self.setup, "--namespace", &self.namespace.name]);
        if self.generous {
            // What was built for development is slow, and the machine may be
            // busy with other tests.
            command.args(["--event-budget", "200ms"]);
        }
        command.args(&self.flags);
        let mut process = Process::start(&mut command)?;
        process.wait_until("ready", READY, |process| process.errors.count("ready") > 0)?;
        Ok(Wero {
            process,
            namespace: self.namespace.name.clone(),
            _folder: folder,
        })
    }
}

/// A running program; stopped when it is dropped. What it leaves in the
/// firewall goes with the namespace.
pub struct Wero {
    pub process: Process,
    namespace: String,
    _folder: TempDir,
}

impl Wero {
    /// Stops it as a person does, with Ctrl-C.
    pub fn stop(&mut self) -> Result<(), String> {
        self.end(libc::SIGINT)
    }

    /// Stops it as a service manager does.
    pub fn terminate(&mut self) -> Result<(), String> {
        self.end(libc::SIGTERM)
    }

    fn end(&mut self, signal: i32) -> Result<(), String> {
        self.process.signal(signal);
        let status: ExitStatus = self.process.wait(STOP)?;
        if !status.success() {
            let words = self.process.last_words();
            return Err(format!("wero stopped with {status}: {words}"));
        }
        for name in NEVER {
            let count = self.counter(name)?;
            if count > 0 {
                return Err(format!("{count} {name}"));
            }
        }
        Ok(())
    }

    pub fn kill(&mut self) -> Result<(), String> {
        self.process.signal(libc::SIGKILL);
        self.process.wait(STOP).map(drop)
    }

    /// Returns when it stands still.
    pub fn pause(&mut self) -> Result<(), String> {
        self.process.signal(libc::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.process.pid());
        let stands = move |_: &Process| {
            let Ok(listing) = fs::read_dir(&tasks) else {
                return false;
            };
            listing.flatten().all(|task| {
                let stat = fs::read_to_string(task.path().join("stat"));
                // The state follows the name in brackets.
                stat.is_ok_and(|stat| {
                    let state = stat.rsplit(") ").next().unwrap_or_default();
                    state.starts_with('T')
                })
            })
        };
        self.process.wait_until("standing still", STOP, stands)
    }

    pub fn resume(&mut self) {
        self.process.signal(libc::SIGCONT);
    }

    /// Takes away what a killed run left in the firewall.
    pub fn clean(&self) -> Result<String, String> {
        clean(&self.namespace)
    }

    /// Resident memory, in KiB.
    pub fn memory(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.process.pid());
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|value| value.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("{path}: no VmRSS"))
    }

    /// Processor time of its threads so far.
    pub fn processor_time(&self) -> Result<Duration, String> {
        let path = format!("/proc/{}/stat", self.process.pid());
        let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The name in brackets may hold spaces; what follows it does not.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Waits until it has written a line with this text.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> Result<(), String> {
        let what = format!("saying {text:?}");
        self.process.wait_until(&what, patience, |process| {
            process.output.count(text) + process.errors.count(text) > 0
        })
    }

    /// How many lines with this text it has written.
    pub fn count(&self, text: &str) -> usize {
        self.process.output.count(text) + self.process.errors.count(text)
    }

    /// A counter of the summary that a run ends with, of all workers. What is
    /// not shown is zero.
    pub fn counter(&self, name: &str) -> Result<u64, String> {
        let lines = self.process.errors.all();
        let mut summary = lines
            .iter()
            .filter(|line| line.starts_with("worker "))
            .peekable();
        if summary.peek().is_none() {
            let words = self.process.last_words();
            return Err(format!("no summary of the workers: {words}"));
        }
        // `worker 0: 1,200 packets, 3 lost before us`.
        let entries = summary.flat_map(|line| {
            let list = line.split_once(": ").map_or("", |(_, list)| list);
            list.split(", ")
        });
        let counts = entries
            .filter_map(|entry| entry.split_once(' '))
            .filter(|(_, known)| *known == name)
            .filter_map(|(count, _)| count.replace(',', "").parse::<u64>().ok());
        Ok(counts.sum())
    }
}

impl Drop for Wero {
    /// A case that failed wants to show the summary.
    fn drop(&mut self) {
        self.process.signal(libc::SIGCONT);
        self.process.signal(libc::SIGINT);
        drop(self.process.wait(Duration::from_secs(2)));
    }
}

/// What no run may count, whatever its rules do.
const NEVER: [&str; 3] = ["wrong_worker", "malformed messages", "errors of the queue"];

/// `wero setup --clean` in a namespace.
pub fn clean(namespace: &str) -> Result<String, String> {
    let mut command = namespace::outside(program());
    process::run(command.args(["setup", "--clean", "--namespace", namespace]))
}

/// What was built for this test, or what the environment names.
pub fn program() -> PathBuf {
    let other = std::env::var_os("WERO_LIVE_PROGRAM");
    other.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_wero")), PathBuf::from)
}

//! `wero profile`: what each rule costs.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Failure;
use super::explain::duration;
use super::failure::check_order;
use super::options::EngineOptions;
use crate::lua::profile::{Abort, Cost, SpanName};
use crate::worker::Wanted;
use crate::worker::captures::Captures;
use crate::worker::profile::{Profile, baseline, profile};
use crate::worker::replay::Plan;

/// Measure what each rule costs.
///
/// Replays the captures with one worker. What rules print, log and alert is
/// not shown. Times are of the wall clock. A rule's time is its own: rules that
/// run inside it count for themselves; an event's is that of its listeners too.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rule file.
    #[arg(value_name = "RULES.lua")]
    rules: PathBuf,
    /// Captures: pcap or pcapng, also compressed with gzip or zstd.
    #[arg(value_name = "CAPTURE", required = true)]
    captures: Vec<PathBuf>,
    /// Write samples as folded stacks, for flame graphs.
    #[arg(long, value_name = "FILE")]
    folded: Option<PathBuf>,
    /// One JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Do not replay a second time to find out what measuring costs.
    #[arg(long)]
    no_overhead: bool,
    #[command(flatten)]
    engine: EngineOptions,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_order(&arguments.rules, &arguments.captures)?;
    let plan = Plan {
        settings: arguments.engine.settings(),
        rule_file: arguments.rules.clone(),
        module_dirs: Vec::new(),
        limits: arguments.engine.limits(),
        levels: Vec::new(),
        wanted: Wanted::default(),
        workers: 1,
    };
    // Standard input cannot be read twice.
    let repeatable = arguments
        .captures
        .iter()
        .all(|path| path.as_os_str() != "-");
    let plain = if repeatable && !arguments.no_overhead {
        Some(baseline(&plan, Captures::open(&arguments.captures)?)?)
    } else {
        None
    };
    let measured = profile(&plan, Captures::open(&arguments.captures)?)?;
    if let Some(path) = &arguments.folded {
        write_folded(path, &measured)?;
    }
    let report = Report::of(&measured, plain.map(|time| time.as_secs_f64()));
    let text = if arguments.json {
        serde_json::to_string(&report).map(|text| text + "\n")
    } else {
        Ok(report.text())
    };
    let written = text
        .map_err(io::Error::from)
        .and_then(|text| io::stdout().write_all(text.as_bytes()));
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.map_err(|error| Failure::new(Failure::IO, error.to_string()))?,
    }
    Failure::of_captures(&measured.faults).map_or(Ok(()), Err)
}

fn write_folded(path: &Path, profile: &Profile) -> Result<(), Failure> {
    let mut text = String::new();
    for (stack, samples) in &profile.stacks {
        let _ = writeln!(text, "{stack} {samples}");
    }
    fs::write(path, text).map_err(|error| {
        Failure::new(
            Failure::NO_OUTPUT,
            format!("cannot create '{}': {error}", path.display()),
        )
    })
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    packets: u64,
    seconds: f64,
    /// Of a run without measuring, and how much longer the measured one took.
    seconds_unmeasured: Option<f64>,
    overhead: Option<f64>,
    rules: Vec<Row>,
    events: Vec<Row>,
    samples: u64,
    trace_aborts: &'a [Abort],
}

/// Figures of a rule, or of the delivery of an event. Times are nanoseconds.
#[derive(Debug, Serialize)]
struct Row {
    kind: &'static str,
    name: String,
    location: String,
    event: String,
    calls: u64,
    failed: u64,
    total_ns: u64,
    mean_ns: u64,
    p99_ns: u64,
    max_ns: u64,
    memory_bytes: u64,
    /// Of the time of all rows of its table, from 0 to 1.
    share: f64,
}

impl Row {
    fn of(cost: &Cost) -> Row {
        let (kind, name, location) = match &cost.span {
            SpanName::Event(name) => ("event", name.clone(), String::new()),
            SpanName::Rule { name, location } => ("rule", name.clone(), location.clone()),
            SpanName::Member { location } => ("member", String::new(), location.clone()),
            SpanName::Policy { name, location } => ("policy", name.clone(), location.clone()),
        };
        Row {
            kind,
            name,
            location,
            event: cost.event.clone().unwrap_or_default(),
            calls: cost.calls,
            failed: cost.failed,
            total_ns: cost.time,
            mean_ns: cost.time.checked_div(cost.calls).unwrap_or(0),
            p99_ns: cost.times.percentile(99),
            max_ns: cost.times.max(),
            memory_bytes: cost.memory,
            share: 0.0,
        }
    }
}

impl<'a> Report<'a> {
    fn of(profile: &'a Profile, plain: Option<f64>) -> Report<'a> {
        let seconds = profile.elapsed.as_secs_f64();
        let (events, rules): (Vec<Row>, Vec<Row>) = profile
            .costs
            .iter()
            .map(Row::of)
            .partition(|row| row.kind == "event");
        Report {
            packets: profile.stats.packets,
            seconds,
            seconds_unmeasured: plain,
            overhead: plain
                .filter(|plain| *plain > 0.0)
                .map(|plain| seconds / plain),
            rules: sorted(rules),
            events: sorted(events),
            samples: profile.stacks.iter().map(|(_, samples)| samples).sum(),
            trace_aborts: &profile.aborts,
        }
    }

    fn text(&self) -> String {
        let mut text = String::from("rules\n");
        text.push_str(&table(&self.rules));
        text.push_str("\nevents, with their listeners\n");
        text.push_str(&table(&self.events));
        text.push_str("\ntraces that LuaJIT gave up\n");
        if self.trace_aborts.is_empty() {
            text.push_str("  none\n");
        }
        for abort in self.trace_aborts {
            let _ = writeln!(
                text,
                "  {:>6}  {}: {}",
                abort.count, abort.location, abort.reason
            );
        }
        let _ = writeln!(
            text,
            "\n{} packets in {:.3} s, {} samples",
            self.packets, self.seconds, self.samples
        );
        match (self.overhead, self.seconds_unmeasured) {
            (Some(overhead), Some(plain)) => {
                let _ = writeln!(
                    text,
                    "overhead: {overhead:.2} times the {plain:.3} s of a run without measuring"
                );
            }
            _ => text.push_str("overhead: not measured\n"),
        }
        text
    }
}

/// The costliest first.
fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    let total: u64 = rows.iter().map(|row| row.total_ns).sum();
    for row in &mut rows {
        row.share = row.total_ns as f64 / total.max(1) as f64;
    }
    rows.sort_by(|a, b| {
        let key = |row: &Row| (row.location.clone(), row.name.clone());
        b.total_ns
            .cmp(&a.total_ns)
            .then_with(|| key(a).cmp(&key(b)))
    });
    rows
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "  none ran\n".to_owned();
    }
    let mut text = format!(
        "  {:>6}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>10}  {}\n",
        "share", "calls", "total", "mean", "p99", "max", "memory", "where"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "  {:>5.1}%  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>10}  {}",
            row.share * 100.0,
            row.calls,
            duration(row.total_ns),
            duration(row.mean_ns),
            duration(row.p99_ns),
            duration(row.max_ns),
            memory(row.memory_bytes),
            place(row)
        );
    }
    text
}

fn place(row: &Row) -> String {
    let mut text = match (row.kind, row.location.as_str(), row.name.as_str()) {
        ("event", _, name) => return name.to_owned(),
        ("rule", location, "") => location.to_owned(),
        (kind, location, "") => format!("{location} {kind}"),
        ("rule", location, name) => format!("{location} '{name}'"),
        (kind, "", name) => format!("{kind} '{name}'"),
        (kind, location, name) => format!("{location} {kind} '{name}'"),
    };
    if !row.event.is_empty() {
        let _ = write!(text, " on {}", row.event);
    }
    if row.failed > 0 {
        let _ = write!(text, ", {} failed", row.failed);
    }
    text
}

fn memory(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

//! Real captures with independent answers: `wero flows --json` on each, its
//! TCP bytes compared with the answers.
//!
//! The corpus is no part of this repository; it is looked for in
//! `$WERO_CORPUS`, by default `../shared/corpus`. What is judged, and what is
//! left to policy, its README says; `corpus/oracle.rs` follows it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use judge::{Difference, Flow, Score};
use oracle::Stream;

#[path = "support/captures.rs"]
mod captures;
#[path = "corpus/judge.rs"]
mod judge;
#[path = "corpus/oracle.rs"]
mod oracle;

const LEAST_EQUAL_PERCENT: f64 = 99.5;
const AT_A_TIME: usize = 2;
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// The exit code for input that is damaged (`EX_DATAERR`).
const DAMAGED_INPUT: i32 = 65;

#[test]
fn streams_are_what_the_answers_say() {
    let Some(corpus) = corpus() else { return };
    let report = judge_all(&corpus.captures(), Expectation::AsAnswered);
    report.print("corpus");
    report.assert_good();
}

/// Rewrites of a few captures (sequence wrap, one-byte segments, overlap,
/// fragments, tunnels, other containers) leave every byte stream as it is.
#[test]
fn variants_change_no_stream() {
    let Some(corpus) = corpus() else { return };
    let report = judge_all(&corpus.variants(), Expectation::AsBase);
    report.print("corpus variants");
    report.assert_good();
}

struct Corpus(PathBuf);

/// A capture and the name of the answers that hold for it.
struct Subject {
    path: PathBuf,
    answers: PathBuf,
    answers_for: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expectation {
    AsAnswered,
    /// The answers are those of the capture that this one was made from.
    AsBase,
}

/// Where the corpus is; says so when it is nowhere.
fn corpus() -> Option<Corpus> {
    if let Some(folder) = captures::corpus() {
        return Some(Corpus(folder));
    }
    say("skipped: no corpus");
    None
}

impl Corpus {
    fn captures(&self) -> Vec<Subject> {
        let listing = fs::read_dir(self.0.join("captures")).expect("the corpus holds captures");
        let mut names: Vec<String> = listing
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name != "manifest.tsv")
            .collect();
        names.sort();
        names
            .iter()
            .map(|name| self.subject("captures", name, name))
            .collect()
    }

    /// Columns of the manifest: file, SHA-256, base, and more.
    fn variants(&self) -> Vec<Subject> {
        let manifest = fs::read_to_string(self.0.join("variants/manifest.tsv")).unwrap_or_default();
        manifest
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let mut columns = line.split('\t');
                let (name, _, base) = (columns.next()?, columns.next()?, columns.next()?);
                Some(self.subject("variants", name, base))
            })
            .collect()
    }

    fn subject(&self, folder: &str, name: &str, answers_for: &str) -> Subject {
        Subject {
            path: self.0.join(folder).join(name),
            answers: self.0.join("oracle").join(format!("{answers_for}.tsv")),
            answers_for: answers_for.to_owned(),
        }
    }
}

/// What came out of a set of captures.
#[derive(Default)]
struct Report {
    captures: usize,
    judged: usize,
    equal: usize,
    differences: BTreeMap<String, Vec<Difference>>,
    /// Crashes, hangs, unreadable output.
    faults: Vec<String>,
}

fn judge_all(subjects: &[Subject], expectation: Expectation) -> Report {
    let queue = Mutex::new(subjects.iter());
    let report = Mutex::new(Report::default());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no judge panicked").next();
                    let Some(subject) = next else { break };
                    let outcome = judge_one(subject, expectation);
                    report
                        .lock()
                        .expect("no judge panicked")
                        .add(subject.name(), outcome);
                }
            });
        }
    });
    report.into_inner().expect("no judge panicked")
}

fn judge_one(subject: &Subject, expectation: Expectation) -> Result<Score, String> {
    let flows = flows_of(&subject.path)?;
    let streams = subject.streams()?;
    if expectation == Expectation::AsBase && subject.name().starts_with("nosyn--") {
        expect_mid_streams(&flows)?;
    }
    Ok(Score::of(&streams, &flows))
}

/// Without a SYN, a direction has no known beginning.
fn expect_mid_streams(flows: &[Flow]) -> Result<(), String> {
    let states = flows
        .iter()
        .flat_map(Flow::directions)
        .filter(|direction| !direction.is_empty());
    match states
        .map(|direction| direction.state.as_str())
        .find(|state| *state != "mid")
    {
        Some(state) => Err(format!(
            "a direction without SYN has state {state}, not mid"
        )),
        None => Ok(()),
    }
}

impl Subject {
    fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// None for captures that tshark could not read: they must not crash us.
    fn streams(&self) -> Result<Vec<Stream>, String> {
        match fs::read(&self.answers) {
            Ok(bytes) => oracle::parse(&self.answers_for, &String::from_utf8_lossy(&bytes)),
            Err(_) => Ok(Vec::new()),
        }
    }
}

/// Runs `wero flows --json` on a capture.
fn flows_of(capture: &Path) -> Result<Vec<Flow>, String> {
    let output = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let file: File = output.reopen().map_err(|error| error.to_string())?;
    let mut wero = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["flows", "--json"])
        .arg(capture)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run wero: {error}"))?;
    let deadline = Instant::now() + TIME_LIMIT;
    let status = loop {
        if let Some(status) = wero.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if Instant::now() > deadline {
            wero.kill()
                .and_then(|()| wero.wait())
                .map_err(|error| error.to_string())?;
            return Err(format!("still running after {TIME_LIMIT:?}"));
        }
        thread::sleep(Duration::from_millis(2));
    };
    if !matches!(status.code(), Some(0 | DAMAGED_INPUT)) {
        return Err(format!("wero flows: {status}"));
    }
    let lines = fs::read_to_string(output.path()).map_err(|error| error.to_string())?;
    lines
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{error} in {line}")))
        .collect()
}

impl Report {
    fn add(&mut self, capture: String, outcome: Result<Score, String>) {
        self.captures += 1;
        match outcome {
            Ok(score) => {
                self.judged += score.judged;
                self.equal += score.equal;
                if !score.differences.is_empty() {
                    self.differences.insert(capture, score.differences);
                }
            }
            Err(fault) => self.faults.push(format!("{capture}: {fault}")),
        }
    }

    fn percent(&self) -> f64 {
        if self.judged == 0 {
            0.0
        } else {
            100.0 * self.equal as f64 / self.judged as f64
        }
    }

    fn print(&self, name: &str) {
        let mut text = String::new();
        for (capture, differences) in &self.differences {
            for Difference {
                stream,
                direction,
                expected,
                got,
            } in differences
            {
                text +=
                    &format!("{capture}  #{stream} {direction}  expected {expected}  got {got}\n");
            }
        }
        for fault in &self.faults {
            text += &format!("{fault}\n");
        }
        let Self {
            captures,
            judged,
            equal,
            ..
        } = self;
        let percent = self.percent();
        text += &format!(
            "{name}: {captures} captures, {judged} directions judged, {equal} equal ({percent:.2} %)"
        );
        say(&text);
    }

    fn assert_good(&self) {
        assert!(
            self.faults.is_empty(),
            "{} captures failed: {:#?}",
            self.faults.len(),
            self.faults
        );
        assert!(self.judged > 0, "nothing was judged");
        let percent = self.percent();
        assert!(percent >= LEAST_EQUAL_PERCENT, "only {percent:.2} % equal");
    }
}

/// Prints past the capture of test output: this is wanted of good runs too.
fn say(text: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(io::stderr(), "{text}");
}

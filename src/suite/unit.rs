//! Runs files of tests written in Lua.
//!
//! The parent starts `wero test --only FILE --results RESULTS`; in there
//! [`serve`] loads the file into a rule state and writes one JSON line when a
//! test begins and one when it has ended, so that a crash or a time-out is
//! told of the test that it happened in. What the tests may call stands in
//! `unit.lua`.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::{Function, Table};
use serde::{Deserialize, Serialize};

use super::golden::tail;
use super::process::{self, Finished, Scratch};
use super::run::failed_file;
use super::{Outcome, Plan, Test};
use crate::alert::Alert;
use crate::event::{Level, Loader, Outward, Profile, Settings, StoreRequest};
use crate::lua::{Failure, Limits};
use crate::rule::{Options, Runtime};
use crate::sink::{AlertText, Layout, LogLines, ctime};
use crate::worker::{Files, shared_engine};

const DRIVER: &str = include_str!("unit.lua");

/// The name of the rule file that is none.
const NO_RULES: &str = "(no rules)";

/// What is kept of what one test says, in bytes.
const MAX_SAID: usize = 256 << 10;

/// One line of the results.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Began(String),
    Ended {
        name: String,
        failure: Option<String>,
        said: String,
        micros: u64,
    },
    /// The file has no tests that could be run.
    NoTests(String),
}

/// Runs the tests of a file, each its own outcome. `name` is the file's.
pub fn tests(plan: &Plan, name: &str, file: &Path) -> Vec<Test> {
    let start = Instant::now();
    let failed =
        |reason: String, details| vec![failed_file(name, reason, details, start.elapsed())];
    let scratch = match Scratch::new() {
        Ok(scratch) => scratch,
        Err(error) => return failed(format!("cannot be run: {error}"), String::new()),
    };
    let results = scratch.path().join("results");
    let mut command = Command::new(&plan.program);
    command.args(["test", "--timeout"]);
    command.arg(format!("{}ms", plan.timeout.as_millis()));
    for filter in &plan.filters {
        command.arg(format!("--filter={filter}"));
    }
    command.arg("--results").arg(&results).arg("--").arg(file);
    match process::run(&mut command, Stdio::null(), scratch.path(), plan.timeout) {
        Ok(run) => collect(plan, name, &run, &results),
        Err(error) => failed(format!("cannot be run: {error}"), String::new()),
    }
}

fn collect(plan: &Plan, file: &str, run: &Finished, results: &Path) -> Vec<Test> {
    let text = fs::read_to_string(results).unwrap_or_default();
    let (mut tests, mut running) = (Vec::new(), None);
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(Line::Began(name)) => running = Some(name),
            Ok(Line::Ended {
                name,
                failure,
                said,
                micros,
            }) => {
                running = None;
                tests.push(Test {
                    name,
                    outcome: match failure {
                        None => Outcome::Passed,
                        Some(reason) => told(&reason, &said),
                    },
                    time: Duration::from_micros(micros),
                });
            }
            Ok(Line::NoTests(reason)) => {
                tests.push(failed_file(file, reason, String::new(), Duration::ZERO));
            }
            // The last line of a process that was ended may be cut.
            Err(_) => {}
        }
    }
    if let Some(reason) = process::complaint(&run.end, plan.timeout) {
        let name = running.unwrap_or_else(|| file.to_owned());
        tests.push(failed_file(
            &name,
            reason,
            tail(&run.complaints),
            Duration::ZERO,
        ));
    }
    tests
}

/// A failure: its first line, and the rest with what the test said.
fn told(reason: &str, said: &str) -> Outcome {
    let (first, rest) = reason.split_once('\n').unwrap_or((reason, ""));
    let mut details = String::new();
    if !rest.is_empty() {
        details.push_str(rest.trim_end());
        details.push('\n');
    }
    if !said.is_empty() {
        details.push_str("it said:\n");
        details.push_str(&tail(said));
    }
    Outcome::failed(first, details)
}

/// Runs the tests of a file in this process and writes their results.
///
/// # Errors
/// When the results cannot be written.
pub fn serve(plan: &Plan, file: &Path, results: &Path) -> io::Result<()> {
    let mut results = File::create(results)?;
    let mut write = |line: &Line| -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        results.write_all(text.as_bytes())
    };
    let said = Rc::new(RefCell::new(Said::default()));
    let mut bench = match Bench::open(file, plan.timeout, &said) {
        Ok(bench) => bench,
        Err(reason) => return write(&Line::NoTests(reason)),
    };
    if bench.names.is_empty() {
        return write(&Line::NoTests(
            "has no tests: no global function 'test...' and no table 'Test...' with such"
                .to_owned(),
        ));
    }
    for (place, name) in bench.names.clone().iter().enumerate() {
        let name = format!("{}: {name}", file.display());
        if !plan.wants(&name) {
            continue;
        }
        write(&Line::Began(name.clone()))?;
        let start = Instant::now();
        let failure = bench.run(place + 1);
        write(&Line::Ended {
            name,
            failure,
            said: said.borrow_mut().take(),
            micros: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
        })?;
    }
    Ok(())
}

/// A rule state with a file of tests in it.
struct Bench {
    names: Vec<String>,
    run: Function,
    runtime: Runtime,
}

impl Bench {
    fn open(file: &Path, timeout: Duration, said: &Rc<RefCell<Said>>) -> Result<Bench, String> {
        let settings = Settings::new(Profile::Wero);
        let engine = shared_engine(settings).map_err(|error| error.to_string())?;
        // The start-up lines of modules are of no interest here.
        let quiet = engine
            .borrow_mut()
            .core
            .log
            .apply("core=warn,dissector=warn");
        quiet.map_err(|error| error.to_string())?;
        let options = Options {
            rule_file: file.with_file_name(NO_RULES),
            module_dirs: Vec::new(),
            limits: Limits {
                // The rule that never ends is told by its line, before the
                // process is ended.
                event_time: timeout / 2,
                load_time: timeout / 2,
                ..Limits::default()
            },
            thread: 0,
            colour: false,
            time_text: ctime,
        };
        let loader = Box::new(TestFiles {
            rules: options.rule_file.clone(),
        });
        let mut runtime = Runtime::load(&engine, &options, loader, said.clone())
            .map_err(|error| error.to_string())?;
        said.borrow_mut().take();
        let path = file.to_string_lossy().into_owned();
        let loaded = runtime.guarded(|lua| {
            let driver: Table = lua.load(DRIVER).set_name("=[wero]test").call(path)?;
            let names: Vec<String> = driver.get::<Function>("load")?.call(())?;
            Ok((names, driver.get::<Function>("run")?))
        });
        let (names, run) =
            loaded.map_err(|failure| format!("does not load: {}", text(&failure)))?;
        Ok(Bench {
            names,
            run,
            runtime,
        })
    }

    /// Runs the test at that place, from 1: what failed, if it did.
    fn run(&mut self, place: usize) -> Option<String> {
        let run = &self.run;
        let result = self
            .runtime
            .guarded(|_| run.call::<Option<mlua::LuaString>>(place));
        match result {
            Ok(failure) => failure.map(|text| text.to_string_lossy()),
            Err(failure) => Some(text(&failure)),
        }
    }
}

fn text(failure: &Failure) -> String {
    failure.message().unwrap_or("aborted").to_owned()
}

/// Serves an empty rule file beside the tests, so that `require` finds what
/// stands in their folder.
struct TestFiles {
    rules: PathBuf,
}

impl Loader for TestFiles {
    fn read(&mut self, path: &str) -> io::Result<Vec<u8>> {
        match Path::new(path) == self.rules {
            true => Ok(Vec::new()),
            false => Files.read(path),
        }
    }
}

/// What tests log, print and alert, as text.
#[derive(Default)]
struct Said {
    text: String,
    full: bool,
}

impl Said {
    fn take(&mut self) -> String {
        self.full = false;
        std::mem::take(&mut self.text)
    }

    fn add(&mut self, text: &str) {
        if self.full {
            return;
        }
        if self.text.len() + text.len() > MAX_SAID {
            self.full = true;
            self.text.push_str("... more is left out\n");
            return;
        }
        self.text.push_str(text);
    }
}

impl Outward for Said {
    fn log(&mut self, level: Level, section: &str, text: &str) {
        let line = LogLines::new(false).line(level, section, text);
        self.add(&line);
    }

    fn alert(&mut self, alert: &Alert) {
        let layout = AlertText {
            layout: Layout::Pretty,
            colour: false,
        };
        let text = layout.render(alert);
        self.add(&text);
        self.add("\n");
    }

    fn print(&mut self, text: &[u8], _: bool) {
        self.add(&String::from_utf8_lossy(text));
    }

    /// Tests send nothing.
    fn store(&mut self, _: StoreRequest) {}

    fn nonce(&self) -> [u8; 16] {
        [0; 16]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome_of(source: &str) -> Vec<(String, Option<String>)> {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let file = folder.path().join("test_it.lua");
        fs::write(&file, source).expect("writable");
        let results = folder.path().join("results");
        let plan = Plan {
            program: PathBuf::new(),
            filters: Vec::new(),
            update: false,
            timeout: Duration::from_secs(2),
            jobs: 1,
        };
        serve(&plan, &file, &results).expect("results can be written");
        let text = fs::read_to_string(&results).expect("they are there");
        let prefix = format!("{}: ", file.display());
        let lines = text.lines().map(serde_json::from_str);
        lines
            .filter_map(|line| match line.expect("well-formed lines") {
                Line::Ended { name, failure, .. } => Some((
                    name.trim_start_matches(&prefix).to_owned(),
                    failure.map(|text| text.replace(&file.display().to_string(), "FILE")),
                )),
                Line::NoTests(text) => Some((String::new(), Some(text))),
                Line::Began(_) => None,
            })
            .collect()
    }

    fn passed(name: &str) -> (String, Option<String>) {
        (name.to_owned(), None)
    }

    #[test]
    fn suites_and_functions_are_found_in_the_order_of_the_file() {
        let found = outcome_of(
            "TestB = { n = 0 }
             function TestB:setUp() self.n = self.n + 1 end
             function TestB:test_two() assertEquals(self.n, 1) end
             function TestB:test_one() assertEquals(self.n, 2) end
             function test_alone() assertMatch('abc', 'b') end
             return { test_last = function () assertEquals({ 1, { 2 } }, { 1, { 2 } }) end }",
        );
        let names = [
            "TestB.test_two",
            "TestB.test_one",
            "test_alone",
            "test_last",
        ];
        assert_eq!(found, names.map(passed));
    }

    #[test]
    fn suites_that_are_named_are_the_only_ones() {
        let found = outcome_of(
            "TestA = {} function TestA:testIt() assertError('boom', function () error('boom') end) end
             TestB = {} function TestB:testIt() error('not run') end
             addTestSuite('TestA')",
        );
        assert_eq!(found, [passed("TestA.testIt")]);
    }

    #[test]
    fn failures_name_their_line() {
        let found = outcome_of("\nfunction test_it()\n  assertEquals(1 + 1, 3)\nend");
        let failure = found[0].1.as_deref();
        assert_eq!(failure, Some("FILE:3: expected: 3, found: 2"));
    }

    #[test]
    fn a_test_that_never_ends_is_stopped_and_the_next_one_runs() {
        let found = outcome_of("function test_a() while true do end end function test_b() end");
        assert!(
            found[0]
                .1
                .as_deref()
                .is_some_and(|text| text.contains("CPU time")),
            "{found:?}"
        );
        assert_eq!(found[1], passed("test_b"));
    }

    #[test]
    fn files_without_tests_fail() {
        let empty = outcome_of("local x = 1");
        assert!(
            empty[0]
                .1
                .as_deref()
                .is_some_and(|text| text.contains("has no tests"))
        );
        let broken = outcome_of("local x =");
        assert!(
            broken[0]
                .1
                .as_deref()
                .is_some_and(|text| text.contains("test_it.lua:1:"))
        );
    }

    #[test]
    fn tests_use_what_rules_use() {
        let found = outcome_of(
            "local ipv4 = require('protocol/ipv4')
             function test_network()
               assertTrue(ipv4.network('10.0.0.0/8'):contains(ipv4.addr('10.1.2.3')))
               assertError('unknown field', function () return haka.vbuffer_from('x').nothing end)
             end",
        );
        assert_eq!(found, [passed("test_network")]);
    }
}

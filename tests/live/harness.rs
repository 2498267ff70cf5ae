//! Runs cases one after the other and prints one line for each.
//!
//! `cargo test --test live` runs the quick ones; `-- --include-ignored`, or
//! `WERO_LIVE=all` in the environment, runs all; words on the command line
//! choose cases by their names. The last line is written as cargo's own are.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::{namespace, process};

/// A case that takes longer hangs: nothing in it waits without an end, so
/// this is never reached unless the test itself is wrong.
const LONGEST: Duration = Duration::from_secs(400);

/// What a case has to say of itself when it went well, often figures.
pub type Outcome = Result<String, String>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Quick,
    Slow,
}

#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub pace: Pace,
    /// Programs without which it is skipped.
    pub needs: &'static [&'static str],
    pub run: fn() -> Outcome,
}

/// Where programs come from.
const PACKAGES: &[(&str, &str)] = &[
    ("conntrack", "conntrack"),
    ("curl", "curl"),
    ("dig", "bind9-dnsutils"),
    ("dnsmasq", "dnsmasq-base"),
    ("dumpcap", "tshark"),
    ("ethtool", "ethtool"),
    ("iperf3", "iperf3"),
    ("ip", "iproute2"),
    ("ip6tables", "iptables"),
    ("iptables", "iptables"),
    ("nginx", "nginx-light"),
    ("openssl", "openssl"),
];

struct Choice {
    words: Vec<String>,
    exact: bool,
    quick: bool,
    slow: bool,
    list: bool,
}

impl Choice {
    fn read() -> Choice {
        let all = std::env::var("WERO_LIVE").is_ok_and(|value| value == "all");
        let mut choice = Choice {
            words: Vec::new(),
            exact: false,
            quick: true,
            slow: all,
            list: false,
        };
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--include-ignored" => choice.slow = true,
                "--ignored" => (choice.quick, choice.slow) = (false, true),
                "--exact" => choice.exact = true,
                "--list" => choice.list = true,
                flag if flag.starts_with("--") => (),
                word => choice.words.push(word.to_string()),
            }
        }
        choice
    }

    fn takes(&self, case: &Case) -> bool {
        let named = |word: &String| {
            if self.exact {
                case.name == word
            } else {
                case.name.contains(word.as_str())
            }
        };
        if !self.words.is_empty() {
            // Who names a case wants it, slow or not.
            return self.words.iter().any(named);
        }
        match case.pace {
            Pace::Quick => self.quick,
            Pace::Slow => self.slow,
        }
    }
}

#[derive(Default)]
struct Sums {
    passed: usize,
    failed: Vec<&'static str>,
}

pub fn run(cases: &[Case]) -> ExitCode {
    let choice = Choice::read();
    let chosen: Vec<&Case> = cases.iter().filter(|case| choice.takes(case)).collect();
    if choice.list {
        for case in &chosen {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    namespace::sweep();
    let here = namespace::available();
    let mut sums = Sums::default();
    let start = Instant::now();
    println!("\nrunning {} live tests", chosen.len());
    for case in &chosen {
        match missing(case, &here) {
            Some(why) => println!("skipped: {}: {why}", case.name),
            None => sums.one(case),
        }
    }
    sums.print(cases.len() - chosen.len(), start.elapsed());
    if sums.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(101)
    }
}

fn missing(case: &Case, here: &Result<(), String>) -> Option<String> {
    if let Err(why) = here {
        return Some(format!(
            "{why}; live tests need root and network namespaces"
        ));
    }
    let program = case.needs.iter().find(|program| !is_installed(program))?;
    let package = PACKAGES.iter().find(|(name, _)| name == program);
    let package = package.map_or(*program, |(_, package)| package);
    Some(format!("no {program} (package {package})"))
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|folder| std::path::Path::new(folder).join(program).is_file())
}

impl Sums {
    fn one(&mut self, case: &Case) {
        let start = Instant::now();
        drop(process::take_written());
        let outcome = &guarded(case.run);
        let took = start.elapsed().as_secs_f64();
        match outcome {
            Ok(note) if note.is_empty() => println!("live {} ... ok ({took:.1} s)", case.name),
            Ok(note) => println!("live {} ... ok ({took:.1} s): {note}", case.name),
            Err(why) => println!("live {} ... FAILED ({took:.1} s): {why}", case.name),
        }
        match outcome {
            Ok(_) => self.passed += 1,
            Err(_) => {
                self.failed.push(case.name);
                for line in process::take_written() {
                    println!("    {line}");
                }
            }
        }
    }

    fn print(&self, left_out: usize, took: Duration) {
        println!();
        for name in &self.failed {
            println!("    {name}");
        }
        let word = if self.failed.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        println!(
            "test result: {word}. {} passed; {} failed; 0 ignored; 0 measured; {left_out} filtered out; \
             finished in {:.2}s\n",
            self.passed,
            self.failed.len(),
            took.as_secs_f64()
        );
    }
}

/// On a thread of its own: children end with the thread that started them.
fn guarded(run: fn() -> Outcome) -> Outcome {
    let (tell, told) = mpsc::channel();
    let worker = thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        });
        drop(tell.send(outcome));
    });
    match told.recv_timeout(LONGEST) {
        Ok(outcome) => {
            drop(worker.join());
            outcome
        }
        Err(_) => {
            println!("a case hangs for {LONGEST:?}: nothing can be said of the others");
            namespace::delete_own();
            std::process::exit(101);
        }
    }
}

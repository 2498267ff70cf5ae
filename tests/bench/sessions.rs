//! What a message of `wero sessions --json` costs, from file to line.
//!
//! The program itself runs, with its output thrown away, and is asked for the
//! CPU time that it used. Start and end of the process count: the captures are
//! large.

#![allow(unsafe_code)]

use std::path::Path;
use std::process::{Command, Stdio};

use crate::captures::Captures;
use crate::clock::median;

/// Messages a second.
const GOAL: f64 = 300_000.0;

/// Prints messages a second for each capture.
pub fn table(rounds: usize) {
    let captures = Captures::find();
    println!("\nMessages as JSON lines, from file to line (medians of {rounds})");
    println!(
        "  {:<32} {:>9} {:>12} {:>12}",
        "capture", "messages", "messages/s", "goal"
    );
    for (name, path) in [
        ("DNS, a flow for each query", &captures.dns),
        ("DNS, 1,000 flows", &captures.dns_few_flows),
    ] {
        let messages = lines(path);
        let samples: Vec<f64> = (0..rounds).map(|_| seconds(path)).collect();
        let rate = messages as f64 / median(&samples);
        let missed = if rate < GOAL { "  missed" } else { "" };
        println!("  {name:<32} {messages:>9} {rate:>12.0} {GOAL:>12.0}{missed}");
    }
}

fn sessions(capture: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wero"));
    command.args(["sessions", "--json"]).arg(capture);
    command
}

fn lines(capture: &Path) -> usize {
    let output = sessions(capture).output().expect("wero runs");
    output.stdout.iter().filter(|&&byte| byte == b'\n').count()
}

/// CPU time of one run.
fn seconds(capture: &Path) -> f64 {
    let before = children();
    let status = sessions(capture).stdout(Stdio::null()).status();
    assert!(status.expect("wero runs").success());
    children() - before
}

/// CPU time of all children so far, in seconds.
fn children() -> f64 {
    // SAFETY: a record of numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live local of the right type.
    let status = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    assert_eq!(status, 0, "Linux counts what children use");
    let of = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    of(usage.ru_utime) + of(usage.ru_stime)
}

//! `make bench`: what a packet and a flow cost, in CPU time and memory.
//!
//! Prints tables and fails at nothing but its own defects: a goal that is
//! missed is marked, never an error, because a shared machine would make it
//! one. Read ratios, not nanoseconds. `doc/benchmarks.md` says what each
//! case is. Arguments choose among `http`, `httprule`, `dns`, `dnsrule`, `tls`, `states`, `scale`,
//! `regexp`, `grammar`, `sessions` and `memory`; `WERO_BENCH_ROUNDS` says how many rounds the medians are of,
//! `WERO_BENCH_CASE` picks the cases of the first two whose names have the text.

#![allow(clippy::disallowed_methods)] // Outside the engine.

mod captures;
mod clock;
mod grammar;
#[allow(dead_code)] // Shared with the generator of the test captures.
#[path = "../captures/hello.rs"]
mod hello;
mod memory;
mod regexp;
mod rig;
mod scale;
mod sessions;
mod speed;
mod synthetic;
mod tls;
#[allow(dead_code)] // Shared with the generator of the test captures.
#[path = "../captures/wire.rs"]
mod wire;

use captures::Captures;

const ROUNDS: usize = 9;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if let Some((memory::CHILD, rest)) = arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        return memory::child(rest);
    }
    let wants =
        |section: &str| arguments.is_empty() || arguments.iter().any(|given| given == section);
    let (http, dns, states) = (wants("http"), wants("dns"), wants("states"));
    if http || dns || states {
        speeds(http, dns, states);
    }
    if wants("httprule") {
        speed::http_rule(&Captures::find().http, rounds());
    }
    if wants("dnsrule") {
        speed::dns_rule(&Captures::find().dns_few_flows, rounds());
    }
    if wants("tls") {
        tls::table();
    }
    if wants("scale") {
        scale::table();
    }
    if wants("regexp") {
        regexp::table(rounds());
    }
    if wants("grammar") {
        grammar::table();
    }
    if wants("sessions") {
        sessions::table(rounds());
    }
    if wants("memory") {
        memory::table();
    }
}

fn rounds() -> usize {
    let rounds = std::env::var("WERO_BENCH_ROUNDS").ok();
    rounds
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(ROUNDS)
}

fn speeds(http: bool, dns: bool, states: bool) {
    let rounds = rounds();
    let captures = Captures::find();
    println!("Captures: {}", captures.origin);
    println!("CPU time of one worker without output, medians of {rounds} interleaved rounds;");
    println!("JIT compiler on, budgets armed, default settings.");
    if http {
        speed::http(&captures.http, rounds);
    }
    if states {
        speed::states(&captures.http, rounds);
    }
    if dns {
        speed::dns(&captures.dns, "100,000", rounds);
        speed::dns(&captures.dns_few_flows, "1,000", rounds);
    }
}

//! What a rule on the hellos of TLS costs.
//!
//! Connections with the hellos of both sides, eight packets each. The base is
//! the same traffic with TCP connections followed and no TLS; what a rule
//! costs is the difference.

use std::time::Duration;

use crate::clock::median;
use crate::hello::{Hello, server_hello};
use crate::rig::Rig;
use crate::synthetic::Batch;

const ROUNDS: usize = 5;
const HANDSHAKES: u32 = 50_000;
const WARM: u32 = 20_000;
const GAP: Duration = Duration::from_micros(1);

/// The goal for the first rule beside the base, in nanoseconds.
const GOAL: f64 = 5_000.0;

const CASES: [(&str, &str); 4] = [
    ("connections, no TLS", "tls-base.lua"),
    ("server name", "tls-sni.lua"),
    ("server name and JA4", "tls-ja4.lua"),
    ("every part of both hellos", "tls-all.lua"),
];

/// Prints nanoseconds a handshake.
pub fn table() {
    println!("\nTLS: ns/handshake of eight packets (median of {ROUNDS})");
    println!("  {:<30}{:>12}{:>14}", "rule on", "all", "for the rule");
    let mut samples = vec![Vec::new(); CASES.len()];
    for _ in 0..ROUNDS {
        for ((_, rules), samples) in CASES.iter().zip(&mut samples) {
            samples.push(measure(rules));
        }
    }
    let base = samples.first().map_or(f64::NAN, |samples| median(samples));
    for ((name, rules), samples) in CASES.iter().zip(&samples) {
        let nanos = median(samples);
        let own = nanos - base;
        let mark = match *rules {
            "tls-sni.lua" if own < GOAL => "  ok",
            "tls-sni.lua" => "  MISSED",
            _ => "",
        };
        println!("  {name:<30}{nanos:>12.0}{own:>14.0}{mark}");
    }
}

fn measure(rules: &str) -> f64 {
    let mut rig = Rig::new(rules);
    visits(&mut rig, 0..WARM);
    let nanos = visits(&mut rig, WARM..WARM + HANDSHAKES);
    match rig.void() {
        None => nanos as f64 / f64::from(HANDSHAKES),
        Some(why) => {
            eprintln!("  {why}");
            f64::NAN
        }
    }
}

fn visits(rig: &mut Rig, numbers: std::ops::Range<u32>) -> u64 {
    let padded = Hello {
        padding: 300,
        ..Hello::default()
    };
    let (said, answered) = (padded.record(), server_hello(0x0303, Some(0x0304), 0x1301));
    let mut batch = Batch::default();
    let mut nanos = 0;
    for number in numbers.clone() {
        batch.visit(number, &said, &answered);
        if batch.is_full() || number + 1 == numbers.end {
            nanos += rig.feed(&batch, GAP);
            batch.clear();
        }
    }
    nanos
}

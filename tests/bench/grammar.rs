//! What parsing a record of ten fields in 20 bytes costs.
//!
//! A rule parses a buffer of its own a thousand times per packet; the same
//! rule without the parse, run beside it, is subtracted. The peer takes the
//! same ten fields out of the same bytes in Rust.

use std::hint::black_box;
use std::time::Duration;

use crate::clock::{cpu_nanos, median};
use crate::rig::Rig;
use crate::synthetic::Batch;

const ROUNDS: usize = 9;
/// Parses of one packet, as the rule files have it.
const PARSES: f64 = 1000.0;
const PACKETS: u32 = 50;
const GAP: Duration = Duration::from_millis(1);
const GOAL: f64 = 1000.0;

const CASES: [(&str, &str, bool); 6] = [
    ("making the iterator only", "grammar-none.lua", false),
    ("parse", "grammar-parse.lua", true),
    ("parse, 200 more rules beside", "grammar-many.lua", true),
    ("parse and read all ten", "grammar-read.lua", true),
    ("parse with callbacks", "grammar-callbacks.lua", false),
    ("an element of an array", "grammar-array.lua", false),
];

/// Prints nanoseconds a record for each case.
pub fn table() {
    let mut cases: Vec<_> = CASES
        .iter()
        .map(|case| (case, Rig::new(case.1), Vec::new()))
        .collect();
    let mut batch = Batch::default();
    (0..PACKETS).for_each(|number| batch.query(number));
    let mut peer = Vec::new();
    for round in 0..=ROUNDS {
        let rust = in_rust();
        if round > 0 {
            peer.push(rust);
        }
        for (_, rig, samples) in &mut cases {
            let nanos = rig.feed(&batch, GAP) as f64 / (f64::from(PACKETS) * PARSES);
            if round > 0 {
                samples.push(nanos);
            }
        }
    }
    let (base, rust) = (
        cases.first().map_or(0.0, |case| median(&case.2)),
        median(&peer),
    );
    println!("\nGrammars: a record of ten fields in 20 bytes (medians of {ROUNDS})");
    println!(
        "  {:<32} {:>9} {:>9} {:>9}",
        "case", "ns/record", "x Rust", "goal"
    );
    println!(
        "  {:<32} {rust:>9.1} {:>9.2}",
        "ten fields by hand, in Rust", 1.0
    );
    for ((name, _, has_goal), rig, samples) in &cases {
        let nanos = median(samples) - if samples == &cases[0].2 { 0.0 } else { base };
        let goal = if *has_goal {
            format!("{GOAL:.0} ns")
        } else {
            String::new()
        };
        let missed = if *has_goal && nanos > GOAL {
            " <- missed"
        } else {
            ""
        };
        let void = rig.void().unwrap_or_default();
        println!(
            "  {name:<32} {nanos:>9.1} {:>9.1} {goal:>9}{missed} {void}",
            nanos / rust
        );
    }
}

struct Fields {
    numbers: [u32; 9],
    flag: bool,
}

fn by_hand(bytes: &[u8; 20]) -> Fields {
    let half = |at: usize| u32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let word = |at: usize| half(at) << 16 | half(at + 2);
    Fields {
        numbers: [
            u32::from(bytes[0]),
            u32::from(bytes[1]),
            half(2),
            word(4),
            half(8),
            half(10) >> 12,
            half(10) & 0xfff,
            word(12),
            half(18),
        ],
        flag: bytes[16] & 0x80 != 0,
    }
}

fn in_rust() -> f64 {
    const TIMES: u32 = 1_000_000;
    let bytes: [u8; 20] = std::array::from_fn(|at| at as u8);
    let start = cpu_nanos();
    let mut sum = 0;
    for _ in 0..TIMES {
        let fields = black_box(by_hand(black_box(&bytes)));
        sum += fields.numbers.iter().sum::<u32>() + u32::from(fields.flag);
    }
    black_box(sum);
    (cpu_nanos() - start) as f64 / f64::from(TIMES)
}

//! CPU time per packet with 1,000 to 1,000,000 flows open.
//!
//! Three loads: packets of open flows in random order; flows that come and
//! go, each arming a timer that fires; the same with an alert for each. What
//! remains of growth is the cache: the records of a million flows do not
//! fit, and packets in random order miss it every time.

use std::time::Duration;

use crate::clock::median;
use crate::rig::Rig;
use crate::synthetic::{Batch, Random};

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];
const ROUNDS: usize = 3;
/// Packets of open flows, and new flows, that are timed.
const PACKETS: u32 = 200_000;
const NEW_FLOWS: u32 = 100_000;
/// The idle time-out of UDP flows.
const IDLE: Duration = Duration::from_secs(60);
/// A packet a microsecond keeps every flow alive.
const QUICK: Duration = Duration::from_micros(1);

/// A rule file, and whether its flows come and go.
const LOADS: [(&str, &str, bool); 5] = [
    ("open flows, no rule", "none.lua", false),
    ("open flows, rule on receive_data", "udp-events.lua", false),
    ("timers: flows come and go", "none.lua", true),
    ("the same, rules on all events", "udp-events.lua", true),
    ("the same, an alert per flow", "alert-per-flow.lua", true),
];

/// Prints nanoseconds a packet for each load and size.
pub fn table() {
    println!("\nFlows open: ns/packet (median of {ROUNDS})");
    print!("  {:<36}", "load");
    SIZES.iter().for_each(|size| print!("{size:>12}"));
    println!();
    for (name, rules, coming) in LOADS {
        let mut samples = vec![Vec::new(); SIZES.len()];
        for _ in 0..ROUNDS {
            for (size, samples) in SIZES.into_iter().zip(&mut samples) {
                samples.push(measure(rules, size, coming));
            }
        }
        print!("  {name:<36}");
        samples
            .iter()
            .for_each(|samples| print!("{:>12.1}", median(samples)));
        println!();
    }
}

fn measure(rules: &str, flows: u32, coming: bool) -> f64 {
    let mut rig = Rig::new(rules);
    // Traces are compiled, and the oldest flows are old enough to go at once.
    pairs(&mut rig, 0..flows, gap(flows, coming));
    let warm = flows..flows + 20_000;
    if coming {
        pairs(&mut rig, warm.clone(), gap(flows, coming));
        let nanos = pairs(&mut rig, warm.end..warm.end + NEW_FLOWS, gap(flows, coming));
        return valid(&rig, nanos as f64 / f64::from(2 * NEW_FLOWS));
    }
    let mut random = Random::new(u64::from(flows));
    queries(&mut rig, flows, 20_000, &mut random);
    let nanos = queries(&mut rig, flows, PACKETS, &mut random);
    valid(&rig, nanos as f64 / f64::from(PACKETS))
}

/// The figure, or none if it would not mean what it says.
fn valid(rig: &Rig, nanos: f64) -> f64 {
    match rig.void() {
        None => nanos,
        Some(why) => {
            eprintln!("  {why}");
            f64::NAN
        }
    }
}

/// Time between packets. Where flows come and go, as many come within the
/// idle time as are to be open.
fn gap(flows: u32, coming: bool) -> Duration {
    if coming { IDLE / (2 * flows) } else { QUICK }
}

/// Opens flows, a query and its answer each.
fn pairs(rig: &mut Rig, numbers: std::ops::Range<u32>, gap: Duration) -> u64 {
    let mut batch = Batch::default();
    let mut nanos = 0;
    for number in numbers.clone() {
        batch.query(number);
        batch.answer(number);
        if batch.is_full() || number + 1 == numbers.end {
            nanos += rig.feed(&batch, gap);
            batch.clear();
        }
    }
    nanos
}

/// Queries of open flows in random order.
fn queries(rig: &mut Rig, flows: u32, count: u32, random: &mut Random) -> u64 {
    let mut batch = Batch::default();
    let mut nanos = 0;
    for number in 1..=count {
        batch.query(random.below(flows));
        if batch.is_full() || number == count {
            nanos += rig.feed(&batch, QUICK);
            batch.clear();
        }
    }
    nanos
}

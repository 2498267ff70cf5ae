//! Memory of open flows, each case in a process of its own.
//!
//! A process that measured before keeps freed memory, so the growth of its
//! resident set says little; a fresh one has only its flows to show.

use std::process::Command;
use std::time::Duration;

use crate::clock::resident;
use crate::rig::Rig;
use crate::synthetic::Batch;

/// First argument of a process that measures one case.
pub const CHILD: &str = "--memory-of";

/// Protocol, flows, rule file, what it is about, MiB to stay under.
const CASES: [(&str, u32, &str, &str, u64); 8] = [
    ("udp", 100_000, "packets.lua", "no rule on flows", 64),
    ("udp", 1_000_000, "packets.lua", "no rule on flows", 512),
    ("tcp", 100_000, "packets.lua", "no rule on flows", 64),
    ("tcp", 1_000_000, "packets.lua", "no rule on flows", 512),
    ("udp", 100_000, "touch.lua", "a field in each flow", 64),
    ("udp", 1_000_000, "touch.lua", "a field in each flow", 512),
    ("tcp", 100_000, "touch.lua", "a field in each flow", 64),
    ("tcp", 1_000_000, "touch.lua", "a field in each flow", 512),
];

/// Prints what each case takes.
pub fn table() {
    println!("\nMemory of open flows (resident, beyond a worker without flows)");
    println!(
        "  {:<4} {:>9}  {:<22} {:>8} {:>9} {:>10} {:>9}",
        "", "flows", "rules", "MiB", "bytes/fl.", "of it Lua", "goal"
    );
    for (protocol, flows, rules, about, goal) in CASES {
        let Some((resident, heap)) = in_child(protocol, flows, rules) else {
            println!("  {protocol:<4} {flows:>9}  {about:<22} failed <- missed");
            continue;
        };
        let mib = resident as f64 / f64::from(1 << 20);
        println!(
            "  {protocol:<4} {flows:>9}  {about:<22} {mib:>8.1} {:>9.0} {:>10.1} {goal:>5} MiB{}",
            resident as f64 / f64::from(flows),
            heap as f64 / f64::from(flows),
            if mib <= goal as f64 { "" } else { " <- missed" },
        );
    }
}

fn in_child(protocol: &str, flows: u32, rules: &str) -> Option<(i64, i64)> {
    let own = std::env::current_exe().ok()?;
    let output = Command::new(own)
        .args([CHILD, protocol, &flows.to_string(), rules])
        .stderr(std::process::Stdio::inherit())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.split_whitespace().map(str::parse::<i64>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The life of such a process: prints the growth of its resident set and of
/// its Lua heap, in bytes.
pub fn child(arguments: &[String]) {
    let [protocol, flows, rules] = arguments else {
        panic!("{CHILD} takes protocol, flows and rule file");
    };
    let flows: u32 = flows.parse().expect("flows are a number");
    let mut rig = Rig::new(rules);
    let mut batch = Batch::default();
    // The first flows compile traces and touch what is touched only once.
    const FIRST: u32 = 1_000;
    open(&mut rig, protocol, 0..FIRST, &mut batch);
    let (resident_before, heap_before) = (resident(), rig.heap());
    open(&mut rig, protocol, FIRST..FIRST + flows, &mut batch);
    if let Some(why) = rig.void() {
        eprintln!("{why}");
        std::process::exit(1);
    }
    let grown = resident() as i64 - resident_before as i64;
    println!("{grown} {}", rig.heap() as i64 - heap_before as i64);
}

fn open(rig: &mut Rig, protocol: &str, numbers: std::ops::Range<u32>, batch: &mut Batch) {
    for number in numbers.clone() {
        match protocol {
            "tcp" => batch.handshake(number),
            _ => {
                batch.query(number);
                batch.answer(number);
            }
        }
        if batch.is_full() || number + 1 == numbers.end {
            rig.feed(batch, Duration::from_micros(1));
            batch.clear();
        }
    }
}

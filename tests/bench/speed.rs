//! CPU time per packet over a capture, beside a bare libpcap read loop.
//!
//! All cases take turns in one process, so that whatever else the machine
//! does meets them alike; the first pass of each, in which traces are
//! compiled and arenas touched, is shown but does not count.

use std::path::Path;

use wero::capture::file::CaptureReader;

use crate::clock::{cpu_nanos, median};
use crate::rig::{Pass, Rig};

/// What to reach.
#[derive(Clone, Copy)]
enum Goal {
    None,
    /// As a multiple of libpcap.
    Ratio(f64),
    /// In nanoseconds a packet.
    Nanos(f64),
}

enum Runner {
    Libpcap,
    Reader,
    Rules(Box<Rig>),
}

struct Case {
    name: &'static str,
    goal: Goal,
    runner: Runner,
    first: f64,
    packets: u64,
    samples: Vec<f64>,
    said: String,
}

impl Case {
    fn new(name: &'static str, runner: Runner, goal: Goal) -> Case {
        Case {
            name,
            goal,
            runner,
            first: 0.0,
            packets: 0,
            samples: Vec::new(),
            said: String::new(),
        }
    }

    fn rules(name: &'static str, file: &str, goal: Goal) -> Case {
        Case::new(name, Runner::Rules(Box::new(Rig::new(file))), goal)
    }

    /// One pass; nanoseconds a packet.
    fn run(&mut self, capture: &Path) -> f64 {
        let pass = match &mut self.runner {
            Runner::Libpcap => libpcap(capture),
            Runner::Reader => reader(capture),
            Runner::Rules(rig) => rig.pass(capture),
        };
        self.said = pass.said;
        self.packets = pass.packets;
        pass.nanos as f64 / pass.packets as f64
    }
}

/// The connections of the HTTP capture.
pub fn http(capture: &Path, rounds: usize) {
    let cases = vec![
        Case::new("libpcap, read loop", Runner::Libpcap, Goal::None),
        Case::new("our reader alone", Runner::Reader, Goal::None),
        Case::rules("no rule", "none.lua", Goal::Ratio(1.5)),
        Case::rules("no rule, TCP streams read", "streams.lua", Goal::None),
        Case::rules(
            "n = n + #data on receive_data",
            "count-data.lua",
            Goal::Ratio(2.0),
        ),
        Case::rules(
            "10 tcp rules, one comparison",
            "ten-comparisons.lua",
            Goal::Ratio(2.0),
        ),
        Case::rules("10 tcp rules, branchy", "ten-branchy.lua", Goal::Ratio(5.0)),
    ];
    compare("HTTP", capture, rounds, cases);
}

/// A rule that reads method, uri and three headers of every request.
pub fn http_rule(capture: &Path, rounds: usize) {
    let cases = vec![
        Case::new("libpcap, read loop", Runner::Libpcap, Goal::None),
        Case::rules("no rule", "none.lua", Goal::None),
        Case::rules("no rule, TCP streams read", "streams.lua", Goal::None),
        Case::rules("heads of requests", "http-heads.lua", Goal::Ratio(2.5)),
    ];
    compare("HTTP messages", capture, rounds, cases);
}

/// A dissector in Lua over the same connections, with and without a machine.
pub fn states(capture: &Path, rounds: usize) {
    let cases = vec![
        Case::new("libpcap, read loop", Runner::Libpcap, Goal::None),
        Case::rules("dissector in Lua", "dissector.lua", Goal::None),
        Case::rules("the same, a state machine", "state-machine.lua", Goal::None),
    ];
    compare("State machines", capture, rounds, cases);
}

/// Queries and answers; `flows` says of how many flows.
pub fn dns(capture: &Path, flows: &str, rounds: usize) {
    let goal = Goal::Nanos(450.0);
    let cases = vec![
        Case::new("libpcap, read loop", Runner::Libpcap, Goal::None),
        Case::new("our reader alone", Runner::Reader, Goal::None),
        Case::rules("no rule", "none.lua", Goal::None),
        Case::rules("new_connection", "udp-new.lua", goal),
        Case::rules("new, receive_data, end", "udp-events.lua", goal),
    ];
    compare(&format!("DNS, {flows} flows"), capture, rounds, cases);
}

/// A rule that reads name and answers of every message.
pub fn dns_rule(capture: &Path, rounds: usize) {
    let cases = vec![
        Case::new("libpcap, read loop", Runner::Libpcap, Goal::None),
        Case::rules("no rule", "none.lua", Goal::None),
        Case::rules("receive_data", "udp-events.lua", Goal::None),
        Case::rules("names and answers", "dns-names.lua", Goal::Nanos(900.0)),
    ];
    compare("DNS messages, 1,000 flows", capture, rounds, cases);
}

fn compare(title: &str, capture: &Path, rounds: usize, mut cases: Vec<Case>) {
    if let Ok(wanted) = std::env::var("WERO_BENCH_CASE") {
        cases.retain(|case| {
            matches!(case.runner, Runner::Libpcap) || case.name.contains(wanted.as_str())
        });
    }
    for case in &mut cases {
        case.first = case.run(capture);
    }
    for _ in 0..rounds {
        for case in &mut cases {
            let nanos = case.run(capture);
            case.samples.push(nanos);
        }
    }
    let base = cases.first().map_or(f64::NAN, |case| median(&case.samples));
    let packets = cases.first().map_or(0, |case| case.packets);
    println!("\n{title}: {packets} packets ({})", capture.display());
    println!(
        "  {:<32} {:>9} {:>9} {:>9} {:>11}  rules say",
        "case", "ns/packet", "x libpcap", "goal", "first pass"
    );
    for case in &cases {
        let nanos = median(&case.samples);
        let (goal, met) = match case.goal {
            Goal::None => (String::new(), true),
            Goal::Ratio(most) => (format!("{most:.1}x"), nanos / base <= most),
            Goal::Nanos(most) => (format!("{most:.0} ns"), nanos <= most),
        };
        println!(
            "  {:<32} {:>9.1} {:>9.2} {:>9} {:>11.1}  {}{}",
            case.name,
            nanos,
            nanos / base,
            goal,
            case.first,
            case.said,
            if met { "" } else { " <- missed" },
        );
    }
}

/// What everybody else pays to see the packets at all.
fn libpcap(capture: &Path) -> Pass {
    let start = cpu_nanos();
    let mut file = pcap::Capture::from_file(capture).expect("libpcap opens the capture");
    let (mut packets, mut bytes) = (0, 0);
    while let Ok(packet) = file.next_packet() {
        packets += 1;
        bytes += packet.data.len();
    }
    let nanos = cpu_nanos() - start;
    let said = format!("{bytes} bytes");
    Pass {
        nanos,
        packets,
        said,
    }
}

fn reader(capture: &Path) -> Pass {
    let start = cpu_nanos();
    let mut reader = CaptureReader::open(capture).expect("the capture was there");
    let (mut packets, mut bytes) = (0, 0);
    while let Some(record) = reader.next().expect("the capture is sound") {
        packets += 1;
        bytes += record.bytes.len();
    }
    let nanos = cpu_nanos() - start;
    let said = format!("{bytes} bytes");
    Pass {
        nanos,
        packets,
        said,
    }
}

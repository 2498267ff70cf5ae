//! `wero profile`: counts are exact, samples and given-up traces name the
//! lines of the rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// One costly rule, which makes closures, and a cheap one that fails once.
const RULES: &str = "require('protocol/ipv4')
require('protocol/tcp')
local function burn(rounds)
  local sum = 0
  for i = 1, rounds do
    sum = sum + i % 7
  end
  return sum
end
haka.rule {
  name = 'costly',
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function ()
    burn(2e5)
    local made = {}
    for i = 1, 100 do
      made[i] = function () return i end
    end
  end,
}
haka.rule {
  name = 'cheap',
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    if pkt.flags.syn and not pkt.flags.ack then error('once') end
  end,
}
";

/// Packets of `stream-one-byte-v4.pcap`, all of TCP.
const PACKETS: u64 = 225;

fn capture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/stream-one-byte-v4.pcap")
}

fn profile(folder: &TempDir, options: &[&str]) -> Output {
    fs::write(folder.path().join("rule.lua"), RULES).expect("the folder is writable");
    Command::new(env!("CARGO_BIN_EXE_wero"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .arg("profile")
        .args(options)
        .arg("rule.lua")
        .arg(capture())
        .output()
        .expect("the program runs")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room for temporary files")
}

fn report() -> Value {
    let output = profile(&folder(), &["--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

fn row<'a>(report: &'a Value, list: &str, name: &str) -> &'a Value {
    let rows = report[list].as_array().expect("a list of rows");
    rows.iter()
        .find(|row| row["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[test]
fn calls_are_counted_exactly_and_the_costliest_rule_comes_first() {
    let report = report();
    assert_eq!(report["packets"], PACKETS);
    let costly = &report["rules"][0];
    assert_eq!(costly["name"], "costly");
    assert_eq!(costly["location"], "rule.lua:10");
    assert_eq!(costly["event"], "ipv4:receive_packet");
    assert_eq!(
        (&costly["calls"], &costly["failed"]),
        (&PACKETS.into(), &0.into())
    );
    assert!(costly["share"].as_f64() > Some(0.9), "{costly:#}");
    let cheap = row(&report, "rules", "cheap");
    assert_eq!(
        (&cheap["calls"], &cheap["failed"]),
        (&PACKETS.into(), &1.into())
    );
    let event = row(&report, "events", "tcp:receive_packet");
    assert_eq!(event["calls"], PACKETS);
}

#[test]
fn times_and_memory_are_in_order() {
    let report = report();
    let costly = row(&report, "rules", "costly");
    let number = |name: &str| costly[name].as_u64().expect("a number");
    assert!(number("mean_ns") > 0);
    assert!(number("p99_ns") <= number("max_ns"));
    assert!(number("total_ns") >= number("max_ns"));
    // A hundred closures with their variables and a list of them.
    assert!(number("memory_bytes") > PACKETS * 100 * 32, "{costly:#}");
    assert!(report["overhead"].as_f64() > Some(0.0), "{report:#}");
}

#[test]
fn folded_stacks_name_the_lines_of_rules() {
    let folder = folder();
    let output = profile(&folder, &["--folded", "stacks.txt", "--no-overhead"]);
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(folder.path().join("stacks.txt")).expect("it was written");
    let costly: u64 = text
        .lines()
        .filter(|line| {
            line.starts_with("ipv4:receive_packet;rule rule.lua:10 (costly);rule.lua:14;rule.lua:")
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert!(costly > 0, "{text}");
    for line in text.lines() {
        let (stack, samples) = line.rsplit_once(' ').expect("a stack and a number");
        assert!(
            samples.parse::<u64>().is_ok_and(|count| count > 0) && !stack.is_empty(),
            "{line}"
        );
    }
}

#[test]
fn a_trace_given_up_is_told_with_reason_and_line() {
    let report = report();
    let aborts = report["trace_aborts"].as_array().expect("a list");
    let found = aborts.iter().any(|abort| {
        abort["location"] == "rule.lua:17"
            && abort["reason"] == "an instruction that is not compiled: a closure is made"
            && abort["count"].as_u64() > Some(0)
    });
    assert!(found, "{report:#}");
}

#[test]
fn tables_are_for_readers() {
    let output = profile(&folder(), &["--no-overhead"]);
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert!(
        text.contains("rule.lua:10 'costly' on ipv4:receive_packet"),
        "{text}"
    );
    assert!(
        text.contains("rule.lua:21 'cheap' on tcp:receive_packet, 1 failed"),
        "{text}"
    );
    assert!(text.ends_with("overhead: not measured\n"), "{text}");
    // What rules log is not shown: only the costs are.
    assert!(output.stderr.is_empty(), "{:?}", output.stderr);
}

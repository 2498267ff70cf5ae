//! What a rule on `receive_data` is given is what `wero flows` reports:
//! the same bytes, by length and SHA-256, for every direction.

#[path = "support/captures.rs"]
mod captures;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

type Seen = HashMap<(u64, &'static str), (u64, String)>;

fn run(arguments: &[&str], capture: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(arguments)
        .arg(capture)
        .output()
        .expect("wero runs");
    assert!(
        matches!(output.status.code(), Some(0 | 65)),
        "{arguments:?} {}: {}",
        capture.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

fn by_flows(capture: &Path) -> Seen {
    let mut seen = Seen::new();
    for line in run(&["flows", "--json"], capture).lines() {
        let flow: Value = serde_json::from_str(line).expect("a JSON line");
        let id = flow["flow_id"].as_u64().expect("a number");
        for (key, direction) in [("to_server", "up"), ("to_client", "down")] {
            let stream = &flow[key]["stream"];
            let whole = matches!(stream["state"].as_str(), Some("ok" | "mid"));
            if let (true, Some(len), Some(sum)) =
                (whole, stream["len"].as_u64(), stream["sha256"].as_str())
            {
                seen.insert((id, direction), (len, sum.to_owned()));
            }
        }
    }
    seen
}

fn by_rule(capture: &Path) -> Seen {
    let rule = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/streams_seen/hash.lua");
    let options = [
        "replay",
        "--tunnels",
        "inspect",
        "--event-budget",
        "2s",
        rule,
    ];
    run(&options, capture)
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [id, direction, len, sum] = words[..] else {
                return None;
            };
            let direction = if direction == "up" { "up" } else { "down" };
            Some((
                (id.parse().ok()?, direction),
                (len.parse().ok()?, sum.to_owned()),
            ))
        })
        .collect()
}

/// Compares one capture; returns how many directions were compared.
fn compare(capture: &Path, differences: &mut Vec<String>) -> usize {
    let (flows, rule) = (by_flows(capture), by_rule(capture));
    for (key, expected) in &flows {
        let got = rule.get(key);
        if got != Some(expected) && expected.0 > 0 {
            differences.push(format!(
                "{} {key:?}: flows {expected:?}, rule {got:?}",
                capture.display()
            ));
        }
    }
    flows.len()
}

#[test]
fn rules_see_the_bytes_that_flows_reports() {
    let mut differences = Vec::new();
    let compared: usize = captures::own()
        .iter()
        .map(|capture| compare(capture, &mut differences))
        .sum();
    assert!(compared > 50, "only {compared} directions");
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn rules_see_the_bytes_of_real_captures() {
    let Some(corpus) = captures::corpus() else {
        println!("skipped: no corpus");
        return;
    };
    let captures = captures::in_folder(&corpus.join("captures"));
    let mut differences = Vec::new();
    let compared: usize = captures
        .iter()
        .map(|capture| compare(capture, &mut differences))
        .sum();
    println!(
        "{} captures, {compared} directions compared",
        captures.len()
    );
    assert!(compared > 1_000, "only {compared} directions");
    assert!(differences.is_empty(), "{differences:#?}");
}

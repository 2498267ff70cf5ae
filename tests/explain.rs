//! `wero explain`: the way of a packet as its reader meets it. Every kind of
//! refusal is traced to who decided it, and the verdict is that of `replay`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const RULE: &str = "require('protocol/ipv4')
require('protocol/tcp')
haka.rule {
  name = 'no seven thousand',
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    if pkt.flags.syn and pkt.dstport == 7000 and pkt.src ~= pkt.dst then pkt:drop() end
  end,
}
";

const POLICY: &str = "require('protocol/ipv4')
require('protocol/tcp_connection')
haka.policy {
  name = 'closed port',
  on = haka.dissectors.tcp_connection.policies.new_connection,
  dstport = 7000,
  action = { haka.policy.alert{}, haka.policy.drop },
}
";

const FAULTY: &str = "require('protocol/ipv4')
require('protocol/tcp')
haka.rule {
  name = 'faulty',
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    local sum = pkt.dstport + nil
  end,
}
";

const ENDLESS: &str = "require('protocol/ipv4')
require('protocol/tcp')
haka.rule {
  name = 'endless',
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    while pkt.dstport do end
  end,
}
";

/// Holds back all that it has seen.
const HOLDING: &str = "require('protocol/ipv4')
require('protocol/tcp_connection')
haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_data,
  options = { streamed = true },
  eval = function (flow, iter)
    iter:mark()
    while iter:wait() do iter:advance(1) end
  end,
}
";

/// Puts other bytes into the data of the client.
const EDITING: &str = "require('protocol/ipv4')
require('protocol/tcp_connection')
haka.rule {
  name = 'no names',
  on = haka.dissectors.tcp_connection.events.receive_data,
  eval = function (flow, data, direction)
    if direction == 'up' and data:sub(0, 4):asstring() == 'name' then
      data:sub(0, 4):setfixedstring('NAME')
    end
  end,
}
";

const GROUP: &str = "require('protocol/ipv4')
require('protocol/tcp_connection')
local gate = haka.rule_group {
  name = 'gate',
  on = haka.dissectors.tcp_connection.events.new_connection,
  continue = function (known) return not known end,
}
gate:rule { eval = function (flow) return flow.dstport == 22 end }
gate:rule { eval = function (flow) flow:drop() return true end }
";

const RESET: &str = "require('protocol/ipv4')
require('protocol/tcp_connection')
haka.rule {
  on = haka.dissectors.tcp_connection.events.receive_packet,
  eval = function (flow, pkt)
    if pkt.flags.psh then flow:reset() end
  end,
}
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn capture(name: &str) -> PathBuf {
    root().join("tests/captures").join(name)
}

/// A folder with `rule.lua` in it, in which the program runs.
struct Bench(TempDir);

impl Bench {
    fn with(rule: &str) -> Bench {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        fs::write(folder.path().join("rule.lua"), rule).expect("the folder is writable");
        Bench(folder)
    }

    fn run(&self, capture_name: &str, options: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_wero"))
            .current_dir(self.0.path())
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .args(["explain", "--no-times"])
            .args(options)
            .arg("rule.lua")
            .arg(capture(capture_name))
            .output()
            .expect("the program runs")
    }

    fn text(&self, capture_name: &str, options: &[&str]) -> String {
        let output = self.run(capture_name, options);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it is text")
    }

    fn json(&self, capture_name: &str, options: &[&str]) -> Value {
        let options = [options, &["--json"]].concat();
        let text = self.text(capture_name, &options);
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).expect("it is JSON")
    }

    fn decided_by(&self, capture_name: &str, options: &[&str]) -> (String, Value) {
        let account = self.json(capture_name, options);
        let outcome = &account["outcome"];
        assert_eq!(outcome["verdict"], "drop", "{account:#}");
        let reason = outcome["reason"].as_str().expect("a drop has a reason");
        (reason.to_owned(), outcome["decision"].clone())
    }
}

#[test]
fn a_drop_by_a_rule_names_rule_file_and_line() {
    let bench = Bench::with(RULE);
    let (reason, by) = bench.decided_by("stream-plain-v4.pcap", &["--packet", "1"]);
    assert_eq!(reason, "rule");
    assert_eq!(by["by"], "rule");
    assert_eq!(by["name"], "no seven thousand");
    assert_eq!(by["location"], "rule.lua:3");
    assert_eq!(by["event"], "tcp:receive_packet");
}

#[test]
fn a_drop_by_a_policy_names_entry_file_and_line() {
    let bench = Bench::with(POLICY);
    let (reason, by) = bench.decided_by("stream-plain-v4.pcap", &["--packet", "1"]);
    assert_eq!(reason, "flow-dropped");
    assert_eq!(by["by"], "policy");
    assert_eq!(by["entry"], "closed port");
    assert_eq!(by["policy"], "new connection");
    assert_eq!(by["location"], "rule.lua:3");
}

#[test]
fn packets_of_a_dropped_flow_lead_back_to_who_dropped_it() {
    let bench = Bench::with(POLICY);
    let (_, by) = bench.decided_by("stream-plain-v4.pcap", &["--packet", "4"]);
    assert_eq!(by["entry"], "closed port");
    assert_eq!(by["packet"], 1);
}

#[test]
fn a_drop_by_an_error_names_rule_and_line_of_the_error() {
    let bench = Bench::with(FAULTY);
    let (reason, by) = bench.decided_by("stream-plain-v4.pcap", &["--packet", "2"]);
    assert_eq!(reason, "rule-error");
    assert_eq!(by["location"], "rule.lua:3");
    assert_eq!(
        by["error"],
        "rule.lua:7: attempt to perform arithmetic on a nil value"
    );
}

#[test]
fn a_drop_at_a_budget_names_rule_line_and_budget() {
    let bench = Bench::with(ENDLESS);
    let options = ["--packet", "1", "--event-budget", "10ms"];
    let (reason, by) = bench.decided_by("stream-plain-v4.pcap", &options);
    assert_eq!(reason, "rule-budget");
    assert_eq!(by["name"], "endless");
    assert_eq!(by["location"], "rule.lua:3");
    let error = by["error"].as_str().expect("it tells of the budget");
    assert_eq!(
        error,
        "rule.lua:7: stopped: used more than 10ms of CPU time"
    );
}

#[test]
fn a_drop_at_a_cap_names_the_setting_and_the_packet_that_reached_it() {
    let bench = Bench::with(HOLDING);
    let caps = ["--set", "hold_bytes=4", "--set", "hold_policy=drop"];
    let options = [&["--packet", "8"][..], &caps].concat();
    let (reason, by) = bench.decided_by("stream-one-byte-v4.pcap", &options);
    assert_eq!(reason, "hold-cap");
    assert_eq!(by["by"], "cap");
    assert_eq!(by["setting"], "hold_bytes");
    assert_eq!(by["limit"], 4);
    assert_eq!(by["packet"], 12);
}

#[test]
fn a_drop_for_a_malformed_header_names_layer_offset_and_fault() {
    let bench = Bench::with("require('protocol/ipv4')\n");
    let options = ["--packet", "4", "--profile", "haka"];
    let (reason, by) = bench.decided_by("frames-odd-v4.pcap", &options);
    assert_eq!(reason, "malformed");
    assert_eq!(by["by"], "malformed");
    assert_eq!(by["layer"], "ipv4");
    assert_eq!(by["offset"], 14);
    assert_eq!(by["fault"], "truncated");
}

#[test]
fn members_of_a_group_are_told_apart() {
    let bench = Bench::with(GROUP);
    let account = bench.json("stream-plain-v4.pcap", &["--packet", "1"]);
    let decision = &account["outcome"]["decision"];
    assert_eq!(decision["location"], "rule.lua:9");
    assert_eq!(decision["name"], "gate");
    let members: Vec<&str> = steps(&account)
        .filter(|step| step["member"] == true)
        .filter_map(|step| step["result"].as_str())
        .collect();
    assert_eq!(
        members,
        ["nothing, returned false", "dropped the flow, returned true"]
    );
}

#[test]
fn a_rule_is_told_with_the_values_it_read() {
    let bench = Bench::with(RULE);
    let account = bench.json("stream-plain-v4.pcap", &["--packet", "1"]);
    let rule = steps(&account)
        .find(|step| step["step"] == "rule")
        .expect("a rule ran");
    let reads: Vec<_> = rule["reads"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|read| format!("{}={}", read["field"], read["value"]))
        .collect();
    assert_eq!(
        reads,
        [
            "\"tcp.flags.syn\"=\"true\"",
            "\"tcp.dstport\"=\"7000\"",
            "\"tcp.src\"=\"10.1.0.7\"",
            "\"tcp.dst\"=\"10.2.0.80\""
        ]
    );
}

#[test]
fn a_packet_that_waits_is_followed_to_its_verdict() {
    let bench = Bench::with(EDITING);
    let account = bench.json("stream-reorder-v4.pcap", &["--packet", "4"]);
    assert_eq!(account["outcome"]["during"], 8, "{account:#}");
    let held = steps(&account).any(|step| {
        step["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("held: bytes before it are missing"))
    });
    assert!(held, "{account:#}");
    let later = steps(&account)
        .any(|step| step["event"] == "tcp_connection:receive_data" && step["during"] == 8);
    assert!(later, "{account:#}");
}

#[test]
fn a_fragment_is_followed_through_its_datagram() {
    let bench = Bench::with("require('protocol/ipv4')\n");
    let text = bench.text("fragments-reversed-v4.pcap", &["--packet", "1"]);
    assert!(
        text.contains("held: it waits for the rest of its datagram"),
        "{text}"
    );
    assert!(text.contains("packets 1, 2, 3 are one datagram"), "{text}");
    assert!(
        text.ends_with("verdict: accept, during packet 3\n"),
        "{text}"
    );
}

#[test]
fn packets_made_on_account_of_it_are_told() {
    let bench = Bench::with(RESET);
    let account = bench.json("stream-plain-v4.pcap", &["--packet", "4"]);
    let injected = account["injected"].as_array().expect("a list");
    assert_eq!(injected.len(), 2, "an RST to each end: {account:#}");
    for packet in injected {
        let text = packet.to_string();
        assert!(text.contains("\"flags\":\"rst\""), "{text}");
    }
}

#[test]
fn both_families_are_told() {
    let rule = RULE.replace("protocol/ipv4", "protocol/ipv6");
    let bench = Bench::with(&rule);
    let (reason, by) = bench.decided_by("stream-plain-v6.pcap", &["--packet", "1"]);
    assert_eq!(
        (reason.as_str(), by["location"].as_str()),
        ("rule", Some("rule.lua:3"))
    );
}

#[test]
fn texts_stay_as_they_are() {
    let cases = [
        ("rule", RULE, "stream-plain-v4.pcap", ["--packet", "1"]),
        ("edit", EDITING, "stream-plain-v4.pcap", ["--packet", "4"]),
        ("held", EDITING, "stream-reorder-v4.pcap", ["--packet", "4"]),
        (
            "flow",
            EDITING,
            "stream-fin-with-data-v4.pcap",
            ["--flow", "1"],
        ),
        ("error", FAULTY, "stream-plain-v6.pcap", ["--packet", "1"]),
    ];
    for (name, rule, capture_name, options) in cases {
        let text = Bench::with(rule).text(capture_name, &options);
        let path = root().join("tests/explain").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &text).expect("the repository is writable");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, expected, "{name}: UPDATE_GOLDEN=1 rewrites it");
    }
}

#[test]
fn times_are_told_unless_left_out() {
    let bench = Bench::with(RULE);
    let account = bench.json("stream-plain-v4.pcap", &["--packet", "1"]);
    assert!(steps(&account).all(|step| step.get("nanoseconds").is_none()));
    let output = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["explain", "--json", "--packet", "1"])
        .arg(bench.0.path().join("rule.lua"))
        .arg(capture("stream-plain-v4.pcap"))
        .output()
        .expect("the program runs");
    let account: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let rule = steps(&account)
        .find(|step| step["step"] == "rule")
        .expect("a rule ran");
    assert!(rule["nanoseconds"].as_u64() > Some(0), "{account:#}");
}

#[test]
fn what_is_not_there_is_said() {
    let bench = Bench::with(RULE);
    let output = bench.run("stream-plain-v4.pcap", &["--packet", "9999"]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("there is no packet 9999"), "{message}");
    let output = bench.run("stream-plain-v4.pcap", &["--flow", "77"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    for usage in [
        &[][..],
        &["--packet", "1", "--flow", "1"],
        &["--packet", "0"],
    ] {
        let output = bench.run("stream-plain-v4.pcap", usage);
        assert_eq!(output.status.code(), Some(2), "{usage:?}");
    }
}

/// The verdict told is the one that `replay` gives, for every packet of
/// every sample.
#[test]
fn verdicts_are_those_of_a_replay() {
    let mut compared = 0;
    for entry in fs::read_dir(root().join("sample")).expect("there are samples") {
        let folder = entry.expect("the folder can be listed").path();
        let (rule, input) = (folder.join("rule.lua"), folder.join("input.pcap"));
        if !rule.is_file() || !input.is_file() {
            continue;
        }
        let refused = refusals(&rule, &input);
        for number in 1..=MAX_COMPARED {
            let output = Command::new(env!("CARGO_BIN_EXE_wero"))
                .args(["explain", "--json", "--packet", &number.to_string()])
                .args([&rule, &input])
                .output()
                .expect("the program runs");
            if output.status.code() == Some(1) {
                break;
            }
            let account: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
            let reason = account["outcome"]["reason"].as_str().map(str::to_owned);
            assert_eq!(
                reason.as_ref(),
                refused.get(&number),
                "packet {number} of {}",
                input.display()
            );
            compared += 1;
        }
    }
    assert!(compared > 40, "only {compared} packets compared");
}

/// Packets of each sample that are compared.
const MAX_COMPARED: u64 = 12;

/// The packets that a replay refuses, with the reason.
fn refusals(rule: &Path, input: &Path) -> BTreeMap<u64, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["replay", "--drops"])
        .args([rule, input])
        .output()
        .expect("the program runs");
    let messages = String::from_utf8_lossy(&output.stderr);
    messages
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.strip_prefix("frame ")?.split_once(": dropped, ")?;
            let reason = rest.split(' ').next()?;
            Some((number.parse().ok()?, reason.to_owned()))
        })
        .collect()
}

fn steps(account: &Value) -> impl Iterator<Item = &Value> {
    account["steps"].as_array().into_iter().flatten()
}

//! The programs as their users meet them: output, messages, exit codes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const QUIET: &str = "return\n";

/// Drops what goes to port 7000.
const PORT_7000: &str = "
require('protocol/ipv4')
require('protocol/tcp')
haka.rule {
  on = haka.dissectors.tcp.events.receive_packet,
  eval = function (pkt)
    if pkt.dstport == 7000 then pkt:drop() end
  end,
}
";

const ALERTS: &str = "
require('protocol/ipv4')
require('protocol/ipv6')
require('protocol/tcp_connection')
haka.rule {
  on = haka.dissectors.tcp_connection.events.new_connection,
  eval = function (flow, tcp)
    haka.alert { description = 'port ' .. flow.srcport, severity = 'low' }
    print('new', flow.srcport)
  end,
}
";

fn capture(name: &str) -> PathBuf {
    root().join("tests/captures").join(name)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with a rule file in it.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn with(rule: &str) -> Bench {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        fs::write(folder.path().join("rule.lua"), rule).expect("the folder is writable");
        Bench { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn replay(&self, options: &[&str], captures: &[PathBuf]) -> Output {
        wero(|command| {
            command
                .arg("replay")
                .args(options)
                .arg(self.path("rule.lua"))
                .args(captures)
        })
    }
}

fn run(program: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Output {
    let mut command = Command::new(program);
    command.env("TZ", "UTC").stdin(Stdio::null());
    arguments(&mut command).output().expect("the program runs")
}

fn wero(arguments: impl FnOnce(&mut Command) -> &mut Command) -> Output {
    run(env!("CARGO_BIN_EXE_wero"), arguments)
}

fn hakapcap(arguments: impl FnOnce(&mut Command) -> &mut Command) -> Output {
    run(env!("CARGO_BIN_EXE_hakapcap"), arguments)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// The number at the end of a summary line.
fn figure(output: &Output, name: &str) -> Option<u64> {
    let summary = text(&output.stderr);
    let line = summary
        .lines()
        .find(|line| line.trim_start().starts_with(name))?;
    line.trim_start()
        .strip_prefix(name)?
        .split_whitespace()
        .next()?
        .replace(',', "")
        .parse()
        .ok()
}

#[test]
fn versions_are_told() {
    assert!(text(&wero(|c| c.arg("--version")).stdout).starts_with("wero 0."));
    let haka = hakapcap(|c| c.arg("--version"));
    let lines = text(&haka.stdout);
    assert!(
        lines.starts_with("version 0.") && lines.contains(", luajit\nAPI version 2\n"),
        "{lines}"
    );
    assert_eq!(code(&haka), Some(0));
}

#[test]
fn profiles_are_printed_from_their_table() {
    let page = text(&wero(|c| c.args(["doc", "profiles"])).stdout);
    assert!(page.contains("| `validate_rst` | true | false |"), "{page}");
}

#[test]
fn wrong_usage_is_two() {
    assert_eq!(code(&wero(|c| c.arg("replay"))), Some(2));
    assert_eq!(
        code(&wero(|c| c.args(["replay", "--workers", "0", "a", "b"]))),
        Some(2)
    );
    assert_eq!(code(&hakapcap(|c| c.arg("--no-such-option"))), Some(2));
    let one_file = hakapcap(|c| c.arg("rule.lua"));
    assert_eq!(code(&one_file), Some(2));
    assert!(text(&one_file.stdout).starts_with("Usage: hakapcap"));
}

#[test]
fn a_swapped_rule_file_and_capture_are_told() {
    let bench = Bench::with(QUIET);
    let swapped = wero(|c| {
        c.arg("replay")
            .arg(capture("stream-plain-v4.pcap"))
            .arg(bench.path("rule.lua"))
    });
    assert_eq!(code(&swapped), Some(2));
    assert!(
        text(&swapped.stderr).contains("swapped"),
        "{}",
        text(&swapped.stderr)
    );
}

#[test]
fn missing_files_are_66_and_unwritable_ones_73() {
    let bench = Bench::with(QUIET);
    assert_eq!(
        code(&bench.replay(&[], &[bench.path("none.pcap")])),
        Some(66)
    );
    assert_eq!(
        code(&wero(|c| c.args(["flows", "/nonexistent.pcap"]))),
        Some(66)
    );
    let outside = bench.replay(
        &["-o", "/nonexistent/out.pcap"],
        &[capture("stream-plain-v4.pcap")],
    );
    assert_eq!(code(&outside), Some(73));
}

#[test]
fn an_invalid_rule_file_is_78_for_wero_and_1_for_hakapcap() {
    let bench = Bench::with("local x = = 1\n");
    let replay = bench.replay(&[], &[capture("stream-plain-v4.pcap")]);
    assert_eq!(code(&replay), Some(78));
    assert!(
        text(&replay.stderr).contains("rule.lua:1:"),
        "{}",
        text(&replay.stderr)
    );
    let haka = hakapcap(|c| {
        c.arg(bench.path("rule.lua"))
            .arg(capture("stream-plain-v4.pcap"))
    });
    assert_eq!(code(&haka), Some(1));
    assert!(
        text(&haka.stderr).contains("fatal core: thread initialization error"),
        "{}",
        text(&haka.stderr)
    );
}

#[test]
fn damage_is_65_after_every_packet_before_it() {
    let bench = Bench::with(QUIET);
    let whole = fs::read(capture("stream-plain-v4.pcap")).expect("the capture is there");
    let cut = bench.path("cut.pcap");
    fs::write(&cut, &whole[..whole.len() - 5]).expect("the folder is writable");
    let sound = bench.replay(&[], &[capture("stream-plain-v4.pcap")]);
    let damaged = bench.replay(&[], std::slice::from_ref(&cut));
    assert_eq!(code(&damaged), Some(65));
    assert_eq!(
        figure(&damaged, "packets"),
        figure(&sound, "packets").map(|count| count - 1)
    );
    assert!(
        text(&damaged.stderr).contains("is damaged at byte"),
        "{}",
        text(&damaged.stderr)
    );
    assert_eq!(code(&wero(|c| c.arg("flows").arg(&cut))), Some(65));
}

#[test]
fn untouched_packets_leave_byte_for_byte() {
    let bench = Bench::with(QUIET);
    for name in [
        "stream-plain-v4.pcap",
        "stream-sack-v6.pcap",
        "fragments-reversed-v4.pcap",
        "frames-odd-v6.pcap",
    ] {
        let out = bench.path("out.pcap");
        let output = bench.replay(&["-o", &out.display().to_string()], &[capture(name)]);
        assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
        // Fragments leave in the order of their datagram.
        let sorted = |mut packets: Vec<Vec<u8>>| {
            packets.sort();
            packets
        };
        assert_eq!(
            sorted(packets(&out)),
            sorted(packets(&capture(name))),
            "{name}"
        );
    }
}

/// The packets of a little-endian pcap file, with their times.
fn packets(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).expect("the capture is there");
    let mut packets = Vec::new();
    let mut rest = &bytes[24..];
    while rest.len() >= 16 {
        let length = u32::from_le_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
        packets.push(rest[..16 + length].to_vec());
        rest = &rest[16 + length..];
    }
    packets
}

#[test]
fn refused_packets_are_named_with_their_rule_and_kept_out() {
    let bench = Bench::with(PORT_7000);
    let out = bench.path("out.pcap");
    let output = bench.replay(
        &["--drops", "-o", &out.display().to_string()],
        &[capture("stream-plain-v4.pcap")],
    );
    let dropped = figure(&output, "dropped").expect("the summary says so");
    assert!(dropped > 0);
    let named = text(&output.stderr)
        .lines()
        .filter(|line| line.contains(": dropped, rule by ") && line.contains("rule.lua:"))
        .count();
    assert_eq!(named as u64, dropped, "{}", text(&output.stderr));
    let came = packets(&capture("stream-plain-v4.pcap")).len() as u64;
    assert_eq!(packets(&out).len() as u64, came - dropped);
}

#[test]
fn a_monitor_changes_nothing_and_counts_what_would_have_been() {
    let bench = Bench::with(PORT_7000);
    let out = bench.path("out.pcap");
    let output = bench.replay(
        &["--monitor", "-o", &out.display().to_string()],
        &[capture("stream-plain-v4.pcap")],
    );
    assert!(figure(&output, "dropped").is_some_and(|dropped| dropped > 0));
    assert_eq!(packets(&out), packets(&capture("stream-plain-v4.pcap")));
}

#[test]
fn several_workers_say_and_let_through_what_one_does() {
    let bench = Bench::with(ALERTS);
    let captures: Vec<_> = [
        "connections-on-two-vlans-v4.pcap",
        "stream-plain-v4.pcap",
        "stream-plain-v6.pcap",
        "stream-reorder-v4.pcap",
        "fragments-reversed-v4.pcap",
        "stream-rst-v6.pcap",
        "datagrams-v4.pcap",
    ]
    .map(capture)
    .to_vec();
    let (one, four) = (bench.path("one.pcapng"), bench.path("four.pcapng"));
    let alone = bench.replay(&["-o", &one.display().to_string()], &captures);
    let together = bench.replay(
        &["--workers", "4", "-o", &four.display().to_string()],
        &captures,
    );
    assert_eq!(
        (code(&alone), code(&together)),
        (Some(0), Some(0)),
        "{}",
        text(&together.stderr)
    );
    assert!(figure(&alone, "alerts").is_some_and(|alerts| alerts > 2));
    assert_eq!(text(&together.stdout), text(&alone.stdout));
    assert!(
        fs::read(one).expect("written") == fs::read(four).expect("written"),
        "other packets"
    );
    assert_eq!(figure(&together, "packets"), figure(&alone, "packets"));
}

#[test]
fn alerts_go_where_they_are_sent() {
    let bench = Bench::with(ALERTS);
    let captures = [capture("stream-plain-v4.pcap")];
    let as_text = text(&bench.replay(&[], &captures).stdout);
    assert!(as_text.starts_with("alert: id = 1\n\ttime = "), "{as_text}");
    let json = text(&bench.replay(&["--alerts", "json"], &captures).stdout);
    let first: serde_json::Value =
        serde_json::from_str(json.lines().next().unwrap_or_default()).expect("JSON");
    assert_eq!(first["alert"]["id"], 1);

    let file = bench.path("alerts.json");
    let output = bench.replay(&["--alerts", &file.display().to_string()], &captures);
    assert!(
        !text(&output.stdout).contains("alert"),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(
        fs::read_to_string(file).expect("written"),
        json.lines().next().unwrap_or_default().to_owned() + "\n"
    );
}

#[test]
fn captures_come_from_standard_input_too() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["flows", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("wero runs");
    let bytes = fs::read(capture("stream-plain-v4.pcap")).expect("the capture is there");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(&bytes)
        .expect("wero reads");
    let output = child.wait_with_output().expect("wero ends");
    let direct = wero(|c| {
        c.args(["flows", "--json"])
            .arg(capture("stream-plain-v4.pcap"))
    });
    assert_eq!(text(&output.stdout), text(&direct.stdout));
    assert!(text(&output.stdout).contains("\"state\":\"ok\""));
}

#[test]
fn flows_tell_opener_vlan_and_ending() {
    let lines = text(
        &wero(|c| {
            c.args(["flows", "--json"])
                .arg(capture("stream-vlan-v6.pcap"))
        })
        .stdout,
    );
    let flow: serde_json::Value = serde_json::from_str(lines.trim()).expect("one flow");
    assert_eq!(
        (&flow["flow_id"], &flow["first_frame"], &flow["ended"]),
        (&1.into(), &1.into(), &"fin".into())
    );
    assert!(
        flow["vlan"].as_array().is_some_and(|ids| !ids.is_empty()),
        "{flow}"
    );
    assert!(
        flow["history"]
            .as_str()
            .is_some_and(|history| history.starts_with("Sh")),
        "{flow}"
    );

    let lost = text(
        &wero(|c| {
            c.args(["flows", "--json"])
                .arg(capture("stream-conflict-v4.pcap"))
        })
        .stdout,
    );
    assert!(lost.contains("\"state\":\"conflict\""), "{lost}");
    let table = text(&wero(|c| c.arg("flows").arg(capture("stream-rst-v4.pcap"))).stdout);
    assert!(
        table.starts_with("flow ") && table.contains(" rst "),
        "{table}"
    );
}

#[test]
fn two_captures_are_one_run() {
    let pair = [
        capture("stream-plain-v4.pcap"),
        capture("stream-plain-v6.pcap"),
    ];
    let lines = text(&wero(|c| c.args(["flows", "--json"]).args(&pair)).stdout);
    let flows: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let seen: Vec<_> = flows
        .iter()
        .map(|flow| (flow["flow_id"].as_u64(), flow["first_frame"].as_u64()))
        .collect();
    assert_eq!(
        seen,
        [(Some(1), Some(1)), (Some(2), Some(1))],
        "frames are counted in each file"
    );
    assert_eq!(flows[1]["pcap_filename"], pair[1].display().to_string());
}

#[test]
fn hakapcap_logs_its_start_and_end_as_haka_does() {
    let bench = Bench::with(QUIET);
    let empty = bench.path("empty.pcap");
    let header =
        fs::read(capture("stream-plain-v4.pcap")).expect("the capture is there")[..24].to_vec();
    fs::write(&empty, header).expect("the folder is writable");
    let output = hakapcap(|c| c.arg(bench.path("rule.lua")).arg(&empty));
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let log = text(&output.stdout);
    let rule = bench.path("rule.lua").display().to_string();
    for line in [
        "info  core: load module 'capture/pcap.so', Pcap Module\n",
        "info  core: setting packet capture mode to pass-through\n\n",
        &format!("info  core: loading rule file '{rule}'\n"),
        "info  core: initializing thread 0\n",
        " opening file '",
        " starting single threaded processing\n\n",
        " unload module 'Pcap Module'\n",
    ] {
        assert!(log.contains(line), "{line:?} is not in\n{log}");
    }
    assert!(
        !text(&hakapcap(|c| c.arg("--no-pass-through").arg(&rule).arg(&empty)).stdout)
            .contains("pass-through")
    );
}

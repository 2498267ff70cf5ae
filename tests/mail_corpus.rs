//! SMTP, FTP and SSH in real captures: the messages of `wero sessions` against
//! answers that others found.
//!
//! The corpus is no part of this repository; see `tests/corpus.rs`. SMTP is
//! judged by its answers, frame by frame; FTP and SSH by tshark, where it is
//! installed, since the answers have no rows of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[path = "support/captures.rs"]
mod captures;

/// A message in words: frame, who sent it, what it says.
type Row = (u64, char, String);

const LEAST_EQUAL_PERCENT: f64 = 99.0;

#[test]
fn smtp_is_what_the_answers_say() {
    let Some(corpus) = captures::corpus() else {
        println!("skipped: no corpus");
        return;
    };
    let (mut judged, mut equal, mut surplus) = (0, 0, 0);
    let mut faults = Vec::new();
    for answers in in_order(&corpus.join("oracle")) {
        let name = answers.file_stem().and_then(|name| name.to_str());
        let name = name.expect("answers have a name").to_owned();
        let expected = smtp_answers(&answers);
        let capture = corpus.join("captures").join(&name);
        if expected.is_empty() && !name.contains("smtp") {
            continue;
        }
        let got = messages(&capture, "smtp", smtp_words);
        let (same, missing, extra) = compare(&expected, &got);
        judged += expected.len();
        equal += same;
        faults.extend(missing.iter().map(|row| format!("{name}: missing {row:?}")));
        if let Some((_, cause)) = SURPLUS.iter().find(|(capture, _)| *capture == name) {
            println!("{name}: {} more: {cause}", extra.len());
        } else {
            surplus += extra.len();
            faults.extend(
                extra
                    .iter()
                    .map(|row| format!("{name}: unexpected {row:?}")),
            );
        }
    }
    println!("corpus smtp: {equal} of {judged} rows equal, {surplus} unexpected");
    for fault in &faults {
        println!("  {fault}");
    }
    assert!(judged > 150, "the corpus has answers");
    let percent = 100.0 * equal as f64 / (judged + surplus) as f64;
    assert!(percent >= LEAST_EQUAL_PERCENT, "{percent:.2} %");
}

/// Captures where messages are found that the answers lack, and why.
const SURPLUS: &[(&str, &str)] = &[
    (
        "sv--firewall_ruletype-firewall-133-smtp-out-of-order-commands_smtp-out-of-order.pcap",
        REFUSED_DATA,
    ),
    ("zeek--smtp-mail-transactions-invalid.pcap", REFUSED_DATA),
    (
        "zeek--smtp_smtp-bdat-pipeline-8bitmime.pcap",
        "tshark finds no commands in a segment with a chunk of mail",
    ),
];

const REFUSED_DATA: &str = "tshark takes commands after a refused DATA for mail";

#[test]
fn ftp_and_ssh_are_what_tshark_says() {
    let Some(corpus) = captures::corpus() else {
        println!("skipped: no corpus");
        return;
    };
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("skipped: no tshark");
        return;
    }
    let mut faults = Vec::new();
    let mut judged = 0;
    for capture in in_order(&corpus.join("captures")) {
        let name = capture.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default().to_owned();
        let (expected, got) = if name.contains("--ftp") || name.contains("ftp-data") {
            (
                by_reply(ftp_by_tshark(&capture)),
                by_reply(messages(&capture, "ftp", ftp_words)),
            )
        } else if name.contains("ssh") && name != "zeek--http_get-to-ssh-server.pcap" {
            // In that one the client begins with HTTP, which decides.
            (
                ssh_by_tshark(&capture),
                messages(&capture, "ssh", ssh_words),
            )
        } else {
            continue;
        };
        let (_, missing, extra) = compare(&expected, &got);
        judged += expected.len();
        faults.extend(missing.iter().map(|row| format!("{name}: missing {row:?}")));
        faults.extend(
            extra
                .iter()
                .map(|row| format!("{name}: unexpected {row:?}")),
        );
    }
    println!(
        "corpus ftp and ssh: {judged} messages, {} differ",
        faults.len()
    );
    assert!(judged > 50, "the corpus has both protocols");
    // One capture lacks bytes: the line behind them is not told apart from the
    // rest of another.
    let percent = 100.0 * faults.len() as f64 / judged as f64;
    assert!(
        percent <= 100.0 - LEAST_EQUAL_PERCENT,
        "{}",
        faults.join("\n")
    );
}

#[test]
fn ftp_data_connections_are_those_that_tshark_finds() {
    let Some(corpus) = captures::corpus() else {
        println!("skipped: no corpus");
        return;
    };
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("skipped: no tshark");
        return;
    }
    let mut found = 0;
    for capture in in_order(&corpus.join("captures")) {
        let name = capture.file_name().unwrap_or_default().to_string_lossy();
        if !name.contains("--ftp") && !name.contains("ftp-data") {
            continue;
        }
        let (mut got, expected) = (data_connections(&capture), data_by_tshark(&capture));
        found += got.len();
        if name == "zeek--ftp_ipv4.pcap" {
            // tshark knows a server that opens one by its port 20; this one,
            // which was announced as well, uses others.
            got.retain(|ports| !ports.iter().any(|port| [61918, 61920].contains(port)));
        }
        assert_eq!(got, expected, "{name}");
    }
    println!("corpus ftp-data: {found} connections");
    assert!(found > 5, "the corpus has transfers");
}

/// Both ports of the connections that `wero flows` names so.
fn data_connections(capture: &Path) -> BTreeSet<[u64; 2]> {
    let output = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["flows", "--json", "--protocol", "ftp-data"])
        .arg(capture)
        .output()
        .expect("wero runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .map(|line| {
            let flow: Value = serde_json::from_str(line).expect("a line of JSON");
            let port = |name: &str| flow[name].as_u64().expect("a port");
            sorted([port("src_port"), port("dest_port")])
        })
        .collect()
}

fn data_by_tshark(capture: &Path) -> BTreeSet<[u64; 2]> {
    let rows = tshark(capture, "ftp-data", &["tcp.srcport", "tcp.dstport"]);
    rows.iter()
        .filter_map(|cells| {
            let [from, to] = &cells[..] else { return None };
            // Packets that an ICMP error quotes have two of each.
            Some(sorted([from.parse().ok()?, to.parse().ok()?]))
        })
        .collect()
}

fn sorted(mut ports: [u64; 2]) -> [u64; 2] {
    ports.sort_unstable();
    ports
}

fn in_order(folder: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(folder).expect("a readable folder");
    let mut files: Vec<PathBuf> = listing
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name != "manifest.tsv"))
        .collect();
    files.sort();
    files
}

fn compare(expected: &[Row], got: &[Row]) -> (usize, Vec<Row>, Vec<Row>) {
    let mut counts: BTreeMap<&Row, i64> = BTreeMap::new();
    for row in expected {
        *counts.entry(row).or_default() += 1;
    }
    for row in got {
        *counts.entry(row).or_default() -= 1;
    }
    let times = |count: i64| usize::try_from(count).unwrap_or(0);
    let repeat = |row: &Row, count| std::iter::repeat_n(row.clone(), times(count));
    let missing: Vec<Row> = counts.iter().flat_map(|(row, &n)| repeat(row, n)).collect();
    let extra = counts
        .iter()
        .flat_map(|(row, &n)| repeat(row, -n))
        .collect();
    (expected.len() - missing.len(), missing, extra)
}

/// The messages of a protocol that `wero sessions` finds.
fn messages(capture: &Path, proto: &str, words: fn(&Value) -> Option<String>) -> Vec<Row> {
    let output = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["sessions", "--json"])
        .arg(capture)
        .output()
        .expect("wero runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter_map(|line| {
            let message: Value = serde_json::from_str(line).expect("a line of JSON");
            if message["proto"] != proto {
                return None;
            }
            let from_server = match message["type"].as_str()? {
                "command" => false,
                "response" => true,
                _ => message["src_port"] == 22,
            };
            let who = if from_server { 's' } else { 'c' };
            Some((message["frame"].as_u64()?, who, words(&message)?))
        })
        .collect()
}

/// The answers' text: bytes outside 0x20 to 0x7e and the backslash escaped.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'\\' | 0..=0x1f | 0x7f.. => format!("\\x{byte:02x}"),
            _ => char::from(byte).to_string(),
        })
        .collect()
}

fn smtp_answers(path: &Path) -> Vec<Row> {
    let text = fs::read(path).expect("readable answers");
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let ["smtp", frame, _, who, first, second] = columns[..] else {
                return None;
            };
            let who = who.chars().next()?;
            Some((frame.parse().ok()?, who, format!("{first} {second}")))
        })
        .collect()
}

/// As the answers have it: tshark takes the first four bytes of a line for
/// the command and what follows the next byte for its parameter.
fn smtp_words(message: &Value) -> Option<String> {
    if message["type"] == "command" {
        let mut line = message["command"].as_str()?.to_owned();
        if let Some(parameter) = message["parameter"].as_str() {
            line = format!("{line} {parameter}");
        }
        let verb = line.get(..4).unwrap_or(&line);
        let rest = line.get(5..).filter(|rest| !rest.is_empty()).unwrap_or("-");
        return Some(format!("{} {}", escaped(verb), escaped(rest)));
    }
    let lines: Vec<&str> = message["lines"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let text = escaped(&lines.join("|"));
    let text = if text.is_empty() { "-" } else { &text };
    Some(format!("{} {text}", message["code"].as_u64()?))
}

fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command
        .args(["-r"])
        .arg(capture)
        .args(["-Y", filter, "-T", "fields", "-E", "aggregator=|"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().map(cells).collect()
}

/// One row for each verb and each code that ends a reply; tshark tells of
/// every line of a reply.
fn ftp_by_tshark(capture: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    let fields = ["frame.number", "ftp.request.command", "ftp.response.code"];
    for cells in tshark(capture, "ftp && !tls", &fields) {
        let [frame, commands, codes] = &cells[..] else {
            continue;
        };
        let frame = frame.parse().expect("a number");
        for command in commands.split('|').filter(|command| !command.is_empty()) {
            rows.push((frame, 'c', command.to_uppercase()));
        }
        for code in codes.split('|').filter(|code| !code.is_empty()) {
            rows.push((frame, 's', code.to_owned()));
        }
    }
    rows
}

/// Commands by frame; of the replies, which codes there are: tshark tells of
/// each line, and a reply of several lines is one message.
fn by_reply(rows: Vec<Row>) -> Vec<Row> {
    let (commands, replies): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.1 == 'c');
    let codes: BTreeSet<String> = replies.into_iter().map(|row| row.2).collect();
    let replies = codes.into_iter().map(|code| (0, 's', code));
    commands.into_iter().chain(replies).collect()
}

fn ftp_words(message: &Value) -> Option<String> {
    match message["command"].as_str() {
        Some(command) => Some(command.to_uppercase()),
        None => Some(message["code"].as_u64()?.to_string()),
    }
}

fn ssh_by_tshark(capture: &Path) -> Vec<Row> {
    let rows = tshark(
        capture,
        "ssh.protocol",
        &["frame.number", "tcp.srcport", "ssh.protocol"],
    );
    rows.iter()
        .filter_map(|cells| {
            let [frame, port, line] = &cells[..] else {
                return None;
            };
            let who = if port == "22" { 's' } else { 'c' };
            Some((frame.parse().ok()?, who, line.trim_end().to_owned()))
        })
        .collect()
}

fn ssh_words(message: &Value) -> Option<String> {
    let (version, software) = (message["version"].as_str()?, message["software"].as_str()?);
    let comments = message["comments"]
        .as_str()
        .map_or(String::new(), |text| format!(" {text}"));
    Some(format!("SSH-{version}-{software}{comments}"))
}

//! DNS of real captures with independent answers: `wero sessions --json` on
//! each capture that has any, against the `dns` rows of the oracle.
//!
//! As `tests/corpus.rs`, it is skipped without the corpus. A message is its
//! frame, id, kind, code, questions and answers; one that the answers do not
//! have counts as an error too. What is not judged has its reason below.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[path = "support/captures.rs"]
mod captures;

const LEAST_EQUAL_PERCENT: f64 = 99.0;

/// Captures that are not judged, and why.
const NOT_JUDGED: [(&str, &str); 2] = [
    (
        "nDPI--default_someip_sd_sample.pcap",
        "SOME/IP, which tshark takes for DNS",
    ),
    (
        "zeek--wlanmon.pcap",
        "frames of 802.11, which are not decoded",
    ),
];

/// What tshark shows of a label of an unknown kind. It goes on behind its
/// first byte and reads the rest of the name as type and class: no answer.
const INVENTED: &str = "<Unknown extended label>";

/// A message in one line, the same way for both sides.
type Shown = String;

#[test]
fn messages_are_what_the_answers_say() {
    let Some(corpus) = captures::corpus() else {
        println!("skipped: no corpus");
        return;
    };
    let (mut judged, mut equal, mut extra) = (0, 0, 0);
    let mut differences = Vec::new();
    for capture in captures::in_folder(&corpus.join("captures")) {
        let name = capture
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let answers =
            fs::read_to_string(corpus.join(format!("oracle/{name}.tsv"))).unwrap_or_default();
        if NOT_JUDGED.iter().any(|(capture, _)| *capture == name) {
            continue;
        }
        let expected = expected(&answers);
        let found = found(&capture);
        if expected.is_empty() && found.is_empty() {
            continue;
        }
        judged += expected.values().sum::<usize>();
        for (message, &count) in &expected {
            let have = found.get(message).copied().unwrap_or(0);
            if message.contains(INVENTED) {
                judged -= count;
                continue;
            }
            equal += have.min(count);
            if have < count {
                differences.push(format!("{name}: not found: {message}"));
            }
        }
        for (message, &count) in &found {
            let more = count.saturating_sub(expected.get(message).copied().unwrap_or(0));
            // A message that differs stands in both lists: it counts once.
            if more > 0 && !stands_for_another(message, &expected) {
                extra += more;
            }
            if more > 0 {
                differences.push(format!("{name}: found: {message}"));
            }
        }
    }
    for difference in &differences {
        println!("{difference}");
    }
    let percent = 100.0 * equal as f64 / (judged + extra) as f64;
    println!("{equal} of {judged} messages equal, {extra} more: {percent:.2} %");
    assert!(judged > 2000, "the corpus has more DNS than that");
    assert!(percent >= LEAST_EQUAL_PERCENT, "{percent:.2} %");
}

fn stands_for_another(message: &str, expected: &BTreeMap<Shown, usize>) -> bool {
    let key = |text: &str| {
        text.split(' ')
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let own = key(message);
    expected.keys().any(|other| key(other) == own)
}

/// Columns: dns frame transport app src sport dst dport id qr opcode rcode
/// nq nan nns nar queries answers.
fn expected(answers: &str) -> BTreeMap<Shown, usize> {
    let mut messages = BTreeMap::new();
    for line in answers.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [
            "dns",
            frame,
            transport,
            _,
            _,
            _,
            _,
            _,
            id,
            qr,
            opcode,
            rcode,
            _,
            _,
            _,
            _,
            queries,
            answers,
        ] = columns[..]
        else {
            continue;
        };
        if transport == "other" {
            continue;
        }
        let id = u16::from_str_radix(id.trim_start_matches("0x"), 16).expect("an id");
        let rcode = if qr == "1" { rcode } else { "-" };
        let shown = format!("{frame} {id} {qr} {opcode} {rcode} {queries} {answers}");
        *messages.entry(shown).or_default() += 1;
    }
    messages
}

fn found(capture: &Path) -> BTreeMap<Shown, usize> {
    let done = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["sessions", "--json"])
        .arg(capture)
        .output()
        .expect("wero runs");
    let mut messages = BTreeMap::new();
    for line in String::from_utf8_lossy(&done.stdout).lines() {
        let line: Value = serde_json::from_str(line).expect("a JSON object");
        if line["proto"] != "dns" || line["type"] == "anomaly" {
            continue;
        }
        *messages.entry(shown(&line)).or_default() += 1;
    }
    messages
}

fn shown(line: &Value) -> Shown {
    let (qr, rcode) = match line["type"] == "response" {
        true => ("1", line["rcode"].to_string()),
        false => ("0", "-".to_owned()),
    };
    let list = |name: &str, one: fn(&Value) -> String| {
        let texts: Vec<String> = line[name]
            .as_array()
            .into_iter()
            .flatten()
            .map(one)
            .collect();
        match texts.is_empty() {
            true => "-".to_owned(),
            false => texts.join(";"),
        }
    };
    format!(
        "{} {} {qr} {} {rcode} {} {}",
        line["frame"],
        line["id"],
        line["opcode"],
        list("questions", |q| format!(
            "{}/{}",
            name(&q["name"]),
            number(&q["type"])
        )),
        list("answers", |a| format!(
            "{}/{}/{}",
            name(&a["name"]),
            number(&a["type"]),
            data(a)
        )),
    )
}

/// A name as the answers have it.
fn name(value: &Value) -> String {
    match value.as_str().unwrap_or_default() {
        "." | "" => "<Root>".to_owned(),
        text => escaped(text.trim_end_matches('.')),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'\\' => out.push_str("\\x5c"),
            0x20..=0x7e => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}

/// Types by number, as the answers have them.
fn number(value: &Value) -> String {
    let name = value.as_str().unwrap_or_default();
    let kind = wero::proto::dns::RecordType::from_name(name);
    kind.map_or_else(|| name.to_owned(), |kind| kind.0.to_string())
}

/// Data of the types that the answers give, names without their last dot.
fn data(record: &Value) -> String {
    let text = record["data"].as_str().unwrap_or_default();
    if text.starts_with("\\#") {
        return String::new();
    }
    let words = || {
        let words: Vec<String> = text
            .split(' ')
            .map(|word| match word {
                "." => "<Root>".to_owned(),
                word => escaped(word.trim_end_matches('.')),
            })
            .collect();
        words.join(" ")
    };
    match record["type"].as_str().unwrap_or_default() {
        "A" | "AAAA" => text.to_owned(),
        "CNAME" | "NS" | "PTR" | "MX" | "SRV" => words(),
        "SOA" => words().split(' ').next().unwrap_or_default().to_owned(),
        "TXT" => escaped(
            &text
                .replace("\" \"", "|")
                .trim_matches('"')
                .replace("\\\"", "\""),
        ),
        _ => String::new(),
    }
}

//! Real captures with independent answers: the messages of `wero sessions`
//! against the rows `http` of the corpus.
//!
//! Method, uri, host, version, status, reason, type and the body's hash have
//! to be equal. A complete message that no row tells of counts as an error
//! too, unless [`EXTRA`] says why it is there; and so does a row that no
//! message answers, unless [`MISSING`] says why. Messages cut short are not
//! judged: the answers leave them out.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[path = "support/captures.rs"]
mod captures;

const LEAST_EQUAL_PERCENT: f64 = 99.0;

const NO_TEXT: &str = "bytes that are no text, written in another way";

/// Captures with rows that cannot be answered, how many, and why.
const MISSING: &[(&str, usize, &str)] = &[
    (
        "zeek--http_connect-with-smtp.pcap",
        1,
        "a header without a colon: told as an anomaly",
    ),
    ("haka--http_binary_uri.pcap", 1, NO_TEXT),
    ("haka--http_binary_header.pcap", 1, NO_TEXT),
    (
        "haka--tcp_oneconnection.pcap",
        1,
        "a segment with a wrong checksum",
    ),
    (
        "sv--bug-3286-02-linux-evasion_with_evasion_linux.pcap",
        1,
        "the connection was reset before",
    ),
    (
        "zeek--tunnels_ayiya3.pcap",
        4,
        "inside AYIYA, which is not decoded",
    ),
];

/// Captures with messages that no row tells of, how many, and why.
const EXTRA: &[(&str, usize, &str)] = &[
    ("haka--http_binary_uri.pcap", 1, NO_TEXT),
    ("haka--http_binary_header.pcap", 1, NO_TEXT),
    (
        "haka--http_variation_http.pcap",
        3,
        "a method that tshark does not know, or a line end",
    ),
    (
        "haka--sample_standard-http.pcap",
        1,
        "a method that tshark does not know",
    ),
    (
        "haka--src_haka_basic.pcap",
        1,
        "a method that tshark does not know",
    ),
    (
        "mercury--dns_packet.capture2.pcap",
        47,
        "tshark drops what is in the capture twice, as loopback has it",
    ),
    (
        "sv--http-gap-simple_input.pcap",
        1,
        "read on behind the gap",
    ),
    (
        "zeek--http_get-to-ssh-server.pcap",
        1,
        "sent to a port of another protocol",
    ),
    (
        "zeek--http_query-method-non-standard-port.pcap",
        1,
        "a method that tshark does not know",
    ),
    (
        "zeek--tcp-http-with-padding.pcap",
        1,
        "on a port that tshark does not expect it on",
    ),
];

#[test]
fn messages_are_what_the_answers_say() {
    let Some(corpus) = captures::corpus() else {
        println!("skipped: no corpus");
        return;
    };
    let (mut rows, mut wrong, mut report) = (0, 0, Vec::new());
    for capture in captures::in_folder(&corpus.join("captures")) {
        let name = capture.file_name().unwrap_or_default().to_string_lossy();
        let answers = corpus.join(format!("oracle/{name}.tsv"));
        let expected = expected(&fs::read(&answers).unwrap_or_default());
        let mut found = found(&capture);
        rows += expected.len();
        let mut missing = Vec::new();
        for row in expected {
            match found.iter().position(|message| row.is(message)) {
                Some(at) => {
                    found.swap_remove(at);
                }
                None => missing.push(format!("{name}: missing {:?}", row.head)),
            }
        }
        found.retain(|message| message.complete);
        wrong += missing.len().saturating_sub(listed(MISSING, &name));
        wrong += found.len().saturating_sub(listed(EXTRA, &name));
        report.extend(missing);
        report.extend(
            found
                .iter()
                .map(|one| format!("{name}: extra {:?}", one.head)),
        );
    }
    for line in &report {
        println!("{line}");
    }
    let equal = 100.0 * rows.saturating_sub(wrong) as f64 / rows.max(1) as f64;
    println!("{rows} rows, {wrong} wrong, {equal:.2} % equal");
    assert!(rows > 0, "the corpus has answers");
    assert!(equal >= LEAST_EQUAL_PERCENT, "{report:#?}");
}

fn listed(list: &[(&str, usize, &str)], name: &str) -> usize {
    let own = list.iter().filter(|(capture, ..)| *capture == name);
    own.map(|(_, count, _)| count).sum()
}

/// One message, as the answers have it; `-` for what is not there.
#[derive(Debug)]
struct Told {
    head: Vec<String>,
    /// Length and hash.
    body: Option<[String; 2]>,
    complete: bool,
}

impl Told {
    /// Whether the message is what this row tells; an answer without a body
    /// says nothing about it.
    fn is(&self, message: &Told) -> bool {
        self.head == message.head && (self.body.is_none() || self.body == message.body)
    }
}

fn expected(text: &[u8]) -> Vec<Told> {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let ["http", _, _, kind, head @ .., _, len, hash] = &columns[..] else {
                return None;
            };
            let mut head: Vec<String> = head.iter().map(|&text| text.to_owned()).collect();
            head.insert(0, (*kind).to_owned());
            let body = (*len != "-").then(|| [(*len).to_owned(), (*hash).to_owned()]);
            Some(Told {
                head,
                body,
                complete: true,
            })
        })
        .collect()
}

fn found(capture: &Path) -> Vec<Told> {
    let run = Command::new(env!("CARGO_BIN_EXE_wero"))
        .args(["sessions", "--json"])
        .arg(capture)
        .output()
        .expect("wero runs");
    String::from_utf8_lossy(&run.stdout)
        .lines()
        .filter_map(|line| told(&serde_json::from_str(line).ok()?))
        .collect()
}

fn told(message: &Value) -> Option<Told> {
    let text = |name: &str| match &message[name] {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "-".to_owned(),
    };
    if message["proto"] != "http" {
        return None;
    }
    let head = match message["type"].as_str()? {
        "request" => vec![
            "req".to_owned(),
            text("method"),
            text("uri"),
            text("host"),
            text("version"),
        ],
        "response" => {
            let headers: HashMap<String, &str> = message["headers"]
                .as_array()?
                .iter()
                .rev()
                .filter_map(|pair| Some((pair[0].as_str()?.to_lowercase(), pair[1].as_str()?)))
                .collect();
            let kind = headers.get("content-type").copied().unwrap_or_default();
            let kind = if kind.is_empty() { "-" } else { kind };
            vec![
                "rsp".to_owned(),
                text("status"),
                text("reason"),
                kind.to_owned(),
                text("version"),
            ]
        }
        _ => return None,
    };
    let body = &message["body"];
    let body = body.is_object().then(|| {
        [
            body["len"].to_string(),
            body["sha256"].as_str().unwrap_or_default().to_owned(),
        ]
    });
    Some(Told {
        head,
        body,
        complete: message["complete"] == true,
    })
}

//! Real captures with independent answers: the hellos of TLS and QUIC that
//! the parsers find, against the rows `tls` and `tlss` of the corpus.
//!
//! Every field of a row has to be equal. A hello that no row tells of counts
//! as an error too, unless [`EXTRA`] says why it is there; and so does a row
//! that no hello answers, unless [`MISSING`] says why.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

use wero::core::Core;
use wero::core::observe::Observer;
use wero::event::profile::Checksums;
use wero::event::{Profile, Settings};
use wero::flow::Direction;
use wero::proto::parser::{DatagramParser, SessionParser};
use wero::proto::{quic, tls};
use wero::stream::assembler::Piece;
use wero::worker::captures::Captures;
use wero::worker::journal::Journal;
use wero::worker::{Nobody, Wanted, Worker, shared_engine};

#[path = "support/captures.rs"]
mod captures;

const LEAST_EQUAL_PERCENT: f64 = 99.0;

/// Captures with hellos that no row tells of, how many, and why.
const EXTRA: &[(&str, usize, &str)] = &[
    (
        "nDPI--default_gnutella.pcap",
        2,
        "TLS on a port that tshark does not expect it on",
    ),
    (
        "nDPI--default_ookla.pcap",
        2,
        "TLS on a port that tshark does not expect it on",
    ),
    (
        "nDPI--default_tls_invalid_reads.pcap",
        1,
        "the answer has no JA3 for a hello whose last extension is cut",
    ),
    (
        "sv--tls_tls13-draft14_tls13_draft14.pcap",
        1,
        "the answer reads draft 14 as TLS 1.2: its cipher is no cipher",
    ),
];

/// Captures with rows that cannot be answered, how many, and why.
const MISSING: &[(&str, usize, &str)] = &[
    (
        "nDPI--default_tls_invalid_reads.pcap",
        2,
        "hellos cut short: told as anomalies",
    ),
    (
        "sv--tls_tls13-draft14_tls13_draft14.pcap",
        1,
        "the answer reads draft 14 as TLS 1.2: its cipher is no cipher",
    ),
];

#[test]
fn hellos_are_what_the_answers_say() {
    let Some(corpus) = captures::corpus() else {
        println!("skipped: no corpus");
        return;
    };
    let (mut rows, mut wrong, mut report) = (0, 0, Vec::new());
    for capture in captures::in_folder(&corpus.join("captures")) {
        let name = capture.file_name().unwrap_or_default().to_string_lossy();
        let answers = corpus.join(format!("oracle/{name}.tsv"));
        let expected = expected(&fs::read(&answers).unwrap_or_default());
        let found = found(&capture);
        rows += expected.len();
        let missing = without(&expected, &found);
        let extra = without(&found, &expected);
        wrong += missing.len().saturating_sub(listed(MISSING, &name));
        wrong += extra.len().saturating_sub(listed(EXTRA, &name));
        report.extend(missing.iter().map(|row| format!("{name}: missing {row}")));
        report.extend(extra.iter().map(|row| format!("{name}: extra {row}")));
    }
    for line in &report {
        println!("{line}");
    }
    let equal = 100.0 * (rows.saturating_sub(wrong)) as f64 / rows.max(1) as f64;
    println!("{rows} rows, {wrong} wrong, {equal:.2} % equal");
    assert!(rows > 0, "the corpus has answers");
    assert!(equal >= LEAST_EQUAL_PERCENT, "{report:#?}");
}

fn listed(list: &[(&str, usize, &str)], name: &str) -> usize {
    let own = list.iter().filter(|(capture, ..)| *capture == name);
    own.map(|(_, count, _)| count).sum()
}

/// What is in the first list more often than in the second.
fn without(these: &[String], those: &[String]) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for one in those {
        *counts.entry(one).or_default() += 1;
    }
    let is_left = |one: &&String| match counts.get_mut(one.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    these.iter().filter(is_left).cloned().collect()
}

/// The rows of an oracle file, without frame and stream.
fn expected(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| {
            let mut columns = line.split('\t');
            let kind = columns.next()?;
            let rest: Vec<&str> = columns.skip(2).collect();
            matches!(kind, "tls" | "tlss").then(|| format!("{kind} {}", rest.join(" ")))
        })
        .collect()
}

fn found(capture: &Path) -> Vec<String> {
    let mut settings = Settings::new(Profile::Wero);
    settings.inspect_tunnels = true;
    // The answers count segments whose checksums were left to hardware.
    settings.checksums = Checksums::Ignore;
    let engine = shared_engine(settings).expect("an engine starts");
    let hellos = Rc::new(RefCell::new(Vec::new()));
    engine.borrow_mut().core.observer = Some(Box::new(Listener {
        hellos: Rc::clone(&hellos),
        streams: HashMap::new(),
        flows: HashMap::new(),
    }));
    let journal = Rc::new(RefCell::new(Journal::default()));
    let mut worker = Worker::new(engine, Nobody, journal.clone(), Wanted::default());
    let Ok(captures) = Captures::open(&[capture.to_path_buf()]) else {
        return Vec::new();
    };
    captures.read(|frame| {
        worker.frame(&frame);
        journal.borrow_mut().clear();
        ControlFlow::<()>::Continue(())
    });
    worker.finish();
    hellos.take()
}

/// Gives the streams and datagrams of an engine to the parsers.
struct Listener {
    hellos: Rc<RefCell<Vec<String>>>,
    streams: HashMap<u64, tls::Parser>,
    flows: HashMap<u64, quic::Parser>,
}

impl Listener {
    fn take(&mut self, messages: Vec<tls::Message>, carrier: &str) {
        let rows = messages.iter().filter_map(|message| row(message, carrier));
        self.hellos.borrow_mut().extend(rows);
    }
}

impl Observer for Listener {
    fn opened(&mut self, _: &Core, _: u32) {}

    fn packet(&mut self, core: &Core, flow: u32, direction: Direction, packet: u32) {
        let Some(flow) = core.flows.live(flow).filter(|flow| flow.protocol == 17) else {
            return;
        };
        if flow.client_port != 443 && flow.server_port != 443 {
            return;
        }
        let record = core.packet(packet);
        let bytes = core.bytes(packet);
        let (from, to) = (record.payload_at as usize, record.end as usize);
        let payload = bytes.get(from..to.min(bytes.len())).unwrap_or_default();
        let parser = self.flows.entry(flow.id).or_default();
        let messages = parser.parse(payload, direction);
        self.take(messages, "quic");
    }

    fn bytes(&mut self, core: &Core, flow: u32, way: Direction, bytes: &[u8], wire_len: usize) {
        let Some(flow) = core.flows.live(flow) else {
            return;
        };
        let parser = self.streams.entry(flow.id).or_default();
        let mut messages = parser.feed(way, bytes);
        if wire_len > bytes.len() {
            messages.extend(parser.gap(way, (wire_len - bytes.len()) as u64));
        }
        self.take(messages, "tcp");
    }

    fn conflict(&mut self, _: &Core, _: u32, _: Direction) {}
    fn gap(&mut self, _: &Core, _: u32, _: Direction, _: &[Piece]) {}
    fn reset(&mut self, _: &Core, _: u32, _: Direction, _: bool) {}
    fn closed(&mut self, _: &Core, _: u32, _: u8) {}
}

/// A message as the oracle lays it out.
fn row(message: &tls::Message, carrier: &str) -> Option<String> {
    let number = |number: Option<u16>| match number {
        Some(number) => format!("{number:#06x}"),
        None => "-".to_owned(),
    };
    let text = |text: Option<&str>| match text {
        Some("") | None => "-".to_owned(),
        Some(text) => text.to_owned(),
    };
    Some(match message {
        tls::Message::ClientHello(hello) => {
            let versions: Vec<String> = hello
                .versions
                .iter()
                .map(|one| number(Some(*one)))
                .collect();
            [
                "tls".to_owned(),
                carrier.to_owned(),
                number(hello.record_version),
                number(Some(hello.version)),
                text(hello.sni.as_deref()),
                text(Some(&versions.join(","))),
                text(Some(&hello.alpn.join(","))),
                hello.ciphers.len().to_string(),
                hello.extensions.len().to_string(),
                text(hello.ja3.as_deref()),
                text(hello.ja3_string.as_deref()),
                hello.ja4.clone(),
            ]
            .join(" ")
        }
        tls::Message::ServerHello(hello) => [
            "tlss".to_owned(),
            carrier.to_owned(),
            number(Some(hello.version)),
            number(hello.selected_version),
            number(Some(hello.cipher)),
            text(hello.alpn.as_deref()),
            hello.ja3s.clone(),
        ]
        .join(" "),
        _ => return None,
    })
}

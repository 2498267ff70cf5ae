//! SMTP, FTP and SSH in real captures: the parsers' messages against answers
//! that others found.
//!
//! The corpus is no part of this repository; see `tests/corpus.rs`. SMTP is
//! judged by its answers, frame by frame; FTP and SSH by tshark, where it is
//! installed, since the answers have no rows of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use wero::capture::file::CaptureReader;
use wero::core::{Core, observe::Observer};
use wero::engine::{self, Engine, Shared};
use wero::event::profile::Checksums;
use wero::event::{Profile, Settings};
use wero::flow::Direction;
use wero::proto::parser::SessionParser;
use wero::proto::{ftp, smtp, ssh};
use wero::stream::assembler::Piece;

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
        let got = messages::<smtp::Parser>(&capture, &[25, 587], smtp_words);
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
                by_reply(messages::<ftp::Parser>(&capture, &[21], ftp_words)),
            )
        } else if name.contains("ssh") {
            (
                ssh_by_tshark(&capture),
                messages::<ssh::Parser>(&capture, &[22], ssh_words),
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
    assert!(faults.is_empty(), "{}", faults.join("\n"));
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

/// Feeds a parser per connection.
struct Feeder<P: SessionParser> {
    ports: &'static [u16],
    words: fn(&P::Message) -> Option<String>,
    parsers: HashMap<u64, P>,
    frame: u64,
    rows: Rc<RefCell<Vec<Row>>>,
}

impl<P: SessionParser + Default> Feeder<P> {
    fn feed(
        &mut self,
        core: &Core,
        flow: u32,
        direction: Direction,
        feed: impl FnOnce(&mut P, Direction) -> Vec<P::Message>,
    ) {
        let Some(record) = core.flows.live(flow).filter(|record| record.protocol == 6) else {
            return;
        };
        // The server is who has the port: of some connections the middle is
        // all there is.
        let direction = match () {
            () if self.ports.contains(&record.server_port) => direction,
            () if self.ports.contains(&record.client_port) => direction.opposite(),
            () => return,
        };
        let parser = self.parsers.entry(record.id).or_default();
        let who = if direction == Direction::ToServer {
            'c'
        } else {
            's'
        };
        for message in feed(parser, direction) {
            if let Some(words) = (self.words)(&message) {
                self.rows.borrow_mut().push((self.frame, who, words));
            }
        }
    }
}

impl<P: SessionParser + Default> Observer for Feeder<P> {
    fn opened(&mut self, _: &Core, _: u32) {}
    fn packet(&mut self, core: &Core, _: u32, _: Direction, packet: u32) {
        self.frame = core.packet(packet).id;
    }
    fn bytes(&mut self, core: &Core, flow: u32, way: Direction, bytes: &[u8], wire_len: usize) {
        self.feed(core, flow, way, |parser, way| {
            let mut messages = parser.feed(way, bytes);
            if wire_len > bytes.len() {
                messages.extend(parser.gap(way, (wire_len - bytes.len()) as u64));
            }
            messages
        });
    }
    fn conflict(&mut self, _: &Core, _: u32, _: Direction) {}
    fn gap(&mut self, _: &Core, _: u32, _: Direction, _: &[Piece]) {}
    fn reset(&mut self, _: &Core, _: u32, _: Direction, _: bool) {}
    fn closed(&mut self, core: &Core, flow: u32, _: u8) {
        for way in Direction::BOTH {
            self.feed(core, flow, way, |parser, way| parser.fin(way));
        }
    }
}

fn messages<P>(
    capture: &Path,
    ports: &'static [u16],
    words: fn(&P::Message) -> Option<String>,
) -> Vec<Row>
where
    P: SessionParser + Default + 'static,
{
    let mut settings = Settings::new(Profile::Wero);
    settings.inspect_tunnels = true;
    // As for the answers: captures from the sending host have wrong ones.
    settings.checksums = Checksums::Ignore;
    let shared: Shared = Rc::new(RefCell::new(Engine::new(settings).expect("address space")));
    let rows = Rc::new(RefCell::new(Vec::new()));
    shared.borrow_mut().core.observer = Some(Box::new(Feeder::<P> {
        ports,
        words,
        parsers: HashMap::new(),
        frame: 0,
        rows: rows.clone(),
    }));
    let work = || {
        engine::run(&shared, &mut Nobody, &mut |_| {});
        let mut engine = shared.borrow_mut();
        while let Some(output) = engine.poll_output() {
            engine.release_output(&output);
        }
    };
    let mut reader = CaptureReader::open(capture).expect("a capture");
    // What is damaged ends early, as it does for tshark.
    while let Ok(Some(record)) = reader.next() {
        let taken = shared.borrow_mut().handle_packet(
            record.timestamp,
            record.frame,
            record.link,
            record.bytes,
            record.orig_len,
        );
        assert!(taken, "outputs are taken after every packet");
        work();
    }
    shared.borrow_mut().shutdown();
    work();
    rows.take()
}

/// Nobody listens.
struct Nobody;

impl wero::event::Hooks for Nobody {
    fn fire(
        &mut self,
        _: wero::event::EventKind,
        _: u32,
    ) -> Result<(), (wero::event::ListenerFailed, bool)> {
        Ok(())
    }
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
fn smtp_words(message: &smtp::Message) -> Option<String> {
    match message {
        smtp::Message::Command(command) => {
            let mut line = command.command.clone();
            if let Some(parameter) = &command.parameter {
                line.push(' ');
                line.push_str(parameter);
            }
            let verb = line.get(..4).unwrap_or(&line);
            let rest = line.get(5..).filter(|rest| !rest.is_empty()).unwrap_or("-");
            Some(format!("{} {}", escaped(verb), escaped(rest)))
        }
        smtp::Message::Response(response) => {
            let text = response.lines.join("|");
            let text = if text.is_empty() {
                "-".to_owned()
            } else {
                escaped(&text)
            };
            Some(format!("{} {text}", response.code))
        }
        smtp::Message::Anomaly(_) => None,
    }
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

/// Without the frames of replies, and with one row for replies of the same
/// code that follow each other: a reply of several lines is one message.
fn by_reply(mut rows: Vec<Row>) -> Vec<Row> {
    for row in rows.iter_mut().filter(|row| row.1 == 's') {
        row.0 = 0;
    }
    rows.dedup();
    rows
}

fn ftp_words(message: &ftp::Message) -> Option<String> {
    match message {
        ftp::Message::Command(command) => Some(command.command.to_uppercase()),
        ftp::Message::Response(response) => Some(response.code.to_string()),
        ftp::Message::Anomaly(_) => None,
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

fn ssh_words(message: &ssh::Message) -> Option<String> {
    let ssh::Message::Banner(banner) = message else {
        return None;
    };
    let comments = banner
        .comments
        .as_ref()
        .map_or(String::new(), |text| format!(" {text}"));
    Some(format!(
        "SSH-{}-{}{comments}",
        banner.version, banner.software
    ))
}

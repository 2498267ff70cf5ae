//! `wero sessions`: every message of a capture, as a table or as JSON lines.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::rc::Rc;

use super::Failure;
use super::options::ChecksumMode;
use super::traffic::Traffic;
use super::views::{Files, Moment, Selection, ip, written};
use crate::analysis::Endpoint;
use crate::analysis::sessions::{About, Listener, Message, Sessions, summary};
use crate::sink::rfc3339_micros;
use crate::time::Timestamp;

/// List the messages of application protocols in captures, or on an interface.
///
/// One line for each message, in the order in which they were complete:
/// requests, responses, handshakes, and anomalies of protocols. Flows are
/// numbered as `wero flows` does. Messages are shown whether or not checksums
/// are right, since captures of the sending host have wrong ones. Several captures are one run: connections
/// go on from one to the next. `-` is standard input.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    traffic: Traffic,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Segments with wrong checksums: leave them out (unless a sender's first
    /// ones all are wrong), leave them out strictly, or take them too.
    #[arg(long, value_enum, default_value_t = ChecksumMode::Ignore)]
    checksums: ChecksumMode,
    #[command(flatten)]
    selection: Selection,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let files = Files::shared(&arguments.traffic.captures);
    let list = Rc::new(RefCell::new(List {
        out: BufWriter::with_capacity(256 << 10, io::stdout()),
        json: arguments.json,
        selection: arguments.selection.clone(),
        files: files.clone(),
        clock: Clock::default(),
        line: Vec::with_capacity(4096),
        broken: None,
    }));
    let observer = Box::new(Sessions::new(Shared(list.clone())));
    let (traffic, checksums) = (&arguments.traffic, arguments.checksums);
    let read = traffic.observe(&files, checksums, observer, |moment| {
        let mut list = list.borrow_mut();
        if moment == Moment::Begin {
            list.head();
        }
        if traffic.is_live() {
            list.flush();
        }
        match list.broken.take() {
            Some(error) => ControlFlow::Break(written(Err(error)).err()),
            None => ControlFlow::Continue(()),
        }
    });
    // What was found before a damage is shown all the same.
    let mut list = list.borrow_mut();
    match list.broken.take() {
        Some(error) => written(Err(error)),
        None => written(list.out.flush()).and(read),
    }
}

/// The list, as the engine's observer has it.
struct Shared(Rc<RefCell<List>>);

impl Listener for Shared {
    fn wants(&mut self, flow: u64, ends: [Endpoint; 2], _: u8) -> bool {
        self.0.borrow().selection.has_flow(flow, ends)
    }

    fn message(&mut self, about: &About, message: &dyn Message) {
        self.0.borrow_mut().message(about, message);
    }
}

/// Prints messages as they come.
struct List {
    out: BufWriter<io::Stdout>,
    json: bool,
    selection: Selection,
    files: Rc<RefCell<Files>>,
    clock: Clock,
    /// The line under way.
    line: Vec<u8>,
    /// Why printing failed.
    broken: Option<io::Error>,
}

impl List {
    fn head(&mut self) {
        if !self.json {
            let titles = ["flow", "frame", "source", "destination", "proto", "type"];
            self.line = row(&titles.map(str::to_owned), "message").into_bytes();
            self.end_line();
        }
    }

    fn message(&mut self, about: &About, message: &dyn Message) {
        let wanted = self
            .selection
            .has_protocol(about.transport, Some(about.proto));
        if !wanted || self.broken.is_some() {
            return;
        }
        self.line.clear();
        if self.json {
            self.write_json(about, message);
        } else {
            self.write_row(about, message);
        }
        self.end_line();
    }

    /// Shows what was printed so far.
    fn flush(&mut self) {
        if !self.out.buffer().is_empty()
            && let Err(error) = self.out.flush()
        {
            self.broken = Some(error);
        }
    }

    fn end_line(&mut self) {
        self.line.push(b'\n');
        if let Err(error) = self.out.write_all(&self.line) {
            self.broken = Some(error);
        }
    }

    fn write_json(&mut self, about: &About, message: &dyn Message) {
        let files = self.files.borrow();
        let (frame, capture) = files.place(about.moment.frame);
        let line = &mut self.line;
        // Writing to a vector cannot fail.
        let _ = write!(
            line,
            "{{\"flow_id\":{},\"frame\":{frame},\"timestamp\":\"",
            about.flow
        );
        self.clock.write(line, about.moment.timestamp);
        line.extend_from_slice(b"\",");
        if let Some(path) = capture {
            line.extend_from_slice(b"\"pcap_filename\":");
            let path = path.display().to_string();
            let _ = serde_json::to_writer(&mut *line, &path);
            line.push(b',');
        }
        let (source, destination) = (about.source, about.destination);
        let _ = write!(
            line,
            "\"src_ip\":\"{}\",\"src_port\":{},\"dest_ip\":\"{}\",\"dest_port\":{},\"proto\":\"{}\"",
            ip(source.addr),
            source.port,
            ip(destination.addr),
            destination.port,
            about.proto,
        );
        // The message's own object goes on where this one stands.
        let joint = line.len();
        message.write_json(line);
        match line.get(joint..) {
            Some(b"{}") => {
                line.truncate(joint);
                line.push(b'}');
            }
            _ => {
                if let Some(brace) = line.get_mut(joint) {
                    *brace = b',';
                }
            }
        }
    }

    fn write_row(&mut self, about: &About, message: &dyn Message) {
        let value = message.to_value();
        let (frame, _) = self.files.borrow().place(about.moment.frame);
        let cells = [
            about.flow.to_string(),
            frame.to_string(),
            about.source.to_string(),
            about.destination.to_string(),
            about.proto.to_owned(),
            value["type"].as_str().unwrap_or("-").to_owned(),
        ];
        let text = row(&cells, &summary(about.proto, &value));
        self.line.extend_from_slice(text.as_bytes());
    }
}

/// The columns of the table. Rows are printed as messages come, so widths
/// are those of common values; longer ones push the rest to the right.
fn row(cells: &[String; 6], message: &str) -> String {
    const WIDTHS: [usize; 6] = [6, 7, 22, 22, 6, 13];
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(WIDTHS) {
        let _ = write!(line, "{cell:<width$} ");
    }
    line.push_str(message);
    line.truncate(line.trim_end().len());
    line
}

/// Writes times; most are of the second of the one before.
#[derive(Default)]
struct Clock {
    second: Option<i64>,
    text: String,
}

impl Clock {
    fn write(&mut self, out: &mut Vec<u8>, time: Timestamp) {
        let second = time.secs();
        if self.second != Some(second) {
            let whole = rfc3339_micros(Timestamp::new(second, 0));
            let seconds = whole.split_once('.').map_or("", |(seconds, _)| seconds);
            self.text.clear();
            self.text.push_str(seconds);
            self.second = Some(second);
        }
        let _ = write!(out, "{}.{:06}+0000", self.text, time.subsec_nanos() / 1_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_writes_what_everybody_else_does() {
        let mut clock = Clock::default();
        for (second, nanos) in [
            (1_763_712_449, 123_456_789),
            (1_763_712_449, 5_000),
            (0, 0),
            (-1, 1),
        ] {
            let time = Timestamp::new(second, nanos);
            let mut out = Vec::new();
            clock.write(&mut out, time);
            assert_eq!(String::from_utf8_lossy(&out), rfc3339_micros(time));
        }
    }
}

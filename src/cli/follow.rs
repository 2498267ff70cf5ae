//! `wero follow`: the bytes of one flow, as text, in hexadecimal or raw.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;

use super::Failure;
use super::options::ChecksumMode;
use super::views::{self, Files, end_name, protocol_name, written};
use crate::analysis::follow::{Follow, Followed, Follower};
use crate::flow::Direction;

/// Print the bytes of one flow of a capture.
///
/// TCP streams are put together as rules would be given them: in order, once,
/// outside of tunnels and fragments; of other protocols each packet's payload
/// is printed. Both directions come in the order in which their bytes became
/// known, lines to the server behind `>`, those to the client behind `<`.
/// `wero flows` numbers the flows.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Capture: pcap or pcapng, also compressed with gzip or zstd.
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    /// Number of the flow, as `wero flows` tells it.
    #[arg(value_name = "FLOW", value_parser = clap::value_parser!(u64).range(1..))]
    flow: u64,
    /// Only what the opener of the flow sends.
    #[arg(long, conflicts_with = "to_client")]
    to_server: bool,
    /// Only what the opener of the flow is sent.
    #[arg(long)]
    to_client: bool,
    /// In hexadecimal, with the place of each row in its direction.
    #[arg(long, conflicts_with = "raw")]
    hex: bool,
    /// The bytes alone, as they are.
    #[arg(long)]
    raw: bool,
    /// Segments with wrong checksums: leave them out (unless a sender's first
    /// ones all are wrong), leave them out strictly, or take them too.
    #[arg(long, value_enum, default_value_t = ChecksumMode::Auto)]
    checksums: ChecksumMode,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let printer = Rc::new(RefCell::new(Printer::new(arguments, io::stdout())));
    let observer = Box::new(Follow::new(arguments.flow, Shared(printer.clone())));
    let captures = [arguments.capture.clone()];
    let files = Files::shared(&captures);
    let read = views::observe(&captures, &files, arguments.checksums, observer, |_| {
        let mut printer = printer.borrow_mut();
        match printer.broken.take() {
            Some(error) => ControlFlow::Break(written(Err(error)).err()),
            None if printer.over => ControlFlow::Break(None),
            None => ControlFlow::Continue(()),
        }
    });
    let mut printer = printer.borrow_mut();
    written(printer.finish())?;
    read?;
    match printer.found {
        true => Ok(()),
        false => Err(no_such_flow(arguments, printer.flows)),
    }
}

fn no_such_flow(arguments: &Arguments, flows: u64) -> Failure {
    let (capture, flow) = (arguments.capture.display(), arguments.flow);
    let there = match flows {
        0 => "it has none".to_owned(),
        1 => "it has only flow 1".to_owned(),
        _ => format!("it has flows 1 to {flows}; 'wero flows {capture}' lists them"),
    };
    Failure::new(
        Failure::USAGE,
        format!("there is no flow {flow} in '{capture}': {there}"),
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Text,
    Hex,
    Raw,
}

/// Bytes in a row of hexadecimal.
const ROW: usize = 16;

/// Prints what a flow says.
struct Printer<W: Write> {
    out: BufWriter<W>,
    layout: Layout,
    only: Option<Direction>,
    /// Highest number of a flow seen.
    flows: u64,
    found: bool,
    over: bool,
    /// Whose bytes were printed last.
    speaker: Option<Direction>,
    /// The line under way has bytes in it.
    in_line: bool,
    /// A carriage return waits to be told from the end of a line.
    returned: bool,
    /// Bytes of each direction told so far, missing ones included.
    told: [u64; 2],
    /// Bytes of a row of hexadecimal under way.
    row: Vec<u8>,
    broken: Option<io::Error>,
}

/// The printer, as the engine's observer has it.
struct Shared<W: Write>(Rc<RefCell<Printer<W>>>);

impl<W: Write> Follower for Shared<W> {
    fn told(&mut self, what: Followed<'_>) {
        let mut printer = self.0.borrow_mut();
        if printer.broken.is_none()
            && let Err(error) = printer.told(what)
        {
            printer.broken = Some(error);
        }
    }

    fn seen(&mut self, flow: u64) {
        let mut printer = self.0.borrow_mut();
        printer.flows = printer.flows.max(flow);
    }
}

impl<W: Write> Printer<W> {
    fn new(arguments: &Arguments, out: W) -> Printer<W> {
        Printer {
            out: BufWriter::with_capacity(64 << 10, out),
            layout: match (arguments.hex, arguments.raw) {
                (true, _) => Layout::Hex,
                (_, true) => Layout::Raw,
                _ => Layout::Text,
            },
            only: match (arguments.to_server, arguments.to_client) {
                (true, _) => Some(Direction::ToServer),
                (_, true) => Some(Direction::ToClient),
                _ => None,
            },
            flows: 0,
            found: false,
            over: false,
            speaker: None,
            in_line: false,
            returned: false,
            told: [0; 2],
            row: Vec::with_capacity(ROW),
            broken: None,
        }
    }

    fn told(&mut self, what: Followed<'_>) -> io::Result<()> {
        match what {
            Followed::Began { ends, protocol } => {
                self.found = true;
                if self.layout == Layout::Raw || self.only.is_some() {
                    return Ok(());
                }
                let [client, server] = ends.map(|end| end_name(protocol, end));
                let name = protocol_name(protocol);
                writeln!(self.out, "{name} {client} > {server}")
            }
            Followed::Bytes {
                direction, bytes, ..
            } => {
                if self.only.is_some_and(|only| only != direction) {
                    return Ok(());
                }
                self.turn_to(direction)?;
                match self.layout {
                    Layout::Raw => self.out.write_all(bytes),
                    Layout::Text => self.text(direction, bytes),
                    Layout::Hex => self.hex(direction, bytes),
                }
            }
            Followed::Missing {
                direction, bytes, ..
            } => {
                if self.only.is_some_and(|only| only != direction) {
                    return Ok(());
                }
                self.turn_to(direction)?;
                self.end_line()?;
                self.told[direction.index()] += bytes;
                match self.layout {
                    Layout::Raw => Ok(()),
                    _ => {
                        let mark = self.mark(direction);
                        writeln!(self.out, "{mark}[{bytes} bytes missing]")
                    }
                }
            }
            Followed::Over => {
                self.over = true;
                Ok(())
            }
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.end_line()?;
        self.out.flush()
    }

    /// `direction` speaks next: its lines are its own.
    fn turn_to(&mut self, direction: Direction) -> io::Result<()> {
        if self.speaker != Some(direction) {
            self.end_line()?;
            self.speaker = Some(direction);
        }
        Ok(())
    }

    fn end_line(&mut self) -> io::Result<()> {
        if let Some(direction) = self.speaker {
            self.end_row(direction)?;
        }
        if std::mem::take(&mut self.returned) {
            self.out.write_all(b"\\x0d")?;
        }
        match std::mem::take(&mut self.in_line) {
            true => self.out.write_all(b"\n"),
            false => Ok(()),
        }
    }

    /// Where only one direction is printed, nothing tells them apart.
    fn mark(&self, direction: Direction) -> &'static str {
        match (self.only, direction) {
            (Some(_), _) => "",
            (None, Direction::ToServer) => "> ",
            (None, Direction::ToClient) => "< ",
        }
    }

    /// Text as it is, everything else as `\xNN`. A carriage return that ends
    /// a line is part of its end.
    fn text(&mut self, direction: Direction, bytes: &[u8]) -> io::Result<()> {
        let mark = self.mark(direction);
        for &byte in bytes {
            if !std::mem::replace(&mut self.in_line, true) {
                self.out.write_all(mark.as_bytes())?;
            }
            if std::mem::take(&mut self.returned) && byte != b'\n' {
                self.out.write_all(b"\\x0d")?;
            }
            match byte {
                b'\n' => {
                    self.in_line = false;
                    self.out.write_all(b"\n")?;
                }
                b'\r' => self.returned = true,
                b'\\' => self.out.write_all(b"\\\\")?,
                b'\t' | b' '..=b'~' => self.out.write_all(&[byte])?,
                _ => write!(self.out, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }

    fn hex(&mut self, direction: Direction, bytes: &[u8]) -> io::Result<()> {
        for &byte in bytes {
            self.row.push(byte);
            if self.row.len() == ROW {
                self.end_row(direction)?;
            }
        }
        Ok(())
    }

    fn end_row(&mut self, direction: Direction) -> io::Result<()> {
        if self.row.is_empty() {
            return Ok(());
        }
        let place = self.told[direction.index()];
        let line = hex_row(place, &self.row);
        self.told[direction.index()] += self.row.len() as u64;
        self.row.clear();
        let mark = self.mark(direction);
        writeln!(self.out, "{mark}{line}")
    }
}

/// `00000010  47 45 54 …  GET …`.
fn hex_row(place: u64, bytes: &[u8]) -> String {
    let mut line = format!("{place:08x} ");
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(line, " {byte:02x}");
    }
    let width = 9 + 3 * ROW;
    let _ = write!(line, "{:1$}  ", "", width - line.len());
    line.extend(bytes.iter().map(|&byte| match byte {
        b' '..=b'~' => char::from(byte),
        _ => '.',
    }));
    line
}

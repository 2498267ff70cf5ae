//! What the commands that show traffic have in common: an engine that is
//! only observed, the choice of flows, and how ends are written.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::Failure;
use super::options::ChecksumMode;
use crate::addr::{Addr, Network};
use crate::analysis::{APPLICATIONS, Endpoint};
use crate::core::observe::Observer;
use crate::event::{Profile, Settings};
use crate::packet::decode::protocol;
use crate::worker::captures::Captures;
use crate::worker::journal::Journal;
use crate::worker::{Nobody, Wanted, Worker, shared_engine};

/// Which flows are shown.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Selection {
    /// Only these protocols: tcp, udp, icmp, icmpv6, a protocol number, or
    /// what the flow speaks (http, dns, tls…).
    #[arg(long = "protocol", short = 'p', value_name = "NAME", value_delimiter = ',', value_parser = parse_protocol)]
    protocols: Vec<String>,
    /// Only flows with these numbers.
    #[arg(
        long = "flow",
        short = 'f',
        value_name = "NUMBER",
        value_delimiter = ','
    )]
    flows: Vec<u64>,
    /// Only flows with an end in one of these: an address or a network.
    #[arg(long = "host", value_name = "ADDRESS", value_delimiter = ',', value_parser = parse_host)]
    hosts: Vec<Network>,
}

impl Selection {
    /// Whether the flow's number and ends are wanted.
    pub fn has_flow(&self, flow: u64, ends: [Endpoint; 2]) -> bool {
        let any_end = |network: &Network| ends.iter().any(|end| network.contains(end.addr));
        (self.flows.is_empty() || self.flows.contains(&flow))
            && (self.hosts.is_empty() || self.hosts.iter().any(any_end))
    }

    /// Whether either protocol is wanted: that of the datagrams, or what is
    /// spoken over it.
    pub fn has_protocol(&self, transport: u8, application: Option<&str>) -> bool {
        let wanted = |name: &String| {
            name.eq_ignore_ascii_case(&protocol_name(transport))
                || application.is_some_and(|spoken| name == spoken)
                || name.parse() == Ok(transport)
        };
        self.protocols.is_empty() || self.protocols.iter().any(wanted)
    }
}

/// A protocol that flows can have, by name or number.
fn parse_protocol(text: &str) -> Result<String, String> {
    const TRANSPORTS: [&str; 4] = ["tcp", "udp", "icmp", "icmpv6"];
    let name = text.to_ascii_lowercase();
    let known = || TRANSPORTS.iter().chain(APPLICATIONS).copied();
    if name.parse::<u8>().is_ok() || known().any(|one| one == name) {
        return Ok(name);
    }
    let names: Vec<&str> = known().collect();
    Err(format!("it is a number, or one of {}", names.join(", ")))
}

fn parse_host(text: &str) -> Result<Network, String> {
    if let Ok((network, _)) = Network::parse(text) {
        return Ok(network);
    }
    let wrong = || "an address (10.0.0.1, 2001:db8::1) or a network (10.0.0.0/8)".to_owned();
    let addr: Addr = text.parse().map_err(|_| wrong())?;
    Network::new(addr, addr.family().bits()).map_err(|_| wrong())
}

/// How far [`observe`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// There is something to look at.
    Begin,
    /// A frame was taken.
    Frame,
    End,
}

/// Runs captures through an engine that nobody but `observer` listens to.
/// `told` is called at each [`Moment`]. Breaking off without a failure is
/// success.
pub fn observe(
    paths: &[PathBuf],
    files: &RefCell<Files>,
    checksums: ChecksumMode,
    observer: Box<dyn Observer>,
    mut told: impl FnMut(Moment) -> ControlFlow<Option<Failure>>,
) -> Result<(), Failure> {
    let captures = Captures::open(paths)?;
    let (mut worker, journal) = watched(checksums, observer, None)?;
    if let ControlFlow::Break(failure) = told(Moment::Begin) {
        return failure.map_or(Ok(()), Err);
    }
    let (read, broken) = captures.read(|frame| {
        files.borrow_mut().note(frame.number, frame.file);
        worker.frame(&frame);
        journal.borrow_mut().clear();
        told(Moment::Frame)
    });
    match broken {
        Some(Some(failure)) => return Err(failure),
        Some(None) => {}
        None => {
            worker.finish();
            if let ControlFlow::Break(Some(failure)) = told(Moment::End) {
                return Err(failure);
            }
        }
    }
    Failure::of_captures(&read.faults).map_or(Ok(()), Err)
}

/// A worker whose engine nobody but `observer` listens to, and the journal
/// that nobody reads. Flows that are closed are remembered for as long as
/// `linger` says, or as rules would have it.
pub fn watched(
    checksums: ChecksumMode,
    observer: Box<dyn Observer>,
    linger: Option<Duration>,
) -> Result<(Worker<Nobody>, Rc<RefCell<Journal>>), Failure> {
    let mut settings = Settings::new(Profile::Wero);
    settings.inspect_tunnels = true;
    settings.checksums = checksums.setting();
    let cannot_start =
        |error| Failure::new(Failure::RUN, format!("cannot start the engine: {error}"));
    let engine = shared_engine(settings).map_err(cannot_start)?;
    {
        let core = &mut engine.borrow_mut().core;
        core.observer = Some(observer);
        let closed = &mut core.flows.timeouts.closed;
        *closed = linger.unwrap_or(*closed);
    }
    let journal = Rc::new(RefCell::new(Journal::default()));
    let worker = Worker::new(engine, Nobody, journal.clone(), Wanted::default());
    Ok((worker, journal))
}

/// Where the frames of each capture begin in a run: frames are shown as they
/// are numbered in their own file.
#[derive(Debug, Default)]
pub struct Files {
    paths: Vec<PathBuf>,
    /// Number of the first frame of each capture begun.
    begun: Vec<u64>,
}

impl Files {
    pub fn new(paths: &[PathBuf]) -> Files {
        Files {
            paths: paths.to_vec(),
            begun: Vec::new(),
        }
    }

    /// For a run and whoever prints what comes of it.
    pub fn shared(paths: &[PathBuf]) -> Rc<RefCell<Files>> {
        Rc::new(RefCell::new(Files::new(paths)))
    }

    /// A frame was read. Captures without any frame have no beginning of
    /// their own.
    pub fn note(&mut self, frame: u64, file: usize) {
        while self.begun.len() <= file {
            self.begun.push(frame);
        }
    }

    /// The number of a frame in its file, and that file where there are
    /// several.
    pub fn place(&self, frame: u64) -> (u64, Option<&Path>) {
        let file = self.begun.iter().rposition(|&first| first <= frame);
        let file = file.unwrap_or(0);
        let before = self.begun.get(file).map_or(0, |first| first - 1);
        let path = self.paths.get(file).filter(|_| self.paths.len() > 1);
        (frame - before.min(frame), path.map(PathBuf::as_path))
    }
}

/// The failure that a broken standard output is: none where whoever reads
/// has read enough.
pub fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    outcome.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure {
            code: 0,
            messages: Vec::new(),
        },
        _ => Failure::new(
            Failure::IO,
            format!("cannot write to standard output: {error}"),
        ),
    })
}

pub fn protocol_name(number: u8) -> String {
    match number {
        protocol::TCP => "TCP".to_owned(),
        protocol::UDP => "UDP".to_owned(),
        protocol::ICMP => "ICMP".to_owned(),
        protocol::ICMPV6 => "ICMPv6".to_owned(),
        other => other.to_string(),
    }
}

pub fn has_ports(number: u8) -> bool {
    matches!(number, protocol::TCP | protocol::UDP)
}

/// An end as people write it: with its port, where there are ports.
pub fn end_name(transport: u8, end: Endpoint) -> String {
    match has_ports(transport) {
        true => end.to_string(),
        false => end.addr.to_string(),
    }
}

pub fn ip(addr: Addr) -> IpAddr {
    match addr.to_v4_bits() {
        Some(bits) => IpAddr::V4(bits.into()),
        None => IpAddr::V6((*addr.bytes()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str, port: u16) -> Endpoint {
        Endpoint {
            addr: text.parse().expect("an address"),
            port,
        }
    }

    #[test]
    fn flows_are_chosen_by_number_host_and_protocol() {
        let ends = [end("10.0.0.1", 4000), end("192.0.2.9", 53)];
        let all = Selection::default();
        assert!(all.has_flow(7, ends) && all.has_protocol(17, None));

        let some = Selection {
            protocols: vec!["dns".to_owned(), "tcp".to_owned()],
            flows: vec![7],
            hosts: vec![parse_host("192.0.2.0/24").expect("a network")],
        };
        assert!(some.has_flow(7, ends));
        assert!(!some.has_flow(8, ends), "another number");
        assert!(!some.has_flow(7, [ends[0], ends[0]]), "another host");
        assert!(some.has_protocol(17, Some("dns")) && some.has_protocol(6, None));
        assert!(!some.has_protocol(17, Some("quic")));
        let by_number = Selection {
            protocols: vec!["132".to_owned()],
            ..Selection::default()
        };
        assert!(by_number.has_protocol(132, None));
    }

    #[test]
    fn hosts_are_addresses_or_networks() {
        let host = parse_host("2001:db8::1").expect("an address");
        assert!(host.contains("2001:db8::1".parse().expect("an address")));
        assert!(!host.contains("2001:db8::2".parse().expect("an address")));
        for wrong in ["", "somewhere.example", "10.0.0.1/33"] {
            assert!(parse_host(wrong).is_err(), "{wrong}");
        }
        assert!(parse_protocol("dns").is_ok() && parse_protocol("d n s").is_err());
    }

    #[test]
    fn frames_are_counted_from_the_start_of_their_file() {
        let mut files = Files::new(&["a".into(), "b".into()]);
        files.note(1, 0);
        files.note(11, 1);
        assert_eq!(files.place(10), (10, Some(Path::new("a"))));
        assert_eq!(files.place(12), (2, Some(Path::new("b"))));
        let mut one = Files::new(&["a".into()]);
        one.note(1, 0);
        assert_eq!(one.place(3), (3, None));
    }
}

//! What `wero flows` and `wero sessions` look at: captures, or an interface.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::options::ChecksumMode;
use super::setup::enter_namespace;
use super::views::{self, Files, Moment};
use super::{Failure, stop};
use crate::capture::file::CaptureError;
use crate::capture::interface::{Config, Interface};
use crate::capture::views::{Next, Source};
use crate::core::observe::Observer;
use crate::worker::captures::Frame;

/// How long the last segments of a closed connection are waited for, until it
/// is told.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct Traffic {
    /// Captures: pcap or pcapng, also compressed with gzip or zstd.
    #[arg(value_name = "CAPTURE", required_unless_present = "interface")]
    pub captures: Vec<PathBuf>,
    /// Listen on this network interface instead, until ^C.
    #[arg(long, short, value_name = "NAME", conflicts_with = "captures")]
    interface: Option<String>,
    /// End after so many seconds.
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "interface",
        conflicts_with = "captures"
    )]
    seconds: Option<u64>,
    /// End after so many packets.
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "interface",
        conflicts_with = "captures"
    )]
    packets: Option<u64>,
    /// The interface is in this network namespace: a name of `ip netns`, the
    /// id of a process in it, or a path.
    #[arg(
        long,
        value_name = "NAME|PID|PATH",
        requires = "interface",
        conflicts_with = "captures"
    )]
    namespace: Option<String>,
    /// Leave out what the interface gets for other machines.
    #[arg(long, requires = "interface", conflicts_with = "captures")]
    no_promiscuous: bool,
}

impl Traffic {
    /// Whether somebody may be waiting for each line.
    pub fn is_live(&self) -> bool {
        self.interface.is_some()
    }

    /// As [`views::observe`]; on an interface `told` is also called when
    /// nothing came for a while.
    pub fn observe(
        &self,
        files: &RefCell<Files>,
        checksums: ChecksumMode,
        observer: Box<dyn Observer>,
        told: impl FnMut(Moment) -> ControlFlow<Option<Failure>>,
    ) -> Result<(), Failure> {
        match &self.interface {
            None => views::observe(&self.captures, files, checksums, observer, told),
            Some(name) => self.listen(name, checksums, observer, told),
        }
    }

    fn listen(
        &self,
        name: &str,
        checksums: ChecksumMode,
        observer: Box<dyn Observer>,
        mut told: impl FnMut(Moment) -> ControlFlow<Option<Failure>>,
    ) -> Result<(), Failure> {
        let config = Config {
            promiscuous: !self.no_promiscuous,
            ..Config::default()
        };
        enter_namespace(self.namespace.as_deref())?;
        let mut interface = Interface::open_with(name, &config).map_err(CaptureError::from)?;
        let (mut worker, journal) = views::watched(checksums, observer, Some(LINGER))?;
        let stop = stop::on_signals()?;
        let end = self.seconds.and_then(|seconds| {
            let seconds = Duration::from_secs(seconds);
            Instant::now().checked_add(seconds)
        });
        eprintln!("listening on {name}");
        if let ControlFlow::Break(failure) = told(Moment::Begin) {
            return failure.map_or(Ok(()), Err);
        }

        let (mut packets, mut fault) = (0, None);
        let is_over = |packets| {
            stop.load(Ordering::Relaxed)
                || end.is_some_and(|end| Instant::now() >= end)
                || self.packets.is_some_and(|most| packets >= most)
        };
        while !is_over(packets) {
            match interface.next() {
                Ok(Next::Packet(record)) => {
                    packets = record.frame;
                    worker.frame(&Frame {
                        number: record.frame,
                        timestamp: record.timestamp,
                        link: record.link,
                        bytes: record.bytes,
                        wire_len: record.orig_len,
                        read: 0,
                        file: 0,
                    });
                }
                Ok(Next::Nothing(now)) => worker.pass_time(now),
                Ok(Next::End) => break,
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
            journal.borrow_mut().clear();
            if let ControlFlow::Break(failure) = told(Moment::Frame) {
                return failure.map_or(Ok(()), Err);
            }
        }
        worker.finish();
        if let ControlFlow::Break(Some(failure)) = told(Moment::End) {
            return Err(failure);
        }
        let dropped = interface.counters().dropped;
        eprintln!("{packets} packets, {dropped} dropped by the kernel");
        fault.map_or(Ok(()), |error| Err(error.into()))
    }
}

//! Packets of a network interface, as they pass.
//!
//! [`Interface`] is a packet socket with a ring that the kernel writes whole
//! frames into, with the time at which it got them; they are read where they
//! stand, without a call for each. When nobody reads, the ring fills up and the
//! kernel drops what follows and counts it ([`Counters::dropped`]).
//!
//! Frames are as tcpdump would write them: VLAN tags that the kernel took off
//! stand where they were, and the loopback device shows each packet once.
//! Devices that are not like Ethernet (tun, ppp) give the IP packets alone.
//! Several segments that the kernel took together, or has not cut yet, come as
//! one frame, and checksums of packets that this machine sends may be
//! unfinished.
//! Not here: deciding about packets (`nfqueue`), filters of the kernel's.

mod error;
mod ring;
mod socket;

use std::time::{Duration, SystemTime};

pub use error::InterfaceError;

use super::file::Record;
use super::views::{Next, Source};
use super::{file::CaptureError, system};
use crate::packet::LinkType;
use crate::time::Timestamp;
use ring::{Frame, Ring};
use socket::{Kind, Socket};

/// How long [`Source::next`] waits before it says that nothing came.
const TICK: Duration = Duration::from_millis(100);

/// Frames are late by no more than this: by then the kernel has handed over
/// the block that they are in.
const LATE: Duration = Duration::from_secs(1);

/// Where a VLAN tag stands in a frame: behind both addresses.
const TAG_AT: usize = 12;

/// How to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Take what is sent to other machines too.
    pub promiscuous: bool,
    /// Size of the ring, in bytes.
    pub buffer: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            promiscuous: true,
            buffer: 32 << 20,
        }
    }
}

/// What the kernel counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that passed, dropped ones included.
    pub received: u64,
    /// Packets that found no room in the ring.
    pub dropped: u64,
}

/// An interface that is listened to.
#[derive(Debug)]
pub struct Interface {
    name: String,
    // Before the socket: the memory goes first.
    ring: Ring,
    socket: Socket,
    counters: Counters,
    frames: u64,
    /// A frame with its VLAN tag put back.
    tagged: Vec<u8>,
}

impl Interface {
    /// Listens on the interface of that name, in the network namespace of the
    /// thread.
    ///
    /// # Errors
    /// When there is none, it is down, or rights are missing.
    pub fn open(name: &str) -> Result<Interface, InterfaceError> {
        Interface::open_with(name, &Config::default())
    }

    /// # Errors
    /// As [`Interface::open`].
    pub fn open_with(name: &str, config: &Config) -> Result<Interface, InterfaceError> {
        let fault = |error| InterfaceError::of(name, error);
        let index = socket::index(name).map_err(|_| InterfaceError::unknown(name))?;
        let (socket, ring) = Socket::listen(index, config.buffer).map_err(fault)?;
        if config.promiscuous {
            socket.set_promiscuous(index).map_err(fault)?;
        }
        Ok(Interface {
            name: name.to_owned(),
            ring,
            socket,
            counters: Counters::default(),
            frames: 0,
            tagged: Vec::new(),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next packet; `None` if none came in `wait`, or a signal did.
    ///
    /// # Errors
    /// When the interface is gone or was taken down.
    pub fn receive(&mut self, wait: Duration) -> Result<Option<Record<'_>>, InterfaceError> {
        if !self.advance() {
            self.socket
                .wait(wait)
                .map_err(|error| InterfaceError::of(&self.name, error))?;
            if !self.advance() {
                return Ok(None);
            }
        }
        self.frames += 1;
        let Some(frame) = self.ring.frame() else {
            return Ok(None);
        };
        let link = match self.socket.kind() {
            Kind::Cooked => LinkType::RAW,
            Kind::Ethernet | Kind::Loopback => LinkType::ETHERNET,
        };
        let (timestamp, mut orig_len) = (frame.timestamp, frame.wire_len);
        let bytes = match frame.vlan {
            Some(tag) if link == LinkType::ETHERNET && frame.bytes.len() >= TAG_AT => {
                orig_len += tag.len() as u32;
                let (addresses, rest) = frame.bytes.split_at(TAG_AT);
                self.tagged.clear();
                for part in [addresses, &tag, rest] {
                    self.tagged.extend_from_slice(part);
                }
                &self.tagged[..]
            }
            _ => frame.bytes,
        };
        Ok(Some(Record {
            frame: self.frames,
            timestamp,
            link,
            interface: 0,
            orig_len,
            bytes,
            offset: 0,
        }))
    }

    /// Goes on to the next frame that is to be shown.
    fn advance(&mut self) -> bool {
        while self.ring.advance() {
            let wanted = |frame: Frame<'_>| {
                !frame.bytes.is_empty()
                    && match self.socket.kind() {
                        Kind::Ethernet => true,
                        // What is sent there arrives there.
                        Kind::Loopback => !frame.outgoing,
                        Kind::Cooked => frame.is_ip(),
                    }
            };
            if self.ring.frame().is_some_and(wanted) {
                return true;
            }
        }
        false
    }

    /// What the kernel counted since the socket was opened.
    pub fn counters(&mut self) -> Counters {
        // Each asking begins anew.
        if let Ok([received, dropped]) = self.socket.statistics() {
            self.counters.received += u64::from(received);
            self.counters.dropped += u64::from(dropped);
        }
        self.counters
    }
}

impl Source for Interface {
    fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        Ok(match self.receive(TICK)? {
            Some(record) => Next::Packet(record),
            None => Next::Nothing(now() - LATE),
        })
    }
}

fn now() -> Timestamp {
    let day = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(day.as_nanos()).unwrap_or(i64::MAX))
}

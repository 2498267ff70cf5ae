//! The self-test: datagrams through a queue, before any traffic is led to one.
//!
//! In a network namespace made for it, one tool loads a rule that queues what
//! arrives over the loopback device. A datagram is taken from that queue with
//! the settings of the run, gets other bytes and has to arrive with them;
//! another is dropped and must not arrive; a third passes as it came. So the
//! tool, the kernel's queue, and our way of asking and answering are tried
//! together. Nothing is left behind: the namespace goes with the thread. Not
//! here: whether the run's own rules load (`change`).

mod datagram;
mod loopback;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use super::plan::Family;
use super::present::families;
use super::tools::{Backend, ToolError, Tools, run as run_tool};
use crate::capture::nfqueue::{Config, Queue, QueueError};
use crate::capture::system;

/// How long a datagram may take to the queue, or from there.
const PATIENCE: Duration = Duration::from_millis(700);

/// How long all of it may take. Only a tool that waits (for the lock of
/// another, say) takes so long.
const LIMIT: Duration = Duration::from_secs(2);

/// Texts of one length: a datagram keeps its own when it gets another one.
const SENT: [u8; 16] = *b"wero: as it left";
const CHANGED: [u8; 16] = *b"wero: rewritten.";
const DROPPED: [u8; 16] = *b"wero: is dropped";
const PASSED: [u8; 16] = *b"wero: passes on.";

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    Passed {
        families: Vec<Family>,
        took: Duration,
    },
    /// It could not be made here, which says nothing about a run.
    Skipped(String),
    Failed(Fault),
}

impl Outcome {
    /// Something that a run would not work with.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Outcome::Failed(fault) => Some(fault),
            Outcome::Passed { .. } | Outcome::Skipped(_) => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Passed { families, took } => {
                let names: Vec<&str> = families.iter().map(|family| family.name()).collect();
                write!(
                    out,
                    "datagrams over {} were rewritten, dropped and passed in a queue, in {} ms",
                    names.join(" and "),
                    took.as_millis()
                )
            }
            Outcome::Skipped(reason) => write!(out, "skipped: {reason}"),
            Outcome::Failed(fault) => write!(out, "failed: {fault}"),
        }
    }
}

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("a rule that leads {} to a queue cannot be loaded: {error}", .family.name())]
    Tool { family: Family, error: ToolError },
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("no datagram can be sent over {} on the loopback device: {error}", .family.name())]
    Socket { family: Family, error: io::Error },
    #[error("{}: {what}", .family.name())]
    Lost { family: Family, what: &'static str },
}

/// Makes the test with one tool, on a queue as the run wants it.
pub fn run(backend: Backend, queue: &Config) -> Outcome {
    let queue = queue.clone();
    let (done, outcome) = sync_channel(1);
    let begun = thread::Builder::new()
        .name("self-test".to_owned())
        .spawn(move || done.send(in_a_network_of_its_own(backend, &queue)));
    if let Err(error) = begun {
        return Outcome::Skipped(format!("there is no thread for it: {error}"));
    }
    outcome.recv_timeout(LIMIT).unwrap_or_else(|_| {
        Outcome::Skipped(format!("{backend} took longer than {} s", LIMIT.as_secs()))
    })
}

fn in_a_network_of_its_own(backend: Backend, queue: &Config) -> Outcome {
    let start = Instant::now();
    if let Err(error) = system::enter_new_network() {
        return Outcome::Skipped(format!(
            "it needs a network namespace of its own, which takes CAP_SYS_ADMIN ({error})"
        ));
    }
    if let Err(error) = loopback::up() {
        return Outcome::Skipped(format!("the loopback device does not come up: {error}"));
    }
    match through(backend, queue) {
        Ok(families) => Outcome::Passed {
            families,
            took: start.elapsed(),
        },
        Err(fault) => Outcome::Failed(fault),
    }
}

/// Sends datagrams of each family through the queue; tells which there were.
fn through(backend: Backend, config: &Config) -> Result<Vec<Family>, Fault> {
    let ways: Vec<Way> = families()
        .into_iter()
        .filter_map(|family| Way::open(family).transpose())
        .collect::<Result<_, _>>()?;
    for family in ways.iter().map(|way| way.family) {
        load(backend, family, config.number)?;
        // One table of nft has both.
        if backend == Backend::Nft {
            break;
        }
    }
    let mut queue = Queue::open(config)?;
    for way in &ways {
        way.try_verdicts(&mut queue)?;
    }
    Ok(ways.into_iter().map(|way| way.family).collect())
}

/// Loads a rule that queues what arrives over UDP, which is nobody's but ours
/// here. Without a listener it would be dropped: what arrives was judged.
fn load(backend: Backend, family: Family, queue: u16) -> Result<(), Fault> {
    let text = match backend {
        Backend::Nft => format!(
            "table inet wero_try {{\n\tchain arriving {{\n\
             \t\ttype filter hook input priority -149; policy accept;\n\
             \t\tmeta l4proto udp queue num {queue}\n\t}}\n}}\n"
        ),
        _ => format!("*mangle\n-A INPUT -p udp -j NFQUEUE --queue-num {queue}\nCOMMIT\n"),
    };
    let fault = |error| Fault::Tool { family, error };
    let tools = Tools::find(backend, family).map_err(fault)?;
    let (program, arguments) = tools.load_command();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run_tool(&program, &words, &text).map_err(fault)?;
    Ok(())
}

/// From one socket to another, over the loopback device.
struct Way {
    family: Family,
    sender: UdpSocket,
    receiver: UdpSocket,
}

impl Way {
    /// `None` where the family is switched off.
    fn open(family: Family) -> Result<Option<Way>, Fault> {
        let fault = |error| Fault::Socket { family, error };
        let host: IpAddr = match family {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        let receiver = match UdpSocket::bind((host, 0)) {
            // The kernel has it, but a setting keeps addresses from devices.
            Err(error)
                if family == Family::V6 && error.kind() == io::ErrorKind::AddrNotAvailable =>
            {
                return Ok(None);
            }
            other => other.map_err(fault)?,
        };
        receiver.set_read_timeout(Some(PATIENCE)).map_err(fault)?;
        let sender = UdpSocket::bind((host, 0)).map_err(fault)?;
        let to = receiver.local_addr().map_err(fault)?;
        sender.connect(to).map_err(fault)?;
        Ok(Some(Way {
            family,
            sender,
            receiver,
        }))
    }

    fn try_verdicts(&self, queue: &mut Queue) -> Result<(), Fault> {
        let lost = |what| {
            Err(Fault::Lost {
                family: self.family,
                what,
            })
        };
        let (id, bytes) = self.send(queue, &SENT)?;
        let Some(changed) = datagram::with_payload(&bytes, &CHANGED) else {
            return lost("what came out of the queue is not the datagram that was sent");
        };
        queue.rewrite(id, None, &changed);
        queue.flush();
        match self.receive()? {
            Some(CHANGED) => (),
            Some(_) => {
                return lost("a datagram that got other bytes in the queue arrived as it was");
            }
            None => return lost("a datagram that got other bytes in the queue did not arrive"),
        }
        let (id, _) = self.send(queue, &DROPPED)?;
        queue.refuse(id);
        let (id, _) = self.send(queue, &PASSED)?;
        queue.accept(id, None);
        queue.flush();
        // They arrive in the order of their verdicts.
        match self.receive()? {
            Some(PASSED) => Ok(()),
            Some(_) => lost("a datagram that was dropped in the queue arrived nevertheless"),
            None => lost("a datagram that was accepted in the queue did not arrive"),
        }
    }

    /// Sends a datagram and takes it out of the queue.
    fn send(&self, queue: &mut Queue, payload: &[u8]) -> Result<(u32, Vec<u8>), Fault> {
        let family = self.family;
        let sent = self.sender.send(payload);
        sent.map_err(|error| Fault::Socket { family, error })?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            // A signal may end the wait early.
            if queue.receive(PATIENCE)? > 0
                && let Some(packet) = queue.packet(0)
            {
                return Ok((packet.id, packet.bytes.to_vec()));
            }
        }
        let what = match self.receive()? {
            Some(_) => "a datagram was not led to the queue: it arrived without a verdict",
            None => "a datagram did not come to the queue, and did not arrive",
        };
        Err(Fault::Lost { family, what })
    }

    /// What has arrived, or does within the time.
    fn receive(&self) -> Result<Option<[u8; SENT.len()]>, Fault> {
        let mut payload = [0; SENT.len()];
        loop {
            match self.receiver.recv(&mut payload) {
                Ok(_) => return Ok(Some(payload)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => {
                    let family = self.family;
                    return Err(Fault::Socket { family, error });
                }
            }
        }
    }
}

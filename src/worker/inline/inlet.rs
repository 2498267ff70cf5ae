//! Where the packets of a lane come from: its queue, and a second one in which
//! the kernel takes datagrams apart.
//!
//! A sender, or a network card, may hand over many datagrams of UDP as one
//! packet (UDP GSO), and the kernel tells nobody how long each of them is. So
//! such a packet is moved to a queue that does not take packets before
//! segmentation: the kernel cuts it on its way there, and each datagram is
//! judged like any other. That queue is opened when it is needed first, under
//! a number that no rule leads to. Without it such packets pass unjudged, and
//! are counted. Not here: what becomes of packets (`lane`).

use std::time::Duration;

use super::{InlineError, Plan};
use crate::capture::nfqueue::{Config, Queue, QueueError, Queued};
use crate::gateway::Queues;
use crate::packet::decode::{self, protocol};

/// Set in the numbers of packets of the second queue. Rules see the numbers,
/// which have to be whole in a float of 64 bits.
const ASIDE: u64 = 1 << 52;

/// Packets that the second queue holds at least: a packet is taken apart into
/// a hundred and some datagrams at most.
const APART: u32 = 1024;

/// How many numbers are tried for the second queue.
const TRIES: u16 = 8;

/// Which of the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Main,
    Aside,
}

/// A queue, and how often its packet numbers began anew.
pub(super) struct Inlet {
    pub queue: Queue,
    wraps: u64,
    last_id: u32,
}

impl Inlet {
    fn new(queue: Queue) -> Inlet {
        Inlet {
            queue,
            wraps: 0,
            last_id: 0,
        }
    }

    /// The number of a packet that was never used before in this queue.
    fn number(&mut self, id: u32) -> u64 {
        if id < self.last_id {
            self.wraps += 1 << 32;
        }
        self.last_id = id;
        self.wraps | u64::from(id)
    }
}

/// The queues of a lane.
pub(super) struct Inlets {
    main: Inlet,
    aside: Option<Inlet>,
    /// What the second queue is to be like, and the first number to try for
    /// it; nothing once it was tried.
    wanted: Option<Config>,
    /// Packets were moved to the second queue since it was last emptied.
    moved: bool,
}

impl Inlets {
    /// Opens the queue of the lane with that number.
    pub fn open(plan: &Plan, lane: u16, queue: u16) -> Result<Inlets, InlineError> {
        let config = plan.queue(queue);
        let main = Inlet::new(Queue::open(&config)?);
        Ok(Inlets {
            main,
            aside: None,
            wanted: Some(Config {
                // From the end, where nobody's rules lead.
                number: u16::MAX - lane,
                gso: false,
                length: config.length.max(APART),
                ..config
            }),
            moved: false,
        })
    }

    /// The lane's own queue.
    pub fn main(&self) -> &Queue {
        &self.main.queue
    }

    /// The second queue, if it was needed.
    pub fn aside(&self) -> Option<&Queue> {
        self.aside.as_ref().map(|inlet| &inlet.queue)
    }

    pub fn of(&mut self, source: Source) -> Option<&mut Queue> {
        match source {
            Source::Main => Some(&mut self.main.queue),
            Source::Aside => self.aside.as_mut().map(|inlet| &mut inlet.queue),
        }
    }

    /// The number by which the engine knows a packet.
    pub fn number(&mut self, source: Source, id: u32) -> u64 {
        match (source, &mut self.aside) {
            (Source::Aside, Some(aside)) => aside.number(id) | ASIDE,
            _ => self.main.number(id),
        }
    }

    /// The queue that waits for a verdict on the packet with that number, and
    /// what it is called there.
    pub fn holder(&mut self, number: u64) -> (&mut Queue, u32) {
        let queue = match (number & ASIDE != 0, &mut self.aside) {
            (true, Some(aside)) => &mut aside.queue,
            _ => &mut self.main.queue,
        };
        (queue, number as u32)
    }

    /// Sends all verdicts that wait.
    pub fn flush(&mut self) {
        self.main.queue.flush();
        if let Some(aside) = &mut self.aside {
            aside.queue.flush();
        }
    }

    /// Waits for packets of the lane's own queue. All that was moved has been
    /// taken before.
    pub fn receive(&mut self, wait: Duration) -> Result<usize, QueueError> {
        if let Some(aside) = &mut self.aside {
            aside.queue.flush();
        }
        self.main.queue.receive(wait)
    }

    /// Whether the second queue may hold what was moved there.
    pub fn has_moved(&self) -> bool {
        self.moved
    }

    /// Takes a burst of what was moved to the second queue; 0 when there is
    /// nothing for now.
    pub fn receive_moved(&mut self) -> Result<usize, QueueError> {
        let Some(aside) = self.aside.as_mut().filter(|_| self.moved) else {
            return Ok(0);
        };
        // The kernel moves a packet while it takes the verdict.
        self.main.queue.flush();
        let taken = aside.queue.receive(Duration::ZERO)?;
        self.moved = aside.queue.is_busy() || self.main.queue.has_verdicts();
        Ok(taken)
    }

    /// Whether a packet of the last burst is many datagrams.
    pub fn is_bundle(&self, index: usize) -> bool {
        self.main.queue.packet(index).is_some_and(is_bundle)
    }

    /// Has the kernel take a packet of the last burst apart: it comes again by
    /// the second queue. Where that cannot be had it stays, and the first time
    /// it is told why.
    pub fn take_apart(&mut self, index: usize) -> Result<(), QueueError> {
        if let Some(wanted) = self.wanted.take() {
            self.aside = Some(open_aside(&wanted)?);
        }
        if let Some(aside) = &self.aside {
            self.main.queue.move_to(index, aside.queue.number());
            self.moved = true;
        }
        Ok(())
    }
}

/// Whether a packet is datagrams of UDP in one.
fn is_bundle(packet: Queued<'_>) -> bool {
    packet.offloaded
        && decode::ip(packet.bytes, 0, None)
            .is_ok_and(|ip| ip.protocol == protocol::UDP && !ip.is_fragment())
}

/// Opens the first queue that is free of those that lanes with other numbers
/// do not try.
fn open_aside(wanted: &Config) -> Result<Inlet, QueueError> {
    let mut tries = 0;
    loop {
        let config = Config {
            number: wanted.number - tries * Queues::MAX,
            ..wanted.clone()
        };
        tries += 1;
        match Queue::open(&config) {
            Err(QueueError::Taken { .. }) if tries < TRIES => {}
            other => return other.map(Inlet::new),
        }
    }
}

//! A packet queue of the kernel (NFQUEUE), over netlink.
//!
//! [`Queue`] owns one queue: it takes packets in bursts into memory reserved
//! once, gathers verdicts, and sends those of a burst in one call. Nothing is
//! allocated for a packet. The order of a loop is `receive`, for each packet
//! `packet` and then one of `accept`, `rewrite`, `refuse` and `move_to` (sooner or
//! later, in any order; the kernel finds those in the order of arrival
//! fastest), and again; `receive` flushes before it waits. What the kernel
//! says against a verdict is counted and never ends anything.
//!
//! Queues belong to the network namespace of the thread that opens them and
//! work from any thread afterwards. Not here: which packets come (the
//! firewall's rules), sending packets of our own (`inject`).

mod configure;
mod counters;
mod error;
pub mod message;
mod outbox;
mod socket;
pub mod status;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::buf::Block;
pub use counters::Counters;
pub use error::{Granted, QueueError, Refusal, Wish};
use message::Message;
pub use message::Queued;
use outbox::Outbox;
use socket::{Slots, Socket};

/// The least that is asked for as receive buffer: with the default of 208 kB
/// three packets of 64 kB fill it.
const LEAST_BUFFER: usize = 16 << 20;

/// What a queue should be like.
#[derive(Clone, Debug)]
pub struct Config {
    pub number: u16,
    /// Let packets pass when the queue or the socket's buffer is full.
    pub fail_open: bool,
    /// How many packets may wait for a verdict.
    pub length: u32,
    /// The socket's receive buffer, in bytes; at least 16 MiB are asked for.
    pub buffer: usize,
    /// Take packets before they are cut to segments.
    pub gso: bool,
    /// How much of each packet is copied; 65,531 is all that fits.
    pub copy: u32,
    /// How many packets one call may take.
    pub burst: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            number: 0,
            fail_open: false,
            length: 16_384,
            buffer: 32 << 20,
            gso: true,
            copy: message::MAX_PAYLOAD as u32,
            burst: 64,
        }
    }
}

/// Packets of so many bytes are given away instead of being copied: smaller
/// ones would keep a whole block from others.
const GIVEN: usize = 24 * 1024;

/// Where in a verdict the number of a queue stands.
const QUEUE_AT: u32 = 16;

/// One packet queue.
#[derive(Debug)]
pub struct Queue {
    number: u16,
    socket: Socket,
    slots: Slots,
    /// The packets of the last burst.
    packets: Vec<Place>,
    /// Datagrams that came while the queue was configured.
    early: VecDeque<Box<[u8]>>,
    outbox: Outbox,
    /// The longest payload that can be given back.
    longest: usize,
    granted: Granted,
    counters: Counters,
    last_id: Option<u32>,
    /// There was something to take the last time.
    may_hold_more: bool,
    /// Verdicts could not be sent; told by the next call that can fail.
    stuck: Option<io::Error>,
}

/// A packet of the burst: its facts, and where in which slot its bytes are.
#[derive(Clone, Copy, Debug)]
struct Place {
    facts: Queued<'static>,
    slot: usize,
    start: usize,
    end: usize,
    /// It was moved to another queue, and is none of the burst any more.
    moved: bool,
}

impl Queue {
    /// Binds to the queue and configures it.
    ///
    /// Packets that arrive meanwhile are not lost; the first `receive`
    /// returns them. What the kernel refuses of the optional settings is in
    /// [`Queue::granted`].
    pub fn open(config: &Config) -> Result<Queue, QueueError> {
        let mut socket = Socket::open().map_err(QueueError::NoNetfilter)?;
        let number = config.number;
        let broken = |error| QueueError::Refused { number, error };
        let buffer = config.buffer.max(LEAST_BUFFER);
        let (refusal, buffer) = socket.set_receive_buffer(buffer).map_err(broken)?;
        let largest = socket.set_send_buffer().map_err(broken)?;
        let count = config.burst.max(1);
        let mut slots = Slots::new(count).map_err(|error| QueueError::Memory {
            bytes: Slots::bytes(count).unwrap_or(usize::MAX),
            error,
        })?;
        let (mut granted, early) = configure::configure(&mut socket, &mut slots, config)?;
        granted.buffer = buffer;
        granted.refused.extend(refusal.map(|error| Refusal {
            wish: Wish::Buffer,
            error,
        }));
        Ok(Queue {
            number,
            socket,
            packets: Vec::with_capacity(slots.count()),
            slots,
            early,
            outbox: Outbox::new(largest),
            longest: largest
                .saturating_sub(message::VERDICT_ROOM)
                .min(message::MAX_PAYLOAD),
            granted,
            counters: Counters::default(),
            last_id: None,
            may_hold_more: false,
            stuck: None,
        })
    }

    /// What the kernel agreed to.
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// The queue's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sends the pending verdicts, then takes the packets that wait, or
    /// waits for the first. Returns how many; none when the time was over (in
    /// the kernel's ticks of some milliseconds, and at once for zero), a
    /// signal came, or there were only errors to count. The packets of the
    /// burst before are forgotten; their ids stay good.
    pub fn receive(&mut self, wait: Duration) -> Result<usize, QueueError> {
        self.packets.clear();
        self.may_hold_more = false;
        self.flush();
        let number = self.number;
        // Not taking packets while verdicts are stuck caps what is pending.
        if let Some(error) = self.stuck.take() {
            return Err(QueueError::Send { number, error });
        }
        let early = !self.early.is_empty();
        let filled = if early {
            self.refill()
        } else {
            self.fill(wait)?
        };
        for slot in 0..filled {
            self.read(slot);
        }
        if early {
            self.counters.early += self.packets.len() as u64;
        }
        self.counters.bursts += u64::from(!self.packets.is_empty());
        self.may_hold_more |= filled > 0;
        Ok(self.packets.len())
    }

    /// Whether the last [`Queue::receive`] found the queue other than empty,
    /// be it with errors only.
    pub fn is_busy(&self) -> bool {
        self.may_hold_more
    }

    /// Whether verdicts are still to be sent.
    pub fn has_verdicts(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// A packet of the last burst.
    pub fn packet(&self, index: usize) -> Option<Queued<'_>> {
        let place = self.packets.get(index).filter(|place| !place.moved)?;
        let datagram = self.slots.datagram(place.slot)?;
        Some(Queued {
            bytes: datagram.get(place.start..place.end)?,
            ..place.facts
        })
    }

    /// Gives a packet of the last burst away, in the memory where it lies,
    /// for an empty block. `None` for a small one, which is quicker copied.
    pub fn give(&mut self, index: usize, spare: impl FnOnce() -> Box<[u8]>) -> Option<Block> {
        let place = *self.packets.get(index).filter(|place| !place.moved)?;
        let shares = |other: Option<usize>| {
            let other = other.and_then(|other| self.packets.get(other));
            other.is_some_and(|other| other.slot == place.slot)
        };
        let small = place.end - place.start < GIVEN;
        if small || shares(index.checked_sub(1)) || shares(index.checked_add(1)) {
            return None;
        }
        Some(Block {
            storage: self.slots.exchange(place.slot, spare())?,
            from: u32::try_from(place.start).ok()?,
            len: u32::try_from(place.end - place.start).ok()?,
        })
    }

    /// Lets a packet pass as it came, perhaps with another mark.
    pub fn accept(&mut self, id: u32, mark: Option<u32>) {
        if self.verdict(id, libc::NF_ACCEPT, mark, None) {
            self.counters.accepted += 1;
        }
    }

    /// Lets a packet pass with other bytes, whose checksums must be whole.
    /// `false`, and no verdict is given, if they are more than 65,531.
    pub fn rewrite(&mut self, id: u32, mark: Option<u32>, payload: &[u8]) -> bool {
        let given =
            payload.len() <= self.longest && self.verdict(id, libc::NF_ACCEPT, mark, Some(payload));
        if given {
            self.counters.rewritten += 1;
        } else {
            self.counters.too_long += 1;
        }
        given
    }

    /// Drops a packet.
    pub fn refuse(&mut self, id: u32) {
        if self.verdict(id, libc::NF_DROP, None, None) {
            self.counters.refused += 1;
        }
    }

    /// Moves a packet of the last burst, which then is none of it, to the end
    /// of another queue of the same namespace, which asks for a verdict anew.
    /// One that takes no packets before segmentation gets it in segments. Where
    /// nobody listens, it is dropped.
    pub fn move_to(&mut self, index: usize, queue: u16) {
        let Some(place) = self.packets.get_mut(index) else {
            return;
        };
        place.moved = true;
        let id = place.facts.id;
        let verdict = i32::from(queue) << QUEUE_AT | libc::NF_QUEUE;
        if self.verdict(id, verdict, None, None) {
            self.counters.moved += 1;
        }
    }

    /// Sends the pending verdicts. What cannot be sent stays pending, and the
    /// next `receive` tells why.
    pub fn flush(&mut self) {
        if self.outbox.is_empty() {
            return;
        }
        let socket = &self.socket;
        let sent = self.outbox.flush(
            |messages| socket.send(messages),
            |milliseconds| socket.wait_writable(milliseconds),
        );
        self.stuck = sent.err();
        self.counters.sends = self.outbox.sends;
        self.counters.resent = self.outbox.resent;
    }

    /// Sends the pending verdicts and gives the queue back. Packets without
    /// verdict are dropped by the kernel, so drain first. Returns the last
    /// count.
    pub fn close(mut self) -> Result<Counters, QueueError> {
        let number = self.number;
        self.flush();
        if let Some(error) = self.stuck.take() {
            return Err(QueueError::Send { number, error });
        }
        configure::unbind(&mut self.socket, &mut self.slots, number, |answer| {
            self.counters.answer(answer);
        })?;
        Ok(self.counters)
    }

    fn verdict(&mut self, id: u32, what: i32, mark: Option<u32>, payload: Option<&[u8]>) -> bool {
        let room = message::VERDICT_ROOM + payload.map_or(0, <[u8]>::len);
        if self.outbox.is_full_with(room) {
            self.flush();
        }
        let out = self.outbox.bytes();
        message::verdict(out, self.number, id, what, mark, payload)
    }

    /// Takes datagrams from the socket.
    fn fill(&mut self, wait: Duration) -> Result<usize, QueueError> {
        match self.socket.receive(&mut self.slots, wait) {
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.counters.lost += 1;
                self.may_hold_more = true;
                Ok(0)
            }
            result => result.map_err(|error| QueueError::Receive {
                number: self.number,
                error,
            }),
        }
    }

    /// Takes the datagrams that came during configuration.
    fn refill(&mut self) -> usize {
        self.slots.clear();
        let mut filled = 0;
        while let Some(datagram) = self.early.front() {
            if !self.slots.put(datagram) {
                break;
            }
            self.early.pop_front();
            filled += 1;
        }
        filled
    }

    /// Notes the packets of a datagram and counts what else is in it.
    fn read(&mut self, slot: usize) {
        let Some(datagram) = self.slots.datagram(slot) else {
            self.counters.malformed += 1;
            return;
        };
        for message in message::messages(datagram) {
            match message {
                Ok(Message::Packet(packet)) => {
                    self.counters.take(&packet);
                    if let Some(last) = self.last_id.replace(packet.id) {
                        self.counters.gaps += u64::from(skipped(last, packet.id));
                    }
                    self.packets.push(Place::new(packet, slot, datagram));
                }
                Ok(Message::Answer(answer)) => self.counters.answer(answer),
                Ok(Message::Other) => (),
                Err(_) => self.counters.malformed += 1,
            }
        }
    }
}

impl Drop for Queue {
    /// Verdicts given are sent; what has none is dropped by the kernel.
    fn drop(&mut self) {
        self.flush();
    }
}

impl AsFd for Queue {
    /// To wait for packets together with other things.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Place {
    fn new(packet: Queued<'_>, slot: usize, datagram: &[u8]) -> Place {
        let ahead = packet.bytes.as_ptr().addr() - datagram.as_ptr().addr();
        // No payload at all is not a place in the datagram.
        let start = if packet.bytes.is_empty() { 0 } else { ahead };
        Place {
            facts: Queued {
                bytes: &[],
                ..packet
            },
            slot,
            start,
            end: start + packet.bytes.len(),
            moved: false,
        }
    }
}

/// How many ids lie between one and the next. They count up by one for each
/// packet that the kernel tries to deliver, and wrap.
fn skipped(last: u32, next: u32) -> u32 {
    let step = next.wrapping_sub(last).wrapping_sub(1);
    // Ids never go back; if they did, that would be no loss.
    if step > u32::MAX / 2 { 0 } else { step }
}

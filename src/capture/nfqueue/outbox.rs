//! Verdicts that wait to be sent: many messages, one send.
//!
//! Owns the bytes and the rule that each message reaches the kernel exactly
//! once, in order, whatever sending them says. Netlink takes what one send
//! holds as a whole or not at all, so what failed is sent again as it was;
//! too long a run is cut between messages. What cannot be sent stays here:
//! the queue takes no new packets until it is gone, so that this never holds
//! more than the verdicts of the packets taken. Not here: the socket (it
//! comes as a closure), what the messages say (`message`).

use std::io;

use super::message;

/// How much is gathered before it is sent without being asked: below the
/// default send buffer of 208 kB with room for one more rewritten packet.
const FULL: usize = 120_000;

/// How often a send is tried again before the caller hears of it. The waits
/// between double from a millisecond: a quarter of a second in all.
const TRIES: u32 = 8;

/// Messages on their way to the kernel.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// The most that one send may carry.
    limit: usize,
    pub sends: u64,
    pub resent: u64,
}

impl Outbox {
    /// `limit`: the longest datagram that the socket takes.
    pub fn new(limit: usize) -> Outbox {
        Outbox {
            bytes: Vec::with_capacity(FULL + message::MAX_PAYLOAD + message::VERDICT_ROOM),
            limit: limit.min(FULL),
            sends: 0,
            resent: 0,
        }
    }

    /// Where messages are appended, whole ones only.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Whether `more` bytes should wait until what is here is sent.
    pub fn is_full_with(&self, more: usize) -> bool {
        !self.bytes.is_empty() && self.bytes.len() + more > self.limit
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Sends everything, in as few sends as the limit allows.
    ///
    /// `send` takes the bytes as a whole or fails; `wait` waits about that
    /// many milliseconds until the socket may take more. On an error the
    /// messages not sent stay for the next call.
    pub fn flush(
        &mut self,
        mut send: impl FnMut(&[u8]) -> io::Result<()>,
        mut wait: impl FnMut(u32),
    ) -> io::Result<()> {
        let (mut sent, mut tries) = (0, 0);
        let result = loop {
            let rest = self.bytes.get(sent..).unwrap_or_default();
            let head = message::chunk(rest, self.limit);
            if head.is_empty() {
                break Ok(());
            }
            let Err(error) = send(head) else {
                self.sends += 1;
                (sent, tries) = (sent + head.len(), 0);
                continue;
            };
            self.resent += 1;
            match error.raw_os_error() {
                Some(libc::EINTR) => continue,
                Some(libc::EMSGSIZE) if message::chunk(head, 0).len() < head.len() => {
                    self.limit = head.len() / 2;
                }
                Some(libc::ENOBUFS | libc::EAGAIN | libc::ENOMEM) if tries < TRIES => {
                    wait(1 << tries);
                    tries += 1;
                }
                _ => break Err(error),
            }
        };
        self.bytes.drain(..sent);
        result
    }
}

//! What a queue counts.

use super::message::{Answer, Queued};

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets taken, and their bytes (those that were copied).
    pub received: u64,
    pub bytes: u64,
    /// Of the packets: came while the queue was still configured.
    pub early: u64,
    /// Calls that brought at least one packet.
    pub bursts: u64,
    /// Of the packets: longer than a segment; without transport checksum;
    /// longer than what was copied.
    pub gso: u64,
    pub partial_checksums: u64,
    pub cut: u64,
    /// Verdicts given: accepted as they came, rewritten, refused, moved to
    /// another queue.
    pub accepted: u64,
    pub rewritten: u64,
    pub refused: u64,
    pub moved: u64,
    /// Rewrites not made because the packet was too long to be given back.
    pub too_long: u64,
    /// Calls that brought verdicts to the kernel, and those that had to be
    /// repeated.
    pub sends: u64,
    pub resent: u64,
    /// Packets that the kernel numbered but could not deliver, since the
    /// socket's buffer was full: dropped, or passed if the queue is open when
    /// full. Seen as gaps between packet ids.
    pub gaps: u64,
    /// Times that the kernel said so itself (ENOBUFS).
    pub lost: u64,
    /// Verdicts on packets that were gone, as when a device went down (ENOENT).
    pub missing: u64,
    /// Other errors about verdicts, and the number of the last.
    pub errors: u64,
    pub last_error: i32,
    /// Datagrams, or parts of them, that are not what a queue sends.
    pub malformed: u64,
}

impl Counters {
    /// Verdicts of all kinds.
    pub fn verdicts(&self) -> u64 {
        self.accepted + self.rewritten + self.refused + self.moved
    }

    pub(super) fn take(&mut self, packet: &Queued<'_>) {
        self.received += 1;
        self.bytes += packet.bytes.len() as u64;
        self.gso += u64::from(packet.offloaded);
        self.partial_checksums += u64::from(packet.partial_checksum);
        self.cut += u64::from(packet.is_cut());
    }

    /// What the kernel says about a verdict. Late answers about
    /// configuration, which was asked for more than once, say nothing new.
    pub(super) fn answer(&mut self, answer: Answer) {
        if answer.about_config {
            return;
        }
        match answer.errno {
            0 => (),
            libc::ENOENT => self.missing += 1,
            errno => {
                self.errors += 1;
                self.last_error = errno;
            }
        }
    }
}

//! What is kept per flow, whatever its protocol: 128 bytes that Lua reads.
//!
//! The first cache line holds all that a look-up compares, the second what
//! each packet changes. Protocols keep their own state elsewhere, under the
//! number in [`FlowRecord::side`]. The layout is an interface: the `cdef`
//! given to Lua is checked against it.

use super::Direction;
use super::arena::{Arena, NO_SLOT, Record};
use super::key::FlowKey;
use super::timer::{DISARMED, TimerLink, TimerLinks};
use crate::time::Timestamp;

/// "No side data", in [`FlowRecord::side`].
pub const NO_SIDE: u32 = u32::MAX;

/// One flow. The key is oriented as the flow was opened: the client sent the
/// first packet.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FlowRecord {
    /// Odd while the record is live; see [`super::arena`].
    pub(super) generation: u32,
    /// State of the protocol's own machine; its meaning is the protocol's.
    pub state: u8,
    /// Number of the transport protocol, as in the IP header.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
    reserved: u8,
    /// The bits in [`flags`].
    pub flags: u16,
    timer_bucket: u16,
    /// Port of the client, in host order.
    pub client_port: u16,
    /// Port of the server, in host order.
    pub server_port: u16,
    /// Address of the client, in the form of [`FlowKey::src`].
    pub client: [u8; 16],
    /// Address of the server.
    pub server: [u8; 16],
    /// VLANs, as in [`FlowKey::vlan`].
    pub vlan: u32,
    /// Tunnel, as in [`FlowKey::tunnel`].
    pub tunnel: u32,
    /// Index of the protocol's own data, or [`NO_SIDE`].
    pub side: u32,
    timer_due: u32,
    /// Time of the latest packet.
    pub last_seen: Timestamp,
    /// Time of the first packet.
    pub first_seen: Timestamp,
    /// Packets per [`Direction`]; stays at `u32::MAX` when it gets there.
    pub packets: [u32; 2],
    /// Bytes per [`Direction`], counted as the caller counts them.
    pub bytes: [u64; 2],
    /// Number of the flow in this run, from 1; never used twice.
    pub id: u64,
    /// Number of the frame that opened the flow.
    pub first_frame: u64,
    timer_next: u32,
    timer_prev: u32,
}

const _: () = assert!(size_of::<FlowRecord>() == 128);
// A look-up that misses the cache shall miss it once.
const _: () = assert!(std::mem::offset_of!(FlowRecord, last_seen) == 64);

/// Bits of [`FlowRecord::flags`].
pub mod flags {
    /// Nobody answered yet. Kept by [`FlowTable`](super::super::table::FlowTable),
    /// which counts these flows apart; read it, do not write it.
    pub const HALF_OPEN: u16 = 1 << 0;
    /// The first packets were not seen; who is client was guessed.
    pub const MIDSTREAM: u16 = 1 << 1;
    /// Packets pass without being looked at.
    pub const IGNORED: u16 = 1 << 2;
    /// Packets are dropped without being looked at.
    pub const DROPPED: u16 = 1 << 3;
    /// Bytes were changed, so that sequence numbers are translated.
    pub const EDITED: u16 = 1 << 4;
    /// Rules were attached to this flow alone (Haka's dynamic connections).
    pub const DYNAMIC: u16 = 1 << 5;
    /// A rule or a limit let the rest of the flow pass; see
    /// [`BYPASSED`](crate::packet::record::flag::BYPASSED).
    pub const BYPASSED: u16 = 1 << 6;
    /// What was to be seen of it was seen: it passes from its next packet on.
    pub const SETTLED: u16 = 1 << 7;
}

impl FlowRecord {
    /// Generation of the slot: together with its number it names this flow
    /// for as long as the process runs.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The key of packets from the client.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        FlowKey {
            src: self.client,
            dst: self.server,
            src_port: self.client_port,
            dst_port: self.server_port,
            vlan: self.vlan,
            tunnel: self.tunnel,
            protocol: self.protocol,
            family: self.family,
        }
    }

    /// True if all the bits of `flag` are set.
    #[must_use]
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag == flag
    }

    /// Counts one packet of `bytes` bytes and notes the time. Time that runs
    /// backwards does not make the flow older than it was.
    #[inline]
    pub fn count(&mut self, direction: Direction, bytes: u32, now: Timestamp) {
        let at = direction.index();
        self.packets[at] = self.packets[at].saturating_add(1);
        self.bytes[at] = self.bytes[at].saturating_add(u64::from(bytes));
        self.last_seen = self.last_seen.max(now);
    }

    /// Writes who talks to whom; done once, by the table.
    pub(super) fn set_key(&mut self, key: &FlowKey) {
        self.client = key.src;
        self.server = key.dst;
        self.client_port = key.src_port;
        self.server_port = key.dst_port;
        self.vlan = key.vlan;
        self.tunnel = key.tunnel;
        self.protocol = key.protocol;
        self.family = key.family;
    }
}

impl Default for FlowRecord {
    fn default() -> Self {
        FlowRecord {
            generation: 0,
            state: 0,
            protocol: 0,
            family: 0,
            reserved: 0,
            flags: 0,
            timer_bucket: DISARMED,
            client_port: 0,
            server_port: 0,
            client: [0; 16],
            server: [0; 16],
            vlan: 0,
            tunnel: 0,
            side: NO_SIDE,
            timer_due: 0,
            last_seen: Timestamp(0),
            first_seen: Timestamp(0),
            packets: [0; 2],
            bytes: [0; 2],
            id: 0,
            first_frame: 0,
            timer_next: NO_SLOT,
            timer_prev: NO_SLOT,
        }
    }
}

impl Record for FlowRecord {
    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }
    fn set_generation(&mut self, generation: u32) {
        self.generation = generation;
    }
    // A free slot has no timer, so the free list borrows the timer's link.
    fn next_free(&self) -> u32 {
        self.timer_next
    }
    fn set_next_free(&mut self, slot: u32) {
        self.timer_next = slot;
    }
}

impl TimerLinks for Arena<FlowRecord> {
    #[inline]
    fn link(&self, slot: u32) -> TimerLink {
        let record = &self[slot];
        TimerLink {
            next: record.timer_next,
            prev: record.timer_prev,
            due: record.timer_due,
            bucket: record.timer_bucket,
        }
    }

    #[inline]
    fn set_link(&mut self, slot: u32, link: TimerLink) {
        let record = &mut self[slot];
        record.timer_next = link.next;
        record.timer_prev = link.prev;
        record.timer_due = link.due;
        record.timer_bucket = link.bucket;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_saturates_and_never_goes_back_in_time() {
        let mut record = FlowRecord {
            packets: [u32::MAX, 0],
            ..FlowRecord::default()
        };
        record.count(Direction::ToServer, 100, Timestamp(50));
        record.count(Direction::ToClient, 40, Timestamp(30));
        assert_eq!(record.packets, [u32::MAX, 1]);
        assert_eq!(record.bytes, [100, 40]);
        assert_eq!(record.last_seen, Timestamp(50));
    }

    #[test]
    fn flags_are_distinct_bits() {
        let all = [
            flags::HALF_OPEN,
            flags::MIDSTREAM,
            flags::IGNORED,
            flags::DROPPED,
            flags::EDITED,
            flags::DYNAMIC,
            flags::BYPASSED,
            flags::SETTLED,
        ];
        assert_eq!(
            all.iter().fold(0, |bits, flag| bits | flag).count_ones() as usize,
            all.len()
        );
        let record = FlowRecord {
            flags: flags::EDITED | flags::DYNAMIC,
            ..FlowRecord::default()
        };
        assert!(record.has(flags::EDITED));
        assert!(!record.has(flags::EDITED | flags::DROPPED));
    }
}

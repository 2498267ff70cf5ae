//! Reassembly of IPv4 and IPv6 fragments.
//!
//! Knows offsets and bytes, neither packets nor clocks: the caller holds the
//! fragments under tokens of its own, gives the time, and gets the tokens back
//! with the whole payload, or as tokens to drop. What a rule judged must be
//! what the receiver assembles, so no receiver's choice between overlapping
//! bytes is ever left open:
//!
//! - IPv4: the first copy of a byte wins. A fragment that brings nothing new
//!   is refused; one that overlaps in part is used for the rest, and the
//!   datagram is marked [`Datagram::overlapped`], so that its parts are sent
//!   and not the fragments as they came. The last fragment has the highest
//!   offset: those at or behind its own are refused, whenever they came.
//! - IPv6: any overlap but an exact copy kills the datagram, and all that
//!   comes under its key until the time-out (RFC 5722, RFC 8200, 4.5).
//!
//! Datagrams, bytes and fragments are capped; the oldest datagram makes room.
//! Left out: the ICMP "reassembly time exceeded" that an end host would send,
//! and path MTU (the caller re-fragments).

mod set;
#[cfg(test)]
mod tests;

use std::time::Duration;

use hashbrown::HashMap;
use slab::Slab;
use smallvec::SmallVec;

use super::decode::IpHeader;
use crate::addr::Addr;
use crate::time::Timestamp;
use set::{Added, NONE, Set};

/// Payload plus header that an IP length field can express.
const MAX_DATAGRAM: u32 = 0xffff;

/// Buffers kept for the next datagrams.
const POOLED: usize = 16;

/// The caps of a [`Reassembler`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Incomplete datagrams; the oldest is given up for a new one.
    pub max_datagrams: usize,
    /// Payload bytes of all incomplete datagrams; the oldest are given up.
    pub max_bytes: usize,
    /// From a datagram's first fragment to giving it up. End hosts wait up to
    /// 120 seconds (RFC 1122, 3.3.2); longer would be of no use to them.
    pub timeout: Duration,
    /// Fragments of one datagram; beyond, it is dropped as a whole.
    pub max_fragments_per_datagram: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_datagrams: 4096,
            max_bytes: 16 << 20,
            timeout: Duration::from_secs(120),
            max_fragments_per_datagram: 1024,
        }
    }
}

/// What the fragments of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    pub src: Addr,
    pub dst: Addr,
    pub id: u32,
    /// Protocol over IPv4; 0 over IPv6, where it is not part of the key.
    pub protocol: u8,
    /// 4 or 6.
    pub version: u8,
    /// VLANs and tunnel, to keep equal addresses of different networks apart.
    pub discriminator: u64,
}

impl FragmentKey {
    /// The key of a fragment; `None` if the packet is none.
    pub fn of(header: &IpHeader, discriminator: u64) -> Option<FragmentKey> {
        Some(FragmentKey {
            src: header.src,
            dst: header.dst,
            id: header.fragment?.id,
            protocol: if header.version == 4 {
                header.protocol
            } else {
                0
            },
            version: header.version,
            discriminator,
        })
    }
}

/// One fragment, as its header describes it.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Offset of the payload in the datagram's payload, in bytes.
    pub offset: u32,
    /// More fragments follow.
    pub more: bool,
    /// Header bytes that count into the datagram's 16-bit length: the IPv4
    /// header, or the IPv6 extension headers before the fragment header.
    pub header_len: u32,
    pub payload: &'a [u8],
    /// The caller's name for the packet.
    pub token: u32,
}

impl<'a> Piece<'a> {
    /// The piece that a packet carries. `None` if it is no fragment, or the
    /// capture cut it: then its datagram cannot be put together.
    pub fn of(header: &IpHeader, bytes: &'a [u8], token: u32) -> Option<Piece<'a>> {
        let fragment = header.fragment.filter(|_| !header.captured_short)?;
        // The payload length of IPv6 does not count the fixed header.
        let uncounted = if header.version == 4 { 0 } else { 40 };
        Some(Piece {
            offset: fragment.offset,
            more: fragment.more,
            header_len: fragment.unfragmentable_len.saturating_sub(uncounted) as u32,
            payload: header.payload(bytes),
            token,
        })
    }
}

/// What one fragment contributes. A token occurs more than once in a datagram
/// if a fragment filled several holes, and its parts then are not adjacent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub token: u32,
    /// Offset in the datagram's payload, a multiple of eight.
    pub offset: u32,
    /// Bytes left after trimming; a multiple of eight but in the last part.
    pub len: u32,
}

/// A reassembled datagram.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Datagram {
    pub payload: Vec<u8>,
    /// Cover the payload without gap or overlap, in order.
    pub parts: SmallVec<[Part; 8]>,
    /// Fragments overlapped: the parts say what must be sent, the fragments
    /// as received would leave a choice to the receiver.
    pub overlapped: bool,
}

/// Tokens of packets, mostly few.
pub type Tokens = SmallVec<[u32; 8]>;

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Kept until the rest arrives.
    Held,
    /// All bytes are there. Hand the buffers back with
    /// [`Reassembler::recycle`].
    Complete(Datagram),
    /// The fragment must be dropped, and with it all earlier ones in `also`.
    Refused { reason: Refusal, also: Tokens },
}

/// Why a fragment was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No payload: it could only move the end.
    Empty,
    /// More follow, but the length is no multiple of eight.
    Misaligned,
    /// The datagram would be longer than 65,535 bytes.
    TooLong,
    /// At or behind the datagram's last fragment, or a second end.
    BeyondEnd,
    /// All its bytes are there already.
    Duplicate,
    /// IPv6: it overlaps another, or one before it did.
    Overlap,
    /// The datagram is in more pieces than allowed.
    TooManyFragments,
    /// The byte cap is too low for the datagram alone.
    OutOfMemory,
}

/// Totals since the start. Datagrams unless it says fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Fragments given to [`Reassembler::insert`].
    pub fragments: u64,
    pub completed: u64,
    /// Fragments with an impossible place or size.
    pub invalid: u64,
    /// Fragments that brought nothing new.
    pub duplicates: u64,
    /// Fragments cut because others had some of their bytes (IPv4).
    pub trimmed: u64,
    /// Fragments whose copy of known bytes differed: nobody does this by
    /// accident.
    pub conflicts: u64,
    /// Dropped for an overlap (IPv6).
    pub overlaps: u64,
    /// Dropped for too many fragments.
    pub too_many: u64,
    pub timed_out: u64,
    /// Given up for the caps.
    pub evicted: u64,
}

/// Collects fragments until their datagrams are whole.
pub struct Reassembler {
    limits: Limits,
    by_key: HashMap<FragmentKey, u32, foldhash::fast::RandomState>,
    sets: Slab<Set>,
    /// Ends of the list of sets in order of their first fragment.
    oldest: u32,
    newest: u32,
    bytes: usize,
    counters: Counters,
    evicted: Vec<u32>,
    timed_out: Vec<u32>,
    refused: Vec<u32>,
    pool: Vec<Vec<u8>>,
}

impl Reassembler {
    pub fn new(limits: Limits) -> Self {
        Reassembler {
            limits,
            by_key: HashMap::default(),
            sets: Slab::new(),
            oldest: NONE,
            newest: NONE,
            bytes: 0,
            counters: Counters::default(),
            evicted: Vec::new(),
            timed_out: Vec::new(),
            refused: Vec::new(),
            pool: Vec::new(),
        }
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Incomplete datagrams, and IPv6 ones whose remains are being refused.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Payload bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes one fragment. Datagrams given up to make room are reported by
    /// [`Reassembler::evicted`], fragments that this one disproves by
    /// [`Reassembler::refused`].
    pub fn insert(&mut self, now: Timestamp, key: FragmentKey, piece: Piece<'_>) -> Outcome {
        self.counters.fragments += 1;
        // Offset 0 and nothing to follow: not part of any set (RFC 6946).
        if piece.offset == 0 && !piece.more {
            return self.complete_alone(piece);
        }
        if let Err(reason) = check(&piece) {
            return self.refuse(reason);
        }
        let index = match self.live_set(now, &key) {
            Some(index) => index,
            None => self.open(now, key),
        };
        let limit = self.limits.max_fragments_per_datagram;
        let Some(set) = self.sets.get_mut(index as usize) else {
            return self.refuse(Refusal::OutOfMemory);
        };
        self.bytes -= set.bytes();
        let known_refused = self.refused.len();
        let added = set.add(&piece, limit, &mut self.refused);
        self.bytes += set.bytes();
        self.counters.invalid += (self.refused.len() - known_refused) as u64;
        let is_whole = set.is_whole();
        match added {
            Added::New { overlap, conflict } => {
                self.counters.trimmed += u64::from(overlap);
                self.counters.conflicts += u64::from(conflict);
            }
            Added::Duplicate { conflict } => {
                self.counters.conflicts += u64::from(conflict);
                return self.refuse(Refusal::Duplicate);
            }
            Added::Overlap { conflict } => {
                self.counters.conflicts += u64::from(conflict);
                return self.poison(index);
            }
            Added::TooMany => {
                self.counters.too_many += 1;
                return self.give_up(index, Refusal::TooManyFragments, false);
            }
            Added::No(reason) => return self.refuse(reason),
        }
        if is_whole {
            return self.complete(index);
        }
        self.make_room(index)
    }

    /// Gives up datagrams older than the time-out and adds the tokens of their
    /// fragments to `tokens`.
    pub fn expire(&mut self, now: Timestamp, tokens: &mut Vec<u32>) {
        while let Some(set) = self.sets.get(self.oldest as usize) {
            if now.since(set.started) < self.limits.timeout {
                break;
            }
            self.time_out(self.oldest);
        }
        tokens.append(&mut self.timed_out);
    }

    /// When [`Reassembler::expire`] has something to do next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.sets
            .get(self.oldest as usize)
            .map(|set| set.started + self.limits.timeout)
    }

    /// Hands out the tokens of datagrams given up for the caps.
    pub fn evicted(&mut self) -> impl Iterator<Item = u32> + '_ {
        self.evicted.drain(..)
    }

    /// Hands out the tokens of IPv4 fragments held so far that lie at or
    /// behind the last fragment, which came after them ([`Refusal::BeyondEnd`]).
    pub fn refused(&mut self) -> impl Iterator<Item = u32> + '_ {
        self.refused.drain(..)
    }

    /// Gives up everything, for a shutdown; adds all tokens to `tokens`.
    pub fn clear(&mut self, tokens: &mut Vec<u32>) {
        while let Some(set) = self.remove(self.oldest) {
            tokens.extend(set.tokens());
            self.pool(set.into_buffer());
        }
        tokens.append(&mut self.timed_out);
        tokens.append(&mut self.evicted);
        tokens.append(&mut self.refused);
    }

    /// Takes a datagram's buffer back for the next one.
    pub fn recycle(&mut self, datagram: Datagram) {
        self.pool(datagram.payload);
    }

    /// The set of `key`, unless its time is over.
    fn live_set(&mut self, now: Timestamp, key: &FragmentKey) -> Option<u32> {
        let index = *self.by_key.get(key)?;
        let started = self.sets.get(index as usize)?.started;
        if now.since(started) < self.limits.timeout {
            return Some(index);
        }
        self.time_out(index);
        None
    }

    /// Begins a set, the newest of all.
    fn open(&mut self, now: Timestamp, key: FragmentKey) -> u32 {
        while self.sets.len() >= self.limits.max_datagrams.max(1) {
            self.evict(self.oldest);
        }
        let buffer = self.pool.pop().unwrap_or_default();
        let index = self.sets.insert(Set::new(key, now, self.newest, buffer)) as u32;
        match self.sets.get_mut(self.newest as usize) {
            Some(set) => set.next = index,
            None => self.oldest = index,
        }
        self.newest = index;
        self.by_key.insert(key, index);
        index
    }

    /// Takes a set out of the table and the list.
    fn remove(&mut self, index: u32) -> Option<Set> {
        let set = self.sets.try_remove(index as usize)?;
        self.by_key.remove(&set.key);
        self.bytes -= set.bytes();
        match self.sets.get_mut(set.previous as usize) {
            Some(previous) => previous.next = set.next,
            None => self.oldest = set.next,
        }
        match self.sets.get_mut(set.next as usize) {
            Some(next) => next.previous = set.previous,
            None => self.newest = set.previous,
        }
        Some(set)
    }

    fn evict(&mut self, index: u32) {
        if let Some(set) = self.remove(index) {
            self.counters.evicted += 1;
            self.evicted.extend(set.tokens());
            self.pool(set.into_buffer());
        }
    }

    fn time_out(&mut self, index: u32) {
        if let Some(set) = self.remove(index) {
            self.counters.timed_out += 1;
            self.timed_out.extend(set.tokens());
            self.pool(set.into_buffer());
        }
    }

    /// Evicts the oldest sets until the byte cap holds; `index` has just grown.
    fn make_room(&mut self, index: u32) -> Outcome {
        while self.bytes > self.limits.max_bytes {
            if self.oldest == index {
                // Its own turn: the others are younger and may still complete.
                self.counters.evicted += 1;
                return self.give_up(index, Refusal::OutOfMemory, true);
            }
            self.evict(self.oldest);
        }
        Outcome::Held
    }

    fn complete(&mut self, index: u32) -> Outcome {
        let Some(set) = self.remove(index) else {
            return self.refuse(Refusal::OutOfMemory);
        };
        self.counters.completed += 1;
        let spare = self.pool.pop().unwrap_or_default();
        let (datagram, spare) = set.assemble(spare);
        self.pool(spare);
        Outcome::Complete(datagram)
    }

    fn complete_alone(&mut self, piece: Piece<'_>) -> Outcome {
        self.counters.completed += 1;
        let mut payload = self.pool.pop().unwrap_or_default();
        payload.extend_from_slice(piece.payload);
        let part = Part {
            token: piece.token,
            offset: 0,
            len: payload.len() as u32,
        };
        let parts = SmallVec::from_iter([part]);
        Outcome::Complete(Datagram {
            payload,
            parts,
            overlapped: false,
        })
    }

    /// Drops what there is of a datagram, but remembers to refuse the rest.
    fn poison(&mut self, index: u32) -> Outcome {
        self.counters.overlaps += 1;
        let mut also = Tokens::new();
        if let Some(set) = self.sets.get_mut(index as usize) {
            self.bytes -= set.bytes();
            also.extend_from_slice(set.tokens());
            let buffer = set.poison();
            self.pool(buffer);
        }
        Outcome::Refused {
            reason: Refusal::Overlap,
            also,
        }
    }

    /// Drops a datagram because of the fragment that has just come, which may
    /// have been `added` to it.
    fn give_up(&mut self, index: u32, reason: Refusal, added: bool) -> Outcome {
        let mut also = Tokens::new();
        if let Some(set) = self.remove(index) {
            also.extend_from_slice(set.tokens());
            if added {
                also.pop();
            }
            self.pool(set.into_buffer());
        }
        Outcome::Refused { reason, also }
    }

    /// Refuses one fragment; its datagram waits for better ones.
    fn refuse(&mut self, reason: Refusal) -> Outcome {
        match reason {
            Refusal::Duplicate => self.counters.duplicates += 1,
            Refusal::Empty | Refusal::Misaligned | Refusal::TooLong | Refusal::BeyondEnd => {
                self.counters.invalid += 1;
            }
            Refusal::Overlap | Refusal::TooManyFragments | Refusal::OutOfMemory => {}
        }
        Outcome::Refused {
            reason,
            also: Tokens::new(),
        }
    }

    fn pool(&mut self, mut buffer: Vec<u8>) {
        if self.pool.len() < POOLED && buffer.capacity() > 0 {
            buffer.clear();
            self.pool.push(buffer);
        }
    }
}

/// What can be told from a fragment alone.
fn check(piece: &Piece<'_>) -> Result<(), Refusal> {
    let len = u32::try_from(piece.payload.len()).unwrap_or(u32::MAX);
    let end = piece.offset.saturating_add(len);
    if len == 0 {
        Err(Refusal::Empty)
    } else if !piece.offset.is_multiple_of(8) || (piece.more && !len.is_multiple_of(8)) {
        Err(Refusal::Misaligned)
    } else if end.saturating_add(piece.header_len) > MAX_DATAGRAM {
        Err(Refusal::TooLong)
    } else {
        Ok(())
    }
}

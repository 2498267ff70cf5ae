//! The classic pcap format: one file header, then record after record.
//!
//! Format: draft-ietf-opsawg-pcap. Besides the two usual magic numbers, that
//! of Alexey Kuznetzov's patched libpcap (0xa1b2cd34) is read; its record
//! headers are eight bytes longer.

use super::error::Fault;
use super::window::Window;
use super::{Found, MAX_RECORD, Resolution};
use crate::packet::link::LinkType;
use crate::time::Timestamp;

/// Bytes of the file header.
pub(super) const FILE_HEADER: usize = 24;

pub(super) const MAGIC_MICRO: u32 = 0xa1b2_c3d4;
pub(super) const MAGIC_NANO: u32 = 0xa1b2_3c4d;
const MAGIC_KUZNETZOV: u32 = 0xa1b2_cd34;

/// How far a record may exceed the snap length that the header announces:
/// some writers announce less than they then write, up to the largest packet
/// that libpcap itself takes.
const SNAPLEN_SLACK: u32 = 256 << 10;

pub(super) struct Pcap {
    order: ByteOrder,
    resolution: Resolution,
    link: LinkType,
    record_header: usize,
    /// Longer records are damage.
    longest: u32,
    /// Written before libpcap settled which length comes first.
    lengths_swapped: bool,
}

impl Pcap {
    pub fn open(window: &mut Window) -> Result<Pcap, Fault> {
        let present = window.peek_up_to(FILE_HEADER);
        let cut = Fault::cut(0, "the file header", present.len(), FILE_HEADER);
        let Some(&magic) = present.first_chunk::<4>() else {
            return Err(cut);
        };
        let (order, magic) = match u32::from_le_bytes(magic) {
            magic @ (MAGIC_MICRO | MAGIC_NANO | MAGIC_KUZNETZOV) => (ByteOrder::Little, magic),
            magic => (ByteOrder::Big, magic.swap_bytes()),
        };
        let Some([_, version, _, _, snaplen, link]) = order.words(present) else {
            return Err(cut);
        };
        let (major, minor) = order.halves(version);
        if major != 2 {
            return Err(Fault::bad(
                0,
                format!("pcap version {major}.{minor} is not supported"),
            ));
        }
        window.advance(FILE_HEADER);
        Ok(Pcap {
            order,
            resolution: if magic == MAGIC_NANO {
                Resolution::Nano
            } else {
                Resolution::Micro
            },
            // The upper half may tell the length of a frame check sequence.
            link: LinkType((link & 0xffff) as u16),
            record_header: if magic == MAGIC_KUZNETZOV { 24 } else { 16 },
            longest: snaplen.saturating_add(SNAPLEN_SLACK).min(MAX_RECORD),
            lengths_swapped: minor <= 3,
        })
    }

    pub fn link(&self) -> LinkType {
        self.link
    }

    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    #[inline]
    pub fn next(&mut self, window: &mut Window) -> Result<Option<Found>, Fault> {
        let header = self.record_header;
        let words = window
            .peek(header)
            .and_then(|bytes| self.order.words(bytes));
        let Some([seconds, fraction, mut captured, mut orig_len]) = words else {
            return match window.available() {
                0 => Ok(None),
                rest => Err(Fault::cut(window.offset(), "a record header", rest, header)),
            };
        };
        if self.lengths_swapped && captured > orig_len {
            (captured, orig_len) = (orig_len, captured);
        }
        if captured > self.longest {
            let what = format!(
                "a record claims {captured} captured bytes, more than the {} that can be true",
                self.longest
            );
            return Err(Fault::bad(window.offset(), what));
        }
        let captured = captured as usize;
        let total = header + captured;
        if window.peek(total).is_none() {
            return Err(Fault::cut(
                window.offset(),
                "a record",
                window.available(),
                total,
            ));
        }
        // Neither product nor sum can leave 64 bits: both are 32-bit values.
        let nanos = match self.resolution {
            Resolution::Micro => i64::from(fraction) * 1_000,
            Resolution::Nano => i64::from(fraction),
        };
        Ok(Some(Found {
            timestamp: Timestamp(i64::from(seconds) * 1_000_000_000 + nanos),
            link: self.link,
            interface: 0,
            orig_len,
            header,
            captured,
            total,
        }))
    }
}

/// The byte order of the machine that wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// The first `N` 32-bit words of `bytes`; `None` when there are fewer.
    #[inline]
    pub fn words<const N: usize>(self, bytes: &[u8]) -> Option<[u32; N]> {
        let words = bytes
            .as_chunks()
            .0
            .first_chunk::<N>()?
            .map(u32::from_le_bytes);
        Some(match self {
            ByteOrder::Little => words,
            ByteOrder::Big => words.map(u32::swap_bytes),
        })
    }

    /// The two 16-bit fields that a word read by [`words`](Self::words)
    /// covers, in file order.
    pub fn halves(self, word: u32) -> (u16, u16) {
        let (high, low) = ((word >> 16) as u16, word as u16);
        match self {
            ByteOrder::Little => (low, high),
            ByteOrder::Big => (high, low),
        }
    }
}

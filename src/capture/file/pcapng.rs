//! The pcapng format: blocks in sections, each section with interfaces.
//!
//! Format: draft-ietf-opsawg-pcapng. Packet blocks (enhanced, simple and the
//! obsolete one), section headers and interface descriptions are read, all
//! others passed over whatever their length. Blocks must be framed as the
//! draft says: a length that is no multiple of four, or that differs at the
//! block's two ends, is damage, since nothing behind it can be trusted.

use super::error::Fault;
use super::pcap::ByteOrder;
use super::window::Window;
use super::{Found, MAX_RECORD, Resolution};
use crate::packet::link::LinkType;
use crate::time::Timestamp;

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
pub(super) const ENHANCED_PACKET: u32 = 6;

pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPTION_END: u16 = 0;
pub(super) const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// Bytes around a block's body: type and length before it, length after it.
const FRAMING: usize = 12;

/// Cap on the interfaces of one section; more are damage.
const MAX_INTERFACES: usize = 65_536;

/// The longest block that is held in memory: a packet of the longest kind
/// and as much again in options.
const MAX_BLOCK: u32 = 2 * MAX_RECORD;

pub(super) struct Pcapng {
    order: ByteOrder,
    /// The interfaces of this section.
    interfaces: Vec<Interface>,
    /// How many interfaces earlier sections had.
    earlier_interfaces: u32,
    first: Option<Interface>,
    last_time: Timestamp,
}

#[derive(Clone, Copy)]
struct Interface {
    link: LinkType,
    snaplen: u32,
    ticks: Ticks,
    /// Added to every time stamp, in nanoseconds.
    offset: i64,
}

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ticks {
    /// Each is so many nanoseconds.
    Nanos(u64),
    /// So many make a nanosecond.
    PerNano(u128),
    /// Two to this power make a second.
    Binary(u8),
}

/// Type and length of a block, as its first eight bytes say.
#[derive(Clone, Copy)]
struct Block {
    kind: u32,
    total: usize,
}

impl Pcapng {
    /// Reads up to the first interface description, or to the first packet
    /// where there is none.
    pub fn open(window: &mut Window) -> Result<Pcapng, Fault> {
        let mut pcapng = Pcapng {
            order: ByteOrder::Little,
            interfaces: Vec::new(),
            earlier_interfaces: 0,
            first: None,
            last_time: Timestamp(0),
        };
        while pcapng.first.is_none() {
            match pcapng.block(window)? {
                Some(block) if !block.is_packet() => pcapng.pass(block, window)?,
                _ => break,
            }
        }
        Ok(pcapng)
    }

    /// The link type of the first interface of the file.
    pub fn first_link(&self) -> Option<LinkType> {
        self.first.map(|interface| interface.link)
    }

    /// The resolution of the first interface of the file.
    pub fn resolution(&self) -> Resolution {
        match self.first.map(|interface| interface.ticks) {
            None | Some(Ticks::Nanos(1_000..)) => Resolution::Micro,
            Some(Ticks::Binary(power)) if power < 20 => Resolution::Micro,
            Some(_) => Resolution::Nano,
        }
    }

    pub fn next(&mut self, window: &mut Window) -> Result<Option<Found>, Fault> {
        while let Some(block) = self.block(window)? {
            if block.is_packet() {
                return self.packet(block, window).map(Some);
            }
            self.pass(block, window)?;
        }
        Ok(None)
    }

    /// The framing of the next block, which stays in the window.
    fn block(&mut self, window: &mut Window) -> Result<Option<Block>, Fault> {
        let offset = window.offset();
        let Some([kind, mut total]) = window.peek(8).and_then(|head| self.order.words(head)) else {
            return match window.available() {
                0 => Ok(None),
                rest => Err(Fault::cut(offset, "a block header", rest, 8)),
            };
        };
        // The same in both byte orders, so that it can be told before the
        // section's order is known.
        if kind == SECTION_HEADER {
            let Some([_, length, magic]) = window
                .peek(12)
                .and_then(|head| ByteOrder::Little.words(head))
            else {
                return Err(Fault::cut(
                    offset,
                    "a section header",
                    window.available(),
                    28,
                ));
            };
            (self.order, total) = match (magic, magic.swap_bytes()) {
                (BYTE_ORDER_MAGIC, _) => (ByteOrder::Little, length),
                (_, BYTE_ORDER_MAGIC) => (ByteOrder::Big, length.swap_bytes()),
                _ => {
                    let what = format!("a section header has 0x{magic:08x} as byte-order magic");
                    return Err(Fault::bad(offset, what));
                }
            };
        }
        let block = Block {
            kind,
            total: total as usize,
        };
        if block.total < FRAMING || !block.total.is_multiple_of(4) {
            let what =
                format!("a block (type {kind}) claims an impossible length of {total} bytes");
            return Err(Fault::bad(offset, what));
        }
        Ok(Some(block))
    }

    /// Takes in a block that is no packet.
    fn pass(&mut self, block: Block, window: &mut Window) -> Result<(), Fault> {
        let offset = window.offset();
        match block.kind {
            SECTION_HEADER => {
                let bytes = self.whole(block, "a section header", window)?;
                self.enter_section(bytes)
                    .map_err(|what| Fault::bad(offset, what))?;
            }
            INTERFACE_DESCRIPTION => {
                let bytes = self.whole(block, "an interface description", window)?;
                self.add_interface(bytes)
                    .map_err(|what| Fault::bad(offset, what))?;
            }
            _ => {
                // Of any length, so not held: only the length at its end is looked at.
                let body = (block.total - 4) as u64;
                let passed = window.skip(body);
                let trailer = window.peek(4).and_then(|bytes| self.order.words(bytes));
                let Some([trailer]) = trailer else {
                    let present = passed as usize + window.available();
                    return Err(Fault::cut(offset, "a block", present, block.total));
                };
                check_trailer(block, trailer).map_err(|what| Fault::bad(offset, what))?;
                window.advance(4);
                return Ok(());
            }
        }
        window.advance(block.total);
        Ok(())
    }

    /// The bytes of a block without its trailing length.
    fn whole<'a>(
        &self,
        block: Block,
        what: &str,
        window: &'a mut Window,
    ) -> Result<&'a [u8], Fault> {
        let offset = window.offset();
        if block.total > MAX_BLOCK as usize {
            let what = format!("{what} claims {} bytes, more than can be true", block.total);
            return Err(Fault::bad(offset, what));
        }
        if window.peek(block.total).is_none() {
            return Err(Fault::cut(offset, what, window.available(), block.total));
        }
        let bytes = window.peek(block.total).unwrap_or_default();
        let (body, trailer) = bytes.split_last_chunk::<4>().unwrap_or((bytes, &[0; 4]));
        let [trailer] = self.order.words(trailer).unwrap_or_default();
        check_trailer(block, trailer).map_err(|what| Fault::bad(offset, what))?;
        Ok(body)
    }

    fn enter_section(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some([_, _, _, version, _, _]) = self.order.words(bytes) else {
            return Err("a section header is too short".to_owned());
        };
        let (major, minor) = self.order.halves(version);
        // Version 1.2 was written by mistake and means 1.0.
        if major != 1 || !matches!(minor, 0 | 2) {
            return Err(format!("pcapng version {major}.{minor} is not supported"));
        }
        self.earlier_interfaces = self
            .earlier_interfaces
            .saturating_add(self.interfaces.len() as u32);
        self.interfaces.clear();
        Ok(())
    }

    fn add_interface(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some([_, _, link, snaplen]) = self.order.words(bytes) else {
            return Err("an interface description is too short".to_owned());
        };
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(format!(
                "a section describes more than {MAX_INTERFACES} interfaces"
            ));
        }
        let (link, _) = self.order.halves(link);
        let mut interface = Interface {
            link: LinkType(link),
            snaplen,
            ticks: Ticks::Nanos(1_000),
            offset: 0,
        };
        self.read_options(bytes.get(16..).unwrap_or_default(), &mut interface);
        self.first.get_or_insert(interface);
        self.interfaces.push(interface);
        Ok(())
    }

    /// Options that run past the end of the block end the list: no packet
    /// depends on the ones that are lost with them but for its time.
    fn read_options(&self, mut options: &[u8], interface: &mut Interface) {
        while let Some([head]) = self.order.words(options) {
            let (code, length) = self.order.halves(head);
            let length = usize::from(length);
            let Some(value) = options.get(4..4 + length) else {
                return;
            };
            match (code, value) {
                (OPTION_END, _) => return,
                (OPTION_TSRESOL, &[resolution]) => interface.ticks = Ticks::from_option(resolution),
                (OPTION_TSOFFSET, _) => {
                    if let Some([first, second]) = self.order.words(value) {
                        let seconds = self.order.joined(first, second) as i64;
                        interface.offset = seconds.saturating_mul(1_000_000_000);
                    }
                }
                _ => {}
            }
            options = options
                .get(4 + length.next_multiple_of(4)..)
                .unwrap_or_default();
        }
    }

    fn packet(&mut self, block: Block, window: &mut Window) -> Result<Found, Fault> {
        let offset = window.offset();
        let order = self.order;
        let bytes = self.whole(block, "a packet block", window)?;
        let found = match block.kind {
            SIMPLE_PACKET => order
                .words(bytes)
                .map(|[_, _, orig_len]| self.simple(block, orig_len)),
            _ => order.words(bytes).map(|words| self.enhanced(block, words)),
        };
        found
            .unwrap_or_else(|| Err("a packet block is too short".to_owned()))
            .map_err(|what| Fault::bad(offset, what))
    }

    /// An enhanced packet block, or an obsolete one, which differs only in
    /// having half the bits for the interface and a drop count in the others.
    fn enhanced(&mut self, block: Block, words: [u32; 7]) -> Result<Found, String> {
        const HEADER: usize = 28;
        let [kind, _, interface, high, low, captured, orig_len] = words;
        let index = match kind {
            OBSOLETE_PACKET => u32::from(self.order.halves(interface).0),
            _ => interface,
        };
        let interface = self.interface(index)?;
        let room = block.total - 4 - HEADER;
        let captured = believed(captured, room)?;
        let ticks = u64::from(high) << 32 | u64::from(low);
        self.last_time = interface.time(ticks);
        Ok(self.found(interface, index, orig_len, HEADER, captured, block))
    }

    /// A simple packet block: all of it belongs to the first interface, and
    /// the captured length follows from that interface's snap length.
    fn simple(&mut self, block: Block, orig_len: u32) -> Result<Found, String> {
        const HEADER: usize = 12;
        let interface = self.interface(0)?;
        let limit = if interface.snaplen == 0 {
            u32::MAX
        } else {
            interface.snaplen
        };
        let captured = believed(orig_len.min(limit), block.total - 4 - HEADER)?;
        Ok(self.found(interface, 0, orig_len, HEADER, captured, block))
    }

    fn found(
        &self,
        interface: Interface,
        index: u32,
        orig_len: u32,
        header: usize,
        captured: usize,
        block: Block,
    ) -> Found {
        Found {
            timestamp: self.last_time,
            link: interface.link,
            interface: self.earlier_interfaces.saturating_add(index),
            orig_len,
            header,
            captured,
            total: block.total,
        }
    }

    fn interface(&self, index: u32) -> Result<Interface, String> {
        let known = usize::try_from(index)
            .ok()
            .and_then(|index| self.interfaces.get(index));
        known.copied().ok_or_else(|| {
            let count = self.interfaces.len();
            format!("a packet names interface {index}, but its section describes {count}")
        })
    }
}

impl Block {
    fn is_packet(self) -> bool {
        matches!(self.kind, ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET)
    }
}

/// A captured length, if the block has room for it.
fn believed(captured: u32, room: usize) -> Result<usize, String> {
    if captured > MAX_RECORD || captured as usize > room {
        return Err(format!(
            "a packet block claims {captured} captured bytes in {room} bytes"
        ));
    }
    Ok(captured as usize)
}

fn check_trailer(block: Block, trailer: u32) -> Result<(), String> {
    if trailer as usize == block.total {
        return Ok(());
    }
    let (kind, total) = (block.kind, block.total);
    Err(format!(
        "a block (type {kind}) states {total} bytes at its start and {trailer} at its end"
    ))
}

impl Interface {
    fn time(self, ticks: u64) -> Timestamp {
        let nanos = self.ticks.nanos(ticks);
        Timestamp(
            i64::try_from(nanos)
                .unwrap_or(i64::MAX)
                .saturating_add(self.offset),
        )
    }
}

impl Ticks {
    /// Reads if_tsresol: the top bit chooses the base, the rest is the power
    /// (negated).
    fn from_option(resolution: u8) -> Ticks {
        let power = resolution & 0x7f;
        match power {
            power if resolution & 0x80 != 0 => Ticks::Binary(power),
            0..=9 => Ticks::Nanos(10_u64.pow(u32::from(9 - power))),
            // Where this saturates, every time stamp rounds to zero anyway.
            _ => Ticks::PerNano(10_u128.saturating_pow(u32::from(power - 9))),
        }
    }

    fn nanos(self, ticks: u64) -> u128 {
        match self {
            Ticks::Nanos(length) => u128::from(ticks) * u128::from(length),
            Ticks::PerNano(count) => u128::from(ticks) / count,
            Ticks::Binary(power) => (u128::from(ticks) * 1_000_000_000) >> power,
        }
    }
}

impl ByteOrder {
    /// The 64-bit field that two consecutive words cover.
    fn joined(self, first: u32, second: u32) -> u64 {
        let (high, low) = match self {
            ByteOrder::Little => (second, first),
            ByteOrder::Big => (first, second),
        };
        u64::from(high) << 32 | u64::from(low)
    }
}

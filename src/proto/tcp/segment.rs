//! One TCP segment as the connection code looks at it.

use super::Tcp;
use crate::core::Core;
use crate::packet::decode::{TcpHeader, TcpOption};
use crate::packet::record::flag;
use crate::proto::ip;

/// The numbers of a segment. `len` counts payload bytes on the wire, also
/// those that the capture cut off.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub len: u32,
    /// Payload bytes are missing in the capture.
    pub cut: bool,
}

impl Segment {
    pub fn read(core: &Core, slot: u32) -> Option<Segment> {
        let header = ip::tcp(core, slot)?;
        let packet = core.packet(slot);
        let here = packet.end.saturating_sub(packet.payload_at);
        let len = if packet.flags & flag::SNAPPED != 0 {
            let declared = ip::header(core, slot).map_or(0, |header| header.end);
            (declared as u32)
                .saturating_sub(packet.payload_at)
                .max(here)
        } else {
            here
        };
        Some(Segment {
            seq: header.seq,
            ack: header.ack,
            flags: header.flags,
            window: header.window,
            len,
            cut: len != here,
        })
    }

    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    pub const fn syn(&self) -> bool {
        self.has(TcpHeader::SYN)
    }

    pub const fn ack_set(&self) -> bool {
        self.has(TcpHeader::ACK)
    }

    pub const fn fin(&self) -> bool {
        self.has(TcpHeader::FIN)
    }

    pub const fn rst(&self) -> bool {
        self.has(TcpHeader::RST)
    }
}

/// What a SYN announces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Largest segment (RFC 9293, 3.7.1); 0 unknown.
    pub mss: u16,
    pub window_scale: Option<u8>,
    pub sack_permitted: bool,
    /// Segments are signed: TCP-AO (RFC 5925) or MD5 (RFC 2385).
    pub signed: bool,
}

impl Announced {
    pub fn read(core: &Core, slot: u32) -> Announced {
        let mut announced = Announced::default();
        let Some(header) = ip::tcp(core, slot) else {
            return announced;
        };
        for (_, _, option) in header.options(core.bytes(slot)) {
            match option {
                TcpOption::Mss(value) => announced.mss = value,
                TcpOption::WindowScale(shift) => announced.window_scale = Some(shift.min(14)),
                TcpOption::SackPermitted => announced.sack_permitted = true,
                TcpOption::Md5 | TcpOption::Ao => announced.signed = true,
                _ => {}
            }
        }
        announced
    }
}

/// Smallest segment that is believed to be meant, with its options, as in
/// Linux: pieces smaller than that only cost.
const MIN_MSS: u32 = 48;
/// An Ethernet's worth, where nobody announced anything.
const MTU: u32 = 1500;

/// Payload bytes that a packet of a connection may carry: what both ends
/// announced, less the options that it has (RFC 6691).
pub fn limit(mut tcp: Tcp<'_>, slot: u32) -> usize {
    let packet = *tcp.core.packet(slot);
    let network = if packet.ip_version == 6 { 40 } else { 20 };
    let announced = super::receive::key(tcp.core, slot)
        .and_then(|key| tcp.core.flows.find(&key))
        .and_then(|(flow, _)| tcp.connection(flow))
        .and_then(|connection| {
            connection
                .halves
                .iter()
                .map(|half| u32::from(half.mss))
                .filter(|&mss| mss > 0)
                .min()
        });
    let mss = announced.unwrap_or(MTU - network - 20).max(MIN_MSS);
    let options = (packet.payload_at - packet.ip_at).saturating_sub(network + 20);
    mss.saturating_sub(options).max(1) as usize
}

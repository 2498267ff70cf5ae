//! One TCP segment as the connection code looks at it.

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
            (declared as u32).saturating_sub(packet.payload_at).max(here)
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

/// What a SYN announces: the largest segment and the window scale.
pub fn announced(core: &Core, slot: u32) -> (u16, u8) {
    let (mut mss, mut scale) = (0, 0);
    if let Some(header) = ip::tcp(core, slot) {
        for (_, _, option) in header.options(core.bytes(slot)) {
            match option {
                TcpOption::Mss(value) => mss = value,
                TcpOption::WindowScale(shift) => scale = shift.min(14),
                _ => {}
            }
        }
    }
    (mss, scale)
}

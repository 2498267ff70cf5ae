//! The record of one packet in flight, as the engine and Lua see it.
//!
//! Records live in a fixed-address arena and are read in place by the Lua
//! library, so the layout is C's. All offsets count from the first byte of
//! the frame; the link header starts at 0.

use crate::buf::{ExtId, Key};
use crate::flow::arena::Record;
use crate::packet::Devices;

/// Where a packet stands.
pub mod state {
    pub const FREE: u8 = 0;
    /// Captured and not yet judged.
    pub const NORMAL: u8 = 1;
    /// Built by a rule or by the engine.
    pub const FORGED: u8 = 2;
    /// On its way out.
    pub const SENT: u8 = 3;
    pub const DROPPED: u8 = 4;
}

/// Bits of [`PacketRecord::dirty`]: which headers were written.
pub mod dirty {
    pub const NETWORK: u8 = 1;
    pub const TRANSPORT: u8 = 2;
    /// Bytes were replaced: the frame no longer equals what was captured.
    pub const REBUILT: u8 = 4;
    /// A rule or the engine wrote the sequence or acknowledgement number.
    pub const NUMBERS: u8 = 8;
}

/// Bits of [`PacketRecord::flags`].
pub mod flag {
    /// Captured bytes may not be changed (pass-through).
    pub const READ_ONLY: u16 = 1;
    pub const DONT_REASSEMBLE: u16 = 2;
    /// The record stands for a reassembled datagram; its fragments wait.
    pub const REASSEMBLED: u16 = 4;
    /// Cut by the snapshot length of the capture.
    pub const SNAPPED: u16 = 8;
    /// Its transport checksum is wrong (and checksums are looked at).
    pub const BAD_CHECKSUM: u16 = 16;
    /// A raw IP fragment that no datagram has taken up.
    pub const FRAGMENT: u16 = 32;
    /// A stream or a fragment set keeps the packet; nobody sends it now.
    pub const HELD: u16 = 64;
    /// A rule has taken it out of its dissection, to send it when it likes.
    pub const KEPT: u16 = 128;
    /// A header could not be read: nothing of it is touched on the way up.
    pub const OPAQUE: u16 = 256;
    /// It came larger than any segment on the wire: the network card cuts it.
    pub const OFFLOADED: u16 = 512;
    /// A rule refused it while it was held: it ends when it is let go.
    pub const REFUSED: u16 = 1024;
    /// Its transport checksum counts as right; what is changed gets a new one.
    pub const TRUSTED: u16 = 2048;
    /// The packet has left: the record stands in for it with those who still
    /// read its bytes, and ends in silence.
    pub const AHEAD: u16 = 4096;
    /// The rest of its flow need not be shown to us any more.
    pub const BYPASSED: u16 = 8192;
    /// Its receiver takes it, or nobody waits until it does.
    pub const ROOM: u16 = 16384;
}

/// Layers whose payload may be opened as an editable buffer.
pub const LAYERS: usize = 3;

/// One packet. `generation` is odd while the record is in use.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct PacketRecord {
    pub generation: u32,
    pub state: u8,
    pub dirty: u8,
    /// 4, 6, or 0 while no IP header was decoded.
    pub ip_version: u8,
    /// Upper-layer protocol of the datagram.
    pub protocol: u8,
    /// First byte of the frame.
    pub data: *mut u8,
    /// Bytes of the frame, trailer included.
    pub len: u32,
    pub ip_at: u32,
    /// Transport header; equals `end` when there is none.
    pub transport_at: u32,
    /// First byte of the transport payload.
    pub payload_at: u32,
    /// End of the IP datagram; what follows is a link trailer.
    pub end: u32,
    pub flags: u16,
    pub link: u16,
    /// Number of the packet in its capture, from 1; 0 for forged ones.
    pub id: u64,
    /// Nanoseconds since the epoch.
    pub timestamp: i64,
    /// Buffers opened over the payloads of link, network and transport
    /// layer, and their generations; 0 when not opened.
    pub buffers: [u32; LAYERS],
    pub buffer_generations: [u32; LAYERS],
    /// The next dissector that a policy chose: 0 none, 1 the native one,
    /// 2 one written in Lua.
    pub next: u8,
    pub depth: u8,
    pub ethertype: u16,
    /// Length on the wire, when the capture cut the frame.
    pub wire_len: u32,
    /// The firewall's mark.
    pub mark: u32,
    /// Folded VLAN ids and tunnel of the flow this packet belongs to.
    pub vlan: u32,
    pub tunnel: u32,
    /// Where it came from and goes to.
    pub devices: Devices,
    next_free: u32,
    pub extent: ExtId,
}

impl PacketRecord {
    /// Takes over where the bytes of a packet are, which leaves.
    pub fn stand_in_for(&mut self, packet: &PacketRecord) {
        *self = PacketRecord {
            generation: self.generation,
            next_free: self.next_free,
            state: state::FORGED,
            flags: flag::HELD | flag::AHEAD | packet.flags & (flag::READ_ONLY | flag::SNAPPED),
            dirty: 0,
            id: 0,
            buffers: [0; LAYERS],
            buffer_generations: [0; LAYERS],
            ..*packet
        };
    }
}

impl Record for PacketRecord {
    #[inline]
    fn generation(&self) -> u32 {
        self.generation
    }
    #[inline]
    fn set_generation(&mut self, generation: u32) {
        self.generation = generation;
    }
    #[inline]
    fn next_free(&self) -> u32 {
        self.next_free
    }
    #[inline]
    fn set_next_free(&mut self, slot: u32) {
        self.next_free = slot;
    }
}

impl Default for PacketRecord {
    fn default() -> Self {
        PacketRecord {
            generation: 0,
            state: state::FREE,
            dirty: 0,
            ip_version: 0,
            protocol: 0,
            data: std::ptr::null_mut(),
            len: 0,
            ip_at: 0,
            transport_at: 0,
            payload_at: 0,
            end: 0,
            flags: 0,
            link: 0,
            id: 0,
            timestamp: 0,
            buffers: [0; LAYERS],
            buffer_generations: [0; LAYERS],
            next: 0,
            depth: 0,
            ethertype: 0,
            wire_len: 0,
            mark: 0,
            vlan: 0,
            tunnel: 0,
            devices: Devices::default(),
            next_free: 0,
            extent: ExtId(Key::NONE),
        }
    }
}

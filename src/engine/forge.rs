//! The way up: innermost changed layer first, then lengths and checksums,
//! then out.
//!
//! A packet that nobody changed passes through here without being looked
//! at. Not here: what was changed (`proto`), who gets the output (`worker`).

use super::{Engine, fragments};
use crate::core::{Core, Frame, Op, Output, Step, dissector};
use crate::event::{EventKind, HookSet, Verdict};
use crate::packet::decode::{TcpHeader, protocol};
use crate::packet::record::{dirty, flag, state};
use crate::proto::ip::{self, checksums};

/// Stages of a packet on its way up; a rule that sends a packet starts at
/// its own layer.
pub mod stage {
    pub const TRANSPORT: u8 = 0;
    pub const NETWORK: u8 = 1;
    pub const LINK: u8 = 2;
}

const SEND_EVENTS: u64 = HookSet::mask(&[
    EventKind::PacketSend,
    EventKind::Ipv4Send,
    EventKind::Ipv6Send,
    EventKind::TcpSend,
    EventKind::UdpSend,
    EventKind::IcmpSend,
    EventKind::Icmpv6Send,
]);

/// Largest IP packet that Haka's segmentation makes.
const MTU: usize = 1500;

impl Engine {
    /// Sends a packet: at once if nobody listens and nothing changed.
    #[inline]
    pub(super) fn send(&mut self, slot: u32) {
        let packet = self.core.packet(slot);
        let untouched = packet.dirty == 0 && packet.buffer_generations == [0; 3];
        let long = self.core.settings.defaults.segment_untouched && packet.len as usize > MTU;
        if untouched && !long && !self.core.hooks.hears_any(SEND_EVENTS) {
            self.emit(slot);
        } else {
            self.core.push(Frame::packet(Op::Send, slot));
        }
    }

    /// Takes the packet of the top frame one stage up.
    pub(super) fn send_step(&mut self, frame: Frame) -> Option<Step> {
        let slot = frame.packet;
        if !self.core.alive(slot) {
            self.core.stack.pop();
            return None;
        }
        if frame.stage == stage::TRANSPORT {
            let packet = self.core.packet(slot);
            let untouched = packet.dirty == 0 && packet.buffer_generations == [0; 3];
            let long = self.core.settings.defaults.segment_untouched && packet.len as usize > MTU;
            if untouched && !long && !self.core.hooks.hears_any(SEND_EVENTS) {
                self.core.stack.pop();
                self.emit(slot);
                return None;
            }
        }
        if let Some(top) = self.core.stack.last_mut() {
            top.stage += 1;
        }
        match frame.stage {
            stage::TRANSPORT => self.raise_send(slot, transport_event(&self.core, slot)),
            stage::NETWORK => {
                self.finish_transport(slot);
                self.raise_send(slot, network_event(&self.core, slot))
            }
            stage::LINK => {
                self.finish_network(slot);
                self.raise_send(slot, Some(EventKind::PacketSend))
            }
            _ => {
                self.absorb_edits(slot, 0);
                self.core.stack.pop();
                self.emit(slot);
                None
            }
        }
    }

    fn raise_send(&mut self, slot: u32, kind: Option<EventKind>) -> Option<Step> {
        let kind = kind?;
        if !self.core.hooks.hears(kind) {
            return None;
        }
        self.core.current.packet = slot;
        Some(Step::Event(kind, slot))
    }

    /// Applies edits of the payload, then the transport header's own fields.
    pub(super) fn finish_transport(&mut self, slot: u32) {
        self.absorb_edits(slot, 2);
        let packet = *self.core.packet(slot);
        if !transport_is_ours(&self.core, slot) {
            return;
        }
        if packet.dirty != 0 && packet.flags & flag::READ_ONLY == 0 {
            if packet.protocol == protocol::UDP {
                let length = packet.end.saturating_sub(packet.transport_at);
                checksums::put_u16(&mut self.core, slot, packet.transport_at as usize + 4, length as u16);
            }
            checksums::write_transport(&mut self.core, slot);
        }
        if packet.protocol == protocol::TCP && packet.flags & (flag::READ_ONLY | flag::REASSEMBLED | flag::SNAPPED) == 0 {
            self.cut_segment(slot);
        }
    }

    /// A TCP packet that outgrew what its receiver takes leaves in pieces.
    fn cut_segment(&mut self, slot: u32) {
        let packet = *self.core.packet(slot);
        let headers = (packet.payload_at - packet.ip_at) as usize;
        let payload = (packet.end - packet.payload_at) as usize;
        let plain = self.core.settings.defaults.plain_segments;
        // What rebuilt packets may carry: the size of the frame that came,
        // if that was larger (offload), else an Ethernet's worth.
        let grown = packet.dirty & dirty::REBUILT != 0;
        let limit = MTU.saturating_sub(headers).max(1);
        if payload <= limit || !(grown || self.core.settings.defaults.segment_untouched) || packet.depth > 0 {
            return;
        }
        let frame = self.core.bytes(slot).to_vec();
        let (Some(head), Some(body)) = (
            frame.get(..packet.payload_at as usize),
            frame.get(packet.payload_at as usize..packet.end as usize),
        ) else {
            return;
        };
        let Some(header) = ip::tcp(&self.core, slot) else { return };
        let trailing = header.flags & (TcpHeader::FIN | TcpHeader::PSH);
        let (first, rest) = body.split_at(limit);
        let mut followers = Vec::new();
        let network_len = (packet.transport_at - packet.ip_at) as usize;
        let tail_head: Vec<u8> = if plain && packet.ip_version == 4 {
            let ip = packet.ip_at as usize;
            let tcp = packet.transport_at as usize;
            let mut head: Vec<u8> = Vec::with_capacity(40);
            head.extend_from_slice(frame.get(ip..ip + 20).unwrap_or_default());
            head.extend_from_slice(frame.get(tcp..tcp + 20).unwrap_or_default());
            if let Some(bytes) = head.first_chunk_mut::<40>() {
                bytes[0] = 0x45;
                bytes[4] = 0;
                bytes[5] = 0;
                bytes[32] = 0x50 | (bytes[32] & 15);
            }
            head
        } else {
            head.get(packet.ip_at as usize..).unwrap_or_default().to_vec()
        };
        let (ip_len, room) = if plain && packet.ip_version == 4 { (20, MTU - 40) } else { (network_len, limit) };
        let mut seq = header.seq.wrapping_add(first.len() as u32);
        let mut pieces = rest.chunks(room).peekable();
        while let Some(piece) = pieces.next() {
            let mut network = tail_head.clone();
            let flags = header.flags & !(TcpHeader::FIN | TcpHeader::PSH) | if pieces.peek().is_none() { trailing } else { 0 };
            if let Some(field) = network.get_mut(ip_len + 4..ip_len + 8) {
                field.copy_from_slice(&seq.to_be_bytes());
            }
            if let Some(field) = network.get_mut(ip_len + 13) {
                *field = flags;
            }
            network.extend_from_slice(piece);
            set_length(&mut network, packet.ip_version);
            seq = seq.wrapping_add(piece.len() as u32);
            followers.push(network);
        }
        // The first piece is the packet itself, without FIN and PSH.
        if let Some(field) = self.core.bytes_mut(slot).get_mut(packet.transport_at as usize + 13) {
            *field = header.flags & !(TcpHeader::FIN | TcpHeader::PSH);
        }
        self.core.replace_payload(slot, first);
        checksums::write_transport(&mut self.core, slot);
        let top = self.core.stack.pop();
        for network in followers.iter().rev() {
            if let Some(piece) = self.core.forge(network, slot) {
                ip::adopt(&mut self.core, piece);
                checksums::write_transport(&mut self.core, piece);
                self.core.packet_mut(piece).dirty |= dirty::NETWORK;
                self.core.push(Frame::packet(Op::Send, piece).at(stage::NETWORK));
            }
        }
        self.core.stack.extend(top);
    }

    /// Fixes length and checksum of the network header.
    pub(super) fn finish_network(&mut self, slot: u32) {
        if self.absorb_edits(slot, 1) {
            self.core.packet_mut(slot).dirty |= dirty::NETWORK;
        }
        let packet = *self.core.packet(slot);
        if packet.dirty == 0
            || packet.ip_version == 0
            || packet.flags & (flag::READ_ONLY | flag::REASSEMBLED | flag::OPAQUE) != 0
        {
            return;
        }
        ip::write_length(&mut self.core, slot);
        if self.core.packet(slot).dirty & dirty::NETWORK != 0 {
            checksums::write_header(&mut self.core, slot);
        }
        if packet.depth > 0 {
            ip::fix_outer_headers(&mut self.core, slot);
        }
    }

    /// The packet leaves.
    pub(super) fn emit(&mut self, slot: u32) {
        let packet = self.core.packet_mut(slot);
        if !matches!(packet.state, state::NORMAL | state::FORGED) {
            return;
        }
        if packet.flags & flag::REASSEMBLED != 0 {
            fragments::send(self, slot);
            return;
        }
        let verdict = match (packet.state, packet.dirty) {
            (state::FORGED, _) => Verdict::Inject,
            (_, 0) => Verdict::Accept,
            _ => Verdict::Rewrite,
        };
        packet.state = state::SENT;
        let id = packet.id;
        self.core.debug("packet", || format!("accepting packet id={id}"));
        match verdict {
            Verdict::Inject => self.core.stats.injected += 1,
            Verdict::Rewrite => self.core.stats.rewritten += 1,
            _ => self.core.stats.accepted += 1,
        }
        self.core.outputs.push_back(Output { packet: slot, verdict, listener: None });
    }

    /// Takes the edits made in an open payload buffer into the frame and
    /// closes the buffer. Returns whether there were any.
    pub(super) fn absorb_edits(&mut self, slot: u32, layer: usize) -> bool {
        if self.core.packet(slot).buffer_generations == [0; 3] {
            return false;
        }
        self.core.absorb(slot, layer)
    }
}

/// Writes the length of an IP packet into its header: it must hold before
/// the header is read again.
fn set_length(network: &mut [u8], version: u8) {
    let (at, length) = if version == 6 { (4, network.len().saturating_sub(40)) } else { (2, network.len()) };
    if let Some(field) = network.get_mut(at..at + 2) {
        field.copy_from_slice(&(length as u16).to_be_bytes());
    }
}

/// Whether the transport header is one that a loaded dissector knows.
fn transport_is_ours(core: &Core, slot: u32) -> bool {
    let packet = core.packet(slot);
    let bit = match packet.protocol {
        protocol::TCP => dissector::TCP,
        protocol::UDP => dissector::UDP,
        protocol::ICMP => dissector::ICMP,
        protocol::ICMPV6 => dissector::ICMPV6,
        _ => return false,
    };
    packet.ip_version != 0
        && packet.payload_at > packet.transport_at
        && packet.flags & (flag::FRAGMENT | flag::OPAQUE) == 0
        && (core.has(bit) || !core.settings.defaults.drop_unknown_dissector)
}

fn transport_event(core: &Core, slot: u32) -> Option<EventKind> {
    let packet = core.packet(slot);
    if !transport_is_ours(core, slot) {
        return None;
    }
    match packet.protocol {
        protocol::TCP => Some(EventKind::TcpSend),
        protocol::UDP => Some(EventKind::UdpSend),
        protocol::ICMP => Some(EventKind::IcmpSend),
        protocol::ICMPV6 => Some(EventKind::Icmpv6Send),
        _ => None,
    }
}

fn network_event(core: &Core, slot: u32) -> Option<EventKind> {
    match core.packet(slot).ip_version {
        4 => Some(EventKind::Ipv4Send),
        6 => Some(EventKind::Ipv6Send),
        _ => None,
    }
}

//! The way up: innermost changed layer first, then lengths and checksums,
//! then out.
//!
//! A packet that nobody changed passes through here without being looked
//! at. Not here: what was changed (`proto`), who gets the output (`worker`).

use super::{Engine, fragments};
use crate::core::{Core, Frame, Op, Output, Step, dissector};
use crate::event::{DropReason, EventKind, HookSet, Verdict};
use crate::packet::decode::{TcpHeader, protocol};
use crate::packet::record::{PacketRecord, dirty, flag, state};
use crate::proto::ip::{self, checksums};
use crate::proto::tcp;

/// Stages of a packet on its way up; a rule that sends a packet starts at
/// its own layer.
pub mod stage {
    pub const TRANSPORT: u8 = 0;
    pub const NETWORK: u8 = 1;
    pub const LINK: u8 = 2;
}

const SEND_EVENTS: u128 = HookSet::mask(&[
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
/// Largest IP packet that goes back whole to a network card that cuts it.
const MAX_OFFLOADED: usize = 65_531;

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
            self.core.push(Frame::on_packet(Op::Send, slot));
        }
    }

    /// Takes the packet of the top frame one stage up.
    pub(super) fn send_step(&mut self, frame: Frame) -> Option<Step> {
        let slot = frame.packet();
        if !self.core.alive(slot) {
            self.core.stack.pop();
            return None;
        }
        if self.core.packet(slot).flags & flag::REFUSED != 0 {
            self.core.stack.pop();
            self.core.drop_packet(slot, DropReason::Rule);
            return None;
        }
        if frame.stage() == stage::TRANSPORT {
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
            top.goto(top.stage() + 1);
        }
        match frame.stage() {
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
                if self.absorb_edits(slot, 0) && self.core.packet(slot).flags & flag::TRUSTED != 0 {
                    // Its checksum may have been left to the network card.
                    checksums::write_transport(&mut self.core, slot);
                }
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
                checksums::put_u16(
                    &mut self.core,
                    slot,
                    packet.transport_at as usize + 4,
                    length as u16,
                );
            }
            checksums::write_transport(&mut self.core, slot);
        }
        if packet.protocol == protocol::TCP
            && packet.flags & (flag::READ_ONLY | flag::REASSEMBLED | flag::SNAPPED) == 0
        {
            self.cut_segment(slot);
        }
    }

    /// A TCP packet that outgrew what its receiver takes leaves in pieces.
    fn cut_segment(&mut self, slot: u32) {
        let packet = *self.core.packet(slot);
        let grown = packet.dirty & dirty::REBUILT != 0;
        let defaults = &self.core.settings.defaults;
        let (plain, untouched_too) = (defaults.plain_segments, defaults.segment_untouched);
        let payload = packet.end.saturating_sub(packet.payload_at) as usize;
        // What rules added may end beyond the window of the receiver.
        let window = (self.core.settings.live && packet.dirty != 0)
            .then(|| tcp::window_room(self.tcp(), slot))
            .flatten()
            .filter(|&window| window < payload);
        let cuts = grown || untouched_too || window.is_some();
        if !cuts || payload == 0 || packet.depth > 0 {
            return;
        }
        let headers = (packet.payload_at - packet.ip_at) as usize;
        let limit = if plain {
            MTU.saturating_sub(headers).max(1)
        } else if packet.flags & flag::OFFLOADED != 0 {
            MAX_OFFLOADED.saturating_sub(headers)
        } else {
            tcp::segment_limit(self.tcp(), slot)
        };
        // Some kernels refuse a segment that ends beyond their window, so even
        // a sliver is cut off; only a closed window is probed with a whole one.
        let limit = match window {
            None => limit,
            Some(0) => tcp::segment_limit(self.tcp(), slot),
            Some(window) => limit.min(window),
        };
        if payload <= limit {
            return;
        }
        let Some(header) = ip::tcp(&self.core, slot) else {
            return;
        };
        let frame = self.core.bytes(slot).to_vec();
        let body = frame
            .get(packet.payload_at as usize..packet.end as usize)
            .unwrap_or_default();
        let (first, rest) = body.split_at(limit.min(body.len()));
        let cut = Cut::of(&packet, &frame, plain);
        // Pieces of our own are cut by nobody.
        let room = match packet.ip_version {
            4 if plain => MTU - 40,
            _ if plain => MTU.saturating_sub(headers).max(1),
            _ => tcp::segment_limit(self.tcp(), slot),
        };
        let count = rest.len().div_ceil(room);
        let mut followers = Vec::with_capacity(count);
        let mut done = first.len();
        for (number, piece) in rest.chunks(room).enumerate() {
            let place = Place {
                header: &header,
                done,
                number: number as u16 + 1,
                last: number + 1 == count,
            };
            if let Some(slot) = self.core.forge_after(&cut.piece(&place, piece), slot) {
                followers.push(slot);
            }
            done += piece.len();
        }
        // The first piece is the packet itself, without FIN and PSH.
        if let Some(field) = self
            .core
            .bytes_mut(slot)
            .get_mut(packet.transport_at as usize + 13)
        {
            *field = header.flags & !(TcpHeader::FIN | TcpHeader::PSH);
        }
        self.core.replace_payload(slot, first);
        checksums::write_transport(&mut self.core, slot);
        for &piece in &followers {
            ip::adopt(&mut self.core, piece);
            checksums::write_transport(&mut self.core, piece);
            self.core.packet_mut(piece).dirty |= dirty::NETWORK;
        }
        let top = self.core.stack.pop();
        self.core.send_all(&followers, stage::NETWORK);
        self.core.stack.extend(top);
    }

    /// The next of several packets goes up.
    pub(super) fn send_next(&mut self, frame: Frame) -> Option<Step> {
        if let Some(slot) = self.core.next_departing(frame) {
            self.core
                .stack
                .push(Frame::on_packet(Op::Send, slot).at(frame.stage()));
        }
        None
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
        if packet.flags & flag::AHEAD != 0 {
            return self.core.retire_stand_in(slot);
        }
        if packet.flags & flag::REFUSED != 0 {
            return self.core.drop_packet(slot, DropReason::Rule);
        }
        if packet.flags & flag::REASSEMBLED != 0 {
            fragments::send(self, slot);
            return;
        }
        if self.core.settings.live && self.stays(slot) {
            return;
        }
        let packet = self.core.packet_mut(slot);
        let verdict = match (packet.state, packet.dirty) {
            (state::FORGED, _) => Verdict::Inject,
            (_, 0) => Verdict::Accept,
            _ => Verdict::Rewrite,
        };
        packet.state = state::SENT;
        let verdict = match verdict {
            Verdict::Rewrite if self.is_cut_short(slot) => Verdict::Replace,
            verdict => verdict,
        };
        let packet = self.core.packet(slot);
        let id = packet.id;
        self.core
            .debug("packet", || format!("accepting packet id={id}"));
        match verdict {
            Verdict::Inject => self.core.stats.injected += 1,
            Verdict::Rewrite | Verdict::Replace => self.core.stats.rewritten += 1,
            _ => self.core.stats.accepted += 1,
        }
        self.core.outputs.push_back(Output {
            packet: slot,
            verdict,
            listener: None,
        });
    }

    /// Whether a packet that was changed cannot leave now, or not at all.
    fn stays(&mut self, slot: u32) -> bool {
        let packet = self.core.packet(slot);
        if packet.dirty == 0 && packet.state != state::FORGED {
            return false;
        }
        if packet.flags & flag::SNAPPED != 0 {
            // What the queue did not show of it would be lost.
            self.core.drop_packet(slot, DropReason::TooLong);
            return true;
        }
        tcp::waits_for_window(self.tcp(), slot)
    }

    /// Whether an offloaded segment became one that needs no cutting. The
    /// kernel drops those silently when they are given back to it.
    fn is_cut_short(&mut self, slot: u32) -> bool {
        let packet = *self.core.packet(slot);
        if !self.core.settings.live || packet.flags & flag::OFFLOADED == 0 {
            return false;
        }
        let payload = packet.end.saturating_sub(packet.payload_at) as usize;
        packet.protocol == protocol::TCP && payload <= tcp::segment_limit(self.tcp(), slot)
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

/// The headers from which the further pieces of a segment are made.
struct Cut {
    /// Network and transport header.
    head: Vec<u8>,
    /// Where in it the transport header begins.
    tcp: usize,
    version: u8,
    /// Haka's pieces: no options, IP identification 0.
    plain: bool,
}

/// One further piece of a segment.
struct Place<'a> {
    header: &'a TcpHeader,
    /// Payload bytes before it.
    done: usize,
    /// Counts from 1.
    number: u16,
    last: bool,
}

impl Cut {
    fn of(packet: &PacketRecord, frame: &[u8], plain: bool) -> Cut {
        let (ip, tcp, end) = (
            packet.ip_at as usize,
            packet.transport_at as usize,
            packet.payload_at as usize,
        );
        let plain = plain && packet.ip_version == 4;
        let part = |from: usize, to: usize| frame.get(from..to).unwrap_or_default();
        let (mut head, network) = match plain {
            true => ([part(ip, ip + 20), part(tcp, tcp + 20)].concat(), 20),
            false => (part(ip, end).to_vec(), tcp - ip),
        };
        if plain && let Some(bytes) = head.first_chunk_mut::<40>() {
            bytes[0] = 0x45;
            bytes[32] = 0x50 | (bytes[32] & 15);
        }
        Cut {
            head,
            tcp: network,
            version: packet.ip_version,
            plain,
        }
    }

    /// The packet that carries a further piece.
    fn piece(&self, place: &Place<'_>, payload: &[u8]) -> Vec<u8> {
        const URG: u8 = 0x20;
        const CWR: u8 = 0x80;
        let mut packet = Vec::with_capacity(self.head.len() + payload.len());
        packet.extend_from_slice(&self.head);
        let length = self.head.len() + payload.len();
        let (at, length) = if self.version == 6 {
            (4, length.saturating_sub(40))
        } else {
            (2, length)
        };
        if let Some(field) = packet
            .get_mut(at..)
            .and_then(|bytes| bytes.first_chunk_mut::<2>())
        {
            *field = (length as u16).to_be_bytes();
        }
        if self.version == 4
            && let Some(id) = packet
                .get_mut(4..)
                .and_then(|bytes| bytes.first_chunk_mut::<2>())
        {
            // Packets that may be fragmented need one of their own (RFC 6864).
            let own = u16::from_be_bytes(*id).wrapping_add(place.number);
            *id = if self.plain {
                [0; 2]
            } else {
                own.to_be_bytes()
            };
        }
        if let Some(tcp) = packet
            .get_mut(self.tcp..)
            .and_then(|bytes| bytes.first_chunk_mut::<20>())
        {
            let seq = place.header.seq.wrapping_add(place.done as u32);
            tcp[4..8].copy_from_slice(&seq.to_be_bytes());
            // A reduced window is reported once (RFC 3168, 6.1.2).
            let mut flags = place.header.flags & !CWR;
            if !place.last {
                flags &= !(TcpHeader::FIN | TcpHeader::PSH);
            }
            // The urgent pointer counts from the sequence number.
            let urgent = usize::from(u16::from_be_bytes([tcp[18], tcp[19]]));
            if flags & URG != 0 {
                let left = urgent.saturating_sub(place.done) as u16;
                tcp[18..20].copy_from_slice(&left.to_be_bytes());
                flags &= if left == 0 { !URG } else { 0xff };
            }
            tcp[13] = flags;
        }
        packet.extend_from_slice(payload);
        packet
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

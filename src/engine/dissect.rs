//! The way down: link, network, fragments, tunnels, transport.
//!
//! One loop over stages, one packet at a time. Every stage raises its event
//! if somebody hears it and looks afterwards whether the packet is still
//! there. Not here: connections (`proto::tcp`, `proto::udp`), the way up
//! (`forge`).

use super::Engine;
use super::fragments;
use crate::core::{Frame, Op, Step, dissector, next};
use crate::event::{DropReason, EventKind};
use crate::flow::key::fold_vlans;
use crate::packet::decode::{self, Network, protocol};
use crate::packet::record::{dirty, flag};
use crate::packet::{Layer, Malformed};
use crate::proto::ip;

mod stage {
    pub const LINK: u8 = 0;
    pub const CHOOSE_NETWORK: u8 = 1;
    pub const NETWORK: u8 = 2;
    pub const NETWORK_RECEIVED: u8 = 3;
    pub const CHOOSE_TRANSPORT: u8 = 4;
    pub const WHOLE_DATAGRAM: u8 = 5;
    pub const TRANSPORT: u8 = 6;
    pub const TRANSPORT_RECEIVED: u8 = 7;
    pub const CONNECTION: u8 = 8;
    pub const MALFORMED: u8 = 9;
}

/// Tunnels inside tunnels that are followed.
const MAX_TUNNELS: u8 = 8;

impl Engine {
    /// Takes the packet of the top frame one stage further.
    pub(super) fn receive(&mut self, frame: Frame) -> Option<Step> {
        let slot = frame.packet();
        // What a rule keeps is that rule's to send.
        if !self.core.alive(slot) || self.core.packet(slot).flags & flag::KEPT != 0 {
            self.core.stack.pop();
            return None;
        }
        match frame.stage() {
            stage::LINK => self.received_frame(slot),
            stage::CHOOSE_NETWORK => self.choose_network(slot),
            stage::NETWORK => self.decode_network(slot),
            stage::NETWORK_RECEIVED => self.network_received(slot),
            stage::CHOOSE_TRANSPORT => self.choose_transport(slot),
            stage::WHOLE_DATAGRAM => self.whole_datagram(slot),
            stage::TRANSPORT => self.decode_transport(slot),
            stage::TRANSPORT_RECEIVED => self.transport_received(slot),
            stage::CONNECTION => self.meet_connection(slot),
            _ => self.after_malformed(slot, frame.detail()),
        }
    }

    fn go(&mut self, stage: u8) {
        if let Some(frame) = self.core.stack.last_mut() {
            frame.goto(stage);
        }
    }

    /// Goes to `stage` next, after the event if somebody hears it.
    fn raise(&mut self, kind: EventKind, slot: u32, stage: u8) -> Option<Step> {
        self.go(stage);
        self.event(kind, slot)
    }

    fn event(&mut self, kind: EventKind, slot: u32) -> Option<Step> {
        if !self.core.hooks.hears(kind) {
            return None;
        }
        self.core.current.packet = slot;
        Some(Step::Event(kind, slot))
    }

    /// No dissector is left: the packet goes on its way out.
    fn forward(&mut self, slot: u32) -> Option<Step> {
        self.core.stack.pop();
        self.send(slot);
        None
    }

    /// A dissector written in Lua has dealt with the packet.
    fn taken_over(&mut self, slot: u32) -> Option<Step> {
        self.core.stack.pop();
        self.refuse_unsent(slot);
        None
    }

    /// Takes in edits of the whole network packet. Returns by how much it
    /// grew, if there were any.
    fn absorb_frame_edits(&mut self, slot: u32) -> Option<i64> {
        let before = i64::from(self.core.packet(slot).len);
        self.absorb_edits(slot, 0)
            .then(|| i64::from(self.core.packet(slot).len) - before)
    }

    fn received_frame(&mut self, slot: u32) -> Option<Step> {
        if let Some(step) = self.go_straight(slot, stage::TRANSPORT_RECEIVED) {
            return step;
        }
        let id = self.core.packet(slot).id;
        self.core
            .debug("packet", || format!("received packet id={id}"));
        if !self.core.hooks.hears(EventKind::PacketReceive) {
            self.go(stage::CHOOSE_NETWORK);
            return None;
        }
        // Rules see what follows the link header; one that cannot be read is
        // reported when they have seen the packet.
        let _ = self.locate_network(slot);
        self.raise(EventKind::PacketReceive, slot, stage::CHOOSE_NETWORK)
    }

    fn choose_network(&mut self, slot: u32) -> Option<Step> {
        let grown = self.absorb_frame_edits(slot);
        match self.locate_network(slot) {
            Ok(Network::Ipv4 | Network::Ipv6) => {}
            Ok(Network::Unsupported) => self.core.stats.undecoded_link += 1,
            Ok(_) => self.core.stats.unknown_protocol += 1,
            Err(malformed) => return self.malformed(slot, malformed, EventKind::PacketError),
        }
        if self.core.extended.hears(EventKind::PacketNext) {
            self.core.packet_mut(slot).next = next::NONE;
            self.go(stage::NETWORK);
            self.core.current.packet = slot;
            return Some(Step::Event(EventKind::PacketNext, slot));
        }
        let version = self.core.packet(slot).ip_version;
        if let Some(delta) = grown {
            ip::adjust_length(&mut self.core, slot, delta);
        }
        let defaults = &self.core.settings.defaults;
        let native = match version {
            4 => !defaults.drop_unknown_dissector || self.core.has(dissector::IPV4),
            6 => defaults.network_ipv6 || self.core.has(dissector::IPV6),
            _ => false,
        };
        if version == 4 && !native {
            self.core
                .alert("dropping unknown dissector 'ipv4'", false, None);
            self.core.drop_packet(slot, DropReason::UnknownDissector);
            self.core.stack.pop();
            return None;
        }
        self.core.packet_mut(slot).next = if native { next::NATIVE } else { next::NONE };
        self.go(stage::NETWORK);
        None
    }

    /// Finds the network header. Sets `ip_version` to 0 for other protocols.
    pub(super) fn locate_network(&mut self, slot: u32) -> Result<Network, Malformed> {
        let link = crate::packet::LinkType(self.core.packet(slot).link);
        let below = decode::link(link, self.core.bytes(slot))?;
        let packet = self.core.packet_mut(slot);
        packet.ip_at = below.at as u32;
        let ids = below.vlans.ids();
        packet.vlan = fold_vlans(
            ids.first().copied().unwrap_or(0),
            ids.get(1).copied().unwrap_or(0),
        );
        packet.ip_version = match below.network {
            Network::Ipv4 => 4,
            Network::Ipv6 => 6,
            _ => 0,
        };
        if let Network::Other(ethertype) = below.network {
            packet.ethertype = ethertype;
        }
        Ok(below.network)
    }

    fn decode_network(&mut self, slot: u32) -> Option<Step> {
        let packet = *self.core.packet(slot);
        match packet.next {
            next::NONE => return self.forward(slot),
            next::SCRIPTED => return self.taken_over(slot),
            _ => {}
        }
        let error = if packet.ip_version == 6 {
            EventKind::Ipv6Error
        } else {
            EventKind::Ipv4Error
        };
        if packet.ip_version == 0 {
            return self.forward(slot);
        }
        match ip::locate(&mut self.core, slot) {
            Ok(()) => {
                let kind = if packet.ip_version == 6 {
                    EventKind::Ipv6Receive
                } else {
                    EventKind::Ipv4Receive
                };
                self.raise(kind, slot, stage::NETWORK_RECEIVED)
            }
            Err(malformed) => self.malformed(slot, malformed, error),
        }
    }

    fn network_received(&mut self, slot: u32) -> Option<Step> {
        if let Some(delta) = self.absorb_frame_edits(slot) {
            ip::adjust_length(&mut self.core, slot, delta);
        }
        if self.absorb_edits(slot, 1) {
            // The length field follows at once, so that the header reads well.
            ip::write_length(&mut self.core, slot);
        }
        if self.core.packet(slot).dirty != 0 {
            // A rule moved what lies below: read it again.
            if let Err(malformed) = ip::relocate(&mut self.core, slot) {
                return self.malformed(slot, malformed, EventKind::Ipv4Error);
            }
        }
        let packet = *self.core.packet(slot);
        if packet.flags & flag::FRAGMENT != 0 && packet.flags & flag::DONT_REASSEMBLE == 0 {
            return match fragments::collect(self, slot) {
                // The frame now stands for the whole datagram.
                Some(whole) => {
                    if let Some(frame) = self.core.stack.last_mut() {
                        *frame = frame.by(whole).at(stage::CHOOSE_TRANSPORT);
                    }
                    None
                }
                None => {
                    self.core.stack.pop();
                    None
                }
            };
        }
        self.go(stage::CHOOSE_TRANSPORT);
        None
    }

    fn choose_transport(&mut self, slot: u32) -> Option<Step> {
        let version = self.core.packet(slot).ip_version;
        let policy = if version == 6 {
            EventKind::Ipv6Next
        } else {
            EventKind::Ipv4Next
        };
        self.go(stage::WHOLE_DATAGRAM);
        if self.core.extended.hears(policy) {
            self.core.packet_mut(slot).next = next::NONE;
            self.core.current.packet = slot;
            return Some(Step::Event(policy, slot));
        }
        let bit = match self.core.packet(slot).protocol {
            protocol::TCP => dissector::TCP,
            protocol::UDP => dissector::UDP,
            protocol::ICMP => dissector::ICMP,
            protocol::ICMPV6 => dissector::ICMPV6,
            _ => 0,
        };
        let defaults = &self.core.settings.defaults;
        let native = bit != 0 && (self.core.has(bit) || !defaults.drop_unknown_dissector);
        self.core.packet_mut(slot).next = if native { next::NATIVE } else { next::NONE };
        None
    }

    fn whole_datagram(&mut self, slot: u32) -> Option<Step> {
        let version = self.core.packet(slot).ip_version;
        let kind = if version == 6 {
            EventKind::Ipv6Reassembled
        } else {
            EventKind::Ipv4Reassembled
        };
        self.raise(kind, slot, stage::TRANSPORT)
    }

    fn decode_transport(&mut self, slot: u32) -> Option<Step> {
        self.absorb_edits(slot, 1);
        let packet = *self.core.packet(slot);
        if packet.next == next::SCRIPTED {
            return self.taken_over(slot);
        }
        if self.core.settings.inspect_tunnels
            && packet.depth < MAX_TUNNELS
            && ip::enter_tunnel(&mut self.core, slot)
        {
            self.core.stats.tunnels += 1;
            self.core.packet_mut(slot).next = next::NATIVE;
            self.go(stage::NETWORK);
            return None;
        }
        if packet.next == next::NONE {
            self.track_other(slot);
            return self.forward(slot);
        }
        let (located, receive, error) = match packet.protocol {
            protocol::TCP => (
                ip::locate_tcp(&mut self.core, slot),
                EventKind::TcpReceive,
                EventKind::TcpError,
            ),
            protocol::UDP => (
                ip::locate_udp(&mut self.core, slot),
                EventKind::UdpReceive,
                EventKind::UdpError,
            ),
            protocol::ICMP => (
                ip::locate_icmp(&mut self.core, slot),
                EventKind::IcmpReceive,
                EventKind::IcmpError,
            ),
            protocol::ICMPV6 => (
                ip::locate_icmp(&mut self.core, slot),
                EventKind::Icmpv6Receive,
                EventKind::Icmpv6Error,
            ),
            _ => return self.forward(slot),
        };
        match located {
            Ok(()) => self.raise(receive, slot, stage::TRANSPORT_RECEIVED),
            Err(malformed) => self.malformed(slot, malformed, error),
        }
    }

    fn transport_received(&mut self, slot: u32) -> Option<Step> {
        if self.absorb_edits(slot, 2) || self.core.packet(slot).dirty & dirty::TRANSPORT != 0 {
            ip::relocate_transport(&mut self.core, slot);
        }
        let protocol = self.core.packet(slot).protocol;
        let (policy, bit) = match protocol {
            protocol::TCP => (EventKind::TcpNext, dissector::TCP_CONNECTION),
            protocol::UDP => (EventKind::UdpNext, dissector::UDP_CONNECTION),
            protocol::ICMP => (EventKind::IcmpNext, 0),
            _ => (EventKind::Icmpv6Next, 0),
        };
        self.go(stage::CONNECTION);
        if self.core.extended.hears(policy) {
            self.core.packet_mut(slot).next = next::NONE;
            self.core.current.packet = slot;
            return Some(Step::Event(policy, slot));
        }
        let native =
            bit != 0 && (self.core.has(bit) || !self.core.settings.defaults.drop_unknown_dissector);
        self.core.packet_mut(slot).next = if native { next::NATIVE } else { next::NONE };
        None
    }

    fn meet_connection(&mut self, slot: u32) -> Option<Step> {
        let packet = *self.core.packet(slot);
        match packet.next {
            next::SCRIPTED => self.taken_over(slot),
            next::NATIVE => {
                let op = if packet.protocol == protocol::TCP {
                    Op::Tcp
                } else {
                    Op::Udp
                };
                if let Some(frame) = self.core.stack.last_mut() {
                    *frame = Frame::on_packet(op, slot);
                }
                None
            }
            _ => {
                self.track_other(slot);
                self.forward(slot)
            }
        }
    }

    /// A header that cannot be read: event, then the stance of the profile.
    fn malformed(&mut self, slot: u32, malformed: Malformed, kind: EventKind) -> Option<Step> {
        self.core.stats.malformed += 1;
        self.core
            .observe(|observer, core| observer.malformed(core, slot, malformed));
        self.core.current.detail = (malformed.layer as u32) << 8 | malformed.fault as u32;
        if let Some(frame) = self.core.stack.last_mut() {
            *frame = frame.at(stage::MALFORMED).with(malformed.layer as u8);
        }
        self.core.current.fresh = malformed.offset as u32;
        if malformed.layer != Layer::Link && self.core.settings.defaults.drop_malformed {
            ip::alert_malformed(&mut self.core, slot, malformed);
        }
        self.event(kind, slot)
    }

    fn after_malformed(&mut self, slot: u32, layer: u8) -> Option<Step> {
        if layer != Layer::Link as u8 && self.core.settings.defaults.drop_malformed {
            self.core.drop_packet(slot, DropReason::Malformed);
            self.core.stack.pop();
            return None;
        }
        self.core.packet_mut(slot).flags |= flag::OPAQUE;
        self.forward(slot)
    }
}

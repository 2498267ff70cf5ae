//! The short way down, for the packets that most packets are.
//!
//! A whole TCP or UDP packet that nobody looks at before its transport
//! header is known needs none of the stages of `dissect`: its headers are
//! read in one go. Whatever is unusual (a fragment, a tunnel, a header that
//! cannot be read, a listener or policy below the transport layer) is left
//! to `dissect`, which starts anew.

use super::Engine;
use crate::core::{Frame, Op, Step, dissector, next};
use crate::event::{EventKind, HookSet, Level};
use crate::packet::decode::protocol;
use crate::packet::record::flag;
use crate::proto::{ip, tcp, udp};

/// Events and policies below the transport header.
const BELOW: u128 = HookSet::mask(&[
    EventKind::PacketReceive,
    EventKind::PacketNext,
    EventKind::Ipv4Receive,
    EventKind::Ipv4Reassembled,
    EventKind::Ipv4Next,
    EventKind::Ipv6Receive,
    EventKind::Ipv6Reassembled,
    EventKind::Ipv6Next,
    EventKind::TcpNext,
    EventKind::UdpNext,
]);

impl Engine {
    /// Whether packets may take the short way at all.
    #[inline]
    fn is_straight(&self) -> bool {
        !self.core.hooks.hears_any(BELOW)
            && !self.core.extended.hears_any(BELOW)
            && !self.core.settings.inspect_tunnels
            && !self.core.log.enabled(Level::Debug, "packet")
    }

    /// Takes the packet of the top frame to its connection, or to the event
    /// of its transport header. `None` where `dissect` is needed.
    #[inline]
    pub(super) fn go_straight(&mut self, slot: u32, received: u8) -> Option<Option<Step>> {
        if !self.is_straight() || self.locate_network(slot).is_err() {
            return None;
        }
        let lenient = !self.core.settings.defaults.drop_unknown_dissector;
        let loaded = self.core.loaded;
        let has = |bit: u16| lenient || loaded & bit != 0;
        let network = match self.core.packet(slot).ip_version {
            4 => has(dissector::IPV4),
            6 => self.core.settings.defaults.network_ipv6 || has(dissector::IPV6),
            _ => false,
        };
        if !network
            || ip::locate(&mut self.core, slot).is_err()
            || self.core.packet(slot).flags & flag::FRAGMENT != 0
        {
            return None;
        }
        let (op, kind, located) = match self.core.packet(slot).protocol {
            protocol::TCP if has(dissector::TCP) && has(dissector::TCP_CONNECTION) => (
                Op::Tcp,
                EventKind::TcpReceive,
                ip::locate_tcp(&mut self.core, slot),
            ),
            protocol::UDP if has(dissector::UDP) && has(dissector::UDP_CONNECTION) => (
                Op::Udp,
                EventKind::UdpReceive,
                ip::locate_udp(&mut self.core, slot),
            ),
            _ => return None,
        };
        located.ok()?;
        self.core.packet_mut(slot).next = next::NATIVE;
        let top = self.core.stack.last_mut()?;
        if self.core.hooks.hears(kind) {
            top.goto(received);
            self.core.current.packet = slot;
            return Some(Some(Step::Event(kind, slot)));
        }
        let frame = Frame::on_packet(op, slot);
        *top = frame;
        // At once: a turn of `step` for nearly every packet would be felt.
        Some(match op {
            Op::Tcp => tcp::receive(self.tcp(), frame),
            _ => udp::receive(&mut self.core, frame),
        })
    }
}

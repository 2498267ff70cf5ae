//! Verdicts for what nobody claims: flows of other protocols, packets left
//! at the end, and room when every slot is taken.

use super::Engine;
use crate::core::flow_state;
use crate::event::DropReason;
use crate::flow::Direction;
use crate::flow::key::FlowKey;
use crate::flow::table::Opening;
use crate::packet::record::flag;
use crate::proto::common::Datagrams;
use crate::proto::ip::{self, related};
use crate::proto::tcp;

impl Engine {
    /// Counts a packet of a protocol that has no connections as a flow of
    /// its two addresses.
    pub(super) fn track_other(&mut self, slot: u32) {
        let core = &mut self.core;
        if core.settings.defaults.drop_unknown_dissector || core.packet(slot).ip_version == 0 {
            return;
        }
        let packet = *core.packet(slot);
        let Some((src, dst)) = ip::addresses(&packet, core.bytes(slot)) else {
            return;
        };
        let key = FlowKey {
            src: *src.bytes(),
            dst: *dst.bytes(),
            src_port: 0,
            dst_port: 0,
            vlan: packet.vlan,
            tunnel: packet.tunnel,
            protocol: packet.protocol,
            family: packet.ip_version,
        };
        let now = core.now;
        let (flow, direction) = match core.flows.find(&key) {
            Some(found) => found,
            None => {
                let Ok(flow) = core.flows.insert(
                    &key,
                    Opening::HalfOpen,
                    now,
                    packet.id,
                    flow_state::UNTRACKED,
                ) else {
                    core.stats.flows_refused += 1;
                    return;
                };
                core.stats.flows += 1;
                core.observe(|observer, core| observer.opened(core, flow));
                (flow, Direction::ToServer)
            }
        };
        if let Some(record) = core.flows.live_mut(flow) {
            record.count(direction, packet.end.saturating_sub(packet.ip_at), now);
        }
        core.observe(|observer, core| {
            observer.packet(core, flow, direction, slot);
            if let Some((about, way)) = related::flow_of(core, slot) {
                observer.icmp_error(core, about, way, slot);
            }
        });
    }

    /// Packets that are still held when all flows are gone.
    pub(super) fn refuse_leftovers(&mut self) {
        for slot in self.core.packets.slots() {
            if self.core.alive(slot) {
                self.core.drop_packet(slot, DropReason::Shutdown);
            }
        }
    }

    /// Too many packets are held: the flow goes on unjudged whose packet
    /// waits longest. Fragments are given up first, then what QUIC reads, then
    /// what rules keep.
    pub(super) fn make_room(&mut self) {
        self.core.stats.packet_cap += 1;
        let limit = u64::from(self.core.settings.max_packets);
        self.core.tell_cap(None, "max_packets", limit);
        if !self.reassembler.is_empty() {
            return self.abandon_fragments(DropReason::FragmentCap);
        }
        if self.common.quic.holds() {
            return self.common.quic.let_all_go(&mut self.core);
        }
        let mut slots = self.core.packets.slots();
        slots.retain(|&slot| self.core.alive(slot));
        let flags = |slot: u32| self.core.packet(slot).flags;
        let kept = slots.iter().copied();
        let kept: Vec<_> = kept.filter(|&slot| flags(slot) & flag::KEPT != 0).collect();
        if !kept.is_empty() {
            // Several at a time, since looking for them takes a while.
            for slot in kept.iter().take(kept.len().div_ceil(8)) {
                self.core.drop_packet(*slot, DropReason::PacketCap);
            }
            return;
        }
        let oldest = slots
            .into_iter()
            .find(|&slot| flags(slot) & flag::HELD != 0);
        if let Some(flow) = oldest.and_then(|slot| tcp::flow_of(&self.core, slot)) {
            tcp::let_go(self.tcp(), flow);
        }
    }

    /// A dissector written in Lua took a packet over and neither sent nor
    /// dropped it: it does not leave.
    pub(super) fn refuse_unsent(&mut self, slot: u32) {
        if self.core.packets.is_live(slot)
            && self.core.alive(slot)
            && self.core.packet(slot).flags & flag::HELD == 0
        {
            self.core.drop_packet(slot, DropReason::NotSent);
        }
    }
}

//! Reads what a [`Collector`] needs out of the engine's state.

use std::cell::RefCell;
use std::rc::Rc;

use super::endpoint::Endpoint;
use super::flows::{Collector, Ending, Sighting};
use crate::addr::Addr;
use crate::core::Core;
use crate::core::observe::Observer;
use crate::flow::Direction;
use crate::flow::record::FlowRecord;
use crate::packet::LinkType;
use crate::packet::decode::{self, protocol};
use crate::packet::record::{PacketRecord, flag};
use crate::proto::tcp::cause;
use crate::stream::assembler::Piece;
use crate::time::Timestamp;

/// Observes an engine for a collector that somebody else reads.
pub struct Witness {
    collector: Rc<RefCell<Collector>>,
}

impl Witness {
    pub fn new(collector: Rc<RefCell<Collector>>) -> Witness {
        Witness { collector }
    }

    fn tell(&self, core: &Core, flow: u32, tell: impl FnOnce(&mut Collector, u64)) {
        if let Some(record) = core.flows.live(flow) {
            tell(&mut self.collector.borrow_mut(), record.id);
        }
    }
}

impl Observer for Witness {
    /// The first packet follows and says more.
    fn opened(&mut self, _: &Core, _: u32) {}

    fn packet(&mut self, core: &Core, flow: u32, direction: Direction, packet: u32) {
        let Some(flow) = core.flows.live(flow) else {
            return;
        };
        let (client, server) = ends(flow);
        let (source, destination) = match direction {
            Direction::ToServer => (client, server),
            Direction::ToClient => (server, client),
        };
        let record = core.packet(packet);
        let frame = core.bytes(packet);
        let (from, to) = (record.payload_at as usize, record.end as usize);
        let tcp = flow.protocol == protocol::TCP;
        let flags = if tcp {
            frame.get(record.transport_at as usize + 13).copied()
        } else {
            None
        };
        let vlans = decode::link(LinkType(record.link), frame)
            .map(|below| below.vlans)
            .unwrap_or_default();
        self.collector.borrow_mut().packet(&Sighting {
            flow: flow.id,
            direction,
            source,
            destination,
            protocol: flow.protocol,
            frame: record.id,
            timestamp: Timestamp(record.timestamp),
            tcp_flags: flags.unwrap_or(0),
            payload_len: wire_end(record, frame).saturating_sub(record.payload_at),
            payload: frame.get(from..to.min(frame.len())).unwrap_or_default(),
            bad_checksum: record.flags & flag::BAD_CHECKSUM != 0,
            vlans: vlans.ids(),
            tunnels: core.tunnels.around(packet),
        });
    }

    fn bytes(
        &mut self,
        core: &Core,
        flow: u32,
        direction: Direction,
        bytes: &[u8],
        wire_len: usize,
    ) {
        self.tell(core, flow, |collector, flow| {
            collector.bytes(flow, direction, bytes, wire_len)
        });
    }

    fn conflict(&mut self, core: &Core, flow: u32, direction: Direction) {
        self.tell(core, flow, |collector, flow| {
            collector.conflict(flow, direction)
        });
    }

    fn gap(&mut self, core: &Core, flow: u32, direction: Direction, beyond: &[Piece]) {
        let pieces = beyond.iter().map(|piece| piece.offset..piece.end());
        self.tell(core, flow, |collector, flow| {
            collector.gap(flow, direction, pieces)
        });
    }

    fn icmp_error(&mut self, core: &Core, flow: u32, _: Direction, _: u32) {
        self.tell(core, flow, Collector::icmp_error);
    }

    fn reset(&mut self, core: &Core, flow: u32, _: Direction, credible: bool) {
        if credible {
            self.tell(core, flow, Collector::reset);
        }
    }

    fn closed(&mut self, core: &Core, flow: u32, cause: u8) {
        let ending = match cause {
            cause::RST_SEEN => Ending::Reset,
            cause::REOPENED => Ending::Reused,
            cause::EXPIRED => Ending::Timeout,
            cause::EVICTED => Ending::Evicted,
            cause::SHUTDOWN => Ending::CaptureEnd,
            cause::CLOSED => Ending::Closed,
            _ => Ending::Refused,
        };
        self.tell(core, flow, |collector, flow| collector.ended(flow, ending));
    }
}

/// Where the datagram ends by its header: behind the frame if that was cut.
pub(super) fn wire_end(record: &PacketRecord, frame: &[u8]) -> u32 {
    if record.flags & flag::SNAPPED == 0 {
        return record.end;
    }
    let header = decode::ip(frame, record.ip_at as usize, Some(record.wire_len as usize));
    header.map_or(record.end, |header| header.end as u32)
}

pub(super) fn ends(flow: &FlowRecord) -> (Endpoint, Endpoint) {
    let addr = |bytes: [u8; 16]| match (flow.family, bytes) {
        (4, [.., a, b, c, d]) => Addr::v4([a, b, c, d]),
        _ => Addr::v6(bytes),
    };
    (
        Endpoint {
            addr: addr(flow.client),
            port: flow.client_port,
        },
        Endpoint {
            addr: addr(flow.server),
            port: flow.server_port,
        },
    )
}

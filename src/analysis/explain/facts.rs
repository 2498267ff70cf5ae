//! What the engine's state says of packets and flows, in words and numbers.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::story::About;
use crate::buf::{BufId, Key};
use crate::core::{Core, flow_state};
use crate::event::{EventKind, Subject};
use crate::flow::Direction;
use crate::flow::record::FlowRecord;
use crate::packet::Malformed;
use crate::packet::decode::protocol;
use crate::proto::tcp;

/// Data and ends concern all packets of a flow; the rest one packet.
pub(super) fn event_about(core: &Core, kind: EventKind, subject: u32) -> About {
    let packet = match kind.row().subject {
        Subject::Packet => subject,
        Subject::Flow | Subject::Script => core.current.packet,
    };
    let of_flow = matches!(
        kind,
        EventKind::TcpReceiveData | EventKind::TcpEndConnection | EventKind::UdpEndConnection
    );
    let id = if core.packets.is_live(packet) {
        core.packet(packet).id
    } else {
        0
    };
    About {
        packet: id,
        flow: if of_flow {
            core.flows.live(subject).map_or(0, |record| record.id)
        } else {
            0
        },
    }
}

/// Hash of all that rules may change of a packet and of the stream at hand.
pub(super) fn fingerprint(core: &Core, packet: u64) -> u64 {
    let slot = core.current.packet;
    if packet == 0 || !core.packets.is_live(slot) {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    core.bytes(slot).hash(&mut hasher);
    let record = core.packet(slot);
    let payloads = record.buffers.iter().zip(&record.buffer_generations);
    let stream = (&core.current.stream, &core.current.stream_generation);
    for (&index, &generation) in payloads.chain([stream]) {
        let buffer = BufId(Key { index, generation });
        if generation != 0 && core.bufs.is_modified(buffer) {
            for piece in core.bufs.pieces(buffer).into_iter().flatten() {
                hasher.write(piece);
            }
        }
    }
    hasher.finish()
}

pub(super) fn flow_of(core: &Core, slot: u32) -> Option<(u32, Direction)> {
    core.flows.find(&tcp::key(core, slot)?)
}

pub(super) fn flow_id_of(core: &Core, slot: u32) -> Option<u64> {
    let (flow, _) = flow_of(core, slot)?;
    core.flows.live(flow).map(|record| record.id)
}

pub(super) fn state_name(record: &FlowRecord) -> &'static str {
    match flow_state::NAMES.get(usize::from(record.state)) {
        Some(&"") | None => "untracked",
        Some(name) => name,
    }
}

pub(super) fn protocol_name(number: u8) -> &'static str {
    match number {
        protocol::TCP => "tcp",
        protocol::UDP => "udp",
        protocol::ICMP => "icmp",
        protocol::ICMPV6 => "icmpv6",
        _ => "ip",
    }
}

pub(super) fn end_text(record: &FlowRecord, address: &str, port: u16) -> String {
    match (matches!(record.protocol, 6 | 17), record.family) {
        (false, _) => address.to_owned(),
        (true, 6) => format!("[{address}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}

pub(super) fn fault_name(malformed: Malformed) -> String {
    let name = format!("{:?}", malformed.fault);
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

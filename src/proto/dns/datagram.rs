//! DNS in the datagrams of a UDP flow.
//!
//! Runs after the listeners of the datagram itself. A changed message
//! replaces the payload; lengths and checksums follow on the way out. An
//! answer of a rule's own goes back to the sender with addresses and ports
//! exchanged, and cut to what the client takes (RFC 2181, 9).

use super::judge::{Arrival, Dns, Outcome, Refusal, report};
use super::kinds::RecordType;
use super::wire::{HEADER, bit};
use crate::core::{Core, Frame, Op, Step};
use crate::event::{DropReason, EventKind};
use crate::packet::decode::protocol::UDP;
use crate::packet::record::{dirty, flag};
use crate::packet::{LinkType, build};
use crate::proto::ip;

mod stage {
    pub const ARRIVED: u8 = 0;
    pub const JUDGED: u8 = 1;
}

/// Longest message for a client that says nothing else (RFC 1035, 4.2.1).
const PLAIN_SIZE: usize = 512;
const UDP_HEADER: usize = 8;

/// Takes the datagram of the top frame one stage further. `generation` of
/// the frame is the slot of its message.
pub fn step(core: &mut Core, dns: &mut Dns, frame: Frame) -> Option<Step> {
    match frame.stage() {
        stage::ARRIVED => arrived(core, dns, frame),
        _ => {
            judged(core, dns, frame);
            None
        }
    }
}

fn forward(core: &mut Core, packet: u32) {
    if let Some(top) = core.stack.last_mut() {
        *top = Frame::on_packet(Op::Send, packet);
    }
}

fn refuse(core: &mut Core, packet: u32, reason: DropReason) {
    core.stack.pop();
    core.drop_packet(packet, reason);
}

fn arrived(core: &mut Core, dns: &mut Dns, frame: Frame) -> Option<Step> {
    let packet = frame.packet();
    // Listeners of the datagram may have changed it.
    core.absorb(packet, 2);
    let record = *core.packet(packet);
    if record.flags & flag::SNAPPED != 0 && record.end as usize > core.bytes(packet).len() {
        forward(core, packet);
        return None;
    }
    let arrival = Arrival {
        flow: frame.flow(),
        direction: frame.direction(),
        packet,
        over_tcp: false,
        writable: record.flags & flag::READ_ONLY == 0,
    };
    let payload = core.payload_range(packet, 2);
    dns.make_room(core);
    let bytes = core.bytes(packet).get(payload).unwrap_or_default();
    let opened = dns.messages.open(bytes, arrival.writable);
    let found = dns.arrived(core, arrival, opened);
    let (slot, kind) = match found {
        Ok(found) => found,
        Err(refusal) => {
            report(core, refusal);
            let reason = match refusal {
                Refusal::Malformed(_) => DropReason::Malformed,
                Refusal::Mismatch => DropReason::UnexpectedPacket,
                Refusal::Full => DropReason::PacketCap,
            };
            refuse(core, packet, reason);
            return None;
        }
    };
    let next = frame
        .at(stage::JUDGED)
        .with(u8::from(kind == EventKind::DnsResponse))
        .since(slot);
    if let Some(top) = core.stack.last_mut() {
        *top = next;
    }
    let heard = dns.event(core, arrival, slot, kind);
    if heard.is_none() {
        judged(core, dns, next);
    }
    heard
}

fn judged(core: &mut Core, dns: &mut Dns, frame: Frame) {
    let (packet, slot) = (frame.packet(), frame.generation());
    if !core.alive(packet) {
        core.stack.pop();
        return dns.finish(slot);
    }
    if crate::proto::udp::is_gone(core, frame.flow()) {
        dns.finish(slot);
        return refuse(core, packet, DropReason::FlowDropped);
    }
    match dns.judged(slot) {
        Outcome::Dropped => {
            dns.finish(slot);
            return refuse(core, packet, DropReason::Rule);
        }
        Outcome::Answered(reply) => {
            let reply = answer(core, dns, packet, slot, reply);
            dns.finish(slot);
            refuse(core, packet, DropReason::Rule);
            if let Some(reply) = reply {
                core.push(Frame::on_packet(Op::Send, reply));
            }
            return;
        }
        Outcome::Changed => core.replace_payload(packet, dns.messages.bytes(slot)),
        Outcome::Unchanged => {}
    }
    let kind = match frame.detail() {
        0 => EventKind::DnsQuery,
        _ => EventKind::DnsResponse,
    };
    forward(core, packet);
    dns.sent(core, frame.flow(), slot, kind);
}

/// A packet with a rule's answer, for the sender of the query.
fn answer(core: &mut Core, dns: &Dns, query: u32, asked: u32, reply: u32) -> Option<u32> {
    let record = *core.packet(query);
    let frame = core.bytes(query);
    let (client, server) = ip::addresses(&record, frame)?;
    let at = record.transport_at as usize;
    let &[a, b, c, d] = frame.get(at..)?.first_chunk::<4>()?;
    let message = fitted(dns, asked, reply);
    let length = UDP_HEADER + message.len();
    let mut packet = Vec::with_capacity(40 + length);
    build::ip_header(&mut packet, server, client, UDP, length);
    packet.extend_from_slice(&[c, d, a, b]);
    packet.extend_from_slice(&(length as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(&message);
    let slot = core.forge_after(&packet, query)?;
    exchange_stations(core, slot);
    ip::adopt(core, slot);
    core.packet_mut(slot).dirty = dirty::NETWORK | dirty::TRANSPORT | dirty::REBUILT;
    Some(slot)
}

/// The reply, or where it is too long for the client its head, marked as
/// truncated.
fn fitted(dns: &Dns, asked: u32, reply: u32) -> Vec<u8> {
    let mut message = dns.messages.bytes(reply).to_vec();
    let Some(query) = dns.messages.body(asked) else {
        return message;
    };
    let opt = query
        .items()
        .iter()
        .find(|item| item.section == 3 && item.kind(query.bytes()) == RecordType::OPT.0);
    let taken = opt.map_or(0, |opt| usize::from(opt.class(query.bytes())));
    if message.len() <= taken.max(PLAIN_SIZE) {
        return message;
    }
    let questions = dns.messages.body(reply).and_then(|body| {
        let own = body.items().iter().filter(|item| item.section == 0);
        own.map(|item| item.end()).max()
    });
    message.truncate(questions.unwrap_or(HEADER));
    if let Some(counts) = message.get_mut(6..HEADER) {
        counts.fill(0);
    }
    if let Some(flags) = message.get_mut(2) {
        *flags |= (bit::TC >> 8) as u8;
    }
    message
}

/// The link header leads back to where the query came from.
fn exchange_stations(core: &mut Core, slot: u32) {
    if core.packet(slot).link != LinkType::ETHERNET.0 {
        return;
    }
    if let Some(stations) = core.bytes_mut(slot).first_chunk_mut::<12>() {
        stations.rotate_left(6);
    }
}

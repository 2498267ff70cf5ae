//! UDP flows: found by key, announced, ended by time or by a rule.

pub mod fields;

use crate::core::{Core, Frame, Op, Step, flow_state};
use crate::event::{DropReason, EventKind};
use crate::flow::Direction;
use crate::flow::record::{NO_SIDE, flags};
use crate::flow::table::Opening;
use crate::packet::record::flag;
use crate::proto::application;
use crate::proto::tcp::{cause, ends, key};

mod stage {
    pub const LOOK_UP: u8 = 0;
    pub const ANNOUNCED: u8 = 1;
    pub const CHOSEN: u8 = 2;
    pub const SEEN: u8 = 3;
    pub const READ: u8 = 4;
}

/// Takes the datagram of the top frame one stage further.
pub fn receive(core: &mut Core, frame: Frame) -> Option<Step> {
    let slot = frame.packet();
    match frame.stage() {
        stage::LOOK_UP => look_up(core, slot),
        stage::ANNOUNCED => announced(core, frame),
        stage::CHOSEN => known(core, frame),
        stage::SEEN => seen(core, frame),
        _ => read(core, frame),
    }
}

fn go(core: &mut Core, flow: u32, direction: Direction, stage: u8) {
    if let Some(frame) = core.stack.last_mut() {
        *frame = frame.of(flow).towards(direction).at(stage);
    }
}

fn forward(core: &mut Core, slot: u32) -> Option<Step> {
    if let Some(frame) = core.stack.last_mut() {
        *frame = Frame::on_packet(Op::Send, slot);
    }
    None
}

fn refuse(core: &mut Core, slot: u32, reason: DropReason) -> Option<Step> {
    core.stack.pop();
    core.drop_packet(slot, reason);
    None
}

fn event(core: &mut Core, kind: EventKind, frame: Frame) -> Option<Step> {
    if !core.hooks.hears(kind) {
        return None;
    }
    core.current.flow = frame.flow();
    core.current.packet = frame.packet();
    core.current.direction = frame.direction() as u32;
    Some(Step::Event(kind, frame.flow()))
}

fn look_up(core: &mut Core, slot: u32) -> Option<Step> {
    if core.packet(slot).flags & flag::OFFLOADED != 0 {
        // Several datagrams in one, which nobody here could tell apart: the
        // lane has the kernel do so where somebody judges them, if it can.
        core.stats.unjudged += 1;
        return forward(core, slot);
    }
    let Some(key) = key(core, slot) else {
        return forward(core, slot);
    };
    if let Some((flow, direction)) = core.flows.find(&key) {
        let now = core.now;
        match core
            .flows
            .live(flow)
            .map(|record| (record.state, record.has(flags::HALF_OPEN)))
        {
            // The drop is forgotten when its time is over, not before.
            Some((flow_state::DROP, _)) => return refuse(core, slot, DropReason::FlowDropped),
            Some((_, true)) if direction == Direction::ToClient => core.flows.establish(flow, now),
            _ => {}
        }
        return known(
            core,
            Frame::on_packet(Op::Udp, slot).of(flow).towards(direction),
        );
    }
    let (now, number) = (core.now, core.packet(slot).id);
    let flow = match core.flows.insert(
        &key,
        Opening::HalfOpen,
        now,
        number,
        flow_state::ESTABLISHED,
    ) {
        Ok(flow) => flow,
        Err(_) => {
            let Some(victim) = core.flows.victim(Opening::HalfOpen) else {
                core.stats.flows_refused += 1;
                return forward(core, slot);
            };
            core.stats.flows_evicted += 1;
            let op = if core
                .flows
                .live(victim)
                .is_some_and(|record| record.protocol == 6)
            {
                Op::TcpEnd
            } else {
                Op::UdpEnd
            };
            core.push(Frame::on_flow(op, victim, Direction::ToServer).with(cause::EVICTED));
            return None;
        }
    };
    core.stats.flows += 1;
    core.observe(|observer, core| observer.opened(core, flow));
    go(core, flow, Direction::ToServer, stage::ANNOUNCED);
    let frame = Frame::on_packet(Op::Udp, slot).of(flow);
    event(core, EventKind::UdpNewConnection, frame)
}

/// Listeners of `new_connection` have spoken: a datagram that they refused
/// leaves no trace.
fn announced(core: &mut Core, frame: Frame) -> Option<Step> {
    let state = core.flows.live(frame.flow()).map(|record| record.state);
    if !core.alive(frame.packet()) {
        core.stack.pop();
        if state.is_some_and(|state| state != flow_state::DROP) {
            core.observe(|observer, core| observer.closed(core, frame.flow(), cause::DROPPED));
            core.flows.remove(frame.flow());
        }
        return None;
    }
    if state.is_none_or(|state| state == flow_state::DROP) {
        return refuse(core, frame.packet(), DropReason::FlowDropped);
    }
    if let Some(record) = core.flows.live(frame.flow()).copied() {
        core.debug("conn", || format!("opening connection {}", ends(&record)));
    }
    go(core, frame.flow(), frame.direction(), stage::CHOSEN);
    if !core.extended.hears(EventKind::UdpFlowNext) {
        choose(core, frame.flow());
    } else {
        core.current.flow = frame.flow();
        core.current.packet = frame.packet();
        return Some(Step::Event(EventKind::UdpFlowNext, frame.flow()));
    }
    None
}

/// Lets the rest of a flow pass unseen.
pub fn bypass(core: &mut Core, flow: u32) {
    let now = core.now;
    if let Some(record) = core.flows.live_mut(flow) {
        record.flags |= flags::BYPASSED;
    }
    core.flows.rearm(flow, now);
    core.stats.flows_bypassed += 1;
}

/// What the policy `next_dissector` chooses with its built-in entries.
pub fn choose(core: &mut Core, flow: u32) {
    let ports = core
        .flows
        .live(flow)
        .map(|record| [record.client_port, record.server_port]);
    let bit = ports.map_or(0, |ports| application::by_udp_ports(core, ports));
    if bit != 0 {
        attach(core, flow, bit);
    }
}

/// The dissector with that bit reads the datagrams of a flow from now on.
pub fn attach(core: &mut Core, flow: u32, bit: u16) {
    if let Some(record) = core.flows.live_mut(flow) {
        record.side = u32::from(bit);
    }
}

fn known(core: &mut Core, frame: Frame) -> Option<Step> {
    if !core.alive(frame.packet()) {
        core.stack.pop();
        return None;
    }
    let packet = core.packet(frame.packet());
    let (length, now) = (packet.end.saturating_sub(packet.ip_at), core.now);
    let Some(record) = core.flows.live_mut(frame.flow()) else {
        return forward(core, frame.packet());
    };
    record.count(frame.direction(), length, now);
    let (bypassed, bytes) = (record.has(flags::BYPASSED), record.bytes);
    core.observe(|observer, core| {
        observer.packet(core, frame.flow(), frame.direction(), frame.packet())
    });
    let limit = core.settings.bypass_bytes;
    if !bypassed && limit > 0 && bytes.iter().sum::<u64>() > limit {
        bypass(core, frame.flow());
    }
    if bypassed || limit > 0 && bytes.iter().sum::<u64>() > limit {
        core.packet_mut(frame.packet()).flags |= flag::BYPASSED;
        return forward(core, frame.packet());
    }
    go(core, frame.flow(), frame.direction(), stage::SEEN);
    let heard = event(core, EventKind::UdpReceivePacket, frame);
    if heard.is_some() {
        heard
    } else {
        seen(core, frame)
    }
}

fn seen(core: &mut Core, frame: Frame) -> Option<Step> {
    if let Some(step) = gone(core, frame) {
        return step;
    }
    go(core, frame.flow(), frame.direction(), stage::READ);
    let heard = event(core, EventKind::UdpReceiveData, frame);
    if heard.is_some() {
        heard
    } else {
        read(core, frame)
    }
}

fn read(core: &mut Core, frame: Frame) -> Option<Step> {
    if let Some(step) = gone(core, frame) {
        return step;
    }
    // A dissector written in Lua sends what it was given, or does not.
    if core.scripted.contains(&frame.flow()) {
        core.stack.pop();
        if core.alive(frame.packet()) {
            core.drop_packet(frame.packet(), DropReason::NotSent);
        }
        return None;
    }
    if core
        .flows
        .live(frame.flow())
        .is_some_and(|record| record.side != NO_SIDE)
    {
        let work = Frame::on_flow(Op::Datagram, frame.flow(), frame.direction());
        if let Some(top) = core.stack.last_mut() {
            *top = work.by(frame.packet());
        }
        return None;
    }
    forward(core, frame.packet())
}

/// Whether a flow is over, or was dropped.
pub fn is_gone(core: &Core, flow: u32) -> bool {
    core.flows
        .live(flow)
        .is_none_or(|record| record.state == flow_state::DROP)
}

/// Ends the datagram's way if a listener dropped it or its flow.
fn gone(core: &mut Core, frame: Frame) -> Option<Option<Step>> {
    if !core.alive(frame.packet()) {
        core.stack.pop();
        return Some(None);
    }
    if is_gone(core, frame.flow()) {
        return Some(refuse(core, frame.packet(), DropReason::FlowDropped));
    }
    None
}

/// Ends a flow: dropped by a rule, or forgotten.
pub fn end(core: &mut Core, frame: Frame) -> Option<Step> {
    let Some(record) = core.flows.live(frame.flow()).copied() else {
        core.stack.pop();
        return None;
    };
    let now = core.now;
    let dropped_before = record.state == flow_state::DROP;
    if frame.stage() == 0 {
        if let Some(top) = core.stack.last_mut() {
            top.goto(1);
        }
        if frame.detail() == cause::DROPPED {
            if dropped_before {
                core.stack.pop();
                return None;
            }
            core.observe(|observer, core| observer.ending(core, frame.flow(), frame.detail()));
            core.debug("conn", || format!("dropping connection {}", ends(&record)));
            core.flows.set_state(frame.flow(), flow_state::DROP, now);
        }
        // A flow that was dropped has ended already.
        if dropped_before || record.state == flow_state::UNTRACKED {
            return None;
        }
        let frame = frame.by(core.current.packet);
        return event(core, EventKind::UdpEndConnection, frame);
    }
    core.stack.pop();
    if frame.detail() != cause::DROPPED {
        if record.state != flow_state::UNTRACKED {
            let word = if frame.detail() == cause::SHUTDOWN {
                "release"
            } else {
                "closing"
            };
            core.debug("conn", || format!("{word} connection {}", ends(&record)));
        }
        core.observe(|observer, core| observer.closed(core, frame.flow(), frame.detail()));
        core.scripted.remove(&frame.flow());
        core.flows.remove(frame.flow());
    }
    None
}

/// The flow was idle for too long.
pub fn expired(core: &mut Core, flow: u32) {
    core.push(Frame::on_flow(Op::UdpEnd, flow, Direction::ToServer).with(cause::EXPIRED));
}

/// The capture ended with the flow still there.
pub fn closing_down(core: &mut Core, flow: u32) {
    core.push(Frame::on_flow(Op::UdpEnd, flow, Direction::ToServer).with(cause::SHUTDOWN));
}

/// A listener of the flow failed: the datagram and the flow are dropped.
pub fn failed(core: &mut Core, flow: u32, reason: DropReason) {
    let packet = core.current.packet;
    core.drop_packet_with(packet, reason);
    if reason != DropReason::NotSent {
        core.push(Frame::on_flow(Op::UdpEnd, flow, Direction::ToServer).with(cause::DROPPED));
    }
}

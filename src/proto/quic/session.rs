//! QUIC on UDP flows: shows the client's hello to rules before the datagram
//! that completes it leaves.
//!
//! A hello may take several datagrams; the first ones are held until it is
//! whole and judged, so that a refused name never gets to the server. All
//! other datagrams pass after a look at their first byte. What is held has
//! caps per flow and for the worker; datagrams beyond them pass unheld, and
//! are still read. Flows are remembered up to a cap; beyond it new ones pass
//! unread.

use std::collections::HashMap;
use std::io;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::reader::{Hello, Reader};
use crate::core::{Core, Frame, Op, Step, flow_state};
use crate::event::{DropReason, EventKind, Settings};
use crate::packet::record::flag;
use crate::proto::common::Datagrams;
use crate::proto::tls::hello::ClientHello;
use crate::proto::tls::session::Messages;

/// Flows whose connections are remembered.
const MOST_FLOWS: usize = 1 << 16;
/// Datagrams held of one flow: a hello of today takes two.
const MOST_HELD: usize = 8;
/// Datagrams held of all flows.
const MOST_HELD_ALL: usize = 1024;

mod stage {
    pub const READ: u8 = 0;
    pub const JUDGED: u8 = 1;
}

/// The flows that speak QUIC, by slot.
#[derive(Default)]
pub struct Flows {
    flows: HashMap<u32, Box<Flow>, FixedState>,
    held: usize,
}

#[derive(Default)]
struct Flow {
    generation: u32,
    reader: Reader,
    messages: Messages,
    /// Datagrams with the beginning of a hello: slot and generation.
    held: SmallVec<[(u32, u32); 2]>,
}

/// What becomes of a datagram that was read.
enum Reading {
    Passes,
    /// The hello is not whole yet.
    Waits,
    Shown(Step),
}

impl Datagrams for Flows {
    fn new(_: &Settings) -> io::Result<Flows> {
        Ok(Flows::default())
    }

    fn step(&mut self, core: &mut Core, frame: Frame) -> Option<Step> {
        step(core, self, frame)
    }

    fn ending(&mut self, core: &mut Core, flow: u32, dropped: bool) {
        if !self.holds() {
            return;
        }
        let held = self.take_held(flow);
        match dropped {
            true => refuse(core, held),
            false => let_go(core, held),
        }
    }

    fn holds(&self) -> bool {
        self.held > 0
    }

    fn let_all_go(&mut self, core: &mut Core) {
        let slots: Vec<u32> = self
            .flows
            .iter()
            .filter(|(_, flow)| !flow.held.is_empty())
            .map(|(&slot, _)| slot)
            .collect();
        for slot in slots {
            core.stats.hold_caps += 1;
            let_go(core, self.take_held(slot));
        }
    }
}

impl Flows {
    /// The messages of a flow.
    pub fn messages(&mut self, slot: u32, generation: u32) -> Option<&mut Messages> {
        let flow = self.flows.get_mut(&slot)?;
        (flow.generation == generation).then_some(&mut flow.messages)
    }

    /// The flow in that slot; none if there are too many.
    fn of(&mut self, core: &Core, slot: u32) -> Option<&mut Flow> {
        let generation = core.flows.live(slot)?.generation();
        if !self.flows.contains_key(&slot) && self.flows.len() >= MOST_FLOWS {
            self.flows.retain(|&slot, flow| {
                let live = core.flows.live(slot);
                live.is_some_and(|record| record.generation() == flow.generation)
            });
            if self.flows.len() >= MOST_FLOWS {
                return None;
            }
        }
        let flow = self.flows.entry(slot).or_default();
        if flow.generation != generation {
            **flow = Flow {
                generation,
                ..Flow::default()
            };
        }
        Some(flow)
    }

    /// Takes what is held of a flow.
    fn take_held(&mut self, slot: u32) -> SmallVec<[(u32, u32); 2]> {
        let held = self.flows.get_mut(&slot).map(|flow| &mut flow.held);
        let held = held.map(std::mem::take).unwrap_or_default();
        self.held -= held.len().min(self.held);
        held
    }
}

fn step(core: &mut Core, flows: &mut Flows, frame: Frame) -> Option<Step> {
    if frame.stage() == stage::READ {
        match read(core, flows, frame) {
            Reading::Shown(event) => return Some(event),
            Reading::Waits => {
                core.stack.pop();
                return None;
            }
            Reading::Passes => {}
        }
    }
    let gone = core
        .flows
        .live(frame.flow())
        .is_none_or(|record| record.state == flow_state::DROP);
    if gone || !core.alive(frame.packet()) {
        core.stack.pop();
        core.drop_packet(frame.packet(), DropReason::FlowDropped);
        refuse(core, flows.take_held(frame.flow()));
        return None;
    }
    if let Some(top) = core.stack.last_mut() {
        *top = Frame::on_packet(Op::Send, frame.packet());
    }
    if frame.stage() == stage::JUDGED {
        let_go(core, flows.take_held(frame.flow()));
    }
    None
}

/// Sends what was held, in order, before anything else.
fn let_go(core: &mut Core, held: SmallVec<[(u32, u32); 2]>) {
    for (slot, generation) in held.into_iter().rev() {
        if !core.packets.is_current(slot, generation) || !core.alive(slot) {
            continue;
        }
        let packet = core.packet_mut(slot);
        packet.flags &= !flag::HELD;
        let refused = packet.flags & flag::REFUSED != 0;
        // The stack of work is only full where rules nest too deep.
        if refused || !core.push(Frame::on_packet(Op::Send, slot)) {
            core.drop_packet(slot, DropReason::Rule);
        }
    }
}

fn refuse(core: &mut Core, held: SmallVec<[(u32, u32); 2]>) {
    for (slot, generation) in held {
        if core.packets.is_current(slot, generation) {
            core.drop_packet(slot, DropReason::FlowDropped);
        }
    }
}

/// Reads the datagram, and raises the event of a hello that became whole.
fn read(core: &mut Core, flows: &mut Flows, frame: Frame) -> Reading {
    if !core.hooks.hears(EventKind::QuicClientHello) {
        return Reading::Passes;
    }
    let range = core.payload_range(frame.packet(), 2);
    let payload = core.bytes(frame.packet()).get(range.clone());
    // A short header: nothing that anyone could read.
    if payload
        .and_then(|payload| payload.first())
        .is_none_or(|byte| byte & 0x80 == 0)
    {
        return Reading::Passes;
    }
    let may_hold = flows.held < MOST_HELD_ALL && !core.settings.pass_through;
    let Some(flow) = flows.of(core, frame.flow()) else {
        return Reading::Passes;
    };
    let payload = core.bytes(frame.packet()).get(range).unwrap_or_default();
    match flow.reader.read(payload, frame.direction()) {
        Some(Hello::Client) => {}
        None if may_hold
            && flow.reader.is_gathering(frame.direction())
            && flow.held.len() < MOST_HELD =>
        {
            let packet = core.packet_mut(frame.packet());
            packet.flags |= flag::HELD;
            flow.held.push((frame.packet(), packet.generation));
            flows.held += 1;
            return Reading::Waits;
        }
        _ => return Reading::Passes,
    }
    if ClientHello::parse(flow.reader.body()).is_none() {
        core.stats.tls_anomalies += 1;
        return Reading::Passes;
    }
    let version = flow.reader.version().unwrap_or_default();
    flow.messages.client_hello.keep(flow.reader.body(), None);
    flow.messages.quic_version = version;
    if let Some(top) = core.stack.last_mut() {
        top.goto(stage::JUDGED);
    }
    core.current.flow = frame.flow();
    core.current.packet = frame.packet();
    core.current.direction = frame.direction() as u32;
    Reading::Shown(Step::Event(EventKind::QuicClientHello, frame.flow()))
}

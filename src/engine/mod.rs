//! The pipeline: one packet at a time, down through the dissectors, up
//! through the layers that were changed.
//!
//! The engine does no I/O and never calls a listener. Work goes in
//! ([`Engine::handle_packet`], [`Engine::handle_timeout`]), then
//! [`Engine::step`] yields events until it says `Done`, then
//! [`Engine::poll_output`] gives each packet's verdict. [`run`] is the loop
//! that all callers use. Order of reading: `dissect`, `proto::tcp`, `forge`.

mod dissect;
mod forge;
mod fragments;
#[doc(hidden)]
pub mod fuzz;
#[doc(hidden)]
pub mod ops;
mod settle;
mod straight;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::LazyLock;

use crate::core::{Core, Frame, Op, Output, Step, StreamState};
use crate::event::{
    Current, DropReason, EVENTS, EventKind, HookSet, Hooks, ListenerFailed, Notice, Settings,
    Subject, Verdict,
};
use crate::flow::arena::NO_SLOT;
use crate::packet::fragment::Reassembler;
use crate::packet::record::{flag, state};
use crate::packet::{Arrival, LinkType, Payload};
use crate::proto::common::Common;
use crate::proto::tcp::Connections;
use crate::proto::{application, tcp, udp};
use crate::time::Timestamp;

/// The engine as its owner and the Lua library share it. Borrowed for one
/// call at a time; a listener that runs finds it free.
pub type Shared = Rc<RefCell<Engine>>;

/// One worker's engine.
pub struct Engine {
    pub core: Core,
    pub(crate) connections: Connections,
    pub(crate) common: Common,
    pub(crate) reassembler: Reassembler,
    /// Frames below this depth belong to an outer listener.
    floor: usize,
    /// The floors and events of the listeners that are waiting for nested
    /// drives, the outermost first.
    waiting: Vec<(usize, Current)>,
    /// Flows still to be ended at the end of the capture, oldest first.
    closing: Vec<u32>,
}

/// What is raised for datagrams of UDP, or for packets whatever they hold.
static OF_DATAGRAMS: LazyLock<u128> = LazyLock::new(|| {
    let meant = ["packet", "ipv4", "ipv6", "udp", "udp_connection"];
    let rows = EVENTS.iter().filter(|row| meant.contains(&row.dissector));
    rows.fold(0, |bits, row| bits | HookSet::mask(&[row.kind]))
});

/// A packet on its way out, or its refusal.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// Number of the captured packet; 0 for injected ones.
    pub id: u64,
    pub timestamp: Timestamp,
    pub link: LinkType,
    pub verdict: Verdict,
    /// The frame as it leaves; for a refusal, as it came.
    pub bytes: &'a [u8],
    /// Length on the wire, where the capture cut the frame.
    pub wire_len: u32,
    /// The listener that refused it: event and place in its list, from 1.
    pub listener: Option<(EventKind, u32)>,
    /// The firewall's mark, as the packet came with it; for a packet of our
    /// own, the mark of the one that it answers.
    pub mark: u32,
    /// The device of the link that its destination is on, where that is known.
    pub device: Option<u32>,
    /// The rest of its flow need not be shown to us any more.
    pub bypass: bool,
}

impl Engine {
    /// # Errors
    /// When the kernel refuses the address space of the arenas.
    pub fn new(settings: Settings) -> io::Result<Engine> {
        Ok(Engine {
            common: Common::new(&settings)?,
            core: Core::new(settings)?,
            connections: Connections::default(),
            reassembler: Reassembler::new(fragments::LIMITS),
            floor: 0,
            waiting: Vec::new(),
            closing: Vec::new(),
        })
    }

    /// Takes in one captured packet. `id` counts from 1; `wire_len` is its
    /// length before the capture cut it. Step until done before the next.
    ///
    /// False when there is no slot for it, which only a caller sees that
    /// does not take its outputs: the packet then is the caller's to pass.
    #[must_use]
    pub fn handle_packet(
        &mut self,
        now: Timestamp,
        id: u64,
        link: LinkType,
        bytes: &[u8],
        wire_len: u32,
    ) -> bool {
        self.handle_arrival(now, id, Arrival::new(link, bytes, wire_len))
    }

    /// As [`Engine::handle_packet`], for a packet of which its capture knows
    /// more.
    #[must_use]
    pub fn handle_arrival(&mut self, now: Timestamp, id: u64, arrival: Arrival<'_>) -> bool {
        self.advance_clock(now);
        self.core.stats.packets += 1;
        // Room is made before it is needed: a packet always gets its slot.
        if self.core.packets.is_crowded() {
            self.make_room();
        }
        let Some(slot) = self.core.packets.alloc() else {
            return false;
        };
        let link = arrival.link;
        let length = match arrival.payload {
            Payload::Lent(bytes) => self.core.fill(slot, bytes),
            Payload::Given(block) => self.core.fill_with(slot, block),
        };
        self.core.stats.bytes += u64::from(length);
        self.core.last_link = link;
        let read_only = self.core.settings.pass_through;
        let packet = self.core.packet_mut(slot);
        packet.state = state::NORMAL;
        packet.id = id;
        packet.timestamp = now.0;
        packet.link = link.0;
        packet.wire_len = arrival.wire_len.max(length);
        packet.mark = arrival.mark;
        packet.devices = arrival.devices;
        packet.flags = 0;
        for (bit, set) in [
            (flag::READ_ONLY, read_only),
            (flag::SNAPPED, packet.wire_len > packet.len),
            (flag::OFFLOADED, arrival.offloaded),
            (flag::TRUSTED, arrival.trusted),
        ] {
            packet.flags |= if set { bit } else { 0 };
        }
        self.core.stack.push(Frame::on_packet(Op::Receive, slot));
        let now = self.core.now;
        if self.core.flows.timer_due(now) | self.core.timers.due(now) | self.core.deadlines.due(now)
        {
            self.core.stack.push(Frame::on_packet(Op::Timers, u32::MAX));
        }
        true
    }

    /// Packet time has passed without a packet.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance_clock(now);
        self.core.stack.push(Frame::on_packet(Op::Timers, u32::MAX));
    }

    /// The capture has ended: everything still held gets its verdict, and
    /// connections end, the newest first.
    pub fn shutdown(&mut self) {
        self.core
            .stack
            .push(Frame::on_packet(Op::Shutdown, u32::MAX));
    }

    /// Whether anybody may judge datagrams, or all packets whatever they hold.
    pub fn judges_datagrams(&self) -> bool {
        let core = &self.core;
        core.hooks.hears_any(*OF_DATAGRAMS)
            || core.extended.hears_any(*OF_DATAGRAMS)
            || core.settings.inspect_tunnels
            || application::reads_some_datagrams(core)
    }

    /// Does work until an event is heard or all is done.
    #[inline]
    pub fn step(&mut self) -> Step {
        if self.core.current.loose != 0 {
            self.core.settle_loose();
        }
        loop {
            if self.core.stack.len() <= self.floor {
                if self.floor == 0
                    && let Some(slot) = self.core.injected.pop_front()
                {
                    self.core.stack.push(Frame::on_packet(Op::Receive, slot));
                    continue;
                }
                return Step::Done;
            }
            let Some(&frame) = self.core.stack.last() else {
                return Step::Done;
            };
            let event = match frame.op() {
                Op::Receive => self.receive(frame),
                Op::Send => self.send_step(frame),
                Op::SendAll => self.send_next(frame),
                Op::Tcp => tcp::receive(self.tcp(), frame),
                Op::Application => application::step(self.tcp(), frame),
                Op::TcpRelease => tcp::release(self.tcp(), frame),
                Op::TcpEnd => tcp::end(self.tcp(), frame),
                Op::TcpReset => tcp::reset(self.tcp(), frame),
                Op::Udp => udp::receive(&mut self.core, frame),
                Op::Datagram => self.common.datagram(&mut self.core, frame),
                Op::UdpEnd => {
                    self.common.flow_ending(&mut self.core, frame);
                    udp::end(&mut self.core, frame)
                }
                Op::Timers => self.timers(frame),
                Op::Shutdown => self.shutdown_step(frame),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    #[inline]
    fn tcp(&mut self) -> tcp::Tcp<'_> {
        tcp::Tcp {
            core: &mut self.core,
            connections: &mut self.connections,
            common: &mut self.common,
        }
    }

    /// The next packet that leaves or is refused. Its slot is freed by
    /// [`Engine::release_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.free_buried();
        let output = self.core.outputs.pop_front()?;
        if !matches!(output.verdict, Verdict::Drop(_)) {
            self.core.stats.sent_bytes += u64::from(self.core.packet(output.packet).len);
        }
        Some(output)
    }

    /// What an output stands for.
    pub fn departure(&self, output: &Output) -> Departure<'_> {
        let packet = self.core.packet(output.packet);
        Departure {
            id: packet.id,
            timestamp: Timestamp(packet.timestamp),
            link: LinkType(packet.link),
            verdict: output.verdict,
            bytes: self.core.bytes(output.packet),
            wire_len: packet.wire_len,
            listener: output.listener,
            mark: packet.mark,
            device: packet.devices.onward(),
            bypass: packet.flags & flag::BYPASSED != 0,
        }
    }

    /// Ends an output: its packet is gone.
    pub fn release_output(&mut self, output: &Output) {
        self.core.release_packet(output.packet);
    }

    /// The earliest time at which [`Engine::handle_timeout`] has work.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let script = self.core.timers.next_deadline();
        let flow = self.core.flows.next_deadline();
        let held = self.core.deadlines.next();
        flow.into_iter().chain(script).chain(held).min()
    }

    /// Puts the bytes of the event under way into their stream, unless they
    /// are there. False where there is no room.
    pub(crate) fn show_piece(&mut self) -> bool {
        self.core.current.loose == 0 || tcp::show_piece(self.tcp())
    }

    /// A nested drive begins: returns the floor to restore.
    pub(crate) fn enter(&mut self) -> usize {
        // Events to come tell of other bytes.
        self.show_piece();
        let floor = std::mem::replace(&mut self.floor, self.core.stack.len());
        self.waiting.push((floor, self.core.current));
        floor
    }

    pub(crate) fn leave(&mut self, floor: usize) {
        self.floor = floor;
        // Whoever gives up several at a time goes on where the first began.
        let first = self.waiting.iter().rposition(|waiting| waiting.0 <= floor);
        if let Some((_, event)) = first.and_then(|first| self.waiting.drain(first..).next()) {
            self.core.return_to(event);
        }
    }

    /// What a nested drive left unfinished is given up: its packets are
    /// refused with everything else that nobody sends.
    pub(crate) fn abandon_nested(&mut self) {
        self.core.stack.truncate(self.floor);
    }

    /// A forged packet gets its lengths and checksums before it re-enters.
    pub(crate) fn settle_forged(&mut self, slot: u32) {
        self.finish_transport(slot);
        self.finish_network(slot);
        self.absorb_edits(slot, 0);
    }

    /// A rule wrote into the IP header: what the record says of it follows.
    pub(crate) fn note_network_write(&mut self, slot: u32, offset: u32) {
        let packet = self.core.packet(slot);
        let protocol_at = if packet.ip_version == 6 { 6 } else { 9 };
        if offset == protocol_at {
            let at = (packet.ip_at + offset) as usize;
            if let Some(&protocol) = self.core.bytes(slot).get(at) {
                self.core.packet_mut(slot).protocol = protocol;
            }
        }
    }

    /// A listener failed: whatever it had started is abandoned, and the
    /// failure policy applies to the subject of the event. Returns whether
    /// the listeners after it are to judge it still.
    pub fn event_failed(
        &mut self,
        kind: EventKind,
        subject: u32,
        depth: usize,
        failure: ListenerFailed,
        stopped: bool,
    ) -> bool {
        self.core.stack.truncate(depth);
        self.floor = 0;
        self.waiting.clear();
        if failure == ListenerFailed::Error {
            self.core.stats.rule_errors += 1;
            self.core.stats.rules_stopped += u64::from(stopped);
            if self.core.settings.pass_on_error {
                self.go_on_unkept(kind, subject);
                return true;
            }
        }
        let reason = match (failure, stopped) {
            (ListenerFailed::Abort, _) => DropReason::NotSent,
            (_, true) => DropReason::RuleBudget,
            _ => DropReason::RuleError,
        };
        match kind.row().subject {
            Subject::Packet => self.core.drop_packet(subject, reason),
            Subject::Flow => self.flow_failed(subject, reason, failure),
            // What rules do for themselves holds no packet.
            Subject::Script => {}
        }
        false
    }

    /// A rule that failed keeps no packet of its event.
    fn go_on_unkept(&mut self, kind: EventKind, subject: u32) {
        if matches!(kind.row().subject, Subject::Packet) && self.core.packets.is_live(subject) {
            let packet = self.core.packet_mut(subject);
            if packet.flags & flag::KEPT != 0 {
                packet.flags &= !(flag::KEPT | flag::HELD);
            }
        }
    }

    fn flow_failed(&mut self, flow: u32, reason: DropReason, failure: ListenerFailed) {
        let Some(record) = self.core.flows.live(flow) else {
            return;
        };
        if record.protocol != crate::packet::decode::protocol::TCP {
            udp::failed(&mut self.core, flow, reason);
        } else {
            tcp::failed(self.tcp(), flow, reason, failure);
        }
    }

    fn advance_clock(&mut self, now: Timestamp) {
        if now > self.core.now {
            if self.core.now.0 == i64::MIN {
                self.core.timers.anchor(now);
                self.core.started = now;
            }
            self.core.now = now;
        }
    }

    fn timers(&mut self, _: Frame) -> Option<Step> {
        let now = self.core.now;
        self.expire_fragments(now);
        if let Some(waiting) = self.core.deadlines.next_due(now) {
            tcp::overdue(self.tcp(), waiting);
            return None;
        }
        let Some(flow) = self.core.flows.next_expired(now) else {
            return self.script_timers(now);
        };
        let protocol = self
            .core
            .flows
            .live(flow)
            .map_or(0, |record| record.protocol);
        match protocol {
            crate::packet::decode::protocol::TCP => tcp::expired(self.tcp(), flow),
            _ => udp::expired(&mut self.core, flow),
        }
        None
    }

    /// Wakes rules, one timer after the other, when all flows are done.
    fn script_timers(&mut self, now: Timestamp) -> Option<Step> {
        let Some(number) = self.core.timers.next_expired(now) else {
            self.core.stack.pop();
            return None;
        };
        self.core.current.packet = NO_SLOT;
        self.core.current.flow = NO_SLOT;
        Some(Step::Event(EventKind::Timer, number))
    }

    fn shutdown_step(&mut self, frame: Frame) -> Option<Step> {
        if frame.stage() == 0 {
            if let Some(frame) = self.core.stack.last_mut() {
                frame.goto(1);
            }
            self.abandon_fragments(DropReason::FragmentTimeout);
            self.closing = self.core.flows.newest_first();
            self.closing.reverse();
        }
        let Some(flow) = self.closing.pop() else {
            self.core.stack.pop();
            self.refuse_leftovers();
            return None;
        };
        match self.core.flows.live(flow).map(|record| record.protocol) {
            Some(crate::packet::decode::protocol::TCP) => tcp::closing_down(self.tcp(), flow),
            None => {}
            Some(_) => udp::closing_down(&mut self.core, flow),
        }
        None
    }

    /// Where both directions of a TCP connection stand.
    pub fn stream_states(&self, flow: u32) -> Option<[StreamState; 2]> {
        tcp::stream_states(&self.core, &self.connections, flow)
    }

    /// Takes the next log line or alert of the engine's own.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.core.notices.pop_front()
    }
}

/// Runs the engine until the work given to it is done, delivering every
/// event. `notices` gets the engine's own log lines and alerts in order.
pub fn run(engine: &Shared, hooks: &mut impl Hooks, notices: &mut impl FnMut(Notice)) {
    loop {
        let (step, depth, current) = {
            let mut engine = engine.borrow_mut();
            let step = engine.step();
            while let Some(notice) = engine.take_notice() {
                notices(notice);
            }
            (step, engine.core.stack.len(), engine.core.current)
        };
        let Step::Event(kind, subject) = step else {
            return;
        };
        let mut delivered = hooks.fire(kind, subject);
        while let Err((failure, stopped)) = delivered {
            let mut engine = engine.borrow_mut();
            let goes_on = engine.event_failed(kind, subject, depth, failure, stopped);
            if !goes_on {
                break;
            }
            // Events inside the one that failed have had their own.
            engine.core.return_to(current);
            drop(engine);
            delivered = hooks.resume(kind, subject);
        }
        let mut engine = engine.borrow_mut();
        engine.core.listener = None;
        // An operation that was refused its arguments was never left.
        engine.floor = 0;
        engine.waiting.clear();
    }
}

//! A segment at its connection: found or opened, announced, judged by the
//! state machine.

use super::connection::Connection;
use super::segment::{Announced, Segment};
use super::state::{self, Move, Side, Unexpected};
use super::{Tcp, cause, stream_states};
use crate::addr::Addr;
use crate::core::expected::{Expectation, FlowName};
use crate::core::{Core, Frame, Op, Step, flow_state};
use crate::event::{DropReason, EventKind, Level};
use crate::flow::Direction;
use crate::flow::key::FlowKey;
use crate::flow::record::{FlowRecord, flags};
use crate::flow::table::Opening;
use crate::packet::record::flag;
use crate::packet::{LinkType, build};
use crate::proto::{application, ip};

mod stage {
    pub const LOOK_UP: u8 = 0;
    pub const ANNOUNCED: u8 = 1;
    pub const KNOWN: u8 = 2;
    pub const SEEN: u8 = 3;
    pub const JUDGED: u8 = 4;
    pub const NO_CONNECTION: u8 = 5;
}

/// Takes the segment of the top frame one stage further.
pub fn receive(mut tcp: Tcp<'_>, frame: Frame) -> Option<Step> {
    if !tcp.core.alive(frame.packet()) && frame.stage() != stage::ANNOUNCED {
        tcp.core.stack.pop();
        return None;
    }
    let Some(segment) = Segment::read(tcp.core, frame.packet()) else {
        return tcp.forward(frame.packet());
    };
    match frame.stage() {
        stage::LOOK_UP => tcp.look_up(frame, &segment),
        stage::ANNOUNCED => tcp.announced(frame),
        stage::KNOWN => tcp.known(frame, &segment),
        stage::SEEN => tcp.judge(frame, &segment),
        stage::JUDGED => tcp.unexpected_decided(frame, &segment),
        _ => tcp.no_connection_decided(frame, &segment),
    }
}

/// The key of a packet whose transport header was located.
pub fn key(core: &Core, slot: u32) -> Option<FlowKey> {
    let packet = core.packet(slot);
    let bytes = core.bytes(slot);
    let (src, dst) = ip::addresses(packet, bytes)?;
    let ports = bytes
        .get(packet.transport_at as usize..)?
        .first_chunk::<4>()?;
    Some(FlowKey {
        src: *src.bytes(),
        dst: *dst.bytes(),
        src_port: u16::from_be_bytes([ports[0], ports[1]]),
        dst_port: u16::from_be_bytes([ports[2], ports[3]]),
        vlan: packet.vlan,
        tunnel: packet.tunnel,
        protocol: packet.protocol,
        family: packet.ip_version,
    })
}

/// `a:p -> b:p`, as logs name a connection.
pub fn ends(record: &FlowRecord) -> String {
    let [(client, client_port), (server, server_port)] = endpoints(record);
    format!("{client}:{client_port} -> {server}:{server_port}")
}

/// Client and server with their ports.
pub fn endpoints(record: &FlowRecord) -> [(Addr, u16); 2] {
    let addr = |bytes: &[u8; 16]| Addr::from_record(bytes, record.family);
    [
        (addr(&record.client), record.client_port),
        (addr(&record.server), record.server_port),
    ]
}

impl Tcp<'_> {
    /// Sends the packet of the top frame on, as it is or renumbered.
    pub(super) fn forward(&mut self, slot: u32) -> Option<Step> {
        if let Some(frame) = self.core.stack.last_mut() {
            *frame = Frame::on_packet(Op::Send, slot);
        }
        None
    }

    /// As [`Tcp::forward`], with what was pushed meanwhile sent before it.
    fn forward_below(&mut self, slot: u32) -> Option<Step> {
        let place = self
            .core
            .stack
            .iter()
            .rposition(|frame| frame.op() == Op::Tcp && frame.packet() == slot);
        match place.and_then(|place| self.core.stack.get_mut(place)) {
            Some(frame) => {
                *frame = Frame::on_packet(Op::Send, slot);
                None
            }
            None => self.forward(slot),
        }
    }

    fn refuse(&mut self, slot: u32, reason: DropReason) -> Option<Step> {
        self.core.stack.pop();
        self.core.drop_packet(slot, reason);
        None
    }

    fn look_up(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        let Some(key) = key(self.core, frame.packet()) else {
            return self.forward(frame.packet());
        };
        let opens = segment.syn() && !segment.ack_set() && !segment.rst();
        let Some((flow, direction)) = self.core.flows.find(&key) else {
            if opens {
                return self.open(frame, &key, Opening::HalfOpen, flow_state::SYN);
            }
            return self.unknown(frame, segment, &key);
        };
        let state = self.core.flows.live(flow).map_or(0, |record| record.state);
        if opens && self.begins_anew(flow, direction, state, segment) {
            // The old connection ends first; then this is looked up again.
            self.core
                .push(Frame::on_flow(Op::TcpEnd, flow, direction).with(cause::REOPENED));
            return None;
        }
        match state {
            flow_state::DROP => return self.refuse(frame.packet(), DropReason::FlowDropped),
            flow_state::RESET if self.core.settings.defaults.strict_handshake => {
                return self.refuse(frame.packet(), DropReason::FlowReset);
            }
            _ => {}
        }
        self.enter(flow, direction, stage::KNOWN);
        self.known(frame.of(flow).towards(direction), segment)
    }

    /// Whether a SYN opens a new connection on the key of an old one.
    fn begins_anew(
        &mut self,
        flow: u32,
        direction: Direction,
        state: u8,
        segment: &Segment,
    ) -> bool {
        match state {
            flow_state::DROP | flow_state::RESET | flow_state::TIMED_WAIT => true,
            _ if self.core.settings.defaults.strict_handshake => false,
            flow_state::SYN | flow_state::SYN_SENT => false,
            // Port reuse after a close that was not seen.
            _ => self
                .half(flow, direction)
                .is_some_and(|half| half.syn_seen && half.base != segment.seq.wrapping_add(1)),
        }
    }

    fn enter(&mut self, flow: u32, direction: Direction, stage: u8) {
        if let Some(frame) = self.core.stack.last_mut() {
            *frame = frame.of(flow).towards(direction).at(stage);
        }
    }

    fn unknown(&mut self, frame: Frame, segment: &Segment, key: &FlowKey) -> Option<Step> {
        if self.core.extended.hears(EventKind::TcpNoConnection) {
            self.goto(stage::NO_CONNECTION);
            self.core.current.packet = frame.packet();
            return Some(Step::Event(EventKind::TcpNoConnection, frame.packet()));
        }
        if self.core.settings.defaults.drop_unknown_connection && !self.core.is_new() {
            let ends = [
                (
                    Addr::from_record(&key.src, key.family),
                    Some(format!("tcp/{}", key.src_port)),
                ),
                (
                    Addr::from_record(&key.dst, key.family),
                    Some(format!("tcp/{}", key.dst_port)),
                ),
            ];
            // What the policy itself would log, were it asked.
            self.core.debug("core", || {
                "applying policy default action for no connection found for tcp packet".into()
            });
            self.core
                .alert("no connection found for tcp packet", true, Some(ends));
            return self.refuse(frame.packet(), DropReason::NoConnection);
        }
        self.pick_up(frame, segment, key)
    }

    fn no_connection_decided(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        if self.core.settings.defaults.drop_unknown_connection && !self.core.is_new() {
            return self.forward(frame.packet());
        }
        match key(self.core, frame.packet()) {
            Some(key) => self.pick_up(frame, segment, &key),
            None => self.forward(frame.packet()),
        }
    }

    /// Follows a connection whose beginning was not seen.
    fn pick_up(&mut self, frame: Frame, segment: &Segment, key: &FlowKey) -> Option<Step> {
        let from_server = segment.syn() && segment.ack_set();
        let oriented = if from_server { key.reversed() } else { *key };
        self.core.stats.midstream_flows += 1;
        let state = if from_server {
            flow_state::SYN_SENT
        } else {
            flow_state::ESTABLISHED
        };
        self.open(frame, &oriented, Opening::Established, state)
    }

    fn open(&mut self, frame: Frame, key: &FlowKey, opening: Opening, state: u8) -> Option<Step> {
        let (now, number) = (self.core.now, self.core.packet(frame.packet()).id);
        let flow = match self.core.flows.insert(key, opening, now, number, state) {
            Ok(flow) => flow,
            Err(_) => return self.no_room(frame, opening),
        };
        let packet = self.core.packet(frame.packet());
        let link = LinkType(packet.link);
        let tagged = packet.vlan != 0 && packet.tunnel == 0;
        let tags = tagged.then(|| build::vlan_tags(self.core.bytes(frame.packet()), link).into());
        // The table's key is the client's; a SYN/ACK picked up comes from the server.
        let direction = match self::key(self.core, frame.packet()) {
            Some(own) if own == *key => Direction::ToServer,
            _ => Direction::ToClient,
        };
        let devices = match direction {
            Direction::ToServer => packet.devices,
            Direction::ToClient => packet.devices.reversed(),
        };
        let side = self.connections.insert(Connection {
            tags,
            devices,
            ..Connection::default()
        });
        self.core.stats.flows += 1;
        if let Some(record) = self.core.flows.live_mut(flow) {
            record.side = side;
            if opening == Opening::Established {
                record.flags |= flags::MIDSTREAM;
            }
            let record = *record;
            self.core
                .debug("conn", || format!("opening connection {}", ends(&record)));
        }
        if !self.core.expected.is_empty() {
            self.note_expected(flow);
        }
        self.core
            .observe(|observer, core| observer.opened(core, flow));
        self.enter(flow, direction, stage::ANNOUNCED);
        self.event(EventKind::TcpNewConnection, flow, frame.packet(), direction)
    }

    /// Ties a new connection to the one that announced it.
    fn note_expected(&mut self, flow: u32) {
        let Core {
            flows,
            expected,
            now,
            ..
        } = &mut *self.core;
        let Some(record) = flows.live(flow) else {
            return;
        };
        let expectation = Expectation {
            to: Addr::from_record(&record.server, record.family),
            port: record.server_port,
            vlan: record.vlan,
            tunnel: record.tunnel,
        };
        let is_live = |(slot, generation): FlowName| {
            flows
                .live(slot)
                .is_some_and(|record| record.generation() == generation)
        };
        expected.opened(&expectation, (flow, record.generation()), *now, is_live);
    }

    fn no_room(&mut self, frame: Frame, opening: Opening) -> Option<Step> {
        if let Some(victim) = self.core.flows.victim(opening) {
            self.core.stats.flows_evicted += 1;
            match self.core.flows.live(victim).map(|record| record.protocol) {
                Some(6) => self.core.push(
                    Frame::on_flow(Op::TcpEnd, victim, Direction::ToServer).with(cause::EVICTED),
                ),
                _ => self.core.push(
                    Frame::on_flow(Op::UdpEnd, victim, Direction::ToServer).with(cause::EVICTED),
                ),
            };
            return None;
        }
        self.core.stats.flows_refused += 1;
        self.forward(frame.packet())
    }

    /// Listeners of `new_connection` have spoken.
    fn announced(&mut self, frame: Frame) -> Option<Step> {
        let state = self
            .core
            .flows
            .live(frame.flow())
            .map(|record| record.state);
        if !self.core.alive(frame.packet()) {
            self.core.stack.pop();
            if state.is_some_and(|state| state != flow_state::DROP) {
                self.core.push(
                    Frame::on_flow(Op::TcpEnd, frame.flow(), frame.direction())
                        .with(cause::DROPPED),
                );
            }
            return None;
        }
        if state.is_none_or(|state| state == flow_state::DROP) {
            return self.refuse(frame.packet(), DropReason::FlowDropped);
        }
        self.goto(stage::KNOWN);
        if !self.core.extended.hears(EventKind::TcpFlowNext) {
            self.choose_dissector(frame.flow());
            return None;
        }
        if let Some(connection) = self.connection(frame.flow()) {
            connection.dissector_chosen = true;
        }
        self.core.current.flow = frame.flow();
        self.core.current.packet = frame.packet();
        Some(Step::Event(EventKind::TcpFlowNext, frame.flow()))
    }

    /// What the policy `next_dissector` chooses with its built-in entries.
    fn choose_dissector(&mut self, flow: u32) {
        if !self.core.streams {
            return;
        }
        let port = self.core.flows.live(flow).map(|record| record.server_port);
        if let Some(reader) = port.and_then(|port| application::by_port(self.core, port)) {
            super::attach(self, flow, reader);
        }
    }

    /// A packet of a known connection: counted and announced.
    fn known(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        let packet = *self.core.packet(frame.packet());
        let now = self.core.now;
        let Some(record) = self.core.flows.live_mut(frame.flow()) else {
            return self.forward(frame.packet());
        };
        if record.state == flow_state::DROP {
            return self.refuse(frame.packet(), DropReason::FlowDropped);
        }
        record.count(
            frame.direction(),
            packet.end.saturating_sub(packet.ip_at),
            now,
        );
        let bypassed = record.has(flags::BYPASSED);
        self.core.observe(|observer, core| {
            observer.packet(core, frame.flow(), frame.direction(), frame.packet())
        });
        if bypassed
            || self.has_seen_enough(frame.flow()) && super::bypass(self.again(), frame.flow())
        {
            self.core.packet_mut(frame.packet()).flags |= flag::BYPASSED;
            return self.forward_below(frame.packet());
        }
        if self.core.observer.is_some()
            && let Some(states) = stream_states(self.core, self.connections, frame.flow())
        {
            self.core
                .observe(|observer, core| observer.streams(core, frame.flow(), states));
        }
        self.goto(stage::SEEN);
        if let Some(event) = self.event(
            EventKind::TcpReceivePacket,
            frame.flow(),
            frame.packet(),
            frame.direction(),
        ) {
            return Some(event);
        }
        self.judge(frame, segment)
    }

    fn judge(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        let record = self.core.flows.live(frame.flow());
        let Some(record) = record.filter(|record| record.state != flow_state::DROP) else {
            return self.refuse(frame.packet(), DropReason::FlowDropped);
        };
        if segment.rst() {
            return self.rst(frame, segment);
        }
        let (state, connection) = (record.state, self.connections.get(record.side));
        let swapped = connection.is_some_and(|connection| connection.swapped);
        let from_input = (frame.direction() == Direction::ToServer) != swapped;
        let side = if from_input {
            Side::Input
        } else {
            Side::Output
        };
        match state::next(state, side, segment) {
            Move::Stay => {}
            Move::To(next) => self.move_to(frame.flow(), next),
            Move::ServerCloses => {
                if let Some(connection) = self.connection(frame.flow()) {
                    connection.swapped = true;
                }
                self.move_to(frame.flow(), flow_state::FIN_WAIT_1);
            }
            // A SYN of either side was dealt with when it was looked up.
            Move::Reopen => {}
            Move::Unexpected(why) => return self.unexpected(frame, segment, why),
        }
        self.deliver(frame, segment)
    }

    fn move_to(&mut self, flow: u32, next: u8) {
        let now = self.core.now;
        if next == flow_state::TIMED_WAIT {
            // Both sides closed: that is announced once this packet is done.
            let below = self.core.stack.len().saturating_sub(1);
            self.core.stack.insert(
                below,
                Frame::on_flow(Op::TcpEnd, flow, Direction::ToServer).with(cause::CLOSED),
            );
        }
        if next == flow_state::ESTABLISHED || next == flow_state::SYN_RECEIVED {
            self.core.flows.establish(flow, now);
        }
        self.core.flows.set_state(flow, next, now);
    }

    fn unexpected(&mut self, frame: Frame, segment: &Segment, why: Unexpected) -> Option<Step> {
        self.core.stats.unexpected_segments += 1;
        self.core.current.detail = why as u32;
        if let Some(top) = self.core.stack.last_mut() {
            *top = top.with(why as u8);
        }
        if self.core.extended.hears(EventKind::TcpUnexpected) {
            self.goto(stage::JUDGED);
            self.core.current.flow = frame.flow();
            self.core.current.packet = frame.packet();
            return Some(Step::Event(EventKind::TcpUnexpected, frame.flow()));
        }
        if !self.core.settings.defaults.strict_handshake {
            return self.deliver(frame, segment);
        }
        let ends = self.core.flows.live(frame.flow()).map(|record| {
            let pair = endpoints(record).map(|(addr, port)| (addr, Some(format!("tcp/{port}"))));
            if frame.direction() == Direction::ToServer {
                pair
            } else {
                let [a, b] = pair;
                [b, a]
            }
        });
        self.core.debug("core", || {
            "applying policy default action for unexpected tcp packet".into()
        });
        self.core.alert(why.description(), false, ends);
        self.core
            .drop_packet(frame.packet(), DropReason::UnexpectedPacket);
        self.unexpected_decided(frame, segment)
    }

    /// The policy for unexpected segments has spoken.
    fn unexpected_decided(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        if self.core.settings.defaults.strict_handshake {
            // The machine fails: the connection is forgotten.
            self.core.stack.pop();
            if self.core.alive(frame.packet()) {
                self.core.push(Frame::on_packet(Op::Send, frame.packet()));
            }
            self.core.push(
                Frame::on_flow(Op::TcpEnd, frame.flow(), frame.direction()).with(cause::FAILED),
            );
            return None;
        }
        if !self.core.alive(frame.packet()) {
            self.core.stack.pop();
            return None;
        }
        self.deliver(frame, segment)
    }

    /// An RST: forwarded always, believed only with the sequence number that
    /// its receiver expects (RFC 5961, 3.2).
    fn rst(&mut self, frame: Frame, segment: &Segment) -> Option<Step> {
        let strict = self.core.settings.defaults.validate_rst;
        let refused_syn = self
            .core
            .flows
            .live(frame.flow())
            .is_some_and(|record| record.state == flow_state::SYN_SENT);
        let opposite = self
            .half(frame.flow(), frame.direction().opposite())
            .map_or((false, 0), |half| (half.started, half.base));
        let half = self.half(frame.flow(), frame.direction());
        let credible =
            half.is_none_or(|half| {
                !strict
                    || !half.started
                    || half.offset_of(segment.seq) == half.next as i64 + i64::from(half.finished)
                    || half.offset_of(segment.seq) == half.next as i64
            }) || (refused_syn && segment.ack_set() && opposite.0 && segment.ack == opposite.1);
        self.core.stack.pop();
        let strict = self.core.settings.defaults.strict_handshake;
        let bottom = self.core.stack.len();
        if credible && !strict {
            // What nobody has judged still reaches its receiver before the
            // RST, which would not be believed ahead of it.
            for direction in Direction::BOTH {
                self.abandon(frame.flow(), direction, None);
            }
        }
        self.core.observe(|observer, core| {
            observer.reset(core, frame.flow(), frame.direction(), credible)
        });
        self.renumber(frame.flow(), frame.direction(), frame.packet(), segment);
        self.core
            .stack
            .insert(bottom, Frame::on_packet(Op::Send, frame.packet()));
        if credible {
            let end =
                Frame::on_flow(Op::TcpEnd, frame.flow(), frame.direction()).with(cause::RST_SEEN);
            self.core.stack.insert(bottom, end);
        } else {
            self.core.stats.ignored_rst += 1;
        }
        None
    }

    /// A SYN sets the numbering of its direction.
    pub(super) fn begin_half(&mut self, frame: Frame, segment: &Segment) {
        let announced = Announced::read(self.core, frame.packet());
        let Some(connection) = self.connection(frame.flow()) else {
            return;
        };
        let newly_signed = announced.signed && !connection.signed;
        connection.signed |= announced.signed;
        let half = connection.half(frame.direction());
        let base = segment.seq.wrapping_add(1);
        if !half.started || (half.next == 0 && half.fin.is_none()) {
            half.base = base;
            half.started = true;
        }
        half.syn_seen = true;
        half.mss = announced.mss;
        half.sack_permitted = announced.sack_permitted;
        half.window_scale = announced.window_scale;
        if newly_signed && self.core.streams {
            self.core.log_line(Level::Warn, "tcp", || {
                "a connection signs its segments: rules cannot edit it".into()
            });
        }
    }
}

//! Listens to engine and rules, and keeps what is wanted of it.
//!
//! Each captured packet is a turn. What happens in a turn is noted if its
//! packet is one to be told of, or if such a packet still waits for its
//! verdict; at the turn's end it is given to those whom it concerns. Who
//! dropped a flow is remembered for as long as there is the flow, whatever
//! is to be told.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use super::layers::Layers;
use super::spans::{Open, Spans, event_name};
use super::story::{
    About, Account, By, Decision, FlowAccount, Injected, Line, Outcome, Read, Step, changes,
};
use crate::core::{Cap, Core, Observer, Span, StreamState, flow_state};
use crate::engine::Departure;
use crate::event::{DropReason, EventKind, Subject, Verdict};
use crate::flow::Direction;
use crate::flow::record::FlowRecord;
use crate::packet::record::flag;
use crate::packet::{LinkType, Malformed};
use crate::proto::tcp::{self, cause};
use crate::stream::assembler::Piece;

/// Steps that are told of one packet.
const MAX_STEPS: usize = 10_000;
/// Packets of a flow that are told of.
const MAX_PACKETS: usize = 10_000;

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One packet, by its number in the capture.
    Packet(u64),
    /// All packets of a flow, by the flow's number in the run.
    Flow(u64),
}

/// A packet of the capture as it comes.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    pub number: u64,
    pub timestamp: i64,
    pub link: LinkType,
    pub bytes: &'a [u8],
    pub wire_len: u32,
}

/// What is known so far.
pub struct Recorder {
    target: Target,
    /// Nanoseconds of some clock; without it no times are told.
    clock: Option<fn() -> u64>,
    /// The packet under way; 0 before the first and after the last.
    now: u64,
    current: Option<Account>,
    turn: Vec<Line>,
    left_out: usize,
    told: BTreeMap<u64, Account>,
    waiting: usize,
    packets_left_out: u64,
    flow_is_over: bool,
    spans: Spans,
    decisions: HashMap<u64, Decision>,
    flows: HashMap<u64, Decision>,
    /// Packets of the fragments behind a datagram, by the datagram's.
    datagrams: HashMap<u64, Vec<u64>>,
    malformed: Option<Malformed>,
    cap: Option<Cap>,
    failed: Option<By>,
}

/// The account of a whole run.
#[derive(Debug, Default)]
pub struct Told {
    pub accounts: Vec<Account>,
    /// Packets of the flow beyond the cap.
    pub left_out: u64,
}

impl Recorder {
    pub fn new(target: Target, clock: Option<fn() -> u64>) -> Recorder {
        Recorder {
            target,
            clock,
            now: 0,
            current: None,
            turn: Vec::new(),
            left_out: 0,
            told: BTreeMap::new(),
            waiting: 0,
            packets_left_out: 0,
            flow_is_over: false,
            spans: Spans::default(),
            decisions: HashMap::new(),
            flows: HashMap::new(),
            datagrams: HashMap::new(),
            malformed: None,
            cap: None,
            failed: None,
        }
    }

    /// A packet is about to enter the engine.
    pub fn arrives(&mut self, arrival: &Arrival<'_>) {
        self.begin_turn(arrival.number);
        let wanted = match self.target {
            Target::Packet(number) => number == arrival.number,
            Target::Flow(_) => !self.flow_is_over,
        };
        self.current = wanted.then(|| Account {
            packet: arrival.number,
            timestamp: arrival.timestamp,
            length: arrival.wire_len,
            captured: arrival.bytes.len(),
            decoding: Layers::of(arrival.link, arrival.bytes, arrival.wire_len as usize),
            bytes: arrival.bytes.to_vec(),
            ..Account::default()
        });
    }

    /// The capture is over: what still waits gets its verdict.
    pub fn capture_ends(&mut self) {
        self.begin_turn(0);
        self.current = None;
    }

    fn begin_turn(&mut self, number: u64) {
        self.now = number;
        self.turn.clear();
        self.left_out = 0;
        self.spans = Spans::default();
        self.malformed = None;
        self.cap = None;
        self.failed = None;
    }

    /// The engine is done with what arrived, and with what came of it.
    /// `streams` says where the connection of a slot stands.
    pub fn turn_ends(&mut self, streams: impl Fn(u32) -> Option<[StreamState; 2]>, core: &Core) {
        let turn = std::mem::take(&mut self.turn);
        if let Target::Packet(_) = self.target {
            for account in self.told.values_mut() {
                tell_waiting(account, &turn, self.now, &self.datagrams);
            }
        }
        if let Some(mut account) = self.current.take() {
            let waits = finish_flow(&mut account, streams, core);
            let wanted = match self.target {
                Target::Packet(_) => true,
                Target::Flow(id) => account.flow.as_ref().is_some_and(|flow| flow.id == id),
            };
            if wanted && self.told.len() >= MAX_PACKETS {
                self.packets_left_out += 1;
            } else if wanted {
                account.steps = turn;
                account.steps_left_out = self.left_out;
                account.steps.extend(waits);
                self.waiting += usize::from(account.outcome.is_none());
                self.told.insert(account.packet, account);
            }
        }
        if self.waiting == 0 {
            self.datagrams.clear();
        }
        self.turn = Vec::new();
    }

    /// A packet leaves, or its refusal.
    pub fn departs(&mut self, departure: &Departure<'_>) {
        if departure.verdict == Verdict::Inject {
            if let Some(account) = &mut self.current {
                account.injected.push(Injected {
                    length: departure.bytes.len(),
                    decoding: Layers::of(departure.link, departure.bytes, departure.bytes.len()),
                });
            }
            return;
        }
        let decision = self.decisions.remove(&departure.id);
        let (current, now) = (self.current.as_mut(), self.now);
        let account = match current.filter(|account| account.packet == departure.id) {
            Some(account) => account,
            None => match self.told.get_mut(&departure.id) {
                Some(account) => {
                    self.waiting = self.waiting.saturating_sub(1);
                    account
                }
                None => return,
            },
        };
        let (verdict, reason) = match departure.verdict {
            Verdict::Accept | Verdict::Inject => ("accept", None),
            Verdict::Rewrite => ("rewrite", None),
            Verdict::Drop(reason) => ("drop", Some(reason)),
        };
        if departure.verdict == Verdict::Rewrite {
            account.changes = changes(&account.bytes, departure.bytes);
        }
        account.outcome = Some(Outcome {
            verdict,
            reason: reason.map(DropReason::name),
            meaning: reason.map(DropReason::meaning),
            decision: decision.filter(|_| reason.is_some()),
            during: (departure.id != now).then_some(now),
        });
    }

    /// A log line, an alert or a printed text.
    pub fn said(&mut self, kind: &'static str, text: &str) {
        if kind == "alert" {
            self.spans.effect("raised an alert");
        }
        self.push(Step::Said {
            kind,
            text: text.trim_end().to_owned(),
        });
    }

    /// Whether all that was asked for is known.
    pub fn is_done(&self) -> bool {
        let over = match self.target {
            Target::Packet(number) => self.told.contains_key(&number),
            Target::Flow(_) => self.flow_is_over,
        };
        over && self.waiting == 0
    }

    /// Hands out what is known.
    pub fn take(&mut self) -> Told {
        Told {
            accounts: std::mem::take(&mut self.told).into_values().collect(),
            left_out: self.packets_left_out,
        }
    }

    fn is_telling(&self) -> bool {
        self.current.is_some() || self.waiting > 0
    }

    fn push(&mut self, step: Step) -> Option<usize> {
        self.push_about(self.spans.about(), step)
    }

    fn push_about(&mut self, about: About, step: Step) -> Option<usize> {
        if !self.is_telling() {
            return None;
        }
        if self.turn.len() >= MAX_STEPS {
            self.left_out += 1;
            return None;
        }
        self.turn.push(Line {
            depth: self.spans.len(),
            during: None,
            step,
            about,
        });
        Some(self.turn.len() - 1)
    }

    fn engine(&mut self, about: About, text: String) {
        self.push_about(about, Step::Engine { text });
    }

    fn time(&self) -> u64 {
        self.clock.map_or(0, |clock| clock())
    }

    /// Ends a span; `result` overrides what it did.
    fn close(&mut self, open: &Open, core: &Core, result: Option<String>) {
        let Some(line) = open.line else { return };
        let changed = result.is_none() && fingerprint(core, open.about.packet) != open.before;
        let nanoseconds = self.clock.map(|clock| clock().saturating_sub(open.started));
        let Some(Line {
            step:
                Step::Rule {
                    result: told,
                    nanoseconds: took,
                    ..
                },
            ..
        }) = self.turn.get_mut(line)
        else {
            return;
        };
        let mut words = open.effects.clone();
        if changed && !words.iter().any(|word| word.starts_with("dropped")) {
            words.insert(0, "changed the packet".to_owned());
        }
        words.extend(result);
        *told = if words.is_empty() {
            "nothing".to_owned()
        } else {
            words.join(", ")
        };
        *took = nanoseconds;
    }

    fn decide(&mut self, core: &Core, slot: u32, reason: DropReason) -> By {
        let engine = || By::Engine {
            cause: reason.name().to_owned(),
        };
        match reason {
            DropReason::FlowDropped | DropReason::FlowReset => {
                let flow = flow_id_of(core, slot);
                let of_flow = flow.and_then(|flow| self.flows.get(&flow));
                let by = of_flow.map(|decision| decision.by.clone());
                by.or_else(|| self.spans.deciding(None))
                    .unwrap_or_else(engine)
            }
            DropReason::RuleError | DropReason::RuleBudget => {
                self.failed.clone().unwrap_or_else(engine)
            }
            DropReason::NotSent => {
                let by = self.failed.clone();
                by.or_else(|| self.spans.deciding(None))
                    .unwrap_or_else(engine)
            }
            DropReason::Malformed => {
                self.malformed
                    .map_or_else(engine, |malformed| By::Malformed {
                        layer: format!("{:?}", malformed.layer).to_lowercase(),
                        offset: malformed.offset,
                        fault: fault_name(malformed),
                    })
            }
            _ => {
                let rule = self
                    .spans
                    .deciding(None)
                    .filter(|_| reason == DropReason::Rule);
                let cap = self.cap.map(|cap| By::Cap {
                    setting: cap.name,
                    limit: cap.limit,
                });
                rule.or(cap).unwrap_or_else(engine)
            }
        }
    }

    fn meet(&mut self, core: &Core, flow: u32, to_server: Option<bool>) {
        let (Some(account), Some(record)) = (&mut self.current, core.flows.live(flow)) else {
            return;
        };
        let opened = record.first_frame == account.packet;
        let known = account.flow.get_or_insert_with(|| FlowAccount {
            id: record.id,
            protocol: protocol_name(record.protocol),
            to_server: true,
            opened,
            state_before: if opened { "new" } else { state_name(record) },
            slot: flow,
            ..FlowAccount::default()
        });
        let [(client, client_port), (server, server_port)] = tcp::endpoints(record);
        known.client = end_text(record, &client.to_string(), client_port);
        known.server = end_text(record, &server.to_string(), server_port);
        if let Some(to_server) = to_server {
            known.to_server = to_server;
        }
    }

    fn about_packet(&self, core: &Core, slot: u32) -> About {
        About {
            packet: core.packet(slot).id,
            flow: 0,
        }
    }

    fn about_flow(&self, core: &Core, flow: u32) -> About {
        About {
            packet: 0,
            flow: core.flows.live(flow).map_or(0, |record| record.id),
        }
    }
}

/// The recorder as the engine's observer.
pub struct Listening(pub Rc<RefCell<Recorder>>);

impl Observer for Listening {
    fn opened(&mut self, core: &Core, flow: u32) {
        let mut recorder = self.0.borrow_mut();
        recorder.meet(core, flow, None);
        let about = recorder.about_flow(core, flow);
        recorder.engine(about, format!("flow {} begins", about.flow));
    }

    fn packet(&mut self, core: &Core, flow: u32, direction: Direction, _: u32) {
        let to_server = direction == Direction::ToServer;
        self.0.borrow_mut().meet(core, flow, Some(to_server));
    }

    fn bytes(&mut self, core: &Core, flow: u32, _: Direction, bytes: &[u8], _: usize) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        recorder.engine(about, format!("{} bytes are in order", bytes.len()));
    }

    fn conflict(&mut self, core: &Core, flow: u32, _: Direction) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        let text = "bytes came again that differ: the first ones are kept".to_owned();
        recorder.engine(about, text);
    }

    fn gap(&mut self, core: &Core, flow: u32, _: Direction, beyond: &[Piece]) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        let text = format!(
            "the stream ends with a hole before {} segments",
            beyond.len()
        );
        recorder.engine(about, text);
    }

    fn reset(&mut self, core: &Core, flow: u32, _: Direction, credible: bool) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        let text = if credible {
            "an RST ends the connection"
        } else {
            "an RST without the expected number has no effect"
        };
        recorder.engine(about, text.to_owned());
    }

    fn closed(&mut self, core: &Core, flow: u32, _: u8) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        recorder.flows.remove(&about.flow);
        recorder.flow_is_over |= recorder.target == Target::Flow(about.flow);
        recorder.engine(about, format!("flow {} is forgotten", about.flow));
    }

    fn streams(&mut self, _: &Core, _: u32, states: [StreamState; 2]) {
        let mut recorder = self.0.borrow_mut();
        let account = recorder.current.as_mut();
        if let Some(flow) = account.and_then(|account| account.flow.as_mut()) {
            flow.before = Some(states.map(Into::into));
        }
    }

    fn malformed(&mut self, core: &Core, packet: u32, malformed: Malformed) {
        let mut recorder = self.0.borrow_mut();
        recorder.malformed = Some(malformed);
        let about = recorder.about_packet(core, packet);
        recorder.engine(about, format!("malformed: {malformed}"));
    }

    fn capped(&mut self, core: &Core, flow: Option<u32>, cap: Cap) {
        let mut recorder = self.0.borrow_mut();
        recorder.cap = Some(cap);
        let about = flow.map_or(About::default(), |flow| recorder.about_flow(core, flow));
        let text = format!("cap {} = {} is reached", cap.name, cap.limit);
        recorder.engine(about, text);
    }

    fn refused(&mut self, core: &Core, packet: u32, reason: DropReason) {
        let mut recorder = self.0.borrow_mut();
        if let Some((flow, direction)) = flow_of(core, packet) {
            let to_server = direction == Direction::ToServer;
            recorder.meet(core, flow, Some(to_server));
        }
        let id = core.packet(packet).id;
        let held = core.packet(packet).flags & flag::HELD != 0 && reason == DropReason::Rule;
        recorder.spans.effect("dropped the packet");
        let known = recorder.decisions.contains_key(&id);
        let by = recorder.decide(core, packet, reason);
        let decided = match reason {
            DropReason::FlowDropped | DropReason::FlowReset => flow_id_of(core, packet)
                .and_then(|flow| recorder.flows.get(&flow))
                .map_or(recorder.now, |decision| decision.packet),
            _ => recorder.now,
        };
        if !known && id != 0 {
            let decision = Decision {
                by,
                packet: decided,
            };
            recorder.decisions.insert(id, decision);
        }
        let text = match held {
            true => "the packet is refused, and ends when its bytes are let go".to_owned(),
            false => format!("the packet is refused: {reason}"),
        };
        recorder.engine(
            About {
                packet: id,
                flow: 0,
            },
            text,
        );
    }

    fn ending(&mut self, core: &Core, flow: u32, cause: u8) {
        let mut recorder = self.0.borrow_mut();
        let about = recorder.about_flow(core, flow);
        let (effect, text) = match cause {
            cause::DROPPED => (Some("dropped the flow"), "is dropped"),
            cause::RESET_BY_RULE => (Some("reset the connection"), "is reset by a rule"),
            cause::RST_SEEN => (None, "is ended by an RST"),
            cause::REOPENED => (None, "gives way to a new connection of the same ends"),
            cause::EXPIRED => (None, "has been idle for too long"),
            cause::EVICTED => (None, "gives way to another: the flow table is full"),
            cause::CLOSED => (None, "was closed by both ends"),
            cause::SHUTDOWN => (None, "ends with the capture"),
            _ => (None, "failed"),
        };
        if let Some(effect) = effect {
            recorder.spans.effect(effect);
        }
        if effect.is_some() || cause == cause::FAILED {
            let cap = recorder.cap.map(|cap| By::Cap {
                setting: cap.name,
                limit: cap.limit,
            });
            let by = recorder
                .spans
                .deciding(None)
                .or_else(|| recorder.failed.clone())
                .or(cap)
                .unwrap_or_else(|| By::Engine {
                    cause: text.to_owned(),
                });
            let packet = recorder.now;
            recorder.flows.insert(about.flow, Decision { by, packet });
        }
        recorder.engine(about, format!("flow {} {text}", about.flow));
    }

    fn assembled(&mut self, core: &Core, whole: u32, fragments: &[u32]) {
        let mut recorder = self.0.borrow_mut();
        let mut ids: Vec<u64> = fragments.iter().map(|&slot| core.packet(slot).id).collect();
        ids.sort_unstable();
        ids.dedup();
        let names: Vec<String> = ids.iter().map(u64::to_string).collect();
        let text = format!("packets {} are one datagram", names.join(", "));
        let about = recorder.about_packet(core, whole);
        if recorder.is_telling() {
            recorder.datagrams.insert(about.packet, ids);
        }
        recorder.engine(about, text);
    }

    fn begin(&mut self, core: &Core, span: &Span, subject: u32) -> u32 {
        let mut recorder = self.0.borrow_mut();
        let about = match span {
            Span::Event(kind) => event_about(core, *kind, subject),
            _ => recorder.spans.about(),
        };
        let rule = |name: &Option<String>, location: &String, member| Step::Rule {
            name: name.clone(),
            location: location.clone(),
            member,
            result: String::new(),
            nanoseconds: None,
            reads: Vec::new(),
        };
        let step = match span {
            Span::Rule { name, location, .. } => rule(name, location, false),
            Span::Member { location } => rule(&None, location, true),
            Span::Policy {
                policy,
                entry,
                location,
            } => Step::Policy {
                policy: policy.clone(),
                entry: entry.clone(),
                location: location.clone(),
            },
            event => Step::Event {
                event: event_name(event).unwrap_or_default(),
            },
        };
        let line = recorder.push_about(about, step);
        let before = line.map_or(0, |_| fingerprint(core, about.packet));
        let open = Open {
            span: span.clone(),
            about,
            line,
            started: recorder.time(),
            before,
            effects: Vec::new(),
        };
        recorder.spans.push(open)
    }

    fn done(&mut self, core: &Core, token: u32, result: Option<&str>) {
        let mut recorder = self.0.borrow_mut();
        while let Some(open) = recorder.spans.pop_above(token) {
            recorder.close(&open, core, Some("raised an error".to_owned()));
        }
        if let Some(open) = recorder.spans.pop_above(token.saturating_sub(1)) {
            recorder.close(&open, core, None);
            let line = open.line.and_then(|line| recorder.turn.get_mut(line));
            if let (
                Some(returned),
                Some(Line {
                    step: Step::Rule { result, .. },
                    ..
                }),
            ) = (result, line)
            {
                result.push_str(&format!(", returned {returned}"));
            }
        }
    }

    fn read(&mut self, _: &Core, object: &str, field: &str, value: &str) {
        let mut recorder = self.0.borrow_mut();
        let line = recorder.spans.innermost_rule_line();
        if let Some(Line {
            step: Step::Rule { reads, .. },
            ..
        }) = line.and_then(|line| recorder.turn.get_mut(line))
        {
            let read = Read {
                field: format!("{object}.{field}"),
                value: value.to_owned(),
            };
            // A field that the object inherits is told by both.
            let again = reads.last().is_some_and(|last| {
                last.value == read.value && last.field.ends_with(&format!(".{field}"))
            });
            if !again && !reads.contains(&read) {
                reads.push(read);
            }
        }
    }

    fn failed(&mut self, core: &Core, message: Option<&str>) {
        let mut recorder = self.0.borrow_mut();
        recorder.failed = recorder.spans.deciding(message);
        let mut told = Some(match message {
            Some(message) => format!("failed: {message}"),
            None => "aborted".to_owned(),
        });
        while let Some(open) = recorder.spans.pop_above(0) {
            let own = match open.span {
                Span::Rule { .. } | Span::Member { .. } => told.take(),
                _ => None,
            };
            let result = own.unwrap_or_else(|| "ended by the error".to_owned());
            recorder.close(&open, core, Some(result));
        }
    }
}

/// Notes where the flow stands after the packet. Answers why the packet
/// waits, if it does.
fn finish_flow(
    account: &mut Account,
    streams: impl Fn(u32) -> Option<[StreamState; 2]>,
    core: &Core,
) -> Option<Line> {
    let mut text = "held: it waits for the rest of its datagram".to_owned();
    if let Some(flow) = &mut account.flow {
        let live = core
            .flows
            .live(flow.slot)
            .filter(|record| record.id == flow.id);
        flow.state_after = live.map_or("gone", state_name);
        if live.is_some() {
            flow.after = streams(flow.slot).map(|states| states.map(Into::into));
        }
        let after = flow.after.unwrap_or_default();
        let own = after[usize::from(!flow.to_server)];
        text = if own.queued_segments > 0 && own.held_segments == 0 {
            format!(
                "held: bytes before it are missing, from stream offset {} on",
                own.next
            )
        } else {
            format!(
                "held: readers have not let go of {} bytes yet",
                own.held_bytes
            )
        };
    }
    account.outcome.is_none().then_some(Line {
        depth: 0,
        during: None,
        step: Step::Engine { text },
        about: About {
            packet: account.packet,
            flow: 0,
        },
    })
}

/// Gives a packet that waits what concerns it of another packet's turn.
fn tell_waiting(
    account: &mut Account,
    turn: &[Line],
    now: u64,
    datagrams: &HashMap<u64, Vec<u64>>,
) {
    if account
        .outcome
        .as_ref()
        .is_some_and(|outcome| outcome.during != Some(now))
    {
        return;
    }
    let flow = account.flow.as_ref().map_or(u64::MAX, |flow| flow.id);
    for line in turn {
        let fragments = datagrams.get(&line.about.packet);
        let own = line.about.packet == account.packet
            || line.about.flow == flow
            || fragments.is_some_and(|ids| ids.contains(&account.packet));
        if !own {
            continue;
        }
        if account.steps.len() >= MAX_STEPS {
            account.steps_left_out += 1;
            continue;
        }
        account.steps.push(Line {
            during: Some(now),
            ..line.clone()
        });
    }
}

/// Data and ends concern all packets of a flow; the rest one packet.
fn event_about(core: &Core, kind: EventKind, subject: u32) -> About {
    let packet = match kind.row().subject {
        Subject::Packet => subject,
        Subject::Flow => core.current.packet,
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
fn fingerprint(core: &Core, packet: u64) -> u64 {
    use crate::buf::{BufId, Key};
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

fn flow_of(core: &Core, slot: u32) -> Option<(u32, Direction)> {
    core.flows.find(&tcp::key(core, slot)?)
}

fn flow_id_of(core: &Core, slot: u32) -> Option<u64> {
    let (flow, _) = flow_of(core, slot)?;
    core.flows.live(flow).map(|record| record.id)
}

fn state_name(record: &FlowRecord) -> &'static str {
    match flow_state::NAMES.get(usize::from(record.state)) {
        Some(&"") | None => "untracked",
        Some(name) => name,
    }
}

fn protocol_name(number: u8) -> &'static str {
    use crate::packet::decode::protocol;
    match number {
        protocol::TCP => "tcp",
        protocol::UDP => "udp",
        protocol::ICMP => "icmp",
        protocol::ICMPV6 => "icmpv6",
        _ => "ip",
    }
}

fn end_text(record: &FlowRecord, address: &str, port: u16) -> String {
    match (matches!(record.protocol, 6 | 17), record.family) {
        (false, _) => address.to_owned(),
        (true, 6) => format!("[{address}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}

fn fault_name(malformed: Malformed) -> String {
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

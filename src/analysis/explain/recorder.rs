//! Keeps what is wanted of what engine and rules do.
//!
//! Each captured packet is a turn. What happens in a turn is noted if its
//! packet is one to be told of, or if such a packet still waits for its
//! verdict; at the turn's end it is given to those whom it concerns. Who
//! dropped a flow is remembered for as long as there is the flow, whatever
//! is to be told.

use std::collections::{BTreeMap, HashMap};

use super::facts::{end_text, fault_name, fingerprint, flow_id_of, protocol_name, state_name};
use super::layers::Layers;
use super::spans::{Open, Spans};
use super::story::{
    About, Account, By, Decision, FlowAccount, Injected, Line, Outcome, Step, changes,
};
use crate::core::{Cap, Core, StreamState};
use crate::engine::Departure;
use crate::event::{DropReason, Verdict};
use crate::packet::record::flag;
use crate::packet::{LinkType, Malformed};
use crate::proto::tcp;

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
    pub(super) target: Target,
    /// Nanoseconds of some clock; without it no times are told.
    pub(super) clock: Option<fn() -> u64>,
    /// The packet under way; 0 before the first and after the last.
    pub(super) now: u64,
    pub(super) current: Option<Account>,
    pub(super) turn: Vec<Line>,
    pub(super) left_out: usize,
    pub(super) told: BTreeMap<u64, Account>,
    pub(super) waiting: usize,
    pub(super) packets_left_out: u64,
    pub(super) flow_is_over: bool,
    pub(super) spans: Spans,
    pub(super) decisions: HashMap<u64, Decision>,
    pub(super) flows: HashMap<u64, Decision>,
    /// Packets of the fragments behind a datagram, by the datagram's.
    pub(super) datagrams: HashMap<u64, Vec<u64>>,
    pub(super) malformed: Option<Malformed>,
    pub(super) cap: Option<Cap>,
    pub(super) failed: Option<By>,
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
            Verdict::Rewrite | Verdict::Replace => ("rewrite", None),
            Verdict::Drop(reason) => ("drop", Some(reason)),
        };
        if matches!(departure.verdict, Verdict::Rewrite | Verdict::Replace) {
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

    pub(super) fn is_telling(&self) -> bool {
        self.current.is_some() || self.waiting > 0
    }

    fn push(&mut self, step: Step) -> Option<usize> {
        self.push_about(self.spans.about(), step)
    }

    pub(super) fn push_about(&mut self, about: About, step: Step) -> Option<usize> {
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

    pub(super) fn engine(&mut self, about: About, text: String) {
        self.push_about(about, Step::Engine { text });
    }

    pub(super) fn time(&self) -> u64 {
        self.clock.map_or(0, |clock| clock())
    }

    /// Ends a span; `result` overrides what it did.
    pub(super) fn close(&mut self, open: &Open, core: &Core, result: Option<String>) {
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

    pub(super) fn decide(&mut self, core: &Core, slot: u32, reason: DropReason) -> By {
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

    pub(super) fn meet(&mut self, core: &Core, flow: u32, to_server: Option<bool>) {
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

    pub(super) fn about_packet(&self, core: &Core, slot: u32) -> About {
        About {
            packet: core.packet(slot).id,
            flow: 0,
        }
    }

    pub(super) fn about_flow(&self, core: &Core, flow: u32) -> About {
        About {
            packet: 0,
            flow: core.flows.live(flow).map_or(0, |record| record.id),
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
    if account.outcome.is_some() {
        return None;
    }
    if is_kept(core, account.packet) {
        text = "held: a rule keeps it, to send it later".to_owned();
    }
    Some(Line {
        depth: 0,
        during: None,
        step: Step::Engine { text },
        about: About {
            packet: account.packet,
            flow: 0,
        },
    })
}

/// Whether a rule has taken the packet of that number for itself.
fn is_kept(core: &Core, id: u64) -> bool {
    let slots = core.packets.slots().into_iter();
    let mut packets = slots.map(|slot| core.packet(slot));
    packets.any(|packet| packet.id == id && packet.flags & flag::KEPT != 0)
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

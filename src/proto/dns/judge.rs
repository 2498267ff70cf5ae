//! Messages on their way, whatever carries them: what each is, its event,
//! and what rules made of it.
//!
//! A query waits for its response by flow and id ([`Correlator`]), with the
//! object that rules saw; its bytes are kept as they left. Where the profile
//! goes by direction, what the opener sends are queries; otherwise, and for
//! the multicast kinds always, the message says itself what it is.

use std::io;

use super::correlator::{Correlator, Limits};
use super::fault::Fault;
use super::store::{Messages, NoMessage, standing};
use super::wire::Header;
use super::{LINK_LOCAL_PORT, MULTICAST_PORT, datagram, edit};
use crate::core::{Core, Frame, Step, flow_state};
use crate::event::{EventKind, Settings};
use crate::flow::Direction;
use crate::flow::arena::NO_SLOT;
use crate::proto::common::Datagrams;

/// Messages in hand besides the queries that wait.
const IN_HAND: u32 = 1024;

/// The DNS of one worker.
pub struct Dns {
    pub messages: Messages,
    /// Queries that wait, by the number of their flow.
    pending: Correlator<u64, u32>,
    /// The text that Lua asked for last.
    pub text: Vec<u8>,
}

/// Where a message was found.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub flow: u32,
    pub direction: Direction,
    /// The packet that brought its end.
    pub packet: u32,
    pub over_tcp: bool,
    pub writable: bool,
}

/// Why a message is not shown to rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Malformed(Fault),
    /// A response that nobody waits for.
    Mismatch,
    /// Too many messages are in hand.
    Full,
}

/// What rules made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Unchanged,
    /// The bytes of the message have changed.
    Changed,
    Dropped,
    /// The message in that slot goes back in its place; the caller lets it
    /// go.
    Answered(u32),
}

impl Datagrams for Dns {
    fn new(settings: &Settings) -> io::Result<Dns> {
        Ok(Dns {
            messages: Messages::new(settings.max_dns_queries.saturating_add(IN_HAND))?,
            pending: Correlator::new(Limits {
                max_pending: settings.max_dns_queries as usize,
                ..Limits::default()
            }),
            text: Vec::new(),
        })
    }

    fn step(&mut self, core: &mut Core, frame: Frame) -> Option<Step> {
        datagram::step(core, self, frame)
    }
}

impl Dns {
    /// Sees to it that there is a slot for the next message.
    pub fn make_room(&mut self, core: &mut Core) {
        self.expire(core);
        if self.messages.is_crowded() {
            self.messages.close_orphans(|flow, generation| {
                core.flows.live(flow).is_some_and(|record| {
                    record.generation() == generation && record.state != flow_state::DROP
                })
            });
        }
    }

    /// A message was opened. Gives its slot and its event, which may be
    /// unheard.
    ///
    /// # Errors
    /// When rules do not get to see it.
    pub fn arrived(
        &mut self,
        core: &mut Core,
        arrival: Arrival,
        opened: Result<u32, NoMessage>,
    ) -> Result<(u32, EventKind), Refusal> {
        let slot = opened.map_err(|error| match error {
            NoMessage::Unreadable(fault) => Refusal::Malformed(fault),
            NoMessage::Full => Refusal::Full,
        })?;
        let generation = core.flows.live(arrival.flow).map(|flow| flow.generation());
        if let Some(body) = self.messages.body_mut(slot) {
            body.flow = (arrival.flow, generation.unwrap_or(0));
        }
        if let Some(record) = self.messages.record_mut(slot) {
            record.packet = arrival.packet;
            record.over_tcp = u8::from(arrival.over_tcp);
        }
        match self.sort(core, arrival, slot) {
            Ok(kind) => Ok((slot, kind)),
            Err(refusal) => {
                self.messages.close(slot);
                Err(refusal)
            }
        }
    }

    /// Query or response, and of which query.
    fn sort(&mut self, core: &mut Core, arrival: Arrival, slot: u32) -> Result<EventKind, Refusal> {
        let header = Header::read(self.messages.bytes(slot)).map_err(Refusal::Malformed)?;
        let Some(flow) = core.flows.live(arrival.flow) else {
            return Ok(EventKind::DnsQuery);
        };
        let by_direction = core.settings.defaults.strict_dns
            && ![MULTICAST_PORT, LINK_LOCAL_PORT].contains(&flow.server_port);
        let number = flow.id;
        let is_query = match by_direction {
            true => arrival.direction == Direction::ToServer,
            false => !header.is_response(),
        };
        if by_direction && is_query == header.is_response() {
            core.stats.dns_anomalies += 1;
            core.alert("dns: message against its direction", true, None);
        }
        if is_query {
            return Ok(EventKind::DnsQuery);
        }
        let query = self.pending.response(number, header.id, core.now);
        let query = query.map(|(query, _)| query);
        if query.is_none() && by_direction {
            return Err(Refusal::Mismatch);
        }
        if let Some(body) = self.messages.body_mut(slot) {
            body.query = query;
        }
        Ok(EventKind::DnsResponse)
    }

    /// Raises the event of a message, if somebody hears it.
    pub fn event(
        &self,
        core: &mut Core,
        arrival: Arrival,
        slot: u32,
        kind: EventKind,
    ) -> Option<Step> {
        if !core.hooks.hears(kind) {
            return None;
        }
        let current = &mut core.current;
        current.flow = arrival.flow;
        current.packet = arrival.packet;
        current.direction = arrival.direction as u32;
        current.detail = slot;
        current.fresh = self
            .messages
            .body(slot)
            .and_then(|body| body.query)
            .unwrap_or(NO_SLOT);
        Some(Step::Event(kind, arrival.flow))
    }

    /// Listeners are done with a message: a query that goes on waits from
    /// now on, everything else is let go by [`Dns::finish`].
    pub fn judged(&mut self, slot: u32) -> Outcome {
        let Some(body) = self.messages.body(slot) else {
            return Outcome::Dropped;
        };
        match (body.reply, body.dropped, body.changed) {
            (Some(reply), ..) => Outcome::Answered(reply),
            (None, true, _) => Outcome::Dropped,
            (None, false, true) => Outcome::Changed,
            _ => Outcome::Unchanged,
        }
    }

    /// The message has left: a query waits, a response is let go with its
    /// query.
    pub fn sent(&mut self, core: &mut Core, flow: u32, slot: u32, kind: EventKind) {
        let number = core.flows.live(flow).map(|record| record.id);
        let (EventKind::DnsQuery, Some(number)) = (kind, number) else {
            return self.finish(slot);
        };
        if let Some(record) = self.messages.record_mut(slot) {
            record.state = standing::SENT;
            record.writable = 0;
        }
        // As rules left it: that is what the server answers.
        let id = Header::read(self.messages.bytes(slot)).map_or(0, |header| header.id);
        if let Some((_, gone, _)) = self.pending.query(number, id, slot, core.now) {
            self.messages.close(gone);
        }
    }

    /// The message ends here.
    pub fn finish(&mut self, slot: u32) {
        let (query, reply) = match self.messages.body_mut(slot) {
            Some(body) => (body.query.take(), body.reply.take()),
            None => (None, None),
        };
        for slot in [query, reply, Some(slot)].into_iter().flatten() {
            self.messages.close(slot);
        }
    }

    /// A rule answers a query itself: an empty response, which it may fill.
    pub fn reply(&mut self, slot: u32) -> Option<u32> {
        let body = self.messages.body(slot)?;
        if let Some(reply) = body.reply {
            return Some(reply);
        }
        let bytes = edit::response_to(body.bytes(), body.items());
        let reply = self.messages.open(&bytes, true).ok()?;
        let over_tcp = self.messages.record(slot)?.over_tcp;
        self.messages.record_mut(reply)?.over_tcp = over_tcp;
        self.messages.body_mut(slot)?.reply = Some(reply);
        Some(reply)
    }

    /// Gives up queries that waited too long.
    fn expire(&mut self, core: &mut Core) {
        while let Some((_, slot)) = self.pending.next_timed_out(core.now) {
            core.stats.dns_unanswered += 1;
            self.messages.close(slot);
        }
    }

    /// Queries that wait for their response.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }
}

/// Tells of a message that rules do not get to see.
pub fn report(core: &mut Core, refusal: Refusal) {
    core.stats.dns_anomalies += 1;
    match refusal {
        Refusal::Malformed(fault) => {
            core.alert(format!("dns: malformed message, {fault}"), true, None);
        }
        Refusal::Mismatch => core.alert("dns: mismatching response", true, None),
        Refusal::Full => core.tell_cap(None, "dns messages", u64::from(IN_HAND)),
    }
}

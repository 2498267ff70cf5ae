//! DNS in the streams of a TCP connection: each message with its length
//! before it (RFC 1035, 4.2.2), held until it is whole and judged.
//!
//! A dropped message is taken out of the stream, and the length of a changed
//! one follows. A query that a rule answers itself still needs a response at
//! that place of the other stream: the server is asked for the root's name
//! servers under the same id, and what it says is replaced by the answer.

use std::collections::BTreeMap;

use super::fault::FaultKind;
use super::judge::{Arrival, Outcome, Refusal, report};
use super::kinds::RecordType;
use super::wire::{HEADER, bit, u16_at};
use crate::buf::BufError;
use crate::core::Core;
use crate::event::EventKind;
use crate::flow::Direction;
use crate::proto::application::{Application, Lost, START, Seat, Turn};

const JUDGED: u8 = START + 1;
/// Bytes of the length before a message.
const PREFIX: u64 = 2;
/// Answers of rules that wait for their place; more are not given.
const MAX_ANSWERS: usize = 64;

/// What a connection's DNS is read with.
#[derive(Debug, Default)]
pub struct Reader {
    /// The message under judgement of each direction.
    judged: [Option<UnderJudgement>; 2],
    /// Answers of rules by the id of their query.
    answers: BTreeMap<u16, Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
struct UnderJudgement {
    slot: u32,
    kind: EventKind,
    /// Length with its prefix.
    len: u64,
}

impl Application for Reader {
    fn step(&mut self, seat: &mut Seat<'_>) -> Turn {
        let result = match seat.stage() {
            JUDGED => self.settle(seat).and_then(|()| self.read(seat)),
            _ => self.read(seat),
        };
        // Without room for bytes nothing more can be judged.
        result.unwrap_or(Turn::Refuse)
    }

    fn lost(&mut self, _: &mut Seat<'_>, why: Lost) -> Turn {
        match why {
            Lost::NotCaptured => Turn::HandOver(0),
            Lost::NoRoom => Turn::Refuse,
        }
    }

    fn close(&mut self, _: &mut Core) {
        self.answers.clear();
    }
}

impl Reader {
    /// Reads messages until one is heard, or the next is not whole.
    fn read(&mut self, seat: &mut Seat<'_>) -> Result<Turn, BufError> {
        seat.goto(START);
        loop {
            let left = seat.left();
            if left == 0 {
                return Ok(Turn::Wait);
            }
            let Some(length) = length_of(seat, left)? else {
                return wait(seat);
            };
            if length < HEADER as u64 {
                report(seat.core(), Refusal::Malformed(FaultKind::Frame.at(0)));
                return Ok(Turn::Refuse);
            }
            let len = PREFIX + length;
            if left < len {
                return wait(seat);
            }
            if self.put_answer(seat, len)? {
                continue;
            }
            if let Some(turn) = self.show(seat, len)? {
                return Ok(turn);
            }
        }
    }

    /// Shows a whole message to the rules. No turn: it is done.
    fn show(&mut self, seat: &mut Seat<'_>, len: u64) -> Result<Option<Turn>, BufError> {
        let arrival = Arrival {
            flow: seat.flow(),
            direction: seat.direction(),
            packet: seat.packet(),
            over_tcp: true,
            writable: seat.is_writable(),
        };
        let (core, common) = seat.common();
        common.dns.make_room(core);
        let opened = seat.look(len, |bytes, common| {
            let message = bytes.get(PREFIX as usize..).unwrap_or_default();
            common.dns.messages.open(message, arrival.writable)
        })?;
        seat.advance(len);
        let (core, common) = seat.common();
        let found = common.dns.arrived(core, arrival, opened);
        let (slot, kind) = match found {
            Ok(found) => found,
            Err(refusal) => {
                report(core, refusal);
                if refusal != Refusal::Mismatch {
                    return Ok(Some(Turn::Refuse));
                }
                if arrival.writable {
                    seat.edit(len, len, b"")?;
                }
                seat.release();
                return Ok(None);
            }
        };
        self.judged[arrival.direction.index()] = Some(UnderJudgement { slot, kind, len });
        seat.goto(JUDGED);
        let (core, common) = seat.common();
        if let Some(event) = common.dns.event(core, arrival, slot, kind) {
            return Ok(Some(Turn::Event(event)));
        }
        self.settle(seat)?;
        seat.goto(START);
        Ok(None)
    }

    /// Listeners are done with a message: what they made of it goes into the
    /// stream.
    fn settle(&mut self, seat: &mut Seat<'_>) -> Result<(), BufError> {
        let (direction, flow) = (seat.direction(), seat.flow());
        let Some(UnderJudgement { slot, kind, len }) = self.judged[direction.index()].take() else {
            return Ok(());
        };
        let (core, common) = seat.common();
        let dns = &mut common.dns;
        let (outcome, bytes) = match dns.judged(slot) {
            Outcome::Unchanged => (Outcome::Unchanged, Vec::new()),
            Outcome::Changed => (Outcome::Changed, framed(dns.messages.bytes(slot))),
            Outcome::Dropped => (Outcome::Dropped, Vec::new()),
            Outcome::Answered(reply) => {
                let id = u16_at(dns.messages.bytes(slot), 0);
                let answer = framed(dns.messages.bytes(reply));
                if self.answers.len() < MAX_ANSWERS || self.answers.contains_key(&id) {
                    self.answers.insert(id, answer);
                    (Outcome::Answered(reply), framed(&placeholder(id)))
                } else {
                    (Outcome::Dropped, Vec::new())
                }
            }
        };
        match outcome {
            Outcome::Unchanged | Outcome::Changed => dns.sent(core, flow, slot, kind),
            Outcome::Dropped | Outcome::Answered(_) => dns.finish(slot),
        }
        if outcome != Outcome::Unchanged && seat.is_writable() {
            seat.edit(len, len, &bytes)?;
        }
        seat.release();
        Ok(())
    }

    /// Replaces the next message, if it is the response to a query that a
    /// rule has answered.
    fn put_answer(&mut self, seat: &mut Seat<'_>, len: u64) -> Result<bool, BufError> {
        if self.answers.is_empty() || seat.direction() == Direction::ToServer {
            return Ok(false);
        }
        let id = seat.look(PREFIX + 2, |bytes, _| u16_at(bytes, PREFIX as usize))?;
        let Some(answer) = self.answers.remove(&id) else {
            return Ok(false);
        };
        seat.advance(len);
        seat.edit(len, len, &answer)?;
        seat.release();
        Ok(true)
    }
}

/// The length of the next message, if it has arrived.
fn length_of(seat: &mut Seat<'_>, left: u64) -> Result<Option<u64>, BufError> {
    if left < PREFIX {
        return Ok(None);
    }
    let length = seat.look(PREFIX, |bytes, _| u16_at(bytes, 0))?;
    Ok(Some(length.into()))
}

/// The message is not whole: it waits, unless nothing more comes.
fn wait(seat: &mut Seat<'_>) -> Result<Turn, BufError> {
    if seat.is_over() {
        report(seat.core(), Refusal::Malformed(FaultKind::Truncated.at(0)));
        return Ok(Turn::Refuse);
    }
    seat.hold(0)?;
    Ok(Turn::Wait)
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u16).to_be_bytes();
    [&length[..], message].concat()
}

/// A query for the root's name servers.
fn placeholder(id: u16) -> Vec<u8> {
    let mut query = Vec::with_capacity(HEADER + 5);
    for word in [id, bit::RD, 1, 0, 0, 0] {
        query.extend_from_slice(&word.to_be_bytes());
    }
    query.push(0);
    query.extend_from_slice(&RecordType::NS.0.to_be_bytes());
    query.extend_from_slice(&1u16.to_be_bytes());
    query
}

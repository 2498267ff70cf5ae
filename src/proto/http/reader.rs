//! HTTP on a connection: reads what arrived, raises the events, writes back
//! what rules changed.
//!
//! A head that is not over holds the stream. A body that nobody listens to
//! is counted and passed; one that is shown is taken out meanwhile (`body`).
//! Not here: what is wrong with messages and what becomes of it (`judge`).

use super::anomaly::{Anomaly, Fault};
use super::body::{self, Side};
use super::connection::{Found, Need, Session};
use super::framing::Framing;
use super::head::Limits;
use crate::buf::BufError;
use crate::core::Core;
use crate::event::EventKind;
use crate::flow::Direction;
use crate::proto::application::{ANYONE, Application, Lost, START, Seat, Turn};

/// What the reader goes on with after an event.
pub(super) mod stage {
    use super::START;

    /// The policy has spoken about an ambiguity.
    pub const DECIDED: u8 = START + 1;
    pub const HEAD_JUDGED: u8 = START + 2;
    /// `receive_data` was raised.
    pub const DATA_RECEIVED: u8 = START + 3;
    pub const DATA_JUDGED: u8 = START + 4;
    /// The policy has spoken about an error.
    pub const ERROR_DECIDED: u8 = START + 5;
}

/// What a connection's HTTP is read with.
#[derive(Debug, Default)]
pub struct Reader {
    pub session: Session,
    pub(super) sides: [Side; 2],
}

/// What a step comes to; a fault is judged by the policy.
pub(super) type Outcome = Result<Turn, Fault>;

/// The buffers are full: not all bytes could be read, or written.
pub(super) fn unreadable(_: BufError) -> Fault {
    Fault {
        anomaly: Anomaly::Unreadable,
        at: 0,
        field: "1",
    }
}

impl Application for Reader {
    fn step(&mut self, seat: &mut Seat<'_>) -> Turn {
        let outcome = match seat.stage() {
            stage::DECIDED => self.decide_head(seat),
            stage::HEAD_JUDGED => self.head_judged(seat),
            stage::DATA_RECEIVED => self.data_received(seat),
            stage::DATA_JUDGED => self.data_judged(seat),
            // It cannot be read, and the policy lets it pass.
            stage::ERROR_DECIDED => return Turn::HandOver(0),
            _ => self.arrived(seat),
        };
        outcome.unwrap_or_else(|fault| self.fault(seat, &fault))
    }

    fn lost(&mut self, seat: &mut Seat<'_>, why: Lost) -> Turn {
        match why {
            Lost::NotCaptured => Turn::HandOver(0),
            Lost::NoRoom => self.fault(seat, &unreadable(BufError::TooManyPieces)),
        }
    }

    fn reframes(&self, direction: Direction) -> bool {
        self.is_resized(direction) || self.has_chunks(direction)
    }

    fn free_front(&mut self, core: &mut Core, direction: Direction) {
        // Fails only where the buffers are full: it waits for all of it then.
        let _ = body::free_front(self.side(direction), &mut core.bufs);
    }

    fn give_back(&mut self, core: &mut Core, direction: Direction) -> Option<usize> {
        body::give_back(self.side(direction), &mut core.bufs)
    }

    fn close(&mut self, core: &mut Core) {
        self.session.pass();
        for side in &mut self.sides {
            body::close(side, core);
        }
    }
}

/// The limits that the settings give.
pub fn limits(core: &Core) -> Limits {
    let settings = &core.settings;
    Limits {
        line: settings.http_line_bytes,
        head: settings.http_head_bytes,
        headers: settings.http_headers,
        requests: settings.http_requests,
        hold_folds: settings.defaults.http_lenient,
        any_line: false,
    }
}

impl Reader {
    pub(super) fn side(&mut self, direction: Direction) -> &mut Side {
        &mut self.sides[direction.index()]
    }

    fn arrived(&mut self, seat: &mut Seat<'_>) -> Outcome {
        self.settle_lingering(seat)?;
        self.read(seat)
    }

    /// Reads until something has to be announced, or nothing is left.
    pub(super) fn read(&mut self, seat: &mut Seat<'_>) -> Outcome {
        seat.goto(START);
        let direction = seat.direction();
        self.session.take(direction, seat.passed());
        loop {
            let left = seat.left();
            let turn = match self.session.need(direction) {
                Need::End => self.end_message(seat)?,
                Need::Pass => return Ok(Turn::HandOver(ANYONE)),
                Need::Answer => {
                    if left > 0 {
                        seat.hold(0).map_err(unreadable)?;
                    }
                    return Ok(Turn::Wait);
                }
                Need::Bytes | Need::Data(_) if left == 0 => {
                    if !seat.has_ended() {
                        return self.pause(seat);
                    }
                    self.end_stream(direction)?;
                    None
                }
                Need::Bytes => self.read_bytes(seat)?,
                Need::Data(most) => self.data(seat, most.min(left))?,
            };
            if let Some(turn) = turn {
                return Ok(turn);
            }
        }
    }

    /// Nothing more to read for now; a head under way has to wait, a body for
    /// nobody has not.
    fn pause(&mut self, seat: &mut Seat<'_>) -> Outcome {
        let direction = seat.direction();
        let head = self.session.head_under_way(direction);
        if head > 0 {
            seat.hold(head).map_err(unreadable)?;
        }
        if let Need::Data(most) = self.session.need(direction)
            && !self.is_resized(direction)
            && !body::is_shown(seat)
        {
            seat.pass_over(most);
        }
        Ok(Turn::Wait)
    }

    fn end_stream(&mut self, direction: Direction) -> Result<(), Fault> {
        let need = self.session.need(direction);
        // A body until the end of the stream is whole.
        self.side(direction).cut = need != Need::Data(u64::MAX);
        self.session.end(direction)
    }

    /// Reads some bytes of a head or of a line between chunks.
    fn read_bytes(&mut self, seat: &mut Seat<'_>) -> Result<Option<Turn>, Fault> {
        let direction = seat.direction();
        let limits = limits(seat.core());
        let bytes = seat.unread().map_err(unreadable)?;
        let (used, found) = self.session.read(direction, bytes, &limits)?;
        let used = used as u64;
        seat.advance(used);
        match found {
            Found::Head(_) => {
                self.side(direction).cut = false;
                self.decide_head(seat).map(Some)
            }
            // Where rules may change sizes, our own lines replace these.
            Found::ChunkLine | Found::LastChunk if self.is_resized(direction) => {
                let last: &[u8] = if found == Found::LastChunk {
                    b"0\r\n"
                } else {
                    b""
                };
                seat.edit(used, used, last).map_err(unreadable)?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn is_resized(&self, direction: Direction) -> bool {
        self.session
            .message(self.session.message_under_way(direction))
            .is_some_and(|message| message.resized)
    }

    /// Shows the head that was read to the rules.
    pub(super) fn show_head(&mut self, seat: &mut Seat<'_>) -> Outcome {
        let direction = seat.direction();
        let kind = match direction {
            Direction::ToServer => EventKind::HttpRequest,
            Direction::ToClient => EventKind::HttpResponse,
        };
        seat.core().current.detail = self.session.message_under_way(direction);
        match seat.event(kind, stage::HEAD_JUDGED) {
            Some(event) => Ok(event),
            None => self.head_judged(seat),
        }
    }

    /// Rules have judged a head: what they changed goes into the stream.
    fn head_judged(&mut self, seat: &mut Seat<'_>) -> Outcome {
        let serial = self.session.message_under_way(seat.direction());
        if let Some(message) = self.session.message_mut(serial) {
            message.sent = true;
            // From the last one on, counted from the end of what it became.
            let mut end = message.head.raw.len() as u64;
            for edit in message.edits().iter().rev() {
                let (at, len) = (u64::from(edit.at), u64::from(edit.len));
                seat.edit(end - at, len, &edit.bytes).map_err(unreadable)?;
                end = end - len + edit.bytes.len() as u64;
            }
        }
        seat.release();
        self.read(seat)
    }

    /// The message is over: listeners of its body learn that, then the next
    /// one begins.
    fn end_message(&mut self, seat: &mut Seat<'_>) -> Result<Option<Turn>, Fault> {
        let direction = seat.direction();
        if let Some(turn) = self.end_body(seat)? {
            return Ok(Some(turn));
        }
        let cut = self.side(direction).cut;
        let serial = self.session.message_under_way(direction);
        let closes = self.session.message(serial).is_some_and(|message| {
            message.resized && matches!(message.framing, Framing::Length(_)) && !cut
        });
        if closes {
            seat.edit(0, 0, b"0\r\n\r\n").map_err(unreadable)?;
        }
        self.lay_body_aside(seat);
        if self.session.finish(direction) {
            seat.wake_other();
            return Ok(Some(Turn::Again));
        }
        Ok(None)
    }
}

//! A dialogue on a connection: reads what arrived, raises the events, writes
//! back what rules changed.
//!
//! A message that is not over holds the stream if rules hear its event; so
//! does what must wait for a reply. Content whose length its command tells is
//! held with the command while rules may change it, up to [`CHUNK_HELD`].

use super::content::Contents;
use super::shown::{Refusal, Shown};
use super::{DataFlow, Dialect, Heard, Mode};
use crate::addr::Addr;
use crate::buf::BufError;
use crate::core::Core;
use crate::core::expected::Expectation;
use crate::event::EventKind;
use crate::flow::Direction;
use crate::proto::application::{Application, START, Seat, Turn};

/// Bytes of one message, all its lines together. No sane message comes near.
const MESSAGE_CAP: usize = 1 << 20;

/// Bytes of content that are held until its length is known.
pub const CHUNK_HELD: u64 = 1 << 20;

/// What the reader goes on with after an event.
mod stage {
    use super::START;

    pub const MESSAGE_JUDGED: u8 = START + 1;
    pub const CONTENT_JUDGED: u8 = START + 2;
    pub const END_JUDGED: u8 = START + 3;
    /// An anomaly or a data connection was told of.
    pub const TOLD: u8 = START + 4;
}

/// What a connection is read with.
pub struct Reader {
    dialect: Box<dyn Dialect>,
    sides: [Side; 2],
    serial: u32,
}

#[derive(Default)]
struct Side {
    /// Bytes of the message under way.
    raw: Vec<u8>,
    shown: Shown,
    contents: Contents,
    /// Bytes behind content whose end has to be told first.
    end: Option<u8>,
    chunk: Option<Chunk>,
    /// A data connection to be told of.
    expected: Option<DataFlow>,
    /// Bytes wait for a reply.
    waiting: bool,
    /// The rest is not read.
    rest: bool,
}

/// Content whose length its command told.
struct Chunk {
    size: u64,
    /// The command's line and the bytes of its end, while both are held.
    line: Option<(Vec<u8>, u64)>,
}

/// What a step comes to: the buffers may be full.
type Outcome = Result<Turn, BufError>;

impl Application for Reader {
    fn step(&mut self, seat: &mut Seat<'_>) -> Turn {
        let outcome = match seat.stage() {
            stage::MESSAGE_JUDGED => self.message_judged(seat),
            stage::CONTENT_JUDGED => self.content_judged(seat),
            stage::END_JUDGED => self.end_judged(seat),
            stage::TOLD => Ok(None),
            _ => self.arrived(seat),
        };
        let outcome = match outcome {
            Ok(Some(turn)) => Ok(turn),
            Ok(None) => self.read(seat),
            Err(error) => Err(error),
        };
        outcome.unwrap_or_else(|_| self.refuse(seat, "bytes that could not be kept"))
    }

    fn edits(&self) -> bool {
        self.dialect.edits()
    }

    fn close(&mut self, core: &mut Core) {
        for side in &mut self.sides {
            side.contents.close(core);
        }
    }
}

impl Reader {
    /// Reads a connection that speaks the dialect.
    pub fn new(dialect: impl Dialect + 'static) -> Reader {
        Reader {
            dialect: Box::new(dialect),
            sides: Default::default(),
            serial: 0,
        }
    }

    /// The message with that number, if it is still shown.
    pub fn shown(&self, serial: u32) -> Option<&Shown> {
        let mut sides = self.sides.iter();
        sides
            .find(|side| side.shown.serial == serial)
            .map(|side| &side.shown)
    }

    /// Changes a line of a message.
    ///
    /// # Errors
    /// When it cannot be changed.
    pub fn set_line(&mut self, serial: u32, index: usize, text: &[u8]) -> Result<(), Refusal> {
        let mut sides = self.sides.iter_mut();
        let side = sides
            .find(|side| side.shown.serial == serial)
            .ok_or(Refusal::Sent)?;
        side.shown.set(index, text)
    }

    /// An alert, and the connection is dropped.
    fn refuse(&self, seat: &mut Seat<'_>, why: &str) -> Turn {
        let text = format!("{}: {why}", self.dialect.events().dissector);
        seat.core().alert(text, true, None);
        Turn::Refuse
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        &mut self.sides[direction.index()]
    }

    fn arrived(&mut self, seat: &mut Seat<'_>) -> Result<Option<Turn>, BufError> {
        let direction = seat.direction();
        self.side(direction)
            .contents
            .settle_lingering(seat.core())?;
        Ok(None)
    }

    /// Reads until something has to be announced, or nothing is left.
    fn read(&mut self, seat: &mut Seat<'_>) -> Outcome {
        seat.goto(START);
        let direction = seat.direction();
        loop {
            if let Some(turn) = self.tell(seat) {
                return Ok(turn);
            }
            if self.side(direction).end.is_some()
                && let Some(turn) = self.end_content(seat)?
            {
                return Ok(turn);
            }
            if self.side(direction).rest {
                return Ok(self.pass_rest(seat));
            }
            let bytes = seat.unread()?;
            let (used, heard) = self.dialect.read(direction, bytes);
            let side = &mut self.sides[direction.index()];
            if matches!(heard, Heard::More | Heard::Message | Heard::Skipped) {
                side.raw
                    .extend_from_slice(bytes.get(..used).unwrap_or_default());
            }
            let turn = match heard {
                Heard::More if used == 0 => Some(self.pause(seat)?),
                Heard::More => {
                    seat.advance(used as u64);
                    let long = self.side(direction).raw.len() > MESSAGE_CAP;
                    long.then(|| self.refuse(seat, "a message too long to be read"))
                }
                Heard::Wait => {
                    self.side(direction).waiting = true;
                    if seat.left() > 0 {
                        seat.hold(0)?;
                    }
                    Some(Turn::Wait)
                }
                Heard::Message => {
                    seat.advance(used as u64);
                    self.show_message(seat)?
                }
                Heard::Skipped => {
                    seat.advance(used as u64);
                    self.side(direction).raw.clear();
                    self.let_go(seat);
                    None
                }
                Heard::Content if used == 0 => {
                    // What may be the end of the content waits for the rest.
                    seat.hold(0)?;
                    Some(Turn::Wait)
                }
                Heard::Content => self.content(seat, used as u64)?,
                Heard::ContentEnd(end) => {
                    self.side(direction).end = Some(end);
                    self.content(seat, (used as u64).saturating_sub(u64::from(end)))?
                }
                Heard::HandOver(bit) => Some(Turn::HandOver(bit)),
                Heard::Rest => {
                    self.side(direction).rest = true;
                    None
                }
            };
            if let Some(turn) = turn {
                return Ok(turn);
            }
        }
    }

    /// Nothing more to read for now: a message under way has to wait.
    fn pause(&mut self, seat: &mut Seat<'_>) -> Outcome {
        let direction = seat.direction();
        if seat.has_ended() {
            // What was under way never ends: it leaves as it came.
            self.dialect.ended(direction);
            seat.release();
            let side = &mut self.sides[direction.index()];
            side.raw.clear();
            side.chunk = None;
            if side.contents.finish(seat.core()) {
                let events = self.dialect.events();
                let kind = events.content;
                if let Some(turn) = kind.and_then(|kind| seat.event(kind, stage::END_JUDGED)) {
                    return Ok(turn);
                }
            }
            return Ok(self.wake(seat).unwrap_or(Turn::Wait));
        }
        let under_way = self.side(direction).raw.len() as u64;
        let kind = self.dialect.events().messages[direction.index()];
        if under_way > 0 && seat.core().hooks.hears(kind) {
            seat.hold(under_way)?;
        }
        Ok(Turn::Wait)
    }

    fn pass_rest(&mut self, seat: &mut Seat<'_>) -> Turn {
        seat.release();
        let left = seat.left();
        seat.advance(left);
        if self.sides.iter().all(|side| side.rest) {
            return Turn::HandOver(0);
        }
        Turn::Wait
    }

    /// Lets go what was held, unless a chunk still needs it.
    fn let_go(&mut self, seat: &mut Seat<'_>) {
        if self.side(seat.direction()).chunk.is_none() {
            seat.release();
        }
    }

    fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1).max(1);
        self.serial
    }

    /// Tells of what is neither message nor content.
    fn tell(&mut self, seat: &mut Seat<'_>) -> Option<Turn> {
        let events = self.dialect.events();
        while let Some(anomaly) = self.dialect.take_anomaly() {
            seat.core().stats.dialogue_anomalies += 1;
            if seat.core().hooks.hears(events.anomaly) {
                let facts = [anomaly.event, &anomaly.detail];
                return self.tell_facts(seat, events.anomaly, &facts);
            }
        }
        let flow = self.side(seat.direction()).expected.take()?;
        let ip = expect(seat, &flow)?;
        let mode = match flow.mode {
            Mode::Active => "active",
            Mode::Passive => "passive",
        };
        let facts = [mode, &ip.to_string(), &flow.port.to_string()];
        self.tell_facts(seat, events.data_flow?, &facts)
    }

    fn tell_facts(&mut self, seat: &mut Seat<'_>, kind: EventKind, facts: &[&str]) -> Option<Turn> {
        let serial = self.next_serial();
        self.side(seat.direction()).shown = Shown::facts(serial, facts);
        seat.core().current.detail = serial;
        seat.event(kind, stage::TOLD)
    }

    /// Shows the message that was read to the rules.
    fn show_message(&mut self, seat: &mut Seat<'_>) -> Result<Option<Turn>, BufError> {
        let direction = seat.direction();
        let serial = self.next_serial();
        let side = self.side(direction);
        side.shown = Shown::message(serial, &side.raw);
        side.raw.clear();
        if !seat.is_writable() {
            self.side(direction).shown.close();
        }
        seat.core().current.detail = serial;
        let kind = self.dialect.events().messages[direction.index()];
        match seat.event(kind, stage::MESSAGE_JUDGED) {
            Some(event) => Ok(Some(event)),
            None => self.message_judged(seat),
        }
    }

    /// Rules have judged a message: what they changed goes into the stream.
    fn message_judged(&mut self, seat: &mut Seat<'_>) -> Result<Option<Turn>, BufError> {
        let direction = seat.direction();
        let side = &mut self.sides[direction.index()];
        for edit in side.shown.edits() {
            seat.edit(edit.back, edit.len, edit.text)?;
        }
        let writable = side.shown.is_open();
        side.shown.close();
        side.expected = self.dialect.judged(direction, &side.shown);
        if direction == Direction::ToServer {
            self.begin_chunk(seat, writable)?;
            self.let_go(seat);
            return Ok(None);
        }
        self.let_go(seat);
        Ok(self.wake(seat))
    }

    /// Has the client's side read that waited for the server's.
    fn wake(&mut self, seat: &mut Seat<'_>) -> Option<Turn> {
        let client = self.side(Direction::ToServer);
        if seat.direction() == Direction::ToServer || !client.waiting || self.dialect.waits() {
            return None;
        }
        self.side(Direction::ToServer).waiting = false;
        seat.goto(START);
        seat.wake_other();
        Some(Turn::Again)
    }

    /// Where a command says how much content follows, it waits for that: its
    /// length is that of what rules make of it.
    fn begin_chunk(&mut self, seat: &mut Seat<'_>, writable: bool) -> Result<(), BufError> {
        let Some(size) = self.dialect.announced().filter(|_| writable) else {
            return Ok(());
        };
        let content = self.dialect.events().content;
        if size == 0 || !content.is_some_and(|kind| seat.core().hooks.hears(kind)) {
            return Ok(());
        }
        let side = self.side(Direction::ToServer);
        let len = side.shown.size();
        let text = side.shown.lines().next_back().unwrap_or_default().to_vec();
        let ending = len.saturating_sub(text.len() as u64);
        let held = size <= CHUNK_HELD;
        side.chunk = Some(Chunk {
            size,
            line: held.then_some((text, ending)),
        });
        if held {
            seat.hold(len)?;
        } else {
            seat.release();
        }
        Ok(())
    }

    /// Takes content; shows it if somebody listens.
    fn content(&mut self, seat: &mut Seat<'_>, bytes: u64) -> Result<Option<Turn>, BufError> {
        self.let_go(seat);
        let kind = self.dialect.events().content;
        let Some(kind) = kind.filter(|&kind| seat.core().hooks.hears(kind) && bytes > 0) else {
            seat.advance(bytes);
            return Ok(None);
        };
        let direction = seat.direction();
        self.side(direction).contents.push(seat, bytes)?;
        seat.advance(bytes);
        match seat.event(kind, stage::CONTENT_JUDGED) {
            Some(event) => Ok(Some(event)),
            None => self.content_judged(seat),
        }
    }

    /// Everybody has seen the piece.
    fn content_judged(&mut self, seat: &mut Seat<'_>) -> Result<Option<Turn>, BufError> {
        let direction = seat.direction();
        self.side(direction)
            .contents
            .settle(&mut seat.core().bufs)?;
        Ok(None)
    }

    /// Tells the listeners of the content, once, that it is over.
    fn end_content(&mut self, seat: &mut Seat<'_>) -> Result<Option<Turn>, BufError> {
        let direction = seat.direction();
        if self.side(direction).contents.finish(seat.core()) {
            let kind = self.dialect.events().content;
            if let Some(turn) = kind.and_then(|kind| seat.event(kind, stage::END_JUDGED)) {
                return Ok(Some(turn));
            }
        }
        self.end_judged(seat)
    }

    /// Everybody knows that the content is over: its command gets the length
    /// of what it became, and what is behind it is read.
    fn end_judged(&mut self, seat: &mut Seat<'_>) -> Result<Option<Turn>, BufError> {
        let direction = seat.direction();
        let side = &mut self.sides[direction.index()];
        side.contents.settle(&mut seat.core().bufs)?;
        if let Some(chunk) = side.chunk.take()
            && side.contents.is_open()
        {
            let restored = side.contents.restored();
            match (restored, chunk.line) {
                (Some(same), _) if same == chunk.size => {}
                (Some(bytes), Some((line, ending))) => {
                    let text = self.dialect.announce(&line, bytes);
                    let len = line.len() as u64;
                    seat.edit(bytes + ending + len, len, &text)?;
                }
                _ => {
                    return Ok(Some(
                        self.refuse(seat, "a chunk of mail changed, but not its size"),
                    ));
                }
            }
        }
        let side = &mut self.sides[direction.index()];
        side.contents.end(seat.core());
        if let Some(end) = side.end.take() {
            seat.advance(u64::from(end));
        }
        seat.release();
        Ok(None)
    }
}

/// Has the flow table expect a data connection; gives the address where it is
/// expected.
fn expect(seat: &mut Seat<'_>, flow: &DataFlow) -> Option<Addr> {
    let (control, core) = (seat.flow(), seat.core());
    let record = *core.flows.live(control)?;
    let own = match flow.mode {
        Mode::Active => record.client,
        Mode::Passive => record.server,
    };
    let address = match flow.ip {
        Some(ip) => Addr::from(ip),
        None => Addr::from_record(&own, record.family),
    };
    let now = core.now;
    core.expected.add(
        Expectation {
            to: address,
            port: flow.port,
            vlan: record.vlan,
            tunnel: record.tunnel,
        },
        (control, record.generation()),
        now,
    );
    Some(address)
}

//! HTTP on a connection: reads what arrived, raises the events, writes back
//! what rules changed.
//!
//! One frame of work per arrival. Everything that was not read yet stands at
//! the end of the direction's stream, so that the place of the reader is a
//! count from there, which no edit before it can move. A head that is not
//! over holds the stream with a mark; the body that listeners are shown is
//! taken out into a stream of its own, without the lines between the chunks,
//! and put back when they are done. A body that nobody listens to is counted
//! and passed.

use std::collections::VecDeque;

use super::anomaly::{Anomaly, Fault, Nature};
use super::connection::{Found, Need, Session};
use super::framing::Framing;
use super::head::Limits;
use crate::buf::{BufError, BufId, Pos, Span};
use crate::core::{Core, Frame, Op, Step, flow_state};
use crate::event::EventKind;
use crate::flow::Direction;
use crate::proto::tcp::{self, Tcp, cause};

/// Bytes that are looked at in one go.
const LOOK: u64 = 4096;

mod stage {
    pub const ARRIVED: u8 = 0;
    pub const READ: u8 = 1;
    /// The policy has spoken about an ambiguity.
    pub const DECIDED: u8 = 2;
    pub const HEAD_JUDGED: u8 = 3;
    /// `receive_data` was raised.
    pub const DATA_RECEIVED: u8 = 4;
    pub const DATA_JUDGED: u8 = 5;
    /// The policy has spoken about an error.
    pub const ERROR_DECIDED: u8 = 6;
}

/// What a connection's HTTP is read with.
#[derive(Debug, Default)]
pub struct Reader {
    pub session: Session,
    sides: [Side; 2],
}

#[derive(Debug, Default)]
struct Side {
    /// The first piece that arrived since the last reading.
    arrived: Option<u64>,
    /// Some bytes did not get into the stream.
    lost: bool,
    /// Bytes at the end of the stream that were not read.
    left: u64,
    /// The mark that holds a head, or what waits for an answer.
    hold: Option<Pos>,
    /// The body that listeners are shown.
    body: Option<Body>,
    /// Bodies that a listener still holds although they are over.
    lingering: Vec<Body>,
    ended: bool,
    /// The message under way was cut short by the end of the stream.
    cut: bool,
}

/// A body in a stream of its own.
#[derive(Debug)]
struct Body {
    stream: BufId,
    /// Pieces pushed.
    pieces: u64,
    /// Where those that are still out belong, the oldest first.
    places: VecDeque<Pos>,
    /// Each piece goes out as a chunk.
    chunked: bool,
    finished: bool,
}

impl Reader {
    /// Notes what arrived at the end of a direction's stream: the number of
    /// the first piece, or that some is missing.
    pub fn arrived(&mut self, direction: Direction, piece: Option<u64>) {
        let side = &mut self.sides[direction.index()];
        match piece {
            Some(piece) => {
                side.arrived.get_or_insert(piece);
            }
            None => side.lost = true,
        }
    }

    /// Nothing is read any more: the streams are gone.
    pub fn close(&mut self, core: &mut Core) {
        self.session.pass();
        for side in &mut self.sides {
            side.hold = None;
            side.left = 0;
            for body in side.body.take().into_iter().chain(side.lingering.drain(..)) {
                core.bury(body.stream);
            }
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
    }
}

/// Takes the reading of the top frame one event further.
pub fn step(tcp: Tcp<'_>, frame: Frame) -> Option<Step> {
    let mut http = Http { tcp, frame };
    if !http.is_wanted() {
        http.tcp.core.stack.pop();
        return None;
    }
    let done = match frame.stage {
        stage::ARRIVED => http.arrived(),
        stage::DECIDED => http.decide_head(),
        stage::HEAD_JUDGED => http.head_judged(),
        stage::DATA_RECEIVED => http.data_received(),
        stage::DATA_JUDGED => http.data_judged(),
        stage::ERROR_DECIDED => {
            http.give_up();
            Ok(None)
        }
        _ => http.read(),
    };
    done.unwrap_or_else(|fault| http.fault(&fault))
}

struct Http<'a> {
    tcp: Tcp<'a>,
    frame: Frame,
}

type Done = Result<Option<Step>, Fault>;

/// The buffers are full: not all bytes could be read, or written.
fn unreadable(_: BufError) -> Fault {
    Fault {
        anomaly: Anomaly::Unreadable,
        at: 0,
        field: "1",
    }
}

impl Http<'_> {
    /// Whether the connection is still there to be read.
    fn is_wanted(&mut self) -> bool {
        let Frame {
            flow, generation, ..
        } = self.frame;
        self.tcp.core.flows.live(flow).is_some_and(|record| {
            record.generation() == generation && record.state != flow_state::DROP
        }) && self.reader().is_some()
    }

    fn reader(&mut self) -> Option<&mut Reader> {
        tcp::reader_of(&mut self.tcp, self.frame.flow)
    }

    fn with<R>(&mut self, missing: R, body: impl FnOnce(&mut Session, &mut Side) -> R) -> R {
        let direction = self.frame.direction;
        match self.reader() {
            Some(reader) => body(&mut reader.session, &mut reader.sides[direction.index()]),
            None => missing,
        }
    }

    fn stream(&mut self) -> Result<BufId, Fault> {
        let Frame {
            flow, direction, ..
        } = self.frame;
        tcp::open_stream(&mut self.tcp, flow, direction).ok_or(unreadable(BufError::InvalidBuffer))
    }

    /// The position so many bytes before the end of the stream.
    fn place(&mut self, before_end: u64) -> Result<Pos, Fault> {
        let stream = self.stream()?;
        self.tcp
            .core
            .bufs
            .position_before_end(stream, before_end)
            .map_err(unreadable)
    }

    fn goto(&mut self, stage: u8) {
        if let Some(top) = self.tcp.core.stack.last_mut() {
            top.stage = stage;
        }
    }

    /// Raises an event of the connection, if somebody hears it.
    fn event(&mut self, kind: EventKind, next: u8) -> Option<Step> {
        self.goto(next);
        let Frame {
            flow,
            direction,
            packet,
            ..
        } = self.frame;
        self.tcp.event(kind, flow, packet, direction)
    }

    fn arrived(&mut self) -> Done {
        let (piece, lost) = self.with((None, false), |_, side| {
            (side.arrived.take(), std::mem::take(&mut side.lost))
        });
        if lost {
            return Err(unreadable(BufError::TooManyPieces));
        }
        if let Some(piece) = piece {
            let stream = self.stream()?;
            let fresh = self
                .tcp
                .core
                .bufs
                .stream_available_from(stream, piece)
                .map_err(unreadable)?;
            self.with((), |_, side| side.left += fresh);
        }
        self.settle_lingering()?;
        self.read()
    }

    /// Reads until something has to be announced, or nothing is left.
    fn read(&mut self) -> Done {
        let direction = self.frame.direction;
        loop {
            let (need, left) = self.with((Need::Pass, 0), |session, side| {
                (session.need(direction), side.left)
            });
            match need {
                Need::End => {
                    if let Some(event) = self.end_message()? {
                        return Ok(Some(event));
                    }
                    if self.top_changed() {
                        return Ok(None);
                    }
                }
                Need::Pass => return self.passed(),
                Need::Answer => return self.pause(left),
                Need::Bytes | Need::Data(_) if left == 0 => {
                    if !self.stream_ended()? {
                        let head = self.with(0, |session, _| session.head_under_way(direction));
                        return self.pause(head);
                    }
                }
                Need::Bytes => {
                    if let Some(found) = self.read_bytes(left)? {
                        return found;
                    }
                }
                Need::Data(most) => {
                    if let Some(shown) = self.data(most.min(left), left)? {
                        return shown;
                    }
                }
            }
        }
    }

    /// Whether the frame that is worked on is no longer the top one.
    fn top_changed(&self) -> bool {
        self.tcp
            .core
            .stack
            .last()
            .is_none_or(|top| top.op != Op::Http || top.direction != self.frame.direction)
    }

    /// Nothing more to read for now. So many bytes at the end have to wait.
    fn pause(&mut self, held: u64) -> Done {
        let held_already = self.with(true, |_, side| side.hold.is_some());
        // What is only watched leaves at once.
        if held > 0 && !held_already && !self.tcp.core.settings.pass_through {
            let at = self.place(held)?;
            let mark = self.tcp.core.bufs.mark(at, false).map_err(unreadable)?;
            self.with((), |_, side| side.hold = Some(mark));
        }
        self.tcp.core.stack.pop();
        Ok(None)
    }

    fn passed(&mut self) -> Done {
        self.with((), |_, side| side.left = 0);
        self.unhold();
        self.tcp.core.stack.pop();
        Ok(None)
    }

    fn unhold(&mut self) {
        if let Some(mark) = self.with(None, |_, side| side.hold.take()) {
            // Fails only for a mark that went with its stream.
            let _ = self.tcp.core.bufs.unmark(mark);
        }
    }

    /// Tells the reader once that the stream is over. False if it is not.
    fn stream_ended(&mut self) -> Result<bool, Fault> {
        let Frame {
            flow, direction, ..
        } = self.frame;
        if !tcp::is_finished(&mut self.tcp, flow, direction) {
            return Ok(false);
        }
        self.with(Ok(false), |session, side| {
            if std::mem::replace(&mut side.ended, true) {
                return Ok(false);
            }
            side.cut = matches!(session.need(direction), Need::Data(most) if most != u64::MAX)
                || matches!(session.need(direction), Need::Bytes);
            session.end(direction).map(|()| true)
        })
    }

    /// Reads some bytes of a head or of a line between chunks.
    fn read_bytes(&mut self, left: u64) -> Result<Option<Done>, Fault> {
        let direction = self.frame.direction;
        let at = self.place(left)?;
        let limits = limits(self.tcp.core);
        let flow = self.frame.flow;
        let Tcp { core, connections } = &mut self.tcp;
        let Some(reader) = core
            .flows
            .live(flow)
            .and_then(|record| connections.get_mut(record.side)?.http.as_deref_mut())
        else {
            return Ok(None);
        };
        let bytes = core
            .bufs
            .bytes(Span::Counted(at, left.min(LOOK)))
            .map_err(unreadable)?;
        let (used, found) = reader.session.read(direction, bytes, &limits)?;
        let side = &mut reader.sides[direction.index()];
        side.left = left - used as u64;
        let resized = reader
            .session
            .message(reader.session.message_under_way(direction))
            .is_some_and(|message| message.resized);
        match found {
            Found::Head(_) => {
                side.cut = false;
                Ok(Some(self.decide_head()))
            }
            Found::ChunkLine | Found::LastChunk if resized => {
                let line = Span::Counted(at, used as u64);
                let last: &[u8] = if found == Found::LastChunk {
                    b"0\r\n"
                } else {
                    b""
                };
                core.bufs.set_string(line, last).map_err(unreadable)?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    // Heads ---------------------------------------------------------------------

    /// Decides about what is ambiguous in the head that was read, then shows
    /// it to the rules.
    fn decide_head(&mut self) -> Done {
        let direction = self.frame.direction;
        loop {
            let open = self.with(None, |session, _| {
                let serial = session.message_under_way(direction);
                session.message_mut(serial)?.open.take()
            });
            let Some(anomaly) = open else { break };
            if self.tcp.core.extended.hears(EventKind::HttpAnomaly) {
                return Ok(self.ask(anomaly, stage::DECIDED));
            }
            if !self.tcp.core.settings.defaults.http_lenient || anomaly.row().refused_by_haka {
                return Ok(self.refuse(anomaly));
            }
            self.tcp.core.stats.http_anomalies += 1;
        }
        let kind = match direction {
            Direction::ToServer => EventKind::HttpRequest,
            Direction::ToClient => EventKind::HttpResponse,
        };
        let serial = self.with(0, |session, _| session.message_under_way(direction));
        self.tcp.core.current.detail = serial;
        match self.event(kind, stage::HEAD_JUDGED) {
            Some(event) => Ok(Some(event)),
            None => self.head_judged(),
        }
    }

    /// Rules have judged a head: what they changed goes into the stream.
    fn head_judged(&mut self) -> Done {
        self.goto(stage::READ);
        let direction = self.frame.direction;
        let (edits, len, left) = self.with((Vec::new(), 0, 0), |session, side| {
            let serial = session.message_under_way(direction);
            let Some(message) = session.message_mut(serial) else {
                return (Vec::new(), 0, 0);
            };
            message.sent = true;
            (message.edits(), message.head.raw.len() as u64, side.left)
        });
        if !edits.is_empty() {
            let start = self.place(left + len)?;
            for edit in edits.iter().rev() {
                let bufs = &mut self.tcp.core.bufs;
                let at = bufs
                    .advance(start, Some(u64::from(edit.at)))
                    .map_err(unreadable)?;
                let span = Span::Counted(at.to, u64::from(edit.len));
                bufs.set_string(span, &edit.bytes).map_err(unreadable)?;
            }
        }
        self.unhold();
        self.read()
    }

    // Bodies --------------------------------------------------------------------

    fn data_kind(&self) -> EventKind {
        match self.frame.direction {
            Direction::ToServer => EventKind::HttpRequestData,
            Direction::ToClient => EventKind::HttpResponseData,
        }
    }

    fn is_shown(&self) -> bool {
        let hooks = &self.tcp.core.hooks;
        hooks.hears(EventKind::HttpReceiveData) || hooks.hears(self.data_kind())
    }

    /// Takes bytes of a body; shows them if somebody listens.
    fn data(&mut self, bytes: u64, left: u64) -> Result<Option<Done>, Fault> {
        let direction = self.frame.direction;
        let resized = self.with(false, |session, _| {
            session
                .message(session.message_under_way(direction))
                .is_some_and(|message| message.resized)
        });
        if !resized && !self.is_shown() {
            self.with((), |session, side| {
                session.take(direction, bytes);
                side.left = left - bytes;
            });
            return Ok(None);
        }
        let at = self.place(left)?;
        let taken = self
            .tcp
            .core
            .bufs
            .select(Span::Counted(at, bytes))
            .map_err(unreadable)?;
        let stream = self.body(resized)?;
        self.tcp
            .core
            .bufs
            .stream_push_buffer(stream, taken.content)
            .map_err(unreadable)?;
        self.tcp.core.bufs.free(taken.content);
        let piece = self.with(0, |session, side| {
            session.take(direction, bytes);
            side.left = left - bytes;
            let Some(body) = &mut side.body else { return 0 };
            body.places.push_back(taken.place);
            body.pieces += 1;
            body.pieces - 1
        });
        Ok(Some(self.show(stream, piece, bytes, false)))
    }

    /// The stream of the body under way.
    fn body(&mut self, chunked: bool) -> Result<BufId, Fault> {
        if let Some(open) = self.with(None, |_, side| side.body.as_ref().map(|body| body.stream)) {
            return Ok(open);
        }
        let stream = self.tcp.core.bufs.stream_new().map_err(unreadable)?;
        self.with((), |_, side| {
            side.body = Some(Body {
                stream,
                pieces: 0,
                places: VecDeque::new(),
                chunked,
                finished: false,
            });
        });
        Ok(stream)
    }

    /// Raises `receive_data` for the body's piece, or for its end.
    fn show(&mut self, stream: BufId, piece: u64, fresh: u64, finished: bool) -> Done {
        self.note_data(stream, piece, fresh, finished);
        match self.event(EventKind::HttpReceiveData, stage::DATA_RECEIVED) {
            Some(event) => Ok(Some(event)),
            None => self.data_received(),
        }
    }

    fn note_data(&mut self, stream: BufId, piece: u64, fresh: u64, finished: bool) {
        let current = &mut self.tcp.core.current;
        current.stream = stream.0.index;
        current.stream_generation = stream.0.generation;
        current.piece = piece as u32;
        current.fresh = fresh as u32;
        current.finished = u32::from(finished);
    }

    /// The listeners of `receive_data` are done: those of the one direction
    /// follow.
    fn data_received(&mut self) -> Done {
        let body = self.with(None, |_, side| {
            side.body
                .as_ref()
                .map(|body| (body.stream, body.pieces, body.finished))
        });
        if let Some((stream, pieces, finished)) = body {
            let piece = if finished {
                pieces
            } else {
                pieces.saturating_sub(1)
            };
            self.note_data(stream, piece, 0, finished);
        }
        match self.event(self.data_kind(), stage::DATA_JUDGED) {
            Some(event) => Ok(Some(event)),
            None => self.data_judged(),
        }
    }

    /// Everybody has seen the piece, or the end of the body.
    fn data_judged(&mut self) -> Done {
        self.goto(stage::READ);
        if let Some(mut body) = self.with(None, |_, side| side.body.take()) {
            let settled = self.settle(&mut body);
            self.with((), |_, side| side.body = Some(body));
            settled?;
        }
        self.read()
    }

    /// Puts back what no listener holds, as a chunk where sizes may change.
    fn settle(&mut self, body: &mut Body) -> Result<(), Fault> {
        let bufs = &mut self.tcp.core.bufs;
        while let Some(&place) = body.places.front() {
            let Some(piece) = bufs.stream_pop_buffer(body.stream).map_err(unreadable)? else {
                break;
            };
            body.places.pop_front();
            let restored = bufs.restore_piece(place, piece);
            bufs.free(piece);
            let span = restored.map_err(unreadable)?;
            let (Some(span @ Span::Between(start, end)), true) = (span, body.chunked) else {
                continue;
            };
            let len = bufs.span_len(span).map_err(unreadable)?;
            let head = format!("{len:x}\r\n");
            bufs.set_string(Span::Counted(end, 0), b"\r\n")
                .map_err(unreadable)?;
            bufs.set_string(Span::Counted(start, 0), head.as_bytes())
                .map_err(unreadable)?;
        }
        Ok(())
    }

    fn settle_lingering(&mut self) -> Result<(), Fault> {
        let lingering = self.with(Vec::new(), |_, side| std::mem::take(&mut side.lingering));
        for mut body in lingering {
            self.settle(&mut body)?;
            self.lay_aside(body);
        }
        Ok(())
    }

    /// A body that is over: forgotten, unless a listener still holds some.
    fn lay_aside(&mut self, body: Body) {
        if body.places.is_empty() {
            self.tcp.core.bury(body.stream);
        } else {
            self.with((), |_, side| side.lingering.push(body));
        }
    }

    /// The message is over: listeners of its body learn that, then the next
    /// one begins.
    fn end_message(&mut self) -> Done {
        let Frame {
            flow,
            direction,
            generation,
            ..
        } = self.frame;
        let ending = self.with(None, |_, side| {
            let body = side.body.as_mut()?;
            (!std::mem::replace(&mut body.finished, true)).then_some((body.stream, body.pieces))
        });
        if let Some((stream, pieces)) = ending {
            let _ = self.tcp.core.bufs.stream_finish(stream);
            if self.is_shown() {
                return self.show(stream, pieces, 0, true);
            }
        }
        let (close, left) = self.with((false, 0), |session, side| {
            let message = session.message(session.message_under_way(direction));
            let close = message.is_some_and(|message| {
                message.resized && matches!(message.framing, Framing::Length(_)) && !side.cut
            });
            (close, side.left)
        });
        if close {
            let at = self.place(left)?;
            let bufs = &mut self.tcp.core.bufs;
            bufs.set_string(Span::Counted(at, 0), b"0\r\n\r\n")
                .map_err(unreadable)?;
        }
        if let Some(body) = self.with(None, |_, side| side.body.take()) {
            self.lay_aside(body);
        }
        let wakes = self.with(false, |session, _| session.finish(direction));
        if wakes {
            let other = direction.opposite();
            self.tcp.core.push(Frame::flow(Op::TcpRelease, flow, other));
            let frame = Frame::flow(Op::Http, flow, other);
            self.tcp.core.push(Frame {
                generation,
                packet: self.frame.packet,
                ..frame
            });
        }
        Ok(None)
    }

    // Anomalies -----------------------------------------------------------------

    /// Asks the policy that rules extended.
    fn ask(&mut self, anomaly: Anomaly, then: u8) -> Option<Step> {
        self.tcp.core.stats.http_anomalies += 1;
        self.goto(then);
        let Frame {
            flow,
            direction,
            packet,
            ..
        } = self.frame;
        let current = &mut self.tcp.core.current;
        current.flow = flow;
        current.packet = packet;
        current.direction = direction as u32;
        current.detail = anomaly as u32;
        Some(Step::Event(EventKind::HttpAnomaly, flow))
    }

    fn fault(&mut self, fault: &Fault) -> Option<Step> {
        self.log_fault(fault);
        if self.tcp.core.extended.hears(EventKind::HttpAnomaly) {
            let then = match fault.anomaly.row().nature {
                Nature::Error => stage::ERROR_DECIDED,
                Nature::Ambiguity => stage::DECIDED,
            };
            return self.ask(fault.anomaly, then);
        }
        self.refuse(fault.anomaly)
    }

    /// An alert, and the connection is dropped.
    fn refuse(&mut self, anomaly: Anomaly) -> Option<Step> {
        let Frame {
            flow, direction, ..
        } = self.frame;
        self.tcp.core.stats.http_anomalies += 1;
        self.tcp.core.alert(anomaly.row().alert, true, None);
        self.tcp.core.stack.pop();
        self.tcp
            .core
            .push(Frame::flow(Op::TcpEnd, flow, direction).with(cause::REFUSED));
        None
    }

    /// The policy lets a connection go on that cannot be read: it passes.
    fn give_up(&mut self) {
        for direction in Direction::BOTH {
            self.frame.direction = direction;
            self.unhold();
        }
        let flow = self.frame.flow;
        let Tcp { core, connections } = &mut self.tcp;
        let side = core.flows.live(flow).map(|record| record.side);
        if let Some(reader) = side.and_then(|side| connections.get_mut(side)?.http.as_deref_mut()) {
            reader.session.pass();
        }
        self.goto(stage::READ);
    }

    /// What could not be read, in the words of Haka's grammar.
    fn log_fault(&mut self, fault: &Fault) {
        let Some(rule) = fault.anomaly.row().alert.strip_prefix("invalid http ") else {
            return;
        };
        let direction = self.frame.direction;
        let behind = self.with(String::new(), |session, _| {
            session
                .bytes_behind(direction, fault)
                .iter()
                .take(100)
                .flat_map(|&byte| std::ascii::escape_default(byte))
                .map(char::from)
                .collect()
        });
        let (at, field) = (fault.at, fault.field);
        let core = &mut *self.tcp.core;
        core.debug("grammar", || {
            format!("parse error at byte {at} for field {field} in {rule}: unexpected bytes")
        });
        core.debug("grammar", || format!("parse error context: {behind}..."));
    }
}

//! Bodies in front of listeners: taken out of the connection's stream into
//! one of their own, without the lines between the chunks, and put back when
//! everybody has seen them.

use std::collections::VecDeque;

use super::anomaly::Fault;
use super::coding::Decoder;
use super::reader::{Outcome, Reader, stage, unreadable};
use crate::buf::{BufId, Selection, Span, Store};
use crate::core::Core;
use crate::event::EventKind;
use crate::flow::Direction;
use crate::proto::application::{Seat, Turn};

/// What is kept of one direction.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// The body that listeners are shown.
    body: Option<Body>,
    /// Bodies that a listener still holds although they are over.
    lingering: Vec<Body>,
    /// The message under way was cut short by the end of the stream.
    pub cut: bool,
}

/// A body in a stream of its own.
#[derive(Debug)]
struct Body {
    stream: BufId,
    /// Pieces pushed.
    pieces: u64,
    /// Where those that are still out belong, the oldest first.
    places: VecDeque<Selection>,
    /// Each piece goes out as a chunk.
    chunked: bool,
    /// Makes the pieces; what they were made of leaves by itself.
    decoder: Option<Decoder>,
    finished: bool,
}

/// The stream is gone, and what was taken out with it.
pub(super) fn close(side: &mut Side, core: &mut Core) {
    for body in side.body.take().into_iter().chain(side.lingering.drain(..)) {
        for taken in body.places {
            core.bury(taken.content);
        }
        core.bury(body.stream);
    }
}

fn data_kind(direction: Direction) -> EventKind {
    match direction {
        Direction::ToServer => EventKind::HttpRequestData,
        Direction::ToClient => EventKind::HttpResponseData,
    }
}

/// Puts back the front of the oldest piece that is out, if a listener holds
/// only its end.
pub(super) fn free_front(side: &mut Side, bufs: &mut Store) -> Result<(), Fault> {
    let oldest = side.lingering.first_mut().or(side.body.as_mut());
    let Some(body) = oldest else { return Ok(()) };
    let Some(&taken) = body.places.front() else {
        return Ok(());
    };
    if bufs.is_spread(taken.place) || bufs.stream_split(body.stream).is_none() {
        return Ok(());
    }
    let Some(front) = bufs.stream_pop_buffer(body.stream).map_err(unreadable)? else {
        return Ok(());
    };
    let restored = bufs.restore_front(taken.place, front);
    bufs.free(front);
    write_chunk(body, bufs, restored.map_err(unreadable)?)
}

/// Puts back everything that is out, whoever holds it.
pub(super) fn give_back(side: &mut Side, bufs: &mut Store) -> Option<usize> {
    let mut count = 0;
    for body in side.lingering.iter_mut().chain(side.body.as_mut()) {
        while let Some(&taken) = body.places.front() {
            let free = bufs.stream_pop_buffer(body.stream).ok()?;
            let piece = match free {
                Some(piece) => piece,
                None => bufs.stream_pop_copy(body.stream).ok()??,
            };
            put_back(body, bufs, taken, piece).ok()?;
            count += 1;
        }
    }
    Some(count)
}

/// Whether somebody listens to the body.
pub(super) fn is_shown(seat: &mut Seat<'_>) -> bool {
    let direction = seat.direction();
    let hooks = &seat.core().hooks;
    hooks.hears(EventKind::HttpReceiveData) || hooks.hears(data_kind(direction))
}

impl Reader {
    /// Takes bytes of a body; shows them if somebody listens.
    pub(super) fn data(&mut self, seat: &mut Seat<'_>, bytes: u64) -> Result<Option<Turn>, Fault> {
        let direction = seat.direction();
        let resized = self.is_resized(direction);
        let shown = is_shown(seat);
        if shown && self.is_decoded(direction) {
            return self.decode(seat, bytes);
        }
        if !resized && !shown {
            self.session.take(direction, bytes);
            seat.advance(bytes);
            return Ok(None);
        }
        let at = seat.place(0).map_err(unreadable)?;
        let stream = self.body(seat, resized)?;
        let paced = seat.core().settings.is_paced();
        let bufs = &mut seat.core().bufs;
        // Whoever holds the end of the last segment does not hold the others.
        let bytes = match paced {
            true => bufs.before_last_piece(at, bytes).map_err(unreadable)?,
            false => bytes,
        };
        let taken = bufs.select(Span::Counted(at, bytes)).map_err(unreadable)?;
        bufs.stream_push_buffer(stream, taken.content)
            .map_err(unreadable)?;
        self.session.take(direction, bytes);
        seat.advance(bytes);
        let Some(body) = &mut self.side(direction).body else {
            return Ok(None);
        };
        body.places.push_back(taken);
        body.pieces += 1;
        let piece = body.pieces - 1;
        self.show(seat, stream, piece, bytes, false).map(Some)
    }

    fn is_decoded(&self, direction: Direction) -> bool {
        self.session
            .message(self.session.message_under_way(direction))
            .is_some_and(|message| message.decoded)
    }

    /// Passes bytes of a body, and shows what they stand for.
    fn decode(&mut self, seat: &mut Seat<'_>, bytes: u64) -> Result<Option<Turn>, Fault> {
        let direction = seat.direction();
        let stream = self.body(seat, false)?;
        let coded = seat.unread().map_err(unreadable)?;
        let len = bytes.min(coded.len() as u64);
        let coded = coded.get(..len as usize).unwrap_or_default();
        let mut plain = Vec::new();
        if let Some(body) = &mut self.side(direction).body
            && let Some(decoder) = &mut body.decoder
        {
            match decoder.feed(coded) {
                Ok(out) => plain = out,
                Err(_) => body.decoder = None,
            }
        }
        self.session.take(direction, len);
        seat.advance(len);
        self.show_plain(seat, stream, &plain)
    }

    fn show_plain(
        &mut self,
        seat: &mut Seat<'_>,
        stream: BufId,
        plain: &[u8],
    ) -> Result<Option<Turn>, Fault> {
        if plain.is_empty() {
            return Ok(None);
        }
        let bufs = &mut seat.core().bufs;
        let extent = bufs.extents.alloc_packet(plain);
        let pushed = bufs.stream_push(stream, extent, 0, plain.len(), false);
        bufs.extents.release(extent);
        let piece = pushed.map_err(unreadable)?;
        if let Some(body) = &mut self.side(seat.direction()).body {
            body.pieces += 1;
        }
        self.show(seat, stream, piece, plain.len() as u64, false)
            .map(Some)
    }

    /// The stream of the body under way.
    fn body(&mut self, seat: &mut Seat<'_>, chunked: bool) -> Result<BufId, Fault> {
        let direction = seat.direction();
        if let Some(open) = &self.side(direction).body {
            return Ok(open.stream);
        }
        let cap = u64::from(seat.core().settings.http_decoded_bytes);
        let message = self
            .session
            .message(self.session.message_under_way(direction));
        let decoder = message
            .filter(|message| message.decoded)
            .and_then(|message| Decoder::of(&message.head, cap));
        let side = self.side(direction);
        let stream = seat.core().bufs.stream_new().map_err(unreadable)?;
        side.body = Some(Body {
            stream,
            pieces: 0,
            places: VecDeque::new(),
            chunked,
            decoder,
            finished: false,
        });
        Ok(stream)
    }

    /// Raises `receive_data` for the body's piece, or for its end.
    fn show(
        &mut self,
        seat: &mut Seat<'_>,
        stream: BufId,
        piece: u64,
        fresh: u64,
        finished: bool,
    ) -> Outcome {
        note(seat.core(), stream, piece, fresh, finished);
        match seat.event(EventKind::HttpReceiveData, stage::DATA_RECEIVED) {
            Some(event) => Ok(event),
            None => self.data_received(seat),
        }
    }

    /// The listeners of `receive_data` are done: those of the one direction
    /// follow.
    pub(super) fn data_received(&mut self, seat: &mut Seat<'_>) -> Outcome {
        let direction = seat.direction();
        if let Some(body) = &self.side(direction).body {
            let last = u64::from(!body.finished);
            let piece = body.pieces.saturating_sub(last);
            note(seat.core(), body.stream, piece, 0, body.finished);
        }
        match seat.event(data_kind(direction), stage::DATA_JUDGED) {
            Some(event) => Ok(event),
            None => self.data_judged(seat),
        }
    }

    /// Everybody has seen the piece, or the end of the body.
    pub(super) fn data_judged(&mut self, seat: &mut Seat<'_>) -> Outcome {
        if let Some(body) = &mut self.side(seat.direction()).body {
            settle(body, &mut seat.core().bufs)?;
        }
        self.read(seat)
    }

    /// Puts back what listeners of earlier bodies have let go meanwhile.
    pub(super) fn settle_lingering(&mut self, seat: &mut Seat<'_>) -> Result<(), Fault> {
        let lingering = &mut self.sides[seat.direction().index()].lingering;
        if lingering.is_empty() {
            return Ok(());
        }
        for mut body in std::mem::take(lingering) {
            settle(&mut body, &mut seat.core().bufs)?;
            self.lay_aside(seat, body);
        }
        Ok(())
    }

    /// Tells the listeners of a body, once, that it is over.
    pub(super) fn end_body(&mut self, seat: &mut Seat<'_>) -> Result<Option<Turn>, Fault> {
        let Some(body) = &mut self.side(seat.direction()).body else {
            return Ok(None);
        };
        if let Some(mut decoder) = body.decoder.take() {
            // What it still had inside comes before the end.
            let (stream, rest) = (body.stream, decoder.finish().unwrap_or_default());
            if let Some(turn) = self.show_plain(seat, stream, &rest)? {
                return Ok(Some(turn));
            }
        }
        let Some(body) = &mut self.side(seat.direction()).body else {
            return Ok(None);
        };
        if std::mem::replace(&mut body.finished, true) {
            return Ok(None);
        }
        let (stream, pieces) = (body.stream, body.pieces);
        // Fails only for a stream that is finished already.
        let _ = seat.core().bufs.stream_finish(stream);
        if !is_shown(seat) {
            return Ok(None);
        }
        self.show(seat, stream, pieces, 0, true).map(Some)
    }

    /// Whether bytes of a direction are out, to come back as chunks.
    pub(super) fn has_chunks(&self, direction: Direction) -> bool {
        let side = &self.sides[direction.index()];
        let bodies = side.lingering.iter().chain(side.body.as_ref());
        let mut out = bodies.filter(|body| !body.places.is_empty());
        out.any(|body| body.chunked)
    }

    /// The body under way is over.
    pub(super) fn lay_body_aside(&mut self, seat: &mut Seat<'_>) {
        if let Some(body) = self.side(seat.direction()).body.take() {
            self.lay_aside(seat, body);
        }
    }

    /// Forgotten, unless a listener still holds some of it.
    fn lay_aside(&mut self, seat: &mut Seat<'_>, body: Body) {
        if body.places.is_empty() {
            seat.core().bury(body.stream);
        } else {
            self.side(seat.direction()).lingering.push(body);
        }
    }
}

/// What listeners are told of a body's piece.
fn note(core: &mut Core, stream: BufId, piece: u64, fresh: u64, finished: bool) {
    let current = &mut core.current;
    current.stream = stream.0.index;
    current.stream_generation = stream.0.generation;
    current.piece = piece as u32;
    current.fresh = fresh as u32;
    current.finished = u32::from(finished);
}

/// Puts back what no listener holds, as a chunk where sizes may change.
fn settle(body: &mut Body, bufs: &mut Store) -> Result<(), Fault> {
    // Decoded bytes stand for none that leave.
    while body.places.is_empty() && bufs.stream_pop(body.stream).is_some() {}
    while let Some(&taken) = body.places.front() {
        let Some(piece) = bufs.stream_pop_buffer(body.stream).map_err(unreadable)? else {
            break;
        };
        put_back(body, bufs, taken, piece)?;
    }
    Ok(())
}

/// Puts the oldest piece that is out back to its place.
fn put_back(
    body: &mut Body,
    bufs: &mut Store,
    taken: Selection,
    piece: BufId,
) -> Result<(), Fault> {
    body.places.pop_front();
    let restored = bufs.restore_piece(taken.place, piece);
    bufs.free(piece);
    bufs.free(taken.content);
    write_chunk(body, bufs, restored.map_err(unreadable)?)
}

/// Writes the lines of a chunk around bytes that were put back, where sizes
/// may change.
fn write_chunk(body: &Body, bufs: &mut Store, span: Option<Span>) -> Result<(), Fault> {
    let (Some(span @ Span::Between(start, end)), true) = (span, body.chunked) else {
        return Ok(());
    };
    let len = bufs.span_len(span).map_err(unreadable)?;
    let head = format!("{len:x}\r\n");
    bufs.set_string(Span::Counted(end, 0), b"\r\n")
        .map_err(unreadable)?;
    bufs.set_string(Span::Counted(start, 0), head.as_bytes())
        .map_err(unreadable)?;
    Ok(())
}

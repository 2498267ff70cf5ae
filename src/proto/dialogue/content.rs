//! Content in front of listeners: taken out of the connection's stream into
//! one of its own, and put back when everybody has seen it.

use std::collections::VecDeque;

use crate::buf::{BufError, BufId, Selection, Span, Store};
use crate::core::Core;
use crate::proto::application::Seat;

/// The content that listeners are shown, and what is left of older ones.
#[derive(Debug, Default)]
pub(super) struct Contents {
    open: Option<Content>,
    /// Over, but a listener still holds some of it.
    lingering: Vec<Content>,
}

#[derive(Debug)]
struct Content {
    stream: BufId,
    /// Pieces pushed.
    pieces: u64,
    /// Where those that are still out belong, the oldest first.
    places: VecDeque<Selection>,
    /// Bytes put back.
    restored: u64,
    finished: bool,
}

impl Contents {
    /// Takes the next bytes out and pushes them; `current` then names them.
    pub fn push(&mut self, seat: &mut Seat<'_>, bytes: u64) -> Result<(), BufError> {
        let at = seat.place(0)?;
        let bufs = &mut seat.core().bufs;
        let content = match &mut self.open {
            Some(content) => content,
            none => none.insert(Content {
                stream: bufs.stream_new()?,
                pieces: 0,
                places: VecDeque::new(),
                restored: 0,
                finished: false,
            }),
        };
        let taken = bufs.select(Span::Counted(at, bytes))?;
        bufs.stream_push_buffer(content.stream, taken.content)?;
        content.places.push_back(taken);
        content.pieces += 1;
        note(seat.core(), content, content.pieces - 1, bytes);
        Ok(())
    }

    /// Nothing follows: true where listeners have to be told, once;
    /// `current` then names the end.
    pub fn finish(&mut self, core: &mut Core) -> bool {
        let Some(content) = &mut self.open else {
            return false;
        };
        if std::mem::replace(&mut content.finished, true) {
            return false;
        }
        // Fails only for a stream that is finished already.
        let _ = core.bufs.stream_finish(content.stream);
        note(core, content, content.pieces, 0);
        true
    }

    /// Puts back what no listener holds.
    pub fn settle(&mut self, bufs: &mut Store) -> Result<(), BufError> {
        match &mut self.open {
            Some(content) => content.settle(bufs),
            None => Ok(()),
        }
    }

    /// As [`Contents::settle`], for what is over.
    pub fn settle_lingering(&mut self, core: &mut Core) -> Result<(), BufError> {
        for mut content in std::mem::take(&mut self.lingering) {
            content.settle(&mut core.bufs)?;
            self.lay_aside(core, content);
        }
        Ok(())
    }

    /// Bytes that the content under way has become, once all of it is back.
    pub fn restored(&self) -> Option<u64> {
        let content = self.open.as_ref()?;
        content.places.is_empty().then_some(content.restored)
    }

    /// Whether listeners are shown content.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The content is over: forgotten, unless a listener still holds some.
    pub fn end(&mut self, core: &mut Core) {
        if let Some(content) = self.open.take() {
            self.lay_aside(core, content);
        }
    }

    fn lay_aside(&mut self, core: &mut Core, content: Content) {
        if content.places.is_empty() {
            core.bury(content.stream);
        } else {
            self.lingering.push(content);
        }
    }

    /// The connection's stream is gone, and what was taken out with it.
    pub fn close(&mut self, core: &mut Core) {
        for content in self.open.take().into_iter().chain(self.lingering.drain(..)) {
            for taken in content.places {
                core.bury(taken.content);
            }
            core.bury(content.stream);
        }
    }
}

impl Content {
    fn settle(&mut self, bufs: &mut Store) -> Result<(), BufError> {
        while let Some(&taken) = self.places.front() {
            let Some(piece) = bufs.stream_pop_buffer(self.stream)? else {
                break;
            };
            self.places.pop_front();
            let restored = bufs.restore_piece(taken.place, piece);
            bufs.free(piece);
            bufs.free(taken.content);
            if let Some(span) = restored? {
                self.restored += bufs.span_len(span)?;
            }
        }
        Ok(())
    }
}

/// What listeners are told of a piece.
fn note(core: &mut Core, content: &Content, piece: u64, fresh: u64) {
    let current = &mut core.current;
    current.stream = content.stream.0.index;
    current.stream_generation = content.stream.0.generation;
    current.piece = piece as u32;
    current.fresh = fresh as u32;
    current.finished = u32::from(content.finished);
}

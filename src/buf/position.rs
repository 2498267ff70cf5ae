//! Positions and spans: how a place in a buffer is named, found and moved.
//!
//! A position inside data is tied to a byte: the one it stands in front of,
//! or, at the end of a node, the one it stands behind. That is why it needs
//! no registration and why it is lost with its byte. The difference shows
//! when something is inserted there: a position in front of a byte ends up
//! after the insertion, one at a node's end stays before it.

use super::list::Kind;
use super::slab::{Key, NIL};
use super::{BufError, BufId, Store};

/// A place in a buffer, to be looked up when used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pos {
    /// In front of byte `at` of a run.
    Head { run: Key, at: u32 },
    /// Behind byte `at - 1` of a run: at the end of its node.
    Tail { run: Key, at: u32 },
    /// In front of a mark, hole or boundary.
    Control(Key),
    /// The end of a buffer. On a stream: where piece `piece` starts, once it
    /// is pushed.
    End { buf: BufId, piece: u64 },
    /// The first byte of a buffer.
    Begin(BufId),
}

/// A piece number that no stream reaches: the end for good.
const NO_PIECE: u64 = 1 << 48;

impl Pos {
    /// The end of a buffer, whatever is added to it.
    pub fn last(buf: BufId) -> Pos {
        Pos::End {
            buf,
            piece: NO_PIECE,
        }
    }

    /// As two numbers below 2^53: an id and a code.
    pub fn to_numbers(self) -> (f64, f64) {
        let (key, value, kind) = match self {
            Pos::Head { run, at } => (run, u64::from(at), 0),
            Pos::Tail { run, at } => (run, u64::from(at), 1),
            Pos::Control(node) => (node, 0, 2),
            Pos::End { buf, piece } => (buf.0, piece.min(NO_PIECE), 3),
            Pos::Begin(buf) => (buf.0, 0, 4),
        };
        (key.to_f64(), (value * 8 + kind) as f64)
    }

    /// The inverse of [`Pos::to_numbers`]; other numbers give positions that
    /// are found invalid when used.
    pub fn from_numbers(id: f64, code: f64) -> Pos {
        let (key, code) = (Key::from_f64(id), code as u64);
        let value = code / 8;
        let at = u32::try_from(value).unwrap_or(u32::MAX);
        match code % 8 {
            0 => Pos::Head { run: key, at },
            1 => Pos::Tail { run: key, at },
            2 => Pos::Control(key),
            3 => Pos::End {
                buf: BufId(key),
                piece: value,
            },
            4 => Pos::Begin(BufId(key)),
            _ => Pos::Control(Key::NONE),
        }
    }
}

/// A stretch of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Everything between two positions; follows edits in between.
    Between(Pos, Pos),
    /// So many bytes from a position on, fewer at the end.
    Counted(Pos, u64),
}

impl Span {
    /// All bytes of a buffer or stream, also those added later.
    pub fn whole(buf: BufId) -> Span {
        Span::Between(Pos::Begin(buf), Pos::last(buf))
    }
}

/// What a step forward did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Where the skipped bytes start.
    pub from: Pos,
    /// Where the step ended.
    pub to: Pos,
    /// Bytes skipped.
    pub count: u64,
}

/// A position looked up: in front of byte `at` of `node`, where `at` may be
/// the node's length. `NIL` is the end of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub buf: u32,
    pub node: u32,
    pub at: u32,
}

/// A span looked up: where it starts and how many bytes it has. A start with
/// bytes is in front of the first one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub start: Cursor,
    pub len: u64,
}

impl Store {
    /// Finds a position. Errors when its byte, node or buffer is gone.
    #[inline]
    pub(super) fn resolve(&mut self, pos: Pos) -> Result<Cursor, BufError> {
        match pos {
            Pos::Head { run, at } => self.find_byte(run, at, at),
            Pos::Tail { run, at } => {
                let behind = at.checked_sub(1).ok_or(BufError::InvalidIterator)?;
                self.find_byte(run, behind, at)
                    .or_else(|_| self.find_remnant(run, at))
            }
            Pos::Control(key) => {
                let node = self.nodes.get(key).ok_or(BufError::InvalidIterator)?;
                Ok(Cursor {
                    buf: node.buf,
                    node: key.index,
                    at: 0,
                })
            }
            Pos::End { buf, piece } => {
                let slot = self.slot(buf).map_err(|_| BufError::InvalidIterator)?;
                Ok(self.stream_end(slot, piece))
            }
            Pos::Begin(buf) => {
                let slot = self.slot(buf).map_err(|_| BufError::InvalidIterator)?;
                Ok(self.first_byte(slot, self.buffers.at(slot).head))
            }
        }
    }

    /// The node holding byte `byte` of a run, as a cursor in front of `at`.
    #[inline]
    fn find_byte(&mut self, key: Key, byte: u32, at: u32) -> Result<Cursor, BufError> {
        let run = self.runs.get_mut(key).ok_or(BufError::InvalidIterator)?;
        let mut index = run.hint;
        let mut backward = false;
        while index != NIL {
            let node = self.nodes.at(index);
            let Some(data) = node.data() else {
                return Err(BufError::Internal);
            };
            if data.at > byte {
                backward = true;
                index = data.run_prev;
            } else if byte - data.at < data.len {
                run.hint = index;
                return Ok(Cursor {
                    buf: node.buf,
                    node: index,
                    at: at - data.at,
                });
            } else if backward {
                break;
            } else {
                index = data.run_next;
            }
        }
        Err(BufError::InvalidIterator)
    }

    /// What still stands at a node's end whose last byte is gone: the empty
    /// node left there, or the byte that followed.
    fn find_remnant(&mut self, key: Key, at: u32) -> Result<Cursor, BufError> {
        let run = self.runs.get(key).ok_or(BufError::InvalidIterator)?;
        let mut index = run.hint;
        while let Some(data) = self.data_of(index).filter(|data| data.at >= at) {
            if data.run_prev == NIL {
                break;
            }
            index = data.run_prev;
        }
        while let Some(data) = self.data_of(index) {
            if data.at == at {
                return Ok(Cursor {
                    buf: self.node(index).buf,
                    node: index,
                    at: 0,
                });
            }
            index = data.run_next;
        }
        Err(BufError::InvalidIterator)
    }

    fn data_of(&self, node: u32) -> Option<&super::list::Data> {
        if node == NIL {
            None
        } else {
            self.node(node).data()
        }
    }

    fn stream_end(&self, slot: u32, piece: u64) -> Cursor {
        let end = Cursor {
            buf: slot,
            node: NIL,
            at: 0,
        };
        let buffer = self.buffers.at(slot);
        if !buffer.stream || piece >= buffer.pushed {
            return end;
        }
        // Pieces were pushed since. The first one still here that is not
        // older starts behind the boundary of the one before it.
        let mut start = buffer.head;
        let mut node = buffer.head;
        while node != NIL {
            let next = self.node(node).next;
            if let Kind::Boundary(boundary) = &self.node(node).kind {
                if boundary.piece >= piece {
                    break;
                }
                start = next;
            }
            node = next;
        }
        if start == NIL {
            end
        } else {
            Cursor {
                buf: slot,
                node: start,
                at: 0,
            }
        }
    }

    /// The position so many bytes before the end of a buffer, or its start
    /// if there are fewer.
    pub fn position_before_end(&mut self, buf: BufId, bytes: u64) -> Result<Pos, BufError> {
        let slot = self.slot(buf)?;
        let (mut left, mut node) = (bytes, NIL);
        let mut at = self.buffers.at(slot).tail;
        while left > 0 && at != NIL {
            let len = u64::from(self.node(at).len());
            if len >= left {
                return Ok(self.pos_of(Cursor {
                    buf: slot,
                    node: at,
                    at: (len - left) as u32,
                }));
            }
            if len > 0 {
                node = at;
            }
            left -= len;
            at = self.node(at).prev;
        }
        Ok(self.pos_of(Cursor {
            buf: slot,
            node,
            at: 0,
        }))
    }

    /// In front of the first byte from `node` on, else the end.
    pub(super) fn first_byte(&self, buf: u32, mut node: u32) -> Cursor {
        while node != NIL && self.node(node).len() == 0 {
            node = self.node(node).next;
        }
        Cursor { buf, node, at: 0 }
    }

    /// Names a cursor for later use.
    pub(super) fn pos_of(&self, cursor: Cursor) -> Pos {
        if cursor.node == NIL {
            let piece = self.buffers.at(cursor.buf).pushed;
            return Pos::End {
                buf: BufId(self.buffers.key(cursor.buf)),
                piece,
            };
        }
        let Some(data) = self.node(cursor.node).data() else {
            return Pos::Control(self.nodes.key(cursor.node));
        };
        let (run, at) = (self.runs.key(data.run), data.at + cursor.at);
        if cursor.at < data.len {
            Pos::Head { run, at }
        } else {
            Pos::Tail { run, at }
        }
    }

    /// The position as an end: tied to the byte before it, if it is in the
    /// middle of a node, so that it outlives what follows.
    pub(super) fn end_of(&self, cursor: Cursor) -> Pos {
        match self.pos_of(cursor) {
            Pos::Head { run, at } if cursor.at > 0 => Pos::Tail { run, at },
            pos => pos,
        }
    }

    /// Moves a cursor over up to `n` bytes and counts them. Taking exactly
    /// what a node has left ends at its tail; asking for more than there is
    /// ends at the end of the buffer.
    pub(super) fn step(&self, mut cursor: Cursor, n: u64) -> (Cursor, u64) {
        let mut left = n;
        while left > 0 && cursor.node != NIL {
            let node = self.node(cursor.node);
            let here = u64::from(node.len() - cursor.at);
            if left <= here {
                cursor.at += left as u32;
                return (cursor, n);
            }
            left -= here;
            cursor = Cursor {
                buf: cursor.buf,
                node: node.next,
                at: 0,
            };
        }
        (cursor, n - left)
    }

    /// In front of the next byte, past node ends and control nodes.
    pub(super) fn to_byte(&self, cursor: Cursor) -> Cursor {
        if cursor.node == NIL || cursor.at < self.node(cursor.node).len() {
            return cursor;
        }
        self.first_byte(cursor.buf, self.node(cursor.node).next)
    }

    /// Bytes from a cursor to another one behind it.
    fn distance(&self, from: Cursor, to: Cursor) -> Result<u64, BufError> {
        if from.buf != to.buf {
            return Err(BufError::InvalidEnd);
        }
        let (mut node, mut at, mut bytes) = (from.node, from.at, 0);
        while node != to.node {
            if node == NIL {
                return Err(BufError::InvalidEnd);
            }
            bytes += u64::from(self.node(node).len() - at);
            node = self.node(node).next;
            at = 0;
        }
        let last = to.at.checked_sub(at).ok_or(BufError::InvalidEnd)?;
        Ok(bytes + u64::from(last))
    }

    /// Finds a span.
    #[inline]
    pub(super) fn stretch(&mut self, span: Span) -> Result<Stretch, BufError> {
        match span {
            Span::Counted(start, count) => {
                if let Some((start, _)) = self.bytes_in_node(start, count) {
                    return Ok(Stretch { start, len: count });
                }
                let start = self.resolve(start)?;
                let (_, len) = self.step(start, count);
                Ok(self.trim(start, len))
            }
            Span::Between(start, end) => {
                if let Some(stretch) = self.stretch_in_node(start, end) {
                    return Ok(stretch);
                }
                let start = self.resolve(start)?;
                let end = self.resolve(end)?;
                let len = self.distance(start, end)?;
                Ok(self.trim(start, len))
            }
        }
    }

    /// The usual span: both ends in one node, the one its run knows best.
    #[inline]
    fn stretch_in_node(&self, start: Pos, end: Pos) -> Option<Stretch> {
        let (Pos::Head { run, at }, Pos::Tail { run: same, at: to }) = (start, end) else {
            return None;
        };
        let node = self.runs.get(run)?.hint;
        let entry = self.nodes.at(node);
        let data = entry.data()?;
        let inside = run == same && data.at <= at && at < to && to - data.at <= data.len;
        inside.then(|| Stretch {
            start: Cursor {
                buf: entry.buf,
                node,
                at: at - data.at,
            },
            len: u64::from(to - at),
        })
    }

    /// The usual step: `count` bytes that the node has, the one its run knows
    /// best. Gives where they start and whether the node has more.
    #[inline]
    pub(super) fn bytes_in_node(&self, start: Pos, count: u64) -> Option<(Cursor, bool)> {
        let Pos::Head { run, at } = start else {
            return None;
        };
        let node = self.runs.get(run)?.hint;
        let entry = self.nodes.at(node);
        let data = entry.data()?;
        let skip = at.checked_sub(data.at)?;
        let left = u64::from(data.len.checked_sub(skip)?);
        if count == 0 || count > left {
            return None;
        }
        let cursor = Cursor {
            buf: entry.buf,
            node,
            at: skip,
        };
        Some((cursor, count < left))
    }

    pub(super) fn trim(&self, start: Cursor, len: u64) -> Stretch {
        let start = if len > 0 { self.to_byte(start) } else { start };
        Stretch { start, len }
    }

    /// The stretch as a `Between` span.
    pub(super) fn span_of(&self, stretch: Stretch) -> Span {
        if stretch.len == 0 {
            let at = self.pos_of(stretch.start);
            return Span::Between(at, at);
        }
        let (end, _) = self.step(stretch.start, stretch.len);
        Span::Between(self.pos_of(stretch.start), self.end_of(end))
    }
}

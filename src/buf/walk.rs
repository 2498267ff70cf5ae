//! Walking: positions and spans made from others, and questions about them.

use super::position::{Advance, Cursor, Pos, Span};
use super::slab::NIL;
use super::{BufError, BufId, Store};

impl Store {
    /// The span with its ends tied to its own bytes, so that it no longer
    /// depends on what lies around it. Ends that are no bytes stay; a span
    /// that is invalid or empty is given back as it is.
    pub fn settle(&mut self, span: Span) -> Span {
        let Span::Between(_, end) = span else {
            return span;
        };
        let Ok(stretch) = self.stretch(span) else {
            return span;
        };
        if stretch.len == 0 {
            return span;
        }
        let end = match end {
            Pos::Head { .. } | Pos::Tail { .. } => {
                self.end_of(self.step(stretch.start, stretch.len).0)
            }
            end => end,
        };
        Span::Between(self.pos_of(stretch.start), end)
    }

    /// The position `offset` bytes into a buffer; the end if that is past it
    /// or `offset` is none.
    pub fn position(&mut self, buf: BufId, offset: Option<u64>) -> Result<Pos, BufError> {
        let slot = self.slot(buf)?;
        let Some(offset) = offset else {
            return Ok(self.pos_of(Cursor {
                buf: slot,
                node: NIL,
                at: 0,
            }));
        };
        let start = self.first_byte(slot, self.buffers.at(slot).head);
        let (cursor, _) = self.step(start, offset);
        Ok(self.pos_of(cursor))
    }

    /// A span of a buffer from `offset` on, of `count` bytes or to the end.
    #[inline]
    pub fn sub(&mut self, buf: BufId, offset: u64, count: Option<u64>) -> Result<Span, BufError> {
        let slot = self.slot(buf)?;
        let begin = self.first_byte(slot, self.buffers.at(slot).head);
        if let Some(span) = self.sub_in_node(begin, offset, count) {
            return Ok(span);
        }
        let (start, _) = self.step(begin, offset);
        let Some(count) = count else {
            let end = self.pos_of(Cursor {
                buf: slot,
                node: NIL,
                at: 0,
            });
            return Ok(Span::Between(self.pos_of(start), end));
        };
        let (_, len) = self.step(start, count);
        Ok(self.span_of(self.trim(start, len)))
    }

    /// The usual request: some bytes of the first node.
    #[inline]
    fn sub_in_node(&self, begin: Cursor, offset: u64, count: Option<u64>) -> Option<Span> {
        let count = count.filter(|count| *count > 0)?;
        if begin.node == NIL {
            return None;
        }
        let data = self.node(begin.node).data()?;
        let end = offset.checked_add(count)?;
        if end > u64::from(data.len) {
            return None;
        }
        let run = self.runs.key(data.run);
        let (start, end) = (data.at + offset as u32, data.at + end as u32);
        Some(Span::Between(
            Pos::Head { run, at: start },
            Pos::Tail { run, at: end },
        ))
    }

    /// A position inside a span; its end if `offset` is none or past it.
    pub fn sub_position(&mut self, span: Span, offset: Option<u64>) -> Result<Pos, BufError> {
        let stretch = self.stretch(span)?;
        match (span, offset) {
            (Span::Between(_, end), None) => Ok(end),
            (_, offset) => {
                let offset = offset.unwrap_or(stretch.len).min(stretch.len);
                let (cursor, _) = self.step(stretch.start, offset);
                Ok(self.pos_of(cursor))
            }
        }
    }

    /// A span inside a span: to its end, or `count` bytes, which are clipped
    /// to the buffer only.
    pub fn sub_span(
        &mut self,
        span: Span,
        offset: u64,
        count: Option<u64>,
    ) -> Result<Span, BufError> {
        let stretch = self.stretch(span)?;
        let (mut start, skipped) = self.step(stretch.start, offset.min(stretch.len));
        let Some(count) = count else {
            return Ok(match span {
                Span::Between(_, end) => Span::Between(self.pos_of(start), end),
                Span::Counted(..) => self.span_of(self.trim(start, stretch.len - skipped)),
            });
        };
        let (_, len) = self.step(start, count);
        if len > 0 {
            start = self.to_byte(start);
        }
        Ok(Span::Counted(self.pos_of(start), len))
    }

    /// Skips up to `count` bytes, or all.
    #[inline]
    pub fn advance(&mut self, pos: Pos, count: Option<u64>) -> Result<Advance, BufError> {
        if let (Pos::Head { run, at }, Some(count)) = (pos, count)
            && let Some((_, more)) = self.bytes_in_node(pos, count)
        {
            let at = at + count as u32;
            let to = if more {
                Pos::Head { run, at }
            } else {
                Pos::Tail { run, at }
            };
            return Ok(Advance {
                from: pos,
                to,
                count,
            });
        }
        let mut start = self.resolve(pos)?;
        let (to, count) = self.step(start, count.unwrap_or(u64::MAX));
        if count > 0 {
            start = self.to_byte(start);
        }
        Ok(Advance {
            from: self.pos_of(start),
            to: self.pos_of(to),
            count,
        })
    }

    /// Skips `count` bytes if they lie side by side in one node, so that their
    /// positions follow from that of the first; else nothing.
    #[inline]
    pub fn advance_within(&mut self, pos: Pos, count: u64) -> Result<Option<Advance>, BufError> {
        if self.bytes_in_node(pos, count).is_some() {
            return self.advance(pos, Some(count)).map(Some);
        }
        let start = self.resolve(pos)?;
        let start = self.to_byte(start);
        if start.node == NIL || count > u64::from(self.node(start.node).len() - start.at) {
            return Ok(None);
        }
        let from = self.pos_of(start);
        let (to, count) = self.step(start, count);
        Ok(Some(Advance {
            from,
            to: self.pos_of(to),
            count,
        }))
    }

    /// Bytes from a position to the end of its buffer, counted up to `limit`.
    pub fn available(&mut self, pos: Pos, limit: u64) -> Result<u64, BufError> {
        let cursor = self.resolve(pos)?;
        Ok(self.step(cursor, limit).1)
    }

    /// Whether the position is the end of a buffer that will not grow.
    pub fn is_eof(&mut self, pos: Pos) -> Result<bool, BufError> {
        let cursor = self.resolve(pos)?;
        let buffer = self.buffers.at(cursor.buf);
        Ok(cursor.node == NIL && (!buffer.stream || buffer.finished))
    }

    /// Whether the position is an end, of a growing stream too.
    pub fn is_end(&mut self, pos: Pos) -> Result<bool, BufError> {
        Ok(self.resolve(pos)?.node == NIL)
    }

    /// Which buffer a position is in now.
    pub fn buffer_of(&mut self, pos: Pos) -> Result<BufId, BufError> {
        let cursor = self.resolve(pos)?;
        Ok(BufId(self.buffers.key(cursor.buf)))
    }
}

//! Edits: cutting, inserting, erasing, replacing, marking, cloning.
//!
//! An edit first checks everything that can refuse it (positions, write
//! protection, caps), so that a refused edit has at most cut nodes.

use super::list::{Boundary, Data, Kind};
use super::position::{Cursor, Stretch};
use super::slab::NIL;
use super::{BufError, BufId, ExtId, Pos, Span, Store};

/// What a clone shares with its original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloneMode {
    /// The bytes; both may write them.
    Shared,
    /// Nothing.
    Copy,
    /// The bytes; the original becomes read-only.
    FreezeOriginal,
    /// The bytes; the clone is read-only.
    FreezeClone,
}

/// Where inserted bytes ended up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    pub span: Span,
    pub len: u64,
    /// The position behind them, for the iterator that inserted.
    pub after: Pos,
}

impl Store {
    /// Moves all of `from` to the end of `buf`, leaving `from` empty.
    pub fn append(&mut self, buf: BufId, from: BufId) -> Result<(), BufError> {
        let slot = self.slot(buf)?;
        self.insert_at(
            Cursor {
                buf: slot,
                node: NIL,
                at: 0,
            },
            from,
        )
        .map(|_| ())
    }

    /// Moves all of `from` in front of a position, leaving `from` empty.
    pub fn insert(&mut self, pos: Pos, from: BufId) -> Result<Inserted, BufError> {
        let cursor = self.resolve(pos)?;
        self.insert_at(cursor, from)
    }

    fn insert_at(&mut self, cursor: Cursor, from: BufId) -> Result<Inserted, BufError> {
        let source = self.slot(from)?;
        if source == cursor.buf {
            return Err(BufError::Circular);
        }
        self.check_insertable(cursor)?;
        self.room(cursor.buf, self.buffers.at(source).nodes + 1)?;
        let at = self.pos_of(cursor);
        let before = self.insertion_point(cursor)?;
        let stretch = self.move_content(source, cursor.buf, before, true);
        // A position behind a byte would be in front of the insertion.
        let after = match at {
            Pos::Tail { .. } if stretch.len > 0 => {
                let (end, _) = self.step(stretch.start, stretch.len);
                self.pos_of(end)
            }
            at => at,
        };
        let span = if stretch.len > 0 {
            self.span_of(stretch)
        } else {
            Span::Between(at, at)
        };
        Ok(Inserted {
            span,
            len: stretch.len,
            after,
        })
    }

    /// Replaces the span's bytes by all of `from`, leaving `from` empty. The
    /// span returned covers the new bytes.
    pub fn replace(&mut self, span: Span, from: BufId) -> Result<(Span, u64), BufError> {
        let source = self.slot(from)?;
        let stretch = self.stretch(span)?;
        if source == stretch.start.buf {
            return Err(BufError::Circular);
        }
        let nodes = self.buffers.at(source).nodes;
        self.replace_stretch(stretch, nodes, |store, buf, before| {
            store.move_content(source, buf, before, true)
        })
    }

    /// Replaces the span's bytes by a copy of `bytes`, on the rules' account.
    pub fn set_string(&mut self, span: Span, bytes: &[u8]) -> Result<(Span, u64), BufError> {
        let stretch = self.stretch(span)?;
        let ext = self.extents.alloc_rule(bytes)?;
        let len = bytes.len() as u32;
        let done = self.replace_stretch(stretch, 1, |store, buf, before| {
            if len == 0 {
                return Stretch {
                    start: Cursor {
                        buf,
                        node: NIL,
                        at: 0,
                    },
                    len: 0,
                };
            }
            let node = store.insert_window(buf, before, ext, 0, len, true, true);
            Stretch {
                start: Cursor { buf, node, at: 0 },
                len: u64::from(len),
            }
        });
        self.extents.release(ext);
        done
    }

    fn replace_stretch(
        &mut self,
        stretch: Stretch,
        nodes: u32,
        put: impl FnOnce(&mut Store, u32, u32) -> Stretch,
    ) -> Result<(Span, u64), BufError> {
        let buf = stretch.start.buf;
        self.check_writable(stretch)?;
        if stretch.len == 0 {
            self.check_insertable(stretch.start)?;
        }
        self.room(buf, nodes + 2)?;
        if stretch.len == 0 {
            let before = self.insertion_point(stretch.start)?;
            let made = put(self, buf, before);
            let at = if made.len > 0 { made } else { stretch };
            return Ok((self.span_of(at), made.len));
        }
        let (first, stop) = self.cut_out(stretch)?;
        let made = put(self, buf, first);
        let gap = self.erase_nodes(first, stop);
        if made.len > 0 {
            return Ok((self.span_of(made), made.len));
        }
        let at = self.pos_of(gap);
        Ok((Span::Between(at, at), 0))
    }

    /// Removes the span's bytes. Control nodes inside stay where the bytes
    /// were; positions inside are lost.
    pub fn erase(&mut self, span: Span) -> Result<(), BufError> {
        let stretch = self.stretch(span)?;
        self.check_writable(stretch)?;
        if stretch.len == 0 {
            return Ok(());
        }
        self.room(stretch.start.buf, 2)?;
        let (first, stop) = self.cut_out(stretch)?;
        self.erase_nodes(first, stop);
        Ok(())
    }

    /// Empties the data nodes from `first` up to `stop` and gives the place
    /// where they were.
    fn erase_nodes(&mut self, first: u32, stop: u32) -> Cursor {
        let (buf, before) = (self.node(first).buf, self.node(first).prev);
        let mut node = first;
        while node != stop && node != NIL {
            let next = self.node(node).next;
            if self.node(node).len() > 0 {
                self.empty_node(node);
            }
            node = next;
        }
        let at = if before == NIL {
            self.buffers.at(buf).head
        } else {
            self.node(before).next
        };
        Cursor {
            buf,
            node: at,
            at: 0,
        }
    }

    /// Cuts the node at a position in two.
    pub fn split_at(&mut self, pos: Pos) -> Result<(), BufError> {
        let cursor = self.resolve(pos)?;
        self.cut(cursor).map(|_| ())
    }

    /// Puts a mark at a position and gives the position of the mark.
    pub fn mark(&mut self, pos: Pos, readonly: bool) -> Result<Pos, BufError> {
        let cursor = self.resolve(pos)?;
        self.room(cursor.buf, 2)?;
        let before = self.cut(cursor)?;
        let node = self.link(cursor.buf, before, Kind::Mark { readonly });
        Ok(Pos::Control(self.nodes.key(node)))
    }

    /// Removes the mark at a position and gives the position left.
    pub fn unmark(&mut self, pos: Pos) -> Result<Pos, BufError> {
        let Pos::Control(_) = pos else {
            self.resolve(pos)?;
            return Err(BufError::NotMark);
        };
        let cursor = self.resolve(pos)?;
        if !matches!(self.node(cursor.node).kind, Kind::Mark { .. }) {
            return Err(BufError::NotMark);
        }
        let (prev, next) = (self.node(cursor.node).prev, self.node(cursor.node).next);
        self.drop_node(cursor.node);
        let behind = (prev != NIL)
            .then(|| self.node(prev))
            .and_then(|node| node.data());
        let at = match behind {
            Some(data) if next == NIL || self.node(next).data().is_none() => Cursor {
                buf: cursor.buf,
                node: prev,
                at: data.len,
            },
            _ => Cursor {
                buf: cursor.buf,
                node: next,
                at: 0,
            },
        };
        Ok(self.pos_of(at))
    }

    /// A new buffer with the bytes of `buf`; control nodes are left out.
    pub fn clone_buffer(&mut self, buf: BufId, mode: CloneMode) -> Result<BufId, BufError> {
        let slot = self.slot(buf)?;
        if mode == CloneMode::Copy {
            let mut bytes = Vec::new();
            self.copy_out(buf, &mut bytes)?;
            return self.new_from(&bytes);
        }
        self.check_hoard()?;
        self.room_in_store(self.buffers.at(slot).nodes)?;
        let clone = self.new_empty()?;
        let head = self.buffers.at(slot).head;
        self.share(head, NIL, clone.0.index, NIL);
        match mode {
            CloneMode::FreezeOriginal => self.freeze(slot),
            CloneMode::FreezeClone => self.freeze(clone.0.index),
            CloneMode::Shared | CloneMode::Copy => {}
        }
        Ok(clone)
    }

    /// Makes the span one node, copying if needed, and gives its new span.
    pub fn flatten(&mut self, span: Span) -> Result<(Span, u64), BufError> {
        let stretch = self.stretch(span)?;
        if self.flat(stretch).is_some() {
            return Ok((self.span_of(stretch), stretch.len));
        }
        let (mut left, mut at) = (stretch.len, stretch.start.at);
        for node in self.nodes_from(stretch.start.node) {
            if left == 0 {
                break;
            }
            let Some(data) = node.data() else {
                return Err(BufError::NotFlat);
            };
            left -= left.min(u64::from(data.len - at));
            at = 0;
        }
        let mut bytes = Vec::with_capacity(stretch.len as usize);
        self.copy_span(span, &mut bytes)?;
        self.set_string(span, &bytes)
    }

    /// Joins nodes that lie side by side in the same run, as cuts leave them.
    pub fn compact(&mut self, buf: BufId) -> Result<(), BufError> {
        let slot = self.slot(buf)?;
        self.coalesce(self.buffers.at(slot).head, NIL);
        Ok(())
    }

    /// Forbids every change of the buffer's bytes.
    pub(super) fn freeze(&mut self, buf: u32) {
        self.buffers.at_mut(buf).readonly = true;
        let mut node = self.buffers.at(buf).head;
        while node != NIL {
            if let Some(data) = self.data_mut(node) {
                data.writable = false;
            }
            node = self.node(node).next;
        }
    }

    /// Refuses rules to keep more packets alive when too many are.
    pub(super) fn check_hoard(&self) -> Result<(), BufError> {
        if self.extents.held(super::Owner::Packet) > self.limits.packet_bytes {
            return Err(BufError::Memory);
        }
        Ok(())
    }

    /// Adds shared copies of the data nodes from `node` up to `stop` to a
    /// buffer, as runs of their own. Callers made sure of room.
    pub(super) fn share(&mut self, mut node: u32, stop: u32, to: u32, before: u32) {
        while node != stop && node != NIL {
            if let Some((ext, base, len, writable, modified)) = self.window_of(node) {
                self.insert_window(to, before, ext, base, len, writable, modified);
            }
            node = self.node(node).next;
        }
    }

    pub(super) fn window_of(&self, node: u32) -> Option<(ExtId, u32, u32, bool, bool)> {
        let data = self.node(node).data().filter(|data| data.len > 0)?;
        let run = self.runs.at(data.run);
        Some((
            run.ext,
            run.base + data.at,
            data.len,
            data.writable,
            data.modified,
        ))
    }

    /// Makes a position the border of two nodes and gives the second one.
    pub(super) fn cut(&mut self, cursor: Cursor) -> Result<u32, BufError> {
        if cursor.node == NIL || cursor.at == 0 && self.node(cursor.node).len() > 0 {
            return Ok(cursor.node);
        }
        let node = self.node(cursor.node);
        match node.data() {
            None => Ok(cursor.node),
            Some(data) if cursor.at >= data.len => Ok(node.next),
            Some(_) => self.split(cursor.node, cursor.at),
        }
    }

    /// Cuts at both ends of a stretch that has bytes: its first node and the
    /// node behind its last.
    pub(super) fn cut_out(&mut self, stretch: Stretch) -> Result<(u32, u32), BufError> {
        let first = self.cut(stretch.start)?;
        let start = Cursor {
            node: first,
            at: 0,
            ..stretch.start
        };
        let (end, _) = self.step(start, stretch.len);
        let stop = self.cut(end)?;
        Ok((first, stop))
    }

    /// The node to insert in front of. At the end of a stream that is the
    /// last piece's boundary, so that the insertion leaves with that piece.
    pub(super) fn insertion_point(&mut self, cursor: Cursor) -> Result<u32, BufError> {
        if cursor.node != NIL || !self.buffers.at(cursor.buf).stream {
            return self.cut(cursor);
        }
        let mut node = self.buffers.at(cursor.buf).tail;
        while node != NIL {
            match &self.node(node).kind {
                Kind::Boundary(Boundary { popped: false, .. }) => return Ok(node),
                Kind::Mark { .. } => node = self.node(node).prev,
                _ => break,
            }
        }
        Ok(NIL)
    }

    /// Moves a buffer's content in front of a node elsewhere. A stream gives
    /// its bytes only: its boundaries, marks and holes stay.
    pub(super) fn move_content(
        &mut self,
        source: u32,
        to: u32,
        before: u32,
        modified: bool,
    ) -> Stretch {
        let only_data = self.buffers.at(source).stream;
        self.flag_emptied(source);
        let (mut node, mut first, mut len) = (self.buffers.at(source).head, NIL, 0);
        while node != NIL {
            let next = self.node(node).next;
            let is_data = self.node(node).data().is_some();
            if is_data || !only_data {
                if let Some(Data { modified: flag, .. }) = self.data_mut(node) {
                    *flag |= modified;
                }
                self.move_nodes(node, node, to, before);
                let bytes = self.node(node).len();
                if first == NIL && bytes > 0 {
                    first = node;
                }
                len += u64::from(bytes);
            }
            node = next;
        }
        Stretch {
            start: Cursor {
                buf: to,
                node: first,
                at: 0,
            },
            len,
        }
    }

    /// Flags a buffer whose content is about to be moved away: its nodes take
    /// their own flags along, and an emptied buffer is a modified one.
    pub(super) fn flag_emptied(&mut self, buf: u32) {
        let buffer = self.buffers.at(buf);
        if buffer.len > 0
            || self
                .nodes_from(buffer.head)
                .any(super::list::Node::modified)
        {
            self.buffers.at_mut(buf).modified = true;
        }
    }
}

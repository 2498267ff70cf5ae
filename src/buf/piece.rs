//! Streams: buffers filled by the piece and emptied by the piece.
//!
//! A piece is what one push brought. It leaves as one, whatever rules did
//! inside it, unless something holds it: a mark, or a hole left by `select`.
//! A read-only mark lets a copy go and keeps the original readable until the
//! mark is gone; that is how captures that must not be delayed are parsed.
//!
//! The functions on [`Popped`] serve the engine and make no buffer; the
//! ones on [`BufId`] serve streams that rules made.

use super::list::{Boundary, Buffer, Kind, Node};
use super::position::Cursor;
use super::slab::{Key, NIL};
use super::{BufError, BufId, ExtId, Pos, Span, Store};

/// A piece that left a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Popped {
    /// The number its push returned. Bytes that rules inserted into an empty,
    /// finished stream come out under a number that no push returned.
    pub piece: u64,
    /// Whether its bytes may differ from those pushed.
    pub modified: bool,
    /// Bytes it has now.
    pub len: usize,
    /// It still is exactly the window pushed; with `modified` its bytes were
    /// written in place. There is nothing to copy then.
    pub whole: bool,
}

/// How the oldest piece can leave: its nodes `first..=last`, where the last
/// is its boundary (none for bytes outside any piece).
struct Departure {
    first: u32,
    boundary: Option<u32>,
    /// The node from which on the originals stay, if a read-only mark holds.
    stay: Option<u32>,
}

impl Store {
    /// An empty stream.
    pub fn stream_new(&mut self) -> Result<BufId, BufError> {
        let stream = Buffer {
            stream: true,
            ..Buffer::default()
        };
        self.buffers
            .insert(stream)
            .map(BufId)
            .ok_or(BufError::TooManyBuffers)
    }

    /// Pushes `len` bytes of an extent as a piece and gives its number.
    pub fn stream_push(
        &mut self,
        stream: BufId,
        ext: ExtId,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> Result<u64, BufError> {
        let piece = self.stream_number(stream)?;
        self.stream_push_numbered(stream, piece, ext, offset, len, writable)?;
        Ok(piece)
    }

    /// The number of the next piece, which is pushed when it is asked for.
    pub fn stream_number(&mut self, stream: BufId) -> Result<u64, BufError> {
        let slot = self.open_stream(stream)?;
        Ok(self.next_number(slot))
    }

    /// As [`Store::stream_push`], under a number that was given before.
    pub fn stream_push_numbered(
        &mut self,
        stream: BufId,
        piece: u64,
        ext: ExtId,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> Result<(), BufError> {
        let slot = self.open_stream(stream)?;
        self.check_window(ext, offset, len)?;
        self.room(slot, 2)?;
        if len > 0 {
            self.append_window(slot, ext, offset, len, writable);
        }
        let boundary = Boundary {
            piece,
            ext,
            base: offset as u32,
            len: len as u64,
            popped: false,
            writable,
            modified: false,
            apart: false,
        };
        self.link(slot, NIL, Kind::Boundary(boundary));
        Ok(())
    }

    /// Pushes a copy of `bytes`, stored as a packet's, as a piece.
    pub fn stream_push_bytes(&mut self, stream: BufId, bytes: &[u8]) -> Result<u64, BufError> {
        let ext = self.extents.alloc_packet(bytes);
        let pushed = self.stream_push(stream, ext, 0, bytes.len(), true);
        self.extents.release(ext);
        pushed
    }

    /// Moves all of `from` into the stream as a piece, leaving `from` empty,
    /// and gives the position of its first byte.
    pub fn stream_push_buffer(&mut self, stream: BufId, from: BufId) -> Result<Pos, BufError> {
        let slot = self.open_stream(stream)?;
        let source = self.slot(from)?;
        if source == slot {
            return Err(BufError::Circular);
        }
        self.room(slot, self.buffers.at(source).nodes + 1)?;
        let buffer = self.buffers.at(source);
        let (writable, modified) = (!buffer.readonly, buffer.modified);
        let content = self.move_content(source, slot, NIL, false);
        let boundary = Boundary {
            piece: self.next_number(slot),
            ext: ExtId(Key::NONE),
            base: 0,
            len: content.len,
            popped: false,
            writable,
            modified,
            apart: false,
        };
        let end = self.link(slot, NIL, Kind::Boundary(boundary));
        let first = if content.len > 0 {
            content.start.node
        } else {
            end
        };
        Ok(self.pos_of(Cursor {
            buf: slot,
            node: first,
            at: 0,
        }))
    }

    fn open_stream(&self, stream: BufId) -> Result<u32, BufError> {
        let slot = self.stream_slot(stream)?;
        if self.buffers.at(slot).finished {
            Err(BufError::Finished)
        } else {
            Ok(slot)
        }
    }

    fn stream_slot(&self, stream: BufId) -> Result<u32, BufError> {
        let slot = self.slot(stream)?;
        if self.buffers.at(slot).stream {
            Ok(slot)
        } else {
            Err(BufError::NotStream)
        }
    }

    fn next_number(&mut self, slot: u32) -> u64 {
        let buffer = self.buffers.at_mut(slot);
        let piece = buffer.pushed;
        buffer.pushed += 1;
        piece
    }

    /// Declares that nothing more will be pushed.
    pub fn stream_finish(&mut self, stream: BufId) -> Result<(), BufError> {
        let slot = self.stream_slot(stream)?;
        self.buffers.at_mut(slot).finished = true;
        Ok(())
    }

    /// Whether the stream was finished; true once it is freed.
    pub fn stream_finished(&self, stream: BufId) -> bool {
        self.buffer(stream).map_or(true, |buffer| buffer.finished)
    }

    /// Bytes the stream holds; none once it is freed.
    pub fn stream_len(&self, stream: BufId) -> u64 {
        self.len(stream).unwrap_or(0)
    }

    /// Bytes from the start of a piece to the end of the stream.
    pub fn stream_available_from(&mut self, stream: BufId, piece: u64) -> Result<u64, BufError> {
        let start = self.piece_start(stream, piece)?;
        Ok(self.step(start, u64::MAX).1)
    }

    /// The position of a piece's first byte. A piece popped already gives
    /// the first byte still held; one not pushed yet, the end.
    pub fn piece_position(&mut self, stream: BufId, piece: u64) -> Result<Pos, BufError> {
        let start = self.piece_start(stream, piece)?;
        Ok(self.pos_of(start))
    }

    /// Everything from a piece on: what a listener is shown.
    pub fn piece_span(&mut self, stream: BufId, piece: u64) -> Result<Span, BufError> {
        let start = self.piece_start(stream, piece)?;
        let end = self.pos_of(Cursor {
            buf: start.buf,
            node: NIL,
            at: 0,
        });
        Ok(Span::Between(self.pos_of(start), end))
    }

    /// As [`Store::piece_span`], of a piece that is still there.
    pub fn present_piece(&mut self, stream: BufId, piece: u64) -> Result<Span, BufError> {
        let slot = self.stream_slot(stream)?;
        let is_own = |node: &Node| match &node.kind {
            Kind::Boundary(end) => end.piece == piece && !end.popped,
            _ => false,
        };
        if !self.nodes_from(self.buffers.at(slot).head).any(is_own) {
            return Err(BufError::InvalidIterator);
        }
        self.piece_span(stream, piece)
    }

    fn piece_start(&self, stream: BufId, piece: u64) -> Result<Cursor, BufError> {
        let slot = self.stream_slot(stream)?;
        // Listeners ask for the newest piece, so the search goes backwards.
        let (mut start, mut end, mut inside) = (NIL, NIL, false);
        let mut node = self.buffers.at(slot).tail;
        while node != NIL {
            if let Kind::Boundary(boundary) = &self.node(node).kind {
                if boundary.piece < piece {
                    break;
                }
                end = node;
                inside = true;
            }
            if inside {
                start = node;
            }
            node = self.node(node).prev;
        }
        if !inside {
            return Ok(Cursor {
                buf: slot,
                node: NIL,
                at: 0,
            });
        }
        let mut at = start;
        while at != end && self.node(at).len() == 0 {
            at = self.node(at).next;
        }
        Ok(Cursor {
            buf: slot,
            node: at,
            at: 0,
        })
    }

    /// Whether the oldest piece may leave now.
    pub fn poppable(&self, stream: BufId) -> bool {
        self.stream_slot(stream)
            .is_ok_and(|slot| self.departure(slot).is_some())
    }

    /// Takes the oldest piece out, if nothing holds it. A piece that changed
    /// its shape can be read with [`Store::popped_copy`] until the next pop.
    pub fn stream_pop(&mut self, stream: BufId) -> Option<Popped> {
        let slot = self.stream_slot(stream).ok()?;
        self.clear(self.popped);
        self.discard_leftovers(slot);
        if let Some(popped) = self.pop_untouched(slot) {
            return Some(popped);
        }
        let departure = self.departure(slot)?;
        if let (Some(boundary), None) = (departure.boundary, departure.stay) {
            self.coalesce(departure.first, boundary);
            if let Some(popped) = self.pop_untouched(slot) {
                return Some(popped);
            }
        }
        self.depart(slot, departure, self.popped).ok()
    }

    /// Takes the oldest piece out as a buffer of its own.
    pub fn stream_pop_buffer(&mut self, stream: BufId) -> Result<Option<BufId>, BufError> {
        let slot = self.stream_slot(stream)?;
        self.discard_leftovers(slot);
        let Some(departure) = self.departure(slot) else {
            return Ok(None);
        };
        let piece = self.new_empty()?;
        let done = self.depart(slot, departure, piece.0.index);
        if let Err(error) = done {
            self.free(piece);
            return Err(error);
        }
        Ok(Some(piece))
    }

    /// Takes a copy of the oldest piece out although marks hold it. The
    /// original stays as long as they do, to be read but not changed. `None`
    /// where bytes are selected out of it.
    pub fn stream_pop_copy(&mut self, stream: BufId) -> Result<Option<BufId>, BufError> {
        let slot = self.stream_slot(stream)?;
        self.discard_leftovers(slot);
        let mut first = self.buffers.at(slot).head;
        let mut node = first;
        while node != NIL {
            let next = self.node(node).next;
            match &self.node(node).kind {
                Kind::Boundary(boundary) if boundary.popped => first = next,
                Kind::Boundary(_) => break,
                Kind::Hole(_) => return Ok(None),
                Kind::Data(_) | Kind::Mark { .. } | Kind::Seam { .. } => {}
            }
            node = next;
        }
        if node == NIL {
            return Ok(None);
        }
        let departure = Departure {
            first,
            boundary: Some(node),
            stay: Some(first),
        };
        let piece = self.new_empty()?;
        if let Err(error) = self.depart(slot, departure, piece.0.index) {
            self.free(piece);
            return Err(error);
        }
        Ok(Some(piece))
    }

    /// Copies what the last [`Store::stream_pop`] took out behind `out`.
    /// Nothing is added for a `whole` piece.
    pub fn popped_copy(&self, out: &mut Vec<u8>) {
        for (ext, offset, len) in self.popped_extents() {
            out.extend_from_slice(
                self.extents
                    .bytes(ext)
                    .get(offset..offset + len)
                    .unwrap_or(&[]),
            );
        }
    }

    /// The windows of what the last [`Store::stream_pop`] took out: extent,
    /// offset, length. The extents live until the next pop.
    pub fn popped_extents(&self) -> impl Iterator<Item = (ExtId, usize, usize)> {
        let popped = BufId(self.buffers.key(self.popped));
        self.extents_of(popped).into_iter().flatten()
    }

    /// The usual way out: one window, its boundary, nothing in between.
    #[inline]
    fn pop_untouched(&mut self, slot: u32) -> Option<Popped> {
        let head = self.buffers.at(slot).head;
        if head == NIL {
            return None;
        }
        let last = self.node(head).next;
        let (Kind::Data(data), true) = (&self.node(head).kind, last != NIL) else {
            return None;
        };
        let Kind::Boundary(boundary) = &self.node(last).kind else {
            return None;
        };
        let run = self.runs.at(data.run);
        let whole = run.ext == boundary.ext
            && run.base + data.at == boundary.base
            && u64::from(data.len) == boundary.len;
        if !whole || boundary.popped || boundary.apart {
            return None;
        }
        let popped = Popped {
            piece: boundary.piece,
            modified: data.modified || boundary.modified,
            len: data.len as usize,
            whole: true,
        };
        self.drop_node(head);
        self.drop_node(last);
        Some(popped)
    }

    /// Applies the popping rule to the oldest piece that is still whole.
    fn departure(&self, slot: u32) -> Option<Departure> {
        let mut first = self.buffers.at(slot).head;
        // A read-only mark also holds the originals of the pieces after it.
        let mut held = false;
        loop {
            let (mut node, mut blocked, mut stay) = (first, false, None);
            let boundary = loop {
                if node == NIL {
                    break None;
                }
                match &self.node(node).kind {
                    Kind::Boundary(boundary) => break Some(boundary),
                    Kind::Mark { readonly: true } => stay = stay.or(Some(node)),
                    Kind::Mark { readonly: false } | Kind::Hole(_) => blocked = true,
                    Kind::Data(_) | Kind::Seam { .. } => {}
                }
                node = self.node(node).next;
            };
            let Some(boundary) = boundary else {
                let orphaned =
                    self.buffers.at(slot).finished && !blocked && stay.is_none() && !held;
                let any = self.nodes_from(first).any(|node| node.len() > 0);
                return (orphaned && any).then_some(Departure {
                    first,
                    boundary: None,
                    stay: None,
                });
            };
            if boundary.popped {
                held |= blocked || stay.is_some();
                first = self.node(node).next;
                continue;
            }
            if blocked {
                return None;
            }
            let stay = if held { Some(first) } else { stay };
            return Some(Departure {
                first,
                boundary: Some(node),
                stay,
            });
        }
    }

    fn depart(&mut self, slot: u32, plan: Departure, to: u32) -> Result<Popped, BufError> {
        let end = plan.boundary.unwrap_or(NIL);
        self.coalesce(plan.first, end);
        let mut popped = match plan.boundary.map(|node| &self.node(node).kind) {
            Some(Kind::Boundary(boundary)) => Popped {
                piece: boundary.piece,
                modified: boundary.modified,
                len: boundary.len as usize,
                whole: false,
            },
            _ => Popped {
                piece: self.buffers.at(slot).pushed,
                modified: true,
                len: 0,
                whole: false,
            },
        };
        let pushed = popped.len as u64;
        let stay = plan.stay.unwrap_or(end);
        let mut node = plan.first;
        if plan.stay.is_some() {
            let kept = self
                .nodes_from(stay)
                .take_while(|node| !matches!(node.kind, Kind::Boundary(_)));
            self.room_in_store(kept.count() as u32)?;
        }
        while node != stay && node != NIL {
            let next = self.node(node).next;
            self.move_nodes(node, node, to, NIL);
            node = next;
        }
        self.share(stay, end, to, NIL);
        if let Some(boundary) = plan.boundary {
            if plan.stay.is_some() {
                self.retire(stay, boundary);
            } else {
                self.drop_node(boundary);
            }
        }
        let buffer = self.buffers.at_mut(to);
        buffer.modified = popped.modified;
        popped.len = buffer.len as usize;
        let head = buffer.head;
        popped.modified |=
            buffer.len != pushed || self.nodes_from(head).any(super::list::Node::modified);
        Ok(popped)
    }

    /// Marks what stays behind a read-only mark as gone and unchangeable.
    fn retire(&mut self, first: u32, last: u32) {
        let mut node = first;
        while node != NIL {
            let entry = self.nodes.at_mut(node);
            match &mut entry.kind {
                Kind::Data(data) => data.writable = false,
                Kind::Boundary(boundary) => {
                    boundary.popped = true;
                    boundary.writable = false;
                }
                _ => {}
            }
            if node == last {
                return;
            }
            node = entry.next;
        }
    }

    /// Frees the originals of popped pieces that no mark holds any more.
    fn discard_leftovers(&mut self, slot: u32) {
        let mut node = self.buffers.at(slot).head;
        let mut last = NIL;
        while node != NIL {
            match &self.node(node).kind {
                Kind::Mark { .. } | Kind::Hole(_) => break,
                Kind::Boundary(boundary) if !boundary.popped => break,
                Kind::Boundary(_) => last = node,
                Kind::Data(_) | Kind::Seam { .. } => {}
            }
            node = self.node(node).next;
        }
        if last == NIL {
            return;
        }
        loop {
            let head = self.buffers.at(slot).head;
            self.drop_node(head);
            if head == last {
                return;
            }
        }
    }
}

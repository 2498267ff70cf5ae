//! Pieces of a stream cut in two, so that the front leaves while readers
//! hold the end.
//!
//! The cut is a boundary like the one that a push makes, in front of the
//! first thing that holds the piece. Both parts keep the piece's number: what
//! asks for it finds the first part that is still there. The end is no window
//! of the packet that will carry it, so it always leaves as a copy.

use super::list::{Boundary, Kind};
use super::slab::NIL;
use super::{BufError, BufId, Pos, Span, Store};

/// What lies in front of the first thing that holds a piece.
struct Front {
    /// The node before which the piece is to be cut.
    cut: u32,
    boundary: u32,
    /// Bytes of the front as they are now.
    bytes: u64,
    /// Bytes of the window that was pushed, up to the last one in the front.
    pushed: u64,
    /// The front is exactly the beginning of that window.
    plain: bool,
}

impl Store {
    /// Cuts the oldest piece of a stream in front of the first mark or
    /// selection in it, and says how many of the bytes that were pushed count
    /// for the front, which [`Store::stream_pop`] takes out then. Both parts
    /// count for at least one. `None` where nothing can be cut.
    pub fn stream_split(&mut self, stream: BufId) -> Option<u64> {
        let slot = self.slot(stream).ok()?;
        let mut front = self.front(slot)?;
        let (piece, ext, base, len) = match &self.node(front.boundary).kind {
            Kind::Boundary(end) => (end.piece, end.ext, end.base, end.len),
            _ => return None,
        };
        self.room(slot, 2).ok()?;
        if front.pushed >= len {
            // The end has to stand for a byte, be it one that was judged.
            front.cut = self.last_byte_before(front.cut)?;
            front.bytes -= 1;
            front.pushed = len.checked_sub(1)?;
        }
        if front.pushed == 0 {
            return None;
        }
        let Kind::Boundary(end) = &mut self.nodes.at_mut(front.boundary).kind else {
            return None;
        };
        let made = Boundary {
            piece,
            ext,
            base,
            len: front.pushed,
            popped: false,
            writable: end.writable,
            modified: end.modified,
            apart: end.apart,
        };
        end.base = base.wrapping_add(front.pushed as u32);
        end.len = len - front.pushed;
        end.apart = true;
        // Which bytes were erased where cannot be told any more.
        end.modified |= !front.plain;
        self.link(slot, front.cut, Kind::Boundary(made));
        Some(front.pushed)
    }

    fn front(&self, slot: u32) -> Option<Front> {
        let mut first = self.buffers.at(slot).head;
        let mut node = first;
        let boundary = loop {
            if node == NIL {
                return None;
            }
            let next = self.node(node).next;
            match &self.node(node).kind {
                Kind::Boundary(boundary) if boundary.popped => first = next,
                Kind::Boundary(boundary) => break boundary,
                _ => {}
            }
            node = next;
        };
        let mut front = Front {
            cut: first,
            boundary: node,
            bytes: 0,
            pushed: 0,
            plain: true,
        };
        while front.cut != node {
            match &self.node(front.cut).kind {
                Kind::Mark { readonly: false } | Kind::Hole(_) | Kind::Seam { .. } => break,
                Kind::Data(data) => {
                    let run = self.runs.at(data.run);
                    let at = u64::from(run.base) + u64::from(data.at);
                    let start = at.checked_sub(u64::from(boundary.base));
                    let own = start.filter(|_| run.ext == boundary.ext);
                    front.plain &= own == Some(front.bytes);
                    front.bytes += u64::from(data.len);
                    let end = own.map_or(0, |start| start + u64::from(data.len));
                    front.pushed = front.pushed.max(end);
                }
                _ => {}
            }
            front.cut = self.node(front.cut).next;
        }
        if front.cut == node {
            // Nothing holds it.
            return None;
        }
        if boundary.ext.0.is_none() {
            front.pushed = front.bytes;
        }
        (front.bytes > 0).then_some(front)
    }

    /// The node that begins with the last byte in front of a node, which is
    /// not the first byte of its piece.
    fn last_byte_before(&mut self, node: u32) -> Option<u32> {
        let mut at = self.node(node).prev;
        loop {
            if at == NIL {
                return None;
            }
            match (&self.node(at).kind, self.node(at).len()) {
                (Kind::Boundary(_), _) => return None,
                (_, 0) => at = self.node(at).prev,
                (_, 1) => return Some(at),
                (_, len) => return self.split(at, len - 1).ok(),
            }
        }
    }

    /// Whether a selection spanned pieces.
    pub fn is_spread(&self, place: Pos) -> bool {
        let Pos::Control(key) = place else {
            return false;
        };
        let node = self.nodes.get(key);
        node.is_some_and(|node| matches!(&node.kind, Kind::Hole(hole) if hole.spread))
    }

    /// As [`Store::restore_piece`], for the front of what was selected: the
    /// place stays, for the rest.
    ///
    /// # Errors
    /// When the place is not one, or the buffers are full.
    pub fn restore_front(&mut self, place: Pos, front: BufId) -> Result<Option<Span>, BufError> {
        let (main, _) = self.check_restore(place, front)?;
        let whole = self.stretch(Span::whole(front))?;
        let (first, last) = (whole.start, self.step(whole.start, whole.len).0);
        let (start, end) = (self.pos_of(first), self.end_of(last));
        let to = self.node(main).buf;
        let changed = self.buffers.at(front.0.index).modified;
        self.move_content(front.0.index, to, main, changed);
        if changed {
            self.flag_change(main);
        }
        Ok((whole.len > 0).then_some(Span::Between(start, end)))
    }

    /// Bytes from a position to the end of the piece it is in.
    ///
    /// # Errors
    /// When the position is gone.
    pub fn rest_of_piece(&mut self, at: Pos) -> Result<u64, BufError> {
        let start = self.resolve(at)?;
        let start = self.to_byte(start);
        let (mut skipped, mut bytes) = (start.at, 0);
        for node in self.nodes_from(start.node) {
            if matches!(node.kind, Kind::Boundary(_)) {
                break;
            }
            bytes += u64::from(node.len() - skipped);
            skipped = 0;
        }
        Ok(bytes)
    }
}

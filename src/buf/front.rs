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
            (front.pushed, front.plain) = (front.bytes, true);
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

    /// Of so many bytes from a position on, those before the last piece that
    /// they reach into; all of them if they are in one piece.
    ///
    /// # Errors
    /// When the position is gone.
    pub fn before_last_piece(&mut self, at: Pos, bytes: u64) -> Result<u64, BufError> {
        let start = self.resolve(at)?;
        let start = self.to_byte(start);
        let (mut skipped, mut seen, mut before) = (start.at, 0, 0);
        for node in self.nodes_from(start.node) {
            if matches!(node.kind, Kind::Boundary(_)) {
                before = seen;
            }
            seen += u64::from(node.len() - skipped);
            skipped = 0;
            if seen >= bytes {
                break;
            }
        }
        Ok(if before > 0 { before } else { bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped(store: &mut Store, stream: BufId) -> Option<(u64, bool, Vec<u8>)> {
        let popped = store.stream_pop(stream)?;
        let mut bytes = Vec::new();
        store.popped_copy(&mut bytes);
        Some((popped.piece, popped.modified, bytes))
    }

    fn at(store: &mut Store, stream: BufId, piece: u64, offset: u64) -> Pos {
        let start = store.piece_position(stream, piece).unwrap();
        store.advance(start, Some(offset)).unwrap().to
    }

    #[test]
    fn the_front_leaves_and_the_end_can_be_edited() {
        let mut store = Store::default();
        let stream = store.stream_new().unwrap();
        store.stream_push_bytes(stream, b"front, end").unwrap();
        assert_eq!(store.stream_split(stream), None, "nothing holds it");
        let place = at(&mut store, stream, 0, 7);
        let mark = store.mark(place, false).unwrap();
        assert_eq!(store.stream_split(stream), Some(7));
        let front = store.stream_pop(stream).unwrap();
        assert_eq!((front.piece, front.len, front.modified), (0, 7, false));
        assert!(front.whole);
        assert_eq!(store.stream_pop(stream), None);
        assert_eq!(store.stream_split(stream), None, "all of it is held");
        // The number still finds what is left.
        let start = store.piece_position(stream, 0).unwrap();
        store.set_string(Span::Counted(start, 3), b"rest").unwrap();
        store.unmark(mark).unwrap();
        assert_eq!(
            popped(&mut store, stream),
            Some((0, true, b"rest".to_vec()))
        );
        assert_eq!(store.stream_pop(stream), None);
        assert_eq!(store.live_nodes(), 0);
    }

    #[test]
    fn an_end_that_nobody_edits_says_so() {
        let mut store = Store::default();
        let stream = store.stream_new().unwrap();
        store.stream_push_bytes(stream, b"edited, end").unwrap();
        let start = store.piece_position(stream, 0).unwrap();
        store
            .set_string(Span::Counted(start, 6), b"longer than it was")
            .unwrap();
        let place = store.position_before_end(stream, 3).unwrap();
        let mark = store.mark(place, false).unwrap();
        assert_eq!(store.stream_split(stream), Some(8));
        let front = (0, true, b"longer than it was, ".to_vec());
        assert_eq!(popped(&mut store, stream), Some(front));
        store.unmark(mark).unwrap();
        let (_, _, end) = popped(&mut store, stream).unwrap();
        assert_eq!(end, b"end");
    }

    #[test]
    fn both_parts_stand_for_a_byte() {
        let mut store = Store::default();
        let stream = store.stream_new().unwrap();
        store.stream_push_bytes(stream, b"ab").unwrap();
        let behind = at(&mut store, stream, 0, 2);
        store.mark(behind, false).unwrap();
        assert_eq!(store.stream_split(stream), Some(1));
        assert!(store.stream_pop(stream).is_some_and(|front| front.len == 1));
        assert_eq!(store.stream_split(stream), None);
    }

    #[test]
    fn what_was_selected_comes_back_in_parts() {
        let mut store = Store::default();
        let stream = store.stream_new().unwrap();
        let body = store.stream_new().unwrap();
        store.stream_push_bytes(stream, b"head body tail").unwrap();
        let start = at(&mut store, stream, 0, 5);
        let taken = store.select(Span::Counted(start, 9)).unwrap();
        store.stream_push_buffer(body, taken.content).unwrap();
        let held = at(&mut store, body, 0, 5);
        let mark = store.mark(held, false).unwrap();
        assert_eq!(store.stream_split(body), Some(5));
        let front = store.stream_pop_buffer(body).unwrap().unwrap();
        let span = store.restore_front(taken.place, front).unwrap().unwrap();
        store.free(front);
        assert_eq!(store.bytes(span).unwrap(), b"body ");
        assert_eq!(store.stream_split(stream), Some(10));
        let first = store.stream_pop(stream).unwrap();
        assert_eq!((first.len, first.modified), (10, false));
        // The rest is taken from whoever holds it, who can read it still.
        assert_eq!(store.stream_pop_buffer(body), Ok(None));
        let rest = store.stream_pop_copy(body).unwrap().unwrap();
        store.restore_piece(taken.place, rest).unwrap();
        store.free(rest);
        store.free(taken.content);
        assert_eq!(
            popped(&mut store, stream),
            Some((0, false, b"tail".to_vec()))
        );
        let kept = store.piece_position(body, 0).unwrap();
        assert_eq!(store.bytes(Span::Counted(kept, 4)).unwrap(), b"tail");
        let written = store.set_string(Span::Counted(kept, 1), b"T");
        assert_eq!(written.map(|_| ()), Err(BufError::ReadOnly));
        store.unmark(mark).unwrap();
        assert_eq!(store.stream_pop_buffer(body), Ok(None));
        assert_eq!(store.stream_len(body), 0);
    }
}

//! Pieces of a stream whose bytes leave while readers still hold them.
//!
//! A frozen piece stays readable and goes its way through the stream as any
//! other, but nothing may write to it: what left is what it says. Bytes that
//! are selected out of it at that moment are undecided and leave as they
//! were pushed.

use super::list::{Hole, Kind};
use super::slab::NIL;
use super::{BufError, BufId, ExtId, Store};

/// What a piece had become when it was frozen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The number its push returned.
    pub piece: u64,
    /// Whether its bytes may differ from those pushed.
    pub modified: bool,
    /// Its bytes, unless they still are the window that was pushed.
    pub bytes: Option<Vec<u8>>,
}

impl Store {
    /// Freezes the pieces of a stream from a number on that are still in it.
    ///
    /// # Errors
    /// When the stream is gone.
    pub fn stream_freeze(&mut self, stream: BufId, from: u64) -> Result<Vec<Frozen>, BufError> {
        let slot = self.slot(stream)?;
        let mut frozen = Vec::new();
        let mut first = self.buffers.at(slot).head;
        let mut node = first;
        while node != NIL {
            let next = self.node(node).next;
            if let Kind::Boundary(boundary) = &self.node(node).kind {
                if boundary.piece >= from && !boundary.popped {
                    frozen.push(self.freeze_piece(first, node));
                }
                first = next;
            }
            node = next;
        }
        Ok(frozen)
    }

    /// Freezes the nodes `first..=last`, of which the last is the boundary.
    fn freeze_piece(&mut self, first: u32, last: u32) -> Frozen {
        let (piece, ext, base, len, mut modified, apart) = match &mut self.nodes.at_mut(last).kind {
            Kind::Boundary(boundary) => {
                boundary.writable = false;
                (
                    boundary.piece,
                    boundary.ext,
                    boundary.base,
                    boundary.len,
                    boundary.modified,
                    boundary.apart,
                )
            }
            _ => return Frozen::of_nothing(),
        };
        let mut windows: Vec<(ExtId, u32, u32)> = Vec::new();
        let (mut undecided, mut node) = (false, first);
        while node != last && node != NIL {
            if let Some(data) = self.data_mut(node) {
                data.writable = false;
                modified |= data.modified;
            }
            undecided |= self.freeze_selection(node);
            windows.extend(
                self.window_of(node)
                    .map(|(ext, at, len, ..)| (ext, at, len)),
            );
            node = self.node(node).next;
        }
        let mut at = base;
        let in_place = windows.iter().all(|&(other, start, len)| {
            let follows = other == ext && start == at;
            at = start.wrapping_add(len);
            follows
        });
        let whole = in_place && u64::from(at.wrapping_sub(base)) == len;
        if apart && (undecided || whole && !modified) {
            // Its packet has the bytes as they were when it was cut off.
            return Frozen {
                piece,
                modified: false,
                bytes: None,
            };
        }
        let windows = match (undecided, whole && !apart) {
            (true, _) => vec![(ext, base, len as u32)],
            (false, true) => Vec::new(),
            (false, false) => windows,
        };
        let bytes = (undecided || !whole || apart).then(|| {
            let mut bytes = Vec::new();
            for (ext, at, len) in windows {
                let (at, len) = (at as usize, len as usize);
                let window = self.extents.bytes(ext).get(at..at + len);
                bytes.extend_from_slice(window.unwrap_or_default());
            }
            bytes
        });
        Frozen {
            piece,
            modified: modified || bytes.is_some(),
            bytes,
        }
    }

    /// Freezes what was selected out at a node, if that is a hole.
    fn freeze_selection(&mut self, node: u32) -> bool {
        let Kind::Hole(Hole { main, content, .. }) = &self.node(node).kind else {
            return false;
        };
        let content = match (main.is_none(), self.nodes.get(*main).map(|main| &main.kind)) {
            (true, _) => *content,
            (false, Some(Kind::Hole(main))) => main.content,
            (false, _) => return true,
        };
        if self.buffers.get(content).is_some() {
            self.freeze(content.index);
        }
        true
    }
}

impl Frozen {
    fn of_nothing() -> Frozen {
        Frozen {
            piece: 0,
            modified: false,
            bytes: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::{Pos, Span};

    fn stream(store: &mut Store, pieces: &[&[u8]]) -> BufId {
        let stream = store.stream_new().unwrap();
        for piece in pieces {
            store.stream_push_bytes(stream, piece).unwrap();
        }
        stream
    }

    fn write(store: &mut Store, at: Pos, len: u64, bytes: &[u8]) -> Result<(), BufError> {
        store.set_string(Span::Counted(at, len), bytes).map(|_| ())
    }

    #[test]
    fn a_frozen_piece_says_what_it_became_and_stays_so() {
        let mut store = Store::default();
        let stream = stream(&mut store, &[b"one ", b"two ", b"three"]);
        let second = store.piece_position(stream, 1).unwrap();
        let mark = store.mark(second, false).unwrap();
        let second = store.piece_position(stream, 1).unwrap();
        write(&mut store, second, 3, b"2").unwrap();
        let frozen = store.stream_freeze(stream, 0).unwrap();
        let said: Vec<_> = frozen
            .iter()
            .map(|piece| (piece.modified, piece.bytes.as_deref()))
            .collect();
        assert_eq!(
            said,
            [(false, None), (true, Some(b"2 ".as_slice())), (false, None)]
        );
        for piece in 0..3 {
            let at = store.piece_position(stream, piece).unwrap();
            assert_eq!(write(&mut store, at, 1, b"X"), Err(BufError::ReadOnly));
            assert_eq!(write(&mut store, at, 0, b"X"), Err(BufError::ReadOnly));
        }
        // What comes later is as open as ever.
        store.stream_push_bytes(stream, b"four").unwrap();
        let fourth = store.piece_position(stream, 3).unwrap();
        write(&mut store, fourth, 0, b">").unwrap();
        store.unmark(mark).unwrap();
        let mut left = Vec::new();
        while let Some(popped) = store.stream_pop(stream) {
            left.push((popped.len, popped.whole));
        }
        assert_eq!(left, [(4, true), (2, false), (5, true), (5, false)]);
    }

    #[test]
    fn writes_in_place_are_told_and_selections_leave_as_they_came() {
        let mut store = Store::default();
        let stream = stream(&mut store, &[b"abcd", b"efgh"]);
        let at = store.piece_position(stream, 0).unwrap();
        store.set_fixed(Span::Counted(at, 1), b"X").unwrap();
        let at = store.piece_position(stream, 1).unwrap();
        let selection = store.select(Span::Counted(at, 2)).unwrap();
        let frozen = store.stream_freeze(stream, 0).unwrap();
        assert_eq!((frozen[0].modified, &frozen[0].bytes), (true, &None));
        assert_eq!(frozen[1].bytes.as_deref(), Some(b"efgh".as_slice()));
        let inside = store.position(selection.content, Some(0)).unwrap();
        assert_eq!(write(&mut store, inside, 1, b"X"), Err(BufError::ReadOnly));
        store.restore(selection.place, selection.content).unwrap();
        assert!(store.stream_pop(stream).is_some_and(|popped| popped.whole));
        assert!(store.stream_pop(stream).is_some());
    }
}

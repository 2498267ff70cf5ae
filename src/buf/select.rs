//! Selections: bytes taken out into a buffer of their own, to be put back.
//!
//! The place is held by a hole. A selection across the pieces of a stream
//! leaves one part of the hole in every piece, and carries a seam where each
//! part's bytes start, so that boundaries never move and restored bytes
//! leave the stream with the piece they came in.

use super::list::{Hole, Kind};
use super::position::Stretch;
use super::slab::{Key, NIL};
use super::{BufError, BufId, Pos, Span, Store};

/// What `select` took out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The hole, for [`Store::restore`].
    pub place: Pos,
    /// The bytes, with the marks and holes between them.
    pub content: BufId,
}

impl Store {
    /// Takes the span's bytes out into a new buffer.
    pub fn select(&mut self, span: Span) -> Result<Selection, BufError> {
        let stretch = self.stretch(span)?;
        self.check_hoard()?;
        let buf = stretch.start.buf;
        let borders = self.borders_in(stretch);
        self.room(buf, 3 + borders)?;
        self.room_in_store(4 + 2 * borders)?;
        let content = self.new_empty()?;
        self.buffers.at_mut(content.0.index).readonly = self.buffers.at(buf).readonly;
        let (first, stop) = if stretch.len > 0 {
            self.cut_out(stretch)?
        } else {
            let at = self.insertion_point(stretch.start)?;
            (at, at)
        };
        let hole = Hole {
            main: Key::NONE,
            spread: borders > 0,
            content: content.0,
        };
        let node = self.link(buf, first, Kind::Hole(hole));
        let main = self.nodes.key(node);
        let parts = self.take_out(first, stop, content.0.index, main);
        if !parts.is_empty() {
            self.hole_parts.insert(main, parts);
        }
        self.buffers.at_mut(content.0.index).origin = main;
        Ok(Selection {
            place: Pos::Control(main),
            content,
        })
    }

    fn borders_in(&self, stretch: Stretch) -> u32 {
        let (mut borders, mut left, mut at) = (0, stretch.len, stretch.start.at);
        for node in self.nodes_from(stretch.start.node) {
            if left == 0 {
                break;
            }
            borders += u32::from(matches!(node.kind, Kind::Boundary(_)));
            left -= left.min(u64::from(node.len() - at));
            at = 0;
        }
        borders
    }

    fn take_out(&mut self, first: u32, stop: u32, to: u32, main: Key) -> Vec<Key> {
        let mut parts = Vec::new();
        let mut node = first;
        while node != stop && node != NIL {
            let (buf, next) = (self.node(node).buf, self.node(node).next);
            if matches!(self.node(node).kind, Kind::Boundary(_)) {
                let part = Hole {
                    main,
                    spread: false,
                    content: Key::NONE,
                };
                let part = self.link(buf, next, Kind::Hole(part));
                let part = self.nodes.key(part);
                self.link(to, NIL, Kind::Seam { part });
                parts.push(part);
            } else {
                self.move_nodes(node, node, to, NIL);
            }
            node = next;
        }
        parts
    }

    /// Puts all of `from` where a selection was taken out, leaving `from`
    /// empty. Bytes that are not the selection's own count as a change.
    pub fn restore(&mut self, place: Pos, from: BufId) -> Result<(), BufError> {
        let (main, foreign) = self.check_restore(place, from)?;
        self.put_back(main, from.0.index, foreign);
        Ok(())
    }

    /// Like [`Store::restore`], for the pieces of a sub-stream: bytes that
    /// came from the selection by way of another buffer. Gives the bytes put
    /// back.
    pub fn restore_piece(&mut self, place: Pos, piece: BufId) -> Result<Option<Span>, BufError> {
        let (main, _) = self.check_restore(place, piece)?;
        let whole = self.stretch(Span::whole(piece))?;
        let (first, last) = (whole.start, self.step(whole.start, whole.len).0);
        let (start, end) = (self.pos_of(first), self.end_of(last));
        self.put_back(main, piece.0.index, false);
        Ok((whole.len > 0).then_some(Span::Between(start, end)))
    }

    /// Puts a shared copy of `from` back; `from` stays, read-only.
    pub fn restore_clone(&mut self, place: Pos, from: BufId) -> Result<(), BufError> {
        let (_, foreign) = self.check_restore(place, from)?;
        let nodes = self.buffers.at(from.0.index).nodes;
        self.room_in_store(nodes)?;
        let copy = self.new_empty()?;
        let mut node = self.buffers.at(from.0.index).head;
        while node != NIL {
            let next = self.node(node).next;
            if let Kind::Seam { part } = self.node(node).kind {
                self.link(copy.0.index, NIL, Kind::Seam { part });
            } else {
                self.share(node, next, copy.0.index, NIL);
            }
            node = next;
        }
        let modified = self.buffers.at(from.0.index).modified;
        self.buffers.at_mut(copy.0.index).modified = modified;
        self.freeze(from.0.index);
        if let Pos::Control(main) = place {
            self.put_back(main.index, copy.0.index, foreign);
        }
        self.free(copy);
        Ok(())
    }

    /// The hole's node, and whether `from` is not what was taken out of it.
    pub(super) fn check_restore(
        &mut self,
        place: Pos,
        from: BufId,
    ) -> Result<(u32, bool), BufError> {
        let source = self.slot(from)?;
        let Pos::Control(key) = place else {
            return Err(BufError::NotReference);
        };
        let node = self.nodes.get(key).ok_or(BufError::NotReference)?;
        let (buf, foreign) = match &node.kind {
            Kind::Hole(hole) if hole.main.is_none() => (node.buf, hole.content != from.0),
            _ => return Err(BufError::NotReference),
        };
        if buf == source {
            return Err(BufError::Circular);
        }
        self.room(buf, self.buffers.at(source).nodes)?;
        Ok((key.index, foreign))
    }

    fn put_back(&mut self, main: u32, source: u32, foreign: bool) {
        let to = self.node(main).buf;
        let main_key = self.nodes.key(main);
        let buffer = self.buffers.at(source);
        let (only_data, changed) = (buffer.stream, foreign || buffer.modified);
        self.flag_emptied(source);
        let mut target = main;
        let mut node = self.buffers.at(source).head;
        while node != NIL {
            let next = self.node(node).next;
            match &self.node(node).kind {
                Kind::Seam { part } if self.is_part(*part, main_key) => {
                    target = part.index;
                    self.drop_node(node);
                }
                Kind::Data(_) => {
                    if let Some(data) = self.data_mut(node) {
                        data.modified |= changed;
                    }
                    self.move_nodes(node, node, to, target);
                }
                _ if !only_data => self.move_nodes(node, node, to, target),
                _ => {}
            }
            node = next;
        }
        self.remove_hole(main, changed);
        let buffer = self.buffers.at_mut(source);
        if buffer.origin == main_key {
            buffer.origin = Key::NONE;
        }
    }

    fn is_part(&self, part: Key, main: Key) -> bool {
        self.nodes
            .get(part)
            .is_some_and(|node| matches!(&node.kind, Kind::Hole(hole) if hole.main == main))
    }

    /// Removes the hole of a selection that was freed without coming back.
    pub(super) fn close_hole(&mut self, place: Key) {
        let is_main = self
            .nodes
            .get(place)
            .is_some_and(|node| matches!(&node.kind, Kind::Hole(hole) if hole.main.is_none()));
        if is_main {
            self.remove_hole(place.index, true);
        }
    }

    /// Removes a hole with all its parts and flags, if so told, the pieces
    /// they were in.
    pub(super) fn remove_hole(&mut self, main: u32, changed: bool) {
        let mut parts = match &self.node(main).kind {
            Kind::Hole(Hole { spread: true, .. }) => {
                let key = self.nodes.key(main);
                self.hole_parts.remove(&key).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        parts.retain(|part| self.nodes.get(*part).is_some());
        let parts = parts.into_iter().map(|part| part.index);
        for node in std::iter::once(main).chain(parts) {
            if changed {
                self.flag_change(node);
            }
            self.drop_node(node);
        }
    }

    /// Flags the piece around a node as modified, or else its buffer.
    pub(super) fn flag_change(&mut self, node: u32) {
        let buf = self.node(node).buf;
        let mut at = node;
        while at != NIL {
            if let Kind::Boundary(boundary) = &mut self.nodes.at_mut(at).kind {
                boundary.modified = true;
                return;
            }
            at = self.node(at).next;
        }
        self.buffers.at_mut(buf).modified = true;
    }
}

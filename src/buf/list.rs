//! Node lists: how a buffer is laid out, and the moves every edit is made of.
//!
//! Three slabs refer to each other by slot number: a buffer to its first and
//! last node, a node to its neighbours, and all data nodes that came from
//! one window (a *run*) to each other in the order of their bytes. A byte
//! that was put into a buffer is known by (run, offset) for as long as it
//! lives, and lies in exactly one node; a shared copy is a run of its own.
//!
//! Erasing to the end of a node leaves it in place with no bytes. It keeps
//! positions that rest at that end usable and remembers the modification.

use super::slab::{Key, NIL};
use super::{BufError, ExtId, Store};

pub(super) struct Buffer {
    pub head: u32,
    pub tail: u32,
    /// Nodes in the list.
    pub nodes: u32,
    /// Bytes in the list.
    pub len: u64,
    pub stream: bool,
    pub finished: bool,
    /// Nothing may be inserted, whatever the nodes say.
    pub readonly: bool,
    /// Modified in a way that no node can remember.
    pub modified: bool,
    /// Pieces pushed so far, the number of the next one.
    pub pushed: u64,
    /// The hole this buffer was selected out of.
    pub origin: Key,
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer {
            head: NIL,
            tail: NIL,
            nodes: 0,
            len: 0,
            stream: false,
            finished: false,
            readonly: false,
            modified: false,
            pushed: 0,
            origin: Key::NONE,
        }
    }
}

/// One window of an extent as it was put into a buffer.
pub(super) struct Run {
    pub ext: ExtId,
    /// Where the window starts in the extent.
    pub base: u32,
    /// A node of the run, the one looked up last.
    pub hint: u32,
}

pub(super) struct Node {
    pub prev: u32,
    pub next: u32,
    /// Slot of the buffer it is in.
    pub buf: u32,
    pub kind: Kind,
}

pub(super) enum Kind {
    Data(Data),
    /// Holds the piece it lies in: all of it, or when `readonly` a copy.
    Mark {
        readonly: bool,
    },
    Hole(Hole),
    /// In a selected buffer: what follows belongs to this part of the hole.
    Seam {
        part: Key,
    },
    Boundary(Boundary),
}

pub(super) struct Data {
    pub run: u32,
    /// Offset of the first byte in the run.
    pub at: u32,
    pub len: u32,
    pub run_prev: u32,
    pub run_next: u32,
    pub writable: bool,
    pub modified: bool,
}

/// Where bytes were selected out. A selection that spanned pieces leaves a
/// part in each, so that restored bytes return to their own piece.
pub(super) struct Hole {
    /// The first part; none in the first part itself.
    pub main: Key,
    /// Whether there are more parts; set in the first part only.
    pub spread: bool,
    /// The selected buffer; set in the first part only.
    pub content: Key,
}

/// The end of a pushed piece.
pub(super) struct Boundary {
    pub piece: u64,
    /// What was pushed, if the piece was one window; else its length only.
    pub ext: ExtId,
    pub base: u32,
    pub len: u64,
    /// Popped already; what is left is readable until a mark goes.
    pub popped: bool,
    pub writable: bool,
    pub modified: bool,
    /// Another packet will carry it than the one whose window it is.
    pub apart: bool,
}

impl Node {
    pub fn modified(&self) -> bool {
        match &self.kind {
            Kind::Data(data) => data.modified,
            Kind::Boundary(boundary) => boundary.modified,
            _ => false,
        }
    }

    pub fn data(&self) -> Option<&Data> {
        if let Kind::Data(data) = &self.kind {
            Some(data)
        } else {
            None
        }
    }

    /// Bytes in the node.
    pub fn len(&self) -> u32 {
        self.data().map_or(0, |data| data.len)
    }
}

impl Store {
    pub(super) fn node(&self, node: u32) -> &Node {
        self.nodes.at(node)
    }

    pub(super) fn data_mut(&mut self, node: u32) -> Option<&mut Data> {
        if let Kind::Data(data) = &mut self.nodes.at_mut(node).kind {
            Some(data)
        } else {
            None
        }
    }

    /// The nodes from a slot to the end of its list.
    pub(super) fn nodes_from(&self, mut node: u32) -> impl Iterator<Item = &Node> {
        std::iter::from_fn(move || {
            if node == NIL {
                return None;
            }
            let found = self.nodes.at(node);
            node = found.next;
            Some(found)
        })
    }

    /// Whether `more` nodes fit the buffer and the store.
    pub(super) fn room(&self, buf: u32, more: u32) -> Result<(), BufError> {
        let nodes = self.buffers.at(buf).nodes;
        if nodes.saturating_add(more) > self.limits.nodes_per_buffer {
            return Err(BufError::TooManyPieces);
        }
        self.room_in_store(more)
    }

    pub(super) fn room_in_store(&self, more: u32) -> Result<(), BufError> {
        let more = more as usize;
        if self.nodes.room() < more || self.runs.room() < more {
            return Err(BufError::Memory);
        }
        Ok(())
    }

    /// Links a node in front of `before`, or last if that is `NIL`. Callers
    /// made sure of room.
    #[inline]
    pub(super) fn link(&mut self, buf: u32, before: u32, kind: Kind) -> u32 {
        let prev = if before == NIL {
            self.buffers.at(buf).tail
        } else {
            self.node(before).prev
        };
        let len = if let Kind::Data(data) = &kind {
            data.len
        } else {
            0
        };
        let node = self
            .nodes
            .insert(Node {
                prev,
                next: before,
                buf,
                kind,
            })
            .expect("room was checked before linking")
            .index;
        self.join(buf, prev, node);
        self.join(buf, node, before);
        let buffer = self.buffers.at_mut(buf);
        buffer.nodes += 1;
        buffer.len += u64::from(len);
        node
    }

    #[inline]
    fn join(&mut self, buf: u32, left: u32, right: u32) {
        if left == NIL {
            self.buffers.at_mut(buf).head = right;
        } else {
            self.nodes.at_mut(left).next = right;
        }
        if right == NIL {
            self.buffers.at_mut(buf).tail = left;
        } else {
            self.nodes.at_mut(right).prev = left;
        }
    }

    /// Moves the nodes `first..=last` in front of `before` in another buffer.
    pub(super) fn move_nodes(&mut self, first: u32, last: u32, to: u32, before: u32) {
        let from = self.node(first).buf;
        let (mut count, mut bytes, mut node) = (0, 0, first);
        loop {
            let moved = self.nodes.at_mut(node);
            moved.buf = to;
            count += 1;
            bytes += u64::from(moved.len());
            if node == last {
                break;
            }
            node = moved.next;
        }
        let (outer_prev, outer_next) = (self.node(first).prev, self.node(last).next);
        self.join(from, outer_prev, outer_next);
        let prev = if before == NIL {
            self.buffers.at(to).tail
        } else {
            self.node(before).prev
        };
        self.join(to, prev, first);
        self.join(to, last, before);
        let buffer = self.buffers.at_mut(from);
        buffer.nodes -= count;
        buffer.len -= bytes;
        let buffer = self.buffers.at_mut(to);
        buffer.nodes += count;
        buffer.len += bytes;
    }

    /// Unlinks a node and frees it, with its run and bytes when it is the
    /// last node of theirs.
    pub(super) fn drop_node(&mut self, node: u32) {
        let gone = self.nodes.at(node);
        let (buf, prev, next, len) = (gone.buf, gone.prev, gone.next, gone.len());
        self.join(buf, prev, next);
        let buffer = self.buffers.at_mut(buf);
        buffer.nodes -= 1;
        buffer.len -= u64::from(len);
        self.leave_run(node);
        self.nodes.discard(node);
    }

    /// Takes a data node off its run, and frees a run left without nodes.
    #[inline]
    fn leave_run(&mut self, node: u32) {
        let Some(data) = self.node(node).data() else {
            return;
        };
        let (run, prev, next) = (data.run, data.run_prev, data.run_next);
        if prev == NIL && next == NIL {
            let ext = self.runs.at(run).ext;
            self.runs.discard(run);
            self.extents.release(ext);
            return;
        }
        if let Some(data) = self.run_link(prev) {
            data.run_next = next;
        }
        if let Some(data) = self.run_link(next) {
            data.run_prev = prev;
        }
        self.runs.at_mut(run).hint = if prev == NIL { next } else { prev };
    }

    fn run_link(&mut self, node: u32) -> Option<&mut Data> {
        if node == NIL {
            None
        } else {
            self.data_mut(node)
        }
    }

    /// Frees every node of a buffer.
    #[inline]
    pub(super) fn clear(&mut self, buf: u32) {
        if !self.hole_parts.is_empty() {
            self.clear_with_holes(buf);
        }
        let buffer = self.buffers.at_mut(buf);
        let mut node = std::mem::replace(&mut buffer.head, NIL);
        (buffer.tail, buffer.nodes, buffer.len) = (NIL, 0, 0);
        // The list is given up as a whole, so its links need no repair.
        while node != NIL {
            let gone = node;
            node = self.node(gone).next;
            self.leave_run(gone);
            self.nodes.discard(gone);
        }
    }

    /// Frees every node together with the parts of holes that were moved to
    /// other buffers.
    fn clear_with_holes(&mut self, buf: u32) {
        loop {
            let head = self.buffers.at(buf).head;
            if head == NIL {
                return;
            }
            match &self.node(head).kind {
                Kind::Hole(Hole { spread: true, .. }) => self.remove_hole(head, true),
                _ => self.drop_node(head),
            }
        }
    }

    /// Adds a window of an extent as a new run at the end of a buffer. Callers
    /// checked the window and made sure of room.
    pub(super) fn append_window(
        &mut self,
        buf: u32,
        ext: ExtId,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> u32 {
        self.insert_window(buf, NIL, ext, offset as u32, len as u32, writable, false)
    }

    #[allow(clippy::too_many_arguments)] // the fields of the node it makes
    pub(super) fn insert_window(
        &mut self,
        buf: u32,
        before: u32,
        ext: ExtId,
        base: u32,
        len: u32,
        writable: bool,
        modified: bool,
    ) -> u32 {
        self.extents.retain(ext);
        let run = self
            .runs
            .insert(Run {
                ext,
                base,
                hint: NIL,
            })
            .expect("room was checked before linking")
            .index;
        let data = Data {
            run,
            at: 0,
            len,
            run_prev: NIL,
            run_next: NIL,
            writable,
            modified,
        };
        let node = self.link(buf, before, Kind::Data(data));
        self.runs.at_mut(run).hint = node;
        node
    }

    /// Cuts a data node after `keep` bytes; the rest becomes a node behind
    /// it, which is returned.
    pub(super) fn split(&mut self, node: u32, keep: u32) -> Result<u32, BufError> {
        let (buf, next) = (self.node(node).buf, self.node(node).next);
        self.room(buf, 1)?;
        let Some(data) = self.data_mut(node) else {
            return Err(BufError::Internal);
        };
        let rest = Data {
            run: data.run,
            at: data.at + keep,
            len: data.len - keep,
            run_prev: node,
            run_next: data.run_next,
            writable: data.writable,
            modified: data.modified,
        };
        data.len = keep;
        let (after, moved) = (data.run_next, rest.len);
        self.buffers.at_mut(buf).len -= u64::from(moved);
        let made = self.link(buf, next, Kind::Data(rest));
        if let Some(data) = self.data_mut(node) {
            data.run_next = made;
        }
        if let Some(after) = self.run_link(after) {
            after.run_prev = made;
        }
        Ok(made)
    }

    /// Takes all bytes of a data node away and flags the change. The node
    /// stays, empty, unless the byte after it lives on in another node.
    pub(super) fn empty_node(&mut self, node: u32) {
        let buf = self.node(node).buf;
        let Some(data) = self.data_mut(node) else {
            return;
        };
        let (gone, follower) = (data.len, data.run_next);
        let end = data.at + gone;
        data.at = end;
        data.len = 0;
        data.modified = true;
        self.buffers.at_mut(buf).len -= u64::from(gone);
        // The follower takes the flag over only from beside it: in another
        // buffer or piece it would flag the wrong one.
        if follower != NIL
            && self.node(node).next == follower
            && let Some(rest) = self.data_mut(follower).filter(|rest| rest.at == end)
        {
            rest.modified = true;
            self.drop_node(node);
        }
    }

    /// Joins data nodes of a stretch that lie side by side in one run, from
    /// `node` up to but not including `stop`.
    pub(super) fn coalesce(&mut self, mut node: u32, stop: u32) {
        while node != NIL && node != stop {
            let next = self.node(node).next;
            if next == NIL || next == stop {
                return;
            }
            if self.joinable(node, next) {
                self.join_data(node, next);
            } else {
                node = next;
            }
        }
    }

    fn joinable(&self, left: u32, right: u32) -> bool {
        let (Some(left), Some(right)) = (self.node(left).data(), self.node(right).data()) else {
            return false;
        };
        left.run == right.run
            && left.at + left.len == right.at
            && left.writable == right.writable
            && left.modified == right.modified
    }

    fn join_data(&mut self, left: u32, right: u32) {
        let (buf, len) = (self.node(right).buf, self.node(right).len());
        self.drop_node(right);
        if let Some(data) = self.data_mut(left) {
            data.len += len;
        }
        self.buffers.at_mut(buf).len += u64::from(len);
    }
}

//! Editable bytes: buffers that are cut, spliced and read in place.
//!
//! A [`Store`] holds the buffers of one worker. A buffer is a list of nodes:
//! windows on shared bytes, and control nodes without length (marks, holes
//! left by `select`, boundaries between the pieces pushed on a stream).
//! Positions are not registered anywhere: a [`Pos`] names a byte by the
//! window it came in with, is looked up when used, and so outlives every
//! edit that leaves its byte alive, moves to other buffers included.
//!
//! Every id carries a generation and every operation is bounded by the node
//! cap and the bytes held, so that no caller, rules included, can make this
//! module panic, loop or read what is not there. Nothing here knows Lua.
//!
//! Not here: reassembly (`stream`), what may be edited when (`rule`).

mod access;
mod edit;
mod extent;
mod freeze;
mod front;
pub mod fuzz;
mod list;
mod number;
mod piece;
mod position;
mod read;
mod select;
mod slab;
#[cfg(test)]
mod tests;
mod walk;

pub use edit::{CloneMode, Inserted};
pub use extent::{BLOCK, Block, ExtId, ExtentPool, Owner};
pub use freeze::Frozen;
pub use number::Endian;
pub use piece::Popped;
pub use position::{Advance, Pos, Span};
pub use select::Selection;
pub use slab::Key;
pub(crate) use slab::Slab;

use std::collections::HashMap;

use list::{Buffer, Node, Run};
use thiserror::Error;

/// Names a buffer or stream; refused once it is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufId(pub Key);

/// Why an operation was refused. Codes start at one and follow this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}", self.text())]
#[repr(i32)]
pub enum BufError {
    InvalidBuffer = 1,
    InvalidIterator,
    InvalidEnd,
    ReadOnly,
    Circular,
    NotMark,
    NotReference,
    NotFlat,
    Finished,
    NotStream,
    TooManyPieces,
    TooManyBuffers,
    Memory,
    InvalidIndex,
    UnsupportedSize,
    InvalidNumber,
    InvalidBitOffset,
    InvalidBitSize,
    Internal,
}

impl BufError {
    const ALL: [BufError; 19] = [
        BufError::InvalidBuffer,
        BufError::InvalidIterator,
        BufError::InvalidEnd,
        BufError::ReadOnly,
        BufError::Circular,
        BufError::NotMark,
        BufError::NotReference,
        BufError::NotFlat,
        BufError::Finished,
        BufError::NotStream,
        BufError::TooManyPieces,
        BufError::TooManyBuffers,
        BufError::Memory,
        BufError::InvalidIndex,
        BufError::UnsupportedSize,
        BufError::InvalidNumber,
        BufError::InvalidBitOffset,
        BufError::InvalidBitSize,
        BufError::Internal,
    ];

    /// The error with this code.
    pub fn from_code(code: usize) -> Option<BufError> {
        Self::ALL.get(code.checked_sub(1)?).copied()
    }

    /// The text that rules see.
    pub fn text(self) -> &'static str {
        match self {
            BufError::InvalidBuffer => "invalid buffer",
            BufError::InvalidIterator => "invalid buffer iterator",
            BufError::InvalidEnd => "invalid buffer end",
            BufError::ReadOnly => "read only buffer",
            BufError::Circular => "circular buffer insertion",
            BufError::NotMark => "iterator is not a mark",
            BufError::NotReference => "invalid restore iterator",
            BufError::NotFlat => "buffer cannot be flatten",
            BufError::Finished => "stream marked as finished",
            BufError::NotStream => "buffer is not a stream",
            BufError::TooManyPieces => "too many pieces in buffer",
            BufError::TooManyBuffers => "too many buffers",
            BufError::Memory => "not enough memory",
            BufError::InvalidIndex => "invalid buffer index",
            BufError::UnsupportedSize => "unsupported size",
            BufError::InvalidNumber => "invalid number, value does not fit",
            BufError::InvalidBitOffset => "invalid bit offset",
            BufError::InvalidBitSize => "invalid bit size",
            BufError::Internal => "internal buffer error",
        }
    }
}

/// Caps of a [`Store`]. At a cap the operation is refused with an error.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of storage that rules may hold (`not enough memory`).
    pub rule_bytes: usize,
    /// Bytes of packets held above which rules may not clone or select, both
    /// of which keep packets alive (`not enough memory`).
    pub packet_bytes: usize,
    /// Nodes in one buffer or stream (`too many pieces in buffer`).
    pub nodes_per_buffer: u32,
    /// Buffers and streams alive (`too many buffers`).
    pub buffers: usize,
    /// Nodes alive in all buffers together (`not enough memory`).
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            rule_bytes: 64 << 20,
            packet_bytes: 1 << 30,
            nodes_per_buffer: 4096,
            buffers: 8 << 20,
            nodes: 16 << 20,
        }
    }
}

/// All buffers of one worker and the bytes under them.
pub struct Store {
    /// The bytes; the engine stores packets here directly.
    pub extents: ExtentPool,
    runs: Slab<Run>,
    nodes: Slab<Node>,
    buffers: Slab<Buffer>,
    limits: Limits,
    /// The further parts of holes that have any, by the first part. Rare, and
    /// therefore not in the nodes.
    hole_parts: HashMap<Key, Vec<Key>>,
    /// What the last engine pop took out, unless it was untouched.
    popped: u32,
    /// Bytes of several nodes laid side by side for a caller.
    scratch: Vec<u8>,
}

impl Default for Store {
    fn default() -> Self {
        Store::new(Limits::default())
    }
}

impl Store {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        let mut buffers = Slab::new(limits.buffers.max(1));
        let popped = buffers
            .insert(Buffer::default())
            .map_or(slab::NIL, |key| key.index);
        Store {
            extents: ExtentPool::new(limits.rule_bytes),
            runs: Slab::new(limits.nodes),
            nodes: Slab::new(limits.nodes),
            buffers,
            limits,
            hole_parts: HashMap::new(),
            popped,
            scratch: Vec::new(),
        }
    }

    /// A buffer over `len` bytes of an extent from `offset`, as a packet's
    /// payload is. Takes a reference of its own. Without `writable` the
    /// bytes, and the buffer's length, stay as they are.
    pub fn new_over(
        &mut self,
        ext: ExtId,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> Result<BufId, BufError> {
        self.check_window(ext, offset, len)?;
        self.room_in_store(1)?;
        let readonly = !writable;
        let key = self
            .buffers
            .insert(Buffer {
                readonly,
                ..Buffer::default()
            })
            .ok_or(BufError::TooManyBuffers)?;
        if len > 0 {
            self.append_window(key.index, ext, offset, len, writable);
        }
        Ok(BufId(key))
    }

    /// A buffer made by a rule from a copy of `bytes`.
    pub fn new_from(&mut self, bytes: &[u8]) -> Result<BufId, BufError> {
        let ext = self.extents.alloc_rule(bytes)?;
        self.new_owning(ext, bytes.len())
    }

    /// A buffer made by a rule of `len` zero bytes.
    pub fn new_zero(&mut self, len: usize) -> Result<BufId, BufError> {
        let ext = self.extents.alloc_zero(len)?;
        self.new_owning(ext, len)
    }

    fn new_owning(&mut self, ext: ExtId, len: usize) -> Result<BufId, BufError> {
        let made = self.new_over(ext, 0, len, true);
        self.extents.release(ext);
        made
    }

    /// An empty plain buffer.
    pub fn new_empty(&mut self) -> Result<BufId, BufError> {
        self.buffers
            .insert(Buffer::default())
            .map(BufId)
            .ok_or(BufError::TooManyBuffers)
    }

    /// Frees a buffer or stream with everything in it; a stale id is ignored.
    /// If it was selected out of another buffer and never put back, its place
    /// there is closed.
    pub fn free(&mut self, buf: BufId) {
        let Some(buffer) = self.buffers.get(buf.0) else {
            return;
        };
        let origin = buffer.origin;
        if buf.0.index == self.popped {
            return;
        }
        self.clear(buf.0.index);
        if !origin.is_none() {
            self.close_hole(origin);
        }
        self.buffers.discard(buf.0.index);
    }

    /// Bytes in the buffer; for a stream, all it holds.
    #[inline]
    pub fn len(&self, buf: BufId) -> Result<u64, BufError> {
        Ok(self.buffer(buf)?.len)
    }

    /// Whether the buffer holds no bytes; also true once it is freed.
    pub fn is_empty(&self, buf: BufId) -> bool {
        self.len(buf).unwrap_or(0) == 0
    }

    /// Whether bytes were written, inserted or erased. Marks, splits,
    /// `select` and `restore` do not count. False once the buffer is freed.
    pub fn is_modified(&self, buf: BufId) -> bool {
        self.buffer(buf)
            .is_ok_and(|buffer| buffer.modified || self.nodes_from(buffer.head).any(Node::modified))
    }

    /// Whether the id still names a buffer.
    pub fn exists(&self, buf: BufId) -> bool {
        self.buffers.get(buf.0).is_some()
    }

    /// Buffers and streams alive.
    pub fn live_buffers(&self) -> usize {
        self.buffers.len() - 1
    }

    /// Nodes alive in all buffers.
    pub fn live_nodes(&self) -> usize {
        self.nodes.len()
    }

    fn buffer(&self, buf: BufId) -> Result<&Buffer, BufError> {
        self.buffers.get(buf.0).ok_or(BufError::InvalidBuffer)
    }

    /// The slot of a live buffer, for code that works on links.
    fn slot(&self, buf: BufId) -> Result<u32, BufError> {
        self.buffer(buf).map(|_| buf.0.index)
    }

    fn check_window(&self, ext: ExtId, offset: usize, len: usize) -> Result<(), BufError> {
        let end = offset.checked_add(len).ok_or(BufError::InvalidEnd)?;
        self.extents
            .bytes(ext)
            .get(offset..end)
            .map(|_| ())
            .ok_or(BufError::InvalidEnd)
    }
}

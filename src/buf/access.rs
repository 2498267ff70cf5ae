//! Writing in place: bytes change, lengths do not.

use super::list::{Kind, Node};
use super::position::{Cursor, Stretch};
use super::slab::NIL;
use super::{BufError, Span, Store};

impl Store {
    /// Overwrites the span with as much of `bytes` as fits.
    pub fn set_fixed(&mut self, span: Span, bytes: &[u8]) -> Result<(), BufError> {
        let stretch = self.stretch(span)?;
        let len = stretch.len.min(bytes.len() as u64);
        self.write(Stretch { len, ..stretch }, bytes)
    }

    /// Overwrites the span with zeros.
    pub fn zero(&mut self, span: Span) -> Result<(), BufError> {
        let stretch = self.stretch(span)?;
        self.write_with(stretch, |window| window.fill(0))
    }

    /// Overwrites one byte of the span.
    pub fn set_byte(&mut self, span: Span, index: u64, byte: u8) -> Result<(), BufError> {
        let stretch = self.stretch(span)?;
        if index >= stretch.len {
            return Err(BufError::InvalidIndex);
        }
        let start = self.to_byte(self.step(stretch.start, index).0);
        self.write(Stretch { start, len: 1 }, &[byte])
    }

    /// Overwrites a stretch with bytes of the same length.
    pub(super) fn write(&mut self, stretch: Stretch, bytes: &[u8]) -> Result<(), BufError> {
        let mut rest = bytes;
        self.write_with(stretch, |window| {
            let (now, later) = rest.split_at(window.len().min(rest.len()));
            for (to, from) in window.iter_mut().zip(now) {
                *to = *from;
            }
            rest = later;
        })
    }

    fn write_with(
        &mut self,
        stretch: Stretch,
        mut change: impl FnMut(&mut [u8]),
    ) -> Result<(), BufError> {
        self.check_writable(stretch)?;
        let (mut node, mut at, mut left) = (stretch.start.node, stretch.start.at, stretch.len);
        while left > 0 && node != NIL {
            let entry = self.nodes.at_mut(node);
            if let Kind::Data(data) = &mut entry.kind {
                let take = left.min(u64::from(data.len - at)) as u32;
                if take > 0 {
                    data.modified = true;
                    let run = self.runs.at(data.run);
                    let start = (run.base + data.at + at) as usize;
                    let bytes = self.extents.bytes_mut(run.ext);
                    if let Some(window) = bytes.get_mut(start..start + take as usize) {
                        change(window);
                    }
                }
                left -= u64::from(take);
            }
            at = 0;
            node = entry.next;
        }
        Ok(())
    }

    /// Refuses a stretch with a byte that may not be changed.
    pub(super) fn check_writable(&self, stretch: Stretch) -> Result<(), BufError> {
        let (mut at, mut left) = (stretch.start.at, stretch.len);
        for node in self.nodes_from(stretch.start.node) {
            if left == 0 {
                break;
            }
            if let Some(data) = node.data() {
                let take = left.min(u64::from(data.len - at));
                if take > 0 && !data.writable {
                    return Err(BufError::ReadOnly);
                }
                left -= take;
            }
            at = 0;
        }
        Ok(())
    }

    /// Refuses an insertion next to bytes, or into a piece or buffer, that
    /// may not be changed.
    pub(super) fn check_insertable(&self, cursor: Cursor) -> Result<(), BufError> {
        let buffer = self.buffers.at(cursor.buf);
        let flag = |node: &Node| match &node.kind {
            Kind::Data(data) => Some(data.writable),
            Kind::Boundary(boundary) => Some(boundary.writable),
            _ => None,
        };
        // Marks and holes have no say: what they stand beside has.
        let mut node = if cursor.node == NIL {
            buffer.tail
        } else {
            cursor.node
        };
        let mut beside = None;
        while node != NIL && beside.is_none() {
            beside = flag(self.node(node));
            node = self.node(node).prev;
        }
        let beside = beside.or_else(|| self.nodes_from(cursor.node).find_map(flag));
        if buffer.readonly || beside == Some(false) {
            return Err(BufError::ReadOnly);
        }
        Ok(())
    }
}

//! Reading: sizes, bytes, searches. Nothing here changes a buffer.

use memchr::{memchr_iter, memmem};

use super::list::Data;
use super::position::Stretch;
use super::{BufError, BufId, ExtId, Span, Store};

impl Store {
    /// Bytes the span covers now.
    #[inline]
    pub fn span_len(&mut self, span: Span) -> Result<u64, BufError> {
        Ok(self.stretch(span)?.len)
    }

    /// Whether the span lies in one node.
    pub fn is_flat(&mut self, span: Span) -> Result<bool, BufError> {
        let stretch = self.stretch(span)?;
        Ok(self.flat(stretch).is_some())
    }

    /// The span's bytes, side by side: in place if they lie so, else copied.
    pub fn bytes(&mut self, span: Span) -> Result<&[u8], BufError> {
        let stretch = self.stretch(span)?;
        Ok(self.contiguous(stretch))
    }

    /// Copies the span's bytes behind those in `out`.
    pub fn copy_span(&mut self, span: Span, out: &mut Vec<u8>) -> Result<(), BufError> {
        let stretch = self.stretch(span)?;
        for piece in self.windows(stretch) {
            out.extend_from_slice(piece);
        }
        Ok(())
    }

    /// Copies the whole buffer behind what is in `out`.
    pub fn copy_out(&mut self, buf: BufId, out: &mut Vec<u8>) -> Result<(), BufError> {
        for piece in self.pieces(buf)? {
            out.extend_from_slice(piece);
        }
        Ok(())
    }

    /// The contiguous stretches of bytes that make up a buffer, in order.
    pub fn pieces(&self, buf: BufId) -> Result<impl Iterator<Item = &[u8]>, BufError> {
        let head = self.buffer(buf)?.head;
        Ok(self
            .nodes_from(head)
            .filter_map(|node| node.data())
            .filter(|data| data.len > 0)
            .map(|data| self.window(data, 0, data.len)))
    }

    /// The extents under a buffer: id, offset and length of each window.
    pub fn extents_of(
        &self,
        buf: BufId,
    ) -> Result<impl Iterator<Item = (ExtId, usize, usize)>, BufError> {
        let head = self.buffer(buf)?.head;
        Ok(self
            .nodes_from(head)
            .filter_map(|node| node.data())
            .filter(|data| data.len > 0)
            .map(|data| {
                let run = self.runs.at(data.run);
                (run.ext, (run.base + data.at) as usize, data.len as usize)
            }))
    }

    /// Offset of the first occurrence of `needle` at or after `init`, from
    /// the start of the span. An empty needle is found at `init`.
    pub fn find(&mut self, span: Span, needle: &[u8], init: u64) -> Result<Option<u64>, BufError> {
        let stretch = self.stretch(span)?;
        if init > stretch.len {
            return Ok(None);
        }
        let bytes = self.contiguous(stretch);
        let found = bytes
            .get(init as usize..)
            .and_then(|rest| memmem::find(rest, needle));
        Ok(found.map(|at| at as u64 + init))
    }

    /// How often a byte occurs in the span.
    pub fn count(&mut self, span: Span, byte: u8) -> Result<u64, BufError> {
        let stretch = self.stretch(span)?;
        Ok(self
            .windows(stretch)
            .map(|piece| memchr_iter(byte, piece).count() as u64)
            .sum())
    }

    /// The sum of the span's bytes.
    pub fn sum(&mut self, span: Span) -> Result<u64, BufError> {
        let stretch = self.stretch(span)?;
        Ok(self
            .windows(stretch)
            .flatten()
            .map(|&byte| u64::from(byte))
            .sum())
    }

    /// One byte of the span; none when `index` is outside it.
    pub fn byte_at(&mut self, span: Span, index: u64) -> Result<Option<u8>, BufError> {
        let stretch = self.stretch(span)?;
        if index >= stretch.len {
            return Ok(None);
        }
        let cursor = self.to_byte(self.step(stretch.start, index).0);
        let one = Stretch {
            start: cursor,
            len: 1,
        };
        Ok(self
            .windows(one)
            .next()
            .and_then(|piece| piece.first().copied()))
    }

    /// The bytes of `data` from `at` on.
    pub(super) fn window(&self, data: &Data, at: u32, len: u32) -> &[u8] {
        let run = self.runs.at(data.run);
        let start = (run.base + data.at + at) as usize;
        self.extents
            .bytes(run.ext)
            .get(start..start + len as usize)
            .unwrap_or(&[])
    }

    /// The stretch's bytes, node by node.
    pub(super) fn windows(&self, stretch: Stretch) -> impl Iterator<Item = &[u8]> {
        let mut left = stretch.len;
        let mut at = stretch.start.at;
        self.nodes_from(stretch.start.node).map_while(move |node| {
            if left == 0 {
                return None;
            }
            let from = std::mem::take(&mut at);
            let Some(data) = node.data() else {
                return Some(&[] as &[u8]);
            };
            let take = left.min(u64::from(data.len - from)) as u32;
            left -= u64::from(take);
            Some(self.window(data, from, take))
        })
    }

    /// The stretch's bytes if one node has them all.
    #[inline]
    pub(super) fn flat(&self, stretch: Stretch) -> Option<&[u8]> {
        if stretch.len == 0 {
            return Some(&[]);
        }
        let data = self.node(stretch.start.node).data()?;
        if stretch.len > u64::from(data.len - stretch.start.at) {
            return None;
        }
        Some(self.window(data, stretch.start.at, stretch.len as u32))
    }

    fn contiguous(&mut self, stretch: Stretch) -> &[u8] {
        if self.flat(stretch).is_none() {
            let mut scratch = std::mem::take(&mut self.scratch);
            scratch.clear();
            for piece in self.windows(stretch) {
                scratch.extend_from_slice(piece);
            }
            self.scratch = scratch;
            return &self.scratch;
        }
        self.flat(stretch).unwrap_or(&[])
    }
}

//! Judged bytes kept until they are acknowledged, so that a retransmission
//! brings the receiver what was judged and nothing else.

use std::collections::VecDeque;

use crate::buf::{ExtId, ExtentPool};

/// A run of judged bytes: `len` bytes of the stream as sent stand for the
/// `new_len` bytes at `at` in the extent.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    pub offset: u64,
    pub len: u32,
    pub new_len: u32,
    pub edited: bool,
    extent: ExtId,
    at: u32,
}

/// The chunks of one direction, in order and without gaps.
#[derive(Debug, Default)]
pub struct Kept {
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

impl Kept {
    /// Keeps a chunk. Takes a reference on the extent.
    #[allow(clippy::too_many_arguments)]
    pub fn push(&mut self, pool: &mut ExtentPool, offset: u64, len: u32, extent: ExtId, at: u32, new_len: u32, edited: bool) {
        if len == 0 && new_len == 0 {
            return;
        }
        pool.retain(extent);
        self.bytes += new_len as usize;
        self.chunks.push_back(Chunk { offset, len, new_len, edited, extent, at });
    }

    /// Forgets chunks whose bytes were all acknowledged.
    pub fn acknowledge(&mut self, pool: &mut ExtentPool, offset: u64) {
        while let Some(chunk) = self.chunks.front() {
            if chunk.offset + u64::from(chunk.len) > offset {
                return;
            }
            self.drop_oldest(pool);
        }
    }

    /// Forgets the oldest chunks until at most `cap` bytes are kept; returns
    /// whether any had to go.
    pub fn shrink_to(&mut self, pool: &mut ExtentPool, cap: usize) -> bool {
        let before = self.chunks.len();
        while self.bytes > cap && self.chunks.len() > 1 {
            self.drop_oldest(pool);
        }
        before != self.chunks.len()
    }

    pub fn clear(&mut self, pool: &mut ExtentPool) {
        while !self.chunks.is_empty() {
            self.drop_oldest(pool);
        }
    }

    fn drop_oldest(&mut self, pool: &mut ExtentPool) {
        if let Some(chunk) = self.chunks.pop_front() {
            self.bytes -= chunk.new_len as usize;
            pool.release(chunk.extent);
        }
    }

    /// Appends to `out` the judged bytes for offsets `from..to`, whole where
    /// an edited chunk is touched. Returns the offset at which they begin
    /// and whether every byte asked for was kept.
    pub fn copy(&self, pool: &ExtentPool, from: u64, to: u64, out: &mut Vec<u8>) -> (u64, bool) {
        let mut start = None;
        let mut covered = from;
        let first = self.chunks.partition_point(|chunk| chunk.offset + u64::from(chunk.len) <= from && chunk.len > 0);
        for chunk in self.chunks.iter().skip(first) {
            if chunk.offset >= to {
                break;
            }
            let bytes = pool.bytes(chunk.extent);
            let whole = chunk.at as usize..chunk.at as usize + chunk.new_len as usize;
            if chunk.edited {
                start.get_or_insert(chunk.offset);
                out.extend_from_slice(bytes.get(whole).unwrap_or_default());
            } else {
                let begin = from.max(chunk.offset);
                let end = to.min(chunk.offset + u64::from(chunk.len));
                start.get_or_insert(begin);
                let at = whole.start + (begin - chunk.offset) as usize;
                out.extend_from_slice(bytes.get(at..at + (end - begin) as usize).unwrap_or_default());
            }
            if chunk.offset <= covered {
                covered = covered.max(chunk.offset + u64::from(chunk.len));
            }
        }
        (start.unwrap_or(from), covered >= to)
    }
}

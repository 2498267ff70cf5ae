//! Judged bytes kept until they are acknowledged, so that a retransmission
//! brings the receiver what was judged and nothing else.
//!
//! They are addressed by the offsets that the receiver counts, without a gap
//! between the oldest and the newest. Not here: which of them a segment has
//! to carry (`rebuild`).

use std::collections::VecDeque;
use std::ops::Range;

use crate::buf::{ExtId, ExtentPool};

/// A run of judged bytes: `len` bytes at `at` in the extent, which the
/// receiver counts from `start`.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    start: u64,
    len: u32,
    extent: ExtId,
    at: u32,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + u64::from(self.len)
    }
}

/// The chunks of one direction, in order and without gaps.
#[derive(Debug, Default)]
pub struct Kept {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Up to here the receiver has everything.
    acknowledged: u64,
}

impl Kept {
    /// Keeps a chunk. Takes a reference on the extent. What was kept before
    /// is forgotten where the chunk does not follow it.
    pub fn push(&mut self, pool: &mut ExtentPool, start: u64, extent: ExtId, at: u32, len: u32) {
        if len == 0 {
            return;
        }
        if self.chunks.back().is_some_and(|last| last.end() != start) {
            self.clear(pool);
        }
        pool.retain(extent);
        self.bytes += len as usize;
        self.chunks.push_back(Chunk {
            start,
            len,
            extent,
            at,
        });
    }

    /// Forgets chunks that the receiver has entirely.
    pub fn acknowledge(&mut self, pool: &mut ExtentPool, offset: u64) {
        self.acknowledged = self.acknowledged.max(offset);
        while self
            .chunks
            .front()
            .is_some_and(|chunk| chunk.end() <= offset)
        {
            self.drop_oldest(pool);
        }
    }

    /// Forgets the oldest chunks until at most `cap` bytes are kept; returns
    /// whether any had to go. The newest stays whatever its size.
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

    /// Up to here the receiver has everything.
    #[inline]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Whether bytes from `offset` on were forgotten although their receiver
    /// did not acknowledge them: the cap took them.
    pub fn lost(&self, offset: u64, begins: u64) -> bool {
        offset.max(self.acknowledged) < begins
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    fn drop_oldest(&mut self, pool: &mut ExtentPool) {
        if let Some(chunk) = self.chunks.pop_front() {
            self.bytes -= chunk.len as usize;
            pool.release(chunk.extent);
        }
    }

    /// Appends the kept bytes of a range to `out`. Returns where they begin:
    /// later than asked for what was forgotten, at the end if all was.
    pub fn copy(&self, pool: &ExtentPool, range: Range<u64>, out: &mut Vec<u8>) -> u64 {
        let first = self
            .chunks
            .partition_point(|chunk| chunk.end() <= range.start);
        let mut begins = None;
        for chunk in self
            .chunks
            .iter()
            .skip(first)
            .take_while(|chunk| chunk.start < range.end)
        {
            let from = range.start.max(chunk.start);
            let to = range.end.min(chunk.end());
            begins.get_or_insert(from);
            let at = chunk.at as usize + (from - chunk.start) as usize;
            let bytes = pool.bytes(chunk.extent).get(at..at + (to - from) as usize);
            out.extend_from_slice(bytes.unwrap_or_default());
        }
        begins.unwrap_or(range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(kept: &mut Kept, pool: &mut ExtentPool, start: u64, bytes: &[u8]) {
        let extent = pool.alloc_packet(bytes);
        kept.push(pool, start, extent, 0, bytes.len() as u32);
        pool.release(extent);
    }

    fn copied(kept: &Kept, pool: &ExtentPool, range: Range<u64>) -> (u64, Vec<u8>) {
        let mut out = Vec::new();
        let from = kept.copy(pool, range, &mut out);
        (from, out)
    }

    #[test]
    fn ranges_cross_chunks_and_begin_where_bytes_are_kept() {
        let (mut kept, mut pool) = (Kept::default(), ExtentPool::new(1 << 20));
        keep(&mut kept, &mut pool, 0, b"abcd");
        keep(&mut kept, &mut pool, 4, b"efgh");
        assert_eq!(copied(&kept, &pool, 2..6), (2, b"cdef".to_vec()));
        kept.acknowledge(&mut pool, 3);
        assert_eq!(copied(&kept, &pool, 0..5), (0, b"abcde".to_vec()));
        kept.acknowledge(&mut pool, 4);
        assert_eq!(copied(&kept, &pool, 0..5), (4, b"e".to_vec()));
        assert_eq!(copied(&kept, &pool, 0..3), (3, Vec::new()));
    }

    #[test]
    fn the_cap_forgets_the_oldest_and_frees_its_extent() {
        let (mut kept, mut pool) = (Kept::default(), ExtentPool::new(1 << 20));
        for number in 0..8 {
            keep(&mut kept, &mut pool, number * 4, b"abcd");
        }
        assert_eq!(pool.live(), 8);
        assert!(kept.shrink_to(&mut pool, 10));
        assert_eq!(pool.live(), 2);
        assert!(!kept.shrink_to(&mut pool, 10));
        assert_eq!(copied(&kept, &pool, 20..32), (24, b"abcdabcd".to_vec()));
        kept.shrink_to(&mut pool, 0);
        assert_eq!(pool.live(), 1, "the newest stays");
    }

    #[test]
    fn a_gap_forgets_what_came_before_it() {
        let (mut kept, mut pool) = (Kept::default(), ExtentPool::new(1 << 20));
        keep(&mut kept, &mut pool, 0, b"abcd");
        keep(&mut kept, &mut pool, 9, b"jk");
        assert_eq!(copied(&kept, &pool, 0..11), (9, b"jk".to_vec()));
        assert_eq!(pool.live(), 1);
    }
}

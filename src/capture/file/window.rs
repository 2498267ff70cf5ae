//! The sliding buffer: a stretch of the file that records are lent from.
//!
//! Bytes are read in pieces of a quarter of a MiB; only the unfinished record at
//! the end is moved to the front before the next read. The buffer grows for
//! a longer record, whose length the formats cap ([`super::MAX_RECORD`]).

use std::io::{self, ErrorKind, Read};

/// Long enough that reading costs little per packet, short enough to stay
/// in the second-level cache.
const CAPACITY: usize = 256 << 10;

pub(super) struct Window {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The unread bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Where `buffer[start]` lies in the stream.
    offset: u64,
    ended: bool,
    failure: Option<io::Error>,
}

impl Window {
    pub fn new(source: Box<dyn Read + Send>) -> Window {
        Window {
            source,
            buffer: vec![0; CAPACITY],
            start: 0,
            end: 0,
            offset: 0,
            ended: false,
            failure: None,
        }
    }

    /// The next `want` bytes, left in place; `None` when the stream ends or
    /// fails before them.
    #[inline]
    pub fn peek(&mut self, want: usize) -> Option<&[u8]> {
        if self.end - self.start < want {
            self.refill(want);
        }
        self.buffer.get(self.start..self.end)?.get(..want)
    }

    /// Like [`peek`](Self::peek), but content with less at the end.
    pub fn peek_up_to(&mut self, want: usize) -> &[u8] {
        if self.available() < want {
            self.refill(want);
        }
        let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
        unread.get(..want).unwrap_or(unread)
    }

    /// Unread bytes in the buffer.
    pub fn available(&self) -> usize {
        self.end - self.start
    }

    /// Passes over `count` bytes that were peeked at.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.available());
        self.start += count;
        self.offset += count as u64;
    }

    /// Passes over a peeked record of `total` bytes and lends `length` of
    /// them from `skip` on.
    #[inline]
    pub fn take(&mut self, total: usize, skip: usize, length: usize) -> &[u8] {
        let record = self.start;
        self.advance(total);
        self.buffer
            .get(record + skip..)
            .and_then(|packet| packet.get(..length))
            .expect("the format peeked at the whole record")
    }

    /// Passes over `count` bytes without keeping them. Returns how many there
    /// were, fewer only at the end.
    pub fn skip(&mut self, count: u64) -> u64 {
        let mut left = count;
        while left > 0 {
            if self.available() == 0 {
                self.refill(1);
            }
            let step = usize::try_from(left).map_or(self.available(), |n| n.min(self.available()));
            if step == 0 {
                break;
            }
            self.advance(step);
            left -= step as u64;
        }
        count - left
    }

    /// Where the unread bytes start, in bytes from the start of the stream.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the bytes read so far end.
    pub fn end_offset(&self) -> u64 {
        self.offset + self.available() as u64
    }

    /// Why reading stopped, if not at the end of the stream. Bytes read
    /// before are still served.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Reads until `want` bytes are there or no more will come.
    #[cold]
    fn refill(&mut self, want: usize) {
        if self.ended {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if want > self.buffer.len() {
            self.buffer.resize(want.next_power_of_two(), 0);
        }
        // Only as often as needed: a live pipe must not be made to wait for
        // a full buffer.
        while self.end < want {
            let free = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.source.read(free) {
                Ok(0) => {
                    self.ended = true;
                    return;
                }
                Ok(count) => self.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    self.failure = Some(error);
                    return;
                }
            }
        }
    }
}

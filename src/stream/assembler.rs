//! Segments that came too early, kept until the gap before them closes.
//!
//! Holds places, not bytes: a piece names a range of the stream and where in
//! the payload of which *token* (the caller's number for a held packet) its
//! bytes are. First received wins: of a segment that overlaps what is queued
//! or already delivered only the rest is taken, which may be several pieces.
//!
//! Tokens need no counting. The pieces of a token leave in the order of their
//! offsets, by [`Assembler::pop_ready`] and [`Assembler::drain`] alike, and
//! the final one is marked [`Piece::last`]: then the packet can go.
//!
//! There is no limit on the number of holes. Two caps bound the memory: on
//! segments, and on the bytes of the packets held (their whole payload, since
//! a packet of which one byte is new is held as a whole). A segment beyond a
//! cap is refused entirely, and the outcome says which cap it was. One that
//! continues the stream is never refused: what it adds, delivered with the
//! pieces it closes up to, leaves at once. A queue that is empty owns no memory.
//!
//! Not here: windows (offsets arbitrarily far ahead are taken), conflicts
//! between overlapping bytes, time-outs, SYN and FIN.

use std::collections::BTreeMap;
use std::ops::Range;

use smallvec::{SmallVec, smallvec};

/// How much may wait in one direction of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of the packets held.
    pub bytes: u64,
    /// Pieces queued.
    pub segments: u32,
}

impl Default for Limits {
    /// A megabyte, which is a usual receive window, and a piece for every
    /// quarter of a kilobyte in it.
    fn default() -> Self {
        Limits {
            bytes: 1 << 20,
            segments: 4096,
        }
    }
}

/// A range of the stream and where its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Place in the stream.
    pub offset: u64,
    /// Number of bytes. Zero if the stream went past a queued piece by other
    /// means; it is still handed out, for its token's sake.
    pub len: u32,
    /// Bytes of the token's payload before this piece.
    pub skip: u32,
    /// The caller's number of the packet.
    pub token: u32,
    /// No other piece of this token is left.
    pub last: bool,
}

impl Piece {
    /// Place of the first byte after the piece.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.len))
    }

    /// Cuts off what lies before `next`.
    fn starting_from(self, next: u64) -> Piece {
        let cut = next.saturating_sub(self.offset).min(u64::from(self.len)) as u32;
        Piece {
            offset: self.offset + u64::from(cut),
            len: self.len - cut,
            skip: self.skip + cut,
            ..self
        }
    }
}

/// Which cap refused a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    Bytes,
    Segments,
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the token is held or not, depending on the outcome"]
pub enum Inserted {
    /// Nothing in it was new. The token is not held.
    Duplicate,
    /// Something in it was new. `ready` continues the stream and was not
    /// queued: deliver it, advance, then ask [`Assembler::pop_ready`].
    /// The token is held if `queued` pieces were, else `ready` is its last.
    Accepted { ready: Option<Piece>, queued: u32 },
    /// It would have exceeded a cap. Nothing of it was taken, the token is
    /// not held.
    Refused(Cap),
}

/// The out-of-order queue of one direction.
#[derive(Debug, Default)]
pub struct Assembler {
    limits: Limits,
    /// Present while something is queued.
    queue: Option<Box<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    /// By offset, without overlaps.
    pieces: BTreeMap<u64, Queued>,
    bytes: u64,
    held_bytes: u64,
    /// The ranges that grew latest, the latest first; parts of larger blocks.
    recent: SmallVec<[Range<u64>; 4]>,
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    len: u32,
    skip: u32,
    token: u32,
    /// Payload length of the packet, on the last piece of its token.
    holds: Option<u32>,
}

impl Assembler {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: Limits) -> Assembler {
        Assembler {
            limits,
            queue: None,
        }
    }

    /// Takes a segment of `len` bytes at `offset`, given that the stream
    /// has been delivered up to `next`.
    #[inline]
    pub fn insert(&mut self, next: u64, offset: u64, len: u32, token: u32) -> Inserted {
        self.insert_part(next, offset, len, 0, token)
    }

    /// As [`Assembler::insert`], for a segment of whose payload the first
    /// `skip` bytes lie before the stream begins.
    #[inline]
    pub fn insert_part(
        &mut self,
        next: u64,
        offset: u64,
        len: u32,
        skip: u32,
        token: u32,
    ) -> Inserted {
        let whole = Piece {
            offset,
            len,
            skip,
            token,
            last: true,
        }
        .starting_from(next);
        if whole.len == 0 {
            return Inserted::Duplicate;
        }
        match &mut self.queue {
            None if whole.offset == next => Inserted::Accepted {
                ready: Some(whole),
                queued: 0,
            },
            queue => insert_around(queue, self.limits, next, whole, len),
        }
    }

    /// Takes the first piece if the stream, delivered up to `next`, has
    /// reached it. Call until `None`, advancing `next` by each piece.
    #[inline]
    pub fn pop_ready(&mut self, next: u64) -> Option<Piece> {
        let queue = self.queue.as_mut()?;
        let first = queue
            .pieces
            .first_entry()
            .filter(|first| *first.key() <= next)?;
        let (offset, queued) = first.remove_entry();
        queue.bytes -= u64::from(queued.len);
        queue.held_bytes -= u64::from(queued.holds.unwrap_or(0));
        if queue.pieces.is_empty() {
            self.queue = None;
        }
        Some(queued.at(offset).starting_from(next))
    }

    /// Empties the queue, in the order of the stream.
    pub fn drain(&mut self) -> impl Iterator<Item = Piece> + use<> {
        let pieces = self
            .queue
            .take()
            .map(|queue| queue.pieces)
            .unwrap_or_default();
        pieces.into_iter().map(|(offset, queued)| queued.at(offset))
    }

    /// The pieces queued that have bytes in a range, in order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Piece> {
        let pieces = self.queue.as_ref().map(|queue| &queue.pieces);
        let end = range.end.max(range.start);
        pieces.into_iter().flat_map(move |pieces| {
            let first = pieces
                .range(..=range.start)
                .next_back()
                .map_or(range.start, |(&offset, _)| offset);
            pieces
                .range(first.min(end)..end)
                .map(|(&offset, queued)| queued.at(offset))
                .filter(move |piece| piece.end() > range.start)
        })
    }

    /// All pieces queued, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> {
        self.within(0..u64::MAX)
    }

    /// Renames the tokens of the pieces in a range.
    pub fn rename(&mut self, range: Range<u64>, mut name: impl FnMut(u32) -> u32) {
        if let Some(queue) = &mut self.queue {
            for (_, queued) in queue.pieces.range_mut(range) {
                queued.token = name(queued.token);
            }
        }
    }

    /// The bytes missing before the first piece queued, if there is one and
    /// any are missing.
    #[must_use]
    pub fn first_gap(&self, next: u64) -> Option<Range<u64>> {
        let (&first, _) = self.queue.as_ref()?.pieces.first_key_value()?;
        (next < first).then_some(next..first)
    }

    /// Place behind the last piece queued; `None` if nothing is.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        let (&offset, last) = self.queue.as_ref()?.pieces.last_key_value()?;
        Some(offset + u64::from(last.len))
    }

    /// Stream bytes queued.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// Payload bytes of the packets held, which [`Limits::bytes`] bounds.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.held_bytes)
    }

    /// Pieces queued.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.pieces.len())
    }

    /// True if nothing is queued.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    /// Up to four blocks of queued bytes for the SACK option, the one that
    /// grew latest first (RFC 2018, 4). Walks through the blocks it reports.
    #[must_use]
    pub fn sack_blocks(&self) -> SmallVec<[Range<u64>; 4]> {
        let mut blocks = SmallVec::new();
        let Some(queue) = &self.queue else {
            return blocks;
        };
        for recent in &queue.recent {
            match queue.block_around(recent) {
                Some(block) if !blocks.contains(&block) => blocks.push(block),
                _ => {}
            }
        }
        blocks
    }
}

impl Queued {
    fn at(self, offset: u64) -> Piece {
        let Queued {
            len,
            skip,
            token,
            holds,
        } = self;
        Piece {
            offset,
            len,
            skip,
            token,
            last: holds.is_some(),
        }
    }
}

/// Takes the parts of a segment that are in no queued piece. Out of line:
/// in-order segments do not come here unless something is queued.
fn insert_around(
    queue: &mut Option<Box<Queue>>,
    limits: Limits,
    next: u64,
    whole: Piece,
    holds: u32,
) -> Inserted {
    let mut parts = match queue {
        Some(queue) => queue.uncovered(whole.offset..whole.end()),
        None => smallvec![whole.offset..whole.end()],
    };
    let Some(first) = parts.first().cloned() else {
        return Inserted::Duplicate;
    };
    let piece_of = |part: &Range<u64>| Piece {
        offset: part.start,
        len: (part.end - part.start) as u32,
        skip: whole.skip + (part.start - whole.offset) as u32,
        ..whole
    };

    let ready = (first.start == next).then(|| {
        parts.remove(0);
        Piece {
            last: parts.is_empty(),
            ..piece_of(&first)
        }
    });
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return Inserted::Accepted { ready, queued: 0 };
    };
    if ready.is_none() {
        let (held, pieces) = queue
            .as_ref()
            .map_or((0, 0), |queue| (queue.held_bytes, queue.pieces.len()));
        if held + u64::from(holds) > limits.bytes {
            return Inserted::Refused(Cap::Bytes);
        }
        if pieces + parts.len() > limits.segments as usize {
            return Inserted::Refused(Cap::Segments);
        }
    }

    let queue = queue.get_or_insert_default();
    for part in &parts {
        let Piece {
            offset,
            len,
            skip,
            token,
            ..
        } = piece_of(part);
        let holds = (part == last).then_some(holds);
        queue.pieces.insert(
            offset,
            Queued {
                len,
                skip,
                token,
                holds,
            },
        );
        queue.bytes += u64::from(len);
    }
    queue.held_bytes += u64::from(holds);
    queue.note_recent(first.start..last.end);
    Inserted::Accepted {
        ready,
        queued: parts.len() as u32,
    }
}

impl Queue {
    /// The parts of a range that no piece covers, in order.
    fn uncovered(&self, range: Range<u64>) -> SmallVec<[Range<u64>; 4]> {
        let mut parts = SmallVec::new();
        let mut covered = match self.pieces.range(..range.start).next_back() {
            Some((&offset, before)) => range.start.max(offset + u64::from(before.len)),
            None => range.start,
        };
        for (&offset, piece) in self.pieces.range(range.clone()) {
            if covered < offset {
                parts.push(covered..offset);
            }
            covered = offset + u64::from(piece.len);
        }
        if covered < range.end {
            parts.push(covered..range.end);
        }
        parts
    }

    /// Remembers that a range was received just now.
    fn note_recent(&mut self, mut range: Range<u64>) {
        let first_queued = self
            .pieces
            .first_key_value()
            .map_or(0, |(&offset, _)| offset);
        self.recent.retain(|other| {
            let apart = range.end < other.start || other.end < range.start;
            if !apart {
                range = range.start.min(other.start)..range.end.max(other.end);
            }
            apart && first_queued < other.end
        });
        self.recent.truncate(3);
        self.recent.insert(0, range);
    }

    /// The gapless block that the first piece in `range` belongs to.
    fn block_around(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let end_of = |(&offset, piece): (&u64, &Queued)| offset + u64::from(piece.len);
        let (&start, _) = self
            .pieces
            .range(..=range.start)
            .next_back()
            .filter(|&piece| range.start < end_of(piece))
            .or_else(|| self.pieces.range(range.clone()).next())?;
        let mut block = start..start;
        for piece in self.pieces.range(..start).rev() {
            if end_of(piece) != block.start {
                break;
            }
            block.start = *piece.0;
        }
        for piece in self.pieces.range(start..) {
            if *piece.0 != block.end {
                break;
            }
            block.end = end_of(piece);
        }
        Some(block)
    }
}

#[cfg(test)]
mod tests;

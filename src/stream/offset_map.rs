//! Where the bytes of a rewritten stream went, one direction.
//!
//! The sender counts in *original* offsets, the receiver in *new* ones, both
//! from the first byte of data. Of the released bytes only the edited chunks
//! are remembered: o original bytes that were replaced by n new ones. All
//! others lie between them unchanged, so an untouched stream costs nothing.
//!
//! An acknowledgement inside an edited chunk never covers its last original
//! byte, so that the sender still owes something: it retransmits, and what it
//! retransmits is replaced by the new bytes. Everything else here follows
//! from that rule. An insertion therefore needs a sequence number to hang on:
//! the byte (or FIN) released after it. Erased bytes need none: when
//! all before them is acknowledged, so are they.
//!
//! A FIN counts as one byte here, released by `push(1, 1)`; so its
//! acknowledgement passes. Not here: the bytes themselves, the wrapping
//! numbers of the header ([`super::seq`]), keep-alives (their number is one
//! below [`OffsetMap::new_end`], whatever the chunks say).

use std::collections::VecDeque;
use std::ops::Range;

/// Edited chunks remembered. Beyond that the two oldest are joined, with what
/// lies between: acknowledgements inside become coarser, never wrong.
const MAX_CHUNKS: usize = 1024;

/// Original and new offsets of one direction of a stream.
#[derive(Clone, Debug, Default)]
pub struct OffsetMap {
    /// Where what is remembered begins, in both countings; chunks before it
    /// were acknowledged and forgotten.
    orig_base: u64,
    new_base: u64,
    /// All that was released so far.
    orig_end: u64,
    new_end: u64,
    edits: VecDeque<Chunk>,
}

/// Original bytes that were replaced. Where it is the last chunk, `orig_len`
/// may be zero: an insertion that waits for the byte to hang on.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    orig_start: u64,
    orig_len: u64,
    new_start: u64,
    new_len: u64,
}

impl Chunk {
    fn orig_end(&self) -> u64 {
        self.orig_start + self.orig_len
    }

    fn new_end(&self) -> u64 {
        self.new_start + self.new_len
    }
}

/// Where an offset falls: inside a chunk, or as far behind a place where the
/// countings are in step.
enum Place<'a> {
    Inside(&'a Chunk),
    Unedited { orig: u64, new: u64 },
}

impl OffsetMap {
    /// A stream of which nothing was released yet.
    #[must_use]
    pub fn new() -> OffsetMap {
        OffsetMap::default()
    }

    /// Notes that the next `orig_len` original bytes were released as
    /// `new_len` bytes. Equal lengths count as unedited, since then the
    /// offsets are the same, whatever the bytes are.
    ///
    /// A pure insertion (`orig_len` 0) joins the first byte of what is pushed
    /// after it. Until then its bytes have nothing to hang on: if they are
    /// lost, the sender cannot be made to retransmit.
    pub fn push(&mut self, orig_len: u64, new_len: u64) {
        let (mut orig_len, mut new_len) = (orig_len, new_len);
        if orig_len > 0 {
            self.attach_insertion(&mut orig_len, &mut new_len);
        }
        if orig_len != new_len {
            self.push_edit(orig_len, new_len);
        }
        self.orig_end += orig_len;
        self.new_end += new_len;
    }

    /// The new offset of an original one. Inside an edited chunk: a place
    /// in the chunk's new bytes from which on a retransmission must be rebuilt.
    /// Beyond the end: as if what comes is not edited.
    #[must_use]
    pub fn to_new(&self, orig_offset: u64) -> u64 {
        match self.place_of_orig(orig_offset) {
            Place::Inside(chunk) => {
                let at = orig_offset - chunk.orig_start;
                chunk.new_start + at.min(chunk.new_len.saturating_sub(1))
            }
            Place::Unedited { orig, new } => shift(orig_offset, orig, new),
        }
    }

    /// The new bytes that a retransmission of these original ones must
    /// carry: up to the end of each chunk it touches.
    #[must_use]
    pub fn to_new_range(&self, orig: Range<u64>) -> Range<u64> {
        let end = match self.place_of_orig(orig.end) {
            Place::Inside(chunk) if orig.start < orig.end => chunk.new_end(),
            _ => self.to_new(orig.end),
        };
        self.to_new(orig.start)..end
    }

    /// What the sender may be told to be acknowledged when the receiver
    /// acknowledges `new_offset`. Never more than was released; inside an
    /// edited chunk at most all but its last original byte.
    #[must_use]
    pub fn ack_to_orig(&self, new_offset: u64) -> u64 {
        let orig = match self.place_of_new(new_offset) {
            Place::Inside(chunk) => {
                let at = new_offset - chunk.new_start;
                chunk.orig_start + at.min(chunk.orig_len.saturating_sub(1))
            }
            Place::Unedited { orig, new } => shift(new_offset, new, orig),
        };
        orig.min(self.orig_end)
    }

    /// As [`OffsetMap::ack_to_orig`], by Haka's formula: inside an edited
    /// chunk the same distance from its start, and past the end on and on,
    /// whatever the sender has sent.
    #[must_use]
    pub fn ack_shifted(&self, new_offset: u64) -> u64 {
        match self.place_of_new(new_offset) {
            Place::Inside(chunk) => chunk.orig_start + (new_offset - chunk.new_start),
            Place::Unedited { orig, new } => shift(new_offset, new, orig),
        }
    }

    /// The original bytes that the receiver says to have, given the new ones
    /// of a SACK block. Chunks had in part, and erased bytes at either edge,
    /// are left out; `None` if nothing remains.
    #[must_use]
    pub fn sack_to_orig(&self, new: Range<u64>) -> Option<Range<u64>> {
        let start = match self.place_of_new(new.start) {
            Place::Inside(chunk) => return self.sack_to_orig(chunk.new_end()..new.end),
            Place::Unedited { orig, new: at } => shift(new.start, at, orig),
        };
        let end = new.end.min(self.new_end);
        // The last byte decides, so that erased bytes after it stay out, as
        // those before the first do by their place.
        let last = end.checked_sub(1)?;
        let end = match self.place_of_new_byte(last) {
            Place::Inside(chunk) if end < chunk.new_end() || chunk.orig_len == 0 => {
                return self.sack_to_orig(new.start..chunk.new_start);
            }
            Place::Inside(chunk) => chunk.orig_end(),
            Place::Unedited { orig, new } => shift(last, new, orig) + 1,
        };
        (start < end).then_some(start..end)
    }

    /// Forgets chunks of which all original bytes are acknowledged, as
    /// counted by [`OffsetMap::ack_to_orig`]. Offsets before them are from
    /// then on taken as if those chunks had been unedited.
    pub fn prune(&mut self, acked_orig: u64) {
        while let Some(chunk) = self.edits.front() {
            // An insertion at the end is not acknowledged by its bare place.
            if chunk.orig_end() > acked_orig || chunk.orig_len == 0 {
                return;
            }
            self.orig_base = chunk.orig_end();
            self.new_base = chunk.new_end();
            self.edits.pop_front();
        }
    }

    /// Original bytes released.
    #[must_use]
    pub fn orig_end(&self) -> u64 {
        self.orig_end
    }

    /// New bytes released: the new offset of what is released next.
    #[must_use]
    pub fn new_end(&self) -> u64 {
        self.new_end
    }

    /// How far the new offsets are ahead of the original ones at the end.
    #[must_use]
    pub fn delta_at_end(&self) -> i64 {
        self.new_end.wrapping_sub(self.orig_end) as i64
    }

    /// True if every offset still remembered is its own image.
    #[inline]
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.edits.is_empty() && self.orig_base == self.new_base
    }

    /// Edited chunks remembered.
    #[must_use]
    pub fn edits(&self) -> usize {
        self.edits.len()
    }

    /// Gives an insertion at the end the first byte after it, or all of an
    /// edited chunk after it. What is left to push stays in the arguments.
    fn attach_insertion(&mut self, orig_len: &mut u64, new_len: &mut u64) {
        let Some(chunk) = self.edits.back_mut().filter(|chunk| chunk.orig_len == 0) else {
            return;
        };
        let (orig, new) = if orig_len == new_len {
            (1, 1)
        } else {
            (*orig_len, *new_len)
        };
        chunk.orig_len = orig;
        chunk.new_len += new;
        self.orig_end += orig;
        self.new_end += new;
        *orig_len -= orig;
        *new_len -= new;
    }

    fn push_edit(&mut self, orig_len: u64, new_len: u64) {
        let edit = Chunk {
            orig_start: self.orig_end,
            orig_len,
            new_start: self.new_end,
            new_len,
        };
        if let Some(last) = self.edits.back_mut() {
            let adjacent = last.orig_end() == edit.orig_start && last.new_end() == edit.new_start;
            let both_erased = last.new_len == 0 && new_len == 0;
            let both_inserted = last.orig_len == 0 && orig_len == 0;
            if adjacent && (both_erased || both_inserted) {
                last.orig_len += orig_len;
                last.new_len += new_len;
                return;
            }
        }
        self.edits.push_back(edit);
        if self.edits.len() > MAX_CHUNKS {
            self.join_oldest();
        }
    }

    fn join_oldest(&mut self) {
        let Some(oldest) = self.edits.pop_front() else {
            return;
        };
        if let Some(chunk) = self.edits.front_mut() {
            chunk.orig_len = chunk.orig_end() - oldest.orig_start;
            chunk.new_len = chunk.new_end() - oldest.new_start;
            chunk.orig_start = oldest.orig_start;
            chunk.new_start = oldest.new_start;
        }
    }

    /// Erased chunks have no inside in new offsets: their place is past them.
    #[inline]
    fn place_of_new(&self, new_offset: u64) -> Place<'_> {
        if self.edits.is_empty() {
            return self.after(0);
        }
        let behind = self
            .edits
            .partition_point(|chunk| chunk.new_end() <= new_offset);
        match self.edits.get(behind) {
            // Its very start has nothing of the chunk before it.
            Some(chunk) if chunk.new_start < new_offset => Place::Inside(chunk),
            _ => self.after(behind),
        }
    }

    /// As [`OffsetMap::place_of_new`], for the byte that begins at the
    /// offset instead of the border before it.
    fn place_of_new_byte(&self, new_offset: u64) -> Place<'_> {
        let behind = self
            .edits
            .partition_point(|chunk| chunk.new_end() <= new_offset);
        match self.edits.get(behind) {
            Some(chunk) if chunk.new_start <= new_offset => Place::Inside(chunk),
            _ => self.after(behind),
        }
    }

    #[inline]
    fn place_of_orig(&self, orig_offset: u64) -> Place<'_> {
        if self.edits.is_empty() {
            return self.after(0);
        }
        let behind = self
            .edits
            .partition_point(|chunk| chunk.orig_end() <= orig_offset);
        match self.edits.get(behind) {
            Some(chunk) if chunk.orig_start < orig_offset => Place::Inside(chunk),
            _ => self.after(behind),
        }
    }

    /// Where the countings are in step behind the first `count` chunks.
    fn after(&self, count: usize) -> Place<'_> {
        match count.checked_sub(1).and_then(|last| self.edits.get(last)) {
            Some(chunk) => Place::Unedited {
                orig: chunk.orig_end(),
                new: chunk.new_end(),
            },
            None => Place::Unedited {
                orig: self.orig_base,
                new: self.new_base,
            },
        }
    }
}

/// The offset that is as far from `to` as `offset` is from `from`.
fn shift(offset: u64, from: u64, to: u64) -> u64 {
    if offset >= from {
        to.saturating_add(offset - from)
    } else {
        to.saturating_sub(from - offset)
    }
}

#[cfg(test)]
mod tests;

//! The fragments of one datagram.

use smallvec::SmallVec;

use super::{Datagram, FragmentKey, MAX_DATAGRAM, Part, Piece, Refusal, Tokens};
use crate::time::Timestamp;

/// No set: beyond every slot of the slab.
pub(super) const NONE: u32 = u32::MAX;

/// An incomplete datagram.
///
/// Bytes stand in order of arrival, so that a fragment with a high offset
/// costs no more memory than it brought.
pub(super) struct Set {
    pub key: FragmentKey,
    /// When the first fragment came.
    pub started: Timestamp,
    /// Neighbours in the list by age.
    pub previous: u32,
    pub next: u32,
    store: Vec<u8>,
    /// In order of offset, without overlap.
    parts: SmallVec<[Stored; 8]>,
    /// Fragments held, in order of arrival.
    tokens: Tokens,
    /// Where the last fragment starts and ends, once it is there.
    last: Option<(u32, u32)>,
    /// Where the furthest fragment ends.
    reach: u32,
    /// The longest header of all fragments.
    header_len: u32,
    overlapped: bool,
    poisoned: bool,
}

#[derive(Clone, Copy)]
struct Stored {
    part: Part,
    /// Offset of the fragment that it is from.
    start: u32,
    /// Where the bytes are in the store.
    from: u32,
}

impl Stored {
    fn end(&self) -> u32 {
        self.part.offset + self.part.len
    }
}

/// What became of a fragment. A conflict is a copy that differs.
pub(super) enum Added {
    New { overlap: bool, conflict: bool },
    Duplicate { conflict: bool },
    Overlap { conflict: bool },
    TooMany,
    No(Refusal),
}

/// How a fragment lies among those before it.
#[derive(Default)]
struct Fit {
    /// Ranges of the datagram that only this fragment has.
    holes: SmallVec<[(u32, u32); 4]>,
    overlap: bool,
    conflict: bool,
    /// It has the place of one earlier fragment.
    same_place: bool,
}

impl Set {
    /// An empty set, the newest in the list.
    pub fn new(key: FragmentKey, now: Timestamp, previous: u32, buffer: Vec<u8>) -> Set {
        Set {
            key,
            started: now,
            previous,
            next: NONE,
            store: buffer,
            parts: SmallVec::new(),
            tokens: Tokens::new(),
            last: None,
            reach: 0,
            header_len: 0,
            overlapped: false,
            poisoned: false,
        }
    }

    pub fn bytes(&self) -> usize {
        self.store.len()
    }

    /// Each fragment held, once.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub fn into_buffer(self) -> Vec<u8> {
        self.store
    }

    /// Parts never overlap, so their sum reaches the total only without holes.
    pub fn is_whole(&self) -> bool {
        self.last
            .is_some_and(|(_, total)| total as usize == self.store.len())
    }

    /// Forgets everything but the key, and refuses from now on.
    pub fn poison(&mut self) -> Vec<u8> {
        self.poisoned = true;
        self.parts.clear();
        self.tokens.clear();
        std::mem::take(&mut self.store)
    }

    /// Adds a fragment that is in itself well-formed. Held ones that turn out
    /// to be impossible are put into `refused`.
    pub fn add(&mut self, piece: &Piece<'_>, max_parts: usize, refused: &mut Vec<u32>) -> Added {
        if self.poisoned {
            return Added::No(Refusal::Overlap);
        }
        let end = piece.offset + piece.payload.len() as u32;
        let is_v4 = self.key.version == 4;
        if is_v4 && self.contradicts_end(piece, end) {
            return Added::No(Refusal::BeyondEnd);
        }
        if is_v4 && !piece.more && self.last.is_none() {
            self.cut_behind(piece.offset, refused);
        }
        let fit = self.fit(piece, end);
        // RFC 8200 (4.5) allows to ignore exact copies, and nothing else.
        if !is_v4 && fit.overlap {
            let is_last = self.last == Some((piece.offset, end));
            let is_copy = fit.same_place && !fit.conflict && piece.more != is_last;
            return match is_copy {
                true => Added::Duplicate { conflict: false },
                false => Added::Overlap {
                    conflict: fit.conflict,
                },
            };
        }
        if !is_v4 && self.contradicts_end(piece, end) {
            return Added::No(Refusal::BeyondEnd);
        }
        if fit.holes.is_empty() {
            return Added::Duplicate {
                conflict: fit.conflict,
            };
        }
        let header_len = self.header_len.max(piece.header_len);
        if header_len + self.reach.max(end) > MAX_DATAGRAM {
            return Added::No(Refusal::TooLong);
        }
        if self.parts.len() + fit.holes.len() > max_parts {
            return Added::TooMany;
        }

        self.header_len = header_len;
        self.reach = self.reach.max(end);
        self.overlapped |= fit.overlap;
        if !piece.more {
            self.last = Some((piece.offset, end));
        }
        self.tokens.push(piece.token);
        for (from, to) in fit.holes {
            self.store_part(piece, from, to);
        }
        Added::New {
            overlap: fit.overlap,
            conflict: fit.conflict,
        }
    }

    /// Whether the fragment cannot belong to the same datagram as those held,
    /// for where it ends.
    fn contradicts_end(&self, piece: &Piece<'_>, end: u32) -> bool {
        match self.last {
            Some((start, total)) if piece.more => piece.offset >= start || end >= total,
            Some((_, total)) => end != total,
            // All held announced more behind their own end. Over IPv4, those
            // that start behind the last fragment are not asked.
            None if piece.more => false,
            None if self.key.version == 4 => {
                let before = self
                    .parts
                    .iter()
                    .filter(|stored| stored.start < piece.offset);
                before
                    .map(Stored::end)
                    .max()
                    .is_some_and(|reach| reach >= end)
            }
            None => self.reach >= end,
        }
    }

    /// Takes out the fragments that start at `offset` or behind it.
    fn cut_behind(&mut self, offset: u32, refused: &mut Vec<u32>) {
        if self.reach <= offset || self.parts.iter().all(|stored| stored.start < offset) {
            return;
        }
        let mut cut = Tokens::new();
        let old = std::mem::take(&mut self.store);
        self.reach = 0;
        self.parts.retain(|stored| {
            if stored.start >= offset {
                cut.push(stored.part.token);
                return false;
            }
            let bytes = old
                .get(range(stored.from, stored.part.len))
                .unwrap_or_default();
            stored.from = self.store.len() as u32;
            self.store.extend_from_slice(bytes);
            self.reach = self.reach.max(stored.end());
            true
        });
        // A fragment in several parts is one packet.
        cut.sort_unstable();
        cut.dedup();
        self.tokens.retain(|token| !cut.contains(token));
        refused.extend(cut);
    }

    /// Compares the fragment, which ends at `end`, with those before it.
    fn fit(&self, piece: &Piece<'_>, end: u32) -> Fit {
        let mut fit = Fit::default();
        let mut from = piece.offset;
        let first = self.parts.partition_point(|stored| stored.end() <= from);
        for stored in self
            .parts
            .iter()
            .skip(first)
            .take_while(|stored| stored.part.offset < end)
        {
            let part = stored.part;
            if from < part.offset {
                fit.holes.push((from, part.offset));
            }
            let (low, high) = (part.offset.max(piece.offset), stored.end().min(end));
            let known = self
                .store
                .get(range(stored.from + (low - part.offset), high - low));
            let copy = piece.payload.get(range(low - piece.offset, high - low));
            fit.overlap = true;
            fit.conflict |= known != copy;
            fit.same_place |= part.offset == piece.offset && stored.end() == end;
            from = stored.end();
        }
        if from < end {
            fit.holes.push((from, end));
        }
        fit
    }

    /// Keeps the bytes `from..to` of the datagram, which no part has yet.
    fn store_part(&mut self, piece: &Piece<'_>, from: u32, to: u32) {
        let bytes = piece
            .payload
            .get(range(from - piece.offset, to - from))
            .unwrap_or_default();
        let part = Part {
            token: piece.token,
            offset: from,
            len: to - from,
        };
        let stored = Stored {
            part,
            start: piece.offset,
            from: self.store.len() as u32,
        };
        let place = self
            .parts
            .partition_point(|stored| stored.part.offset < from);
        self.parts.insert(place, stored);
        self.store.extend_from_slice(bytes);
    }

    /// Puts the parts of a whole datagram in order, using `spare` if they are
    /// not. Returns the buffer left over.
    pub fn assemble(self, mut spare: Vec<u8>) -> (Datagram, Vec<u8>) {
        let parts = self.parts.iter().map(|stored| stored.part).collect();
        let in_order = self
            .parts
            .iter()
            .all(|stored| stored.from == stored.part.offset);
        let (payload, left) = if in_order {
            (self.store, spare)
        } else {
            spare.reserve(self.store.len());
            for stored in &self.parts {
                let bytes = self.store.get(range(stored.from, stored.part.len));
                spare.extend_from_slice(bytes.unwrap_or_default());
            }
            (spare, self.store)
        };
        (
            Datagram {
                payload,
                parts,
                overlapped: self.overlapped,
            },
            left,
        )
    }
}

fn range(from: u32, len: u32) -> std::ops::Range<usize> {
    from as usize..(from + len) as usize
}

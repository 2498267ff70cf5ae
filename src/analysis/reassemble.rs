//! Segments of one direction of a connection, put in order without an
//! engine.
//!
//! A [`Reassembler`] is given segments as they come. [`Reordering`] holds
//! those that come early, heals what the network did and tells of what never
//! came; [`InOrderOnly`] takes a segment only where it continues the stream
//! and counts the others, for those who cannot have memory held. A factory
//! makes one for each side of each flow; any function does.
//!
//! First received wins where segments overlap (`stream::assembler`). Not
//! here: windows, checksums, and what a rule's verdict needs (`proto::tcp`).

use std::collections::VecDeque;

use slab::Slab;

use crate::flow::Direction;
use crate::stream::assembler::{Assembler, Inserted, Limits, Piece};
use crate::stream::seq::{SeqNum, SeqSpace};

/// How much of a direction waits for what is missing before it.
pub const WAITING: Limits = Limits {
    bytes: 256 << 10,
    segments: 1024,
};

/// Takes the segments of one direction in order of arrival.
pub trait Reassembler {
    /// The direction begins: the sequence number of its SYN.
    fn syn(&mut self, isn: u32) {
        let _ = isn;
    }

    /// A segment with payload, and the number of its first byte.
    fn segment(&mut self, seq: u32, payload: &[u8]);

    /// The sender has finished; `seq` is the number behind its last byte.
    fn fin(&mut self, seq: u32) {
        let _ = seq;
    }

    /// The connection was broken off.
    fn rst(&mut self) {}
}

/// Makes a reassembler for each side of each flow.
pub trait ReassemblerFactory<K> {
    type Reassembler: Reassembler;

    fn new_reassembler(&mut self, key: &K, side: Direction) -> Self::Reassembler;
}

impl<K, R: Reassembler, F: FnMut(&K, Direction) -> R> ReassemblerFactory<K> for F {
    type Reassembler = R;

    fn new_reassembler(&mut self, key: &K, side: Direction) -> R {
        self(key, side)
    }
}

/// Takes segments only in order and drops the others, as a receiver without
/// memory would. What came is in a buffer of a limited size.
#[derive(Debug, Default)]
pub struct InOrderOnly {
    next: Option<SeqNum>,
    buffer: Vec<u8>,
    dropped_segments: u64,
    dropped_bytes: u64,
    finished: bool,
}

impl InOrderOnly {
    /// Bytes kept until they are taken; what comes on top is dropped.
    pub const MOST: usize = 1 << 20;

    /// What came in order since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Segments not taken, early and repeated ones.
    pub fn dropped_segments(&self) -> u64 {
        self.dropped_segments
    }

    /// Payload of the segments not taken.
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    /// Whether the stream has ended.
    pub fn is_finished(&self) -> bool {
        self.finished
    }
}

impl Reassembler for InOrderOnly {
    fn syn(&mut self, isn: u32) {
        self.next.get_or_insert(SeqNum(isn) + 1);
    }

    fn segment(&mut self, seq: u32, payload: &[u8]) {
        let next = *self.next.get_or_insert(SeqNum(seq));
        let full = self.buffer.len() + payload.len() > InOrderOnly::MOST;
        if next != SeqNum(seq) || full {
            self.dropped_segments += 1;
            self.dropped_bytes += payload.len() as u64;
            return;
        }
        self.buffer.extend_from_slice(payload);
        self.next = Some(next + payload.len() as u32);
    }

    fn fin(&mut self, seq: u32) {
        self.finished |= self.next.is_none_or(|next| next == SeqNum(seq));
    }

    fn rst(&mut self) {
        self.finished = true;
    }
}

/// What comes out of a direction, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    Bytes(&'a [u8]),
    /// So many bytes never came; what follows comes after them.
    Gap(u64),
    /// The sender has finished.
    Fin,
}

/// Puts segments in order as they come and hands on what is there. Nothing is
/// copied of a segment that continues the stream.
///
/// ```
/// use wero::analysis::reassemble::{Arrival, Sequencer};
///
/// let mut text = String::new();
/// let mut out = |arrival: Arrival<'_>| {
///     if let Arrival::Bytes(bytes) = arrival {
///         text.push_str(&String::from_utf8_lossy(bytes));
///     }
/// };
/// let mut order = Sequencer::default();
/// order.syn(999);
/// order.segment(1005, b"world", &mut out);
/// order.segment(1000, b"hello", &mut out);
/// assert_eq!(text, "helloworld");
/// ```
#[derive(Debug, Default)]
pub struct Sequencer {
    space: Option<SeqSpace>,
    /// Place behind the last byte handed on.
    next: u64,
    early: Option<Box<Early>>,
    /// Place behind the last byte of all.
    end: Option<u64>,
    finished: bool,
}

/// Segments that wait for those before them.
#[derive(Debug)]
struct Early {
    assembler: Assembler,
    payloads: Slab<Vec<u8>>,
}

impl Sequencer {
    /// The direction begins.
    pub fn syn(&mut self, isn: u32) {
        self.space
            .get_or_insert_with(|| SeqSpace::after_syn(SeqNum(isn)));
    }

    /// A segment with payload. Where no SYN was seen, the stream begins with
    /// the first one.
    pub fn segment(&mut self, seq: u32, payload: &[u8], out: &mut impl FnMut(Arrival<'_>)) {
        if self.finished || payload.is_empty() {
            return;
        }
        let seq = SeqNum(seq);
        let space = *self.space.get_or_insert_with(|| SeqSpace::starting_at(seq));
        let place = space.unwrap_near(self.next, seq);
        // What lies before the stream, such as a keep-alive's byte.
        let before = usize::try_from(-place).unwrap_or(0);
        let Some(payload) = payload.get(before..) else {
            return;
        };
        let offset = u64::try_from(place).unwrap_or(0);
        self.insert(offset, payload, out);
        self.check_end(out);
    }

    /// The sender has finished behind the byte before `seq`.
    pub fn fin(&mut self, seq: u32, out: &mut impl FnMut(Arrival<'_>)) {
        let seq = SeqNum(seq);
        let space = *self.space.get_or_insert_with(|| SeqSpace::starting_at(seq));
        let place = space.unwrap_near(self.next, seq);
        self.end.get_or_insert(u64::try_from(place).unwrap_or(0));
        self.check_end(out);
    }

    /// What is missing will not come: hands on what waits behind it.
    pub fn give_up(&mut self, out: &mut impl FnMut(Arrival<'_>)) {
        if let Some(mut early) = self.early.take() {
            for piece in early.assembler.drain() {
                self.hand_on(&mut early.payloads, piece, out);
            }
        }
        self.check_end(out);
    }

    /// Whether the end of the stream was handed on.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    fn insert(&mut self, offset: u64, payload: &[u8], out: &mut impl FnMut(Arrival<'_>)) {
        let len = payload.len() as u32;
        let early = match &mut self.early {
            None if offset <= self.next => {
                let known = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
                if let Some(fresh) = payload.get(known..).filter(|fresh| !fresh.is_empty()) {
                    self.next += fresh.len() as u64;
                    out(Arrival::Bytes(fresh));
                }
                return;
            }
            early => early.get_or_insert_with(|| {
                Box::new(Early {
                    assembler: Assembler::new(WAITING),
                    payloads: Slab::new(),
                })
            }),
        };
        let token = early.payloads.insert(payload.to_vec());
        match early.assembler.insert(self.next, offset, len, token as u32) {
            Inserted::Duplicate => {
                early.payloads.try_remove(token);
            }
            Inserted::Accepted { ready, .. } => self.deliver(ready, out),
            Inserted::Refused(_) => {
                early.payloads.try_remove(token);
                // Too much waits: whatever is missing is given up.
                self.give_up(out);
                if offset > self.next {
                    out(Arrival::Gap(offset - self.next));
                    self.next = offset;
                }
                self.insert(offset, payload, out);
            }
        }
    }

    fn deliver(&mut self, ready: Option<Piece>, out: &mut impl FnMut(Arrival<'_>)) {
        let Some(mut early) = self.early.take() else {
            return;
        };
        let mut piece = ready;
        while let Some(ready) = piece.or_else(|| early.assembler.pop_ready(self.next)) {
            self.hand_on(&mut early.payloads, ready, out);
            piece = None;
        }
        self.early = (!early.assembler.is_empty()).then_some(early);
    }

    fn hand_on(
        &mut self,
        payloads: &mut Slab<Vec<u8>>,
        piece: Piece,
        out: &mut impl FnMut(Arrival<'_>),
    ) {
        if piece.offset > self.next {
            out(Arrival::Gap(piece.offset - self.next));
        }
        self.next = self.next.max(piece.end());
        let token = piece.token as usize;
        let from = piece.skip as usize;
        let bytes = payloads
            .get(token)
            .and_then(|payload| payload.get(from..from + piece.len as usize));
        if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
            out(Arrival::Bytes(bytes));
        }
        if piece.last {
            payloads.try_remove(token);
        }
    }

    fn check_end(&mut self, out: &mut impl FnMut(Arrival<'_>)) {
        if !self.finished && self.end.is_some_and(|end| end <= self.next) {
            self.finished = true;
            self.early = None;
            out(Arrival::Fin);
        }
    }
}

/// Holds segments that come early until those before them have come. What is
/// in order waits, in a limited number of pieces, to be taken.
#[derive(Debug, Default)]
pub struct Reordering {
    order: Sequencer,
    ready: VecDeque<Piecewise>,
    bytes: usize,
    dropped_bytes: u64,
}

/// What comes out of [`Reordering`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piecewise {
    Bytes(Vec<u8>),
    /// So many bytes never came.
    Gap(u64),
    Fin,
}

impl Reordering {
    /// Bytes kept until they are taken; what comes on top is dropped and
    /// stands as a gap.
    pub const MOST: usize = 1 << 20;

    /// The next piece of the stream.
    pub fn take(&mut self) -> Option<Piecewise> {
        let piece = self.ready.pop_front()?;
        if let Piecewise::Bytes(bytes) = &piece {
            self.bytes -= bytes.len();
        }
        Some(piece)
    }

    /// What is missing will not come.
    pub fn give_up(&mut self) {
        self.with(|order, mut out| order.give_up(&mut out));
    }

    /// Bytes dropped because nobody took those before.
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    fn with(&mut self, step: impl FnOnce(&mut Sequencer, &mut dyn FnMut(Arrival<'_>))) {
        let (ready, kept, dropped) = (&mut self.ready, &mut self.bytes, &mut self.dropped_bytes);
        step(&mut self.order, &mut |arrival| {
            let piece = match arrival {
                Arrival::Bytes(bytes) if *kept + bytes.len() > Reordering::MOST => {
                    *dropped += bytes.len() as u64;
                    Piecewise::Gap(bytes.len() as u64)
                }
                Arrival::Bytes(bytes) => {
                    *kept += bytes.len();
                    Piecewise::Bytes(bytes.to_vec())
                }
                Arrival::Gap(bytes) => Piecewise::Gap(bytes),
                Arrival::Fin => Piecewise::Fin,
            };
            match (ready.back_mut(), piece) {
                (Some(Piecewise::Gap(before)), Piecewise::Gap(more)) => *before += more,
                (_, piece) => ready.push_back(piece),
            }
        });
    }
}

impl Reassembler for Reordering {
    fn syn(&mut self, isn: u32) {
        self.order.syn(isn);
    }

    fn segment(&mut self, seq: u32, payload: &[u8]) {
        self.with(|order, mut out| order.segment(seq, payload, &mut out));
    }

    fn fin(&mut self, seq: u32) {
        self.with(|order, mut out| order.fin(seq, &mut out));
    }

    fn rst(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sequenced(isn: Option<u32>, segments: &[(u32, &[u8])]) -> Vec<Piecewise> {
        let mut order = Reordering::default();
        if let Some(isn) = isn {
            order.syn(isn);
        }
        for (seq, payload) in segments {
            order.segment(*seq, payload);
        }
        order.give_up();
        std::iter::from_fn(|| order.take()).collect()
    }

    fn bytes(text: &[u8]) -> Piecewise {
        Piecewise::Bytes(text.to_vec())
    }

    #[test]
    fn what_came_early_waits_and_what_came_twice_is_taken_once() {
        assert_eq!(
            sequenced(
                Some(99),
                &[(100, b"ab"), (104, b"ef"), (102, b"cd"), (101, b"bcdefg")]
            ),
            [bytes(b"ab"), bytes(b"cd"), bytes(b"ef"), bytes(b"g")]
        );
    }

    #[test]
    fn what_never_came_is_told() {
        assert_eq!(
            sequenced(Some(99), &[(100, b"ab"), (105, b"f")]),
            [bytes(b"ab"), Piecewise::Gap(3), bytes(b"f")]
        );
    }

    #[test]
    fn without_a_syn_the_first_segment_begins_the_stream() {
        assert_eq!(
            sequenced(
                None,
                &[(u32::MAX, b"ab"), (1, b"c"), (u32::MAX - 5, b"old")]
            ),
            [bytes(b"ab"), bytes(b"c")]
        );
    }

    #[test]
    fn a_fin_ends_the_stream_once_all_before_it_came() {
        let mut order = Reordering::default();
        order.syn(0);
        order.segment(3, b"cd");
        order.fin(5);
        assert_eq!(order.take(), None, "a hole is before it");
        order.segment(1, b"ab");
        order.segment(5, b"behind");
        let pieces: Vec<_> = std::iter::from_fn(|| order.take()).collect();
        assert_eq!(pieces, [bytes(b"ab"), bytes(b"cd"), Piecewise::Fin]);
    }

    #[test]
    fn more_than_may_wait_is_given_up_as_a_gap() {
        let mut order = Reordering::default();
        order.syn(0);
        let payload = vec![7; 1000];
        for place in 0..300 {
            order.segment(1001 + place * 1000, &payload);
        }
        let pieces: Vec<_> = std::iter::from_fn(|| order.take()).collect();
        assert_eq!(pieces.first(), Some(&Piecewise::Gap(1000)));
        let total: usize = pieces
            .iter()
            .map(|piece| match piece {
                Piecewise::Bytes(bytes) => bytes.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(total, 300_000);
    }

    #[test]
    fn bytes_that_nobody_takes_are_dropped_and_counted() {
        let mut order = Reordering::default();
        order.syn(0);
        let payload = vec![7; 600_000];
        order.segment(1, &payload);
        order.segment(600_001, &payload);
        assert_eq!(order.dropped_bytes(), 600_000);
        assert!(matches!(order.take(), Some(Piecewise::Bytes(_))));
        assert_eq!(order.take(), Some(Piecewise::Gap(600_000)));
    }

    #[test]
    fn in_order_only_drops_the_rest_and_counts_it() {
        let mut order = InOrderOnly::default();
        order.syn(0);
        order.segment(1, b"ab");
        order.segment(5, b"ef");
        order.segment(3, b"cd");
        order.segment(3, b"cd");
        order.fin(5);
        assert_eq!(order.take(), b"abcd");
        assert_eq!((order.dropped_segments(), order.dropped_bytes()), (2, 4));
        assert!(order.is_finished());
    }

    proptest! {
        /// However a stream is cut and shuffled, it comes out as it was.
        #[test]
        fn any_order_gives_the_stream(
            isn: u32,
            pieces in prop::collection::vec((0_usize..200, 1_usize..60), 1..60),
        ) {
            let stream: Vec<u8> = (0..255).collect();
            let mut order = Sequencer::default();
            let mut out = Vec::new();
            let mut gaps = 0;
            let mut collect = |arrival: Arrival<'_>| match arrival {
                Arrival::Bytes(bytes) => out.extend_from_slice(bytes),
                Arrival::Gap(_) => gaps += 1,
                Arrival::Fin => {}
            };
            order.syn(isn);
            let seq = |place: usize| isn.wrapping_add(1 + place as u32);
            for (from, len) in pieces {
                let to = (from + len).min(stream.len());
                order.segment(seq(from), &stream[from..to], &mut collect);
            }
            order.segment(seq(0), &stream, &mut collect);
            order.fin(seq(stream.len()), &mut collect);
            prop_assert!(order.is_finished());
            prop_assert_eq!(gaps, 0);
            prop_assert_eq!(out, stream);
        }
    }
}

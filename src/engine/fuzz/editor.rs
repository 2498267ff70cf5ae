//! The listener of the fuzzed conversation: edits both streams, by a script
//! that knows what becomes of each byte.

use crate::buf::{BufError, BufId, Key, Pos, Span, Store};
use crate::engine::Shared;
use crate::event::{EventKind, Hooks, ListenerFailed};

/// What the listener makes of each byte, by its place alone, so that the
/// outcome does not depend on segments.
#[derive(Clone, Copy)]
pub(super) struct Script {
    pub(super) mode: usize,
    pub(super) side: usize,
}

impl Script {
    pub(super) fn byte(self, at: u64) -> u8 {
        (at.wrapping_mul(31) + at / 251) as u8 ^ (self.side as u8 * 0x55)
    }

    /// The new bytes for the one at `at`, if it changes.
    fn edit(self, at: u64) -> Option<Vec<u8>> {
        let own = self.byte(at);
        let chance = (at + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23 + self.side as u32)
            % 256;
        match (self.mode, chance) {
            (1, 0..2) | (2, 0..60) => Some(Vec::new()),
            (1, 2..4) | (2, 60..90) => Some([vec![b'+'; chance as usize % 7], vec![own]].concat()),
            (1 | 2, 100..102) => Some(vec![!own]),
            (1, 110) => Some([vec![own], vec![b'#'; 3000]].concat()),
            (3, _) if (at / 200).is_multiple_of(2) => Some(Vec::new()),
            (4, _) => Some(vec![own; 2]),
            (5, _) => Some(Vec::new()),
            _ => None,
        }
    }

    fn edits(self, mut places: std::ops::Range<u64>) -> bool {
        places.any(|at| self.edit(at).is_some())
    }

    pub(super) fn outcome(self, places: std::ops::Range<u64>) -> Vec<u8> {
        places
            .flat_map(|at| self.edit(at).unwrap_or_else(|| vec![self.byte(at)]))
            .collect()
    }
}

/// Edits what it is shown, and sometimes holds it until the next time.
pub(super) struct Editor {
    pub(super) engine: Shared,
    pub(super) scripts: [Script; 2],
    pub(super) seen: [u64; 2],
    /// What it has made of them.
    pub(super) made: [Vec<u8>; 2],
    pub(super) marks: [Option<Pos>; 2],
    pub(super) holds: bool,
}

impl Hooks for Editor {
    fn fire(&mut self, kind: EventKind, _: u32) -> Result<(), (ListenerFailed, bool)> {
        assert_eq!(kind, EventKind::TcpReceiveData);
        let engine = &mut self.engine.borrow_mut();
        let side = engine.core.current.direction as usize;
        // What is not looked at need not be in the stream.
        let (seen, fresh) = (self.seen[side], u64::from(engine.core.current.fresh));
        if engine.core.current.loose != 0
            && !self.scripts[side].edits(seen..seen + fresh)
            && !self.holds
        {
            let bytes = (seen..seen + fresh).map(|at| self.scripts[side].byte(at));
            self.made[side].extend(bytes);
            self.seen[side] += fresh;
            return Ok(());
        }
        assert!(engine.show_piece(), "there is room");
        let core = &mut engine.core;
        let current = core.current;
        let stream = BufId(Key {
            index: current.stream,
            generation: current.stream_generation,
        });
        if let Some(mark) = self.marks[side].take() {
            core.bufs.unmark(mark).expect("the mark is there");
        }
        let span = core
            .bufs
            .piece_span(stream, u64::from(current.piece))
            .expect("the piece is there");
        let mut text = Vec::new();
        core.bufs
            .copy_span(span, &mut text)
            .expect("the piece can be read");
        let (script, seen) = (self.scripts[side], self.seen[side]);
        assert_eq!(text.len(), current.fresh as usize);
        assert!(
            text.iter()
                .enumerate()
                .all(|(number, &byte)| byte == script.byte(seen + number as u64)),
            "readers see the first bytes"
        );
        // Pieces that were queued may have left, and others with them not.
        let mut from = seen;
        for number in u64::from(current.piece).. {
            let Ok(piece) = piece_of(&mut core.bufs, stream, number) else {
                break;
            };
            let places = from..from + piece.1;
            from = places.end;
            let made = script.outcome(places.clone());
            if edit(&mut core.bufs, piece.0, script, places.clone()) {
                self.made[side].extend(made);
            } else {
                assert!(core.settings.live, "replays let everything be edited");
                self.made[side].extend(places.map(|at| script.byte(at)));
            }
        }
        self.seen[side] += u64::from(current.fresh);
        // Only where nothing that was held can follow them are they the last.
        let alone = core.bufs.stream_len(stream) == 0;
        if current.finished != 0 && current.fresh == 0 && script.mode != 0 && alone {
            let place = Span::Between(Pos::Begin(stream), Pos::Begin(stream));
            match core.bufs.set_string(place, b"the end") {
                Ok(_) => self.made[side].extend_from_slice(b"the end"),
                Err(error) => assert!(
                    core.settings.live && error == BufError::ReadOnly,
                    "an empty stream takes bytes before its FIN"
                ),
            }
        } else if self.holds && current.finished == 0 && seen.is_multiple_of(3) {
            let place = core
                .bufs
                .piece_position(stream, u64::from(current.piece))
                .expect("the piece is there");
            self.marks[side] = core.bufs.mark(place, false).ok();
        }
        Ok(())
    }
}

/// One piece of a stream and how long it is; an error behind the last.
fn piece_of(bufs: &mut Store, stream: BufId, number: u64) -> Result<(Span, u64), BufError> {
    let here = bufs.stream_available_from(stream, number)?;
    let later = bufs.stream_available_from(stream, number + 1)?;
    if here == 0 {
        return Err(BufError::InvalidEnd);
    }
    let start = bufs.piece_position(stream, number)?;
    Ok((Span::Counted(start, here - later), here - later))
}

/// Edits a piece as the script says. False if it may not be edited, and then
/// nothing of it was.
fn edit(bufs: &mut Store, span: Span, script: Script, places: std::ops::Range<u64>) -> bool {
    let edits: Vec<_> = places
        .clone()
        .enumerate()
        .filter_map(|(number, at)| Some((number as u64, script.edit(at)?)))
        .collect();
    // A buffer has only so many pieces: many edits are made as one.
    if edits.len() > 64 {
        let done = bufs.set_string(span, &script.outcome(places));
        assert!(done.is_ok() || done == Err(BufError::ReadOnly), "{done:?}");
        return done.is_ok();
    }
    for (done, (number, new)) in edits.iter().rev().enumerate() {
        let byte = bufs
            .sub_span(span, *number, Some(1))
            .expect("the byte is there");
        match bufs.set_string(byte, new) {
            Ok(_) => {}
            Err(BufError::ReadOnly) if done == 0 => return false,
            Err(error) => panic!("room for the edit: {error}"),
        }
    }
    true
}

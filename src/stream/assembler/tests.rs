use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn roomy() -> Assembler {
    Assembler::new(Limits {
        bytes: u64::MAX,
        segments: u32::MAX,
    })
}

fn pop_all(assembler: &mut Assembler, mut next: u64) -> Vec<Piece> {
    let mut popped = Vec::new();
    while let Some(piece) = assembler.pop_ready(next) {
        next = piece.end().max(next);
        popped.push(piece);
    }
    popped
}

#[test]
fn in_order_segments_pass_without_memory() {
    let mut assembler = roomy();
    let piece = Piece {
        offset: 100,
        len: 50,
        skip: 0,
        token: 7,
        last: true,
    };
    assert_eq!(
        assembler.insert(100, 100, 50, 7),
        Inserted::Accepted {
            ready: Some(piece),
            queued: 0
        }
    );
    // A retransmission that brings 20 new bytes, and one that brings none.
    let rest = Piece {
        offset: 150,
        len: 20,
        skip: 30,
        token: 8,
        last: true,
    };
    assert_eq!(
        assembler.insert(150, 120, 50, 8),
        Inserted::Accepted {
            ready: Some(rest),
            queued: 0
        }
    );
    assert_eq!(assembler.insert(170, 120, 50, 9), Inserted::Duplicate);
    assert_eq!(assembler.insert(170, 170, 0, 9), Inserted::Duplicate);
    assert!(assembler.queue.is_none());
}

#[test]
fn a_segment_around_a_queued_one_becomes_two_pieces() {
    let mut assembler = roomy();
    assert_eq!(
        assembler.insert(0, 40, 20, 1),
        Inserted::Accepted {
            ready: None,
            queued: 1
        }
    );
    assert_eq!(
        assembler.insert(0, 20, 60, 2),
        Inserted::Accepted {
            ready: None,
            queued: 2
        }
    );
    assert_eq!(assembler.insert(0, 25, 50, 3), Inserted::Duplicate);
    assert_eq!(
        (
            assembler.bytes(),
            assembler.held_bytes(),
            assembler.segments()
        ),
        (60, 80, 3)
    );
    assert_eq!(assembler.first_gap(0), Some(0..20));
    assert_eq!(assembler.first_gap(20), None);
    assert_eq!(assembler.pop_ready(19), None);

    let piece = |offset, skip, token, last| Piece {
        offset,
        len: 20,
        skip,
        token,
        last,
    };
    assert_eq!(
        pop_all(&mut assembler, 20),
        [
            piece(20, 0, 2, false),
            piece(40, 0, 1, true),
            piece(60, 40, 2, true)
        ]
    );
    assert!(assembler.queue.is_none(), "an empty queue owns nothing");
}

#[test]
fn what_continues_the_stream_is_ready_and_the_rest_is_queued() {
    let mut assembler = roomy();
    let _ = assembler.insert(0, 10, 10, 1);
    let ready = Piece {
        offset: 0,
        len: 10,
        skip: 5,
        token: 2,
        last: false,
    };
    // It starts before the stream does: a SYN with data cut off, say.
    assert_eq!(
        assembler.insert(5, 0, 30, 2),
        Inserted::Accepted {
            ready: Some(Piece {
                offset: 5,
                len: 5,
                ..ready
            }),
            queued: 1
        }
    );
    let popped = pop_all(&mut assembler, 10);
    assert_eq!(
        popped
            .iter()
            .map(|piece| (piece.token, piece.last))
            .collect::<Vec<_>>(),
        [(1, true), (2, true)]
    );
    assert_eq!((popped[1].offset, popped[1].skip), (20, 20));
}

#[test]
fn caps_refuse_whole_segments_and_say_which_cap() {
    let mut assembler = Assembler::new(Limits {
        bytes: 100,
        segments: 3,
    });
    assert_eq!(
        assembler.insert(0, 10, 101, 1),
        Inserted::Refused(Cap::Bytes)
    );
    assert!(assembler.is_empty());
    let _ = assembler.insert(0, 10, 10, 1);
    let _ = assembler.insert(0, 30, 10, 2);
    // Two gaps around the second: four pieces, though within the bytes.
    assert_eq!(
        assembler.insert(0, 25, 20, 3),
        Inserted::Refused(Cap::Segments)
    );
    let _ = assembler.insert(0, 50, 10, 4);
    assert_eq!(
        assembler.insert(0, 70, 10, 5),
        Inserted::Refused(Cap::Segments)
    );
    // One byte of it is new, but all of its 90 would be held.
    assert_eq!(
        assembler.insert(0, 60, 90, 6),
        Inserted::Refused(Cap::Bytes)
    );
    assert_eq!(
        (
            assembler.bytes(),
            assembler.held_bytes(),
            assembler.segments()
        ),
        (30, 30, 3)
    );

    // What closes the first gap passes even so, and leaves no more than was there.
    let Inserted::Accepted {
        ready: Some(ready),
        queued: 3,
    } = assembler.insert(0, 0, 80, 7)
    else {
        panic!("a segment that continues the stream is never refused");
    };
    assert_eq!(pop_all(&mut assembler, ready.end()).len(), 6);
    assert_eq!((assembler.bytes(), assembler.held_bytes()), (0, 0));
}

#[test]
fn pieces_the_stream_has_passed_still_return_their_tokens() {
    let mut assembler = roomy();
    let _ = assembler.insert(0, 10, 10, 1);
    let _ = assembler.insert(0, 30, 10, 2);
    assert_eq!(
        assembler.pop_ready(35),
        Some(Piece {
            offset: 20,
            len: 0,
            skip: 10,
            token: 1,
            last: true
        })
    );
    assert_eq!(
        assembler.pop_ready(35),
        Some(Piece {
            offset: 35,
            len: 5,
            skip: 5,
            token: 2,
            last: true
        })
    );
    assert!(assembler.is_empty());
}

#[test]
fn draining_returns_every_token_in_stream_order() {
    let mut assembler = roomy();
    let _ = assembler.insert(0, 50, 10, 1);
    let _ = assembler.insert(0, 45, 20, 2);
    let drained: Vec<_> = assembler
        .drain()
        .map(|piece| (piece.token, piece.last))
        .collect();
    assert_eq!(drained, [(2, false), (1, true), (2, true)]);
    assert!(assembler.is_empty());
    assert_eq!((assembler.bytes(), assembler.held_bytes()), (0, 0));
    assert_eq!(assembler.drain().count(), 0);
}

#[test]
fn sack_blocks_name_the_latest_first() {
    let mut assembler = roomy();
    assert!(assembler.sack_blocks().is_empty());
    for (offset, token) in [(10, 1), (30, 2), (50, 3), (70, 4), (90, 5)] {
        let _ = assembler.insert(0, offset, 10, token);
    }
    assert_eq!(
        assembler.sack_blocks().as_slice(),
        [90..100, 70..80, 50..60, 30..40]
    );
    // Growing an old block brings it to the front, merged with its neighbour.
    let _ = assembler.insert(0, 40, 10, 6);
    assert_eq!(
        assembler.sack_blocks().as_slice(),
        [30..60, 90..100, 70..80]
    );
    // A block that was delivered in part is reported by what is left.
    let _ = assembler.insert(0, 0, 10, 7);
    assert_eq!(assembler.pop_ready(30).map(|piece| piece.token), Some(1));
    assert_eq!(assembler.pop_ready(30).map(|piece| piece.token), Some(2));
    assert_eq!(
        assembler.sack_blocks().as_slice(),
        [40..60, 90..100, 70..80]
    );
}

#[test]
fn offsets_at_the_end_of_the_range_do_not_overflow() {
    let mut assembler = roomy();
    assert_eq!(
        assembler.insert(0, u64::MAX - 5, 10, 1),
        Inserted::Accepted {
            ready: None,
            queued: 1
        }
    );
    assert_eq!(assembler.bytes(), 5);
}

const STREAM: u64 = 64;

fn any_segments() -> impl Strategy<Value = Vec<(u64, u32)>> {
    prop::collection::vec((0..STREAM, 0..24_u32), 0..60)
}

proptest! {
    /// Against a map from offset to the first token that brought the byte.
    #[test]
    fn the_first_received_bytes_win(segments in any_segments(), finish in any::<bool>()) {
        let mut assembler = roomy();
        let mut delivered: Vec<(u32, u32)> = Vec::new();
        let mut model: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
        let mut open_tokens = Vec::new();
        let mut next = 0;
        // The last segment closes all gaps.
        let closing = finish.then_some((0, STREAM as u32 + 24));
        for (token, (offset, len)) in segments.into_iter().chain(closing).enumerate() {
            let token = token as u32;
            let known = model.len();
            for skip in 0..len {
                model.entry(offset + u64::from(skip)).or_insert((token, skip));
            }
            let new = model.len() > known;
            let (ready, queued) = match assembler.insert(next, offset, len, token) {
                Inserted::Duplicate => {
                    prop_assert!(!new);
                    (None, 0)
                }
                Inserted::Accepted { ready, queued } => {
                    prop_assert!(new);
                    open_tokens.push((token, queued + u32::from(ready.is_some())));
                    (ready, queued)
                }
                Inserted::Refused(cap) => panic!("no caps are set, but {cap:?} refused"),
            };
            prop_assert!(ready.is_none_or(|piece| piece.last == (queued == 0)));
            let mut piece = ready;
            while let Some(ready) = piece.or_else(|| assembler.pop_ready(next)) {
                prop_assert_eq!(ready.offset, next);
                prop_assert!(ready.len > 0);
                delivered.extend((0..ready.len).map(|at| (ready.token, ready.skip + at)));
                next = ready.end();
                let at = open_tokens.iter().position(|&(token, _)| token == ready.token);
                let at = at.expect("a piece belongs to a token held");
                open_tokens[at].1 -= 1;
                prop_assert_eq!(ready.last, open_tokens[at].1 == 0);
                open_tokens.retain(|&(_, left)| left > 0);
                piece = None;
            }
            let waiting = model.range(next..).count() as u64;
            prop_assert_eq!(assembler.bytes(), waiting);
            prop_assert_eq!(assembler.is_empty(), waiting == 0);
            prop_assert!(!model.contains_key(&next), "deliverable bytes were kept back");
            let gap = model.range(next..).next().map(|(&offset, _)| next..offset);
            prop_assert_eq!(assembler.first_gap(next), gap);
            let expected: Vec<_> = model.range(..next).map(|(_, &from)| from).collect();
            prop_assert_eq!(&delivered, &expected);
            for block in assembler.sack_blocks() {
                prop_assert!(block.clone().all(|at| model.contains_key(&at)));
                prop_assert!(!model.contains_key(&block.end));
                prop_assert!(block.start > next && !model.contains_key(&(block.start - 1)));
            }
        }
        for piece in assembler.drain() {
            let at = open_tokens.iter().position(|&(token, _)| token == piece.token);
            let at = at.expect("a piece belongs to a token held");
            open_tokens[at].1 -= 1;
            prop_assert_eq!(piece.last, open_tokens[at].1 == 0);
        }
        prop_assert!(open_tokens.iter().all(|&(_, left)| left == 0));
    }

    #[test]
    fn the_latest_block_is_always_reported_first(segments in any_segments()) {
        let mut assembler = roomy();
        for (token, (offset, len)) in segments.into_iter().enumerate() {
            // Byte 0 never comes, so that everything is queued.
            let offset = offset + 1;
            if let Inserted::Accepted { .. } = assembler.insert(0, offset, len, token as u32) {
                let blocks = assembler.sack_blocks();
                let end = offset + u64::from(len);
                prop_assert!(blocks[0].start <= offset && end <= blocks[0].end);
            }
        }
    }
}

#[test]
fn holes_across_four_gigabytes_are_filled() {
    const WRAP: u64 = 1 << 32;
    let next = WRAP - 5;
    let mut assembler = roomy();
    for (offset, len, token) in [(WRAP + 5, 10, 3), (WRAP, 5, 2)] {
        let waits = assembler.insert(next, offset, len, token);
        assert!(matches!(waits, Inserted::Accepted { ready: None, .. }));
    }
    assert_eq!(assembler.first_gap(next), Some(next..WRAP));
    assert!(assembler.pop_ready(next).is_none());
    let Inserted::Accepted {
        ready: Some(first), ..
    } = assembler.insert(next, next, 5, 1)
    else {
        panic!("it is in order")
    };
    assert_eq!((first.offset, first.end()), (next, WRAP));
    let rest = pop_all(&mut assembler, first.end());
    let tokens: Vec<_> = rest
        .iter()
        .map(|piece| (piece.token, piece.end()))
        .collect();
    assert_eq!(tokens, [(2, WRAP + 5), (3, WRAP + 15)]);
}

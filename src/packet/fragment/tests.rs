use super::*;
use crate::packet::decode::ip;
use proptest::collection::vec;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(0);

fn key(version: u8, id: u32) -> FragmentKey {
    let [src, dst] = match version {
        4 => [Addr::v4([192, 0, 2, 1]), Addr::v4([192, 0, 2, 2])],
        _ => [Addr::v6([1; 16]), Addr::v6([2; 16])],
    };
    FragmentKey {
        src,
        dst,
        id,
        protocol: 0,
        version,
        discriminator: 0,
    }
}

fn piece(token: u32, offset: u32, more: bool, payload: &[u8]) -> Piece<'_> {
    Piece {
        offset,
        more,
        header_len: 20,
        payload,
        token,
    }
}

fn reassembler() -> Reassembler {
    Reassembler::new(Limits::default())
}

fn refused(reason: Refusal, also: &[u32]) -> Outcome {
    Outcome::Refused {
        reason,
        also: Tokens::from_slice(also),
    }
}

fn complete(outcome: Outcome) -> Datagram {
    match outcome {
        Outcome::Complete(datagram) => datagram,
        other => panic!("not complete: {other:?}"),
    }
}

/// The parts as tuples: token, offset, length.
fn parts(datagram: &Datagram) -> Vec<(u32, u32, u32)> {
    datagram
        .parts
        .iter()
        .map(|part| (part.token, part.offset, part.len))
        .collect()
}

#[test]
fn fragments_complete_in_any_order() {
    for version in [4, 6] {
        let mut all = reassembler();
        let mut add = |token, offset, more, bytes| {
            all.insert(NOW, key(version, 7), piece(token, offset, more, bytes))
        };
        assert_eq!(add(1, 16, false, b"end"), Outcome::Held);
        assert_eq!(add(2, 0, true, b"AAAAAAAA"), Outcome::Held);
        let whole = complete(add(3, 8, true, b"BBBBBBBB"));
        assert_eq!(whole.payload, b"AAAAAAAABBBBBBBBend");
        assert_eq!(parts(&whole), [(2, 0, 8), (3, 8, 8), (1, 16, 3)]);
        assert!(!whole.overlapped);
        assert_eq!((all.len(), all.bytes()), (0, 0));
        assert_eq!((all.counters().fragments, all.counters().completed), (3, 1));
    }
}

#[test]
fn keys_and_pieces_come_from_headers() {
    let mut v4 = [0; 28];
    v4[..10].copy_from_slice(&[0x45, 0, 0, 28, 0x12, 0x34, 0x20, 2, 64, 17]);
    let header = ip(&v4, 0, None).expect("good");
    let key = FragmentKey::of(&header, 9).expect("a fragment");
    assert_eq!(
        (key.id, key.protocol, key.version, key.discriminator),
        (0x1234, 17, 4, 9)
    );
    let piece = Piece::of(&header, &v4, 5).expect("a fragment");
    assert_eq!((piece.offset, piece.more, piece.header_len), (16, true, 20));
    assert_eq!((piece.payload.len(), piece.token), (8, 5));
    let cut = ip(&v4[..27], 0, Some(28)).expect("cut");
    assert!(
        Piece::of(&cut, &v4[..27], 5).is_none(),
        "its bytes are lost"
    );
    v4[6..8].fill(0);
    let whole = ip(&v4, 0, None).expect("good");
    assert!(FragmentKey::of(&whole, 9).is_none() && Piece::of(&whole, &v4, 5).is_none());

    // Hop-by-hop, then the fragment header, then eight bytes.
    let mut v6 = [0; 64];
    v6[..7].copy_from_slice(&[0x60, 0, 0, 0, 0, 24, 0]);
    v6[40..42].copy_from_slice(&[44, 0]);
    v6[48..56].copy_from_slice(&[17, 0, 0, 17, 0, 0, 0x56, 0x78]);
    let header = ip(&v6, 0, None).expect("good");
    let key = FragmentKey::of(&header, 0).expect("a fragment");
    assert_eq!((key.id, key.protocol, key.version), (0x5678, 0, 6));
    let piece = Piece::of(&header, &v6, 5).expect("a fragment");
    assert_eq!((piece.offset, piece.more, piece.header_len), (16, true, 8));
    assert_eq!(piece.payload.len(), 8);
}

#[test]
fn keys_keep_datagrams_apart() {
    let mut all = reassembler();
    let base = key(4, 1);
    let others = [
        FragmentKey { id: 2, ..base },
        FragmentKey {
            protocol: 17,
            ..base
        },
        FragmentKey {
            discriminator: 5,
            ..base
        },
        FragmentKey {
            src: base.dst,
            dst: base.src,
            ..base
        },
    ];
    assert_eq!(
        all.insert(NOW, base, piece(1, 0, true, &[0; 8])),
        Outcome::Held
    );
    for other in others {
        assert_eq!(
            all.insert(NOW, other, piece(2, 8, false, &[0; 8])),
            Outcome::Held
        );
    }
    assert_eq!(all.len(), 5);
}

#[test]
fn overlap_first_wins_and_the_later_fragment_is_trimmed() {
    let mut all = reassembler();
    let mut add =
        |token, offset, more, bytes| all.insert(NOW, key(4, 7), piece(token, offset, more, bytes));
    assert_eq!(add(1, 8, true, b"BBBBBBBB"), Outcome::Held);
    // Around the first, then into the next.
    assert_eq!(add(2, 0, true, b"xxxxxxxxyyyyyyyyzzzzzzzz"), Outcome::Held);
    let whole = complete(add(3, 16, false, b"zzzzzzzz12345"));
    assert_eq!(whole.payload, b"xxxxxxxxBBBBBBBBzzzzzzzz12345");
    assert_eq!(
        parts(&whole),
        [(2, 0, 8), (1, 8, 8), (2, 16, 8), (3, 24, 5)]
    );
    assert!(whole.overlapped);
    let counters = all.counters();
    assert_eq!(
        (counters.trimmed, counters.conflicts),
        (2, 1),
        "only the y differ from the B"
    );
}

#[test]
fn a_fragment_without_new_bytes_is_refused() {
    let mut all = reassembler();
    let mut add =
        |token, offset, more, bytes| all.insert(NOW, key(4, 7), piece(token, offset, more, bytes));
    assert_eq!(add(1, 0, true, b"AAAAAAAABBBBBBBB"), Outcome::Held);
    assert_eq!(
        add(2, 0, true, b"AAAAAAAABBBBBBBB"),
        refused(Refusal::Duplicate, &[])
    );
    assert_eq!(
        add(3, 8, true, b"evilevil"),
        refused(Refusal::Duplicate, &[])
    );
    let whole = complete(add(4, 16, false, b"C"));
    assert_eq!(whole.payload, b"AAAAAAAABBBBBBBBC");
    assert!(!whole.overlapped, "what was refused does not count");
    assert_eq!(
        (all.counters().duplicates, all.counters().conflicts),
        (2, 1)
    );
}

#[test]
fn ipv6_overlap_kills_the_datagram_and_the_rest_of_it() {
    let mut all = reassembler();
    let mut add =
        |token, offset, more, bytes| all.insert(NOW, key(6, 7), piece(token, offset, more, bytes));
    assert_eq!(add(1, 0, true, b"AAAAAAAABBBBBBBB"), Outcome::Held);
    assert_eq!(
        add(2, 0, true, b"AAAAAAAABBBBBBBB"),
        refused(Refusal::Duplicate, &[])
    );
    assert_eq!(add(3, 24, true, b"DDDDDDDD"), Outcome::Held);
    assert_eq!(
        add(4, 8, true, b"BBBBBBBB"),
        refused(Refusal::Overlap, &[1, 3])
    );
    assert_eq!(add(5, 16, false, b"C"), refused(Refusal::Overlap, &[]));
    assert_eq!(add(6, 0, true, b"AAAAAAAA"), refused(Refusal::Overlap, &[]));
    assert_eq!((all.bytes(), all.counters().overlaps), (0, 1));

    // After the time-out the identification is free again.
    let later = NOW + Limits::default().timeout;
    assert_eq!(
        all.insert(later, key(6, 7), piece(7, 0, true, &[0; 8])),
        Outcome::Held
    );
}

#[test]
fn ipv6_copy_with_other_bytes_is_an_overlap() {
    let mut all = reassembler();
    let mut add = |token, more, bytes| all.insert(NOW, key(6, 7), piece(token, 8, more, bytes));
    assert_eq!(add(1, true, b"AAAAAAAA"), Outcome::Held);
    assert_eq!(add(2, true, b"AAAABAAA"), refused(Refusal::Overlap, &[1]));

    let mut all = reassembler();
    let mut add = |token, more, bytes| all.insert(NOW, key(6, 7), piece(token, 8, more, bytes));
    assert_eq!(add(1, true, b"AAAAAAAA"), Outcome::Held);
    assert_eq!(
        add(2, false, b"AAAAAAAA"),
        refused(Refusal::Overlap, &[1]),
        "another end"
    );
}

#[test]
fn impossible_fragments_are_refused_alone() {
    let mut all = reassembler();
    let big = vec![0; 65_000];
    let mut add = |token, offset, more, bytes: &[u8]| {
        all.insert(NOW, key(4, 7), piece(token, offset, more, bytes))
    };
    assert_eq!(add(1, 0, true, b"123"), refused(Refusal::Misaligned, &[]));
    assert_eq!(add(1, 3, false, b"123"), refused(Refusal::Misaligned, &[]));
    assert_eq!(add(1, 8, false, b""), refused(Refusal::Empty, &[]));
    assert_eq!(add(1, 600, true, &big), refused(Refusal::TooLong, &[]));
    assert_eq!(
        add(1, 65_512, false, b"1234"),
        refused(Refusal::TooLong, &[])
    );
    assert_eq!(
        add(1, u32::MAX - 7, false, b"12345678"),
        refused(Refusal::TooLong, &[])
    );

    assert_eq!(add(2, 16, false, b"end"), Outcome::Held);
    assert_eq!(add(3, 24, false, b"end"), refused(Refusal::BeyondEnd, &[]));
    assert_eq!(
        add(4, 24, true, b"12345678"),
        refused(Refusal::BeyondEnd, &[])
    );
    assert_eq!(add(5, 8, false, b"end"), refused(Refusal::BeyondEnd, &[]));
    let whole = complete(add(6, 0, true, b"AAAAAAAABBBBBBBB"));
    assert_eq!(whole.payload, b"AAAAAAAABBBBBBBBend");
    assert_eq!(all.counters().invalid, 9);
    assert!(all.is_empty(), "a refused fragment opens no set");
}

#[test]
fn an_end_inside_earlier_fragments_is_refused() {
    let mut all = reassembler();
    let mut add =
        |token, offset, more, bytes| all.insert(NOW, key(4, 7), piece(token, offset, more, bytes));
    assert_eq!(add(1, 0, true, b"AAAAAAAABBBBBBBB"), Outcome::Held);
    assert_eq!(
        add(2, 8, false, b"BBBBBBBB"),
        refused(Refusal::BeyondEnd, &[])
    );
    assert_eq!(add(3, 8, false, b"BB"), refused(Refusal::BeyondEnd, &[]));

    let mut all = reassembler();
    let mut add =
        |token, offset, more, bytes| all.insert(NOW, key(6, 7), piece(token, offset, more, bytes));
    assert_eq!(add(1, 16, true, b"CCCCCCCC"), Outcome::Held);
    assert_eq!(
        add(2, 8, false, b"BBBBBBBB"),
        refused(Refusal::BeyondEnd, &[])
    );
}

#[test]
fn the_last_fragment_disproves_those_behind_it() {
    let mut all = reassembler();
    let mut add =
        |token, offset, more, bytes| all.insert(NOW, key(4, 7), piece(token, offset, more, bytes));
    assert_eq!(add(1, 16, true, b"cccccccc"), Outcome::Held);
    assert_eq!(add(2, 0, true, b"AAAAAAAA"), Outcome::Held);
    assert_eq!(add(3, 8, true, b"bbbbbbbbccccccccdddddddd"), Outcome::Held);
    let whole = complete(add(4, 8, false, b"BBBBBBBBCCCC"));
    assert_eq!(whole.payload, b"AAAAAAAABBBBBBBBCCCC");
    assert_eq!(parts(&whole), [(2, 0, 8), (4, 8, 12)]);
    assert_eq!(
        all.refused().collect::<Vec<_>>(),
        [1, 3],
        "each once, parts or not"
    );
    assert_eq!((all.counters().invalid, all.bytes()), (2, 0));
    assert_eq!(all.refused().next(), None);
}

#[test]
fn the_longest_header_counts_into_the_datagram() {
    let mut all = reassembler();
    let last = Piece {
        offset: 65_512,
        more: false,
        header_len: 20,
        payload: b"3",
        token: 1,
    };
    assert_eq!(all.insert(NOW, key(4, 7), last), Outcome::Held);
    let first = Piece {
        offset: 0,
        more: true,
        header_len: 24,
        payload: &[0; 8],
        token: 2,
    };
    assert_eq!(
        all.insert(NOW, key(4, 7), first),
        refused(Refusal::TooLong, &[])
    );
}

#[test]
fn an_atomic_fragment_is_complete_and_touches_no_other() {
    let mut all = reassembler();
    assert_eq!(
        all.insert(NOW, key(6, 7), piece(1, 8, false, b"tail")),
        Outcome::Held
    );
    let whole = complete(all.insert(NOW, key(6, 7), piece(2, 0, false, b"whole")));
    assert_eq!(
        (whole.payload.as_slice(), parts(&whole)),
        (&b"whole"[..], vec![(2, 0, 5)])
    );
    let whole = complete(all.insert(NOW, key(6, 7), piece(3, 0, false, b"")));
    assert_eq!(parts(&whole), [(3, 0, 0)]);
    assert_eq!(all.len(), 1);
}

#[test]
fn datagrams_time_out_from_their_first_fragment() {
    let timeout = Duration::from_secs(30);
    let mut all = Reassembler::new(Limits {
        timeout,
        ..Limits::default()
    });
    let at = |secs| Timestamp::new(secs, 0);
    assert_eq!(all.poll_timeout(), None);
    assert_eq!(
        all.insert(at(0), key(4, 1), piece(1, 0, true, &[0; 8])),
        Outcome::Held
    );
    assert_eq!(
        all.insert(at(10), key(4, 2), piece(2, 0, true, &[0; 8])),
        Outcome::Held
    );
    assert_eq!(
        all.insert(at(20), key(4, 1), piece(3, 16, true, &[0; 8])),
        Outcome::Held
    );
    assert_eq!(all.poll_timeout(), Some(at(30)));
    let mut tokens = Vec::new();
    all.expire(at(29), &mut tokens);
    assert!(tokens.is_empty());
    all.expire(at(30), &mut tokens);
    assert_eq!(tokens, [1, 3]);
    assert_eq!(
        (all.poll_timeout(), all.counters().timed_out),
        (Some(at(40)), 1)
    );

    // A late fragment does not complete what is over, whoever comes first.
    assert_eq!(
        all.insert(at(50), key(4, 2), piece(4, 8, false, b"x")),
        Outcome::Held
    );
    tokens.clear();
    all.expire(at(50), &mut tokens);
    assert_eq!(tokens, [2]);
}

#[test]
fn the_oldest_makes_room_for_a_new_datagram() {
    let mut all = Reassembler::new(Limits {
        max_datagrams: 2,
        ..Limits::default()
    });
    for id in 1..=3 {
        assert_eq!(
            all.insert(NOW, key(4, id), piece(id, 0, true, &[0; 8])),
            Outcome::Held
        );
    }
    assert_eq!(all.evicted().collect::<Vec<_>>(), [1]);
    assert_eq!((all.len(), all.counters().evicted), (2, 1));
    // The middle of the list can leave too.
    complete(all.insert(NOW, key(4, 2), piece(9, 8, false, b"x")));
    assert_eq!(
        all.insert(NOW, key(4, 4), piece(4, 0, true, &[0; 8])),
        Outcome::Held
    );
    assert_eq!(
        all.insert(NOW, key(4, 5), piece(5, 0, true, &[0; 8])),
        Outcome::Held
    );
    assert_eq!(all.evicted().collect::<Vec<_>>(), [3]);
    let mut tokens = Vec::new();
    all.clear(&mut tokens);
    assert_eq!((tokens, all.len(), all.bytes()), (vec![4, 5], 0, 0));
}

#[test]
fn the_byte_cap_gives_up_the_oldest_and_at_last_the_new_one() {
    let mut all = Reassembler::new(Limits {
        max_bytes: 40,
        ..Limits::default()
    });
    assert_eq!(
        all.insert(NOW, key(4, 1), piece(1, 0, true, &[0; 16])),
        Outcome::Held
    );
    assert_eq!(
        all.insert(NOW, key(4, 2), piece(2, 0, true, &[0; 16])),
        Outcome::Held
    );
    assert_eq!(
        all.insert(NOW, key(4, 2), piece(3, 16, true, &[0; 16])),
        Outcome::Held
    );
    assert_eq!(all.evicted().collect::<Vec<_>>(), [1]);
    assert_eq!(all.bytes(), 32);
    let outcome = all.insert(NOW, key(4, 2), piece(4, 32, true, &[0; 16]));
    assert_eq!(outcome, refused(Refusal::OutOfMemory, &[2, 3]));
    assert_eq!((all.bytes(), all.len(), all.counters().evicted), (0, 0, 2));
}

#[test]
fn too_many_fragments_drop_the_datagram() {
    let limits = Limits {
        max_fragments_per_datagram: 3,
        ..Limits::default()
    };
    let mut all = Reassembler::new(limits);
    for n in 0..3 {
        let next = piece(n, n * 8, true, &[0; 8]);
        assert_eq!(all.insert(NOW, key(4, 1), next), Outcome::Held);
    }
    let outcome = all.insert(NOW, key(4, 1), piece(3, 24, true, &[0; 8]));
    assert_eq!(outcome, refused(Refusal::TooManyFragments, &[0, 1, 2]));
    assert_eq!((all.len(), all.counters().too_many), (0, 1));
}

/// Cuts `0..len` at the given places, in units of eight.
fn cut(len: usize, at: &[usize]) -> Vec<(usize, usize)> {
    let mut cuts: Vec<usize> = at
        .iter()
        .map(|place| place * 8)
        .filter(|at| *at < len)
        .collect();
    cuts.extend([0, len]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

proptest! {
    #[test]
    fn any_order_and_duplication_gives_the_same_bytes(
        bytes in vec(any::<u8>(), 17..600),
        cuts in vec(0usize..75, 1..12),
        order in vec(any::<proptest::sample::Index>(), 0..40),
        is_v6: bool,
    ) {
        let version = if is_v6 { 6 } else { 4 };
        let pieces = cut(bytes.len(), &cuts);
        // A walk with repetitions, then all that is left.
        let mut walk: Vec<usize> = order.iter().map(|n| n.index(pieces.len())).collect();
        walk.extend(0..pieces.len());
        let mut all = reassembler();
        let mut held = Vec::new();
        for n in walk {
            let (from, to) = pieces[n];
            let next = piece(n as u32, from as u32, to < bytes.len(), &bytes[from..to]);
            match all.insert(NOW, key(version, 1), next) {
                Outcome::Held => held.push(n),
                Outcome::Refused { reason, also } => {
                    prop_assert_eq!(reason, Refusal::Duplicate);
                    prop_assert!(also.is_empty() && held.contains(&n));
                }
                Outcome::Complete(whole) => {
                    prop_assert_eq!(&whole.payload, &bytes);
                    let found: Vec<_> = parts(&whole);
                    let expected: Vec<_> = pieces.iter().enumerate()
                        .map(|(n, (from, to))| (n as u32, *from as u32, (to - from) as u32))
                        .collect();
                    prop_assert_eq!(found, expected);
                    prop_assert_eq!(all.bytes(), 0);
                    return Ok(());
                }
            }
            prop_assert_eq!(all.bytes(), held.iter().map(|n| pieces[*n].1 - pieces[*n].0).sum::<usize>());
        }
        prop_assert!(false, "never complete");
    }

    #[test]
    fn overlaps_keep_the_first_copy(
        pieces in vec((0u32..20, 1u32..8, any::<u8>()), 1..20), len in 161u32..200,
    ) {
        // What the datagram must be: for each byte its first writer.
        let mut expected = vec![None; len as usize];
        let mut all = reassembler();
        let last = vec![0xee; (len - 160) as usize];
        expected[160..].fill(Some(0xee));
        prop_assert_eq!(all.insert(NOW, key(4, 1), piece(0, 160, false, &last)), Outcome::Held);
        let filler = (0..20).map(|n| (n, 1, 0xff));
        for (token, (at, units, fill)) in (1..).zip(pieces.into_iter().chain(filler)) {
            let payload = vec![fill; (units.min(20 - at) * 8) as usize];
            for byte in &mut expected[at as usize * 8..][..payload.len()] {
                byte.get_or_insert(fill);
            }
            let next = piece(token, at * 8, true, &payload);
            if let Outcome::Complete(whole) = all.insert(NOW, key(4, 1), next) {
                let expected: Option<Vec<u8>> = expected.into_iter().collect();
                prop_assert_eq!(Some(&whole.payload), expected.as_ref());
                let mut at = 0;
                for part in &whole.parts {
                    prop_assert_eq!(part.offset, at);
                    prop_assert!(part.len > 0);
                    at += part.len;
                }
                prop_assert_eq!(at, len);
                prop_assert!(all.is_empty());
                return Ok(());
            }
        }
        prop_assert!(false, "never complete");
    }
}

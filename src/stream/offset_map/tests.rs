use proptest::prelude::*;

use super::*;

fn map_of(chunks: &[(u64, u64)]) -> OffsetMap {
    let mut map = OffsetMap::new();
    for &(orig, new) in chunks {
        map.push(orig, new);
    }
    map
}

fn acks<const N: usize>(map: &OffsetMap, new: [u64; N]) -> [u64; N] {
    new.map(|at| map.ack_to_orig(at))
}

#[test]
fn an_untouched_stream_is_the_identity_and_costs_nothing() {
    let map = map_of(&[(1448, 1448), (100, 100), (0, 0)]);
    assert!(map.is_identity());
    assert_eq!((map.edits(), map.edits.capacity()), (0, 0));
    assert_eq!(acks(&map, [0, 700, 1548]), [0, 700, 1548]);
    assert_eq!(map.ack_to_orig(1549), 1548, "more than was sent");
    assert_eq!((map.to_new(1500), map.to_new(2000)), (1500, 2000));
    assert_eq!(map.sack_to_orig(10..20), Some(10..20));
}

#[test]
fn acks_of_lengthened_data_leave_a_byte_owing() {
    let map = map_of(&[(5, 9)]);
    assert_eq!(acks(&map, [0, 2, 4, 5, 8, 9]), [0, 2, 4, 4, 4, 5]);
    assert_eq!(map.delta_at_end(), 4);
    assert!(!map.is_identity());
}

#[test]
fn acks_of_shortened_data_arrive_at_the_end() {
    let map = map_of(&[(7, 4), (10, 10)]);
    assert_eq!(acks(&map, [0, 3, 4, 5, 14, 15]), [0, 3, 7, 8, 17, 17]);
    assert_eq!(map.delta_at_end(), -3);
}

#[test]
fn acks_pass_erased_bytes_once_all_before_is_had() {
    let map = map_of(&[(10, 10), (20, 0), (30, 0), (5, 5)]);
    assert_eq!(map.edits(), 1, "erased neighbours are one chunk");
    assert_eq!(acks(&map, [9, 10, 11, 15]), [9, 60, 61, 65]);
    assert_eq!(map_of(&[(10, 0)]).ack_to_orig(0), 10);
}

#[test]
fn an_insertion_hangs_on_the_byte_after_it() {
    let mut map = map_of(&[(10, 10), (0, 3), (0, 2)]);
    // Nothing came after it yet: its place is the end, and so is its ack.
    assert_eq!(acks(&map, [10, 12, 15, 16]), [10, 10, 10, 10]);
    map.prune(10);
    assert_eq!(map.edits(), 1, "the insertion itself may not have arrived");

    map.push(100, 100);
    assert_eq!((map.edits(), map.orig_end(), map.new_end()), (1, 110, 115));
    assert_eq!(
        acks(&map, [10, 11, 15, 16, 17, 115]),
        [10, 10, 10, 11, 12, 110]
    );
    // The byte's retransmission carries the insertion.
    assert_eq!(map.to_new_range(10..11), 10..16);
}

#[test]
fn an_insertion_before_the_fin_hangs_on_the_fin() {
    let map = map_of(&[(10, 10), (0, 3), (1, 1)]);
    assert_eq!(acks(&map, [10, 13, 14]), [10, 10, 11]);
    let map = map_of(&[(0, 3), (4, 0), (1, 1)]);
    assert_eq!(acks(&map, [0, 1, 2, 3, 4]), [0, 1, 2, 4, 5]);
}

#[test]
fn retransmissions_are_rebuilt_to_the_end_of_each_chunk_touched() {
    let map = map_of(&[(10, 10), (5, 9), (10, 10), (7, 4), (3, 0)]);
    assert_eq!(map.to_new_range(0..10), 0..10);
    assert_eq!(map.to_new_range(8..12), 8..19);
    assert_eq!(map.to_new_range(14..16), 14..20);
    assert_eq!(map.to_new_range(15..26), 19..33);
    // The last byte of a shortened chunk still brings a byte.
    assert_eq!(map.to_new_range(31..32), 32..33);
    assert_eq!(map.to_new_range(32..35), 33..33);
}

#[test]
fn sack_edges_shrink_to_whole_chunks() {
    let map = map_of(&[(10, 10), (5, 9), (10, 10), (7, 0), (4, 4), (6, 2)]);
    // New: 10..19 edited, 19..29, erased at 29, 29..33, 33..35 edited.
    assert_eq!(map.sack_to_orig(2..8), Some(2..8));
    assert_eq!(map.sack_to_orig(10..19), Some(10..15));
    assert_eq!(map.sack_to_orig(5..15), Some(5..10));
    assert_eq!(map.sack_to_orig(12..25), Some(15..21));
    assert_eq!(map.sack_to_orig(11..18), None);
    assert_eq!(
        map.sack_to_orig(19..29),
        Some(15..25),
        "erased bytes after it stay out"
    );
    assert_eq!(map.sack_to_orig(29..31), Some(32..34), "and before it");
    assert_eq!(map.sack_to_orig(28..30), Some(24..33), "but not amid it");
    assert_eq!(map.sack_to_orig(29..34), Some(32..36));
    assert_eq!(
        map.sack_to_orig(29..99),
        Some(32..42),
        "no more than was sent"
    );
    assert_eq!(map.sack_to_orig(99..120), None);
    assert_eq!(map.sack_to_orig(0..0), None);
}

#[test]
fn pruned_chunks_keep_their_effect_on_what_follows() {
    let mut map = map_of(&[(5, 9), (100, 100), (10, 0), (100, 100)]);
    map.prune(4);
    assert_eq!(map.edits(), 2, "a byte of the first chunk is owed");
    map.prune(50);
    assert_eq!(map.edits(), 1);
    assert_eq!(acks(&map, [9, 50, 109, 110]), [5, 46, 115, 116]);
    map.prune(215);
    assert_eq!((map.edits(), map.delta_at_end()), (0, -6));
    assert!(!map.is_identity());
    assert_eq!((map.to_new(215), map.ack_to_orig(209)), (209, 215));
    // Old duplicates stay old.
    assert!(map.ack_to_orig(3) <= 115);
}

#[test]
fn beyond_the_cap_acks_become_coarser_but_not_wrong() {
    let mut map = OffsetMap::new();
    for _ in 0..2 * MAX_CHUNKS as u64 {
        map.push(3, 5);
        map.push(1, 1);
    }
    assert_eq!(map.edits(), MAX_CHUNKS);
    let (orig, new) = (map.orig_end(), map.new_end());
    assert_eq!((orig, new), (8 * MAX_CHUNKS as u64, 12 * MAX_CHUNKS as u64));
    assert_eq!((map.ack_to_orig(new), map.to_new(orig)), (orig, new));
    let mut before = 0;
    for at in 0..new {
        let ack = map.ack_to_orig(at);
        assert!(before <= ack && ack < orig);
        before = ack;
    }
    // The joined chunk still leaves its last byte owing until all is had.
    let joined = map.edits[0];
    assert_eq!(map.ack_to_orig(joined.new_end() - 1), joined.orig_end() - 1);
    assert_eq!(map.ack_to_orig(joined.new_end()), joined.orig_end());
}

/// The rules, word for word, on a list of all chunks: unedited bytes are
/// chunks of one byte, insertions are joined with what follows.
struct Model {
    chunks: Vec<(u64, u64)>,
}

impl Model {
    fn new(pushes: &[(u64, u64)]) -> Model {
        let mut chunks = Vec::new();
        let mut inserted = 0;
        for &(orig, new) in pushes {
            if orig == 0 {
                inserted += new;
            } else if orig == new {
                chunks.push((1, 1 + std::mem::take(&mut inserted)));
                chunks.extend((1..orig).map(|_| (1, 1)));
            } else {
                chunks.push((orig, new + std::mem::take(&mut inserted)));
            }
        }
        chunks.push((0, inserted));
        Model { chunks }
    }

    fn ack(&self, ack: u64) -> u64 {
        let (mut orig, mut new) = (0, 0);
        for &(o, n) in &self.chunks {
            if new + n > ack {
                return orig + (ack - new).min(o.saturating_sub(1));
            }
            orig += o;
            new += n;
        }
        orig
    }

    fn to_new(&self, offset: u64) -> u64 {
        let (mut orig, mut new) = (0, 0);
        for &(o, n) in &self.chunks {
            if orig + o > offset {
                return new + (offset - orig).min(n.saturating_sub(1));
            }
            orig += o;
            new += n;
        }
        new + (offset - orig)
    }

    /// Original bytes of the chunks that lie wholly within, without those
    /// erased at the edges.
    fn sack(&self, range: Range<u64>) -> Option<Range<u64>> {
        let (mut orig, mut new) = (0, 0);
        let mut found: Option<Range<u64>> = None;
        for &(o, n) in &self.chunks {
            if n > 0 && range.start <= new && new + n <= range.end && o > 0 {
                let start = found.map_or(orig, |found| found.start);
                found = Some(start..orig + o);
            }
            orig += o;
            new += n;
        }
        found
    }
}

fn any_pushes() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let push = prop_oneof![
        3 => (1..20_u64).prop_map(|len| (len, len)),
        3 => (0..12_u64, 0..12_u64),
        1 => (1..12_u64).prop_map(|len| (len, 0)),
        1 => (1..12_u64).prop_map(|len| (0, len)),
    ];
    prop::collection::vec(push, 0..20)
}

proptest! {
    #[test]
    fn the_map_agrees_with_the_rules(pushes in any_pushes()) {
        let map = map_of(&pushes);
        let model = Model::new(&pushes);
        let (orig, new) = (map.orig_end(), map.new_end());
        prop_assert_eq!(orig, pushes.iter().map(|push| push.0).sum::<u64>());
        prop_assert_eq!(new, pushes.iter().map(|push| push.1).sum::<u64>());
        prop_assert_eq!(map.delta_at_end(), new as i64 - orig as i64);
        for at in 0..new + 5 {
            prop_assert_eq!(map.ack_to_orig(at), model.ack(at), "ack {}", at);
        }
        for at in 0..orig + 5 {
            prop_assert_eq!(map.to_new(at), model.to_new(at), "offset {}", at);
        }
        for start in 0..new {
            for end in start..=new {
                prop_assert_eq!(map.sack_to_orig(start..end), model.sack(start..end));
            }
        }
    }

    #[test]
    fn acks_never_go_back_nor_beyond_what_was_sent(pushes in any_pushes()) {
        let mut map = OffsetMap::new();
        let mut latest = 0;
        // The receiver acknowledges all but three bytes, as they come.
        for (orig, new) in pushes {
            map.push(orig, new);
            let ack = map.ack_to_orig(map.new_end().saturating_sub(3));
            prop_assert!(latest <= ack && ack <= map.orig_end());
            map.prune(ack);
            latest = ack;
            // Three bytes not acknowledged, with erased chunks around each.
            prop_assert!(map.edits() <= 7);
        }
    }

    #[test]
    fn pruning_does_not_change_what_is_ahead(pushes in any_pushes(), acked in 0..200_u64) {
        let whole = map_of(&pushes);
        let mut pruned = whole.clone();
        let acked = whole.ack_to_orig(acked.min(whole.new_end()));
        pruned.prune(acked);
        for at in 0..whole.new_end() + 5 {
            // Acks from before are old news, and must not become new ones.
            let (then, now) = (whole.ack_to_orig(at), pruned.ack_to_orig(at));
            prop_assert!(now == then || (now <= acked && then < acked), "ack {}", at);
        }
        for at in acked..whole.orig_end() + 5 {
            prop_assert_eq!(pruned.to_new(at), whole.to_new(at));
        }
    }

    /// What the sender still owes brings all that the receiver still lacks.
    #[test]
    fn what_is_owed_covers_what_is_missing(pushes in any_pushes()) {
        let mut map = map_of(&pushes);
        map.push(1, 1); // The FIN, which insertions at the end hang on.
        for acked in 0..map.new_end() {
            let owed = map.ack_to_orig(acked)..map.orig_end();
            prop_assert!(!owed.is_empty());
            let rebuilt = map.to_new_range(owed);
            prop_assert!(rebuilt.start <= acked && rebuilt.end == map.new_end());
        }
    }
}

/// Numbers on the wire wrap at 4 GiB; offsets do not.
#[test]
fn edits_before_at_and_behind_four_gigabytes() {
    const WRAP: u64 = 1 << 32;
    let mut map = OffsetMap::new();
    map.push(WRAP - 10, WRAP - 10);
    map.push(20, 26); // lies across the wrap
    map.push(WRAP, WRAP);
    map.push(7, 0);
    map.push(100, 100);
    assert_eq!(map.orig_end(), 2 * WRAP + 117);
    assert_eq!(map.new_end(), 2 * WRAP + 116);
    assert_eq!(map.to_new(WRAP - 10), WRAP - 10);
    assert_eq!(map.to_new(WRAP + 10), WRAP + 16);
    assert_eq!(map.to_new(2 * WRAP), 2 * WRAP + 6);
    assert_eq!(map.ack_to_orig(WRAP - 11), WRAP - 11);
    assert_eq!(map.ack_to_orig(WRAP + 16), WRAP + 10);
    assert_eq!(map.ack_to_orig(2 * WRAP + 116), 2 * WRAP + 117);
    map.prune(WRAP + 10);
    assert_eq!(map.to_new(2 * WRAP), 2 * WRAP + 6);
    assert_eq!(map.delta_at_end(), -1);
}

//! The native rows of the specification's test table, and the edges between.

use proptest::prelude::*;

use super::fuzz::fuzz_buffer;
use super::*;

proptest! {
    #[test]
    fn random_edits_match_the_model(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz_buffer(&data);
    }
}

const TEXT: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

fn store() -> Store {
    Store::default()
}

fn text_of(store: &mut Store, buf: BufId) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.copy_out(buf, &mut bytes).unwrap();
    bytes
}

/// 150 zero bytes with the alphabet inserted at 21, as the table has it.
fn with_insertion(store: &mut Store) -> BufId {
    let buf = store.new_zero(150).unwrap();
    let text = store.new_from(TEXT).unwrap();
    let at = store.position(buf, Some(21)).unwrap();
    store.insert(at, text).unwrap();
    buf
}

#[test]
fn vbuffer_create() {
    let mut store = store();
    let buf = store.new_zero(150).unwrap();
    let text = store.new_from(TEXT).unwrap();
    store.append(buf, text).unwrap();
    assert_eq!(store.len(buf), Ok(176));
    assert_eq!(store.len(text), Ok(0));
}

#[test]
fn iterator_available() {
    let mut store = store();
    let buf = with_insertion(&mut store);
    let begin = store.position(buf, Some(0)).unwrap();
    assert_eq!(store.available(begin, u64::MAX), Ok(176));
    assert_eq!(store.available(begin, 160), Ok(160));
    let inside = store.position(buf, Some(48)).unwrap();
    assert_eq!(store.available(inside, u64::MAX), Ok(128));
    let end = store.position(buf, None).unwrap();
    assert_eq!(store.available(end, u64::MAX), Ok(0));
    assert_eq!(store.is_eof(end), Ok(true));
}

#[test]
fn insert() {
    let mut store = store();
    let buf = store.new_zero(150).unwrap();
    let text = store.new_from(TEXT).unwrap();
    let at = store.position(buf, Some(21)).unwrap();
    assert_eq!(store.available(at, u64::MAX), Ok(129));
    let inserted = store.insert(at, text).unwrap();
    assert_eq!(store.len(buf), Ok(176));
    assert_eq!(store.bytes(inserted.span), Ok(TEXT));
    assert_eq!(store.available(inserted.after, u64::MAX), Ok(129));
}

#[test]
fn erase() {
    let mut store = store();
    let buf = with_insertion(&mut store);
    let part = store.sub(buf, 10, Some(30)).unwrap();
    store.erase(part).unwrap();
    assert_eq!(store.len(buf), Ok(146));
    store.erase(Span::whole(buf)).unwrap();
    assert_eq!(store.len(buf), Ok(0));
    assert!(store.is_modified(buf));
}

#[test]
fn extract() {
    let mut store = store();
    let buf = with_insertion(&mut store);
    let part = store.sub(buf, 12, Some(100)).unwrap();
    let taken = store.select(part).unwrap();
    assert_eq!(store.len(taken.content), Ok(100));
    assert_eq!(store.len(buf), Ok(76));
    let rest = store.select(Span::whole(buf)).unwrap();
    assert_eq!((store.len(rest.content), store.len(buf)), (Ok(76), Ok(0)));
}

#[test]
fn mmap() {
    let mut store = store();
    let buf = with_insertion(&mut store);
    let sizes: Vec<usize> = store.pieces(buf).unwrap().map(<[u8]>::len).collect();
    assert_eq!(sizes, [21, 26, 129]);
    assert_eq!(store.pieces(buf).unwrap().nth(1), Some(TEXT));
}

#[test]
fn select() {
    let mut store = store();
    let buf = with_insertion(&mut store);
    let part = store.sub(buf, 10, Some(47)).unwrap();
    let taken = store.select(part).unwrap();
    assert_eq!(
        (store.len(buf), store.len(taken.content)),
        (Ok(129), Ok(47))
    );
    store.restore(taken.place, taken.content).unwrap();
    assert_eq!(store.len(buf), Ok(176));
    assert_eq!(
        store.restore(taken.place, taken.content),
        Err(BufError::NotReference)
    );
}

#[test]
fn flatten() {
    let mut store = store();
    let buf = with_insertion(&mut store);
    let part = store.sub(buf, 22, Some(10)).unwrap();
    assert_eq!(store.is_flat(part), Ok(true));
    assert_eq!(store.is_flat(Span::whole(buf)), Ok(false));
    let (flat, len) = store.flatten(Span::whole(buf)).unwrap();
    assert_eq!((len, store.len(buf)), (176, Ok(176)));
    assert_eq!(store.is_flat(flat), Ok(true));
}

#[test]
fn compact() {
    let mut store = store();
    let buf = store.new_zero(150).unwrap();
    let at = store.position(buf, Some(21)).unwrap();
    let mark = store.mark(at, false).unwrap();
    store.unmark(mark).unwrap();
    assert_eq!(store.pieces(buf).unwrap().count(), 2);
    store.compact(buf).unwrap();
    assert_eq!(store.pieces(buf).unwrap().count(), 1);
    assert_eq!(store.is_flat(Span::whole(buf)), Ok(true));
}

/// Spans of `len` bytes: inside a node, and across two borders of nodes.
fn spans(store: &mut Store, len: u64) -> [Span; 2] {
    [4, 19].map(|offset| {
        let buf = with_insertion(store);
        store.sub(buf, offset, Some(len)).unwrap()
    })
}

#[test]
fn number() {
    let mut store = store();
    for span in spans(&mut store, 4) {
        store
            .set_number(span, f64::from(0xdead_beef_u32), Endian::Big)
            .unwrap();
        assert_eq!(
            store.number(span, Endian::Big),
            Ok(f64::from(0xdead_beef_u32))
        );
        assert_eq!(
            store.number(span, Endian::Little),
            Ok(f64::from(0xefbe_adde_u32))
        );
        store
            .set_number(span, f64::from(0xdead_beef_u32), Endian::Little)
            .unwrap();
        assert_eq!(
            store.number(span, Endian::Little),
            Ok(f64::from(0xdead_beef_u32))
        );
    }
}

#[test]
fn bits() {
    let mut store = store();
    for span in spans(&mut store, 3) {
        for endian in [Endian::Big, Endian::Little] {
            store.zero(span).unwrap();
            store
                .set_bits(span, 3, 11, f64::from(0x555), endian)
                .unwrap();
            assert_eq!(store.bits(span, 3, 11, endian), Ok(f64::from(0x555)));
            assert_eq!(store.bits(span, 0, 3, endian), Ok(0.0));
            assert_eq!(store.bits(span, 14, 10, endian), Ok(0.0));
        }
    }
}

#[test]
fn bits_endian() {
    let mut store = store();
    for (endian, byte) in [(Endian::Little, 0x05), (Endian::Big, 0x50)] {
        let buf = store.new_zero(1).unwrap();
        store.set_bits(Span::whole(buf), 0, 4, 5.0, endian).unwrap();
        assert_eq!(text_of(&mut store, buf), [byte]);
    }
}

#[test]
fn bitfield() {
    let mut store = store();
    for (bit, size) in [(9, 11), (9, 32), (77, 94)] {
        let buf = store.new_zero(u64::div_ceil(size, 8) as usize).unwrap();
        let all = Span::whole(buf);
        store.set_bits(all, bit, 1, 1.0, Endian::Big).unwrap();
        for at in 0..size {
            let wanted = f64::from(at == bit);
            assert_eq!(
                store.bits(all, at, 1, Endian::Big),
                Ok(wanted),
                "bit {at} of {size}"
            );
        }
        store.set_bits(all, bit, 1, 0.0, Endian::Big).unwrap();
        assert_eq!(store.sum(all), Ok(0));
    }
}

proptest! {
    #[test]
    fn bit_fields_are_what_they_say(
        bytes in proptest::collection::vec(any::<u8>(), 16),
        cut in 1..16_u64, offset in 0..64_u64, size in 1..53_u64, value: u64, little: bool,
    ) {
        prop_assume!(offset % 8 + size <= 64);
        let mut store = store();
        let buf = store.new_from(&bytes).unwrap();
        let at = store.position(buf, Some(cut)).unwrap();
        store.split_at(at).unwrap();
        let value = value & ((1 << size) - 1);
        let (all, endian) =
            (Span::whole(buf), if little { Endian::Little } else { Endian::Big });
        store.set_bits(all, offset, size, value as f64, endian).unwrap();
        prop_assert_eq!(store.bits(all, offset, size, endian), Ok(value as f64));
        let after = text_of(&mut store, buf);
        let bit = |bytes: &[u8], at: u64| {
            let shift = if little { at % 8 } else { 7 - at % 8 };
            bytes[at as usize / 8] >> shift & 1
        };
        // Bit by bit: the field holds the value, the rest is as it was. The
        // bytes a little-endian field covers count from its first byte.
        for at in 0..128 {
            let inside = (offset..offset + size).contains(&at);
            if !inside {
                prop_assert_eq!(bit(&after, at), bit(&bytes, at), "bit {}", at);
            } else if little {
                prop_assert_eq!(u64::from(bit(&after, at)), value >> (at - offset) & 1);
            } else {
                let shift = size - 1 - (at - offset);
                prop_assert_eq!(u64::from(bit(&after, at)), value >> shift & 1);
            }
        }
    }
}

#[test]
fn string() {
    let mut store = store();
    for span in spans(&mut store, 30) {
        store.set_fixed(span, b"haka").unwrap();
        assert_eq!(store.bytes(span).unwrap().get(..4), Some(&b"haka"[..]));
        assert_eq!(store.span_len(span), Ok(30));
        let (new, len) = store.set_string(span, b"haka").unwrap();
        assert_eq!((len, store.bytes(new)), (4, Ok(&b"haka"[..])));
    }
}

// Streams --------------------------------------------------------------------

const SIZES: [usize; 5] = [150, 213, 10, 0, 1523];

#[test]
fn stream_push_pop() {
    let mut store = store();
    let stream = store.stream_new().unwrap();
    for (size, number) in SIZES.into_iter().zip(0..) {
        assert_eq!(store.stream_push_bytes(stream, &vec![7; size]), Ok(number));
        let popped = store.stream_pop(stream).unwrap();
        let wanted = Popped {
            piece: number,
            modified: false,
            len: size,
            whole: size > 0,
        };
        assert_eq!(popped, wanted);
        assert_eq!(store.stream_pop(stream), None);
    }
}

#[test]
fn stream_push_pop_interleaved() {
    let mut store = store();
    let stream = store.stream_new().unwrap();
    for size in SIZES {
        store.stream_push_bytes(stream, &vec![7; size]).unwrap();
    }
    assert_eq!(store.stream_available_from(stream, 2), Ok(1533));
    for size in SIZES {
        let piece = store.stream_pop_buffer(stream).unwrap().unwrap();
        assert_eq!(store.len(piece), Ok(size as u64));
        assert!(!store.is_modified(piece));
    }
    assert!(!store.poppable(stream));
}

#[test]
fn stream_mark() {
    let mut store = store();
    let stream = store.stream_new().unwrap();
    let mut marks = Vec::new();
    for (size, offset) in SIZES.into_iter().zip([12, 213, 0, 0, 1244]) {
        let piece = store.new_zero(size).unwrap();
        let start = store.stream_push_buffer(stream, piece).unwrap();
        let at = store.advance(start, Some(offset)).unwrap().to;
        marks.push(store.mark(at, false).unwrap());
    }
    for (size, mark) in SIZES.into_iter().zip(marks) {
        assert_eq!(store.stream_pop(stream), None, "held");
        store.unmark(mark).unwrap();
        let popped = store.stream_pop(stream).unwrap();
        assert_eq!((popped.len, popped.modified), (size, false));
    }
    assert_eq!(store.stream_pop(stream), None);
}

#[test]
fn stream_eof() {
    let mut store = store();
    let stream = store.stream_new().unwrap();
    store.stream_push_bytes(stream, b"some").unwrap();
    let end = store.position(stream, None).unwrap();
    assert_eq!(store.available(end, u64::MAX), Ok(0));
    assert_eq!(store.is_eof(end), Ok(false));
    store.stream_finish(stream).unwrap();
    assert_eq!(store.is_eof(end), Ok(true));
    assert_eq!(
        store.stream_push_bytes(stream, b"more"),
        Err(BufError::Finished)
    );
}

#[test]
fn a_piece_cut_by_a_mark_pops_whole() {
    let mut store = store();
    let stream = store.stream_new().unwrap();
    store.stream_push_bytes(stream, b"abcdef").unwrap();
    let at = store.position(stream, Some(3)).unwrap();
    let mark = store.mark(at, false).unwrap();
    store.unmark(mark).unwrap();
    let popped = store.stream_pop(stream).unwrap();
    assert_eq!((popped.whole, popped.modified), (true, false));
}

#[test]
fn bytes_written_in_place_need_no_copy() {
    let mut store = store();
    let ext = store.extents.alloc_packet(b"..abcd..");
    let stream = store.stream_new().unwrap();
    store.stream_push(stream, ext, 2, 4, true).unwrap();
    let part = store.sub(stream, 1, Some(2)).unwrap();
    store.set_fixed(part, b"XY").unwrap();
    let popped = store.stream_pop(stream).unwrap();
    assert_eq!((popped.whole, popped.modified), (true, true));
    assert_eq!(store.extents.bytes(ext), b"..aXYd..");
}

#[test]
fn what_changed_shape_is_copied_out() {
    let mut store = store();
    let stream = store.stream_new().unwrap();
    store.stream_push_bytes(stream, b"abcdef").unwrap();
    let part = store.sub(stream, 1, Some(2)).unwrap();
    store.set_string(part, b"-----").unwrap();
    let popped = store.stream_pop(stream).unwrap();
    assert_eq!(
        (popped.whole, popped.modified, popped.len),
        (false, true, 9)
    );
    let mut bytes = Vec::new();
    store.popped_copy(&mut bytes);
    assert_eq!(bytes, b"a-----def");
    assert_eq!(store.popped_extents().count(), 3);
}

#[test]
fn bytes_taken_away_are_a_modification_of_their_piece() {
    let mut store = store();
    let stream = store.stream_new().unwrap();
    store.stream_push_bytes(stream, b"abc").unwrap();
    let other = store.new_empty().unwrap();
    store.append(other, stream).unwrap();
    let popped = store.stream_pop(stream).unwrap();
    assert_eq!(
        (popped.len, popped.modified, popped.whole),
        (0, true, false)
    );
    assert_eq!(text_of(&mut store, other), b"abc");
}

#[test]
fn a_span_that_finds_no_bytes_stays_in_its_piece() {
    let mut store = store();
    let stream = store.stream_new().unwrap();
    store.stream_push_bytes(stream, b"a").unwrap();
    store.stream_push_bytes(stream, b"").unwrap();
    let nothing = store.sub(stream, 1, Some(3)).unwrap();
    store.set_string(nothing, b"b").unwrap();
    assert_eq!(store.stream_pop(stream).map(|popped| popped.len), Some(2));
}

#[test]
fn write_protected_pieces_refuse_changes_but_not_marks() {
    let mut store = store();
    let ext = store.extents.alloc_packet(b"abcd");
    let stream = store.stream_new().unwrap();
    store.stream_push(stream, ext, 0, 4, false).unwrap();
    let part = store.sub(stream, 1, Some(2)).unwrap();
    let start = store.position(stream, Some(0)).unwrap();
    let other = store.new_from(b"x").unwrap();
    let end = store.position(stream, None).unwrap();
    assert_eq!(store.erase(part), Err(BufError::ReadOnly));
    assert_eq!(store.zero(part), Err(BufError::ReadOnly));
    assert_eq!(store.set_string(part, b""), Err(BufError::ReadOnly));
    assert_eq!(store.insert(start, other).err(), Some(BufError::ReadOnly));
    assert_eq!(store.insert(end, other).err(), Some(BufError::ReadOnly));
    let mark = store.mark(start, true).unwrap();
    assert_eq!(store.insert(mark, other).err(), Some(BufError::ReadOnly));
    let taken = store.select(part).unwrap();
    store.restore(taken.place, taken.content).unwrap();
    let popped = store.stream_pop(stream).unwrap();
    assert_eq!((popped.len, popped.modified), (4, false));
}

#[test]
fn an_emptied_selection_that_comes_back_is_a_modification() {
    let mut store = store();
    let (stream, other) = (store.stream_new().unwrap(), store.stream_new().unwrap());
    store.stream_push_bytes(stream, b"abc").unwrap();
    let taken = store.select(Span::whole(stream)).unwrap();
    store.erase(Span::whole(taken.content)).unwrap();
    // What remembers the erasure moves on, twice.
    store.stream_push_buffer(other, taken.content).unwrap();
    store.stream_push_buffer(other, taken.content).unwrap();
    store.restore(taken.place, taken.content).unwrap();
    let popped = store.stream_pop(stream).unwrap();
    assert_eq!((popped.len, popped.modified), (0, true));
}

#[test]
fn an_empty_payload_can_be_protected() {
    let mut store = store();
    let ext = store.extents.alloc_packet(b"");
    let buf = store.new_over(ext, 0, 0, false).unwrap();
    let other = store.new_from(b"x").unwrap();
    assert_eq!(store.append(buf, other), Err(BufError::ReadOnly));
    let taken = store.select(Span::whole(buf)).unwrap();
    assert_eq!(store.append(taken.content, other), Err(BufError::ReadOnly));
    store.restore(taken.place, taken.content).unwrap();
    assert_eq!(store.new_over(ext, 0, 1, true), Err(BufError::InvalidEnd));
}

#[test]
fn caps_refuse_with_their_texts() {
    let limits = Limits {
        nodes_per_buffer: 8,
        buffers: 4,
        packet_bytes: 4096,
        ..Limits::default()
    };
    let mut store = Store::new(limits);
    let stream = store.stream_new().unwrap();
    for _ in 0..4 {
        store.stream_push_bytes(stream, b"x").unwrap();
    }
    assert_eq!(
        store.stream_push_bytes(stream, b"x"),
        Err(BufError::TooManyPieces)
    );
    assert_eq!(
        BufError::TooManyPieces.to_string(),
        "too many pieces in buffer"
    );
    let part = store.sub(stream, 0, Some(1)).unwrap();
    assert_eq!(
        store.select(part),
        Err(BufError::Memory),
        "rules may not hoard packets"
    );
    assert!(store.stream_pop(stream).is_some());
    for _ in 0..2 {
        store.new_empty().unwrap();
    }
    assert_eq!(store.new_empty(), Err(BufError::TooManyBuffers));
}

#[test]
fn nothing_leaks() {
    let mut store = store();
    let stream = store.stream_new().unwrap();
    for _ in 0..3 {
        let ext = store.extents.alloc_packet(TEXT);
        store.stream_push(stream, ext, 0, TEXT.len(), true).unwrap();
        store.extents.release(ext);
    }
    let part = store.sub(stream, 20, Some(20)).unwrap();
    let taken = store.select(part).unwrap();
    let clone = store
        .clone_buffer(taken.content, CloneMode::Shared)
        .unwrap();
    for buf in [stream, taken.content, clone] {
        store.free(buf);
    }
    assert_eq!(
        (
            store.live_buffers(),
            store.live_nodes(),
            store.extents.live()
        ),
        (0, 0, 0)
    );
    store.free(stream);
    assert_eq!(store.len(stream), Err(BufError::InvalidBuffer));
}

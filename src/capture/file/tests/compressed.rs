//! Gzip and zstd around a capture, whole and cut.

use std::io::Write;

use super::*;

pub(super) fn gzipped(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

pub(super) fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn compressed_captures_read_like_plain_ones() {
    for plain in [small_pcap(true, 0xa1b2_c3d4), small_pcapng(false)] {
        let (expected, _) = read_all(&plain);
        let split = plain.len() / 2;
        let gzip = [gzipped(&plain[..split]), gzipped(&plain[split..])].concat();
        // A skippable frame of three bytes between two frames of data.
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let zstd = [
            &zstd(&plain[..split])[..],
            &skippable,
            &zstd(&plain[split..]),
        ]
        .concat();
        for (packed, kind) in [(gzip, Compression::Gzip), (zstd, Compression::Zstd)] {
            let (packets, end) = read_all(&packed);
            let reader = end.expect("sound");
            assert_eq!((&packets, reader.compression()), (&expected, Some(kind)));
            assert_eq!(reader.bytes_read(), packed.len() as u64);
        }
    }
}

#[test]
fn cut_compressed_captures_give_what_is_left() {
    let mut file = pcap_header(false, 0xa1b2_c3d4, 1);
    for second in 0..300 {
        file = file.words(&[second, 0, 1_000, 1_000]).raw(&noise(1_000));
    }
    let third = |data: Vec<u8>| data[..data.len() / 3].to_vec();
    let plain = read_all(&third(file.bytes.clone())).0.len();
    assert_eq!(plain, 99);
    // The zstd frame is of raw blocks of 128 KiB; the first survives the cut.
    let raw_blocks = {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x40];
        let chunks: Vec<_> = file.bytes.chunks(50_000).collect();
        for (index, chunk) in chunks.iter().enumerate() {
            let last = u32::from(index + 1 == chunks.len());
            frame.extend_from_slice(&((chunk.len() as u32) << 3 | last).to_le_bytes()[..3]);
            frame.extend_from_slice(chunk);
        }
        frame
    };
    assert_eq!(read_all(&raw_blocks).0.len(), 300);
    for (packed, at_least) in [(gzipped(&file.bytes), 2), (third(raw_blocks), 90)] {
        let kept = if at_least == 2 {
            packed[..packed.len() / 2].to_vec()
        } else {
            packed
        };
        let (packets, end) = read_all(&kept);
        assert!(packets.len() >= at_least, "{} packets", packets.len());
        match end {
            Err(CaptureError::Damaged {
                frame,
                compression: Some(_),
                what,
                ..
            }) => {
                assert_eq!(frame, packets.len() as u64);
                assert!(what.contains("data are cut or corrupt"), "{what}");
            }
            other => panic!("{:?}", other.err()),
        }
    }
}

#[test]
fn zstd_windows_are_capped() {
    // A frame that announces a window of a terabyte.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 30 << 3, 1, 0, 0];
    let error = read_all(&frame).1.err().expect("refused").to_string();
    assert!(error.contains("zstd data are cut or corrupt"), "{error}");
}

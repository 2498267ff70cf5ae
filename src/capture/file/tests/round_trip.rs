//! Writer and readers together, and readers against arbitrary bytes.

use proptest::prelude::*;

use super::compressed::{gzipped, zstd};
use super::*;

/// The bytes of a file called `name` that `packets` were written to.
fn written(
    name: &str,
    resolution: Resolution,
    packets: &[(i64, u16, Vec<u8>)],
) -> Result<Vec<u8>, CaptureError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    let mut writer = CaptureWriter::create(&path, LinkType::ETHERNET, resolution)?;
    for (nanos, link, packet) in packets {
        writer.write(
            Timestamp(*nanos),
            LinkType(*link),
            packet,
            packet.len() as u32 + 7,
        )?;
    }
    writer.finish()?;
    Ok(std::fs::read(&path).expect("just written"))
}

#[test]
fn a_pcap_refuses_another_link_type() {
    let packets = [(0, 1, b"ether".to_vec()), (0, 101, b"raw".to_vec())];
    let error = written("out.pcap", Resolution::Micro, &packets).expect_err("two link types");
    assert!(matches!(
        error,
        CaptureError::LinkMismatch {
            file: LinkType(1),
            packet: LinkType(101),
            ..
        }
    ));
    assert!(
        error
            .to_string()
            .ends_with("write to a file ending in .pcapng instead")
    );
    let both = written("out.PCAPNG", Resolution::Micro, &packets).expect("pcapng takes both");
    let (read, end) = read_all(&both);
    assert!(end.is_ok());
    assert_eq!(
        read.iter()
            .map(|p| (p.link, p.interface))
            .collect::<Vec<_>>(),
        [(1, 0), (101, 1)]
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        packets in prop::collection::vec(
            (0..4_000_000_000_000_000_000_i64, Just(1_u16), prop::collection::vec(any::<u8>(), 1..40)),
            0..8,
        ),
        form in 0..3_usize,
    ) {
        let (name, resolution, unit) = [
            ("a.pcap", Resolution::Micro, 1_000),
            ("b.cap", Resolution::Nano, 1),
            ("c.ntar", Resolution::Micro, 1),
        ][form];
        let file = written(name, resolution, &packets).expect("written");
        prop_assert_eq!(FileKind::of(&file) == FileKind::Pcapng, form == 2);
        let (read, end) = read_all(&file);
        prop_assert!(end.is_ok());
        prop_assert_eq!(read.len(), packets.len());
        for (read, (nanos, link, packet)) in read.iter().zip(&packets) {
            prop_assert_eq!(read.nanos, nanos - nanos % unit);
            prop_assert_eq!((read.link, read.orig_len), (*link, packet.len() as u32 + 7));
            prop_assert_eq!(&read.bytes, packet);
        }
    }

    #[test]
    fn damaged_captures_are_survived(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        kind in 0..6_usize,
    ) {
        let mut data = match kind {
            0 => small_pcap(false, 0xa1b2_c3d4),
            1 => small_pcap(true, 0xa1b2_3c4d),
            2 => small_pcapng(false),
            3 => small_pcapng(true),
            4 => gzipped(&small_pcapng(false)),
            _ => zstd(&small_pcap(false, 0xa1b2_c3d4)),
        };
        for (at, value) in &flips {
            let at = at.index(data.len());
            data[at] = *value;
        }
        data.truncate(cut.index(data.len() + 1));
        fuzz_reader(&data);
    }

    #[test]
    fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..300), pcapng: bool) {
        fuzz_reader(&data);
        let mut framed = if pcapng { section(false, &[]).bytes } else { pcap_header(false, 0xa1b2_c3d4, 1).bytes };
        framed.extend(&data);
        fuzz_reader(&framed);
    }
}

//! The readers against files built here, word by word, whole and damaged.

mod compressed;
mod corpus;
mod round_trip;

use std::io::Cursor;
use std::path::Path;

use super::*;

/// What a test needs to know of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packet {
    frame: u64,
    nanos: i64,
    link: u16,
    interface: u32,
    orig_len: u32,
    bytes: Vec<u8>,
}

/// Everything in `data`, and how it ended.
fn read_all(data: &[u8]) -> (Vec<Packet>, Result<CaptureReader, CaptureError>) {
    let mut packets = Vec::new();
    let mut reader = match CaptureReader::from_read(Cursor::new(data.to_vec()), "mem") {
        Ok(reader) => reader,
        Err(error) => return (packets, Err(error)),
    };
    loop {
        match reader.next() {
            Ok(Some(record)) => packets.push(Packet {
                frame: record.frame,
                nanos: record.timestamp.0,
                link: record.link.0,
                interface: record.interface,
                orig_len: record.orig_len,
                bytes: record.bytes.to_vec(),
            }),
            Ok(None) => return (packets, Ok(reader)),
            Err(error) => {
                assert!(
                    matches!(reader.next(), Ok(None)),
                    "an error is reported once"
                );
                return (packets, Err(error));
            }
        }
    }
}

fn damage(data: &[u8]) -> (usize, u64, String) {
    match read_all(data) {
        (
            packets,
            Err(CaptureError::Damaged {
                offset,
                frame,
                what,
                ..
            }),
        ) => {
            assert_eq!(frame, packets.last().map_or(0, |packet| packet.frame));
            (packets.len(), offset, what)
        }
        (packets, other) => panic!("{} packets, then {:?}", packets.len(), other.err()),
    }
}

/// Bytes of a file, written word by word in one byte order.
struct Bytes {
    big: bool,
    bytes: Vec<u8>,
}

impl Bytes {
    fn words(mut self, words: &[u32]) -> Bytes {
        for &word in words {
            self.bytes.extend(if self.big {
                word.to_be_bytes()
            } else {
                word.to_le_bytes()
            });
        }
        self
    }

    fn halves(mut self, halves: &[u16]) -> Bytes {
        for &half in halves {
            self.bytes.extend(if self.big {
                half.to_be_bytes()
            } else {
                half.to_le_bytes()
            });
        }
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Bytes {
        self.bytes.extend(bytes);
        self
    }
}

fn bytes(big: bool) -> Bytes {
    Bytes {
        big,
        bytes: Vec::new(),
    }
}

fn pcap_header(big: bool, magic: u32, link: u32) -> Bytes {
    bytes(big)
        .words(&[magic])
        .halves(&[2, 4])
        .words(&[0, 0, 65_535, link])
}

/// Two packets of 5 and 3 bytes: records at 24 and 45, end at 64.
fn small_pcap(big: bool, magic: u32) -> Vec<u8> {
    pcap_header(big, magic, 101)
        .words(&[1_000, 7, 5, 60])
        .raw(b"abcde")
        .words(&[1_001, 999_999, 3, 3])
        .raw(b"xyz")
        .bytes
}

/// A section with interface 0 (raw IP, times in `options`).
fn section(big: bool, options: &[u8]) -> Bytes {
    let length = 20 + options.len() as u32;
    bytes(big)
        .words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d])
        .halves(&[1, 0])
        .words(&[u32::MAX, u32::MAX, 28])
        .words(&[1, length])
        .halves(&[101, 0])
        .words(&[0])
        .raw(options)
        .words(&[length])
}

impl Bytes {
    fn packet(self, interface: u32, ticks: u64, packet: &[u8]) -> Bytes {
        let captured = packet.len() as u32;
        let padded = captured.next_multiple_of(4);
        self.words(&[
            6,
            32 + padded,
            interface,
            (ticks >> 32) as u32,
            ticks as u32,
        ])
        .words(&[captured, captured])
        .raw(packet)
        .raw(&vec![0; (padded - captured) as usize])
        .words(&[32 + padded])
    }
}

/// Section and interface up to 48, an unknown block up to 64, packets up to
/// 104 and 140.
fn small_pcapng(big: bool) -> Vec<u8> {
    section(big, &[])
        .words(&[0x0bad_cafe, 16, 0, 16])
        .packet(0, 1_000_000_007, b"abcde")
        .packet(0, 1_000_000_008, b"xyz")
        .bytes
}

/// Numbers that do not compress, so that cuts fall into the data.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(step).collect()
}

#[test]
fn pcap_is_read_in_both_orders_and_resolutions() {
    for big in [false, true] {
        for (magic, unit) in [(0xa1b2_c3d4, 1_000), (0xa1b2_3c4d, 1)] {
            let (packets, end) = read_all(&small_pcap(big, magic));
            let reader = end.expect("sound");
            assert_eq!(reader.link(), Some(LinkType::RAW));
            assert_eq!(reader.resolution() == Resolution::Nano, unit == 1);
            let first = Packet {
                frame: 1,
                nanos: 1_000_000_000_000 + 7 * unit,
                link: 101,
                interface: 0,
                orig_len: 60,
                bytes: b"abcde".to_vec(),
            };
            assert_eq!(packets.len(), 2);
            assert_eq!(packets[0], first);
            assert_eq!(
                (packets[1].nanos, packets[1].frame),
                (1_001_000_000_000 + 999_999 * unit, 2)
            );
            assert_eq!(packets[1].bytes, b"xyz");
        }
    }
}

#[test]
fn patched_kernels_have_longer_record_headers() {
    let file = pcap_header(false, 0xa1b2_cd34, 1)
        .words(&[3, 4, 2, 2, 9, 9])
        .raw(b"hi")
        .words(&[5, 6, 1, 1, 9, 9])
        .raw(b"!");
    let (packets, end) = read_all(&file.bytes);
    assert!(end.is_ok());
    assert_eq!(
        packets
            .iter()
            .map(|p| p.bytes.as_slice())
            .collect::<Vec<_>>(),
        [&b"hi"[..], b"!"]
    );
}

#[test]
fn a_check_sequence_flag_does_not_change_the_link_type() {
    let (_, end) = read_all(&pcap_header(true, 0xa1b2_c3d4, 0x1400_0071).bytes);
    assert_eq!(
        end.expect("empty but sound").link(),
        Some(LinkType::LINUX_SLL)
    );
}

#[test]
fn every_cut_of_a_pcap_gives_the_packets_before_it() {
    let whole = small_pcap(false, 0xa1b2_c3d4);
    for cut in 1..=whole.len() {
        let data = &whole[..cut];
        match cut {
            0..4 => assert!(matches!(
                read_all(data).1,
                Err(CaptureError::NotACapture { .. })
            )),
            4..24 => assert_eq!(damage(data).1, 0),
            24 | 45 | 64 => {
                let (packets, end) = read_all(data);
                assert!(end.is_ok(), "a border at {cut}");
                assert_eq!(
                    packets.len(),
                    [24, 45, 64].iter().position(|&b| b == cut).unwrap()
                );
            }
            25..45 => assert_eq!((damage(data).0, damage(data).1), (0, 24)),
            _ => assert_eq!((damage(data).0, damage(data).1), (1, 45)),
        }
    }
    assert_eq!(
        damage(&whole[..30]).2,
        "a record header of 16 bytes is cut after 6"
    );
    assert_eq!(
        damage(&whole[..62]).2,
        "a record of 19 bytes is cut after 17"
    );
}

#[test]
fn every_cut_of_a_pcapng_gives_the_packets_before_it() {
    for big in [false, true] {
        let whole = small_pcapng(big);
        let borders = [0, 28, 48, 64, 104, 140];
        assert_eq!(whole.len(), 140);
        for cut in 4..=whole.len() {
            let whole_packets = usize::from(cut >= 104) + usize::from(cut >= 140);
            if borders.contains(&cut) {
                let (packets, end) = read_all(&whole[..cut]);
                assert!(end.is_ok(), "a border at {cut}");
                assert_eq!(packets.len(), whole_packets);
            } else {
                let (packets, offset, _) = damage(&whole[..cut]);
                let start = borders.into_iter().rfind(|&border| border < cut);
                assert_eq!(
                    (packets, Some(offset as usize)),
                    (whole_packets, start),
                    "cut at {cut}"
                );
            }
        }
    }
}

#[test]
fn pcapng_units_and_offsets_are_applied() {
    let tsresol = |value: u8| vec![9, 0, 1, 0, value, 0, 0, 0];
    let nanos = |options: &[u8], ticks| {
        let (packets, end) = read_all(&section(false, options).packet(0, ticks, b"x").bytes);
        (packets[0].nanos, end.expect("sound").resolution())
    };
    assert_eq!(nanos(&[], 1_500_000), (1_500_000_000, Resolution::Micro));
    assert_eq!(nanos(&tsresol(9), 1_500_000), (1_500_000, Resolution::Nano));
    assert_eq!(
        nanos(&tsresol(3), 1_500),
        (1_500_000_000, Resolution::Micro)
    );
    assert_eq!(nanos(&tsresol(12), 1_500_999), (1_500, Resolution::Nano));
    assert_eq!(nanos(&tsresol(127), u64::MAX), (0, Resolution::Nano));
    assert_eq!(
        nanos(&tsresol(0x80 | 10), 1_536),
        (1_500_000_000, Resolution::Micro)
    );
    assert_eq!(nanos(&tsresol(0xff), u64::MAX).0, 0);
    // Ten seconds earlier.
    let mut options = vec![14, 0, 8, 0];
    options.extend((-10_i64).to_le_bytes());
    assert_eq!(nanos(&options, 12_000_000).0, 2_000_000_000);
    // Nothing beyond the end of time.
    assert_eq!(nanos(&tsresol(0), u64::MAX).0, i64::MAX);
    // An option that runs out of its block is passed over.
    assert_eq!(nanos(&[9, 0, 200, 0], 1).0, 1_000);
}

#[test]
fn pcapng_sections_start_over() {
    let mut file = section(false, &[]).packet(0, 5, b"little");
    file.bytes
        .extend(section(true, &[]).packet(0, 6, b"big").bytes);
    let (packets, end) = read_all(&file.bytes);
    assert!(end.is_ok());
    let seen: Vec<_> = packets
        .iter()
        .map(|p| (p.interface, p.nanos, p.bytes.len()))
        .collect();
    assert_eq!(seen, [(0, 5_000, 6), (1, 6_000, 3)]);
}

#[test]
fn older_and_simple_packet_blocks_are_read() {
    let file = section(true, &[])
        .packet(0, 77, b"first")
        // A simple block has no time: it takes that of the packet before.
        .words(&[3, 20, 3])
        .raw(b"abc\0")
        .words(&[20, 2, 36])
        .halves(&[0, 9])
        .words(&[0, 78, 2, 1_500])
        .raw(b"pb\0\0")
        .words(&[36]);
    let (packets, end) = read_all(&file.bytes);
    assert!(end.is_ok());
    let seen: Vec<_> = packets
        .iter()
        .map(|p| (p.nanos, p.orig_len, &p.bytes[..]))
        .collect();
    assert_eq!(
        seen,
        [
            (77_000, 5, &b"first"[..]),
            (77_000, 3, b"abc"),
            (78_000, 1_500, b"pb")
        ]
    );
}

#[test]
fn damage_says_what_is_wrong() {
    let long = pcap_header(false, 0xa1b2_c3d4, 1).words(&[0, 0, 400_000, 400_000]);
    let (packets, offset, what) = damage(&long.bytes);
    assert_eq!((packets, offset), (0, 24));
    assert_eq!(
        what,
        "a record claims 400000 captured bytes, more than the 327679 that can be true"
    );

    let mut file = small_pcapng(false);
    file[136..140].copy_from_slice(&40_u32.to_le_bytes());
    let (packets, offset, what) = damage(&file);
    assert_eq!((packets, offset), (1, 104));
    assert_eq!(
        what,
        "a block (type 6) states 36 bytes at its start and 40 at its end"
    );

    let lost = section(false, &[]).packet(3, 0, b"x");
    assert_eq!(
        damage(&lost.bytes).2,
        "a packet names interface 3, but its section describes 1"
    );
    let odd = section(false, &[]).words(&[6, 33, 0]);
    assert!(
        damage(&odd.bytes)
            .2
            .contains("impossible length of 33 bytes")
    );
    let new = bytes(false).words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 2, 0, 0, 28]);
    assert_eq!(damage(&new.bytes).2, "pcapng version 2.0 is not supported");

    let error = read_all(&small_pcap(false, 0xa1b2_c3d4)[..50])
        .1
        .err()
        .expect("cut");
    assert_eq!(
        error.to_string(),
        "'mem' is damaged at byte 45, after frame 1: a record header of 16 bytes is cut after 5"
    );
}

#[test]
fn a_missing_interface_list_is_damage_only_for_packets() {
    let header = bytes(false).words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, 0, 0, 28]);
    let (packets, end) = read_all(&header.bytes);
    assert_eq!(
        (packets.len(), end.expect("empty but sound").link()),
        (0, None)
    );
}

#[test]
fn empty_records_are_counted_and_odd_lengths_tolerated() {
    let file = pcap_header(false, 0xa1b2_c3d4, 1)
        .words(&[0, 0, 0, 60])
        // More captured than there was: seen in the wild, harmless.
        .words(&[0, 0, 4, 2])
        .raw(b"full");
    let (packets, end) = read_all(&file.bytes);
    assert_eq!(end.expect("sound").skipped(), 1);
    assert_eq!(packets.len(), 1);
    assert_eq!(
        (packets[0].frame, packets[0].orig_len, &packets[0].bytes[..]),
        (2, 2, &b"full"[..])
    );
}

#[test]
fn what_is_no_capture_is_named() {
    let text = |data: &[u8]| read_all(data).1.err().expect("no capture").to_string();
    assert_eq!(text(b""), "'mem' is not a capture file: it is empty");
    assert_eq!(
        text(b"local ipv4 = require('protocol/ipv4')\n"),
        "'mem' is not a capture file: it looks like Lua source text"
    );
    assert_eq!(
        text(&compressed::gzipped(b"haka.log('hi')")),
        "'mem' is not a capture file: it looks like gzip-compressed Lua source text"
    );
    let missing = CaptureReader::open(Path::new("/nowhere/a.pcap"))
        .err()
        .expect("missing");
    assert!(
        missing
            .to_string()
            .starts_with("cannot open '/nowhere/a.pcap': "),
        "{missing}"
    );
}

#[test]
fn a_failing_source_is_not_taken_for_the_end() {
    struct Failing(Cursor<Vec<u8>>);
    impl Read for Failing {
        fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(target)? {
                0 => Err(std::io::Error::other("the cable was pulled")),
                count => Ok(count),
            }
        }
    }
    let whole = small_pcap(false, 0xa1b2_c3d4);
    // At a record's border and inside a record alike.
    for end in [45, 50] {
        let source = Failing(Cursor::new(whole[..end].to_vec()));
        let mut reader = CaptureReader::from_read(source, "mem").expect("the header is whole");
        assert!(matches!(reader.next(), Ok(Some(record)) if record.bytes == b"abcde"));
        let error = reader.next().expect_err("failed").to_string();
        assert_eq!(
            error,
            format!("cannot read 'mem' at byte {end}, after frame 1: the cable was pulled")
        );
    }
}

#[test]
fn records_longer_than_the_buffer_are_read() {
    let packet = noise(3 << 20);
    let length = packet.len() as u32;
    let file = bytes(false)
        .words(&[0xa1b2_c3d4])
        .halves(&[2, 4])
        .words(&[0, 0, u32::MAX, 1])
        .words(&[0, 0, length, length])
        .raw(&packet)
        .words(&[0, 0, 1, 1])
        .raw(b"!");
    let (packets, end) = read_all(&file.bytes);
    assert!(end.is_ok());
    assert_eq!((packets.len(), packets[0].bytes == packet), (2, true));
}

//! The committed captures are what their scenarios say, and the builder that
//! made them keeps to the RFCs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use captures::catalog;
use captures::conversation::{Conversation, client};
use captures::wire::{self, checksum, flag};

#[path = "captures/mod.rs"]
mod captures;

#[test]
fn committed_captures_are_what_the_generator_makes() {
    let differing: Vec<_> = catalog::all()
        .into_iter()
        .filter(|capture| {
            let committed = fs::read(root().join(&capture.path)).unwrap_or_default();
            committed != capture.recording.to_pcap()
        })
        .map(|capture| capture.path)
        .collect();
    assert!(
        differing.is_empty(),
        "run `cargo run --example generate`: {differing:#?}"
    );
}

#[test]
fn every_committed_capture_has_a_scenario() {
    let known: BTreeSet<_> = catalog::all()
        .into_iter()
        .map(|capture| root().join(capture.path))
        .collect();
    let mut folders = vec![root().join("tests/captures")];
    let below = |name: &str| entries(&root().join(name)).into_iter();
    let protocols = below("rules").filter(|path| path.is_dir());
    let cases = protocols.flat_map(|folder| entries(&folder));
    folders.extend(below("sample").chain(cases).filter(|path| path.is_dir()));
    let orphans: Vec<_> = folders
        .iter()
        .flat_map(|folder| entries(folder))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "pcap")
        })
        .filter(|path| path.file_name().is_some_and(|name| name != "expected.pcap"))
        .filter(|path| !known.contains(path))
        .collect();
    assert!(orphans.is_empty(), "no scenario makes {orphans:#?}");
}

#[test]
fn the_internet_checksum_is_that_of_rfc_1071() {
    // The sum of the example in RFC 1071, 3, is ddf2.
    assert_eq!(
        checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]),
        !0xddf2
    );
    assert_eq!(checksum(&[b"hello"]), 48173);
    assert_eq!(checksum(&[]), 0xffff);
}

#[test]
fn transport_checksums_verify_in_both_families() {
    for (src, dst) in [
        ("10.1.0.7:1", "10.2.0.80:2"),
        ("[2001:db8::7]:1", "[2001:db8::80]:2"),
    ] {
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        let segment = wire::Segment {
            payload: b"odd".to_vec(),
            ..Default::default()
        };
        for (protocol, bytes) in [
            (wire::TCP, wire::tcp(src, dst, &segment)),
            (wire::UDP, wire::udp(src, dst, b"odd")),
        ] {
            let packet = wire::packet(src.ip(), dst.ip(), 1, protocol, &bytes);
            let addresses = if src.is_ipv4() {
                &packet[12..20]
            } else {
                &packet[8..40]
            };
            let tail = [0, protocol, 0, u8::try_from(bytes.len()).unwrap()];
            assert_eq!(
                checksum(&[addresses, &tail, &bytes]),
                0,
                "protocol {protocol}, {src}"
            );
        }
    }
}

#[test]
fn a_lost_segment_is_recorded_but_not_acknowledged() {
    let mut c = conversation();
    c.server().loses(b"lost");
    c.server().says(b"later");
    assert_eq!(
        last_ack(c),
        SERVER_DATA,
        "the acknowledgement stays before the hole"
    );
}

#[test]
fn a_retransmission_moves_the_acknowledgement_past_what_waited() {
    let mut c = conversation();
    c.server().loses(b"lost");
    c.server().says(b"later");
    c.server().retransmits();
    assert_eq!(last_ack(c), SERVER_DATA + 9);
}

#[test]
fn a_segment_lost_before_the_observer_is_not_recorded() {
    let mut seen = conversation();
    seen.server().loses(b"lost");
    let mut unseen = conversation();
    unseen.server().loses_unseen(b"lost");
    let frames = |c: Conversation| c.into_recording().frames().count();
    assert_eq!(frames(seen), frames(unseen) + 1);
}

#[test]
fn sack_blocks_tell_what_arrived_beyond_the_hole() {
    let mut c = client(CLIENT, SERVER).with_sack();
    c.handshake();
    c.server().loses(b"lost");
    c.server().says(b"later");
    let frame = last_frame(c);
    let block = [
        (SERVER_DATA + 4).to_be_bytes(),
        (SERVER_DATA + 9).to_be_bytes(),
    ]
    .concat();
    let options = &frame[TCP_HEADER + 20..];
    assert_eq!(options[..2], [5, 10], "a SACK option with one block");
    assert_eq!(options[2..10], block);
}

#[test]
fn a_keep_alive_moves_nothing() {
    let mut c = conversation();
    c.server_says(b"data");
    c.server().keeps_alive(b"\0");
    assert_eq!(last_ack(c), SERVER_DATA + 4);
}

#[test]
fn sequence_numbers_wrap() {
    let mut c = client(CLIENT, SERVER).wraps_sequence();
    c.handshake();
    c.server_says(&[b'x'; 40]);
    assert_eq!(
        last_ack(c),
        u32::MAX.wrapping_add(1 + 21),
        "twenty numbers lie before the wrap"
    );
}

#[test]
fn closing_takes_one_number_from_each_side() {
    let mut c = conversation();
    c.closes();
    let frame = last_frame(c);
    assert_eq!(frame[TCP_HEADER + 13], flag::ACK);
    assert_eq!(be32(&frame, TCP_HEADER + 8), SERVER_DATA + 1);
}

const CLIENT: &str = "10.1.0.7:40312";
const SERVER: &str = "10.2.0.80:80";
const SERVER_DATA: u32 = 7_000_001;
const TCP_HEADER: usize = 14 + 20;

fn conversation() -> Conversation {
    let mut c = client(CLIENT, SERVER);
    c.handshake();
    c
}

fn last_ack(c: Conversation) -> u32 {
    be32(&last_frame(c), TCP_HEADER + 8)
}

fn last_frame(c: Conversation) -> Vec<u8> {
    c.into_recording()
        .frames()
        .last()
        .expect("something was recorded")
        .to_vec()
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listing =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    listing
        .map(|entry| entry.expect("a readable folder").path())
        .collect()
}

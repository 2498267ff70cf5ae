//! What is written is read again as it was; any bytes are read without harm.

use proptest::prelude::*;

use crate::capture::nfqueue::message::{self, Answer, MAX_PAYLOAD, Message, Queued};

/// An attribute as the kernel writes it.
fn attribute(out: &mut Vec<u8>, kind: i32, value: &[u8]) {
    out.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
    out.extend_from_slice(&(kind as u16).to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A message as the kernel writes it.
fn enclose(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut message = (body.len() as u32 + 16).to_ne_bytes().to_vec();
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&[0; 10]);
    message.extend_from_slice(body);
    message
}

/// A packet's message, from what it shall be read as.
pub fn packet_message(packet: &Queued<'_>) -> Vec<u8> {
    let mut body = vec![2, 0, 0, 7];
    let mut header = packet.id.to_be_bytes().to_vec();
    header.extend_from_slice(&packet.protocol.to_be_bytes());
    header.push(packet.hook);
    attribute(&mut body, libc::NFQA_PACKET_HDR, &header);
    for (kind, value) in [
        (libc::NFQA_IFINDEX_INDEV, packet.in_device),
        (libc::NFQA_IFINDEX_OUTDEV, packet.out_device),
        (libc::NFQA_IFINDEX_PHYSINDEV, packet.physical_in),
        (libc::NFQA_IFINDEX_PHYSOUTDEV, packet.physical_out),
        (libc::NFQA_MARK, packet.mark),
    ] {
        // The kernel leaves out what is zero.
        if value != 0 {
            attribute(&mut body, kind, &value.to_be_bytes());
        }
    }
    // Unknown to us: a time, and something that is not an integer.
    attribute(&mut body, libc::NFQA_TIMESTAMP, &[1; 16]);
    attribute(&mut body, libc::NFQA_HWADDR, &[2; 11]);
    let bits = i32::from(packet.partial_checksum)
        | i32::from(packet.offloaded) << 1
        | i32::from(!packet.checksum_verified) << 2;
    if bits != 0 {
        attribute(&mut body, libc::NFQA_SKB_INFO, &bits.to_be_bytes());
    }
    if packet.is_cut() {
        let whole = packet.wire_len.to_be_bytes();
        attribute(&mut body, libc::NFQA_CAP_LEN, &whole);
    }
    attribute(&mut body, libc::NFQA_PAYLOAD, packet.bytes);
    enclose(3 << 8, &body)
}

fn only(datagram: &[u8]) -> Message<'_> {
    let mut messages = message::messages(datagram);
    let first = messages.next().expect("there is one").expect("it is whole");
    assert!(messages.next().is_none());
    first
}

/// Kinds and values of a message of ours, read without the code that wrote it.
fn attributes(message: &[u8]) -> Vec<(i32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut at = 20;
    while at < message.len() {
        let length = usize::from(u16::from_ne_bytes([message[at], message[at + 1]]));
        let kind = u16::from_ne_bytes([message[at + 2], message[at + 3]]);
        found.push((kind.into(), message[at + 4..at + length].to_vec()));
        at += length.next_multiple_of(4);
    }
    found
}

prop_compose! {
    fn packets()(
        numbers in any::<[u32; 6]>(),
        hook in any::<u8>(),
        protocol in any::<u16>(),
        flags in any::<[bool; 3]>(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        more in prop_oneof![Just(0), 1..100_000u32],
    ) -> (Queued<'static>, Vec<u8>) {
        let [id, in_device, out_device, physical_in, physical_out, mark] = numbers;
        let [offloaded, partial_checksum, checksum_verified] = flags;
        let wire_len = bytes.len() as u32 + more;
        let facts = Queued {
            id, hook, protocol, in_device, out_device, physical_in, physical_out, mark,
            offloaded, partial_checksum, checksum_verified, wire_len, bytes: &[],
        };
        (facts, bytes)
    }
}

proptest! {
    #[test]
    fn packets_are_read_as_they_were_written((facts, bytes) in packets()) {
        let packet = Queued { bytes: &bytes, ..facts };
        let message = packet_message(&packet);
        prop_assert_eq!(only(&message), Message::Packet(packet));
    }

    #[test]
    fn verdicts_say_what_was_meant(
        id in any::<u32>(),
        accept in any::<bool>(),
        number in any::<u16>(),
        mark in any::<Option<u32>>(),
        payload in any::<Option<Vec<u8>>>(),
    ) {
        let verdict = if accept { libc::NF_ACCEPT } else { libc::NF_DROP };
        let mut out = Vec::new();
        prop_assert!(message::verdict(&mut out, number, id, verdict, mark, payload.as_deref()));
        prop_assert_eq!(out.len() % 4, 0);
        let length = u32::from_ne_bytes([out[0], out[1], out[2], out[3]]) as usize;
        prop_assert_eq!(length, out.len(), "padding belongs to the message");
        prop_assert_eq!(&out[4..8], &[1, 3, 1, 0], "a verdict, a request without answer");
        prop_assert_eq!(&out[8..12], &id.to_ne_bytes());
        prop_assert_eq!(&out[18..20], &number.to_be_bytes());
        let header = [verdict.to_be_bytes(), id.to_be_bytes()].concat();
        let mut expected = vec![(libc::NFQA_VERDICT_HDR, header)];
        expected.extend(mark.map(|mark| (libc::NFQA_MARK, mark.to_be_bytes().to_vec())));
        expected.extend(payload.map(|payload| (libc::NFQA_PAYLOAD, payload)));
        prop_assert_eq!(attributes(&out), expected);
    }

    #[test]
    fn answers_tell_whose_they_are(errno in 0..4096i32, config in any::<bool>(), sequence in any::<u32>()) {
        let kind = if config { 3 << 8 | 2 } else { 3 << 8 | 1u16 };
        let mut body = (-errno).to_ne_bytes().to_vec();
        body.extend_from_slice(&enclose(kind, &[])[..8]);
        body.extend_from_slice(&sequence.to_ne_bytes());
        body.extend_from_slice(&[0; 4]);
        let answer = Answer { errno, about_config: config, sequence };
        let message = enclose(2, &body);
        prop_assert_eq!(only(&message), Message::Answer(answer));
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        message::fuzz_messages(&bytes);
    }

    #[test]
    fn damaged_packets_are_read_without_harm(
        (facts, bytes) in packets(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut message = packet_message(&Queued { bytes: &bytes, ..facts });
        for (place, value) in damage {
            let place = place.index(message.len());
            message[place] = value;
        }
        message::fuzz_messages(&message);
        message::fuzz_messages(&message[..cut.index(message.len())]);
    }
}

#[test]
fn several_messages_share_a_datagram() {
    let packet = |id, bytes| Queued {
        id,
        wire_len: 5,
        bytes,
        ..Queued::default()
    };
    let mut datagram = packet_message(&packet(1, b"first"));
    datagram.extend_from_slice(&enclose(3, &[]));
    datagram.extend_from_slice(&packet_message(&packet(2, b"other")));
    let read: Vec<_> = message::messages(&datagram).flatten().collect();
    let expected = [
        Message::Packet(packet(1, b"first")),
        Message::Other,
        Message::Packet(packet(2, b"other")),
    ];
    assert_eq!(read, expected);
}

#[test]
fn what_is_wrong_is_named() {
    let packet = packet_message(&Queued {
        bytes: b"bytes",
        wire_len: 5,
        ..Queued::default()
    });
    let complaint = |datagram: &[u8]| {
        let found = message::messages(datagram).find_map(Result::err);
        found.map(|malformed| malformed.what)
    };
    assert_eq!(complaint(&packet), None);
    let cut = complaint(&packet[..packet.len() - 4]);
    assert_eq!(cut, Some("a netlink message longer than what arrived"));
    let bare = complaint(&enclose(3 << 8, &[2, 0, 0, 7]));
    assert_eq!(bare, Some("a packet without id"));
    let mut long = enclose(3 << 8, &[2, 0, 0, 7]);
    attribute(&mut long, libc::NFQA_PACKET_HDR, &[0; 3]);
    let length = (long.len() as u32).to_ne_bytes();
    long[..4].copy_from_slice(&length);
    assert_eq!(
        complaint(&long),
        Some("an attribute of a packet that is too short")
    );
    long[20] = 200;
    assert_eq!(
        complaint(&long),
        Some("an attribute longer than its message")
    );
}

#[test]
fn the_longest_payload_fits_and_no_longer_one() {
    let mut out = Vec::new();
    let mut payload = vec![9; MAX_PAYLOAD];
    assert!(message::verdict(
        &mut out,
        1,
        2,
        libc::NF_ACCEPT,
        Some(3),
        Some(&payload)
    ));
    assert_eq!(
        out.len(),
        message::VERDICT_ROOM + MAX_PAYLOAD + 1,
        "with padding"
    );
    assert_eq!(attributes(&out)[2].1, payload);
    payload.push(9);
    assert!(!message::verdict(
        &mut out,
        1,
        2,
        libc::NF_ACCEPT,
        None,
        Some(&payload)
    ));
    assert_eq!(
        out.len(),
        message::VERDICT_ROOM + MAX_PAYLOAD + 1,
        "nothing was added"
    );
}

use super::*;

#[test]
fn tcp_fields() {
    let segment = bytes![[0xee; 5], tcp_of(&[1; 4], b"data")];
    let header = tcp(&segment, 5, segment.len()).expect("good");
    assert_eq!((header.src_port, header.dst_port), (1025, 80));
    assert_eq!((header.seq, header.ack, header.window), (7, 9, 512));
    assert_eq!((header.at, header.payload_at, header.end), (5, 29, 33));
    assert_eq!(
        (header.payload(&segment), header.payload_len()),
        (&b"data"[..], 4)
    );
    assert!(header.has(TcpHeader::ACK | TcpHeader::PSH));
    assert!(!header.has(TcpHeader::ACK | TcpHeader::SYN) && !header.ns);
    let mut segment = tcp_of(&[], b"");
    segment[12] |= 1;
    assert_eq!(tcp(&segment, 0, 20).map(|header| header.ns), Ok(true));
}

#[test]
fn tcp_faults() {
    let truncated = Err(bad(Layer::Tcp, 0, Fault::Truncated));
    let wrong = Err(bad(Layer::Tcp, 0, Fault::HeaderLength));
    let mut segment = tcp_of(&[], b"data");
    for end in 0..20 {
        assert_eq!(tcp(&segment, 0, end), truncated, "the datagram ends");
        assert_eq!(tcp(&segment[..end], 0, 24), truncated, "the frame ends");
    }
    segment[12] = 0x40;
    assert_eq!(tcp(&segment, 0, 24), wrong, "below 20");
    segment[12] = 0x70;
    assert_eq!(tcp(&segment, 0, 24), wrong, "beyond the segment");
    assert_eq!(tcp(&segment, 0, 28), truncated, "beyond what was captured");
    segment[12] = 0x60;
    assert_eq!(
        tcp(&segment, 0, 24).map(|header| header.payload_len()),
        Ok(0)
    );
}

#[test]
fn tcp_options_with_their_places() {
    let fast_open = [34, 6, b'c', b'o', b'o', b'k'];
    let options = bytes![
        [2, 4, 5, 0xb4],
        [1, 3, 3, 7],
        [4, 2],
        [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
        [5, 18, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6],
        fast_open,
        [254, 4, 1, 2],
        [0, 9],
    ];
    let mut walk = tcp_options(&options);
    let mut next = || walk.next().expect("one more");
    assert_eq!(next(), (0, 4, TcpOption::Mss(1460)));
    assert_eq!(next(), (5, 3, TcpOption::WindowScale(7)));
    assert_eq!(next(), (8, 2, TcpOption::SackPermitted));
    assert_eq!(
        next(),
        (12, 10, TcpOption::Timestamps { value: 1, echo: 2 })
    );
    let (at, length, sack) = next();
    let TcpOption::Sack(blocks) = sack else {
        panic!("{sack:?}")
    };
    assert_eq!(
        (at, length, blocks.collect::<Vec<_>>()),
        (22, 18, vec![(3, 4), (5, 6)])
    );
    assert_eq!(next(), (40, 6, TcpOption::FastOpen(b"cook")));
    assert_eq!(next(), (46, 4, TcpOption::Other(254)));
    assert_eq!(walk.next(), None, "the end mark");
    assert!(!walk.is_malformed());
}

#[test]
fn tcp_signatures_are_seen() {
    let options = bytes![[19, 18], [0; 16], [29, 16], [0; 14]];
    let kinds: Vec<_> = tcp_options(&options).map(|(.., option)| option).collect();
    assert_eq!(kinds, [TcpOption::Md5, TcpOption::Ao]);
}

#[test]
fn tcp_options_of_a_wrong_length_are_other_and_end_in_faults() {
    let options = [2, 3, 0, 3, 2, 5, 3, 0, 8, 3, 0];
    let kinds: Vec<_> = tcp_options(&options).map(|(.., option)| option).collect();
    assert_eq!(kinds, [2, 3, 5, 8].map(TcpOption::Other));
    for broken in [&[1, 1, 2][..], &[2, 0, 0, 0], &[2, 1, 0, 0], &[1, 2, 4, 5]] {
        let mut walk = tcp_options(broken);
        assert_eq!((walk.next(), walk.next()), (None, None));
        assert!(walk.is_malformed(), "{broken:?}");
    }
}

#[test]
fn udp_lengths() {
    let mut datagram = bytes![udp_of(1000, 53, b"data"), b"surplus"];
    let header = udp(&datagram, 0, datagram.len()).expect("good");
    assert_eq!(
        (header.src_port, header.dst_port, header.length),
        (1000, 53, 12)
    );
    assert_eq!(header.payload(&datagram), b"data");
    let wrong = Err(bad(Layer::Udp, 0, Fault::Length));
    assert_eq!(udp(&datagram, 0, 11), wrong, "past the datagram");
    for length in [0, 7] {
        datagram[5] = length;
        assert_eq!(udp(&datagram, 0, 19), wrong);
    }
    for end in 0..8 {
        assert_eq!(
            udp(&datagram, 0, end),
            Err(bad(Layer::Udp, 0, Fault::Truncated))
        );
    }
    let jumbo = bytes![udp_of(1, 2, &[]), vec![7; 66_000]];
    let jumbo = bytes![&jumbo[..4], [0, 0], &jumbo[6..]];
    assert_eq!(
        udp(&jumbo, 0, jumbo.len()).map(|header| header.payload_len()),
        Ok(66_000)
    );
}

#[test]
fn icmp_errors_quote_a_packet() {
    let quoted = ipv4_of(17, &[0; 8]);
    let message = bytes![[3, 4, 0xab, 0xcd, 0, 0, 5, 0xdc], quoted];
    let header = icmp(&message, 0, message.len()).expect("good");
    assert_eq!((header.kind, header.code, header.checksum), (3, 4, 0xabcd));
    assert_eq!((header.rest, header.embedded), (1500, Some(8)));
    assert_eq!(header.payload(&message), &message[4..]);
    let echo = [8, 0, 0, 0, 0, 1, 0, 2, 0x45];
    assert_eq!(icmp(&echo, 0, 9).map(|header| header.embedded), Ok(None));
    assert_eq!(
        icmp(&message, 0, 8).map(|header| header.embedded),
        Ok(None),
        "nothing quoted"
    );
    assert_eq!(
        icmp(&message, 0, 3),
        Err(bad(Layer::Icmp, 0, Fault::Truncated))
    );
}

#[test]
fn icmpv6_numbers_its_errors_otherwise() {
    let message = bytes![[2, 0, 0, 0, 0, 0, 5, 0], ipv6_of(17, &[0; 8])];
    let header = icmpv6(&message, 0, message.len()).expect("good");
    assert_eq!((header.rest, header.embedded), (1280, Some(8)));
    let solicit = bytes![[135, 0, 0, 0], [0; 20]];
    assert_eq!(
        icmpv6(&solicit, 0, 24).map(|header| header.embedded),
        Ok(None)
    );
    assert_eq!(
        icmpv6(&solicit, 23, 24),
        Err(bad(Layer::Icmpv6, 23, Fault::Truncated))
    );
}

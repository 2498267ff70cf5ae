use super::*;

/// An extension header of eight bytes.
fn extension(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}

fn fragment_header(next: u8, place: u16, id: u32) -> Vec<u8> {
    bytes![[next, 0], be(place), id.to_be_bytes()]
}

#[test]
fn ipv4_fields_and_padding() {
    let packet = bytes![[9; 3], ipv4_with(&[1; 8], 0x4000, 6, b"data"), b"padding"];
    let header = ip(&packet, 3, None).expect("good");
    assert_eq!((header.version, header.protocol, header.ttl), (4, 6, 64));
    assert_eq!(
        (header.header_len, header.payload_at(), header.end),
        (28, 31, 35)
    );
    assert_eq!(header.payload(&packet), b"data");
    assert_eq!(header.payload_len(), 4);
    assert_eq!(
        [header.src.to_string(), header.dst.to_string()],
        ["192.0.2.1", "192.0.2.2"]
    );
    assert!(header.dont_fragment && header.fragment.is_none() && !header.captured_short);
}

#[test]
fn ipv4_fragments() {
    let packet = ipv4_with(&[], 0x2000 | 185, 17, &[0; 8]);
    let header = ip(&packet, 0, None).expect("good");
    let fragment = header.fragment.expect("a fragment");
    assert_eq!(
        (fragment.id, fragment.offset, fragment.more),
        (0x1234, 1480, true)
    );
    assert_eq!((fragment.unfragmentable_len, fragment.header_at), (20, 0));
    assert!(header.is_fragment());
    let last = ip(&ipv4_with(&[], 1, 17, &[0; 8]), 0, None).expect("good");
    assert!(last.is_fragment() && !last.fragment.is_some_and(|fragment| fragment.more));
}

#[test]
fn ipv4_faults() {
    let good = ipv4_of(6, &[0; 20]);
    let with = |at: usize, value: u8| {
        let mut packet = good.clone();
        packet[at] = value;
        ip(&packet, 0, None).map_err(|error| (error.layer, error.fault))
    };
    let fault = |fault| Err((Layer::Ipv4, fault));
    assert_eq!(with(0, 0x55), fault(Fault::Version));
    assert_eq!(with(0, 0x44), fault(Fault::HeaderLength));
    assert_eq!(with(0, 0x4f), fault(Fault::HeaderLength), "past the packet");
    assert_eq!(
        with(3, 19),
        fault(Fault::HeaderLength),
        "total length below the header"
    );
    assert_eq!(with(3, 41), fault(Fault::Length));
    assert!(with(3, 20).is_ok());
    for short in 0..20 {
        let error = ip(&good[..short], 0, None).expect_err("short");
        assert_eq!(error, bad(Layer::Ipv4, 0, Fault::Truncated));
    }
    assert!(ip(&good, usize::MAX, None).is_err());
}

#[test]
fn the_version_must_be_the_one_announced() {
    let read = |kind, packet: &[u8]| {
        let frame = ethernet_of(kind, packet);
        let below = link(crate::packet::LinkType::ETHERNET, &frame).expect("good");
        below
            .ip_header(&frame, None)
            .map(|header| header.map(|header| header.version))
    };
    let [v4, v6] = [ipv4_of(6, &[0; 40]), ipv6_of(6, &[0; 40])];
    assert_eq!(
        (read(0x0800, &v4), read(0x86dd, &v6)),
        (Some(Ok(4)), Some(Ok(6)))
    );
    assert_eq!(
        read(0x0800, &v6),
        Some(Err(bad(Layer::Ipv4, 14, Fault::Version)))
    );
    assert_eq!(
        read(0x86dd, &v4),
        Some(Err(bad(Layer::Ipv6, 14, Fault::Version)))
    );
    assert_eq!(read(0x0806, &v4), None);
}

#[test]
fn addresses_are_there_for_reports_about_bad_lengths() {
    let mut packet = ipv4_of(6, &[]);
    packet[2] = 0xff;
    assert!(ip(&packet, 0, None).is_err());
    let (src, dst) = addresses(&packet, 0).expect("long enough");
    assert_eq!(
        [src.to_string(), dst.to_string()],
        ["192.0.2.1", "192.0.2.2"]
    );
    assert_eq!(addresses(&packet[..19], 0), None);
    let (src, _) = addresses(&ipv6_of(59, &[]), 0).expect("long enough");
    assert_eq!(src.to_string(), "2001:db8::1");
}

#[test]
fn a_cut_frame_is_not_a_lying_length() {
    let whole = ipv4_of(6, &[7; 100]);
    let cut = &whole[..60];
    let header = ip(cut, 0, Some(whole.len())).expect("cut by the capture");
    assert!(header.captured_short);
    assert_eq!(
        (header.end, header.payload_len(), header.payload(cut).len()),
        (120, 100, 40)
    );
    assert_eq!(ip(cut, 0, None), Err(bad(Layer::Ipv4, 0, Fault::Length)));
    assert_eq!(
        ip(cut, 0, Some(119)),
        Err(bad(Layer::Ipv4, 0, Fault::Length))
    );
    let options = ipv4_with(&[1; 20], 0, 6, &[7; 100]);
    let error = ip(&options[..30], 0, Some(options.len()));
    assert_eq!(error, Err(bad(Layer::Ipv4, 0, Fault::Truncated)));
    let error = ip(&options[..30], 0, None);
    assert_eq!(error, Err(bad(Layer::Ipv4, 0, Fault::HeaderLength)));
}

#[test]
fn a_zero_total_length_means_the_rest_of_the_frame() {
    let mut packet = ipv4_of(6, &[7; 2000]);
    packet[2..4].fill(0);
    assert_eq!(ip(&packet, 0, None).map(|header| header.end), Ok(2020));
    let header = ip(&packet[..100], 0, Some(2020)).expect("good");
    assert_eq!((header.end, header.captured_short), (2020, true));
}

#[test]
fn ipv6_without_extensions() {
    let packet = bytes![ipv6_of(17, b"data"), b"padding"];
    let header = ip(&packet, 0, None).expect("good");
    assert_eq!((header.version, header.protocol, header.ttl), (6, 17, 64));
    assert_eq!(
        (header.header_len, header.end, header.payload(&packet)),
        (40, 44, &b"data"[..])
    );
    assert_eq!(header.dst.to_string(), "2001:db8::2");
    assert!(header.dont_fragment);
    assert_eq!(
        ip(&packet[..39], 0, None),
        Err(bad(Layer::Ipv6, 0, Fault::Truncated))
    );
    assert_eq!(
        ip(&packet[..43], 0, None),
        Err(bad(Layer::Ipv6, 0, Fault::Length))
    );
    assert_eq!(
        ipv6(&ipv4_of(6, &[0; 40]), 0, None),
        Err(bad(Layer::Ipv6, 0, Fault::Version))
    );
}

#[test]
fn ipv6_walks_every_extension_header() {
    // AH counts words of four bytes less two: 4 makes 24 bytes.
    let auth = bytes![[60, 4], [0; 22]];
    let chain = bytes![
        extension(60),
        extension(43),
        extension(51),
        auth,
        extension(135),
        extension(139),
        extension(140),
        extension(6),
        b"segment",
    ];
    let packet = ipv6_of(0, &chain);
    let header = ip(&packet, 0, None).expect("good");
    assert_eq!((header.protocol, header.auth_at), (6, Some(64)));
    assert_eq!(header.payload(&packet), b"segment");
}

#[test]
fn esp_and_no_next_header_end_the_walk() {
    for stop in [50, 59, 253] {
        let packet = ipv6_of(60, &bytes![extension(stop), [0xee; 16]]);
        let header = ip(&packet, 0, None).expect("good");
        assert_eq!((header.protocol, header.payload_len()), (stop, 16));
    }
}

#[test]
fn ipv4_authentication_headers_are_crossed() {
    let auth = bytes![[6, 4], [0; 22]];
    let packet = ipv4_of(51, &bytes![auth, b"segment"]);
    let header = ip(&packet, 0, None).expect("good");
    assert_eq!(
        (header.protocol, header.auth_at, header.header_len),
        (6, Some(20), 44)
    );
    assert_eq!(header.payload(&packet), b"segment");
    let cut = ipv4_of(51, &auth[..20]);
    assert_eq!(ip(&cut, 0, None), Err(bad(Layer::Ipv4, 20, Fault::Options)));
    // In a fragment the header is part of what is reassembled.
    let piece = ipv4_with(&[], 0x2000, 51, &auth);
    assert_eq!(ip(&piece, 0, None).map(|header| header.protocol), Ok(51));
}

#[test]
fn ipv6_fragments_end_the_walk_and_atomic_ones_do_not() {
    let place = |place| {
        bytes![
            extension(44),
            fragment_header(60, place, 0xdead_beef),
            extension(6)
        ]
    };
    let packet = ipv6_of(0, &bytes![place(1480 | 1), b"data"]);
    let header = ip(&packet, 0, None).expect("good");
    let fragment = header.fragment.expect("a fragment");
    assert_eq!(
        (fragment.id, fragment.offset, fragment.more),
        (0xdead_beef, 1480, true)
    );
    assert_eq!((fragment.unfragmentable_len, fragment.header_at), (48, 48));
    assert_eq!(
        (header.protocol, header.header_len, header.is_fragment()),
        (60, 56, true)
    );

    let packet = ipv6_of(0, &bytes![place(0), b"data"]);
    let header = ip(&packet, 0, None).expect("good");
    assert!(header.fragment.is_some_and(|fragment| fragment.is_atomic()));
    assert_eq!(
        (header.protocol, header.header_len, header.is_fragment()),
        (6, 64, false)
    );
}

#[test]
fn upper_layer_of_reassembled_data() {
    let data = bytes![extension(43), extension(17), b"datagram"];
    assert_eq!(upper_layer(&data, 60, 0, data.len()), Ok((17, 16)));
    assert_eq!(upper_layer(&data, 17, 0, data.len()), Ok((17, 0)));
    assert_eq!(
        upper_layer(&data, 60, 0, 12),
        Err(bad(Layer::Ipv6, 8, Fault::Options))
    );
}

#[test]
fn ipv6_extension_faults() {
    let cut = ipv6_of(0, &[6, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(ip(&cut, 0, None), Err(bad(Layer::Ipv6, 40, Fault::Options)));
    let short = ipv6_of(0, &[6]);
    assert_eq!(
        ip(&short, 0, None),
        Err(bad(Layer::Ipv6, 40, Fault::Options))
    );
    let by_snap = ip(&cut[..44], 0, Some(cut.len()));
    assert_eq!(by_snap, Err(bad(Layer::Ipv6, 40, Fault::Truncated)));

    let chain = |count: usize| bytes![extension(60).repeat(count - 1), extension(59)];
    assert!(ip(&ipv6_of(60, &chain(12)), 0, None).is_ok());
    let error = ip(&ipv6_of(60, &chain(13)), 0, None);
    assert_eq!(error, Err(bad(Layer::Ipv6, 40 + 12 * 8, Fault::TooDeep)));
}

#[test]
fn jumbo_payloads() {
    let jumbo = |length: u32, payload: usize| {
        let option = bytes![[6, 0, 0xc2, 4], length.to_be_bytes()];
        let mut packet = ipv6_of(0, &bytes![option, vec![7; payload]]);
        packet[4..6].fill(0);
        packet
    };
    let header = ip(&jumbo(70_008, 70_000), 0, None).expect("good");
    assert_eq!(
        (header.protocol, header.end, header.payload_len()),
        (6, 70_048, 70_000)
    );
    let error = ip(&jumbo(70_009, 70_000), 0, None);
    assert_eq!(error, Err(bad(Layer::Ipv6, 0, Fault::Length)));
    let error = ip(&jumbo(108, 100), 0, None);
    assert_eq!(
        error,
        Err(bad(Layer::Ipv6, 0, Fault::Length)),
        "too small for the option"
    );
}

#[test]
fn a_zero_payload_length_is_empty_unless_the_frame_is_huge() {
    let mut packet = ipv6_of(6, &vec![7; 66_000]);
    packet[4..6].fill(0);
    assert_eq!(
        ip(&packet, 0, None).map(|header| header.payload_len()),
        Ok(66_000)
    );
    assert_eq!(
        ip(&packet[..60], 0, None).map(|header| header.payload_len()),
        Ok(0)
    );
}

use super::*;

/// What is inside an IP packet, by the way a caller would walk it.
fn inside_of(packet: &[u8]) -> Option<Inner> {
    let header = ip(packet, 0, None).expect("a good outer packet");
    let udp = match header.protocol {
        17 => Some(udp(packet, header.payload_at(), header.end).expect("good")),
        _ => None,
    };
    tunnel(packet, &header, udp.as_ref())
}

/// Kind, network, its offset behind a 20-byte outer header, and id.
fn over_ipv4(protocol: u8, payload: &[u8]) -> Option<(&'static str, Network, usize, u32)> {
    let packet = bytes![ipv4_of(protocol, payload), b"trailer"];
    inside_of(&packet).map(|inner| {
        let read = (
            inner.kind.name(),
            inner.below.network,
            inner.below.at - 20,
            inner.id,
        );
        assert_eq!(inner.end, packet.len() - 7, "the trailer is not inside");
        read
    })
}

fn over_udp(src: u16, dst: u16, payload: &[u8]) -> Option<(&'static str, Network, usize, u32)> {
    over_ipv4(17, &udp_of(src, dst, payload))
        .map(|(kind, network, at, id)| (kind, network, at - 8, id))
}

fn v4() -> Vec<u8> {
    ipv4_of(6, &tcp_of(&[], b"inner"))
}

fn v6() -> Vec<u8> {
    ipv6_of(6, &tcp_of(&[], b"inner"))
}

#[test]
fn ip_in_ip() {
    assert_eq!(over_ipv4(4, &v4()), Some(("ipip", Network::Ipv4, 0, 0)));
    assert_eq!(over_ipv4(41, &v6()), Some(("6in4", Network::Ipv6, 0, 0)));
    assert_eq!(
        inside_of(&ipv6_of(4, &v4())).map(|inner| inner.kind.name()),
        Some("4in6")
    );
    assert_eq!(
        inside_of(&ipv6_of(41, &v6())).map(|inner| inner.kind.name()),
        Some("6in6")
    );
    assert_eq!(over_ipv4(6, &tcp_of(&[], &v4())), None);
}

#[test]
fn the_inner_packet_cannot_reach_into_the_outer_trailer() {
    let mut inner = v4();
    inner[3] += 4;
    let packet = bytes![ipv4_of(4, &inner), b"trailer"];
    let found = inside_of(&packet).expect("a tunnel");
    let error = ip(&packet[..found.end], found.below.at, Some(found.end));
    assert_eq!(error, Err(bad(Layer::Ipv4, 20, Fault::Length)));
}

#[test]
fn fragments_are_not_looked_into() {
    assert_eq!(
        inside_of(&ipv4_with(&[], 0x2000, 4, &bytes![v4(), [0; 3]])),
        None
    );
    let vxlan = bytes![[8, 0, 0, 0, 0, 0, 7, 0], ethernet_of(0x0800, &v4())];
    let piece = ipv4_with(&[], 0x2000, 17, &udp_of(9, 4789, &vxlan));
    assert_eq!(inside_of(&piece), None);
}

#[test]
fn gre_with_its_optional_fields() {
    let gre = |flags, kind, rest: &[u8]| bytes![be(flags), be(kind), rest];
    let all = bytes![[0; 4], [0, 0, 1, 2], [0; 4], v4()];
    assert_eq!(
        over_ipv4(47, &gre(0, 0x0800, &v4())),
        Some(("gre", Network::Ipv4, 4, 0))
    );
    assert_eq!(
        over_ipv4(47, &gre(0xb000, 0x0800, &all)),
        Some(("gre", Network::Ipv4, 16, 0x102))
    );
    assert_eq!(
        over_ipv4(47, &gre(0, 0x86dd, &v6())),
        Some(("gre", Network::Ipv6, 4, 0))
    );
    let frame = ethernet_of(0x8100, &bytes![be(5), be(0x0800), v4()]);
    assert_eq!(
        over_ipv4(47, &gre(0, 0x6558, &frame)),
        Some(("gre", Network::Ipv4, 22, 0))
    );
    let labels = bytes![[0, 1, 1, 64], v6()];
    assert_eq!(
        over_ipv4(47, &gre(0, 0x8847, &labels)),
        Some(("gre", Network::Ipv6, 8, 0))
    );
    assert_eq!(
        over_ipv4(47, &gre(0, 0, &[])),
        Some(("gre", Network::Other(0), 4, 0))
    );
    assert_eq!(
        over_ipv4(47, &gre(0x4000, 0x0800, &v4())),
        None,
        "source routed"
    );
    assert_eq!(
        over_ipv4(47, &gre(0x0002, 0x0800, &v4())),
        None,
        "unknown version"
    );
    assert_eq!(
        over_ipv4(47, &gre(0x2000, 0x0800, &[])),
        None,
        "no room for the key"
    );
    assert_eq!(
        over_ipv4(47, &gre(0x1000, 0x0800, &[])),
        None,
        "no room for the number"
    );
}

#[test]
fn gre_over_udp_must_hold_ip() {
    let gre = |flags, kind, rest: &[u8]| bytes![be(flags), be(kind), rest];
    let keyed = gre(0x2000, 0x0800, &bytes![[0, 0, 0, 3], v4()]);
    assert_eq!(
        over_udp(9, 4754, &keyed),
        Some(("gre", Network::Ipv4, 8, 3))
    );
    assert_eq!(
        over_udp(9, 4754, &gre(0, 0x86dd, &v6())),
        Some(("gre", Network::Ipv6, 4, 0))
    );
    assert_eq!(over_udp(9, 4754, &gre(0, 0x86dd, &v4())), None, "version");
    assert_eq!(
        over_udp(9, 4754, &gre(0x0010, 0x0800, &v4())),
        None,
        "reserved bits"
    );
    assert_eq!(over_udp(9, 4754, &gre(0, 0x0806, &[0; 28])), None, "not IP");
}

#[test]
fn pptp() {
    let gre = |flags, rest: &[u8]| bytes![be(flags), be(0x880b), be(9), be(77), rest];
    let ppp = bytes![[0xff, 3, 0, 0x21], v4()];
    let plain = gre(0x3001, &bytes![[0; 4], ppp]);
    assert_eq!(over_ipv4(47, &plain), Some(("pptp", Network::Ipv4, 16, 77)));
    let acked = gre(0x3081, &bytes![[0; 8], &ppp[3..]]);
    assert_eq!(over_ipv4(47, &acked), Some(("pptp", Network::Ipv4, 17, 77)));
    assert_eq!(
        over_ipv4(47, &gre(0x2081, &[0; 4])),
        None,
        "an acknowledgement"
    );
}

#[test]
fn erspan_types() {
    let frame = ethernet_of(0x0800, &v4());
    let one = bytes![be(0), be(0x88be), frame];
    assert_eq!(over_ipv4(47, &one), Some(("erspan", Network::Ipv4, 18, 0)));
    let two = bytes![
        be(0x1000),
        be(0x88be),
        [0; 4],
        [0x10, 5, 0x1c, 9, 0, 0, 0, 0],
        frame
    ];
    assert_eq!(over_ipv4(47, &two), Some(("erspan", Network::Ipv4, 30, 9)));
    let three = |last: &[u8]| {
        bytes![
            be(0x1000),
            be(0x22eb),
            [0; 4],
            [0x20, 5, 0, 9],
            [0; 6],
            last
        ]
    };
    let short = three(&bytes![[0, 0], frame]);
    assert_eq!(
        over_ipv4(47, &short),
        Some(("erspan", Network::Ipv4, 34, 9))
    );
    let long = three(&bytes![[0, 1], [0; 8], frame]);
    assert_eq!(over_ipv4(47, &long), Some(("erspan", Network::Ipv4, 42, 9)));
    let bare = three(&bytes![[8, 0], v6()]);
    assert_eq!(over_ipv4(47, &bare), Some(("erspan", Network::Ipv6, 20, 9)));
    assert_eq!(over_ipv4(47, &three(&bytes![[4, 0], v6()])), None);
}

#[test]
fn vxlan_must_look_like_it() {
    let vxlan = |start: [u8; 4], frame: &[u8]| bytes![start, [0, 1, 2, 0], frame];
    let frame = ethernet_of(0x0800, &v4());
    let found = Some(("vxlan", Network::Ipv4, 22, 0x102));
    assert_eq!(over_udp(9, 4789, &vxlan([8, 0, 0, 0], &frame)), found);
    assert_eq!(over_udp(9, 8472, &vxlan([8, 0, 0, 0], &frame)), found);
    assert_eq!(
        over_udp(9, 4789, &vxlan([0x88, 0, 0, 5], &frame)),
        found,
        "group policy"
    );
    let arp = ethernet_of(0x0806, &[0; 28]);
    let found = Some(("vxlan", Network::Other(0x0806), 22, 0x102));
    assert_eq!(over_udp(9, 4789, &vxlan([8, 0, 0, 0], &arp)), found);

    assert_eq!(
        over_udp(4789, 9, &vxlan([8, 0, 0, 0], &frame)),
        None,
        "the other direction"
    );
    assert_eq!(
        over_udp(9, 4789, &vxlan([0, 0, 0, 0], &frame)),
        None,
        "no VNI"
    );
    assert_eq!(
        over_udp(9, 4789, &vxlan([8, 0, 0, 5], &frame)),
        None,
        "reserved bits"
    );
    let wrong = ethernet_of(0x0800, &v6());
    assert_eq!(
        over_udp(9, 4789, &vxlan([8, 0, 0, 0], &wrong)),
        None,
        "version"
    );
    let long = &frame[..frame.len() - 1];
    assert_eq!(
        over_udp(9, 4789, &vxlan([8, 0, 0, 0], long)),
        None,
        "inner length"
    );
    assert_eq!(over_udp(9, 4789, &[8, 0, 0, 0, 0, 0, 1]), None);
}

#[test]
fn vxlan_with_a_next_protocol() {
    let gpe = |next, rest: &[u8]| bytes![[0x0c, 0, 0, next, 0, 0, 7, 0], rest];
    let frame = ethernet_of(0x86dd, &v6());
    let found = |network, at| Some(("vxlan", network, at, 7));
    assert_eq!(over_udp(9, 4790, &gpe(1, &v4())), found(Network::Ipv4, 8));
    assert_eq!(over_udp(9, 4790, &gpe(2, &v6())), found(Network::Ipv6, 8));
    assert_eq!(over_udp(9, 4790, &gpe(3, &frame)), found(Network::Ipv6, 22));
    assert_eq!(over_udp(9, 4790, &gpe(1, &v6())), None, "version");
    assert_eq!(over_udp(9, 4790, &gpe(4, &v4())), None, "unknown protocol");
    assert_eq!(over_udp(9, 4789, &gpe(1, &v4())), None, "not on that port");
}

#[test]
fn geneve_passes_over_options() {
    let geneve = |start: [u8; 2], kind, rest: &[u8]| bytes![start, be(kind), [0, 0, 7, 0], rest];
    let frame = ethernet_of(0x86dd, &v6());
    let plain = geneve([0, 0], 0x6558, &frame);
    assert_eq!(
        over_udp(9, 6081, &plain),
        Some(("geneve", Network::Ipv6, 22, 7))
    );
    let options = geneve([2, 0x40], 0x0800, &bytes![[0; 8], v4()]);
    assert_eq!(
        over_udp(9, 6081, &options),
        Some(("geneve", Network::Ipv4, 16, 7))
    );
    assert_eq!(
        over_udp(9, 6081, &geneve([0x40, 0], 0x6558, &frame)),
        None,
        "version"
    );
    assert_eq!(
        over_udp(9, 6081, &geneve([0, 1], 0x6558, &frame)),
        None,
        "reserved bits"
    );
    assert_eq!(
        over_udp(9, 6081, &geneve([63, 0], 0x1234, &[])),
        None,
        "options past the end"
    );
}

#[test]
fn gtpu_user_data() {
    let gtpu =
        |flags, kind, rest: &[u8]| bytes![[flags, kind], be(rest.len() as u16), [0, 0, 0, 5], rest];
    assert_eq!(
        over_udp(2152, 9, &gtpu(0x30, 255, &v4())),
        Some(("gtpu", Network::Ipv4, 8, 5))
    );
    let numbered = gtpu(0x32, 255, &bytes![[0, 1, 0, 0], v6()]);
    assert_eq!(
        over_udp(9, 2152, &numbered),
        Some(("gtpu", Network::Ipv6, 12, 5))
    );
    // Two extension headers: one of four bytes, one of eight.
    let extended = bytes![
        [0, 0, 0, 0x85],
        [1, 0, 9, 0x40],
        [2, 0, 0, 0, 0, 0, 0, 0],
        v4()
    ];
    let extended = gtpu(0x34, 255, &extended);
    assert_eq!(
        over_udp(9, 2152, &extended),
        Some(("gtpu", Network::Ipv4, 24, 5))
    );
    // Only the extension flag gives the next-type byte a meaning.
    let stale = gtpu(0x32, 255, &bytes![[0, 0, 0, 0x85], v4()]);
    assert_eq!(
        over_udp(9, 2152, &stale),
        Some(("gtpu", Network::Ipv4, 12, 5))
    );

    assert_eq!(over_udp(9, 2152, &gtpu(0x30, 1, &v4())), None, "an echo");
    assert_eq!(
        over_udp(9, 2152, &gtpu(0x50, 255, &v4())),
        None,
        "version 2"
    );
    assert_eq!(
        over_udp(9, 2152, &gtpu(0x30, 255, b"hello, this is not IP at all")),
        None
    );
    let endless = bytes![[0, 0, 0, 1], [0; 40]];
    assert_eq!(
        over_udp(9, 2152, &gtpu(0x34, 255, &endless)),
        None,
        "empty extension"
    );
    let chain = bytes![[0, 0, 0, 1], [1, 0, 0, 1].repeat(20), v4()];
    assert_eq!(
        over_udp(9, 2152, &gtpu(0x34, 255, &chain)),
        None,
        "too many extensions"
    );
}

#[test]
fn gtpu_length_bounds_the_inner_packet() {
    let mut message = bytes![[0x30, 255], be(v4().len() as u16 - 1), [0; 4], v4()];
    let packet = ipv4_of(17, &udp_of(9, 2152, &message));
    assert_eq!(inside_of(&packet), None);
    message[3] += 2;
    assert_eq!(
        inside_of(&ipv4_of(17, &udp_of(9, 2152, &message))),
        None,
        "past the datagram"
    );
}

#[test]
fn teredo_with_its_indications() {
    let inner = ipv6_between([0x20, 1, 0, 0], 59, b"");
    let auth = bytes![[0, 1, 2, 4], [7; 6], [8; 8], [0]];
    let origin = [0, 0, 1, 2, 3, 4, 5, 6];
    let found = |at| Some(("teredo", Network::Ipv6, at, 0));
    assert_eq!(over_udp(9, 3544, &inner), found(0));
    assert_eq!(over_udp(3544, 9, &bytes![origin, inner]), found(8));
    assert_eq!(over_udp(9, 3544, &bytes![auth, inner]), found(19));
    assert_eq!(over_udp(9, 3544, &bytes![auth, origin, inner]), found(27));
    let solicit = ipv6_between([0xfe, 0x80, 0, 0], 58, &[133, 0, 0, 0]);
    assert_eq!(over_udp(9, 3544, &solicit), found(0));
    assert_eq!(
        over_udp(9, 3544, &v6()),
        None,
        "nobody there is a Teredo client"
    );
    assert_eq!(over_udp(9, 3544, &v4()), None);
    assert_eq!(over_udp(9, 3544, b"short"), None);
}

#[test]
fn a_cut_frame_still_shows_its_tunnel() {
    let whole = ipv4_of(4, &ipv4_of(6, &tcp_of(&[], &[7; 500])));
    let cut = &whole[..100];
    let outer = ip(cut, 0, Some(whole.len())).expect("cut");
    let found = tunnel(cut, &outer, None).expect("a tunnel");
    let inner = ip(cut, found.below.at, Some(found.end)).expect("cut");
    assert!(inner.captured_short);
    assert_eq!(inner.end, whole.len());
}

#[test]
fn ayiya_with_identity_and_signature() {
    let header = |operation: u8, next: u8| {
        let mut header = vec![0x41, 0x52, 0x10 | operation, next];
        header.extend([0; 4 + 16 + 20]);
        header
    };
    let forwarded = bytes![header(1, 41), v6()];
    let read = Some(("ayiya", Network::Ipv6, 44, 0));
    assert_eq!(over_udp(5072, 40000, &forwarded), read);
    assert_eq!(over_udp(40000, 5072, &forwarded), read);
    assert_eq!(
        over_udp(40000, 5072, &bytes![header(1, 4), v4()]),
        Some(("ayiya", Network::Ipv4, 44, 0))
    );
    // Another operation, another network inside, and what does not fit.
    assert_eq!(over_udp(40000, 5072, &bytes![header(4, 41), v6()]), None);
    assert_eq!(over_udp(40000, 5072, &bytes![header(1, 4), v6()]), None);
    assert_eq!(over_udp(40000, 5072, &forwarded[..60]), None);
    assert_eq!(over_udp(40000, 5073, &forwarded), None);
}

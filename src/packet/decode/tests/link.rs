use super::*;
use crate::packet::link::LinkType;

const V4: Network = Network::Ipv4;
const V6: Network = Network::Ipv6;

fn read(kind: LinkType, frame: &[u8]) -> (Network, usize) {
    let below = link(kind, frame).expect("a good frame");
    (below.network, below.at)
}

#[test]
fn ethernet_ii() {
    assert_eq!(
        read(LinkType::ETHERNET, &ethernet_of(0x0800, b"")),
        (V4, 14)
    );
    assert_eq!(
        read(LinkType::ETHERNET, &ethernet_of(0x86dd, b"")),
        (V6, 14)
    );
    assert_eq!(
        read(LinkType::ETHERNET, &ethernet_of(0x0806, b"")),
        (Network::Other(0x0806), 14)
    );
    assert_eq!(
        link(LinkType::ETHERNET, &[0; 13]),
        Err(bad(Layer::Link, 0, Fault::Truncated))
    );
}

#[test]
fn llc_and_snap() {
    let frame = |llc: &[u8]| ethernet_of(llc.len() as u16, llc);
    let snap = |org: [u8; 3], kind| bytes![[0xaa, 0xaa, 3], org, be(kind)];
    let eth = LinkType::ETHERNET;
    assert_eq!(read(eth, &frame(&snap([0; 3], 0x0800))), (V4, 22));
    assert_eq!(read(eth, &frame(&snap([0, 0, 0xf8], 0x86dd))), (V6, 22));
    let tagged = bytes![snap([0; 3], 0x8100), be(5), be(0x0800)];
    assert_eq!(read(eth, &frame(&tagged)), (V4, 26));
    // Cisco's own numbers (CDP here), spanning tree, Novell's raw frames.
    assert_eq!(
        read(eth, &frame(&snap([0, 0, 0x0c], 0x2000))),
        (Network::Other(0), 14)
    );
    assert_eq!(read(eth, &frame(&[0x42, 0x42, 3])), (Network::Other(0), 14));
    assert_eq!(read(eth, &frame(&[0xff, 0xff, 0])), (Network::Other(0), 14));
    assert_eq!(read(eth, &frame(&[6, 6, 3])), (V4, 17));
    for short in [&[0xaa, 0xaa][..], &[0xaa, 0xaa, 3, 0, 0]] {
        assert_eq!(
            link(eth, &frame(short)),
            Err(bad(Layer::Link, 14, Fault::Truncated))
        );
    }
}

#[test]
fn vlan_tags_stack_in_any_kind() {
    let tags = bytes![
        be(0xe064),
        be(0x9100),
        be(200),
        be(0x8100),
        be(300),
        be(0x86dd)
    ];
    let below = link(LinkType::ETHERNET, &ethernet_of(0x88a8, &tags)).expect("good");
    assert_eq!((below.network, below.at), (V6, 26));
    assert_eq!(
        (below.vlans.ids(), below.vlans.count()),
        (&[100, 200, 300][..], 3)
    );
    let cut = ethernet_of(0x8100, &[0, 1, 8]);
    assert_eq!(
        link(LinkType::ETHERNET, &cut),
        Err(bad(Layer::Vlan, 14, Fault::Truncated))
    );
}

#[test]
fn more_tags_than_kept_are_counted_and_too_many_refused() {
    let stack = |tags: usize| {
        let mut frame = ethernet_of(0x8100, &[]);
        for id in 1..tags {
            frame.extend(bytes![be(id as u16), be(0x8100)]);
        }
        bytes![frame, be(tags as u16), be(0x0800)]
    };
    let below = link(LinkType::ETHERNET, &stack(6)).expect("good");
    assert_eq!(
        (below.vlans.ids(), below.vlans.count()),
        (&[1, 2, 3, 4][..], 6)
    );
    assert_eq!((below.network, below.at), (V4, 38));
    let error = link(LinkType::ETHERNET, &stack(40)).expect_err("too many");
    assert_eq!(error.fault, Fault::TooDeep);
}

#[test]
fn vlan_discriminators_differ() {
    let of = |tags: &[u16]| {
        let mut frame = bytes![[0; 12]];
        tags.iter()
            .for_each(|tag| frame.extend(bytes![be(0x8100), be(*tag)]));
        let frame = bytes![frame, be(0x0800)];
        link(LinkType::ETHERNET, &frame)
            .expect("good")
            .vlans
            .discriminator()
    };
    let all = [
        of(&[]),
        of(&[0]),
        of(&[1]),
        of(&[0, 1]),
        of(&[1, 0]),
        of(&[4095; 4]),
        of(&[4095; 5]),
    ];
    for (n, one) in all.iter().enumerate() {
        assert!(!all[..n].contains(one), "{n}");
    }
    assert_eq!(
        of(&[0xe001]),
        of(&[1]),
        "priority is no part of the identity"
    );
}

#[test]
fn pppoe_sessions() {
    let session = |start: [u8; 2], ppp: &[u8]| {
        ethernet_of(0x8864, &bytes![start, be(7), be(ppp.len() as u16), ppp])
    };
    let below = link(LinkType::ETHERNET, &session([0x11, 0], &be(0x0021))).expect("good");
    assert_eq!((below.network, below.at, below.pppoe), (V4, 22, true));
    assert_eq!(
        read(LinkType::ETHERNET, &session([0x11, 0], &[0x57])),
        (V6, 21)
    );
    let lcp = session([0x11, 0], &be(0xc021));
    assert_eq!(read(LinkType::ETHERNET, &lcp), (Network::Other(0xc021), 22));
    let terminate = session([0x11, 0xa7], &[]);
    assert_eq!(
        read(LinkType::ETHERNET, &terminate),
        (Network::Other(0x8864), 14)
    );
    let error = link(LinkType::ETHERNET, &session([0x21, 0], &[0x57]));
    assert_eq!(error, Err(bad(Layer::Pppoe, 14, Fault::Version)));
    let error = link(LinkType::ETHERNET, &ethernet_of(0x8864, &[0x11, 0, 0]));
    assert_eq!(error, Err(bad(Layer::Pppoe, 14, Fault::Truncated)));
}

#[test]
fn mpls_stacks_end_in_a_guess() {
    let stack = |bottom: &[u8]| ethernet_of(0x8847, &bytes![[0, 1, 0, 64], [0, 2, 1, 64], bottom]);
    let below = link(LinkType::ETHERNET, &stack(&[0x45])).expect("good");
    assert_eq!((below.network, below.at, below.mpls), (V4, 22, 2));
    assert_eq!(read(LinkType::ETHERNET, &stack(&[0x60])), (V6, 22));
    // A pseudowire's control word, or nothing.
    assert_eq!(
        read(LinkType::ETHERNET, &stack(&[0; 4])),
        (Network::Other(0x8847), 22)
    );
    assert_eq!(
        read(LinkType::ETHERNET, &stack(&[])),
        (Network::Other(0x8847), 22)
    );
    let endless = ethernet_of(0x8847, &[0; 200]);
    assert_eq!(
        link(LinkType::ETHERNET, &endless).map_err(|e| e.fault),
        Err(Fault::TooDeep)
    );
    let cut = ethernet_of(0x8848, &[0; 6]);
    assert_eq!(
        link(LinkType::ETHERNET, &cut),
        Err(bad(Layer::Mpls, 18, Fault::Truncated))
    );
}

#[test]
fn raw_ip_goes_by_the_version_nibble() {
    for kind in [LinkType::RAW, LinkType::RAW_BSD, LinkType::RAW_OPENBSD] {
        assert_eq!(read(kind, &[0x45]), (V4, 0));
        assert_eq!(read(kind, &[0x60]), (V6, 0));
        assert_eq!(
            read(kind, &[0x50]),
            (V4, 0),
            "and is then a bad IPv4 header"
        );
        assert_eq!(read(kind, &[]), (V4, 0));
    }
    assert_eq!(read(LinkType::IPV4, &[0x60]), (V4, 0));
    assert_eq!(read(LinkType::IPV6, &[0x45]), (V6, 0));
}

#[test]
fn loopback_families_in_both_orders() {
    for kind in [LinkType::NULL, LinkType::LOOP] {
        for (family, network) in [
            (2u32, V4),
            (24, V6),
            (28, V6),
            (30, V6),
            (7, Network::Other(7)),
        ] {
            assert_eq!(read(kind, &family.to_be_bytes()), (network, 4));
            assert_eq!(read(kind, &family.to_le_bytes()), (network, 4));
        }
        assert_eq!(read(kind, &[0xff; 4]), (Network::Other(0), 4));
        assert_eq!(
            link(kind, &[0; 3]),
            Err(bad(Layer::Link, 0, Fault::Truncated))
        );
    }
}

#[test]
fn linux_cooked() {
    let one = |hardware, kind| bytes![be(0), be(hardware), be(6), [9; 8], be(kind)];
    let two = |hardware, kind| bytes![be(kind), be(0), [0, 0, 0, 3], be(hardware), [0, 6], [9; 8]];
    for (kind, frame, len) in [
        (
            LinkType::LINUX_SLL,
            &one as &dyn Fn(u16, u16) -> Vec<u8>,
            16,
        ),
        (LinkType::LINUX_SLL2, &two, 20),
    ] {
        assert_eq!(read(kind, &frame(1, 0x0800)), (V4, len));
        assert_eq!(read(kind, &frame(772, 0x86dd)), (V6, len));
        let tagged = bytes![frame(1, 0x8100), be(9), be(0x0800)];
        assert_eq!(read(kind, &tagged), (V4, len + 4));
        let snap = bytes![frame(1, 4), [0xaa, 0xaa, 3, 0, 0, 0], be(0x0800)];
        assert_eq!(read(kind, &snap), (V4, len + 8));
        assert_eq!(read(kind, &frame(1, 12)), (Network::Other(12), len));
        assert_eq!(
            read(kind, &frame(824, 0x0800)),
            (Network::Other(0x0800), len),
            "netlink"
        );
        let cut = &frame(1, 0x0800)[..len - 1];
        assert_eq!(link(kind, cut), Err(bad(Layer::Link, 0, Fault::Truncated)));
    }
}

#[test]
fn ppp_with_and_without_its_optional_bytes() {
    let ppp = LinkType::PPP;
    assert_eq!(read(ppp, &[0xff, 3, 0, 0x21]), (V4, 4));
    assert_eq!(read(ppp, &[0, 0x57]), (V6, 2));
    assert_eq!(read(ppp, &[0xff, 3, 0x21]), (V4, 3));
    assert_eq!(read(ppp, &[0x21]), (V4, 1));
    assert_eq!(read(ppp, &[0x02, 0x81, 0, 0, 1, 9, 0x60]), (V6, 6));
    assert_eq!(
        link(ppp, &[0xff, 3, 0]),
        Err(bad(Layer::Link, 2, Fault::Truncated))
    );
}

#[test]
fn hdlc_framings() {
    assert_eq!(read(LinkType::PPP_HDLC, &[0xff, 3, 0, 0x21]), (V4, 4));
    assert_eq!(read(LinkType::PPP_HDLC, &[0x0f, 0, 8, 0]), (V4, 4));
    assert_eq!(read(LinkType::C_HDLC, &[0x8f, 0, 0x86, 0xdd]), (V6, 4));
    assert_eq!(
        read(LinkType::C_HDLC, &[0x0f, 0, 0x80, 0x35]),
        (Network::Other(0x8035), 4)
    );
    assert_eq!(
        read(LinkType::C_HDLC, &[0x42, 0, 8, 0]),
        (Network::Other(0x0800), 4)
    );
    assert_eq!(
        link(LinkType::C_HDLC, &[0x0f, 0, 8]),
        Err(bad(Layer::Link, 0, Fault::Truncated))
    );
}

#[test]
fn fddi() {
    let frame = |control: u8| bytes![[control], [1; 12], [0xaa, 0xaa, 3, 0, 0, 0], be(0x0800)];
    assert_eq!(read(LinkType::FDDI, &frame(0x50)), (V4, 21));
    assert_eq!(read(LinkType::FDDI, &frame(0x57)), (V4, 21));
    assert_eq!(
        read(LinkType::FDDI, &frame(0x41)),
        (Network::Other(0), 13),
        "management"
    );
}

#[test]
fn nflog_in_both_byte_orders() {
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        let attribute = |kind: u16, value: &[u8]| {
            let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
            bytes![order(value.len() as u16 + 4), order(kind), value, padding]
        };
        let before = bytes![
            attribute(1, &[0x86, 0xdd, 0, 0]),
            attribute(10, b"drop\0"),
            attribute(0x8000 | 18, &[0; 8]),
        ];
        let payload = attribute(9, &[0x45; 20]);
        assert_eq!(
            read(LinkType::NFLOG, &bytes![[2, 0, 0, 5], before, payload]),
            (V4, 40)
        );
        assert_eq!(
            read(LinkType::NFLOG, &bytes![[10, 0, 0, 5], payload]),
            (V6, 8)
        );
        assert_eq!(
            read(LinkType::NFLOG, &bytes![[7, 0, 0, 5], before, payload]),
            (V6, 40)
        );
        let without = bytes![[2, 0, 0, 5], before];
        assert_eq!(read(LinkType::NFLOG, &without), (Network::Other(0), 36));
        let broken = bytes![[2, 0, 0, 5], order(3), order(1)];
        assert_eq!(
            link(LinkType::NFLOG, &broken),
            Err(bad(Layer::Link, 4, Fault::Length))
        );
    }
}

#[test]
fn unknown_link_types_are_no_fault() {
    assert_eq!(read(LinkType(105), &[]), (Network::Unsupported, 0));
}

#[test]
fn ip_over_infiniband() {
    let route = [7; 40];
    for (kind, network) in [(0x0800_u16, Network::Ipv4), (0x86dd, Network::Ipv6)] {
        let frame = bytes![route, kind.to_be_bytes(), [0, 0], b"payload"];
        assert_eq!(read(LinkType::IPOIB, &frame), (network, 44));
    }
    assert!(link(LinkType::IPOIB, &route).is_err());
}

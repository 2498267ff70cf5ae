//! Random and damaged frames through the fuzz body.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const LINKS: [u16; 18] = [
    0, 1, 9, 10, 12, 14, 50, 101, 104, 105, 108, 113, 228, 229, 239, 242, 276, 65535,
];

/// Good Ethernet frames that reach every decoder.
fn frames() -> Vec<Vec<u8>> {
    let options = [
        2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 1, 0,
    ];
    let v4 = ipv4_of(6, &tcp_of(&options, b"GET / HTTP/1.1"));
    let chain = bytes![
        [43, 0, 5, 2, 0, 0, 0, 0],
        [44, 0, 0, 0, 0, 0, 0, 0],
        [17, 0, 0, 0, 1, 2, 3, 4]
    ];
    let v6 = ipv6_of(0, &bytes![chain, udp_of(53, 53, b"datagram")]);
    let vxlan = bytes![[8, 0, 0, 0, 0, 0, 7, 0], ethernet_of(0x0800, &v4)];
    let gtpu = bytes![
        [0x34, 255],
        be(v4.len() as u16 + 8),
        [0; 4],
        [0, 0, 0, 0x85, 1, 0, 9, 0],
        v4
    ];
    let erspan = bytes![
        be(0x1000),
        be(0x88be),
        [0; 4],
        [0x10, 5, 0, 9, 0, 0, 0, 0],
        ethernet_of(0x86dd, &v6)
    ];
    let geneve = bytes![
        [1, 0],
        be(0x6558),
        [0; 8],
        ethernet_of(0x0800, &ipv4_of(17, &udp_of(9, 4789, &vxlan)))
    ];
    let teredo = bytes![
        [0, 0, 1, 2, 3, 4, 5, 6],
        ipv6_between([0x20, 1, 0, 0], 58, &[1, 0, 0, 0])
    ];
    let jumbo = bytes![ipv6_of(0, &[6, 0, 0xc2, 4, 0, 1, 0, 0])];
    let quote = bytes![[3, 4, 0, 0, 0, 0, 5, 0], v4];
    let tags = |payload: &[u8]| bytes![be(5), be(0x8847), [0, 1, 1, 64], payload];
    vec![
        ethernet_of(0x0800, &v4),
        ethernet_of(0x86dd, &v6),
        ethernet_of(0x88a8, &tags(&v6)),
        ethernet_of(0x8864, &bytes![[0x11, 0, 0, 1, 0, 9, 0, 0x21], v4]),
        ethernet_of(0x0800, &ipv4_of(17, &udp_of(9, 4789, &vxlan))),
        ethernet_of(0x0800, &ipv4_of(17, &udp_of(9, 6081, &geneve))),
        ethernet_of(0x0800, &ipv4_of(17, &udp_of(9, 2152, &gtpu))),
        ethernet_of(0x0800, &ipv4_of(17, &udp_of(9, 3544, &teredo))),
        ethernet_of(0x0800, &ipv4_of(47, &erspan)),
        ethernet_of(0x0800, &ipv4_of(1, &quote)),
        ethernet_of(
            0x0800,
            &ipv4_of(41, &ipv6_of(4, &ipv4_of(51, &bytes![[6, 4], [0; 22], v4]))),
        ),
        ethernet_of(0x86dd, &jumbo),
    ]
}

#[test]
fn whole_and_cut_frames() {
    for frame in frames() {
        for end in 0..=frame.len() {
            fuzz_decode(1, &frame[..end]);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes(link in select(&LINKS[..]), data in vec(any::<u8>(), 0..200)) {
        fuzz_decode(link, &data);
    }

    #[test]
    fn damaged_frames(
        frame in select(frames()),
        damage in vec((any::<Index>(), any::<u8>()), 1..6),
        link in select(&LINKS[..]),
        is_ethernet in proptest::bool::weighted(0.8),
        end: Index,
        is_cut: bool,
    ) {
        let mut frame = frame;
        for (at, value) in damage {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        if is_cut {
            frame.truncate(end.index(frame.len() + 1));
        }
        fuzz_decode(if is_ethernet { 1 } else { link }, &frame);
    }
}

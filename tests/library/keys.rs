//! What belongs to one flow: extractors and encapsulations.

use std::collections::BTreeSet;
use std::fmt::Debug;

use wero::analysis::extract::*;
use wero::packet::LinkType;
use wero::time::Timestamp;

use crate::captures::scenario::{Scenario, host, socket};
use crate::captures::wire;
use crate::{exchange, mixed, opened};

const NOW: Timestamp = Timestamp(0);

fn keys<E>(extractor: E, frames: &[Vec<u8>]) -> Vec<E::Key>
where
    E: FlowExtractor,
{
    frames
        .iter()
        .filter_map(|frame| Some(extractor.extract(&PacketView::new(frame, NOW))?.key))
        .collect()
}

fn flows<E>(extractor: E) -> usize
where
    E: FlowExtractor<Key: Ord + Debug>,
{
    let frames: Vec<_> = mixed().frames().map(<[u8]>::to_vec).collect();
    let keys = keys(extractor, &frames);
    assert_eq!(keys.len(), frames.len(), "every packet has a flow");
    keys.into_iter().collect::<BTreeSet<_>>().len()
}

/// UDP from 10.1.0.7:5000 to 10.2.0.80:9000, as an IP packet.
fn inner_packet() -> Vec<u8> {
    let (src, dst) = (socket("10.1.0.7:5000"), socket("10.2.0.80:9000"));
    let datagram = wire::udp(src, dst, b"question");
    wire::packet(src.ip(), dst.ip(), 1, wire::UDP, &datagram)
}

fn inner_frame(vlans: &[u16]) -> Vec<u8> {
    wire::frame(host("10.1.0.7"), host("10.2.0.80"), vlans, &inner_packet())
}

/// The outer packet of a tunnel, from 192.0.2.1 to 192.0.2.2.
fn wrapped(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = (host("192.0.2.1"), host("192.0.2.2"));
    wire::frame(src, dst, &[], &wire::packet(src, dst, 1, protocol, payload))
}

fn wrapped_in_udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = (
        socket("192.0.2.1:3333"),
        socket(&format!("192.0.2.2:{port}")),
    );
    wrapped(wire::UDP, &wire::udp(src, dst, payload))
}

fn vxlan(port: u16) -> Vec<u8> {
    let mut payload = vec![8, 0, 0, 0, 0, 0, 7, 0];
    payload.extend(inner_frame(&[]));
    wrapped_in_udp(port, &payload)
}

fn gtp_u(port: u16) -> Vec<u8> {
    let packet = inner_packet();
    let mut payload = vec![0x30, 0xff];
    payload.extend((packet.len() as u16).to_be_bytes());
    payload.extend([0, 0, 0, 9]);
    payload.extend(packet);
    wrapped_in_udp(port, &payload)
}

fn gre() -> Vec<u8> {
    let mut payload = vec![0, 0, 8, 0];
    payload.extend(inner_packet());
    wrapped(47, &payload)
}

fn mpls() -> Vec<u8> {
    let mut frame = inner_frame(&[]);
    frame[12..14].copy_from_slice(&[0x88, 0x47]);
    // Two labels, the second the bottom of the stack.
    frame.splice(14..14, [0, 1, 0, 64, 0, 2, 1, 64]);
    frame
}

/// Whether exactly the inner flow was found.
fn finds_inner<E: FlowExtractor<Key = FiveTupleKey>>(extractor: E, frame: Vec<u8>) -> bool {
    match keys(extractor, &[frame])[..] {
        [key] => (key.a.port, key.b.port) == (5000, 9000),
        _ => false,
    }
}

const FIVE: FiveTuple = FiveTuple::bidirectional();

#[test]
fn views_come_from_any_bytes_and_lead_inside() {
    let frame = inner_frame(&[]);
    let view = PacketView::new(&frame, Timestamp(7)).with_wire_len(1000);
    assert_eq!((view.timestamp, view.wire_len), (Timestamp(7), 1000));
    let inside = view.with_frame(&frame[14..]).with_link(LinkType::RAW);
    assert_eq!(inside.timestamp, Timestamp(7));
    assert_eq!(inside.wire_len as usize, frame.len() - 14);
    assert!(FIVE.extract(&inside).is_some());
    assert!(
        std::ptr::eq(inside.frame.as_ptr(), &raw const frame[14]),
        "nothing is copied"
    );
}

#[test]
fn both_ways_are_one_flow_or_two() {
    // Six connections, one pair of datagrams, one pair of pings.
    assert_eq!(flows(FiveTuple::bidirectional()), 8);
    assert_eq!(flows(FiveTuple::directional()), 16);
}

#[test]
fn keys_are_sorted_and_packets_say_their_way() {
    let frames: Vec<_> = exchange(40_000)
        .into_recording()
        .frames()
        .map(<[u8]>::to_vec)
        .collect();
    let seen: Vec<_> = frames
        .iter()
        .filter_map(|frame| FIVE.extract(&PacketView::new(frame, NOW)))
        .collect();
    let key = seen[0].key;
    assert!(key.a < key.b && seen.iter().all(|found| found.key == key));
    assert_eq!(seen[0].orientation, Orientation::Forward);
    assert_eq!(seen[1].orientation, Orientation::Reverse);
    assert_eq!(seen[0].l4, Some(L4::Tcp));
    let tcp = seen[1].tcp.expect("TCP");
    assert!(tcp.has(0x12) && tcp.ack == seen[0].tcp.expect("TCP").seq + 1);
    assert!(seen.iter().any(|found| found.payload == b"ping\n"));
}

#[test]
fn protocols_without_ports_and_fragments_have_a_flow_for_each_pair() {
    let (src, dst) = (host("10.1.0.7"), host("10.2.0.80"));
    for (protocol, l4) in [
        (1, L4::Icmp),
        (58, L4::Icmpv6),
        (132, L4::Sctp),
        (89, L4::Other(89)),
    ] {
        let frame = wire::frame(
            src,
            dst,
            &[],
            &wire::packet(src, dst, 1, protocol, &[8; 32]),
        );
        let key = keys(FIVE, &[frame])[0];
        assert_eq!((key.proto, key.a.port, key.b.port), (l4, 0, 0));
    }
    let mut scenario = Scenario::new();
    let datagram = wire::udp(socket("10.1.0.7:5000"), socket("10.2.0.80:53"), &[0; 64]);
    scenario.fragments(src, dst, wire::UDP, &datagram, &[(0, 32), (32, 72)]);
    let frames: Vec<_> = scenario
        .into_recording()
        .frames()
        .map(<[u8]>::to_vec)
        .collect();
    let keys = keys(FIVE, &frames);
    assert_eq!(keys.len(), 2);
    assert!(keys[0] == keys[1] && keys[0].a.port == 0 && keys[0].proto == L4::Udp);
}

#[test]
fn pairs_of_addresses_and_of_stations() {
    assert_eq!(flows(IpPair), 2);
    assert_eq!(flows(MacPair), 2);
    let packet = inner_packet();
    let raw = PacketView::new(&packet, NOW).with_link(LinkType::RAW);
    assert!(MacPair.extract(&raw).is_none(), "raw IP has no stations");
}

#[test]
fn a_flow_label_tells_equal_ends_apart() {
    let (src, dst) = (socket("[2001:db8::1]:5000"), socket("[2001:db8::2]:9000"));
    let packet = wire::packet(src.ip(), dst.ip(), 1, wire::UDP, &wire::udp(src, dst, b"x"));
    let with_label = |label: u8| {
        let mut frame = wire::frame(src.ip(), dst.ip(), &[], &packet);
        frame[14 + 3] = label;
        frame
    };
    let frames = [with_label(1), with_label(2), with_label(1)];
    let keys = keys(FlowLabel(FIVE), &frames);
    assert_eq!((keys[0].label, keys[1].label), (1, 2));
    assert_eq!(keys[0], keys[2]);
    assert_eq!(keys[0].inner, keys[1].inner);
    assert_eq!(
        self::keys(FlowLabel(FIVE), &[inner_frame(&[])])[0].label,
        0,
        "IPv4"
    );
}

#[test]
fn each_encapsulation_has_its_combinator() {
    assert!(finds_inner(StripVlan(FIVE), inner_frame(&[5, 9])));
    assert!(
        finds_inner(StripVlan(FIVE), inner_frame(&[])),
        "also without tags"
    );
    assert!(
        !finds_inner(FIVE, inner_frame(&[5])),
        "nobody asked to look behind"
    );
    assert!(finds_inner(StripMpls(FIVE), mpls()));
    assert!(!finds_inner(StripVlan(FIVE), mpls()));
    assert!(finds_inner(Vxlan::new(FIVE), vxlan(4789)));
    assert!(finds_inner(Vxlan::on_port(FIVE, 4444), vxlan(4444)));
    assert!(!finds_inner(Vxlan::new(FIVE), vxlan(4444)));
    assert!(finds_inner(GtpU::new(FIVE), gtp_u(2152)));
    assert!(finds_inner(GtpU::on_port(FIVE, 2222), gtp_u(2222)));
    assert!(finds_inner(Gre(FIVE), gre()));
    assert!(
        !finds_inner(Gre(FIVE), inner_frame(&[])),
        "only what is in GRE"
    );
    assert_eq!(
        keys(Vxlan::new(MacPair), &[vxlan(4789)]),
        keys(MacPair, &[inner_frame(&[])]),
        "the stations inside"
    );
}

#[test]
fn whatever_there_is_is_looked_behind_unless_switched_off() {
    let all = AutoDetectEncap::new(FIVE);
    for frame in [
        inner_frame(&[]),
        inner_frame(&[5, 9]),
        mpls(),
        vxlan(4789),
        gtp_u(2152),
        gre(),
    ] {
        assert!(finds_inner(all, frame));
    }
    assert!(!finds_inner(
        AutoDetectEncap { vlan: false, ..all },
        inner_frame(&[5])
    ));
    assert!(!finds_inner(AutoDetectEncap { mpls: false, ..all }, mpls()));
    assert!(!finds_inner(
        AutoDetectEncap {
            vxlan: false,
            ..all
        },
        vxlan(4789)
    ));
    assert!(!finds_inner(
        AutoDetectEncap {
            gtp_u: false,
            ..all
        },
        gtp_u(2152)
    ));
    assert!(!finds_inner(AutoDetectEncap { gre: false, ..all }, gre()));
    // The flow around a tunnel that is switched off is a flow all the same.
    let outer = keys(
        AutoDetectEncap {
            vxlan: false,
            ..all
        },
        &[vxlan(4789)],
    );
    assert_eq!(outer[0].b.port, 4789);
}

#[test]
fn an_extractor_of_ones_own() {
    /// Everything to or from one port.
    struct Port(u16);
    impl FlowExtractor for Port {
        type Key = u16;
        fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, u16>> {
            let found = FIVE.extract(view)?;
            let on_it = [found.key.a.port, found.key.b.port].contains(&self.0);
            on_it.then(|| found.map_key(|_| self.0))
        }
    }
    let events = opened(&mixed()).flow_events(Port(7000));
    assert!(events.count() > 30);
    let mut none = opened(&mixed()).flow_events(Port(1));
    assert!(none.next().is_none());
    assert!(none.driver().stats().packets_unmatched > 30);
}

#[test]
fn no_bytes_make_an_extractor_panic() {
    let all = FlowLabel(AutoDetectEncap::new(FIVE));
    for frame in [
        vxlan(4789),
        gtp_u(2152),
        gre(),
        mpls(),
        inner_frame(&[1, 2]),
    ] {
        for cut in 0..frame.len() {
            let view = PacketView::new(&frame[..cut], NOW);
            all.extract(&view);
            MacPair.extract(&view);
            for place in 0..cut.min(64) {
                let mut odd = frame[..cut].to_vec();
                odd[place] ^= 0xff;
                all.extract(&PacketView::new(&odd, NOW));
            }
        }
    }
}

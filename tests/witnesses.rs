//! Our decoding and checksums against two libraries that know nothing of
//! us: etherparse and smoltcp, over every capture the project has made.

#[path = "support/captures.rs"]
mod captures;

use std::path::{Path, PathBuf};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use smoltcp::wire::{Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket};
use wero::capture::file::CaptureReader;
use wero::packet::LinkType;
use wero::packet::checksum;
use wero::packet::decode::{self, protocol};

/// Frames of all captures that lie in the repository.
fn frames() -> Vec<(PathBuf, u64, Vec<u8>)> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
    let mut files = captures::own();
    for sample in std::fs::read_dir(samples).expect("there are samples") {
        let path = sample.expect("a readable folder").path();
        if path.is_dir() {
            files.extend(captures::in_folder(&path));
        }
    }
    files.retain(|path| path.extension().is_some_and(|ending| ending == "pcap"));
    let mut frames = Vec::new();
    for file in files {
        let mut reader = CaptureReader::open(&file).expect("a capture of ours");
        while let Some(record) = reader.next().expect("an undamaged capture") {
            if record.link == LinkType::ETHERNET && record.bytes.len() == record.orig_len as usize {
                frames.push((file.clone(), record.frame, record.bytes.to_vec()));
            }
        }
    }
    assert!(frames.len() > 500, "the captures are there");
    frames
}

#[test]
fn headers_are_where_etherparse_finds_them() {
    let mut compared = 0;
    for (file, number, bytes) in frames() {
        let Ok(theirs) = SlicedPacket::from_ethernet(&bytes) else {
            continue;
        };
        let place = format!("{}, frame {number}", file.display());
        let below = decode::link(LinkType::ETHERNET, &bytes).expect(&place);
        let Some(net) = &theirs.net else { continue };
        // Odd frames are odd on purpose; etherparse goes by the ethertype alone.
        let Ok(ours) = decode::ip(&bytes, below.at, None) else {
            assert!(file.to_string_lossy().contains("frames-odd"), "{place}");
            continue;
        };
        match net {
            NetSlice::Ipv4(ip) => {
                assert_eq!(ours.src.octets(), ip.header().source(), "{place}");
                assert_eq!(ours.dst.octets(), ip.header().destination(), "{place}");
                assert_eq!(ours.ttl, ip.header().ttl(), "{place}");
                assert_eq!(
                    ours.end - ours.at,
                    usize::from(ip.header().total_len()),
                    "{place}"
                );
                assert_eq!(
                    ours.is_fragment(),
                    ip.header().is_fragmenting_payload(),
                    "{place}"
                );
            }
            NetSlice::Ipv6(ip) => {
                assert_eq!(ours.src.octets(), ip.header().source(), "{place}");
                assert_eq!(ours.dst.octets(), ip.header().destination(), "{place}");
                assert_eq!(ours.ttl, ip.header().hop_limit(), "{place}");
                assert_eq!(ours.protocol, ip.payload().ip_number.0, "{place}");
            }
            NetSlice::Arp(_) => continue,
        }
        match &theirs.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                let segment = decode::tcp(&bytes, ours.payload_at(), ours.end).expect(&place);
                assert_eq!(
                    (segment.src_port, segment.dst_port),
                    (tcp.source_port(), tcp.destination_port()),
                    "{place}"
                );
                assert_eq!(
                    (segment.seq, segment.ack),
                    (tcp.sequence_number(), tcp.acknowledgment_number()),
                    "{place}"
                );
                assert_eq!(segment.payload(&bytes), tcp.payload(), "{place}");
                assert_eq!(segment.window, tcp.window_size(), "{place}");
                compared += 1;
            }
            Some(TransportSlice::Udp(udp)) => {
                let datagram = decode::udp(&bytes, ours.payload_at(), ours.end).expect(&place);
                assert_eq!(
                    (datagram.src_port, datagram.dst_port),
                    (udp.source_port(), udp.destination_port()),
                    "{place}"
                );
                assert_eq!(datagram.payload(&bytes), udp.payload(), "{place}");
                compared += 1;
            }
            _ => {}
        }
    }
    assert!(compared > 400, "only {compared} headers were compared");
}

#[test]
fn checksums_are_what_smoltcp_says() {
    let (mut right, mut wrong) = (0, 0);
    for (file, number, bytes) in frames() {
        let Ok(below) = decode::link(LinkType::ETHERNET, &bytes) else {
            continue;
        };
        let Ok(ip) = decode::ip(&bytes, below.at, None) else {
            continue;
        };
        if ip.is_fragment() || !matches!(ip.protocol, protocol::TCP | protocol::UDP) {
            continue;
        }
        let place = format!("{}, frame {number}", file.display());
        let packet = &bytes[ip.at..ip.end];
        let (src, dst): (smoltcp::wire::IpAddress, smoltcp::wire::IpAddress) = if ip.version == 4 {
            let header = Ipv4Packet::new_checked(packet).expect(&place);
            assert_eq!(
                header.verify_checksum(),
                checksum::checksum(&packet[..ip.header_len]) == 0,
                "{place}"
            );
            (header.src_addr().into(), header.dst_addr().into())
        } else {
            let header = Ipv6Packet::new_checked(packet).expect(&place);
            (header.src_addr().into(), header.dst_addr().into())
        };
        let segment = &bytes[ip.payload_at()..ip.end];
        let theirs = match ip.protocol {
            protocol::TCP => {
                TcpPacket::new_checked(segment).map(|tcp| tcp.verify_checksum(&src, &dst))
            }
            _ => UdpPacket::new_checked(segment).map(|udp| udp.verify_checksum(&src, &dst)),
        };
        let Ok(theirs) = theirs else { continue };
        let none = ip.protocol == protocol::UDP && segment[6..8] == [0, 0];
        let ours = none || checksum::transport(&ip.src, &ip.dst, ip.protocol, segment) == 0;
        assert_eq!(ours, theirs, "{place}");
        if ours { right += 1 } else { wrong += 1 }
    }
    assert!(
        right > 400 && wrong > 0,
        "{right} right and {wrong} wrong checksums were compared"
    );
}

//! The fuzz body of the decoders.

use super::{Inner, IpHeader, icmp, icmpv6, ip, link, protocol, tcp, tunnel, udp, upper_layer};
use crate::packet::link::LinkType;

/// Tunnels followed: deeper than any caller, so that all offsets are tried.
const MAX_DEPTH: usize = 32;

/// Decodes a frame as far as it goes, through all tunnels.
///
/// # Panics
/// When an offset handed out lies outside the data or out of order: that is
/// what it is for.
pub fn fuzz_decode(link_type: u16, data: &[u8]) {
    let Ok(mut below) = link(LinkType(link_type), data) else {
        return;
    };
    let mut bytes = data;
    // Half of the frames are taken as cut, with the rest of them lost.
    let lost = if data.len().is_multiple_of(2) {
        0
    } else {
        1000
    };
    let mut end = data.len() + lost;
    for _ in 0..MAX_DEPTH {
        assert!(below.at <= bytes.len(), "network header outside the data");
        assert!(below.vlans.ids().len() <= usize::from(below.vlans.count()));
        let Some(Ok(header)) = below.ip_header(bytes, Some(end)) else {
            return;
        };
        let Some(inner) = walk_datagram(bytes, &header, end) else {
            return;
        };
        assert!(inner.end <= header.end, "a tunnel ends within its packet");
        assert!(inner.below.at > header.at, "a tunnel goes inwards");
        end = inner.end;
        bytes = bytes.get(..end).unwrap_or(bytes);
        below = inner.below;
    }
}

fn walk_datagram(bytes: &[u8], header: &IpHeader, end: usize) -> Option<Inner> {
    let at = header.payload_at();
    assert!(at <= bytes.len() && at <= header.end && header.end <= end);
    assert_eq!(header.captured_short, header.end > bytes.len());
    assert!(header.payload(bytes).len() <= header.payload_len());
    if let Some(fragment) = header.fragment {
        assert!(fragment.unfragmentable_len <= header.header_len);
        assert!((header.at..at).contains(&fragment.header_at));
        assert!(fragment.offset % 8 == 0 && fragment.offset <= 0xfff8);
    }
    if let Ok((_, upper)) = upper_layer(bytes, header.protocol, at, header.end) {
        assert!((at..=header.end).contains(&upper));
    }

    let mut udp_header = None;
    match header.protocol {
        protocol::TCP => {
            let segment = tcp(bytes, at, header.end).ok()?;
            assert!(segment.payload_at <= bytes.len() && segment.payload_at <= segment.end);
            assert!(segment.payload(bytes).len() <= segment.payload_len());
            let mut previous = 0;
            for (offset, length, _) in segment.options(bytes) {
                assert!(length >= 2 && offset >= previous);
                previous = offset + length;
            }
            assert!(segment.at + 20 + previous <= segment.payload_at);
        }
        protocol::UDP => {
            let datagram = udp(bytes, at, header.end).ok()?;
            assert!(datagram.end <= header.end);
            assert!(datagram.payload(bytes).len() <= datagram.payload_len());
            udp_header = Some(datagram);
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let read = if header.protocol == protocol::ICMP {
                icmp
            } else {
                icmpv6
            };
            let message = read(bytes, at, header.end).ok()?;
            if let Some(quoted) = message.embedded {
                let _ = ip(bytes, quoted, None);
                assert!(quoted < bytes.len() && quoted < message.end);
            }
            assert!(at + 4 + message.payload(bytes).len() <= message.end);
        }
        _ => {}
    }
    tunnel(bytes, header, udp_header.as_ref())
}

//! Packets of our own making: link headers, and whole TCP segments.

use crate::addr::Addr;
use crate::packet::LinkType;

/// Time to live of forged packets.
const TTL: u8 = 64;

/// Where the tags of an Ethernet frame begin: behind the two addresses.
pub const TAGS_AT: usize = 12;

/// The VLAN tags of an Ethernet frame, as they stand in it. None of one that
/// has something else between them and the packet.
pub fn vlan_tags(frame: &[u8], link: LinkType) -> &[u8] {
    const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
    const IP: [u16; 2] = [0x0800, 0x86dd];
    let kind = |at: usize| {
        let bytes = frame.get(at..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*bytes))
    };
    let mut end = TAGS_AT;
    while kind(end).is_some_and(|kind| VLAN.contains(&kind)) {
        end += 4;
    }
    if link != LinkType::ETHERNET || !kind(end).is_some_and(|kind| IP.contains(&kind)) {
        return &[];
    }
    frame.get(TAGS_AT..end).unwrap_or_default()
}

/// Appends a link header for an IP packet of that version. Link types that
/// nobody forges for get none.
pub fn link_header(frame: &mut Vec<u8>, link: LinkType, version: u8) {
    let ethertype: [u8; 2] = if version == 6 {
        [0x86, 0xdd]
    } else {
        [0x08, 0x00]
    };
    match link {
        LinkType::ETHERNET => {
            // Zero addresses: nothing is known of the neighbours.
            frame.extend_from_slice(&[0; 12]);
            frame.extend_from_slice(&ethertype);
        }
        LinkType::NULL => {
            let family: u32 = if version == 6 { 30 } else { 2 };
            frame.extend_from_slice(&family.to_le_bytes());
        }
        LinkType::LOOP => {
            let family: u32 = if version == 6 { 30 } else { 2 };
            frame.extend_from_slice(&family.to_be_bytes());
        }
        LinkType::LINUX_SLL => {
            frame.extend_from_slice(&[0; 14]);
            frame.extend_from_slice(&ethertype);
        }
        LinkType::LINUX_SLL2 => {
            frame.extend_from_slice(&ethertype);
            frame.extend_from_slice(&[0; 18]);
        }
        LinkType::IPOIB => {
            frame.extend_from_slice(&[0; 40]);
            frame.extend_from_slice(&ethertype);
            frame.extend_from_slice(&[0; 2]);
        }
        LinkType::PPP => {
            frame.extend_from_slice(if version == 6 { &[0, 0x57] } else { &[0, 0x21] })
        }
        LinkType::PPP_HDLC => {
            frame.extend_from_slice(if version == 6 {
                &[0xff, 3, 0, 0x57]
            } else {
                &[0xff, 3, 0, 0x21]
            });
        }
        LinkType::C_HDLC => {
            frame.extend_from_slice(&[0x0f, 0]);
            frame.extend_from_slice(&ethertype);
        }
        LinkType::FDDI => {
            frame.push(0x50);
            frame.extend_from_slice(&[0; 12]);
            frame.extend_from_slice(&[0xaa, 0xaa, 3, 0, 0, 0]);
            frame.extend_from_slice(&ethertype);
        }
        _ => {}
    }
}

/// Appends an IP header without options for `length` bytes of payload.
/// Lengths and the checksum are the caller's to fix.
pub fn ip_header(packet: &mut Vec<u8>, src: Addr, dst: Addr, protocol: u8, length: usize) {
    if src.is_v4() {
        let total = (20 + length) as u16;
        packet.extend_from_slice(&[0x45, 0]);
        packet.extend_from_slice(&total.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 0, TTL, protocol, 0, 0]);
    } else {
        packet.extend_from_slice(&[0x60, 0, 0, 0]);
        packet.extend_from_slice(&(length as u16).to_be_bytes());
        packet.extend_from_slice(&[protocol, TTL]);
    }
    packet.extend_from_slice(src.octets());
    packet.extend_from_slice(dst.octets());
}

/// Appends a TCP segment without payload and options, window and
/// acknowledgement zero, checksum left to the way out.
pub fn tcp(packet: &mut Vec<u8>, source: (Addr, u16), target: (Addr, u16), seq: u32, flags: u8) {
    ip_header(packet, source.0, target.0, 6, 20);
    packet.extend_from_slice(&source.1.to_be_bytes());
    packet.extend_from_slice(&target.1.to_be_bytes());
    packet.extend_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
}

/// Appends a TCP segment that only acknowledges, with its options, which
/// are whole words; checksum left to the way out.
pub fn acknowledgement(
    packet: &mut Vec<u8>,
    [source, target]: [(Addr, u16); 2],
    seq: u32,
    ack: u32,
    window: u16,
    options: &[u8],
) {
    const ACK: u8 = 0x10;
    let length = 20 + options.len();
    ip_header(packet, source.0, target.0, 6, length);
    packet.extend_from_slice(&source.1.to_be_bytes());
    packet.extend_from_slice(&target.1.to_be_bytes());
    packet.extend_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(&ack.to_be_bytes());
    packet.extend_from_slice(&[(length as u8 / 4) << 4, ACK]);
    packet.extend_from_slice(&window.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(options);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::decode;

    #[test]
    fn every_link_header_leads_back_to_the_packet() {
        let links = [
            LinkType::ETHERNET,
            LinkType::NULL,
            LinkType::LOOP,
            LinkType::LINUX_SLL,
            LinkType::LINUX_SLL2,
            LinkType::PPP,
            LinkType::PPP_HDLC,
            LinkType::C_HDLC,
            LinkType::FDDI,
            LinkType::IPOIB,
            LinkType::RAW,
        ];
        let v4 = (Addr::v4([10, 0, 0, 1]), 80);
        let v6 = (Addr::v6([1; 16]), 80);
        for link in links {
            for (end, network) in [(v4, decode::Network::Ipv4), (v6, decode::Network::Ipv6)] {
                let mut frame = Vec::new();
                link_header(&mut frame, link, if end.0.is_v4() { 4 } else { 6 });
                let at = frame.len();
                tcp(&mut frame, end, end, 7, 4);
                let below = decode::link(link, &frame).expect("a whole header");
                assert_eq!((below.network, below.at), (network, at), "{link:?}");
                let ip = decode::ip(&frame, at, None).expect("a whole packet");
                let segment =
                    decode::tcp(&frame, ip.payload_at(), ip.end).expect("a whole segment");
                assert_eq!((segment.seq, segment.flags, segment.src_port), (7, 4, 80));
            }
        }
    }

    #[test]
    fn tags_are_found_between_addresses_and_packet() {
        let frame = |tags: &[u8]| {
            let mut frame = Vec::new();
            link_header(&mut frame, LinkType::ETHERNET, 4);
            frame.splice(TAGS_AT..TAGS_AT, tags.iter().copied());
            frame
        };
        let tags = [0x88, 0xa8, 0xe0, 7, 0x81, 0, 0, 9];
        let tagged = frame(&tags);
        assert_eq!(vlan_tags(&tagged, LinkType::ETHERNET), tags);
        assert!(vlan_tags(&tagged, LinkType::RAW).is_empty());
        assert!(vlan_tags(&frame(&[]), LinkType::ETHERNET).is_empty());
        // Cut, and PPPoE behind the tag.
        assert!(vlan_tags(&tagged[..18], LinkType::ETHERNET).is_empty());
        let session = frame(&[0x81, 0, 0, 9, 0x88, 0x64]);
        assert!(vlan_tags(&session, LinkType::ETHERNET).is_empty());
    }
}

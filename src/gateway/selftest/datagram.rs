//! The datagram of the self-test with another payload.

use crate::packet::checksum;
use crate::packet::decode::{self, protocol};

const UDP_HEADER: usize = 8;
/// Where its checksum stands.
const CHECKSUM: usize = 6;

/// An IP packet that holds a UDP datagram, with another payload of the same
/// length and the checksum that belongs to it. What the kernel left of a
/// checksum on the loopback device does not matter. `None` if it is no such
/// packet.
pub(super) fn with_payload(packet: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let ip = decode::ip(packet, 0, None).ok()?;
    if ip.protocol != protocol::UDP {
        return None;
    }
    let mut changed = packet.to_vec();
    let datagram = changed.get_mut(ip.payload_at()..)?;
    if datagram.len() != UDP_HEADER + payload.len() {
        return None;
    }
    datagram.get_mut(UDP_HEADER..)?.copy_from_slice(payload);
    datagram.get_mut(CHECKSUM..UDP_HEADER)?.fill(0);
    let sum = match checksum::transport(&ip.src, &ip.dst, protocol::UDP, datagram) {
        // Zero would mean that there is none (RFC 768).
        0 => u16::MAX,
        sum => sum,
    };
    let field = datagram.get_mut(CHECKSUM..UDP_HEADER)?;
    field.copy_from_slice(&sum.to_be_bytes());
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_changed_and_the_checksum_is_right() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 11, protocol::UDP, 64];
        packet.extend([[0; 15].as_slice(), &[1]].concat().repeat(2));
        packet.extend([0x30, 0, 0x40, 0, 0, 11, 0xab, 0xcd, b'o', b'l', b'd']);
        let changed = with_payload(&packet, b"new").expect("it is a datagram");
        assert_eq!(changed.get(..46), packet.get(..46));
        assert!(changed.ends_with(b"new"));
        let ip = decode::ip(&changed, 0, None).expect("a header");
        let datagram = changed.get(40..).expect("a datagram");
        assert_eq!(
            checksum::transport(&ip.src, &ip.dst, protocol::UDP, datagram),
            0
        );
        assert_eq!(with_payload(&packet, b"longer"), None);
        assert_eq!(with_payload(&packet[..20], b"new"), None);
    }
}

//! ICMP and ICMPv6 errors and the flows they are about: the packet that an
//! error quotes, looked up in the flow table.
//!
//! A quotation is cut off as a rule, so its length fields are not believed.
//! Not here: what an error means for its flow; anybody can forge one.

use crate::core::Core;
use crate::flow::Direction;
use crate::flow::key::FlowKey;
use crate::packet::decode::{self, IpHeader, protocol};

/// No datagram is longer, with all its headers.
const LONGEST: usize = 40 + 0xffff;

/// What an error message quotes of the packet that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotation {
    pub header: IpHeader,
    /// Source and destination port; zeros where the protocol has none.
    pub ports: [u16; 2],
}

impl Quotation {
    /// Reads the quotation of an ICMP (`version` 4) or ICMPv6 (6) message
    /// from `at` to `end`. `None` for messages that quote nothing, or not
    /// enough to name a flow.
    pub fn read(bytes: &[u8], at: usize, end: usize, version: u8) -> Option<Quotation> {
        let bytes = bytes.get(..end.min(bytes.len()))?;
        let message = if version == 6 {
            decode::icmpv6(bytes, at, end).ok()?
        } else {
            decode::icmp(bytes, at, end).ok()?
        };
        let quoted = message.embedded?;
        let header = decode::ip(bytes, quoted, Some(quoted + LONGEST)).ok()?;
        if header.version != version {
            return None;
        }
        let later_fragment = header.fragment.is_some_and(|fragment| fragment.offset > 0);
        let ports = match header.protocol {
            protocol::TCP | protocol::UDP if later_fragment => return None,
            protocol::TCP | protocol::UDP => {
                let four = bytes.get(header.payload_at()..)?.first_chunk::<4>()?;
                let &[a, b, c, d] = four;
                [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
            }
            _ => [0; 2],
        };
        Some(Quotation { header, ports })
    }
}

/// The flow of the packet that an ICMP error quotes, and which way that
/// packet went. `None` for other messages, and for flows that are not known.
pub fn flow_of(core: &Core, slot: u32) -> Option<(u32, Direction)> {
    let packet = core.packet(slot);
    if !matches!(packet.protocol, protocol::ICMP | protocol::ICMPV6) {
        return None;
    }
    let quotation = Quotation::read(
        core.bytes(slot),
        packet.transport_at as usize,
        packet.end as usize,
        packet.ip_version,
    )?;
    let header = &quotation.header;
    let [src_port, dst_port] = quotation.ports;
    core.flows.find(&FlowKey {
        src: *header.src.bytes(),
        dst: *header.dst.bytes(),
        src_port,
        dst_port,
        vlan: packet.vlan,
        tunnel: packet.tunnel,
        protocol: header.protocol,
        family: header.version,
    })
}

/// The fuzz body: the first byte chooses the version.
///
/// # Panics
/// When a quotation lies outside the message.
#[doc(hidden)]
pub fn fuzz_quotation(data: &[u8]) {
    let Some((&first, message)) = data.split_first() else {
        return;
    };
    let version = if first & 1 == 0 { 4 } else { 6 };
    // Half of the messages end before the bytes do.
    let end = message.len().saturating_sub(usize::from(first >> 1 & 3));
    if let Some(quotation) = Quotation::read(message, 0, end, version) {
        let header = quotation.header;
        assert_eq!(header.version, version);
        assert!(header.at == 8 && header.payload_at() <= end);
        if quotation.ports != [0; 2] {
            assert!(header.payload_at() + 4 <= end, "ports lie in the message");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Port unreachable" about a UDP datagram, cut behind its ports.
    fn unreachable() -> Vec<u8> {
        let mut message = vec![3, 3, 0, 0, 0, 0, 0, 0];
        message.extend([0x45, 0, 5, 0xdc, 0, 1, 0, 0, 64, 17, 0, 0]);
        message.extend([10, 1, 0, 7, 10, 2, 0, 53, 0xc0, 0, 0, 53]);
        message
    }

    #[test]
    fn eight_bytes_of_a_quoted_datagram_are_enough() {
        let message = unreachable();
        let quotation = Quotation::read(&message, 0, message.len(), 4).expect("it quotes");
        assert_eq!(quotation.ports, [0xc000, 53]);
        assert_eq!(quotation.header.src.to_string(), "10.1.0.7");
        for end in 0..message.len() {
            assert_eq!(Quotation::read(&message, 0, end, 4), None, "{end}");
        }
    }

    #[test]
    fn packets_too_big_for_ipv6_quote_one() {
        let mut message = vec![2, 0, 0, 0, 0, 0, 5, 0];
        message.extend([0x60, 0, 0, 0, 4, 0, 6, 64]);
        message.extend([0x20; 32]);
        message.extend([0, 80, 1, 0]);
        let quotation = Quotation::read(&message, 0, message.len(), 6).expect("it quotes");
        assert_eq!(quotation.ports, [80, 256]);
        assert_eq!(Quotation::read(&message, 0, message.len(), 4), None);
    }

    #[test]
    fn other_messages_and_later_fragments_name_no_flow() {
        let mut message = unreachable();
        message[0] = 8;
        assert_eq!(Quotation::read(&message, 0, message.len(), 4), None);
        let mut message = unreachable();
        message[8 + 7] = 2;
        assert_eq!(Quotation::read(&message, 0, message.len(), 4), None);
    }
}

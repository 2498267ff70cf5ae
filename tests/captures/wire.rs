//! Wire formats: bytes of frames, packets and segments, with right lengths and checksums.
//!
//! One function per layer, innermost first: a transport function gives the
//! bytes above IP, [`packet`] or [`fragment`] wraps them in IPv4 or IPv6 as
//! the addresses say, [`frame`] in Ethernet. Wrong values are made by
//! changing the bytes afterwards ([`break_checksum`]).
//!
//! Deliberately independent of the library under test.

use std::net::{IpAddr, SocketAddr};

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

const IPV6_FRAGMENT_HEADER: u8 = 44;
const HOP_LIMIT: u8 = 64;

/// TCP flag bits (RFC 9293, 3.1).
pub mod flag {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
}

/// One TCP segment before it has addresses.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    /// As on the wire, that is after scaling.
    pub window: u16,
    pub options: Vec<TcpOption>,
    pub payload: Vec<u8>,
}

/// The TCP options that real hosts send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpOption {
    /// RFC 9293, 3.7.1.
    Mss(u16),
    /// RFC 7323, 2.2.
    WindowScale(u8),
    /// RFC 2018, 2.
    SackPermitted,
    /// Blocks as (left edge, right edge), newest first (RFC 2018, 3).
    Sack(Vec<(u32, u32)>),
    /// Own clock, echoed clock, in milliseconds (RFC 7323, 3.2).
    Timestamps(u32, u32),
}

impl TcpOption {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Mss(bytes) => {
                out.extend([2, 4]);
                out.extend(bytes.to_be_bytes());
            }
            Self::WindowScale(shift) => out.extend([3, 3, *shift]),
            Self::SackPermitted => out.extend([4, 2]),
            Self::Sack(blocks) => {
                let len = 2 + 8 * blocks.len();
                out.extend([
                    5,
                    u8::try_from(len).expect("at most four blocks fit in a header"),
                ]);
                for (left, right) in blocks {
                    out.extend(left.to_be_bytes());
                    out.extend(right.to_be_bytes());
                }
            }
            Self::Timestamps(own, echo) => {
                out.extend([8, 10]);
                out.extend(own.to_be_bytes());
                out.extend(echo.to_be_bytes());
            }
        }
    }
}

/// A TCP header and payload from `src` to `dst`.
pub fn tcp(src: SocketAddr, dst: SocketAddr, segment: &Segment) -> Vec<u8> {
    let mut options = Vec::new();
    for option in &segment.options {
        option.encode(&mut options);
    }
    // No-operation options fill up to a whole 32-bit word.
    options.resize(options.len().next_multiple_of(4), 1);
    let words = u8::try_from(5 + options.len() / 4).expect("a TCP header has at most 15 words");

    let mut bytes = Vec::new();
    bytes.extend(src.port().to_be_bytes());
    bytes.extend(dst.port().to_be_bytes());
    bytes.extend(segment.seq.to_be_bytes());
    bytes.extend(segment.ack.to_be_bytes());
    bytes.extend([words << 4, segment.flags]);
    bytes.extend(segment.window.to_be_bytes());
    bytes.extend([0; 4]); // checksum, urgent pointer
    bytes.extend(options);
    bytes.extend(&segment.payload);
    seal(src.ip(), dst.ip(), TCP, &mut bytes, 16);
    bytes
}

/// A UDP header and payload from `src` to `dst`.
pub fn udp(src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(src.port().to_be_bytes());
    bytes.extend(dst.port().to_be_bytes());
    bytes.extend(length_field(8 + payload.len()).to_be_bytes());
    bytes.extend([0; 2]);
    bytes.extend(payload);
    seal(src.ip(), dst.ip(), UDP, &mut bytes, 6);
    // A zero checksum means "none", so a computed zero is sent as all
    // ones (RFC 768).
    if bytes[6..8] == [0, 0] {
        bytes[6..8].fill(0xff);
    }
    bytes
}

/// An echo request or reply of the family of the addresses; gives the
/// protocol number along with the bytes.
pub fn echo(src: IpAddr, dst: IpAddr, reply: bool, sequence: u16, payload: &[u8]) -> (u8, Vec<u8>) {
    let (protocol, kind) = match (src, reply) {
        (IpAddr::V4(_), false) => (ICMP, 8),
        (IpAddr::V4(_), true) => (ICMP, 0),
        (IpAddr::V6(_), false) => (ICMPV6, 128),
        (IpAddr::V6(_), true) => (ICMPV6, 129),
    };
    let mut bytes = vec![kind, 0, 0, 0, 0x17, 0x0b];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(payload);
    seal(src, dst, protocol, &mut bytes, 2);
    (protocol, bytes)
}

/// An error message of the family of the addresses with that type and code;
/// gives the protocol number along with the bytes.
pub fn icmp_error(
    src: IpAddr,
    dst: IpAddr,
    (kind, code): (u8, u8),
    quoted: &[u8],
) -> (u8, Vec<u8>) {
    let protocol = if src.is_ipv4() { ICMP } else { ICMPV6 };
    let mut bytes = vec![kind, code, 0, 0, 0, 0, 0, 0];
    bytes.extend(quoted);
    seal(src, dst, protocol, &mut bytes, 2);
    (protocol, bytes)
}

/// A whole, unfragmentable IP packet; `id` is the IPv4 identification.
pub fn packet(src: IpAddr, dst: IpAddr, id: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    const DONT_FRAGMENT: u16 = 0x4000;
    match (src, dst) {
        (IpAddr::V4(_), IpAddr::V4(_)) => ipv4(src, dst, id, DONT_FRAGMENT, protocol, payload),
        _ => ipv6(src, dst, protocol, payload),
    }
}

/// One fragment: `part` begins at byte `offset` (a multiple of eight) of the
/// datagram's payload, and is the last one unless `more`.
pub fn fragment(
    (src, dst): (IpAddr, IpAddr),
    id: u16,
    protocol: u8,
    part: &[u8],
    offset: u16,
    more: bool,
) -> Vec<u8> {
    assert!(
        offset.is_multiple_of(8),
        "fragments begin at multiples of eight bytes"
    );
    match (src, dst) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            let more_fragments = u16::from(more) << 13;
            ipv4(src, dst, id, more_fragments | (offset / 8), protocol, part)
        }
        _ => {
            let mut bytes = vec![protocol, 0];
            bytes.extend((offset | u16::from(more)).to_be_bytes());
            bytes.extend(u32::from(id).to_be_bytes());
            bytes.extend(part);
            ipv6(src, dst, IPV6_FRAGMENT_HEADER, &bytes)
        }
    }
}

/// An Ethernet frame around an IP packet, with 802.1Q tags outermost first
/// (the outer of two is an 802.1ad service tag).
pub fn frame(src: IpAddr, dst: IpAddr, vlans: &[u16], packet: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(mac(dst));
    bytes.extend(mac(src));
    for (depth, vlan) in vlans.iter().enumerate() {
        let is_outer_of_two = depth + 1 < vlans.len();
        let tag: u16 = if is_outer_of_two { 0x88a8 } else { 0x8100 };
        bytes.extend(tag.to_be_bytes());
        bytes.extend(vlan.to_be_bytes());
    }
    let ethertype: u16 = if src.is_ipv4() { 0x0800 } else { 0x86dd };
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(packet);
    bytes
}

/// A station address for a host: locally administered, told by its IP address.
pub fn mac(host: IpAddr) -> [u8; 6] {
    let [.., a, b, c, d] = octets(host)[..] else {
        unreachable!("addresses have four bytes or more")
    };
    [0x02, 0x00, a, b, c, d]
}

/// Turns the checksum at `at` into a wrong one.
pub fn break_checksum(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 0x55;
}

/// The Internet checksum (RFC 1071) over `parts` laid end to end; every part
/// but the last must have even length.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for part in parts {
        for word in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([
                word[0],
                word.get(1).copied().unwrap_or(0),
            ]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    !u16::try_from(sum).expect("carries were folded after each addition")
}

fn ipv4(
    src: IpAddr,
    dst: IpAddr,
    id: u16,
    fragment_field: u16,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend(length_field(20 + payload.len()).to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend(fragment_field.to_be_bytes());
    bytes.extend([HOP_LIMIT, protocol, 0, 0]);
    bytes.extend(octets(src));
    bytes.extend(octets(dst));
    let sum = checksum(&[&bytes]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn ipv6(src: IpAddr, dst: IpAddr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(length_field(payload.len()).to_be_bytes());
    bytes.extend([next_header, HOP_LIMIT]);
    bytes.extend(octets(src));
    bytes.extend(octets(dst));
    bytes.extend(payload);
    bytes
}

/// Stores the transport checksum at `at`, where there must be zeros.
fn seal(src: IpAddr, dst: IpAddr, protocol: u8, bytes: &mut [u8], at: usize) {
    // ICMP over IPv4 alone is not covered by a pseudo-header (RFC 792).
    let sum = if protocol == ICMP {
        checksum(&[bytes])
    } else {
        let tail = [
            0,
            protocol,
            length_field(bytes.len()).to_be_bytes()[0],
            length_field(bytes.len()).to_be_bytes()[1],
        ];
        checksum(&[&octets(src), &octets(dst), &tail, bytes])
    };
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn length_field(bytes: usize) -> u16 {
    u16::try_from(bytes).expect("packets of the generator fit in 64 kB")
}

//! Frames built by hand, byte for byte.

mod damage;
mod ip;
mod link;
mod transport;
mod tunnel;

use super::*;

/// Bytes from pieces of any length.
macro_rules! bytes {
    ($($piece:expr),* $(,)?) => {{
        let mut all: Vec<u8> = Vec::new();
        $(all.extend_from_slice($piece.as_ref());)*
        all
    }};
}
pub(super) use bytes;

pub(super) fn be(value: u16) -> [u8; 2] {
    value.to_be_bytes()
}

/// An IPv4 header with the given options, from 192.0.2.1 to 192.0.2.2.
pub(super) fn ipv4_with(options: &[u8], place: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let words = 5 + options.len() / 4;
    let total = words * 4 + payload.len();
    let first = [0x40 | words as u8, 0];
    let ends = [192, 0, 2, 1, 192, 0, 2, 2];
    let middle = bytes![be(0x1234), be(place), [64, protocol, 0, 0], ends];
    bytes![first, be(total as u16), middle, options, payload]
}

pub(super) fn ipv4_of(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(&[], 0, protocol, payload)
}

/// An IPv6 header from 2001:db8::1 to 2001:db8::2.
pub(super) fn ipv6_of(next: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_between([0x20, 0x01, 0x0d, 0xb8], next, payload)
}

/// An IPv6 header between two addresses with this prefix.
pub(super) fn ipv6_between(prefix: [u8; 4], next: u8, payload: &[u8]) -> Vec<u8> {
    let [mut src, mut dst] = [[0u8; 16]; 2];
    src[..4].copy_from_slice(&prefix);
    dst[..4].copy_from_slice(&prefix);
    (src[15], dst[15]) = (1, 2);
    bytes![
        [0x60, 0, 0, 0],
        be(payload.len() as u16),
        [next, 64],
        src,
        dst,
        payload
    ]
}

pub(super) fn udp_of(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    bytes![
        be(src),
        be(dst),
        be(payload.len() as u16 + 8),
        [0, 0],
        payload
    ]
}

/// A segment with ACK and PSH and the given options.
pub(super) fn tcp_of(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let offset = ((5 + options.len() / 4) as u8) << 4;
    let numbers = [0, 0, 0, 7, 0, 0, 0, 9];
    bytes![
        be(1025),
        be(80),
        numbers,
        [offset, 0x18],
        be(512),
        [0; 4],
        options,
        payload
    ]
}

pub(super) fn ethernet_of(kind: u16, payload: &[u8]) -> Vec<u8> {
    bytes![[2; 6], [4; 6], be(kind), payload]
}

pub(super) fn bad(layer: Layer, offset: usize, fault: Fault) -> Malformed {
    Malformed {
        layer,
        offset,
        fault,
    }
}

//! Long headers of QUIC (RFC 9000, 17.2; RFC 9369, 3.2) and numbers of
//! variable length.
//!
//! Only as far as Initial packets need it; short headers end a datagram.

use crate::proto::tls::wire::Wire;

/// Longest connection id of the versions known here.
pub const LONGEST_ID: usize = 20;

/// A version of QUIC whose Initial packets can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Drafts 21 and 22, and Facebook's first of its own.
    Draft22,
    /// Drafts 23 to 28, and Facebook's second.
    Draft23,
    /// Drafts 29 to 34.
    Draft29,
    V1,
    V2,
}

impl Version {
    pub fn of(number: u32) -> Option<Version> {
        Some(match number {
            1 => Version::V1,
            0x6b33_43cf => Version::V2,
            0xff00_001d..=0xff00_0022 => Version::Draft29,
            0xff00_0017..=0xff00_001c | 0xface_b002 => Version::Draft23,
            0xff00_0015 | 0xff00_0016 | 0xface_b001 => Version::Draft22,
            _ => return None,
        })
    }
}

/// One packet of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    Initial(Initial<'a>),
    /// Another packet with a long header.
    Other,
}

/// An Initial packet, still protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initial<'a> {
    pub version: Version,
    pub version_number: u32,
    pub destination: &'a [u8],
    pub source: &'a [u8],
    /// The whole packet: header, packet number, protected payload.
    pub bytes: &'a [u8],
    /// Where the packet number begins.
    pub number_at: usize,
}

/// Takes the packet at the front of a datagram; none where no packet with a
/// long header of a known version stands.
pub fn next_packet<'a>(datagram: &mut &'a [u8]) -> Option<Packet<'a>> {
    const INITIAL: u8 = 0;
    const RETRY: u8 = 3;

    let whole = *datagram;
    let mut wire = Wire(whole);
    let first = wire.u8()?;
    if first & 0x80 == 0 {
        return None;
    }
    let version_number = wire
        .take(4)?
        .iter()
        .fold(0, |sum, &b| sum << 8 | u32::from(b));
    let version = Version::of(version_number)?;
    // Version 2 turns the types by one.
    let kind = match version {
        Version::V2 => (first >> 4).wrapping_sub(1) & 3,
        _ => first >> 4 & 3,
    };
    let destination = connection_id(&mut wire)?;
    let source = connection_id(&mut wire)?;
    if kind == RETRY {
        *datagram = &[];
        return Some(Packet::Other);
    }
    if kind == INITIAL {
        let token = varint(&mut wire)?;
        wire.take(usize::try_from(token).ok()?)?;
    }
    let length = usize::try_from(varint(&mut wire)?).ok()?;
    let number_at = whole.len() - wire.0.len();
    wire.take(length)?;
    let (bytes, rest) = whole.split_at(whole.len() - wire.0.len());
    *datagram = rest;
    if kind != INITIAL {
        return Some(Packet::Other);
    }
    Some(Packet::Initial(Initial {
        version,
        version_number,
        destination,
        source,
        bytes,
        number_at,
    }))
}

fn connection_id<'a>(wire: &mut Wire<'a>) -> Option<&'a [u8]> {
    wire.vec8().filter(|id| id.len() <= LONGEST_ID)
}

/// A number whose first two bits tell its size (RFC 9000, 16).
pub(crate) fn varint(wire: &mut Wire) -> Option<u64> {
    let first = wire.u8()?;
    let more = (1usize << (first >> 6)) - 1;
    let start = u64::from(first & 0x3f);
    Some(
        wire.take(more)?
            .iter()
            .fold(start, |sum, &byte| sum << 8 | u64::from(byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 9000, A.1.
    #[test]
    fn numbers_have_four_sizes() {
        let read = |bytes: &[u8]| varint(&mut Wire(bytes));
        assert_eq!(
            read(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
            Some(151_288_809_941_952_652)
        );
        assert_eq!(read(&[0x9d, 0x7f, 0x3e, 0x7d]), Some(494_878_333));
        assert_eq!(read(&[0x7b, 0xbd]), Some(15_293));
        assert_eq!(read(&[0x25]), Some(37));
        assert_eq!(read(&[0x7b]), None);
    }

    #[test]
    fn packets_stand_behind_each_other() {
        let one = b"\xc0\0\0\0\x01\x01d\x01s\0\x03pay\xe0\0\0\0\x01\0\0\x01x\x40short";
        let mut datagram = &one[..];
        let Some(Packet::Initial(initial)) = next_packet(&mut datagram) else {
            panic!("an Initial packet is there");
        };
        assert_eq!(
            (initial.destination, initial.source),
            (&b"d"[..], &b"s"[..])
        );
        assert_eq!(&initial.bytes[initial.number_at..], b"pay");
        assert_eq!(next_packet(&mut datagram), Some(Packet::Other));
        assert_eq!(next_packet(&mut datagram), None);
        assert_eq!(datagram, b"\x40short");
    }

    #[test]
    fn version_2_turns_the_types() {
        let initial = b"\xd0\x6b\x33\x43\xcf\0\0\0\x01x";
        assert!(matches!(
            next_packet(&mut &initial[..]),
            Some(Packet::Initial(_))
        ));
        let handshake = b"\xf0\x6b\x33\x43\xcf\0\0\x01x";
        assert_eq!(next_packet(&mut &handshake[..]), Some(Packet::Other));
    }
}

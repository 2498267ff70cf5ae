//! Internet checksum (RFC 1071) and incremental updates (RFC 1624).
//!
//! Sums run in machine byte order over eight lanes, which the compiler turns
//! into vector code, again for processors with AVX2, and are swapped once at
//! the end: the ones' complement sum does not mind (RFC 1071, 2.B). All values
//! handed out are in host order, ready to be written big-endian. Not here:
//! deciding which packets need a new checksum.

use crate::addr::Addr;

/// Sums any number of byte runs as if they stood one behind the other.
///
/// A run of odd length leaves the next one starting in the low half of a
/// word, as it would in one contiguous buffer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accumulator {
    /// Sum of 16-bit words in machine order, not yet folded.
    sum: u64,
    /// The bytes so far ended in the middle of a word.
    odd: bool,
}

impl Accumulator {
    pub const fn new() -> Accumulator {
        Accumulator { sum: 0, odd: false }
    }

    /// Adds a run of bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        let sum = sum(bytes);
        // A run that starts in the middle of a word has all its bytes in the
        // other half: swapping its sum says the same (RFC 1071, 2.B).
        self.sum += if self.odd {
            u64::from(fold(sum).swap_bytes())
        } else {
            (sum >> 32) + (sum & 0xffff_ffff)
        };
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// Adds an address. Only at even positions.
    fn add_addr(&mut self, addr: &Addr) {
        debug_assert!(!self.odd, "an address starts on a word");
        let (words, _) = addr.octets().as_chunks::<4>();
        for word in words {
            self.sum += u64::from(u32::from_ne_bytes(*word));
        }
    }

    /// Adds a 16-bit field given in host order. Only at even positions.
    pub fn add_u16(&mut self, value: u16) {
        debug_assert!(!self.odd, "a field starts on a word");
        self.sum += u64::from(value.to_be());
    }

    /// Adds a 32-bit field given in host order. Only at even positions.
    pub fn add_u32(&mut self, value: u32) {
        debug_assert!(!self.odd, "a field starts on a word");
        self.sum += u64::from(value.to_be());
    }

    /// The complemented sum: the value of a checksum field, or zero when a
    /// right checksum was among the bytes.
    pub fn finish(self) -> u16 {
        u16::from_be(!fold(self.sum))
    }
}

/// Adds the carries back in until 16 bits are left.
#[inline]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// Sums 16-bit words in machine order, without carries folded in. An odd
/// last byte counts as if a zero byte followed. Buffers below 64 GB cannot
/// overflow it.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn sum(bytes: &[u8]) -> u64 {
    const LANES: usize = 8;
    let mut lanes = [0u64; LANES];
    let (blocks, rest) = bytes.as_chunks::<{ LANES * 4 }>();
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let mut total: u64 = lanes.iter().sum();

    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        total += u64::from(u32::from_ne_bytes(*word));
    }
    let (halves, rest) = rest.as_chunks::<2>();
    for half in halves {
        total += u64::from(u16::from_ne_bytes(*half));
    }
    if let [last] = rest {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    total
}

/// The checksum over one buffer, for example an IPv4 header with its field
/// zeroed. Over a header that holds a right checksum the result is zero.
pub fn checksum(bytes: &[u8]) -> u16 {
    u16::from_be(!fold(sum(bytes)))
}

/// Starts a TCP, UDP or ICMPv6 checksum with the pseudo header (RFC 9293,
/// 3.1; RFC 8200, 8.1). `length` is transport header plus payload, in bytes.
///
/// For a packet with a routing header `dst` is the final destination.
pub fn pseudo_header(src: &Addr, dst: &Addr, protocol: u8, length: u32) -> Accumulator {
    // Lengths above 65,535 exist over IPv6 only; adding the 32-bit field
    // covers the 16-bit one of IPv4, whose upper half is zero.
    let mut sum = Accumulator::new();
    sum.add_addr(src);
    sum.add_addr(dst);
    sum.add_u32(length);
    sum.add_u16(u16::from(protocol));
    sum
}

/// The checksum of a whole segment or datagram whose checksum field is zero.
/// With the field filled in, zero means that it is right.
pub fn transport(src: &Addr, dst: &Addr, protocol: u8, segment: &[u8]) -> u16 {
    let mut sum = pseudo_header(src, dst, protocol, segment.len() as u32);
    sum.add(segment);
    sum.finish()
}

/// The value to send in a UDP checksum field: a computed zero goes out as all
/// ones, since zero means "none" (RFC 768).
pub const fn udp_field(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// The checksum after the 16-bit word `old` of its data has become `new`
/// (RFC 1624, equation 3).
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// As [`update`], for a 32-bit field such as a sequence number.
pub const fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// As [`update`], for an address, in the header or the pseudo header. Both
/// addresses are of one family.
pub fn update_addr(checksum: u16, old: &Addr, new: &Addr) -> u16 {
    debug_assert_eq!(old.family(), new.family(), "a rewrite keeps the family");
    let removed = u64::from(!u16::from_be(fold(sum(old.octets()))));
    let added = u64::from(u16::from_be(fold(sum(new.octets()))));
    !fold(u64::from(!checksum) + removed + added)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// RFC 1071 as its text has it: words, then carries.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u64;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u64::from(u16::from_be_bytes([pair[0], low]));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn known_values() {
        assert_eq!(checksum(b"hello"), 48173);
        assert_eq!(checksum(b""), 65535);
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(checksum(&header), 0);
        let mut blank = header;
        blank[10..12].fill(0);
        assert_eq!(checksum(&blank), 0xb861);
    }

    #[test]
    fn big_buffers_of_ones_do_not_overflow() {
        assert_eq!(checksum(&vec![0xff; 1 << 20]), 0);
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0xffff_0001), 1);
    }

    #[test]
    fn a_zero_udp_checksum_is_sent_as_all_ones() {
        assert_eq!(udp_field(0), 0xffff);
        assert_eq!(udp_field(1), 1);
    }

    #[test]
    fn pseudo_headers_are_those_of_the_rfcs() {
        let segment = [0x12, 0x34, 0x00, 0x35, 0x00, 0x09, 0x00, 0x00, 0x61];
        let [src, dst] = [[192, 0, 2, 1], [198, 51, 100, 2]];
        let mut flat = [src, dst].concat();
        flat.extend([0, 17, 0, 9]);
        flat.extend(segment);
        assert_eq!(
            transport(&Addr::v4(src), &Addr::v4(dst), 17, &segment),
            naive(&flat)
        );

        let [src, dst] = [[0x20; 16], [0xfe; 16]];
        let mut flat = [src, dst].concat();
        flat.extend([0, 0, 0, 9, 0, 0, 0, 17]);
        flat.extend(segment);
        assert_eq!(
            transport(&Addr::v6(src), &Addr::v6(dst), 17, &segment),
            naive(&flat)
        );
    }

    proptest! {
        #[test]
        fn equals_the_naive_sum(bytes in vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(checksum(&bytes), naive(&bytes));
        }

        #[test]
        fn pieces_sum_like_the_whole(pieces in vec(vec(any::<u8>(), 0..70), 0..6)) {
            let mut sum = Accumulator::new();
            pieces.iter().for_each(|piece| sum.add(piece));
            prop_assert_eq!(sum.finish(), naive(&pieces.concat()));
        }

        #[test]
        fn incremental_update_equals_a_new_sum(
            mut bytes in vec(any::<u8>(), 24..=24), at in 0usize..6, new: u32,
        ) {
            // The first word is never zero, so that the two forms of zero
            // cannot stand for each other.
            bytes[23] |= 1;
            bytes[..20].iter_mut().step_by(7).for_each(|byte| *byte |= 1);
            let before = naive(&bytes);
            let field = at * 4..at * 4 + 4;
            let old = u32::from_be_bytes(bytes[field.clone()].try_into().expect("four bytes"));
            bytes[field].copy_from_slice(&new.to_be_bytes());
            let expected = naive(&bytes);
            prop_assert_eq!(update_u32(before, old, new), expected);
            let half = update(before, (old >> 16) as u16, (new >> 16) as u16);
            prop_assert_eq!(update(half, old as u16, new as u16), expected);
            let [old, new] = [old, new].map(|addr| Addr::v4(addr.to_be_bytes()));
            prop_assert_eq!(update_addr(before, &old, &new), expected);
        }

        #[test]
        fn an_address_rewrite_keeps_a_right_checksum(
            old: [u8; 16], new: [u8; 16], dst: [u8; 16], segment in vec(1u8.., 8..60),
        ) {
            let [old, new, dst] = [old, new, dst].map(Addr::v6);
            let before = transport(&old, &dst, 6, &segment);
            let after = transport(&new, &dst, 6, &segment);
            prop_assert_eq!(update_addr(before, &old, &new), after);
        }
    }
}

//! Addresses and networks, IPv4 and IPv6 alike.
//!
//! An [`Addr`] has one layout for both families, so that flow keys, Lua
//! records and logs need no branch. Text follows RFC 5952 for IPv6. The
//! families never mix: `::ffff:192.0.2.1` as seen in an IPv6 header and
//! `192.0.2.1` are different addresses, and no network contains both.
//! Not here: names, interface scopes (`%eth0`), ports.

use std::cmp::Ordering;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The address family, numbered like the version field of the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    V4 = 4,
    V6 = 6,
}

impl Family {
    /// Length of an address in bits: 32 or 128.
    pub const fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }
}

/// An IPv4 or IPv6 address.
///
/// The sixteen bytes are in network order. An IPv4 address sits in the last
/// four behind `::ffff` (RFC 4291, 2.5.5.2), so that the bytes alone already
/// are a well-formed address for whoever reads the record without the family.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Addr {
    bytes: [u8; 16],
    family: Family,
}

impl Addr {
    /// `0.0.0.0`.
    pub const UNSPECIFIED_V4: Addr = Addr::v4([0; 4]);
    /// `::`.
    pub const UNSPECIFIED_V6: Addr = Addr::v6([0; 16]);

    /// An IPv4 address from its bytes in network order.
    #[inline]
    pub const fn v4(octets: [u8; 4]) -> Addr {
        let [a, b, c, d] = octets;
        Addr {
            bytes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d],
            family: Family::V4,
        }
    }

    /// An IPv6 address from its bytes in network order.
    #[inline]
    pub const fn v6(octets: [u8; 16]) -> Addr {
        Addr {
            bytes: octets,
            family: Family::V6,
        }
    }

    /// The address whose bytes stand in a flow's key or record; any family
    /// but 4 is taken for IPv6.
    #[inline]
    pub const fn from_record(bytes: &[u8; 16], family: u8) -> Addr {
        let family = if family == 4 { Family::V4 } else { Family::V6 };
        Addr {
            bytes: *bytes,
            family,
        }
    }

    #[inline]
    pub const fn family(&self) -> Family {
        self.family
    }

    #[inline]
    pub const fn is_v4(&self) -> bool {
        matches!(self.family, Family::V4)
    }

    /// All sixteen bytes; IPv4 behind `::ffff`.
    #[inline]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// The bytes as they stand in the header: four or sixteen.
    #[inline]
    pub fn octets(&self) -> &[u8] {
        match self.family {
            Family::V4 => &self.bytes[12..],
            Family::V6 => &self.bytes,
        }
    }

    /// The IPv4 address as a number in host order, if it is one.
    #[inline]
    pub const fn to_v4_bits(&self) -> Option<u32> {
        if self.is_v4() {
            Some(self.bits() as u32)
        } else {
            None
        }
    }

    /// All sixteen bytes as a number in host order.
    #[inline]
    const fn bits(&self) -> u128 {
        u128::from_be_bytes(self.bytes)
    }

    /// Ones over the first `prefix` bits of the family, and over everything
    /// before an IPv4 address.
    const fn mask(family: Family, prefix: u8) -> u128 {
        // A shift by the full width is what `checked_shl` refuses: mask 0.
        match u128::MAX.checked_shl((family.bits() - prefix) as u32) {
            Some(mask) => mask,
            None => 0,
        }
    }

    /// The address with everything behind the first `prefix` bits cleared.
    const fn truncate(self, prefix: u8) -> Addr {
        let bits = self.bits() & Addr::mask(self.family, prefix);
        Addr {
            bytes: bits.to_be_bytes(),
            family: self.family,
        }
    }
}

/// IPv4 before IPv6, then by number.
impl Ord for Addr {
    fn cmp(&self, other: &Self) -> Ordering {
        self.family
            .cmp(&other.family)
            .then_with(|| self.bits().cmp(&other.bits()))
    }
}

impl PartialOrd for Addr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(addr: Ipv4Addr) -> Addr {
        Addr::v4(addr.octets())
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(addr: Ipv6Addr) -> Addr {
        Addr::v6(addr.octets())
    }
}

impl From<IpAddr> for Addr {
    fn from(addr: IpAddr) -> Addr {
        match addr {
            IpAddr::V4(addr) => addr.into(),
            IpAddr::V6(addr) => addr.into(),
        }
    }
}

impl From<Addr> for IpAddr {
    fn from(addr: Addr) -> IpAddr {
        match addr.to_v4_bits() {
            Some(bits) => IpAddr::V4(Ipv4Addr::from(bits)),
            None => IpAddr::V6(Ipv6Addr::from(addr.bytes)),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Addr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Addr, AddrError> {
        text.parse::<IpAddr>()
            .map(Addr::from)
            .map_err(|_| AddrError::Address)
    }
}

/// Why a text is not an address or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddrError {
    #[error("not an IPv4 or IPv6 address")]
    Address,
    #[error("no prefix length (expected address/bits)")]
    NoPrefix,
    #[error("prefix length is not a number from 0 to 32 (IPv4) or 128 (IPv6)")]
    Prefix,
}

/// An address and how many of its leading bits count. Host bits are clear.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Network {
    addr: Addr,
    prefix: u8,
}

impl Network {
    /// The network that `addr` is in. Host bits are cleared; compare
    /// [`Network::addr`] with `addr` to learn whether there were any.
    ///
    /// # Errors
    /// [`AddrError::Prefix`] when `prefix` is above 32 or 128 by family.
    pub const fn new(addr: Addr, prefix: u8) -> Result<Network, AddrError> {
        if prefix > addr.family().bits() {
            return Err(AddrError::Prefix);
        }
        Ok(Network {
            addr: addr.truncate(prefix),
            prefix,
        })
    }

    /// Reads `address/bits`; the flag says that host bits were cleared, which
    /// is worth a warning: `10.1.2.3/8` is more often a typing error than not.
    ///
    /// # Errors
    /// When either half is missing or wrong. A bare address is not a network.
    pub fn parse(text: &str) -> Result<(Network, bool), AddrError> {
        let (addr, prefix) = text.split_once('/').ok_or(AddrError::NoPrefix)?;
        let addr: Addr = addr.parse()?;
        // `u8::from_str` takes a plus sign; a prefix length has digits only.
        if !prefix.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(AddrError::Prefix);
        }
        let network = Network::new(addr, prefix.parse().map_err(|_| AddrError::Prefix)?)?;
        Ok((network, network.addr != addr))
    }

    /// The first address, with all host bits clear.
    pub const fn addr(&self) -> Addr {
        self.addr
    }

    /// How many leading bits count: 0 to 32, or 0 to 128.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `addr` is of the same family and inside.
    #[inline]
    pub fn contains(&self, addr: Addr) -> bool {
        self.addr.family == addr.family && addr.truncate(self.prefix).bytes == self.addr.bytes
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As [`Network::parse`], without the remark about host bits.
impl FromStr for Network {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Network, AddrError> {
        Network::parse(text).map(|(network, _)| network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addr(text: &str) -> Addr {
        text.parse().expect("the test states a good address")
    }

    fn network(text: &str) -> Network {
        text.parse().expect("the test states a good network")
    }

    #[test]
    fn layout_is_fixed_for_foreign_readers() {
        assert_eq!(size_of::<Addr>(), 17);
        assert_eq!(std::mem::offset_of!(Addr, bytes), 0);
        assert_eq!(std::mem::offset_of!(Addr, family), 16);
        assert_eq!(addr("192.0.2.1").bytes()[10..], [0xff, 0xff, 192, 0, 2, 1]);
        assert_eq!(addr("192.0.2.1").octets(), [192, 0, 2, 1]);
    }

    #[test]
    fn text_is_dotted_or_rfc_5952() {
        for (text, shown) in [
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.255"),
            ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
            ("0:0:0:0:0:0:0:0", "::"),
        ] {
            assert_eq!(addr(text).to_string(), shown);
        }
        for wrong in [
            "",
            "1.2.3",
            "256.1.1.1",
            "01.2.3.4",
            "1.2.3.4 ",
            ":::",
            "fe80::1%eth0",
        ] {
            assert_eq!(wrong.parse::<Addr>(), Err(AddrError::Address), "{wrong:?}");
        }
    }

    #[test]
    fn families_are_ordered_and_never_equal() {
        assert!(addr("255.255.255.255") < addr("::"));
        assert!(addr("9.0.0.0") < addr("10.0.0.0"));
        assert!(addr("128.0.0.0") > addr("127.255.255.255"));
        assert_ne!(addr("192.0.2.1"), addr("::ffff:192.0.2.1"));
        assert_eq!(addr("255.255.255.255").to_v4_bits(), Some(u32::MAX));
        assert_eq!(addr("::1").to_v4_bits(), None);
    }

    #[test]
    fn masks_of_zero_and_full_length_work() {
        assert!(network("0.0.0.0/0").contains(addr("255.1.2.3")));
        assert!(network("::/0").contains(addr("ff02::1")));
        assert!(network("10.1.2.3/32").contains(addr("10.1.2.3")));
        assert!(!network("10.1.2.3/32").contains(addr("10.1.2.2")));
        assert!(network("::1/128").contains(addr("::1")));
        assert!(!network("::1/128").contains(addr("::")));
    }

    #[test]
    fn networks_never_match_the_other_family() {
        assert!(!network("0.0.0.0/0").contains(addr("::")));
        assert!(!network("::/0").contains(addr("1.2.3.4")));
        assert!(!network("::ffff:0:0/96").contains(addr("1.2.3.4")));
        assert!(network("::ffff:0:0/96").contains(addr("::ffff:1.2.3.4")));
    }

    #[test]
    fn host_bits_are_cleared_and_reported() {
        let (network, cleared) = Network::parse("10.1.2.3/8").expect("good");
        assert_eq!(
            (network.to_string().as_str(), cleared),
            ("10.0.0.0/8", true)
        );
        let (network, cleared) = Network::parse("2001:db8::/32").expect("good");
        assert_eq!(
            (network.to_string().as_str(), cleared),
            ("2001:db8::/32", false)
        );
        let (network, cleared) = Network::parse("1.2.3.4/0").expect("good");
        assert_eq!((network.to_string().as_str(), cleared), ("0.0.0.0/0", true));
    }

    #[test]
    fn bad_networks_are_refused() {
        for (text, why) in [
            ("10.0.0.0", AddrError::NoPrefix),
            ("10.0.0.0/33", AddrError::Prefix),
            ("::/129", AddrError::Prefix),
            ("::/256", AddrError::Prefix),
            ("10.0.0.0/", AddrError::Prefix),
            ("10.0.0.0/+8", AddrError::Prefix),
            ("10.0.0.0/-1", AddrError::Prefix),
            ("10.0.0/8", AddrError::Address),
        ] {
            assert_eq!(text.parse::<Network>(), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn contains_agrees_with_counting_equal_bits(a: u128, b: u128, prefix in 0u8..=128) {
            let network = Network::new(Addr::v6(a.to_be_bytes()), prefix).expect("in range");
            let equal = (a ^ b).leading_zeros() >= u32::from(prefix);
            prop_assert_eq!(network.contains(Addr::v6(b.to_be_bytes())), equal);
        }

        #[test]
        fn contains_v4_agrees_with_counting_equal_bits(a: u32, b: u32, prefix in 0u8..=32) {
            let network = Network::new(Addr::v4(a.to_be_bytes()), prefix).expect("in range");
            let equal = (a ^ b).leading_zeros() >= u32::from(prefix);
            prop_assert_eq!(network.contains(Addr::v4(b.to_be_bytes())), equal);
        }

        #[test]
        fn text_round_trips(bits: u128, is_v4: bool) {
            let addr = if is_v4 {
                Addr::v4((bits as u32).to_be_bytes())
            } else {
                Addr::v6(bits.to_be_bytes())
            };
            prop_assert_eq!(addr.to_string().parse::<Addr>(), Ok(addr));
            prop_assert_eq!(Addr::from(IpAddr::from(addr)), addr);
        }
    }
}

//! From the first byte of a frame to its network header.
//!
//! The common case, IP directly in Ethernet, is inlined; everything between
//! (VLAN tags, PPPoE, MPLS, LLC/SNAP) and every other link type goes through
//! the loop below it, which follows a limited number of headers. Ethernet
//! pseudowires inside MPLS are not followed, and no 802.11.

use super::super::link::LinkType;
use super::ip::{IpHeader, ipv4, ipv6};
use super::{Fault, Layer, Malformed, be16, be32, chunk, fault, truncated};

/// The headers that a frame may stack before its network header.
const MAX_HEADERS: usize = 16;

/// EtherType values (IEEE 802 numbers); below 0x0600 it is an 802.3 length.
mod ethertype {
    pub const MIN: u16 = 0x0600;
    pub const IPV4: u16 = 0x0800;
    pub const IPV6: u16 = 0x86dd;
    pub const VLAN: u16 = 0x8100;
    pub const SERVICE_VLAN: u16 = 0x88a8;
    pub const OLD_QINQ: u16 = 0x9100;
    pub const MPLS: u16 = 0x8847;
    pub const MPLS_MULTICAST: u16 = 0x8848;
    pub const PPPOE_SESSION: u16 = 0x8864;
    pub const PPP: u16 = 0x880b;
}

/// What the link layer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    Ipv4,
    Ipv6,
    /// Something else, by its number in the numbering of the innermost link
    /// header: ethertype, PPP protocol or BSD address family; 0 if that header
    /// has no such number (LLC without SNAP, for example).
    Other(u16),
    /// The link type itself is not one that Wero reads.
    Unsupported,
}

/// The VLAN tags of a frame, outermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vlans {
    ids: [u16; Vlans::KEPT],
    count: u8,
}

impl Vlans {
    /// Tags beyond these are skipped and counted, but their ids not kept.
    pub const KEPT: usize = 4;

    fn push(&mut self, id: u16) {
        if let Some(slot) = self.ids.get_mut(usize::from(self.count)) {
            *slot = id;
        }
        self.count = self.count.saturating_add(1);
    }

    /// The ids kept, outermost first.
    pub fn ids(&self) -> &[u16] {
        self.ids.get(..usize::from(self.count)).unwrap_or(&self.ids)
    }

    /// How many tags the frame has, those without a kept id included.
    pub const fn count(&self) -> u8 {
        self.count
    }

    /// One number that differs wherever [`Vlans::ids`] or the count differ: to
    /// keep equal addresses of different networks apart.
    pub fn discriminator(&self) -> u64 {
        self.ids
            .iter()
            .fold(u64::from(self.count), |sum, id| sum << 12 | u64::from(*id))
    }
}

/// What is below the network header, and where that header starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Below {
    pub network: Network,
    /// Offset of the network header.
    pub at: usize,
    pub vlans: Vlans,
    /// Number of MPLS labels.
    pub mpls: u8,
    /// Behind a PPPoE session header.
    pub pppoe: bool,
}

impl Below {
    /// A network header with nothing of note below.
    #[inline]
    pub(super) fn direct(network: Network, at: usize) -> Below {
        Below {
            network,
            at,
            vlans: Vlans::default(),
            mpls: 0,
            pppoe: false,
        }
    }

    /// Reads the IP header, of the version that the link layer announced; a
    /// header of the other version is a fault then. `None` if this is not IP.
    /// For `original` and errors see [`super::ip()`].
    #[inline]
    pub fn ip_header(
        &self,
        bytes: &[u8],
        original: Option<usize>,
    ) -> Option<Result<IpHeader, Malformed>> {
        match self.network {
            Network::Ipv4 => Some(ipv4(bytes, self.at, original)),
            Network::Ipv6 => Some(ipv6(bytes, self.at, original)),
            Network::Other(_) | Network::Unsupported => None,
        }
    }

    fn with(self, network: Network) -> Below {
        Below { network, ..self }
    }
}

/// Walks the link layer of a frame down to its network header.
///
/// # Errors
/// When the frame ends inside a header or stacks more than Wero follows. A
/// link type or payload that Wero does not know is no error.
#[inline]
pub fn link(link: LinkType, bytes: &[u8]) -> Result<Below, Malformed> {
    if link == LinkType::ETHERNET {
        ethernet(bytes, 0)
    } else {
        other_link(link, bytes)
    }
}

#[inline(never)]
fn other_link(link: LinkType, bytes: &[u8]) -> Result<Below, Malformed> {
    match link {
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => Ok(raw(bytes)),
        LinkType::IPV4 => Ok(Below::direct(Network::Ipv4, 0)),
        LinkType::IPV6 => Ok(Below::direct(Network::Ipv6, 0)),
        LinkType::NULL | LinkType::LOOP => loopback(bytes),
        LinkType::LINUX_SLL => sll(bytes),
        LinkType::LINUX_SLL2 => sll2(bytes),
        LinkType::PPP => ppp(bytes, 0),
        LinkType::PPP_HDLC => hdlc(bytes, true),
        LinkType::C_HDLC => hdlc(bytes, false),
        LinkType::FDDI => fddi(bytes),
        LinkType::NFLOG => nflog(bytes),
        LinkType::IPOIB => ipoib(bytes),
        _ => Ok(Below::direct(Network::Unsupported, 0)),
    }
}

/// Ethernet from the destination address on.
#[inline]
pub(super) fn ethernet(bytes: &[u8], at: usize) -> Result<Below, Malformed> {
    let header = chunk::<14>(bytes, at).ok_or_else(|| truncated(Layer::Link, at))?;
    match u16::from_be_bytes([header[12], header[13]]) {
        ethertype::IPV4 => Ok(Below::direct(Network::Ipv4, at + 14)),
        ethertype::IPV6 => Ok(Below::direct(Network::Ipv6, at + 14)),
        other => by_ethertype(bytes, other, at + 14),
    }
}

/// What follows an ethertype whose payload starts at `at`.
#[inline(never)]
pub(super) fn by_ethertype(bytes: &[u8], kind: u16, at: usize) -> Result<Below, Malformed> {
    let mut below = Below::direct(Network::Other(kind), at);
    let mut kind = kind;
    for _ in 0..MAX_HEADERS {
        match kind {
            ethertype::IPV4 => return Ok(below.with(Network::Ipv4)),
            ethertype::IPV6 => return Ok(below.with(Network::Ipv6)),
            ethertype::VLAN | ethertype::SERVICE_VLAN | ethertype::OLD_QINQ => {
                let tag = be32(bytes, below.at).ok_or_else(|| truncated(Layer::Vlan, below.at))?;
                below.vlans.push((tag >> 16) as u16 & 0x0fff);
                below.at += 4;
                kind = tag as u16;
            }
            ethertype::MPLS | ethertype::MPLS_MULTICAST => return mpls(bytes, below),
            ethertype::PPPOE_SESSION => return pppoe(bytes, below),
            ethertype::PPP => return ppp_frame(bytes, below),
            length if length < ethertype::MIN => match llc(bytes, &mut below)? {
                Some(inner) => kind = inner,
                None => return Ok(below),
            },
            other => return Ok(below.with(Network::Other(other))),
        }
    }
    Err(fault(Layer::Link, below.at, Fault::TooDeep))
}

/// 802.2 LLC. Returns the ethertype of a SNAP header, or `None` once `below`
/// is complete.
fn llc(bytes: &[u8], below: &mut Below) -> Result<Option<u16>, Malformed> {
    const SNAP: u8 = 0xaa;
    const SAP_IP: u8 = 0x06;
    const UNNUMBERED: u8 = 0x03;
    let at = below.at;
    below.network = Network::Other(0);
    match chunk::<3>(bytes, at).ok_or_else(|| truncated(Layer::Link, at))? {
        [SNAP, SNAP, UNNUMBERED] => {
            let snap = chunk::<8>(bytes, at).ok_or_else(|| truncated(Layer::Link, at))?;
            let kind = u16::from_be_bytes([snap[6], snap[7]]);
            // Only these two organisation codes are followed by an ethertype:
            // RFC 1042 and the bridge tunnel of IEEE 802.1H.
            if !matches!(snap[3..6], [0, 0, 0] | [0, 0, 0xf8]) || kind < ethertype::MIN {
                return Ok(None);
            }
            below.at = at + 8;
            Ok(Some(kind))
        }
        [SAP_IP, SAP_IP, UNNUMBERED] => {
            below.at = at + 3;
            Ok(Some(ethertype::IPV4))
        }
        _ => Ok(None),
    }
}

/// A PPPoE session header (RFC 2516, 4), then PPP without address and control.
fn pppoe(bytes: &[u8], mut below: Below) -> Result<Below, Malformed> {
    let header = chunk::<6>(bytes, below.at).ok_or_else(|| truncated(Layer::Pppoe, below.at))?;
    if header[0] != 0x11 {
        return Err(fault(Layer::Pppoe, below.at, Fault::Version));
    }
    // Any other code belongs to the discovery stage and carries no PPP.
    if header[1] != 0 {
        return Ok(below.with(Network::Other(ethertype::PPPOE_SESSION)));
    }
    below.pppoe = true;
    below.at += 6;
    ppp_protocol(bytes, below)
}

/// PPP, with or without the address and control bytes (RFC 1662, 3.1).
pub(super) fn ppp(bytes: &[u8], at: usize) -> Result<Below, Malformed> {
    ppp_frame(bytes, Below::direct(Network::Other(0), at))
}

fn ppp_frame(bytes: &[u8], mut below: Below) -> Result<Below, Malformed> {
    if let Some([0xff, 0x03]) = chunk::<2>(bytes, below.at) {
        below.at += 2;
    }
    ppp_protocol(bytes, below)
}

/// The PPP protocol field, of one byte where it is compressed (RFC 1661, 6.5).
fn ppp_protocol(bytes: &[u8], mut below: Below) -> Result<Below, Malformed> {
    let short = || truncated(Layer::Link, below.at);
    let first = *bytes.get(below.at).ok_or_else(short)?;
    // The last byte of the field is odd, all before it are even.
    let protocol = if first & 1 == 1 {
        below.at += 1;
        u16::from(first)
    } else {
        let protocol = be16(bytes, below.at).ok_or_else(short)?;
        below.at += 2;
        protocol
    };
    match protocol {
        0x0021 => Ok(below.with(Network::Ipv4)),
        0x0057 => Ok(below.with(Network::Ipv6)),
        0x0281 | 0x0283 => mpls(bytes, below),
        other => Ok(below.with(Network::Other(other))),
    }
}

/// An MPLS label stack (RFC 3032). Nothing in it says what it carries, so the
/// first nibble behind the bottom is taken for an IP version; a zero nibble
/// begins a pseudowire control word (RFC 4385).
fn mpls(bytes: &[u8], mut below: Below) -> Result<Below, Malformed> {
    for _ in 0..MAX_HEADERS {
        let label = be32(bytes, below.at).ok_or_else(|| truncated(Layer::Mpls, below.at))?;
        below.at += 4;
        below.mpls += 1;
        if label & 0x100 != 0 {
            return Ok(match bytes.get(below.at).map(|byte| byte >> 4) {
                Some(4) => below.with(Network::Ipv4),
                Some(6) => below.with(Network::Ipv6),
                _ => below.with(Network::Other(ethertype::MPLS)),
            });
        }
    }
    Err(fault(Layer::Mpls, below.at, Fault::TooDeep))
}

/// Raw IP. What is neither version is left to the IPv4 decoder, so that it is
/// reported as a bad IP header and not taken for an unknown protocol.
fn raw(bytes: &[u8]) -> Below {
    match bytes.first().map(|byte| byte >> 4) {
        Some(6) => Below::direct(Network::Ipv6, 0),
        _ => Below::direct(Network::Ipv4, 0),
    }
}

/// The BSD loopback header: an address family, in the byte order of the host
/// that captured (NULL) or of the network (LOOP).
fn loopback(bytes: &[u8]) -> Result<Below, Malformed> {
    let family = be32(bytes, 0).ok_or_else(|| truncated(Layer::Link, 0))?;
    // All families fit in 16 bits, so the half that is set tells the order.
    let family = if family > 0xffff {
        family.swap_bytes()
    } else {
        family
    };
    let network = match family {
        2 => Network::Ipv4,
        // NetBSD and OpenBSD, FreeBSD, Darwin; Linux writes 10.
        24 | 28 | 30 | 10 => Network::Ipv6,
        other => Network::Other(u16::try_from(other).unwrap_or(0)),
    };
    Ok(Below::direct(network, 4))
}

/// The hardware types of Linux cooked headers whose protocol field is no
/// ethertype: netlink, and radiotap (802.11) monitor interfaces.
const ARPHRD_WITHOUT_ETHERTYPE: [u16; 2] = [824, 803];

/// Linux cooked capture, version 1.
fn sll(bytes: &[u8]) -> Result<Below, Malformed> {
    let header = chunk::<16>(bytes, 0).ok_or_else(|| truncated(Layer::Link, 0))?;
    let hardware = u16::from_be_bytes([header[2], header[3]]);
    cooked(
        bytes,
        hardware,
        u16::from_be_bytes([header[14], header[15]]),
        16,
    )
}

/// Linux cooked capture, version 2.
fn sll2(bytes: &[u8]) -> Result<Below, Malformed> {
    let header = chunk::<20>(bytes, 0).ok_or_else(|| truncated(Layer::Link, 0))?;
    let hardware = u16::from_be_bytes([header[8], header[9]]);
    cooked(
        bytes,
        hardware,
        u16::from_be_bytes([header[0], header[1]]),
        20,
    )
}

fn cooked(bytes: &[u8], hardware: u16, kind: u16, at: usize) -> Result<Below, Malformed> {
    const LLC: u16 = 4;
    if ARPHRD_WITHOUT_ETHERTYPE.contains(&hardware) || (kind < ethertype::MIN && kind != LLC) {
        return Ok(Below::direct(Network::Other(kind), at));
    }
    by_ethertype(bytes, kind, at)
}

/// HDLC framing: PPP (RFC 1662) where allowed and so marked, otherwise Cisco's,
/// whose protocol field is an ethertype.
fn hdlc(bytes: &[u8], may_be_ppp: bool) -> Result<Below, Malformed> {
    let is_cisco = matches!(bytes.first(), Some(0x0f | 0x8f));
    if may_be_ppp && !is_cisco {
        return ppp(bytes, 0);
    }
    let kind = be16(bytes, 2).ok_or_else(|| truncated(Layer::Link, 0))?;
    // A frame that is not Cisco's either (frame relay, say), or an LLC frame.
    if !is_cisco || kind < ethertype::MIN {
        return Ok(Below::direct(Network::Other(kind), 4));
    }
    by_ethertype(bytes, kind, 4)
}

/// FDDI: frame control, two addresses, LLC.
fn fddi(bytes: &[u8]) -> Result<Below, Malformed> {
    let header = chunk::<13>(bytes, 0).ok_or_else(|| truncated(Layer::Link, 0))?;
    // Frame control 01LL_0xxx: asynchronous or synchronous LLC; the others are
    // tokens and station management.
    if header[0] & 0x70 != 0x50 {
        return Ok(Below::direct(Network::Other(0), 13));
    }
    // A kind below the ethertypes sends it through LLC.
    by_ethertype(bytes, 0, 13)
}

/// IP over InfiniBand as captured: a global route header, ethertype, and two
/// bytes of nothing (RFC 4391, 6).
fn ipoib(bytes: &[u8]) -> Result<Below, Malformed> {
    const ROUTE: usize = 40;
    let header = chunk::<4>(bytes, ROUTE).ok_or_else(|| truncated(Layer::Link, ROUTE))?;
    by_ethertype(bytes, u16::from_be_bytes([header[0], header[1]]), ROUTE + 4)
}

/// Netfilter's log messages: attributes in the byte order of the machine that
/// captured, the packet being one of them.
fn nflog(bytes: &[u8]) -> Result<Below, Malformed> {
    const PACKET_HEADER: u16 = 1;
    const PAYLOAD: u16 = 9;
    let header = chunk::<4>(bytes, 0).ok_or_else(|| truncated(Layer::Link, 0))?;
    let mut network = match header[0] {
        2 => Network::Ipv4,
        10 => Network::Ipv6,
        other => Network::Other(u16::from(other)),
    };
    let mut at = 4;
    while let Some([l0, l1, k0, k1]) = chunk::<4>(bytes, at) {
        // Attribute numbers are below 64 (the top two bits are flags), so the
        // byte that is set tells the order.
        let read = if k0 & 0x3f == 0 {
            u16::from_be_bytes
        } else {
            u16::from_le_bytes
        };
        let (length, kind) = (usize::from(read([*l0, *l1])), read([*k0, *k1]) & 0x3fff);
        if length < 4 {
            return Err(fault(Layer::Link, at, Fault::Length));
        }
        match kind {
            // The bridge family leaves the protocol to the packet header.
            PACKET_HEADER if matches!(network, Network::Other(7)) => {
                network = match be16(bytes, at + 4) {
                    Some(ethertype::IPV4) => Network::Ipv4,
                    Some(ethertype::IPV6) => Network::Ipv6,
                    Some(other) => Network::Other(other),
                    None => network,
                };
            }
            PAYLOAD => return Ok(Below::direct(network, at + 4)),
            _ => {}
        }
        at += length.next_multiple_of(4);
    }
    // A message without a packet: nothing to inspect, nothing wrong.
    Ok(Below::direct(Network::Other(0), at.min(bytes.len())))
}

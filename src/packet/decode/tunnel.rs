//! Packets inside packets.
//!
//! Tunnels that have an IP protocol number are taken at their word. Those on a
//! UDP port also need a plausible header and a plausible packet inside, so that
//! ordinary traffic on the same port is not misread. A tunnel whose header is
//! wrong is no tunnel: the packet around it stays what it is. Left out: source
//! routed GRE, encrypted tunnels, L2TP, Ethernet in GTP-U.

use super::ip::IpHeader;
use super::link::{Below, Network, by_ethertype, ethernet, ppp};
use super::transport::UdpHeader;
use super::{be16, be32, chunk, protocol};

/// How a packet is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelKind {
    /// IPv4 in IPv4 (RFC 2003).
    Ipip,
    /// IPv6 in IPv4 (RFC 4213): 6in4, 6to4, ISATAP.
    SixInFour,
    /// IPv4 in IPv6 (RFC 2473).
    FourInSix,
    /// IPv6 in IPv6 (RFC 2473).
    SixInSix,
    /// GRE (RFC 2784, RFC 2890), with IP, Ethernet, MPLS or anything else; also
    /// over UDP (RFC 8086).
    Gre,
    /// The GRE of PPTP (RFC 2637), with PPP.
    Pptp,
    /// Mirrored Ethernet frames, types I to III.
    Erspan,
    /// RFC 7348, and its group policy and generic protocol extensions.
    Vxlan,
    /// RFC 8926.
    Geneve,
    /// GTPv1 user plane (3GPP TS 29.281).
    Gtpu,
    /// RFC 4380.
    Teredo,
    /// Anything in anything (draft-massar-v6ops-ayiya-02): IP here.
    Ayiya,
}

impl TunnelKind {
    /// The name in events and logs.
    pub const fn name(self) -> &'static str {
        match self {
            TunnelKind::Ipip => "ipip",
            TunnelKind::SixInFour => "6in4",
            TunnelKind::FourInSix => "4in6",
            TunnelKind::SixInSix => "6in6",
            TunnelKind::Gre => "gre",
            TunnelKind::Pptp => "pptp",
            TunnelKind::Erspan => "erspan",
            TunnelKind::Vxlan => "vxlan",
            TunnelKind::Geneve => "geneve",
            TunnelKind::Gtpu => "gtpu",
            TunnelKind::Teredo => "teredo",
            TunnelKind::Ayiya => "ayiya",
        }
    }
}

/// A packet inside another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    pub kind: TunnelKind,
    /// The inner link layer, down to the inner network header.
    pub below: Below,
    /// What tells tunnels between the same ends apart: VNI, GRE key, PPTP call,
    /// ERSPAN session, GTP TEID. Zero where there is none.
    pub id: u32,
    /// Where the tunnel's payload ends by the outer headers: the `original` to
    /// read the inner packet with, from a slice cut there.
    pub end: usize,
}

/// Looks for a packet inside the IP payload. `udp` is its UDP header, if that
/// is what the payload begins with.
///
/// Fragments have none: their tunnel header stands once, in the reassembled
/// datagram.
#[inline]
pub fn tunnel(bytes: &[u8], ip: &IpHeader, udp: Option<&UdpHeader>) -> Option<Inner> {
    match ip.protocol {
        // Nearly all packets end here.
        protocol::TCP => None,
        protocol::UDP => by_udp_port(bytes, ip, udp?),
        protocol::IPV4 | protocol::IPV6 | protocol::GRE => by_protocol(bytes, ip),
        _ => None,
    }
}

#[inline(never)]
fn by_protocol(bytes: &[u8], ip: &IpHeader) -> Option<Inner> {
    if ip.is_fragment() {
        return None;
    }
    let bytes = bytes.get(..ip.end.min(bytes.len()))?;
    let (kind, network) = match (ip.protocol, ip.version) {
        (protocol::IPV4, 4) => (TunnelKind::Ipip, Network::Ipv4),
        (protocol::IPV4, _) => (TunnelKind::FourInSix, Network::Ipv4),
        (protocol::IPV6, 4) => (TunnelKind::SixInFour, Network::Ipv6),
        (protocol::IPV6, _) => (TunnelKind::SixInSix, Network::Ipv6),
        _ => return gre(bytes, ip.payload_at(), ip.end),
    };
    let below = Below::direct(network, ip.payload_at());
    Some(Inner {
        kind,
        below,
        id: 0,
        end: ip.end,
    })
}

#[inline]
fn by_udp_port(bytes: &[u8], ip: &IpHeader, udp: &UdpHeader) -> Option<Inner> {
    let read: Reader = match (udp.dst_port, udp.src_port) {
        // 8472 is what Linux used before there was a number.
        (4789 | 8472, _) => vxlan,
        (4790, _) => vxlan_gpe,
        (4754, _) => gre_in_udp,
        (6081, _) => geneve,
        (2152, _) | (_, 2152) => gtpu,
        (3544, _) | (_, 3544) => teredo,
        (5072, _) | (_, 5072) => ayiya,
        _ => return None,
    };
    in_udp(bytes, ip, udp, read)
}

/// Looks for a tunnel of one kind in UDP, whatever the ports: for networks
/// that run one elsewhere. `None` also for kinds that do not run over UDP.
pub fn udp_tunnel(bytes: &[u8], ip: &IpHeader, udp: &UdpHeader, kind: TunnelKind) -> Option<Inner> {
    let read = match kind {
        TunnelKind::Vxlan => vxlan,
        TunnelKind::Gre => gre_in_udp,
        TunnelKind::Geneve => geneve,
        TunnelKind::Gtpu => gtpu,
        TunnelKind::Teredo => teredo,
        _ => return None,
    };
    in_udp(bytes, ip, udp, read)
}

/// Finds a packet in bytes that begin at an offset and end at another.
type Reader = fn(&[u8], usize, usize) -> Option<Inner>;

#[inline]
fn in_udp(bytes: &[u8], ip: &IpHeader, udp: &UdpHeader, read: Reader) -> Option<Inner> {
    if ip.is_fragment() {
        return None;
    }
    let bytes = bytes.get(..udp.end.min(bytes.len()))?;
    read(bytes, udp.payload_at(), udp.end)
}

/// Whether what follows looks like an IP packet that fits before `end`.
fn is_plausible_ip(bytes: &[u8], at: usize, end: usize) -> bool {
    let Some(room) = end.checked_sub(at) else {
        return false;
    };
    let (Some(&first), Some(len)) = (bytes.get(at), be16(bytes, at + 2)) else {
        return false;
    };
    match first >> 4 {
        4 => first & 0x0f >= 5 && len >= 20 && usize::from(len) <= room,
        6 => be16(bytes, at + 4).is_some_and(|len| 40 + usize::from(len) <= room),
        _ => false,
    }
}

/// Whether IP, if it is announced, looks like IP.
fn is_plausible(bytes: &[u8], below: &Below, end: usize) -> bool {
    let version = match below.network {
        Network::Ipv4 => 4,
        Network::Ipv6 => 6,
        Network::Other(_) => return true,
        Network::Unsupported => return false,
    };
    bytes.get(below.at).is_some_and(|byte| byte >> 4 == version)
        && is_plausible_ip(bytes, below.at, end)
}

/// GRE (RFC 2784, RFC 2890), ERSPAN in it, and the GRE of PPTP (RFC 2637).
fn gre(bytes: &[u8], at: usize, end: usize) -> Option<Inner> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const ACK: u16 = 0x0080;
    const VERSION: u16 = 0x0007;
    const PPP: u16 = 0x880b;
    const ERSPAN: u16 = 0x88be;
    const ERSPAN_III: u16 = 0x22eb;

    let &[f0, f1, k0, k1] = chunk::<4>(bytes, at)?;
    let (flags, kind) = (u16::from_be_bytes([f0, f1]), u16::from_be_bytes([k0, k1]));
    // RFC 2784 (2.2) has receivers discard source routed packets.
    if flags & ROUTING != 0 {
        return None;
    }
    let mut next = at + 4;
    let mut skip_if = |flag: u16| {
        let field = next;
        next += if flags & flag != 0 { 4 } else { 0 };
        field
    };
    skip_if(CHECKSUM);
    let key_at = skip_if(KEY);
    let key = if flags & KEY != 0 {
        be32(bytes, key_at)?
    } else {
        0
    };
    skip_if(SEQUENCE);

    if flags & VERSION == 1 {
        skip_if(ACK);
        // Without a sequence number it is a bare acknowledgement.
        if kind != PPP || flags & (KEY | SEQUENCE) != KEY | SEQUENCE {
            return None;
        }
        let below = ppp(bytes, next).ok()?;
        return Some(Inner {
            kind: TunnelKind::Pptp,
            below,
            id: key & 0xffff,
            end,
        });
    }
    if flags & VERSION != 0 {
        return None;
    }
    match kind {
        // Type I has no header of its own, and GRE without sequence numbers.
        ERSPAN if flags & SEQUENCE == 0 => {
            let below = ethernet(bytes, next).ok()?;
            Some(Inner {
                kind: TunnelKind::Erspan,
                below,
                id: 0,
                end,
            })
        }
        ERSPAN | ERSPAN_III => erspan(bytes, next, end),
        _ => {
            let below = inside(bytes, kind, next)?;
            Some(Inner {
                kind: TunnelKind::Gre,
                below,
                id: key,
                end,
            })
        }
    }
}

/// GRE in UDP (RFC 8086).
fn gre_in_udp(bytes: &[u8], at: usize, end: usize) -> Option<Inner> {
    // Nothing but the presence of checksum, key and sequence number is set in
    // the first two bytes, version 0 included.
    const RESERVED: u16 = 0x4fff;
    if be16(bytes, at)? & RESERVED != 0 {
        return None;
    }
    let is_ip = |below: &Below| matches!(below.network, Network::Ipv4 | Network::Ipv6);
    gre(bytes, at, end)
        .filter(|inner| is_ip(&inner.below) && is_plausible(bytes, &inner.below, end))
}

/// A payload announced by ethertype, a whole Ethernet frame being one of them.
fn inside(bytes: &[u8], kind: u16, at: usize) -> Option<Below> {
    const TRANSPARENT_ETHERNET: u16 = 0x6558;
    const MIN_ETHERTYPE: u16 = 0x0600;
    match kind {
        TRANSPARENT_ETHERNET => ethernet(bytes, at).ok(),
        // Keep-alives and the like: there is no 802.3 length field here.
        ..MIN_ETHERTYPE => Some(Below::direct(Network::Other(kind), at)),
        _ => by_ethertype(bytes, kind, at).ok(),
    }
    .filter(|below| below.at <= bytes.len())
}

/// ERSPAN types II and III (draft-foschiano-erspan-03, 4).
fn erspan(bytes: &[u8], at: usize, end: usize) -> Option<Inner> {
    let header = chunk::<8>(bytes, at)?;
    let below = match header[0] >> 4 {
        1 => ethernet(bytes, at + 8).ok()?,
        2 => {
            let details = be32(bytes, at + 8)?;
            // The last bit announces eight bytes more.
            let next = at + if details & 1 != 0 { 20 } else { 12 };
            match details >> 10 & 0x1f {
                0 => ethernet(bytes, next).ok()?,
                2 => Below::direct(plain_ip(bytes, next, end)?, next),
                _ => return None,
            }
        }
        _ => return None,
    };
    let session = u16::from_be_bytes([header[2], header[3]]) & 0x03ff;
    Some(Inner {
        kind: TunnelKind::Erspan,
        below,
        id: u32::from(session),
        end,
    })
}

/// VXLAN (RFC 7348, 5).
fn vxlan(bytes: &[u8], at: usize, end: usize) -> Option<Inner> {
    const HAS_VNI: u8 = 0x08;
    const GROUP_POLICY: u8 = 0x80;
    let &[flags, _, _, _, v0, v1, v2, reserved] = chunk::<8>(bytes, at)?;
    let rest = be32(bytes, at)? & 0x00ff_ffff;
    // Only the group policy extension uses the bits between flags and VNI.
    if flags & !GROUP_POLICY != HAS_VNI || reserved != 0 || (rest != 0 && flags == HAS_VNI) {
        return None;
    }
    let below = ethernet(bytes, at + 8)
        .ok()
        .filter(|below| is_plausible(bytes, below, end))?;
    let id = u32::from_be_bytes([0, v0, v1, v2]);
    Some(Inner {
        kind: TunnelKind::Vxlan,
        below,
        id,
        end,
    })
}

/// VXLAN's generic protocol extension (draft-ietf-nvo3-vxlan-gpe, 3).
fn vxlan_gpe(bytes: &[u8], at: usize, end: usize) -> Option<Inner> {
    // The VNI is there, and a next protocol; version 0.
    const VNI_AND_PROTOCOL: u8 = 0x0c;
    let &[VNI_AND_PROTOCOL, 0, 0, next, v0, v1, v2, 0] = chunk::<8>(bytes, at)? else {
        return None;
    };
    let below = match next {
        1 => Below::direct(Network::Ipv4, at + 8),
        2 => Below::direct(Network::Ipv6, at + 8),
        3 => ethernet(bytes, at + 8).ok()?,
        _ => return None,
    };
    let id = u32::from_be_bytes([0, v0, v1, v2]);
    let kind = TunnelKind::Vxlan;
    is_plausible(bytes, &below, end).then_some(Inner {
        kind,
        below,
        id,
        end,
    })
}

/// Geneve (RFC 8926, 3.4), its options passed over.
fn geneve(bytes: &[u8], at: usize, end: usize) -> Option<Inner> {
    let &[first, flags, k0, k1, v0, v1, v2, _] = chunk::<8>(bytes, at)?;
    // Version 0; the lower six flag bits are reserved.
    if first >> 6 != 0 || flags & 0x3f != 0 {
        return None;
    }
    let kind = u16::from_be_bytes([k0, k1]);
    let below = inside(bytes, kind, at + 8 + usize::from(first & 0x3f) * 4)
        .filter(|below| is_plausible(bytes, below, end))?;
    let id = u32::from_be_bytes([0, v0, v1, v2]);
    Some(Inner {
        kind: TunnelKind::Geneve,
        below,
        id,
        end,
    })
}

/// GTPv1-U (3GPP TS 29.281, 5): user data only, not its echoes and errors.
fn gtpu(bytes: &[u8], at: usize, end: usize) -> Option<Inner> {
    const G_PDU: u8 = 0xff;
    const MAX_EXTENSIONS: usize = 8;
    let &[flags, G_PDU, l0, l1, t0, t1, t2, t3] = chunk::<8>(bytes, at)? else {
        return None;
    };
    // Version 1, protocol type GTP; the fourth bit is spare and sent as zero.
    if flags & 0xf8 != 0x30 {
        return None;
    }
    let end = Some(at + 8 + usize::from(u16::from_be_bytes([l0, l1]))).filter(|own| *own <= end)?;
    let mut next = at + 8;
    // Any of the three optional fields brings room for all of them.
    if flags & 0x07 != 0 {
        next += 4;
        let mut extension = *bytes.get(next - 1)?;
        let mut followed = 0;
        while flags & 0x04 != 0 && extension != 0 {
            let length = usize::from(*bytes.get(next)?) * 4;
            followed += 1;
            if length == 0 || followed > MAX_EXTENSIONS {
                return None;
            }
            next += length;
            extension = *bytes.get(next - 1)?;
        }
    }
    let network = plain_ip(bytes, next, end)?;
    let id = u32::from_be_bytes([t0, t1, t2, t3]);
    Some(Inner {
        kind: TunnelKind::Gtpu,
        below: Below::direct(network, next),
        id,
        end,
    })
}

/// IP without anything that announces it.
fn plain_ip(bytes: &[u8], at: usize, end: usize) -> Option<Network> {
    if !is_plausible_ip(bytes, at, end) {
        return None;
    }
    Some(if bytes.get(at)? >> 4 == 4 {
        Network::Ipv4
    } else {
        Network::Ipv6
    })
}

/// Teredo (RFC 4380, 5.1.1): IPv6 behind optional authentication and origin
/// indications.
fn teredo(bytes: &[u8], at: usize, end: usize) -> Option<Inner> {
    let mut next = at;
    if let Some(&[0, 1, id_len, auth_len]) = chunk(bytes, next) {
        // Client id, authentication value, nonce (8) and confirmation (1).
        next += 4 + usize::from(id_len) + usize::from(auth_len) + 9;
    }
    if let Some([0, 0]) = chunk(bytes, next) {
        next += 8;
    }
    let network = plain_ip(bytes, next, end).filter(|network| *network == Network::Ipv6)?;
    // One end is a Teredo client, or solicits with a link-local address.
    let (src, dst) = super::ip::addresses(bytes, next)?;
    let is_teredo =
        |octets: &[u8; 16]| matches!(octets, [0x20, 0x01, 0, 0, ..] | [0xfe, 0x80..=0xbf, ..]);
    if !is_teredo(src.bytes()) && !is_teredo(dst.bytes()) {
        return None;
    }
    Some(Inner {
        kind: TunnelKind::Teredo,
        below: Below::direct(network, next),
        id: 0,
        end,
    })
}

/// AYIYA (draft-massar-v6ops-ayiya-02, 3): a header of lengths and methods, a
/// time, who sends it, a signature, then the packet.
fn ayiya(bytes: &[u8], at: usize, end: usize) -> Option<Inner> {
    const FORWARD: u8 = 1;
    const MAX_IDENTITY: u8 = 6;
    let &[identity, signature, operation, next] = chunk::<4>(bytes, at)?;
    let identity = identity >> 4;
    if operation & 0x0f != FORWARD || identity > MAX_IDENTITY {
        return None;
    }
    let network = match next {
        protocol::IPV4 => Network::Ipv4,
        protocol::IPV6 => Network::Ipv6,
        _ => return None,
    };
    let at = at + 8 + (1 << identity) + usize::from(signature >> 4) * 4;
    let below = Below::direct(network, at);
    is_plausible(bytes, &below, end).then_some(Inner {
        kind: TunnelKind::Ayiya,
        below,
        id: 0,
        end,
    })
}

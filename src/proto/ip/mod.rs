//! Where the headers of a packet are, noted in its record.
//!
//! Both families share this: what the record holds of an IPv6 packet means
//! the same as for IPv4. Not here: what a rule may read and write of a
//! header (`fields`), reassembly (`engine::fragments`).

pub mod checksums;
pub mod fields;
pub mod related;

use crate::addr::Addr;
use crate::core::Core;
use crate::packet::decode::{self, IpHeader, TcpHeader, protocol};
use crate::packet::record::{PacketRecord, flag};
use crate::packet::{Fault, Layer, Malformed};

/// Reads the IP header of a packet again, from its record's offset.
///
/// # Errors
/// When the header cannot be read.
pub fn header(core: &Core, slot: u32) -> Result<IpHeader, Malformed> {
    let packet = core.packet(slot);
    let original = (packet.flags & flag::SNAPPED != 0).then_some(packet.wire_len as usize);
    let bytes = core.bytes(slot);
    match packet.ip_version {
        6 => decode::ipv6(bytes, packet.ip_at as usize, original),
        _ => decode::ipv4(bytes, packet.ip_at as usize, original),
    }
}

/// Reads the IP header and notes what lies where.
///
/// # Errors
/// When the header cannot be read.
pub fn locate(core: &mut Core, slot: u32) -> Result<(), Malformed> {
    let header = header(core, slot)?;
    let packet = core.packet_mut(slot);
    packet.protocol = header.protocol;
    packet.transport_at = header.payload_at() as u32;
    packet.payload_at = packet.transport_at;
    packet.end = (header.end as u32)
        .min(packet.len)
        .max(packet.transport_at.min(packet.len));
    if header.captured_short {
        packet.flags |= flag::SNAPPED;
    }
    packet.flags &= !flag::FRAGMENT;
    if header.is_fragment() {
        packet.flags |= flag::FRAGMENT;
    }
    Ok(())
}

/// As [`locate`], after a rule wrote into the header: a length that a rule
/// broke on purpose does not hide the packet.
///
/// # Errors
/// When the header cannot be read at all.
pub fn relocate(core: &mut Core, slot: u32) -> Result<(), Malformed> {
    let (before, flags) = (*core.packet(slot), core.packet(slot).flags);
    match locate(core, slot) {
        Ok(()) => Ok(()),
        Err(Malformed {
            fault: Fault::Length | Fault::HeaderLength | Fault::Version,
            ..
        }) => {
            let packet = core.packet_mut(slot);
            *packet = before;
            packet.flags = flags & !flag::FRAGMENT;
            Ok(())
        }
        Err(other) => Err(other),
    }
}

/// Reads the TCP header and notes where its payload begins.
///
/// # Errors
/// When the header cannot be read.
pub fn locate_tcp(core: &mut Core, slot: u32) -> Result<(), Malformed> {
    let packet = *core.packet(slot);
    let tcp = decode::tcp(
        core.bytes(slot),
        packet.transport_at as usize,
        packet.end as usize,
    )?;
    core.packet_mut(slot).payload_at = (tcp.payload_at as u32).min(packet.end);
    Ok(())
}

/// Reads the UDP header and notes where its payload begins.
///
/// # Errors
/// When the header cannot be read.
pub fn locate_udp(core: &mut Core, slot: u32) -> Result<(), Malformed> {
    let packet = *core.packet(slot);
    let udp = decode::udp(
        core.bytes(slot),
        packet.transport_at as usize,
        packet.end as usize,
    )?;
    core.packet_mut(slot).payload_at = (udp.payload_at() as u32).min(packet.end);
    Ok(())
}

/// Checks that an ICMP header is there; what follows its four bytes counts
/// as payload.
///
/// # Errors
/// When the header cannot be read.
pub fn locate_icmp(core: &mut Core, slot: u32) -> Result<(), Malformed> {
    let packet = *core.packet(slot);
    let (bytes, at, end) = (
        core.bytes(slot),
        packet.transport_at as usize,
        packet.end as usize,
    );
    if packet.protocol == protocol::ICMPV6 {
        decode::icmpv6(bytes, at, end)?;
    } else {
        decode::icmp(bytes, at, end)?;
    }
    core.packet_mut(slot).payload_at = (packet.transport_at + 4).min(packet.end);
    Ok(())
}

/// As `locate_tcp` and its like, after a rule wrote into the header.
pub fn relocate_transport(core: &mut Core, slot: u32) {
    // A header length that a rule broke leaves the payload where it was.
    let _ = match core.packet(slot).protocol {
        protocol::TCP => locate_tcp(core, slot),
        protocol::UDP => locate_udp(core, slot),
        _ => locate_icmp(core, slot),
    };
}

/// The TCP header of a packet whose headers were located.
pub fn tcp(core: &Core, slot: u32) -> Option<TcpHeader> {
    let packet = core.packet(slot);
    decode::tcp(
        core.bytes(slot),
        packet.transport_at as usize,
        packet.end as usize,
    )
    .ok()
}

/// Source and destination address of a packet whose IP header was located.
#[inline]
pub fn addresses(packet: &PacketRecord, bytes: &[u8]) -> Option<(Addr, Addr)> {
    let ip = bytes.get(packet.ip_at as usize..)?;
    if packet.ip_version == 6 {
        let pair = ip.get(8..40)?.first_chunk::<32>()?;
        let (src, dst) = pair.split_at(16);
        Some((
            Addr::v6(src.try_into().ok()?),
            Addr::v6(dst.try_into().ok()?),
        ))
    } else {
        let pair = ip.get(12..20)?.first_chunk::<8>()?;
        Some((
            Addr::v4([pair[0], pair[1], pair[2], pair[3]]),
            Addr::v4([pair[4], pair[5], pair[6], pair[7]]),
        ))
    }
}

/// Notes the headers of a packet that we made ourselves.
pub fn adopt(core: &mut Core, slot: u32) {
    let packet = core.packet(slot);
    let version = core
        .bytes(slot)
        .get(packet.ip_at as usize)
        .map_or(0, |byte| byte >> 4);
    core.packet_mut(slot).ip_version = version;
    if locate(core, slot).is_ok() {
        relocate_transport(core, slot);
    }
}

/// Puts an empty IP header in front of the network payload of a forged
/// packet, or makes one of what is there.
pub fn create_network(core: &mut Core, slot: u32, version: u8) {
    let packet = *core.packet(slot);
    let (size, first) = if version == 6 { (40, 0x60) } else { (20, 0x45) };
    let frame = core.bytes(slot);
    let (head, tail) = frame.split_at((packet.ip_at as usize).min(frame.len()));
    let mut bytes = head.to_vec();
    bytes.resize(bytes.len() + size, 0);
    if let Some(byte) = bytes.get_mut(head.len()) {
        *byte = first;
    }
    bytes.extend_from_slice(tail);
    // The link header says which version follows.
    if packet.link == crate::packet::LinkType::ETHERNET.0
        && version == 6
        && let Some(ethertype) = bytes.get_mut(12..14)
    {
        ethertype.copy_from_slice(&[0x86, 0xdd]);
    }
    core.refill(slot, &bytes);
    let packet = core.packet_mut(slot);
    packet.ip_version = version;
    packet.transport_at = packet.ip_at + size as u32;
    packet.payload_at = packet.transport_at;
    packet.end = packet.len;
    packet.dirty |= crate::packet::record::dirty::NETWORK;
    write_length(core, slot);
}

/// Puts an empty transport header of `size` bytes in front of the payload.
pub fn create_transport(core: &mut Core, slot: u32, protocol: u8, size: usize) {
    let packet = *core.packet(slot);
    let frame = core.bytes(slot);
    let (head, tail) = frame.split_at((packet.transport_at as usize).min(frame.len()));
    let mut bytes = head.to_vec();
    bytes.resize(bytes.len() + size, 0);
    bytes.extend_from_slice(tail);
    core.refill(slot, &bytes);
    let header = match protocol {
        protocol::TCP => 20,
        protocol::UDP => 8,
        _ => 4,
    };
    let at = packet.transport_at as usize;
    if let Some(offset) = core
        .bytes_mut(slot)
        .get_mut(at + 12)
        .filter(|_| protocol == protocol::TCP)
    {
        *offset = 0x50;
    }
    let protocol_at = packet.ip_at as usize + if packet.ip_version == 6 { 6 } else { 9 };
    if let Some(field) = core.bytes_mut(slot).get_mut(protocol_at) {
        *field = protocol;
    }
    let packet = core.packet_mut(slot);
    packet.protocol = protocol;
    packet.payload_at = packet.transport_at + header.min(size) as u32;
    packet.end = packet.len;
    packet.dirty |= crate::packet::record::dirty::NETWORK | crate::packet::record::dirty::TRANSPORT;
    write_length(core, slot);
}

/// Writes the length field of the IP header from where the packet ends.
pub fn write_length(core: &mut Core, slot: u32) {
    let packet = *core.packet(slot);
    let at = packet.ip_at as usize;
    let total = packet.end.saturating_sub(packet.ip_at);
    if packet.ip_version == 6 {
        // Jumbograms (RFC 2675) keep their zero.
        if total <= 40 + 0xffff {
            checksums::put_u16(core, slot, at + 4, total.saturating_sub(40) as u16);
        }
        return;
    }
    let old = core.bytes(slot).get(at + 2..at + 4).map(<[u8]>::to_vec);
    let new = (total.min(0xffff) as u16).to_be_bytes();
    if old.as_deref() != Some(&new) {
        checksums::put_u16(core, slot, at + 2, u16::from_be_bytes(new));
        core.packet_mut(slot).dirty |= crate::packet::record::dirty::NETWORK;
    }
}

/// Changes the length field of the IP header by what the packet grew.
pub fn adjust_length(core: &mut Core, slot: u32, delta: i64) {
    let packet = *core.packet(slot);
    if packet.ip_version == 0 || delta == 0 {
        return;
    }
    let at = packet.ip_at as usize + if packet.ip_version == 6 { 4 } else { 2 };
    let Some(old) = core
        .bytes(slot)
        .get(at..)
        .and_then(|bytes| bytes.first_chunk::<2>().copied())
    else {
        return;
    };
    let new = (i64::from(u16::from_be_bytes(old)) + delta).clamp(0, 0xffff) as u16;
    checksums::put_u16(core, slot, at, new);
    core.packet_mut(slot).dirty |= crate::packet::record::dirty::NETWORK;
}

/// Fixes lengths and checksums of the headers around a packet in a tunnel,
/// outermost first, after what is inside changed.
pub fn fix_outer_headers(core: &mut Core, slot: u32) {
    let inner = *core.packet(slot);
    let Ok(below) = decode::link(crate::packet::LinkType(inner.link), core.bytes(slot)) else {
        return;
    };
    let mut at = below.at;
    let mut version = if below.network == decode::Network::Ipv6 {
        6
    } else {
        4
    };
    for _ in 0..inner.depth {
        let packet = core.packet_mut(slot);
        packet.ip_at = at as u32;
        packet.ip_version = version;
        let Some(byte) = core.bytes(slot).get(at).copied() else {
            break;
        };
        let header_len = if version == 6 {
            40
        } else {
            usize::from(byte & 15) * 4
        };
        let protocol_at = at + if version == 6 { 6 } else { 9 };
        let Some(protocol) = core.bytes(slot).get(protocol_at).copied() else {
            break;
        };
        write_length(core, slot);
        checksums::write_header(core, slot);
        let transport = at + header_len;
        if protocol == protocol::UDP {
            let packet = core.packet_mut(slot);
            packet.protocol = protocol;
            packet.transport_at = transport as u32;
            let length = packet.end.saturating_sub(transport as u32) as u16;
            let summed = core
                .bytes(slot)
                .get(transport + 6..transport + 8)
                .is_some_and(|sum| sum != [0, 0]);
            checksums::put_u16(core, slot, transport + 4, length);
            if summed {
                checksums::write_transport(core, slot);
            }
        }
        let Ok(outer) = header(core, slot) else { break };
        let bytes = core.bytes(slot);
        let udp = decode::udp(bytes, outer.payload_at(), outer.end.min(bytes.len())).ok();
        let udp = udp.as_ref().filter(|_| outer.protocol == protocol::UDP);
        let Some(next) = decode::tunnel(bytes, &outer, udp) else {
            break;
        };
        at = next.below.at;
        version = if next.below.network == decode::Network::Ipv6 {
            6
        } else {
            4
        };
    }
    let packet = core.packet_mut(slot);
    (packet.ip_at, packet.ip_version) = (inner.ip_at, inner.ip_version);
    (packet.transport_at, packet.protocol) = (inner.transport_at, inner.protocol);
}

/// Goes into the tunnel that the packet's payload is, if it is one: from
/// here on the record describes the packet inside.
pub fn enter_tunnel(core: &mut Core, slot: u32) -> bool {
    let Ok(outer) = header(core, slot) else {
        return false;
    };
    let bytes = core.bytes(slot);
    let udp = (outer.protocol == protocol::UDP)
        .then(|| decode::udp(bytes, outer.payload_at(), outer.end.min(bytes.len())).ok())
        .flatten();
    let Some(inner) = decode::tunnel(bytes, &outer, udp.as_ref()) else {
        return false;
    };
    let version = match inner.below.network {
        decode::Network::Ipv4 => 4,
        decode::Network::Ipv6 => 6,
        _ => return false,
    };
    let kind = inner.kind;
    // Only a VXLAN's number names a network; the others differ by direction.
    let id = if kind == decode::TunnelKind::Vxlan {
        inner.id
    } else {
        0
    };
    let folded = (kind as u32 + 1).rotate_left(24) ^ id ^ core.packet(slot).tunnel.rotate_left(7);
    let packet = core.packet_mut(slot);
    packet.depth += 1;
    packet.tunnel = folded.max(1);
    packet.ip_at = inner.below.at as u32;
    packet.ip_version = version;
    core.tunnels.enter(slot, kind);
    true
}

/// The alert that profile `haka` raises for a header it cannot read.
pub fn alert_malformed(core: &mut Core, slot: u32, malformed: Malformed) {
    let packet = *core.packet(slot);
    let ends = || {
        let (src, dst) = addresses(&packet, core.bytes(slot))?;
        Some([(src, None), (dst, None)])
    };
    let (text, endpoints) = match (malformed.layer, malformed.fault) {
        (Layer::Ipv4 | Layer::Ipv6, Fault::Truncated) => {
            ("corrupted ip packet, size is too small", None)
        }
        (Layer::Ipv4 | Layer::Ipv6, Fault::Length) => {
            ("invalid ip packet, invalid size is too small", ends())
        }
        (Layer::Ipv4 | Layer::Ipv6, _) => ("corrupted ip packet", None),
        (Layer::Tcp, Fault::Truncated) => ("corrupted tcp packet, size is too small", ends()),
        (Layer::Tcp, _) => ("corrupted tcp packet, header length is too small", ends()),
        (Layer::Udp, _) => ("corrupted udp packet, size is too small", ends()),
        (Layer::Icmp | Layer::Icmpv6, _) => ("corrupted icmp packet, size is too small", ends()),
        _ => return,
    };
    core.alert(text, true, endpoints);
}

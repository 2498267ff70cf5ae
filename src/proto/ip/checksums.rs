//! Checksums of a packet's headers: verified and computed in place.

use super::addresses;
use crate::core::Core;
use crate::packet::checksum;
use crate::packet::decode::protocol;
use crate::packet::record::{PacketRecord, flag};

/// Where the checksum of a transport header stands in it.
fn field_offset(packet: &PacketRecord) -> Option<usize> {
    match packet.protocol {
        protocol::TCP => Some(16),
        protocol::UDP => Some(6),
        protocol::ICMP | protocol::ICMPV6 => Some(2),
        _ => None,
    }
}

fn has_pseudo_header(packet: &PacketRecord) -> bool {
    packet.protocol != protocol::ICMP
}

/// The sum over the transport segment as it stands, pseudo header included:
/// zero when the checksum in it is right.
fn transport_sum(packet: &PacketRecord, bytes: &[u8]) -> Option<u16> {
    let segment = bytes.get(packet.transport_at as usize..packet.end as usize)?;
    if !has_pseudo_header(packet) {
        return Some(checksum::checksum(segment));
    }
    let (src, dst) = addresses(packet, bytes)?;
    Some(checksum::transport(&src, &dst, packet.protocol, segment))
}

/// Whether the transport checksum is right. A UDP checksum of zero over
/// IPv4 means that there is none (RFC 768); a segment that the capture cut
/// cannot be judged and counts as right, as does one that its capture vouches
/// for.
pub fn transport_is_right(core: &Core, slot: u32) -> bool {
    let packet = core.packet(slot);
    let bytes = core.bytes(slot);
    if packet.flags & (flag::SNAPPED | flag::TRUSTED) != 0 {
        return true;
    }
    if packet.protocol == protocol::UDP && packet.ip_version == 4 {
        let field = packet.transport_at as usize + 6;
        if bytes.get(field..field + 2) == Some(&[0, 0]) {
            return true;
        }
    }
    transport_sum(packet, bytes) == Some(0)
}

/// Whether the checksum is that of the pseudo header alone, which is what a
/// sender writes that leaves the rest to its network card.
pub fn is_left_to_card(core: &Core, slot: u32) -> bool {
    let packet = core.packet(slot);
    let bytes = core.bytes(slot);
    let segment = bytes.get(packet.transport_at as usize..packet.end as usize);
    let (Some(segment), Some((src, dst)), Some(offset)) =
        (segment, addresses(packet, bytes), field_offset(packet))
    else {
        return false;
    };
    let Some(&[high, low]) = segment.get(offset..offset + 2) else {
        return false;
    };
    let length = segment.len() as u32;
    let sum = checksum::pseudo_header(&src, &dst, packet.protocol, length).finish();
    u16::from_be_bytes([high, low]) == !sum
}

/// Writes the transport checksum. Packets cut by the capture keep theirs.
pub fn write_transport(core: &mut Core, slot: u32) {
    let packet = *core.packet(slot);
    let Some(offset) = field_offset(&packet) else {
        return;
    };
    if packet.flags & flag::SNAPPED != 0 {
        return;
    }
    let field = packet.transport_at as usize + offset;
    if field + 2 > packet.end as usize {
        return;
    }
    put_u16(core, slot, field, 0);
    let Some(mut sum) = transport_sum(&packet, core.bytes(slot)) else {
        return;
    };
    if packet.protocol == protocol::UDP {
        sum = checksum::udp_field(sum);
    }
    put_u16(core, slot, field, sum);
}

/// Whether the IPv4 header checksum is right; IPv6 has none.
pub fn header_is_right(core: &Core, slot: u32) -> bool {
    let packet = core.packet(slot);
    packet.ip_version == 6
        || ipv4_header(packet, core.bytes(slot))
            .is_some_and(|header| checksum::checksum(header) == 0)
}

/// Writes the IPv4 header checksum.
pub fn write_header(core: &mut Core, slot: u32) {
    let packet = *core.packet(slot);
    if packet.ip_version != 4 {
        return;
    }
    let field = packet.ip_at as usize + 10;
    put_u16(core, slot, field, 0);
    if let Some(sum) = ipv4_header(&packet, core.bytes(slot)).map(checksum::checksum) {
        put_u16(core, slot, field, sum);
    }
}

fn ipv4_header<'a>(packet: &PacketRecord, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let at = packet.ip_at as usize;
    let length = usize::from(bytes.get(at)? & 15) * 4;
    bytes.get(at..at + length)
}

/// Writes two bytes of a frame, if they are there.
pub fn put_u16(core: &mut Core, slot: u32, at: usize, value: u16) {
    if let Some(field) = core.bytes_mut(slot).get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// Writes four bytes of a frame, if they are there.
pub fn put_u32(core: &mut Core, slot: u32, at: usize, value: u32) {
    if let Some(field) = core.bytes_mut(slot).get_mut(at..at + 4) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

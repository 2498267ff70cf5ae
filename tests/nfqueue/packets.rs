//! UDP packets, written and changed; addresses and checksums as they must be.

use std::net::IpAddr;

use wero::addr::Addr;
use wero::packet::checksum;

/// A whole UDP packet from one address and port to another.
pub fn udp(from: (IpAddr, u16), to: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() + 8) as u16;
    let mut packet = match (from.0, to.0) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 17, 0, 0];
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, 17, 64];
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        _ => panic!("two addresses of one family"),
    };
    for field in [from.1, to.1, length, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(payload);
    finish(&mut packet);
    packet
}

/// The payload of a UDP packet.
pub fn payload(packet: &[u8]) -> &[u8] {
    &packet[header(packet) + 8..]
}

/// The packet with another payload.
pub fn with_payload(packet: &[u8], payload: &[u8]) -> Vec<u8> {
    let start = header(packet);
    let mut changed = packet[..start + 8].to_vec();
    changed.extend(payload);
    finish(&mut changed);
    changed
}

/// A TCP packet over IPv4 with every byte of its payload inverted.
pub fn inverted(packet: &[u8]) -> Vec<u8> {
    let mut changed = packet.to_vec();
    let (head, segment) = changed.split_at_mut(header(packet));
    let data = usize::from(segment[12] >> 4) * 4;
    for byte in &mut segment[data..] {
        *byte = !*byte;
    }
    segment[16..18].fill(0);
    let (source, destination) = (address(&head[12..16]), address(&head[16..20]));
    let sum = checksum::transport(&source, &destination, 6, segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    changed
}

/// Sets lengths and checksums.
fn finish(packet: &mut [u8]) {
    let start = header(packet);
    let length = (packet.len() - start) as u16;
    packet[start + 4..start + 6].copy_from_slice(&length.to_be_bytes());
    packet[start + 6..start + 8].fill(0);
    let (source, destination) = if start == 20 {
        let total = packet.len() as u16;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[10..12].fill(0);
        let sum = checksum::checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        (address(&packet[12..16]), address(&packet[16..20]))
    } else {
        packet[4..6].copy_from_slice(&length.to_be_bytes());
        (address(&packet[8..24]), address(&packet[24..40]))
    };
    let sum = checksum::transport(&source, &destination, 17, &packet[start..]);
    packet[start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
}

fn header(packet: &[u8]) -> usize {
    if packet[0] >> 4 == 4 { 20 } else { 40 }
}

fn address(octets: &[u8]) -> Addr {
    match octets.try_into() {
        Ok(octets) => Addr::v4(octets),
        Err(_) => Addr::v6(octets.try_into().expect("one of the two lengths")),
    }
}

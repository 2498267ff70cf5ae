//! One packet in a line, and the difference of two: fields of the headers by
//! their names in rules, the payload as bytes.

use std::fmt::Write as _;

use super::capture::Frame;
use crate::packet::decode::{self, Network, protocol};
use crate::proto::PROTOCOLS;
use crate::proto::field::{Field, Header, Shape};

/// Rows of bytes that are shown of each side.
const MAX_ROWS: usize = 6;
const ROW: usize = 16;

/// Where the headers of a frame are.
#[derive(Default)]
struct Headers {
    network: Option<(&'static str, usize)>,
    transport: Option<(&'static str, usize)>,
    payload: usize,
    ends: Option<(String, String)>,
    note: String,
}

impl Headers {
    fn of(frame: &Frame) -> Headers {
        let mut headers = Headers::default();
        let bytes = &frame.bytes;
        let length = usize::try_from(frame.wire_len).ok();
        let Ok(below) = decode::link(frame.link, bytes) else {
            return headers;
        };
        headers.payload = below.at;
        let network = match below.network {
            Network::Ipv4 => "ipv4",
            Network::Ipv6 => "ipv6",
            _ => return headers,
        };
        headers.network = Some((network, below.at));
        let Ok(ip) = decode::ip(bytes, below.at, length) else {
            return headers;
        };
        let (src, dst) = (ip.src.to_string(), ip.dst.to_string());
        headers.ends = Some((src, dst));
        headers.note = format!("protocol {}", ip.protocol);
        let at = ip.at + ip.header_len;
        headers.payload = at;
        if ip.fragment.is_some() {
            headers.note = "fragment".to_owned();
            return headers;
        }
        headers.transport(bytes, ip.protocol, at, ip.end);
        headers
    }

    fn transport(&mut self, bytes: &[u8], number: u8, at: usize, end: usize) {
        match number {
            protocol::TCP => {
                let Ok(tcp) = decode::tcp(bytes, at, end) else {
                    return;
                };
                self.transport = Some(("tcp", at));
                self.payload = tcp.payload_at;
                self.ports(tcp.src_port, tcp.dst_port);
                self.note = format!("TCP {}", flags(tcp.flags));
            }
            protocol::UDP => {
                let Ok(udp) = decode::udp(bytes, at, end) else {
                    return;
                };
                self.transport = Some(("udp", at));
                self.payload = at + 8;
                self.ports(udp.src_port, udp.dst_port);
                self.note = "UDP".to_owned();
            }
            protocol::ICMP | protocol::ICMPV6 => {
                let name = if number == protocol::ICMP {
                    "icmp"
                } else {
                    "icmpv6"
                };
                self.transport = Some((name, at));
                self.payload = (at + 4).min(bytes.len());
                self.note = name.to_owned();
            }
            _ => {}
        }
    }

    fn ports(&mut self, from: u16, to: u16) {
        let with_port = |address: &str, port: u16| match address.contains(':') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        };
        if let Some((src, dst)) = &mut self.ends {
            (*src, *dst) = (with_port(src, from), with_port(dst, to));
        }
    }

    /// The header of that name starts at the same place in both.
    fn shared(&self, other: &Headers) -> Vec<(&'static str, usize)> {
        let pairs = [
            (self.network, other.network),
            (self.transport, other.transport),
        ];
        let same = pairs.into_iter().filter(|(one, two)| one == two);
        same.filter_map(|(one, _)| one).collect()
    }
}

fn flags(bits: u8) -> String {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set = NAMES
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits & 1 << bit != 0);
    let names: Vec<&str> = set.map(|(_, name)| *name).collect();
    names.join("+")
}

/// Ends, protocol and length of a packet.
pub fn describe(frame: &Frame) -> String {
    let headers = Headers::of(frame);
    let length = format!("{} bytes", frame.bytes.len());
    match headers.ends {
        Some((src, dst)) => format!("{src} > {dst} {}, {length}", headers.note),
        None => format!("no IP packet, {length}"),
    }
}

/// Source and destination, with ports.
pub fn ends(frame: &Frame) -> Option<(String, String)> {
    Headers::of(frame).ends
}

/// What is other, line by line.
pub fn changes(old: &Frame, new: &Frame) -> String {
    let (before, after) = (Headers::of(old), Headers::of(new));
    let mut text = String::new();
    for (name, at) in before.shared(&after) {
        fields(&mut text, name, at, &old.bytes, &new.bytes);
    }
    let (from, to) = (before.payload, after.payload);
    let (was, is) = (
        old.bytes.get(from..).unwrap_or_default(),
        new.bytes.get(to..).unwrap_or_default(),
    );
    if was != is {
        hex(&mut text, "payload", (from, was), (to, is));
    } else if text.is_empty() && old.bytes != new.bytes {
        // In no field: options, extensions, link header.
        hex(&mut text, "frame", (0, &old.bytes), (0, &new.bytes));
    }
    text
}

fn fields(text: &mut String, name: &str, at: usize, old: &[u8], new: &[u8]) {
    let Some(protocol) = PROTOCOLS.iter().find(|protocol| protocol.name == name) else {
        return;
    };
    for field in protocol.fields {
        // Flags are told one by one.
        if field.name == "flags.all" || !belongs(field, name) {
            continue;
        }
        let (was, is) = (value(field, at, old), value(field, at, new));
        if was != is {
            let shown = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
            let (was, is) = (shown(was), shown(is));
            let _ = writeln!(
                text,
                "    {name}.{}: {was} expected, {is} found",
                field.name
            );
        }
    }
}

fn belongs(field: &Field, name: &str) -> bool {
    // `ttl` of IPv6 is another name of `hop_limit`.
    !(name == "ipv6" && field.name == "ttl")
        && matches!(field.header, Header::Network | Header::Transport)
}

/// The value as rules see it.
fn value(field: &Field, at: usize, bytes: &[u8]) -> Option<String> {
    let from = at.checked_add(field.offset as usize)?;
    let raw = bytes.get(from..from.checked_add(field.width as usize)?)?;
    if let Shape::Address { .. } = field.shape {
        return address(raw);
    }
    let number = raw
        .iter()
        .fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
    Some(match field.shape {
        Shape::Flag { mask } => (number & mask != 0).to_string(),
        Shape::Number { mask, shift, unit } => {
            (u64::from((number & mask) >> shift) * u64::from(unit)).to_string()
        }
        Shape::Address { .. } => return None,
    })
}

fn address(raw: &[u8]) -> Option<String> {
    use crate::addr::Addr;
    let v4 = <[u8; 4]>::try_from(raw).ok().map(Addr::v4);
    let v6 = || <[u8; 16]>::try_from(raw).ok().map(Addr::v6);
    v4.or_else(v6).map(|address| address.to_string())
}

/// The bytes that differ, between what both sides begin and end with. Rows
/// are numbered from the start of the frame.
fn hex(text: &mut String, what: &str, (from, old): (usize, &[u8]), (to, new): (usize, &[u8])) {
    let same = |(one, other): &(&u8, &u8)| one == other;
    let front = old.iter().zip(new).take_while(same).count();
    let (old_rest, new_rest) = (&old[front..], &new[front..]);
    let back = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(same)
        .count();
    let (was, is) = (
        &old_rest[..old_rest.len() - back],
        &new_rest[..new_rest.len() - back],
    );
    let _ = writeln!(
        text,
        "    {what}, from its byte {front}: {} bytes expected, {} found",
        was.len(),
        is.len()
    );
    rows(text, '-', from + front, was);
    rows(text, '+', to + front, is);
}

fn rows(text: &mut String, sign: char, from: usize, bytes: &[u8]) {
    for (number, row) in bytes.chunks(ROW).take(MAX_ROWS).enumerate() {
        let numbers: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let letters: String = row
            .iter()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            })
            .collect();
        let at = from + number * ROW;
        let numbers = numbers.join(" ");
        let _ = writeln!(text, "    {sign} {at:04x}  {numbers:<47}  {letters}");
    }
    let left = bytes.len().saturating_sub(MAX_ROWS * ROW);
    if left > 0 {
        let _ = writeln!(text, "    {sign} ... {left} bytes more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Addr;
    use crate::packet::{LinkType, build};
    use crate::time::Timestamp;

    fn segment(window_at: Option<u8>, payload: &[u8]) -> Frame {
        let mut bytes = Vec::new();
        let ends = (
            (Addr::v4([10, 0, 0, 1]), 4000),
            (Addr::v4([10, 0, 0, 2]), 80),
        );
        build::tcp(&mut bytes, ends.0, ends.1, 7, 0x18);
        if let Some(byte) = window_at {
            bytes[35] = byte;
        }
        bytes.extend_from_slice(payload);
        let length = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        Frame {
            time: Timestamp::new(1, 0),
            link: LinkType::RAW,
            wire_len: bytes.len() as u32,
            bytes,
        }
    }

    #[test]
    fn a_packet_is_told_by_its_ends() {
        assert_eq!(
            describe(&segment(None, b"abc")),
            "10.0.0.1:4000 > 10.0.0.2:80 TCP PSH+ACK, 43 bytes"
        );
    }

    #[test]
    fn fields_are_named_and_bytes_shown() {
        let text = changes(
            &segment(Some(1), b"same old"),
            &segment(Some(2), b"same new"),
        );
        assert!(text.contains("    tcp.window_size: "), "{text}");
        assert!(
            text.contains("payload, from its byte 5: 3 bytes expected, 3 found\n"),
            "{text}"
        );
        assert!(text.contains("    - 002d  6f 6c 64 "), "{text}");
        assert!(text.contains("    + 002d  6e 65 77 "), "{text}");
    }
}

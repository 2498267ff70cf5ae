//! Asks the kernel whether it tracks the connection of a packet.
//!
//! Packets of our own pass the kernel's connection tracking as if this
//! machine had made them. Where addresses are translated (NAT), the packets
//! that a gateway forwards do not always have the addresses under which their
//! connection is known; tracked under others, one of ours would be taken for
//! a new connection that clashes with it, and be dropped. So the sender asks
//! first, with one message of ctnetlink, and tells such a packet apart.
//! Not here: what happens to it then (`inject`, `gateway`).

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use crate::packet::decode::{self, protocol};

/// Numbers of ctnetlink (linux/netfilter/nfnetlink_conntrack.h).
const GET: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 1;
const TUPLE: u16 = 1 | NESTED;
const TUPLE_IP: u16 = 1 | NESTED;
const TUPLE_PROTOCOL: u16 = 2 | NESTED;
const V4: [u16; 2] = [1, 2];
const V6: [u16; 2] = [3, 4];
const PROTOCOL: u16 = 1;
const PORTS: [u16; 2] = [2, 3];
const NESTED: u16 = libc::NLA_F_NESTED as u16;
/// Longest answer that is read; what follows is not needed.
const ANSWER: usize = 1024;

/// A socket to the kernel's connection tracking.
#[derive(Debug)]
pub struct Tracking {
    socket: OwnedFd,
    message: Vec<u8>,
    sequence: u32,
}

impl Tracking {
    /// # Errors
    /// When the kernel has no such socket, or does not give it to us.
    pub fn open() -> io::Result<Tracking> {
        let socket = net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::NETFILTER),
        )?;
        let kernel = SocketAddrNetlink::new(0, 0);
        net::bind(&socket, &kernel)?;
        net::connect(&socket, &kernel)?;
        Ok(Tracking {
            socket,
            message: Vec::with_capacity(256),
            sequence: 0,
        })
    }

    /// Whether a connection is known by the addresses and ports of an IP
    /// packet, in either direction. `None` if that cannot be told.
    pub fn knows(&mut self, packet: &[u8]) -> Option<bool> {
        let tuple = Tuple::of(packet)?;
        self.sequence = self.sequence.wrapping_add(1);
        self.message.clear();
        question(&mut self.message, &tuple, self.sequence);
        net::send(&self.socket, &self.message, SendFlags::empty()).ok()?;
        let mut answer = [0; ANSWER];
        // The kernel answers while it takes the question; an answer to an
        // older one was left by a signal.
        loop {
            let (length, _) = net::recv(&self.socket, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
            let bytes = answer.get(..length.min(ANSWER))?;
            if let Some(known) = read_answer(bytes, self.sequence) {
                return known;
            }
        }
    }
}

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tuple {
    version: u8,
    protocol: u8,
    /// In the form of `addr::Addr`: IPv4 in the last four bytes.
    addresses: [[u8; 16]; 2],
    ports: [[u8; 2]; 2],
}

impl Tuple {
    fn of(packet: &[u8]) -> Option<Tuple> {
        let ip = decode::ip(packet, 0, None).ok()?;
        if !matches!(ip.protocol, protocol::TCP | protocol::UDP) || ip.is_fragment() {
            return None;
        }
        let &[a, b, c, d] = packet.get(ip.payload_at()..)?.first_chunk::<4>()?;
        Some(Tuple {
            version: ip.version,
            protocol: ip.protocol,
            addresses: [*ip.src.bytes(), *ip.dst.bytes()],
            ports: [[a, b], [c, d]],
        })
    }
}

/// Writes the message that asks for the connection of a tuple.
fn question(out: &mut Vec<u8>, tuple: &Tuple, sequence: u32) {
    let family = match tuple.version {
        4 => libc::AF_INET,
        _ => libc::AF_INET6,
    };
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&GET.to_ne_bytes());
    out.extend_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    out.extend_from_slice(&sequence.to_ne_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[family as u8, 0, 0, 0]);
    nest(out, TUPLE, |out| {
        nest(out, TUPLE_IP, |out| {
            for (side, address) in tuple.addresses.iter().enumerate() {
                match tuple.version {
                    4 => attribute(out, V4[side], address.get(12..).unwrap_or_default()),
                    _ => attribute(out, V6[side], address),
                }
            }
        });
        nest(out, TUPLE_PROTOCOL, |out| {
            attribute(out, PROTOCOL, &[tuple.protocol]);
            for (kind, port) in PORTS.into_iter().zip(&tuple.ports) {
                attribute(out, kind, port);
            }
        });
    });
    set_length(out, 0, 4);
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let start = begin(out, kind);
    out.extend_from_slice(value);
    set_length(out, start, 2);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn nest(out: &mut Vec<u8>, kind: u16, inside: impl FnOnce(&mut Vec<u8>)) {
    let start = begin(out, kind);
    inside(out);
    set_length(out, start, 2);
}

fn begin(out: &mut Vec<u8>, kind: u16) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&kind.to_ne_bytes());
    start
}

/// Writes how long everything from `start` on is, in `width` bytes there.
fn set_length(out: &mut [u8], start: usize, width: usize) {
    let length = (out.len() - start) as u32;
    let field = out.get_mut(start..start + width);
    match (field, width) {
        (Some(field), 2) => field.copy_from_slice(&(length as u16).to_ne_bytes()),
        (Some(field), _) => field.copy_from_slice(&length.to_ne_bytes()),
        (None, _) => {}
    }
}

/// What a datagram answers to the question with that number: a connection,
/// none, or that it cannot be asked. `None` if it answers another.
fn read_answer(datagram: &[u8], sequence: u32) -> Option<Option<bool>> {
    let header = datagram.first_chunk::<16>()?;
    let [_, _, _, _, kind_low, kind_high, _, _, a, b, c, d, ..] = *header;
    if u32::from_ne_bytes([a, b, c, d]) != sequence {
        return None;
    }
    if u16::from_ne_bytes([kind_low, kind_high]) != libc::NLMSG_ERROR as u16 {
        return Some(Some(true));
    }
    let error = datagram.get(16..)?.first_chunk::<4>()?;
    Some(match -i32::from_ne_bytes(*error) {
        libc::ENOENT => Some(false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(version: u8) -> Vec<u8> {
        let ports = [0x1f, 0x90, 0, 80];
        let mut bytes = match version {
            4 => {
                let mut header = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
                header.extend([10, 1, 0, 7, 10, 2, 0, 80]);
                header
            }
            _ => {
                let mut header = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
                header.extend([1; 16]);
                header.extend([2; 16]);
                header
            }
        };
        bytes.extend(ports);
        bytes.extend([0; 8]);
        bytes.extend([0x50, 0x10, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_question_names_addresses_and_ports() {
        for (version, addresses) in [(4, 8), (6, 32)] {
            let tuple = Tuple::of(&packet(version)).expect("TCP");
            let mut message = Vec::new();
            question(&mut message, &tuple, 7);
            let length = u32::from_ne_bytes(*message.first_chunk().expect("a header"));
            assert_eq!(length as usize, message.len());
            // Headers, two nests and two addresses, one nest and three values.
            assert_eq!(message.len(), 20 + 4 + 4 + (8 + addresses) + 4 + 3 * 8);
            assert!(message.windows(2).any(|pair| pair == [0x1f, 0x90]));
        }
    }

    #[test]
    fn what_has_no_ports_is_not_asked_for() {
        let mut icmp = packet(4);
        icmp[9] = 1;
        let mut fragment = packet(4);
        fragment[6] = 0x20;
        for bytes in [&icmp[..], &fragment, &[], &[0x45], &packet(6)[..41]] {
            assert_eq!(Tuple::of(bytes), None);
        }
    }

    #[test]
    fn answers_of_any_kind_are_read() {
        let answer = |kind: u16, sequence: u32, error: i32| {
            let mut bytes = 36u32.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 2]);
            bytes.extend(sequence.to_ne_bytes());
            bytes.extend([0; 4]);
            bytes.extend((-error).to_ne_bytes());
            bytes.extend([0; 16]);
            bytes
        };
        let error = libc::NLMSG_ERROR as u16;
        let found = GET & 0xff00;
        assert_eq!(read_answer(&answer(found, 3, 0), 3), Some(Some(true)));
        let none = answer(error, 3, libc::ENOENT);
        assert_eq!(read_answer(&none, 3), Some(Some(false)));
        assert_eq!(read_answer(&none, 4), None);
        let refused = answer(error, 3, libc::EPERM);
        assert_eq!(read_answer(&refused, 3), Some(None));
        for length in 0..16 {
            assert_eq!(read_answer(&none[..length], 3), None);
        }
        assert_eq!(read_answer(&none[..17], 3), None);
    }
}

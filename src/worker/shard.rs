//! Which worker a frame belongs to.
//!
//! Both directions of a flow go to one worker, by the symmetric hash of
//! addresses, ports and protocol; VLANs and tunnels do not count, which can
//! only bring more flows together. Where tunnels are inspected, the innermost
//! packet decides. What has no IP header goes to the first worker.
//!
//! A fragment has no ports but the first of its datagram. So a datagram's
//! fragments follow its first one, also those that came shortly before it
//! (within the same batch); fragments whose first one is not seen in that
//! time go by addresses, and a first one that comes later follows them.

use std::collections::HashMap;

use crate::addr::Addr;
use crate::flow::key::{FAMILY_V4, FAMILY_V6, FlowKey, symmetric_hash};
use crate::packet::LinkType;
use crate::packet::decode::{self, IpHeader, Network, protocol};

/// Datagrams in fragments that are remembered at once. Beyond, all are
/// forgotten, which costs the flows under way their worker at worst.
const MAX_DATAGRAMS: usize = 4096;

/// Tunnels inside tunnels that are followed, as the engine does.
const MAX_TUNNELS: usize = 8;

/// Chooses workers.
pub(super) struct Sharder {
    workers: u64,
    tunnels: bool,
    datagrams: HashMap<Datagram, Place>,
}

/// What the fragments of one datagram share (RFC 791, 3.2; RFC 8200, 4.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Datagram {
    src: Addr,
    dst: Addr,
    id: u32,
}

enum Place {
    Worker(usize),
    /// Frames of this batch that wait for their first fragment.
    Waiting(Vec<usize>),
}

/// What is known of a frame's worker.
enum Choice {
    Worker(usize),
    FirstFragment(Datagram, usize),
    Fragment(Datagram),
}

impl Sharder {
    pub fn new(workers: usize, tunnels: bool) -> Sharder {
        Sharder {
            workers: workers.max(1) as u64,
            tunnels,
            datagrams: HashMap::new(),
        }
    }

    /// Appends the worker of a frame to the owners of its batch.
    pub fn assign(&mut self, link: LinkType, bytes: &[u8], wire_len: u32, owners: &mut Vec<usize>) {
        let frame = owners.len();
        let worker = match self.choose(link, bytes, wire_len) {
            Choice::Worker(worker) => worker,
            Choice::FirstFragment(datagram, worker) => self.first_of(datagram, worker, owners),
            Choice::Fragment(datagram) => self.later_of(datagram, frame),
        };
        owners.push(worker);
    }

    /// The batch is full: fragments still waiting keep the worker that their
    /// addresses gave them.
    pub fn settle(&mut self) {
        if self.datagrams.len() > MAX_DATAGRAMS {
            self.datagrams.clear();
        }
        let workers = self.workers;
        for (datagram, place) in &mut self.datagrams {
            if let Place::Waiting(_) = place {
                *place = Place::Worker(by_addresses(datagram, workers));
            }
        }
    }

    fn first_of(&mut self, datagram: Datagram, worker: usize, owners: &mut [usize]) -> usize {
        match self.datagrams.insert(datagram, Place::Worker(worker)) {
            Some(Place::Waiting(frames)) => {
                for frame in frames {
                    if let Some(owner) = owners.get_mut(frame) {
                        *owner = worker;
                    }
                }
                worker
            }
            Some(Place::Worker(earlier)) => {
                self.datagrams.insert(datagram, Place::Worker(earlier));
                earlier
            }
            None => worker,
        }
    }

    fn later_of(&mut self, datagram: Datagram, frame: usize) -> usize {
        match self
            .datagrams
            .entry(datagram)
            .or_insert_with(|| Place::Waiting(Vec::new()))
        {
            Place::Worker(worker) => *worker,
            Place::Waiting(frames) => {
                frames.push(frame);
                by_addresses(&datagram, self.workers)
            }
        }
    }

    fn choose(&self, link: LinkType, bytes: &[u8], wire_len: u32) -> Choice {
        let Some((ip, key)) = self.innermost(link, bytes, wire_len) else {
            return Choice::Worker(0);
        };
        let worker = (symmetric_hash(&key) % self.workers) as usize;
        match ip.fragment.filter(|fragment| !fragment.is_atomic()) {
            None => Choice::Worker(worker),
            Some(fragment) => {
                let datagram = Datagram {
                    src: ip.src,
                    dst: ip.dst,
                    id: fragment.id,
                };
                match fragment.offset {
                    0 => Choice::FirstFragment(datagram, worker),
                    _ => Choice::Fragment(datagram),
                }
            }
        }
    }

    /// The IP header that counts, and the key of its packet.
    fn innermost(
        &self,
        link: LinkType,
        bytes: &[u8],
        wire_len: u32,
    ) -> Option<(IpHeader, FlowKey)> {
        let below = decode::link(link, bytes).ok()?;
        if !matches!(below.network, Network::Ipv4 | Network::Ipv6) {
            return None;
        }
        let mut slice = bytes;
        let mut ip = decode::ip(slice, below.at, Some(wire_len as usize)).ok()?;
        for _ in 0..MAX_TUNNELS {
            if !self.tunnels || ip.is_fragment() {
                break;
            }
            let udp = (ip.protocol == protocol::UDP)
                .then(|| decode::udp(slice, ip.payload_at(), ip.end).ok())
                .flatten();
            let Some(inner) = decode::tunnel(slice, &ip, udp.as_ref()) else {
                break;
            };
            if !matches!(inner.below.network, Network::Ipv4 | Network::Ipv6) {
                break;
            }
            slice = slice.get(..inner.end).unwrap_or(slice);
            let Ok(inside) = decode::ip(slice, inner.below.at, Some(inner.end)) else {
                break;
            };
            ip = inside;
        }
        Some((ip, key_of(&ip, slice)))
    }
}

fn key_of(ip: &IpHeader, bytes: &[u8]) -> FlowKey {
    let later = ip.fragment.is_some_and(|fragment| fragment.offset > 0);
    let ports = match ip.protocol {
        protocol::TCP | protocol::UDP if !later => bytes.get(ip.payload_at()..),
        _ => None,
    };
    let (src_port, dst_port) = match ports {
        Some(&[a, b, c, d, ..]) => (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
        _ => (0, 0),
    };
    FlowKey {
        src: *ip.src.bytes(),
        dst: *ip.dst.bytes(),
        src_port,
        dst_port,
        vlan: 0,
        tunnel: 0,
        protocol: ip.protocol,
        family: if ip.version == 4 {
            FAMILY_V4
        } else {
            FAMILY_V6
        },
    }
}

fn by_addresses(datagram: &Datagram, workers: u64) -> usize {
    let key = FlowKey {
        src: *datagram.src.bytes(),
        dst: *datagram.dst.bytes(),
        src_port: 0,
        dst_port: 0,
        vlan: 0,
        tunnel: 0,
        protocol: 0,
        family: FAMILY_V6,
    };
    (symmetric_hash(&key) % workers) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKERS: usize = 64;

    /// An IPv4 packet in raw IP; `place` is the field of flags and offset.
    fn packet(src: [u8; 4], dst: [u8; 4], id: u8, place: u16, data: &[u8]) -> Vec<u8> {
        let total = (20 + data.len()) as u8;
        let [high, low] = place.to_be_bytes();
        let mut bytes = vec![0x45, 0, 0, total, 0, id, high, low, 64, 17, 0, 0];
        bytes.extend(src);
        bytes.extend(dst);
        bytes.extend(data);
        bytes
    }

    fn ports(src: u16, dst: u16) -> Vec<u8> {
        let mut header = [src.to_be_bytes(), dst.to_be_bytes()].concat();
        header.extend([0, 16, 0, 0]);
        header.extend([0; 8]);
        header
    }

    fn owners(packets: &[Vec<u8>]) -> Vec<usize> {
        let mut sharder = Sharder::new(WORKERS, false);
        let mut owners = Vec::new();
        for packet in packets {
            sharder.assign(LinkType::RAW, packet, packet.len() as u32, &mut owners);
        }
        owners
    }

    const A: [u8; 4] = [10, 0, 0, 1];
    const B: [u8; 4] = [10, 0, 0, 2];
    const MORE: u16 = 0x2000;

    #[test]
    fn both_directions_meet_and_flows_spread() {
        let there = packet(A, B, 1, 0, &ports(1000, 53));
        let back = packet(B, A, 9, 0, &ports(53, 1000));
        let both = owners(&[there, back]);
        assert_eq!(both[0], both[1]);
        let many: Vec<_> = (0..200)
            .map(|port| packet(A, B, 1, 0, &ports(1000 + port, 53)))
            .collect();
        let mut used = owners(&many);
        used.sort_unstable();
        used.dedup();
        assert!(used.len() > WORKERS / 2, "{used:?}");
    }

    #[test]
    fn fragments_follow_the_first_one_in_any_order() {
        let whole = packet(B, A, 3, 0, &ports(53, 1000));
        let first = packet(A, B, 7, MORE, &ports(1000, 53));
        let second = packet(A, B, 7, MORE | 2, &[0; 16]);
        let last = packet(A, B, 7, 4, &[0; 3]);
        let mixed = owners(&[last, second.clone(), first, second, whole]);
        assert!(mixed.iter().all(|&owner| owner == mixed[4]), "{mixed:?}");
    }

    #[test]
    fn fragments_without_a_first_one_stay_together() {
        let mut sharder = Sharder::new(WORKERS, false);
        let fragment = packet(A, B, 7, 2, &[0; 16]);
        let mut batch = Vec::new();
        sharder.assign(LinkType::RAW, &fragment, 36, &mut batch);
        sharder.settle();
        let mut next = Vec::new();
        sharder.assign(LinkType::RAW, &fragment, 36, &mut next);
        sharder.assign(
            LinkType::RAW,
            &packet(A, B, 7, MORE, &ports(1000, 53)),
            36,
            &mut next,
        );
        assert_eq!((batch[0], batch[0]), (next[0], next[1]));
    }

    #[test]
    fn what_is_no_ip_goes_to_the_first_worker() {
        assert_eq!(owners(&[vec![], vec![0xff; 40], vec![0x45]]), [0, 0, 0]);
    }
}

//! Who talks to whom: the key of a flow, its comparison and its hashes.
//!
//! Both directions of a flow hash alike, because the two endpoints are put
//! in order first; so one look-up finds a flow whichever way the packet
//! goes. IPv4 keys take three words, IPv6 keys six: the families are kept in
//! tables of their own, and the smaller one is measurably faster.

use std::hash::Hasher;

use foldhash::{SharedSeed, fast};

use super::Direction;
use super::record::FlowRecord;

/// [`FlowKey::family`] of IPv4. Everything else is hashed as IPv6.
pub const FAMILY_V4: u8 = 4;
/// [`FlowKey::family`] of IPv6.
pub const FAMILY_V6: u8 = 6;

/// The key of one packet, as the packet has it: source first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Source address in network order; IPv4 sits in the last four bytes,
    /// and the first twelve are the same in all IPv4 keys.
    pub src: [u8; 16],
    /// Destination address, likewise.
    pub dst: [u8; 16],
    /// Source port in host order; 0 where the protocol has none.
    pub src_port: u16,
    /// Destination port in host order.
    pub dst_port: u16,
    /// The VLANs the packet came in, from [`fold_vlans`]; 0 for none.
    pub vlan: u32,
    /// The tunnel the packet came out of; 0 for none. The caller sees to it
    /// that two tunnels do not share a number.
    pub tunnel: u32,
    /// Number of the transport protocol, as in the IP header.
    pub protocol: u8,
    /// [`FAMILY_V4`] or [`FAMILY_V6`].
    pub family: u8,
}

impl FlowKey {
    /// The key of packets going the other way.
    #[must_use]
    pub fn reversed(&self) -> FlowKey {
        FlowKey {
            src: self.dst,
            dst: self.src,
            src_port: self.dst_port,
            dst_port: self.src_port,
            ..*self
        }
    }

    /// Which way a packet with this key travels on the flow of `record`;
    /// `None` if it is not of that flow. Where both ends are the same
    /// address and port, every packet counts as going to the server.
    #[inline]
    pub(super) fn direction_on(&self, record: &FlowRecord) -> Option<Direction> {
        let same = self.protocol == record.protocol
            && self.vlan == record.vlan
            && self.tunnel == record.tunnel
            && self.family == record.family;
        if !same {
            return None;
        }
        if self.family == FAMILY_V4 {
            let client = v4_endpoint(&record.client, record.client_port);
            let server = v4_endpoint(&record.server, record.server_port);
            let src = v4_endpoint(&self.src, self.src_port);
            let dst = v4_endpoint(&self.dst, self.dst_port);
            return direction_between((src, dst), (client, server));
        }
        direction_between(
            ((self.src, self.src_port), (self.dst, self.dst_port)),
            (
                (record.client, record.client_port),
                (record.server, record.server_port),
            ),
        )
    }
}

/// Folds up to two VLAN ids (the lower 12 bits of each tag) into one number.
/// Without a tag pass 0: VLAN 0 only carries a priority and is no VLAN of
/// its own (IEEE 802.1Q, 9.6).
#[must_use]
pub const fn fold_vlans(outer: u16, inner: u16) -> u32 {
    ((outer & 0xfff) as u32) << 16 | (inner & 0xfff) as u32
}

/// A hash that is the same for both directions, in every run and on every
/// worker: it decides which worker owns a flow. It is not keyed, so whoever
/// chooses addresses can choose the worker; tables need a [`FlowHasher`].
#[must_use]
pub fn symmetric_hash(key: &FlowKey) -> u64 {
    static SHARDING: SharedSeed = SharedSeed::from_u64(0x7765_726f);
    hash_canonical(key, fast::FoldHasher::with_seed(0, &SHARDING))
}

/// Hashes keys with a secret of this run, alike for both directions.
#[derive(Debug)]
pub struct FlowHasher {
    /// All of the hash's constants are derived from the secret. Seeding only
    /// the hasher and leaving foldhash's fixed constants in place would not
    /// do: a word equal to such a constant makes the product zero, whatever
    /// the seed, and keys that collide could be written down in advance.
    shared: SharedSeed,
    seed: u64,
}

impl FlowHasher {
    /// The same seed gives the same hashes, hence the same order of flows.
    #[must_use]
    pub fn new(seed: u64) -> FlowHasher {
        FlowHasher {
            shared: SharedSeed::from_u64(seed),
            seed,
        }
    }

    /// Hash of the key and of its reverse.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        hash_canonical(key, fast::FoldHasher::with_seed(self.seed, &self.shared))
    }
}

#[inline]
fn hash_canonical(key: &FlowKey, mut hasher: fast::FoldHasher<'_>) -> u64 {
    if key.family == FAMILY_V4 {
        // An endpoint takes 48 bits, which leaves room for the protocol.
        let src = v4_endpoint(&key.src, key.src_port);
        let dst = v4_endpoint(&key.dst, key.dst_port);
        hasher.write_u64(src.min(dst) | u64::from(key.protocol) << 48);
        hasher.write_u64(src.max(dst));
    } else {
        let src = (u128::from_be_bytes(key.src), key.src_port);
        let dst = (u128::from_be_bytes(key.dst), key.dst_port);
        let (low, high) = (src.min(dst), src.max(dst));
        hasher.write_u128(low.0);
        hasher.write_u128(high.0);
        hasher
            .write_u64(u64::from(low.1) << 32 | u64::from(high.1) << 16 | u64::from(key.protocol));
    }
    hasher.write_u64(u64::from(key.vlan) << 32 | u64::from(key.tunnel));
    hasher.finish()
}

/// Address and port of an IPv4 endpoint as one number of 48 bits.
#[inline]
fn v4_endpoint(address: &[u8; 16], port: u16) -> u64 {
    let [.., a, b, c, d] = *address;
    u64::from(u32::from_be_bytes([a, b, c, d])) << 16 | u64::from(port)
}

#[inline]
fn direction_between<E: PartialEq>(packet: (E, E), flow: (E, E)) -> Option<Direction> {
    if packet.0 == flow.0 && packet.1 == flow.1 {
        return Some(Direction::ToServer);
    }
    (packet.0 == flow.1 && packet.1 == flow.0).then_some(Direction::ToClient)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// A TCP key over IPv4 between 10.x.x.x and 192.0.2.1:80.
    pub fn v4_key(host: u32, port: u16) -> FlowKey {
        let mut src = [0; 16];
        src[10..12].fill(0xff);
        let mut dst = src;
        src[12..].copy_from_slice(&(10 << 24 | host).to_be_bytes());
        dst[12..].copy_from_slice(&[192, 0, 2, 1]);
        FlowKey {
            src,
            dst,
            src_port: port,
            dst_port: 80,
            vlan: 0,
            tunnel: 0,
            protocol: 6,
            family: FAMILY_V4,
        }
    }

    /// A UDP key over IPv6 in 2001:db8::/32.
    pub fn v6_key(host: u32, port: u16) -> FlowKey {
        let mut src = [0; 16];
        src[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        let mut dst = src;
        src[12..].copy_from_slice(&host.to_be_bytes());
        dst[15] = 0x53;
        FlowKey {
            src,
            dst,
            src_port: port,
            dst_port: 53,
            protocol: 17,
            family: FAMILY_V6,
            ..v4_key(0, 0)
        }
    }

    fn any_key() -> impl Strategy<Value = FlowKey> {
        (
            any::<[u8; 16]>(),
            any::<[u8; 16]>(),
            any::<(u16, u16, u32, u32, u8)>(),
            any::<bool>(),
        )
            .prop_map(
                |(src, dst, (src_port, dst_port, vlan, tunnel, protocol), v4)| FlowKey {
                    src,
                    dst,
                    src_port,
                    dst_port,
                    vlan,
                    tunnel,
                    protocol,
                    family: if v4 { FAMILY_V4 } else { FAMILY_V6 },
                },
            )
    }

    proptest! {
        #[test]
        fn both_directions_hash_alike(key in any_key(), seed in any::<u64>()) {
            let hasher = FlowHasher::new(seed);
            prop_assert_eq!(hasher.hash(&key), hasher.hash(&key.reversed()));
            prop_assert_eq!(hasher.hash(&key), FlowHasher::new(seed).hash(&key));
            prop_assert_eq!(symmetric_hash(&key), symmetric_hash(&key.reversed()));
        }
    }

    /// Variants of a key that each differ from it in one field.
    pub fn neighbours(key: FlowKey) -> Vec<FlowKey> {
        let mut src = key.src;
        src[15] ^= 1;
        let mut dst = key.dst;
        dst[12] ^= 0x80;
        vec![
            FlowKey { src, ..key },
            FlowKey { dst, ..key },
            FlowKey {
                src_port: key.src_port ^ 1,
                ..key
            },
            FlowKey {
                dst_port: key.dst_port ^ 1,
                ..key
            },
            FlowKey {
                src_port: key.dst_port,
                dst_port: key.src_port,
                ..key
            },
            FlowKey {
                vlan: fold_vlans(10, 0),
                ..key
            },
            FlowKey {
                vlan: fold_vlans(0, 10),
                ..key
            },
            FlowKey { tunnel: 1, ..key },
            FlowKey {
                protocol: key.protocol ^ 1,
                ..key
            },
        ]
    }

    #[test]
    fn each_field_changes_the_hash() {
        for key in [v4_key(1, 1000), v6_key(1, 1000)] {
            let hasher = FlowHasher::new(1);
            let mut keyed = HashSet::from([hasher.hash(&key)]);
            let mut sharding = HashSet::from([symmetric_hash(&key)]);
            for other in neighbours(key) {
                assert!(keyed.insert(hasher.hash(&other)), "{other:?}");
                assert!(sharding.insert(symmetric_hash(&other)), "{other:?}");
            }
        }
    }

    #[test]
    fn the_seed_changes_the_hash() {
        let hashes: HashSet<u64> = (0..100)
            .map(|seed| FlowHasher::new(seed).hash(&v4_key(1, 2)))
            .collect();
        assert_eq!(hashes.len(), 100);
    }

    #[test]
    fn neighbouring_hosts_spread_over_workers() {
        let mut workers = [0_u32; 8];
        for host in 0..8_000 {
            workers[(symmetric_hash(&v4_key(host, 40_000)) % 8) as usize] += 1;
        }
        assert!(
            workers.iter().all(|&flows| (850..1_150).contains(&flows)),
            "{workers:?}"
        );
    }

    #[test]
    fn vlan_priority_bits_are_not_part_of_the_key() {
        assert_eq!(fold_vlans(0xe00a, 0x1014), fold_vlans(0x000a, 0x0014));
        assert_ne!(fold_vlans(10, 20), fold_vlans(20, 10));
        assert_eq!(fold_vlans(0xe000, 0), 0);
    }
}

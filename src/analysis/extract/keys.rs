//! Keys of flows: five-tuples, pairs of addresses, IPv6 flow labels.

use super::{Extracted, FlowExtractor, Headers, L4, Orientation, PacketView, TcpInfo, Transport};
use crate::addr::Addr;
use crate::analysis::Endpoint;
use crate::packet::LinkType;

/// Flows by protocol, addresses and ports. Protocols without ports, and
/// fragments, have a flow for each pair of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiveTuple {
    both_ways: bool,
}

/// Both ends and the protocol of a flow. Ports are 0 where there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiveTupleKey {
    pub proto: L4,
    /// The lower end, or the sender if each direction is a flow of its own.
    pub a: Endpoint,
    pub b: Endpoint,
}

impl FiveTuple {
    /// Both directions are one flow.
    pub const fn bidirectional() -> FiveTuple {
        FiveTuple { both_ways: true }
    }

    /// Each direction is a flow of its own.
    pub const fn directional() -> FiveTuple {
        FiveTuple { both_ways: false }
    }
}

impl Default for FiveTuple {
    fn default() -> FiveTuple {
        FiveTuple::bidirectional()
    }
}

impl FlowExtractor for FiveTuple {
    type Key = FiveTupleKey;

    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, FiveTupleKey>> {
        let headers = view.headers()?;
        let (from, to) = ends(&headers);
        let (a, b, orientation) = match self.both_ways {
            true => sorted(from, to),
            false => (from, to, Orientation::Forward),
        };
        let proto = L4::of(headers.ip.protocol);
        let key = FiveTupleKey { proto, a, b };
        Some(found(key, orientation, &headers, view.frame, true))
    }
}

/// Flows by their pair of IP addresses, whatever they carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpPair;

/// Two addresses, the lower first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpPairKey {
    pub a: Addr,
    pub b: Addr,
}

impl FlowExtractor for IpPair {
    type Key = IpPairKey;

    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, IpPairKey>> {
        let headers = view.headers()?;
        let (a, b, orientation) = sorted(headers.ip.src, headers.ip.dst);
        let key = IpPairKey { a, b };
        Some(found(key, orientation, &headers, view.frame, false))
    }
}

/// Flows by their pair of Ethernet addresses, whatever they carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MacPair;

/// Two Ethernet addresses, the lower first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacPairKey {
    pub a: [u8; 6],
    pub b: [u8; 6],
}

impl FlowExtractor for MacPair {
    type Key = MacPairKey;

    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, MacPairKey>> {
        if view.link != LinkType::ETHERNET {
            return None;
        }
        let (header, payload) = view.frame.split_first_chunk::<14>()?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, _, _] = *header;
        let (a, b, orientation) = sorted([s0, s1, s2, s3, s4, s5], [d0, d1, d2, d3, d4, d5]);
        Some(Extracted {
            key: MacPairKey { a, b },
            orientation,
            l4: None,
            tcp: None,
            payload,
            payload_len: view.wire_len.saturating_sub(14),
        })
    }
}

/// Adds the IPv6 flow label to another key, 0 over IPv4. Each direction
/// chooses its label, so that the two may become flows of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowLabel<E>(pub E);

/// A key and the flow label under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowLabelKey<K> {
    pub inner: K,
    /// 20 bits.
    pub label: u32,
}

impl<E: FlowExtractor> FlowExtractor for FlowLabel<E> {
    type Key = FlowLabelKey<E::Key>;

    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, Self::Key>> {
        let found = self.0.extract(view)?;
        let label = view.headers().and_then(|headers| label(&headers, view));
        let label = label.unwrap_or(0);
        Some(found.map_key(|inner| FlowLabelKey { inner, label }))
    }
}

/// RFC 8200, 3.
fn label(headers: &Headers, view: &PacketView<'_>) -> Option<u32> {
    let word = view.frame.get(headers.ip.at..)?.first_chunk::<4>()?;
    (headers.ip.version == 6).then_some(u32::from_be_bytes(*word) & 0x000f_ffff)
}

/// Sender and receiver.
fn ends(headers: &Headers) -> (Endpoint, Endpoint) {
    let (from, to) = match &headers.transport {
        Transport::Tcp(tcp) => (tcp.src_port, tcp.dst_port),
        Transport::Udp(udp) => (udp.src_port, udp.dst_port),
        Transport::Other => (0, 0),
    };
    let end = |addr, port| Endpoint { addr, port };
    (end(headers.ip.src, from), end(headers.ip.dst, to))
}

fn sorted<T: Ord>(from: T, to: T) -> (T, T, Orientation) {
    match from <= to {
        true => (from, to, Orientation::Forward),
        false => (to, from, Orientation::Reverse),
    }
}

fn found<'a, K>(
    key: K,
    orientation: Orientation,
    headers: &Headers,
    frame: &'a [u8],
    one_connection: bool,
) -> Extracted<'a, K> {
    let (payload, payload_len) = match &headers.transport {
        Transport::Tcp(tcp) => (tcp.payload(frame), tcp.payload_len()),
        Transport::Udp(udp) => (udp.payload(frame), udp.payload_len()),
        Transport::Other => (headers.ip.payload(frame), headers.ip.payload_len()),
    };
    let tcp = match &headers.transport {
        Transport::Tcp(tcp) if one_connection => Some(TcpInfo {
            flags: tcp.flags,
            seq: tcp.seq,
            ack: tcp.ack,
        }),
        _ => None,
    };
    Extracted {
        key,
        orientation,
        l4: one_connection.then_some(L4::of(headers.ip.protocol)),
        tcp,
        payload,
        payload_len: payload_len as u32,
    }
}

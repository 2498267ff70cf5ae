//! What makes packets one flow: the key that an extractor reads out of each.
//!
//! A [`FlowExtractor`] is given a [`PacketView`], a frame with its time, and
//! answers with a key and the way the packet goes. [`FiveTuple`], [`IpPair`]
//! and [`MacPair`] are the usual ones; [`StripVlan`], [`StripMpls`],
//! [`Vxlan`], [`GtpU`] and [`Gre`] put one of them inside an encapsulation,
//! [`AutoDetectEncap`] inside whatever there is, and [`FlowLabel`] tells IPv6
//! flows of equal ends apart.
//!
//! Frames are decoded by `packet::decode`; nothing is copied or allocated.
//! Fragments are not put together here: those of a datagram are one flow
//! without ports, since only the first has them.

mod encapsulation;
mod keys;

use std::hash::Hash;

pub use encapsulation::{AutoDetectEncap, Gre, GtpU, StripMpls, StripVlan, Vxlan};
pub use keys::{
    FiveTuple, FiveTupleKey, FlowLabel, FlowLabelKey, IpPair, IpPairKey, MacPair, MacPairKey,
};

use crate::packet::LinkType;
use crate::packet::decode::{self, Below, IpHeader, TcpHeader, UdpHeader, protocol};
use crate::time::Timestamp;

/// A captured frame and its time, borrowed from wherever it came.
#[derive(Clone, Copy, Debug)]
pub struct PacketView<'a> {
    /// From the first byte of the link layer.
    pub frame: &'a [u8],
    pub timestamp: Timestamp,
    pub link: LinkType,
    /// Length of the frame on the wire, in bytes.
    pub wire_len: u32,
    passing: Passing,
}

/// Headers below IP that an extractor looks behind, because a combinator
/// around it said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Passing {
    vlan: bool,
    mpls: bool,
}

impl<'a> PacketView<'a> {
    /// A whole Ethernet frame.
    pub fn new(frame: &'a [u8], timestamp: Timestamp) -> PacketView<'a> {
        PacketView {
            frame,
            timestamp,
            link: LinkType::ETHERNET,
            wire_len: u32::try_from(frame.len()).unwrap_or(u32::MAX),
            passing: Passing::default(),
        }
    }

    /// The same for another link type.
    #[must_use]
    pub fn with_link(self, link: LinkType) -> PacketView<'a> {
        PacketView { link, ..self }
    }

    /// The same for a frame that was longer on the wire.
    #[must_use]
    pub fn with_wire_len(self, wire_len: u32) -> PacketView<'a> {
        PacketView { wire_len, ..self }
    }

    /// What was inside this packet, at the same time: for extractors that
    /// take a packet out of another.
    #[must_use]
    pub fn with_frame<'b>(self, frame: &'b [u8]) -> PacketView<'b> {
        PacketView {
            frame,
            wire_len: u32::try_from(frame.len()).unwrap_or(u32::MAX),
            timestamp: self.timestamp,
            link: self.link,
            passing: self.passing,
        }
    }

    /// Where its headers are. `None` for what is not IP, for what is cut
    /// inside a header, and for tags and labels that nobody asked to pass.
    pub fn headers(&self) -> Option<Headers> {
        let below = decode::link(self.link, self.frame).ok()?;
        let hidden =
            below.vlans.count() > 0 && !self.passing.vlan || below.mpls > 0 && !self.passing.mpls;
        if hidden {
            return None;
        }
        let original = (self.wire_len as usize).max(self.frame.len());
        let ip = below.ip_header(self.frame, Some(original))?.ok()?;
        let (at, end) = (ip.payload_at(), ip.end);
        let transport = match ip.protocol {
            _ if ip.is_fragment() => Transport::Other,
            protocol::TCP => {
                decode::tcp(self.frame, at, end).map_or(Transport::Other, Transport::Tcp)
            }
            protocol::UDP => {
                decode::udp(self.frame, at, end).map_or(Transport::Other, Transport::Udp)
            }
            _ => Transport::Other,
        };
        Some(Headers {
            below,
            ip,
            transport,
        })
    }
}

/// The headers of a packet; offsets count from the start of the view's frame.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    pub below: Below,
    pub ip: IpHeader,
    pub transport: Transport,
}

/// What IP carries.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    Tcp(TcpHeader),
    Udp(UdpHeader),
    /// Another protocol, a fragment, or a header that could not be read.
    Other,
}

/// The protocol that a flow belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum L4 {
    Tcp,
    Udp,
    Icmp,
    Icmpv6,
    Sctp,
    Other(u8),
}

impl L4 {
    /// By the number in the IP header.
    pub const fn of(number: u8) -> L4 {
        match number {
            protocol::TCP => L4::Tcp,
            protocol::UDP => L4::Udp,
            protocol::ICMP => L4::Icmp,
            protocol::ICMPV6 => L4::Icmpv6,
            132 => L4::Sctp,
            other => L4::Other(other),
        }
    }
}

/// Which way a packet goes, seen from its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Orientation {
    /// From the key's `a` to its `b`.
    Forward,
    Reverse,
}

/// What a TCP header says to whoever follows connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// The flag byte; see [`TcpHeader`].
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
}

impl TcpInfo {
    /// Whether all of `flags` are set.
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// What an extractor finds in a packet.
#[derive(Clone, Copy, Debug)]
pub struct Extracted<'a, K> {
    pub key: K,
    pub orientation: Orientation,
    /// `None` where the key is not about one protocol.
    pub l4: Option<L4>,
    /// Set where the flow is one TCP connection.
    pub tcp: Option<TcpInfo>,
    /// What the capture has of the transport payload.
    pub payload: &'a [u8],
    /// Its length on the wire.
    pub payload_len: u32,
}

impl<'a, K> Extracted<'a, K> {
    /// The same under another key: for extractors made of others.
    pub fn map_key<L>(self, map: impl FnOnce(K) -> L) -> Extracted<'a, L> {
        Extracted {
            key: map(self.key),
            orientation: self.orientation,
            l4: self.l4,
            tcp: self.tcp,
            payload: self.payload,
            payload_len: self.payload_len,
        }
    }
}

/// Tells which flow a packet belongs to.
///
/// ```
/// use wero::analysis::extract::{Extracted, FiveTuple, FlowExtractor, PacketView};
///
/// /// Flows by their server's port alone.
/// struct ByService;
///
/// impl FlowExtractor for ByService {
///     type Key = u16;
///
///     fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, u16>> {
///         let found = FiveTuple::bidirectional().extract(view)?;
///         Some(found.map_key(|key| key.a.port.min(key.b.port)))
///     }
/// }
/// ```
pub trait FlowExtractor {
    type Key: Clone + Eq + Hash;

    /// `None` for packets that belong to no flow.
    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, Self::Key>>;
}

impl<E: FlowExtractor + ?Sized> FlowExtractor for &E {
    type Key = E::Key;

    fn extract<'a>(&self, view: &PacketView<'a>) -> Option<Extracted<'a, E::Key>> {
        (**self).extract(view)
    }
}

//! Where the headers of a frame are.
//!
//! Plain functions over `&[u8]` that answer with offsets into it: nothing is
//! copied, allocated or changed, and no bytes make them panic. The caller
//! walks: [`link()`] finds the network header, [`Below::ip_header`] the upper
//! layer, [`tcp()`], [`udp()`], [`icmp()`] and [`icmpv6()`] the payload, and
//! [`tunnel()`] a whole packet inside, where it starts again. How deep to
//! follow tunnels is the caller's limit.
//!
//! All offsets count from the start of the slice given, so every function of
//! one walk gets the same slice; only inside a tunnel it is cut at
//! [`Inner::end`], since an inner packet must not read the outer's trailer.
//!
//! A frame cut by the snap length is told from a lying length field by the
//! original length that the capture states. `end` offsets then lie behind the
//! slice, and `payload()` returns what is there.
//!
//! Not here: checksums, reassembly, any judgement about the values found.

mod fuzz;
mod ip;
mod link;
#[cfg(test)]
mod tests;
mod transport;
mod tunnel;

pub use fuzz::fuzz_decode;
pub use ip::{Fragment, IpHeader, addresses, ip, ipv4, ipv6, upper_layer};
pub use link::{Below, Network, Vlans, link};
pub use transport::{
    IcmpHeader, SackBlocks, TcpHeader, TcpOption, TcpOptions, UdpHeader, icmp, icmpv6, tcp,
    tcp_options, udp,
};
pub use tunnel::{Inner, TunnelKind, tunnel, udp_tunnel};

use super::malformed::{Fault, Layer, Malformed};

/// Protocol numbers of the IP header that decoding depends on.
pub mod protocol {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT: u8 = 59;
    pub const DESTINATION: u8 = 60;
    pub const MOBILITY: u8 = 135;
    pub const HIP: u8 = 139;
    pub const SHIM6: u8 = 140;
}

/// The `N` bytes at `at`, if all are there.
#[inline(always)]
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}

/// The big-endian 16-bit field at `at`.
#[inline(always)]
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    chunk(bytes, at).copied().map(u16::from_be_bytes)
}

/// The big-endian 32-bit field at `at`.
#[inline(always)]
fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    chunk(bytes, at).copied().map(u32::from_be_bytes)
}

/// What is there of `at..end`; `end` may lie behind a frame that was cut.
#[inline]
fn present(bytes: &[u8], at: usize, end: usize) -> &[u8] {
    bytes.get(at..end.min(bytes.len())).unwrap_or_default()
}

#[cold]
fn fault(layer: Layer, offset: usize, fault: Fault) -> Malformed {
    Malformed {
        layer,
        offset,
        fault,
    }
}

#[cold]
fn truncated(layer: Layer, offset: usize) -> Malformed {
    fault(layer, offset, Fault::Truncated)
}

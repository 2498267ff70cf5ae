//! What is wrong with a header: bad traffic is a value, not an error.

use std::fmt;

/// The header in which something was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Layer {
    Link,
    Vlan,
    Pppoe,
    Mpls,
    Tunnel,
    Ipv4,
    Ipv6,
    Icmp,
    Icmpv6,
    Tcp,
    Udp,
}

/// The kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fault {
    /// The frame ends inside the header.
    Truncated,
    /// The version nibble does not fit the protocol.
    Version,
    /// The header length field is below its minimum or runs past the data.
    HeaderLength,
    /// A total or payload length field disagrees with the frame.
    Length,
    /// Options or extension headers that cannot be walked.
    Options,
    /// A chain of headers longer than Wero follows.
    TooDeep,
    /// A fragment whose place is impossible (past 65,535 bytes, unaligned).
    Fragment,
}

/// A header that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub layer: Layer,
    /// Offset of the header in the frame, in bytes.
    pub offset: usize,
    pub fault: Fault,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} header at byte {}: {:?}",
            self.layer, self.offset, self.fault
        )
    }
}

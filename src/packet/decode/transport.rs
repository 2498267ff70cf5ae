//! TCP, UDP and ICMP headers.
//!
//! `at` and `end` are those of the IP payload; `end` may lie behind the bytes
//! of a frame that the capture cut. Checksums are not judged.

use super::{Fault, Layer, Malformed, be16, be32, chunk, fault, present, truncated};

/// A TCP header (RFC 9293, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpHeader {
    /// Offset of the header.
    pub at: usize,
    /// Offset of the data, behind the options.
    pub payload_at: usize,
    /// Where the segment ends.
    pub end: usize,
    pub seq: u32,
    pub ack: u32,
    pub src_port: u16,
    pub dst_port: u16,
    pub window: u16,
    pub checksum: u16,
    pub urgent: u16,
    /// FIN, SYN, RST, PSH, ACK, URG, ECE, CWR from the lowest bit up.
    pub flags: u8,
    /// The lowest reserved bit: NS (RFC 3540), now AE.
    pub ns: bool,
}

impl TcpHeader {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;

    /// Whether all of `flags` are set.
    #[inline]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// What the capture has of the data.
    #[inline]
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        present(bytes, self.payload_at, self.end)
    }

    /// Length of the data by the headers, in bytes.
    #[inline]
    pub const fn payload_len(&self) -> usize {
        self.end - self.payload_at
    }

    /// Walks the options.
    #[inline]
    pub fn options<'a>(&self, bytes: &'a [u8]) -> TcpOptions<'a> {
        tcp_options(present(bytes, self.at + 20, self.payload_at))
    }
}

/// Reads a TCP header.
///
/// # Errors
/// [`Fault::Truncated`] below 20 bytes, [`Fault::HeaderLength`] for a data
/// offset below 20 bytes or past `end`.
#[inline]
pub fn tcp(bytes: &[u8], at: usize, end: usize) -> Result<TcpHeader, Malformed> {
    let header = chunk::<20>(bytes, at)
        .filter(|_| at + 20 <= end)
        .ok_or_else(|| truncated(Layer::Tcp, at))?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < 20 || at + header_len > end {
        return Err(fault(Layer::Tcp, at, Fault::HeaderLength));
    }
    if at + header_len > bytes.len() {
        return Err(truncated(Layer::Tcp, at));
    }
    Ok(TcpHeader {
        at,
        payload_at: at + header_len,
        end,
        seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        src_port: u16::from_be_bytes([header[0], header[1]]),
        dst_port: u16::from_be_bytes([header[2], header[3]]),
        window: u16::from_be_bytes([header[14], header[15]]),
        checksum: u16::from_be_bytes([header[16], header[17]]),
        urgent: u16::from_be_bytes([header[18], header[19]]),
        flags: header[13],
        ns: header[12] & 1 != 0,
    })
}

/// One TCP option. A known kind with a wrong length is `Other`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// Maximum segment size, in bytes.
    Mss(u16),
    /// Shift count, as sent (RFC 7323, 2.3 caps it at 14).
    WindowScale(u8),
    SackPermitted,
    Sack(SackBlocks<'a>),
    Timestamps {
        value: u32,
        echo: u32,
    },
    /// A signature (RFC 2385): the segment cannot be rewritten.
    Md5,
    /// An authenticated segment (RFC 5925): it cannot be rewritten.
    Ao,
    /// The cookie, empty in a request (RFC 7413).
    FastOpen(&'a [u8]),
    Other(u8),
}

/// The blocks of a SACK option: left and right edge (RFC 2018).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SackBlocks<'a>(&'a [[u8; 8]]);

impl Iterator for SackBlocks<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        let (&[a, b, c, d, e, f, g, h], rest) = self.0.split_first()?;
        self.0 = rest;
        Some((
            u32::from_be_bytes([a, b, c, d]),
            u32::from_be_bytes([e, f, g, h]),
        ))
    }
}

/// Walks TCP options. Each comes with its offset in the option bytes and its
/// length; padding is passed over, and the list ends at its end mark or fault.
#[derive(Clone, Debug)]
pub struct TcpOptions<'a> {
    bytes: &'a [u8],
    at: usize,
    malformed: bool,
}

/// Walks the option bytes between a TCP header's twentieth byte and its data.
#[inline]
pub fn tcp_options(bytes: &[u8]) -> TcpOptions<'_> {
    TcpOptions {
        bytes,
        at: 0,
        malformed: false,
    }
}

impl TcpOptions<'_> {
    /// Whether the walk so far has met an option that runs past the header.
    pub const fn is_malformed(&self) -> bool {
        self.malformed
    }
}

impl<'a> Iterator for TcpOptions<'a> {
    /// Offset in the option bytes, length in bytes, and the option.
    type Item = (usize, usize, TcpOption<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        const END: u8 = 0;
        const NOP: u8 = 1;
        while *self.bytes.get(self.at)? == NOP {
            self.at += 1;
        }
        let at = self.at;
        let kind = *self.bytes.get(at)?;
        if kind == END {
            self.at = self.bytes.len();
            return None;
        }
        let length = self
            .bytes
            .get(at + 1)
            .map_or(0, |length| usize::from(*length));
        let Some(value) = self.bytes.get(at + 2..at + length) else {
            self.malformed = true;
            self.at = self.bytes.len();
            return None;
        };
        self.at += length;
        Some((at, length, tcp_option(kind, value)))
    }
}

fn tcp_option(kind: u8, value: &[u8]) -> TcpOption<'_> {
    match (kind, value) {
        (2, &[a, b]) => TcpOption::Mss(u16::from_be_bytes([a, b])),
        (3, &[shift]) => TcpOption::WindowScale(shift),
        (4, []) => TcpOption::SackPermitted,
        (5, blocks) => match blocks.as_chunks() {
            (blocks, []) => TcpOption::Sack(SackBlocks(blocks)),
            _ => TcpOption::Other(kind),
        },
        (8, &[a, b, c, d, e, f, g, h]) => TcpOption::Timestamps {
            value: u32::from_be_bytes([a, b, c, d]),
            echo: u32::from_be_bytes([e, f, g, h]),
        },
        (19, value) if value.len() == 16 => TcpOption::Md5,
        (29, [_, _, ..]) => TcpOption::Ao,
        (34, cookie) => TcpOption::FastOpen(cookie),
        _ => TcpOption::Other(kind),
    }
}

/// A UDP header (RFC 768).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// Offset of the header.
    pub at: usize,
    /// Where the datagram ends by its length field; the IP payload may go on.
    pub end: usize,
    pub src_port: u16,
    pub dst_port: u16,
    /// Header plus payload, in bytes, as sent: zero in a jumbogram.
    pub length: u16,
    /// As sent; zero is "none" over IPv4.
    pub checksum: u16,
}

impl UdpHeader {
    /// Offset of the payload.
    #[inline]
    pub const fn payload_at(&self) -> usize {
        self.at + 8
    }

    /// What the capture has of the payload.
    #[inline]
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        present(bytes, self.payload_at(), self.end)
    }

    /// Length of the payload by the header, in bytes.
    #[inline]
    pub const fn payload_len(&self) -> usize {
        self.end - self.payload_at()
    }
}

/// Reads a UDP header.
///
/// # Errors
/// [`Fault::Truncated`] below 8 bytes; [`Fault::Length`] for a length field
/// below 8 or past `end`, except zero in a jumbogram (RFC 2675, 4).
#[inline]
pub fn udp(bytes: &[u8], at: usize, end: usize) -> Result<UdpHeader, Malformed> {
    let &[a, b, c, d, e, f, g, h] = chunk::<8>(bytes, at)
        .filter(|_| at + 8 <= end)
        .ok_or_else(|| truncated(Layer::Udp, at))?;
    let length = u16::from_be_bytes([e, f]);
    let own_end = match usize::from(length) {
        0 if end - at > 0xffff => end,
        length => at + length,
    };
    if own_end < at + 8 || own_end > end {
        return Err(fault(Layer::Udp, at, Fault::Length));
    }
    Ok(UdpHeader {
        at,
        end: own_end,
        src_port: u16::from_be_bytes([a, b]),
        dst_port: u16::from_be_bytes([c, d]),
        length,
        checksum: u16::from_be_bytes([g, h]),
    })
}

/// The header of an ICMP or ICMPv6 message (RFC 792, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpHeader {
    /// Offset of the header.
    pub at: usize,
    /// Where the message ends.
    pub end: usize,
    pub kind: u8,
    pub code: u8,
    pub checksum: u16,
    /// The four bytes behind the checksum: identifier and sequence number of
    /// an echo, the MTU of a "too big". Zero if the message is shorter.
    pub rest: u32,
    /// Offset of the IP header that an error message quotes. The quotation is
    /// usually shorter than its length field says.
    pub embedded: Option<usize>,
}

impl IcmpHeader {
    /// What the capture has of the bytes behind the four that all messages
    /// have in common.
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        present(bytes, self.at + 4, self.end)
    }
}

/// Reads an ICMP header.
///
/// # Errors
/// [`Fault::Truncated`] below 4 bytes.
pub fn icmp(bytes: &[u8], at: usize, end: usize) -> Result<IcmpHeader, Malformed> {
    // Unreachable, source quench, redirect, time exceeded, parameter problem.
    read_icmp(bytes, at, end, Layer::Icmp, |kind| {
        matches!(kind, 3 | 4 | 5 | 11 | 12)
    })
}

/// Reads an ICMPv6 header.
///
/// # Errors
/// [`Fault::Truncated`] below 4 bytes.
pub fn icmpv6(bytes: &[u8], at: usize, end: usize) -> Result<IcmpHeader, Malformed> {
    // All error messages, and only they, have the high bit clear (RFC 4443,
    // 2.1); the layout of those not assigned is unknown.
    read_icmp(bytes, at, end, Layer::Icmpv6, |kind| matches!(kind, 1..=4))
}

fn read_icmp(
    bytes: &[u8],
    at: usize,
    end: usize,
    layer: Layer,
    quotes: fn(u8) -> bool,
) -> Result<IcmpHeader, Malformed> {
    let data = present(bytes, at, end);
    let &[kind, code, high, low] = data
        .first_chunk::<4>()
        .ok_or_else(|| truncated(layer, at))?;
    Ok(IcmpHeader {
        at,
        end,
        kind,
        code,
        checksum: be16(&[high, low], 0).unwrap_or_default(),
        rest: be32(data, 4).unwrap_or_default(),
        embedded: (quotes(kind) && data.len() > 8).then_some(at + 8),
    })
}

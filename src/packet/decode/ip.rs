//! IPv4 and IPv6 headers, with all extension headers.

use super::{Fault, Layer, Malformed, be16, chunk, fault, protocol, truncated};
use crate::addr::Addr;

/// Extension headers followed before a datagram counts as too deep. RFC 8200
/// (4.1) recommends each of five kinds at most once, one of them twice.
const MAX_EXTENSIONS: usize = 12;

/// An IP header with its extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHeader {
    pub src: Addr,
    pub dst: Addr,
    /// Offset of the header.
    pub at: usize,
    /// From `at` to the upper layer: options and extension headers included.
    pub header_len: usize,
    /// Where the datagram ends by its own length field. Behind the slice only
    /// if `captured_short`.
    pub end: usize,
    /// Set for fragments, also for atomic ones (RFC 6946).
    pub fragment: Option<Fragment>,
    /// Offset of the authentication header (RFC 4302), if it has been crossed.
    pub auth_at: Option<usize>,
    /// 4 or 6.
    pub version: u8,
    /// Protocol of the upper layer. ESP (50) stays ESP; in a fragment it is
    /// the protocol of the reassembled data, which may be an extension header
    /// (see [`upper_layer`]).
    pub protocol: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Always set over IPv6, where routers never fragment.
    pub dont_fragment: bool,
    /// The capture kept less than the whole datagram.
    pub captured_short: bool,
}

/// The place of a fragment in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification: 16 bits over IPv4, 32 over IPv6.
    pub id: u32,
    /// Offset of the data in the datagram's payload, in bytes.
    pub offset: u32,
    /// More fragments follow.
    pub more: bool,
    /// From the IP header to the end of what every fragment repeats: the IPv4
    /// header, or all that stands before the IPv6 fragment header.
    pub unfragmentable_len: usize,
    /// Offset of the header that says so: IPv4, or the IPv6 fragment header.
    pub header_at: usize,
}

impl Fragment {
    /// The only fragment of its datagram.
    pub const fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

impl IpHeader {
    /// Offset of the upper layer's header, or of a fragment's data.
    #[inline]
    pub const fn payload_at(&self) -> usize {
        self.at + self.header_len
    }

    /// What the capture has of the payload; trailing link padding is left out.
    #[inline]
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        super::present(bytes, self.payload_at(), self.end)
    }

    /// Length of the payload by the header, in bytes.
    #[inline]
    pub const fn payload_len(&self) -> usize {
        self.end - self.payload_at()
    }

    /// Whether this is one of several fragments. An atomic one is not: its
    /// upper layer is all there.
    #[inline]
    pub const fn is_fragment(&self) -> bool {
        matches!(self.fragment, Some(fragment) if !fragment.is_atomic())
    }
}

/// Reads an IP header of either version, as its first nibble says: for packets
/// that nothing else announces, such as those quoted by ICMP. Where the link
/// layer does, use [`super::Below::ip_header`].
///
/// `original` is the length of the frame before the capture cut it, if that is
/// known; inside a tunnel, the declared end of the tunnel's payload. A length
/// field may reach that far; without it, only to the end of `bytes`.
///
/// # Errors
/// [`Fault::Truncated`] below a whole header, [`Fault::Version`],
/// [`Fault::HeaderLength`] for a header length below 20 or past the datagram or
/// frame, [`Fault::Length`] for a total length past the frame,
/// [`Fault::Options`] and [`Fault::TooDeep`] for extension headers.
#[inline]
pub fn ip(bytes: &[u8], at: usize, original: Option<usize>) -> Result<IpHeader, Malformed> {
    match bytes.get(at).map(|byte| byte >> 4) {
        Some(6) => ipv6(bytes, at, original),
        Some(_) => ipv4(bytes, at, original),
        None => Err(truncated(Layer::Ipv4, at)),
    }
}

/// Reads an IPv4 header (RFC 791, 3.1). A total length of zero, as captures of
/// segmentation offload have it, stands for all the rest of the frame.
///
/// # Errors
/// As [`ip`].
#[inline]
pub fn ipv4(bytes: &[u8], at: usize, original: Option<usize>) -> Result<IpHeader, Malformed> {
    let header = chunk::<20>(bytes, at).ok_or_else(|| truncated(Layer::Ipv4, at))?;
    let bad = |kind| fault(Layer::Ipv4, at, kind);
    if header[0] >> 4 != 4 {
        return Err(bad(Fault::Version));
    }
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let end = if total == 0 {
        frame_end(bytes, original)
    } else {
        at + total
    };
    if header_len < 20 || at + header_len > end {
        return Err(bad(Fault::HeaderLength));
    }
    let captured_short = end > bytes.len();
    if captured_short {
        check_cut(bytes, at + header_len, end, original).map_err(bad)?;
    }

    // Only the paths that change the header build it in memory of their own:
    // shared, every packet would pay for the copy.
    let place = u16::from_be_bytes([header[6], header[7]]);
    if place & 0x3fff != 0 || header[9] == protocol::AH {
        return ipv4_beyond(
            bytes,
            plain_ipv4(header, at, header_len, end, captured_short),
            place,
        );
    }
    Ok(plain_ipv4(header, at, header_len, end, captured_short))
}

#[inline(always)]
fn plain_ipv4(
    header: &[u8; 20],
    at: usize,
    header_len: usize,
    end: usize,
    captured_short: bool,
) -> IpHeader {
    IpHeader {
        src: Addr::v4([header[12], header[13], header[14], header[15]]),
        dst: Addr::v4([header[16], header[17], header[18], header[19]]),
        at,
        header_len,
        end,
        fragment: None,
        auth_at: None,
        version: 4,
        protocol: header[9],
        ttl: header[8],
        dont_fragment: header[6] & 0x40 != 0,
        captured_short,
    }
}

/// A fragment, or what stands behind an authentication header.
#[cold]
#[inline(never)]
fn ipv4_beyond(bytes: &[u8], ip: IpHeader, place: u16) -> Result<IpHeader, Malformed> {
    // A fragment's upper layer is only complete after reassembly.
    if place & 0x3fff == 0 {
        return walk_extensions(bytes, ip);
    }
    let fragment = Fragment {
        id: be16(bytes, ip.at + 4).map_or(0, u32::from),
        offset: u32::from(place & 0x1fff) * 8,
        more: place & 0x2000 != 0,
        unfragmentable_len: ip.header_len,
        header_at: ip.at,
    };
    Ok(IpHeader {
        fragment: Some(fragment),
        ..ip
    })
}

/// Reads an IPv6 header (RFC 8200, 3) and its extension headers. In a fragment
/// the walk ends with the fragment header, since what follows is only complete
/// after reassembly. Jumbo payloads (RFC 2675) are understood.
///
/// # Errors
/// As [`ip`].
#[inline]
pub fn ipv6(bytes: &[u8], at: usize, original: Option<usize>) -> Result<IpHeader, Malformed> {
    let header = chunk::<40>(bytes, at).ok_or_else(|| truncated(Layer::Ipv6, at))?;
    if header[0] >> 4 != 6 {
        return Err(fault(Layer::Ipv6, at, Fault::Version));
    }
    let payload_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let next = header[6];
    let end = if payload_len == 0 {
        without_payload_length(bytes, at, next, original)?
    } else {
        at + 40 + payload_len
    };
    let captured_short = end > bytes.len();
    if captured_short {
        check_cut(bytes, at + 40, end, original).map_err(|kind| fault(Layer::Ipv6, at, kind))?;
    }
    if is_extension(next) {
        return walk_extensions(bytes, plain_ipv6(header, at, end, captured_short));
    }
    Ok(plain_ipv6(header, at, end, captured_short))
}

#[inline(always)]
fn plain_ipv6(header: &[u8; 40], at: usize, end: usize, captured_short: bool) -> IpHeader {
    IpHeader {
        src: Addr::v6(address(header, 8)),
        dst: Addr::v6(address(header, 24)),
        at,
        header_len: 40,
        end,
        fragment: None,
        auth_at: None,
        version: 6,
        protocol: header[6],
        ttl: header[7],
        dont_fragment: true,
        captured_short,
    }
}

/// The addresses of the IP header at `at`, if so much of it is there: for
/// reports about a datagram whose header [`ip`] refused.
pub fn addresses(bytes: &[u8], at: usize) -> Option<(Addr, Addr)> {
    match bytes.get(at)? >> 4 {
        4 => {
            let &[a, b, c, d, e, f, g, h] = chunk::<8>(bytes, at.checked_add(12)?)?;
            Some((Addr::v4([a, b, c, d]), Addr::v4([e, f, g, h])))
        }
        6 => {
            let header = chunk::<40>(bytes, at)?;
            Some((Addr::v6(address(header, 8)), Addr::v6(address(header, 24))))
        }
        _ => None,
    }
}

/// Walks extension headers in reassembled data: the first header, of kind
/// `protocol`, is at `at`. Returns the upper layer's protocol and offset.
///
/// # Errors
/// [`Fault::Options`] for a header that runs past `end`, [`Fault::TooDeep`].
pub fn upper_layer(
    bytes: &[u8],
    protocol: u8,
    at: usize,
    end: usize,
) -> Result<(u8, usize), Malformed> {
    let mut walk = Walk {
        layer: Layer::Ipv6,
        protocol,
        at,
        fragment: None,
        auth_at: None,
    };
    // Nothing of the datagram stands before its data here.
    walk.run(bytes, at, end)?;
    Ok((walk.protocol, walk.at))
}

#[inline(always)]
fn address(header: &[u8; 40], at: usize) -> [u8; 16] {
    chunk::<16>(header, at).copied().unwrap_or_default()
}

#[inline]
fn frame_end(bytes: &[u8], original: Option<usize>) -> usize {
    original.unwrap_or(0).max(bytes.len())
}

/// Judges a datagram that ends behind the bytes there are.
#[cold]
fn check_cut(
    bytes: &[u8],
    header_end: usize,
    end: usize,
    original: Option<usize>,
) -> Result<(), Fault> {
    if end > frame_end(bytes, original) {
        // A header beyond the frame is the graver fault of the two.
        let is_header = header_end > frame_end(bytes, original);
        return Err(if is_header {
            Fault::HeaderLength
        } else {
            Fault::Length
        });
    }
    if header_end > bytes.len() {
        Err(Fault::Truncated)
    } else {
        Ok(())
    }
}

/// The end of an IPv6 datagram whose payload length is zero: it is empty, a
/// jumbogram, or one made by segmentation offload ("BIG TCP") whose length the
/// field cannot hold, which capture interfaces show without the jumbo option.
#[cold]
fn without_payload_length(
    bytes: &[u8],
    at: usize,
    next: u8,
    original: Option<usize>,
) -> Result<usize, Malformed> {
    const MAX_PLAIN: usize = 0xffff;
    if next == protocol::HOP_BY_HOP
        && let Some(length) = jumbo_length(bytes, at + 40)
    {
        if length <= MAX_PLAIN {
            return Err(fault(Layer::Ipv6, at, Fault::Length));
        }
        return Ok(at + 40 + length);
    }
    let rest = frame_end(bytes, original).saturating_sub(at + 40);
    Ok(if rest > MAX_PLAIN {
        at + 40 + rest
    } else {
        at + 40
    })
}

/// The value of a jumbo payload option in the hop-by-hop header at `at`.
fn jumbo_length(bytes: &[u8], at: usize) -> Option<usize> {
    const PAD1: u8 = 0;
    const JUMBO: u8 = 0xc2;
    let header_end = at + (usize::from(*bytes.get(at + 1)?) + 1) * 8;
    let mut option = at + 2;
    while option < header_end {
        let kind = *bytes.get(option)?;
        if kind == PAD1 {
            option += 1;
            continue;
        }
        let length = *bytes.get(option + 1)?;
        if kind == JUMBO && length == 4 {
            return super::be32(bytes, option + 2).map(|length| length as usize);
        }
        option += 2 + usize::from(length);
    }
    None
}

#[inline]
fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AH
            | protocol::DESTINATION
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6
    )
}

#[inline(never)]
fn walk_extensions(bytes: &[u8], ip: IpHeader) -> Result<IpHeader, Malformed> {
    let mut walk = Walk {
        layer: if ip.version == 4 {
            Layer::Ipv4
        } else {
            Layer::Ipv6
        },
        protocol: ip.protocol,
        at: ip.payload_at(),
        fragment: None,
        auth_at: None,
    };
    walk.run(bytes, ip.at, ip.end)?;
    Ok(IpHeader {
        protocol: walk.protocol,
        header_len: walk.at - ip.at,
        fragment: walk.fragment,
        auth_at: walk.auth_at,
        ..ip
    })
}

/// The state of a walk through extension headers.
struct Walk {
    /// For fault reports.
    layer: Layer,
    /// Kind of the header at `at`.
    protocol: u8,
    at: usize,
    fragment: Option<Fragment>,
    auth_at: Option<usize>,
}

impl Walk {
    /// Walks to the upper layer, or behind the fragment header of a datagram
    /// in pieces. `start` is the offset of the IP header.
    fn run(&mut self, bytes: &[u8], start: usize, end: usize) -> Result<(), Malformed> {
        for _ in 0..MAX_EXTENSIONS {
            if !is_extension(self.protocol) {
                return Ok(());
            }
            let (layer, at) = (self.layer, self.at);
            let short = || {
                // A header that the snap length cut is no fault of the sender.
                let kind = if end > bytes.len() {
                    Fault::Truncated
                } else {
                    Fault::Options
                };
                fault(layer, at, kind)
            };
            let data = super::present(bytes, at, end);
            let &[next, length] = data.first_chunk::<2>().ok_or_else(short)?;
            let length = match self.protocol {
                protocol::FRAGMENT => 8,
                // In words of four bytes, less two (RFC 4302, 2.2).
                protocol::AH => (usize::from(length) + 2) * 4,
                _ => (usize::from(length) + 1) * 8,
            };
            if data.len() < length {
                return Err(short());
            }
            let kind = std::mem::replace(&mut self.protocol, next);
            self.at += length;
            match kind {
                protocol::AH => self.auth_at = Some(at),
                protocol::FRAGMENT => {
                    let fragment = read_fragment(data, start, at).ok_or_else(short)?;
                    self.fragment = Some(fragment);
                    if !fragment.is_atomic() {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        if is_extension(self.protocol) {
            return Err(fault(self.layer, self.at, Fault::TooDeep));
        }
        Ok(())
    }
}

/// Reads an IPv6 fragment header (RFC 8200, 4.5).
fn read_fragment(header: &[u8], start: usize, at: usize) -> Option<Fragment> {
    let place = be16(header, 2)?;
    Some(Fragment {
        id: super::be32(header, 4)?,
        offset: u32::from(place & 0xfff8),
        more: place & 1 != 0,
        unfragmentable_len: at - start,
        header_at: at,
    })
}

//! Which of several queues a packet belongs to.
//!
//! Addresses and ports of a flow are hashed so that both directions give the
//! same number. The function exists twice, once as classic BPF for the
//! firewall (`program`) and once here, for the counter `wrong_worker`; the
//! tests hold the two against each other. TCP, UDP and SCTP go by ports too,
//! everything else by addresses: other protocols, fragments, packets behind
//! more than one IPv6 extension header (quoted ones: behind any). An ICMP error goes where the packet
//! that it quotes goes, so that it reaches the worker of its flow. A packet
//! that ends before what the hash needs goes to the last queue.
//!
//! Ports are multiplied by the golden ratio and meet the addresses only in an
//! addition: the flows of one pair of hosts, whose ports rise in small steps,
//! spread more evenly than at random. There is no secret in the hash: who
//! wants to load one worker can.

pub mod program;
#[cfg(test)]
mod tests;

/// Odd numbers with well spread bits, from MurmurHash3.
pub(super) const MIX_WORDS: u32 = 0x85eb_ca6b;
pub(super) const MIX_END: u32 = 0xc2b2_ae35;
/// 2^32 divided by the golden ratio.
pub(super) const GOLDEN: u32 = 0x9e37_79b9;

/// Protocols whose ports are the first two words behind the IP header.
pub(super) const WITH_PORTS: [u8; 3] = [6, 17, 132];
pub(super) const ICMP: u8 = 1;
pub(super) const ICMPV6: u8 = 58;
/// Hop-by-hop options, routing, destination options.
pub(super) const EXTENSIONS: [u8; 3] = [0, 43, 60];
/// ICMP messages that quote a packet.
pub(super) const ICMP_ERRORS: [u8; 5] = [3, 4, 5, 11, 12];
/// Below this an ICMPv6 message is an error (RFC 4443, 2.1).
pub(super) const ICMPV6_FIRST_QUERY: u8 = 128;
/// Where the quoted packet begins, behind headers without options.
pub(super) const QUOTE_V4: usize = 28;
pub(super) const QUOTE_V6: usize = 48;

/// The place, from 0, of the queue that a packet belongs to, among `queues`.
///
/// Nothing where the bytes are no IP packet or there is no queue.
pub fn queue_of(packet: &[u8], queues: u16) -> Option<u16> {
    let last = queues.checked_sub(1)?;
    let packet = Packet(packet);
    let hash = match packet.byte(0)? >> 4 {
        4 => packet
            .quoted_v4()
            .and_then(|quoted| quoted.flow_v4())
            .or_else(|| packet.flow_v4()),
        6 => packet
            .quoted_v6()
            .and_then(|quoted| quoted.flow_v6(false))
            .or_else(|| packet.flow_v6(true)),
        _ => return None,
    };
    Some(hash.map_or(last, |hash| share(hash, queues)))
}

/// Scales a hash down to `0..queues` by its high bits.
fn share(hash: u32, queues: u16) -> u16 {
    let high = hash >> 16;
    // Two numbers of 16 bits: the product has 32, its upper half 16.
    ((high * u32::from(queues)) >> 16) as u16
}

/// Bytes that begin with an IP header.
#[derive(Clone, Copy)]
struct Packet<'a>(&'a [u8]);

impl<'a> Packet<'a> {
    fn byte(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn half(self, at: usize) -> Option<u32> {
        let bytes = self.0.get(at..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*bytes).into())
    }

    fn word(self, at: usize) -> Option<u32> {
        let bytes = self.0.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    }

    fn flow_v4(self) -> Option<u32> {
        let (source, target) = (self.word(12)?, self.word(16)?);
        let words = (source ^ target).wrapping_mul(MIX_WORDS);
        let addresses = finish(words.wrapping_add(source.wrapping_add(target)));
        let fragment = self.half(6)? & 0x3fff != 0;
        if fragment || !WITH_PORTS.contains(&self.byte(9)?) {
            return Some(addresses);
        }
        let length = usize::from(self.byte(0)? & 0xf) * 4;
        self.with_ports(addresses, length)
    }

    fn flow_v6(self, behind_extension: bool) -> Option<u32> {
        let mut words = self.word(8)? ^ self.word(24)?;
        for at in (12..24).step_by(4) {
            words ^= self.word(at)? ^ self.word(at + 16)?;
            words = words.wrapping_mul(MIX_WORDS);
        }
        let addresses = finish(words);
        let (mut next, mut at) = (self.byte(6)?, 40);
        if behind_extension && EXTENSIONS.contains(&next) {
            next = self.byte(at)?;
            at += (usize::from(self.byte(at + 1)?) + 1) * 8;
        }
        match WITH_PORTS.contains(&next) {
            true => self.with_ports(addresses, at),
            false => Some(addresses),
        }
    }

    fn with_ports(self, addresses: u32, at: usize) -> Option<u32> {
        let ports = self.half(at)? + self.half(at + 2)?;
        Some(ports.wrapping_mul(GOLDEN).wrapping_add(addresses))
    }

    /// The packet that an ICMP error quotes.
    fn quoted_v4(self) -> Option<Packet<'a>> {
        let whole = self.byte(0)? == 0x45 && self.half(6)? & 0x3fff == 0;
        let error = self.byte(9)? == ICMP && ICMP_ERRORS.contains(&self.byte(20)?);
        let quoted = Packet(self.0.get(QUOTE_V4..)?);
        (whole && error && quoted.byte(0)? >> 4 == 4).then_some(quoted)
    }

    /// The packet that an ICMPv6 error quotes.
    fn quoted_v6(self) -> Option<Packet<'a>> {
        let error = self.byte(6)? == ICMPV6 && self.byte(40)? < ICMPV6_FIRST_QUERY;
        let quoted = Packet(self.0.get(QUOTE_V6..)?);
        (error && quoted.byte(0)? >> 4 == 6).then_some(quoted)
    }
}

/// Lets every bit of the addresses reach the high bits.
fn finish(words: u32) -> u32 {
    (words ^ (words >> 15)).wrapping_mul(MIX_END)
}

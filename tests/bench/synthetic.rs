//! Packets of any number of flows, made in batches outside of what is timed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::wire::{self, Segment, TCP, UDP, flag};

/// Frames of a batch: few enough to stay in the second-level cache.
const BATCH: usize = 2048;

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 53);

const TLS_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 443);

/// Frames laid end to end.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .filter_map(|(start, &end)| self.bytes.get(start..end))
    }

    pub fn is_full(&self) -> bool {
        self.ends.len() >= BATCH
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn push(&mut self, src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) {
        let packet = wire::packet(src, dst, 0, protocol, payload);
        self.bytes
            .extend_from_slice(&wire::frame(src, dst, &[], &packet));
        self.ends.push(self.bytes.len());
    }

    /// A query of flow `number`.
    pub fn query(&mut self, number: u32) {
        let client = client(number);
        let datagram = wire::udp(client, SERVER, b"who is there, and where?");
        self.push(client.ip(), SERVER.ip(), UDP, &datagram);
    }

    /// Its answer.
    pub fn answer(&mut self, number: u32) {
        let client = client(number);
        let datagram = wire::udp(SERVER, client, b"somebody, and here");
        self.push(SERVER.ip(), client.ip(), UDP, &datagram);
    }

    /// The three segments that open connection `number`.
    pub fn handshake(&mut self, number: u32) {
        self.handshake_with(number, SERVER);
    }

    fn handshake_with(&mut self, number: u32, server: SocketAddr) {
        let client = client(number);
        let (ours, theirs) = (number.wrapping_mul(2_654_435_761), !number);
        let steps = [
            (client, server, ours, 0, flag::SYN),
            (
                server,
                client,
                theirs,
                ours.wrapping_add(1),
                flag::SYN | flag::ACK,
            ),
            (
                client,
                server,
                ours.wrapping_add(1),
                theirs.wrapping_add(1),
                flag::ACK,
            ),
        ];
        for (src, dst, seq, ack, flags) in steps {
            let segment = Segment {
                seq,
                ack,
                flags,
                window: 64_240,
                ..Segment::default()
            };
            let bytes = wire::tcp(src, dst, &segment);
            self.push(src.ip(), dst.ip(), TCP, &bytes);
        }
    }

    /// Connection `number`: its handshake, the client's and the server's
    /// first bytes with the acknowledgement of each, and an RST.
    pub fn visit(&mut self, number: u32, said: &[u8], answered: &[u8]) {
        self.handshake_with(number, TLS_SERVER);
        let client = client(number);
        let ours = number.wrapping_mul(2_654_435_761).wrapping_add(1);
        let theirs = (!number).wrapping_add(1);
        let (said_len, answered_len) = (said.len() as u32, answered.len() as u32);
        let (ours_then, theirs_then) = (
            ours.wrapping_add(said_len),
            theirs.wrapping_add(answered_len),
        );
        let data = flag::ACK | flag::PSH;
        let steps = [
            (true, ours, theirs, data, said),
            (false, theirs, ours_then, flag::ACK, &[]),
            (false, theirs, ours_then, data, answered),
            (true, ours_then, theirs_then, flag::ACK, &[]),
            (true, ours_then, theirs_then, flag::RST | flag::ACK, &[]),
        ];
        for (up, seq, ack, flags, payload) in steps {
            let (src, dst) = match up {
                true => (client, TLS_SERVER),
                false => (TLS_SERVER, client),
            };
            let segment = Segment {
                seq,
                ack,
                flags,
                window: 64_240,
                payload: payload.to_vec(),
                ..Segment::default()
            };
            let bytes = wire::tcp(src, dst, &segment);
            self.push(src.ip(), dst.ip(), TCP, &bytes);
        }
    }
}

/// Another address and port for each of 2^24 numbers.
fn client(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    let port = 1024 + (number.wrapping_mul(7919) % 60_000) as u16;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, a, b, c)), port)
}

/// The same numbers in every run: xorshift64* (Marsaglia; Vigna).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        (((self.next() >> 32) * u64::from(end)) >> 32) as u32
    }
}

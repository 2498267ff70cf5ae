//! Scenarios: what happens on the inspected link, in order, as a capture.
//!
//! A [`Scenario`] plays TCP conversations one after another or together, and
//! takes single packets of any other kind. It owns the time between them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::conversation::Conversation;
use super::pcap::Recording;
use super::wire::{self, Segment};

const PAUSE: Duration = Duration::from_millis(5);

#[derive(Default)]
pub struct Scenario {
    recording: Recording,
    packets_sent: u16,
    waited: Duration,
}

impl Scenario {
    pub fn new() -> Self {
        Self::default()
    }

    /// One conversation, after everything before.
    pub fn plays(&mut self, conversation: Conversation) {
        let start = self.next_time();
        self.recording.merge(start, conversation.into_recording());
    }

    /// Conversations at the same time, packet by packet interleaved.
    pub fn plays_together(&mut self, conversations: impl IntoIterator<Item = Conversation>) {
        let start = self.next_time();
        for (index, conversation) in (0_u32..).zip(conversations) {
            let offset = start + Duration::from_micros(130) * index;
            self.recording.merge(offset, conversation.into_recording());
        }
    }

    pub fn udp(&mut self, src: &str, dst: &str, payload: &[u8]) {
        let (src, dst) = (socket(src), socket(dst));
        self.packet(src.ip(), dst.ip(), wire::UDP, &wire::udp(src, dst, payload));
    }

    /// An echo request and its reply.
    pub fn ping(&mut self, src: &str, dst: &str, sequence: u16, payload: &[u8]) {
        let (src, dst) = (host(src), host(dst));
        let (protocol, request) = wire::echo(src, dst, false, sequence, payload);
        self.packet(src, dst, protocol, &request);
        let (protocol, reply) = wire::echo(dst, src, true, sequence, payload);
        self.packet(dst, src, protocol, &reply);
    }

    /// A TCP segment without a conversation, as scanners send it.
    pub fn probe(&mut self, src: &str, dst: &str, flags: u8) {
        let (src, dst) = (socket(src), socket(dst));
        let segment = Segment {
            seq: 4_000_000,
            flags,
            window: 1024,
            ..Segment::default()
        };
        self.packet(
            src.ip(),
            dst.ip(),
            wire::TCP,
            &wire::tcp(src, dst, &segment),
        );
    }

    /// A datagram in fragments, each given by the range of bytes it carries,
    /// sent in the order given; ranges may overlap.
    pub fn fragments(
        &mut self,
        src: IpAddr,
        dst: IpAddr,
        protocol: u8,
        payload: &[u8],
        parts: &[(usize, usize)],
    ) {
        let id = self.next_id();
        for (start, end) in parts {
            let part = &payload[*start..*end];
            let offset = u16::try_from(*start).expect("datagrams are smaller than 64 kB");
            let more = *end < payload.len();
            let packet = wire::fragment((src, dst), id, protocol, part, offset, more);
            self.frame(wire::frame(src, dst, &[], &packet));
        }
    }

    pub fn packet(&mut self, src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) {
        let id = self.next_id();
        let packet = wire::packet(src, dst, id, protocol, payload);
        self.frame(wire::frame(src, dst, &[], &packet));
    }

    /// Any bytes as a frame.
    pub fn frame(&mut self, bytes: Vec<u8>) {
        let at = self.next_time();
        self.recording.push(at, bytes);
        self.waited = Duration::ZERO;
    }

    /// Nothing happens for that long, on top of the usual pause.
    pub fn waits(&mut self, time: Duration) {
        self.waited = time;
    }

    pub fn into_recording(self) -> Recording {
        self.recording
    }

    fn next_time(&self) -> Duration {
        self.recording.end() + PAUSE + self.waited
    }

    fn next_id(&mut self) -> u16 {
        self.packets_sent += 1;
        self.packets_sent
    }
}

pub fn host(address: &str) -> IpAddr {
    address.parse().expect("scenarios name hosts by address")
}

pub fn socket(address: &str) -> SocketAddr {
    address
        .parse()
        .expect("scenarios name endpoints as ADDRESS:PORT")
}

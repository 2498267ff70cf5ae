//! TCP conversations as readable scenarios.
//!
//! ```ignore
//! let mut c = client("10.1.0.7:40312", "10.2.0.80:80").with_sack();
//! c.handshake();
//! c.client_says(b"GET / HTTP/1.1\r\n\r\n");
//! c.server().loses(b"HTTP/1.1 200 OK\r\n");
//! c.server().says(b"\r\n");
//! c.server().retransmits();
//! c.closes();
//! ```
//!
//! Both hosts are modelled: what a host acknowledges, its SACK blocks and its
//! timestamps follow from what reached it. A recording holds what an observer
//! between them saw, so a segment may be lost before the observer
//! ([`Speaker::loses_unseen`]) or after ([`Speaker::loses`]).
//!
//! Left out: congestion control, timers, checks that a scenario is likely.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use super::pcap::Recording;
use super::wire::{self, Segment, TcpOption, flag};

const SEGMENT_GAP: Duration = Duration::from_millis(1);
const ACK_DELAY: Duration = Duration::from_micros(200);
const RETRANSMISSION_TIMEOUT: Duration = Duration::from_millis(220);
const WINDOW: u32 = 64_240;
const CLIENT_ISN: u32 = 1_000_000;
const SERVER_ISN: u32 = 7_000_000;

/// A conversation that `client` will open to `server`, both `ADDRESS:PORT`.
pub fn client(client: &str, server: &str) -> Conversation {
    Conversation {
        client: Host::new(client, CLIENT_ISN),
        server: Host::new(server, SERVER_ISN),
        options: Options {
            mss: 1460,
            window_scale: None,
            sack: false,
            timestamps: false,
        },
        vlans: Vec::new(),
        now: Duration::ZERO,
        recording: Recording::default(),
    }
}

pub struct Conversation {
    client: Host,
    server: Host,
    options: Options,
    vlans: Vec<u16>,
    now: Duration,
    recording: Recording,
}

/// What both hosts offer in their SYN.
struct Options {
    mss: u16,
    window_scale: Option<u8>,
    sack: bool,
    timestamps: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// What becomes of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    /// Recorded, but the receiver never gets it.
    LostAfterObserver,
    LostBeforeObserver,
}

/// Offsets count from the SYN: it is number 0, the first byte of data 1.
struct Host {
    address: SocketAddr,
    isn: u32,
    /// Data said so far.
    said: Vec<u8>,
    fin_sent: bool,
    lost: Vec<Range<usize>>,
    /// Offset of the next number expected from the peer.
    expected: u64,
    /// Ranges received beyond `expected`, by first offset.
    ahead: BTreeMap<u64, u64>,
    newest_ahead: u64,
    echo_timestamp: u32,
    packets_sent: u16,
}

impl Conversation {
    pub fn with_mss(mut self, bytes: u16) -> Self {
        self.options.mss = bytes;
        self
    }

    pub fn with_window_scale(mut self, shift: u8) -> Self {
        self.options.window_scale = Some(shift);
        self
    }

    pub fn with_sack(mut self) -> Self {
        self.options.sack = true;
        self
    }

    pub fn with_timestamps(mut self) -> Self {
        self.options.timestamps = true;
        self
    }

    /// Both directions pass sequence number 0 within their first bytes.
    pub fn wraps_sequence(mut self) -> Self {
        self.client.isn = u32::MAX - 9;
        self.server.isn = u32::MAX - 19;
        self
    }

    /// 802.1Q tags, outermost first.
    pub fn on_vlans(mut self, vlans: &[u16]) -> Self {
        self.vlans = vlans.to_vec();
        self
    }

    pub fn handshake(&mut self) {
        self.syn();
        self.transmit(Side::Server, 0, flag::SYN | flag::ACK, &[], Fate::Arrives);
        self.client().acks();
    }

    /// Only the first segment of the handshake.
    pub fn syn(&mut self) {
        self.transmit(Side::Client, 0, flag::SYN, &[], Fate::Arrives);
    }

    pub fn client(&mut self) -> Speaker<'_> {
        Speaker {
            conversation: self,
            side: Side::Client,
        }
    }

    pub fn server(&mut self) -> Speaker<'_> {
        Speaker {
            conversation: self,
            side: Side::Server,
        }
    }

    pub fn client_says(&mut self, bytes: &[u8]) {
        self.client().says(bytes);
    }

    pub fn server_says(&mut self, bytes: &[u8]) {
        self.server().says(bytes);
    }

    /// The client closes, then the server.
    pub fn closes(&mut self) {
        self.client().fin();
        self.server().fin();
    }

    pub fn waits(&mut self, time: Duration) {
        self.now += time;
    }

    pub fn into_recording(self) -> Recording {
        self.recording
    }

    /// One segment of `from` at `offset`, taken in by its receiver if it arrives.
    fn transmit(&mut self, from: Side, offset: u64, flags: u8, payload: &[u8], fate: Fate) {
        self.now += if payload.is_empty() {
            ACK_DELAY
        } else {
            SEGMENT_GAP
        };
        let segment = self.segment(from, offset, flags, payload);
        let clock = self.clock(from);
        let (sender, receiver) = self.pair(from);
        let (src, dst) = (sender.address, receiver.address);
        sender.packets_sent += 1;
        let id = sender.packets_sent;
        if fate == Fate::Arrives {
            let numbers = payload.len() + usize::from(flags & (flag::SYN | flag::FIN) != 0);
            receiver.take_in(offset, numbers as u64);
            receiver.echo_timestamp = clock;
        }
        if fate != Fate::LostBeforeObserver {
            let bytes = wire::tcp(src, dst, &segment);
            let packet = wire::packet(src.ip(), dst.ip(), id, wire::TCP, &bytes);
            self.recording.push(
                self.now,
                wire::frame(src.ip(), dst.ip(), &self.vlans, &packet),
            );
        }
    }

    fn segment(&mut self, from: Side, offset: u64, flags: u8, payload: &[u8]) -> Segment {
        let is_syn = flags & flag::SYN != 0;
        let scale = if is_syn {
            0
        } else {
            self.options.window_scale.unwrap_or(0)
        };
        let options = if is_syn {
            self.syn_options(from)
        } else {
            self.later_options(from, flags)
        };
        let (sender, receiver) = self.pair(from);
        let acknowledges = flags & flag::ACK != 0;
        Segment {
            seq: sender.number(offset),
            ack: if acknowledges {
                receiver.number(sender.expected)
            } else {
                0
            },
            flags,
            window: if flags & flag::RST != 0 {
                0
            } else {
                (WINDOW >> scale) as u16
            },
            options,
            payload: payload.to_vec(),
        }
    }

    fn syn_options(&mut self, from: Side) -> Vec<TcpOption> {
        let mut options = vec![TcpOption::Mss(self.options.mss)];
        options.extend(self.options.sack.then_some(TcpOption::SackPermitted));
        options.extend(self.timestamps(from));
        options.extend(self.options.window_scale.map(TcpOption::WindowScale));
        options
    }

    fn later_options(&mut self, from: Side, flags: u8) -> Vec<TcpOption> {
        if flags & flag::RST != 0 {
            return Vec::new();
        }
        let mut options: Vec<_> = self.timestamps(from).into_iter().collect();
        let (sender, receiver) = self.pair(from);
        let blocks = sender.sack_blocks(receiver.isn);
        if self.options.sack && !blocks.is_empty() {
            options.push(TcpOption::Sack(blocks));
        }
        options
    }

    fn timestamps(&mut self, from: Side) -> Option<TcpOption> {
        if !self.options.timestamps {
            return None;
        }
        let clock = self.clock(from);
        let (sender, _) = self.pair(from);
        Some(TcpOption::Timestamps(clock, sender.echo_timestamp))
    }

    /// The timestamp clock of a host: both began at different times.
    fn clock(&self, side: Side) -> u32 {
        let uptime = match side {
            Side::Client => 100_000,
            Side::Server => 900_000,
        };
        uptime + u32::try_from(self.now.as_millis()).expect("conversations last minutes")
    }

    fn pair(&mut self, from: Side) -> (&mut Host, &mut Host) {
        match from {
            Side::Client => (&mut self.client, &mut self.server),
            Side::Server => (&mut self.server, &mut self.client),
        }
    }
}

/// One host's turn.
pub struct Speaker<'a> {
    conversation: &'a mut Conversation,
    side: Side,
}

impl Speaker<'_> {
    /// Segments of at most one MSS, each acknowledged by the peer.
    pub fn says(&mut self, bytes: &[u8]) {
        let mss = usize::from(self.conversation.options.mss);
        for piece in bytes.chunks(mss) {
            self.sends(piece);
            self.peer().acks();
        }
    }

    /// One segment that arrives and is not acknowledged yet.
    pub fn sends(&mut self, bytes: &[u8]) {
        let range = self.remember(bytes);
        self.transmit_said(range, Fate::Arrives);
    }

    /// One segment that is recorded and then lost.
    pub fn loses(&mut self, bytes: &[u8]) {
        let range = self.remember(bytes);
        self.host().lost.push(range.clone());
        self.transmit_said(range, Fate::LostAfterObserver);
    }

    /// One segment that is lost before anyone saw it.
    pub fn loses_unseen(&mut self, bytes: &[u8]) {
        let range = self.remember(bytes);
        self.host().lost.push(range.clone());
        self.transmit_said(range, Fate::LostBeforeObserver);
    }

    /// What was lost, oldest first, with the same bytes and boundaries.
    pub fn retransmits(&mut self) {
        self.conversation.now += RETRANSMISSION_TIMEOUT;
        for range in std::mem::take(&mut self.host().lost) {
            self.transmit_said(range, Fate::Arrives);
            self.peer().acks();
        }
    }

    /// The server's SYN and ACK once more.
    pub fn repeats_syn_ack(&mut self) {
        self.transmit(0, flag::SYN | flag::ACK, &[], Fate::Arrives);
    }

    /// Any part of what was said, once more, as one segment.
    pub fn resends(&mut self, range: Range<usize>) {
        self.conversation.now += RETRANSMISSION_TIMEOUT;
        self.transmit_said(range, Fate::Arrives);
        self.peer().acks();
    }

    /// Other bytes at the place of what was said from `start` on. They count
    /// as the retransmission of whatever was lost there.
    pub fn resends_as(&mut self, start: usize, bytes: &[u8]) {
        self.conversation.now += RETRANSMISSION_TIMEOUT;
        let covered = start..start + bytes.len();
        self.host()
            .lost
            .retain(|lost| !(covered.start <= lost.start && lost.end <= covered.end));
        self.transmit(
            offset_of(start),
            flag::PSH | flag::ACK,
            bytes,
            Fate::Arrives,
        );
        self.peer().acks();
    }

    /// Segments with the pieces in stream order, arriving in the given order.
    pub fn reorders(&mut self, pieces: &[&[u8]], arrival: &[usize]) {
        let ranges: Vec<_> = pieces.iter().map(|piece| self.remember(piece)).collect();
        for index in arrival {
            self.transmit_said(ranges[*index].clone(), Fate::Arrives);
            self.peer().acks();
        }
    }

    /// An empty segment that acknowledges what has arrived.
    pub fn acks(&mut self) {
        let next = self.host().next();
        self.transmit(next, flag::ACK, &[], Fate::Arrives);
    }

    /// Acknowledges the peer's data only up to byte `index`, though more may
    /// have arrived.
    pub fn acks_up_to(&mut self, index: usize) {
        let arrived = std::mem::replace(&mut self.host().expected, offset_of(index));
        self.acks();
        self.host().expected = arrived;
    }

    /// A keep-alive: one number before the next, with `garbage` as data
    /// (RFC 9293, 3.8.4).
    pub fn keeps_alive(&mut self, garbage: &[u8]) {
        let before_next = self.host().next() - 1;
        self.transmit(before_next, flag::ACK, garbage, Fate::Arrives);
        self.peer().acks();
    }

    pub fn fin(&mut self) {
        self.fin_with(b"");
    }

    /// Last data and FIN in one segment.
    pub fn fin_with(&mut self, bytes: &[u8]) {
        let next = self.host().next();
        self.remember(bytes);
        self.host().fin_sent = true;
        self.transmit(next, flag::FIN | flag::ACK, bytes, Fate::Arrives);
        self.peer().acks();
    }

    pub fn rst(&mut self) {
        let next = self.host().next();
        self.transmit(next, flag::RST | flag::ACK, &[], Fate::Arrives);
    }

    fn remember(&mut self, bytes: &[u8]) -> Range<usize> {
        let said = &mut self.host().said;
        let start = said.len();
        said.extend(bytes);
        start..said.len()
    }

    fn transmit_said(&mut self, range: Range<usize>, fate: Fate) {
        let bytes = self.host().said[range.clone()].to_vec();
        self.transmit(offset_of(range.start), flag::PSH | flag::ACK, &bytes, fate);
    }

    fn transmit(&mut self, offset: u64, flags: u8, bytes: &[u8], fate: Fate) {
        self.conversation
            .transmit(self.side, offset, flags, bytes, fate);
    }

    fn peer(&mut self) -> Speaker<'_> {
        let side = match self.side {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        Speaker {
            conversation: self.conversation,
            side,
        }
    }

    fn host(&mut self) -> &mut Host {
        self.conversation.pair(self.side).0
    }
}

impl Host {
    fn new(address: &str, isn: u32) -> Self {
        Self {
            address: address
                .parse()
                .expect("scenarios name hosts as ADDRESS:PORT"),
            isn,
            said: Vec::new(),
            fin_sent: false,
            lost: Vec::new(),
            expected: 0,
            ahead: BTreeMap::new(),
            newest_ahead: 0,
            echo_timestamp: 0,
            packets_sent: 0,
        }
    }

    /// Offset after everything sent.
    fn next(&self) -> u64 {
        offset_of(self.said.len()) + u64::from(self.fin_sent)
    }

    fn number(&self, offset: u64) -> u32 {
        // Sequence numbers are offsets modulo 2^32 (RFC 9293, 3.4).
        self.isn.wrapping_add(offset as u32)
    }

    fn take_in(&mut self, offset: u64, numbers: u64) {
        let end = offset + numbers;
        if offset > self.expected {
            let known = self.ahead.entry(offset).or_insert(end);
            *known = end.max(*known);
            self.newest_ahead = offset;
            return;
        }
        self.expected = self.expected.max(end);
        while let Some((&first, &last)) = self.ahead.first_key_value() {
            if first > self.expected {
                break;
            }
            self.expected = self.expected.max(last);
            self.ahead.remove(&first);
        }
    }

    /// Joined ranges beyond the first hole; the one received last comes first
    /// (RFC 2018, 4), and three fit beside timestamps.
    fn sack_blocks(&self, peer_isn: u32) -> Vec<(u32, u32)> {
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (&first, &last) in &self.ahead {
            match joined.last_mut() {
                Some((_, end)) if first <= *end => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        let newest = self.newest_ahead;
        joined.sort_by_key(|(first, last)| !(*first <= newest && newest < *last));
        joined.truncate(3);
        let number = |offset: u64| peer_isn.wrapping_add(offset as u32);
        joined
            .into_iter()
            .map(|(first, last)| (number(first), number(last)))
            .collect()
    }
}

/// The offset of the data byte with this index: the SYN takes number 0.
fn offset_of(index: usize) -> u64 {
    1 + index as u64
}

//! Follows every flow of a run and tells what it was.
//!
//! A [`Collector`] is told by a [`super::Witness`] what the engine sees: who opened each flow, its packets and
//! payload per direction, and for TCP the bytes that rules would have judged,
//! as a running hash. Flows are handed out in the order of their first
//! packets, each as soon as it and all before it are over, or as they end.
//! About 400 bytes a flow are kept, whatever it carries; no payload is.
//!
//! Not here: reassembly (the engine's), what is read where in the engine
//! (`witness`), text and JSON (`cli::flows`).

mod pending;

use std::ops::Range;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use super::announced::{self, Announced, Control};
use super::application;
use super::endpoint::Endpoint;
use super::history::{History, Mark};
use super::opener::Opener;
use crate::flow::Direction;
use crate::packet::decode::{TcpHeader, TunnelKind, protocol};
use crate::time::Timestamp;
use pending::Pending;

/// A flow that is over. Sides are seen from its opener.
#[derive(Clone, Debug)]
pub struct Flow {
    /// From 1, in the order of first packets.
    pub id: u64,
    pub protocol: u8,
    /// Who opened it: the sender of the SYN, else the receiver of the SYN
    /// with ACK, else the sender of the first packet.
    pub source: Endpoint,
    pub destination: Endpoint,
    pub vlans: SmallVec<[u16; 4]>,
    pub tunnels: SmallVec<[TunnelKind; 4]>,
    /// Number of its first frame in the run, from 1.
    pub first_frame: u64,
    pub start: Timestamp,
    pub end: Timestamp,
    pub application: Option<&'static str>,
    /// `fin`, `rst`, `fin_c`, `fin_s`, `timeout`, `evicted` or `open`.
    pub ended: &'static str,
    pub history: String,
    /// ICMP errors about packets of the flow.
    pub icmp_errors: u64,
    pub to_server: Side,
    pub to_client: Side,
}

/// One direction of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    pub packets: u64,
    /// Payload on the wire, retransmissions included.
    pub bytes: u64,
    /// TCP only.
    pub stream: Option<Stream>,
}

/// The bytes of one direction of a TCP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    pub state: StreamState,
    /// Length and SHA-256 of the contiguous bytes from the start: all of
    /// them, unless `state` is `Gap` or `Snap`.
    pub len: u64,
    pub sha256: [u8; 32],
    /// Bytes never seen.
    pub missing: u64,
}

/// How far the bytes of a direction can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// There was no payload.
    None,
    Ok,
    /// Its SYN was not seen: the stream starts with the first byte seen.
    Mid,
    /// Bytes are missing.
    Gap,
    /// Retransmitted with other bytes; those judged first are counted.
    Conflict,
    /// The capture cut its packets.
    Snap,
}

impl StreamState {
    pub const fn name(self) -> &'static str {
        match self {
            StreamState::None => "none",
            StreamState::Ok => "ok",
            StreamState::Mid => "mid",
            StreamState::Gap => "gap",
            StreamState::Conflict => "conflict",
            StreamState::Snap => "snap",
        }
    }

    /// Whether all bytes of the stream are there.
    pub const fn is_whole(self) -> bool {
        matches!(
            self,
            StreamState::Ok | StreamState::Mid | StreamState::Conflict
        )
    }
}

/// A packet as it was found on its flow.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// Number of the flow in this run: from 1, in order of the first packet,
    /// never used twice.
    pub flow: u64,
    /// As the flow table sees the flow.
    pub direction: Direction,
    pub source: Endpoint,
    pub destination: Endpoint,
    /// Protocol number of the datagram: 6, 17, 1, 58 or another.
    pub protocol: u8,
    /// Number of the frame, from 1 over all captures of the run.
    pub frame: u64,
    pub timestamp: Timestamp,
    /// The flag byte of a TCP header; 0 for other protocols.
    pub tcp_flags: u8,
    /// Payload above the transport header by its length fields, in bytes.
    pub payload_len: u32,
    /// What the capture has of the payload: shorter when the frame was cut.
    pub payload: &'a [u8],
    /// The transport checksum is wrong, and checksums are looked at.
    pub bad_checksum: bool,
    /// VLAN ids, outermost first.
    pub vlans: &'a [u16],
    /// Encapsulations around the packet, outermost first.
    pub tunnels: &'a [TunnelKind],
}

/// Why a flow is not followed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides closed it in order.
    Closed,
    /// By an RST that counted.
    Reset,
    /// No packet for as long as its state allows.
    Timeout,
    /// Given up so that another flow fits.
    Evicted,
    /// Dropped or reset by a rule.
    Refused,
    /// Another connection began between the same ends.
    Reused,
    /// The capture ended.
    CaptureEnd,
}

/// Collects flows. The numbers it is told are [`Sighting::flow`].
#[derive(Default)]
pub struct Collector {
    flows: Pending,
    announced: Announced,
}

impl Collector {
    /// One that hands flows out as soon as they are over, whether or not
    /// those before them are.
    pub fn as_they_end() -> Collector {
        Collector {
            flows: Pending::as_they_end(),
            announced: Announced::default(),
        }
    }

    /// The next flow in order, once it and all before it are over; or the
    /// first of those that are over ([`Collector::as_they_end`]).
    pub fn take_ended(&mut self) -> Option<Flow> {
        self.flows.take().map(Open::finish)
    }

    /// The capture is over: flows that the engine did not end are open.
    pub fn end_all(&mut self) {
        for flow in self.flows.numbers() {
            self.ended(flow, Ending::CaptureEnd);
        }
    }
}

impl Collector {
    /// A packet belongs to a flow: once for each, in order of arrival.
    pub fn packet(&mut self, sighting: &Sighting<'_>) {
        let announced = &mut self.announced;
        let open = || Open {
            application: announced.opens(sighting).then_some(announced::NAME),
            ..Open::new(sighting)
        };
        if let Some(open) = self.flows.get_or_open(sighting.flow, open) {
            open.count(sighting);
        }
    }

    /// The next bytes in order of one direction, `wire_len` of them before
    /// the capture cut the packet.
    pub fn bytes(&mut self, flow: u64, direction: Direction, bytes: &[u8], wire_len: usize) {
        if let Some(open) = self.flows.get(flow) {
            open.half(direction).take(bytes, wire_len);
            open.name_by_stream(direction);
            open.read_control(direction, bytes, wire_len, &mut self.announced);
        }
    }

    /// A retransmission or overlap brought other bytes than those judged.
    pub fn conflict(&mut self, flow: u64, direction: Direction) {
        if let Some(open) = self.flows.get(flow) {
            open.half(direction).conflict = true;
            open.history.add(direction, Mark::Conflict);
        }
    }

    /// The direction is over with a hole in it; these ranges of the stream
    /// were seen beyond, in ascending order.
    pub fn gap(
        &mut self,
        flow: u64,
        direction: Direction,
        beyond: impl Iterator<Item = Range<u64>>,
    ) {
        if let Some(open) = self.flows.get(flow) {
            open.half(direction).skip_to(beyond);
            if open.half(direction).missing > 0 {
                open.history.add(direction, Mark::Gap);
            }
        }
    }

    /// An ICMP error is about a packet of the flow.
    pub fn icmp_error(&mut self, flow: u64) {
        if let Some(open) = self.flows.get(flow) {
            open.icmp_errors += 1;
        }
    }

    /// An RST ended the flow.
    pub fn reset(&mut self, flow: u64) {
        self.ended(flow, Ending::Reset);
    }

    /// The flow is gone. The first cause told stands.
    pub fn ended(&mut self, flow: u64, ending: Ending) {
        if let Some(open) = self.flows.get(flow).filter(|open| open.ending.is_none()) {
            open.ending = Some(ending);
            self.flows.note_over(flow);
        }
    }
}

/// A flow under way. Directions are the engine's.
struct Open {
    /// In the order of first packets, once that is known.
    number: u64,
    protocol: u8,
    /// Ends of the direction "to the server", as the engine sees it.
    ends: [Endpoint; 2],
    vlans: SmallVec<[u16; 4]>,
    tunnels: SmallVec<[TunnelKind; 4]>,
    first_frame: u64,
    start: Timestamp,
    end: Timestamp,
    /// Direction in which the opener sends.
    opener: Opener,
    /// An RST was seen after the last FIN that began to close the flow.
    reset: bool,
    application: Option<&'static str>,
    control: Option<Box<Control>>,
    history: History,
    icmp_errors: u64,
    halves: [Half; 2],
    ending: Option<Ending>,
}

#[derive(Default)]
struct Half {
    packets: u64,
    wire_bytes: u64,
    syn: bool,
    fin: bool,
    /// Some packet was cut by the snap length.
    snapped: bool,
    /// Bytes in order were cut: what follows is not contiguous.
    cut: bool,
    conflict: bool,
    missing: u64,
    /// Place in the stream behind the last byte told of.
    next: u64,
    len: u64,
    hash: Sha256,
    start: SmallVec<[u8; application::ENOUGH]>,
}

impl Half {
    fn take(&mut self, bytes: &[u8], wire_len: usize) {
        self.next += wire_len as u64;
        if self.missing > 0 || self.cut {
            return;
        }
        self.cut = bytes.len() < wire_len;
        self.len += bytes.len() as u64;
        self.hash.update(bytes);
        let room = application::ENOUGH.saturating_sub(self.start.len());
        self.start
            .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn skip_to(&mut self, beyond: impl Iterator<Item = Range<u64>>) {
        for seen in beyond {
            self.missing += seen.start.saturating_sub(self.next);
            self.next = self.next.max(seen.end);
        }
    }

    fn finish(self, tcp: bool) -> Side {
        let state = self.state();
        let Half {
            packets,
            wire_bytes,
            len,
            missing,
            hash,
            ..
        } = self;
        let stream = tcp.then(|| Stream {
            state,
            len,
            missing,
            sha256: hash.finalize().into(),
        });
        Side {
            packets,
            bytes: wire_bytes,
            stream,
        }
    }

    fn state(&self) -> StreamState {
        match () {
            () if self.snapped || self.cut => StreamState::Snap,
            () if self.missing > 0 => StreamState::Gap,
            () if self.len == 0 => StreamState::None,
            () if self.conflict => StreamState::Conflict,
            () if !self.syn => StreamState::Mid,
            () => StreamState::Ok,
        }
    }
}

impl Open {
    fn new(sighting: &Sighting<'_>) -> Open {
        let (mut from, mut to) = (sighting.source, sighting.destination);
        if sighting.direction == Direction::ToClient {
            std::mem::swap(&mut from, &mut to);
        }
        Open {
            number: 0,
            protocol: sighting.protocol,
            ends: [from, to],
            vlans: SmallVec::from_slice(sighting.vlans),
            tunnels: SmallVec::from_slice(sighting.tunnels),
            first_frame: sighting.frame,
            start: sighting.timestamp,
            end: sighting.timestamp,
            opener: Opener::FirstSender(sighting.direction),
            reset: false,
            application: None,
            control: match sighting.protocol {
                protocol::TCP => Control::of([from, to]),
                _ => None,
            },
            history: History::default(),
            icmp_errors: 0,
            halves: Default::default(),
            ending: None,
        }
    }

    fn half(&mut self, direction: Direction) -> &mut Half {
        let [to_server, to_client] = &mut self.halves;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    fn count(&mut self, sighting: &Sighting<'_>) {
        self.end = self.end.max(sighting.timestamp);
        let half = self.half(sighting.direction);
        half.packets += 1;
        half.wire_bytes += u64::from(sighting.payload_len);
        half.snapped |= sighting.payload.len() < sighting.payload_len as usize;
        if sighting.bad_checksum {
            self.history.add(sighting.direction, Mark::BadChecksum);
        }
        if self.protocol == protocol::TCP {
            self.note_segment(sighting);
            return;
        }
        if sighting.payload_len > 0 {
            self.history.add(sighting.direction, Mark::Data);
        }
        if self.protocol == protocol::UDP && self.application.is_none() {
            let found = application::of_datagram(sighting.payload, self.ports());
            self.application = found.map(|found| found.name);
        }
    }

    fn note_segment(&mut self, sighting: &Sighting<'_>) {
        let (direction, flags) = (sighting.direction, sighting.tcp_flags);
        self.history
            .add_segment(direction, flags, sighting.payload_len > 0);
        if flags & TcpHeader::SYN != 0 {
            self.half(direction).syn = true;
            self.opener.note(direction, flags);
        }
        if flags & TcpHeader::RST != 0 {
            self.reset = true;
        } else if flags & TcpHeader::FIN != 0 && !self.half(direction).fin {
            self.half(direction).fin = true;
            // The ends went on past the RST: it did not count.
            self.reset = false;
        }
    }

    fn ports(&self) -> [u16; 2] {
        self.ends.map(|end| end.port)
    }

    fn name_by_stream(&mut self, direction: Direction) {
        if self.application.is_none() {
            let ports = self.ports();
            let found = application::of_stream(&self.half(direction).start, ports);
            self.application = found.map(|found| found.name);
        }
    }

    /// What an FTP control connection says of other connections.
    fn read_control(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        wire_len: usize,
        announced: &mut Announced,
    ) {
        if self.application.is_some_and(|name| name != "ftp") {
            self.control = None;
        }
        if let Some(control) = &mut self.control {
            let missing = wire_len.saturating_sub(bytes.len()) as u64;
            let around = (&self.vlans[..], &self.tunnels[..]);
            control.read(direction, bytes, missing, self.end, around, announced);
        }
    }

    fn ended(&self, client_fin: bool, server_fin: bool) -> &'static str {
        match self.ending {
            Some(Ending::Evicted) => "evicted",
            Some(Ending::Reset) => "rst",
            _ if self.reset => "rst",
            _ if client_fin && server_fin => "fin",
            _ if client_fin => "fin_c",
            _ if server_fin => "fin_s",
            Some(Ending::Timeout) => "timeout",
            _ => "open",
        }
    }

    fn finish(self: Box<Open>) -> Flow {
        let swapped = self.opener.direction() == Direction::ToClient;
        let history = self.history.letters(swapped);
        let [mut source, mut destination] = self.ends;
        let (mut client_fin, mut server_fin) = (self.halves[0].fin, self.halves[1].fin);
        if swapped {
            std::mem::swap(&mut source, &mut destination);
            std::mem::swap(&mut client_fin, &mut server_fin);
        }
        let ended = self.ended(client_fin, server_fin);
        let tcp = self.protocol == protocol::TCP;
        let [mut to_server, mut to_client] = self.halves.map(|half| half.finish(tcp));
        if swapped {
            std::mem::swap(&mut to_server, &mut to_client);
        }
        Flow {
            id: self.number,
            protocol: self.protocol,
            source,
            destination,
            vlans: self.vlans,
            tunnels: self.tunnels,
            first_frame: self.first_frame,
            start: self.start,
            end: self.end,
            application: self.application,
            ended,
            history,
            icmp_errors: self.icmp_errors,
            to_server,
            to_client,
        }
    }
}

#[cfg(test)]
mod tests;

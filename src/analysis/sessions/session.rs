//! One flow's bytes on their way to the parser that understands them.
//!
//! The parser is chosen by the first bytes of either direction. Until then
//! what both say is kept, at most [`MOST_WAITING`] bytes, so that the parser
//! gets everything in the order of arrival. A direction whose beginning the
//! capture does not have is tried again with each chunk. A protocol that others
//! turn into (`Protocol::searches`) is looked for in every stream, beside the
//! one that was recognised.

use smallvec::SmallVec;

use super::protocols::{Protocol, find};
use super::reader::{DatagramReader, Show, StreamReader};
use crate::analysis::application::{self, Application, Speaker};
use crate::analysis::arrivals::Arrivals;
use crate::analysis::endpoint::Endpoint;
use crate::analysis::opener::Opener;
use crate::flow::Direction;
use crate::time::Timestamp;

/// Bytes of both directions kept before anything is recognised. A flow that
/// says more without being recognised is not read.
const MOST_WAITING: usize = 4096;

/// The frame in which something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Number of the frame in the run.
    pub frame: u64,
    pub timestamp: Timestamp,
}

/// A flow under way. Directions are the engine's.
pub(super) struct Session {
    /// Ends of the direction "to the server".
    pub ends: [Endpoint; 2],
    pub transport: u8,
    pub opener: Opener,
    /// The latest packet.
    pub moment: Moment,
    /// Place in each stream behind the last byte told of.
    pub next: [u64; 2],
    /// The capture has the SYN of a direction.
    pub begun: [bool; 2],
    finished: [bool; 2],
    reading: Reading,
    /// The parser that searches; none while nothing was said.
    beside: Option<Stream>,
    wanted: bool,
}

enum Reading {
    /// Not recognised yet; `None` while nothing was said.
    Waiting(Option<Box<Waiting>>),
    Stream(Stream),
    Datagrams(&'static Protocol, Box<dyn DatagramReader>),
    /// Nobody wants it, or nobody understands it.
    Nothing,
}

#[derive(Default)]
struct Waiting {
    chunks: Vec<Chunk>,
    bytes: usize,
    halves: [Start; 2],
}

#[derive(Default)]
struct Start {
    bytes: SmallVec<[u8; application::ENOUGH]>,
    /// Its beginning is known and says nothing.
    mute: bool,
}

struct Chunk {
    direction: Direction,
    moment: Moment,
    bytes: Vec<u8>,
}

struct Stream {
    protocol: &'static Protocol,
    reader: Box<dyn StreamReader>,
    /// The opener, as the parser sees it, sends [`Direction::ToClient`].
    swapped: bool,
    /// As the parser sees directions.
    arrivals: Arrivals<Moment>,
}

impl Stream {
    /// A direction of the engine as the parser sees it, and back.
    fn turned(&self, direction: Direction) -> Direction {
        match self.swapped {
            true => direction.opposite(),
            false => direction,
        }
    }
}

/// Is shown a message: its protocol, its sender's direction, when.
pub(super) type Told<'a> =
    &'a mut dyn FnMut(&'static Protocol, Direction, Moment, &dyn super::Message);

impl Session {
    pub fn new(ends: [Endpoint; 2], transport: u8, first: Direction, moment: Moment) -> Session {
        Session {
            ends,
            transport,
            opener: Opener::FirstSender(first),
            moment,
            next: [0; 2],
            begun: [false; 2],
            finished: [false; 2],
            reading: Reading::Waiting(None),
            beside: None,
            wanted: true,
        }
    }

    /// Nobody wants the messages of this flow.
    pub fn ignore(&mut self) {
        self.reading = Reading::Nothing;
        self.wanted = false;
    }

    /// The payload of a datagram.
    pub fn datagram(
        &mut self,
        table: &'static [Protocol],
        direction: Direction,
        payload: &[u8],
        told: Told<'_>,
    ) {
        let from_opener = self.opener.direction() == direction;
        let moment = self.moment;
        if let Reading::Waiting(_) = self.reading {
            let found = application::of_datagram(payload, self.ports());
            let row = found.and_then(|found| find(table, found.name));
            let Some((row, make)) = row.and_then(|row| Some((row, row.datagrams?))) else {
                return;
            };
            self.reading = Reading::Datagrams(row, make());
        }
        if let Reading::Datagrams(row, reader) = &mut self.reading {
            let way = match from_opener {
                true => Direction::ToServer,
                false => Direction::ToClient,
            };
            reader.parse(payload, way, &mut |_, message| {
                told(row, direction, moment, message);
            });
        }
    }

    /// The next bytes of a stream, all that came of `wire_len`.
    pub fn bytes(
        &mut self,
        table: &'static [Protocol],
        direction: Direction,
        bytes: &[u8],
        wire_len: usize,
        told: Told<'_>,
    ) {
        self.next[direction.index()] += wire_len as u64;
        if !self.wanted {
            return;
        }
        if !bytes.is_empty() {
            self.search(table, direction, bytes);
            let moment = self.moment;
            for stream in self.streams() {
                stream.feed(direction, moment, bytes, told);
            }
            self.wait(table, direction, bytes, told);
        }
        if bytes.len() < wire_len {
            self.skip(direction, (wire_len - bytes.len()) as u64, told);
        }
    }

    /// Bytes of the stream before `offset` were never seen.
    pub fn gap(&mut self, direction: Direction, offset: u64, told: Told<'_>) {
        let next = &mut self.next[direction.index()];
        let missing = offset.saturating_sub(*next);
        *next = offset.max(*next);
        if missing > 0 {
            self.skip(direction, missing, told);
        }
    }

    fn skip(&mut self, direction: Direction, missing: u64, told: Told<'_>) {
        self.read(direction, told, |reader, way, show| {
            reader.gap(way, missing, show);
        });
        if let Reading::Waiting(waiting) = &mut self.reading {
            if let Some(waiting) = waiting {
                waiting.forget(direction);
            }
            self.begun[direction.index()] = false;
        }
    }

    /// Nothing follows in a direction.
    pub fn fin(&mut self, direction: Direction, told: Told<'_>) {
        if !std::mem::replace(&mut self.finished[direction.index()], true) {
            self.read(direction, told, |reader, way, show| {
                reader.fin(way, show);
            });
        }
    }

    /// The sender in a direction broke off.
    pub fn rst(&mut self, direction: Direction) {
        for stream in self.streams() {
            let way = stream.turned(direction);
            stream.reader.rst(way);
        }
    }

    /// The flow is over.
    pub fn close(&mut self, told: Told<'_>) {
        for direction in Direction::BOTH {
            self.fin(direction, told);
        }
    }

    fn ports(&self) -> [u16; 2] {
        self.ends.map(|end| end.port)
    }

    fn read(
        &mut self,
        direction: Direction,
        told: Told<'_>,
        read: impl Fn(&mut dyn StreamReader, Direction, Show<'_>),
    ) {
        let moment = self.moment;
        for stream in self.streams() {
            stream.read(direction, moment, told, &read);
        }
    }

    fn streams(&mut self) -> impl Iterator<Item = &mut Stream> {
        let recognised = match &mut self.reading {
            Reading::Stream(stream) => Some(stream),
            _ => None,
        };
        recognised.into_iter().chain(&mut self.beside)
    }

    /// With the first bytes begins whoever searches for its own.
    fn search(&mut self, table: &'static [Protocol], direction: Direction, bytes: &[u8]) {
        if self.beside.is_some() {
            return;
        }
        let row = table.iter().find(|row| row.searches);
        let Some((protocol, make)) = row.and_then(|row| Some((row, row.stream?))) else {
            return;
        };
        let found = application::of_stream(bytes, self.ports());
        let speaker = found.map_or(Speaker::Either, |found| found.speaker);
        let swapped = self.opens(direction, speaker) == Direction::ToClient;
        self.beside = Some(Stream::new(protocol, make(), swapped));
    }

    /// The direction of the opener, given who speaks in `direction`: where no
    /// SYN told who opened the flow, what is said does.
    fn opens(&self, direction: Direction, speaker: Speaker) -> Direction {
        match (self.opener, speaker) {
            (Opener::FirstSender(_), Speaker::Client) => direction,
            (Opener::FirstSender(_), Speaker::Server) => direction.opposite(),
            _ => self.opener.direction(),
        }
    }

    /// Keeps bytes until the flow is recognised, which may be now.
    fn wait(
        &mut self,
        table: &'static [Protocol],
        direction: Direction,
        bytes: &[u8],
        told: Told<'_>,
    ) {
        let (ports, begun) = (self.ports(), self.begun[direction.index()]);
        let Reading::Waiting(waiting) = &mut self.reading else {
            return;
        };
        let waiting = waiting.get_or_insert_default();
        waiting.keep(direction, self.moment, bytes);
        let start = &mut waiting.halves[direction.index()];
        if let Some(found) = application::of_stream(&start.bytes, ports) {
            let chunks = std::mem::take(&mut waiting.chunks);
            self.recognise(table, direction, found);
            for chunk in chunks {
                if let Reading::Stream(stream) = &mut self.reading {
                    stream.feed(chunk.direction, chunk.moment, &chunk.bytes, told);
                }
            }
            return;
        }
        if start.bytes.len() >= application::ENOUGH {
            match begun {
                true => start.mute = true,
                false => waiting.forget(direction),
            }
        }
        let mute = waiting.halves.iter().all(|half| half.mute);
        if mute || waiting.bytes > MOST_WAITING {
            self.reading = Reading::Nothing;
        }
    }

    fn recognise(&mut self, table: &'static [Protocol], direction: Direction, found: Application) {
        // What searches has found it already.
        let row = find(table, found.name).filter(|row| !row.searches);
        let Some((protocol, make)) = row.and_then(|row| Some((row, row.stream?))) else {
            self.reading = Reading::Nothing;
            return;
        };
        let swapped = self.opens(direction, found.speaker) == Direction::ToClient;
        self.reading = Reading::Stream(Stream::new(protocol, make(), swapped));
    }
}

impl Stream {
    fn new(protocol: &'static Protocol, reader: Box<dyn StreamReader>, swapped: bool) -> Stream {
        Stream {
            protocol,
            reader,
            swapped,
            arrivals: Arrivals::default(),
        }
    }

    fn feed(&mut self, direction: Direction, moment: Moment, bytes: &[u8], told: Told<'_>) {
        let way = self.turned(direction);
        self.arrivals.add(way, bytes.len(), moment);
        self.read(direction, moment, told, |reader, way, show| {
            reader.feed(way, bytes, show);
        });
    }

    fn read(
        &mut self,
        direction: Direction,
        moment: Moment,
        told: Told<'_>,
        read: impl FnOnce(&mut dyn StreamReader, Direction, Show<'_>),
    ) {
        let way = self.turned(direction);
        let (protocol, swapped) = (self.protocol, self.swapped);
        let (reader, arrivals) = (&mut *self.reader, &mut self.arrivals);
        read(reader, way, &mut |waited, message| {
            let (sender, moment) = arrivals.origin(way, moment, waited);
            let sender = if swapped { sender.opposite() } else { sender };
            told(protocol, sender, moment, message);
        });
        arrivals.keep(|way| reader.waiting(way));
    }
}

impl Waiting {
    fn keep(&mut self, direction: Direction, moment: Moment, bytes: &[u8]) {
        let start = &mut self.halves[direction.index()].bytes;
        let room = application::ENOUGH.saturating_sub(start.len());
        start.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.bytes += bytes.len();
        self.chunks.push(Chunk {
            direction,
            moment,
            bytes: bytes.to_vec(),
        });
    }

    /// What a direction said is of no use to a parser.
    fn forget(&mut self, direction: Direction) {
        self.halves[direction.index()] = Start::default();
        self.chunks.retain(|chunk| chunk.direction != direction);
        self.bytes = self.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
    }
}

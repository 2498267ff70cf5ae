//! Opens the Initial packets of one flow and finds the hellos in them.
//!
//! Who is the client is told by whose key opens a packet. A Retry makes the
//! client take another connection id, and with it other keys (RFC 9001, 5.2);
//! so a packet that the known keys do not open is tried with keys of its own,
//! a few times. Once both hellos are there, packets of the connection are
//! passed over by their connection ids.

use ring::digest::{self, Digest};

use super::gather::Gathered;
use super::header::{Initial, LONGEST_ID, Packet, next_packet, varint};
use super::keys::Keys;
use crate::flow::Direction;
use crate::proto::tls::reader::handshake;
use crate::proto::tls::wire::Wire;

/// How often keys are derived in vain before a flow is let go.
const MOST_FAILURES: u8 = 8;

/// How many connections one flow may carry, one after the other.
const MOST_CONNECTIONS: u8 = 64;

/// Bytes before the body of a handshake message.
const MESSAGE_HEADER: usize = 4;

/// Whose hello became whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hello {
    Client,
    Server,
}

/// Reads the datagrams of one flow.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    connection: Option<Box<Connection>>,
    failures: u8,
    connections: u8,
    /// Room for opened packets.
    room: Vec<u8>,
    /// The hello last given: its body.
    body: Vec<u8>,
    /// SHA-256 of the client's hello last given.
    told: Option<Digest>,
}

#[derive(Clone, Debug)]
struct Connection {
    keys: Keys,
    version: u32,
    client: Direction,
    /// The id that the keys come from, and the one that the server took.
    ids: [Id; 2],
    sides: [Side; 2],
}

#[derive(Clone, Debug, Default)]
struct Side {
    gathered: Gathered,
    largest: Option<u64>,
    done: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Id {
    bytes: [u8; LONGEST_ID],
    length: u8,
}

impl Id {
    fn of(bytes: &[u8]) -> Id {
        let mut id = Id {
            length: bytes.len().min(LONGEST_ID) as u8,
            ..Id::default()
        };
        for (own, byte) in id.bytes.iter_mut().zip(bytes) {
            *own = *byte;
        }
        id
    }
}

impl Reader {
    /// Reads one datagram; a hello that became whole with it is then
    /// [`Reader::body`].
    pub fn read(&mut self, mut datagram: &[u8], direction: Direction) -> Option<Hello> {
        self.body.clear();
        if self.is_done() {
            return None;
        }
        let mut found = None;
        while let Some(packet) = next_packet(&mut datagram) {
            if let Packet::Initial(initial) = packet {
                found = self.read_initial(&initial, direction).or(found);
            }
        }
        found
    }

    /// The hello last given, without its header.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The version of the connection that the hello belongs to.
    pub fn version(&self) -> Option<u32> {
        self.connection
            .as_ref()
            .map(|connection| connection.version)
    }

    /// The hello of the client that sends in that direction is not whole.
    pub fn is_gathering(&self, direction: Direction) -> bool {
        self.connection.as_ref().is_some_and(|connection| {
            direction == connection.client && !connection.sides[usize::from(true)].done
        })
    }

    /// Nothing will be found in this flow any more.
    pub fn is_done(&self) -> bool {
        self.failures >= MOST_FAILURES || self.connections > MOST_CONNECTIONS
    }

    /// A connection of QUIC was found.
    pub fn is_recognised(&self) -> bool {
        self.connection.is_some()
    }

    fn read_initial(&mut self, packet: &Initial, direction: Direction) -> Option<Hello> {
        let Reader {
            connection, room, ..
        } = self;
        if let Some(connection) = connection {
            let from_client = direction == connection.client;
            if connection.is_settled(packet, from_client) {
                return None;
            }
            if connection.open(packet, from_client, room) {
                return self.complete(from_client);
            }
            if !from_client {
                return None;
            }
        }
        self.begin(packet, direction)
    }

    /// Takes the packet for the first of a client.
    fn begin(&mut self, packet: &Initial, client: Direction) -> Option<Hello> {
        if self.is_done() {
            return None;
        }
        let mut connection = Box::new(Connection {
            keys: Keys::derive(packet.version, packet.destination)?,
            version: packet.version_number,
            client,
            ids: [Id::of(packet.destination), Id::default()],
            sides: Default::default(),
        });
        if !connection.open(packet, true, &mut self.room) {
            self.failures += 1;
            return None;
        }
        self.connections += 1;
        self.connection = Some(connection);
        self.complete(true)
    }

    /// Whether the hello of a side is whole now.
    fn complete(&mut self, from_client: bool) -> Option<Hello> {
        let connection = self.connection.as_mut()?;
        let side = connection.side(from_client);
        if side.done {
            return None;
        }
        let (wanted, hello) = match from_client {
            true => (handshake::CLIENT_HELLO, Hello::Client),
            false => (handshake::SERVER_HELLO, Hello::Server),
        };
        let mut wire = Wire(side.gathered.front());
        let kind = wire.u8()?;
        if kind != wanted {
            side.settle();
            return None;
        }
        let body = wire.vec24()?;
        debug_assert_eq!(
            body.len() + MESSAGE_HEADER,
            side.gathered.front().len() - wire.0.len()
        );
        self.body.extend_from_slice(body);
        side.settle();
        // After a Retry the client says the same again under other keys.
        let digest = digest::digest(&digest::SHA256, &self.body);
        if from_client
            && self
                .told
                .replace(digest)
                .is_some_and(|told| told.as_ref() == digest.as_ref())
        {
            return None;
        }
        Some(hello)
    }
}

impl Connection {
    fn side(&mut self, client: bool) -> &mut Side {
        &mut self.sides[usize::from(client)]
    }

    /// The packet belongs to this connection, and its side has been read.
    fn is_settled(&self, packet: &Initial, from_client: bool) -> bool {
        self.sides[usize::from(from_client)].done
            && (!from_client || self.ids.contains(&Id::of(packet.destination)))
    }

    fn open(&mut self, packet: &Initial, from_client: bool, room: &mut Vec<u8>) -> bool {
        let side = &mut self.sides[usize::from(from_client)];
        let key = match from_client {
            true => &self.keys.client,
            false => &self.keys.server,
        };
        let Some((number, frames)) = key.open(packet, side.largest, room) else {
            return false;
        };
        side.largest = side.largest.max(Some(number));
        if !from_client {
            self.ids[1] = Id::of(packet.source);
        }
        if !side.done && !side.read_frames(frames) {
            // Beyond a cap the hello never becomes whole.
            side.settle();
        }
        true
    }
}

impl Side {
    /// Nothing more is gathered.
    fn settle(&mut self) {
        self.done = true;
        self.gathered = Gathered::default();
    }

    /// Reads the frames that an Initial packet may have (RFC 9000, 12.4);
    /// others end it. False if a cap was reached.
    fn read_frames(&mut self, frames: &[u8]) -> bool {
        let mut wire = Wire(frames);
        while let Some(kind) = wire.u8() {
            let known = match kind {
                0x00 | 0x01 => Some(()),
                0x02 | 0x03 => skip_ack(&mut wire, kind == 0x03),
                0x06 => {
                    let Some((offset, bytes)) = crypto(&mut wire) else {
                        return true;
                    };
                    if !self.gathered.add(offset, bytes) {
                        return false;
                    }
                    Some(())
                }
                _ => None,
            };
            if known.is_none() {
                break;
            }
        }
        true
    }
}

fn crypto<'a>(wire: &mut Wire<'a>) -> Option<(u64, &'a [u8])> {
    let offset = varint(wire)?;
    let length = usize::try_from(varint(wire)?).ok()?;
    Some((offset, wire.take(length)?))
}

fn skip_ack(wire: &mut Wire, with_ecn: bool) -> Option<()> {
    let _largest = varint(wire)?;
    let _delay = varint(wire)?;
    let ranges = varint(wire)?;
    let _first = varint(wire)?;
    // Each turn takes two bytes at least, so the packet bounds it.
    for _ in 0..ranges {
        varint(wire)?;
        varint(wire)?;
    }
    if with_ecn {
        for _ in 0..3 {
            varint(wire)?;
        }
    }
    Some(())
}

/// Reads bytes as the frames of packets already opened, `cut` of them in
/// each, and gives the first hello.
pub(super) fn read_opened(frames: &[u8], cut: usize) -> Option<Vec<u8>> {
    let mut side = Side::default();
    for packet in frames.chunks(cut.max(1)) {
        if !side.read_frames(packet) {
            return None;
        }
    }
    Some(side.gathered.front().to_vec())
}

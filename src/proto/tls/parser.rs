//! The streaming parser of TLS: both directions of a connection.
//!
//! A stream that does not begin with TLS may still come to it (STARTTLS and
//! its like, proxies): the first bytes of each direction are searched for a
//! hello. After that nothing is kept and nothing is read.

use crate::flow::Direction;
use crate::proto::parser::SessionParser;

use super::certificate;
use super::fingerprint::Carrier;
use super::hello;
use super::message::{Alert, Anomaly, ClientHello, Message, ServerHello};
use super::reader::{Item, Reader, handshake};

/// How far into a direction in the clear a hello is looked for, in bytes.
pub const PREFACE: usize = 8 << 10;

/// Bytes that tell a hello: a record's header, a message's header and the
/// first byte of the version.
const SIGN: usize = 10;
/// Which of them is the message's type.
const KIND_AT: usize = 5;

/// What is wrong with a hello that cannot be read.
pub(super) const BEYOND: &str = "a length points beyond the message";

/// Reads both directions of one connection.
///
/// ```
/// use wero::proto::parser::SessionParser;
/// use wero::proto::tls;
///
/// let mut parser = tls::Parser::default();
/// let alert = parser.feed_responder(&[21, 3, 3, 0, 2, 2, 40]);
/// let tls::Message::Alert(alert) = &alert[0] else { panic!() };
/// assert_eq!(alert.name, Some("handshake_failure"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Parser {
    initiator: Side,
    responder: Side,
}

#[derive(Clone, Debug)]
enum Side {
    /// Not yet TLS: the bytes so far, of which the first so many are no hello.
    Before {
        bytes: Vec<u8>,
        searched: usize,
    },
    Within(Box<Inside>),
}

/// A direction that speaks TLS, or is not read any more.
#[derive(Clone, Debug, Default)]
struct Inside {
    reader: Reader,
    /// Messages of the record that is not whole yet: a peer reads none of
    /// them before it is.
    pending: Vec<Message>,
    /// [`Reader::records`] at the last look.
    records: u32,
}

impl Default for Side {
    fn default() -> Side {
        Side::Before {
            bytes: Vec::new(),
            searched: 0,
        }
    }
}

impl Parser {
    /// Nothing more will come of either direction.
    pub fn is_done(&self) -> bool {
        [&self.initiator, &self.responder]
            .iter()
            .all(|side| matches!(side, Side::Within(inside) if inside.reader.is_done()))
    }

    /// TLS was spoken.
    pub fn is_recognised(&self) -> bool {
        self.initiator.is_recognised() || self.responder.is_recognised()
    }
}

impl SessionParser for Parser {
    type Message = Message;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Message> {
        let answers = self.responder.is_recognised();
        self.initiator.feed(bytes, answers)
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Message> {
        let answers = self.initiator.is_recognised();
        self.responder.feed(bytes, answers)
    }

    fn fin_initiator(&mut self) -> Vec<Message> {
        self.initiator.stop()
    }

    fn fin_responder(&mut self) -> Vec<Message> {
        self.responder.stop()
    }

    fn rst_initiator(&mut self) {
        self.initiator.stop();
    }

    fn rst_responder(&mut self) {
        self.responder.stop();
    }

    /// Records cannot be found again behind a gap.
    fn gap(&mut self, direction: Direction, _: u64) -> Vec<Message> {
        match direction {
            Direction::ToServer => self.initiator.stop(),
            Direction::ToClient => self.responder.stop(),
        }
    }
}

impl Side {
    /// Nothing more is read; what a record left open is given out.
    fn stop(&mut self) -> Vec<Message> {
        let mut inside = match std::mem::take(self) {
            Side::Within(inside) => inside,
            Side::Before { .. } => Box::default(),
        };
        inside.reader.stop();
        let pending = std::mem::take(&mut inside.pending);
        *self = Side::Within(inside);
        pending
    }

    fn is_recognised(&self) -> bool {
        matches!(self, Side::Within(inside) if inside.reader.is_recognised())
    }

    /// `answers`: the other side speaks TLS, so that this one may begin to.
    fn feed(&mut self, mut bytes: &[u8], answers: bool) -> Vec<Message> {
        let mut messages = Vec::new();
        match self {
            Side::Within(inside) => inside.read(bytes, &mut messages),
            Side::Before {
                bytes: before,
                searched,
            } => {
                // The first bytes decide nearly always.
                let room = PREFACE - before.len();
                before.extend_from_slice(&bytes[..bytes.len().min(room)]);
                bytes = &bytes[bytes.len().min(room)..];
                let Some(start) = find(before, searched, answers) else {
                    if before.len() == PREFACE {
                        self.stop();
                    }
                    return messages;
                };
                let before = std::mem::take(before);
                let mut inside = Box::<Inside>::default();
                inside.read(&before[start..], &mut messages);
                inside.read(bytes, &mut messages);
                *self = Side::Within(inside);
            }
        }
        messages
    }
}

impl Inside {
    fn read(&mut self, mut bytes: &[u8], messages: &mut Vec<Message>) {
        while let Some(item) = self.reader.read(&mut bytes) {
            self.tell_whole(messages);
            read_item(&self.reader, item, &mut self.pending);
            self.tell_whole(messages);
        }
        self.tell_whole(messages);
    }

    /// Messages of records that are whole are told; the next record may have
    /// begun since.
    fn tell_whole(&mut self, messages: &mut Vec<Message>) {
        let records = self.reader.records();
        if records != self.records || !self.reader.is_within_record() {
            messages.append(&mut self.pending);
        }
        self.records = records;
    }
}

/// Where TLS begins in what came so far. `searched` moves past what cannot
/// be a beginning, whatever follows.
fn find(bytes: &[u8], searched: &mut usize, answers: bool) -> Option<usize> {
    if *searched == 0 {
        match begins_stream(bytes) {
            Some(true) => return Some(0),
            Some(false) => *searched = 1,
            None => return None,
        }
    }
    while let Some(at) = memchr::memchr(22, &bytes[*searched..]) {
        *searched += at;
        match is_hello(&bytes[*searched..]) {
            // A server does not begin of its own accord.
            Some(true) if bytes[*searched + KIND_AT] != handshake::SERVER_HELLO || answers => {
                return Some(*searched);
            }
            Some(_) => *searched += 1,
            None => return None,
        }
    }
    *searched = bytes.len().max(1);
    None
}

/// Whether a stream that begins so is TLS; none while that is open.
pub(super) fn begins_stream(bytes: &[u8]) -> Option<bool> {
    match *bytes {
        [] => None,
        [21, 3, 0..=4, 0, 2, 1 | 2, _, ..] => Some(true),
        // A hello of SSL 2.0; the reader looks closer.
        [0x80..=0xff, _, 1, 0, 2, ..] | [0x80..=0xff, _, 1, 3, 0..=4, ..] => Some(true),
        [21 | 0x80..=0xff, ..] if bytes.len() < 7 => None,
        [22, ..] => is_record_of_hello(bytes),
        _ => Some(false),
    }
}

/// A hello at the very beginning may be cut over records as it likes.
fn is_record_of_hello(bytes: &[u8]) -> Option<bool> {
    const SHORT: usize = 6;
    match *bytes {
        [22, 3, 0..=4, _, _, 1 | 2, ..] => Some(true),
        _ if bytes.len() < SHORT => None,
        _ => Some(false),
    }
}

/// Whether this is a hello in the midst of a stream: a handshake record, a
/// hello no longer than it should be, a version.
fn is_hello(bytes: &[u8]) -> Option<bool> {
    let hello = match *bytes {
        [22, 3, 0..=4, _, _, 1 | 2, 0, _, _, 3, ..] => true,
        _ if bytes.len() >= SIGN => false,
        // Even the shortest prefix can tell that it is none.
        [22] | [22, 3] | [22, 3, 0..=4, ..] => return None,
        _ => false,
    };
    Some(hello)
}

fn read_item(reader: &Reader, item: Item, messages: &mut Vec<Message>) {
    match item {
        Item::Handshake {
            kind,
            record_version,
        } => read_handshake(kind, record_version, reader.body(), messages),
        Item::Ssl2Hello => messages.push(client_hello(
            hello::ClientHello::parse_ssl2(reader.body()),
            Some(0x0002),
            Carrier::Tcp,
        )),
        Item::Alert {
            level, description, ..
        } => messages.push(Message::Alert(Alert::of(level, description))),
        Item::Fault(fault) => messages.push(Message::Anomaly(Anomaly::of(fault))),
    }
}

fn read_handshake(kind: u8, record_version: u16, body: &[u8], messages: &mut Vec<Message>) {
    match kind {
        handshake::CLIENT_HELLO => {
            let hello = hello::ClientHello::parse(body);
            messages.push(client_hello(hello, Some(record_version), Carrier::Tcp));
        }
        handshake::SERVER_HELLO => messages.push(server_hello(body)),
        handshake::CERTIFICATE => {
            let (certificate, fault) = certificate::read(body);
            messages.extend(certificate.map(|one| Message::Certificate(Box::new(one))));
            messages.extend(
                fault.map(|detail| Message::Anomaly(Anomaly::new("certificate_malformed", detail))),
            );
        }
        _ => {}
    }
}

/// The message for what was read of a ClientHello.
pub(crate) fn client_hello(
    hello: Option<hello::ClientHello>,
    record_version: Option<u16>,
    carrier: Carrier,
) -> Message {
    match hello {
        Some(hello) => {
            let message = ClientHello::of(&hello, record_version, carrier);
            Message::ClientHello(Box::new(message))
        }
        None => Message::Anomaly(Anomaly::new("client_hello_malformed", BEYOND)),
    }
}

/// The message for the body of a ServerHello.
pub(crate) fn server_hello(body: &[u8]) -> Message {
    match hello::ServerHello::parse(body) {
        Some(hello) => Message::ServerHello(ServerHello::of(&hello)),
        None => Message::Anomaly(Anomaly::new("server_hello_malformed", BEYOND)),
    }
}

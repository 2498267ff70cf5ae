//! HTTP/1 without an engine: bytes of both sides in, messages out.
//!
//! The heads and bodies are told apart by the same code that the engine's
//! reader uses. Nothing is refused: what can be read in two ways is told and
//! read on as `Anomaly` says, and a direction that cannot be read is told
//! and left. Bodies are not kept, only counted and hashed, without their
//! chunks and content codings.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::anomaly::{Anomaly, Fault};
use super::coding::Decoder;
use super::connection::{Found, Need, Session};
use super::framing::{self, Framing};
use super::head::{Head, Kind, Limits};
use crate::flow::Direction;
use crate::proto::parser::SessionParser;

/// Wide, since a parser that only watches need not refuse anything.
const LIMITS: Limits = Limits {
    line: 64 << 10,
    head: 256 << 10,
    headers: 1000,
    requests: 128,
    hold_folds: false,
    any_line: true,
};
/// Bytes that one body may have once it is decoded.
const MAX_DECODED: u64 = 256 << 20;
/// Bytes of the client behind a CONNECT that has no answer yet.
const MAX_WAITING: usize = 64 << 10;

/// What the parser finds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    Request(Box<Request>),
    Response(Box<Response>),
    Anomaly(Oddity),
}

/// A request. Texts that are not UTF-8 have replacement characters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    pub method: String,
    /// Of the header `Host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub uri: String,
    /// As `HTTP/1.1`; whatever stands in its place where that is none.
    pub version: String,
    /// In the order of the message.
    pub headers: Vec<(String, String)>,
    /// Absent without a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// Nothing of it is missing.
    pub complete: bool,
}

/// A response, as [`Request`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub version: String,
    pub headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    pub complete: bool,
}

/// A body without chunks and codings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Body {
    pub len: u64,
    pub sha256: String,
}

/// Something that is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Oddity {
    /// Name of the [`Anomaly`].
    pub event: &'static str,
    pub detail: String,
}

/// Reads one connection.
#[derive(Clone, Debug)]
pub struct Parser {
    session: Session,
    sides: [Side; 2],
    /// What the client said behind a CONNECT.
    waiting: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct Side {
    tally: Tally,
    /// It cannot be read, or nothing follows.
    over: bool,
    /// Bytes of the message under way are missing.
    torn: bool,
    /// The connection was reset: no body ends with its stream.
    broken: bool,
}

impl Default for Parser {
    fn default() -> Parser {
        Parser {
            session: Session::watching(),
            sides: Default::default(),
            waiting: Vec::new(),
        }
    }
}

impl SessionParser for Parser {
    type Message = Message;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut out = Vec::new();
        self.resume(&mut out);
        self.read(Direction::ToServer, bytes, &mut out);
        out
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut out = Vec::new();
        self.read(Direction::ToClient, bytes, &mut out);
        out
    }

    fn fin_initiator(&mut self) -> Vec<Message> {
        let mut out = Vec::new();
        self.resume(&mut out);
        self.end(Direction::ToServer, &mut out);
        out
    }

    fn fin_responder(&mut self) -> Vec<Message> {
        let mut out = Vec::new();
        self.end(Direction::ToClient, &mut out);
        out
    }

    fn rst_initiator(&mut self) {
        self.tear();
    }

    fn rst_responder(&mut self) {
        self.tear();
    }

    fn gap(&mut self, direction: Direction, bytes: u64) -> Vec<Message> {
        let side = &mut self.sides[direction.index()];
        side.torn = true;
        match self.session.need(direction) {
            // What is missing is part of the body.
            Need::Data(most) if most >= bytes => {
                side.tally.torn = true;
                self.session.take(direction, bytes);
                let mut out = Vec::new();
                self.read(direction, &[], &mut out);
                out
            }
            _ => self.leave(direction),
        }
    }
}

impl Parser {
    /// What waited for the answer to a CONNECT, once that came.
    fn resume(&mut self, out: &mut Vec<Message>) {
        if !self.waiting.is_empty() && self.session.need(Direction::ToServer) != Need::Answer {
            let waiting = std::mem::take(&mut self.waiting);
            self.read(Direction::ToServer, &waiting, out);
        }
    }

    fn read(&mut self, direction: Direction, mut bytes: &[u8], out: &mut Vec<Message>) {
        while !self.sides[direction.index()].over {
            match self.session.need(direction) {
                Need::Pass => return,
                Need::Answer => return self.wait(bytes),
                Need::End => self.finish(direction, out),
                Need::Bytes | Need::Data(_) if bytes.is_empty() => return,
                Need::Bytes => match self.session.read(direction, bytes, &LIMITS) {
                    Ok((used, found)) => {
                        bytes = bytes.get(used..).unwrap_or_default();
                        if let Found::Head(serial) = found {
                            self.begin(direction, serial, out);
                        }
                    }
                    Err(fault) => {
                        out.push(told(fault.anomaly, Some(&fault)));
                        out.extend(self.leave(direction));
                    }
                },
                Need::Data(most) => {
                    let len = most.min(bytes.len() as u64);
                    let (body, rest) = bytes.split_at(len as usize);
                    bytes = rest;
                    self.sides[direction.index()].tally.feed(body);
                    self.session.take(direction, len);
                }
            }
        }
    }

    fn wait(&mut self, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() > MAX_WAITING {
            self.waiting = Vec::new();
            self.sides[Direction::ToServer.index()].over = true;
        } else {
            self.waiting.extend_from_slice(bytes);
        }
    }

    fn begin(&mut self, direction: Direction, serial: u32, out: &mut Vec<Message>) {
        let Some(message) = self.session.message_mut(serial) else {
            return;
        };
        while let Some(anomaly) = message.open.take() {
            out.push(told(anomaly, None));
        }
        let side = &mut self.sides[direction.index()];
        side.tally = Tally::of(&message.head);
        side.torn = false;
    }

    /// A message is over: it is given out.
    fn finish(&mut self, direction: Direction, out: &mut Vec<Message>) {
        let serial = self.session.message_under_way(direction);
        let side = &mut self.sides[direction.index()];
        let tally = std::mem::take(&mut side.tally);
        if let Some(message) = self.session.message(serial) {
            let complete = !std::mem::take(&mut side.torn);
            let has_body = message.framing != Framing::None && message.framing != Framing::Tunnel;
            let body = has_body.then(|| tally.finish()).flatten();
            out.push(given(&message.head, body, complete));
        }
        self.session.finish(direction);
    }

    /// The direction cannot be read any further: what is under way is given
    /// as far as it came.
    fn leave(&mut self, direction: Direction) -> Vec<Message> {
        let mut out = Vec::new();
        let side = &mut self.sides[direction.index()];
        side.torn = true;
        if !side.over && self.session.cut(direction) {
            self.finish(direction, &mut out);
        }
        self.sides[direction.index()].over = true;
        out
    }

    /// Nothing follows in a direction.
    fn end(&mut self, direction: Direction, out: &mut Vec<Message>) {
        if std::mem::replace(&mut self.sides[direction.index()].over, true) {
            return;
        }
        let to_the_end = self.session.need(direction) == Need::Data(u64::MAX);
        let side = &mut self.sides[direction.index()];
        side.torn |= !to_the_end || side.broken;
        if let Err(fault) = self.session.end(direction) {
            out.push(told(fault.anomaly, Some(&fault)));
        } else if self.session.need(direction) == Need::End {
            self.finish(direction, out);
        }
    }

    /// The connection broke off: what is under way is not complete.
    fn tear(&mut self) {
        for side in &mut self.sides {
            side.broken = true;
        }
    }
}

fn told(anomaly: Anomaly, fault: Option<&Fault>) -> Message {
    let row = anomaly.row();
    let detail = match fault {
        Some(fault) => format!("{} At byte {} of the message.", row.doc, fault.at),
        None => row.doc.to_owned(),
    };
    Message::Anomaly(Oddity {
        event: row.name,
        detail,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The message that a head and a body make.
fn given(head: &Head, body: Option<Body>, complete: bool) -> Message {
    let field = |number: usize| text(head.text(&head.start[number]));
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|header| {
            (
                text(head.text(&header.name)),
                text(head.text(&header.value)),
            )
        })
        .collect();
    if head.kind == Kind::Request {
        return Message::Request(Box::new(Request {
            method: field(0),
            host: head.values("host").next().map(text),
            uri: field(1),
            version: match head.odd {
                true => field(2),
                false => format!("HTTP/{}", field(2)),
            },
            headers,
            body,
            complete,
        }));
    }
    Message::Response(Box::new(Response {
        status: framing::status(head),
        reason: field(2),
        version: format!("HTTP/{}", field(0)),
        headers,
        body,
        complete,
    }))
}

/// A body counted and hashed, as it came and decoded.
#[derive(Default)]
struct Tally {
    coded: Sum,
    decoder: Option<Decoder>,
    decoded: Sum,
    /// Bytes are missing.
    torn: bool,
}

#[derive(Clone, Debug, Default)]
struct Sum {
    len: u64,
    hash: Sha256,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn body(self) -> Option<Body> {
        use std::fmt::Write as _;

        let mut sha256 = String::with_capacity(64);
        for byte in self.hash.finalize() {
            let _ = write!(sha256, "{byte:02x}");
        }
        (self.len > 0).then_some(Body {
            len: self.len,
            sha256,
        })
    }
}

impl Tally {
    fn of(head: &Head) -> Tally {
        Tally {
            decoder: Decoder::of(head, MAX_DECODED),
            ..Tally::default()
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.coded.add(bytes);
        if let Some(decoder) = &mut self.decoder {
            match decoder.feed(bytes) {
                Ok(out) => self.decoded.add(&out),
                // Then the body is told as it came.
                Err(_) => self.decoder = None,
            }
        }
    }

    /// The body; one with bytes missing has no hash that means anything.
    fn finish(mut self) -> Option<Body> {
        if self.torn {
            return None;
        }
        match self.decoder.as_mut().map(Decoder::finish) {
            Some(Ok(rest)) => {
                self.decoded.add(&rest);
                self.decoded.body()
            }
            _ => self.coded.body(),
        }
    }
}

/// A decoder cannot be copied in the middle of its work: a copy made then
/// tells the body as it came.
impl Clone for Tally {
    fn clone(&self) -> Tally {
        Tally {
            coded: self.coded.clone(),
            decoder: None,
            decoded: Sum::default(),
            torn: self.torn,
        }
    }
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally")
            .field("coded", &self.coded.len)
            .field("decoded", &self.decoded.len)
            .finish_non_exhaustive()
    }
}

//! Both sides of a connection: which bytes are which part of which message,
//! and which response answers which request.
//!
//! Takes bytes, gives what they are; no input or output of its own. Requests
//! wait in a queue for their answers, so that pipelined ones stay apart. A
//! 1xx response ends nothing; a 2xx answer to CONNECT and a 101 turn both
//! directions into a tunnel that is not read any more.
//! Not here: streams, events, policies (`step`).

use std::collections::VecDeque;

use super::anomaly::{Anomalies, Anomaly, Fault};
use super::framing::{self, Asked, Chunk, ChunkLine, Framing};
use super::head::{Kind, Limits, Parser};
use super::message::Message;
use crate::flow::Direction;

/// What a direction has next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Bytes to read: [`Session::read`].
    Bytes,
    /// Up to so many bytes of a body: [`Session::take`].
    Data(u64),
    /// The message is over: [`Session::finish`].
    End,
    /// Nothing before the other side has answered; bytes stay where they are.
    Answer,
    /// Nothing: the bytes are not HTTP.
    Pass,
}

/// What [`Session::read`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The bytes were all part of something that is not over yet.
    More,
    /// The head of the message with that number.
    Head(u32),
    /// Part of the line before a chunk.
    ChunkLine,
    /// The end of the line of the last chunk.
    LastChunk,
    /// The trailers.
    Trailers,
}

#[derive(Clone, Debug)]
enum Reading {
    Head(Parser),
    Body(u64),
    UntilClose,
    Line(ChunkLine),
    Chunk(u64),
    Trailers(Parser),
    End,
    Answer,
    Pass,
}

#[derive(Clone, Debug)]
struct Side {
    reading: Reading,
    /// The message under way.
    message: u32,
    /// Bytes of the message read before what is read now.
    before: u64,
}

/// A request and what its answer has to know of it.
#[derive(Clone, Debug)]
struct Exchange {
    request: Message,
    asked: Asked,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Session {
    sides: [Side; 2],
    /// Requests whose answer is not complete, the oldest first.
    pending: VecDeque<Exchange>,
    /// The response under way.
    answer: Option<Message>,
    /// The last request with a complete answer, and that answer.
    answered: Option<(Message, Message)>,
    /// The last request that came to its end.
    last_request: u32,
    /// The response that is complete, until another request is.
    last_response: u32,
    serial: u32,
    /// Only one side may be there to be seen: answers need no request, and
    /// requests no answer.
    watching: bool,
}

impl Default for Session {
    fn default() -> Session {
        let side = |kind| Side {
            reading: Reading::Head(Parser::new(kind)),
            message: 0,
            before: 0,
        };
        Session {
            sides: [side(Kind::Request), side(Kind::Response)],
            pending: VecDeque::new(),
            answer: None,
            answered: None,
            last_request: 0,
            last_response: 0,
            serial: 0,
            watching: false,
        }
    }
}

fn kind_of(direction: Direction) -> Kind {
    match direction {
        Direction::ToServer => Kind::Request,
        Direction::ToClient => Kind::Response,
    }
}

impl Session {
    /// For who only watches a connection, maybe only one side of it.
    pub fn watching() -> Session {
        Session {
            watching: true,
            ..Session::default()
        }
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        &mut self.sides[direction.index()]
    }

    /// What a direction has next.
    pub fn need(&self, direction: Direction) -> Need {
        match &self.sides[direction.index()].reading {
            Reading::Head(_) | Reading::Line(_) | Reading::Trailers(_) => Need::Bytes,
            Reading::Body(left) | Reading::Chunk(left) => Need::Data(*left),
            Reading::UntilClose => Need::Data(u64::MAX),
            Reading::End => Need::End,
            Reading::Answer => Need::Answer,
            Reading::Pass => Need::Pass,
        }
    }

    /// Bytes of a head that has begun and is not over.
    pub fn head_under_way(&self, direction: Direction) -> u64 {
        match &self.sides[direction.index()].reading {
            Reading::Head(parser) if parser.begun() => parser.size(),
            _ => 0,
        }
    }

    /// The number of the message under way in a direction.
    pub fn message_under_way(&self, direction: Direction) -> u32 {
        self.sides[direction.index()].message
    }

    /// The message with that number, while it is remembered.
    pub fn message(&self, serial: u32) -> Option<&Message> {
        let answered = self
            .answered
            .iter()
            .flat_map(|(request, answer)| [request, answer]);
        self.pending
            .iter()
            .map(|exchange| &exchange.request)
            .chain(&self.answer)
            .chain(answered)
            .find(|message| message.serial == serial)
    }

    /// The same, to be changed.
    pub fn message_mut(&mut self, serial: u32) -> Option<&mut Message> {
        let answered = self
            .answered
            .iter_mut()
            .flat_map(|(request, answer)| [request, answer]);
        self.pending
            .iter_mut()
            .map(|exchange| &mut exchange.request)
            .chain(&mut self.answer)
            .chain(answered)
            .find(|message| message.serial == serial)
    }

    /// The request that rules are shown beside an event of a direction: the
    /// one answered, in an event of the server's; the one whose body it is;
    /// else the last complete one. 0 if there is none.
    pub fn request(&self, direction: Direction, of_body: bool) -> u32 {
        match (direction, of_body) {
            (Direction::ToServer, true) => self.message_under_way(direction),
            (Direction::ToServer, false) => self.last_request,
            (Direction::ToClient, _) => match (&self.answer, self.pending.front()) {
                (Some(_), Some(exchange)) => exchange.request.serial,
                _ => self.last_request,
            },
        }
    }

    /// The response that rules are shown beside an event of a direction.
    pub fn response(&self, direction: Direction, of_body: bool) -> u32 {
        match (direction, of_body) {
            (Direction::ToClient, true) => self.message_under_way(direction),
            _ => self.last_response,
        }
    }

    /// `request`, `response` or `connect`: what comes next.
    pub fn state(&self) -> u32 {
        let answering = self.answer.is_some();
        match (&self.sides[0].reading, self.pending.is_empty()) {
            (Reading::Pass, _) => 2,
            (_, true) => 0,
            (Reading::Head(parser), _) if !parser.begun() => 1,
            (Reading::Answer, _) => 1,
            _ => u32::from(answering),
        }
    }

    /// Takes bytes of a head, of a line between chunks, or of trailers: how
    /// many, and what they were.
    ///
    /// # Errors
    /// At the first byte that cannot be there.
    pub fn read(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<(usize, Found), Fault> {
        if direction == Direction::ToClient && self.pending.is_empty() && !self.watching {
            return Err(Fault {
                anomaly: Anomaly::DataFromServer,
                at: 0,
                field: "1",
            });
        }
        let side = &mut self.sides[direction.index()];
        match &mut side.reading {
            Reading::Head(parser) => {
                let (used, done) = parser.feed(bytes, limits)?;
                if !done {
                    return Ok((used, Found::More));
                }
                let kind = kind_of(direction);
                let head = parser.take(kind);
                side.before = head.raw.len() as u64;
                self.begin(direction, head, limits)
                    .map(|serial| (used, Found::Head(serial)))
            }
            Reading::Line(line) => {
                let start = side.before - line.begun();
                let (used, chunk) = line.feed(bytes, limits.line).map_err(|mut fault| {
                    fault.at += start;
                    fault
                })?;
                side.before += used as u64;
                let found = match chunk {
                    Chunk::More => Found::ChunkLine,
                    Chunk::Data(size) => {
                        side.reading = Reading::Chunk(size);
                        Found::ChunkLine
                    }
                    Chunk::Last => {
                        side.reading = Reading::Trailers(Parser::new(Kind::Trailers));
                        Found::LastChunk
                    }
                };
                Ok((used, found))
            }
            Reading::Trailers(parser) => {
                let (used, done) = parser.feed(bytes, limits)?;
                if !done {
                    return Ok((used, Found::More));
                }
                let trailers = parser.take(Kind::Trailers);
                let serial = side.message;
                side.reading = Reading::End;
                if let Some(message) = self.message_mut(serial) {
                    message.trailers = Some(trailers);
                }
                Ok((used, Found::Trailers))
            }
            _ => Ok((bytes.len(), Found::More)),
        }
    }

    /// A head is there: its message begins.
    fn begin(
        &mut self,
        direction: Direction,
        head: super::head::Head,
        limits: &Limits,
    ) -> Result<u32, Fault> {
        let mut open: Anomalies = head.anomalies;
        let watching = self.watching;
        // Who only watches goes on without a length that is none.
        let or_none = |framing: Result<Framing, Fault>, open: &mut Anomalies| match framing {
            Err(fault) if watching => {
                open.add(fault.anomaly);
                Ok(Framing::None)
            }
            framing => framing,
        };
        let framing = match direction {
            Direction::ToServer => {
                let full = self.pending.len() >= limits.requests as usize;
                if full && self.watching {
                    self.pending.pop_front();
                } else if full {
                    return Err(Fault {
                        anomaly: Anomaly::TooManyRequests,
                        at: 0,
                        field: "1",
                    });
                }
                let framing = framing::of_request(&head, &mut open);
                or_none(framing, &mut open)?
            }
            Direction::ToClient => {
                let asked = self.pending.front().map(|exchange| exchange.asked);
                let framing = framing::of_response(&head, asked.unwrap_or_default(), &mut open);
                or_none(framing, &mut open)?
            }
        };
        self.serial = self.serial.wrapping_add(1).max(1);
        let serial = self.serial;
        let side = self.side(direction);
        side.message = serial;
        side.reading = match framing {
            Framing::None | Framing::Tunnel | Framing::Length(0) => Reading::End,
            Framing::Length(length) => Reading::Body(length),
            Framing::Chunked => Reading::Line(ChunkLine::new(true)),
            Framing::UntilClose => Reading::UntilClose,
        };
        let asked = Asked::of(&head);
        let mut message = Message::new(serial, head, framing, open);
        let front = self.pending.front();
        message.for_old = direction == Direction::ToClient
            && front.is_some_and(|exchange| exchange.request.is_old());
        match direction {
            Direction::ToServer => self.pending.push_back(Exchange {
                request: message,
                asked,
            }),
            Direction::ToClient => self.answer = Some(message),
        }
        Ok(serial)
    }

    /// Takes bytes of a body, not more than [`Session::need`] said.
    pub fn take(&mut self, direction: Direction, bytes: u64) {
        let side = self.side(direction);
        side.before += bytes;
        match &mut side.reading {
            Reading::Body(left) => {
                *left = left.saturating_sub(bytes);
                if *left == 0 {
                    side.reading = Reading::End;
                }
            }
            Reading::Chunk(left) => {
                *left = left.saturating_sub(bytes);
                if *left == 0 {
                    side.reading = Reading::Line(ChunkLine::new(false));
                }
            }
            _ => {}
        }
    }

    /// The stream of a direction has ended.
    ///
    /// # Errors
    /// When it ends inside a head.
    pub fn end(&mut self, direction: Direction) -> Result<(), Fault> {
        let side = self.side(direction);
        match &side.reading {
            Reading::Head(parser) if parser.begun() => return Err(parser.cut()),
            Reading::Trailers(parser) if parser.begun() => return Err(parser.cut()),
            // A body that was cut short: its receiver sees that it was.
            Reading::UntilClose
            | Reading::Body(_)
            | Reading::Chunk(_)
            | Reading::Line(_)
            | Reading::Trailers(_) => side.reading = Reading::End,
            _ => {}
        }
        Ok(())
    }

    /// Ends the message under way where it is. False if there is none.
    pub fn cut(&mut self, direction: Direction) -> bool {
        let side = self.side(direction);
        match side.reading {
            Reading::Head(_) | Reading::Answer | Reading::Pass => false,
            _ => {
                side.reading = Reading::End;
                true
            }
        }
    }

    /// The message under way in a direction is over. True if the other
    /// direction has waited for that.
    pub fn finish(&mut self, direction: Direction) -> bool {
        let serial = self.side(direction).message;
        match direction {
            Direction::ToServer => {
                self.last_request = serial;
                self.last_response = 0;
                let waits = self.pending.back().is_some_and(|exchange| {
                    exchange.request.serial == serial && exchange.asked == Asked::Connect
                });
                self.side(direction).reading = if waits {
                    Reading::Answer
                } else {
                    Reading::Head(Parser::new(Kind::Request))
                };
                false
            }
            Direction::ToClient => self.answered(serial),
        }
    }

    fn answered(&mut self, serial: u32) -> bool {
        let Some(answer) = self.answer.take() else {
            return false;
        };
        let tunnel = answer.framing == Framing::Tunnel;
        self.side(Direction::ToClient).reading = Reading::Head(Parser::new(Kind::Response));
        if framing::status(&answer.head) < 200 && !tunnel {
            return false;
        }
        let Some(exchange) = self.pending.pop_front() else {
            if tunnel {
                self.pass();
            }
            return false;
        };
        self.last_response = serial;
        self.answered = Some((exchange.request, answer));
        let waited = matches!(self.sides[0].reading, Reading::Answer);
        if tunnel {
            self.pass();
        } else if waited {
            self.side(Direction::ToServer).reading = Reading::Head(Parser::new(Kind::Request));
        }
        waited
    }

    /// Nothing more is read.
    pub fn pass(&mut self) {
        for side in &mut self.sides {
            side.reading = Reading::Pass;
        }
    }

    /// The bytes behind a fault, for those who look for it.
    pub fn bytes_behind(&self, direction: Direction, fault: &Fault) -> &[u8] {
        match &self.sides[direction.index()].reading {
            Reading::Head(parser) | Reading::Trailers(parser) => parser.from(fault),
            _ => &[],
        }
    }
}

//! Dialogues for programs that only watch: both directions of a connection
//! become messages, whatever pieces their bytes come in. The client's bytes
//! are kept while they wait for a reply, which says what they are.
//! Not here: what a protocol's lines say (its session).

use serde::Serialize;

use crate::flow::Direction;
use crate::proto::line::Anomaly;
use crate::proto::parser::{SessionParser, Waited};

/// What a conversation consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message<C, R> {
    /// The client's.
    Command(C),
    /// The server's.
    Response(R),
    Anomaly(Anomaly),
}

/// What [`Talk::read`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn<C, R> {
    /// There is nothing to do but to go on.
    On,
    /// A command is over.
    Command(C),
    /// A reply is over.
    Response(R),
    /// Nothing was taken: the bytes wait, or are another protocol's.
    Stop,
}

impl<C, R> Turn<C, R> {
    fn into_message(self) -> Option<Message<C, R>> {
        match self {
            Turn::Command(command) => Some(Message::Command(command)),
            Turn::Response(response) => Some(Message::Response(response)),
            Turn::On | Turn::Stop => None,
        }
    }
}

/// The session of a protocol of lines.
pub trait Talk: Default {
    type Command;
    type Response;

    /// Bytes of the client that are kept until the reply.
    const WAITING_BYTES: usize;

    /// Takes bytes up to the end of a line: how many, and what they were.
    fn read(
        &mut self,
        direction: Direction,
        bytes: &[u8],
    ) -> (usize, Turn<Self::Command, Self::Response>);

    /// What was out of order in the bytes read, oldest first.
    fn take_anomaly(&mut self) -> Option<Anomaly>;

    /// Whether the client's next bytes wait for a reply.
    fn waits(&self) -> bool;

    /// No reply comes: the client goes on.
    fn stop_waiting(&mut self);

    /// As [`Talk::stop_waiting`], since the client did not wait.
    fn not_awaited(&mut self) {
        self.stop_waiting();
    }

    /// Whether TLS was begun: nothing more is read.
    fn is_tls(&self) -> bool;

    /// Bytes of a direction are missing.
    fn gap(&mut self, direction: Direction, bytes: u64);
}

/// Reads both directions of a connection.
#[derive(Clone, Debug, Default)]
pub struct Conversation<S> {
    pub(in crate::proto) session: S,
    /// Bytes of the client that wait for a reply.
    waiting: Vec<u8>,
    /// Bytes of the client behind them, while these are read.
    behind: u64,
    /// Messages of the call under way that had waited.
    waited: Vec<Waited>,
}

/// What the messages of a session are.
type Told<S> = Message<<S as Talk>::Command, <S as Talk>::Response>;

impl<S: Talk> Conversation<S> {
    /// Whether TLS was begun: the bytes fed from now on are a TLS parser's.
    pub fn is_tls(&self) -> bool {
        self.session.is_tls()
    }

    /// Reads until the bytes are used or wait: how many are used.
    fn read(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        late: bool,
        messages: &mut Vec<Told<S>>,
    ) -> usize {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            let first = messages.len();
            let (taken, turn) = self.session.read(direction, rest);
            used += taken;
            while let Some(anomaly) = self.session.take_anomaly() {
                messages.push(Message::Anomaly(anomaly));
            }
            let stops = matches!(turn, Turn::Stop);
            let answered = matches!(turn, Turn::Response(_));
            // What follows a command may end without any bytes.
            let again = matches!(turn, Turn::Command(_));
            messages.extend(turn.into_message());
            if late {
                let behind = self.behind + (bytes.len() - used) as u64;
                let told = first..messages.len();
                self.waited.extend(Waited::all(told, direction, behind));
            }
            if stops {
                return used;
            }
            if answered {
                self.release(messages);
            }
            if used == bytes.len() && !again {
                return used;
            }
        }
    }

    fn release(&mut self, messages: &mut Vec<Told<S>>) {
        if self.waiting.is_empty() || self.session.waits() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let used = self.read(Direction::ToServer, &waiting, true, messages);
        if !self.session.is_tls() {
            self.waiting = waiting.get(used..).unwrap_or_default().to_vec();
        }
    }

    /// What waited is read without the reply.
    fn give_up_waiting(&mut self) -> Vec<Told<S>> {
        let mut messages = Vec::new();
        self.waited.clear();
        while self.session.waits() {
            self.session.stop_waiting();
            self.release(&mut messages);
        }
        messages
    }
}

impl<S: Talk> SessionParser for Conversation<S> {
    type Message = Told<S>;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Told<S>> {
        let mut messages = Vec::new();
        self.waited.clear();
        let mut rest = bytes;
        // What is kept is kept because the session waits.
        while !rest.is_empty() {
            let used = self.read(Direction::ToServer, rest, false, &mut messages);
            rest = rest.get(used..).unwrap_or_default();
            if self.session.is_tls() {
                break;
            }
            let room = S::WAITING_BYTES.saturating_sub(self.waiting.len());
            let (kept, more) = rest.split_at(room.min(rest.len()));
            self.waiting.extend_from_slice(kept);
            rest = more;
            if !rest.is_empty() {
                self.session.not_awaited();
                self.behind = rest.len() as u64;
                self.release(&mut messages);
                self.behind = 0;
            }
        }
        messages
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Told<S>> {
        let mut messages = Vec::new();
        self.waited.clear();
        self.read(Direction::ToClient, bytes, false, &mut messages);
        messages
    }

    fn fin_responder(&mut self) -> Vec<Told<S>> {
        self.give_up_waiting()
    }

    fn gap(&mut self, direction: Direction, bytes: u64) -> Vec<Told<S>> {
        let messages = self.give_up_waiting();
        self.session.gap(direction, bytes);
        messages
    }

    fn waited(&self) -> &[Waited] {
        &self.waited
    }

    fn waiting(&self, direction: Direction) -> u64 {
        match direction {
            Direction::ToServer => self.waiting.len() as u64,
            Direction::ToClient => 0,
        }
    }
}

//! The messages of a control connection, for whoever follows it without an
//! engine.

use serde::Serialize;

use super::session::{Command, Found, Response, Session};
use crate::flow::Direction;
use crate::proto::line::Anomaly;
use crate::proto::parser::{SessionParser, Waited};

/// Bytes that wait for the answer to `AUTH`.
const WAITING_BYTES: usize = 4096;

/// What a control connection consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// The client's.
    Command(Command),
    /// The server's.
    Response(Response),
    Anomaly(Anomaly),
}

/// Reads both directions of a control connection.
///
/// ```
/// use wero::proto::ftp::{Message, Parser};
/// use wero::proto::parser::SessionParser;
///
/// let messages = Parser::default().feed_initiator(b"PORT 10,0,0,1,4,1\r\n");
/// let Message::Command(command) = &messages[0] else { panic!() };
/// assert_eq!(command.data_flow.map(|flow| flow.port), Some(1025));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Parser {
    session: Session,
    /// Bytes of the client that wait for a reply.
    waiting: Vec<u8>,
    /// Bytes of the client behind them, while these are read.
    behind: u64,
    /// Messages of the call under way that had waited.
    waited: Vec<Waited>,
}

impl Parser {
    /// Whether TLS was begun: the bytes fed from now on are a TLS parser's.
    pub fn is_tls(&self) -> bool {
        self.session.is_tls()
    }

    fn read(&mut self, direction: Direction, bytes: &[u8], messages: &mut Vec<Message>) -> usize {
        self.read_on(direction, bytes, false, messages)
    }

    /// As [`Parser::read`], of bytes that may have waited.
    fn read_on(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        late: bool,
        messages: &mut Vec<Message>,
    ) -> usize {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let (taken, found) = self.session.read(direction, rest);
            used += taken;
            let first = messages.len();
            while let Some(anomaly) = self.session.take_anomaly() {
                messages.push(Message::Anomaly(anomaly));
            }
            let is_command = matches!(found, Found::Command(_));
            if late {
                let behind = self.behind + (bytes.len() - used) as u64;
                let end = messages.len() + usize::from(is_command);
                self.waited
                    .extend(Waited::all(first..end, direction, behind));
            }
            match found {
                Found::More | Found::Skipped => {}
                Found::Command(command) => messages.push(Message::Command(command)),
                Found::Response(response) => {
                    messages.push(Message::Response(response));
                    self.release(messages);
                }
                Found::Wait | Found::Tls => break,
            }
        }
        used
    }

    fn release(&mut self, messages: &mut Vec<Message>) {
        if !self.session.waits() && !self.session.is_tls() && !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            let used = self.read_on(Direction::ToServer, &waiting, true, messages);
            self.waiting = waiting.get(used..).unwrap_or_default().to_vec();
        }
    }

    fn give_up_waiting(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        self.waited.clear();
        while self.session.waits() {
            self.session.stop_waiting();
            self.release(&mut messages);
        }
        messages
    }
}

impl SessionParser for Parser {
    type Message = Message;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        self.waited.clear();
        let mut rest = bytes;
        // What is kept is kept because the session waits.
        while !rest.is_empty() && !self.session.is_tls() {
            let used = self.read(Direction::ToServer, rest, &mut messages);
            rest = rest.get(used..).unwrap_or_default();
            let room = WAITING_BYTES.saturating_sub(self.waiting.len());
            let (kept, more) = rest.split_at(room.min(rest.len()));
            self.waiting.extend_from_slice(kept);
            rest = more;
            if !rest.is_empty() {
                self.session.stop_waiting();
                self.behind = rest.len() as u64;
                self.release(&mut messages);
                self.behind = 0;
            }
        }
        messages
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        self.waited.clear();
        self.read(Direction::ToClient, bytes, &mut messages);
        messages
    }

    fn fin_responder(&mut self) -> Vec<Message> {
        self.give_up_waiting()
    }

    fn gap(&mut self, direction: Direction, _: u64) -> Vec<Message> {
        let messages = self.give_up_waiting();
        self.session.gap(direction);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn talk(parser: &mut Parser, script: &[(&str, &str)]) -> Vec<String> {
        let mut told = Vec::new();
        for (from, text) in script {
            let messages = match *from {
                "c" => parser.feed_initiator(text.as_bytes()),
                _ => parser.feed_responder(text.as_bytes()),
            };
            let json = |message: &Message| serde_json::to_string(message).expect("it serialises");
            told.extend(messages.iter().map(json));
        }
        told
    }

    #[test]
    fn commands_and_replies_with_their_data_flow() {
        let script = [
            ("s", "220-hi\r\n there\r\n220 ok\r\n"),
            ("c", "USER x\r\n\u{7f}"),
            ("c", "PASV\r\n"),
            ("s", "331 ?\r\n227 Entering (10,0,0,1,4,1)\r\n"),
        ];
        let told = talk(&mut Parser::default(), &script);
        assert_eq!(
            told,
            [
                r#"{"type":"response","code":220,"lines":["hi"," there","ok"]}"#,
                r#"{"type":"command","command":"USER","parameter":"x"}"#,
                r#"{"type":"anomaly","event":"invalid-command","detail":"\\x7fPASV"}"#,
                "{\"type\":\"command\",\"command\":\"\u{7f}PASV\"}",
                r#"{"type":"response","code":331,"lines":["?"]}"#,
                r#"{"type":"response","code":227,"lines":["Entering (10,0,0,1,4,1)"],"data_flow":{"mode":"passive","ip":"10.0.0.1","port":1025}}"#,
            ]
        );
    }

    #[test]
    fn telnet_commands_are_passed_over() {
        let messages = Parser::default().feed_initiator(b"\xff\xf4\xff\xf2ABOR\r\n");
        assert!(matches!(&messages[..], [Message::Command(command)] if command.command == "ABOR"));
    }

    #[test]
    fn nothing_is_read_once_tls_has_begun() {
        let mut parser = Parser::default();
        let script = [
            ("s", "220 hi\r\n"),
            ("c", "AUTH TLS\r\n"),
            ("s", "234 go\r\n"),
            ("c", "\u{16}\u{3}\u{1}\r\n"),
        ];
        assert_eq!(talk(&mut parser, &script).len(), 3);
        assert!(parser.is_tls());
    }

    #[test]
    fn commands_follow_a_refused_auth() {
        let mut parser = Parser::default();
        let script = [
            ("s", "220 hi\r\n"),
            ("c", "AUTH TLS\r\nUSER x\r\n"),
            ("s", "500 no\r\n"),
            ("s", "331 ?\r\n"),
        ];
        let told = talk(&mut parser, &script);
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told[3].contains("USER"));
    }

    const PIECES: &[(Direction, &[u8])] = &[
        (Direction::ToClient, b"220-a\r\nb\r\n220 c\r\n"),
        (
            Direction::ToServer,
            b"USER a\nAUTH TLS\r\nPORT 1,2,3,4,5,6\r\n",
        ),
        (Direction::ToClient, b"331\r\n500 x\n229 (|||7|)\r\nxx\r\n"),
        (
            Direction::ToServer,
            b"EPRT |1|1.2.3.4|x|\r\n\xffAUTH TLS\r\n",
        ),
        (
            Direction::ToClient,
            b"234 ok\r\n234 ok\r\n150 x\r\n226 y\r\n",
        ),
    ];

    proptest! {
        #[test]
        fn however_the_bytes_are_cut(
            order in proptest::collection::vec(0..PIECES.len(), 0..20),
            step in 1usize..9,
        ) {
            let (mut whole, mut cut) = (Parser::default(), Parser::default());
            for (direction, bytes) in order.iter().map(|&at| PIECES[at]) {
                let expected = whole.feed(direction, bytes);
                let got: Vec<_> = bytes.chunks(step).flat_map(|part| cut.feed(direction, part)).collect();
                prop_assert_eq!(got, expected);
            }
        }
    }
}

//! The messages of a control connection, for whoever follows it without an
//! engine.

use super::session::{Command, Found, Response, Session};
use crate::flow::Direction;
use crate::proto::dialogue::{self, Conversation, Talk, Turn};
use crate::proto::line::Anomaly;

/// Bytes that wait for the answer to `AUTH`.
const WAITING_BYTES: usize = 4096;

/// What a control connection consists of.
pub type Message = dialogue::Message<Command, Response>;

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
pub type Parser = Conversation<Session>;

impl Talk for Session {
    type Command = Command;
    type Response = Response;

    const WAITING_BYTES: usize = WAITING_BYTES;

    fn read(&mut self, direction: Direction, bytes: &[u8]) -> (usize, Turn<Command, Response>) {
        let (used, found) = self.read(direction, bytes);
        let turn = match found {
            Found::Command(command) => Turn::Command(command),
            Found::Response(response) => Turn::Response(response),
            Found::Wait | Found::Tls => Turn::Stop,
            _ => Turn::On,
        };
        (used, turn)
    }

    fn take_anomaly(&mut self) -> Option<Anomaly> {
        self.take_anomaly()
    }

    fn waits(&self) -> bool {
        self.waits()
    }

    fn stop_waiting(&mut self) {
        self.stop_waiting();
    }

    fn is_tls(&self) -> bool {
        self.is_tls()
    }

    fn gap(&mut self, direction: Direction, _: u64) {
        self.gap(direction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::parser::SessionParser;
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

//! The messages of a connection, for whoever follows it without an engine.

use super::command::{Command, Response};
use super::session::{Found, Session};
use crate::flow::Direction;
use crate::proto::dialogue::{self, Conversation, Talk, Turn};
use crate::proto::line::Anomaly;

/// What a connection consists of. Mail and credentials are no messages.
pub type Message = dialogue::Message<Command, Response>;

/// Reads both directions of a connection.
///
/// ```
/// use wero::proto::parser::SessionParser;
/// use wero::proto::smtp::{Message, Parser};
///
/// let mut parser = Parser::default();
/// parser.feed_responder(b"220 mail.example ESMTP\r\n");
/// let messages = parser.feed_initiator(b"EHLO client.example\r\n");
/// let Message::Command(command) = &messages[0] else { panic!() };
/// assert_eq!(command.command, "EHLO");
/// assert_eq!(command.parameter.as_deref(), Some("client.example"));
/// ```
pub type Parser = Conversation<Session>;

impl Parser {
    /// The keywords of the answer to `EHLO`, in capitals.
    pub fn extensions(&self) -> &[String] {
        self.session.extensions()
    }
}

impl Talk for Session {
    type Command = Command;
    type Response = Response;

    const WAITING_BYTES: usize = super::WAITING_BYTES;

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

    fn not_awaited(&mut self) {
        self.not_awaited();
    }

    fn is_tls(&self) -> bool {
        self.is_tls()
    }

    fn gap(&mut self, direction: Direction, bytes: u64) {
        self.gap(direction, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::parser::SessionParser;
    use proptest::prelude::*;

    /// `>` and `<` say who sends a line of the script; line ends are added.
    fn talk(script: &[&str]) -> Vec<String> {
        let mut parser = Parser::default();
        let mut told = Vec::new();
        for line in script {
            let (from, text) = line.split_at(1);
            let bytes = format!("{text}\r\n");
            let messages = match from {
                ">" => parser.feed_initiator(bytes.as_bytes()),
                _ => parser.feed_responder(bytes.as_bytes()),
            };
            told.extend(messages.iter().map(short));
        }
        told
    }

    fn short(message: &Message) -> String {
        match message {
            Message::Command(command) => match &command.parameter {
                Some(parameter) => format!("{} {parameter}", command.command),
                None => command.command.clone(),
            },
            Message::Response(response) => {
                format!("{} {}", response.code, response.lines.join("|"))
            }
            Message::Anomaly(anomaly) => format!("! {}", anomaly.event),
        }
    }

    #[test]
    fn mail_is_not_taken_for_commands() {
        let told = talk(&[
            "<220 hi",
            ">EHLO a",
            "<250-b",
            "<250 PIPELINING",
            ">MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA",
            "<250 ok\r\n250 ok\r\n354 go",
            ">QUIT\r\n..\r\n.",
            "<250 queued",
            ">QUIT",
            "<221 bye",
        ]);
        assert_eq!(
            told,
            [
                "220 hi",
                "EHLO a",
                "250 b|PIPELINING",
                "MAIL FROM:<a>",
                "RCPT TO:<b>",
                "DATA",
                "250 ok",
                "250 ok",
                "354 go",
                "250 queued",
                "QUIT",
                "221 bye"
            ]
        );
    }

    #[test]
    fn commands_follow_a_refused_data() {
        let told = talk(&[
            "<220 hi",
            ">HELO a",
            "<250 b",
            ">DATA\r\nRSET",
            "<503 no",
            "<250 ok",
        ]);
        assert_eq!(
            told,
            [
                "220 hi", "HELO a", "250 b", "DATA", "503 no", "RSET", "250 ok"
            ]
        );
    }

    #[test]
    fn chunks_are_mail() {
        let told = talk(&[
            "<220 hi",
            ">EHLO a",
            "<250 CHUNKING",
            ">MAIL FROM:<a>\r\nBDAT 6\r\nQUIT\r\nBDAT 0 LAST",
            "<250 a\r\n250 b\r\n250 c",
            ">BDAT x",
        ]);
        assert_eq!(
            told,
            [
                "220 hi",
                "EHLO a",
                "250 CHUNKING",
                "MAIL FROM:<a>",
                "BDAT 6",
                "BDAT 0 LAST",
                "250 a",
                "250 b",
                "250 c",
                "! invalid-chunk-size",
                "BDAT x"
            ]
        );
    }

    #[test]
    fn credentials_are_no_commands() {
        let told = talk(&[
            "<220 hi",
            ">EHLO a",
            "<250 AUTH LOGIN",
            ">AUTH LOGIN",
            "<334 VXNl",
            ">dXNlcg==",
            "<334 UGFz",
            ">c2VjcmV0",
            "<235 ok",
            ">QUIT",
        ]);
        assert_eq!(
            told,
            [
                "220 hi",
                "EHLO a",
                "250 AUTH LOGIN",
                "AUTH LOGIN",
                "334 VXNl",
                "334 UGFz",
                "235 ok",
                "QUIT"
            ]
        );
    }

    #[test]
    fn nothing_is_read_once_tls_has_begun() {
        let told = talk(&[
            "<220 hi",
            ">EHLO a",
            "<250 STARTTLS",
            ">STARTTLS",
            "<220 ready",
            ">\x16\x03\x01",
            "<xx",
        ]);
        assert_eq!(
            told,
            ["220 hi", "EHLO a", "250 STARTTLS", "STARTTLS", "220 ready"]
        );
        let told = talk(&[
            "<220 hi",
            ">EHLO a",
            "<250 STARTTLS",
            ">STARTTLS\r\nRCPT TO:<x>",
            "<220 ready",
        ]);
        assert_eq!(told[3..], ["STARTTLS", "! bytes-before-tls", "220 ready"]);
    }

    #[test]
    fn one_direction_alone_is_read() {
        let told = talk(&[
            ">EHLO a",
            ">AUTH LOGIN",
            ">dXNlcg==",
            ">MAIL FROM:<a>",
            ">DATA",
            ">QUIT\r\n.",
            ">QUIT",
        ]);
        assert_eq!(
            told,
            [
                "EHLO a",
                "AUTH LOGIN",
                "dXNlcg==",
                "MAIL FROM:<a>",
                "DATA",
                "QUIT"
            ]
        );
    }

    #[test]
    fn lmtp_answers_a_mail_for_each_recipient() {
        let told = talk(&[
            "<220 hi",
            ">LHLO a",
            "<250 b",
            ">MAIL FROM:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\nDATA",
            "<250 1\r\n250 2\r\n250 3\r\n354 go",
            ">x\r\n.",
            "<250 for b\r\n250 for c",
            ">QUIT",
            "<221 bye",
        ]);
        assert!(told.iter().all(|line| !line.starts_with('!')), "{told:?}");
    }

    #[test]
    fn what_is_out_of_order_is_told_once() {
        let long = format!("<250 {}", "x".repeat(5000));
        let told = talk(&[
            "<220 hi", ">\x01", ">\x02", "<hm", &long, &long, "<250 c", "<250 d",
        ]);
        let anomalies: Vec<_> = told.iter().filter(|line| line.starts_with('!')).collect();
        assert_eq!(
            anomalies,
            [
                "! invalid-command",
                "! invalid-reply",
                "! line-too-long",
                "! unexpected-reply"
            ]
        );
    }

    #[test]
    fn behind_lost_bytes_only_commands_of_smtp_count() {
        let mut parser = Parser::default();
        parser.feed_responder(b"220 hi\r\n");
        parser.gap(Direction::ToServer, 100);
        let messages =
            parser.feed_initiator(b"rest of a mail\r\nAAAA BBBB\r\n.\r\nQUIT\r\nodd\r\n");
        let told: Vec<_> = messages.iter().map(short).collect();
        assert_eq!(told, ["QUIT", "odd"]);
    }

    #[test]
    fn messages_have_the_documented_names() {
        let json = |message: &Message| serde_json::to_string(message).expect("it serialises");
        let command = Message::Command(Command::of(b"MAIL FROM:<a>"));
        assert_eq!(
            json(&command),
            r#"{"type":"command","command":"MAIL","parameter":"FROM:<a>"}"#
        );
        assert_eq!(
            json(&Message::Command(Command::of(b"QUIT"))),
            r#"{"type":"command","command":"QUIT"}"#
        );
        let response = Response {
            code: 250,
            lines: vec!["a".into(), "b".into()],
        };
        assert_eq!(
            json(&Message::Response(response)),
            r#"{"type":"response","code":250,"lines":["a","b"]}"#
        );
    }

    const SEED: &[&str] = &[
        "<220 hi\r\n",
        ">EHLO a\r\n",
        "<250-b\r\n250 CHUNKING\r\n",
        ">MAIL FROM:<a>\r\nDATA\r\nRSET\r\n",
        "<250 ok\r\n503 no\r\n250 ok\r\n",
        ">DATA\n",
        "<354 go\r\n",
        ">a\n.\nb\r\n.\r\nBDAT 3\r\n\r\n.NOOP\r\n",
        "<250 a\r\n250 b\r\n",
        ">AUTH PLAIN\r\n",
        "<334 x\r\n",
        ">abc\r\n",
        "<235\r\n",
        ">STARTTLS\r\nx",
        "<220 go\r\nabc",
    ];

    proptest! {
        #[test]
        fn however_the_bytes_are_cut(
            order in proptest::collection::vec(0..SEED.len(), 0..20),
            step in 1usize..9,
        ) {
            let (mut whole, mut cut) = (Parser::default(), Parser::default());
            for text in SEED.iter().copied().chain(order.iter().map(|&at| SEED[at])) {
                let (from, bytes) = text.as_bytes().split_at(1);
                let direction = if from == b">" { Direction::ToServer } else { Direction::ToClient };
                let expected = whole.feed(direction, bytes);
                let got: Vec<_> = bytes.chunks(step).flat_map(|part| cut.feed(direction, part)).collect();
                prop_assert_eq!(got, expected);
            }
        }
    }
}

//! SMTP as a dissector: the session, as the reader of dialogues uses it.

use super::command;
use super::session::{Found, Session};
use crate::core::dissector;
use crate::event::EventKind;
use crate::flow::Direction;
use crate::proto::application::Likeness;
use crate::proto::dialogue::{Dialect, Events, Heard, Reader};
use crate::proto::line::{self, Anomaly};

static EVENTS: Events = Events {
    dissector: "smtp",
    messages: [EventKind::SmtpCommand, EventKind::SmtpResponse],
    anomaly: EventKind::SmtpAnomaly,
    content: Some(EventKind::SmtpMailContent),
    data_flow: None,
};

struct Smtp(Session);

/// What reads a connection.
pub fn reader() -> Reader {
    Reader::new(Smtp(Session::strict()))
}

/// Whether a connection begins like SMTP: with a banner that says so, or with
/// a client that does not wait for it.
pub fn probe(bytes: &[u8], direction: Direction) -> Likeness {
    const GREETINGS: [&[u8]; 3] = [b"EHLO ", b"HELO ", b"LHLO "];
    match direction {
        Direction::ToServer => line::begins_with_word(bytes, &GREETINGS),
        Direction::ToClient => line::is_banner(bytes, b"SMTP"),
    }
}

impl Dialect for Smtp {
    fn events(&self) -> &'static Events {
        &EVENTS
    }

    fn read(&mut self, direction: Direction, bytes: &[u8]) -> (usize, Heard) {
        let (used, found) = self.0.read(direction, bytes);
        let heard = match found {
            Found::More => Heard::More,
            Found::Wait => Heard::Wait,
            Found::Skipped | Found::Credentials => Heard::Skipped,
            Found::Command(_) | Found::Response(_) => Heard::Message,
            Found::Mail => Heard::Content,
            Found::MailEnd { end } => Heard::ContentEnd(end),
            Found::Tls => Heard::HandOver(dissector::TLS),
        };
        (used, heard)
    }

    fn take_anomaly(&mut self) -> Option<Anomaly> {
        self.0.take_anomaly()
    }

    fn waits(&self) -> bool {
        self.0.waits()
    }

    fn ended(&mut self, direction: Direction) {
        if direction == Direction::ToClient {
            self.0.stop_waiting();
        }
    }

    fn announced(&self) -> Option<u64> {
        self.0.chunk_left()
    }

    fn announce(&self, line: &[u8], bytes: u64) -> Vec<u8> {
        command::with_size(line, bytes)
    }
}

//! FTP's control connection as a dissector.

use super::data_flow::{self, DataFlow, Told};
use super::session::{Found, Session};
use crate::core::dissector;
use crate::event::EventKind;
use crate::flow::Direction;
use crate::proto::application::Likeness;
use crate::proto::dialogue::{Dialect, Events, Heard, Reader, Shown};
use crate::proto::line::{self, Anomaly};

static EVENTS: Events = Events {
    dissector: "ftp",
    messages: [EventKind::FtpCommand, EventKind::FtpResponse],
    anomaly: EventKind::FtpAnomaly,
    content: None,
    data_flow: Some(EventKind::FtpDataFlow),
};

#[derive(Default)]
struct Ftp(Session);

/// What reads a connection.
pub fn reader() -> Reader {
    Reader::new(Ftp::default())
}

/// Whether a connection begins like FTP: with a banner that says so.
pub fn probe(bytes: &[u8], direction: Direction) -> Likeness {
    match direction {
        Direction::ToServer => Likeness::No,
        Direction::ToClient => line::is_banner(bytes, b"FTP"),
    }
}

impl Dialect for Ftp {
    fn events(&self) -> &'static Events {
        &EVENTS
    }

    fn read(&mut self, direction: Direction, bytes: &[u8]) -> (usize, Heard) {
        let (used, found) = self.0.read(direction, bytes);
        let heard = match found {
            Found::More => Heard::More,
            Found::Wait => Heard::Wait,
            Found::Skipped => Heard::Skipped,
            Found::Command(_) | Found::Response(_) => Heard::Message,
            Found::Tls => Heard::HandOver(dissector::TLS),
        };
        (used, heard)
    }

    fn take_anomaly(&mut self) -> Option<Anomaly> {
        self.0.take_anomaly()
    }

    /// What rules made of the message is what the other side acts on.
    fn judged(&mut self, direction: Direction, message: &Shown) -> Option<DataFlow> {
        let line = message.lines().next_back()?;
        let told = match direction {
            Direction::ToServer => data_flow::of_command(line),
            Direction::ToClient => {
                let (code, _, text) = line::reply_line(line)?;
                data_flow::of_reply(code, text)
            }
        };
        match told {
            Told::Flow(flow) => Some(flow),
            Told::Nothing | Told::Invalid => None,
        }
    }

    fn waits(&self) -> bool {
        self.0.waits()
    }

    fn ended(&mut self, direction: Direction) {
        if direction == Direction::ToClient {
            self.0.stop_waiting();
        }
    }
}

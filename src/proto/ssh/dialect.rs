//! SSH as a dissector: its version lines, then nothing more.

use std::collections::VecDeque;

use super::parser::{Message, Parser};
use crate::event::EventKind;
use crate::flow::Direction;
use crate::proto::application::Likeness;
use crate::proto::dialogue::{Dialect, Events, Heard, Reader};
use crate::proto::line::{self, Anomaly};

static EVENTS: Events = Events {
    dissector: "ssh",
    messages: [EventKind::SshBanner, EventKind::SshBanner],
    anomaly: EventKind::SshAnomaly,
    content: None,
    data_flow: None,
};

#[derive(Default)]
struct Ssh {
    parser: Parser,
    anomalies: VecDeque<Anomaly>,
}

/// What reads a connection.
pub fn reader() -> Reader {
    Reader::new(Ssh::default())
}

/// Whether a connection begins like SSH.
pub fn probe(bytes: &[u8], _: Direction) -> Likeness {
    line::begins_with_word(bytes, &[b"SSH-"])
}

impl Dialect for Ssh {
    fn events(&self) -> &'static Events {
        &EVENTS
    }

    fn edits(&self) -> bool {
        // Nothing behind the two versions.
        let mut sides = Direction::BOTH.into_iter();
        sides.any(|direction| !self.parser.is_done(direction))
    }

    fn read(&mut self, direction: Direction, bytes: &[u8]) -> (usize, Heard) {
        if self.parser.is_done(direction) {
            return (0, Heard::Rest);
        }
        // A line at a time: those before the version are no messages.
        let line = bytes.split_inclusive(|&byte| byte == b'\n').next();
        let line = line.unwrap_or_default();
        let (used, messages) = self.parser.read(direction, line);
        let mut heard = match line.ends_with(b"\n") {
            true => Heard::Skipped,
            false => Heard::More,
        };
        for message in messages {
            match message {
                Message::Banner(_) => heard = Heard::Message,
                Message::Anomaly(anomaly) => self.anomalies.push_back(anomaly),
            }
        }
        if heard == Heard::More && self.parser.is_done(direction) {
            heard = Heard::Skipped;
        }
        (used, heard)
    }

    fn take_anomaly(&mut self) -> Option<Anomaly> {
        self.anomalies.pop_front()
    }
}

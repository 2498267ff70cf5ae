//! Protocols whose two sides speak in lines (SMTP, FTP, SSH): what one adds
//! to become a dissector.
//!
//! A protocol implements [`Dialect`] over its engine-free session; [`Reader`]
//! does the rest: it reads the streams, shows each message to the rules,
//! writes back what they changed, holds what must be awaited, and shows
//! content, such as a mail, as a stream (`content`).
//! Not here: lines themselves (`proto::line`), objects for rules
//! (`lua/lib/dialogue.lua`).

mod content;
mod conversation;
mod data_flow;
mod reader;
mod shown;

pub use conversation::{Conversation, Message, Talk, Turn};
pub use data_flow::{DataFlow, Mode};
pub use reader::Reader;
pub use shown::{Refusal, Shown};

use crate::event::EventKind;
use crate::flow::Direction;
use crate::proto::line::Anomaly;

/// The events of a protocol.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    /// Name of the dissector.
    pub dissector: &'static str,
    /// A message of the client, and one of the server.
    pub messages: [EventKind; 2],
    pub anomaly: EventKind,
    /// Content that the client sends.
    pub content: Option<EventKind>,
    /// A data connection is expected.
    pub data_flow: Option<EventKind>,
}

/// What bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// All were part of a message that is not over yet.
    More,
    /// Nothing was taken: the other side has to answer first.
    Wait,
    /// The end of a message.
    Message,
    /// The end of lines that rules are not shown.
    Skipped,
    /// Content. None taken: more bytes would tell.
    Content,
    /// The end of content, and how many of the last bytes are not part of it.
    ContentEnd(u8),
    /// Nothing was taken: the dissector with that bit reads from here on, or
    /// nobody.
    HandOver(u16),
    /// The rest of the direction is not read.
    Rest,
}

/// A protocol of lines, at work on one connection.
pub trait Dialect {
    /// The names of its events.
    fn events(&self) -> &'static Events;

    /// Reads on in one direction: how many bytes were taken, and what they
    /// came to. Bytes not taken are given again, with those behind them.
    fn read(&mut self, direction: Direction, bytes: &[u8]) -> (usize, Heard);

    /// What was out of order, oldest first.
    fn take_anomaly(&mut self) -> Option<Anomaly>;

    /// Rules have judged a message, and this is what leaves of it: its lines.
    /// Gives the data connection that it asks for.
    fn judged(&mut self, direction: Direction, message: &Shown) -> Option<DataFlow> {
        let _ = (direction, message);
        None
    }

    /// Whether the client's next bytes wait for a reply.
    fn waits(&self) -> bool {
        false
    }

    /// Whether rules may change what is said.
    fn edits(&self) -> bool {
        true
    }

    /// A direction is over.
    fn ended(&mut self, direction: Direction) {
        let _ = direction;
    }

    /// How much content follows the client's message that was read last,
    /// where the message says it.
    fn announced(&self) -> Option<u64> {
        None
    }

    /// The message's line, for another amount of content.
    fn announce(&self, line: &[u8], bytes: u64) -> Vec<u8> {
        let _ = bytes;
        line.to_vec()
    }
}

//! HTTP/1.x over TCP: read as it streams by, shown to rules message by
//! message, rewritten where they change it.
//!
//! `head` takes a message head apart, `framing` finds where bodies end,
//! `connection` keeps both sides in step, `message` is a head with what rules
//! changed, `anomaly` names what is wrong. None of these knows the engine.
//! `reader` reads the streams of a connection, raises the events and writes
//! the changes back, `body` shows bodies, `judge` decides about anomalies;
//! `http.lua` shows it all to rules. `parser` reads without an
//! engine, `coding` undoes content codings. HTTP/2 is another protocol.

pub mod anomaly;
mod body;
pub mod coding;
pub mod connection;
pub mod framing;
#[doc(hidden)]
pub mod fuzz;
pub mod head;
mod judge;
pub mod message;
pub mod parser;
mod reader;
#[cfg(test)]
mod tests;

pub use connection::Session;
pub use parser::Parser;
pub use reader::Reader;

use super::application::Likeness;
use super::methods::METHODS;
use crate::flow::Direction;

/// Whether a connection begins like HTTP/1: the client speaks first.
pub fn probe(bytes: &[u8], direction: Direction) -> Likeness {
    if direction == Direction::ToClient {
        return Likeness::No;
    }
    let known = |method: &&str| {
        let len = method.len().min(bytes.len());
        let space = bytes.get(method.len()).is_none_or(|byte| *byte == b' ');
        method.as_bytes()[..len] == bytes[..len] && space
    };
    match METHODS.iter().copied().find(known) {
        // The other protocol with such words has no blank line of its own:
        // a path or an address must follow.
        Some(method) if bytes.len() > method.len() + 1 => {
            if bytes[method.len() + 1].is_ascii_graphic() {
                Likeness::Yes
            } else {
                Likeness::No
            }
        }
        Some(_) => Likeness::Open,
        None => Likeness::No,
    }
}

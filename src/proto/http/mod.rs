//! HTTP/1.x over TCP: read as it streams by, shown to rules message by
//! message, rewritten where they change it.
//!
//! `head` takes a message head apart, `framing` finds where bodies end,
//! `connection` keeps both sides in step, `message` is a head with what rules
//! changed, `anomaly` names what is wrong. None of these knows the engine.
//! `step` reads the streams of a connection, raises the events and writes
//! the changes back; `http.lua` shows it all to rules. Content codings are
//! not undone; HTTP/2 is another protocol.

pub mod anomaly;
pub mod connection;
pub mod framing;
pub mod head;
pub mod message;
pub mod step;
#[cfg(test)]
mod tests;

pub use connection::Session;
pub use step::{Reader, step};

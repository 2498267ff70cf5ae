//! QUIC as far as anyone can read it: the hellos in Initial packets.
//!
//! Versions 1 (RFC 9000, 9001) and 2 (RFC 9369) and the drafts that were
//! used widely. [`header`] takes datagrams apart, [`keys`] opens packets,
//! [`gather`] puts CRYPTO frames in order, [`reader`] follows a flow,
//! [`Parser`] gives owned messages, [`session`] shows them to rules. All that follows the handshake keys is
//! encrypted and never looked at.

pub mod fuzz;
pub mod gather;
pub mod header;
pub mod keys;
mod parser;
pub mod reader;
pub mod session;
#[cfg(test)]
mod tests;

pub use parser::Parser;

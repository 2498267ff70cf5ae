//! The control connection of FTP (RFC 959), with IPv6 addresses (RFC 2428)
//! and TLS (RFC 4217).
//!
//! `session` reads commands and replies; `data_flow` reads where both sides
//! agree to send a file. Not here: the data connection itself.

pub mod data_flow;
mod dialect;
#[doc(hidden)]
pub mod fuzz;
pub mod parser;
pub mod session;

pub use data_flow::{DataFlow, Mode};
pub use dialect::{probe, reader};
pub use parser::{Message, Parser};
pub use session::{Command, Found, Response, Session};

/// The name of each anomaly, and what it means. Each is told once for a
/// connection.
pub mod anomaly {
    /// A line longer than 4,096 bytes; its rest is skipped.
    pub const LINE_TOO_LONG: &str = "line-too-long";
    /// A line of the client that begins with no verb.
    pub const INVALID_COMMAND: &str = "invalid-command";
    /// A line of the server, outside a reply, that begins with no reply code.
    pub const INVALID_REPLY: &str = "invalid-reply";
    /// A reply of more than 256 lines; its other lines are skipped.
    pub const REPLY_TOO_LONG: &str = "reply-too-long";
    /// `PORT`, `EPRT` or the answer to `PASV` or `EPSV` without an address
    /// that can be one.
    pub const INVALID_ADDRESS: &str = "invalid-address";
    /// More than 1,024 commands without a reply.
    pub const TOO_MANY_COMMANDS: &str = "too-many-commands";
}

/// Bytes of a line that are read.
pub const LINE_CAP: usize = 4096;
/// Lines of a reply that are kept.
pub const REPLY_LINES: usize = 256;
/// Commands that wait for their reply.
pub const PENDING: usize = 1024;

//! SMTP (RFC 5321) with PIPELINING (RFC 2920), CHUNKING (RFC 3030), STARTTLS
//! (RFC 3207) and AUTH (RFC 4954), and LMTP (RFC 2033), which differs in how
//! many replies a mail gets.
//!
//! `session` reads both sides and says which bytes are a command, a reply,
//! mail or TLS; `command` reads what a line says; `parser` gives messages
//! without an engine, `dialect` joins the session to it.
//! Not here: what a mail consists of (RFC 5322, MIME).

pub mod command;
pub mod content;
mod dialect;
#[doc(hidden)]
pub mod fuzz;
pub mod parser;
pub mod session;

pub use command::{Command, Response};
pub use dialect::{probe, reader};
pub use parser::{Message, Parser};
pub use session::{Found, Session};

/// The name of each anomaly, and what it means. Each is told once for a
/// connection.
pub mod anomaly {
    /// A command or reply line longer than 4,096 bytes; its rest is skipped.
    pub const LINE_TOO_LONG: &str = "line-too-long";
    /// A line of the client that begins with no verb.
    pub const INVALID_COMMAND: &str = "invalid-command";
    /// A line of the server that begins with no reply code.
    pub const INVALID_REPLY: &str = "invalid-reply";
    /// A reply of more than 256 lines; its other lines are skipped.
    pub const REPLY_TOO_LONG: &str = "reply-too-long";
    /// A reply that no command asked for.
    pub const UNEXPECTED_REPLY: &str = "unexpected-reply";
    /// More than 1,024 commands without a reply.
    pub const TOO_MANY_COMMANDS: &str = "too-many-commands";
    /// A line with a lone dot, with a bare CR or LF on one of its sides: some
    /// servers end the mail there, others do not.
    pub const AMBIGUOUS_END: &str = "ambiguous-end-of-mail";
    /// `BDAT` without a size that can be one.
    pub const INVALID_CHUNK: &str = "invalid-chunk-size";
    /// The client went on after `DATA`, `STARTTLS` or `AUTH` without waiting.
    pub const NOT_WAITED: &str = "answer-not-awaited";
    /// Bytes that are not TLS in the place of TLS, sent before the server
    /// was ready for it.
    pub const BEFORE_TLS: &str = "bytes-before-tls";
}

/// Bytes of a line that are read. RFC 5321 allows 512, extensions add to it.
pub const LINE_CAP: usize = 4096;
/// Lines of a reply that are kept.
pub const REPLY_LINES: usize = 256;
/// Commands that wait for their reply.
pub const PENDING: usize = 1024;
/// Bytes that wait, outside the engine, for the reply they depend on.
pub const WAITING_BYTES: usize = 64 << 10;

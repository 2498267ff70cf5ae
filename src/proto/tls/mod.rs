//! TLS without decryption: hellos, certificates, alerts and fingerprints.
//!
//! [`reader`] finds messages in a stream, [`hello`] and [`certificate`] look
//! into them, [`fingerprint`] names clients and servers, [`Parser`] gives
//! owned messages, [`Session`] is the dissector of a connection. Whatever is encrypted is never looked at. QUIC, which
//! carries the same hellos, is in `proto/quic`.

pub mod certificate;
pub mod fingerprint;
pub mod fuzz;
pub mod hello;
pub mod message;
mod parser;
pub mod reader;
pub mod session;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub use message::Message;
pub use parser::{PREFACE, Parser};
pub(crate) use parser::{client_hello, server_hello};
pub use session::Session;

use super::application::Over;

/// Ports that are TLS from the first byte: HTTPS, SMTP submission, DNS, FTP,
/// IMAP and POP3; on others the first bytes tell.
pub const OVER: &[Over] = &[
    Over::TcpPort(443),
    Over::TcpPort(465),
    Over::TcpPort(853),
    Over::TcpPort(990),
    Over::TcpPort(993),
    Over::TcpPort(995),
    Over::TcpPort(8443),
    Over::TcpProbe(session::probe),
];

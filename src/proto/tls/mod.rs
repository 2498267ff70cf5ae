//! TLS without decryption: hellos, certificates, alerts and fingerprints.
//!
//! [`reader`] finds messages in a stream, [`hello`] and [`certificate`] look
//! into them, [`fingerprint`] names clients and servers, [`Parser`] gives
//! owned messages. Whatever is encrypted is never looked at. QUIC, which
//! carries the same hellos, is in `proto/quic`.

pub mod certificate;
pub mod fingerprint;
pub mod fuzz;
pub mod hello;
pub mod message;
mod parser;
pub mod reader;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub use message::Message;
pub use parser::{PREFACE, Parser};
pub(crate) use parser::{client_hello, server_hello};

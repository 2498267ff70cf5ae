//! SSH as far as it is in the clear for everybody: the version exchange
//! (RFC 4253, 4.2).
//!
//! Each side sends one line with its version; a server may send other lines
//! before it. Nothing behind that line is read.
//! Not here: key exchange, fingerprints.

mod dialect;
#[doc(hidden)]
pub mod fuzz;
pub mod parser;

pub use dialect::{probe, reader};
pub use parser::{Banner, Message, Parser};

/// The name of each anomaly, and what it means.
pub mod anomaly {
    /// No line with a version came: the side is not read any more.
    pub const NO_VERSION: &str = "no-version";
    /// A version line longer than the 255 bytes that RFC 4253 allows.
    pub const LINE_TOO_LONG: &str = "line-too-long";
}

/// Bytes of a line that are read; the protocol allows 255.
pub const LINE_CAP: usize = 1024;
/// Lines before the version that are read.
pub const LINES_BEFORE: u32 = 64;

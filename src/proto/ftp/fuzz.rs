//! The fuzz body of the session parser.

use super::parser::Parser;
use crate::proto::parser::fuzz_session;

/// See [`fuzz_session`].
///
/// # Panics
/// When two ways of cutting the input give different messages.
pub fn fuzz_ftp(data: &[u8]) {
    fuzz_session::<Parser>(data);
}

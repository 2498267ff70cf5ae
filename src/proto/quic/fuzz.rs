//! The fuzz body of the QUIC parser.

use super::reader::read_opened;
use super::{Parser, gather};
use crate::proto::parser::DatagramParser;
use crate::proto::tls::fuzz::conversation;

/// Reads datagrams, and the same bytes as the frames of opened packets,
/// which random damage would never get to behind the encryption.
///
/// Datagrams are laid out as in the conversations of TLS.
///
/// # Panics
/// When more is kept than the caps allow: that is what it is for.
pub fn fuzz_quic(data: &[u8]) {
    let mut parser = Parser::default();
    for (direction, datagram) in conversation(data) {
        let messages = parser.parse(datagram, direction);
        assert!(messages.len() <= 1, "a datagram completes one hello");
    }
    for cut in [data.len(), 64] {
        let front = read_opened(data, cut).unwrap_or_default();
        assert!(front.len() <= gather::MOST_BYTES);
    }
}

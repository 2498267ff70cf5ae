//! The states of a connection and what moves it from one to the next.
//!
//! The table is the specification's: `input` is the side that closes first,
//! at the beginning the client. A row without a match is unexpected; what
//! that means is a matter of the profile and the policies.

use super::segment::Segment;
use crate::core::flow_state::*;

/// The side a segment comes from, in the words of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Input,
    Output,
}

/// Why a segment was not expected; the numbers reach Lua as `detail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Unexpected {
    Plain = 0,
    Establishment = 1,
    Termination = 2,
}

impl Unexpected {
    /// The description of the alert, where the table gives one.
    pub fn description(self) -> &'static str {
        match self {
            Unexpected::Plain => "unexpected tcp packet",
            Unexpected::Establishment => "invalid tcp establishement handshake",
            Unexpected::Termination => "invalid tcp termination handshake",
        }
    }
}

/// What a segment does to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Stay,
    To(u8),
    /// To FIN_WAIT_1, with input and output exchanged.
    ServerCloses,
    /// A new connection begins on the addresses and ports of the old one.
    Reopen,
    Unexpected(Unexpected),
}

/// The move that a segment without RST makes.
pub fn next(state: u8, side: Side, segment: &Segment) -> Move {
    use Move::{Reopen, ServerCloses, Stay, To};
    use Side::{Input, Output};
    const HANDSHAKE: Move = Move::Unexpected(Unexpected::Establishment);
    const TERMINATION: Move = Move::Unexpected(Unexpected::Termination);
    let (syn, ack, fin) = (segment.syn(), segment.ack_set(), segment.fin());
    match (state, side) {
        (SYN, Input) if syn => To(SYN_SENT),
        (SYN, Input) => HANDSHAKE,
        (SYN, Output) => Move::Unexpected(Unexpected::Plain),
        (SYN_SENT, Output) if syn && ack => To(SYN_RECEIVED),
        (SYN_SENT, Input) if syn => Stay,
        (SYN_SENT, _) => HANDSHAKE,
        (SYN_RECEIVED, Input) if ack && fin => To(FIN_WAIT_1),
        (SYN_RECEIVED, Input) if ack => To(ESTABLISHED),
        (SYN_RECEIVED, Input) if fin => To(FIN_WAIT_1),
        (SYN_RECEIVED, Output) if syn && ack => Stay,
        (SYN_RECEIVED, _) => HANDSHAKE,
        (ESTABLISHED, Input) if fin => To(FIN_WAIT_1),
        (ESTABLISHED, Output) if fin => ServerCloses,
        (ESTABLISHED, _) => Stay,
        (FIN_WAIT_1, Output) if fin && ack => To(CLOSING),
        (FIN_WAIT_1, Output) if fin => To(TIMED_WAIT),
        (FIN_WAIT_1, Output) if ack => To(FIN_WAIT_2),
        (FIN_WAIT_1, Output) => TERMINATION,
        (FIN_WAIT_1, Input) if fin && ack => To(CLOSING),
        (FIN_WAIT_1, Input) => Stay,
        (FIN_WAIT_2, Output) if fin => To(TIMED_WAIT),
        (FIN_WAIT_2, Output) if ack => Stay,
        (FIN_WAIT_2, Input) if ack => Stay,
        (FIN_WAIT_2, _) => TERMINATION,
        (CLOSING, Input) if ack => To(TIMED_WAIT),
        (CLOSING, Input) if !fin => TERMINATION,
        (CLOSING, Output) if !ack => TERMINATION,
        (CLOSING, _) => Stay,
        (TIMED_WAIT, Input) if syn => Reopen,
        (TIMED_WAIT, _) if !ack => TERMINATION,
        _ => Stay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::decode::TcpHeader;

    fn segment(flags: u8) -> Segment {
        Segment {
            seq: 0,
            ack: 0,
            flags,
            window: 0,
            len: 0,
            cut: false,
        }
    }

    #[test]
    fn ordinary_connection_goes_through_all_states() {
        const SYN_ACK: u8 = TcpHeader::SYN | TcpHeader::ACK;
        const FIN_ACK: u8 = TcpHeader::FIN | TcpHeader::ACK;
        let script = [
            (SYN, Side::Input, TcpHeader::SYN, Move::To(SYN_SENT)),
            (SYN_SENT, Side::Output, SYN_ACK, Move::To(SYN_RECEIVED)),
            (
                SYN_RECEIVED,
                Side::Input,
                TcpHeader::ACK,
                Move::To(ESTABLISHED),
            ),
            (ESTABLISHED, Side::Output, TcpHeader::ACK, Move::Stay),
            (ESTABLISHED, Side::Input, FIN_ACK, Move::To(FIN_WAIT_1)),
            (
                FIN_WAIT_1,
                Side::Output,
                TcpHeader::ACK,
                Move::To(FIN_WAIT_2),
            ),
            (FIN_WAIT_2, Side::Output, FIN_ACK, Move::To(TIMED_WAIT)),
            (TIMED_WAIT, Side::Input, TcpHeader::ACK, Move::Stay),
            (TIMED_WAIT, Side::Input, TcpHeader::SYN, Move::Reopen),
        ];
        for (state, side, flags, expected) in script {
            assert_eq!(
                next(state, side, &segment(flags)),
                expected,
                "{}",
                NAMES[state as usize]
            );
        }
    }

    #[test]
    fn handshake_faults_are_named() {
        let plain = segment(TcpHeader::ACK);
        assert_eq!(
            next(SYN_SENT, Side::Input, &plain),
            Move::Unexpected(Unexpected::Establishment)
        );
        assert_eq!(
            next(FIN_WAIT_2, Side::Output, &segment(0)),
            Move::Unexpected(Unexpected::Termination)
        );
        assert_eq!(
            next(SYN, Side::Output, &plain),
            Move::Unexpected(Unexpected::Plain)
        );
    }

    #[test]
    fn the_server_may_close_first() {
        assert_eq!(
            next(ESTABLISHED, Side::Output, &segment(TcpHeader::FIN)),
            Move::ServerCloses
        );
    }
}

//! The states of a flow that is followed, and what moves it on.

use crate::analysis::extract::TcpInfo;
use crate::flow::Direction;
use crate::packet::decode::TcpHeader;

/// Where a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowState {
    /// Packets, and nothing known of a connection.
    Active,
    SynSent,
    SynReceived,
    /// Both sides agreed, or the capture begins in the middle.
    Established,
    /// One side has sent its FIN.
    FinWait,
    /// Both sides have.
    ClosingTcp,
    /// Both FINs are acknowledged.
    Closed,
    /// An RST ended it.
    Reset,
    /// It was given up, idle or for want of room, before it had ended.
    Aborted,
}

impl FlowState {
    /// Whether nothing can follow.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            FlowState::Closed | FlowState::Reset | FlowState::Aborted
        )
    }
}

/// A connection as its segments show it. Sides are seen from the initiator.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    /// Sequence number behind each side's FIN.
    fins: [Option<u32>; 2],
}

impl Connection {
    /// The state after a segment; may be the same.
    pub fn next(&mut self, state: FlowState, side: Direction, tcp: &TcpInfo) -> FlowState {
        use FlowState::{
            Active, Closed, ClosingTcp, Established, FinWait, Reset, SynReceived, SynSent,
        };
        let (syn, ack, fin) = (
            tcp.has(TcpHeader::SYN),
            tcp.has(TcpHeader::ACK),
            tcp.has(TcpHeader::FIN),
        );
        let from_initiator = side == Direction::ToServer;
        if tcp.has(TcpHeader::RST) {
            return Reset;
        }
        let state = match state {
            Active if syn && ack => SynReceived,
            Active if syn => SynSent,
            Active => Established,
            SynSent if syn && ack && !from_initiator => SynReceived,
            SynReceived if ack && !syn && from_initiator => Established,
            other => other,
        };
        if fin && !syn {
            let behind = tcp.seq.wrapping_add(1);
            let own = self.fins.get_mut(side.index());
            own.map(|own| own.get_or_insert(behind));
        }
        match (state, self.fins) {
            (Closed, _) => Closed,
            (state, [None, None]) => state,
            (_, [Some(_), Some(_)]) if state == ClosingTcp && self.acknowledges(side, tcp) => {
                Closed
            }
            (_, [Some(_), Some(_)]) => ClosingTcp,
            _ => FinWait,
        }
    }

    /// Whether a segment without FIN of its own confirms the other's.
    fn acknowledges(&self, side: Direction, tcp: &TcpInfo) -> bool {
        let other = self.fins.get(side.opposite().index()).copied().flatten();
        tcp.has(TcpHeader::ACK) && !tcp.has(TcpHeader::FIN) && other.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};
    use FlowState::*;

    const SYN: u8 = TcpHeader::SYN;
    const ACK: u8 = TcpHeader::ACK;
    const FIN: u8 = TcpHeader::FIN;

    fn states(segments: &[(Direction, u8)]) -> Vec<FlowState> {
        let mut connection = Connection::default();
        let mut state = Active;
        let mut seen = Vec::new();
        for &(side, flags) in segments {
            let tcp = TcpInfo {
                flags,
                seq: 1,
                ack: 1,
            };
            let next = connection.next(state, side, &tcp);
            if next != state {
                seen.push(next);
            }
            state = next;
        }
        seen
    }

    #[test]
    fn a_connection_goes_through_all_states() {
        let segments = [
            (ToServer, SYN),
            (ToClient, SYN | ACK),
            (ToServer, ACK),
            (ToServer, ACK),
            (ToClient, FIN | ACK),
            (ToServer, ACK),
            (ToServer, FIN | ACK),
            (ToClient, ACK),
        ];
        assert_eq!(
            states(&segments),
            [
                SynSent,
                SynReceived,
                Established,
                FinWait,
                ClosingTcp,
                Closed
            ]
        );
    }

    #[test]
    fn odd_beginnings_and_ends() {
        assert_eq!(states(&[(ToServer, ACK)]), [Established]);
        assert_eq!(
            states(&[(ToClient, SYN | ACK), (ToServer, ACK)]),
            [SynReceived, Established]
        );
        assert_eq!(
            states(&[(ToServer, SYN), (ToClient, TcpHeader::RST | ACK)]),
            [SynSent, Reset]
        );
        // A repeated SYN and a FIN that is sent again move nothing.
        assert_eq!(states(&[(ToServer, SYN), (ToServer, SYN)]), [SynSent]);
        assert_eq!(
            states(&[
                (ToServer, ACK),
                (ToServer, FIN | ACK),
                (ToServer, FIN | ACK)
            ]),
            [Established, FinWait]
        );
        for terminal in [Closed, Reset, Aborted] {
            assert!(terminal.is_terminal());
        }
        assert!(!ClosingTcp.is_terminal());
    }
}

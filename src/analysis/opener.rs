//! Who opened a flow, told by what its packets show.
//!
//! The sender of the SYN, else the receiver of the SYN with ACK, else the
//! sender of the first packet seen.

use crate::flow::Direction;
use crate::packet::decode::TcpHeader;

/// Who opened a flow, and how sure that is: later is surer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    FirstSender(Direction),
    SynAckReceiver(Direction),
    SynSender(Direction),
}

impl Opener {
    /// The direction in which the opener sends.
    pub fn direction(self) -> Direction {
        match self {
            Opener::FirstSender(way) | Opener::SynAckReceiver(way) | Opener::SynSender(way) => way,
        }
    }

    /// Notes the flag byte of a segment that went in `direction`.
    pub fn note(&mut self, direction: Direction, flags: u8) {
        if flags & TcpHeader::SYN == 0 {
            return;
        }
        let answers = flags & TcpHeader::ACK != 0;
        *self = match (*self, answers) {
            (Opener::FirstSender(_), true) => Opener::SynAckReceiver(direction.opposite()),
            (Opener::FirstSender(_) | Opener::SynAckReceiver(_), false) => {
                Opener::SynSender(direction)
            }
            (surer, _) => surer,
        };
    }
}

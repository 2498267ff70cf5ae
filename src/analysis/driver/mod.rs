//! From packets to messages in one call, without an engine.
//!
//! A driver is a tracker with something on each flow: [`FlowDriver`] a
//! reassembler for each side, [`SessionDriver`] a parser of its streams,
//! [`DatagramDriver`] one of its datagrams. Parsers come from a factory; one
//! that is `Default + Clone` is its own. What happens is told in order as
//! [`SessionEvent`]s, which are those of the tracker and messages.
//!
//! Where rules must see the same, observe an engine instead (`sessions`): it
//! knows checksums, windows and fragments.

mod flow;
mod session;
#[cfg(test)]
mod tests;

pub use flow::FlowDriver;
pub use session::{DatagramDriver, SessionDriver};

use super::tracker::FlowEvent;
use crate::flow::Direction;
use crate::proto::parser::{DatagramParser, SessionParser};
use crate::time::Timestamp;

/// What a driver tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent<K, M> {
    /// The life of a flow.
    Flow(FlowEvent<K>),
    /// A message is complete.
    Application {
        key: K,
        /// Who sent it: [`Direction::ToServer`] is the initiator.
        side: Direction,
        message: M,
        timestamp: Timestamp,
    },
}

/// Makes a parser for each flow.
pub trait SessionParserFactory<K> {
    type Parser: SessionParser;

    fn new_parser(&mut self, key: &K) -> Self::Parser;
}

/// Each flow gets a copy.
impl<K, P: SessionParser + Default + Clone> SessionParserFactory<K> for P {
    type Parser = P;

    fn new_parser(&mut self, _: &K) -> P {
        self.clone()
    }
}

/// Makes a parser of datagrams for each flow.
pub trait DatagramParserFactory<K> {
    type Parser: DatagramParser;

    fn new_parser(&mut self, key: &K) -> Self::Parser;
}

/// Each flow gets a copy.
impl<K, P: DatagramParser + Default + Clone> DatagramParserFactory<K> for P {
    type Parser = P;

    fn new_parser(&mut self, _: &K) -> P {
        self.clone()
    }
}

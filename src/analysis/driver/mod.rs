//! From packets to messages in one call, without an engine.
//!
//! A driver is a tracker with something on each flow: [`FlowDriver`] a
//! reassembler for each side, [`SessionDriver`] a parser of its streams,
//! [`DatagramDriver`] one of its datagrams, [`ConversationDriver`] both of
//! its streams as one. Parsers come from a factory; one
//! that is `Default + Clone` is its own. What happens is told in order as
//! [`SessionEvent`]s, which are those of the tracker and messages.
//!
//! Where rules must see the same, observe an engine instead (`sessions`): it
//! knows checksums, windows and fragments.

mod conversation;
mod flow;
mod session;

pub use conversation::{ConversationDriver, ConversationEvent, ConversationItem};
pub use flow::{FlowDriver, Sides};
pub use session::{DatagramDriver, SessionDriver};

use super::extract::{FlowExtractor, PacketView};
use super::reassemble::ReassemblerFactory;
use super::tracker::{FlowEvent, FlowTracker};
use crate::flow::Direction;
use crate::proto::parser::{DatagramParser, SessionParser};
use crate::time::Timestamp;

/// Takes packets and tells of events: what every source of packets drives.
pub trait Driver {
    type Event;

    /// Takes a packet.
    fn on_packet(&mut self, view: &PacketView<'_>, out: &mut impl Extend<Self::Event>);

    /// It is so late, and no packet came for a while.
    fn on_tick(&mut self, now: Timestamp, out: &mut impl Extend<Self::Event>);

    /// There are no more packets.
    fn on_end(&mut self, out: &mut impl Extend<Self::Event>);
}

/// A driver's own `track`, `sweep` and `finish`.
macro_rules! driver {
    ([$($parameters:tt)*] $driver:ty, $event:ty) => {
        impl<$($parameters)*> Driver for $driver {
            type Event = $event;

            fn on_packet(&mut self, view: &PacketView<'_>, out: &mut impl Extend<$event>) {
                out.extend(self.track(view));
            }

            fn on_tick(&mut self, now: Timestamp, out: &mut impl Extend<$event>) {
                out.extend(self.sweep(now));
            }

            fn on_end(&mut self, out: &mut impl Extend<$event>) {
                out.extend(self.finish());
            }
        }
    };
}

driver!([E: FlowExtractor, S] FlowTracker<E, S>, FlowEvent<E::Key>);
driver!([E: FlowExtractor] ConversationDriver<E>, ConversationEvent<E::Key>);
driver!(
    [E: FlowExtractor, F: ReassemblerFactory<E::Key, Reassembler: 'static>, S: Default + 'static]
    FlowDriver<E, F, S>, FlowEvent<E::Key>
);
driver!(
    [E: FlowExtractor, F: SessionParserFactory<E::Key, Parser: 'static>]
    SessionDriver<E, F>, SessionEvent<E::Key, <F::Parser as SessionParser>::Message>
);
driver!(
    [E: FlowExtractor, F: DatagramParserFactory<E::Key, Parser: 'static>]
    DatagramDriver<E, F>, SessionEvent<E::Key, <F::Parser as DatagramParser>::Message>
);

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

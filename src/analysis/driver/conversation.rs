//! Both directions of each flow as one ordered row of bytes.

use crate::analysis::extract::{FlowExtractor, L4, PacketView};
use crate::analysis::reassemble::{Arrival, Sequencer};
use crate::analysis::tracker::{EndReason, FlowEvent, FlowTracker, Step, TrackerConfig};
use crate::flow::Direction;
use crate::packet::decode::TcpHeader;
use crate::time::Timestamp;

/// Something that a flow said, with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationEvent<K> {
    pub key: K,
    pub timestamp: Timestamp,
    pub item: ConversationItem,
}

/// A piece of a conversation. Sides are named by the direction in which they
/// send: [`Direction::ToServer`] is the initiator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConversationItem {
    /// The flow begins.
    Opened { l4: Option<L4> },
    /// The next bytes of a side in order; of UDP, a datagram.
    Chunk { side: Direction, bytes: Vec<u8> },
    /// So many bytes of a side never came.
    Gap { side: Direction, bytes: u64 },
    /// A side has finished.
    SideStopped { side: Direction },
    /// Nothing follows.
    Closed { reason: EndReason },
}

/// Puts the bytes of TCP and UDP flows in order.
pub struct ConversationDriver<E: FlowExtractor> {
    tracker: FlowTracker<E, Option<Box<[Sequencer; 2]>>>,
}

impl<E: FlowExtractor> ConversationDriver<E> {
    pub fn new(extractor: E) -> ConversationDriver<E> {
        ConversationDriver::with_config(extractor, TrackerConfig::default())
    }

    pub fn with_config(extractor: E, config: TrackerConfig) -> ConversationDriver<E> {
        ConversationDriver {
            tracker: FlowTracker::with_config(extractor, config),
        }
    }

    /// Takes a packet.
    pub fn track(&mut self, view: &PacketView<'_>) -> Vec<ConversationEvent<E::Key>> {
        let mut events = Vec::new();
        self.tracker.run(view, |step| step_of(step, &mut events));
        events
    }

    /// Ends the flows that are idle at `now`.
    pub fn sweep(&mut self, now: Timestamp) -> Vec<ConversationEvent<E::Key>> {
        let mut events = Vec::new();
        self.tracker
            .run_sweep(now, |step| step_of(step, &mut events));
        events
    }

    /// There are no more packets: every flow ends.
    pub fn finish(&mut self) -> Vec<ConversationEvent<E::Key>> {
        self.sweep(Timestamp(i64::MAX))
    }
}

fn step_of<K: Clone>(
    step: Step<'_, '_, K, Option<Box<[Sequencer; 2]>>>,
    events: &mut Vec<ConversationEvent<K>>,
) {
    let mut tell = |key: &K, timestamp, item| {
        events.push(ConversationEvent {
            key: key.clone(),
            timestamp,
            item,
        });
    };
    match step {
        Step::Event(FlowEvent::Started {
            key, l4, timestamp, ..
        }) => {
            tell(&key, timestamp, ConversationItem::Opened { l4 });
        }
        Step::Event(_) => {}
        Step::Contents {
            key,
            side,
            packet,
            timestamp,
            user,
        } => {
            let mut out = |item| tell(key, timestamp, item);
            let Some(tcp) = &packet.tcp else {
                if !packet.payload.is_empty() && packet.l4 == Some(L4::Udp) {
                    let bytes = packet.payload.to_vec();
                    out(ConversationItem::Chunk { side, bytes });
                }
                return;
            };
            let [initiator, responder] = &mut **user.get_or_insert_default();
            let order = match side {
                Direction::ToServer => initiator,
                Direction::ToClient => responder,
            };
            // What an RST carries is no part of the stream.
            if tcp.has(TcpHeader::RST) {
                return;
            }
            let syn = tcp.has(TcpHeader::SYN);
            let first = tcp.seq.wrapping_add(u32::from(syn));
            if syn {
                order.syn(tcp.seq);
            }
            let mut arrived = |arrival: Arrival<'_>| out(item_of(side, arrival));
            order.segment(first, packet.payload, &mut arrived);
            if tcp.has(TcpHeader::FIN) {
                order.fin(first.wrapping_add(packet.payload_len), &mut arrived);
            }
        }
        Step::Over {
            key,
            reason,
            timestamp,
            user,
        } => {
            let orders = user.map(|orders| *orders).into_iter().flatten();
            for (side, mut order) in Direction::BOTH.into_iter().zip(orders) {
                order.give_up(&mut |arrival: Arrival<'_>| {
                    tell(key, timestamp, item_of(side, arrival));
                });
            }
            tell(key, timestamp, ConversationItem::Closed { reason });
        }
    }
}

fn item_of(side: Direction, arrival: Arrival<'_>) -> ConversationItem {
    match arrival {
        Arrival::Bytes(bytes) => ConversationItem::Chunk {
            side,
            bytes: bytes.to_vec(),
        },
        Arrival::Gap(bytes) => ConversationItem::Gap { side, bytes },
        Arrival::Fin => ConversationItem::SideStopped { side },
    }
}

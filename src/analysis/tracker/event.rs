//! What a tracker tells of flows.

use serde::Serialize;

use super::FlowState;
use crate::analysis::extract::L4;
use crate::flow::Direction;
use crate::time::Timestamp;

/// Something that happened to a flow. Of one flow they come in the order
/// `Started`, then for each packet `Packet` and the changes that it brought,
/// at the end `Ended`. Sides are named by the direction in which they send:
/// [`Direction::ToServer`] is the initiator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowEvent<K> {
    /// The first packet was seen, sent by `side`.
    Started {
        key: K,
        side: Direction,
        l4: Option<L4>,
        timestamp: Timestamp,
    },
    /// A packet of `len` bytes on the wire.
    Packet {
        key: K,
        side: Direction,
        len: u32,
        timestamp: Timestamp,
    },
    /// A TCP connection came about; follows the change of state.
    Established { key: K, timestamp: Timestamp },
    StateChange {
        key: K,
        from: FlowState,
        to: FlowState,
        timestamp: Timestamp,
    },
    /// The flow is over; its key may be used again.
    Ended {
        key: K,
        reason: EndReason,
        stats: FlowStats,
        /// Letters of what was seen; see [`super::FlowTracker`].
        history: String,
        l4: Option<L4>,
        timestamp: Timestamp,
    },
}

impl<K> FlowEvent<K> {
    /// The flow that it is about.
    pub fn key(&self) -> &K {
        match self {
            FlowEvent::Started { key, .. }
            | FlowEvent::Packet { key, .. }
            | FlowEvent::Established { key, .. }
            | FlowEvent::StateChange { key, .. }
            | FlowEvent::Ended { key, .. } => key,
        }
    }

    /// When it happened, in packet time.
    pub fn timestamp(&self) -> Timestamp {
        match self {
            FlowEvent::Started { timestamp, .. }
            | FlowEvent::Packet { timestamp, .. }
            | FlowEvent::Established { timestamp, .. }
            | FlowEvent::StateChange { timestamp, .. }
            | FlowEvent::Ended { timestamp, .. } => *timestamp,
        }
    }
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Both sides closed it.
    Fin,
    Rst,
    /// No packet for as long as its protocol allows, or the capture ended.
    IdleTimeout,
    /// Given up so that a new flow fits.
    Evicted,
}

/// What was counted of one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Packets of the initiator and of the responder.
    pub packets: [u64; 2],
    /// Bytes of their frames on the wire.
    pub bytes: [u64; 2],
    pub started: Timestamp,
    pub last_seen: Timestamp,
}

impl FlowStats {
    /// Packets sent by a side.
    pub fn packets_of(&self, side: Direction) -> u64 {
        let [initiator, responder] = self.packets;
        match side {
            Direction::ToServer => initiator,
            Direction::ToClient => responder,
        }
    }

    /// Bytes sent by a side.
    pub fn bytes_of(&self, side: Direction) -> u64 {
        let [initiator, responder] = self.bytes;
        match side {
            Direction::ToServer => initiator,
            Direction::ToClient => responder,
        }
    }
}

/// Totals of a tracker since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrackerStats {
    pub flows_created: u64,
    /// All ends, evictions included.
    pub flows_ended: u64,
    pub flows_evicted: u64,
    /// Packets that the extractor found no flow in.
    pub packets_unmatched: u64,
    /// Packets of connections that had ended before.
    pub packets_late: u64,
}

//! What a tracker of flows is told, beside the events that rules hear.
//!
//! Rules are asked and may decide; an observer is only told, at the points
//! where the engine knows: a packet was found to belong to a flow, bytes of a
//! stream are in order, a hole will not be filled any more, a flow is gone.
//! Nothing is called for while no observer is set, so the packet path pays
//! one test of an `Option`.
//!
//! Order kept by the engine, for each flow: `packet` for a segment comes
//! before the `bytes` that it completes; `conflict` and `gap` come before
//! `ended`; `ended` comes once and last.

use crate::addr::Addr;
use crate::flow::Direction;
use crate::packet::decode::TunnelKind;
use crate::time::Timestamp;

/// A packet as it was found on its flow.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// Number of the flow in this run (`FlowRecord::id`): from 1, in order of
    /// the first packet, never used twice.
    pub flow: u64,
    /// As the flow table sees the flow; see [`Sighting::source`].
    pub direction: Direction,
    pub source: Endpoint,
    pub destination: Endpoint,
    /// Protocol number of the datagram: 6, 17, 1, 58 or another.
    pub protocol: u8,
    /// Number of the frame, from 1 over all captures of the run.
    pub frame: u64,
    pub timestamp: Timestamp,
    /// The flag byte of a TCP header; 0 for other protocols.
    pub tcp_flags: u8,
    /// Payload above the transport header by its length fields, in bytes.
    pub payload_len: u32,
    /// What the capture has of the payload: shorter when the frame was cut.
    pub payload: &'a [u8],
    /// The transport checksum is wrong, and checksums are looked at.
    pub bad_checksum: bool,
    /// VLAN ids, outermost first.
    pub vlans: &'a [u16],
    /// Encapsulations around the packet, outermost first.
    pub tunnels: &'a [TunnelKind],
}

/// One end of a flow. The port is 0 where the protocol has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub addr: Addr,
    pub port: u16,
}

/// Why a flow is not followed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides closed it in order.
    Closed,
    /// By an RST that counted.
    Reset,
    /// No packet for as long as its state allows.
    Timeout,
    /// Given up so that another flow fits.
    Evicted,
    /// Dropped or reset by a rule.
    Refused,
    /// Another connection began between the same ends.
    Reused,
    /// The capture ended.
    CaptureEnd,
}

/// Told what becomes of flows. `flow` is [`Sighting::flow`].
pub trait Observer {
    /// A packet belongs to a flow: once for each, in the order of arrival,
    /// whatever becomes of it.
    fn packet(&mut self, sighting: &Sighting<'_>);

    /// The next bytes of one direction of a TCP stream, each byte once: those
    /// that rules judge.
    fn bytes(&mut self, flow: u64, direction: Direction, bytes: &[u8]);

    /// A retransmission or overlap brought other bytes than those judged.
    fn conflict(&mut self, flow: u64, direction: Direction);

    /// `missing` bytes of the stream were never seen and are not waited for
    /// any longer. Bytes that follow lie behind the hole.
    fn gap(&mut self, flow: u64, direction: Direction, missing: u64);

    /// The flow is gone.
    fn ended(&mut self, flow: u64, ending: Ending);
}

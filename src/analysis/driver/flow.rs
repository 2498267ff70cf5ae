//! A tracker with a reassembler on each side of each connection.

use crate::analysis::extract::{Extracted, FlowExtractor, PacketView};
use crate::analysis::reassemble::{Reassembler, ReassemblerFactory};
use crate::analysis::tracker::{EndReason, FlowEvent, FlowTracker, Step, TrackerConfig};
use crate::packet::decode::TcpHeader;
use crate::time::Timestamp;

/// Gives the segments of each TCP connection to reassemblers of the caller's.
///
/// `S` is the caller's state of a flow.
///
/// ```
/// use wero::analysis::driver::FlowDriver;
/// use wero::analysis::extract::{FiveTuple, FiveTupleKey};
/// use wero::analysis::reassemble::InOrderOnly;
/// use wero::flow::Direction;
///
/// let driver: FlowDriver<_, _> = FlowDriver::new(
///     FiveTuple::bidirectional(),
///     |_: &FiveTupleKey, _: Direction| InOrderOnly::default(),
/// );
/// assert_eq!(driver.tracker().flow_count(), 0);
/// ```
pub struct FlowDriver<E, F, S = ()>
where
    E: FlowExtractor,
    F: ReassemblerFactory<E::Key>,
{
    tracker: FlowTracker<E, Sides<F::Reassembler, S>>,
    factory: F,
}

/// What a driver keeps of a flow.
#[derive(Debug)]
pub struct Sides<R, S> {
    /// Reassemblers of the initiator and of the responder, once they sent.
    pub reassemblers: [Option<R>; 2],
    /// The caller's own.
    pub user: S,
}

impl<R, S: Default> Default for Sides<R, S> {
    fn default() -> Sides<R, S> {
        Sides {
            reassemblers: [None, None],
            user: S::default(),
        }
    }
}

impl<E, F, S> FlowDriver<E, F, S>
where
    E: FlowExtractor,
    F: ReassemblerFactory<E::Key>,
    F::Reassembler: 'static,
    S: Default + 'static,
{
    pub fn new(extractor: E, factory: F) -> FlowDriver<E, F, S> {
        FlowDriver {
            tracker: FlowTracker::new(extractor),
            factory,
        }
    }

    pub fn with_config(extractor: E, factory: F, config: TrackerConfig) -> FlowDriver<E, F, S> {
        FlowDriver {
            tracker: FlowTracker::with_config(extractor, config),
            factory,
        }
    }

    /// Takes a packet.
    pub fn track(&mut self, view: &PacketView<'_>) -> Vec<FlowEvent<E::Key>> {
        let (mut events, factory) = (Vec::new(), &mut self.factory);
        self.tracker
            .run(view, |step| step_of(factory, step, &mut events));
        events
    }

    /// Ends the flows that are idle at `now`.
    pub fn sweep(&mut self, now: Timestamp) -> Vec<FlowEvent<E::Key>> {
        let (mut events, factory) = (Vec::new(), &mut self.factory);
        self.tracker
            .run_sweep(now, |step| step_of(factory, step, &mut events));
        events
    }

    /// There are no more packets.
    pub fn finish(&mut self) -> Vec<FlowEvent<E::Key>> {
        self.sweep(Timestamp(i64::MAX))
    }
}

impl<E, F, S> FlowDriver<E, F, S>
where
    E: FlowExtractor,
    F: ReassemblerFactory<E::Key>,
{
    /// The tracker, with the reassemblers of each flow in its state.
    pub fn tracker(&self) -> &FlowTracker<E, Sides<F::Reassembler, S>> {
        &self.tracker
    }

    pub fn tracker_mut(&mut self) -> &mut FlowTracker<E, Sides<F::Reassembler, S>> {
        &mut self.tracker
    }
}

fn step_of<K: Clone, F: ReassemblerFactory<K>, S>(
    factory: &mut F,
    step: Step<'_, '_, K, Sides<F::Reassembler, S>>,
    events: &mut Vec<FlowEvent<K>>,
) {
    match step {
        Step::Event(event) => events.push(event),
        Step::Contents {
            key,
            side,
            packet,
            user,
            ..
        } => {
            let Some(half) = user.reassemblers.get_mut(side.index()) else {
                return;
            };
            let half = half.get_or_insert_with(|| factory.new_reassembler(key, side));
            segment(half, packet);
        }
        Step::Over {
            reason, mut user, ..
        } => {
            if reason == EndReason::Rst {
                for half in user.reassemblers.iter_mut().flatten() {
                    half.rst();
                }
            }
        }
    }
}

/// Tells a reassembler what a segment shows.
fn segment<K, R: Reassembler>(reassembler: &mut R, packet: &Extracted<'_, K>) {
    let Some(tcp) = &packet.tcp else {
        return;
    };
    if tcp.has(TcpHeader::SYN) {
        reassembler.syn(tcp.seq);
    }
    let first = tcp.seq.wrapping_add(u32::from(tcp.has(TcpHeader::SYN)));
    if !packet.payload.is_empty() {
        reassembler.segment(first, packet.payload);
    }
    if tcp.has(TcpHeader::FIN) {
        reassembler.fin(first.wrapping_add(packet.payload_len));
    }
}

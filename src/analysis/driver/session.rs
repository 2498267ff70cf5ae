//! Trackers with a parser on each flow.

use super::{DatagramParserFactory, SessionEvent, SessionParserFactory};
use crate::analysis::arrivals::{Arrivals, marks};
use crate::analysis::extract::{Extracted, FlowExtractor, L4, PacketView};
use crate::analysis::reassemble::{Arrival, Sequencer};
use crate::analysis::tracker::{EndReason, FlowTracker, Step, TrackerConfig};
use crate::flow::Direction;
use crate::packet::decode::TcpHeader;
use crate::proto::parser::{DatagramParser, SessionParser};
use crate::time::Timestamp;

type Message<P> = <P as SessionParser>::Message;

/// Parses the streams of TCP connections.
///
/// ```
/// use wero::analysis::driver::SessionDriver;
/// use wero::analysis::extract::FiveTuple;
/// use wero::proto::parser::SessionParser;
///
/// /// Counts what each side says.
/// #[derive(Clone, Default)]
/// struct Count;
///
/// impl SessionParser for Count {
///     type Message = usize;
///     fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<usize> {
///         vec![bytes.len()]
///     }
///     fn feed_responder(&mut self, bytes: &[u8]) -> Vec<usize> {
///         vec![bytes.len()]
///     }
/// }
///
/// // A parser that is `Default + Clone` is its own factory.
/// let mut driver = SessionDriver::new(FiveTuple::bidirectional(), Count);
/// assert!(driver.finish().is_empty(), "no packet, no event");
/// ```
pub struct SessionDriver<E, F>
where
    E: FlowExtractor,
    F: SessionParserFactory<E::Key>,
{
    tracker: FlowTracker<E, Option<Box<Session<F::Parser>>>>,
    factory: F,
}

/// A connection and its parser.
struct Session<P> {
    parser: P,
    orders: [Sequencer; 2],
    arrivals: Arrivals<Timestamp>,
}

impl<E, F> SessionDriver<E, F>
where
    E: FlowExtractor,
    F: SessionParserFactory<E::Key>,
    F::Parser: 'static,
{
    pub fn new(extractor: E, factory: F) -> SessionDriver<E, F> {
        SessionDriver::with_config(extractor, factory, TrackerConfig::default())
    }

    pub fn with_config(extractor: E, factory: F, config: TrackerConfig) -> SessionDriver<E, F> {
        SessionDriver {
            tracker: FlowTracker::with_config(extractor, config),
            factory,
        }
    }

    /// Takes a packet.
    pub fn track(
        &mut self,
        view: &PacketView<'_>,
    ) -> Vec<SessionEvent<E::Key, Message<F::Parser>>> {
        let (mut events, factory) = (Vec::new(), &mut self.factory);
        self.tracker
            .run(view, |step| step_of(factory, step, &mut events));
        events
    }

    /// Ends the flows that are idle at `now`.
    pub fn sweep(&mut self, now: Timestamp) -> Vec<SessionEvent<E::Key, Message<F::Parser>>> {
        let (mut events, factory) = (Vec::new(), &mut self.factory);
        self.tracker
            .run_sweep(now, |step| step_of(factory, step, &mut events));
        events
    }

    /// There are no more packets: messages that end with their stream are
    /// complete, and every flow ends.
    pub fn finish(&mut self) -> Vec<SessionEvent<E::Key, Message<F::Parser>>> {
        self.sweep(Timestamp(i64::MAX))
    }

    /// Flows under way.
    pub fn flow_count(&self) -> usize {
        self.tracker.flow_count()
    }
}

type Parsed<K, F> = SessionEvent<K, Message<<F as SessionParserFactory<K>>::Parser>>;

fn step_of<K: Clone, F: SessionParserFactory<K>>(
    factory: &mut F,
    step: Step<'_, '_, K, Option<Box<Session<F::Parser>>>>,
    events: &mut Vec<Parsed<K, F>>,
) {
    match step {
        Step::Event(event) => events.push(SessionEvent::Flow(event)),
        Step::Contents {
            key,
            side,
            packet,
            timestamp,
            user,
        } => {
            if packet.tcp.is_none() {
                return;
            }
            let session = user.get_or_insert_with(|| {
                Box::new(Session {
                    parser: factory.new_parser(key),
                    orders: Default::default(),
                    arrivals: Arrivals::default(),
                })
            });
            session.segment(side, packet, timestamp, &mut told(key, events));
        }
        Step::Over {
            key,
            reason,
            timestamp,
            user: Some(mut session),
        } => session.close(reason, timestamp, &mut told(key, events)),
        Step::Over { .. } => {}
    }
}

/// Makes events of messages.
fn told<'a, K: Clone, M>(
    key: &'a K,
    events: &'a mut Vec<SessionEvent<K, M>>,
) -> impl FnMut(Direction, Timestamp, M) + 'a {
    move |side, timestamp, message| {
        events.push(SessionEvent::Application {
            key: key.clone(),
            side,
            message,
            timestamp,
        });
    }
}

impl<P: SessionParser> Session<P> {
    fn segment<K>(
        &mut self,
        side: Direction,
        packet: &Extracted<'_, K>,
        now: Timestamp,
        told: &mut impl FnMut(Direction, Timestamp, P::Message),
    ) {
        let Some(tcp) = &packet.tcp else {
            return;
        };
        // What an RST carries is no part of the stream.
        if tcp.has(TcpHeader::RST) {
            return match side {
                Direction::ToServer => self.parser.rst_initiator(),
                Direction::ToClient => self.parser.rst_responder(),
            };
        }
        let syn = tcp.has(TcpHeader::SYN);
        let first = tcp.seq.wrapping_add(u32::from(syn));
        let (order, mut out) = self.side(side, now, told);
        if syn {
            order.syn(tcp.seq);
        }
        order.segment(first, packet.payload, &mut out);
        if tcp.has(TcpHeader::FIN) {
            order.fin(first.wrapping_add(packet.payload_len), &mut out);
        }
    }

    /// Nothing follows, whether or not it was told.
    fn close(
        &mut self,
        reason: EndReason,
        now: Timestamp,
        told: &mut impl FnMut(Direction, Timestamp, P::Message),
    ) {
        for side in Direction::BOTH {
            let (order, mut out) = self.side(side, now, told);
            order.give_up(&mut out);
            let finished = order.is_finished();
            if !finished && reason != EndReason::Evicted {
                out(Arrival::Fin);
            }
        }
    }

    /// The order of a side, and what leads from it to the parser.
    fn side<'a>(
        &'a mut self,
        side: Direction,
        now: Timestamp,
        told: &'a mut impl FnMut(Direction, Timestamp, P::Message),
    ) -> (&'a mut Sequencer, impl FnMut(Arrival<'_>) + 'a) {
        let (parser, arrivals) = (&mut self.parser, &mut self.arrivals);
        let [initiator, responder] = &mut self.orders;
        let order = match side {
            Direction::ToServer => initiator,
            Direction::ToClient => responder,
        };
        let out = move |arrival: Arrival<'_>| {
            let messages = match arrival {
                Arrival::Bytes(bytes) => {
                    arrivals.add(side, bytes.len(), now);
                    parser.feed(side, bytes)
                }
                Arrival::Gap(bytes) => parser.gap(side, bytes),
                Arrival::Fin => parser.fin(side),
            };
            let mut mark = marks(parser.waited());
            for (place, message) in messages.into_iter().enumerate() {
                let (sender, came) = arrivals.origin(side, now, mark(place));
                told(sender, came, message);
            }
            drop(mark);
            arrivals.keep(|side| parser.waiting(side));
        };
        (order, out)
    }
}

/// Parses the datagrams of UDP flows.
pub struct DatagramDriver<E, F>
where
    E: FlowExtractor,
    F: DatagramParserFactory<E::Key>,
{
    tracker: FlowTracker<E, Option<F::Parser>>,
    factory: F,
}

type Datagram<P> = <P as DatagramParser>::Message;

impl<E, F> DatagramDriver<E, F>
where
    E: FlowExtractor,
    F: DatagramParserFactory<E::Key>,
    F::Parser: 'static,
{
    pub fn new(extractor: E, factory: F) -> DatagramDriver<E, F> {
        DatagramDriver::with_config(extractor, factory, TrackerConfig::default())
    }

    pub fn with_config(extractor: E, factory: F, config: TrackerConfig) -> DatagramDriver<E, F> {
        DatagramDriver {
            tracker: FlowTracker::with_config(extractor, config),
            factory,
        }
    }

    /// Takes a packet.
    pub fn track(
        &mut self,
        view: &PacketView<'_>,
    ) -> Vec<SessionEvent<E::Key, Datagram<F::Parser>>> {
        let (mut events, factory) = (Vec::new(), &mut self.factory);
        self.tracker.run(view, |step| match step {
            Step::Event(event) => events.push(SessionEvent::Flow(event)),
            Step::Contents {
                key,
                side,
                packet,
                timestamp,
                user,
            } if packet.l4 == Some(L4::Udp) => {
                let parser = user.get_or_insert_with(|| factory.new_parser(key));
                let messages = parser.parse(packet.payload, side);
                let mut told = told(key, &mut events);
                messages
                    .into_iter()
                    .for_each(|message| told(side, timestamp, message));
            }
            Step::Contents { .. } | Step::Over { .. } => {}
        });
        events
    }

    /// Ends the flows that are idle at `now`.
    pub fn sweep(&mut self, now: Timestamp) -> Vec<SessionEvent<E::Key, Datagram<F::Parser>>> {
        let events = self.tracker.sweep(now);
        events.into_iter().map(SessionEvent::Flow).collect()
    }

    /// There are no more packets: every flow ends.
    pub fn finish(&mut self) -> Vec<SessionEvent<E::Key, Datagram<F::Parser>>> {
        self.sweep(Timestamp(i64::MAX))
    }

    /// Flows under way.
    pub fn flow_count(&self) -> usize {
        self.tracker.flow_count()
    }
}

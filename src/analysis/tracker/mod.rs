//! Follows flows of any key through packets, and tells what happens to them.
//!
//! A [`FlowTracker`] asks its extractor which flow a packet belongs to, keeps
//! a state of the caller's for each flow, and reports [`FlowEvent`]s. Time is
//! that of the packets: a flow without any for as long as its protocol allows
//! ends, which is looked for once a second of packet time. The number of flows
//! is capped; the one that was idle longest makes room.
//!
//! A connection that has ended keeps its place for a while
//! ([`TrackerConfig::linger`]), so that its last acknowledgements and
//! retransmissions are no new flow; a SYN is.
//!
//! Not here: bytes in order (`reassemble`), messages (`driver`), the flows of
//! an engine (`flows`), which knows windows, checksums and tunnels better.

mod event;
mod recent;
mod state;

use std::time::Duration;

use hashbrown::HashMap;
use slab::Slab;
use smallvec::SmallVec;

pub use event::{EndReason, FlowEvent, FlowStats, TrackerStats};
pub use state::FlowState;

use super::extract::{Extracted, FlowExtractor, L4, Orientation, PacketView, TcpInfo};
use super::history::{History, Mark};
use crate::flow::Direction;
use crate::packet::decode::TcpHeader;
use crate::time::Timestamp;
use recent::{Links, Recent};
use state::Connection;

/// Events of one packet; more than these are allocated.
pub type FlowEvents<K> = SmallVec<[FlowEvent<K>; 4]>;

/// How long flows live, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerConfig {
    pub idle_tcp: Duration,
    pub idle_udp: Duration,
    pub idle_other: Duration,
    /// Flows followed at once, ended ones that linger included.
    pub max_flows: usize,
    /// Packet time between two looks for idle flows.
    pub sweep_interval: Duration,
    /// How long an ended connection keeps its place.
    pub linger: Duration,
}

impl Default for TrackerConfig {
    fn default() -> TrackerConfig {
        TrackerConfig {
            idle_tcp: Duration::from_secs(300),
            idle_udp: Duration::from_secs(60),
            idle_other: Duration::from_secs(30),
            max_flows: 100_000,
            sweep_interval: Duration::from_secs(1),
            linger: Duration::from_secs(10),
        }
    }
}

impl TrackerConfig {
    fn idle(&self, l4: Option<L4>) -> Duration {
        match l4 {
            Some(L4::Tcp) => self.idle_tcp,
            Some(L4::Udp) => self.idle_udp,
            _ => self.idle_other,
        }
    }

    fn shortest_idle(&self) -> Duration {
        let shortest = self.idle_tcp.min(self.idle_udp).min(self.idle_other);
        shortest.min(self.linger)
    }
}

/// Follows flows.
///
/// `S` is the caller's state of a flow: [`Default`], or made by a function
/// ([`FlowTracker::with_state`]).
///
/// The history of a flow has a letter for each packet that shows something,
/// at most sixteen: `S` SYN, `D` data, `F` FIN, `R` RST, in upper case for the
/// initiator and in lower case for the responder.
///
/// ```
/// use wero::analysis::extract::{FiveTuple, PacketView};
/// use wero::analysis::tracker::{FlowEvent, FlowTracker};
/// use wero::time::Timestamp;
///
/// # let frame = [
/// #     2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
/// #     0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
/// #     0x0f, 0xa0, 0, 53, 0, 8, 0, 0, // UDP
/// # ];
/// let mut tracker: FlowTracker<_> = FlowTracker::new(FiveTuple::bidirectional());
/// let view = PacketView::new(&frame, Timestamp::new(1, 0));
/// for event in tracker.track(&view) {
///     if let FlowEvent::Started { key, .. } = event {
///         println!("{} to {}", key.a, key.b);
///     }
/// }
/// assert_eq!(tracker.flow_count(), 1);
/// let ended = tracker.sweep(Timestamp::new(100, 0));
/// assert!(matches!(ended[..], [FlowEvent::Ended { .. }]));
/// ```
pub struct FlowTracker<E: FlowExtractor, S = ()> {
    extractor: E,
    config: TrackerConfig,
    init: Init<E::Key, S>,
    by_key: HashMap<E::Key, usize, foldhash::fast::RandomState>,
    flows: Slab<Entry<E::Key, S>>,
    recent: Recent,
    live: usize,
    /// Latest packet time.
    now: Timestamp,
    next_sweep: Option<Timestamp>,
    stats: TrackerStats,
}

/// Makes the state of a new flow.
type Init<K, S> = Box<dyn FnMut(&K, Timestamp) -> S + Send>;

struct Entry<K, S> {
    key: K,
    /// The orientation in which the initiator sends.
    initiator: Orientation,
    l4: Option<L4>,
    state: FlowState,
    connection: Connection,
    stats: FlowStats,
    history: History,
    links: Links,
    /// Gone once the flow has ended.
    user: Option<S>,
}

impl<K, S> Entry<K, S> {
    fn side(&self, orientation: Orientation) -> Direction {
        match orientation == self.initiator {
            true => Direction::ToServer,
            false => Direction::ToClient,
        }
    }
}

/// A step in the life of a flow, as drivers see it.
pub(super) enum Step<'s, 'p, K, S> {
    Event(FlowEvent<K>),
    /// A packet's contents, behind its event.
    Contents {
        key: &'s K,
        side: Direction,
        packet: &'s Extracted<'p, K>,
        timestamp: Timestamp,
        user: &'s mut S,
    },
    /// The flow is over: its state leaves. The event follows.
    Over {
        key: &'s K,
        reason: EndReason,
        timestamp: Timestamp,
        user: S,
    },
}

impl<E: FlowExtractor, S: Default + 'static> FlowTracker<E, S> {
    /// A tracker with the usual limits and a default state for each flow.
    pub fn new(extractor: E) -> FlowTracker<E, S> {
        FlowTracker::with_state(extractor, |_, _| S::default())
    }

    /// The same with limits of its own.
    pub fn with_config(extractor: E, config: TrackerConfig) -> FlowTracker<E, S> {
        let mut tracker = FlowTracker::new(extractor);
        tracker.config = config;
        tracker
    }
}

impl<E: FlowExtractor, S> FlowTracker<E, S> {
    /// A tracker that makes the state of each flow from its key and the time
    /// of its first packet.
    pub fn with_state(
        extractor: E,
        init: impl FnMut(&E::Key, Timestamp) -> S + Send + 'static,
    ) -> FlowTracker<E, S> {
        FlowTracker {
            extractor,
            config: TrackerConfig::default(),
            init: Box::new(init),
            by_key: HashMap::default(),
            flows: Slab::new(),
            recent: Recent::default(),
            live: 0,
            now: Timestamp(i64::MIN),
            next_sweep: None,
            stats: TrackerStats::default(),
        }
    }

    /// Takes a packet. Flows that were idle too long end first.
    pub fn track(&mut self, view: &PacketView<'_>) -> FlowEvents<E::Key> {
        let mut events = FlowEvents::new();
        self.run(view, |step| {
            if let Step::Event(event) = step {
                events.push(event);
            }
        });
        events
    }

    /// Ends the flows that are idle at `now`.
    pub fn sweep(&mut self, now: Timestamp) -> Vec<FlowEvent<E::Key>> {
        let mut events = Vec::new();
        self.run_sweep(now, |step| {
            if let Step::Event(event) = step {
                events.push(event);
            }
        });
        events
    }

    /// Time has passed without packets: sweeps if it is time to.
    pub fn manual_tick(&mut self, now: Timestamp) -> Vec<FlowEvent<E::Key>> {
        self.now = self.now.max(now);
        match self.next_sweep.is_none_or(|due| due <= now) {
            true => self.sweep(now),
            false => Vec::new(),
        }
    }

    /// There are no more packets: every flow ends as one that is idle.
    pub fn finish(&mut self) -> Vec<FlowEvent<E::Key>> {
        self.sweep(Timestamp(i64::MAX))
    }

    /// The state of a flow under way.
    pub fn get(&self, key: &E::Key) -> Option<&S> {
        self.flows.get(*self.by_key.get(key)?)?.user.as_ref()
    }

    pub fn get_mut(&mut self, key: &E::Key) -> Option<&mut S> {
        let place = *self.by_key.get(key)?;
        self.flows.get_mut(place)?.user.as_mut()
    }

    /// What was counted of a flow under way, and where it stands.
    pub fn flow(&self, key: &E::Key) -> Option<(&FlowStats, FlowState)> {
        let entry = self.flows.get(*self.by_key.get(key)?)?;
        entry.user.as_ref()?;
        Some((&entry.stats, entry.state))
    }

    /// All flows under way, in no order.
    pub fn flows(&self) -> impl Iterator<Item = (&E::Key, &FlowStats, &S)> {
        self.flows.iter().filter_map(|(_, entry)| {
            let user = entry.user.as_ref()?;
            Some((&entry.key, &entry.stats, user))
        })
    }

    /// Flows under way.
    pub fn flow_count(&self) -> usize {
        self.live
    }

    pub fn stats(&self) -> TrackerStats {
        self.stats
    }

    pub fn config(&self) -> &TrackerConfig {
        &self.config
    }

    /// Holds from the next packet or sweep on.
    pub fn set_config(&mut self, config: TrackerConfig) {
        self.config = config;
    }

    pub fn extractor(&self) -> &E {
        &self.extractor
    }

    pub fn into_extractor(self) -> E {
        self.extractor
    }

    /// As [`FlowTracker::track`], with everything that a driver needs.
    pub(super) fn run<'p>(
        &mut self,
        view: &PacketView<'p>,
        mut tell: impl FnMut(Step<'_, 'p, E::Key, S>),
    ) {
        self.now = self.now.max(view.timestamp);
        if self.next_sweep.is_none_or(|due| due <= self.now) {
            self.run_sweep(self.now, &mut tell);
        }
        let Some(packet) = self.extractor.extract(view) else {
            self.stats.packets_unmatched += 1;
            return;
        };
        let place = match self.by_key.get(&packet.key).copied() {
            Some(place) if !self.is_reopened(place, packet.tcp.as_ref()) => place,
            known => {
                if let Some(place) = known {
                    self.forget(place);
                }
                self.open(&packet, view.timestamp, &mut tell)
            }
        };
        self.take(place, &packet, view, &mut tell);
    }

    /// Whether a flow has ended and a new one begins on its key.
    fn is_reopened(&self, place: usize, tcp: Option<&TcpInfo>) -> bool {
        let ended = self
            .flows
            .get(place)
            .is_none_or(|entry| entry.user.is_none());
        let opens = |tcp: &TcpInfo| tcp.has(TcpHeader::SYN) && !tcp.has(TcpHeader::ACK);
        ended && tcp.is_none_or(opens)
    }

    fn open<'p>(
        &mut self,
        packet: &Extracted<'p, E::Key>,
        timestamp: Timestamp,
        tell: &mut impl FnMut(Step<'_, 'p, E::Key, S>),
    ) -> usize {
        while self.flows.len() >= self.config.max_flows.max(1) {
            match self.recent.oldest() {
                Some(oldest) => self.evict(oldest, tell),
                None => break,
            }
        }
        // Who answers a SYN did not begin.
        let answers = TcpHeader::SYN | TcpHeader::ACK;
        let side = match packet.tcp.is_some_and(|tcp| tcp.has(answers)) {
            true => Direction::ToClient,
            false => Direction::ToServer,
        };
        let initiator = match (packet.orientation, side) {
            (orientation, Direction::ToServer) => orientation,
            (Orientation::Forward, _) => Orientation::Reverse,
            (Orientation::Reverse, _) => Orientation::Forward,
        };
        let key = packet.key.clone();
        let place = self.flows.insert(Entry {
            initiator,
            l4: packet.l4,
            state: FlowState::Active,
            connection: Connection::default(),
            stats: FlowStats {
                started: timestamp,
                last_seen: timestamp,
                ..FlowStats::default()
            },
            history: History::default(),
            links: Links::default(),
            user: Some((self.init)(&key, timestamp)),
            key,
        });
        self.recent.push(&mut self.flows, place);
        self.by_key.insert(packet.key.clone(), place);
        self.live += 1;
        self.stats.flows_created += 1;
        tell(Step::Event(FlowEvent::Started {
            key: packet.key.clone(),
            side,
            l4: packet.l4,
            timestamp,
        }));
        place
    }

    fn take<'p>(
        &mut self,
        place: usize,
        packet: &Extracted<'p, E::Key>,
        view: &PacketView<'p>,
        tell: &mut impl FnMut(Step<'_, 'p, E::Key, S>),
    ) {
        self.recent.touch(&mut self.flows, place);
        let Some(entry) = self.flows.get_mut(place) else {
            return;
        };
        let timestamp = view.timestamp;
        entry.stats.last_seen = entry.stats.last_seen.max(timestamp);
        let side = entry.side(packet.orientation);
        let Some(user) = &mut entry.user else {
            self.stats.packets_late += 1;
            return;
        };
        let len = view.wire_len.max(view.frame.len() as u32);
        entry.stats.packets[side.index()] += 1;
        entry.stats.bytes[side.index()] += u64::from(len);
        note(&mut entry.history, side, packet);
        tell(Step::Event(FlowEvent::Packet {
            key: packet.key.clone(),
            side,
            len,
            timestamp,
        }));
        tell(Step::Contents {
            key: &entry.key,
            side,
            packet,
            timestamp,
            user,
        });
        let Some(tcp) = &packet.tcp else {
            return;
        };
        let next = entry.connection.next(entry.state, side, tcp);
        let from = std::mem::replace(&mut entry.state, next);
        if from == next {
            return;
        }
        let key = packet.key.clone();
        tell(Step::Event(change(key.clone(), from, next, timestamp)));
        match next {
            FlowState::Established => {
                tell(Step::Event(FlowEvent::Established { key, timestamp }));
            }
            FlowState::Closed => self.end(place, EndReason::Fin, timestamp, tell),
            FlowState::Reset => self.end(place, EndReason::Rst, timestamp, tell),
            _ => {}
        }
    }

    /// As [`FlowTracker::sweep`], with everything that a driver needs.
    pub(super) fn run_sweep<'p>(
        &mut self,
        now: Timestamp,
        mut tell: impl FnMut(Step<'_, 'p, E::Key, S>),
    ) {
        self.next_sweep = Some(now + self.config.sweep_interval);
        // The least recent come first; from the first on that no protocol's
        // time-out could reach, none can be due.
        let shortest = self.config.shortest_idle();
        let mut next = self.recent.oldest();
        while let Some(place) = next {
            let Some(entry) = self.flows.get(place) else {
                break;
            };
            let idle = now.since(entry.stats.last_seen);
            if idle < shortest {
                break;
            }
            next = entry.links.newer();
            let (ended, l4) = (entry.user.is_none(), entry.l4);
            if ended && idle >= self.config.linger {
                self.forget(place);
            } else if !ended && idle >= self.config.idle(l4) {
                let at = entry.stats.last_seen + self.config.idle(l4);
                self.abort(place, EndReason::IdleTimeout, at, &mut tell);
                self.forget(place);
            }
        }
    }

    fn evict<'p>(&mut self, place: usize, tell: &mut impl FnMut(Step<'_, 'p, E::Key, S>)) {
        self.abort(place, EndReason::Evicted, self.now, tell);
        self.forget(place);
    }

    /// Ends a flow that did not end by itself.
    fn abort<'p>(
        &mut self,
        place: usize,
        reason: EndReason,
        timestamp: Timestamp,
        tell: &mut impl FnMut(Step<'_, 'p, E::Key, S>),
    ) {
        let Some(entry) = self.flows.get_mut(place) else {
            return;
        };
        if entry.user.is_some() && entry.state != FlowState::Active {
            let from = std::mem::replace(&mut entry.state, FlowState::Aborted);
            let key = entry.key.clone();
            tell(Step::Event(change(
                key,
                from,
                FlowState::Aborted,
                timestamp,
            )));
        }
        self.end(place, reason, timestamp, tell);
    }

    /// Tells the end of a flow; its place stays. One that has ended before
    /// has nothing more to tell.
    fn end<'p>(
        &mut self,
        place: usize,
        reason: EndReason,
        timestamp: Timestamp,
        tell: &mut impl FnMut(Step<'_, 'p, E::Key, S>),
    ) {
        let Some(entry) = self.flows.get_mut(place) else {
            return;
        };
        let Some(user) = entry.user.take() else {
            return;
        };
        self.live -= 1;
        self.stats.flows_ended += 1;
        self.stats.flows_evicted += u64::from(reason == EndReason::Evicted);
        tell(Step::Over {
            key: &entry.key,
            reason,
            timestamp,
            user,
        });
        tell(Step::Event(FlowEvent::Ended {
            key: entry.key.clone(),
            reason,
            stats: entry.stats,
            history: entry.history.letters(false),
            l4: entry.l4,
            timestamp,
        }));
    }

    /// Frees the place of a flow that has ended.
    fn forget(&mut self, place: usize) {
        self.recent.remove(&mut self.flows, place);
        if let Some(entry) = self.flows.try_remove(place) {
            self.by_key.remove(&entry.key);
        }
    }
}

fn change<K>(key: K, from: FlowState, to: FlowState, timestamp: Timestamp) -> FlowEvent<K> {
    FlowEvent::StateChange {
        key,
        from,
        to,
        timestamp,
    }
}

/// Notes what a packet shows.
fn note<K>(history: &mut History, side: Direction, packet: &Extracted<'_, K>) {
    let has = |flag| packet.tcp.is_some_and(|tcp| tcp.has(flag));
    for (shown, mark) in [
        (has(TcpHeader::SYN), Mark::Syn),
        (packet.payload_len > 0, Mark::Data),
        (has(TcpHeader::FIN), Mark::Fin),
        (has(TcpHeader::RST), Mark::Reset),
    ] {
        if shown {
            history.repeat(side, mark);
        }
    }
}

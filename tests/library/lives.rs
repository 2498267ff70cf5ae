//! What a tracker tells of flows: order, states, ends, counters, time.

use std::time::Duration;

use wero::analysis::extract::{FiveTuple, FiveTupleKey, L4, PacketView};
use wero::analysis::tracker::*;
use wero::flow::Direction;
use wero::time::Timestamp;

use crate::captures::conversation::client;
use crate::captures::pcap::Recording;
use crate::captures::scenario::Scenario;
use crate::{exchange, opened};

type Event = FlowEvent<FiveTupleKey>;

fn five() -> FiveTuple {
    FiveTuple::bidirectional()
}

fn events(recording: &Recording) -> Vec<Event> {
    let events = opened(recording).flow_events(five());
    events.map(|event| event.expect("undamaged")).collect()
}

/// The ends alone: reason, counts, history.
fn ends(events: &[Event]) -> Vec<(EndReason, FlowStats, &str)> {
    events
        .iter()
        .filter_map(|event| match event {
            FlowEvent::Ended {
                reason,
                stats,
                history,
                ..
            } => Some((*reason, *stats, history.as_str())),
            _ => None,
        })
        .collect()
}

/// Words for events, without packets.
fn words(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| match event {
            FlowEvent::Started { .. } => Some("Started".to_owned()),
            FlowEvent::StateChange { to, .. } => Some(format!("{to:?}")),
            FlowEvent::Ended { reason, .. } => Some(format!("Ended {reason:?}")),
            FlowEvent::Packet { .. } | FlowEvent::Established { .. } => None,
        })
        .collect()
}

#[test]
fn a_connection_is_told_in_the_order_of_its_life() {
    let events = events(&exchange(40_000).into_recording());
    let states = [
        "Started",
        "SynSent",
        "SynReceived",
        "Established",
        "FinWait",
        "ClosingTcp",
        "Closed",
        "Ended Fin",
    ];
    assert_eq!(words(&events), states);
    assert!(matches!(
        events[0],
        FlowEvent::Started {
            side: Direction::ToServer,
            l4: Some(L4::Tcp),
            ..
        }
    ));
    assert!(matches!(
        events[1],
        FlowEvent::Packet {
            side: Direction::ToServer,
            ..
        }
    ));
    let agreed = events
        .iter()
        .position(|event| matches!(event, FlowEvent::Established { .. }))
        .expect("established");
    assert!(matches!(
        events[agreed - 1],
        FlowEvent::StateChange {
            to: FlowState::Established,
            ..
        }
    ));
    let times: Vec<_> = events.iter().map(Event::timestamp).collect();
    assert!(times.is_sorted(), "in packet time");
}

#[test]
fn every_way_to_end() {
    assert_eq!(
        ends(&events(&exchange(1).into_recording()))[0].0,
        EndReason::Fin
    );

    let mut broken = client("10.1.0.7:40000", "10.2.0.80:7000");
    broken.handshake();
    broken.client_says(b"ping");
    broken.server().rst();
    let reset = events(&broken.into_recording());
    assert_eq!(ends(&reset)[0].0, EndReason::Rst);
    assert!(words(&reset).contains(&"Reset".to_owned()));

    let mut open = client("10.1.0.7:40000", "10.2.0.80:7000");
    open.handshake();
    let idle = events(&open.into_recording());
    assert_eq!(words(&idle)[4..], ["Aborted", "Ended IdleTimeout"]);

    let mut scenario = Scenario::new();
    for port in 1..=3 {
        scenario.udp(&format!("10.1.0.7:{port}"), "10.2.0.80:53", b"x");
    }
    let config = TrackerConfig {
        max_flows: 2,
        ..TrackerConfig::default()
    };
    let tracker: FlowTracker<_> = FlowTracker::with_config(five(), config);
    let mut run = opened(&scenario.into_recording()).events(tracker);
    let told: Vec<Event> = run
        .by_ref()
        .map(|event| event.expect("undamaged"))
        .collect();
    let reasons: Vec<_> = ends(&told).into_iter().map(|(reason, ..)| reason).collect();
    assert_eq!(
        reasons,
        [
            EndReason::Evicted,
            EndReason::IdleTimeout,
            EndReason::IdleTimeout
        ]
    );
    let stats = run.driver().stats();
    assert_eq!(
        (stats.flows_created, stats.flows_ended, stats.flows_evicted),
        (3, 3, 1)
    );
}

#[test]
fn what_comes_after_the_end_is_no_new_flow_but_a_syn_is() {
    let mut scenario = Scenario::new();
    scenario.plays(exchange(40_000));
    // A stray segment of the connection that has ended.
    scenario.probe("10.1.0.7:40000", "10.2.0.80:7000", 0x10);
    scenario.plays(exchange(40_000));
    let mut run = opened(&scenario.into_recording()).flow_events(five());
    let told: Vec<Event> = run
        .by_ref()
        .map(|event| event.expect("undamaged"))
        .collect();
    assert_eq!(ends(&told).len(), 2);
    assert_eq!(run.driver().stats().packets_late, 1);
}

#[test]
fn packets_bytes_and_times_are_counted_by_side() {
    let recording = exchange(40_000).into_recording();
    let frames: Vec<_> = recording.frames().map(<[u8]>::len).collect();
    let told = events(&recording);
    let (_, stats, history) = ends(&told)[0];
    let both = stats.packets_of(Direction::ToServer) + stats.packets_of(Direction::ToClient);
    assert_eq!(both as usize, frames.len());
    let bytes = stats.bytes_of(Direction::ToServer) + stats.bytes_of(Direction::ToClient);
    assert_eq!(bytes as usize, frames.iter().sum::<usize>());
    assert!(stats.packets_of(Direction::ToServer) > stats.packets_of(Direction::ToClient));
    assert_eq!(stats.started, told[0].timestamp());
    let last = told.iter().map(Event::timestamp).max();
    assert_eq!(Some(stats.last_seen), last);
    assert_eq!(history, "SsDdFf");
}

#[test]
fn a_history_repeats_and_is_cut_at_sixteen_letters() {
    let mut talk = client("10.1.0.7:40000", "10.2.0.80:7000");
    talk.syn();
    talk.server().repeats_syn_ack();
    talk.server().repeats_syn_ack();
    talk.client_says(b"a");
    talk.client_says(b"b");
    talk.server_says(b"c");
    talk.closes();
    let told = events(&talk.into_recording());
    assert_eq!(ends(&told)[0].2, "SssDDdFf");

    let mut long = client("10.1.0.7:40000", "10.2.0.80:7000");
    long.handshake();
    for _ in 0..20 {
        long.client_says(b"a");
    }
    let told = events(&long.into_recording());
    assert_eq!(ends(&told)[0].2, "SsDDDDDDDDDDDDDD");
}

/// A tracker that has seen one packet of each kind at second 0.
fn seen(config: TrackerConfig) -> FlowTracker<FiveTuple> {
    let mut scenario = Scenario::new();
    scenario.probe("10.1.0.7:1", "10.2.0.80:1", 0x02);
    scenario.udp("10.1.0.7:2", "10.2.0.80:2", b"x");
    scenario.ping("10.1.0.7", "10.2.0.80", 1, b"x");
    let mut tracker = FlowTracker::with_config(five(), config);
    for frame in scenario.into_recording().frames() {
        tracker.track(&PacketView::new(frame, Timestamp(0)));
    }
    tracker
}

fn second(seconds: i64) -> Timestamp {
    Timestamp::new(seconds, 0)
}

#[test]
fn flows_time_out_by_their_protocol() {
    let mut tracker = seen(TrackerConfig::default());
    assert_eq!(tracker.flow_count(), 3);
    assert!(tracker.sweep(second(29)).is_empty());
    let gone =
        |events: &[Event]| -> Vec<_> { events.iter().map(|event| event.key().proto).collect() };
    assert_eq!(gone(&tracker.sweep(second(30))), [L4::Icmp]);
    assert!(tracker.sweep(second(59)).is_empty());
    assert_eq!(gone(&tracker.sweep(second(60))), [L4::Udp]);
    assert!(tracker.sweep(second(299)).is_empty());
    // The change to Aborted, then the end.
    assert_eq!(gone(&tracker.sweep(second(300))), [L4::Tcp, L4::Tcp]);
    assert_eq!(tracker.flow_count(), 0);

    let quick = TrackerConfig {
        idle_udp: Duration::from_secs(5),
        ..TrackerConfig::default()
    };
    assert_eq!(gone(&seen(quick).sweep(second(5))), [L4::Udp]);
}

#[test]
fn time_passes_with_packets_and_without() {
    let mut tracker = seen(TrackerConfig::default());
    assert!(tracker.manual_tick(second(0)).is_empty(), "not due yet");
    assert_eq!(tracker.manual_tick(second(40)).len(), 1, "the ping");
    assert!(tracker.manual_tick(second(40)).is_empty(), "swept just now");
    // The next packet finds the datagram's flow idle before it is counted.
    let mut scenario = Scenario::new();
    scenario.udp("10.1.0.7:2", "10.2.0.80:2", b"x");
    let recording = scenario.into_recording();
    let frame = recording.frames().next().expect("one frame");
    let told = tracker.track(&PacketView::new(frame, second(100)));
    assert!(matches!(
        told[..],
        [
            FlowEvent::Ended { .. },
            FlowEvent::Started { .. },
            FlowEvent::Packet { .. }
        ]
    ));
}

#[test]
fn the_flow_idle_longest_makes_room() {
    let config = TrackerConfig {
        max_flows: 2,
        ..TrackerConfig::default()
    };
    let mut tracker: FlowTracker<_> = FlowTracker::with_config(five(), config);
    let mut track = |port: u16, at: i64| {
        let mut scenario = Scenario::new();
        scenario.udp(&format!("10.1.0.7:{port}"), "10.2.0.80:53", b"x");
        let recording = scenario.into_recording();
        let frame = recording.frames().next().expect("one frame");
        tracker.track(&PacketView::new(frame, second(at)))
    };
    track(1, 0);
    track(2, 1);
    track(1, 2);
    let told = track(3, 3);
    let evicted = told
        .iter()
        .find(|event| matches!(event, FlowEvent::Ended { .. }))
        .expect("one made room");
    assert_eq!(evicted.key().a.port, 2, "1 was used since");
}

#[test]
fn each_flow_has_a_state_of_the_callers() {
    let mut tracker: FlowTracker<FiveTuple, u32> =
        FlowTracker::with_state(five(), |key: &FiveTupleKey, _| u32::from(key.a.port));
    let mut scenario = Scenario::new();
    scenario.udp("10.1.0.7:7", "10.2.0.80:53", b"x");
    let recording = scenario.into_recording();
    let frame = recording.frames().next().expect("one frame");
    let view = PacketView::new(frame, second(0));
    let key = tracker.track(&view)[0].key().to_owned();
    assert_eq!(tracker.get(&key), Some(&7));
    if let Some(state) = tracker.get_mut(&key) {
        *state = 9;
    }
    let (stats, state) = tracker.flow(&key).expect("under way");
    assert_eq!((stats.packets, state), ([1, 0], FlowState::Active));
    let all: Vec<_> = tracker
        .flows()
        .map(|(key, _, state)| (*key, *state))
        .collect();
    assert_eq!(all, [(key, 9)]);
    assert_eq!(tracker.config().max_flows, 100_000);
    tracker.set_config(TrackerConfig {
        idle_udp: Duration::from_secs(1),
        ..TrackerConfig::default()
    });
    assert_eq!(tracker.sweep(second(2)).len(), 1);
    assert_eq!(tracker.get(&key), None, "gone with its flow");
    assert_eq!(tracker.into_extractor(), five());
}

#[test]
fn counters_are_json() {
    let stats = serde_json::to_value(seen(TrackerConfig::default()).stats()).expect("numbers");
    assert_eq!(stats["flows_created"], 3);
    assert_eq!(stats["flows_ended"], 0);
    assert_eq!(stats["packets_unmatched"], 0);
}

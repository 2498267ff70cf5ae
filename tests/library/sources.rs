//! Captures as sources of packets and events.

use wero::analysis::driver::SessionEvent;
use wero::analysis::extract::FiveTuple;
use wero::analysis::tracker::{EndReason, FlowEvent};
use wero::capture::file::CaptureReader;
use wero::proto::dns;

use crate::captures::scenario::Scenario;
use crate::{mixed, opened};

#[test]
fn views_are_lent_or_owned() {
    let recording = mixed();
    let mut reader = opened(&recording);
    let mut lent = 0;
    while let Some(view) = reader.next_view().expect("undamaged") {
        assert_eq!(view.wire_len as usize, view.frame.len());
        lent += 1;
    }
    let owned: Vec<_> = opened(&recording)
        .owned_views()
        .map(|view| view.expect("undamaged"))
        .collect();
    assert_eq!(lent, owned.len());
    assert!(
        owned
            .iter()
            .zip(recording.frames())
            .all(|(owned, frame)| owned.view().frame == frame)
    );
}

#[test]
fn damage_is_told_once_and_flows_end() {
    let mut bytes = mixed().to_pcap();
    bytes.truncate(bytes.len() - 5);
    let reader = CaptureReader::from_read(std::io::Cursor::new(bytes), "cut").expect("a capture");
    let events: Vec<_> = reader.flow_events(FiveTuple::bidirectional()).collect();
    let faults = events.iter().filter(|event| event.is_err()).count();
    assert_eq!(faults, 1);
    let ended = |event: &&Result<FlowEvent<_>, _>| matches!(event, Ok(FlowEvent::Ended { .. }));
    assert_eq!(events.iter().filter(ended).count(), 8, "all flows");
}

fn query(id: u8, response: bool) -> Vec<u8> {
    let mut message = vec![
        0,
        id,
        if response { 0x81 } else { 1 },
        0,
        0,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    message.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
    message
}

#[test]
fn dns_flows_end_idle_and_their_queries_are_matched() {
    let mut scenario = Scenario::new();
    for port in 1..=4 {
        let client = format!("10.1.0.7:{port}");
        scenario.udp(&client, "10.2.0.53:53", &query(port, false));
        if port != 3 {
            scenario.udp("10.2.0.53:53", &client, &query(port, true));
        }
    }
    let mut reasons = Vec::new();
    let mut waiting = dns::Correlator::default();
    let mut answered = 0;
    let capture = opened(&scenario.into_recording());
    for event in capture.datagram_events(FiveTuple::bidirectional(), dns::Parser::default()) {
        match event.expect("undamaged") {
            SessionEvent::Flow(FlowEvent::Ended { reason, .. }) => reasons.push(reason),
            SessionEvent::Flow(_) => {}
            SessionEvent::Application {
                key,
                message,
                timestamp,
                ..
            } => match message {
                dns::Message::Query(query) => {
                    assert!(waiting.query(key, query.id, (), timestamp).is_none());
                }
                dns::Message::Response(response) => {
                    let found = waiting.response(key, response.id, timestamp);
                    answered += usize::from(found.is_some_and(|(_, took)| !took.is_zero()));
                }
                other => panic!("{other:?}"),
            },
        }
    }
    assert_eq!(reasons, [EndReason::IdleTimeout; 4]);
    assert_eq!(answered, 3);
}

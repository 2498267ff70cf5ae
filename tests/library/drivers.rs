//! Bytes in order and messages: reassemblers, parsers, conversations.

use proptest::prelude::*;

use wero::analysis::driver::*;
use wero::analysis::extract::{FiveTuple, FiveTupleKey, PacketView};
use wero::analysis::reassemble::{InOrderOnly, Piecewise, Reassembler, Reordering};
use wero::analysis::tracker::{EndReason, FlowEvent};
use wero::flow::Direction;
use wero::proto::parser::{DatagramParser, SessionParser};
use wero::time::Timestamp;

use crate::captures::conversation::{Conversation, client};
use crate::captures::pcap::Recording;
use crate::{exchange, mixed, opened};

/// Lines of either side, whatever they are cut into.
#[derive(Clone, Debug, Default)]
struct LineParser {
    open: [Vec<u8>; 2],
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Whole(String),
    /// What was left when the side stopped.
    Rest(String),
    Gap(u64),
    Datagram(Vec<u8>),
}

impl LineParser {
    fn take(&mut self, side: Direction, bytes: &[u8]) -> Vec<Line> {
        let open = &mut self.open[side.index()];
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(open);
                lines.push(Line::Whole(String::from_utf8_lossy(&line).into_owned()));
            } else {
                open.push(byte);
            }
        }
        lines
    }

    fn rest(&mut self, side: Direction) -> Vec<Line> {
        let open = std::mem::take(&mut self.open[side.index()]);
        match open.is_empty() {
            true => Vec::new(),
            false => vec![Line::Rest(String::from_utf8_lossy(&open).into_owned())],
        }
    }
}

impl SessionParser for LineParser {
    type Message = Line;
    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.take(Direction::ToServer, bytes)
    }
    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.take(Direction::ToClient, bytes)
    }
    fn fin_initiator(&mut self) -> Vec<Line> {
        self.rest(Direction::ToServer)
    }
    fn fin_responder(&mut self) -> Vec<Line> {
        self.rest(Direction::ToClient)
    }
    fn gap(&mut self, _: Direction, bytes: u64) -> Vec<Line> {
        vec![Line::Gap(bytes)]
    }
}

impl DatagramParser for LineParser {
    type Message = Line;
    fn parse(&mut self, payload: &[u8], _: Direction) -> Vec<Line> {
        vec![Line::Datagram(payload.to_vec())]
    }
}

fn five() -> FiveTuple {
    FiveTuple::bidirectional()
}

type Event = SessionEvent<FiveTupleKey, Line>;

fn messages(events: impl IntoIterator<Item = Event>) -> Vec<(Direction, Line)> {
    events
        .into_iter()
        .filter_map(|event| match event {
            SessionEvent::Application { side, message, .. } => Some((side, message)),
            SessionEvent::Flow(_) => None,
        })
        .collect()
}

fn parsed(talk: Conversation) -> Vec<(Direction, Line)> {
    let events = opened(&talk.into_recording()).session_events(five(), LineParser::default());
    messages(events.map(|event| event.expect("undamaged")))
}

fn whole(side: Direction, line: &str) -> (Direction, Line) {
    (side, Line::Whole(line.to_owned()))
}

const UP: Direction = Direction::ToServer;
const DOWN: Direction = Direction::ToClient;

#[test]
fn messages_come_between_the_events_of_their_flow() {
    let events: Vec<Event> = opened(&exchange(1).into_recording())
        .session_events(five(), LineParser::default())
        .map(|event| event.expect("undamaged"))
        .collect();
    assert!(matches!(
        events.first(),
        Some(SessionEvent::Flow(FlowEvent::Started { .. }))
    ));
    assert!(matches!(
        events.last(),
        Some(SessionEvent::Flow(FlowEvent::Ended { .. }))
    ));
    let place = events
        .iter()
        .position(|event| matches!(event, SessionEvent::Application { .. }))
        .expect("a message");
    // Right behind the packet that completed it, at its time.
    match (&events[place - 1], &events[place]) {
        (
            SessionEvent::Flow(FlowEvent::Packet { timestamp, .. }),
            SessionEvent::Application { timestamp: at, .. },
        ) => assert_eq!(timestamp, at),
        other => panic!("{other:?}"),
    }
    assert_eq!(messages(events), [whole(UP, "ping"), whole(DOWN, "pong")]);
}

#[test]
fn reordering_and_repetition_are_healed() {
    let mut talk = client("10.1.0.7:1", "10.2.0.80:7000");
    talk.handshake();
    talk.client()
        .reorders(&[b"one\nt", b"wo\nthr", b"ee\n"], &[2, 0, 1]);
    talk.server().says(b"all\n");
    talk.server().retransmits();
    talk.closes();
    assert_eq!(
        parsed(talk),
        [
            whole(UP, "one"),
            whole(UP, "two"),
            whole(UP, "three"),
            whole(DOWN, "all")
        ]
    );
}

#[test]
fn what_was_lost_is_told_when_the_flow_ends() {
    let mut talk = client("10.1.0.7:1", "10.2.0.80:7000");
    talk.handshake();
    talk.client_says(b"one\n");
    talk.client().loses_unseen(b"two\n");
    talk.client().sends(b"three\n");
    let mut events = parsed(talk);
    assert_eq!(events.remove(0), whole(UP, "one"));
    assert_eq!(events, [(UP, Line::Gap(4)), whole(UP, "three")]);
}

#[test]
fn what_is_left_comes_when_the_side_stops() {
    let mut talk = client("10.1.0.7:1", "10.2.0.80:7000");
    talk.handshake();
    talk.client_says(b"one\nhalf");
    talk.closes();
    assert_eq!(
        parsed(talk),
        [whole(UP, "one"), (UP, Line::Rest("half".to_owned()))]
    );
}

#[test]
fn datagrams_are_parsed_one_by_one() {
    let events = opened(&mixed()).datagram_events(five(), LineParser::default());
    let found = messages(events.map(|event| event.expect("undamaged")));
    assert_eq!(
        found,
        [
            (UP, Line::Datagram(b"question".to_vec())),
            (DOWN, Line::Datagram(b"answer".to_vec()))
        ]
    );
}

#[test]
fn a_factory_may_know_the_flow() {
    struct OnPort(u16);
    impl SessionParserFactory<FiveTupleKey> for OnPort {
        type Parser = LineParser;
        fn new_parser(&mut self, key: &FiveTupleKey) -> LineParser {
            assert_eq!(key.b.port, self.0);
            let mut parser = LineParser::default();
            parser.open[0] = b"from the factory: ".to_vec();
            parser
        }
    }
    let events = opened(&exchange(1).into_recording()).session_events(five(), OnPort(7000));
    let found = messages(events.map(|event| event.expect("undamaged")));
    assert_eq!(found[0], whole(UP, "from the factory: ping"));
}

/// Drives a recording with reassemblers of one kind; `look` sees them after
/// each packet.
fn drive<R: Reassembler + 'static>(
    recording: &Recording,
    make: impl FnMut(&FiveTupleKey, Direction) -> R,
    mut look: impl FnMut(&mut R, Direction),
) -> Vec<FlowEvent<FiveTupleKey>> {
    let mut driver: FlowDriver<_, _> = FlowDriver::new(five(), make);
    let mut events = Vec::new();
    for frame in recording.frames() {
        let told = driver.track(&PacketView::new(frame, Timestamp(0)));
        let key = *told[0].key();
        events.extend(told);
        if let Some(sides) = driver.tracker_mut().get_mut(&key) {
            for side in Direction::BOTH {
                if let Some(half) = &mut sides.reassemblers[side.index()] {
                    look(half, side);
                }
            }
        }
    }
    events.extend(driver.finish());
    events
}

fn shuffled() -> Recording {
    let mut talk = client("10.1.0.7:1", "10.2.0.80:7000");
    talk.handshake();
    talk.client()
        .reorders(&[b"one ", b"two ", b"three"], &[0, 2, 1]);
    talk.into_recording()
}

#[test]
fn the_simple_reassembler_drops_what_the_other_heals() {
    let mut text = Vec::new();
    let mut dropped = 0;
    let events = drive(
        &shuffled(),
        |_, _| InOrderOnly::default(),
        |half, side| {
            if side == UP {
                text.extend(half.take());
                dropped = half.dropped_segments();
            }
        },
    );
    assert_eq!((text.as_slice(), dropped), (&b"one two "[..], 1));
    assert!(matches!(
        events.last(),
        Some(FlowEvent::Ended {
            reason: EndReason::IdleTimeout,
            ..
        })
    ));

    let mut pieces = Vec::new();
    drive(
        &shuffled(),
        |_, _| Reordering::default(),
        |half, side| {
            if side == UP {
                pieces.extend(std::iter::from_fn(|| half.take()));
            }
        },
    );
    let text: Vec<u8> = pieces
        .into_iter()
        .flat_map(|piece| match piece {
            Piecewise::Bytes(bytes) => bytes,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(text, b"one two three");
}

#[test]
fn a_reassembler_hears_of_the_end() {
    #[derive(Default)]
    struct Heard(std::rc::Rc<std::cell::RefCell<Vec<&'static str>>>);
    impl Reassembler for Heard {
        fn syn(&mut self, _: u32) {
            self.0.borrow_mut().push("syn");
        }
        fn segment(&mut self, _: u32, _: &[u8]) {
            self.0.borrow_mut().push("segment");
        }
        fn fin(&mut self, _: u32) {
            self.0.borrow_mut().push("fin");
        }
        fn rst(&mut self) {
            self.0.borrow_mut().push("rst");
        }
    }
    let heard = std::rc::Rc::default();
    let only_up = |side: Direction| match side {
        Direction::ToServer => Heard(std::rc::Rc::clone(&heard)),
        Direction::ToClient => Heard::default(),
    };
    drive(
        &exchange(1).into_recording(),
        |_, side| only_up(side),
        |_, _| {},
    );
    assert_eq!(*heard.borrow(), ["syn", "segment", "fin"]);

    heard.borrow_mut().clear();
    let mut broken = client("10.1.0.7:1", "10.2.0.80:7000");
    broken.handshake();
    broken.server().rst();
    drive(&broken.into_recording(), |_, side| only_up(side), |_, _| {});
    assert_eq!(*heard.borrow(), ["syn", "rst"]);
}

#[test]
fn a_conversation_is_both_sides_in_one_row() {
    let mut talk = client("10.1.0.7:1", "10.2.0.80:7000");
    talk.handshake();
    talk.client_says(b"one");
    talk.server_says(b"two");
    talk.client().loses_unseen(b"lost");
    talk.client().sends(b"three");
    talk.closes();
    let recording = talk.into_recording();
    let items: Vec<_> = opened(&recording)
        .events(ConversationDriver::new(five()))
        .map(|event| event.expect("undamaged").item)
        .collect();
    let chunk = |side, bytes: &[u8]| ConversationItem::Chunk {
        side,
        bytes: bytes.to_vec(),
    };
    assert!(matches!(items[0], ConversationItem::Opened { .. }));
    assert_eq!(items[1..3], [chunk(UP, b"one"), chunk(DOWN, b"two")]);
    let rest = &items[3..];
    for expected in [
        ConversationItem::Gap { side: UP, bytes: 4 },
        chunk(UP, b"three"),
        ConversationItem::SideStopped { side: UP },
        ConversationItem::SideStopped { side: DOWN },
    ] {
        assert!(rest.contains(&expected), "{expected:?} in {rest:?}");
    }
    assert!(matches!(rest.last(), Some(ConversationItem::Closed { .. })));
}

proptest! {
    /// However a stream is cut into segments, the messages are the same.
    #[test]
    fn any_cut_gives_the_same_messages(cuts in prop::collection::vec(1_usize..9, 1..12)) {
        let text = b"one\ntwo\nthree\nfour and more\nfive";
        let mut talk = client("10.1.0.7:1", "10.2.0.80:7000");
        talk.handshake();
        let mut rest = &text[..];
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            if !piece.is_empty() {
                talk.client_says(piece);
            }
            rest = behind;
        }
        if !rest.is_empty() {
            talk.client_says(rest);
        }
        talk.closes();
        let found = parsed(talk);
        prop_assert_eq!(found.len(), 5);
        prop_assert_eq!(&found[3], &whole(UP, "four and more"));
        prop_assert_eq!(&found[4], &(UP, Line::Rest("five".to_owned())));
    }

    /// Nothing that can be fed makes a driver panic.
    #[test]
    fn noise_is_survived(frames in prop::collection::vec(
        (prop::collection::vec(any::<u8>(), 0..120), any::<bool>()), 1..40)
    ) {
        let mut sessions = SessionDriver::new(five(), LineParser::default());
        let mut conversations = ConversationDriver::new(five());
        let header = exchange(1).into_recording();
        let header = header.frames().next().expect("a SYN").to_vec();
        for (noise, tcp) in frames {
            let mut frame = if tcp { header.clone() } else { Vec::new() };
            frame.extend(&noise);
            for (place, byte) in noise.iter().enumerate().take(8) {
                let at = (usize::from(*byte) + place * 7) % frame.len().max(1);
                if let Some(target) = frame.get_mut(at) {
                    *target ^= byte;
                }
            }
            let view = PacketView::new(&frame, Timestamp(0));
            sessions.track(&view);
            conversations.track(&view);
        }
        sessions.finish();
        conversations.finish();
        prop_assert_eq!(sessions.flow_count(), 0);
    }
}

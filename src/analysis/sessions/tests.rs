//! Flows of a made-up protocol through a real engine.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;

use super::*;
use crate::engine::{self, Engine};
use crate::event::{EventKind, Hooks, ListenerFailed, Profile, Settings};
use crate::packet::LinkType;
use crate::packet::checksum;
use crate::proto::parser::{DatagramParser, SessionParser};

const SYN: u8 = TcpHeader::SYN;
const ACK: u8 = TcpHeader::ACK;
const FIN: u8 = TcpHeader::FIN;
const RST: u8 = TcpHeader::RST;

/// What the opener says in lines is a request, what it is told a response.
#[derive(Clone, Default)]
struct Lines {
    open: [Vec<u8>; 2],
    broken: [bool; 2],
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Request { line: String },
    Response { line: String },
    Rest { line: String, broken: bool },
    Gap { bytes: u64 },
    Datagram { len: usize },
}

impl Lines {
    fn take(&mut self, direction: Direction, bytes: &[u8]) -> Vec<Line> {
        let open = &mut self.open[direction.index()];
        let mut found = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                open.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(open).into_owned();
            open.clear();
            found.push(match direction {
                Direction::ToServer => Line::Request { line },
                Direction::ToClient => Line::Response { line },
            });
        }
        found
    }

    fn rest(&mut self, direction: Direction) -> Vec<Line> {
        let open = std::mem::take(&mut self.open[direction.index()]);
        let line = String::from_utf8_lossy(&open).into_owned();
        let broken = self.broken[direction.index()];
        (!line.is_empty())
            .then_some(Line::Rest { line, broken })
            .into_iter()
            .collect()
    }
}

impl SessionParser for Lines {
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
    fn rst_initiator(&mut self) {
        self.broken = [true; 2];
    }
    fn rst_responder(&mut self) {
        self.broken = [true; 2];
    }
    fn gap(&mut self, direction: Direction, bytes: u64) -> Vec<Line> {
        self.open[direction.index()].clear();
        vec![Line::Gap { bytes }]
    }
}

impl DatagramParser for Lines {
    type Message = Line;

    fn parse(&mut self, payload: &[u8], _: Direction) -> Vec<Line> {
        vec![Line::Datagram { len: payload.len() }]
    }
}

const TABLE: &[Protocol] = &[
    Protocol {
        name: "http",
        proto: "lines",
        searches: false,
        stream: Some(stream::<Lines>),
        datagrams: None,
    },
    Protocol {
        name: "dns",
        proto: "grams",
        searches: false,
        stream: None,
        datagrams: Some(datagrams::<Lines>),
    },
];

/// Says nothing before the word `secret`.
#[derive(Clone, Default)]
struct Secrets {
    begun: bool,
}

impl SessionParser for Secrets {
    type Message = Line;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.begun |= bytes.starts_with(b"secret");
        let len = bytes.len();
        self.begun
            .then_some(Line::Datagram { len })
            .into_iter()
            .collect()
    }
    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.feed_initiator(bytes)
    }
}

const WITH_SECRETS: &[Protocol] = &[
    TABLE[0],
    Protocol {
        name: "tls",
        proto: "secrets",
        searches: true,
        stream: Some(stream::<Secrets>),
        datagrams: None,
    },
];

/// One line for each message: frame, sender's port, protocol, message.
#[derive(Default)]
struct Said {
    lines: Vec<String>,
    unwanted: Option<u64>,
}

struct Shared(Rc<RefCell<Said>>);

impl Listener for Shared {
    fn wants(&mut self, flow: u64, _: [Endpoint; 2], _: u8) -> bool {
        self.0.borrow().unwanted != Some(flow)
    }

    fn message(&mut self, about: &About, message: &dyn Message) {
        let value = message.to_value();
        let mut json = Vec::new();
        message.write_json(&mut json);
        let written: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(written, value, "both ways say the same");
        let text = summary(about.proto, &value);
        let kind = value["type"].as_str().expect("tagged");
        self.0.borrow_mut().lines.push(format!(
            "{} {} {} {kind} {text}",
            about.moment.frame, about.source.port, about.proto
        ));
    }
}

struct Nobody;

impl Hooks for Nobody {
    fn fire(&mut self, _: EventKind, _: u32) -> Result<(), (ListenerFailed, bool)> {
        Ok(())
    }
}

/// Runs raw IPv4 packets through an engine that is observed.
fn run(packets: &[Vec<u8>], unwanted: Option<u64>) -> Vec<String> {
    run_with(TABLE, packets, unwanted)
}

fn run_with(table: &'static [Protocol], packets: &[Vec<u8>], unwanted: Option<u64>) -> Vec<String> {
    let said = Rc::new(RefCell::new(Said {
        unwanted,
        ..Said::default()
    }));
    let engine = Engine::new(Settings::new(Profile::Wero)).expect("there is room for arenas");
    let engine = Rc::new(RefCell::new(engine));
    let sessions = Sessions::with_protocols(table, Shared(said.clone()));
    engine.borrow_mut().core.observer = Some(Box::new(sessions));
    let drain = || {
        engine::run(&engine, &mut Nobody, &mut |_| {});
        loop {
            let Some(output) = engine.borrow_mut().poll_output() else {
                break;
            };
            engine.borrow_mut().release_output(&output);
        }
    };
    for (place, packet) in packets.iter().enumerate() {
        let number = place as u64 + 1;
        let taken = engine.borrow_mut().handle_packet(
            Timestamp::new(number as i64, 0),
            number,
            LinkType::RAW,
            packet,
            packet.len() as u32,
        );
        assert!(taken, "there is a slot for it");
        drain();
    }
    engine.borrow_mut().shutdown();
    drain();
    std::mem::take(&mut said.borrow_mut().lines)
}

fn ipv4(from: u8, to: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0];
    packet.extend([10, 0, 0, from, 10, 0, 0, to]);
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    let sum = checksum::checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

const CLIENT: u16 = 4000;
const SERVER: u16 = 80;
/// First bytes of either side.
const ISN: [u32; 2] = [1_000, 9_000];

/// A segment at an offset of its stream; its checksum is absent, as where the
/// card fills it in.
fn segment(direction: Direction, flags: u8, offset: i64, payload: &[u8]) -> Vec<u8> {
    let (from, to, src, dst) = match direction {
        Direction::ToServer => (1, 2, CLIENT, SERVER),
        Direction::ToClient => (2, 1, SERVER, CLIENT),
    };
    let seq = (i64::from(ISN[direction.index()]) + 1 + offset) as u32;
    let ack = ISN[direction.opposite().index()] + 1;
    let mut bytes = Vec::new();
    bytes.extend(src.to_be_bytes());
    bytes.extend(dst.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(payload);
    ipv4(from, to, 6, &bytes)
}

fn up(offset: i64, payload: &[u8]) -> Vec<u8> {
    segment(Direction::ToServer, ACK, offset, payload)
}

fn down(offset: i64, payload: &[u8]) -> Vec<u8> {
    segment(Direction::ToClient, ACK, offset, payload)
}

fn handshake() -> Vec<Vec<u8>> {
    vec![
        segment(Direction::ToServer, SYN, -1, b""),
        segment(Direction::ToClient, SYN | ACK, -1, b""),
        up(0, b""),
    ]
}

fn after_handshake(rest: &[Vec<u8>]) -> Vec<Vec<u8>> {
    [handshake(), rest.to_vec()].concat()
}

fn udp(from: u8, to: u8, src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(src.to_be_bytes());
    bytes.extend(dst.to_be_bytes());
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    ipv4(from, to, 17, &bytes)
}

#[test]
fn messages_name_the_frame_that_completed_them_and_their_sender() {
    let packets = after_handshake(&[
        up(0, b"GET /a HTTP/1.1\nHo"),
        down(0, b"HTTP/1.1 200\n"),
        up(18, b"st: x\n"),
    ]);
    assert_eq!(
        run(&packets, None),
        [
            "4 4000 lines request line=GET /a HTTP/1.1",
            "5 80 lines response line=HTTP/1.1 200",
            "6 4000 lines request line=Host: x",
        ]
    );
    assert!(run(&packets, Some(1)).is_empty(), "nobody wants the flow");
}

#[test]
fn what_came_before_the_flow_was_recognised_is_not_lost() {
    let packets = after_handshake(&[up(0, b"GE"), up(2, b"T"), up(3, b" / HTTP/1.1\nrest\n")]);
    assert_eq!(
        run(&packets, None),
        [
            "6 4000 lines request line=GET / HTTP/1.1",
            "6 4000 lines request line=rest",
        ]
    );
}

#[test]
fn segments_out_of_order_complete_with_the_one_that_closes_the_hole() {
    let packets = after_handshake(&[up(4, b"/ HTTP/1.1\n"), up(0, b"GET ")]);
    assert_eq!(
        run(&packets, None),
        ["5 4000 lines request line=GET / HTTP/1.1"]
    );
}

#[test]
fn bytes_that_the_capture_lacks_are_told_as_a_gap() {
    let packets = after_handshake(&[up(0, b"GET / HTTP/1.1\n"), up(25, b"lost\nfound\n")]);
    assert_eq!(
        run(&packets, None),
        [
            "4 4000 lines request line=GET / HTTP/1.1",
            "5 4000 lines gap bytes=10",
            "5 4000 lines request line=lost",
            "5 4000 lines request line=found",
        ]
    );
}

#[test]
fn messages_that_end_with_their_stream_end_at_the_fin() {
    let packets = after_handshake(&[
        up(0, b"GET / HTTP/1.1\n"),
        down(0, b"HTTP/1.1 200\nbody"),
        segment(Direction::ToClient, FIN | ACK, 17, b""),
        up(15, b"late\n"),
    ]);
    assert_eq!(
        run(&packets, None)[2..],
        [
            "6 80 lines rest broken=false line=body",
            "7 4000 lines request line=late"
        ]
    );
}

#[test]
fn a_reset_breaks_messages_off() {
    let packets = after_handshake(&[
        up(0, b"GET / HTTP/1.1\npart"),
        segment(Direction::ToClient, RST | ACK, 0, b""),
    ]);
    assert_eq!(
        run(&packets, None),
        [
            "4 4000 lines request line=GET / HTTP/1.1",
            "5 4000 lines rest broken=true line=part",
        ]
    );
}

#[test]
fn a_flow_joined_midway_is_recognised_where_it_can_be() {
    // The server's answer comes first, in the middle of a body.
    let packets = [
        down(500, b"the middle of some body, long enough"),
        down(536, b"HTTP/1.1 200\n"),
        up(300, b"GET / HTTP/1.1\n"),
    ];
    assert_eq!(
        run(&packets, None),
        [
            "2 80 lines response line=HTTP/1.1 200",
            "3 4000 lines request line=GET / HTTP/1.1",
        ]
    );
}

#[test]
fn a_flow_that_says_nothing_known_is_not_kept() {
    let mut packets = handshake();
    for place in 0..20 {
        packets.push(down(place * 400, &[b'x'; 400]));
    }
    packets.push(up(0, b"GET / HTTP/1.1\n"));
    assert!(run(&packets, None).is_empty());
}

#[test]
fn datagrams_are_read_one_by_one() {
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    let packets = [
        udp(1, 2, 5000, 53, query),
        udp(2, 1, 53, 5000, &query[..8]),
        udp(1, 2, 5001, 9999, query),
    ];
    assert_eq!(
        run(&packets, None),
        ["1 5000 grams datagram len=12", "2 53 grams datagram len=8"]
    );
}

#[test]
fn a_protocol_that_searches_is_found_inside_others_and_alone() {
    let packets = after_handshake(&[
        up(0, b"GET / HTTP/1.1\n"),
        down(0, b"secret1"),
        up(15, b"secret22"),
    ]);
    assert_eq!(
        run_with(WITH_SECRETS, &packets, None),
        [
            "4 4000 lines request line=GET / HTTP/1.1",
            "5 80 secrets datagram len=7",
            "6 4000 secrets datagram len=8",
            "6 4000 lines rest broken=false line=secret22",
            "6 80 lines rest broken=false line=secret1",
        ]
    );
    // A handshake record: named by its first bytes, and read once.
    let hello = [b"secret".as_slice(), &[0; 20]].concat();
    let alone = after_handshake(&[up(0, &hello)]);
    assert_eq!(
        run_with(WITH_SECRETS, &alone, None),
        ["4 4000 secrets datagram len=26"]
    );
}

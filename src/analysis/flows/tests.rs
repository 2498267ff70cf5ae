use super::*;
use crate::addr::Addr;
use Direction::{ToClient, ToServer};

const SYN: u8 = TcpHeader::SYN;
const ACK: u8 = TcpHeader::ACK;
const FIN: u8 = TcpHeader::FIN;
const RST: u8 = TcpHeader::RST;

const CLIENT: Endpoint = Endpoint {
    addr: Addr::v4([10, 0, 0, 1]),
    port: 40_000,
};
const SERVER: Endpoint = Endpoint {
    addr: Addr::v4([10, 0, 0, 2]),
    port: 80,
};

fn segment(direction: Direction, flags: u8, payload: &[u8]) -> Sighting<'_> {
    let (source, destination) = match direction {
        ToServer => (CLIENT, SERVER),
        ToClient => (SERVER, CLIENT),
    };
    Sighting {
        flow: 1,
        direction,
        source,
        destination,
        protocol: protocol::TCP,
        frame: 7,
        timestamp: Timestamp(1_000),
        tcp_flags: flags,
        payload_len: payload.len() as u32,
        payload,
        bad_checksum: false,
        vlans: &[],
        tunnels: &[],
    }
}

/// Feeds segments as an engine would that finds all bytes in order.
fn collected(segments: &[(Direction, u8, &[u8])]) -> Collector {
    let mut collector = Collector::default();
    for &(direction, flags, payload) in segments {
        collector.packet(&segment(direction, flags, payload));
        if !payload.is_empty() {
            collector.bytes(1, direction, payload, payload.len());
        }
    }
    collector
}

fn only(mut collector: Collector) -> Flow {
    collector.end_all();
    let flow = collector.take_ended().expect("one flow was seen");
    assert!(collector.take_ended().is_none());
    flow
}

fn stream(side: &Side) -> &Stream {
    side.stream.as_ref().expect("TCP has streams")
}

#[test]
fn a_closed_connection_has_both_streams_and_their_hashes() {
    let flow = only(collected(&[
        (ToServer, SYN, b""),
        (ToClient, SYN | ACK, b""),
        (ToServer, ACK, b"GET / HT"),
        (ToServer, ACK, b"TP/1.1\r\n\r\n"),
        (ToClient, FIN | ACK, b"gone"),
        (ToServer, FIN | ACK, b""),
    ]));
    assert_eq!(
        (flow.id, flow.ended, flow.application),
        (1, "fin", Some("http"))
    );
    assert_eq!((flow.source, flow.destination), (CLIENT, SERVER));
    assert_eq!((flow.to_server.packets, flow.to_server.bytes), (4, 18));
    let expected: [u8; 32] = Sha256::digest(b"GET / HTTP/1.1\r\n\r\n").into();
    assert_eq!(stream(&flow.to_server).sha256, expected);
    assert_eq!(
        stream(&flow.to_client),
        &Stream {
            state: StreamState::Ok,
            len: 4,
            sha256: Sha256::digest(b"gone").into(),
            missing: 0,
        }
    );
}

#[test]
fn the_receiver_of_a_syn_ack_opened_the_flow() {
    let flow = only(collected(&[
        (ToServer, SYN | ACK, b""),
        (ToClient, ACK, b"hello"),
    ]));
    assert_eq!((flow.source, flow.destination), (SERVER, CLIENT));
    assert_eq!(flow.to_server.bytes, 5, "sides follow the opener");
    assert_eq!(stream(&flow.to_server).state, StreamState::Mid);
    assert_eq!(flow.history, "^hD");
}

#[test]
fn a_syn_says_more_than_a_syn_ack() {
    let flow = only(collected(&[
        (ToClient, SYN | ACK, b""),
        (ToClient, SYN, b""),
    ]));
    assert_eq!(flow.source, SERVER);
}

#[test]
fn bytes_behind_a_hole_are_not_hashed() {
    let mut collector = collected(&[(ToServer, SYN, b""), (ToServer, ACK, b"before")]);
    collector.gap(1, ToServer, [9..15, 19..20].into_iter());
    collector.bytes(1, ToServer, b"behind", 6);
    let flow = only(collector);
    let stream = stream(&flow.to_server);
    assert_eq!(
        (stream.state, stream.len, stream.missing),
        (StreamState::Gap, 6, 7)
    );
    assert_eq!(stream.sha256, <[u8; 32]>::from(Sha256::digest(b"before")));
    assert_eq!(flow.history, "SDG");
}

#[test]
fn a_cut_capture_and_a_conflict_are_told() {
    let mut snapped = Collector::default();
    snapped.packet(&Sighting {
        payload_len: 100,
        ..segment(ToServer, ACK, b"part")
    });
    assert_eq!(stream(&only(snapped).to_server).state, StreamState::Snap);

    let mut conflicting = collected(&[(ToServer, SYN, b""), (ToServer, ACK, b"one")]);
    conflicting.conflict(1, ToServer);
    let flow = only(conflicting);
    assert_eq!(stream(&flow.to_server).state, StreamState::Conflict);
    assert_eq!(stream(&flow.to_client).state, StreamState::None);
}

#[test]
fn endings_tell_who_closed() {
    let ended = |segments: &[(Direction, u8, &[u8])]| only(collected(segments)).ended;
    assert_eq!(ended(&[(ToServer, SYN, b"")]), "open");
    assert_eq!(
        ended(&[(ToServer, SYN, b""), (ToServer, FIN | ACK, b"")]),
        "fin_c"
    );
    assert_eq!(
        ended(&[(ToServer, SYN, b""), (ToClient, FIN | ACK, b"")]),
        "fin_s"
    );
    assert_eq!(
        ended(&[(ToServer, SYN, b""), (ToClient, RST | ACK, b"")]),
        "rst"
    );
    let ignored_rst = [
        (ToServer, SYN, &b""[..]),
        (ToClient, RST, b""),
        (ToServer, FIN, b""),
        (ToClient, FIN, b""),
    ];
    assert_eq!(ended(&ignored_rst), "fin", "both went on past the RST");

    let mut idle = collected(&[(ToServer, SYN, b"")]);
    idle.ended(1, Ending::Timeout);
    assert_eq!(only(idle).ended, "timeout");
}

#[test]
fn flows_come_in_the_order_of_their_first_packets() {
    let mut collector = Collector::default();
    for flow in [4, 5, 7] {
        collector.packet(&Sighting {
            flow,
            ..segment(ToServer, SYN, b"")
        });
    }
    collector.ended(5, Ending::Reset);
    assert!(collector.take_ended().is_none(), "4 is still open");
    collector.ended(4, Ending::Evicted);
    let ids: Vec<_> = std::iter::from_fn(|| collector.take_ended())
        .map(|flow| (flow.id, flow.ended))
        .collect();
    assert_eq!(ids, [(1, "evicted"), (2, "rst")]);
    collector.packet(&Sighting {
        flow: 5,
        ..segment(ToServer, ACK, b"late")
    });
    assert!(
        collector.take_ended().is_none(),
        "what was handed out stays so"
    );
    collector.end_all();
    assert_eq!(collector.take_ended().map(|flow| flow.id), Some(3));
}

#[test]
fn datagrams_have_no_stream() {
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    let mut collector = Collector::default();
    let to_dns = Endpoint { port: 53, ..SERVER };
    collector.packet(&Sighting {
        protocol: protocol::UDP,
        destination: to_dns,
        vlans: &[5, 9],
        tunnels: &[TunnelKind::Gre],
        ..segment(ToServer, 0, query)
    });
    let flow = only(collector);
    assert_eq!(
        (flow.application, flow.history.as_str()),
        (Some("dns"), "D")
    );
    assert_eq!(
        flow.to_server,
        Side {
            packets: 1,
            bytes: 12,
            stream: None
        }
    );
    assert_eq!(
        (flow.vlans.as_slice(), flow.tunnels.as_slice()),
        (&[5, 9][..], &[TunnelKind::Gre][..])
    );
}

#[test]
fn flows_can_be_told_as_they_end() {
    let sighted = |flow| Sighting {
        flow,
        ..segment(ToServer, ACK, b"")
    };
    let mut collector = Collector::as_they_end();
    for flow in [5, 6, 8] {
        collector.packet(&sighted(flow));
    }
    assert!(collector.take_ended().is_none(), "all go on");
    collector.ended(6, Ending::Closed);
    collector.ended(6, Ending::Timeout);
    assert_eq!(collector.take_ended().map(|flow| flow.id), Some(2));
    assert!(collector.take_ended().is_none());
    // What comes late is of no flow, and begins none.
    collector.packet(&sighted(6));
    collector.ended(5, Ending::Evicted);
    assert_eq!(collector.take_ended().map(|flow| flow.id), Some(1));
    collector.packet(&sighted(9));
    collector.end_all();
    let rest: Vec<u64> = std::iter::from_fn(|| collector.take_ended())
        .map(|flow| flow.id)
        .collect();
    assert_eq!(rest, [3, 4]);
    assert!(collector.flows.numbers().is_empty(), "nothing is kept");
}

//! Rows of the TCP dissectors.

use super::harness::{Run, run, run_with};
use super::packet::Packet;

const CLOSING: &str = "debug lua: closing state";

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;

/// `a:p -> b:p` of the client with that port.
fn ends(port: u16, server_port: u16) -> String {
    format!("192.168.20.1:{port} -> 192.168.20.50:{server_port}")
}

/// The alert that meets a segment of no connection.
fn no_connection(packet: &Packet) -> Vec<String> {
    let address = |bytes: [u8; 4]| bytes.map(|byte| byte.to_string()).join(".");
    let mut lines = vec![
        "debug core: applying policy default action for no connection found for tcp packet"
            .to_owned(),
        "alert: id = = <>".to_owned(),
        "\tseverity = low".to_owned(),
        "\tdescription = no connection found for tcp packet".to_owned(),
    ];
    for (head, host, port) in [
        ("sources", packet.src(), packet.src_port()),
        ("targets", packet.dst(), packet.dst_port()),
    ] {
        lines.extend([
            format!("\t{head} = {{"),
            format!("\t\taddress: {}", address(host)),
            format!("\t\tservice: tcp/{port}"),
            "\t}".to_owned(),
        ]);
    }
    lines
}

#[test]
fn tcp_hook_up_and_down_rule() {
    for (rule, opening) in [("tcp-receive", 1), ("tcp-send", 0)] {
        let run = run(rule, "nat");
        run.passes(16, 16);
        run.untouched();
        let mut expected =
            vec!["info external: segment 192.168.20.1:40003 -> 192.168.20.50:80".to_owned()];
        expected.insert(
            opening,
            format!("debug conn: opening connection {}", ends(40003, 80)),
        );
        assert_eq!(run.lines[..2], expected);
        assert_eq!(run.logged().len(), 16);
        assert_eq!(
            run.lines[17..],
            [
                CLOSING.to_owned(),
                format!("debug conn: <cleanup> connection {}", ends(40003, 80))
            ]
        );
    }
}

#[test]
fn tcp_ipv4_field_access() {
    let run = run("tcp-old-access", "basic");
    // What is not TCP: ARP and one datagram.
    run.passes(40, 6);
    assert_eq!(run.count("error lua: tcp: unknown field 'ip'"), 34);
}

#[test]
fn tcp_getfields() {
    for options in [&[][..], &["--pass-through"]] {
        let run = run_with("tcp-fields", "tcp-one", options);
        run.passes(1, 1);
        run.untouched();
        run.says(&[
            "40000 80 3000000000 2147483649 0 32",
            "1024 cd15 0",
            "false false false true true true false false 56",
            "true 4 data tcp 64",
            CLOSING,
        ]);
    }
}

#[test]
fn tcp_filter() {
    let run = run("tcp-filter", "ports");
    run.passes(20, 12);
    assert!(
        run.sent
            .iter()
            .all(|packet| packet.src_port() == 80 || packet.dst_port() == 80)
    );
    assert_eq!(
        run.connections(),
        [
            format!("opening connection {}", ends(40010, 80)),
            format!("opening connection {}", ends(40011, 22)),
            format!("dropping connection {}", ends(40011, 22)),
            format!("<cleanup> connection {}", ends(40011, 22)),
            format!("<cleanup> connection {}", ends(40010, 80)),
        ]
    );
}

#[test]
fn tcp_setchecksum() {
    let run = run("tcp-checksum", "tcp-broken-checksum");
    run.passes(1, 1);
    run.says(&["false", "true", CLOSING]);
    assert!(!run.captured[0].transport_checksum_is_right());
    assert!(run.sent[0].transport_checksum_is_right());
}

#[test]
fn tcp_setfields() {
    let run = run("tcp-set", "tcp-one");
    run.passes(1, 1);
    let packet = &run.sent[0];
    assert_eq!((packet.src_port(), packet.dst_port()), (3000, 4000));
    assert_eq!((packet.seq(), packet.ack()), (4_123_456_789, 987_654_321));
    let header = packet.tcp_header();
    assert_eq!(header[12], 8 << 4 | 5, "header of 32 bytes, reserved bits");
    assert_eq!(header[13], FIN | SYN | RST | 0x40 | 0x80);
    assert_eq!(header[14..16], 34_463_u16.to_be_bytes(), "cut to 16 bits");
    assert_eq!(header[18..20], [0, 9]);
    assert_eq!(packet.text(), "data");
    assert!(
        packet.transport_checksum_is_right(),
        "the checksum of the rule is overwritten"
    );
}

#[test]
fn tcp_setfields_passthrough() {
    let run = run_with("tcp-set-each", "tcp-one", &["--pass-through"]);
    run.passes(1, 1);
    run.untouched();
    let mut expected: Vec<String> = (1..=11)
        .map(|number| format!("{number} read only buffer"))
        .collect();
    expected.push(CLOSING.to_owned());
    assert_eq!(run.lines, expected);
}

#[test]
fn tcp_oneconnection() {
    let run = run("tcp-connections", "successive");
    run.passes(53, 54);
    let mut expected = Vec::new();
    for port in 40020..40023 {
        expected.push(format!("debug conn: opening connection {}", ends(port, 80)));
        expected.push(format!("info external: new connection {}", ends(port, 80)));
        expected.push(format!("info external: end connection {}", ends(port, 80)));
    }
    expected.push(CLOSING.to_owned());
    expected.extend(
        (40020..40023)
            .rev()
            .map(|port| format!("debug conn: <cleanup> connection {}", ends(port, 80))),
    );
    assert_eq!(run.lines, expected);

    let at = run
        .captured
        .iter()
        .position(|packet| packet.0.len() == 1688)
        .expect("there is a long packet");
    let (long, first, second) = (&run.captured[at], &run.sent[at], &run.sent[at + 1]);
    assert_eq!((first.ip_len(), second.ip_len()), (1500, 40 + 174));
    assert_eq!((first.ip_id(), second.ip_id()), (long.ip_id(), 0));
    assert_eq!(second.seq(), long.seq() + 1460);
    assert_eq!(
        (first.tcp_flags() & PSH, second.tcp_flags() & PSH),
        (0, PSH)
    );
    assert_eq!(
        [first.tcp_data(), second.tcp_data()].concat(),
        long.tcp_data()
    );
    assert!(first.transport_checksum_is_right() && second.transport_checksum_is_right());
    // Nothing else changed.
    assert_eq!(run.sent[..at], run.captured[..at]);
    assert_eq!(run.sent[at + 2..], run.captured[at + 1..]);
}

#[test]
fn tcp_interleavedconnection() {
    let run = run("tcp-connections", "interleaved");
    // The reference keeps the four repeated SYN and ACK; they may pass.
    run.passes(44, 44);
    let mut expected = Vec::new();
    for port in 40030..40033 {
        expected.push(format!("debug conn: opening connection {}", ends(port, 80)));
        expected.push(format!("info external: new connection {}", ends(port, 80)));
    }
    expected.extend(
        (40030..40033).map(|port| format!("info external: end connection {}", ends(port, 80))),
    );
    expected.push(CLOSING.to_owned());
    expected.extend(
        (40030..40033)
            .rev()
            .map(|port| format!("debug conn: <cleanup> connection {}", ends(port, 80))),
    );
    assert_eq!(run.lines, expected);
}

#[test]
fn states_of_a_connection_before_each_packet() {
    let run = run("tcp-states", "stream");
    assert_eq!(
        run.logged(),
        [
            "up syn 1/0",
            "down syn_sent 1/1",
            "up syn_received 2/1",
            "up established 3/1",
            "down established 3/2",
            "up established 4/2",
            "down established 4/3",
            "down established 4/4",
            "up established 5/4",
            "up established 6/4",
            "down fin_wait_1 6/5",
            "down fin_wait_2 6/6",
            "end in timed_wait",
            "up timed_wait 7/6",
        ]
    );
}

#[test]
fn a_closed_connection_is_forgotten_after_a_minute() {
    let run = run("tcp-states", "stream-long");
    run.passes(10, 9);
    let at = run.lines.len() - 14;
    assert_eq!(
        run.lines[at],
        format!("debug conn: closing connection {}", ends(40041, 8000))
    );
    assert_eq!(run.lines[at + 1..at + 13], no_connection(&run.captured[9]));
}

#[test]
fn tcp_streamread() {
    for options in [&[][..], &["--pass-through"]] {
        let run = run_with("stream-read", "stream", options);
        run.passes(13, 13);
        run.untouched();
        assert_eq!(run.logged(), ["up hello", "up to all", "down welcome"]);
    }
}

/// The text of a direction as its receiver puts it together, and that its
/// sequence numbers leave no hole.
fn text_of(run: &Run, from_server: bool) -> String {
    let sent: Vec<&Packet> = run
        .sent
        .iter()
        .filter(|packet| (packet.src_port() == 8000) == from_server)
        .collect();
    let mut next = sent[0].seq() + 1;
    let mut text = String::new();
    for packet in &sent[1..] {
        if packet.tcp_flags() & RST == 0 {
            assert_eq!(packet.seq(), next, "{packet:?}");
        }
        text.push_str(&packet.text());
        next += packet.tcp_data().len() as u32 + u32::from(packet.tcp_flags() & FIN);
    }
    text
}

/// Acknowledgements of what the server said and the client sees.
fn acks_to_client(run: &Run) -> Vec<u32> {
    let base = run.captured[0].seq() + 1;
    let from_server = run.sent.iter().filter(|packet| packet.src_port() == 8000);
    from_server
        .skip(1)
        .map(|packet| packet.ack() - base)
        .collect()
}

#[track_caller]
fn windows_are_kept(run: &Run) {
    for (before, after) in run.captured.iter().zip(&run.sent) {
        assert_eq!(after.tcp_header()[14..16], before.tcp_header()[14..16]);
    }
}

#[test]
fn tcp_streamdelete() {
    let run = run("stream-delete", "stream");
    run.passes(13, 13);
    assert_eq!(run.logged(), ["up 6", "up 7", "down 8"]);
    assert_eq!(text_of(&run, false), "ho\ntll\n");
    assert_eq!(text_of(&run, true), "wome\n");
    assert!(run.sent.iter().all(|packet| packet.transport_checksum_is_right() && packet.header_checksum_is_right()));
    // The server acknowledges as recorded, 6, 13 and the FIN as 14: 3 bytes
    // more for each edited line that lies before.
    assert_eq!(acks_to_client(&run), [9, 19, 19, 20, 20]);
    windows_are_kept(&run);
    run.tshark_finds_no_fault();
}

#[test]
fn tcp_streaminsert() {
    let run = run("stream-insert", "stream");
    run.passes(13, 13);
    assert_eq!(run.logged(), ["insert", "insert"]);
    assert_eq!(text_of(&run, false), "he[4+] llo\nto[4+]  all\n");
    assert_eq!(text_of(&run, true), "welcome\n");
    // Inside an edited line the distance from its start counts: 6 of 11
    // bytes, then 13 - 11 of the second line, which begins at 6.
    assert_eq!(acks_to_client(&run), [6, 8, 8, 9, 9]);
    windows_are_kept(&run);
    run.tshark_finds_no_fault();
    assert!(run.sent.iter().all(|packet| packet.transport_checksum_is_right() && packet.header_checksum_is_right()));
}

/// What a refused edit does: the connection is closed, its later packets are
/// unknown.
fn refused_edit(rule: &str, said_before: &[&str]) {
    let run = run_with(rule, "stream", &["--pass-through"]);
    run.passes(13, 3);
    assert_eq!(run.sent, run.captured[..3]);
    let mut expected = vec![format!(
        "debug conn: opening connection {}",
        ends(40040, 8000)
    )];
    expected.extend(said_before.iter().map(|line| (*line).to_owned()));
    expected.push("error tcp: read only buffer".to_owned());
    expected.push(format!(
        "debug conn: closing connection {}",
        ends(40040, 8000)
    ));
    for packet in &run.captured[4..] {
        expected.extend(no_connection(packet));
    }
    expected.push(CLOSING.to_owned());
    assert_eq!(run.lines, expected);
}

#[test]
fn tcp_streaminsert_passthrough() {
    refused_edit("stream-insert", &["info external: insert"]);
}

#[test]
fn tcp_streamerase_passthrough() {
    refused_edit("stream-erase", &[]);
}

/// The RST towards each end, in that order: to the client, to the server.
fn resets(run: &Run) -> [&Packet; 2] {
    let rst: Vec<&Packet> = run
        .sent
        .iter()
        .filter(|packet| packet.tcp_flags() & RST != 0)
        .collect();
    let [client, server] = rst[..] else {
        panic!("{} RST", rst.len())
    };
    for packet in [client, server] {
        assert_eq!(
            (
                packet.tcp_flags(),
                packet.ack(),
                packet.ttl(),
                packet.ip_id()
            ),
            (RST, 0, 64, 0)
        );
        assert_eq!(
            (packet.ip_len(), packet.byte(20), packet.u16(14 + 20 + 14)),
            (40, 0, 0)
        );
        assert!(packet.transport_checksum_is_right() && packet.header_checksum_is_right());
    }
    assert_eq!((client.src_port(), server.dst_port()), (8000, 8000));
    [client, server]
}

#[test]
fn tcp_stream_rst() {
    let run = run("stream-reset", "reset");
    // 19 of the first connection, 7 of the second and two RST.
    run.passes(38, 28);
    assert_eq!(
        run.lines[8..],
        [
            format!("debug conn: opening connection {}", ends(40051, 8000)),
            "info external: up 6".into(),
            "info external: down 6".into(),
            "info external: up 7".into(),
            "info external: reset".into(),
            format!("debug conn: dropping connection {}", ends(40051, 8000)),
            "info external: end 40051".into(),
            "info external: not reached again".into(),
            CLOSING.into(),
            format!("debug conn: <cleanup> connection {}", ends(40051, 8000)),
            format!("debug conn: <cleanup> connection {}", ends(40050, 8000)),
        ]
    );
    let [client, server] = resets(&run);
    assert_eq!(client.seq(), run.captured[20].seq() + 1 + 6);
    assert_eq!(server.seq(), run.captured[19].seq() + 1 + 6);
    // The segment that led to the reset is not sent.
    assert!(
        !run.sent
            .iter()
            .any(|packet| packet.text().contains("attack"))
    );
}

#[test]
fn tcp_streammodif_rst() {
    let run = run("stream-change-reset", "reset");
    run.passes(38, 28);
    let [client, server] = resets(&run);
    assert_eq!(
        client.seq(),
        run.captured[20].seq() + 1 + 5,
        "one byte erased"
    );
    assert_eq!(
        server.seq(),
        run.captured[19].seq() + 1 + 8,
        "two bytes inserted"
    );
}

#[test]
fn tcp_create() {
    let run = run("tcp-create", "tcp-forge");
    run.passes(8, 16);
    assert_eq!(run.logged().len(), 16);
    assert_eq!(
        run.count("debug conn: opening connection 192.168.20.2:4000 -> 192.168.20.51:8000"),
        1
    );
    for pair in run.sent.chunks(2) {
        let [own, forged] = pair else {
            panic!("an odd number of packets")
        };
        assert_eq!(
            (own.seq(), own.ack(), own.tcp_flags()),
            (forged.seq(), forged.ack(), forged.tcp_flags())
        );
        assert_eq!(
            (own.tcp_data(), own.ip_id()),
            (forged.tcp_data(), forged.ip_id())
        );
        assert_eq!(forged.src()[3], own.src()[3] + 1);
        assert!(forged.transport_checksum_is_right() && forged.header_checksum_is_right());
    }
}

#[test]
fn corrupted_headers_are_told_and_dropped() {
    let run = run("tcp-receive", "tcp-damaged");
    run.passes(2, 0);
    let descriptions: Vec<&str> = run
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix("\tdescription = "))
        .collect();
    assert_eq!(
        descriptions,
        [
            "corrupted tcp packet, size is too small",
            "corrupted tcp packet, header length is too small"
        ]
    );
    assert_eq!(run.count("\t\taddress: 192.168.10.1"), 2);
}

#[test]
fn new_connection_policies_come_before_the_rules() {
    let run = run("new-connection-policy", "ports");
    run.passes(20, 12);
    assert_eq!(
        run.lines[..7],
        [
            format!("debug conn: opening connection {}", ends(40010, 80)),
            "debug core: applying policy web for new connection".into(),
            "info external: new to 80".into(),
            format!("debug conn: opening connection {}", ends(40011, 22)),
            "debug core: rejected policy web for new connection".into(),
            "debug core: applying policy deny for new connection".into(),
            "alert: id = = <>".into(),
        ]
    );
    assert_eq!(run.count("\tdescription = new connection"), 1);
    assert_eq!(run.count("info external: new to 22"), 0);
}

#[test]
fn an_error_closes_the_connection() {
    let run = run("boom", "stream");
    run.passes(13, 3);
    assert_eq!(
        run.lines[1..3],
        [
            "error tcp: boom".to_owned(),
            format!("debug conn: closing connection {}", ends(40040, 8000))
        ]
    );
    assert_eq!(run.count_with("no connection found for tcp packet"), 9 * 2);
}

#[test]
fn a_listener_may_go_on_after_it_dropped_the_flow() {
    let run = run("flow-drop", "stream");
    run.passes(13, 5);
    assert_eq!(run.count_with("error "), 0);
    assert_eq!(
        run.lines[run.lines.len() - 5..],
        [
            format!("debug conn: dropping connection {}", ends(40040, 8000)),
            "info external: end".into(),
            "info external: dropped".into(),
            CLOSING.into(),
            format!("debug conn: <cleanup> connection {}", ends(40040, 8000)),
        ]
    );
}

#[test]
fn workshop_tcpfilter() {
    let run = run("tcp-filter", "interleaved");
    run.passes(44, 44);
    run.untouched();
}

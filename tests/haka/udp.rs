//! Rows of the UDP dissectors.

use super::harness::run;

#[test]
fn udp_getfields() {
    let run = run("udp-fields", "udp-two");
    run.passes(2, 2);
    run.untouched();
    run.says(&[
        "1000 2000 16 c32d",
        "true 8 abcdefgh 192.168.10.1 udp",
        "2000 1000 8 54d3",
        "true 0  192.168.20.1 udp",
        "debug lua: closing state",
    ]);
}

#[test]
fn udp_setfields() {
    let run = run("udp-set", "udp-two");
    run.passes(2, 2);
    for packet in &run.sent {
        assert_eq!((packet.src_port(), packet.dst_port()), (3000, 4000));
        assert!(
            packet.transport_checksum_is_right(),
            "the checksum of the rule is overwritten"
        );
    }
    assert_eq!(run.sent[0].ip_payload()[8..], *b"XYcdefgh");
}

#[test]
fn udp_create() {
    let run = run("udp-create", "udp-two");
    run.passes(2, 4);
    run.says(&[
        "192.168.10.1 1000 2000 16",
        "192.168.10.9 4000 9 12",
        "192.168.20.1 2000 1000 8",
        "192.168.10.9 5000 9 12",
        "debug lua: closing state",
    ]);
    let forged: Vec<_> = run
        .sent
        .iter()
        .filter(|packet| packet.dst_port() == 9)
        .collect();
    assert_eq!(forged.len(), 2);
    for packet in forged {
        assert_eq!(packet.ip_payload()[8..], *b"four");
        assert!(packet.header_checksum_is_right() && packet.transport_checksum_is_right());
    }
}

#[test]
fn udp_connection() {
    let run = run("udp-connection", "udp-idle");
    run.passes(5, 5);
    run.untouched();
    run.says(&[
        "info external: new 192.168.10.1:1000 -> 192.168.20.1:2000",
        "debug conn: opening connection 192.168.10.1:1000 -> 192.168.20.1:2000",
        "info external: packet up established",
        "info external: data up one",
        "info external: packet down established",
        "info external: data down two",
        "info external: new 192.168.10.1:1001 -> 192.168.20.1:2000",
        "debug conn: opening connection 192.168.10.1:1001 -> 192.168.20.1:2000",
        "info external: packet up established",
        "info external: data up three",
        // 60 s of silence, seen by the clock of the capture.
        "info external: end 192.168.10.1:1000",
        "debug conn: closing connection 192.168.10.1:1000 -> 192.168.20.1:2000",
        "info external: packet down established",
        "info external: data down four",
        "info external: new 192.168.10.1:1000 -> 192.168.20.1:2000",
        "debug conn: opening connection 192.168.10.1:1000 -> 192.168.20.1:2000",
        "info external: packet up established",
        "info external: data up five",
        "debug lua: closing state",
        "info external: end 192.168.10.1:1000",
        "debug conn: <cleanup> connection 192.168.10.1:1000 -> 192.168.20.1:2000",
        "info external: end 192.168.10.1:1001",
        "debug conn: <cleanup> connection 192.168.10.1:1001 -> 192.168.20.1:2000",
    ]);
}

#[test]
fn a_dropped_flow_is_silent() {
    let run = run("udp-drop", "datagrams-plain");
    run.passes(6, 2);
    run.says(&[
        "debug conn: opening connection 192.168.10.1:1000 -> 192.168.20.1:2000",
        "info external: data one",
        "info external: data one",
        "info external: data two",
        "debug conn: dropping connection 192.168.10.1:1000 -> 192.168.20.1:2000",
        "info external: end",
        "debug lua: closing state",
        "debug conn: <cleanup> connection 192.168.10.1:1000 -> 192.168.20.1:2000",
    ]);
}

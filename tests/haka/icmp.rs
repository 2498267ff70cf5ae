//! Rows of the ICMP dissector.

use super::harness::run;

#[test]
fn icmp_getfields() {
    let run = run("icmp-fields", "echo");
    run.passes(4, 4);
    run.untouched();
    assert_eq!(
        run.lines[..6],
        [
            "ICMP type: 8",
            "ICMP code: 0",
            "ICMP checksum: 58867",
            "ICMP valid: true",
            "ICMP payload: 14",
            "IP ttl: 64 from 10.0.0.1",
        ]
    );
    assert_eq!(run.count("ICMP type: 0"), 2);
    assert_eq!(run.lines.len(), 4 * 6 + 1);
}

#[test]
fn icmp_setfields() {
    let run = run("icmp-set", "echo");
    run.passes(4, 4);
    for packet in &run.sent {
        assert_eq!(packet.ip_payload()[..2], [13, 3]);
        assert!(
            packet.transport_checksum_is_right(),
            "the checksum of the rule is overwritten"
        );
    }
}

#[test]
fn icmp_create() {
    let run = run("icmp-create", "echo-alone");
    run.passes(1, 2);
    run.says(&["10.0.0.1 8", "10.0.0.2 0", "debug lua: closing state"]);
    let reply = run
        .sent
        .iter()
        .find(|packet| packet.ttl() == 32)
        .expect("the forged reply leaves");
    assert_eq!(
        (reply.ip_len(), reply.ip_payload().len(), reply.protocol()),
        (28, 8, 1)
    );
    assert!(reply.header_checksum_is_right() && reply.transport_checksum_is_right());
}

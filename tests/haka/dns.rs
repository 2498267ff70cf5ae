//! Rows of the DNS dissector, and of the sample that needs it.

use super::harness::run;

#[test]
fn dns_drop() {
    let run = run("dns-drop", "dns-basic");
    // The query and, since nobody waits for it any more, its response.
    run.passes(8, 6);
    run.tshark_finds_no_fault();
    assert_eq!(
        run.logged(),
        ["response 4098", "response 4099", "response 4100"]
    );
    assert_eq!(run.count("alert: id = = <>"), 1);
    assert_eq!(run.count_with("dns: mismatching response"), 1);
}

#[test]
fn dns_query_readonly() {
    let run = run("dns-query-readonly", "dns-basic");
    // Each flow is dropped with its response; the queries have left.
    run.passes(8, 4);
    run.tshark_finds_no_fault();
    assert_eq!(run.count_with("error udp: read only buffer"), 4);
    assert_eq!(run.count_with("dropping connection"), 4);
    for packet in &run.sent {
        assert!(packet.transport_checksum_is_right());
        // Recursion available, as the rule wrote it.
        assert_eq!(packet.ip_payload()[8 + 3] & 0x80, 0x80);
    }
}

#[test]
fn sample_pdns() {
    let run = run("dns-pdns", "dns-basic");
    run.passes(8, 8);
    run.untouched();
    assert_eq!(run.count_with("description ="), 2);
    assert_eq!(run.count_with("web.example.org. is 192.0.2.80"), 1);
    assert_eq!(run.count_with("ns1.example.org. is 192.0.2.53"), 1);
}

#[test]
fn messages_that_cannot_be_read_are_dropped_alone() {
    let run = run("dns-names", "dns-damaged");
    run.passes(6, 1);
    assert_eq!(run.logged(), ["query www."]);
    for fault in [
        "compression pointer that does not go back to a name at byte 12",
        "compression pointer that does not go back to a name at byte 16",
        "label of an unknown kind at byte 12",
        "message ends early at byte 12",
    ] {
        assert_eq!(
            run.count_with(&format!("dns: malformed message, {fault}")),
            1,
            "{fault}"
        );
    }
    assert_eq!(run.count_with("dns: mismatching response"), 1);
    assert_eq!(run.count_with("dropping connection"), 0);
}

#[test]
fn dns_basic() {
    let run = run("dns-basic", "dns-basic");
    run.passes(8, 8);
    run.untouched();
    let printed: Vec<_> = run
        .lines
        .iter()
        .filter(|line| !line.starts_with("debug"))
        .map(String::as_str)
        .collect();
    assert_eq!(printed.join("\n"), include_str!("dns-basic.txt").trim_end());
}

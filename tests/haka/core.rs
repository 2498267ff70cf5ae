//! Rows of the engine's own tests: raw packets, errors, events, times,
//! alerts, policies, ancestors.

use super::harness::run;

/// What each packet prints: ten lines.
const BLOCK: [&str; 10] = [
    "userdata packet {",
    "  data : table {",
    "  }",
    "  id : ",
    "  name : \"packet\"",
    "  payload : userdata vbuffer {",
    "    modified : false",
    "  }",
    "  timestamp : userdata time Mon Jan  5 11:00:00 2026",
    "}",
];

const UNKNOWN: [&str; 2] = [
    "alert: id = = <>",
    "\tdescription = dropping unknown dissector 'ipv4'",
];

#[test]
fn libhaka_basic() {
    let run = run("pprint-packet", "mixed");
    run.passes(18, 4);
    assert!(run.sent.iter().all(|packet| !packet.is_ipv4()));
    assert_eq!(run.lines.len(), 209);
    let mut expected: Vec<String> = Vec::new();
    for (number, packet) in (1..).zip(&run.captured) {
        expected.extend(BLOCK.map(str::to_owned));
        let at = expected.len() - 7;
        expected[at] = format!("  id : {number}");
        if packet.is_ipv4() {
            expected.extend(UNKNOWN.map(str::to_owned));
        }
    }
    expected.push("debug lua: closing state".to_owned());
    assert_eq!(run.lines, expected);
}

#[test]
fn libhaka_nodrop() {
    let run = run("nodrop", "mixed");
    run.passes(18, 18);
    run.untouched();
    assert_eq!(run.lines.len(), 181);
    assert_eq!(run.count("userdata packet {"), 18);
}

#[test]
fn core_rule_error() {
    let run = run("rule-error", "basic");
    run.passes(40, 5);
    assert!(run.sent.iter().all(|packet| !packet.is_ipv4()));
    let mut expected = vec!["error lua: ipv4: unknown field 'none'"; 35];
    expected.push("debug lua: closing state");
    run.says(&expected);
}

#[test]
fn core_hakaevents() {
    let run = run("haka-events", "basic");
    run.passes(40, 5);
    let mut expected = vec!["info external: started"];
    expected.extend(UNKNOWN.repeat(35));
    expected.extend(["debug lua: closing state", "info external: exiting"]);
    run.says(&expected);
}

#[test]
fn core_timestamp() {
    let run = run("timestamp", "basic");
    run.passes(40, 5);
    assert_eq!(run.lines.len(), 40 * 3 + 35 * 2 + 1);
    assert_eq!(
        run.lines[..3],
        [
            "info external: packet timestamp is 1767607200s 5000000ns",
            "info external: packet timestamp is 1767607200.005 seconds",
            "info external: packet timestamp is Mon Jan  5 11:00:00 2026",
        ]
    );
}

#[test]
fn core_alert() {
    let run = run("alert", "basic");
    run.passes(40, 40);
    run.untouched();
    assert_eq!(run.lines.len(), 35 * (18 + 4) + 1);
    assert_eq!(
        run.lines[..23],
        [
            "alert: id = = <>",
            "\tstart time = Mon Jan  5 11:00:00 2026",
            "\tend time = Mon Jan  5 11:00:00 2026",
            "\tseverity = medium",
            "\tconfidence = 7",
            "\tcompletion = successful",
            "\tdescription = from 192.168.20.1",
            "\tmethod = {",
            "\t\tdescription = a method",
            "\t\tref = { cve/1, cve/2 }",
            "\t}",
            "\tsources = {",
            "\t\taddress: 192.168.20.1, 192.168.20.1/22",
            "\t}",
            "\ttargets = {",
            "\t\taddress: 192.168.20.50",
            "\t\tservice: tcp/22, ssh",
            "\t}",
            "alert: update id = = <>",
            "\tseverity = high",
            "\tdescription = more is known",
            "\trefs = { 1 }",
            "alert: id = = <>",
        ]
    );
}

#[test]
fn core_payload() {
    let run = run("payload", "ipv4-one");
    run.passes(1, 1);
    run.says(&[
        "V= 36",
        "V= sixt",
        "V= WXYZee",
        "V= WXYZ12345678",
        "V= WXYZ1234",
        "V= 36",
        "V= 30",
        "V= WXYZ12",
        "debug lua: closing state",
    ]);
    let packet = &run.sent[0];
    assert_eq!((packet.0.len(), packet.ip_len()), (14 + 30, 30));
    assert_eq!(packet.ip_payload(), b"WXYZ12s...");
    assert!(packet.header_checksum_is_right());
}

#[test]
fn core_policy_ipv4() {
    let run = run("policy-ipv4", "basic");
    assert_eq!(run.captured.len(), 40);
    let refused = run.count("debug core: applying policy traffic to dmz for dmz");
    let passed = run.count("debug core: rejected policy traffic to dmz for dmz");
    assert_eq!((refused + passed, run.sent.len()), (35, 40 - refused));
    // The alert follows at once; what `desc` has beyond alerts is left out.
    let at = run
        .lines
        .iter()
        .position(|line| line.contains("applying"))
        .expect("one is refused");
    assert_eq!(
        run.lines[at + 1..at + 3],
        [
            "alert: id = = <>",
            "\tdescription = forbidden traffic to dmz"
        ]
    );
    assert_eq!(run.count_with("description = forbidden"), refused);
    assert_eq!(run.lines.len(), 3 * refused + passed + 1);
}

#[test]
fn core_dissector_parent() {
    let run = run("dissector-parent", "basic");
    run.passes(40, 40);
    // 19 lines of the IPv4 layer, 9 of the packet.
    assert_eq!(run.lines.len(), 34 * 28 + 1);
    assert_eq!(run.lines.len(), 953);
    let names: Vec<&str> = run.lines[..28]
        .iter()
        .filter_map(|line| line.trim().split(" : ").next())
        .collect();
    assert_eq!(
        names,
        [
            "userdata ipv4 {",
            "_next_dissector",
            "_parent",
            "checksum",
            "dont_reassemble",
            "dst",
            "flags",
            "frag_offset",
            "hdr_len",
            "id",
            "len",
            "name",
            "payload",
            "proto",
            "src",
            "tos",
            "ttl",
            "version",
            "}",
            "userdata packet {",
            "_next_dissector",
            "_parent",
            "data",
            "id",
            "name",
            "payload",
            "timestamp",
            "}",
        ]
    );
    assert_eq!(run.count("  flags : userdata ipv4_flags"), 34);
    assert_eq!(run.count("  payload : userdata vbuffer"), 68);
}

#[test]
fn core_stream_rule() {
    let run = run("stream-rule", "basic");
    assert_eq!(
        run.logged(),
        [
            "up: 15 bytes",
            "up: 15 bytes",
            "up: 2 bytes",
            "down: 1086 bytes",
            "up all: 32",
            "down all: 1086",
            "up: 16 bytes",
            "up: 14 bytes",
            "up: 19 bytes",
            "up: 2 bytes",
            "up all: 51",
            "down all: 0",
        ]
    );
    assert_eq!(run.captured.len(), 40);
    // The reference swallows the two repeated SYN and ACK; both may pass.
    assert_eq!(run.sent.len(), 40);
}

#[test]
fn core_state_machine() {
    let run = run("state-machine", "basic");
    run.passes(40, 40);
    run.untouched();
    let mut expected = vec![
        "enter state1",
        "initialize state1",
        "0 state1 received packet 1",
        "leave state1",
        "enter state4",
        "1 state4 received packet 2",
        "leave state4",
        "enter state1",
    ];
    expected.extend(["timeout from state1"; 6]);
    expected.extend([
        "leave state1",
        "enter state3",
        "timeout from state3",
        "go to state1",
        "leave state3",
        "enter state2",
        "fail on state2",
        "leave state2",
        "finished hello",
        "debug lua: closing state",
    ]);
    assert_eq!(expected.len(), 24);
    run.says(&expected);
}

#[test]
fn dissector_register_unknown() {
    let unknown = run("unknown-dissector", "nothing");
    unknown.says(&[
        "error dissector: unknown dissector zz",
        "nil",
        "debug lua: closing state",
    ]);
    run("unknown-dissector-only", "nothing")
        .says(&["warn core: no registered rule", "debug lua: closing state"]);
}

#[test]
fn workshop_hellopacket() {
    let run = run("hello", "nat");
    run.passes(16, 16);
    run.untouched();
    assert_eq!(
        run.lines[..3],
        [
            "info external: packet from 192.168.20.1 to 192.168.20.50",
            "alert: id = = <>",
            "\tdescription = packet received",
        ]
    );
    assert_eq!(run.lines.len(), 16 * 3 + 1);
}

#[test]
fn workshop_ipfilter() {
    let run = run("ip-filter", "mixed");
    assert_eq!(run.captured.len(), 18);
    let from_net =
        |packet: &super::packet::Packet| packet.is_ipv4() && packet.src()[..3] == [192, 168, 10];
    let expected: Vec<_> = run
        .captured
        .iter()
        .filter(|packet| !from_net(packet))
        .cloned()
        .collect();
    assert!(expected.len() < 18);
    assert_eq!(run.sent, expected);
}

#[test]
fn help_is_no_failure() {
    let shown = std::process::Command::new(env!("CARGO_BIN_EXE_hakapcap"))
        .args([
            "-d",
            "--no-pass-through",
            "--help",
            "-o",
            "none.pcap",
            "none.lua",
            "none.pcap",
        ])
        .output()
        .expect("hakapcap runs");
    assert!(shown.status.success());
    assert!(String::from_utf8_lossy(&shown.stdout).contains("Usage: hakapcap"));
}

/// Before the first packet and behind the last one there is none to name.
#[test]
fn alerts_and_errors_without_a_packet() {
    let run = run("alert-without-packet", "nothing");
    run.passes(0, 0);
    run.says(&[
        "alert: id = = <>",
        "\tdescription = started",
        "error lua: lua: no packet yet",
        "debug lua: closing state",
        "alert: id = = <>",
        "\tdescription = exiting",
    ]);
}

//! Rows of the IPv4 dissector and its fragments.

use super::harness::{run, run_with};

const READ_ONLY: &str = "read only buffer";
const CLOSING: &str = "debug lua: closing state";

#[test]
fn ipv4_setbadfields() {
    let run = run("ipv4-setbad", "ipv4-one");
    run.passes(1, 0);
    let refused: Vec<&str> = run.lines[..7]
        .iter()
        .map(|line| line.strip_prefix("false ").unwrap_or(line))
        .collect();
    assert_eq!(
        refused[..5],
        [
            "number must not be negative",
            "Error in src (arg 2), expected 'addr' got 'string'",
            "Error in src (arg 2), expected 'addr' got 'number'",
            "Error in flags.df (arg 2), expected 'bool' got 'number'",
            "This variable is immutable",
        ]
    );
    assert!(
        refused[5..]
            .iter()
            .all(|text| text.contains("Assignment not possible")),
        "{refused:?}"
    );
    assert_eq!(
        run.lines[7..],
        [
            "false unknown field 'nothing'",
            "13",
            "80",
            "false invalid ipv4 packet",
            "false invalid ipv4 packet",
            "false invalid ipv4 packet",
            "true nil",
            CLOSING,
        ]
    );
}

#[test]
fn ipv4_hook_up_and_down_rule() {
    for rule in ["ipv4-receive", "ipv4-send"] {
        let run = run(rule, "nat");
        run.passes(16, 16);
        run.untouched();
        assert_eq!(run.lines.len(), 17);
        assert_eq!(run.logged()[1], "packet from 192.168.20.50 to 192.168.20.1");
    }
}

#[test]
fn ipv4_land() {
    let run = run("ipv4-land", "land");
    run.passes(3, 2);
    run.says(&[CLOSING]);
    assert_eq!(run.sent, run.captured[..2]);
}

/// Without the TCP dissector nobody touches the TCP checksum, right or not.
#[test]
fn ipv4_nat() {
    let run = run("ipv4-nat", "nat");
    run.passes(16, 16);
    for (before, after) in run.captured.iter().zip(&run.sent) {
        assert!(after.header_checksum_is_right());
        assert!(!after.transport_checksum_is_right());
        assert_eq!(after.ip_payload(), before.ip_payload());
        let far = [10, 1, 1, 1];
        assert!(after.src() == far || after.dst() == far);
    }
}

#[test]
fn ipv4_net() {
    let run = run("ipv4-net", "ipv4-two");
    run.passes(2, 2);
    run.says(&[
        "192.168.10.1 true false",
        "192.168.10.1 true false",
        CLOSING,
    ]);
}

#[test]
fn ipv4_getfields() {
    for options in [&[][..], &["--pass-through"]] {
        let run = run_with("ipv4-fields", "ipv4-two", options);
        run.passes(2, 2);
        run.untouched();
        let checksum = |number: usize| format!("{:04x}", run.captured[number].u16(14 + 10));
        run.says(&[
            "version 4 hdr_len 20 tos 0",
            "len 36 id 4660 ttl 64 proto 20",
            "false true false 2 0",
            &format!("{} true", checksum(0)),
            "192.168.10.1 192.168.20.1 16 ipv4 false",
            "version 4 hdr_len 20 tos 0",
            "len 23 id 2 ttl 64 proto 20",
            "false true false 2 0",
            &format!("{} false", checksum(1)),
            "192.168.10.1 192.168.20.1 3 ipv4 false",
            CLOSING,
        ]);
    }
}

#[test]
fn ipv4_getfields_of_a_fragment() {
    let run = run("ipv4-fields", "ipv4-fields");
    assert_eq!(
        run.lines[..3],
        [
            "version 4 hdr_len 20 tos 16",
            "len 36 id 4660 ttl 64 proto 20",
            "false false true 1 80"
        ]
    );
    // Its datagram is never whole.
    run.passes(1, 0);
}

#[test]
fn ipv4_setfields() {
    let run = run("ipv4-set", "ipv4-one");
    run.passes(1, 1);
    let packet = &run.sent[0];
    assert_eq!(
        (packet.byte(14), packet.byte(15), packet.ip_id()),
        (0x45, 0x10, 0xbeef)
    );
    assert_eq!(
        packet.u16(20),
        0xa000 | 10,
        "reserved bit, more fragments, offset 80"
    );
    assert_eq!((packet.ttl(), packet.protocol()), (33, 77));
    assert_eq!((packet.src(), packet.dst()), ([10, 0, 0, 1], [255; 4]));
    assert!(
        packet.header_checksum_is_right(),
        "the checksum of the rule is overwritten"
    );
}

#[test]
fn ipv4_setfields_passthrough() {
    let run = run_with("ipv4-set-each", "ipv4-one", &["--pass-through"]);
    run.passes(1, 1);
    run.untouched();
    let mut expected: Vec<String> = (1..=19)
        .map(|number| format!("{number} {READ_ONLY}"))
        .collect();
    expected.push(CLOSING.to_owned());
    assert_eq!(run.lines, expected);
}

#[test]
fn ipv4_create() {
    let run = run("ipv4-create", "ipv4-one");
    run.passes(1, 2);
    run.says(&[
        "192.168.10.1 20 36 false 0 normal",
        "4 20 50 0 0.0.0.0",
        "10.0.0.9 33 50 true 80 normal",
        CLOSING,
    ]);
    let forged = &run.sent[1];
    assert_eq!(
        (forged.ttl(), forged.ip_id(), forged.protocol()),
        (100, 0xabcd, 33)
    );
    assert!(forged.more_fragments() && forged.header_checksum_is_right());
    assert_eq!((forged.fragment_offset(), forged.ip_len()), (10, 50));
    assert_eq!((forged.src(), forged.dst()), ([10, 0, 0, 9], [10, 0, 0, 1]));
}

#[test]
fn ipv4_fragment() {
    let run = run("ipv4-fragment", "fragments");
    run.passes(14, 14);
    run.says(&[
        "33 false 13",
        "1500 true 4640",
        "1500 true 4640",
        "1500 true 4640",
        "33 false 13",
        CLOSING,
    ]);
    for datagram in run.sent[1..13].chunks(4) {
        let lengths: Vec<usize> = datagram.iter().map(|packet| packet.ip_len()).collect();
        assert_eq!(lengths, [1508, 1500, 1500, 220]);
        let offsets: Vec<u16> = datagram
            .iter()
            .map(|packet| packet.fragment_offset())
            .collect();
        assert_eq!(offsets, [0, 186, 371, 556]);
        let more: Vec<bool> = datagram
            .iter()
            .map(|packet| packet.more_fragments())
            .collect();
        assert_eq!(more, [true, true, true, false]);
        assert!(
            datagram
                .iter()
                .all(|packet| packet.header_checksum_is_right())
        );
        assert_eq!(
            datagram[0].ip_payload()[96..112],
            *b"klmn8 bytes!opqr"[..16].to_vec()
        );
    }
}

#[test]
fn ipv4_fragment_overlap_1() {
    let run = run("ipv4-whole", "fragments-covered");
    run.passes(3, 2);
    run.says(&["96 abcdefghijklmnopqrstuvwxyzabcd", CLOSING]);
    assert_eq!(run.sent, [run.captured[0].clone(), run.captured[2].clone()]);
}

#[test]
fn ipv4_fragment_overlap_2() {
    let run = run("ipv4-whole", "fragments-beyond-the-last");
    run.passes(3, 2);
    run.says(&[
        "alert: id = = <>",
        "\tseverity = low",
        "\tdescription = invalid ipv4 fragment",
        "\tsources = {",
        "\t\taddress: 10.0.0.1",
        "\t}",
        "\ttargets = {",
        "\t\taddress: 10.0.0.2",
        "\t}",
        "96 abcdefghijklmnopqrstuvwxyzabcd",
        CLOSING,
    ]);
}

#[test]
fn ipv4_fragment_overrun() {
    let run = run("ipv4-whole", "fragments-60k");
    run.passes(41, 41);
    run.says(&["60008 abcdefghijklmnopqrstuvwxyzabcd", CLOSING]);
    run.untouched();
}

#[test]
fn ipv4_fragment_incomplete() {
    let run = run("ipv4-whole", "fragments-missing");
    run.passes(2, 0);
    run.says(&[CLOSING]);
}

#[test]
fn corrupted_headers_are_told_and_dropped() {
    let run = run("ipv4-receive", "ipv4-damaged");
    run.passes(4, 1);
    run.says(&[
        "alert: id = = <>",
        "\tseverity = low",
        "\tdescription = corrupted ip packet, size is too small",
        "alert: id = = <>",
        "\tseverity = low",
        "\tdescription = corrupted ip packet",
        "alert: id = = <>",
        "\tseverity = low",
        "\tdescription = invalid ip packet, invalid size is too small",
        "\tsources = {",
        "\t\taddress: 192.168.10.1",
        "\t}",
        "\ttargets = {",
        "\t\taddress: 192.168.20.1",
        "\t}",
        "info external: packet from 192.168.10.1 to 192.168.20.1",
        CLOSING,
    ]);
}

/// The same fields by the dissector in Lua.
#[test]
fn ipv4_getfields_lua() {
    let native = run("ipv4-fields", "ipv4-two");
    let run = run("ipv4lua-fields", "ipv4-two");
    run.passes(2, 2);
    run.untouched();
    for (own, native) in run.lines.iter().zip(&native.lines) {
        let same = native
            .replace("ipv4 false", "ipv4lua 0")
            .replace("ipv4 true", "ipv4lua 0");
        assert_eq!(*own, same);
    }
    assert_eq!(run.lines.len(), 2 * 5 + 1);
}

#[test]
fn ipv4_setfields_lua() {
    let native = run("ipv4-set", "ipv4-fields");
    let run = run("ipv4lua-set", "ipv4-fields");
    run.passes(1, 1);
    run.tshark_finds_no_fault();
    let (own, native) = (&run.sent[0], &native.sent[0]);
    assert_eq!(own.0[14..16], [0x45, 0x10]);
    assert_eq!(own.0[18..24], native.0[18..24], "identifier to protocol");
    assert_eq!(own.0[26..34], native.0[26..34], "addresses");
    assert_eq!(own.ip_len(), run.captured[0].ip_len());
    assert!(own.header_checksum_is_right());
}

#[test]
fn ipv4lua_reads_and_makes_options() {
    let run = run("ipv4lua-options", "options");
    run.passes(3, 4);
    let made = [
        "28 32 3     ",
        "7 0 0 7 6 4",
        "1 0 0 1 nil nil",
        "0 0 0 0 nil nil",
    ];
    let mut expected = vec!["28 35 2 payload", "7 0 0 7 7 5", "1 0 0 1 nil nil"];
    expected.extend(made);
    expected.extend(["28 35 2 payload", "1 0 0 1 nil nil", "0 0 0 0 nil nil"]);
    expected.extend(made);
    expected.extend([
        "invalid ipv4 header size, expected 28 bytes, got 29 bytes",
        "debug lua: closing state",
    ]);
    let text: Vec<String> = run
        .lines
        .iter()
        .filter(|line| !line.starts_with("debug grammar"))
        .map(|line| line.replace('\0', " "))
        .collect();
    assert_eq!(text, expected);
    assert!(
        run.sent
            .iter()
            .all(|packet| packet.header_checksum_is_right())
    );
}

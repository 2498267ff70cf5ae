//! Rows with exactly as many packets as in Haka's suite.

use super::harness::{Run, run, run_with};

const CLOSING: &str = "debug lua: closing state";
const FIN: u8 = 1;
const RST: u8 = 4;

fn logged_once_a_packet(rule: &str, capture: &str, packets: usize) -> Run {
    let run = run(rule, capture);
    run.passes(packets, packets);
    run.untouched();
    assert_eq!(run.logged().len(), packets);
    run
}

#[test]
fn ipv4_hook_up_and_down_rule() {
    for rule in ["ipv4-receive", "ipv4-send"] {
        let run = run(rule, "packets-22");
        run.passes(22, 22);
        run.untouched();
        assert_eq!(run.lines.len(), 22 + 1);
        assert_eq!(run.lines[22], CLOSING);
    }
}

#[test]
fn tcp_hook_up_and_down_rule() {
    for (rule, opening) in [("tcp-receive", 1), ("tcp-send", 0)] {
        let run = logged_once_a_packet(rule, "packets-39", 39);
        // One line opens the connection, before the packet's own or after it.
        assert!(run.lines[opening].starts_with("debug conn: opening connection"));
        assert_eq!(run.lines.len(), 39 + 3);
    }
}

#[test]
fn doc_workshop_hellopacket() {
    let run = run("samples/hello-packet", "hello-12");
    run.passes(12, 12);
    run.untouched();
    assert_eq!(run.count_with("info external: packet from"), 12);
    let at = run
        .lines
        .iter()
        .position(|line| line.starts_with("info external: connection"))
        .expect("the connection is told");
    assert_eq!(
        run.lines[at..at + 9],
        [
            "info external: connection from 192.168.20.1:40102 to 192.168.20.50:80",
            "alert: id = = <>",
            "\tdescription = a connection",
            "\tsources = {",
            "\t\taddress: 192.168.20.1",
            "\t}",
            "\ttargets = {",
            "\t\taddress: 192.168.20.50",
            "\t}",
        ]
    );
}

#[test]
fn doc_workshop_ipfilter() {
    let run = run("ip-filter-27", "networks-12");
    run.passes(12, 10);
    assert!(
        run.sent
            .iter()
            .all(|packet| packet.src()[..3] != [192, 168, 10] || packet.src()[3] >= 32)
    );
}

#[test]
fn doc_workshop_tcpfilter() {
    let run = run("tcp-filter-two", "services-138");
    run.passes(138, 92);
    assert_eq!(run.count_with("opening connection"), 6);
    assert_eq!(run.count_with("dropping connection"), 2);
    assert_eq!(run.count_with("<cleanup> connection"), 6);
}

#[test]
fn core_policy_ipv4() {
    let run = run("policy-ipv4", "dmz-40");
    run.passes(40, 23);
    assert_eq!(
        run.count("debug core: applying policy traffic to dmz for dmz"),
        17
    );
    assert_eq!(
        run.count("debug core: rejected policy traffic to dmz for dmz"),
        18
    );
    assert_eq!(run.count("\tdescription = forbidden traffic to dmz"), 17);
    assert_eq!(run.lines.len(), 17 * 3 + 18 + 1);
}

#[test]
fn core_payload() {
    let run = run("payload-pings", "pings-84");
    run.passes(4, 4);
    let a_packet = [
        "V= abcdefgh",
        "V= 0123456789ab0123456789ab0123456789ab0123456789abop",
        "V= 89ab0123",
        "V= opqrstuvwxyzabcd",
        "V= 44",
        "V= true",
    ];
    let mut expected = a_packet.repeat(4);
    expected.push(CLOSING);
    run.says(&expected);
    for (sent, captured) in run.sent.iter().zip(&run.captured) {
        assert_eq!((captured.ip_len(), sent.ip_len()), (84, 44));
        assert_eq!(sent.0.len(), 14 + 44);
        assert!(sent.header_checksum_is_right());
    }
}

#[test]
fn core_token_grammar() {
    let run = run("token-grammar", "words-16");
    run.passes(16, 16);
    run.untouched();
    assert_eq!(
        run.logged(),
        ["hello word", "two word", "of course", "it works"]
    );
}

#[test]
fn core_token_grammar_coroutine() {
    let run = run("token-grammar-coroutine", "headers-18");
    run.passes(18, 18);
    assert_eq!(
        run.logged(),
        [
            "hello_world= hello world",
            "header1: lol",
            "header2: bar",
            "header3: foo"
        ]
    );
}

#[test]
fn core_grammar_array_setter() {
    let run = run("grammar-array-edit", "array-10");
    run.passes(10, 10);
    run.tshark_finds_no_fault();
    let mut edited = 0;
    for (sent, captured) in run.sent.iter().zip(&run.captured) {
        if captured.tcp_data() == [0x06, 0x80, 0x1c, 0x40, 0x0b, 0x27, 0xc4] {
            assert_eq!(sent.tcp_data(), [0x06, 0x80, 0x1c, 0x27, 0xc4, 0x80, 0x05]);
            assert!(sent.transport_checksum_is_right());
            edited += 1;
        } else {
            assert_eq!(sent, captured);
        }
    }
    assert_eq!(edited, 1);
}

#[test]
fn tcp_streamread() {
    let run = run("stream-read", "read-8");
    run.passes(8, 8);
    run.untouched();
    assert_eq!(run.logged(), ["up hello", "down welcome", "up bye"]);
    run_with("stream-read", "read-8", &["--pass-through"]).passes(8, 8);
}

#[test]
fn tcp_streamdelete() {
    let run = run("stream-delete", "delete-9");
    run.passes(9, 9);
    run.tshark_finds_no_fault();
    assert_eq!(run.logged(), ["up 6"]);
    // Three bytes are gone, and later numbers are lower by as many.
    let fin = |packets: &[super::packet::Packet]| {
        let from_client = packets.iter().filter(|packet| packet.dst_port() == 8000);
        let mut fin = from_client.filter(|packet| packet.tcp_flags() & FIN != 0);
        fin.next().expect("the client ends").seq()
    };
    assert_eq!(fin(&run.sent), fin(&run.captured) - 3);
}

#[test]
fn tcp_streaminsert() {
    let edited = run("stream-insert", "insert-13");
    edited.passes(13, 13);
    edited.tshark_finds_no_fault();

    for (rule, said) in [("stream-insert", 1), ("stream-erase", 0)] {
        let refused = run_with(rule, "insert-13", &["--pass-through"]);
        refused.passes(13, 4);
        assert_eq!(refused.sent, refused.captured[..4]);
        assert_eq!(refused.logged().len(), said);
        assert_eq!(refused.count("error tcp: read only buffer"), 1);
        assert_eq!(
            refused.count("\tdescription = no connection found for tcp packet"),
            8
        );
    }
}

#[test]
fn tcp_stream_rst() {
    let run = run("stream-reset-all", "resets-38");
    run.passes(38, 41);
    assert_eq!(
        run.logged(),
        ["end 40060", "end 40061", "end 40062", "end 40063"]
    );
    let resets: Vec<_> = run
        .sent
        .iter()
        .filter(|packet| packet.tcp_flags() & RST != 0)
        .collect();
    assert_eq!(resets.len(), 8);
    // First the client, then the server, with what each expects next.
    for (pair, port) in resets.chunks(2).zip(40060..) {
        let next = |from_client: bool| {
            let own = run.sent.iter().filter(|packet| {
                let (own, other) = (packet.src_port(), packet.dst_port());
                let (client, server) = if from_client {
                    (own, other)
                } else {
                    (other, own)
                };
                (client, server) == (port, 8000) && packet.tcp_flags() & RST == 0
            });
            own.map(|packet| {
                let taken = packet.tcp_data().len() + usize::from(packet.tcp_flags() & 2 != 0);
                packet.seq().wrapping_add(taken as u32)
            })
            .max()
            .expect("it spoke")
        };
        assert_eq!((pair[0].dst_port(), pair[0].seq()), (port, next(false)));
        assert_eq!((pair[1].src_port(), pair[1].seq()), (port, next(true)));
    }
    assert_eq!(run.count_with("no connection found"), 0);
}

#[test]
fn tcp_streammodif_rst() {
    let run = run("stream-change-reset", "changed-resets-36");
    run.passes(36, 38);
    run.tshark_finds_no_fault();
}

#[test]
fn udp_connection() {
    let run = run("udp-connection", "udp-27");
    run.passes(27, 27);
    run.untouched();
    assert_eq!(run.count_with("info external: new "), 4);
    assert_eq!(run.count_with("info external: packet "), 27);
    assert_eq!(run.count_with("info external: data "), 27);
    // Two flows end by a minute of silence, two with the capture.
    let at = |line: &str| run.lines.iter().position(|one| one == line);
    let closing = at(CLOSING).expect("the run ends");
    let ends = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| line.starts_with("info external: end "))
            .count()
    };
    assert_eq!(ends(&run.lines[..closing]), 2);
    assert_eq!(ends(&run.lines[closing..]), 2);
    assert_eq!(run.count_with("debug conn: closing connection"), 2);
}

//! The traffic of the conformance tests (`tests/haka`): for each group of
//! rows of Haka's own test suite, packets with the structure that the rows
//! speak of.

use std::time::Duration;

use super::super::conversation::{Conversation, client};
use super::super::pcap::Recording;
use super::super::scenario::{Scenario, host, socket};
use super::super::wire::{self, Segment, TcpOption, flag};
use super::{Capture, haka_counts};

const CLIENT: &str = "192.168.20.1";
const SERVER: &str = "192.168.20.50";

pub type Play = fn(&mut Scenario);

const SCENARIOS: [(&str, Play); 32] = [
    ("nothing", |_| {}),
    ("mixed", mixed),
    ("basic", basic),
    ("echo", echo),
    ("echo-alone", echo_alone),
    ("ipv4-one", ipv4_one),
    ("ipv4-two", ipv4_two),
    ("ipv4-fields", ipv4_fields),
    ("ipv4-damaged", ipv4_damaged),
    ("land", land),
    ("nat", nat),
    ("fragments", fragments),
    ("fragments-covered", fragments_covered),
    ("fragments-beyond-the-last", fragments_beyond_the_last),
    ("fragments-60k", fragments_60k),
    ("fragments-missing", fragments_missing),
    ("tcp-one", tcp_one),
    ("tcp-broken-checksum", tcp_broken_checksum),
    ("tcp-damaged", tcp_damaged),
    ("ports", ports),
    ("successive", successive),
    ("interleaved", interleaved),
    ("stream", stream),
    ("words", words),
    ("headers", headers),
    ("array", array),
    ("stream-long", stream_long),
    ("reset", reset),
    ("tcp-forge", tcp_forge),
    ("udp-two", udp_two),
    ("udp-idle", udp_idle),
    ("datagrams-plain", datagrams_plain),
];

pub fn all() -> Vec<Capture> {
    SCENARIOS
        .iter()
        .chain(&haka_counts::SCENARIOS)
        .map(|(name, play)| {
            let mut scenario = Scenario::new();
            play(&mut scenario);
            capture(name, scenario.into_recording())
        })
        .collect()
}

fn capture(name: &str, recording: Recording) -> Capture {
    Capture {
        path: format!("tests/haka/captures/{name}.pcap"),
        recording,
    }
}

pub fn connection(port: u16, server_port: u16) -> Conversation {
    client(
        &format!("{CLIENT}:{port}"),
        &format!("{SERVER}:{server_port}"),
    )
}

pub fn says(c: &mut Conversation, from_client: bool, bytes: usize) {
    let text: Vec<u8> = (b'a'..=b'z').cycle().take(bytes).collect();
    if from_client {
        c.client_says(&text)
    } else {
        c.server_says(&text)
    }
}

/// A frame that is not IPv4: an ARP request.
pub fn arp(s: &mut Scenario) {
    let mut frame = vec![0xff; 6];
    frame.extend(wire::mac(host(CLIENT)));
    frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(wire::mac(host(CLIENT)));
    frame.extend([192, 168, 20, 1, 0, 0, 0, 0, 0, 0, 192, 168, 20, 50]);
    s.frame(frame);
}

/// 18 frames: 14 of IPv4 from two networks, 4 of other protocols.
fn mixed(s: &mut Scenario) {
    arp(s);
    let mut c = client("192.168.10.3:2000", "192.168.20.50:80");
    c.handshake();
    c.client_says(b"one");
    s.plays(c);
    arp(s);
    s.ping("10.2.96.1", "192.168.20.50", 1, b"ping");
    arp(s);
    let mut c = client("192.168.20.7:2001", "192.168.20.50:8080");
    c.handshake();
    c.server_says(b"two");
    s.plays(c);
    s.udp("192.168.20.7:53", "192.168.20.50:53", b"three");
    arp(s);
    s.udp("192.168.20.7:53", "192.168.20.50:53", b"four");
}

/// 40 frames: 34 of two TCP connections, a datagram, 5 that are not IPv4.
/// Each SYN and ACK of a server comes twice.
fn basic(s: &mut Scenario) {
    arp(s);
    arp(s);
    let mut first = connection(40001, 8000);
    first.handshake();
    first.server().repeats_syn_ack();
    for bytes in [15, 15, 2] {
        says(&mut first, true, bytes);
    }
    says(&mut first, false, 1086);
    first.closes();
    first.client().acks();
    s.plays(first);
    s.udp("192.168.20.1:9", "192.168.20.50:9", b"discard");
    arp(s);
    let mut second = connection(40002, 8000);
    second.handshake();
    second.server().repeats_syn_ack();
    for bytes in [16, 14, 19, 2] {
        says(&mut second, true, bytes);
    }
    second.closes();
    second.client().acks();
    s.plays(second);
    arp(s);
    arp(s);
}

fn echo(s: &mut Scenario) {
    s.ping("10.0.0.1", "10.0.0.2", 1, b"abcdefghij");
    s.ping("10.0.0.1", "10.0.0.2", 2, b"abcdefghij");
}

fn echo_alone(s: &mut Scenario) {
    let (src, dst) = (host("10.0.0.1"), host("10.0.0.2"));
    let (protocol, bytes) = wire::echo(src, dst, false, 1, b"abcd");
    s.packet(src, dst, protocol, &bytes);
}

/// A frame around an IPv4 packet whose header was changed by `change`, with
/// the right checksum.
fn with_header(s: &mut Scenario, change: impl FnOnce(&mut Vec<u8>)) {
    let (src, dst) = (host("192.168.10.1"), host("192.168.20.1"));
    let mut packet = wire::packet(src, dst, 0x1234, 20, b"sixteen bytes...");
    change(&mut packet);
    packet[10..12].fill(0);
    let words = usize::from(packet[0] & 15) * 4;
    let sum = wire::checksum(&[packet.get(..words).unwrap_or(&packet)]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    s.frame(wire::frame(src, dst, &[], &packet));
}

fn ipv4_one(s: &mut Scenario) {
    with_header(s, |_| {});
}

/// The second has a wrong checksum.
fn ipv4_two(s: &mut Scenario) {
    with_header(s, |_| {});
    let (src, dst) = (host("192.168.10.1"), host("192.168.20.1"));
    let mut packet = wire::packet(src, dst, 2, 20, b"two");
    wire::break_checksum(&mut packet, 10);
    s.frame(wire::frame(src, dst, &[], &packet));
}

/// Type of service 0x10, more fragments, offset 80 bytes.
fn ipv4_fields(s: &mut Scenario) {
    with_header(s, |packet| {
        packet[1] = 0x10;
        packet[6] = 0x20;
        packet[7] = 10;
    });
}

/// Too short, with a header of four words, and longer than what came.
fn ipv4_damaged(s: &mut Scenario) {
    let (src, dst) = (host("192.168.10.1"), host("192.168.20.1"));
    let whole = wire::packet(src, dst, 1, 20, b"payload");
    s.frame(wire::frame(src, dst, &[], &whole[..12]));
    with_header(s, |packet| packet[0] = 0x44);
    with_header(s, |packet| {
        packet[2..4].copy_from_slice(&900_u16.to_be_bytes())
    });
    with_header(s, |_| {});
}

fn land(s: &mut Scenario) {
    s.ping("192.168.10.1", "192.168.20.1", 1, b"ping");
    let (protocol, bytes) = wire::echo(
        host("192.168.20.1"),
        host("192.168.20.1"),
        false,
        1,
        b"land",
    );
    s.packet(host("192.168.20.1"), host("192.168.20.1"), protocol, &bytes);
}

/// 16 packets of one connection.
fn nat(s: &mut Scenario) {
    let mut c = connection(40003, 80);
    c.handshake();
    for _ in 0..2 {
        says(&mut c, true, 20);
        says(&mut c, false, 30);
    }
    c.closes();
    c.client().acks();
    s.plays(c);
}

/// 14 packets: three datagrams of four fragments each, two small ones.
fn fragments(s: &mut Scenario) {
    const LEN: usize = 3 * 1480 + 200;
    let (src, dst) = (host("10.0.0.1"), host("10.0.0.2"));
    let parts = [(0, 1480), (1480, 2960), (2960, 4440), (4440, LEN)];
    s.udp("10.0.0.1:7", "10.0.0.2:7", b"small");
    for _ in 0..3 {
        let data: Vec<u8> = (b'a'..=b'z').cycle().take(LEN - 8).collect();
        let datagram = wire::udp(socket("10.0.0.1:7"), socket("10.0.0.2:7"), &data);
        s.fragments(src, dst, wire::UDP, &datagram, &parts);
    }
    s.udp("10.0.0.1:7", "10.0.0.2:7", b"small");
}

fn pieces(s: &mut Scenario, parts: &[(usize, usize)], last: usize) {
    let data: Vec<u8> = (b'a'..=b'z').cycle().take(last).collect();
    s.fragments(host("10.0.0.1"), host("10.0.0.2"), 253, &data, parts);
}

/// The second fragment repeats a part of the first.
fn fragments_covered(s: &mut Scenario) {
    pieces(s, &[(0, 48), (16, 32), (48, 96)], 96);
}

/// The second of them lies behind the last one.
fn fragments_beyond_the_last(s: &mut Scenario) {
    let (src, dst) = (host("10.0.0.1"), host("10.0.0.2"));
    let data: Vec<u8> = (b'a'..=b'z').cycle().take(144).collect();
    for (from, to, more) in [(48, 96, false), (96, 144, true), (0, 48, true)] {
        let packet = wire::fragment((src, dst), 9, 253, &data[from..to], from as u16, more);
        s.frame(wire::frame(src, dst, &[], &packet));
    }
}

fn fragments_60k(s: &mut Scenario) {
    const LEN: usize = 60_008;
    let parts: Vec<_> = (0..LEN)
        .step_by(1480)
        .map(|from| (from, (from + 1480).min(LEN)))
        .collect();
    pieces(s, &parts, LEN);
}

fn fragments_missing(s: &mut Scenario) {
    pieces(s, &[(0, 48), (96, 120)], 120);
}

/// A segment with options, data and odd flags.
fn segment() -> Segment {
    Segment {
        seq: 3_000_000_000,
        ack: 0x8000_0001,
        flags: flag::PSH | flag::ACK | flag::URG,
        window: 1024,
        options: vec![TcpOption::Timestamps(1, 2)],
        payload: b"data".to_vec(),
    }
}

fn tcp_one(s: &mut Scenario) {
    let (src, dst) = (socket("192.168.10.1:40000"), socket("192.168.20.1:80"));
    s.packet(
        src.ip(),
        dst.ip(),
        wire::TCP,
        &wire::tcp(src, dst, &segment()),
    );
}

fn tcp_broken_checksum(s: &mut Scenario) {
    let (src, dst) = (socket("192.168.10.1:40000"), socket("192.168.20.1:80"));
    let mut bytes = wire::tcp(src, dst, &segment());
    wire::break_checksum(&mut bytes, 16);
    s.packet(src.ip(), dst.ip(), wire::TCP, &bytes);
}

/// A header cut short, and one whose length field is too small.
fn tcp_damaged(s: &mut Scenario) {
    let (src, dst) = (socket("192.168.10.1:40000"), socket("192.168.20.1:80"));
    let mut bytes = wire::tcp(src, dst, &segment());
    s.packet(src.ip(), dst.ip(), wire::TCP, &bytes[..12]);
    bytes[12] = 0x40;
    s.packet(src.ip(), dst.ip(), wire::TCP, &bytes);
}

/// 20 packets: 12 of a connection to port 80, 8 of attempts on port 22.
fn ports(s: &mut Scenario) {
    let mut web = connection(40010, 80);
    web.handshake();
    says(&mut web, true, 5);
    says(&mut web, false, 5);
    web.closes();
    web.client().acks();
    s.plays(web);
    let mut shell = connection(40011, 22);
    shell.handshake();
    says(&mut shell, true, 5);
    shell.client().fin();
    shell.client().acks();
    s.plays(shell);
}

/// 53 packets of three connections, one after another; one packet has 1,688
/// bytes.
fn successive(s: &mut Scenario) {
    for (port, lines) in [(40020, 5), (40021, 5), (40022, 5)] {
        let mut c = connection(port, 80).with_mss(1634);
        c.handshake();
        for line in 0..lines {
            says(&mut c, line % 2 == 0, 10);
        }
        if port == 40021 {
            says(&mut c, false, 1634);
        }
        c.closes();
        s.plays(c);
    }
}

/// 44 packets of three connections at the same time; four SYN and ACK come
/// again.
fn interleaved(s: &mut Scenario) {
    let conversations = [1, 1, 2].into_iter().enumerate().map(|(index, repeated)| {
        let mut c = connection(40030 + index as u16, 80);
        c.handshake();
        for _ in 0..repeated {
            c.server().repeats_syn_ack();
        }
        says(&mut c, true, 10);
        says(&mut c, false, 10);
        c.closes();
        if index == 0 {
            says_nothing(&mut c, 7);
        }
        c
    });
    s.plays_together(conversations);
}

fn says_nothing(c: &mut Conversation, times: usize) {
    for _ in 0..times {
        c.client().acks();
    }
}

/// 13 packets: three lines up, one down.
fn stream(s: &mut Scenario) {
    let mut c = connection(40040, 8000);
    c.handshake();
    c.client_says(b"hello\n");
    c.client_says(b"to all\n");
    c.server_says(b"welcome\n");
    c.closes();
    s.plays(c);
}

/// Pairs of words, one pair a segment.
fn words(s: &mut Scenario) {
    let mut c = connection(40042, 8000);
    c.handshake();
    c.client_says(b"hello word");
    c.client_says(b"two word");
    c.server_says(b"of course");
    c.client_says(b"it works");
    c.closes();
    s.plays(c);
}

/// A line and headers, cut where it hurts.
fn headers(s: &mut Scenario) {
    let mut c = connection(40043, 8000);
    c.handshake();
    for part in [
        "hel",
        "lo wor",
        "ld\r",
        "\nheader1: lol\r\nhea",
        "der2: bar\r\nheader3: fo",
        "o\r\n\r\n",
    ] {
        c.client_says(part.as_bytes());
    }
    c.closes();
    s.plays(c);
}

/// A length and pairs of bits, to be edited.
fn array(s: &mut Scenario) {
    let mut c = connection(40044, 8000);
    c.handshake();
    c.client_says(&[0x06, 0x80, 0x1c, 0x40, 0x0b, 0x27, 0xc4]);
    c.server_says(b"fine");
    c.closes();
    s.plays(c);
}

/// A connection that is silent for more than a minute after its end.
fn stream_long(s: &mut Scenario) {
    let mut c = connection(40041, 8000);
    c.handshake();
    c.client_says(b"hello\n");
    c.closes();
    c.waits(Duration::from_secs(90));
    c.client().acks();
    s.plays(c);
}

/// 38 packets: two connections, of which rules reset the second.
fn reset(s: &mut Scenario) {
    for port in [40050, 40051] {
        let mut c = connection(port, 8000);
        c.handshake();
        c.client_says(b"login\n");
        c.server_says(b"name?\n");
        if port == 40051 {
            c.client_says(b"attack\n");
        } else {
            c.client_says(b"alice\n");
        }
        c.server_says(b"welcome\n");
        c.client_says(b"bye\n");
        c.server_says(b"goodbye\n");
        c.closes();
        s.plays(c);
    }
}

fn tcp_forge(s: &mut Scenario) {
    let mut c = client("192.168.20.1:4000", "192.168.20.50:8000");
    c.handshake();
    c.client_says(b"hello");
    c.client().fin();
    c.server().rst();
    s.plays(c);
}

/// The second with an empty payload.
fn udp_two(s: &mut Scenario) {
    s.udp("192.168.10.1:1000", "192.168.20.1:2000", b"abcdefgh");
    s.udp("192.168.20.1:2000", "192.168.10.1:1000", b"");
}

fn datagrams_plain(s: &mut Scenario) {
    for text in ["one", "two", "three"] {
        s.udp("192.168.10.1:1000", "192.168.20.1:2000", text.as_bytes());
        s.udp("192.168.20.1:2000", "192.168.10.1:1000", text.as_bytes());
    }
}

/// Two flows; the first is silent for more than a minute, then goes on.
fn udp_idle(s: &mut Scenario) {
    s.udp("192.168.10.1:1000", "192.168.20.1:2000", b"one");
    s.udp("192.168.20.1:2000", "192.168.10.1:1000", b"two");
    s.waits(Duration::from_secs(50));
    s.udp("192.168.10.1:1001", "192.168.20.1:2000", b"three");
    s.waits(Duration::from_secs(20));
    s.udp("192.168.20.1:2000", "192.168.10.1:1001", b"four");
    s.udp("192.168.10.1:1000", "192.168.20.1:2000", b"five");
}

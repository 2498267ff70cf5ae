//! More traffic of the conformance tests: captures with exactly as many
//! packets as the rows of Haka's suite have, and as many that rules refuse.

use std::time::Duration;

use super::super::conversation::{Conversation, client};
use super::super::scenario::{Scenario, host};
use super::super::wire;
use super::haka::{Play, arp, connection, says};

pub const SCENARIOS: [(&str, Play); 21] = [
    ("packets-22", packets_22),
    ("packets-39", packets_39),
    ("hello-12", hello_12),
    ("networks-12", networks_12),
    ("services-138", services_138),
    ("dmz-40", dmz_40),
    ("pings-84", pings_84),
    ("words-16", words_16),
    ("headers-18", headers_18),
    ("array-10", array_10),
    ("read-8", read_8),
    ("delete-9", delete_9),
    ("insert-13", insert_13),
    ("resets-38", resets_38),
    ("changed-resets-36", changed_resets_36),
    ("udp-27", udp_27),
    ("options", options),
    ("started-18", started_18),
    ("groups-16", groups_16),
    ("attacks", attacks),
    ("smtp-48", smtp_48),
];

/// One connection of 22 packets.
fn packets_22(s: &mut Scenario) {
    let mut c = connection(40100, 80);
    c.handshake();
    for turn in 0..6 {
        says(&mut c, turn % 2 == 0, 20);
    }
    c.closes();
    acks(&mut c, 3);
    s.plays(c);
}

/// One connection of 39 packets.
fn packets_39(s: &mut Scenario) {
    let mut c = connection(40101, 80);
    c.handshake();
    for turn in 0..16 {
        says(&mut c, turn % 2 == 0, 30);
    }
    c.closes();
    s.plays(c);
}

fn acks(c: &mut Conversation, times: usize) {
    for _ in 0..times {
        c.client().acks();
    }
}

/// 12 packets: a ping and a connection.
fn hello_12(s: &mut Scenario) {
    s.ping("192.168.20.1", "192.168.20.50", 1, b"ping");
    let mut c = connection(40102, 80);
    c.handshake();
    says(&mut c, true, 10);
    c.closes();
    acks(&mut c, 1);
    s.plays(c);
}

/// 12 packets, of which two come from 192.168.10.0/27.
fn networks_12(s: &mut Scenario) {
    let mut c = connection(40103, 80);
    c.handshake();
    says(&mut c, true, 10);
    c.closes();
    s.plays(c);
    s.udp("192.168.10.5:9", "192.168.20.50:9", b"refused");
    s.udp("192.168.10.40:9", "192.168.20.50:9", b"beyond the network");
    s.udp("192.168.10.30:9", "192.168.20.50:9", b"refused");
}

/// 138 packets, of which 92 are those of connections to ports 80 and 22.
fn services_138(s: &mut Scenario) {
    for (port, service) in [
        (40110, 80),
        (40111, 22),
        (40112, 8080),
        (40113, 22),
        (40114, 80),
        (40115, 443),
    ] {
        let mut c = connection(port, service);
        c.handshake();
        for turn in 0..8 {
            says(&mut c, turn % 2 == 0, 25);
        }
        c.closes();
        s.plays(c);
    }
}

/// 35 datagrams and 5 other frames: 17 of them go to 192.168.20.50 from
/// 192.168.20.1, 18 the other way.
fn dmz_40(s: &mut Scenario) {
    for number in 0..17 {
        if number % 4 == 0 {
            arp(s);
        }
        s.udp("192.168.20.1:1000", "192.168.20.50:2000", b"in");
        s.udp("192.168.20.50:2000", "192.168.20.1:1000", b"out");
    }
    s.udp("192.168.20.50:2000", "192.168.20.1:1000", b"out");
}

/// Two pings and their answers, 84 bytes each.
fn pings_84(s: &mut Scenario) {
    let text: Vec<u8> = (b'a'..=b'z').cycle().take(56).collect();
    s.ping("10.0.0.1", "10.0.0.2", 1, &text);
    s.ping("10.0.0.1", "10.0.0.2", 2, &text);
}

/// Pairs of words, one pair a segment.
fn words_16(s: &mut Scenario) {
    let mut c = connection(40042, 8000);
    c.handshake();
    c.client_says(b"hello word");
    c.client_says(b"two word");
    c.server_says(b"of course");
    c.client_says(b"it works");
    c.closes();
    acks(&mut c, 1);
    s.plays(c);
}

/// A line and headers, cut where it hurts.
fn headers_18(s: &mut Scenario) {
    let mut c = connection(40043, 8000);
    c.handshake();
    for part in [
        "hel",
        "lo wor",
        "ld\r\n",
        "header1: lol\r\nheader2: b",
        "ar\r\nheader3: foo\r\n\r\n",
    ] {
        c.client_says(part.as_bytes());
    }
    c.closes();
    acks(&mut c, 1);
    s.plays(c);
}

/// A length and three pairs of bytes, to be edited.
fn array_10(s: &mut Scenario) {
    let mut c = connection(40044, 8000);
    c.handshake();
    c.client_says(&[0x06, 0x80, 0x1c, 0x40, 0x0b, 0x27, 0xc4]);
    c.server().sends(b"fine");
    c.closes();
    s.plays(c);
}

fn read_8(s: &mut Scenario) {
    let mut c = connection(40045, 8000);
    c.handshake();
    c.client_says(b"hello\n");
    c.server_says(b"welcome\n");
    c.client().sends(b"bye\n");
    s.plays(c);
}

fn delete_9(s: &mut Scenario) {
    let mut c = connection(40046, 8000);
    c.handshake();
    c.client_says(b"hello\n");
    c.closes();
    s.plays(c);
}

/// The first data is the fifth packet.
fn insert_13(s: &mut Scenario) {
    let mut c = connection(40047, 8000);
    c.handshake();
    acks(&mut c, 1);
    c.client_says(b"hello\n");
    c.server_says(b"welcome\n");
    c.closes();
    acks(&mut c, 1);
    s.plays(c);
}

/// 38 packets of four connections, each of which rules reset at its last
/// data; one more packet comes after that.
fn resets_38(s: &mut Scenario) {
    for (port, lines, early, late) in [
        (40060, 3, 0, 1),
        (40061, 3, 0, 0),
        (40062, 2, 1, 0),
        (40063, 2, 0, 0),
    ] {
        let mut c = connection(port, 8000);
        c.handshake();
        for turn in 0..lines {
            says(&mut c, turn % 2 == 0, 8);
        }
        acks(&mut c, early);
        c.client().sends(b"attack\n");
        acks(&mut c, late);
        s.plays(c);
    }
}

/// 36 packets of two connections, changed until they are reset.
fn changed_resets_36(s: &mut Scenario) {
    for port in [40064, 40065] {
        let mut c = connection(port, 8000);
        c.handshake();
        for turn in 0..7 {
            if turn % 2 == 0 {
                c.client_says(b"login\n");
            } else {
                c.server_says(b"name?\n");
            }
        }
        c.client().sends(b"attack\n");
        s.plays(c);
    }
}

/// 27 datagrams of three flows; after a minute of silence the first goes on.
fn udp_27(s: &mut Scenario) {
    const SERVER: &str = "192.168.20.1:2000";
    for number in 0..12 {
        let client = ["192.168.10.1:1000", "192.168.10.1:1001"][number % 2];
        s.udp(client, SERVER, b"question");
        s.udp(SERVER, client, b"answer");
    }
    s.waits(Duration::from_secs(61));
    s.udp("192.168.10.1:1002", SERVER, b"question");
    s.udp(SERVER, "192.168.10.1:1002", b"answer");
    s.udp("192.168.10.1:1000", SERVER, b"question");
}

/// IPv4 headers with options: a record route and a no-operation; a list that
/// ends early; an option that does not fit.
fn options(s: &mut Scenario) {
    let (src, dst) = (host("192.168.10.1"), host("192.168.20.1"));
    let lists: [&[u8]; 3] = [
        &[7, 7, 4, 0, 0, 0, 0, 1],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[7, 9, 4, 0, 0, 0, 0, 1],
    ];
    for list in lists {
        let mut packet = wire::packet(src, dst, 0x1234, 20, b"payload");
        packet.splice(20..20, list.iter().copied());
        packet[0] = 0x47;
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet[10..12].fill(0);
        let sum = wire::checksum(&[&packet[..28]]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        s.frame(wire::frame(src, dst, &[], &packet));
    }
}

/// 18 packets: a connection to the server, pings, and four segments with
/// wrong checksums.
fn started_18(s: &mut Scenario) {
    let mut c = client("192.168.20.5:40120", "192.168.20.1:80");
    c.handshake();
    says(&mut c, true, 10);
    c.closes();
    acks(&mut c, 1);
    s.plays(c);
    s.ping("192.168.20.5", "192.168.20.1", 1, b"ping");
    s.ping("192.168.20.5", "192.168.20.1", 2, b"ping");
    for number in 0..4 {
        let (src, dst) = ("192.168.20.5:40121", "192.168.20.1:80");
        let segment = wire::Segment {
            seq: number,
            ack: 0,
            flags: wire::flag::SYN,
            window: 1024,
            options: Vec::new(),
            payload: Vec::new(),
        };
        let (src, dst) = (
            super::super::scenario::socket(src),
            super::super::scenario::socket(dst),
        );
        let mut bytes = wire::tcp(src, dst, &segment);
        wire::break_checksum(&mut bytes, 16);
        s.packet(src.ip(), dst.ip(), wire::TCP, &bytes);
    }
}

/// 16 packets: 12 of a connection to port 80, four SYN to port 8080.
fn groups_16(s: &mut Scenario) {
    let mut c = connection(40130, 80);
    c.handshake();
    says(&mut c, true, 10);
    says(&mut c, false, 10);
    c.closes();
    acks(&mut c, 1);
    s.plays(c);
    for _ in 0..4 {
        s.probe("192.168.20.1:40131", "192.168.20.50:8080", wire::flag::SYN);
    }
}

/// What the set of rules is for: packets from a host to itself and with
/// wrong checksums, a Xmas scan, connections that are and are not allowed,
/// and a shell code.
fn attacks(s: &mut Scenario) {
    let own = host("192.168.20.1");
    let (protocol, bytes) = wire::echo(own, own, false, 1, b"land");
    s.packet(own, own, protocol, &bytes);
    let mut packet = wire::packet(host("192.168.10.1"), own, 2, 20, b"two");
    wire::break_checksum(&mut packet, 10);
    s.frame(wire::frame(host("192.168.10.1"), own, &[], &packet));
    s.ping("192.168.10.10", "192.168.20.1", 1, b"ping");
    let scan = wire::flag::FIN | wire::flag::PSH | wire::flag::URG;
    s.probe("192.168.10.10:40140", "192.168.20.1:22", scan);
    for (port, service) in [(40141, 80), (40142, 22), (40143, 23)] {
        let mut c = client(
            &format!("192.168.10.10:{port}"),
            &format!("192.168.20.1:{service}"),
        );
        c.handshake();
        says(&mut c, true, 20);
        c.closes();
        s.plays(c);
    }
    let mut c = client("192.168.10.10:40144", "192.168.20.1:80");
    c.handshake();
    c.client_says(b"GET /\xeb\x1f\x5e\x89");
    c.client().sends(b"\x76\x08\x31\xc0 HTTP/1.0\r\n");
    c.server().fin();
    s.plays(c);
}

/// A mail of 48 packets, nothing pipelined.
fn smtp_48(s: &mut Scenario) {
    let mut c = client("192.168.20.1:40150", "192.168.20.50:25");
    c.handshake();
    c.server_says(b"220 mail.example.com ready\r\n");
    for (command, response) in [
        (
            "EHLO alice.example\r\n",
            "250-mail.example.com\r\n250-8BITMIME\r\n250 SIZE\r\n",
        ),
        (
            "MAIL FROM:<alice@suspicious.example>\r\n",
            "250 sender ok\r\n",
        ),
        ("RCPT TO:<bob@example.com>\r\n", "250 recipient ok\r\n"),
        ("DATA\r\n", "354 go on\r\n"),
    ] {
        c.client_says(command.as_bytes());
        c.server_says(response.as_bytes());
    }
    for line in [
        "Subject: hello\r\n\r\n",
        "first line\r\nsecond ",
        "line\r\n.",
        "\r\n",
    ] {
        c.client_says(line.as_bytes());
    }
    c.server_says(b"250 accepted\r\n");
    c.client_says(b"NOOP\r\n");
    c.server_says(b"250 still there\r\n");
    c.client_says(b"QUIT\r\n");
    c.server_says(b"221 bye\r\n");
    c.closes();
    acks(&mut c, 5);
    s.plays(c);
}

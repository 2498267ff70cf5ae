//! The traffic of `sample/`: one function per folder there.
//!
//! Addresses: clients 10.1.0.0/16 and 2001:db8:1::/48, servers 10.2.0.0/16 and
//! 2001:db8:2::/48, strangers 203.0.113.0/24 and 2001:db8:bad::/48.

use super::super::conversation::{Conversation, client};
use super::super::scenario::Scenario;
use super::super::wire::flag::{FIN, PSH, SYN, URG};
use super::Capture;

type Play = fn(&mut Scenario);

const SAMPLES: [(&str, Play); 12] = [
    ("hello-packet", hello_packet),
    ("ip-filter", ip_filter),
    ("port-filter", port_filter),
    ("group-filter", group_filter),
    ("scan-alerts", scan_alerts),
    ("shellcode", shellcode),
    ("stream-rewrite", stream_rewrite),
    ("reset", reset),
    ("new-connection-firewall", new_connection_firewall),
    // Two servers of each family, two services.
    ("interactive", port_filter),
    ("smtp-dissector", smtp_dissector),
    ("records", records),
];

pub fn all() -> Vec<Capture> {
    SAMPLES
        .iter()
        .map(|(name, play)| {
            let mut scenario = Scenario::new();
            play(&mut scenario);
            Capture {
                path: format!("sample/{name}/input.pcap"),
                recording: scenario.into_recording(),
            }
        })
        .collect()
}

fn hello_packet(s: &mut Scenario) {
    s.ping("10.1.0.7", "10.2.0.80", 1, b"are you there?");
    s.plays(web_visit("10.1.0.7:40312", "10.2.0.80:80"));
    s.ping("2001:db8:1::7", "2001:db8:2::80", 1, b"are you there?");
    s.plays(web_visit("[2001:db8:1::7]:40313", "[2001:db8:2::80]:80"));
    s.udp("10.1.0.7:5300", "10.2.0.53:7000", b"a datagram");
}

/// One good and one forbidden visitor of each family.
fn ip_filter(s: &mut Scenario) {
    s.plays(web_visit("10.1.0.7:40312", "10.2.0.80:80"));
    s.plays(unanswered("203.0.113.66:41000", "10.2.0.80:80"));
    s.plays(web_visit("[2001:db8:1::7]:40313", "[2001:db8:2::80]:80"));
    s.plays(unanswered(
        "[2001:db8:bad::66]:41001",
        "[2001:db8:2::80]:80",
    ));
    s.udp(
        "[2001:db8:bad::66]:5300",
        "[2001:db8:2::80]:7000",
        b"let me in",
    );
}

fn port_filter(s: &mut Scenario) {
    s.plays(web_visit("10.1.0.7:40312", "10.2.0.80:80"));
    s.plays(telnet("10.1.0.7:40313", "10.2.0.80:23"));
    s.plays(web_visit("[2001:db8:1::7]:40314", "[2001:db8:2::80]:80"));
    s.plays(telnet("[2001:db8:1::7]:40315", "[2001:db8:2::80]:23"));
}

fn group_filter(s: &mut Scenario) {
    s.plays(web_visit("10.1.0.7:40312", "10.2.0.80:80"));
    s.plays(remote_shell("10.1.0.7:40313", "10.2.0.80:22"));
    s.plays(telnet("10.1.0.7:40314", "10.2.0.80:23"));
    s.plays(remote_shell("[2001:db8:1::7]:40315", "[2001:db8:2::80]:22"));
    s.plays(telnet("[2001:db8:1::7]:40316", "[2001:db8:2::80]:8081"));
}

fn scan_alerts(s: &mut Scenario) {
    s.plays(web_visit("10.1.0.7:40312", "10.2.0.80:80"));
    s.probe("203.0.113.66:50000", "10.2.0.80:22", FIN | PSH | URG);
    s.probe(
        "[2001:db8:bad::66]:50000",
        "[2001:db8:2::80]:22",
        FIN | PSH | URG,
    );
    s.probe("10.2.0.80:139", "10.2.0.80:139", SYN);
    s.probe("[2001:db8:2::80]:139", "[2001:db8:2::80]:139", SYN);
    for port in 20..=30 {
        s.probe("203.0.113.66:50001", &format!("10.2.0.80:{port}"), SYN);
    }
    for port in 20..=30 {
        s.probe(
            "[2001:db8:bad::66]:50001",
            &format!("[2001:db8:2::80]:{port}"),
            SYN,
        );
    }
}

fn shellcode(s: &mut Scenario) {
    s.plays(web_visit("10.1.0.7:40312", "10.2.0.80:80"));
    machine_code(s);
}

/// A sled and the beginning of a well-known payload, cut over segments in the
/// middle of what a rule looks for. The payload does nothing: its end is
/// missing.
pub(super) fn machine_code(s: &mut Scenario) {
    const PUSH_BIN_SH: [u8; 13] = *b"\x31\xc0\x50\x68//sh\x68/bin";
    for (from, to) in [
        ("203.0.113.66:41000", "10.2.0.21:21"),
        ("[2001:db8:bad::66]:41000", "[2001:db8:2::21]:21"),
    ] {
        let mut sled = client(from, to);
        sled.handshake();
        sled.server_says(b"220 ready\r\n");
        sled.client_says(b"USER ");
        for _ in 0..5 {
            sled.client_says(&[0x90; 8]);
        }
        sled.client().rst();
        s.plays(sled);

        let mut payload = client(&next_port(from), to);
        payload.handshake();
        payload.server_says(b"220 ready\r\n");
        payload.client_says(b"USER abc");
        payload.client_says(&PUSH_BIN_SH[..6]);
        payload.client_says(&PUSH_BIN_SH[6..]);
        payload.client_says(b"\r\n");
        payload.client().rst();
        s.plays(payload);
    }
}

/// A mail server that tells its version and a client that tells its name,
/// with a lost line to make the answer harder.
fn stream_rewrite(s: &mut Scenario) {
    for (from, to) in [
        ("10.1.0.7:40312", "10.2.0.25:25"),
        ("[2001:db8:1::7]:40312", "[2001:db8:2::25]:25"),
    ] {
        let mut c = client(from, to).with_sack().with_timestamps();
        c.handshake();
        c.server_says(b"220 mail.example.com ESMTP Postfix 3.4.9\r\n");
        c.client_says(b"EHLO alices-laptop.internal.example\r\n");
        c.server().loses(b"250-mail.example.com\r\n");
        c.server().says(b"250-VRFY\r\n");
        c.server().says(b"250 8BITMIME\r\n");
        c.server().retransmits();
        c.client_says(b"QUIT\r\n");
        c.server_says(b"221 bye\r\n");
        c.closes();
        s.plays(c);
    }
}

/// One conversation that is reset at both ends, one at the server only, one
/// that is left alone, in each family.
fn reset(s: &mut Scenario) {
    for (from, to) in [
        ("10.1.0.7:40312", "10.2.0.80:7000"),
        ("[2001:db8:1::7]:40312", "[2001:db8:2::80]:7000"),
    ] {
        let mut port = from.to_owned();
        for line in ["read budget-secret\n", "flood\n", "read news\n"] {
            let mut c = client(&port, to);
            c.handshake();
            c.server_says(b"ready\n");
            c.client_says(line.as_bytes());
            c.server_says(b"here it is\n");
            c.closes();
            s.plays(c);
            port = next_port(&port);
        }
    }
}

fn new_connection_firewall(s: &mut Scenario) {
    s.plays(web_visit("10.1.0.7:40312", "10.2.0.80:80"));
    s.plays(remote_shell("10.1.0.7:40313", "10.2.0.80:22"));
    s.plays(remote_shell("10.1.9.9:40314", "10.2.0.80:22"));
    s.plays(telnet("203.0.113.66:41000", "10.2.0.80:23"));
    s.plays(web_visit("[2001:db8:1::7]:40315", "[2001:db8:2::80]:80"));
    s.plays(telnet("[2001:db8:bad::66]:41001", "[2001:db8:2::80]:23"));
    s.udp("10.1.0.7:5300", "10.2.0.53:7000", b"not of interest here");
}

pub(super) fn web_visit(from: &str, to: &str) -> Conversation {
    let mut c = client(from, to)
        .with_sack()
        .with_timestamps()
        .with_window_scale(7);
    c.handshake();
    c.client_says(b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    c.server_says(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n");
    c.closes();
    c
}

pub(super) fn remote_shell(from: &str, to: &str) -> Conversation {
    let mut c = client(from, to);
    c.handshake();
    c.server_says(b"SSH-2.0-OpenSSH_9.9\r\n");
    c.client_says(b"SSH-2.0-example\r\n");
    c.closes();
    c
}

pub(super) fn telnet(from: &str, to: &str) -> Conversation {
    let mut c = client(from, to);
    c.handshake();
    c.server_says(b"login: ");
    c.client_says(b"root\r\n");
    c.closes();
    c
}

/// Someone who is never answered, and tries again.
fn unanswered(from: &str, to: &str) -> Conversation {
    let mut c = client(from, to);
    c.syn();
    c.syn();
    c
}

/// The same host, one port further.
fn next_port(endpoint: &str) -> String {
    let (host, port) = endpoint
        .rsplit_once(':')
        .expect("endpoints are ADDRESS:PORT");
    let port: u16 = port.parse().expect("ports are numbers");
    format!("{host}:{}", port + 1)
}

/// A good mail and one that advertises, each over one family. Commands are
/// pipelined, and what ends a mail is cut over segments.
fn smtp_dissector(s: &mut Scenario) {
    let mails: [(&str, &str, &[&[u8]]); 2] = [
        (
            "10.1.0.7:40312",
            "10.2.0.25:25",
            &[
                b"Subject: lunch\r\n\r\nAt noon?\r\n..as ever",
                b"\r\n.",
                b"\r\n",
            ],
        ),
        (
            "[2001:db8:1::66]:40313",
            "[2001:db8:2::25]:25",
            &[
                b"Subject: hello\r\n\r\nGet fr",
                b"ee  money now",
                b"\r\n.\r\n",
            ],
        ),
    ];
    for (from, to, mail) in mails {
        let mut c = client(from, to);
        c.handshake();
        c.server_says(b"220 mail.example.com ESMTP\r\n");
        c.client_says(b"EHLO alice.example\r\n");
        c.server_says(b"250-mail.example.com\r\n250-PIPELINING\r\n");
        c.server_says(b"250 8BITMIME\r\n");
        c.client_says(b"MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@exam");
        c.client_says(b"ple.com>\r\nDATA\r\n");
        c.server_says(b"250 ok\r\n250 ok\r\n354 go ahead\r\n");
        for part in mail {
            c.client_says(part);
        }
        c.server_says(b"250 queued\r\n");
        c.client_says(b"QUIT\r\n");
        c.server_says(b"221 bye\r\n");
        c.closes();
        s.plays(c);
    }
}

/// Records of a length in two bytes, a kind, and a body, several in a segment
/// and cut over segments.
fn records(s: &mut Scenario) {
    for (from, to) in [
        ("10.1.0.7:40312", "10.2.0.80:7070"),
        ("[2001:db8:1::7]:40312", "[2001:db8:2::80]:7070"),
    ] {
        let mut c = client(from, to);
        c.handshake();
        c.client_says(b"\x00\x05\x01alice\x00\x06\x02sec");
        c.client_says(b"ret\x00");
        c.client_says(b"\x04\x03ping");
        c.server_says(b"\x00\x04\x03pong");
        c.server_says(b"\x00\x00\x04");
        c.closes();
        s.plays(c);
    }
}

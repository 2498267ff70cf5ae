//! The traffic of `sample/tls-*`: visits over TLS and QUIC, what fires a
//! sample's rule in one capture, what does not in another.
//!
//! Addresses are those of [`super::samples`].

use super::super::conversation::{Conversation, client};
use super::super::hello::{
    Hello, alert, application_data, old_client, quic_initials, record, server_hello,
};
use super::super::scenario::Scenario;
use super::Capture;

type Play = fn(&mut Scenario);

const SAMPLES: [(&str, Play); 4] = [
    ("tls-block-list", block_list),
    ("tls-block-list/rule", allowed_names),
    ("tls-old-versions", old_versions),
    ("tls-old-versions/rule", new_versions),
];

/// A client and a server of each family.
const ENDS: [(&str, &str); 2] = [
    ("10.1.0.7", "10.2.0.80:443"),
    ("[2001:db8:1::7]", "[2001:db8:2::80]:443"),
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

/// A handshake of TLS 1.3 with the hello in these segments.
fn visit(from: &str, to: &str, segments: &[&[u8]]) -> Conversation {
    let mut c = client(from, to).with_sack().with_timestamps();
    c.handshake();
    for segment in segments {
        c.client_says(segment);
    }
    c.server_says(&server_hello(0x0303, Some(0x0304), 0x1301));
    c.server_says(&application_data(900));
    c.client_says(&application_data(60));
    c.closes();
    c
}

/// Names that are listed, names below them, a client known by its JA4; in one
/// segment and cut in the middle of the name, over one record and several,
/// over TCP and QUIC.
fn block_list(s: &mut Scenario) {
    for (from, to) in ENDS {
        let at = |port: u16| format!("{from}:{port}");
        let plain = Hello::named("www.example.com").record();
        s.plays(visit(&at(40312), to, &[&plain]));

        let listed = Hello::named("tracker.example").record();
        s.plays(visit(&at(40313), to, &[&listed]));
        let below = Hello::named("eu.Tracker.example").record();
        let middle = below.len() / 2;
        s.plays(visit(&at(40314), to, &[&below[..middle], &below[middle..]]));
        s.plays(visit(
            &at(40315),
            to,
            &[&in_records(&Hello::named("tracker.example"), 40)],
        ));
        let other_port = format!("{}:7443", host_of(to));
        s.plays(visit(&at(40316), &other_port, &[&listed]));

        let tool = Hello {
            name: Some("api.example.com"),
            versions: &[],
            protocols: &[],
            ciphers: &[0xc02f, 0x009c, 0x002f],
            ..Hello::default()
        };
        s.plays(visit(&at(40317), to, &[&tool.record()]));

        asks_over_quic(s, &at(50000), to, &Hello::named("www.example.com"));
        asks_over_quic(s, &at(50001), to, &Hello::named("tracker.example"));
        let long = Hello {
            padding: 1400,
            ..Hello::named("eu.tracker.example")
        };
        asks_over_quic(s, &at(50002), to, &long);
    }
}

/// Names that only look like listed ones, no name at all, no TLS.
fn allowed_names(s: &mut Scenario) {
    for (from, to) in ENDS {
        let at = |port: u16| format!("{from}:{port}");
        let alike = Hello::named("nottracker.example").record();
        s.plays(visit(&at(40312), to, &[&alike]));
        let nameless = Hello {
            name: None,
            ..Hello::default()
        };
        s.plays(visit(&at(40313), to, &[&in_records(&nameless, 17)]));
        let mut c = client(&at(40314), to);
        c.handshake();
        c.client_says(b"GET / HTTP/1.1\r\nHost: tracker.example\r\n\r\n");
        c.server_says(&alert(10));
        c.closes();
        s.plays(c);
        let long = Hello {
            padding: 1400,
            ..Hello::default()
        };
        asks_over_quic(s, &at(50000), to, &long);
        s.udp(&at(50001), to, b"\xc0no packet of any version");
    }
}

/// Clients that offer nothing new, and a server that takes an old version of
/// those offered.
fn old_versions(s: &mut Scenario) {
    for (from, to) in ENDS {
        let at = |port: u16| format!("{from}:{port}");
        s.plays(visit(&at(40312), to, &[&Hello::default().record()]));
        for (port, version) in [(40313, 0x0300), (40314, 0x0301), (40315, 0x0302)] {
            let mut c = client(&at(port), to);
            c.handshake();
            c.client_says(&old_client(version).record());
            c.server_says(&server_hello(version, None, 0x002f));
            c.client_says(&application_data(60));
            c.closes();
            s.plays(c);
        }
        let mut c = client(&at(40316), to);
        c.handshake();
        c.client_says(&ssl2_hello());
        c.server_says(&server_hello(0x0301, None, 0x002f));
        c.closes();
        s.plays(c);
        let mut c = client(&at(40317), to);
        c.handshake();
        c.client_says(&Hello::default().record());
        c.server_says(&server_hello(0x0301, None, 0x002f));
        c.client_says(&application_data(60));
        c.closes();
        s.plays(c);
    }
}

/// TLS 1.2 and 1.3, and a server that refuses for a reason of its own.
fn new_versions(s: &mut Scenario) {
    for (from, to) in ENDS {
        let at = |port: u16| format!("{from}:{port}");
        s.plays(visit(&at(40312), to, &[&Hello::default().record()]));
        let mut c = client(&at(40313), to);
        c.handshake();
        c.client_says(&old_client(0x0303).record());
        c.server_says(&server_hello(0x0303, None, 0x002f));
        c.client_says(&application_data(60));
        c.closes();
        s.plays(c);
        let mut c = client(&at(40314), to);
        c.handshake();
        c.client_says(&Hello::default().record());
        c.server_says(&alert(40));
        c.closes();
        s.plays(c);
    }
}

/// The hello in datagrams of a connection of its own.
fn asks_over_quic(s: &mut Scenario, from: &str, to: &str, hello: &Hello) {
    let id = &from.as_bytes()[from.len() - 8..];
    for datagram in quic_initials(hello, id, 1000) {
        s.udp(from, to, &datagram);
    }
}

/// The hello over records of so many bytes.
fn in_records(hello: &Hello, bytes: usize) -> Vec<u8> {
    let message = hello.message();
    message
        .chunks(bytes)
        .flat_map(|part| record(22, 0x0301, part))
        .collect()
}

/// The hello of a client that offers SSL 2.0 up to TLS 1.0, in the form of
/// SSL 2.0.
fn ssl2_hello() -> Vec<u8> {
    let mut message = vec![1, 3, 1, 0, 6, 0, 0, 0, 16];
    message.extend([0x07, 0x00, 0xc0, 0x00, 0x00, 0x2f]);
    message.extend([0x42; 16]);
    let mut bytes = vec![0x80, message.len() as u8];
    bytes.extend(message);
    bytes
}

/// The host of `HOST:PORT`.
fn host_of(endpoint: &str) -> &str {
    endpoint
        .rsplit_once(':')
        .expect("endpoints are ADDRESS:PORT")
        .0
}

//! DNS: messages made by a small writer of its own, which knows nothing of
//! the parser under test.

use std::time::Duration;

use super::super::conversation::client;
use super::super::scenario::Scenario;
use super::Capture;

type Play = fn(&mut Scenario);

const CAPTURES: [(&str, Play); 12] = [
    ("tests/haka/captures/dns-basic", basic),
    ("tests/haka/captures/dns-damaged", damaged),
    ("tests/captures/dns-v4", |s| {
        lookups(s, "10.1.0.7", "10.2.0.53")
    }),
    ("tests/captures/dns-v6", |s| {
        lookups(s, "[2001:db8:1::7]", "[2001:db8:2::53]")
    }),
    ("tests/captures/dns-tcp-v4", |s| {
        streams(s, "10.1.0.7:40000", "10.2.0.53:53")
    }),
    ("tests/captures/dns-tcp-v6", |s| {
        streams(s, "[2001:db8:1::7]:40000", "[2001:db8:2::53]:53")
    }),
    ("tests/captures/dns-multicast", multicast),
    ("tests/captures/dns-unanswered", unanswered),
    ("sample/dns-sinkhole/input", sinkhole),
    ("sample/dns-sinkhole/rule/input", |s| {
        lookups(s, "10.1.0.7", "10.2.0.53");
    }),
    ("sample/dns-tunnel/input", tunnel),
    ("sample/dns-tunnel/rule/input", busy),
];

pub fn all() -> Vec<Capture> {
    CAPTURES
        .iter()
        .map(|(name, play)| {
            let mut scenario = Scenario::new();
            play(&mut scenario);
            Capture {
                path: format!("{name}.pcap"),
                recording: scenario.into_recording(),
            }
        })
        .collect()
}

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const OPT: u16 = 41;
const HTTPS: u16 = 65;

/// A message under construction. Names are compressed where a name with the
/// same end was written before.
pub struct Message {
    bytes: Vec<u8>,
    names: Vec<(String, u16)>,
}

impl Message {
    fn new(id: u16, flags: u16, name: &str, kind: u16) -> Message {
        let mut message = Message::empty(id, flags);
        message.question(name, kind);
        message
    }

    fn empty(id: u16, flags: u16) -> Message {
        let words = [id, flags, 0, 0, 0, 0];
        Message {
            bytes: words.iter().flat_map(|word| word.to_be_bytes()).collect(),
            names: Vec::new(),
        }
    }

    pub fn query(id: u16, name: &str, kind: u16) -> Message {
        Message::new(id, 0x0100, name, kind)
    }

    pub fn response(id: u16, name: &str, kind: u16) -> Message {
        Message::new(id, 0x8180, name, kind)
    }

    fn question(&mut self, name: &str, kind: u16) {
        self.counts(4);
        self.name(name);
        self.words(&[kind, 1]);
    }

    /// One more in the section whose count stands there.
    fn counts(&mut self, at: usize) {
        let count = u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]) + 1;
        self.bytes[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    fn words(&mut self, words: &[u16]) {
        for word in words {
            self.bytes.extend(word.to_be_bytes());
        }
    }

    fn name(&mut self, name: &str) {
        let mut rest = name.trim_end_matches('.');
        while !rest.is_empty() {
            if let Some((_, place)) = self.names.iter().find(|(known, _)| known == rest) {
                let pointer = 0xc000 | place;
                return self.words(&[pointer]);
            }
            let here = u16::try_from(self.bytes.len()).expect("a short message");
            self.names.push((rest.to_owned(), here));
            let (label, after) = rest.split_once('.').unwrap_or((rest, ""));
            self.bytes.push(label.len() as u8);
            self.bytes.extend(label.bytes());
            rest = after;
        }
        self.bytes.push(0);
    }

    fn record(
        mut self,
        section: usize,
        (name, kind, ttl): (&str, u16, u32),
        data: impl FnOnce(&mut Message),
    ) -> Message {
        self.counts(4 + 2 * section);
        self.name(name);
        self.words(&[kind, 1, (ttl >> 16) as u16, ttl as u16, 0]);
        let start = self.bytes.len();
        data(&mut self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start - 2..start].copy_from_slice(&length.to_be_bytes());
        self
    }

    fn raw(self, section: usize, owner: (&str, u16, u32), data: &[u8]) -> Message {
        self.record(section, owner, |m| m.bytes.extend(data))
    }

    pub fn address(self, name: &str, ttl: u32, address: [u8; 4]) -> Message {
        self.raw(1, (name, A, ttl), &address)
    }

    fn target(self, section: usize, owner: (&str, u16, u32), target: &str) -> Message {
        self.record(section, owner, |m| m.name(target))
    }

    /// EDNS with that size, without options.
    fn edns(mut self, size: u16) -> Message {
        self.counts(10);
        self.bytes.push(0);
        self.words(&[OPT, size, 0, 0, 0]);
        self
    }

    pub fn done(self) -> Vec<u8> {
        self.bytes
    }

    fn framed(self) -> Vec<u8> {
        [&(self.bytes.len() as u16).to_be_bytes()[..], &self.bytes].concat()
    }
}

const IPV6_HOST: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80];

/// Four flows, a query and a response each: the records that the rows of
/// the suite speak of.
fn basic(s: &mut Scenario) {
    let (host, server) = ("192.168.20.1", "192.168.20.53:53");
    let mut exchange = |port: u16, query: Message, response: Message| {
        let from = format!("{host}:{port}");
        s.udp(&from, server, &query.done());
        s.udp(server, &from, &response.done());
    };
    let web = "www.example.org";
    exchange(
        4001,
        Message::query(0x1001, web, A),
        Message::response(0x1001, web, A)
            .target(1, (web, CNAME, 300), "web.example.org")
            .address("web.example.org", 300, [192, 0, 2, 80])
            .target(2, ("example.org", NS, 3600), "ns1.example.org")
            .raw(3, ("ns1.example.org", A, 3600), &[192, 0, 2, 53]),
    );
    exchange(
        4002,
        Message::query(0x1002, "web.example.org", AAAA),
        Message::response(0x1002, "web.example.org", AAAA).raw(
            1,
            ("web.example.org", AAAA, 300),
            &IPV6_HOST,
        ),
    );
    exchange(
        4003,
        Message::query(0x1003, "example.org", MX),
        Message::response(0x1003, "example.org", MX).record(1, ("example.org", MX, 60), |m| {
            m.words(&[10]);
            m.name("mail.example.org");
        }),
    );
    exchange(
        4004,
        Message::query(0x1004, "example.org", TXT),
        Message::response(0x1004, "example.org", TXT)
            .raw(1, ("example.org", TXT, 60), b"\x06v=spf1\x04-all")
            .record(2, ("example.org", SOA, 60), |m| {
                m.name("ns1.example.org");
                m.name("root.example.org");
                m.words(&[0xf000, 1, 0, 7200, 0, 900, 1, 0, 0, 60]);
            }),
    );
}

/// What cannot be read, each in a flow of its own; between them good ones.
fn damaged(s: &mut Scenario) {
    let server = "192.168.20.53:53";
    let header = [0x20, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let bodies: [&[u8]; 5] = [
        b"\xc0\x0c\0\x01\0\x01",          // a loop
        b"\x03www\xc0\x40\0\x01\0\x01",   // forward
        b"\x41x\0\0\x01\0\x01",           // an unknown kind of label
        b"\x09www",                       // cut
        b"\x03www\0\0\x01\0\x01trailing", // good
    ];
    for (port, body) in (5001..).zip(bodies) {
        let from = format!("192.168.20.1:{port}");
        s.udp(&from, server, &[&header[..], body].concat());
    }
    // A response that nobody asked for, in the last flow.
    s.udp(
        server,
        "192.168.20.1:5005",
        &Message::response(7, "www", A).done(),
    );
}

/// An evening of one host: addresses of both families, a name that is not
/// there, services, and what is new.
fn lookups(s: &mut Scenario, host: &str, server: &str) {
    let server = format!("{server}:53");
    let mut port = 4100;
    let mut exchange = |query: Message, response: Message| {
        port += 1;
        let from = format!("{host}:{port}");
        s.udp(&from, &server, &query.done());
        s.udp(&server, &from, &response.done());
    };
    let web = "www.example.org";
    exchange(
        Message::query(1, web, A),
        Message::response(1, web, A)
            .target(1, (web, CNAME, 300), "web.cdn.example.net")
            .address("web.cdn.example.net", 30, [192, 0, 2, 80])
            .address("web.cdn.example.net", 30, [192, 0, 2, 81])
            .target(2, ("cdn.example.net", NS, 3600), "ns.cdn.example.net")
            .raw(3, ("ns.cdn.example.net", A, 3600), &[192, 0, 2, 53]),
    );
    exchange(
        Message::query(2, web, AAAA).edns(1232),
        Message::response(2, web, AAAA)
            .raw(1, (web, AAAA, 300), &IPV6_HOST)
            .edns(1232),
    );
    exchange(
        Message::query(3, "nowhere.example.org", A),
        Message::new(3, 0x8183, "nowhere.example.org", A),
    );
    exchange(
        Message::query(4, "_sip._udp.example.org", SRV),
        Message::response(4, "_sip._udp.example.org", SRV).record(
            1,
            ("_sip._udp.example.org", SRV, 60),
            |m| {
                m.words(&[10, 5, 5060]);
                // Names in newer types are not compressed (RFC 2782).
                m.names.clear();
                m.name("sip.example.org");
            },
        ),
    );
    exchange(
        Message::query(5, "example.org", HTTPS),
        Message::response(5, "example.org", HTTPS).raw(
            1,
            ("example.org", HTTPS, 60),
            b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x04\0\x04\xc0\0\x02\x50",
        ),
    );
}

/// Queries and responses of one connection, cut in the length and in the
/// middle of messages, two in one segment.
fn streams(s: &mut Scenario, host: &str, server: &str) {
    let web = "www.example.org";
    let mut c = client(host, server);
    c.handshake();
    let first = Message::query(1, web, A).framed();
    let second = Message::query(2, "mail.example.org", A).framed();
    // Nothing is acknowledged before its message is whole: who holds it back
    // would see acknowledgements of what it has not let go.
    c.client().sends(&first[..1]);
    c.client().sends(&first[1..20]);
    c.client_says(&[&first[20..], &second[..]].concat());
    let one = Message::response(1, web, A)
        .address(web, 60, [192, 0, 2, 80])
        .framed();
    let two = Message::response(2, "mail.example.org", A)
        .address("mail.example.org", 60, [192, 0, 2, 25])
        .framed();
    c.server().sends(&[&one[..], &two[..7]].concat());
    c.server_says(&two[7..]);
    let third = Message::query(3, "last.example.org", A).framed();
    c.client_says(&third);
    c.server_says(
        &Message::response(3, "last.example.org", A)
            .address("last.example.org", 60, [192, 0, 2, 99])
            .framed(),
    );
    c.closes();
    s.plays(c);
}

/// Multicast DNS and LLMNR: responses without a query in their flow.
fn multicast(s: &mut Scenario) {
    let service = "_printer._tcp.local";
    s.udp(
        "10.1.0.7:5353",
        "224.0.0.251:5353",
        &Message::new(0, 0, service, PTR).done(),
    );
    s.udp(
        "10.1.0.9:5353",
        "224.0.0.251:5353",
        &Message::empty(0, 0x8400)
            .target(1, (service, PTR, 4500), "Lobby Printer._printer._tcp.local")
            .done(),
    );
    s.udp(
        "10.1.0.7:50000",
        "224.0.0.252:5355",
        &Message::new(9, 0, "fileserver", A).done(),
    );
    s.udp(
        "10.1.0.9:5355",
        "10.1.0.7:50000",
        &Message::new(9, 0x8000, "fileserver", A)
            .address("fileserver", 30, [10, 1, 0, 9])
            .done(),
    );
}

/// A query without a response, one whose response comes after 40 seconds,
/// and one that is answered at once.
fn unanswered(s: &mut Scenario) {
    let (host, server) = ("10.1.0.7:4000", "10.2.0.53:53");
    s.udp(
        host,
        server,
        &Message::query(1, "lost.example.org", A).done(),
    );
    s.udp(
        host,
        server,
        &Message::query(2, "late.example.org", A).done(),
    );
    s.waits(Duration::from_secs(40));
    s.udp(
        server,
        host,
        &Message::response(2, "late.example.org", A).done(),
    );
    s.udp(
        host,
        server,
        &Message::query(3, "fast.example.org", A).done(),
    );
    s.udp(
        server,
        host,
        &Message::response(3, "fast.example.org", A).done(),
    );
}

/// Two names of a bad domain and one that only ends alike.
fn sinkhole(s: &mut Scenario) {
    for (host, server) in [
        ("10.1.0.7", "10.2.0.53:53"),
        ("[2001:db8:1::7]", "[2001:db8:2::53]:53"),
    ] {
        let mut port = 4200;
        for (id, name, kind) in [
            (11, "malware.example", A),
            (12, "cdn.malware.example", AAAA),
            (13, "cdn.malware.example", TXT),
            (14, "notmalware.example", A),
        ] {
            port += 1;
            let from = format!("{host}:{port}");
            s.udp(&from, server, &Message::query(id, name, kind).done());
            // The server's answer is there only where the query got through.
            if id == 14 {
                let answer = Message::response(id, name, A).address(name, 60, [192, 0, 2, 4]);
                s.udp(server, &from, &answer.done());
            }
        }
    }
}

/// A file that leaves in names of one domain, and answers that bring
/// commands back.
fn tunnel(s: &mut Scenario) {
    let (host, server) = ("10.1.0.7:4300", "10.2.0.53:53");
    let mut random = 0x5eed_u64;
    for id in 0..40 {
        let mut label = String::new();
        for _ in 0..50 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let digit = (random >> 59) as usize;
            label.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[digit]));
        }
        let name = format!("{label}.t.evil.example");
        s.udp(host, server, &Message::query(id, &name, TXT).done());
        let answer = Message::response(id, &name, TXT).raw(1, (&name, TXT, 0), b"\x04next");
        s.udp(server, host, &answer.done());
    }
}

/// As many queries to many domains, some with long names, as a busy host
/// asks them.
fn busy(s: &mut Scenario) {
    let (host, server) = ("10.1.0.7:4300", "10.2.0.53:53");
    for id in 0..40u16 {
        let name = match id % 4 {
            0 => format!("www.shop-{id}.example"),
            1 => format!("static.assets.cdn-{id}.example"),
            2 => format!("{id}.0.2.192.in-addr.arpa"),
            _ => format!(
                "a-rather-long-but-readable-name-of-a-service.eu-west-{id}.cloud-{id}.example"
            ),
        };
        s.udp(host, server, &Message::query(id, &name, A).done());
        let answer = Message::response(id, &name, A).address(&name, 60, [192, 0, 2, id as u8]);
        s.udp(server, host, &answer.done());
    }
}

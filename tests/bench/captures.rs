//! The captures that are measured on: made once, the same in every run.
//!
//! `http`: 2,000 connections of one to two keep-alive GETs of 10 to 50 kB,
//! 48 at a time in bursts, MSS 1460, an ACK for every second segment.
//! `dns`: 100,000 queries and answers, each pair a flow of its own;
//! `dns-1k`: as many over 1,000 flows. Files of the same shape made by
//! somebody else's script are taken instead where they can be had, so that
//! figures can be compared with theirs.

#![allow(clippy::disallowed_methods)] // Outside the engine.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use wero::capture::file::{CaptureWriter, Resolution};
use wero::packet::LinkType;
use wero::time::Timestamp;

use crate::synthetic::Random;
use crate::wire::{self, Segment, TCP, TcpOption, UDP, flag};

const CONNECTIONS: u32 = 2_000;
const AT_ONCE: usize = 48;
const MSS: usize = 1460;
const QUERIES: u32 = 100_000;
const FEW_FLOWS: u32 = 1_000;
/// Queries under way before the first of them is answered.
const UNANSWERED: usize = 32;

/// Where the captures lie and who made them.
pub struct Captures {
    pub http: PathBuf,
    pub dns: PathBuf,
    pub dns_few_flows: PathBuf,
    pub origin: String,
}

impl Captures {
    /// Those of `WERO_BENCH_PCAPS`, or of the script beside the project, or
    /// our own.
    pub fn find() -> Captures {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = root.join("target/bench");
        if let Some(folder) = std::env::var_os("WERO_BENCH_PCAPS") {
            let folder = PathBuf::from(folder);
            return Captures::foreign(&folder, format!("{} (WERO_BENCH_PCAPS)", folder.display()));
        }
        let script = root.join("../shared/tools/gen-bench-pcaps.py");
        if let Some(captures) = Captures::of_script(&script, &target.join("shared")) {
            return captures;
        }
        Captures::own(&target)
    }

    fn foreign(folder: &Path, origin: String) -> Captures {
        Captures {
            http: folder.join("bench-http.pcap"),
            dns: folder.join("bench-dns.pcap"),
            dns_few_flows: folder.join("bench-dns-1kflows.pcap"),
            origin,
        }
    }

    fn of_script(script: &Path, folder: &Path) -> Option<Captures> {
        if !script.is_file() {
            return None;
        }
        let captures = Captures::foreign(folder, format!("made by {}", script.display()));
        let done = folder.join("complete");
        if !done.exists() {
            std::fs::create_dir_all(folder).ok()?;
            let status = Command::new("python3")
                .arg(script)
                .arg(folder)
                .output()
                .ok()?
                .status;
            if !status.success() {
                return None;
            }
            std::fs::write(done, "").ok()?;
        }
        Some(captures)
    }

    fn own(folder: &Path) -> Captures {
        std::fs::create_dir_all(folder).expect("target is writable");
        let captures = Captures {
            http: folder.join("http.pcap"),
            dns: folder.join("dns.pcap"),
            dns_few_flows: folder.join("dns-1k.pcap"),
            origin: "made by tests/bench/captures.rs".to_owned(),
        };
        make(&captures.http, write_http);
        make(&captures.dns, |tape| write_dns(tape, QUERIES));
        make(&captures.dns_few_flows, |tape| write_dns(tape, FEW_FLOWS));
        captures
    }
}

/// Writes a capture that is not there yet; an interrupted one does not count.
fn make(path: &Path, write: impl FnOnce(&mut Tape)) {
    if path.exists() {
        return;
    }
    let half = path.with_extension("half");
    let mut tape = Tape::new(&half);
    write(&mut tape);
    tape.writer.finish().expect("target is writable");
    std::fs::rename(&half, path).expect("target is writable");
}

/// Frames in the order of capture.
struct Tape {
    writer: CaptureWriter,
    now: Timestamp,
    random: Random,
}

impl Tape {
    fn new(path: &Path) -> Tape {
        let writer = CaptureWriter::create(path, LinkType::ETHERNET, Resolution::Micro)
            .expect("target is writable");
        Tape {
            writer,
            now: Timestamp::new(1_767_607_200, 0),
            random: Random::new(20_161),
        }
    }

    fn put(&mut self, frame: &[u8]) {
        let gap = 2 + self.random.below(18);
        self.now = self.now + Duration::from_micros(gap.into());
        self.writer
            .write(self.now, LinkType::ETHERNET, frame, frame.len() as u32)
            .expect("target is writable");
    }
}

fn write_http(tape: &mut Tape) {
    let mut random = Random::new(80);
    let text = page(&mut random, 1_000_000);
    let mut live: Vec<VecDeque<Vec<u8>>> = Vec::new();
    let mut next = 0;
    while next < CONNECTIONS || !live.is_empty() {
        while next < CONNECTIONS && live.len() < AT_ONCE {
            live.push(Conversation::new(next, &mut random).run(&text, &mut random));
            next += 1;
        }
        let chosen = random.below(live.len() as u32) as usize;
        for _ in 0..1 + random.below(8) {
            match live[chosen].pop_front() {
                Some(frame) => tape.put(&frame),
                None => break,
            }
        }
        if live[chosen].is_empty() {
            live.swap_remove(chosen);
        }
    }
}

/// Text as pages have it.
fn page(random: &mut Random, length: usize) -> String {
    let words: Vec<String> = (0..4000)
        .map(|_| {
            (0..2 + random.below(9))
                .map(|_| char::from(b'a' + random.below(26) as u8))
                .collect()
        })
        .collect();
    let mut text = String::with_capacity(length + 256);
    while text.len() < length {
        let class = &words[random.below(4000) as usize];
        let _ = write!(text, "<p class=\"{class}\">");
        for _ in 0..24 {
            let word = &words[random.below(4000) as usize];
            let _ = write!(text, "{word} ");
        }
        text.push_str("</p>\n");
    }
    text
}

/// One connection and how far each end has sent.
struct Conversation {
    number: u32,
    ends: [SocketAddr; 2],
    seq: [u32; 2],
    id: [u16; 2],
    frames: VecDeque<Vec<u8>>,
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

impl Conversation {
    fn new(number: u32, random: &mut Random) -> Conversation {
        let [_, _, high, low] = number.to_be_bytes();
        let client = IpAddr::V4(Ipv4Addr::new(10, 1, high, low));
        let server = IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1 + (number % 200) as u8));
        let port = 20_000 + (number % 40_000) as u16;
        Conversation {
            number,
            ends: [SocketAddr::new(client, port), SocketAddr::new(server, 80)],
            seq: [random.next() as u32, random.next() as u32],
            id: [random.next() as u16, random.next() as u16],
            frames: VecDeque::new(),
        }
    }

    fn run(mut self, text: &str, random: &mut Random) -> VecDeque<Vec<u8>> {
        self.say(CLIENT, flag::SYN, &[]);
        self.say(SERVER, flag::SYN | flag::ACK, &[]);
        self.say(CLIENT, flag::ACK, &[]);
        let requests = [1, 2, 2][random.below(3) as usize];
        for request in 1..=requests {
            let connection = if request == requests {
                "close"
            } else {
                "keep-alive"
            };
            let size = 10_000 + random.below(40_001) as usize;
            let from = random.below((text.len() - size) as u32) as usize;
            let body = &text.as_bytes()[from..from + size];
            let asked = self.request(random, connection);
            self.say(CLIENT, flag::PSH | flag::ACK, &asked);
            self.say(SERVER, flag::ACK, &[]);
            let mut answer = header(random, size, connection);
            answer.extend_from_slice(body);
            self.stream(&answer);
        }
        self.say(SERVER, flag::FIN | flag::ACK, &[]);
        self.say(CLIENT, flag::ACK, &[]);
        self.say(CLIENT, flag::FIN | flag::ACK, &[]);
        self.say(SERVER, flag::ACK, &[]);
        self.frames
    }

    fn stream(&mut self, answer: &[u8]) {
        let segments = answer.chunks(MSS);
        let last = segments.len() - 1;
        for (number, payload) in segments.enumerate() {
            let push = if number == last { flag::PSH } else { 0 };
            self.say(SERVER, flag::ACK | push, payload);
            if number % 2 == 1 || number == last {
                self.say(CLIENT, flag::ACK, &[]);
            }
        }
    }

    fn request(&self, random: &mut Random, connection: &str) -> Vec<u8> {
        let number = self.number;
        format!(
            "GET /shop/{number}/item-{:06}.html?session={:08x} HTTP/1.1\r\nHost: www{}.example.com\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0\r\n\
             Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
             Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: identity\r\n\
             Referer: http://www.example.com/index.html\r\nCookie: sid={:016x}; theme=dark\r\n\
             Connection: {connection}\r\n\r\n",
            random.below(1_000_000),
            random.next() as u32,
            number % 50,
            random.next(),
        )
        .into_bytes()
    }

    fn say(&mut self, from: usize, flags: u8, payload: &[u8]) {
        let to = 1 - from;
        let (src, dst) = (self.ends[from], self.ends[to]);
        let first = flags == flag::SYN;
        let options = match flags & flag::SYN {
            0 => Vec::new(),
            _ => vec![TcpOption::Mss(MSS as u16)],
        };
        let segment = Segment {
            seq: self.seq[from],
            ack: if first { 0 } else { self.seq[to] },
            flags,
            window: 64_240,
            options,
            payload: payload.to_vec(),
        };
        self.id[from] = self.id[from].wrapping_add(1);
        let packet = wire::packet(
            src.ip(),
            dst.ip(),
            self.id[from],
            TCP,
            &wire::tcp(src, dst, &segment),
        );
        self.frames
            .push_back(wire::frame(src.ip(), dst.ip(), &[], &packet));
        let taken = payload.len() as u32 + u32::from(flags & (flag::SYN | flag::FIN) != 0);
        self.seq[from] = self.seq[from].wrapping_add(taken);
    }
}

fn header(random: &mut Random, size: usize, connection: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nDate: Mon, 05 Jan 2026 10:00:00 GMT\r\nServer: Apache/2.4.7 (Ubuntu)\r\n\
         Last-Modified: Sun, 04 Jan 2026 10:00:00 GMT\r\nETag: \"{:08x}\"\r\nAccept-Ranges: bytes\r\n\
         Content-Length: {size}\r\nCache-Control: max-age=3600\r\n\
         Content-Type: text/html; charset=utf-8\r\nConnection: {connection}\r\n\r\n",
        random.next() as u32
    )
    .into_bytes()
}

fn write_dns(tape: &mut Tape, flows: u32) {
    let mut random = Random::new(53);
    let mut pending = VecDeque::new();
    for number in 0..QUERIES {
        let flow = number % flows;
        let [_, _, high, low] = flow.to_be_bytes();
        let client = IpAddr::V4(Ipv4Addr::new(10, 3, high & 7, low));
        let client = SocketAddr::new(client, 1024 + (flow.wrapping_mul(7919) % 60_000) as u16);
        let server = IpAddr::V4(Ipv4Addr::new(10, 4, 0, 1 + (flow % 4) as u8));
        let server = SocketAddr::new(server, 53);

        let id = (random.next() as u16).to_be_bytes();
        let mut query = vec![id[0], id[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend_from_slice(&name(&mut random));
        query.extend_from_slice(&[0, 1, 0, 1]);
        let mut answer = query.clone();
        answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 93, 184]);
        answer.extend_from_slice(&(random.next() as u16).to_be_bytes());

        tape.put(&datagram(client, server, number as u16, &query));
        pending.push_back(datagram(server, client, number as u16, &answer));
        if pending.len() > UNANSWERED {
            pending.pop_front().iter().for_each(|frame| tape.put(frame));
        }
    }
    pending.iter().for_each(|frame| tape.put(frame));
}

fn datagram(src: SocketAddr, dst: SocketAddr, id: u16, payload: &[u8]) -> Vec<u8> {
    let packet = wire::packet(src.ip(), dst.ip(), id, UDP, &wire::udp(src, dst, payload));
    wire::frame(src.ip(), dst.ip(), &[], &packet)
}

/// A name to ask for, as it stands in a message (RFC 1035, 3.1).
fn name(random: &mut Random) -> Vec<u8> {
    let host = ["www", "mail", "api", "cdn", "img"][random.below(5) as usize];
    let top = ["com", "org", "net"][random.below(3) as usize];
    let labels = [
        format!("{host}{}", random.below(1000)),
        format!("example{}", random.below(500)),
        top.to_owned(),
    ];
    let mut bytes = Vec::new();
    for label in labels {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

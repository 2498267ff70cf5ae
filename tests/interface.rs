//! Packets of a network interface, each test in a network namespace of its
//! own. They need root and the program `ip`; without, each says that it is
//! skipped.

#![cfg(target_os = "linux")]

#[allow(dead_code)] // Shared with the tests of live traffic.
#[path = "live/namespace.rs"]
mod namespace;
#[path = "interface/raw.rs"]
mod raw;
#[cfg(feature = "async")]
#[path = "interface/streams.rs"]
mod streams;

use std::io::Write as _;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use namespace::Namespace;
use wero::capture::file::Record;
use wero::capture::interface::{Config, Interface, InterfaceError};
use wero::capture::views::OwnedView;
use wero::packet::{LinkType, decode};

/// Runs a test in a namespace with a loopback device, or says why not.
fn inside(name: &str, test: impl FnOnce() + Send) {
    // Asked once: the answer takes a namespace of one name.
    static AVAILABLE: OnceLock<Result<(), String>> = OnceLock::new();
    let available = AVAILABLE.get_or_init(namespace::available).clone();
    match available.and_then(|()| Namespace::create(name)) {
        Ok(namespace) => namespace.inside(test),
        // The test harness does not hide this line.
        Err(why) => {
            writeln!(std::io::stderr(), "skipped: {why}").expect("there is a place for it");
        }
    }
}

/// A socket that sends to itself.
fn echo(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("an address of the loopback device");
    let own = socket.local_addr().expect("it is bound");
    socket.connect(own).expect("the way is short");
    socket
}

#[test]
fn each_packet_comes_once_whole_and_with_its_time() {
    inside("once", || {
        let mut interface = Interface::open("lo").expect("the loopback device is there");
        let before = std::time::SystemTime::now();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = echo(address);
            for number in 0..50u8 {
                socket.send(&[number; 100]).expect("sent");
            }
        }
        let mut payloads = Vec::new();
        let mut last = None;
        let end = Instant::now() + Duration::from_secs(10);
        while payloads.len() < 100 && Instant::now() < end {
            let wait = Duration::from_millis(100);
            let Some(record) = interface.receive(wait).expect("it stays up") else {
                continue;
            };
            assert_eq!(record.link, LinkType::ETHERNET);
            assert_eq!(record.orig_len as usize, record.bytes.len());
            let below = decode::link(record.link, record.bytes).expect("a frame");
            let ip = decode::ip(record.bytes, below.at, None).expect("a packet");
            // What else the system has to say.
            if ip.protocol != decode::protocol::UDP {
                continue;
            }
            let payload = &record.bytes[record.bytes.len() - 100..];
            payloads.push(payload[0]);
            assert!(last.is_none_or(|last| last <= record.timestamp), "in order");
            last = Some(record.timestamp);
            let since = before
                .duration_since(std::time::UNIX_EPOCH)
                .expect("a clock of today");
            assert!(record.timestamp.0 + 1_000_000_000 > since.as_nanos() as i64);
        }
        let expected: Vec<u8> = (0..50).chain(0..50).collect();
        assert_eq!(payloads, expected);
        assert_eq!(interface.counters().dropped, 0);
        let nothing = interface.receive(Duration::from_millis(1));
        assert!(nothing.expect("it stays up").is_none());
    });
}

#[test]
fn what_finds_no_room_is_counted() {
    inside("room", || {
        let config = Config {
            buffer: 2 << 20,
            ..Config::default()
        };
        let mut interface = Interface::open_with("lo", &config).expect("it is there");
        let socket = echo("127.0.0.1:0");
        for _ in 0..4000 {
            socket.send(&[0; 1400]).expect("sent");
        }
        let mut seen = 0u64;
        let wait = Duration::from_millis(100);
        while interface.receive(wait).expect("it stays up").is_some() {
            seen += 1;
        }
        let counters = interface.counters();
        assert!(counters.received >= 8000, "sent and received: {counters:?}");
        assert!(counters.dropped > 1000, "{counters:?}");
        assert!(seen > 300 && seen < 4000, "{seen} of {counters:?}");
        // The ring goes on when it was read.
        socket.send(b"later").expect("sent");
        let later = interface.receive(Duration::from_secs(5));
        let later = later.expect("it stays up").expect("there is room again");
        assert!(later.bytes.ends_with(b"later"));
    });
}

#[test]
fn all_blocks_are_read_in_turn() {
    inside("turns", || {
        let config = Config {
            buffer: 3 << 20,
            ..Config::default()
        };
        let mut interface = Interface::open_with("lo", &config).expect("it is there");
        let socket = echo("127.0.0.1:0");
        let mut sent = 0u32;
        let mut seen = 0u32;
        // Several times the ring.
        while sent < 20_000 {
            for _ in 0..100 {
                let mut payload = [0; 1400];
                payload[..4].copy_from_slice(&sent.to_be_bytes());
                socket.send(&payload).expect("sent");
                sent += 1;
            }
            while seen < sent {
                let record = interface.receive(Duration::from_secs(2));
                let record = record.expect("it stays up").expect("nothing is lost");
                let payload = &record.bytes[record.bytes.len() - 1400..];
                assert_eq!(payload[..4], seen.to_be_bytes());
                seen += 1;
            }
        }
        assert_eq!(interface.counters().dropped, 0);
    });
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output();
    let done = done.expect("the namespace was made with it");
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {arguments}: {errors}");
}

/// The kernel takes the tag off before anybody sees the frame.
#[test]
fn vlan_tags_stand_where_they_were() {
    inside("tags", || {
        ip("link add one type veth peer name other");
        ip("link set one up");
        ip("link set other up");
        let mut interface = Interface::open("other").expect("it is up");
        let mut frame = b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x01".to_vec();
        frame.extend(b"\x81\0\x60\x05\x88\xb5 behind a tag with a priority");
        let sent = raw::send("one", &frame);
        assert_eq!(sent.expect("the link is up"), frame.len());
        let seen = until(&mut interface, |record| record.bytes == frame);
        assert_eq!(seen.expect("it came").wire_len as usize, frame.len());
    });
}

#[test]
fn devices_without_a_link_header_give_ip_packets() {
    inside("tun", || {
        let mut device = match raw::tun("tun0") {
            Ok(device) => device,
            Err(error) => {
                writeln!(std::io::stderr(), "skipped: no tun device: {error}").expect("a place");
                return;
            }
        };
        ip("link set tun0 up");
        let mut interface = Interface::open("tun0").expect("it is up");
        let mut packet = b"\x45\0\0\x24\0\0\0\0\x40\x11\0\0\x0a\0\0\x01\x0a\0\0\x02".to_vec();
        packet.extend(b"\x10\0\x20\0\0\x10\0\0payload!");
        device.write_all(&packet).expect("the device is up");
        let seen = until(&mut interface, |record| record.bytes == packet);
        assert_eq!(seen.expect("it came").link, LinkType::RAW);
    });
}

/// The packet that is waited for.
fn until(interface: &mut Interface, wanted: impl Fn(&Record<'_>) -> bool) -> Option<OwnedView> {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        let record = interface.receive(Duration::from_millis(100));
        match record.expect("it stays up") {
            Some(record) if wanted(&record) => return Some(OwnedView::of(&record)),
            _ => {}
        }
    }
    None
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    inside("none", || {
        let Err(InterfaceError::Unknown { there, .. }) = Interface::open("eth99") else {
            panic!("there is no such interface");
        };
        assert!(there.contains(&"lo".to_owned()), "{there:?}");
        let zero = Interface::open("a\0b").expect_err("no name");
        assert!(matches!(zero, InterfaceError::Unknown { .. }), "{zero}");
    });
}

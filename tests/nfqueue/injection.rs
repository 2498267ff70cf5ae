//! Packets of our own leave as they were made, with their mark, and are not
//! queued.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use wero::capture::inject::{InjectError, Injector};

use crate::namespace::{arrived, inside, once};
use crate::packets::udp;

const MARK: u32 = 0x1000_0000;

fn end(socket: &UdpSocket) -> (IpAddr, u16) {
    let address = socket.local_addr().expect("it is bound");
    (address.ip(), address.port())
}

#[test]
fn injected_packets_arrive_and_are_not_queued() {
    inside(|net| {
        for program in ["iptables", "ip6tables"] {
            let rule = |rule: &str| net.command(&format!("{program} -w -t mangle -A {rule}"));
            rule("OUTPUT -m mark --mark 0x10000000/0x10000000 -j RETURN");
            rule("OUTPUT -p udp -j NFQUEUE --queue-num 7");
            rule("INPUT -m mark --mark 0x10000042 -j NFQUEUE --queue-num 8");
        }
        let mut outgoing = net.open(7);
        let mut incoming = net.open(8);
        let mut injector = Injector::open(MARK).expect("root may");
        for (program, address, source) in [
            ("iptables", "127.0.0.1:0", "127.9.8.7"),
            ("ip6tables", "[::1]:0", "2001:db8::9"),
        ] {
            let receiver = UdpSocket::bind(address).expect("an address");
            let from = (source.parse().expect("an address"), 4_000);
            let packet = udp(from, end(&receiver), b"injected");
            for mark in [MARK, MARK, MARK | 0x42, MARK] {
                injector.send(&packet, mark).expect("the way is short");
            }
            // The one with the other mark comes by the second queue, which
            // shows every byte.
            let mut seen = Vec::new();
            once(&mut incoming, Duration::from_secs(2), |queue, arriving| {
                assert_eq!(arriving.mark, MARK | 0x42);
                seen.push(arriving.bytes.clone());
                queue.accept(arriving.id, None);
            });
            incoming.flush();
            assert_eq!(seen, std::slice::from_ref(&packet), "{address}");
            receiver
                .set_read_timeout(Some(Duration::from_secs(2)))
                .expect("a time");
            let mut buffer = [0; 100];
            let (length, sender) = receiver.recv_from(&mut buffer).expect("it came");
            assert_eq!(&buffer[..length], b"injected");
            assert_eq!(sender, SocketAddr::from(from));
            assert_eq!(arrived(&receiver).len(), 3, "and the others");
            assert_eq!(net.matched(program, "OUTPUT", "RETURN"), 4);
            // Without its mark it is queued like anybody's.
            injector.send(&packet, 0).expect("the way is short");
            let queued = once(&mut outgoing, Duration::from_secs(2), |queue, packet| {
                queue.refuse(packet.id);
            });
            assert_eq!(queued, 1);
        }
        assert_eq!(outgoing.counters().received, 2);
        assert_eq!(injector.counters().sent, 10);
        assert_eq!(injector.counters().failed(), 0);
    });
}

#[test]
fn what_cannot_be_sent_is_an_error_and_counted() {
    inside(|net| {
        net.command("ip link set lo mtu 1500");
        net.rule("OUTPUT -p udp --dport 99 -j DROP");
        net.rule_v6("OUTPUT -p udp --dport 99 -j DROP");
        let mut injector = Injector::open(MARK).expect("root may");
        for (local, remote) in [("127.0.0.1", "203.0.113.5"), ("::1", "2001:db8::5")] {
            let local: IpAddr = local.parse().expect("an address");
            let remote: IpAddr = remote.parse().expect("an address");
            let mut send = |to, payload: usize| {
                let packet = udp((local, 4_000), to, &vec![7; payload]);
                injector.send(&packet, MARK)
            };
            let header = if local.is_ipv4() { 28 } else { 48 };
            send((local, 98), 1_500 - header).expect("it just fits");
            let error = send((local, 98), 1_501 - header).expect_err("it does not");
            assert!(
                matches!(error, InjectError::TooLong { length: 1_501, .. }),
                "{error}"
            );
            let error = send((remote, 98), 10).expect_err("there is no route");
            assert!(matches!(error, InjectError::Unreachable { .. }), "{error}");
            assert!(error.to_string().contains(&remote.to_string()), "{error}");
            let error = send((local, 99), 10).expect_err("a rule drops it");
            assert!(matches!(error, InjectError::Refused(_)), "{error}");
            // None of them leaves anything behind.
            for _ in 0..1_000 {
                assert!(send((local, 98), 2_000).is_err());
            }
            send((local, 98), 10).expect("the way is short");
        }
        let error = injector.send(b"neither", MARK).expect_err("not a packet");
        assert!(matches!(error, InjectError::Malformed(_)), "{error}");
        let counters = injector.counters();
        assert_eq!((counters.sent, counters.too_long), (4, 2_002));
        let others = (counters.unreachable, counters.refused, counters.malformed);
        assert_eq!(others, (2, 2, 1));
        assert_eq!(counters.failed(), 2_007);
    });
}

/// The number of a device that has an address of IPv6.
fn index(device: &str) -> u32 {
    let path = "/proc/thread-self/net/if_inet6";
    let text = std::fs::read_to_string(path).expect("the kernel's list");
    let line = text.lines().find(|line| line.ends_with(device));
    let column = line.and_then(|line| line.split_whitespace().nth(1));
    let column = column.expect("it has an address");
    u32::from_str_radix(column, 16).expect("a number")
}

#[test]
fn addresses_of_one_link_need_their_device() {
    inside(|net| {
        net.command("ip link add one type veth peer two");
        for (device, address) in [("one", "fe80::1"), ("two", "fe80::2")] {
            net.command(&format!("ip link set {device} up"));
            let address = format!("ip -6 addr add {address}/64 dev {device} nodad");
            net.command(&address);
        }
        let two = index("two");
        assert_ne!(index("one"), two);
        let address =
            std::net::SocketAddrV6::new("fe80::2".parse().expect("an address"), 0, 0, two);
        let receiver = UdpSocket::bind(address).expect("the device's address");
        let packet = udp(
            ("fe80::7".parse().expect("an address"), 9),
            end(&receiver),
            b"near",
        );
        let mut injector = Injector::open(MARK).expect("root may");
        let error = injector.send(&packet, MARK).expect_err("which link?");
        assert!(matches!(error, InjectError::NoDevice(_)), "{error}");
        // A new link may take a moment until its addresses receive anything.
        let mut sent = 0;
        let arrived = loop {
            injector
                .send_through(&packet, MARK, Some(two))
                .expect("the way is short");
            sent += 1;
            let arrived = arrived(&receiver);
            if !arrived.is_empty() || sent == 20 {
                break arrived;
            }
        };
        assert_eq!(arrived, [b"near"], "of {sent}");
        assert_eq!(injector.counters().no_device, 1);
    });
}

/// Two links have the same network: the routes know only the first.
#[test]
fn addresses_of_one_link_are_reached_by_their_device_over_ipv4() {
    inside(|net| {
        for (device, peer) in [("one", "other"), ("two", "another")] {
            net.command(&format!("ip link add {device} type veth peer {peer}"));
            for device in [device, peer] {
                net.command(&format!("ip link set {device} up"));
            }
            net.command(&format!("ip addr add 169.254.9.1/16 dev {device}"));
            let neighbour = "ip neigh add 169.254.9.2 lladdr 02:00:00:00:00:09 dev";
            net.command(&format!("{neighbour} {device}"));
            let rule = format!("POSTROUTING -o {device} -p udp --dport 98 -j ACCEPT");
            net.rule(&rule);
        }
        let leave = |device: &str| net.matched("iptables", "POSTROUTING", device);
        let near: IpAddr = "169.254.9.2".parse().expect("an address");
        let packet = udp(
            ("169.254.9.7".parse().expect("it is"), 9),
            (near, 98),
            b"near",
        );
        let mut injector = Injector::open(MARK).expect("root may");
        let (one, two) = (index("one"), index("two"));
        for (device, left) in [
            (Some(two), [0, 1]),
            (None, [1, 1]),
            (Some(one), [2, 1]),
            (Some(two), [2, 2]),
        ] {
            injector
                .send_through(&packet, MARK, device)
                .expect("there is a link");
            assert_eq!([leave("one"), leave("two")], left, "{device:?}");
        }
        // Other addresses go by the routes, whatever the device.
        let loopback: IpAddr = "127.0.0.1".parse().expect("an address");
        let receiver = UdpSocket::bind((loopback, 0)).expect("an address");
        let packet = udp((loopback, 9), end(&receiver), b"far");
        injector
            .send_through(&packet, MARK, Some(two))
            .expect("the way is short");
        assert_eq!(arrived(&receiver), [b"far"]);
    });
}

/// The kernel may number packets that have none; it must not do so to those
/// that have, or that may not be fragmented.
#[test]
fn identifications_are_kept() {
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open(7);
        let mut injector = Injector::open(MARK).expect("root may");
        let local: IpAddr = "127.0.0.1".parse().expect("an address");
        let mut packet = udp((local, 1), (local, 2), b"numbered");
        for (id, flags) in [(0x0001u16, 0u8), (0xffff, 0x40), (0, 0x40)] {
            packet[4..6].copy_from_slice(&id.to_be_bytes());
            packet[6] = flags;
            injector.send(&packet, MARK).expect("the way is short");
            let got = once(&mut queue, Duration::from_secs(2), |queue, arriving| {
                assert_eq!(arriving.bytes[..10], packet[..10]);
                assert_eq!(arriving.bytes[12..], packet[12..]);
                queue.refuse(arriving.id);
            });
            assert_eq!(got, 1);
        }
    });
}

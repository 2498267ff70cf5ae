//! What verdicts do to packets.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wero::capture::nfqueue::{Counters, Queue, status};

use crate::namespace::{Seen, arrived, inside, once, pair, serve};
use crate::packets::{inverted, payload, with_payload};

#[test]
fn accepted_packets_arrive_and_refused_ones_do_not() {
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        net.rule_v6("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open(7);
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (sender, receiver) = pair(address);
            for number in 0..10u8 {
                sender.send(&[number; 20]).expect("room");
            }
            serve(&mut queue, 10, |queue, packet| {
                assert_eq!(packet.wire_len as usize, packet.bytes.len());
                match payload(&packet.bytes).first() {
                    Some(number) if number % 3 == 0 => queue.refuse(packet.id),
                    _ => queue.accept(packet.id, None),
                }
            });
            let numbers: Vec<_> = arrived(&receiver).iter().map(|bytes| bytes[0]).collect();
            assert_eq!(numbers, [1, 2, 4, 5, 7, 8], "{address}");
        }
        let counters = *queue.counters();
        assert_eq!((counters.accepted, counters.refused), (12, 8));
        assert_eq!(counters.received, counters.verdicts());
        let clean = (
            counters.missing,
            counters.errors,
            counters.malformed,
            counters.gaps,
        );
        assert_eq!(clean, (0, 0, 0, 0));
    });
}

#[test]
fn packets_say_where_they_came_in() {
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open(7);
        let (sender, _receiver) = pair("127.0.0.1:0");
        sender.send(b"here").expect("room");
        assert_eq!(queue.receive(Duration::from_secs(2)).expect("it works"), 1);
        let packet = queue.packet(0).expect("it was counted");
        assert_eq!((packet.hook, packet.protocol), (1, 0x0800));
        assert_eq!(
            (packet.in_device, packet.out_device),
            (1, 0),
            "lo is the first"
        );
        assert_eq!((packet.physical_in, packet.physical_out), (0, 0));
        assert_eq!((packet.mark, packet.offloaded), (0, false));
        assert_eq!(packet.bytes.first(), Some(&0x45));
    });
}

#[test]
fn rewritten_packets_arrive_as_they_were_written() {
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        net.rule_v6("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open(7);
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (sender, receiver) = pair(address);
            let lengths = [1, 20, 1_400, 9_000, 65_000];
            for length in lengths {
                sender.send(&vec![b'a'; length]).expect("room");
            }
            // The same length, then longer, then shorter.
            let new = |old: usize| match old {
                1 => b"b".to_vec(),
                20 => vec![b'c'; 60_000],
                1_400 => b"short".to_vec(),
                9_000 => Vec::new(),
                _ => vec![b'd'; 65_400],
            };
            serve(&mut queue, lengths.len(), |queue, packet| {
                // Over the loopback device nobody computes checksums.
                assert!(packet.partial_checksum);
                let new = new(payload(&packet.bytes).len());
                let changed = with_payload(&packet.bytes, &new);
                assert!(queue.rewrite(packet.id, None, &changed));
            });
            let expected: Vec<_> = lengths.into_iter().map(new).collect();
            let arrived = arrived(&receiver);
            let lengths: Vec<_> = arrived.iter().map(Vec::len).collect();
            assert!(arrived == expected, "{address}: {lengths:?}");
        }
        assert_eq!(queue.counters().rewritten, 10);
        assert_eq!(queue.counters().partial_checksums, 10);
        assert_eq!(queue.counters().errors, 0);
    });
}

#[test]
fn what_is_too_long_is_left_to_the_caller() {
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open(7);
        let (sender, receiver) = pair("127.0.0.1:0");
        sender.send(b"as it was").expect("room");
        serve(&mut queue, 1, |queue, packet| {
            assert!(!queue.rewrite(packet.id, None, &[0x45; 65_532]));
            queue.accept(packet.id, None);
        });
        assert_eq!(arrived(&receiver), [b"as it was"]);
        assert_eq!(queue.counters().too_long, 1);
        assert_eq!(queue.counters().verdicts(), 1);
    });
}

#[test]
fn marks_are_read_kept_and_set() {
    inside(|net| {
        net.rule("INPUT -p udp -j MARK --set-mark 0x77");
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        for mark in ["0x77", "0x10000077", "0xffffffff"] {
            // The queue ends its table's chain: the next table sees the mark.
            let rule = format!("iptables -w -t filter -A INPUT -m mark --mark {mark} -j ACCEPT");
            net.command(&rule);
        }
        let mut queue = net.open(7);
        let (sender, receiver) = pair("127.0.0.1:0");
        for number in 0..6 {
            sender.send(&[number]).expect("room");
        }
        serve(&mut queue, 6, |queue, packet| {
            assert_eq!(packet.mark, 0x77);
            match payload(&packet.bytes).first() {
                Some(0) => queue.accept(packet.id, None),
                Some(1 | 2) => queue.accept(packet.id, Some(packet.mark | 0x1000_0000)),
                _ => {
                    let changed = with_payload(&packet.bytes, b"new");
                    assert!(queue.rewrite(packet.id, Some(u32::MAX), &changed));
                }
            }
        });
        assert_eq!(arrived(&receiver).len(), 6);
        let list = net.command("iptables -w -t filter -nvxL INPUT");
        let packets = |mark: &str| {
            let end = format!("mark match {mark}");
            let line = list.lines().find(|line| line.trim_end().ends_with(&end));
            let count = line.and_then(|line| line.split_whitespace().next());
            count.and_then(|count| count.parse::<u64>().ok())
        };
        assert_eq!(packets("0x77"), Some(1), "{list}");
        assert_eq!(packets("0x10000077"), Some(2), "{list}");
        assert_eq!(packets("0xffffffff"), Some(3), "{list}");
    });
}

/// Of the loopback device, where segments are to be many.
const MTU: u32 = 1_500;

/// A connection over the loopback device, through a queue.
///
/// Returns what arrived, the longest packet, and how many were wrong about
/// being longer than a segment.
fn transfer(
    mut queue: Queue,
    bytes: usize,
    decide: fn(&mut Queue, &Seen),
) -> (Vec<u8>, (u32, u32), Counters) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("all of it");
            all
        });
        scope.spawn(move || {
            let mut stream = TcpStream::connect(address).expect("a listener");
            let text: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
            stream.write_all(&text).expect("all of it");
        });
        let over = &over;
        // Owns the queue: if this fails, the queue is gone, the rule lets
        // packets pass without it, and nobody waits for ever.
        let pump = scope.spawn(move || {
            let (mut largest, mut wrong) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                once(&mut queue, Duration::from_millis(20), |queue, packet| {
                    largest = packet.wire_len.max(largest);
                    wrong += u32::from(packet.offloaded != (packet.wire_len > MTU));
                    decide(queue, packet);
                });
            }
            ((largest, wrong), queue.close().expect("it is ours"))
        });
        let received = receiver.join();
        over.store(true, Ordering::Relaxed);
        let (facts, counters) = pump.join().expect("it holds");
        (received.expect("it holds"), facts, counters)
    })
}

#[test]
fn segments_come_whole_before_they_are_cut() {
    inside(|net| {
        // Of the size of Ethernet, so that 64 kB are many segments.
        net.command(&format!("ip link set lo mtu {MTU}"));
        net.rule("INPUT -p tcp -j NFQUEUE --queue-num 7 --queue-bypass");
        let queue = net.open(7);
        assert!(queue.granted().gso);
        let (received, (largest, wrong), counters) = transfer(queue, 4 << 20, |queue, packet| {
            queue.accept(packet.id, None);
        });
        assert_eq!(received.len(), 4 << 20);
        assert!(
            received
                .iter()
                .enumerate()
                .all(|(at, &byte)| byte == (at % 251) as u8)
        );
        assert!(largest > 30_000, "{largest}");
        assert_eq!(wrong, 0, "what is longer than a segment says so");
        assert!(counters.gso > 10, "{counters:?}");
        assert_eq!((counters.errors, counters.missing, counters.cut), (0, 0, 0));
    });
}

/// Each segment is given back with every byte of its payload inverted, before
/// it is cut: one checksum over all of it, which the receiver checks.
#[test]
fn segments_can_be_rewritten_whole() {
    inside(|net| {
        net.command(&format!("ip link set lo mtu {MTU}"));
        net.rule("INPUT -p tcp -j NFQUEUE --queue-num 7 --queue-bypass");
        let (received, (largest, wrong), counters) =
            transfer(net.open(7), 1 << 20, |queue, packet| {
                let changed = inverted(&packet.bytes);
                if !queue.rewrite(packet.id, None, &changed) {
                    queue.accept(packet.id, None);
                }
            });
        assert_eq!(received.len(), 1 << 20);
        assert!(
            received
                .iter()
                .enumerate()
                .all(|(at, &byte)| byte == !((at % 251) as u8))
        );
        assert!(largest > 30_000 && wrong == 0, "{largest}");
        assert!(
            counters.gso > 3 && counters.partial_checksums > 3,
            "{counters:?}"
        );
        assert_eq!(
            (counters.too_long, counters.errors, counters.missing),
            (0, 0, 0)
        );
    });
}

#[test]
fn queues_are_apart_from_each_other() {
    inside(|net| {
        let pairs = [
            pair("127.0.0.1:0"),
            pair("127.0.0.1:0"),
            pair("127.0.0.1:0"),
        ];
        for (number, (_, receiver)) in (20..).zip(&pairs) {
            let port = receiver.local_addr().expect("it is bound").port();
            net.rule(&format!(
                "INPUT -p udp --dport {port} -j NFQUEUE --queue-num {number}"
            ));
        }
        let mut queues = [net.open(20), net.open(21), net.open(22)];
        for round in 0..5 {
            for (number, (sender, _)) in (0..).zip(&pairs) {
                for _ in 0..=number {
                    sender.send(&[number, round]).expect("room");
                }
            }
        }
        for (number, queue) in (0..).zip(&mut queues) {
            let mut ids = Vec::new();
            serve(queue, 5 * (usize::from(number) + 1), |queue, packet| {
                assert_eq!(payload(&packet.bytes)[0], number);
                ids.push(packet.id);
                queue.accept(packet.id, None);
            });
            let expected: Vec<_> = (1..=ids.len() as u32).collect();
            assert_eq!(ids, expected, "each queue counts its own");
        }
        for (number, (_, receiver)) in (1..).zip(&pairs) {
            assert_eq!(arrived(receiver).len(), 5 * number);
        }
        let numbers: Vec<_> = status::queues()
            .expect("root reads it")
            .iter()
            .map(|queue| queue.number)
            .collect();
        assert_eq!(numbers.len(), 3);
        assert!([20, 21, 22].iter().all(|number| numbers.contains(number)));
    });
}

/// Held back and released out of order; each exactly once.
#[test]
fn ten_thousand_packets_get_one_verdict_each() {
    const PACKETS: u32 = 10_000;
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open(7);
        let (sender, receiver) = pair("127.0.0.1:0");
        let mut held: Vec<u32> = Vec::new();
        let mut decided: BTreeMap<u32, bool> = BTreeMap::new();
        for number in 0..PACKETS {
            sender.send(&number.to_be_bytes()).expect("room");
            if number % 40 != 39 {
                continue;
            }
            serve(&mut queue, 40, |queue, packet| {
                let number =
                    u32::from_be_bytes(payload(&packet.bytes).try_into().expect("four bytes"));
                let pass = number % 5 != 0;
                assert_eq!(decided.insert(number, pass), None, "it comes once");
                match (number % 7, pass) {
                    (_, false) => queue.refuse(packet.id),
                    (0, true) => held.push(packet.id),
                    (1, true) => {
                        let same = with_payload(&packet.bytes, &number.to_be_bytes());
                        assert!(queue.rewrite(packet.id, None, &same));
                    }
                    (_, true) => queue.accept(packet.id, None),
                }
            });
            if number % 400 == 399 {
                while let Some(id) = held.pop() {
                    queue.accept(id, None);
                }
                queue.flush();
            }
        }
        let mut numbers: Vec<_> = arrived(&receiver)
            .iter()
            .map(|bytes| u32::from_be_bytes(bytes.as_slice().try_into().expect("four bytes")))
            .collect();
        numbers.sort_unstable();
        let expected: Vec<_> = (0..PACKETS).filter(|number| number % 5 != 0).collect();
        assert!(
            numbers == expected,
            "{} of {}",
            numbers.len(),
            expected.len()
        );
        let waiting = status::queue(7)
            .expect("root reads it")
            .map(|queue| queue.waiting);
        assert_eq!(waiting, Some(0));
        let counters = queue.close().expect("it is ours");
        assert_eq!(counters.received, u64::from(PACKETS));
        assert_eq!(counters.verdicts(), u64::from(PACKETS));
        assert_eq!(
            (counters.missing, counters.errors, counters.gaps),
            (0, 0, 0)
        );
        assert_eq!(status::queue(7).expect("root reads it"), None);
    });
}

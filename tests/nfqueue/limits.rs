//! What goes wrong with queues, and what is lost when it does.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wero::capture::nfqueue::{Config, Queue, QueueError, status};

use crate::namespace::{arrived, inside, once, pair, say, serve};
use crate::packets::payload;

#[test]
fn the_kernel_grants_what_it_is_asked_for() {
    inside(|net| {
        let config = Config {
            number: 3,
            fail_open: true,
            ..Config::default()
        };
        let queue = net.open_with(&config);
        let granted = queue.granted();
        assert!(
            granted.gso && granted.fail_open && granted.length,
            "{granted}"
        );
        assert!(granted.buffer >= 32 << 20);
        let line = "queue 3: packets before segmentation, open when full, buffer of 33554 kB";
        assert_eq!(granted.to_string(), line);
        let queue = status::queue(3)
            .expect("root reads it")
            .expect("it is bound");
        assert_eq!((queue.copy_mode, queue.copy), (2, 65_531));
    });
}

#[test]
fn a_queue_in_use_is_not_given_and_its_owner_named() {
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open(7);
        let (sender, receiver) = pair("127.0.0.1:0");
        sender.send(b"mine").expect("room");
        let config = Config {
            number: 7,
            ..Config::default()
        };
        let error = Queue::open(&config).expect_err("it is taken");
        let QueueError::Taken {
            number, process, ..
        } = &error
        else {
            panic!("{error}");
        };
        let process = process.as_ref().expect("it is this one");
        assert_eq!((*number, process.id), (7, std::process::id()));
        let text = error.to_string();
        assert!(
            text.contains(&format!("taken by process {} (", std::process::id())),
            "{text}"
        );
        assert!(text.contains("or choose another queue number"), "{text}");
        // The owner noticed nothing.
        serve(&mut queue, 1, |queue, packet| queue.accept(packet.id, None));
        assert_eq!(arrived(&receiver), [b"mine"]);
        drop(queue);
        // A program that another test is just starting may still have it open.
        let free = (0..200).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            Queue::open(&config).ok()
        });
        let free = free.expect("it is free again");
        free.close().expect("it can be given back");
    });
}

/// Binds to queue 7, then drops the packets whose ids it is told; prints the
/// kernel's answer to each.
const STRANGER: &str = r#"
import socket, struct, sys
def message(kind, flags, attributes):
    body = struct.pack("=BBH", 0, 0, socket.htons(7)) + attributes
    return struct.pack("=IHHII", 16 + len(body), 0x300 | kind, flags, 0, 0) + body
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.bind((0, 0))
def ask(kind, flags, attributes):
    s.send(message(kind, flags, attributes))
    print(-struct.unpack_from("=i", s.recv(4096), 16)[0], flush=True)
ask(2, 5, struct.pack("=HHBBH", 8, 1, 1, 0, 0))
for line in sys.stdin:
    ask(1, 5, struct.pack("=HH", 12, 2) + struct.pack(">II", 0, int(line)))
"#;

/// A program of somebody else: we cannot take its queue, nor it ours.
#[test]
fn strangers_keep_out_of_each_others_queues() {
    inside(|net| {
        let stranger = || {
            Command::new("python3")
                .args(["-c", STRANGER])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
        };
        let Ok(mut first) = stranger() else {
            say("skipped: no python3");
            return;
        };
        let mut answers = lines(&mut first);
        assert_eq!(answers.next(), Some(0), "the queue is free");
        let config = Config {
            number: 7,
            ..Config::default()
        };
        let error = Queue::open(&config).expect_err("it is taken");
        let named = format!("queue 7 is taken by process {} (python3", first.id());
        assert!(error.to_string().contains(&named), "{error}");
        drop(first.stdin.take());
        first.wait().expect("it ends with its input");

        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open(7);
        let (sender, receiver) = pair("127.0.0.1:0");
        sender.send(b"ours").expect("room");
        let mut id = 0;
        serve(&mut queue, 1, |_, packet| id = packet.id);
        let mut second = stranger().expect("it ran before");
        let mut answers = lines(&mut second);
        assert_eq!(answers.next(), Some(libc::EPERM), "it cannot bind");
        let mut input = second.stdin.take().expect("it is a pipe");
        writeln!(input, "{id}").expect("it reads");
        assert_eq!(answers.next(), Some(libc::EPERM), "it has no say");
        drop(input);
        second.wait().expect("it ends with its input");
        queue.accept(id, None);
        queue.flush();
        assert_eq!(arrived(&receiver), [b"ours"]);
        assert_eq!(queue.close().expect("it is ours").missing, 0);
    });
}

/// The numbers that a program prints.
fn lines(program: &mut Child) -> impl Iterator<Item = i32> + use<> {
    let output = program.stdout.take().expect("it is a pipe");
    let lines = BufReader::new(output).lines();
    lines.map(|line| line.expect("text").parse().expect("a number"))
}

#[test]
fn without_rights_there_is_no_queue() {
    inside(|net| {
        let queue = net.open(7);
        // Who gives up the rights keeps none of them in this thread.
        drop_rights();
        let open = |number| {
            let error = Queue::open(&Config {
                number,
                ..Config::default()
            });
            error.expect_err("it is not permitted")
        };
        // The kernel gives the same answer to both.
        let error = open(7);
        assert!(matches!(error, QueueError::Taken { .. }), "{error}");
        let error = open(8);
        assert!(matches!(error, QueueError::NotPermitted { .. }), "{error}");
        assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
        assert_eq!(queue.counters().received, 0);
    });
}

/// Gives up all capabilities of this thread.
fn drop_rights() {
    #[repr(C)]
    struct Header {
        version: u32,
        thread: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header {
        version: VERSION_3,
        thread: 0,
    };
    let nothing = [[0u32; 3]; 2];
    // SAFETY: the kernel reads the two records, of the sizes that this
    // version has.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const nothing) };
    assert_eq!(result, 0, "rights can always be given up");
}

#[test]
fn verdicts_on_packets_that_are_gone_are_counted() {
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open(7);
        let (sender, receiver) = pair("127.0.0.1:0");
        for _ in 0..5 {
            sender.send(b"gone").expect("room");
        }
        let mut ids = Vec::new();
        serve(&mut queue, 5, |_, packet| ids.push(packet.id));
        // The kernel throws away what came from a device that goes down.
        net.command("ip link set lo down");
        net.command("ip link set lo up");
        for &id in &ids {
            queue.accept(id, None);
        }
        assert_eq!(
            queue.receive(Duration::from_millis(200)).expect("it lives"),
            0
        );
        assert_eq!((queue.counters().missing, queue.counters().errors), (5, 0));
        // A second verdict on the same packet is one on a missing packet.
        sender.send(b"here").expect("room");
        serve(&mut queue, 1, |queue, packet| {
            queue.accept(packet.id, None);
            queue.refuse(packet.id);
        });
        assert_eq!(arrived(&receiver), [b"here"]);
        let counters = queue.close().expect("it is ours");
        assert_eq!((counters.missing, counters.errors), (6, 0));
    });
}

/// Errors about large rewrites do not repeat them, and come beside packets.
#[test]
fn errors_arrive_between_packets_and_steal_none() {
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open(7);
        let (sender, receiver) = pair("127.0.0.1:0");
        let mut next = 0u8;
        for round in 0..20 {
            for _ in 0..10 {
                sender.send(&[next]).expect("room");
                next += 1;
            }
            for wrong in 0..30 {
                assert!(queue.rewrite(1_000_000 + round * 100 + wrong, None, &[0; 60_000]));
            }
            serve(&mut queue, 10, |queue, packet| {
                queue.accept(packet.id, None)
            });
        }
        let numbers: Vec<_> = arrived(&receiver).iter().map(|bytes| bytes[0]).collect();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
        let counters = queue.close().expect("it is ours");
        assert_eq!((counters.missing, counters.received), (600, 200));
        assert_eq!((counters.errors, counters.malformed), (0, 0));
    });
}

/// Packets pour in while the queue is set up; those that the kernel numbered
/// all come, from the first on.
#[test]
fn packets_that_come_during_configuration_are_kept() {
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7 --queue-bypass");
        let (sender, receiver) = pair("127.0.0.1:0");
        let over = AtomicBool::new(false);
        let mut early = 0;
        std::thread::scope(|scope| {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // Refused sends only mean that the receiver is full.
                    let _ = sender.send(b"one of many");
                }
            });
            let _stop = Stop(over);
            // The moment is short: often enough, some come in it. On a busy
            // machine the sender may get no turn for a while.
            let begun = Instant::now();
            for round in 0.. {
                let mut queue = net.open(7);
                let mut next = None;
                for _ in 0..3 {
                    once(&mut queue, Duration::from_millis(20), |queue, packet| {
                        // The kernel itself drops what comes while it makes
                        // the queue; from the first one on none is missing.
                        let expected = next.replace(packet.id + 1);
                        assert_eq!(packet.id, expected.unwrap_or(packet.id));
                        queue.accept(packet.id, None);
                    });
                }
                assert_eq!((queue.counters().gaps, queue.counters().malformed), (0, 0));
                assert!(queue.granted().gso && queue.granted().length);
                early += queue.close().expect("it is ours").early;
                let patience = Duration::from_secs(if early > 0 { 2 } else { 20 });
                if round > 100 && (early > 20 || begun.elapsed() > patience) {
                    break;
                }
            }
        });
        drop(receiver);
        assert!(early > 0, "some came at the moment that matters");
    });
}

/// Ends a thread that loops, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_short_copy_says_how_long_the_packet_is() {
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open_with(&Config {
            number: 7,
            copy: 96,
            ..Config::default()
        });
        let (sender, receiver) = pair("127.0.0.1:0");
        sender.send(&[5; 1_000]).expect("room");
        sender.send(&[6; 10]).expect("room");
        serve(&mut queue, 2, |queue, packet| {
            let whole = packet.wire_len as usize;
            let expected = if whole > 96 { (1_028, 96) } else { (38, 38) };
            assert_eq!((whole, packet.bytes.len()), expected);
            queue.accept(packet.id, None);
        });
        assert_eq!(queue.counters().cut, 1);
        let lengths: Vec<_> = arrived(&receiver).iter().map(Vec::len).collect();
        assert_eq!(lengths, [1_000, 10], "the packet itself is whole");
    });
}

/// More than the socket's buffer holds: the kernel drops or passes the rest,
/// and the gap between ids tells how many.
#[test]
fn losses_of_a_full_buffer_are_counted() {
    for fail_open in [false, true] {
        inside(|net| {
            net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
            let mut queue = net.open_with(&Config {
                number: 7,
                fail_open,
                buffer: 0,
                ..Config::default()
            });
            let (sender, receiver) = pair("127.0.0.1:0");
            let large = vec![1; 60_000];
            for _ in 0..900 {
                sender.send(&large).expect("room");
            }
            let passed = arrived(&receiver).len();
            let mut taken = 0;
            loop {
                let got = once(&mut queue, Duration::from_millis(50), |queue, packet| {
                    queue.refuse(packet.id);
                });
                taken += got as u64;
                if got == 0 {
                    break;
                }
            }
            assert!((100..900).contains(&taken), "16 MiB hold {taken}");
            // A gap shows with the next packet.
            sender.send(b"the last").expect("room");
            serve(&mut queue, 1, |queue, packet| queue.accept(packet.id, None));
            assert_eq!(queue.counters().gaps + taken, 900);
            let table = status::queue(7)
                .expect("root reads it")
                .expect("it is ours");
            if fail_open {
                // As many as the receiver had room for.
                assert!(passed > 0);
                assert_eq!(table.dropped_socket, 0);
            } else {
                assert_eq!(passed, 0);
                assert_eq!(u64::from(table.dropped_socket), queue.counters().gaps);
            }
            assert_eq!(table.waiting, 0);
        });
    }
}

#[test]
fn a_full_queue_is_open_or_closed() {
    for fail_open in [false, true] {
        inside(|net| {
            net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
            let mut queue = net.open_with(&Config {
                number: 7,
                fail_open,
                length: 10,
                ..Config::default()
            });
            let (sender, receiver) = pair("127.0.0.1:0");
            for number in 0..15 {
                sender.send(&[number]).expect("room");
            }
            let passed: Vec<_> = arrived(&receiver).iter().map(|bytes| bytes[0]).collect();
            let expected: &[u8] = if fail_open {
                &[10, 11, 12, 13, 14]
            } else {
                &[]
            };
            assert_eq!(passed, expected);
            serve(&mut queue, 10, |queue, packet| {
                assert!(payload(&packet.bytes)[0] < 10);
                queue.accept(packet.id, None);
            });
            assert_eq!(arrived(&receiver).len(), 10);
            let table = status::queue(7)
                .expect("root reads it")
                .expect("it is ours");
            assert_eq!(table.dropped_full, if fail_open { 0 } else { 5 });
        });
    }
}

/// What was decided is sent also when the queue just goes out of scope.
#[test]
fn verdicts_given_last_are_sent_too() {
    inside(|net| {
        net.rule("INPUT -p udp -j NFQUEUE --queue-num 7");
        let mut queue = net.open(7);
        let (sender, receiver) = pair("127.0.0.1:0");
        sender.send(b"decided").expect("room");
        sender.send(b"not decided").expect("room");
        let mut first = true;
        while once(&mut queue, Duration::from_millis(50), |queue, packet| {
            if std::mem::take(&mut first) {
                queue.accept(packet.id, None);
            }
        }) > 0
            && first
        {}
        drop(queue);
        assert_eq!(arrived(&receiver), [b"decided"]);
    });
}

#[test]
fn waiting_ends_in_time_and_nothing_waits_for_nothing() {
    inside(|net| {
        let mut queue = net.open(7);
        for (wait, least, most) in [
            (0, 0, 2_000),
            (40, 30, 2_000),
            (0, 0, 2_000),
            (90, 80, 2_000),
        ] {
            let start = std::time::Instant::now();
            let wait = Duration::from_millis(wait);
            assert_eq!(queue.receive(wait).expect("it works"), 0);
            let waited = start.elapsed().as_millis();
            assert!((least..most).contains(&waited), "{waited} ms of {wait:?}");
        }
    });
}

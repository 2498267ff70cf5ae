//! Flows and queues: how they are spread, what goes past, whose marks stay.

use wero::gateway::queue_of;

use super::net::{Gateway, ready};
use super::rules::{BACKENDS, queue_counters, setup};
use super::scripts;

#[test]
fn flows_of_one_pair_of_hosts_spread_and_stay_whole() {
    if !ready(&["iptables-nft", "iptables-legacy", "python3"]) {
        return;
    }
    for backend in BACKENDS {
        let net = Gateway::new("sp");
        for (family, client, server) in [
            ("iptables", "10.91.1.2", "10.91.2.2"),
            ("ip6tables", "fd91:1::2", "fd91:2::2"),
        ] {
            setup(
                &net.gateway,
                &["gateway", "-q", "0-1", "--backend", backend],
            )
            .good();
            let save = backend.replace("iptables", family) + "-save";
            let count = || queue_counters(&net.gateway, &save, 2);
            net.client
                .feed(&["python3", "-", client, server, "0"], scripts::FLOWS)
                .good();
            let there = count();
            assert_eq!(
                there.iter().sum::<u64>(),
                64,
                "{backend} {family}: {there:?}"
            );
            assert!(
                there.iter().all(|count| (24..=40).contains(count)),
                "{there:?}"
            );
            // The other direction of the same flows: as many at each queue.
            net.server
                .feed(&["python3", "-", server, client, "1"], scripts::FLOWS)
                .good();
            let both: Vec<u64> = there.iter().map(|count| count * 2).collect();
            assert_eq!(count(), both, "{backend} {family}");

            // And as many as the workers expect.
            let mut expected = vec![0; 2];
            for number in 0..64u16 {
                let packet = scripts::datagram(client, server, 20000 + number * 2, 9);
                let queue = queue_of(&packet, 2).expect("it is a packet");
                expected[usize::from(queue)] += 1;
            }
            assert_eq!(there, expected, "{backend} {family}");
        }
    }
}

#[test]
fn each_flow_has_one_queue_by_connection_mark_too() {
    if !ready(&["iptables-nft", "python3"]) {
        return;
    }
    let net = Gateway::new("cm");
    let arguments = [
        "gateway",
        "-q",
        "0-3",
        "--mark-mask",
        "0xff0000",
        "--spread",
        "connection-mark",
    ];
    setup(&net.gateway, &arguments).good();
    let (client, server) = ("10.91.1.2", "10.91.2.2");
    net.client
        .feed(&["python3", "-", client, server, "0"], scripts::FLOWS)
        .good();
    let count = || queue_counters(&net.gateway, "iptables-save", 4);
    assert_eq!(count(), [16; 4], "in turn");
    net.server
        .feed(&["python3", "-", server, client, "1"], scripts::FLOWS)
        .good();
    assert_eq!(count(), [32; 4], "the way back");
    let few = setup(
        &net.gateway,
        &["gateway", "-q", "0-3", "--spread", "connection-mark"],
    );
    assert!(
        !few.success && few.errors.contains("give a mask with more bits"),
        "{}",
        few.errors
    );
}

#[test]
fn a_bypassed_flow_skips_the_queue_and_marks_of_the_user_stay() {
    if !ready(&["iptables-nft", "iptables-legacy", "python3", "conntrack"]) {
        return;
    }
    for backend in BACKENDS {
        let net = Gateway::new("by");
        let gateway = &net.gateway;
        let tables = |arguments: &str| {
            let words: Vec<&str> = arguments.split(' ').collect();
            let mut command = vec![backend, "-t"];
            command.extend(words);
            gateway.run(&command).good()
        };
        // The user's marks: every flow gets 5, kept in its connection mark.
        tables("mangle -A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff");
        tables("mangle -A PREROUTING -m mark --mark 0x0/0xff -j MARK --set-xmark 0x5/0xff");
        tables("mangle -A PREROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff");
        tables("mangle -A FORWARD -p udp -m mark --mark 0x5 -m comment --comment forward");
        setup(gateway, &["gateway", "-q", "0", "--backend", backend]).good();
        // Our bits must be gone before any table behind sees the packet leave.
        tables("mangle -A POSTROUTING -p udp -m mark --mark 0x5 -m comment --comment leaves");
        // This stands for a verdict that lets the rest of a flow past.
        tables("filter -A FORWARD -p udp --sport 20000 -j MARK --set-xmark 0x20000000/0x20000000");
        let (client, server) = ("10.91.1.2", "10.91.2.2");
        for _ in 0..3 {
            net.client
                .feed(&["python3", "-", client, server, "0"], scripts::FLOWS)
                .good();
        }
        let save = format!("{backend}-save");
        // 63 flows with three packets each, and the first of the one.
        assert_eq!(queue_counters(gateway, &save, 1), [63 * 3 + 1], "{backend}");
        let saved = gateway.run(&[save.as_str(), "-c", "-t", "mangle"]).good();
        for rule in ["forward", "leaves"] {
            let line = saved
                .lines()
                .find(|line| line.contains(&format!("--comment {rule}")))
                .expect("the user's rule is there");
            assert!(line.starts_with("[192:"), "{backend} {rule}: {line}");
        }
        let flows = gateway.run(&["conntrack", "-L", "-p", "udp"]).good();
        let marks: Vec<&str> = flows
            .lines()
            .filter_map(|line| line.split("mark=").nth(1)?.split(' ').next())
            .collect();
        let bypassed = (0x2000_0000 + 5).to_string();
        assert_eq!(marks.len(), 64, "{flows}");
        assert_eq!(marks.iter().filter(|mark| **mark == bypassed).count(), 1);
        assert_eq!(marks.iter().filter(|mark| **mark == "5").count(), 63);
    }
}

//! What each mode takes: hosts, bridges, translated addresses, and nothing
//! while it is closed.

use super::net::{Gateway, Namespace, ready};
use super::rules::{BACKENDS, matched, queue_counters, setup};
use super::scripts;

#[test]
fn a_host_is_inspected_and_its_flows_can_be_bypassed() {
    if !ready(&["iptables-nft", "python3", "conntrack"]) {
        return;
    }
    let net = Gateway::new("ho");
    let host = &net.server;
    // What is dropped on arrival has no connection to be remembered by.
    let accept = "iptables-nft -I INPUT 1 -p udp --sport 20000 -j ACCEPT";
    host.run(&accept.split(' ').collect::<Vec<_>>()).good();
    setup(host, &["host", "-q", "6"]).good();
    // This stands for a verdict on arrival that lets the rest of a flow past.
    let mark =
        "-t mangle -I INPUT 1 -p udp --sport 20000 -j MARK --set-xmark 0x20000000/0x20000000";
    let mut command = vec!["iptables-nft"];
    command.extend(mark.split(' '));
    host.run(&command).good();
    let flows = |from: &Namespace, own, peer, back| {
        from.feed(&["python3", "-", own, peer, back], scripts::FLOWS)
            .good();
    };
    let (client, server) = ("10.91.1.2", "10.91.2.2");
    flows(&net.client, client, server, "0");
    let count = || queue_counters(host, "iptables-nft-save", 7)[6];
    assert_eq!(count(), 64);
    flows(&net.client, client, server, "0");
    assert_eq!(count(), 64 + 63, "one is bypassed");
    flows(host, server, client, "1");
    assert_eq!(count(), 64 + 63 + 63, "on the way out too");
    // What the host says to itself is not meant.
    host.run(&["ip", "link", "set", "lo", "up"]).good();
    flows(host, "127.0.0.1", "127.0.0.1", "0");
    assert_eq!(count(), 64 + 63 + 63);
    // Packets of our own are neither queued nor leave with their bit.
    let forge = ["python3", "-", server, "9", client, "30000", "0x10000005"];
    let seen = "-m comment --comment forged";
    let rule = "-t mangle -A POSTROUTING -p udp --dport 30000 -m mark --mark 0x5 -m comment --comment forged";
    let mut command = vec!["iptables-nft"];
    command.extend(rule.split(' '));
    host.run(&command).good();
    host.feed(&forge, scripts::FORGE).good();
    assert_eq!(count(), 64 + 63 + 63);
    assert_eq!(matched(host, "mangle", seen), 1);
}

#[test]
fn bridged_packets_are_queued_by_flow() {
    if !ready(&["iptables-nft", "python3"]) {
        return;
    }
    if !std::path::Path::new("/proc/sys/net/bridge").exists() {
        println!("skipped: no br_netfilter");
        return;
    }
    let net = Gateway::bridge("br");
    let off = [
        "net.bridge.bridge-nf-call-iptables=0",
        "net.bridge.bridge-nf-call-ip6tables=0",
    ];
    for setting in off {
        net.gateway.run(&["sysctl", "-w", setting]).good();
    }
    setup(
        &net.gateway,
        &["bridge", "-q", "0-1", "--interfaces", "out"],
    )
    .good();
    for (save, client, server) in [
        ("iptables-nft-save", "10.91.3.1", "10.91.3.2"),
        ("ip6tables-nft-save", "fd91:3::1", "fd91:3::2"),
    ] {
        let before = queue_counters(&net.gateway, save, 2);
        let count = || -> Vec<u64> {
            let now = queue_counters(&net.gateway, save, 2);
            now.iter()
                .zip(&before)
                .map(|(now, before)| now - before)
                .collect()
        };
        net.client
            .feed(&["python3", "-", client, server, "0"], scripts::FLOWS)
            .good();
        let there = count();
        // Neighbours of IPv6 ask for each other, by addresses only.
        let sum: u64 = there.iter().sum();
        assert!((64..68).contains(&sum), "{save}: {there:?}");
        net.server
            .feed(&["python3", "-", server, client, "1"], scripts::FLOWS)
            .good();
        let both = count();
        for (both, there) in both.iter().zip(&there) {
            assert!(
                (there * 2).abs_diff(*both) < 4 && *there >= 24,
                "{save}: {both:?}"
            );
        }
    }
    setup(&net.gateway, &["--clean"]).good();
    for setting in off {
        let (name, value) = setting.split_once('=').expect("it has a value");
        assert_eq!(
            net.gateway.run(&["sysctl", "-n", name]).good().trim(),
            value
        );
    }
}

#[test]
fn packets_of_our_own_keep_their_ports_where_addresses_are_translated() {
    if !ready(&["iptables-nft", "iptables-legacy", "python3"]) {
        return;
    }
    for backend in BACKENDS {
        let net = Gateway::new("na");
        let translate = format!("{backend} -t nat -A POSTROUTING -o out -j SNAT --to 10.91.2.1");
        let words: Vec<&str> = translate.split(' ').collect();
        net.gateway.run(&words).good();
        setup(&net.gateway, &["gateway", "--backend", backend]).good();
        let (client, server) = ("10.91.1.2", "10.91.2.2");
        net.client
            .feed(&["python3", "-", client, server, "0"], scripts::FLOWS)
            .good();
        let rule =
            "iptables-nft -I INPUT 1 -p udp --sport 9 --dport 20000 -m comment --comment right";
        net.client.run(&rule.split(' ').collect::<Vec<_>>()).good();
        // As if the server had sent it: tracking knows that direction by the
        // gateway's address only.
        let forge = ["python3", "-", server, "9", client, "20000", "0x30000000"];
        net.gateway.feed(&forge, scripts::FORGE).good();
        assert_eq!(
            matched(&net.client, "filter", "--comment right"),
            1,
            "{backend}"
        );
        // The other way round it does, and translates.
        let rule = "iptables-nft -I INPUT 1 -p udp -s 10.91.2.1 --sport 20002 --dport 9 -m comment --comment right";
        net.server.run(&rule.split(' ').collect::<Vec<_>>()).good();
        let forge = ["python3", "-", client, "20002", server, "9", "0x10000000"];
        net.gateway.feed(&forge, scripts::FORGE).good();
        assert_eq!(
            matched(&net.server, "filter", "--comment right"),
            1,
            "{backend}"
        );
    }
}

#[test]
fn closed_stops_what_would_be_queued_until_it_is_cleaned() {
    if !ready(&["iptables-nft", "python3"]) {
        return;
    }
    let net = Gateway::new("cl");
    let reach = |server: &str| net.client.feed(&["python3", "-", server], scripts::REACH);
    let arrives = |server: &str| reach(server).success;
    let both = || ["10.91.2.2", "fd91:2::2"].map(arrives);
    assert_eq!(both(), [true; 2], "the net works");
    setup(&net.gateway, &["gateway"]).good();
    assert_eq!(both(), [true; 2], "nobody listens, and it is open");
    setup(&net.gateway, &["gateway", "--on-crash", "closed"]).good();
    assert_eq!(both(), [false; 2], "nobody listens, and it is closed");
    setup(&net.gateway, &["gateway", "--closed"]).good();
    assert_eq!(both(), [false; 2]);
    setup(
        &net.gateway,
        &["gateway", "--closed", "--interfaces", "other0"],
    )
    .good();
    assert_eq!(both(), [true; 2], "other interfaces are not meant");
    setup(
        &net.gateway,
        &["gateway", "--closed", "--interfaces", "out"],
    )
    .good();
    assert_eq!(both(), [false; 2]);
    setup(&net.gateway, &["--clean"]).good();
    assert_eq!(both(), [true; 2]);
}

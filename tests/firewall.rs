//! `wero setup` and `wero doctor` on real firewalls: each test has network
//! namespaces of its own and never touches the one it runs in.

mod firewall {
    pub mod net;
    pub mod scripts;
}

use firewall::net::{Gateway, Namespace, Output, ready, wero};
use firewall::scripts;
use wero::gateway::queue_of;

const BACKENDS: [&str; 2] = ["iptables-nft", "iptables-legacy"];
const MODES: [&[&str]; 4] = [
    &["gateway", "-q", "0-3"],
    &[
        "gateway",
        "--interfaces",
        "eth0,ppp+",
        "--on-crash",
        "closed",
    ],
    &["host", "-q", "5"],
    &[
        "bridge",
        "-q",
        "0-1",
        "--mark-mask",
        "0xff00",
        "--spread",
        "connection-mark",
    ],
];

/// Rules of a user, in every table that Wero touches and one that it does not.
const USERS_RULES: &str = "*mangle
:FORWARD ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:mine - [0:0]
-A PREROUTING -j CONNMARK --restore-mark
-A FORWARD -m comment --comment \"not -j WERO, \\\"mine\\\"\" -j mine
-A POSTROUTING -o eth9 -j MARK --set-xmark 0x7/0xff
-A mine -m connmark --mark 0x5/0xf -j RETURN
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o eth9 -j MASQUERADE
COMMIT
";

/// What a firewall and the settings are now, without what changes by itself.
fn state(namespace: &Namespace, backend: &str) -> String {
    let mut text = String::new();
    for family in ["iptables", "ip6tables"] {
        let save = backend.replace("iptables", family) + "-save";
        text.push_str(&namespace.run(&[save.as_str()]).good());
    }
    if backend == "iptables-nft" {
        text.push_str(&namespace.run(&["nft", "list", "ruleset"]).good());
    }
    let settings = [
        "net.netfilter.nf_conntrack_tcp_be_liberal",
        "net.bridge.bridge-nf-call-iptables",
        "net.bridge.bridge-nf-call-ip6tables",
    ];
    for setting in settings {
        text.push_str(&namespace.run(&["sysctl", "-e", setting]).text);
    }
    without_counters(&text)
}

fn without_counters(text: &str) -> String {
    let mut kept = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let line = match line.starts_with(':') {
            true => line.split(" [").next().unwrap_or(line),
            false => line,
        };
        let words: Vec<&str> = line.split(' ').collect();
        for (at, word) in words.iter().enumerate() {
            let counter = at > 0 && ["packets", "bytes"].contains(&words[at - 1]);
            kept.push_str(if counter { "N" } else { word });
            kept.push(' ');
        }
        kept.push('\n');
    }
    kept
}

fn load_users_rules(namespace: &Namespace, backend: &str) {
    for family in ["iptables", "ip6tables"] {
        let restore = backend.replace("iptables", family) + "-restore";
        namespace.feed(&[restore.as_str()], USERS_RULES).good();
    }
}

fn setup(namespace: &Namespace, arguments: &[&str]) -> Output {
    let mut all = vec!["setup", "--namespace", namespace.name()];
    all.extend(arguments);
    wero(&all)
}

fn for_each_firewall(check: impl Fn(&Namespace, &str, &str)) {
    for backend in BACKENDS {
        for users in [false, true] {
            let namespace = Namespace::new("fw");
            // The legacy tools make a table by looking at it, for good.
            if backend == "iptables-legacy" {
                for table in ["mangle", "filter", "raw"] {
                    namespace.run(&["iptables-legacy-save", "-t", table]).good();
                    namespace
                        .run(&["ip6tables-legacy-save", "-t", table])
                        .good();
                }
            }
            if users {
                load_users_rules(&namespace, backend);
            }
            let what = format!("{backend}, rules of a user: {users}");
            check(&namespace, backend, &what);
        }
    }
}

#[test]
fn a_firewall_is_as_before_after_cleaning() {
    if !ready(&["iptables-nft", "iptables-legacy", "nft"]) {
        return;
    }
    for_each_firewall(|namespace, backend, what| {
        for mode in MODES {
            let before = state(namespace, backend);
            let mut arguments = mode.to_vec();
            arguments.extend(["--backend", backend]);
            let first = setup(namespace, &arguments).good();
            assert!(first.contains(&format!("loaded with {backend}")), "{first}");
            let once = state(namespace, backend);
            assert!(once.contains("-A FORWARD") || mode[0] == "host", "{once}");
            assert!(once.contains("NFQUEUE"), "{what} {mode:?}: {once}");
            setup(namespace, &arguments).good();
            assert_eq!(state(namespace, backend), once, "{what} {mode:?}: twice");
            setup(namespace, &["--clean"]).good();
            assert_eq!(state(namespace, backend), before, "{what} {mode:?}");
        }
        let nothing = setup(namespace, &["--clean"]).good();
        assert!(nothing.contains("nothing of Wero's was there"), "{nothing}");
    });
}

#[test]
fn what_a_killed_run_left_is_replaced_and_removed_whoever_loaded_it() {
    if !ready(&["iptables-nft", "iptables-legacy", "nft"]) {
        return;
    }
    for_each_firewall(|namespace, backend, what| {
        let other = BACKENDS
            .into_iter()
            .find(|other| *other != backend)
            .expect("there are two");
        let before = state(namespace, backend);
        // Three runs that never cleaned, each otherwise than the one before.
        setup(namespace, &["host", "-q", "0-7", "--backend", backend]).good();
        setup(namespace, &["bridge", "-q", "3", "--backend", backend]).good();
        setup(namespace, &["gateway", "-q", "0-1", "--backend", other]).good();
        let now = state(namespace, backend);
        assert!(!now.contains(":WERO"), "{what}: {now}");
        assert!(
            state(namespace, other)
                .contains("-A FORWARD -m comment --comment \"wero gateway\" -j WERO")
        );
        setup(namespace, &["gateway", "--closed", "--backend", backend]).good();
        setup(namespace, &["--clean"]).good();
        assert_eq!(state(namespace, backend), before, "{what}");
        assert!(!state(namespace, other).contains(":WERO"), "{what}");
    });
}

#[test]
fn settings_that_were_otherwise_before_stay_so() {
    if !ready(&["iptables-nft", "nft"]) {
        return;
    }
    let namespace = Namespace::new("set");
    let liberal = "net.netfilter.nf_conntrack_tcp_be_liberal";
    let value = || namespace.run(&["sysctl", "-n", liberal]).good();
    namespace
        .run(&["sysctl", "-w", &format!("{liberal}=1")])
        .good();
    setup(&namespace, &["gateway"]).good();
    setup(&namespace, &["--clean"]).good();
    assert_eq!(value().trim(), "1", "it was so before");

    namespace
        .run(&["sysctl", "-w", &format!("{liberal}=0")])
        .good();
    setup(&namespace, &["gateway", "--strict-windows"]).good();
    assert_eq!(value().trim(), "0");
    setup(&namespace, &["gateway"]).good();
    assert_eq!(value().trim(), "1");
    setup(&namespace, &["gateway", "--strict-windows"]).good();
    assert_eq!(value().trim(), "0", "what is no longer needed goes back");
    setup(&namespace, &["--clean"]).good();
    assert_eq!(value().trim(), "0");
}

#[test]
fn a_dry_run_prints_what_would_be_loaded_and_changes_nothing() {
    if !ready(&["iptables-nft", "iptables-legacy", "nft"]) {
        return;
    }
    for backend in BACKENDS {
        let namespace = Namespace::new("dry");
        let everything = || {
            let nft = namespace.run(&["nft", "list", "ruleset"]).good();
            let legacy = namespace.run(&["cat", "/proc/net/ip_tables_names"]).good();
            let v6 = namespace.run(&["cat", "/proc/net/ip6_tables_names"]).good();
            [nft, legacy, v6]
        };
        let before = everything();
        let shown = setup(
            &namespace,
            &["host", "-q", "0-1", "--backend", backend, "--dry-run"],
        )
        .good();
        assert_eq!(everything(), before, "{backend}");
        assert_eq!(before, [""; 3], "reading made a table");

        // What was shown is what a shell would do.
        namespace.feed(&["sh", "-e"], &shown).good();
        let by_hand = state(&namespace, backend);
        setup(&namespace, &["--clean"]).good();
        setup(&namespace, &["host", "-q", "0-1", "--backend", backend]).good();
        assert_eq!(state(&namespace, backend), by_hand);
        let clean = setup(&namespace, &["--clean", "--dry-run"]).good();
        assert_eq!(state(&namespace, backend), by_hand);
        assert!(clean.contains("-X WERO\n"), "{clean}");
    }
}

#[test]
fn a_dry_run_needs_no_rights() {
    if !ready(&["setpriv", "iptables-nft"]) {
        return;
    }
    let output = Output::of(
        std::process::Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .args([env!("CARGO_BIN_EXE_wero"), "setup", "gateway", "--dry-run"]),
    );
    let shown = output.good();
    assert!(
        shown.contains("-A WERO -j NFQUEUE --queue-num 0 --queue-bypass"),
        "{shown}"
    );
    assert!(shown.contains("# leftovers were not looked at"), "{shown}");
}

#[test]
fn a_tool_that_the_kernel_cannot_serve_is_refused_without_a_trace() {
    if !ready(&["nft"]) {
        return;
    }
    let namespace = Namespace::new("nft");
    let output = setup(&namespace, &["gateway", "-q", "0-1", "--backend", "nft"]);
    if output.success {
        setup(&namespace, &["--clean"]).good();
    } else {
        assert!(output.errors.contains("nft: "), "{}", output.errors);
        assert!(output.errors.contains("wero doctor"), "{}", output.errors);
    }
    assert_eq!(namespace.run(&["nft", "list", "ruleset"]).good(), "");
    let shown = setup(&namespace, &["gateway", "--closed", "--backend", "nft"]).good();
    assert!(shown.contains("forwarded packets are dropped"), "{shown}");
    let listing = namespace.run(&["nft", "list", "ruleset"]).good();
    assert!(
        listing.contains("table inet wero") && listing.contains("drop"),
        "{listing}"
    );
    assert!(
        listing.contains("wero-was net.netfilter.nf_conntrack_tcp_be_liberal=0"),
        "{listing}"
    );
    setup(&namespace, &["--clean"]).good();
    assert_eq!(namespace.run(&["nft", "list", "ruleset"]).good(), "");
    let liberal = "net.netfilter.nf_conntrack_tcp_be_liberal";
    assert_eq!(namespace.run(&["sysctl", "-n", liberal]).good().trim(), "0");
}

/// Packets that the rules to each queue have matched.
fn queue_counters(gateway: &Namespace, save: &str, queues: u16) -> Vec<u64> {
    let mut counters = vec![0; queues.into()];
    for line in gateway.run(&[save, "-c", "-t", "mangle"]).good().lines() {
        let Some((_, queue)) = line.split_once("--queue-num ") else {
            continue;
        };
        let queue: usize = queue
            .split(' ')
            .next()
            .expect("a word")
            .parse()
            .expect("a number");
        let packets = line
            .trim_start_matches('[')
            .split(':')
            .next()
            .expect("a counter");
        counters[queue] += packets.parse::<u64>().expect("a number");
    }
    counters
}

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

/// Packets that a rule of the mangle or filter table has matched.
fn matched(namespace: &Namespace, table: &str, rule: &str) -> u64 {
    let saved = namespace
        .run(&["iptables-nft-save", "-c", "-t", table])
        .good();
    let line = saved
        .lines()
        .find(|line| line.contains(rule))
        .unwrap_or_else(|| panic!("no '{rule}' in\n{saved}"));
    let packets = line.trim_start_matches('[').split(':').next();
    packets
        .expect("a counter")
        .parse()
        .expect("a counter is a number")
}

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
    if !ready(&["iptables-nft", "ping"]) {
        return;
    }
    let net = Gateway::new("cl");
    let arrives = |server: &str| net.client.run(&["ping", "-c1", "-W1", server]).success;
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

#[test]
fn the_doctor_says_who_holds_a_queue_and_what_is_left() {
    if !ready(&["iptables-nft", "python3"]) {
        return;
    }
    let namespace = Namespace::new("doc");
    let doctor = |arguments: &[&str]| {
        let mut all = vec!["doctor", "--namespace", namespace.name()];
        all.extend(arguments);
        wero(&all)
    };
    let healthy = doctor(&[]);
    assert!(healthy.success, "{}{}", healthy.text, healthy.errors);
    for line in [
        "ok       rights      CAP_NET_ADMIN",
        "ok       queue       queue 0 is free",
        "ok       lua         LuaJIT compiles",
        "warning  forwarding  IPv4 is not forwarded",
        "-> sysctl -w net.ipv4.ip_forward=1",
        "nothing of Wero's is loaded",
        "a run would work",
    ] {
        assert!(
            healthy.text.contains(line),
            "no '{line}' in\n{}",
            healthy.text
        );
    }
    assert_eq!(namespace.run(&["nft", "list", "ruleset"]).good(), "");

    setup(&namespace, &["gateway", "-q", "4-5"]).good();
    let left = doctor(&["-q", "4-5"]).good();
    assert!(left.contains("wero setup --clean"), "{left}");

    let listener = namespace.listen(4);
    let held = doctor(&["-q", "4-5", "--json"]);
    assert!(!held.success, "{}", held.text);
    let found: serde_json::Value = serde_json::from_str(&held.text).expect("it is JSON");
    assert_eq!(found["would_run"], false);
    let told = format!("(process {})", listener.pid());
    let named = found["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .any(|check| {
            check["state"] == "missing"
                && check["text"].as_str().is_some_and(|text| {
                    text.starts_with("queue 4 is held by python") && text.ends_with(&told)
                })
        });
    assert!(named, "{}", held.text);
    assert!(doctor(&["-q", "7"]).success, "other queues are free");
}

#[test]
fn the_doctor_says_without_rights_what_it_could_not_see() {
    if !ready(&["setpriv"]) {
        return;
    }
    let output = Output::of(
        std::process::Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .args([env!("CARGO_BIN_EXE_wero"), "doctor"]),
    );
    assert!(!output.success);
    for line in [
        "missing  rights      no CAP_NET_ADMIN",
        "warning  firewall    queues and rules were not looked at",
        "a run would not work",
    ] {
        assert!(
            output.text.contains(line),
            "no '{line}' in\n{}",
            output.text
        );
    }
    assert!(!output.text.contains("loads the rules"), "{}", output.text);
}

#[test]
fn a_program_can_ask_whether_rules_lead_to_a_queue() {
    if !ready(&["iptables-nft", "iptables-legacy"]) {
        return;
    }
    for backend in BACKENDS {
        let namespace = Namespace::new("div");
        let diverted = |queue| {
            let name = namespace.name().to_owned();
            // The namespace is the thread's.
            std::thread::spawn(move || {
                wero::gateway::namespace::enter(&name).expect("the namespace is there");
                wero::gateway::diverts(queue)
            })
            .join()
            .expect("it ends well")
        };
        assert!(!diverted(2));
        setup(&namespace, &["gateway", "-q", "2-3", "--backend", backend]).good();
        assert!(diverted(2) && diverted(3) && !diverted(4));
        setup(&namespace, &["gateway", "-q", "2-3", "--closed"]).good();
        assert!(!diverted(2), "a drop leads nowhere");
        setup(&namespace, &["--clean"]).good();
        namespace
            .run(&[
                backend,
                "-A",
                "INPUT",
                "-j",
                "NFQUEUE",
                "--queue-balance",
                "7:9",
            ])
            .good();
        assert!(diverted(8) && !diverted(2));
    }
}

//! `wero setup`: what it loads, what it shows, and that cleaning leaves
//! everything as it was.

use super::net::{Namespace, Output, ready};
use super::rules::{BACKENDS, setup};

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

fn load_users_rules(namespace: &Namespace, backend: &str) {
    for family in ["iptables", "ip6tables"] {
        let restore = backend.replace("iptables", family) + "-restore";
        namespace.feed(&[restore.as_str()], USERS_RULES).good();
    }
}

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

//! The self-test before a run: a datagram through a queue, and what becomes of
//! a run whose tool does not lead it there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use wero::capture::nfqueue::Config;
use wero::gateway::Backend;
use wero::gateway::selftest::{self, Outcome};

use super::net::{Namespace, Output, ready, wero};
use super::rules::BACKENDS;

const WERO: &str = env!("CARGO_BIN_EXE_wero");

/// A folder with rules that do nothing, for programs that stand in for others.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("there is room");
    fs::write(rules(&folder), "require('protocol/ipv4')\n").expect("there is room");
    folder
}

fn rules(folder: &TempDir) -> String {
    folder.path().join("nothing.lua").display().to_string()
}

/// A program that takes rules and loads none that leads to a queue. It notes
/// the namespace that it was called in.
fn false_tool(folder: &Path, name: &str) {
    let path = folder.join(name);
    let noted = folder.join("called-in").display().to_string();
    let script = format!(
        "#!/bin/sh\nreadlink /proc/self/ns/net >> {noted}\n\
         PATH=/usr/sbin:/sbin:/usr/bin:/bin\nsed 's/-j NFQUEUE.*/-j ACCEPT/' | {name} \"$@\"\n"
    );
    fs::write(&path, script).expect("there is room");
    let runs = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&path, runs).expect("it is ours");
}

/// Runs the program under test inside, with the tools of a folder before all
/// others, for `seconds` at most.
fn run_with(namespace: &Namespace, tools: &TempDir, seconds: &str, arguments: &[&str]) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("PATH={}:{path}", tools.path().display());
    let mut all = vec!["timeout", "-s", "INT", seconds, "env", path.as_str(), WERO];
    all.extend(arguments);
    namespace.run(&all)
}

#[test]
fn datagrams_come_through_a_queue_with_each_tool() {
    if !ready(&["iptables-nft", "iptables-legacy"]) {
        return;
    }
    for backend in [Backend::IptablesNft, Backend::IptablesLegacy] {
        let outcome = selftest::run(backend, &Config::default());
        let Outcome::Passed { families, took } = outcome else {
            panic!("{backend}: {outcome}");
        };
        println!("{backend}: {took:?}");
        assert!(!families.is_empty());
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[test]
fn a_run_begins_with_the_self_test_and_leaves_nothing_of_it() {
    if !ready(&["iptables-nft", "iptables-legacy", "nft", "timeout"]) {
        return;
    }
    for backend in BACKENDS {
        let (namespace, folder) = (Namespace::new("st"), folder());
        let rules = rules(&folder);
        let arguments = ["run", &rules, "--setup", "gateway", "--backend", backend];
        let run = run_with(&namespace, &folder, "3", &arguments);
        let told = format!("self-test with {backend}: datagrams over IPv4");
        let tested = run.errors.find(&told);
        let ready = run.errors.find("ready: ");
        assert!(tested.is_some() && tested < ready, "{}", run.errors);
        assert_eq!(namespace.run(&["nft", "list", "ruleset"]).good(), "");
    }
}

#[test]
fn no_traffic_is_diverted_by_a_tool_whose_packets_do_not_come() {
    if !ready(&["iptables-nft", "nft", "timeout"]) {
        return;
    }
    for (program, family) in [
        ("iptables-nft-restore", "IPv4"),
        ("ip6tables-nft-restore", "IPv6"),
    ] {
        let (namespace, folder) = (Namespace::new("sf"), folder());
        false_tool(folder.path(), program);
        let rules = rules(&folder);
        let arguments = [
            "run",
            &rules,
            "--setup",
            "gateway",
            "--backend",
            "iptables-nft",
        ];
        let run = run_with(&namespace, &folder, "10", &arguments);
        assert!(!run.success);
        for line in [
            &format!("the self-test failed: {family}: a datagram was not led to the queue"),
            "`wero doctor` says what is missing",
        ] {
            assert!(run.errors.contains(line), "no '{line}' in {}", run.errors);
        }
        assert!(!run.errors.contains("ready: "), "{}", run.errors);
        // Rules were loaded in namespaces made for the purpose only.
        let own = namespace.run(&["readlink", "/proc/self/ns/net"]).good();
        let called = fs::read_to_string(folder.path().join("called-in")).expect("it was called");
        assert!(!called.contains(own.trim()), "{own} is in {called}");
        assert_eq!(namespace.run(&["nft", "list", "ruleset"]).good(), "");
    }
}

#[test]
fn the_next_tool_takes_the_place_of_one_that_fails() {
    if !ready(&["iptables-nft", "iptables-legacy", "timeout"]) {
        return;
    }
    let (namespace, folder) = (Namespace::new("sn"), folder());
    false_tool(folder.path(), "iptables-nft-restore");
    let rules = rules(&folder);
    let arguments = ["run", &rules, "--setup", "gateway"];
    let run = run_with(&namespace, &folder, "4", &arguments);
    for line in [
        "self-test with iptables-nft: failed: IPv4: a datagram was not led",
        "self-test with iptables-legacy: datagrams over IPv4",
        "ready: ",
    ] {
        assert!(run.errors.contains(line), "no '{line}' in {}", run.errors);
    }
    let doctor = run_with(&namespace, &folder, "20", &["doctor"]).good();
    for line in [
        "warning  self-test   iptables-nft: failed: IPv4",
        "ok       self-test   iptables-legacy: datagrams over IPv4",
    ] {
        assert!(doctor.contains(line), "no '{line}' in\n{doctor}");
    }
}

#[test]
fn a_run_without_the_right_to_make_namespaces_goes_on() {
    if !ready(&["iptables-nft", "setpriv", "timeout"]) {
        return;
    }
    let (namespace, folder) = (Namespace::new("sr"), folder());
    let rules = rules(&folder);
    let mut command = vec!["setpriv", "--bounding-set", "-sys_admin"];
    command.extend(["timeout", "-s", "INT", "3", WERO, "run", &rules]);
    command.extend(["--setup", "gateway", "--backend", "iptables-nft"]);
    let run = namespace.run(&command);
    for line in [
        "self-test with iptables-nft: skipped: it needs a network namespace of its own",
        "ready: ",
    ] {
        assert!(run.errors.contains(line), "no '{line}' in {}", run.errors);
    }
}

#[test]
fn the_doctor_tells_of_the_self_test() {
    if !ready(&["iptables-nft"]) {
        return;
    }
    let namespace = Namespace::new("sd");
    let told = wero(&["doctor", "--namespace", namespace.name()]).good();
    let line = "ok       self-test   iptables-nft: datagrams over IPv4";
    assert!(told.contains(line), "no '{line}' in\n{told}");
}

//! What `wero doctor` says, and what programs can ask.

use super::net::{Namespace, Output, ready, wero};
use super::rules::{BACKENDS, setup};

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

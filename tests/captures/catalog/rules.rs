//! The traffic of `rules/`: one capture for each rule file, in the folder
//! beside it. Each has what the rule is for, in both families, between
//! ordinary conversations that it must leave alone.
//!
//! Addresses are those of [`super::samples`].

use super::super::conversation::client;
use super::super::scenario::Scenario;
use super::super::wire::flag::{FIN, PSH, RST, SYN, URG};
use super::Capture;
use super::samples::{machine_code, remote_shell, telnet, web_visit};

type Play = fn(&mut Scenario);

const RULES: [(&str, Play); 7] = [
    ("ip/land", land),
    ("tcp/xmas-scan", xmas_scan),
    ("tcp/bad-flags", bad_flags),
    ("tcp/port-scan", port_scan),
    ("tcp/syn-flood", syn_flood),
    ("tcp/shellcode", machine_code),
    ("tcp/firewall", firewall),
];

/// A stranger and a server of each family.
const ENDS: [(&str, &str); 2] = [
    ("203.0.113.66", "10.2.0.80"),
    ("[2001:db8:bad::66]", "[2001:db8:2::80]"),
];

pub fn all() -> Vec<Capture> {
    RULES
        .iter()
        .map(|(name, play)| {
            let mut scenario = Scenario::new();
            ordinary(&mut scenario, 40312);
            play(&mut scenario);
            ordinary(&mut scenario, 40412);
            Capture {
                path: format!("rules/{name}/input.pcap"),
                recording: scenario.into_recording(),
            }
        })
        .collect()
}

/// What no rule has anything to say about.
fn ordinary(s: &mut Scenario, port: u16) {
    s.plays(web_visit(&format!("10.1.0.7:{port}"), "10.2.0.80:80"));
    s.plays(web_visit(
        &format!("[2001:db8:1::7]:{port}"),
        "[2001:db8:2::80]:80",
    ));
}

/// A host talks to itself on the wire; over its loopback it may.
fn land(s: &mut Scenario) {
    for host in ["10.2.0.80", "[2001:db8:2::80]", "127.0.0.1", "[::1]"] {
        s.probe(&format!("{host}:139"), &format!("{host}:139"), SYN);
        s.udp(&format!("{host}:7"), &format!("{host}:19"), b"to myself");
    }
}

fn xmas_scan(s: &mut Scenario) {
    for (from, to) in ENDS {
        for port in [22, 80] {
            let to = format!("{to}:{port}");
            s.probe(&format!("{from}:50000"), &to, FIN | PSH | URG);
        }
    }
}

/// Each combination that the rule knows, and the Xmas scan that it leaves to
/// another.
fn bad_flags(s: &mut Scenario) {
    let flags = [
        SYN | FIN,
        SYN | RST,
        FIN | RST,
        0,
        FIN,
        PSH,
        FIN | PSH | URG,
    ];
    for (from, to) in ENDS {
        for (port, flags) in (22..).zip(flags) {
            s.probe(&format!("{from}:50000"), &format!("{to}:{port}"), flags);
        }
    }
}

/// One source knocks at 40 ports, another at a few.
fn port_scan(s: &mut Scenario) {
    for (from, to) in ENDS {
        for port in 1..=40 {
            s.probe(&format!("{from}:50000"), &format!("{to}:{port}"), SYN);
        }
    }
    for port in 1..=5 {
        s.probe("203.0.113.7:50001", &format!("10.2.0.80:{port}"), SYN);
    }
}

/// One source opens more connections than the limit, another fewer.
fn syn_flood(s: &mut Scenario) {
    for (from, to) in ENDS {
        for port in 10_000..10_205 {
            s.probe(&format!("{from}:{port}"), &format!("{to}:80"), SYN);
        }
    }
    for port in 10_000..10_050 {
        s.probe(&format!("203.0.113.7:{port}"), "10.2.0.80:80", SYN);
    }
}

/// Allowed and refused by network and by port, and a stranger in the middle
/// of a connection that nobody saw begin.
fn firewall(s: &mut Scenario) {
    s.plays(remote_shell("10.1.0.7:40320", "10.2.0.80:22"));
    s.plays(remote_shell("10.1.9.9:40321", "10.2.0.80:22"));
    s.plays(telnet("10.1.0.7:40322", "10.2.0.80:23"));
    s.plays(web_visit("203.0.113.66:41000", "10.2.0.80:80"));
    s.plays(remote_shell("[2001:db8:1::7]:40323", "[2001:db8:2::80]:22"));
    s.plays(web_visit("[2001:db8:bad::66]:41001", "[2001:db8:2::80]:80"));
    let mut unseen = client("10.1.0.7:40324", "10.2.0.80:443");
    unseen.client_says(b"from before\n");
    s.plays(unseen);
}

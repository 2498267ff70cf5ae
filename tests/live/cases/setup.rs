//! A person sets Wero up, sees a rule at work and stops it: the firewall is as
//! it was.

use crate::firewall;
use crate::harness::{Case, Outcome, Pace};
use crate::net::{BOTH, Family, Link, Net};
use crate::process;
use crate::programs::Nginx;
use crate::wero::{Run, Stance, Wero};

pub const CASES: &[Case] = &[
    Case {
        name: "setup::block-and-header",
        pace: Pace::Quick,
        needs: &["ip", "curl", "nginx", "iptables"],
        run: block_and_header,
    },
    Case {
        name: "setup::after-kill",
        pace: Pace::Quick,
        needs: &["ip", "curl", "nginx", "iptables"],
        run: after_kill,
    },
    Case {
        name: "setup::start-again-after-kill",
        pace: Pace::Quick,
        needs: &["ip", "curl", "nginx", "iptables"],
        run: start_again,
    },
    Case {
        name: "setup::closed-stop",
        pace: Pace::Quick,
        needs: &["ip", "curl", "nginx", "iptables"],
        run: closed_stop,
    },
    Case {
        name: "setup::host",
        pace: Pace::Quick,
        needs: &["ip", "curl", "nginx", "iptables"],
        run: host,
    },
    Case {
        name: "setup::bridge",
        pace: Pace::Quick,
        needs: &["ip", "curl", "nginx", "iptables"],
        run: bridge,
    },
    Case {
        name: "setup::monitor",
        pace: Pace::Quick,
        needs: &["ip", "curl", "nginx", "iptables"],
        run: monitor,
    },
    Case {
        name: "setup::broken-rules",
        pace: Pace::Quick,
        needs: &["ip", "iptables"],
        run: broken_rules,
    },
];

/// A firewall of the user's, whose rules must stay and stay first.
fn user_rules(net: &Net) -> Result<(), String> {
    for family in BOTH {
        for rule in [
            "-A FORWARD -p tcp --dport 25 -j REJECT",
            "-t mangle -A FORWARD -p tcp --dport 26 -j DROP",
            "-t nat -A POSTROUTING -p tcp --dport 27 -j MASQUERADE",
        ] {
            firewall::add(&net.gateway, family, rule)?;
        }
    }
    Ok(())
}

/// What curl gets: status, or the error's number, and the header of the rule.
fn curl(net: &Net, family: Family, path: &str) -> Result<(String, bool), String> {
    let mut command = net.client.command("curl");
    command
        .args(["-s", "-g", "-i", "--max-time", "3"])
        .arg(family.url(path));
    let ended = process::outcome(&mut command)?;
    let status = match ended.status.code() {
        Some(0) => ended
            .output
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .to_string(),
        code => format!("curl error {}", code.unwrap_or_default()),
    };
    Ok((status, ended.output.contains("X-Seen-By: wero")))
}

/// The uri is blocked by a reset, other responses have the header.
fn rule_works(net: &Net, wero: &Wero) -> Result<(), String> {
    for family in BOTH {
        for (path, expected, header) in [
            ("/1000", "200", true),
            ("/forbidden/page", "curl error 56", false),
            ("/missing", "404", true),
        ] {
            let got = curl(net, family, path)?;
            if got != (expected.to_string(), header) {
                let words = wero.process.last_words();
                return Err(format!(
                    "{family:?} {path}: {got:?}, expected {expected} with the header: {header}; wero said: {words}"
                ));
            }
        }
    }
    Ok(())
}

fn untouched(net: &Net) -> Result<(), String> {
    for family in BOTH {
        for (path, expected) in [("/1000", "200"), ("/forbidden/page", "404")] {
            let got = curl(net, family, path)?;
            if got != (expected.to_string(), false) {
                return Err(format!("{family:?} {path} without wero: {got:?}"));
            }
        }
    }
    Ok(())
}

fn block_and_header() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let _nginx = Nginx::start(&net, &[1000])?;
    user_rules(&net)?;
    let before = firewall::state(&net.gateway)?;
    let mut wero = Run::gateway(&net.gateway).rules("block.lua").start()?;
    rule_works(&net, &wero)?;
    let alerts = wero.count("forbidden uri /forbidden/page");
    if alerts != 2 {
        return Err(format!("{alerts} alerts, expected one for each family"));
    }
    wero.stop()?;
    firewall::same(&before, &firewall::state(&net.gateway)?)?;
    untouched(&net)?;
    Ok(String::new())
}

fn after_kill() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let _nginx = Nginx::start(&net, &[1000])?;
    user_rules(&net)?;
    let before = firewall::state(&net.gateway)?;
    let mut wero = Run::gateway(&net.gateway).rules("block.lua").start()?;
    rule_works(&net, &wero)?;
    wero.kill()?;
    let left = firewall::state(&net.gateway)?;
    if left == before {
        return Err("the killed run left nothing: then it diverted nothing".to_string());
    }
    wero.clean()?;
    firewall::same(&before, &firewall::state(&net.gateway)?)?;
    // Cleaning what is clean changes nothing.
    wero.clean()?;
    firewall::same(&before, &firewall::state(&net.gateway)?)?;
    untouched(&net)?;
    Ok(String::new())
}

/// A run finds what a killed one left, works, and leaves nothing itself.
fn start_again() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let _nginx = Nginx::start(&net, &[1000])?;
    user_rules(&net)?;
    let before = firewall::state(&net.gateway)?;
    let mut killed = Run::gateway(&net.gateway).rules("block.lua").start()?;
    killed.kill()?;
    let mut wero = Run::gateway(&net.gateway).rules("block.lua").start()?;
    rule_works(&net, &wero)?;
    wero.terminate()?;
    firewall::same(&before, &firewall::state(&net.gateway)?)?;
    Ok(String::new())
}

/// `on_stop = closed`: nothing passes until somebody cleans up.
fn closed_stop() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let _nginx = Nginx::start(&net, &[1000])?;
    let before = firewall::state(&net.gateway)?;
    let mut wero = Run::gateway(&net.gateway).on_stop(Stance::Closed).start()?;
    wero.stop()?;
    for family in BOTH {
        let got = curl(&net, family, "/1000")?;
        // 28: the time is over.
        if got.0 != "curl error 28" {
            return Err(format!("{family:?} after a closed stop: {got:?}"));
        }
    }
    wero.clean()?;
    firewall::same(&before, &firewall::state(&net.gateway)?)?;
    untouched(&net)?;
    Ok(String::new())
}

/// On the server itself instead of on the way to it.
fn host() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let _nginx = Nginx::start(&net, &[1000])?;
    let before = firewall::state(&net.server)?;
    let mut wero = Run::host(&net.server).rules("block.lua").start()?;
    rule_works(&net, &wero)?;
    wero.stop()?;
    firewall::same(&before, &firewall::state(&net.server)?)?;
    untouched(&net)?;
    Ok(String::new())
}

/// Between neighbours that do not know of it.
fn bridge() -> Outcome {
    let net = Net::new(Link::Bridged)?;
    let _nginx = Nginx::start(&net, &[1000])?;
    let before = firewall::state(&net.gateway)?;
    untouched(&net)?;
    let mut wero = Run::bridge(&net.gateway).rules("block.lua").start()?;
    rule_works(&net, &wero)?;
    wero.stop()?;
    firewall::same(&before, &firewall::state(&net.gateway)?)?;
    untouched(&net)?;
    Ok(String::new())
}

/// Rules see everything and change nothing.
fn monitor() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let _nginx = Nginx::start(&net, &[1000])?;
    let before = firewall::state(&net.gateway)?;
    let mut wero = Run::gateway(&net.gateway)
        .rules("block.lua")
        .monitor()
        .start()?;
    untouched(&net)?;
    let alerts = wero.count("forbidden uri /forbidden/page");
    if alerts != 2 {
        let words = wero.process.last_words();
        return Err(format!(
            "{alerts} alerts, expected one for each family: {words}"
        ));
    }
    wero.stop()?;
    firewall::same(&before, &firewall::state(&net.gateway)?)?;
    Ok(String::new())
}

/// Rules that do not compile divert nothing, not for a moment.
fn broken_rules() -> Outcome {
    let net = Net::new(Link::Whole)?;
    let before = firewall::state(&net.gateway)?;
    let refused = Run::gateway(&net.gateway).rule_text("haka.rule {").start();
    let Err(why) = refused else {
        return Err("rules that do not compile were taken".to_string());
    };
    if !why.contains("rule.lua") {
        return Err(format!("the message does not name the file: {why}"));
    }
    firewall::same(&before, &firewall::state(&net.gateway)?)?;
    Ok(String::new())
}

//! Settings of the network that decide whether traffic gets to a queue, and
//! whether what Wero sends gets out.

use std::fs;

use super::Check;
use crate::gateway::plan::{Mode, Plan};
use crate::gateway::settings::{self, BRIDGE_V4, BRIDGE_V6, LIBERAL};
use crate::gateway::tools::{find, run};

pub(super) fn checks(plan: &Plan) -> Vec<Check> {
    let mut checks = Vec::new();
    if plan.mode == Mode::Gateway {
        checks.extend(forwarding(settings::read));
    }
    checks.push(liberal(settings::read(LIBERAL)));
    checks.extend(table_fill(
        settings::read("net.netfilter.nf_conntrack_count"),
        settings::read("net.netfilter.nf_conntrack_max"),
    ));
    let interfaces = interfaces();
    checks.extend(reverse_path(&interfaces, settings::read));
    checks.push(routing());
    checks.extend(offload(&interfaces));
    checks
}

fn forwarding(read: impl Fn(&str) -> Option<String>) -> Vec<Check> {
    [
        ("IPv4", "net.ipv4.ip_forward"),
        ("IPv6", "net.ipv6.conf.all.forwarding"),
    ]
    .into_iter()
    .filter_map(|(family, setting)| {
        Some(match read(setting)?.as_str() {
            "0" => Check::warning(
                "forwarding",
                format!("{family} is not forwarded: nothing reaches the queue"),
                format!("sysctl -w {setting}=1"),
            ),
            _ => Check::ok("forwarding", format!("{family} is forwarded")),
        })
    })
    .collect()
}

fn liberal(value: Option<String>) -> Check {
    match value.as_deref() {
        Some("0") => Check::warning(
            "conntrack",
            "windows are checked strictly: a stream that rules lengthen would become invalid",
            format!("`wero setup` sets it and puts it back; else sysctl -w {LIBERAL}=1"),
        ),
        Some(_) => Check::ok("conntrack", "streams may be lengthened"),
        None => Check::warning(
            "conntrack",
            "the kernel has no connection tracking loaded",
            "modprobe nf_conntrack; the rules load it too",
        ),
    }
}

/// A full table drops new connections before they get to a queue.
fn table_fill(count: Option<String>, max: Option<String>) -> Option<Check> {
    let count: u64 = count?.parse().ok()?;
    let max: u64 = max?.parse().ok()?;
    let text = format!("{count} of {max} connections are tracked");
    Some(match count.saturating_mul(10) >= max.saturating_mul(8) {
        true => Check::warning(
            "conntrack",
            text,
            "raise it: sysctl -w net.netfilter.nf_conntrack_max=…",
        ),
        false => Check::ok("conntrack", text),
    })
}

/// `all` and each interface count, the stricter wins.
fn reverse_path(interfaces: &[String], read: impl Fn(&str) -> Option<String>) -> Option<Check> {
    // A dot in a name is a slash where settings are named.
    let of = |name: &str| -> u8 {
        let name = name.replace('.', "/");
        // Only what is below `conf` is asked, so a plain name is fine.
        read(&format!("net.ipv4.conf.{name}.rp_filter"))
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    };
    let all = of("all");
    let strict: Vec<&str> = interfaces
        .iter()
        .filter(|name| *name != "lo" && all.max(of(name)) == 1)
        .map(String::as_str)
        .collect();
    Some(match strict.is_empty() {
        true => Check::ok("routing", "packets may come by any interface (rp_filter)"),
        false => Check::warning(
            "routing",
            format!(
                "rp_filter is strict on {}: packets that do not come by the way back to their sender are dropped before they are queued",
                shortened(&strict)
            ),
            "where routes are asymmetric: sysctl -w net.ipv4.conf.all.rp_filter=2",
        ),
    })
}

fn shortened(names: &[&str]) -> String {
    let first: Vec<&str> = names.iter().take(4).copied().collect();
    match names.len().saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Packets of our own carry a bit in their mark when they are routed.
fn routing() -> Check {
    let ok = Check::ok("routing", "no routing rule compares whole packet marks");
    let Some(program) = find("ip") else {
        return ok;
    };
    let rules: String = ["-4", "-6"]
        .into_iter()
        .filter_map(|family| run(&program, &[family, "rule"], "").ok())
        .collect();
    match whole_mark(&rules) {
        None => ok,
        Some(rule) => Check::warning(
            "routing",
            format!(
                "a routing rule compares whole packet marks: {rule}; packets of Wero's own carry a bit more and miss it"
            ),
            "give the rule a mask: ip rule add fwmark 0x1/0xff …",
        ),
    }
}

fn whole_mark(rules: &str) -> Option<&str> {
    rules.lines().map(str::trim).find(|line| {
        line.split_once("fwmark ")
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .is_some_and(|mark| !mark.contains('/'))
    })
}

/// Joined segments are what makes bulk traffic cheap.
fn offload(interfaces: &[String]) -> Option<Check> {
    let program = find("ethtool")?;
    let without: Vec<&str> = interfaces
        .iter()
        .filter(|name| *name != "lo")
        .filter(|name| {
            run(&program, &["-k", name], "").is_ok_and(|features| {
                features.contains("generic-receive-offload: off")
                    || features.contains("generic-segmentation-offload: off")
            })
        })
        .map(String::as_str)
        .collect();
    Some(match without.is_empty() {
        true => Check::ok("offload", "segments come joined (GRO, GSO)"),
        false => Check::warning(
            "offload",
            format!(
                "{} hand over every segment alone: bulk transfers cost several times more",
                shortened(&without)
            ),
            format!(
                "ethtool -K {} gro on gso on",
                without.first().unwrap_or(&"IF")
            ),
        ),
    })
}

/// Names from `/proc`: `/sys` may be that of another namespace.
fn interfaces() -> Vec<String> {
    let text = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    text.lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect()
}

pub(super) fn bridge_checks() -> Vec<Check> {
    let seen = [("IPv4", BRIDGE_V4), ("IPv6", BRIDGE_V6)]
        .into_iter()
        .map(
            |(family, setting)| match settings::read(setting).as_deref() {
                None => Check::missing(
                    "bridge",
                    format!("{family}: the kernel does not show bridged packets to the firewall"),
                    "modprobe br_netfilter",
                ),
                Some("0") => Check::warning(
                    "bridge",
                    format!("{family}: bridged packets are not shown to the firewall"),
                    format!(
                        "`wero setup bridge` sets it and puts it back; else sysctl -w {setting}=1"
                    ),
                ),
                Some(_) => Check::ok(
                    "bridge",
                    format!("{family}: the firewall sees bridged packets"),
                ),
            },
        );
    let mut checks: Vec<Check> = seen.collect();
    checks.push(Check::warning(
        "bridge",
        "packets of Wero's own (resets, extra segments) leave by the routes of this machine",
        "give the bridge an address in the networks that it joins, or a route to them; without one nothing can be sent",
    ));
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::doctor::State;

    fn given(setting: &'static str, value: &'static str) -> impl Fn(&str) -> Option<String> {
        move |asked| (asked == setting).then(|| value.to_owned())
    }

    #[test]
    fn a_gateway_that_forwards_nothing_is_told() {
        let off = forwarding(given("net.ipv4.ip_forward", "0"));
        assert_eq!((off.len(), off[0].state), (1, State::Warning));
        let on = forwarding(given("net.ipv6.conf.all.forwarding", "1"));
        assert_eq!(on[0].state, State::Ok);
    }

    #[test]
    fn connection_tracking_is_judged() {
        let fill = |count: &str, max: &str| {
            table_fill(Some(count.to_owned()), Some(max.to_owned())).map(|check| check.state)
        };
        assert_eq!(fill("10", "100"), Some(State::Ok));
        assert_eq!(fill("80", "100"), Some(State::Warning));
        assert_eq!(fill("", "100"), None);
        assert_eq!(liberal(Some("0".to_owned())).state, State::Warning);
        assert_eq!(liberal(Some("1".to_owned())).state, State::Ok);
        assert_eq!(liberal(None).state, State::Warning);
    }

    #[test]
    fn strict_filters_and_whole_marks_are_found() {
        let names = ["lo".to_owned(), "eth0.20".to_owned(), "eth1".to_owned()];
        let one = reverse_path(&names, given("net.ipv4.conf.eth0/20.rp_filter", "1"));
        let text = one.expect("there are interfaces").text;
        assert!(text.contains("strict on eth0.20:"), "{text}");
        let loose = reverse_path(&names, given("net.ipv4.conf.all.rp_filter", "2"));
        assert_eq!(loose.map(|check| check.state), Some(State::Ok));

        let rules = "0:\tfrom all lookup local\n100:\tfrom all fwmark 0x1/0xff lookup 7\n";
        assert_eq!(whole_mark(rules), None);
        let rules = "100:\tfrom all fwmark 0x1 lookup 7\n";
        assert_eq!(whole_mark(rules), Some(rules.trim()));
        assert_eq!(
            shortened(&["a", "b", "c", "d", "e"]),
            "a, b, c, d and 1 more"
        );
    }
}

//! What this process may do: rights, limits, and whether LuaJIT and its
//! watchdog work.

use std::fs;

use super::Check;
use crate::lua::{Host, Limits};

const ADMIN: u32 = 12;
const RAW: u32 = 13;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = rights(&read("/proc/thread-self/status"));
    checks.extend(limits(&read("/proc/thread-self/limits")));
    checks.push(lua());
    checks
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Whether this process may look at queues and rules.
pub(super) fn may_administer() -> bool {
    effective(&read("/proc/thread-self/status")) >> ADMIN & 1 == 1
}

fn effective(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .unwrap_or(0)
}

fn rights(status: &str) -> Vec<Check> {
    let effective = effective(status);
    let grant = "run as root (in a container: --cap-add NET_ADMIN --cap-add NET_RAW); for queues that others lead to, without firewall tools, also: setcap cap_net_admin,cap_net_raw+ep wero";
    [
        (ADMIN, "CAP_NET_ADMIN", "queues and firewall rules"),
        (RAW, "CAP_NET_RAW", "resets and other packets of Wero's own"),
    ]
    .into_iter()
    .map(|(bit, name, what)| match effective >> bit & 1 {
        1 => Check::ok("rights", format!("{name}, for {what}")),
        _ => Check::missing("rights", format!("no {name}, needed for {what}"), grant),
    })
    .collect()
}

/// Soft limits that workers run into: a descriptor or two and a timer with a
/// signal for each.
fn limits(text: &str) -> Vec<Check> {
    [
        ("Max open files", 256, "ulimit -n 1024", "files"),
        (
            "Max pending signals",
            128,
            "ulimit -i 1024",
            "signals: each worker's watchdog has one",
        ),
    ]
    .into_iter()
    .filter_map(|(name, least, mend, what)| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let soft = line.split_whitespace().next()?;
        Some(match soft.parse::<u64>() {
            Ok(number) if number < least => Check::warning(
                "limits",
                format!("{number} {what}: few for several workers"),
                mend,
            ),
            _ => Check::ok("limits", format!("{soft} {what}")),
        })
    })
    .collect()
}

/// Opens a state, which stops a runaway loop to prove that it can, and sees
/// whether code is compiled.
fn lua() -> Check {
    let mut host = match Host::open(Limits::default()) {
        Ok(host) => host,
        Err(error) => {
            return Check::missing(
                "lua",
                format!("LuaJIT or its watchdog does not work: {error}"),
                "timers with signals and CPU clocks of threads have to be allowed (seccomp profile, RLIMIT_SIGPENDING)",
            );
        }
    };
    let compiles = host.guarded(|lua| lua.load("return (jit.status())").eval::<bool>());
    match compiles {
        Ok(true) => Check::ok(
            "lua",
            "LuaJIT compiles, and its watchdog stops runaway rules",
        ),
        Ok(false) => Check::warning(
            "lua",
            "LuaJIT only interprets: rules are several times slower",
            "allow executable memory (SELinux execmem, systemd MemoryDenyWriteExecute=no)",
        ),
        Err(failure) => Check::missing(
            "lua",
            format!("LuaJIT runs nothing: {failure:?}"),
            "report this: it is a defect",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::doctor::State;

    #[test]
    fn each_right_is_looked_at() {
        let states =
            |status| -> Vec<State> { rights(status).iter().map(|check| check.state).collect() };
        let all = "CapPrm:\t0\nCapEff:\t000001ffffffffff\n";
        assert_eq!(states(all), [State::Ok, State::Ok]);
        assert_eq!(
            states("CapEff:\t0000000000001000\n"),
            [State::Ok, State::Missing]
        );
        assert_eq!(states(""), [State::Missing, State::Missing]);
        assert!(
            rights("")[1]
                .mend
                .as_ref()
                .is_some_and(|mend| mend.contains("setcap"))
        );
    }

    #[test]
    fn low_limits_are_told() {
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax open files            64                 1048576              files\nMax pending signals       unlimited                91904                signals\n";
        let found = limits(text);
        assert_eq!(
            found.iter().map(|check| check.state).collect::<Vec<_>>(),
            [State::Warning, State::Ok]
        );
        assert!(found[0].text.starts_with("64 files"));
    }

    #[test]
    fn luajit_works_where_the_tests_do() {
        assert_eq!(lua().state, State::Ok, "{:?}", lua());
    }
}

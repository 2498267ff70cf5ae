//! Kernel settings below `/proc/sys`, of the network namespace that the
//! calling thread is in.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::plan::{Mode, Plan};

/// Lets pass what lies outside of a window, where connection tracking would
/// otherwise call a lengthened stream invalid.
pub const LIBERAL: &str = "net.netfilter.nf_conntrack_tcp_be_liberal";
/// Shows bridged packets to the firewall.
pub const BRIDGE_V4: &str = "net.bridge.bridge-nf-call-iptables";
pub const BRIDGE_V6: &str = "net.bridge.bridge-nf-call-ip6tables";

/// What a plan needs besides rules.
pub fn wanted(plan: &Plan) -> Vec<(&'static str, &'static str)> {
    let mut wanted = Vec::new();
    if plan.liberal {
        wanted.push((LIBERAL, "1"));
    }
    if plan.mode == Mode::Bridge {
        wanted.push((BRIDGE_V4, "1"));
        wanted.push((BRIDGE_V6, "1"));
    }
    wanted
}

pub fn read(name: &str) -> Option<String> {
    let text = fs::read_to_string(path(name)?).ok()?;
    Some(text.trim().to_owned())
}

pub fn write(name: &str, value: &str) -> io::Result<()> {
    let path = path(name).ok_or(io::ErrorKind::InvalidInput)?;
    fs::write(path, value)
}

/// Where a setting is: dots and slashes change places, as `sysctl` has it. A
/// name may come from a comment in a rule: it leads nowhere else.
fn path(name: &str) -> Option<PathBuf> {
    let relative: String = name
        .chars()
        .map(|letter| match letter {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-@:.".contains(letter);
    let fits = relative.starts_with("net/")
        && relative
            .split('/')
            .all(|part| !part.is_empty() && part != ".." && part.chars().all(plain));
    fits.then(|| PathBuf::from("/proc/sys").join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::plan::Queues;

    #[test]
    fn names_lead_below_proc_sys_net_only() {
        assert_eq!(
            path(LIBERAL),
            Some("/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal".into())
        );
        assert_eq!(
            path("net.ipv4.conf.eth0/20.rp_filter"),
            Some("/proc/sys/net/ipv4/conf/eth0.20/rp_filter".into())
        );
        for wrong in [
            "kernel.core_pattern",
            "../etc/passwd",
            "net.//.//.x",
            "net..x",
            "net.a b",
        ] {
            assert_eq!(path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_bridge_needs_more_than_a_gateway() {
        let queues = Queues::new(0, 1).expect("a range");
        let mut plan = Plan::new(Mode::Gateway, queues);
        assert_eq!(wanted(&plan), [(LIBERAL, "1")]);
        plan.liberal = false;
        assert!(wanted(&plan).is_empty());
        assert_eq!(wanted(&Plan::new(Mode::Bridge, queues)).len(), 3);
    }
}

//! The firewall of a namespace, as its own tools tell it.

use crate::namespace::Namespace;
use crate::net::Family;
use crate::process;

/// Rules of both families, without counters, comments and what only says when
/// the tool ran.
pub fn rules(namespace: &Namespace) -> Result<String, String> {
    let mut text = String::new();
    for tool in ["iptables-save", "ip6tables-save"] {
        text.push_str(tool);
        text.push('\n');
        for line in process::run(&mut namespace.command(tool))?.lines() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.split(" [").next().unwrap_or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// What must be as before after a run: rules and the settings beside
/// them.
pub fn state(namespace: &Namespace) -> Result<String, String> {
    let mut text = rules(namespace)?;
    for setting in [
        "netfilter/nf_conntrack_tcp_be_liberal",
        "bridge/bridge-nf-call-iptables",
        "bridge/bridge-nf-call-ip6tables",
    ] {
        let path = format!("/proc/sys/net/{setting}");
        if let Ok(value) = namespace.inside(|| std::fs::read_to_string(&path)) {
            text.push_str(&format!("{setting} {value}"));
        }
    }
    Ok(text)
}

/// Says how two states differ.
pub fn same(before: &str, after: &str) -> Result<(), String> {
    if before == after {
        return Ok(());
    }
    let only = |one: &str, other: &str| -> Vec<String> {
        one.lines()
            .filter(|line| !other.lines().any(|known| known == *line))
            .map(ToString::to_string)
            .collect()
    };
    Err(format!(
        "the firewall is not as before: gone {:?}, new {:?}",
        only(before, after),
        only(after, before)
    ))
}

/// Adds a rule of the user's.
pub fn add(namespace: &Namespace, family: Family, rule: &str) -> Result<(), String> {
    let mut command = namespace.command(family.iptables());
    process::run(command.args(rule.split(' '))).map(drop)
}

/// Packets that a rule with this comment has seen.
pub fn packets(namespace: &Namespace, family: Family, comment: &str) -> Result<u64, String> {
    let tool = match family {
        Family::V4 => "iptables-save",
        Family::V6 => "ip6tables-save",
    };
    let listing = process::run(namespace.command(tool).arg("-c"))?;
    let line = listing.lines().find(|line| line.contains(comment));
    let line = line.ok_or_else(|| format!("no rule {comment:?} in {listing}"))?;
    let count = line.trim_start_matches('[').split(':').next();
    count
        .and_then(|count| count.parse().ok())
        .ok_or_else(|| format!("no counter in {line:?}"))
}

/// One queue, as the kernel counts it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queue {
    /// Packets that wait.
    pub waiting: u64,
    /// Because the queue or its socket was full.
    pub dropped: u64,
    /// Packets so far.
    pub packets: u64,
}

/// The queues that somebody holds.
pub fn queues(namespace: &Namespace) -> Vec<Queue> {
    let path = "/proc/net/netfilter/nfnetlink_queue";
    // `/proc/net` is that of the thread which reads it.
    let path = path.replace("/proc/net", "/proc/thread-self/net");
    let listing = namespace.inside(|| std::fs::read_to_string(&path));
    let listing = listing.unwrap_or_default();
    let queue = |line: &str| {
        let fields: Vec<u64> = line
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        Some(Queue {
            waiting: *fields.get(2)?,
            dropped: *fields.get(5)? + *fields.get(6)?,
            packets: *fields.get(7)?,
        })
    };
    listing.lines().filter_map(queue).collect()
}

/// Packets that went through any queue.
pub fn queued(namespace: &Namespace) -> u64 {
    queues(namespace).iter().map(|queue| queue.packets).sum()
}

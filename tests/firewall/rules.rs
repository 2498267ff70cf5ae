//! What all themes need: loading rules with `wero setup`, and reading how
//! often rules have matched.

use super::net::{Namespace, Output, wero};

pub const BACKENDS: [&str; 2] = ["iptables-nft", "iptables-legacy"];

pub fn setup(namespace: &Namespace, arguments: &[&str]) -> Output {
    let mut all = vec!["setup", "--namespace", namespace.name()];
    all.extend(arguments);
    wero(&all)
}

/// Packets that the rules to each queue have matched.
pub fn queue_counters(gateway: &Namespace, save: &str, queues: u16) -> Vec<u64> {
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

/// Packets that a rule of the mangle or filter table has matched.
pub fn matched(namespace: &Namespace, table: &str, rule: &str) -> u64 {
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

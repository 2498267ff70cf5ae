//! Plans as text for `iptables-restore` and `ip6tables-restore`.
//!
//! Everything stands in chains of our own, which the built-in chains jump to:
//!
//! - `WERO`: lets packets of our own and flows past the queue through, and
//!   gives the rest to the queues. It is hooked at the end of `mangle`,
//!   because an accepted verdict goes on with the next table: rules of the
//!   user in `mangle` that stand before still count.
//! - `WERO_ERRORS`: ICMP errors, by the packet they quote.
//! - `WERO_SPREAD`: gives each new flow the mark of a queue.
//! - `WERO_LEAVE`: keeps a bypass in the connection mark and takes our bits
//!   off the packet, on its way out (in host mode also on its way in, where
//!   only the table behind the queue's still sees it).
//! - `WERO_OWN`: packets of our own that carry both bits are not tracked. Where
//!   addresses are translated, connection tracking does not know one of the
//!   directions by the addresses that rules see; it would take what we send
//!   there for a new connection and give it another port.
//! - `WERO_NOTE`: nothing jumps there; comments hold what was before.

use super::note::Note;
use super::plan::{Action, Family, Interface, Mode, Plan, Queues, Spread, Stance};
use super::saved::Saved;
use super::spread::program;

pub const ENTRY: &str = "WERO";
pub const NOTE: &str = "WERO_NOTE";
const ERRORS: &str = "WERO_ERRORS";
const TURN: &str = "WERO_SPREAD";
const LEAVE: &str = "WERO_LEAVE";
const OWN: &str = "WERO_OWN";

/// Whether a chain is one of ours.
pub fn is_ours(chain: &str) -> bool {
    chain == ENTRY || chain.starts_with("WERO_")
}

/// Text that loads a plan in the place of what is left of another, in one
/// go for each table. Nothing else is touched.
pub fn load(plan: &Plan, family: Family, notes: &[Note], present: &Saved) -> String {
    let mut tables = wanted(plan, family);
    if let Some(mangle) = tables.first_mut() {
        mangle.chain(NOTE, notes.iter().map(note_rule).collect());
    }
    text(&tables, present)
}

/// Text that removes everything of ours; empty when there is nothing.
pub fn unload(present: &Saved) -> String {
    text(&[], present)
}

/// Built-in chains, with their tables, that rules of a plan stand in.
pub fn built_in(plan: &Plan) -> Vec<(&'static str, &'static str)> {
    let mut chains: Vec<_> = hooks(plan)
        .into_iter()
        .map(|(chain, _)| ("mangle", chain))
        .collect();
    chains.push(("mangle", "POSTROUTING"));
    if plan.mode == Mode::Host {
        chains.push(("filter", "INPUT"));
    }
    if plan.untracked {
        chains.push(("raw", "OUTPUT"));
    }
    chains.dedup();
    chains
}

/// What is wanted of one table.
struct Table {
    name: &'static str,
    chains: Vec<(&'static str, Vec<String>)>,
    /// Rules of built-in chains that lead to ours.
    jumps: Vec<String>,
}

impl Table {
    fn new(name: &'static str) -> Table {
        Table {
            name,
            chains: Vec::new(),
            jumps: Vec::new(),
        }
    }

    fn chain(&mut self, name: &'static str, rules: Vec<String>) {
        self.chains.push((name, rules));
    }
}

fn wanted(plan: &Plan, family: Family) -> Vec<Table> {
    let mut mangle = Table::new("mangle");
    mangle.chain(ENTRY, entry(plan, family));
    let several = plan.queues.count() > 1 && plan.action == Action::Queue;
    if several && plan.spread == Spread::Flow {
        mangle.chain(ERRORS, errors(plan, family));
    }
    if several && plan.spread == Spread::ConnectionMark {
        mangle.chain(TURN, turns(plan));
    }
    mangle.chain(LEAVE, leave(plan));
    let comment = comment(&format!("wero {}", plan.mode.name()));
    for (chain, selection) in hooks(plan) {
        mangle
            .jumps
            .push(format!("-A {chain}{selection} {comment} -j {ENTRY}"));
    }
    // Packets to this host itself keep their bits until they arrive.
    let out = match plan.mode {
        Mode::Host => " ! -o lo",
        Mode::Gateway | Mode::Bridge => "",
    };
    mangle
        .jumps
        .push(format!("-I POSTROUTING 1{out} {comment} -j {LEAVE}"));
    let mut tables = vec![mangle];
    if plan.mode == Mode::Host {
        let mut filter = Table::new("filter");
        filter.chain(LEAVE, leave(plan));
        filter
            .jumps
            .push(format!("-I INPUT 1 {comment} -j {LEAVE}"));
        tables.push(filter);
    }
    if plan.untracked {
        let both = plan.marks.untracked();
        let mut raw = Table::new("raw");
        let rule = format!("-m mark --mark {both:#x}/{both:#x} -j CT --notrack");
        raw.chain(OWN, vec![rule]);
        raw.jumps.push(format!("-I OUTPUT 1 {comment} -j {OWN}"));
        tables.push(raw);
    }
    tables
}

/// Built-in chains and what is selected there.
fn hooks(plan: &Plan) -> Vec<(&'static str, String)> {
    let names = || plan.interfaces.iter().map(Interface::as_str);
    let all = plan.interfaces.is_empty();
    match plan.mode {
        Mode::Gateway if all => vec![("FORWARD", String::new())],
        Mode::Gateway => ["-i", "-o"]
            .into_iter()
            .flat_map(|side| names().map(move |name| ("FORWARD", format!(" {side} {name}"))))
            .collect(),
        Mode::Bridge if all => vec![("FORWARD", " -m physdev --physdev-is-bridged".to_owned())],
        Mode::Bridge => ["--physdev-in", "--physdev-out"]
            .into_iter()
            .flat_map(|side| {
                names().map(move |name| {
                    let selection = format!(" -m physdev {side} {name} --physdev-is-bridged");
                    ("FORWARD", selection)
                })
            })
            .collect(),
        Mode::Host if all => vec![
            ("INPUT", " ! -i lo".to_owned()),
            ("OUTPUT", " ! -o lo".to_owned()),
        ],
        // What the host sends itself comes by twice: it is taken on arrival.
        Mode::Host => names()
            .map(|name| ("INPUT", format!(" -i {name}")))
            .chain(
                plan.interfaces
                    .iter()
                    .filter(|interface| !interface.is_loopback())
                    .map(|name| ("OUTPUT", format!(" -o {name}"))),
            )
            .collect(),
    }
}

fn entry(plan: &Plan, family: Family) -> Vec<String> {
    let (injected, bypass) = (plan.marks.injected(), plan.marks.bypass());
    let mut rules = vec![
        format!("-m mark --mark {injected:#x}/{injected:#x} -j RETURN"),
        format!("-m connmark --mark {bypass:#x}/{bypass:#x} -j RETURN"),
    ];
    if plan.action == Action::Drop {
        rules.push("-j DROP".to_owned());
        return rules;
    }
    match plan.spread {
        _ if plan.queues.count() == 1 => {}
        Spread::Flow => {
            let protocol = match family {
                Family::V4 => "icmp",
                Family::V6 => "ipv6-icmp",
            };
            rules.push(format!("-p {protocol} -j {ERRORS}"));
            rules.extend(not_last(plan.queues).map(|(place, queue)| {
                let code = program::flows(family, place, plan.queues.count());
                let code = program::bytecode(&code);
                format!("-m bpf --bytecode \"{code}\" {}", target(plan, queue))
            }));
        }
        Spread::ConnectionMark => {
            let spare = plan.marks.spare();
            rules.push(format!("-m connmark --mark 0x0/{spare:#x} -j {TURN}"));
            rules.extend(not_last(plan.queues).map(|(place, queue)| {
                let value = turn_value(plan, place);
                format!(
                    "-m connmark --mark {value:#x}/{spare:#x} {}",
                    target(plan, queue)
                )
            }));
        }
        Spread::Addresses => {
            let (first, last) = (plan.queues.first(), plan.queues.last());
            rules.push(format!(
                "-j NFQUEUE --queue-balance {first}:{last}{}",
                when_gone(plan)
            ));
            return rules;
        }
    }
    rules.push(target(plan, plan.queues.last()));
    rules
}

/// All places but the last: that takes what is left.
fn not_last(queues: Queues) -> impl Iterator<Item = (u16, u16)> {
    queues
        .numbered()
        .filter(move |(_, queue)| *queue != queues.last())
}

fn target(plan: &Plan, queue: u16) -> String {
    format!("-j NFQUEUE --queue-num {queue}{}", when_gone(plan))
}

fn when_gone(plan: &Plan) -> &'static str {
    match plan.on_crash {
        Stance::Open => " --queue-bypass",
        Stance::Closed => "",
    }
}

fn errors(plan: &Plan, family: Family) -> Vec<String> {
    plan.queues
        .numbered()
        .map(|(place, queue)| {
            let code = program::errors(family, place, plan.queues.count());
            let code = program::bytecode(&code);
            format!("-m bpf --bytecode \"{code}\" {}", target(plan, queue))
        })
        .collect()
}

fn turn_value(plan: &Plan, place: u16) -> u32 {
    plan.marks.in_spare(u32::from(place) + 1)
}

/// Each rule counts every new flow and marks one in so many; since all begin
/// with another number, one of them marks it. Two processors at the same time
/// may leave a flow without: the last rule gives it a queue for good.
fn turns(plan: &Plan) -> Vec<String> {
    let (count, spare) = (plan.queues.count(), plan.marks.spare());
    let mark = |place| {
        format!(
            "-j CONNMARK --set-xmark {:#x}/{spare:#x}",
            turn_value(plan, place)
        )
    };
    let mut rules: Vec<String> = (0..count)
        .map(|place| {
            format!(
                "-m statistic --mode nth --every {count} --packet {place} {}",
                mark(place)
            )
        })
        .collect();
    rules.push(format!(
        "-m connmark --mark 0x0/{spare:#x} {}",
        mark(count.saturating_sub(1))
    ));
    rules
}

fn leave(plan: &Plan) -> Vec<String> {
    let bypass = plan.marks.bypass();
    let both = plan.marks.injected() | bypass;
    vec![
        format!(
            "-m mark --mark {bypass:#x}/{bypass:#x} -j CONNMARK --save-mark --nfmask {bypass:#x} --ctmask {bypass:#x}"
        ),
        format!("-m mark ! --mark 0x0/{both:#x} -j MARK --set-xmark 0x0/{both:#x}"),
    ]
}

fn note_rule(note: &Note) -> String {
    comment(&note.to_string())
}

fn comment(text: &str) -> String {
    format!("-m comment --comment \"{text}\"")
}

/// The file for `--noflush`: chains that it declares are emptied first.
fn text(wanted: &[Table], present: &Saved) -> String {
    let mut text = String::new();
    let left: Vec<&str> = present
        .tables
        .iter()
        .filter(|table| table.has_ours() && wanted.iter().all(|new| new.name != table.name))
        .map(|table| table.name.as_str())
        .collect();
    let names = wanted.iter().map(|table| table.name).chain(left);
    for name in names {
        let new = wanted.iter().find(|table| table.name == name);
        let old = present.table(name);
        table_text(&mut text, name, new, old);
    }
    text
}

fn table_text(
    text: &mut String,
    name: &str,
    new: Option<&Table>,
    old: Option<&super::saved::SavedTable>,
) {
    text.push_str(&format!("*{name}\n"));
    let chains = new.map_or(&[][..], |table| &table.chains);
    for (chain, _) in chains {
        text.push_str(&format!(":{chain} - [0:0]\n"));
    }
    if let Some(old) = old {
        for jump in old.jumps() {
            text.push_str(&format!("-D {jump}\n"));
        }
        let gone: Vec<&str> = old
            .own_chains()
            .filter(|chain| chains.iter().all(|(kept, _)| kept != chain))
            .collect();
        for action in ["-F", "-X"] {
            for chain in &gone {
                text.push_str(&format!("{action} {chain}\n"));
            }
        }
    }
    for (chain, rules) in chains {
        for rule in rules {
            text.push_str(&format!("-A {chain} {rule}\n"));
        }
    }
    for jump in new.map_or(&[][..], |table| &table.jumps) {
        text.push_str(jump);
        text.push('\n');
    }
    text.push_str("COMMIT\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::marks::Marks;

    fn plan(mode: Mode, queues: &str) -> Plan {
        Plan::new(mode, queues.parse().expect("queues"))
    }

    fn lines(plan: &Plan, family: Family) -> Vec<String> {
        load(plan, family, &[], &Saved::default())
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// What a table of the text has.
    fn table(lines: &[String], name: &str) -> Vec<String> {
        let head = format!("*{name}");
        lines
            .iter()
            .skip_while(|line| **line != head)
            .take_while(|line| *line != "COMMIT")
            .cloned()
            .collect()
    }

    #[test]
    fn a_gateway_with_one_queue_is_a_handful_of_rules() {
        let lines = lines(&plan(Mode::Gateway, "7"), Family::V4);
        assert_eq!(
            table(&lines, "mangle"),
            [
                "*mangle",
                ":WERO - [0:0]",
                ":WERO_LEAVE - [0:0]",
                ":WERO_NOTE - [0:0]",
                "-A WERO -m mark --mark 0x10000000/0x10000000 -j RETURN",
                "-A WERO -m connmark --mark 0x20000000/0x20000000 -j RETURN",
                "-A WERO -j NFQUEUE --queue-num 7 --queue-bypass",
                "-A WERO_LEAVE -m mark --mark 0x20000000/0x20000000 -j CONNMARK --save-mark --nfmask 0x20000000 --ctmask 0x20000000",
                "-A WERO_LEAVE -m mark ! --mark 0x0/0x30000000 -j MARK --set-xmark 0x0/0x30000000",
                "-A FORWARD -m comment --comment \"wero gateway\" -j WERO",
                "-I POSTROUTING 1 -m comment --comment \"wero gateway\" -j WERO_LEAVE",
            ]
        );
        assert!(
            table(&lines, "raw")
                .iter()
                .any(|line| line.ends_with("-j CT --notrack"))
        );
        assert!(table(&lines, "filter").is_empty());
    }

    #[test]
    fn only_our_bits_are_ever_written() {
        let mut plan = plan(Mode::Host, "0-3");
        plan.spread = Spread::ConnectionMark;
        plan.marks = Marks::new(0x00ff_0000).expect("a mask");
        for line in lines(&plan, Family::V6) {
            for (_, written) in line
                .match_indices("--set-xmark ")
                .map(|(at, _)| line.split_at(at))
            {
                let mask = written.split('/').nth(1).expect("a mask is given");
                let mask = mask.trim_start_matches("0x");
                let mask = u32::from_str_radix(mask, 16).expect("a number");
                assert_eq!(mask & !plan.marks.mask(), 0, "{line}");
            }
        }
    }

    #[test]
    fn several_queues_are_told_apart_and_the_last_takes_the_rest() {
        let mut plan = plan(Mode::Gateway, "2-5");
        plan.on_crash = Stance::Closed;
        for (family, protocol) in [(Family::V4, "icmp"), (Family::V6, "ipv6-icmp")] {
            let lines = lines(&plan, family);
            let entry: Vec<&String> = lines
                .iter()
                .filter(|line| line.starts_with("-A WERO ") && line.contains("NFQUEUE"))
                .collect();
            assert_eq!(entry.len(), 4);
            assert!(entry.iter().take(3).all(|line| line.contains("-m bpf")));
            assert_eq!(entry[3], "-A WERO -j NFQUEUE --queue-num 5");
            assert!(lines.contains(&format!("-A WERO -p {protocol} -j WERO_ERRORS")));
            let errors = lines
                .iter()
                .filter(|line| line.starts_with("-A WERO_ERRORS"));
            assert_eq!(errors.count(), 4);
        }
        plan.spread = Spread::Addresses;
        let lines = lines(&plan, Family::V4);
        assert!(lines.contains(&"-A WERO -j NFQUEUE --queue-balance 2:5".to_owned()));
        assert!(!lines.iter().any(|line| line.contains("bpf")));
    }

    #[test]
    fn interfaces_count_on_both_sides() {
        let jumps = |mode, names: [&str; 2]| -> Vec<String> {
            let mut plan = plan(mode, "0");
            plan.interfaces = names.map(|name| name.parse().expect("a name")).to_vec();
            lines(&plan, Family::V4)
                .into_iter()
                .filter(|line| line.ends_with("-j WERO"))
                .map(|line| {
                    line.split(" -m comment")
                        .next()
                        .unwrap_or_default()
                        .to_owned()
                })
                .collect()
        };
        assert_eq!(
            jumps(Mode::Gateway, ["eth0", "ppp+"]),
            [
                "-A FORWARD -i eth0",
                "-A FORWARD -i ppp+",
                "-A FORWARD -o eth0",
                "-A FORWARD -o ppp+"
            ]
        );
        assert_eq!(
            jumps(Mode::Host, ["lo", "eth0"]),
            ["-A INPUT -i lo", "-A INPUT -i eth0", "-A OUTPUT -o eth0"]
        );
        assert_eq!(
            jumps(Mode::Bridge, ["a", "b"])[2],
            "-A FORWARD -m physdev --physdev-out a --physdev-is-bridged"
        );
    }

    #[test]
    fn what_is_left_of_another_plan_is_replaced_and_removed() {
        let present = Saved::parse(
            "*mangle\n:FORWARD ACCEPT [0:0]\n:WERO - [0:0]\n:WERO_ERRORS - [0:0]\n-A FORWARD -j mine\n-A FORWARD -i x -j WERO\nCOMMIT\n*filter\n:WERO_LEAVE - [0:0]\n-A INPUT -j WERO_LEAVE\nCOMMIT\n*nat\n:mine - [0:0]\nCOMMIT\n",
        );
        let text = load(&plan(Mode::Gateway, "0"), Family::V4, &[], &present);
        let at = |line: &str| {
            let found = text.lines().position(|one| one == line);
            found.unwrap_or_else(|| panic!("no '{line}' in\n{text}"))
        };
        assert!(at("-D FORWARD -i x -j WERO") < at("-F WERO_ERRORS"));
        assert!(at("-F WERO_ERRORS") < at("-X WERO_ERRORS"));
        assert!(at("-D INPUT -j WERO_LEAVE") < at("-X WERO_LEAVE"));
        assert!(!text.contains("mine") && !text.contains("*nat"));

        let gone = unload(&present);
        assert!(gone.contains("-X WERO\n") && gone.contains("*filter\n-D INPUT -j WERO_LEAVE\n"));
        assert_eq!(unload(&Saved::default()), "");
    }

    #[test]
    fn a_drop_takes_the_place_of_the_queues() {
        let mut plan = plan(Mode::Gateway, "0-3");
        plan.action = Action::Drop;
        let lines = lines(&plan, Family::V4);
        assert!(lines.contains(&"-A WERO -j DROP".to_owned()));
        assert!(!lines.iter().any(|line| line.contains("NFQUEUE")));
    }
}

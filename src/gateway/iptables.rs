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
        let both = plan.marks.injected() | plan.marks.bypass();
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

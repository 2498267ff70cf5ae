//! Plans as text for `nft -f`: one table of our own, `inet wero`, for both
//! families, which is replaced or deleted as a whole.
//!
//! Chains stand right behind `mangle`, so that rules of the user there still
//! count. Several queues share flows by the kernel's own symmetric hash; it
//! is seeded at boot, so that no worker can say which queue a packet should
//! have come by.

use super::note::Note;
use super::plan::{Action, Interface, Mode, Plan, Spread, Stance};

/// Our table, with its family.
pub const OWN: &str = "inet wero";

/// Text that puts a plan in the place of what is left of another.
pub fn load(plan: &Plan, notes: &[Note]) -> String {
    let mut text = String::new();
    text.push_str(&unload());
    text.push_str(&format!("table {OWN} {{\n"));
    chain(&mut text, "entry", None, &entry(plan));
    chain(&mut text, "leave", None, &leave(plan));
    for hook in hooks(plan.mode) {
        let rules = selection(plan, hook);
        chain(&mut text, hook, Some((hook, "-149")), &rules);
    }
    let out = match plan.mode {
        Mode::Host => "oifname != \"lo\" jump leave",
        Mode::Gateway | Mode::Bridge => "jump leave",
    };
    let leaving = [out.to_owned()];
    chain(
        &mut text,
        "postrouting",
        Some(("postrouting", "-151")),
        &leaving,
    );
    if plan.mode == Mode::Host {
        let arriving = ["jump leave".to_owned()];
        chain(&mut text, "arrived", Some(("input", "-1")), &arriving);
    }
    if plan.untracked {
        let both = plan.marks.untracked();
        let own = [format!("meta mark & {both:#x} == {both:#x} notrack")];
        chain(&mut text, "own", Some(("output", "-300")), &own);
    }
    let notes: Vec<String> = notes
        .iter()
        .map(|note| format!("continue comment \"{note}\""))
        .collect();
    chain(&mut text, "note", None, &notes);
    text.push_str("}\n");
    text
}

/// Text that removes everything of ours, also where nothing is.
pub fn unload() -> String {
    format!("add table {OWN}\ndelete table {OWN}\n")
}

/// Each table of `nft list ruleset`: family and name, and its text.
pub fn tables(listing: &str) -> Vec<(String, String)> {
    let mut tables: Vec<(String, String)> = Vec::new();
    for line in listing.lines() {
        let head = line
            .strip_prefix("table ")
            .and_then(|rest| rest.split_once(" {"));
        if let Some((name, _)) = head {
            tables.push((name.to_owned(), String::new()));
        } else if let Some((_, text)) = tables.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    tables
}

/// What an earlier run wrote down, out of the listing of our table.
pub fn notes(listing: &str) -> Vec<Note> {
    listing
        .lines()
        .filter_map(|line| {
            let (_, comment) = line.split_once("comment \"")?;
            Note::parse(comment.trim_end().strip_suffix('"')?)
        })
        .collect()
}

/// Queues that rules of a listing lead to, with the rule.
pub fn queue_rules(listing: &str) -> Vec<(&str, (u16, u16))> {
    listing
        .lines()
        .map(str::trim)
        .filter_map(|line| Some((line, queues_of(line)?)))
        .collect()
}

/// Reads `queue [flags …] [num|to] 1-3` and `queue … to symhash mod 4 offset 1`.
fn queues_of(rule: &str) -> Option<(u16, u16)> {
    let at = rule.find("queue ").filter(|at| {
        let before = rule.get(..*at).unwrap_or_default();
        (before.is_empty() || before.ends_with(' ')) && before.matches('"').count() % 2 == 0
    })?;
    let mut words = rule.get(at..)?.split_whitespace();
    words.find(|word| ["num", "to"].contains(word))?;
    let first = words.next()?;
    if let Some((first, last)) = first.split_once('-') {
        return Some((first.parse().ok()?, last.parse().ok()?));
    }
    if let Ok(number) = first.parse() {
        return Some((number, number));
    }
    let rest: Vec<&str> = words.collect();
    let behind = |name: &str| -> Option<u16> {
        let at = rest.iter().position(|word| *word == name)?;
        rest.get(at + 1)?.parse().ok()
    };
    let offset = behind("offset").unwrap_or(0);
    let count = behind("mod")?;
    Some((offset, offset.checked_add(count.checked_sub(1)?)?))
}

fn chain(text: &mut String, name: &str, hook: Option<(&str, &str)>, rules: &[String]) {
    text.push_str(&format!("\tchain {name} {{\n"));
    if let Some((hook, priority)) = hook {
        text.push_str(&format!(
            "\t\ttype filter hook {hook} priority {priority}; policy accept;\n"
        ));
    }
    for rule in rules {
        text.push_str(&format!("\t\t{rule}\n"));
    }
    text.push_str("\t}\n");
}

fn hooks(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Gateway | Mode::Bridge => &["forward"],
        Mode::Host => &["input", "output"],
    }
}

fn selection(plan: &Plan, hook: &str) -> Vec<String> {
    let names: Vec<String> = plan.interfaces.iter().map(quoted).collect();
    let set = format!("{{ {} }}", names.join(", "));
    let away: Vec<String> = plan
        .interfaces
        .iter()
        .filter(|interface| !interface.is_loopback())
        .map(quoted)
        .collect();
    let rule = |selection: String| format!("{selection} jump entry");
    match (plan.mode, names.is_empty()) {
        (Mode::Gateway | Mode::Bridge, true) => vec!["jump entry".to_owned()],
        (Mode::Gateway | Mode::Bridge, false) => vec![
            rule(format!("iifname {set}")),
            rule(format!("oifname {set}")),
        ],
        (Mode::Host, true) if hook == "input" => vec![rule("iifname != \"lo\"".to_owned())],
        (Mode::Host, true) => vec![rule("oifname != \"lo\"".to_owned())],
        (Mode::Host, false) if hook == "input" => vec![rule(format!("iifname {set}"))],
        (Mode::Host, false) if away.is_empty() => Vec::new(),
        (Mode::Host, false) => vec![rule(format!("oifname {{ {} }}", away.join(", ")))],
    }
}

/// nft writes `*` where iptables has `+`.
fn quoted(interface: &Interface) -> String {
    match interface.as_str().strip_suffix('+') {
        Some(stem) => format!("\"{stem}*\""),
        None => format!("\"{interface}\""),
    }
}

fn entry(plan: &Plan) -> Vec<String> {
    let (injected, bypass) = (plan.marks.injected(), plan.marks.bypass());
    let mut rules = vec![
        format!("meta mark & {injected:#x} == {injected:#x} return"),
        format!("ct mark & {bypass:#x} == {bypass:#x} return"),
    ];
    let flags = match plan.on_crash {
        Stance::Open => " flags bypass",
        Stance::Closed => "",
    };
    let (first, last) = (plan.queues.first(), plan.queues.last());
    let count = plan.queues.count();
    rules.push(match (plan.action, plan.spread, count) {
        (Action::Drop, ..) => "counter drop".to_owned(),
        (Action::Queue, _, 1) => format!("counter queue{flags} to {first}"),
        (Action::Queue, Spread::Flow | Spread::ConnectionMark, _) => {
            format!("counter queue{flags} to symhash mod {count} offset {first}")
        }
        (Action::Queue, Spread::Addresses, _) => {
            format!("counter queue{flags} to {first}-{last}")
        }
    });
    rules
}

fn leave(plan: &Plan) -> Vec<String> {
    let bypass = plan.marks.bypass();
    let both = plan.marks.injected() | bypass;
    vec![
        format!("meta mark & {bypass:#x} == {bypass:#x} ct mark set ct mark | {bypass:#x}"),
        format!(
            "meta mark & {both:#x} != 0x0 meta mark set meta mark & {:#x}",
            !both
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::plan::Queues;

    fn plan(mode: Mode, queues: &str) -> Plan {
        Plan::new(mode, queues.parse().expect("queues"))
    }

    #[test]
    fn a_gateway_has_one_table_with_one_queue_rule() {
        let text = load(&plan(Mode::Gateway, "4-5"), &[Note::was("net.a", "0")]);
        assert!(text.starts_with("add table inet wero\ndelete table inet wero\ntable inet wero {"));
        assert!(text.contains("counter queue flags bypass to symhash mod 2 offset 4\n"));
        assert!(text.contains("type filter hook forward priority -149;"));
        assert!(!text.contains("hook input"));
        assert_eq!(notes(&text), [Note::was("net.a", "0")]);
        assert_eq!(
            queue_rules(&text)
                .iter()
                .map(|(_, queues)| *queues)
                .collect::<Vec<_>>(),
            [(4, 5)]
        );
    }

    #[test]
    fn a_host_takes_what_comes_by_loopback_once() {
        let mut host = plan(Mode::Host, "0");
        let text = load(&host, &[]);
        assert!(
            text.contains("iifname != \"lo\" jump entry")
                && text.contains("queue flags bypass to 0")
        );
        host.interfaces = vec![
            "lo".parse().expect("a name"),
            "eth+".parse().expect("a name"),
        ];
        host.on_crash = Stance::Closed;
        let text = load(&host, &[]);
        assert!(text.contains("iifname { \"lo\", \"eth*\" } jump entry"));
        assert!(text.contains("oifname { \"eth*\" } jump entry"));
        assert!(text.contains("counter queue to 0\n"));
        host.action = Action::Drop;
        assert!(
            load(&host, &[]).contains("counter drop") && queue_rules(&load(&host, &[])).is_empty()
        );
    }

    #[test]
    fn a_listing_is_taken_apart_by_tables() {
        let listing = "table ip mangle {\n\tchain a {\n\t\taccept\n\t}\n}\ntable inet wero { # handle 3\n\tset x\n}\n";
        let tables = tables(listing);
        assert_eq!(tables.len(), 2);
        assert_eq!(tables[0].0, "ip mangle");
        assert_eq!(tables[1], (OWN.to_owned(), "\tset x\n}\n".to_owned()));
    }

    #[test]
    fn other_rules_with_queues_are_read() {
        let read = |rule| queues_of(rule);
        assert_eq!(read("tcp dport 80 queue num 3 bypass"), Some((3, 3)));
        assert_eq!(read("queue flags bypass,fanout num 1-4"), Some((1, 4)));
        assert_eq!(read("counter packets 0 bytes 0 queue to 7"), Some((7, 7)));
        assert_eq!(read("comment \"a queue num 3\" accept"), None);
        assert_eq!(read("dequeue num 3"), None);
        let last = Queues::new(0, 1).expect("a range").last();
        assert_eq!(read("queue to symhash mod 0"), None, "{last}");
    }
}

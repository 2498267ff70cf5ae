//! Reads what `iptables-save` prints: what of ours is there, and who else
//! leads packets to queues.

use super::iptables::{NOTE, is_ours};
use super::note::Note;
use super::plan::Queues;

/// The tables of one backend and family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    pub tables: Vec<SavedTable>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedTable {
    pub name: String,
    pub chains: Vec<SavedChain>,
    /// Rules as printed, without the `-A` before the chain's name.
    pub rules: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedChain {
    pub name: String,
    /// `-` for chains that are not built in.
    pub policy: String,
}

impl Saved {
    pub fn parse(text: &str) -> Saved {
        let mut tables: Vec<SavedTable> = Vec::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                tables.push(SavedTable {
                    name: name.trim().to_owned(),
                    ..SavedTable::default()
                });
                continue;
            }
            let Some(table) = tables.last_mut() else {
                continue;
            };
            if let Some(chain) = line.strip_prefix(':') {
                let mut words = chain.split_whitespace();
                let name = words.next().unwrap_or_default().to_owned();
                let policy = words.next().unwrap_or("-").to_owned();
                table.chains.push(SavedChain { name, policy });
            } else if let Some(rule) = line.strip_prefix("-A ") {
                table.rules.push(rule.to_owned());
            }
        }
        Saved { tables }
    }

    pub fn table(&self, name: &str) -> Option<&SavedTable> {
        self.tables.iter().find(|table| table.name == name)
    }

    pub fn has_ours(&self) -> bool {
        self.tables.iter().any(SavedTable::has_ours)
    }

    /// What an earlier run wrote down.
    pub fn notes(&self) -> Vec<Note> {
        self.tables
            .iter()
            .flat_map(|table| &table.rules)
            .filter(|rule| chain_of(rule) == NOTE)
            .filter_map(|rule| Note::parse(comment_of(rule)?))
            .collect()
    }

    /// Rules that lead to queues: table, rule, queues.
    pub fn queue_rules(&self) -> Vec<QueueRule<'_>> {
        self.tables
            .iter()
            .flat_map(|table| {
                table.rules.iter().filter_map(|rule| {
                    Some(QueueRule {
                        table: &table.name,
                        rule,
                        queues: queues_of(rule)?,
                    })
                })
            })
            .collect()
    }
}

/// One rule with the target `NFQUEUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRule<'a> {
    pub table: &'a str,
    pub rule: &'a str,
    /// First and last.
    pub queues: (u16, u16),
}

impl QueueRule<'_> {
    pub fn is_ours(&self) -> bool {
        is_ours(chain_of(self.rule))
    }

    pub fn leads_to(&self, queue: u16) -> bool {
        (self.queues.0..=self.queues.1).contains(&queue)
    }

    pub fn meets(&self, queues: Queues) -> bool {
        self.queues.0 <= queues.last() && queues.first() <= self.queues.1
    }
}

impl SavedTable {
    pub fn has_ours(&self) -> bool {
        self.own_chains().next().is_some() || self.jumps().next().is_some()
    }

    pub fn own_chains(&self) -> impl Iterator<Item = &str> {
        self.chains
            .iter()
            .map(|chain| chain.name.as_str())
            .filter(|name| is_ours(name))
    }

    /// Rules of other chains that lead into ours.
    pub fn jumps(&self) -> impl Iterator<Item = &str> {
        self.rules
            .iter()
            .map(String::as_str)
            .filter(|rule| !is_ours(chain_of(rule)) && target_of(rule).is_some_and(is_ours))
    }

    /// What is left of it once we are gone.
    pub fn without_ours(&self) -> SavedTable {
        let jumps: Vec<&str> = self.jumps().collect();
        SavedTable {
            name: self.name.clone(),
            chains: self
                .chains
                .iter()
                .filter(|chain| !is_ours(&chain.name))
                .cloned()
                .collect(),
            rules: self
                .rules
                .iter()
                .filter(|rule| !is_ours(chain_of(rule)) && !jumps.contains(&rule.as_str()))
                .cloned()
                .collect(),
        }
    }

    /// Whether a built-in chain has no rules and lets everything pass.
    pub fn is_unused_chain(&self, name: &str) -> bool {
        let accepts = |chain: &SavedChain| chain.name != name || chain.policy == "ACCEPT";
        self.chains.iter().all(accepts) && self.rules.iter().all(|rule| chain_of(rule) != name)
    }

    /// Whether it is as a table that nobody uses.
    pub fn is_unused(&self) -> bool {
        self.rules.is_empty() && self.chains.iter().all(|chain| chain.policy == "ACCEPT")
    }
}

fn chain_of(rule: &str) -> &str {
    rule.split_whitespace().next().unwrap_or_default()
}

fn target_of(rule: &str) -> Option<&str> {
    value_of(rule, &["-j", "-g"])
}

fn queues_of(rule: &str) -> Option<(u16, u16)> {
    if target_of(rule)? != "NFQUEUE" {
        return None;
    }
    if let Some(range) = value_of(rule, &["--queue-balance"]) {
        let (first, last) = range.split_once(':')?;
        return Some((first.parse().ok()?, last.parse().ok()?));
    }
    // Without a number it is the first queue.
    let number = value_of(rule, &["--queue-num"]).map_or(Some(0), |text| text.parse().ok())?;
    Some((number, number))
}

/// The word behind one of the options, which a comment cannot pretend to be.
fn value_of<'a>(rule: &'a str, options: &[&str]) -> Option<&'a str> {
    let mut words = words(rule);
    words.find(|word| options.contains(word))?;
    words.next()
}

fn comment_of(rule: &str) -> Option<&str> {
    let text = value_of(rule, &["--comment"])?;
    Some(text.trim_matches('"'))
}

/// Words of a rule; what stands in quotes is one, with its quotes.
fn words(rule: &str) -> impl Iterator<Item = &str> {
    let mut rest = rule;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let end = match rest.strip_prefix('"') {
            Some(inside) => closing_quote(inside).map(|at| at + 2),
            None => rest.find(' '),
        };
        let (word, after) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        rest = after;
        Some(word)
    })
}

/// Where the quote ends that was opened; `\"` does not end it.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, letter)| {
        let ends = letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        ends.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# Generated by iptables-nft-save v1.8.9 (nf_tables)
*mangle
:PREROUTING ACCEPT [0:0]
:FORWARD ACCEPT [12:3400]
:WERO - [0:0]
:WERO_NOTE - [0:0]
:mine - [0:0]
-A FORWARD -s 10.0.0.1/32 -m comment --comment "then -j WERO \" -j NFQUEUE" -j mine
-A FORWARD -i eth0 -m comment --comment "wero gateway" -j WERO
-A WERO -m bpf --bytecode "2,177 0 0 0,6 0 0 1" -j NFQUEUE --queue-num 3 --queue-bypass
-A WERO_NOTE -m comment --comment "wero-was net.netfilter.nf_conntrack_tcp_be_liberal=0"
-A mine -j NFQUEUE --queue-balance 5:7
-A mine -j NFQUEUE
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
COMMIT
"#;

    #[test]
    fn ours_is_told_from_the_users() {
        let saved = Saved::parse(TEXT);
        let mangle = saved.table("mangle").expect("it is in the text");
        assert_eq!(
            mangle.jumps().collect::<Vec<_>>(),
            ["FORWARD -i eth0 -m comment --comment \"wero gateway\" -j WERO"]
        );
        assert_eq!(
            mangle.own_chains().collect::<Vec<_>>(),
            ["WERO", "WERO_NOTE"]
        );
        let nat = saved.table("nat").expect("it is in the text");
        assert!(nat.is_unused() && !nat.has_ours() && !mangle.is_unused());
        assert_eq!(
            saved.notes(),
            [Note::was("net.netfilter.nf_conntrack_tcp_be_liberal", "0")]
        );
        assert_eq!(Saved::parse(""), Saved::default());
    }

    #[test]
    fn rules_that_lead_to_queues_are_found() {
        let saved = Saved::parse(TEXT);
        let found: Vec<_> = saved
            .queue_rules()
            .iter()
            .map(|rule| (rule.is_ours(), rule.queues))
            .collect();
        assert_eq!(found, [(true, (3, 3)), (false, (5, 7)), (false, (0, 0))]);
        let rules = saved.queue_rules();
        assert!(rules[1].leads_to(6) && !rules[1].leads_to(8));
        assert!(rules[1].meets(Queues::new(7, 3).expect("a range")));
        assert!(!rules[1].meets(Queues::new(0, 5).expect("a range")));
    }
}

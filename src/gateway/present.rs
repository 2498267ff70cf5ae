//! What is loaded now, in every variant, without making anything in the
//! kernel that was not there.

use std::fs;

use super::iptables::is_ours;
use super::nft;
use super::note::Note;
use super::plan::Family;
use super::saved::Saved;
use super::settings;
use super::tools::{Backend, Tools, run};

/// What one variant of iptables has loaded for one family.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub tools: Tools,
    pub saved: Saved,
    /// Built-in chains as `nft` lists them, which `iptables-save` does not
    /// tell from those that do not exist.
    pub chains: Option<Vec<(String, String)>>,
}

/// What all of them have loaded.
#[derive(Clone, Debug, Default)]
pub struct Present {
    pub iptables: Vec<Loaded>,
    /// The listing of our own table of nft, where it is.
    pub nft: Option<String>,
    /// Other tables of nft, by family and name, without those of iptables.
    pub nft_of_others: Vec<(String, String)>,
    /// Why something could not be looked at.
    pub unread: Vec<String>,
}

impl Present {
    /// Reads what can be read: a variant that is missing has nothing loaded.
    pub fn read() -> Present {
        let mut present = Present::default();
        for backend in [Backend::IptablesNft, Backend::IptablesLegacy] {
            for family in families() {
                present.read_iptables(backend, family);
            }
        }
        present.read_nft();
        present
    }

    fn read_iptables(&mut self, backend: Backend, family: Family) {
        // Asking the legacy tools would make the tables that they print.
        if backend == Backend::IptablesLegacy && !has_legacy_tables(family) {
            return;
        }
        let Ok(tools) = Tools::find(backend, family) else {
            return;
        };
        match run(&tools.save, &[], "") {
            Ok(text) => self.iptables.push(Loaded {
                chains: match backend {
                    Backend::IptablesNft => nft_chains(family),
                    _ => None,
                },
                saved: Saved::parse(&text),
                tools,
            }),
            Err(error) => self.unread.push(error.to_string()),
        }
    }

    fn read_nft(&mut self) {
        let Ok(tools) = Tools::find(Backend::Nft, Family::V4) else {
            return;
        };
        match run(&tools.save, &["list", "ruleset"], "") {
            Ok(listing) => {
                for (table, text) in nft::tables(&listing) {
                    if table == nft::OWN {
                        self.nft = Some(text);
                    } else if !is_of_iptables(&table) {
                        self.nft_of_others.push((table, text));
                    }
                }
            }
            Err(error) => self.unread.push(error.to_string()),
        }
    }

    pub fn of(&self, backend: Backend, family: Family) -> Option<&Loaded> {
        self.iptables
            .iter()
            .find(|loaded| loaded.tools.backend == backend && loaded.tools.family == family)
    }

    /// Whether anything of ours is loaded.
    pub fn has_ours(&self) -> bool {
        Backend::ALL
            .into_iter()
            .any(|backend| self.has_ours_of(backend))
    }

    /// Whether this tool has loaded anything of ours.
    pub fn has_ours_of(&self, backend: Backend) -> bool {
        match backend {
            Backend::Nft => self.nft.is_some(),
            _ => self
                .iptables
                .iter()
                .any(|loaded| loaded.tools.backend == backend && loaded.saved.has_ours()),
        }
    }

    /// All that was written down, each thing once.
    pub fn notes(&self) -> Vec<Note> {
        let of_nft = self.nft.iter().flat_map(|listing| nft::notes(listing));
        let mut notes: Vec<Note> = Vec::new();
        for note in self
            .iptables
            .iter()
            .flat_map(|loaded| loaded.saved.notes())
            .chain(of_nft)
        {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }

    /// Where rules lead to a queue: a line for each, with whether it is ours.
    pub fn queue_rules(&self) -> Vec<(String, bool, (u16, u16))> {
        let mut found = Vec::new();
        for loaded in &self.iptables {
            for rule in loaded.saved.queue_rules() {
                let program = loaded.tools.backend;
                let family = loaded.tools.family.name();
                let line = format!(
                    "{program} ({family}), table {}: -A {}",
                    rule.table,
                    shortened(rule.rule)
                );
                found.push((line, rule.is_ours(), rule.queues));
            }
        }
        let own = self.nft.iter().map(|listing| (nft::OWN, listing, true));
        let others = self.nft_of_others.iter();
        let others = others.map(|(table, listing)| (table.as_str(), listing, false));
        for (table, listing, ours) in own.chain(others) {
            for (rule, queues) in nft::queue_rules(listing) {
                found.push((format!("nft, table {table}: {rule}"), ours, queues));
            }
        }
        found
    }
}

/// What iptables keeps in nft is read through iptables.
fn is_of_iptables(table: &str) -> bool {
    let names = ["raw", "mangle", "nat", "filter", "security"];
    table
        .split_once(' ')
        .is_some_and(|(family, name)| ["ip", "ip6"].contains(&family) && names.contains(&name))
}

/// Programs of the match `bpf` are numbers that nobody reads.
fn shortened(rule: &str) -> String {
    let Some((before, rest)) = rule.split_once("--bytecode \"") else {
        return rule.to_owned();
    };
    let after = rest.split_once('"').map_or("", |(_, after)| after);
    format!("{before}--bytecode …{after}")
}

/// The families that this kernel has.
pub fn families() -> Vec<Family> {
    let has_v6 = fs::exists("/proc/thread-self/net/if_inet6").unwrap_or(true);
    Family::ALL
        .into_iter()
        .filter(|family| *family == Family::V4 || has_v6)
        .collect()
}

fn has_legacy_tables(family: Family) -> bool {
    let file = match family {
        Family::V4 => "/proc/thread-self/net/ip_tables_names",
        Family::V6 => "/proc/thread-self/net/ip6_tables_names",
    };
    fs::read_to_string(file).is_ok_and(|names| !names.trim().is_empty())
}

/// Tables and chains of a family, as `nft` lists them.
fn nft_chains(family: Family) -> Option<Vec<(String, String)>> {
    let tools = Tools::find(Backend::Nft, family).ok()?;
    let listing = run(&tools.save, &["list", "chains", nft_family(family)], "").ok()?;
    let mut table = String::new();
    let mut chains = Vec::new();
    for line in listing.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("table"), Some(_), Some(name)) => table = name.to_owned(),
            (Some("chain"), Some(name), _) if !is_ours(name) => {
                chains.push((table.clone(), name.to_owned()));
            }
            _ => {}
        }
    }
    Some(chains)
}

/// How nft calls a family.
pub fn nft_family(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

/// What a kernel setting is now, where it can be read.
pub fn differs(setting: &str, wanted: &str) -> Option<String> {
    settings::read(setting).filter(|value| value != wanted)
}

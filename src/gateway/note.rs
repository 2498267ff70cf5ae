//! What was before Wero changed it, written into comments of its own rules.
//!
//! There is no state file: whoever finds the rules, also after a run that was
//! killed, finds with them what to put back.

use std::fmt;

/// One thing to undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A kernel setting had this value.
    Was { setting: String, value: String },
    /// A table was not there.
    MadeTable { table: String },
    /// A built-in chain was not there, though its table was.
    MadeChain { table: String, chain: String },
}

impl Note {
    pub fn was(setting: &str, value: &str) -> Note {
        Note::Was {
            setting: setting.to_owned(),
            value: value.to_owned(),
        }
    }

    pub fn parse(text: &str) -> Option<Note> {
        let (kind, rest) = text.split_once(' ')?;
        Some(match kind {
            "wero-was" => {
                let (setting, value) = rest.split_once('=')?;
                Note::was(setting, value)
            }
            "wero-made-table" => Note::MadeTable {
                table: rest.to_owned(),
            },
            "wero-made-chain" => {
                let (table, chain) = rest.split_once(' ')?;
                Note::MadeChain {
                    table: table.to_owned(),
                    chain: chain.to_owned(),
                }
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Was { setting, value } => write!(out, "wero-was {setting}={value}"),
            Note::MadeTable { table } => write!(out, "wero-made-table {table}"),
            Note::MadeChain { table, chain } => write!(out, "wero-made-chain {table} {chain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written() {
        let notes = [
            Note::was("net.bridge.bridge-nf-call-iptables", "0"),
            Note::MadeTable {
                table: "mangle".to_owned(),
            },
            Note::MadeChain {
                table: "mangle".to_owned(),
                chain: "FORWARD".to_owned(),
            },
        ];
        for note in notes {
            assert_eq!(Note::parse(&note.to_string()), Some(note));
        }
        for other in ["", "wero", "wero-was nothing", "wero-ate a=b"] {
            assert_eq!(Note::parse(other), None, "{other}");
        }
    }
}

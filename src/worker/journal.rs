//! What a worker has to say, kept in order until it is written.
//!
//! Rules and engine speak while the engine runs; the journal keeps it all in
//! one list, so that text, alerts and packets come out in the order in which
//! they arose, from one worker or from several.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::ops::Range;

use crate::alert::Alert;
use crate::event::{DropReason, Level, Outward, StoreRequest};
use crate::packet::LinkType;
use crate::time::Timestamp;

/// One thing to be written.
#[derive(Debug)]
pub enum Entry {
    Log {
        level: Level,
        section: String,
        text: String,
    },
    /// An alert whose id counts from 1 in its worker.
    Alert(Box<Alert>),
    /// An alert of the engine's own: it has no id yet.
    NativeAlert(Box<Alert>),
    Print {
        text: Range<usize>,
        to_error: bool,
    },
    /// A packet that leaves.
    Packet {
        timestamp: Timestamp,
        link: LinkType,
        wire_len: u32,
        bytes: Range<usize>,
    },
    /// A packet that does not, and the rule that refused it.
    Refused {
        frame: u64,
        reason: DropReason,
        rule: Option<String>,
    },
    /// A request to a document store.
    Store(Box<StoreRequest>),
}

/// Entries in order, and the bytes they point into.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    muted: bool,
}

impl Journal {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes of a printed text or packet.
    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    pub fn push(&mut self, entry: Entry) {
        if !self.muted {
            self.entries.push(entry);
        }
    }

    pub fn push_packet(
        &mut self,
        timestamp: Timestamp,
        link: LinkType,
        wire_len: u32,
        bytes: &[u8],
    ) {
        let bytes = self.keep(bytes);
        self.push(Entry::Packet {
            timestamp,
            link,
            wire_len,
            bytes,
        });
    }

    /// Forgets what was said; room is kept.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
    }

    /// Puts what was said before in front again. Beyond `most` entries, or so
    /// many bytes of text for each as a line has, all of it is lost; returns
    /// how many were.
    pub fn restore(&mut self, before: Journal, most: usize) -> u64 {
        const LINE: usize = 128;
        let bytes = before.bytes.len() + self.bytes.len();
        if before.len() + self.len() > most || bytes > most * LINE {
            return before.len() as u64;
        }
        let later = std::mem::replace(self, before);
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&later.bytes);
        self.entries
            .extend(later.entries.into_iter().map(|mut entry| {
                if let Entry::Print { text: range, .. } | Entry::Packet { bytes: range, .. } =
                    &mut entry
                {
                    *range = range.start + shift..range.end + shift;
                }
                entry
            }));
        0
    }

    /// While muted nothing is kept: for workers whose twin says the same.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        if !self.muted {
            self.bytes.extend_from_slice(bytes);
        }
        start..self.bytes.len()
    }
}

impl Outward for Journal {
    fn log(&mut self, level: Level, section: &str, text: &str) {
        self.push(Entry::Log {
            level,
            section: section.to_owned(),
            text: text.to_owned(),
        });
    }

    fn alert(&mut self, alert: &Alert) {
        self.push(Entry::Alert(Box::new(alert.clone())));
    }

    fn print(&mut self, text: &[u8], to_error: bool) {
        let text = self.keep(text);
        self.push(Entry::Print { text, to_error });
    }

    fn store(&mut self, request: StoreRequest) {
        self.push(Entry::Store(Box::new(request)));
    }

    fn nonce(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        if read.is_err() {
            // Keys that the standard library makes anew for every one.
            let half = || {
                RandomState::new()
                    .hash_one(std::process::id())
                    .to_le_bytes()
            };
            return [half(), half()].concat().try_into().unwrap_or(bytes);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_order_and_their_bytes() {
        let mut journal = Journal::default();
        journal.print(b"one\n", false);
        journal.log(Level::Info, "core", "two");
        journal.push_packet(Timestamp(3), LinkType::RAW, 5, b"three");
        let [
            Entry::Print {
                text,
                to_error: false,
            },
            Entry::Log { .. },
            Entry::Packet { bytes, .. },
        ] = journal.entries()
        else {
            panic!("{journal:?}");
        };
        assert_eq!(
            (journal.bytes(text), journal.bytes(bytes)),
            (&b"one\n"[..], &b"three"[..])
        );
        journal.clear();
        assert!(journal.is_empty());
    }

    #[test]
    fn what_could_not_be_written_stands_before_what_came_since() {
        let said = |text: &[u8]| {
            let mut journal = Journal::default();
            journal.print(text, false);
            journal
        };
        let mut journal = said(b"later");
        assert_eq!(journal.restore(said(b"before"), 10), 0);
        let texts: Vec<_> = journal
            .entries()
            .iter()
            .map(|entry| match entry {
                Entry::Print { text, .. } => journal.bytes(text),
                _ => &[],
            })
            .collect();
        assert_eq!(texts, [&b"before"[..], b"later"]);
        // More entries, or more bytes, than are kept.
        assert_eq!(journal.restore(said(b"earlier"), 2), 1);
        assert_eq!(journal.restore(said(&[b'x'; 4096]), 3), 1);
        assert_eq!(journal.len(), 2);
    }

    #[test]
    fn a_muted_journal_keeps_nothing() {
        let mut journal = Journal::default();
        journal.mute(true);
        journal.print(b"unheard", true);
        journal.alert(&Alert::default());
        journal.mute(false);
        journal.print(b"heard", false);
        assert_eq!(journal.len(), 1);
        assert_eq!(journal.bytes(&(0..5)), b"heard");
    }
}

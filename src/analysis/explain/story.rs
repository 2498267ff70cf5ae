//! What is told of a packet: plain data, for text and JSON.

use serde::Serialize;

use super::layers::Layers;
use crate::core::StreamState;

/// Everything about one packet of the capture.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Account {
    /// Number of the packet, from 1.
    pub packet: u64,
    /// Nanoseconds since the epoch.
    pub timestamp: i64,
    pub length: u32,
    /// Bytes that the capture has of it.
    pub captured: usize,
    pub decoding: Layers,
    pub flow: Option<FlowAccount>,
    /// What happened, in order; `depth` says what lies in what.
    pub steps: Vec<Line>,
    /// Steps beyond the cap, which are not told.
    pub steps_left_out: usize,
    /// Ranges of bytes that differ between what came and what left.
    pub changes: Vec<Change>,
    /// Packets that rules or the engine made on account of it.
    pub injected: Vec<Injected>,
    pub outcome: Option<Outcome>,
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// The flow of a packet, before and after it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FlowAccount {
    pub id: u64,
    pub protocol: &'static str,
    pub client: String,
    pub server: String,
    pub to_server: bool,
    /// The packet opened the flow.
    pub opened: bool,
    pub state_before: &'static str,
    pub state_after: &'static str,
    /// To the server, to the client; for TCP only.
    pub before: Option<[Stream; 2]>,
    pub after: Option<[Stream; 2]>,
    #[serde(skip)]
    pub slot: u32,
}

/// One direction of a TCP connection, in stream offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stream {
    /// First byte that rules have not seen yet.
    pub next: u64,
    /// Behind the last byte, once the FIN was seen.
    pub end: Option<u64>,
    /// Seen by rules and not yet let go.
    pub held_bytes: u32,
    pub held_segments: usize,
    /// Behind a hole.
    pub queued_bytes: u64,
    pub queued_segments: usize,
    /// Bytes that edits added or took away so far.
    pub shift: i64,
}

impl From<StreamState> for Stream {
    fn from(state: StreamState) -> Stream {
        Stream {
            next: state.next,
            end: state.end,
            held_bytes: state.held_bytes,
            held_segments: state.held_segments,
            queued_bytes: state.queued_bytes,
            queued_segments: state.queued_segments,
            shift: state.shift,
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub depth: usize,
    /// The packet that was under way, if it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub during: Option<u64>,
    #[serde(flatten)]
    pub step: Step,
    /// What it concerns.
    #[serde(skip)]
    pub about: About,
}

/// A packet and a flow by their numbers; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub packet: u64,
    pub flow: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// An event was raised, or a policy asked.
    Event { event: String },
    /// A listener, or a member of a rule group.
    Rule {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        location: String,
        member: bool,
        /// What it did, in words.
        result: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        nanoseconds: Option<u64>,
        reads: Vec<Read>,
    },
    /// The entry of a policy that matched last.
    Policy {
        policy: String,
        entry: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        location: Option<String>,
    },
    /// A log line, an alert, or text that a rule printed.
    Said { kind: &'static str, text: String },
    /// What the engine did or found.
    Engine { text: String },
}

/// A field that a rule read, with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Read {
    pub field: String,
    pub value: String,
}

/// Bytes that differ: at the same offset before and after, as hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub offset: usize,
    pub before: String,
    pub after: String,
}

/// A packet of our own.
#[derive(Clone, Debug, Serialize)]
pub struct Injected {
    pub length: usize,
    pub decoding: Layers,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// `accept`, `rewrite` or `drop`.
    pub verdict: &'static str,
    /// The reason of a drop, and its meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The packet during which it left or was refused, if it is another; 0
    /// for the end of the capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub during: Option<u64>,
}

/// Who decided, and in which packet's course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    #[serde(flatten)]
    pub by: By,
    /// The packet during which it was decided; 0 for none.
    pub packet: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum By {
    Rule {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        location: String,
        event: String,
        /// The error by which it did, if it was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Policy {
        policy: String,
        entry: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        location: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Cap {
        setting: &'static str,
        limit: u64,
    },
    Malformed {
        layer: String,
        offset: usize,
        fault: String,
    },
    Engine {
        cause: String,
    },
}

/// Where two byte strings differ. Runs with up to three equal bytes between
/// them are one; each stands at its offset in what came.
pub fn changes(before: &[u8], after: &[u8]) -> Vec<Change> {
    /// Equal bytes that do not end a run.
    const JOINED: usize = 3;
    let common = before.len().min(after.len());
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for at in 0..common {
        if before.get(at) == after.get(at) {
            continue;
        }
        match runs.last_mut() {
            Some((_, end)) if at <= *end + JOINED => *end = at + 1,
            _ => runs.push((at, at + 1)),
        }
    }
    if before.len() != after.len() {
        match runs.last_mut() {
            Some((_, end)) if common <= *end + JOINED => *end = usize::MAX,
            _ => runs.push((common, usize::MAX)),
        }
    }
    runs.into_iter()
        .map(|(from, to)| Change {
            offset: from,
            before: hex(before, from, to),
            after: hex(after, from, to),
        })
        .collect()
}

fn hex(bytes: &[u8], from: usize, to: usize) -> String {
    let part = bytes.get(from..to.min(bytes.len())).unwrap_or_default();
    let text: Vec<String> = part.iter().map(|byte| format!("{byte:02x}")).collect();
    text.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(offset: usize, before: &str, after: &str) -> Change {
        Change {
            offset,
            before: before.to_owned(),
            after: after.to_owned(),
        }
    }

    #[test]
    fn differences_stand_at_their_offsets() {
        assert_eq!(changes(b"abc", b"abc"), []);
        assert_eq!(
            changes(b"abcdefghij", b"aXcdefghiY"),
            [change(1, "62", "58"), change(9, "6a", "59")]
        );
        assert_eq!(
            changes(b"abcd", b"XbcX"),
            [change(0, "61 62 63 64", "58 62 63 58")]
        );
        assert_eq!(changes(b"ab", b"abcd"), [change(2, "", "63 64")]);
        assert_eq!(changes(b"abcd", b"Xb"), [change(0, "61 62 63 64", "58 62")]);
    }
}

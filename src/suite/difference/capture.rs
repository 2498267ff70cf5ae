//! The difference of two captures: which packets are missing, which are new,
//! and what is other in those that changed.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Cursor;
use std::time::Instant;

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

use super::refusals::Refusals;
use super::{PATIENCE, cut, packet};
use crate::capture::file::CaptureReader;
use crate::packet::LinkType;
use crate::time::Timestamp;

/// A packet of a capture.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    pub time: Timestamp,
    pub link: LinkType,
    pub wire_len: u32,
    pub bytes: Vec<u8>,
}

/// Says how the packets of two capture files differ.
pub fn captures(name: &str, expected: Vec<u8>, found: Vec<u8>, refusals: &Refusals) -> String {
    let (old, new) = match (read(name, expected), read("output", found)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(error), _) | (_, Err(error)) => return format!("{error}\n"),
    };
    let mut text = format!(
        "--- {name}: {} packets\n+++ output: {} packets\n",
        old.len(),
        new.len()
    );
    let hashes = |frames: &[Frame]| frames.iter().map(hash).collect::<Vec<u64>>();
    let changes = capture_diff_slices_deadline(
        Algorithm::Myers,
        &hashes(&old),
        &hashes(&new),
        Some(Instant::now() + PATIENCE),
    );
    let mut teller = Teller {
        text: &mut text,
        refusals,
        any: false,
    };
    for change in changes {
        if matches!(change, DiffOp::Equal { .. }) {
            continue;
        }
        let (before, after) = (change.old_range(), change.new_range());
        teller.block(
            (before.start, old.get(before).unwrap_or_default()),
            (after.start, new.get(after).unwrap_or_default()),
        );
    }
    if !teller.any {
        text.push_str("the packets are the same, the file's header is not\n");
    }
    cut(text)
}

fn hash(frame: &Frame) -> u64 {
    let mut hasher = DefaultHasher::new();
    frame.hash(&mut hasher);
    hasher.finish()
}

fn read(name: &str, bytes: Vec<u8>) -> Result<Vec<Frame>, String> {
    let told = |error: crate::capture::file::CaptureError| error.to_string();
    let mut reader = CaptureReader::from_read(Cursor::new(bytes), name).map_err(told)?;
    let mut frames = Vec::new();
    while let Some(record) = reader.next().map_err(told)? {
        frames.push(Frame {
            time: record.timestamp,
            link: record.link,
            wire_len: record.orig_len,
            bytes: record.bytes.to_vec(),
        });
    }
    Ok(frames)
}

/// The place of the packet that one became: of the same time and the same
/// ends, or alone at its time, since an end may be what was changed.
fn twin_of(frame: &Frame, rest: &[Frame], olds: &[Frame]) -> Option<usize> {
    let same_time = |other: &&Frame| other.time == frame.time;
    let ends = packet::ends(frame);
    let same_ends = |other: &Frame| same_time(&other) && packet::ends(other) == ends;
    if let Some(place) = rest.iter().position(same_ends) {
        return Some(place);
    }
    let alone = |frames: &[Frame]| frames.iter().filter(same_time).count() == 1;
    (alone(olds) && alone(rest)).then(|| rest.iter().position(|other| same_time(&other)))?
}

struct Teller<'a> {
    text: &'a mut String,
    refusals: &'a Refusals,
    any: bool,
}

impl Teller<'_> {
    /// Packets that stand in each other's place, with the number of the
    /// first of each.
    fn block(&mut self, old: (usize, &[Frame]), new: (usize, &[Frame])) {
        self.any = true;
        let mut at = 0;
        for (offset, frame) in old.1.iter().enumerate() {
            let rest = new.1.get(at..).unwrap_or_default();
            let twin = twin_of(frame, rest, old.1);
            let Some(skipped) = twin else {
                self.missing(old.0 + offset + 1, frame);
                continue;
            };
            for other in &rest[..skipped] {
                self.surplus(new.0 + at + 1, other);
                at += 1;
            }
            self.changed(
                (old.0 + offset + 1, frame),
                (new.0 + at + 1, &rest[skipped]),
            );
            at += 1;
        }
        for other in new.1.get(at..).unwrap_or_default() {
            self.surplus(new.0 + at + 1, other);
            at += 1;
        }
    }

    fn missing(&mut self, number: usize, frame: &Frame) {
        self.line('-', number, frame, "does not come out");
        if let Some((input, reason)) = self.refusals.of(frame) {
            let verdict = reason.unwrap_or("let through, perhaps changed");
            self.say(format_args!("    frame {input} of the input: {verdict}\n"));
        }
    }

    fn surplus(&mut self, number: usize, frame: &Frame) {
        self.line('+', number, frame, "was not expected");
        if let Some((input, _)) = self.refusals.of(frame) {
            self.say(format_args!(
                "    frame {input} of the input: let through\n"
            ));
        }
    }

    fn changed(&mut self, (was, old): (usize, &Frame), (is, new): (usize, &Frame)) {
        let place = match was == is {
            true => String::new(),
            false => format!(" (packet {is} of the output)"),
        };
        self.line('~', was, old, &format!("comes out changed{place}"));
        if old.wire_len != new.wire_len {
            self.say(format_args!(
                "    length on the wire: {} expected, {} found\n",
                old.wire_len, new.wire_len
            ));
        }
        if old.link != new.link {
            self.say(format_args!(
                "    link type: {:?} expected, {:?} found\n",
                old.link, new.link
            ));
        }
        let changes = packet::changes(old, new);
        self.text.push_str(&changes);
    }

    fn line(&mut self, sign: char, number: usize, frame: &Frame, what: &str) {
        let shown = packet::describe(frame);
        self.say(format_args!("{sign} packet {number}: {shown}: {what}\n"));
    }

    fn say(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

//! Which packets of the input a replay refused, and why, out of what
//! `wero replay --drops` says.

use std::collections::HashMap;
use std::path::Path;

use super::capture::Frame;
use crate::capture::file::CaptureReader;
use crate::time::Timestamp;

/// Verdicts on the packets of the input, found by their time.
#[derive(Debug, Default)]
pub struct Refusals {
    /// `dropped, ...` by frame number.
    reasons: HashMap<u64, String>,
    frames: Vec<(u64, Timestamp, Vec<u8>)>,
}

impl Refusals {
    /// Reads the lines `frame 7: dropped, rule by rule.lua:12`, and the input
    /// for the packets they speak of.
    pub fn read(complaints: &str, input: &Path) -> Refusals {
        let reasons: HashMap<u64, String> = complaints
            .lines()
            .filter_map(|line| {
                let (number, reason) = line.strip_prefix("frame ")?.split_once(": ")?;
                Some((number.parse().ok()?, reason.to_owned()))
            })
            .collect();
        let mut frames = Vec::new();
        // A damaged input was complained of already.
        if let Ok(mut reader) = CaptureReader::open(input) {
            while let Ok(Some(record)) = reader.next() {
                frames.push((record.frame, record.timestamp, record.bytes.to_vec()));
            }
        }
        Refusals { reasons, frames }
    }

    /// The frame of the input that a packet is, and what became of it.
    pub fn of(&self, frame: &Frame) -> Option<(u64, Option<&str>)> {
        let at_that_time = || {
            self.frames
                .iter()
                .filter(|(_, time, _)| *time == frame.time)
        };
        let same = at_that_time().find(|(_, _, bytes)| *bytes == frame.bytes);
        // An edited packet keeps its time.
        let mut candidates = at_that_time();
        let only = match (candidates.next(), candidates.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        };
        let (number, ..) = same.or(only)?;
        Some((*number, self.reasons.get(number).map(String::as_str)))
    }
}

//! Capture files: frames with times become a classic pcap file.
//!
//! Little endian, microseconds, Ethernet. The clock begins at [`START`], so
//! that the same frames always give the same file.

use std::time::Duration;

/// 2026-01-05 10:00:00 UTC, in seconds since 1970.
const START: u32 = 1_767_607_200;

const SNAP_LENGTH: u32 = 262_144;
const LINKTYPE_ETHERNET: u32 = 1;

/// Frames with the time since the start of the capture, in file order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    frames: Vec<(Duration, Vec<u8>)>,
}

impl Recording {
    pub fn push(&mut self, at: Duration, frame: Vec<u8>) {
        self.frames.push((at, frame));
    }

    /// The time of the last frame.
    pub fn end(&self) -> Duration {
        self.frames.last().map_or(Duration::ZERO, |(at, _)| *at)
    }

    /// Adds another recording, beginning `offset` after the start of this
    /// one. Frames of the same time keep their order.
    pub fn merge(&mut self, offset: Duration, other: Self) {
        self.frames.extend(
            other
                .frames
                .into_iter()
                .map(|(at, frame)| (at + offset, frame)),
        );
        self.frames.sort_by_key(|(at, _)| *at);
    }

    /// The frames as they were sent, without their times.
    #[cfg(test)]
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.iter().map(|(_, frame)| frame.as_slice())
    }

    pub fn to_pcap(&self) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(0xa1b2_c3d4_u32.to_le_bytes());
        file.extend(2_u16.to_le_bytes());
        file.extend(4_u16.to_le_bytes());
        file.extend([0; 8]); // time zone, accuracy
        file.extend(SNAP_LENGTH.to_le_bytes());
        file.extend(LINKTYPE_ETHERNET.to_le_bytes());
        for (at, frame) in &self.frames {
            let seconds = START + u32::try_from(at.as_secs()).expect("captures last minutes");
            let length = u32::try_from(frame.len()).expect("frames are smaller than 64 kB");
            for field in [seconds, at.subsec_micros(), length, length] {
                file.extend(field.to_le_bytes());
            }
            file.extend(frame);
        }
        file
    }
}

//! TCP as an outsider reads it: segments out of frames, streams out of
//! segments. Shares no code with the engine it checks.

use std::collections::BTreeMap;

/// A TCP segment of a frame, with what its checksums say.
pub struct Segment {
    pub from_client: bool,
    pub seq: u32,
    pub ack: Option<u32>,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    pub payload: Vec<u8>,
}

const SERVER_PORT: u16 = 7000;

/// Reads a frame and insists on right lengths and checksums.
pub fn segment(frame: &[u8]) -> Segment {
    let mut at = 14;
    let mut ethertype = word(frame, 12);
    while ethertype == 0x8100 || ethertype == 0x88a8 {
        ethertype = word(frame, at + 2);
        at += 4;
    }
    let (tcp, end, mut pseudo) = if ethertype == 0x0800 {
        let header = usize::from(frame[at] & 15) * 4;
        assert_eq!(
            sum(&frame[at..at + header], 0),
            0xffff,
            "IPv4 header checksum"
        );
        let pseudo = frame[at + 12..at + 20].to_vec();
        (at + header, at + usize::from(word(frame, at + 2)), pseudo)
    } else {
        assert_eq!((ethertype, frame[at + 6]), (0x86dd, 6), "IPv6 and TCP");
        (
            at + 40,
            at + 40 + usize::from(word(frame, at + 4)),
            frame[at + 8..at + 40].to_vec(),
        )
    };
    assert_eq!(end, frame.len(), "length in the IP header");
    pseudo.extend_from_slice(&[0, 6]);
    pseudo.extend_from_slice(&((end - tcp) as u16).to_be_bytes());
    assert_eq!(
        sum(&frame[tcp..end], sum(&pseudo, 0)),
        0xffff,
        "TCP checksum"
    );
    let flags = frame[tcp + 13];
    let long = |at: usize| u32::from(word(frame, at)) << 16 | u32::from(word(frame, at + 2));
    Segment {
        from_client: word(frame, tcp + 2) == SERVER_PORT,
        seq: long(tcp + 4),
        ack: (flags & 0x10 != 0).then(|| long(tcp + 8)),
        syn: flags & 2 != 0,
        fin: flags & 1 != 0,
        rst: flags & 4 != 0,
        payload: frame[tcp + usize::from(frame[tcp + 12] >> 4) * 4..end].to_vec(),
    }
}

fn word(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// The Internet checksum's sum: all ones over a block with a right checksum.
fn sum(bytes: &[u8], start: u32) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let total = start + words.sum::<u32>();
    let folded = (total & 0xffff) + (total >> 16);
    (folded & 0xffff) + (folded >> 16)
}

/// One direction, put together from what its segments carried.
#[derive(Default)]
pub struct Stream {
    base: Option<u32>,
    bytes: BTreeMap<u64, u8>,
    /// Sequence numbers sent, the FIN's included.
    pub sent: u64,
    pub fin: Option<u64>,
    /// Places where a later segment said something else.
    pub conflicts: usize,
}

impl Stream {
    pub fn take(&mut self, segment: &Segment) {
        let first = segment.seq.wrapping_add(u32::from(segment.syn));
        let base = *self.base.get_or_insert(first);
        // The captures are short: no offset needs more than 31 bits.
        let offset = i64::from(first.wrapping_sub(base) as i32);
        for (number, &byte) in segment.payload.iter().enumerate() {
            let Ok(place) = u64::try_from(offset + number as i64) else {
                continue;
            };
            let known = *self.bytes.entry(place).or_insert(byte);
            self.conflicts += usize::from(known != byte);
        }
        let end = (offset + segment.payload.len() as i64).max(0) as u64;
        if segment.fin {
            assert!(
                self.fin.is_none_or(|fin| fin == end),
                "the FIN moved from {:?} to {end}",
                self.fin
            );
            self.fin = Some(end);
        }
        if !segment.payload.is_empty() || segment.fin {
            self.sent = self.sent.max(end + u64::from(segment.fin));
        }
    }

    /// The bytes up to the first that is missing.
    pub fn text(&self) -> Vec<u8> {
        let ordered = self.bytes.iter().enumerate();
        ordered
            .take_while(|(number, (place, _))| *number as u64 == **place)
            .map(|(_, (_, byte))| *byte)
            .collect()
    }

    pub fn has_gap(&self) -> bool {
        self.text().len() != self.bytes.len()
    }

    /// How much of this direction an acknowledgement covers.
    pub fn acknowledged(&self, ack: u32) -> i64 {
        self.base
            .map_or(0, |base| i64::from(ack.wrapping_sub(base) as i32))
    }
}

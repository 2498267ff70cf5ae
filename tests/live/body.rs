//! Bodies with tokens in them, and what becomes of them when a rule replaces
//! the tokens.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use crate::random::Random;

/// What rules look for. A body too short for it has its first character.
pub const TOKEN: &[u8] = b"#TOKEN#";

/// A token so often in a dense body: every tenth cut goes through one, and
/// not too many are in one segment for the budget of a rule.
const DENSE: usize = 71;

/// Larger bodies are kept: they are asked for again and again.
const KEPT_FROM: usize = 1 << 20;

/// One body, told by three numbers that fit into a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    pub seed: u64,
    pub size: usize,
}

impl Body {
    /// So many tokens that many cuts go through one.
    pub fn dense(size: usize) -> Body {
        Body { seed: 0, size }
    }

    /// Letters, and tokens at the beginning, at the end and in between.
    pub fn bytes(self) -> Arc<Vec<u8>> {
        static KEPT: Mutex<Vec<(Body, Arc<Vec<u8>>)>> = Mutex::new(Vec::new());
        let mut kept = KEPT.lock().expect("no holder panics");
        if let Some((_, bytes)) = kept.iter().find(|(body, _)| *body == self) {
            return Arc::clone(bytes);
        }
        let bytes = Arc::new(self.make());
        if self.size >= KEPT_FROM {
            kept.push((self, Arc::clone(&bytes)));
            // Two of 50 MB are as much as a test needs at a time.
            if kept.len() > 4 {
                kept.remove(0);
            }
        }
        bytes
    }

    fn make(self) -> Vec<u8> {
        if self.seed == 0 {
            let mut bytes = Vec::with_capacity(self.size);
            while bytes.len() + DENSE <= self.size {
                bytes.extend_from_slice(TOKEN);
                bytes.resize(bytes.len() + DENSE - TOKEN.len(), b'x');
            }
            bytes.resize(self.size, b'x');
            return bytes;
        }
        let mut random = Random::new(self.seed);
        let mut bytes = Vec::with_capacity(self.size + 8);
        while bytes.len() < self.size {
            // Letters only: the bits of each byte are brought into that range.
            let letters = (random.next() & 0x0f0f_0f0f_0f0f_0f0f) + 0x6161_6161_6161_6161;
            bytes.extend_from_slice(&letters.to_le_bytes());
        }
        bytes.truncate(self.size);
        if self.size < TOKEN.len() {
            if let Some(last) = bytes.last_mut() {
                *last = b'#';
            }
            return bytes;
        }
        let last = self.size - TOKEN.len();
        let between = (self.size / 100_000).clamp(1, 200) as u64;
        let mut places = vec![0, last];
        places.extend((0..between).map(|_| random.below(last as u64 + 1) as usize));
        places.sort_unstable();
        let mut free = 0;
        for place in places {
            // The last one may overlap the one before: it is left out then.
            if place >= free {
                bytes[place..place + TOKEN.len()].copy_from_slice(TOKEN);
                free = place + TOKEN.len();
            }
        }
        bytes
    }

    /// What arrives when each token is replaced by `len` bytes.
    pub fn replaced(self, len: usize) -> Vec<u8> {
        let original = self.bytes();
        let replacement = vec![b'R'; len];
        let mut bytes = Vec::with_capacity(original.len() + 64 * len);
        let mut rest = original.as_slice();
        while let Some(at) = rest.iter().position(|byte| *byte == b'#') {
            bytes.extend_from_slice(&rest[..at]);
            bytes.extend_from_slice(&replacement);
            let token = if rest[at..].starts_with(TOKEN) {
                TOKEN.len()
            } else {
                1
            };
            rest = &rest[at + token..];
        }
        bytes.extend_from_slice(rest);
        bytes
    }
}

/// Compares what arrives with what is expected, and says where they part.
pub struct Comparison {
    expected: Vec<u8>,
    arrived: usize,
    difference: Option<String>,
}

impl Comparison {
    pub fn with(expected: Vec<u8>) -> Comparison {
        Comparison {
            expected,
            arrived: 0,
            difference: None,
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        let expected = self.expected.get(self.arrived..).unwrap_or_default();
        let len = bytes.len().min(expected.len());
        if self.difference.is_none() && bytes[..len] != expected[..len] {
            let part = std::iter::zip(bytes, expected).position(|(one, other)| one != other);
            let at = part.unwrap_or(len);
            let around = |text: &[u8]| {
                let text = &text[at.saturating_sub(8)..text.len().min(at + 16)];
                String::from_utf8_lossy(text).into_owned()
            };
            self.difference = Some(format!(
                "differs at byte {}: came {:?}, expected {:?}",
                self.arrived + at,
                around(bytes),
                around(expected)
            ));
        }
        self.arrived += bytes.len();
    }

    /// `Ok` if exactly the expected bytes have arrived.
    pub fn finish(self) -> Result<(), String> {
        if let Some(difference) = self.difference {
            return Err(difference);
        }
        if self.arrived != self.expected.len() {
            let expected = self.expected.len();
            return Err(format!("{} bytes came, expected {expected}", self.arrived));
        }
        Ok(())
    }
}

/// Reads all of a source into a comparison.
pub fn compare(mut source: impl Read, comparison: &mut Comparison) -> io::Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(()),
            len => comparison.feed(&buffer[..len]),
        }
    }
}

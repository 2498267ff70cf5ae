//! Puts the CRYPTO frames of one side in order (RFC 9000, 19.6).
//!
//! Frames come in any order, and clients shuffle them on purpose. What came
//! first wins. Both bytes and pieces are capped; what would go beyond is not
//! kept, and the hello then never becomes whole.

/// The most bytes of a side that are kept, in order or not.
pub const MOST_BYTES: usize = 64 << 10;
/// The most pieces kept ahead of their turn.
pub const MOST_PIECES: usize = 256;

/// The beginning of a crypto stream.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    front: Vec<u8>,
    /// Ahead of their turn, as they came.
    ahead: Vec<(usize, Vec<u8>)>,
    ahead_bytes: usize,
}

impl Gathered {
    /// The bytes from the start without a hole.
    pub fn front(&self) -> &[u8] {
        &self.front
    }

    /// Adds a frame; false if a cap forbids.
    pub fn add(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let Some(offset) = usize::try_from(offset).ok().filter(|&at| at <= MOST_BYTES) else {
            return false;
        };
        if offset > self.front.len() {
            if self.ahead.len() == MOST_PIECES || self.ahead_bytes + bytes.len() > MOST_BYTES {
                return false;
            }
            self.ahead_bytes += bytes.len();
            self.ahead.push((offset, bytes.to_vec()));
            return true;
        }
        if !self.append(offset, bytes) {
            return false;
        }
        while let Some(next) = self.reachable() {
            let (offset, bytes) = self.ahead.remove(next);
            self.ahead_bytes -= bytes.len();
            if !self.append(offset, &bytes) {
                return false;
            }
        }
        true
    }

    fn reachable(&self) -> Option<usize> {
        let end = self.front.len();
        self.ahead.iter().position(|&(offset, _)| offset <= end)
    }

    fn append(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let known = self.front.len() - offset;
        let new = bytes.get(known..).unwrap_or_default();
        if self.front.len() + new.len() > MOST_BYTES {
            return false;
        }
        self.front.extend_from_slice(new);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_in_any_order() {
        let mut gathered = Gathered::default();
        for (offset, bytes) in [(6, &b"ghij"[..]), (0, b"ab"), (3, b"def"), (1, b"XcX")] {
            assert!(gathered.add(offset, bytes));
        }
        assert_eq!(gathered.front(), b"abcXefghij");
        assert_eq!(gathered.ahead_bytes, 0);
    }

    #[test]
    fn caps_hold() {
        let mut gathered = Gathered::default();
        assert!(!gathered.add(u64::MAX, b"x"));
        assert!(!gathered.add(MOST_BYTES as u64 + 1, b"x"));
        for at in 0..MOST_PIECES as u64 {
            assert!(gathered.add(2 + 2 * at, b"x"));
        }
        assert!(!gathered.add(9999, b"x"));
        assert!(!Gathered::default().add(0, &vec![0; MOST_BYTES + 1]));
    }
}

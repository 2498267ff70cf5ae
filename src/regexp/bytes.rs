//! Sets of bytes: what one position of a subject may hold.

use std::fmt;

/// A set of byte values.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// No byte at all.
    pub const EMPTY: ByteSet = ByteSet([0; 4]);
    /// Every byte.
    pub const ALL: ByteSet = ByteSet([u64::MAX; 4]);

    /// The set with just one byte.
    pub fn one(byte: u8) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        set.insert(byte);
        set
    }

    /// The bytes for which `test` holds.
    pub fn of(test: impl Fn(u8) -> bool) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        (0..=255)
            .filter(|&byte| test(byte))
            .for_each(|byte| set.insert(byte));
        set
    }

    /// Adds a byte.
    pub fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    /// Adds all bytes from `first` to `last`.
    pub fn insert_range(&mut self, first: u8, last: u8) {
        (first..=last).for_each(|byte| self.insert(byte));
    }

    /// Adds the bytes of another set.
    pub fn merge(&mut self, other: &ByteSet) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    /// Everything that is not in the set.
    #[must_use]
    pub fn negated(&self) -> ByteSet {
        ByteSet(self.0.map(|word| !word))
    }

    /// The set with the other case of each of its ASCII letters.
    #[must_use]
    pub fn folded(&self) -> ByteSet {
        ByteSet::of(|byte| {
            self.contains(byte)
                || self.contains(byte.to_ascii_lowercase())
                || self.contains(byte.to_ascii_uppercase())
        })
    }

    /// Whether a byte is in it.
    #[inline]
    pub fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
    }

    /// How many bytes it has.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        *self == ByteSet::EMPTY
    }

    /// Its bytes in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=255).filter(|&byte| self.contains(byte))
    }
}

impl fmt::Debug for ByteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|byte| byte.escape_ascii().to_string()))
            .finish()
    }
}

/// `\d`.
pub fn digit() -> ByteSet {
    ByteSet::of(|byte| byte.is_ascii_digit())
}

/// `\w`.
pub fn word() -> ByteSet {
    ByteSet::of(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `\s`; with the vertical tab, as PCRE since 8.34.
pub fn space() -> ByteSet {
    ByteSet::of(|byte| matches!(byte, b'\t'..=b'\r' | b' '))
}

/// `\h`: space, tab and no-break space.
pub fn horizontal() -> ByteSet {
    ByteSet::of(|byte| matches!(byte, b'\t' | b' ' | 0xa0))
}

/// `\v`: line ends of every kind that is one byte.
pub fn vertical() -> ByteSet {
    ByteSet::of(|byte| matches!(byte, b'\n'..=b'\r' | 0x85))
}

/// A POSIX class by its name between `[:` and `:]`.
pub fn posix(name: &[u8]) -> Option<ByteSet> {
    Some(match name {
        b"alpha" => ByteSet::of(|byte| byte.is_ascii_alphabetic()),
        b"lower" => ByteSet::of(|byte| byte.is_ascii_lowercase()),
        b"upper" => ByteSet::of(|byte| byte.is_ascii_uppercase()),
        b"alnum" => ByteSet::of(|byte| byte.is_ascii_alphanumeric()),
        b"ascii" => ByteSet::of(|byte| byte.is_ascii()),
        b"blank" => ByteSet::of(|byte| matches!(byte, b' ' | b'\t')),
        b"cntrl" => ByteSet::of(|byte| byte.is_ascii_control()),
        b"digit" => digit(),
        b"graph" => ByteSet::of(|byte| byte.is_ascii_graphic()),
        b"print" => ByteSet::of(|byte| byte.is_ascii_graphic() || byte == b' '),
        b"punct" => ByteSet::of(|byte| byte.is_ascii_punctuation()),
        b"space" => space(),
        b"word" => word(),
        b"xdigit" => ByteSet::of(|byte| byte.is_ascii_hexdigit()),
        _ => return None,
    })
}

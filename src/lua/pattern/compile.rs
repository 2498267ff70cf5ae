//! Compiling a pattern into words that the matcher runs.
//!
//! The words are plain numbers without pointers, so they can live in memory
//! that Lua owns and counts: a header of [`HEAD_WORDS`], one word per item,
//! then four words per byte set. A mistake in the pattern becomes the item
//! `Broken` and ends the program, because Lua complains only when a match
//! gets that far.

use super::{MAX_CAPTURES, PatternError};

/// Words before the first item: counts, the start filter, its literal bytes.
pub(super) const HEAD_WORDS: usize = 2 + MAX_PREFIX / 8;

/// Longest literal start that is searched for as a whole, in bytes.
pub(super) const MAX_PREFIX: usize = 32;

/// A set of byte values, one bit each.
pub(super) type ByteSet = [u64; 4];

/// Something that matches exactly one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Single {
    Byte(u8),
    Any,
    /// Index of a set of the program.
    Set(u32),
}

/// How often a [`Single`] may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Once,
    /// `?`
    Optional,
    /// `*`
    Greedy,
    /// `+`
    GreedyOnce,
    /// `-`
    Lazy,
}

/// One item of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Single(Single, Repeat),
    /// `(`
    OpenText,
    /// `()`
    OpenPosition,
    /// `)`
    Close,
    /// `%bxy`
    Balance(u8, u8),
    /// `%f[set]`
    Frontier(u32),
    /// `%0` to `%9`, as the digit's value; zero is always an error.
    BackRef(u8),
    /// `$` at the end.
    End,
    /// The whole pattern matched.
    Done,
    Broken(PatternError),
}

impl Op {
    /// Packs the item: kind, repetition, two bytes, and a set in the upper half.
    fn encode(self) -> u64 {
        let pack = |kind: u8, repeat: u8, a: u8, b: u8, set: u32| {
            u64::from(u32::from_le_bytes([kind, repeat, a, b])) | u64::from(set) << 32
        };
        match self {
            Op::Single(Single::Byte(byte), repeat) => pack(0, repeat as u8, byte, 0, 0),
            Op::Single(Single::Any, repeat) => pack(1, repeat as u8, 0, 0, 0),
            Op::Single(Single::Set(set), repeat) => pack(2, repeat as u8, 0, 0, set),
            Op::OpenText => pack(3, 0, 0, 0, 0),
            Op::OpenPosition => pack(4, 0, 0, 0, 0),
            Op::Close => pack(5, 0, 0, 0, 0),
            Op::Balance(open, close) => pack(6, 0, open, close, 0),
            Op::Frontier(set) => pack(7, 0, 0, 0, set),
            Op::BackRef(digit) => pack(8, 0, digit, 0, 0),
            Op::End => pack(9, 0, 0, 0, 0),
            Op::Done => pack(10, 0, 0, 0, 0),
            Op::Broken(error) => pack(11, 0, error as u8, 0, 0),
        }
    }

    /// Reads what `encode` wrote; words it never writes come out as `Broken`.
    #[inline(always)]
    pub(super) fn decode(word: u64) -> Op {
        let [kind, repeat, a, b, ..] = word.to_le_bytes();
        let set = (word >> 32) as u32;
        let repeat = match repeat {
            0 => Repeat::Once,
            1 => Repeat::Optional,
            2 => Repeat::Greedy,
            3 => Repeat::GreedyOnce,
            _ => Repeat::Lazy,
        };
        match kind {
            0 => Op::Single(Single::Byte(a), repeat),
            1 => Op::Single(Single::Any, repeat),
            2 => Op::Single(Single::Set(set), repeat),
            3 => Op::OpenText,
            4 => Op::OpenPosition,
            5 => Op::Close,
            6 => Op::Balance(a, b),
            7 => Op::Frontier(set),
            8 => Op::BackRef(a),
            9 => Op::End,
            10 => Op::Done,
            _ => Op::Broken(PatternError::from_code(a)),
        }
    }
}

/// What every match must begin with; lets a search skip most of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Anywhere,
    /// Literal bytes, one at least.
    Prefix {
        bytes: [u8; MAX_PREFIX],
        len: usize,
    },
    /// A byte of this set.
    Set(u32),
}

/// The header of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub ops: usize,
    pub sets: usize,
    pub anchored: bool,
    pub start: Start,
}

impl Head {
    fn encode(&self) -> [u64; HEAD_WORDS] {
        let (kind, len, set, bytes) = match self.start {
            Start::Anywhere => (0, 0, 0, [0; MAX_PREFIX]),
            Start::Prefix { bytes, len } => (1, len as u64, 0, bytes),
            Start::Set(set) => (2, 0, u64::from(set), [0; MAX_PREFIX]),
        };
        let mut words = [0; HEAD_WORDS];
        words[0] = self.ops as u64 | (self.sets as u64) << 32;
        words[1] = u64::from(self.anchored) | kind << 8 | len << 16 | set << 32;
        for (word, chunk) in words[2..].iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        words
    }

    pub(super) fn decode(words: &[u64; HEAD_WORDS]) -> Head {
        let [_, kind, len, _, ..] = words[1].to_le_bytes();
        let start = match kind {
            1 => {
                let mut bytes = [0; MAX_PREFIX];
                for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(&words[2..]) {
                    *chunk = word.to_le_bytes();
                }
                Start::Prefix {
                    bytes,
                    len: usize::from(len).clamp(1, MAX_PREFIX),
                }
            }
            2 => Start::Set((words[1] >> 32) as u32),
            _ => Start::Anywhere,
        };
        Head {
            ops: words[0] as u32 as usize,
            sets: (words[0] >> 32) as usize,
            anchored: words[1] & 1 == 1,
            start,
        }
    }
}

/// Compiles `pattern` up to its first NUL byte, where LuaJIT stops reading.
/// Without `anchors` a leading `^` stands for itself.
pub(super) fn compile(pattern: &[u8], anchors: bool) -> Vec<u64> {
    let text = match memchr::memchr(0, pattern) {
        Some(end) => &pattern[..end],
        None => pattern,
    };
    let anchored = anchors && text.first() == Some(&b'^');
    let mut parser = Parser {
        text,
        at: usize::from(anchored),
        ops: Vec::with_capacity(text.len() + 1),
        sets: Vec::new(),
    };
    let last = match parser.items() {
        Ok(()) => Op::Done,
        Err(error) => Op::Broken(error),
    };
    parser.ops.push(last);
    let Parser { ops, sets, .. } = parser;

    let head = Head {
        ops: ops.len(),
        sets: sets.len(),
        anchored,
        start: start_of(&ops),
    };
    let mut words = Vec::with_capacity(HEAD_WORDS + ops.len() + 4 * sets.len());
    words.extend(head.encode());
    words.extend(ops.iter().map(|op| op.encode()));
    words.extend(sets.iter().flatten());
    words
}

/// Works out the start filter. Only items that no error can precede count:
/// skipping a position must not skip the complaint Lua would have made there.
fn start_of(ops: &[Op]) -> Start {
    let opening = |op: &&Op| matches!(op, Op::OpenText | Op::OpenPosition);
    let opened = ops.iter().take_while(opening).count();
    if opened > MAX_CAPTURES {
        return Start::Anywhere;
    }
    let mut bytes = [0; MAX_PREFIX];
    let mut len = 0;
    for op in ops.iter().skip(opened) {
        match *op {
            Op::Single(Single::Byte(byte), repeat @ (Repeat::Once | Repeat::GreedyOnce)) => {
                let Some(slot) = bytes.get_mut(len) else {
                    break;
                };
                *slot = byte;
                len += 1;
                if repeat == Repeat::GreedyOnce {
                    break;
                }
            }
            Op::Single(Single::Set(set), Repeat::Once | Repeat::GreedyOnce) if len == 0 => {
                return Start::Set(set);
            }
            _ => break,
        }
    }
    if len > 0 {
        Start::Prefix { bytes, len }
    } else {
        Start::Anywhere
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    ops: Vec<Op>,
    sets: Vec<ByteSet>,
}

impl Parser<'_> {
    /// The byte `ahead` of the current one; NUL behind the end, as in C.
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn items(&mut self) -> Result<(), PatternError> {
        while self.at < self.text.len() {
            match (self.peek(0), self.peek(1)) {
                (b'(', b')') => self.push(Op::OpenPosition, 2),
                (b'(', _) => self.push(Op::OpenText, 1),
                (b')', _) => self.push(Op::Close, 1),
                (b'$', 0) => self.push(Op::End, 1),
                (b'%', b'b') => match (self.peek(2), self.peek(3)) {
                    (0, _) | (_, 0) => return Err(PatternError::Unbalanced),
                    (open, close) => self.push(Op::Balance(open, close), 4),
                },
                (b'%', b'f') => {
                    self.at += 2;
                    if self.peek(0) != b'[' {
                        return Err(PatternError::MissingFrontierSet);
                    }
                    let set = self.bracket()?;
                    let set = self.intern(set);
                    self.ops.push(Op::Frontier(set));
                }
                (b'%', digit @ b'0'..=b'9') => self.push(Op::BackRef(digit - b'0'), 2),
                _ => self.repeated_single()?,
            }
        }
        Ok(())
    }

    fn push(&mut self, op: Op, len: usize) {
        self.ops.push(op);
        self.at += len;
    }

    fn repeated_single(&mut self) -> Result<(), PatternError> {
        let single = match self.peek(0) {
            b'[' => {
                let set = self.bracket()?;
                Single::Set(self.intern(set))
            }
            b'%' => {
                let letter = self.peek(1);
                if letter == 0 {
                    return Err(PatternError::EndsWithEscape);
                }
                self.at += 2;
                match class(letter) {
                    Some(set) => Single::Set(self.intern(set)),
                    None => Single::Byte(letter),
                }
            }
            b'.' => {
                self.at += 1;
                Single::Any
            }
            byte => {
                self.at += 1;
                Single::Byte(byte)
            }
        };
        let repeat = match self.peek(0) {
            b'?' => Repeat::Optional,
            b'*' => Repeat::Greedy,
            b'+' => Repeat::GreedyOnce,
            b'-' => Repeat::Lazy,
            _ => Repeat::Once,
        };
        self.push(
            Op::Single(single, repeat),
            usize::from(repeat != Repeat::Once),
        );
        Ok(())
    }

    fn intern(&mut self, set: ByteSet) -> u32 {
        let known = self.sets.iter().take(16).position(|other| *other == set);
        let index = known.unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        });
        index as u32
    }

    /// Reads a set from its `[` on and moves behind its `]`.
    fn bracket(&mut self) -> Result<ByteSet, PatternError> {
        let end = self.bracket_end()?;
        let negated = self.peek(1) == b'^';
        self.at += usize::from(negated);
        let mut set = [0; 4];
        loop {
            self.at += 1;
            if self.at >= end {
                break;
            }
            match (self.peek(0), self.peek(1)) {
                (b'%', letter) => {
                    self.at += 1;
                    match class(letter) {
                        Some(members) => unite(&mut set, members),
                        None => insert(&mut set, letter),
                    }
                }
                (first, b'-') if self.at + 2 < end => {
                    self.at += 2;
                    (first..=self.peek(0)).for_each(|byte| insert(&mut set, byte));
                }
                (byte, _) => insert(&mut set, byte),
            }
        }
        self.at = end + 1;
        Ok(if negated { set.map(|word| !word) } else { set })
    }

    /// Where the `]` of the set at hand stands. The first byte of a set is
    /// never its end, and this scan knows escapes but no ranges: both as in
    /// Lua, so `[]]`, `[^]]` and `[a-%]]` are whole sets.
    fn bracket_end(&self) -> Result<usize, PatternError> {
        let mut at = self.at + 1;
        if self.text.get(at) == Some(&b'^') {
            at += 1;
        }
        loop {
            match self.text.get(at) {
                None => return Err(PatternError::MissingBracket),
                Some(b'%') if at + 1 < self.text.len() => at += 2,
                Some(_) => at += 1,
            }
            if self.text.get(at) == Some(&b']') {
                return Ok(at);
            }
        }
    }
}

/// The bytes that `%letter` stands for; none when it stands for itself.
/// ASCII only, whatever the locale, like LuaJIT's own tables.
fn class(letter: u8) -> Option<ByteSet> {
    let member: fn(u8) -> bool = match letter.to_ascii_lowercase() {
        b'a' => |byte| byte.is_ascii_alphabetic(),
        b'c' => |byte| byte.is_ascii_control(),
        b'd' => |byte| byte.is_ascii_digit(),
        b'g' => |byte| byte.is_ascii_graphic(),
        b'l' => |byte| byte.is_ascii_lowercase(),
        b'p' => |byte| byte.is_ascii_punctuation(),
        b's' => |byte| matches!(byte, b'\t'..=b'\r' | b' '),
        b'u' => |byte| byte.is_ascii_uppercase(),
        b'w' => |byte| byte.is_ascii_alphanumeric(),
        b'x' => |byte| byte.is_ascii_hexdigit(),
        b'z' => |byte| byte == 0,
        _ => return None,
    };
    let mut set = [0; 4];
    (0..=255)
        .filter(|byte| member(*byte))
        .for_each(|byte| insert(&mut set, byte));
    Some(if letter.is_ascii_uppercase() {
        set.map(|word| !word)
    } else {
        set
    })
}

fn insert(set: &mut ByteSet, byte: u8) {
    set[usize::from(byte >> 6)] |= 1 << (byte & 63);
}

fn unite(set: &mut ByteSet, other: ByteSet) {
    for (word, more) in set.iter_mut().zip(other) {
        *word |= more;
    }
}

/// True when the set holds `byte`.
#[inline(always)]
pub(super) fn contains(set: &ByteSet, byte: u8) -> bool {
    set[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
}

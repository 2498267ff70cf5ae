//! Lines of text protocols (SMTP, FTP, SSH), put together from bytes cut
//! anywhere, and what their parsers share.
//!
//! A line ends with a line feed, with or without a carriage return before it.
//! Of a line that is too long the beginning is kept and the rest skipped.
//! Not here: what the lines mean.

use memchr::memchr;
use serde::Serialize;

use super::application::Likeness;

/// Something that no well-behaved peer sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anomaly {
    /// Its name; each protocol's module documents its own.
    pub event: &'static str,
    /// What was seen, for a person.
    pub detail: String,
}

/// Collects one line at a time.
#[derive(Clone, Debug, Default)]
pub struct LineReader {
    bytes: Vec<u8>,
    /// Bytes of the line so far, its end and skipped ones included.
    len: u64,
    /// The byte read last.
    last: u8,
    /// How its end was sent, in bytes; 0 until it is there.
    ending: u8,
}

impl LineReader {
    /// Takes bytes up to the end of the line: how many, and whether the line
    /// is complete. At most `cap` bytes of it are kept. After a complete line
    /// the next begins with the next call.
    pub fn read(&mut self, bytes: &[u8], cap: usize) -> (usize, bool) {
        if self.ending > 0 {
            self.clear();
        }
        let end = memchr(b'\n', bytes);
        let used = end.map_or(bytes.len(), |at| at + 1);
        let text = bytes.get(..end.unwrap_or(used)).unwrap_or_default();
        self.last = text.last().copied().unwrap_or(self.last);
        // One more than the cap, which may be the CR before the LF.
        let room = (cap + 1).saturating_sub(self.bytes.len());
        self.bytes
            .extend_from_slice(text.get(..room).unwrap_or(text));
        self.len += used as u64;
        if end.is_none() {
            return (used, false);
        }
        self.ending = if self.last == b'\r' { 2 } else { 1 };
        if self.ending == 2 && self.bytes.len() as u64 + 1 == self.len {
            self.bytes.pop();
        }
        self.bytes.truncate(cap);
        (used, true)
    }

    /// The line without its end, and without what was beyond the cap.
    pub fn text(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of the line, its end included.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if nothing of a line is there.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of its end: 2 for CR LF, 1 for LF alone.
    pub fn ending(&self) -> u8 {
        self.ending
    }

    /// The line was longer than what is kept of it.
    pub fn is_cut(&self) -> bool {
        self.bytes.len() as u64 + u64::from(self.ending) < self.len
    }

    /// Forgets the line under way.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.len = 0;
        self.last = 0;
        self.ending = 0;
    }
}

/// A reply code and whether more lines follow: three digits, then `-`, a
/// blank or nothing (RFC 5321, 4.2; RFC 959, 4.2). And the text behind it.
pub fn reply_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (code, rest) = line.split_first_chunk::<3>()?;
    if !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = code
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Some((code, false, rest)),
        Some((b'-', text)) => Some((code, true, text)),
        Some((b' ', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

/// A command line as its verb and what follows the blanks behind it.
pub fn command_line(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    let line = line.trim_ascii();
    match line.iter().position(u8::is_ascii_whitespace) {
        None => (line, None),
        Some(at) => {
            let (verb, rest) = line.split_at(at);
            (verb, Some(rest.trim_ascii_start()))
        }
    }
}

/// Whether a server's first line is a banner (220) that names a protocol.
pub fn is_banner(bytes: &[u8], name: &[u8]) -> Likeness {
    let code = b"220";
    let start = bytes.len().min(code.len());
    if bytes.get(..start) != code.get(..start) {
        return Likeness::No;
    }
    let (line, complete) = match memchr(b'\n', bytes) {
        Some(end) => (bytes.get(..end).unwrap_or_default(), true),
        None => (bytes, false),
    };
    let named = line
        .windows(name.len())
        .any(|word| word.eq_ignore_ascii_case(name));
    match (named, complete) {
        (true, _) => Likeness::Yes,
        (false, true) => Likeness::No,
        (false, false) => Likeness::Open,
    }
}

/// Whether the bytes begin with one of the words, in any case.
pub fn begins_with_word(bytes: &[u8], words: &[&[u8]]) -> Likeness {
    let mut open = false;
    for word in words {
        let len = word.len().min(bytes.len());
        let alike = bytes
            .get(..len)
            .zip(word.get(..len))
            .is_some_and(|(start, word)| start.eq_ignore_ascii_case(word));
        if alike && len == word.len() {
            return Likeness::Yes;
        }
        open |= alike;
    }
    if open { Likeness::Open } else { Likeness::No }
}

/// Bytes as text; those that are not UTF-8 become U+FFFD.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The start of a line as a person can read it.
pub fn excerpt(bytes: &[u8]) -> String {
    const LONGEST: usize = 80;
    bytes
        .get(..LONGEST)
        .unwrap_or(bytes)
        .escape_ascii()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]], cap: usize) -> Vec<(Vec<u8>, u8, bool)> {
        let (mut reader, mut found) = (LineReader::default(), Vec::new());
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let (used, complete) = reader.read(rest, cap);
                rest = &rest[used..];
                if complete {
                    found.push((reader.text().to_vec(), reader.ending(), reader.is_cut()));
                }
            }
        }
        found
    }

    #[test]
    fn lines_end_with_a_line_feed() {
        let all = lines(&[b"HELO a\r", b"\nQUIT\n\r\n"], 100);
        let kept: Vec<_> = all
            .iter()
            .map(|(text, ending, _)| (&text[..], *ending))
            .collect();
        assert_eq!(kept, [(&b"HELO a"[..], 2), (b"QUIT", 1), (b"", 2)]);
    }

    #[test]
    fn the_rest_of_a_long_line_is_skipped() {
        let all = lines(&[b"0123456789\r\nab", b"cd\r\n"], 4);
        assert_eq!(
            all,
            [(b"0123".to_vec(), 2, true), (b"abcd".to_vec(), 2, false)]
        );
    }

    #[test]
    fn banners_are_told_by_their_first_line() {
        assert_eq!(is_banner(b"220 x ESMTP", b"SMTP"), Likeness::Yes);
        assert_eq!(is_banner(b"22", b"SMTP"), Likeness::Open);
        assert_eq!(is_banner(b"220 ftpd\r\nSMTP", b"SMTP"), Likeness::No);
        assert_eq!(is_banner(b"421 SMTP", b"SMTP"), Likeness::No);
        assert_eq!(begins_with_word(b"ehlo x", &[b"EHLO "]), Likeness::Yes);
        assert_eq!(begins_with_word(b"eh", &[b"EHLO "]), Likeness::Open);
        assert_eq!(begins_with_word(b"ehx", &[b"EHLO "]), Likeness::No);
    }

    #[test]
    fn replies_have_three_digits() {
        assert_eq!(reply_line(b"250-a b"), Some((250, true, &b"a b"[..])));
        assert_eq!(reply_line(b"250  a"), Some((250, false, &b" a"[..])));
        assert_eq!(reply_line(b"354"), Some((354, false, &b""[..])));
        assert_eq!(reply_line(b"2500 a"), None);
        assert_eq!(reply_line(b"hi"), None);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200),
            cap in 0usize..12,
            step in 1usize..7,
        ) {
            let whole = lines(&[&bytes], cap);
            let cut: Vec<&[u8]> = bytes.chunks(step).collect();
            prop_assert_eq!(lines(&cut, cap), whole);
        }
    }
}

//! Where a mail ends that was sent after `DATA`: at the line with a lone dot
//! (RFC 5321, 4.1.1.4).
//!
//! Only CR LF `.` CR LF ends it. What other servers might take for the end is
//! noted, so that a policy can refuse it: a mail that two servers cut at
//! different places smuggles commands.

/// Follows the bytes of one mail. Begins behind the line break after `DATA`,
/// which counts as the one before the dot.
#[derive(Clone, Copy, Debug)]
pub struct End {
    at: At,
    /// A dot stood alone between line breaks not both CR LF.
    ambiguous: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Text,
    Cr,
    /// At the start of a line; which end the line before had.
    Line(Break),
    Dot(Break),
    DotCr(Break),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    /// No bytes: the mail begins here.
    Begin,
    CrLf,
    Lf,
    /// CR alone, then the dot.
    Cr,
}

impl Default for End {
    fn default() -> End {
        End {
            at: At::Line(Break::Begin),
            ambiguous: false,
        }
    }
}

impl End {
    /// Takes bytes up to the end of the mail: how many, and whether it is
    /// there.
    pub fn read(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            self.at = match (self.at, byte) {
                (At::DotCr(Break::CrLf | Break::Begin), b'\n') => {
                    return (bytes.len() - rest.len(), true);
                }
                (At::DotCr(_), b'\n') => {
                    self.ambiguous = true;
                    At::Line(Break::CrLf)
                }
                (At::Dot(_), b'\n') => {
                    self.ambiguous = true;
                    At::Line(Break::Lf)
                }
                (At::DotCr(_), _) => {
                    // A line of a dot and a bare CR.
                    self.ambiguous = true;
                    Self::after(At::Cr, byte)
                }
                (At::Dot(before), b'\r') => At::DotCr(before),
                (At::Line(before), b'.') => At::Dot(before),
                (at, byte) => Self::after(at, byte),
            };
            if self.at == At::Text {
                // Lines are long: go on at the next byte that may end one.
                let next = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                rest = rest.get(next..).unwrap_or_default();
            }
        }
        (bytes.len(), false)
    }

    fn after(at: At, byte: u8) -> At {
        match (at, byte) {
            (At::Cr, b'\n') => At::Line(Break::CrLf),
            (_, b'\n') => At::Line(Break::Lf),
            (_, b'\r') => At::Cr,
            (At::Cr, b'.') => At::Dot(Break::Cr),
            _ => At::Text,
        }
    }

    /// Bytes read last that may belong to the end: at most CR LF `.` CR.
    pub fn undecided(&self) -> u8 {
        match self.at {
            At::Text | At::Line(Break::Begin | Break::Cr) => 0,
            At::Cr | At::Line(Break::Lf) | At::Dot(Break::Begin) => 1,
            At::Line(Break::CrLf) | At::Dot(Break::Lf | Break::Cr) | At::DotCr(Break::Begin) => 2,
            At::Dot(Break::CrLf) | At::DotCr(Break::Lf | Break::Cr) => 3,
            At::DotCr(Break::CrLf) => 4,
        }
    }

    /// Forgets the undecided bytes, which will be read again.
    pub fn rewind(&mut self) {
        self.at = match self.at {
            At::Line(Break::Begin) | At::Dot(Break::Begin) | At::DotCr(Break::Begin) => {
                At::Line(Break::Begin)
            }
            _ => At::Text,
        };
    }

    /// Bytes of the end itself, once it was found; a mail without any lines
    /// has no line break of its own before the dot.
    pub fn size(&self) -> u8 {
        match self.at {
            At::DotCr(Break::Begin) => 3,
            _ => 5,
        }
    }

    /// Whether something was seen that other servers take for the end.
    pub fn take_ambiguous(&mut self) -> bool {
        std::mem::take(&mut self.ambiguous)
    }

    /// Bytes are missing: the next may be anywhere in a line.
    pub fn skip(&mut self) {
        self.at = At::Text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes of the mail, whether it ended, and whether ambiguously.
    fn mail(bytes: &[u8], step: usize) -> (usize, bool, bool) {
        let mut end = End::default();
        let mut used = 0;
        for chunk in bytes.chunks(step) {
            let (taken, ended) = end.read(chunk);
            used += taken;
            if ended {
                return (used - usize::from(end.size()), true, end.ambiguous);
            }
        }
        (used - usize::from(end.undecided()), false, end.ambiguous)
    }

    #[test]
    fn a_lone_dot_between_line_breaks_ends_the_mail() {
        assert_eq!(mail(b"a\r\n.\r\nQUIT\r\n", 99), (1, true, false));
        assert_eq!(mail(b".\r\n", 99), (0, true, false));
        assert_eq!(mail(b"a\r\n..\r\nb\r\n.x\r\n.\r\n", 99), (12, true, false));
        assert_eq!(mail(b"a\r\n", 99), (1, false, false));
        assert_eq!(mail(b"a\r\r\n.\r\n", 99), (2, true, false));
    }

    #[test]
    fn other_ends_are_told_of() {
        for odd in [
            &b"a\n.\r\nb"[..],
            b"a\n.\nb",
            b"a\r\n.\nb",
            b"a\r\n.\rb",
            b"a\r.\r\nb",
        ] {
            let (_, ended, ambiguous) = mail(odd, 99);
            assert!(!ended && ambiguous, "{}", odd.escape_ascii());
        }
        // The second dot is the true end.
        assert_eq!(mail(b"a\n.\r\n.\r\n", 99), (3, true, true));
    }

    /// As [`mail`], with undecided bytes read again together with more.
    fn mail_again(bytes: &[u8], step: usize) -> (usize, bool, bool) {
        let mut end = End::default();
        let (mut from, mut to) = (0, 0);
        while to < bytes.len() {
            to = (to + step).min(bytes.len());
            let (taken, ended) = end.read(&bytes[from..to]);
            if ended {
                return (from + taken - usize::from(end.size()), true, end.ambiguous);
            }
            from = to - usize::from(end.undecided());
            end.rewind();
        }
        (from, false, end.ambiguous)
    }

    proptest! {
        #[test]
        fn the_end_is_where_a_search_finds_it(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a')], 0..60),
            step in 1usize..9,
        ) {
            let whole = mail(&bytes, bytes.len().max(1));
            prop_assert_eq!(mail(&bytes, step), whole);
            prop_assert_eq!(mail_again(&bytes, step), whole);
            let mut with_break = b"\r\n".to_vec();
            with_break.extend_from_slice(&bytes);
            let found = with_break.windows(5).position(|five| five == b"\r\n.\r\n");
            prop_assert_eq!(whole.1, found.is_some());
            if let Some(at) = found {
                prop_assert_eq!(whole.0, at.saturating_sub(2));
            }
        }
    }
}

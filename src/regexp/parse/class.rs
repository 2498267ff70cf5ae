//! Bracketed classes: `[a-z\d[:alpha:]]`.

use super::super::SyntaxError;
use super::super::ast::Node;
use super::super::bytes::{self, ByteSet};
use super::{Item, Parser};

const UNTERMINATED: &str = "missing terminating ] for character class";

/// One member of a class.
enum Member {
    Byte(u8),
    Set(ByteSet),
}

impl Parser<'_> {
    /// The class whose opening bracket was just taken.
    pub(super) fn class(&mut self) -> Result<Item, SyntaxError> {
        self.refuse_posix_outside()?;
        let negated = self.take(b"^");
        let mut set = ByteSet::EMPTY;
        let mut first = true;
        loop {
            if !self.quoting && !first && self.take(b"]") {
                break;
            }
            let Some(member) = self.member()? else {
                continue;
            };
            first = false;
            match member {
                Member::Set(more) => set.merge(&more),
                Member::Byte(low) => self.range(low, &mut set)?,
            }
        }
        let set = self.fold(set);
        let set = if negated { set.negated() } else { set };
        Ok(Item::Some(if set.is_empty() {
            Node::Fail
        } else {
            Node::Set(set)
        }))
    }

    /// `[:alpha:]` as a class of its own is a mistake that PCRE reports.
    fn refuse_posix_outside(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let Some(&mark) = rest.first().filter(|mark| b":.=".contains(mark)) else {
            return Ok(());
        };
        let end = rest
            .iter()
            .skip(1)
            .position(|&byte| byte == b']' || byte == b'\\');
        let closed = end.is_some_and(|end| end > 0 && rest.get(end) == Some(&mark));
        if !closed || rest.get(end.unwrap_or(0) + 1) != Some(&b']') {
            return Ok(());
        }
        self.at -= 1;
        Err(self.error("POSIX named classes are supported only within a class"))
    }

    /// The next member; none for something that adds nothing.
    fn member(&mut self) -> Result<Option<Member>, SyntaxError> {
        if self.take(br"\E") {
            self.quoting = false;
            return Ok(None);
        }
        if !self.quoting {
            if self.take(br"\Q") {
                self.quoting = true;
                return Ok(None);
            }
            if let Some(set) = self.posix()? {
                return Ok(Some(Member::Set(set)));
            }
        }
        let byte = self
            .next()
            .ok_or_else(|| SyntaxError::new(UNTERMINATED, self.pattern.len()))?;
        if byte != b'\\' || self.quoting {
            return Ok(Some(Member::Byte(byte)));
        }
        let letter = self
            .peek()
            .ok_or_else(|| self.error("\\ at end of pattern"))?;
        let set = match letter {
            b'b' => {
                self.at += 1;
                return Ok(Some(Member::Byte(8)));
            }
            b'N' => return Err(self.error("\\N is not supported in a class")),
            b'B' | b'R' | b'X' => {
                return Err(self.error("invalid escape sequence in character class"));
            }
            letter => self.class_letter(letter)?,
        };
        if let Some(set) = set {
            self.at += 1;
            return Ok(Some(Member::Set(set)));
        }
        Ok(Some(Member::Byte(self.byte_escape(true)?)))
    }

    /// The member that starts with `low`: that byte, or a range from it.
    fn range(&mut self, low: u8, set: &mut ByteSet) -> Result<(), SyntaxError> {
        set.insert(low);
        let rest = self.rest();
        if self.quoting || rest.first() != Some(&b'-') || rest.get(1) == Some(&b']') {
            return Ok(());
        }
        self.at += 1;
        match self.member()? {
            Some(Member::Byte(high)) if high < low => {
                self.at -= 1;
                Err(self.error("range out of order in character class"))
            }
            Some(Member::Byte(high)) => {
                set.insert_range(low, high);
                Ok(())
            }
            // A set cannot end a range: the hyphen stands for itself.
            Some(Member::Set(more)) => {
                set.insert(b'-');
                set.merge(&more);
                Ok(())
            }
            None => {
                set.insert(b'-');
                Ok(())
            }
        }
    }

    /// `[:name:]` or `[:^name:]`.
    fn posix(&mut self) -> Result<Option<ByteSet>, SyntaxError> {
        let rest = self.rest();
        let (Some(b'['), Some(&mark)) = (rest.first(), rest.get(1)) else {
            return Ok(None);
        };
        if !b":.=".contains(&mark) {
            return Ok(None);
        }
        let inside = rest.get(2..).unwrap_or_default();
        let Some(len) = inside.iter().position(|byte| b"]\\".contains(byte)) else {
            return Ok(None);
        };
        let Some(name) = inside
            .get(..len)
            .and_then(|name| name.strip_suffix(&[mark]))
        else {
            return Ok(None);
        };
        if inside.get(len) != Some(&b']') {
            return Ok(None);
        }
        if mark != b':' {
            return Err(self.error("POSIX collating elements are not supported"));
        }
        let (name, negated) = match name.strip_prefix(b"^") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let set = bytes::posix(name).ok_or_else(|| self.error("unknown POSIX class name"))?;
        self.at += 2 + len + 1;
        Ok(Some(if negated { set.negated() } else { set }))
    }
}

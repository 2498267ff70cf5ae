//! What follows a backslash.

use super::super::SyntaxError;
use super::super::ast::{Look, Node};
use super::super::bytes::{self, ByteSet};
use super::{Item, Parser, last_line_end};

impl Parser<'_> {
    /// The escape whose backslash was just taken, outside of classes.
    pub(super) fn escape(&mut self) -> Result<Item, SyntaxError> {
        let Some(letter) = self.peek() else {
            return Err(self.error("\\ at end of pattern"));
        };
        if let Some(set) = self.class_letter(letter)? {
            self.at += 1;
            return Ok(Item::Some(Node::Set(set)));
        }
        let simple = match letter {
            b'A' | b'G' => Some(Item::Fixed(Node::Look(Look::Start))),
            b'z' => Some(Item::Fixed(Node::Look(Look::End))),
            b'Z' => Some(Item::Fixed(last_line_end())),
            b'b' => Some(Item::Fixed(Node::Look(Look::Boundary { negated: false }))),
            b'B' => Some(Item::Fixed(Node::Look(Look::Boundary { negated: true }))),
            b'K' => Some(Item::Fixed(Node::Keep)),
            b'N' => Some(Item::Some(Node::Set(ByteSet::one(b'\n').negated()))),
            b'C' => Some(Item::Some(Node::Set(ByteSet::ALL))),
            b'R' => Some(Item::Some(any_newline())),
            _ => None,
        };
        if let Some(item) = simple {
            self.at += 1;
            return Ok(item);
        }
        match letter {
            b'g' => self.back_reference_g(),
            b'k' => self.back_reference_k(),
            b'1'..=b'9' => self.back_reference_or_octal(letter),
            _ => {
                let byte = self.byte_escape(false)?;
                Ok(self.literal(byte))
            }
        }
    }

    /// The classes named by one letter.
    pub(super) fn class_letter(&self, letter: u8) -> Result<Option<ByteSet>, SyntaxError> {
        let set = match letter.to_ascii_lowercase() {
            b'd' => bytes::digit(),
            b'w' => bytes::word(),
            b's' => bytes::space(),
            b'h' => bytes::horizontal(),
            b'v' => bytes::vertical(),
            b'p' => {
                return Err(self.error("support for \\P, \\p, and \\X has not been compiled"));
            }
            b'x' if letter == b'X' => {
                return Err(self.error("support for \\P, \\p, and \\X has not been compiled"));
            }
            b'l' | b'u' => {
                return Err(self.error("PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u"));
            }
            _ => return Ok(None),
        };
        Ok(Some(if letter.is_ascii_uppercase() {
            set.negated()
        } else {
            set
        }))
    }

    /// An escape that stands for one byte; letters without a meaning stand
    /// for themselves.
    pub(super) fn byte_escape(&mut self, in_class: bool) -> Result<u8, SyntaxError> {
        let Some(letter) = self.next() else {
            return Err(self.error("\\ at end of pattern"));
        };
        Ok(match letter {
            b'a' => 7,
            b'e' => 27,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'c' => {
                let Some(letter) = self.next() else {
                    return Err(self.error("\\c at end of pattern"));
                };
                if !letter.is_ascii() {
                    return Err(self.error("\\c must be followed by an ASCII character"));
                }
                letter.to_ascii_uppercase() ^ 0x40
            }
            b'o' => {
                if !self.take(b"{") {
                    return Err(self.error("missing opening brace after \\o"));
                }
                self.braced(8, "non-octal character in \\o{} (closing brace missing?)")?
            }
            b'x' if self.rest().starts_with(b"{") && self.is_braced_hex() => {
                self.at += 1;
                self.braced(16, "non-hex character in \\x{} (closing brace missing?)")?
            }
            b'x' => self.digits(16, 2, 0)?,
            b'0' => self.digits(8, 2, 0)?,
            b'1'..=b'7' if in_class => {
                self.at -= 1;
                self.digits(8, 3, 0)?
            }
            letter => letter,
        })
    }

    fn is_braced_hex(&self) -> bool {
        let inside = self.rest().get(1..).unwrap_or_default();
        let digits = inside.iter().take_while(|byte| byte.is_ascii_hexdigit());
        let len = digits.count();
        len > 0 && inside.get(len) == Some(&b'}')
    }

    /// Up to `most` digits of a base.
    fn digits(&mut self, base: u32, most: usize, start: u32) -> Result<u8, SyntaxError> {
        let mut value = start;
        for _ in 0..most {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(base)) else {
                break;
            };
            value = value * base + digit;
            self.at += 1;
        }
        // PCRE keeps the low byte of octal numbers up to \777.
        u8::try_from(value & 0xff).map_err(|_| self.error("character value too large"))
    }

    fn braced(&mut self, base: u32, message: &'static str) -> Result<u8, SyntaxError> {
        let mut value = 0u32;
        while let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(base)) {
            value = value.saturating_mul(base).saturating_add(digit);
            self.at += 1;
        }
        if !self.take(b"}") {
            return Err(self.error(message));
        }
        u8::try_from(value)
            .map_err(|_| self.error("character value in \\x{} or \\o{} is too large"))
    }

    /// `\12`: a group if there are so many, else a byte in octal digits.
    fn back_reference_or_octal(&mut self, letter: u8) -> Result<Item, SyntaxError> {
        let start = self.at;
        let number = self.number().unwrap_or(0);
        if number < 10 || number <= self.groups {
            return Ok(self.reference(number));
        }
        self.at = start;
        if letter >= b'8' {
            self.at += 1;
            return Ok(self.literal(letter));
        }
        let byte = self.digits(8, 3, 0)?;
        Ok(self.literal(byte))
    }

    pub(super) fn reference(&mut self, group: u32) -> Item {
        self.references.push((group, self.at));
        Item::Some(Node::BackReference {
            group,
            fold: self.flags.fold,
        })
    }

    /// `\g1`, `\g{1}`, `\g{-1}`, `\g{name}`.
    fn back_reference_g(&mut self) -> Result<Item, SyntaxError> {
        const MISTAKE: &str = "a numbered reference must not be zero";
        self.at += 1;
        if self.peek().is_some_and(|byte| b"<'".contains(&byte)) {
            return Err(self.error("subroutine calls are not supported"));
        }
        let braced = self.take(b"{");
        if braced
            && !self
                .peek()
                .is_some_and(|byte| byte.is_ascii_digit() || byte == b'-')
        {
            let name = self.take_until(b'}');
            return self.named_reference(name);
        }
        let relative = self.take(b"-");
        let Some(number) = self.number() else {
            return Err(self.error(
                "\\g is not followed by a braced, angle-bracketed, or quoted name/number or by a plain number",
            ));
        };
        if braced && !self.take(b"}") {
            return Err(self.error(
                "\\g is not followed by a braced, angle-bracketed, or quoted name/number or by a plain number",
            ));
        }
        if number == 0 {
            return Err(self.error(MISTAKE));
        }
        let group = if relative {
            let before = (self.groups + 1).checked_sub(number);
            before
                .filter(|&group| group > 0)
                .ok_or_else(|| self.error("reference to non-existent subpattern"))?
        } else {
            number
        };
        Ok(self.reference(group))
    }

    /// `\k<name>`, `\k'name'`, `\k{name}`.
    fn back_reference_k(&mut self) -> Result<Item, SyntaxError> {
        self.at += 1;
        let end = match self.next() {
            Some(b'<') => b'>',
            Some(b'{') => b'}',
            Some(b'\'') => b'\'',
            _ => {
                return Err(
                    self.error("\\k is not followed by a braced, angle-bracketed, or quoted name")
                );
            }
        };
        let name = self.take_until(end);
        self.named_reference(name)
    }

    pub(super) fn named_reference(&mut self, name: Option<&[u8]>) -> Result<Item, SyntaxError> {
        let Some(name) = name else {
            return Err(self.error("syntax error in subpattern name (missing terminator)"));
        };
        let known = self.names.iter().find(|(known, _)| *known == name);
        let Some(&(_, group)) = known else {
            return Err(self.error("reference to non-existent subpattern"));
        };
        Ok(self.reference(group))
    }
}

/// `\R`: CRLF, or any one of the bytes that end a line; never half a CRLF.
fn any_newline() -> Node {
    let (cr, lf) = (ByteSet::one(b'\r'), ByteSet::one(b'\n'));
    let single = ByteSet::of(|byte| bytes::vertical().contains(byte) && byte != b'\r');
    let alone = Node::Around {
        ahead: true,
        negated: true,
        node: Box::new(Node::Set(lf)),
    };
    Node::Alternate(vec![
        Node::Concat(vec![Node::Set(cr), Node::Set(lf)]),
        Node::Set(single),
        Node::Concat(vec![Node::Set(cr), alone]),
    ])
}

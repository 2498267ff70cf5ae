//! Reads PCRE syntax.
//!
//! Everything that PCRE 8 accepts without UTF-8 is understood, except what
//! cannot be bounded or serves only to steer PCRE's own search: recursion,
//! subroutine calls, callouts and most verbs. Those and mistakes are
//! refused with PCRE's words where it has some.

mod class;
mod escape;
mod group;

use super::SyntaxError;
use super::ast::{Greed, Look, Node};
use super::bytes::ByteSet;

/// Deepest nesting of parentheses, as in PCRE.
const MAX_DEPTH: u32 = 250;
/// Largest number in a `{}` quantifier, as in PCRE.
const MAX_REPEAT: u32 = 65_535;

/// What letters after `(?` switch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    /// `i`
    pub fold: bool,
    /// `m`
    pub multi_line: bool,
    /// `s`
    pub dot_all: bool,
    /// `x`
    pub extended: bool,
    /// `U`
    pub lazy: bool,
}

/// Parses a pattern: the tree, and how many groups it has.
pub(super) fn parse(pattern: &[u8], flags: Flags) -> Result<(Node, u32), SyntaxError> {
    let mut parser = Parser {
        pattern,
        at: 0,
        flags,
        groups: 0,
        names: Vec::new(),
        references: Vec::new(),
        depth: 0,
        quoting: false,
    };
    parser.leading_verbs()?;
    let node = parser.alternation()?;
    if parser.at < pattern.len() {
        return Err(parser.error("unmatched parentheses"));
    }
    for (group, at) in &parser.references {
        if *group > parser.groups {
            return Err(SyntaxError::new(
                "reference to non-existent subpattern",
                *at,
            ));
        }
    }
    Ok((node, parser.groups))
}

struct Parser<'a> {
    pattern: &'a [u8],
    at: usize,
    flags: Flags,
    /// Groups opened so far.
    groups: u32,
    names: Vec<(&'a [u8], u32)>,
    /// Groups referred to, and where.
    references: Vec<(u32, usize)>,
    depth: u32,
    /// Between `\Q` and `\E`.
    quoting: bool,
}

impl<'a> Parser<'a> {
    fn error(&self, text: &'static str) -> SyntaxError {
        SyntaxError::new(text, self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Takes `text` if it comes next.
    fn take(&mut self, text: &[u8]) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn rest(&self) -> &'a [u8] {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    /// Everything up to `end`, which is taken too.
    fn take_until(&mut self, end: u8) -> Option<&'a [u8]> {
        let rest = self.rest();
        let len = memchr::memchr(end, rest)?;
        self.at += len + 1;
        rest.get(..len)
    }

    /// A decimal number; too large ones are as large as can be.
    fn number(&mut self) -> Option<u32> {
        let start = self.at;
        let mut value = 0u32;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            value = value
                .saturating_mul(10)
                .saturating_add(u32::from(digit - b'0'));
            self.at += 1;
        }
        (self.at > start).then_some(value)
    }

    /// Alternatives up to a closing parenthesis or the end.
    fn alternation(&mut self) -> Result<Node, SyntaxError> {
        let mut choices = vec![self.sequence()?];
        while self.take(b"|") {
            choices.push(self.sequence()?);
        }
        Ok(alternate(choices))
    }

    fn sequence(&mut self) -> Result<Node, SyntaxError> {
        let mut items = Vec::new();
        while let Some(item) = self.item()? {
            let item = self.quantified(item)?;
            if item != Node::Empty {
                items.push(item);
            }
        }
        Ok(concat(items))
    }

    /// White space and comments of an extended pattern; comments of any.
    fn skip_blanks(&mut self) {
        loop {
            if self.rest().starts_with(b"(?#") {
                let start = self.at;
                self.at += 3;
                if self.take_until(b')').is_none() {
                    self.at = start;
                    return;
                }
            } else if self.flags.extended
                && self
                    .peek()
                    .is_some_and(|byte| b"\t\n\x0b\x0c\r ".contains(&byte))
            {
                self.at += 1;
            } else if self.flags.extended && self.peek() == Some(b'#') {
                if self.take_until(b'\n').is_none() {
                    self.at = self.pattern.len();
                }
            } else {
                return;
            }
        }
    }

    /// The next thing that may be repeated; none at the end of a sequence.
    fn item(&mut self) -> Result<Option<Item>, SyntaxError> {
        loop {
            if self.quoting {
                if self.take(br"\E") {
                    self.quoting = false;
                    continue;
                }
                return Ok(self.next().map(|byte| self.literal(byte)));
            }
            self.skip_blanks();
            let Some(byte) = self.peek() else {
                return Ok(None);
            };
            if byte == b'|' || byte == b')' {
                return Ok(None);
            }
            if self.take(br"\Q") {
                self.quoting = true;
                continue;
            }
            if self.take(br"\E") {
                continue;
            }
            if b"*+?".contains(&byte) || byte == b'{' && self.braces(false)?.is_some() {
                return Err(self.error("nothing to repeat"));
            }
            self.at += 1;
            return Ok(Some(match byte {
                b'\\' => self.escape()?,
                b'[' => self.class()?,
                b'(' => self.group()?,
                b'.' => Item::Some(Node::Set(self.dot())),
                b'^' if self.flags.multi_line => Item::Fixed(Node::Look(Look::LineStart)),
                b'^' => Item::Fixed(Node::Look(Look::Start)),
                b'$' if self.flags.multi_line => Item::Fixed(Node::Look(Look::LineEnd)),
                b'$' => Item::Fixed(last_line_end()),
                byte => self.literal(byte),
            }));
        }
    }

    fn dot(&self) -> ByteSet {
        if self.flags.dot_all {
            ByteSet::ALL
        } else {
            ByteSet::one(b'\n').negated()
        }
    }

    fn literal(&self, byte: u8) -> Item {
        Item::Some(Node::Set(self.fold(ByteSet::one(byte))))
    }

    fn fold(&self, set: ByteSet) -> ByteSet {
        if self.flags.fold { set.folded() } else { set }
    }

    /// The item with the quantifiers that follow it.
    fn quantified(&mut self, item: Item) -> Result<Node, SyntaxError> {
        let node = match item {
            // A quantifier that follows finds nothing to repeat, as in PCRE.
            Item::Fixed(node) => return Ok(node),
            Item::Some(node) => node,
        };
        let Some((min, max)) = self.quantifier()? else {
            return Ok(node);
        };
        let greed = if self.take(b"+") {
            Greed::Possessive
        } else if self.take(b"?") != self.flags.lazy {
            Greed::Lazy
        } else {
            Greed::Greedy
        };
        Ok(repeat(node, min, max, greed))
    }

    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, SyntaxError> {
        if self.quoting {
            if !self.rest().starts_with(br"\E") {
                return Ok(None);
            }
            self.at += 2;
            self.quoting = false;
        }
        self.skip_blanks();
        let range = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => return self.braces(true),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(range))
    }

    /// A `{n,m}` quantifier; anything else in braces is text. Stays in front
    /// of it unless it is to be taken.
    fn braces(&mut self, taken: bool) -> Result<Option<(u32, Option<u32>)>, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let parsed = self.inside_braces();
        let end = self.at;
        self.at = start;
        let Some((min, max)) = parsed else {
            return Ok(None);
        };
        if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT) {
            self.at = end;
            return Err(self.error("number too big in {} quantifier"));
        }
        if max.is_some_and(|max| max < min) {
            self.at = end;
            return Err(self.error("numbers out of order in {} quantifier"));
        }
        if taken {
            self.at = end;
        }
        Ok(Some((min, max)))
    }

    fn inside_braces(&mut self) -> Option<(u32, Option<u32>)> {
        let min = self.number()?;
        let max = if self.take(b",") {
            if self.peek() == Some(b'}') {
                None
            } else {
                Some(self.number()?)
            }
        } else {
            Some(min)
        };
        self.take(b"}").then_some((min, max))
    }
}

/// What stands in a sequence.
enum Item {
    /// May be repeated.
    Some(Node),
    /// May not: conditions and settings.
    Fixed(Node),
}

/// `\Z`: at the end, or in front of the newline there.
fn last_line_end() -> Node {
    let newline = Node::Concat(vec![Node::Set(ByteSet::one(b'\n')), Node::Look(Look::End)]);
    let ahead = Node::Around {
        ahead: true,
        negated: false,
        node: Box::new(newline),
    };
    Node::Alternate(vec![Node::Look(Look::End), ahead])
}

fn alternate(mut choices: Vec<Node>) -> Node {
    match choices.len() {
        1 => choices.pop().unwrap_or(Node::Empty),
        _ => Node::Alternate(choices),
    }
}

fn concat(mut items: Vec<Node>) -> Node {
    match items.len() {
        0 => Node::Empty,
        1 => items.pop().unwrap_or(Node::Empty),
        _ => Node::Concat(items),
    }
}

fn repeat(node: Node, min: u32, max: Option<u32>, greed: Greed) -> Node {
    Node::Repeat {
        node: Box::new(node),
        min,
        max,
        greed,
    }
}

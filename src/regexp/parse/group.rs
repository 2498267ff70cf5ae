//! What stands in parentheses.

use super::super::SyntaxError;
use super::super::ast::Node;
use super::{Flags, Item, MAX_DEPTH, Parser, alternate};

const MISSING: &str = "missing )";
const UNRECOGNIZED: &str = "unrecognized character after (? or (?-";
const NAME: &str = "syntax error in subpattern name (missing terminator)";

impl<'a> Parser<'a> {
    /// `(*LF)` and the like in front of a pattern, where they say what is so
    /// anyway.
    pub(super) fn leading_verbs(&mut self) -> Result<(), SyntaxError> {
        while self.take(b"(*LF)")
            || self.take(b"(*NO_START_OPT)")
            || self.take(b"(*NO_AUTO_POSSESS)")
        {}
        if self.rest().starts_with(b"(*UTF") || self.rest().starts_with(b"(*UCP)") {
            return Err(self.error("this version of PCRE is compiled without UTF support"));
        }
        Ok(())
    }

    /// The group whose opening parenthesis was just taken.
    pub(super) fn group(&mut self) -> Result<Item, SyntaxError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error("parentheses are too deeply nested"));
        }
        self.depth += 1;
        let flags = self.flags;
        let item = self.group_inside();
        // Settings made in a group end with it; those of `(?i)` reach to the
        // end of the group around them.
        if !matches!(item, Ok(Item::Fixed(Node::Empty))) {
            self.flags = flags;
        }
        self.depth -= 1;
        item
    }

    fn group_inside(&mut self) -> Result<Item, SyntaxError> {
        if self.take(b"*") {
            return self.verb();
        }
        if !self.take(b"?") {
            return self.capture(None);
        }
        if self.take(b"P") {
            return self.python();
        }
        let around = |ahead, negated, node| Node::Around {
            ahead,
            negated,
            node: Box::new(node),
        };
        if self.take(b"=") {
            return Ok(Item::Some(around(true, false, self.body()?)));
        }
        if self.take(b"!") {
            return Ok(Item::Some(around(true, true, self.body()?)));
        }
        if self.take(b"<=") {
            return Ok(Item::Some(around(false, false, self.behind()?)));
        }
        if self.take(b"<!") {
            return Ok(Item::Some(around(false, true, self.behind()?)));
        }
        if self.take(b"<") {
            let name = self.name(b'>')?;
            return self.capture(Some(name));
        }
        if self.take(b"'") {
            let name = self.name(b'\'')?;
            return self.capture(Some(name));
        }
        if self.take(b">") {
            return Ok(Item::Some(Node::Atomic(Box::new(self.body()?))));
        }
        if self.take(b"|") {
            return self.branch_reset();
        }
        if self.take(b"(") {
            return self.conditional();
        }
        if self.take(b"#") {
            self.at = self.pattern.len();
            return Err(self.error("missing ) after comment"));
        }
        let calls = self
            .peek()
            .is_some_and(|byte| byte.is_ascii_digit() || b"R&+C".contains(&byte));
        if calls
            || self.rest().starts_with(b"-") && self.rest().get(1).is_some_and(u8::is_ascii_digit)
        {
            return Err(self.error("recursion, subroutine calls and callouts are not supported"));
        }
        self.settings()
    }

    /// The alternatives inside, and the parenthesis that ends them.
    fn body(&mut self) -> Result<Node, SyntaxError> {
        let node = self.alternation()?;
        self.close()?;
        Ok(node)
    }

    fn close(&mut self) -> Result<(), SyntaxError> {
        if self.take(b")") {
            return Ok(());
        }
        Err(self.error(MISSING))
    }

    fn behind(&mut self) -> Result<Node, SyntaxError> {
        let node = self.body()?;
        let fixed = match &node {
            Node::Alternate(choices) => choices.iter().all(|choice| choice.fixed_len().is_some()),
            node => node.fixed_len().is_some(),
        };
        if fixed {
            return Ok(node);
        }
        Err(self.error("lookbehind assertion is not fixed length"))
    }

    fn name(&mut self, end: u8) -> Result<&'a [u8], SyntaxError> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            self.at += 1;
        }
        let name = self.pattern.get(start..self.at).unwrap_or_default();
        if self.peek() != Some(end) {
            return Err(self.error(NAME));
        }
        if name.is_empty() {
            return Err(self.error("subpattern name expected"));
        }
        if name.first().is_some_and(u8::is_ascii_digit) {
            return Err(self.error("subpattern name must start with a non-digit"));
        }
        if name.len() > 32 {
            return Err(self.error("subpattern name is too long (maximum 32 characters)"));
        }
        self.at += 1;
        Ok(name)
    }

    fn capture(&mut self, name: Option<&'a [u8]>) -> Result<Item, SyntaxError> {
        self.groups += 1;
        let group = self.groups;
        if let Some(name) = name {
            if self
                .names
                .iter()
                .any(|(known, of)| *known == name && *of != group)
            {
                return Err(self.error("two named subpatterns have the same name"));
            }
            self.names.push((name, group));
        }
        Ok(Item::Some(Node::Capture(group, Box::new(self.body()?))))
    }

    /// `(?P<name>...)`, `(?P=name)`.
    fn python(&mut self) -> Result<Item, SyntaxError> {
        if self.take(b"<") {
            let name = self.name(b'>')?;
            return self.capture(Some(name));
        }
        if self.take(b"=") {
            let name = self.take_until(b')');
            return self.named_reference(name);
        }
        if self.take(b">") {
            return Err(self.error("recursion, subroutine calls and callouts are not supported"));
        }
        Err(self.error("unrecognized character after (?P"))
    }

    /// `(?|...)`: every alternative counts its groups from the same number.
    fn branch_reset(&mut self) -> Result<Item, SyntaxError> {
        let (first, mut most) = (self.groups, self.groups);
        let mut choices = Vec::new();
        loop {
            self.groups = first;
            choices.push(self.sequence()?);
            most = most.max(self.groups);
            if !self.take(b"|") {
                break;
            }
        }
        self.groups = most;
        self.close()?;
        Ok(Item::Some(alternate(choices)))
    }

    /// `(?(1)yes|no)`, `(?(<name>)...)`, `(?(?=...)...)`.
    fn conditional(&mut self) -> Result<Item, SyntaxError> {
        if self.peek() == Some(b'?') {
            let start = self.at;
            let Item::Some(condition @ Node::Around { .. }) = self.group()? else {
                self.at = start;
                return Err(self.error("assertion expected after (?("));
            };
            let (yes, no) = self.branches()?;
            return Ok(Item::Some(Node::IfAround {
                around: Box::new(condition),
                yes: Box::new(yes),
                no: Box::new(no),
            }));
        }
        let group = self.condition_group()?;
        self.references.push((group, self.at));
        let (yes, no) = self.branches()?;
        Ok(Item::Some(Node::IfGroup {
            group,
            yes: Box::new(yes),
            no: Box::new(no),
        }))
    }

    fn condition_group(&mut self) -> Result<u32, SyntaxError> {
        const MALFORMED: &str = "malformed number or name after (?(";
        let relative = self.peek().filter(|byte| b"+-".contains(byte));
        if relative.is_some() {
            self.at += 1;
        }
        let group = if let Some(number) = self.number() {
            match relative {
                Some(b'-') => (self.groups + 1).checked_sub(number),
                Some(_) => self.groups.checked_add(number),
                None => Some(number),
            }
        } else {
            let end = match self.peek() {
                Some(b'<') => b'>',
                Some(b'\'') => b'\'',
                _ => return Err(self.error(MALFORMED)),
            };
            self.at += 1;
            let name = self.name(end)?;
            let known = self.names.iter().find(|(known, _)| *known == name);
            Some(
                known
                    .ok_or_else(|| self.error("reference to non-existent subpattern"))?
                    .1,
            )
        };
        if !self.take(b")") {
            return Err(self.error(MALFORMED));
        }
        group
            .filter(|&group| group > 0)
            .ok_or_else(|| self.error("invalid condition (?(0)"))
    }

    /// What a condition chooses from.
    fn branches(&mut self) -> Result<(Node, Node), SyntaxError> {
        let yes = self.sequence()?;
        let no = if self.take(b"|") {
            self.sequence()?
        } else {
            Node::Empty
        };
        if self.peek() == Some(b'|') {
            return Err(self.error("conditional group contains more than two branches"));
        }
        self.close()?;
        Ok((yes, no))
    }

    /// `(?i)`, `(?i-m:...)`.
    fn settings(&mut self) -> Result<Item, SyntaxError> {
        let mut flags: Flags = self.flags;
        let mut on = true;
        loop {
            match self.next() {
                Some(b'-') if on => on = false,
                Some(b'i') => flags.fold = on,
                Some(b'm') => flags.multi_line = on,
                Some(b's') => flags.dot_all = on,
                Some(b'x') => flags.extended = on,
                Some(b'U') => flags.lazy = on,
                Some(b'J') => {}
                Some(b')') => {
                    self.flags = flags;
                    return Ok(Item::Fixed(Node::Empty));
                }
                Some(b':') => {
                    self.flags = flags;
                    return Ok(Item::Some(self.body()?));
                }
                None => return Err(self.error(MISSING)),
                Some(_) => {
                    self.at -= 1;
                    return Err(self.error(UNRECOGNIZED));
                }
            }
        }
    }

    fn verb(&mut self) -> Result<Item, SyntaxError> {
        if self.take(b"FAIL)") || self.take(b"F)") {
            return Ok(Item::Some(Node::Fail));
        }
        Err(self.error("(*VERB) not recognized or malformed"))
    }
}

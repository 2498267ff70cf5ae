//! What a pattern means, as a tree; independent of how it is searched for.

use super::bytes::{self, ByteSet};

/// A pattern or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Matches nothing, everywhere.
    Empty,
    /// Never matches.
    Fail,
    /// One byte of a set.
    Set(ByteSet),
    /// A condition on the place.
    Look(Look),
    /// One after the other.
    Concat(Vec<Node>),
    /// One of these, the first preferred.
    Alternate(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        greed: Greed,
    },
    /// A group whose text may be referred to by number.
    Capture(u32, Box<Node>),
    /// What it matched first is not reconsidered.
    Atomic(Box<Node>),
    /// A condition on the text before or after the place.
    Around {
        ahead: bool,
        negated: bool,
        node: Box<Node>,
    },
    /// The text of a group once more.
    BackReference { group: u32, fold: bool },
    /// A choice by whether a group has matched.
    IfGroup {
        group: u32,
        yes: Box<Node>,
        no: Box<Node>,
    },
    /// A choice by what stands before or after the place.
    IfAround {
        around: Box<Node>,
        yes: Box<Node>,
        no: Box<Node>,
    },
    /// `\K`: the match starts here.
    Keep,
}

/// What a repetition tries first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greed {
    Greedy,
    Lazy,
    /// Greedy, and never gives back.
    Possessive,
}

/// A condition on a place that only its two neighbours decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Look {
    /// `\A` and `\G`: where the search began.
    Start,
    /// `^`: there, or behind a newline that is not the last byte.
    LineStart,
    /// `\z`.
    End,
    /// `$`.
    LineEnd,
    /// `\b`, or `\B`.
    Boundary { negated: bool },
    /// The byte before is in the set; or, negated, not in it or not there.
    Before { set: ByteSet, negated: bool },
    /// The same for the byte after.
    After { set: ByteSet, negated: bool },
}

/// What stands after a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Not known yet.
    Unknown,
    Byte(u8),
    End,
}

impl Look {
    /// Whether it holds; none while that depends on what is not known yet.
    /// `before(set)` tells about the byte before, none at the start.
    pub fn holds(self, before: impl Fn(&ByteSet) -> Option<bool>, after: After) -> Option<bool> {
        let start = before(&ByteSet::ALL).is_none();
        match (self, after) {
            (Look::Start, _) => Some(start),
            (Look::LineStart, _) if start => Some(true),
            (Look::LineStart, after) => {
                let newline = before(&ByteSet::one(b'\n')) == Some(true);
                match after {
                    After::Unknown if newline => None,
                    After::End => Some(false),
                    _ => Some(newline),
                }
            }
            (Look::Before { set, negated }, _) => Some((before(&set) == Some(true)) != negated),
            (_, After::Unknown) => None,
            (Look::End, after) => Some(after == After::End),
            (Look::LineEnd, after) => Some(matches!(after, After::End | After::Byte(b'\n'))),
            (Look::Boundary { negated }, after) => {
                let word = bytes::word();
                let follows = matches!(after, After::Byte(byte) if word.contains(byte));
                Some(((before(&word) == Some(true)) != follows) != negated)
            }
            (Look::After { set, negated }, after) => {
                let follows = matches!(after, After::Byte(byte) if set.contains(byte));
                Some(follows != negated)
            }
        }
    }

    /// The set that it asks the byte before about.
    pub fn asks_before(self) -> Option<ByteSet> {
        match self {
            Look::LineStart => Some(ByteSet::one(b'\n')),
            Look::Boundary { .. } => Some(bytes::word()),
            Look::Before { set, .. } => Some(set),
            _ => None,
        }
    }

    /// The set that it asks the byte after about.
    pub fn asks_after(self) -> Option<ByteSet> {
        match self {
            Look::LineEnd => Some(ByteSet::one(b'\n')),
            Look::Boundary { .. } => Some(bytes::word()),
            Look::After { set, .. } => Some(set),
            _ => None,
        }
    }
}

impl Node {
    /// The node as a condition on one neighbour, if it is that.
    pub fn as_look(&self) -> Option<Look> {
        let Node::Around {
            ahead,
            negated,
            node,
        } = self
        else {
            return None;
        };
        let set = node.as_set()?;
        let negated = *negated;
        Some(if *ahead {
            Look::After { set, negated }
        } else {
            Look::Before { set, negated }
        })
    }

    /// The node as a set of bytes, one of which it matches.
    pub fn as_set(&self) -> Option<ByteSet> {
        match self {
            Node::Set(set) => Some(*set),
            Node::Capture(_, node) => node.as_set(),
            Node::Alternate(nodes) => nodes.iter().try_fold(ByteSet::EMPTY, |mut all, node| {
                all.merge(&node.as_set()?);
                Some(all)
            }),
            _ => None,
        }
    }

    /// How many bytes it matches, if that is always the same number.
    pub fn fixed_len(&self) -> Option<u32> {
        match self {
            Node::Empty | Node::Look(_) | Node::Around { .. } | Node::Keep => Some(0),
            Node::Fail => Some(0),
            Node::Set(_) => Some(1),
            Node::Concat(nodes) => nodes
                .iter()
                .try_fold(0u32, |sum, node| sum.checked_add(node.fixed_len()?)),
            Node::Alternate(nodes) => {
                let mut lens = nodes.iter().map(Node::fixed_len);
                let first = lens.next()??;
                lens.all(|len| len == Some(first)).then_some(first)
            }
            Node::Repeat { node, min, max, .. } => {
                if *max != Some(*min) {
                    return None;
                }
                node.fixed_len()?.checked_mul(*min)
            }
            Node::Capture(_, node) | Node::Atomic(node) => node.fixed_len(),
            Node::IfGroup { yes, no, .. } | Node::IfAround { yes, no, .. } => {
                let len = yes.fixed_len()?;
                (no.fixed_len() == Some(len)).then_some(len)
            }
            Node::BackReference { .. } => None,
        }
    }
}

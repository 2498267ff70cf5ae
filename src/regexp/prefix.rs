//! The texts that every match of a set begins with, and a search for them.
//!
//! Where a set's automaton has begun nothing, only such a text can begin a
//! match: the bytes up to the next one need not be looked at one by one.

use aho_corasick::packed::{Config, MatchKind, Searcher};

use super::ast::Node;

/// Most texts that are looked for at once.
const MOST: usize = 48;
/// Most texts that are put together until they are so few.
const MOST_MERGED: usize = 1024;
/// Texts are cut to this length, in bytes.
const LONGEST: usize = 16;
/// A beginning of this length is found seldom enough in what is no match.
const RARE: usize = 6;
/// A shorter text is found too often.
const SHORTEST: usize = 3;
/// Sets of more bytes are no text.
const VARIANTS: u32 = 4;

/// Looks for what matches can begin with.
#[derive(Debug)]
pub(super) struct Prefixes {
    searcher: Searcher,
    longest: usize,
}

impl Prefixes {
    /// Of patterns each of which begins with one of a few texts; else none.
    pub fn of(patterns: &[Node]) -> Option<Prefixes> {
        let mut texts = Vec::new();
        for pattern in patterns {
            let beginnings = extend(pattern, vec![Text::default()])?;
            texts.extend(beginnings.into_iter().map(|text| text.bytes));
        }
        let texts = shorten(texts)?;
        let searcher = Config::new()
            .match_kind(MatchKind::LeftmostFirst)
            .builder()
            .extend(&texts)
            .build()?;
        Some(Prefixes {
            searcher,
            longest: texts.iter().map(Vec::len).max()?,
        })
    }

    /// How many bytes from the front cannot begin a match. The end of
    /// `bytes` may be the beginning of a text, so it is never skipped.
    pub fn idle(&self, bytes: &[u8]) -> usize {
        match self.searcher.find(bytes) {
            Some(found) => found.start(),
            None => bytes.len().saturating_sub(self.longest - 1),
        }
    }
}

/// A text that matches begin with.
#[derive(Clone, Default, PartialEq, Eq)]
struct Text {
    bytes: Vec<u8>,
    /// What follows in the pattern does not belong to it.
    closed: bool,
}

/// The texts with the beginnings of `node` behind those that are open; none
/// if there are too many.
fn extend(node: &Node, mut texts: Vec<Text>) -> Option<Vec<Text>> {
    match node {
        // Conditions only make matches fewer.
        Node::Empty | Node::Look(_) | Node::Around { .. } | Node::Keep => Some(texts),
        Node::Set(set) if set.len() <= VARIANTS && open(&texts) * set.len() as usize <= MOST => {
            let mut longer = Vec::new();
            for text in texts {
                if text.closed {
                    longer.push(text);
                    continue;
                }
                for byte in (0..=u8::MAX).filter(|&byte| set.contains(byte)) {
                    let mut text = text.clone();
                    text.bytes.push(byte);
                    text.closed = text.bytes.len() >= LONGEST;
                    longer.push(text);
                }
            }
            Some(longer)
        }
        Node::Concat(nodes) => nodes
            .iter()
            .try_fold(texts, |texts, node| match open(&texts) {
                0 => Some(texts),
                _ => extend(node, texts),
            }),
        Node::Alternate(nodes) => {
            let mut all = Vec::new();
            for node in nodes {
                for text in extend(node, texts.clone())? {
                    if !all.contains(&text) {
                        all.push(text);
                    }
                }
            }
            (all.len() <= MOST * VARIANTS as usize).then_some(all)
        }
        Node::Repeat { node, min, max, .. } => {
            for _ in 0..(*min).min(LONGEST as u32) {
                texts = extend(node, texts)?;
            }
            if *max != Some(*min) {
                close(&mut texts);
            }
            Some(texts)
        }
        Node::Capture(_, node) | Node::Atomic(node) => extend(node, texts),
        Node::Set(_)
        | Node::Fail
        | Node::BackReference { .. }
        | Node::IfGroup { .. }
        | Node::IfAround { .. } => {
            close(&mut texts);
            Some(texts)
        }
    }
}

fn open(texts: &[Text]) -> usize {
    texts.iter().filter(|text| !text.closed).count()
}

fn close(texts: &mut [Text]) {
    for text in texts {
        text.closed = true;
    }
}

/// Puts texts with a common beginning into one: as long as that beginning is
/// rare enough by itself, and then until they are few; none if they are too
/// short.
fn shorten(mut texts: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    if texts.len() > MOST_MERGED {
        return None;
    }
    texts.sort_unstable();
    texts.dedup();
    loop {
        // The longest beginning that two neighbours have in common.
        let (at, len) = texts
            .windows(2)
            .map(common)
            .enumerate()
            .max_by_key(|&(_, len)| len)
            .unwrap_or_default();
        let merge = len >= RARE || texts.len() > MOST;
        if texts.len() < 2 || !merge {
            break;
        }
        texts.get_mut(at)?.truncate(len);
        texts.remove(at + 1);
    }
    let usable = texts.iter().all(|text| text.len() >= SHORTEST);
    usable.then_some(texts)
}

/// How many bytes the two texts of a window have in common.
fn common(pair: &[Vec<u8>]) -> usize {
    let [one, other] = pair else { return 0 };
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regexp::{Options, read};

    fn of(patterns: &[&str]) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        for pattern in patterns {
            let (node, _) = read(pattern.as_bytes(), Options::default()).expect("a pattern");
            let beginnings = extend(&node, vec![Text::default()])?;
            texts.extend(beginnings.into_iter().map(|text| text.bytes));
        }
        let texts = shorten(texts)?;
        Some(
            texts
                .into_iter()
                .map(|text| String::from_utf8(text).expect("letters"))
                .collect(),
        )
    }

    #[test]
    fn beginnings_are_what_every_match_begins_with() {
        let some = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
        assert_eq!(of(&["abc+d"]), some(&["abc"]));
        assert_eq!(of(&["(foo|ba[rz])x*"]), some(&["bar", "baz", "foo"]));
        assert_eq!(of(&["scanner[12]", "scanner7?"]), some(&["scanner"]));
        assert_eq!(of(&["%bfoo(bar)?"]), of(&["%bfoo"]));
        assert_eq!(of(&[r"\bfoo(?:bar)?x"]), some(&["foo"]));
        assert_eq!(of(&["(ab){3}c"]), some(&["abababc"]));
        assert_eq!(of(&["a{2}[0-9]"]), None, "two bytes are found too often");
        assert_eq!(of(&["abc", "x?abc"]), None);
        assert_eq!(of(&["abc", ""]), None);
        assert_eq!(of(&["abc|"]), None);
    }

    #[test]
    fn many_are_cut_until_they_are_few() {
        let patterns: Vec<String> = (0..200).map(|number| format!("attack-{number}-")).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let texts = of(&patterns).expect("they have beginnings");
        assert_eq!(texts, ["attack-"]);
        let patterns: Vec<String> = (100..200).map(|number| format!("{number}xyz")).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        assert_eq!(of(&patterns), None, "what is left is too short");
    }

    #[test]
    fn ends_are_kept_that_may_be_beginnings() {
        let (node, _) = read(b"attack-[0-9]", Options::default()).expect("a pattern");
        let prefixes = Prefixes::of(&[node]).expect("it has a beginning");
        assert_eq!(prefixes.idle(b"an attack-1"), 3);
        assert_eq!(prefixes.idle(b"nothing at all"), 14 - 6);
        assert_eq!(prefixes.idle(b"none"), 0);
    }
}

//! The automata against a reference that tries everything, at every cut.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::ast::{After, Node};
use super::backtrack::Program;
use super::lazy::{Discipline, Lazy};
use super::nfa::Nfa;
use super::set::{Draft, PatternSet, Scan};
use super::*;

/// Where a match of `node` from `at` on may end.
fn ends(node: &Node, text: &[u8], at: usize) -> BTreeSet<usize> {
    match node {
        Node::Empty => BTreeSet::from([at]),
        Node::Set(set) => {
            let taken = text.get(at).is_some_and(|&byte| set.contains(byte));
            taken.then_some(at + 1).into_iter().collect()
        }
        Node::Look(_) | Node::Around { .. } => {
            let look = match node {
                Node::Look(look) => *look,
                node => node.as_look().expect("the generator makes no others"),
            };
            let before = at.checked_sub(1).map(|at| text[at]);
            let after = text.get(at).map_or(After::End, |&byte| After::Byte(byte));
            let holds = look.holds(|set| before.map(|byte| set.contains(byte)), after);
            (holds == Some(true)).then_some(at).into_iter().collect()
        }
        Node::Concat(nodes) => nodes.iter().fold(BTreeSet::from([at]), |ats, node| {
            ats.into_iter()
                .flat_map(|at| ends(node, text, at))
                .collect()
        }),
        Node::Alternate(nodes) => nodes.iter().flat_map(|node| ends(node, text, at)).collect(),
        Node::Repeat { node, min, max, .. } => {
            let mut all = BTreeSet::new();
            let mut now = BTreeSet::from([at]);
            // More rounds than bytes and required ones add nothing new.
            for round in 0..=max.unwrap_or(text.len() as u32 + min + 1) {
                if round >= *min {
                    all.extend(&now);
                }
                now = now
                    .into_iter()
                    .flat_map(|at| ends(node, text, at))
                    .collect();
            }
            all
        }
        Node::Capture(_, node) => ends(node, text, at),
        other => panic!("the generator makes no {other:?}"),
    }
}

fn reference(node: &Node, text: &[u8], anchored: bool) -> Option<(u64, u64)> {
    let last = if anchored { 0 } else { text.len() };
    (0..=last).find_map(|start| {
        let end = ends(node, text, start).pop_last()?;
        Some((start as u64, end as u64))
    })
}

fn search(nfa: &Nfa, lazy: &mut Lazy, pieces: &[&[u8]], anchored: bool) -> Option<(u64, u64)> {
    let mut search = Search::new(lazy, nfa, anchored);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let taken = search.feed(lazy, nfa, rest, &mut 1);
            rest = &rest[taken..];
        }
    }
    search.finish(lazy, nfa);
    search.matched()
}

fn tree(pattern: &str) -> (Node, u32) {
    read(pattern.as_bytes(), Options::default())
        .unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

/// Patterns over three bytes, with every condition a stream can have.
fn patterns() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "[ab]", ".", "[^a]", r"\n", "ab", "ba"]),
        1 => prop::sample::select(vec!["^", "$", r"\b", r"\B", r"\A", r"\z", "(?=a)", "(?!b)", "(?<=a)", "(?<!b)", r"\R"]),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            2 => prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("(?:{})", parts.join("|"))),
            2 => (inner, prop::sample::select(vec!["*", "+", "?", "*?", "+?", "{2}", "{1,2}", "{2,}"]))
                .prop_map(|(part, many)| format!("({part}){many}")),
        ]
    })
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"aabb\n ".to_vec()), 0..10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn longest_match_at_every_cut(pattern in patterns(), text in texts(), anchored: bool) {
        let (node, _) = tree(&pattern);
        let Ok(nfa) = Nfa::new([&node], nfa::MAX_STATES) else { return Ok(()) };
        let wanted = reference(&node, &text, anchored);
        // A cache too small for two states is emptied all the time.
        for cap in [CACHE, 1] {
            let mut lazy = Lazy::new(Discipline::Longest, cap);
            for cut in 0..=text.len() {
                let (left, right) = text.split_at(cut);
                prop_assert_eq!(search(&nfa, &mut lazy, &[left, right], anchored), wanted);
            }
            let single: Vec<&[u8]> = text.chunks(1).collect();
            prop_assert_eq!(search(&nfa, &mut lazy, &single, anchored), wanted);
        }
    }

    #[test]
    fn texts_get_the_match_that_trying_finds(pattern in patterns(), text in texts()) {
        let (node, groups) = tree(&pattern);
        let Ok(nfa) = Nfa::new([&node], nfa::MAX_STATES) else { return Ok(()) };
        let tried = Program::new(&node, groups).unwrap().search(&text).unwrap();
        let mut lazy = Lazy::new(Discipline::First, CACHE);
        let found = search(&nfa, &mut lazy, &[&text], false);
        // Rounds that take nothing end a loop in Perl; the automaton agrees
        // on whether there is a match and where it starts.
        let tried = tried.map(|(start, end)| (start as u64, end as u64));
        prop_assert_eq!(found.map(|found| found.0), tried.map(|tried| tried.0));
        if !pattern.contains(['*', '+', '{']) {
            prop_assert_eq!(found, tried);
        }
    }

    #[test]
    fn sets_find_what_their_patterns_find(
        patterns in prop::collection::vec(patterns(), 1..5),
        text in texts(),
        cut in 0usize..10,
    ) {
        let mut draft = Draft::default();
        for pattern in &patterns {
            prop_assume!(draft.add(pattern.as_bytes(), Options::default()).is_ok());
        }
        let mut set = PatternSet::new(&draft).unwrap();
        let mut hits = Vec::new();
        let mut scan = Scan::new(&mut set);
        let (left, right) = text.split_at(cut.min(text.len()));
        for mut rest in [left, right] {
            while !rest.is_empty() {
                let taken = scan.feed(&mut set, rest, &mut 1, &mut hits);
                rest = &rest[taken..];
            }
        }
        scan.finish(&mut set, &mut hits);
        hits.sort_unstable();
        let wanted: Vec<_> = (0u32..).zip(&patterns).filter_map(|(number, pattern)| {
            let (node, _) = tree(pattern);
            let first = (0..=text.len()).filter_map(|at| ends(&node, &text, at).pop_first()).min();
            Some((number, first? as u64))
        }).collect();
        prop_assert_eq!(hits, wanted);
    }

    #[test]
    fn sets_skip_nothing_that_begins_a_match(
        parts in prop::collection::vec(prop::sample::select(vec![
            "att", "attack", "ack-", "4", "-", "Attack-4x", "scan/", "/cgi", "-bin", "\n", "nothing of interest",
        ]), 0..40),
        cuts in prop::collection::vec(1usize..40, 1..6),
    ) {
        let patterns = ["attack-[0-9]", "(?i)attack-4x", r"\bscan/", "(/cgi-bin|scan/{2})$", "interest(?=a)"];
        let text = parts.concat().into_bytes();
        let mut draft = Draft::default();
        for pattern in patterns {
            draft.add(pattern.as_bytes(), Options::default()).unwrap();
        }
        let mut set = PatternSet::new(&draft).unwrap();
        prop_assert!(set.skips());
        let (mut scan, mut hits, mut rest) = (Scan::new(&mut set), Vec::new(), &text[..]);
        for cut in cuts.iter().cycle() {
            let (mut piece, behind) = rest.split_at((*cut).min(rest.len()));
            while !piece.is_empty() {
                let taken = scan.feed(&mut set, piece, &mut 8, &mut hits);
                piece = &piece[taken..];
            }
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        scan.finish(&mut set, &mut hits);
        hits.sort_unstable();
        let wanted: Vec<_> = (0u32..).zip(patterns).filter_map(|(number, pattern)| {
            let (node, _) = tree(pattern);
            let first = (0..=text.len()).filter_map(|at| ends(&node, &text, at).pop_first()).min();
            Some((number, first? as u64))
        }).collect();
        prop_assert_eq!(hits, wanted);
    }

    #[test]
    fn any_bytes_are_a_pattern_or_a_mistake(pattern: Vec<u8>, text in texts()) {
        if let Ok(mut regexp) = Regexp::new(&unescape(&pattern), Options::default()) {
            if let Some((lazy, nfa)) = regexp.automaton(Discipline::First) {
                search(nfa, lazy, &[&text], false);
            } else {
                let _ = regexp.backtrack(&text);
            }
        }
    }

    #[test]
    fn syntax_at_random_is_a_pattern_or_a_mistake(
        parts in prop::collection::vec(prop::sample::select(vec![
            "a", "(", ")", "[", "]", "^", "-", "\\", "?", "*", "+", "{2", "}", ",3}", "|", "(?", "<", "=", "!",
            ">", ":", "P", "'", "n", "1", "\\g", "\\k", "\\Q", "\\E", "[:alpha:]", "(?i)", "#", "\\x{", "(?(",
        ]), 0..12),
        text in texts(),
    ) {
        if let Ok(mut regexp) = Regexp::new(parts.concat().as_bytes(), Options::default()) {
            if let Some((lazy, nfa)) = regexp.automaton(Discipline::Longest) {
                search(nfa, lazy, &[&text], false);
            } else {
                let _ = regexp.backtrack(&text);
            }
        }
    }
}

fn mistake(pattern: &str) -> String {
    Regexp::new(pattern.as_bytes(), Options::default())
        .expect_err("a mistake")
        .to_string()
}

#[test]
fn mistakes_are_named_as_pcre_does() {
    for (pattern, text, at) in [
        ("?", "nothing to repeat", 0),
        ("a**", "nothing to repeat", 2),
        ("(abc", "missing )", 4),
        ("abc)", "unmatched parentheses", 3),
        ("[a", "missing terminating ] for character class", 2),
        ("[z-a]", "range out of order in character class", 3),
        ("\\", "\\ at end of pattern", 1),
        ("a{3,2}", "numbers out of order in {} quantifier", 6),
        ("(?z)", "unrecognized character after (? or (?-", 2),
        ("(a)\\2", "reference to non-existent subpattern", 5),
        ("(?<=a+)b", "lookbehind assertion is not fixed length", 7),
    ] {
        let wanted = format!("PCRE compilation failed with error '{text}' at offset {at}");
        assert_eq!(mistake(pattern), wanted, "{pattern}");
    }
}

#[test]
fn large_repetitions_are_refused_quickly() {
    for pattern in [
        "(a{1000}){1000}",
        "((?:){65535}){65535}",
        "(((a{9}){99}){999}){9999}",
        "((\\1{999}){999}){999}(x)",
    ] {
        assert!(
            mistake(pattern).contains("regular expression is too large"),
            "{pattern}"
        );
    }
    assert!(mistake(&"(".repeat(300)).contains("too deeply nested"));
}

#[test]
fn escapes_that_only_pcre_has() {
    for (pattern, text, wanted) in [
        (r"\h+", "a \t b", Some((1, 4))),
        (r"\R", "a\r\nb", Some((1, 3))),
        (r"\Qa.b\E+", "xa.bb", Some((1, 5))),
        (r"[[:digit:]\-]+", "a1-2b", Some((1, 4))),
        (r"\x41\102\o{103}\cA", "ABC\x01", Some((0, 4))),
        (r"a++b", "aab", Some((0, 3))),
        (r"a++a", "aaa", None),
        ("(?i)aB(?-i)c", "Abc", Some((0, 3))),
        ("(?x) a b # c\n c", "abc", Some((0, 3))),
        ("(?s)a.b", "a\nb", Some((0, 3))),
        ("a(?#comment)b", "ab", Some((0, 2))),
        (r"[]a]+", "x]a", Some((1, 3))),
        (r"a\b.", "a b", Some((0, 2))),
    ] {
        let mut regexp = Regexp::new(pattern.as_bytes(), Options::default()).expect(pattern);
        let (lazy, nfa) = regexp.automaton(Discipline::First).expect("no need to try");
        assert_eq!(
            search(nfa, lazy, &[text.as_bytes()], false),
            wanted,
            "{pattern}"
        );
    }
}

#[test]
fn patterns_that_explode_elsewhere_take_linear_time() {
    let text = vec![b'a'; 1 << 20];
    for pattern in [
        "(a+)+$",
        "(a|a)*b",
        "(a|aa)+$",
        "(.*)(.*)(.*)x",
        "(a?){30}a{30}b",
    ] {
        let mut regexp = Regexp::new(pattern.as_bytes(), Options::default()).expect(pattern);
        let (lazy, nfa) = regexp
            .automaton(Discipline::Longest)
            .expect("no need to try");
        let mut search = Search::new(lazy, nfa, false);
        let (mut at, mut calls) = (0, 0);
        while at < text.len() {
            at += search.feed(lazy, nfa, &text[at..], &mut { 1 << 18 });
            calls += 1;
        }
        assert!(calls < 20, "{pattern}: {calls} portions of work");
        assert!(
            lazy.memory() <= 2 * CACHE,
            "{pattern}: {} bytes",
            lazy.memory()
        );
    }
}

#[test]
fn trying_gives_up_in_counted_steps() {
    let regexp = Regexp::new(br"^(\w+)*\1!$", Options::default()).expect("valid");
    assert_eq!(regexp.backtrack(&[b'a'; 60]), Some(Err(OutOfSteps)));
}

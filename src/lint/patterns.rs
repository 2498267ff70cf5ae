//! Patterns and regular expressions that take very long on some text.
//!
//! Matching is limited in steps, so that nothing hangs: the rule fails
//! instead. Only literals are looked at.

use super::tree::{Expr, Kind, Origin};
use super::types::required;
use super::{File, Severity, walk};

/// Where the pattern stands among the arguments of `string.NAME`.
const FUNCTIONS: [&str; 4] = ["find", "match", "gmatch", "gsub"];

pub fn check(file: &mut File<'_>) {
    let mut found = Vec::new();
    walk::expressions(&file.tree.body, &mut |expr, _| {
        if let Some((pattern, at)) = lua_pattern(expr)
            && let Some(part) = overlap(pattern)
        {
            found.push((
                at,
                format!("'{part}' can match the same bytes in many ways"),
            ));
        }
        if let Some((pattern, at)) = regexp(file, expr)
            && let Some(part) = nested(pattern)
        {
            found.push((at, format!("'{part}' repeats what is repeated already")));
        }
    });
    for (at, text) in found {
        let hint = "on some text this takes so many steps that matching is given up".to_owned();
        file.add(at, Severity::Warning, "slow-pattern", text, Some(hint));
    }
}

fn literal(expr: Option<&std::rc::Rc<Expr>>) -> Option<(&[u8], usize)> {
    let expr = expr?;
    match &expr.kind {
        Kind::String(bytes) => Some((bytes, expr.at)),
        _ => None,
    }
}

fn lua_pattern(expr: &Expr) -> Option<(&[u8], usize)> {
    match &expr.kind {
        Kind::MethodCall {
            name, arguments, ..
        } if FUNCTIONS.contains(&name.as_str()) => {
            // A third argument of `find` may say that it is no pattern.
            (arguments.len() < 3 || name != "find").then_some(())?;
            literal(arguments.first())
        }
        Kind::Call { callee, arguments } => {
            let Kind::Index { base, name, .. } = &callee.kind else {
                return None;
            };
            let is_string = matches!(&base.kind, Kind::Name { name, .. } if name == "string");
            let is_pattern =
                FUNCTIONS.contains(&name.as_str()) && (arguments.len() < 4 || name != "find");
            (is_string && is_pattern).then_some(())?;
            literal(arguments.get(1))
        }
        _ => None,
    }
}

/// The pattern given to `re:compile` or `re:match` of `regexp/pcre`.
fn regexp<'a>(file: &File<'_>, expr: &'a Expr) -> Option<(&'a [u8], usize)> {
    let Kind::MethodCall {
        base,
        name,
        arguments,
        ..
    } = &expr.kind
    else {
        return None;
    };
    let takes = ["compile", "match"].contains(&name.as_str());
    (takes && is_engine(file, base, 4)).then_some(())?;
    literal(arguments.first())
}

/// `require('regexp/pcre').re`, also through locals.
fn is_engine(file: &File<'_>, expr: &Expr, steps: usize) -> bool {
    let Some(steps) = steps.checked_sub(1) else {
        return false;
    };
    match &expr.kind {
        Kind::Index { base, name, .. } => name == "re" && is_engine(file, base, steps),
        Kind::Name {
            binding: Some(binding),
            ..
        } => match file.tree.bindings.get(*binding).map(|one| &one.origin) {
            Some(Origin::Value(value)) => is_engine(file, value, steps),
            _ => false,
        },
        Kind::Call { callee, arguments } => {
            matches!(&callee.kind, Kind::Name { name, .. } if name == "require")
                && required(arguments).is_some_and(|module| module.starts_with("regexp/"))
        }
        _ => false,
    }
}

/// Two repeated items after one another that take the same bytes, or three
/// with any bytes between: the text can be divided among them in many ways.
fn overlap(pattern: &[u8]) -> Option<String> {
    let items = items(pattern);
    for pair in items.windows(2) {
        let [(one, true), (other, true)] = pair else {
            continue;
        };
        // `(.-)%s*$`, the usual trim, is quadratic at worst.
        if one.what == other.what {
            return Some(shown(pattern, one.from, other.to));
        }
    }
    let any: Vec<&Item<'_>> = items
        .iter()
        .filter(|(item, repeated)| *repeated && item.what == b".")
        .map(|(item, _)| item)
        .collect();
    match any.as_slice() {
        [first, _, third, ..] => Some(shown(pattern, first.from, third.to)),
        _ => None,
    }
}

struct Item<'a> {
    what: &'a [u8],
    from: usize,
    to: usize,
}

/// The single items of a Lua pattern, with whether each is repeated without
/// limit.
fn items(pattern: &[u8]) -> Vec<(Item<'_>, bool)> {
    let (mut items, mut at) = (Vec::new(), 0);
    while let Some(byte) = pattern.get(at) {
        let from = at;
        at += match byte {
            b'%' => 2,
            b'[' => set_length(&pattern[at..]),
            _ => 1,
        };
        let what = pattern.get(from..at.min(pattern.len())).unwrap_or_default();
        if matches!(byte, b'(' | b')') {
            continue;
        }
        let repeated = matches!(pattern.get(at), Some(b'*' | b'+' | b'-'));
        if repeated || pattern.get(at) == Some(&b'?') {
            at += 1;
        }
        let to = at.min(pattern.len());
        items.push((Item { what, from, to }, repeated));
    }
    items
}

fn set_length(rest: &[u8]) -> usize {
    let mut at = 1;
    if rest.get(at) == Some(&b'^') {
        at += 1;
    }
    // The first bracket in a set is an ordinary letter.
    let first = at;
    while let Some(byte) = rest.get(at) {
        match byte {
            b']' if at > first => return at + 1,
            b'%' => at += 2,
            _ => at += 1,
        }
    }
    rest.len()
}

fn shown(pattern: &[u8], from: usize, to: usize) -> String {
    String::from_utf8_lossy(pattern.get(from..to).unwrap_or_default()).into_owned()
}

/// A group that is repeated and ends in, or is all of, something repeated.
fn nested(pattern: &[u8]) -> Option<String> {
    // Open groups: where they begin, and whether something in them is
    // repeated without limit.
    let mut groups: Vec<(usize, bool)> = Vec::new();
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        match byte {
            b'%' | b'\\' => at += 1,
            b'[' => at += set_length(&pattern[at..]).saturating_sub(1),
            b'(' => groups.push((at, false)),
            b')' => {
                let (from, repeats) = groups.pop()?;
                let repeated = is_repeated(pattern.get(at + 1..).unwrap_or_default());
                if repeated && repeats {
                    return Some(shown(pattern, from, at + 2));
                }
                if let Some((_, outer)) = groups.last_mut() {
                    *outer |= repeated || repeats;
                }
            }
            _ => {}
        }
        let next = pattern.get(at + 1..).unwrap_or_default();
        if *byte != b'('
            && *byte != b')'
            && is_repeated(next)
            && let Some((_, repeats)) = groups.last_mut()
        {
            *repeats = true;
        }
        at += 1;
    }
    None
}

fn is_repeated(rest: &[u8]) -> bool {
    match rest.first() {
        Some(b'*' | b'+') => true,
        Some(b'{') => {
            let end = rest.iter().position(|byte| *byte == b'}');
            end.is_some_and(|end| rest.get(end.wrapping_sub(1)) == Some(&b','))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_explode_are_told() {
        for slow in [".*.*x", "%s*%s*$", "^.-.*$", ".*a.*b.*c", "[^ ]+[^ ]+"] {
            assert!(overlap(slow.as_bytes()).is_some(), "{slow}");
        }
        for fine in [
            "^[^:\n]+%.lua:%d+: ",
            "(%d+)%.(%d+)",
            "^%s*(.-)%s*$",
            "a*b*",
            "[]x]*",
        ] {
            assert_eq!(overlap(fine.as_bytes()), None, "{fine}");
        }
    }

    #[test]
    fn nested_repetitions_are_told() {
        for slow in ["(a+)+", "(?:x*)*y", "((ab)*c)*", "(a{2,})+"] {
            assert!(nested(slow.as_bytes()).is_some(), "{slow}");
        }
        for fine in ["(ab)+", "a+b+", "(a|b)*", "%(a+%)+", "[(a+)]+", "(a+){2}"] {
            assert_eq!(nested(fine.as_bytes()), None, "{fine}");
        }
    }
}

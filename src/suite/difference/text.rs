//! The difference of two texts, as `diff -u` shows it.

use similar::TextDiff;

use super::{PATIENCE, cut};

/// What is other in `found`; `None` when nothing is.
pub fn text(name: &str, expected: &[u8], found: &[u8]) -> Option<String> {
    if expected == found {
        return None;
    }
    let (old, new) = (shown(expected), shown(found));
    let difference = TextDiff::configure()
        .timeout(PATIENCE)
        .diff_lines(old.as_str(), new.as_str());
    let unified = difference
        .unified_diff()
        .context_radius(3)
        .header(name, "output")
        .to_string();
    Some(cut(unified))
}

/// The text as a terminal may see it: bytes that are no text, and control
/// characters, are escaped.
fn shown(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\n' | '\t' => out.push(letter),
                _ if letter.is_control() => out.extend(letter.escape_default()),
                _ => out.push(letter),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_lines_stand_in_their_context() {
        assert_eq!(text("expected.txt", b"same", b"same"), None);
        let found = text("expected.txt", b"a\nb\nc\n", b"a\nB\nc\n").expect("they differ");
        assert_eq!(
            found,
            "--- expected.txt\n+++ output\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"
        );
    }

    #[test]
    fn what_is_no_text_is_escaped() {
        let found = text("e", b"\x1b[31m\xff\n", b"").expect("they differ");
        assert!(found.contains("-\\u{1b}[31m\\xff\n"), "{found}");
    }

    #[test]
    fn a_long_difference_is_cut() {
        let many: String = (0..1000).map(|number| format!("{number}\n")).collect();
        let found = text("e", many.as_bytes(), b"").expect("they differ");
        assert!(found.ends_with("lines more\n") && found.lines().count() == 201);
    }
}

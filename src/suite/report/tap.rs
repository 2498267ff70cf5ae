//! The Test Anything Protocol. The plan stands at the end: how many tests a
//! file has is known when it has run.

use super::indented;
use crate::suite::{Outcome, Test};

pub const HEAD: &str = "TAP version 14\n";

pub fn plan(tests: usize) -> String {
    format!("1..{tests}\n")
}

pub fn result(number: usize, test: &Test) -> String {
    let name = escaped(&test.name);
    match &test.outcome {
        Outcome::Passed => format!("ok {number} - {name}\n"),
        Outcome::Updated(files) => {
            format!("ok {number} - {name} # wrote {}\n", files.join(", "))
        }
        Outcome::Failed { reason, details } => {
            let mut text = format!(
                "not ok {number} - {name}\n  ---\n  message: {}\n",
                quoted(reason)
            );
            if !details.is_empty() {
                text.push_str("  details: |\n");
                text.push_str(&indented(&printable(details), "    "));
            }
            text.push_str("  ...\n");
            text
        }
    }
}

/// `#` would begin a directive, and a line end another test.
fn escaped(name: &str) -> String {
    printable(&name.replace('\n', " "))
        .replace('\\', "\\\\")
        .replace('#', "\\#")
}

/// A YAML string: JSON's form is one.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// YAML knows no control characters.
fn printable(text: &str) -> String {
    let shown = |letter: char| match letter {
        '\n' | '\t' => letter,
        _ if letter.is_control() => char::REPLACEMENT_CHARACTER,
        _ => letter,
    };
    text.chars().map(shown).collect()
}

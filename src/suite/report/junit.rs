//! JUnit's XML: one suite, a test case each, classes named by folder.

use std::time::Duration;

use super::Counts;
use crate::suite::{Outcome, Test};

pub fn document(tests: &[Test], counts: Counts, elapsed: Duration) -> String {
    let figures = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\" time=\"{:.3}\"",
        counts.all(),
        counts.failed,
        elapsed.as_secs_f64()
    );
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {figures}>\n<testsuite name=\"wero\" {figures}>\n"
    );
    for test in tests {
        text.push_str(&case(test));
    }
    text.push_str("</testsuite>\n</testsuites>\n");
    text
}

fn case(test: &Test) -> String {
    // Of a Lua test the file, of a case the folder that it is in.
    let class = match test.name.rsplit_once(": ") {
        Some((file, _)) => file,
        None => test.name.rsplit_once('/').map_or("", |(folder, _)| folder),
    };
    let head = format!(
        "<testcase name=\"{}\" classname=\"{}\" time=\"{:.3}\"",
        escaped(&test.name),
        escaped(class),
        test.time.as_secs_f64()
    );
    match &test.outcome {
        Outcome::Passed | Outcome::Updated(_) => format!("{head}/>\n"),
        Outcome::Failed { reason, details } => format!(
            "{head}>\n<failure message=\"{}\">{}</failure>\n</testcase>\n",
            escaped(reason),
            escaped(details)
        ),
    }
}

/// XML knows most control characters under no name at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            _ if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                out.push(char::REPLACEMENT_CHARACTER);
            }
            _ => out.push(letter),
        }
    }
    out
}

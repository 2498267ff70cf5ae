//! Writes down how tests ended: as text, TAP or JUnit.

mod junit;
mod tap;
mod text;

use std::io::{self, Write};
use std::time::Duration;

use super::{Outcome, Test};

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// Test Anything Protocol, version 14.
    Tap,
    /// The XML that continuous integration reads.
    Junit,
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub updated: usize,
    pub failed: usize,
}

impl Counts {
    pub fn all(self) -> usize {
        self.passed + self.updated + self.failed
    }

    /// The last line of a run.
    pub fn summary(self, elapsed: Duration) -> String {
        let updated = match self.updated {
            0 => String::new(),
            some => format!("{some} updated, "),
        };
        format!(
            "{} tests: {} passed, {updated}{} failed, in {:.2} s",
            self.all(),
            self.passed,
            self.failed,
            elapsed.as_secs_f64()
        )
    }
}

/// Writes results as they come; JUnit only at the end, since its first line
/// counts them.
pub struct Report<W> {
    format: Format,
    out: W,
    counts: Counts,
    kept: Vec<Test>,
}

impl<W: Write> Report<W> {
    /// # Errors
    /// When the head cannot be written.
    pub fn begin(format: Format, mut out: W) -> io::Result<Report<W>> {
        if format == Format::Tap {
            out.write_all(tap::HEAD.as_bytes())?;
        }
        Ok(Report {
            format,
            out,
            counts: Counts::default(),
            kept: Vec::new(),
        })
    }

    /// # Errors
    /// When the result cannot be written.
    pub fn add(&mut self, test: Test) -> io::Result<()> {
        match &test.outcome {
            Outcome::Passed => self.counts.passed += 1,
            Outcome::Updated(_) => self.counts.updated += 1,
            Outcome::Failed { .. } => self.counts.failed += 1,
        }
        match self.format {
            Format::Text => self.out.write_all(text::result(&test).as_bytes())?,
            Format::Tap => {
                let number = self.counts.all();
                self.out.write_all(tap::result(number, &test).as_bytes())?;
            }
            Format::Junit => self.kept.push(test),
        }
        self.out.flush()
    }

    /// Writes what stands at the end; the summary is the caller's.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(mut self, elapsed: Duration) -> io::Result<Counts> {
        match self.format {
            Format::Text => {}
            Format::Tap => {
                let plan = tap::plan(self.counts.all());
                self.out.write_all(plan.as_bytes())?;
            }
            Format::Junit => {
                let document = junit::document(&self.kept, self.counts, elapsed);
                self.out.write_all(document.as_bytes())?;
            }
        }
        self.out.flush()?;
        Ok(self.counts)
    }
}

/// Text with each line moved to the right.
fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn some() -> Vec<Test> {
        let test = |name: &str, outcome| Test {
            name: name.to_owned(),
            outcome,
            time: Duration::from_millis(12),
        };
        vec![
            test("sample/a", Outcome::Passed),
            test(
                "sample/b",
                Outcome::Updated(vec!["expected.txt".to_owned()]),
            ),
            test(
                "c #1",
                Outcome::failed("other <output>", "-old\n+new \u{1}]]>\n"),
            ),
        ]
    }

    fn written(format: Format) -> String {
        let mut bytes = Vec::new();
        let mut report = Report::begin(format, &mut bytes).expect("memory can be written");
        for test in some() {
            report.add(test).expect("memory can be written");
        }
        let counts = report
            .end(Duration::from_secs(1))
            .expect("memory can be written");
        assert_eq!((counts.passed, counts.updated, counts.failed), (1, 1, 1));
        assert_eq!(
            counts.summary(Duration::from_millis(1500)),
            "3 tests: 1 passed, 1 updated, 1 failed, in 1.50 s"
        );
        String::from_utf8(bytes).expect("reports are text")
    }

    #[test]
    fn text_is_for_people() {
        assert_eq!(
            written(Format::Text),
            "ok    sample/a\nok    sample/b (wrote expected.txt)\n\
             FAIL  c #1: other <output>\n      -old\n      +new \u{1}]]>\n"
        );
    }

    #[test]
    fn tap_counts_and_escapes() {
        assert_eq!(
            written(Format::Tap),
            "TAP version 14\nok 1 - sample/a\nok 2 - sample/b # wrote expected.txt\n\
             not ok 3 - c \\#1\n  ---\n  message: \"other <output>\"\n  details: |\n    -old\n    \
             +new \u{fffd}]]>\n  ...\n1..3\n"
        );
    }

    #[test]
    fn junit_is_well_formed() {
        let text = written(Format::Junit);
        assert!(
            text.starts_with(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"3\" failures=\"1\""
            ),
            "{text}"
        );
        assert!(
            text.contains(
                "<failure message=\"other &lt;output&gt;\">-old\n+new \u{fffd}]]&gt;\n</failure>"
            ),
            "{text}"
        );
        assert!(
            text.contains("<testcase name=\"sample/a\" classname=\"sample\" time=\"0.012\"/>"),
            "{text}"
        );
        assert!(text.ends_with("</testsuite>\n</testsuites>\n"), "{text}");
    }
}

//! Judges a golden case: `wero replay` on its rule and capture must print
//! `expected.txt` and let out the packets of `expected.pcap`.
//!
//! The run happens in the case's folder, in UTC, so that its text does not
//! depend on where the suite is run. A file `options` in the folder holds
//! further options of `wero replay`. What is not there is not compared. Not
//! compared at all: the summary.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::difference::{self, Refusals};
use super::find::GoldenCase;
use super::process::{self, Finished, Scratch};
use super::{Outcome, Plan};

const TEXT: &str = "expected.txt";
const PACKETS: [&str; 2] = ["expected.pcap", "expected.pcapng"];

/// What a case may expect, in bytes: more is no test anybody reads.
const MAX_EXPECTED: u64 = 256 << 20;

/// Runs the case and compares.
pub fn check(plan: &Plan, case: &GoldenCase) -> Outcome {
    match judge(plan, case) {
        Ok(outcome) => outcome,
        Err(error) => Outcome::failed(format!("cannot be run: {error}"), ""),
    }
}

fn judge(plan: &Plan, case: &GoldenCase) -> io::Result<Outcome> {
    let packets = PACKETS
        .into_iter()
        .find(|name| case.folder.join(name).is_file());
    let has_text = case.folder.join(TEXT).is_file();
    if !plan.update && !has_text && packets.is_none() {
        return Ok(Outcome::failed(
            format!("nothing is expected: neither '{TEXT}' nor '{}'", PACKETS[0]),
            "--update writes what comes out\n",
        ));
    }
    // A new case gets both files; later the one that was deleted stays away.
    let wanted = packets.or((!has_text).then_some(PACKETS[0]));
    let scratch = Scratch::new()?;
    let written = scratch
        .path()
        .join(wanted.unwrap_or(PACKETS[0]).replace("expected", "output"));
    let run = replay(plan, case, &written, scratch.path())?;
    if let Some(reason) = process::complaint(&run.end, plan.timeout) {
        return Ok(Outcome::failed(
            format!("wero replay {reason}"),
            tail(&run.complaints),
        ));
    }
    if plan.update {
        return update(case, &run.output, wanted, &written, has_text);
    }
    compare(case, &run, packets, &written, has_text)
}

fn replay(plan: &Plan, case: &GoldenCase, written: &Path, scratch: &Path) -> io::Result<Finished> {
    let mut command = Command::new(&plan.program);
    command
        .current_dir(&case.folder)
        .args(["replay", "--drops", "-o"])
        .arg(written)
        .args(options(&case.folder)?)
        .arg(&case.rule)
        .arg(&case.input);
    process::run(&mut command, session(&case.folder)?, scratch, plan.timeout)
}

/// What somebody types, from the file `session.txt`.
fn session(folder: &Path) -> io::Result<Stdio> {
    match File::open(folder.join("session.txt")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Stdio::null()),
        other => Ok(other?.into()),
    }
}

/// The words of the file `options`; lines that begin with `#` are comments.
fn options(folder: &Path) -> io::Result<Vec<String>> {
    let text = match fs::read_to_string(folder.join("options")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    Ok(lines
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect())
}

fn compare(
    case: &GoldenCase,
    run: &Finished,
    packets: Option<&str>,
    written: &Path,
    has_text: bool,
) -> io::Result<Outcome> {
    let (mut reasons, mut details) = (Vec::new(), String::new());
    if has_text {
        let expected = expectation(&case.folder.join(TEXT))?;
        if let Some(text) = difference::text(TEXT, &expected, &run.output) {
            reasons.push("other output");
            details.push_str(&text);
        }
    }
    if let Some(name) = packets {
        let (expected, found) = (expectation(&case.folder.join(name))?, expectation(written)?);
        if expected != found {
            let refusals = Refusals::read(&run.complaints, &case.folder.join(&case.input));
            reasons.push("other packets");
            details.push_str(&difference::captures(name, expected, found, &refusals));
        }
    }
    Ok(match reasons.is_empty() {
        true => Outcome::Passed,
        false => Outcome::failed(reasons.join(", "), details),
    })
}

fn expectation(path: &Path) -> io::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > MAX_EXPECTED {
        return Err(io::Error::other(format!(
            "'{}' is larger than {} MiB",
            path.display(),
            MAX_EXPECTED >> 20
        )));
    }
    fs::read(path)
}

fn update(
    case: &GoldenCase,
    output: &[u8],
    wanted: Option<&str>,
    written: &Path,
    has_text: bool,
) -> io::Result<Outcome> {
    let mut changed = Vec::new();
    // A case that has packets only keeps to them.
    if has_text || !wanted.is_some_and(|name| case.folder.join(name).is_file()) {
        rewrite(&case.folder.join(TEXT), output, &mut changed)?;
    }
    if let Some(name) = wanted {
        rewrite(&case.folder.join(name), &fs::read(written)?, &mut changed)?;
    }
    Ok(match changed.is_empty() {
        true => Outcome::Passed,
        false => Outcome::Updated(changed),
    })
}

fn rewrite(path: &Path, bytes: &[u8], changed: &mut Vec<String>) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(path, bytes)?;
    let name = path.file_name().unwrap_or_default();
    changed.push(name.to_string_lossy().into_owned());
    Ok(())
}

/// The end of what a process complained of.
pub(super) fn tail(text: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    lines[from..]
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_words_with_comments() {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        assert_eq!(options(folder.path()).expect("none are fine"), [""; 0]);
        fs::write(
            folder.path().join("options"),
            "# as Haka\n--profile haka\n--monitor\n",
        )
        .expect("writable");
        assert_eq!(
            options(folder.path()).expect("a readable file"),
            ["--profile", "haka", "--monitor"]
        );
    }

    #[test]
    fn only_the_end_of_long_complaints_is_kept() {
        let text: String = (0..100).map(|number| format!("{number}\n")).collect();
        let kept = tail(&text);
        assert!(kept.starts_with("60\n") && kept.ends_with("99\n"), "{kept}");
    }
}

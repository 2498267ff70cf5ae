//! Why a command ends without success, and its exit code.

use std::path::Path;

use crate::capture::file::{CaptureError, FileKind, sniff};
#[cfg(target_os = "linux")]
use crate::capture::interface::InterfaceError;
use crate::worker::output::OutputError;
use crate::worker::replay::ReplayError;

/// Messages for standard error, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    pub messages: Vec<String>,
}

impl Failure {
    /// Something is wrong at run time.
    pub const RUN: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// The input data are damaged (`EX_DATAERR`).
    pub const DATA: u8 = 65;
    /// An input file cannot be opened (`EX_NOINPUT`).
    pub const NO_INPUT: u8 = 66;
    /// A defect of Wero (`EX_SOFTWARE`).
    pub const SOFTWARE: u8 = 70;
    /// An output file cannot be created (`EX_CANTCREAT`).
    pub const NO_OUTPUT: u8 = 73;
    /// Reading or writing failed (`EX_IOERR`).
    pub const IO: u8 = 74;
    /// The rule file is not valid (`EX_CONFIG`).
    pub const RULES: u8 = 78;

    pub fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure {
            code,
            messages: vec![message.into()],
        }
    }

    /// The failure that damaged captures are, if there are any. The first one
    /// decides the code.
    pub fn of_captures(faults: &[CaptureError]) -> Option<Failure> {
        let code = capture_code(faults.first()?);
        Some(Failure {
            code,
            messages: faults.iter().map(CaptureError::to_string).collect(),
        })
    }

    /// Says what went wrong on standard error.
    pub fn tell(&self) {
        for message in &self.messages {
            eprintln!("wero: {message}");
        }
    }
}

fn capture_code(fault: &CaptureError) -> u8 {
    match fault {
        CaptureError::Open { .. } => Failure::NO_INPUT,
        #[cfg(target_os = "linux")]
        CaptureError::Interface(InterfaceError::Unknown { .. }) => Failure::NO_INPUT,
        #[cfg(target_os = "linux")]
        CaptureError::Interface(_) => Failure::RUN,
        CaptureError::NotACapture { .. } | CaptureError::Damaged { .. } => Failure::DATA,
        CaptureError::Create { .. } | CaptureError::LinkMismatch { .. } => Failure::NO_OUTPUT,
        CaptureError::Read { .. } | CaptureError::Write { .. } => Failure::IO,
    }
}

impl From<CaptureError> for Failure {
    fn from(fault: CaptureError) -> Failure {
        Failure::new(capture_code(&fault), fault.to_string())
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Failure {
        match error {
            OutputError::Capture(fault) => fault.into(),
            other => Failure::new(Failure::IO, other.to_string()),
        }
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Failure {
        let code = match error {
            ReplayError::Output(error) => return error.into(),
            ReplayError::Rules(_) => Failure::RULES,
            ReplayError::Engine(_) => Failure::RUN,
            ReplayError::Levels(_) => Failure::USAGE,
            ReplayError::WorkerLost => Failure::SOFTWARE,
        };
        Failure::new(code, error.to_string())
    }
}

/// Sees whether the rule file is one and the captures are: they are often
/// given in the wrong order. `-` is not looked at.
pub fn check_order(rules: &Path, captures: &[impl AsRef<Path>]) -> Result<(), Failure> {
    let kind = sniff(rules).map_err(|error| {
        Failure::new(
            Failure::NO_INPUT,
            format!("cannot open rule file '{}': {error}", rules.display()),
        )
    })?;
    let swapped = captures.iter().map(AsRef::as_ref).find(|path| {
        path.as_os_str() != "-" && matches!(sniff(path), Ok(FileKind::LuaSource | FileKind::Text))
    });
    let is_capture = matches!(
        kind,
        FileKind::Pcap | FileKind::Pcapng | FileKind::Gzip | FileKind::Zstd
    );
    match (is_capture, swapped) {
        (true, Some(script)) => Err(Failure::new(
            Failure::USAGE,
            format!(
                "'{}' is {kind} and '{}' looks like a rule file: they are swapped, the rule file comes first",
                rules.display(),
                script.display(),
            ),
        )),
        (true, None) => Err(Failure::new(
            Failure::USAGE,
            format!(
                "'{}' is {kind}, not a rule file: the rule file comes first",
                rules.display()
            ),
        )),
        (false, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swapped_rule_file_is_told() {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let (rule, capture) = (
            folder.path().join("rule.lua"),
            folder.path().join("in.pcap"),
        );
        std::fs::write(&rule, "haka.rule {\n  on = x,\n}\n").expect("the folder is writable");
        std::fs::write(&capture, [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0])
            .expect("the folder is writable");

        let failure = check_order(&capture, &[&rule]).expect_err("they are swapped");
        assert_eq!(failure.code, Failure::USAGE);
        assert!(failure.messages[0].contains("swapped"), "{failure:?}");
        assert!(check_order(&rule, &[&capture]).is_ok());
        let missing =
            check_order(&folder.path().join("none.lua"), &[&capture]).expect_err("it is not there");
        assert_eq!(missing.code, Failure::NO_INPUT);
    }

    #[test]
    fn the_first_damage_decides_the_code() {
        assert!(Failure::of_captures(&[]).is_none());
        let open = || CaptureError::Open {
            path: "a".into(),
            source: std::io::Error::other("gone"),
        };
        let damaged = CaptureError::Damaged {
            path: "b".into(),
            offset: 40,
            frame: 1,
            compression: None,
            what: "record".into(),
        };
        let failure = Failure::of_captures(&[damaged, open()]).expect("there are faults");
        assert_eq!((failure.code, failure.messages.len()), (Failure::DATA, 2));
    }
}

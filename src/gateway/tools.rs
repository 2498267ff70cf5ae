//! The programs that load rules, and what of them works here.
//!
//! A variant is not judged by its version but by having it load the very
//! rules into a network namespace made for the purpose and gone with it.

use std::env;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::plan::Family;

/// What rules are written for, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Nft,
    IptablesNft,
    IptablesLegacy,
}

impl Backend {
    pub const ALL: [Backend; 3] = [Backend::Nft, Backend::IptablesNft, Backend::IptablesLegacy];

    pub fn name(self) -> &'static str {
        match self {
            Backend::Nft => "nft",
            Backend::IptablesNft => "iptables-nft",
            Backend::IptablesLegacy => "iptables-legacy",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Why a program did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("there is no program '{0}': install it (package iptables or nftables)")]
    Missing(String),
    #[error("cannot run {program}: {source}")]
    Run { program: String, source: io::Error },
    #[error("{command} failed: {message}")]
    Failed { command: String, message: String },
}

/// The programs for one variant and family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    pub backend: Backend,
    pub family: Family,
    /// Loads a file of rules.
    pub load: PathBuf,
    /// Prints what is loaded.
    pub save: PathBuf,
    /// Changes one thing.
    pub single: PathBuf,
}

impl Tools {
    pub fn find(backend: Backend, family: Family) -> Result<Tools, ToolError> {
        let variant = match backend {
            Backend::Nft => {
                let nft = find("nft").ok_or_else(|| ToolError::Missing("nft".to_owned()))?;
                return Ok(Tools {
                    backend,
                    family,
                    load: nft.clone(),
                    save: nft.clone(),
                    single: nft,
                });
            }
            Backend::IptablesNft => "-nft",
            Backend::IptablesLegacy => "-legacy",
        };
        let base = match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        };
        let named = |stem: &str| -> Option<Tools> {
            Some(Tools {
                backend,
                family,
                load: find(&format!("{stem}-restore"))?,
                save: find(&format!("{stem}-save"))?,
                single: find(stem)?,
            })
        };
        // Some systems have one variant only, under the plain name.
        named(&format!("{base}{variant}"))
            .or_else(|| named(base).filter(|tools| tools.is_variant(backend)))
            .ok_or_else(|| ToolError::Missing(format!("{base}{variant}")))
    }

    fn is_variant(&self, backend: Backend) -> bool {
        let Ok(version) = run(&self.single, &["-V"], "") else {
            return false;
        };
        version.contains("(nf_tables)") == (backend == Backend::IptablesNft)
    }

    /// How a file of rules is loaded.
    pub fn load_command(&self) -> (PathBuf, Vec<String>) {
        let arguments: &[&str] = match self.backend {
            Backend::Nft => &["-f", "-"],
            // Another program may be at it: wait for its lock.
            _ => &["--noflush", "--wait=5"],
        };
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        (self.load.clone(), arguments)
    }

    /// Loads rules where nobody sees them: in a namespace of its own.
    pub fn try_load(&self, text: &str) -> Trial {
        let Some(unshare) = unshare() else {
            return self.check(text);
        };
        let (program, arguments) = self.load_command();
        let program = program.display().to_string();
        let mut words = vec!["-n", "--", program.as_str()];
        words.extend(arguments.iter().map(String::as_str));
        match run(&unshare, &words, text) {
            Ok(_) => Trial::Works,
            Err(ToolError::Failed { message, .. }) => Trial::Refused(message),
            Err(error) => Trial::Refused(error.to_string()),
        }
    }
}

impl Tools {
    /// What can be said where no namespace can be made.
    fn check(&self, text: &str) -> Trial {
        if self.backend != Backend::Nft {
            return Trial::Impossible;
        }
        // Asks the kernel and changes nothing.
        match run(&self.load, &["-c", "-f", "-"], text) {
            Ok(_) => Trial::Works,
            Err(error) => Trial::Refused(error.to_string()),
        }
    }
}

/// The program that makes a namespace to try rules in, if it can here.
pub fn unshare() -> Option<PathBuf> {
    find("unshare").filter(|program| run(program, &["-n", "--", "true"], "").is_ok())
}

/// What came of loading rules for a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    Works,
    /// The kernel or the program cannot do it: its own words.
    Refused(String),
    /// No namespace can be made here.
    Impossible,
}

/// Runs a program to its end and gives what it printed.
pub fn run(program: &Path, arguments: &[&str], input: &str) -> Result<String, ToolError> {
    let name = program.display().to_string();
    let failed_to_run = |source| ToolError::Run {
        program: name.clone(),
        source,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        // ^C at the terminal is for us, not for what we are in the middle of.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed_to_run)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that reads nothing says by its exit code what it thinks.
        // None of them writes much before it has read all.
        if let Err(error) = stdin.write_all(input.as_bytes())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(failed_to_run(error));
        }
    }
    let output = child.wait_with_output().map_err(failed_to_run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = first_lines(&String::from_utf8_lossy(&output.stderr));
    Err(ToolError::Failed {
        command: command_line(program, arguments),
        message: match message.is_empty() {
            true => output.status.to_string(),
            false => message,
        },
    })
}

/// A command as one would type it.
pub fn command_line(program: &Path, arguments: &[&str]) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let mut line = name.into_owned();
    for argument in arguments {
        line.push(' ');
        line.push_str(argument);
    }
    line
}

/// What a person needs of a message: not the advice and not the warnings.
fn first_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| {
            !line.is_empty()
                && !line.starts_with("# Warning")
                && !line.starts_with("Error occurred at line")
                && !line.starts_with("Try `")
        })
        // Where nft says in which column of our text it stopped.
        .map(|line| match line.split_once("Error: ") {
            Some((place, message)) if place.starts_with("/dev/stdin") => message,
            _ => line,
        })
        .take(2)
        .collect();
    lines.join(": ")
}

/// Looks a program up as a shell does, and where administrators keep them.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"];
    env::split_paths(&path)
        .chain(usual.into_iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| {
            fs::metadata(file)
                .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_run_and_quoted() {
        let cat = find("cat").expect("every system has cat");
        assert_eq!(run(&cat, &[], "a\nb\n").expect("it runs"), "a\nb\n");
        assert_eq!(find("no-such-program-here"), None);
        let error = run(&cat, &["/nonexistent"], "").expect_err("there is no file");
        let text = error.to_string();
        assert!(
            text.starts_with("cat /nonexistent failed: ") && text.contains("No such file"),
            "{text}"
        );
    }

    #[test]
    fn advice_is_left_out_of_messages() {
        let text = "# Warning: legacy\niptables-restore: line 3 failed\nError occurred at line: 3\nTry `iptables-restore -h' or 'iptables-restore --help' for more information.\n";
        assert_eq!(first_lines(text), "iptables-restore: line 3 failed");
    }
}

//! Runs one case in a process of its own, with caps on its time and output.
//!
//! A process, because a test may crash or hang what it runs in, and because
//! the case then sees exactly what a user who types the command would see.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a case may write to standard output or error, in bytes.
const MAX_OUTPUT: u64 = 64 << 20;

/// Between two looks at a running case; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// What a process left.
pub struct Finished {
    pub output: Vec<u8>,
    pub complaints: String,
    pub end: End,
}

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Exited(ExitStatus),
    TimedOut,
    TooMuchOutput,
}

/// Runs a command to its end, with its output in files of `scratch`. Times
/// are UTC and messages English, wherever it runs. `input` is what somebody
/// types.
pub fn run(
    command: &mut Command,
    input: Stdio,
    scratch: &Path,
    timeout: Duration,
) -> io::Result<Finished> {
    let (output, complaints) = (scratch.join("stdout"), scratch.join("stderr"));
    let mut child = command
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .stdin(input)
        .stdout(File::create(&output)?)
        .stderr(File::create(&complaints)?)
        .spawn()?;
    let end = wait(&mut child, &[&output, &complaints], timeout);
    if !matches!(end, Ok(End::Exited(_))) {
        // Either may fail only when it has ended by itself meanwhile.
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok(Finished {
        end: end?,
        output: fs::read(&output)?,
        complaints: String::from_utf8_lossy(&fs::read(&complaints)?).into_owned(),
    })
}

fn wait(child: &mut Child, outputs: &[&Path], timeout: Duration) -> io::Result<End> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(End::Exited(status));
        }
        if start.elapsed() >= timeout {
            return Ok(End::TimedOut);
        }
        for path in outputs {
            if fs::metadata(path)?.len() > MAX_OUTPUT {
                return Ok(End::TooMuchOutput);
            }
        }
        thread::sleep(pause);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// Why a process that did not end well did not, in one line.
pub fn complaint(end: &End, timeout: Duration) -> Option<String> {
    match end {
        End::Exited(status) if status.success() => None,
        End::Exited(status) => Some(match status.code() {
            Some(code) => format!("ended with exit code {code}"),
            // A signal.
            None => format!("crashed: {status}"),
        }),
        End::TimedOut => Some(format!("took longer than {timeout:?}: see --timeout")),
        End::TooMuchOutput => Some(format!("wrote more than {} MiB", MAX_OUTPUT >> 20)),
    }
}

/// A folder for what a case writes, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> io::Result<Scratch> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("wero-test-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                // Left by an earlier process with our number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(Scratch(path)),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays for whoever cleans that folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Duration) -> Finished {
        let scratch = tempfile::tempdir().expect("there is room for temporary files");
        run(
            Command::new("sh").args(["-c", script]),
            Stdio::null(),
            scratch.path(),
            timeout,
        )
        .expect("a shell runs")
    }

    #[test]
    fn output_and_end_are_kept() {
        let run = shell("echo out; echo err >&2; exit 3", Duration::from_secs(10));
        assert_eq!(run.output, b"out\n");
        assert_eq!(run.complaints, "err\n");
        assert_eq!(
            complaint(&run.end, Duration::from_secs(10)).as_deref(),
            Some("ended with exit code 3")
        );
    }

    #[test]
    fn a_process_that_hangs_is_ended() {
        let run = shell("sleep 600", Duration::from_millis(50));
        assert_eq!(run.end, End::TimedOut);
    }

    #[test]
    fn a_process_that_never_stops_writing_is_ended() {
        let run = shell(
            "while :; do printf '%1048576s' x; done",
            Duration::from_secs(60),
        );
        assert_eq!(run.end, End::TooMuchOutput);
    }
}

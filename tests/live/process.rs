//! Programs that tests start: their output is collected, they end with the
//! test.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Lines that are kept of each output: a program that floods it must not fill
/// the memory.
const MAX_LINES: usize = 200_000;

/// For programs that are to come to an end by themselves.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a program wrote, line by line.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn collect(&self, source: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n') {
                let Ok(line) = line else { return };
                let mut kept = lines.0.lock().expect("no holder panics");
                if kept.len() < MAX_LINES {
                    kept.push(String::from_utf8_lossy(&line).into_owned());
                }
            }
        })
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().expect("no holder panics").clone()
    }

    pub fn count(&self, what: &str) -> usize {
        let lines = self.0.lock().expect("no holder panics");
        lines.iter().filter(|line| line.contains(what)).count()
    }
}

/// What the programs of this case have written, for its failure.
static WRITTEN: Mutex<Vec<(String, Lines)>> = Mutex::new(Vec::new());

/// The ends of what programs wrote since this was last asked for.
pub fn take_written() -> Vec<String> {
    let written = std::mem::take(&mut *WRITTEN.lock().expect("no holder panics"));
    let mut ends = Vec::new();
    for (name, lines) in written {
        let lines = lines.all();
        let from = lines.len().saturating_sub(SHOWN);
        ends.extend(lines[from..].iter().map(|line| format!("{name}: {line}")));
    }
    ends
}

/// Lines of each output that are shown of a case that failed.
const SHOWN: usize = 25;

/// Killed when it is dropped.
pub struct Process {
    child: Child,
    name: String,
    pub output: Lines,
    pub errors: Lines,
    readers: [JoinHandle<()>; 2],
}

impl Process {
    pub fn start(command: &mut Command) -> Result<Process, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let (output, errors) = (Lines::default(), Lines::default());
        let file = name.rsplit('/').next().unwrap_or_default().to_string();
        let mut written = WRITTEN.lock().expect("no holder panics");
        written.push((file.clone(), output.clone()));
        written.push((file, errors.clone()));
        drop(written);
        let readers = [
            output.collect(child.stdout.take().expect("it is a pipe")),
            errors.collect(child.stderr.take().expect("it is a pipe")),
        ];
        Ok(Process {
            child,
            name,
            output,
            errors,
            readers,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a condition holds; an end of the program ends the waiting.
    pub fn wait_until(
        &mut self,
        what: &str,
        patience: Duration,
        mut holds: impl FnMut(&Process) -> bool,
    ) -> Result<(), String> {
        let start = Instant::now();
        loop {
            if holds(self) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                self.read_to_the_end();
                let words = self.last_words();
                return Err(format!("{} ended with {status}: {words}", self.name));
            }
            if start.elapsed() > patience {
                let words = self.last_words();
                return Err(format!(
                    "{}: not {what} in {patience:?}: {words}",
                    self.name
                ));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Nothing happens to a program that has ended.
    pub fn signal(&mut self, signal: i32) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // SAFETY: a plain system call; the child has not been waited for, so
        // the number is still its own.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Waits for its end.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, String> {
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.read_to_the_end();
                    return Ok(status);
                }
                Ok(None) if start.elapsed() < patience => thread::sleep(Duration::from_millis(2)),
                Ok(None) => return Err(format!("{}: did not end in {patience:?}", self.name)),
                Err(error) => return Err(format!("{}: {error}", self.name)),
            }
        }
    }

    /// Last words of a program that has ended may still be in the pipe; a
    /// child of its own may keep that open.
    fn read_to_the_end(&self) {
        let start = Instant::now();
        let all_read = || self.readers.iter().all(JoinHandle::is_finished);
        while !all_read() && start.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The end of what it wrote, for messages.
    pub fn last_words(&self) -> String {
        let lines = [self.output.all(), self.errors.all()].concat();
        let from = lines.len().saturating_sub(12);
        lines[from..].join(" | ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a program wrote that came to its end.
pub struct Ended {
    pub status: ExitStatus,
    pub output: String,
    pub errors: String,
}

/// Runs a program to its end, whatever that is.
pub fn outcome(command: &mut Command) -> Result<Ended, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{name}: {error}"))?;
    let output = read_aside(child.stdout.take().expect("it is a pipe"));
    let errors = read_aside(child.stderr.take().expect("it is a pipe"));
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                drop(child.kill());
                drop(child.wait());
                return Err(format!("{name}: did not end in {PATIENCE:?}"));
            }
            Err(error) => return Err(format!("{name}: {error}")),
        }
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ended {
        status,
        output: text(output.join().unwrap_or_default()),
        errors: text(errors.join().unwrap_or_default()),
    })
}

/// Runs a program that is to succeed, and gives its output.
pub fn run(command: &mut Command) -> Result<String, String> {
    let ended = outcome(command)?;
    if ended.status.success() {
        return Ok(ended.output);
    }
    let name = command.get_program().to_string_lossy();
    let arguments: Vec<_> = command
        .get_args()
        .map(|part| part.to_string_lossy())
        .collect();
    let status = match ended.status.signal() {
        Some(signal) => format!("signal {signal}"),
        None => format!("status {}", ended.status.code().unwrap_or_default()),
    };
    let said = ended.errors.trim();
    Err(format!("{name} {}: {status}: {said}", arguments.join(" ")))
}

fn read_aside(mut source: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is what there is to see.
        drop(source.read_to_end(&mut bytes));
        bytes
    })
}

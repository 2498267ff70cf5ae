//! Lines from whoever sits at standard input: a person at a terminal, with
//! history and completion, or a script in a pipe.
//!
//! From a pipe the prompt and the line are written as well, so that what
//! comes out reads like a session at a terminal. The history lasts as long as
//! the program; nothing is kept on disk.

use std::borrow::Cow;
use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::event::Complete;

/// The longest line that is read from a pipe, in bytes: one that is longer
/// is cut, and its rest is the next line.
const LONGEST: u64 = 64 << 10;

/// Lines that can be called back.
const HISTORY: usize = 1000;

/// Reads lines from standard input.
pub struct Console {
    /// The debugger is wanted from the start.
    pub debugger: bool,
    source: Source,
}

enum Source {
    Person(Box<Editor<Words, MemHistory>>),
    Pipe,
}

impl Console {
    /// A terminal if standard input and output are one.
    pub fn new(debugger: bool) -> Console {
        let person = io::stdin().is_terminal() && io::stdout().is_terminal();
        let editor = person.then(editor).flatten();
        Console {
            debugger,
            source: editor.map_or(Source::Pipe, |editor| Source::Person(Box::new(editor))),
        }
    }

    /// The next line without its end, after `prompt`; `None` at the end of
    /// input. ^C gives an empty line.
    pub fn read_line(&mut self, prompt: &str, complete: Option<Complete>) -> Option<String> {
        match &mut self.source {
            Source::Person(editor) => ask(editor, prompt, complete),
            Source::Pipe => take(prompt),
        }
    }
}

fn editor() -> Option<Editor<Words, MemHistory>> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY)
        .ok()?
        .build();
    let history = MemHistory::with_config(&config);
    Editor::with_history(config, history).ok()
}

fn ask(
    editor: &mut Editor<Words, MemHistory>,
    prompt: &str,
    complete: Option<Complete>,
) -> Option<String> {
    editor.set_helper(Some(Words(complete)));
    let line = editor.readline(prompt);
    // The words are those of one Lua state, which may be gone next time.
    editor.set_helper(None);
    match line {
        Ok(line) => {
            if !line.trim().is_empty() {
                // A history that is full forgets its oldest line.
                let _ = editor.add_history_entry(line.as_str());
            }
            Some(line)
        }
        Err(ReadlineError::Interrupted) => Some(String::new()),
        Err(_) => {
            // The prompt's line is not ended by ^D.
            say("\n");
            None
        }
    }
}

fn take(prompt: &str) -> Option<String> {
    say(prompt);
    let mut bytes = Vec::new();
    let read = io::stdin()
        .lock()
        .take(LONGEST)
        .read_until(b'\n', &mut bytes);
    if read.is_err() || bytes.is_empty() {
        say("\n");
        return None;
    }
    let line = String::from_utf8_lossy(&bytes);
    let line = line.trim_end_matches(['\n', '\r']);
    say(&format!("{line}\n"));
    Some(line.to_owned())
}

/// A reader who has gone away misses nothing.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Completes words as the session at hand says.
struct Words(Option<Complete>);

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..at).unwrap_or(line);
        Ok(match &self.0 {
            Some(complete) => complete(before),
            None => (at, Vec::new()),
        })
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Borrowed(prompt)
    }
}

impl Validator for Words {}

impl Helper for Words {}

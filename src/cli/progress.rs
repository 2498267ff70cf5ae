//! A progress bar on standard error, if that is a terminal.

use std::io::{self, IsTerminal};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::console::Console;
use crate::worker::output::{Output, OutputError};
use crate::worker::replay::Watcher;

/// Shows how much of the captures has been read.
pub struct Progress {
    bar: Option<ProgressBar>,
    console: Option<Console>,
}

impl Progress {
    /// `size` is the length of all captures in bytes, if known. Where text
    /// goes to the same terminal, a bar would only tear it: then none is
    /// shown.
    pub fn new(size: Option<u64>) -> Progress {
        let wanted = io::stderr().is_terminal() && !io::stdout().is_terminal();
        let bar = wanted.then(|| match size {
            Some(size) => ProgressBar::new(size)
                .with_style(style("{bar:40} {percent:>3} %  {msg}, {eta} left")),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {msg}, {elapsed}")),
        });
        Progress { bar, console: None }
    }

    /// Somebody answers interactive rules and the debugger.
    pub fn with_console(mut self, console: Option<Console>) -> Progress {
        self.console = console;
        self
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Watcher for Progress {
    fn loaded(&mut self, _: &mut Output) -> Result<(), OutputError> {
        Ok(())
    }

    fn progress(&mut self, read: u64, frames: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(read);
            bar.set_message(format!("{} packets", HumanCount(frames)));
        }
    }

    fn console(&mut self) -> Option<Console> {
        self.console.take()
    }
}

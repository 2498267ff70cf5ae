//! The console of a run: whoever is asked for a line sees first what the run
//! has said so far.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::journal::Journal;
use super::output::Output;
use super::replay::flush;
use crate::alert::Alert;
use crate::console::Console;
use crate::event::{Complete, Level, Outward, StoreRequest, Terminal};

/// A journal whose speakers can ask for lines.
pub(super) struct Attended {
    pub journal: Rc<RefCell<Journal>>,
    pub desk: Rc<RefCell<Desk>>,
}

impl Outward for Attended {
    fn log(&mut self, level: Level, section: &str, text: &str) {
        self.journal.borrow_mut().log(level, section, text);
    }

    fn alert(&mut self, alert: &Alert) {
        self.journal.borrow_mut().alert(alert);
    }

    fn print(&mut self, text: &[u8], to_error: bool) {
        self.journal.borrow_mut().print(text, to_error);
    }

    fn store(&mut self, request: StoreRequest) {
        self.journal.borrow_mut().store(request);
    }

    fn nonce(&self) -> [u8; 16] {
        self.journal.borrow().nonce()
    }

    fn terminal(&self) -> Option<Rc<RefCell<dyn Terminal>>> {
        Some(self.desk.clone())
    }
}

/// A console in front of one worker's journal.
pub(super) struct Desk {
    console: Console,
    journal: Weak<RefCell<Journal>>,
    output: Rc<RefCell<Output>>,
}

impl Desk {
    /// A console before the rules that speak through `journal`.
    pub fn new(
        console: Console,
        journal: &Rc<RefCell<Journal>>,
        output: &Rc<RefCell<Output>>,
    ) -> Desk {
        Desk {
            console,
            journal: Rc::downgrade(journal),
            output: Rc::clone(output),
        }
    }

    /// An output that cannot be written ends the run after the frame.
    fn show(&self) {
        let Some(journal) = self.journal.upgrade() else {
            return;
        };
        let Ok(mut output) = self.output.try_borrow_mut() else {
            return;
        };
        if let Err(error) = flush(&journal, &mut output).and_then(|()| output.flush_text()) {
            output.fail_later(error);
        }
    }
}

impl Terminal for Desk {
    fn read_line(&mut self, prompt: &str, complete: Option<Complete>) -> Option<String> {
        self.show();
        self.console.read_line(prompt, complete)
    }

    fn debugger(&self) -> bool {
        self.console.debugger
    }
}

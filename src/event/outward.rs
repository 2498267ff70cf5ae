//! Where logs, alerts and printed text go, and where a person's lines come
//! from: given to the engine's side by the worker, which alone touches the
//! outside world.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::{Level, StoreRequest};
use crate::alert::Alert;

/// Takes what rules and the engine say, in order.
pub trait Outward {
    /// A log line that its section's level lets through.
    fn log(&mut self, level: Level, section: &str, text: &str);
    /// An alert or its update. `alert.id` is set: ids count from 1.
    fn alert(&mut self, alert: &Alert);
    /// Text that a rule prints, byte for byte, to standard output or error.
    fn print(&mut self, text: &[u8], to_error: bool);
    /// A request to a document store. Where nothing leads there, it ends.
    fn store(&mut self, request: StoreRequest);
    /// Bytes that no other run and no other worker has; where runs need not
    /// be told apart, zeros.
    fn nonce(&self) -> [u8; 16];
    /// Whoever can be asked for lines, if there is somebody.
    fn terminal(&self) -> Option<Rc<RefCell<dyn Terminal>>> {
        None
    }
}

/// Answers, for the text before the cursor, at which byte the word begins
/// that the candidates replace.
pub type Complete = Rc<dyn Fn(&str) -> (usize, Vec<String>)>;

/// A person at a terminal, or a script in a pipe.
pub trait Terminal {
    /// Shows everything that was said so far and the prompt, and gives the
    /// next line without its end; `None` at the end of input.
    fn read_line(&mut self, prompt: &str, complete: Option<Complete>) -> Option<String>;
    /// The debugger is wanted from the first line of the rule file on.
    fn debugger(&self) -> bool {
        false
    }
}

/// Gives the rule runtime the contents of files. Names are paths. What may be
/// read is decided here and nowhere else.
pub trait Loader {
    /// # Errors
    /// When the file cannot be read.
    fn read(&mut self, path: &str) -> std::io::Result<Vec<u8>>;
    /// A file of data, such as a database of addresses, which can be far
    /// larger than a rule file and be shared with other workers.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn data(&mut self, path: &str) -> std::io::Result<Arc<[u8]>> {
        Ok(self.read(path)?.into())
    }

    /// Writes a graph in the working directory, if the operator asked for
    /// graphs. `name` has no folder in it.
    ///
    /// # Errors
    /// When it cannot be written; always, unless a loader can.
    fn write_graph(&mut self, name: &str, text: &[u8]) -> std::io::Result<()> {
        let _ = (name, text);
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

//! Where logs, alerts and printed text go: given to the engine's side by
//! the worker, which alone touches the outside world.

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
    /// A request to a document store. Where nothing leads there, it ends here.
    fn store(&mut self, _request: StoreRequest) {}
    /// Bytes that no other run and no other worker has; where runs need not
    /// be told apart, zeros.
    fn nonce(&self) -> [u8; 16] {
        [0; 16]
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
}

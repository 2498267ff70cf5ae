//! Where logs, alerts and printed text go: given to the engine's side by
//! the worker, which alone touches the outside world.

use super::Level;
use crate::alert::Alert;

/// Takes what rules and the engine say, in order.
pub trait Outward {
    /// A log line that its section's level lets through.
    fn log(&mut self, level: Level, section: &str, text: &str);
    /// An alert or its update. `alert.id` is set: ids count from 1.
    fn alert(&mut self, alert: &Alert);
    /// Text that a rule prints, byte for byte, to standard output or error.
    fn print(&mut self, text: &[u8], to_error: bool);
}

/// Gives the rule runtime the text of files. Names are paths.
pub trait Loader {
    /// # Errors
    /// When the file cannot be read.
    fn read(&mut self, path: &str) -> std::io::Result<Vec<u8>>;
}

//! What can be told about traffic, and about what rules do to it.
//!
//! Works on what the engine tells its observers. Not here: who prints it
//! (`cli`), how flows are followed (`engine`, `proto`).

mod application;
pub mod explain;
pub mod flows;
mod history;
pub mod witness;

pub use flows::{Flow, Side, Stream, StreamState, Tracker};
pub use witness::Witness;

//! The way of a packet, told: what was decoded, which events and rules it
//! met, what became of it and who decided.
//!
//! `listening` hears the engine and its rules, `recorder` keeps what is
//! wanted, `spans` knows who is at work, `facts` and `layers` read the
//! engine's state and frames, `story` is the outcome as plain data.
//! Not here: running the capture (`worker::explain`), printing (`cli`).

mod facts;
mod layers;
mod listening;
mod recorder;
mod spans;
pub mod story;

pub use layers::{Layer, Layers};
pub use listening::Listening;
pub use recorder::{Arrival, Recorder, Target, Told};
pub use story::Account;

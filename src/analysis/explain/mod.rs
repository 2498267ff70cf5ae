//! The way of a packet, told: what was decoded, which events and rules it
//! met, what became of it and who decided.
//!
//! `recorder` listens to the engine and its rules, `spans` knows who is at
//! work, `layers` takes frames apart, `story` is the outcome as plain data.
//! Not here: running the capture (`worker::explain`), printing (`cli`).

mod layers;
mod recorder;
mod spans;
pub mod story;

pub use layers::{Layer, Layers};
pub use recorder::{Arrival, Listening, Recorder, Target, Told};
pub use story::Account;

//! Rules: loads rule files into a Lua state and delivers events to them.

pub mod runtime;

pub use runtime::{LoadError, Options, Runtime};

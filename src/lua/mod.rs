//! The Lua host; knows no protocol.

pub mod buf_api;
pub mod embed;
pub mod heap;
pub mod host;
mod interrupt;
mod line_hook;
pub mod pattern;
pub mod pause;
mod pool;
pub mod profile;
pub mod regexp_api;
pub mod watchdog;

pub use pause::Pause;

pub use host::{Entry, Failure, Host, Limits, Module};

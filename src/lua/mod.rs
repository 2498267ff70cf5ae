//! The Lua host; knows no protocol.

pub mod buf_api;
pub mod embed;
pub mod heap;
pub mod host;
pub mod pattern;
mod pool;
pub mod regexp_api;
pub mod watchdog;

pub use host::{Entry, Failure, Host, Limits, Module};

//! Rules: loads rule files into a Lua state and delivers events to them.
//!
//! `runtime` is the whole of it as others see it; `services` is what the
//! Lua library asks of the program, `alerts` brings its alerts into shape,
//! `bind` shows it the tables of fields, events and modules, `console` what
//! interactive sessions need, `watch` passes on what rules do where somebody
//! explains or profiles them.

mod alerts;
#[cfg(test)]
mod api_tests;
mod bind;
mod console;
mod runtime;
mod services;
mod watch;

pub use alerts::report;
pub use runtime::{LoadError, Options, Runtime};
pub use watch::Watch;

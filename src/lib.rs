//! Wero: a Lua-scriptable inline traffic inspection engine.
//!
//! Data flows one way. `capture` hands frames to `worker`, `engine` takes
//! them apart and raises events, rules (Lua, behind `lua`) decide, `engine`
//! puts the packets together again and gives each a verdict. The module
//! list below is in that order: a lower module never names a higher one
//! (`tests/layering.rs` checks it). Start reading at `engine`.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

pub mod addr;
pub mod alert;
pub mod time;

pub mod buf;
pub mod flow;
pub mod packet;
pub mod regexp;
pub mod stream;

pub mod event;

pub mod core;

pub mod lua;
pub mod misc;
pub mod proto;
pub mod rule;

pub mod engine;

pub mod analysis;
pub mod lint;
pub mod manual;

// Below this line the outside world is touched: files, clocks, sockets.
#[allow(clippy::disallowed_methods)]
pub mod capture;
#[allow(clippy::disallowed_methods)]
pub mod cli;
#[allow(clippy::disallowed_methods)]
pub mod console;
#[allow(clippy::disallowed_methods)]
pub mod gateway;
#[allow(clippy::disallowed_methods)]
pub mod sink;
#[allow(clippy::disallowed_methods)]
pub mod suite;
#[allow(clippy::disallowed_methods)]
pub mod worker;

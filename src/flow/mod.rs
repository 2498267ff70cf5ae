//! Flows: keyed look-up, fixed-address records, timers.

pub mod arena;
pub mod table;
pub mod timer;

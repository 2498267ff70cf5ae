//! What can be hooked, and what comes of it.

pub mod log;

//! The Lua host; knows no protocol.

pub mod buf_api;
pub mod pattern;

//! The captures that this project keeps, made from scenarios.
//!
//! `cargo run --example generate` writes them; `tests/captures.rs` checks that
//! the committed files are what the scenarios say. Nothing here uses the
//! library under test, so that both cannot be wrong in the same way.

pub mod catalog;
pub mod conversation;
pub mod hello;
pub mod pcap;
pub mod scenario;
pub mod wire;

//! Where packets come from.

#[cfg(feature = "async")]
pub mod asynchronous;
pub mod file;
pub mod views;

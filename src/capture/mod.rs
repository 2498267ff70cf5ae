//! Where packets come from, and where live ones go.

#[cfg(feature = "async")]
pub mod asynchronous;
#[cfg(target_os = "linux")]
pub mod conntrack;
pub mod file;
#[cfg(target_os = "linux")]
pub mod inject;
#[cfg(target_os = "linux")]
pub mod interface;
#[cfg(target_os = "linux")]
pub mod nfqueue;
#[cfg(target_os = "linux")]
pub(crate) mod system;
pub mod views;

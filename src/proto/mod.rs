//! One folder per protocol.

pub mod ip;
pub mod tcp;
pub mod udp;

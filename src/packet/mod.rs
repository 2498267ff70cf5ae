//! One packet: its bytes and where its headers are.

pub mod arrival;
pub mod build;
pub mod checksum;
pub mod decode;
pub mod fragment;
pub mod link;
pub mod malformed;
pub mod record;

pub use arrival::{Arrival, Devices, Payload};
pub use link::LinkType;
pub use malformed::{Fault, Layer, Malformed};

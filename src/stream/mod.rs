//! One direction of a byte stream, protocol-free.

pub mod assembler;
pub mod offset_map;
pub mod seq;

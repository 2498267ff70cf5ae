//! One folder per protocol.

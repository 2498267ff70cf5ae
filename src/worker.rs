//! One thread.

//! Lua patterns, step-limited.

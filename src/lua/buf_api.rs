//! Buffers as the Lua library sees them: C functions over `buf`.

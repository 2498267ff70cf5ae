//! Tests of the parts that need no kernel.

mod messages;
mod outbox;

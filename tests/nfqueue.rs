//! The kernel's packet queue and injection, against the kernel: each test in
//! a network namespace of its own. They need root and iptables; without, each
//! says that it is skipped.

#![cfg(target_os = "linux")]

#[path = "nfqueue/namespace.rs"]
mod namespace;
#[path = "nfqueue/packets.rs"]
mod packets;

#[path = "nfqueue/injection.rs"]
mod injection;
#[path = "nfqueue/limits.rs"]
mod limits;
#[path = "nfqueue/verdicts.rs"]
mod verdicts;

//! Live traffic through three network namespaces: real programs, real sockets,
//! the kernel's own TCP at both ends, and `wero run` on the gateway.
//!
//! Needs root. `make live` runs all of it, `make test` the quick part;
//! `cargo test --test live -- NAME` what is named so. `WERO_LIVE_PROGRAM`
//! names another program to try than the one just built.

mod body;
mod cases;
mod clients;
mod firewall;
mod harness;
mod http;
mod namespace;
mod net;
mod process;
mod programs;
mod random;
mod relay;
mod servers;
mod tap;
mod traffic;
mod wero;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run(&cases::all())
}

//! The program `hakapcap`, for scripts and tests written for Haka's.

use std::process::ExitCode;

fn main() -> ExitCode {
    wero::cli::hakapcap::main()
}

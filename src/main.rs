//! The program `wero`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wero::cli::wero()
}

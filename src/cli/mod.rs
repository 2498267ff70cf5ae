//! The command line: one file for each subcommand.
//!
//! Data (alerts, what rules print, flows) go to standard output, messages
//! (summary, progress, errors) to standard error. Exit codes are those of
//! `sysexits.h`; see [`Failure`].

mod doc;
mod doctor;
mod explain;
mod failure;
mod flows;
mod follow;
pub mod hakapcap;
mod lint;
mod options;
mod profile;
mod progress;
mod replay;
mod run;
mod sessions;
mod setup;
mod stop;
mod summary;
mod test;
mod traffic;
mod views;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use failure::Failure;

/// A Lua-scriptable inline traffic inspection engine.
#[derive(Debug, Parser)]
#[command(
    name = "wero",
    version,
    about,
    propagate_version = true,
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::Arguments),
    Run(run::Arguments),
    Explain(explain::Arguments),
    Profile(profile::Arguments),
    Flows(flows::Arguments),
    Sessions(sessions::Arguments),
    Follow(follow::Arguments),
    Setup(setup::Arguments),
    Doctor(doctor::Arguments),
    Test(test::Arguments),
    Lint(lint::Arguments),
    Doc(doc::Arguments),
}

/// Sends the operator's log (not rules' logs, which are data) to standard
/// error.
fn start_log() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
}

/// Runs `wero` with the arguments of the process.
pub fn wero() -> ExitCode {
    start_log();
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Replay(arguments) => replay::run(arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Profile(arguments) => profile::run(&arguments),
        Command::Flows(arguments) => flows::run(&arguments),
        Command::Sessions(arguments) => sessions::run(&arguments),
        Command::Follow(arguments) => follow::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Lint(arguments) => lint::run(&arguments),
        Command::Doc(arguments) => doc::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.code)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}

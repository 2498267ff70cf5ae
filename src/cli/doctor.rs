//! `wero doctor`: what an inline run needs, what is missing, how to mend it.

use std::io::{self, Write};

use serde::Serialize;

use super::Failure;
use super::setup::{ModeName, RuleOptions};
use crate::gateway::doctor::{Check, examine, would_run};

/// See what an inline run needs and what is missing.
///
/// A line for each thing that was looked at, with what to do about it. Nothing
/// is changed. Exit code 1 when a run would not work.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What would be led to queues.
    #[arg(value_enum, default_value_t = ModeName::Gateway)]
    mode: ModeName,
    #[command(flatten)]
    rules: RuleOptions,
    /// Write one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Findings<'a> {
    would_run: bool,
    checks: &'a [Check],
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.rules.enter_namespace()?;
    let checks = examine(&arguments.rules.plan(arguments.mode.mode()));
    let would_run = would_run(&checks);
    let text = match arguments.json {
        true => {
            let findings = Findings {
                would_run,
                checks: &checks,
            };
            let object = serde_json::to_string(&findings)
                .map_err(|error| Failure::new(Failure::SOFTWARE, error.to_string()))?;
            format!("{object}\n")
        }
        false => lines(&checks, would_run),
    };
    let written = io::stdout().write_all(text.as_bytes());
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(Failure::new(
            Failure::IO,
            format!("cannot write to standard output: {error}"),
        ));
    }
    match would_run {
        true => Ok(()),
        false => Err(Failure {
            code: Failure::RUN,
            messages: Vec::new(),
        }),
    }
}

fn lines(checks: &[Check], would_run: bool) -> String {
    let mut text = String::new();
    for check in checks {
        text.push_str(&format!(
            "{:<8} {:<11} {}\n",
            check.state.name(),
            check.name,
            check.text
        ));
        if let Some(mend) = &check.mend {
            text.push_str(&format!("{:21}-> {mend}\n", ""));
        }
    }
    text.push_str(match would_run {
        true => "a run would work\n",
        false => "a run would not work: see what is missing\n",
    });
    text
}

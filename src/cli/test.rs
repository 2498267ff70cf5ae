//! `wero test`: golden cases and tests in Lua, on rule files of the user.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Failure;
use super::options::parse_time;
use crate::suite::report::{Format, Report};
use crate::suite::{self, Case, Kind, Plan, unit};

/// Test rule files: golden cases and tests in Lua.
///
/// A golden case is a folder with a rule (`case.lua` or `rule.lua`, or the file
/// beside the folder with its name), a capture `input.pcap`, and what a replay
/// prints (`expected.txt`) and lets out (`expected.pcap`). Lua tests stand in
/// `test_*.lua` and `*_test.lua`. Exit code 1 when a test fails.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folders to look for tests in, or files.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Only tests with TEXT in their name; several mean one of them.
    #[arg(short, long, value_name = "TEXT")]
    filter: Vec<String>,
    /// Cases that run at a time; by default one for each processor.
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// Make what comes out what is expected; read the difference afterwards.
    #[arg(long)]
    update: bool,
    /// How results are written.
    #[arg(long, value_enum, default_value_t = FormatName::Text)]
    format: FormatName,
    /// Write results to FILE instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Time that a case, or a file of Lua tests, may take.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    timeout: Duration,
    /// Run the one Lua file in this process: what `wero test` itself does.
    #[arg(long, value_name = "FILE", hide = true)]
    results: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FormatName {
    Text,
    Tap,
    Junit,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let plan = plan(arguments)?;
    if let (Some(results), [file]) = (&arguments.results, arguments.paths.as_slice()) {
        return unit::serve(&plan, file, results).map_err(|error| {
            let text = format!("cannot write '{}': {error}", results.display());
            Failure::new(Failure::IO, text)
        });
    }
    let cases = suite::find(&arguments.paths)
        .map_err(|error| Failure::new(Failure::NO_INPUT, error.to_string()))?;
    let out = open(arguments)?;
    let start = Instant::now();
    let counts = results(&plan, &cases, arguments, out).map_err(|error| {
        let text = match &arguments.output {
            Some(path) => format!("cannot write '{}': {error}", path.display()),
            None => format!("cannot write to standard output: {error}"),
        };
        Failure::new(Failure::IO, text)
    })?;
    if counts.all() == 0 {
        return Err(nothing_found(arguments, &cases));
    }
    let summary = counts.summary(start.elapsed());
    // The other formats have nothing but results in them.
    match arguments.format == FormatName::Text && arguments.output.is_none() {
        true => println!("{summary}"),
        false => eprintln!("{summary}"),
    }
    match counts.failed {
        0 => Ok(()),
        _ => Err(Failure {
            code: Failure::RUN,
            messages: Vec::new(),
        }),
    }
}

fn plan(arguments: &Arguments) -> Result<Plan, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        let text = format!("cannot find the program that is running: {error}");
        Failure::new(Failure::SOFTWARE, text)
    })?;
    let jobs = arguments
        .jobs
        .or_else(|| std::thread::available_parallelism().ok());
    Ok(Plan {
        program,
        filters: arguments.filter.clone(),
        update: arguments.update,
        timeout: arguments.timeout,
        jobs: jobs.map_or(1, NonZero::get),
    })
}

fn open(arguments: &Arguments) -> Result<Box<dyn Write>, Failure> {
    let Some(path) = &arguments.output else {
        return Ok(Box::new(io::stdout()));
    };
    let file = File::create(path).map_err(|error| {
        let text = format!("cannot create '{}': {error}", path.display());
        Failure::new(Failure::NO_OUTPUT, text)
    })?;
    Ok(Box::new(BufWriter::new(file)))
}

fn results(
    plan: &Plan,
    cases: &[Case],
    arguments: &Arguments,
    out: Box<dyn Write>,
) -> io::Result<suite::report::Counts> {
    let format = match arguments.format {
        FormatName::Text => Format::Text,
        FormatName::Tap => Format::Tap,
        FormatName::Junit => Format::Junit,
    };
    let start = Instant::now();
    let mut report = Report::begin(format, out)?;
    suite::run(plan, cases, |tests| {
        tests.into_iter().try_for_each(|test| report.add(test))
    })?;
    report.end(start.elapsed())
}

fn nothing_found(arguments: &Arguments, cases: &[Case]) -> Failure {
    let paths: Vec<String> = arguments
        .paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let files = cases
        .iter()
        .filter(|case| matches!(case.kind, Kind::Unit(_)))
        .count();
    let text = match (cases.len(), files) {
        (0, _) => format!(
            "no tests in {}: neither folders with 'input.pcap' nor files 'test_*.lua'",
            paths.join(", ")
        ),
        (cases, files) => format!(
            "no test has '{}' in its name, of {} cases and {files} files",
            arguments.filter.join("' or '"),
            cases - files
        ),
    };
    Failure::new(Failure::USAGE, text)
}

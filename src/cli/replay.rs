//! `wero replay`: rules on captures, with alerts, verdicts and the packets
//! that would have been let through.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::Failure;
use super::failure::check_order;
use super::options::EngineOptions;
use super::progress::Progress;
use super::summary::Summary;
use crate::capture::file::CaptureWriter;
use crate::console::Console;
use crate::sink::{AlertText, Layout};
use crate::worker::Wanted;
use crate::worker::captures::Captures;
use crate::worker::output::{AlertForm, Output};
use crate::worker::replay::{Plan, replay};

/// The most workers: each has a Lua state and a flow table of its own.
const MAX_WORKERS: i64 = 256;

/// Replay captures through a rule file.
///
/// Alerts and what rules print go to standard output, the summary to standard
/// error. Several captures are one run: connections go on from one to the
/// next. `-` is standard input.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rule file.
    #[arg(value_name = "RULES.lua")]
    rules: PathBuf,
    /// Captures: pcap or pcapng, also compressed with gzip or zstd.
    #[arg(value_name = "CAPTURE", required = true)]
    captures: Vec<PathBuf>,
    /// Write the packets that leave: as pcapng if OUT ends so, else pcap.
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Rules only look on, at copies: packets leave as they came. What rules
    /// would have done is counted.
    #[arg(long)]
    monitor: bool,
    /// How alerts are written: text, json, or a file to append JSON lines to.
    #[arg(long, value_name = "text|json|FILE", default_value = "text")]
    alerts: String,
    /// Name each refused packet on standard error, with its reason and the
    /// rule's file and line.
    #[arg(long)]
    drops: bool,
    /// Log levels: fatal, error, warn, info, debug or trace, also by section.
    #[arg(short, long, value_name = "LEVEL[,SECTION=LEVEL]")]
    log: Option<String>,
    /// Show every counter that is not zero in the summary.
    #[arg(long)]
    stats: bool,
    /// Threads; each has its own flows and its own globals of the rules.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MAX_WORKERS))]
    workers: u16,
    #[command(flatten)]
    engine: EngineOptions,
    /// Attach the Lua debugger: it stops at the first line of the rule file,
    /// at breakpoints, at errors and at ^C.
    #[arg(long)]
    debug_lua: bool,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let console = console(&arguments)?;
    check_order(&arguments.rules, &arguments.captures)?;
    let captures = Captures::open(&arguments.captures)?;
    let mut output = open_output(&arguments, &captures)?;
    let mut progress = Progress::new(captures.size()).with_console(console);
    let plan = plan(&arguments);

    let outcome = replay(&plan, captures, &mut output, &mut progress);
    progress.clear();
    let alerts = output.alerts();
    let finished = output.finish();
    let outcome = outcome?;
    finished?;
    let summary = Summary {
        stats: &outcome.stats,
        alerts,
        elapsed: outcome.elapsed,
        monitor: arguments.monitor,
        details: arguments.stats,
    };
    eprint!("{}", summary.text());
    Failure::of_captures(&outcome.faults).map_or(Ok(()), Err)
}

/// Whoever sits at standard input, unless a capture comes from there.
fn console(arguments: &Arguments) -> Result<Option<Console>, Failure> {
    let taken = arguments
        .captures
        .iter()
        .any(|path| path.as_os_str() == "-");
    match (arguments.debug_lua, taken, arguments.workers) {
        (true, true, _) => Err(Failure::new(
            Failure::USAGE,
            "--debug-lua reads commands from standard input, which is a capture here: give the capture as a file",
        )),
        (true, _, 2..) => Err(Failure::new(
            Failure::USAGE,
            "--debug-lua works with one worker only: leave out --workers",
        )),
        (_, true, _) => Ok(None),
        (debugger, ..) => Ok(Some(Console::new(debugger))),
    }
}

fn plan(arguments: &Arguments) -> Plan {
    Plan {
        settings: arguments.engine.settings(),
        rule_file: arguments.rules.clone(),
        module_dirs: Vec::new(),
        limits: arguments.engine.limits(),
        levels: levels(arguments.log.as_deref()),
        wanted: Wanted {
            packets: arguments.output.is_some(),
            refusals: arguments.drops,
            monitor: arguments.monitor,
        },
        workers: usize::from(arguments.workers),
    }
}

/// The program's own start-up lines would stand among the data: they are
/// shown only to those who choose a level for everything.
pub(super) fn levels(list: Option<&str>) -> Vec<String> {
    let for_all = list.is_some_and(|list| list.split(',').any(|part| !part.contains('=')));
    let quiet = (!for_all).then(|| "core=warn,dissector=warn,capture=warn".to_owned());
    quiet.into_iter().chain(list.map(str::to_owned)).collect()
}

/// The output of a run whose alerts go where `--alerts` says.
pub(super) fn open_alerts(alerts: &str) -> Result<Output, Failure> {
    let colour = io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let text = AlertForm::Text(AlertText {
        layout: Layout::Pretty,
        colour,
    });
    Ok(match alerts {
        "text" => Output::new(colour, text),
        "json" => Output::new(colour, AlertForm::Json),
        file => {
            let mut output = Output::new(colour, AlertForm::Json);
            output.alerts_to(file, open_to_append(file)?);
            output
        }
    })
}

fn open_output(arguments: &Arguments, captures: &Captures) -> Result<Output, Failure> {
    let mut output = open_alerts(&arguments.alerts)?;
    if let Some(path) = &arguments.output {
        refuse_to_overwrite(path, &arguments.captures)?;
        output.packets_to(CaptureWriter::create(
            path,
            captures.link(),
            captures.resolution(),
        )?);
    }
    output.tell_refusals = arguments.drops;
    Ok(output)
}

/// Opens a file for alerts.
pub(super) fn open_to_append(name: &str) -> Result<File, Failure> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(name)
        .map_err(|error| {
            Failure::new(
                Failure::NO_OUTPUT,
                format!("cannot create '{name}': {error}"),
            )
        })
}

/// Creating the output empties it: it must not be a capture yet to be read.
pub(super) fn refuse_to_overwrite(output: &Path, captures: &[PathBuf]) -> Result<(), Failure> {
    let Ok(target) = output.canonicalize() else {
        return Ok(());
    };
    let same = |path: &&PathBuf| {
        path.canonicalize()
            .is_ok_and(|path| path == target && path.is_file())
    };
    match captures.iter().find(same) {
        Some(path) => Err(Failure::new(
            Failure::NO_OUTPUT,
            format!(
                "'{}' is also the output: it would be emptied before it is read",
                path.display()
            ),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_up_lines_are_for_those_who_choose_a_level() {
        assert_eq!(levels(None), ["core=warn,dissector=warn,capture=warn"]);
        assert_eq!(
            levels(Some("tcp=debug")),
            ["core=warn,dissector=warn,capture=warn", "tcp=debug"]
        );
        assert_eq!(levels(Some("debug,tcp=warn")), ["debug,tcp=warn"]);
    }

    #[test]
    fn an_input_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let path = folder.path().join("in.pcap");
        std::fs::write(&path, b"x").expect("the folder is writable");
        let again = folder.path().join(".").join("in.pcap");
        assert!(refuse_to_overwrite(&again, std::slice::from_ref(&path)).is_err());
        assert!(refuse_to_overwrite(&folder.path().join("out.pcap"), &[path]).is_ok());
    }
}

//! `hakapcap`: a rule file on a capture, as Haka 0.4's program of that name.
//!
//! Options, log lines and exit codes are Haka's; the profile is `haka`. What
//! Wero adds (several captures, workers, a summary) has no place here: that
//! is `wero replay`.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Parser};

use super::Failure;
use super::replay::{open_to_append, refuse_to_overwrite};
use crate::capture::file::CaptureWriter;
use crate::console::Console;
use crate::event::LogFilter;
use crate::event::{Level, Profile, Settings};
use crate::lua::Limits;
use crate::sink::{AlertText, Layout};
use crate::worker::Wanted;
use crate::worker::captures::Captures;
use crate::worker::output::{AlertForm, Output, OutputError};
use crate::worker::replay::{Plan, ReplayError, Watcher, replay};

const USAGE: &str = "Usage: hakapcap [options] <rule file> <pcap file>";

/// Replay a capture through a Haka rule file.
#[derive(Debug, Parser)]
#[command(
    name = "hakapcap",
    disable_version_flag = true,
    override_usage = "hakapcap [options] <rule file> <pcap file>"
)]
struct Arguments {
    /// Display version information.
    #[arg(long)]
    version: bool,
    /// Display debug output.
    #[arg(short, long, action = ArgAction::Count)]
    debug: u8,
    /// Set the log level: fatal, error, warn, info, debug, also by section.
    #[arg(short, long = "loglevel", value_name = "LEVEL")]
    loglevel: Option<String>,
    /// Append alerts to a file.
    #[arg(short, long = "alert-to", value_name = "FILE")]
    alert_to: Option<String>,
    /// Activate the Lua debugger.
    #[arg(long)]
    debug_lua: bool,
    /// Write the graphs of grammars and state machines as dot files.
    #[arg(long)]
    dump_dissector_graph: bool,
    /// Packets cannot be changed (the default).
    #[arg(long, overrides_with = "no_pass_through")]
    pass_through: bool,
    /// Packets can be changed.
    #[arg(long, overrides_with = "pass_through")]
    no_pass_through: bool,
    /// Write accepted packets to a capture.
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
    #[arg(value_name = "FILES", hide = true)]
    files: Vec<PathBuf>,
}

/// Runs `hakapcap` with the arguments of the process.
pub fn main() -> ExitCode {
    let arguments = match parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    if arguments.version {
        println!(
            "version {}, arch {}, luajit",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::ARCH
        );
        println!("API version 2");
        return ExitCode::SUCCESS;
    }
    let [rules, capture] = arguments.files.as_slice() else {
        println!("{USAGE}");
        return ExitCode::from(Failure::USAGE);
    };
    match run(&arguments, rules.clone(), capture.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Usage(message)) => {
            eprintln!("{message}");
            ExitCode::from(Failure::USAGE)
        }
        Err(Stop::Fatal(message)) => {
            eprintln!("fatal core: {message}");
            ExitCode::from(Failure::RUN)
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    Arguments::try_parse_from(arguments).map_err(|error| {
        // What cannot be shown has nobody to see it.
        let _ = error.print();
        match error.kind() {
            ErrorKind::DisplayHelp => ExitCode::SUCCESS,
            _ => ExitCode::from(Failure::USAGE),
        }
    })
}

/// Why the run ends early.
enum Stop {
    Usage(String),
    Fatal(String),
}

impl From<OutputError> for Stop {
    fn from(error: OutputError) -> Stop {
        Stop::Fatal(error.to_string())
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Fatal(failure.messages.join("; "))
    }
}

/// What Haka calls its modules; their names stand in the log.
const MODULES: [(&str, &str); 2] = [
    ("capture/pcap.so", "Pcap Module"),
    ("alert/file.so", "File alert"),
];

fn run(arguments: &Arguments, rules: PathBuf, capture: PathBuf) -> Result<(), Stop> {
    let mut core = CoreLog::new(arguments)?;
    let pass_through = !arguments.no_pass_through;
    let colour = io::stdout().is_terminal();
    let mut output = Output::new(
        colour,
        AlertForm::Text(AlertText {
            layout: Layout::Pretty,
            colour,
        }),
    );
    for (file, name) in MODULES {
        core.info(
            &mut output,
            "core",
            &format!("load module '{file}', {name}"),
        )?;
    }
    if let Some(name) = &arguments.alert_to {
        output.alerts_to(name, open_to_append(name)?);
    }
    if pass_through {
        core.info(
            &mut output,
            "core",
            "setting packet capture mode to pass-through\n",
        )?;
    }
    core.info(
        &mut output,
        "core",
        &format!("loading rule file '{}'", rules.display()),
    )?;
    core.info(&mut output, "core", "initializing thread 0")?;
    core.info(
        &mut output,
        "capture",
        &format!("opening file '{}'", capture.display()),
    )?;
    let captures = Captures::open(std::slice::from_ref(&capture)).map_err(Failure::from)?;
    if let Some(path) = &arguments.output {
        refuse_to_overwrite(path, &[capture])?;
        let writer = CaptureWriter::create(path, captures.link(), captures.resolution());
        output.packets_to(writer.map_err(Failure::from)?);
    }

    let plan = plan(arguments, rules, pass_through);
    let outcome = replay(&plan, captures, &mut output, &mut core);
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            // What was said before stands before the fatal line.
            output.finish()?;
            return Err(Stop::Fatal(match error {
                ReplayError::Rules(_) => "thread initialization error".to_owned(),
                other => other.to_string(),
            }));
        }
    };
    for fault in &outcome.faults {
        core.say(&mut output, Level::Error, "capture", &fault.to_string())?;
    }
    for (_, name) in MODULES {
        core.info(&mut output, "core", &format!("unload module '{name}'"))?;
    }
    Ok(output.finish()?)
}

fn plan(arguments: &Arguments, rule_file: PathBuf, pass_through: bool) -> Plan {
    let prefix = std::env::var_os("HAKA_PATH").map(PathBuf::from);
    let module_dirs = prefix.iter().flat_map(|prefix| {
        [
            prefix.join("share/haka/core"),
            prefix.join("share/haka/modules"),
        ]
    });
    Plan {
        settings: Settings {
            pass_through,
            dump_graphs: arguments.dump_dissector_graph,
            ..Settings::new(Profile::Haka)
        },
        rule_file,
        module_dirs: module_dirs.collect(),
        limits: Limits::default(),
        levels: levels(arguments),
        wanted: Wanted {
            packets: arguments.output.is_some(),
            ..Wanted::default()
        },
        workers: 1,
    }
}

fn levels(arguments: &Arguments) -> Vec<String> {
    let debug = match arguments.debug {
        0 => None,
        1 => Some("debug"),
        _ => Some("trace"),
    };
    debug
        .map(str::to_owned)
        .into_iter()
        .chain(arguments.loglevel.clone())
        .collect()
}

/// The log lines of the program itself.
struct CoreLog {
    filter: LogFilter,
    console: Option<Console>,
}

impl CoreLog {
    fn new(arguments: &Arguments) -> Result<CoreLog, Stop> {
        let mut filter = LogFilter::default();
        for list in levels(arguments) {
            filter
                .apply(&list)
                .map_err(|error| Stop::Usage(error.to_string()))?;
        }
        let console = Some(Console::new(arguments.debug_lua));
        Ok(CoreLog { filter, console })
    }

    fn info(&mut self, output: &mut Output, section: &str, text: &str) -> Result<(), OutputError> {
        self.say(output, Level::Info, section, text)
    }

    fn say(
        &mut self,
        output: &mut Output,
        level: Level,
        section: &str,
        text: &str,
    ) -> Result<(), OutputError> {
        match self.filter.enabled(level, section) {
            true => output.log(level, section, text),
            false => Ok(()),
        }
    }
}

impl Watcher for CoreLog {
    fn loaded(&mut self, output: &mut Output) -> Result<(), OutputError> {
        self.info(output, "core", "starting single threaded processing\n")
    }

    fn progress(&mut self, _: u64, _: u64) {}

    fn console(&mut self) -> Option<Console> {
        self.console.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Arguments {
        parse(line.split(' ').map(OsString::from)).expect("a good command line")
    }

    #[test]
    fn the_last_word_on_pass_through_wins() {
        assert!(
            !parsed("hakapcap a.lua b.pcap").no_pass_through,
            "pass-through is the default"
        );
        assert!(parsed("hakapcap --no-pass-through a.lua b.pcap").no_pass_through);
        assert!(!parsed("hakapcap --no-pass-through --pass-through a.lua b.pcap").no_pass_through);
        assert!(parsed("hakapcap --pass-through --no-pass-through a.lua b.pcap").no_pass_through);
    }

    #[test]
    fn debug_comes_before_the_level_list() {
        assert_eq!(
            levels(&parsed("hakapcap -d -l warn,tcp=debug a b")),
            ["debug", "warn,tcp=debug"]
        );
        assert_eq!(levels(&parsed("hakapcap -dd a b")), ["trace"]);
    }
}

//! `wero explain`: the way of one packet or flow through rules and engine.

mod text;

pub(super) use text::duration;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use super::Failure;
use super::failure::check_order;
use super::options::EngineOptions;
use crate::analysis::explain::Target;
use crate::worker::Wanted;
use crate::worker::captures::Captures;
use crate::worker::explain::{Explained, explain};
use crate::worker::replay::Plan;

/// Tell what happens to a packet or a flow, and who decided.
///
/// Replays the captures as `wero replay` does, with the same options, until
/// the packet has its verdict. What rules print and log stands in the story.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
pub struct Arguments {
    /// The rule file.
    #[arg(value_name = "RULES.lua")]
    rules: PathBuf,
    /// Captures: pcap or pcapng, also compressed with gzip or zstd.
    #[arg(value_name = "CAPTURE", required = true)]
    captures: Vec<PathBuf>,
    /// The packet, by its number in the capture, from 1.
    #[arg(long, value_name = "N", group = "target", value_parser = clap::value_parser!(u64).range(1..))]
    packet: Option<u64>,
    /// All packets of a flow, by the flow's number in this run; the story of
    /// a packet names its flow.
    #[arg(long, value_name = "N", group = "target", value_parser = clap::value_parser!(u64).range(1..))]
    flow: Option<u64>,
    /// JSON instead of text: an object for each packet, one a line.
    #[arg(long)]
    json: bool,
    /// Leave out how long rules took, so that the same run gives the same
    /// text.
    #[arg(long)]
    no_times: bool,
    #[command(flatten)]
    engine: EngineOptions,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_order(&arguments.rules, &arguments.captures)?;
    let captures = Captures::open(&arguments.captures)?;
    let target = match (arguments.packet, arguments.flow) {
        (Some(packet), _) => Target::Packet(packet),
        (None, flow) => Target::Flow(flow.unwrap_or(1)),
    };
    let plan = Plan {
        settings: arguments.engine.settings(),
        rule_file: arguments.rules.clone(),
        module_dirs: Vec::new(),
        limits: arguments.engine.limits(),
        levels: vec!["core=warn,dissector=warn,capture=warn".to_owned()],
        wanted: Wanted::default(),
        workers: 1,
    };
    let explained = explain(&plan, captures, target, !arguments.no_times)?;
    if explained.told.accounts.is_empty() {
        return Err(nothing_found(target, &explained));
    }
    match print(arguments, target, &explained) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.map_err(|error| Failure::new(Failure::IO, error.to_string()))?,
    }
    Failure::of_captures(&explained.faults).map_or(Ok(()), Err)
}

fn print(arguments: &Arguments, target: Target, explained: &Explained) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if arguments.json {
        for account in &explained.told.accounts {
            serde_json::to_writer(&mut out, account)?;
            writeln!(out)?;
        }
        return out.flush();
    }
    let text = match target {
        Target::Packet(_) => explained.told.accounts.iter().map(text::packet).collect(),
        Target::Flow(number) => text::flow(number, &explained.told),
    };
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn nothing_found(target: Target, explained: &Explained) -> Failure {
    if let Some(failure) = Failure::of_captures(&explained.faults) {
        return failure;
    }
    let packets = explained.packets;
    let text = match target {
        Target::Packet(number) => {
            format!("there is no packet {number}: the rules were given {packets} packets")
        }
        Target::Flow(number) => format!(
            "there is no flow {number} in the {packets} packets; `wero explain --packet N` names the flow of a packet"
        ),
    };
    Failure::new(Failure::RUN, text)
}

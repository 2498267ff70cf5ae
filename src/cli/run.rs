//! `wero run`: rules on live traffic that the firewall hands to queues.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::options::{EngineOptions, parse_size, parse_time};
use super::replay::{levels, open_alerts};
use super::setup::{self, ModeName, RuleOptions, StanceName};
use super::summary::{Summary, count};
use super::{Failure, stop};
use crate::gateway::{self, Mode, Queues, Stance, selftest};
use crate::worker::Wanted;
use crate::worker::inline::{self, Figures, InlineError, Plan, Stances, Watcher};
use crate::worker::replay;

/// Bytes of one direction that wait for readers, and behind a hole: more
/// would only stand in the kernel's queue.
const MAX_HELD: u32 = 1 << 20;
/// Segments of one direction that wait behind a hole.
const MAX_QUEUED: u32 = 1024;
/// Packets that the engine must have room for.
const FEWEST: u32 = 256;
/// Time between two lines of statistics on a terminal.
const STATISTICS: Duration = Duration::from_secs(10);
/// A rule that was stopped so often at its time budget is taken out of
/// service.
const MAX_OVERRUNS: u32 = 5;

/// Run a rule file on live traffic.
///
/// Packets come from netfilter queues, one worker for each, and get their
/// verdicts from the rules. With --setup the firewall rules that lead there
/// are made for the time of the run; otherwise they are yours, or those of
/// `wero setup`. Stop with ^C or SIGTERM.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rule file.
    #[arg(value_name = "RULES.lua")]
    rules: PathBuf,
    /// That many queues, from the first one on.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(Queues::MAX)))]
    workers: Option<u16>,
    /// Lead traffic to the queues for the time of the run: what passes
    /// through this machine, what it sends and receives, or what its bridges
    /// carry.
    #[arg(long, value_enum, value_name = "MODE")]
    setup: Option<ModeName>,
    #[command(flatten)]
    firewall: RuleOptions,
    /// Rules only look on, at copies: packets leave at once as they came.
    #[arg(long)]
    monitor: bool,
    /// Packets that find the queue full.
    #[arg(long, value_enum, value_name = "STANCE", default_value_t = StanceName::Open)]
    on_overload: StanceName,
    /// Packets once the run was stopped; closed leaves a rule that drops them,
    /// which `wero setup --clean` removes.
    #[arg(long, value_enum, value_name = "STANCE", default_value_t = StanceName::Open)]
    on_stop: StanceName,
    /// Packets and connections whose rule fails or is stopped.
    #[arg(long, value_enum, value_name = "STANCE", default_value_t = StanceName::Closed)]
    on_rule_error: StanceName,
    /// Packets that may wait in each queue.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(64..=1 << 20))]
    queue_length: u32,
    /// Profile haka: follow connections that were open already for so long
    /// after the start; later, segments of unknown ones are dropped. (Profile
    /// wero always follows them.)
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_interval)]
    grace: Duration,
    /// Let the rest of a flow skip the queue after so many bytes.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    bypass_after: Option<u64>,
    /// Let the rest of a TLS connection skip the queue once its handshake was
    /// judged.
    #[arg(long)]
    bypass_tls: bool,
    /// How alerts are written: text, json, or a file to append JSON lines to.
    #[arg(long, value_name = "text|json|FILE", default_value = "text")]
    alerts: String,
    /// Log levels: fatal, error, warn, info, debug or trace, also by section.
    #[arg(short, long, value_name = "LEVEL[,SECTION=LEVEL]")]
    log: Option<String>,
    /// Time between two lines of statistics on standard error; 0s for none.
    /// By default 10s on a terminal.
    #[arg(long, value_name = "TIME", value_parser = parse_interval)]
    stats: Option<Duration>,
    #[command(flatten)]
    engine: EngineOptions,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.firewall.enter_namespace()?;
    let plan = plan(arguments)?;
    let mut output = open_alerts(&arguments.alerts)?;
    let stop = stop::on_signals()?;
    let mut teller = Teller::new(arguments, usize::from(plan.queues.count()));
    let outcome = inline::run(&plan, &mut output, &stop, &mut teller);
    let alerts = output.alerts();
    let finished = output.finish();
    let outcome = outcome?;
    finished?;
    let stats: Vec<_> = outcome
        .figures
        .iter()
        .map(|figures| figures.stats.clone())
        .collect();
    let summary = Summary {
        stats: &stats,
        alerts,
        elapsed: outcome.elapsed,
        monitor: arguments.monitor,
        details: true,
    };
    eprint!("{}{}", summary.text(), of_queues(&outcome.figures));
    Ok(())
}

fn plan(arguments: &Arguments) -> Result<Plan, Failure> {
    let mut setup = arguments
        .firewall
        .plan(arguments.setup.map_or(Mode::Gateway, ModeName::mode));
    if let Some(workers) = arguments.workers {
        setup.queues = Queues::new(setup.queues.first(), workers)
            .map_err(|error| Failure::new(Failure::USAGE, error.to_string()))?;
    }
    let queues = setup.queues;
    let closed = |stance: StanceName| stance.stance() == Stance::Closed;
    if arguments.setup.is_none() && (closed(arguments.on_stop) || setup.on_crash == Stance::Closed)
    {
        return Err(Failure::new(
            Failure::USAGE,
            "--on-stop and --on-crash are for rules that --setup makes: give them to `wero setup` otherwise",
        ));
    }
    let stances = Stances {
        on_overload: arguments.on_overload.stance(),
        on_crash: setup.on_crash,
        on_stop: arguments.on_stop.stance(),
        on_rule_error: arguments.on_rule_error.stance(),
    };
    let mut settings = arguments.engine.settings_over(|settings| {
        settings.live = true;
        settings.hold_bytes = MAX_HELD;
        settings.reassembly_bytes = MAX_HELD;
        settings.reassembly_segments = MAX_QUEUED;
        // Packets that are held fill the kernel's queue: at half of it the
        // oldest leave.
        settings.max_packets = (arguments.queue_length / 2).max(FEWEST);
    });
    settings.passes_unseen = stances.on_overload == Stance::Open;
    settings.pass_through = arguments.monitor;
    settings.pass_on_error = stances.on_rule_error == Stance::Open;
    settings.max_overruns = MAX_OVERRUNS;
    settings.bypass_bytes = arguments.bypass_after.unwrap_or(0);
    settings.bypass_tls = arguments.bypass_tls;
    settings.grace = arguments.grace;
    Ok(Plan {
        rules: replay::Plan {
            settings,
            rule_file: arguments.rules.clone(),
            module_dirs: Vec::new(),
            limits: arguments.engine.limits(),
            levels: levels(arguments.log.as_deref()),
            wanted: Wanted {
                monitor: arguments.monitor,
                ..Wanted::default()
            },
            workers: usize::from(queues.count()),
        },
        queues,
        queue_length: arguments.queue_length,
        marks: setup.marks,
        stances,
        setup: arguments.setup.is_some().then_some(setup),
        backend: arguments.firewall.backend(),
    })
}

/// Tells on standard error how the run goes.
struct Teller {
    every: Duration,
    last: Instant,
    /// The latest figures of each worker.
    figures: Vec<Figures>,
    /// Packets and bytes at the last line.
    told: (u64, u64),
}

impl Teller {
    fn new(arguments: &Arguments, workers: usize) -> Teller {
        let usual = match io::stderr().is_terminal() {
            true => STATISTICS,
            false => Duration::ZERO,
        };
        Teller {
            every: arguments.stats.unwrap_or(usual),
            last: Instant::now(),
            figures: vec![Figures::default(); workers],
            told: (0, 0),
        }
    }

    fn sum(&self, field: impl Fn(&Figures) -> u64) -> u64 {
        self.figures.iter().map(field).sum()
    }

    fn line(&mut self) -> String {
        let seconds = self.last.elapsed().as_secs_f64().max(0.001);
        let (packets, bytes) = (
            self.sum(|one| one.queue.received),
            self.sum(|one| one.queue.bytes),
        );
        let per_second = (packets.saturating_sub(self.told.0)) as f64 / seconds;
        let bits = (bytes.saturating_sub(self.told.1)) as f64 * 8.0 / seconds;
        self.told = (packets, bytes);
        self.last = Instant::now();
        format!(
            "{} packets/s, {:.1} Mbit/s; {} packets, {} flows, {} dropped, {} rewritten, {} injected, {} bypassed flows, {} rule errors, {} lost",
            count(per_second as u64),
            bits / 1e6,
            count(packets),
            count(self.sum(|one| one.stats.flows)),
            count(self.sum(|one| one.stats.drops.total())),
            count(self.sum(|one| one.stats.rewritten)),
            count(self.sum(|one| one.stats.injected)),
            count(self.sum(|one| one.stats.flows_bypassed)),
            count(self.sum(|one| one.stats.rule_errors)),
            count(self.sum(|one| one.queue.lost)),
        )
    }
}

impl Watcher for Teller {
    fn granted(&mut self, granted: &str) {
        eprintln!("{granted}");
    }

    fn tested(&mut self, tool: gateway::Backend, outcome: &selftest::Outcome) {
        eprintln!("self-test with {tool}: {outcome}");
    }

    fn ready(&mut self, plan: &Plan, diverted: Option<&gateway::Applied>) {
        eprintln!("stances: {}", plan.stances);
        match diverted {
            Some(applied) => tell_setup(plan, applied),
            None => tell_who_diverts(plan),
        }
        eprintln!(
            "ready: {} on {}",
            plan.rules.rule_file.display(),
            plan.queues
        );
    }

    fn figures(&mut self, lane: usize, figures: &Figures) {
        if let Some(own) = self.figures.get_mut(lane) {
            *own = figures.clone();
        }
    }

    fn tick(&mut self) {
        if !self.every.is_zero() && self.last.elapsed() >= self.every {
            eprintln!("{}", self.line());
        }
    }
}

/// What was done to the firewall for this run.
fn tell_setup(plan: &Plan, applied: &gateway::Applied) {
    if let Some(setup) = &plan.setup {
        eprintln!("firewall: {}", setup.describe());
    }
    if let Some(spread) = applied.spread.filter(|_| plan.queues.count() > 1) {
        eprintln!("flows are spread {}", spread.describe());
    }
    for remark in &applied.remarks {
        eprintln!("note: {remark}");
    }
}

/// Without a setup of our own, somebody else's rules lead to the queues.
fn tell_who_diverts(plan: &Plan) {
    let queues = plan.queues.numbered().map(|(_, queue)| queue);
    for queue in queues.filter(|&queue| !gateway::diverts(queue)) {
        eprintln!(
            "warning: no firewall rule leads to queue {queue}: give --setup, or run `wero setup`"
        );
    }
}

/// What queues and raw sockets counted, of all workers.
fn of_queues(figures: &[Figures]) -> String {
    let mut text = String::new();
    for (worker, own) in figures.iter().enumerate() {
        let (queue, apart, raw) = (&own.queue, &own.datagrams, &own.injected);
        let counters = [
            ("packets", queue.received),
            ("bursts", queue.bursts),
            ("offloaded", queue.gso),
            ("taken apart", queue.moved),
            ("datagrams out of these", apart.received),
            ("cut", queue.cut),
            ("too long to rewrite", queue.too_long),
            ("sent of our own", raw.sent),
            ("not sent", raw.failed()),
            ("lost before us", queue.gaps + apart.gaps),
            ("gone before their verdict", queue.missing + apart.missing),
            ("errors of the queue", queue.errors + apart.errors),
            ("malformed messages", queue.malformed + apart.malformed),
            ("wrong_worker", own.wrong_worker),
            ("lost lines", own.lost_text),
        ];
        let shown: Vec<String> = counters
            .iter()
            .filter(|(name, value)| *value > 0 || matches!(*name, "packets" | "wrong_worker"))
            .map(|(name, value)| format!("{} {name}", count(*value)))
            .collect();
        text.push_str(&format!("worker {worker}: {}\n", shown.join(", ")));
    }
    text
}

impl From<InlineError> for Failure {
    fn from(error: InlineError) -> Failure {
        let code = match error {
            InlineError::Rules(error) => return error.into(),
            InlineError::Firewall(error) => return setup::failure(error),
            InlineError::Output(error) => return error.into(),
            InlineError::WorkerLost => Failure::SOFTWARE,
            InlineError::Queue(_) | InlineError::Inject(_) | InlineError::InUse { .. } => {
                Failure::RUN
            }
        };
        Failure::new(code, error.to_string())
    }
}

/// A time with its unit, or 0 for never.
fn parse_interval(text: &str) -> Result<Duration, String> {
    match text {
        "0" | "0s" => Ok(Duration::ZERO),
        _ => parse_time(text),
    }
}

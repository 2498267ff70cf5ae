//! `wero setup`: firewall rules that lead traffic to queues, and their removal.

use std::io::{self, Write};

use super::Failure;
use crate::gateway::{
    self, Action, Applied, Backend, ChangeError, Interface, Marks, Mode, Plan, Present, Queues,
    Spread, Stance, Steps, namespace,
};

/// Lead traffic to queues with firewall rules, or take them back.
///
/// Rules for IPv4 and IPv6 stand in chains of their own (WERO, WERO_…) at the
/// end of table mangle; what was there before is written into their comments.
/// Doing it twice is as doing it once. `--clean` takes everything back, also
/// what a run that was killed left. `wero doctor` says what is missing.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What is led to queues.
    #[arg(value_enum, required_unless_present = "clean")]
    mode: Option<ModeName>,
    #[command(flatten)]
    rules: RuleOptions,
    /// Leave no rules to queues but one that drops what they would get: what
    /// `on_stop = closed` leaves behind.
    #[arg(long, conflicts_with = "clean")]
    closed: bool,
    /// Take all rules and settings of Wero back, whoever loaded them.
    #[arg(long)]
    clean: bool,
    /// Print the commands and what they would load; change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// How packets get to the queues.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RuleOptions {
    /// A queue, or a range of them: flows are spread over it, both directions
    /// of a flow alike.
    #[arg(short, long = "queue", value_name = "N[-M]", default_value = "0")]
    queues: Queues,
    /// Only traffic that comes or goes by these; `eth+` means all that begin so.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    interfaces: Vec<Interface>,
    /// Bits of packet and connection marks that are Wero's; all others stay
    /// as they are. Two at least.
    #[arg(long, value_name = "MASK", default_value_t = Marks::DEFAULT)]
    mark_mask: Marks,
    /// What happens to packets while nobody listens to their queue.
    #[arg(long, value_enum, default_value_t = StanceName::Open)]
    on_crash: StanceName,
    /// How flows are spread over several queues; by flow, or what comes
    /// nearest where that cannot be had.
    #[arg(long, value_enum, default_value_t = SpreadName::Flow)]
    spread: SpreadName,
    /// The tool that loads rules: by default the first that works here.
    #[arg(long, value_enum, default_value_t = BackendName::Auto)]
    backend: BackendName,
    /// Do it in this network namespace: a name of `ip netns`, the id of a
    /// process in it, or a path.
    #[arg(long, value_name = "NAME|PID|PATH")]
    namespace: Option<String>,
    /// Leave net.netfilter.nf_conntrack_tcp_be_liberal as it is: rules that
    /// lengthen streams then make connection tracking drop what follows.
    #[arg(long)]
    strict_windows: bool,
}

impl RuleOptions {
    pub(super) fn plan(&self, mode: Mode) -> Plan {
        Plan {
            mode,
            queues: self.queues,
            marks: self.mark_mask,
            on_crash: self.on_crash.stance(),
            interfaces: self.interfaces.clone(),
            action: Action::Queue,
            spread: match self.spread {
                SpreadName::Flow => Spread::Flow,
                SpreadName::ConnectionMark => Spread::ConnectionMark,
                SpreadName::Addresses => Spread::Addresses,
            },
            liberal: !self.strict_windows,
            untracked: true,
        }
    }

    pub(super) fn backend(&self) -> Option<Backend> {
        match self.backend {
            BackendName::Auto => None,
            BackendName::Nft => Some(Backend::Nft),
            BackendName::IptablesNft => Some(Backend::IptablesNft),
            BackendName::IptablesLegacy => Some(Backend::IptablesLegacy),
        }
    }

    /// Enters the namespace that was asked for; before anything else.
    pub(super) fn enter_namespace(&self) -> Result<(), Failure> {
        enter_namespace(self.namespace.as_deref())
    }
}

pub(super) fn enter_namespace(name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else {
        return Ok(());
    };
    namespace::enter(name).map_err(|error| Failure::new(Failure::RUN, error.to_string()))
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum ModeName {
    /// What this machine or container forwards.
    Gateway,
    /// What this host sends and receives itself.
    Host,
    /// What bridges of this machine pass on.
    Bridge,
}

impl ModeName {
    pub(super) fn mode(self) -> Mode {
        match self {
            ModeName::Gateway => Mode::Gateway,
            ModeName::Host => Mode::Host,
            ModeName::Bridge => Mode::Bridge,
        }
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum StanceName {
    /// They pass.
    Open,
    /// They are dropped.
    Closed,
}

impl StanceName {
    pub(super) fn stance(self) -> Stance {
        match self {
            StanceName::Open => Stance::Open,
            StanceName::Closed => Stance::Closed,
        }
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SpreadName {
    /// By a hash of addresses and ports.
    Flow,
    /// In turn, kept in spare bits of the mark mask.
    ConnectionMark,
    /// By the two addresses only.
    Addresses,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum BackendName {
    Auto,
    Nft,
    IptablesNft,
    IptablesLegacy,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.rules.enter_namespace()?;
    let plan = arguments.mode.map(|mode| {
        let mut plan = arguments.rules.plan(mode.mode());
        if arguments.closed {
            plan.action = Action::Drop;
        }
        plan
    });
    let only = arguments.rules.backend();
    match (arguments.dry_run, plan) {
        (true, plan) => dry_run(plan.filter(|_| !arguments.clean).as_ref(), only),
        (false, Some(plan)) if !arguments.clean => {
            let applied = gateway::apply(&plan, only).map_err(failure)?;
            say(&plan.describe());
            tell_how(applied.backend, applied.spread);
            tell_done(&applied);
            say("take it back with: wero setup --clean");
            Ok(())
        }
        (false, _) => {
            let applied = gateway::clean().map_err(failure)?;
            tell_done(&applied);
            say(match applied.done.is_empty() {
                true => "nothing of Wero's was there",
                false => "the firewall is as it was before",
            });
            Ok(())
        }
    }
}

pub(super) fn failure(error: ChangeError) -> Failure {
    let hint = match &error {
        ChangeError::NoBackend(_) => "; `wero doctor` says what is missing",
        ChangeError::HalfDone { .. } => "; try `wero setup --clean`",
        ChangeError::Unreadable(_) => " (CAP_NET_ADMIN is needed: run as root)",
        _ => "",
    };
    let code = match &error {
        ChangeError::FewSpareBits { .. } => Failure::USAGE,
        _ => Failure::RUN,
    };
    Failure::new(code, format!("{error}{hint}"))
}

/// Prints what would be done: commands as a shell takes them.
fn dry_run(plan: Option<&Plan>, only: Option<Backend>) -> Result<(), Failure> {
    let present = Present::read();
    for reason in &present.unread {
        say(&format!("# leftovers were not looked at: {reason}"));
    }
    let steps = match plan {
        Some(plan) => {
            let steps = gateway::apply_steps(plan, only, &present).map_err(failure)?;
            say(&format!("# {}", plan.describe()));
            steps
        }
        None => gateway::clean_steps(&present),
    };
    print_steps(&steps);
    Ok(())
}

fn print_steps(steps: &Steps) {
    if steps.steps.is_empty() {
        say("# nothing to do");
    }
    for step in &steps.steps {
        match step.input() {
            Some(text) => say(&format!("{} <<'END'\n{text}END", step.command())),
            None => say(&step.command()),
        }
    }
    for remark in &steps.remarks {
        say(&format!("# {remark}"));
    }
}

fn tell_how(backend: Option<Backend>, spread: Option<Spread>) {
    if let Some(backend) = backend {
        say(&format!("loaded with {backend}"));
    }
    if let Some(spread) = spread {
        say(&format!("flows are spread {}", spread.describe()));
    }
}

fn tell_done(applied: &Applied) {
    for command in &applied.done {
        say(&format!("ran {command}"));
    }
    for remark in &applied.remarks {
        say(&format!("note: {remark}"));
    }
}

/// A line for people. Whoever closed the pipe has read enough.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

//! Puts a plan into force and takes it back: as a list of steps, which are
//! shown or done.
//!
//! Applying replaces whatever is left of an earlier run, in any variant of
//! the tools; what that run wrote down about the time before is kept. A
//! family's rules are loaded at once; when the second family fails, the first
//! is taken back.

use std::path::PathBuf;

use super::iptables;
use super::nft;
use super::note::Note;
use super::plan::{Action, Family, Plan, Spread};
use super::present::{Loaded, Present, differs, families, nft_family};
use super::settings;
use super::tools::{Backend, ToolError, Tools, Trial, command_line, find, run};

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Feeds rules to a program.
    Load {
        program: PathBuf,
        arguments: Vec<String>,
        text: String,
    },
    /// Runs a program; it matters little when it fails.
    Tidy {
        program: PathBuf,
        arguments: Vec<String>,
    },
    /// Writes a kernel setting.
    Set { setting: String, value: String },
}

impl Step {
    /// The step in a line, as one would type it.
    pub fn command(&self) -> String {
        let line = |program: &PathBuf, arguments: &[String]| {
            let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            command_line(program, &words)
        };
        match self {
            Step::Load {
                program, arguments, ..
            }
            | Step::Tidy { program, arguments } => line(program, arguments),
            Step::Set { setting, value } => format!("sysctl -w {setting}={value}"),
        }
    }

    /// What the program is fed.
    pub fn input(&self) -> Option<&str> {
        match self {
            Step::Load { text, .. } => Some(text),
            Step::Tidy { .. } | Step::Set { .. } => None,
        }
    }

    fn load(tools: &Tools, text: String) -> Step {
        let (program, arguments) = tools.load_command();
        Step::Load {
            program,
            arguments,
            text,
        }
    }
}

/// What is to be done, and what there is to say about it.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    pub steps: Vec<Step>,
    pub backend: Option<Backend>,
    pub spread: Option<Spread>,
    /// What the operator has to know.
    pub remarks: Vec<String>,
}

/// A plan that is in force, or one that was taken back.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Nothing for a plan that was taken back.
    pub backend: Option<Backend>,
    /// How flows are spread, where there are several queues.
    pub spread: Option<Spread>,
    /// Commands that were run.
    pub done: Vec<String>,
    /// What the operator has to know.
    pub remarks: Vec<String>,
}

/// Why the firewall is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("no tool leads traffic to a queue here:\n{}", list(.0))]
    NoBackend(Vec<(Backend, String)>),
    #[error(
        "spreading by connection mark needs {needed} spare values and mark mask {mask} has {have}: give a mask with more bits"
    )]
    FewSpareBits {
        needed: u16,
        have: u32,
        mask: String,
    },
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("{error}; what was loaded before it was taken back")]
    TakenBack { error: ToolError },
    #[error("{error}; taking back what was loaded before it failed too: {second}")]
    HalfDone {
        error: ToolError,
        second: Box<ChangeError>,
    },
    #[error("cannot see what is loaded: {0}")]
    Unreadable(String),
}

fn list(reasons: &[(Backend, String)]) -> String {
    let lines: Vec<String> = reasons
        .iter()
        .map(|(backend, reason)| format!("  {backend}: {reason}"))
        .collect();
    lines.join("\n")
}

/// Puts a plan into force. `only` chooses the tool; without it the first that
/// works is taken.
pub fn apply(plan: &Plan, only: Option<Backend>) -> Result<Applied, ChangeError> {
    apply_tested(plan, only, |_| Ok(()))
}

/// As [`apply`], with a tool that `test` has nothing against: it is asked
/// before anything is changed.
pub fn apply_tested(
    plan: &Plan,
    only: Option<Backend>,
    mut test: impl FnMut(Backend) -> Result<(), String>,
) -> Result<Applied, ChangeError> {
    let mut refused = Vec::new();
    let order = candidates(
        only,
        plan.mode == super::plan::Mode::Bridge,
        &Present::read(),
    );
    for backend in order {
        let present = Present::read();
        if let Some(reason) = present.unread.first() {
            return Err(ChangeError::Unreadable(reason.clone()));
        }
        let steps = match apply_steps(plan, Some(backend), &present) {
            Err(ChangeError::NoBackend(reasons)) => {
                refused.extend(reasons);
                continue;
            }
            other => other?,
        };
        if let Err(reason) = test(backend) {
            refused.push((backend, reason));
            continue;
        }
        match execute(steps, true) {
            // Where nothing could be tried out, this was the trial.
            Err(ChangeError::TakenBack { error } | ChangeError::Tool(error)) if only.is_none() => {
                refused.push((backend, error.to_string()));
            }
            other => return other,
        }
    }
    Err(ChangeError::NoBackend(refused))
}

/// The tool that has rules of ours loaded comes first: it alone can replace
/// them without a moment in which there are none.
fn candidates(only: Option<Backend>, bridged: bool, present: &Present) -> Vec<Backend> {
    let mut candidates: Vec<Backend> = Backend::ALL
        .into_iter()
        .filter(|backend| only.is_none_or(|only| only == *backend))
        // The hooks of nft's table see bridges, not their ports.
        .filter(|backend| only.is_some() || !bridged || *backend != Backend::Nft)
        .collect();
    candidates.sort_by_key(|backend| !present.has_ours_of(*backend));
    candidates
}

/// Takes everything of ours back, whichever tool loaded it, also what a run
/// that was killed left.
pub fn clean() -> Result<Applied, ChangeError> {
    let present = Present::read();
    if let (Some(reason), false) = (present.unread.first(), present.has_ours()) {
        return Err(ChangeError::Unreadable(reason.clone()));
    }
    execute(clean_steps(&present), false)
}

/// Whether a rule of anybody leads to the queue now.
pub fn diverts(queue: u16) -> bool {
    Present::read()
        .queue_rules()
        .iter()
        .any(|(_, _, (first, last))| (*first..=*last).contains(&queue))
}

/// What applying a plan comes to.
pub fn apply_steps(
    plan: &Plan,
    only: Option<Backend>,
    present: &Present,
) -> Result<Steps, ChangeError> {
    let plan = &checked(plan)?;
    let mut refused = Vec::new();
    for backend in candidates(only, plan.mode == super::plan::Mode::Bridge, present) {
        match fitting(plan, backend) {
            Ok(fit) => {
                let mut steps = steps_with(&fit.plan, backend, &fit.tools, present);
                steps.remarks.extend(fit.remark);
                return Ok(steps);
            }
            Err(reason) => refused.push((backend, reason)),
        }
    }
    Err(ChangeError::NoBackend(refused))
}

fn checked(plan: &Plan) -> Result<Plan, ChangeError> {
    let (needed, have) = (plan.queues.count(), plan.marks.spare_values());
    if plan.spread == Spread::ConnectionMark && needed > 1 && have < u32::from(needed) {
        return Err(ChangeError::FewSpareBits {
            needed,
            have,
            mask: plan.marks.to_string(),
        });
    }
    Ok(plan.clone())
}

/// A plan as a tool can do it.
struct Fit {
    plan: Plan,
    tools: Vec<Tools>,
    /// What had to be left out, and why.
    remark: Option<String>,
}

/// The plan as this tool can do it, or what hinders it.
fn fitting(plan: &Plan, backend: Backend) -> Result<Fit, String> {
    let families = match backend {
        // One table has both.
        Backend::Nft => vec![Family::V4],
        _ => families(),
    };
    let tools: Vec<Tools> = families
        .into_iter()
        .map(|family| Tools::find(backend, family))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let mut first_reason = None;
    for (variant, remark) in variants(plan, backend) {
        match all_work(&variant, &tools) {
            Ok(()) => {
                let reason = first_reason.unwrap_or_default();
                return Ok(Fit {
                    plan: variant,
                    tools,
                    remark: remark.map(|remark| format!("{remark}: {reason}")),
                });
            }
            Err(reason) => first_reason = first_reason.or(Some(reason)),
        }
    }
    Err(first_reason.unwrap_or_default())
}

/// The plan, and what comes near it where the kernel lacks a part.
fn variants(plan: &Plan, backend: Backend) -> Vec<(Plan, Option<String>)> {
    let spread = Plan {
        spread: match backend {
            Backend::Nft => Spread::Addresses,
            _ => plan.spread_without_bpf(),
        },
        ..plan.clone()
    };
    let tracked = |plan: &Plan| Plan {
        untracked: false,
        ..plan.clone()
    };
    let no_spread = format!("flows cannot be spread {}", Spread::Flow.describe());
    let no_own = "packets of Wero's own get wrong ports where addresses are translated";
    let mut variants = vec![
        (plan.clone(), None),
        (tracked(plan), Some(no_own.to_owned())),
    ];
    if plan.queues.count() > 1 && plan.spread == Spread::Flow {
        variants.push((tracked(&spread), Some(format!("{no_spread}; {no_own}"))));
        variants.insert(1, (spread, Some(no_spread)));
    }
    variants
}

fn all_work(plan: &Plan, tools: &[Tools]) -> Result<(), String> {
    for tools in tools {
        let notes = [Note::was(settings::LIBERAL, "0")];
        let text = match tools.backend {
            Backend::Nft => nft::load(plan, &notes),
            _ => iptables::load(plan, tools.family, &notes, &Default::default()),
        };
        if let Trial::Refused(message) = tools.try_load(&text) {
            return Err(message);
        }
    }
    Ok(())
}

fn steps_with(plan: &Plan, backend: Backend, tools: &[Tools], present: &Present) -> Steps {
    let mut steps = Steps {
        backend: Some(backend),
        spread: (plan.queues.count() > 1 && plan.action == Action::Queue).then_some(plan.spread),
        ..Steps::default()
    };
    let old = present.notes();
    let wanted = settings::wanted(plan);
    let mut shared = Vec::new();
    let mut sets = Vec::new();
    for (setting, value) in &wanted {
        let before = old.iter().find(|note| is_of(note, setting)).cloned();
        let current = differs(setting, value);
        // A module that is not loaded yet starts with 0.
        let missing = settings::read(setting).is_none().then(|| "0".to_owned());
        let change = current.or(missing);
        if change.is_some() {
            sets.push(Step::Set {
                setting: (*setting).to_owned(),
                value: (*value).to_owned(),
            });
        }
        shared.extend(before.or_else(|| change.map(|value| Note::was(setting, &value))));
    }
    for tools in tools {
        steps.load(plan, tools, present, &shared);
    }
    if tools.len() < 2 && backend != Backend::Nft {
        steps
            .remarks
            .push("this kernel has no IPv6: rules are for IPv4 only".to_owned());
    }
    steps.remove_others(backend, present);
    steps.steps.extend(sets);
    // What only the earlier plan needed goes back to what it was.
    for note in &old {
        if let Note::Was { setting, value } = note
            && !wanted.iter().any(|(name, _)| name == setting)
        {
            steps.restore(setting, value);
        }
    }
    steps
}

fn is_of(note: &Note, name: &str) -> bool {
    matches!(note, Note::Was { setting, .. } if setting == name)
}

/// What taking everything back comes to.
pub fn clean_steps(present: &Present) -> Steps {
    let mut steps = Steps::default();
    for note in present.notes() {
        if let Note::Was { setting, value } = &note {
            steps.restore(setting, value);
        }
    }
    for loaded in &present.iptables {
        steps.unload(loaded);
    }
    if present.nft.is_some() {
        steps.unload_nft();
    }
    steps
}

impl Steps {
    fn load(&mut self, plan: &Plan, tools: &Tools, present: &Present, shared: &[Note]) {
        if tools.backend == Backend::Nft {
            self.steps.push(Step::load(tools, nft::load(plan, shared)));
            return;
        }
        let loaded = present.of(tools.backend, tools.family);
        let mut notes = shared.to_vec();
        notes.extend(made(plan, tools, loaded));
        let saved = loaded
            .map(|loaded| loaded.saved.clone())
            .unwrap_or_default();
        let text = iptables::load(plan, tools.family, &notes, &saved);
        self.steps.push(Step::load(tools, text));
    }

    /// Leftovers that another tool loaded.
    fn remove_others(&mut self, chosen: Backend, present: &Present) {
        for loaded in &present.iptables {
            if loaded.tools.backend != chosen {
                self.unload(loaded);
            }
        }
        if present.nft.is_some() && chosen != Backend::Nft {
            self.unload_nft();
        }
    }

    fn unload_nft(&mut self) {
        if let Ok(tools) = Tools::find(Backend::Nft, Family::V4) {
            self.steps.push(Step::load(&tools, nft::unload()));
        }
    }

    fn unload(&mut self, loaded: &Loaded) {
        if !loaded.saved.has_ours() {
            return;
        }
        let text = iptables::unload(&loaded.saved);
        self.steps.push(Step::load(&loaded.tools, text));
        for note in loaded.saved.notes() {
            match note {
                Note::MadeTable { table } => self.delete_table(loaded, &table),
                Note::MadeChain { table, chain } => self.delete_chain(loaded, &table, &chain),
                Note::Was { .. } => {}
            }
        }
    }

    /// Deletes a table that is only there because of us, unless somebody uses
    /// it by now.
    fn delete_table(&mut self, loaded: &Loaded, table: &str) {
        let used = loaded
            .saved
            .table(table)
            .is_some_and(|found| !found.without_ours().is_unused());
        if used {
            return;
        }
        match find("nft") {
            Some(program) => self.steps.push(Step::Tidy {
                program,
                arguments: ["delete", "table", nft_family(loaded.tools.family), table]
                    .map(str::to_owned)
                    .to_vec(),
            }),
            None => self.remarks.push(format!(
                "table {table} ({}) stays, empty: without the program nft nobody can delete it",
                loaded.tools.family.name()
            )),
        }
    }

    fn delete_chain(&mut self, loaded: &Loaded, table: &str, chain: &str) {
        let unused = loaded
            .saved
            .table(table)
            .is_some_and(|found| found.without_ours().is_unused_chain(chain));
        if unused {
            self.steps.push(Step::Tidy {
                program: loaded.tools.single.clone(),
                arguments: ["-t", table, "-X", chain].map(str::to_owned).to_vec(),
            });
        }
    }

    /// Puts a setting back, unless somebody has changed it since.
    fn restore(&mut self, setting: &str, value: &str) {
        match differs(setting, value) {
            Some(current) if current == "1" => self.steps.push(Step::Set {
                setting: setting.to_owned(),
                value: value.to_owned(),
            }),
            Some(current) => self.remarks.push(format!(
                "{setting} was {value} before Wero and is {current} now: left as it is"
            )),
            None => {}
        }
    }
}

/// Tables and chains that come into being with our rules.
fn made(plan: &Plan, tools: &Tools, loaded: Option<&Loaded>) -> Vec<Note> {
    let made_before = loaded
        .map(|loaded| loaded.saved.notes())
        .unwrap_or_default();
    let mut notes: Vec<Note> = made_before
        .into_iter()
        .filter(|note| !matches!(note, Note::Was { .. }))
        .collect();
    if tools.backend != Backend::IptablesNft {
        return notes;
    }
    let mut add = |note: Note| {
        if !notes.contains(&note) {
            notes.push(note);
        }
    };
    for (table, chain) in iptables::built_in(plan) {
        let there = loaded
            .and_then(|loaded| loaded.saved.table(table))
            .is_some();
        let chains = loaded.and_then(|loaded| loaded.chains.as_ref());
        let has_chain = chains
            .is_none_or(|chains| chains.iter().any(|(of, name)| of == table && name == chain));
        if !there {
            add(Note::MadeTable {
                table: table.to_owned(),
            });
        } else if !has_chain {
            add(Note::MadeChain {
                table: table.to_owned(),
                chain: chain.to_owned(),
            });
        }
    }
    notes
}

fn execute(steps: Steps, take_back: bool) -> Result<Applied, ChangeError> {
    let mut applied = Applied {
        backend: steps.backend,
        spread: steps.spread,
        done: Vec::new(),
        remarks: steps.remarks,
    };
    for step in &steps.steps {
        let loaded_before = !applied.done.is_empty();
        match perform(step) {
            Ok(None) => applied.done.push(step.command()),
            Ok(Some(remark)) => applied.remarks.push(remark),
            Err(error) if take_back && loaded_before => return Err(taken_back(error)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(applied)
}

/// Does a step; gives a remark when it failed and that is no failure.
fn perform(step: &Step) -> Result<Option<String>, ToolError> {
    match step {
        Step::Load {
            program,
            arguments,
            text,
        } => {
            let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            run(program, &words, text).map(|_| None)
        }
        Step::Tidy { program, arguments } => {
            let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            Ok(run(program, &words, "")
                .err()
                .map(|error| error.to_string()))
        }
        Step::Set { setting, value } => Ok(settings::write(setting, value).err().map(|error| {
            format!("cannot set {setting}={value}: {error}; do it on the host of this container")
        })),
    }
}

fn taken_back(error: ToolError) -> ChangeError {
    match clean() {
        Ok(_) => ChangeError::TakenBack { error },
        Err(second) => ChangeError::HalfDone {
            error,
            second: Box::new(second),
        },
    }
}

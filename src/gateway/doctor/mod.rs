//! What an inline run needs, looked at before there is one.
//!
//! Each check says in a line how things are, and how to mend them where they
//! are not well. Nothing is changed: rules and queues are tried in namespaces
//! of their own. All of it is about the network namespace of the calling thread.

mod firewall;
mod network;
mod process;
pub mod queues;
mod selftest;

use serde::Serialize;

use super::plan::{Mode, Plan};
use super::present::Present;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// A run works, less well or not for everything.
    Warning,
    /// A run does not work without it.
    Missing,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub state: State,
    /// How it is.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Check {
    fn ok(name: &'static str, text: impl Into<String>) -> Check {
        Check {
            name,
            state: State::Ok,
            text: text.into(),
            mend: None,
        }
    }

    fn warning(name: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Check {
        Check {
            name,
            state: State::Warning,
            text: text.into(),
            mend: Some(mend.into()),
        }
    }

    fn missing(name: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Check {
        Check {
            name,
            state: State::Missing,
            text: text.into(),
            mend: Some(mend.into()),
        }
    }
}

/// Looks at everything that a run with this plan needs.
pub fn examine(plan: &Plan) -> Vec<Check> {
    let mut checks = process::checks();
    if process::may_administer() {
        checks.extend(queues::checks(plan.queues));
        let (found, tools) = firewall::checks(plan, &Present::read());
        checks.extend(found);
        checks.extend(selftest::checks(&tools, plan.queues.first()));
    } else {
        checks.push(Check::warning(
            "firewall",
            "queues and rules were not looked at: that takes CAP_NET_ADMIN",
            "run the doctor as root",
        ));
    }
    checks.extend(network::checks(plan));
    if plan.mode == Mode::Bridge {
        checks.extend(network::bridge_checks());
    }
    checks
}

/// Whether a run would work.
pub fn would_run(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.state != State::Missing)
}

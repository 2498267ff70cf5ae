//! What becomes of traffic when Wero cannot judge it.

use std::fmt;

use crate::gateway::Stance;

/// The stance for each way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stances {
    /// More packets come than are judged: the queue is full.
    pub on_overload: Stance,
    /// Nobody listens on the queue: the process was killed.
    pub on_crash: Stance,
    /// The run was stopped.
    pub on_stop: Stance,
    /// A rule failed or was stopped: the packet that it judged.
    pub on_rule_error: Stance,
}

impl Default for Stances {
    fn default() -> Stances {
        Stances {
            on_overload: Stance::Open,
            on_crash: Stance::Open,
            on_stop: Stance::Open,
            on_rule_error: Stance::Closed,
        }
    }
}

impl fmt::Display for Stances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stances = [
            ("on_overload", self.on_overload),
            ("on_crash", self.on_crash),
            ("on_stop", self.on_stop),
            ("on_rule_error", self.on_rule_error),
        ];
        for (number, (name, stance)) in stances.into_iter().enumerate() {
            let gap = if number > 0 { " " } else { "" };
            let stance = match stance {
                Stance::Open => "open",
                Stance::Closed => "closed",
            };
            write!(f, "{gap}{name}={stance}")?;
        }
        Ok(())
    }
}

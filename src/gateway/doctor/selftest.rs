//! Packets through a queue, with each tool that loads rules.

use super::Check;
use crate::capture::nfqueue::Config;
use crate::gateway::selftest::{Fault, Outcome, run};
use crate::gateway::tools::Backend;

pub(super) fn checks(tools: &[Backend], queue: u16) -> Vec<Check> {
    let config = Config {
        number: queue,
        fail_open: true,
        ..Config::default()
    };
    let outcomes: Vec<_> = tools
        .iter()
        .map(|&tool| (tool, run(tool, &config)))
        .collect();
    let others = outcomes
        .iter()
        .any(|(_, outcome)| outcome.fault().is_none());
    outcomes
        .iter()
        .map(|(tool, outcome)| check(*tool, outcome, others))
        .collect()
}

/// `others`: a tool is there that passes.
fn check(tool: Backend, outcome: &Outcome, others: bool) -> Check {
    const NAME: &str = "self-test";
    let text = format!("{tool}: {outcome}");
    match outcome {
        Outcome::Passed { .. } => Check::ok(NAME, text),
        Outcome::Skipped(_) => Check::warning(
            NAME,
            text,
            "a run works without it; to have it, run the doctor as root, outside of the container",
        ),
        Outcome::Failed(_) if others => {
            Check::warning(NAME, text, "none is needed while another tool passes")
        }
        Outcome::Failed(fault) => Check::missing(NAME, text, mend(fault)),
    }
}

fn mend(fault: &Fault) -> &'static str {
    match fault {
        Fault::Tool { .. } => "see what is missing of the kernel or the tool, above",
        Fault::Queue(_) => "modprobe nfnetlink_queue; the rights above are needed, too",
        Fault::Socket { .. } => {
            "look for what keeps programs from the loopback device (a security module, a container's profile)"
        }
        Fault::Lost { .. } => {
            "try another --backend; look whether the tool is what its name says, and for other users of the kernel's hooks (eBPF programs, security modules)"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::doctor::State;
    use crate::gateway::plan::Family;

    #[test]
    fn a_failure_matters_where_no_tool_passes() {
        let failed = Outcome::Failed(Fault::Lost {
            family: Family::V6,
            what: "nothing came",
        });
        let alone = check(Backend::IptablesNft, &failed, false);
        assert_eq!(alone.state, State::Missing);
        assert_eq!(alone.text, "iptables-nft: failed: IPv6: nothing came");
        let with_others = check(Backend::IptablesNft, &failed, true);
        assert_eq!(with_others.state, State::Warning);
        let skipped = Outcome::Skipped("no rights".to_owned());
        assert_eq!(check(Backend::Nft, &skipped, false).state, State::Warning);
    }
}

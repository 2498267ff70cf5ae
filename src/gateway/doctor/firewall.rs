//! Which tool can load the rules, what the kernel lacks for them, and what is
//! loaded already.

use super::{Check, State};
use crate::capture::nfqueue::status;
use crate::gateway::plan::{Family, Mode, Plan};
use crate::gateway::present::{Present, families};
use crate::gateway::tools::{Backend, Tools, Trial, unshare};
use crate::gateway::{ChangeError, apply_steps};

/// The checks, and the tools that load the rules.
pub(super) fn checks(plan: &Plan, present: &Present) -> (Vec<Check>, Vec<Backend>) {
    let (mut checks, working) = tools(plan);
    if working.is_empty() {
        checks.push(Check::missing(
            "firewall",
            "no tool can load the rules",
            "install iptables 1.8 or later, and load the kernel's modules for the parts that are missing",
        ));
    }
    checks.extend(parts(plan));
    checks.extend(loaded(plan, present));
    (checks, working)
}

/// Each tool, with rules in the namespace that they are tried in; and those
/// that load them.
fn tools(plan: &Plan) -> (Vec<Check>, Vec<Backend>) {
    let loads = match unshare() {
        Some(_) => "loads the rules",
        None => "is there, though its rules cannot be tried here (that takes CAP_SYS_ADMIN)",
    };
    let mut working = Vec::new();
    let checks = Backend::ALL.map(|backend| {
        let steps = apply_steps(plan, Some(backend), &Present::default());
        if steps.is_ok() {
            working.push(backend);
        }
        match steps {
            Ok(steps) => match steps.remarks.first() {
                None => Check::ok("firewall", format!("{backend} {loads}")),
                Some(remark) => Check::warning(
                    "firewall",
                    format!("{backend} {loads}, but {remark}"),
                    "give --mark-mask more bits to keep a queue for each flow, or run one worker",
                ),
            },
            Err(ChangeError::NoBackend(reasons)) => {
                let reason = reasons
                    .first()
                    .map_or("unknown reason", |(_, reason)| reason.as_str());
                Check {
                    // Another tool may do: that is told once, for all.
                    ..Check::ok("firewall", format!("{backend} is not used: {reason}"))
                }
                .unusable()
            }
            Err(error) => Check::warning("firewall", error.to_string(), "see `wero setup --help`"),
        }
    });
    (checks.into(), working)
}

impl Check {
    /// Something that is no good but of which only one is needed.
    fn unusable(mut self) -> Check {
        self.state = State::Warning;
        self.mend = Some("none is needed while another tool loads the rules".to_owned());
        self
    }
}

/// Parts of the kernel that rules are made of, each tried on its own.
fn parts(plan: &Plan) -> Vec<Check> {
    let mut checks = Vec::new();
    for family in families() {
        let tools = [Backend::IptablesNft, Backend::IptablesLegacy]
            .into_iter()
            .filter_map(|backend| Tools::find(backend, family).ok())
            .find(|tools| matches!(tools.try_load(&rule("mangle", "-j ACCEPT")), Trial::Works));
        let Some(tools) = tools else {
            continue;
        };
        let mut there = Vec::new();
        for part in PARTS {
            if part.bridge_only && plan.mode != Mode::Bridge {
                continue;
            }
            match tools.try_load(&rule(part.table, part.rule)) {
                Trial::Refused(reason) => checks.push(part.missing(family, &reason)),
                Trial::Works | Trial::Impossible => there.push(part.name),
            }
        }
        checks.push(Check::ok(
            "kernel",
            format!("{}: {}", family.name(), there.join(", ")),
        ));
    }
    checks
}

fn rule(table: &str, text: &str) -> String {
    format!("*{table}\n:WERO_TRY - [0:0]\n-A WERO_TRY {text}\nCOMMIT\n")
}

struct Part {
    name: &'static str,
    table: &'static str,
    rule: &'static str,
    module: &'static str,
    /// What is not to be had without it; nothing where no rule works.
    loss: Option<&'static str>,
    bridge_only: bool,
}

impl Part {
    fn missing(&self, family: Family, reason: &str) -> Check {
        let text = format!("{}: no {} ({reason})", family.name(), self.name);
        let mend = format!("modprobe {}", self.module);
        match self.loss {
            Some(loss) => Check::warning("kernel", format!("{text}: {loss}"), mend),
            None => Check::missing("kernel", text, mend),
        }
    }
}

const PARTS: &[Part] = &[
    Part {
        name: "target NFQUEUE",
        table: "mangle",
        rule: "-j NFQUEUE --queue-num 0 --queue-bypass",
        module: "xt_NFQUEUE",
        loss: None,
        bridge_only: false,
    },
    Part {
        name: "match connmark",
        table: "mangle",
        rule: "-m connmark --mark 0x1/0x1 -j RETURN",
        module: "xt_connmark",
        loss: None,
        bridge_only: false,
    },
    Part {
        name: "target CONNMARK",
        table: "mangle",
        rule: "-j CONNMARK --save-mark --nfmask 0x1 --ctmask 0x1",
        module: "xt_connmark",
        loss: None,
        bridge_only: false,
    },
    Part {
        name: "marks",
        table: "mangle",
        rule: "-m mark --mark 0x1/0x1 -j MARK --set-xmark 0x0/0x1",
        module: "xt_mark",
        loss: None,
        bridge_only: false,
    },
    Part {
        name: "comments",
        table: "mangle",
        rule: "-m comment --comment wero",
        module: "xt_comment",
        loss: None,
        bridge_only: false,
    },
    Part {
        name: "match bpf",
        table: "mangle",
        rule: "-m bpf --bytecode \"1,6 0 0 1\" -j RETURN",
        module: "xt_bpf",
        loss: Some("several workers cannot share the flows of one pair of hosts"),
        bridge_only: false,
    },
    Part {
        name: "target CT",
        table: "raw",
        rule: "-j CT --notrack",
        module: "xt_CT",
        loss: Some("packets of Wero's own get wrong ports where addresses are translated"),
        bridge_only: false,
    },
    Part {
        name: "match physdev",
        table: "mangle",
        rule: "-m physdev --physdev-is-bridged -j RETURN",
        module: "xt_physdev",
        loss: None,
        bridge_only: true,
    },
];

/// Rules that lead to queues now: ours, and those of others.
fn loaded(plan: &Plan, present: &Present) -> Vec<Check> {
    let mut checks: Vec<Check> = present
        .unread
        .iter()
        .map(|reason| {
            Check::warning(
                "rules",
                format!("cannot see what is loaded: {reason}"),
                "run as root",
            )
        })
        .collect();
    let queues = status::queues().unwrap_or_default();
    let heard = |(first, last): (u16, u16)| {
        queues
            .iter()
            .any(|queue| (first..=last).contains(&queue.number))
    };
    let rules = present.queue_rules();
    for (rule, _, range) in rules.iter().filter(|(_, ours, _)| !ours) {
        let meets = range.0 <= plan.queues.last() && plan.queues.first() <= range.1;
        checks.push(match meets {
            true => Check::warning(
                "rules",
                format!("another rule leads to the same queue: {rule}"),
                "choose another queue with -q, or remove that rule",
            ),
            false => Check::ok("rules", format!("another rule leads to a queue: {rule}")),
        });
    }
    let ours: Vec<_> = rules.iter().filter(|(_, ours, _)| *ours).collect();
    let (active, dead) = ours.iter().fold((0, 0), |(active, dead), (_, _, range)| {
        match heard(*range) {
            true => (active + 1, dead),
            false => (active, dead + 1),
        }
    });
    if dead > 0 {
        checks.push(Check::warning(
            "rules",
            format!("{dead} rules of Wero's lead to queues that nobody listens to: what `wero setup` prepared, or a run that was killed left"),
            "start `wero run`, or take them back with: wero setup --clean",
        ));
    }
    if active > 0 {
        checks.push(Check::ok(
            "rules",
            format!("{active} rules of Wero's lead to queues that are listened to"),
        ));
    }
    if ours.is_empty() && present.has_ours() {
        checks.push(Check::warning(
            "rules",
            "rules of Wero's drop what would be inspected: on_stop = closed left them",
            "wero setup --clean",
        ));
    } else if ours.is_empty() {
        checks.push(Check::ok("rules", "nothing of Wero's is loaded"));
    }
    checks
}

//! Who listens to which queue, and what queues have lost.

use super::Check;
use crate::capture::nfqueue::status::{holder, queues};
use crate::gateway::plan::Queues;

pub(super) fn checks(wanted: Queues) -> Vec<Check> {
    let Ok(queues) = queues() else {
        return vec![Check::missing(
            "queue",
            "the kernel has no nfnetlink_queue here",
            "modprobe nfnetlink_queue (CONFIG_NETFILTER_NETLINK_QUEUE)",
        )];
    };
    let mut checks = Vec::new();
    for queue in &queues {
        let name = match holder(queue.port) {
            Some(process) => format!("{} (process {})", process.name, process.id),
            None => format!("a process that cannot be seen (socket {})", queue.port),
        };
        checks.push(match wanted.contains(queue.number) {
            true => Check::missing(
                "queue",
                format!("queue {} is held by {name}", queue.number),
                "stop that process, or choose another queue with -q",
            ),
            false => Check::ok("queue", format!("queue {}: {name} listens", queue.number)),
        });
        if queue.dropped_full > 0 || queue.dropped_socket > 0 {
            checks.push(Check::warning(
                "queue",
                format!(
                    "queue {} has lost {} packets because it was full and {} because its socket was",
                    queue.number, queue.dropped_full, queue.dropped_socket
                ),
                "give it more workers, a longer queue or a larger receive buffer",
            ));
        }
    }
    if !queues.iter().any(|queue| wanted.contains(queue.number)) {
        let verb = match wanted.count() {
            1 => "is",
            _ => "are",
        };
        checks.push(Check::ok("queue", format!("{wanted} {verb} free")));
    }
    checks
}

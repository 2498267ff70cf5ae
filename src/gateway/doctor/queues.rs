//! Who listens to which queue, and what queues have lost.

use std::io;

use super::Check;
use crate::capture::nfqueue::status::{QueueStatus, holder, queues};
use crate::gateway::plan::Queues;

pub(super) fn checks(wanted: Queues) -> Vec<Check> {
    match queues() {
        Ok(queues) => held(&queues, wanted),
        Err(error) => vec![unread(&error)],
    }
}

/// Why the kernel's list of queues cannot be read. It is root's, while rights
/// alone are enough for a queue.
fn unread(error: &io::Error) -> Check {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Check::warning(
            "queue",
            "who listens to which queue was not looked at: the kernel tells root only",
            "run the doctor as root",
        ),
        _ => Check::missing(
            "queue",
            "the kernel has no nfnetlink_queue here",
            "modprobe nfnetlink_queue (CONFIG_NETFILTER_NETLINK_QUEUE)",
        ),
    }
}

fn held(queues: &[QueueStatus], wanted: Queues) -> Vec<Check> {
    let mut checks = Vec::new();
    for queue in queues {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::doctor::State;

    #[test]
    fn a_list_that_may_not_be_read_is_no_list_that_is_missing() {
        let state = |kind: io::ErrorKind| unread(&kind.into()).state;
        assert_eq!(state(io::ErrorKind::PermissionDenied), State::Warning);
        assert_eq!(state(io::ErrorKind::NotFound), State::Missing);
    }
}

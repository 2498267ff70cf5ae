//! Who listens to which queue, and what queues have lost, as the kernel
//! tells below `/proc`.

use std::fs;
use std::path::Path;

use super::Check;
use crate::gateway::plan::Queues;

const QUEUES: &str = "/proc/thread-self/net/netfilter/nfnetlink_queue";
const SOCKETS: &str = "/proc/thread-self/net/netlink";

/// One queue that somebody listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    pub number: u16,
    /// The address of the socket that listens.
    pub port: u32,
    /// Packets that wait.
    pub waiting: u64,
    /// Packets lost because the queue was full, and because the socket was.
    pub dropped: u64,
    pub user_dropped: u64,
}

/// A process, as a person knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    pub name: String,
}

/// All queues that somebody listens to; nothing where the kernel has none.
pub fn listened() -> Option<Vec<Queue>> {
    Some(parse(&fs::read_to_string(QUEUES).ok()?))
}

/// Who listens, where it can be found out.
pub fn holder(queue: &Queue) -> Option<Holder> {
    let inode = inode_of(&fs::read_to_string(SOCKETS).ok()?, queue.port)?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let has_it = files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|to| to == Path::new(&wanted)));
        if has_it {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(Holder {
                pid,
                name: name.trim().to_owned(),
            });
        }
    }
    None
}

pub(super) fn checks(wanted: Queues) -> Vec<Check> {
    let Some(queues) = listened() else {
        return vec![Check::missing(
            "queue",
            "the kernel has no nfnetlink_queue here",
            "modprobe nfnetlink_queue (CONFIG_NETFILTER_NETLINK_QUEUE)",
        )];
    };
    let mut checks = Vec::new();
    for queue in &queues {
        let name = match holder(queue) {
            Some(holder) => format!("{} (process {})", holder.name, holder.pid),
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
        if queue.dropped + queue.user_dropped > 0 {
            checks.push(Check::warning(
                "queue",
                format!(
                    "queue {} has lost {} packets because it was full and {} because its socket was",
                    queue.number, queue.dropped, queue.user_dropped
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

fn parse(text: &str) -> Vec<Queue> {
    text.lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u64>);
            let mut next = || numbers.next()?.ok();
            let number = u16::try_from(next()?).ok()?;
            let port = u32::try_from(next()?).ok()?;
            let waiting = next()?;
            // Copy mode and copy range.
            next()?;
            next()?;
            Some(Queue {
                number,
                port,
                waiting,
                dropped: next()?,
                user_dropped: next()?,
            })
        })
        .collect()
}

/// The inode of the netfilter socket with an address.
fn inode_of(sockets: &str, port: u32) -> Option<u64> {
    const NETFILTER: &str = "12";
    sockets.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let fits = words.get(1) == Some(&NETFILTER)
            && words.get(2).and_then(|word| word.parse().ok()) == Some(port);
        match fits {
            true => words.last()?.parse().ok(),
            false => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_columns_are_read() {
        let text = "    0 4294963200     3 2 65531     7     9     1200  1\n   12  4242     0 2 65531     0     0        0  1\nbroken\n";
        let queues = parse(text);
        assert_eq!(queues.len(), 2);
        assert_eq!(
            queues[0],
            Queue {
                number: 0,
                port: 4_294_963_200,
                waiting: 3,
                dropped: 7,
                user_dropped: 9
            }
        );
        assert_eq!((queues[1].number, queues[1].port), (12, 4242));
    }

    #[test]
    fn a_socket_is_found_by_its_address_and_family() {
        let text = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
            0000000000000000 0   4242       00000000 0        0        0     2        0        11\n\
            0000000000000000 12  4242       00000000 0        0        0     2        0        3141\n";
        assert_eq!(inode_of(text, 4242), Some(3141));
        assert_eq!(inode_of(text, 1), None);
    }
}

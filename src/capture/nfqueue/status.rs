//! What the kernel tells of its packet queues, and who holds them.
//!
//! Reads `/proc/…/net/netfilter/nfnetlink_queue` (one line for each queue),
//! and finds the process behind a queue: its netlink port names a socket in
//! `/proc/…/net/netlink`, whose inode stands among some process's open
//! files. All of it in the network namespace of the calling thread. The
//! readers of text are pure; not here: changing anything.

use std::fmt;
use std::fs;
use std::io;

/// The network files of the calling thread: `/proc/net` is those of the
/// process's first thread, which may be in another namespace.
const NET: &str = "/proc/thread-self/net";

/// One queue of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    pub number: u16,
    /// The netlink port that holds it; see [`holder`].
    pub port: u32,
    /// Packets without verdict.
    pub waiting: u32,
    /// 0 nothing, 1 metadata, 2 packets.
    pub copy_mode: u8,
    /// How many bytes of each packet are copied.
    pub copy: u32,
    /// Packets dropped because the queue was full.
    pub dropped_full: u32,
    /// Packets dropped because the socket's buffer was full.
    pub dropped_socket: u32,
    /// Packets so far: the id of the last.
    pub sequence: u32,
}

/// The queues of the thread's network namespace. Only root may read them;
/// no file means that the kernel has no queues, or has not loaded them.
pub fn queues() -> io::Result<Vec<QueueStatus>> {
    let text = fs::read_to_string(format!("{NET}/netfilter/nfnetlink_queue"))?;
    Ok(parse_queues(&text))
}

/// One queue, if somebody holds it.
pub fn queue(number: u16) -> io::Result<Option<QueueStatus>> {
    Ok(queues()?.into_iter().find(|queue| queue.number == number))
}

/// Reads the kernel's table. Lines of another shape are passed over.
pub fn parse_queues(text: &str) -> Vec<QueueStatus> {
    text.lines().filter_map(parse_queue).collect()
}

fn parse_queue(line: &str) -> Option<QueueStatus> {
    let mut columns = line.split_ascii_whitespace();
    let mut next = || columns.next();
    Some(QueueStatus {
        number: next()?.parse().ok()?,
        port: next()?.parse().ok()?,
        waiting: next()?.parse().ok()?,
        copy_mode: next()?.parse().ok()?,
        copy: next()?.parse().ok()?,
        dropped_full: next()?.parse().ok()?,
        dropped_socket: next()?.parse().ok()?,
        sequence: next()?.parse().ok()?,
    })
}

/// A process, as far as it can be told from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub id: u32,
    pub name: String,
}

impl fmt::Display for Process {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "process {} ({})", self.id, self.name)
    }
}

/// Who has the netlink port of a queue open. `None` if it is not to be seen
/// from here: another user's, or in another process namespace.
pub fn holder(port: u32) -> Option<Process> {
    let sockets = fs::read_to_string(format!("{NET}/netlink")).ok()?;
    let inode = netfilter_inode(&sockets, port)?;
    process_with(&format!("socket:[{inode}]"))
}

/// The inode of netfilter's socket with that port, from the kernel's table
/// of netlink sockets.
fn netfilter_inode(text: &str, port: u32) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let protocol: i32 = columns.next()?.parse().ok()?;
        let number: u32 = columns.next()?.parse().ok()?;
        let inode = columns.nth(6)?.parse().ok()?;
        (protocol == libc::NETLINK_NETFILTER && number == port).then_some(inode)
    })
}

/// The first process that has the file `target` open.
fn process_with(target: &str) -> Option<Process> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for id in ids {
        let Ok(files) = fs::read_dir(format!("/proc/{id}/fd")) else {
            continue;
        };
        let mut links = files.flatten().map(|file| fs::read_link(file.path()));
        if links.any(|link| link.is_ok_and(|link| link.as_os_str() == target)) {
            let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            let name = name.trim().to_owned();
            return Some(Process { id, name });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_queues_is_read() {
        let text = "    7   4242    12 2 65531     3     9   100000  1\n\
                    65535 4294963200     0 1     0     0     0        0  1\n";
        let queues = parse_queues(text);
        assert_eq!(queues.len(), 2);
        let expected = QueueStatus {
            number: 7,
            port: 4242,
            waiting: 12,
            copy_mode: 2,
            copy: 65_531,
            dropped_full: 3,
            dropped_socket: 9,
            sequence: 100_000,
        };
        assert_eq!(queues.first(), Some(&expected));
        assert_eq!(queues.get(1).map(|queue| queue.port), Some(4_294_963_200));
    }

    #[test]
    fn lines_of_another_shape_are_passed_over() {
        assert_eq!(
            parse_queues("a heading\n\n7 4242 12\n-1 0 0 0 0 0 0 0 0\n"),
            []
        );
    }

    #[test]
    fn a_port_of_another_protocol_is_not_the_holders() {
        let text = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
                    00000000c7f49ef3 0   4242       00000000 0        0        0     2        0        4\n\
                    000000003f5c1f5e 12  4242       00000000 0        0        0     2        0        31337\n";
        assert_eq!(netfilter_inode(text, 4242), Some(31_337));
        assert_eq!(netfilter_inode(text, 1), None);
    }
}

//! What can be wrong with a queue, said so that its owner can act, and what
//! the kernel granted of what was asked for.

use std::fmt;
use std::io;

use super::status::Process;

/// Why a queue could not be opened, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error(
        "the kernel offers no netfilter socket ({0}): it needs nfnetlink and nfnetlink_queue, \
         try `modprobe nfnetlink_queue`"
    )]
    NoNetfilter(io::Error),

    #[error("the kernel has no packet queues ({0}): try `modprobe nfnetlink_queue`")]
    NoQueues(io::Error),

    #[error(
        "not permitted to open queue {number}: this needs CAP_NET_ADMIN in the network \
         namespace; run as root, or `setcap cap_net_admin,cap_net_raw+ep` on the program"
    )]
    NotPermitted { number: u16 },

    #[error(
        "queue {number} is taken by {} (netlink port {port}): end that, or choose another queue number",
        holder(.process.as_ref())
    )]
    Taken {
        number: u16,
        port: u32,
        process: Option<Process>,
    },

    #[error("the kernel refused queue {number}: {error}")]
    Refused { number: u16, error: io::Error },

    #[error("the kernel did not answer the configuration of queue {number} within {seconds} s")]
    Silent { number: u16, seconds: u64 },

    #[error("cannot reserve {bytes} bytes for packets: {error}")]
    Memory { bytes: usize, error: io::Error },

    #[error("cannot read from queue {number}: {error}")]
    Receive { number: u16, error: io::Error },

    /// The verdicts are still here and go out with the next call, if it can.
    #[error("cannot send verdicts for queue {number}: {error}; packets wait in the kernel")]
    Send { number: u16, error: io::Error },
}

fn holder(process: Option<&Process>) -> String {
    process.map_or_else(
        || "a process that cannot be seen from here".to_owned(),
        Process::to_string,
    )
}

/// What the kernel agreed to. Displays as one line.
#[derive(Debug, Default)]
pub struct Granted {
    pub number: u16,
    /// Packets come before they are cut to segments.
    pub gso: bool,
    /// Packets pass when the queue or the socket's buffer is full.
    pub fail_open: bool,
    /// The length asked for is set; otherwise it is the kernel's 1,024.
    pub length: bool,
    /// Bytes that may wait in the socket.
    pub buffer: usize,
    /// What was asked for and not given.
    pub refused: Vec<Refusal>,
}

/// Something asked for and not given.
#[derive(Debug)]
pub struct Refusal {
    pub wish: Wish,
    pub error: io::Error,
}

/// What a queue can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Gso,
    FailOpen,
    Length,
    Buffer,
}

impl fmt::Display for Wish {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Wish::Gso => "packets before segmentation",
            Wish::FailOpen => "fail-open",
            Wish::Length => "the length of the queue",
            Wish::Buffer => "the receive buffer",
        })
    }
}

impl fmt::Display for Granted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "queue {}: ", self.number)?;
        out.write_str(if self.gso {
            "packets before segmentation"
        } else {
            "packets segmented by the kernel"
        })?;
        out.write_str(if self.fail_open {
            ", open when full"
        } else {
            ", closed when full"
        })?;
        if !self.length {
            out.write_str(", the kernel's length")?;
        }
        write!(out, ", buffer of {} kB", self.buffer / 1000)?;
        for refusal in &self.refused {
            write!(out, "; refused: {} ({})", refusal.wish, refusal.error)?;
        }
        Ok(())
    }
}

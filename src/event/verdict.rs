//! What becomes of a packet, and why.

use std::fmt;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Leaves byte for byte as it came.
    Accept,
    /// Leaves with other bytes.
    Rewrite,
    /// Leaves with other bytes, as a packet of our own: the queue that it came
    /// from would not carry it on any more.
    Replace,
    /// Does not leave.
    Drop(DropReason),
    /// A packet of our own making leaves.
    Inject,
}

macro_rules! reasons {
    ($($reason:ident = $name:literal $doc:literal;)*) => {
        /// Why a packet was refused. Every refusal is counted under one of these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason { $(#[doc = $doc] $reason,)* }

        impl DropReason {
            pub const ALL: &[DropReason] = &[$(DropReason::$reason,)*];

            /// The name in summaries and logs.
            pub fn name(self) -> &'static str {
                match self { $(DropReason::$reason => $name,)* }
            }

            /// What it means, as a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(DropReason::$reason => $doc,)* }
            }
        }
    };
}

reasons! {
    Rule = "rule" "A rule dropped the packet.";
    FlowDropped = "flow-dropped" "Its connection was dropped by a rule.";
    FlowReset = "flow-reset" "Its connection was reset by a rule.";
    RuleError = "rule-error" "A listener failed; the failure policy is drop.";
    RuleBudget = "rule-budget" "A listener was stopped at its time or memory budget.";
    NotSent = "not-sent" "A listener took the packet over and never sent it.";
    UnknownDissector = "unknown-dissector" "Profile haka: no dissector for its network protocol.";
    Malformed = "malformed" "A header could not be read.";
    Fragment = "fragment" "A fragment that fits no datagram.";
    FragmentTimeout = "fragment-timeout" "The rest of its datagram never came.";
    FragmentCap = "fragment-cap" "The fragment cap was reached.";
    NoConnection = "no-connection" "Profile haka: no connection for this segment.";
    UnexpectedPacket = "unexpected-packet" "The TCP state machine refused it.";
    Checksum = "checksum" "Its checksum is wrong and checksums are verified.";
    Retransmission = "retransmission" "Its bytes are held already; the first copy leaves instead.";
    ReassemblyCap = "reassembly-cap" "The reassembly queue of its direction is full.";
    HoldCap = "hold-cap" "Too many bytes of its direction are held by readers.";
    TooLong = "too-long" "It was changed, and is too long for the queue to take it back.";
    PacketCap = "packet-cap" "Too many packets are held at once.";
    Anomaly = "anomaly" "A message of its connection cannot be read, or in two ways.";
    Shutdown = "shutdown" "Still held when the capture ended.";
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

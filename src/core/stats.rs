//! Counters of one worker. Plain numbers: each worker has its own.

use crate::event::DropReason;

const REASONS: usize = DropReason::ALL.len();

/// What the engine counted since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub packets: u64,
    pub bytes: u64,
    pub accepted: u64,
    pub rewritten: u64,
    pub injected: u64,
    /// Bytes of the packets that left.
    pub sent_bytes: u64,
    /// By `DropReason`.
    pub drops: Drops,
    pub malformed: u64,
    pub undecoded_link: u64,
    pub unknown_protocol: u64,
    pub flows: u64,
    pub flows_evicted: u64,
    pub flows_refused: u64,
    pub midstream_flows: u64,
    /// Flows of which the rest was let pass unseen.
    pub flows_bypassed: u64,
    pub unexpected_segments: u64,
    pub ignored_rst: u64,
    pub bad_checksums: u64,
    pub out_of_window: u64,
    pub retransmissions: u64,
    /// Retransmitted or overlapping bytes that differed from the judged ones.
    pub conflicts: u64,
    pub reassembly_caps: u64,
    pub hold_caps: u64,
    /// Packets that left before their bytes were judged, or put in order.
    pub sent_ahead: u64,
    /// Packets whose judged front left while readers held their end.
    pub sent_fronts: u64,
    /// Times that `hold_time` or `hole_time` was over.
    pub hold_timeouts: u64,
    /// Holes whose bytes their receivers had without our seeing them.
    pub unseen_holes: u64,
    /// Acknowledgements sent for receivers, so that a hole is filled.
    pub behalf_acks: u64,
    /// Those among them that tell a sender to go on, of bytes that are held.
    pub vouched_acks: u64,
    /// Segments of such bytes that left again.
    pub vouched_again: u64,
    /// Acknowledgements sent on without the bytes they came with.
    pub ack_copies: u64,
    pub kept_caps: u64,
    /// Segments that waited for their receiver's window, and those that would
    /// have but for the cap.
    pub window_waits: u64,
    pub window_caps: u64,
    /// Retransmissions of judged bytes that `kept_bytes` had taken.
    pub forgotten_bytes: u64,
    /// Timers of rules that were refused.
    pub timer_caps: u64,
    /// Packets that left although nobody judged their bytes (stream gaps).
    pub unjudged: u64,
    pub fragments: u64,
    pub fragment_conflicts: u64,
    pub rule_errors: u64,
    pub rules_stopped: u64,
    pub tunnels: u64,
    /// HTTP messages that can be read in two ways, or in none.
    pub http_anomalies: u64,
    /// What no well-behaved peer sends, of SMTP, FTP and SSH.
    pub dialogue_anomalies: u64,
    /// DNS messages that cannot be read, or that nobody waits for.
    pub dns_anomalies: u64,
    /// DNS queries whose response did not come in time.
    pub dns_unanswered: u64,
    /// Hellos of TLS clients that could not be read.
    pub tls_anomalies: u64,
    pub packet_cap: u64,
}

/// Refused packets by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drops([u64; REASONS]);

impl Default for Drops {
    fn default() -> Self {
        Drops([0; REASONS])
    }
}

impl std::ops::Index<usize> for Drops {
    type Output = u64;
    fn index(&self, reason: usize) -> &u64 {
        &self.0[reason]
    }
}

impl std::ops::IndexMut<usize> for Drops {
    fn index_mut(&mut self, reason: usize) -> &mut u64 {
        &mut self.0[reason]
    }
}

impl Drops {
    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|&reason| (reason, self[reason as usize]))
            .filter(|(_, count)| *count > 0)
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

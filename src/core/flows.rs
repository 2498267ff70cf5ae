//! The flow table with the states and time-outs that all protocols share.

use std::io;
use std::time::Duration;

use crate::flow::Direction;
use crate::flow::key::FlowKey;
use crate::flow::record::{FlowRecord, flags};
use crate::flow::table::{FlowTable, Opening, TableFull};
use crate::time::Timestamp;

/// Values of `FlowRecord::state`, for all protocols. The names are RFC
/// 9293's where it has them, in the spelling that rules see.
pub mod flow_state {
    /// Counted only: no protocol follows it.
    pub const UNTRACKED: u8 = 0;
    pub const SYN: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECEIVED: u8 = 3;
    pub const ESTABLISHED: u8 = 4;
    pub const FIN_WAIT_1: u8 = 5;
    pub const FIN_WAIT_2: u8 = 6;
    pub const CLOSING: u8 = 7;
    pub const TIMED_WAIT: u8 = 8;
    pub const RESET: u8 = 9;
    /// Dropped by a rule; its packets are refused in silence.
    pub const DROP: u8 = 10;

    /// What rules see of each.
    pub const NAMES: [&str; 11] = [
        "",
        "syn",
        "syn_sent",
        "syn_received",
        "established",
        "fin_wait_1",
        "fin_wait_2",
        "closing",
        "timed_wait",
        "reset",
        "drop",
    ];
}

/// How long a flow without packets stays, by its state.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub half_open: Duration,
    pub tcp_established: Option<Duration>,
    /// Closed, reset, dropped or bypassed flows are remembered this long.
    pub closed: Duration,
    pub udp: Duration,
    pub other: Duration,
}

impl Timeouts {
    fn of(&self, flow: &FlowRecord) -> Duration {
        const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
        if flow.has(flags::BYPASSED) {
            // Its further packets may never come here.
            return self.closed;
        }
        match (flow.protocol, flow.state) {
            (_, flow_state::UNTRACKED) => self.other,
            (_, flow_state::TIMED_WAIT | flow_state::RESET | flow_state::DROP) => self.closed,
            (6, flow_state::SYN | flow_state::SYN_SENT) => {
                if self.tcp_established.is_some() {
                    self.half_open
                } else {
                    NEVER
                }
            }
            (6, _) => self.tcp_established.unwrap_or(NEVER),
            _ => self.udp,
        }
    }
}

/// All flows of one worker.
pub struct Flows {
    table: FlowTable,
    /// No timer fires before this time, so that most packets need not ask.
    quiet_until: Timestamp,
    pub timeouts: Timeouts,
}

impl Flows {
    pub fn new(max_flows: u32, seed: u64) -> io::Result<Flows> {
        let mut table = FlowTable::new(max_flows.next_power_of_two(), seed)?;
        table.set_max_half_open(max_flows / 4 * 3);
        let timeouts = Timeouts {
            half_open: Duration::from_secs(60),
            tcp_established: Some(Duration::from_secs(3600)),
            closed: Duration::from_secs(60),
            udp: Duration::from_secs(60),
            other: Duration::from_secs(60),
        };
        Ok(Flows {
            table,
            quiet_until: Timestamp(i64::MIN),
            timeouts,
        })
    }

    #[inline]
    pub fn find(&self, key: &FlowKey) -> Option<(u32, Direction)> {
        self.table.find(key)
    }

    /// Adds a flow and arms its idle timer.
    ///
    /// # Errors
    /// When a cap is reached; [`Flows::victim`] finds room.
    pub fn insert(
        &mut self,
        key: &FlowKey,
        opening: Opening,
        now: Timestamp,
        frame: u64,
        state: u8,
    ) -> Result<u32, TableFull> {
        let slot = self.table.insert(key, opening, now, frame)?;
        if let Some(record) = self.table.record_mut(slot) {
            record.state = state;
        }
        self.rearm(slot, now);
        Ok(slot)
    }

    /// The flow to give up for a newcomer, if any may be.
    pub fn victim(&mut self, newcomer: Opening) -> Option<u32> {
        self.table.evict_candidate(newcomer)
    }

    pub fn remove(&mut self, slot: u32) {
        self.table.remove(slot);
    }

    /// The other side answered.
    pub fn establish(&mut self, slot: u32, now: Timestamp) {
        self.table.establish(slot);
        self.rearm(slot, now);
    }

    /// Changes the state and with it the time-out.
    pub fn set_state(&mut self, slot: u32, state: u8, now: Timestamp) {
        if let Some(record) = self.table.record_mut(slot) {
            if record.state == state {
                return;
            }
            record.state = state;
            record.last_seen = record.last_seen.max(now);
        }
        self.rearm(slot, now);
    }

    /// Arms the idle timer anew.
    pub fn rearm(&mut self, slot: u32, now: Timestamp) {
        if let Some(record) = self.table.record(slot) {
            let deadline = now + self.timeouts.of(record);
            self.quiet_until = self.quiet_until.min(deadline);
            self.table.arm(slot, now, deadline);
        }
    }

    #[inline(always)]
    pub fn live(&self, slot: u32) -> Option<&FlowRecord> {
        self.table.record(slot)
    }

    #[inline(always)]
    pub fn live_mut(&mut self, slot: u32) -> Option<&mut FlowRecord> {
        self.table.record_mut(slot)
    }

    /// Whether [`Flows::next_expired`] may have something.
    #[inline]
    pub fn timer_due(&mut self, now: Timestamp) -> bool {
        if now < self.quiet_until {
            return false;
        }
        self.quiet_until = self.table.next_deadline().unwrap_or(Timestamp(i64::MAX));
        self.quiet_until <= now
    }

    /// The next flow that was idle for too long.
    pub fn next_expired(&mut self, now: Timestamp) -> Option<u32> {
        let timeouts = self.timeouts;
        self.table.next_idle(now, |record| timeouts.of(record))
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.table.next_deadline()
    }

    /// Slots of all flows, the newest first.
    pub fn newest_first(&self) -> Vec<u32> {
        let mut flows: Vec<_> = self
            .table
            .iter_live()
            .map(|(slot, record)| (record.id, slot))
            .collect();
        flows.sort_unstable_by_key(|&(id, _)| std::cmp::Reverse(id));
        flows.into_iter().map(|(_, slot)| slot).collect()
    }

    pub fn len(&self) -> u32 {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// For Lua: the first record, and the mask that keeps any number inside
    /// the arena.
    pub fn base(&self) -> (*const FlowRecord, u32) {
        (self.table.base_ptr(), self.table.capacity() - 1)
    }
}

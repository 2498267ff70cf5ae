//! Connections whose rest passes without being shown to rules.
//!
//! A rule says so, or a limit of the operator's does. Inline, the packets
//! that still come carry the wish to the firewall, which then keeps the rest
//! out of the queue. Not here: marks (`capture`, `gateway`).

use super::Tcp;
use crate::flow::Direction;
use crate::flow::record::flags;

/// Lets the rest of a connection pass; what is held leaves as it came. False
/// if rules have edited it: its numbers must be translated to its end.
pub fn bypass(mut tcp: Tcp<'_>, flow: u32) -> bool {
    if tcp.is_edited(flow) {
        return false;
    }
    for direction in Direction::BOTH {
        tcp.abandon(flow, direction, None);
    }
    let now = tcp.core.now;
    if let Some(record) = tcp.core.flows.live_mut(flow) {
        record.flags |= flags::IGNORED | flags::BYPASSED;
    }
    tcp.core.flows.rearm(flow, now);
    tcp.core.stats.flows_bypassed += 1;
    true
}

impl Tcp<'_> {
    /// Whether rules have changed bytes of either direction, or are about to.
    fn is_edited(&mut self, flow: u32) -> bool {
        let Some(connection) = self.connection(flow) else {
            return false;
        };
        let edited = connection
            .halves
            .iter()
            .any(|half| half.is_edited() || half.is_translated());
        let streams = Direction::BOTH.map(|direction| {
            let heavy = connection.half(direction).heavy.as_ref();
            heavy.and_then(|heavy| heavy.stream)
        });
        edited
            || streams
                .into_iter()
                .flatten()
                .any(|stream| self.core.bufs.is_modified(stream))
    }

    /// Whether a flow has shown what an operator wants to see of it.
    pub(super) fn has_seen_enough(&self, flow: u32) -> bool {
        let limit = self.core.settings.bypass_bytes;
        self.core.flows.live(flow).is_some_and(|record| {
            record.has(flags::SETTLED) || limit > 0 && record.bytes.iter().sum::<u64>() > limit
        })
    }
}

//! How connections end: by their own packets, by rules, by time.

use smallvec::SmallVec;

use super::receive::ends;
use super::reset::{TOWARDS_CLIENT, TOWARDS_SERVER};
use super::{Connection, Half, Tcp};
use crate::core::{Core, Frame, Op, Step, flow_state};
use crate::event::{DropReason, EventKind, ListenerFailed};
use crate::flow::Direction;
use crate::packet::record::{dirty, flag};

/// Why a flow ends, in `Frame::detail`.
pub mod cause {
    pub const DROPPED: u8 = 0;
    pub const RESET_BY_RULE: u8 = 1;
    /// An RST of one of the ends.
    pub const RST_SEEN: u8 = 2;
    /// A new SYN on the same key.
    pub const REOPENED: u8 = 3;
    /// Idle for too long, or gone from a closed state.
    pub const EXPIRED: u8 = 4;
    /// Gave way to another in a full table.
    pub const EVICTED: u8 = 5;
    /// The state machine failed (profile `haka`), or a rule did.
    pub const FAILED: u8 = 6;
    /// The capture ended.
    pub const SHUTDOWN: u8 = 7;
    /// Both sides closed.
    pub const CLOSED: u8 = 8;
    /// Its dissector refuses what it reads.
    pub const REFUSED: u8 = 9;
}

use cause::*;

/// Ends a connection: its packets first, then the event, then the entry.
pub fn end(mut tcp: Tcp<'_>, frame: Frame) -> Option<Step> {
    let Some(record) = tcp.core.flows.live(frame.flow()).copied() else {
        tcp.core.stack.pop();
        return None;
    };
    if frame.stage() == 0 {
        tcp.goto(1);
        tcp.core
            .observe(|observer, core| observer.ending(core, frame.flow(), frame.detail()));
        return tcp.begin_end(frame, record.state);
    }
    tcp.core.stack.pop();
    let now = tcp.core.now;
    match frame.detail() {
        DROPPED | RESET_BY_RULE | REFUSED => {}
        RST_SEEN => {
            if tcp.core.settings.defaults.strict_handshake {
                tcp.core
                    .debug("conn", || format!("dropping connection {}", ends(&record)));
            }
            tcp.core
                .flows
                .set_state(frame.flow(), flow_state::RESET, now);
        }
        CLOSED => {}
        _ => tcp.forget(frame.flow(), frame.detail()),
    }
    None
}

/// A timer of the connection expired.
pub fn expired(tcp: Tcp<'_>, flow: u32) {
    tcp.core
        .push(Frame::on_flow(Op::TcpEnd, flow, Direction::ToServer).with(EXPIRED));
}

/// The capture ended with the connection still there.
pub fn closing_down(mut tcp: Tcp<'_>, flow: u32) {
    let is_open = tcp.core.flows.live(flow).is_some_and(|record| {
        (flow_state::ESTABLISHED..flow_state::TIMED_WAIT).contains(&record.state)
    });
    let renumbered = tcp
        .connection(flow)
        .is_some_and(|connection| connection.halves.iter().any(Half::is_renumbered));
    if tcp.core.settings.live && is_open && renumbered {
        // Nobody translates its numbers any more: its ends would wait in vain.
        let both = TOWARDS_SERVER | TOWARDS_CLIENT;
        tcp.core
            .push(Frame::on_flow(Op::TcpReset, flow, Direction::ToServer).with(both));
        return;
    }
    tcp.core
        .push(Frame::on_flow(Op::TcpEnd, flow, Direction::ToServer).with(SHUTDOWN));
}

/// A listener of the connection failed.
pub fn failed(mut tcp: Tcp<'_>, flow: u32, reason: DropReason, failure: ListenerFailed) {
    let packet = tcp.core.current.packet;
    if failure == ListenerFailed::Abort {
        // Processing stops silently; what was not sent does not leave.
        tcp.core.drop_packet_with(packet, DropReason::NotSent);
        return;
    }
    for direction in Direction::BOTH {
        tcp.abandon(flow, direction, Some(reason));
    }
    tcp.core.drop_packet_with(packet, reason);
    let close = tcp.core.settings.defaults.close_on_error;
    let detail = if close { FAILED } else { DROPPED };
    tcp.core
        .push(Frame::on_flow(Op::TcpEnd, flow, Direction::ToServer).with(detail));
}

impl Tcp<'_> {
    fn begin_end(&mut self, frame: Frame, state: u8) -> Option<Step> {
        let flow = frame.flow();
        let now = self.core.now;
        match frame.detail() {
            DROPPED | RESET_BY_RULE | REFUSED => {
                if state == flow_state::DROP {
                    self.core.stack.pop();
                    return None;
                }
                let reason = match frame.detail() {
                    DROPPED => DropReason::FlowDropped,
                    REFUSED => DropReason::Anomaly,
                    _ => DropReason::FlowReset,
                };
                for direction in Direction::BOTH {
                    self.abandon(flow, direction, Some(reason));
                }
                if let Some(record) = self.core.flows.live(flow).copied() {
                    self.core
                        .debug("conn", || format!("dropping connection {}", ends(&record)));
                }
                self.core.flows.set_state(flow, flow_state::DROP, now);
            }
            // Nothing is held back by two FINs that were judged.
            CLOSED => {}
            RST_SEEN | REOPENED | EXPIRED | EVICTED => {
                // What nobody has judged passes, unless rules must judge it.
                let strict = self.core.settings.defaults.strict_handshake;
                for direction in Direction::BOTH {
                    self.abandon(flow, direction, strict.then_some(DropReason::FlowReset));
                }
            }
            _ => {
                let strict = self.core.settings.defaults.strict_handshake;
                for direction in Direction::BOTH {
                    self.abandon(flow, direction, strict.then_some(DropReason::Shutdown));
                }
            }
        }
        self.raise_end(flow)
    }

    /// Raises `end_connection`, once.
    pub(super) fn raise_end(&mut self, flow: u32) -> Option<Step> {
        let connection = self.connection(flow)?;
        if std::mem::replace(&mut connection.ended, true) {
            return None;
        }
        let packet = self.core.current.packet;
        self.event(
            EventKind::TcpEndConnection,
            flow,
            packet,
            Direction::ToServer,
        )
    }

    /// Removes the connection from the table.
    fn forget(&mut self, flow: u32, cause: u8) {
        let Some(record) = self.core.flows.live(flow).copied() else {
            return;
        };
        let word = if cause == SHUTDOWN && !matches!(record.state, flow_state::ESTABLISHED) {
            "release"
        } else {
            "closing"
        };
        self.core
            .debug("conn", || format!("{word} connection {}", ends(&record)));
        self.core
            .observe(|observer, core| observer.closed(core, flow, cause));
        if let Some(mut connection) = self.connections.remove(record.side) {
            free_buffers(self.core, &mut connection);
        }
        self.core.flows.remove(flow);
    }

    /// Gives everything that a direction holds its verdict: refused with a
    /// reason, or sent as it came. Its stream is gone afterwards.
    pub(super) fn abandon(&mut self, flow: u32, direction: Direction, reason: Option<DropReason>) {
        let side = self.core.flows.live(flow).map(|record| record.side);
        let Some(connection) = side.and_then(|side| self.connections.get_mut(side)) else {
            return;
        };
        let half = connection.half(direction);
        let next = half.next;
        let Some(heavy) = half.heavy.as_mut() else {
            return;
        };
        if let Some(stream) = heavy.stream.take() {
            // What was written in place stands in the packets.
            if self.core.bufs.is_modified(stream) {
                heavy.edited = true;
                for held in heavy.held.iter().filter(|held| held.waits()) {
                    self.core.packet_mut(held.packet).dirty |= dirty::TRANSPORT;
                }
            }
            self.core.bury(stream);
        }
        if let Some(attached) = &mut connection.application {
            attached.close(self.core);
        }
        let Some(heavy) = connection.half(direction).heavy.as_mut() else {
            return;
        };
        let missing = heavy.assembler.first_gap(next);
        let queued: SmallVec<[_; 4]> = heavy.assembler.drain().collect();
        let early_fin = heavy.early_fin.take().map(|fin| fin.packet);
        if missing.is_some() {
            self.core
                .observe(|observer, core| observer.gap(core, flow, direction, &queued));
        }
        let mut sent = self.abandon_held(flow, direction, reason);
        let rest = queued
            .iter()
            .filter(|piece| piece.last)
            .map(|piece| piece.token);
        for slot in rest.chain(early_fin) {
            self.core.packet_mut(slot).flags &= !flag::HELD;
            match reason {
                Some(reason) => self.core.drop_packet_with(slot, reason),
                None => sent.extend(self.unjudged(flow, direction, slot)),
            }
        }
        self.core.send_all(&sent, 0);
        self.empty_parked(flow, direction, reason);
    }

    /// Gives up what readers hold of a direction. Returns the packets that
    /// leave, the oldest first.
    fn abandon_held(
        &mut self,
        flow: u32,
        direction: Direction,
        reason: Option<DropReason>,
    ) -> SmallVec<[u32; 8]> {
        let mut sent = SmallVec::new();
        while let Some(held) = self
            .half(flow, direction)
            .and_then(|half| half.heavy.as_ref()?.held.front().copied())
        {
            match reason {
                None => {
                    self.core.stats.unjudged += u64::from(held.last && held.waits());
                    sent.extend(self.judged(flow, direction, held, None));
                }
                Some(reason) => {
                    if let Some(heavy) = self
                        .half(flow, direction)
                        .and_then(|half| half.heavy.as_mut())
                    {
                        heavy.held.pop_front();
                        heavy.held_bytes -= held.len;
                        heavy.waiting_bytes -= if held.waits() { held.len } else { 0 };
                    }
                    if held.last {
                        self.core.packet_mut(held.packet).flags &= !flag::HELD;
                        self.core.drop_packet_with(held.packet, reason);
                    }
                }
            }
        }
        sent
    }

    /// Makes a packet ready to leave on whose bytes nobody will judge.
    /// `None` for one that has left.
    fn unjudged(&mut self, flow: u32, direction: Direction, slot: u32) -> Option<u32> {
        if let Some(segment) = super::segment::Segment::read(self.core, slot) {
            self.unread(flow, direction, slot, &segment);
        }
        if self.core.packet(slot).flags & flag::AHEAD != 0 {
            self.core.retire_stand_in(slot);
            return None;
        }
        self.core.stats.unjudged += 1;
        Some(slot)
    }
}

fn free_buffers(core: &mut Core, connection: &mut Connection) {
    if let Some(attached) = &mut connection.application {
        attached.close(core);
    }
    for half in &mut connection.halves {
        if let Some(heavy) = half.heavy.as_mut() {
            if let Some(deadline) = heavy.deadline.take() {
                core.deadlines.clear(deadline);
            }
            heavy.kept.clear(&mut core.bufs.extents);
            if let Some(stream) = heavy.stream.take() {
                core.bury(stream);
            }
        }
    }
}

//! How long segments may be held inline.
//!
//! Bytes that are held are not acknowledged: a sender stops at its
//! congestion window, which is about ten segments at first, or sends again
//! after some 200 ms. So readers that hold bytes are waited for until that
//! many segments wait, until they fill their receiver's window, or for
//! `hold_time` once all that left is acknowledged; then the policy applies:
//! what waits leaves ahead of its judgement, or the connection is dropped.
//! Behind a hole nothing is lost by waiting, since the sender is told
//! (`behalf`) and repairs it: where rules may edit, those segments wait for
//! `hole_time`; elsewhere not at all. What readers hold before such a hole
//! waits as long: it stops its sender no more than what is behind (`vouch`).
//! Only on live traffic. Not here: how segments leave (`ahead`).

use std::time::Duration;

use super::Tcp;
use super::connection::Held;
use super::renumber::acknowledgement;
use super::segment::Segment;
use crate::core::deadlines::Waiting;
use crate::core::{Frame, Op};
use crate::event::Level;
use crate::event::profile::CapPolicy;
use crate::flow::Direction;
use crate::packet::record::flag;
use crate::time::Timestamp;

/// A direction's deadline has come.
pub fn overdue(mut tcp: Tcp<'_>, (flow, generation, direction): Waiting) {
    let same = tcp
        .core
        .flows
        .live(flow)
        .is_some_and(|record| record.generation() == generation);
    if same {
        tcp.deadline_came(flow, direction);
    }
}

/// A deadline that comes this late says that nobody looked at packets either,
/// and for so long they get their turn.
const LATE: Duration = Duration::from_millis(20);
const GRACE: Duration = Duration::from_millis(5);

const TOO_MUCH: &str = "rules wait for more than its sender can send";

/// What a direction waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Readers that hold as many bytes as may be.
    Room,
    /// Readers that hold bytes in order.
    Readers,
    /// Bytes that are missing.
    Hole,
}

impl Tcp<'_> {
    /// Whether segments that are held have to keep a sender going.
    pub(super) fn is_paced(&self) -> bool {
        self.core.settings.is_paced()
    }

    /// A segment was queued behind a hole.
    pub(super) fn behind_hole(&mut self, frame: Frame, segment: &Segment) {
        let (flow, direction) = (frame.flow(), frame.direction());
        let edits = self.may_edit(flow);
        let now = self.core.now;
        let Some(half) = self.half(flow, direction) else {
            return;
        };
        let end = half.offset_of(segment.seq) + i64::from(segment.len);
        let heavy = half.heavy();
        if heavy.assembler.segments() + usize::from(heavy.early_fin.is_some()) == 1 {
            heavy.hole_since = now;
        }
        let frozen = end.max(0) as u64 <= heavy.ahead_to && segment.len > 0;
        if !edits || frozen || heavy.hole_given_up {
            let place = (end - i64::from(segment.len)).max(0) as u64..end.max(0) as u64;
            return self.hurry(flow, direction, frame.packet(), place);
        }
        self.copy_acknowledgement(frame);
        self.acknowledge_hole(frame, segment);
        self.wait(flow, direction);
    }

    /// A reader holds the oldest piece of a direction.
    pub(super) fn still_held(&mut self, frame: Frame) {
        let (flow, direction) = (frame.flow(), frame.direction());
        let Some(heavy) = self
            .half(flow, direction)
            .and_then(|half| half.heavy.as_mut())
        else {
            return;
        };
        heavy.reader_given_up &= heavy.left() > 0;
        heavy.front_tried = false;
        let mut waiting = heavy.held.iter().skip(heavy.left());
        if !waiting.any(Held::waits) {
            return;
        }
        // Whoever is reading may let go of it yet.
        let reading = self
            .connection(flow)
            .is_some_and(|connection| connection.is_reading);
        let gone = |tcp: &mut Self| !reading && tcp.has_no_room(flow, direction);
        if gone(self) && (!self.send_front(flow, direction) || gone(self)) {
            self.core.stats.hold_caps += 1;
            return self.give_up(flow, direction, For::Room);
        }
        self.copy_acknowledgement(frame);
        self.wait(flow, direction);
    }

    /// Whether a reader holds more of a direction than its sender can send
    /// without hearing of it.
    fn has_no_room(&mut self, flow: u32, direction: Direction) -> bool {
        let most = self.core.settings.hold_segments;
        let Some(connection) = self.connection(flow) else {
            return false;
        };
        let mss = connection.mss();
        let Some(heavy) = connection.half(direction).heavy.as_mut() else {
            return false;
        };
        // One alone may be a whole window that an offloading card put
        // together, of which readers hold but the end.
        let waiting = heavy.held.iter().skip(heavy.left());
        let pieces = waiting.filter(|held| held.waits()).take(2).count();
        let full = pieces > 1 && heavy.waiting_bytes >= most.saturating_mul(mss);
        let given_up = heavy.reader_given_up;
        full || given_up || self.window_is_used_up(flow, direction, mss)
    }

    /// Whether a connection has lines of ours around what passes, so that
    /// nothing may leave ahead of its judgement.
    pub(super) fn reframes(&mut self, flow: u32) -> bool {
        Direction::BOTH
            .into_iter()
            .any(|direction| self.reframes_in(flow, direction))
    }

    fn reframes_in(&mut self, flow: u32, direction: Direction) -> bool {
        let connection = self.connection(flow);
        let attached = connection.and_then(|connection| connection.application.as_ref());
        attached.is_some_and(|attached| attached.reframes(direction))
    }

    /// Drops a connection that has to wait and cannot.
    pub(super) fn drop_reframed(&mut self, flow: u32, why: &str) {
        let ends = self.core.flows.live(flow).map(super::receive::ends);
        self.core.log_line(Level::Warn, "tcp", || {
            let ends = ends.unwrap_or_default();
            format!("{ends}: {why}, and its bodies are framed anew: the connection is dropped")
        });
        self.drop_held(flow);
    }

    /// Whether the sender of a direction has no room for another segment in
    /// the window that its receiver announced, and what readers hold is why:
    /// it is most of the window, and all else is acknowledged.
    fn window_is_used_up(&mut self, flow: u32, direction: Direction, mss: u32) -> bool {
        let Some(connection) = self.connection(flow) else {
            return false;
        };
        let shift = connection.window_shift(direction.opposite());
        let half = &connection.halves[direction.index()];
        let Some((ack, window)) = connection.halves[direction.opposite().index()].acked else {
            return false;
        };
        let (ack, room) = acknowledgement(half, ack, window, shift);
        let (acked, room) = (half.offset_of(ack), i64::from(room) << shift);
        let waiting = half.heavy.as_ref().map_or(0, |heavy| heavy.waiting_bytes);
        half.next as i64 + i64::from(mss) > acked + room
            && acked >= half.released() as i64
            && i64::from(waiting) * 2 >= room
    }

    /// Sees to it that a direction is looked at when something in it has
    /// waited for long enough.
    fn wait(&mut self, flow: u32, direction: Direction) {
        let Some(due) = self.next_due(flow, direction).into_iter().flatten().min() else {
            return;
        };
        let set = self
            .half(flow, direction)
            .and_then(|half| half.heavy.as_ref())
            .is_none_or(|heavy| heavy.deadline.is_some() && heavy.deadline_at <= due);
        if !set {
            self.set_deadline(flow, direction, due);
        }
    }

    pub(super) fn set_deadline(&mut self, flow: u32, direction: Direction, due: Timestamp) {
        let Some(record) = self.core.flows.live(flow) else {
            return;
        };
        let waiting = (flow, record.generation(), direction);
        let connection = self.connections.get_mut(record.side);
        let half = connection.map(|connection| connection.half(direction));
        if let Some(heavy) = half.and_then(|half| half.heavy.as_mut()) {
            if let Some(deadline) = heavy.deadline.take() {
                self.core.deadlines.clear(deadline);
            }
            heavy.deadline = self.core.deadlines.set(due, waiting);
            heavy.deadline_at = due;
        }
    }

    /// When readers, and when a hole, will have been waited for long enough,
    /// and when the front of what readers hold.
    fn next_due(&mut self, flow: u32, direction: Direction) -> [Option<Timestamp>; 3] {
        let settings = &self.core.settings;
        let span = |ms: u32| Duration::from_millis(u64::from(ms));
        let (hold, hole) = (span(settings.hold_time), span(settings.hole_time));
        let front = span(settings.front_time);
        let vouches = self.may_vouch(flow);
        let side = self.core.flows.live(flow).map(|record| record.side);
        let connection = side.and_then(|side| self.connections.get(side));
        let half = connection.map(|connection| &connection.halves[direction.index()]);
        let Some(heavy) = half.and_then(|half| half.heavy.as_ref()) else {
            return [None; 3];
        };
        let mut held = heavy.held.iter().skip(heavy.left());
        // Its sender may have stood still since then, not before.
        let held = held.find(|held| held.waits());
        let held = held.map(|held| held.since.max(heavy.heard_at));
        let newest = heavy.held.back().filter(|_| !heavy.front_tried);
        let queued = heavy.assembler.pieces().map(|piece| piece.token);
        let waits = queued
            .chain(heavy.early_fin.map(|fin| fin.packet))
            .any(|slot| self.core.packet(slot).flags & flag::AHEAD == 0);
        [
            held.filter(|_| !(waits && vouches))
                .map(|since| since + hold),
            waits.then_some(heavy.hole_since + hole),
            held.and(newest).map(|held| held.since + front),
        ]
    }

    /// The receiver of a direction has acknowledged so many bytes, as it
    /// counts. If some of them are missing here, they went another way, as
    /// when a queue was full: the hole will never be filled.
    pub(super) fn note_unseen(&mut self, flow: u32, direction: Direction, acked: u64) {
        let now = self.core.now;
        let Some(record) = self.core.flows.live(flow).copied() else {
            return;
        };
        // Otherwise nothing can have passed by: two ends that pretend it to be
        // let alone are not believed.
        let paced = self.is_paced() && self.core.settings.passes_unseen;
        let Some(connection) = self.connections.get_mut(record.side) else {
            return;
        };
        let half = connection.half(direction);
        let missing = half.to_new(half.next);
        let queued = half.heavy.as_ref().and_then(|heavy| heavy.assembler.end());
        let queued = queued.map(|end| half.to_new(end));
        // What was never sent is acknowledged by nobody who can be believed.
        let unseen = acked > missing && queued.is_some_and(|queued| acked <= queued);
        let Some(heavy) = half.heavy.as_mut().filter(|_| unseen && paced) else {
            return;
        };
        if std::mem::replace(&mut heavy.hole_unseen, true) {
            return;
        }
        // A packet is under way: this is for when time is looked at next.
        self.set_deadline(flow, direction, now);
    }

    fn deadline_came(&mut self, flow: u32, direction: Direction) {
        let now = self.core.now;
        let (mut unseen, mut lost) = (false, false);
        if let Some(half) = self.half(flow, direction) {
            let heavy = half.heavy();
            heavy.deadline = None;
            unseen = std::mem::take(&mut heavy.hole_unseen) && !heavy.assembler.is_empty();
            lost = heavy.vouched_lost;
        }
        if lost {
            return self.drop_forgotten(flow);
        }
        if unseen {
            self.core.stats.unseen_holes += 1;
            return match self.core.settings.hold_policy {
                CapPolicy::Drop => self.drop_held(flow),
                CapPolicy::Release => {
                    self.go_unjudged(
                        flow,
                        "bytes of a connection passed unseen: it goes on unjudged",
                    );
                }
            };
        }
        if self.is_late(flow, direction) {
            return;
        }
        let due = self.next_due(flow, direction);
        let [mut reader, hole, front] = due.map(|due| due.is_some_and(|due| due <= now));
        if reader || front {
            reader &= !self.send_front(flow, direction);
            if let Some(half) = self.half(flow, direction) {
                half.heavy().front_tried = true;
            }
        }
        if reader && self.is_under_way(flow, direction) {
            // Its sender waits for its receiver.
            reader = false;
            if let Some(half) = self.half(flow, direction) {
                half.heavy().heard_at = now;
            }
        }
        if !reader && !hole {
            return self.wait(flow, direction);
        }
        self.core.stats.hold_timeouts += 1;
        if hole && self.reframes_in(flow, direction) {
            // Its sender repairs it, and nothing is lost by waiting.
            if let Some(half) = self.half(flow, direction) {
                half.heavy().hole_since = now;
            }
            if reader {
                self.give_up(flow, direction, For::Readers);
            }
            return self.wait(flow, direction);
        }
        if let Some(half) = self.half(flow, direction) {
            let heavy = half.heavy();
            heavy.hole_given_up |= hole;
            heavy.reader_given_up |= reader;
        }
        let why = if hole { For::Hole } else { For::Readers };
        self.give_up(flow, direction, why);
        if !hole {
            self.wait(flow, direction);
        }
    }

    /// Whether a deadline came so late that packets may have waited meanwhile:
    /// those are looked at first.
    fn is_late(&mut self, flow: u32, direction: Direction) -> bool {
        let now = self.core.now;
        let Some(half) = self.half(flow, direction) else {
            return false;
        };
        let heavy = half.heavy();
        let late = now.0 - heavy.deadline_at.0 > LATE.as_nanos() as i64 && !heavy.was_late;
        heavy.was_late = late;
        if late {
            self.set_deadline(flow, direction, now + GRACE);
        }
        late
    }

    /// Whether something has left in a direction that its receiver did not
    /// acknowledge yet.
    fn is_under_way(&mut self, flow: u32, direction: Direction) -> bool {
        let Some(connection) = self.connection(flow) else {
            return false;
        };
        let acked = connection.halves[direction.opposite().index()].acked;
        let half = &connection.halves[direction.index()];
        let left = half.to_new(half.released());
        acked
            .and_then(|(ack, _)| half.new_offset_of(ack))
            .is_some_and(|acked| acked < left)
    }

    /// What waits in a direction leaves, or the connection is dropped.
    fn give_up(&mut self, flow: u32, direction: Direction, why: For) {
        let (name, limit) = match why {
            For::Room => ("hold_segments", self.core.settings.hold_segments),
            For::Readers => ("hold_time", self.core.settings.hold_time),
            For::Hole => ("hole_time", self.core.settings.hole_time),
        };
        self.core.tell_cap(Some(flow), name, u64::from(limit));
        if self.core.settings.hold_policy == CapPolicy::Drop {
            return self.drop_held(flow);
        }
        if self.reframes_in(flow, direction) {
            return self.give_back(flow, direction, why);
        }
        self.tell_ahead(flow, why);
        self.leave_ahead(flow, direction, why == For::Hole);
    }

    /// As [`Tcp::give_up`], where what leaves needs lines around it: whoever
    /// writes these puts it back in its stream first, and it leaves from there.
    fn give_back(&mut self, flow: u32, direction: Direction, why: For) {
        let side = self.core.flows.live(flow).map(|record| record.side);
        let Some(connection) = side.and_then(|side| self.connections.get_mut(side)) else {
            return;
        };
        // What comes behind it has to be framed too.
        connection.half(direction).heavy().reader_given_up = false;
        let attached = connection.application.as_mut();
        let count = attached.and_then(|attached| attached.give_back(self.core, direction));
        match count {
            Some(0) if !self.has_no_room(flow, direction) => {
                // One of the lines is not whole: it comes, or its sender stops.
                let now = self.core.now;
                if let Some(half) = self.half(flow, direction) {
                    let heavy = half.heavy();
                    for held in &mut heavy.held {
                        held.since = now;
                    }
                }
                self.wait(flow, direction);
            }
            None | Some(0) => {
                self.core.stats.hold_caps += u64::from(why == For::Readers);
                self.drop_reframed(flow, TOO_MUCH);
            }
            Some(_) => {
                self.tell_ahead(flow, why);
                self.core
                    .push(Frame::on_flow(Op::TcpRelease, flow, direction));
            }
        }
    }

    /// Logs, once for a connection, that rules come too late for some of it.
    fn tell_ahead(&mut self, flow: u32, why: For) {
        let told = self
            .connection(flow)
            .is_none_or(|connection| std::mem::replace(&mut connection.told_ahead, true));
        if told {
            return;
        }
        let ends = self.core.flows.live(flow).map(super::receive::ends);
        let what = match why {
            For::Room | For::Readers => TOO_MUCH,
            For::Hole => "missing bytes do not come",
        };
        self.core.log_line(Level::Info, "tcp", || {
            let ends = ends.unwrap_or_default();
            format!("{ends}: {what}: segments leave before they are judged")
        });
    }
}

//! Bytes that nobody looks at in a stream that somebody reads: the body of a
//! message whose reader knows how far it goes.
//!
//! They count as judged and are kept like all that was, so that a
//! retransmission brings the same bytes; but they never enter the stream's
//! buffer, and their segment is not held for a moment.

use super::Tcp;
use super::connection::Held;
use super::segment::Segment;
use crate::core::Frame;
use crate::event::EventKind;
use crate::packet::record::flag;
use crate::stream::assembler::Piece;

impl Tcp<'_> {
    /// Judges a whole segment, next in order, whose bytes its only reader
    /// does not want to see: its packet may leave. False, with nothing done,
    /// where one of that is not so.
    pub(super) fn pass_over(&mut self, frame: Frame, segment: &Segment, piece: Piece) -> bool {
        let (flow, direction) = (frame.flow(), frame.direction());
        let (hooks, now) = (self.core.hooks, self.core.now);
        if hooks.hears(EventKind::TcpReceiveData) || self.core.observer.is_some() {
            return false;
        }
        let packet = self.core.packet(frame.packet());
        let whole = piece.skip == 0 && packet.payload_at + piece.len == packet.end;
        if !whole || segment.fin() || segment.syn() || packet.flags & flag::AHEAD != 0 {
            return false;
        }
        let Some(connection) = self.connection(flow).filter(|own| !own.scripted) else {
            return false;
        };
        let half = &mut connection.halves[direction.index()];
        let Some(heavy) = &mut half.heavy else {
            return false;
        };
        // Nothing is before it, and nothing waits for it.
        let alone = heavy.is_clear() && heavy.ahead_to <= piece.offset;
        // Whoever is reading has its reader in hand: there is none then.
        let unwanted = alone
            && connection
                .application
                .as_mut()
                .is_some_and(|attached| attached.pass_over(direction, piece.len, hooks));
        if !unwanted {
            return false;
        }
        half.next = piece.end();
        let held = Held {
            packet: frame.packet(),
            offset: piece.offset,
            len: piece.len,
            skip: 0,
            whole: true,
            last: true,
            ends_stream: false,
            piece: None,
            ahead: false,
            left: false,
            since: now,
        };
        // What is queued from here on waits for another hole.
        heavy.hole_since = now;
        heavy.hole_given_up = false;
        heavy.held.push_back(held);
        heavy.held_bytes += held.len;
        heavy.waiting_bytes += held.len;
        self.judged(flow, direction, held, None);
        true
    }
}

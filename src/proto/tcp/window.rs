//! Segments that rules made longer than their receiver's window takes.
//!
//! A sender fills the window that it is told; what rules add to its bytes may
//! end beyond. Receivers refuse such a segment, some of them as a whole. So
//! it is cut at the window's edge, and the rest waits here, in order, until
//! the receiver's acknowledgements make room. While something waits, the
//! window that the sender is told is used up. Only on live traffic, and only
//! in directions that rules have edited. Not here: the windows that senders
//! are told (`renumber`), the cutting (`engine`).

use smallvec::SmallVec;

use super::receive::key;
use super::renumber::awaited_seq;
use super::{Half, Tcp};
use crate::core::frame::JUST_LEAVE;
use crate::event::DropReason;
use crate::flow::Direction;
use crate::packet::decode::TcpHeader;
use crate::packet::record::flag;
use crate::proto::ip;

/// The most packets of a direction that wait.
const MOST: usize = 1024;

/// A packet that waits for room.
#[derive(Clone, Copy, Debug)]
pub struct Parked {
    slot: u32,
    /// Where it begins and ends, as its receiver counts.
    seq: u32,
    end: u32,
}

/// A packet that is about to leave in an edited direction.
struct Bound {
    flow: u32,
    direction: Direction,
    seq: u32,
    end: u32,
    view: View,
}

/// What the receiver of a direction has said of itself.
#[derive(Clone, Copy)]
struct View {
    /// What it waits for.
    ack: u32,
    /// The first byte that it does not take.
    edge: u32,
}

impl Parked {
    pub fn seq(&self) -> u32 {
        self.seq
    }
}

fn is_after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// Payload bytes of a packet that its receiver takes now. `None` where that
/// is for its sender to know.
pub fn room(mut tcp: Tcp<'_>, slot: u32) -> Option<usize> {
    let bound = tcp.bound(slot)?;
    let room = bound.view.edge.wrapping_sub(bound.seq);
    Some((room as i32).max(0) as usize)
}

/// Whether a packet has to wait for its receiver's window; then it is kept
/// here, or refused if what it brings waits already.
pub fn waits(mut tcp: Tcp<'_>, slot: u32) -> bool {
    let Some(bound) = tcp.bound(slot) else {
        return false;
    };
    // With nothing under way nobody would say that there is more room: where
    // there is some, the segment asks for it. A window that is closed opens
    // by itself.
    let view = bound.view;
    let asks = bound.seq == view.ack && view.edge != view.ack;
    if asks || !is_after(bound.end, view.edge) {
        return false;
    }
    tcp.park(slot, &bound)
}

impl Tcp<'_> {
    fn bound(&mut self, slot: u32) -> Option<Bound> {
        let packet = *self.core.packet(slot);
        if !self.core.settings.live || packet.depth > 0 || packet.flags & flag::ROOM != 0 {
            return None;
        }
        let header = ip::tcp(self.core, slot)?;
        let fin = header.flags & TcpHeader::FIN != 0;
        let len = packet.end.saturating_sub(packet.payload_at) + u32::from(fin);
        if len == 0 || header.flags & (TcpHeader::SYN | TcpHeader::RST) != 0 {
            return None;
        }
        let (flow, direction) = self.core.flows.find(&key(self.core, slot)?)?;
        let half = self.half(flow, direction).filter(|half| half.is_edited());
        half?;
        Some(Bound {
            flow,
            direction,
            seq: header.seq,
            end: header.seq.wrapping_add(len),
            view: self.view(flow, direction)?,
        })
    }

    fn view(&mut self, flow: u32, direction: Direction) -> Option<View> {
        let connection = self.connection(flow)?;
        let shift = connection.window_shift(direction.opposite());
        let (ack, window) = connection.half(direction.opposite()).acked?;
        let edge = ack.wrapping_add(u32::from(window) << shift);
        Some(View { ack, edge })
    }

    fn park(&mut self, slot: u32, bound: &Bound) -> bool {
        let most = self.core.settings.kept_bytes;
        let Some(half) = self.half(bound.flow, bound.direction) else {
            return false;
        };
        let parked = &mut half.heavy().parked;
        let ends = |parked: &[Parked]| Some((parked.first()?.seq, parked.last()?.end));
        if let Some((first, last)) = ends(parked.as_slice()) {
            if is_after(first, bound.seq) {
                return false;
            }
            if !is_after(bound.end, last) {
                if bound.seq == bound.view.ack {
                    // Sent again, it asks whether the window is still closed.
                    return false;
                }
                self.core.drop_packet(slot, DropReason::Retransmission);
                return true;
            }
            if last.wrapping_sub(first) > most {
                // Its receiver may refuse it; its sender then sends it again.
                self.core.stats.window_caps += 1;
                return false;
            }
        }
        if parked.len() >= MOST {
            self.core.stats.window_caps += 1;
            return false;
        }
        parked.push(Parked {
            slot,
            seq: bound.seq,
            end: bound.end,
        });
        self.core.packet_mut(slot).flags |= flag::HELD;
        self.core.stats.window_waits += 1;
        true
    }

    /// The receiver of a direction has spoken: what it takes now leaves.
    pub(super) fn use_room(&mut self, flow: u32, direction: Direction) {
        let Some(view) = self.view(flow, direction) else {
            return;
        };
        let Some(parked) = self.parked(flow, direction) else {
            return;
        };
        // With nothing under way and some room, the next one tries it.
        let alone = |parked: &Parked| parked.seq == view.ack && view.edge != view.ack;
        let fits = |parked: &Parked| !is_after(parked.end, view.edge) || alone(parked);
        let count = parked.iter().take_while(|parked| fits(parked)).count();
        let leaving: SmallVec<[Parked; 8]> = parked.drain(..count).collect();
        let (has, takes): (Vec<Parked>, Vec<Parked>) = leaving
            .into_iter()
            .partition(|parked| !is_after(parked.end, view.ack));
        if let Some(first) = parked.first_mut()
            && is_after(view.ack, first.seq)
        {
            first.seq = view.ack;
        }
        for parked in has {
            self.core
                .drop_packet_with(parked.slot, DropReason::Retransmission);
        }
        // The acknowledgement itself is still on its way: it goes first.
        let top = self.core.stack.pop();
        self.leave_parked(flow, direction, &takes);
        self.core.stack.extend(top);
    }

    /// The number of a segment without data in a direction in which something
    /// waits: a closed window takes but one (RFC 9293, 3.10.7.4).
    pub(super) fn bare_seq_before_parked(
        &mut self,
        flow: u32,
        direction: Direction,
        seq: u32,
    ) -> Option<u32> {
        self.parked(flow, direction)?;
        let view = self.view(flow, direction)?;
        let half = self.half(flow, direction)?;
        Some(awaited_seq(half, view.ack, seq))
    }

    /// The direction is given up: what waits is refused, or leaves.
    pub(super) fn empty_parked(
        &mut self,
        flow: u32,
        direction: Direction,
        reason: Option<DropReason>,
    ) {
        let Some(parked) = self.parked(flow, direction) else {
            return;
        };
        let parked = std::mem::take(parked);
        match reason {
            None => self.leave_parked(flow, direction, &parked),
            Some(reason) => {
                for parked in parked {
                    self.core.drop_packet_with(parked.slot, reason);
                }
            }
        }
    }

    fn parked(&mut self, flow: u32, direction: Direction) -> Option<&mut Vec<Parked>> {
        let half: &mut Half = self.half(flow, direction)?;
        let parked = &mut half.heavy.as_mut()?.parked;
        (!parked.is_empty()).then_some(parked)
    }

    fn leave_parked(&mut self, flow: u32, direction: Direction, parked: &[Parked]) {
        let slots: SmallVec<[u32; 8]> = parked.iter().map(|parked| parked.slot).collect();
        for &slot in &slots {
            self.freshen_finished(flow, direction, slot);
            let packet = self.core.packet_mut(slot);
            packet.flags = packet.flags & !flag::HELD | flag::ROOM;
        }
        self.core.send_all(&slots, JUST_LEAVE);
    }
}

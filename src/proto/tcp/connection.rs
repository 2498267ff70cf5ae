//! What is remembered of one TCP connection.

use std::collections::VecDeque;

use slab::Slab;

use super::kept::Kept;
use super::sums::Sums;
use super::window::Parked;
use crate::buf::BufId;
use crate::core::StreamState;
use crate::flow::Direction;
use crate::flow::timer::TimerId;
use crate::packet::Devices;
use crate::proto::application::Attached;
use crate::stream::assembler::{Assembler, Piece};
use crate::stream::offset_map::OffsetMap;
use crate::time::Timestamp;

/// What is taken for a full segment where nobody announced one.
const USUAL_MSS: u32 = 1460;

/// The connections of one worker, found by `FlowRecord::side`.
#[derive(Default)]
pub struct Connections {
    slab: Slab<Connection>,
}

impl Connection {
    /// Devices of a packet of our own.
    pub fn devices_towards(&self, direction: Direction) -> Devices {
        match direction {
            Direction::ToServer => self.devices,
            Direction::ToClient => self.devices.reversed(),
        }
    }
}

impl Connections {
    pub fn insert(&mut self, connection: Connection) -> u32 {
        self.slab.insert(connection) as u32
    }

    pub fn get(&self, side: u32) -> Option<&Connection> {
        self.slab.get(side as usize)
    }

    #[inline(always)]
    pub fn get_mut(&mut self, side: u32) -> Option<&mut Connection> {
        self.slab.get_mut(side as usize)
    }

    pub fn remove(&mut self, side: u32) -> Option<Connection> {
        self.slab.try_remove(side as usize)
    }
}

/// One connection. Offsets count stream bytes of a direction from 0, the
/// byte after its SYN, without ever wrapping.
#[derive(Default)]
pub struct Connection {
    pub halves: [Half; 2],
    /// The server closed first: it plays the "input" of the state table.
    pub swapped: bool,
    /// `end_connection` was raised.
    pub ended: bool,
    /// The policy `next_dissector` has been asked.
    pub dissector_chosen: bool,
    /// A dissector written in Lua reads the stream and releases it itself.
    pub scripted: bool,
    /// The native dissector that reads the streams.
    pub application: Option<Box<Attached>>,
    /// It is reading: `application` is empty meanwhile.
    pub is_reading: bool,
    /// Segments carry a signature (RFC 2385, RFC 5925): changed ones would
    /// be refused, so rules can read but not edit.
    pub signed: bool,
    /// VLAN tags of the packet that opened it, for packets of our own making.
    pub tags: Option<Box<[u8]>>,
    /// Devices by which its packets to the server come and go.
    pub devices: Devices,
    /// It was said that segments of it leave before they are judged.
    pub told_ahead: bool,
}

/// One direction of a connection.
#[derive(Default)]
pub struct Half {
    /// Sequence number of offset 0.
    pub base: u32,
    /// `base` is known: from the SYN, or from the first segment seen.
    pub started: bool,
    /// The SYN of this direction was seen.
    pub syn_seen: bool,
    pub sums: Sums,
    /// Shift of the windows this side announces (RFC 7323), if it offered one.
    pub window_scale: Option<u8>,
    /// Largest segment this side takes (RFC 9293, 3.7.1); 0 unknown.
    pub mss: u16,
    /// Window this side announced last, in bytes.
    pub window: u32,
    /// What this side acknowledged last, and the window that came with it, as
    /// they stood in its header.
    pub acked: Option<(u32, u16)>,
    /// Its SYN permits SACK (RFC 2018).
    pub sack_permitted: bool,
    /// Its latest timestamp in sequence (RFC 7323, 4.3), if it sends any and
    /// somebody reads the connection inline.
    pub stamp: Option<u32>,
    /// What it echoed with that timestamp.
    pub echo: u32,
    /// First offset that was not given to readers yet.
    pub next: u64,
    /// Offset behind the last byte, once the FIN was seen.
    pub fin: Option<u64>,
    /// The FIN came in order: readers know that the stream ended.
    pub finished: bool,
    /// What only directions with queued, held or changed bytes need.
    pub heavy: Option<Box<Heavy>>,
}

/// A segment in order whose bytes readers still hold, and the piece of the
/// stream that is its part.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub packet: u32,
    /// Offset and length of the piece in the stream as it was sent.
    pub offset: u64,
    pub len: u32,
    /// Where the piece begins in the packet's payload.
    pub skip: u32,
    /// The piece is the whole payload of its packet.
    pub whole: bool,
    /// The packet leaves with this piece.
    pub last: bool,
    /// The FIN follows this piece.
    pub ends_stream: bool,
    /// Number of the piece in the stream buffer, where it may be changed.
    pub piece: Option<u64>,
    /// The packet had left before the piece was in order.
    pub ahead: bool,
    /// The piece has left: what it became is in `map` and `kept`. So have
    /// all before it.
    pub left: bool,
    /// When the piece was in order.
    pub since: Timestamp,
}

impl Held {
    /// The sender waits for its acknowledgement.
    pub fn waits(&self) -> bool {
        !self.left && !self.ahead
    }
}

/// The rest of a direction's state.
#[derive(Default)]
pub struct Heavy {
    pub assembler: Assembler,
    /// The editable stream, when listeners want one.
    pub stream: Option<BufId>,
    /// The number there of the piece that listeners are shown without its
    /// being there.
    pub loose: u64,
    /// A listener has looked at bytes: all others enter the stream at once.
    pub looked_at: bool,
    pub held: VecDeque<Held>,
    pub held_bytes: u32,
    /// Those of them that have not left.
    pub waiting_bytes: u32,
    pub map: OffsetMap,
    pub kept: Kept,
    /// What the receiver's window does not take yet, in order.
    pub parked: Vec<Parked>,
    /// Rules changed bytes of this direction.
    pub edited: bool,
    /// From here on bytes passed that nobody judged: they are not kept.
    pub unjudged_from: Option<u64>,
    /// A FIN without bytes that came before the bytes it follows.
    pub early_fin: Option<EarlyFin>,
    /// Up to here bytes have left, in order or not: nobody may edit before.
    pub ahead_to: u64,
    /// Its next deadline, while it has one.
    pub deadline: Option<TimerId>,
    pub deadline_at: Timestamp,
    /// When the hole was seen before which segments are queued.
    pub hole_since: Timestamp,
    /// The hole was waited for long enough: what comes behind it leaves.
    pub hole_given_up: bool,
    /// The receiver has what is missing: it went another way.
    pub hole_unseen: bool,
    /// The first reader was waited for long enough: what comes leaves.
    pub reader_given_up: bool,
    /// When its receiver acknowledged something last, or a hole was filled.
    pub heard_at: Timestamp,
    /// The deadline came much too late: packets may have waited for us.
    pub was_late: bool,
    /// Nothing of the oldest piece can leave before more arrives.
    pub front_tried: bool,
    /// Duplicate acknowledgements that wait for the receiver's own.
    pub owed_acks: u8,
    /// Its sender repeated bytes that readers hold and waits for an answer.
    pub repeats_held: bool,
    /// Up to here its sender was told that the bytes have arrived, be it that
    /// they are held here.
    pub vouched_to: u64,
    /// Some of those bytes had to leave again and were not kept.
    pub vouched_lost: bool,
}

/// A FIN that waits for the bytes before it.
#[derive(Clone, Copy, Debug)]
pub struct EarlyFin {
    pub packet: u32,
    /// Stream offset of the FIN.
    pub at: u64,
    /// Payload bytes of the packet before the FIN, all of them repeated.
    pub skip: u32,
}

impl Connection {
    /// Whether the numbers of its packets change at all.
    #[inline]
    pub fn is_translated(&self) -> bool {
        self.halves.iter().any(Half::is_translated)
    }

    /// Where both directions stand, for whoever explains it.
    pub fn states(&self) -> [StreamState; 2] {
        [self.halves[0].state(), self.halves[1].state()]
    }
}

impl Half {
    fn state(&self) -> StreamState {
        let state = StreamState {
            base: self.base,
            next: self.next,
            end: self.fin,
            ..StreamState::default()
        };
        let Some(heavy) = &self.heavy else {
            return state;
        };
        StreamState {
            held_bytes: heavy.held_bytes,
            held_segments: heavy.held.len(),
            queued_bytes: heavy.assembler.bytes(),
            queued_segments: heavy.assembler.segments(),
            shift: heavy.map.delta_at_end(),
            ..state
        }
    }

    /// What was queued and is in order now; the FIN that waited comes last.
    pub fn next_piece(&mut self) -> Option<Piece> {
        let (next, finished) = (self.next, self.finished);
        let heavy = self.heavy.as_mut().filter(|_| !finished)?;
        heavy.assembler.pop_ready(next).or_else(|| {
            let fin = heavy.early_fin.take_if(|fin| fin.at == next)?;
            Some(Piece {
                offset: fin.at,
                len: 0,
                skip: fin.skip,
                token: fin.packet,
                last: true,
            })
        })
    }

    /// The stream offset of a sequence number, nearest to what is expected.
    #[inline]
    pub fn offset_of(&self, seq: u32) -> i64 {
        let expected = self.base.wrapping_add(self.next as u32);
        self.next as i64 + i64::from(seq.wrapping_sub(expected) as i32)
    }

    #[inline]
    pub fn seq_at(&self, offset: u64) -> u32 {
        self.base.wrapping_add(offset as u32)
    }

    /// The rest of the state; what passed before it was there passed as it came.
    pub fn heavy(&mut self) -> &mut Heavy {
        let passed = self.next;
        self.heavy.get_or_insert_with(|| {
            let mut heavy = Box::<Heavy>::default();
            heavy.map.push(passed, passed);
            heavy
        })
    }

    /// Whether rules changed bytes of this direction, be it in place.
    #[inline]
    pub fn is_edited(&self) -> bool {
        self.heavy.as_ref().is_some_and(|heavy| heavy.edited)
    }

    /// Notes that the stream goes on up to an offset with bytes that nobody
    /// judges. Those that were held are gone by then.
    pub fn skip_to(&mut self, offset: u64) {
        self.next = self.next.max(offset);
        if let Some(heavy) = &mut self.heavy {
            let released = heavy.map.orig_end();
            if self.next > released {
                heavy.unjudged_from.get_or_insert(released);
                heavy.map.push(self.next - released, self.next - released);
            }
        }
    }

    /// Whether rules changed the length of this direction.
    #[inline]
    pub fn is_renumbered(&self) -> bool {
        self.heavy
            .as_ref()
            .is_some_and(|heavy| !heavy.map.is_identity())
    }

    /// Whether what its receiver acknowledges is translated.
    #[inline]
    pub fn is_translated(&self) -> bool {
        self.is_renumbered() || self.vouches()
    }

    /// Offset of a sequence number that the receiver sent, which counts what
    /// rules made of the stream. `None` before its beginning.
    pub fn new_offset_of(&self, seq: u32) -> Option<u64> {
        let total = self
            .heavy
            .as_ref()
            .map_or(self.next, |heavy| heavy.map.new_end());
        let ahead = seq.wrapping_sub(self.base.wrapping_add(total as u32)) as i32;
        total.checked_add_signed(i64::from(ahead))
    }

    /// Offset in the rewritten numbering.
    #[inline]
    pub fn to_new(&self, offset: u64) -> u64 {
        self.heavy
            .as_ref()
            .map_or(offset, |heavy| heavy.map.to_new(offset))
    }

    /// First offset of the bytes in order that has not left yet.
    pub fn released(&self) -> u64 {
        self.heavy
            .as_ref()
            .and_then(|heavy| heavy.held.get(heavy.left()))
            .map_or(self.next, |held| held.offset)
    }

    /// All that is in order has left, the FIN too if it is.
    pub fn all_left(&self) -> bool {
        self.heavy
            .as_ref()
            .and_then(|heavy| heavy.held.back())
            .is_none_or(|held| held.left)
    }

    /// The sequence number that the receiver of this direction expects
    /// next, in the numbering it sees.
    pub fn next_seq_on_wire(&self) -> u32 {
        let waits = self.heavy.as_ref().and_then(|heavy| heavy.parked.first());
        if let Some(parked) = waits {
            return parked.seq();
        }
        let released = self.released();
        let fin = u64::from(self.finished && self.all_left());
        self.base.wrapping_add(self.to_new(released + fin) as u32)
    }
}

impl Heavy {
    /// What its sender is told when its receiver has what lies before `new`.
    pub fn told(&self, new: u64) -> u64 {
        self.map.ack_to_orig(new).max(self.vouched_to)
    }

    /// Held pieces that have left already: those in front.
    pub fn left(&self) -> usize {
        match self.held.front() {
            Some(first) if first.left => self.held.partition_point(|held| held.left),
            _ => 0,
        }
    }
}

impl Connection {
    /// Shift of the windows that a side announces: none unless both offered
    /// one (RFC 7323, 2.2).
    pub fn window_shift(&self, from: Direction) -> u8 {
        let [own, other] =
            [from, from.opposite()].map(|side| self.halves[side.index()].window_scale);
        own.zip(other).map_or(0, |(shift, _)| shift)
    }

    /// Payload of a full segment, as both ends take it.
    pub fn mss(&self) -> u32 {
        let announced = self.halves.iter().map(|half| u32::from(half.mss));
        announced.filter(|&mss| mss > 0).min().unwrap_or(USUAL_MSS)
    }

    pub fn half(&mut self, direction: Direction) -> &mut Half {
        &mut self.halves[direction.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_go_on_where_numbers_wrap() {
        const WRAP: u64 = 1 << 32;
        let half = |base: u32, next: u64| Half {
            base,
            next,
            started: true,
            ..Half::default()
        };
        for base in [0, 7, u32::MAX] {
            for next in [WRAP - 3, WRAP, 5 * WRAP + 2] {
                let half = half(base, next);
                for offset in [next - 1000, next, next + 1000] {
                    assert_eq!(half.offset_of(half.seq_at(offset)), offset as i64);
                }
            }
        }
    }
}

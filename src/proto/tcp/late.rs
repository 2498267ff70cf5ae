//! Segments that leave later than they came.
//!
//! While a segment was held its sender may have said more: its clock went on,
//! and it has acknowledged more. As it came, its receiver would refuse it: for
//! an old timestamp (RFC 7323, 5.3) where a retransmission has passed it, or
//! for an old acknowledgement (RFC 5961, 5.2). So it gets the newest of both
//! when it leaves. Only on live traffic.

use super::Tcp;
use super::connection::Half;
use super::segment::Segment;
use crate::flow::Direction;
use crate::packet::decode::{TcpOption, tcp_options};
use crate::packet::record::{dirty, flag};
use crate::proto::ip;
use crate::proto::ip::checksums::{self, put_u16, put_u32};

impl Tcp<'_> {
    /// Gives a segment that was held the newest its sender has said. Its
    /// numbers are still those of its sender.
    pub(super) fn freshen(&mut self, flow: u32, direction: Direction, slot: u32) {
        self.renew(flow, direction, slot, news);
    }

    fn renew(
        &mut self,
        flow: u32,
        direction: Direction,
        slot: u32,
        news: fn(&Half, &Segment) -> Option<(u32, u16)>,
    ) {
        if !self.is_paced() || self.core.packet(slot).flags & flag::READ_ONLY != 0 {
            return;
        }
        let Some(segment) = Segment::read(self.core, slot).filter(|segment| !segment.syn()) else {
            return;
        };
        let Some(connection) = self
            .connection(flow)
            .filter(|connection| !connection.signed)
        else {
            return;
        };
        let half = connection.half(direction);
        let news = news(half, &segment);
        let stamp = half.stamp.map(|stamp| (stamp, half.echo));
        let at = self.core.packet(slot).transport_at as usize;
        let mut written = false;
        if let Some((ack, window)) = news {
            put_u32(self.core, slot, at + 8, ack);
            put_u16(self.core, slot, at + 14, window);
            written = true;
        }
        if let Some((stamp, echo)) = stamp
            && let Some(place) = self.older_stamp(slot, stamp)
        {
            put_u32(self.core, slot, place, stamp);
            put_u32(self.core, slot, place + 4, echo);
            written = true;
        }
        if written {
            self.core.packet_mut(slot).dirty |= dirty::TRANSPORT;
        }
    }

    /// As [`Tcp::freshen`], for a segment that has the numbers and the
    /// checksum with which it was to leave: its acknowledgement is not what
    /// its sender said, and cannot be compared with that.
    pub(super) fn freshen_finished(&mut self, flow: u32, direction: Direction, slot: u32) {
        let said = self.half(flow, direction).and_then(|half| half.acked);
        if said.is_none() {
            return;
        }
        self.renew(flow, direction, slot, |half, _| half.acked);
        let Some(segment) = Segment::read(self.core, slot) else {
            return;
        };
        self.write_numbers(flow, direction, slot, &segment, segment.seq);
        checksums::write_transport(self.core, slot);
    }

    /// Where the timestamp of a segment stands, if it is older than `stamp`.
    fn older_stamp(&self, slot: u32, stamp: u32) -> Option<usize> {
        let header = ip::tcp(self.core, slot)?;
        let start = header.at + 20;
        let options = self.core.bytes(slot).get(start..header.payload_at)?;
        tcp_options(options).find_map(|(at, _, option)| match option {
            TcpOption::Timestamps { value, .. } => {
                (stamp.wrapping_sub(value) as i32 > 0).then_some(start + at + 2)
            }
            _ => None,
        })
    }
}

/// Acknowledgement and window that a segment's sender has said since.
fn news(half: &Half, segment: &Segment) -> Option<(u32, u16)> {
    let (ack, window) = half.acked.filter(|_| segment.ack_set())?;
    let newer = ack.wrapping_sub(segment.ack) as i32;
    (newer > 0 || newer == 0 && window != segment.window).then_some((ack, window))
}

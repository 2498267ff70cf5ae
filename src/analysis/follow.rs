//! The bytes of one flow, in both directions.
//!
//! [`Follow`] observes an engine and hands on what the flow of one number
//! says, in the order in which it became known: TCP streams put together,
//! other protocols datagram by datagram. Nothing is kept.
//! Not here: how bytes are printed (`cli::follow`).

use super::endpoint::Endpoint;
use super::sessions::{Moment, bytes_of, moment_of};
use super::witness::ends;
use crate::core::Core;
use crate::core::observe::Observer;
use crate::flow::Direction;
use crate::packet::decode::protocol;
use crate::stream::assembler::Piece;
use crate::time::Timestamp;

/// What there is to tell of the flow that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed<'a> {
    /// Its first packet: the ends of the direction "to the server".
    Began { ends: [Endpoint; 2], protocol: u8 },
    /// The next bytes of a direction, or the payload of a datagram.
    Bytes {
        direction: Direction,
        moment: Moment,
        bytes: &'a [u8],
    },
    /// So many bytes of a direction are not in the capture.
    Missing {
        direction: Direction,
        moment: Moment,
        bytes: u64,
    },
    /// Nothing follows.
    Over,
}

/// Is told what a flow says.
pub trait Follower {
    fn told(&mut self, what: Followed<'_>);

    /// A flow was seen; numbers begin at 1 and leave none out.
    fn seen(&mut self, flow: u64);
}

/// Observes an engine for a follower of one flow.
pub struct Follow<F> {
    number: u64,
    follower: F,
    began: bool,
    /// The latest packet of the flow.
    moment: Moment,
    /// Place in each stream behind the last byte told of.
    next: [u64; 2],
}

impl<F: Follower> Follow<F> {
    /// Follows the flow with that number, as `wero flows` counts.
    pub fn new(number: u64, follower: F) -> Follow<F> {
        Follow {
            number,
            follower,
            began: false,
            moment: Moment {
                frame: 0,
                timestamp: Timestamp(0),
            },
            next: [0; 2],
        }
    }

    fn is_it(&self, core: &Core, flow: u32) -> bool {
        core.flows
            .live(flow)
            .is_some_and(|record| record.id == self.number)
    }

    fn say(&mut self, direction: Direction, bytes: &[u8], wire_len: usize) {
        let moment = self.moment;
        if !bytes.is_empty() {
            self.follower.told(Followed::Bytes {
                direction,
                moment,
                bytes,
            });
        }
        self.miss(direction, wire_len.saturating_sub(bytes.len()) as u64);
    }

    fn miss(&mut self, direction: Direction, bytes: u64) {
        let moment = self.moment;
        if bytes > 0 {
            self.follower.told(Followed::Missing {
                direction,
                moment,
                bytes,
            });
        }
    }
}

impl<F: Follower> Observer for Follow<F> {
    fn opened(&mut self, core: &Core, flow: u32) {
        if let Some(record) = core.flows.live(flow) {
            self.follower.seen(record.id);
        }
    }

    fn packet(&mut self, core: &Core, flow: u32, direction: Direction, packet: u32) {
        let Some(flow) = core.flows.live(flow).filter(|flow| flow.id == self.number) else {
            return;
        };
        let record = core.packet(packet);
        self.moment = moment_of(core, packet);
        if !std::mem::replace(&mut self.began, true) {
            let (client, server) = ends(flow);
            self.follower.told(Followed::Began {
                ends: [client, server],
                protocol: flow.protocol,
            });
        }
        if flow.protocol != protocol::TCP {
            let frame = core.bytes(packet);
            let (from, to) = (record.payload_at as usize, record.end as usize);
            let payload = frame.get(from..to.min(frame.len())).unwrap_or_default();
            let wire_len =
                super::witness::wire_end(record, frame).saturating_sub(record.payload_at);
            self.say(direction, payload, wire_len as usize);
        }
    }

    fn bytes(
        &mut self,
        core: &Core,
        flow: u32,
        direction: Direction,
        bytes: &[u8],
        wire_len: usize,
    ) {
        if self.is_it(core, flow) {
            self.next[direction.index()] += wire_len as u64;
            self.say(direction, bytes, wire_len);
        }
    }

    fn conflict(&mut self, _: &Core, _: u32, _: Direction) {}

    fn gap(&mut self, core: &Core, flow: u32, direction: Direction, beyond: &[Piece]) {
        if !self.is_it(core, flow) {
            return;
        }
        for piece in beyond {
            self.moment = moment_of(core, piece.token);
            let next = self.next[direction.index()];
            self.miss(direction, piece.offset.saturating_sub(next));
            self.next[direction.index()] = piece.end().max(next);
            self.say(direction, bytes_of(core, piece), piece.len as usize);
        }
    }

    fn reset(&mut self, _: &Core, _: u32, _: Direction, _: bool) {}

    fn closed(&mut self, core: &Core, flow: u32, _: u8) {
        if self.is_it(core, flow) {
            self.follower.told(Followed::Over);
        }
    }
}

//! The messages of application protocols, as their parsers find them.
//!
//! [`Sessions`] observes an engine. It gives every TCP stream and every
//! datagram to the parser that the first bytes and the ports choose
//! ([`PROTOCOLS`] has them all) and shows each message to a [`Listener`] the
//! moment it is complete. Bytes are those that rules would be given:
//! reassembled, outside of tunnels and fragments; where the capture lacks
//! some, the parser is told how many.
//!
//! Not here: parsers (`proto`), who prints messages (`cli::sessions`), a
//! driver without an engine ([`super::driver`]).

mod protocols;
mod reader;
mod session;
mod summary;
#[cfg(test)]
mod tests;

use hashbrown::HashMap;

pub use protocols::{PROTOCOLS, Protocol};
pub use reader::{DatagramReader, Message, Show, StreamReader, datagrams, stream};
pub use session::Moment;
pub use summary::summary;

use super::endpoint::Endpoint;
use super::witness::ends;
use crate::core::Core;
use crate::core::observe::Observer;
use crate::flow::Direction;
use crate::packet::decode::{TcpHeader, protocol};
use crate::stream::assembler::Piece;
use crate::time::Timestamp;
use session::Session;

/// What a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Number of the flow, as in `wero flows`.
    pub flow: u64,
    /// The frame that completed the message, and its time.
    pub moment: Moment,
    /// Who sent it.
    pub source: Endpoint,
    pub destination: Endpoint,
    /// Protocol number of the datagram: 6 or 17.
    pub transport: u8,
    /// `http`, `dns`…
    pub proto: &'static str,
}

/// Is shown messages.
pub trait Listener {
    /// Whether messages of a new flow are wanted.
    fn wants(&mut self, flow: u64, ends: [Endpoint; 2], transport: u8) -> bool {
        let _ = (flow, ends, transport);
        true
    }

    /// A message is complete.
    fn message(&mut self, about: &About, message: &dyn Message);
}

/// Observes an engine for a listener.
pub struct Sessions<L> {
    table: &'static [Protocol],
    flows: HashMap<u64, Session, foldhash::fast::RandomState>,
    /// A flow that the packet under way reset: what is queued of it comes
    /// before its end.
    reset: Option<u64>,
    listener: L,
}

impl<L: Listener> Sessions<L> {
    /// Reads every protocol of [`PROTOCOLS`].
    pub fn new(listener: L) -> Sessions<L> {
        Sessions::with_protocols(PROTOCOLS, listener)
    }

    /// Reads the protocols of another table.
    pub fn with_protocols(table: &'static [Protocol], listener: L) -> Sessions<L> {
        Sessions {
            table,
            flows: HashMap::default(),
            reset: None,
            listener,
        }
    }

    /// Runs `step` on the flow in a slot; what comes of it is shown.
    fn with(
        &mut self,
        core: &Core,
        slot: u32,
        step: impl FnOnce(&mut Session, &'static [Protocol], session::Told<'_>),
    ) {
        if let Some(record) = core.flows.live(slot) {
            self.with_flow(record.id, step);
        }
    }

    fn with_flow(
        &mut self,
        flow: u64,
        step: impl FnOnce(&mut Session, &'static [Protocol], session::Told<'_>),
    ) {
        let Some(session) = self.flows.get_mut(&flow) else {
            return;
        };
        let (ends, transport) = (session.ends, session.transport);
        let listener = &mut self.listener;
        step(
            session,
            self.table,
            &mut |row, direction, moment, message| {
                let [source, destination] = oriented(ends, direction);
                let about = About {
                    flow,
                    moment,
                    source,
                    destination,
                    transport,
                    proto: row.proto,
                };
                listener.message(&about, message);
            },
        );
    }

    /// Ends the flow that the packet before this one reset.
    fn end_reset(&mut self) {
        if let Some(flow) = self.reset.take() {
            self.with_flow(flow, |session, _, told| session.close(told));
        }
    }
}

/// Sender first.
fn oriented([client, server]: [Endpoint; 2], direction: Direction) -> [Endpoint; 2] {
    match direction {
        Direction::ToServer => [client, server],
        Direction::ToClient => [server, client],
    }
}

impl<L: Listener> Observer for Sessions<L> {
    /// The first packet follows and says more.
    fn opened(&mut self, _: &Core, _: u32) {}

    fn packet(&mut self, core: &Core, flow: u32, direction: Direction, packet: u32) {
        self.end_reset();
        let Some(flow) = core.flows.live(flow) else {
            return;
        };
        if !matches!(flow.protocol, protocol::TCP | protocol::UDP) {
            return;
        }
        let record = core.packet(packet);
        let frame = core.bytes(packet);
        let moment = moment_of(core, packet);
        let listener = &mut self.listener;
        let session = self.flows.entry(flow.id).or_insert_with(|| {
            let (client, server) = ends(flow);
            let ends = [client, server];
            let mut session = Session::new(ends, flow.protocol, direction, moment);
            if !listener.wants(flow.id, ends, flow.protocol) {
                session.ignore();
            }
            session
        });
        session.moment = moment;
        if flow.protocol == protocol::TCP {
            let flags = frame.get(record.transport_at as usize + 13);
            let flags = flags.copied().unwrap_or_default();
            session.opener.note(direction, flags);
            session.begun[direction.index()] |= flags & TcpHeader::SYN != 0;
            return;
        }
        let (from, to) = (record.payload_at as usize, record.end as usize);
        let payload = frame.get(from..to.min(frame.len())).unwrap_or_default();
        self.with_flow(flow.id, |session, table, told| {
            session.datagram(table, direction, payload, told);
        });
    }

    fn bytes(
        &mut self,
        core: &Core,
        flow: u32,
        direction: Direction,
        bytes: &[u8],
        wire_len: usize,
    ) {
        self.with(core, flow, |session, table, told| {
            session.bytes(table, direction, bytes, wire_len, told);
        });
    }

    fn finished(&mut self, core: &Core, flow: u32, direction: Direction) {
        self.with(core, flow, |session, _, told| session.fin(direction, told));
    }

    fn conflict(&mut self, _: &Core, _: u32, _: Direction) {}

    fn gap(&mut self, core: &Core, flow: u32, direction: Direction, beyond: &[Piece]) {
        self.with(core, flow, |session, table, told| {
            let last = session.moment;
            for piece in beyond {
                session.moment = moment_of(core, piece.token);
                session.gap(direction, piece.offset, told);
                let bytes = bytes_of(core, piece);
                session.bytes(table, direction, bytes, piece.len as usize, told);
            }
            session.moment = last;
        });
    }

    fn reset(&mut self, core: &Core, flow: u32, direction: Direction, credible: bool) {
        if credible {
            self.with(core, flow, |session, _, _| session.rst(direction));
            self.reset = core.flows.live(flow).map(|record| record.id);
        }
    }

    fn closed(&mut self, core: &Core, flow: u32, _: u8) {
        self.end_reset();
        self.with(core, flow, |session, _, told| session.close(told));
        if let Some(record) = core.flows.live(flow) {
            self.flows.remove(&record.id);
        }
    }
}

/// What the capture has of a piece that waits behind a hole.
pub(super) fn bytes_of<'a>(core: &'a Core, piece: &Piece) -> &'a [u8] {
    let record = core.packet(piece.token);
    let from = (record.payload_at + piece.skip) as usize;
    let to = (from + piece.len as usize).min(record.end as usize);
    core.bytes(piece.token).get(from..to).unwrap_or_default()
}

/// When a packet was complete: for a datagram that came in fragments, with
/// the last of them.
pub(super) fn moment_of(core: &Core, packet: u32) -> Moment {
    let fragments = core.datagrams.get(&packet).into_iter().flatten();
    let last = fragments
        .map(|part| core.packet(part.token))
        .max_by_key(|record| record.id)
        .unwrap_or_else(|| core.packet(packet));
    Moment {
        frame: last.id,
        timestamp: Timestamp(last.timestamp),
    }
}

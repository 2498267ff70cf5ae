//! TCP connections: tracked, reassembled, judged, rewritten, reset.
//!
//! `receive` takes a segment through the life of its connection (`state`),
//! `deliver` puts its bytes in order and in front of the listeners (`loose`,
//! where these look at no more than how many there are),
//! `release` lets judged segments go, `rebuild` makes segments of judged bytes,
//! `renumber` translates sequence numbers once rules changed some, `reset`
//! and `ending` end connections, `bypass` lets the rest of one pass, `sums`
//! says whose checksums are believed. `stream.lua` has streams of rules' own.
//! On live traffic `patience` says how long segments are held, `front` lets
//! go what readers do not hold of them, `ahead` lets them leave before they
//! are judged, `behalf` acknowledges for others, `vouch` also what readers
//! hold, and `heard` notes what they acknowledge themselves.
//! Not here: the order of bytes (`stream::assembler`), the arithmetic of
//! edits (`stream::offset_map`).

mod ahead;
mod behalf;
mod bypass;
mod connection;
mod deliver;
mod ending;
pub mod fields;
mod front;
mod heard;
mod kept;
mod late;
mod loose;
mod patience;
mod rebuild;
mod receive;
mod release;
mod renumber;
mod reset;
mod segment;
pub mod state;
mod sums;
mod unwanted;
mod vouch;
mod window;

pub use bypass::bypass;
pub use connection::{Connection, Connections, Half};
pub use ending::{cause, closing_down, end, expired, failed};
pub use loose::show_piece;
pub use patience::overdue;
pub use receive::{endpoints, ends, key, receive};
pub use release::release;
pub use reset::reset;
pub use segment::limit as segment_limit;
pub use sums::Sums;
pub use window::{room as window_room, waits as waits_for_window};

use crate::buf::BufId;
use crate::core::{Core, Step, StreamState};
use crate::event::EventKind;
use crate::flow::Direction;
use crate::flow::record::flags;
use crate::packet::decode::protocol::TCP;
use crate::proto::application::{Application, Attached};
use crate::proto::common::Common;

/// What the TCP code works on.
pub struct Tcp<'a> {
    pub core: &'a mut Core,
    pub connections: &'a mut Connections,
    pub common: &'a mut Common,
}

/// The connection to which a held packet belongs.
pub fn flow_of(core: &Core, packet: u32) -> Option<u32> {
    let key = key(core, packet)?;
    core.flows
        .find(&key)
        .map(|(flow, _)| flow)
        .filter(|_| key.protocol == 6)
}

/// The stream that listeners of a direction edit, if there is one.
pub fn stream_of(mut tcp: Tcp<'_>, flow: u32, direction: Direction) -> Option<BufId> {
    tcp.half(flow, direction)?.heavy.as_ref()?.stream
}

/// A dissector written in Lua reads the connection from now on, or no more.
pub fn set_scripted(mut tcp: Tcp<'_>, flow: u32, on: bool) {
    if let Some(connection) = tcp.connection(flow) {
        connection.scripted = on;
    }
}

/// A native dissector reads the connection from now on, unless one does
/// already. A connection whose beginning was not seen cannot be read: it
/// passes.
pub fn attach(tcp: &mut Tcp<'_>, flow: u32, reader: Box<dyn Application>) {
    let midstream = tcp
        .core
        .flows
        .live(flow)
        .is_none_or(|record| record.has(flags::MIDSTREAM));
    if let Some(connection) = tcp.connection(flow).filter(|_| !midstream) {
        connection
            .application
            .get_or_insert_with(|| Box::new(Attached::new(reader)));
    }
}

/// Takes what reads a connection out of it, for one step.
pub fn take_application(tcp: &mut Tcp<'_>, flow: u32) -> Option<Box<Attached>> {
    let connection = tcp.connection(flow)?;
    let taken = connection.application.take();
    connection.is_reading = taken.is_some();
    taken
}

/// Puts back what [`take_application`] took.
pub fn put_application(tcp: &mut Tcp<'_>, flow: u32, mut attached: Box<Attached>) {
    match tcp.connection(flow) {
        Some(connection) => {
            connection.application = Some(attached);
            connection.is_reading = false;
        }
        None => attached.close(tcp.core),
    }
}

/// The stream of a direction, for those who read it in place.
pub fn open_stream(tcp: &mut Tcp<'_>, flow: u32, direction: Direction) -> Option<BufId> {
    tcp.half(flow, direction)?.heavy.as_ref()?.stream
}

/// Whether the FIN of a direction came in order.
pub fn is_finished(tcp: &mut Tcp<'_>, flow: u32, direction: Direction) -> bool {
    tcp.half(flow, direction).is_some_and(|half| half.finished)
}

/// Whether the bytes of a direction that its reader has in hand may be
/// changed.
pub fn is_writable(tcp: &mut Tcp<'_>, flow: u32, direction: Direction) -> bool {
    !tcp.core.settings.pass_through
        && tcp.connection(flow).is_some_and(|connection| {
            let heavy = connection.halves[direction.index()].heavy.as_ref();
            // Some of them have left, if what is held begins before that.
            let frozen = heavy.is_some_and(|heavy| {
                heavy
                    .held
                    .front()
                    .is_some_and(|held| held.offset < heavy.ahead_to)
            });
            !connection.signed && !frozen
        })
}

/// Where both directions of a connection stand.
pub fn stream_states(
    core: &Core,
    connections: &Connections,
    flow: u32,
) -> Option<[StreamState; 2]> {
    // Other protocols keep other things under that number.
    let record = core
        .flows
        .live(flow)
        .filter(|record| record.protocol == TCP)?;
    Some(connections.get(record.side)?.states())
}

/// Stops judging a connection; what it holds leaves as it came.
pub fn let_go(mut tcp: Tcp<'_>, flow: u32) {
    tcp.let_go(flow);
}

impl Tcp<'_> {
    /// For a call that takes the whole.
    pub(super) fn again(&mut self) -> Tcp<'_> {
        Tcp {
            core: self.core,
            connections: self.connections,
            common: self.common,
        }
    }

    /// The connection of a flow. Every TCP flow that is tracked has one.
    fn connection(&mut self, flow: u32) -> Option<&mut Connection> {
        let side = self.core.flows.live(flow)?.side;
        self.connections.get_mut(side)
    }

    fn half(&mut self, flow: u32, direction: Direction) -> Option<&mut Half> {
        self.connection(flow)
            .map(|connection| &mut connection.halves[direction.index()])
    }

    /// Raises an event about a flow if somebody hears it.
    pub(super) fn event(
        &mut self,
        kind: EventKind,
        flow: u32,
        packet: u32,
        direction: Direction,
    ) -> Option<Step> {
        if !self.core.hooks.hears(kind) {
            return None;
        }
        let current = &mut self.core.current;
        current.flow = flow;
        current.packet = packet;
        current.direction = direction as u32;
        Some(Step::Event(kind, flow))
    }

    fn goto(&mut self, stage: u8) {
        if let Some(frame) = self.core.stack.last_mut() {
            frame.goto(stage);
        }
    }
}

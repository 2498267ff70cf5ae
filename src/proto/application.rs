//! Native dissectors over TCP streams: what one offers, and what it is given.
//!
//! A protocol implements [`Application`] and names a factory and its ports in
//! its row of `PROTOCOLS`; the connection holds the reader that was made for
//! it. Bytes are read where they stand: what was not read yet is always the
//! end of the direction's stream, so that the reader's place is a count from
//! there (`Inlet::left`), which no edit before it can move.
//! One frame of work ([`Op::Application`]) runs per arrival and direction,
//! after the listeners of the bytes themselves.
//! Not here: who chooses the dissector by policy (`tcp::receive`), what each
//! protocol says (its folder).

use std::any::Any;

use super::common::Common;
use super::tcp::{self, Tcp, cause};
use super::{PROTOCOLS, Protocol};
use crate::buf::{BufError, BufId, Pos, Span, Store};
use crate::core::{Core, Frame, Op, Step, dissector, flow_state};
use crate::event::profile::Defaults;
use crate::event::{EventKind, HookSet};
use crate::flow::Direction;
use crate::flow::record::flags;
use crate::packet::decode::protocol::TCP;

/// Bytes that a reader is shown in one go.
const LOOK: u64 = 4096;
/// Bytes after which every probe has made up its mind.
pub const PROBED: u64 = 64;

/// Where a protocol is found.
#[derive(Clone, Copy, Debug)]
pub enum Over {
    /// Its usual port: the default of the policy `next_dissector`.
    TcpPort(u16),
    UdpPort(u16),
    /// Told by its first bytes, on any port.
    TcpProbe(fn(&[u8], Direction) -> Likeness),
}

/// What the first bytes of a direction look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    Yes,
    No,
    /// More bytes would tell.
    Open,
}

impl Over {
    /// Whether the engine looks there for the dissector with that bit.
    pub fn is_usual(self, bit: u16, defaults: &Defaults) -> bool {
        // The one that Haka's DNS had.
        let first = matches!(self, Over::UdpPort(53));
        bit != dissector::DNS || first || !defaults.dns_udp_53_only
    }
}

/// Makes the reader of one connection.
pub type Factory = fn() -> Box<dyn Application>;

/// A native dissector at work on one connection.
pub trait Application: Any {
    /// Takes the reading of one direction one event further, from
    /// [`Seat::stage`]: [`START`] when bytes arrived, or the stage that the
    /// last event named.
    fn step(&mut self, seat: &mut Seat<'_>) -> Turn;

    /// The bytes that the direction has next will never be there: by default
    /// the rest of the connection passes.
    fn lost(&mut self, seat: &mut Seat<'_>, why: Lost) -> Turn {
        let _ = (seat, why);
        Turn::HandOver(0)
    }

    /// Whether it, or rules by it, may change what is read.
    fn edits(&self) -> bool {
        true
    }

    /// Whether it writes lines of its own around what passes in a direction:
    /// bytes that left before they were judged would stand where its receiver
    /// expects such a line.
    fn reframes(&self, direction: Direction) -> bool {
        let _ = direction;
        false
    }

    /// Puts back, of what it took out of a direction's stream, the front that
    /// no listener holds.
    fn free_front(&mut self, core: &mut Core, direction: Direction) {
        let _ = (core, direction);
    }

    /// Puts back all that it took out of a direction's stream, whoever holds
    /// it: listeners can read it, but not change it any more. Gives how many
    /// pieces there were; `None` where one cannot be put back.
    fn give_back(&mut self, core: &mut Core, direction: Direction) -> Option<usize> {
        let _ = (core, direction);
        Some(0)
    }

    /// The streams are gone: nothing is read any more.
    fn close(&mut self, core: &mut Core);
}

/// For [`Turn::HandOver`]: whoever knows the bytes that follow.
pub const ANYONE: u16 = u16::MAX;

/// The stage in which bytes arrived, or the direction was woken.
pub const START: u8 = 1;
/// The stage before: the arrival is not noted yet.
const ARRIVED: u8 = 0;

/// What [`Application::step`] came to.
#[derive(Debug)]
pub enum Turn {
    /// Listeners of this event run; then the stage that was set.
    Event(Step),
    /// Nothing more to read for now.
    Wait,
    /// Once more, when the work that was pushed is done.
    Again,
    /// The connection is dropped.
    Refuse,
    /// The dissector with that bit goes on with what was not read; 0, or one
    /// that no rule file asked for: the rest passes. [`ANYONE`] is told by
    /// its first bytes.
    HandOver(u16),
}

/// Why bytes are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The capture has only the beginning of a packet.
    NotCaptured,
    /// The buffers are full.
    NoRoom,
}

/// Where a reader stands in one direction.
#[derive(Debug, Default)]
pub struct Inlet {
    /// The first piece that arrived since the last reading.
    arrived: Option<u64>,
    lost: Option<Lost>,
    /// Bytes at the end of the stream that were not read.
    left: u64,
    /// The mark that keeps bytes from leaving.
    hold: Option<Pos>,
    /// The reader was told that the stream is over.
    ended: bool,
    /// Bytes that follow which the reader does not want to see, as long as
    /// the same events are heard, and those of them that have passed.
    unwanted: u64,
    unwanted_while: HookSet,
    passed: u64,
}

/// What reads a connection.
pub struct Attached {
    /// None once the rest of the connection passes.
    application: Option<Box<dyn Application>>,
    inlets: [Inlet; 2],
}

impl Attached {
    pub fn new(application: Box<dyn Application>) -> Attached {
        Attached {
            application: Some(application),
            inlets: Default::default(),
        }
    }

    /// Whether anybody still reads.
    pub fn reads(&self) -> bool {
        self.application.is_some()
    }

    /// Whether what is read may be changed.
    pub fn edits(&self) -> bool {
        self.application
            .as_ref()
            .is_some_and(|application| application.edits())
    }

    /// As [`Application::reframes`].
    pub fn reframes(&self, direction: Direction) -> bool {
        self.application
            .as_ref()
            .is_some_and(|application| application.reframes(direction))
    }

    /// As [`Application::free_front`].
    pub fn free_front(&mut self, core: &mut Core, direction: Direction) {
        if let Some(application) = &mut self.application {
            application.free_front(core, direction);
        }
    }

    /// As [`Application::give_back`].
    pub fn give_back(&mut self, core: &mut Core, direction: Direction) -> Option<usize> {
        match &mut self.application {
            Some(application) => application.give_back(core, direction),
            None => Some(0),
        }
    }

    /// The reader, if it is of that type.
    pub fn reader<A: Application>(&mut self) -> Option<&mut A> {
        let application: &mut dyn Any = self.application.as_deref_mut()?;
        application.downcast_mut()
    }

    /// Whether so many bytes, next in order, may pass unseen, since their
    /// reader does not want them; notes that they have. The last of what it
    /// does not want is shown, so that it learns of the end.
    pub fn pass_over(&mut self, direction: Direction, bytes: u32, hooks: HookSet) -> bool {
        let inlet = &mut self.inlets[direction.index()];
        let bytes = u64::from(bytes);
        let unwanted = inlet.unwanted > bytes && inlet.unwanted_while == hooks;
        let idle = inlet.left == 0 && inlet.arrived.is_none() && inlet.lost.is_none();
        if !unwanted || !idle || inlet.hold.is_some() || self.application.is_none() {
            return false;
        }
        inlet.unwanted -= bytes;
        inlet.passed += bytes;
        true
    }

    /// Notes what arrived at the end of a direction's stream: the number of
    /// the first piece.
    pub fn arrived(&mut self, direction: Direction, piece: u64) {
        self.inlets[direction.index()].arrived.get_or_insert(piece);
    }

    /// Notes that bytes did not get into a direction's stream.
    pub fn lost(&mut self, direction: Direction, why: Lost) {
        self.inlets[direction.index()].lost.get_or_insert(why);
    }

    /// The streams are gone.
    pub fn close(&mut self, core: &mut Core) {
        if let Some(mut application) = self.application.take() {
            application.close(core);
        }
        self.inlets = Default::default();
    }
}

/// The row of a dissector that can be attached, if a rule file asked for it.
fn row(core: &Core, bit: u16) -> Option<&'static Protocol> {
    PROTOCOLS
        .iter()
        .find(|row| row.bit == bit && row.application.is_some() && core.has(bit))
}

/// Whether one of the dissectors in `bits` reads streams.
pub fn reads_streams(bits: u16) -> bool {
    PROTOCOLS
        .iter()
        .any(|row| row.bit & bits != 0 && row.application.is_some())
}

/// The reader of a connection to that port, by the ports that protocols have
/// by default; else one that probes, if rules want that.
pub fn by_port(core: &Core, port: u16) -> Option<Box<dyn Application>> {
    let defaults = &core.settings.defaults;
    let found = PROTOCOLS.iter().find(|row| {
        let is_there = |over: &Over| {
            matches!(over, Over::TcpPort(own) if *own == port) && over.is_usual(row.bit, defaults)
        };
        core.has(row.bit) && row.over.iter().any(is_there)
    });
    match found {
        Some(row) => row.application.map(|make| make()),
        None => prober(core),
    }
}

/// The dissector of a UDP flow by the ports of its opener and its server: 0
/// for none. The opener's counts only where messages say themselves what
/// they are, since a flow may be seen from its middle.
pub fn by_udp_ports(core: &Core, [opener, server]: [u16; 2]) -> u16 {
    let defaults = &core.settings.defaults;
    let of = |port: u16| {
        PROTOCOLS.iter().find(|row| {
            let is_there = |over: &Over| {
                matches!(over, Over::UdpPort(own) if *own == port)
                    && over.is_usual(row.bit, defaults)
            };
            core.has(row.bit) && row.over.iter().any(is_there)
        })
    };
    let found = of(server).or_else(|| of(opener).filter(|_| !defaults.strict_dns));
    found.map_or(0, |row| row.bit)
}

/// Whether datagrams can be given to the dissector with that bit.
pub fn reads_datagrams(core: &Core, bit: u16) -> bool {
    readers_of_datagrams(core).any(|row| row.bit == bit)
}

/// Whether there is a dissector that datagrams are given to.
pub fn reads_some_datagrams(core: &Core) -> bool {
    readers_of_datagrams(core).next().is_some()
}

fn readers_of_datagrams(core: &Core) -> impl Iterator<Item = &'static Protocol> {
    let has_port = |row: &Protocol| row.over.iter().any(|o| matches!(o, Over::UdpPort(_)));
    PROTOCOLS
        .iter()
        .filter(move |row| core.has(row.bit) && has_port(row))
}

/// The reader that a rule chose by its dissector's bit.
pub fn by_bit(core: &Core, bit: u16) -> Option<Box<dyn Application>> {
    row(core, bit)?.application.map(|make| make())
}

/// Finds out what is spoken, where some dissector that rules asked for can
/// tell.
pub fn prober(core: &Core) -> Option<Box<dyn Application>> {
    let any = core.settings.defaults.probe && probes(core).next().is_some();
    any.then(|| Box::new(Prober) as Box<dyn Application>)
}

type Probe = fn(&[u8], Direction) -> Likeness;

fn probes(core: &Core) -> impl Iterator<Item = (u16, Probe)> {
    PROTOCOLS
        .iter()
        .filter(|row| row.application.is_some() && core.has(row.bit))
        .flat_map(|row| row.over.iter().map(move |over| (row.bit, over)))
        .filter_map(|(bit, over)| match over {
            Over::TcpProbe(probe) => Some((bit, *probe)),
            _ => None,
        })
}

/// Looks at the first bytes and leaves the rest to whoever knows them.
struct Prober;

impl Application for Prober {
    fn step(&mut self, seat: &mut Seat<'_>) -> Turn {
        let direction = seat.direction();
        let candidates: Vec<_> = probes(seat.core()).collect();
        let over = seat.left() >= PROBED || seat.is_over();
        let Ok(bytes) = seat.unread() else {
            return Turn::HandOver(0);
        };
        if bytes.is_empty() {
            return Turn::Wait;
        }
        let mut open = false;
        for (bit, probe) in candidates {
            match probe(bytes, direction) {
                Likeness::Yes => return Turn::HandOver(bit),
                Likeness::Open => open = true,
                Likeness::No => {}
            }
        }
        if open && !over && seat.hold(0).is_ok() {
            return Turn::Wait;
        }
        Turn::HandOver(0)
    }

    fn close(&mut self, _: &mut Core) {}
}

/// Takes the reading of the top frame one event further.
pub fn step(mut tcp: Tcp<'_>, frame: Frame) -> Option<Step> {
    let taken = is_wanted(tcp.core, frame)
        .then(|| tcp::take_application(&mut tcp, frame.flow()))
        .flatten();
    let Some(mut attached) = taken else {
        tcp.core.stack.pop();
        return None;
    };
    let turn = turn(&mut tcp, frame, &mut attached);
    let event = match turn {
        Turn::Event(event) => Some(event),
        Turn::Again => None,
        Turn::Wait => {
            pop(tcp.core, frame);
            None
        }
        Turn::Refuse => {
            pop(tcp.core, frame);
            let end = Frame::on_flow(Op::TcpEnd, frame.flow(), frame.direction());
            tcp.core.push(end.with(cause::REFUSED));
            None
        }
        Turn::HandOver(bit) => {
            pop(tcp.core, frame);
            hand_over(&mut tcp, frame, &mut attached, bit);
            None
        }
    };
    tcp::put_application(&mut tcp, frame.flow(), attached);
    event
}

/// Whether the connection is still the one that the frame was pushed for.
fn is_wanted(core: &Core, frame: Frame) -> bool {
    core.flows.live(frame.flow()).is_some_and(|record| {
        record.protocol == TCP
            && record.generation() == frame.generation()
            && record.state != flow_state::DROP
    })
}

fn turn(tcp: &mut Tcp<'_>, frame: Frame, attached: &mut Attached) -> Turn {
    let Attached {
        application: Some(application),
        inlets,
    } = attached
    else {
        return Turn::Wait;
    };
    let mut seat = Seat {
        tcp: tcp.again(),
        frame,
        inlets,
    };
    if frame.stage() == ARRIVED {
        seat.goto(START);
        if let Some(why) = seat.take_in() {
            return application.lost(&mut seat, why);
        }
    }
    application.step(&mut seat)
}

/// Removes the frame that is done; what it pushed stays.
fn pop(core: &mut Core, frame: Frame) {
    let own = |other: &Frame| {
        other.op() == Op::Application
            && other.flow() == frame.flow()
            && other.direction() == frame.direction()
    };
    if let Some(at) = core.stack.iter().rposition(own) {
        core.stack.remove(at);
    }
}

/// Another dissector reads from here on, both directions.
fn hand_over(tcp: &mut Tcp<'_>, frame: Frame, attached: &mut Attached, bit: u16) {
    if let Some(mut application) = attached.application.take() {
        application.close(tcp.core);
    }
    attached.application = match bit {
        ANYONE => prober(tcp.core),
        bit => by_bit(tcp.core, bit),
    };
    for direction in [frame.direction().opposite(), frame.direction()] {
        let inlet = &mut attached.inlets[direction.index()];
        (inlet.unwanted, inlet.passed) = (0, 0);
        if attached.application.is_none() {
            inlet.left = 0;
            unhold(&mut tcp.core.bufs, inlet);
        }
        wake(tcp.core, frame, direction);
    }
}

/// Has a direction read, and what is read leave.
fn wake(core: &mut Core, frame: Frame, direction: Direction) {
    core.push(Frame::on_flow(Op::TcpRelease, frame.flow(), direction));
    let work = Frame::on_flow(Op::Application, frame.flow(), direction);
    core.push(work.since(frame.generation()).by(frame.packet()));
}

fn unhold(bufs: &mut Store, inlet: &mut Inlet) {
    if let Some(mark) = inlet.hold.take() {
        // Fails only for a mark that went with its stream.
        let _ = bufs.unmark(mark);
    }
}

/// The place of a reader: one direction of one connection, for one step.
pub struct Seat<'a> {
    tcp: Tcp<'a>,
    frame: Frame,
    inlets: &'a mut [Inlet; 2],
}

impl Seat<'_> {
    pub fn direction(&self) -> Direction {
        self.frame.direction()
    }

    /// What is to be done: see [`Application::step`].
    pub fn stage(&self) -> u8 {
        self.frame.stage().max(START)
    }

    pub fn core(&mut self) -> &mut Core {
        self.tcp.core
    }

    /// The engine's data, and what dissectors keep for all flows.
    pub fn common(&mut self) -> (&mut Core, &mut Common) {
        (self.tcp.core, self.tcp.common)
    }

    pub fn flow(&self) -> u32 {
        self.frame.flow()
    }

    /// The packet that brought the bytes.
    pub fn packet(&self) -> u32 {
        self.frame.packet()
    }

    fn inlet(&mut self) -> &mut Inlet {
        &mut self.inlets[self.frame.direction().index()]
    }

    /// Counts what arrived, as listeners of the bytes left it.
    fn take_in(&mut self) -> Option<Lost> {
        if let Some(why) = self.inlet().lost.take() {
            return Some(why);
        }
        let piece = self.inlet().arrived.take()?;
        let fresh = self
            .stream()
            .and_then(|stream| self.tcp.core.bufs.stream_available_from(stream, piece));
        match fresh {
            Ok(fresh) => {
                self.inlet().left += fresh;
                None
            }
            Err(_) => Some(Lost::NoRoom),
        }
    }

    fn stream(&mut self) -> Result<BufId, BufError> {
        tcp::open_stream(&mut self.tcp, self.frame.flow(), self.frame.direction())
            .ok_or(BufError::InvalidBuffer)
    }

    /// Bytes that arrived and were not read.
    pub fn left(&mut self) -> u64 {
        self.inlet().left
    }

    /// The next bytes, as many as are looked at in one go.
    ///
    /// # Errors
    /// When the stream is gone, as in all that follows.
    pub fn unread(&mut self) -> Result<&[u8], BufError> {
        let left = self.inlet().left;
        if left == 0 {
            return Ok(&[]);
        }
        let at = self.place(0)?;
        self.tcp.core.bufs.bytes(Span::Counted(at, left.min(LOOK)))
    }

    /// Gives `read` as many of the next bytes as are asked for, which must
    /// be there.
    ///
    /// # Errors
    /// When they are not.
    pub fn look<R>(
        &mut self,
        bytes: u64,
        read: impl FnOnce(&[u8], &mut Common) -> R,
    ) -> Result<R, BufError> {
        let at = self.place(0)?;
        let bytes = self.tcp.core.bufs.bytes(Span::Counted(at, bytes))?;
        Ok(read(bytes, self.tcp.common))
    }

    /// Goes on by so many bytes.
    pub fn advance(&mut self, bytes: u64) {
        let inlet = self.inlet();
        inlet.left = inlet.left.saturating_sub(bytes);
    }

    /// Says, with everything read, that the next bytes need not be shown:
    /// they may then pass without [`Application::step`], which finds out by
    /// [`Seat::passed`] how many have.
    pub fn pass_over(&mut self, bytes: u64) {
        let hooks = self.tcp.core.hooks;
        let inlet = self.inlet();
        (inlet.unwanted, inlet.unwanted_while) = (bytes, hooks);
    }

    /// Bytes that have passed since [`Seat::pass_over`], which ends.
    pub fn passed(&mut self) -> u64 {
        let inlet = self.inlet();
        inlet.unwanted = 0;
        std::mem::take(&mut inlet.passed)
    }

    /// The position so many bytes before the next one.
    ///
    /// # Errors
    /// When the stream is gone.
    pub fn place(&mut self, back: u64) -> Result<Pos, BufError> {
        let (stream, left) = (self.stream()?, self.inlet().left);
        self.tcp.core.bufs.position_before_end(stream, left + back)
    }

    /// Replaces bytes that were read: `len` of them, from `back` bytes before
    /// the next one on.
    ///
    /// # Errors
    /// When they cannot be changed, or the buffers are full.
    pub fn edit(&mut self, back: u64, len: u64, bytes: &[u8]) -> Result<(), BufError> {
        let at = self.place(back)?;
        self.tcp
            .core
            .bufs
            .set_string(Span::Counted(at, len), bytes)
            .map(|_| ())
    }

    /// Keeps everything from `back` bytes before the next one on from
    /// leaving, until [`Seat::release`]. What is only watched leaves anyway.
    ///
    /// # Errors
    /// When the buffers are full.
    pub fn hold(&mut self, back: u64) -> Result<(), BufError> {
        if self.inlet().hold.is_some() || self.tcp.core.settings.pass_through {
            return Ok(());
        }
        let at = self.place(back)?;
        let mark = self.tcp.core.bufs.mark(at, false)?;
        self.inlet().hold = Some(mark);
        Ok(())
    }

    /// Lets go what was held.
    pub fn release(&mut self) {
        let inlet = &mut self.inlets[self.frame.direction().index()];
        unhold(&mut self.tcp.core.bufs, inlet);
    }

    /// What was to be seen of the flow was seen: the rest may skip the queue.
    pub fn settle(&mut self) {
        let flow = self.frame.flow();
        if let Some(record) = self.core().flows.live_mut(flow) {
            record.flags |= flags::SETTLED;
        }
    }

    /// Whether the direction has nothing more to come than what is left.
    pub fn is_over(&mut self) -> bool {
        tcp::is_finished(&mut self.tcp, self.frame.flow(), self.frame.direction())
    }

    /// True once: when everything was read of a direction that is over.
    pub fn has_ended(&mut self) -> bool {
        self.is_over() && self.left() == 0 && !std::mem::replace(&mut self.inlet().ended, true)
    }

    /// Whether the bytes may be changed.
    pub fn is_writable(&mut self) -> bool {
        tcp::is_writable(&mut self.tcp, self.frame.flow(), self.frame.direction())
    }

    /// What comes next for this direction.
    pub fn goto(&mut self, stage: u8) {
        self.frame.goto(stage);
        if let Some(top) = self.tcp.core.stack.last_mut() {
            top.goto(stage);
        }
    }

    /// Raises an event of the connection, if somebody hears it; afterwards
    /// the stage is `next`.
    pub fn event(&mut self, kind: EventKind, next: u8) -> Option<Turn> {
        self.goto(next);
        let frame = self.frame;
        self.tcp
            .event(kind, frame.flow(), frame.packet(), frame.direction())
            .map(Turn::Event)
    }

    /// Asks a policy of the dissector that rules have extended.
    pub fn ask(&mut self, policy: EventKind, detail: u32, next: u8) -> Turn {
        self.goto(next);
        let current = &mut self.tcp.core.current;
        current.flow = self.frame.flow();
        current.packet = self.frame.packet();
        current.direction = self.frame.direction() as u32;
        current.detail = detail;
        Turn::Event(Step::Event(policy, self.frame.flow()))
    }

    /// Has the other direction read, which waited for this one. The step
    /// that calls this ends with [`Turn::Again`].
    pub fn wake_other(&mut self) {
        wake(self.tcp.core, self.frame, self.frame.direction().opposite());
    }
}

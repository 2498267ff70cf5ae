//! What one worker knows: its packets, buffers, flows, hooks, and the work
//! that is under way. Data only; protocols (`proto`) and the pipeline
//! (`engine`) work on it.
//!
//! Nothing here calls Lua. While a listener runs, no reference into `Core`
//! may be alive in the caller, because the listener reaches it too.

pub mod deadlines;
pub mod expected;
pub mod flows;
pub mod frame;
pub mod observe;
pub mod packets;
pub mod stats;
pub mod timers;
pub mod tunnels;

use std::collections::{HashMap, HashSet, VecDeque};

pub use deadlines::Deadlines;
pub use expected::Expected;
pub use flows::{Flows, flow_state};
pub use frame::{Frame, Op};
pub use observe::{Cap, Observer, Span, StreamState};
pub use packets::Packets;
pub use stats::Stats;
pub use timers::Timers;
pub use tunnels::Tunnels;

use crate::addr::Addr;
use crate::buf::{Block, BufId, ExtId, Key, Store};
use crate::event::notice::NativeAlert;
use crate::event::{
    Current, DropReason, EventKind, HookSet, Level, LogFilter, Notice, Settings, Verdict,
};
use crate::packet::fragment::Part;
use crate::packet::record::{PacketRecord, dirty, flag, state};
use crate::packet::{Devices, LinkType, build};
use crate::time::Timestamp;
use smallvec::SmallVec;

/// The dissectors that rule files have asked for, one bit each.
pub mod dissector {
    pub const IPV4: u16 = 1;
    pub const IPV6: u16 = 2;
    pub const ICMP: u16 = 4;
    pub const ICMPV6: u16 = 8;
    pub const TCP: u16 = 16;
    pub const UDP: u16 = 32;
    pub const TCP_CONNECTION: u16 = 64;
    pub const UDP_CONNECTION: u16 = 128;
    pub const HTTP: u16 = 256;
    pub const DNS: u16 = 512;
    pub const TLS: u16 = 1024;
    pub const SMTP: u16 = 2048;
    pub const SSH: u16 = 4096;
    pub const FTP: u16 = 8192;
    pub const QUIC: u16 = 16384;
}

/// What `PacketRecord::next` says after a policy ran.
pub mod next {
    pub const NONE: u8 = 0;
    pub const NATIVE: u8 = 1;
    /// A dissector written in Lua has taken the packet over.
    pub const SCRIPTED: u8 = 2;
}

/// What the engine wants done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Somebody hears this event: deliver it, then step again.
    Event(EventKind, u32),
    /// The work asked for is done.
    Done,
}

/// A packet's end: what the worker is to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Slot of the packet; it is free once the output was taken.
    pub packet: u32,
    pub verdict: Verdict,
    /// The listener that refused the packet: event and place in its list,
    /// from 1.
    pub listener: Option<(EventKind, u32)>,
}

/// The state of one worker.
pub struct Core {
    pub settings: Settings,
    /// Packet time; never goes back.
    pub now: Timestamp,
    /// Time of the first packet.
    pub started: Timestamp,
    pub hooks: HookSet,
    /// Policies that a rule file added entries to (by the kind of their
    /// event): these are decided in Lua, all others natively.
    pub extended: HookSet,
    /// Bits of [`dissector`].
    pub loaded: u16,
    /// Listeners want the bytes of TCP streams as editable buffers.
    pub streams: bool,
    pub current: Current,
    /// The latest [`Current::loose`], and the latest that has been settled.
    loose: u32,
    settled: u32,
    /// The listener that runs: its event and its place in the list.
    pub listener: Option<(EventKind, u32)>,
    pub packets: Packets,
    pub bufs: Store,
    pub flows: Flows,
    /// What rules asked to be woken for.
    pub timers: Timers,
    /// Until when segments may be held.
    pub deadlines: Deadlines,
    pub tunnels: Tunnels,
    /// Connections that others have announced.
    pub expected: Expected,
    pub stack: Vec<Frame>,
    /// Packets that wait for `Op::SendAll`, the next one last.
    pub departing: Vec<u32>,
    pub outputs: VecDeque<Output>,
    pub notices: VecDeque<Notice>,
    pub log: LogFilter,
    pub stats: Stats,
    /// Packets that rules injected; they run after the current one.
    pub injected: VecDeque<u32>,
    /// Link type of the packet captured last: forged ones get it too.
    pub last_link: LinkType,
    /// UDP flows that a dissector written in Lua answers for.
    pub scripted: HashSet<u32>,
    /// Somebody other than rules who watches.
    pub observer: Option<Box<dyn Observer>>,
    /// Streams of ended flows, which the listener that ended them may still
    /// read; freed when it is done.
    buried: Vec<BufId>,
    /// Parts of reassembled datagrams, by the slot that stands for them.
    pub datagrams: HashMap<u32, SmallVec<[Part; 8]>>,
}

impl Core {
    pub fn new(settings: Settings) -> std::io::Result<Core> {
        let mut flows = Flows::new(settings.max_flows, settings.seed)?;
        flows.timeouts.tcp_established = settings.defaults.tcp_idle;
        Ok(Core {
            now: Timestamp(i64::MIN),
            started: Timestamp(i64::MIN),
            hooks: HookSet::default(),
            extended: HookSet::default(),
            loaded: 0,
            streams: false,
            current: Current::default(),
            loose: 0,
            settled: 0,
            listener: None,
            packets: Packets::new(settings.max_packets)?,
            bufs: Store::default(),
            flows,
            timers: Timers::new(settings.max_timers),
            deadlines: Deadlines::new(settings.max_flows),
            tunnels: Tunnels::default(),
            expected: Expected::default(),
            stack: Vec::with_capacity(32),
            departing: Vec::new(),
            outputs: VecDeque::with_capacity(64),
            notices: VecDeque::new(),
            log: LogFilter::default(),
            stats: Stats::default(),
            injected: VecDeque::new(),
            last_link: LinkType::RAW,
            scripted: HashSet::new(),
            observer: None,
            buried: Vec::new(),
            datagrams: HashMap::new(),
            settings,
        })
    }

    /// Whether a dissector was asked for, or needs no asking.
    #[inline(always)]
    pub fn has(&self, bit: u16) -> bool {
        self.loaded & bit != 0
    }

    #[inline(always)]
    pub fn packet(&self, slot: u32) -> &PacketRecord {
        self.packets.get(slot)
    }

    #[inline(always)]
    pub fn packet_mut(&mut self, slot: u32) -> &mut PacketRecord {
        self.packets.get_mut(slot)
    }

    /// The frame of a packet.
    #[inline(always)]
    pub fn bytes(&self, slot: u32) -> &[u8] {
        let packet = self.packets.get(slot);
        self.bufs
            .extents
            .bytes(packet.extent)
            .get(..packet.len as usize)
            .unwrap_or_default()
    }

    /// The frame of a packet, to be changed. The caller notes it in `dirty`.
    #[inline(always)]
    pub fn bytes_mut(&mut self, slot: u32) -> &mut [u8] {
        let packet = self.packets.get(slot);
        let (extent, len) = (packet.extent, packet.len as usize);
        self.bufs
            .extents
            .bytes_mut(extent)
            .get_mut(..len)
            .unwrap_or_default()
    }

    /// The bytes of the event to come are not in their stream.
    pub fn mark_loose(&mut self) {
        self.loose = self.loose.wrapping_add(1).max(1);
        self.current.loose = self.loose;
    }

    /// They are there now, or nowhere.
    pub fn settle_loose(&mut self) {
        self.settled = self.loose;
        self.current.loose = 0;
    }

    /// The event under way is that one again.
    pub fn return_to(&mut self, mut event: Current) {
        if self.settled.wrapping_sub(event.loose) as i32 >= 0 {
            event.loose = 0;
        }
        self.current = event;
    }

    /// Whether connections may still turn up that were there before us.
    pub fn is_new(&self) -> bool {
        !self.settings.grace.is_zero() && self.now.since(self.started) < self.settings.grace
    }

    /// Neither sent nor dropped yet.
    #[inline(always)]
    pub fn alive(&self, slot: u32) -> bool {
        matches!(self.packets.get(slot).state, state::NORMAL | state::FORGED)
    }

    /// Ends a packet's way with a refusal; a second one is a no-op.
    pub fn drop_packet(&mut self, slot: u32, reason: DropReason) {
        if !self.alive(slot) {
            return;
        }
        if self.packets.get(slot).flags & flag::AHEAD != 0 {
            // It has left; whoever holds its bytes lets them go later.
            if self.packets.get(slot).flags & flag::HELD == 0 || reason != DropReason::Rule {
                self.retire_stand_in(slot);
            }
            return;
        }
        self.observe(|observer, core| observer.refused(core, slot, reason));
        let packet = self.packets.get_mut(slot);
        if packet.flags & flag::HELD != 0 && reason == DropReason::Rule {
            // Its bytes are part of a stream: it ends when they are let go.
            packet.flags |= flag::REFUSED;
            return;
        }
        let (own, id, flags) = (packet.state == state::FORGED, packet.id, packet.flags);
        packet.state = state::DROPPED;
        packet.flags &= !flag::HELD;
        self.debug("packet", || format!("dropping packet id={id}"));
        if flags & flag::REASSEMBLED != 0 {
            self.drop_parts(slot, reason);
        }
        if own || flags & flag::REASSEMBLED != 0 {
            // Nobody outside knows of it: its end needs no verdict.
            self.packets.retire(slot);
            return;
        }
        self.stats.drops[reason as usize] += 1;
        let listener = self.listener;
        self.outputs.push_back(Output {
            packet: slot,
            verdict: Verdict::Drop(reason),
            listener,
        });
    }

    /// Tells the observer of a limit that was reached.
    pub fn tell_cap(&mut self, flow: Option<u32>, name: &'static str, limit: u64) {
        self.observe(|observer, core| observer.capped(core, flow, Cap { name, limit }));
    }

    /// The fragments of a datagram share its refusal.
    fn drop_parts(&mut self, datagram: u32, reason: DropReason) {
        let mut parts: SmallVec<[u32; 8]> = self
            .datagrams
            .remove(&datagram)
            .unwrap_or_default()
            .iter()
            .map(|part| part.token)
            .collect();
        parts.sort_unstable();
        parts.dedup();
        for slot in parts {
            self.drop_packet(slot, reason);
        }
    }

    /// A record that keeps the bytes of a packet for their readers while the
    /// packet itself leaves: with bytes of its own from here on, so that what
    /// is written on its way out is not seen by them. `None` without room.
    pub fn stand_in(&mut self, slot: u32) -> Option<u32> {
        let made = self.packets.alloc()?;
        let packet = *self.packets.get(slot);
        let copy = self.bufs.extents.copy(packet.extent);
        let data = self.bufs.extents.ptr(copy).cast_mut();
        let leaving = self.packets.get_mut(slot);
        (leaving.extent, leaving.data) = (copy, data);
        self.packets.get_mut(made).stand_in_for(&packet);
        Some(made)
    }

    /// Ends what [`Core::stand_in`] made. Nobody outside knows of it.
    pub fn retire_stand_in(&mut self, slot: u32) {
        let packet = self.packets.get_mut(slot);
        packet.state = state::DROPPED;
        packet.flags &= !flag::HELD;
        self.packets.retire(slot);
    }

    /// As [`Core::drop_packet`], for a slot that may have been freed.
    pub fn drop_packet_with(&mut self, slot: u32, reason: DropReason) {
        if self.packets.is_live(slot) {
            self.drop_packet(slot, reason);
        }
    }

    /// A packet of our own making: `network` is the IP packet, the link
    /// header is that of the capture. `cause` lends its time and link.
    pub fn forge(&mut self, network: &[u8], cause: u32) -> Option<u32> {
        self.forge_tagged(network, cause, &[])
    }

    /// As [`Core::forge`], with VLAN tags in the Ethernet header.
    pub fn forge_tagged(&mut self, network: &[u8], cause: u32, tags: &[u8]) -> Option<u32> {
        let (link, timestamp, mark, devices) = if self.packets.is_live(cause) {
            let packet = self.packets.get(cause);
            let devices = packet.devices.of_one_link();
            (
                LinkType(packet.link),
                packet.timestamp,
                packet.mark,
                devices,
            )
        } else {
            (self.last_link, self.now.0, 0, Devices::default())
        };
        let version = network.first().map_or(4, |byte| byte >> 4);
        let mut frame = Vec::with_capacity(network.len() + 18);
        build::link_header(&mut frame, link, version);
        if link == LinkType::ETHERNET {
            frame.splice(build::TAGS_AT..build::TAGS_AT, tags.iter().copied());
        }
        let ip_at = frame.len();
        frame.extend_from_slice(network);
        let slot = self.adopt_frame(&frame, ip_at, link, timestamp)?;
        let packet = self.packets.get_mut(slot);
        packet.mark = mark;
        packet.devices = devices;
        Some(slot)
    }

    /// As [`Core::forge`], for a packet that goes the way of another: it
    /// gets that one's own link header, tags included.
    pub fn forge_after(&mut self, network: &[u8], other: u32) -> Option<u32> {
        let packet = *self.packets.get(other);
        let link = self.bytes(other).get(..packet.ip_at as usize)?;
        let frame = [link, network].concat();
        let slot = self.adopt_frame(
            &frame,
            packet.ip_at as usize,
            LinkType(packet.link),
            packet.timestamp,
        )?;
        let forged = self.packets.get_mut(slot);
        forged.vlan = packet.vlan;
        forged.mark = packet.mark;
        forged.devices = packet.devices;
        Some(slot)
    }

    fn adopt_frame(
        &mut self,
        frame: &[u8],
        ip_at: usize,
        link: LinkType,
        timestamp: i64,
    ) -> Option<u32> {
        let slot = self.packets.alloc()?;
        self.fill(slot, frame);
        let packet = self.packets.get_mut(slot);
        packet.state = state::FORGED;
        packet.link = link.0;
        packet.timestamp = timestamp;
        packet.ip_at = ip_at as u32;
        packet.transport_at = packet.len;
        packet.payload_at = packet.len;
        packet.end = packet.len;
        packet.wire_len = packet.len;
        packet.ip_version = 0;
        Some(slot)
    }

    /// Puts bytes into a fresh packet record.
    /// Returns how many there are.
    pub fn fill(&mut self, slot: u32, bytes: &[u8]) -> u32 {
        let extent = self.bufs.extents.alloc_packet(bytes);
        self.hold(slot, extent)
    }

    /// As [`Core::fill`], with bytes that lie in a block already.
    pub fn fill_with(&mut self, slot: u32, block: Block) -> u32 {
        let extent = self.bufs.extents.take_block(block);
        self.hold(slot, extent)
    }

    fn hold(&mut self, slot: u32, extent: ExtId) -> u32 {
        let bytes = self.bufs.extents.bytes(extent);
        let (data, len) = (bytes.as_ptr().cast_mut(), bytes.len() as u32);
        let packet = self.packets.get_mut(slot);
        packet.extent = extent;
        packet.data = data;
        packet.len = len;
        len
    }

    /// Gives a packet other bytes. Its buffers are closed: their extents
    /// stay alive as long as somebody refers to them.
    pub fn refill(&mut self, slot: u32, bytes: &[u8]) {
        let old = self.packets.get(slot).extent;
        self.fill(slot, bytes);
        self.bufs.extents.release(old);
        let packet = self.packets.get_mut(slot);
        packet.dirty |= dirty::REBUILT;
        packet.wire_len = packet.len;
    }

    /// Where the payload of a layer lies in the frame.
    pub fn payload_range(&self, slot: u32, layer: usize) -> std::ops::Range<usize> {
        let packet = self.packets.get(slot);
        let (from, to) = match layer {
            0 => (packet.ip_at, packet.len),
            1 => (packet.transport_at, packet.end),
            _ => (packet.payload_at, packet.end),
        };
        from.min(to) as usize..to as usize
    }

    /// Opens the payload of a layer as a buffer, or finds it open.
    pub fn open_payload(&mut self, slot: u32, layer: usize) -> Option<BufId> {
        let range = self.payload_range(slot, layer);
        let packet = *self.packets.get(slot);
        let (&index, &generation) = (
            packet.buffers.get(layer)?,
            packet.buffer_generations.get(layer)?,
        );
        if generation != 0 {
            let open = BufId(Key { index, generation });
            if self.bufs.exists(open) {
                return Some(open);
            }
        }
        let writable = packet.flags & flag::READ_ONLY == 0;
        let open = self
            .bufs
            .new_over(packet.extent, range.start, range.len(), writable)
            .ok()?;
        let packet = self.packets.get_mut(slot);
        *packet.buffers.get_mut(layer)? = open.0.index;
        *packet.buffer_generations.get_mut(layer)? = open.0.generation;
        Some(open)
    }

    /// Takes the edits made in the open payload buffer of a layer into the
    /// frame. The buffers of all layers are closed then. Returns whether
    /// there were any edits.
    pub fn absorb(&mut self, slot: u32, layer: usize) -> bool {
        let packet = *self.packets.get(slot);
        let (Some(&index), Some(&generation)) = (
            packet.buffers.get(layer),
            packet.buffer_generations.get(layer),
        ) else {
            return false;
        };
        let open = BufId(Key { index, generation });
        if generation == 0 || !self.bufs.is_modified(open) {
            return false;
        }
        let range = self.payload_range(slot, layer);
        let frame = self.bytes(slot);
        let mut bytes = frame.get(..range.start).unwrap_or_default().to_vec();
        let tail = frame.get(range.end..).unwrap_or_default().to_vec();
        if self.bufs.copy_out(open, &mut bytes).is_err() {
            return false;
        }
        let end = bytes.len() as u32;
        bytes.extend_from_slice(&tail);
        self.close_buffers(slot);
        self.refill(slot, &bytes);
        let packet = self.packets.get_mut(slot);
        packet.dirty |= match layer {
            0 => 0,
            1 => dirty::TRANSPORT,
            _ => dirty::TRANSPORT | dirty::NETWORK,
        };
        if layer == 0 {
            // A length in the IP header may no longer fit: it is fixed on
            // the way out, if there is one.
            packet.dirty |= dirty::NETWORK;
        } else {
            packet.end = end;
        }
        true
    }

    fn close_buffers(&mut self, slot: u32) {
        let packet = self.packets.get_mut(slot);
        let (buffers, generations) = (packet.buffers, packet.buffer_generations);
        packet.buffers = [0; 3];
        packet.buffer_generations = [0; 3];
        for (index, generation) in buffers.into_iter().zip(generations) {
            if generation != 0 {
                self.bufs.free(BufId(Key { index, generation }));
            }
        }
    }

    /// Replaces the transport payload of a packet. Lengths and checksums
    /// follow on its way out.
    pub fn replace_payload(&mut self, slot: u32, payload: &[u8]) {
        let packet = *self.packets.get(slot);
        let frame = self.bytes(slot);
        let (head, tail) = (packet.payload_at as usize, packet.end as usize);
        let mut bytes = Vec::with_capacity(head + payload.len() + frame.len().saturating_sub(tail));
        bytes.extend_from_slice(frame.get(..head).unwrap_or_default());
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(frame.get(tail..).unwrap_or_default());
        self.refill(slot, &bytes);
        let packet = self.packets.get_mut(slot);
        packet.end = (head + payload.len()) as u32;
        packet.dirty |= dirty::NETWORK | dirty::TRANSPORT;
    }

    /// Frees a packet's slot, bytes and buffers.
    pub fn release_packet(&mut self, slot: u32) {
        if self.packets.get(slot).buffer_generations != [0; 3] {
            self.close_buffers(slot);
        }
        let extent = self.packets.get(slot).extent;
        self.bufs.extents.release(extent);
        self.tunnels.forget(slot);
        self.packets.free(slot);
    }

    /// A debug log line, made only if somebody reads it.
    #[inline]
    pub fn debug(&mut self, section: &'static str, text: impl FnOnce() -> String) {
        self.log_line(Level::Debug, section, text);
    }

    /// A log line, made only if somebody reads it.
    #[inline]
    pub fn log_line(&mut self, level: Level, section: &'static str, text: impl FnOnce() -> String) {
        if self.log.enabled(level, section) {
            self.notices.push_back(Notice::Log {
                level,
                section,
                text: text(),
            });
        }
    }

    /// An alert of the engine's own, with severity low unless said otherwise.
    pub fn alert(
        &mut self,
        description: impl Into<String>,
        severity_low: bool,
        endpoints: Option<[(Addr, Option<String>); 2]>,
    ) {
        self.notices.push_back(Notice::Alert(NativeAlert {
            severity_low,
            description: description.into(),
            endpoints,
        }));
    }

    /// Sends packets in the order given, from a stage of the way up, before
    /// the work under way goes on. However many: they take one frame.
    pub fn send_all(&mut self, slots: &[u32], stage: u8) {
        if slots.is_empty() {
            return;
        }
        let base = self.departing.len() as u32;
        self.departing.extend(slots.iter().rev());
        let frame = Frame::on_packet(Op::SendAll, base).of(slots.len() as u32);
        // Room for it is part of what each nested level may use.
        self.stack.push(frame.at(stage));
    }

    /// The next packet of an `Op::SendAll` frame, which must be the top.
    pub fn next_departing(&mut self, frame: Frame) -> Option<u32> {
        // Whatever lies above was left behind by a listener that failed.
        let end = (frame.packet() + frame.flow()) as usize;
        for slot in self.departing.split_off(end.min(self.departing.len())) {
            self.drop_packet_with(slot, DropReason::NotSent);
        }
        let slot = if frame.flow() > 0 {
            self.departing.pop()
        } else {
            None
        };
        match (slot, self.stack.last_mut()) {
            (Some(_), Some(top)) => *top = frame.of(frame.flow() - 1),
            _ => {
                self.stack.pop();
            }
        }
        slot
    }

    /// Frees a stream once no listener runs.
    pub fn bury(&mut self, stream: BufId) {
        self.buried.push(stream);
    }

    /// No listener runs: frees what only one could still have read.
    #[inline]
    pub fn free_buried(&mut self) {
        while let Some(stream) = self.buried.pop() {
            self.bufs.free(stream);
        }
        while let Some(slot) = self.packets.take_retired() {
            self.release_packet(slot);
        }
    }

    /// Pushes work; deeper nesting than any sane rule needs is refused.
    pub fn push(&mut self, frame: Frame) -> bool {
        if self.stack.len() >= frame::MAX_DEPTH {
            return false;
        }
        self.stack.push(frame);
        true
    }
}

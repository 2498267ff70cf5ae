//! What one worker knows: its packets, buffers, flows, hooks, and the work
//! that is under way. Data only; protocols (`proto`) and the pipeline
//! (`engine`) work on it.
//!
//! Nothing here calls Lua. While a listener runs, no reference into `Core`
//! may be alive in the caller, because the listener reaches it too.

pub mod flows;
pub mod frame;
pub mod packets;
pub mod stats;
pub mod tunnels;

use std::collections::VecDeque;

pub use flows::{Flows, flow_state};
pub use frame::{Frame, Op};
pub use packets::Packets;
pub use stats::Stats;
pub use tunnels::Tunnels;

use crate::addr::Addr;
use crate::buf::Store;
use crate::event::log::LogFilter;
use crate::event::notice::NativeAlert;
use crate::event::{Current, DropReason, EventKind, HookSet, Level, Notice, Settings, Verdict};
use crate::packet::record::{PacketRecord, flag, state};
use crate::time::Timestamp;

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
    pub hooks: HookSet,
    /// Policies that a rule file added entries to (by the kind of their
    /// event): these are decided in Lua, all others natively.
    pub extended: HookSet,
    /// Bits of [`dissector`].
    pub loaded: u16,
    /// Listeners want the bytes of TCP streams as editable buffers.
    pub streams: bool,
    pub current: Current,
    /// The listener that runs: its event and its place in the list.
    pub listener: Option<(EventKind, u32)>,
    pub packets: Packets,
    pub bufs: Store,
    pub flows: Flows,
    pub tunnels: Tunnels,
    pub stack: Vec<Frame>,
    pub outputs: VecDeque<Output>,
    pub notices: VecDeque<Notice>,
    pub log: LogFilter,
    pub stats: Stats,
    /// Packets that rules injected; they run after the current one.
    pub injected: VecDeque<u32>,
}

impl Core {
    pub fn new(settings: Settings) -> std::io::Result<Core> {
        Ok(Core {
            now: Timestamp(i64::MIN),
            hooks: HookSet::default(),
            extended: HookSet::default(),
            loaded: 0,
            streams: false,
            current: Current::default(),
            listener: None,
            packets: Packets::new(settings.max_packets)?,
            bufs: Store::default(),
            flows: Flows::new(settings.max_flows, settings.seed)?,
            tunnels: Tunnels::default(),
            stack: Vec::with_capacity(32),
            outputs: VecDeque::with_capacity(64),
            notices: VecDeque::new(),
            log: LogFilter::default(),
            stats: Stats::default(),
            injected: VecDeque::new(),
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
        self.bufs.extents.bytes(packet.extent).get(..packet.len as usize).unwrap_or_default()
    }

    /// The frame of a packet, to be changed. The caller notes it in `dirty`.
    #[inline(always)]
    pub fn bytes_mut(&mut self, slot: u32) -> &mut [u8] {
        let packet = self.packets.get(slot);
        let (extent, len) = (packet.extent, packet.len as usize);
        self.bufs.extents.bytes_mut(extent).get_mut(..len).unwrap_or_default()
    }

    /// Neither sent nor dropped yet.
    #[inline(always)]
    pub fn alive(&self, slot: u32) -> bool {
        matches!(self.packets.get(slot).state, state::NORMAL | state::FORGED)
    }

    /// Ends a packet's way with a refusal; a second one is a no-op.
    pub fn drop_packet(&mut self, slot: u32, reason: DropReason) {
        let packet = self.packets.get_mut(slot);
        if !matches!(packet.state, state::NORMAL | state::FORGED) {
            return;
        }
        let forged = packet.state == state::FORGED;
        packet.state = state::DROPPED;
        packet.flags &= !flag::HELD;
        let id = packet.id;
        self.debug("packet", || format!("dropping packet id={id}"));
        if forged {
            // Nobody outside knows of it: its end needs no verdict.
            self.packets.retire(slot);
            return;
        }
        self.stats.drops[reason as usize] += 1;
        let listener = self.listener;
        self.outputs.push_back(Output { packet: slot, verdict: Verdict::Drop(reason), listener });
    }

    /// Frees a packet's slot, bytes and buffers.
    pub fn release_packet(&mut self, slot: u32) {
        let packet = self.packets.get_mut(slot);
        let (extent, buffers, generations) = (packet.extent, packet.buffers, packet.buffer_generations);
        for (&buffer, generation) in buffers.iter().zip(generations) {
            if generation != 0 {
                self.bufs.free_raw(buffer, generation);
            }
        }
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
            self.notices.push_back(Notice::Log { level, section, text: text() });
        }
    }

    /// An alert of the engine's own, with severity low unless said otherwise.
    pub fn alert(&mut self, description: impl Into<String>, severity_low: bool, endpoints: Option<[(Addr, Option<String>); 2]>) {
        self.notices.push_back(Notice::Alert(NativeAlert { severity_low, description: description.into(), endpoints }));
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

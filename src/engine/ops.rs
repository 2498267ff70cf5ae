//! The engine's side of `event::ops`: the C functions that the Lua library
//! calls, and the pointer they are called with.
//!
//! Each function borrows the engine for its own duration. A listener runs
//! while nobody else does, so the borrow succeeds; if it ever did not, the
//! caller gets [`Status::Busy`] instead of two views of one engine.

#[cfg(feature = "dialogue")]
mod dialogue;
#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "tls")]
mod tls;

use std::cell::RefCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::{Engine, Shared, forge};
use crate::core::{Frame, Op, Step, flow_state};
#[cfg(not(feature = "dialogue"))]
use crate::event::ops::absent as dialogue;
#[cfg(not(feature = "dns"))]
use crate::event::ops::absent as dns;
#[cfg(not(feature = "http"))]
use crate::event::ops::absent as http;
#[cfg(not(feature = "tls"))]
use crate::event::ops::absent as tls;
use crate::event::ops::{Ops, Status, layer};
use crate::event::{DropReason, EventKind};
use crate::flow::Direction;
use crate::packet::decode::protocol;
use crate::packet::record::{dirty, flag};
use crate::proto::application;
use crate::proto::ip::{self, checksums};
use crate::proto::tcp::{self, Sums, cause};
use crate::proto::udp;

/// Work frames that rules may stack up: 32 levels of four.
const MAX_NESTING: usize = 96;
/// Packets that may wait to be injected.
const MAX_INJECTED: usize = 1024;
/// Bytes of a forged packet.
const MAX_FORGED: u32 = 65_535;

/// What the functions of [`table`] take as their first argument. The engine
/// must outlive every call: whoever owns the Lua state owns a `Shared` too.
pub fn pointer(engine: &Shared) -> *mut c_void {
    Rc::as_ptr(engine).cast_mut().cast()
}

/// The functions.
pub fn table() -> &'static Ops {
    &TABLE
}

/// Runs `body` on the engine behind the pointer.
fn with<R>(engine: *mut c_void, failed: R, body: impl FnOnce(&mut Engine) -> R) -> R {
    // SAFETY: the Lua library passes the pointer that `pointer` made; the
    // runtime keeps a `Shared` alive as long as its Lua state, and both stay
    // on one thread.
    let cell = unsafe { &*engine.cast::<RefCell<Engine>>() };
    let Ok(mut engine) = cell.try_borrow_mut() else {
        return failed;
    };
    // Unwinding into LuaJIT frames is undefined: a defect ends the call only.
    catch_unwind(AssertUnwindSafe(|| body(&mut engine))).unwrap_or(failed)
}

/// A string of Lua's.
///
/// # Safety
/// `text` is readable for `len` bytes, as LuaJIT guarantees for a string and
/// its length, or null.
#[cfg(any(feature = "dialogue", feature = "dns", feature = "http"))]
unsafe fn text<'a>(text: *const u8, len: u32) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise; the slice does not outlive the call that
    // the string was passed to.
    unsafe { std::slice::from_raw_parts(text, len as usize) }
}

fn status(engine: *mut c_void, body: impl FnOnce(&mut Engine) -> Result<(), Status>) -> i32 {
    with(engine, Status::Busy as i32, |engine| match body(engine) {
        Ok(()) => Status::Ok as i32,
        Err(status) => status as i32,
    })
}

impl Engine {
    fn current_packet(&self, slot: u32, generation: u32) -> Result<(), Status> {
        if self.core.packets.is_current(slot, generation) {
            Ok(())
        } else {
            Err(Status::Stale)
        }
    }

    fn packet_in_hand(&self, slot: u32, generation: u32) -> Result<(), Status> {
        self.current_packet(slot, generation)?;
        if self.core.alive(slot) {
            Ok(())
        } else {
            Err(Status::Stale)
        }
    }

    fn writable_packet(&self, slot: u32, generation: u32) -> Result<(), Status> {
        self.packet_in_hand(slot, generation)?;
        if self.core.packet(slot).flags & flag::READ_ONLY != 0 {
            Err(Status::ReadOnly)
        } else {
            Ok(())
        }
    }

    fn current_flow(&self, flow: u32, generation: u32) -> Result<u8, Status> {
        match self.core.flows.live(flow) {
            Some(record) if record.generation() == generation => Ok(record.protocol),
            _ => Err(Status::Stale),
        }
    }

    /// As [`Engine::current_flow`], for a flow that no rule has dropped.
    fn open_flow(&self, flow: u32, generation: u32) -> Result<u8, Status> {
        let protocol = self.current_flow(flow, generation)?;
        match self.core.flows.live(flow).map(|record| record.state) {
            None | Some(flow_state::DROP) => Err(Status::AlreadyDropped),
            Some(_) => Ok(protocol),
        }
    }

    /// A rule takes a packet that is on its way down, and no connection's.
    fn keep(&mut self, slot: u32) -> Result<(), Status> {
        let of_packet = |frame: &Frame, op| frame.op() == op && frame.packet() == slot;
        let frames = &self.core.stack;
        let comes = frames.iter().any(|frame| of_packet(frame, Op::Receive));
        let leaves = frames.iter().any(|frame| of_packet(frame, Op::Send));
        let packet = self.core.packet(slot);
        let taken = packet.flags & (flag::HELD | flag::KEPT) != 0;
        // What rules made has no verdict that anybody waits for.
        if !comes || leaves || taken || packet.id == 0 {
            return Err(Status::Unsupported);
        }
        self.core.packet_mut(slot).flags |= flag::HELD | flag::KEPT;
        Ok(())
    }

    fn give_back(&mut self, slot: u32) -> Result<(), Status> {
        let packet = self.core.packet_mut(slot);
        if packet.flags & flag::KEPT == 0 {
            return Err(Status::Unsupported);
        }
        packet.flags &= !flag::HELD;
        if packet.flags & flag::REFUSED != 0 {
            self.core.drop_packet(slot, DropReason::Rule);
            return Err(Status::Stale);
        }
        Ok(())
    }

    fn blame(&mut self, kind: u32, listener: u32) {
        if listener != 0 {
            self.core.listener = EventKind::from_number(kind as u8).map(|kind| (kind, listener));
        }
    }

    fn begin(&mut self, frame: Frame) -> Result<(), Status> {
        if self.core.stack.len() >= MAX_NESTING || !self.core.push(frame) {
            return Err(Status::Full);
        }
        Ok(())
    }

    /// A dissector reads a UDP flow: that with the bit, or 0 for the usual one.
    fn dissect_datagrams(&mut self, flow: u32, bit: u32) -> Result<(), Status> {
        if bit == 0 {
            udp::choose(&mut self.core, flow);
            return Ok(());
        }
        let bit = u16::try_from(bit).map_err(|_| Status::Unsupported)?;
        if !application::reads_datagrams(&self.core, bit) {
            return Err(Status::Unsupported);
        }
        udp::attach(&mut self.core, flow, bit);
        Ok(())
    }

    /// Offset in the frame where the header of a layer begins, and ends.
    fn header(&self, slot: u32, at: u32) -> (usize, usize) {
        let packet = self.core.packet(slot);
        match at {
            layer::LINK => (0, packet.ip_at as usize),
            layer::NETWORK => (packet.ip_at as usize, packet.transport_at as usize),
            _ => (packet.transport_at as usize, packet.end as usize),
        }
    }
}

extern "C" fn enter(engine: *mut c_void) -> u32 {
    with(engine, u32::MAX, |engine| engine.enter() as u32)
}

extern "C" fn leave(engine: *mut c_void, floor: u32) -> i32 {
    status(engine, |engine| {
        engine.abandon_nested();
        engine.leave(floor as usize);
        Ok(())
    })
}

extern "C" fn step(engine: *mut c_void) -> i32 {
    with(engine, -1, |engine| match engine.step() {
        Step::Event(kind, _) => i32::from(kind as u8),
        Step::Done => -1,
    })
}

extern "C" fn piece_show(engine: *mut c_void) -> i32 {
    status(engine, |engine| match engine.show_piece() {
        true => Ok(()),
        false => Err(Status::Full),
    })
}

extern "C" fn packet_drop(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    kind: u32,
    listener: u32,
) -> i32 {
    status(engine, |engine| {
        engine.current_packet(slot, generation)?;
        engine.blame(kind, listener);
        engine.core.drop_packet(slot, DropReason::Rule);
        Ok(())
    })
}

extern "C" fn packet_keep(engine: *mut c_void, slot: u32, generation: u32) -> i32 {
    status(engine, |engine| {
        engine.packet_in_hand(slot, generation)?;
        engine.keep(slot)
    })
}

extern "C" fn packet_return(engine: *mut c_void, slot: u32, generation: u32) -> i32 {
    status(engine, |engine| {
        engine.packet_in_hand(slot, generation)?;
        engine.give_back(slot)
    })
}

extern "C" fn packet_refuse(engine: *mut c_void, slot: u32, generation: u32, why: u32) -> i32 {
    status(engine, |engine| {
        engine.packet_in_hand(slot, generation)?;
        engine.give_back(slot)?;
        let reason = match why {
            0 => DropReason::Retransmission,
            1 => DropReason::ReassemblyCap,
            _ => DropReason::Checksum,
        };
        engine.core.drop_packet(slot, reason);
        Ok(())
    })
}

extern "C" fn checksum_allows(engine: *mut c_void, slot: u32, generation: u32, known: u32) -> i32 {
    with(engine, -(Status::Busy as i32), |engine| {
        if engine.packet_in_hand(slot, generation).is_err() {
            return -(Status::Stale as i32);
        }
        engine.core.absorb(slot, 2);
        let packet = engine.core.packet(slot);
        let has_data = packet.end > packet.payload_at;
        let known = Sums::from_number(known);
        // What a rule has written into gets its sum on its way out.
        let (found, allowed) = match packet.dirty {
            0 => known.judge(&engine.core, slot, has_data),
            _ => (known, true),
        };
        engine.core.stats.bad_checksums += u64::from(!allowed);
        2 * found as i32 + i32::from(allowed)
    })
}

extern "C" fn packet_send(engine: *mut c_void, slot: u32, generation: u32, from: u32) -> i32 {
    status(engine, |engine| {
        engine
            .packet_in_hand(slot, generation)
            .map_err(|_| Status::Unsupported)?;
        if engine.core.packet(slot).flags & flag::HELD != 0 {
            return Err(Status::Unsupported);
        }
        let stage = match from {
            layer::LINK => forge::stage::LINK,
            layer::NETWORK => forge::stage::NETWORK,
            _ => forge::stage::TRANSPORT,
        };
        engine.begin(Frame::on_packet(Op::Send, slot).at(stage))
    })
}

extern "C" fn packet_inject(engine: *mut c_void, slot: u32, generation: u32, _from: u32) -> i32 {
    status(engine, |engine| {
        engine.packet_in_hand(slot, generation)?;
        if engine.core.packet(slot).state != crate::packet::record::state::FORGED {
            return Err(Status::Unsupported);
        }
        if engine.core.injected.len() >= MAX_INJECTED {
            return Err(Status::Full);
        }
        engine.settle_forged(slot);
        let packet = engine.core.packet_mut(slot);
        packet.state = crate::packet::record::state::NORMAL;
        packet.dirty = 0;
        engine.core.injected.push_back(slot);
        Ok(())
    })
}

extern "C" fn packet_create(engine: *mut c_void, size: u32) -> i64 {
    with(engine, -(Status::Busy as i64), |engine| {
        if size > MAX_FORGED {
            return -(Status::Full as i64);
        }
        let cause = engine.core.current.packet;
        match engine.core.forge(&vec![0; size as usize], cause) {
            Some(slot) => i64::from(slot),
            None => -(Status::Full as i64),
        }
    })
}

extern "C" fn layer_create(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    at: u32,
    number: u32,
    size: u32,
) -> i32 {
    status(engine, |engine| {
        engine.writable_packet(slot, generation)?;
        if size > MAX_FORGED {
            return Err(Status::Full);
        }
        if at == layer::NETWORK {
            engine.core.absorb(slot, 0);
            ip::create_network(&mut engine.core, slot, number as u8);
        } else {
            engine.core.absorb(slot, 1);
            ip::create_transport(&mut engine.core, slot, number as u8, size as usize);
        }
        Ok(())
    })
}

#[allow(clippy::too_many_arguments)]
extern "C" fn write(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    at: u32,
    offset: u32,
    width: u32,
    mask: u32,
    value: u32,
) -> i32 {
    status(engine, |engine| {
        engine.writable_packet(slot, generation)?;
        let (from, end) = engine.header(slot, at);
        let place = from + offset as usize;
        let width = width as usize;
        if place + width > end || !matches!(width, 1 | 2 | 4) {
            return Err(Status::OutOfPacket);
        }
        let Some(field) = engine.core.bytes_mut(slot).get_mut(place..place + width) else {
            return Err(Status::OutOfPacket);
        };
        let old = field
            .iter()
            .fold(0u32, |sum, &byte| sum << 8 | u32::from(byte));
        let new = old & !mask | value & mask;
        for (number, byte) in field.iter_mut().enumerate() {
            *byte = (new >> (8 * (width - 1 - number))) as u8;
        }
        engine.core.packet_mut(slot).dirty |= if at == layer::NETWORK {
            dirty::NETWORK
        } else {
            dirty::TRANSPORT
        };
        if at == layer::NETWORK {
            engine.note_network_write(slot, offset);
        }
        Ok(())
    })
}

extern "C" fn write_address(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    which: u32,
    high: u64,
    low: u64,
) -> i32 {
    status(engine, |engine| {
        engine.writable_packet(slot, generation)?;
        let packet = *engine.core.packet(slot);
        let (at, width) = match (packet.ip_version, which) {
            (6, 0) => (8, 16),
            (6, _) => (24, 16),
            (_, 0) => (12, 4),
            _ => (16, 4),
        };
        let mut bytes = [0; 16];
        let (upper, lower) = bytes.split_at_mut(8);
        upper.copy_from_slice(&high.to_be_bytes());
        lower.copy_from_slice(&low.to_be_bytes());
        let place = packet.ip_at as usize + at;
        let own = bytes.get(16 - width..).unwrap_or_default();
        let Some(field) = engine.core.bytes_mut(slot).get_mut(place..place + width) else {
            return Err(Status::OutOfPacket);
        };
        field.copy_from_slice(own);
        engine.core.packet_mut(slot).dirty |= dirty::NETWORK;
        Ok(())
    })
}

extern "C" fn dont_reassemble(engine: *mut c_void, slot: u32, generation: u32, on: u32) -> i32 {
    status(engine, |engine| {
        engine.packet_in_hand(slot, generation)?;
        let packet = engine.core.packet_mut(slot);
        if on != 0 {
            packet.flags |= flag::DONT_REASSEMBLE
        } else {
            packet.flags &= !flag::DONT_REASSEMBLE
        }
        Ok(())
    })
}

extern "C" fn payload(engine: *mut c_void, slot: u32, generation: u32, at: u32) -> i32 {
    status(engine, |engine| {
        engine.current_packet(slot, generation)?;
        engine
            .core
            .open_payload(slot, at as usize)
            .map(|_| ())
            .ok_or(Status::Full)
    })
}

extern "C" fn verify_checksum(engine: *mut c_void, slot: u32, generation: u32, at: u32) -> i32 {
    with(engine, -(Status::Busy as i32), |engine| {
        if engine.current_packet(slot, generation).is_err() {
            return -(Status::Stale as i32);
        }
        let right = match at {
            layer::NETWORK => checksums::header_is_right(&engine.core, slot),
            _ => {
                engine.core.absorb(slot, 2);
                checksums::transport_is_right(&engine.core, slot)
            }
        };
        i32::from(right)
    })
}

extern "C" fn compute_checksum(engine: *mut c_void, slot: u32, generation: u32, at: u32) -> i32 {
    status(engine, |engine| {
        engine.writable_packet(slot, generation)?;
        if at == layer::NETWORK {
            checksums::write_header(&mut engine.core, slot);
            engine.core.packet_mut(slot).dirty |= dirty::NETWORK;
        } else {
            engine.core.absorb(slot, 2);
            checksums::write_transport(&mut engine.core, slot);
            engine.core.packet_mut(slot).dirty |= dirty::TRANSPORT;
        }
        Ok(())
    })
}

extern "C" fn related(engine: *mut c_void, slot: u32, generation: u32) -> i64 {
    with(engine, -(Status::Busy as i64), |engine| {
        if engine.current_packet(slot, generation).is_err() {
            return -(Status::Stale as i64);
        }
        match ip::related::flow_of(&engine.core, slot) {
            Some((flow, direction)) => i64::from(flow) * 2 + direction as i64,
            None => -(Status::Unsupported as i64),
        }
    })
}

extern "C" fn choose(engine: *mut c_void, slot: u32, generation: u32, next: u32) -> i32 {
    status(engine, |engine| {
        engine.current_packet(slot, generation)?;
        engine.core.packet_mut(slot).next = next.min(2) as u8;
        Ok(())
    })
}

extern "C" fn flow_send(engine: *mut c_void, flow: u32, generation: u32, directions: u32) -> i32 {
    status(engine, |engine| {
        if engine.current_flow(flow, generation)? != protocol::TCP {
            return Ok(());
        }
        for direction in Direction::BOTH {
            if directions & (1 << direction.index()) != 0 {
                engine.begin(Frame::on_flow(Op::TcpRelease, flow, direction))?;
            }
        }
        Ok(())
    })
}

extern "C" fn flow_drop(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    kind: u32,
    listener: u32,
) -> i32 {
    status(engine, |engine| {
        let protocol = engine.open_flow(flow, generation)?;
        engine.blame(kind, listener);
        let op = if protocol == protocol::TCP {
            Op::TcpEnd
        } else {
            Op::UdpEnd
        };
        engine.begin(Frame::on_flow(op, flow, Direction::ToServer).with(cause::DROPPED))
    })
}

extern "C" fn flow_bypass(engine: *mut c_void, flow: u32, generation: u32) -> i32 {
    status(engine, |engine| {
        let protocol = engine.open_flow(flow, generation)?;
        match protocol {
            protocol::TCP if !tcp::bypass(engine.tcp(), flow) => return Err(Status::Unsupported),
            protocol::TCP => {}
            _ => udp::bypass(&mut engine.core, flow),
        }
        // The packet under way is the first to tell.
        let packet = engine.core.current.packet;
        if engine.core.packets.is_live(packet) && engine.core.alive(packet) {
            engine.core.packet_mut(packet).flags |= flag::BYPASSED;
        }
        Ok(())
    })
}

extern "C" fn flow_reset(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    towards: u32,
    kind: u32,
    listener: u32,
) -> i32 {
    status(engine, |engine| {
        if engine.current_flow(flow, generation)? != protocol::TCP {
            return Err(Status::Unsupported);
        }
        let state = engine
            .core
            .flows
            .live(flow)
            .map_or(0, |record| record.state);
        if state == flow_state::DROP {
            return Err(Status::AlreadyDropped);
        }
        if state < flow_state::ESTABLISHED {
            return Err(Status::NotEstablished);
        }
        engine.blame(kind, listener);
        let frame = Frame::on_flow(Op::TcpReset, flow, Direction::ToServer)
            .with(towards as u8 & 3)
            .by(engine.core.current.packet);
        engine.begin(frame)
    })
}

extern "C" fn flow_stream(engine: *mut c_void, flow: u32, generation: u32, direction: u32) -> u64 {
    with(engine, 0, |engine| {
        if engine.current_flow(flow, generation) != Ok(protocol::TCP) {
            return 0;
        }
        let direction = if direction == 0 {
            Direction::ToServer
        } else {
            Direction::ToClient
        };
        tcp::stream_of(engine.tcp(), flow, direction).map_or(0, |stream| {
            u64::from(stream.0.generation) << 32 | u64::from(stream.0.index)
        })
    })
}

extern "C" fn flow_scripted(engine: *mut c_void, flow: u32, generation: u32, on: u32) -> i32 {
    status(engine, |engine| {
        if engine.current_flow(flow, generation)? == protocol::TCP {
            tcp::set_scripted(engine.tcp(), flow, on != 0);
            engine.core.streams |= on != 0;
        } else if on != 0 {
            engine.core.scripted.insert(flow);
        } else {
            engine.core.scripted.remove(&flow);
        }
        Ok(())
    })
}

extern "C" fn hook(engine: *mut c_void, kind: u32, on: u32) -> i32 {
    status(engine, |engine| {
        let kind = EventKind::from_number(kind as u8).ok_or(Status::Unsupported)?;
        engine.core.hooks.set(kind, on != 0);
        if kind == EventKind::TcpReceiveData && on != 0 {
            engine.core.streams = true;
        }
        Ok(())
    })
}

extern "C" fn extend(engine: *mut c_void, kind: u32, on: u32) -> i32 {
    status(engine, |engine| {
        let kind = EventKind::from_number(kind as u8).ok_or(Status::Unsupported)?;
        engine.core.extended.set(kind, on != 0);
        Ok(())
    })
}

extern "C" fn timer_start(engine: *mut c_void, seconds: f64) -> i64 {
    with(engine, -(Status::Busy as i64), |engine| {
        let core = &mut engine.core;
        let now = (core.now.0 != i64::MIN).then_some(core.now);
        match core.timers.start(seconds, now) {
            Some(number) => i64::from(number),
            None => {
                core.stats.timer_caps += 1;
                -(Status::Full as i64)
            }
        }
    })
}

extern "C" fn timer_stop(engine: *mut c_void, number: u32) -> i32 {
    status(engine, |engine| {
        engine.core.timers.stop(number);
        Ok(())
    })
}

extern "C" fn load(engine: *mut c_void, bits: u32) -> i32 {
    status(engine, |engine| {
        engine.core.loaded |= bits as u16;
        engine.core.streams |= application::reads_streams(bits as u16);
        Ok(())
    })
}

extern "C" fn flow_dissect(engine: *mut c_void, flow: u32, generation: u32, bit: u32) -> i32 {
    status(engine, |engine| {
        let transport = engine.current_flow(flow, generation)?;
        if transport == protocol::UDP {
            return engine.dissect_datagrams(flow, bit);
        } else if transport != protocol::TCP {
            return Err(Status::Unsupported);
        }
        let reader = match bit {
            0 => application::prober(&engine.core),
            bit => {
                let bit = u16::try_from(bit).map_err(|_| Status::Unsupported)?;
                Some(application::by_bit(&engine.core, bit).ok_or(Status::Unsupported)?)
            }
        };
        if let Some(reader) = reader {
            tcp::attach(&mut engine.tcp(), flow, reader);
        }
        Ok(())
    })
}

static TABLE: Ops = Ops {
    enter,
    leave,
    step,
    piece_show,
    packet_drop,
    packet_keep,
    packet_return,
    packet_refuse,
    checksum_allows,
    packet_send,
    packet_inject,
    packet_create,
    layer_create,
    write,
    write_address,
    dont_reassemble,
    payload,
    verify_checksum,
    compute_checksum,
    related,
    choose,
    flow_send,
    flow_bypass,
    flow_drop,
    flow_reset,
    flow_stream,
    flow_scripted,
    flow_dissect,
    flow_parent: dialogue::flow_parent,
    line_text: dialogue::line_text,
    line_set: dialogue::line_set,
    http_current: http::http_current,
    http_field: http::http_field,
    http_header: http::http_header,
    http_line: http::http_line,
    http_set_field: http::http_set_field,
    http_set_header: http::http_set_header,
    http_resize: http::http_resize,
    http_decode: http::http_decode,
    dns_name: dns::dns_name,
    dns_part: dns::dns_part,
    dns_data: dns::dns_data,
    dns_write: dns::dns_write,
    dns_set_owner: dns::dns_set_owner,
    dns_set_data: dns::dns_set_data,
    dns_append: dns::dns_append,
    dns_remove: dns::dns_remove,
    dns_drop: dns::dns_drop,
    dns_reply: dns::dns_reply,
    tls_serial: tls::tls_serial,
    tls_text: tls::tls_text,
    tls_number: tls::tls_number,
    hook,
    extend,
    timer_start,
    timer_stop,
    load,
};

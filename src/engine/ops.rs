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
mod packets;
#[cfg(feature = "tls")]
mod tls;

use std::cell::RefCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::{Engine, Shared};
use crate::core::{Frame, Op, Step, flow_state};
use crate::event::EventKind;
#[cfg(not(feature = "dialogue"))]
use crate::event::ops::absent as dialogue;
#[cfg(not(feature = "dns"))]
use crate::event::ops::absent as dns;
#[cfg(not(feature = "http"))]
use crate::event::ops::absent as http;
#[cfg(not(feature = "tls"))]
use crate::event::ops::absent as tls;
use crate::event::ops::{Ops, Status};
use crate::flow::Direction;
use crate::packet::decode::protocol;
use crate::packet::record::flag;
use crate::proto::application;
use crate::proto::tcp::{self, cause};
use crate::proto::udp;

/// Work frames that rules may stack up: 32 levels of four.
const MAX_NESTING: usize = 96;

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
    packet_drop: packets::packet_drop,
    packet_keep: packets::packet_keep,
    packet_return: packets::packet_return,
    packet_refuse: packets::packet_refuse,
    checksum_allows: packets::checksum_allows,
    packet_send: packets::packet_send,
    packet_inject: packets::packet_inject,
    packet_create: packets::packet_create,
    layer_create: packets::layer_create,
    write: packets::write,
    write_address: packets::write_address,
    dont_reassemble: packets::dont_reassemble,
    payload: packets::payload,
    verify_checksum: packets::verify_checksum,
    compute_checksum: packets::compute_checksum,
    related: packets::related,
    choose: packets::choose,
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

//! What the Lua library asks about the lines of a dialogue.
//!
//! Texts are given as an address, their length in `Current::length`; they
//! stay where they are until the next call, and the library copies them at
//! once. A message that is no longer shown has none.

use std::ffi::c_void;

use super::{Engine, status, text, with};
use crate::event::ops::Status;
use crate::packet::decode::protocol;
use crate::proto::dialogue::{Reader, Refusal};
use crate::proto::tcp;

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        match refusal {
            Refusal::Sent => Status::ReadOnly,
            Refusal::NoLine => Status::BadField,
            Refusal::Text => Status::BadValue,
        }
    }
}

impl Engine {
    fn dialogue(&mut self, flow: u32, generation: u32) -> Result<&mut Reader, Status> {
        if self.current_flow(flow, generation)? != protocol::TCP {
            return Err(Status::Unsupported);
        }
        let side = self.core.flows.live(flow).map(|record| record.side);
        let reader = side.and_then(|side| {
            let connection = self.connections.get_mut(side)?;
            connection.application.as_mut()?.reader()
        });
        reader.ok_or(Status::Stale)
    }
}

pub extern "C" fn line_text(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    message: u32,
    index: u32,
) -> *const u8 {
    with(engine, std::ptr::null(), |engine| {
        let found = engine
            .dialogue(flow, generation)
            .ok()
            .and_then(|reader| reader.shown(message)?.line(index as usize))
            .map(|line| (line.as_ptr(), line.len()));
        let (at, len) = found.unwrap_or((std::ptr::null(), 0));
        engine.core.current.length = len as u32;
        at
    })
}

#[allow(clippy::too_many_arguments)]
pub extern "C" fn line_set(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    message: u32,
    index: u32,
    line: *const u8,
    len: u32,
) -> i32 {
    // SAFETY: a Lua string with its length.
    let line = unsafe { text(line, len) };
    status(engine, |engine| {
        let direction = engine.core.current.way();
        if !tcp::is_writable(&mut engine.tcp(), flow, direction) {
            return Err(Status::ReadOnly);
        }
        let reader = engine.dialogue(flow, generation)?;
        Ok(reader.set_line(message, index as usize, line)?)
    })
}

/// The slot of the flow that announced this one; -1 if none did, -2 if it is
/// gone.
pub extern "C" fn flow_parent(engine: *mut c_void, flow: u32, generation: u32) -> i64 {
    with(engine, -1, |engine| {
        let Some((parent, its)) = engine.core.expected.parent((flow, generation)) else {
            return -1;
        };
        let record = engine.core.flows.live(parent);
        if record.is_some_and(|record| record.generation() == its) {
            i64::from(parent)
        } else {
            -2
        }
    })
}

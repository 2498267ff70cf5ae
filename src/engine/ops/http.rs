//! What the Lua library asks about the messages of a connection.
//!
//! Texts are given as an address, their length in `Current::length`; they
//! stay where they are until the next call, and the library copies them at
//! once. A message that is no longer remembered has none.

use std::ffi::c_void;

use super::{Engine, status, text, with};
use crate::event::ops::Status;
use crate::packet::decode::protocol;
use crate::proto::http::message::{Message, Refusal};
use crate::proto::http::{Reader, Session};
use crate::proto::tcp;

const REQUEST: u32 = 0;
const RESPONSE: u32 = 1;

/// The state of a connection that is no longer read.
const TUNNEL: u32 = 2;

/// How `set_header` changes the headers.
const SET: u32 = 0;
const ADD: u32 = 1;

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        match refusal {
            Refusal::Field => Status::BadField,
            Refusal::HeaderName => Status::BadName,
            Refusal::HeaderValue => Status::BadValue,
            Refusal::Sent => Status::ReadOnly,
            Refusal::Full => Status::Full,
            Refusal::Decoded => Status::Unsupported,
        }
    }
}

impl Engine {
    fn session(&mut self, flow: u32, generation: u32) -> Result<&mut Session, Status> {
        if self.current_flow(flow, generation)? != protocol::TCP {
            return Err(Status::Unsupported);
        }
        let side = self.core.flows.live(flow).map(|record| record.side);
        let reader: Option<&mut Reader> = side.and_then(|side| {
            let connection = self.connections.get_mut(side)?;
            connection.application.as_mut()?.reader()
        });
        reader
            .map(|reader| &mut reader.session)
            .ok_or(Status::Stale)
    }

    fn message(&mut self, flow: u32, generation: u32, serial: u32) -> Result<&mut Message, Status> {
        self.session(flow, generation)?
            .message_mut(serial)
            .ok_or(Status::Stale)
    }

    /// The message, if its head may still be changed.
    fn open_message(
        &mut self,
        flow: u32,
        generation: u32,
        serial: u32,
    ) -> Result<&mut Message, Status> {
        let direction = self.core.current.way();
        if !tcp::is_writable(&mut self.tcp(), flow, direction) {
            return Err(Status::ReadOnly);
        }
        self.message(flow, generation, serial)
    }

    /// Gives a text out.
    fn out(&mut self, found: Option<(*const u8, usize)>) -> *const u8 {
        let (at, len) = found.unwrap_or((std::ptr::null(), 0));
        self.core.current.length = len as u32;
        at
    }
}

/// Runs `find` on a message, and gives its text out.
fn find(
    engine: *mut c_void,
    (flow, generation, serial): (u32, u32, u32),
    find: impl for<'m> FnOnce(&'m Message) -> Option<&'m [u8]>,
) -> *const u8 {
    with(engine, std::ptr::null(), |engine| {
        let message = engine.message(flow, generation, serial).ok();
        let found = message
            .and_then(|message| find(message))
            .map(|text| (text.as_ptr(), text.len()));
        engine.out(found)
    })
}

pub extern "C" fn http_current(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    which: u32,
    of_body: u32,
) -> u32 {
    with(engine, 0, |engine| {
        let direction = engine.core.current.way();
        let Ok(session) = engine.session(flow, generation) else {
            // Something else is spoken now.
            return if which > RESPONSE { TUNNEL } else { 0 };
        };
        match which {
            REQUEST => session.request(direction, of_body != 0),
            RESPONSE => session.response(direction, of_body != 0),
            _ => session.state(),
        }
    })
}

pub extern "C" fn http_field(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    message: u32,
    field: u32,
) -> *const u8 {
    find(engine, (flow, generation, message), |message| {
        message.field(field as usize)
    })
}

pub extern "C" fn http_header(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    message: u32,
    name: *const u8,
    len: u32,
) -> *const u8 {
    // SAFETY: a Lua string with its length.
    let name = unsafe { text(name, len) };
    find(engine, (flow, generation, message), |message| {
        message.value(name)
    })
}

pub extern "C" fn http_line(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    message: u32,
    index: u32,
    part: u32,
) -> *const u8 {
    find(engine, (flow, generation, message), |message| {
        let index = index as usize;
        let (name, value) = if part < 2 {
            message.header(index)?
        } else {
            let trailers = message.trailers.as_ref()?;
            let header = trailers.headers.get(index)?;
            (trailers.text(&header.name), trailers.text(&header.value))
        };
        Some(if part & 1 == 0 { name } else { value })
    })
}

#[allow(clippy::too_many_arguments)]
pub extern "C" fn http_set_field(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    message: u32,
    field: u32,
    value: *const u8,
    len: u32,
) -> i32 {
    // SAFETY: a Lua string with its length.
    let value = unsafe { text(value, len) };
    status(engine, |engine| {
        let message = engine.open_message(flow, generation, message)?;
        Ok(message.set_field(field as usize, value)?)
    })
}

#[allow(clippy::too_many_arguments)]
pub extern "C" fn http_set_header(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    message: u32,
    how: u32,
    name: *const u8,
    name_len: u32,
    value: *const u8,
    len: u32,
) -> i32 {
    // SAFETY: Lua strings with their lengths.
    let (name, value) = unsafe { (text(name, name_len), text(value, len)) };
    status(engine, |engine| {
        let message = engine.open_message(flow, generation, message)?;
        match how {
            SET => message.set(name, value)?,
            ADD => message.add(name, value)?,
            _ => {
                message.remove(name)?;
            }
        }
        Ok(())
    })
}

pub extern "C" fn http_resize(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    message: u32,
) -> i32 {
    status(engine, |engine| {
        Ok(engine.open_message(flow, generation, message)?.resize()?)
    })
}

pub extern "C" fn http_decode(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    message: u32,
) -> i32 {
    with(engine, -(Status::Busy as i32), |engine| {
        let decoded = engine
            .message(flow, generation, message)
            .and_then(|message| Ok(message.decode()?));
        match decoded {
            Ok(decoded) => i32::from(decoded),
            Err(status) => -(status as i32),
        }
    })
}

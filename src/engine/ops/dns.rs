//! What the Lua library asks about DNS messages.
//!
//! Lua reads numbers in place; names and data come as text from here, as an
//! address with their length in `Current::length`, and stay until the next
//! call. Changes are made to the message at once and reach the packet or
//! stream when its listeners are done.

use std::ffi::c_void;

use super::{Engine, status, text, with};
use crate::event::DropReason;
use crate::event::ops::Status;
use crate::proto::dns::edit::{Edit, NewRecord};
use crate::proto::dns::store::standing;
use crate::proto::dns::wire::{HEADER, Item, Section, bit, u16_at};
use crate::proto::dns::{RecordType, data, encode, name};

/// Bytes of text that describe a record: more fit into no message.
const MAX_TEXT: u32 = 1 << 18;
/// `item` of [`dns_remove`] for the whole section.
const ALL: u32 = u32::MAX;

impl Engine {
    /// A message that can be read.
    fn dns_message(&self, slot: u32, generation: u32) -> Result<(), Status> {
        let found = self.common.dns.messages.named(slot, generation);
        found.map(|_| ()).ok_or(Status::Stale)
    }

    /// A message whose listeners run.
    fn open_dns(&self, slot: u32, generation: u32) -> Result<(), Status> {
        match self.common.dns.messages.named(slot, generation) {
            None => Err(Status::Stale),
            Some(record) if record.state != standing::OPEN => Err(Status::ReadOnly),
            Some(_) => Ok(()),
        }
    }

    /// A message that may be changed.
    fn writable_dns(&self, slot: u32, generation: u32) -> Result<(), Status> {
        self.open_dns(slot, generation)?;
        match self.common.dns.messages.record(slot) {
            Some(record) if record.writable != 0 => Ok(()),
            _ => Err(Status::ReadOnly),
        }
    }

    fn dns_item(&self, slot: u32, item: u32) -> Result<Item, Status> {
        let body = self.common.dns.messages.body(slot);
        body.and_then(|body| body.items().get(item as usize).copied())
            .ok_or(Status::OutOfPacket)
    }

    /// Gives a text out that `write` makes of a message; nothing if it
    /// cannot.
    fn dns_text(
        &mut self,
        (slot, generation): (u32, u32),
        write: impl FnOnce(&[u8], &[Item], &mut Vec<u8>) -> Option<()>,
    ) -> *const u8 {
        let mut out = std::mem::take(&mut self.common.dns.text);
        out.clear();
        let written = self
            .dns_message(slot, generation)
            .ok()
            .and_then(|()| self.common.dns.messages.body(slot))
            .and_then(|body| write(body.bytes(), body.items(), &mut out));
        self.common.dns.text = out;
        self.core.current.length = self.common.dns.text.len() as u32;
        match written {
            Some(()) => self.common.dns.text.as_ptr(),
            None => std::ptr::null(),
        }
    }

    /// Gives out what is wrong, or null where nothing is.
    fn dns_refusal(&mut self, result: Result<(), String>) -> *const u8 {
        let Err(reason) = result else {
            return std::ptr::null();
        };
        self.core.current.length = reason.len() as u32;
        self.common.dns.text = reason.into_bytes();
        self.common.dns.text.as_ptr()
    }

    fn edit_dns(&mut self, slot: u32, edit: &Edit<'_>) -> Result<(), String> {
        match self.common.dns.messages.edit(slot, edit) {
            true => Ok(()),
            false => Err("message too long, or data that do not fit their type".to_owned()),
        }
    }
}

fn words(status: Status) -> String {
    match status {
        Status::ReadOnly => "read only buffer",
        Status::OutOfPacket => "no such record",
        _ => "invalid dns message",
    }
    .to_owned()
}

pub extern "C" fn dns_name(engine: *mut c_void, slot: u32, generation: u32, at: u32) -> *const u8 {
    with(engine, std::ptr::null(), |engine| {
        engine.dns_text((slot, generation), |bytes, _, out| {
            name::write_text(bytes, at as usize, out).ok().map(|_| ())
        })
    })
}

pub extern "C" fn dns_part(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    item: u32,
    part: u32,
) -> *const u8 {
    with(engine, std::ptr::null(), |engine| {
        engine.dns_text((slot, generation), |bytes, items, out| {
            data::part(bytes, *items.get(item as usize)?, part as usize, out)
        })
    })
}

pub extern "C" fn dns_data(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    item: u32,
) -> *const u8 {
    with(engine, std::ptr::null(), |engine| {
        engine.dns_text((slot, generation), |bytes, items, out| {
            let item = *items.get(item as usize)?;
            out.extend_from_slice(data::text(bytes, item).as_bytes());
            Some(())
        })
    })
}

pub extern "C" fn dns_write(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    at: u32,
    width: u32,
    mask: u32,
    value: u32,
) -> i32 {
    status(engine, |engine| {
        engine.writable_dns(slot, generation)?;
        let messages = &mut engine.common.dns.messages;
        let (at, width) = (at as usize, width as usize);
        let field = messages.bytes(slot).get(at..at.saturating_add(width));
        let Some(field) = field.filter(|_| (1..=4).contains(&width)) else {
            return Err(Status::OutOfPacket);
        };
        let old = field
            .iter()
            .fold(0u32, |sum, &byte| sum << 8 | u32::from(byte));
        let new = (old & !mask | value & mask).to_be_bytes();
        let own = new.get(4 - width..).unwrap_or_default();
        messages.patch(slot, at, own);
        Ok(())
    })
}

pub extern "C" fn dns_set_owner(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    item: u32,
    owner: *const u8,
    len: u32,
) -> i32 {
    // SAFETY: a Lua string with its length.
    let owner = unsafe { text(owner, len) };
    status(engine, |engine| {
        engine.writable_dns(slot, generation)?;
        engine.dns_item(slot, item)?;
        let mut wire = Vec::with_capacity(owner.len() + 2);
        name::read_text(owner, &mut wire).map_err(|_| Status::BadName)?;
        let edit = Edit::Owner(item as usize, &wire);
        engine.edit_dns(slot, &edit).map_err(|_| Status::Full)
    })
}

pub extern "C" fn dns_set_data(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    item: u32,
    value: *const u8,
    len: u32,
) -> *const u8 {
    // SAFETY: a Lua string with its length.
    let value = unsafe { text(value, len.min(MAX_TEXT)) };
    with(engine, std::ptr::null(), |engine| {
        let result = engine.set_dns_data(slot, generation, item, value);
        engine.dns_refusal(result)
    })
}

impl Engine {
    fn set_dns_data(
        &mut self,
        slot: u32,
        generation: u32,
        item: u32,
        text: &[u8],
    ) -> Result<(), String> {
        self.writable_dns(slot, generation).map_err(words)?;
        let place = self.dns_item(slot, item).map_err(words)?;
        if place.section == Section::Question as u16 {
            return Err("a question has no data".to_owned());
        }
        let messages = &mut self.common.dns.messages;
        let kind = RecordType(place.kind(messages.bytes(slot)));
        let mut data = Vec::with_capacity(text.len());
        encode::encode(kind, &String::from_utf8_lossy(text), &mut data)?;
        // Data of the same length without names stay in their place.
        if matches!(kind, RecordType::A | RecordType::AAAA)
            && data.len() == usize::from(place.data_len)
            && messages.patch(slot, place.data_at(), &data)
        {
            return Ok(());
        }
        self.edit_dns(slot, &Edit::Data(item as usize, &data))
    }

    fn append_dns(
        &mut self,
        slot: u32,
        generation: u32,
        section: u32,
        (owner, kind, class_ttl, value): (&[u8], u32, u64, &[u8]),
    ) -> Result<(), String> {
        self.writable_dns(slot, generation).map_err(words)?;
        let section = Section::from_number(section).ok_or("no such section")?;
        let kind = RecordType(u16::try_from(kind).map_err(|_| "no such type")?);
        let mut wire = Vec::with_capacity(owner.len() + 2);
        name::read_text(owner, &mut wire)?;
        let mut data = Vec::with_capacity(value.len());
        if section != Section::Question {
            encode::encode(kind, &String::from_utf8_lossy(value), &mut data)?;
        }
        let record = NewRecord {
            owner: &wire,
            kind: kind.0,
            class: (class_ttl >> 32) as u16,
            ttl: class_ttl as u32,
            data: &data,
        };
        self.edit_dns(slot, &Edit::Append(section, record))
    }
}

#[allow(clippy::too_many_arguments)]
pub extern "C" fn dns_append(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    section: u32,
    kind: u32,
    class_ttl: u64,
    owner: *const u8,
    owner_len: u32,
    value: *const u8,
    len: u32,
) -> *const u8 {
    // SAFETY: Lua strings with their lengths.
    let (owner, value) = unsafe { (text(owner, owner_len), text(value, len.min(MAX_TEXT))) };
    with(engine, std::ptr::null(), |engine| {
        let record = (owner, kind, class_ttl, value);
        let result = engine.append_dns(slot, generation, section, record);
        engine.dns_refusal(result)
    })
}

pub extern "C" fn dns_remove(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    section: u32,
    item: u32,
) -> i32 {
    status(engine, |engine| {
        engine.writable_dns(slot, generation)?;
        let edit = match item {
            ALL => Edit::Clear(Section::from_number(section).ok_or(Status::OutOfPacket)?),
            item => {
                engine.dns_item(slot, item)?;
                Edit::Remove(item as usize)
            }
        };
        engine.edit_dns(slot, &edit).map_err(|_| Status::Full)
    })
}

pub extern "C" fn dns_drop(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    kind: u32,
    listener: u32,
) -> i32 {
    status(engine, |engine| {
        engine
            .open_dns(slot, generation)
            .map_err(|_| Status::Unsupported)?;
        let messages = &mut engine.common.dns.messages;
        if let Some(body) = messages.body_mut(slot) {
            body.dropped = true;
        }
        let record = messages.record(slot).copied().unwrap_or_default();
        engine.blame(kind, listener);
        if record.over_tcp == 0 {
            engine
                .core
                .drop_packet_with(record.packet, DropReason::Rule);
        }
        Ok(())
    })
}

pub extern "C" fn dns_reply(
    engine: *mut c_void,
    slot: u32,
    generation: u32,
    kind: u32,
    listener: u32,
) -> i64 {
    with(engine, -(Status::Busy as i64), |engine| {
        match engine.reply_to_dns(slot, generation) {
            Ok(reply) => {
                engine.blame(kind, listener);
                i64::from(reply)
            }
            Err(status) => -(status as i64),
        }
    })
}

impl Engine {
    fn reply_to_dns(&mut self, slot: u32, generation: u32) -> Result<u32, Status> {
        self.writable_dns(slot, generation)?;
        let messages = &self.common.dns.messages;
        let bytes = messages.bytes(slot);
        let record = messages.record(slot).copied().unwrap_or_default();
        let is_query = bytes.len() >= HEADER && u16_at(bytes, 2) & bit::QR == 0;
        // The way back through a tunnel would need its outer headers turned.
        let tunnelled = record.over_tcp == 0
            && self.core.packets.is_live(record.packet)
            && self.core.packet(record.packet).depth > 0;
        if !is_query || tunnelled {
            return Err(Status::Unsupported);
        }
        self.common.dns.reply(slot).ok_or(Status::Full)
    }
}

//! Messages in hand: the bytes of those that rules may read, and where
//! everything is in them.
//!
//! A message has a slot from its arrival until it is let go: responses when
//! the listeners are done, queries when their response has come or is given
//! up. Lua reads the records of the arena and the bytes behind them in
//! place; bytes and offsets keep their memory when a slot is used again.

use std::io;

use super::edit::{self, Edit};
use super::fault::{Fault, FaultKind};
use super::wire::{self, Item, MAX_MESSAGE};
use crate::flow::arena::{Arena, NO_SLOT, Record};

/// Values of [`MessageRecord::state`].
pub mod standing {
    /// Listeners of its event may change it.
    pub const OPEN: u8 = 1;
    /// It has left; it can be read only.
    pub const SENT: u8 = 2;
}

/// One message as Lua reads it; the layout is C's.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MessageRecord {
    /// Odd while the record is in use.
    pub generation: u32,
    pub state: u8,
    /// Its bytes may be changed.
    pub writable: u8,
    pub over_tcp: u8,
    reserved: u8,
    pub data: *const u8,
    pub items: *const Item,
    pub len: u32,
    /// Index of the first item of each section, and their number.
    pub first: [u32; 5],
    /// The packet that brought its end.
    pub packet: u32,
    next_free: u32,
}

impl Default for MessageRecord {
    fn default() -> MessageRecord {
        MessageRecord {
            generation: 0,
            state: standing::OPEN,
            writable: 0,
            over_tcp: 0,
            reserved: 0,
            data: std::ptr::null(),
            items: std::ptr::null(),
            len: 0,
            first: [0; 5],
            packet: NO_SLOT,
            next_free: NO_SLOT,
        }
    }
}

impl Record for MessageRecord {
    fn generation(&self) -> u32 {
        self.generation
    }

    fn set_generation(&mut self, generation: u32) {
        self.generation = generation;
    }

    fn next_free(&self) -> u32 {
        self.next_free
    }

    fn set_next_free(&mut self, slot: u32) {
        self.next_free = slot;
    }
}

/// What stands behind a record.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// The number that the next added item gets, if it is not just their count.
    next_number: u32,
    /// The query that a response answers.
    pub query: Option<u32>,
    /// The response that a rule gave to a query.
    pub reply: Option<u32>,
    /// A rule dropped it.
    pub dropped: bool,
    /// Rules changed it.
    pub changed: bool,
    /// Slot and generation of its flow.
    pub flow: (u32, u32),
}

impl Body {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Gives the items the numbers that they had before a change.
    fn renumber(&mut self, mut before: Vec<Item>, edit: Option<&Edit<'_>>) {
        self.next_number = self.next_number.max(before.len() as u32);
        match edit {
            Some(Edit::Remove(index)) if *index < before.len() => {
                before.remove(*index);
            }
            Some(Edit::Clear(section)) => before.retain(|item| item.section != *section as u16),
            Some(Edit::Append(section, _)) => {
                let section = *section as u16;
                let at = before.partition_point(|item| item.section <= section);
                let number = self.next_number;
                self.next_number += 1;
                let added = Item {
                    number,
                    ..Item::default()
                };
                before.insert(at, added);
            }
            _ => {}
        }
        for (item, known) in self.items.iter_mut().zip(before) {
            item.number = known.number;
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
        self.next_number = 0;
        self.query = None;
        self.reply = None;
        self.dropped = false;
        self.changed = false;
    }
}

/// Why a message got no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMessage {
    Unreadable(Fault),
    /// All slots are in use.
    Full,
}

/// All messages in hand of one worker.
pub struct Messages {
    arena: Arena<MessageRecord>,
    bodies: Vec<Body>,
}

/// Bytes for which a free slot keeps its memory.
const KEPT_BYTES: usize = 4096;

impl Messages {
    /// # Errors
    /// When the kernel refuses the address space.
    pub fn new(max: u32) -> io::Result<Messages> {
        Ok(Messages {
            arena: Arena::new(max.next_power_of_two())?,
            bodies: Vec::new(),
        })
    }

    /// Takes a message in.
    ///
    /// # Errors
    /// When it cannot be read, or there is no slot.
    pub fn open(&mut self, bytes: &[u8], writable: bool) -> Result<u32, NoMessage> {
        let bytes = bytes.get(..MAX_MESSAGE).unwrap_or(bytes);
        let slot = self.arena.alloc().ok_or(NoMessage::Full)?;
        while self.bodies.len() <= slot as usize {
            self.bodies.push(Body::default());
        }
        if let Some(body) = self.bodies.get_mut(slot as usize) {
            body.clear();
            body.bytes.extend_from_slice(bytes);
        }
        match self.rescan(slot) {
            Ok(()) => {
                self.arena[slot].writable = u8::from(writable);
                Ok(slot)
            }
            Err(fault) => {
                self.close(slot);
                Err(NoMessage::Unreadable(fault))
            }
        }
    }

    /// Lets a message go.
    pub fn close(&mut self, slot: u32) {
        if let Some(body) = self.bodies.get_mut(slot as usize) {
            // One long message does not keep its memory for ever.
            if body.bytes.capacity() > KEPT_BYTES {
                body.bytes = Vec::new();
                body.items = Vec::new();
            }
        }
        self.arena.free(slot);
    }

    pub fn record(&self, slot: u32) -> Option<&MessageRecord> {
        self.arena.live(slot)
    }

    pub fn record_mut(&mut self, slot: u32) -> Option<&mut MessageRecord> {
        self.arena.live_mut(slot)
    }

    /// The message that an object of Lua's means.
    pub fn named(&self, slot: u32, generation: u32) -> Option<&MessageRecord> {
        self.arena.get(slot, generation)
    }

    pub fn body(&self, slot: u32) -> Option<&Body> {
        self.bodies.get(slot as usize)
    }

    pub fn body_mut(&mut self, slot: u32) -> Option<&mut Body> {
        self.bodies.get_mut(slot as usize)
    }

    /// Its bytes as they stand now.
    pub fn bytes(&self, slot: u32) -> &[u8] {
        self.body(slot).map_or(&[], Body::bytes)
    }

    /// Overwrites bytes that keep their place.
    pub fn patch(&mut self, slot: u32, at: usize, bytes: &[u8]) -> bool {
        let Some(body) = self.bodies.get_mut(slot as usize) else {
            return false;
        };
        let Some(place) = body.bytes.get_mut(at..at + bytes.len()) else {
            return false;
        };
        place.copy_from_slice(bytes);
        body.changed = true;
        true
    }

    /// Makes a change that may move everything. False, with nothing done,
    /// when the message would be too long.
    pub fn edit(&mut self, slot: u32, edit: &Edit<'_>) -> bool {
        let Some(body) = self.bodies.get_mut(slot as usize) else {
            return false;
        };
        let Ok(bytes) = edit::rebuild(&body.bytes, &body.items, edit) else {
            return false;
        };
        let old = std::mem::replace(&mut body.bytes, bytes);
        let before = body.items.clone();
        body.changed = true;
        let done = self.rescan(slot).is_ok();
        if !done {
            // Data of a rule's own that do not fit their type.
            if let Some(body) = self.bodies.get_mut(slot as usize) {
                body.bytes = old;
            }
            let _ = self.rescan(slot);
        }
        if let Some(body) = self.bodies.get_mut(slot as usize) {
            body.renumber(before, done.then_some(edit));
        }
        done
    }

    fn rescan(&mut self, slot: u32) -> Result<(), Fault> {
        let (Some(body), Some(record)) = (
            self.bodies.get_mut(slot as usize),
            self.arena.live_mut(slot),
        ) else {
            return Err(FaultKind::Truncated.at(0));
        };
        let scan = wire::scan(&body.bytes, &mut body.items)?;
        for (number, item) in (0..).zip(&mut body.items) {
            item.number = number;
        }
        record.data = body.bytes.as_ptr();
        record.len = body.bytes.len() as u32;
        record.items = body.items.as_ptr();
        let mut first = 0;
        for (place, found) in record
            .first
            .iter_mut()
            .zip(scan.found.into_iter().chain([0]))
        {
            *place = first;
            first += u32::from(found);
        }
        scan.fault.map_or(Ok(()), Err)
    }

    /// Whether few slots are free.
    pub fn is_crowded(&self) -> bool {
        self.arena.len() >= self.arena.capacity() - self.arena.capacity() / 16
    }

    /// Lets go messages whose listeners ended the flow itself, so that
    /// nobody came back to them.
    pub fn close_orphans(&mut self, is_live: impl Fn(u32, u32) -> bool) {
        for slot in 0..self.bodies.len() as u32 {
            let open = self
                .record(slot)
                .is_some_and(|record| record.state == standing::OPEN);
            let orphan = self
                .body(slot)
                .is_some_and(|body| !is_live(body.flow.0, body.flow.1));
            if open && orphan {
                self.close(slot);
            }
        }
    }

    /// Messages in hand.
    pub fn len(&self) -> u32 {
        self.arena.len()
    }

    pub fn is_empty(&self) -> bool {
        self.arena.is_empty()
    }

    /// For Lua: the first record, and the mask that keeps any number inside
    /// the arena.
    pub fn base(&self) -> (*const MessageRecord, u32) {
        (self.arena.base_ptr(), self.arena.capacity() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01";

    #[test]
    fn slots_are_used_again_and_faults_take_none() {
        let mut messages = Messages::new(2).expect("the arena fits");
        let slot = messages.open(QUERY, true).expect("a good message");
        let generation = messages.record(slot).expect("it is there").generation;
        assert_eq!(
            messages.record(slot).map(|r| r.first),
            Some([0, 1, 1, 1, 1])
        );
        assert!(matches!(
            messages.open(&QUERY[..20], true),
            Err(NoMessage::Unreadable(_))
        ));
        messages.close(slot);
        assert!(messages.is_empty());
        let again = messages.open(QUERY, true).expect("a good message");
        assert_eq!(again, slot);
        assert!(messages.named(slot, generation).is_none());
        messages.open(QUERY, true).expect("the second slot");
        assert_eq!(messages.open(QUERY, true), Err(NoMessage::Full));
    }

    /// A record of type A of the root, or one that is damaged.
    fn address(data: &[u8]) -> edit::NewRecord<'_> {
        edit::NewRecord {
            owner: b"\0",
            kind: 1,
            class: 1,
            ttl: 0,
            data,
        }
    }

    #[test]
    fn data_that_do_not_fit_leave_the_message_as_it_was() {
        let mut messages = Messages::new(1).expect("the arena fits");
        let slot = messages.open(QUERY, true).expect("a good message");
        assert!(!messages.edit(
            slot,
            &Edit::Append(wire::Section::Answer, address(&[1, 2, 3]))
        ));
        assert_eq!(messages.bytes(slot), QUERY);
        let good = address(&[1, 2, 3, 4]);
        assert!(messages.edit(slot, &Edit::Append(wire::Section::Answer, good)));
        assert_eq!(
            messages.record(slot).map(|r| r.first),
            Some([0, 1, 2, 2, 2])
        );
        assert!(messages.body(slot).is_some_and(|body| body.changed));
    }

    #[test]
    fn entries_keep_their_numbers_while_others_come_and_go() {
        let mut messages = Messages::new(1).expect("the arena fits");
        let slot = messages.open(QUERY, true).expect("a good message");
        let record = address(&[1, 2, 3, 4]);
        let numbers = |messages: &Messages| -> Vec<u32> {
            let items = messages.body(slot).map_or(&[][..], Body::items);
            items.iter().map(|item| item.number).collect()
        };
        let answer = Edit::Append(wire::Section::Answer, record);
        assert!(messages.edit(slot, &Edit::Append(wire::Section::Additional, record)));
        assert!(messages.edit(slot, &answer));
        assert!(messages.edit(slot, &answer));
        assert_eq!(numbers(&messages), [0, 2, 3, 1]);
        assert!(messages.edit(slot, &Edit::Remove(1)));
        assert_eq!(numbers(&messages), [0, 3, 1]);
        let bad = address(&[1, 2, 3]);
        assert!(!messages.edit(slot, &Edit::Append(wire::Section::Answer, bad)));
        assert_eq!(numbers(&messages), [0, 3, 1]);
        assert!(messages.edit(slot, &Edit::Clear(wire::Section::Answer)));
        assert!(messages.edit(slot, &answer));
        assert_eq!(numbers(&messages), [0, 4, 1], "numbers are not used again");
    }
}

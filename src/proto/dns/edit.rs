//! Changes that move bytes: a message is put together anew.
//!
//! Compression points at what may have moved, so nothing is patched: every
//! entry is written again, names compressed as they come, in record data
//! only where receivers must understand it (RFC 3597, 4). What stood behind
//! the last record stays behind it. A signature (TSIG, SIG(0)) over the
//! message is not made anew.

use hashbrown::HashMap;

use super::kinds::{Part, RecordType};
use super::wire::{HEADER, Item, MAX_MESSAGE, Section};
use super::{data, name};

/// One change of a message.
#[derive(Clone, Debug)]
pub enum Edit<'a> {
    /// Gives the entry at that index another owner, in wire form.
    Owner(usize, &'a [u8]),
    /// Gives the record at that index other data, without compression.
    Data(usize, &'a [u8]),
    Remove(usize),
    /// Removes all entries of a section.
    Clear(Section),
    /// Adds an entry at the end of its section; of questions only the name,
    /// type and class count.
    Append(Section, NewRecord<'a>),
}

/// A record to be added.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// In wire form, without compression.
    pub owner: &'a [u8],
    pub kind: u16,
    pub class: u16,
    pub ttl: u32,
    pub data: &'a [u8],
}

/// The message would be longer than any message can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// The message with a change made. `items` are those that a scan without a
/// fault found.
///
/// # Errors
/// When it would be too long.
pub fn rebuild(message: &[u8], items: &[Item], edit: &Edit<'_>) -> Result<Vec<u8>, TooLong> {
    let mut writer = Writer::new(message);
    let mut counts = [0u16; 4];
    for (section, count) in Section::ALL.into_iter().zip(&mut counts) {
        let own = items
            .iter()
            .enumerate()
            .filter(|(_, item)| item.section == section as u16);
        for (index, &item) in own {
            let gone = match edit {
                Edit::Remove(removed) => *removed == index,
                Edit::Clear(cleared) => *cleared == section,
                _ => false,
            };
            if !gone {
                writer.entry(message, item, edit, index)?;
                *count += 1;
            }
        }
        if let Edit::Append(into, record) = edit
            && *into == section
        {
            writer.append(section, record)?;
            *count = count.checked_add(1).ok_or(TooLong)?;
        }
    }
    let end = items.last().map_or(HEADER, |item| item.end());
    writer
        .out
        .extend_from_slice(message.get(end..).unwrap_or_default());
    writer.finish(counts)
}

/// A response to a query with nothing in it but its question: same id,
/// opcode and RD, recursion available (RFC 1035, 4.1.1).
pub fn response_to(query: &[u8], items: &[Item]) -> Vec<u8> {
    let mut writer = Writer::new(query);
    let flags = u16::from_be_bytes([
        query.get(2).copied().unwrap_or(0),
        query.get(3).copied().unwrap_or(0),
    ]);
    const KEPT: u16 = 0x7900;
    const QR_RA: u16 = 0x8080;
    if let Some(word) = writer.out.get_mut(2..4) {
        word.copy_from_slice(&(flags & KEPT | QR_RA).to_be_bytes());
    }
    let mut counts = [0u16; 4];
    let questions = items
        .iter()
        .filter(|item| item.section == Section::Question as u16);
    for &item in questions {
        let before = writer.out.len();
        let nothing = Edit::Remove(usize::MAX);
        if writer.entry(query, item, &nothing, 0).is_err() {
            writer.out.truncate(before);
            break;
        }
        counts[0] += 1;
    }
    // What was read from a message fits into one.
    writer.finish(counts).unwrap_or_default()
}

/// A message under construction.
struct Writer {
    out: Vec<u8>,
    /// Where names that were written end with these labels.
    places: HashMap<Vec<u8>, u16, foldhash::fast::RandomState>,
}

impl Writer {
    /// Begins with the header of `message`.
    fn new(message: &[u8]) -> Writer {
        let mut out = Vec::with_capacity(message.len() + 64);
        out.extend_from_slice(message.get(..HEADER).unwrap_or(&[0; HEADER]));
        Writer {
            out,
            places: HashMap::default(),
        }
    }

    fn finish(mut self, counts: [u16; 4]) -> Result<Vec<u8>, TooLong> {
        let words = counts.iter().flat_map(|count| count.to_be_bytes());
        for (place, byte) in self.out.iter_mut().skip(4).zip(words) {
            *place = byte;
        }
        if self.out.len() > MAX_MESSAGE {
            return Err(TooLong);
        }
        Ok(self.out)
    }

    /// Writes an entry again, with what `edit` says of it.
    fn entry(
        &mut self,
        message: &[u8],
        item: Item,
        edit: &Edit<'_>,
        index: usize,
    ) -> Result<(), TooLong> {
        match edit {
            Edit::Owner(at, owner) if *at == index => self.name(owner),
            _ => self.name(&uncompressed(message, item.name.into())),
        }
        let fixed = usize::from(item.fixed);
        if item.section == Section::Question as u16 {
            self.copy(message, fixed, fixed + 4);
            return self.checked();
        }
        self.copy(message, fixed, fixed + 8);
        let kind = RecordType(item.kind(message));
        match edit {
            Edit::Data(at, data) if *at == index => self.data(kind, data),
            _ => self.data(kind, &expanded(message, item)),
        }
    }

    fn append(&mut self, section: Section, record: &NewRecord<'_>) -> Result<(), TooLong> {
        self.name(record.owner);
        self.out.extend_from_slice(&record.kind.to_be_bytes());
        self.out.extend_from_slice(&record.class.to_be_bytes());
        if section == Section::Question {
            return self.checked();
        }
        self.out.extend_from_slice(&record.ttl.to_be_bytes());
        self.data(RecordType(record.kind), record.data)
    }

    fn copy(&mut self, message: &[u8], from: usize, to: usize) {
        self.out
            .extend_from_slice(message.get(from..to).unwrap_or_default());
    }

    /// Writes the length of the data, and the data.
    fn data(&mut self, kind: RecordType, data: &[u8]) -> Result<(), TooLong> {
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0, 0]);
        let mut rest = data;
        if is_compressible(kind) {
            for part in kind.parts() {
                let size = match part {
                    Part::Name => name_len(rest),
                    Part::U16 => 2,
                    Part::U32 => 4,
                    _ => rest.len(),
                };
                let (value, after) = rest.split_at(size.min(rest.len()));
                match part {
                    Part::Name => self.name(value),
                    _ => self.out.extend_from_slice(value),
                }
                rest = after;
            }
        }
        self.out.extend_from_slice(rest);
        let length = self.out.len() - length_at - 2;
        let length = u16::try_from(length).map_err(|_| TooLong)?;
        if let Some(place) = self.out.get_mut(length_at..length_at + 2) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        self.checked()
    }

    fn checked(&self) -> Result<(), TooLong> {
        if self.out.len() > MAX_MESSAGE {
            return Err(TooLong);
        }
        Ok(())
    }

    /// Writes a name given without compression; ends with a pointer where
    /// the rest has been written before.
    fn name(&mut self, wire: &[u8]) {
        let mut rest = wire;
        while let Some((&size, after)) = rest.split_first() {
            if size == 0 {
                break;
            }
            if let Some(&place) = self.places.get(rest) {
                self.out.extend_from_slice(&(0xc000 | place).to_be_bytes());
                return;
            }
            // Pointers reach no further.
            if let Ok(here @ 0..0x4000) = u16::try_from(self.out.len()) {
                self.places.insert(rest.to_vec(), here);
            }
            let label = usize::from(size).min(after.len());
            let (own, following) = rest.split_at(label + 1);
            self.out.extend_from_slice(own);
            rest = following;
        }
        self.out.push(0);
    }
}

/// Types whose data may be compressed: those of RFC 1035.
fn is_compressible(kind: RecordType) -> bool {
    matches!(kind.0, 2..=9 | 12 | 14 | 15)
}

/// A name without compression.
fn uncompressed(message: &[u8], at: usize) -> Vec<u8> {
    let mut wire = Vec::with_capacity(32);
    // The scan has read it before.
    let _ = name::walk(message, at, |label| {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    });
    wire.push(0);
    wire
}

/// The data of a record with all names in full.
fn expanded(message: &[u8], item: Item) -> Vec<u8> {
    let mut out = Vec::with_capacity(usize::from(item.data_len) + 32);
    let whole = data::each_part(message, item, |part| match part {
        data::Value::Name(at) => out.extend_from_slice(&uncompressed(message, at)),
        data::Value::Bytes(bytes) => out.extend_from_slice(bytes),
    });
    if whole.is_none() {
        out.clear();
        out.extend_from_slice(item.data(message));
    }
    out
}

/// Length of the name with which the bytes begin, without compression.
fn name_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&size) = bytes.get(at) {
        at += usize::from(size) + 1;
        if size == 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Direction;
    use crate::proto::dns::{Message, Parser, wire};
    use crate::proto::parser::DatagramParser;

    /// `www.example` is `web.example`, an address of which follows, and two
    /// servers of mail.
    const RESPONSE: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x02\0\x01\0\x01\
        \x03www\x07example\0\0\x01\0\x01\
        \xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x06\x03web\xc0\x10\
        \xc0\x29\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01\
        \xc0\x10\0\x0f\0\x01\0\0\0\x3c\0\x09\0\x0a\x04mail\xc0\x10\
        \xc0\x4d\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x02";

    fn shown(bytes: &[u8]) -> Vec<String> {
        let parsed = Parser::default().parse(bytes, Direction::ToClient);
        let [Message::Response(content)] = &parsed[..] else {
            panic!("{parsed:?}");
        };
        let questions = content
            .questions
            .iter()
            .map(|q| format!("{} {}?", q.name, q.kind));
        let records = [&content.answers, &content.authority, &content.additional];
        questions
            .chain(
                records
                    .into_iter()
                    .flatten()
                    .map(|r| format!("{} {} {}", r.name, r.kind, r.data)),
            )
            .collect()
    }

    fn edited(edit: &Edit<'_>) -> Vec<String> {
        let mut items = Vec::new();
        let scan = wire::scan(RESPONSE, &mut items).expect("there is a header");
        assert_eq!(scan.fault, None);
        shown(&rebuild(RESPONSE, &items, edit).expect("it is short"))
    }

    #[test]
    fn nothing_changed_is_the_same_message_as_short() {
        let mut items = Vec::new();
        wire::scan(RESPONSE, &mut items).expect("there is a header");
        let same = rebuild(RESPONSE, &items, &Edit::Remove(99)).expect("it is short");
        assert_eq!(same, RESPONSE);
    }

    #[test]
    fn pointers_stay_right_whatever_moves() {
        assert_eq!(
            edited(&Edit::Owner(0, b"\x01a\0")),
            [
                "a A?",
                "www.example CNAME web.example.",
                "web.example A 192.0.2.1",
                "example MX 10 mail.example.",
                "mail.example A 192.0.2.2",
            ]
        );
        assert_eq!(
            edited(&Edit::Remove(1)),
            [
                "www.example A?",
                "web.example A 192.0.2.1",
                "example MX 10 mail.example.",
                "mail.example A 192.0.2.2",
            ]
        );
        assert_eq!(
            edited(&Edit::Data(1, b"\x04sink\x04test\0"))[1],
            "www.example CNAME sink.test."
        );
        assert_eq!(
            edited(&Edit::Clear(Section::Answer)),
            [
                "www.example A?",
                "example MX 10 mail.example.",
                "mail.example A 192.0.2.2",
            ]
        );
        let record = NewRecord {
            owner: b"\x03www\x07example\0",
            kind: 28,
            class: 1,
            ttl: 5,
            data: &[0; 16],
        };
        assert_eq!(
            edited(&Edit::Append(Section::Answer, record))[3],
            "www.example AAAA ::"
        );
    }

    #[test]
    fn what_stands_behind_the_records_stays() {
        let message = [RESPONSE, b"tail"].concat();
        let mut items = Vec::new();
        wire::scan(&message, &mut items).expect("there is a header");
        let new = rebuild(&message, &items, &Edit::Remove(4)).expect("it is short");
        assert!(new.ends_with(b"tail"));
    }

    #[test]
    fn a_message_does_not_outgrow_its_length() {
        let mut items = Vec::new();
        wire::scan(RESPONSE, &mut items).expect("there is a header");
        let data = vec![0; MAX_MESSAGE];
        assert_eq!(
            rebuild(RESPONSE, &items, &Edit::Data(2, &data)),
            Err(TooLong)
        );
    }

    #[test]
    fn a_response_takes_over_what_was_asked() {
        let query = b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\x01\x01a\0\0\x1c\0\x01\
            \0\0\x29\x10\0\0\0\0\0\0\0";
        let mut items = Vec::new();
        wire::scan(query, &mut items).expect("there is a header");
        let response = response_to(query, &items);
        assert_eq!(
            response,
            b"\x12\x34\x81\x80\0\x01\0\0\0\0\0\0\x01a\0\0\x1c\0\x01"
        );
    }
}

//! Messages as values that own their text, for tools and libraries.
//!
//! Serialised, they are lines of `wero sessions --json`. Names have no last
//! dot there, but for the root (`.`); data are in master-file form
//! ([`super::data`]). Bytes that are not UTF-8 are replaced.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::fault::{Fault, FaultKind};
use super::kinds::{Class, RecordType, option_name};
use super::wire::{Header, Item, Scan, Section, bit};
use super::{data, name};

/// Text that one message may unfold to; compression can make a short
/// message a very long one.
const MAX_TEXT: usize = 1 << 20;
/// Class bit of multicast DNS: the cache is flushed, or the answer wanted
/// by unicast (RFC 6762, 10.2 and 5.4).
const MULTICAST_BIT: u16 = 0x8000;

/// What a DNS parser gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    Query(Box<Content>),
    Response(Box<Content>),
    /// Something that cannot be read. It follows the message that it belongs
    /// to, as far as that could be read.
    Anomaly(Anomaly),
}

/// A query or response.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Content {
    pub id: u16,
    /// 0 query, 4 notify, 5 update.
    pub opcode: u8,
    /// The header's four bits; of responses only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rcode: Option<u8>,
    pub flags: Flags,
    pub questions: Vec<Question>,
    pub answers: Vec<Record>,
    pub authority: Vec<Record>,
    pub additional: Vec<Record>,
    /// What the first OPT record says (RFC 6891).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edns: Option<Edns>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// Absent for `IN`.
    #[serde(skip_serializing_if = "is_in")]
    pub class: Class,
    /// Multicast DNS: the answer is wanted by unicast.
    #[serde(skip_serializing_if = "is_false")]
    pub unicast_response: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// Absent for `IN`, and for OPT, which has none.
    #[serde(skip_serializing_if = "is_in")]
    pub class: Class,
    /// Multicast DNS: the record replaces what caches hold.
    #[serde(skip_serializing_if = "is_false")]
    pub cache_flush: bool,
    pub ttl: u32,
    /// In master-file form.
    pub data: String,
}

/// The fields and options of an OPT record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edns {
    pub version: u8,
    pub udp_size: u16,
    pub dnssec_ok: bool,
    /// Header bits and OPT bits together; of responses only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rcode: Option<u16>,
    pub options: Vec<EdnsOption>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EdnsOption {
    pub code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
    /// In hexadecimal digits.
    pub data: String,
}

/// A message that cannot be read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anomaly {
    /// One of [`FaultKind::name`].
    pub event: &'static str,
    pub detail: String,
}

impl From<Fault> for Anomaly {
    fn from(fault: Fault) -> Anomaly {
        Anomaly {
            event: fault.kind.name(),
            detail: fault.to_string(),
        }
    }
}

/// The second header word; serialised as the list of the flags that are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    const NAMES: [(u16, &'static str); 6] = [
        (bit::AA, "aa"),
        (bit::TC, "tc"),
        (bit::RD, "rd"),
        (bit::RA, "ra"),
        (bit::AD, "ad"),
        (bit::CD, "cd"),
    ];

    /// Names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Flags::NAMES
            .into_iter()
            .filter(move |(bit, _)| self.0 & bit != 0)
            .map(|(_, name)| name)
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for name in self.names() {
            list.serialize_element(name)?;
        }
        list.end()
    }
}

fn is_in(class: &Class) -> bool {
    *class == Class::IN
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The message that `scan` found, and the fault if it has one.
pub(super) fn read(bytes: &[u8], items: &[Item], scan: &Scan) -> (Message, Option<Fault>) {
    let header = scan.header;
    let room = |section: usize| scan.found.get(section).map_or(0, |&n| usize::from(n));
    let mut content = Content {
        id: header.id,
        opcode: header.opcode(),
        rcode: header.is_response().then(|| header.rcode()),
        flags: Flags(header.flags),
        questions: Vec::with_capacity(room(0)),
        answers: Vec::with_capacity(room(1)),
        authority: Vec::with_capacity(room(2)),
        additional: Vec::with_capacity(room(3)),
        edns: None,
    };
    let mut fault = scan.fault;
    let mut text = 0;
    for &item in items {
        text += content.add(bytes, item, header);
        if text > MAX_TEXT {
            fault.get_or_insert(FaultKind::TooMuch.at(usize::from(item.name)));
            break;
        }
    }
    let message = match header.is_response() {
        true => Message::Response(Box::new(content)),
        false => Message::Query(Box::new(content)),
    };
    (message, fault)
}

impl Content {
    /// Adds a question or record; returns the length of its text.
    fn add(&mut self, bytes: &[u8], item: Item, header: Header) -> usize {
        let name = name_of(bytes, item);
        let kind = RecordType(item.kind(bytes));
        let (class, multicast) = class_of(item.class(bytes));
        if item.section == Section::Question as u16 {
            let length = name.len();
            self.questions.push(Question {
                name,
                kind,
                class,
                unicast_response: multicast,
            });
            return length;
        }
        let is_opt = kind == RecordType::OPT;
        if is_opt && self.edns.is_none() {
            self.edns = Some(Edns::read(bytes, item, header));
        }
        let record = Record {
            name,
            kind,
            class: if is_opt { Class::IN } else { class },
            cache_flush: multicast && !is_opt,
            ttl: item.ttl(bytes),
            data: data::text(bytes, item),
        };
        let length = record.name.len() + record.data.len();
        match item.section {
            1 => self.answers.push(record),
            2 => self.authority.push(record),
            _ => self.additional.push(record),
        }
        length
    }
}

fn name_of(bytes: &[u8], item: Item) -> String {
    let mut text = Vec::with_capacity(32);
    // The scan has read it before.
    let _ = name::write_text(bytes, item.name.into(), &mut text);
    if text.pop().is_none() {
        text.push(b'.');
    }
    data::into_text(text)
}

/// The class without the bit of multicast DNS, and that bit. Private classes
/// (RFC 6895, 3.2) lie above it.
fn class_of(number: u16) -> (Class, bool) {
    match number & !MULTICAST_BIT {
        class @ (1 | 255) => (Class(class), number & MULTICAST_BIT != 0),
        _ => (Class(number), false),
    }
}

impl Edns {
    /// RFC 6891, 6.1.3: the TTL holds bits of the rcode, version and flags.
    fn read(bytes: &[u8], item: Item, header: Header) -> Edns {
        let [high, version, flags, _] = item.ttl(bytes).to_be_bytes();
        let rcode = u16::from(high) << 4 | u16::from(header.rcode());
        Edns {
            version,
            udp_size: item.class(bytes),
            dnssec_ok: flags & 0x80 != 0,
            rcode: header.is_response().then_some(rcode),
            options: data::options(item.data(bytes))
                .flatten()
                .map(|(code, value)| EdnsOption {
                    code,
                    name: option_name(code),
                    data: {
                        let mut digits = String::with_capacity(2 * value.len());
                        data::hex(value, |digit| digits.push(digit));
                        digits
                    },
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::dns::wire::scan;
    use serde_json::json;

    fn value(bytes: &[u8]) -> serde_json::Value {
        let mut items = Vec::new();
        let found = scan(bytes, &mut items).expect("there is a header");
        serde_json::to_value(read(bytes, &items, &found).0).expect("it is plain data")
    }

    #[test]
    fn a_response_is_the_line_that_the_format_says() {
        let bytes = b"\x12\x34\x85\x93\0\x01\0\x01\0\0\0\x01\
            \x01a\x02b \0\0\x1c\0\x01\
            \xc0\x0c\0\x7b\0\x03\xff\xff\xff\xff\0\x01\x0a\
            \0\0\x29\x10\0\x01\0\x80\0\0\x05\0\x0a\0\x01\xff";
        assert_eq!(
            value(bytes),
            json!({
                "type": "response", "id": 0x1234, "opcode": 0, "rcode": 3,
                "flags": ["aa", "rd", "ra", "cd"],
                "questions": [{ "name": "a.b\\032", "type": "AAAA" }],
                "answers": [{ "name": "a.b\\032", "type": "TYPE123", "class": "CH",
                    "ttl": u32::MAX, "data": "\\# 1 0a" }],
                "authority": [],
                "additional": [{ "name": ".", "type": "OPT", "ttl": 0x0100_8000,
                    "data": "\\# 5 000a0001ff" }],
                "edns": { "version": 0, "udp_size": 4096, "dnssec_ok": true, "rcode": 19,
                    "options": [{ "code": 10, "name": "COOKIE", "data": "ff" }] },
            })
        );
    }

    #[test]
    fn a_query_has_no_rcode_and_multicast_bits_are_told_apart() {
        let bytes = b"\0\0\0\0\0\x02\0\0\0\0\0\0\x01a\0\0\x0c\x80\x01\xc0\x0c\0\xff\xff\x01";
        assert_eq!(
            value(bytes),
            json!({
                "type": "query", "id": 0, "opcode": 0, "flags": [],
                "questions": [
                    { "name": "a", "type": "PTR", "unicast_response": true },
                    { "name": "a", "type": "ANY", "class": "CLASS65281" },
                ],
                "answers": [], "authority": [], "additional": [],
            })
        );
    }

    #[test]
    fn what_compression_unfolds_is_capped() {
        // One name of 250 bytes, and as many records of it as fit.
        let label = [b"\x18".as_slice(), &[7; 24]].concat();
        let mut bytes = vec![0; 12];
        bytes[4..8].copy_from_slice(&[0, 1, 0xff, 0xff]);
        bytes.extend_from_slice(&label.repeat(10));
        bytes.extend_from_slice(b"\0\0\x01\0\x01");
        while bytes.len() < 65_000 {
            bytes.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\0");
        }
        let mut items = Vec::new();
        let found = scan(&bytes, &mut items).expect("there is a header");
        // The whole text would be five times as long.
        let (message, fault) = read(
            &bytes,
            &items,
            &Scan {
                fault: None,
                ..found
            },
        );
        let Message::Query(content) = message else {
            panic!("{message:?}")
        };
        assert_eq!(fault.map(|fault| fault.kind), Some(FaultKind::TooMuch));
        assert!(content.answers.len() < 1200);
    }
}

//! A message as it lies in its bytes: the header, and where everything is.
//!
//! [`scan`] looks at each name and record once and keeps offsets only;
//! nothing is decoded or allocated but the list of offsets, which callers
//! use again. What lies behind the last record is ignored, as Haka did.

use super::fault::{Fault, FaultKind};
use super::{data, name};

/// Bytes before the first question (RFC 1035, 4.1.1).
pub const HEADER: usize = 12;
/// Bytes of a record between its name and its data.
pub const FIXED: usize = 10;
/// Longest message: what a TCP frame can hold.
pub const MAX_MESSAGE: usize = 0xffff;

/// Bits of the second header word.
pub mod bit {
    pub const QR: u16 = 0x8000;
    pub const AA: u16 = 0x0400;
    pub const TC: u16 = 0x0200;
    pub const RD: u16 = 0x0100;
    pub const RA: u16 = 0x0080;
    pub const AD: u16 = 0x0020;
    pub const CD: u16 = 0x0010;
}

/// The four lists of a message, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Section {
    Question,
    Answer,
    Authority,
    Additional,
}

impl Section {
    pub const ALL: [Section; 4] = [
        Section::Question,
        Section::Answer,
        Section::Authority,
        Section::Additional,
    ];

    pub fn from_number(number: u32) -> Option<Section> {
        Section::ALL.get(number as usize).copied()
    }
}

/// The header's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub id: u16,
    pub flags: u16,
    /// Entries that each section says to have.
    pub counts: [u16; 4],
}

impl Header {
    /// # Errors
    /// When the message is shorter than a header.
    pub fn read(message: &[u8]) -> Result<Header, Fault> {
        let Some(&[i, j, f, g, a, b, c, d, k, l, m, n]) = message.first_chunk::<HEADER>() else {
            return Err(FaultKind::Truncated.at(message.len()));
        };
        let word = |high, low| u16::from_be_bytes([high, low]);
        Ok(Header {
            id: word(i, j),
            flags: word(f, g),
            counts: [word(a, b), word(c, d), word(k, l), word(m, n)],
        })
    }

    pub fn is_response(self) -> bool {
        self.flags & bit::QR != 0
    }

    pub fn opcode(self) -> u8 {
        (self.flags >> 11 & 15) as u8
    }

    /// The four bits of the header; EDNS has eight more.
    pub fn rcode(self) -> u8 {
        (self.flags & 15) as u8
    }
}

/// Where one question or record lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Item {
    /// The owner's name.
    pub name: u16,
    /// Type, class, and of records TTL, length and data.
    pub fixed: u16,
    /// Length of the data; 0 for questions.
    pub data_len: u16,
    /// Number of the [`Section`].
    pub section: u16,
    /// Its index in the message as it came. It keeps that when others are
    /// added or removed; what is added gets the next free one.
    pub number: u32,
}

impl Item {
    /// Type of the question or record.
    pub fn kind(self, message: &[u8]) -> u16 {
        u16_at(message, usize::from(self.fixed))
    }

    pub fn class(self, message: &[u8]) -> u16 {
        u16_at(message, usize::from(self.fixed) + 2)
    }

    pub fn ttl(self, message: &[u8]) -> u32 {
        let at = usize::from(self.fixed) + 4;
        u32::from(u16_at(message, at)) << 16 | u32::from(u16_at(message, at + 2))
    }

    /// Where the data begin.
    pub fn data_at(self) -> usize {
        usize::from(self.fixed) + FIXED
    }

    pub fn data(self, message: &[u8]) -> &[u8] {
        let at = self.data_at();
        message
            .get(at..at + usize::from(self.data_len))
            .unwrap_or_default()
    }

    /// Where the next entry begins.
    pub fn end(self) -> usize {
        if self.section == Section::Question as u16 {
            usize::from(self.fixed) + 4
        } else {
            self.data_at() + usize::from(self.data_len)
        }
    }
}

/// The word at `at`; 0 outside of the message.
pub fn u16_at(message: &[u8], at: usize) -> u16 {
    match message.get(at..at + 2) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        _ => 0,
    }
}

/// What [`scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    pub header: Header,
    /// Entries found of each section.
    pub found: [u16; 4],
    /// The first thing wrong. Data that do not fit their record do not end
    /// the reading, any other fault does.
    pub fault: Option<Fault>,
}

/// Finds all questions and records of a message.
///
/// # Errors
/// When there is no header.
pub fn scan(message: &[u8], items: &mut Vec<Item>) -> Result<Scan, Fault> {
    items.clear();
    let header = Header::read(message)?;
    let mut scan = Scan {
        header,
        found: [0; 4],
        fault: None,
    };
    let mut at = HEADER;
    for (section, &count) in header.counts.iter().enumerate() {
        for _ in 0..count {
            match item(message, at, section as u16) {
                Ok(item) => {
                    at = item.end();
                    items.push(item);
                    if let Some(found) = scan.found.get_mut(section) {
                        *found += 1;
                    }
                    if section > 0
                        && let Err(fault) = data::check(message, item)
                    {
                        scan.fault.get_or_insert(fault);
                    }
                }
                Err(fault) => {
                    scan.fault.get_or_insert(fault);
                    return Ok(scan);
                }
            }
        }
    }
    Ok(scan)
}

fn item(message: &[u8], at: usize, section: u16) -> Result<Item, Fault> {
    let fixed = name::skip(message, at)?;
    let too_long = || FaultKind::Truncated.at(fixed);
    let mut item = Item {
        name: u16::try_from(at).map_err(|_| too_long())?,
        fixed: u16::try_from(fixed).map_err(|_| too_long())?,
        data_len: 0,
        section,
        number: 0,
    };
    if section > 0 {
        if message.len() < item.data_at() {
            return Err(too_long());
        }
        item.data_len = u16_at(message, fixed + 8);
    }
    if message.len() < item.end() {
        return Err(too_long());
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_with_their_sections() {
        let message = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\x01\
            \x01a\0\0\x01\0\x01\
            \xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01\
            \0\0\x29\x10\0\0\0\0\0\0\0trailing";
        let mut items = Vec::new();
        let scan = scan(message, &mut items).expect("there is a header");
        assert_eq!(scan.fault, None);
        assert_eq!(scan.found, [1, 1, 0, 1]);
        assert!(scan.header.is_response());
        assert_eq!(scan.header.id, 0x1234);
        let [question, answer, opt] = items[..] else {
            panic!("{items:?}");
        };
        assert_eq!((question.kind(message), question.end()), (1, 19));
        assert_eq!(answer.ttl(message), 60);
        assert_eq!(answer.data(message), [10, 0, 0, 1]);
        assert_eq!(opt.kind(message), 41);
        assert_eq!(opt.class(message), 0x1000);
    }

    #[test]
    fn what_was_read_before_a_fault_is_kept() {
        let message = b"\x12\x34\0\0\0\x01\0\x05\0\0\0\0\x01a\0\0\x01\0\x01";
        let mut items = Vec::new();
        let scan = scan(message, &mut items).expect("there is a header");
        assert_eq!(items.len(), 1);
        assert_eq!(scan.fault, Some(FaultKind::Truncated.at(19)));
        assert_eq!(
            super::scan(&message[..11], &mut items),
            Err(FaultKind::Truncated.at(11))
        );
    }
}

//! The data of records: whether they fit their type, and their text.
//!
//! Text is in the form of master files (RFC 1035, 5.1; each type's own RFC),
//! names with their last dot. Data of types without such a form, and data
//! that do not fit their type, are shown as `\# LENGTH HEX` (RFC 3597, 5).

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fault::{Fault, FaultKind};
use super::kinds::{Part, RecordType, parameter_name};
use super::name;
use super::wire::Item;

/// Whether the data of a record fit its type. Empty data do: updates of
/// zones have such records (RFC 2136, 2.4).
///
/// # Errors
/// Where they do not.
#[inline]
pub fn check(message: &[u8], item: Item) -> Result<(), Fault> {
    let kind = RecordType(item.kind(message));
    match (kind, item.data_len) {
        (_, 0) | (RecordType::A, 4) | (RecordType::AAAA, 16) => Ok(()),
        (RecordType::OPT, _) => options(item.data(message)).try_for_each(|option| {
            option
                .map(|_| ())
                .ok_or(FaultKind::RecordData.at(item.data_at()))
        }),
        _ => {
            let mut place = Place::new(message, item);
            place.each(kind.parts(), |_, _| {})?;
            let done = kind.parts().is_empty() || place.at == place.end;
            done.then_some(())
                .ok_or(FaultKind::RecordData.at(item.data_at()))
        }
    }
}

/// The data as text.
pub fn text(message: &[u8], item: Item) -> String {
    let kind = RecordType(item.kind(message));
    let data = item.data(message);
    if let (RecordType::A, &[a, b, c, d]) = (kind, data) {
        return Ipv4Addr::new(a, b, c, d).to_string();
    }
    let parts = kind.parts();
    if !parts.is_empty() && !data.is_empty() && check(message, item).is_ok() {
        let mut out = Vec::with_capacity(data.len() + data.len() / 2);
        let mut place = Place::new(message, item);
        let written = place.each(parts, |value, part| {
            if !out.is_empty() {
                out.push(b' ');
            }
            write_part(message, value, part, &mut out);
        });
        if written.is_ok() {
            // A part without bytes, such as no parameters, leaves its space.
            if out.last() == Some(&b' ') {
                out.pop();
            }
            return into_text(out);
        }
    }
    generic(data)
}

/// As [`String::from_utf8_lossy`], without a copy where it is text.
pub(super) fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// `\# 2 0aff`.
fn generic(data: &[u8]) -> String {
    let mut out = String::with_capacity(8 + 2 * data.len());
    // Writing to a string does not fail.
    let _ = write!(out, "\\# {}", data.len());
    if !data.is_empty() {
        out.push(' ');
        hex(data, |digit| out.push(digit));
    }
    out
}

pub(super) fn hex(bytes: &[u8], mut digit: impl FnMut(char)) {
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            digit(char::from_digit(u32::from(half), 16).unwrap_or('0'));
        }
    }
}

/// Options of an OPT record: code and data; `None` where one is cut.
pub fn options(data: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    pairs(data)
}

/// Numbers of 16 bits with data, whose length stands before them.
fn pairs(data: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let pair = rest.split_first_chunk::<4>().and_then(|(head, after)| {
            let [a, b, c, d] = *head;
            let (value, after) = after.split_at_checked(u16::from_be_bytes([c, d]).into())?;
            rest = after;
            Some((u16::from_be_bytes([a, b]), value))
        });
        if pair.is_none() {
            rest = &[];
        }
        Some(pair)
    })
}

/// Where reading stands in a record's data.
struct Place<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
}

/// One part with its length bytes, or for names the place in the message.
pub(super) enum Value<'a> {
    Bytes(&'a [u8]),
    Name(usize),
}

/// Gives the parts of a record's data in order; `None` where the data do not
/// consist of what their type says.
pub(super) fn each_part<'a>(
    message: &'a [u8],
    item: Item,
    mut take: impl FnMut(Value<'a>),
) -> Option<()> {
    let parts = RecordType(item.kind(message)).parts();
    let mut place = Place::new(message, item);
    if parts.is_empty() || item.data_len == 0 {
        return None;
    }
    for &part in parts {
        let start = place.at;
        match place.next(part).ok()? {
            Value::Name(at) => take(Value::Name(at)),
            Value::Bytes(_) => take(Value::Bytes(message.get(start..place.at)?)),
        }
    }
    (place.at == place.end).then_some(())
}

/// The bytes of one part of a record's data, by its number: texts raw,
/// anything else as in [`text`].
pub fn part(message: &[u8], item: Item, number: usize, out: &mut Vec<u8>) -> Option<()> {
    let parts = RecordType(item.kind(message)).parts();
    let mut place = Place::new(message, item);
    for &part in parts.get(..number)? {
        place.next(part).ok()?;
    }
    let &part = parts.get(number)?;
    match (place.next(part).ok()?, part) {
        (Value::Bytes(bytes), Part::Text | Part::Word | Part::RestText) => {
            out.extend_from_slice(bytes);
        }
        (value, part) => write_part(message, value, part, out),
    }
    Some(())
}

impl<'a> Place<'a> {
    fn new(message: &'a [u8], item: Item) -> Place<'a> {
        let at = item.data_at();
        Place {
            message,
            at,
            end: at + usize::from(item.data_len),
        }
    }

    fn each(&mut self, parts: &[Part], mut take: impl FnMut(Value<'a>, Part)) -> Result<(), Fault> {
        for &part in parts {
            let value = self.next(part)?;
            take(value, part);
        }
        Ok(())
    }

    fn next(&mut self, part: Part) -> Result<Value<'a>, Fault> {
        let start = self.at;
        let bad = FaultKind::RecordData.at(start);
        let rest = self.message.get(start..self.end).ok_or(bad)?;
        let counted = || {
            let (&size, rest) = rest.split_first()?;
            rest.get(..usize::from(size))
        };
        let (value, size) = match part {
            Part::Name => {
                let end = name::skip(self.message, start)?;
                if end > self.end {
                    return Err(bad);
                }
                self.at = end;
                return Ok(Value::Name(start));
            }
            Part::U8 => (rest.get(..1), 1),
            Part::U16 | Part::Type => (rest.get(..2), 2),
            Part::U32 | Part::Time | Part::Ipv4 => (rest.get(..4), 4),
            Part::Ipv6 => (rest.get(..16), 16),
            Part::Text | Part::Word | Part::Salt | Part::Hash => {
                let value = counted();
                (value, 1 + value.map_or(0, <[u8]>::len))
            }
            Part::Texts => (are_texts(rest).then_some(rest), rest.len()),
            Part::Bitmap => (
                windows(rest).all(|w| w.is_some()).then_some(rest),
                rest.len(),
            ),
            Part::Parameters => (pairs(rest).all(|p| p.is_some()).then_some(rest), rest.len()),
            Part::RestText | Part::RestBase64 | Part::RestHex | Part::Ports | Part::Mac => {
                (Some(rest), rest.len())
            }
        };
        let value = value.ok_or(bad)?;
        self.at = start + size;
        Ok(Value::Bytes(value))
    }
}

fn are_texts(mut bytes: &[u8]) -> bool {
    while let Some((&size, rest)) = bytes.split_first() {
        let Some(rest) = rest.get(usize::from(size)..) else {
            return false;
        };
        bytes = rest;
    }
    true
}

/// Windows of a type bitmap (RFC 4034, 4.1.2).
fn windows(mut bytes: &[u8]) -> impl Iterator<Item = Option<(u8, &[u8])>> {
    std::iter::from_fn(move || {
        let (&number, rest) = bytes.split_first()?;
        let window = rest.split_first().and_then(|(&size, rest)| {
            let (bits, rest) = rest.split_at_checked(size.into())?;
            bytes = rest;
            (1..=32).contains(&size).then_some((number, bits))
        });
        if window.is_none() {
            bytes = &[];
        }
        Some(window)
    })
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |sum, &byte| sum << 8 | u32::from(byte))
}

fn write_part(message: &[u8], value: Value<'_>, part: Part, out: &mut Vec<u8>) {
    let bytes = match value {
        Value::Name(at) => {
            let start = out.len();
            // It was checked before.
            let _ = name::write_text(message, at, out);
            if out.len() == start {
                out.push(b'.');
            }
            return;
        }
        Value::Bytes(bytes) => bytes,
    };
    match part {
        Part::Type => put(out, format_args!("{}", RecordType(number(bytes) as u16))),
        Part::Time => write_time(number(bytes), out),
        Part::Ipv4 => put(out, format_args!("{}", Ipv4Addr::from(number(bytes)))),
        Part::Ipv6 => {
            if let Ok(bytes) = <[u8; 16]>::try_from(bytes) {
                put(out, format_args!("{}", Ipv6Addr::from(bytes)));
            }
        }
        Part::Text | Part::RestText => write_text(bytes, out),
        Part::Texts => write_texts(bytes, out),
        Part::Word => bytes.iter().for_each(|&byte| match byte {
            0x21..=0x7e => out.push(byte),
            _ => name::write_decimal(byte, out),
        }),
        Part::RestBase64 => out.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
        Part::RestHex => hex(bytes, |digit| out.push(digit as u8)),
        Part::Salt if bytes.is_empty() => out.push(b'-'),
        Part::Salt => hex(bytes, |digit| out.push(digit as u8)),
        Part::Hash => base32(bytes, out),
        Part::Bitmap => write_bitmap(bytes, out),
        Part::Ports => write_ports(bytes, out),
        Part::Mac => {
            for (place, byte) in bytes.iter().enumerate() {
                if place > 0 {
                    out.push(b'-');
                }
                hex(&[*byte], |digit| out.push(digit as u8));
            }
        }
        Part::Parameters => write_parameters(bytes, out),
        Part::Name | Part::U8 | Part::U16 | Part::U32 => {
            put(out, format_args!("{}", number(bytes)))
        }
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = std::io::Write::write_fmt(out, text);
}

fn write_text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => out.push(byte),
            _ => name::write_decimal(byte, out),
        }
    }
    out.push(b'"');
}

fn write_texts(mut bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    while let Some((&size, rest)) = bytes.split_first() {
        let Some((text, rest)) = rest.split_at_checked(size.into()) else {
            return;
        };
        if out.len() > start {
            out.push(b' ');
        }
        write_text(text, out);
        bytes = rest;
    }
}

fn write_bitmap(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    for (window, bits) in windows(bytes).flatten() {
        for (place, byte) in bits.iter().enumerate() {
            for bit in 0..8 {
                if byte & 0x80 >> bit != 0 {
                    let kind = u16::from(window) << 8 | (place * 8 + bit) as u16;
                    let space = if out.len() > start { " " } else { "" };
                    put(out, format_args!("{space}{}", RecordType(kind)));
                }
            }
        }
    }
}

fn write_ports(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    for (place, byte) in bytes.iter().enumerate().take(8192) {
        for bit in 0..8 {
            if byte & 0x80 >> bit != 0 {
                let space = if out.len() > start { " " } else { "" };
                put(out, format_args!("{space}{}", place * 8 + bit));
            }
        }
    }
}

fn write_parameters(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    for (key, value) in pairs(bytes).flatten() {
        if out.len() > start {
            out.push(b' ');
        }
        match parameter_name(key) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => put(out, format_args!("key{key}")),
        }
        if !value.is_empty() {
            out.push(b'=');
            write_parameter(key, value, out);
        }
    }
}

/// The value of a parameter (RFC 9460, 7); one that does not fit its key is
/// shown as a string.
fn write_parameter(key: u16, value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let comma = |out: &mut Vec<u8>| {
        if out.len() > start {
            out.push(b',');
        }
    };
    match key {
        0 if value.len().is_multiple_of(2) => {
            for key in value.chunks_exact(2).map(|pair| number(pair) as u16) {
                comma(out);
                match parameter_name(key) {
                    Some(name) => out.extend_from_slice(name.as_bytes()),
                    None => put(out, format_args!("key{key}")),
                }
            }
        }
        1 if are_texts(value) => {
            let mut rest = value;
            while let Some((&size, after)) = rest.split_first() {
                let (id, after) = after.split_at_checked(size.into()).unwrap_or((after, &[]));
                comma(out);
                for &byte in id {
                    match byte {
                        // A comma inside an identifier is escaped twice (A.1).
                        b',' => out.extend_from_slice(b"\\\\,"),
                        b'\\' => out.extend_from_slice(b"\\\\\\\\"),
                        0x21..=0x7e if byte != b'"' => out.push(byte),
                        _ => name::write_decimal(byte, out),
                    }
                }
                rest = after;
            }
        }
        3 if value.len() == 2 => put(out, format_args!("{}", number(value))),
        4 if value.len().is_multiple_of(4) => {
            for address in value.chunks_exact(4) {
                comma(out);
                put(out, format_args!("{}", Ipv4Addr::from(number(address))));
            }
        }
        5 => out.extend_from_slice(STANDARD.encode(value).as_bytes()),
        6 if value.len().is_multiple_of(16) => {
            for address in value.chunks_exact(16) {
                comma(out);
                if let Ok(address) = <[u8; 16]>::try_from(address) {
                    put(out, format_args!("{}", Ipv6Addr::from(address)));
                }
            }
        }
        _ => write_text(value, out),
    }
}

/// Base32 with the extended alphabet and without padding (RFC 5155, 3.3).
fn base32(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let (mut bits, mut held) = (0u32, 0);
    for &byte in bytes {
        bits = bits << 8 | u32::from(byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            out.push(DIGITS[(bits >> held & 31) as usize]);
        }
    }
    if held > 0 {
        out.push(DIGITS[(bits << (5 - held) & 31) as usize]);
    }
}

/// `YYYYMMDDHHmmSS` (RFC 4034, 3.2), from seconds since 1970.
fn write_time(seconds: u32, out: &mut Vec<u8>) {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (mut year, mut left) = (1970, days);
    let length = |year: u32| {
        if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) {
            366
        } else {
            365
        }
    };
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let mut month = 1;
    for days in [
        31,
        length(year) - 337,
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    put(
        out,
        format_args!(
            "{year:04}{month:02}{:02}{hour:02}{minute:02}{second:02}",
            left + 1
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::dns::wire::{FIXED, HEADER};

    /// A message whose first name is `example.`, at byte 12, and a record of
    /// that name.
    fn record(kind: u16, data: &[u8]) -> (Vec<u8>, Item) {
        let mut message = vec![0; HEADER];
        message.extend_from_slice(b"\x07example\x00");
        let fixed = message.len();
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&[0; 6]);
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        assert_eq!(message.len(), fixed + FIXED);
        message.extend_from_slice(data);
        let item = Item {
            name: 12,
            fixed: fixed as u16,
            data_len: data.len() as u16,
            section: 1,
            number: 0,
        };
        (message, item)
    }

    fn shown(kind: u16, data: &[u8]) -> String {
        let (message, item) = record(kind, data);
        assert_eq!(check(&message, item), Ok(()), "type {kind}");
        text(&message, item)
    }

    #[test]
    fn types_of_rfc_1035() {
        assert_eq!(shown(1, &[192, 0, 2, 1]), "192.0.2.1");
        assert_eq!(shown(2, b"\x02ns\xc0\x0c"), "ns.example.");
        assert_eq!(shown(5, b"\x00"), ".");
        let soa = b"\x02ns\xc0\x0c\x04mail\xc0\x0c\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\xff\xff\xff\xff";
        assert_eq!(
            shown(6, soa),
            "ns.example. mail.example. 1 2 3 4 4294967295"
        );
        assert_eq!(
            shown(11, &[192, 0, 2, 1, 6, 0, 0, 0, 0x40]),
            "192.0.2.1 6 25"
        );
        assert_eq!(shown(13, b"\x03ARM\x05Linux"), "\"ARM\" \"Linux\"");
        assert_eq!(shown(14, b"\x01a\0\x01b\0"), "a. b.");
        assert_eq!(shown(15, b"\0\x0a\xc0\x0c"), "10 example.");
        assert_eq!(
            shown(16, b"\x05a \"b\\\x00\x01\xff"),
            "\"a \\\"b\\\\\" \"\" \"\\255\""
        );
        assert_eq!(shown(10, b"\x01\xab"), "\\# 2 01ab");
    }

    #[test]
    fn addresses_services_and_policies() {
        let loopback = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(shown(28, &loopback), "::1");
        assert_eq!(
            shown(33, b"\0\x01\0\x02\x01\xbb\xc0\x0c"),
            "1 2 443 example."
        );
        assert_eq!(
            shown(35, b"\0\x01\0\x02\x01S\x07SIP+D2U\0\xc0\x0c"),
            "1 2 \"S\" \"SIP+D2U\" \"\" example."
        );
        assert_eq!(
            shown(257, b"\x80\x05issueca.example"),
            "128 issue \"ca.example\""
        );
        assert_eq!(shown(256, b"\0\x0a\0\x01https://a/"), "10 1 \"https://a/\"");
        assert_eq!(
            shown(108, &[0, 0x1b, 0x44, 0x11, 0x3a, 0xb7]),
            "00-1b-44-11-3a-b7"
        );
        assert_eq!(shown(123, b"\x01"), "\\# 1 01");
        assert_eq!(shown(123, b""), "\\# 0");
    }

    #[test]
    fn service_bindings_and_their_parameters() {
        assert_eq!(shown(65, b"\0\x00\xc0\x0c"), "0 example.");
        let data = b"\0\x01\x00\
            \0\x00\0\x02\0\x01\
            \0\x01\0\x06\x02h2\x02h3\
            \0\x02\0\0\
            \0\x03\0\x02\x01\xbb\
            \0\x04\0\x08\xc0\0\x02\x01\xc0\0\x02\x02\
            \0\x05\0\x03abc\
            \0\x06\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\
            \x02\x9b\0\x02hi";
        assert_eq!(
            shown(64, data),
            "1 . mandatory=alpn alpn=h2,h3 no-default-alpn port=443 \
             ipv4hint=192.0.2.1,192.0.2.2 ech=YWJj ipv6hint=::1 key667=\"hi\""
        );
    }

    #[test]
    fn dnssec_types() {
        assert_eq!(shown(43, b"\x12\x34\x08\x02\xab\xcd"), "4660 8 2 abcd");
        assert_eq!(shown(48, b"\x01\x01\x03\x08abc"), "257 3 8 YWJj");
        let rrsig =
            b"\0\x01\x08\x02\0\0\x0e\x10\x65\x92\x00\x80\x00\x00\x00\x00\x12\x34\xc0\x0csig";
        assert_eq!(
            shown(46, rrsig),
            "A 8 2 3600 20240101000000 19700101000000 4660 example. c2ln"
        );
        assert_eq!(
            shown(47, b"\xc0\x0c\0\x06\x40\x01\0\0\0\x03\x01\x01\x40"),
            "example. A MX RRSIG NSEC CAA"
        );
        assert_eq!(
            shown(50, b"\x01\0\0\x0a\x02\xaa\xbb\x05hello\0\x01\x40"),
            "1 0 10 aabb d1imor3f A"
        );
        assert_eq!(shown(51, b"\x01\0\0\0\0"), "1 0 0 -");
    }

    #[test]
    fn times_count_leap_years() {
        for (seconds, expected) in [
            (0, "19700101000000"),
            (951_782_400, "20000229000000"),
            (951_868_799, "20000229235959"),
            (1_709_251_199, "20240229235959"),
            (4_107_542_400, "21000301000000"),
            (u32::MAX, "21060207062815"),
        ] {
            let mut out = Vec::new();
            write_time(seconds, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn data_that_do_not_fit_are_a_fault_and_shown_as_bytes() {
        for (kind, data) in [
            (1, &[1, 2, 3][..]),
            (28, &[0; 15]),
            (2, b"\x05abc"),
            (2, b"\x01a\0rest"),
            (5, b"\xc0\x40"),
            (15, b"\x01"),
            (16, b"\x05ab"),
            (33, b"\0\x01\0\x02\0\x03"),
            (41, b"\0\x08\0\x05ab"),
            (47, b"\xc0\x0c\0\x22"),
            (65, b"\0\x01\0\0\x01\0\x09h"),
        ] {
            let (message, item) = record(kind, data);
            assert!(check(&message, item).is_err(), "type {kind}");
            assert!(text(&message, item).starts_with("\\# "), "type {kind}");
        }
    }
}

//! Record data from their text, for rules that add or change records.
//!
//! The text is what [`super::data`] writes: parts apart by spaces, strings
//! in quotes where they hold spaces, or `\# LENGTH HEX` for any type
//! (RFC 3597, 5). Types with parts that nobody writes by hand (signatures,
//! bitmaps, service parameters) take that last form only.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::kinds::{Part, RecordType};
use super::name;

/// Appends the wire form of a record's data, names without compression.
///
/// # Errors
/// What is wrong with the text, in words for the author of a rule.
pub fn encode(kind: RecordType, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let mut words = Words(text.trim_ascii());
    if let Some(generic) = words.0.strip_prefix("\\#") {
        return encode_generic(generic, out);
    }
    let parts = kind.parts();
    if parts.is_empty() {
        return Err(format!(
            "data of type {kind} can be given as \\# LENGTH HEX only"
        ));
    }
    for &part in parts {
        encode_part(kind, part, &mut words, out)?;
    }
    match words.next()? {
        None => Ok(()),
        Some(_) => Err(format!("too much in the data of a record of type {kind}")),
    }
}

fn encode_generic(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let bad = || "expected \\# LENGTH HEX".to_owned();
    let mut words = text.split_ascii_whitespace();
    let length: usize = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(bad)?;
    let start = out.len();
    let digits: Vec<u8> = words.flat_map(str::bytes).collect();
    for pair in digits.chunks(2) {
        let &[high, low] = pair else {
            return Err(bad());
        };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = digit(high).zip(digit(low)).ok_or_else(bad)?;
        out.push((high << 4 | low) as u8);
    }
    if out.len() - start != length {
        return Err(format!(
            "expected {length} bytes of data, got {}",
            out.len() - start
        ));
    }
    Ok(())
}

fn encode_part(
    kind: RecordType,
    part: Part,
    words: &mut Words<'_>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    if part == Part::Texts {
        let first = words.next()?.ok_or_else(|| missing(kind))?;
        write_string(&first, out)?;
        while let Some(word) = words.next()? {
            write_string(&word, out)?;
        }
        return Ok(());
    }
    let word = words.next()?.ok_or_else(|| missing(kind))?;
    let as_text = || String::from_utf8_lossy(&word).into_owned();
    let number = |max: u32| {
        let number = as_text().parse().ok().filter(|&number: &u32| number <= max);
        number.ok_or_else(|| format!("expected a number up to {max}, got '{}'", as_text()))
    };
    match part {
        Part::Name => name::read_text(&word, out)?,
        Part::U8 => out.push(number(0xff)? as u8),
        Part::U16 => out.extend_from_slice(&(number(0xffff)? as u16).to_be_bytes()),
        Part::U32 => out.extend_from_slice(&number(u32::MAX)?.to_be_bytes()),
        Part::Ipv4 => {
            let address: Ipv4Addr = as_text()
                .parse()
                .map_err(|_| format!("expected an IPv4 address, got '{}'", as_text()))?;
            out.extend_from_slice(&address.octets());
        }
        Part::Ipv6 => {
            let address: Ipv6Addr = as_text()
                .parse()
                .map_err(|_| format!("expected an IPv6 address, got '{}'", as_text()))?;
            out.extend_from_slice(&address.octets());
        }
        Part::Text | Part::Word => write_string(&unescaped(&word), out)?,
        Part::RestText => out.extend_from_slice(&unescaped(&word)),
        _ => {
            return Err(format!(
                "data of type {kind} can be given as \\# LENGTH HEX only"
            ));
        }
    }
    Ok(())
}

fn missing(kind: RecordType) -> String {
    format!("too little in the data of a record of type {kind}")
}

fn write_string(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let length = u8::try_from(text.len()).map_err(|_| "string longer than 255 bytes")?;
    out.push(length);
    out.extend_from_slice(text);
    Ok(())
}

/// Words of a text; one in quotes may hold spaces. Escapes stay in words
/// without quotes, since names read them themselves.
struct Words<'a>(&'a str);

impl Words<'_> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let rest = self.0.trim_ascii_start().as_bytes();
        let Some(&first) = rest.first() else {
            return Ok(None);
        };
        let quoted = first == b'"';
        let body = rest.get(usize::from(quoted)..).unwrap_or_default();
        let mut end = 0;
        loop {
            match body.get(end) {
                Some(b'\\') => end += 2,
                Some(b'"') if quoted => break,
                None if quoted => return Err("a quote without its end".to_owned()),
                Some(b' ' | b'\t') if !quoted => break,
                None => break,
                Some(_) => end += 1,
            }
        }
        let word = body.get(..end).unwrap_or(body);
        let used = self.0.len() - body.len() + (end + usize::from(quoted)).min(body.len());
        let word = match quoted {
            true => unescaped(word),
            false => word.to_vec(),
        };
        self.0 = self.0.get(used..).unwrap_or_default();
        Ok(Some(word))
    }
}

/// Without backslashes: `\DDD` is a byte, any other is itself.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let number = after
            .first_chunk::<3>()
            .filter(|digits| digits.iter().all(u8::is_ascii_digit))
            .map(|digits| {
                digits
                    .iter()
                    .fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'))
            })
            .and_then(|number| u8::try_from(number).ok());
        match (number, after.split_first()) {
            (Some(byte), _) => {
                out.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            (None, Some((&byte, after))) => {
                out.push(byte);
                rest = after;
            }
            (None, None) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: &str, text: &str) -> Result<Vec<u8>, String> {
        let kind = RecordType::from_name(kind).expect("a type");
        let mut out = Vec::new();
        encode(kind, text, &mut out)?;
        Ok(out)
    }

    #[test]
    fn text_becomes_data() {
        assert_eq!(encoded("A", "192.0.2.1"), Ok(vec![192, 0, 2, 1]));
        assert_eq!(encoded("AAAA", "::1").map(|data| data[15]), Ok(1));
        assert_eq!(encoded("CNAME", " a.b. "), Ok(b"\x01a\x01b\0".to_vec()));
        assert_eq!(encoded("MX", "10 m"), Ok(b"\0\x0a\x01m\0".to_vec()));
        assert_eq!(
            encoded("TXT", "plain \"with \\\"space\" \"\\255\""),
            Ok(b"\x05plain\x0bwith \"space\x01\xff".to_vec())
        );
        assert_eq!(
            encoded("CAA", "0 issue \"ca.example\""),
            Ok(b"\0\x05issueca.example".to_vec())
        );
        assert_eq!(encoded("TYPE123", "\\# 3 0a0B 0c"), Ok(vec![10, 11, 12]));
    }

    #[test]
    fn bad_text_is_refused_with_its_reason() {
        for (kind, text, reason) in [
            ("A", "1.2.3", "IPv4 address"),
            ("A", "192.0.2.1 2", "too much"),
            ("A", "", "too little"),
            ("MX", "70000 m", "number up to 65535"),
            ("MX", "1 a..b", "empty label"),
            ("TXT", "\"open", "quote"),
            ("RRSIG", "A 8 2 1 1 1 1 a. x", "HEX only"),
            ("NULL", "x", "HEX only"),
            ("A", "\\# 4 0a", "expected 4 bytes"),
            ("A", "\\# x", "LENGTH HEX"),
            ("A", "\\# 1 a", "LENGTH HEX"),
        ] {
            let error = encoded(kind, text).expect_err(text);
            assert!(error.contains(reason), "{kind} {text}: {error}");
        }
    }
}

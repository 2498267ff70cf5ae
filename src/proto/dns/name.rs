//! Domain names on the wire: labels, compression, and their text.
//!
//! A pointer must point before the run of labels that it ends, never into
//! the header, so every jump goes back and no name loops (RFC 1035, 4.1.4).
//! Names are at most 255 bytes without compression. Text is that of master
//! files (RFC 1035, 5.1): a dot or backslash inside a label is escaped by a
//! backslash, spaces and control bytes as `\DDD`; the names end with a dot.

use super::fault::{Fault, FaultKind};
use super::wire::HEADER;

/// Longest name: labels with their lengths and the root.
pub const MAX_NAME: usize = 255;
/// Longest label.
pub const MAX_LABEL: usize = 63;
/// Room for any name's text, as [`write_text`] makes it.
pub const MAX_TEXT: usize = 4 * MAX_NAME;
/// Pointers of one name. No name needs more than it has labels; without a
/// limit, long chains of pointers would make short messages slow to read.
const MAX_POINTERS: u32 = 128;

/// Gives each label of the name at `at` to `label`, and returns where the
/// name ends in its own place.
///
/// # Errors
/// When the name leaves the message, points forward, is too long, or has a
/// label of an unknown kind.
#[inline]
pub fn walk<'a>(
    message: &'a [u8],
    at: usize,
    mut label: impl FnMut(&'a [u8]),
) -> Result<usize, Fault> {
    let mut place = at;
    // Where the run of labels began: pointers must go before it.
    let mut run = at;
    let mut end = None;
    let mut length = 1;
    let mut pointers = 0;
    loop {
        let Some(&first) = message.get(place) else {
            return Err(FaultKind::Truncated.at(place));
        };
        match first {
            0 => return Ok(end.unwrap_or(place + 1)),
            1..=63 => {
                let size = usize::from(first);
                let Some(bytes) = message.get(place + 1..place + 1 + size) else {
                    return Err(FaultKind::Truncated.at(place));
                };
                length += size + 1;
                if length > MAX_NAME {
                    return Err(FaultKind::LongName.at(at));
                }
                label(bytes);
                place += size + 1;
            }
            0xc0.. => {
                let Some(&second) = message.get(place + 1) else {
                    return Err(FaultKind::Truncated.at(place));
                };
                let target = usize::from(first & 0x3f) << 8 | usize::from(second);
                pointers += 1;
                if target >= run || target < HEADER || pointers > MAX_POINTERS {
                    return Err(FaultKind::Pointer.at(place));
                }
                end.get_or_insert(place + 2);
                run = target;
                place = target;
            }
            _ => return Err(FaultKind::Label.at(place)),
        }
    }
}

/// Where the name at `at` ends.
///
/// # Errors
/// As [`walk`].
#[inline]
pub fn skip(message: &[u8], at: usize) -> Result<usize, Fault> {
    walk(message, at, |_| {})
}

/// Appends the text of the name at `at`, with a dot after every label;
/// nothing for the root. Bytes above ASCII stay as they are.
///
/// # Errors
/// As [`walk`]; what was read of the name has been appended then.
pub fn write_text(message: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, Fault> {
    walk(message, at, |label| {
        write_label(label, out);
        out.push(b'.');
    })
}

fn write_label(label: &[u8], out: &mut Vec<u8>) {
    if label.iter().all(|&byte| is_plain(byte)) {
        return out.extend_from_slice(label);
    }
    for &byte in label {
        match byte {
            b'.' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x20 | 0x7f => write_decimal(byte, out),
            _ => out.push(byte),
        }
    }
}

#[inline]
fn is_plain(byte: u8) -> bool {
    byte > 0x20 && byte != b'.' && byte != b'\\' && byte != 0x7f
}

/// `\DDD`.
pub(super) fn write_decimal(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[
        b'\\',
        b'0' + byte / 100,
        b'0' + byte / 10 % 10,
        b'0' + byte % 10,
    ]);
}

/// Appends the wire form of a name given as text, without compression. A
/// missing last dot is no matter; `""` and `"."` are the root.
///
/// # Errors
/// What is wrong with the text.
pub fn read_text(text: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let start = out.len();
    let mut size_at = start;
    out.push(0);
    let mut rest = text;
    if rest == b"." {
        return Ok(());
    }
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let byte = match byte {
            b'.' => {
                finish_label(out, size_at)?;
                size_at = out.len();
                out.push(0);
                continue;
            }
            b'\\' => {
                let (value, after) = unescape(rest)?;
                rest = after;
                value
            }
            byte => byte,
        };
        out.push(byte);
    }
    // Text that ended with a dot has its root already.
    if out.len() > size_at + 1 {
        finish_label(out, size_at)?;
        out.push(0);
    }
    if out.len() - start > MAX_NAME {
        return Err("domain name longer than 255 bytes");
    }
    Ok(())
}

fn finish_label(out: &mut [u8], size_at: usize) -> Result<(), &'static str> {
    let size = out.len() - size_at - 1;
    if size == 0 {
        return Err("empty label in domain name");
    }
    if size > MAX_LABEL {
        return Err("label longer than 63 bytes in domain name");
    }
    if let Some(place) = out.get_mut(size_at) {
        *place = size as u8;
    }
    Ok(())
}

/// The byte that follows a backslash: `DDD`, or itself.
fn unescape(text: &[u8]) -> Result<(u8, &[u8]), &'static str> {
    const BAD: &str = "bad escape in domain name";
    let (&first, rest) = text.split_first().ok_or(BAD)?;
    if !first.is_ascii_digit() {
        return Ok((first, rest));
    }
    let (digits, rest) = text.split_first_chunk::<3>().ok_or(BAD)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    let number = digits
        .iter()
        .fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Ok((u8::try_from(number).map_err(|_| BAD)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message whose names begin after the header.
    fn after_header(bytes: &[u8]) -> Vec<u8> {
        [&[0; HEADER][..], bytes].concat()
    }

    fn text(bytes: &[u8], at: usize) -> Result<String, FaultKind> {
        let mut out = Vec::new();
        write_text(&after_header(bytes), at, &mut out).map_err(|fault| fault.kind)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn labels_and_pointers_are_joined() {
        let bytes = b"\x03www\x07example\x00\x04mail\xc0\x10\xc0\x15";
        assert_eq!(text(bytes, 12), Ok("www.example.".into()));
        assert_eq!(text(bytes, 25), Ok("mail.example.".into()));
        // A pointer to a name that ends with a pointer.
        let chain = b"\x01a\x00\x01b\xc0\x0c\x01c\xc0\x0f";
        assert_eq!(text(chain, 19), Ok("c.b.a.".into()));
        assert_eq!(skip(&after_header(chain), 19), Ok(23));
        assert_eq!(text(b"\x00", 12), Ok(String::new()));
    }

    #[test]
    fn loops_forward_pointers_and_the_header_are_refused() {
        for (bytes, at) in [
            (&b"\xc0\x0c"[..], 12),              // itself
            (b"\x01a\xc0\x0c", 12),              // its own beginning
            (b"\xc0\x0e\x00", 12),               // forward
            (b"\x01a\xc0\x10\x01b\xc0\x0c", 16), // each the other
            (b"\xc0\x02\x00", 12),               // the header
        ] {
            assert_eq!(text(bytes, at), Err(FaultKind::Pointer), "{bytes:?}");
        }
    }

    #[test]
    fn overruns_unknown_labels_and_long_names_are_refused() {
        // Each pointer goes back, but there are too many.
        let mut chain = b"\x01a\x00\xc0\x0c".to_vec();
        for at in (15..).step_by(2).take(200) {
            chain.extend_from_slice(&(0xc000u16 | at).to_be_bytes());
        }
        assert_eq!(text(&chain, 15 + 2 * 127), Ok("a.".into()));
        assert_eq!(text(&chain, 15 + 2 * 128), Err(FaultKind::Pointer));
        assert_eq!(text(b"\x05abc", 12), Err(FaultKind::Truncated));
        assert_eq!(text(b"\x03abc", 12), Err(FaultKind::Truncated));
        assert_eq!(text(b"\x01a\xc0", 12), Err(FaultKind::Truncated));
        assert_eq!(text(b"\x41a\x00", 12), Err(FaultKind::Label));
        assert_eq!(text(b"\x80a\x00", 12), Err(FaultKind::Label));
        let longest = [
            [b"\x3f".as_slice(), &[b'x'; 63]].concat().repeat(3),
            b"\x3d".to_vec(),
            vec![b'y'; 61],
            vec![0],
        ]
        .concat();
        assert_eq!(text(&longest, 12).map(|text| text.len()), Ok(254));
        let longer = [
            [b"\x3f".as_slice(), &[b'x'; 63]].concat().repeat(4),
            vec![0],
        ]
        .concat();
        assert_eq!(text(&longer, 12), Err(FaultKind::LongName));
    }

    #[test]
    fn text_survives_the_way_there_and_back() {
        let wire = b"\x05a.b\\c\x04\x00 \xff\x7f\x01z\x00";
        let shown = text(wire, 12).expect("a good name");
        assert!(shown.starts_with("a\\.b\\\\c.\\000\\032"), "{shown}");
        let mut raw = Vec::new();
        write_text(&after_header(wire), 12, &mut raw).expect("a good name");
        let mut back = Vec::new();
        assert_eq!(read_text(&raw, &mut back), Ok(()));
        assert_eq!(back, wire);
    }

    #[test]
    fn bad_text_is_refused_with_its_reason() {
        let read = |text: &str| {
            let mut out = Vec::new();
            read_text(text.as_bytes(), &mut out).map(|()| out)
        };
        assert_eq!(read(""), Ok(vec![0]));
        assert_eq!(read("."), Ok(vec![0]));
        assert_eq!(read("a.b"), Ok(b"\x01a\x01b\x00".to_vec()));
        assert_eq!(read("a.b."), Ok(b"\x01a\x01b\x00".to_vec()));
        assert_eq!(read("a..b"), Err("empty label in domain name"));
        assert_eq!(read(".a"), Err("empty label in domain name"));
        assert_eq!(read("\\3"), Err("bad escape in domain name"));
        assert_eq!(read("\\999"), Err("bad escape in domain name"));
        assert_eq!(read("a\\"), Err("bad escape in domain name"));
        assert!(read(&"x".repeat(64)).is_err());
        assert!(read(&"abc.".repeat(64)).is_err());
    }
}

//! Fingerprints of hellos: JA3, JA3S and JA4.
//!
//! JA3 is a text of numbers and its MD5; JA4 is a readable head and two
//! truncated SHA-256 of sorted lists. All leave out the values of RFC 8701.
//! Of JA4+ only the client's fingerprint is here: the others are not free.

use std::fmt::Write;

use md5::{Digest, Md5};
use sha2::Sha256;

use super::hello::{ClientHello, ServerHello, extension, is_grease};

/// What carries the handshake: the first letter of JA4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    #[default]
    Tcp,
    Quic,
}

/// How many bytes of a SHA-256 JA4 shows, as twice as many digits.
const JA4_BYTES: usize = 6;
const JA4_NOTHING: &str = "000000000000";

/// `version,ciphers,extensions,groups,point formats`, numbers in decimal;
/// none for a hello in the form of SSL 2.0, which the rule does not know.
pub fn ja3_string(hello: &ClientHello) -> Option<String> {
    if hello.is_ssl2() {
        return None;
    }
    let mut text = hello.version().to_string();
    push_list(&mut text, hello.ciphers());
    push_list(&mut text, hello.extensions().map(|(number, _)| number));
    push_list(&mut text, hello.groups());
    push_list(
        &mut text,
        hello.point_formats().iter().copied().map(u16::from),
    );
    Some(text)
}

/// MD5 of [`ja3_string`].
pub fn ja3(hello: &ClientHello) -> Option<String> {
    ja3_string(hello).map(|text| md5_hex(&text))
}

/// `version,cipher,extensions` of the server's answer.
pub fn ja3s_string(hello: &ServerHello) -> String {
    let mut text = format!("{},{}", hello.version(), hello.cipher());
    push_list(&mut text, hello.extensions().map(|(number, _)| number));
    text
}

/// MD5 of [`ja3s_string`].
pub fn ja3s(hello: &ServerHello) -> String {
    md5_hex(&ja3s_string(hello))
}

/// MD5 as JA3 writes it.
pub fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text))
}

/// The client's fingerprint: carrier, version, server name or not, numbers of
/// ciphers and extensions, protocol; ciphers; extensions and signature
/// algorithms.
pub fn ja4(hello: &ClientHello, carrier: Carrier) -> String {
    let mut ciphers: Vec<u16> = hello.ciphers().filter(|&one| !is_grease(one)).collect();
    let mut extensions: Vec<u16> = hello
        .extensions()
        .map(|(number, _)| number)
        .filter(|&one| !is_grease(one))
        .collect();
    let [first, last] = ja4_protocol(hello.alpn().next().unwrap_or_default());
    let mut text = format!(
        "{}{}{}{:02}{:02}{first}{last}_",
        match carrier {
            Carrier::Tcp => 't',
            Carrier::Quic => 'q',
        },
        ja4_version(hello),
        if hello.extension(extension::SERVER_NAME).is_some() {
            'd'
        } else {
            'i'
        },
        ciphers.len().min(99),
        extensions.len().min(99),
    );
    ciphers.sort_unstable();
    push_ja4_hash(&mut text, &hex_list(ciphers));
    text.push('_');

    // The two that vary with the site visited are left out.
    extensions.retain(|one| ![extension::SERVER_NAME, extension::ALPN].contains(one));
    extensions.sort_unstable();
    let mut list = hex_list(extensions);
    let algorithms = hex_list(hello.signature_algorithms().filter(|&one| !is_grease(one)));
    if !algorithms.is_empty() {
        let _ = write!(list, "_{algorithms}");
    }
    push_ja4_hash(&mut text, &list);
    text
}

fn ja4_version(hello: &ClientHello) -> &'static str {
    let offered = hello.versions().filter(|&one| !is_grease(one)).max();
    match offered.unwrap_or(hello.version()) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character of a protocol's name, or of its digits where it
/// is no text.
fn ja4_protocol(name: &[u8]) -> [char; 2] {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return ['0', '0'];
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first.into(), last.into()];
    }
    [hex_digit(first >> 4), hex_digit(last & 0xf)]
}

fn push_ja4_hash(text: &mut String, list: &str) {
    if list.is_empty() {
        text.push_str(JA4_NOTHING);
        return;
    }
    let digest = Sha256::digest(list);
    push_hex(text, &digest[..JA4_BYTES]);
}

fn push_list(text: &mut String, numbers: impl Iterator<Item = u16>) {
    text.push(',');
    let mut separator = "";
    for number in numbers.filter(|&one| !is_grease(one)) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{number}");
        separator = "-";
    }
}

fn hex_list(numbers: impl IntoIterator<Item = u16>) -> String {
    let mut text = String::new();
    for number in numbers {
        if !text.is_empty() {
            text.push(',');
        }
        push_hex(&mut text, &number.to_be_bytes());
    }
    text
}

/// Lower-case digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push(hex_digit(byte >> 4));
        text.push(hex_digit(byte & 0xf));
    }
}

fn hex_digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_of_ja4_are_two_characters() {
        assert_eq!(ja4_protocol(b"h2"), ['h', '2']);
        assert_eq!(ja4_protocol(b"http/1.1"), ['h', '1']);
        assert_eq!(ja4_protocol(b"x"), ['x', 'x']);
        assert_eq!(ja4_protocol(b""), ['0', '0']);
        assert_eq!(ja4_protocol(b"\xab"), ['a', 'b']);
        assert_eq!(ja4_protocol(b"\x30\xab"), ['3', 'b']);
    }

    #[test]
    fn md5_is_written_in_digits() {
        assert_eq!(md5_hex(""), "d41d8cd98f00b204e9800998ecf8427e");
    }
}

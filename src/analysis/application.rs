//! Which application protocol a flow speaks, told by its first bytes.
//!
//! Only what can hardly be anything else is named: a port decides nothing
//! but where the bytes alone are ambiguous (DNS). A flow whose first bytes
//! say nothing has no name. A name needs no parser: HTTP/2 has none, nor has
//! what a build leaves out.

use super::announced;
use crate::proto::methods::METHODS;

/// Every name that is given to a flow.
pub const NAMES: &[&str] = &[
    "http",
    "http2",
    "dns",
    "tls",
    "quic",
    "smtp",
    "ftp",
    announced::NAME,
    "ssh",
];

/// Bytes of a direction that are enough to tell.
pub const ENOUGH: usize = 16;

/// An application protocol, as the first bytes of a direction tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Application {
    /// As in `app_proto`.
    pub name: &'static str,
    pub speaker: Speaker,
}

/// Which end says such bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    Client,
    Server,
    /// Both begin alike.
    Either,
}

/// Bytes of the shortest DNS message.
const DNS_HEADER: usize = 12;

/// Ports on which unknown words before a path are methods.
const HTTP_PORTS: [u16; 4] = [80, 8000, 8080, 3128];

/// Ports of control connections.
pub const FTP_PORTS: [u16; 1] = [21];
const SMTP_PORTS: [u16; 2] = [25, 587];

/// What a client of SMTP begins with, or goes on with.
const SMTP_WORDS: &[&[u8]] = &[b"EHLO ", b"HELO ", b"LHLO ", b"MAIL FROM:", b"RCPT TO:"];
const FTP_WORDS: &[&[u8]] = &[
    b"USER ", b"AUTH ", b"PASS ", b"FEAT", b"SYST", b"PASV", b"EPSV",
];

/// Names the protocol of a TCP stream by the first bytes of one direction.
pub fn of_stream(start: &[u8], ports: [u16; 2]) -> Option<Application> {
    let on = |any: &[u16]| any.iter().any(|port| ports.contains(port));
    if let Some(http) = http(start, on(&HTTP_PORTS)) {
        return Some(http);
    }
    let (name, speaker) = match start {
        [b'S', b'S', b'H', b'-', ..] => ("ssh", Speaker::Either),
        // A handshake record of SSL 3.0 to TLS 1.3 with a hello in it.
        [0x16, 3, 0..=4, _, _, 1, ..] => ("tls", Speaker::Client),
        [0x16, 3, 0..=4, _, _, 2, ..] => ("tls", Speaker::Server),
        // The hello of SSL 2.0 (RFC 5246, E.2).
        [0x80..=0xff, _, 1, 3, 0..=4, ..] | [0x80..=0xff, _, 1, 0, 2, ..] => {
            ("tls", Speaker::Client)
        }
        [b'P', b'R', b'I', b' ', b'*', ..] => ("http2", Speaker::Client),
        // A reply (RFC 959, 4.2; RFC 5321, 4.2): its code says no more.
        [b'1'..=b'5', tens, units, b' ' | b'-', ..]
            if tens.is_ascii_digit() && units.is_ascii_digit() =>
        {
            match () {
                () if on(&FTP_PORTS) => ("ftp", Speaker::Server),
                () if on(&SMTP_PORTS) => ("smtp", Speaker::Server),
                () => return None,
            }
        }
        _ if starts_with_any_case(start, SMTP_WORDS) => ("smtp", Speaker::Client),
        _ if on(&FTP_PORTS) && starts_with_any_case(start, FTP_WORDS) => ("ftp", Speaker::Client),
        [_, _, message @ ..] if on(&[53]) && is_dns(message) => ("dns", dns_speaker(message)),
        _ => return None,
    };
    Some(Application { name, speaker })
}

/// Names the protocol of a UDP flow by a datagram.
pub fn of_datagram(payload: &[u8], ports: [u16; 2]) -> Option<Application> {
    const DNS: [u16; 3] = [53, 5353, 5355];
    // Damaged messages are DNS too: nothing else is at home on these ports.
    if DNS.iter().any(|port| ports.contains(port)) && payload.len() >= DNS_HEADER {
        return Some(Application {
            name: "dns",
            speaker: dns_speaker(payload),
        });
    }
    if is_quic(payload, ports.contains(&443)) {
        return Some(Application {
            name: "quic",
            speaker: Speaker::Either,
        });
    }
    http(payload, false)
}

fn http(start: &[u8], unknown_methods: bool) -> Option<Application> {
    let found = |speaker| {
        Some(Application {
            name: "http",
            speaker,
        })
    };
    if start.starts_with(b"HTTP/1.") {
        return found(Speaker::Server);
    }
    let space = start.iter().position(|&byte| byte == b' ')?;
    let (word, target) = (start.get(..space)?, start.get(space + 1..)?);
    let is_word = |word: &[u8]| {
        !word.is_empty()
            && word
                .iter()
                .all(|byte| byte.is_ascii_uppercase() || *byte == b'-')
    };
    let known = METHODS.iter().any(|method| method.as_bytes() == word);
    match known || unknown_methods && is_word(word) && target.starts_with(b"/") {
        true => found(Speaker::Client),
        false => None,
    }
}

/// A QUIC long header (RFC 9000, 17.2) of version 1, 2 or a late draft; other
/// versions only on the port.
fn is_quic(payload: &[u8], on_port: bool) -> bool {
    let Some(&[first, v0, v1, v2, v3, connection_id]) = payload.first_chunk() else {
        return false;
    };
    let version = u32::from_be_bytes([v0, v1, v2, v3]);
    let known = matches!(version, 1 | 0x6b33_43cf | 0xff00_001b..=0xff00_0022);
    let long = first & 0xc0 == 0xc0;
    long && connection_id <= 20 && (known || on_port && version != 0)
}

fn dns_speaker(message: &[u8]) -> Speaker {
    match message.get(2).is_some_and(|flags| flags & 0x80 != 0) {
        true => Speaker::Server,
        false => Speaker::Client,
    }
}

/// A DNS header (RFC 1035, 4.1.1) with a known opcode and few questions.
fn is_dns(message: &[u8]) -> bool {
    match message {
        [_, _, flags, _, questions_high, questions, ..] => {
            matches!(flags >> 3 & 0xf, 0..=6) && *questions_high == 0 && *questions <= 16
        }
        _ => false,
    }
}

fn starts_with_any_case(start: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|word| {
        start
            .get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(start: &[u8], ports: [u16; 2]) -> Option<(&'static str, Speaker)> {
        of_stream(start, ports).map(|found| (found.name, found.speaker))
    }

    fn datagram(payload: &[u8], ports: [u16; 2]) -> Option<&'static str> {
        of_datagram(payload, ports).map(|found| found.name)
    }

    #[test]
    fn first_bytes_name_the_protocol_and_the_speaker() {
        use Speaker::{Client, Either, Server};
        for (start, ports, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], [1234, 8080], ("http", Client)),
            (b"HTTP/1.1 200 OK", [1234, 8080], ("http", Server)),
            (b"PROPPATCH /a HTT", [1234, 9000], ("http", Client)),
            (b"ODD /a HTTP/1.1", [1234, 80], ("http", Client)),
            (
                b"\x16\x03\x01\x02\x00\x01\x00",
                [1234, 443],
                ("tls", Client),
            ),
            (
                b"\x16\x03\x03\x02\x00\x02\x00",
                [443, 1234],
                ("tls", Server),
            ),
            (b"SSH-2.0-x", [1234, 2222], ("ssh", Either)),
            (b"ehlo host\r\n", [1234, 2525], ("smtp", Client)),
            (b"220 ready", [25, 1234], ("smtp", Server)),
            (b"220 ready", [21, 1234], ("ftp", Server)),
            (b"250-go on", [25, 1234], ("smtp", Server)),
            (b"mail from:<a>", [1234, 2525], ("smtp", Client)),
            (b"USER someone", [1234, 21], ("ftp", Client)),
        ] {
            assert_eq!(stream(start, ports), Some(expected), "{start:?}");
        }
    }

    #[test]
    fn bytes_that_could_be_anything_have_no_name() {
        for (start, ports) in [
            (&b"220 bytes"[..], [4000, 1234]),
            (b"", [80, 1234]),
            (b"USER someone", [4000, 110]),
            (b"2201 bytes", [4000, 25]),
            // A hello is told by its sixth byte.
            (b"\x16\x03\x01", [443, 1]),
        ] {
            assert_eq!(stream(start, ports), None, "{start:?}");
        }
        assert_eq!(
            datagram(b"\x00\x01\x01\x00\x00\x01\x00\x00", [4000, 9999]),
            None
        );
    }

    #[test]
    fn dns_needs_its_port_and_a_header() {
        let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";
        assert_eq!(datagram(query, [4000, 53]), Some("dns"));
        assert_eq!(datagram(b"\x12\x34\x79\x00\x00\x01", [4000, 53]), None);
        assert_eq!(datagram(query, [4000, 54]), None);
        assert_eq!(
            stream(b"\x00\x1c\x12\x34\x81\x00\x00\x01", [53, 4000]),
            Some(("dns", Speaker::Server))
        );
    }

    #[test]
    fn quic_shows_its_version() {
        let initial = |version: u32| {
            let mut packet = vec![0xc3];
            packet.extend(version.to_be_bytes());
            packet.extend([8; 20]);
            packet
        };
        assert_eq!(datagram(&initial(1), [4000, 9999]), Some("quic"));
        assert_eq!(datagram(&initial(0xff00_001d), [4000, 9999]), Some("quic"));
        assert_eq!(datagram(&initial(0x0a0a_0a0a), [4000, 443]), Some("quic"));
        assert_eq!(datagram(&initial(0x0a0a_0a0a), [4000, 9999]), None);
        assert_eq!(datagram(&[0x40; 20], [4000, 443]), None, "a short header");
    }
}

//! Which application protocol a flow speaks, told by its first bytes.
//!
//! Only what can hardly be anything else is named: a port decides nothing
//! but where the bytes alone are ambiguous (DNS). A flow whose first bytes
//! say nothing has no name.

/// Bytes of a direction that are enough to tell.
pub const ENOUGH: usize = 16;

const HTTP_METHODS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
    b"PATCH ",
    b"PROPFIND ",
    b"NOTIFY ",
    b"M-SEARCH ",
    b"HTTP/1.",
];

/// Names the protocol of a TCP stream by the first bytes of one direction.
pub fn of_stream(start: &[u8], ports: [u16; 2]) -> Option<&'static str> {
    if HTTP_METHODS.iter().any(|method| start.starts_with(method)) {
        return Some("http");
    }
    if start.starts_with(b"SSH-") {
        return Some("ssh");
    }
    match start {
        // A handshake record of SSL 3.0 to TLS 1.3 with a hello in it.
        [0x16, 3, 0..=4, _, _, 1 | 2, ..] => return Some("tls"),
        [b'P', b'R', b'I', b' ', b'*', ..] => return Some("http2"),
        _ => {}
    }
    if start.starts_with(b"220") || starts_with_any_case(start, &[b"EHLO ", b"HELO "]) {
        return match ports {
            _ if ports.contains(&21) => Some("ftp"),
            _ if ports.contains(&25) || ports.contains(&587) => Some("smtp"),
            _ if start.starts_with(b"220") => None,
            _ => Some("smtp"),
        };
    }
    let message = start.get(2..)?;
    (ports.contains(&53) && is_dns(message)).then_some("dns")
}

/// Names the protocol of a UDP flow by a datagram.
pub fn of_datagram(payload: &[u8], ports: [u16; 2]) -> Option<&'static str> {
    const DNS: [u16; 3] = [53, 5353, 5355];
    if DNS.iter().any(|port| ports.contains(port)) && is_dns(payload) {
        return Some("dns");
    }
    HTTP_METHODS
        .iter()
        .any(|method| payload.starts_with(method))
        .then_some("http")
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

    #[test]
    fn first_bytes_name_the_protocol() {
        assert_eq!(of_stream(b"GET / HTTP/1.1\r\n", [1234, 8080]), Some("http"));
        assert_eq!(of_stream(b"HTTP/1.1 200 OK", [1234, 8080]), Some("http"));
        assert_eq!(
            of_stream(b"\x16\x03\x01\x02\x00\x01\x00", [1234, 443]),
            Some("tls")
        );
        assert_eq!(of_stream(b"SSH-2.0-x", [1234, 2222]), Some("ssh"));
        assert_eq!(of_stream(b"ehlo host\r\n", [1234, 2525]), Some("smtp"));
        assert_eq!(of_stream(b"220 ready", [25, 1234]), Some("smtp"));
        assert_eq!(of_stream(b"220 ready", [21, 1234]), Some("ftp"));
    }

    #[test]
    fn bytes_that_could_be_anything_have_no_name() {
        assert_eq!(of_stream(b"220 bytes", [4000, 1234]), None);
        assert_eq!(of_stream(b"", [80, 1234]), None);
        assert_eq!(
            of_stream(b"\x16\x03\x01", [443, 1]),
            None,
            "a hello is told by its sixth byte"
        );
        assert_eq!(
            of_datagram(b"\x00\x01\x01\x00\x00\x01\x00\x00", [4000, 9999]),
            None
        );
    }

    #[test]
    fn dns_needs_its_port_and_a_plausible_header() {
        assert_eq!(
            of_datagram(b"\x12\x34\x01\x00\x00\x01\x00\x00", [4000, 53]),
            Some("dns")
        );
        assert_eq!(of_datagram(b"\x12\x34\x79\x00\x00\x01", [4000, 53]), None);
        assert_eq!(
            of_stream(b"\x00\x1c\x12\x34\x01\x00\x00\x01", [53, 4000]),
            Some("dns")
        );
    }
}

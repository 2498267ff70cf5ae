//! How far the body of a message reaches (RFC 9112, 6.3), and the sizes of
//! its chunks.
//!
//! A length that is no number, or none that a message can have, is an error;
//! two lengths are an ambiguity, noted on the head. Chunk extensions are
//! skipped; trailers are read as a head without a start line.

use super::anomaly::{Anomalies, Anomaly, Fault};
use super::head::{Head, is_blank};

/// Bytes that no body has: beyond what rules can count exactly.
const NO_LENGTH: u64 = 1 << 53;

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes.
    Length(u64),
    Chunked,
    /// Until the stream ends.
    UntilClose,
    /// Nothing behind this head is HTTP any more.
    Tunnel,
}

/// What a request was, as far as its answer's framing depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    #[default]
    Other,
    Head,
    Connect,
}

impl Asked {
    /// Reads the method of a request.
    pub fn of(request: &Head) -> Asked {
        match request.text(&request.start[0]) {
            b"HEAD" => Asked::Head,
            b"CONNECT" => Asked::Connect,
            _ => Asked::Other,
        }
    }
}

/// The status of a response as a number.
pub fn status(response: &Head) -> u16 {
    response
        .text(&response.start[1])
        .iter()
        .fold(0, |sum, digit| {
            sum * 10 + u16::from(digit.wrapping_sub(b'0') % 10)
        })
}

/// How a request's body ends. Ambiguities are added to `notes`.
///
/// # Errors
/// When a length cannot be one.
pub fn of_request(head: &Head, notes: &mut Anomalies) -> Result<Framing, Fault> {
    let (length, coded) = lengths(head, notes)?;
    if coded == Coded::Strangely {
        notes.add(Anomaly::TransferEncoding);
    }
    Ok(match (coded, length) {
        (Coded::Chunked, _) => Framing::Chunked,
        (_, Some(length)) => Framing::Length(length),
        (_, None) => Framing::None,
    })
}

/// How a response's body ends, to a request of the given kind.
///
/// # Errors
/// When a length cannot be one.
pub fn of_response(head: &Head, asked: Asked, notes: &mut Anomalies) -> Result<Framing, Fault> {
    let status = status(head);
    if status == 101 || asked == Asked::Connect && (200..300).contains(&status) {
        return Ok(Framing::Tunnel);
    }
    if asked == Asked::Head || status < 200 || status == 204 || status == 304 {
        return Ok(Framing::None);
    }
    let (length, coded) = lengths(head, notes)?;
    Ok(match (coded, length) {
        (Coded::Chunked, _) => Framing::Chunked,
        (Coded::Plain, Some(length)) => Framing::Length(length),
        // Some coding whose end only the stream tells.
        _ => Framing::UntilClose,
    })
}

/// What the Transfer-Encoding headers come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coded {
    Plain,
    /// `chunked` is the last coding, and is there once.
    Chunked,
    Strangely,
}

fn lengths(head: &Head, notes: &mut Anomalies) -> Result<(Option<u64>, Coded), Fault> {
    let mut length = None;
    for header in &head.headers {
        if !head
            .text(&header.name)
            .eq_ignore_ascii_case(b"content-length")
        {
            continue;
        }
        let own = number(head.text(&header.value)).map_err(|anomaly| Fault {
            anomaly,
            at: u64::from(header.value.start),
            field: "value",
        })?;
        if length.is_some_and(|other| other != own) {
            notes.add(Anomaly::DifferingLengths);
        }
        length = Some(own);
    }
    let coded = coding(head);
    if coded != Coded::Plain && length.is_some() {
        notes.add(Anomaly::BothLengths);
    }
    Ok((length, coded))
}

fn coding(head: &Head) -> Coded {
    let (mut chunked, mut last, mut any) = (0, false, false);
    let codings = head
        .values("transfer-encoding")
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
    for coding in codings {
        last = coding.eq_ignore_ascii_case(b"chunked");
        chunked += u32::from(last);
        any = true;
    }
    match (any, last, chunked) {
        (false, ..) => Coded::Plain,
        (true, true, 1) => Coded::Chunked,
        _ => Coded::Strangely,
    }
}

fn number(text: &[u8]) -> Result<u64, Anomaly> {
    if let [b'-', digits @ ..] = text
        && !digits.is_empty()
        && digits.iter().all(u8::is_ascii_digit)
    {
        return Err(Anomaly::NegativeLength);
    }
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(Anomaly::ContentLength);
    }
    text.iter().try_fold(0u64, |sum, digit| {
        let sum = sum * 10 + u64::from(digit - b'0');
        if sum < NO_LENGTH {
            Ok(sum)
        } else {
            Err(Anomaly::ContentLength)
        }
    })
}

/// What a chunked body has next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// The line is not over yet.
    More,
    /// So many bytes of data follow.
    Data(u64),
    /// The last chunk: trailers follow.
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the line end that closes a chunk's data.
    EndCr,
    EndLf,
    Size,
    SizeMore,
    Blank,
    Extension,
    SizeLf,
}

/// Reads the lines between the chunks of a body.
#[derive(Clone, Debug)]
pub struct ChunkLine {
    at: At,
    size: u64,
    /// Bytes of the line.
    len: u32,
}

impl ChunkLine {
    /// For the line before the first chunk, or one behind a chunk's data.
    pub fn new(first: bool) -> ChunkLine {
        ChunkLine {
            at: if first { At::Size } else { At::EndCr },
            size: 0,
            len: 0,
        }
    }

    /// Takes bytes up to the end of the line: how many, and what follows.
    ///
    /// # Errors
    /// At the first byte that cannot be there.
    pub fn feed(&mut self, bytes: &[u8], limit: u32) -> Result<(usize, Chunk), Fault> {
        for (number, &byte) in bytes.iter().enumerate() {
            self.len = self.len.saturating_add(1);
            if self.len > limit {
                return Err(self.fault(Anomaly::LineTooLong, "line"));
            }
            if let Some(next) = self.step(byte)? {
                return Ok((number + 1, next));
            }
        }
        Ok((bytes.len(), Chunk::More))
    }

    /// Bytes of the line so far.
    pub fn begun(&self) -> u64 {
        u64::from(self.len)
    }

    /// What is wrong if the stream ends here.
    pub fn cut(&self) -> Fault {
        match self.at {
            At::EndCr | At::EndLf => self.fault(Anomaly::ChunkEnd, "1"),
            _ => self.fault(Anomaly::ChunkLine, "size"),
        }
    }

    fn fault(&self, anomaly: Anomaly, field: &'static str) -> Fault {
        Fault {
            anomaly,
            at: u64::from(self.len.saturating_sub(1)),
            field,
        }
    }

    fn step(&mut self, byte: u8) -> Result<Option<Chunk>, Fault> {
        let line_over = Some(if self.size == 0 {
            Chunk::Last
        } else {
            Chunk::Data(self.size)
        });
        self.at = match (self.at, byte) {
            (At::EndCr, b'\r') => At::EndLf,
            (At::EndCr | At::EndLf, b'\n') => At::Size,
            (At::EndCr | At::EndLf, _) => return Err(self.fault(Anomaly::ChunkEnd, "1")),
            (At::Size | At::SizeMore, _) if byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                self.size = self.size * 16 + u64::from(digit);
                if self.size >= NO_LENGTH {
                    return Err(self.fault(Anomaly::ChunkOverflow, "size"));
                }
                At::SizeMore
            }
            (At::Size, _) => return Err(self.fault(Anomaly::ChunkLine, "size")),
            (At::SizeMore | At::Blank | At::Extension | At::SizeLf, b'\n') => return Ok(line_over),
            (At::SizeMore | At::Blank | At::Extension, b'\r') => At::SizeLf,
            (At::SizeMore | At::Blank, _) if is_blank(byte) => At::Blank,
            (At::SizeMore | At::Blank, b';') | (At::Extension, _) => At::Extension,
            _ => return Err(self.fault(Anomaly::ChunkLine, "3")),
        };
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::head::{Kind, Parser};
    use crate::proto::http::tests::LIMITS;

    fn head(kind: Kind, headers: &str) -> Head {
        let line = match kind {
            Kind::Request => "POST / HTTP/1.1\r\n",
            _ => "HTTP/1.1 200 OK\r\n",
        };
        let mut parser = Parser::new(kind);
        let text = format!("{line}{headers}\r\n");
        let done = parser.feed(text.as_bytes(), &LIMITS);
        assert_eq!(done, Ok((text.len(), true)));
        parser.take(kind)
    }

    fn request(headers: &str) -> (Result<Framing, Anomaly>, Option<Anomaly>) {
        let mut notes = Anomalies::default();
        let framing = of_request(&head(Kind::Request, headers), &mut notes);
        (framing.map_err(|fault| fault.anomaly), notes.take())
    }

    fn response(headers: &str, asked: Asked) -> (Result<Framing, Anomaly>, Option<Anomaly>) {
        let mut notes = Anomalies::default();
        let framing = of_response(&head(Kind::Response, headers), asked, &mut notes);
        (framing.map_err(|fault| fault.anomaly), notes.take())
    }

    #[test]
    fn lengths_of_requests() {
        use Framing::*;
        for (headers, framing, note) in [
            ("", None, Option::None),
            ("Content-Length: 5\r\n", Length(5), Option::None),
            ("content-length:005 \r\n", Length(5), Option::None),
            (
                "Content-Length: 5\r\nContent-Length: 5\r\n",
                Length(5),
                Option::None,
            ),
            (
                "Content-Length: 5\r\nContent-Length: 6\r\n",
                Length(6),
                Some(Anomaly::DifferingLengths),
            ),
            ("Transfer-Encoding: Chunked\r\n", Chunked, Option::None),
            (
                "Transfer-Encoding: gzip, chunked\r\n",
                Chunked,
                Option::None,
            ),
            (
                "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
                Chunked,
                Option::None,
            ),
            (
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                Chunked,
                Some(Anomaly::BothLengths),
            ),
            (
                "Transfer-Encoding: chunked, gzip\r\n",
                None,
                Some(Anomaly::TransferEncoding),
            ),
            (
                "Transfer-Encoding: chunked, chunked\r\n",
                None,
                Some(Anomaly::TransferEncoding),
            ),
            (
                "Transfer-Encoding: xchunked\r\n",
                None,
                Some(Anomaly::TransferEncoding),
            ),
        ] {
            assert_eq!(request(headers), (Ok(framing), note), "{headers:?}");
        }
    }

    #[test]
    fn lengths_that_are_none() {
        for (text, anomaly) in [
            ("x", Anomaly::ContentLength),
            ("", Anomaly::ContentLength),
            ("5, 5", Anomaly::ContentLength),
            ("+5", Anomaly::ContentLength),
            ("0x5", Anomaly::ContentLength),
            ("99999999999999999999", Anomaly::ContentLength),
            ("-5", Anomaly::NegativeLength),
            ("-", Anomaly::ContentLength),
        ] {
            let headers = format!("Content-Length: {text}\r\n");
            assert_eq!(request(&headers).0, Err(anomaly), "{text}");
        }
    }

    #[test]
    fn responses_depend_on_what_was_asked() {
        use Framing::*;
        assert_eq!(response("", Asked::Other).0, Ok(UntilClose));
        assert_eq!(
            response("Content-Length: 9\r\n", Asked::Other).0,
            Ok(Length(9))
        );
        assert_eq!(response("Content-Length: 9\r\n", Asked::Head).0, Ok(None));
        assert_eq!(response("", Asked::Connect).0, Ok(Tunnel));
        assert_eq!(
            response("Transfer-Encoding: gzip\r\n", Asked::Other).0,
            Ok(UntilClose)
        );
        for status in ["100", "204", "304", "199"] {
            let mut head = head(Kind::Response, "Content-Length: 9\r\n");
            let place = head.start[1].clone();
            head.raw[place.start as usize..place.end as usize].copy_from_slice(status.as_bytes());
            let framing = of_response(&head, Asked::Other, &mut Anomalies::default());
            assert_eq!(framing, Ok(None), "{status}");
        }
    }

    fn line(first: bool, text: &str) -> Result<(usize, Chunk), Anomaly> {
        let whole = ChunkLine::new(first)
            .feed(text.as_bytes(), 64)
            .map_err(|fault| fault.anomaly);
        // The same, byte by byte.
        let (mut parser, mut bytewise) = (ChunkLine::new(first), Ok((0, Chunk::More)));
        for (number, byte) in text.bytes().enumerate() {
            bytewise = match parser.feed(&[byte], 64) {
                Ok((_, Chunk::More)) => Ok((number + 1, Chunk::More)),
                Ok((_, chunk)) => Ok((number + 1, chunk)),
                Err(fault) => Err(fault.anomaly),
            };
            if !matches!(bytewise, Ok((_, Chunk::More))) {
                break;
            }
        }
        assert_eq!(whole, bytewise, "{text:?}");
        whole
    }

    #[test]
    fn chunk_lines() {
        for (first, text, expected) in [
            (true, "5\r\nhello", Ok((3, Chunk::Data(5)))),
            (true, "0A\n", Ok((3, Chunk::Data(10)))),
            (false, "\r\nfF\r\n", Ok((6, Chunk::Data(255)))),
            (true, "3 \t\r\n", Ok((5, Chunk::Data(3)))),
            (true, "3;name=\"value\"\r\n", Ok((16, Chunk::Data(3)))),
            (true, "3 ; x\r\n", Ok((7, Chunk::Data(3)))),
            (true, "000;x\r\n", Ok((7, Chunk::Last))),
            (true, "12", Ok((2, Chunk::More))),
            (true, "\r\n", Err(Anomaly::ChunkLine)),
            (true, "-5\r\n", Err(Anomaly::ChunkLine)),
            (true, "0x5\r\n", Err(Anomaly::ChunkLine)),
            (true, "5;a\rb", Err(Anomaly::ChunkLine)),
            (true, "FFFFFFFFFFFFFFFFF\r\n", Err(Anomaly::ChunkOverflow)),
            (false, "x5\r\n", Err(Anomaly::ChunkEnd)),
            (false, "\rx", Err(Anomaly::ChunkEnd)),
        ] {
            assert_eq!(line(first, text), expected, "{text:?}");
        }
        let long = format!("5;{}\r\n", "x".repeat(64));
        assert_eq!(line(true, &long), Err(Anomaly::LineTooLong));
    }
}

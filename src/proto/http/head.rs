//! The head of a message: its start line and headers, as offsets into a copy
//! of its bytes.
//!
//! The parser takes bytes as they come, cut anywhere, and is done at the
//! blank line. It reads each byte once, tells an error at the first byte that
//! makes it one, and keeps no more than the limits allow. What can be read in
//! two ways is noted on the head for a policy to decide.
//! Not here: what the headers say about the body (`framing`), edits (`edit`).

mod first_line;

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::anomaly::{Anomalies, Anomaly, Fault};

/// How long a head may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes in one line.
    pub line: u32,
    /// Bytes in the head.
    pub head: u32,
    /// Header lines.
    pub headers: u32,
    /// Requests without an answer.
    pub requests: u32,
    /// A folded line is never decided by the head alone: what follows waits
    /// for the answer of the other side, as in Haka.
    pub hold_folds: bool,
    /// A first line that begins like a request's is noted and taken as it
    /// is, for those who only watch.
    pub any_line: bool,
}

/// What a head begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
    /// Nothing: the trailers of a chunked body.
    Trailers,
}

/// Offsets into [`Head::raw`].
pub type Place = Range<u32>;

/// One header line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The whole line, its end included.
    pub line: Place,
    pub name: Place,
    /// Without the blanks around it.
    pub value: Place,
}

/// A head that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    /// The bytes, from the start line to the blank line.
    pub raw: Vec<u8>,
    /// Method, uri, version; or version, status, reason.
    pub start: [Place; 3],
    pub headers: Vec<Header>,
    /// Where the blank line begins.
    pub end: u32,
    /// Bytes skipped before the start line.
    pub skipped: u32,
    /// The start line is none: its last part is whatever stands behind the
    /// uri, `HTTP/` included.
    pub odd: bool,
    /// What can be read in two ways.
    pub anomalies: Anomalies,
}

impl Head {
    fn new(kind: Kind) -> Head {
        Head {
            kind,
            raw: Vec::new(),
            start: [0..0, 0..0, 0..0],
            headers: Vec::new(),
            end: 0,
            skipped: 0,
            odd: false,
            anomalies: Anomalies::default(),
        }
    }

    /// The bytes at a place.
    pub fn text(&self, place: &Place) -> &[u8] {
        self.raw
            .get(place.start as usize..place.end as usize)
            .unwrap_or_default()
    }

    /// The values of all headers with that name, in any case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |header| {
                self.text(&header.name)
                    .eq_ignore_ascii_case(name.as_bytes())
            })
            .map(|header| self.text(&header.value))
    }

    /// Whether one of the headers with that name lists `token`.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// How the lines of this head end.
    pub fn line_end(&self) -> &'static [u8] {
        let last = self.raw.get(self.end as usize..).unwrap_or_default();
        if last.first() == Some(&b'\n') {
            b"\n"
        } else {
            b"\r\n"
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum At {
    /// Before the start line: blank lines are skipped.
    Begin,
    BeginLf,
    Method,
    MethodBlank,
    Uri,
    UriBlank,
    /// So many letters of `HTTP/` were there.
    Protocol(u8),
    Major,
    MajorMore,
    Minor,
    MinorMore,
    VersionBlank,
    /// So many digits of the status were there.
    Status(u8),
    StatusEnd,
    StatusBlank,
    Reason,
    StartLf,
    /// In a first line that is none of a request, but taken.
    Odd,
    LineStart,
    Name,
    NameBlank,
    ValueBlank,
    Value,
    ValueLf,
    EndLf,
    /// A folded line that nobody may decide.
    Folded,
}

/// Reads one head.
#[derive(Clone, Debug)]
pub struct Parser {
    head: Head,
    at: At,
    /// Bytes of `raw` that were read.
    read: usize,
    /// Where the token under way began.
    token: u32,
    /// Where the line under way began.
    line: u32,
    name: Place,
    /// The line goes on the value of the one before.
    folding: bool,
    /// Bytes behind a folded line, which are not kept.
    passed: u64,
}

/// Characters of tokens (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Characters that end a method in Haka's grammar.
pub(super) fn ends_method(byte: u8) -> bool {
    b"()<>@,;:\\\"/[]?={} \t\r\n".contains(&byte)
}

/// Lines that most heads have room in.
const USUAL_HEADERS: usize = 12;

/// Where the first blank line ends; at the end if there is none.
fn behind_blank_line(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes)
        .find_map(|at| match bytes.get(at + 1..)? {
            [b'\n', ..] => Some(at + 2),
            [b'\r', b'\n', ..] => Some(at + 3),
            _ => None,
        })
        .unwrap_or(bytes.len())
}

pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

impl Parser {
    pub fn new(kind: Kind) -> Parser {
        let at = if kind == Kind::Trailers {
            At::LineStart
        } else {
            At::Begin
        };
        Parser {
            head: Head::new(kind),
            at,
            read: 0,
            token: 0,
            line: 0,
            name: 0..0,
            folding: false,
            passed: 0,
        }
    }

    /// Whether a message has begun.
    pub fn begun(&self) -> bool {
        !self.head.raw.is_empty()
    }

    /// Bytes of the head so far, from its first one.
    pub fn size(&self) -> u64 {
        self.head.raw.len() as u64 + self.passed
    }

    /// Takes bytes: how many belonged to the head, and whether it is done.
    ///
    /// # Errors
    /// At the first byte that no head can have.
    pub fn feed(&mut self, bytes: &[u8], limits: &Limits) -> Result<(usize, bool), Fault> {
        if self.at == At::Folded {
            self.passed += bytes.len() as u64;
            return Ok((bytes.len(), false));
        }
        let before = self.head.raw.len();
        let skipped = self.skip(bytes)?;
        // The body that may follow is not copied along.
        let rest = bytes.get(skipped..).unwrap_or_default();
        let (own, behind) = rest.split_at(behind_blank_line(rest));
        self.head.raw.extend_from_slice(own);
        let mut done = self.scan(limits)?;
        if !done && !behind.is_empty() {
            self.head.raw.extend_from_slice(behind);
            done = self.scan(limits)?;
        }
        if done {
            self.head.raw.truncate(self.read);
            return Ok((skipped + self.read - before, true));
        }
        if self.read > limits.head as usize {
            return Err(self.fault(Anomaly::HeadTooLong, self.read, "headers"));
        }
        Ok((bytes.len(), false))
    }

    /// The head, once it is done. The parser is new then.
    pub fn take(&mut self, next: Kind) -> Head {
        std::mem::replace(self, Parser::new(next)).head
    }

    /// What is wrong if the stream ends here, inside the message.
    pub fn cut(&self) -> Fault {
        let (anomaly, field) = match self.at {
            At::Begin | At::BeginLf | At::Method => (self.line_anomaly(), "method"),
            At::MethodBlank | At::Uri => (Anomaly::RequestLine, "uri"),
            At::UriBlank => (Anomaly::RequestLine, "4"),
            At::Protocol(_) | At::Major | At::MajorMore | At::Minor | At::MinorMore => {
                (Anomaly::Version, "version")
            }
            At::Status(_) => (Anomaly::Status, "status"),
            At::VersionBlank | At::StatusEnd | At::StatusBlank => (Anomaly::ResponseLine, "2"),
            At::Reason => (Anomaly::ResponseLine, "reason"),
            At::StartLf | At::Odd => (self.line_anomaly(), "6"),
            At::LineStart | At::Name | At::NameBlank => (Anomaly::Header, "name"),
            At::ValueBlank | At::Value | At::Folded => (Anomaly::Header, "value"),
            At::ValueLf | At::EndLf => (Anomaly::Header, "5"),
        };
        self.fault(anomaly, self.token as usize, field)
    }

    /// The bytes behind a fault, for those who look for it.
    pub fn from(&self, fault: &Fault) -> &[u8] {
        let at = fault.at.saturating_sub(u64::from(self.head.skipped));
        self.head.raw.get(at as usize..).unwrap_or_default()
    }

    fn line_anomaly(&self) -> Anomaly {
        match self.head.kind {
            Kind::Request => Anomaly::RequestLine,
            Kind::Response => Anomaly::ResponseLine,
            Kind::Trailers => Anomaly::Header,
        }
    }

    fn fault(&self, anomaly: Anomaly, at: usize, field: &'static str) -> Fault {
        Fault {
            anomaly,
            at: at as u64 + u64::from(self.head.skipped),
            field,
        }
    }

    /// Blank lines before a start line are no part of it (RFC 9112, 2.2).
    fn skip(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut used = 0;
        while matches!(self.at, At::Begin | At::BeginLf) {
            match (bytes.get(used), self.at) {
                (Some(b'\n'), _) => self.at = At::Begin,
                (Some(b'\r'), At::Begin) => self.at = At::BeginLf,
                (Some(_), At::BeginLf) => {
                    return Err(self.fault(self.line_anomaly(), 0, self.first_field()));
                }
                (None, _) => break,
                (Some(_), _) => {
                    self.at = match self.head.kind {
                        Kind::Response => At::Protocol(0),
                        _ => At::Method,
                    };
                    break;
                }
            }
            used += 1;
            self.head.skipped = self.head.skipped.saturating_add(1);
        }
        Ok(used)
    }

    fn first_field(&self) -> &'static str {
        if self.head.kind == Kind::Request {
            "method"
        } else {
            "1"
        }
    }

    /// Reads what is there; true at the end of the head.
    fn scan(&mut self, limits: &Limits) -> Result<bool, Fault> {
        while self.at != At::Folded {
            let rest = self.head.raw.get(self.read..).unwrap_or_default();
            // A token is passed at once; the byte behind it decides.
            let token = match self.at {
                At::Method => rest.iter().position(|&byte| ends_method(byte)),
                At::Uri => rest.iter().position(|byte| !byte.is_ascii_graphic()),
                At::Name => rest.iter().position(|&byte| byte == b':' || byte <= b' '),
                At::Value | At::Reason => memchr2(b'\r', b'\n', rest),
                At::Odd => memchr(b'\n', rest),
                _ => Some(0),
            };
            self.read += token.unwrap_or(rest.len());
            if self.read - self.line as usize > limits.line as usize {
                return Err(self.fault(Anomaly::LineTooLong, self.line as usize, "line"));
            }
            let Some(&byte) = self.head.raw.get(self.read) else {
                return Ok(false);
            };
            let here = self.read as u32;
            if self.step(byte, here, limits)? {
                self.read += 1;
                return Ok(true);
            }
            self.read += 1;
        }
        self.read = self.head.raw.len();
        Ok(false)
    }

    /// One byte that is not in the middle of a token; true at the end.
    fn step(&mut self, byte: u8, here: u32, limits: &Limits) -> Result<bool, Fault> {
        match self.head.kind {
            _ if self.at >= At::LineStart => self.header(byte, here, limits),
            Kind::Response => self.response_line(byte, here).map(|()| false),
            _ => match self.request_line(byte, here) {
                Err(fault) if limits.any_line && self.begins_like_a_request() => {
                    self.head.anomalies.add(fault.anomaly);
                    self.at = At::Odd;
                    if byte == b'\n' {
                        self.end_odd_line(here);
                    }
                    Ok(false)
                }
                done => done.map(|()| false),
            },
        }
    }

    fn goto(&mut self, at: At, token: u32) {
        self.at = at;
        self.token = token;
    }

    /// The line is over: at its LF, or at the CR before it.
    fn end_line(&mut self, byte: u8, here: u32, lf: At) {
        if byte == b'\n' {
            self.line = here + 1;
            self.goto(At::LineStart, here + 1);
        } else {
            self.goto(lf, here);
        }
    }

    fn header(&mut self, byte: u8, here: u32, limits: &Limits) -> Result<bool, Fault> {
        let wrong = |parser: &Parser, anomaly, field| {
            Err(parser.fault(anomaly, parser.token as usize, field))
        };
        match (self.at, byte) {
            (At::LineStart, b'\n') | (At::EndLf, b'\n') => {
                if self.at == At::LineStart {
                    self.head.end = here;
                }
                return Ok(true);
            }
            (At::LineStart, b'\r') => {
                self.head.end = here;
                self.goto(At::EndLf, here);
            }
            (At::LineStart, b' ' | b'\t') if !self.head.headers.is_empty() => {
                self.head.anomalies.add(Anomaly::ObsFold);
                self.folding = true;
                let at = if limits.hold_folds {
                    At::Folded
                } else {
                    At::ValueBlank
                };
                self.goto(at, here);
            }
            (At::LineStart, b':' | 0..=b' ') => return wrong(self, Anomaly::Header, "name"),
            (At::LineStart, _) => {
                if self.head.headers.len() >= limits.headers as usize {
                    return wrong(self, Anomaly::TooManyHeaders, "headers");
                }
                self.goto(At::Name, here);
            }
            (At::Name, b':') => self.end_name(here, here),
            (At::Name, b' ' | b'\t') => {
                self.name = self.token..here;
                self.goto(At::NameBlank, here);
            }
            (At::Name, b'\r' | b'\n') => return wrong(self, Anomaly::Header, "2"),
            // Other control characters are part of a name.
            (At::Name, _) => {}
            (At::NameBlank, b' ' | b'\t') => {}
            (At::NameBlank, b':') => {
                self.head.anomalies.add(Anomaly::SpaceBeforeColon);
                let end = self.name.end;
                self.token = self.name.start;
                self.end_name(end, here);
            }
            (At::NameBlank, _) => return wrong(self, Anomaly::Header, "2"),
            (At::ValueBlank, b' ' | b'\t') => self.token = here + 1,
            (At::ValueBlank | At::Value, b'\r' | b'\n') => {
                self.end_value(here);
                self.end_header(byte, here);
            }
            (At::ValueBlank, _) => self.goto(At::Value, here),
            (At::ValueLf, b'\n') => self.end_header(byte, here),
            (At::ValueLf | At::EndLf, _) => return wrong(self, Anomaly::BareCr, "5"),
            _ => return wrong(self, Anomaly::Header, "name"),
        }
        Ok(false)
    }

    fn end_name(&mut self, end: u32, colon: u32) {
        self.name = self.token..end;
        let name = self.head.text(&self.name);
        if name.iter().any(|byte| !byte.is_ascii_graphic()) {
            self.head.anomalies.add(Anomaly::HeaderName);
        }
        self.folding = false;
        self.goto(At::ValueBlank, colon + 1);
    }

    fn end_value(&mut self, here: u32) {
        let text = self.head.text(&(self.token..here));
        let blanks = text
            .iter()
            .rev()
            .take_while(|&&byte| is_blank(byte))
            .count();
        if text.contains(&0) {
            self.head.anomalies.add(Anomaly::NulInHeader);
        }
        let value = self.token..here - blanks as u32;
        if self.head.headers.is_empty() {
            self.head.headers.reserve(USUAL_HEADERS);
        }
        match self.head.headers.last_mut() {
            Some(folded) if self.folding => folded.value.end = value.end.max(folded.value.end),
            _ => self.head.headers.push(Header {
                line: self.line..here,
                name: self.name.clone(),
                value,
            }),
        }
    }

    fn end_header(&mut self, byte: u8, here: u32) {
        if let (b'\n', Some(header)) = (byte, self.head.headers.last_mut()) {
            header.line.end = here + 1;
        }
        self.end_line(byte, here, At::ValueLf);
    }
}

//! A message as rules see it: its head with what they changed, and the
//! changes as edits of the bytes it came as.
//!
//! Changed values stand beside the head until the event is over; then
//! [`Message::edits`] says which bytes of the stream become which. Everything
//! a rule writes is checked here, so that no value can end its line.

use super::anomaly::Anomalies;
use super::coding::Decoder;
use super::framing::Framing;
use super::head::{Head, Kind, ends_method, is_blank};

/// Why a value was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no method, uri, version, status or reason.
    Field,
    HeaderName,
    HeaderValue,
    /// The head has left already.
    Sent,
    /// There are more headers than a message may have.
    Full,
    /// What listeners get of the body is not what leaves.
    Decoded,
}

/// Bytes of the head that become others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Offset in the head.
    pub at: u32,
    /// Bytes that are replaced.
    pub len: u32,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Value(Box<[u8]>),
    Removed,
}

/// Headers that rules may add to one message.
const MAX_ADDED: usize = 256;

/// Name and value of a header line that a rule added.
type Added = (Box<[u8]>, Box<[u8]>);

/// A request or response.
#[derive(Clone, Debug)]
pub struct Message {
    /// Tells it from all others of its connection.
    pub serial: u32,
    pub head: Head,
    pub framing: Framing,
    /// Ambiguities that nobody has decided yet.
    pub open: Anomalies,
    /// The trailers of a chunked body, once they came.
    pub trailers: Option<Head>,
    /// Whoever gets it asked by HTTP/1.0, which has no chunks.
    pub for_old: bool,
    /// Rules may change the size of the body, which goes out in chunks.
    pub resized: bool,
    /// Listeners get the body without its codings.
    pub decoded: bool,
    /// The head was judged: it cannot change any more.
    pub sent: bool,
    fields: [Option<Box<[u8]>>; 3],
    changes: Vec<Option<Change>>,
    added: Vec<Added>,
}

impl Message {
    pub fn new(serial: u32, head: Head, framing: Framing, open: Anomalies) -> Message {
        Message {
            serial,
            head,
            framing,
            open,
            trailers: None,
            for_old: false,
            resized: false,
            decoded: false,
            sent: false,
            fields: [None, None, None],
            changes: Vec::new(),
            added: Vec::new(),
        }
    }

    /// Method, uri, version; or version, status, reason.
    pub fn field(&self, number: usize) -> Option<&[u8]> {
        let place = self.head.start.get(number)?;
        let changed = self.fields.get(number)?.as_deref();
        Some(changed.unwrap_or_else(|| self.head.text(place)))
    }

    /// # Errors
    /// When the value is none for that field.
    pub fn set_field(&mut self, number: usize, value: &[u8]) -> Result<(), Refusal> {
        self.check_open()?;
        if !is_field(self.head.kind, number, value) {
            return Err(Refusal::Field);
        }
        if let Some(field) = self.fields.get_mut(number) {
            *field = Some(value.into());
        }
        Ok(())
    }

    /// Header lines, the added ones last.
    pub fn count(&self) -> usize {
        let removed = self
            .changes
            .iter()
            .filter(|change| **change == Some(Change::Removed));
        self.head.headers.len() - removed.count() + self.added.len()
    }

    /// Name and value of a header line by its place among those that are left.
    pub fn header(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.lines().nth(index)
    }

    /// The value of the first header with that name, in any case.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        if self.changes.is_empty() && self.added.is_empty() {
            return self
                .head
                .headers
                .iter()
                .find(|header| self.head.text(&header.name).eq_ignore_ascii_case(name))
                .map(|header| self.head.text(&header.value));
        }
        self.lines()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let own = self
            .head
            .headers
            .iter()
            .enumerate()
            .filter_map(|(number, header)| {
                let name = self.head.text(&header.name);
                match self.changes.get(number) {
                    Some(Some(Change::Removed)) => None,
                    Some(Some(Change::Value(value))) => Some((name, &**value)),
                    _ => Some((name, self.head.text(&header.value))),
                }
            });
        own.chain(self.added.iter().map(|(name, value)| (&**name, &**value)))
    }

    /// The first header with that name, in any case: its place in the head,
    /// or behind it.
    fn find(&self, name: &[u8]) -> Option<usize> {
        let headers = &self.head.headers;
        let own = headers.iter().enumerate().position(|(number, header)| {
            !matches!(self.changes.get(number), Some(Some(Change::Removed)))
                && self.head.text(&header.name).eq_ignore_ascii_case(name)
        });
        own.or_else(|| {
            let added = self
                .added
                .iter()
                .position(|(own, _)| own.eq_ignore_ascii_case(name))?;
            Some(headers.len() + added)
        })
    }

    /// Changes the first header with that name, or adds one.
    ///
    /// # Errors
    /// When name or value cannot stand in a header.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        self.check_header(name, value)?;
        let Some(at) = self.find(name) else {
            return self.add(name, value);
        };
        match at.checked_sub(self.head.headers.len()) {
            Some(added) => {
                if let Some(line) = self.added.get_mut(added) {
                    line.1 = value.into();
                }
            }
            None => self.change(at, Change::Value(value.into())),
        }
        Ok(())
    }

    /// Adds a header behind all others.
    ///
    /// # Errors
    /// As [`Message::set`], and when there are too many.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        self.check_header(name, value)?;
        if self.added.len() >= MAX_ADDED {
            return Err(Refusal::Full);
        }
        self.added.push((name.into(), value.into()));
        Ok(())
    }

    /// Removes the first header with that name. False if there is none.
    ///
    /// # Errors
    /// When the head has left already.
    pub fn remove(&mut self, name: &[u8]) -> Result<bool, Refusal> {
        self.check_open()?;
        let Some(at) = self.find(name) else {
            return Ok(false);
        };
        match at.checked_sub(self.head.headers.len()) {
            Some(added) => {
                self.added.remove(added);
            }
            None => self.change(at, Change::Removed),
        }
        Ok(true)
    }

    /// Lets rules change the size of the body: its end is told by chunks from
    /// now on, or by that of the connection where chunks are not understood
    /// (RFC 9112, 6.1). A body without an end of its own, or none at all, needs
    /// nothing.
    ///
    /// # Errors
    /// When the head has left already.
    pub fn resize(&mut self) -> Result<(), Refusal> {
        self.check_open()?;
        if self.decoded {
            return Err(Refusal::Decoded);
        }
        match self.framing {
            Framing::Length(_) if self.for_old && self.is_last() => {
                while self.remove(b"Content-Length")? {}
                return Ok(());
            }
            Framing::Length(_) => {
                while self.remove(b"Content-Length")? {}
                self.set(b"Transfer-Encoding", b"chunked")?;
            }
            // The other length would be wrong as well.
            Framing::Chunked => while self.remove(b"Content-Length")? {},
            _ => return Ok(()),
        }
        self.resized = true;
        Ok(())
    }

    /// Lets listeners see the body without its codings. False where it has
    /// none, or one that is not known.
    ///
    /// # Errors
    /// When the head has left already, or the body's size may change.
    pub fn decode(&mut self) -> Result<bool, Refusal> {
        self.check_open()?;
        if self.resized {
            return Err(Refusal::Decoded);
        }
        self.decoded = Decoder::of(&self.head, 0).is_some();
        Ok(self.decoded)
    }

    /// Whether this request came by HTTP/1.0.
    pub fn is_old(&self) -> bool {
        self.head.text(&self.head.start[2]) == b"1.0"
    }

    /// Whether its sender closes the connection behind it (RFC 9112, 9.3).
    fn is_last(&self) -> bool {
        let mut options = self
            .head
            .values("connection")
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii);
        match self.head.text(&self.head.start[0]) {
            b"1.0" => !options.any(|option| option.eq_ignore_ascii_case(b"keep-alive")),
            _ => options.any(|option| option.eq_ignore_ascii_case(b"close")),
        }
    }

    fn change(&mut self, at: usize, change: Change) {
        if self.changes.len() <= at {
            self.changes.resize(at + 1, None);
        }
        if let Some(own) = self.changes.get_mut(at) {
            *own = Some(change);
        }
    }

    fn check_open(&self) -> Result<(), Refusal> {
        if self.sent {
            Err(Refusal::Sent)
        } else {
            Ok(())
        }
    }

    fn check_header(&self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        self.check_open()?;
        let part_of_name = |byte: &u8| *byte > b' ' && *byte != b':' && *byte != 0x7f;
        if name.is_empty() || !name.iter().all(part_of_name) {
            return Err(Refusal::HeaderName);
        }
        if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(Refusal::HeaderValue);
        }
        Ok(())
    }

    /// What becomes of the head's bytes, in the order of their places.
    pub fn edits(&self) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (place, value) in self.head.start.iter().zip(&self.fields) {
            let Some(value) = value else { continue };
            let mut bytes = Vec::with_capacity(value.len() + 1);
            let before = place.start.checked_sub(1).map(|at| at..place.start);
            // A status line may end behind the status.
            if before.is_some_and(|before| !ends_field(self.head.text(&before))) {
                bytes.push(b' ');
            }
            bytes.extend_from_slice(value);
            edits.push(Edit {
                at: place.start,
                len: place.end - place.start,
                bytes,
            });
        }
        for (header, change) in self.head.headers.iter().zip(&self.changes) {
            match change {
                None => {}
                Some(Change::Removed) => edits.push(Edit {
                    at: header.line.start,
                    len: header.line.end - header.line.start,
                    bytes: Vec::new(),
                }),
                Some(Change::Value(value)) => {
                    let place = &header.value;
                    let tight = self.head.text(&(place.start - 1..place.start)) == b":";
                    let mut bytes = if tight { vec![b' '] } else { Vec::new() };
                    bytes.extend_from_slice(value);
                    edits.push(Edit {
                        at: place.start,
                        len: place.end - place.start,
                        bytes,
                    });
                }
            }
        }
        if !self.added.is_empty() {
            let mut bytes = Vec::new();
            for (name, value) in &self.added {
                bytes.extend_from_slice(name);
                bytes.extend_from_slice(b": ");
                bytes.extend_from_slice(value);
                bytes.extend_from_slice(self.head.line_end());
            }
            edits.push(Edit {
                at: self.head.end,
                len: 0,
                bytes,
            });
        }
        edits
    }
}

fn ends_field(byte: &[u8]) -> bool {
    byte.iter().all(|&byte| is_blank(byte) || byte == b'/')
}

/// Whether a value may stand in a start line.
fn is_field(kind: Kind, number: usize, value: &[u8]) -> bool {
    let is_version = || {
        let mut parts = value.split(|&byte| byte == b'.');
        let mut digits = || {
            parts
                .next()
                .is_some_and(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
        };
        digits() && digits() && parts.next().is_none()
    };
    match (kind, number) {
        (Kind::Request, 0) => {
            !value.is_empty() && value.iter().all(|&byte| byte > b' ' && !ends_method(byte))
        }
        (Kind::Request, 1) => !value.is_empty() && value.iter().all(u8::is_ascii_graphic),
        (Kind::Request, 2) | (Kind::Response, 0) => is_version(),
        (Kind::Response, 1) => value.len() == 3 && value.iter().all(u8::is_ascii_digit),
        (Kind::Response, 2) => !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::head::Parser;
    use crate::proto::http::tests::LIMITS;

    fn message(kind: Kind, text: &str) -> Message {
        let mut parser = Parser::new(kind);
        assert_eq!(
            parser.feed(text.as_bytes(), &LIMITS),
            Ok((text.len(), true))
        );
        Message::new(
            1,
            parser.take(kind),
            Framing::Length(5),
            Anomalies::default(),
        )
    }

    fn request() -> Message {
        message(
            Kind::Request,
            "GET /a HTTP/1.1\r\nHost: b\r\nX:1\r\nx: 2\r\nEmpty:\r\n\r\n",
        )
    }

    /// The head as it leaves.
    fn applied(message: &Message) -> String {
        let mut bytes = message.head.raw.clone();
        for edit in message.edits().iter().rev() {
            let at = edit.at as usize;
            bytes.splice(at..at + edit.len as usize, edit.bytes.iter().copied());
        }
        String::from_utf8(bytes).expect("these heads are text")
    }

    #[test]
    fn an_untouched_head_has_no_edits() {
        assert_eq!(request().edits(), []);
    }

    #[test]
    fn fields_and_headers_change_in_place() {
        let mut message = request();
        message.set_field(0, b"POST").expect("a method");
        message.set_field(1, b"/longer").expect("a uri");
        message.set_field(2, b"1.0").expect("a version");
        message.set(b"HOST", b"c").expect("a header");
        message.set(b"x", b"one").expect("a header");
        message.set(b"empty", b"full").expect("a header");
        message.set(b"New", b"n").expect("a header");
        message.set(b"new", b"newer").expect("a header");
        assert_eq!(message.value(b"new"), Some(&b"newer"[..]));
        assert_eq!(
            applied(&message),
            "POST /longer HTTP/1.0\r\nHost: c\r\nX: one\r\nx: 2\r\nEmpty: full\r\nNew: newer\r\n\r\n"
        );
    }

    #[test]
    fn the_first_of_several_is_removed_then_the_next() {
        let mut message = request();
        assert_eq!(message.remove(b"x"), Ok(true));
        assert_eq!(message.value(b"X"), Some(&b"2"[..]));
        assert_eq!(message.count(), 3);
        assert_eq!(message.header(1), Some((&b"x"[..], &b"2"[..])));
        assert_eq!(message.remove(b"X"), Ok(true));
        assert_eq!(message.remove(b"X"), Ok(false));
        assert_eq!(
            applied(&message),
            "GET /a HTTP/1.1\r\nHost: b\r\nEmpty:\r\n\r\n"
        );
    }

    #[test]
    fn headers_come_into_a_head_without_any() {
        let mut message = message(Kind::Response, "HTTP/1.1 200\n\n");
        message.set_field(2, b"Fine so").expect("a reason");
        message.add(b"A", b"1").expect("a header");
        message.add(b"A", b"2").expect("a header");
        assert_eq!(message.count(), 2);
        assert_eq!(applied(&message), "HTTP/1.1 200 Fine so\nA: 1\nA: 2\n\n");
    }

    #[test]
    fn values_that_would_end_their_line_are_refused() {
        let mut message = request();
        for value in ["", "BAD METHOD", "G\r\n", "G(", "\u{1}"] {
            assert_eq!(message.set_field(0, value.as_bytes()), Err(Refusal::Field));
        }
        for value in ["", "/a b", "/\u{e9}", "/\n"] {
            assert_eq!(message.set_field(1, value.as_bytes()), Err(Refusal::Field));
        }
        for value in ["", "1", "1.", ".1", "1.1.1", "a.b", "1.1\r"] {
            assert_eq!(message.set_field(2, value.as_bytes()), Err(Refusal::Field));
        }
        assert_eq!(message.set(b"a", b"b\r\nc: d"), Err(Refusal::HeaderValue));
        assert_eq!(message.set(b"a b", b""), Err(Refusal::HeaderName));
        assert_eq!(message.add(b"", b""), Err(Refusal::HeaderName));
        assert_eq!(message.edits(), []);
        assert_eq!(message.field(0), Some(&b"GET"[..]));
        message.sent = true;
        assert_eq!(message.set_field(0, b"PUT"), Err(Refusal::Sent));
        assert_eq!(message.remove(b"Host"), Err(Refusal::Sent));
    }

    #[test]
    fn a_body_that_rules_resize_goes_out_in_chunks() {
        let mut last = message(
            Kind::Response,
            "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 5\r\n\r\n",
        );
        last.resize().expect("its head is open");
        assert_eq!(
            applied(&last),
            "HTTP/1.1 200 OK\r\nServer: s\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let mut kept = message(
            Kind::Response,
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\n",
        );
        kept.for_old = true;
        kept.resize().expect("its head is open");
        assert!(!kept.resized, "it ends with its connection");
        assert_eq!(
            applied(&kept),
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n"
        );
        let mut empty = message(
            Kind::Response,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        );
        empty.framing = Framing::None;
        empty.resize().expect("its head is open");
        assert!(!empty.resized);
        assert_eq!(empty.edits(), []);
    }
}

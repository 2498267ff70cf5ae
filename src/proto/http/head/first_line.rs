//! The first line of a head: method, uri and version, or version, status and
//! reason.
//!
//! Blanks between the parts may be several, as in Haka's grammar; a status
//! line may end behind the status.

use super::super::anomaly::{Anomaly, Fault};
use super::{At, Parser, is_blank, is_token};

const PROTOCOL: &[u8; 5] = b"HTTP/";
/// Letters of the shortest method.
const SHORTEST: usize = 3;

impl Parser {
    /// Whether there is a method, as people write it.
    pub(super) fn begins_like_a_request(&self) -> bool {
        let method = self.head.text(&self.head.start[0]);
        method.len() >= SHORTEST && method.iter().all(u8::is_ascii_uppercase)
    }

    /// Everything behind the uri stands for the version.
    pub(super) fn end_odd_line(&mut self, here: u32) {
        let from = self.head.start[0].end + 1;
        let line = self.head.text(&(from..here));
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end = from + line.len() as u32;
        let uri = line.iter().position(|&byte| is_blank(byte));
        let uri_end = uri.map_or(end, |at| from + at as u32);
        self.head.start[1] = from..uri_end;
        self.head.start[2] = (uri_end + 1).min(end)..end;
        self.head.odd = true;
        self.end_line(b'\n', here, At::StartLf);
    }

    pub(super) fn request_line(&mut self, byte: u8, here: u32) -> Result<(), Fault> {
        let wrong = |parser: &Parser, field| {
            Err(parser.fault(Anomaly::RequestLine, parser.token as usize, field))
        };
        match self.at {
            At::Method if here == self.token => return wrong(self, "method"),
            At::Method => {
                self.head.start[0] = self.token..here;
                let method = self.head.text(&self.head.start[0]);
                if !method.iter().all(|&byte| is_token(byte)) {
                    self.head.anomalies.add(Anomaly::Method);
                }
                self.goto(At::MethodBlank, here);
                if !is_blank(byte) {
                    return wrong(self, "2");
                }
            }
            At::MethodBlank if is_blank(byte) => {}
            At::MethodBlank => {
                self.goto(At::Uri, here);
                if !byte.is_ascii_graphic() {
                    return wrong(self, "uri");
                }
            }
            At::Uri => {
                self.head.start[1] = self.token..here;
                self.goto(At::UriBlank, here);
                if !is_blank(byte) {
                    return wrong(self, "4");
                }
            }
            At::UriBlank if is_blank(byte) => {}
            At::UriBlank => {
                self.goto(At::Protocol(0), here);
                return self.version(byte, here);
            }
            At::MinorMore if byte == b'\r' || byte == b'\n' => {
                self.head.start[2] = self.token..here;
                self.end_line(byte, here, At::StartLf);
            }
            At::MinorMore if !byte.is_ascii_digit() => {
                self.token = here;
                return wrong(self, "6");
            }
            At::StartLf if byte == b'\n' => self.end_line(byte, here, At::StartLf),
            At::StartLf => return wrong(self, "6"),
            At::Odd if byte == b'\n' => self.end_odd_line(here),
            At::Odd => {}
            _ => return self.version(byte, here),
        }
        Ok(())
    }

    pub(super) fn response_line(&mut self, byte: u8, here: u32) -> Result<(), Fault> {
        let wrong = |parser: &Parser, anomaly, field| {
            Err(parser.fault(anomaly, parser.token as usize, field))
        };
        let ends = byte == b'\r' || byte == b'\n';
        match self.at {
            At::MinorMore if !byte.is_ascii_digit() => {
                self.head.start[0] = self.token..here;
                self.goto(At::VersionBlank, here);
                if !is_blank(byte) {
                    return wrong(self, Anomaly::ResponseLine, "2");
                }
            }
            At::VersionBlank if is_blank(byte) => {}
            At::VersionBlank => {
                self.goto(At::Status(1), here);
                if !byte.is_ascii_digit() {
                    return wrong(self, Anomaly::Status, "status");
                }
            }
            At::Status(digits) if byte.is_ascii_digit() && digits < 2 => {
                self.at = At::Status(digits + 1);
            }
            At::Status(2) if byte.is_ascii_digit() => {
                self.head.start[1] = self.token..here + 1;
                self.head.start[2] = here + 1..here + 1;
                self.goto(At::StatusEnd, here + 1);
            }
            At::Status(_) => return wrong(self, Anomaly::Status, "status"),
            At::StatusEnd if is_blank(byte) => self.goto(At::StatusBlank, here),
            At::StatusBlank if is_blank(byte) => {}
            At::StatusEnd | At::StatusBlank if ends => {
                if self.at == At::StatusBlank {
                    self.head.start[2] = here..here;
                }
                self.end_line(byte, here, At::StartLf);
            }
            At::StatusEnd => return wrong(self, Anomaly::ResponseLine, "4"),
            At::StatusBlank => self.goto(At::Reason, here),
            At::Reason => {
                self.head.start[2] = self.token..here;
                self.end_line(byte, here, At::StartLf);
            }
            At::StartLf if byte == b'\n' => self.end_line(byte, here, At::StartLf),
            At::StartLf => return wrong(self, Anomaly::ResponseLine, "6"),
            _ => return self.version(byte, here),
        }
        Ok(())
    }

    /// `HTTP/`, digits, a dot, digits.
    fn version(&mut self, byte: u8, here: u32) -> Result<(), Fault> {
        let digit = byte.is_ascii_digit();
        self.at = match self.at {
            At::Protocol(4) if byte == b'/' => {
                self.token = here + 1;
                At::Major
            }
            At::Protocol(letters) if PROTOCOL.get(letters as usize) == Some(&byte) => {
                At::Protocol(letters + 1)
            }
            At::Major | At::MajorMore if digit => At::MajorMore,
            At::MajorMore if byte == b'.' => At::Minor,
            At::Minor | At::MinorMore if digit => At::MinorMore,
            at => {
                let field = if matches!(at, At::Protocol(_)) {
                    "1"
                } else {
                    "version"
                };
                return Err(self.fault(Anomaly::Version, self.token as usize, field));
            }
        };
        Ok(())
    }
}

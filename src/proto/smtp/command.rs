//! What a command line and a reply say.

use serde::Serialize;

use crate::proto::line;

/// A command as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Command {
    /// The verb, in the case it was sent.
    pub command: String,
    /// What follows it, if anything does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
}

impl Command {
    /// Reads a line without its end.
    pub fn of(text: &[u8]) -> Command {
        let (verb, parameter) = line::command_line(text);
        Command {
            command: line::text(verb),
            parameter: parameter.map(line::text),
        }
    }
}

/// A reply, all its lines together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The code of the last line.
    pub code: u16,
    /// The text behind the code of each line.
    pub lines: Vec<String>,
}

/// What a command asks for, as far as the rest of the session depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `EHLO` or `LHLO`: the answer lists extensions.
    Extensions,
    Greeting,
    Recipient,
    Data,
    /// A chunk, with or without `LAST`.
    Chunk,
    StartTls,
    Auth,
    /// The end of a mail is answered as a command is.
    Mail,
    Other,
}

impl Asked {
    /// What the line's verb asks for; `None` if it has no verb.
    pub fn of(text: &[u8]) -> Option<Asked> {
        let (verb, _) = line::command_line(text);
        if verb.is_empty() || !verb.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        const VERBS: [(&[u8], Asked); 8] = [
            (b"EHLO", Asked::Extensions),
            (b"LHLO", Asked::Extensions),
            (b"HELO", Asked::Greeting),
            (b"RCPT", Asked::Recipient),
            (b"DATA", Asked::Data),
            (b"BDAT", Asked::Chunk),
            (b"STARTTLS", Asked::StartTls),
            (b"AUTH", Asked::Auth),
        ];
        let known = VERBS
            .iter()
            .find(|(name, _)| verb.eq_ignore_ascii_case(name));
        Some(known.map_or(Asked::Other, |&(_, asked)| asked))
    }

    /// Nothing may follow the command before it is answered (RFC 2920, 3.1;
    /// RFC 3207, 4; RFC 4954, 4).
    pub fn is_awaited(self) -> bool {
        matches!(self, Asked::Data | Asked::StartTls | Asked::Auth)
    }
}

/// Whether a line begins with a verb of SMTP (RFC 5321, 4.1.1, and the
/// extensions that are in use).
pub fn is_known(text: &[u8]) -> bool {
    const VERBS: [&[u8]; 18] = [
        b"EHLO",
        b"HELO",
        b"LHLO",
        b"MAIL",
        b"RCPT",
        b"DATA",
        b"BDAT",
        b"RSET",
        b"VRFY",
        b"EXPN",
        b"HELP",
        b"NOOP",
        b"QUIT",
        b"AUTH",
        b"STARTTLS",
        b"ETRN",
        b"XCLIENT",
        b"XFORWARD",
    ];
    let (verb, _) = line::command_line(text);
    VERBS.iter().any(|known| verb.eq_ignore_ascii_case(known))
}

/// Size of a chunk and whether it is the mail's last: `BDAT size [LAST]`.
pub fn chunk(text: &[u8]) -> Option<(u64, bool)> {
    let (_, parameter) = line::command_line(text);
    let (size, last) = line::command_line(parameter?);
    if size.is_empty() || size.len() > 18 || !size.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = size
        .iter()
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match last {
        None | Some(b"") => Some((size, false)),
        Some(word) if word.eq_ignore_ascii_case(b"LAST") => Some((size, true)),
        Some(_) => None,
    }
}

/// A `BDAT` line with another size.
pub fn with_size(text: &[u8], bytes: u64) -> Vec<u8> {
    let digits = text.iter().position(u8::is_ascii_digit);
    let at = digits.unwrap_or(text.len());
    let (head, rest) = text.split_at(at);
    let behind = rest.iter().position(|byte| !byte.is_ascii_digit());
    let tail = behind.and_then(|at| rest.get(at..)).unwrap_or_default();
    [head, bytes.to_string().as_bytes(), tail].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_known_in_any_case() {
        assert_eq!(Asked::of(b"ehlo a"), Some(Asked::Extensions));
        assert_eq!(Asked::of(b"data"), Some(Asked::Data));
        assert_eq!(Asked::of(b"XCLIENT NAME=a"), Some(Asked::Other));
        assert_eq!(Asked::of(b""), None);
        assert_eq!(Asked::of(b"\x16\x03\x01"), None);
    }

    #[test]
    fn a_size_is_replaced_in_its_line() {
        assert_eq!(with_size(b"BDAT 86 LAST", 1200), b"BDAT 1200 LAST");
        assert_eq!(with_size(b"bdat 5", 0), b"bdat 0");
    }

    #[test]
    fn chunk_sizes_are_decimal() {
        assert_eq!(chunk(b"BDAT 86 LAST"), Some((86, true)));
        assert_eq!(chunk(b"bdat 0  last"), Some((0, true)));
        assert_eq!(chunk(b"BDAT 1000"), Some((1000, false)));
        for bad in [
            "BDAT",
            "BDAT -1",
            "BDAT 1 LAST x",
            "BDAT 0x10",
            "BDAT 9999999999999999999",
        ] {
            assert_eq!(chunk(bad.as_bytes()), None, "{bad}");
        }
    }
}

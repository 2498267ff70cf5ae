//! A message as it is sent, and as the rules are to make it.

use super::case::{Direction, Head};
use super::tshark::Read;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length,
    Chunked,
    UntilClose,
}

/// What rules are to do: the message says it in a header.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Where the token begins in the body.
    pub at: usize,
    pub len: usize,
    /// How much is written in its place.
    pub written: usize,
    /// Whether the rule asks for another size.
    pub resized: bool,
    pub head: Head,
}

#[derive(Clone, Debug)]
pub struct Message {
    direction: Direction,
    start: String,
    headers: Vec<String>,
    framing: Framing,
    body: Vec<u8>,
    pub order: Option<Order>,
}

/// Sizes of chunks; the last one has the rest.
const CHUNKS: [usize; 3] = [700, 1, 600];

impl Message {
    /// A body of that size, and maybe an order about it.
    pub fn new(
        direction: Direction,
        number: usize,
        framing: Framing,
        size: usize,
        order: Option<Order>,
    ) -> Message {
        let (start, own) = match direction {
            Direction::Up => (format!("POST /page/{number} HTTP/1.1"), "Host: server"),
            Direction::Down => (format!("HTTP/1.1 20{number} Here"), "Server: s"),
        };
        let letter = |at: usize| b'a' + ((at * 7 + number) % 26) as u8;
        Message {
            direction,
            start,
            headers: vec![own.to_owned(), format!("X-Extra: {number}")],
            framing,
            body: (0..size).map(letter).collect(),
            order,
        }
    }

    /// Makes the head longer.
    pub fn pad(&mut self, bytes: usize) {
        if let Some(last) = self.headers.last_mut() {
            last.extend(std::iter::repeat_n('-', bytes));
        }
    }

    /// What the other side says to it.
    pub fn plain(direction: Direction, number: usize) -> Message {
        let mut message = Message::new(direction, number, Framing::Length, 5, None);
        if direction == Direction::Up {
            message.start = format!("GET /page/{number} HTTP/1.1");
            message.body.clear();
        }
        message
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        let body = self.body();
        match self.framing {
            Framing::Length | Framing::UntilClose => bytes.extend(body),
            Framing::Chunked => {
                let mut rest = &body[..];
                for size in sizes(body.len()) {
                    let (chunk, behind) = rest.split_at(size);
                    bytes.extend(format!("{size:x}\r\n").bytes());
                    bytes.extend(chunk);
                    bytes.extend(b"\r\n");
                    rest = behind;
                }
                bytes.extend(b"0\r\n\r\n");
            }
        }
        bytes
    }

    /// For each byte of the body: its place in the message, and its chunk.
    pub fn wire_offsets(&self) -> Vec<(usize, usize)> {
        let mut at = self.head().len();
        if self.framing != Framing::Chunked {
            return (0..self.body.len())
                .map(|number| (at + number, 0))
                .collect();
        }
        let mut offsets = Vec::new();
        for (chunk, size) in sizes(self.body.len()).into_iter().enumerate() {
            at += format!("{size:x}\r\n").len();
            offsets.extend((at..at + size).map(|place| (place, chunk)));
            at += size + 2;
        }
        offsets
    }

    fn head(&self) -> Vec<u8> {
        let mut lines = vec![self.start.clone()];
        lines.extend(self.headers());
        (lines.join("\r\n") + "\r\n\r\n").into_bytes()
    }

    fn headers(&self) -> Vec<String> {
        let mut headers = self.headers.clone();
        if let Some(Order {
            at,
            len,
            written,
            resized,
            head,
        }) = self.order
        {
            let size = if resized { "resized" } else { "kept" };
            // Of one length, wherever the token is.
            headers.push(format!("X-Edit: {at:04} {len} {written} {size} {head:?}"));
        }
        match self.framing {
            Framing::Length if self.body.is_empty() => {}
            Framing::Length => headers.push(format!("Content-Length: {}", self.body.len())),
            Framing::Chunked => headers.push("Transfer-Encoding: chunked".to_owned()),
            Framing::UntilClose => headers.push("Connection: close".to_owned()),
        }
        headers
    }

    fn body(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        if let Some(Order { at, len, .. }) = self.order {
            body[at..at + len].fill(b'T');
            body[at] = b'#';
            body[at + len - 1] = b'#';
        }
        body
    }

    /// The message as the rules make it.
    pub fn edited(&self) -> Edited {
        let mut edited = Edited {
            direction: self.direction,
            start: self.start.clone(),
            headers: self.headers(),
            body: self.body(),
        };
        let Some(order) = self.order else {
            return edited;
        };
        let replaced = order.at..order.at + order.len;
        edited
            .body
            .splice(replaced, std::iter::repeat_n(b'R', order.written));
        match order.head {
            Head::Same => {}
            Head::Added => edited.headers.push("X-Added: by a rule".to_owned()),
            Head::Removed => edited.headers.retain(|line| !line.starts_with("X-Extra")),
            Head::StartLine => {
                edited.start = match self.direction {
                    Direction::Up => "POST /quite/another/page?of=rules HTTP/1.1".to_owned(),
                    Direction::Down => "HTTP/1.1 299 Elsewhere, as rules say".to_owned(),
                }
            }
        }
        if order.resized && self.framing == Framing::Length {
            edited
                .headers
                .retain(|line| !line.starts_with("Content-Length"));
            edited.headers.push("Transfer-Encoding: chunked".to_owned());
        }
        edited
    }
}

/// Start line, headers and body without its framing.
pub struct Edited {
    direction: Direction,
    start: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Edited {
    /// Adds what tshark is to read of it.
    pub fn read_into(self, read: &mut Read) {
        let mut words = self.start.splitn(3, ' ').skip(1).map(str::to_owned);
        match self.direction {
            Direction::Up => read.starts.extend(words.next()),
            Direction::Down => read.starts.extend(words),
        }
        read.headers.extend(self.headers);
        if !self.body.is_empty() {
            read.bodies
                .push(String::from_utf8(self.body).expect("text"));
        }
    }
}

fn sizes(body: usize) -> Vec<usize> {
    let rest = body - CHUNKS.iter().sum::<usize>();
    CHUNKS.into_iter().chain([rest]).collect()
}

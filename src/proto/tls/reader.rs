//! The record layer of one direction: finds handshake messages and alerts in
//! a stream, however records and segments cut it.
//!
//! Records of SSL 3.0 to TLS 1.3 (RFC 8446, 5.1) and the hello of SSL 2.0.
//! Messages are gathered in one buffer that never grows past [`LONGEST`];
//! those that nobody wants are passed over without being kept. What is
//! encrypted ends the reading: from then on a call costs one comparison.

/// The longest handshake message that is kept, in bytes of its body.
pub const LONGEST: usize = 64 << 10;

/// Bytes of a record's header.
const HEADER: usize = 5;
/// Bytes before the body of a handshake message.
const MESSAGE_HEADER: usize = 4;
/// The most that a record may announce: TLS 1.2 allows ciphertexts 2048
/// bytes of overhead (RFC 5246, 6.2.3).
const LONGEST_RECORD: u16 = (1 << 14) + 2048;
/// A hello has at least a version and a random value.
const SHORTEST_HELLO: usize = 34;
/// The parts of an SSL 2.0 hello that have a fixed size, and its challenge.
const SHORTEST_SSL2: usize = 9 + 16;

/// Types of handshake messages.
pub mod handshake {
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const CERTIFICATE: u8 = 11;
}

/// Types of records that are read; application data (23) ends the reading.
mod record {
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
    pub const HEARTBEAT: u8 = 24;
}

/// A set of handshake messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    pub const NONE: Kinds = Kinds(0);
    /// All that can be read.
    pub const ALL: Kinds = Kinds::NONE
        .with(handshake::CLIENT_HELLO)
        .with(handshake::SERVER_HELLO)
        .with(handshake::CERTIFICATE);

    /// The set and one more; only types below 32 can be in it.
    #[must_use]
    pub const fn with(self, kind: u8) -> Kinds {
        Kinds(self.0 | if kind < 32 { 1 << kind } else { 0 })
    }

    pub const fn has(self, kind: u8) -> bool {
        kind < 32 && self.0 & 1 << kind != 0
    }
}

/// Something whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A handshake message; its body is [`Reader::body`].
    Handshake {
        kind: u8,
        /// Version of the record that it began in.
        record_version: u16,
    },
    /// A client hello in the form of SSL 2.0, whole in [`Reader::body`].
    Ssl2Hello,
    Alert {
        level: u8,
        description: u8,
        record_version: u16,
    },
    Fault(Fault),
}

/// What no peer that speaks TLS sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A handshake message beyond [`LONGEST`] is passed over.
    TooLong { kind: u8, length: usize },
    /// No record begins where one must; nothing more is read.
    NoRecord { kind: u8, version: u16, length: u16 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between records, with so many bytes of the next header.
    Header(u8),
    /// Within a record, with so many bytes to come.
    Body(u16),
    /// Within a hello of SSL 2.0, with so many bytes to come.
    Ssl2(u16),
    Done,
}

/// Reads one direction.
#[derive(Clone, Debug)]
pub struct Reader {
    state: State,
    header: [u8; HEADER],
    wanted: Kinds,
    /// A hello or an alert was there: it is TLS.
    recognised: bool,
    /// Records may be encrypted from now on.
    ciphers_changed: bool,
    /// The message being gathered: header and body.
    message: Vec<u8>,
    /// Version of the record that the message began in.
    message_version: u16,
    /// The message was handed out and makes room.
    given: bool,
    /// Bytes of a message that nobody wants, still to come.
    skip: usize,
    /// Records that are whole, modulo its range.
    records: u32,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader::wanting(Kinds::ALL)
    }
}

impl Reader {
    /// A reader that keeps only some messages.
    pub fn wanting(wanted: Kinds) -> Reader {
        Reader::with_buffer(wanted, Vec::new())
    }

    /// The same over a buffer of an earlier one.
    pub fn with_buffer(wanted: Kinds, mut buffer: Vec<u8>) -> Reader {
        buffer.clear();
        Reader {
            state: State::Header(0),
            header: [0; HEADER],
            wanted,
            recognised: false,
            ciphers_changed: false,
            message: buffer,
            message_version: 0,
            given: false,
            skip: 0,
            records: 0,
        }
    }

    /// Gives its buffer back.
    pub fn into_buffer(self) -> Vec<u8> {
        self.message
    }

    /// From now on only these messages are kept.
    pub fn want(&mut self, wanted: Kinds) {
        self.wanted = wanted;
    }

    /// A hello or an alert has been seen.
    pub fn is_recognised(&self) -> bool {
        self.recognised
    }

    /// Nothing more will be found: the stream is no TLS, or is encrypted.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Something has begun and is not whole: a message that is wanted, or the
    /// header of a record.
    pub fn is_gathering(&self) -> bool {
        let within = match self.state {
            State::Header(have) => have > 0,
            State::Ssl2(_) => true,
            State::Body(_) | State::Done => false,
        };
        within || !self.given && !self.message.is_empty()
    }

    /// A record has begun and is not whole.
    pub fn is_within_record(&self) -> bool {
        matches!(self.state, State::Body(_))
    }

    /// How many records were whole so far, modulo its range: tells whether one
    /// ended since the last look.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Stops for good.
    pub fn stop(&mut self) {
        self.state = State::Done;
        self.message = Vec::new();
    }

    /// The body of the message last given.
    pub fn body(&self) -> &[u8] {
        match self.given {
            true => self.message.get(MESSAGE_HEADER..).unwrap_or_default(),
            false => &[],
        }
    }

    /// Reads on to the next whole item, or to the end of `bytes`; `bytes` is
    /// then what is left.
    pub fn read(&mut self, bytes: &mut &[u8]) -> Option<Item> {
        if std::mem::take(&mut self.given) {
            self.message.clear();
        }
        while !bytes.is_empty() {
            let item = match self.state {
                State::Header(have) => self.read_header(have, bytes),
                State::Body(left) => self.read_body(left, bytes),
                State::Ssl2(left) => self.read_ssl2(left, bytes),
                State::Done => {
                    *bytes = &[];
                    None
                }
            };
            if item.is_some() {
                return item;
            }
        }
        None
    }

    fn read_header(&mut self, have: u8, bytes: &mut &[u8]) -> Option<Item> {
        let start = usize::from(have);
        let taken = take(bytes, HEADER - start);
        self.header[start..start + taken.len()].copy_from_slice(taken);
        let have = start + taken.len();
        if have < HEADER {
            self.state = State::Header(have as u8);
            return None;
        }
        let [kind, major, minor, high, low] = self.header;
        let (version, length) = (
            u16::from_be_bytes([major, minor]),
            u16::from_be_bytes([high, low]),
        );
        let known = (record::CHANGE_CIPHER_SPEC..=record::HEARTBEAT).contains(&kind);
        if !known || major != 3 || length > LONGEST_RECORD {
            return self.no_record(kind, version, length);
        }
        let goes_on = match kind {
            record::HANDSHAKE => true,
            record::ALERT => length == 2 && !self.ciphers_changed,
            record::CHANGE_CIPHER_SPEC => {
                self.ciphers_changed = true;
                self.recognised
            }
            record::HEARTBEAT => self.recognised && !self.ciphers_changed,
            _ => false,
        };
        match (goes_on, length) {
            (false, _) => self.stop(),
            (true, 0) => self.state = State::Header(0),
            (true, _) => self.state = State::Body(length),
        }
        None
    }

    /// The header is none of a TLS record: perhaps a hello of SSL 2.0.
    fn no_record(&mut self, kind: u8, version: u16, length: u16) -> Option<Item> {
        if self.recognised {
            self.stop();
            return Some(Item::Fault(Fault::NoRecord {
                kind,
                version,
                length,
            }));
        }
        // Two bytes of length, the first with its highest bit set, the type
        // and the version (RFC 5246, E.2).
        let [high, low, kind, major, minor] = self.header;
        let length = u16::from_be_bytes([high & 0x7f, low]);
        let is_hello = high & 0x80 != 0
            && kind == handshake::CLIENT_HELLO
            && matches!((major, minor), (0, 2) | (3, 0..=4))
            && usize::from(length) >= SHORTEST_SSL2;
        if !is_hello {
            self.stop();
            return None;
        }
        self.message.extend([0; MESSAGE_HEADER]);
        self.message.extend([kind, major, minor]);
        self.state = State::Ssl2(length - 3);
        None
    }

    fn read_ssl2(&mut self, left: u16, bytes: &mut &[u8]) -> Option<Item> {
        let taken = take(bytes, left.into());
        self.message.extend_from_slice(taken);
        let left = left - taken.len() as u16;
        if left > 0 {
            self.state = State::Ssl2(left);
            return None;
        }
        self.state = State::Header(0);
        self.recognised = true;
        self.given = true;
        Some(Item::Ssl2Hello)
    }

    fn read_body(&mut self, left: u16, bytes: &mut &[u8]) -> Option<Item> {
        let mut here = &bytes[..bytes.len().min(left.into())];
        let before = here.len();
        let item = match self.header[0] {
            record::HANDSHAKE => self.read_handshake(&mut here),
            record::ALERT => self.read_alert(left, &mut here),
            _ => {
                here = &[];
                None
            }
        };
        let used = before - here.len();
        *bytes = &bytes[used..];
        if self.state != State::Done {
            self.state = match left - used as u16 {
                0 => {
                    self.records = self.records.wrapping_add(1);
                    State::Header(0)
                }
                left => State::Body(left),
            };
        }
        item
    }

    /// The two bytes of an alert may come one at a time; the first waits in
    /// the place of the record's length, which is known to be two.
    fn read_alert(&mut self, left: u16, here: &mut &[u8]) -> Option<Item> {
        let mut left = left;
        while let Some((&byte, rest)) = here.split_first() {
            *here = rest;
            if left == 2 {
                self.header[3] = byte;
                left = 1;
                continue;
            }
            let level = self.header[3];
            if !matches!(level, 1 | 2) {
                // No plain alert: levels are warning and fatal.
                self.stop();
                return None;
            }
            self.recognised = true;
            return Some(Item::Alert {
                level,
                description: byte,
                record_version: self.record_version(),
            });
        }
        None
    }

    fn read_handshake(&mut self, here: &mut &[u8]) -> Option<Item> {
        while !here.is_empty() {
            if self.skip > 0 {
                self.skip -= take(here, self.skip).len();
                continue;
            }
            let have = self.message.len();
            if have < MESSAGE_HEADER {
                if have == 0 {
                    self.message_version = self.record_version();
                }
                self.message
                    .extend_from_slice(take(here, MESSAGE_HEADER - have));
                if self.message.len() < MESSAGE_HEADER {
                    continue;
                }
                let fault = self.begin_message(here);
                if fault.is_some() || self.state == State::Done {
                    return fault;
                }
            } else {
                let missing = MESSAGE_HEADER + self.announced() - have;
                self.message.extend_from_slice(take(here, missing));
            }
            if self.message.len() >= MESSAGE_HEADER
                && self.message.len() == MESSAGE_HEADER + self.announced()
            {
                self.given = true;
                return Some(Item::Handshake {
                    kind: self.message[0],
                    record_version: self.message_version,
                });
            }
        }
        None
    }

    /// The header of a message is there: shall it be kept?
    fn begin_message(&mut self, here: &mut &[u8]) -> Option<Item> {
        let (kind, length) = (self.message[0], self.announced());
        let is_hello = matches!(kind, handshake::CLIENT_HELLO | handshake::SERVER_HELLO)
            && (SHORTEST_HELLO..=LONGEST).contains(&length);
        // A stream begins with a hello. Behind a change of ciphers there is
        // one more only after a HelloRetryRequest; all else is encrypted.
        if (!self.recognised || self.ciphers_changed) && !is_hello {
            let too_long = !self.recognised && kind == handshake::CLIENT_HELLO && length > LONGEST;
            *here = &[];
            self.stop();
            return too_long.then_some(Item::Fault(Fault::TooLong { kind, length }));
        }
        self.recognised = true;
        self.ciphers_changed = false;
        if self.wanted.has(kind) && length <= LONGEST {
            return None;
        }
        self.message.clear();
        self.skip = length;
        let fault = Item::Fault(Fault::TooLong { kind, length });
        self.wanted.has(kind).then_some(fault)
    }

    /// The length of the message's body, once its header is there.
    fn announced(&self) -> usize {
        match self.message[..] {
            [_, high, middle, low, ..] => {
                usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
            }
            _ => 0,
        }
    }

    fn record_version(&self) -> u16 {
        u16::from_be_bytes([self.header[1], self.header[2]])
    }
}

/// Takes up to so many bytes from the front.
fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(bytes.len().min(most));
    *bytes = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reader: &mut Reader, mut bytes: &[u8]) -> Vec<(Item, Vec<u8>)> {
        let mut found = Vec::new();
        while let Some(item) = reader.read(&mut bytes) {
            found.push((item, reader.body().to_vec()));
        }
        assert!(bytes.is_empty());
        found
    }

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 3, 1];
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn message(kind: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(&(length as u32).to_be_bytes()[1..]);
        bytes.extend(std::iter::repeat_n(7, length));
        bytes
    }

    const HELLO: Item = Item::Handshake {
        kind: handshake::CLIENT_HELLO,
        record_version: 0x0301,
    };

    #[test]
    fn a_message_spans_records_and_a_record_holds_messages() {
        let mut stream = Vec::new();
        let mut messages = message(1, 40);
        messages.extend(message(16, 3));
        messages.extend(message(11, 0));
        for part in messages.chunks(9) {
            stream.extend(record(22, part));
        }
        let found = all(&mut Reader::default(), &stream);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], (HELLO, vec![7; 40]));
        assert!(matches!(found[1].0, Item::Handshake { kind: 11, .. }));
        let one_by_one: Vec<_> = {
            let mut reader = Reader::default();
            stream
                .iter()
                .flat_map(|&byte| all(&mut reader, &[byte]))
                .collect()
        };
        assert_eq!(one_by_one, found);
    }

    #[test]
    fn what_is_encrypted_ends_the_reading() {
        let mut reader = Reader::default();
        let mut stream = record(22, &message(1, 40));
        stream.extend(record(20, b"\x01"));
        stream.extend(record(22, b"\x8a\x00\x01\x02\x03"));
        stream.extend(record(22, &message(1, 40)));
        assert_eq!(all(&mut reader, &stream).len(), 1);
        assert!(reader.is_done() && reader.is_recognised());
    }

    #[test]
    fn a_second_hello_follows_a_retry() {
        let mut stream = record(22, &message(1, 40));
        stream.extend(record(20, b"\x01"));
        stream.extend(record(22, &message(1, 50)));
        stream.extend(record(23, &message(1, 50)));
        assert_eq!(all(&mut Reader::default(), &stream).len(), 2);
    }

    #[test]
    fn alerts_are_read_until_they_are_encrypted() {
        let mut reader = Reader::default();
        let mut stream = record(21, b"\x02\x28");
        stream.extend(record(20, b"\x01"));
        stream.extend(record(21, b"\x02\x28"));
        let found = all(&mut reader, &stream);
        assert_eq!(found.len(), 1);
        assert!(matches!(
            found[0].0,
            Item::Alert {
                level: 2,
                description: 40,
                record_version: 0x0301
            }
        ));
        assert!(reader.is_done());
    }

    #[test]
    fn other_streams_are_let_go_at_once() {
        for stream in [
            &b"GET / HTTP/1.1"[..],
            b"\x16\x03\x01\x00\x04\x0b\0\0\0",
            b"\x17\x03\x03\x00\x01x",
            b"\x80\x03\x01\x03\x01",
        ] {
            let mut reader = Reader::default();
            assert_eq!(all(&mut reader, stream), []);
            assert!(reader.is_done() && !reader.is_recognised());
        }
    }

    #[test]
    fn a_stream_that_loses_its_records_is_told() {
        let mut stream = record(22, &message(1, 40));
        stream.extend(b"GET / HTTP/1.1");
        let found = all(&mut Reader::default(), &stream);
        assert!(matches!(
            found[1].0,
            Item::Fault(Fault::NoRecord { kind: b'G', .. })
        ));
    }

    #[test]
    fn a_message_too_long_is_passed_over() {
        let mut stream = record(22, &message(2, 40));
        let long = message(11, LONGEST + 1);
        for part in long.chunks(1 << 14) {
            stream.extend(record(22, part));
        }
        stream.extend(record(22, &message(11, 5)));
        let mut reader = Reader::default();
        let found = all(&mut reader, &stream);
        let fault = Fault::TooLong {
            kind: 11,
            length: LONGEST + 1,
        };
        assert_eq!(found[1].0, Item::Fault(fault));
        assert_eq!(found[2].1, [7; 5]);
        assert!(reader.into_buffer().capacity() < LONGEST);
    }

    #[test]
    fn messages_that_nobody_wants_are_not_kept() {
        let mut reader = Reader::wanting(Kinds::NONE.with(handshake::CERTIFICATE));
        let mut stream = record(22, &message(2, 1000));
        stream.extend(record(22, &message(11, 6)));
        let found = all(&mut reader, &stream);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, [7; 6]);
    }
}

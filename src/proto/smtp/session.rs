//! Both sides of a connection: which bytes are a command, a reply, mail, or
//! no SMTP any more.
//!
//! Takes bytes in order and says what they come to; the caller keeps them.
//! Replies answer commands in the order these were sent, so that pipelined
//! ones stay apart and a refused `DATA` is followed by commands. A command
//! that must be awaited stops its sender's side until the reply is there.
//! Not here: streams, events, policies.

use std::collections::VecDeque;

use super::command::{self, Asked, Command, Response};
use super::content::End;
use super::{LINE_CAP, PENDING, REPLY_LINES, anomaly};
use crate::flow::Direction;
use crate::proto::line::{self, Anomaly, LineReader};

/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

/// What bytes came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// All were part of something that is not over yet.
    More,
    /// Nothing was taken: the other side has to answer first.
    Wait,
    /// The end of a line that is no message: blank, or without a reply code.
    Skipped,
    /// The end of a command.
    Command(Command),
    /// The end of a line with credentials (RFC 4954), not a command.
    Credentials,
    /// The end of the last line of a reply.
    Response(Response),
    /// Part of a mail. In strict sessions bytes that may be its end are not
    /// taken, and have to be read again with those behind them.
    Mail,
    /// The end of a mail or of a chunk of one, and how many of the last bytes
    /// are not part of it.
    MailEnd { end: u8 },
    /// Nothing was taken: what follows, both ways, is TLS.
    Tls,
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Lines,
    /// A reply says what follows.
    Waits(Asked),
    Credentials,
    Mail(End),
    Chunk {
        left: u64,
        last: bool,
    },
    /// The place in the conversation was lost, maybe in a mail: up to a line
    /// with a verb of SMTP. `aligned` once a line begins.
    Lost {
        aligned: bool,
    },
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Session {
    client: Client,
    /// The first of the bytes that wait was looked at.
    looked: bool,
    client_line: LineReader,
    server_line: LineReader,
    /// The reply under way.
    reply: Option<Response>,
    server_lost: bool,
    pending: VecDeque<Asked>,
    greeted: bool,
    /// Replies may be missing: nothing is awaited any more.
    unsure: bool,
    /// Whether commands that must be awaited always stop the client; else
    /// they do not while older ones have no answer either.
    strict: bool,
    tls: bool,
    /// LMTP: each recipient gets a reply to the mail.
    recipients: Option<u32>,
    extensions: Vec<String>,
    told: Vec<&'static str>,
    anomalies: VecDeque<Anomaly>,
}

impl Default for Session {
    fn default() -> Session {
        Session {
            client: Client::Lines,
            looked: false,
            client_line: LineReader::default(),
            server_line: LineReader::default(),
            reply: None,
            server_lost: false,
            pending: VecDeque::new(),
            greeted: false,
            unsure: false,
            strict: false,
            tls: false,
            recipients: None,
            extensions: Vec::new(),
            told: Vec::new(),
            anomalies: VecDeque::new(),
        }
    }
}

impl Session {
    /// A session for whoever can hold the client's bytes back: what must be
    /// awaited is, even by clients that wait for nothing.
    pub fn strict() -> Session {
        Session {
            strict: true,
            ..Session::default()
        }
    }

    /// Reads on in one direction: how many bytes were taken, and what they
    /// came to.
    pub fn read(&mut self, direction: Direction, bytes: &[u8]) -> (usize, Found) {
        if self.tls {
            return (0, Found::Tls);
        }
        match direction {
            Direction::ToServer => self.read_client(bytes),
            Direction::ToClient => self.read_server(bytes),
        }
    }

    /// What was out of order, oldest first.
    pub fn take_anomaly(&mut self) -> Option<Anomaly> {
        self.anomalies.pop_front()
    }

    /// The keywords of the answer to `EHLO`, in capitals.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// Whether TLS was begun: nothing more is read.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether the client's next bytes wait for a reply.
    pub fn waits(&self) -> bool {
        matches!(self.client, Client::Waits(_))
    }

    /// Bytes to come of the chunk under way.
    pub fn chunk_left(&self) -> Option<u64> {
        match self.client {
            Client::Chunk { left, .. } => Some(left),
            _ => None,
        }
    }

    /// No reply comes, or too much waits for it: the client goes on as if
    /// its command had been accepted.
    pub fn stop_waiting(&mut self) {
        if let Client::Waits(asked) = self.client {
            self.client = match asked {
                Asked::Data => Client::Mail(End::default()),
                _ => Client::Lines,
            };
        }
    }

    /// As [`Session::stop_waiting`], because the client did not wait.
    pub fn not_awaited(&mut self) {
        if self.waits() {
            self.note(anomaly::NOT_WAITED, || {
                "more bytes than are kept until the reply".into()
            });
            self.stop_waiting();
        }
    }

    /// Bytes of a direction are missing; it goes on where it can.
    pub fn gap(&mut self, direction: Direction, bytes: u64) {
        self.unsure = true;
        if direction == Direction::ToClient {
            self.server_line.clear();
            self.reply = None;
            self.server_lost = true;
            self.pending.clear();
            self.stop_waiting();
            return;
        }
        self.client_line.clear();
        match &mut self.client {
            Client::Chunk { left, .. } if *left > bytes => *left -= bytes,
            Client::Mail(end) => end.skip(),
            _ => self.client = Client::Lost { aligned: false },
        }
    }

    fn read_client(&mut self, bytes: &[u8]) -> (usize, Found) {
        if bytes.is_empty() && !matches!(self.client, Client::Chunk { left: 0, .. }) {
            return (0, Found::More);
        }
        match &mut self.client {
            Client::Lines => self.command(bytes, false),
            Client::Credentials => {
                let (used, complete) = self.client_line.read(bytes, LINE_CAP);
                if !complete {
                    return (used, Found::More);
                }
                self.ask(Asked::Auth);
                self.client = Client::Waits(Asked::Auth);
                self.relent();
                (used, Found::Credentials)
            }
            Client::Waits(asked) => {
                let first = bytes.first().copied().unwrap_or_default();
                let before_tls = *asked == Asked::StartTls && first != TLS_HANDSHAKE;
                if !std::mem::replace(&mut self.looked, true) && before_tls {
                    self.note(anomaly::BEFORE_TLS, || format!("byte {first:#04x}"));
                }
                (0, Found::Wait)
            }
            Client::Mail(end) => {
                let (mut used, ended) = end.read(bytes);
                let len = end.len();
                if !ended && self.strict {
                    used -= usize::from(end.undecided()).min(used);
                    end.rewind();
                }
                if end.take_ambiguous() {
                    self.note(anomaly::AMBIGUOUS_END, || {
                        "a lone dot, but not between CR LF".into()
                    });
                }
                if !ended {
                    return (used, Found::Mail);
                }
                self.client = Client::Lines;
                self.mail_sent();
                (used, Found::MailEnd { end: len })
            }
            Client::Chunk { left, last } => {
                let used = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= used as u64;
                if *left > 0 {
                    return (used, Found::Mail);
                }
                let last = *last;
                self.client = Client::Lines;
                if last {
                    self.mail_sent();
                } else {
                    self.ask(Asked::Other);
                }
                (used, Found::MailEnd { end: 0 })
            }
            Client::Lost { aligned } => {
                if std::mem::replace(aligned, true) {
                    return self.command(bytes, true);
                }
                *aligned = false;
                let (used, complete) = self.client_line.read(bytes, 0);
                *aligned = complete;
                let found = if complete {
                    Found::Skipped
                } else {
                    Found::More
                };
                (used, found)
            }
        }
    }

    /// Reads a command; while the place is lost, only one of SMTP's own.
    fn command(&mut self, bytes: &[u8], lost: bool) -> (usize, Found) {
        let (used, complete) = self.client_line.read(bytes, LINE_CAP);
        if !complete {
            return (used, Found::More);
        }
        let text = std::mem::take(&mut self.client_line);
        if lost && !command::is_known(text.text()) {
            self.client_line = text;
            return (used, Found::Skipped);
        }
        if lost {
            self.client = Client::Lines;
        }
        if text.is_cut() {
            self.note(anomaly::LINE_TOO_LONG, || line::excerpt(text.text()));
        }
        let asked = Asked::of(text.text());
        let command = Command::of(text.text());
        match asked {
            // Some servers answer it, some do not; none takes it for more.
            None if text.text().trim_ascii().is_empty() => {
                self.client_line = text;
                return (used, Found::Skipped);
            }
            None => self.note(anomaly::INVALID_COMMAND, || line::excerpt(text.text())),
            Some(Asked::Extensions | Asked::Greeting) => {
                let lmtp = command.command.eq_ignore_ascii_case("LHLO");
                self.recipients = lmtp.then_some(0);
            }
            Some(_) => {}
        }
        let asked = asked.unwrap_or(Asked::Other);
        if asked == Asked::Chunk {
            self.chunk(text.text());
        } else {
            self.ask(asked);
        }
        if asked.is_awaited() {
            self.client = Client::Waits(asked);
            self.looked = false;
            self.relent();
        }
        self.client_line = text;
        (used, Found::Command(command))
    }

    /// A chunk is sent with its command: its reply is that to its bytes.
    fn chunk(&mut self, text: &[u8]) {
        match command::chunk(text) {
            Some((left, last)) => self.client = Client::Chunk { left, last },
            None => {
                self.note(anomaly::INVALID_CHUNK, || line::excerpt(text));
                self.ask(Asked::Chunk);
            }
        }
    }

    /// A client that waits for nothing, or whose replies we do not see, is
    /// not waited for.
    fn relent(&mut self) {
        let unanswered = |asked: &Asked| matches!(asked, Asked::Extensions | Asked::Greeting);
        let one_sided = !self.greeted || self.pending.iter().any(unanswered);
        if self.unsure || !self.strict && one_sided {
            self.stop_waiting();
        }
    }

    fn mail_sent(&mut self) {
        let replies = match &mut self.recipients {
            Some(accepted) => std::mem::take(accepted),
            None => 1,
        };
        for _ in 0..replies {
            self.ask(Asked::Mail);
        }
    }

    fn ask(&mut self, asked: Asked) {
        if self.pending.len() >= PENDING {
            self.note(anomaly::TOO_MANY_COMMANDS, || {
                format!("more than {PENDING} without a reply")
            });
            self.pending.clear();
            self.unsure = true;
        }
        self.pending.push_back(asked);
    }

    fn read_server(&mut self, bytes: &[u8]) -> (usize, Found) {
        let cap = if self.server_lost { 0 } else { LINE_CAP };
        let (used, complete) = self.server_line.read(bytes, cap);
        if !complete {
            return (used, Found::More);
        }
        if std::mem::take(&mut self.server_lost) {
            return (used, Found::Skipped);
        }
        let text = std::mem::take(&mut self.server_line);
        if text.is_cut() {
            self.note(anomaly::LINE_TOO_LONG, || line::excerpt(text.text()));
        }
        let response = self.reply_line(text.text());
        self.server_line = text;
        let Some(response) = response else {
            let under_way = self.reply.is_some();
            return (
                used,
                if under_way {
                    Found::More
                } else {
                    Found::Skipped
                },
            );
        };
        self.answered(&response);
        (used, Found::Response(response))
    }

    /// A line of a reply; the reply if that was its last.
    fn reply_line(&mut self, text: &[u8]) -> Option<Response> {
        let Some((code, more, rest)) = line::reply_line(text) else {
            if !text.is_empty() {
                self.note(anomaly::INVALID_REPLY, || line::excerpt(text));
            }
            return None;
        };
        let reply = self.reply.get_or_insert_default();
        reply.code = code;
        let room = reply.lines.len() < REPLY_LINES;
        if room {
            reply.lines.push(line::text(rest));
        }
        if !room {
            self.note(anomaly::REPLY_TOO_LONG, || {
                format!("more than {REPLY_LINES} lines")
            });
        }
        if more { None } else { self.reply.take() }
    }

    /// What a reply means for what follows it.
    fn answered(&mut self, response: &Response) {
        let code = response.code;
        if !std::mem::replace(&mut self.greeted, true)
            && matches!(code, 220 | 421 | 554)
            && self.pending.front() != Some(&Asked::StartTls)
        {
            return;
        }
        let positive = code < 400;
        let Some(asked) = self.pending.pop_front() else {
            if code != 421 && !self.unsure {
                self.note(anomaly::UNEXPECTED_REPLY, || format!("{code}"));
            }
            return;
        };
        match asked {
            Asked::Extensions if positive => {
                let keyword = |text: &String| Some(text.split(' ').next()?.to_ascii_uppercase());
                self.extensions = response.lines.iter().skip(1).filter_map(keyword).collect();
            }
            Asked::Recipient if positive => {
                self.recipients = self.recipients.map(|count| count.saturating_add(1));
            }
            Asked::Data if self.waits() => {
                self.client = if positive {
                    Client::Mail(End::default())
                } else {
                    Client::Lines
                };
            }
            // It did not wait, and was refused: what it sends are commands.
            Asked::Data if !positive && matches!(self.client, Client::Mail(_)) => {
                self.client = Client::Lines;
            }
            Asked::StartTls if self.waits() => {
                self.tls = code == 220;
                self.client = Client::Lines;
            }
            // We took it for a client whose replies are not there.
            Asked::StartTls if code == 220 => self.tls = true,
            Asked::Auth if self.waits() => {
                self.client = if code == 334 {
                    Client::Credentials
                } else {
                    Client::Lines
                };
            }
            _ => {}
        }
    }

    fn note(&mut self, event: &'static str, detail: impl FnOnce() -> String) {
        if !self.told.contains(&event) {
            self.told.push(event);
            self.anomalies.push_back(Anomaly {
                event,
                detail: detail(),
            });
        }
    }
}

//! Both sides of a control connection.
//!
//! Takes bytes in order and says what they come to; the caller keeps them.
//! Not here: streams, events, policies.

use std::collections::VecDeque;

use serde::Serialize;

use super::data_flow::{self, DataFlow, Told};
use super::{LINE_CAP, PENDING, REPLY_LINES, anomaly};
use crate::flow::Direction;
use crate::proto::line::{self, Anomaly, LineReader};

/// A command as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Command {
    /// The verb, in the case it was sent.
    pub command: String,
    /// What follows it, if anything does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The data connection that it asks the server to open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_flow: Option<DataFlow>,
}

/// A reply, all its lines together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    pub code: u16,
    /// The text of each line, without the code where it has one.
    pub lines: Vec<String>,
    /// The data connection that the client is to open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_flow: Option<DataFlow>,
}

/// What bytes came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// All were part of something that is not over yet.
    More,
    /// The end of a line that is no message: blank, or without a reply code.
    Skipped,
    /// The end of a command.
    Command(Command),
    /// The end of the last line of a reply.
    Response(Response),
    /// Nothing was taken: the other side has to answer first.
    Wait,
    /// Nothing was taken: what follows, both ways, is TLS.
    Tls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Tls,
    Other,
}

/// One connection.
#[derive(Clone, Debug, Default)]
pub struct Session {
    lines: [LineReader; 2],
    /// The place was lost: up to the next line.
    lost: [bool; 2],
    /// The reply under way.
    reply: Option<Response>,
    /// Commands without a final reply.
    pending: VecDeque<Asked>,
    greeted: bool,
    waits: bool,
    tls: bool,
    told: Vec<&'static str>,
    anomalies: VecDeque<Anomaly>,
}

impl Session {
    /// Reads on in one direction: how many bytes were taken, and what they
    /// came to.
    pub fn read(&mut self, direction: Direction, bytes: &[u8]) -> (usize, Found) {
        if self.tls {
            return (0, Found::Tls);
        }
        if self.waits && direction == Direction::ToServer {
            return (0, Found::Wait);
        }
        let at = direction.index();
        let cap = if self.lost[at] { 0 } else { LINE_CAP };
        let (used, complete) = self.lines[at].read(bytes, cap);
        if !complete {
            return (used, Found::More);
        }
        if std::mem::take(&mut self.lost[at]) {
            return (used, Found::Skipped);
        }
        let line = std::mem::take(&mut self.lines[at]);
        if line.is_cut() {
            self.note(anomaly::LINE_TOO_LONG, || line::excerpt(line.text()));
        }
        let found = match direction {
            Direction::ToServer => self.command(line.text()),
            Direction::ToClient => self.reply_line(line.text()),
        };
        self.lines[at] = line;
        (used, found)
    }

    /// What was out of order, oldest first.
    pub fn take_anomaly(&mut self) -> Option<Anomaly> {
        self.anomalies.pop_front()
    }

    /// Whether TLS was begun: nothing more is read.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether the client's next bytes wait for a reply.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// No reply comes: the client goes on.
    pub fn stop_waiting(&mut self) {
        self.waits = false;
    }

    /// Bytes of a direction are missing: it goes on with the next line.
    pub fn gap(&mut self, direction: Direction) {
        self.lines[direction.index()].clear();
        self.lost[direction.index()] = true;
        self.pending.clear();
        self.waits = false;
        if direction == Direction::ToClient {
            self.reply = None;
        }
    }

    fn command(&mut self, line: &[u8]) -> Found {
        let text = without_telnet(line);
        let (verb, parameter) = line::command_line(text);
        if verb.is_empty() {
            return Found::Skipped;
        }
        if !verb.iter().all(u8::is_ascii_graphic) {
            self.note(anomaly::INVALID_COMMAND, || line::excerpt(text));
        }
        let data_flow = self.data_flow(data_flow::of_command(text), text);
        let tls = verb.eq_ignore_ascii_case(b"AUTH")
            && parameter.is_some_and(|kind| {
                [&b"TLS"[..], b"TLS-C", b"TLS-P", b"SSL"]
                    .iter()
                    .any(|name| kind.trim_ascii().eq_ignore_ascii_case(name))
            });
        if self.pending.len() >= PENDING {
            self.note(anomaly::TOO_MANY_COMMANDS, || {
                format!("more than {PENDING} without a reply")
            });
            self.pending.clear();
        }
        self.pending
            .push_back(if tls { Asked::Tls } else { Asked::Other });
        // Where no replies are seen, none is waited for.
        self.waits = tls && self.greeted && self.pending.len() == 1;
        Found::Command(Command {
            command: line::text(verb),
            parameter: parameter.map(line::text),
            data_flow,
        })
    }

    /// Lines between the first and the last of a reply may be anything
    /// (RFC 959, 4.2).
    fn reply_line(&mut self, text: &[u8]) -> Found {
        let read = line::reply_line(text);
        let Some(reply) = &mut self.reply else {
            let Some((code, more, rest)) = read else {
                if !text.is_empty() {
                    self.note(anomaly::INVALID_REPLY, || line::excerpt(text));
                }
                return Found::Skipped;
            };
            let reply = Response {
                code,
                lines: vec![line::text(rest)],
                data_flow: None,
            };
            if more {
                self.reply = Some(reply);
                return Found::More;
            }
            return self.answered(reply, rest);
        };
        let (own, more, rest) = match read {
            Some((code, more, rest)) if code == reply.code => (true, more, rest),
            _ => (false, true, text),
        };
        let room = reply.lines.len() < REPLY_LINES;
        if room {
            reply.lines.push(line::text(rest));
        } else {
            self.note(anomaly::REPLY_TOO_LONG, || {
                format!("more than {REPLY_LINES} lines")
            });
        }
        if own && !more {
            let reply = self.reply.take().unwrap_or_default();
            return self.answered(reply, rest);
        }
        Found::More
    }

    fn answered(&mut self, mut reply: Response, last: &[u8]) -> Found {
        reply.data_flow = self.data_flow(data_flow::of_reply(reply.code, last), last);
        let greeting = !self.greeted && matches!(reply.code, 220 | 421);
        // Another reply follows a preliminary one.
        if reply.code >= 200 {
            self.greeted = true;
            if !greeting {
                let asked = self.pending.pop_front();
                self.tls = asked == Some(Asked::Tls) && matches!(reply.code, 234 | 334);
                self.waits &= self.pending.contains(&Asked::Tls);
            }
        }
        Found::Response(reply)
    }

    fn data_flow(&mut self, told: Told, text: &[u8]) -> Option<DataFlow> {
        match told {
            Told::Flow(flow) => return Some(flow),
            Told::Invalid => self.note(anomaly::INVALID_ADDRESS, || line::excerpt(text)),
            Told::Nothing => {}
        }
        None
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

/// Telnet commands before `ABOR` (RFC 959, 4.1.3) are no part of the line.
fn without_telnet(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|&byte| byte < 0xf0);
    start.and_then(|at| line.get(at..)).unwrap_or_default()
}

//! TLS on a connection: finds the handshake, shows it to rules, and lets go.
//!
//! A message that somebody waits for is held from its first byte until its
//! listeners have spoken, so that a refused hello never gets to the server.
//! Once both sides are encrypted, or nobody wants more, the rest of the
//! connection passes unread. A ClientHello that cannot be read is for the
//! policy `anomaly`, since a rule has not judged it.

use super::message::Anomaly;
use super::parser::{BEYOND, begins_stream};
use super::reader::{Item, Kinds, Reader, handshake};
use super::{certificate, hello};
use crate::core::Core;
use crate::event::EventKind;
use crate::flow::Direction;
use crate::proto::application::{Application, Likeness, Lost, START, Seat, Turn};

mod stage {
    use super::START;

    pub const JUDGED: u8 = START + 1;
    /// The policy has spoken about an anomaly.
    pub const DECIDED: u8 = START + 2;
}

/// What rules may hear of a handshake.
const HEARD: [EventKind; 4] = [
    EventKind::TlsClientHello,
    EventKind::TlsServerHello,
    EventKind::TlsCertificate,
    EventKind::TlsAlert,
];

/// What is remembered of a message until the connection is let go.
#[derive(Debug, Default)]
pub struct Kept {
    /// Counts the messages of this kind, from 1; 0 before the first.
    pub serial: u32,
    pub body: Vec<u8>,
    /// Version of the record, where there is one.
    pub record_version: Option<u16>,
    /// It came in the form of SSL 2.0.
    pub ssl2: bool,
}

/// The last message of each kind, which objects in Lua read.
#[derive(Debug, Default)]
pub struct Messages {
    pub client_hello: Kept,
    pub server_hello: Kept,
    pub certificate: Kept,
    /// Level and description.
    pub alert: Kept,
    /// Version of QUIC that carried it; 0 over TCP.
    pub quic_version: u32,
    /// A text made for a reader, until the next one.
    pub text: Vec<u8>,
}

impl Kept {
    /// Takes a message's body in.
    pub fn keep(&mut self, body: &[u8], record_version: Option<u16>) {
        self.serial += 1;
        self.body.clear();
        self.body.extend_from_slice(body);
        self.record_version = record_version;
        self.ssl2 = false;
    }

    pub fn client_hello(&self) -> Option<hello::ClientHello<'_>> {
        match self.ssl2 {
            true => hello::ClientHello::parse_ssl2(&self.body),
            false => hello::ClientHello::parse(&self.body),
        }
    }
}

/// Reads one connection.
#[derive(Debug, Default)]
pub struct Session {
    sides: [Reader; 2],
    pub messages: Messages,
    /// What the policy is asked about.
    pub anomaly: Option<Anomaly>,
}

/// Whether a connection begins like TLS: the client speaks first.
pub fn probe(bytes: &[u8], direction: Direction) -> Likeness {
    if direction == Direction::ToClient {
        return Likeness::No;
    }
    match begins_stream(bytes) {
        Some(true) => Likeness::Yes,
        Some(false) => Likeness::No,
        None => Likeness::Open,
    }
}

impl Application for Session {
    fn step(&mut self, seat: &mut Seat<'_>) -> Turn {
        match seat.stage() {
            stage::JUDGED => seat.release(),
            // The policy let it pass, and nothing after it is judged.
            stage::DECIDED => return Turn::HandOver(0),
            _ => {}
        }
        self.read(seat)
    }

    fn edits(&self) -> bool {
        false
    }

    fn lost(&mut self, seat: &mut Seat<'_>, why: Lost) -> Turn {
        let open = !self.sides[seat.direction().index()].is_done();
        match why {
            Lost::NoRoom if open && seat.direction() == Direction::ToServer => {
                self.decide(seat, Anomaly::new("hello_not_read", "the buffers are full"))
            }
            _ => Turn::HandOver(0),
        }
    }

    fn close(&mut self, _: &mut Core) {
        *self = Session::default();
    }
}

impl Session {
    /// Reads until something has to be announced, or nothing is left.
    fn read(&mut self, seat: &mut Seat<'_>) -> Turn {
        seat.goto(START);
        let direction = seat.direction();
        let wanted = wanted(seat.core(), direction);
        if wanted == Kinds::NONE && !heard(seat.core(), EventKind::TlsAlert) {
            self.sides[direction.index()].stop();
        }
        self.sides[direction.index()].want(wanted);
        let mut taken = 0;
        loop {
            let reader = &mut self.sides[direction.index()];
            let Ok(bytes) = seat.unread() else {
                return Turn::HandOver(0);
            };
            if bytes.is_empty() || reader.is_done() {
                break;
            }
            let mut rest = bytes;
            let item = reader.read(&mut rest);
            let used = (bytes.len() - rest.len()) as u64;
            seat.advance(used);
            taken += used;
            if let Some(item) = item
                && let Some(turn) = self.show(seat, item)
            {
                return turn;
            }
        }
        self.pause(seat, taken)
    }

    /// Nothing more to read for now: what is under way has to wait.
    fn pause(&mut self, seat: &mut Seat<'_>, taken: u64) -> Turn {
        let reader = &self.sides[seat.direction().index()];
        if reader.is_done() {
            let left = seat.left();
            seat.advance(left);
            seat.release();
            if !self.sides.iter().all(Reader::is_done) && is_any_heard(seat.core()) {
                return Turn::Wait;
            }
            if seat.core().settings.bypass_tls {
                seat.settle();
            }
            return Turn::HandOver(0);
        }
        if reader.is_gathering() && !seat.is_over() {
            // Full buffers: it goes on unjudged only if the policy lets it.
            if seat.hold(taken).is_err() {
                return self.lost(seat, Lost::NoRoom);
            }
        } else {
            seat.release();
        }
        Turn::Wait
    }

    /// Raises the event of what was found, if somebody hears it.
    fn show(&mut self, seat: &mut Seat<'_>, item: Item) -> Option<Turn> {
        let direction = seat.direction();
        let body = self.sides[direction.index()].body();
        let messages = &mut self.messages;
        let kind = match item {
            Item::Handshake {
                kind: handshake::CLIENT_HELLO,
                record_version,
            } if direction == Direction::ToServer => {
                messages.client_hello.keep(body, Some(record_version));
                EventKind::TlsClientHello
            }
            Item::Ssl2Hello if direction == Direction::ToServer => {
                messages.client_hello.keep(body, Some(0x0002));
                messages.client_hello.ssl2 = true;
                EventKind::TlsClientHello
            }
            Item::Handshake {
                kind: handshake::SERVER_HELLO,
                record_version,
            } if direction == Direction::ToClient => {
                messages.server_hello.keep(body, Some(record_version));
                EventKind::TlsServerHello
            }
            Item::Handshake {
                kind: handshake::CERTIFICATE,
                record_version,
            } => {
                messages.certificate.keep(body, Some(record_version));
                EventKind::TlsCertificate
            }
            Item::Alert {
                level,
                description,
                record_version,
            } => {
                messages
                    .alert
                    .keep(&[level, description], Some(record_version));
                EventKind::TlsAlert
            }
            Item::Fault(fault) => return self.fault(seat, Anomaly::of(fault)),
            // A hello from the wrong side.
            Item::Handshake { .. } | Item::Ssl2Hello => return None,
        };
        let malformed = match kind {
            EventKind::TlsClientHello if messages.client_hello.client_hello().is_none() => {
                Some("client_hello_malformed")
            }
            EventKind::TlsServerHello if hello::ServerHello::parse(body).is_none() => {
                Some("server_hello_malformed")
            }
            EventKind::TlsCertificate if !certificate::is_well_formed(body) => {
                Some("certificate_malformed")
            }
            _ => None,
        };
        if let Some(event) = malformed {
            return self.fault(seat, Anomaly::new(event, BEYOND));
        }
        seat.event(kind, stage::JUDGED)
    }

    /// What rules cannot judge is for the policy; what they have judged
    /// already goes on unread.
    fn fault(&mut self, seat: &mut Seat<'_>, anomaly: Anomaly) -> Option<Turn> {
        let unjudged = seat.direction() == Direction::ToServer
            && heard(seat.core(), EventKind::TlsClientHello)
            && anomaly.event != "certificate_malformed";
        if unjudged {
            return Some(self.decide(seat, anomaly));
        }
        seat.core()
            .debug("tls", || format!("{}: {}", anomaly.event, anomaly.detail));
        Some(Turn::HandOver(0))
    }

    fn decide(&mut self, seat: &mut Seat<'_>, anomaly: Anomaly) -> Turn {
        let core = seat.core();
        core.stats.tls_anomalies += 1;
        core.debug("tls", || format!("{}: {}", anomaly.event, anomaly.detail));
        if core.extended.hears(EventKind::TlsAnomaly) {
            self.anomaly = Some(anomaly);
            return seat.ask(EventKind::TlsAnomaly, 0, stage::DECIDED);
        }
        core.alert("unreadable tls hello", true, None);
        Turn::Refuse
    }
}

fn heard(core: &Core, kind: EventKind) -> bool {
    core.hooks.hears(kind)
}

fn is_any_heard(core: &Core) -> bool {
    HEARD.iter().any(|&kind| heard(core, kind))
}

/// The messages of a direction that somebody may ask for. The ClientHello is
/// there for all who hear anything.
fn wanted(core: &Core, direction: Direction) -> Kinds {
    let mut kinds = Kinds::NONE;
    if !is_any_heard(core) {
        return kinds;
    }
    let certificates = heard(core, EventKind::TlsCertificate);
    if direction == Direction::ToServer {
        kinds = kinds.with(handshake::CLIENT_HELLO);
    } else if certificates || heard(core, EventKind::TlsServerHello) {
        kinds = kinds.with(handshake::SERVER_HELLO);
    }
    if certificates {
        kinds = kinds.with(handshake::CERTIFICATE);
    }
    kinds
}

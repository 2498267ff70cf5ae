//! What the Lua library asks about the messages of a handshake, over TCP and
//! over QUIC.
//!
//! Texts are given as an address, their length in `Current::length`; they
//! stay where they are until the next call, and the library copies them at
//! once. A message is the last of its kind on its flow; its serial number
//! tells whether it is still the one that an object stands for.

use std::ffi::c_void;

use super::{Engine, with};
use crate::event::ops::Status;
use crate::packet::decode::protocol;
use crate::proto::tls::certificate::{self, Reading};
use crate::proto::tls::fingerprint::{self, Carrier};
use crate::proto::tls::hello::{ClientHello, ServerHello};
use crate::proto::tls::message::alert_name;
use crate::proto::tls::session::{Kept, Messages, Session};

/// Kinds of messages, as `tls.lua` numbers them.
mod which {
    pub const CLIENT_HELLO: u32 = 0;
    pub const SERVER_HELLO: u32 = 1;
    pub const CERTIFICATE: u32 = 2;
    pub const ALERT: u32 = 3;
}

/// Texts, as `tls.lua` numbers them.
mod text {
    pub const RANDOM: u32 = 0;
    pub const SESSION_ID: u32 = 1;
    pub const CIPHERS: u32 = 2;
    pub const EXTENSIONS: u32 = 3;
    pub const SNI: u32 = 4;
    pub const ALPN: u32 = 5;
    pub const VERSIONS: u32 = 6;
    pub const GROUPS: u32 = 7;
    pub const SIGNATURE_ALGORITHMS: u32 = 8;
    pub const POINT_FORMATS: u32 = 9;
    pub const COMPRESSION: u32 = 10;
    pub const JA3: u32 = 11;
    pub const JA3_STRING: u32 = 12;
    pub const JA4: u32 = 13;
    pub const JA3S: u32 = 14;
    pub const SUBJECT: u32 = 15;
    pub const ISSUER: u32 = 16;
    pub const SANS: u32 = 17;
    pub const SHA256: u32 = 18;
    pub const SERIAL: u32 = 19;
    pub const NAME: u32 = 20;
    pub const SELECTED_ALPN: u32 = 21;
    /// What the policy `anomaly` is asked about.
    pub const ANOMALY: u32 = 22;
}

/// Numbers, as `tls.lua` numbers them.
mod number {
    pub const VERSION: u32 = 0;
    pub const RECORD_VERSION: u32 = 1;
    pub const QUIC_VERSION: u32 = 2;
    pub const SSL2: u32 = 3;
    pub const SELECTED_VERSION: u32 = 4;
    pub const CIPHER: u32 = 5;
    pub const RETRY: u32 = 6;
    pub const NOT_BEFORE: u32 = 7;
    pub const NOT_AFTER: u32 = 8;
    pub const CHAIN_LENGTH: u32 = 9;
    pub const LEVEL: u32 = 10;
    pub const DESCRIPTION: u32 = 11;
}

impl Engine {
    fn handshake(&mut self, flow: u32, generation: u32) -> Result<&mut Messages, Status> {
        if self.current_flow(flow, generation)? == protocol::UDP {
            let found = self.common.quic.messages(flow, generation);
            return found.ok_or(Status::Stale);
        }
        let session = self.tls_session(flow).ok_or(Status::Stale)?;
        Ok(&mut session.messages)
    }

    fn tls_session(&mut self, flow: u32) -> Option<&mut Session> {
        let side = self.core.flows.live(flow)?.side;
        let connection = self.connections.get_mut(side)?;
        connection.application.as_mut()?.reader()
    }

    fn text_of(
        &mut self,
        flow: u32,
        generation: u32,
        which: u32,
        part: u32,
    ) -> Option<(*const u8, usize)> {
        if part == text::ANOMALY {
            self.current_flow(flow, generation).ok()?;
            let anomaly = self.tls_session(flow)?.anomaly.as_ref()?;
            return Some((anomaly.event.as_ptr(), anomaly.event.len()));
        }
        let messages = self.handshake(flow, generation).ok()?;
        let mut made = std::mem::take(&mut messages.text);
        let found = messages
            .text(which, part, &mut made)
            .map(|text| (text.as_ptr(), text.len()));
        // Its bytes stay where they are when the vector moves.
        messages.text = made;
        found
    }
}

pub extern "C" fn tls_serial(engine: *mut c_void, flow: u32, generation: u32, which: u32) -> u32 {
    with(engine, 0, |engine| {
        let messages = engine.handshake(flow, generation).ok();
        messages
            .and_then(|messages| messages.kept(which).map(|kept| kept.serial))
            .unwrap_or(0)
    })
}

pub extern "C" fn tls_text(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    which: u32,
    part: u32,
) -> *const u8 {
    with(engine, std::ptr::null(), |engine| {
        let found = engine.text_of(flow, generation, which, part);
        let (at, len) = found.unwrap_or((std::ptr::null(), 0));
        engine.core.current.length = len as u32;
        at
    })
}

pub extern "C" fn tls_number(
    engine: *mut c_void,
    flow: u32,
    generation: u32,
    which: u32,
    part: u32,
) -> f64 {
    with(engine, f64::NAN, |engine| {
        let messages = engine.handshake(flow, generation).ok();
        messages
            .and_then(|messages| messages.number(which, part))
            .unwrap_or(f64::NAN)
    })
}

impl Messages {
    fn kept(&self, which: u32) -> Option<&Kept> {
        Some(match which {
            which::CLIENT_HELLO => &self.client_hello,
            which::SERVER_HELLO => &self.server_hello,
            which::CERTIFICATE => &self.certificate,
            which::ALERT => &self.alert,
            _ => return None,
        })
    }

    fn carrier(&self) -> Carrier {
        match self.quic_version {
            0 => Carrier::Tcp,
            _ => Carrier::Quic,
        }
    }

    /// The text of a part; `made` is room for one that is not on the wire.
    fn text<'m>(&'m self, which: u32, part: u32, made: &'m mut Vec<u8>) -> Option<&'m [u8]> {
        let kept = self.kept(which)?;
        match which {
            which::CLIENT_HELLO => client_text(&kept.client_hello()?, self.carrier(), part, made),
            which::SERVER_HELLO => server_text(&ServerHello::parse(&kept.body)?, part, made),
            which::CERTIFICATE => certificate_text(&kept.body, part, made),
            which::ALERT if part == text::NAME => alert_name(*kept.body.get(1)?).map(str::as_bytes),
            _ => None,
        }
    }

    fn number(&self, which: u32, part: u32) -> Option<f64> {
        let kept = self.kept(which)?;
        if part == number::RECORD_VERSION {
            return kept.record_version.map(f64::from);
        }
        match which {
            which::CLIENT_HELLO => match part {
                number::VERSION => Some(kept.client_hello()?.version().into()),
                number::QUIC_VERSION => (self.quic_version != 0).then(|| self.quic_version.into()),
                number::SSL2 => Some(u32::from(kept.ssl2).into()),
                _ => None,
            },
            which::SERVER_HELLO => server_number(&ServerHello::parse(&kept.body)?, part),
            which::CERTIFICATE => certificate_number(&kept.body, part),
            which::ALERT => match part {
                number::LEVEL => kept.body.first().copied().map(f64::from),
                number::DESCRIPTION => kept.body.get(1).copied().map(f64::from),
                _ => None,
            },
            _ => None,
        }
    }
}

fn client_text<'m>(
    hello: &ClientHello<'m>,
    carrier: Carrier,
    part: u32,
    made: &'m mut Vec<u8>,
) -> Option<&'m [u8]> {
    match part {
        text::RANDOM => Some(hello.random()),
        text::SESSION_ID => Some(hello.session_id()),
        text::SNI => hello.sni(),
        text::POINT_FORMATS => Some(hello.point_formats()),
        text::COMPRESSION => Some(hello.compression()),
        text::CIPHERS => numbers(hello.ciphers(), made),
        text::EXTENSIONS => numbers(hello.extensions().map(|(number, _)| number), made),
        text::VERSIONS => numbers(hello.versions(), made),
        text::GROUPS => numbers(hello.groups(), made),
        text::SIGNATURE_ALGORITHMS => numbers(hello.signature_algorithms(), made),
        text::ALPN => texts(hello.alpn(), made),
        text::JA3 => give(fingerprint::ja3(hello)?, made),
        text::JA3_STRING => give(fingerprint::ja3_string(hello)?, made),
        text::JA4 => give(fingerprint::ja4(hello, carrier), made),
        _ => None,
    }
}

fn server_text<'m>(hello: &ServerHello<'m>, part: u32, made: &'m mut Vec<u8>) -> Option<&'m [u8]> {
    match part {
        text::RANDOM => Some(hello.random()),
        text::SESSION_ID => Some(hello.session_id()),
        text::SELECTED_ALPN => hello.alpn(),
        text::EXTENSIONS => numbers(hello.extensions().map(|(number, _)| number), made),
        text::JA3S => give(fingerprint::ja3s(hello), made),
        _ => None,
    }
}

fn server_number(hello: &ServerHello, part: u32) -> Option<f64> {
    match part {
        number::VERSION => Some(hello.version().into()),
        number::SELECTED_VERSION => hello.selected_version().map(f64::from),
        number::CIPHER => Some(hello.cipher().into()),
        number::RETRY => Some(u32::from(hello.is_retry()).into()),
        _ => None,
    }
}

/// A certificate that cannot be read still has a hash.
fn certificate_text<'m>(body: &[u8], part: u32, made: &'m mut Vec<u8>) -> Option<&'m [u8]> {
    let der = certificate::chain(body).next()?;
    if part == text::SHA256 {
        return give(certificate::sha256(der), made);
    }
    let read = Reading::of(der).ok()?;
    match part {
        text::SUBJECT => give(read.subject(), made),
        text::ISSUER => give(read.issuer(), made),
        text::SERIAL => give(read.serial(), made),
        text::SANS => texts(read.sans().iter().map(String::as_bytes), made),
        _ => None,
    }
}

fn certificate_number(body: &[u8], part: u32) -> Option<f64> {
    if part == number::CHAIN_LENGTH {
        return Some(certificate::chain(body).count() as f64);
    }
    let read = Reading::of(certificate::chain(body).next()?).ok()?;
    match part {
        number::NOT_BEFORE => Some(read.not_before() as f64),
        number::NOT_AFTER => Some(read.not_after() as f64),
        _ => None,
    }
}

fn give(text: String, made: &mut Vec<u8>) -> Option<&[u8]> {
    *made = text.into_bytes();
    Some(made)
}

/// Numbers of two bytes each, one after the other.
fn numbers(list: impl Iterator<Item = u16>, made: &mut Vec<u8>) -> Option<&[u8]> {
    made.clear();
    made.extend(list.flat_map(u16::to_be_bytes));
    Some(made)
}

/// Texts behind their lengths of two bytes.
fn texts<'t, 'm>(list: impl Iterator<Item = &'t [u8]>, made: &'m mut Vec<u8>) -> Option<&'m [u8]> {
    made.clear();
    for text in list {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        made.extend(length.to_be_bytes());
        made.extend(text.iter().take(length.into()));
    }
    Some(made)
}

//! Which parser reads which application protocol: one row each.

use super::reader::{DatagramReader, StreamReader, datagrams, stream};
use crate::proto::{dns, ftp, http, quic, smtp, ssh, tls};

/// An application protocol that `wero sessions` reads.
#[derive(Clone, Copy)]
pub struct Protocol {
    /// As the first bytes are named (`application`), and as `app_proto` has it.
    pub name: &'static str,
    /// `proto` of its messages.
    pub proto: &'static str,
    /// Others turn into it (`STARTTLS`, `CONNECT`): its parser finds where it
    /// begins and is given every stream. One row may be such.
    pub searches: bool,
    /// Its parser over TCP.
    pub stream: Option<fn() -> Box<dyn StreamReader>>,
    /// Its parser over UDP.
    pub datagrams: Option<fn() -> Box<dyn DatagramReader>>,
}

/// Every protocol with a parser.
pub const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "http",
        proto: "http",
        searches: false,
        stream: Some(stream::<http::Parser>),
        datagrams: None,
    },
    Protocol {
        name: "dns",
        proto: "dns",
        searches: false,
        stream: Some(stream::<dns::StreamParser>),
        datagrams: Some(datagrams::<dns::Parser>),
    },
    Protocol {
        name: "smtp",
        proto: "smtp",
        searches: false,
        stream: Some(stream::<smtp::Parser>),
        datagrams: None,
    },
    Protocol {
        name: "ftp",
        proto: "ftp",
        searches: false,
        stream: Some(stream::<ftp::Parser>),
        datagrams: None,
    },
    Protocol {
        name: "ssh",
        proto: "ssh",
        searches: false,
        stream: Some(stream::<ssh::Parser>),
        datagrams: None,
    },
    Protocol {
        name: "tls",
        proto: "tls",
        searches: true,
        stream: Some(stream::<tls::Parser>),
        datagrams: None,
    },
    // The same messages, with the version of QUIC that carried them.
    Protocol {
        name: "quic",
        proto: "tls",
        searches: false,
        stream: None,
        datagrams: Some(datagrams::<quic::Parser>),
    },
];

/// The row of a protocol.
pub fn find(table: &'static [Protocol], name: &str) -> Option<&'static Protocol> {
    table.iter().find(|row| row.name == name)
}

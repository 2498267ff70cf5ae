//! Which parser reads which application protocol: one row each.

use super::reader::{DatagramReader, StreamReader};

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
    #[cfg(feature = "http")]
    Protocol {
        name: "http",
        proto: "http",
        searches: false,
        stream: Some(super::stream::<crate::proto::http::Parser>),
        datagrams: None,
    },
    #[cfg(feature = "dns")]
    Protocol {
        name: "dns",
        proto: "dns",
        searches: false,
        stream: Some(super::stream::<crate::proto::dns::StreamParser>),
        datagrams: Some(super::datagrams::<crate::proto::dns::Parser>),
    },
    #[cfg(feature = "smtp")]
    Protocol {
        name: "smtp",
        proto: "smtp",
        searches: false,
        stream: Some(super::stream::<crate::proto::smtp::Parser>),
        datagrams: None,
    },
    #[cfg(feature = "ftp")]
    Protocol {
        name: "ftp",
        proto: "ftp",
        searches: false,
        stream: Some(super::stream::<crate::proto::ftp::Parser>),
        datagrams: None,
    },
    #[cfg(feature = "ssh")]
    Protocol {
        name: "ssh",
        proto: "ssh",
        searches: false,
        stream: Some(super::stream::<crate::proto::ssh::Parser>),
        datagrams: None,
    },
    #[cfg(feature = "tls")]
    Protocol {
        name: "tls",
        proto: "tls",
        searches: true,
        stream: Some(super::stream::<crate::proto::tls::Parser>),
        datagrams: None,
    },
    // The same messages, with the version of QUIC that carried them.
    #[cfg(feature = "tls")]
    Protocol {
        name: "quic",
        proto: "tls",
        searches: false,
        stream: None,
        datagrams: Some(super::datagrams::<crate::proto::quic::Parser>),
    },
];

/// The row of a protocol.
pub fn find(table: &'static [Protocol], name: &str) -> Option<&'static Protocol> {
    table.iter().find(|row| row.name == name)
}

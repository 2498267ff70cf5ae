//! The parser of QUIC's Initial packets: the hellos in the datagrams of one
//! flow, as those of TLS.

use crate::flow::Direction;
use crate::proto::parser::DatagramParser;
use crate::proto::tls::fingerprint::Carrier;
use crate::proto::tls::hello::ClientHello;
use crate::proto::tls::{Message, client_hello, server_hello};

use super::reader::{Hello, Reader};

/// Reads the datagrams of one flow. Its messages are those of TLS, with
/// `quic_version`, and without a record's version.
///
/// ```
/// use wero::flow::Direction;
/// use wero::proto::parser::DatagramParser;
/// use wero::proto::quic;
///
/// let mut parser = quic::Parser::default();
/// assert!(parser.parse(b"no QUIC", Direction::ToServer).is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Parser {
    reader: Reader,
}

impl Parser {
    /// Nothing more will come of this flow.
    pub fn is_done(&self) -> bool {
        self.reader.is_done()
    }

    /// A connection of QUIC was found.
    pub fn is_recognised(&self) -> bool {
        self.reader.is_recognised()
    }
}

impl DatagramParser for Parser {
    type Message = Message;

    fn parse(&mut self, payload: &[u8], direction: Direction) -> Vec<Message> {
        let Some(hello) = self.reader.read(payload, direction) else {
            return Vec::new();
        };
        let body = self.reader.body();
        let mut message = match hello {
            Hello::Client => client_hello(ClientHello::parse(body), None, Carrier::Quic),
            Hello::Server => server_hello(body),
        };
        match &mut message {
            Message::ClientHello(hello) => hello.quic_version = self.reader.version(),
            Message::ServerHello(hello) => hello.quic_version = self.reader.version(),
            _ => {}
        }
        vec![message]
    }
}

//! ClientHello and ServerHello as views over their bytes.
//!
//! A view finds where the parts lie, once, and reads each part when it is
//! asked for; it allocates nothing. Layouts: RFC 8446, 4.1 (TLS 1.2 and older
//! are the same but for the meaning of fields), RFC 5246, E.2 for the hello
//! of SSL 2.0, and the ServerHello of the drafts of TLS 1.3 before the 22nd,
//! which has neither session id nor compression.

use super::wire::{Wire, numbers};

/// Numbers of extensions that are looked into.
pub mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const SUPPORTED_GROUPS: u16 = 10;
    pub const POINT_FORMATS: u16 = 11;
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    pub const ALPN: u16 = 16;
    pub const SUPPORTED_VERSIONS: u16 = 43;
}

/// The random value that makes a ServerHello a HelloRetryRequest
/// (RFC 8446, 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The first draft of TLS 1.3 whose ServerHello looks like that of TLS 1.2.
const FIRST_DRAFT_LIKE_TLS12: u16 = 0x7f16;

/// What a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    version: u16,
    random: &'a [u8],
    session_id: &'a [u8],
    ciphers: &'a [u8],
    compression: &'a [u8],
    extensions: &'a [u8],
    ssl2: bool,
}

impl<'a> ClientHello<'a> {
    /// Reads the body of a handshake message of type 1; `None` if it ends
    /// before its parts do.
    pub fn parse(body: &'a [u8]) -> Option<ClientHello<'a>> {
        let mut wire = Wire(body);
        let hello = ClientHello {
            version: wire.u16()?,
            random: wire.take(32)?,
            session_id: wire.vec8()?,
            ciphers: wire.vec16()?,
            compression: wire.vec8()?,
            extensions: extensions(&mut wire)?,
            ssl2: false,
        };
        Some(hello)
    }

    /// Reads a CLIENT-HELLO of SSL 2.0, from its message type on.
    pub fn parse_ssl2(message: &'a [u8]) -> Option<ClientHello<'a>> {
        let mut wire = Wire(message);
        let _type = wire.u8()?;
        let version = wire.u16()?;
        let (specs, id, challenge) = (wire.u16()?, wire.u16()?, wire.u16()?);
        Some(ClientHello {
            version,
            ciphers: wire.take(specs.into())?,
            session_id: wire.take(id.into())?,
            random: wire.take(challenge.into())?,
            compression: &[],
            extensions: &[],
            ssl2: true,
        })
    }

    /// It came in the form of SSL 2.0, whatever version it offers.
    pub fn is_ssl2(&self) -> bool {
        self.ssl2
    }

    /// The version field; TLS 1.3 says 1.2 here and means `versions`.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The random value, or the challenge of SSL 2.0.
    pub fn random(&self) -> &'a [u8] {
        self.random
    }

    pub fn session_id(&self) -> &'a [u8] {
        self.session_id
    }

    /// Cipher suites in order; none in the form of SSL 2.0.
    pub fn ciphers(&self) -> impl Iterator<Item = u16> + 'a {
        numbers(if self.ssl2 { &[] } else { self.ciphers })
    }

    /// The three-byte cipher kinds of the form of SSL 2.0.
    pub fn cipher_kinds(&self) -> impl Iterator<Item = u32> + 'a {
        let kinds = if self.ssl2 { self.ciphers } else { &[] };
        kinds
            .chunks_exact(3)
            .map(|kind| u32::from_be_bytes([0, kind[0], kind[1], kind[2]]))
    }

    pub fn compression(&self) -> &'a [u8] {
        self.compression
    }

    /// Extensions in order, as they are on the wire.
    pub fn extensions(&self) -> Extensions<'a> {
        Extensions(Wire(self.extensions))
    }

    /// The body of the first extension of that number.
    pub fn extension(&self, number: u16) -> Option<&'a [u8]> {
        self.extensions().find(number)
    }

    /// The first host name of the server name extension (RFC 6066, 3).
    pub fn sni(&self) -> Option<&'a [u8]> {
        const HOST_NAME: u8 = 0;
        let body = self.extension(extension::SERVER_NAME)?;
        let mut list = Wire(Wire(body).vec16()?);
        while !list.is_empty() {
            let kind = list.u8()?;
            let name = list.vec16()?;
            if kind == HOST_NAME {
                return Some(name);
            }
        }
        None
    }

    /// The protocols that the client would speak, in order (RFC 7301).
    pub fn alpn(&self) -> Names<'a> {
        Names::of_extension(self.extension(extension::ALPN))
    }

    /// The supported versions in order; none before TLS 1.3.
    pub fn versions(&self) -> impl Iterator<Item = u16> + 'a {
        let body = self.extension(extension::SUPPORTED_VERSIONS);
        numbers(body.and_then(|body| Wire(body).vec8()).unwrap_or_default())
    }

    /// Named groups, once "elliptic curves".
    pub fn groups(&self) -> impl Iterator<Item = u16> + 'a {
        self.numbers_of(extension::SUPPORTED_GROUPS)
    }

    pub fn point_formats(&self) -> &'a [u8] {
        self.extension(extension::POINT_FORMATS)
            .and_then(|body| Wire(body).vec8())
            .unwrap_or_default()
    }

    pub fn signature_algorithms(&self) -> impl Iterator<Item = u16> + 'a {
        self.numbers_of(extension::SIGNATURE_ALGORITHMS)
    }

    fn numbers_of(&self, number: u16) -> impl Iterator<Item = u16> + 'a {
        let body = self.extension(number);
        numbers(body.and_then(|body| Wire(body).vec16()).unwrap_or_default())
    }
}

/// What the server chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerHello<'a> {
    version: u16,
    random: &'a [u8],
    session_id: &'a [u8],
    cipher: u16,
    extensions: &'a [u8],
}

impl<'a> ServerHello<'a> {
    /// Reads the body of a handshake message of type 2; `None` if it ends
    /// before its parts do.
    pub fn parse(body: &'a [u8]) -> Option<ServerHello<'a>> {
        let version = Wire(body).u16()?;
        match version {
            0x7f00..FIRST_DRAFT_LIKE_TLS12 => Self::parse_draft(body),
            // Drafts that already gave their final version had the layout of
            // drafts; no final ServerHello says 1.3 in this field.
            0x0304 => Self::parse_draft(body).or_else(|| Self::parse_final(body)),
            _ => Self::parse_final(body),
        }
    }

    fn parse_final(body: &'a [u8]) -> Option<ServerHello<'a>> {
        let mut wire = Wire(body);
        let version = wire.u16()?;
        let random = wire.take(32)?;
        let session_id = wire.vec8()?;
        let cipher = wire.u16()?;
        let _compression = wire.u8()?;
        let extensions = extensions(&mut wire)?;
        Some(ServerHello {
            version,
            random,
            session_id,
            cipher,
            extensions,
        })
    }

    fn parse_draft(body: &'a [u8]) -> Option<ServerHello<'a>> {
        let mut wire = Wire(body);
        let hello = ServerHello {
            version: wire.u16()?,
            random: wire.take(32)?,
            session_id: &[],
            cipher: wire.u16()?,
            extensions: extensions(&mut wire)?,
        };
        wire.is_empty().then_some(hello)
    }

    /// The version field; TLS 1.3 says 1.2 here.
    pub fn version(&self) -> u16 {
        self.version
    }

    pub fn random(&self) -> &'a [u8] {
        self.random
    }

    pub fn session_id(&self) -> &'a [u8] {
        self.session_id
    }

    /// It asks for another ClientHello.
    pub fn is_retry(&self) -> bool {
        self.random == RETRY
    }

    pub fn cipher(&self) -> u16 {
        self.cipher
    }

    pub fn extensions(&self) -> Extensions<'a> {
        Extensions(Wire(self.extensions))
    }

    /// The version of TLS 1.3 and later.
    pub fn selected_version(&self) -> Option<u16> {
        let body = self.extensions().find(extension::SUPPORTED_VERSIONS)?;
        Wire(body).u16()
    }

    /// The protocol chosen; TLS 1.3 encrypts it.
    pub fn alpn(&self) -> Option<&'a [u8]> {
        Names::of_extension(self.extensions().find(extension::ALPN)).next()
    }
}

/// The extensions of a hello, in order: number and body.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a>(Wire<'a>);

impl<'a> Extensions<'a> {
    fn find(mut self, number: u16) -> Option<&'a [u8]> {
        self.find_map(|(own, body)| (own == number).then_some(body))
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.u16()?, self.0.vec16()?))
    }
}

/// The names of an ALPN extension.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a>(Wire<'a>);

impl<'a> Names<'a> {
    fn of_extension(body: Option<&'a [u8]>) -> Names<'a> {
        let list = body.and_then(|body| Wire(body).vec16());
        Names(Wire(list.unwrap_or_default()))
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.vec8()
    }
}

/// The block of extensions at the end of a hello, which may be missing.
fn extensions<'a>(wire: &mut Wire<'a>) -> Option<&'a [u8]> {
    if wire.is_empty() {
        return Some(&[]);
    }
    wire.vec16()
}

/// Values reserved to keep servers tolerant; fingerprints leave them out
/// (RFC 8701).
pub fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grease_is_sixteen_values() {
        assert_eq!((0..=u16::MAX).filter(|&one| is_grease(one)).count(), 16);
        assert!(is_grease(0x0a0a) && is_grease(0xfafa) && !is_grease(0x0a1a));
    }

    #[test]
    fn a_hello_without_extensions_is_whole() {
        let mut body = vec![3, 0];
        body.extend([7; 32]);
        body.extend(b"\x00\x00\x02\x00\x2f\x01\x00");
        let hello = ClientHello::parse(&body).expect("it is whole");
        assert_eq!(hello.ciphers().collect::<Vec<_>>(), [0x2f]);
        assert_eq!(hello.extensions().count(), 0);
        assert_eq!(hello.sni(), None);
        body.pop();
        assert_eq!(ClientHello::parse(&body), None);
    }

    #[test]
    fn the_hello_of_ssl2_has_kinds_of_ciphers() {
        let message =
            b"\x01\x03\x01\x00\x06\x00\x00\x00\x10\x07\x00\xc0\x00\x00\x350123456789abcdef";
        let hello = ClientHello::parse_ssl2(message).expect("it is whole");
        assert_eq!(hello.version(), 0x0301);
        assert_eq!(hello.cipher_kinds().collect::<Vec<_>>(), [0x0700c0, 0x35]);
        assert_eq!(hello.ciphers().count(), 0);
        assert_eq!(hello.random(), b"0123456789abcdef");
    }

    #[test]
    fn an_early_draft_answers_without_a_session() {
        let mut body = vec![0x7f, 0x12];
        body.extend([7; 32]);
        body.extend(b"\x13\x01\x00\x04\x00\x2b\x00\x00");
        let hello = ServerHello::parse(&body).expect("it is whole");
        assert_eq!((hello.cipher(), hello.version()), (0x1301, 0x7f12));
        assert_eq!(hello.extensions().count(), 1);
    }
}

//! Hellos of TLS by hand, in records and in Initial packets of QUIC.
//!
//! What is random elsewhere is fixed here. Only what an observer reads is
//! right: no peer could go on from these hellos.

use ring::aead::quic::HeaderProtectionKey;
use ring::aead::{self, AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// A client's hello.
pub struct Hello {
    /// The version field.
    pub version: u16,
    /// The extension "supported versions"; none before TLS 1.3.
    pub versions: &'static [u16],
    pub name: Option<&'static str>,
    pub protocols: &'static [&'static str],
    pub ciphers: &'static [u16],
    /// Bytes of an extension that means nothing.
    pub padding: usize,
}

impl Default for Hello {
    /// What a browser of today says.
    fn default() -> Self {
        Hello {
            version: 0x0303,
            versions: &[0x0304, 0x0303],
            name: Some("www.example.com"),
            protocols: &["h2", "http/1.1"],
            ciphers: &[0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030],
            padding: 0,
        }
    }
}

/// The client of old that offers nothing above `version`.
pub fn old_client(version: u16) -> Hello {
    Hello {
        version,
        versions: &[],
        protocols: &[],
        ciphers: &[0x002f, 0x0035, 0x000a],
        ..Hello::default()
    }
}

impl Hello {
    pub fn named(name: &'static str) -> Self {
        Hello {
            name: Some(name),
            ..Hello::default()
        }
    }

    /// The handshake message.
    pub fn message(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([0x42; 32]);
        body.push(0);
        vector(&mut body, 2, &words(self.ciphers));
        body.extend([1, 0]);
        vector(&mut body, 2, &self.extensions());
        message(1, &body)
    }

    /// The message in one record.
    pub fn record(&self) -> Vec<u8> {
        record(22, 0x0301, &self.message())
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if let Some(name) = self.name {
            let mut entry = vec![0];
            vector(&mut entry, 2, name.as_bytes());
            extension(&mut all, 0, &prefixed(2, &entry));
        }
        extension(&mut all, 10, &prefixed(2, &words(&[0x001d, 0x0017])));
        extension(&mut all, 11, &prefixed(1, &[0]));
        let algorithms = words(&[0x0403, 0x0804, 0x0401]);
        extension(&mut all, 13, &prefixed(2, &algorithms));
        if !self.protocols.is_empty() {
            let mut list = Vec::new();
            for protocol in self.protocols {
                vector(&mut list, 1, protocol.as_bytes());
            }
            extension(&mut all, 16, &prefixed(2, &list));
        }
        if !self.versions.is_empty() {
            extension(&mut all, 43, &prefixed(1, &words(self.versions)));
        }
        if self.padding > 0 {
            extension(&mut all, 21, &vec![0; self.padding]);
        }
        all
    }
}

/// A server's hello in a record: version field and what it selects.
pub fn server_hello(version: u16, selected: Option<u16>, cipher: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([0x24; 32]);
    body.push(0);
    body.extend(cipher.to_be_bytes());
    body.push(0);
    if let Some(selected) = selected {
        let mut extensions = Vec::new();
        extension(&mut extensions, 43, &selected.to_be_bytes());
        vector(&mut body, 2, &extensions);
    }
    record(22, version.min(0x0303), &message(2, &body))
}

/// A fatal alert in a record.
pub fn alert(description: u8) -> Vec<u8> {
    record(21, 0x0303, &[2, description])
}

/// What is encrypted, as far as an observer can tell.
pub fn application_data(length: usize) -> Vec<u8> {
    record(23, 0x0303, &vec![0xa5; length])
}

pub fn record(kind: u8, version: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(version.to_be_bytes());
    vector(&mut bytes, 2, body);
    bytes
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    vector(&mut bytes, 3, body);
    bytes
}

fn extension(all: &mut Vec<u8>, number: u16, body: &[u8]) {
    all.extend(number.to_be_bytes());
    vector(all, 2, body);
}

/// Bytes behind their length of so many bytes.
fn vector(out: &mut Vec<u8>, width: usize, bytes: &[u8]) {
    let length = (bytes.len() as u64).to_be_bytes();
    out.extend(&length[8 - width..]);
    out.extend(bytes);
}

fn prefixed(width: usize, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    vector(&mut out, width, bytes);
    out
}

fn words(list: &[u16]) -> Vec<u8> {
    list.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A client's hello in datagrams of QUIC version 1, with so many bytes of it
/// in each (RFC 9001). `destination` is the connection id that keys come
/// from.
pub fn quic_initials(hello: &Hello, destination: &[u8], cut: usize) -> Vec<Vec<u8>> {
    let message = hello.message();
    (0_u32..)
        .zip(message.chunks(cut))
        .map(|(number, part)| {
            let offset = number as usize * cut;
            let mut frames = vec![6];
            frames.extend(varint(offset));
            frames.extend(varint(part.len()));
            frames.extend(part);
            initial(destination, number, &frames)
        })
        .collect()
}

fn varint(value: usize) -> [u8; 2] {
    let value = u16::try_from(value).expect("hellos are short");
    (value | 0x4000).to_be_bytes()
}

/// A client's Initial packet as large as the protocol wants it.
fn initial(destination: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
    const DATAGRAM: usize = 1200;
    const NUMBER: usize = 4;
    const TAG: usize = 16;

    let mut header = vec![0xc3, 0, 0, 0, 1];
    vector(&mut header, 1, destination);
    // No source id, no token.
    header.extend([0, 0]);
    let number_at = header.len() + 2;
    header.extend(varint(DATAGRAM - number_at));
    header.extend(number.to_be_bytes());

    let secret = Salt::new(HKDF_SHA256, &SALT).extract(destination);
    let secret: [u8; 32] = expand(&secret, b"client in");
    let secret = Prk::new_less_safe(HKDF_SHA256, &secret);
    let key: [u8; 16] = expand(&secret, b"quic key");
    let mut nonce: [u8; 12] = expand(&secret, b"quic iv");
    for (byte, part) in nonce[8..].iter_mut().zip(number.to_be_bytes()) {
        *byte ^= part;
    }
    let key = UnboundKey::new(&AES_128_GCM, &key).expect("the key has its length");
    let mut payload = frames.to_vec();
    payload.resize(DATAGRAM - number_at - NUMBER - TAG, 0);
    LessSafeKey::new(key)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(&header),
            &mut payload,
        )
        .expect("a packet is short");

    let protection: [u8; 16] = expand(&secret, b"quic hp");
    let mask = HeaderProtectionKey::new(&aead::quic::AES_128, &protection)
        .and_then(|key| key.new_mask(&payload[..16]))
        .expect("key and sample have their lengths");
    header[0] ^= mask[0] & 0x0f;
    for (byte, part) in header[number_at..].iter_mut().zip(&mask[1..]) {
        *byte ^= part;
    }
    header.extend(payload);
    header
}

/// Of version 1 (RFC 9001, 5.2).
const SALT: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];

/// HKDF-Expand-Label (RFC 8446, 7.1).
fn expand<const N: usize>(secret: &Prk, label: &[u8]) -> [u8; N] {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut info = vec![0, N as u8];
    vector(&mut info, 1, &[b"tls13 ", label].concat());
    info.push(0);
    let mut out = [0; N];
    secret
        .expand(&[&info], Length(N))
        .and_then(|okm| okm.fill(&mut out))
        .expect("keys are short");
    out
}

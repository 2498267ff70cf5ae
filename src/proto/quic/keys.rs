//! Keys of Initial packets, which anyone can derive (RFC 9001, 5.2), and the
//! removal of both protections.

use ring::aead::quic::HeaderProtectionKey;
use ring::aead::{self, AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{self, HKDF_SHA256, KeyType, Prk, Salt};

use super::header::{Initial, Version};

/// Bytes that header protection samples, and where from the packet number.
const SAMPLE: usize = 16;
const SAMPLE_AT: usize = 4;

const IV: usize = 12;
const KEY: usize = 16;

/// Keys of both sides.
#[derive(Clone)]
pub struct Keys {
    pub client: Key,
    pub server: Key,
}

/// Keys of one side.
#[derive(Clone)]
pub struct Key {
    payload: LessSafeKey,
    iv: [u8; IV],
    header: std::sync::Arc<HeaderProtectionKey>,
}

impl Keys {
    /// The keys for the connection id that the client chose for the server.
    pub fn derive(version: Version, destination: &[u8]) -> Option<Keys> {
        let initial = Salt::new(HKDF_SHA256, salt(version)).extract(destination);
        Some(Keys {
            client: Key::derive(version, &initial, b"client in")?,
            server: Key::derive(version, &initial, b"server in")?,
        })
    }
}

impl Key {
    fn derive(version: Version, initial: &Prk, side: &[u8]) -> Option<Key> {
        let [key_label, iv_label, header_label]: [&[u8]; 3] = match version {
            Version::V2 => [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"],
            _ => [b"quic key", b"quic iv", b"quic hp"],
        };
        let secret: [u8; 32] = expand(initial, side)?;
        let secret = Prk::new_less_safe(HKDF_SHA256, &secret);
        let payload: [u8; KEY] = expand(&secret, key_label)?;
        let header: [u8; KEY] = expand(&secret, header_label)?;
        let header = HeaderProtectionKey::new(&aead::quic::AES_128, &header).ok()?;
        Some(Key {
            payload: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &payload).ok()?),
            iv: expand(&secret, iv_label)?,
            header: std::sync::Arc::new(header),
        })
    }

    /// Opens a packet into `room`: its number and its frames. None if it was
    /// not made with this key.
    pub fn open<'r>(
        &self,
        packet: &Initial,
        largest: Option<u64>,
        room: &'r mut Vec<u8>,
    ) -> Option<(u64, &'r [u8])> {
        let sample_at = packet.number_at + SAMPLE_AT;
        let sample = packet.bytes.get(sample_at..sample_at + SAMPLE)?;
        let mask = self.header.new_mask(sample).ok()?;

        room.clear();
        room.extend_from_slice(packet.bytes);
        let first = room.first_mut()?;
        *first ^= mask[0] & 0x0f;
        let length = usize::from(*first & 3) + 1;
        let number_bytes = room.get_mut(packet.number_at..packet.number_at + length)?;
        let mut truncated = 0;
        for (byte, mask) in number_bytes.iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
            truncated = truncated << 8 | u64::from(*byte);
        }
        let number = whole_number(truncated, length, largest);

        let mut nonce = self.iv;
        for (byte, part) in nonce[IV - 8..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= part;
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let (header, payload) = room.split_at_mut_checked(packet.number_at + length)?;
        let plain = self
            .payload
            .open_in_place(nonce, Aad::from(&*header), payload)
            .ok()?;
        Some((number, plain))
    }
}

/// The packet number nearest to the next one expected that ends in the bytes
/// sent (RFC 9000, A.3).
fn whole_number(truncated: u64, length: usize, largest: Option<u64>) -> u64 {
    let expected = largest.map_or(0, |largest| largest + 1);
    let window = 1u64 << (8 * length);
    let candidate = expected & !(window - 1) | truncated;
    if candidate + window / 2 <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected + window / 2 && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

/// HKDF-Expand-Label of TLS 1.3 with an empty context (RFC 8446, 7.1).
fn expand<const N: usize>(secret: &Prk, label: &[u8]) -> Option<[u8; N]> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    const PREFIX: &[u8] = b"tls13 ";
    let head = [0, N as u8, (PREFIX.len() + label.len()) as u8];
    let info = [&head[..], PREFIX, label, &[0]];
    let mut out = [0; N];
    let okm: hkdf::Okm<Length> = secret.expand(&info, Length(N)).ok()?;
    okm.fill(&mut out).ok()?;
    Some(out)
}

fn salt(version: Version) -> &'static [u8; 20] {
    match version {
        Version::Draft22 => {
            b"\x7f\xbc\xdb\x0e\x7c\x66\xbb\xe9\x19\x3a\x96\xcd\x21\x51\x9e\xbd\x7a\x02\x64\x4a"
        }
        Version::Draft23 => {
            b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02"
        }
        Version::Draft29 => {
            b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99"
        }
        Version::V1 => {
            b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a"
        }
        Version::V2 => {
            b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9"
        }
    }
}

impl std::fmt::Debug for Keys {
    /// Nothing of the keys: they say nothing that a reader could use.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9000, A.3.
    #[test]
    fn packet_numbers_are_completed() {
        assert_eq!(whole_number(0x9b32, 2, Some(0xa82f_30ea)), 0xa82f_9b32);
        assert_eq!(whole_number(0, 1, None), 0);
        assert_eq!(whole_number(2, 1, Some(255)), 258);
        assert_eq!(whole_number(0xff, 1, Some(256)), 255);
        assert_eq!(whole_number(0xffff_ffff, 4, None), 0xffff_ffff);
    }
}

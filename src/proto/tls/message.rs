//! What the parsers say of a handshake: owned messages with the names of the
//! JSON lines.
//!
//! Numbers of the protocol stay numbers. Names that are no UTF-8 are given
//! with replacement characters; random values and identifiers in hexadecimal.

use serde::{Serialize, Serializer};

use super::fingerprint::{self, Carrier, hex};
use super::hello;
use super::reader::Fault;

/// One message of a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    ClientHello(Box<ClientHello>),
    ServerHello(ServerHello),
    Certificate(Box<Certificate>),
    Alert(Alert),
    Anomaly(Anomaly),
}

/// What a client offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientHello {
    /// Version of the record; absent over QUIC, which has no records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_version: Option<u16>,
    /// The version field; TLS 1.3 says 1.2 here and means `versions`.
    pub version: u16,
    /// The extension "supported versions".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    pub ciphers: Vec<u16>,
    /// Cipher kinds of a hello in the form of SSL 2.0, which has no suites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cipher_kinds: Vec<u32>,
    /// Numbers of the extensions, in order.
    pub extensions: Vec<u16>,
    #[serde(serialize_with = "digits")]
    pub random: Vec<u8>,
    #[serde(serialize_with = "digits", skip_serializing_if = "Vec::is_empty")]
    pub session_id: Vec<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compression: Vec<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub point_formats: Vec<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signature_algorithms: Vec<u16>,
    /// MD5 of `ja3_string`; absent for the form of SSL 2.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3_string: Option<String>,
    pub ja4: String,
    /// Version of QUIC, for hellos that it carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quic_version: Option<u32>,
}

/// What the server chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerHello {
    /// The version field; TLS 1.3 says 1.2 here.
    pub version: u16,
    /// The extension "supported versions", which TLS 1.3 means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_version: Option<u16>,
    pub cipher: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// Numbers of the extensions, in order.
    pub extensions: Vec<u16>,
    #[serde(serialize_with = "digits")]
    pub random: Vec<u8>,
    #[serde(serialize_with = "digits", skip_serializing_if = "Vec::is_empty")]
    pub session_id: Vec<u8>,
    /// It asks for another ClientHello.
    pub hello_retry_request: bool,
    pub ja3s: String,
    /// Version of QUIC, for hellos that it carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quic_version: Option<u32>,
}

/// The first certificate of a chain, which is its owner's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// The distinguished name, such as `C=DE, O=Example, CN=www.example.org`;
    /// like all that follows absent where the certificate cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// RFC 3339 with microseconds, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Alternative names: host names, addresses, mail addresses, URIs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sans: Vec<String>,
    /// The serial number in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// SHA-256 of the certificate's bytes.
    pub sha256: String,
    /// Certificates in the chain.
    pub chain_length: usize,
}

/// One side's complaint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// `warning` or `fatal`.
    #[serde(serialize_with = "level_name")]
    pub level: u8,
    /// Number of the description, such as 40 for `handshake_failure`.
    pub description: u8,
    /// Its name in the registry; absent for numbers without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
}

/// Something that no peer that speaks TLS sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anomaly {
    /// `record_invalid`, `message_too_long`, `client_hello_malformed`,
    /// `server_hello_malformed` or `certificate_malformed`.
    pub event: &'static str,
    pub detail: String,
}

impl ClientHello {
    pub fn of(hello: &hello::ClientHello, record_version: Option<u16>, carrier: Carrier) -> Self {
        let ja3_string = fingerprint::ja3_string(hello);
        ClientHello {
            record_version,
            version: hello.version(),
            versions: hello.versions().collect(),
            sni: hello.sni().map(text),
            alpn: hello.alpn().map(text).collect(),
            ciphers: hello.ciphers().collect(),
            cipher_kinds: hello.cipher_kinds().collect(),
            extensions: hello.extensions().map(|(number, _)| number).collect(),
            random: hello.random().to_vec(),
            session_id: hello.session_id().to_vec(),
            compression: hello.compression().to_vec(),
            groups: hello.groups().collect(),
            point_formats: hello.point_formats().to_vec(),
            signature_algorithms: hello.signature_algorithms().collect(),
            ja3: ja3_string.as_deref().map(fingerprint::md5_hex),
            ja3_string,
            ja4: fingerprint::ja4(hello, carrier),
            quic_version: None,
        }
    }
}

impl ServerHello {
    pub fn of(hello: &hello::ServerHello) -> ServerHello {
        ServerHello {
            version: hello.version(),
            selected_version: hello.selected_version(),
            cipher: hello.cipher(),
            alpn: hello.alpn().map(text),
            extensions: hello.extensions().map(|(number, _)| number).collect(),
            random: hello.random().to_vec(),
            session_id: hello.session_id().to_vec(),
            hello_retry_request: hello.is_retry(),
            ja3s: fingerprint::ja3s(hello),
            quic_version: None,
        }
    }
}

impl Anomaly {
    pub fn new(event: &'static str, detail: impl Into<String>) -> Anomaly {
        Anomaly {
            event,
            detail: detail.into(),
        }
    }

    /// What the record layer found.
    pub fn of(fault: Fault) -> Anomaly {
        match fault {
            Fault::TooLong { kind, length } => Anomaly::new(
                "message_too_long",
                format!("handshake message of type {kind} with {length} bytes"),
            ),
            Fault::NoRecord {
                kind,
                version,
                length,
            } => Anomaly::new(
                "record_invalid",
                format!("type {kind}, version {version:#06x}, {length} bytes"),
            ),
        }
    }
}

impl Alert {
    pub fn of(level: u8, description: u8) -> Alert {
        Alert {
            level,
            description,
            name: alert_name(description),
        }
    }
}

/// The name of an alert's level.
pub fn alert_level(level: u8) -> &'static str {
    if level == 1 { "warning" } else { "fatal" }
}

/// The name of an alert (the registry "TLS Alerts").
pub fn alert_name(description: u8) -> Option<&'static str> {
    Some(match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        121 => "ech_required",
        _ => return None,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn digits<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(bytes))
}

fn level_name<S: Serializer>(level: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(alert_level(*level))
}

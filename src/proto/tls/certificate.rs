//! Certificate messages of TLS 1.2 and older (RFC 5246, 7.4.2): who owns the
//! first certificate, who signed it, and for how long it holds.
//!
//! Nothing is verified: neither signatures nor dates. From TLS 1.3 on these
//! messages are encrypted.

use std::net::{Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};
use x509_parser::prelude::{
    ASN1Time, FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name,
};

use super::fingerprint::hex;
use super::message::Certificate;
use super::wire::Wire;

/// The most alternative names that are kept of one certificate.
pub const MOST_NAMES: usize = 1024;

/// The certificates of a message, its owner's first; stops at what cannot be
/// read.
pub fn chain(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut list = Wire(Wire(body).vec24().unwrap_or_default());
    std::iter::from_fn(move || list.vec24())
}

/// Whether the lengths in a message fit together.
pub fn is_well_formed(body: &[u8]) -> bool {
    let Some(list) = Wire(body).vec24() else {
        return false;
    };
    let read: usize = chain(body).map(|certificate| 3 + certificate.len()).sum();
    read == list.len()
}

/// A certificate that has been read.
pub struct Reading<'a>(X509Certificate<'a>);

impl<'a> Reading<'a> {
    /// Reads DER.
    ///
    /// # Errors
    /// What is wrong with it, in the words of the library that reads it.
    pub fn of(der: &'a [u8]) -> Result<Reading<'a>, String> {
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Ok(Reading(certificate)),
            Err(error) => Err(error.to_string()),
        }
    }

    pub fn subject(&self) -> String {
        name(self.0.subject())
    }

    pub fn issuer(&self) -> String {
        name(self.0.issuer())
    }

    /// Seconds since 1970.
    pub fn not_before(&self) -> i64 {
        self.0.validity().not_before.timestamp()
    }

    /// Seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.0.validity().not_after.timestamp()
    }

    /// Hexadecimal, without signs between.
    pub fn serial(&self) -> String {
        hex(self.0.raw_serial())
    }

    /// Alternative names, no more than [`MOST_NAMES`].
    pub fn sans(&self) -> Vec<String> {
        let extensions = self.0.extensions().iter();
        extensions
            .filter_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten()
            .filter_map(alternative)
            .take(MOST_NAMES)
            .collect()
    }
}

/// The owned message for the body of a handshake message, and what is wrong
/// with the certificate if it cannot be read.
pub fn read(body: &[u8]) -> (Option<Certificate>, Option<String>) {
    let Some(der) = chain(body).next() else {
        let fault = (!is_well_formed(body)).then(|| "the list of certificates is cut".to_owned());
        return (None, fault);
    };
    let mut message = Certificate {
        sha256: sha256(der),
        chain_length: chain(body).count(),
        ..Certificate::default()
    };
    let fault = match Reading::of(der) {
        Ok(certificate) => {
            message.subject = Some(certificate.subject());
            message.issuer = Some(certificate.issuer());
            message.not_before = Some(rfc3339(certificate.not_before()));
            message.not_after = Some(rfc3339(certificate.not_after()));
            message.sans = certificate.sans();
            message.serial = Some(certificate.serial());
            None
        }
        Err(fault) => Some(fault),
    };
    (Some(message), fault)
}

/// SHA-256 in hexadecimal.
pub fn sha256(der: &[u8]) -> String {
    hex(&Sha256::digest(der))
}

/// A point in time as the JSON lines have it; certificates know no fractions.
pub fn rfc3339(seconds: i64) -> String {
    match ASN1Time::from_timestamp(seconds) {
        Ok(time) => {
            let time = time.to_datetime();
            format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000000+0000",
                time.year(),
                u8::from(time.month()),
                time.day(),
                time.hour(),
                time.minute(),
                time.second()
            )
        }
        Err(_) => String::new(),
    }
}

/// A distinguished name; one that has odd parts is given as far as it goes.
fn name(name: &X509Name) -> String {
    name.to_string()
}

fn alternative(name: &GeneralName) -> Option<String> {
    Some(match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            (*text).to_owned()
        }
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(bytes) => Ipv4Addr::from(bytes).to_string(),
            Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string(),
        },
        GeneralName::DirectoryName(own) => self::name(own),
        _ => return None,
    })
}

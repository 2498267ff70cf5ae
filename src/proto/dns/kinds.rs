//! Types, classes and options of DNS by number and name, and of what parts
//! each type's data consist (IANA's registries; the RFCs stand at the rows).

use std::fmt;

use serde::{Serialize, Serializer};

/// One part of a record's data, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Name,
    U8,
    U16,
    U32,
    /// A record type, shown by name.
    Type,
    /// Seconds since 1970, shown as a date.
    Time,
    Ipv4,
    Ipv6,
    /// One string with its length before it.
    Text,
    /// Strings to the end, at least one.
    Texts,
    /// A string with its length before it, shown without quotes.
    Word,
    /// One string to the end without a length.
    RestText,
    /// Bytes to the end.
    RestBase64,
    RestHex,
    /// Bytes with their length before them, `-` for none.
    Salt,
    /// The same in Base32.
    Hash,
    /// Types as windows of bits, to the end.
    Bitmap,
    /// Ports as bits, to the end.
    Ports,
    /// Bytes to the end, in hexadecimal pairs with dashes.
    Mac,
    /// Parameters of SVCB and HTTPS, to the end.
    Parameters,
}

use Part::*;

macro_rules! kinds {
    ($($number:literal $name:literal [$($part:ident)*];)*) => {
        /// Number, name, parts of the data; no parts where the data have no
        /// text of their own (then RFC 3597, 5 applies).
        const KINDS: &[(u16, &str, &[Part])] = &[$(($number, $name, &[$($part),*]),)*];
    };
}

// Sorted by number: a test checks it.
kinds! {
    1 "A" [Ipv4];
    2 "NS" [Name];
    3 "MD" [Name];
    4 "MF" [Name];
    5 "CNAME" [Name];
    6 "SOA" [Name Name U32 U32 U32 U32 U32];
    7 "MB" [Name];
    8 "MG" [Name];
    9 "MR" [Name];
    10 "NULL" [];
    11 "WKS" [Ipv4 U8 Ports];
    12 "PTR" [Name];
    13 "HINFO" [Text Text];
    14 "MINFO" [Name Name];
    15 "MX" [U16 Name];
    16 "TXT" [Texts];
    17 "RP" [Name Name];                                  // RFC 1183
    18 "AFSDB" [U16 Name];
    19 "X25" [Text];
    21 "RT" [U16 Name];
    22 "NSAP" [];
    23 "NSAP-PTR" [Name];
    24 "SIG" [Type U8 U8 U32 Time Time U16 Name RestBase64]; // RFC 2535
    25 "KEY" [U16 U8 U8 RestBase64];
    26 "PX" [U16 Name Name];                             // RFC 2163
    28 "AAAA" [Ipv6];                                    // RFC 3596
    29 "LOC" [];
    30 "NXT" [];
    33 "SRV" [U16 U16 U16 Name];                         // RFC 2782
    35 "NAPTR" [U16 U16 Text Text Text Name];            // RFC 3403
    36 "KX" [U16 Name];
    37 "CERT" [U16 U16 U8 RestBase64];                   // RFC 4398
    38 "A6" [];
    39 "DNAME" [Name];                                   // RFC 6672
    41 "OPT" [];                                         // RFC 6891
    42 "APL" [];
    43 "DS" [U16 U8 U8 RestHex];                         // RFC 4034
    44 "SSHFP" [U8 U8 RestHex];                          // RFC 4255
    45 "IPSECKEY" [];
    46 "RRSIG" [Type U8 U8 U32 Time Time U16 Name RestBase64];
    47 "NSEC" [Name Bitmap];
    48 "DNSKEY" [U16 U8 U8 RestBase64];
    49 "DHCID" [RestBase64];                             // RFC 4701
    50 "NSEC3" [U8 U8 U16 Salt Hash Bitmap];             // RFC 5155
    51 "NSEC3PARAM" [U8 U8 U16 Salt];
    52 "TLSA" [U8 U8 U8 RestHex];                        // RFC 6698
    53 "SMIMEA" [U8 U8 U8 RestHex];
    55 "HIP" [];
    59 "CDS" [U16 U8 U8 RestHex];                        // RFC 7344
    60 "CDNSKEY" [U16 U8 U8 RestBase64];
    61 "OPENPGPKEY" [RestBase64];                        // RFC 7929
    62 "CSYNC" [U32 U16 Bitmap];                         // RFC 7477
    63 "ZONEMD" [U32 U8 U8 RestHex];                     // RFC 8976
    64 "SVCB" [U16 Name Parameters];                     // RFC 9460
    65 "HTTPS" [U16 Name Parameters];
    99 "SPF" [Texts];                                    // RFC 7208
    108 "EUI48" [Mac];                                   // RFC 7043
    109 "EUI64" [Mac];
    249 "TKEY" [];
    250 "TSIG" [];
    251 "IXFR" [];
    252 "AXFR" [];
    253 "MAILB" [];
    254 "MAILA" [];
    255 "ANY" [];
    256 "URI" [U16 U16 RestText];                        // RFC 7553
    257 "CAA" [U8 Word RestText];                        // RFC 8659
    32768 "TA" [U16 U8 U8 RestHex];
    32769 "DLV" [U16 U8 U8 RestHex];                     // RFC 4431
}

/// Rows of [`KINDS`] by number, for all but the three highest types.
const INDEX: [u8; 258] = {
    let mut index = [u8::MAX; 258];
    let mut row = 0;
    while row < KINDS.len() {
        let number = KINDS[row].0 as usize;
        if number < index.len() {
            index[number] = row as u8;
        }
        row += 1;
    }
    index
};

/// The type of a record or question. In text and JSON its name, `TYPE123`
/// where it has none (RFC 3597, 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordType(pub u16);

impl RecordType {
    pub const A: RecordType = RecordType(1);
    pub const NS: RecordType = RecordType(2);
    pub const CNAME: RecordType = RecordType(5);
    pub const SOA: RecordType = RecordType(6);
    pub const PTR: RecordType = RecordType(12);
    pub const MX: RecordType = RecordType(15);
    pub const TXT: RecordType = RecordType(16);
    pub const AAAA: RecordType = RecordType(28);
    pub const SRV: RecordType = RecordType(33);
    pub const OPT: RecordType = RecordType(41);

    #[inline]
    fn row(self) -> Option<&'static (u16, &'static str, &'static [Part])> {
        match INDEX.get(usize::from(self.0)) {
            Some(&row) => KINDS.get(usize::from(row)),
            None => KINDS.iter().rev().find(|row| row.0 == self.0),
        }
    }

    /// The registered name.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.1)
    }

    /// The type of that name, `TYPE123` included; case does not matter.
    pub fn from_name(name: &str) -> Option<RecordType> {
        if let Some(row) = KINDS.iter().find(|row| row.1.eq_ignore_ascii_case(name)) {
            return Some(RecordType(row.0));
        }
        let (word, number) = name.split_at_checked(4)?;
        if !word.eq_ignore_ascii_case("TYPE") {
            return None;
        }
        number.parse().ok().map(RecordType)
    }

    /// Of what the data consist; empty where that is not known.
    #[inline]
    pub fn parts(self) -> &'static [Part] {
        self.row().map_or(&[], |row| row.2)
    }

    /// All types with a name, by number.
    pub fn all() -> impl Iterator<Item = (RecordType, &'static str)> {
        KINDS.iter().map(|row| (RecordType(row.0), row.1))
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl Serialize for RecordType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.name() {
            Some(name) => serializer.serialize_str(name),
            None => serializer.collect_str(self),
        }
    }
}

/// The class of a record or question: `IN`, or what else is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class(pub u16);

impl Class {
    pub const IN: Class = Class(1);

    fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "IN",
            3 => "CH",
            4 => "HS",
            254 => "NONE",
            255 => "ANY",
            _ => return None,
        })
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "CLASS{}", self.0),
        }
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Names of EDNS options (RFC 6891 and IANA's registry).
pub fn option_name(code: u16) -> Option<&'static str> {
    Some(match code {
        1 => "LLQ",
        2 => "UL",
        3 => "NSID",
        5 => "DAU",
        6 => "DHU",
        7 => "N3U",
        8 => "ECS",
        9 => "EXPIRE",
        10 => "COOKIE",
        11 => "KEEPALIVE",
        12 => "PADDING",
        13 => "CHAIN",
        14 => "KEY-TAG",
        15 => "EDE",
        _ => return None,
    })
}

/// Names of SVCB and HTTPS parameters (RFC 9460, 14.3).
pub fn parameter_name(key: u16) -> Option<&'static str> {
    Some(match key {
        0 => "mandatory",
        1 => "alpn",
        2 => "no-default-alpn",
        3 => "port",
        4 => "ipv4hint",
        5 => "ech",
        6 => "ipv6hint",
        7 => "dohpath",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_number_and_by_name() {
        assert!(KINDS.is_sorted_by_key(|row| row.0));
        assert!(KINDS.len() < usize::from(u8::MAX));
        for &(number, name, parts) in KINDS {
            assert_eq!(RecordType(number).name(), Some(name));
            assert_eq!(RecordType(number).parts(), parts);
            let lower = name.to_ascii_lowercase();
            assert_eq!(RecordType::from_name(&lower), Some(RecordType(number)));
        }
    }

    #[test]
    fn types_without_a_name_are_numbered() {
        assert_eq!(RecordType(123).to_string(), "TYPE123");
        assert_eq!(RecordType::from_name("type123"), Some(RecordType(123)));
        assert_eq!(RecordType::from_name("TYPE65536"), None);
        assert_eq!(RecordType::from_name("nonsense"), None);
        assert_eq!(RecordType(40_000).name(), None);
        assert_eq!(
            serde_json::to_string(&[RecordType(65), RecordType(123)]).ok(),
            Some("[\"HTTPS\",\"TYPE123\"]".into())
        );
    }

    #[test]
    fn parts_that_take_the_rest_come_last() {
        for (kind, name) in RecordType::all() {
            let rest = kind.parts().iter().position(|part| {
                matches!(
                    part,
                    Texts | RestText | RestBase64 | RestHex | Bitmap | Ports | Mac | Parameters
                )
            });
            assert!(rest.is_none_or(|at| at + 1 == kind.parts().len()), "{name}");
        }
    }
}

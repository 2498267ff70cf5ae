//! GeoIP country databases, as they were before MaxMind DB.
//!
//! The file begins with a binary tree, one level for each bit of an address
//! from the highest on. A node is two records of 24 bits, little-endian: the
//! first for a bit of 0. A record below `LEAVES` is the number of a node, one
//! from there on is a leaf, and how far it lies above is a country's number.
//! Behind the tree there is free text; near the end three bytes of ones come
//! before the edition. Not here: editions with regions, cities or names.

use std::net::IpAddr;

use super::Bytes;

const NODE: usize = 6;
const LEAVES: u32 = 0xff_ff00;

/// How far before the end of the file the mark of the edition may begin.
const INFO: usize = 20;
const MARK: [u8; 3] = [0xff; 3];

/// Editions. They have been written with 105 added, too.
const COUNTRIES_V4: u8 = 1;
const COUNTRIES_V6: u8 = 12;
const ADDED: u8 = 105;

/// A country database, of one family.
pub(super) struct Legacy {
    bytes: Bytes,
    v6: bool,
}

impl Legacy {
    pub fn read(bytes: Bytes) -> Result<Legacy, String> {
        let edition = edition(&bytes)
            .ok_or("this is neither a MaxMind DB nor a GeoIP country database".to_owned())?;
        let v6 = match edition {
            COUNTRIES_V4 => false,
            COUNTRIES_V6 => true,
            other => {
                return Err(format!(
                    "a GeoIP database of edition {other}; only countries are read, editions 1 and 12"
                ));
            }
        };
        let legacy = Legacy { bytes, v6 };
        // A file that is something else has no tree: wherever addresses lead
        // there must be a leaf.
        let whole = (0..=255u128).all(|top| {
            let address = top << (legacy.bits() - 8);
            legacy.leaf(address).is_some()
        });
        whole
            .then_some(legacy)
            .ok_or("the file is damaged or cut short".to_owned())
    }

    /// The code of an address of this family; `None` also for damage.
    pub fn country(&self, address: IpAddr) -> Option<&'static str> {
        let bits = match (address, self.v6) {
            (IpAddr::V4(address), false) => u32::from(address).into(),
            (IpAddr::V6(address), true) => u128::from(address),
            _ => return None,
        };
        COUNTRIES
            .get(self.leaf(bits)? as usize)
            .copied()
            .filter(|code| *code != NONE)
    }

    fn bits(&self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }

    fn leaf(&self, address: u128) -> Option<u32> {
        let mut node = 0;
        for bit in (0..self.bits()).rev() {
            let at = node * NODE + 3 * (address >> bit & 1) as usize;
            let &[low, middle, high] = self.bytes.get(at..)?.first_chunk::<3>()?;
            let record = u32::from_le_bytes([low, middle, high, 0]);
            match record.checked_sub(LEAVES) {
                Some(country) => return Some(country),
                None => node = record as usize,
            }
        }
        None
    }
}

fn edition(bytes: &[u8]) -> Option<u8> {
    let tail = bytes.get(bytes.len().saturating_sub(INFO + MARK.len())..)?;
    let at = tail
        .windows(MARK.len())
        .rposition(|window| window == MARK)?;
    let edition = *tail.get(at + MARK.len())?;
    Some(edition.checked_sub(ADDED).unwrap_or(edition))
}

/// What unassigned addresses have.
const NONE: &str = "--";

/// Codes by number. A1, A2 and O1 are anonymous proxies, satellites, others.
#[rustfmt::skip]
const COUNTRIES: [&str; 256] = [
    NONE, "AP", "EU", "AD", "AE", "AF", "AG", "AI", "AL", "AM", "CW", "AO", "AQ", "AR", "AS", "AT",
    "AU", "AW", "AZ", "BA", "BB", "BD", "BE", "BF", "BG", "BH", "BI", "BJ", "BM", "BN", "BO", "BR",
    "BS", "BT", "BV", "BW", "BY", "BZ", "CA", "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM",
    "CN", "CO", "CR", "CU", "CV", "CX", "CY", "CZ", "DE", "DJ", "DK", "DM", "DO", "DZ", "EC", "EE",
    "EG", "EH", "ER", "ES", "ET", "FI", "FJ", "FK", "FM", "FO", "FR", "SX", "GA", "GB", "GD", "GE",
    "GF", "GH", "GI", "GL", "GM", "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK", "HM",
    "HN", "HR", "HT", "HU", "ID", "IE", "IL", "IN", "IO", "IQ", "IR", "IS", "IT", "JM", "JO", "JP",
    "KE", "KG", "KH", "KI", "KM", "KN", "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC", "LI", "LK",
    "LR", "LS", "LT", "LU", "LV", "LY", "MA", "MC", "MD", "MG", "MH", "MK", "ML", "MM", "MN", "MO",
    "MP", "MQ", "MR", "MS", "MT", "MU", "MV", "MW", "MX", "MY", "MZ", "NA", "NC", "NE", "NF", "NG",
    "NI", "NL", "NO", "NP", "NR", "NU", "NZ", "OM", "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM",
    "PN", "PR", "PS", "PT", "PW", "PY", "QA", "RE", "RO", "RU", "RW", "SA", "SB", "SC", "SD", "SE",
    "SG", "SH", "SI", "SJ", "SK", "SL", "SM", "SN", "SO", "SR", "ST", "SV", "SY", "SZ", "TC", "TD",
    "TF", "TG", "TH", "TJ", "TK", "TM", "TN", "TO", "TL", "TR", "TT", "TV", "TW", "TZ", "UA", "UG",
    "UM", "US", "UY", "UZ", "VA", "VC", "VE", "VG", "VI", "VN", "VU", "WF", "WS", "YE", "YT", "RS",
    "ZA", "ZM", "ME", "ZW", "A1", "A2", "O1", "AX", "GG", "IM", "JE", "BL", "MF", "BQ", "SS", "O1",
];

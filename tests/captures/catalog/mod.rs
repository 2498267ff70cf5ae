//! Every capture of the project by path.
//!
//! [`streams`]: one small exchange over TCP in every condition that a stream
//! editor meets. [`packets`]: what is not a TCP stream. [`samples`]: the
//! traffic of `sample/`, [`services`]: that of its mail and file transfer,
//! [`tls`]: that of its folders about TLS,
//! [`rules`]: that of `rules/`. [`haka`]: that of `tests/haka`, with
//! [`haka_counts`]. [`dns`], [`http`]: those protocols
//! wherever they are needed.

mod dns;
mod haka;
mod haka_counts;
mod http;
mod packets;
mod rules;
mod samples;
mod services;
mod streams;
mod tls;

use super::pcap::Recording;

pub struct Capture {
    /// Relative to the root of the source tree.
    pub path: String,
    pub recording: Recording,
}

pub fn all() -> Vec<Capture> {
    let mut captures = streams::all();
    captures.extend(packets::all());
    captures.extend(samples::all());
    captures.extend(services::all());
    captures.extend(rules::all());
    captures.extend(tls::all());
    captures.extend(haka::all());
    captures.extend(dns::all());
    captures.extend(http::all());
    captures
}

/// The captures that exist once per address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }
}

/// A capture of `tests/captures`.
fn fixture(name: &str, family: Family, recording: Recording) -> Capture {
    Capture {
        path: format!("tests/captures/{name}-{}.pcap", family.name()),
        recording,
    }
}

//! DNS over UDP and TCP (RFC 1035, 2181, 6891), multicast DNS and LLMNR.
//!
//! `wire.rs` finds everything in a message without decoding it, `name.rs`
//! and `data.rs` make text of names and record data, `message.rs` and
//! `parser.rs` give messages as values; `edit.rs` puts changed ones together.
//! `store.rs` keeps messages that rules read, and `dns.lua` shows them. Not here: zones, caching, DNSSEC
//! validation.

pub mod correlator;
pub mod data;
pub mod datagram;
pub mod edit;
pub mod encode;
pub mod fault;
#[doc(hidden)]
pub mod fuzz;
pub mod judge;
pub mod kinds;
pub mod message;
pub mod name;
pub mod parser;
pub mod store;
pub mod stream;
pub mod wire;

pub use correlator::{Correlator, Observed};
pub use fault::{Fault, FaultKind};
pub use judge::Dns;
pub use kinds::{Class, RecordType};
pub use message::{Anomaly, Content, Edns, Flags, Message, Question, Record};
pub use parser::{Parser, StreamParser};
pub use stream::Reader;

/// Its port over UDP and TCP.
pub const PORT: u16 = 53;
/// Multicast DNS (RFC 6762).
pub const MULTICAST_PORT: u16 = 5353;
/// Link-local multicast name resolution (RFC 4795).
pub const LINK_LOCAL_PORT: u16 = 5355;

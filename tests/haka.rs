//! The rows of Haka 0.4's own test suite, on captures and rules of our own.
//!
//! Each test is named after its row and asserts what the row says: numbers
//! of packets, texts, log lines in order, bytes that leave. The rules are in
//! `tests/haka/rules`, the captures come from `tests/captures/catalog/haka.rs`.

#[path = "haka/core.rs"]
mod core;
#[path = "haka/counts.rs"]
mod counts;
#[path = "haka/dns.rs"]
mod dns;
#[path = "haka/grammar.rs"]
mod grammar;
#[path = "haka/harness.rs"]
mod harness;
#[path = "haka/http.rs"]
mod http;
#[path = "haka/icmp.rs"]
mod icmp;
#[path = "haka/ipv4.rs"]
mod ipv4;
#[path = "haka/packet.rs"]
mod packet;
#[path = "haka/samples.rs"]
mod samples;
#[path = "haka/tcp.rs"]
mod tcp;
#[path = "haka/udp.rs"]
mod udp;
#[path = "haka/units.rs"]
mod units;

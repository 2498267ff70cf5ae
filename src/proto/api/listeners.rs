//! What listeners of the engine's events are called with.

use super::{Argument, arg, dialogues, http, tls};
use crate::event::{EVENTS, EventRow};

pub(super) const DIRECTION: Argument = arg("direction", "'up'|'down'");
const FAULT: Argument = arg("fault", "fault");
const TCP_FLOW: Argument = arg("flow", "tcp_connection");
const DNS: Argument = arg("dns", "dns");
const UDP_FLOW: Argument = arg("flow", "udp_connection");

/// What listeners of one event of an application protocol get.
pub struct Row {
    pub dissector: &'static str,
    pub event: &'static str,
    pub plain: &'static [Argument],
    /// Where the rule has `options = { streamed = true }`.
    pub streamed: Option<&'static [Argument]>,
}

fn application(row: &EventRow) -> Option<&'static Row> {
    [http::LISTENERS, tls::LISTENERS, dialogues::LISTENERS]
        .into_iter()
        .flatten()
        .find(|one| (one.dissector, one.event) == (row.dissector, row.name))
}

/// A packet dissector's name is also that of its objects.
const PACKETS: &[(&str, &[Argument], &[Argument])] = &[
    (
        "packet",
        &[arg("pkt", "packet")],
        &[arg("pkt", "packet"), FAULT],
    ),
    ("ipv4", &[arg("pkt", "ipv4")], &[arg("pkt", "ipv4"), FAULT]),
    ("ipv6", &[arg("pkt", "ipv6")], &[arg("pkt", "ipv6"), FAULT]),
    ("icmp", &[arg("pkt", "icmp")], &[arg("pkt", "icmp"), FAULT]),
    (
        "icmpv6",
        &[arg("pkt", "icmpv6")],
        &[arg("pkt", "icmpv6"), FAULT],
    ),
    ("tcp", &[arg("pkt", "tcp")], &[arg("pkt", "tcp"), FAULT]),
    ("udp", &[arg("pkt", "udp")], &[arg("pkt", "udp"), FAULT]),
];

const FLOWS: &[(&str, &str, &[Argument])] = &[
    (
        "tcp_connection",
        "new_connection",
        &[TCP_FLOW, arg("pkt", "tcp")],
    ),
    (
        "tcp_connection",
        "receive_packet",
        &[TCP_FLOW, arg("pkt", "tcp"), DIRECTION],
    ),
    (
        "tcp_connection",
        "receive_data",
        &[TCP_FLOW, arg("data", "vbuffer_sub"), DIRECTION],
    ),
    ("tcp_connection", "end_connection", &[TCP_FLOW]),
    (
        "udp_connection",
        "new_connection",
        &[UDP_FLOW, arg("pkt", "udp")],
    ),
    (
        "udp_connection",
        "receive_packet",
        &[UDP_FLOW, arg("pkt", "udp"), DIRECTION],
    ),
    (
        "udp_connection",
        "receive_data",
        &[UDP_FLOW, arg("pkt", "udp"), DIRECTION],
    ),
    ("udp_connection", "end_connection", &[UDP_FLOW]),
    ("dns", "query", &[DNS, arg("query", "dns_message")]),
    (
        "dns",
        "response",
        &[
            DNS,
            arg("response", "dns_message"),
            arg("query", "dns_message"),
        ],
    ),
];

const STREAMED: &[Argument] = &[
    TCP_FLOW,
    arg("iter", "vbuffer_iterator_blocking"),
    DIRECTION,
];

/// The arguments of an event; `None` for what nobody can listen to, policies
/// and events that are never raised.
pub fn listener(row: &EventRow) -> Option<&'static [Argument]> {
    let of_flow = FLOWS
        .iter()
        .find(|(dissector, name, _)| (*dissector, *name) == (row.dissector, row.name));
    if let Some((_, _, arguments)) = of_flow {
        return Some(arguments);
    }
    if let Some(row) = application(row) {
        return Some(row.plain);
    }
    let (_, packet, fault) = PACKETS
        .iter()
        .find(|(dissector, ..)| *dissector == row.dissector)?;
    match row.name {
        "protocol_error" => Some(fault),
        name if name.starts_with("policy:") => None,
        _ => Some(packet),
    }
}

/// The arguments where the rule has `options = { streamed = true }`.
pub fn streamed_listener(row: &EventRow) -> Option<&'static [Argument]> {
    match (row.dissector, row.name) {
        ("tcp_connection", "receive_data") => Some(STREAMED),
        _ => application(row)
            .and_then(|one| one.streamed)
            .or_else(|| listener(row)),
    }
}

/// Names of the policies of a dissector.
pub fn policies(dissector: &str) -> Vec<&'static str> {
    let told = policies_told(dissector).into_iter();
    told.map(|(name, _)| name).collect()
}

/// The policies of a dissector, and what they decide.
pub fn policies_told(dissector: &str) -> Vec<(&'static str, &'static str)> {
    // Those that Lua applies by itself have no event of the engine's.
    const BY_LUA: [(&str, &str, &str); 2] = [
        (
            "tcp_connection",
            "new_connection",
            "What happens to a new connection (`srcip`, `srcport`, `dstip`, `dstport`).",
        ),
        (
            "tcp_connection",
            "invalid_handshake",
            "There for Haka's rules; never asked.",
        ),
    ];
    let own = EVENTS.iter().filter(|row| row.dissector == dissector);
    let native = own.filter_map(|row| Some((row.name.strip_prefix("policy:")?, row.doc)));
    let lua = BY_LUA.iter().filter(|(owner, ..)| *owner == dissector);
    native
        .chain(lua.map(|(_, name, doc)| (*name, *doc)))
        .collect()
}

//! One folder per protocol, and the table of all of them.
//!
//! A row of [`PROTOCOLS`] is all that the Lua side, the console and the
//! reference pages need to know; events are rows of `event::EVENTS` under
//! the same name. Application protocols are cargo features: [`optional`].

pub mod api;
pub mod application;
pub mod common;
#[cfg(feature = "dialogue")]
pub mod dialogue;
#[cfg(feature = "dns")]
pub mod dns;
pub mod field;
#[cfg(feature = "ftp")]
pub mod ftp;
#[cfg(feature = "http")]
pub mod http;
pub mod ip;
pub mod line;
pub mod methods;
pub mod optional;
pub mod parser;
#[cfg(feature = "tls")]
pub mod quic;
#[cfg(feature = "smtp")]
pub mod smtp;
#[cfg(feature = "ssh")]
pub mod ssh;
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;
pub mod udp;

use crate::core::dissector;
use application::{Factory, Over};
use field::Field;

/// The outline in the guide for new protocols compiles.
#[cfg(doctest)]
#[doc = include_str!("../../doc/develop/add-a-protocol.md")]
pub struct AddAProtocol;

/// A module that rule files can `require`, mostly a dissector.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Name of the dissector, as in `haka.dissectors`.
    pub name: &'static str,
    /// What rule files give to `require`; empty for the one always there.
    pub require: &'static str,
    /// Bit of [`dissector`]; 0 for modules without a dissector.
    pub bit: u16,
    /// Modules loaded before, by their `require` names.
    pub needs: &'static [&'static str],
    /// As `needs`, where IPv6 packets have a dissector by default.
    pub needs_with_ipv6: &'static [&'static str],
    /// Name of the Lua chunk that announces it; two rows may share one.
    pub chunk: &'static str,
    pub source: &'static str,
    /// Chunks that it builds on, with their names.
    pub parts: &'static [(&'static str, &'static str)],
    pub fields: &'static [Field],
    /// Where it is found, unless rules say otherwise.
    pub over: &'static [Over],
    /// Makes the reader of a TCP connection, for those that read streams.
    pub application: Option<Factory>,
}

/// What rows leave out.
const MODULE: Protocol = Protocol {
    name: "",
    require: "",
    bit: 0,
    needs: &[],
    needs_with_ipv6: &[],
    chunk: "",
    source: "",
    parts: &[],
    fields: &[],
    over: &[],
    application: None,
};

const IPV4: &str = "protocol/ipv4";
const IPV6: &str = "protocol/ipv6";
const TCP: &str = "protocol/tcp";
const UDP: &str = "protocol/udp";
const TCP_CONNECTION: &str = "protocol/tcp_connection";
const UDP_CONNECTION: &str = "protocol/udp_connection";

/// Every module, dependencies before those that need them.
pub const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "packet",
        chunk: "proto/packet",
        source: include_str!("packet.lua"),
        ..MODULE
    },
    Protocol {
        name: "ip",
        require: "protocol/ip",
        chunk: "proto/ip/ip",
        source: include_str!("ip/ip.lua"),
        ..MODULE
    },
    Protocol {
        name: "ipv4",
        require: IPV4,
        bit: dissector::IPV4,
        chunk: "proto/ip/ipv4",
        source: include_str!("ip/ipv4.lua"),
        fields: ip::fields::IPV4,
        ..MODULE
    },
    Protocol {
        name: "ipv4lua",
        require: "protocol/ipv4lua",
        needs: &[IPV4],
        chunk: "proto/ip/ipv4lua",
        source: include_str!("ip/ipv4lua.lua"),
        ..MODULE
    },
    Protocol {
        name: "ipv6",
        require: IPV6,
        bit: dissector::IPV6,
        chunk: "proto/ip/ipv6",
        source: include_str!("ip/ipv6.lua"),
        fields: ip::fields::IPV6,
        ..MODULE
    },
    Protocol {
        name: "icmp",
        require: "protocol/icmp",
        bit: dissector::ICMP,
        needs: &[IPV4],
        chunk: "proto/ip/icmp",
        source: include_str!("ip/icmp.lua"),
        fields: ip::fields::ICMP,
        ..MODULE
    },
    Protocol {
        name: "icmpv6",
        require: "protocol/icmpv6",
        bit: dissector::ICMPV6,
        needs: &[IPV6],
        chunk: "proto/ip/icmp",
        source: include_str!("ip/icmp.lua"),
        fields: ip::fields::ICMP,
        ..MODULE
    },
    Protocol {
        name: "tcp",
        require: TCP,
        bit: dissector::TCP,
        needs: &[IPV4],
        needs_with_ipv6: &[IPV6],
        chunk: "proto/tcp/tcp",
        source: include_str!("tcp/tcp.lua"),
        parts: &[
            ("proto/tcp/sent", include_str!("tcp/sent.lua")),
            ("proto/tcp/stream", include_str!("tcp/stream.lua")),
        ],
        fields: tcp::fields::TCP,
        ..MODULE
    },
    Protocol {
        name: "udp",
        require: UDP,
        bit: dissector::UDP,
        needs: &[IPV4],
        needs_with_ipv6: &[IPV6],
        chunk: "proto/udp/udp",
        source: include_str!("udp/udp.lua"),
        fields: udp::fields::UDP,
        ..MODULE
    },
    Protocol {
        name: "tcp_connection",
        require: TCP_CONNECTION,
        bit: dissector::TCP_CONNECTION,
        needs: &[TCP],
        chunk: "proto/tcp/connection",
        source: include_str!("tcp/connection.lua"),
        ..MODULE
    },
    #[cfg(feature = "http")]
    Protocol {
        name: "http_utils",
        require: "protocol/http_utils",
        chunk: "proto/http/utils",
        source: include_str!("http/utils.lua"),
        ..MODULE
    },
    #[cfg(feature = "http")]
    Protocol {
        name: "http",
        require: "protocol/http",
        bit: dissector::HTTP,
        needs: &[TCP_CONNECTION, "protocol/http_utils"],
        chunk: "proto/http/http",
        source: include_str!("http/http.lua"),
        over: &[Over::TcpPort(80), Over::TcpProbe(http::probe)],
        application: Some(|| Box::<http::Reader>::default()),
        ..MODULE
    },
    #[cfg(feature = "smtp")]
    Protocol {
        name: "smtp",
        require: "protocol/smtp",
        bit: dissector::SMTP,
        needs: &[TCP_CONNECTION],
        chunk: "proto/smtp/smtp",
        source: include_str!("smtp/smtp.lua"),
        over: &[
            Over::TcpPort(25),
            Over::TcpPort(587),
            Over::TcpProbe(smtp::probe),
        ],
        application: Some(|| Box::new(smtp::reader())),
        ..MODULE
    },
    #[cfg(feature = "ftp")]
    Protocol {
        name: "ftp",
        require: "protocol/ftp",
        bit: dissector::FTP,
        needs: &[TCP_CONNECTION],
        chunk: "proto/ftp/ftp",
        source: include_str!("ftp/ftp.lua"),
        over: &[Over::TcpPort(21), Over::TcpProbe(ftp::probe)],
        application: Some(|| Box::new(ftp::reader())),
        ..MODULE
    },
    #[cfg(feature = "ssh")]
    Protocol {
        name: "ssh",
        require: "protocol/ssh",
        bit: dissector::SSH,
        needs: &[TCP_CONNECTION],
        chunk: "proto/ssh/ssh",
        source: include_str!("ssh/ssh.lua"),
        over: &[Over::TcpPort(22), Over::TcpProbe(ssh::probe)],
        application: Some(|| Box::new(ssh::reader())),
        ..MODULE
    },
    #[cfg(feature = "tls")]
    Protocol {
        name: "tls",
        require: "protocol/tls",
        bit: dissector::TLS,
        needs: &[TCP_CONNECTION],
        chunk: "proto/tls/tls",
        source: include_str!("tls/tls.lua"),
        over: tls::OVER,
        application: Some(|| Box::<tls::Session>::default()),
        ..MODULE
    },
    Protocol {
        name: "udp_connection",
        require: UDP_CONNECTION,
        bit: dissector::UDP_CONNECTION,
        needs: &[UDP],
        chunk: "proto/udp/connection",
        source: include_str!("udp/connection.lua"),
        ..MODULE
    },
    #[cfg(feature = "tls")]
    Protocol {
        name: "quic",
        require: "protocol/quic",
        bit: dissector::QUIC,
        needs: &[UDP_CONNECTION],
        chunk: "proto/quic/quic",
        source: include_str!("quic/quic.lua"),
        over: &[Over::UdpPort(443)],
        ..MODULE
    },
    #[cfg(feature = "dns")]
    Protocol {
        name: "dns",
        require: "protocol/dns",
        bit: dissector::DNS,
        needs: &[UDP_CONNECTION],
        // Haka's DNS was that of UDP; the other profile reads it over TCP too.
        needs_with_ipv6: &[TCP_CONNECTION],
        chunk: "proto/dns/dns",
        source: include_str!("dns/dns.lua"),
        parts: &[("proto/dns/records", include_str!("dns/records.lua"))],
        over: &[
            Over::UdpPort(dns::PORT),
            Over::TcpPort(dns::PORT),
            Over::UdpPort(dns::MULTICAST_PORT),
            Over::UdpPort(dns::LINK_LOCAL_PORT),
        ],
        application: Some(|| Box::<dns::Reader>::default()),
        ..MODULE
    },
];

#[cfg(test)]
mod tests {
    use super::field::Shape;
    use super::*;

    #[test]
    fn needs_come_before_those_that_need_them() {
        for (at, protocol) in PROTOCOLS.iter().enumerate() {
            for needed in protocol.needs.iter().chain(protocol.needs_with_ipv6) {
                assert!(
                    PROTOCOLS[..at]
                        .iter()
                        .any(|earlier| earlier.require == *needed),
                    "{} needs {needed}",
                    protocol.name
                );
            }
        }
    }

    #[test]
    fn fields_are_such_as_the_lua_side_can_read() {
        for field in PROTOCOLS.iter().flat_map(|protocol| protocol.fields) {
            let name = field.name;
            assert!(!field.doc.is_empty(), "{name}");
            match field.shape {
                Shape::Address { which } => {
                    assert!(which < 2 && matches!(field.width, 4 | 16), "{name}")
                }
                Shape::Flag { mask } => assert!(
                    mask.is_power_of_two() && mask <= 0x80 && field.width == 1,
                    "{name}"
                ),
                Shape::Number { mask, shift, unit } => {
                    assert!(matches!(field.width, 1 | 2 | 4) && unit > 0, "{name}");
                    assert!(u64::from(mask) < 1 << (8 * field.width), "{name}");
                    assert_eq!(mask & ((1 << shift) - 1), 0, "{name}: bits below the shift");
                }
            }
        }
    }

    #[test]
    fn masks_of_one_byte_do_not_overlap_but_for_the_sums() {
        for protocol in PROTOCOLS {
            let mut bits = 0u8;
            for field in protocol
                .fields
                .iter()
                .filter(|field| field.name.starts_with("flags."))
            {
                if let Shape::Flag { mask } = field.shape {
                    assert_eq!(
                        u32::from(bits) & mask,
                        0,
                        "{} {}",
                        protocol.name,
                        field.name
                    );
                    bits |= mask as u8;
                }
            }
        }
    }
}

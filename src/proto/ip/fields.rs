//! Fields of the IPv4, IPv6, ICMP and ICMPv6 headers (RFC 791, 8200, 792, 4443).

use crate::proto::field::{Field, Header::Network, Header::Transport};

/// The 20 bytes of an IPv4 header; options are not fields.
pub const IPV4: &[Field] = &[
    Field::number("version", Network, 0, 1, "IP version, 4.").bits(0xf0, 4),
    Field::number("hdr_len", Network, 0, 1, "Header length in bytes.")
        .bits(0x0f, 0)
        .scaled(4),
    Field::number("tos", Network, 1, 1, "Type of service: DSCP and ECN."),
    Field::number("len", Network, 2, 2, "Total length in bytes."),
    Field::number("id", Network, 4, 2, "Identification of the datagram."),
    Field::flag("flags.rb", Network, 6, 0x80, "Reserved bit."),
    Field::flag("flags.df", Network, 6, 0x40, "Don't fragment."),
    Field::flag("flags.mf", Network, 6, 0x20, "More fragments follow."),
    Field::number("flags.all", Network, 6, 1, "The three flags, `rb` first.").bits(0xe0, 5),
    Field::number("frag_offset", Network, 6, 2, "Fragment offset in bytes.")
        .bits(0x1fff, 0)
        .scaled(8),
    Field::number("ttl", Network, 8, 1, "Time to live."),
    Field::number("proto", Network, 9, 1, "Protocol of the payload."),
    Field::number("checksum", Network, 10, 2, "Header checksum."),
    Field::address("src", 12, 4, 0, "Source address."),
    Field::address("dst", 16, 4, 1, "Destination address."),
];

/// The 40 bytes of an IPv6 header; extension headers are not fields.
pub const IPV6: &[Field] = &[
    Field::number("version", Network, 0, 1, "IP version, 6.").bits(0xf0, 4),
    Field::number(
        "traffic_class",
        Network,
        0,
        2,
        "Traffic class: DSCP and ECN.",
    )
    .bits(0x0ff0, 4),
    Field::number("flow_label", Network, 0, 4, "Flow label, 20 bits.").bits(0x000f_ffff, 0),
    Field::number(
        "len",
        Network,
        4,
        2,
        "Payload length in bytes, extension headers included.",
    ),
    Field::number(
        "next_header",
        Network,
        6,
        1,
        "Protocol of what follows this header.",
    ),
    Field::number("hop_limit", Network, 7, 1, "Hop limit."),
    Field::number("ttl", Network, 7, 1, "Hop limit, under its IPv4 name."),
    Field::address("src", 8, 16, 0, "Source address."),
    Field::address("dst", 24, 16, 1, "Destination address."),
];

/// What all ICMP and ICMPv6 messages begin with.
pub const ICMP: &[Field] = &[
    Field::number("type", Transport, 0, 1, "Message type."),
    Field::number("code", Transport, 1, 1, "Code within the type."),
    Field::number("checksum", Transport, 2, 2, "Checksum of the message."),
];

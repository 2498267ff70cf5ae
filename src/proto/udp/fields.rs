//! Fields of the UDP header (RFC 768).

use crate::proto::field::{Field, Header::Transport};

pub const UDP: &[Field] = &[
    Field::number("srcport", Transport, 0, 2, "Source port."),
    Field::number("dstport", Transport, 2, 2, "Destination port."),
    Field::number(
        "length",
        Transport,
        4,
        2,
        "Length of header and payload in bytes.",
    ),
    Field::number(
        "checksum",
        Transport,
        6,
        2,
        "Checksum; 0 means none (over IPv4).",
    ),
];

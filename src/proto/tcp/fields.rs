//! Fields of the TCP header (RFC 9293, 3.1); options are not fields.

use crate::proto::field::{Field, Header::Transport};

pub const TCP: &[Field] = &[
    Field::number("srcport", Transport, 0, 2, "Source port."),
    Field::number("dstport", Transport, 2, 2, "Destination port."),
    Field::number("seq", Transport, 4, 4, "Sequence number."),
    Field::number("ack_seq", Transport, 8, 4, "Acknowledgement number."),
    Field::number("hdr_len", Transport, 12, 1, "Header length in bytes.")
        .bits(0xf0, 4)
        .scaled(4),
    Field::number("res", Transport, 12, 1, "Reserved bits.").bits(0x0f, 0),
    Field::flag(
        "flags.fin",
        Transport,
        13,
        0x01,
        "No more data from the sender.",
    ),
    Field::flag(
        "flags.syn",
        Transport,
        13,
        0x02,
        "Synchronise sequence numbers.",
    ),
    Field::flag("flags.rst", Transport, 13, 0x04, "Reset the connection."),
    Field::flag("flags.psh", Transport, 13, 0x08, "Push."),
    Field::flag(
        "flags.ack",
        Transport,
        13,
        0x10,
        "The acknowledgement number counts.",
    ),
    Field::flag(
        "flags.urg",
        Transport,
        13,
        0x20,
        "The urgent pointer counts.",
    ),
    Field::flag("flags.ecn", Transport, 13, 0x40, "ECN echo."),
    Field::flag(
        "flags.cwr",
        Transport,
        13,
        0x80,
        "Congestion window reduced.",
    ),
    Field::number(
        "flags.all",
        Transport,
        13,
        1,
        "All flags as a byte, `fin` is 1.",
    ),
    Field::number("window_size", Transport, 14, 2, "Window, unscaled."),
    Field::number(
        "checksum",
        Transport,
        16,
        2,
        "Checksum of header, payload and addresses.",
    ),
    Field::number("urgent_pointer", Transport, 18, 2, "Urgent pointer."),
];

//! Packets and flows, and the modules of their protocols.

use super::{Argument, Member, Object, arg, function, method, property, writable};

const PARENT: &[Argument] = &[arg("which", "integer|string?")];

/// What all packet objects have; the macro puts it before their own members.
macro_rules! packet_members {
    ($($own:expr),* $(,)?) => {
        &[
            property("name", "string", "Name of the dissector."),
            method("drop", &[], "nil", "Refuses the packet: it does not leave."),
            method("send", &[], "nil", "Lets the packet go on now; later rules do not see it."),
            method("inject", &[], "nil", "Puts a packet that a rule made into the traffic."),
            method("error", &[], "nil", "What happens to the packet on an error: `drop`."),
            method("can_continue", &[], "boolean", "Whether it was neither sent nor dropped."),
            method("continue", &[], "nil", "Ends the delivery of the event if the packet is gone."),
            method("parent", PARENT, "any", "The layer below: directly, so many deep, or by name."),
            method("trigger", &[arg("event", "string"), arg("...", "any")], "nil", "Raises an event of its dissector."),
            method("alert", &[arg("fields", "alert.fields")], "alert_handle", "Raises an alert."),
            method("select_next_dissector", &[arg("dissector", "any")], "nil", "Says who reads the payload."),
            method("activate_next_dissector", &[], "any", "Makes the chosen dissector ready and gives it."),
            method("receive", &[], "nil", "Reads the packet; the engine has done so."),
            method("preceive", &[], "nil", "As `receive`, with errors contained."),
            $($own,)*
        ]
    };
}

const VERIFY: Member = method(
    "verify_checksum",
    &[],
    "boolean",
    "Whether the checksum is right.",
);
const COMPUTE: Member = method("compute_checksum", &[], "nil", "Writes the right checksum.");

const RELATED: Member = property(
    "related",
    "tcp_connection|udp_connection?",
    "The flow that an error is about, if rules see flows of its protocol; else nil.",
);
const RELATED_DIRECTION: Member = property(
    "related_direction",
    "'up'|'down'?",
    "Which way the quoted packet went on its flow; nil where no flow is known.",
);

/// What all flow objects have.
macro_rules! flow_members {
    ($($own:expr),* $(,)?) => {
        &[
            property("name", "string", "Name of the dissector."),
            property("srcip", "addr", "Who opened it."),
            property("dstip", "addr", "Whom to."),
            property("srcport", "integer", "Port of the opener."),
            property("dstport", "integer", "Port it was opened to."),
            property("id", "integer", "Number of the flow."),
            property("state", "string?", "State of the connection; nil once it is over."),
            property("label", "string?", "What it is for, where another connection announced it: `ftp-data`."),
            property("expected_by", "tcp_connection?", "The connection that announced it, while that lasts."),
            property("in_pkts", "integer", "Packets from the opener."),
            property("in_bytes", "integer", "Bytes from the opener."),
            property("out_pkts", "integer", "Packets to the opener."),
            property("out_bytes", "integer", "Bytes to the opener."),
            method("error", &[], "nil", "What happens to the flow on an error: `drop`."),
            method("can_continue", &[], "boolean", "Whether the flow is not over."),
            method("bypass", &[], "boolean", "Lets the rest of the flow pass without being shown; false if rules have edited it."),
            method("continue", &[], "nil", "Ends the delivery of the event if the flow is over."),
            method("parent", PARENT, "any", "Its entry in the table of connections."),
            method("trigger", &[arg("event", "string"), arg("...", "any")], "nil", "Raises an event of its dissector."),
            method("alert", &[arg("fields", "alert.fields")], "alert_handle", "Raises an alert."),
            method("select_next_dissector", &[arg("dissector", "any")], "nil", "Says who reads the flow."),
            method("activate_next_dissector", &[], "any", "Makes the chosen dissector ready and gives it."),
            $($own,)*
        ]
    };
}

pub const OBJECTS: &[Object] = &[
    Object::new(
        "packet",
        "A captured frame.",
        packet_members![
            property(
                "id",
                "integer",
                "Number in the capture, from 1; 0 for made ones."
            ),
            property("timestamp", "time", "When it was captured."),
            property("payload", "vbuffer", "What the link layer carries."),
            property(
                "data",
                "table",
                "A table for rules, as long as the packet is there."
            ),
            method(
                "state",
                &[],
                "'normal'|'forged'|'sent'",
                "Captured, made, or gone."
            ),
            method("issent", &[], "boolean", "Whether it was sent or dropped."),
        ],
    ),
    Object::new(
        "ipv4",
        "An IPv4 packet.",
        packet_members![
            VERIFY,
            COMPUTE,
            property("payload", "vbuffer", "What the packet carries."),
            writable(
                "dont_reassemble",
                "boolean",
                "A fragment goes on by itself."
            ),
            method(
                "reassemble",
                &[],
                "ipv4",
                "The whole datagram; the engine makes it."
            ),
        ],
    )
    .fields_of("ipv4")
    .over(&["packet"]),
    Object::new(
        "ipv6",
        "An IPv6 packet.",
        packet_members![
            VERIFY,
            COMPUTE,
            property("payload", "vbuffer", "What the packet carries."),
            property("proto", "integer", "Protocol behind all extension headers."),
            property(
                "hdr_len",
                "integer",
                "Bytes of the header and its extensions."
            ),
            writable(
                "dont_reassemble",
                "boolean",
                "A fragment goes on by itself."
            ),
            method(
                "reassemble",
                &[],
                "ipv6",
                "The whole datagram; the engine makes it."
            ),
        ],
    )
    .fields_of("ipv6")
    .over(&["packet"]),
    Object::new(
        "icmp",
        "An ICMP message.",
        packet_members![
            VERIFY,
            COMPUTE,
            property(
                "payload",
                "vbuffer_sub",
                "What follows type, code and checksum."
            ),
            RELATED,
            RELATED_DIRECTION,
        ],
    )
    .fields_of("icmp")
    .over(&["ipv4", "packet"])
    .open(),
    Object::new(
        "icmpv6",
        "An ICMPv6 message.",
        packet_members![
            VERIFY,
            COMPUTE,
            property(
                "payload",
                "vbuffer_sub",
                "What follows type, code and checksum."
            ),
            RELATED,
            RELATED_DIRECTION,
        ],
    )
    .fields_of("icmpv6")
    .over(&["ipv6", "packet"])
    .open(),
    Object::new(
        "tcp",
        "A TCP segment. What it does not know itself is read from the IP packet.",
        packet_members![
            VERIFY,
            COMPUTE,
            property("payload", "vbuffer", "What the segment carries."),
        ],
    )
    .fields_of("tcp")
    .over(&["ipv4", "ipv6", "packet"]),
    Object::new(
        "udp",
        "A UDP datagram. What it does not know itself is read from the IP packet.",
        packet_members![
            VERIFY,
            COMPUTE,
            property("payload", "vbuffer_sub", "What the datagram carries."),
        ],
    )
    .fields_of("udp")
    .over(&["ipv4", "ipv6", "packet"])
    .open(),
    Object::new(
        "tcp_connection",
        "A TCP connection; rules may keep fields in it for as long as it lasts.",
        flow_members![
            method(
                "drop",
                &[],
                "nil",
                "Refuses all further packets of the connection."
            ),
            method(
                "reset",
                &[],
                "nil",
                "Sends an RST to both ends and drops the connection."
            ),
            method(
                "halfreset",
                &[],
                "nil",
                "Sends an RST to the server and drops the connection."
            ),
            method(
                "send",
                &[arg("direction", "'up'|'down'?")],
                "nil",
                "Lets go what readers have passed."
            ),
        ],
    )
    .open(),
    Object::new(
        "udp_connection",
        "The datagrams between two ends; rules may keep fields in it for as long as it lasts.",
        flow_members![
            method(
                "drop",
                &[arg("pkt", "udp?")],
                "nil",
                "Refuses the packet, or all of the flow."
            ),
            method(
                "send",
                &[
                    arg("pkt", "udp"),
                    arg("payload", "vbuffer_sub?"),
                    arg("clone", "boolean?")
                ],
                "vbuffer?",
                "Sends a packet of the flow."
            ),
        ],
    )
    .open(),
    Object::new(
        "fault",
        "Why a header could not be read.",
        &[
            property("layer", "string", "The header's name."),
            property("fault", "string", "What is wrong with it."),
            property(
                "offset",
                "integer",
                "Where, in bytes from the start of the frame.",
            ),
            property("description", "string", "All of it in words."),
        ],
    ),
    Object::new(
        "protocol.ip",
        "Addresses and networks of either family.",
        &[
            function(
                "addr",
                &[arg("text", "string|addr")],
                "addr",
                "An address from its text.",
            ),
            function(
                "network",
                &[arg("net", "string|addr"), arg("bits", "integer?")],
                "network",
                "A network from its text, or from address and prefix length.",
            ),
            function(
                "inet_checksum",
                &[],
                "inet_checksum",
                "A checksum over several pieces.",
            ),
            function(
                "inet_checksum_compute",
                &[arg("data", "vbuffer|vbuffer_sub")],
                "integer",
                "The Internet checksum of the bytes.",
            ),
        ],
    )
    .module("protocol/ip"),
    Object::new(
        "protocol.ipv4",
        "The IPv4 dissector.",
        &[
            function(
                "addr",
                &[
                    arg("address", "string|number"),
                    arg("b", "integer?"),
                    arg("c", "integer?"),
                    arg("d", "integer?"),
                ],
                "addr",
                "An address from text, a number or four bytes.",
            ),
            function(
                "network",
                &[arg("net", "string|addr"), arg("bits", "integer?")],
                "network",
                "A network from its text, or from address and prefix length.",
            ),
            function(
                "cnx_table",
                &[],
                "cnx_table",
                "A table of connections of one's own.",
            ),
            function(
                "inet_checksum",
                &[],
                "inet_checksum",
                "A checksum over several pieces.",
            ),
            function(
                "inet_checksum_compute",
                &[arg("data", "vbuffer|vbuffer_sub")],
                "integer",
                "The Internet checksum of the bytes.",
            ),
        ],
    )
    .module("protocol/ipv4"),
    Object::new(
        "protocol.ipv6",
        "The IPv6 dissector.",
        &[
            function(
                "addr",
                &[arg("address", "string")],
                "addr",
                "An address from its text.",
            ),
            function(
                "network",
                &[arg("net", "string|addr"), arg("bits", "integer?")],
                "network",
                "A network from its text, or from address and prefix length.",
            ),
        ],
    )
    .module("protocol/ipv6"),
    Object::new(
        "protocol.ipv4lua",
        "IPv4 by a grammar, with options: takes the place of the engine's dissector.",
        &[],
    )
    .module("protocol/ipv4lua"),
    Object::new("protocol.icmp", "The ICMP dissector.", &[]).module("protocol/icmp"),
    Object::new("protocol.icmpv6", "The ICMPv6 dissector.", &[]).module("protocol/icmpv6"),
    Object::new(
        "protocol.tcp",
        "The TCP dissector: single segments.",
        &[function(
            "tcp_stream",
            &[],
            "tcp_stream",
            "An empty stream for the segments of one direction.",
        )],
    )
    .module("protocol/tcp"),
    Object::new(
        "tcp_stream",
        "One direction of a connection, put together by a rule out of packets that it keeps.",
        &[
            method(
                "init",
                &[arg("seq", "integer")],
                "nil",
                "Begins at the number of the first byte.",
            ),
            method(
                "push",
                &[arg("pkt", "tcp")],
                "vbuffer_iterator?",
                "Takes a packet. An iterator at its bytes, at the end if bytes before them are missing; nil if it brings nothing that may enter, and may be gone.",
            ),
            method(
                "pop",
                &[],
                "tcp?",
                "The next packet whose bytes no mark holds, to be sent; nil if there is none.",
            ),
            method(
                "seq",
                &[arg("pkt", "tcp")],
                "nil",
                "Moves the number of a packet of this direction that is not pushed.",
            ),
            method(
                "ack",
                &[arg("pkt", "tcp")],
                "nil",
                "Makes a packet of the other direction acknowledge what the sender sent.",
            ),
            method(
                "clear",
                &[],
                "nil",
                "Drops what is held; `init` begins again.",
            ),
            property(
                "stream",
                "vbuffer_stream",
                "The bytes of the packets that are held.",
            ),
            property(
                "lastseq",
                "integer",
                "The number that follows what was popped, as its receiver counts.",
            ),
        ],
    ),
    Object::new("protocol.udp", "The UDP dissector: single datagrams.", &[]).module("protocol/udp"),
    Object::new(
        "protocol.tcp_connection",
        "The dissector of TCP connections.",
        &[
            property(
                "helper",
                "tcp_connection.helper",
                "The base of dissectors that read streams.",
            ),
            property(
                "console",
                "tcp_connection.console",
                "Lists and ends connections.",
            ),
        ],
    )
    .module("protocol/tcp_connection"),
    Object::new(
        "tcp_connection.helper",
        "The base of dissectors that read streams.",
        &[property(
            "TcpFlowDissector",
            "dissector_class",
            "The class; its objects are `tcp_flow_dissector`.",
        )],
    ),
    Object::new(
        "protocol.udp_connection",
        "The dissector of UDP flows.",
        &[
            property(
                "helper",
                "udp_connection.helper",
                "The base of dissectors that read datagrams.",
            ),
            property("console", "udp_connection.console", "Lists and ends flows."),
        ],
    )
    .module("protocol/udp_connection"),
    Object::new(
        "udp_connection.helper",
        "The base of dissectors that read datagrams.",
        &[property(
            "UdpFlowDissector",
            "dissector_class",
            "The class; its objects are `udp_flow_dissector`.",
        )],
    ),
];

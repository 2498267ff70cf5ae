//! TLS and QUIC: the connection, the messages of a handshake, the modules.

use super::listeners::{DIRECTION, Row};
use super::{Argument, Member, Object, arg, method, property};

const PARENT: &[Argument] = &[arg("which", "integer|string?")];
const TLS: Argument = arg("tls", "tls");

pub const LISTENERS: &[Row] = &[
    Row {
        dissector: "tls",
        event: "client_hello",
        plain: &[TLS, arg("hello", "tls.client_hello")],
        streamed: None,
    },
    Row {
        dissector: "tls",
        event: "server_hello",
        plain: &[TLS, arg("hello", "tls.server_hello")],
        streamed: None,
    },
    Row {
        dissector: "tls",
        event: "certificate",
        plain: &[TLS, arg("certificate", "tls.certificate"), DIRECTION],
        streamed: None,
    },
    Row {
        dissector: "tls",
        event: "alert",
        plain: &[TLS, arg("alert", "tls.alert"), DIRECTION],
        streamed: None,
    },
    Row {
        dissector: "quic",
        event: "client_hello",
        plain: &[arg("quic", "quic"), arg("hello", "tls.client_hello")],
        streamed: None,
    },
];

const NAME: Member = property("name", "string", "Name of the dissector.");
const CAN_CONTINUE: Member = method(
    "can_continue",
    &[],
    "boolean",
    "Whether the connection is not over.",
);
const CONTINUE: Member = method(
    "continue",
    &[],
    "nil",
    "Ends the delivery of the event if the connection is over.",
);
const OWN_PARENT: Member = method("parent", PARENT, "any", "The flow, or what lies below it.");
const TRIGGER: Member = method(
    "trigger",
    &[arg("event", "string"), arg("...", "any")],
    "nil",
    "Raises an event of its dissector.",
);
const ALERT: Member = method(
    "alert",
    &[arg("alert", "table")],
    "alert_handle",
    "Raises an alert.",
);
const ERROR: Member = method(
    "error",
    &[],
    "nil",
    "What happens to the connection on an error: `drop`.",
);
const CLIENT_HELLO: Member = property(
    "client_hello",
    "tls.client_hello?",
    "The last hello of the client.",
);
const RECORD_VERSION: Member = property(
    "record_version",
    "integer?",
    "Version of the record that the hello began in; none over QUIC, 2 for the form of SSL 2.0.",
);
const RANDOM: Member = property("random", "string", "The random value, as raw bytes.");
const SESSION_ID: Member = property("session_id", "string", "The session id, as raw bytes.");
const EXTENSIONS: Member = property(
    "extensions",
    "integer[]",
    "Numbers of the extensions, in order.",
);

pub const OBJECTS: &[Object] = &[
    Object::new(
        "tls",
        "A connection that speaks TLS, as far as it is in the clear; what it does not know is asked of its flow.",
        &[
            NAME,
            CLIENT_HELLO,
            property(
                "server_hello",
                "tls.server_hello?",
                "The last hello of the server, where a rule listens to the server.",
            ),
            property(
                "certificate",
                "tls.certificate?",
                "The last certificate, where a rule listens to certificates.",
            ),
            method("drop", &[], "nil", "Drops the connection: what is held never gets to the other side."),
            method("reset", &[], "nil", "Resets the connection at both ends."),
            ERROR,
            CAN_CONTINUE,
            CONTINUE,
            OWN_PARENT,
            TRIGGER,
            ALERT,
        ],
    )
    .open()
    .over(&["tcp_connection"]),
    Object::new(
        "quic",
        "A flow that speaks QUIC, as far as anyone can read it; what it does not know is asked of its flow.",
        &[
            NAME,
            CLIENT_HELLO,
            method("drop", &[], "nil", "Drops the flow: this datagram and all that follow."),
            ERROR,
            CAN_CONTINUE,
            CONTINUE,
            OWN_PARENT,
            TRIGGER,
            ALERT,
        ],
    )
    .open()
    .over(&["udp_connection"]),
    Object::new(
        "tls.client_hello",
        "What a client offers. Parts are taken out of the message when they are first read.",
        &[
            property("sni", "string?", "The name of the server that the client wants."),
            property("alpn", "string[]", "The protocols that it would speak, in order."),
            property(
                "version",
                "integer",
                "The version field, such as 0x0303; TLS 1.3 says 1.2 here and means `versions`.",
            ),
            property(
                "versions",
                "integer[]",
                "The extension `supported_versions`, in order; empty before TLS 1.3.",
            ),
            RECORD_VERSION,
            property("quic_version", "integer?", "Version of QUIC that carried it."),
            property("ssl2", "boolean", "It came in the form of SSL 2.0."),
            RANDOM,
            SESSION_ID,
            property("ciphers", "integer[]", "Cipher suites, in order."),
            property("compression", "integer[]", "Compression methods."),
            EXTENSIONS,
            property("groups", "integer[]", "Named groups, once called elliptic curves."),
            property("point_formats", "integer[]", "Formats of curve points."),
            property(
                "signature_algorithms",
                "integer[]",
                "Signature algorithms, in order.",
            ),
            property("ja3", "string?", "JA3, the MD5 of `ja3_string`; none for the form of SSL 2.0."),
            property("ja3_string", "string?", "The text that JA3 is made of."),
            property("ja4", "string", "JA4, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`."),
        ],
    )
    .open(),
    Object::new(
        "tls.server_hello",
        "What the server chose.",
        &[
            property("version", "integer", "The version field; TLS 1.3 says 1.2 here."),
            property(
                "selected_version",
                "integer?",
                "The version of TLS 1.3 and later.",
            ),
            RECORD_VERSION,
            property("cipher", "integer", "The cipher suite."),
            property("alpn", "string?", "The protocol; TLS 1.3 encrypts it."),
            EXTENSIONS,
            RANDOM,
            SESSION_ID,
            property(
                "hello_retry_request",
                "boolean",
                "It asks the client for another hello.",
            ),
            property("ja3s", "string", "JA3S, the fingerprint of this answer."),
        ],
    )
    .open(),
    Object::new(
        "tls.certificate",
        "The first certificate of a chain, up to TLS 1.2; nothing of it is verified. One that cannot be read has only a hash.",
        &[
            property("subject", "string?", "Whom it is for, such as `C=DE, O=Example, CN=www.example.org`."),
            property("issuer", "string?", "Who signed it."),
            property("not_before", "time?", "Since when it holds."),
            property("not_after", "time?", "Until when it holds."),
            property(
                "sans",
                "string[]",
                "Alternative names: host names, addresses, mail addresses, URIs.",
            ),
            property("serial", "string?", "The serial number in hexadecimal."),
            property("sha256", "string", "SHA-256 of its bytes in hexadecimal."),
            property("chain_length", "integer", "Certificates in the message."),
        ],
    )
    .open(),
    Object::new(
        "tls.alert",
        "One side's complaint, before encryption began.",
        &[
            property("level", "'warning'|'fatal'", "How bad it is."),
            property("description", "integer", "Number of the alert."),
            property("name", "string?", "Its name, such as `handshake_failure`."),
        ],
    )
    .open(),
    Object::new("tls_module", "TLS over TCP connections.", &[]).module("protocol/tls"),
    Object::new("quic_module", "The hellos of QUIC.", &[]).module("protocol/quic"),
];

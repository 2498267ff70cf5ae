//! SMTP, FTP and SSH: connections, messages, and the modules.

use super::listeners::Row;
use super::{Argument, Member, Object, arg, method, property, writable};

const PARENT: &[Argument] = &[arg("which", "integer|string?")];
const SMTP: Argument = arg("smtp", "smtp");
const FTP: Argument = arg("ftp", "ftp");
const SSH: Argument = arg("ssh", "ssh");
const COMMAND: Argument = arg("command", "dialogue.command");
const RESPONSE: Argument = arg("response", "dialogue.response");
const ANOMALY: Argument = arg("anomaly", "dialogue.anomaly");

const fn row(
    dissector: &'static str,
    event: &'static str,
    plain: &'static [Argument],
    streamed: Option<&'static [Argument]>,
) -> Row {
    Row {
        dissector,
        event,
        plain,
        streamed,
    }
}

pub const LISTENERS: &[Row] = &[
    row("smtp", "command", &[SMTP, COMMAND], None),
    row("smtp", "response", &[SMTP, RESPONSE], None),
    row(
        "smtp",
        "mail_content",
        &[SMTP, arg("data", "vbuffer_sub")],
        Some(&[SMTP, arg("iter", "vbuffer_iterator_blocking")]),
    ),
    row("smtp", "anomaly", &[SMTP, ANOMALY], None),
    row("ftp", "command", &[FTP, COMMAND], None),
    row("ftp", "response", &[FTP, RESPONSE], None),
    row(
        "ftp",
        "data_flow",
        &[FTP, arg("data", "ftp.data_flow")],
        None,
    ),
    row("ftp", "anomaly", &[FTP, ANOMALY], None),
    row("ssh", "banner", &[SSH, arg("banner", "ssh.banner")], None),
    row("ssh", "anomaly", &[SSH, ANOMALY], None),
];

/// What the connections have in common.
const CONNECTION: &[Member] = &[
    property("name", "string", "Name of the dissector."),
    method("drop", &[], "nil", "Drops the connection."),
    method("reset", &[], "nil", "Resets the connection at both ends."),
    method(
        "error",
        &[],
        "nil",
        "What happens to the connection on an error: `drop`.",
    ),
    method(
        "can_continue",
        &[],
        "boolean",
        "Whether the connection is not over.",
    ),
    method(
        "continue",
        &[],
        "nil",
        "Ends the delivery of the event if the connection is over.",
    ),
    method("parent", PARENT, "any", "The flow, or what lies below it."),
    method(
        "trigger",
        &[arg("event", "string"), arg("...", "any")],
        "nil",
        "Raises an event of its dissector.",
    ),
    method(
        "alert",
        &[arg("alert", "table")],
        "alert_handle",
        "Raises an alert.",
    ),
];

const LINE: Member = writable(
    "line",
    "string",
    "The whole line without its end; it cannot hold a line break.",
);

pub const OBJECTS: &[Object] = &[
    Object::new(
        "smtp",
        "A connection that speaks SMTP or LMTP; what it does not know is asked of its flow.",
        CONNECTION,
    )
    .over(&["tcp_connection"])
    .open(),
    Object::new(
        "ftp",
        "A control connection of FTP; what it does not know is asked of its flow.",
        CONNECTION,
    )
    .over(&["tcp_connection"])
    .open(),
    Object::new(
        "ssh",
        "A connection that speaks SSH; what it does not know is asked of its flow.",
        CONNECTION,
    )
    .over(&["tcp_connection"])
    .open(),
    Object::new(
        "dialogue.command",
        "A line of a client.",
        &[
            writable("command", "string", "The verb, in the case it was sent."),
            writable("name", "string", "The same as `command`."),
            writable(
                "parameter",
                "string?",
                "What follows the verb; nil if nothing does.",
            ),
            writable("argument", "string?", "The same as `parameter`."),
            LINE,
        ],
    )
    .open(),
    Object::new(
        "dialogue.response",
        "A reply with all its lines.",
        &[
            writable("code", "integer", "The code of its last line."),
            property("lines", "dialogue.line[]", "Its lines, in order."),
        ],
    )
    .open(),
    Object::new(
        "dialogue.line",
        "A line of a reply.",
        &[
            property("code", "string?", "Its code; nil if it has none."),
            property(
                "separator",
                "string?",
                "What stands behind the code: `-` where more lines follow.",
            ),
            writable("text", "string", "What follows the code."),
            LINE,
        ],
    )
    .open(),
    Object::new(
        "dialogue.anomaly",
        "Something that no well-behaved peer sends.",
        &[
            property("event", "string", "Its name."),
            property("detail", "string", "What was seen."),
        ],
    )
    .open(),
    Object::new(
        "ftp.data_flow",
        "A data connection that both sides agreed on.",
        &[
            property(
                "mode",
                "'active'|'passive'",
                "`active` where the server opens it.",
            ),
            property("ip", "addr", "Whom to."),
            property("port", "integer", "Port it will be opened to."),
        ],
    )
    .open(),
    Object::new(
        "ssh.banner",
        "The version that a side sends.",
        &[
            writable("version", "string", "Version of the protocol."),
            writable("software", "string", "Name and version of the program."),
            writable(
                "comments",
                "string?",
                "What follows the first blank; nil if there is none.",
            ),
            LINE,
            property("direction", "'up'|'down'", "Who sent it."),
        ],
    )
    .open(),
    Object::new(
        "protocol.smtp",
        "The SMTP dissector: commands, replies and mail.",
        &[],
    )
    .module("protocol/smtp"),
    Object::new(
        "protocol.ftp",
        "The FTP dissector: the control connection, and the data connections to come.",
        &[],
    )
    .module("protocol/ftp"),
    Object::new("protocol.ssh", "The SSH dissector: the versions.", &[]).module("protocol/ssh"),
];

//! HTTP: the connection, its messages, and the modules.

use super::listeners::{DIRECTION, Row};
use super::{Argument, Member, Object, arg, function, method, property, writable};

const PARENT: &[Argument] = &[arg("which", "integer|string?")];
const HTTP: Argument = arg("http", "http");
const DATA: Argument = arg("data", "vbuffer_sub");
const ITERATOR: Argument = arg("iter", "vbuffer_iterator_blocking");

pub const LISTENERS: &[Row] = &[
    Row {
        dissector: "http",
        event: "request",
        plain: &[HTTP, arg("request", "http.request")],
        streamed: None,
    },
    Row {
        dissector: "http",
        event: "response",
        plain: &[HTTP, arg("response", "http.response")],
        streamed: None,
    },
    Row {
        dissector: "http",
        event: "receive_data",
        plain: &[HTTP, DATA, DIRECTION],
        streamed: Some(&[HTTP, ITERATOR, DIRECTION]),
    },
    Row {
        dissector: "http",
        event: "request_data",
        plain: &[HTTP, DATA],
        streamed: Some(&[HTTP, ITERATOR]),
    },
    Row {
        dissector: "http",
        event: "response_data",
        plain: &[HTTP, DATA],
        streamed: Some(&[HTTP, ITERATOR]),
    },
];

const HEADERS: Member = property(
    "headers",
    "table<string, string>",
    "The headers by name, in any case: read, set, removed with nil, by `pairs` in the order of the message; `#headers` and `headers[i]` count them as `{ name, value }`.",
);
const TRAILERS: Member = property(
    "trailers",
    "table<string, string>",
    "What stood behind a chunked body; read only.",
);
const ADD_HEADER: Member = method(
    "add_header",
    &[arg("name", "string"), arg("value", "string")],
    "nil",
    "Adds a header, also where there is one of that name.",
);

pub const OBJECTS: &[Object] = &[
    Object::new(
        "http",
        "A connection that speaks HTTP; what it does not know is asked of its flow.",
        &[
            property("name", "string", "Name of the dissector."),
            property(
                "state",
                "'request'|'response'|'connect'",
                "What comes next; `connect` once something else is spoken.",
            ),
            property(
                "request",
                "http.request?",
                "The request that is answered, else the last complete one.",
            ),
            property(
                "response",
                "http.response?",
                "The response to the last request, once it is complete.",
            ),
            method("drop", &[], "nil", "Drops the connection."),
            method("reset", &[], "nil", "Resets the connection at both ends."),
            method(
                "enable_data_modification",
                &[],
                "nil",
                "In `request` or `response`: rules may change the size of this message's body, which goes out in chunks.",
            ),
            method(
                "enable_data_decoding",
                &[],
                "boolean",
                "In `request` or `response`: listeners get this message's body without its content coding (gzip, deflate, br), read only; what leaves stays as it came. False where there is nothing to undo.",
            ),
            method("error", &[], "nil", "What happens to the connection on an error: `drop`."),
            method("can_continue", &[], "boolean", "Whether the connection is not over."),
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
            method("alert", &[arg("alert", "table")], "alert_handle", "Raises an alert."),
        ],
    )
    .open()
    .over(&["tcp_connection"]),
    Object::new(
        "http.request",
        "The head of a request.",
        &[
            writable("method", "string", "`GET` and so on."),
            writable("uri", "string", "What is asked for, as it was sent."),
            writable("version", "string", "As `1.1`."),
            HEADERS,
            TRAILERS,
            property("split_uri", "http.uri_split", "The uri in its parts, as it was at the first look."),
            property("split_cookies", "table<string, string>", "The cookies by name."),
            ADD_HEADER,
        ],
    )
    .open(),
    Object::new(
        "http.response",
        "The head of a response.",
        &[
            writable("version", "string", "As `1.1`."),
            writable("status", "string", "Three digits."),
            writable("reason", "string", "What follows the status; can be empty."),
            HEADERS,
            TRAILERS,
            property("split_cookies", "table<string, string>", "The cookies that are set, by name."),
            ADD_HEADER,
        ],
    )
    .open(),
    Object::new(
        "http.uri_split",
        "A uri in its parts; those that are not there are nil.",
        &[
            writable("scheme", "string?", "As `http`."),
            writable("authority", "string?", "Everything up to the path."),
            writable("userinfo", "string?", "User and password."),
            writable("user", "string?", "The user."),
            writable("pass", "string?", "The password."),
            writable("host", "string?", "The host."),
            writable("port", "string?", "The port, as text."),
            writable("path", "string?", "The path."),
            writable("query", "string?", "What follows the question mark."),
            writable("args", "table<string, string>?", "The query by name."),
            writable("fragment", "string?", "What follows the hash."),
            method("normalize", &[], "http.uri_split", "Brings it into its one form (RFC 3986, 6), in place."),
        ],
    )
    .open(),
    Object::new(
        "protocol.http_utils.uri",
        "Uris.",
        &[
            function("split", &[arg("uri", "string")], "http.uri_split", "Takes a uri apart."),
            function("normalize", &[arg("uri", "string")], "string", "The uri in its one form."),
        ],
    ),
    Object::new(
        "protocol.http_utils.cookies",
        "Cookies.",
        &[function(
            "split",
            &[arg("cookies", "string?")],
            "table<string, string>",
            "Takes a cookie header apart.",
        )],
    ),
    Object::new(
        "protocol.http_utils",
        "Uris and cookies taken apart.",
        UTILS,
    )
    .module("protocol/http_utils"),
    Object::new("protocol.http", "HTTP/1.x, as `protocol/http_utils`.", UTILS).module("protocol/http"),
];

const UTILS: &[Member] = &[
    property("uri", "protocol.http_utils.uri", "Uris."),
    property("cookies", "protocol.http_utils.cookies", "Cookies."),
];

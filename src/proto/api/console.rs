//! What a person types in a session: the console's words, its lists, the
//! debugger.

use super::{Argument, Object, arg, function, method, property, writable};

const DROPPED: &[Argument] = &[arg("show_dropped", "boolean?")];
const ID: &[Argument] = &[arg("id", "integer")];

pub const OBJECTS: &[Object] = &[
    Object::new(
        "console",
        "Words of interactive sessions; the rule's own variables and globals come before them.",
        &[
            function(
                "threads",
                &[],
                "list_object",
                "Workers, with their counters.",
            ),
            function("rules", &[], "list_object", "Rules and groups."),
            function("events", &[], "list_object", "Events that have listeners."),
            property("tcp", "console.tcp", "TCP connections."),
            property("udp", "console.udp", "UDP flows."),
            function(
                "setloglevel",
                &[
                    arg(
                        "level",
                        "'fatal'|'error'|'warning'|'warn'|'info'|'debug'|'trace'|'default'",
                    ),
                    arg("section", "string?"),
                ],
                "nil",
                "What is logged, everywhere or in one section.",
            ),
            function("stop", &[], "nil", "Ends the run."),
            property(
                "console",
                "console",
                "These words, where a rule has variables of the same names.",
            ),
        ],
    ),
    Object::new(
        "console.tcp",
        "TCP connections in a session.",
        &[function(
            "connections",
            DROPPED,
            "console.tcp_list",
            "A list of the connections.",
        )],
    ),
    Object::new(
        "console.udp",
        "UDP flows in a session.",
        &[function(
            "connections",
            DROPPED,
            "console.udp_list",
            "A list of the flows.",
        )],
    ),
    Object::new(
        "console.tcp_list",
        "A list of TCP connections.",
        &[
            method("drop", &[], "nil", "Drops all connections of the list."),
            method("reset", &[], "nil", "Resets all connections of the list."),
        ],
    )
    .over(&["list_object"]),
    Object::new(
        "console.udp_list",
        "A list of UDP flows.",
        &[method("drop", &[], "nil", "Drops all flows of the list.")],
    )
    .over(&["list_object"]),
    Object::new(
        "tcp_connection.console",
        "Lists and ends connections.",
        &[
            function(
                "list_connections",
                DROPPED,
                "table",
                "Connections: ends, state, packets and bytes.",
            ),
            function(
                "drop_connection",
                ID,
                "nil",
                "Drops a connection by its number.",
            ),
            function(
                "reset_connection",
                ID,
                "nil",
                "Resets a connection by its number.",
            ),
        ],
    ),
    Object::new(
        "udp_connection.console",
        "Lists and ends flows.",
        &[
            function(
                "list_connections",
                DROPPED,
                "table",
                "Flows: ends, state, packets and bytes.",
            ),
            function("drop_connection", ID, "nil", "Drops a flow by its number."),
        ],
    ),
    Object::new(
        "debug.interactive",
        "Sessions in the middle of a rule.",
        &[function(
            "enter",
            &[
                arg("prompt", "string?"),
                arg("more", "string?"),
                arg("message", "string?"),
            ],
            "nil",
            "Opens a session that sees the variables of the function that calls.",
        )],
    ),
    Object::new(
        "debug.debugger",
        "The Lua debugger.",
        &[
            function(
                "start",
                &[arg("now", "boolean?")],
                "nil",
                "Attaches it; with true it stops at the next line.",
            ),
            function("stop", &[], "nil", "Detaches it."),
        ],
    ),
    Object::new(
        "pprint.options",
        "How `debug.pprint` prints.",
        &[
            writable("indent", "string?", "What lines begin with."),
            writable(
                "depth",
                "integer?",
                "How many levels are opened; -1 for all.",
            ),
            writable(
                "hide",
                "function|function[]?",
                "Members to leave out: functions of name and value.",
            ),
            writable("out", "function?", "What prints, by default `print`."),
        ],
    )
    .written(),
];

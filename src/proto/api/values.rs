//! Small values: addresses, times, alerts; and modules without a protocol.

use super::{Object, arg, function, method, property, writable};

pub const OBJECTS: &[Object] = &[
    Object::new(
        "addr",
        "An IPv4 or IPv6 address; comparable, and shown by `tostring`.",
        &[
            property("family", "integer", "4 or 6."),
            property(
                "packed",
                "number|string",
                "An IPv4 address as a number, one of IPv6 as sixteen bytes.",
            ),
        ],
    ),
    Object::new(
        "network",
        "An address and a prefix length.",
        &[
            property("net", "addr", "The first address."),
            property("mask", "integer", "The prefix length."),
            method(
                "contains",
                &[arg("address", "addr")],
                "boolean",
                "Whether an address lies in it.",
            ),
        ],
    ),
    Object::new(
        "time",
        "A moment.",
        &[
            writable("secs", "integer", "Whole seconds since the epoch."),
            writable("nsecs", "integer", "Nanoseconds within the second."),
            property("seconds", "number", "Seconds with their fraction."),
        ],
    ),
    Object::new(
        "alert_handle",
        "An alert that was raised.",
        &[method(
            "update",
            &[arg("alert", "table")],
            "nil",
            "Reports again, with what is known now.",
        )],
    ),
    Object::new(
        "inet_checksum",
        "A checksum over several pieces.",
        &[
            method(
                "process",
                &[arg("data", "string|vbuffer|vbuffer_sub")],
                "nil",
                "Adds some bytes.",
            ),
            method("reduce", &[], "integer", "The checksum so far."),
        ],
    ),
    Object::new(
        "cnx_table",
        "A table of connections of one's own.",
        &[
            method(
                "create",
                &[
                    arg("src", "addr"),
                    arg("dst", "addr"),
                    arg("sport", "integer"),
                    arg("dport", "integer"),
                ],
                "any",
                "A new entry.",
            ),
            method(
                "get",
                &[
                    arg("src", "addr"),
                    arg("dst", "addr"),
                    arg("sport", "integer"),
                    arg("dport", "integer"),
                ],
                "any",
                "The entry of two ends, and the direction.",
            ),
            method(
                "get_byid",
                &[arg("id", "integer")],
                "any",
                "The entry of that number.",
            ),
            method(
                "all",
                &[arg("show_dropped", "boolean?")],
                "table",
                "All entries.",
            ),
        ],
    ),
    Object::new(
        "rule_group",
        "Rules that run one after the other.",
        &[
            method(
                "rule",
                &[arg("rule", "table")],
                "nil",
                "Adds a rule: `eval`.",
            ),
            method("eval", &[arg("...", "any")], "nil", "Runs the rules."),
        ],
    )
    .open(),
    Object::new(
        "policy",
        "Entries, of which the last that fits decides.",
        &[
            property("name", "string", "Its name in logs."),
            method(
                "apply",
                &[arg("arguments", "table")],
                "nil",
                "Decides: `ctx`, `values`, `desc`.",
            ),
            method(
                "evaluate",
                &[
                    arg("ctx", "any"),
                    arg("values", "table"),
                    arg("desc", "table"),
                ],
                "nil",
                "As `apply`, without its checks.",
            ),
            method(
                "insert",
                &[
                    arg("name", "string"),
                    arg("criteria", "table"),
                    arg("actions", "any"),
                ],
                "nil",
                "Adds an entry.",
            ),
        ],
    )
    .open(),
    Object::new(
        "event",
        "Something that can be listened to.",
        &[
            property("name", "string", "`dissector:event`."),
            property(
                "continue",
                "function",
                "What is checked after each listener.",
            ),
            property("signal", "function", "How one listener is called."),
            method("clone", &[], "event", "A copy."),
        ],
    )
    .open(),
    Object::new(
        "check",
        "Checks of arguments, whose errors point at the caller.",
        &[
            function(
                "error",
                &[arg("message", "string"), arg("level", "integer?")],
                "nil",
                "Raises an error at the caller.",
            ),
            function(
                "assert",
                &[
                    arg("condition", "any"),
                    arg("message", "string"),
                    arg("level", "integer?"),
                ],
                "nil",
                "Raises an error at the caller if the condition is false.",
            ),
            function(
                "type",
                &[
                    arg("n", "integer"),
                    arg("value", "any"),
                    arg("expected", "string"),
                    arg("level", "integer?"),
                ],
                "nil",
                "Checks the type of an argument.",
            ),
            function(
                "types",
                &[
                    arg("n", "integer"),
                    arg("value", "any"),
                    arg("expected", "table"),
                    arg("level", "integer?"),
                ],
                "nil",
                "Checks for one of several types.",
            ),
        ],
    )
    .module("check"),
];

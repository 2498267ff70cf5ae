//! Small values: addresses, times, alerts; and tables of connections.

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
                "cnx",
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
                "cnx?",
                "The entry of two ends, the direction, and whether it was dropped.",
            ),
            method(
                "get_byid",
                &[arg("id", "integer")],
                "cnx?",
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
        "cnx",
        "An entry of a table of connections.",
        &[
            property("id", "integer", "Number of the entry."),
            property("in_pkts", "integer", "Packets from the one who opened it."),
            property("in_bytes", "integer", "Bytes from the one who opened it."),
            property("out_pkts", "integer", "Packets to the one who opened it."),
            property("out_bytes", "integer", "Bytes to the one who opened it."),
            writable("data", "any", "Whatever a rule keeps there."),
            method(
                "update_stat",
                &[arg("direction", "'up'|'down'"), arg("size", "integer")],
                "nil",
                "Counts a packet.",
            ),
            method("drop", &[], "nil", "Marks the entry as dropped."),
            method("close", &[], "nil", "Takes the entry out of its table."),
        ],
    ),
    Object::new(
        "haka.alert",
        "Raises alerts: call it with the alert's fields.",
        &[
            function(
                "address",
                &[arg("...", "any")],
                "alert.node",
                "A node made of addresses.",
            ),
            function(
                "service",
                &[arg("...", "any")],
                "alert.node",
                "A node made of services.",
            ),
        ],
    )
    .called(&[arg("fields", "alert.fields")], "alert_handle"),
    Object::new(
        "alert.fields",
        "What an alert tells. Every field may be left out.",
        &[
            writable("description", "any", "What happened, as text."),
            writable("severity", "'low'|'medium'|'high'?", "How bad it is."),
            writable(
                "confidence",
                "'low'|'medium'|'high'|number?",
                "How sure the rule is.",
            ),
            writable(
                "completion",
                "'failed'|'successful'?",
                "Whether it came to pass.",
            ),
            writable("start_time", "time?", "When it began."),
            writable("end_time", "time?", "When it ended."),
            writable("method", "alert.method?", "How it was done."),
            writable("sources", "alert.node|alert.node[]?", "Who did it."),
            writable("targets", "alert.node|alert.node[]?", "To whom."),
            writable(
                "ref",
                "alert_handle|alert_handle[]?",
                "Alerts that belong to it.",
            ),
        ],
    )
    .written(),
    Object::new(
        "alert.method",
        "How something was done.",
        &[
            writable("description", "any", "The method, as text."),
            writable(
                "ref",
                "string|string[]?",
                "Where it is described, such as `cve/2014-0160`.",
            ),
        ],
    )
    .written(),
    Object::new(
        "alert.node",
        "Somebody who takes part: `haka.alert.address` and `haka.alert.service` make such tables.",
        &[
            writable(
                "type",
                "string",
                "`address`, `service`, or a word of the rule's.",
            ),
            writable(
                "values",
                "any",
                "One value or a list; each becomes its text.",
            ),
        ],
    )
    .written(),
    Object::new(
        "alert_handle",
        "An alert that was raised.",
        &[method(
            "update",
            &[arg("fields", "alert.fields")],
            "nil",
            "Reports these fields anew, under the alert's own number.",
        )],
    ),
];

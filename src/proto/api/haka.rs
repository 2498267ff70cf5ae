//! The table `haka` and the tables in it.

use super::{Argument, Object, arg, function, property, writable};

const LOG: &[Argument] = &[arg("format", "string"), arg("...", "any")];

macro_rules! log_members {
    () => {
        &[
            function("fatal", LOG, "nil", "Logs at level fatal."),
            function("error", LOG, "nil", "Logs at level error."),
            function("warning", LOG, "nil", "Logs at level warning."),
            function("info", LOG, "nil", "Logs at level info."),
            function("debug", LOG, "nil", "Logs at level debug."),
        ]
    };
}

pub const OBJECTS: &[Object] = &[
    Object::new(
        "haka",
        "What every rule file begins with.",
        &[
            function("rule", &[arg("rule", "table")], "nil", "Listens to an event: `on`, `eval`, `options`, `name`."),
            function("rule_group", &[arg("group", "table")], "rule_group", "Rules that run one after the other: `on`, `init`, `continue`, `final`, `options`, `name`."),
            function("interactive_rule", &[arg("name", "string")], "function", "A listener that opens a prompt."),
            function("rule_summary", &[], "nil", "Logs how many rules there are."),
            function("on_exit", &[arg("fn", "function")], "nil", "Calls a function at the end of the run."),
            property("events", "haka.events", "Events without a packet."),
            property("event", "table", "The classes behind events."),
            property("context", "table", "Delivery of events, and scopes."),
            property("policy", "haka.policy", "Decisions by criteria."),
            property("dissector", "haka.dissector", "Making dissectors."),
            property("dissectors", "haka.dissectors", "Every dissector by its name: `events`, `policies`, `create`, `install`."),
            property("helper", "table", "Base classes of dissectors."),
            property("grammar", "table", "Describing protocols."),
            property("state_machine", "table", "Driving protocols."),
            function("vbuffer_from", &[arg("text", "string")], "vbuffer", "A buffer with these bytes."),
            function("vbuffer_allocate", &[arg("size", "integer"), arg("zero", "boolean?")], "vbuffer", "A buffer of zeros."),
            property("vbuffer", "table", "`from` and `allocate`."),
            function("vbuffer_sub", &[arg("from", "vbuffer_iterator"), arg("to", "vbuffer_iterator")], "vbuffer_sub", "What lies between two iterators."),
            function("vbuffer_stream", &[], "vbuffer_stream", "A stream of buffers."),
            function("vbuffer_sub_stream", &[], "vbuffer_sub_stream", "A stream of parts of a buffer."),
            function("vbuffer_iterator_blocking", &[arg("iterator", "vbuffer_iterator")], "vbuffer_iterator_blocking", "An iterator that waits."),
            property("vbuffer_stream_comanager", "vbuffer_stream_comanager", "Coroutines that read a stream."),
            function("regexp_result", &[], "any", "A result of regular expressions to fill in."),
            function("packet", &[arg("size", "integer?")], "packet", "A new packet with so many zero bytes."),
            function("packet_dissector", &[arg("pkt", "packet")], "string?", "Name of the network layer of a packet."),
            function("time", &[arg("seconds", "number")], "time", "A moment from seconds since the epoch."),
            function("network_time", &[], "time", "The clock of the packets."),
            property("log", "haka.log", "Logs: a call logs at level info."),
            function("log_section", &[arg("name", "string")], "haka.log", "Logs under a name of their own."),
            function("setloglevel", &[arg("level", "string"), arg("section", "string?")], "nil", "What is logged."),
            property("alert", "haka.alert", "Raises alerts: call it with the alert's fields."),
            function("abort", &[], "nil", "Ends the listener, silently."),
            function("exit", &[], "nil", "Ends the run."),
            function("current_thread", &[], "integer", "Number of the worker, from 0."),
            function("capture_mode", &[], "'normal'|'passthrough'", "Whether packets can be changed."),
            property("mode", "string", "`normal` in the engine, `console` in a console."),
            property("console", "table", "Lists for the console."),
        ],
    )
    .module("haka"),
    Object::new("haka.log", "Writes lines to the log.", log_members!()),
    Object::new(
        "haka.events",
        "Events without a packet.",
        &[
            property("started", "event", "Rules are loaded, packets are next."),
            property("exiting", "event", "There will be no more packets."),
        ],
    ),
    Object::new(
        "haka.alert",
        "Raises alerts.",
        &[
            function("address", &[arg("...", "any")], "table", "A node made of addresses."),
            function("service", &[arg("...", "any")], "table", "A node made of services."),
        ],
    ),
    Object::new(
        "haka.dissector",
        "Making dissectors.",
        &[
            function("new", &[arg("definition", "table")], "any", "A new dissector: `name` and `type`."),
            function("pcall", &[arg("dissector", "any"), arg("fn", "function")], "any", "Calls with errors contained."),
            function("opposite_direction", &[arg("direction", "'up'|'down'")], "string?", "The other direction."),
        ],
    ),
    Object::new(
        "haka.policy",
        "Decisions by criteria: a call adds an entry.",
        &[
            function("new", &[arg("name", "string")], "policy", "A policy of one's own."),
            function("accept", &[], "nil", "Action: nothing."),
            function("drop", &[], "nil", "Action: drop."),
            function("alert", &[arg("alert", "table")], "function", "Action: an alert."),
            function("log", &[arg("log", "function"), arg("format", "string"), arg("...", "any")], "function", "Action: a line in the log."),
            function("learn", &[arg("criterion", "function")], "any", "A criterion that learns."),
            writable("learning", "boolean", "Whether criteria learn."),
        ],
    )
    // Criteria are published here, also those of rules.
    .open(),
];

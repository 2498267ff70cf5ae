//! The table `haka` and the tables in it.

use super::{Argument, Object, arg, function, method, property, writable};

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
            function("rule", &[arg("rule", "rule.definition")], "nil", "Listens to an event: `on`, `eval`, `options`, `name`."),
            function("rule_group", &[arg("group", "group.definition")], "rule_group", "Rules that run one after the other: `on`, `init`, `continue`, `final`, `options`, `name`."),
            function("interactive_rule", &[arg("name", "string")], "fun(...: any)", "A listener that opens a prompt."),
            function("rule_summary", &[], "nil", "Logs how many rules there are."),
            function("on_exit", &[arg("fn", "fun()")], "nil", "Calls a function at the end of the run."),
            property("events", "haka.events", "Events without a packet."),
            property("event", "haka.event", "The classes behind events."),
            property("context", "context", "Delivery of events, and scopes."),
            property("policy", "haka.policy", "Decisions by criteria."),
            property("dissector", "haka.dissector", "Making dissectors."),
            property("dissectors", "haka.dissectors", "Every dissector by its name: `events`, `policies`, `create`, `install`."),
            property("helper", "haka.helper", "Base classes of dissectors."),
            property("grammar", "haka.grammar", "Describing protocols."),
            property("state_machine", "haka.state_machine", "Driving protocols."),
            function("vbuffer_from", &[arg("text", "string")], "vbuffer", "A buffer with these bytes."),
            function("vbuffer_allocate", &[arg("size", "integer"), arg("zero", "boolean?")], "vbuffer", "A buffer of zeros."),
            property("vbuffer", "haka.vbuffer", "`from` and `allocate`."),
            function("vbuffer_sub", &[arg("from", "vbuffer_iterator"), arg("to", "vbuffer_iterator")], "vbuffer_sub", "What lies between two iterators."),
            function("vbuffer_stream", &[], "vbuffer_stream", "A stream of buffers."),
            function("vbuffer_sub_stream", &[], "vbuffer_sub_stream", "A stream of parts of a buffer."),
            function("vbuffer_iterator_blocking", &[arg("iterator", "vbuffer_iterator")], "vbuffer_iterator_blocking", "An iterator that waits."),
            property("vbuffer_stream_comanager", "vbuffer_stream_comanager", "Coroutines that read a stream."),
            function("regexp_result", &[], "regexp_result", "Where a sink that is fed text leaves offsets."),
            function("packet", &[arg("size", "integer?")], "packet", "A new packet with so many zero bytes."),
            function("packet_dissector", &[arg("pkt", "packet")], "string?", "Name of the network layer of a packet."),
            function("time", &[arg("seconds", "number")], "time", "A moment from seconds since the epoch."),
            function("network_time", &[], "time", "The clock of the packets."),
            property("log", "haka.log", "Logs: a call logs at level info."),
            function("log_section", &[arg("name", "string")], "haka.log", "Logs under a name of their own."),
            function("setloglevel", &[arg("level", "'fatal'|'error'|'warning'|'warn'|'info'|'debug'|'trace'|'default'"), arg("section", "string?")], "nil", "What is logged, everywhere or in one section."),
            property("alert", "haka.alert", "Raises alerts: call it with the alert's fields."),
            function("abort", &[], "nil", "Ends the listener, silently."),
            function("exit", &[], "nil", "Ends the run."),
            function("current_thread", &[], "integer", "Number of the worker, from 0."),
            function("capture_mode", &[], "'normal'|'passthrough'", "Whether packets can be changed."),
            property("mode", "'normal'|'console'", "Where the rules run."),
            property("console", "haka.console", "The bare rows behind the lists of the console."),
        ],
    )
    .module("haka"),
    Object::new(
        "rule.definition",
        "What `haka.rule` takes.",
        &[
            writable("on", "event", "The event to listen to; Haka's old word `hook` works too."),
            writable("eval", "function", "The listener. Its arguments are those of the event."),
            writable("name", "string?", "Shown in logs, lists and profiles."),
            writable("options", "rule.options?", "How the listener is called."),
            writable("hook", "event?", "The old word for `on`."),
        ],
    )
    .written(),
    Object::new(
        "rule.options",
        "How a listener is called.",
        &[writable("streamed", "boolean?", "In a coroutine, with an iterator that waits for bytes.")],
    )
    .written(),
    Object::new(
        "group.definition",
        "What `haka.rule_group` takes.",
        &[
            writable("on", "event", "The event that the group's rules listen to."),
            writable("name", "string?", "Shown in logs, lists and profiles."),
            writable("init", "fun(...: any)?", "Called before the first rule."),
            writable("continue", "(fun(result: any, ...: any): boolean)?", "Gets what a rule returned: false ends the group, without `final`."),
            writable("final", "fun(...: any)?", "Called when all rules were asked."),
            writable("options", "rule.options?", "How the group is called."),
            writable("hook", "event?", "The old word for `on`."),
        ],
    )
    .written(),
    Object::new(
        "rule_group",
        "Rules that run one after the other.",
        &[
            method("rule", &[arg("rule", "rule.definition")], "nil", "Adds a rule, of which only `eval` counts."),
            method("eval", &[arg("...", "any")], "nil", "Runs the rules."),
            property("on", "event", "The event."),
            property("name", "string?", "Its name."),
            property("location", "string", "Where it was made: `file:line`."),
            property("type", "'group'", "What it is, for lists."),
            property("rules", "table", "Its rules, in order."),
            property("options", "rule.options?", "How it is called."),
            property("init", "function", "Called before the first rule."),
            property("continue", "function", "Says whether the next rule is asked."),
            property("final", "function", "Called when all rules were asked."),
        ],
    )
    .open(),
    Object::new("haka.log", "Writes lines to the log. A text is formatted only when its level is logged.", log_members!())
        .called(LOG, "nil"),
    Object::new(
        "haka.console",
        "The bare rows behind the lists of the console.",
        &[
            function("rules", &[], "table", "Rules and groups: `name`, `event`, `location`, `type`."),
            function("events", &[], "table", "Events that have listeners: `event`, `listener`."),
            function("threads", &[], "table", "The worker: `id`, `status`, and counters of packets and bytes."),
        ],
    ),
    Object::new(
        "haka.vbuffer",
        "Makes buffers.",
        &[
            function("from", &[arg("text", "string")], "vbuffer", "A buffer with these bytes."),
            function("allocate", &[arg("size", "integer"), arg("zero", "boolean?")], "vbuffer", "A buffer of zeros."),
        ],
    ),
];

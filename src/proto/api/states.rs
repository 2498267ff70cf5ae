//! State machines: the words of definitions, states and instances.

use super::{Argument, Object, arg, function, method, property, writable};

const ACTION: &[Argument] = &[arg("action", "state.action")];
const TYPE: &[Argument] = &[arg("type", "state_type.definition|class")];

pub const OBJECTS: &[Object] = &[
    Object::new(
        "haka.state_machine",
        "Driving protocols.",
        &[
            function("new", &[arg("name", "string"), arg("definition", "fun()")], "state_machine", "A machine. The definition is run once and sees the words of definitions."),
            function("new_state_type", &[arg("type", "state_type.definition")], "class", "A kind of states with events of its own."),
            property("State", "class", "States without events of their own."),
            property("BidirectionalState", "class", "States that parse what either end sends."),
            writable("debug", "boolean", "Whether graphs are written: `NAME-state-machine.dot`."),
        ],
    ),
    Object::new(
        "state_machine.words",
        "Words of a definition; assigning a state to a name defines it.",
        &[
            function("state_type", TYPE, "nil", "Which kind of states follows."),
            function("state", &[arg("...", "any")], "state", "A state. One of `BidirectionalState` takes the rules that parse `up` and `down`."),
            function("initial", &[arg("state", "state")], "nil", "Where instances begin."),
            property("any", "state.actions", "Actions of every state, tried behind its own."),
            property("events", "state.events", "Descriptors of events."),
            property("finish", "state", "Target of `jump`: the end."),
            property("fail", "state", "Target of `jump`: the end, in failure."),
            property("State", "class", "States without events of their own."),
            property("BidirectionalState", "class", "States that parse what either end sends."),
            property("ActionCollection", "class", "What states and `any` have in common."),
        ],
    ),
    Object::new(
        "state_type.definition",
        "What `state_type` and `haka.state_machine.new_state_type` take.",
        &[
            writable("name", "string?", "Its name."),
            writable("parent", "class?", "The kind that it extends, by default `State`."),
            writable("events", "string[]?", "Names of its events, in addition to the parent's."),
            writable("update", "fun(self: state, instance: state_machine_instance, ...: any)?", "What `instance:update` does in such a state."),
        ],
    )
    .written(),
    Object::new(
        "state.events",
        "Descriptors of events, by their names. Every state has those that are listed here; `BidirectionalState` adds `up` and `down` (the result of the parse), `parse_error` (the error) and `missing_grammar` (direction and iterator).",
        &[
            function("timeout", &[arg("seconds", "number")], "state.event", "So long in the state, again and again."),
            property("enter", "state.event", "The state is entered."),
            property("leave", "state.event", "The state is left."),
            property("init", "state.event", "The machine has started here."),
            property("finish", "state.event", "The machine ends here."),
            property("fail", "state.event", "The machine fails here."),
            property("up", "state.event", "The client's data were parsed (`BidirectionalState`)."),
            property("down", "state.event", "The server's data were parsed (`BidirectionalState`)."),
            property("parse_error", "state.event", "Data could not be parsed (`BidirectionalState`)."),
            property("missing_grammar", "state.event", "There is no grammar for the direction (`BidirectionalState`)."),
        ],
    )
    .open(),
    Object::new("state.event", "Descriptor of an event.", &[]),
    Object::new(
        "state.actions",
        "Takes actions.",
        &[
            method("on", ACTION, "nil", "Adds an action. Of the actions on an event the first is taken whose `when` agrees."),
            method("has_event", &[arg("name", "string")], "boolean", "Whether it has an event of that name."),
        ],
    )
    .open(),
    Object::new(
        "state.action",
        "What is done on an event. Functions are called with the machine's owner and the event's arguments.",
        &[
            writable("event", "state.event?", "The event."),
            writable("events", "state.event[]?", "Several of them."),
            writable("when", "(fun(owner: any, ...: any): boolean)?", "Whether the action is taken; without it, always."),
            writable("execute", "fun(owner: any, ...: any)?", "What is done."),
            writable("jump", "state?", "The state that follows."),
        ],
    )
    .written(),
    Object::new(
        "state",
        "A state of a machine.",
        &[method("update", &[arg("instance", "state_machine_instance"), arg("...", "any")], "nil", "What `instance:update` does in this state.")],
    )
    .over(&["state.actions"])
    .open(),
    Object::new(
        "state_machine",
        "A state machine.",
        &[
            property("name", "string", "Its name."),
            property("states", "table<string, state>", "Its states, and `initial`, `fail` and `finish`."),
            method("instanciate", &[arg("owner", "any")], "state_machine_instance", "Starts an instance for an owner, which its actions get."),
        ],
    )
    .open(),
    Object::new(
        "state_machine_instance",
        "A machine at work.",
        &[
            property("current", "string?", "Name of the state; nil once it has finished."),
            property("owner", "any", "Whom it works for."),
            property("states", "table<string, state>", "The states of the machine."),
            property("finished", "boolean", "Whether it has ended."),
            property("failed", "boolean", "Whether it ended in failure."),
            method("update", &[arg("...", "any")], "nil", "Does what the current state does with these arguments."),
            method("trigger", &[arg("event", "string"), arg("...", "any")], "nil", "Raises an event of the current state."),
            method("finish", &[], "nil", "Ends it."),
        ],
    )
    .open(),
];

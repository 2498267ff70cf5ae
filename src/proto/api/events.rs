//! Events, who listens to them, and the context that delivers them.

use super::{Argument, Object, arg, function, method, property, writable};

const LISTENER: &[Argument] = &[
    arg("event", "event"),
    arg("fn", "function"),
    arg("options", "rule.options?"),
];

pub const OBJECTS: &[Object] = &[
    Object::new(
        "haka.events",
        "Events without a packet.",
        &[
            property("started", "event", "Rules are loaded, packets are next."),
            property("exiting", "event", "There will be no more packets."),
        ],
    ),
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
            method(
                "addproperty",
                &[
                    arg("name", "string"),
                    arg("get", "function?"),
                    arg("set", "function?"),
                ],
                "nil",
                "Gives this object a computed field.",
            ),
        ],
    )
    .open(),
    Object::new(
        "haka.event",
        "The classes behind events, for events of one's own.",
        &[
            property(
                "Event",
                "class",
                "`Event:new(name, continue, signal)` makes an event.",
            ),
            property("EventConnections", "class", "Who listens: the common base."),
            property(
                "StaticEventConnections",
                "class",
                "Listeners that hear every emitter.",
            ),
            property(
                "ObjectEventConnections",
                "class",
                "Listeners that hear for one object, in a scope.",
            ),
            property(
                "self",
                "any",
                "Stands for the object in `haka.event.method`.",
            ),
            function(
                "method",
                &[arg("object", "any"), arg("fn", "function")],
                "function",
                "A listener that is called with the object before the event's arguments.",
            ),
        ],
    ),
    Object::new(
        "event_connections",
        "Who listens to which event.",
        &[
            method("register", LISTENER, "nil", "Adds a listener."),
            method(
                "listeners",
                &[arg("event", "event")],
                "table",
                "The listeners of an event, in order.",
            ),
            method(
                "each",
                &[],
                "fun(): event?, table?",
                "For loops over events and their listeners.",
            ),
            method("empty", &[], "boolean", "Whether nobody listens."),
            method(
                "callee",
                &[arg("listener", "table")],
                "function",
                "What is really called for a listener.",
            ),
        ],
    )
    .open(),
    Object::new(
        "context",
        "Delivers events and holds the current scope.",
        &[
            property(
                "connections",
                "event_connections",
                "The listeners of all rules.",
            ),
            writable(
                "scope",
                "scope?",
                "The current scope: that of the flow whose event is delivered.",
            ),
            method(
                "signal",
                &[
                    arg("emitter", "any"),
                    arg("event", "event"),
                    arg("...", "any"),
                ],
                "boolean",
                "Raises an event: listeners get the emitter and what follows.",
            ),
            method("newscope", &[], "scope", "A new scope."),
            method(
                "exec",
                &[arg("scope", "scope"), arg("fn", "fun()")],
                "nil",
                "Calls a function in a scope; its errors pass unchanged.",
            ),
            method(
                "register_connections",
                &[arg("connections", "event_connections?")],
                "nil",
                "Adds listeners that hear while the current scope lasts.",
            ),
        ],
    )
    .open(),
    Object::new(
        "scope",
        "What belongs to one flow: data and listeners.",
        &[
            method(
                "createnamespace",
                &[arg("key", "any"), arg("data", "any")],
                "nil",
                "Keeps something under a key.",
            ),
            method(
                "namespace",
                &[arg("key", "any")],
                "any",
                "What was kept under a key.",
            ),
        ],
    )
    .open(),
];

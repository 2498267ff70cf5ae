//! Policies, their criteria and actions.

use super::{Argument, Object, arg, function, method, property, writable};

const BOUNDS: &[Argument] = &[arg("min", "any"), arg("max", "any")];

pub const OBJECTS: &[Object] = &[
    Object::new(
        "haka.policy",
        "Decisions by criteria: a call adds an entry.",
        &[
            function("new", &[arg("name", "string")], "policy", "A policy of one's own."),
            function("accept", &[], "nil", "Action: nothing happens."),
            function("drop", &[arg("policy", "policy"), arg("ctx", "any")], "nil", "Action: `drop` of what the decision is about."),
            function("alert", &[arg("alert", "alert.fields")], "policy.action", "Action: an alert. What it does not tell comes from the place that decides: `sources`, `targets`, `description`."),
            function("log", &[arg("log", "function"), arg("format", "string"), arg("...", "any")], "policy.action", "Action: a line in the log, by one of its functions."),
            function("learn", &[arg("criterion", "function")], "criterion", "A criterion that is filled while `haka.policy.learning` is true: `haka.policy.learn(haka.policy.set)`."),
            writable("learning", "boolean", "Whether criteria learn; they hold for everything meanwhile."),
            function("value", &[arg("value", "any")], "criterion", "Criterion: equal; a plain value in an entry means the same."),
            function("set", &[arg("values", "table")], "criterion", "Criterion: one of these values."),
            function("range", BOUNDS, "criterion", "Criterion: from `min` to `max`, both included."),
            function("outofrange", BOUNDS, "criterion", "Criterion: below `min` or above `max`."),
            function("present", &[], "criterion", "Criterion: there is a value."),
            function("absent", &[], "criterion", "Criterion: there is none."),
            function("in_network", &[arg("network", "network")], "criterion", "Criterion: an address in a network of either family; there once a network protocol is loaded."),
            function("ipv4_in_network", &[arg("network", "network")], "criterion", "Haka's name for `in_network`."),
            property("Criterion", "class", "The base of criteria: a subclass with `init` and `compare` becomes `haka.policy.NAME`."),
            property("Policy", "class", "The class of policies."),
        ],
    )
    // Criteria are published here, also those of rules.
    .open()
    .called(&[arg("entry", "policy.entry")], "nil"),
    Object::new(
        "policy.entry",
        "What `haka.policy` takes. Every other key is a criterion on the value of that name, which has to hold.",
        &[
            writable("on", "policy", "The policy."),
            writable("action", "policy.action|policy.action[]", "What is done where the entry decides."),
            writable("name", "string?", "Shown in logs and by `wero explain`."),
        ],
    )
    .written()
    .open(),
    Object::new(
        "policy.action",
        "A function that acts on a decision.",
        &[],
    )
    .called(
        &[arg("policy", "policy"), arg("ctx", "any"), arg("values", "table"), arg("desc", "table")],
        "nil",
    ),
    Object::new(
        "policy",
        "Entries, of which the last that fits decides.",
        &[
            property("name", "string", "Its name in logs."),
            method("apply", &[arg("arguments", "policy.arguments")], "nil", "Decides."),
            method("evaluate", &[arg("ctx", "any"), arg("values", "table"), arg("desc", "table")], "nil", "As `apply`, without its checks."),
            method("insert", &[arg("name", "string?"), arg("criteria", "table?"), arg("actions", "policy.action|policy.action[]")], "nil", "Adds an entry, silently."),
            method("only_builtin", &[], "boolean", "Whether rules have added nothing."),
        ],
    )
    .open(),
    Object::new(
        "policy.arguments",
        "What `policy:apply` takes.",
        &[
            writable("ctx", "any", "What the decision is about; actions get it."),
            writable("values", "table?", "The values that criteria look at, by name."),
            writable("desc", "table?", "What alerts of the decision tell: `sources`, `targets`, `description`."),
        ],
    )
    .written(),
    Object::new(
        "criterion",
        "Whether an entry fits.",
        &[
            method("init", &[arg("...", "any")], "nil", "Takes what the constructor was called with."),
            method("compare", &[arg("value", "any")], "boolean", "Whether it holds for a value."),
            method("learn", &[arg("value", "any")], "nil", "Takes a value in, for criteria that can learn."),
            writable("learnable", "boolean?", "Whether it learns."),
        ],
    )
    .open(),
];

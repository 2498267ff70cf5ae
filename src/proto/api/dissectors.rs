//! Making dissectors in Lua: the classes, and what is common to all.

use super::{Argument, Object, arg, function, method, property, writable};

const RAISED: &[Argument] = &[arg("event", "string"), arg("...", "any")];
const NEW_EVENT: &[Argument] = &[
    arg("name", "string"),
    arg("continue", "function?"),
    arg("signal", "function?"),
];
const ON_PAYLOAD: &[Argument] = &[arg("parent", "any"), arg("payload", "vbuffer")];

pub const OBJECTS: &[Object] = &[
    Object::new(
        "haka.dissector",
        "Making dissectors.",
        &[
            function("new", &[arg("definition", "dissector.definition")], "dissector_class", "A new dissector, which becomes `haka.dissectors.NAME`."),
            function("pcall", &[arg("dissector", "any"), arg("fn", "function")], "any", "Calls with errors contained: they are logged, and `error` of the dissector decides."),
            function("opposite_direction", &[arg("direction", "'up'|'down'")], "'up'|'down'?", "The other direction."),
        ],
    ),
    Object::new(
        "dissector.definition",
        "What `haka.dissector.new` takes.",
        &[
            writable("name", "string", "Its name in `haka.dissectors`."),
            writable("type", "dissector_class", "The class it is made of, such as `haka.helper.PacketDissector`."),
        ],
    )
    .written(),
    Object::new(
        "haka.dissectors",
        "Every dissector by its name. A name that is not there is nil, and logged.",
        &[],
    )
    .open(),
    Object::new(
        "dissector.entry",
        "A dissector as rules find it in `haka.dissectors`.",
        &[
            property("events", "table", "Its events by their names."),
            property("policies", "table", "Its policies by their names."),
            function("create", &[arg("parent", "any"), arg("...", "any")], "any", "Makes a packet on top of another one; connections have none."),
            property("install", "policy.action", "Action of a policy: this dissector reads what comes next."),
        ],
    ),
    Object::new(
        "haka.helper",
        "Base classes of dissectors.",
        &[
            property("Dissector", "dissector_class", "The base of all."),
            property("PacketDissector", "dissector_class", "One object per packet, on its parent's payload."),
            property("EncapsulatedPacketDissector", "dissector_class", "The manuals' name for `PacketDissector`."),
            property("FlowDissector", "dissector_class", "One object per flow. `TcpFlowDissector` and `UdpFlowDissector` come with `protocol/tcp_connection` and `protocol/udp_connection`."),
        ],
    ),
    Object::new(
        "dissector_class",
        "A dissector as a class: what is set in `method` and `property` belongs to its objects.",
        &[
            method("register_event", NEW_EVENT, "nil", "Adds an event."),
            method("register_streamed_event", &[arg("name", "string"), arg("continue", "function?")], "nil", "Adds an event whose listeners read a stream."),
            method("available_fields", &[arg("names", "string[]")], "nil", "Names that objects may lack: reading one gives nil and is not asked of the parent."),
            method("activate", &[arg("parent", "any")], "any", "The object for the next packet or flow; by default a new one."),
            method("create", &[arg("parent", "any"), arg("...", "any")], "any", "Makes a packet on top of another one."),
            function("stream_wrapper", &[arg("fn", "function"), arg("options", "rule.options?"), arg("self", "any"), arg("stream", "any"), arg("current", "any"), arg("...", "any")], "nil", "How a streamed event calls one listener."),
            property("events", "table", "Its events."),
            property("policies", "table", "Its policies: `next_dissector`."),
            property("options", "table", "Free for the dissector."),
            property("connections", "event_connections", "Listeners that each object brings into its flow's scope."),
            property("optional_fields", "table", "The names of `available_fields`."),
            writable("grammar", "grammar?", "What packets are parsed with: a grammar of one exported rule."),
            writable("state_machine", "state_machine?", "Each object gets an instance of it, in `_state`."),
            writable("auto_state_machine", "boolean", "Whether objects start the machine by themselves."),
        ],
    )
    .over(&["class"])
    .open(),
    Object::new(
        "dissector",
        "An object of a dissector written in Lua. A field that it lacks is read from its parent; names that begin with `_` are never.",
        &[
            property("name", "string", "Name of the dissector."),
            property("state", "string?", "Where its state machine stands."),
            method("parent", &[arg("which", "integer|string?")], "any", "The layer below: directly, so many deep, or by name."),
            method("trigger", RAISED, "nil", "Raises an event of its dissector."),
            method("alert", &[arg("fields", "alert.fields")], "alert_handle", "Raises an alert."),
            method("can_continue", &[], "boolean", "To be defined: false once listeners must not be called any more."),
            method("continue", &[], "nil", "Ends the delivery of the event if `can_continue` says so."),
            method("drop", &[], "nil", "To be defined: refuses what it is about."),
            method("send", &[arg("...", "any")], "any", "To be defined: lets go what it is about."),
            method("create", &[arg("parent", "any"), arg("...", "any")], "nil", "To be defined: fills a new packet."),
            method("error", &[], "nil", "What happens on an error: `drop`."),
            method("install_criterion", &[], "table", "Values that criteria of `next_dissector` look at; none by default."),
            method("select_next_dissector", &[arg("dissector", "any")], "nil", "Says who reads what it carries."),
            method("activate_next_dissector", &[], "any", "Makes the chosen dissector ready and gives it."),
            method("connections", &[], "event_connections?", "Listeners to bring into the flow's scope."),
            method("streamed", &[arg("stream", "vbuffer_stream"), arg("fn", "function"), arg("this", "any"), arg("current", "any"), arg("...", "any")], "nil", "Runs a function in its coroutine on new bytes."),
        ],
    )
    .open(),
    Object::new(
        "packet_dissector",
        "A packet of a dissector made of `haka.helper.PacketDissector`. The fields of its grammar, and `validate` of their result, are its own.",
        &[
            method("receive", &[], "nil", "Parses, raises `receive_packet`, and hands the payload on."),
            method("preceive", &[], "nil", "As `receive`, with errors contained."),
            method("parse", &[arg("parent", "any")], "nil", "Takes the parent's payload and parses it."),
            method("parse_payload", ON_PAYLOAD, "nil", "Parses a payload: by default with the grammar; a failure raises `protocol_error`."),
            method("create_payload", &[arg("parent", "any"), arg("payload", "vbuffer"), arg("init", "table?")], "nil", "Fills the payload of a new packet."),
            method("forge", &[arg("parent", "any")], "nil", "Puts the payload back into the parent."),
            method("forge_payload", ON_PAYLOAD, "nil", "Hook before that: lengths and checksums are made right here."),
            method("inject", &[], "nil", "Puts a packet that a rule made into the traffic."),
        ],
    )
    .over(&["dissector"])
    .open(),
    Object::new(
        "tcp_flow_dissector",
        "A TCP connection as a dissector made of `TcpFlowDissector` reads it.",
        &[
            method("receive", &[arg("stream", "vbuffer_stream"), arg("current", "any"), arg("direction", "'up'|'down'")], "nil", "Takes new bytes, and lets go what was read."),
            method("receive_streamed", &[arg("iter", "vbuffer_iterator_blocking"), arg("direction", "'up'|'down'")], "nil", "Reads one direction, in a coroutine. By default the state machine is updated for as long as bytes come."),
            method("drop", &[], "nil", "Refuses all further packets of the connection."),
            method("reset", &[], "nil", "Sends an RST to both ends and drops the connection."),
        ],
    )
    .over(&["dissector"])
    .open(),
    Object::new(
        "udp_flow_dissector",
        "A UDP flow as a dissector made of `UdpFlowDissector` reads it.",
        &[
            method("receive", &[arg("pkt", "udp"), arg("payload", "vbuffer_sub"), arg("direction", "'up'|'down'")], "nil", "Takes a datagram. By default the state machine is updated with it."),
            method("send", &[arg("pkt", "udp"), arg("payload", "vbuffer_sub?"), arg("clone", "boolean?")], "vbuffer?", "Sends a packet: a datagram leaves only when the dissector sends it."),
            method("drop", &[arg("pkt", "udp?")], "nil", "Refuses the packet, or all of the flow."),
        ],
    )
    .over(&["dissector"])
    .open(),
];

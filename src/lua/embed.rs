//! The Lua library, compiled into the program, in the order of loading.
//!
//! Each chunk is called with `host` and `lib` and may use whatever stands
//! before it. Protocols' own chunks come from `proto::PROTOCOLS`, between
//! [`LIBRARY`] and [`SEAL`].

use super::Module;

macro_rules! modules {
    ($($name:literal)*) => {
        &[$(Module { name: $name, source: include_str!(concat!("lib/", $name, ".lua")) },)*]
    };
}

/// What the protocols' chunks build on.
pub const LIBRARY: &[Module] = modules! {
    "boot" "watch" "patterns"
    "ordered" "class" "check" "color" "utils" "list" "print" "pprint" "log" "time"
    "event" "context" "alert" "rule" "criterion" "policy"
    "dissector" "packet_dissector" "haka"
    "bufobject" "iterator" "vbuffer" "stream" "regexp"
    "address" "cnx_table" "checksum"
    "grammar/place" "grammar/converter" "grammar/result" "grammar/entity" "grammar/context" "grammar/node"
    "grammar/field" "grammar/scope" "grammar/bytes" "grammar/create" "grammar/write"
    "grammar/primitive" "grammar/generate" "grammar/dump" "grammar"
    "drive" "escape" "sharing" "native" "flow_data" "dispatch" "flow" "protocol" "application" "dialogue"
    "timer" "definition" "state_type" "state_instance" "state_machine"
    "scope" "complete" "console" "interactive" "debug_commands" "debugger"
};

/// The sandbox, and what goes into it.
pub const SEAL: &[Module] = modules! { "sandbox" "globals" };

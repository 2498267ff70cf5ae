//! Which reference pages there are, and what stands on each.
//!
//! A protocol's page lists its dissector's events and policies, and all
//! objects that are named by it. What rows do not say, with an example that
//! the tests run, is in `pages/`. A protocol without a row here gets a page
//! of its tables alone, and a failing test.

use crate::proto::PROTOCOLS;
use crate::proto::api::Object;

/// One page of the reference.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The file's name without its ending.
    pub file: &'static str,
    pub title: &'static str,
    /// The dissector whose events and policies it lists, or nothing.
    pub dissector: &'static str,
    /// Names of objects, in order.
    pub objects: &'static [&'static str],
    /// Messages of errors, and what they mean.
    pub errors: &'static [(&'static str, &'static str)],
    /// The text of the page, with its example.
    pub prose: &'static str,
}

/// The page that an object stands on: the one that lists it, or that of the
/// protocol by which it is named.
pub fn page_of(object: &Object) -> Option<&'static str> {
    let listed = PAGES
        .iter()
        .find(|page| page.objects.contains(&object.name))
        .map(|page| page.file);
    listed.or_else(|| {
        let named = PROTOCOLS.iter().map(|protocol| protocol.name);
        named
            .filter(|name| belongs(object, name))
            .max_by_key(|name| name.len())
    })
}

/// Whether an object is a protocol's by its name. `dialogue` is what SMTP and
/// its likes have in common.
fn belongs(object: &Object, protocol: &str) -> bool {
    let name = object.name.strip_prefix("protocol.").unwrap_or(object.name);
    let shared = protocol == "smtp" && name.starts_with("dialogue.");
    let rest = name.strip_prefix(protocol);
    shared || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']))
}

macro_rules! pages {
    ($($file:literal $title:literal $dissector:literal [$($object:literal)*] {$($error:literal => $meaning:literal;)*})*) => {
        /// Every page, in the order of the index.
        pub const PAGES: &[Page] = &[$(Page {
            file: $file,
            title: $title,
            dissector: $dissector,
            objects: &[$($object,)*],
            errors: &[$(($error, $meaning),)*],
            prose: include_str!(concat!("pages/", $file, ".md")),
        },)*];
    };
}

pages! {
    "haka" "The table `haka`: rules, groups, logs, time" "" [
        "haka" "rule.definition" "rule.options" "group.definition" "rule_group" "haka.log" "time" "haka.console"
    ] {
        "no event defined for rule" => "`on` is missing, or names an event that is not there.";
        "rule must bind on an event" => "`on` is something else than an event.";
        "rule eval function expected" => "`eval` is missing or no function.";
        "too many log section" => "There are 256 sections.";
        "invalid log level: " => "No such level.";
        "over its time or memory budget" => "The rule took more than an event may: it is stopped, and the others go on.";
    }
    "events" "Events" "" [
        "haka.events" "event" "haka.event" "event_connections" "context" "scope"
    ] {
        "unkown event" => "The dissector has no event of that name.";
        "event expected" => "A listener or a signal on something that is no event.";
        "scope required to register dynamic event connections" => "Listeners for one object need the scope of a flow.";
    }
    "policies" "Policies" "" [
        "haka.policy" "policy.entry" "policy.action" "policy" "policy.arguments" "criterion"
    ] {
        "no on defined for policy" => "`on` is missing.";
        "policy action must be a function or a list of functions" => "`action` is missing, or not made of functions.";
        "a table never matches, use haka.policy.set" => "A criterion that is a plain table.";
        "invalid bounds" => "`min` is above `max`.";
        "can only learn on haka.policy.Criterion" => "`haka.policy.learn` takes a criterion that was not called.";
    }
    "alerts" "Alerts" "" [
        "haka.alert" "alert.fields" "alert.method" "alert.node" "alert_handle"
    ] {
        "unexpected field " => "An alert has no such field.";
        "invalid severity value " => "Neither `low`, `medium` nor `high`.";
        "invalid confidence value " => "Neither such a word nor a number.";
        "invalid completion value " => "Neither `failed` nor `successful`.";
        "expected alert for " => "`ref` takes what `haka.alert` gave.";
    }
    "dissectors" "Dissectors in Lua" "" [
        "haka.dissector" "dissector.definition" "haka.dissectors" "dissector.entry" "haka.helper" "dissector_class"
        "dissector" "packet_dissector" "tcp_flow_dissector" "udp_flow_dissector" "tcp_connection.helper" "udp_connection.helper"
    ] {
        "unknown dissector " => "Logged: nobody has loaded a dissector of that name.";
        "already defined" => "There is a dissector of that name.";
        "no type defined for dissector" => "`type` is missing.";
        "invalid parent dissector, must be a tcp flow" => "A `TcpFlowDissector` was made on something else.";
        "not implemented for grammar exporting more than 1 element" => "Packets are parsed by a grammar's only exported rule.";
        "operation not supported" => "The packet was sent or dropped before.";
    }
    "buffers" "Buffers and streams" "" [
        "haka.vbuffer" "vbuffer" "vbuffer_sub" "vbuffer_iterator" "vbuffer_iterator_blocking" "vbuffer_stream"
        "vbuffer_sub_stream" "vbuffer_stream_comanager"
    ] {
        "read only buffer" => "The packet cannot be changed: the run is in pass-through mode, or the bytes are gone.";
    }
    "regexp" "`regexp/pcre`" "" [
        "regexp.pcre" "regexp_module" "regexp" "regexp_sink" "regexp_result" "regexp_set" "regexp_set_sink"
    ] {
        "PCRE compilation failed with error " => "The pattern is wrong, or not supported; with the place.";
        "PCRE internal error " => "-8: the counted steps are used up. -16: the pattern is for text only.";
        "nil argument" => "The pattern or the input is missing.";
    }
    "grammars" "Grammars" "" [
        "haka.grammar" "grammar.words" "grammar.entity" "grammar.converters" "grammar.converter" "grammar" "grammar.rule"
        "haka.grammar.result" "grammar.result" "grammar.array_result" "grammar.context" "grammar.error"
    ] {
        "grammar definition must be a function" => "The second argument of `haka.grammar.new`.";
        "is reserved in the grammar scope" => "A rule cannot have the name of a word.";
        "exported rule must be registered in the grammar: " => "`export` of a name that no rule has.";
        "is not supported by " => "The entity cannot have that option.";
        "unknown grammar public rule " => "The grammar exports no rule of that name.";
        "grammar max recursion reached" => "A rule contains itself more often than `require('parse').max_recursion`.";
        "multiple parse errors raised" => "A parse fails once.";
    }
    "state-machines" "State machines" "" [
        "haka.state_machine" "state_machine.words" "state_type.definition" "state.actions" "state.action" "state.events"
        "state.event" "state" "state_machine" "state_machine_instance"
    ] {
        "state machine must have an initial state" => "`initial` was not called.";
        "cannot create state without prior call to state_type()" => "`state_type` comes first.";
        "action must have either an execute or a jump" => "Also where the state of a jump is not defined yet.";
        "unknown event " => "The kind of state has no such event.";
        "state machine instance has finished" => "It takes no more events.";
        "no event named " => "The current state has no such event.";
        "invalid timer delay" => "Not a number above zero.";
        "too many timers" => "The cap `max_timers` is reached.";
    }
    "packet" "The dissector `packet`" "packet" ["packet" "fault"] {
        "invalid packet" => "The packet has left, or its event is over.";
        "field outside of the packet" => "The frame is too short for the field.";
    }
    "ip" "`protocol/ip`" "" ["protocol.ip" "addr" "network" "inet_checksum"] {
        "network expected" => "`contains` needs its network: write `net:contains(addr)`.";
    }
    "ipv4" "`protocol/ipv4`" "ipv4" ["protocol.ipv4" "ipv4" "cnx_table" "cnx"] {
        "cnx already exists" => "The table has an entry of these ends.";
        "This variable is immutable" => "A field that cannot be written.";
    }
    "ipv6" "`protocol/ipv6`" "ipv6" ["protocol.ipv6" "ipv6"] {
        "This variable is immutable" => "A field that cannot be written.";
    }
    "icmp" "`protocol/icmp`" "icmp" ["protocol.icmp" "icmp"] {}
    "icmpv6" "`protocol/icmpv6`" "icmpv6" ["protocol.icmpv6" "icmpv6"] {}
    "tcp" "`protocol/tcp`" "tcp" ["protocol.tcp" "tcp" "tcp_stream"] {
        "unknown field " => "Neither the segment nor the packets below it have such a field.";
        "number must not be negative" => "Fields are unsigned.";
        "the stream has no first sequence number: call init" => "A `tcp_stream` begins with `init`.";
        "operation not supported" => "`push` takes captured segments on their way down, once each.";
    }
    "udp" "`protocol/udp`" "udp" ["protocol.udp" "udp"] {
        "unknown field " => "Neither the datagram nor the packets below it have such a field.";
    }
    "tcp_connection" "`protocol/tcp_connection`" "tcp_connection" [
        "protocol.tcp_connection" "tcp_connection" "tcp_connection.console"
    ] {
        "cannot reset a non-established connection" => "There is nobody yet who would take the RST: drop the connection.";
        "connection already dropped" => "It was dropped before.";
        "direction must be 'up' or 'down'" => "What `send` takes.";
        "unknown tcp connection" => "The console's functions take the number of a connection.";
    }
    "udp_connection" "`protocol/udp_connection`" "udp_connection" [
        "protocol.udp_connection" "udp_connection" "udp_connection.console"
    ] {
        "packet expected" => "`flow:send` takes the packet.";
        "unknown udp connection" => "The console's functions take the number of a flow.";
    }
    "ipv4lua" "`protocol/ipv4lua`" "ipv4lua" [] {}
    "http" "`protocol/http`" "http" [] {
        "the http message is gone: keep what you need of it" => "A message is there until the next one of its direction ends.";
        "does not verify" => "What is written into a message would not be HTTP.";
        "too many headers added" => "A message takes so many and no more.";
    }
    "http_utils" "`protocol/http_utils`" "" [] {}
    "dns" "`protocol/dns`" "dns" [] {}
    "tls" "`protocol/tls`" "tls" [] {}
    "quic" "`protocol/quic`" "quic" [] {}
    "smtp" "`protocol/smtp`" "smtp" [] {}
    "ftp" "`protocol/ftp`" "ftp" [] {}
    "ssh" "`protocol/ssh`" "ssh" [] {}
    "misc-crypto" "`misc/crypto`" "" ["misc.crypto" "base64"] {
        "base64." => "The text is no base64, or longer than 16 MiB.";
    }
    "misc-geoip" "`misc/geoip`" "" ["misc.geoip" "geoip_handle"] {
        "cannot initialize geoip: " => "The file cannot be read, or is no database; with the reason.";
        "is no IP address" => "The text of an address is wrong.";
    }
    "misc-asm" "`misc/asm`" "" ["misc.asm" "asm_handle" "asm_instruction"] {
        "unsupported hardware " => "No such architecture or mode.";
        "unknown syntax" => "Neither `intel` nor `att`.";
    }
    "misc-elasticsearch" "`misc/elasticsearch`" "" ["misc.elasticsearch" "elasticsearch_connector"] {
        "invalid parameter: " => "The address of the server, a name or the document is wrong; with the reason.";
    }
    "class" "`class`" "" ["class_module" "class" "object"] {
        "super class expected" => "The parent is no class.";
        "immutable class" => "What `class.super` gives is for reading.";
    }
    "check" "`check`" "" ["check"] {}
    "color" "`color`" "" ["color"] {}
    "list" "`list`" "" ["list" "list.formatter" "list.aggregator" "list_class" "list_object"] {
        "is not a valid key" => "There is no such column.";
    }
    "rule" "`rule`" "" ["rule_module"] {}
    "parse" "`parse`, and Haka's other modules of grammars and states" "" [
        "parse_module" "parse_result_module" "state_module" "grammar_dg_module"
    ] {}
    "console" "Sessions, the console and the debugger" "" [
        "console" "console.tcp" "console.udp" "console.tcp_list" "console.udp_list" "debug.interactive" "debug.debugger"
        "pprint.options"
    ] {
        "no input/output handler" => "Logged: there is nobody to type.";
        "protocol not available" => "The rules have not loaded the protocol.";
    }
    "globals" "Globals and the sandbox" "" [
        "lua" "lua.string" "lua.table" "lua.math" "lua.coroutine" "lua.io" "lua.file" "lua.os" "lua.debug" "lua.jit"
        "lua.package"
    ] {
        "C stack overflow" => "A hundred coroutines resume each other.";
        "attempt to load chunk with wrong mode" => "Bytecode is not loaded.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::proto::api;

    #[test]
    fn every_object_stands_on_one_page() {
        let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for page in PAGES {
            for object in page.objects {
                assert!(api::object(object).is_some(), "{}: {object}", page.file);
                places.entry(object).or_default().push(page.file);
            }
        }
        for object in api::objects() {
            let pages = places.get(object.name).map_or(0, Vec::len);
            assert!(pages < 2, "object {} stands on {pages} pages", object.name);
            assert!(
                page_of(object).is_some(),
                "name {} on a page of src/manual/pages.rs",
                object.name
            );
        }
    }

    #[test]
    fn every_protocol_has_a_page_and_every_page_an_example() {
        for protocol in PROTOCOLS {
            let found = PAGES.iter().any(|page| page.file == protocol.name);
            assert!(
                found,
                "add a row for {0} to src/manual/pages.rs, and src/manual/pages/{0}.md",
                protocol.name
            );
        }
        for page in PAGES {
            for kind in ["```lua\n", "```console\n"] {
                assert!(page.prose.contains(kind), "{}: no {kind}", page.file);
            }
        }
    }

    #[test]
    fn errors_are_those_of_the_sources() {
        let sources = [
            include_str!("../lua/watchdog.rs"),
            include_str!("../regexp/mod.rs"),
            include_str!("../regexp/store.rs"),
            include_str!("../lua/regexp_api.rs"),
            include_str!("../misc/asm/capstone.rs"),
            include_str!("../buf/mod.rs"),
        ];
        let library = crate::lua::embed::LIBRARY.iter();
        let seal = crate::lua::embed::SEAL.iter();
        let mut all: Vec<&str> = library.chain(seal).map(|module| module.source).collect();
        for protocol in PROTOCOLS {
            all.extend(protocol.parts.iter().map(|(_, source)| source));
            all.push(protocol.source);
        }
        all.extend(crate::misc::MODULES.iter().map(|module| module.source));
        all.extend(sources);
        for page in PAGES {
            for (text, meaning) in page.errors {
                let stands = all.iter().any(|source| source.contains(text));
                assert!(stands, "{}: nothing says '{text}'", page.file);
                assert!(meaning.ends_with('.'), "{}: {text}", page.file);
            }
        }
    }
}

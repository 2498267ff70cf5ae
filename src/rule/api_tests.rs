//! The tables of `proto::api` against the running library: every row is
//! there, and everything that is there has a row.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use mlua::{Function, Lua, Table, Value};

use super::{Options, Runtime};
use crate::alert::Alert;
use crate::capture::file::CaptureReader;
use crate::engine::{self, Engine, Shared};
use crate::event::{Level, Loader, Outward, Profile, Settings, StoreRequest};
use crate::lua::Limits;
use crate::proto::api::sandbox::{self, LIBRARIES};
use crate::proto::api::{self, MemberKind, Object};

/// Puts an object of every kind into `kept`, by its name in the table.
const RULES: &str = r"
kept = {}
for _, name in ipairs { 'ip', 'ipv4', 'ipv6', 'icmp', 'icmpv6', 'tcp', 'udp', 'tcp_connection', 'udp_connection' } do
  local module = require('protocol/' .. name)
  if type(module) == 'table' then kept['protocol.' .. name] = module end
end
local ipv4, tcp, udp = kept['protocol.ipv4'], kept['protocol.tcp_connection'], kept['protocol.udp_connection']
local class, lists, re = require('class'), require('list'), require('regexp/pcre').re

kept.network = ipv4.network('10.0.0.0/8')
kept.inet_checksum, kept.cnx_table = ipv4.inet_checksum(), ipv4.cnx_table()
kept.cnx = kept.cnx_table:create(ipv4.addr('10.0.0.1'), ipv4.addr('10.0.0.2'), 1, 2)
kept.time, kept.alert_handle = haka.network_time(), haka.alert {}
kept['alert.node'] = haka.alert.address('a')
kept.rule_group = haka.rule_group { on = haka.events.exiting }
kept.policy, kept.criterion = haka.policy.new('p'), haka.policy.learn(haka.policy.set)
kept.event, kept.event_connections = haka.events.started, haka.context.connections
kept.scope = haka.context:newscope()
kept.object, kept.class = class.class('C'):new(), class.class('D')
kept.list_class = lists.new('l')
kept.list_object = kept.list_class:new()
kept.regexp, kept.regexp_set = re:compile('a'), re:set { 'a' }
kept.regexp_sink, kept.regexp_set_sink = kept.regexp:create_sink(), kept.regexp_set:create_sink()
kept.regexp_result = haka.regexp_result()

kept.vbuffer = haka.vbuffer_from('\1\1\2')
kept.vbuffer_sub, kept.vbuffer_iterator = kept.vbuffer:sub(), kept.vbuffer:pos()
kept.vbuffer_iterator_blocking = haka.vbuffer_iterator_blocking(kept.vbuffer:pos())
kept.vbuffer_stream, kept.vbuffer_sub_stream = haka.vbuffer_stream(), haka.vbuffer_sub_stream()
kept.vbuffer_stream_comanager = kept.vbuffer_stream:getcomanager()
kept.tcp_stream = kept['protocol.tcp'].tcp_stream()

kept.grammar = haka.grammar.new('g', function ()
  item = record { field('n', number(8)), execute(function (_, ctx) kept['grammar.context'] = ctx end) }
  list = record { field('items', array(item):count(2)), verify(function () return false end, 'no') }
  kept['grammar.entity'] = number(8)
  export(list)
end)
kept['grammar.rule'] = kept.grammar.list
kept['grammar.result'], kept['grammar.error'] = kept.grammar.list:parse(kept.vbuffer:pos())
kept['grammar.array_result'] = kept['grammar.result'].items

kept.state_machine = haka.state_machine.new('m', function ()
  state_type { events = { 'go' } }
  first = state()
  initial(first)
  kept.state, kept['state.actions'] = first, any
end)
kept.state_machine_instance = kept.state_machine:instanciate {}

kept.geoip_handle = require('misc/geoip').geoip_handle
local asm = require('misc/asm')
kept.asm_handle, kept.asm_instruction = asm.new_disassembler('x86', '32'), asm.new_instruction()
kept.elasticsearch_connector = require('misc/elasticsearch').connector('http://127.0.0.1:1')

local connections = haka.dissectors.tcp_connection
kept['dissector.entry'] = haka.dissectors.tcp
kept.packet_dissector_class = haka.dissector.new { name = 'p', type = haka.helper.PacketDissector }
kept.dissector_class = haka.dissector.new { name = 't', type = tcp.helper.TcpFlowDissector }
local datagrams = haka.dissector.new { name = 'u', type = udp.helper.UdpFlowDissector }

for _, name in ipairs { 'packet', 'ipv4', 'ipv6', 'icmp', 'tcp', 'udp' } do
  haka.rule { on = haka.dissectors[name].events.receive_packet, eval = function (pkt) kept[name] = kept[name] or pkt end }
end
haka.rule { on = haka.events.started, eval = function ()
  kept.icmpv6 = haka.dissectors.icmpv6.create(haka.dissectors.ipv6.create(haka.packet(0)))
  kept.packet_dissector = kept.packet_dissector_class:new(kept.icmpv6)
  kept.dissector = haka.dissector.new { name = 'f', type = haka.helper.FlowDissector }:new(kept.icmpv6)
end }
for _, name in ipairs { 'smtp', 'ftp', 'ssh' } do require('protocol/' .. name) end
local smtp, ftp, ssh = haka.dissectors.smtp, haka.dissectors.ftp, haka.dissectors.ssh
haka.rule { on = smtp.events.command, eval = function (flow, command)
  kept.smtp, kept['dialogue.command'] = flow, command
end }
haka.rule { on = smtp.events.response, eval = function (flow, response)
  kept['dialogue.response'], kept['dialogue.line'] = response, response.lines[1]
end }
haka.rule { on = ftp.events.data_flow, eval = function (flow, data)
  kept.ftp, kept['ftp.data_flow'] = flow, data
end }
haka.rule { on = ssh.events.banner, eval = function (flow, banner)
  kept.ssh, kept['ssh.banner'] = flow, banner
end }
haka.rule { on = connections.events.new_connection, eval = function (flow)
  kept.tcp_connection, kept.tcp_flow_dissector = flow, kept.dissector_class:new(flow)
end }
haka.rule { on = haka.dissectors.udp_connection.events.new_connection, eval = function (flow)
  kept.udp_connection, kept.udp_flow_dissector = flow, datagrams:new(flow)
end }
";

/// Objects that are no values of Lua, or of which there is none to look at.
const ABSENT: [&str; 7] = [
    "policy.action",
    "fault",
    "state.event",
    "dialogue.anomaly",
    "state.events",
    "debug.interactive",
    "debug.debugger",
];

/// What is over when the rules have run: its names are looked at, its values
/// are by `tests/api.rs`.
const GONE: [&str; 8] = [
    "packet",
    "ipv4",
    "ipv6",
    "icmp",
    "tcp",
    "udp",
    "tcp_connection",
    "udp_connection",
];

/// Application protocols, whose objects need traffic of their own: the tests
/// of each look at them.
const APPLICATIONS: [&str; 8] = [
    "http", "dns", "tls", "dialogue", "ftp", "ssh", "smtp", "quic",
];

struct Files;

impl Loader for Files {
    fn read(&mut self, path: &str) -> std::io::Result<Vec<u8>> {
        match path {
            "rules.lua" => Ok(RULES.as_bytes().to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }
}

#[derive(Default)]
struct Said(Vec<String>);

impl Outward for Said {
    fn log(&mut self, level: Level, section: &str, text: &str) {
        if matches!(level, Level::Error | Level::Fatal) {
            self.0.push(format!("{section}: {text}"));
        }
    }
    fn alert(&mut self, _: &Alert) {}
    fn print(&mut self, _: &[u8], _: bool) {}
    fn store(&mut self, _: StoreRequest) {}
    fn nonce(&self) -> [u8; 16] {
        [0; 16]
    }
}

/// The rules after some traffic, with what they kept.
fn runtime() -> (Runtime, Shared) {
    let settings = Settings::new(Profile::Wero);
    let engine: Shared = Rc::new(RefCell::new(Engine::new(settings).expect("address space")));
    let said = Rc::new(RefCell::new(Said::default()));
    let options = Options {
        rule_file: PathBuf::from("rules.lua"),
        module_dirs: Vec::new(),
        limits: Limits::default(),
        thread: 0,
        colour: false,
        time_text: |_| String::new(),
    };
    let mut rules = Runtime::load(&engine, &options, Box::new(Files), said.clone())
        .unwrap_or_else(|error| panic!("{error}"));
    rules.started();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let captures = [
        "sample/hello-packet/input.pcap",
        "sample/port-filter/input.pcap",
        "tests/captures/datagrams-v4.pcap",
        "sample/smtp-spam-filter/input.pcap",
        "sample/ftp-policy/rule/input.pcap",
        "sample/group-filter/input.pcap",
    ];
    let mut id = 0;
    for capture in captures {
        let mut reader = CaptureReader::open(&root.join(capture)).expect("the capture is there");
        while let Some(record) = reader.next().expect("an undamaged capture") {
            id += 1;
            let length = record.bytes.len() as u32;
            let taken = engine.borrow_mut().handle_packet(
                record.timestamp,
                id,
                record.link,
                record.bytes,
                length,
            );
            assert!(taken);
            engine::run(&engine, &mut rules, &mut |_| {});
            while let Some(output) = { engine.borrow_mut().poll_output() } {
                engine.borrow_mut().release_output(&output);
            }
        }
    }
    assert_eq!(said.borrow().0, [""; 0]);
    (rules, engine)
}

/// Looks at values as the library does, past what metatables hide.
struct Look {
    classof: Function,
    members: Function,
    grammar_words: Table,
    state_words: Table,
}

impl Look {
    fn new(lua: &Lua) -> mlua::Result<Look> {
        let library: Table = lua.named_registry_value("library")?;
        let class: Table = library.get("class")?;
        let words: Function = library.get::<Table>("state_type")?.get("words")?;
        Ok(Look {
            classof: class.get("classof")?,
            members: class.get("members")?,
            grammar_words: library.get::<Table>("grammar")?.get("reserved")?,
            state_words: words.call(())?,
        })
    }

    /// Names of a value's members, without those of the library's own.
    fn names(&self, value: &Value) -> mlua::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        let Value::Table(table) = value else {
            return Ok(names);
        };
        keys(table, &mut names)?;
        if self.classof.call::<Option<Table>>(value)?.is_some() {
            let (methods, getters): (Table, Table) = self.members.call(value)?;
            keys(&methods, &mut names)?;
            keys(&getters, &mut names)?;
        } else if let Some(meta) = table.metatable() {
            for place in ["__methods", "__index"] {
                if let Value::Table(members) = meta.raw_get::<Value>(place)? {
                    keys(&members, &mut names)?;
                }
            }
            if let Some(attributes) = meta.raw_get::<Option<Vec<String>>>("__attributes")? {
                names.extend(attributes);
            }
        }
        names.retain(|name| !name.starts_with(['_', ' ']));
        Ok(names)
    }
}

fn keys(table: &Table, names: &mut BTreeSet<String>) -> mlua::Result<()> {
    for pair in table.pairs::<Value, Value>() {
        if let (Value::String(name), _) = pair? {
            names.insert(name.to_string_lossy());
        }
    }
    Ok(())
}

/// What was found to be wrong; names of objects that were looked at.
#[derive(Default)]
struct Found {
    wrong: Vec<String>,
    seen: BTreeSet<&'static str>,
}

impl Found {
    /// Holds an object's row against a value, then what its fields lead to.
    fn compare(&mut self, look: &Look, object: &'static Object, value: &Value) -> mlua::Result<()> {
        if !self.seen.insert(object.name) {
            return Ok(());
        }
        let known = api::names(object);
        for name in look.names(value)? {
            if !known.contains(&name.as_str()) && !is_users(object, &name) {
                self.wrong
                    .push(format!("{}.{name} has no row", object.name));
            }
        }
        // Addresses are values of the FFI.
        if GONE.contains(&object.name) || !value.is_table() {
            return Ok(());
        }
        for member in object.members {
            let place = format!("{}.{}", object.name, member.name);
            let Ok(found) = member_of(value, member.name) else {
                self.wrong.push(format!("{place} cannot be read"));
                continue;
            };
            match member.kind {
                MemberKind::Property { is, .. } => {
                    let optional = is.ends_with('?') || ["any", "time"].contains(&is);
                    if found.is_nil() && !optional && !object.open {
                        self.wrong.push(format!("{place} is not there"));
                    }
                    if let (Some(of), false) = (api::object(is), found.is_nil()) {
                        self.compare(look, of, &found)?;
                    }
                }
                _ if callable(&found) => {}
                _ => self.wrong.push(format!("{place} is no function")),
            }
        }
        Ok(())
    }
}

fn member_of(value: &Value, name: &str) -> mlua::Result<Value> {
    match value {
        Value::Table(table) => table.get(name),
        _ => Ok(Value::Nil),
    }
}

fn callable(value: &Value) -> bool {
    let has_call = |table: &Table| {
        let meta = table.metatable();
        meta.is_some_and(|meta| meta.contains_key("__call").unwrap_or(false))
    };
    match value {
        Value::Function(_) => true,
        Value::Table(table) => has_call(table),
        _ => false,
    }
}

/// Fields that data bring, and those that Haka's own tests look at.
fn is_users(object: &Object, name: &str) -> bool {
    // Every object of a class has these.
    if ["clone", "addproperty"].contains(&name) {
        return true;
    }
    match object.name {
        "haka.dissectors" | "grammar.rule" | "grammar_dg_module" | "state.events" => true,
        "grammar.result" => name == "items",
        "grammar.entity" => ["bits", "little", "kind"].contains(&name),
        "state_machine" => ["initial", "timed"].contains(&name),
        "criterion" => ["plain", "others"].contains(&name),
        _ => false,
    }
}

#[test]
fn every_row_is_there_and_everything_there_has_a_row() {
    let (mut rules, _engine) = runtime();
    let found = rules.guarded(|lua| {
        let look = Look::new(lua)?;
        let globals = lua.globals();
        let mut found = Found::default();
        let kept: Table = globals.get("kept")?;
        for pair in kept.pairs::<String, Value>() {
            let (name, value) = pair?;
            if let Some(object) = api::object(&name) {
                found.compare(&look, object, &value)?;
            }
        }
        let package: Table = globals.get("package")?;
        let loaded: Table = package.get("loaded")?;
        let require: Function = globals.get("require")?;
        let mut modules = BTreeSet::new();
        keys(&loaded, &mut modules)?;
        keys(&package.get("preload")?, &mut modules)?;
        for name in modules {
            let value: Value = require.call(name.as_str())?;
            let lua_own = sandbox::library(&name).is_some();
            match (api::module(&name), &value) {
                (Some(object), _) => found.compare(&look, object, &value)?,
                (None, Value::Table(table)) if !lua_own && !table.is_empty() => {
                    found.wrong.push(format!("module {name} has no row"));
                }
                _ => {}
            }
        }
        let haka = api::object("haka").expect("it stands in the table");
        found.compare(&look, haka, &globals.get("haka")?)?;
        for (name, words) in [
            ("grammar.words", &look.grammar_words),
            ("state_machine.words", &look.state_words),
        ] {
            let object = api::object(name).expect("it stands in the table");
            let mut there = BTreeSet::new();
            keys(words, &mut there)?;
            let told: BTreeSet<String> =
                api::names(object).into_iter().map(str::to_owned).collect();
            let differ = there.symmetric_difference(&told);
            found
                .wrong
                .extend(differ.map(|word| format!("{name}: {word}")));
            found.seen.insert(object.name);
        }
        Ok(found)
    });
    let found = found.unwrap_or_else(|failure| panic!("{failure:?}"));
    assert!(found.wrong.is_empty(), "{:#?}", found.wrong);
    // What a session has, the tests of the console look at.
    let unseen: Vec<&str> = api::objects()
        .filter(|object| !object.written && !ABSENT.contains(&object.name))
        .filter(|object| !object.name.starts_with("console") && !object.name.starts_with("lua"))
        .filter(|object| {
            !APPLICATIONS
                .iter()
                .any(|name| object.name.starts_with(name))
        })
        .map(|object| object.name)
        .filter(|name| !found.seen.contains(name))
        .collect();
    assert!(unseen.is_empty(), "keep one of each in RULES: {unseen:?}");
}

#[test]
fn the_globals_of_rules_are_those_of_the_table() {
    let (mut rules, _engine) = runtime();
    let wrong = rules.guarded(|lua| {
        let globals = lua.globals();
        let mut wrong = Vec::new();
        // SAFETY: nothing is run in this state; its tables are read.
        let bare = unsafe { Lua::unsafe_new() };
        for library in LIBRARIES {
            let (table, full) = match library.name {
                "_G" => (globals.clone(), bare.globals()),
                name => (
                    globals.get::<Table>(name)?,
                    bare.globals().get::<Table>(name)?,
                ),
            };
            let (mut there, mut bare_names) = (BTreeSet::new(), BTreeSet::new());
            keys(&table, &mut there)?;
            keys(&full, &mut bare_names)?;
            there.remove("kept");
            // A module of LuaJIT's that mlua makes a global.
            bare_names.remove("ffi");
            for name in &there {
                if !library.has(name) {
                    wrong.push(format!("{}.{name} has no row", library.name));
                }
            }
            for name in library.standard.iter().copied().chain(library.own()) {
                if !there.contains(name) {
                    wrong.push(format!("{}.{name} is not there", library.name));
                }
            }
            let gone: BTreeSet<&str> = bare_names.difference(&there).map(String::as_str).collect();
            let told: BTreeSet<&str> = library.removed.iter().copied().collect();
            if gone != told {
                wrong.push(format!("{}: {gone:?} are removed", library.name));
            }
        }
        Ok(wrong)
    });
    let wrong = wrong.unwrap_or_else(|failure| panic!("{failure:?}"));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

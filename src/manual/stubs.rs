//! Stubs for language servers (LuaLS, EmmyLua): annotated Lua that declares
//! what a rule file sees and is never run.
//!
//! `haka.lua` has the objects, `dissectors.lua` the dissectors with their
//! events, `globals.lua` the sandbox, `words.lua` what definitions of
//! grammars and state machines see; a module is a file of the name that
//! `require` takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::File;
use super::types::{CallRow, FieldRow, calls, fields, fields_of_group, function_type, variable};
use crate::event::EVENTS;
use crate::proto::PROTOCOLS;
use crate::proto::api::sandbox::{LIBRARIES, Library};
use crate::proto::api::{self, Argument, Object};

/// Every stub file.
pub fn stubs() -> Vec<File> {
    let mut files = vec![
        file("haka", "_", &objects()),
        file("dissectors", "_", &dissectors()),
        file("globals", "_", &globals()),
        file("words", "_", &words()),
    ];
    for object in api::objects().filter(|object| is_module(object)) {
        let mut body = class(object, &format!("local {}", variable(object.name)));
        writeln!(body, "return {}", variable(object.name)).expect("text grows");
        files.push(file(object.require, object.require, &body));
    }
    files.push(file("ffi", "ffi", REMOVED_FFI));
    files
}

const REMOVED_FFI: &str = "---Rules have no `ffi`: the sandbox has taken it out.\n\
                           ---@deprecated\nlocal ffi = {}\nreturn ffi\n";

fn file(path: &str, meta: &str, body: &str) -> File {
    let version = env!("CARGO_PKG_VERSION");
    File {
        path: format!("{path}.lua"),
        text: format!(
            "---@meta {meta}\n-- Written by `wero doc stubs` (Wero {version}).\n\n{body}"
        ),
    }
}

/// `haka` is a module by name, but always there.
fn is_module(object: &Object) -> bool {
    !object.require.is_empty() && object.require != "haka"
}

/// Objects of the globals of Lua: `globals.lua` has them.
fn is_lua(object: &Object) -> bool {
    LIBRARIES
        .iter()
        .any(|library| library.object == object.name)
}

fn objects() -> String {
    let mut text = String::new();
    for object in api::objects() {
        if is_module(object) || is_lua(object) || object.name == "haka.dissectors" {
            continue;
        }
        if object.name == "haka" {
            text += &class(object, "haka");
            continue;
        }
        text += "do\n";
        text += &class(object, &format!("local {}", variable(object.name)));
        text += "end\n\n";
    }
    text
}

/// The class of an object, with its members in a variable.
fn class(object: &Object, place: &str) -> String {
    let mut text = comment(object.doc);
    let (fields, calls) = (fields(object), calls(object));
    // A function of that kind, not an object with fields.
    if let Some(call) = object.call
        && object.members.is_empty()
    {
        let is = function_type(call.arguments, call.gives);
        writeln!(text, "---@alias {} {is}\n", object.name).expect("text grows");
        return text;
    }
    let below = match object.below {
        [] => String::new(),
        below => format!(" : {}", below.join(", ")),
    };
    writeln!(text, "---@class {}{below}", object.name).expect("text grows");
    if let Some(call) = object.call {
        let is = function_type(call.arguments, call.gives);
        writeln!(text, "---@overload {is}").expect("text grows");
    }
    if ["vbuffer", "vbuffer_sub"].contains(&object.name) {
        text += "---@field [integer] integer One byte, from 1.\n";
    }
    for field in &fields {
        text += &field_line(field, object.written);
    }
    if object.open && !object.written {
        text += "---@field [string] any Whatever a rule keeps there.\n";
    }
    writeln!(text, "{place} = {{}}\n").expect("text grows");
    let owner = place.trim_start_matches("local ");
    for call in &calls {
        text += &function(owner, call);
    }
    for group in fields.iter().filter(|field| is_group(object, field)) {
        text += &format!("---Fields with a common name.\n---@class {}\n", group.is);
        for field in fields_of_group(&group.is) {
            text += &field_line(&field, false);
        }
        text.push('\n');
    }
    text
}

fn is_group(object: &Object, field: &FieldRow) -> bool {
    field.is == format!("{}.{}", object.name, field.name) && !object.protocol.is_empty()
}

fn field_line(field: &FieldRow, written: bool) -> String {
    let (name, is) = match field.is.strip_suffix('?') {
        Some(is) if written => (format!("{}?", field.name), is),
        _ => (field.name.to_owned(), field.is.as_str()),
    };
    let access = if written || field.writable {
        ""
    } else {
        " (read-only)"
    };
    format!("---@field {name} {is} {}{access}\n", field.doc)
}

fn comment(doc: &str) -> String {
    doc.lines().map(|line| format!("---{line}\n")).collect()
}

fn function(owner: &str, row: &CallRow) -> String {
    let mut text = comment(row.doc);
    text += &annotations(row.call.arguments, row.call.gives);
    let joint = if row.method { ":" } else { "." };
    let name = if owner.is_empty() {
        row.name.to_owned()
    } else {
        format!("{owner}{joint}{}", row.name)
    };
    let names: Vec<&str> = row.call.arguments.iter().map(|one| one.name).collect();
    text + &format!("function {name}({}) end\n\n", names.join(", "))
}

fn annotations(arguments: &[Argument], gives: &str) -> String {
    let mut text = String::new();
    for argument in arguments {
        let (name, is) = match argument.is.strip_suffix('?') {
            Some(is) => (format!("{}?", argument.name), is),
            None => (argument.name.to_owned(), argument.is),
        };
        writeln!(text, "---@param {name} {is}").expect("text grows");
    }
    if gives != "nil" {
        writeln!(text, "---@return {gives}").expect("text grows");
    }
    text
}

// Dissectors --------------------------------------------------------------------

fn dissectors() -> String {
    let mut text = String::from("do\n");
    let names = PROTOCOLS.iter().map(|protocol| protocol.name);
    let names: Vec<&str> = names.filter(|name| has_events(name)).collect();
    let all = api::object("haka.dissectors").map_or("", |object| object.doc);
    text += &comment(all);
    text += "---@class haka.dissectors\n";
    for name in &names {
        writeln!(text, "---@field {name} dissector.{name}").expect("text grows");
    }
    text +=
        "---@field [string] dissector.entry Dissectors of rules.\nlocal haka_dissectors = {}\n\n";
    for name in names {
        text += &dissector(name);
    }
    text + "end\n"
}

fn has_events(dissector: &str) -> bool {
    EVENTS.iter().any(|row| row.dissector == dissector)
}

fn dissector(name: &str) -> String {
    let mut text = format!(
        "---@class dissector.{name} : dissector.entry\n---@field events dissector.{name}.events\n\
         ---@field policies dissector.{name}.policies\n\n---@class dissector.{name}.events\n"
    );
    let mut listeners = String::new();
    for row in EVENTS.iter().filter(|row| row.dissector == name) {
        if row.name.starts_with("policy:") {
            continue;
        }
        let listener = api::listener(row).map(|arguments| function_type(arguments, "nil"));
        let told = listener.as_ref().map_or(String::new(), |_| {
            format!(" Listener: `listener.{name}.{}`.", row.name)
        });
        writeln!(text, "---@field {} event {}{told}", row.name, row.doc).expect("text grows");
        if let Some(is) = listener {
            writeln!(
                listeners,
                "---{}\n---@alias listener.{name}.{} {is}",
                row.doc, row.name
            )
            .expect("text grows");
        }
        let streamed = api::streamed_listener(row);
        if streamed != api::listener(row)
            && let Some(arguments) = streamed
        {
            let is = function_type(arguments, "nil");
            writeln!(
                listeners,
                "---With `options = {{ streamed = true }}`.\n---@alias listener.{name}.{}.streamed {is}",
                row.name
            )
            .expect("text grows");
        }
    }
    writeln!(text, "\n---@class dissector.{name}.policies").expect("text grows");
    for (policy, doc) in api::policies_told(name) {
        writeln!(text, "---@field {policy} policy {doc}").expect("text grows");
    }
    format!("{text}\n{listeners}\n")
}

// Globals -----------------------------------------------------------------------

fn globals() -> String {
    LIBRARIES.iter().map(library).collect()
}

/// What Wero adds to a library of Lua or does in its own way, and what is
/// not there, which language servers strike out.
fn library(library: &Library) -> String {
    let owner = if library.name == "_G" {
        ""
    } else {
        library.name
    };
    let mut text = String::new();
    if let Some(object) = api::object(library.object) {
        if !owner.is_empty() {
            text += &comment(object.doc);
            writeln!(text, "---@class {}", library.object).expect("text grows");
            for field in fields(object) {
                text += &field_line(&field, false);
            }
            let value = if library.standard.is_empty() {
                "{}"
            } else {
                owner
            };
            writeln!(text, "{owner} = {value}\n").expect("text grows");
        }
        for call in calls(object) {
            text += &function(owner, &call);
        }
    }
    for name in library.removed {
        let place = if owner.is_empty() {
            (*name).to_owned()
        } else {
            format!("{owner}.{name}")
        };
        writeln!(
            text,
            "---Not in rules: the sandbox has taken it out.\n---@deprecated\nfunction {place}(...) end\n"
        )
        .expect("text grows");
    }
    text
}

// Words -------------------------------------------------------------------------

/// Words of definitions, which look like globals. One that both kinds of
/// definitions have is either.
fn words() -> String {
    let mut told: BTreeMap<&str, Vec<(String, &str)>> = BTreeMap::new();
    for name in ["grammar.words", "state_machine.words"] {
        let Some(object) = api::object(name) else {
            continue;
        };
        for field in fields(object) {
            told.entry(field.name)
                .or_default()
                .push((field.is, field.doc));
        }
        for row in calls(object) {
            let is = function_type(row.call.arguments, row.call.gives);
            told.entry(row.name).or_default().push((is, row.doc));
        }
    }
    let mut text = String::from(
        "-- Words of `haka.grammar.new` and `haka.state_machine.new`. They are there while a\n\
         -- definition runs, and nowhere else.\n\n",
    );
    for (name, kinds) in told {
        for (_, doc) in &kinds {
            text += &comment(doc);
        }
        let types: Vec<String> = kinds.into_iter().map(|(is, _)| format!("({is})")).collect();
        writeln!(text, "---@type {}\n{name} = nil\n", types.join("|")).expect("text grows");
    }
    text
}

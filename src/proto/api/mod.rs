//! What rules may call and read, as data: one row serves `wero lint`, the
//! editor stubs and the reference pages.
//!
//! Header fields are not written down again: an [`Object`] names the
//! protocol whose field table it has. Types are written as LuaLS has them
//! (`vbuffer_sub?`, `'up'|'down'`); a plain name is that of an object here.
//! `rule/api_tests.rs` holds the rows against the running library.

mod buffers;
mod console;
mod dialogues;
mod dissectors;
mod dns;
mod events;
mod grammars;
mod haka;
mod http;
mod library;
mod listeners;
mod misc;
mod packets;
mod policies;
mod regexps;
pub mod sandbox;
mod states;
mod suggest;
mod text;
mod tls;
mod values;

pub use listeners::{listener, policies, policies_told, streamed_listener};
pub use suggest::{closest, hint};
pub use text::{function_type, parameters};

use super::field::{Field, Shape};
use super::{PROTOCOLS, optional};
use crate::event::EventRow;

/// Something with fields and functions: a packet, a buffer, a module.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Its type's name.
    pub name: &'static str,
    /// What `require` takes, for modules; `haka` for what is always there.
    pub require: &'static str,
    /// Rules may keep fields of their own in it.
    pub open: bool,
    /// A table that rules write: its members are the keys that it may have.
    pub written: bool,
    /// What a call of the object itself takes and gives.
    pub call: Option<Call>,
    /// The protocol whose header fields it has, or nothing.
    pub protocol: &'static str,
    /// Objects that answer what it does not know itself.
    pub below: &'static [&'static str],
    pub members: &'static [Member],
    pub doc: &'static str,
}

/// One field or function of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    pub name: &'static str,
    pub kind: MemberKind,
    pub doc: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub enum MemberKind {
    Property {
        is: &'static str,
        writable: bool,
    },
    /// Called with a dot.
    Function {
        arguments: &'static [Argument],
        gives: &'static str,
    },
    /// Called with a colon.
    Method {
        arguments: &'static [Argument],
        gives: &'static str,
    },
}

/// What a call takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub arguments: &'static [Argument],
    pub gives: &'static str,
}

/// An argument of a function or of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    pub name: &'static str,
    /// Ends in `?` where it may be left out; `...` for any number.
    pub is: &'static str,
}

impl Object {
    const fn new(name: &'static str, doc: &'static str, members: &'static [Member]) -> Object {
        Object {
            name,
            require: "",
            open: false,
            written: false,
            call: None,
            protocol: "",
            below: &[],
            members,
            doc,
        }
    }

    const fn module(self, require: &'static str) -> Object {
        Object { require, ..self }
    }

    const fn open(self) -> Object {
        Object { open: true, ..self }
    }

    const fn written(self) -> Object {
        Object {
            written: true,
            ..self
        }
    }

    const fn called(self, arguments: &'static [Argument], gives: &'static str) -> Object {
        Object {
            call: Some(Call { arguments, gives }),
            ..self
        }
    }

    const fn fields_of(self, protocol: &'static str) -> Object {
        Object { protocol, ..self }
    }

    const fn over(self, below: &'static [&'static str]) -> Object {
        Object { below, ..self }
    }

    /// The rows of the header that it reads.
    pub fn fields(&self) -> &'static [Field] {
        PROTOCOLS
            .iter()
            .find(|protocol| !self.protocol.is_empty() && protocol.name == self.protocol)
            .map_or(&[], |protocol| protocol.fields)
    }
}

const fn property(name: &'static str, is: &'static str, doc: &'static str) -> Member {
    Member {
        name,
        kind: MemberKind::Property {
            is,
            writable: false,
        },
        doc,
    }
}

const fn writable(name: &'static str, is: &'static str, doc: &'static str) -> Member {
    Member {
        name,
        kind: MemberKind::Property { is, writable: true },
        doc,
    }
}

const fn function(
    name: &'static str,
    arguments: &'static [Argument],
    gives: &'static str,
    doc: &'static str,
) -> Member {
    Member {
        name,
        kind: MemberKind::Function { arguments, gives },
        doc,
    }
}

const fn method(
    name: &'static str,
    arguments: &'static [Argument],
    gives: &'static str,
    doc: &'static str,
) -> Member {
    Member {
        name,
        kind: MemberKind::Method { arguments, gives },
        doc,
    }
}

const fn arg(name: &'static str, is: &'static str) -> Argument {
    Argument { name, is }
}

/// Every object, modules included, but for those of protocols that the build
/// leaves out.
pub fn objects() -> impl Iterator<Item = &'static Object> {
    [
        haka::OBJECTS,
        events::OBJECTS,
        policies::OBJECTS,
        dissectors::OBJECTS,
        packets::OBJECTS,
        buffers::OBJECTS,
        values::OBJECTS,
        regexps::OBJECTS,
        grammars::OBJECTS,
        states::OBJECTS,
        misc::OBJECTS,
        library::OBJECTS,
        console::OBJECTS,
        sandbox::OBJECTS,
        dns::OBJECTS,
        http::OBJECTS,
        tls::OBJECTS,
        dialogues::OBJECTS,
    ]
    .into_iter()
    .flatten()
    .filter(|object| !optional::is_left_out(object.name))
}

/// The object of that name.
pub fn object(name: &str) -> Option<&'static Object> {
    objects().find(|object| object.name == name)
}

/// The module that `require` gives for that name.
pub fn module(require: &str) -> Option<&'static Object> {
    objects().find(|object| !require.is_empty() && object.require == require)
}

/// What a name means on an object: its type, or what a call gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Property {
        is: String,
        writable: bool,
    },
    /// Called with a dot.
    Function(Call),
    /// Called with a colon.
    Method(Call),
}

/// Looks a name up as the library does: in the object, in its header, then
/// in what lies below.
pub fn find(object: &Object, name: &str) -> Option<Found> {
    if let Some(member) = object.members.iter().find(|member| member.name == name) {
        return Some(match member.kind {
            MemberKind::Property { is, writable } => Found::Property {
                is: is.to_owned(),
                writable,
            },
            MemberKind::Function { arguments, gives } => Found::Function(Call { arguments, gives }),
            MemberKind::Method { arguments, gives } => Found::Method(Call { arguments, gives }),
        });
    }
    let own = object.fields().iter().find_map(|field| {
        let plain = field.name == name && !field.name.contains('.');
        let is_group = group(field.name).is_some_and(|(group, _)| group == name);
        match (plain, is_group) {
            (true, _) => Some(Found::Property {
                is: type_of(field).to_owned(),
                writable: field.writable,
            }),
            (_, true) => Some(Found::Property {
                is: format!("{}.{name}", object.name),
                writable: false,
            }),
            _ => None,
        }
    });
    own.or_else(|| {
        let below = object.below.iter();
        below
            .filter_map(|name| self::object(name))
            .find_map(|object| find(object, name))
    })
}

/// Every name that an object answers, its own first.
pub fn names(object: &Object) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = object.members.iter().map(|member| member.name).collect();
    for field in object.fields() {
        names.push(group(field.name).map_or(field.name, |(group, _)| group));
    }
    for below in object.below.iter().filter_map(|name| self::object(name)) {
        names.extend(self::names(below));
    }
    names
}

/// The fields of a group such as `tcp.flags`, without its name; empty for
/// other names.
pub fn group_fields(name: &str) -> Vec<(&'static str, &'static Field)> {
    let Some((owner, wanted)) = name.split_once('.') else {
        return Vec::new();
    };
    let fields = object(owner).map_or(&[][..], Object::fields);
    fields
        .iter()
        .filter_map(|field| match group(field.name)? {
            (group, member) if group == wanted => Some((member, field)),
            _ => None,
        })
        .collect()
}

fn group(name: &'static str) -> Option<(&'static str, &'static str)> {
    name.split_once('.')
}

/// Every name that rules can read on what an event gives them, groups of
/// fields included.
pub fn names_at(row: &EventRow) -> Vec<&'static str> {
    let given = listener(row).unwrap_or_default().iter();
    let objects = given.filter_map(|argument| object(argument.is));
    let mut all = Vec::new();
    for object in objects {
        let own = names(object);
        for group in &own {
            let fields = group_fields(&format!("{}.{group}", object.name));
            all.extend(fields.into_iter().map(|(name, _)| name));
        }
        all.extend(own);
    }
    all
}

/// The type of a header field as rules see it.
pub fn type_of(field: &Field) -> &'static str {
    match field.shape {
        Shape::Number { .. } => "integer",
        Shape::Flag { .. } => "boolean",
        Shape::Address { .. } => "addr",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event::EVENTS;

    #[test]
    fn every_row_has_its_text_and_stands_once() {
        let mut seen = BTreeSet::new();
        for object in objects() {
            assert!(seen.insert(object.name), "{} stands twice", object.name);
            assert!(object.doc.ends_with('.'), "{}", object.name);
            for name in object.below {
                assert!(super::object(name).is_some(), "{} over {name}", object.name);
            }
            let mut members = BTreeSet::new();
            for member in object.members {
                let place = format!("{}.{}", object.name, member.name);
                assert!(members.insert(member.name), "{place} stands twice");
                assert!(member.doc.ends_with('.'), "{place}");
            }
        }
    }

    #[test]
    fn every_protocol_that_can_be_required_is_a_module() {
        for protocol in PROTOCOLS.iter().filter(|one| !one.require.is_empty()) {
            assert!(module(protocol.require).is_some(), "{}", protocol.require);
        }
    }

    #[test]
    fn every_event_tells_its_arguments() {
        for row in EVENTS {
            let is_event = !row.name.starts_with("policy:") && row.dissector != "core";
            let raised = !row.doc.contains("never raised");
            assert_eq!(
                listener(row).is_some(),
                is_event && raised,
                "{}:{}",
                row.dissector,
                row.name
            );
            for argument in listener(row).unwrap_or_default() {
                let known = object(argument.is).is_some() || argument.is.starts_with('\'');
                assert!(known, "{}:{} {}", row.dissector, row.name, argument.is);
            }
        }
    }

    #[test]
    fn names_are_looked_up_through_the_layers() {
        let tcp = object("tcp").expect("it is there");
        let is = |name: &str| match find(tcp, name) {
            Some(Found::Property { is, .. }) => is,
            other => format!("{other:?}"),
        };
        assert_eq!(is("dstport"), "integer");
        assert_eq!(is("src"), "addr");
        assert_eq!(is("flags"), "tcp.flags");
        assert_eq!(is("timestamp"), "time");
        assert_eq!(find(tcp, "destport"), None);
        assert!(names(tcp).contains(&"hop_limit"));
        let flags: Vec<&str> = group_fields("tcp.flags").iter().map(|one| one.0).collect();
        assert!(
            flags.contains(&"syn") && flags.contains(&"all"),
            "{flags:?}"
        );
    }
}

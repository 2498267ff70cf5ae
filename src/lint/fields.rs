//! Fields, methods, events, policies and dissectors that do not exist.

use super::tree::{Expr, Kind};
use super::types::{Type, event};
use super::{File, Severity, requires, walk};
use crate::event::EVENTS;
use crate::proto::PROTOCOLS;
use crate::proto::api::hint;
use crate::proto::api::{self, Found};

pub fn check(file: &mut File<'_>) {
    let mut seen = Vec::new();
    walk::expressions(&file.tree.body, &mut |expr, target| {
        seen.push((expr, target))
    });
    for (expr, target) in seen {
        match &expr.kind {
            Kind::Index {
                base,
                name,
                name_at,
            } => read(file, base, name, *name_at, target),
            Kind::MethodCall {
                base,
                name,
                name_at,
                ..
            } => called(file, base, name, *name_at),
            Kind::Call { callee, arguments } if arguments.is_empty() => dotted(file, callee),
            _ => {}
        }
    }
}

fn read(file: &mut File<'_>, base: &Expr, name: &str, at: usize, target: bool) {
    let types = file.types.of_expr(file.tree, base);
    match types.as_slice() {
        [] => {}
        [Type::Dissectors] => dissector(file, name, at),
        [Type::Events(dissector)] => {
            let names = events_of(dissector);
            if is_native(file, dissector) && event(dissector, name).is_none() {
                let text = format!("dissector '{dissector}' has no event '{name}'");
                file.add(
                    at,
                    Severity::Error,
                    "unknown-event",
                    text,
                    hint(name, names),
                );
            }
        }
        [Type::Policies(dissector)] => {
            let names = api::policies(dissector);
            if is_native(file, dissector) && !names.contains(&name) {
                let text = format!("dissector '{dissector}' has no policy '{name}'");
                file.add(
                    at,
                    Severity::Error,
                    "unknown-policy",
                    text,
                    hint(name, names),
                );
            }
        }
        types => {
            member(file, types, name, at, "field");
            if target {
                read_only(file, types, name, at);
            }
        }
    }
}

fn called(file: &mut File<'_>, base: &Expr, name: &str, at: usize) {
    let types = file.types.of_expr(file.tree, base);
    member(file, &types, name, at, "method");
}

/// Tells a name that none of the types has.
fn member(file: &mut File<'_>, types: &[Type], name: &str, at: usize, what: &str) {
    // Names that begin so are the library's own, and never an error.
    if types.is_empty() || name.starts_with('_') {
        return;
    }
    let mut known = Vec::new();
    let (mut open, mut kinds) = (false, Vec::new());
    for one in types {
        match one {
            Type::Object(object) => {
                if api::find(object, name).is_some() {
                    return;
                }
                open |= object.open;
                known.extend(api::names(object));
                kinds.push(object.name.to_owned());
            }
            Type::Group(group) => {
                let fields = api::group_fields(group);
                if fields.iter().any(|(field, _)| *field == name) {
                    return;
                }
                known.extend(fields.iter().map(|(field, _)| *field));
                kinds.push(group.clone());
            }
            Type::Library(library) => {
                if library.has(name) || file.facts.written.contains(name) {
                    return;
                }
                if library.removed.contains(&name) {
                    let text = format!(
                        "rules have no '{}.{name}': it is not in the sandbox",
                        library.name
                    );
                    file.add(at, Severity::Error, "not-in-sandbox", text, None);
                    return;
                }
                known.extend(library.standard);
                known.extend(library.own());
                kinds.push(library.name.to_owned());
            }
            _ => return,
        }
    }
    let hint = hint(name, known);
    // Rules keep fields of their own there: only what looks like a slip of
    // the pen is told.
    let own = file.facts.written.contains(name) || file.foreign;
    if open && (own || hint.is_none()) {
        return;
    }
    kinds.dedup();
    let text = format!("no {what} '{name}' in {}", kinds.join(" or "));
    let code = if what == "field" {
        "unknown-field"
    } else {
        "unknown-method"
    };
    file.add(at, Severity::Error, code, text, hint);
}

fn read_only(file: &mut File<'_>, types: &[Type], name: &str, at: usize) {
    let fixed = types.iter().all(|one| match one {
        Type::Object(object) => match api::find(object, name) {
            Some(Found::Property { writable, .. }) => !writable,
            Some(_) => object.require.is_empty(),
            None => false,
        },
        _ => false,
    });
    if fixed {
        let text = format!("'{name}' cannot be assigned to");
        file.add(at, Severity::Error, "read-only", text, None);
    }
}

/// A method called with a dot and nothing in the parentheses.
fn dotted(file: &mut File<'_>, callee: &Expr) {
    let Kind::Index {
        base,
        name,
        name_at,
    } = &callee.kind
    else {
        return;
    };
    let types = file.types.of_expr(file.tree, base);
    let is_method = |one: &Type| match one {
        Type::Object(object) => matches!(api::find(object, name), Some(Found::Method(_))),
        _ => false,
    };
    if !types.is_empty() && types.iter().all(is_method) {
        let text = format!("method '{name}' is called without its object");
        let hint = format!("write ':{name}(' instead of '.{name}('");
        file.add(*name_at, Severity::Error, "method-dot", text, Some(hint));
    }
}

/// A dissector that nobody loads, or that does not exist.
fn dissector(file: &mut File<'_>, name: &str, at: usize) {
    // What a module of the user loads is not known.
    if file.foreign || file.facts.dissectors.contains(name) {
        return;
    }
    if let Some(protocol) = PROTOCOLS.iter().find(|protocol| protocol.name == name) {
        // Files that are required by others find what those have loaded.
        let loaded = [&file.requires, &file.facts.shared]
            .into_iter()
            .any(|requires| requires::loads(requires, protocol.require));
        if !protocol.require.is_empty() && !loaded {
            let text = format!("dissector '{name}' is not loaded: rules on it never run");
            let hint = format!("add require('{}')", protocol.require);
            file.add(at, Severity::Error, "missing-require", text, Some(hint));
        }
        return;
    }
    let known = PROTOCOLS.iter().map(|protocol| protocol.name);
    let own = file.facts.dissectors.iter().map(String::as_str);
    let hint = hint(name, known.chain(own));
    let text = format!("there is no dissector '{name}'");
    file.add(at, Severity::Warning, "unknown-dissector", text, hint);
}

/// Whether its events and policies stand in the engine's table. Those of a
/// dissector written in Lua do not, be it the engine's own.
fn is_native(file: &File<'_>, dissector: &str) -> bool {
    !file.facts.dissectors.contains(dissector)
        && EVENTS.iter().any(|row| row.dissector == dissector)
}

fn events_of(dissector: &str) -> Vec<&'static str> {
    let own = EVENTS.iter().filter(|row| row.dissector == dissector);
    own.map(|row| row.name)
        .filter(|name| !name.starts_with("policy:"))
        .collect()
}

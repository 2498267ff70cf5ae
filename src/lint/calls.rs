//! Calls of the engine's functions: how many arguments, and the keys of the
//! tables that they take.

use std::rc::Rc;

use super::tree::{Expr, Field, Kind};
use super::types::{Type, resolve};
use super::{File, Severity, walk};
use crate::proto::api::{self, Argument, Call, Found, Object, hint, parameters};

/// Tables within tables that are looked into.
const MAX_DEPTH: usize = 4;

pub fn check(file: &mut File<'_>) {
    let mut seen = Vec::new();
    walk::expressions(&file.tree.body, &mut |expr, _| seen.push(expr));
    for expr in seen {
        let (name, at, calls, arguments) = match &expr.kind {
            Kind::Call { callee, arguments } => {
                let Some((name, at)) = named(callee) else {
                    continue;
                };
                (name, at, functions(file, callee), arguments)
            }
            Kind::MethodCall {
                base,
                name,
                name_at,
                arguments,
            } => (
                name.as_str(),
                *name_at,
                methods(file, base, name),
                arguments,
            ),
            _ => continue,
        };
        if calls.is_empty() {
            continue;
        }
        count(file, name, at, &calls, arguments);
        for call in &calls {
            for (wanted, given) in call.arguments.iter().zip(arguments) {
                keys(file, name, wanted, given);
            }
        }
    }
}

fn named(callee: &Expr) -> Option<(&str, usize)> {
    match &callee.kind {
        Kind::Index { name, name_at, .. } => Some((name, *name_at)),
        Kind::Name { name, .. } => Some((name, callee.at)),
        _ => None,
    }
}

/// What is called with a dot or by its name: one for each type that it may
/// be, none if one of them is not known.
fn functions(file: &File<'_>, callee: &Expr) -> Vec<Call> {
    match &callee.kind {
        Kind::Index { base, name, .. } => {
            let types = file.types.of_expr(file.tree, base);
            all(&types, |of| match of {
                Type::Object(object) => match api::find(object, name)? {
                    Found::Function(call) => Some(call),
                    Found::Property { is, .. } => called(&resolve(&is)),
                    Found::Method(_) => None,
                },
                Type::Library(library) => match api::find(api::object(library.object)?, name)? {
                    Found::Function(call) => Some(call),
                    _ => None,
                },
                _ => None,
            })
        }
        Kind::Name {
            name,
            binding: None,
        } => match file.types.word(name, callee.at) {
            Some(Found::Function(call)) => vec![call],
            _ => Vec::new(),
        },
        Kind::Name { .. } => all(&file.types.of_expr(file.tree, callee), |of| {
            called(std::slice::from_ref(of))
        }),
        _ => Vec::new(),
    }
}

/// The call of an object itself, such as `haka.log`.
fn called(types: &[Type]) -> Option<Call> {
    match types {
        [Type::Object(object)] => object.call,
        _ => None,
    }
}

fn methods(file: &File<'_>, base: &Expr, name: &str) -> Vec<Call> {
    all(&file.types.of_expr(file.tree, base), |of| match of {
        Type::Object(object) => match api::find(object, name)? {
            Found::Method(call) => Some(call),
            _ => None,
        },
        _ => None,
    })
}

fn all(types: &[Type], of: impl Fn(&Type) -> Option<Call>) -> Vec<Call> {
    let calls: Option<Vec<Call>> = types.iter().map(of).collect();
    calls.unwrap_or_default()
}

/// The least and the most arguments of a call. What may be anything may be
/// nil.
fn bounds(call: &Call) -> (usize, Option<usize>) {
    let is_rest = |argument: &Argument| argument.name == "...";
    let needed = |argument: &Argument| {
        !argument.is.ends_with('?') && argument.is != "any" && !is_rest(argument)
    };
    let least = call
        .arguments
        .iter()
        .rposition(needed)
        .map_or(0, |at| at + 1);
    let open = call.arguments.iter().any(is_rest);
    (least, (!open).then_some(call.arguments.len()))
}

fn count(file: &mut File<'_>, name: &str, at: usize, calls: &[Call], arguments: &[Rc<Expr>]) {
    // The last one may stand for any number.
    let open = arguments.last().is_some_and(|last| {
        matches!(
            last.kind,
            Kind::Call { .. } | Kind::MethodCall { .. } | Kind::Rest
        )
    });
    let sure = arguments.len() - usize::from(open);
    let fits = |call: &Call| {
        let (least, most) = bounds(call);
        (open || sure >= least) && most.is_none_or(|most| sure <= most)
    };
    if calls.iter().any(fits) {
        return;
    }
    let Some(call) = calls.first() else { return };
    let (least, most) = bounds(call);
    let wanted = match most {
        None => format!("at least {least}"),
        Some(most) if most == least => format!("{most}"),
        Some(most) => format!("{least} to {most}"),
    };
    let plural = if wanted == "1" { "" } else { "s" };
    let text = format!("'{name}' takes {wanted} argument{plural}, not {sure}");
    let hint = format!("{name}{}", parameters(call.arguments));
    // What is too much is ignored.
    let severity = match most {
        Some(most) if sure > most => Severity::Hint,
        _ => Severity::Warning,
    };
    file.add(at, severity, "argument-count", text, Some(hint));
}

/// The keys of a table that is written as an argument.
fn keys(file: &mut File<'_>, function: &str, wanted: &Argument, given: &Expr) {
    let (Kind::Table(fields), Some(object)) = (&given.kind, table_of(wanted.is)) else {
        return;
    };
    table(file, function, object, fields, MAX_DEPTH);
}

/// The one table that a type may be.
fn table_of(is: &str) -> Option<&'static Object> {
    let mut kinds = is.trim_end_matches('?').split('|');
    kinds.find_map(api::object).filter(|object| object.written)
}

fn table(
    file: &mut File<'_>,
    function: &str,
    object: &'static Object,
    fields: &[Field],
    depth: usize,
) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    for field in fields {
        let Some((name, at)) = &field.name else {
            continue;
        };
        match object.members.iter().find(|member| member.name == name) {
            None if object.open => {}
            None => {
                let text = format!("'{function}' takes no key '{name}' there");
                let hint = hint(name, object.members.iter().map(|member| member.name));
                file.add(*at, Severity::Warning, "unknown-key", text, hint);
            }
            Some(member) => {
                let api::MemberKind::Property { is, .. } = member.kind else {
                    continue;
                };
                if let (Kind::Table(inner), Some(object)) = (&field.value.kind, table_of(is))
                    && !is_list(inner)
                {
                    table(file, function, object, inner, depth);
                }
            }
        }
    }
}

fn is_list(fields: &[Field]) -> bool {
    fields
        .iter()
        .any(|field| field.name.is_none() && field.key.is_none())
}

//! Rules and groups: their keys, their events, what their functions take,
//! and whether they can ever run.

use super::tree::{Expr, Field, Kind, Stat};
use super::types::{self, Type, event_of, field, local_function, rule_tables};
use super::{File, Severity, walk};
use crate::proto::api;

/// Methods that copy each segment's bytes into a Lua string.
const COPIES: [&str; 1] = ["asstring"];

pub fn check(file: &mut File<'_>) {
    let mut seen = Vec::new();
    walk::expressions(&file.tree.body, &mut |expr, _| seen.push(expr));
    for expr in seen {
        let tree = file.tree;
        if let Some((fields, group)) = rule_tables(tree, &file.types, expr) {
            one(file, expr, fields, group);
        }
        copied(file, expr);
    }
    after_exit(file);
    never_installed(file);
}

fn one(file: &mut File<'_>, rule: &Expr, fields: &[Field], group: Option<&[Field]>) {
    let is_group = matches!(&rule.kind, Kind::Call { callee, .. }
        if matches!(&callee.kind, Kind::Index { name, .. } if name == "rule_group"));
    let what = if is_group { "rule group" } else { "rule" };
    let has = |name: &str| field(fields, name).is_some();
    if !is_group && !has("eval") {
        let text = "the rule has no function 'eval'";
        file.add(rule.at, Severity::Error, "incomplete-rule", text, None);
    }
    if group.is_none() && !has("on") && !has("hook") {
        let text = format!("the {what} is on no event: 'on' is missing");
        file.add(rule.at, Severity::Error, "incomplete-rule", text, None);
    }
    if let Some(row) = event_of(file.tree, &file.types, fields, group) {
        if group.is_none() && api::listener(row).is_none() {
            let text = format!(
                "the {what} never runs: event '{}:{}' is never raised",
                row.dissector, row.name
            );
            file.add(rule.at, Severity::Warning, "never-runs", text, None);
        }
        for name in ["eval", "init", "final"] {
            if let Some(value) = field(fields, name) {
                arguments(file, value, &format!("{}:{}", row.dissector, row.name));
            }
        }
    }
}

/// A listener that takes more than its event gives.
fn arguments(file: &mut File<'_>, value: &Expr, event: &str) {
    let function = match &value.kind {
        Kind::Function(function) => std::rc::Rc::clone(function),
        _ => match local_function(file.tree, value) {
            Some((_, function)) => function,
            None => return,
        },
    };
    let most = file.types.heard(function.number).iter().copied();
    let Some(given) = most.max_by_key(|arguments| arguments.len()) else {
        return;
    };
    let Some(extra) = function.parameters.get(given.len()) else {
        return;
    };
    let Some(extra) = file.tree.bindings.get(*extra) else {
        return;
    };
    let names: Vec<&str> = given.iter().map(|argument| argument.name).collect();
    let text = format!(
        "listeners of '{event}' get {} argument{}, '{}' is always nil",
        given.len(),
        if given.len() == 1 { "" } else { "s" },
        extra.name
    );
    let hint = format!("they are called with ({})", names.join(", "));
    file.add(
        extra.at,
        Severity::Warning,
        "listener-arguments",
        text,
        Some(hint),
    );
}

/// `asstring` of what an event gave: a copy for each segment.
fn copied(file: &mut File<'_>, expr: &Expr) {
    let Kind::MethodCall {
        base,
        name,
        name_at,
        ..
    } = &expr.kind
    else {
        return;
    };
    // Of a whole segment: parts of it are as long as the rule wants.
    let whole = matches!(&base.kind, Kind::Name { binding: Some(binding), .. }
    if file.tree.bindings.get(*binding).is_some_and(|binding| matches!(
        binding.origin,
        super::tree::Origin::Parameter { .. } | super::tree::Origin::Loop(_)
    )));
    let is_part = |one: &Type| matches!(one, Type::Object(object) if object.name == "vbuffer_sub");
    let types = file.types.of_expr(file.tree, base);
    if whole && COPIES.contains(&name.as_str()) && !types.is_empty() && types.iter().all(is_part) {
        let text = format!("'{name}' copies every segment into a string");
        let hint = "find, count and sum look at the bytes where they are".to_owned();
        file.add(*name_at, Severity::Hint, "segment-copy", text, Some(hint));
    }
}

/// Rules behind a `haka.exit()` that always happens.
fn after_exit(file: &mut File<'_>) {
    let tree = file.tree;
    let mut ended = false;
    for stat in &tree.body {
        let Stat::Call(call) = stat else { continue };
        if ended && rule_tables(tree, &file.types, call).is_some() {
            let text = "the rule never runs: haka.exit() stands before it";
            file.add(call.at, Severity::Warning, "never-runs", text, None);
        }
        ended |= is_exit(file, call);
    }
}

fn is_exit(file: &File<'_>, call: &Expr) -> bool {
    let Kind::Call { callee, .. } = &call.kind else {
        return false;
    };
    let Kind::Index { base, name, .. } = &callee.kind else {
        return false;
    };
    let types = file.types.of_expr(file.tree, base);
    name == "exit" && matches!(types.as_slice(), [Type::Object(object)] if object.name == "haka")
}

/// Rules on a dissector of the user that no policy chooses.
fn never_installed(file: &mut File<'_>) {
    let Some(installed) = &file.facts.installed else {
        return;
    };
    let mut found = Vec::new();
    walk::expressions(&file.tree.body, &mut |expr, _| {
        let Some((fields, None)) = rule_tables(file.tree, &file.types, expr) else {
            return;
        };
        let Some(on) = field(fields, "on") else {
            return;
        };
        let Kind::Index { base, .. } = &on.kind else {
            return;
        };
        if let [types::Type::Events(name)] = file.types.of_expr(file.tree, base).as_slice()
            && file.facts.dissectors.contains(name)
            && !installed.contains(name)
        {
            found.push((expr.at, name.clone()));
        }
    });
    for (at, name) in found {
        let text = format!("the rule never runs: no policy installs dissector '{name}'");
        let hint = format!("a policy with action = haka.dissectors.{name}.install");
        file.add(at, Severity::Warning, "never-runs", text, Some(hint));
    }
}

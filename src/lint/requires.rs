//! Modules: those that do not exist, are required twice, or for nothing.

use super::tree::{Kind, Origin, Stat, Tree};
use super::types::required;
use super::{File, Severity, walk};
use crate::proto::api::hint;
use crate::proto::{PROTOCOLS, api, optional};

/// Names of Haka's modules that give nothing, or that others stand for.
const LIBRARY: [&str; 11] = [
    "utils",
    "events",
    "context",
    "dissector",
    "grammar",
    "state_machine",
    "interactive",
    "rule_group",
    "policy",
    "protocol/http_utils",
    "luaunit",
];

/// A folder whose modules are features'.
const NATIVE: &str = "external/";

/// Modules that do nothing but give a table: pointless without a name.
const PLAIN: [&str; 10] = [
    "misc/asm",
    "misc/crypto",
    "misc/elasticsearch",
    "misc/geoip",
    "class",
    "check",
    "color",
    "list",
    "regexp/pcre",
    "protocol/ip",
];

/// What a file requires, with where.
pub fn of(tree: &Tree) -> Vec<(String, usize)> {
    let mut requires = Vec::new();
    walk::expressions(&tree.body, &mut |expr, _| {
        if let Kind::Call { callee, arguments } = &expr.kind
            && let Kind::Name {
                name,
                binding: None,
            } = &callee.kind
            && name == "require"
            && let Some(module) = required(arguments)
        {
            requires.push((module, expr.at));
        }
    });
    requires
}

/// Whether what the module does is known here.
pub fn is_builtin(module: &str) -> bool {
    let known =
        api::module(module).is_some() || LIBRARY.contains(&module) || module.starts_with(NATIVE);
    known && optional::missing(module).is_none()
}

/// Whether one of the modules brings another along.
pub fn loads(requires: &[(String, usize)], wanted: &str) -> bool {
    requires.iter().any(|(module, _)| brings(module, wanted))
}

fn brings(module: &str, wanted: &str) -> bool {
    let Some(protocol) = PROTOCOLS
        .iter()
        .find(|protocol| !module.is_empty() && protocol.require == module)
    else {
        return false;
    };
    let needs = protocol.needs.iter().chain(protocol.needs_with_ipv6);
    module == wanted || needs.into_iter().any(|needed| brings(needed, wanted))
}

pub fn check(file: &mut File<'_>, resolves: &dyn Fn(&str) -> bool) {
    for (place, (module, at)) in file.requires.clone().into_iter().enumerate() {
        // Who changes `package.path` knows where modules are.
        let own_path = file.facts.written.contains("path");
        if !is_builtin(&module) && !resolves(&module) && !own_path {
            if let Some(feature) = optional::missing(&module) {
                let text = format!("module '{module}' is not in this build of Wero");
                let hint = format!("build it with the cargo feature '{feature}'");
                file.add(at, Severity::Error, "unknown-module", text, Some(hint));
                continue;
            }
            let known = api::objects().map(|object| object.require);
            let hint = hint(&module, known.chain(LIBRARY));
            let text = format!("module '{module}' is not found");
            file.add(at, Severity::Error, "unknown-module", text, hint);
        }
        let before = file.requires.get(..place).unwrap_or_default();
        if before.iter().any(|(other, _)| *other == module) {
            let text = format!("module '{module}' is required a second time");
            file.add(at, Severity::Warning, "duplicate-require", text, None);
        }
    }
    unused(file);
}

/// A module that only gives a table, which nobody looks at.
fn unused(file: &mut File<'_>) {
    let module_of = |value: &super::tree::Expr| match &value.kind {
        Kind::Call { callee, arguments } => match &callee.kind {
            Kind::Name { name, .. } if name == "require" => required(arguments),
            _ => None,
        },
        _ => None,
    };
    let mut found = Vec::new();
    for binding in &file.tree.bindings {
        if let Origin::Value(value) = &binding.origin
            && let Some(module) = module_of(value)
            && !binding.used
            && !binding.assigned
        {
            found.push((binding.at, module, Some(binding.name.clone())));
        }
    }
    for stat in &file.tree.body {
        if let Stat::Call(call) = stat
            && let Some(module) = module_of(call)
        {
            found.push((call.at, module, None));
        }
    }
    for (at, module, name) in found {
        let plain = PLAIN.contains(&module.as_str());
        match (plain, name) {
            (true, _) => {
                let text = format!("module '{module}' is required for nothing");
                file.add(at, Severity::Warning, "unused-require", text, None);
            }
            // Loading the dissector is what it is required for.
            (false, Some(name)) if is_builtin(&module) => {
                let text = format!("'{name}' is never used");
                let hint = format!("require('{module}') is enough");
                file.add(at, Severity::Hint, "unused-local", text, Some(hint));
            }
            _ => {}
        }
    }
}

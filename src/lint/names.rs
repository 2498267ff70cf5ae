//! Globals and locals: set by accident, misspelt, or never used.

use std::collections::BTreeSet;

use super::tree::{Block, Expr, Function, Kind, Origin, Stat, Tree};
use super::types::{field, required};
use super::{Facts, File, Severity, walk};
use crate::proto::api::hint;

/// Globals of the sandbox.
const GLOBALS: [&str; 41] = [
    "_G",
    "_VERSION",
    "assert",
    "bit",
    "collectgarbage",
    "coroutine",
    "debug",
    "dofile",
    "error",
    "gcinfo",
    "getfenv",
    "getmetatable",
    "haka",
    "io",
    "ipairs",
    "jit",
    "load",
    "loadfile",
    "loadstring",
    "math",
    "module",
    "next",
    "os",
    "package",
    "pairs",
    "pcall",
    "print",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "require",
    "select",
    "setfenv",
    "setmetatable",
    "sorted_pairs",
    "string",
    "table",
    "tonumber",
    "tostring",
    "type",
];
const MORE_GLOBALS: [&str; 3] = ["topointer", "unpack", "xpcall"];

/// Collects what other files may need to know of one.
pub fn collect(tree: &Tree, facts: &mut Facts) {
    walk::expressions(&tree.body, &mut |expr, target| match &expr.kind {
        Kind::Index { name, base, .. } => {
            if target {
                facts.written.insert(name.clone());
            }
            if name == "install" {
                installed(base, facts);
            }
        }
        Kind::Name {
            name,
            binding: None,
        } if target => {
            facts.globals.insert(name.clone());
        }
        Kind::Call { callee, arguments } => {
            if let Kind::Index { name, .. } = &callee.kind
                && name == "new"
                && let Some(Kind::Table(fields)) = arguments.first().map(|one| &one.kind)
                && field(fields, "type").is_some()
                && let Some(Kind::String(name)) = field(fields, "name").map(|one| &one.kind)
            {
                let name = String::from_utf8_lossy(name).into_owned();
                facts.dissectors.insert(name);
            }
        }
        Kind::MethodCall { name, .. } if name == "select_next_dissector" => facts.installed = None,
        // The fields of a table that is made in one go.
        Kind::Table(fields) => {
            let names = fields.iter().filter_map(|field| field.name.as_ref());
            facts.written.extend(names.map(|(name, _)| name.clone()));
        }
        _ => {}
    });
}

/// `haka.dissectors.NAME.install`, or of something that is not followed.
fn installed(base: &Expr, facts: &mut Facts) {
    match (&base.kind, &mut facts.installed) {
        (Kind::Index { name, .. }, Some(installed)) => {
            installed.insert(name.clone());
        }
        _ => facts.installed = None,
    }
}

pub fn check(file: &mut File<'_>) {
    let tree = file.tree;
    let mut top = BTreeSet::new();
    own_globals(&tree.body, &mut top);
    Globals { file, top: &top }.block(&tree.body, false);
    unused(file);
}

/// Globals that a file sets outside of its functions: those are meant.
fn own_globals(block: &Block, names: &mut BTreeSet<String>) {
    for stat in block {
        match stat {
            Stat::Assign { targets, .. } => {
                for target in targets {
                    if let Kind::Name {
                        name,
                        binding: None,
                    } = &target.kind
                    {
                        names.insert(name.clone());
                    }
                }
            }
            Stat::Blocks { blocks, .. } => {
                for block in blocks {
                    own_globals(block, names);
                }
            }
            _ => {}
        }
    }
}

struct Globals<'a, 'b> {
    file: &'a mut File<'b>,
    top: &'a BTreeSet<String>,
}

impl Globals<'_, '_> {
    fn block(&mut self, block: &Block, inside: bool) {
        for stat in block {
            match stat {
                Stat::Local { values, .. } => values.iter().for_each(|one| self.expr(one)),
                Stat::Assign { targets, values } => {
                    for target in targets {
                        self.target(target, inside);
                    }
                    values.iter().for_each(|one| self.expr(one));
                }
                Stat::Call(call) => self.expr(call),
                Stat::Blocks { conditions, blocks } => {
                    conditions.iter().for_each(|one| self.expr(one));
                    for block in blocks {
                        self.block(block, inside);
                    }
                }
                Stat::Return(values) => values.iter().for_each(|one| self.expr(one)),
                Stat::Jump => {}
            }
        }
    }

    fn target(&mut self, target: &Expr, inside: bool) {
        let Kind::Name {
            name,
            binding: None,
        } = &target.kind
        else {
            return self.expr(target);
        };
        if inside && !self.top.contains(name) && !is_standard(name) {
            let text = format!("'{name}' becomes a global: it is shared by all calls");
            let hint = format!("write 'local {name}', here or at the top of the file");
            let found = &mut self.file;
            found.add(
                target.at,
                Severity::Warning,
                "accidental-global",
                text,
                Some(hint),
            );
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            Kind::Plain | Kind::Rest | Kind::String(_) => {}
            Kind::Name {
                name,
                binding: None,
            } => self.global(name, expr.at),
            Kind::Name { .. } => {}
            Kind::Index { base, .. } => self.expr(base),
            Kind::IndexBy { base, key } => {
                self.expr(base);
                self.expr(key);
            }
            Kind::Call { callee, arguments } => {
                // Their words are names that exist in there only.
                // They may be handed on: `pcall(haka.grammar.new, …)`.
                if is_definition(callee) || arguments.iter().any(|one| is_definition(one)) {
                    return;
                }
                self.expr(callee);
                arguments.iter().for_each(|one| self.expr(one));
            }
            Kind::MethodCall {
                base, arguments, ..
            } => {
                self.expr(base);
                arguments.iter().for_each(|one| self.expr(one));
            }
            Kind::Function(function) => self.function(function),
            Kind::Table(fields) => {
                for field in fields {
                    field.key.iter().for_each(|one| self.expr(one));
                    self.expr(&field.value);
                }
            }
            Kind::Operands(operands) => operands.iter().for_each(|one| self.expr(one)),
            Kind::Parentheses(inner) => self.expr(inner),
            Kind::Shared(inner) => self.expr(inner),
        }
    }

    fn function(&mut self, function: &Function) {
        self.block(&function.body, true);
    }

    fn global(&mut self, name: &str, at: usize) {
        // What an assertion of `wero test` is called, too, is not ours.
        let known = is_standard(name)
            || self.file.facts.globals.contains(name)
            || name.starts_with("assert")
            || name == "addTestSuite";
        if known || self.file.foreign {
            return;
        }
        let locals = self.file.tree.bindings.iter();
        let names = locals.map(|binding| binding.name.as_str());
        let hint = hint(name, names.chain(GLOBALS).chain(MORE_GLOBALS));
        let text = format!("there is no global '{name}'");
        self.file
            .add(at, Severity::Warning, "unknown-global", text, hint);
    }
}

fn is_standard(name: &str) -> bool {
    GLOBALS.contains(&name) || MORE_GLOBALS.contains(&name)
}

/// `haka.grammar.new` and `haka.state_machine.new`, whose functions have an
/// environment of their own.
fn is_definition(callee: &Expr) -> bool {
    let Kind::Index { base, name, .. } = &callee.kind else {
        return false;
    };
    let of = match &base.kind {
        Kind::Index { name, .. } => name,
        Kind::Name { name, .. } => name,
        _ => return false,
    };
    ["new", "new_state_type"].contains(&name.as_str())
        && ["grammar", "state_machine"].contains(&of.as_str())
}

fn unused(file: &mut File<'_>) {
    for binding in &file.tree.bindings {
        let is_require = matches!(&binding.origin, Origin::Value(value)
            if matches!(&value.kind, Kind::Call { callee, arguments }
                if matches!(&callee.kind, Kind::Name { name, .. } if name == "require")
                    && required(arguments).is_some()));
        let is_local = !matches!(binding.origin, Origin::Parameter { .. });
        if is_local && !is_require && !binding.used && !binding.name.starts_with('_') {
            let text = format!("'{}' is never used", binding.name);
            file.found
                .push((binding.at, Severity::Hint, "unused-local", text, None));
        }
    }
}

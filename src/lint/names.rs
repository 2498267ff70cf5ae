//! Globals and locals: set by accident, misspelt, or never used.

use std::collections::BTreeSet;

use super::tree::{Block, Expr, Function, Kind, Origin, Stat, Tree};
use super::types::{field, required};
use super::{Facts, File, Severity, walk};
use crate::proto::api::sandbox;
use crate::proto::api::{self, hint};

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
        if let Some(definition) = self.file.types.definitions.at(target.at)
            && api::find(definition.words, name).is_some()
        {
            let text = format!("'{name}' is a word of the definition");
            self.file
                .add(target.at, Severity::Error, "reserved-word", text, None);
        }
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
        // What a definition assigns is a rule or a state.
        let inside = !self.file.types.definitions.is_one(function);
        self.block(&function.body, inside);
    }

    fn global(&mut self, name: &str, at: usize) {
        // What an assertion of `wero test` is called, too, is not ours.
        let definition = self.file.types.definitions.at(at);
        let words = definition.map_or(Vec::new(), |definition| api::names(definition.words));
        let known = is_standard(name)
            || words.contains(&name)
            || self.file.facts.globals.contains(name)
            || name.starts_with("assert")
            || name == "addTestSuite";
        if known || self.file.foreign {
            return;
        }
        let locals = self.file.tree.bindings.iter();
        let mut names: Vec<&str> = locals.map(|binding| binding.name.as_str()).collect();
        for one in sandbox::globals().chain(words) {
            names.push(one);
        }
        let hint = hint(name, names);
        let text = format!("there is no global '{name}'");
        self.file
            .add(at, Severity::Warning, "unknown-global", text, hint);
    }
}

fn is_standard(name: &str) -> bool {
    sandbox::globals().any(|global| global == name)
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

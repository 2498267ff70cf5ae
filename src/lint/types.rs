//! What expressions are, as far as the tables of the engine tell.
//!
//! A parameter has the types that its function is called with: those of the
//! event for a listener, those of the arguments where a local function is
//! called by its name only. No type means that nothing is known.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use super::definition::Definitions;
use super::tree::{Expr, Field, Function, Kind, Origin, Tree};
use super::walk;
use crate::event::{EVENTS, EventRow};
use crate::proto::api::sandbox::{self, Library};
use crate::proto::api::{self, Argument, Call, Found, Object};

/// How far types are followed through names and calls.
const MAX_STEPS: usize = 40;

#[derive(Clone, Debug)]
pub enum Type {
    Object(&'static Object),
    /// Fields of a header with a common name: `tcp.flags`.
    Group(String),
    /// `haka.dissectors`.
    Dissectors,
    Dissector(String),
    Events(String),
    Policies(String),
    Event(&'static EventRow),
    /// `string`, `io` and the like.
    Library(&'static Library),
    String,
}

/// What the tree says of functions.
#[derive(Default)]
pub struct Types {
    /// Arguments of each call of a function, by its number.
    calls: HashMap<usize, Vec<Vec<Rc<Expr>>>>,
    /// Arguments that events call a function with.
    listeners: HashMap<usize, Vec<&'static [Argument]>>,
    /// Functions that others may call as well.
    escaped: HashSet<usize>,
    running: RefCell<HashSet<usize>>,
    pub definitions: Definitions,
    /// Dissectors that rule files define: the engine's of those names, if
    /// there are any, are not meant.
    own_dissectors: BTreeSet<String>,
}

impl Types {
    pub fn of(tree: &Tree, own_dissectors: &BTreeSet<String>) -> Types {
        let mut types = Types {
            own_dissectors: own_dissectors.clone(),
            definitions: Definitions::of(tree),
            ..Types::default()
        };
        // Who is mentioned, and how often as what is called.
        let (mut mentions, mut as_callee) = (HashMap::new(), HashMap::new());
        walk::expressions(&tree.body, &mut |expr, _| match &expr.kind {
            Kind::Name {
                binding: Some(binding),
                ..
            } => *mentions.entry(*binding).or_insert(0) += 1,
            Kind::Call { callee, arguments } => {
                if let Some((binding, function)) = local_function(tree, callee) {
                    *as_callee.entry(binding).or_insert(0) += 1;
                    let calls = types.calls.entry(function.number).or_default();
                    calls.push(arguments.clone());
                }
            }
            _ => {}
        });
        let mut as_listener: HashMap<usize, usize> = HashMap::new();
        let mut heard: Vec<(usize, &'static [Argument])> = Vec::new();
        walk::expressions(&tree.body, &mut |expr, _| {
            if let Some((fields, group)) = rule_tables(tree, &types, expr) {
                let listener = listener_of(tree, &types, fields, group);
                for name in ["eval", "init", "final"] {
                    let Some(value) = field(fields, name) else {
                        continue;
                    };
                    let function = match &value.kind {
                        Kind::Function(function) => Some(Rc::clone(function)),
                        _ => local_function(tree, value).map(|(binding, function)| {
                            *as_listener.entry(binding).or_insert(0) += 1;
                            function
                        }),
                    };
                    if let (Some(function), Some(arguments)) = (function, listener) {
                        heard.push((function.number, arguments));
                    }
                }
            }
        });
        for (number, arguments) in heard {
            types.listeners.entry(number).or_default().push(arguments);
        }
        for (place, binding) in tree.bindings.iter().enumerate() {
            let Origin::Function(function) = &binding.origin else {
                continue;
            };
            let count = |map: &HashMap<usize, usize>| map.get(&place).copied().unwrap_or(0);
            let known = count(&as_callee) + count(&as_listener);
            if binding.assigned || count(&mentions) > known {
                types.escaped.insert(function.number);
            }
        }
        types
    }

    /// The arguments of the events that a function listens to.
    pub fn heard(&self, function: usize) -> &[&'static [Argument]] {
        self.listeners.get(&function).map_or(&[], Vec::as_slice)
    }

    /// All that an expression may be; empty when that is not known.
    pub fn of_expr(&self, tree: &Tree, expr: &Expr) -> Vec<Type> {
        self.infer(tree, expr, MAX_STEPS)
    }

    fn infer(&self, tree: &Tree, expr: &Expr, steps: usize) -> Vec<Type> {
        let Some(steps) = steps.checked_sub(1) else {
            return Vec::new();
        };
        match &expr.kind {
            Kind::String(_) => vec![Type::String],
            Kind::Parentheses(inner) => self.infer(tree, inner, steps),
            Kind::Shared(inner) => self.infer(tree, inner, steps),
            Kind::Name {
                binding: Some(binding),
                ..
            } => self.of_binding(tree, *binding, steps),
            Kind::Name { name, .. } => self.of_global(name, expr.at),
            Kind::Index { base, name, .. } => each(&self.infer(tree, base, steps), |of| match of {
                Type::Events(dissector) if self.own_dissectors.contains(dissector) => Vec::new(),
                _ => field_type(of, name),
            }),
            Kind::Call { callee, arguments } => self.of_call(tree, callee, arguments, steps),
            Kind::MethodCall { base, name, .. } => {
                each(&self.infer(tree, base, steps), |of| match of {
                    Type::Object(object) => match api::find(object, name) {
                        Some(Found::Method(call)) => resolve(call.gives),
                        _ => Vec::new(),
                    },
                    _ => Vec::new(),
                })
            }
            _ => Vec::new(),
        }
    }

    fn of_call(
        &self,
        tree: &Tree,
        callee: &Expr,
        arguments: &[Rc<Expr>],
        steps: usize,
    ) -> Vec<Type> {
        match &callee.kind {
            Kind::Name {
                name,
                binding: None,
            } if name == "require" => required(arguments)
                .and_then(|name| api::module(&name))
                .map(Type::Object)
                .into_iter()
                .collect(),
            Kind::Index { base, name, .. } => each(&self.infer(tree, base, steps), |of| match of {
                Type::Object(object) => match api::find(object, name) {
                    Some(Found::Function(call)) => resolve(call.gives),
                    Some(Found::Property { is, .. }) => each(&resolve(&is), given),
                    _ => Vec::new(),
                },
                _ => Vec::new(),
            }),
            Kind::Name {
                name,
                binding: None,
            } => match self.word(name, callee.at) {
                Some(Found::Function(call)) => resolve(call.gives),
                _ => Vec::new(),
            },
            Kind::Name { .. } => each(&self.infer(tree, callee, steps), given),
            _ => Vec::new(),
        }
    }

    /// What a word of a definition means where it stands.
    pub fn word(&self, name: &str, at: usize) -> Option<Found> {
        let definition = self.definitions.at(at)?;
        let is_own = definition.own.contains(name);
        (!is_own).then(|| api::find(definition.words, name))?
    }

    fn of_global(&self, name: &str, at: usize) -> Vec<Type> {
        if let Some(definition) = self.definitions.at(at) {
            if definition.own.contains(name) {
                return Vec::new();
            }
            if let Some(Found::Property { is, .. }) = api::find(definition.words, name) {
                return resolve(&is);
            }
        }
        if name == "haka" {
            return resolve("haka");
        }
        let library = sandbox::library(name).filter(|library| library.name != "_G");
        library.map(Type::Library).into_iter().collect()
    }

    fn of_binding(&self, tree: &Tree, place: usize, steps: usize) -> Vec<Type> {
        let Some(binding) = tree.bindings.get(place).filter(|one| !one.assigned) else {
            return Vec::new();
        };
        match &binding.origin {
            Origin::Value(value) => self.infer(tree, value, steps),
            Origin::Loop(over) => match &over.kind {
                Kind::MethodCall { name, .. } if name == "foreach_available" => {
                    resolve("vbuffer_sub")
                }
                _ => Vec::new(),
            },
            Origin::Parameter { function, place } => {
                self.of_parameter(tree, *function, *place, steps)
            }
            Origin::Function(_) | Origin::Other => Vec::new(),
        }
    }

    fn of_parameter(&self, tree: &Tree, function: usize, place: usize, steps: usize) -> Vec<Type> {
        if self.escaped.contains(&function) || !self.running.borrow_mut().insert(function) {
            return Vec::new();
        }
        let mut types = Some(Vec::new());
        let mut take = |some: Vec<Type>| match some.is_empty() {
            true => types = None,
            false => {
                if let Some(types) = &mut types {
                    types.extend(some);
                }
            }
        };
        for arguments in self.heard(function) {
            take(
                arguments
                    .get(place)
                    .map_or(Vec::new(), |one| resolve(one.is)),
            );
        }
        for arguments in self.calls.get(&function).into_iter().flatten() {
            take(match arguments.get(place) {
                Some(argument) => self.infer(tree, argument, steps),
                None => Vec::new(),
            });
        }
        self.running.borrow_mut().remove(&function);
        types.unwrap_or_default()
    }
}

/// What a call of a value of that type gives.
fn given(of: &Type) -> Vec<Type> {
    match of {
        Type::Object(Object {
            call: Some(Call { gives, .. }),
            ..
        }) => resolve(gives),
        _ => Vec::new(),
    }
}

/// The union over types; nothing when one of them gives nothing.
fn each(types: &[Type], of: impl Fn(&Type) -> Vec<Type>) -> Vec<Type> {
    let mut all = Vec::new();
    for one in types {
        let some = of(one);
        if some.is_empty() {
            return Vec::new();
        }
        all.extend(some);
    }
    all
}

fn field_type(of: &Type, name: &str) -> Vec<Type> {
    match of {
        Type::Object(object) if object.name == "haka" && name == "dissectors" => {
            vec![Type::Dissectors]
        }
        Type::Object(object) => match api::find(object, name) {
            Some(Found::Property { is, .. }) => resolve(&is),
            _ => Vec::new(),
        },
        Type::Dissectors => vec![Type::Dissector(name.to_owned())],
        Type::Dissector(dissector) => match name {
            "events" => vec![Type::Events(dissector.clone())],
            "policies" => vec![Type::Policies(dissector.clone())],
            _ => Vec::new(),
        },
        Type::Events(dissector) => event(dissector, name)
            .map(Type::Event)
            .into_iter()
            .collect(),
        Type::Policies(_) => resolve("policy"),
        Type::Event(_) => resolve("event"),
        Type::Library(library) => match api::object(library.object).map(|of| api::find(of, name)) {
            Some(Some(Found::Property { is, .. })) => resolve(&is),
            _ => Vec::new(),
        },
        Type::Group(_) | Type::String => Vec::new(),
    }
}

/// The engine's event of that name.
pub fn event(dissector: &str, name: &str) -> Option<&'static EventRow> {
    EVENTS
        .iter()
        .find(|row| row.dissector == dissector && row.name == name)
}

/// Types out of their text.
pub fn resolve(text: &str) -> Vec<Type> {
    let mut types = Vec::new();
    for name in text.trim_end_matches('?').split('|') {
        if let Some(object) = api::object(name) {
            types.push(Type::Object(object));
        } else if name == "string" || name.starts_with('\'') {
            types.push(Type::String);
        } else if !api::group_fields(name).is_empty() {
            types.push(Type::Group(name.to_owned()));
        } else {
            return Vec::new();
        }
    }
    types
}

/// The name that is given to `require`.
pub fn required(arguments: &[Rc<Expr>]) -> Option<String> {
    match &arguments.first()?.kind {
        Kind::String(name) => Some(String::from_utf8_lossy(name).into_owned()),
        _ => None,
    }
}

/// The local function that an expression names.
pub fn local_function(tree: &Tree, expr: &Expr) -> Option<(usize, Rc<Function>)> {
    let Kind::Name {
        binding: Some(binding),
        ..
    } = &expr.kind
    else {
        return None;
    };
    match &tree.bindings.get(*binding)?.origin {
        Origin::Function(function) => Some((*binding, Rc::clone(function))),
        _ => None,
    }
}

/// The field of that name in a table.
pub fn field<'a>(fields: &'a [Field], name: &str) -> Option<&'a Rc<Expr>> {
    let named = |field: &&Field| field.name.as_ref().is_some_and(|(found, _)| found == name);
    fields.iter().find(named).map(|field| &field.value)
}

/// The table of a rule that an expression registers, and for a rule of a
/// group that group's table.
pub fn rule_tables<'a>(
    tree: &'a Tree,
    types: &Types,
    expr: &'a Expr,
) -> Option<(&'a [Field], Option<&'a [Field]>)> {
    match &expr.kind {
        Kind::Call { callee, arguments } => {
            let Kind::Index { base, name, .. } = &callee.kind else {
                return None;
            };
            let is_rule = ["rule", "rule_group"].contains(&name.as_str());
            (is_rule && is_haka(tree, types, base)).then_some(())?;
            Some((table_of(arguments)?, None))
        }
        Kind::MethodCall {
            base,
            name,
            arguments,
            ..
        } if name == "rule" => {
            let fields = table_of(arguments)?;
            Some((fields, Some(group_table(tree, base)?)))
        }
        _ => None,
    }
}

fn is_haka(tree: &Tree, types: &Types, expr: &Expr) -> bool {
    matches!(types.of_expr(tree, expr).as_slice(), [Type::Object(object)] if object.name == "haka")
}

fn table_of(arguments: &[Rc<Expr>]) -> Option<&[Field]> {
    match &arguments.first()?.kind {
        Kind::Table(fields) => Some(fields),
        _ => None,
    }
}

/// The table of the group that a local holds.
fn group_table<'a>(tree: &'a Tree, expr: &Expr) -> Option<&'a [Field]> {
    let Kind::Name {
        binding: Some(binding),
        ..
    } = &expr.kind
    else {
        return None;
    };
    let Origin::Value(value) = &tree.bindings.get(*binding)?.origin else {
        return None;
    };
    let Kind::Call { callee, arguments } = &value.kind else {
        return None;
    };
    match &callee.kind {
        Kind::Index { name, .. } if name == "rule_group" => table_of(arguments),
        _ => None,
    }
}

/// The engine's event that a rule is on.
pub fn event_of(
    tree: &Tree,
    types: &Types,
    fields: &[Field],
    group: Option<&[Field]>,
) -> Option<&'static EventRow> {
    let fields = group.unwrap_or(fields);
    let on = field(fields, "on").or_else(|| field(fields, "hook"))?;
    match types.of_expr(tree, on).as_slice() {
        [Type::Event(row)] => Some(row),
        _ => None,
    }
}

/// What the rule's functions are called with.
fn listener_of(
    tree: &Tree,
    types: &Types,
    fields: &[Field],
    group: Option<&[Field]>,
) -> Option<&'static [Argument]> {
    let row = event_of(tree, types, fields, group)?;
    match is_streamed(group.unwrap_or(fields)) {
        Some(true) => api::streamed_listener(row),
        Some(false) => api::listener(row),
        None => None,
    }
}

/// Whether the rule is streamed; `None` when that is not written there.
fn is_streamed(fields: &[Field]) -> Option<bool> {
    let Some(options) = field(fields, "options") else {
        return Some(false);
    };
    match &options.kind {
        Kind::Table(options) => Some(field(options, "streamed").is_some()),
        _ => None,
    }
}

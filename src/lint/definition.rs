//! Definitions of grammars and state machines: functions that see words which
//! are globals nowhere else.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::tree::{Expr, Function, Kind, Tree};
use super::types::local_function;
use super::walk;
use crate::proto::api::{self, Object};

/// One definition of a file.
#[derive(Debug)]
pub struct Definition {
    /// Its words.
    pub words: &'static Object,
    /// Rules and states that it assigns, or names in `define`.
    pub own: HashSet<String>,
}

/// Every definition of a file, by the places of the names in it that are no
/// locals.
#[derive(Debug, Default)]
pub struct Definitions {
    all: Vec<Definition>,
    names: HashMap<usize, usize>,
    functions: HashMap<usize, usize>,
}

impl Definitions {
    pub fn of(tree: &Tree) -> Definitions {
        let mut definitions = Definitions::default();
        walk::expressions(&tree.body, &mut |expr, _| {
            let Kind::Call { callee, arguments } = &expr.kind else {
                return;
            };
            // `pcall(haka.grammar.new, 'name', function …)` defines as well.
            let told = std::iter::once(&**callee).chain(arguments.iter().map(|one| &**one));
            let Some(words) = told.into_iter().find_map(words_of) else {
                return;
            };
            for argument in arguments {
                if let Some(function) = function_of(tree, argument) {
                    definitions.add(words, &function);
                }
            }
        });
        definitions
    }

    fn add(&mut self, words: &'static Object, function: &Function) {
        let number = self.all.len();
        let mut own = HashSet::new();
        let names = &mut self.names;
        walk::expressions(&function.body, &mut |expr, target| match &expr.kind {
            Kind::Name {
                name,
                binding: None,
            } => {
                names.insert(expr.at, number);
                if target {
                    own.insert(name.clone());
                }
            }
            Kind::Call { callee, arguments } if is_define(callee) => {
                for argument in arguments {
                    if let Kind::String(name) = &argument.kind {
                        own.insert(String::from_utf8_lossy(name).into_owned());
                    }
                }
            }
            _ => {}
        });
        self.functions.insert(function.number, number);
        self.all.push(Definition { words, own });
    }

    /// The definition that a name stands in.
    pub fn at(&self, place: usize) -> Option<&Definition> {
        self.all.get(*self.names.get(&place)?)
    }

    /// Whether a function is one.
    pub fn is_one(&self, function: &Function) -> bool {
        self.functions.contains_key(&function.number)
    }
}

fn is_define(callee: &Expr) -> bool {
    matches!(&callee.kind, Kind::Name { name, binding: None } if name == "define")
}

fn function_of(tree: &Tree, expr: &Expr) -> Option<Rc<Function>> {
    match &expr.kind {
        Kind::Function(function) => Some(Rc::clone(function)),
        _ => local_function(tree, expr).map(|(_, function)| function),
    }
}

/// The words of what `haka.grammar.new` or `haka.state_machine.new` define.
fn words_of(callee: &Expr) -> Option<&'static Object> {
    let Kind::Index { base, name, .. } = &callee.kind else {
        return None;
    };
    let of = match &base.kind {
        Kind::Index { name, .. } | Kind::Name { name, .. } => name.as_str(),
        _ => return None,
    };
    match (of, name.as_str()) {
        ("grammar", "new") => api::object("grammar.words"),
        ("state_machine", "new") => api::object("state_machine.words"),
        _ => None,
    }
}

//! The tree of a rule file, names already bound to their locals.
//!
//! It keeps what the checks ask for and no more: operators and their
//! precedence are gone, an expression of several operands is their list.

use std::rc::Rc;

/// A local variable, parameter or loop variable.
#[derive(Debug)]
pub struct Binding {
    pub name: String,
    pub at: usize,
    /// Assigned to after it was declared.
    pub assigned: bool,
    pub used: bool,
    pub origin: Origin,
}

/// Where a binding has its value from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// `local a = value`.
    Value(Rc<Expr>),
    /// `local function a` or `local a = function`.
    Function(Rc<Function>),
    /// The parameter at that place, from 0, of the function with that number.
    Parameter {
        function: usize,
        place: usize,
    },
    /// What a generic `for` over these hands out.
    Loop(Rc<Expr>),
    Other,
}

pub type Block = Vec<Stat>;

#[derive(Debug)]
pub enum Stat {
    Local {
        values: Vec<Rc<Expr>>,
    },
    Assign {
        targets: Vec<Expr>,
        values: Vec<Rc<Expr>>,
    },
    Call(Rc<Expr>),
    /// Conditions and the blocks that hang on them.
    Blocks {
        conditions: Vec<Expr>,
        blocks: Vec<Block>,
    },
    Return(Vec<Expr>),
    /// `break`, `goto`, a label.
    Jump,
}

#[derive(Debug)]
pub struct Expr {
    pub at: usize,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    /// Numbers, `nil`, booleans.
    Plain,
    /// `...`: any number of values.
    Rest,
    String(Vec<u8>),
    Name {
        name: String,
        binding: Option<usize>,
    },
    Index {
        base: Box<Expr>,
        name: String,
        name_at: usize,
    },
    IndexBy {
        base: Box<Expr>,
        key: Box<Expr>,
    },
    Call {
        callee: Box<Expr>,
        arguments: Vec<Rc<Expr>>,
    },
    MethodCall {
        base: Box<Expr>,
        name: String,
        name_at: usize,
        arguments: Vec<Rc<Expr>>,
    },
    Function(Rc<Function>),
    Table(Vec<Field>),
    Operands(Vec<Expr>),
    Parentheses(Box<Expr>),
    /// An expression that a binding refers to as well.
    Shared(Rc<Expr>),
}

#[derive(Debug)]
pub struct Field {
    /// `name = value`, with where the name stands.
    pub name: Option<(String, usize)>,
    /// `[key] = value`.
    pub key: Option<Expr>,
    pub value: Rc<Expr>,
}

#[derive(Debug)]
pub struct Function {
    /// Its own number in the file.
    pub number: usize,
    pub parameters: Vec<usize>,
    pub body: Block,
}

/// A whole file.
#[derive(Debug)]
pub struct Tree {
    pub bindings: Vec<Binding>,
    pub body: Block,
}

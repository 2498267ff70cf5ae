//! Reads tokens into a [`Tree`] and binds names as it goes, as Lua does.
//!
//! Nesting and chains of suffixes are limited, so that no source can use up
//! the stack of those who walk the tree.

use std::rc::Rc;

use super::SyntaxError;
use super::token::{Token, tokens};
use super::tree::{Binding, Block, Expr, Field, Function, Kind, Origin, Stat, Tree};

/// Blocks and expressions within each other; LuaJIT's own limit.
const MAX_NESTING: usize = 200;
/// `.name`, `[key]` and calls after one another.
const MAX_SUFFIXES: usize = 100;

/// The tree of a source.
pub fn parse(source: &[u8]) -> Result<Tree> {
    let mut parser = Parser {
        tokens: tokens(source)?,
        place: 0,
        nesting: 0,
        bindings: Vec::new(),
        scope: Vec::new(),
        functions: 0,
    };
    let body = parser.block()?;
    if *parser.peek() != Token::End {
        return Err(parser.unexpected("the end of the file"));
    }
    Ok(Tree {
        bindings: parser.bindings,
        body,
    })
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    place: usize,
    nesting: usize,
    bindings: Vec<Binding>,
    /// Bindings that can be seen, innermost last.
    scope: Vec<usize>,
    functions: usize,
}

type Result<T> = std::result::Result<T, SyntaxError>;

const BINARY: [&str; 15] = [
    "+", "-", "*", "/", "^", "%", "..", "<", "<=", ">", ">=", "==", "~=", "and", "or",
];

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens
            .get(self.place)
            .map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        let last = self.tokens.last();
        self.tokens
            .get(self.place)
            .or(last)
            .map_or(0, |(_, at)| *at)
    }

    fn is(&self, mark: &str) -> bool {
        matches!(self.peek(), Token::Mark(found) if *found == mark)
    }

    fn take(&mut self, mark: &str) -> bool {
        let found = self.is(mark);
        if found {
            self.place += 1;
        }
        found
    }

    fn expect(&mut self, mark: &str) -> Result<()> {
        match self.take(mark) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("'{mark}'"))),
        }
    }

    /// As `expect`, where the opening one tells more than the place.
    fn close(&mut self, mark: &str, opened: &str, at: usize) -> Result<()> {
        match self.take(mark) {
            true => Ok(()),
            false => {
                let mut error = self.unexpected(&format!("'{mark}'"));
                error.text.push_str(&format!(" to close this '{opened}'"));
                if *self.peek() == Token::End {
                    error.at = at;
                }
                Err(error)
            }
        }
    }

    fn unexpected(&self, wanted: &str) -> SyntaxError {
        let found = match self.peek() {
            Token::Name(name) => format!("'{name}'"),
            Token::Mark(mark) => format!("'{mark}'"),
            Token::String(_) => "a string".to_owned(),
            Token::Number => "a number".to_owned(),
            Token::End => "the end of the file".to_owned(),
        };
        SyntaxError {
            at: self.at(),
            text: format!("{wanted} expected, found {found}"),
        }
    }

    fn name(&mut self) -> Result<(String, usize)> {
        let at = self.at();
        match self.peek() {
            Token::Name(name) => {
                let name = name.clone();
                self.place += 1;
                Ok((name, at))
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(SyntaxError {
                at: self.at(),
                text: "nested too deeply".to_owned(),
            });
        }
        let result = read(self);
        self.nesting -= 1;
        result
    }

    // Scopes ----------------------------------------------------------------

    fn bind(&mut self, (name, at): (String, usize), origin: Origin) -> usize {
        self.bindings.push(Binding {
            name,
            at,
            assigned: false,
            used: false,
            origin,
        });
        self.bindings.len() - 1
    }

    fn lookup(&self, name: &str) -> Option<usize> {
        let seen = self.scope.iter().rev().copied();
        seen.into_iter()
            .find(|binding| self.bindings[*binding].name == name)
    }

    fn block(&mut self) -> Result<Block> {
        let outer = self.scope.len();
        let block = self.open_block();
        self.scope.truncate(outer);
        block
    }

    /// Its locals stay in scope.
    fn open_block(&mut self) -> Result<Block> {
        self.deeper(|parser| {
            let mut block = Vec::new();
            loop {
                if parser.take(";") {
                    continue;
                }
                let ends = ["end", "else", "elseif", "until"];
                if *parser.peek() == Token::End || ends.iter().any(|mark| parser.is(mark)) {
                    return Ok(block);
                }
                if parser.take("return") {
                    block.push(parser.returned()?);
                    return Ok(block);
                }
                block.push(parser.statement()?);
            }
        })
    }

    fn returned(&mut self) -> Result<Stat> {
        let ends = ["end", "else", "elseif", "until", ";"];
        let mut values = Vec::new();
        if *self.peek() != Token::End && !ends.iter().any(|mark| self.is(mark)) {
            values.push(self.expression()?);
            while self.take(",") {
                values.push(self.expression()?);
            }
        }
        while self.take(";") {}
        Ok(Stat::Return(values))
    }

    // Statements --------------------------------------------------------------

    fn statement(&mut self) -> Result<Stat> {
        let at = self.at();
        if self.take("local") {
            return match self.take("function") {
                true => self.local_function(),
                false => self.local(),
            };
        }
        if self.take("if") {
            return self.conditional(at);
        }
        if self.take("while") {
            let condition = self.expression()?;
            self.expect("do")?;
            let block = self.block()?;
            self.close("end", "while", at)?;
            return Ok(blocks(vec![condition], vec![block]));
        }
        if self.take("do") {
            let block = self.block()?;
            self.close("end", "do", at)?;
            return Ok(blocks(Vec::new(), vec![block]));
        }
        if self.take("for") {
            return self.for_loop(at);
        }
        if self.take("repeat") {
            // The condition sees the locals of the block.
            let outer = self.scope.len();
            let block = self.open_block()?;
            self.close("until", "repeat", at)?;
            let condition = self.expression()?;
            self.scope.truncate(outer);
            return Ok(blocks(vec![condition], vec![block]));
        }
        if self.take("function") {
            return self.function_statement(at);
        }
        if self.take("break") {
            return Ok(Stat::Jump);
        }
        if self.take("goto") {
            self.name()?;
            return Ok(Stat::Jump);
        }
        if self.take("::") {
            self.name()?;
            self.expect("::")?;
            return Ok(Stat::Jump);
        }
        self.expression_statement()
    }

    fn local(&mut self) -> Result<Stat> {
        let mut names = vec![self.name()?];
        while self.take(",") {
            names.push(self.name()?);
        }
        let values = match self.take("=") {
            true => self.list()?,
            false => Vec::new(),
        };
        let single = names.len() == values.len();
        let mut bindings = Vec::new();
        for (place, name) in names.into_iter().enumerate() {
            let origin = match values.get(place) {
                Some(value) if single || place + 1 < values.len() => origin_of(value),
                _ => Origin::Other,
            };
            bindings.push(self.bind(name, origin));
        }
        self.scope.extend(&bindings);
        Ok(Stat::Local { values })
    }

    fn local_function(&mut self) -> Result<Stat> {
        let name = self.name()?;
        let at = name.1;
        let binding = self.bind(name, Origin::Other);
        self.scope.push(binding);
        let function = Rc::new(self.function_body(at, false)?);
        self.bindings[binding].origin = Origin::Function(Rc::clone(&function));
        let kind = Kind::Function(function);
        Ok(Stat::Local {
            values: vec![Rc::new(Expr { at, kind })],
        })
    }

    fn conditional(&mut self, at: usize) -> Result<Stat> {
        let (mut conditions, mut inner) = (vec![self.expression()?], Vec::new());
        self.expect("then")?;
        inner.push(self.block()?);
        while self.take("elseif") {
            conditions.push(self.expression()?);
            self.expect("then")?;
            inner.push(self.block()?);
        }
        if self.take("else") {
            inner.push(self.block()?);
        }
        self.close("end", "if", at)?;
        Ok(blocks(conditions, inner))
    }

    fn for_loop(&mut self, at: usize) -> Result<Stat> {
        let mut names = vec![self.name()?];
        let outer = self.scope.len();
        let mut conditions = Vec::new();
        let origin = if self.take("=") {
            conditions.push(self.expression()?);
            self.expect(",")?;
            conditions.push(self.expression()?);
            if self.take(",") {
                conditions.push(self.expression()?);
            }
            Origin::Other
        } else {
            while self.take(",") {
                names.push(self.name()?);
            }
            self.expect("in")?;
            let over = self.list()?;
            let origin = over
                .first()
                .map_or(Origin::Other, |first| Origin::Loop(Rc::clone(first)));
            conditions.extend(over.into_iter().map(shared));
            origin
        };
        self.expect("do")?;
        for (place, name) in names.into_iter().enumerate() {
            let origin = if place == 0 {
                origin.clone()
            } else {
                Origin::Other
            };
            let binding = self.bind(name, origin);
            // A loop variable that nobody reads is no mistake.
            self.bindings[binding].used = true;
            self.scope.push(binding);
        }
        let block = self.block()?;
        self.scope.truncate(outer);
        self.close("end", "for", at)?;
        Ok(blocks(conditions, vec![block]))
    }

    fn function_statement(&mut self, at: usize) -> Result<Stat> {
        let (name, name_at) = self.name()?;
        let mut target = self.variable(name, name_at);
        let mut method = false;
        let mut parts = 0;
        while !method && (self.is(".") || self.is(":")) {
            parts += 1;
            if parts > MAX_SUFFIXES {
                return Err(self.unexpected("fewer names"));
            }
            method = self.is(":");
            self.place += 1;
            self.read(&target);
            let (name, name_at) = self.name()?;
            target = Expr {
                at: target.at,
                kind: Kind::Index {
                    base: Box::new(target),
                    name,
                    name_at,
                },
            };
        }
        let function = self.function_body(at, method)?;
        self.assign(&target);
        let kind = Kind::Function(Rc::new(function));
        Ok(Stat::Assign {
            targets: vec![target],
            values: vec![Rc::new(Expr { at, kind })],
        })
    }

    fn expression_statement(&mut self) -> Result<Stat> {
        let first = self.suffixed(true)?;
        if !self.is("=") && !self.is(",") {
            return match first.kind {
                Kind::Call { .. } | Kind::MethodCall { .. } => {
                    self.read(&first);
                    Ok(Stat::Call(Rc::new(first)))
                }
                _ => Err(self.unexpected("a statement: '=' or a call")),
            };
        }
        let mut targets = vec![first];
        while self.take(",") {
            targets.push(self.suffixed(true)?);
        }
        let is_target = |target: &Expr| {
            matches!(
                target.kind,
                Kind::Name { .. } | Kind::Index { .. } | Kind::IndexBy { .. }
            )
        };
        if let Some(wrong) = targets.iter().find(|target| !is_target(target)) {
            return Err(SyntaxError {
                at: wrong.at,
                text: "cannot assign to this".to_owned(),
            });
        }
        self.expect("=")?;
        let values = self.list()?;
        for target in &targets {
            self.assign(target);
        }
        Ok(Stat::Assign { targets, values })
    }

    fn assign(&mut self, target: &Expr) {
        match &target.kind {
            Kind::Name {
                binding: Some(binding),
                ..
            } => self.bindings[*binding].assigned = true,
            Kind::Index { base, .. } | Kind::IndexBy { base, .. } => self.read(base),
            _ => {}
        }
    }

    /// A name at the start of what is read counts as used.
    fn read(&mut self, expr: &Expr) {
        let mut at = expr;
        loop {
            at = match &at.kind {
                Kind::Index { base, .. } | Kind::IndexBy { base, .. } => base,
                Kind::Call { callee, .. } => callee,
                Kind::MethodCall { base, .. } => base,
                Kind::Name {
                    binding: Some(binding),
                    ..
                } => {
                    self.bindings[*binding].used = true;
                    return;
                }
                _ => return,
            };
        }
    }

    // Expressions -------------------------------------------------------------

    fn list(&mut self) -> Result<Vec<Rc<Expr>>> {
        let mut values = vec![Rc::new(self.expression()?)];
        while self.take(",") {
            values.push(Rc::new(self.expression()?));
        }
        Ok(values)
    }

    fn expression(&mut self) -> Result<Expr> {
        self.deeper(|parser| {
            let at = parser.at();
            let (mut operands, mut single) = (Vec::new(), true);
            loop {
                while ["not", "-", "#"].iter().any(|mark| parser.take(mark)) {
                    single = false;
                }
                operands.push(parser.simple()?);
                if !BINARY.iter().any(|mark| parser.take(mark)) {
                    break;
                }
            }
            match (single, operands.len()) {
                (true, 1) => Ok(operands.swap_remove(0)),
                _ => Ok(Expr {
                    at,
                    kind: Kind::Operands(operands),
                }),
            }
        })
    }

    fn simple(&mut self) -> Result<Expr> {
        let at = self.at();
        let kind = match self.peek().clone() {
            Token::Number => Kind::Plain,
            Token::String(bytes) => Kind::String(bytes),
            Token::Mark("nil" | "true" | "false" | "...") => Kind::Plain,
            Token::Mark("{") => {
                return Ok(Expr {
                    at,
                    kind: Kind::Table(self.table()?),
                });
            }
            Token::Mark("function") => {
                self.place += 1;
                let function = self.function_body(at, false)?;
                return Ok(Expr {
                    at,
                    kind: Kind::Function(Rc::new(function)),
                });
            }
            _ => return self.suffixed(false),
        };
        self.place += 1;
        Ok(Expr { at, kind })
    }

    fn variable(&self, name: String, at: usize) -> Expr {
        let binding = self.lookup(&name);
        Expr {
            at,
            kind: Kind::Name { name, binding },
        }
    }

    /// A name or parenthesis with what follows it. As a statement, a name
    /// that is only assigned to does not count as used.
    fn suffixed(&mut self, statement: bool) -> Result<Expr> {
        let at = self.at();
        let mut expr = if self.take("(") {
            let inner = self.expression()?;
            self.close(")", "(", at)?;
            Expr {
                at,
                kind: Kind::Parentheses(Box::new(inner)),
            }
        } else if let Token::Name(_) = self.peek() {
            let (name, at) = self.name()?;
            self.variable(name, at)
        } else {
            let what = if statement {
                "a statement"
            } else {
                "an expression"
            };
            return Err(self.unexpected(what));
        };
        for _ in 0..=MAX_SUFFIXES {
            match self.suffix(expr)? {
                (longer, true) => expr = longer,
                (whole, false) => {
                    if !statement {
                        self.read(&whole);
                    }
                    return Ok(whole);
                }
            }
        }
        Err(SyntaxError {
            at,
            text: "too many calls and fields after one another".to_owned(),
        })
    }

    /// One suffix more, if there is one.
    fn suffix(&mut self, base: Expr) -> Result<(Expr, bool)> {
        let at = base.at;
        let base_box = Box::new(base);
        let kind = match self.peek() {
            Token::Mark(".") => {
                self.place += 1;
                let (name, name_at) = self.name()?;
                Kind::Index {
                    base: base_box,
                    name,
                    name_at,
                }
            }
            Token::Mark("[") => {
                let opened = self.at();
                self.place += 1;
                let key = self.expression()?;
                self.close("]", "[", opened)?;
                // `t['name']` is `t.name`.
                match &key.kind {
                    Kind::String(bytes) if is_name(bytes) => Kind::Index {
                        base: base_box,
                        name: String::from_utf8_lossy(bytes).into_owned(),
                        name_at: key.at,
                    },
                    _ => Kind::IndexBy {
                        base: base_box,
                        key: Box::new(key),
                    },
                }
            }
            Token::Mark(":") => {
                self.place += 1;
                let (name, name_at) = self.name()?;
                let arguments = self.arguments()?;
                Kind::MethodCall {
                    base: base_box,
                    name,
                    name_at,
                    arguments,
                }
            }
            Token::Mark("(" | "{") | Token::String(_) => Kind::Call {
                callee: base_box,
                arguments: self.arguments()?,
            },
            _ => return Ok((*base_box, false)),
        };
        Ok((Expr { at, kind }, true))
    }

    fn arguments(&mut self) -> Result<Vec<Rc<Expr>>> {
        let at = self.at();
        match self.peek().clone() {
            Token::String(bytes) => {
                self.place += 1;
                let kind = Kind::String(bytes);
                Ok(vec![Rc::new(Expr { at, kind })])
            }
            Token::Mark("{") => {
                let kind = Kind::Table(self.table()?);
                Ok(vec![Rc::new(Expr { at, kind })])
            }
            Token::Mark("(") => {
                self.place += 1;
                if self.take(")") {
                    return Ok(Vec::new());
                }
                let values = self.list()?;
                self.close(")", "(", at)?;
                Ok(values)
            }
            _ => Err(self.unexpected("arguments")),
        }
    }

    fn table(&mut self) -> Result<Vec<Field>> {
        let opened = self.at();
        self.expect("{")?;
        let mut fields = Vec::new();
        while !self.is("}") {
            fields.push(self.field()?);
            if !self.take(",") && !self.take(";") {
                break;
            }
        }
        self.close("}", "{", opened)?;
        Ok(fields)
    }

    fn field(&mut self) -> Result<Field> {
        let at = self.at();
        let follows_equals = matches!(self.tokens.get(self.place + 1), Some((Token::Mark("="), _)));
        let (mut name, mut key) = (None, None);
        if follows_equals && matches!(self.peek(), Token::Name(_)) {
            name = Some(self.name()?);
            self.expect("=")?;
        } else if self.take("[") {
            key = Some(self.expression()?);
            self.close("]", "[", at)?;
            self.expect("=")?;
        }
        Ok(Field {
            name,
            key,
            value: Rc::new(self.expression()?),
        })
    }

    fn function_body(&mut self, at: usize, method: bool) -> Result<Function> {
        let number = self.functions;
        self.functions += 1;
        let outer = self.scope.len();
        let mut parameters = Vec::new();
        if method {
            let this = self.bind(("self".to_owned(), at), Origin::Other);
            self.bindings[this].used = true;
            self.scope.push(this);
        }
        self.expect("(")?;
        while !self.is(")") {
            if self.take("...") {
                break;
            }
            let name = self.name()?;
            let place = parameters.len();
            let origin = Origin::Parameter {
                function: number,
                place,
            };
            let binding = self.bind(name, origin);
            parameters.push(binding);
            self.scope.push(binding);
            if !self.take(",") {
                break;
            }
        }
        self.expect(")")?;
        let body = self.block()?;
        self.scope.truncate(outer);
        self.close("end", "function", at)?;
        Ok(Function {
            number,
            parameters,
            body,
        })
    }
}

fn blocks(conditions: Vec<Expr>, blocks: Vec<Block>) -> Stat {
    Stat::Blocks { conditions, blocks }
}

fn origin_of(value: &Rc<Expr>) -> Origin {
    match &value.kind {
        Kind::Function(function) => Origin::Function(Rc::clone(function)),
        _ => Origin::Value(Rc::clone(value)),
    }
}

/// An expression that somebody else refers to as well.
fn shared(expr: Rc<Expr>) -> Expr {
    let at = expr.at;
    match Rc::try_unwrap(expr) {
        Ok(expr) => expr,
        Err(expr) => Expr {
            at,
            kind: Kind::Shared(expr),
        },
    }
}

fn is_name(bytes: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    !bytes.is_empty() && bytes.iter().all(letter) && !bytes[0].is_ascii_digit()
}

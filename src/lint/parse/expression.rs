//! Expressions: operands, names with their suffixes, calls, tables, functions.

use std::rc::Rc;

use super::{Parser, Result, SyntaxError};
use crate::lint::token::Token;
use crate::lint::tree::{Expr, Field, Function, Kind, Origin};

/// `.name`, `[key]` and calls after one another.
pub(super) const MAX_SUFFIXES: usize = 100;

const BINARY: [&str; 15] = [
    "+", "-", "*", "/", "^", "%", "..", "<", "<=", ">", ">=", "==", "~=", "and", "or",
];

impl Parser {
    pub(super) fn list(&mut self) -> Result<Vec<Rc<Expr>>> {
        let mut values = vec![Rc::new(self.expression()?)];
        while self.take(",") {
            values.push(Rc::new(self.expression()?));
        }
        Ok(values)
    }

    pub(super) fn expression(&mut self) -> Result<Expr> {
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
            Token::Mark("nil" | "true" | "false") => Kind::Plain,
            Token::Mark("...") => Kind::Rest,
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

    pub(super) fn variable(&self, name: String, at: usize) -> Expr {
        let binding = self.lookup(&name);
        Expr {
            at,
            kind: Kind::Name { name, binding },
        }
    }

    /// A name or parenthesis with what follows it. As a statement, a name
    /// that is only assigned to does not count as used.
    pub(super) fn suffixed(&mut self, statement: bool) -> Result<Expr> {
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

    pub(super) fn function_body(&mut self, at: usize, method: bool) -> Result<Function> {
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

/// An expression that somebody else refers to as well.
pub(super) fn shared(expr: Rc<Expr>) -> Expr {
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

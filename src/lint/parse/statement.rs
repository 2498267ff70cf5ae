//! Statements: locals, assignments, blocks, loops, functions by name.

use std::rc::Rc;

use super::expression::{MAX_SUFFIXES, shared};
use super::{Parser, Result, SyntaxError};
use crate::lint::token::Token;
use crate::lint::tree::{Block, Expr, Kind, Origin, Stat};

impl Parser {
    pub(super) fn returned(&mut self) -> Result<Stat> {
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

    pub(super) fn statement(&mut self) -> Result<Stat> {
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
    pub(super) fn read(&mut self, expr: &Expr) {
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

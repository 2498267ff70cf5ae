//! Reads tokens into a [`Tree`] and binds names as it goes, as Lua does.
//!
//! Nesting and chains of suffixes are limited, so that no source can use up
//! the stack of those who walk the tree.

mod expression;
mod statement;

use super::SyntaxError;
use super::token::{Token, tokens};
use super::tree::{Binding, Block, Origin, Tree};

/// Blocks and expressions within each other; LuaJIT's own limit.
const MAX_NESTING: usize = 200;

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
}

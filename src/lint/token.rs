//! Cuts Lua source into tokens, as LuaJIT reads it: 5.1 with `goto`, hex and
//! `\z` escapes, and number suffixes. Sources may hold any bytes.

use super::SyntaxError;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Name(String),
    /// Its bytes, escapes resolved.
    String(Vec<u8>),
    Number,
    /// A keyword or operator.
    Mark(&'static str),
    End,
}

const KEYWORDS: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

/// Longer ones first.
const MARKS: [&str; 26] = [
    "...", "..", "==", "~=", "<=", ">=", "::", "+", "-", "*", "/", "%", "^", "#", "<", ">", "=",
    "(", ")", "{", "}", "[", "]", ";", ":", ",",
];

/// The tokens of a source, with the offset of each; the last is `End`.
pub fn tokens(source: &[u8]) -> Result<Vec<(Token, usize)>, SyntaxError> {
    let mut lexer = Lexer { source, at: 0 };
    if source.starts_with(b"#") {
        lexer.skip_line();
    }
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank()?;
        let at = lexer.at;
        let token = lexer.token()?;
        let ended = token == Token::End;
        tokens.push((token, at));
        if ended {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    source: &'a [u8],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn rest(&self) -> &[u8] {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn error(&self, at: usize, text: &str) -> SyntaxError {
        SyntaxError {
            at,
            text: text.to_owned(),
        }
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn skip_blank(&mut self) -> Result<(), SyntaxError> {
        loop {
            match self.peek(0) {
                Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) => self.at += 1,
                Some(b'-') if self.peek(1) == Some(b'-') => {
                    let from = self.at;
                    self.at += 2;
                    match self.long_level() {
                        Some(level) => {
                            self.long(level, from)?;
                        }
                        None => self.skip_line(),
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// The number of `=` in an opening long bracket here.
    fn long_level(&self) -> Option<usize> {
        let rest = self.rest().strip_prefix(b"[")?;
        let level = rest.iter().take_while(|byte| **byte == b'=').count();
        (rest.get(level) == Some(&b'[')).then_some(level)
    }

    fn long(&mut self, level: usize, from: usize) -> Result<Vec<u8>, SyntaxError> {
        let start = self.at + level + 2;
        let mut close = vec![b']'];
        close.resize(level + 1, b'=');
        close.push(b']');
        let rest = self.source.get(start..).unwrap_or_default();
        let Some(length) = memchr::memmem::find(rest, &close) else {
            return Err(self.error(from, "this long bracket is never closed"));
        };
        self.at = start + length + close.len();
        let text = rest.get(..length).unwrap_or_default();
        // The first line end is not part of it.
        let text = text.strip_prefix(b"\r\n").or(text.strip_prefix(b"\n"));
        Ok(text
            .unwrap_or(rest.get(..length).unwrap_or_default())
            .to_vec())
    }

    fn token(&mut self) -> Result<Token, SyntaxError> {
        let Some(first) = self.peek(0) else {
            return Ok(Token::End);
        };
        if is_letter(first) {
            return Ok(self.word());
        }
        let digit_next = self.peek(1).is_some_and(|byte| byte.is_ascii_digit());
        if first.is_ascii_digit() || (first == b'.' && digit_next) {
            return self.number();
        }
        if first == b'"' || first == b'\'' {
            return self.quoted(first);
        }
        if let Some(level) = self.long_level() {
            let from = self.at;
            return Ok(Token::String(self.long(level, from)?));
        }
        let mark = MARKS
            .iter()
            .find(|mark| self.rest().starts_with(mark.as_bytes()));
        // The dot alone comes after the longer ones that begin with it.
        let mark = mark.copied().or((first == b'.').then_some("."));
        let Some(mark) = mark else {
            let shown = char::from(first).escape_default();
            return Err(self.error(self.at, &format!("unexpected character '{shown}'")));
        };
        self.at += mark.len();
        Ok(Token::Mark(mark))
    }

    fn word(&mut self) -> Token {
        let length = self
            .rest()
            .iter()
            .take_while(|byte| is_letter(**byte) || byte.is_ascii_digit())
            .count();
        let word = String::from_utf8_lossy(&self.rest()[..length]).into_owned();
        self.at += length;
        match KEYWORDS.iter().find(|keyword| **keyword == word) {
            Some(keyword) => Token::Mark(keyword),
            None => Token::Name(word),
        }
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let from = self.at;
        let hex = self.rest().len() > 1 && self.rest()[1].eq_ignore_ascii_case(&b'x');
        while let Some(byte) = self.peek(0) {
            let sign = matches!(byte, b'+' | b'-')
                && self.at > from
                && matches!(
                    (hex, self.source[self.at - 1].to_ascii_lowercase()),
                    (false, b'e') | (true, b'p')
                );
            if !(byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || sign) {
                break;
            }
            self.at += 1;
        }
        let text = String::from_utf8_lossy(&self.source[from..self.at]).to_ascii_lowercase();
        match is_number(&text) {
            true => Ok(Token::Number),
            false => Err(self.error(from, &format!("malformed number '{text}'"))),
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Token, SyntaxError> {
        let from = self.at;
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let byte = self.peek(0);
            self.at += 1;
            match byte {
                Some(byte) if byte == quote => return Ok(Token::String(bytes)),
                None | Some(b'\n') => return Err(self.error(from, "this string is never closed")),
                Some(b'\\') => self.escape(&mut bytes)?,
                Some(byte) => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let from = self.at - 1;
        let Some(letter) = self.peek(0) else {
            return Ok(());
        };
        self.at += 1;
        match letter {
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'r' => bytes.push(b'\r'),
            b'a' => bytes.push(7),
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            b'v' => bytes.push(11),
            b'z' => {
                while self.peek(0).is_some_and(|byte| byte.is_ascii_whitespace()) {
                    self.at += 1;
                }
            }
            b'x' => {
                let digits = self.rest().get(..2).map(String::from_utf8_lossy);
                let value = digits.and_then(|text| u8::from_str_radix(&text, 16).ok());
                let Some(value) = value else {
                    return Err(self.error(from, "invalid escape: '\\x' takes two hex digits"));
                };
                bytes.push(value);
                self.at += 2;
            }
            b'0'..=b'9' => {
                let mut value = u32::from(letter - b'0');
                for _ in 0..2 {
                    let Some(digit) = self.peek(0).filter(u8::is_ascii_digit) else {
                        break;
                    };
                    value = 10 * value + u32::from(digit - b'0');
                    self.at += 1;
                }
                let Ok(value) = u8::try_from(value) else {
                    return Err(self.error(from, "invalid escape: no byte is larger than 255"));
                };
                bytes.push(value);
            }
            b'u' => {
                // Its code point does not matter to any check.
                while self
                    .peek(0)
                    .is_some_and(|byte| byte != b'}' && byte != b'\n')
                {
                    self.at += 1;
                }
                self.at += 1;
                bytes.push(b'?');
            }
            b'\\' | b'"' | b'\'' | b'\n' | b'\r' => bytes.push(letter),
            _ => return Err(self.error(from, "invalid escape in a string")),
        }
        Ok(())
    }
}

fn is_letter(byte: u8) -> bool {
    // LuaJIT takes bytes beyond ASCII as letters.
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// Whether LuaJIT takes the lower-case text as a number.
fn is_number(text: &str) -> bool {
    let suffixes = ["ull", "ll", "i"];
    let text = suffixes
        .iter()
        .find_map(|suffix| text.strip_suffix(suffix))
        .unwrap_or(text);
    let all = |digits: &str, radix: u32| digits.chars().all(|digit| digit.is_digit(radix));
    let (digits, mark, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 'p', 16),
        None => match text.strip_prefix("0b") {
            Some(digits) => return !digits.is_empty() && all(digits, 2),
            None => (text, 'e', 10),
        },
    };
    let (mantissa, exponent) = match digits.split_once(mark) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let exponent_is_fine = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all(digits, 10)
    });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponent_is_fine
        && !(whole.is_empty() && fraction.is_empty())
        && all(whole, radix)
        && all(fraction, radix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<Token> {
        let tokens = tokens(source.as_bytes()).expect("it is Lua");
        tokens.into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn strings_are_resolved() {
        let text = |bytes: &[u8]| Token::String(bytes.to_vec());
        assert_eq!(
            kinds(r#"'\x41\66\n\'' "a\z   b" [==[x]]]==]"#),
            [text(b"AB\n'"), text(b"ab"), text(b"x]]"), Token::End]
        );
    }

    #[test]
    fn comments_and_marks_are_told_apart() {
        let marks = ["-", "...", "..", "::", "."].map(Token::Mark);
        let found = kinds("- --[[ long\n]] ... -- short\n.. :: .");
        assert_eq!(found[..5], marks);
    }

    #[test]
    fn numbers_are_those_of_luajit() {
        for good in [
            "1", "0x10", "1e-5", ".5", "3.", "0xA.8p1", "12ULL", "2LL", "3i",
        ] {
            assert_eq!(kinds(good)[0], Token::Number, "{good}");
        }
        for bad in ["1x", "0x", "1e", "3..2", "0xg"] {
            assert!(tokens(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_never_closed_is_told_where_it_began() {
        for source in ["x = 'abc", "x = [[abc", "x = --[[abc"] {
            let error = tokens(source.as_bytes()).expect_err("it is not closed");
            assert_eq!(error.at, 4, "{source}");
        }
    }
}

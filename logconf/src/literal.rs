//! Python literals, as in `args=('etherws.log', 'a', 10*1024*1024)`.
//!
//! Python evaluates these lines; here only products of numbers are. What is not a
//! literal, or a name that a handler takes, is an error.

use std::fmt;

use anyhow::{Context as _, bail};

/// No handler needs more than a tuple in a tuple; the limit keeps a hostile file from
/// overflowing the stack.
const MAX_DEPTH: usize = 4;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Literal {
    None,
    Bool(bool),
    Int(i64),
    Str(String),
    /// A dotted name, such as `sys.stderr`, for the handler to understand.
    Name(String),
    Tuple(Vec<Literal>),
    /// Of strings as keys, as in `kwargs={'maxBytes': 1000}`.
    Dict(Vec<(String, Literal)>),
}

impl Literal {
    /// # Errors
    /// Anything that is not one literal and nothing else.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut parser = Parser { rest: text.trim() };
        let value = parser.product(MAX_DEPTH)?;
        if !parser.rest.is_empty() {
            bail!("unexpected {:?} after the value", parser.rest);
        }
        Ok(value)
    }
}

impl fmt::Display for Literal {
    /// As Python writes it, for errors.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Str(value) => write!(f, "'{}'", value.escape_default()),
            Self::Name(name) => f.write_str(name),
            Self::Tuple(values) => {
                f.write_str("(")?;
                values.iter().try_for_each(|value| write!(f, "{value},"))?;
                f.write_str(")")
            }
            Self::Dict(items) => {
                f.write_str("{")?;
                items.iter().try_for_each(|(key, value)| write!(f, "'{key}': {value},"))?;
                f.write_str("}")
            }
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// Takes `token` and the blanks after it, if it is next.
    fn take(&mut self, token: char) -> bool {
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        self.rest = rest.trim_start();
        true
    }

    /// Takes what `belongs`, and the blanks after it.
    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|char| !belongs(char)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        token
    }

    /// A value, or numbers with `*` between them.
    fn product(&mut self, depth: usize) -> anyhow::Result<Literal> {
        let mut value = self.value(depth)?;
        while self.take('*') {
            let (Literal::Int(left), Literal::Int(right)) = (value, self.value(depth)?) else {
                bail!("only numbers may be multiplied");
            };
            value = Literal::Int(left.checked_mul(right).context("the product is too large")?);
        }
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> anyhow::Result<Literal> {
        match self.rest.chars().next() {
            None => bail!("a value is missing"),
            Some('(' | '{') if depth == 0 => bail!("brackets are nested too deeply"),
            Some('(') => self.tuple(depth - 1),
            Some('{') => self.dict(depth - 1),
            Some('\'' | '"') => self.string(false).map(Literal::Str),
            Some('-' | '+' | '0'..='9') => self.number(),
            Some(char) if char == '_' || char.is_ascii_alphabetic() => self.name(),
            Some(char) => bail!("unexpected {char:?}; expected a string, number, name or tuple"),
        }
    }

    fn tuple(&mut self, depth: usize) -> anyhow::Result<Literal> {
        self.take('(');
        let mut values = Vec::new();
        loop {
            if self.take(')') {
                return Ok(Literal::Tuple(values));
            }
            values.push(self.product(depth)?);
            if !self.take(',') {
                if !self.take(')') {
                    bail!("a comma or ) is missing before {:?}", self.rest);
                }
                // (x) is x; (x,) is a tuple.
                return Ok(match <[Literal; 1]>::try_from(values) {
                    Ok([value]) => value,
                    Err(values) => Literal::Tuple(values),
                });
            }
        }
    }

    fn dict(&mut self, depth: usize) -> anyhow::Result<Literal> {
        self.take('{');
        let mut items = Vec::new();
        loop {
            if self.take('}') {
                return Ok(Literal::Dict(items));
            }
            let Literal::Str(key) = self.value(0)? else { bail!("a key is not a string") };
            if !self.take(':') {
                bail!("a colon is missing after {key:?}");
            }
            items.push((key, self.product(depth)?));
            if !self.take(',') && !self.rest.starts_with('}') {
                bail!("a comma or }} is missing before {:?}", self.rest);
            }
        }
    }

    fn string(&mut self, raw: bool) -> anyhow::Result<String> {
        let mut chars = self.rest.chars();
        let quote = chars.next();
        let mut value = String::new();
        loop {
            match chars.next() {
                None => bail!("a string has no closing quote"),
                char if char == quote => break,
                Some('\\') if raw => {
                    value.push('\\');
                    value.extend(chars.next());
                }
                Some('\\') => match chars.next() {
                    Some(char @ ('\\' | '\'' | '"')) => value.push(char),
                    Some('n') => value.push('\n'),
                    Some('r') => value.push('\r'),
                    Some('t') => value.push('\t'),
                    other => bail!(
                        "unknown escape \\{} in a string; use \\\\ \\' \\\" \\n \\r or \\t",
                        other.unwrap_or(' ')
                    ),
                },
                Some(char) => value.push(char),
            }
        }
        self.rest = chars.as_str().trim_start();
        Ok(value)
    }

    fn number(&mut self) -> anyhow::Result<Literal> {
        let token = self.take_while(|char| char.is_ascii_alphanumeric() || "+-._".contains(char));
        let number = token.replace('_', "");
        let value = number.parse().with_context(|| format!("{token} is not a whole number"))?;
        Ok(Literal::Int(value))
    }

    fn name(&mut self) -> anyhow::Result<Literal> {
        let start = self.rest;
        let name = self.take_while(|char| char.is_ascii_alphanumeric() || "._".contains(char));
        Ok(match name {
            "None" => Literal::None,
            "True" => Literal::Bool(true),
            "False" => Literal::Bool(false),
            // The prefix of a string, when its quote follows at once.
            "u" | "U" | "r" | "R" if start[1..].starts_with(['\'', '"']) => {
                Literal::Str(self.string(name.eq_ignore_ascii_case("r"))?)
            }
            _ => Literal::Name(name.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        Literal::{Bool, Dict, Int, Name, None, Str, Tuple},
        *,
    };

    fn text(text: &str) -> Literal {
        Str(text.into())
    }

    #[test]
    fn arguments_as_users_write_them() {
        for (source, value) in [
            ("()", Tuple(vec![])),
            ("(sys.stderr,)", Tuple(vec![Name("sys.stderr".into())])),
            ("( 'a.log' , \"a\", )", Tuple(vec![text("a.log"), text("a")])),
            ("('a', 10*1024 * 1024, -5)", Tuple(vec![text("a"), Int(10_485_760), Int(-5)])),
            ("('a',\n None, True, False)", Tuple(vec![text("a"), None, Bool(true), Bool(false)])),
            (
                "(('localhost', 514), handlers.SysLogHandler.LOG_DAEMON)",
                Tuple(vec![
                    Tuple(vec![text("localhost"), Int(514)]),
                    Name("handlers.SysLogHandler.LOG_DAEMON".into()),
                ]),
            ),
            ("('a')", text("a")),
            (r#"('it\'s \\ "x"\n', r'C:\d', u"é")"#, {
                Tuple(vec![text("it's \\ \"x\"\n"), text(r"C:\d"), text("é")])
            }),
            ("{'maxBytes': 1_000, 'mode': 'w'}", {
                Dict(vec![("maxBytes".into(), Int(1000)), ("mode".into(), text("w"))])
            }),
        ] {
            assert_eq!(Literal::parse(source).unwrap(), value, "{source}");
        }
    }

    #[test]
    fn nothing_is_evaluated() {
        for source in [
            "",
            "(",
            "('a'",
            "('a' 'b')",
            "('a', + 1)",
            "('a', 1.5)",
            "('a', 1 + 1)",
            "(os.path.join('a', 'b'),)",
            "(open('x'),)",
            "('a' * 3)",
            "(9223372036854775807 * 2,)",
            "(99999999999999999999,)",
            r"('\x41',)",
            "('a',) trailing",
            "[1]",
            "{1: 2}",
            "{'a' 1}",
            "(((((((1)))))))",
        ] {
            assert!(Literal::parse(source).is_err(), "{source}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(source in "([(){},:'\"\\\\ur*0-9a-z. -]|\\PC)*") {
            let _ = Literal::parse(&source);
        }

        #[test]
        fn any_string_comes_through(string: String) {
            let source = string.replace('\\', r"\\").replace('\'', r"\'");
            prop_assert_eq!(Literal::parse(&format!("('{source}',)")).unwrap(), Tuple(vec![Str(string)]));
        }
    }
}

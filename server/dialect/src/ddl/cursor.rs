//! A place in the tokens of one DDL statement, and the small words of the grammar: names, literals, lists.

use std::collections::BTreeMap;

use owlake_catalog::names::{self, NameOf};
use owlake_fault::Location;

use super::lexer::{Kind, Token, tokenize};
use crate::DialectError;
use crate::pattern::NamePattern;
use crate::statement::{DatabaseName, PartitionSpec, TableName};

pub(super) struct Cursor {
    tokens: Vec<Token>,
    at: usize,
}

impl Cursor {
    pub(super) fn new(text: &str) -> Self {
        Self {
            tokens: tokenize(text),
            at: 0,
        }
    }

    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).or(self.tokens.last())
    }

    pub(super) fn peek(&self) -> &Kind {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> &Kind {
        self.token(ahead).map_or(&Kind::End, |t| &t.kind)
    }

    pub(super) fn location(&self) -> Location {
        self.token(0)
            .map_or(Location { line: 1, column: 1 }, |t| t.location)
    }

    /// Byte offset of the next token.
    pub(super) fn offset(&self) -> usize {
        self.token(0).map_or(0, |t| t.start)
    }

    /// Takes the next token; the last one stays.
    pub(super) fn advance(&mut self) -> Kind {
        let kind = self.peek().clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        kind
    }

    /// Whether the next tokens are these bare words.
    pub(super) fn at_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, expected)| {
            matches!(self.peek_at(i), Kind::Word(word) if word.eq_ignore_ascii_case(expected))
        })
    }

    /// Takes these bare words when they come next.
    pub(super) fn accept(&mut self, words: &[&str]) -> bool {
        let there = self.at_words(words);
        if there {
            for _ in words {
                self.advance();
            }
        }
        there
    }

    pub(super) fn expect(&mut self, words: &[&str]) -> Result<(), DialectError> {
        for word in words {
            if !self.accept(&[word]) {
                return Err(self.unexpected(word));
            }
        }
        Ok(())
    }

    pub(super) fn accept_symbol(&mut self, symbol: char) -> bool {
        let there = *self.peek() == Kind::Symbol(symbol);
        if there {
            self.advance();
        }
        there
    }

    pub(super) fn expect_symbol(&mut self, symbol: char) -> Result<(), DialectError> {
        if self.accept_symbol(symbol) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("'{symbol}'")))
        }
    }

    /// An optional `;` and then the end of the text.
    pub(super) fn finish(&mut self) -> Result<(), DialectError> {
        while self.accept_symbol(';') {
            if !matches!(self.peek(), Kind::End | Kind::Symbol(';')) {
                return Err(DialectError::syntax(
                    "only one statement can be sent at a time",
                    self.location(),
                )
                .with_hint("Send the statements one by one."));
            }
        }
        match self.peek() {
            Kind::End => Ok(()),
            _ => Err(self.unexpected("the end of the statement")),
        }
    }

    /// `mismatched input 'x', expecting ...`, in Athena's words.
    pub(super) fn unexpected(&self, expected: &str) -> DialectError {
        let found = match self.peek() {
            Kind::Broken(what) => return DialectError::syntax(*what, self.location()),
            Kind::End => "<EOF>".to_owned(),
            Kind::Word(text) | Kind::Number(text) => shown(text),
            Kind::Backtick(text) => format!("`{}`", shown(text)),
            Kind::Single(text) => format!("'{}'", shown(text)),
            Kind::Double(text) => format!("\"{}\"", shown(text)),
            Kind::Symbol(c) if c.is_control() => format!("U+{:04X}", u32::from(*c)),
            Kind::Symbol(c) => c.to_string(),
        };
        DialectError::syntax(
            format!("mismatched input {found}, expecting {expected}"),
            self.location(),
        )
    }

    /// One identifier, lower case.
    pub(super) fn identifier(&mut self, what: &str) -> Result<String, DialectError> {
        match self.peek() {
            Kind::Word(_) | Kind::Backtick(_) => match self.advance() {
                Kind::Word(name) | Kind::Backtick(name) => Ok(name.to_lowercase()),
                _ => Err(self.unexpected(what)),
            },
            Kind::Double(name) => {
                let error = self.unexpected(what);
                Err(error.with_hint(format!("DDL quotes names with backticks: `{}`.", shown(name))))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// `a`, `a.b` or `a.b.c`, each with its place.
    fn parts(&mut self, what: &str, most: usize) -> Result<Vec<(String, Location)>, DialectError> {
        let mut parts = Vec::new();
        loop {
            let location = self.location();
            parts.push((self.identifier(what)?, location));
            if !self.accept_symbol('.') {
                return Ok(parts);
            }
            if parts.len() == most {
                return Err(DialectError::syntax(
                    format!("a {what} has at most {most} parts"),
                    self.location(),
                ));
            }
        }
    }

    pub(super) fn table_name(&mut self) -> Result<TableName, DialectError> {
        let mut parts = self.parts("table name", 3)?;
        // SHOW CREATE TABLE writes both names between one pair of backticks.
        if let [(both, place)] = parts.as_slice()
            && let Some((database, name)) = both.split_once('.')
        {
            parts = vec![(database.to_owned(), *place), (name.to_owned(), *place)];
        }
        let mut parts = parts.into_iter().rev();
        let name = checked(NameOf::Table, parts.next())?;
        let database = parts.next().map(|(name, _)| name);
        Ok(TableName {
            catalog: parts.next().map(|(name, _)| name),
            database,
            name,
        })
    }

    pub(super) fn database_name(&mut self) -> Result<DatabaseName, DialectError> {
        let mut parts = self.parts("database name", 2)?.into_iter().rev();
        let name = parts.next().map(|(name, _)| name).unwrap_or_default();
        Ok(DatabaseName {
            catalog: parts.next().map(|(name, _)| name),
            name,
        })
    }

    /// A column's name, checked by the catalog's rules.
    pub(super) fn column_name(&mut self) -> Result<String, DialectError> {
        let location = self.location();
        let name = self.identifier("a column name")?;
        checked(NameOf::Column, Some((name, location)))
    }

    pub(super) fn literal(&mut self, what: &str) -> Result<String, DialectError> {
        match self.peek() {
            Kind::Single(_) | Kind::Double(_) => match self.advance() {
                Kind::Single(text) | Kind::Double(text) => Ok(text),
                _ => Err(self.unexpected(what)),
            },
            _ => Err(self.unexpected(what)),
        }
    }

    /// `LIKE 'p'` in Hive's pattern language; `bare` also takes `'p'` alone.
    pub(super) fn hive_pattern(&mut self, bare: bool) -> Result<Option<NamePattern>, DialectError> {
        let quoted = bare && matches!(self.peek(), Kind::Single(_) | Kind::Double(_));
        if !quoted && !self.accept(&["LIKE"]) {
            return Ok(None);
        }
        let location = self.location();
        let text = self.literal("a pattern in quotes")?;
        let pattern = NamePattern::hive(&text).map_err(|why| {
            DialectError::syntax(
                format!("pattern '{}' cannot be used: {why}", shown(&text)),
                location,
            )
        })?;
        Ok(Some(pattern))
    }

    /// `('key' = 'value', ...)`
    pub(super) fn properties(&mut self) -> Result<BTreeMap<String, String>, DialectError> {
        let mut properties = BTreeMap::new();
        self.expect_symbol('(')?;
        loop {
            let location = self.location();
            let key = self.literal("a property name in quotes")?;
            self.expect_symbol('=')?;
            let value = self.literal("a property value in quotes")?;
            if properties.contains_key(&key) {
                return Err(DialectError::syntax(
                    format!("property '{}' is there twice", shown(&key)),
                    location,
                ));
            }
            properties.insert(key, value);
            if !self.accept_symbol(',') {
                break;
            }
        }
        self.expect_symbol(')')?;
        Ok(properties)
    }

    /// `PARTITION (k = 'v', ...)`, the word included; values as text.
    pub(super) fn partition_spec(&mut self) -> Result<PartitionSpec, DialectError> {
        self.expect(&["PARTITION"])?;
        self.expect_symbol('(')?;
        let mut values: Vec<(String, String)> = Vec::new();
        loop {
            let location = self.location();
            let column = self.column_name()?;
            if values.iter().any(|(known, _)| *known == column) {
                return Err(DialectError::syntax(
                    format!("partition column `{column}` is there twice"),
                    location,
                ));
            }
            if let Kind::Symbol('<' | '>' | '!') = self.peek() {
                return Err(self
                    .unexpected("'='")
                    .with_hint("Partitions are named by exact values; ranges are not possible."));
            }
            self.expect_symbol('=')?;
            values.push((column, self.partition_value()?));
            if !self.accept_symbol(',') {
                break;
            }
        }
        self.expect_symbol(')')?;
        Ok(PartitionSpec {
            values,
            location: None,
        })
    }

    fn partition_value(&mut self) -> Result<String, DialectError> {
        // DATE '2024-01-01' and TIMESTAMP '...' mean the text itself.
        if (self.at_words(&["DATE"]) || self.at_words(&["TIMESTAMP"]))
            && matches!(self.peek_at(1), Kind::Single(_) | Kind::Double(_))
        {
            self.advance();
        }
        let minus = if self.accept_symbol('-') { "-" } else { "" };
        let value = match self.peek() {
            Kind::Number(text) => format!("{minus}{text}"),
            Kind::Word(word) if minus.is_empty() => match word.to_ascii_lowercase() {
                word if word == "true" || word == "false" => word,
                _ => return Err(self.unexpected("a partition value in quotes")),
            },
            Kind::Single(text) | Kind::Double(text) if minus.is_empty() => text.clone(),
            _ => return Err(self.unexpected("a partition value in quotes")),
        };
        if value.is_empty() {
            return Err(DialectError::syntax(
                "a partition value cannot be empty",
                self.location(),
            ));
        }
        self.advance();
        Ok(value)
    }
}

fn checked(what: NameOf, part: Option<(String, Location)>) -> Result<String, DialectError> {
    let Some((name, location)) = part else {
        return Ok(String::new());
    };
    names::normalize(what, &name).map_err(|source| DialectError::Definition {
        source,
        location: Some(location),
    })
}

/// At most 60 characters of the client's own text, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    if text.chars().count() > 60 {
        shown.push_str("...");
    }
    shown
}

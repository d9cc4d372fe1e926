//! Hive type text to [`HiveType`]: a recursive-descent reader with a depth limit.

use std::collections::HashSet;

use super::{HiveType, MAX_DECIMAL_PRECISION, MAX_TYPE_CHARS, MAX_TYPE_DEPTH, StructField};
use crate::error::CatalogError;

/// Characters of the refused text that a message repeats.
const SHOWN_CHARS: usize = 120;

impl HiveType {
    /// Reads Hive type text, in any letter case, with white space anywhere between its parts.
    ///
    /// Field names of a struct may stand between backticks, and without them may have any character
    /// but `<>,:` and backticks, as Glue's crawlers write them; `COMMENT '...'` is skipped.
    /// `CatalogError::HiveType` says what is wrong and at which character.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let refuse = |reason: String| {
            let mut shown: String = text
                .chars()
                .filter(|c| !c.is_control())
                .take(SHOWN_CHARS)
                .collect();
            if text.chars().count() > SHOWN_CHARS {
                shown.push_str("...");
            }
            CatalogError::HiveType { text: shown, reason }
        };
        // Bytes bound characters from above: most texts need no counting.
        if text.len() > MAX_TYPE_CHARS && text.chars().count() > MAX_TYPE_CHARS {
            return Err(refuse(format!("it is longer than {MAX_TYPE_CHARS} characters")));
        }
        let mut reader = Reader { text, at: 0 };
        let parsed = reader.type_at(1).and_then(|parsed| {
            reader.skip_space();
            match reader.peek() {
                None => Ok(parsed),
                Some(_) => Err(reader.wrong("expected the end")),
            }
        });
        parsed.map_err(|Wrong { at, reason }| {
            refuse(format!(
                "{reason} at character {}",
                text[..at].chars().count() + 1
            ))
        })
    }
}

/// What is wrong, and the byte where.
struct Wrong {
    at: usize,
    reason: String,
}

struct Reader<'a> {
    text: &'a str,
    /// Byte offset, always at a character boundary.
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip_space(&mut self) {
        self.take_while(char::is_whitespace);
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let taken = &rest[..rest.find(|c| !keep(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn wrong(&self, reason: impl Into<String>) -> Wrong {
        Wrong {
            at: self.at,
            reason: reason.into(),
        }
    }

    /// Skips space and takes `c` where it stands there.
    fn accept(&mut self, c: char) -> bool {
        self.skip_space();
        let there = self.peek() == Some(c);
        if there {
            self.at += c.len_utf8();
        }
        there
    }

    fn expect(&mut self, c: char) -> Result<(), Wrong> {
        if self.accept(c) {
            Ok(())
        } else {
            Err(self.wrong(format!("expected `{c}`")))
        }
    }

    fn type_at(&mut self, depth: usize) -> Result<HiveType, Wrong> {
        self.skip_space();
        let start = self.at;
        if depth > MAX_TYPE_DEPTH {
            return Err(self.wrong(format!("it is nested deeper than {MAX_TYPE_DEPTH}")));
        }
        let word = self
            .take_while(|c| c.is_ascii_alphanumeric() || c == '_')
            .to_ascii_lowercase();
        Ok(match word.as_str() {
            "boolean" => HiveType::Boolean,
            "tinyint" => HiveType::TinyInt,
            "smallint" => HiveType::SmallInt,
            "int" | "integer" => HiveType::Int,
            "bigint" => HiveType::BigInt,
            "float" => HiveType::Float,
            "double" => HiveType::Double,
            "string" => HiveType::String,
            "binary" => HiveType::Binary,
            "date" => HiveType::Date,
            "timestamp" => HiveType::Timestamp,
            "decimal" => self.decimal()?,
            "char" => HiveType::Char(self.length(u8::MAX)?),
            "varchar" => HiveType::Varchar(self.length(u16::MAX)?),
            "array" => {
                self.expect('<')?;
                let element = self.type_at(depth + 1)?;
                self.expect('>')?;
                HiveType::Array(Box::new(element))
            }
            "map" => self.map(depth)?,
            "struct" => self.fields(depth)?,
            "" => {
                return Err(Wrong {
                    at: start,
                    reason: "expected a type".to_owned(),
                });
            }
            other => {
                let shown: String = other.chars().take(40).collect();
                return Err(Wrong {
                    at: start,
                    reason: format!("unknown type `{shown}`"),
                });
            }
        })
    }

    /// `(p[,s])` after `decimal`; nothing is `(10,0)`, as in Hive.
    fn decimal(&mut self) -> Result<HiveType, Wrong> {
        if !self.accept('(') {
            return Ok(HiveType::Decimal {
                precision: 10,
                scale: 0,
            });
        }
        let precision = self.number("precision", 1, MAX_DECIMAL_PRECISION)?;
        let scale = if self.accept(',') {
            self.number("scale", 0, precision)?
        } else {
            0
        };
        self.expect(')')?;
        Ok(HiveType::Decimal { precision, scale })
    }

    fn length<N: TryFrom<u32> + Into<u32> + Copy>(&mut self, max: N) -> Result<N, Wrong> {
        self.expect('(')?;
        let length = self.number("length", 1, max)?;
        self.expect(')')?;
        Ok(length)
    }

    fn number<N: TryFrom<u32> + Into<u32> + Copy>(
        &mut self,
        what: &str,
        min: u32,
        max: N,
    ) -> Result<N, Wrong> {
        self.skip_space();
        let start = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit());
        let max = max.into();
        let value = digits.parse::<u32>().ok().filter(|n| (min..=max).contains(n));
        value.and_then(|n| N::try_from(n).ok()).ok_or_else(|| Wrong {
            at: start,
            reason: format!("expected a {what} from {min} to {max}"),
        })
    }

    fn map(&mut self, depth: usize) -> Result<HiveType, Wrong> {
        self.expect('<')?;
        self.skip_space();
        let at = self.at;
        let key = self.type_at(depth + 1)?;
        if !key.is_primitive() {
            return Err(Wrong {
                at,
                reason: "a map's key must be a primitive type".to_owned(),
            });
        }
        self.expect(',')?;
        let value = self.type_at(depth + 1)?;
        self.expect('>')?;
        Ok(HiveType::Map(Box::new(key), Box::new(value)))
    }

    fn fields(&mut self, depth: usize) -> Result<HiveType, Wrong> {
        self.expect('<')?;
        let mut fields = Vec::new();
        let mut names = HashSet::new();
        loop {
            self.skip_space();
            let at = self.at;
            let name = self.field_name()?.to_lowercase();
            if !names.insert(name.clone()) {
                return Err(Wrong {
                    at,
                    reason: "a field name is there twice".to_owned(),
                });
            }
            self.expect(':')?;
            let data_type = self.type_at(depth + 1)?;
            self.comment()?;
            fields.push(StructField { name, data_type });
            if !self.accept(',') {
                break;
            }
        }
        self.expect('>')?;
        Ok(HiveType::Struct(fields))
    }

    fn field_name(&mut self) -> Result<String, Wrong> {
        let start = self.at;
        let name = if self.accept('`') {
            let mut name = String::new();
            loop {
                match self.next() {
                    Some('`') if self.peek() == Some('`') => {
                        self.at += 1;
                        name.push('`');
                    }
                    Some('`') => break name,
                    Some(c) => name.push(c),
                    None => {
                        return Err(Wrong {
                            at: start,
                            reason: "a backtick is not closed".to_owned(),
                        });
                    }
                }
            }
        } else {
            self.take_while(|c| !matches!(c, '<' | '>' | ',' | ':' | '`'))
                .trim_end()
                .to_owned()
        };
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Wrong {
                at: start,
                reason: "expected a field name".to_owned(),
            });
        }
        Ok(name)
    }

    /// Skips `COMMENT '...'` (either quote, backslash escapes, adjacent texts are one).
    fn comment(&mut self) -> Result<(), Wrong> {
        self.skip_space();
        let start = self.at;
        let word = self.take_while(|c| c.is_ascii_alphabetic());
        if !word.eq_ignore_ascii_case("comment") {
            self.at = start;
            return Ok(());
        }
        self.skip_space();
        let mut any = false;
        while let Some(quote @ ('\'' | '"')) = self.peek() {
            self.at += 1;
            loop {
                match self.next() {
                    Some('\\') => drop(self.next()),
                    Some(c) if c == quote => break,
                    Some(_) => {}
                    None => {
                        return Err(Wrong {
                            at: start,
                            reason: "a comment is not closed".to_owned(),
                        });
                    }
                }
            }
            any = true;
            self.skip_space();
        }
        if any {
            Ok(())
        } else {
            Err(self.wrong("expected the comment's text between quotes"))
        }
    }
}

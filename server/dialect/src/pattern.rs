//! Patterns of SHOW ... LIKE: Hive's (`*`, `.*`, `|`) and SQL's (`%`, `_`).

use std::fmt;

use regex::{Regex, RegexBuilder};

/// Compiled size that a pattern may reach; far above any list of names, far below harm.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A compiled name pattern; matches whole names, case does not count.
#[derive(Clone)]
pub struct NamePattern {
    text: String,
    regex: Regex,
}

impl NamePattern {
    /// Hive's pattern: `|` separates alternatives, `*` is any text, the rest is a regular expression.
    ///
    /// # Errors
    /// The reason, when the text is no regular expression.
    pub fn hive(text: &str) -> Result<Self, String> {
        let mut regex = String::with_capacity(text.len() + 8);
        let mut before = None;
        for c in text.chars() {
            match c {
                // `.*` is a regular expression already; a lone `*` is a glob.
                '*' if before != Some('.') => regex.push_str(".*"),
                _ => regex.push(c),
            }
            before = Some(c);
        }
        Self::compile(text, &regex)
    }

    /// SQL's LIKE pattern: `%` is any text, `_` one character, `escape` takes their meaning away.
    ///
    /// # Errors
    /// The reason, when the escape character stands before something else or at the end.
    pub fn sql_like(text: &str, escape: Option<char>) -> Result<Self, String> {
        let mut regex = String::with_capacity(text.len() + 8);
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                c if Some(c) == escape => match chars.next() {
                    Some(next) if next == '%' || next == '_' || Some(next) == escape => {
                        regex.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
                    }
                    _ => return Err("the escape character must be followed by '%', '_' or itself".to_owned()),
                },
                '%' => regex.push_str(".*"),
                '_' => regex.push('.'),
                c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            }
        }
        Self::compile(text, &regex)
    }

    fn compile(text: &str, regex: &str) -> Result<Self, String> {
        let build = |regex: &str| {
            RegexBuilder::new(regex)
                .case_insensitive(true)
                .dot_matches_new_line(true)
                .size_limit(MAX_COMPILED_BYTES)
                .build()
                .map_err(|_| "it is not a regular expression, or too large a one".to_owned())
        };
        // Alone first: `)|(` would be one only inside our brackets.
        build(regex)?;
        Ok(Self {
            text: text.to_owned(),
            regex: build(&format!("^(?:{regex})$"))?,
        })
    }

    /// Whether `name` as a whole matches.
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamePattern").field(&self.text).finish()
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.regex.as_str() == other.regex.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hive_patterns_know_globs_alternatives_and_regular_expressions() {
        for (pattern, name, expected) in [
            ("*logs", "web_logs", true),
            (".*logs", "web_logs", true),
            ("logs", "web_logs", false),
            ("a*|b*", "bee", true),
            ("a*|b*", "cee", false),
            ("WEB_*", "web_logs", true),
            ("[ab]x", "bx", true),
            ("t[0-9]*", "t", false),
        ] {
            assert_eq!(
                NamePattern::hive(pattern).unwrap().matches(name),
                expected,
                "{pattern} {name}"
            );
        }
        assert!(NamePattern::hive("(").is_err());
        assert!(NamePattern::hive(")|(").is_err());
        assert!(NamePattern::hive("(((a{100}){100}){100}){100}").is_err());
    }

    #[test]
    fn sql_patterns_know_percent_underscore_and_escape() {
        for (pattern, escape, name, expected) in [
            ("max%", None, "max_rows", true),
            ("m_x", None, "max", true),
            ("m_x", None, "maxx", false),
            ("m.x", None, "max", false),
            ("m!_x", Some('!'), "max", false),
            ("m!_x", Some('!'), "m_x", true),
        ] {
            assert_eq!(
                NamePattern::sql_like(pattern, escape).unwrap().matches(name),
                expected,
                "{pattern} {name}"
            );
        }
        assert!(NamePattern::sql_like("m!", Some('!')).is_err());
    }
}

//! Cuts a script into statements at `;`, aware of quotes and comments. It does not parse SQL.
//!
//! One rule depends on the statement: Hive DDL escapes with a backslash inside strings (`'\''`), Trino queries do not
//! (`'\'` is one backslash). The first words decide; `AS` ends the Hive part of a CREATE TABLE.

/// One statement of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Text without the `;` and without white space around it.
    pub text: &'a str,
    /// Line of the script where the text starts, from 1.
    pub line: usize,
}

/// The statements of a script, in order. Pieces of nothing but white space and comments are left out; a last piece
/// without `;` is a statement.
pub fn split(script: &str) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    let mut scanner = Scanner::new(script);
    let mut start = 0;
    loop {
        let piece = scanner.piece();
        let text = script.get(start..piece.end).unwrap_or_default();
        if piece.has_content {
            let blank = text.len() - text.trim_start().len();
            let before = script.get(..start + blank).unwrap_or_default();
            let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
            statements.push(Statement {
                text: text.trim(),
                line,
            });
        }
        if !piece.terminated {
            return statements;
        }
        start = piece.end + 1;
    }
}

/// Whether a text ends a statement: the REPL runs it instead of asking for more. Empty texts are complete.
pub fn is_complete(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    loop {
        let piece = scanner.piece();
        if !piece.terminated {
            return !piece.has_content && !piece.open;
        }
    }
}

struct Piece {
    /// Byte offset of the `;`, or the end of the text.
    end: usize,
    terminated: bool,
    has_content: bool,
    /// The text ends inside a quote or block comment.
    open: bool,
}

/// Which words were seen; decides whether a backslash escapes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    Nothing,
    Create,
    Hive,
    Trino,
}

impl Words {
    fn after(self, word: &str) -> Self {
        let is = |words: &[&str]| words.iter().any(|candidate| word.eq_ignore_ascii_case(candidate));
        match self {
            Self::Nothing if is(&["create"]) => Self::Create,
            Self::Nothing if is(&["alter", "drop", "msck", "show", "describe", "desc"]) => Self::Hive,
            Self::Create if is(&["table", "external", "database", "schema"]) => Self::Hive,
            Self::Nothing | Self::Create => Self::Trino,
            Self::Hive if is(&["as"]) => Self::Trino,
            Self::Hive | Self::Trino => self,
        }
    }
}

struct Scanner<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn piece(&mut self) -> Piece {
        let mut words = Words::Nothing;
        let mut has_content = false;
        let mut open = false;
        while let Some(letter) = self.rest().chars().next() {
            let rest = self.rest();
            if letter == ';' {
                let end = self.position;
                self.position += 1;
                return Piece {
                    end,
                    terminated: true,
                    has_content,
                    open: false,
                };
            } else if rest.starts_with("--") {
                self.position += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let end = rest.get(2..).and_then(|rest| rest.find("*/"));
                open = end.is_none();
                self.position += end.map_or(rest.len(), |end| end + 4);
            } else if matches!(letter, '\'' | '"' | '`') {
                has_content = true;
                let escapes = words == Words::Hive && letter != '`';
                open = !self.quoted(letter, escapes);
            } else if letter.is_alphanumeric() || letter == '_' {
                has_content = true;
                let end = rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                words = words.after(rest.get(..end).unwrap_or_default());
                self.position += end;
            } else {
                has_content |= !letter.is_whitespace();
                self.position += letter.len_utf8();
            }
        }
        Piece {
            end: self.text.len(),
            terminated: false,
            has_content,
            open,
        }
    }

    /// Passes a quoted text; whether it is closed. A doubled quote is passed as two quoted texts, which comes to the
    /// same.
    fn quoted(&mut self, quote: char, escapes: bool) -> bool {
        self.position += 1;
        let mut escaped = false;
        for (offset, letter) in self.rest().char_indices() {
            if escaped {
                escaped = false;
            } else if letter == '\\' && escapes {
                escaped = true;
            } else if letter == quote {
                self.position += offset + 1;
                return true;
            }
        }
        self.position = self.text.len();
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<&str> {
        split(script)
            .into_iter()
            .map(|statement| statement.text)
            .collect()
    }

    #[test]
    fn statements_end_at_semicolons_and_the_last_needs_none() {
        assert_eq!(
            texts("SELECT 1; SELECT 2 ;\n\nSELECT 3"),
            ["SELECT 1", "SELECT 2", "SELECT 3"]
        );
        assert_eq!(texts(";; ; \n"), [""; 0]);
        assert_eq!(texts(""), [""; 0]);
    }

    #[test]
    fn semicolons_in_quotes_and_comments_do_not_count() {
        for script in [
            "SELECT ';', 'it''s;'",
            "SELECT \"a;\"\"b\"",
            "SELECT `a;b`",
            "SELECT 1 -- one; two\n + 2",
            "SELECT /* ; -- ' */ 1",
            "SELECT 'é;', 1 - 2 / 3",
            "SELECT '--;' , '/*;'",
        ] {
            assert_eq!(texts(script), [script], "{script}");
        }
    }

    #[test]
    fn comments_alone_are_no_statement_but_stay_with_one() {
        assert_eq!(texts("-- nothing\n; /* here */ ;"), [""; 0]);
        assert_eq!(texts("SELECT 1; -- done"), ["SELECT 1"]);
        assert_eq!(texts("-- why\nSELECT 1;"), ["-- why\nSELECT 1"]);
    }

    #[test]
    fn a_backslash_escapes_in_hive_ddl_only() {
        assert_eq!(texts(r"SELECT '\'; SELECT 2"), [r"SELECT '\'", "SELECT 2"]);
        let ddl = r"CREATE EXTERNAL TABLE t (a string COMMENT 'it\'s; so')";
        assert_eq!(texts(ddl), [ddl]);
        let ddl = r"ALTER TABLE t SET TBLPROPERTIES ('a' = '\';')";
        assert_eq!(texts(ddl), [ddl]);
        assert_eq!(texts(r"CREATE TABLE t AS SELECT '\'; SELECT 2").len(), 2);
        assert_eq!(texts(r"CREATE VIEW v AS SELECT '\'; SELECT 2").len(), 2);
        assert_eq!(texts("-- create table"), [""; 0]);
    }

    #[test]
    fn lines_are_those_of_the_script() {
        let lines: Vec<_> = split("SELECT 1;\n\n  SELECT\n2; SELECT 3")
            .iter()
            .map(|s| s.line)
            .collect();
        assert_eq!(lines, [1, 3, 4]);
    }

    #[test]
    fn a_text_is_complete_after_its_semicolon() {
        for text in [
            "",
            "  \n",
            "SELECT 1;",
            "SELECT 1; -- x",
            "SELECT 1; SELECT 2;\n",
            "-- x",
        ] {
            assert!(is_complete(text), "{text:?}");
        }
        for text in [
            "SELECT 1",
            "SELECT ';",
            "SELECT 1; SELECT 2",
            "SELECT /* ;",
            "SELECT 1; /* x",
            "/*",
        ] {
            assert!(!is_complete(text), "{text:?}");
        }
    }
}

//! Tokens of Hive DDL: words, backtick names, string literals, numbers, single characters.
//!
//! Iterative and total: text that cannot be read becomes a final [`Kind::Broken`], met only when a parser gets there.

use owlake_fault::Location;

/// One token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) location: Location,
    /// Byte offset of its first character.
    pub(crate) start: usize,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bare word, as written.
    Word(String),
    /// `` `name` `` with doubled backticks resolved.
    Backtick(String),
    /// `'text'`, escapes resolved.
    Single(String),
    /// `"text"`, escapes resolved: a literal in Hive DDL, an identifier in queries.
    Double(String),
    /// Digits, with a fraction or an exponent.
    Number(String),
    /// Any other character.
    Symbol(char),
    /// The end of the text; its place is just after the token before it.
    End,
    /// A literal or comment that is never closed; the sentence says which.
    Broken(&'static str),
}

/// Splits `text`; the last token is always `End` or `Broken`.
pub(crate) fn tokenize(text: &str) -> Vec<Token> {
    let mut lexer = Lexer::new(text);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next_token();
        if is_word(&token, "ESCAPE") {
            lexer.pattern_in_sql(&mut tokens);
            tokens.push(token);
            tokens.extend(lexer.sql_literal());
            continue;
        }
        let last = matches!(token.kind, Kind::End | Kind::Broken(_));
        tokens.push(token);
        if last {
            return tokens;
        }
    }
}

/// The first word of `text` in upper case, white space and comments skipped; `None` when it starts otherwise.
pub(crate) fn first_word(text: &str) -> Option<String> {
    match Lexer::new(text).next_token().kind {
        Kind::Word(word) => Some(word.to_ascii_uppercase()),
        _ => None,
    }
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(&token.kind, Kind::Word(found) if found.eq_ignore_ascii_case(word))
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u64,
    column: u64,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            column: 1,
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn peek_second(&self) -> Option<char> {
        self.text[self.at..].chars().nth(1)
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn location(&self) -> Location {
        Location {
            line: self.line,
            column: self.column,
        }
    }

    fn next_token(&mut self) -> Token {
        let after_last = self.location();
        let unclosed_comment = self.skip_blank();
        let (start, mut location) = (self.at, self.location());
        let kind = match self.peek() {
            _ if unclosed_comment => Kind::Broken("a comment `/*` is never closed"),
            None => Kind::End,
            Some('`') => self.backtick(),
            Some(quote @ ('\'' | '"')) => self.literal(quote),
            Some(c) if c.is_ascii_digit() => self.number_or_word(start),
            Some(c) if is_word_char(c) => {
                self.take_while(is_word_char);
                Kind::Word(self.text[start..self.at].to_owned())
            }
            Some(c) => {
                self.bump();
                Kind::Symbol(c)
            }
        };
        if kind == Kind::End {
            location = after_last;
        }
        Token {
            kind,
            location,
            start,
        }
    }

    /// Skips white space and comments; true when a block comment is never closed.
    fn skip_blank(&mut self) -> bool {
        loop {
            match (self.peek(), self.peek_second()) {
                (Some(c), _) if c.is_whitespace() || c == '\u{feff}' => {
                    self.bump();
                }
                (Some('-'), Some('-')) => self.take_while(|c| c != '\n'),
                (Some('/'), Some('*')) => {
                    self.bump();
                    self.bump();
                    loop {
                        match self.bump() {
                            Some('*') if self.peek() == Some('/') => {
                                self.bump();
                                break;
                            }
                            Some(_) => {}
                            None => return true,
                        }
                    }
                }
                _ => return false,
            }
        }
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&keep) {
            self.bump();
        }
    }

    fn backtick(&mut self) -> Kind {
        self.bump();
        let mut name = String::new();
        loop {
            match self.bump() {
                Some('`') if self.peek() == Some('`') => {
                    self.bump();
                    name.push('`');
                }
                Some('`') => return Kind::Backtick(name),
                Some(c) => name.push(c),
                None => return Kind::Broken("a backtick is never closed"),
            }
        }
    }

    /// Hive's string literal; pieces that follow each other without space are one text, as in Hive.
    fn literal(&mut self, quote: char) -> Kind {
        let mut text = String::new();
        while self.peek() == Some(quote) {
            self.bump();
            loop {
                match self.bump() {
                    Some('\\') => match self.escape() {
                        Some(escaped) => text.push_str(&escaped),
                        None => return Kind::Broken("a string literal is never closed"),
                    },
                    Some(c) if c == quote => break,
                    Some(c) => text.push(c),
                    None => return Kind::Broken("a string literal is never closed"),
                }
            }
        }
        if quote == '"' {
            Kind::Double(text)
        } else {
            Kind::Single(text)
        }
    }

    /// What stands for a backslash and its followers: Hive's rules.
    fn escape(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        if let Some(c) = octal(rest).or_else(|| unicode(rest)) {
            let digits = if rest.starts_with('u') { 5 } else { 3 };
            for _ in 0..digits {
                self.bump();
            }
            return Some(c.to_string());
        }
        Some(match self.bump()? {
            '0' => "\0".to_owned(),
            'b' => "\u{8}".to_owned(),
            'n' => "\n".to_owned(),
            'r' => "\r".to_owned(),
            't' => "\t".to_owned(),
            'Z' => "\u{1a}".to_owned(),
            // LIKE patterns need their backslash.
            c @ ('%' | '_') => format!("\\{c}"),
            c => c.to_string(),
        })
    }

    /// `LIKE 'pattern' ESCAPE 'c'` is SQL, where a backslash is a character like any other: reads the pattern again.
    fn pattern_in_sql(&self, tokens: &mut [Token]) {
        let [.., like, pattern] = tokens else {
            return;
        };
        if !is_word(like, "LIKE") {
            return;
        }
        let mut again = Lexer {
            text: self.text,
            at: pattern.start,
            ..Lexer::new(self.text)
        };
        if let Some(read) = again.sql_literal() {
            pattern.kind = read.kind;
        }
    }

    /// SQL's `'text'` if one comes next: only quotes are doubled in it.
    fn sql_literal(&mut self) -> Option<Token> {
        self.skip_blank();
        if self.peek() != Some('\'') {
            return None;
        }
        let (start, location) = (self.at, self.location());
        let mut text = String::new();
        self.bump();
        let kind = loop {
            match self.bump() {
                Some('\'') if self.peek() == Some('\'') => {
                    self.bump();
                    text.push('\'');
                }
                Some('\'') => break Kind::Single(text),
                Some(c) => text.push(c),
                None => break Kind::Broken("a string literal is never closed"),
            }
        };
        Some(Token {
            kind,
            location,
            start,
        })
    }

    fn number_or_word(&mut self, start: usize) -> Kind {
        self.take_while(|c| c.is_ascii_digit());
        if self.peek() == Some('.') && self.peek_second().is_some_and(|c| c.is_ascii_digit()) {
            self.bump();
            self.take_while(|c| c.is_ascii_digit());
        }
        let rest = &self.text[self.at..];
        if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let count = digits.bytes().take_while(u8::is_ascii_digit).count();
            if count > 0 && !digits[count..].starts_with(is_word_char) {
                while self.text.len() - self.at > digits.len() - count {
                    self.bump();
                }
            }
        }
        if self.peek().is_some_and(is_word_char) {
            // Hive lets a name start with a digit.
            self.take_while(is_word_char);
            return Kind::Word(self.text[start..self.at].to_owned());
        }
        Kind::Number(self.text[start..self.at].to_owned())
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// `ooo` with the first digit 0 or 1.
fn octal(rest: &str) -> Option<char> {
    let digits = rest.get(..3).filter(|d| d.starts_with(['0', '1']))?;
    digits.bytes().all(|b| (b'0'..=b'7').contains(&b)).then_some(())?;
    u32::from_str_radix(digits, 8).ok().and_then(char::from_u32)
}

/// `uXXXX`; a lone surrogate is not a character and stays as written.
fn unicode(rest: &str) -> Option<char> {
    let digits = rest.strip_prefix('u')?.get(..4)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
    u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokenize(text).into_iter().map(|t| t.kind).collect()
    }

    fn word(text: &str) -> Kind {
        Kind::Word(text.to_owned())
    }

    #[test]
    fn comments_and_space_separate_tokens() {
        assert_eq!(
            kinds("a -- no\n/* 'b' */ `c``d`;"),
            [
                word("a"),
                Kind::Backtick("c`d".to_owned()),
                Kind::Symbol(';'),
                Kind::End
            ]
        );
    }

    #[test]
    fn literals_have_hives_escapes() {
        for (text, value) in [
            (r"'\t'", "\t"),
            (r"'\001'", "\u{1}"),
            (r"'\u0041'", "A"),
            (r"'\\s+'", r"\s+"),
            (r"'\%'", r"\%"),
            (r"'it\'s'", "it's"),
            (r"'a''b'", "ab"),
            (r#"'"'"#, "\""),
            (r"'\ud800'", "ud800"),
            ("'ü'", "ü"),
        ] {
            assert_eq!(kinds(text)[0], Kind::Single(value.to_owned()), "{text}");
        }
        assert_eq!(kinds(r#""a\"b""#)[0], Kind::Double("a\"b".to_owned()));
    }

    #[test]
    fn numbers_and_words_that_start_with_digits_are_told_apart() {
        for (text, kind) in [
            ("12", Kind::Number("12".to_owned())),
            ("1.5", Kind::Number("1.5".to_owned())),
            ("1e9", Kind::Number("1e9".to_owned())),
            ("1.5E-3", Kind::Number("1.5E-3".to_owned())),
            ("2024_logs", word("2024_logs")),
            ("1easy", word("1easy")),
        ] {
            assert_eq!(kinds(text), [kind, Kind::End], "{text}");
        }
    }

    #[test]
    fn what_is_never_closed_ends_the_tokens() {
        for text in ["a 'b", "a \"b", "a `b", "a /* b", "a '\\"] {
            assert!(matches!(kinds(text).last(), Some(Kind::Broken(_))), "{text}");
        }
    }

    #[test]
    fn places_count_lines_and_characters() {
        let tokens = tokenize("ä\n  bc d");
        let places: Vec<(u64, u64)> = tokens
            .iter()
            .map(|t| (t.location.line, t.location.column))
            .collect();
        assert_eq!(places, [(1, 1), (2, 3), (2, 6), (2, 7)]);
    }
}

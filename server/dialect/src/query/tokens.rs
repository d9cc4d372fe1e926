//! Tokens of a query before the parser sees them: what Trino's grammar has no use for is refused here, with its place.
//!
//! Also here, because it is simple on tokens and hard later: `?` gets its number, `VALUES 1, 2` its brackets,
//! `TABLE t` its SELECT, and the text its normal form.

use std::fmt::Write as _;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location as At, Span, Token, TokenWithSpan, Tokenizer, Word};
use owlake_fault::Location;

use super::dialect::AthenaDialect;
use crate::DialectError;
use crate::ddl::shown;

/// A query's tokens, ready for the parser.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) tokens: Vec<TokenWithSpan>,
    /// Where the first token is.
    pub(super) start: Location,
    /// Just after the last token.
    pub(super) end: Location,
    pub(super) parameters: usize,
    pub(super) normalized_text: String,
}

/// Splits `text`, which starts with a query.
pub(super) fn tokenize(text: &str) -> Result<Tokens, DialectError> {
    let dialect = AthenaDialect::new(0);
    let mut tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| DialectError::syntax(error.message.trim().to_owned(), place(error.location)))?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    end_of_statement(&mut tokens)?;
    let blank = end_of_text(text);
    let start = tokens
        .first()
        .and_then(|token| place(token.span.start))
        .unwrap_or(blank);
    let end = tokens
        .last()
        .and_then(|token| place(token.span.end))
        .unwrap_or(blank);
    foreign_clauses(&tokens)?;
    for token in &tokens {
        allowed(token)?;
    }
    let normalized_text = normalized(&tokens);
    let parameters = number_parameters(&mut tokens)?;
    Ok(Tokens {
        tokens: bracket_values(select_tables(tokens)),
        start,
        end,
        parameters,
        normalized_text,
    })
}

/// sqlparser's place as ours; it has none for nodes that the parser made up.
pub(super) fn place(at: At) -> Option<Location> {
    (at.line > 0).then_some(Location {
        line: at.line,
        column: at.column,
    })
}

/// The place after all of `text`, for texts without a token.
fn end_of_text(text: &str) -> Location {
    let last = text.rsplit('\n').next().unwrap_or_default();
    Location {
        line: text.matches('\n').count() as u64 + 1,
        column: last.chars().count() as u64 + 1,
    }
}

/// Removes semicolons at the end; anything after one is a second statement.
fn end_of_statement(tokens: &mut Vec<TokenWithSpan>) -> Result<(), DialectError> {
    while tokens.last().is_some_and(|token| token.token == Token::SemiColon) {
        tokens.pop();
    }
    match tokens.iter().find(|token| token.token == Token::SemiColon) {
        Some(token) => Err(DialectError::syntax(
            "only one statement can be sent at a time",
            place(token.span.start),
        )
        .with_hint("Send the statements one by one.")),
        None => Ok(()),
    }
}

/// Clauses of Trino's that the parser trips over before it could say what they are.
fn foreign_clauses(tokens: &[TokenWithSpan]) -> Result<(), DialectError> {
    let word = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(found) = &token.token else {
            continue;
        };
        let what = match found.keyword {
            Keyword::FOR
                if matches!(word(at + 1).as_str(), "TIMESTAMP" | "VERSION")
                    && word(at + 2) == "AS"
                    && word(at + 3) == "OF" =>
            {
                "reading an older version of a table (FOR ... AS OF)"
            }
            Keyword::MATCH_RECOGNIZE
                if tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen) =>
            {
                "MATCH_RECOGNIZE"
            }
            _ => continue,
        };
        return Err(DialectError::not_supported(
            format!("{what} is not supported"),
            place(token.span.start),
        ));
    }
    Ok(())
}

/// `TABLE t` becomes `SELECT * FROM t`: the parser loses the tokens after the name.
fn select_tables(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_table = |at: usize| {
        matches!(&tokens[at].token, Token::Word(word) if word.keyword == Keyword::TABLE)
            && matches!(tokens.get(at + 1).map(|next| &next.token), Some(Token::Word(_)))
            && starts_query(&tokens, at)
    };
    let mut out = Vec::with_capacity(tokens.len() + 4);
    for (at, token) in tokens.iter().enumerate() {
        if is_table(at) {
            let select = [
                Token::make_keyword("SELECT"),
                Token::Mul,
                Token::make_keyword("FROM"),
            ];
            out.extend(select.map(|new| TokenWithSpan {
                token: new,
                span: token.span,
            }));
        } else {
            out.push(token.clone());
        }
    }
    out
}

/// Trino's tokens and nothing else.
fn allowed(token: &TokenWithSpan) -> Result<(), DialectError> {
    let hint = match &token.token {
        Token::Word(Word {
            quote_style: None | Some('"'),
            ..
        })
        | Token::Number(_, false)
        | Token::SingleQuotedString(_)
        | Token::UnicodeStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::Comma
        | Token::Eq
        | Token::Neq
        | Token::Lt
        | Token::Gt
        | Token::LtEq
        | Token::GtEq
        | Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::Mod
        | Token::StringConcat
        | Token::LParen
        | Token::RParen
        | Token::Period
        | Token::LBracket
        | Token::RBracket
        | Token::Arrow
        | Token::RArrow
        | Token::Placeholder(_) => return Ok(()),
        Token::Word(Word { value, .. }) => {
            return Err(DialectError::syntax(
                format!(
                    "backquoted identifiers are not supported in queries: `{}`",
                    shown(value)
                ),
                place(token.span.start),
            )
            .with_hint("Use double quotes to quote identifiers."));
        }
        Token::DoubleColon => "Write CAST(value AS type).",
        Token::DoubleEq => "Write =.",
        Token::Overlap => "Write AND.",
        Token::Caret => "Write power(a, b), or bitwise_xor(a, b).",
        Token::Ampersand => "Write bitwise_and(a, b).",
        Token::Pipe => "Write bitwise_or(a, b), or || for text.",
        Token::ShiftLeft => "Write bitwise_left_shift(a, b).",
        Token::ShiftRight => "Write bitwise_right_shift(a, b).",
        Token::Tilde
        | Token::TildeAsterisk
        | Token::ExclamationMarkTilde
        | Token::ExclamationMarkTildeAsterisk => "Write regexp_like(text, pattern).",
        Token::LongArrow | Token::HashArrow | Token::HashLongArrow => {
            "Write json_extract_scalar(json, path)."
        }
        Token::Colon => "Array slices are written slice(array, start, length).",
        Token::LBrace | Token::RBrace => "Maps are written MAP(ARRAY[...], ARRAY[...]), rows ROW(...).",
        Token::Assignment => "Arguments are given by position.",
        Token::ExclamationMark => "Write NOT, or <> for unequal.",
        Token::DuckIntDiv => "Write /: integers divide to an integer.",
        Token::Spaceship => "Write IS NOT DISTINCT FROM.",
        Token::Question => "Parameters are written ?.",
        _ => "",
    };
    let error = DialectError::syntax(
        format!("mismatched input '{}'", shown(&token.token.to_string())),
        place(token.span.start),
    );
    Err(if hint.is_empty() {
        error
    } else {
        error.with_hint(hint)
    })
}

/// Gives every `?` its number; `$1` is taken as it is, but not together with `?`.
fn number_parameters(tokens: &mut [TokenWithSpan]) -> Result<usize, DialectError> {
    let mut positional = 0_usize;
    let mut numbered = std::collections::BTreeSet::new();
    for token in tokens.iter_mut() {
        let Token::Placeholder(name) = &mut token.token else {
            continue;
        };
        let wrong = |what: &str| DialectError::Parameters {
            message: format!("{what}; parameters are written ?"),
        };
        if name == "?" {
            positional += 1;
            *name = format!("${positional}");
        } else {
            let digits = name
                .strip_prefix('$')
                .ok_or_else(|| wrong(&format!("parameter {} has a name", shown(name))))?;
            let number = digits
                .parse::<usize>()
                .ok()
                .filter(|n| *n > 0 && !digits.starts_with('0'));
            numbered
                .insert(number.ok_or_else(|| wrong(&format!("parameter {} is not a number", shown(name))))?);
        }
        if positional > 0 && !numbered.is_empty() {
            return Err(wrong("? and numbered parameters do not go together"));
        }
    }
    let highest = numbered.last().copied().unwrap_or_default();
    if highest != numbered.len() {
        return Err(DialectError::Parameters {
            message: format!(
                "parameters go up to ${highest}, but only {} of them are used",
                numbered.len()
            ),
        });
    }
    Ok(positional.max(highest))
}

/// Tokens one space apart, unquoted words in lower case, literals as they are.
fn normalized(tokens: &[TokenWithSpan]) -> String {
    let mut text = String::new();
    for token in tokens {
        if !text.is_empty() {
            text.push(' ');
        }
        // Writing to a String cannot fail.
        let _ = match &token.token {
            Token::Word(Word {
                value,
                quote_style: None,
                ..
            }) => write!(text, "{}", value.to_lowercase()),
            Token::Word(Word { value, .. }) => write!(text, "\"{}\"", value.replace('"', "\"\"")),
            Token::SingleQuotedString(value) => write!(text, "'{}'", value.replace('\'', "''")),
            // Its escapes are resolved already.
            Token::UnicodeStringLiteral(value) => write!(text, "U&'{}'", value.replace('\'', "''")),
            other => write!(text, "{other}"),
        };
    }
    text
}

/// One bracket level of a query, as far as VALUES is concerned.
#[derive(Default, Clone, Copy)]
struct Level {
    /// Inside the rows of a VALUES.
    rows: bool,
    /// The next token starts a row.
    start: bool,
    /// The row got an opening bracket from us.
    open: bool,
}

/// Puts brackets around the rows of VALUES that have none: `VALUES 1, 2` is `VALUES (1), (2)`.
fn bracket_values(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_values =
        |token: &TokenWithSpan| matches!(&token.token, Token::Word(w) if w.keyword == Keyword::VALUES);
    if !tokens.iter().any(is_values) {
        return tokens;
    }
    let closers = closers(&tokens);
    let bracket = |token: Token, span: Span| TokenWithSpan { token, span };
    let mut out = Vec::with_capacity(tokens.len() + 16);
    let mut levels = vec![Level::default()];
    for (at, token) in tokens.iter().enumerate() {
        let top = levels.len() - 1;
        if levels[top].rows && levels[top].open && ends_row(&token.token) {
            out.push(bracket(Token::RParen, token.span));
            levels[top].open = false;
        }
        if levels[top].rows && ends_rows(&token.token) {
            levels[top] = Level::default();
        }
        if levels[top].rows && levels[top].start {
            levels[top].start = false;
            let first = match &token.token {
                Token::Word(word) if word.keyword == Keyword::ROW => at + 1,
                _ => at,
            };
            let bracketed = tokens.get(first).is_some_and(|t| t.token == Token::LParen)
                && closers[first]
                    .is_some_and(|close| tokens.get(close + 1).is_none_or(|t| ends_row(&t.token)));
            if !bracketed {
                out.push(bracket(Token::LParen, token.span));
                levels[top].open = true;
            }
        }
        match &token.token {
            Token::LParen | Token::LBracket => levels.push(Level::default()),
            Token::RParen | Token::RBracket if levels.len() > 1 => {
                levels.pop();
            }
            Token::Comma if levels[top].rows => levels[top].start = true,
            _ if is_values(token) && starts_query(&tokens, at) => {
                levels[top] = Level {
                    rows: true,
                    start: true,
                    open: false,
                };
            }
            _ => {}
        }
        out.push(token.clone());
    }
    if levels.last().is_some_and(|level| level.open) {
        let end = tokens
            .last()
            .map_or(Span::empty(), |last| Span::new(last.span.end, last.span.end));
        out.push(bracket(Token::RParen, end));
    }
    out
}

/// Whether the word at `at` stands where a query starts; else it is a name.
fn starts_query(tokens: &[TokenWithSpan], at: usize) -> bool {
    match at.checked_sub(1).map(|i| &tokens[i].token) {
        None | Some(Token::LParen | Token::RParen) => true,
        Some(Token::Word(word)) => matches!(
            word.keyword,
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::ALL | Keyword::DISTINCT
        ),
        _ => false,
    }
}

fn ends_row(token: &Token) -> bool {
    matches!(token, Token::Comma | Token::RParen) || ends_rows(token)
}

fn ends_rows(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::ORDER
                | Keyword::LIMIT
                | Keyword::OFFSET
                | Keyword::FETCH
        ),
        _ => false,
    }
}

/// For every opening round bracket the index of the one that closes it.
fn closers(tokens: &[TokenWithSpan]) -> Vec<Option<usize>> {
    let mut closers = vec![None; tokens.len()];
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => open.push(at),
            Token::RParen => {
                if let Some(opener) = open.pop() {
                    closers[opener] = Some(at);
                }
            }
            _ => {}
        }
    }
    closers
}

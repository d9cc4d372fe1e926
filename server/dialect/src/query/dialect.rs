//! What sqlparser is told about Trino's grammar, and the two hooks it calls for us: CAST's types and a step counter.

use std::cell::{Cell, RefCell};

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CastKind, DataType, Expr, Ident, ObjectName, TimezoneInfo,
};
use datafusion::sql::sqlparser::dialect::{Dialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use crate::ddl::shown;

/// Types inside each other; deeper ones are no real table's.
const MAX_TYPE_DEPTH: usize = 64;

/// Trino's grammar for one parse; not shared between statements because it counts.
#[derive(Debug)]
pub(super) struct AthenaDialect {
    /// Expression starts that may still be tried.
    ///
    /// The parser goes back and tries again at some places; malformed text could make it do so at every level.
    steps_left: Cell<usize>,
    /// Words that parsing stopped at for good, if it did.
    stopped: RefCell<Option<Stop>>,
}

/// Why parsing was given up, whatever alternatives the parser still had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The step counter is at zero.
    Steps,
    /// A type that is not Trino's; the sentence, and where.
    Type { message: String, line: u64, column: u64 },
}

impl AthenaDialect {
    pub(super) fn new(token_count: usize) -> Self {
        Self {
            steps_left: Cell::new(10_000 + token_count * 50),
            stopped: RefCell::new(None),
        }
    }

    pub(super) fn stopped(&self) -> Option<Stop> {
        self.stopped.borrow().clone()
    }

    /// The one parser error that no alternative swallows.
    fn stop<T>(&self, why: Stop) -> Result<T, ParserError> {
        self.stopped.borrow_mut().get_or_insert(why);
        Err(ParserError::RecursionLimitExceeded)
    }

    fn wrong_type<T>(&self, parser: &Parser<'_>, message: String) -> Result<T, ParserError> {
        let start = parser.peek_token_ref().span.start;
        self.stop(Stop::Type {
            message,
            line: start.line,
            column: start.column,
        })
    }

    /// `CAST(value AS type)`, from the word on.
    fn cast(&self, parser: &mut Parser<'_>, kind: CastKind) -> Result<Expr, ParserError> {
        parser.advance_token();
        parser.expect_token(&Token::LParen)?;
        let expr = parser.parse_expr()?;
        parser.expect_keyword(Keyword::AS)?;
        let data_type = self.data_type(parser, 1)?;
        parser.expect_token(&Token::RParen)?;
        Ok(Expr::Cast {
            kind,
            expr: Box::new(expr),
            data_type,
            array: false,
            format: None,
        })
    }

    /// Trino's type grammar. Nested rows and maps come out as custom types without their parts: no cast to them exists.
    fn data_type(&self, parser: &mut Parser<'_>, depth: usize) -> Result<DataType, ParserError> {
        if depth > MAX_TYPE_DEPTH {
            return self.wrong_type(parser, format!("a type is nested deeper than {MAX_TYPE_DEPTH}"));
        }
        let name = match &parser.peek_token_ref().token {
            Token::Word(Word { value, .. }) => value.to_lowercase(),
            other => {
                let message = format!("mismatched input {}, expecting a type", shown(&other.to_string()));
                return self.wrong_type(parser, message);
            }
        };
        match name.as_str() {
            "array" => {
                parser.advance_token();
                let close = self.open_type(parser)?;
                let element = self.data_type(parser, depth + 1)?;
                self.close_type(parser, &close)?;
                Ok(DataType::Array(ArrayElemTypeDef::AngleBracket(Box::new(element))))
            }
            "map" => {
                parser.advance_token();
                let close = self.open_type(parser)?;
                self.data_type(parser, depth + 1)?;
                parser.expect_token(&Token::Comma)?;
                self.data_type(parser, depth + 1)?;
                self.close_type(parser, &close)?;
                Ok(custom("map"))
            }
            "row" => {
                parser.advance_token();
                parser.expect_token(&Token::LParen)?;
                loop {
                    // `name type` or just `type`: a name is a word that another word follows, but for
                    // `double precision` and `timestamp with time zone`, which are types.
                    let named = matches!(parser.peek_nth_token_ref(1).token, Token::Word(_))
                        && !is_keyword(parser, 0, Keyword::DOUBLE, 1, Keyword::PRECISION)
                        && !is_keyword(parser, 0, Keyword::TIMESTAMP, 1, Keyword::WITH)
                        && !is_keyword(parser, 0, Keyword::TIME, 1, Keyword::WITH);
                    if named {
                        parser.advance_token();
                    }
                    self.data_type(parser, depth + 1)?;
                    if !parser.consume_token(&Token::Comma) {
                        break;
                    }
                }
                parser.expect_token(&Token::RParen)?;
                Ok(custom("row"))
            }
            // Words that the parser reads, but Trino does not know, or knows as something else.
            "string" | "text" | "float" | "int2" | "int4" | "int8" | "float4" | "float8" | "number"
            | "bytea" | "blob" | "clob" | "datetime" | "bool" | "long" | "struct" | "binary" => {
                let hint = match name.as_str() {
                    "string" | "text" | "clob" => "varchar",
                    "float" | "float4" => "real",
                    "float8" => "double",
                    "int2" => "smallint",
                    "int4" => "integer",
                    "int8" | "long" => "bigint",
                    "bytea" | "blob" | "binary" => "varbinary",
                    "datetime" => "timestamp",
                    "bool" => "boolean",
                    "struct" => "row",
                    _ => "decimal",
                };
                self.wrong_type(parser, format!("unknown type {name}; queries call it {hint}"))
            }
            "ipaddress" | "uuid" | "hyperloglog" | "varbinary" => {
                parser.advance_token();
                Ok(custom(&name))
            }
            "timestamp" => self.timestamp(parser),
            _ => parser.parse_data_type(),
        }
    }

    fn timestamp(&self, parser: &mut Parser<'_>) -> Result<DataType, ParserError> {
        parser.advance_token();
        let mut precision = None;
        if parser.consume_token(&Token::LParen) {
            precision = Some(parser.parse_literal_uint()?);
            parser.expect_token(&Token::RParen)?;
        }
        let zone = if parser.parse_keywords(&[Keyword::WITH, Keyword::TIME, Keyword::ZONE]) {
            TimezoneInfo::WithTimeZone
        } else if parser.parse_keywords(&[Keyword::WITHOUT, Keyword::TIME, Keyword::ZONE]) {
            TimezoneInfo::WithoutTimeZone
        } else {
            TimezoneInfo::None
        };
        Ok(DataType::Timestamp(precision, zone))
    }

    /// `(` or the older `<`; the token that has to close it.
    fn open_type(&self, parser: &mut Parser<'_>) -> Result<Token, ParserError> {
        if parser.consume_token(&Token::Lt) {
            return Ok(Token::Gt);
        }
        parser.expect_token(&Token::LParen)?;
        Ok(Token::RParen)
    }

    fn close_type(&self, parser: &mut Parser<'_>, close: &Token) -> Result<(), ParserError> {
        parser.expect_token(close).map(|_| ())
    }
}

fn custom(name: &str) -> DataType {
    DataType::Custom(ObjectName::from(vec![Ident::new(name)]), Vec::new())
}

fn is_keyword(parser: &Parser<'_>, first: usize, a: Keyword, second: usize, b: Keyword) -> bool {
    let keyword = |n| match &parser.peek_nth_token_ref(n).token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    keyword(first) == a && keyword(second) == b
}

impl Dialect for AthenaDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        // Backticks are read so that the refusal can say what to write instead.
        ch == '"' || ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch.is_ascii_digit() || ch == '$' || ch == '_'
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn supports_limit_comma(&self) -> bool {
        false
    }

    fn supports_boolean_literals(&self) -> bool {
        true
    }

    /// Words with a grammar of their own: after one of them failed, trying the same text as a call of a function of
    /// that name would double the work per level.
    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        matches!(
            keyword,
            Keyword::CASE
                | Keyword::CAST
                | Keyword::TRY_CAST
                | Keyword::SAFE_CAST
                | Keyword::CONVERT
                | Keyword::EXISTS
                | Keyword::EXTRACT
                | Keyword::INTERVAL
                | Keyword::NOT
                | Keyword::OVERLAY
                | Keyword::SUBSTR
                | Keyword::SUBSTRING
                | Keyword::TRIM
                | Keyword::STRUCT
        )
    }

    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        let left = self.steps_left.get();
        if left == 0 {
            return Some(self.stop(Stop::Steps));
        }
        self.steps_left.set(left - 1);
        let Token::Word(word) = &parser.peek_token_ref().token else {
            return None;
        };
        let kind = match word.keyword {
            Keyword::CAST => CastKind::Cast,
            Keyword::TRY_CAST => CastKind::TryCast,
            _ => return None,
        };
        (parser.peek_nth_token_ref(1).token == Token::LParen).then(|| self.cast(parser, kind))
    }

    /// `IS [NOT] DISTINCT FROM` takes a value, as in Trino's grammar; the parser would take all that follows, AND and OR
    /// with it.
    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        expr: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        let differs: fn(Box<Expr>, Box<Expr>) -> Expr =
            if parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
                Expr::IsDistinctFrom
            } else if parser.parse_keywords(&[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]) {
                Expr::IsNotDistinctFrom
            } else {
                return None;
            };
        if matches!(expr, Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..)) {
            let found = parser.peek_token_ref();
            return Some(parser.expected_ref("AND, OR or the end of the condition before IS", found));
        }
        let right = parser.parse_subexpr(self.prec_value(Precedence::Eq));
        Some(right.map(|right| differs(Box::new(expr.clone()), Box::new(right))))
    }
}

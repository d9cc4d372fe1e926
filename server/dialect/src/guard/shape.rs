//! The shape of a statement, measured in one pass over its tokens with an explicit stack.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{GuardLimits, check};
use crate::DialectError;

/// Repeated parsing that nested brackets before a query may cause: the parser tries a subquery, then a join, per bracket.
const MAX_PARSE_ATTEMPTS: u64 = 4_096;

/// Checks every limit that tokens can tell.
pub(super) fn check_shape(limits: &GuardLimits, tokens: &[TokenWithSpan]) -> Result<(), DialectError> {
    let mut pass = Pass {
        limits,
        tokens,
        frames: vec![Frame::new(Opener::Text)],
        nodes: 0,
        list_items: 0,
    };
    for at in 0..tokens.len() {
        pass.token(at)?;
    }
    while let Some(frame) = pass.frames.pop() {
        pass.close(frame)?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    Text,
    Bracket,
    Case,
}

/// What is known about one open bracket or CASE.
#[derive(Debug)]
struct Frame {
    opener: Opener,
    /// Nothing but literals, signs and commas so far.
    flat: bool,
    literals: usize,
    /// Whether it holds a query, and how many queries are inside each other below it.
    query: bool,
    query_depth: usize,
    /// Whether it holds arguments, and how many calls are inside each other below it.
    call: bool,
    call_depth: usize,
    set_operations: usize,
    /// The expression that is being read.
    chain: usize,
    longest_chain: usize,
    conditions: usize,
    open_betweens: usize,
    deepest_inside: usize,
    /// The deepest expression that is complete.
    deepest: usize,
    /// How often the text inside may be parsed again (see [`MAX_PARSE_ATTEMPTS`]).
    attempts: u64,
}

impl Frame {
    fn new(opener: Opener) -> Self {
        Self {
            opener,
            flat: true,
            literals: 0,
            query: false,
            query_depth: 0,
            call: false,
            call_depth: 0,
            set_operations: 0,
            chain: 0,
            longest_chain: 0,
            conditions: 0,
            open_betweens: 0,
            deepest_inside: 0,
            deepest: 0,
            attempts: 1,
        }
    }

    /// The next token starts another expression.
    fn next_expression(&mut self) {
        // AND and OR are balanced after parsing: they add the logarithm.
        let conditions = usize::BITS - self.conditions.leading_zeros();
        let depth = self.longest_chain.max(self.chain) + conditions as usize + self.deepest_inside;
        self.deepest = self.deepest.max(depth);
        self.chain = 0;
        self.longest_chain = 0;
        self.conditions = 0;
        self.open_betweens = 0;
        self.deepest_inside = 0;
    }
}

struct Pass<'a> {
    limits: &'a GuardLimits,
    tokens: &'a [TokenWithSpan],
    /// Never empty while tokens are read.
    frames: Vec<Frame>,
    nodes: usize,
    list_items: usize,
}

impl Pass<'_> {
    fn token(&mut self, at: usize) -> Result<(), DialectError> {
        match &self.tokens[at].token {
            Token::LParen | Token::LBracket => self.open(at, Opener::Bracket)?,
            Token::RParen | Token::RBracket => self.close_until(Opener::Bracket)?,
            Token::Comma => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.next_expression();
                }
            }
            Token::Word(word) => match word.keyword {
                Keyword::CASE => self.open(at, Opener::Case)?,
                Keyword::END if self.frames.last().is_some_and(|f| f.opener == Opener::Case) => {
                    self.close_until(Opener::Case)?;
                }
                keyword => self.word(at, keyword)?,
            },
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Placeholder(_) => self.literal(),
            Token::Plus | Token::Minus => {
                // A sign in a flat list is part of its literal.
                let sign = matches!(
                    at.checked_sub(1).map(|i| &self.tokens[i].token),
                    Some(Token::Comma | Token::LParen | Token::LBracket)
                );
                self.operator(!sign)?;
            }
            Token::Period | Token::SemiColon => {}
            _ => self.operator(true)?,
        }
        check("number of words and operators", self.nodes, self.limits.max_nodes)?;
        check(
            "number of list items",
            self.list_items,
            self.limits.max_list_items,
        )
    }

    fn literal(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.literals += 1;
        }
    }

    fn word(&mut self, at: usize, keyword: Keyword) -> Result<(), DialectError> {
        match keyword {
            Keyword::NULL | Keyword::TRUE | Keyword::FALSE => {
                self.literal();
                return Ok(());
            }
            Keyword::DATE | Keyword::TIMESTAMP | Keyword::TIME | Keyword::DECIMAL
                if matches!(
                    self.tokens.get(at + 1).map(|t| &t.token),
                    Some(Token::SingleQuotedString(_))
                ) =>
            {
                return Ok(());
            }
            Keyword::AND | Keyword::OR => return self.condition(keyword),
            Keyword::IS
            | Keyword::LIKE
            | Keyword::BETWEEN
            | Keyword::IN
            | Keyword::AT
            | Keyword::COLLATE
            | Keyword::NOT
            | Keyword::ESCAPE => {
                if keyword == Keyword::BETWEEN
                    && let Some(frame) = self.frames.last_mut()
                {
                    frame.open_betweens += 1;
                }
                return self.operator(true);
            }
            _ => {}
        }
        self.nodes += 1;
        let starts = self.after_operand(at);
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        frame.flat = false;
        match keyword {
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => {
                frame.next_expression();
                frame.set_operations += 1;
                check(
                    "number of set operations in one query",
                    frame.set_operations,
                    self.limits.max_set_operations,
                )
            }
            Keyword::SELECT | Keyword::WITH | Keyword::VALUES if !frame.query => {
                frame.query = true;
                Ok(())
            }
            // Ends an expression only where an operand stands before it; else it is itself an operand for the parser.
            Keyword::SELECT
            | Keyword::FROM
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::ORDER
            | Keyword::JOIN
            | Keyword::ON
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE
            | Keyword::LIMIT
            | Keyword::WINDOW
                if starts =>
            {
                frame.next_expression();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether the token before `at` ends an operand.
    fn after_operand(&self, at: usize) -> bool {
        let before = |n: usize| {
            at.checked_sub(n)
                .and_then(|i| self.tokens.get(i))
                .map(|t| &t.token)
        };
        match before(1) {
            Some(Token::Word(word)) => !matches!(word.keyword, Keyword::AND | Keyword::OR | Keyword::NOT),
            Some(
                Token::Number(..)
                | Token::SingleQuotedString(_)
                | Token::UnicodeStringLiteral(_)
                | Token::HexStringLiteral(_)
                | Token::Placeholder(_)
                | Token::RParen
                | Token::RBracket,
            ) => true,
            // `SELECT * FROM`, not `2 * from`.
            Some(Token::Mul) => match before(2) {
                Some(Token::Comma | Token::Period) => true,
                Some(Token::Word(word)) => {
                    matches!(word.keyword, Keyword::SELECT | Keyword::DISTINCT | Keyword::ALL)
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn operator(&mut self, counts: bool) -> Result<(), DialectError> {
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        if counts {
            self.nodes += 1;
            frame.flat = false;
        }
        frame.chain += 1;
        check(
            "number of operators in one expression",
            frame.chain,
            self.limits.max_chain,
        )
    }

    fn condition(&mut self, keyword: Keyword) -> Result<(), DialectError> {
        self.nodes += 1;
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        frame.flat = false;
        if keyword == Keyword::AND && frame.open_betweens > 0 {
            // The AND of a BETWEEN ends nothing.
            frame.open_betweens -= 1;
            return Ok(());
        }
        frame.longest_chain = frame.longest_chain.max(frame.chain);
        frame.chain = 0;
        frame.open_betweens = 0;
        frame.conditions += 1;
        check(
            "number of conditions in one expression",
            frame.conditions,
            self.limits.max_conditions,
        )
    }

    fn open(&mut self, at: usize, opener: Opener) -> Result<(), DialectError> {
        check("nesting depth", self.frames.len(), self.limits.max_depth)?;
        let before = at
            .checked_sub(1)
            .and_then(|i| self.tokens.get(i))
            .map(|t| &t.token);
        if self.tokens[at].token == Token::LBracket && matches!(before, Some(Token::RBracket | Token::RParen))
        {
            // `a[1][1]`: each subscript is a call around the one before.
            self.operator(true)?;
        }
        let mut frame = Frame::new(opener);
        frame.call = opener == Opener::Bracket && before.is_some_and(names_a_call);
        if let Some(outer) = self.frames.last() {
            frame.attempts = outer.attempts;
        }
        if before != Some(&Token::LParen) {
            frame.attempts = frame.attempts.saturating_mul(self.attempts_from(at));
            if frame.attempts > MAX_PARSE_ATTEMPTS {
                return Err(DialectError::TooLarge {
                    measure: "number of nested double brackets around queries",
                    value: frame.attempts,
                    limit: MAX_PARSE_ATTEMPTS,
                });
            }
        }
        self.frames.push(frame);
        Ok(())
    }

    /// Brackets in a row from `at`, when a query follows them and there is more than one.
    fn attempts_from(&self, at: usize) -> u64 {
        let run = self.tokens[at..]
            .iter()
            .take_while(|t| t.token == Token::LParen)
            .count();
        match self.tokens.get(at + run).map(|t| &t.token) {
            Some(Token::Word(word))
                if run > 1
                    && matches!(
                        word.keyword,
                        Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE | Keyword::FROM
                    ) =>
            {
                run as u64 + 1
            }
            _ => 1,
        }
    }

    /// Closes frames up to and with the innermost `opener`; a stray closer changes nothing.
    fn close_until(&mut self, opener: Opener) -> Result<(), DialectError> {
        if !self.frames.iter().any(|frame| frame.opener == opener) {
            return Ok(());
        }
        while let Some(frame) = self.frames.pop() {
            let found = frame.opener == opener;
            self.close(frame)?;
            if found {
                break;
            }
        }
        Ok(())
    }

    fn close(&mut self, mut frame: Frame) -> Result<(), DialectError> {
        frame.next_expression();
        if frame.flat && frame.opener == Opener::Bracket {
            self.list_items += frame.literals.max(1);
        } else {
            self.nodes += frame.literals + 1;
        }
        let depth = 1 + frame.deepest + frame.set_operations;
        check("depth of one expression", depth, self.limits.max_tree_depth())?;
        let queries = frame.query_depth + usize::from(frame.query);
        check(
            "number of queries inside each other",
            queries,
            self.limits.max_query_depth,
        )?;
        let calls = frame.call_depth + usize::from(frame.call);
        check(
            "number of calls inside each other",
            calls,
            self.limits.max_call_depth,
        )?;
        if let Some(outer) = self.frames.last_mut() {
            outer.call_depth = outer.call_depth.max(calls);
            // A list of flat rows (VALUES) is not flat itself: it may hold anything else too.
            outer.flat = outer.flat && frame.flat && frame.opener == Opener::Bracket;
            outer.deepest_inside = outer.deepest_inside.max(depth);
            outer.query_depth = outer.query_depth.max(queries);
        }
        Ok(())
    }
}

/// Whether a bracket after `token` holds arguments.
fn names_a_call(token: &Token) -> bool {
    use Keyword as K;
    match token {
        Token::Word(word) => !matches!(
            word.keyword,
            K::ALL
                | K::AND
                | K::ANY
                | K::AS
                | K::BETWEEN
                | K::BY
                | K::CASE
                | K::CROSS
                | K::DISTINCT
                | K::ELSE
                | K::EXCEPT
                | K::EXISTS
                | K::FILTER
                | K::FROM
                | K::GROUP
                | K::HAVING
                | K::IN
                | K::INTERSECT
                | K::JOIN
                | K::LATERAL
                | K::LIKE
                | K::NOT
                | K::ON
                | K::OR
                | K::OVER
                | K::SELECT
                | K::SOME
                | K::THEN
                | K::UNION
                | K::USING
                | K::VALUES
                | K::WHEN
                | K::WHERE
        ),
        _ => false,
    }
}

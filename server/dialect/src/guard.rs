//! Limits on statements that are checked before any recursive code sees them.
//!
//! What the numbers protect: the parser, the planner and the optimizer recurse once per level and are quadratic in the
//! length of operator chains (5,000 `+` take 26 s, 4,000 `UNION ALL` end the process; reliability A3).

mod shape;

use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;

use crate::DialectError;

/// Limits of one statement; the default suits a planner with at least 16 MiB of stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardLimits {
    /// Bytes of the text (Athena: 262,144).
    pub max_text_bytes: usize,
    /// Brackets and CASE expressions inside each other.
    pub max_depth: usize,
    /// Queries inside each other.
    pub max_query_depth: usize,
    /// Calls inside each other's arguments. Optimizing is cubic in it.
    pub max_call_depth: usize,
    /// Words, operators and brackets, literals of flat lists left out.
    pub max_nodes: usize,
    /// Literals in lists that hold nothing else: `IN (1, 2)`, `VALUES (1, 'a'), (2, 'b')`, `ARRAY[1, 2]`.
    pub max_list_items: usize,
    /// Operators other than AND and OR in one expression: `1 + 1 + 1` has two. Planning is quadratic in it.
    pub max_chain: usize,
    /// ANDs and ORs in one expression.
    pub max_conditions: usize,
    /// UNION, INTERSECT and EXCEPT in one query.
    pub max_set_operations: usize,
    /// Tables and joins in one FROM.
    pub max_from_items: usize,
    /// Nodes after each use of a WITH name is replaced by its query, as the planner does.
    pub max_expanded_nodes: usize,
    /// WITH names that use each other in a row.
    pub max_with_depth: usize,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            max_text_bytes: 262_144,
            max_depth: 500,
            max_query_depth: 50,
            max_call_depth: 100,
            max_nodes: 10_000,
            max_list_items: 100_000,
            max_chain: 500,
            max_conditions: 1_000,
            max_set_operations: 500,
            max_from_items: 200,
            max_expanded_nodes: 50_000,
            max_with_depth: 100,
        }
    }
}

impl GuardLimits {
    /// Checks the length of the text.
    ///
    /// # Errors
    /// `TooLarge`.
    pub(crate) fn check_text(&self, text: &str) -> Result<(), DialectError> {
        check("text size in bytes", text.len(), self.max_text_bytes)
    }

    /// Checks the shape of a query's tokens, white space left out.
    ///
    /// # Errors
    /// `TooLarge` with the first limit that is passed.
    pub(crate) fn check_tokens(&self, tokens: &[TokenWithSpan]) -> Result<(), DialectError> {
        shape::check_shape(self, tokens)
    }

    /// Levels that one expression's tree may have, brackets and operators together.
    pub(crate) fn max_tree_depth(&self) -> usize {
        self.max_depth + self.max_chain + self.max_set_operations
    }
}

pub(crate) fn check(measure: &'static str, value: usize, limit: usize) -> Result<(), DialectError> {
    if value <= limit {
        return Ok(());
    }
    Err(DialectError::TooLarge {
        measure,
        value: value as u64,
        limit: limit as u64,
    })
}

//! One pass over a query's syntax tree: names to lower case, what the planner would swallow or misread refused,
//! the rest made explicit.
//!
//! Recursive, on a stack that grows; the depth is counted, so that whoever walks the tree later is safe too.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{
    Cte, Expr, Fetch, Ident, LimitClause, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectItem,
    SetExpr, SetOperator, SetQuantifier, Spanned, TableAlias, Value, With,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use owlake_fault::Location;

use super::names::{MARK, hide_duplicates};
use super::tokens::place;
use super::values;
use crate::DialectError;
use crate::guard::{GuardLimits, check};
use crate::statement::TableReference;

pub(super) type Outcome<T = ()> = Result<T, DialectError>;

/// Stack that must be left before one more level, and how much is added when it is not.
const STACK_RED_ZONE_BYTES: usize = 128 << 10;
const STACK_STEP_BYTES: usize = 2 << 20;

/// What a WITH name stands for, as far as limits are concerned.
#[derive(Debug, Clone)]
struct NamedQuery {
    /// Its name in the tree: another than the written one where a query around it has a WITH of that name.
    planned: String,
    /// Nodes of the plan that each use of the name adds.
    nodes: u64,
    /// Names that use each other in a row, this one included.
    depth: usize,
}

/// The pass and what it learns.
#[derive(Debug)]
pub(super) struct Rewriter<'a> {
    limits: &'a GuardLimits,
    pub(super) tables: Vec<TableReference>,
    /// Whether the statement names a hidden column.
    pub(super) hidden_columns: bool,
    /// WITH names in scope, innermost last.
    scopes: Vec<HashMap<String, NamedQuery>>,
    depth: usize,
    /// Nodes so far, each use of a WITH name counted as its query.
    nodes: u64,
    /// Longest row of WITH names used so far in the query that is being read.
    with_depth: usize,
    /// WITH names so far.
    with_names: usize,
    /// The next query is VALUES whose columns have an alias each.
    values_are_named: bool,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(limits: &'a GuardLimits, hidden_columns: bool) -> Self {
        Self {
            limits,
            tables: Vec::new(),
            hidden_columns,
            scopes: Vec::new(),
            depth: 0,
            nodes: 0,
            with_depth: 0,
            with_names: 0,
            values_are_named: false,
        }
    }

    /// A query whose columns `alias` may name.
    pub(super) fn aliased(&mut self, query: &mut Query, alias: Option<&TableAlias>) -> Outcome {
        self.values_are_named = alias.is_some_and(|a| !a.columns.is_empty()) && values::is_plain(query);
        self.query(query)
    }

    /// One level deeper, with stack for it.
    pub(super) fn level<T>(&mut self, inner: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        self.depth += 1;
        check(
            "depth of the statement",
            self.depth,
            self.limits.max_depth + self.limits.max_tree_depth(),
        )?;
        self.count(1)?;
        let result = stacker::maybe_grow(STACK_RED_ZONE_BYTES, STACK_STEP_BYTES, || inner(self));
        self.depth -= 1;
        result
    }

    pub(super) fn count(&mut self, nodes: u64) -> Outcome {
        self.nodes = self.nodes.saturating_add(nodes);
        let limit = self.limits.max_expanded_nodes as u64;
        if self.nodes > limit {
            return Err(DialectError::TooLarge {
                measure: "size with every WITH name replaced by its query",
                value: self.nodes,
                limit,
            });
        }
        Ok(())
    }

    pub(super) fn check_from_items(&self, items: usize) -> Outcome {
        check(
            "number of tables and joins in one FROM",
            items,
            self.limits.max_from_items,
        )
    }

    /// Whether a WITH in scope has this name.
    pub(super) fn is_with_name(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.contains_key(name))
    }

    /// Counts the use of `name`, and remembers it unless it is a WITH name; the name that this WITH has in the tree,
    /// where it is another one.
    pub(super) fn used(&mut self, reference: TableReference) -> Outcome<Option<String>> {
        if reference.name.database.is_none()
            && let Some(named) = self
                .scopes
                .iter()
                .rev()
                .find_map(|scope| scope.get(&reference.name.name))
                .cloned()
        {
            self.with_depth = self.with_depth.max(named.depth);
            self.count(named.nodes)?;
            return Ok((named.planned != reference.name.name).then_some(named.planned));
        }
        if !self.tables.iter().any(|known| known.name == reference.name) {
            self.tables.push(reference);
        }
        Ok(None)
    }

    pub(super) fn query(&mut self, query: &mut Query) -> Outcome {
        self.level(|this| {
            let scoped = query.with.is_some();
            if let Some(with) = &mut query.with {
                this.scopes.push(HashMap::new());
                this.with(with)?;
            }
            this.set_expr(&mut query.body)?;
            if let Some(order_by) = &mut query.order_by {
                this.order_by(order_by)?;
                if let SetExpr::Select(select) = query.body.as_ref() {
                    sort_by_alias(order_by, select);
                }
            }
            this.limit(query)?;
            refuse_query_clauses(query)?;
            if scoped {
                this.scopes.pop();
            }
            Ok(())
        })
    }

    fn with(&mut self, with: &mut With) -> Outcome {
        if with.recursive {
            return Err(not_supported("WITH RECURSIVE", with.with_token.0.span));
        }
        for cte in &mut with.cte_tables {
            self.cte(cte)?;
        }
        Ok(())
    }

    fn cte(&mut self, cte: &mut Cte) -> Outcome {
        lower_alias(&mut cte.alias)?;
        let name = cte.alias.name.value.clone();
        let span = cte.alias.name.span;
        if name.contains('.') {
            // The planner looks WITH names up by the dotted text of a table's name.
            return Err(not_supported("a WITH name with a dot", span));
        }
        if cte.from.is_some() || cte.materialized.is_some() {
            return Err(syntax("mismatched input after the WITH query", span));
        }
        let outer_nodes = std::mem::take(&mut self.nodes);
        let outer_depth = std::mem::take(&mut self.with_depth);
        self.aliased(&mut cte.query, Some(&cte.alias))?;
        hide_duplicates(&mut cte.query)?;
        // The planner knows a WITH name once in a statement; here the innermost one counts.
        let outer = self.scopes.len().saturating_sub(1);
        let planned = match self.scopes[..outer].iter().any(|scope| scope.contains_key(&name)) {
            true => format!("{name}{MARK}{}", self.with_names),
            false => name.clone(),
        };
        self.with_names += 1;
        if planned != name {
            cte.alias.name = Ident::with_quote('"', &planned);
        }
        let named = NamedQuery {
            planned,
            nodes: self.nodes,
            depth: self.with_depth + 1,
        };
        check(
            "number of WITH names that use each other",
            named.depth,
            self.limits.max_with_depth,
        )?;
        self.nodes = outer_nodes;
        self.with_depth = outer_depth;
        // The planner plans it once even when nothing uses it.
        self.count(named.nodes)?;
        match self.scopes.last_mut() {
            Some(scope) if scope.contains_key(&name) => Err(syntax(
                format!("WITH query name '{name}' specified more than once"),
                span,
            )),
            Some(scope) => {
                scope.insert(name, named);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn set_expr(&mut self, body: &mut SetExpr) -> Outcome {
        let named = std::mem::take(&mut self.values_are_named);
        self.level(|this| match body {
            SetExpr::Select(select) => this.select(select),
            SetExpr::Query(query) => this.query(query),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                match (op, set_quantifier) {
                    (
                        SetOperator::Union | SetOperator::Except | SetOperator::Intersect,
                        SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None,
                    ) => {}
                    (SetOperator::Minus, _) => {
                        return Err(
                            syntax("mismatched input 'MINUS'", right.span()).with_hint("Write EXCEPT.")
                        );
                    }
                    _ => return Err(syntax("mismatched input 'BY NAME'", right.span())),
                }
                this.set_expr(left)?;
                this.set_expr(right)
            }
            SetExpr::Values(values) => {
                values.explicit_row = false;
                values.value_keyword = false;
                let width = values.rows.first().map_or(0, |row| row.content.len());
                for row in &mut values.rows {
                    if row.content.len() != width {
                        return Err(syntax(
                            "the rows of VALUES must have the same number of values",
                            row.opening_token.0.span,
                        ));
                    }
                    for value in &mut row.content {
                        this.list_item(value)?;
                    }
                }
                if !named {
                    let rows = std::mem::take(&mut values.rows);
                    *body = values::named(rows);
                }
                Ok(())
            }
            // `tokens` has made a SELECT of it.
            SetExpr::Table(_) => Err(syntax("mismatched input 'TABLE'", Span::empty())),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => Err(
                DialectError::not_supported("a statement that writes is not supported", None),
            ),
        })
    }

    fn order_by(&mut self, order_by: &mut OrderBy) -> Outcome {
        if order_by.interpolate.is_some() {
            return Err(syntax("mismatched input 'INTERPOLATE'", Span::empty()));
        }
        match &mut order_by.kind {
            OrderByKind::All(_) => Err(DialectError::not_supported("ORDER BY ALL is not supported", None)),
            OrderByKind::Expressions(exprs) => self.sort_keys(exprs),
        }
    }

    /// Trino sorts NULL last whichever the direction; the planner's default depends on a setting.
    pub(super) fn sort_keys(&mut self, keys: &mut [OrderByExpr]) -> Outcome {
        for key in keys {
            if key.with_fill.is_some() {
                return Err(syntax("mismatched input 'WITH' after ORDER BY", key.expr.span()));
            }
            key.options.nulls_first.get_or_insert(false);
            self.expr(&mut key.expr)?;
        }
        Ok(())
    }

    /// FETCH FIRST n ROWS ONLY becomes LIMIT n.
    fn limit(&mut self, query: &mut Query) -> Outcome {
        match &mut query.limit_clause {
            None => {}
            Some(LimitClause::OffsetCommaLimit { limit, .. }) => {
                return Err(syntax("mismatched input ',' after LIMIT", limit.span())
                    .with_hint("Write OFFSET n LIMIT m."));
            }
            Some(LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) => {
                if !limit_by.is_empty() {
                    return Err(syntax(
                        "mismatched input 'BY' after LIMIT",
                        span_of(limit_by.first()),
                    ));
                }
                for count in limit
                    .iter_mut()
                    .chain(offset.iter_mut().map(|offset| &mut offset.value))
                {
                    row_count(count)?;
                }
            }
        }
        let Some(Fetch {
            with_ties,
            percent,
            quantity,
        }) = query.fetch.take()
        else {
            return Ok(());
        };
        let span = span_of(quantity.as_ref());
        if with_ties || percent {
            return Err(not_supported(
                if percent {
                    "FETCH ... PERCENT"
                } else {
                    "FETCH ... WITH TIES"
                },
                span,
            ));
        }
        let mut count = quantity.unwrap_or_else(|| Expr::value(Value::Number("1".to_owned(), false)));
        row_count(&mut count)?;
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset {
                limit: limit @ None, ..
            }) => *limit = Some(count),
            None => {
                query.limit_clause = Some(LimitClause::LimitOffset {
                    limit: Some(count),
                    offset: None,
                    limit_by: Vec::new(),
                });
            }
            Some(_) => return Err(syntax("LIMIT and FETCH FIRST do not go together", span)),
        }
        Ok(())
    }
}

/// LIMIT, OFFSET and FETCH take a number or a parameter.
fn row_count(count: &mut Expr) -> Outcome {
    match count {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(_) => Ok(()),
            Value::Number(text, false) if text.parse::<i64>().is_ok() => Ok(()),
            _ => Err(syntax("expected a number of rows", value.span)),
        },
        other => Err(syntax("expected a number of rows", other.span())),
    }
}

/// `SELECT DISTINCT a + 1 ... ORDER BY a + 1`: the planner looks for the column by its name.
fn sort_by_alias(order_by: &mut OrderBy, select: &Select) {
    let OrderByKind::Expressions(keys) = &mut order_by.kind else {
        return;
    };
    if select.distinct.is_none() {
        return;
    }
    for key in keys {
        let named = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if *expr == key.expr => Some(alias),
            _ => None,
        });
        if let Some(alias) = named {
            key.expr = Expr::Identifier(alias.clone());
        }
    }
}

fn refuse_query_clauses(query: &Query) -> Outcome {
    let refused = [
        (!query.locks.is_empty() || query.for_clause.is_some(), "FOR"),
        (query.settings.is_some(), "SETTINGS"),
        (query.format_clause.is_some(), "FORMAT"),
        (!query.pipe_operators.is_empty(), "|>"),
    ];
    match refused.iter().find(|(there, _)| *there) {
        Some((_, word)) => Err(syntax(format!("mismatched input '{word}'"), Span::empty())),
        None => Ok(()),
    }
}

/// Trino compares every name without regard to case, quoted or not.
pub(super) fn lower(ident: &mut Ident) {
    ident.value = ident.value.to_lowercase();
}

pub(super) fn lower_alias(alias: &mut TableAlias) -> Outcome {
    lower(&mut alias.name);
    for column in &mut alias.columns {
        lower(&mut column.name);
        if column.data_type.is_some() {
            return Err(syntax("a column alias has no type", column.name.span));
        }
    }
    match &alias.at {
        Some(at) => Err(syntax("mismatched input 'AT'", at.span)),
        None => Ok(()),
    }
}

pub(super) fn location(span: Span) -> Option<Location> {
    place(span.start)
}

pub(super) fn span_of(expr: Option<&Expr>) -> Span {
    expr.map_or(Span::empty(), Spanned::span)
}

pub(super) fn syntax(message: impl Into<String>, span: Span) -> DialectError {
    DialectError::syntax(message, location(span))
}

/// `what` is a noun phrase.
pub(super) fn not_supported(what: &str, span: Span) -> DialectError {
    DialectError::not_supported(format!("{what} is not supported"), location(span))
}

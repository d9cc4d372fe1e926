//! SELECT: its columns and their names, GROUP BY, windows; clauses of other dialects are refused.

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, NamedWindowExpr, Select, SelectFlavor, SelectItem,
    SelectItemQualifiedWildcardKind, Spanned, Value, WildcardAdditionalOptions,
};

use super::rewrite::{Outcome, Rewriter, lower, not_supported, span_of, syntax};
use crate::DialectError;
use crate::guard::check;

/// CUBE of n columns makes 2^n groupings.
const MAX_CUBE_COLUMNS: usize = 10;

impl Rewriter<'_> {
    pub(super) fn select(&mut self, select: &mut Select) -> Outcome {
        refuse_select_clauses(select)?;
        match &select.distinct {
            Some(Distinct::On(exprs)) => {
                return Err(syntax(
                    "mismatched input 'ON' after DISTINCT",
                    span_of(exprs.first()),
                ));
            }
            Some(Distinct::All) => select.distinct = None,
            Some(Distinct::Distinct) | None => {}
        }
        // FROM first: the names that the other clauses use are there.
        self.from(&mut select.from)?;
        for (index, item) in select.projection.iter_mut().enumerate() {
            self.select_item(item)?;
            name_item(item, index);
        }
        if self.hidden_columns {
            self.spare_hidden_columns(select)?;
        }
        if let Some(selection) = &mut select.selection {
            self.expr(selection)?;
        }
        self.group_by(&mut select.group_by)?;
        if let Some(having) = &mut select.having {
            self.expr(having)?;
        }
        for window in &mut select.named_window {
            lower(&mut window.0);
            match &mut window.1 {
                NamedWindowExpr::NamedWindow(name) => lower(name),
                NamedWindowExpr::WindowSpec(spec) => self.window(spec)?,
            }
        }
        Ok(())
    }

    fn select_item(&mut self, item: &mut SelectItem) -> Outcome {
        match item {
            SelectItem::UnnamedExpr(expr) => self.expr(expr),
            SelectItem::ExprWithAlias { expr, alias } => {
                lower(alias);
                self.expr(expr)
            }
            SelectItem::ExprWithAliases { expr, .. } => {
                Err(syntax("an expression has one alias", expr.span()))
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                refuse_wildcard_options(options)?;
                super::relation::lower_name(name)?;
                self.count(1)
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), _) => {
                Err(not_supported("all fields of a row value (value.*)", expr.span()))
            }
            SelectItem::Wildcard(options) => {
                refuse_wildcard_options(options)?;
                self.count(1)
            }
        }
    }

    fn group_by(&mut self, group_by: &mut GroupByExpr) -> Outcome {
        match group_by {
            GroupByExpr::All(_) => Err(DialectError::not_supported("GROUP BY ALL is not supported", None)),
            GroupByExpr::Expressions(exprs, modifiers) => {
                if !modifiers.is_empty() {
                    return Err(
                        syntax("mismatched input 'WITH' after GROUP BY", span_of(exprs.first()))
                            .with_hint("Write ROLLUP (...) or CUBE (...)."),
                    );
                }
                let mut flat = Vec::with_capacity(exprs.len());
                for expr in exprs.drain(..) {
                    match expr {
                        // `GROUP BY (a, b)` is `GROUP BY a, b`; `GROUP BY ()` one group.
                        Expr::Tuple(parts) => flat.extend(parts),
                        other => flat.push(other),
                    }
                }
                *exprs = flat;
                for expr in exprs {
                    match expr {
                        Expr::GroupingSets(sets) | Expr::Rollup(sets) => self.grouping(sets)?,
                        Expr::Cube(sets) => {
                            check("number of columns in CUBE", sets.len(), MAX_CUBE_COLUMNS)?;
                            self.grouping(sets)?;
                        }
                        other => self.expr(other)?,
                    }
                }
                Ok(())
            }
        }
    }

    fn grouping(&mut self, sets: &mut [Vec<Expr>]) -> Outcome {
        sets.iter_mut().flatten().try_for_each(|expr| self.expr(expr))
    }
}

/// What a column of a result is called when the query does not say (Trino): `_col` and its position.
fn name_item(item: &mut SelectItem, index: usize) {
    let SelectItem::UnnamedExpr(expr) = item else {
        return;
    };
    while let Expr::Nested(inner) = expr {
        let inner = std::mem::replace(&mut **inner, Expr::value(Value::Null));
        *expr = inner;
    }
    let name = match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => return,
        _ => format!("_col{index}"),
    };
    let expr = std::mem::replace(expr, Expr::value(Value::Null));
    *item = SelectItem::ExprWithAlias {
        expr,
        alias: Ident::with_quote('"', name),
    };
}

/// Clauses of other dialects that the parser reads and the planner skips or takes for something else.
fn refuse_select_clauses(select: &Select) -> Outcome {
    let refused = [
        (select.top.is_some(), "TOP", "Write LIMIT n at the end."),
        (select.into.is_some(), "INTO", ""),
        (
            select.qualify.is_some(),
            "QUALIFY",
            "Put the query into FROM ( ) and filter with WHERE.",
        ),
        (
            !select.lateral_views.is_empty(),
            "LATERAL VIEW",
            "Write CROSS JOIN UNNEST(array) AS t (column).",
        ),
        (!select.connect_by.is_empty(), "CONNECT BY", ""),
        (!select.cluster_by.is_empty(), "CLUSTER BY", ""),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY", ""),
        (!select.sort_by.is_empty(), "SORT BY", "Write ORDER BY."),
        (select.prewhere.is_some(), "PREWHERE", "Write WHERE."),
        (select.exclude.is_some(), "EXCLUDE", "Name the columns."),
        (select.value_table_mode.is_some(), "AS STRUCT", ""),
        (select.select_modifiers.is_some(), "SELECT modifier", ""),
        (
            select.flavor != SelectFlavor::Standard,
            "FROM",
            "Start with SELECT.",
        ),
        (select.projection.is_empty(), "FROM", "Name at least one column."),
    ];
    let Some((_, word, hint)) = refused.iter().find(|(there, ..)| *there) else {
        return Ok(());
    };
    let error = syntax(format!("mismatched input '{word}'"), select.select_token.0.span);
    Err(if hint.is_empty() {
        error
    } else {
        error.with_hint(*hint)
    })
}

fn refuse_wildcard_options(options: &WildcardAdditionalOptions) -> Outcome {
    let span = options.wildcard_token.0.span;
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike: None,
        opt_exclude: None,
        opt_except: None,
        opt_replace: None,
        opt_rename: None,
        opt_alias: None,
    } = options
    else {
        return Err(syntax("mismatched input after '*'", span).with_hint("Name the columns instead."));
    };
    Ok(())
}

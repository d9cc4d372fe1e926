//! Results with two columns of one name: Trino has them, the planner refuses them.
//!
//! All but the first get a name of their own, from which [`shown_name`] makes the written one again. Only the
//! outermost SELECT: further in, a name that stands for two columns could be used.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Spanned, Value, Visit, Visitor,
};

use super::rewrite::{Outcome, location};
use crate::DialectError;

/// Between the written name and the number of the column; no name holds control characters.
pub(super) const MARK: char = '\u{1f}';

/// The name of a result's column as the statement wrote it.
pub fn shown_name(name: &str) -> &str {
    name.split_once(MARK).map_or(name, |(written, _)| written)
}

/// Text that repeats column names, such as a plan, with the names as the statement wrote them.
pub fn shown_text(text: &str) -> Cow<'_, str> {
    let mut pieces = text.split(MARK);
    let (Some(first), Some(second)) = (pieces.next(), pieces.next()) else {
        return Cow::Borrowed(text);
    };
    let mut shown = first.to_owned();
    for piece in std::iter::once(second).chain(pieces) {
        shown.push_str(piece.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    Cow::Owned(shown)
}

/// Gives the columns of the result names that differ.
///
/// # Errors
/// `Syntax` when ORDER BY uses a name that two columns have, and for names with the mark.
pub(super) fn make_unique(query: &mut Query) -> Outcome {
    let twice = body(&mut query.body)?;
    match &query.order_by {
        Some(order_by) if !twice.is_empty() => refuse_ambiguous(order_by, twice),
        _ => Ok(()),
    }
}

/// Gives columns of a subquery that share a name names that no statement can use: Trino has such columns until one of
/// them is named.
pub(super) fn hide_duplicates(query: &mut Query) -> Outcome {
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Ok(());
    };
    let mut counts: HashMap<String, usize> = HashMap::new();
    for item in &select.projection {
        if let Some(name) = name(item) {
            *counts.entry(name.value.clone()).or_default() += 1;
        }
    }
    counts.retain(|_, count| *count > 1);
    for (index, item) in select.projection.iter_mut().enumerate() {
        if let Some(name) = name(item).map(|name| name.value.clone())
            && counts.contains_key(&name)
        {
            rename(item, Ident::with_quote('"', format!("{name}{MARK}{index}")));
        }
    }
    match &query.order_by {
        Some(order_by) if !counts.is_empty() => refuse_ambiguous(order_by, counts.into_keys().collect()),
        _ => Ok(()),
    }
}

/// Renames; the names that were there twice.
fn body(body: &mut SetExpr) -> Outcome<HashSet<String>> {
    match body {
        SetExpr::Select(select) => columns(select),
        SetExpr::Query(query) => {
            make_unique(query)?;
            Ok(HashSet::new())
        }
        SetExpr::SetOperation { left, right, .. } => stacker::maybe_grow(128 << 10, 2 << 20, || {
            let mut twice = self::body(left)?;
            twice.extend(self::body(right)?);
            Ok(twice)
        }),
        _ => Ok(HashSet::new()),
    }
}

fn columns(select: &mut Select) -> Outcome<HashSet<String>> {
    let (mut seen, mut twice) = (HashMap::new(), HashSet::new());
    let wildcard = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    for (index, item) in select.projection.iter_mut().enumerate() {
        let Some(name) = name(item) else {
            continue;
        };
        if name.value.contains(MARK) {
            return Err(DialectError::syntax(
                "a column name with a control character",
                location(name.span),
            ));
        }
        let name = name.value.clone();
        if wildcard && matches!(item, SelectItem::UnnamedExpr(_)) && !name.starts_with('$') {
            // A column that `*` may have too; hidden ones it has not.
            rename(item, Ident::with_quote('"', format!("{name}{MARK}{index}")));
            continue;
        }
        let table = table(item);
        let others: &mut Vec<Option<String>> = seen.entry(name.clone()).or_default();
        // The planner tells `a.id` and `b.id` apart by itself.
        let apart = |other: &Option<String>| table.is_some() && other.is_some() && *other != table;
        if !others.iter().all(apart) {
            rename(item, Ident::with_quote('"', format!("{name}{MARK}{index}")));
            twice.insert(name);
        }
        others.push(table);
    }
    Ok(twice)
}

/// The table in `table.column`.
fn table(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => match parts.as_slice() {
            [table, _column] => Some(table.value.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// What the column of an item is called, where the item says so.
fn name(item: &SelectItem) -> Option<&Ident> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last(),
        _ => None,
    }
}

fn rename(item: &mut SelectItem, new: Ident) {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => *alias = new,
        SelectItem::UnnamedExpr(expr) => {
            let expr = std::mem::replace(expr, Expr::value(Value::Null));
            *item = SelectItem::ExprWithAlias { expr, alias: new };
        }
        _ => {}
    }
}

fn refuse_ambiguous(order_by: &OrderBy, twice: HashSet<String>) -> Outcome {
    let OrderByKind::Expressions(keys) = &order_by.kind else {
        return Ok(());
    };
    let mut search = Ambiguous { twice };
    for key in keys {
        if let ControlFlow::Break(error) = key.expr.visit(&mut search) {
            return Err(error);
        }
    }
    Ok(())
}

struct Ambiguous {
    twice: HashSet<String>,
}

impl Visitor for Ambiguous {
    type Break = DialectError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<DialectError> {
        match expr {
            Expr::Identifier(name) if self.twice.contains(&name.value) => {
                ControlFlow::Break(DialectError::syntax(
                    format!("Column '{}' is ambiguous", name.value),
                    location(expr.span()),
                ))
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{query, refusal};

    fn names(text: &str) -> Vec<String> {
        let tree = query(text).statement.to_string();
        assert!(tree.contains(MARK), "{tree}");
        tree.split(['"', ' ', ','])
            .filter(|word| word.contains(MARK))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn all_but_the_first_of_a_name_are_told_apart_and_shown_as_written() {
        for (text, shown) in [
            ("SELECT 1 AS a, 'x' AS A, 2 AS b", vec!["a"]),
            ("SELECT id, t.id, id AS id FROM t", vec!["id", "id"]),
            ("SELECT t.id, t.id FROM t", vec!["id"]),
            ("SELECT t.id, u.id, 1 AS id FROM t, u", vec!["id"]),
            (
                "SELECT 1 AS a, 2 AS a UNION ALL SELECT 3 AS b, 4 AS b",
                vec!["a", "b"],
            ),
            ("(SELECT 1 AS a, 2 AS a)", vec!["a"]),
        ] {
            let names = names(text);
            assert_eq!(
                names.iter().map(|n| shown_name(n)).collect::<Vec<_>>(),
                shown,
                "{text}"
            );
            let distinct: HashSet<&String> = names.iter().collect();
            assert_eq!(distinct.len(), names.len(), "{text}");
        }
        assert_eq!(shown_name("plain"), "plain");
    }

    #[test]
    fn queries_further_in_and_names_of_their_own_stay_as_they_are() {
        for text in [
            "SELECT a, b, c FROM t",
            "SELECT 1 AS x FROM (SELECT 1 AS a, 2 AS b)",
            "SELECT DISTINCT t.id, u.id FROM t, u ORDER BY u.id",
        ] {
            assert!(!query(text).statement.to_string().contains(MARK), "{text}");
        }
    }

    #[test]
    fn two_columns_of_one_name_further_in_have_none_that_can_be_used() {
        for text in [
            "SELECT y FROM (SELECT 1 AS a, 2 AS a, 3 AS y)",
            "WITH q AS (SELECT 1 AS a, 2 AS a, 3 AS y) SELECT y FROM q",
        ] {
            let names = names(text);
            assert_eq!(
                names.iter().map(|n| shown_name(n)).collect::<Vec<_>>(),
                ["a", "a"],
                "{text}"
            );
            assert_ne!(names[0], names[1], "{text}");
        }
        assert!(
            refusal("SELECT 1 FROM (SELECT 1 AS a, 2 AS a ORDER BY a)").contains("Column 'a' is ambiguous")
        );
    }

    #[test]
    fn sorting_by_a_name_of_two_columns_is_ambiguous() {
        for text in [
            "SELECT x AS a, y AS a FROM t ORDER BY a",
            "SELECT a, a FROM t ORDER BY abs(a) DESC",
        ] {
            assert!(refusal(text).contains("Column 'a' is ambiguous"), "{text}");
        }
        for text in [
            "SELECT x AS a, y AS a FROM t ORDER BY x",
            "SELECT a, a FROM t ORDER BY 2",
        ] {
            names(text);
        }
    }

    #[test]
    fn a_name_cannot_pretend_to_be_another() {
        assert!(refusal("SELECT 1 AS \"a\u{1f}0\"").contains("control character"));
    }
}

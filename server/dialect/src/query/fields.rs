//! Fields of rows: what `a.b.c` means, what its column is called, and `expression.field` in the planner's words.
//!
//! The text alone decides: a name that no relation in scope has is a column, and what follows a column is a field.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, ObjectNamePart, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Value, VisitMut, VisitorMut,
};

/// In front of the name in `expression.name`, which the planner cannot tell from `expression['name']` otherwise.
pub(crate) const FIELD: char = '\u{1f}';

/// Names fields, and rewrites accesses that the planner does not read.
pub(super) fn resolve(query: &mut Query) {
    let ControlFlow::Continue(()) = VisitMut::visit(query, &mut Fields { scopes: Vec::new() });
}

/// Relations that each query around has in FROM, by the parts of their names.
struct Fields {
    scopes: Vec<Vec<Vec<String>>>,
}

impl VisitorMut for Fields {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let outermost = self.scopes.is_empty();
        let mut relations = Vec::new();
        each_select(&mut query.body, &mut |select| {
            select.from.iter().for_each(|item| names_of(item, &mut relations));
        });
        self.scopes.push(relations);
        each_select(&mut query.body, &mut |select| self.name(select, outermost));
        if let SetExpr::Select(select) = &*query.body
            && select.distinct.is_some()
            && let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order| &mut order.kind)
        {
            keys.iter_mut().for_each(|key| by_name(&mut key.expr, select));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Self::Break> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::CompoundIdentifier(parts) => {
                if let Some(column) = self.relation(parts)
                    && parts.len() > column + 1
                    && self.is_outer(parts)
                {
                    let fields = parts.split_off(column + 1);
                    let root = Box::new(Expr::CompoundIdentifier(std::mem::take(parts)));
                    let access_chain = fields.into_iter().map(field).collect();
                    *expr = Expr::CompoundFieldAccess { root, access_chain };
                }
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                // The planner itself reads `a.b` in front of the first subscript.
                let mut names = matches!(**root, Expr::Identifier(_));
                for access in access_chain {
                    match access {
                        AccessExpr::Dot(Expr::Identifier(_)) if names => {}
                        AccessExpr::Dot(Expr::Identifier(name)) => *access = field(name.clone()),
                        _ => names = false,
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn field(name: Ident) -> AccessExpr {
    AccessExpr::Dot(Expr::value(Value::SingleQuotedString(format!(
        "{FIELD}{}",
        name.value
    ))))
}

impl Fields {
    /// Place of the column in `parts`, where the parts before it name a relation in scope.
    fn relation(&self, parts: &[Ident]) -> Option<usize> {
        (1..parts.len()).find(|column| {
            self.scopes
                .iter()
                .flatten()
                .any(|name| is_named(name, &parts[..*column]))
        })
    }

    /// Whether the relation in front of `parts` is one of a query around this one only.
    fn is_outer(&self, parts: &[Ident]) -> bool {
        let here = self.scopes.last();
        let known =
            |column: usize| here.is_some_and(|names| names.iter().any(|n| is_named(n, &parts[..column])));
        !(1..parts.len()).any(known)
    }

    /// Gives the fields in a select list the names that their columns have: the last part. Where another column has
    /// that name, it stays without one, since nobody could use it; the result's columns may have one name.
    fn name(&self, select: &mut Select, outermost: bool) {
        let wildcard =
            |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        if select.projection.iter().any(wildcard) {
            return;
        }
        let names: Vec<Option<String>> = select.projection.iter().map(shown).collect();
        for (index, item) in select.projection.iter_mut().enumerate() {
            let SelectItem::UnnamedExpr(expr @ Expr::CompoundIdentifier(_)) = item else {
                continue;
            };
            let Expr::CompoundIdentifier(parts) = expr else {
                continue;
            };
            let column = self.relation(parts).unwrap_or(0);
            let alone = names.iter().filter(|name| **name == names[index]).count() == 1;
            let Some(last) = parts.last().filter(|_| parts.len() > column + 1) else {
                continue;
            };
            if alone || outermost {
                let alias = Ident::with_quote('"', last.value.as_str());
                let expr = std::mem::replace(expr, Expr::value(Value::Null));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
    }
}

/// A field that is sorted by becomes the column that the select list has of it: of DISTINCT nothing else is left.
fn by_name(key: &mut Expr, select: &Select) {
    let named = select.projection.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } if expr == key => Some(alias.clone()),
        _ => None,
    });
    if let (Expr::CompoundIdentifier(_), Some(name)) = (&*key, named) {
        *key = Expr::Identifier(name);
    }
}

/// What the column of an item is called.
fn shown(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.value.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(|p| p.value.clone()),
        _ => None,
    }
}

/// Whether `name` ends with `parts`: `t`, `d.t` and `c.d.t` all name `c.d.t`.
fn is_named(name: &[String], parts: &[Ident]) -> bool {
    name.len() >= parts.len()
        && name[name.len() - parts.len()..]
            .iter()
            .zip(parts)
            .all(|(name, part)| *name == part.value)
}

/// Every SELECT of a query that is no query of its own.
fn each_select(body: &mut SetExpr, f: &mut impl FnMut(&mut Select)) {
    match body {
        SetExpr::Select(select) => f(select),
        SetExpr::SetOperation { left, right, .. } => stacker::maybe_grow(128 << 10, 2 << 20, || {
            each_select(left, f);
            each_select(right, f);
        }),
        _ => {}
    }
}

/// The names of the relations in one item of FROM.
fn names_of(item: &TableWithJoins, names: &mut Vec<Vec<String>>) {
    let joined = item.joins.iter().map(|join| &join.relation);
    for relation in std::iter::once(&item.relation).chain(joined) {
        match relation {
            TableFactor::Table {
                alias: Some(alias), ..
            }
            | TableFactor::Derived {
                alias: Some(alias), ..
            }
            | TableFactor::UNNEST {
                alias: Some(alias), ..
            }
            | TableFactor::NestedJoin {
                alias: Some(alias), ..
            } => names.push(vec![alias.name.value.clone()]),
            TableFactor::Table { name, .. } => names.push(
                name.0
                    .iter()
                    .filter_map(ObjectNamePart::as_ident)
                    .map(|part| part.value.clone())
                    .collect(),
            ),
            TableFactor::NestedJoin { table_with_joins, .. } => names_of(table_with_joins, names),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::query;

    fn written(text: &str) -> String {
        query(text).statement.to_string().replace(super::FIELD, "!")
    }

    #[test]
    fn a_field_gives_its_column_its_name() {
        for (text, expected) in [
            ("SELECT s.b FROM t", "SELECT s.b AS \"b\" FROM t"),
            ("SELECT t.s.b.C FROM d.T", "SELECT t.s.b.c AS \"c\" FROM d.t"),
            ("SELECT d.t.a FROM d.t", "SELECT d.t.a FROM d.t"),
            ("SELECT d.t.a.b FROM d.t", "SELECT d.t.a.b AS \"b\" FROM d.t"),
            ("SELECT u.a FROM t AS u", "SELECT u.a FROM t AS u"),
            ("SELECT t.a FROM t AS u", "SELECT t.a AS \"a\" FROM t AS u"),
            ("SELECT s.b, * FROM t", "SELECT s.b AS \"b!0\", * FROM t"),
            (
                "SELECT x.b FROM (SELECT s.b FROM t) AS x",
                "SELECT x.b FROM (SELECT s.b AS \"b\" FROM t) AS x",
            ),
            (
                "SELECT DISTINCT s.b, t.a FROM t ORDER BY s.b, t.a DESC",
                "SELECT DISTINCT s.b AS \"b\", t.a FROM t ORDER BY \"b\" NULLS LAST, t.a DESC NULLS LAST",
            ),
            (
                "SELECT 1 AS one FROM (SELECT s.b, u.b FROM t) AS x",
                "SELECT 1 AS one FROM (SELECT s.b AS \"b!0\", u.b AS \"b!1\" FROM t) AS x",
            ),
            (
                "SELECT s.b AS z, l[1].b FROM t",
                "SELECT s.b AS z, l[1].'!b' AS \"_col1\" FROM t",
            ),
        ] {
            assert_eq!(written(text), expected, "{text}");
        }
        assert!(written("SELECT s.b, u.b FROM t").contains("AS \"b!1\""));
    }

    #[test]
    fn fields_behind_an_expression_and_of_an_outer_row_are_spelled_out() {
        for (text, expected) in [
            (
                "SELECT 1 AS one FROM t WHERE f(l).a.b = 1",
                "SELECT 1 AS one FROM t WHERE f(l).'!a'.'!b' = 1",
            ),
            (
                "SELECT 1 AS one FROM t WHERE t.l[1].a = 1",
                "SELECT 1 AS one FROM t WHERE t.l[1].'!a' = 1",
            ),
            (
                "SELECT 1 AS one FROM t WHERE EXISTS (SELECT 1 AS x FROM u WHERE u.s.b = t.s.b)",
                "SELECT 1 AS one FROM t WHERE EXISTS (SELECT 1 AS x FROM u WHERE u.s.b = t.s.'!b')",
            ),
        ] {
            assert_eq!(written(text), expected, "{text}");
        }
    }
}

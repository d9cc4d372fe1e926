//! FROM: table names, joins and UNNEST. Anything else that may stand there in other dialects is refused.
//!
//! `left CROSS JOIN UNNEST(left.array)` becomes a nested join of just these two, which `unnest` plans as a whole.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, Join, JoinConstraint, JoinOperator, ObjectName,
    ObjectNamePart, Spanned, TableAlias, TableFactor, TableFunctionArgs, TableWithJoins, Value,
};

use super::join_using::is_using;
use super::names;
use super::passthrough;
use super::rewrite::{Outcome, Rewriter, location, lower, lower_alias, not_supported, syntax};
use crate::ddl::shown;
use crate::statement::{TableName, TableReference};

impl Rewriter<'_> {
    pub(super) fn from(&mut self, from: &mut Vec<TableWithJoins>) -> Outcome {
        self.check_from_items(from.iter().map(|item| 1 + item.joins.len()).sum())?;
        let mut done: Vec<TableWithJoins> = Vec::with_capacity(from.len());
        for mut item in from.drain(..) {
            self.relation(&mut item.relation)?;
            if is_unnest(&item.relation) && !done.is_empty() {
                // `FROM a, UNNEST(a.x)`: a comma is a cross join.
                let left = cross_joined(std::mem::take(&mut done));
                let joins = std::mem::take(&mut item.joins);
                item = TableWithJoins {
                    relation: unnested(left, cross_join(item.relation)),
                    joins,
                };
            }
            done.push(self.joined(item)?);
        }
        *from = done;
        Ok(())
    }

    /// The joins of one FROM item, each UNNEST and each join with USING folded with what stands left of it.
    fn joined(&mut self, item: TableWithJoins) -> Outcome<TableWithJoins> {
        let mut left = TableWithJoins {
            relation: item.relation,
            joins: Vec::with_capacity(item.joins.len()),
        };
        for mut join in item.joins {
            self.relation(&mut join.relation)?;
            self.join(&mut join)?;
            if is_unnest(&join.relation) || is_using(&join) {
                if is_unnest(&join.relation) {
                    unnest_join(&join)?;
                }
                left = TableWithJoins {
                    relation: unnested(left, join),
                    joins: Vec::new(),
                };
            } else {
                left.joins.push(join);
            }
        }
        Ok(left)
    }

    fn join(&mut self, join: &mut Join) -> Outcome {
        let span = join.relation.span();
        if join.global {
            return Err(syntax("mismatched input 'GLOBAL'", span));
        }
        let constraint = match &mut join.join_operator {
            JoinOperator::CrossJoin(JoinConstraint::None) => return Ok(()),
            JoinOperator::CrossJoin(_) => return Err(syntax("CROSS JOIN has no ON or USING", span)),
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint) => constraint,
            JoinOperator::Semi(_) | JoinOperator::LeftSemi(_) | JoinOperator::RightSemi(_) => {
                return Err(syntax("mismatched input 'SEMI'", span)
                    .with_hint("Write WHERE EXISTS (...) or IN (...)."));
            }
            JoinOperator::Anti(_) | JoinOperator::LeftAnti(_) | JoinOperator::RightAnti(_) => {
                return Err(
                    syntax("mismatched input 'ANTI'", span).with_hint("Write WHERE NOT EXISTS (...).")
                );
            }
            _ => {
                return Err(syntax(
                    "expected JOIN, LEFT, RIGHT, FULL, INNER, CROSS or NATURAL",
                    span,
                ));
            }
        };
        match constraint {
            JoinConstraint::On(condition) => self.expr(condition),
            JoinConstraint::Using(columns) => columns.iter_mut().try_for_each(lower_name),
            JoinConstraint::Natural => {
                Err(not_supported("NATURAL JOIN", span).with_hint("Name the columns: JOIN ... USING (...)."))
            }
            JoinConstraint::None => {
                Err(syntax("expected ON or USING after the joined table", span)
                    .with_hint("Or write CROSS JOIN."))
            }
        }
    }

    fn relation(&mut self, relation: &mut TableFactor) -> Outcome {
        self.level(|this| this.relation_at(relation))
    }

    fn relation_at(&mut self, relation: &mut TableFactor) -> Outcome {
        let span = relation.span();
        match relation {
            TableFactor::Table { args: Some(_), .. } => self.table_function(relation),
            TableFactor::Table { .. } => self.table(relation),
            TableFactor::Derived {
                subquery,
                alias,
                sample,
                lateral: _,
            } => {
                if sample.is_some() {
                    return Err(not_supported("TABLESAMPLE", span));
                }
                alias.as_mut().map(lower_alias).transpose()?;
                self.aliased(subquery, alias.as_ref())?;
                names::hide_duplicates(subquery)
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                alias.as_mut().map(lower_alias).transpose()?;
                let item = std::mem::replace(
                    &mut **table_with_joins,
                    TableWithJoins {
                        relation: empty(),
                        joins: Vec::new(),
                    },
                );
                let mut items = vec![item];
                self.from(&mut items)?;
                if let Some(item) = items.pop() {
                    **table_with_joins = item;
                }
                Ok(())
            }
            TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset: false,
                with_offset_alias: None,
                with_ordinality: _,
            } => {
                alias.as_mut().map(lower_alias).transpose()?;
                if array_exprs.is_empty() {
                    return Err(syntax("UNNEST takes at least one array or map", span));
                }
                array_exprs.iter_mut().try_for_each(|expr| self.expr(expr))
            }
            TableFactor::JsonTable { .. } => Err(not_supported("JSON_TABLE", span)),
            TableFactor::MatchRecognize { .. } => Err(not_supported("MATCH_RECOGNIZE", span)),
            TableFactor::TableFunction { expr, alias } => {
                alias.as_mut().map(lower_alias).transpose()?;
                match passthrough::table(expr, alias.take())? {
                    Some(table) => *relation = table,
                    None => return Err(not_supported("a table function", span)),
                }
                self.count(1)
            }
            TableFactor::Function { .. } => Err(not_supported("a table function", span)),
            TableFactor::Pivot { .. } => Err(syntax("mismatched input 'PIVOT'", span)),
            TableFactor::Unpivot { .. } => Err(syntax("mismatched input 'UNPIVOT'", span)),
            TableFactor::UNNEST { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::XmlTable { .. }
            | TableFactor::SemanticView { .. } => Err(syntax("mismatched input in FROM", span)),
        }
    }

    fn table(&mut self, relation: &mut TableFactor) -> Outcome {
        let span = relation.span();
        let TableFactor::Table {
            name,
            alias,
            args: None,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } = relation
        else {
            return Err(syntax("expected a table name", span));
        };
        if sample.is_some() {
            return Err(not_supported("TABLESAMPLE", span));
        }
        if version.is_some() {
            return Err(not_supported(
                "reading an older version of a table (FOR ... AS OF)",
                span,
            ));
        }
        if *with_ordinality
            || !with_hints.is_empty()
            || !partitions.is_empty()
            || !index_hints.is_empty()
            || json_path.is_some()
        {
            return Err(syntax("mismatched input after the table's name", span));
        }
        lower_name(name)?;
        alias.as_mut().map(lower_alias).transpose()?;
        let written = reference(name)?;
        let shown = written.name.name.clone();
        if let Some(planned) = self.used(written)? {
            *name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', planned))]);
            alias.get_or_insert_with(|| TableAlias {
                explicit: true,
                name: Ident::with_quote('"', shown),
                columns: Vec::new(),
                at: None,
            });
        }
        Ok(())
    }

    /// `UNNEST(...)` takes its own form; there is no other table function.
    fn table_function(&mut self, relation: &mut TableFactor) -> Outcome {
        let span = relation.span();
        let TableFactor::Table {
            name,
            alias,
            args: Some(TableFunctionArgs { args, settings: None }),
            with_ordinality,
            ..
        } = relation
        else {
            return Err(syntax("mismatched input in FROM", span));
        };
        let unnest = matches!(
            name.0.as_slice(),
            [ObjectNamePart::Identifier(Ident { value, quote_style: None, .. })] if value.eq_ignore_ascii_case("unnest")
        );
        if !unnest {
            return Err(not_supported(
                &format!("the table function {}", shown(&name.to_string().to_lowercase())),
                span,
            ));
        }
        let mut array_exprs = Vec::with_capacity(args.len());
        for argument in args.drain(..) {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => array_exprs.push(expr),
                _ => return Err(syntax("UNNEST takes arrays and maps", span)),
            }
        }
        *relation = TableFactor::UNNEST {
            alias: alias.take(),
            array_exprs,
            with_offset: false,
            with_offset_alias: None,
            with_ordinality: *with_ordinality,
        };
        self.relation_at(relation)
    }
}

pub(super) fn is_unnest(relation: &TableFactor) -> bool {
    matches!(relation, TableFactor::UNNEST { .. })
}

/// Which joins an UNNEST may have: CROSS, and INNER or LEFT with ON TRUE.
fn unnest_join(join: &Join) -> Outcome {
    let span = join.relation.span();
    let constraint = match &join.join_operator {
        JoinOperator::CrossJoin(_) => return Ok(()),
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => constraint,
        _ => return Err(not_supported("RIGHT or FULL JOIN UNNEST", span)),
    };
    match constraint {
        JoinConstraint::On(Expr::Value(value)) if value.value == Value::Boolean(true) => Ok(()),
        _ => Err(
            not_supported("JOIN UNNEST with a condition other than ON TRUE", span)
                .with_hint("Write CROSS JOIN UNNEST(...) and filter with WHERE."),
        ),
    }
}

fn cross_join(relation: TableFactor) -> Join {
    Join {
        relation,
        global: false,
        join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
    }
}

/// FROM items, at least one, as one.
fn cross_joined(items: Vec<TableWithJoins>) -> TableWithJoins {
    let mut items = items.into_iter().map(factor);
    let relation = items.next().unwrap_or_else(empty);
    TableWithJoins {
        relation,
        joins: items.map(cross_join).collect(),
    }
}

/// Stands in for a relation that is being moved.
fn empty() -> TableFactor {
    TableFactor::UNNEST {
        alias: None,
        array_exprs: Vec::new(),
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    }
}

fn nested(item: TableWithJoins) -> TableFactor {
    TableFactor::NestedJoin {
        table_with_joins: Box::new(item),
        alias: None,
    }
}

/// An item with joins in brackets.
fn factor(item: TableWithJoins) -> TableFactor {
    if item.joins.is_empty() {
        item.relation
    } else {
        nested(item)
    }
}

/// The form that `unnest` and `join_using` look for: a nested join with one join.
fn unnested(left: TableWithJoins, join: Join) -> TableFactor {
    nested(TableWithJoins {
        relation: factor(left),
        joins: vec![join],
    })
}

/// `a.b.c` in lower case; texts in single quotes are paths in other engines, never names here.
pub(super) fn lower_name(name: &mut ObjectName) -> Outcome {
    let span = name.span();
    for part in &mut name.0 {
        match part {
            ObjectNamePart::Identifier(ident) if matches!(ident.quote_style, None | Some('"')) => {
                lower(ident)
            }
            _ => {
                return Err(syntax("expected a table name", span)
                    .with_hint("Names stand in double quotes or in none."));
            }
        }
    }
    if name.0.is_empty() || name.0.len() > 3 {
        return Err(syntax("a table's name has one to three parts", span));
    }
    Ok(())
}

fn reference(name: &ObjectName) -> Outcome<TableReference> {
    let mut parts: Vec<&Ident> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
    let Some(last) = parts.pop() else {
        return Err(syntax("expected a table name", name.span()));
    };
    let database = parts.pop().map(|ident| ident.value.clone());
    let catalog = parts.pop().map(|ident| ident.value.clone());
    let name = TableName {
        catalog,
        database,
        name: last.value.clone(),
    };
    Ok(TableReference {
        name,
        location: location(last.span),
    })
}

/// The names an UNNEST gives its columns: the alias and its column list.
pub(super) fn alias_names(alias: Option<&TableAlias>) -> (Option<&str>, Vec<&str>) {
    match alias {
        None => (None, Vec::new()),
        Some(alias) => (
            Some(&alias.name.value),
            alias.columns.iter().map(|c| c.name.value.as_str()).collect(),
        ),
    }
}

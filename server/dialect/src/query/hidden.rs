//! `SELECT *` in queries that name a hidden column (`"$path"`): tables then have these columns, `*` does not.

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Spanned, TableFactor, TableWithJoins, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use owlake_catalog::hidden_columns::HIDDEN_COLUMNS;

use super::rewrite::{Outcome, Rewriter, not_supported};

/// Whether a hidden column is named anywhere in the statement.
pub(super) fn are_named(tokens: &[TokenWithSpan]) -> bool {
    tokens.iter().any(|token| match &token.token {
        Token::Word(word) => {
            word.quote_style.is_some()
                && HIDDEN_COLUMNS
                    .iter()
                    .any(|name| word.value.eq_ignore_ascii_case(name))
        }
        _ => false,
    })
}

/// One relation of a FROM.
struct Source {
    /// What `qualifier.*` calls it.
    qualifier: Option<ObjectName>,
    /// A table of a catalog: only these have hidden columns.
    table: bool,
}

impl Rewriter<'_> {
    /// Makes the wildcards of `select` leave out the hidden columns of its tables.
    pub(super) fn spare_hidden_columns(&self, select: &mut Select) -> Outcome {
        let mut sources = Vec::new();
        let mut merged = false;
        for item in &select.from {
            self.sources(item, &mut sources, &mut merged)?;
        }
        if !sources.iter().any(|source| source.table) {
            return Ok(());
        }
        for item in std::mem::take(&mut select.projection) {
            match item {
                SelectItem::Wildcard(mut options) => match sources.as_slice() {
                    [_only] => {
                        options.opt_exclude = Some(exclude());
                        select.projection.push(SelectItem::Wildcard(options));
                    }
                    _ if merged => {
                        return Err(not_supported(
                            "* over a JOIN with USING beside a hidden column such as \"$path\"",
                            options.wildcard_token.0.span,
                        ));
                    }
                    several => {
                        for source in several {
                            select.projection.push(all_of(source, &options)?);
                        }
                    }
                },
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    mut options,
                ) => {
                    if sources.iter().any(|s| s.table && s.is_called(&name)) {
                        options.opt_exclude = Some(exclude());
                    }
                    let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
                    select
                        .projection
                        .push(SelectItem::QualifiedWildcard(kind, options));
                }
                other => select.projection.push(other),
            }
        }
        Ok(())
    }

    fn sources(&self, item: &TableWithJoins, sources: &mut Vec<Source>, merged: &mut bool) -> Outcome {
        self.source(&item.relation, sources, merged)?;
        for join in &item.joins {
            match constraint(join) {
                Some(JoinConstraint::Natural) => {
                    return Err(not_supported(
                        "NATURAL JOIN beside a hidden column such as \"$path\"",
                        join.relation.span(),
                    ));
                }
                Some(JoinConstraint::Using(_)) => *merged = true,
                _ => {}
            }
            self.source(&join.relation, sources, merged)?;
        }
        Ok(())
    }

    fn source(&self, relation: &TableFactor, sources: &mut Vec<Source>, merged: &mut bool) -> Outcome {
        let (qualifier, table) = match relation {
            TableFactor::Table { name, alias, .. } => {
                let called = alias.as_ref().map(|a| ObjectName::from(a.name.clone()));
                (
                    Some(called.unwrap_or_else(|| name.clone())),
                    self.has_hidden_columns(name),
                )
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => return self.sources(table_with_joins, sources, merged),
            TableFactor::NestedJoin { .. } => {
                return Err(not_supported(
                    "an alias of joined tables beside a hidden column such as \"$path\"",
                    relation.span(),
                ));
            }
            TableFactor::Derived { alias, .. } | TableFactor::UNNEST { alias, .. } => {
                (alias.as_ref().map(|a| ObjectName::from(a.name.clone())), false)
            }
            _ => (None, false),
        };
        sources.push(Source { qualifier, table });
        Ok(())
    }

    /// Whether `name` is a table of the lake rather than a WITH name or a system table.
    fn has_hidden_columns(&self, name: &ObjectName) -> bool {
        let parts: Vec<&str> = name
            .0
            .iter()
            .filter_map(|p| p.as_ident().map(|i| i.value.as_str()))
            .collect();
        match parts.as_slice() {
            [name] => !self.is_with_name(name),
            [.., database, _name] => !matches!(*database, "system" | "information_schema"),
            [] => false,
        }
    }
}

impl Source {
    fn is_called(&self, name: &ObjectName) -> bool {
        let last = |n: &ObjectName| n.0.last().and_then(|p| p.as_ident()).map(|i| i.value.clone());
        self.qualifier.as_ref().is_some_and(|own| last(own) == last(name))
    }
}

fn all_of(source: &Source, options: &WildcardAdditionalOptions) -> Outcome<SelectItem> {
    let Some(qualifier) = &source.qualifier else {
        return Err(not_supported(
            "* over a relation without a name beside a hidden column such as \"$path\"",
            options.wildcard_token.0.span,
        )
        .with_hint("Give every subquery and UNNEST in FROM an alias."));
    };
    let mut options = options.clone();
    if source.table {
        options.opt_exclude = Some(exclude());
    }
    let kind = SelectItemQualifiedWildcardKind::ObjectName(qualifier.clone());
    Ok(SelectItem::QualifiedWildcard(kind, options))
}

fn exclude() -> ExcludeSelectItem {
    let names = HIDDEN_COLUMNS.iter();
    ExcludeSelectItem::Multiple(
        names
            .map(|name| ObjectName::from(Ident::with_quote('"', *name)))
            .collect(),
    )
}

fn constraint(join: &Join) -> Option<&JoinConstraint> {
    match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => Some(constraint),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{query, refusal};

    fn rewritten(text: &str) -> String {
        let query = query(text);
        assert!(query.hidden_columns, "{text}");
        query.statement.to_string()
    }

    const SPARED: &str = r#"* EXCLUDE ("$path", "$file_size", "$file_modified_time")"#;

    #[test]
    fn wildcards_over_tables_leave_hidden_columns_out() {
        let tree = rewritten(r#"SELECT *, "$path" FROM t"#);
        assert!(
            tree.contains(&format!("SELECT {SPARED}, \"$path\" FROM t")),
            "{tree}"
        );
        let tree = rewritten(r#"SELECT * FROM db.t, u AS x WHERE x."$file_size" > 1"#);
        assert!(
            tree.contains(&format!("SELECT db.t.{SPARED}, x.{SPARED} FROM")),
            "{tree}"
        );
        let tree = rewritten(r#"WITH w AS (SELECT "$path" FROM t) SELECT w.*, t.* FROM w, t"#);
        assert!(tree.contains(&format!("SELECT w.*, t.{SPARED} FROM")), "{tree}");
    }

    #[test]
    fn what_a_subquery_selects_by_name_is_an_ordinary_column() {
        let tree = rewritten(r#"SELECT * FROM (SELECT "$path" FROM t) AS s"#);
        assert!(tree.starts_with("SELECT * FROM"), "{tree}");
        let tree = rewritten(r#"SELECT count(*) FROM t WHERE "$PATH" LIKE 'x'"#);
        assert!(!tree.contains("EXCLUDE") && tree.contains("\"$path\""), "{tree}");
    }

    #[test]
    fn queries_without_them_stay_as_they_are() {
        let plain = query("SELECT * FROM t WHERE c = '\"$path\"'");
        assert!(!plain.hidden_columns && !plain.statement.to_string().contains("EXCLUDE"));
    }

    #[test]
    fn joins_that_would_merge_hidden_columns_are_refused() {
        for text in [
            r#"SELECT t."$path" FROM t NATURAL JOIN u"#,
            r#"SELECT *, t."$path" FROM t JOIN u USING (id)"#,
            r#"SELECT *, "$path" FROM t CROSS JOIN UNNEST(t.list)"#,
        ] {
            assert!(refusal(text).starts_with("NOT_SUPPORTED"), "{text}");
        }
    }
}

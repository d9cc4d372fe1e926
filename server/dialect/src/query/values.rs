//! Names for the columns of VALUES: `_col0`, `_col1`, where the statement gives none; the planner has others.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, Parens, Query, Select, SelectFlavor, SelectItem, SetExpr, TableAlias,
    TableAliasColumnDef, TableFactor, TableWithJoins, Values, WildcardAdditionalOptions,
};

/// Stands for the rows in `SELECT * FROM (VALUES ...)`; no statement can name it.
const RELATION: &str = "$values";

/// `VALUES ...` as `SELECT * FROM (VALUES ...) AS "$values" (_col0, ...)`.
pub(super) fn named(rows: Vec<Parens<Vec<Expr>>>) -> SetExpr {
    let width = rows.first().map_or(0, |row| row.content.len());
    let columns = (0..width)
        .map(|index| TableAliasColumnDef {
            name: Ident::with_quote('"', format!("_col{index}")),
            data_type: None,
        })
        .collect();
    let relation = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query(SetExpr::Values(Values {
            explicit_row: false,
            value_keyword: false,
            rows,
        }))),
        alias: Some(TableAlias {
            explicit: true,
            name: Ident::with_quote('"', RELATION),
            columns,
            at: None,
        }),
        sample: None,
    };
    SetExpr::Select(Box::new(Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from: vec![TableWithJoins {
            relation,
            joins: Vec::new(),
        }],
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }))
}

fn query(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// Whether a query is nothing but VALUES, so that the names of its alias are all that its columns need.
pub(super) fn is_plain(query: &Query) -> bool {
    query.with.is_none() && query.order_by.is_none() && matches!(*query.body, SetExpr::Values(_))
}

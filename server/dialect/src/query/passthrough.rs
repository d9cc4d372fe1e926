//! `TABLE(pg.system.query(query => '...'))`: a statement for another database, as a table whose name holds it. The
//! planner then resolves it like any other name; no name of a statement is spelled like that by itself.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Spanned, TableAlias, TableFactor, Value,
};

use super::rewrite::{Outcome, lower, syntax};

/// The schema and the name of the function.
const SCHEMA: &str = "system";
const FUNCTION: &str = "query";

/// The statement that a table's name holds, where it is one of these.
pub fn passthrough_statement(table: &str) -> Option<&str> {
    let inner = table.strip_prefix(FUNCTION)?;
    inner.strip_prefix('(')?.strip_suffix(')')
}

/// The table that stands for the function's result; `None` where it is another function.
pub(super) fn table(expr: &Expr, alias: Option<TableAlias>) -> Outcome<Option<TableFactor>> {
    let Expr::Function(Function { name, args, .. }) = expr else {
        return Ok(None);
    };
    let mut path: Vec<Ident> = name
        .0
        .iter()
        .filter_map(ObjectNamePart::as_ident)
        .cloned()
        .collect();
    path.iter_mut().for_each(lower);
    let named = match path.as_slice() {
        [schema, function] | [_, schema, function] => schema.value == SCHEMA && function.value == FUNCTION,
        _ => false,
    };
    if !named {
        return Ok(None);
    }
    let statement = statement(args).ok_or_else(|| {
        syntax("system.query takes one text", expr.span()).with_hint("Write query => 'SELECT ...'.")
    })?;
    path.pop();
    path.push(Ident::with_quote('"', format!("{FUNCTION}({statement})")));
    let alias = alias.unwrap_or_else(|| TableAlias {
        explicit: true,
        name: Ident::with_quote('"', FUNCTION),
        columns: Vec::new(),
        at: None,
    });
    Ok(Some(TableFactor::Table {
        name: ObjectName(path.into_iter().map(ObjectNamePart::Identifier).collect()),
        alias: Some(alias),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }))
}

/// The one argument, by its name or without.
fn statement(args: &FunctionArguments) -> Option<String> {
    let FunctionArguments::List(FunctionArgumentList {
        args,
        clauses,
        duplicate_treatment: None,
    }) = args
    else {
        return None;
    };
    let ([argument], true) = (args.as_slice(), clauses.is_empty()) else {
        return None;
    };
    let value = match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => value,
        FunctionArg::Named {
            name,
            arg: FunctionArgExpr::Expr(value),
            ..
        } if name.value.eq_ignore_ascii_case(FUNCTION) => value,
        FunctionArg::ExprNamed {
            name: Expr::Identifier(name),
            arg: FunctionArgExpr::Expr(value),
            ..
        } if name.value.eq_ignore_ascii_case(FUNCTION) => value,
        _ => return None,
    };
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

//! GROUP BY and the aggregates whose results are the same there as here.

use arrow::datatypes::DataType;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr};

use super::expression::{self, Names};
use super::plan::Printer;
use super::select::Select;
use super::value::{Class, Value};

/// The groups of `select`; `None` where a key or an aggregate must stay here.
pub(super) fn aggregate(printer: &Printer<'_>, node: &Aggregate, select: Select) -> Option<Select> {
    let scope = printer.scope(node.input.schema(), &select);
    let keys = node
        .group_expr
        .iter()
        .map(|key| expression::value(&scope, key)?.grouped());
    let keys: Vec<Value> = keys.collect::<Option<_>>()?;
    if keys.is_empty() && node.aggr_expr.is_empty() {
        return None;
    }
    let types = node.schema.fields().iter().skip(keys.len());
    let results = node
        .aggr_expr
        .iter()
        .zip(types)
        .map(|(expr, field)| call(&scope, bare(expr)?, field.data_type()));
    let results: Vec<Value> = results.collect::<Option<_>>()?;
    let groups: Vec<String> = keys.iter().map(|key| key.sql.clone()).collect();
    let rows = if groups.is_empty() { Some(1) } else { select.rows };
    Some(Select {
        columns: keys.into_iter().chain(results).collect(),
        groups: Some(groups),
        works: true,
        multiplies: false,
        rows,
        ..select
    })
}

fn bare(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::Alias(alias) => bare(&alias.expr),
        Expr::AggregateFunction(call) => Some(call),
        _ => None,
    }
}

/// One aggregate.
struct Call {
    argument: Option<Value>,
    distinct: &'static str,
    filter: String,
}

impl Call {
    fn of(&self, name: &str) -> Option<String> {
        Some(self.over(name, &self.argument.as_ref()?.sql))
    }

    fn over(&self, name: &str, argument: &str) -> String {
        format!("{name}({}{argument}){}", self.distinct, self.filter)
    }
}

fn call(scope: &dyn Names, call: &AggregateFunction, returns: &DataType) -> Option<Value> {
    let params = &call.params;
    if !params.order_by.is_empty() || params.null_treatment.is_some() || params.args.len() > 1 {
        return None;
    }
    let mut conditions = Vec::new();
    if let Some(filter) = &params.filter {
        conditions.push(expression::condition(scope, filter)?);
    }
    let name = call.func.name();
    let all = match params.args.as_slice() {
        [] => true,
        [Expr::Literal(value, _)] => !value.is_null() && !params.distinct,
        _ => false,
    };
    let mut argument = match params.args.first() {
        Some(expr) if !all => Some(expression::value(scope, expr)?),
        _ => None,
    };
    if name == "count_if" && !params.distinct {
        conditions.push(argument.take().filter(|a| a.class() == Some(Class::Bool))?.sql);
    }
    let filter = match conditions.join(" AND ") {
        none if none.is_empty() => none,
        conditions => format!(" FILTER (WHERE {conditions})"),
    };
    let call = Call {
        argument: match argument {
            Some(argument) if params.distinct => Some(argument.grouped()?),
            other => other,
        },
        distinct: if params.distinct { "DISTINCT " } else { "" },
        filter,
    };
    result(name, &call, returns)
}

fn result(name: &str, call: &Call, returns: &DataType) -> Option<Value> {
    let class = call.argument.as_ref().and_then(Value::class);
    let collation = call
        .argument
        .as_ref()
        .map_or(super::value::Collation::mixed(false), |argument| {
            argument.collation
        });
    let exact = call.argument.as_ref().is_some_and(|argument| {
        argument.exact || !matches!(argument.mapping.data_type, DataType::Decimal128(..))
    });
    let sql = match (name, &call.argument) {
        ("count", None) | ("count_if", None) => call.over("count", "*"),
        ("count", Some(_)) => call.of("count")?,
        ("min" | "max", Some(argument))
            if matches!(
                class?,
                Class::Number | Class::Moment | Class::MomentUtc | Class::Text
            ) =>
        {
            let key = argument.order_key()?;
            call.over(name, &key)
        }
        ("sum", Some(_)) if class? == Class::Number => call.of("sum")?,
        ("avg", Some(argument)) if class? == Class::Number && exact => average(call, argument, returns)?,
        ("bool_and" | "bool_or", Some(_)) if class? == Class::Bool => call.of(name)?,
        _ => return None,
    };
    let value = Value::computed(&sql, returns, collation)?;
    Some(Value { exact, ..value })
}

/// The average of decimals, in their scale, halves away from zero: the sum in units of its last digit, divided with
/// nothing lost before the one rounding.
fn average(call: &Call, argument: &Value, returns: &DataType) -> Option<String> {
    let DataType::Decimal128(_, scale) = argument.mapping.data_type else {
        return None;
    };
    if !matches!(returns, DataType::Decimal128(_, to) if *to == scale) {
        return None;
    }
    let places = usize::try_from(scale).ok()?;
    let units = format!("1{}", "0".repeat(places));
    let unit = match places {
        0 => "1".to_owned(),
        places => format!("0.{}1", "0".repeat(places - 1)),
    };
    let (sum, count) = (call.of("sum")?, call.of("count")?);
    Some(format!(
        "sign({sum}) * div(abs({sum}) * {units} * 2 + {count}, 2 * {count}) * {unit}"
    ))
}

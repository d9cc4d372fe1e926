//! Filters that are known only once another part of the query has run, as conditions of a remote statement: what the
//! build side of a join holds. They only save work, so that a condition that lets more rows through is as right;
//! which conditions the database may answer is decided in `filter.rs` alone.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column as Name, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr as Binary, Cast, Expr, Operator};
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr,
    Literal, NotExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::catalog::RemoteTable;
use super::filter;

/// Deeper filters are not looked into; the walk is recursive.
const MAX_DEPTH: usize = 40;

/// Whether some part of a filter is filled in while the query runs.
pub(super) fn is_dynamic(filter: &Arc<dyn PhysicalExpr>) -> bool {
    !parts(filter).is_empty()
}

/// The parts of filters that are filled in while the query runs.
fn parts(filter: &Arc<dyn PhysicalExpr>) -> Vec<Arc<dyn PhysicalExpr>> {
    let mut found = Vec::new();
    let walked = filter.apply(|expr| {
        if expr.downcast_ref::<DynamicFilterPhysicalExpr>().is_some() {
            found.push(Arc::clone(expr));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    // The walk itself cannot fail.
    walked.map(|_| found).unwrap_or_default()
}

/// Waits until those parts are final whose build sides run whether or not this scan does (`awaited`, by id). Others,
/// such as that of a sort over this very scan, are taken as they are.
pub(super) async fn settled(filters: &[Arc<dyn PhysicalExpr>], awaited: &HashSet<u64>) {
    for part in filters.iter().flat_map(parts) {
        let known = part.expression_id().is_some_and(|id| awaited.contains(&id));
        if let Some(part) = part.downcast_ref::<DynamicFilterPhysicalExpr>().filter(|_| known) {
            part.wait_complete().await;
        }
    }
}

/// The filters, as they are now, as one condition that every row of theirs fulfils; `None` where that is each row.
pub(super) fn condition(table: &RemoteTable, filters: &[Arc<dyn PhysicalExpr>]) -> Option<String> {
    let all = filters.iter().filter_map(|filter| weakened(table, filter, 0));
    all.reduce(|all, next| format!("{all} AND {next}"))
}

/// A condition that is true wherever `expr` is.
fn weakened(table: &RemoteTable, expr: &Arc<dyn PhysicalExpr>, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    let next = depth + 1;
    if let Some(dynamic) = expr.downcast_ref::<DynamicFilterPhysicalExpr>() {
        return weakened(table, &dynamic.current().ok()?, next);
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let side = |side| weakened(table, side, next);
        match binary.op() {
            Operator::And => {
                return match (side(binary.left()), side(binary.right())) {
                    (Some(left), Some(right)) => Some(format!("({left} AND {right})")),
                    (one, other) => one.or(other),
                };
            }
            Operator::Or => return any([side(binary.left()), side(binary.right())]),
            _ => {}
        }
    }
    // The hash of the key picks the branch: which rows go where is the engine's own affair.
    if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        let branches = case.when_then_expr().iter().map(|(_, then)| then);
        return any(branches
            .chain(case.else_expr())
            .map(|branch| weakened(table, branch, next)));
    }
    match expr.downcast_ref::<Literal>().map(Literal::value) {
        Some(ScalarValue::Boolean(Some(true))) => return None,
        Some(ScalarValue::Boolean(_)) => return Some(NEVER.to_owned()),
        _ => {}
    }
    match expr.downcast_ref::<InListExpr>() {
        Some(list) if !list.negated() => membership(table, list),
        _ => filter::condition(table, &logical(expr, 0)?),
    }
}

const NEVER: &str = "false";

/// OR: each row where one of them says so; a side that lets everything through makes the whole do so.
fn any(sides: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let sides = sides.into_iter().collect::<Option<Vec<_>>>()?;
    let some: Vec<String> = sides.into_iter().filter(|side| side != NEVER).collect();
    match some.as_slice() {
        [] => Some(NEVER.to_owned()),
        [one] => Some(one.clone()),
        _ => Some(format!("({})", some.join(" OR "))),
    }
}

/// `key IN (...)`, and of a join by several keys `a IN (...) AND b IN (...)`.
fn membership(table: &RemoteTable, list: &InListExpr) -> Option<String> {
    let values = list
        .list()
        .iter()
        .map(|item| Some(item.downcast_ref::<Literal>()?.value().clone()));
    let values = values.collect::<Option<Vec<_>>>()?;
    match list.expr().downcast_ref::<ScalarFunctionExpr>() {
        Some(keys) if keys.fun().name() == "struct" => {
            let each = keys.args().iter().enumerate().filter_map(|(at, key)| {
                let of_key = values.iter().map(|value| match value {
                    ScalarValue::Struct(all) => ScalarValue::try_from_array(all.column(at), 0).ok(),
                    _ => None,
                });
                one_of(table, key, of_key.collect::<Option<Vec<_>>>()?)
            });
            each.reduce(|all, next| format!("({all} AND {next})"))
        }
        _ => one_of(table, list.expr(), values),
    }
}

fn one_of(table: &RemoteTable, key: &Arc<dyn PhysicalExpr>, values: Vec<ScalarValue>) -> Option<String> {
    let mut seen = HashSet::new();
    // NULL equals nothing; a join that takes it for equal asks for IS NULL beside the list.
    let values = values
        .into_iter()
        .filter(|value| !value.is_null() && seen.insert(value.clone()));
    let values: Vec<Expr> = values.map(|value| Expr::Literal(value, None)).collect();
    if values.is_empty() {
        return Some(NEVER.to_owned());
    }
    filter::condition(
        table,
        &Expr::InList(InList::new(Box::new(logical(key, 0)?), values, false)),
    )
}

/// The same in the form that `filter.rs` reads; columns go by name.
fn logical(expr: &Arc<dyn PhysicalExpr>, depth: usize) -> Option<Expr> {
    if depth > MAX_DEPTH {
        return None;
    }
    let inner = |expr| logical(expr, depth + 1).map(Box::new);
    if let Some(column) = expr.downcast_ref::<Column>() {
        return Some(Expr::Column(Name::from_name(column.name())));
    }
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return Some(Expr::Literal(literal.value().clone(), None));
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return Some(Expr::Cast(Cast::new(
            inner(cast.expr())?,
            cast.cast_type().clone(),
        )));
    }
    if let Some(not) = expr.downcast_ref::<NotExpr>() {
        return Some(Expr::Not(inner(not.arg())?));
    }
    if let Some(null) = expr.downcast_ref::<IsNullExpr>() {
        return Some(Expr::IsNull(inner(null.arg())?));
    }
    if let Some(null) = expr.downcast_ref::<IsNotNullExpr>() {
        return Some(Expr::IsNotNull(inner(null.arg())?));
    }
    let binary = expr.downcast_ref::<BinaryExpr>()?;
    Some(Expr::BinaryExpr(Binary::new(
        inner(binary.left())?,
        *binary.op(),
        inner(binary.right())?,
    )))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, Int32Array, StringArray, StructArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::common::config::ConfigOptions;
    use datafusion::physical_expr::expressions::{cast, col, lit};

    use super::super::filter::tests::table;
    use super::*;

    fn schema() -> Schema {
        let field = |name: &str, of: DataType| Field::new(name, of, true);
        Schema::new(vec![
            field("i", DataType::Int32),
            field("t", DataType::Utf8),
            field("f", DataType::Float64),
        ])
    }

    fn binary(
        left: Arc<dyn PhysicalExpr>,
        op: Operator,
        right: Arc<dyn PhysicalExpr>,
    ) -> Arc<dyn PhysicalExpr> {
        Arc::new(BinaryExpr::new(left, op, right))
    }

    fn one_of(key: &str, values: ArrayRef) -> Arc<dyn PhysicalExpr> {
        let key = col(key, &schema()).unwrap();
        Arc::new(InListExpr::try_new_from_array(key, values, false, &schema()).unwrap())
    }

    fn sent(filter: Arc<dyn PhysicalExpr>) -> Option<String> {
        let keys = ["i", "t", "f"].map(|name| col(name, &schema()).unwrap());
        let dynamic = DynamicFilterPhysicalExpr::new(keys.to_vec(), lit(true));
        dynamic.update(filter).unwrap();
        condition(&table(), &[Arc::new(dynamic) as Arc<dyn PhysicalExpr>])
    }

    #[test]
    fn what_a_build_side_holds_becomes_lists_and_ranges() {
        let i = || col("i", &schema()).unwrap();
        let numbers = || {
            one_of(
                "i",
                Arc::new(Int32Array::from(vec![Some(3), None, Some(3), Some(4)])),
            )
        };
        let list = "(\"I\" IN ('3'::int8, '4'::int8))";
        assert_eq!(sent(numbers()).as_deref(), Some(list));
        let wide = cast(i(), &schema(), DataType::Int64).unwrap();
        let range = binary(
            binary(Arc::clone(&wide), Operator::GtEq, lit(3_i64)),
            Operator::And,
            binary(wide, Operator::LtEq, lit(4_i64)),
        );
        assert_eq!(
            sent(range).as_deref(),
            Some("((\"I\" >= '3'::int8) AND (\"I\" <= '4'::int8))")
        );
        let nulls = one_of("i", Arc::new(Int32Array::from(vec![None])));
        assert_eq!(sent(nulls).as_deref(), Some("false"));
        let keeps_nulls = binary(Arc::new(IsNullExpr::new(i())), Operator::Or, numbers());
        assert_eq!(sent(keeps_nulls), Some(format!("((\"I\" IS NULL) OR {list})")));
        // By two keys: each on its own.
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 1, 2]));
        let fields = vec![
            Field::new("c0", DataType::Int32, true),
            Field::new("c1", DataType::Utf8, true),
        ];
        let both = StructArray::new(fields.into(), vec![numbers, texts], None);
        let keys = ScalarFunctionExpr::new(
            "struct",
            datafusion::functions::core::r#struct(),
            vec![i(), col("t", &schema()).unwrap()],
            Arc::new(Field::new("struct", both.data_type().clone(), true)),
            Arc::new(ConfigOptions::default()),
        );
        let both = InListExpr::try_new_from_array(Arc::new(keys), Arc::new(both), false, &schema()).unwrap();
        assert_eq!(
            sent(Arc::new(both)).as_deref(),
            Some("((\"I\" IN ('1'::int8, '2'::int8)) AND (\"t\" IN ('a', 'b')))")
        );
    }

    /// What the database must not answer lets every row through, and never takes a row away.
    #[test]
    fn what_is_not_known_is_left_out() {
        let known = || binary(col("i", &schema()).unwrap(), Operator::Eq, lit(1));
        let float = || binary(col("f", &schema()).unwrap(), Operator::Eq, lit(1.5));
        let text = || binary(col("t", &schema()).unwrap(), Operator::LtEq, lit("b"));
        let sql = "(\"I\" = '1'::int8)";
        assert_eq!(sent(lit(true)), None);
        assert_eq!(sent(float()), None);
        assert_eq!(
            sent(binary(float(), Operator::And, known())).as_deref(),
            Some(sql)
        );
        assert_eq!(
            sent(binary(known(), Operator::And, text())),
            Some(format!("({sql} AND ((\"t\" COLLATE \"C\") <= 'b'))"))
        );
        assert_eq!(sent(binary(float(), Operator::Or, known())), None);
        assert_eq!(
            sent(Arc::new(NotExpr::new(binary(float(), Operator::And, known())))),
            None
        );
        // Rows are dealt to branches by a hash: any of them may be taken.
        let routed = |branches: Vec<Arc<dyn PhysicalExpr>>| {
            let branches = (0_u64..).map(lit).zip(branches).collect();
            Arc::new(CaseExpr::try_new(Some(lit(0_u64)), branches, Some(lit(false))).unwrap())
        };
        let other = binary(col("i", &schema()).unwrap(), Operator::Eq, lit(2));
        assert_eq!(
            sent(routed(vec![known(), other])),
            Some(format!("({sql} OR (\"I\" = '2'::int8))"))
        );
        assert_eq!(sent(routed(vec![known(), lit(false)])).as_deref(), Some(sql));
        assert_eq!(sent(routed(vec![known(), float()])), None);
    }
}

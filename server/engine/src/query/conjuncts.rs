//! The order in which the conditions of a filter are evaluated: cheap ones first, so that dear ones see fewer rows.
//! Which rows are left does not depend on it.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExprRef;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::{conjunction, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use owlake_dialect::semantics::is_comparison;

/// Puts the cheap conditions of each filter first.
///
/// Only where no condition can fail: which row an error is met at, and whether at all, stays as it was written.
#[derive(Debug, Default)]
pub(crate) struct CheapFirst;

impl PhysicalOptimizerRule for CheapFirst {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let ordered = plan.transform_up(|node| {
            let Some(filter) = node.downcast_ref::<FilterExec>() else {
                return Ok(Transformed::no(node));
            };
            let Some(predicate) = cheap_first(filter.predicate(), &filter.input().schema()) else {
                return Ok(Transformed::no(node));
            };
            let filter = FilterExecBuilder::from(filter)
                .with_predicate(predicate)
                .build()?;
            Ok(Transformed::yes(Arc::new(filter)))
        })?;
        Ok(ordered.data)
    }

    fn name(&self) -> &'static str {
        "cheap_first"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The conditions of `predicate` in ascending order of their cost; `None` where that is the order they have, or some
/// may fail.
fn cheap_first(predicate: &PhysicalExprRef, schema: &Schema) -> Option<PhysicalExprRef> {
    let parts = split_conjunction(predicate);
    let costs = parts.iter().map(|part| cost(part, schema));
    let mut costed: Vec<_> = costs
        .zip(&parts)
        .map(|(cost, part)| Some((cost?, part)))
        .collect::<Option<_>>()?;
    if costed.is_sorted_by_key(|(cost, _)| *cost) {
        return None;
    }
    costed.sort_by_key(|(cost, _)| *cost);
    Some(conjunction(costed.into_iter().map(|(_, part)| Arc::clone(part))))
}

/// About what a condition costs per row, in comparisons of numbers; `None` for what may fail, or is not known.
fn cost(condition: &PhysicalExprRef, schema: &Schema) -> Option<u32> {
    if let Some(binary) = condition.downcast_ref::<BinaryExpr>() {
        return match binary.op() {
            Operator::And | Operator::Or => {
                Some(cost(binary.left(), schema)? + cost(binary.right(), schema)?)
            }
            op if is_comparison(*op) => {
                Some(operand(binary.left(), schema)?.max(operand(binary.right(), schema)?))
            }
            _ => None,
        };
    }
    if let Some(list) = condition.downcast_ref::<InListExpr>() {
        let constant = list.list().iter().all(|value| value.is::<Literal>());
        return operand(list.expr(), schema)
            .filter(|_| constant)
            .map(|cost| 2 * cost);
    }
    if let Some(like) = condition.downcast_ref::<LikeExpr>() {
        let plain = operand(like.expr(), schema)?.max(operand(like.pattern(), schema)?);
        return Some(4 * plain);
    }
    if let Some(not) = condition.downcast_ref::<NotExpr>() {
        return cost(not.arg(), schema);
    }
    let null = condition.downcast_ref::<IsNullExpr>().map(IsNullExpr::arg);
    let null = null.or_else(|| condition.downcast_ref::<IsNotNullExpr>().map(IsNotNullExpr::arg));
    null.and_then(|arg| operand(arg, schema)).map(|_| 1)
}

/// What it costs to compare a column or a constant.
fn operand(expr: &PhysicalExprRef, schema: &Schema) -> Option<u32> {
    if !(expr.is::<Column>() || expr.is::<Literal>()) {
        return None;
    }
    let kind = expr.data_type(schema).ok()?;
    Some(if kind.primitive_width().is_some() { 1 } else { 4 })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field};
    use datafusion::physical_expr::expressions::{binary, col, in_list, like, lit, try_cast};

    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("s", DataType::Utf8View, true),
        ])
    }

    fn compare(name: &str, op: Operator, value: PhysicalExprRef) -> PhysicalExprRef {
        binary(col(name, &schema()).unwrap(), op, value, &schema()).unwrap()
    }

    fn ordered(parts: Vec<PhysicalExprRef>) -> Option<String> {
        cheap_first(&conjunction(parts), &schema()).map(|predicate| predicate.to_string())
    }

    fn text(value: &str) -> PhysicalExprRef {
        lit(datafusion::common::ScalarValue::Utf8View(Some(value.to_owned())))
    }

    #[test]
    fn numbers_come_before_texts_and_these_before_patterns() {
        let column = col("s", &schema()).unwrap();
        let pattern = like(false, false, column, text("%x%"), &schema()).unwrap();
        let equal = compare("s", Operator::Eq, text("x"));
        let number = compare("n", Operator::Lt, lit(7_i64));
        let list = in_list(
            col("n", &schema()).unwrap(),
            vec![lit(1_i64), lit(2_i64)],
            &false,
            &schema(),
        )
        .unwrap();
        let all = ordered(vec![pattern, equal, list, number]).unwrap();
        let places: Vec<_> = ["n@0 < 7", "n@0 IN", "s@1 = x", "s@1 LIKE"]
            .map(|part| all.find(part))
            .into();
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{all}");
    }

    #[test]
    fn what_is_in_order_or_may_fail_stays() {
        let number = || compare("n", Operator::Lt, lit(7_i64));
        let equal = || compare("s", Operator::Eq, text("x"));
        assert_eq!(ordered(vec![number(), equal()]), None);
        assert_eq!(ordered(vec![equal(), equal()]), None);
        let quotient = compare("n", Operator::Divide, col("n", &schema()).unwrap());
        let fails = binary(quotient, Operator::Eq, lit(1_i64), &schema()).unwrap();
        assert_eq!(ordered(vec![equal(), fails, number()]), None);
        let cast = try_cast(col("s", &schema()).unwrap(), &schema(), DataType::Int64).unwrap();
        let cast = binary(cast, Operator::Eq, lit(1_i64), &schema()).unwrap();
        assert_eq!(ordered(vec![equal(), cast, number()]), None);
    }
}

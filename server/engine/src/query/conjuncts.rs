//! The order in which the conditions of a filter are evaluated: cheap ones first, so that dear ones see fewer rows.
//! Which rows are left does not depend on it.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, RecordBatch};
use datafusion::arrow::compute::and_kleene;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::ScalarValue;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::utils::{conjunction, split_conjunction};
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use owlake_dialect::semantics::is_comparison;

/// Up to this cost a condition is evaluated for all rows of a batch: to pick out those that the conditions before it
/// have left, and to put its answers back among the others, takes longer.
const CHEAP: u32 = 1;

/// Puts the cheap conditions of each filter first, and the cheapest ones together.
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

/// The conditions of `predicate` in ascending order of their cost, the cheapest ones together; `None` where that is the
/// order they have, or some may fail.
fn cheap_first(predicate: &PhysicalExprRef, schema: &Schema) -> Option<PhysicalExprRef> {
    let parts = split_conjunction(predicate);
    let costs = parts.iter().map(|part| cost(part, schema));
    let mut costed: Vec<_> = costs
        .zip(&parts)
        .map(|(cost, part)| Some((cost?, part)))
        .collect::<Option<_>>()?;
    let is_sorted = costed.is_sorted_by_key(|(cost, _)| *cost);
    costed.sort_by_key(|(cost, _)| *cost);
    let cheap = costed.partition_point(|(cost, _)| *cost <= CHEAP);
    if is_sorted && cheap < 2 {
        return None;
    }
    let mut parts: Vec<_> = costed.into_iter().map(|(_, part)| Arc::clone(part)).collect();
    if cheap >= 2 {
        let together = Together(parts.drain(..cheap).collect());
        parts.insert(0, Arc::new(together));
    }
    Some(conjunction(parts))
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

/// Conditions that hold together, none of which can fail: each is evaluated for all rows, as long as any are left.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Together(Vec<PhysicalExprRef>);

impl fmt::Display for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        conjunction(self.0.iter().cloned()).fmt(f)
    }
}

impl PhysicalExpr for Together {
    fn return_field(&self, _input: &Schema) -> Result<FieldRef> {
        Ok(Arc::new(Field::new("conditions", DataType::Boolean, true)))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let mut left: Option<BooleanArray> = None;
        for condition in &self.0 {
            let holds = condition.evaluate(batch)?.into_array(batch.num_rows())?;
            let holds = as_boolean_array(&holds)?;
            let both = match left {
                Some(left) => and_kleene(&left, holds)?,
                None => holds.clone(),
            };
            let is_over = !both.has_true();
            left = Some(both);
            if is_over {
                break;
            }
        }
        Ok(match left {
            Some(left) => ColumnarValue::Array(Arc::new(left)),
            None => ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))),
        })
    }

    fn children(&self) -> Vec<&PhysicalExprRef> {
        self.0.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<PhysicalExprRef>) -> Result<PhysicalExprRef> {
        Ok(Arc::new(Self(children)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray, Int64Array, StringViewArray};
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
    fn the_cheapest_conditions_are_evaluated_together() {
        let numbers = Int64Array::from_iter((0..10).map(|n| (n != 4).then_some(n)));
        let texts = StringViewArray::from_iter((0..10).map(|n| (n != 5).then_some("x")));
        let batch = RecordBatch::try_new(schema().into(), vec![Arc::new(numbers), Arc::new(texts)]).unwrap();
        let above = |n: i64| compare("n", Operator::Gt, lit(n));
        let below = |n: i64| compare("n", Operator::Lt, lit(n));
        let null = Arc::new(IsNotNullExpr::new(col("s", &schema()).unwrap()));
        for (bounds, rows) in [((2, 9), 4), ((8, 2), 0), ((2, 4), 1)] {
            let (low, high) = bounds;
            let parts = conjunction([above(low), below(high), Arc::clone(&null) as _]);
            let together = cheap_first(&parts, &schema()).unwrap();
            assert!(together.is::<Together>());
            assert_eq!(together.to_string(), parts.to_string());
            let count = |filter: &PhysicalExprRef| {
                let answer = filter.evaluate(&batch).unwrap().into_array(10).unwrap();
                answer.as_boolean().true_count()
            };
            assert_eq!((count(&together), count(&parts)), (rows, rows), "{bounds:?}");
        }
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

//! AND and OR from left to right: the right side is evaluated for the rows that the left side does not decide, so that
//! `x <> 0 AND 10 / x > 1` does not fail. Which expressions can fail at all is decided here, too.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{and_kleene, not, or_kleene, prep_null_mask_filter};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, TimeUnit};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr,
    LikeExpr, Literal, NotExpr,
};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef, ScalarFunctionExpr};

/// Functions that fail for no argument.
const NEVER_FAIL: &[&str] = &[
    "$float_eq",
    "$float_ne",
    "$float_lt",
    "$float_le",
    "$float_normal",
    "$float_order",
    "coalesce",
    "length",
    "lower",
    "upper",
    "substr",
    "substring",
    "starts_with",
    "strpos",
];

/// The expression with an order in each AND and OR whose right side can fail.
///
/// # Errors
/// Those of rebuilding an expression with other children.
pub fn guarded(expr: PhysicalExprRef, input: &Schema) -> Result<Transformed<PhysicalExprRef>> {
    expr.transform_up(|expr| {
        let Some(binary) = expr.downcast_ref::<BinaryExpr>() else {
            return Ok(Transformed::no(expr));
        };
        if !matches!(binary.op(), Operator::And | Operator::Or) || cannot_fail(binary.right(), input) {
            return Ok(Transformed::no(expr));
        }
        let guarded = OrderedLogic {
            op: *binary.op(),
            sides: [Arc::clone(binary.left()), Arc::clone(binary.right())],
        };
        Ok(Transformed::yes(Arc::new(guarded)))
    })
}

/// Whether evaluating the expression over rows of `input` raises no error, whatever the row. False where it is not known.
pub fn cannot_fail(expr: &PhysicalExprRef, input: &Schema) -> bool {
    let mut safe = true;
    let walk = expr.apply(|part| {
        safe &= is_safe(part, input);
        Ok(match safe {
            true => TreeNodeRecursion::Continue,
            false => TreeNodeRecursion::Stop,
        })
    });
    walk.is_ok() && safe
}

/// Whether the expression itself, its children apart, raises no error.
fn is_safe(expr: &PhysicalExprRef, input: &Schema) -> bool {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return binary.op().is_logic_operator() || binary.op().supports_propagation();
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let from = cast.expr().data_type(input);
        return from.is_ok_and(|from| widens(&from, cast.cast_type()));
    }
    if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
        return NEVER_FAIL.contains(&call.name());
    }
    expr.is::<Column>()
        || expr.is::<Literal>()
        || expr.is::<NotExpr>()
        || expr.is::<IsNullExpr>()
        || expr.is::<IsNotNullExpr>()
        || expr.is::<InListExpr>()
        || expr.is::<LikeExpr>()
        || expr.is::<CaseExpr>()
        || expr.is::<DynamicFilterPhysicalExpr>()
        || expr.is::<ScalarSubqueryExpr>()
}

/// Whether each value of `from` has one of `to`.
fn widens(from: &DataType, to: &DataType) -> bool {
    let integer_bits = |data_type: &DataType| match data_type {
        DataType::Int8 => Some(8),
        DataType::Int16 => Some(16),
        DataType::Int32 => Some(32),
        DataType::Int64 => Some(64),
        _ => None,
    };
    match (integer_bits(from), integer_bits(to)) {
        (Some(from), Some(to)) => from <= to,
        (Some(_), None) => matches!(to, DataType::Float64),
        _ => {
            from == to
                || matches!((from, to), (DataType::Float32, DataType::Float64))
                || (is_text(from) && is_text(to))
                || matches!(
                    (from, to),
                    (
                        DataType::Date32,
                        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, _)
                    )
                )
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// `left AND right` or `left OR right`, from left to right for each row: FALSE (with OR: TRUE) ends it, NULL goes on.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OrderedLogic {
    op: Operator,
    /// Left and right.
    sides: [PhysicalExprRef; 2],
}

impl OrderedLogic {
    /// The same operator of the engine.
    fn unordered(&self) -> BinaryExpr {
        let [left, right] = &self.sides;
        BinaryExpr::new(Arc::clone(left), self.op, Arc::clone(right))
    }
}

impl fmt::Display for OrderedLogic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unordered().fmt(f)
    }
}

impl PhysicalExpr for OrderedLogic {
    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        self.unordered().return_field(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let [left, right] = &self.sides;
        let left = left.evaluate(batch)?.into_array(batch.num_rows())?;
        let left = as_boolean_array(&left)?;
        // A NULL of the left side decides nothing.
        let decided = without_nulls(match self.op {
            Operator::Or => left.clone(),
            _ => not(left)?,
        });
        let open = not(&decided)?;
        if !open.has_true() {
            return Ok(ColumnarValue::Array(Arc::new(left.clone())));
        }
        let right = right.evaluate_selection(batch, &open)?;
        let right = right.into_array(batch.num_rows())?;
        let right = as_boolean_array(&right)?;
        // Where the left side decides, what stands for the right side does not matter.
        let both: BooleanArray = match self.op {
            Operator::Or => or_kleene(left, right)?,
            _ => and_kleene(left, right)?,
        };
        Ok(ColumnarValue::Array(Arc::new(both)))
    }

    fn children(&self) -> Vec<&PhysicalExprRef> {
        self.sides.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<PhysicalExprRef>) -> Result<PhysicalExprRef> {
        let sides = <[PhysicalExprRef; 2]>::try_from(children).map_err(|children| {
            datafusion::error::DataFusionError::Internal(format!("{} sides of a condition", children.len()))
        })?;
        let op = self.op;
        Ok(Arc::new(Self { op, sides }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The same conditions with false for NULL.
pub(crate) fn without_nulls(conditions: BooleanArray) -> BooleanArray {
    match conditions.null_count() {
        0 => conditions,
        _ => prep_null_mask_filter(&conditions),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray, Int64Array};
    use datafusion::arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::{binary, col, lit};

    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("x", DataType::Int64, true),
            Field::new("y", DataType::Int64, true),
        ])
    }

    fn compare(left: PhysicalExprRef, op: Operator, right: PhysicalExprRef) -> PhysicalExprRef {
        binary(left, op, right, &schema()).unwrap()
    }

    fn quotient() -> PhysicalExprRef {
        let quotient = compare(lit(10_i64), Operator::Divide, col("x", &schema()).unwrap());
        compare(quotient, Operator::Gt, lit(1_i64))
    }

    fn answers(condition: PhysicalExprRef) -> Result<Vec<Option<bool>>> {
        let x = Int64Array::from(vec![Some(0), Some(2), None, Some(100), Some(0)]);
        let y = Int64Array::from(vec![Some(1), Some(1), Some(1), None, None]);
        let batch = RecordBatch::try_new(schema().into(), vec![Arc::new(x), Arc::new(y)]).unwrap();
        let answer = guarded(condition, &schema())?
            .data
            .evaluate(&batch)?
            .into_array(5)?;
        Ok(answer.as_boolean().iter().collect())
    }

    #[test]
    fn the_right_side_is_evaluated_where_the_left_does_not_decide() {
        let x = || col("x", &schema()).unwrap();
        let is_zero = compare(x(), Operator::Eq, lit(0_i64));
        let is_not_zero = compare(x(), Operator::NotEq, lit(0_i64));
        let and = compare(Arc::clone(&is_not_zero), Operator::And, quotient());
        assert_eq!(
            answers(and).unwrap(),
            [Some(false), Some(true), None, Some(false), Some(false)]
        );
        let or = compare(is_zero, Operator::Or, quotient());
        assert_eq!(
            answers(or).unwrap(),
            [Some(true), Some(true), None, Some(false), Some(true)]
        );
        assert!(answers(compare(quotient(), Operator::And, is_not_zero)).is_err());
    }

    #[test]
    fn a_null_of_the_left_side_goes_on() {
        let y = compare(col("y", &schema()).unwrap(), Operator::Gt, lit(5_i64));
        // y is NULL in the last row, where the quotient fails.
        assert!(answers(compare(y, Operator::And, quotient())).is_err());
    }

    #[test]
    fn what_cannot_fail_is_left_as_it_is() {
        let y = || compare(col("y", &schema()).unwrap(), Operator::Gt, lit(5_i64));
        assert!(
            !guarded(compare(y(), Operator::And, y()), &schema())
                .unwrap()
                .transformed
        );
        assert!(
            !guarded(compare(quotient(), Operator::And, y()), &schema())
                .unwrap()
                .transformed
        );
    }
}

//! Timestamps finer than the type's milliseconds: rounded as Athena does, where a cast would cut digits off.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, LargeListArray, ListArray, MapArray, RecordBatch, StructArray,
    TimestampMillisecondArray,
};
use datafusion::arrow::datatypes::{
    DataType, FieldRef, Schema, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};

/// Whether `stored` is or contains a timestamp that has to be rounded to become the catalog's.
pub(crate) fn has_finer_than_millis(stored: &DataType) -> bool {
    match stored {
        DataType::Timestamp(unit, _) => matches!(unit, TimeUnit::Microsecond | TimeUnit::Nanosecond),
        DataType::List(child) | DataType::LargeList(child) | DataType::Map(child, _) => {
            has_finer_than_millis(child.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|f| has_finer_than_millis(f.data_type())),
        _ => false,
    }
}

/// `stored` with the catalog's timestamps wherever it has finer ones.
fn rounded_type(stored: &DataType) -> DataType {
    let child = |field: &FieldRef| {
        let data_type = rounded_type(field.data_type());
        Arc::new(field.as_ref().clone().with_data_type(data_type))
    };
    match stored {
        DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _) => {
            DataType::Timestamp(TimeUnit::Millisecond, None)
        }
        DataType::List(field) => DataType::List(child(field)),
        DataType::LargeList(field) => DataType::LargeList(child(field)),
        DataType::Map(entries, sorted) => DataType::Map(child(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(child).collect()),
        other => other.clone(),
    }
}

/// The values of `array` as [`rounded_type`] says.
pub(crate) fn rounded_array(array: &ArrayRef) -> Result<ArrayRef> {
    if !has_finer_than_millis(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    Ok(match rounded_type(array.data_type()) {
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::try_new(
                field,
                offsets,
                rounded_array(list.values())?,
                nulls,
            )?)
        }
        DataType::LargeList(field) => {
            let list = array.as_list::<i64>();
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(LargeListArray::try_new(
                field,
                offsets,
                rounded_array(list.values())?,
                nulls,
            )?)
        }
        DataType::Struct(fields) => {
            let rows = array.as_struct();
            let columns = rows.columns().iter().map(rounded_array).collect::<Result<_>>()?;
            Arc::new(StructArray::try_new(fields, columns, rows.nulls().cloned())?)
        }
        DataType::Map(field, sorted) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = rounded_array(&entries)?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Arc::new(MapArray::try_new(field, offsets, entries, nulls, sorted)?)
        }
        _ => {
            let millis: TimestampMillisecondArray = match array.data_type() {
                DataType::Timestamp(TimeUnit::Microsecond, _) => array
                    .as_primitive::<TimestampMicrosecondType>()
                    .unary(|v| rounded(v, 1_000)),
                DataType::Timestamp(TimeUnit::Nanosecond, _) => array
                    .as_primitive::<TimestampNanosecondType>()
                    .unary(|v| rounded(v, 1_000_000)),
                other => return internal_err!("{other} is not rounded to milliseconds"),
            };
            Arc::new(millis)
        }
    })
}

/// Timestamps in milliseconds, rounded half up, alone or inside a nested value.
///
/// Not a cast on purpose: the engine moves casts of a comparison to the constant, which is wrong where many stored
/// values become one.
#[derive(Debug, Eq)]
pub(crate) struct RoundedMillis {
    inner: Arc<dyn PhysicalExpr>,
}

impl RoundedMillis {
    pub(crate) fn new(inner: Arc<dyn PhysicalExpr>) -> Self {
        Self { inner }
    }
}

impl PartialEq for RoundedMillis {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Hash for RoundedMillis {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for RoundedMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round_to_millis({})", self.inner)
    }
}

/// `value` in milliseconds, of which each is `per_milli` of its unit: half up.
pub(crate) fn rounded(value: i64, per_milli: i64) -> i64 {
    value.div_euclid(per_milli) + i64::from(value.rem_euclid(per_milli) >= per_milli / 2)
}

/// The least stored value that is rounded to `millis`; `None` beyond the range of the stored unit.
fn least(millis: i64, per_milli: i64) -> Option<i64> {
    millis.checked_mul(per_milli)?.checked_sub(per_milli / 2)
}

/// A comparison of a rounded column `stored` with a constant, as comparisons of the column itself: statistics can be
/// asked about those. `None` where it is not such a comparison.
pub(crate) fn compared(
    binary: &BinaryExpr,
    stored: impl Fn(&Column) -> Option<DataType>,
) -> Option<Arc<dyn PhysicalExpr>> {
    let (rounding, literal, op) = match (binary.left().downcast_ref::<RoundedMillis>(), binary.right()) {
        (Some(rounding), literal) => (rounding, literal, *binary.op()),
        (None, right) => (
            right.downcast_ref::<RoundedMillis>()?,
            binary.left(),
            binary.op().swap()?,
        ),
    };
    let ScalarValue::TimestampMillisecond(Some(millis), None) = literal.downcast_ref::<Literal>()?.value()
    else {
        return None;
    };
    let DataType::Timestamp(unit, zone) = stored(rounding.inner.downcast_ref::<Column>()?)? else {
        return None;
    };
    let constant = |millis: i64| -> Option<Arc<dyn PhysicalExpr>> {
        let value = match unit {
            TimeUnit::Microsecond => {
                ScalarValue::TimestampMicrosecond(Some(least(millis, 1_000)?), zone.clone())
            }
            TimeUnit::Nanosecond => {
                ScalarValue::TimestampNanosecond(Some(least(millis, 1_000_000)?), zone.clone())
            }
            TimeUnit::Second | TimeUnit::Millisecond => return None,
        };
        Some(Arc::new(Literal::new(value)))
    };
    let from = |millis| Some(is(&rounding.inner, Operator::GtEq, constant(millis)?));
    let below = |millis| Some(is(&rounding.inner, Operator::Lt, constant(millis)?));
    let (this, next) = (*millis, millis.checked_add(1)?);
    match op {
        Operator::GtEq => from(this),
        Operator::Gt => from(next),
        Operator::Lt => below(this),
        Operator::LtEq => below(next),
        Operator::Eq => Some(is(&from(this)?, Operator::And, below(next)?)),
        Operator::NotEq => Some(is(&below(this)?, Operator::Or, from(next)?)),
        _ => None,
    }
}

fn is(left: &Arc<dyn PhysicalExpr>, op: Operator, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(Arc::clone(left), op, right))
}

impl PhysicalExpr for RoundedMillis {
    fn data_type(&self, input_schema: &Schema) -> Result<DataType> {
        Ok(rounded_type(&self.inner.data_type(input_schema)?))
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.inner.nullable(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.inner.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(rounded_array(&array)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match <[Arc<dyn PhysicalExpr>; 1]>::try_from(children) {
            Ok([inner]) => Ok(Arc::new(Self::new(inner))),
            Err(children) => internal_err!("rounding has one argument, not {}", children.len()),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round_to_millis(")?;
        self.inner.fmt_sql(f)?;
        write!(f, ")")
    }
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn halves_go_up_on_both_sides_of_the_epoch() {
        let cases = [
            (1_499, 1),
            (1_500, 2),
            (-1_499, -1),
            (-1_500, -1),
            (-1_501, -2),
            (0, 0),
            (i64::MAX, i64::MAX / 1000 + 1),
        ];
        for (micros, millis) in cases {
            assert_eq!(rounded(micros, 1_000), millis, "{micros}");
        }
    }
}

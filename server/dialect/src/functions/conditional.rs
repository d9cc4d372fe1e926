//! `greatest`, `least`, `if`, `typeof`, `concat` of text: functions of any type.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::DataType;
use datafusion::error::Result;

use super::call::Call;
use super::floats::extremes;
use super::signature::Param::{Any, Bool, Common};
use super::signature::{Returns, generic, over, variadic};
use super::udf::{Json, Spec, json_spec, spec};
use crate::semantics::error::type_mismatch;
use crate::semantics::ty::{Ty, display};

pub(super) static SPECS: &[Spec] = &[
    spec(
        "greatest",
        &[],
        &[variadic(&[Common], Returns::Same(0), |c| {
            extreme(c, Ordering::Greater)
        })],
    ),
    spec(
        "least",
        &[],
        &[variadic(&[Common], Returns::Same(0), |c| {
            extreme(c, Ordering::Less)
        })],
    ),
    // The semantic pass turns `if` into CASE, which evaluates one branch only; this body is its meaning.
    spec(
        "if",
        &[],
        &[
            generic(&[Bool, Common, Common], Returns::Same(1), choose),
            generic(&[Bool, Any], Returns::Same(1), choose),
        ],
    ),
    json_spec(
        "typeof",
        Json::In,
        &[over(&[Any], &DataType::Utf8, |c| {
            let name = c.fields.first().map(|f| display(f)).unwrap_or_default();
            c.build_text(|_| Ok(Some(name.clone().into())))
        })],
    ),
];

/// NULL if any argument is. NaN only if all others are too.
fn extreme(c: &Call, wanted: Ordering) -> Result<ArrayRef> {
    let ty = Ty::of_type(&c.returns);
    if ty.is_nested() || matches!(ty, Ty::Json | Ty::Interval | Ty::Other) {
        return Err(type_mismatch(format!(
            "Type {ty} is not orderable for function {}",
            c.name
        )));
    }
    let mut best = c.full(0)?;
    for i in 1..c.len() {
        let next = c.full(i)?;
        let take_next: BooleanArray = {
            let better = extremes(&next, &best, wanted)?;
            (0..c.rows)
                .map(|row| Some(best.is_valid(row) && (next.is_null(row) || better(row, row))))
                .collect()
        };
        best = zip(&take_next, &next, &best)?;
    }
    Ok(best)
}

fn choose(c: &Call) -> Result<ArrayRef> {
    let test = c.boolean(0)?;
    let test: BooleanArray = (0..c.rows).map(|r| Some(test.get(r).unwrap_or(false))).collect();
    let then = c.full(1)?;
    let otherwise = if c.len() == 3 {
        c.full(2)?
    } else {
        arrow::array::new_null_array(then.data_type(), c.rows)
    };
    Ok(zip(&test, &Arc::clone(&then), &otherwise)?)
}

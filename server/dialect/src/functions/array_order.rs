//! Order and equality of array elements: comparing, sorting, extremes.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, make_comparator, new_null_array};
use arrow::compute::SortOptions;
use datafusion::error::Result;

use super::arrays::range;
use super::call::Call;
use super::floats::{extremes, nans, normal, one_nan};
use super::lists::{Pick, build_lists};
use crate::semantics::error::not_supported;
use crate::semantics::ty::Ty;

pub(super) type Compare = Box<dyn Fn(usize, usize) -> Ordering + Send + Sync>;

/// Compares for sets and keys: NaN is one value, and zero is.
pub(super) fn comparator(left: &ArrayRef, right: &ArrayRef) -> Result<Compare> {
    if Ty::of_type(left.data_type()) == Ty::Unknown || Ty::of_type(right.data_type()) == Ty::Unknown {
        return Ok(Box::new(|_, _| Ordering::Equal));
    }
    refuse_nested(left)?;
    let order = make_comparator(&normal(left), &normal(right), SortOptions::default())?;
    Ok(order)
}

fn refuse_nested(values: &ArrayRef) -> Result<()> {
    if Ty::of_type(values.data_type()).is_nested() {
        return Err(not_supported(
            "comparing arrays, maps and rows inside arrays",
            "comparing-arrays-maps-and-rows",
        ));
    }
    Ok(())
}

/// Equality by `=`: as the comparator says, but NaN equals nothing.
pub(super) fn equality<'a>(
    left: &'a ArrayRef,
    right: &ArrayRef,
) -> Result<impl Fn(usize, usize) -> bool + use<'a>> {
    let order = comparator(left, right)?;
    let nan = nans(left);
    Ok(move |l: usize, r: usize| order(l, r).is_eq() && !nan(l))
}

/// NULLs last, NaN before them.
pub(super) fn sort(c: &Call) -> Result<ArrayRef> {
    let lists = c.list(0)?;
    let values = lists.array().values();
    if Ty::of_type(values.data_type()) == Ty::Unknown {
        return c.full(0);
    }
    refuse_nested(values)?;
    let keys = one_nan(values);
    let order = make_comparator(&keys, &keys, SortOptions::default())?;
    build_lists(c, &[Arc::clone(values)], |row, picks| {
        let Some(i) = lists.at(row) else { return Ok(false) };
        let (start, end) = range(lists.array(), i);
        let (mut present, nulls): (Vec<_>, Vec<_>) = (start..end).partition(|e| values.is_valid(*e));
        present.sort_by(|a, b| order(*a, *b));
        picks.extend(present.into_iter().chain(nulls).map(|e| Pick::Range(0, e, e + 1)));
        Ok(true)
    })
}

/// NULL when an element is NULL or there is none; NaN when there is nothing else.
pub(super) fn extreme(c: &Call, wanted: Ordering) -> Result<ArrayRef> {
    let lists = c.list(0)?;
    let values = lists.array().values();
    if Ty::of_type(values.data_type()) == Ty::Unknown {
        return Ok(new_null_array(&c.returns, c.rows));
    }
    refuse_nested(values)?;
    let better = extremes(values, values, wanted)?;
    let picks: UInt32Array = (0..c.rows)
        .map(|row| {
            let (start, end) = range(lists.array(), lists.at(row)?);
            if (start..end).any(|e| values.is_null(e)) {
                return None;
            }
            let best = (start..end).reduce(|best, e| if better(e, best) { e } else { best })?;
            u32::try_from(best).ok()
        })
        .collect();
    Ok(arrow::compute::take(values, &picks, None)?)
}

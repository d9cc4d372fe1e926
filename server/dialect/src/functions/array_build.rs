//! Functions that make arrays out of others: joining, slicing, repeating, sequences, parts of maps.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use arrow::datatypes::{DataType, Date32Type};
use datafusion::error::{DataFusionError, Result};

use super::arrays::range;
use super::call::{Call, Column};
use super::lists::{Pick, build_lists, consecutive};
use super::signature::{element_of, list_of};
use crate::semantics::error::{bad_argument, not_supported, type_mismatch};
use crate::semantics::ty::Ty;

/// Trino's limit for `sequence` and `repeat`.
const MAX_ENTRIES: i64 = 10_000;

pub(super) fn reverse(c: &Call) -> Result<ArrayRef> {
    let lists = c.list(0)?;
    build_lists(c, &[Arc::clone(lists.array().values())], |row, picks| {
        let Some(i) = lists.at(row) else { return Ok(false) };
        let (start, end) = range(lists.array(), i);
        picks.extend((start..end).rev().map(|e| Pick::Range(0, e, e + 1)));
        Ok(true)
    })
}

pub(super) fn concat_text(c: &Call) -> Result<ArrayRef> {
    let parts = (0..c.len()).map(|i| c.text(i)).collect::<Result<Vec<_>>>()?;
    c.build_text(|r| {
        let Some(all) = parts.iter().map(|p| p.get(r)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        c.check_value(all.iter().map(|p| p.len()).sum())?;
        Ok(Some(all.concat().into()))
    })
}

pub(super) fn concat_bytes(c: &Call) -> Result<ArrayRef> {
    let parts = (0..c.len()).map(|i| c.bytes(i)).collect::<Result<Vec<_>>>()?;
    c.build_bytes(|r| {
        let Some(all) = parts.iter().map(|p| p.get(r)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        c.check_value(all.iter().map(|p| p.len()).sum())?;
        Ok(Some(all.concat()))
    })
}

pub(super) fn concat_arrays(c: &Call) -> Result<ArrayRef> {
    let lists = (0..c.len()).map(|i| c.list(i)).collect::<Result<Vec<_>>>()?;
    let sources: Vec<_> = lists.iter().map(|l| Arc::clone(l.array().values())).collect();
    build_lists(c, &sources, |row, picks| {
        for (source, list) in lists.iter().enumerate() {
            let Some(i) = list.at(row) else { return Ok(false) };
            let (start, end) = range(list.array(), i);
            picks.push(Pick::Range(source, start, end));
        }
        Ok(true)
    })
}

/// `array || element`; a NULL element is appended.
pub(super) fn append(c: &Call) -> Result<ArrayRef> {
    extend(c, &c.list(0)?, c.any(1)?.array(), 1, false)
}

pub(super) fn prepend(c: &Call) -> Result<ArrayRef> {
    let lists = c.list(1)?;
    if c.any(0)?.array().data_type() != lists.array().values().data_type() {
        return Err(type_mismatch(
            "Unexpected parameters for function concat: element and array types differ",
        ));
    }
    extend(c, &lists, c.any(0)?.array(), 0, true)
}

fn extend(
    c: &Call,
    lists: &Column<'_, ListArray>,
    items: &ArrayRef,
    item_arg: usize,
    first: bool,
) -> Result<ArrayRef> {
    let item = c.any(item_arg)?;
    build_lists(
        c,
        &[Arc::clone(lists.array().values()), Arc::clone(items)],
        |row, picks| {
            let Some(i) = lists.at(row) else { return Ok(false) };
            let (start, end) = range(lists.array(), i);
            let one = item.at(row).map_or(Pick::Null, |e| Pick::Range(1, e, e + 1));
            if first {
                picks.push(one);
            }
            picks.push(Pick::Range(0, start, end));
            if !first {
                picks.push(one);
            }
            Ok(true)
        },
    )
}

pub(super) fn flatten_type(types: &[DataType]) -> Result<DataType> {
    let item = types.first().map(element_of).unwrap_or(DataType::Null);
    match Ty::of_type(&item) {
        Ty::Array => Ok(list_of(element_of(&item))),
        _ => Err(type_mismatch(
            "Unexpected parameters for function flatten. Expected: flatten(array(array(T)))",
        )),
    }
}

pub(super) fn flatten(c: &Call) -> Result<ArrayRef> {
    let lists = c.list(0)?;
    let inner = arrow::compute::cast(lists.array().values(), &c.returns)?;
    let inner = inner.as_list::<i32>();
    build_lists(c, &[Arc::clone(inner.values())], |row, picks| {
        let Some(i) = lists.at(row) else { return Ok(false) };
        let (start, end) = range(lists.array(), i);
        picks.extend((start..end).filter(|e| inner.is_valid(*e)).map(|e| {
            let (from, to) = range(inner, e);
            Pick::Range(0, from, to)
        }));
        Ok(true)
    })
}

pub(super) fn slice(c: &Call) -> Result<ArrayRef> {
    let (lists, from, count) = (c.list(0)?, c.int(1)?, c.int(2)?);
    build_lists(c, &[Arc::clone(lists.array().values())], |row, picks| {
        let (Some(i), Some(from), Some(count)) = (lists.at(row), from.get(row), count.get(row)) else {
            return Ok(false);
        };
        if count < 0 {
            return Err(bad_argument("length must be greater than or equal to 0"));
        }
        if from == 0 {
            return Err(bad_argument("SQL array indices start at 1"));
        }
        let (start, end) = range(lists.array(), i);
        let length = (end - start) as i64;
        let first = if from > 0 { from - 1 } else { length + from };
        if first < 0 || first >= length {
            return Ok(true);
        }
        let last = first.saturating_add(count).min(length);
        picks.push(Pick::Range(0, start + first as usize, start + last as usize));
        Ok(true)
    })
}

pub(super) fn trim_array(c: &Call) -> Result<ArrayRef> {
    let (lists, count) = (c.list(0)?, c.int(1)?);
    build_lists(c, &[Arc::clone(lists.array().values())], |row, picks| {
        let (Some(i), Some(count)) = (lists.at(row), count.get(row)) else {
            return Ok(false);
        };
        let (start, end) = range(lists.array(), i);
        let length = (end - start) as i64;
        if count < 0 {
            return Err(bad_argument("size must not be negative"));
        }
        if count > length {
            return Err(bad_argument(format!(
                "size must not exceed array cardinality {length}: {count}"
            )));
        }
        picks.push(Pick::Range(0, start, end - count as usize));
        Ok(true)
    })
}

pub(super) fn repeat(c: &Call) -> Result<ArrayRef> {
    let (item, count) = (c.any(0)?, c.int(1)?);
    build_lists(c, &[Arc::clone(item.array())], |row, picks| {
        let Some(count) = count.get(row) else {
            return Ok(false);
        };
        if count < 0 {
            return Err(bad_argument(
                "count argument of repeat function must be greater than or equal to 0",
            ));
        }
        if count > MAX_ENTRIES {
            return Err(bad_argument(format!(
                "count argument of repeat function must be less than or equal to {MAX_ENTRIES}"
            )));
        }
        let one = item.at(row).map_or(Pick::Null, |e| Pick::Range(0, e, e + 1));
        picks.extend(std::iter::repeat_n(one, count as usize));
        Ok(true)
    })
}

/// First, step and number of entries of an inclusive sequence.
fn steps(start: i64, stop: i64, step: i64) -> Result<i64> {
    if step == 0 {
        return Err(bad_argument("step must not be zero"));
    }
    if (step > 0 && stop < start) || (step < 0 && stop > start) {
        return Err(bad_argument(
            "sequence stop value should be greater than or equal to start value if step is greater than zero otherwise stop should be less than or equal to start",
        ));
    }
    let entries = (i128::from(stop) - i128::from(start)) / i128::from(step) + 1;
    match i64::try_from(entries) {
        Ok(n) if n <= MAX_ENTRIES => Ok(n),
        _ => Err(bad_argument(format!(
            "result of sequence function must not have more than {MAX_ENTRIES} entries"
        ))),
    }
}

pub(super) fn sequence(c: &Call) -> Result<ArrayRef> {
    let (start, stop) = (c.int(0)?, c.int(1)?);
    let step = if c.len() == 3 { Some(c.int(2)?) } else { None };
    sequences(c, |row| {
        let (Some(a), Some(b)) = (start.get(row), stop.get(row)) else {
            return None;
        };
        let step = match &step {
            None => Some(if b >= a { 1 } else { -1 }),
            Some(step) => step.get(row),
        };
        step.map(|step| (a, b, step))
    })
    .and_then(|(values, lengths)| consecutive(Arc::new(Int64Array::from(values)), &lengths))
}

pub(super) fn date_sequence(c: &Call) -> Result<ArrayRef> {
    let (start, stop) = (c.date(0)?, c.date(1)?);
    let (values, lengths) = sequences(c, |row| match (start.get(row), stop.get(row)) {
        (Some(a), Some(b)) => Some((a.into(), b.into(), if b >= a { 1 } else { -1 })),
        _ => None,
    })?;
    let days: arrow::array::Date32Array =
        Int64Array::from(values).unary::<_, Date32Type>(|v| i32::try_from(v).unwrap_or(i32::MAX));
    consecutive(Arc::new(days), &lengths)
}

/// The numbers of all rows' sequences, and how many of them each row has; `bounds` are start, stop and step.
fn sequences(
    c: &Call,
    bounds: impl Fn(usize) -> Option<(i64, i64, i64)>,
) -> Result<(Vec<i64>, Vec<Option<usize>>)> {
    let mut values = Vec::new();
    let mut lengths = Vec::with_capacity(c.rows);
    let mut total = 0;
    for row in 0..c.rows {
        let Some((start, stop, step)) = bounds(row) else {
            lengths.push(None);
            continue;
        };
        let entries = steps(start, stop, step)?;
        total = c.grow(total, entries as usize * size_of::<i64>())?;
        values.extend((0..entries).map(|n| start + n * step));
        lengths.push(Some(entries as usize));
    }
    Ok((values, lengths))
}

/// Elements as text with a separator; NULLs are left out or replaced.
pub(super) fn join(c: &Call) -> Result<ArrayRef> {
    let (lists, sep) = (c.list(0)?, c.text(1)?);
    let null = if c.len() == 3 { Some(c.text(2)?) } else { None };
    let values = lists.array().values();
    let ty = Ty::of_type(values.data_type());
    if !(ty.is_integer()
        || matches!(
            ty,
            Ty::Varchar | Ty::Boolean | Ty::Date | Ty::Decimal(..) | Ty::Unknown
        ))
    {
        return Err(not_supported(
            &format!("array_join of array({ty})"),
            "functions-that-differ",
        ));
    }
    let text = arrow::compute::cast(values, &DataType::Utf8)?;
    let text = text
        .as_string_opt::<i32>()
        .ok_or_else(|| DataFusionError::Internal("array_join: text expected".into()))?;
    c.build_text(|row| {
        let (Some(i), Some(sep)) = (lists.at(row), sep.get(row)) else {
            return Ok(None);
        };
        let null = match &null {
            None => None,
            Some(n) => match n.get(row) {
                None => return Ok(None),
                some => some,
            },
        };
        let (start, end) = range(lists.array(), i);
        let parts: Vec<&str> = (start..end)
            .filter_map(|e| {
                if text.is_valid(e) {
                    Some(text.value(e))
                } else {
                    null
                }
            })
            .collect();
        c.check_value(parts.iter().map(|p| p.len() + sep.len()).sum())?;
        Ok(Some(parts.join(sep).into()))
    })
}

pub(super) fn keys_type(types: &[DataType]) -> Result<DataType> {
    Ok(list_of(
        types
            .first()
            .and_then(super::signature::entry_of)
            .map_or(DataType::Null, |(k, _)| k),
    ))
}

pub(super) fn values_type(types: &[DataType]) -> Result<DataType> {
    Ok(list_of(
        types
            .first()
            .and_then(super::signature::entry_of)
            .map_or(DataType::Null, |(_, v)| v),
    ))
}

pub(super) fn map_part(c: &Call, keys: bool) -> Result<ArrayRef> {
    let maps = c.map(0)?;
    let map = maps.array();
    let source = if keys { map.keys() } else { map.values() };
    build_lists(c, &[Arc::clone(source)], |row, picks| {
        let Some(i) = maps.at(row) else { return Ok(false) };
        let offsets = map.value_offsets();
        picks.push(Pick::Range(
            0,
            offsets[i].max(0) as usize,
            offsets[i + 1].max(0) as usize,
        ));
        Ok(true)
    })
}

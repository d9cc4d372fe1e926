//! Arrays and maps: access, order, search, building.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, MapArray, UInt32Array, make_comparator, new_empty_array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Date32Type, Int64Type};
use datafusion::error::{DataFusionError, Result};

use super::call::{Call, Column};
use super::lists::{Pick, build_lists};
use super::signature::Param::{Any, Array as AnyArray, Bigint, CommonArray, Date, Element, Key, Map, Varbinary, Varchar};
use super::signature::{Returns, element_of, generic, list_of, over, variadic};
use super::udf::{Spec, spec};
use crate::semantics::error::{bad_argument, not_supported, type_mismatch};
use crate::semantics::ty::Ty;

const INT: &DataType = &DataType::Int64;
const BOOL: &DataType = &DataType::Boolean;
/// Trino's limit for `sequence` and `repeat`.
const MAX_ENTRIES: i64 = 10_000;

pub(super) static SPECS: &[Spec] = &[
    spec("cardinality", &[], &[
        over(&[AnyArray], INT, |c| { let a = c.list(0)?; c.build::<Int64Type>(|r| Ok(a.at(r).map(|i| a.array().value_length(i).into()))) }),
        over(&[Map], INT, |c| { let a = c.map(0)?; c.build::<Int64Type>(|r| Ok(a.at(r).map(|i| a.array().value_length(i).into()))) }),
    ]),
    spec("element_at", &[], &[
        generic(&[AnyArray, Bigint], Returns::ElementOf(0), |c| list_element(c, false)),
        generic(&[Map, Key], Returns::ValueOf(0), |c| map_element(c, false)),
    ]),
    spec("reverse", &[], &[
        over(&[Varchar], &DataType::Utf8, |c| { let a = c.text(0)?; c.build_text(|r| Ok(a.get(r).map(|s| s.chars().rev().collect::<String>().into()))) }),
        over(&[Varbinary], &DataType::Binary, |c| { let a = c.bytes(0)?; c.build_bytes(|r| Ok(a.get(r).map(|b| b.iter().rev().copied().collect()))) }),
        generic(&[AnyArray], Returns::Same(0), reverse),
    ]),
    spec("concat", &[], &[
        variadic(&[Varchar, Varchar], Returns::Type(&DataType::Utf8), concat_text),
        variadic(&[Varbinary, Varbinary], Returns::Type(&DataType::Binary), concat_bytes),
        variadic(&[CommonArray, CommonArray], Returns::Same(0), concat_arrays),
        generic(&[AnyArray, Element], Returns::Same(0), append),
        generic(&[Any, AnyArray], Returns::Same(1), prepend),
    ]),
    spec("array_sort", &[], &[generic(&[AnyArray], Returns::Same(0), sort)]),
    spec("array_distinct", &[], &[generic(&[AnyArray], Returns::Same(0), distinct)]),
    spec("array_position", &[], &[over(&[AnyArray, Element], INT, position)]),
    spec("array_remove", &[], &[generic(&[AnyArray, Element], Returns::Same(0), remove)]),
    spec("array_max", &[], &[generic(&[AnyArray], Returns::ElementOf(0), |c| extreme(c, Ordering::Greater))]),
    spec("array_min", &[], &[generic(&[AnyArray], Returns::ElementOf(0), |c| extreme(c, Ordering::Less))]),
    spec("contains", &[], &[over(&[AnyArray, Element], BOOL, contains)]),
    spec("arrays_overlap", &[], &[over(&[CommonArray, CommonArray], BOOL, overlap)]),
    spec("array_union", &[], &[generic(&[CommonArray, CommonArray], Returns::Same(0), |c| combine(c, Combine::Union))]),
    spec("array_intersect", &[], &[generic(&[CommonArray, CommonArray], Returns::Same(0), |c| combine(c, Combine::Intersect))]),
    spec("array_except", &[], &[generic(&[CommonArray, CommonArray], Returns::Same(0), |c| combine(c, Combine::Except))]),
    spec("flatten", &[], &[generic(&[AnyArray], Returns::Computed(flatten_type), flatten)]),
    spec("slice", &[], &[generic(&[AnyArray, Bigint, Bigint], Returns::Same(0), slice)]),
    spec("trim_array", &[], &[generic(&[AnyArray, Bigint], Returns::Same(0), trim_array)]),
    spec("repeat", &[], &[generic(&[Any, Bigint], Returns::ArrayOf(0), repeat)]),
    spec("sequence", &[], &[
        generic(&[Bigint, Bigint], Returns::ArrayOf(0), sequence),
        generic(&[Bigint, Bigint, Bigint], Returns::ArrayOf(0), sequence),
        generic(&[Date, Date], Returns::ArrayOf(0), date_sequence),
    ]),
    spec("array_join", &[], &[
        over(&[AnyArray, Varchar], &DataType::Utf8, join),
        over(&[AnyArray, Varchar, Varchar], &DataType::Utf8, join),
    ]),
    spec("map_keys", &[], &[generic(&[Map], Returns::Computed(keys_type), |c| map_part(c, true))]),
    spec("map_values", &[], &[generic(&[Map], Returns::Computed(values_type), |c| map_part(c, false))]),
];

/// `a[i]` and `m[k]`: errors where `element_at` is NULL.
pub(super) static SUBSCRIPTS: &[Spec] = &[spec("$subscript", &[], &[
    generic(&[AnyArray, Bigint], Returns::ElementOf(0), |c| list_element(c, true)),
    generic(&[Map, Key], Returns::ValueOf(0), |c| map_element(c, true)),
])];

type Compare = Box<dyn Fn(usize, usize) -> Ordering + Send + Sync>;

fn comparator(left: &ArrayRef, right: &ArrayRef) -> Result<Compare> {
    if Ty::of_type(left.data_type()) == Ty::Unknown || Ty::of_type(right.data_type()) == Ty::Unknown {
        return Ok(Box::new(|_, _| Ordering::Equal));
    }
    if Ty::of_type(left.data_type()).is_nested() {
        return Err(not_supported("comparing arrays, maps and rows inside arrays", "comparing-arrays-maps-and-rows"));
    }
    Ok(make_comparator(left, right, SortOptions::default())?)
}

/// Range of a list's elements in its values.
fn range(list: &ListArray, i: usize) -> (usize, usize) {
    let offsets = list.value_offsets();
    (offsets[i].max(0) as usize, offsets[i + 1].max(0) as usize)
}

fn list_element(c: &Call, strict: bool) -> Result<ArrayRef> {
    let (lists, index) = (c.list(0)?, c.int(1)?);
    let picks = (0..c.rows)
        .map(|row| {
            let (Some(i), Some(at)) = (lists.at(row), index.get(row)) else { return Ok(None) };
            let (start, end) = range(lists.array(), i);
            let length = (end - start) as i64;
            let place = match at {
                0 => return Err(bad_argument("SQL array indices start at 1")),
                at if strict && at < 0 => return Err(bad_argument(format!("Array subscript is negative: {at}"))),
                at if strict && at > length => {
                    return Err(bad_argument(format!(
                        "Array subscript must be less than or equal to array length: {at} > {length}"
                    )));
                }
                at if at > length || at < -length => return Ok(None),
                at if at > 0 => at - 1,
                at => length + at,
            };
            Ok(u32::try_from(start + place as usize).ok())
        })
        .collect::<Result<UInt32Array>>()?;
    Ok(arrow::compute::take(lists.array().values(), &picks, None)?)
}

fn map_element(c: &Call, strict: bool) -> Result<ArrayRef> {
    let maps = c.map(0)?;
    let map: &MapArray = maps.array();
    let wanted = c.any(1)?;
    let same = comparator(map.keys(), wanted.array())?;
    let mut picks = Vec::with_capacity(c.rows);
    for row in 0..c.rows {
        let (Some(i), Some(k)) = (maps.at(row), wanted.at(row)) else {
            picks.push(None);
            continue;
        };
        let offsets = map.value_offsets();
        let found = (offsets[i].max(0) as usize..offsets[i + 1].max(0) as usize).find(|e| same(*e, k).is_eq());
        if found.is_none() && strict {
            let key = arrow::util::display::array_value_to_string(wanted.array(), k)?;
            return Err(bad_argument(format!("Key not present in map: {key}")));
        }
        picks.push(found.and_then(|e| u32::try_from(e).ok()));
    }
    Ok(arrow::compute::take(map.values(), &UInt32Array::from(picks), None)?)
}

fn reverse(c: &Call) -> Result<ArrayRef> {
    let lists = c.list(0)?;
    build_lists(c, &[Arc::clone(lists.array().values())], |row, picks| {
        let Some(i) = lists.at(row) else { return Ok(false) };
        let (start, end) = range(lists.array(), i);
        picks.extend((start..end).rev().map(|e| Pick::Range(0, e, e + 1)));
        Ok(true)
    })
}

fn concat_text(c: &Call) -> Result<ArrayRef> {
    let parts = (0..c.len()).map(|i| c.text(i)).collect::<Result<Vec<_>>>()?;
    c.build_text(|r| {
        let Some(all) = parts.iter().map(|p| p.get(r)).collect::<Option<Vec<_>>>() else { return Ok(None) };
        c.check_value(all.iter().map(|p| p.len()).sum())?;
        Ok(Some(all.concat().into()))
    })
}

fn concat_bytes(c: &Call) -> Result<ArrayRef> {
    let parts = (0..c.len()).map(|i| c.bytes(i)).collect::<Result<Vec<_>>>()?;
    c.build_bytes(|r| {
        let Some(all) = parts.iter().map(|p| p.get(r)).collect::<Option<Vec<_>>>() else { return Ok(None) };
        c.check_value(all.iter().map(|p| p.len()).sum())?;
        Ok(Some(all.concat()))
    })
}

fn concat_arrays(c: &Call) -> Result<ArrayRef> {
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
fn append(c: &Call) -> Result<ArrayRef> {
    extend(c, &c.list(0)?, c.any(1)?.array(), 1, false)
}

fn prepend(c: &Call) -> Result<ArrayRef> {
    let lists = c.list(1)?;
    if c.any(0)?.array().data_type() != lists.array().values().data_type() {
        return Err(type_mismatch("Unexpected parameters for function concat: element and array types differ"));
    }
    extend(c, &lists, c.any(0)?.array(), 0, true)
}

fn extend(c: &Call, lists: &Column<'_, ListArray>, items: &ArrayRef, item_arg: usize, first: bool) -> Result<ArrayRef> {
    let item = c.any(item_arg)?;
    build_lists(c, &[Arc::clone(lists.array().values()), Arc::clone(items)], |row, picks| {
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
    })
}

fn sort(c: &Call) -> Result<ArrayRef> {
    let lists = c.list(0)?;
    let values = lists.array().values();
    let order = comparator(values, values)?;
    build_lists(c, &[Arc::clone(values)], |row, picks| {
        let Some(i) = lists.at(row) else { return Ok(false) };
        let (start, end) = range(lists.array(), i);
        let (mut present, nulls): (Vec<_>, Vec<_>) = (start..end).partition(|e| values.is_valid(*e));
        present.sort_by(|a, b| order(*a, *b));
        picks.extend(present.into_iter().chain(nulls).map(|e| Pick::Range(0, e, e + 1)));
        Ok(true)
    })
}

/// First occurrences among `candidates`, NULLs being equal; `seen` holds what is already there.
fn unseen(order: &Compare, values: &ArrayRef, seen: &mut Vec<usize>, candidate: usize) -> bool {
    let found = seen.iter().any(|s| match (values.is_valid(*s), values.is_valid(candidate)) {
        (true, true) => order(*s, candidate).is_eq(),
        (a, b) => a == b,
    });
    if !found {
        seen.push(candidate);
    }
    !found
}

fn distinct(c: &Call) -> Result<ArrayRef> {
    let lists = c.list(0)?;
    let values = lists.array().values();
    let order = comparator(values, values)?;
    build_lists(c, &[Arc::clone(values)], |row, picks| {
        let Some(i) = lists.at(row) else { return Ok(false) };
        let (start, end) = range(lists.array(), i);
        let mut seen = Vec::new();
        picks.extend((start..end).filter(|e| unseen(&order, values, &mut seen, *e)).map(|e| Pick::Range(0, e, e + 1)));
        Ok(true)
    })
}

fn position(c: &Call) -> Result<ArrayRef> {
    let (lists, wanted) = (c.list(0)?, c.any(1)?);
    let values = lists.array().values();
    let order = comparator(values, wanted.array())?;
    c.build::<Int64Type>(|row| {
        let (Some(i), Some(w)) = (lists.at(row), wanted.at(row)) else { return Ok(None) };
        let (start, end) = range(lists.array(), i);
        let found = (start..end).find(|e| values.is_valid(*e) && order(*e, w).is_eq());
        Ok(Some(found.map_or(0, |e| (e - start) as i64 + 1)))
    })
}

fn remove(c: &Call) -> Result<ArrayRef> {
    let (lists, wanted) = (c.list(0)?, c.any(1)?);
    let values = lists.array().values();
    let order = comparator(values, wanted.array())?;
    build_lists(c, &[Arc::clone(values)], |row, picks| {
        let (Some(i), Some(w)) = (lists.at(row), wanted.at(row)) else { return Ok(false) };
        let (start, end) = range(lists.array(), i);
        let keep = (start..end).filter(|e| values.is_null(*e) || order(*e, w).is_ne());
        picks.extend(keep.map(|e| Pick::Range(0, e, e + 1)));
        Ok(true)
    })
}

/// NULL when an element is NULL or there is none.
fn extreme(c: &Call, wanted: Ordering) -> Result<ArrayRef> {
    let lists = c.list(0)?;
    let values = lists.array().values();
    if Ty::of_type(values.data_type()).is_float() {
        return Err(not_supported(&format!("{} of real and double", c.name), "functions-that-differ"));
    }
    let order = comparator(values, values)?;
    let picks: UInt32Array = (0..c.rows)
        .map(|row| {
            let (start, end) = range(lists.array(), lists.at(row)?);
            if (start..end).any(|e| values.is_null(e)) {
                return None;
            }
            let best = (start..end).reduce(|best, e| if order(e, best) == wanted { e } else { best })?;
            u32::try_from(best).ok()
        })
        .collect();
    Ok(arrow::compute::take(values, &picks, None)?)
}

/// True when found, NULL when not found but an element is NULL.
fn contains(c: &Call) -> Result<ArrayRef> {
    let (lists, wanted) = (c.list(0)?, c.any(1)?);
    let values = lists.array().values();
    let order = comparator(values, wanted.array())?;
    c.build_bool(|row| {
        let (Some(i), Some(w)) = (lists.at(row), wanted.at(row)) else { return Ok(None) };
        let (start, end) = range(lists.array(), i);
        if (start..end).any(|e| values.is_valid(e) && order(e, w).is_eq()) {
            return Ok(Some(true));
        }
        Ok(if (start..end).any(|e| values.is_null(e)) { None } else { Some(false) })
    })
}

fn overlap(c: &Call) -> Result<ArrayRef> {
    let (a, b) = (c.list(0)?, c.list(1)?);
    let (av, bv) = (a.array().values(), b.array().values());
    let order = comparator(av, bv)?;
    c.build_bool(|row| {
        let (Some(i), Some(j)) = (a.at(row), b.at(row)) else { return Ok(None) };
        let ((s1, e1), (s2, e2)) = (range(a.array(), i), range(b.array(), j));
        let hit = (s1..e1).any(|x| av.is_valid(x) && (s2..e2).any(|y| bv.is_valid(y) && order(x, y).is_eq()));
        if hit {
            return Ok(Some(true));
        }
        let null = (s1 < e1 && s2 < e2) && ((s1..e1).any(|x| av.is_null(x)) || (s2..e2).any(|y| bv.is_null(y)));
        Ok(if null { None } else { Some(false) })
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Combine {
    Union,
    Intersect,
    Except,
}

/// Set operations without duplicates, NULLs being equal, in order of first occurrence.
fn combine(c: &Call, how: Combine) -> Result<ArrayRef> {
    let (a, b) = (c.list(0)?, c.list(1)?);
    let both = arrow::compute::concat(&[a.array().values(), b.array().values()])?;
    let shift = a.array().values().len();
    let order = comparator(&both, &both)?;
    build_lists(c, &[Arc::clone(&both)], |row, picks| {
        let (Some(i), Some(j)) = (a.at(row), b.at(row)) else { return Ok(false) };
        let ((s1, e1), (s2, e2)) = (range(a.array(), i), range(b.array(), j));
        let left = s1..e1;
        let right = s2 + shift..e2 + shift;
        let same = |x: usize, y: usize| match (both.is_valid(x), both.is_valid(y)) {
            (true, true) => order(x, y).is_eq(),
            (p, q) => p == q,
        };
        let mut seen = Vec::new();
        let candidates: Vec<usize> = match how {
            Combine::Union => left.chain(right).collect(),
            Combine::Intersect => left.filter(|x| right.clone().any(|y| same(*x, y))).collect(),
            Combine::Except => left.filter(|x| !right.clone().any(|y| same(*x, y))).collect(),
        };
        picks.extend(
            candidates.into_iter().filter(|e| unseen(&order, &both, &mut seen, *e)).map(|e| Pick::Range(0, e, e + 1)),
        );
        Ok(true)
    })
}

fn flatten_type(types: &[DataType]) -> Result<DataType> {
    let item = types.first().map(element_of).unwrap_or(DataType::Null);
    match Ty::of_type(&item) {
        Ty::Array => Ok(list_of(element_of(&item))),
        _ => Err(type_mismatch("Unexpected parameters for function flatten. Expected: flatten(array(array(T)))")),
    }
}

fn flatten(c: &Call) -> Result<ArrayRef> {
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

fn slice(c: &Call) -> Result<ArrayRef> {
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

fn trim_array(c: &Call) -> Result<ArrayRef> {
    let (lists, count) = (c.list(0)?, c.int(1)?);
    build_lists(c, &[Arc::clone(lists.array().values())], |row, picks| {
        let (Some(i), Some(count)) = (lists.at(row), count.get(row)) else { return Ok(false) };
        let (start, end) = range(lists.array(), i);
        let length = (end - start) as i64;
        if count < 0 {
            return Err(bad_argument("size must not be negative"));
        }
        if count > length {
            return Err(bad_argument(format!("size must not exceed array cardinality {length}: {count}")));
        }
        picks.push(Pick::Range(0, start, end - count as usize));
        Ok(true)
    })
}

fn repeat(c: &Call) -> Result<ArrayRef> {
    let (item, count) = (c.any(0)?, c.int(1)?);
    let width = item.array().get_array_memory_size() / item.array().len().max(1);
    build_lists(c, &[Arc::clone(item.array())], |row, picks| {
        let Some(count) = count.get(row) else { return Ok(false) };
        if count < 0 {
            return Err(bad_argument("count argument of repeat function must be greater than or equal to 0"));
        }
        if count > MAX_ENTRIES {
            return Err(bad_argument(format!(
                "count argument of repeat function must be less than or equal to {MAX_ENTRIES}"
            )));
        }
        c.check_value((count as usize).saturating_mul(if item.array().len() == 1 { width } else { 1 }))?;
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
        _ => Err(bad_argument(format!("result of sequence function must not have more than {MAX_ENTRIES} entries"))),
    }
}

fn sequence(c: &Call) -> Result<ArrayRef> {
    let (start, stop) = (c.int(0)?, c.int(1)?);
    let step = if c.len() == 3 { Some(c.int(2)?) } else { None };
    let mut values = Vec::new();
    let mut ranges = Vec::with_capacity(c.rows);
    for row in 0..c.rows {
        let (Some(a), Some(b)) = (start.get(row), stop.get(row)) else {
            ranges.push(None);
            continue;
        };
        let step = match &step {
            None => Some(if b >= a { 1 } else { -1 }),
            Some(step) => step.get(row),
        };
        let Some(step) = step else {
            ranges.push(None);
            continue;
        };
        let from = values.len();
        values.extend((0..steps(a, b, step)?).map(|n| a + n * step));
        ranges.push(Some((from, values.len())));
    }
    ranges_to_lists(c, Arc::new(Int64Array::from(values)), &ranges)
}

fn date_sequence(c: &Call) -> Result<ArrayRef> {
    let (start, stop) = (c.date(0)?, c.date(1)?);
    let mut values = Vec::new();
    let mut ranges = Vec::with_capacity(c.rows);
    for row in 0..c.rows {
        let (Some(a), Some(b)) = (start.get(row), stop.get(row)) else {
            ranges.push(None);
            continue;
        };
        let step = if b >= a { 1 } else { -1 };
        let from = values.len();
        values.extend((0..steps(a.into(), b.into(), step)?).map(|n| i64::from(a) + n * step));
        ranges.push(Some((from, values.len())));
    }
    let days: arrow::array::Date32Array =
        Int64Array::from(values).unary::<_, Date32Type>(|v| i32::try_from(v).unwrap_or(i32::MAX));
    ranges_to_lists(c, Arc::new(days), &ranges)
}

fn ranges_to_lists(c: &Call, values: ArrayRef, ranges: &[Option<(usize, usize)>]) -> Result<ArrayRef> {
    let values = if values.is_empty() { new_empty_array(values.data_type()) } else { values };
    build_lists(c, &[values], |row, picks| {
        let Some((from, to)) = ranges[row] else { return Ok(false) };
        picks.push(Pick::Range(0, from, to));
        Ok(true)
    })
}

/// Elements as text with a separator; NULLs are left out or replaced.
fn join(c: &Call) -> Result<ArrayRef> {
    let (lists, sep) = (c.list(0)?, c.text(1)?);
    let null = if c.len() == 3 { Some(c.text(2)?) } else { None };
    let values = lists.array().values();
    let ty = Ty::of_type(values.data_type());
    if !(ty.is_integer() || matches!(ty, Ty::Varchar | Ty::Boolean | Ty::Date | Ty::Decimal(..) | Ty::Unknown)) {
        return Err(not_supported(&format!("array_join of array({ty})"), "functions-that-differ"));
    }
    let text = arrow::compute::cast(values, &DataType::Utf8)?;
    let text = text
        .as_string_opt::<i32>()
        .ok_or_else(|| DataFusionError::Internal("array_join: text expected".into()))?;
    c.build_text(|row| {
        let (Some(i), Some(sep)) = (lists.at(row), sep.get(row)) else { return Ok(None) };
        let null = match &null {
            None => None,
            Some(n) => match n.get(row) {
                None => return Ok(None),
                some => some,
            },
        };
        let (start, end) = range(lists.array(), i);
        let parts: Vec<&str> =
            (start..end).filter_map(|e| if text.is_valid(e) { Some(text.value(e)) } else { null }).collect();
        c.check_value(parts.iter().map(|p| p.len() + sep.len()).sum())?;
        Ok(Some(parts.join(sep).into()))
    })
}

fn keys_type(types: &[DataType]) -> Result<DataType> {
    Ok(list_of(types.first().and_then(super::signature::entry_of).map_or(DataType::Null, |(k, _)| k)))
}

fn values_type(types: &[DataType]) -> Result<DataType> {
    Ok(list_of(types.first().and_then(super::signature::entry_of).map_or(DataType::Null, |(_, v)| v)))
}

fn map_part(c: &Call, keys: bool) -> Result<ArrayRef> {
    let maps = c.map(0)?;
    let map = maps.array();
    let source = if keys { map.keys() } else { map.values() };
    build_lists(c, &[Arc::clone(source)], |row, picks| {
        let Some(i) = maps.at(row) else { return Ok(false) };
        let offsets = map.value_offsets();
        picks.push(Pick::Range(0, offsets[i].max(0) as usize, offsets[i + 1].max(0) as usize));
        Ok(true)
    })
}

//! Arrays and maps: names and forms of all their functions; access, order and search. `array_build` makes new ones.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, UInt32Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;

use super::array_build::{
    append, concat_arrays, concat_bytes, concat_text, date_sequence, flatten, flatten_type, join, keys_type,
    map_part, prepend, repeat, reverse, sequence, slice, trim_array, values_type,
};
use super::array_order::{Compare, comparator, equality, extreme, sort};
use super::call::Call;
use super::lists::{Pick, build_lists};
use super::signature::Param::{
    Any, Array as AnyArray, Bigint, CommonArray, Date, Element, Key, Map, Varbinary, Varchar,
};
use super::signature::{Returns, generic, over, variadic};
use super::udf::{Spec, spec};
use crate::semantics::error::bad_argument;

const INT: &DataType = &DataType::Int64;
const BOOL: &DataType = &DataType::Boolean;

pub(super) static SPECS: &[Spec] = &[
    spec(
        "cardinality",
        &[],
        &[
            over(&[AnyArray], INT, |c| {
                let a = c.list(0)?;
                c.build::<Int64Type>(|r| Ok(a.at(r).map(|i| a.array().value_length(i).into())))
            }),
            over(&[Map], INT, |c| {
                let a = c.map(0)?;
                c.build::<Int64Type>(|r| Ok(a.at(r).map(|i| a.array().value_length(i).into())))
            }),
        ],
    ),
    spec(
        "element_at",
        &[],
        &[
            generic(&[AnyArray, Bigint], Returns::ElementOf(0), |c| {
                list_element(c, false)
            }),
            generic(&[Map, Key], Returns::ValueOf(0), |c| map_element(c, false)),
        ],
    ),
    spec(
        "reverse",
        &[],
        &[
            over(&[Varchar], &DataType::Utf8, |c| {
                let a = c.text(0)?;
                c.build_text(|r| Ok(a.get(r).map(|s| s.chars().rev().collect::<String>().into())))
            }),
            over(&[Varbinary], &DataType::Binary, |c| {
                let a = c.bytes(0)?;
                c.build_bytes(|r| Ok(a.get(r).map(|b| b.iter().rev().copied().collect())))
            }),
            generic(&[AnyArray], Returns::Same(0), reverse),
        ],
    ),
    spec(
        "concat",
        &[],
        &[
            variadic(&[Varchar, Varchar], Returns::Type(&DataType::Utf8), concat_text),
            variadic(
                &[Varbinary, Varbinary],
                Returns::Type(&DataType::Binary),
                concat_bytes,
            ),
            variadic(&[CommonArray, CommonArray], Returns::Same(0), concat_arrays),
            generic(&[AnyArray, Element], Returns::Same(0), append),
            generic(&[Any, AnyArray], Returns::Same(1), prepend),
        ],
    ),
    spec("array_sort", &[], &[generic(&[AnyArray], Returns::Same(0), sort)]),
    spec(
        "array_distinct",
        &[],
        &[generic(&[AnyArray], Returns::Same(0), distinct)],
    ),
    spec(
        "array_position",
        &[],
        &[over(&[AnyArray, Element], INT, position)],
    ),
    spec(
        "array_remove",
        &[],
        &[generic(&[AnyArray, Element], Returns::Same(0), remove)],
    ),
    spec(
        "array_max",
        &[],
        &[generic(&[AnyArray], Returns::ElementOf(0), |c| {
            extreme(c, Ordering::Greater)
        })],
    ),
    spec(
        "array_min",
        &[],
        &[generic(&[AnyArray], Returns::ElementOf(0), |c| {
            extreme(c, Ordering::Less)
        })],
    ),
    spec("contains", &[], &[over(&[AnyArray, Element], BOOL, contains)]),
    spec(
        "arrays_overlap",
        &[],
        &[over(&[CommonArray, CommonArray], BOOL, overlap)],
    ),
    spec(
        "array_union",
        &[],
        &[generic(&[CommonArray, CommonArray], Returns::Same(0), |c| {
            combine(c, Combine::Union)
        })],
    ),
    spec(
        "array_intersect",
        &[],
        &[generic(&[CommonArray, CommonArray], Returns::Same(0), |c| {
            combine(c, Combine::Intersect)
        })],
    ),
    spec(
        "array_except",
        &[],
        &[generic(&[CommonArray, CommonArray], Returns::Same(0), |c| {
            combine(c, Combine::Except)
        })],
    ),
    spec(
        "flatten",
        &[],
        &[generic(&[AnyArray], Returns::Computed(flatten_type), flatten)],
    ),
    spec(
        "slice",
        &[],
        &[generic(&[AnyArray, Bigint, Bigint], Returns::Same(0), slice)],
    ),
    spec(
        "trim_array",
        &[],
        &[generic(&[AnyArray, Bigint], Returns::Same(0), trim_array)],
    ),
    spec(
        "repeat",
        &[],
        &[generic(&[Any, Bigint], Returns::ArrayOf(0), repeat)],
    ),
    spec(
        "sequence",
        &[],
        &[
            generic(&[Bigint, Bigint], Returns::ArrayOf(0), sequence),
            generic(&[Bigint, Bigint, Bigint], Returns::ArrayOf(0), sequence),
            generic(&[Date, Date], Returns::ArrayOf(0), date_sequence),
        ],
    ),
    spec(
        "array_join",
        &[],
        &[
            over(&[AnyArray, Varchar], &DataType::Utf8, join),
            over(&[AnyArray, Varchar, Varchar], &DataType::Utf8, join),
        ],
    ),
    spec(
        "map_keys",
        &[],
        &[generic(&[Map], Returns::Computed(keys_type), |c| {
            map_part(c, true)
        })],
    ),
    spec(
        "map_values",
        &[],
        &[generic(&[Map], Returns::Computed(values_type), |c| {
            map_part(c, false)
        })],
    ),
];

/// `a[i]` and `m[k]`: errors where `element_at` is NULL.
pub(super) static SUBSCRIPTS: &[Spec] = &[spec(
    "$subscript",
    &[],
    &[
        generic(&[AnyArray, Bigint], Returns::ElementOf(0), |c| {
            list_element(c, true)
        }),
        generic(&[Map, Key], Returns::ValueOf(0), |c| map_element(c, true)),
    ],
)];

/// Range of a list's elements in its values.
pub(super) fn range(list: &ListArray, i: usize) -> (usize, usize) {
    let offsets = list.value_offsets();
    (offsets[i].max(0) as usize, offsets[i + 1].max(0) as usize)
}

fn list_element(c: &Call, strict: bool) -> Result<ArrayRef> {
    let (lists, index) = (c.list(0)?, c.int(1)?);
    let picks = (0..c.rows)
        .map(|row| {
            let (Some(i), Some(at)) = (lists.at(row), index.get(row)) else {
                return Ok(None);
            };
            let (start, end) = range(lists.array(), i);
            let length = (end - start) as i64;
            let place = match at {
                0 => return Err(bad_argument("SQL array indices start at 1")),
                at if strict && at < 0 => {
                    return Err(bad_argument(format!("Array subscript is negative: {at}")));
                }
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
        let found =
            (offsets[i].max(0) as usize..offsets[i + 1].max(0) as usize).find(|e| same(*e, k).is_eq());
        if found.is_none() && strict {
            let key = arrow::util::display::array_value_to_string(wanted.array(), k)?;
            return Err(bad_argument(format!("Key not present in map: {key}")));
        }
        picks.push(found.and_then(|e| u32::try_from(e).ok()));
    }
    Ok(arrow::compute::take(
        map.values(),
        &UInt32Array::from(picks),
        None,
    )?)
}

/// First occurrences among `candidates`, NULLs being equal; `seen` holds what is already there.
fn unseen(order: &Compare, values: &ArrayRef, seen: &mut Vec<usize>, candidate: usize) -> bool {
    let found = seen
        .iter()
        .any(|s| match (values.is_valid(*s), values.is_valid(candidate)) {
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
        picks.extend(
            (start..end)
                .filter(|e| unseen(&order, values, &mut seen, *e))
                .map(|e| Pick::Range(0, e, e + 1)),
        );
        Ok(true)
    })
}

fn position(c: &Call) -> Result<ArrayRef> {
    let (lists, wanted) = (c.list(0)?, c.any(1)?);
    let values = lists.array().values();
    let same = equality(values, wanted.array())?;
    c.build::<Int64Type>(|row| {
        let (Some(i), Some(w)) = (lists.at(row), wanted.at(row)) else {
            return Ok(None);
        };
        let (start, end) = range(lists.array(), i);
        let found = (start..end).find(|e| values.is_valid(*e) && same(*e, w));
        Ok(Some(found.map_or(0, |e| (e - start) as i64 + 1)))
    })
}

fn remove(c: &Call) -> Result<ArrayRef> {
    let (lists, wanted) = (c.list(0)?, c.any(1)?);
    let values = lists.array().values();
    let same = equality(values, wanted.array())?;
    build_lists(c, &[Arc::clone(values)], |row, picks| {
        let (Some(i), Some(w)) = (lists.at(row), wanted.at(row)) else {
            return Ok(false);
        };
        let (start, end) = range(lists.array(), i);
        let keep = (start..end).filter(|e| values.is_null(*e) || !same(*e, w));
        picks.extend(keep.map(|e| Pick::Range(0, e, e + 1)));
        Ok(true)
    })
}

/// True when found, NULL when not found but an element is NULL.
fn contains(c: &Call) -> Result<ArrayRef> {
    let (lists, wanted) = (c.list(0)?, c.any(1)?);
    let values = lists.array().values();
    let same = equality(values, wanted.array())?;
    c.build_bool(|row| {
        let (Some(i), Some(w)) = (lists.at(row), wanted.at(row)) else {
            return Ok(None);
        };
        let (start, end) = range(lists.array(), i);
        if (start..end).any(|e| values.is_valid(e) && same(e, w)) {
            return Ok(Some(true));
        }
        Ok(if (start..end).any(|e| values.is_null(e)) {
            None
        } else {
            Some(false)
        })
    })
}

fn overlap(c: &Call) -> Result<ArrayRef> {
    let (a, b) = (c.list(0)?, c.list(1)?);
    let (av, bv) = (a.array().values(), b.array().values());
    let order = comparator(av, bv)?;
    c.build_bool(|row| {
        let (Some(i), Some(j)) = (a.at(row), b.at(row)) else {
            return Ok(None);
        };
        let ((s1, e1), (s2, e2)) = (range(a.array(), i), range(b.array(), j));
        let hit = (s1..e1).any(|x| av.is_valid(x) && (s2..e2).any(|y| bv.is_valid(y) && order(x, y).is_eq()));
        if hit {
            return Ok(Some(true));
        }
        let null =
            (s1 < e1 && s2 < e2) && ((s1..e1).any(|x| av.is_null(x)) || (s2..e2).any(|y| bv.is_null(y)));
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
        let (Some(i), Some(j)) = (a.at(row), b.at(row)) else {
            return Ok(false);
        };
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
            candidates
                .into_iter()
                .filter(|e| unseen(&order, &both, &mut seen, *e))
                .map(|e| Pick::Range(0, e, e + 1)),
        );
        Ok(true)
    })
}

//! How functions build arrays: of text, or by copying element ranges out of their arguments.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, ListArray, ListBuilder, MutableArrayData, StringBuilder, make_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use datafusion::error::Result;

use super::call::Call;
use super::signature::list_of;
use crate::semantics::error::out_of_range;

/// `array(varchar)`.
pub(super) fn text_list_type(_: &[DataType]) -> Result<DataType> {
    Ok(list_of(DataType::Utf8))
}

/// Builds `array(varchar)` values.
pub(super) fn build_text_lists<'v>(
    c: &Call,
    mut value: impl FnMut(usize) -> Result<Option<Vec<Option<Cow<'v, str>>>>>,
) -> Result<ArrayRef> {
    let mut out = ListBuilder::new(StringBuilder::new());
    let mut total = 0;
    for row in 0..c.rows {
        let Some(parts) = value(row)? else {
            out.append(false);
            continue;
        };
        total = c.grow(
            total,
            parts.iter().map(|p| p.as_ref().map_or(0, |p| p.len()) + 4).sum(),
        )?;
        for part in parts {
            out.values().append_option(part);
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

/// Where an element of a new array comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pick {
    /// Elements `start..end` of source `.0`.
    Range(usize, usize, usize),
    /// A NULL.
    Null,
}

/// Bytes that values `from..to` of an array take in a copy; at least about, where the type is a rare one.
pub fn value_bytes(data: &ArrayData, from: usize, to: usize) -> usize {
    let count = to - from;
    match data.data_type() {
        DataType::Utf8 | DataType::Binary if count > 0 => {
            let (start, end) = (offset(data, from), offset(data, to));
            (end - start) + count * size_of::<i32>()
        }
        DataType::List(_) | DataType::Map(..) if count > 0 => {
            let (start, end) = (offset(data, from), offset(data, to));
            value_bytes(&data.child_data()[0], start, end) + count * size_of::<i32>()
        }
        DataType::Utf8View | DataType::BinaryView => {
            // The low half of a view begins with the length of its value.
            let views = data.buffer::<u128>(0).get(from..to).unwrap_or_default();
            let lengths = views.iter().map(|view| *view as u32 as usize);
            lengths.sum::<usize>() + count * size_of::<u128>()
        }
        DataType::Struct(_) => {
            let from = data.offset() + from;
            data.child_data()
                .iter()
                .map(|child| value_bytes(child, from, from + count))
                .sum()
        }
        other => count.saturating_mul(other.primitive_width().unwrap_or(1)),
    }
}

/// Where element `i` of a list or a text begins in what it is a list or text of.
fn offset(data: &ArrayData, i: usize) -> usize {
    data.buffer::<i32>(0)
        .get(i)
        .and_then(|o| usize::try_from(*o).ok())
        .unwrap_or(0)
}

/// Arrays one after the other: row `i` has `lengths[i]` of `values`, or is NULL.
pub(super) fn consecutive(values: ArrayRef, lengths: &[Option<usize>]) -> Result<ArrayRef> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|n| n.unwrap_or(0)));
    let valid = NullBuffer::from_iter(lengths.iter().map(Option::is_some));
    Ok(Arc::new(ListArray::try_new(field, offsets, values, Some(valid))?))
}

/// Builds arrays by copying elements from `sources` (all of one type).
pub(super) fn build_lists(
    c: &Call,
    sources: &[ArrayRef],
    mut row_picks: impl FnMut(usize, &mut Vec<Pick>) -> Result<bool>,
) -> Result<ArrayRef> {
    let data: Vec<_> = sources.iter().map(|s| s.to_data()).collect();
    let mut values = MutableArrayData::new(data.iter().collect(), true, c.rows);
    let mut offsets: Vec<i32> = Vec::with_capacity(c.rows + 1);
    let mut valid = Vec::with_capacity(c.rows);
    let mut picks = Vec::new();
    let (mut end, mut total) = (0_usize, 0_usize);
    offsets.push(0);
    for row in 0..c.rows {
        picks.clear();
        let present = row_picks(row, &mut picks)?;
        valid.push(present);
        if present {
            let (mut count, mut bytes) = (0_usize, 0_usize);
            for pick in &picks {
                match *pick {
                    Pick::Range(source, from, to) => {
                        count += to - from;
                        bytes = bytes.saturating_add(value_bytes(&data[source], from, to));
                    }
                    Pick::Null => count += 1,
                }
            }
            total = c.grow(total, bytes)?;
            for pick in &picks {
                match *pick {
                    Pick::Range(source, from, to) => values.try_extend(source, from, to)?,
                    Pick::Null => values.try_extend_nulls(1)?,
                }
            }
            end += count;
        }
        offsets.push(
            i32::try_from(end).map_err(|_| out_of_range(format!("{}: too many array elements", c.name)))?,
        );
    }
    let values = make_array(values.freeze());
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(ListArray::try_new(
        field,
        offsets,
        values,
        Some(NullBuffer::from(valid)),
    )?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray, StringViewArray, StructArray};

    #[test]
    fn bytes_of_values_are_those_that_a_slice_shows() {
        let texts = ["a", "twelve bytes and more", ""];
        let bytes = |array: &dyn Array, from, to| value_bytes(&array.to_data(), from, to);
        let plain = StringArray::from(texts.to_vec());
        assert_eq!(bytes(&plain, 0, 3), 22 + 3 * 4);
        assert_eq!(bytes(&plain.slice(1, 2), 0, 1), 21 + 4);
        let views = StringViewArray::from(texts.to_vec());
        assert_eq!(bytes(&views, 0, 3), 22 + 3 * 16);
        assert_eq!(bytes(&views.slice(1, 2), 0, 1), 21 + 16);
        assert_eq!(bytes(&views, 1, 1), 0);
        let field = |name, array: &dyn Array| Arc::new(Field::new(name, array.data_type().clone(), true));
        let numbers = Int64Array::from(vec![1, 2, 3]);
        let rows = StructArray::from(vec![
            (field("n", &numbers), Arc::new(numbers) as ArrayRef),
            (field("t", &views), Arc::new(views)),
        ]);
        assert_eq!(bytes(&rows.slice(1, 2), 0, 2), 2 * 8 + 21 + 2 * 16);
    }
}

//! Stored values in the types that the table declares: fields of structs by name, and no value below a NULL.
//!
//! Readers give the fields of a NULL struct whatever lies in their place, where the file says that the fields themselves
//! are never NULL. The engine takes a field as it is, without a look at the struct around it. So every struct that a
//! scan puts out carries its NULLs down to its fields, at every depth, in lists and maps too.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, StructArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options, nullif};
use arrow::datatypes::{DataType, FieldRef, Fields};
use datafusion::common::internal_err;
use datafusion::error::Result;

use crate::parquet_scan::rounding::{has_finer_than_millis, rounded_array};

/// A value out of range is an error, never NULL.
const STRICT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow::util::display::FormatOptions::new(),
};

/// Whether values of this type are or hold structs; the entries of a map are structs.
pub(crate) fn has_struct(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(_) | DataType::Map(..) => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_struct(item.data_type())
        }
        _ => false,
    }
}

/// Place of the stored field that a field `name` of the table means: exact name first, else the only one that differs
/// in case. `Err` where several do.
pub(crate) fn field_index(stored: &[FieldRef], name: &str) -> Result<Option<usize>, [String; 2]> {
    if let Some(index) = stored.iter().position(|field| field.name() == name) {
        return Ok(Some(index));
    }
    let mut found = stored
        .iter()
        .enumerate()
        .filter(|(_, field)| field.name().eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (first, None) => Ok(first.map(|(index, _)| index)),
        (None, Some((_, field))) => Err([field.name().clone(), field.name().clone()]),
        (Some((_, a)), Some((_, b))) => Err([a.name().clone(), b.name().clone()]),
    }
}

/// `values`, NULL where `above` is: the NULLs of the struct that they are a field of.
pub(crate) fn below(values: &ArrayRef, above: Option<&NullBuffer>) -> Result<ArrayRef> {
    let Some(above) = above.filter(|nulls| nulls.null_count() > 0) else {
        return Ok(Arc::clone(values));
    };
    if values.nulls().is_some_and(|own| own.contains(above)) {
        return Ok(Arc::clone(values));
    }
    let hidden = BooleanArray::new(!above.inner(), None);
    Ok(nullif(values, &hidden)?)
}

/// `stored` in the type `declared`, which it has to be readable as.
///
/// # Errors
/// A value that the declared type cannot hold.
pub(crate) fn as_declared(stored: &ArrayRef, declared: &DataType) -> Result<ArrayRef> {
    Ok(match (stored.data_type(), declared) {
        (DataType::Struct(_), DataType::Struct(fields)) => Arc::new(struct_as(stored.as_struct(), fields)?),
        (DataType::LargeList(item), DataType::List(_)) => {
            let list = cast_with_options(stored, &DataType::List(Arc::clone(item)), &STRICT)?;
            as_declared(&list, declared)?
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = stored.as_list::<i32>();
            Arc::new(ListArray::try_new(
                Arc::clone(item),
                list.offsets().clone(),
                as_declared(list.values(), item.data_type())?,
                list.nulls().cloned(),
            )?)
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            Arc::new(map_as(stored.as_map(), entries, *sorted)?)
        }
        (same, declared) if same == declared => Arc::clone(stored),
        (fine, _) if has_finer_than_millis(fine) => {
            cast_with_options(&rounded_array(stored)?, declared, &STRICT)?
        }
        _ => cast_with_options(stored, declared, &STRICT)?,
    })
}

fn struct_as(rows: &StructArray, fields: &Fields) -> Result<StructArray> {
    let columns = fields
        .iter()
        .map(|want| match field_index(rows.fields(), want.name()) {
            Ok(Some(index)) => as_declared(&below(rows.column(index), rows.nulls())?, want.data_type()),
            Ok(None) => Ok(new_null_array(want.data_type(), rows.len())),
            Err([a, b]) => internal_err!("fields `{a}` and `{b}` differ only in case"),
        })
        .collect::<Result<Vec<_>>>()?;
    let nulls = rows.nulls().cloned();
    Ok(StructArray::try_new_with_length(
        fields.clone(),
        columns,
        nulls,
        rows.len(),
    )?)
}

/// Keys and values go by position: their names differ from writer to writer.
fn map_as(map: &MapArray, entries: &FieldRef, sorted: bool) -> Result<MapArray> {
    let DataType::Struct(pair) = entries.data_type() else {
        return internal_err!("the entries of a map are {}", entries.data_type());
    };
    let [key, value] = pair.as_ref() else {
        return internal_err!("the entries of a map have {} fields", pair.len());
    };
    let columns = vec![
        as_declared(map.keys(), key.data_type())?,
        as_declared(map.values(), value.data_type())?,
    ];
    let pairs = StructArray::try_new(pair.clone(), columns, None)?;
    Ok(MapArray::try_new(
        Arc::clone(entries),
        map.offsets().clone(),
        pairs,
        map.nulls().cloned(),
        sorted,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, StringArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, Int64Type};

    fn field(name: &str, data_type: DataType, nullable: bool) -> FieldRef {
        Arc::new(Field::new(name, data_type, nullable))
    }

    /// Three structs, the middle one NULL, with 5, 6 and 7 in a field that is never NULL itself.
    fn rows(name: &str) -> ArrayRef {
        Arc::new(StructArray::new(
            vec![field(name, DataType::Int32, false)].into(),
            vec![Arc::new(Int32Array::from(vec![5, 6, 7]))],
            Some(NullBuffer::from(vec![true, false, true])),
        ))
    }

    fn declared(names: &[&str]) -> DataType {
        DataType::Struct(names.iter().map(|n| field(n, DataType::Int64, true)).collect())
    }

    fn numbers(rows: &ArrayRef, name: &str) -> Vec<Option<i64>> {
        let rows = rows.as_struct();
        rows.column_by_name(name)
            .unwrap()
            .as_primitive::<Int64Type>()
            .iter()
            .collect()
    }

    #[test]
    fn a_field_of_a_null_struct_is_null() {
        let read = as_declared(&rows("no"), &declared(&["no"])).unwrap();
        assert_eq!(numbers(&read, "no"), [Some(5), None, Some(7)]);
        // Without another type too.
        let same = rows("no").data_type().clone();
        let read = as_declared(&rows("no"), &same).unwrap();
        assert_eq!(read.as_struct().column(0).null_count(), 1);
    }

    #[test]
    fn names_differ_in_case_and_missing_fields_are_null_in_structs_that_are_there() {
        let read = as_declared(&rows("houseNo"), &declared(&["b", "houseno"])).unwrap();
        assert_eq!(numbers(&read, "houseno"), [Some(5), None, Some(7)]);
        assert_eq!(numbers(&read, "b"), [None; 3]);
        let nothing = as_declared(&rows("a"), &declared(&["b"])).unwrap();
        assert_eq!(numbers(&nothing, "b"), [None; 3]);
        assert_eq!(
            nothing.nulls().unwrap().iter().collect::<Vec<_>>(),
            [true, false, true]
        );
    }

    #[test]
    fn nulls_reach_every_depth_in_lists_and_maps() {
        let outer: ArrayRef = Arc::new(StructArray::new(
            vec![field("s", rows("no").data_type().clone(), true)].into(),
            vec![rows("no")],
            Some(NullBuffer::from(vec![false, true, true])),
        ));
        let inner = field("s", declared(&["no"]), true);
        let deep = DataType::Struct(vec![inner].into());
        let read = as_declared(&outer, &deep).unwrap();
        let s = Arc::clone(read.as_struct().column(0));
        assert_eq!(numbers(&s, "no"), [None, None, Some(7)]);

        let offsets = OffsetBuffer::from_lengths([1, 2]);
        let list: ArrayRef = Arc::new(ListArray::new(
            field("element", outer.data_type().clone(), true),
            offsets.clone(),
            Arc::clone(&outer),
            None,
        ));
        let read = as_declared(&list, &DataType::List(field("item", deep.clone(), true))).unwrap();
        let s = Arc::clone(read.as_list::<i32>().values().as_struct().column(0));
        assert_eq!(numbers(&s, "no"), [None, None, Some(7)]);

        let keys = Arc::new(StringArray::from(vec!["a", "b", "c"]));
        let pair = |names: [&str; 2], value: DataType| -> FieldRef {
            let fields = vec![
                field(names[0], DataType::Utf8, false),
                field(names[1], value, true),
            ];
            field("entries", DataType::Struct(fields.into()), false)
        };
        let stored = pair(["k", "v"], outer.data_type().clone());
        let DataType::Struct(fields) = stored.data_type().clone() else {
            unreachable!()
        };
        let entries = StructArray::new(fields, vec![keys, outer], None);
        let map: ArrayRef = Arc::new(MapArray::new(stored, offsets, entries, None, false));
        let read = as_declared(&map, &DataType::Map(pair(["key", "value"], deep), false)).unwrap();
        let s = Arc::clone(read.as_map().values().as_struct().column(0));
        assert_eq!(numbers(&s, "no"), [None, None, Some(7)]);
    }

    #[test]
    fn what_lies_below_a_null_is_not_converted() {
        let wide: ArrayRef = Arc::new(StructArray::new(
            vec![field("n", DataType::Int32, false)].into(),
            vec![Arc::new(Int32Array::from(vec![1, 100_000]))],
            Some(NullBuffer::from(vec![true, false])),
        ));
        let narrow = DataType::Struct(vec![field("n", DataType::Int16, true)].into());
        assert!(as_declared(&wide, &narrow).is_ok());
        let shown: ArrayRef = Arc::new(StructArray::new(
            vec![field("n", DataType::Int32, false)].into(),
            vec![Arc::new(Int32Array::from(vec![1, 100_000]))],
            None,
        ));
        assert!(as_declared(&shown, &narrow).is_err());
    }

    #[test]
    fn names_that_only_case_tells_apart_are_found_by_the_exact_one_alone() {
        let fields = [
            field("a", DataType::Int64, true),
            field("A", DataType::Int64, true),
        ];
        assert_eq!(field_index(&fields, "A"), Ok(Some(1)));
        let [lower, upper] = [
            field("aB", DataType::Int64, true),
            field("Ab", DataType::Int64, true),
        ];
        assert!(field_index(&[lower, upper], "ab").is_err());
        assert_eq!(field_index(&fields, "c"), Ok(None));
    }
}

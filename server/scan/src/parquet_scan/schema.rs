//! How a file's columns meet the table's: names without regard to case, types by Athena's widening rules.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};

use crate::nested::field_index;

/// The table's type as the engine reads it: strings and binaries as views, at the top level only.
pub(crate) fn engine_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other.clone(),
    }
}

/// Index of the file column that table column `name` means: exact name first, else the only one that
/// differs in case. Glue stores names in lower case, writers do not.
pub(crate) fn file_column(file: &Schema, name: &str) -> Result<Option<usize>, String> {
    meant(file.fields().iter().map(|f| f.name().as_str()), name)
}

/// Which of a file's top-level columns, in their order, table column `name` means.
pub(crate) fn meant<'a>(
    columns: impl Iterator<Item = &'a str> + Clone,
    name: &str,
) -> Result<Option<usize>, String> {
    if let Some(index) = columns.clone().position(|column| column == name) {
        return Ok(Some(index));
    }
    let mut found = columns
        .enumerate()
        .filter(|(_, column)| column.eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some((index, _)), None) => Ok(Some(index)),
        (Some((_, a)), Some((_, b))) => Err(format!("columns `{a}` and `{b}` differ only in case")),
    }
}

/// The schema the Parquet reader shall produce for a file: view types where the table wants strings
/// or binaries, so that no cast stands between the decoder and the engine.
pub(crate) fn reader_schema(table: &Schema, file: &Schema) -> Schema {
    let fields: Vec<FieldRef> = file
        .fields()
        .iter()
        .map(|field| {
            let wanted = table
                .fields()
                .iter()
                .find(|t| t.name().eq_ignore_ascii_case(field.name()));
            let data_type = match (wanted.map(|t| t.data_type()), field.data_type()) {
                (Some(DataType::Utf8View), DataType::Utf8 | DataType::Binary) => DataType::Utf8View,
                (Some(DataType::BinaryView), DataType::Binary) => DataType::BinaryView,
                (_, other) => other.clone(),
            };
            Arc::new(field.as_ref().clone().with_data_type(data_type))
        })
        .collect();
    Schema::new(fields)
}

/// Whether values stored as `stored` may be read as `declared` (athena-spec 5.4 and 2.1).
///
/// Widening of integers and floats, timestamps of any unit, decimals that lose no digit, integers as
/// text; nested types by name with the same rules. Everything else would be a guess.
pub(crate) fn readable_as(stored: &DataType, declared: &DataType) -> bool {
    use DataType as D;
    if stored == declared {
        return true;
    }
    match (stored, declared) {
        (D::Utf8 | D::Utf8View | D::LargeUtf8 | D::Binary | D::BinaryView, D::Utf8 | D::Utf8View) => true,
        (
            D::Utf8 | D::Utf8View | D::Binary | D::BinaryView | D::FixedSizeBinary(_),
            D::Binary | D::BinaryView,
        ) => true,
        (D::Int8, D::Int16 | D::Int32 | D::Int64)
        | (D::Int16, D::Int32 | D::Int64)
        | (D::Int32, D::Int64) => true,
        // Writers that know no narrow integers store them as int32; a value out of range fails in the cast.
        (D::Int32, D::Int8 | D::Int16) => true,
        (D::UInt8, D::Int16 | D::Int32 | D::Int64)
        | (D::UInt16, D::Int32 | D::Int64)
        | (D::UInt32, D::Int64) => true,
        (D::Int8 | D::Int16 | D::Int32 | D::Int64, D::Utf8 | D::Utf8View) => true,
        (D::Float32, D::Float64) | (D::Float16, D::Float32 | D::Float64) => true,
        (D::Timestamp(..), D::Timestamp(TimeUnit::Millisecond, None)) => true,
        (D::Decimal32(p1, s1) | D::Decimal64(p1, s1) | D::Decimal128(p1, s1), D::Decimal128(p2, s2)) => {
            s2 >= s1 && i16::from(*p2) - i16::from(*s2) >= i16::from(*p1) - i16::from(*s1)
        }
        (D::List(a) | D::LargeList(a), D::List(b)) => readable_as(a.data_type(), b.data_type()),
        (D::Map(a, _), D::Map(b, _)) => map_readable(a, b),
        (D::Struct(a), D::Struct(b)) => b.iter().all(|want| struct_child_readable(a, want)),
        _ => false,
    }
}

/// A missing child is NULL. Of children that only case tells apart none can be meant.
fn struct_child_readable(stored: &[FieldRef], want: &Field) -> bool {
    match field_index(stored, want.name()) {
        Ok(Some(index)) => readable_as(stored[index].data_type(), want.data_type()),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Keys and values are matched by position.
fn map_readable(stored: &Field, declared: &Field) -> bool {
    let (DataType::Struct(a), DataType::Struct(b)) = (stored.data_type(), declared.data_type()) else {
        return false;
    };
    a.len() == 2
        && b.len() == 2
        && a.iter()
            .zip(b.iter())
            .all(|(x, y)| readable_as(x.data_type(), y.data_type()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, t: DataType) -> Field {
        Field::new(name, t, true)
    }

    #[test]
    fn names_match_without_case_unless_ambiguous() {
        let file = Schema::new(vec![
            field("Id", DataType::Int64),
            field("a", DataType::Int64),
            field("A", DataType::Int64),
        ]);
        assert_eq!(file_column(&file, "id"), Ok(Some(0)));
        assert_eq!(file_column(&file, "a"), Ok(Some(1)));
        assert_eq!(file_column(&file, "zzz"), Ok(None));
        let twice = Schema::new(vec![field("Ab", DataType::Int64), field("aB", DataType::Int64)]);
        assert!(file_column(&twice, "ab").is_err());
    }

    #[test]
    fn only_widening_is_readable() {
        use DataType as D;
        assert!(readable_as(&D::Int32, &D::Int64));
        assert!(!readable_as(&D::Int64, &D::Int32));
        assert!(!readable_as(&D::Utf8, &D::Int32));
        assert!(!readable_as(&D::Float64, &D::Float32));
        assert!(readable_as(&D::Decimal128(10, 2), &D::Decimal128(12, 2)));
        assert!(!readable_as(&D::Decimal128(12, 2), &D::Decimal128(10, 2)));
        assert!(!readable_as(&D::Decimal128(10, 4), &D::Decimal128(12, 2)));
    }

    #[test]
    fn nested_names_match_without_case_unless_ambiguous() {
        let stored = |names: [&str; 2]| {
            DataType::Struct(names.map(|name| field(name, DataType::Int64)).to_vec().into())
        };
        let declared = DataType::Struct(vec![field("foo", DataType::Int32)].into());
        assert!(!readable_as(&stored(["Foo", "x"]), &declared), "of another type");
        let declared = DataType::Struct(vec![field("foo", DataType::Int64)].into());
        assert!(readable_as(&stored(["Foo", "x"]), &declared));
        assert!(
            readable_as(&stored(["bar", "x"]), &declared),
            "a missing one is NULL"
        );
        assert!(!readable_as(&stored(["Foo", "fOO"]), &declared));
        assert!(readable_as(&stored(["Foo", "foo"]), &declared));
    }
}

//! The shape in which results leave the engine: plain strings, no dictionaries, every column nullable.
//!
//! Drivers compare the schema of the announcement with that of the stream, nullability included
//! (peers 6.1), so both come from here.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use owlake_dialect::shown_name;

/// The schema that clients see for an engine schema.
pub fn wire_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|f| Field::new(shown_name(f.name()), wire_type(f.data_type()), true))
        .collect();
    Arc::new(Schema::new(fields))
}

fn wire_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => wire_type(value),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::List(f) | DataType::LargeList(f) | DataType::ListView(f) | DataType::LargeListView(f) => {
            DataType::List(child(f, true))
        }
        DataType::FixedSizeList(f, n) => DataType::FixedSizeList(child(f, true), *n),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|f| child(f, true)).collect()),
        DataType::Map(entries, sorted) => {
            let DataType::Struct(pair) = entries.data_type() else {
                return data_type.clone();
            };
            let pair = pair.iter().enumerate().map(|(i, f)| child(f, i > 0)).collect();
            // The protocol's readers insist on this name and on entries that are not null.
            DataType::Map(
                Arc::new(Field::new("entries", DataType::Struct(pair), false)),
                *sorted,
            )
        }
        other => other.clone(),
    }
}

fn child(field: &FieldRef, nullable: bool) -> FieldRef {
    Arc::new(Field::new(field.name(), wire_type(field.data_type()), nullable))
}

/// The batch under the wire schema; columns that already have their type are shared, not copied.
pub fn to_wire(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.num_columns() != schema.fields().len() {
        return Err(ArrowError::SchemaError(format!(
            "a batch has {} columns, its announcement {}",
            batch.num_columns(),
            schema.fields().len()
        )));
    }
    let options = CastOptions {
        safe: false,
        ..Default::default()
    };
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast_with_options(column, field.data_type(), &options)
            }
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    let rows = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows)
}

/// Bytes of a batch's values, slices counted as what they show.
pub fn batch_bytes(batch: &RecordBatch) -> u64 {
    batch
        .columns()
        .iter()
        .map(|c| c.to_data().get_slice_memory_size().unwrap_or(0) as u64)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int32Array, StringViewArray};

    #[test]
    fn views_become_plain_and_nothing_is_copied_needlessly() {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Utf8View, false),
            Field::new("b", DataType::Int32, false),
        ]);
        let wire = wire_schema(&schema);
        assert_eq!(wire.field(0), &Field::new("a", DataType::Utf8, true));
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(StringViewArray::from(vec!["x", "y"])),
                Arc::clone(&numbers),
            ],
        )
        .unwrap();
        let sent = to_wire(&batch, &wire).unwrap();
        assert_eq!(sent.schema(), wire);
        assert!(Arc::ptr_eq(sent.column(1), &numbers));
    }
}

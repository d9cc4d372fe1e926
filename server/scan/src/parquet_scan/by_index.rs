//! Columns by position (`parquet.column.index.access`): a footer whose columns have the table's names, so that
//! everything behind it can go by name.

use std::sync::Arc;

use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::schema::types::{SchemaDescriptor, Type};

/// A name that no table's column has: for columns of the file behind the table's last one.
fn beyond(index: usize) -> String {
    format!("\u{1f}{index}")
}

/// `metadata` with its columns called `names`, by position. What it says of row groups stays as it is.
pub(crate) fn renamed(metadata: &ParquetMetaData, names: &[String]) -> Result<ParquetMetaData, String> {
    let failed = |e: parquet::errors::ParquetError| format!("its columns cannot be taken by position: {e}");
    let old = metadata.file_metadata();
    let root = old.schema();
    let fields = root
        .get_fields()
        .iter()
        .enumerate()
        .map(|(i, field)| with_name(field, names.get(i).cloned().unwrap_or_else(|| beyond(i))).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    let root = Type::group_type_builder(root.name())
        .with_fields(fields)
        .build()
        .map_err(failed)?;
    let schema = Arc::new(SchemaDescriptor::new(Arc::new(root)));
    let file = FileMetaData::new(
        old.version(),
        old.num_rows(),
        old.created_by().map(str::to_owned),
        old.key_value_metadata().cloned(),
        schema,
        old.column_orders().cloned(),
    );
    // Row groups carry their columns' descriptions: written and read again, they get the new ones.
    let with_old_groups = ParquetMetaData::new(file.clone(), metadata.row_groups().to_vec());
    let mut encoded = Vec::new();
    ParquetMetaDataWriter::new(&mut encoded, &with_old_groups)
        .finish()
        .map_err(failed)?;
    let footer = encoded.get(..encoded.len().saturating_sub(8)).unwrap_or_default();
    let read = ParquetMetaDataReader::decode_metadata(footer).map_err(failed)?;
    let file = FileMetaData::new(
        old.version(),
        old.num_rows(),
        old.created_by().map(str::to_owned),
        old.key_value_metadata().cloned(),
        read.file_metadata().schema_descr_ptr(),
        // Written anew they would claim an order that an old writer did not.
        old.column_orders().cloned(),
    );
    Ok(ParquetMetaData::new(file, read.row_groups().to_vec()))
}

fn with_name(field: &Type, name: String) -> parquet::errors::Result<Type> {
    let info = field.get_basic_info();
    let id = info.has_id().then(|| info.id());
    match field {
        Type::PrimitiveType {
            physical_type,
            type_length,
            scale,
            precision,
            ..
        } => Type::primitive_type_builder(&name, *physical_type)
            .with_repetition(info.repetition())
            .with_converted_type(info.converted_type())
            .with_logical_type(info.logical_type_ref().cloned())
            .with_length(*type_length)
            .with_scale(*scale)
            .with_precision(*precision)
            .with_id(id)
            .build(),
        Type::GroupType { fields, .. } => Type::group_type_builder(&name)
            .with_repetition(info.repetition())
            .with_converted_type(info.converted_type())
            .with_logical_type(info.logical_type_ref().cloned())
            .with_fields(fields.clone())
            .with_id(id)
            .build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;

    #[test]
    fn only_the_names_of_columns_change() {
        let columns: [(&str, ArrayRef); 3] = [
            ("a", Arc::new(Int64Array::from(vec![1, 2]))),
            ("b", Arc::new(StringArray::from(vec!["x", "y"]))),
            ("c", Arc::new(Int64Array::from(vec![5, 6]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let bytes = bytes::Bytes::from(writer.into_inner().unwrap());
        let old = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
        let new = renamed(&old, &["x".to_owned(), "a".to_owned()]).unwrap();
        let names: Vec<&str> = new
            .file_metadata()
            .schema()
            .get_fields()
            .iter()
            .map(|f| f.name())
            .collect();
        assert_eq!(names, ["x", "a", "\u{1f}2"]);
        assert_eq!(
            new.file_metadata().column_orders(),
            old.file_metadata().column_orders()
        );
        for (old, new) in old.row_group(0).columns().iter().zip(new.row_group(0).columns()) {
            assert_eq!(old.byte_range(), new.byte_range());
            assert_eq!(old.statistics(), new.statistics());
            assert_eq!(old.column_index_offset(), new.column_index_offset());
            assert_eq!(old.offset_index_length(), new.offset_index_length());
            assert_eq!(old.compression(), new.compression());
        }
        assert_eq!(new.row_group(0).column(1).column_path().string(), "a");
    }
}

//! Parquet files whose footer says less, or says it otherwise, than that of our writer.

use std::sync::Arc;

use bytes::Bytes;
use parquet::data_type::{ByteArray, Int64Type, Int96, Int96Type};
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// `file` with another footer behind the same data.
pub fn with_footer(file: &Bytes, edit: impl FnOnce(Vec<RowGroupMetaData>) -> Vec<RowGroupMetaData>) -> Bytes {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(file).unwrap();
    let groups = edit(metadata.row_groups().to_vec());
    let edited = ParquetMetaData::new(metadata.file_metadata().clone(), groups);
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &edited).finish().unwrap();
    let trailer = file.len() - 8;
    let length = u32::from_le_bytes(file[trailer..trailer + 4].try_into().unwrap());
    let mut out = file[..trailer - length as usize].to_vec();
    out.extend_from_slice(&footer);
    Bytes::from(out)
}

/// `file` with other statistics of its chunks.
pub fn with_statistics(file: &Bytes, edit: impl Fn(&ColumnChunkMetaData) -> Option<Statistics>) -> Bytes {
    with_footer(file, |groups| {
        groups.into_iter().map(|group| edited(group, &edit)).collect()
    })
}

fn edited(
    mut group: RowGroupMetaData,
    edit: impl Fn(&ColumnChunkMetaData) -> Option<Statistics>,
) -> RowGroupMetaData {
    for chunk in group.columns_mut() {
        let builder = chunk.clone().into_builder().clear_statistics();
        let builder = match edit(chunk) {
            Some(statistics) => builder.set_statistics(statistics),
            None => builder,
        };
        *chunk = builder
            .set_column_index_offset(None)
            .set_column_index_length(None)
            .set_offset_index_offset(None)
            .set_offset_index_length(None)
            .build()
            .unwrap();
    }
    group
}

/// The statistics of `chunk` without its count of NULLs.
pub fn without_null_count(chunk: &ColumnChunkMetaData) -> Option<Statistics> {
    Some(match chunk.statistics()? {
        Statistics::Int64(s) => {
            Statistics::int64(s.min_opt().copied(), s.max_opt().copied(), None, None, false)
        }
        Statistics::ByteArray(s) => {
            Statistics::byte_array(s.min_opt().cloned(), s.max_opt().cloned(), None, None, false)
        }
        other => panic!("{other:?}"),
    })
}

/// Minimum and maximum of texts as old writers had them: bytes compared as signed numbers.
pub fn signed_texts(least: &str, most: &str) -> impl Fn(&ColumnChunkMetaData) -> Option<Statistics> {
    let (least, most) = (ByteArray::from(least), ByteArray::from(most));
    move |_| {
        let (least, most) = (Some(least.clone()), Some(most.clone()));
        Some(Statistics::byte_array(least, most, None, Some(0), true))
    }
}

/// A file with the columns `id` and `ts`, of which `ts` is INT96: days and nanoseconds of the day.
pub fn int96(rows: &[(i64, u32, u64)]) -> Bytes {
    let schema = parse_message_type("message m { optional int64 id; optional int96 ts; }").unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, Arc::new(schema), properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let levels = vec![1; rows.len()];
    let ids: Vec<i64> = rows.iter().map(|(id, ..)| *id).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<Int64Type>()
        .write_batch(&ids, Some(&levels), None)
        .unwrap();
    column.close().unwrap();
    let times = rows.iter().map(|(_, julian_day, nanoseconds)| {
        let mut time = Int96::new();
        let (low, high) = (*nanoseconds as u32, (nanoseconds >> 32) as u32);
        time.set_data(low, high, *julian_day);
        time
    });
    let times: Vec<Int96> = times.collect();
    let mut column = group.next_column().unwrap().unwrap();
    column
        .typed::<Int96Type>()
        .write_batch(&times, Some(&levels), None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    Bytes::from(file)
}

/// A file of one bigint column `n`, one row group for each list, which may be empty.
pub fn row_groups(groups: &[&[i64]]) -> Bytes {
    let schema = parse_message_type("message m { optional int64 n; }").unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, Arc::new(schema), properties).unwrap();
    for values in groups {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let levels = vec![1; values.len()];
        column
            .typed::<Int64Type>()
            .write_batch(values, Some(&levels), None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    Bytes::from(file)
}

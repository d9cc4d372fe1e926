//! What of a footer may be believed. Done once, where a footer becomes known, so that pruning, constants, aggregates,
//! filters of joins and limits, estimates and proofs all see the same.
//!
//! What may be wrong, or is left open where readers assume something, is made absent. Row groups without rows go,
//! and the others come in the order of their bytes.

use std::cmp::Ordering;

use parquet::basic::{ColumnOrder, LogicalType, SortOrder, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescriptor;

use crate::parquet_scan::chunks::first_byte;

/// `metadata` without what may not be believed.
pub(crate) fn trusted(metadata: ParquetMetaData) -> Result<ParquetMetaData, ParquetError> {
    let orders = metadata.file_metadata().column_orders().cloned();
    let order_of = |leaf: usize| orders.as_ref().and_then(|orders| orders.get(leaf)).copied();
    let mut builder = metadata.into_builder();
    let mut groups = builder.take_row_groups();
    groups.retain(|group| group.num_rows() != 0);
    // Pieces of a file are ranges of it.
    groups.sort_by_key(first_byte);
    for group in &mut groups {
        trust(group, order_of)?;
    }
    Ok(builder.set_row_groups(groups).build())
}

fn trust(
    group: &mut RowGroupMetaData,
    order_of: impl Fn(usize) -> Option<ColumnOrder>,
) -> Result<(), ParquetError> {
    for (leaf, chunk) in group.columns_mut().iter_mut().enumerate() {
        let bounded = has_usable_bounds(chunk.column_descr(), order_of(leaf));
        let statistics = chunk
            .statistics()
            .and_then(|stored| usable(stored, chunk, bounded));
        let has_index = chunk.column_index_offset().is_some() || chunk.bloom_filter_offset().is_some();
        if statistics.as_ref() == chunk.statistics() && (bounded || !has_index) {
            continue;
        }
        let mut builder = chunk.clone().into_builder().clear_statistics();
        if let Some(statistics) = statistics {
            builder = builder.set_statistics(statistics);
        }
        if !bounded {
            // Minima and maxima of pages are no better; a bloom filter tells 0.0 from -0.0.
            builder = builder
                .set_column_index_offset(None)
                .set_column_index_length(None)
                .set_bloom_filter_offset(None)
                .set_bloom_filter_length(None);
        }
        *chunk = builder.build()?;
    }
    Ok(())
}

/// Whether minima and maxima of such a column bound all its values, in the order in which the engine compares them.
///
/// Those of floating-point columns do not: NaN is left out, and it is above all numbers in some comparisons. Those of
/// INT96, intervals and the like have no order that writers agree on.
fn has_usable_bounds(column: &ColumnDescriptor, written: Option<ColumnOrder>) -> bool {
    let floating = matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE)
        || matches!(column.logical_type_ref(), Some(LogicalType::Float16));
    // Writers that say nothing of orders use that of the type.
    let ordered = matches!(written, None | Some(ColumnOrder::TYPE_DEFINED_ORDER(_)))
        && column.physical_type() != Type::INT96
        && sort_order(column) != SortOrder::UNDEFINED;
    ordered && !floating
}

fn sort_order(column: &ColumnDescriptor) -> SortOrder {
    ColumnOrder::sort_order_for_type(
        column.logical_type_ref(),
        column.converted_type(),
        column.physical_type(),
    )
}

/// What of `stored` may be believed; with `bounded`, minimum and maximum too.
fn usable(stored: &Statistics, chunk: &ColumnChunkMetaData, bounded: bool) -> Option<Statistics> {
    let column = chunk.column_descr();
    let nulls = match stored.null_count_opt() {
        None if column.max_def_level() == 0 => 0,
        // Readers take a missing count for 0.
        None => return None,
        Some(nulls) => nulls,
    };
    if i64::try_from(nulls).map_or(true, |nulls| nulls > chunk.num_values()) {
        return None;
    }
    // The old fields compare bytes and unsigned numbers as if they had a sign.
    let compared_well = !stored.is_min_max_deprecated()
        || (matches!(column.physical_type(), Type::INT32 | Type::INT64)
            && sort_order(column) == SortOrder::SIGNED);
    let keeps = bounded && compared_well && in_order(stored, sort_order(column));
    Some(match stored {
        Statistics::Boolean(s) => with_nulls(s, nulls, keeps),
        Statistics::Int32(s) => with_nulls(s, nulls, keeps),
        Statistics::Int64(s) => with_nulls(s, nulls, keeps),
        Statistics::Int96(s) => with_nulls(s, nulls, keeps),
        Statistics::Float(s) => with_nulls(s, nulls, keeps),
        Statistics::Double(s) => with_nulls(s, nulls, keeps),
        Statistics::ByteArray(s) => with_nulls(s, nulls, keeps),
        Statistics::FixedLenByteArray(s) => with_nulls(s, nulls, keeps),
    })
}

/// Whether the minimum is not above the maximum. What is compared byte by byte is left to its writer where a sign
/// matters.
fn in_order(stored: &Statistics, order: SortOrder) -> bool {
    let signed = order == SortOrder::SIGNED;
    let order = match stored {
        Statistics::Int32(s) if signed => compared(s, i32::cmp),
        Statistics::Int64(s) if signed => compared(s, i64::cmp),
        Statistics::Int32(s) => compared(s, |a, b| a.cast_unsigned().cmp(&b.cast_unsigned())),
        Statistics::Int64(s) => compared(s, |a, b| a.cast_unsigned().cmp(&b.cast_unsigned())),
        Statistics::ByteArray(s) if !signed => compared(s, |a, b| a.data().cmp(b.data())),
        Statistics::FixedLenByteArray(s) if !signed => compared(s, |a, b| a.data().cmp(b.data())),
        _ => None,
    };
    order != Some(Ordering::Greater)
}

fn compared<T>(stored: &ValueStatistics<T>, compare: impl Fn(&T, &T) -> Ordering) -> Option<Ordering> {
    Some(compare(stored.min_opt()?, stored.max_opt()?))
}

fn with_nulls<T: Clone>(stored: &ValueStatistics<T>, nulls: u64, keeps_bounds: bool) -> Statistics
where
    Statistics: From<ValueStatistics<T>>,
{
    let bound = |value: Option<&T>| value.filter(|_| keeps_bounds).cloned();
    let statistics = ValueStatistics::new(
        bound(stored.min_opt()),
        bound(stored.max_opt()),
        stored.distinct_count(),
        Some(nulls),
        stored.is_min_max_backwards_compatible(),
    );
    statistics
        .with_min_is_exact(keeps_bounds && stored.min_is_exact())
        .with_max_is_exact(keeps_bounds && stored.max_is_exact())
        .into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use datafusion::arrow::array::{
        ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array,
    };
    use parquet::arrow::ArrowWriter;
    use parquet::data_type::ByteArray;
    use parquet::file::metadata::ParquetMetaDataReader;
    use parquet::file::properties::WriterProperties;

    use super::*;

    /// A footer of one column, whose chunk is given `statistics`.
    fn footer(column: ArrayRef, statistics: Option<Statistics>) -> ParquetMetaData {
        let batch = RecordBatch::try_from_iter_with_nullable([("c", column, true)]).unwrap();
        let properties = WriterProperties::builder().set_bloom_filter_enabled(true).build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&Bytes::from(bytes))
            .unwrap();
        let mut builder = metadata.into_builder();
        let mut groups = builder.take_row_groups();
        if let Some(statistics) = statistics {
            let chunk = &mut groups[0].columns_mut()[0];
            *chunk = chunk
                .clone()
                .into_builder()
                .set_statistics(statistics)
                .build()
                .unwrap();
        }
        builder.set_row_groups(groups).build()
    }

    /// What is left of the statistics, and whether the chunk still has a page index and a bloom filter.
    fn left(column: ArrayRef, statistics: Option<Statistics>) -> (Option<Statistics>, bool) {
        let metadata = trusted(footer(column, statistics)).unwrap();
        let chunk = metadata.row_group(0).column(0);
        let indexed = chunk.column_index_offset().is_some() && chunk.bloom_filter_offset().is_some();
        (chunk.statistics().cloned(), indexed)
    }

    fn integers() -> ArrayRef {
        Arc::new(Int64Array::from(vec![3, 4, 5]))
    }

    fn texts() -> ArrayRef {
        Arc::new(StringArray::from(vec!["a", "b", "c"]))
    }

    fn bytes(least: &str, most: &str, deprecated: bool) -> Statistics {
        let (least, most) = (Some(ByteArray::from(least)), Some(ByteArray::from(most)));
        Statistics::byte_array(least, most, None, Some(0), deprecated)
    }

    #[test]
    fn what_says_all_is_left_as_it_is() {
        for column in [integers(), texts()] {
            let before = footer(Arc::clone(&column), None)
                .row_group(0)
                .column(0)
                .statistics()
                .cloned();
            assert!(before.is_some());
            assert_eq!(left(column, None), (before, true));
        }
        let old = Statistics::int64(Some(3), Some(5), None, Some(0), true);
        assert_eq!(left(integers(), Some(old.clone())), (Some(old), true));
    }

    #[test]
    fn without_a_count_of_nulls_nothing_is_known() {
        let bounds = Statistics::int64(Some(3), Some(5), None, None, false);
        assert_eq!(left(integers(), Some(bounds)), (None, true));
        let too_many = Statistics::int64(Some(3), Some(5), None, Some(4), false);
        assert_eq!(left(integers(), Some(too_many)), (None, true));
    }

    #[test]
    fn bounds_of_floats_go_with_their_indexes() {
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1.5, f64::NAN, 1.5]));
        let counts = Statistics::double(None, None, None, Some(0), false);
        assert_eq!(left(doubles, None), (Some(counts), false));
    }

    #[test]
    fn bounds_of_another_order_go() {
        let (none, counts) = (None, |nulls| {
            Statistics::byte_array(None, None, None, nulls, true)
        });
        assert_eq!(
            left(texts(), Some(bytes("é", "z", true))),
            (Some(counts(Some(0))), true)
        );
        let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![1, u64::MAX]));
        let old = Statistics::int64(Some(-1), Some(1), None, Some(0), true);
        let counts = Statistics::int64(none, none, None, Some(0), true);
        assert_eq!(left(unsigned, Some(old)), (Some(counts), true));
        let crossed = Statistics::int64(Some(5), Some(3), None, Some(0), false);
        let counts = Statistics::int64(None, None, None, Some(0), false);
        assert_eq!(left(integers(), Some(crossed)), (Some(counts), true));
    }

    #[test]
    fn row_groups_come_in_the_order_of_their_bytes_without_the_empty_ones() {
        let [mut first, second] = [footer(integers(), None), footer(texts(), None)];
        let group = first.row_group(0).clone();
        let at = |offset: i64, rows: i64| {
            let chunk = group.column(0).clone().into_builder();
            let chunk = chunk
                .set_dictionary_page_offset(None)
                .set_data_page_offset(offset);
            let builder = RowGroupMetaData::builder(group.schema_descr_ptr());
            let builder = builder
                .set_num_rows(rows)
                .add_column_metadata(chunk.build().unwrap());
            builder.build().unwrap()
        };
        first = first
            .into_builder()
            .set_row_groups(vec![at(40, 3), at(4, 1), at(20, 0), at(20, 2)])
            .build();
        let rows = |metadata: &ParquetMetaData| -> Vec<i64> {
            metadata
                .row_groups()
                .iter()
                .map(RowGroupMetaData::num_rows)
                .collect()
        };
        assert_eq!(rows(&trusted(first).unwrap()), [1, 2, 3]);
        assert_eq!(rows(&trusted(second).unwrap()), [3]);
    }
}

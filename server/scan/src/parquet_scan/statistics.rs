//! File statistics from a footer, exact or absent, never a guess: the engine answers `count(*)`, `min`
//! and `max` from them and replaces constant columns by literals.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::parquet_scan::rounding::rounded;
use crate::parquet_scan::schema::file_column;

/// Statistics of one file for the whole table schema: `table` columns, then `partition_values`.
///
/// Minima and maxima are taken for integers and dates stored in the declared type, and for timestamps: float
/// statistics leave out NaN, text statistics may be cut, other types would have to be converted.
pub(crate) fn file_statistics(
    metadata: &ParquetMetaData,
    file: &Schema,
    table: &Schema,
    partition_values: &[ScalarValue],
) -> Statistics {
    let rows: usize = metadata
        .row_groups()
        .iter()
        .map(|g| usize::try_from(g.num_rows()).unwrap_or(0))
        .sum();
    let mut columns: Vec<ColumnStatistics> = table
        .fields()
        .iter()
        .map(|f| column_statistics(metadata, file, f.name(), f.data_type(), rows))
        .collect();
    columns.extend(
        partition_values
            .iter()
            .map(|value| partition_statistics(value, rows)),
    );
    let bytes: i64 = metadata
        .row_groups()
        .iter()
        .map(|g| g.total_byte_size().max(0))
        .sum();
    Statistics {
        num_rows: Precision::Exact(rows),
        total_byte_size: Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX)),
        column_statistics: columns,
    }
}

/// Columns of `table` that exact statistics of the whole file turn into literals, so that they are not read, by
/// name. The opener's own rule.
pub(crate) fn constant_columns(file: &PartitionedFile, table: &Schema) -> HashMap<String, ScalarValue> {
    let Some(statistics) = &file.statistics else {
        return HashMap::new();
    };
    let columns = table.fields().iter().zip(&statistics.column_statistics);
    let constant = columns.filter_map(|(field, column)| {
        let one_value = match (&column.min_value, &column.max_value, &column.null_count) {
            (Precision::Exact(a), Precision::Exact(b), Precision::Exact(0)) if a == b && !a.is_null() => {
                Some(a.clone())
            }
            _ => None,
        };
        let all_null = || match (&statistics.num_rows, &column.null_count) {
            (Precision::Exact(rows), Precision::Exact(nulls)) if rows == nulls => {
                ScalarValue::try_new_null(field.data_type()).ok()
            }
            _ => None,
        };
        Some((field.name().clone(), one_value.or_else(all_null)?))
    });
    constant.collect()
}

fn partition_statistics(value: &ScalarValue, rows: usize) -> ColumnStatistics {
    let mut statistics = ColumnStatistics::new_unknown();
    // No row has the value of a partition whose file is empty.
    if value.is_null() || rows == 0 {
        statistics.null_count = Precision::Exact(rows);
        return statistics;
    }
    statistics.null_count = Precision::Exact(0);
    statistics.distinct_count = Precision::Exact(1);
    statistics.min_value = Precision::Exact(value.clone());
    statistics.max_value = Precision::Exact(value.clone());
    statistics
}

fn column_statistics(
    metadata: &ParquetMetaData,
    file: &Schema,
    name: &str,
    data_type: &DataType,
    rows: usize,
) -> ColumnStatistics {
    let mut statistics = ColumnStatistics::new_unknown();
    let index = match file_column(file, name) {
        Ok(Some(index)) => index,
        Ok(None) => {
            statistics.null_count = Precision::Exact(rows);
            return statistics;
        }
        Err(_ambiguous) => return statistics,
    };
    let field = file.field(index);
    if field.data_type().is_nested() {
        return statistics;
    }
    let Ok(converter) =
        StatisticsConverter::try_new(field.name(), file, metadata.file_metadata().schema_descr())
    else {
        return statistics;
    };
    let groups = metadata.row_groups();
    if let Ok(nulls) = converter.row_group_null_counts(groups)
        && nulls.null_count() == 0
    {
        let total: u64 = nulls.values().iter().sum();
        statistics.null_count = Precision::Exact(usize::try_from(total).unwrap_or(usize::MAX));
    }
    if !has_extremes(field.data_type(), data_type) || groups.is_empty() {
        return statistics;
    }
    let exact = |flags: Result<BooleanArray, ParquetError>| {
        flags.is_ok_and(|flags| flags.iter().all(|exact| exact == Some(true)))
    };
    if exact(converter.row_group_is_min_value_exact(groups))
        && let Some(min) = extreme(converter.row_group_mins(groups).ok(), Ordering::Less)
    {
        statistics.min_value = Precision::Exact(declared(min));
    }
    if exact(converter.row_group_is_max_value_exact(groups))
        && let Some(max) = extreme(converter.row_group_maxes(groups).ok(), Ordering::Greater)
    {
        statistics.max_value = Precision::Exact(declared(max));
    }
    statistics
}

/// Whether the extremes of what is `stored` are those of the column as it is `declared`.
fn has_extremes(stored: &DataType, declared: &DataType) -> bool {
    match (stored, declared) {
        (DataType::Timestamp(..), DataType::Timestamp(TimeUnit::Millisecond, None)) => true,
        (_, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64) => stored == declared,
        (_, DataType::Date32) => stored == declared,
        _ => false,
    }
}

/// A stored extreme as the column's value: rounding keeps the order.
fn declared(stored: ScalarValue) -> ScalarValue {
    let millis = |value| ScalarValue::TimestampMillisecond(value, None);
    match stored {
        ScalarValue::TimestampMillisecond(value, _) => millis(value),
        ScalarValue::TimestampMicrosecond(value, _) => millis(value.map(|v| rounded(v, 1_000))),
        ScalarValue::TimestampNanosecond(value, _) => millis(value.map(|v| rounded(v, 1_000_000))),
        other => other,
    }
}

/// The extreme of per-row-group values, or `None` where any row group lacks one.
fn extreme(values: Option<Arc<dyn Array>>, wins: Ordering) -> Option<ScalarValue> {
    let values = values?;
    if values.null_count() > 0 {
        return None;
    }
    let mut best: Option<ScalarValue> = None;
    for i in 0..values.len() {
        let value = ScalarValue::try_from_array(&values, i).ok()?;
        best = match best {
            Some(b) if value.partial_cmp(&b) == Some(wins) => Some(value),
            Some(b) => Some(b),
            None => Some(value),
        };
    }
    best
}

//! A small data lake for the demo, tests and benches: the TPC-H tables, `lineitem` once more by month, and
//! hourly `events`; as Parquet objects and the Athena DDL that describes them.
//!
//! The same scale factor gives the same bytes. Knows no store: objects go to a callback.

mod events;
mod parquet_file;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{partition, take_record_batch};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use chrono::{Datelike, Days, NaiveDate};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RecordBatchIterator,
    RegionArrow, SupplierArrow,
};

use parquet_file::ParquetFile;

/// Smallest scale factor: 1500 orders.
pub const MIN_SCALE_FACTOR: f64 = 0.001;

/// Largest scale factor; above it generation takes hours and a real data set is the better choice.
pub const MAX_SCALE_FACTOR: f64 = 100.0;

/// A file is closed and the next part begun at this size, which bounds the memory of generation.
const PART_MAX_BYTES: usize = 32 << 20;

/// The same for each of the 84 months that are written side by side.
const MONTH_PART_MAX_BYTES: usize = 4 << 20;

/// What generation reports when it cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The scale factor is not a number in the supported range.
    #[error("scale factor {0} is not between {MIN_SCALE_FACTOR} and {MAX_SCALE_FACTOR}")]
    ScaleFactor(f64),
    /// Arrow refused a batch.
    #[error("a batch could not be built")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Parquet refused a batch.
    #[error("a Parquet file could not be written")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// The callback did not take an object.
    #[error("object `{key}` could not be stored")]
    Put {
        /// Key below the lake's root.
        key: String,
        /// The callback's error.
        #[source]
        source: io::Error,
    },
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LakeSummary {
    /// Objects put.
    pub objects: u64,
    /// Sum of their sizes.
    pub bytes: u64,
    /// Rows, copies in `lineitem_by_month` included.
    pub rows: u64,
}

/// Writes the lake at `scale_factor` (1.0 = the 6 million line items of TPC-H's first scale) through `put`, which
/// gets keys relative to the lake's root, such as `orders/part-0.parquet`.
///
/// Blocks and computes: call it on a thread of its own. Memory stays below 1 GiB at any scale; the generator's
/// pool of text alone, filled at first use, is 300 MB.
///
/// # Errors
/// A bad scale factor, or what `put` answers; objects put before stay.
pub fn generate(
    scale_factor: f64,
    mut put: impl FnMut(&str, Bytes) -> io::Result<()>,
) -> Result<LakeSummary, LakeError> {
    check_scale(scale_factor)?;
    let mut lake = Lake {
        put: &mut put,
        summary: LakeSummary::default(),
    };
    for table in TPCH_TABLES {
        let batches = (table.batches)(scale_factor);
        if table.name == "lineitem" {
            line_items(&mut lake, batches)?;
        } else {
            plain_table(&mut lake, table.name, batches, ROW_GROUP_ROWS)?;
        }
    }
    events::write(&mut lake)?;
    Ok(lake.summary)
}

/// Writes the eight tables of TPC-H alone, with row groups of `row_group_rows`, as [`generate`] does.
///
/// # Errors
/// A bad scale factor, or what `put` answers; objects put before stay.
pub fn generate_tpch(
    scale_factor: f64,
    row_group_rows: usize,
    mut put: impl FnMut(&str, Bytes) -> io::Result<()>,
) -> Result<LakeSummary, LakeError> {
    check_scale(scale_factor)?;
    let mut lake = Lake {
        put: &mut put,
        summary: LakeSummary::default(),
    };
    for table in TPCH_TABLES {
        plain_table(
            &mut lake,
            table.name,
            (table.batches)(scale_factor),
            row_group_rows,
        )?;
    }
    Ok(lake.summary)
}

fn check_scale(scale_factor: f64) -> Result<(), LakeError> {
    match (MIN_SCALE_FACTOR..=MAX_SCALE_FACTOR).contains(&scale_factor) {
        true => Ok(()),
        false => Err(LakeError::ScaleFactor(scale_factor)),
    }
}

/// One `CREATE EXTERNAL TABLE` for each table, in Athena's words, with the data below `location_root`
/// (`s3://bucket/prefix`). Table names are unqualified: they land in the session's database.
pub fn ddl(location_root: &str) -> Vec<String> {
    let root = location_root.trim_end_matches('/');
    let mut statements: Vec<String> = TPCH_TABLES
        .iter()
        .map(|table| {
            create_table(
                table.name,
                &(table.batches)(MIN_SCALE_FACTOR).schema().clone(),
                root,
                &[],
            )
        })
        .collect();
    let line_item = LineItemArrow::new(LineItemGenerator::new(MIN_SCALE_FACTOR, 1, 1))
        .schema()
        .clone();
    statements.push(create_table("lineitem_by_month", &line_item, root, &MONTHS));
    statements.push(create_table(
        "events",
        &events::schema(),
        root,
        &events::PARTITIONS,
    ));
    statements
}

/// Where finished files go, and the count of them.
struct Lake<'a> {
    put: &'a mut dyn FnMut(&str, Bytes) -> io::Result<()>,
    summary: LakeSummary,
}

impl Lake<'_> {
    fn put(&mut self, key: String, file: ParquetFile) -> Result<(), LakeError> {
        self.summary.rows += file.rows();
        let bytes = file.finish()?;
        self.summary.objects += 1;
        self.summary.bytes += bytes.len() as u64;
        (self.put)(&key, bytes).map_err(|source| LakeError::Put { key, source })
    }
}

struct TpchTable {
    name: &'static str,
    batches: fn(f64) -> Box<dyn RecordBatchIterator>,
}

const TPCH_TABLES: [TpchTable; 8] = [
    TpchTable {
        name: "region",
        batches: |sf| Box::new(RegionArrow::new(RegionGenerator::new(sf, 1, 1))),
    },
    TpchTable {
        name: "nation",
        batches: |sf| Box::new(NationArrow::new(NationGenerator::new(sf, 1, 1))),
    },
    TpchTable {
        name: "supplier",
        batches: |sf| Box::new(SupplierArrow::new(SupplierGenerator::new(sf, 1, 1))),
    },
    TpchTable {
        name: "part",
        batches: |sf| Box::new(PartArrow::new(PartGenerator::new(sf, 1, 1))),
    },
    TpchTable {
        name: "partsupp",
        batches: |sf| Box::new(PartSuppArrow::new(PartSuppGenerator::new(sf, 1, 1))),
    },
    TpchTable {
        name: "customer",
        batches: |sf| Box::new(CustomerArrow::new(CustomerGenerator::new(sf, 1, 1))),
    },
    TpchTable {
        name: "orders",
        batches: |sf| Box::new(OrderArrow::new(OrderGenerator::new(sf, 1, 1))),
    },
    TpchTable {
        name: "lineitem",
        batches: |sf| Box::new(LineItemArrow::new(LineItemGenerator::new(sf, 1, 1))),
    },
];

/// The files of one directory: closed and put when full.
struct Parts {
    directory: String,
    schema: SchemaRef,
    row_group_rows: usize,
    max_bytes: usize,
    next: u32,
    open: Option<ParquetFile>,
}

impl Parts {
    fn new(directory: String, schema: SchemaRef, row_group_rows: usize, max_bytes: usize) -> Self {
        Self {
            directory,
            schema,
            row_group_rows,
            max_bytes,
            next: 0,
            open: None,
        }
    }

    fn write(&mut self, lake: &mut Lake<'_>, batch: &RecordBatch) -> Result<(), LakeError> {
        let mut file = match self.open.take() {
            Some(file) => file,
            None => ParquetFile::new(&self.schema, self.row_group_rows)?,
        };
        file.write(batch)?;
        let full = file.size_bytes() >= self.max_bytes;
        self.open = Some(file);
        if full { self.close(lake) } else { Ok(()) }
    }

    fn close(&mut self, lake: &mut Lake<'_>) -> Result<(), LakeError> {
        let Some(file) = self.open.take() else {
            return Ok(());
        };
        let key = format!("{}/part-{}.parquet", self.directory, self.next);
        self.next += 1;
        lake.put(key, file)
    }
}

/// Small tables too get several row groups, so that skipping them shows at demo scale.
const ROW_GROUP_ROWS: usize = 16_000;

fn plain_table(
    lake: &mut Lake<'_>,
    name: &str,
    batches: Box<dyn RecordBatchIterator>,
    row_group_rows: usize,
) -> Result<(), LakeError> {
    let mut parts = Parts::new(
        name.to_owned(),
        batches.schema().clone(),
        row_group_rows,
        PART_MAX_BYTES,
    );
    for batch in batches {
        parts.write(lake, &batch)?;
    }
    parts.close(lake)
}

/// The partition columns of `lineitem_by_month`: every ship date of TPC-H lies in these years.
const MONTHS: [Projected; 2] = [
    Projected {
        column: "year",
        hive_type: "int",
        rules: &[("type", "integer"), ("range", "1992,1998")],
    },
    Projected {
        column: "month",
        hive_type: "int",
        rules: &[("type", "integer"), ("range", "1,12"), ("digits", "2")],
    },
];

/// Writes `lineitem` in order of its key and, from the same batches, `lineitem_by_month`.
fn line_items(lake: &mut Lake<'_>, batches: Box<dyn RecordBatchIterator>) -> Result<(), LakeError> {
    let schema = batches.schema().clone();
    let ship_date = schema.index_of("l_shipdate")?;
    let mut whole = Parts::new(
        "lineitem".to_owned(),
        schema.clone(),
        ROW_GROUP_ROWS,
        PART_MAX_BYTES,
    );
    let mut months: BTreeMap<Month, Parts> = BTreeMap::new();
    for batch in batches {
        whole.write(lake, &batch)?;
        for (month, rows) in by_month(&batch, ship_date)? {
            let parts = months.entry(month).or_insert_with(|| {
                let directory = format!("lineitem_by_month/year={}/month={:02}", month.0, month.1);
                Parts::new(directory, schema.clone(), ROW_GROUP_ROWS, MONTH_PART_MAX_BYTES)
            });
            parts.write(lake, &rows)?;
        }
    }
    whole.close(lake)?;
    months.values_mut().try_for_each(|parts| parts.close(lake))
}

/// Year and month.
type Month = (i32, u32);

/// Cuts a batch into one batch per (year, month), keeping the order of rows within a month.
fn by_month(batch: &RecordBatch, column: usize) -> Result<Vec<(Month, RecordBatch)>, LakeError> {
    let dates = batch.column(column).as_primitive::<Date32Type>();
    let month_of = |row: usize| {
        let days = u64::from(dates.value(row).unsigned_abs());
        let date = NaiveDate::default()
            .checked_add_days(Days::new(days))
            .unwrap_or_default();
        (date.year(), date.month())
    };
    let mut order: Vec<(i32, u32, u32)> = (0..dates.len())
        .map(|row| {
            let (year, month) = month_of(row);
            // A batch has 8000 rows.
            (year, month, u32::try_from(row).unwrap_or(u32::MAX))
        })
        .collect();
    order.sort_unstable();
    let rows = UInt32Array::from_iter_values(order.iter().map(|(_, _, row)| *row));
    let sorted = take_record_batch(batch, &rows)?;
    let months = UInt32Array::from_iter_values(
        order
            .iter()
            .map(|(year, month, _)| year.unsigned_abs() * 12 + month),
    );
    let ranges = partition(&[Arc::new(months) as _])?.ranges();
    Ok(ranges
        .into_iter()
        .map(|range| {
            let (year, month, _) = order[range.start];
            ((year, month), sorted.slice(range.start, range.len()))
        })
        .collect())
}

/// A partition column and its `projection.<column>.*` properties.
struct Projected {
    column: &'static str,
    hive_type: &'static str,
    rules: &'static [(&'static str, &'static str)],
}

fn create_table(name: &str, schema: &Schema, root: &str, partitions: &[Projected]) -> String {
    let column = |field: &Arc<Field>| format!("  {} {}", field.name(), hive_type(field.data_type()));
    let columns: Vec<String> = schema.fields().iter().map(column).collect();
    let mut text = format!(
        "CREATE EXTERNAL TABLE IF NOT EXISTS {name} (\n{}\n)\n",
        columns.join(",\n")
    );
    if !partitions.is_empty() {
        let columns: Vec<String> = partitions
            .iter()
            .map(|p| format!("{} {}", p.column, p.hive_type))
            .collect();
        text.push_str(&format!("PARTITIONED BY ({})\n", columns.join(", ")));
    }
    text.push_str(&format!("STORED AS PARQUET\nLOCATION '{root}/{name}/'"));
    if !partitions.is_empty() {
        let mut properties = vec!["'projection.enabled' = 'true'".to_owned()];
        for p in partitions {
            let property =
                |(rule, value): &(&str, &str)| format!("'projection.{}.{rule}' = '{value}'", p.column);
            properties.extend(p.rules.iter().map(property));
        }
        let path: String = partitions
            .iter()
            .map(|p| format!("{0}=${{{0}}}/", p.column))
            .collect();
        properties.push(format!("'storage.location.template' = '{root}/{name}/{path}'"));
        text.push_str(&format!("\nTBLPROPERTIES (\n  {}\n)", properties.join(",\n  ")));
    }
    text
}

/// Hive's name of the types that the generators use.
fn hive_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(TimeUnit::Millisecond, None) => "timestamp".to_owned(),
        _ => "string".to_owned(),
    }
}

#[cfg(test)]
mod tests;

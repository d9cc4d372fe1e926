//! Builds the scan node from files whose footers are known: statistics, splits at row groups, fan-out.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;
use parquet::file::metadata::ParquetMetaData;

use crate::cache::Footer;
use crate::context::{ScanContext, ScanNode};
use crate::error::ScanError;
use crate::listing::ListedFile;
use crate::parquet_scan::adapter::GlueAdapterFactory;
use crate::parquet_scan::chunks::{first_byte, index_places, leaf_bytes, leaf_ranges, leaves_of, place};
use crate::parquet_scan::footer;
use crate::parquet_scan::late::LateColumns;
use crate::parquet_scan::named::NamedSource;
use crate::parquet_scan::prefetch::Prefetch;
use crate::parquet_scan::reader::{MeteredReaderFactory, ScanFile};
use crate::parquet_scan::schema::{file_column, readable_as, reader_schema};
use crate::parquet_scan::statistics::file_statistics;
use crate::range_source::RangeSource;

/// The URL that every scan node names; only readers of ours open anything (see `engine`'s store registry).
pub const SCAN_URL: &str = "owlake://scan";

/// A row limit up to which one stream reads the files one after the other.
const SERIAL_LIMIT: usize = 10_000;

/// A file with its footer.
#[derive(Debug)]
pub(crate) struct OpenedFile {
    pub listed: ListedFile,
    pub source: RangeSource,
    pub footer: Arc<Footer>,
    pub partition_values: Vec<ScalarValue>,
}

/// What the scan of one table is to produce.
pub(crate) struct ScanShape<'a> {
    pub table: Arc<str>,
    pub table_schema: TableSchema,
    pub projection: Option<&'a [usize]>,
    /// File columns that the projection or a filter names.
    pub referenced: Vec<usize>,
    /// Filters on file columns.
    pub filters: &'a [Expr],
    pub limit: Option<usize>,
    pub remote: bool,
    /// The store URL that the node names.
    pub url: &'static str,
}

/// Builds the `DataSourceExec`. No I/O happens here.
pub(crate) fn build(
    session: &dyn Session,
    context: &Arc<ScanContext>,
    node: &Arc<ScanNode>,
    shape: &ScanShape<'_>,
    files: Vec<OpenedFile>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let file_schema = shape.table_schema.file_schema();
    let prefetch = Arc::<Prefetch>::default();
    let mut late = LateColumns::new(shape.filters, file_schema);
    let mut pieces = Vec::with_capacity(files.len());
    let mut statistics = Vec::with_capacity(files.len());
    for file in files {
        let stored = checked_schema(shape, file_schema, &file)?;
        let stats = file_statistics(
            &file.footer.metadata,
            &stored,
            file_schema,
            &file.partition_values,
        );
        statistics.push(stats.clone());
        let scan_file = Arc::new(ScanFile::new(
            file.source,
            Arc::clone(node),
            Arc::clone(&file.footer.metadata),
            Arc::downgrade(&prefetch),
        ));
        let mut base = PartitionedFile::new_from_meta(file.listed.meta)
            .with_partition_values(file.partition_values)
            .with_arrow_schema(Arc::new(stored))
            .with_extension(Arc::clone(&scan_file));
        base.statistics = Some(Arc::new(stats));
        let leaves = referenced_leaves(&scan_file.metadata, shape);
        readable(&scan_file, &file.footer.encrypted, &leaves)?;
        late.add(&scan_file.metadata, &leaves);
        pieces.push((base, scan_file, leaves));
    }
    let mut sizes = UnitSizes::new(session, context, shape, &pieces);
    let mut units = Vec::with_capacity(pieces.len());
    for (base, file, leaves) in pieces {
        let expected = expected_ranges(&file.metadata, &leaves, !shape.filters.is_empty());
        file.source.ahead().expect(&expected);
        split(&mut units, &file.metadata, &leaves, &mut sizes, base);
    }
    let merged = merge(&statistics, shape.table_schema.table_schema());
    let mut options = TableParquetOptions {
        global: session.config_options().execution.parquet.clone(),
        ..Default::default()
    };
    // The finest that has the range; to milliseconds the adapter rounds, like other timestamps.
    options.global.coerce_int96 = Some("us".to_owned());
    options.global.pushdown_filters |= late.pays();
    let factory = MeteredReaderFactory {
        context: Arc::clone(context),
        node: Arc::clone(node),
        prefetch,
    };
    let source = ParquetSource::new(shape.table_schema.clone())
        .with_table_parquet_options(options)
        .with_parquet_file_reader_factory(Arc::new(factory));
    let source = NamedSource::new(Arc::new(source), Arc::clone(&shape.table));
    let fan_out = fan_out(session, context, shape, &units, is_known(context, shape));
    let groups = group(units, fan_out);
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(shape.url)?, Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(merged)
        .with_projection_indices(shape.projection.map(<[usize]>::to_vec))?
        .with_limit(shape.limit)
        .with_expr_adapter(Some(Arc::new(GlueAdapterFactory {
            table: Arc::clone(&shape.table),
        })))
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// The schema that the reader shall produce for `file`, after the types of every referenced column were checked.
fn checked_schema(shape: &ScanShape<'_>, table: &SchemaRef, file: &OpenedFile) -> Result<Schema, ScanError> {
    let name = || (shape.table.to_string(), file.listed.version.key().to_owned());
    let stored = footer::arrow_schema(&file.footer.metadata).map_err(|reason| {
        let (table, file) = name();
        ScanError::BadFile { table, file, reason }
    })?;
    let stored = reader_schema(table, &stored);
    for index in &shape.referenced {
        let want = table.field(*index);
        let found = file_column(&stored, want.name()).map_err(|reason| {
            let (table, file) = name();
            ScanError::BadFile { table, file, reason }
        })?;
        if let Some(found) = found
            && !readable_as(stored.field(found).data_type(), want.data_type())
        {
            let (table, file) = name();
            return Err(ScanError::SchemaMismatch {
                table,
                file,
                column: want.name().clone(),
                declared: want.data_type().to_string(),
                stored: stored.field(found).data_type().to_string(),
            });
        }
    }
    Ok(stored)
}

/// Refuses a file of which one of `leaves` is `encrypted`: its pages would be taken for damaged ones.
fn readable(file: &ScanFile, encrypted: &[usize], leaves: &[usize]) -> Result<(), ScanError> {
    let Some(leaf) = leaves.iter().find(|leaf| encrypted.contains(leaf)) else {
        return Ok(());
    };
    let column = file.metadata.file_metadata().schema_descr().column(*leaf);
    Err(ScanError::BadFile {
        table: file.source.table().to_owned(),
        file: file.source.version().key().to_owned(),
        reason: format!(
            "its column {} is encrypted, and no keys are configured",
            column.path()
        ),
    })
}

/// A piece of a file that one stream reads: some of its row groups, or a range of its lines.
pub(crate) struct Unit {
    pub file: PartitionedFile,
    pub bytes: u64,
}

/// Units are not larger, so that they can be dealt evenly.
const MAX_UNIT_BYTES: u64 = 8 << 20;

/// How many bytes each unit shall read.
enum UnitSizes {
    /// All the same.
    Even(u64),
    /// Smaller towards the end: whoever is done early takes the next, and all are done at about the same time.
    Shrinking {
        /// Bytes that are not in units yet.
        left: u64,
        /// Into how many units of the next one's size these would go.
        units: u64,
    },
}

impl UnitSizes {
    fn new(
        session: &dyn Session,
        context: &ScanContext,
        shape: &ScanShape<'_>,
        files: &[(PartitionedFile, Arc<ScanFile>, Vec<usize>)],
    ) -> Self {
        if shape.limit.is_some() {
            return Self::Even(MAX_UNIT_BYTES);
        }
        let bytes = files.iter().flat_map(|(_, file, leaves)| {
            let groups = file.metadata.row_groups().iter();
            groups.map(|group| leaf_bytes(group, leaves))
        });
        let pieces = |streams: usize| 2 * streams.max(1) as u64;
        if !shape.remote {
            Self::Shrinking {
                left: bytes.sum(),
                units: pieces(session.config().target_partitions()),
            }
        } else if is_known(context, shape) {
            Self::Even(MAX_UNIT_BYTES)
        } else {
            // Reads that are not known beforehand: as little as gives every stream its share.
            let share = bytes.sum::<u64>() / pieces(context.config.remote_fan_out);
            Self::Even(share.min(MAX_UNIT_BYTES))
        }
    }

    /// From how many bytes on the next unit is large enough.
    fn next(&self) -> u64 {
        match self {
            Self::Even(bytes) => *bytes,
            Self::Shrinking { left, units } => MAX_UNIT_BYTES.min(left / units),
        }
    }

    fn made(&mut self, bytes: u64) {
        if let Self::Shrinking { left, .. } = self {
            *left = left.saturating_sub(bytes);
        }
    }
}

/// Cuts a file into units of one or more row groups; small row groups stay together up to what `sizes` says.
fn split(
    units: &mut Vec<Unit>,
    metadata: &ParquetMetaData,
    leaves: &[usize],
    sizes: &mut UnitSizes,
    base: PartitionedFile,
) {
    let groups = metadata.row_groups();
    let mut start = 0;
    let mut bytes = 0;
    for (index, group) in groups.iter().enumerate() {
        bytes += leaf_bytes(group, leaves);
        let last = index + 1 == groups.len();
        if !last && bytes < sizes.next() {
            continue;
        }
        let from = if start == 0 { 0 } else { first_byte(&groups[start]) };
        let to = if last {
            i64::MAX
        } else {
            first_byte(&groups[index + 1])
        };
        let whole = start == 0 && last;
        let piece = if whole {
            base.clone()
        } else {
            base.clone().with_range(from, to)
        };
        units.push(Unit { file: piece, bytes });
        sizes.made(bytes);
        start = index + 1;
        bytes = 0;
    }
    if groups.is_empty() {
        units.push(Unit { file: base, bytes: 0 });
    }
}

/// What readers may ask for of a file: chunks of the referenced leaves, and under a filter its page indexes.
fn expected_ranges(metadata: &ParquetMetaData, leaves: &[usize], filtered: bool) -> Vec<Range<u64>> {
    let groups = metadata.row_groups();
    let chunks = groups.iter().flat_map(|group| leaf_ranges(group, leaves));
    let mut ranges: Vec<Range<u64>> = chunks.collect();
    if filtered {
        let indexes = groups.iter().flat_map(|group| group.columns()).flat_map(|chunk| {
            let [column, offset] = index_places(chunk);
            let bloom = place(chunk.bloom_filter_offset(), chunk.bloom_filter_length());
            [column, offset, bloom]
        });
        ranges.extend(indexes.flatten());
    }
    ranges
}

/// Leaf columns of the file that the referenced table columns read.
fn referenced_leaves(metadata: &ParquetMetaData, shape: &ScanShape<'_>) -> Vec<usize> {
    let table = shape.table_schema.file_schema();
    let names = shape.referenced.iter().map(|i| table.field(*i).name().as_str());
    leaves_of(metadata, names)
}

/// Whether what a scan reads is known from footers, as far as the provider sees: then it is fetched ahead.
fn is_known(context: &ScanContext, shape: &ScanShape<'_>) -> bool {
    let table = shape.table_schema.file_schema();
    // In a session that is not the engine's nothing allows to fetch ahead.
    shape.url == SCAN_URL
        && shape.filters.is_empty()
        && context.config.ahead_bytes > 0
        && shape
            .referenced
            .iter()
            .all(|i| is_flat(table.field(*i).data_type()))
}

/// How many streams read at the same time. A stream waits for one request at a time, so a remote store needs more
/// of them than there are cores, and twice as many where units are small, waiting is most of the time, and the reads
/// are not `known` beforehand: known ones are fetched ahead (`prefetch`).
pub(crate) fn fan_out(
    session: &dyn Session,
    context: &ScanContext,
    shape: &ScanShape<'_>,
    units: &[Unit],
    known: bool,
) -> usize {
    let cores = session.config().target_partitions();
    match shape.limit {
        Some(limit) if limit <= SERIAL_LIMIT => 1,
        _ if !shape.remote => cores,
        // No fewer: a file that has changed is met before the first rows leave, and planned around.
        _ if known => context.config.remote_fan_out.max(cores),
        _ => {
            let bytes: u64 = units.iter().map(|u| u.bytes).sum();
            let small = bytes / (units.len().max(1) as u64) < context.config.remote.first_byte_bytes();
            (context.config.remote_fan_out << usize::from(small)).max(cores)
        }
    }
}

/// Deals units to at most `fan_out` groups, largest first, always to the lightest group.
pub(crate) fn group(mut units: Vec<Unit>, fan_out: usize) -> Vec<FileGroup> {
    if fan_out <= 1 {
        return vec![FileGroup::new(units.into_iter().map(|u| u.file).collect())];
    }
    units.sort_by_key(|u| Reverse(u.bytes));
    let count = fan_out.min(units.len()).max(1);
    let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); count];
    let mut lightest: BinaryHeap<Reverse<(u64, usize)>> = (0..count).map(|i| Reverse((0, i))).collect();
    for unit in units {
        if let Some(Reverse((weight, index))) = lightest.pop() {
            groups[index].push(unit.file);
            // A file costs a request even where it holds few bytes.
            lightest.push(Reverse((weight + unit.bytes + (1 << 20), index)));
        }
    }
    groups.into_iter().map(FileGroup::new).collect()
}

/// Statistics of all files together; anything that one file with rows does not know exactly is unknown.
fn merge(files: &[Statistics], schema: &SchemaRef) -> Statistics {
    let with_rows = |file: &&Statistics| file.num_rows != Precision::Exact(0);
    // Without rows there is neither a minimum nor a maximum.
    let some = match files.iter().any(|file| with_rows(&file)) {
        true => files.iter().filter(with_rows).collect(),
        false => files.iter().collect::<Vec<_>>(),
    };
    match Statistics::try_merge_iter(some, schema) {
        Ok(mut merged) if !files.is_empty() => {
            // The distinct count of a union is not the sum of the parts.
            for column in &mut merged.column_statistics {
                column.distinct_count = Precision::Absent;
            }
            merged
        }
        _ => Statistics::new_unknown(schema),
    }
}

/// Table columns that the projection of `source` reads whole, ascending: plain ones, and nested ones taken as they are.
pub(crate) fn whole_columns(source: &ParquetSource, table: &Schema) -> Vec<usize> {
    let Some(projection) = source.projection() else {
        return (0..table.fields().len()).collect();
    };
    let mut columns = BTreeSet::new();
    for projected in projection.iter() {
        let as_it_is = projected.expr.downcast_ref::<Column>().is_some();
        for column in collect_columns(&projected.expr) {
            if let Some((index, field)) = table.fields().find(column.name())
                && (as_it_is || is_flat(field.data_type()))
            {
                columns.insert(index);
            }
        }
    }
    columns.into_iter().collect()
}

/// Whether a plain column of this type is read whole, leaf by leaf (nested ones may be read in part).
pub(crate) fn is_flat(data_type: &DataType) -> bool {
    !data_type.is_nested()
}

//! Which ranges the streams of a scan are certain to ask for, fetched before they do: the row groups that are
//! left after pruning, of scans that are read to their end. What is uncertain is fetched when it is asked for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::arrow::datatypes::{Fields, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{
    ParquetAccessPlan, ParquetFileMetrics, RowGroupAccessPlanFilter,
};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_expr::simplifier::PhysicalExprSimplifier;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_adapter::{PhysicalExprAdapterFactory, replace_columns_with_literals};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::file::metadata::ParquetMetaData;

use crate::ahead::Coming;
use crate::context::ScanContext;
use crate::error::ScanError;
use crate::file_version::FileVersion;
use crate::parquet_scan::adapter::GlueAdapterFactory;
use crate::parquet_scan::chunks::{groups_in, in_piece, leaf_bytes, leaf_ranges, leaves_of};
use crate::parquet_scan::drained::{Drained, scans};
use crate::parquet_scan::named::NamedSource;
use crate::parquet_scan::plan::whole_columns;
use crate::parquet_scan::reader::ScanFile;
use crate::parquet_scan::statistics::constant_columns;

/// The pieces of one scan that no stream has begun yet, once [`read_ahead`] has allowed to fetch them.
#[derive(Debug, Default)]
pub(crate) struct Prefetch(Mutex<Option<Waiting>>);

#[derive(Debug)]
struct Waiting {
    scan: Arc<Certain>,
    units: VecDeque<PartitionedFile>,
}

/// What is known of a scan's reads before they are made.
///
/// Holds nothing that leads back to the plan, so that a dropped plan ends its reads.
#[derive(Debug)]
struct Certain {
    table: SchemaRef,
    keys: Fields,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    /// Table columns that are read whole.
    columns: Vec<usize>,
}

/// Lets the scans of `plan` fetch ahead what they are certain to read. Fetches nothing itself: a scan begins with
/// its first read, so that the probe side of a join waits for its build side.
///
/// With a cap, nothing is fetched ahead unless all scans together could be read whole without passing it.
pub fn read_ahead(plan: &Arc<dyn ExecutionPlan>, context: &ScanContext) {
    let scans = scans(plan);
    let most: u64 = scans.iter().map(|(config, _)| most_bytes(config)).sum();
    if !context.may_read_ahead(most) {
        return;
    }
    for (config, drained) in scans {
        if !matches!(drained, Drained::Unknown(_))
            && let Some((prefetch, waiting)) = certain(config)
        {
            *prefetch.lock() = Some(waiting);
        }
    }
}

/// The most data that the scan may read: every chunk of the columns that it names, or files whose layout is not known.
fn most_bytes(config: &FileScanConfig) -> u64 {
    let named = named_columns(config);
    let files = config.file_groups.iter().flat_map(|g| g.iter());
    files
        .map(|file| match ScanFile::attached(file) {
            None => file.object_meta.size,
            Some(scan) => {
                let leaves = match &named {
                    Some(names) => leaves_of(&scan.metadata, names.iter().map(String::as_str)),
                    None => (0..scan.metadata.file_metadata().schema_descr().num_columns()).collect(),
                };
                let groups = groups_in(file, &scan.metadata);
                groups.map(|(_, group)| leaf_bytes(group, &leaves)).sum()
            }
        })
        .sum()
}

/// Names of the columns in the projection and the filter of a Parquet scan; `None` for all.
fn named_columns(config: &FileScanConfig) -> Option<HashSet<String>> {
    let parquet = NamedSource::unnamed(config.file_source().as_ref()).downcast_ref::<ParquetSource>()?;
    let projected = parquet.projection()?.iter().map(|p| Arc::clone(&p.expr));
    let columns = projected
        .chain(parquet.filter())
        .flat_map(|expr| collect_columns(&expr));
    Some(columns.map(|c| c.name().to_owned()).collect())
}

fn certain(config: &FileScanConfig) -> Option<(Arc<Prefetch>, Waiting)> {
    let parquet = NamedSource::unnamed(config.file_source().as_ref()).downcast_ref::<ParquetSource>()?;
    // With late materialisation, what is read depends on the values of the filter columns.
    if parquet.table_parquet_options().global.pushdown_filters {
        return None;
    }
    let first = config.file_groups.iter().flat_map(|g| g.iter()).next()?;
    let first = ScanFile::attached(first)?;
    if !first.source.shape().ahead {
        return None;
    }
    let prefetch = first.prefetch.upgrade()?;
    let columns = whole_columns(parquet, config.file_schema());
    let groups = &config.file_groups;
    let units = if config.preserve_order {
        let longest = groups.iter().map(|g| g.len()).max().unwrap_or(0);
        (0..longest)
            .flat_map(|i| groups.iter().filter_map(move |g| g.files().get(i)).cloned())
            .collect()
    } else {
        // Streams take from one queue, which is all groups in a row.
        groups.iter().flat_map(|g| g.iter()).cloned().collect()
    };
    let scan = Arc::new(Certain {
        table: Arc::clone(config.file_schema()),
        keys: config.table_partition_cols().clone(),
        predicate: parquet.filter(),
        columns,
    });
    Some((prefetch, Waiting { scan, units }))
}

impl Prefetch {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream is about to read `row_group` of `file`: fetches the rest of its piece, and then the pieces that no
    /// stream has begun, as long as the query has room for them.
    pub(crate) fn reached(&self, context: &Arc<ScanContext>, file: &FileVersion, row_group: usize) {
        let mut waiting = self.lock();
        let Some(queue) = waiting.as_mut() else { return };
        if !queue.scan.is_settled() {
            return;
        }
        let scan = Arc::clone(&queue.scan);
        let begun = queue
            .units
            .iter()
            .position(|unit| is_piece_of(unit, file, row_group))
            .and_then(|i| queue.units.remove(i));
        let mut room = true;
        let next = std::iter::from_fn(|| queue.units.pop_front());
        for unit in begun.into_iter().chain(next) {
            let (Some(scan_file), Ok(Some(ranges))) = (ScanFile::attached(&unit), scan.ranges(&unit)) else {
                continue;
            };
            room = fetch(context, scan_file, &ranges);
            if !room {
                break;
            }
        }
        if room {
            // Everything is on its way.
            *waiting = None;
        }
    }
}

fn is_piece_of(unit: &PartitionedFile, file: &FileVersion, row_group: usize) -> bool {
    ScanFile::attached(unit).is_some_and(|scan| {
        scan.source.version() == file
            && scan
                .metadata
                .row_groups()
                .get(row_group)
                .is_some_and(|group| in_piece(unit, group))
    })
}

/// Fetches those of `ranges` ahead that are not cached; false when there was no room for all of them.
fn fetch(context: &Arc<ScanContext>, file: &ScanFile, ranges: &[Range<u64>]) -> bool {
    let room = std::cell::Cell::new(true);
    let take = |bytes| {
        let taken = context.room_ahead.take(bytes);
        room.set(room.get() && taken.is_some());
        taken
    };
    let version = file.source.version();
    let is_cached = |range: &Range<u64>| context.blocks.as_ref().is_some_and(|b| b.holds(version, range));
    let unknown: Vec<Range<u64>> = ranges.iter().filter(|r| !is_cached(r)).cloned().collect();
    file.source
        .fetch_ahead(&unknown, take, |read| spawn(context, file, read));
    room.get()
}

/// Runs `read` beside the query, until done or until nobody waits for it. The query's end waits for it, since it
/// holds the query's context.
fn spawn(
    context: &Arc<ScanContext>,
    file: &ScanFile,
    read: BoxFuture<'static, std::result::Result<Bytes, ScanError>>,
) -> Coming {
    let held = Arc::clone(context);
    let location = file.source.version().to_string();
    let mut task = AbortOnDrop(context.stores.io().spawn(async move {
        let answer = read.await;
        drop(held);
        answer
    }));
    async move {
        match (&mut task.0).await {
            Ok(answer) => answer.map_err(Arc::new),
            Err(source) => Err(Arc::new(ScanError::Store {
                action: "read",
                location,
                source: object_store::Error::JoinError { source },
            })),
        }
    }
    .boxed()
    .shared()
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Certain {
    /// Whether no filter of the scan may still change: a join's is final when its probe side begins, a TopK's never.
    fn is_settled(&self) -> bool {
        self.predicate.as_ref().is_none_or(|p| {
            !matches!(
                DynamicFilterTracking::classify(p),
                DynamicFilterTracking::Watching(_)
            )
        })
    }

    /// The ranges that the reader of `unit` will ask for; `None` where that depends on more than its footer.
    fn ranges(&self, unit: &PartitionedFile) -> Result<Option<Vec<Range<u64>>>> {
        let Some(scan) = ScanFile::attached(unit) else {
            return Ok(None);
        };
        let metadata = &scan.metadata;
        let literals = self.literals(unit);
        let Some(row_groups) = self.row_groups(unit, scan, &literals)? else {
            return Ok(None);
        };
        let table = &self.table;
        let read = self.columns.iter().map(|i| table.field(*i).name().as_str());
        let leaves = leaves_of(metadata, read.filter(|name| !literals.contains_key(*name)));
        let ranges = row_groups
            .into_iter()
            .flat_map(|index| leaf_ranges(metadata.row_group(index), &leaves));
        Ok(Some(ranges.collect()))
    }

    /// Columns whose value the opener knows for the whole file.
    fn literals(&self, unit: &PartitionedFile) -> HashMap<String, ScalarValue> {
        let mut literals: HashMap<String, ScalarValue> = self
            .keys
            .iter()
            .zip(&unit.partition_values)
            .map(|(field, value)| (field.name().clone(), value.clone()))
            .collect();
        literals.extend(constant_columns(unit, &self.table));
        literals
    }

    /// Row groups of `unit` that are left after pruning, unless indexes beside the footer could rule out more.
    fn row_groups(
        &self,
        unit: &PartitionedFile,
        scan: &ScanFile,
        literals: &HashMap<String, ScalarValue>,
    ) -> Result<Option<Vec<usize>>> {
        let (metadata, Some(stored)) = (&scan.metadata, &unit.arrow_schema) else {
            return Ok(None);
        };
        let groups = metadata.row_groups();
        let mut access = RowGroupAccessPlanFilter::new(ParquetAccessPlan::new_all(groups.len()));
        if let Some(range) = &unit.range {
            access.prune_by_range(groups, range);
        }
        let Some(predicate) = &self.predicate else {
            return Ok(Some(access.row_group_indexes().collect()));
        };
        let adapter = GlueAdapterFactory {
            table: Arc::from(scan.source.table()),
        }
        .create(Arc::clone(&self.table), Arc::clone(stored))?;
        let predicate = adapter.rewrite(replace_columns_with_literals(Arc::clone(predicate), literals)?)?;
        let predicate = PhysicalExprSimplifier::new(stored).simplify(predicate)?;
        let pruning = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(stored))
            .try_build(Arc::clone(&predicate))?;
        let unused = ExecutionPlanMetricsSet::new();
        access.prune_by_statistics(
            stored,
            metadata.file_metadata().schema_descr(),
            groups,
            &pruning,
            &ParquetFileMetrics::new(0, scan.source.version().key(), &unused),
        );
        let matched = access.is_fully_matched().clone();
        let left: Vec<usize> = access.row_group_indexes().collect();
        let columns: Vec<String> = collect_columns(&predicate)
            .iter()
            .map(|c| c.name().to_owned())
            .collect();
        let uncertain = left
            .iter()
            .any(|i| !matched[*i] && has_index(metadata, *i, &columns));
        Ok((!uncertain).then_some(left))
    }
}

/// Whether a page index or a bloom filter of one of `columns` could rule out rows of the row group.
fn has_index(metadata: &ParquetMetaData, row_group: usize, columns: &[String]) -> bool {
    metadata.row_group(row_group).columns().iter().any(|chunk| {
        let root = chunk.column_path().parts().first();
        root.is_some_and(|root| columns.contains(root))
            && (chunk.column_index_offset().is_some() || chunk.bloom_filter_offset().is_some())
    })
}

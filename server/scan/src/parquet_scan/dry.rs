//! Opens files as a query would, and stops where the first data byte would be read: which row groups and
//! ranges survive pruning is decided by the engine's own opener, never by a second opinion.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, ParquetFileReaderFactory};
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::context::ScanContext;
use crate::parquet_scan::chunks::{leaf_ranges, leaves_of as column_leaves};
use crate::parquet_scan::named::NamedSource;
use crate::parquet_scan::proof::depends_on_run;
use crate::parquet_scan::reader::{MeteredReader, ScanFile, external, only};

/// What one row group would be read for.
#[derive(Debug)]
pub(crate) struct GroupReads {
    /// Ranges, as one fetch asks for them.
    pub ranges: Vec<Range<u64>>,
    /// Whether exactly these are read; else they are the most that can be.
    pub sure: bool,
}

/// What a piece of a file would be read for.
#[derive(Debug, Default)]
pub(crate) struct PieceReads {
    /// Row groups that survive, in file order.
    pub groups: Vec<GroupReads>,
    /// Page indexes and bloom filters that were looked at.
    pub index_ranges: Vec<Range<u64>>,
    /// Why some row groups are not sure.
    pub doubt: Option<Doubt>,
}

/// Why pruning could not be carried out to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doubt {
    /// Page indexes or bloom filters would have to be fetched.
    Index,
    /// The budget of openings ran out.
    Budget,
}

/// Opens the files of one scan.
#[derive(Debug)]
pub(crate) struct DryScan {
    context: Arc<ScanContext>,
    task: Arc<TaskContext>,
    /// The scan without its files.
    template: FileScanConfig,
    source: ParquetSource,
    /// Fetch page indexes and bloom filters that are not cached.
    pub fetch_indexes: bool,
    /// Where an opening skips no row group and more are left than openings, all of these are taken for read.
    pub hurried: bool,
    /// Some filter is only known while the query runs.
    pub runtime_filter: bool,
    /// Filters are applied while reading, so that later columns are read in part.
    pub late: bool,
}

impl DryScan {
    /// A scan like `config`, with the filters that are known before the run. `None` where it is no Parquet scan.
    pub(crate) fn new(
        config: &FileScanConfig,
        context: &Arc<ScanContext>,
        task: &Arc<TaskContext>,
    ) -> Result<Option<Self>> {
        let source = NamedSource::unnamed(config.file_source().as_ref());
        let Some(parquet) = source.downcast_ref::<ParquetSource>() else {
            return Ok(None);
        };
        let filter = parquet.filter();
        let conjuncts: Vec<&Arc<dyn PhysicalExpr>> =
            filter.as_ref().map(split_conjunction).unwrap_or_default();
        let known: Vec<Arc<dyn PhysicalExpr>> = conjuncts
            .iter()
            .filter(|c| !depends_on_run(c))
            .map(|c| Arc::clone(c))
            .collect();
        let runtime_filter = known.len() < conjuncts.len();
        let late = !conjuncts.is_empty() && parquet.table_parquet_options().global.pushdown_filters;
        let mut source = fresh(parquet, late.then_some(&conjuncts))?;
        if !known.is_empty() {
            source = source.with_predicate(conjunction(known));
        }
        let mut template = config.clone();
        template.file_groups = Vec::new();
        template.limit = None;
        Ok(Some(Self {
            context: Arc::clone(context),
            task: Arc::clone(task),
            template,
            source,
            fetch_indexes: false,
            hurried: false,
            runtime_filter,
            late,
        }))
    }

    /// Whether no filter can prune anything, so that all row groups of a file are read for the same columns.
    pub(crate) fn unfiltered(&self) -> bool {
        self.source.filter().is_none()
    }

    /// The reads of `file`'s row groups `groups` (ascending). Each opening costs one of `openings`.
    pub(crate) async fn piece(
        &self,
        file: &PartitionedFile,
        scan_file: &ScanFile,
        groups: &[usize],
        openings: &AtomicUsize,
    ) -> Result<PieceReads> {
        let mut reads = PieceReads::default();
        let mut next = 0;
        while let Some(from) = groups.get(next) {
            if !take(openings) {
                reads.assume(
                    scan_file,
                    &groups[next..],
                    &self.whole_leaves(scan_file),
                    Doubt::Budget,
                );
                break;
            }
            let mut asked = self.open(file, scan_file, *from, true).await?;
            reads.index_ranges.append(&mut asked.index_ranges);
            let mut sure = !asked.missing_index;
            if asked.missing_index && asked.group.is_none() {
                asked = self.open(file, scan_file, *from, false).await?;
                sure = false;
            }
            if !sure {
                reads.doubt = reads.doubt.max(Some(Doubt::Index));
            }
            let Some((group, ranges)) = asked.group else {
                break;
            };
            let skipped = group != *from;
            next = groups.partition_point(|g| *g <= group);
            if self.unfiltered() && sure {
                let leaves = leaves_of(&scan_file.metadata, group, &ranges);
                reads.groups.push(GroupReads { ranges, sure });
                reads.same(scan_file, &groups[next..], &leaves);
                break;
            }
            reads.groups.push(GroupReads { ranges, sure });
            let rest = &groups[next..];
            if self.hurried && !skipped && rest.len() > openings.load(Ordering::Relaxed) {
                reads.assume(scan_file, rest, &self.whole_leaves(scan_file), Doubt::Budget);
                break;
            }
        }
        Ok(reads)
    }

    /// Opens `file` from row group `from` on, up to the first data byte that it asks for.
    async fn open(
        &self,
        file: &PartitionedFile,
        scan_file: &ScanFile,
        from: usize,
        pages: bool,
    ) -> Result<Asked> {
        let mut access = ParquetAccessPlan::new_all(scan_file.metadata.num_row_groups());
        for group in 0..from {
            access.skip(group);
        }
        let asked = Arc::new(Mutex::new(Asked::default()));
        let readers = DryReaders {
            context: Arc::clone(&self.context),
            asked: Arc::clone(&asked),
            fetch_indexes: self.fetch_indexes,
        };
        let mut source = self
            .source
            .clone()
            .with_parquet_file_reader_factory(Arc::new(readers));
        if !pages {
            source = source.with_enable_page_index(false);
        }
        let config = FileScanConfigBuilder::from(self.template.clone())
            .with_source(Arc::new(source))
            .with_file_groups(vec![FileGroup::new(vec![file.clone().with_extension(access)])])
            .build();
        let mut stream = DataSourceExec::from_data_source(config).execute(0, Arc::clone(&self.task))?;
        let mut failure = None;
        while let Some(batch) = stream.next().await {
            // Rows that need no data byte (constants, counts) come without asking for any.
            if let Err(error) = batch {
                failure = Some(error);
                break;
            }
        }
        drop(stream);
        let asked = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
        match failure {
            Some(error) if asked.group.is_none() && !asked.missing_index => Err(error),
            _ => Ok(asked),
        }
    }

    /// Leaf columns that the scan can need of a file, without opening it.
    fn whole_leaves(&self, scan_file: &ScanFile) -> Vec<usize> {
        let mut names: Vec<String> = Vec::new();
        for projected in self
            .source
            .projection()
            .into_iter()
            .flat_map(ProjectionExprs::iter)
        {
            names.extend(
                collect_columns(&projected.expr)
                    .iter()
                    .map(|c| c.name().to_owned()),
            );
        }
        column_leaves(&scan_file.metadata, names.iter().map(String::as_str))
    }
}

impl PieceReads {
    /// Adds `groups` with the same leaf columns.
    fn same(&mut self, file: &ScanFile, groups: &[usize], leaves: &[usize]) {
        for group in groups {
            self.groups.push(GroupReads {
                ranges: leaf_ranges(file.metadata.row_group(*group), leaves),
                sure: true,
            });
        }
    }

    /// Adds `groups` as read whole at most.
    fn assume(&mut self, file: &ScanFile, groups: &[usize], leaves: &[usize], doubt: Doubt) {
        for group in groups {
            self.groups.push(GroupReads {
                ranges: leaf_ranges(file.metadata.row_group(*group), leaves),
                sure: false,
            });
        }
        self.doubt = self.doubt.max(Some(doubt));
    }
}

/// Leaf columns whose chunks were asked for.
fn leaves_of(metadata: &ParquetMetaData, group: usize, ranges: &[Range<u64>]) -> Vec<usize> {
    let columns = metadata.row_group(group).columns();
    (0..columns.len())
        .filter(|i| ranges.iter().any(|r| r.start == columns[*i].byte_range().0))
        .collect()
}

/// `source` without its filters, files and metrics; with `filtered`, the columns of filters that are applied
/// while reading are read too.
fn fresh(source: &ParquetSource, filtered: Option<&Vec<&Arc<dyn PhysicalExpr>>>) -> Result<ParquetSource> {
    let schema = source.table_schema();
    let plain = ParquetSource::new(schema.clone())
        .with_table_parquet_options(source.table_parquet_options().clone())
        .with_pushdown_filters(false);
    let Some(projection) = source.projection() else {
        return Ok(plain);
    };
    let mut exprs: Vec<ProjectionExpr> = projection.iter().cloned().collect();
    let mut more: Vec<Column> = filtered
        .into_iter()
        .flatten()
        .flat_map(|c| collect_columns(c))
        .collect();
    more.sort_by_key(Column::index);
    more.dedup();
    for (i, column) in more.into_iter().enumerate() {
        exprs.push(ProjectionExpr::new(
            Arc::new(column),
            format!("filter column {i}"),
        ));
    }
    let merged = plain.try_pushdown_projection(&ProjectionExprs::new(exprs))?;
    merged
        .and_then(|s| s.downcast_ref::<ParquetSource>().cloned())
        .ok_or_else(|| DataFusionError::Internal("a scan refused its own projection".to_owned()))
}

fn take(openings: &AtomicUsize) -> bool {
    openings
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        .is_ok()
}

/// What an opening asked its reader for.
#[derive(Debug, Default)]
struct Asked {
    group: Option<(usize, Vec<Range<u64>>)>,
    index_ranges: Vec<Range<u64>>,
    missing_index: bool,
}

#[derive(Debug)]
struct DryReaders {
    context: Arc<ScanContext>,
    asked: Arc<Mutex<Asked>>,
    fetch_indexes: bool,
}

impl ParquetFileReaderFactory for DryReaders {
    fn create_reader(
        &self,
        _partition_index: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let scan_file = ScanFile::of(&file)?;
        Ok(Box::new(DryReader {
            inner: MeteredReader {
                context: Arc::clone(&self.context),
                node: Arc::clone(&scan_file.node),
                prefetch: Arc::default(),
                file: Arc::clone(scan_file),
            },
            asked: Arc::clone(&self.asked),
            fetch_indexes: self.fetch_indexes,
        }))
    }
}

/// Reads footers and indexes; stops at data.
struct DryReader {
    inner: MeteredReader,
    asked: Arc<Mutex<Asked>>,
    fetch_indexes: bool,
}

/// Ends an opening.
#[derive(Debug)]
struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an estimate reads no data")
    }
}

impl std::error::Error for Stopped {}

fn stopped() -> ParquetError {
    ParquetError::External(Box::new(Stopped))
}

impl DryReader {
    async fn read(&self, ranges: Vec<Range<u64>>) -> parquet::errors::Result<Vec<Bytes>> {
        if let Some(group) = ranges.iter().find_map(|r| self.inner.row_group_of(r)) {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.group = Some((group, ranges));
            return Err(stopped());
        }
        let mut answers = Vec::with_capacity(ranges.len());
        for range in ranges {
            let cached = self
                .inner
                .context
                .caches
                .has_blob(self.inner.file.source.version(), &range);
            {
                let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
                if !cached && !self.fetch_indexes {
                    asked.missing_index = true;
                    return Err(stopped());
                }
                asked.index_ranges.push(range.clone());
            }
            answers.push(self.inner.read_metadata(range).await.map_err(external)?);
        }
        Ok(answers)
    }
}

impl AsyncFileReader for DryReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { only(self.read(vec![range]).await?) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.read(ranges).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        self.inner.get_metadata(options)
    }
}

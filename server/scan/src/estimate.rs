//! What a physical plan will read, before it runs: bytes, row groups and requests of each scan, with a bound
//! below and above and how sure they are. No data byte is read here.

mod sample;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use owlake_metering::TableScan;

use crate::cache::QueryBlocks;
use crate::context::{ScanContext, ScanNode};
use crate::file_version::FileVersion;
use crate::format::scan::drained_bytes;
use crate::location::StoreId;
use crate::parquet_scan::chunks::{groups_in, leaf_ranges};
use crate::parquet_scan::drained::{Drained, scans};
use crate::parquet_scan::dry::{Doubt, DryScan, GroupReads, PieceReads};
use crate::parquet_scan::proof::{plain_leaves, scan_node};
use crate::parquet_scan::reader::ScanFile;
use crate::range_set::RangeSet;
use sample::Sample;

/// Keys that one page of a listing names.
const KEYS_PER_PAGE: u64 = 1_000;

/// Least bytes that one request of a row file fetches, but for the last.
const LEAST_CHUNK_BYTES: u64 = 64 << 10;

/// How sure an estimate is; the later the less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// The lower and the upper bound are one number: what the query will read.
    Exact,
    /// The query reads no more than the upper bound and no less than the lower one.
    UpperBound,
    /// Projected from a sample: no bound is proven.
    Heuristic,
}

impl Confidence {
    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::UpperBound => "upper-bound",
            Self::Heuristic => "heuristic",
        }
    }
}

/// Which page indexes and bloom filters an estimate fetches that are not cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexes {
    /// Those that the query may want.
    All,
    /// Those that the query surely fetches, so that it finds them in the cache: no further request is made.
    Sure,
}

/// How far an estimate goes.
#[derive(Debug, Clone, Copy)]
pub struct EstimateDepth {
    /// What is fetched.
    pub indexes: Indexes,
    /// Times that a file with a filter may be opened; about one per row group.
    pub openings: usize,
}

/// How much an estimate may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FooterBudget {
    /// Files of one scan whose footers are read.
    pub files: usize,
    /// Time after which no further footer of a scan is asked for.
    pub time: Duration,
}

/// Bounds of a count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// At least this.
    pub min: u64,
    /// At most this.
    pub max: u64,
}

/// What one scan will read.
#[derive(Debug, Clone)]
pub struct ScanEstimate {
    /// Names, partitions, files and row groups; bytes are the upper bound.
    pub scan: TableScan,
    /// `data_scanned_bytes` of the run.
    pub data_scanned_bytes: Bounds,
    /// GETs: with caches as they stand and what is surely read, to empty caches and all that may be read.
    pub get_requests: Bounds,
    /// LISTs, likewise.
    pub list_requests: Bounds,
    /// Bytes that the store sends.
    pub transferred_bytes: Bounds,
    /// How sure.
    pub confidence: Confidence,
    /// Why, in words.
    pub reason: String,
}

/// Estimates every scan that `context` planned, in planning order.
///
/// # Errors
/// Files that cannot be opened: the query would fail too. Cancel safe.
pub fn estimate(
    plan: &Arc<dyn ExecutionPlan>,
    context: &Arc<ScanContext>,
    task: &Arc<TaskContext>,
    depth: EstimateDepth,
) -> BoxFuture<'static, Result<Vec<ScanEstimate>>> {
    let (plan, context, task) = (Arc::clone(plan), Arc::clone(context), Arc::clone(task));
    async move {
        let planned = scans(&plan);
        let openings = AtomicUsize::new(depth.openings);
        let mut estimates = Vec::new();
        let mut fetched = HashSet::new();
        for node in context.nodes() {
            let mut reads = Reads::default();
            for (scan, drained) in planned.iter().copied() {
                if scan_node(scan).is_some_and(|of| Arc::ptr_eq(&of, &node)) {
                    read_scan(&mut reads, scan, drained, &context, &task, depth, &openings).await?;
                }
            }
            estimates.push(reads.finish(&node, &context, &mut fetched));
        }
        Ok(estimates)
    }
    .boxed()
}

/// What the scans of one table would read, so far.
#[derive(Debug, Default)]
struct Reads {
    files: HashMap<FileVersion, FileReads>,
    requests: Bounds,
    index_requests: u64,
    transferred: u64,
    row_groups: u64,
    stopped_by: Option<&'static str>,
    runtime_filter: bool,
    late: bool,
    doubt: Option<Doubt>,
    /// Files of rows, which are read from end to end.
    rows: Bounds,
    row_files: HashSet<object_store::path::Path>,
    /// Scans of the plan; none where footers or partition filters answered.
    scans: u64,
}

#[derive(Debug, Default)]
struct FileReads {
    all: RangeSet,
    all_bytes: u64,
    sure: RangeSet,
    sure_bytes: u64,
    /// Those of the sure bytes that neither a cache nor the query holds yet.
    missing_bytes: u64,
}

async fn read_scan(
    reads: &mut Reads,
    scan: &FileScanConfig,
    drained: Drained,
    context: &Arc<ScanContext>,
    task: &Arc<TaskContext>,
    depth: EstimateDepth,
    openings: &AtomicUsize,
) -> Result<()> {
    if let Some([least, most]) = drained_bytes(scan) {
        reads.add_rows(
            scan,
            drained,
            Bounds {
                min: least,
                max: most,
            },
        );
        return Ok(());
    }
    let Some(mut dry) = DryScan::new(scan, context, task)? else {
        return Ok(());
    };
    let certain = drained == Drained::Surely && !dry.runtime_filter;
    dry.fetch_indexes = certain || depth.indexes == Indexes::All;
    dry.hurried = depth.indexes == Indexes::Sure;
    reads.scans += 1;
    reads.stopped_by = reads.stopped_by.or(drained.stopped_by());
    reads.runtime_filter |= dry.runtime_filter;
    reads.late |= dry.late;
    let sure = certain && !dry.late;
    // What is not certain stays so however many files are opened: a query that runs anyway has better to do.
    let none = AtomicUsize::new(0);
    let openings = if dry.fetch_indexes { openings } else { &none };
    let mut pieces = Vec::new();
    for piece in scan.file_groups.iter().flat_map(|g| g.iter()) {
        pieces.push(read_piece(scan, &dry, piece, openings).boxed());
    }
    let mut answers = futures::stream::iter(pieces).buffered(context.config.footer_parallelism);
    while let Some(answer) = answers.try_next().await? {
        if let Some((file, found)) = answer {
            reads.add(&file, &found, sure, context);
        }
    }
    Ok(())
}

async fn read_piece(
    scan: &FileScanConfig,
    dry: &DryScan,
    piece: &PartitionedFile,
    openings: &AtomicUsize,
) -> Result<Option<(Arc<ScanFile>, PieceReads)>> {
    let Some(file) = ScanFile::attached(piece) else {
        return Ok(None);
    };
    let groups: Vec<usize> = groups_in(piece, &file.metadata).map(|(index, _)| index).collect();
    let leaves = dry
        .unfiltered()
        .then(|| plain_leaves(scan, piece, file))
        .flatten();
    let found = match leaves {
        Some(leaves) => plain(file, &groups, &leaves),
        None => dry.piece(piece, file, &groups, openings).await?,
    };
    Ok(Some((Arc::clone(file), found)))
}

/// The reads of a scan without filters: the same columns of all row groups.
fn plain(file: &ScanFile, groups: &[usize], leaves: &[usize]) -> PieceReads {
    let reads = groups
        .iter()
        .filter(|_| !leaves.is_empty())
        .map(|group| GroupReads {
            ranges: leaf_ranges(file.metadata.row_group(*group), leaves),
            sure: true,
        });
    PieceReads {
        groups: reads.collect(),
        ..PieceReads::default()
    }
}

/// Whether `range` comes without a request: it is cached, or the query has it already.
fn is_held(file: &ScanFile, range: &Range<u64>, context: &ScanContext) -> bool {
    let (source, blocks) = (&file.source, context.blocks.as_ref());
    let cached = |blocks: &QueryBlocks| source.version().is_strong() && blocks.holds(source.version(), range);
    source.ahead().covers(range) || blocks.is_some_and(cached)
}

fn bytes(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|r| r.end - r.start).sum()
}

impl Reads {
    /// Adds a scan of row files. They are fetched in chunks, one after the other.
    fn add_rows(&mut self, scan: &FileScanConfig, drained: Drained, bytes: Bounds) {
        let certain = drained == Drained::Surely;
        self.scans += 1;
        self.stopped_by = self.stopped_by.or(drained.stopped_by());
        self.rows.max += bytes.max;
        self.rows.min += if certain { bytes.min } else { 0 };
        for piece in scan.file_groups.iter().flat_map(|g| g.iter()) {
            let length = match &piece.range {
                Some(range) => u64::try_from(range.end - range.start).unwrap_or(0),
                None => piece.object_meta.size,
            };
            self.row_files.insert(piece.object_meta.location.clone());
            self.requests.min += u64::from(certain);
            // One more for the end of a row that begins in this piece and ends in the next.
            self.requests.max += length.div_ceil(LEAST_CHUNK_BYTES) + 1;
            self.transferred += length + LEAST_CHUNK_BYTES;
        }
    }

    fn add(&mut self, file: &ScanFile, found: &PieceReads, sure: bool, context: &ScanContext) {
        self.doubt = self.doubt.max(found.doubt);
        let account = self.files.entry(file.source.version().clone()).or_default();
        for group in &found.groups {
            let requests = file.source.requests(&group.ranges);
            self.row_groups += 1;
            self.requests.max += requests.len() as u64;
            self.transferred += bytes(&requests);
            for range in &group.ranges {
                account.all_bytes += account.all.insert(range.clone());
                if sure && group.sure {
                    let fresh = account.sure.insert(range.clone());
                    account.sure_bytes += fresh;
                    account.missing_bytes += if is_held(file, range, context) { 0 } else { fresh };
                }
            }
        }
        let mut indexes = found.index_ranges.clone();
        indexes.sort_unstable_by_key(|r| (r.start, r.end));
        indexes.dedup();
        self.index_requests += indexes.len() as u64;
        self.transferred += bytes(&indexes);
    }

    /// `fetched` are the files of which another scan of the query surely fetches something.
    fn finish(
        self,
        node: &ScanNode,
        context: &ScanContext,
        fetched: &mut HashSet<FileVersion>,
    ) -> ScanEstimate {
        // What one scan fetches another may find in the cache.
        let missing: Vec<u64> = self
            .files
            .iter()
            .filter(|(file, reads)| {
                reads.missing_bytes > 0
                    && (context.blocks.is_none() || fetched.insert(FileVersion::clone(file)))
            })
            .map(|(_, reads)| reads.missing_bytes)
            .collect();
        let sample = Sample::of(node);
        let data = Bounds {
            min: self.rows.min + self.files.values().map(|f| f.sure_bytes).sum::<u64>(),
            max: self.rows.max + self.files.values().map(|f| f.all_bytes).sum::<u64>(),
        };
        let (confidence, reason) = self.confidence(node, &sample, data);
        let data_scanned_bytes = Bounds {
            max: sample.by_bytes(data.max),
            ..data
        };
        let list_requests = listings(node, context);
        let (footer_requests, footer_bytes) = footers(node, context);
        let mut scan = node.table_scan();
        let files_read = self.row_files.len() + self.files.values().filter(|f| f.all_bytes > 0).count();
        scan.files_read = sample.by_files(files_read as u64);
        scan.row_groups_total = sample.by_files(scan.row_groups_total);
        scan.row_groups_read = sample.by_files(self.row_groups);
        scan.metadata_bytes = sample.by_files(scan.metadata_bytes);
        scan.data_scanned_bytes = data_scanned_bytes.max;
        ScanEstimate {
            scan,
            data_scanned_bytes,
            get_requests: Bounds {
                // What is fetched ahead may come with fewer requests than are asked for.
                min: self.requests.min + missing.len() as u64,
                max: sample.by_bytes(self.requests.max)
                    + sample.by_files(self.index_requests + footer_requests),
            },
            list_requests,
            transferred_bytes: Bounds {
                min: self.rows.min + missing.iter().sum::<u64>(),
                max: sample.by_bytes(self.transferred) + sample.by_files(footer_bytes),
            },
            confidence,
            reason,
        }
    }

    fn confidence(&self, node: &ScanNode, sample: &Sample, data: Bounds) -> (Confidence, String) {
        if sample.unopened_files > 0 {
            let reason = format!(
                "the footers of {} of {} files were read; the rest is projected from the listing",
                sample.files, node.files_total
            );
            return (Confidence::Heuristic, reason);
        }
        if data.min == data.max {
            let reason = match (node.files_total, self.scans, data.max) {
                (0, ..) => "no data file is left by the partition filters",
                (_, 0, _) => "answered from footers",
                (_, _, 0) => "no row group or column has to be read",
                _ => "what is read follows from footers and filters alone",
            };
            return (Confidence::Exact, reason.to_owned());
        }
        let mut reasons = Vec::new();
        reasons.extend(self.stopped_by);
        if self.runtime_filter {
            reasons.push("a filter that is known only while the query runs can rule out row groups");
        }
        if self.late {
            reasons.push("filters are applied while reading, other columns are read in part");
        }
        match self.doubt {
            Some(Doubt::Index) => reasons.push("page indexes and bloom filters were not fetched"),
            Some(Doubt::Budget) => reasons.push("more row groups have filters than an estimate looks at"),
            None => {}
        }
        (Confidence::UpperBound, reasons.join("; "))
    }
}

/// Listings: at least those that no cache may answer, at most all prefixes anew.
fn listings(node: &ScanNode, context: &ScanContext) -> Bounds {
    let mut bounds = Bounds::default();
    for listing in &node.listings {
        let pages = (listing.files.len() as u64).div_ceil(KEYS_PER_PAGE).max(1);
        let cached =
            !matches!(listing.location.store, StoreId::File) && !context.config.listing_ttl.is_zero();
        bounds.max += pages;
        bounds.min += if cached { 0 } else { pages };
    }
    bounds
}

/// Requests and bytes of all footers that planning looked at, with empty caches.
fn footers(node: &ScanNode, context: &ScanContext) -> (u64, u64) {
    let hint = context.config.footer_hint_bytes;
    let mut sum = (0, 0);
    for (size, stored) in node.footers() {
        sum.0 += 1 + u64::from(stored > hint);
        sum.1 += size.min(hint).max(stored);
    }
    sum
}

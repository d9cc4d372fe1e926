//! The reader that DataFusion's Parquet opener pulls from: footers and indexes from the caches, data
//! counted and reserved before it is read.

use std::ops::Range;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use owlake_fault::Fault;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::cache::read_data;
use crate::context::{ScanContext, ScanNode};
use crate::error::ScanError;
use crate::parquet_scan::chunks::ChunkMap;
use crate::parquet_scan::footer;
use crate::parquet_scan::prefetch::Prefetch;
use crate::range_source::RangeSource;

/// A planned file: attached to each `PartitionedFile`, so that files of several stores share one plan node.
#[derive(Debug)]
pub(crate) struct ScanFile {
    /// Pinned reads of the listed version.
    pub source: RangeSource,
    /// The scan it belongs to.
    pub node: Arc<ScanNode>,
    /// Footer as planning saw it.
    pub metadata: Arc<ParquetMetaData>,
    /// What its scan fetches ahead; the reader factory owns it.
    pub prefetch: Weak<Prefetch>,
    chunks: OnceLock<ChunkMap>,
}

impl ScanFile {
    pub(crate) fn new(
        source: RangeSource,
        node: Arc<ScanNode>,
        metadata: Arc<ParquetMetaData>,
        prefetch: Weak<Prefetch>,
    ) -> Self {
        Self {
            source,
            node,
            metadata,
            prefetch,
            chunks: OnceLock::new(),
        }
    }

    /// Which bytes belong to which row group; made when the first byte of the file is asked for.
    fn chunks(&self) -> &ChunkMap {
        self.chunks.get_or_init(|| ChunkMap::of(&self.metadata))
    }

    /// What planning attached to `file`; `None` for a file of another format.
    pub(crate) fn attached(file: &PartitionedFile) -> Option<&Arc<Self>> {
        file.extension::<Arc<Self>>()
    }

    /// The same where there must be one.
    pub(crate) fn of(file: &PartitionedFile) -> Result<&Arc<Self>> {
        let missing = || DataFusionError::Internal("scan file without its source".to_owned());
        Self::attached(file).ok_or_else(missing)
    }
}

/// Makes readers for the files of one scan.
#[derive(Debug)]
pub(crate) struct MeteredReaderFactory {
    pub context: Arc<ScanContext>,
    pub node: Arc<ScanNode>,
    pub prefetch: Arc<Prefetch>,
}

impl ParquetFileReaderFactory for MeteredReaderFactory {
    fn create_reader(
        &self,
        _partition_index: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let scan_file = ScanFile::of(&file)?;
        Ok(Box::new(MeteredReader {
            context: Arc::clone(&self.context),
            node: Arc::clone(&self.node),
            prefetch: Arc::clone(&self.prefetch),
            file: Arc::clone(scan_file),
        }))
    }
}

/// Reads one file for one scan.
pub(crate) struct MeteredReader {
    pub context: Arc<ScanContext>,
    pub node: Arc<ScanNode>,
    pub prefetch: Arc<Prefetch>,
    pub file: Arc<ScanFile>,
}

impl MeteredReader {
    /// The row group whose column chunks hold `range`; anything else is an index or a bloom filter.
    pub(crate) fn row_group_of(&self, range: &Range<u64>) -> Option<usize> {
        self.file.chunks().row_group_of(range)
    }

    async fn read(&self, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, ScanError> {
        let mut row_groups = Vec::new();
        let mut metadata_ranges = Vec::new();
        for (index, range) in ranges.iter().enumerate() {
            match self.row_group_of(range) {
                Some(group) => row_groups.push(group as u64),
                None => metadata_ranges.push(index),
            }
        }
        row_groups.dedup();
        if metadata_ranges.is_empty() {
            return self.read_data(&ranges, &row_groups).await;
        }
        let mut answers = vec![Bytes::new(); ranges.len()];
        for index in &metadata_ranges {
            answers[*index] = self.read_metadata(ranges[*index].clone()).await?;
        }
        let data: Vec<usize> = (0..ranges.len())
            .filter(|i| !metadata_ranges.contains(i))
            .collect();
        if !data.is_empty() {
            let wanted: Vec<_> = data.iter().map(|i| ranges[*i].clone()).collect();
            for (index, bytes) in data.into_iter().zip(self.read_data(&wanted, &row_groups).await?) {
                answers[index] = bytes;
            }
        }
        Ok(answers)
    }

    async fn read_data(&self, ranges: &[Range<u64>], row_groups: &[u64]) -> Result<Vec<Bytes>, ScanError> {
        let source = &self.file.source;
        let fresh = self
            .node
            .reserve_data(&self.context, source.version(), ranges, row_groups)
            .await?;
        if let Some(first) = row_groups.first().and_then(|g| usize::try_from(*g).ok()) {
            self.prefetch.reached(&self.context, source.version(), first);
        }
        read_data(&self.context, &self.node, source, ranges, &fresh).await
    }

    /// A page index or bloom filter, from the cache where it is known.
    pub(crate) async fn read_metadata(&self, range: Range<u64>) -> Result<Bytes, ScanError> {
        let source = &self.file.source;
        let version = source.version();
        let limit = self.context.config.max_footer_bytes;
        if range.end - range.start > limit {
            return Err(ScanError::BadFile {
                table: source.table().to_owned(),
                file: version.key().to_owned(),
                reason: format!(
                    "an index of it claims {} bytes, limit {limit}",
                    range.end - range.start
                ),
            });
        }
        let (bytes, cached) = self
            .context
            .caches
            .blob(version, range.clone(), source.get_or_held(range.clone()))
            .await
            .map_err(|e| footer::unshare(&e, source))?;
        self.node
            .page_indexes
            .keep(version, &self.file.metadata, &range, &bytes);
        self.node
            .count_metadata(&self.context.meter, version, range, cached);
        if !cached {
            self.node.proved_current(version);
        }
        Ok(bytes)
    }
}

pub(crate) fn external(error: ScanError) -> ParquetError {
    ParquetError::External(Box::new(Fault::from(error)))
}

/// The answer to a read of one range.
pub(crate) fn only(mut answers: Vec<Bytes>) -> parquet::errors::Result<Bytes> {
    let missing = || ParquetError::General("no answer to a ranged read".to_owned());
    answers.pop().ok_or_else(missing)
}

impl AsyncFileReader for MeteredReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { only(self.read(vec![range]).await.map_err(external)?) }.boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move { self.read(ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        // Planning read and counted it; the page index is asked for through `get_bytes` when needed, once.
        let (version, metadata) = (self.file.source.version(), &self.file.metadata);
        let indexed = self.node.page_indexes.of(version, metadata);
        let metadata = indexed.unwrap_or_else(|| Arc::clone(metadata));
        async move { Ok(metadata) }.boxed()
    }
}

//! The files of a scan: what they are known by without being opened, those that filters leave, and their footers.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use futures::{StreamExt, TryStreamExt};
use owlake_catalog::hidden_columns::{FILE_MODIFIED_TIME, FILE_SIZE, PATH};
use owlake_metering::{SmallShare, decimal_bytes};

use crate::cache::Footer;
use crate::context::{ScanContext, ScanNode};
use crate::error::ScanError;
use crate::listing::{ListedFile, Listing};
use crate::location::Location;
use crate::parquet_scan::by_index::renamed;
use crate::parquet_scan::footer::footer;
use crate::parquet_scan::plan::OpenedFile;
use crate::partitions::{PartitionFilter, Registered, SelectedPartition};
use crate::range_source::RangeSource;

/// A file of a selected partition.
#[derive(Debug)]
pub(crate) struct ChosenFile {
    pub file: ListedFile,
    location: Location,
    /// Partition values, then those of hidden columns where the query has them.
    values: Vec<ScalarValue>,
    /// Its partition, where that is registered.
    pub registered: Option<Registered>,
}

/// A chosen file, ready to be read.
pub(crate) struct SourceFile {
    pub listed: ListedFile,
    pub source: RangeSource,
    /// As in [`ChosenFile`].
    pub values: Vec<ScalarValue>,
    pub registered: Option<Registered>,
}

/// Every listed file, in the order of partitions and keys.
pub(crate) fn all(listed: &[(SelectedPartition, Arc<Listing>)]) -> Vec<ChosenFile> {
    let files = listed.iter().flat_map(|(partition, listing)| {
        listing.files.iter().map(|file| ChosenFile {
            file: file.clone(),
            location: partition.location.clone(),
            values: partition.values.clone(),
            registered: partition.registered.clone(),
        })
    });
    files.collect()
}

/// Fewer files than this are no burden, however small.
const MANY_FILES: usize = 100;

/// Many small files of one scan: what its receipt says of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SmallFiles {
    table: String,
    files: usize,
    small: usize,
    small_bytes: u64,
}

impl SmallFiles {
    /// `None` where `files` are few, or most of them have `below` bytes or more.
    pub(crate) fn of(table: &str, files: &[ChosenFile], below: u64) -> Option<Self> {
        let sizes = || {
            files
                .iter()
                .map(|f| f.file.meta.size)
                .filter(|size| *size < below)
        };
        let small = Self {
            table: table.to_owned(),
            files: files.len(),
            small: sizes().count(),
            small_bytes: sizes().sum(),
        };
        (small.small >= MANY_FILES && 2 * small.small >= files.len()).then_some(small)
    }

    /// The notice of a query of which `share` went to such files.
    pub(crate) fn notice(&self, share: Option<SmallShare>) -> String {
        let took = share.map_or_else(String::new, |share| {
            format!(
                " {} of this query's {} requests went to files below {}, and {} % of the time that all its requests \
                 took.",
                share.requests,
                share.all_requests,
                decimal_bytes(share.below_bytes),
                share.time_percent
            )
        });
        format!(
            "{}: {} of {} files are small ({} on average).{took} Fewer, larger files are read faster.",
            self.table,
            self.small,
            self.files,
            decimal_bytes(self.small_bytes / self.small.max(1) as u64)
        )
    }
}

/// Fields of the hidden columns, in their order.
pub(crate) fn hidden_fields() -> [FieldRef; 3] {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    [
        Arc::new(Field::new(PATH, DataType::Utf8View, true)),
        Arc::new(Field::new(FILE_SIZE, DataType::Int64, true)),
        Arc::new(Field::new(FILE_MODIFIED_TIME, time, true)),
    ]
}

/// Gives `files` the values of the hidden columns and drops those for which `filter` is not true.
pub(crate) fn with_hidden_values(
    mut files: Vec<ChosenFile>,
    filter: &PartitionFilter,
) -> DfResult<Vec<ChosenFile>> {
    for chosen in &mut files {
        let meta = &chosen.file.meta;
        chosen.values.extend([
            ScalarValue::Utf8View(Some(chosen.file.version.to_string())),
            ScalarValue::Int64(i64::try_from(meta.size).ok()),
            ScalarValue::TimestampMillisecond(
                Some(meta.last_modified.timestamp_millis()),
                Some("UTC".into()),
            ),
        ]);
    }
    let kept = filter.keep(files.iter().map(|c| c.values.as_slice()))?;
    Ok(files
        .into_iter()
        .zip(kept)
        .filter_map(|(file, keep)| keep.then_some(file))
        .collect())
}

/// `files` with what reads them, in their order.
pub(crate) fn sources(
    context: &ScanContext,
    node: &ScanNode,
    files: Vec<ChosenFile>,
) -> Result<Vec<SourceFile>, ScanError> {
    let table: Arc<str> = Arc::from(node.qualified_name());
    let source = |chosen: ChosenFile| {
        let source = RangeSource::new(
            context,
            context.stores.open(&chosen.location)?,
            chosen.file.meta.location.clone(),
            chosen.file.version.clone(),
            Arc::clone(&table),
        );
        Ok(SourceFile {
            listed: chosen.file,
            source,
            values: chosen.values,
            registered: chosen.registered,
        })
    };
    files.into_iter().map(source).collect()
}

/// The names of a file's columns by position: its partition's, where that has its own, else the table's.
fn names_by_position(table: &Arc<Vec<String>>, registered: Option<&Registered>) -> Arc<Vec<String>> {
    match registered.and_then(Registered::get) {
        Some(row) if !row.storage_descriptor.columns.is_empty() => {
            let columns = row.storage_descriptor.columns.iter();
            Arc::new(columns.map(|c| c.name.clone()).collect())
        }
        _ => Arc::clone(table),
    }
}

/// At most `most` of the files, evenly spread; the node remembers the others by their size.
fn sample(files: Vec<SourceFile>, most: usize, node: &ScanNode) -> Vec<SourceFile> {
    let total = files.len();
    if total <= most {
        return files;
    }
    let mut kept = Vec::with_capacity(most);
    for (index, file) in files.into_iter().enumerate() {
        if kept.len() * total < index.saturating_add(1) * most {
            kept.push(file);
        } else {
            node.leave_unopened(&file.listed);
        }
    }
    kept
}

/// Reads the footers of `files`, or of as many as a bare LIMIT needs. With `data_follows` small files come whole.
/// With `by_index`, the names of the table's columns, those of a file go by position.
pub(crate) async fn open_all(
    context: &Arc<ScanContext>,
    node: &Arc<ScanNode>,
    files: Vec<ChosenFile>,
    limit: Option<usize>,
    data_follows: bool,
    by_index: Option<&Arc<Vec<String>>>,
) -> DfResult<Vec<OpenedFile>> {
    let mut to_open = sources(context, node, files)?;
    let budget = context.estimating.get();
    if let Some(budget) = budget {
        to_open = sample(to_open, budget.files, node);
    }
    let begun = tokio::time::Instant::now();
    // With a bare LIMIT the first files usually hold enough rows: look at few at a time, in order,
    // and stop by their row counts, so that what is read depends on the data alone.
    let parallelism = if limit.is_some() {
        4
    } else {
        context.config.footer_parallelism
    };
    let mut opened = Vec::with_capacity(to_open.len());
    let mut rows = 0_u64;
    let mut waves = to_open.into_iter().peekable();
    while waves.peek().is_some() {
        if budget.is_some_and(|b| begun.elapsed() > b.time) {
            waves.for_each(|file| node.leave_unopened(&file.listed));
            break;
        }
        let waits = limit.is_some() || budget.is_some();
        let take = if waits { parallelism } else { usize::MAX };
        let wave: Vec<_> = waves.by_ref().take(take).collect();
        let files: Vec<OpenedFile> = futures::stream::iter(wave)
            .map(|file| {
                let (context, node) = (Arc::clone(context), Arc::clone(node));
                let names = by_index.map(|table| names_by_position(table, file.registered.as_ref()));
                let data_follows = data_follows && budget.is_none();
                async move { open(&context, &node, file, data_follows, names).await }
            })
            .buffered(parallelism)
            .try_collect()
            .await?;
        for file in files {
            let metadata = &file.footer.metadata;
            let groups = metadata.row_groups().iter();
            rows += groups
                .map(|g| u64::try_from(g.num_rows()).unwrap_or(0))
                .sum::<u64>();
            node.row_groups_total.fetch_add(
                metadata.num_row_groups() as u64,
                std::sync::atomic::Ordering::Relaxed,
            );
            opened.push(file);
        }
        if limit.is_some_and(|limit| rows >= limit as u64) {
            waves.for_each(|file| node.leave_beyond_limit(file.listed.version));
            break;
        }
    }
    Ok(opened)
}

async fn open(
    context: &ScanContext,
    node: &ScanNode,
    file: SourceFile,
    data_follows: bool,
    names: Option<Arc<Vec<String>>>,
) -> Result<OpenedFile, ScanError> {
    let source = file.source;
    let (footer, cached) = footer(context, &source, data_follows).await?;
    node.count_footer(&context.meter, source.version(), footer.stored_bytes, cached);
    if !cached {
        node.proved_current(source.version());
    }
    let footer = match names {
        Some(names) => Arc::new(by_position(&footer, &source, &names)?),
        None => footer,
    };
    Ok(OpenedFile {
        listed: file.listed,
        source,
        footer,
        partition_values: file.values,
    })
}

fn by_position(footer: &Footer, source: &RangeSource, names: &[String]) -> Result<Footer, ScanError> {
    let metadata = renamed(&footer.metadata, names).map_err(|reason| ScanError::BadFile {
        table: source.table().to_owned(),
        file: source.version().key().to_owned(),
        reason,
    })?;
    Ok(Footer {
        metadata: Arc::new(metadata),
        stored_bytes: footer.stored_bytes,
        encrypted: footer.encrypted.clone(),
    })
}

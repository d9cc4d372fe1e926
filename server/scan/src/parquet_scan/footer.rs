//! Reads and parses a footer: one request where the tail hint covers it, two otherwise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, Schema};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::cache::Footer;
use crate::context::ScanContext;
use crate::error::ScanError;
use crate::parquet_scan::encrypted::encrypted_leaves;
use crate::parquet_scan::trusted::trusted;
use crate::range_source::RangeSource;

const TRAILER_BYTES: u64 = 8;

/// The footer of `source`'s file version, from the cache where it is known. True when a cache answered.
///
/// What comes with it beyond the footer is held for the reads of the same scan, as far as there is room. With
/// `data_follows`, a small file is fetched whole: one request instead of two.
pub(crate) async fn footer(
    context: &ScanContext,
    source: &RangeSource,
    data_follows: bool,
) -> Result<(Arc<Footer>, bool), ScanError> {
    let config = &context.config;
    let size = source.version().size_bytes();
    let whole = data_follows && size <= source.shape().whole_file_bytes;
    let hint = config.footer_hint_bytes.max(TRAILER_BYTES).min(size);
    let mut tail = None;
    let load = async {
        if let Some(footer) = stored(context, source).await {
            return Ok((footer, true));
        }
        let room = if whole {
            context.room_ahead.take(size)
        } else {
            None
        };
        let wanted = if room.is_some() { size } else { hint };
        let loaded = load(source, wanted, config.max_footer_bytes).await?;
        let caches = &context.caches;
        caches.keep_stored_footer(source.version(), &loaded.encoded).await;
        tail = Some((loaded.tail, room));
        Ok((loaded.footer, false))
    };
    let (footer, cached) = context
        .caches
        .footer(source.version(), load)
        .await
        .map_err(|e| unshare(&e, source))?;
    if let Some((bytes, room)) = tail {
        let before = (bytes.len() as u64).saturating_sub(footer.stored_bytes);
        if before > 0
            && let Some(room) = room.or_else(|| context.room_ahead.take(bytes.len() as u64))
        {
            source.ahead().hold(size - bytes.len() as u64, bytes, room);
        }
    }
    Ok((footer, cached))
}

/// Errors of a single-flight load are shared between waiters; each waiter reports its own copy.
pub(crate) fn unshare(error: &Arc<ScanError>, source: &RangeSource) -> ScanError {
    let (table, file) = (source.table().to_owned(), source.version().key().to_owned());
    match error.as_ref() {
        ScanError::FileChanged { .. } => ScanError::FileChanged { table, file },
        ScanError::BadFile { reason, .. } => ScanError::BadFile {
            table,
            file,
            reason: reason.clone(),
        },
        _ => ScanError::Store {
            action: "read",
            location: source.version().to_string(),
            source: crate::listing::copy_store_error(error),
        },
    }
}

/// The footer from disk, where its bytes were kept by an earlier process.
async fn stored(context: &ScanContext, source: &RangeSource) -> Option<Footer> {
    let encoded = context.caches.stored_footer(source.version()).await?;
    let metadata = decode(&encoded).ok()?;
    check(&metadata, source.version().size_bytes()).ok()?;
    Some(Footer {
        metadata: Arc::new(metadata),
        stored_bytes: encoded.len() as u64 + TRAILER_BYTES,
        encrypted: encrypted_leaves(&encoded),
    })
}

/// What [`load`] read.
struct Loaded {
    footer: Footer,
    /// The footer as it is stored, without the trailer.
    encoded: Bytes,
    /// The bytes that came with the first read.
    tail: Bytes,
}

/// Reads the last `wanted` bytes of the file and, where the footer is longer, the rest of it.
async fn load(source: &RangeSource, wanted: u64, cap: u64) -> Result<Loaded, ScanError> {
    let bad = |reason: String| ScanError::BadFile {
        table: source.table().to_owned(),
        file: source.version().key().to_owned(),
        reason,
    };
    let size = source.version().size_bytes();
    if size < TRAILER_BYTES + 4 {
        return Err(bad(format!("it has {size} bytes, too few for a Parquet file")));
    }
    let tail_start = size.saturating_sub(wanted);
    let tail = source.get(tail_start..size).await?;
    let trailer = &tail[tail.len() - 8..];
    match &trailer[4..] {
        b"PAR1" => {}
        b"PARE" => {
            return Err(bad(
                "its footer is encrypted, and no keys are configured".to_owned()
            ));
        }
        _ => return Err(bad("it does not end like a Parquet file".to_owned())),
    }
    let length = u64::from(u32::from_le_bytes([
        trailer[0], trailer[1], trailer[2], trailer[3],
    ]));
    let stored_bytes = length + TRAILER_BYTES;
    if stored_bytes > size || stored_bytes > cap {
        return Err(bad(format!(
            "its footer claims {stored_bytes} bytes (file {size}, limit {cap})"
        )));
    }
    let start = size - stored_bytes;
    let encoded = if start >= tail_start {
        let from = usize::try_from(start - tail_start).unwrap_or(usize::MAX);
        tail.slice(from..tail.len() - 8)
    } else {
        let head = source.get(start..tail_start).await?;
        let mut joined = Vec::with_capacity(head.len() + tail.len());
        joined.extend_from_slice(&head);
        joined.extend_from_slice(&tail[..tail.len() - 8]);
        Bytes::from(joined)
    };
    let metadata = decode(&encoded).map_err(bad)?;
    check(&metadata, size).map_err(bad)?;
    let footer = Footer {
        metadata: Arc::new(metadata),
        stored_bytes,
        encrypted: encrypted_leaves(&encoded),
    };
    Ok(Loaded {
        footer,
        encoded,
        tail,
    })
}

/// The footer as far as it may be believed. Malformed ones may panic below us (reliability 0.5): that is a bad file,
/// not a dead query thread.
fn decode(encoded: &[u8]) -> Result<ParquetMetaData, String> {
    catch_unwind(AssertUnwindSafe(|| {
        ParquetMetaDataReader::decode_metadata(encoded).and_then(trusted)
    }))
    .map_err(|_panic| "its footer is malformed".to_owned())?
    .map_err(|e| format!("its footer does not parse: {e}"))
}

/// Claims in the footer that later code would trust: they must lie within the file.
fn check(metadata: &ParquetMetaData, size: u64) -> Result<(), String> {
    if metadata.file_metadata().num_rows() < 0 {
        return Err("its footer claims a negative row count".to_owned());
    }
    for (index, group) in metadata.row_groups().iter().enumerate() {
        if group.num_rows() < 0 {
            return Err(format!("row group {index} claims a negative row count"));
        }
        for column in group.columns() {
            let start = column
                .dictionary_page_offset()
                .unwrap_or_else(|| column.data_page_offset());
            let length = column.compressed_size();
            let inside = u64::try_from(start)
                .ok()
                .zip(u64::try_from(length).ok())
                .and_then(|(s, l)| s.checked_add(l))
                .is_some_and(|end| end <= size);
            if !inside {
                return Err(format!(
                    "column {} of row group {index} lies outside the file",
                    column.column_path()
                ));
            }
        }
    }
    Ok(())
}

/// Arrow schema by the Parquet schema alone: the embedded `ARROW:schema` hint is not trusted
/// (it can panic in this release of arrow, reliability 0.6).
pub(crate) fn arrow_schema(metadata: &ParquetMetaData) -> Result<Schema, String> {
    catch_unwind(AssertUnwindSafe(|| {
        parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None)
    }))
    .map_err(|_panic| "its schema is malformed".to_owned())?
    .map_err(|e| format!("its schema is not readable: {e}"))
}

/// Columns of the first data file under a table's location, for CREATE without a column list.
///
/// One LIST and one footer, on the query's meter.
pub async fn footer_schema(
    context: &ScanContext,
    table: &str,
    location: &crate::location::Location,
) -> Result<Option<Vec<(String, DataType)>>, ScanError> {
    let listing = crate::listing::list(context, table, location).await?;
    let Some(file) = listing.files.first() else {
        return Ok(None);
    };
    let source = RangeSource::new(
        context,
        context.stores.open(location)?,
        file.meta.location.clone(),
        file.version.clone(),
        Arc::from(table),
    );
    let (footer, cached) = footer(context, &source, false).await?;
    context
        .meter
        .add(owlake_metering::Counter::MetadataBytes, footer.stored_bytes);
    if cached {
        context
            .meter
            .add(owlake_metering::Counter::CachedBytes, footer.stored_bytes);
    }
    let schema = arrow_schema(&footer.metadata).map_err(|reason| ScanError::BadFile {
        table: table.to_owned(),
        file: file.version.key().to_owned(),
        reason,
    })?;
    Ok(Some(
        schema
            .fields()
            .iter()
            .map(|f| (f.name().clone(), f.data_type().clone()))
            .collect(),
    ))
}

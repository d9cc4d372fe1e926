//! Page indexes that a scan has asked for: parsed once for all pieces of a file. Fetching and counting them is the
//! reader's business.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hashlink::LruCache;
use parquet::DecodeResult;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};

use crate::file_version::FileVersion;
use crate::parquet_scan::chunks::index_places;

/// Files whose indexes are kept; a scan reads about as many at the same time as it has streams.
const KEPT_FILES: usize = 32;
/// Larger indexes are not kept.
const MAX_BYTES: usize = 256 << 10;

/// The page indexes of one scan's files, as far as they were used lately.
#[derive(Debug)]
pub(crate) struct PageIndexes(Mutex<LruCache<FileVersion, Index>>);

#[derive(Debug, Clone)]
enum Index {
    /// As it is in the file.
    Stored(Bytes),
    /// The footer with it.
    Parsed(Arc<ParquetMetaData>),
}

impl Default for PageIndexes {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT_FILES)))
    }
}

impl PageIndexes {
    /// Keeps `bytes`, if `range` is that of the page indexes of `file`.
    pub(crate) fn keep(
        &self,
        file: &FileVersion,
        metadata: &ParquetMetaData,
        range: &Range<u64>,
        bytes: &Bytes,
    ) {
        if bytes.len() > MAX_BYTES || index_range(metadata).as_ref() != Some(range) {
            return;
        }
        let mut kept = self.lock();
        if !kept.contains_key(file) {
            kept.insert(file.clone(), Index::Stored(bytes.clone()));
        }
    }

    /// The footer of `file` with its page indexes, where those are known; `metadata` is the one without.
    pub(crate) fn of(
        &self,
        file: &FileVersion,
        metadata: &Arc<ParquetMetaData>,
    ) -> Option<Arc<ParquetMetaData>> {
        let found = self.lock().get(file)?.clone();
        let bytes = match found {
            Index::Parsed(metadata) => return Some(metadata),
            Index::Stored(bytes) => bytes,
        };
        // What cannot be parsed is left to the opener, which says why.
        let parsed = Arc::new(parse(metadata, file.size_bytes(), bytes)?);
        let index = Index::Parsed(Arc::clone(&parsed));
        self.lock().insert(file.clone(), index);
        Some(parsed)
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<FileVersion, Index>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(metadata: &ParquetMetaData, file_bytes: u64, index: Bytes) -> Option<ParquetMetaData> {
    let mut decoder = ParquetMetaDataPushDecoder::try_new_with_metadata(file_bytes, metadata.clone())
        .ok()?
        .with_page_index_policy(PageIndexPolicy::Optional);
    decoder.push_range(index_range(metadata)?, index).ok()?;
    match decoder.try_decode().ok()? {
        DecodeResult::Data(parsed) => Some(parsed),
        DecodeResult::NeedsData(_) | DecodeResult::Finished => None,
    }
}

/// From the first to the last byte of all page indexes, which is what the opener asks for.
fn index_range(metadata: &ParquetMetaData) -> Option<Range<u64>> {
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    chunks
        .flat_map(index_places)
        .flatten()
        .reduce(|all, range| all.start.min(range.start)..all.end.max(range.end))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use object_store::ObjectMeta;
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::ParquetMetaDataReader;

    use super::*;
    use crate::location::StoreId;

    fn file() -> (FileVersion, Bytes, Arc<ParquetMetaData>) {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let bytes = Bytes::from(bytes);
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
        let meta = ObjectMeta {
            location: "a.parquet".into(),
            last_modified: DateTime::UNIX_EPOCH,
            size: bytes.len() as u64,
            e_tag: Some("1".to_owned()),
            version: None,
        };
        (FileVersion::new(StoreId::File, &meta), bytes, Arc::new(metadata))
    }

    fn part(bytes: &Bytes, range: &Range<u64>) -> Bytes {
        bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap())
    }

    #[test]
    fn an_index_that_was_read_is_parsed_once() {
        let (version, bytes, metadata) = file();
        let indexes = PageIndexes::default();
        assert!(metadata.column_index().is_none() && indexes.of(&version, &metadata).is_none());
        let range = index_range(&metadata).unwrap();
        indexes.keep(&version, &metadata, &range, &part(&bytes, &range));
        let first = indexes.of(&version, &metadata).unwrap();
        assert!(first.column_index().is_some() && first.offset_index().is_some());
        assert!(Arc::ptr_eq(&first, &indexes.of(&version, &metadata).unwrap()));
    }

    #[test]
    fn other_ranges_and_damaged_indexes_are_left_to_the_opener() {
        let (version, bytes, metadata) = file();
        let indexes = PageIndexes::default();
        let range = index_range(&metadata).unwrap();
        let more = range.start - 1..range.end;
        indexes.keep(&version, &metadata, &more, &part(&bytes, &more));
        assert!(indexes.of(&version, &metadata).is_none());
        let damaged = Bytes::from(vec![0xff; part(&bytes, &range).len()]);
        indexes.keep(&version, &metadata, &range, &damaged);
        assert!(indexes.of(&version, &metadata).is_none());
    }
}

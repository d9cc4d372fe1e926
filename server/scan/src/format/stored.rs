//! The stored bytes of one range of one file: fetched in chunks, each counted and reserved before it is read.

use std::sync::Arc;

use bytes::Bytes;

use super::RowFormat;
use super::codec::Codec;
use crate::cache::read_data;
use crate::context::{ScanContext, ScanNode};
use crate::error::ScanError;
use crate::range_source::RangeSource;

/// What a stream asks for first: little, since a LIMIT may need no more.
const FIRST_CHUNK_BYTES: u64 = 256 << 10;
/// What is asked for beyond the end of a range, where its last line goes on.
const BEYOND_BYTES: u64 = 64 << 10;

/// A planned file: attached to each `PartitionedFile`, so that files of several stores share one plan node.
#[derive(Debug)]
pub(crate) struct RowFile {
    /// Pinned reads of the listed version.
    pub source: RangeSource,
    /// The scan it belongs to.
    pub node: Arc<ScanNode>,
    /// How its rows are written.
    pub format: Arc<RowFormat>,
    /// How its bytes are stored.
    pub codec: Codec,
}

impl RowFile {
    /// The error of a file that is not what its table says.
    pub(crate) fn bad(&self, reason: impl Into<String>) -> ScanError {
        ScanError::BadFile {
            table: self.source.table().to_owned(),
            file: self.source.version().key().to_owned(),
            reason: reason.into(),
        }
    }

    /// Length of the file in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.source.version().size_bytes()
    }

    /// One range: counted, reserved, then read.
    pub(crate) async fn read(
        &self,
        context: &ScanContext,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, ScanError> {
        let (version, range) = (self.source.version(), [range]);
        let fresh = self.node.reserve_data(context, version, &range, &[]).await?;
        let bytes = read_data(context, &self.node, &self.source, &range, &fresh).await?;
        Ok(bytes.into_iter().next().unwrap_or_default())
    }
}

/// Reads from `position` on, at first up to `end`, then beyond it as long as it is asked to.
#[derive(Debug)]
pub(crate) struct StoredBytes {
    position: u64,
    end: u64,
    chunk: u64,
    max_chunk: u64,
}

impl StoredBytes {
    /// No I/O happens here. `max_chunk` bounds one request, in bytes.
    pub(crate) fn new(range: std::ops::Range<u64>, max_chunk: u64) -> Self {
        let max_chunk = max_chunk.max(1);
        Self {
            position: range.start,
            end: range.end,
            chunk: FIRST_CHUNK_BYTES.min(max_chunk),
            max_chunk,
        }
    }

    /// The next chunk; `None` at the end of the file.
    pub(crate) async fn next(
        &mut self,
        context: &ScanContext,
        file: &RowFile,
    ) -> Result<Option<Bytes>, ScanError> {
        let size = file.size();
        if self.position >= size {
            return Ok(None);
        }
        if self.position >= self.end {
            // Each step beyond is twice as long as the last one.
            let beyond = (self.position - self.end).max(BEYOND_BYTES.min(self.max_chunk));
            self.chunk = beyond.min(self.max_chunk);
        }
        let limit = if self.position < self.end { self.end } else { size };
        let to = self.position.saturating_add(self.chunk).min(limit).min(size);
        let bytes = file.read(context, self.position..to).await?;
        self.position = to;
        self.chunk = self.chunk.saturating_mul(2).min(self.max_chunk);
        Ok(Some(bytes))
    }
}

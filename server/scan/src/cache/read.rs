//! Data ranges of a file through the block cache: only what is not held is fetched.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use owlake_metering::Counter;

use super::block::{Piece, QueryBlocks};
use crate::context::{ScanContext, ScanNode};
use crate::error::ScanError;
use crate::range_source::RangeSource;

/// Data `ranges` of a file for the scan `node`, read as far as no cache holds them, in the order asked. They were
/// reserved; `fresh` is how many bytes of each were counted then.
///
/// # Errors
/// A file that changed, the store.
pub(crate) async fn read_data(
    context: &ScanContext,
    node: &ScanNode,
    source: &RangeSource,
    ranges: &[Range<u64>],
    fresh: &[u64],
) -> Result<Vec<Bytes>, ScanError> {
    let read = through_cache(context.blocks.as_ref(), source, ranges).await?;
    // Bytes that this scan read before were counted then, whoever answered.
    let cached = read.cached_bytes.iter().zip(fresh).map(|(c, f)| *f.min(c));
    context.meter.add(Counter::CachedBytes, cached.sum());
    if read.asked_store {
        node.proved_current(source.version());
    }
    Ok(read.bytes)
}

/// What [`through_cache`] got.
#[derive(Debug)]
struct DataRead {
    /// The ranges, in the order asked.
    bytes: Vec<Bytes>,
    /// How many bytes of each were cached.
    cached_bytes: Vec<u64>,
    /// Whether the store was asked for anything; if so, the pinned version is current.
    asked_store: bool,
}

/// The `ranges` of `source`'s file version, from `blocks` as far as they hold them, and kept there if there is space.
///
/// Two queries that miss the same range fetch it twice: a shared load would tie one to the other's cap and cancellation.
async fn through_cache(
    blocks: Option<&QueryBlocks>,
    source: &RangeSource,
    ranges: &[Range<u64>],
) -> Result<DataRead, ScanError> {
    let Some(blocks) = blocks.filter(|_| source.version().is_strong()) else {
        return Ok(DataRead {
            bytes: source.get_ranges(ranges).await?,
            cached_bytes: vec![0; ranges.len()],
            asked_store: true,
        });
    };
    let mut pieces: Vec<Vec<Piece>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        // What this query fetched ahead is taken, also if another query has cached it since: a body under way is not cut.
        if source.ahead().covers(range) {
            blocks.looked_up(false);
            let (range, bytes) = (range.clone(), None);
            pieces.push(vec![Piece { range, bytes }]);
            continue;
        }
        let mut found = blocks.look_up(source.version(), range);
        for piece in found.iter_mut().filter(|piece| piece.bytes.is_none()) {
            piece.bytes = blocks.read_disk(source.version(), &piece.range).await;
        }
        blocks.looked_up(found.iter().all(|piece| piece.bytes.is_some()));
        pieces.push(found);
    }
    let missing: Vec<Range<u64>> = pieces
        .iter()
        .flatten()
        .filter(|piece| piece.bytes.is_none())
        .map(|piece| piece.range.clone())
        .collect();
    let fetched = match missing.is_empty() {
        true => Vec::new(),
        false => source.get_ranges(&missing).await?,
    };
    for (range, bytes) in missing.iter().zip(&fetched) {
        blocks.to_disk(source.version(), range, bytes).await;
    }
    let mut kept = missing
        .iter()
        .zip(&fetched)
        .map(|(range, bytes)| blocks.keep(source.version(), range.start, bytes));
    let known = |pieces: &Vec<Piece>| -> u64 {
        let known = pieces.iter().filter_map(|piece| piece.bytes.as_ref());
        known.map(|bytes| bytes.len() as u64).sum()
    };
    Ok(DataRead {
        cached_bytes: pieces.iter().map(known).collect(),
        // The unknown pieces come in the order in which they were collected above.
        bytes: pieces
            .into_iter()
            .map(|pieces| {
                let parts = pieces.into_iter().filter_map(|p| p.bytes.or_else(|| kept.next()));
                join(parts)
            })
            .collect(),
        asked_store: !missing.is_empty(),
    })
}

fn join(mut parts: impl Iterator<Item = Bytes>) -> Bytes {
    let first = parts.next().unwrap_or_default();
    let Some(second) = parts.next() else {
        return first;
    };
    let mut joined = BytesMut::from(first);
    joined.extend_from_slice(&second);
    parts.for_each(|part| joined.extend_from_slice(&part));
    joined.freeze()
}

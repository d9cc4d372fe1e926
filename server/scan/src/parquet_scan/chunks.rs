//! Where a Parquet file keeps what: leaf columns by the name of their root, row groups of a piece, byte ranges of
//! column chunks. Which of them a scan needs is not decided here.

use std::ops::Range;

use datafusion::datasource::listing::PartitionedFile;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

/// The bytes of one column chunk.
pub(crate) fn chunk_range(chunk: &ColumnChunkMetaData) -> Range<u64> {
    let (start, length) = chunk.byte_range();
    start..start + length
}

/// The column chunks of `leaves` in one row group.
pub(crate) fn leaf_ranges(group: &RowGroupMetaData, leaves: &[usize]) -> Vec<Range<u64>> {
    leaves
        .iter()
        .map(|leaf| chunk_range(group.column(*leaf)))
        .collect()
}

/// How many bytes these are.
pub(crate) fn leaf_bytes(group: &RowGroupMetaData, leaves: &[usize]) -> u64 {
    leaves.iter().map(|leaf| group.column(*leaf).byte_range().1).sum()
}

/// Leaf columns of a file below top-level columns whose name `is_read`.
pub(crate) fn leaves_below(metadata: &ParquetMetaData, is_read: impl Fn(&str) -> bool) -> Vec<usize> {
    let leaves = metadata.file_metadata().schema_descr().columns();
    (0..leaves.len())
        .filter(|leaf| {
            leaves[*leaf]
                .path()
                .parts()
                .first()
                .is_some_and(|root| is_read(root))
        })
        .collect()
}

/// The offset by which the opener assigns a row group to a range: where its first column starts.
pub(crate) fn first_byte(group: &RowGroupMetaData) -> i64 {
    group.columns().first().map_or(0, |column| {
        column
            .dictionary_page_offset()
            .unwrap_or_else(|| column.data_page_offset())
    })
}

/// Whether `group` belongs to this piece of its file, by the rule of the opener.
pub(crate) fn in_piece(piece: &PartitionedFile, group: &RowGroupMetaData) -> bool {
    let range = piece.range.as_ref();
    range.is_none_or(|range| range.contains(first_byte(group)))
}

/// Row groups of this piece of its file, with their positions in the file.
pub(crate) fn groups_in<'a>(
    piece: &'a PartitionedFile,
    metadata: &'a ParquetMetaData,
) -> impl Iterator<Item = (usize, &'a RowGroupMetaData)> {
    let groups = metadata.row_groups().iter().enumerate();
    groups.filter(move |(_, group)| in_piece(piece, group))
}

/// Where a footer says that something lies.
pub(crate) fn place(offset: Option<i64>, length: Option<i32>) -> Option<Range<u64>> {
    let start = u64::try_from(offset?).ok()?;
    Some(start..start.checked_add(u64::try_from(length?).ok()?)?)
}

/// Column index and offset index of a chunk.
pub(crate) fn index_places(chunk: &ColumnChunkMetaData) -> [Option<Range<u64>>; 2] {
    [
        place(chunk.column_index_offset(), chunk.column_index_length()),
        place(chunk.offset_index_offset(), chunk.offset_index_length()),
    ]
}

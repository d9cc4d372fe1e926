//! Where a Parquet file keeps what: the leaf columns of a table column, row groups of a piece, byte ranges of
//! column chunks. Which of them a scan needs is not decided here.

use std::collections::HashSet;
use std::ops::Range;

use datafusion::datasource::listing::PartitionedFile;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};

use crate::parquet_scan::schema::meant;

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

/// Leaf columns of a file that the table columns called `names` are read from, ascending.
pub(crate) fn leaves_of<'a>(
    metadata: &ParquetMetaData,
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<usize> {
    let schema = metadata.file_metadata().schema_descr();
    let roots = schema.root_schema().get_fields();
    // A name that could mean several is refused before anything is read by it.
    let wanted: HashSet<usize> = names
        .into_iter()
        .filter_map(|name| meant(roots.iter().map(|root| root.name()), name).ok().flatten())
        .collect();
    (0..schema.num_columns())
        .filter(|leaf| wanted.contains(&schema.get_column_root_idx(*leaf)))
        .collect()
}

/// Which row group a range of bytes belongs to: the chunks of a file, in the order of their bytes.
#[derive(Debug)]
pub(crate) struct ChunkMap {
    /// First byte, end, and row group of each.
    chunks: Vec<(u64, u64, usize)>,
    /// The furthest end among each chunk and those before it.
    reach: Vec<u64>,
}

impl ChunkMap {
    pub(crate) fn of(metadata: &ParquetMetaData) -> Self {
        let groups = metadata.row_groups().iter().enumerate();
        let mut chunks: Vec<(u64, u64, usize)> = groups
            .flat_map(|(index, group)| {
                group.columns().iter().map(move |chunk| {
                    let Range { start, end } = chunk_range(chunk);
                    (start, end, index)
                })
            })
            .collect();
        chunks.sort_unstable();
        Self::sorted(chunks)
    }

    fn sorted(chunks: Vec<(u64, u64, usize)>) -> Self {
        let reach = chunks.iter().scan(0_u64, |furthest, (_, end, _)| {
            *furthest = (*furthest).max(*end);
            Some(*furthest)
        });
        let reach = reach.collect();
        Self { chunks, reach }
    }

    /// The row group with a chunk that holds all of `range`.
    pub(crate) fn row_group_of(&self, range: &Range<u64>) -> Option<usize> {
        let mut next = self.chunks.partition_point(|(start, ..)| *start <= range.start);
        while next > 0 && self.reach[next - 1] >= range.end {
            next -= 1;
            let (_, end, group) = self.chunks[next];
            if range.end <= end {
                return Some(group);
            }
        }
        None
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn map(chunks: &[(u64, u64, usize)]) -> ChunkMap {
        let mut chunks = chunks.to_vec();
        chunks.sort_unstable();
        ChunkMap::sorted(chunks)
    }

    #[test]
    fn a_range_belongs_to_the_row_group_whose_chunk_holds_it() {
        let map = map(&[(4, 10, 0), (10, 30, 1), (40, 50, 2)]);
        assert_eq!(map.row_group_of(&(4..10)), Some(0));
        assert_eq!(map.row_group_of(&(10..11)), Some(1));
        assert_eq!(map.row_group_of(&(29..30)), Some(1));
        assert_eq!(map.row_group_of(&(40..50)), Some(2));
        for outside in [0..4, 2..6, 8..12, 29..31, 30..40, 45..51, 60..70] {
            assert_eq!(map.row_group_of(&outside), None, "{outside:?}");
        }
    }

    #[test]
    fn chunks_may_lie_within_others() {
        let map = map(&[(0, 100, 0), (10, 20, 1), (30, 40, 2)]);
        assert_eq!(map.row_group_of(&(12..18)), Some(1));
        assert_eq!(map.row_group_of(&(32..60)), Some(0));
        assert_eq!(map.row_group_of(&(90..100)), Some(0));
        assert_eq!(map.row_group_of(&(90..101)), None);
    }
}

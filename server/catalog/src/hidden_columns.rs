//! Columns that every table has and none shows: where a row's file lies, how large it is, when it was written.
//!
//! Athena's and Trino's names; they are written in double quotes and left out of `SELECT *` and `DESCRIBE`.

/// URI of the file, `varchar`.
pub const PATH: &str = "$path";
/// Size of the file in bytes, `bigint`.
pub const FILE_SIZE: &str = "$file_size";
/// When the file was written, `timestamp(3) with time zone`.
pub const FILE_MODIFIED_TIME: &str = "$file_modified_time";

/// All of them, in the order in which they follow a table's own columns.
pub const HIDDEN_COLUMNS: [&str; 3] = [PATH, FILE_SIZE, FILE_MODIFIED_TIME];

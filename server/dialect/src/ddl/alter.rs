//! ALTER TABLE ... ADD and DROP PARTITION; every other ALTER TABLE is refused by name.

use super::cursor::Cursor;
use super::lexer::Kind;
use crate::DialectError;
use crate::statement::Command;

/// What else may follow the table's name, and what it is called in the refusal.
const REFUSED: &[(&[&str], &str)] = &[
    (&["ADD", "COLUMNS"], "ADD COLUMNS"),
    (&["ADD", "COLUMN"], "ADD COLUMN"),
    (&["REPLACE", "COLUMNS"], "REPLACE COLUMNS"),
    (&["CHANGE"], "CHANGE COLUMN"),
    (&["DROP", "COLUMN"], "DROP COLUMN"),
    (&["SET", "TBLPROPERTIES"], "SET TBLPROPERTIES"),
    (&["UNSET", "TBLPROPERTIES"], "UNSET TBLPROPERTIES"),
    (&["SET", "LOCATION"], "SET LOCATION"),
    (&["SET", "SERDEPROPERTIES"], "SET SERDEPROPERTIES"),
    (&["SET", "SERDE"], "SET SERDE"),
    (&["SET", "FILEFORMAT"], "SET FILEFORMAT"),
    (&["SET", "SKEWED"], "SET SKEWED LOCATION"),
    (&["RENAME"], "RENAME"),
    (&["ARCHIVE"], "ARCHIVE PARTITION"),
    (&["UNARCHIVE"], "UNARCHIVE PARTITION"),
    (&["EXCHANGE"], "EXCHANGE PARTITION"),
    (&["RECOVER"], "RECOVER PARTITIONS"),
    (&["TOUCH"], "TOUCH"),
    (&["COMPACT"], "COMPACT"),
    (&["CONCATENATE"], "CONCATENATE"),
    (&["CLUSTERED"], "CLUSTERED BY"),
    (&["NOT", "CLUSTERED"], "NOT CLUSTERED"),
    (&["SKEWED"], "SKEWED BY"),
    (&["NOT", "SKEWED"], "NOT SKEWED"),
    (&["EXECUTE"], "EXECUTE"),
];

pub(super) fn alter(cursor: &mut Cursor) -> Result<Command, DialectError> {
    cursor.expect(&["ALTER", "TABLE"])?;
    let table = cursor.table_name()?;
    let place = cursor.location();
    if cursor.at_words(&["PARTITION"]) {
        cursor.partition_spec()?;
        return Err(
            DialectError::not_supported("ALTER TABLE ... PARTITION is not supported", place)
                .with_hint("Drop the partition and add it again."),
        );
    }
    if let Some((_, name)) = REFUSED.iter().find(|(words, _)| cursor.at_words(words)) {
        return Err(DialectError::not_supported(
            format!("ALTER TABLE ... {name} is not supported"),
            place,
        ));
    }
    if cursor.accept(&["ADD"]) {
        let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
        let mut partitions = Vec::new();
        loop {
            let mut spec = cursor.partition_spec()?;
            if cursor.accept(&["LOCATION"]) {
                spec.location = Some(cursor.literal("a location in quotes")?);
            }
            partitions.push(spec);
            // Hive separates them by space; a comma is a common habit and changes nothing.
            if !cursor.accept_symbol(',') && !cursor.at_words(&["PARTITION"]) {
                return Ok(Command::AddPartitions {
                    table,
                    if_not_exists,
                    partitions,
                });
            }
        }
    }
    if cursor.accept(&["DROP"]) {
        let if_exists = cursor.accept(&["IF", "EXISTS"]);
        let mut partitions = Vec::new();
        loop {
            partitions.push(cursor.partition_spec()?);
            if matches!(cursor.peek(), Kind::Word(word) if word.eq_ignore_ascii_case("PARTITION")) {
                return Err(cursor
                    .unexpected("','")
                    .with_hint("DROP separates partitions by commas."));
            }
            if !cursor.accept_symbol(',') {
                // External tables only: there is no trash to skip.
                cursor.accept(&["PURGE"]);
                return Ok(Command::DropPartitions {
                    table,
                    if_exists,
                    partitions,
                });
            }
        }
    }
    Err(cursor.unexpected("ADD PARTITION or DROP PARTITION"))
}

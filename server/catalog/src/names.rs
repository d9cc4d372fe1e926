//! Rules for names of databases, tables and columns. Names inside a Hive type text are `hive_type`'s.
//!
//! Glue lower-cases names; we also refuse what could not be a path segment (athena-spec 5.1).

use std::collections::HashSet;

use crate::error::CatalogError;
use crate::model::{Partition, Table};

/// Database names that belong to the server and exist in every catalog (interfaces.md "Catalog words").
pub const RESERVED_DATABASES: [&str; 2] = ["system", "information_schema"];

/// The database that a new catalog starts with.
pub const DEFAULT_DATABASE: &str = "default";

/// Longest name, in characters (Glue).
pub const MAX_NAME_CHARS: usize = 255;

/// What a name names; decides which rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameOf {
    /// A database: [`RESERVED_DATABASES`] are refused too.
    Database,
    /// A table or view.
    Table,
    /// A data column or partition key.
    Column,
}

impl NameOf {
    /// The word in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Table => "table",
            Self::Column => "column",
        }
    }
}

/// Lower-cases `name` and checks it; `InvalidName` says which rule it breaks.
///
/// The result is a fixed point: normalizing it again gives it back.
pub fn normalize(what: NameOf, name: &str) -> Result<String, CatalogError> {
    let lower = name.to_lowercase();
    match fault_in(what, &lower) {
        None => Ok(lower),
        Some(reason) => {
            // A hostile name must not make a hostile message.
            let shown: String = lower
                .chars()
                .filter(|c| !c.is_control())
                .take(MAX_NAME_CHARS)
                .collect();
            Err(CatalogError::InvalidName {
                what: what.as_str(),
                name: shown,
                reason,
            })
        }
    }
}

/// Whether `name`, in any letter case, is one of [`RESERVED_DATABASES`].
pub fn is_reserved_database(name: &str) -> bool {
    RESERVED_DATABASES
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// Lower-cases and checks every name of a definition; `InvalidTable` when a column is there twice
/// (a partition column may not repeat a data column).
pub(crate) fn normalize_table(table: &mut Table) -> Result<(), CatalogError> {
    table.database_name = normalize(NameOf::Database, &table.database_name)?;
    table.name = normalize(NameOf::Table, &table.name)?;
    let mut seen = HashSet::new();
    let mut repeated = None;
    for column in table
        .storage_descriptor
        .columns
        .iter_mut()
        .chain(&mut table.partition_keys)
    {
        column.name = normalize(NameOf::Column, &column.name)?;
        if !seen.insert(column.name.as_str()) {
            repeated = Some(column.name.clone());
        }
    }
    if let Some(column) = repeated {
        let reason = format!("has the column `{column}` twice");
        return Err(CatalogError::InvalidTable {
            table: table.qualified_name(),
            reason,
        });
    }
    lower_case(&mut table.storage_descriptor.bucket_columns);
    Ok(())
}

/// Lower-cases the names in a partition's own schema. They select from the table's, which were checked.
pub(crate) fn normalize_partition(partition: &mut Partition) {
    for column in &mut partition.storage_descriptor.columns {
        column.name = column.name.to_lowercase();
    }
    lower_case(&mut partition.storage_descriptor.bucket_columns);
}

fn lower_case(names: &mut [String]) {
    for name in names {
        *name = name.to_lowercase();
    }
}

fn fault_in(what: NameOf, name: &str) -> Option<&'static str> {
    if name.trim().is_empty() {
        Some("it is empty")
    } else if name.chars().count() > MAX_NAME_CHARS {
        Some("it is longer than 255 characters")
    } else if name.chars().any(char::is_control) {
        Some("it has control characters")
    } else if name.contains(['/', '\\']) {
        Some("it has a slash or backslash")
    } else if matches!(name, "." | "..") {
        Some("it is a path")
    } else if what == NameOf::Database && is_reserved_database(name) {
        Some("it is reserved")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reason(what: NameOf, name: &str) -> &'static str {
        match normalize(what, name) {
            Err(CatalogError::InvalidName { reason, .. }) => reason,
            other => panic!("{name:?}: {other:?}"),
        }
    }

    #[test]
    fn names_are_lower_cased() {
        assert_eq!(normalize(NameOf::Table, "Größe_2").unwrap(), "größe_2");
        assert_eq!(normalize(NameOf::Column, "Order Id").unwrap(), "order id");
    }

    #[test]
    fn what_cannot_be_a_path_segment_is_refused() {
        for what in [NameOf::Database, NameOf::Table, NameOf::Column] {
            for bad in ["", "  ", "a/b", "a\\b", "..", ".", "a\nb", "a\0b", "a\u{85}b"] {
                assert!(normalize(what, bad).is_err(), "{what:?} {bad:?}");
            }
        }
    }

    #[test]
    fn length_is_counted_in_characters_after_lower_casing() {
        assert!(normalize(NameOf::Table, &"é".repeat(255)).is_ok());
        assert_eq!(
            reason(NameOf::Table, &"é".repeat(256)),
            "it is longer than 255 characters"
        );
        // One character that becomes two.
        assert!(normalize(NameOf::Table, &"İ".repeat(128)).is_err());
    }

    #[test]
    fn reserved_words_are_refused_for_databases_only() {
        assert_eq!(reason(NameOf::Database, "System"), "it is reserved");
        assert_eq!(reason(NameOf::Database, "INFORMATION_SCHEMA"), "it is reserved");
        assert!(normalize(NameOf::Table, "system").is_ok());
    }

    #[test]
    fn a_refusal_never_repeats_control_characters() {
        let error = normalize(NameOf::Table, "a\u{1b}[2Jb").unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
    }

    proptest! {
        #[test]
        fn normalizing_twice_changes_nothing(name in "\\PC{1,40}") {
            if let Ok(once) = normalize(NameOf::Table, &name) {
                prop_assert_eq!(normalize(NameOf::Table, &once).unwrap(), once);
            }
        }
    }
}

//! Statements over catalogs of other databases: plain data. Which connectors and properties exist is not known here.

use std::fmt;

use crate::statement::StatementClass;

/// A statement over a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogCommand {
    /// `CREATE CATALOG [IF NOT EXISTS] c USING connector [WITH (k = 'v', ...)]`: Trino's.
    Create {
        /// No error when it exists.
        if_not_exists: bool,
        /// Its name, lower case.
        name: String,
        /// What kind of database, lower case.
        connector: String,
        /// What the connector is told.
        properties: CatalogProperties,
    },
    /// `DROP CATALOG [IF EXISTS] c`
    Drop {
        /// No error when it is missing.
        if_exists: bool,
        /// Which.
        name: String,
    },
    /// `SHOW CREATE CATALOG c`
    ShowCreate {
        /// Which.
        name: String,
    },
}

impl CatalogCommand {
    /// The class that is reported for it.
    pub fn class(&self) -> StatementClass {
        match self {
            Self::ShowCreate { .. } => StatementClass::Utility,
            _ => StatementClass::Ddl,
        }
    }
}

/// Names in lower case and values, in the order written, each name there once. Values may be secrets: `Debug` shows
/// the names.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CatalogProperties(pub Vec<(String, String)>);

impl fmt::Debug for CatalogProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

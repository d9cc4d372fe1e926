//! Statements that Athena, Hive or Trino have and this server does not: one table, one sentence each.

use super::cursor::Cursor;
use super::lexer::Kind;
use crate::DialectError;

/// Leading words, the name in the message, and what to do instead.
///
/// The first row that fits wins, so longer heads stand before shorter ones.
const REFUSED: &[(&[&str], &str, Option<&str>)] = &[
    (&["INSERT"], "INSERT", Some(WRITE_HINT)),
    (&["UNLOAD"], "UNLOAD", Some(WRITE_HINT)),
    (&["COPY"], "COPY", Some(WRITE_HINT)),
    (&["UPDATE"], "UPDATE", None),
    (&["DELETE"], "DELETE", None),
    (&["MERGE"], "MERGE", None),
    (&["TRUNCATE"], "TRUNCATE", None),
    (&["LOAD"], "LOAD DATA", None),
    (&["EXPORT"], "EXPORT", None),
    (&["IMPORT"], "IMPORT", None),
    (&["OPTIMIZE"], "OPTIMIZE", None),
    (&["VACUUM"], "VACUUM", None),
    (&["ANALYZE"], "ANALYZE", None),
    (&["REFRESH", "MATERIALIZED"], "REFRESH MATERIALIZED VIEW", None),
    (
        &["MSCK", "REPAIR"],
        "MSCK REPAIR TABLE",
        Some("Use ALTER TABLE ... ADD PARTITION, or partition projection."),
    ),
    (&["MSCK"], "MSCK TABLE", None),
    (&["CHECK"], "CHECK PARTITIONS", None),
    (&["PREPARE"], "PREPARE", Some(PREPARE_HINT)),
    (&["EXECUTE"], "EXECUTE", Some(PREPARE_HINT)),
    (&["DEALLOCATE"], "DEALLOCATE", Some(PREPARE_HINT)),
    (&["GRANT"], "GRANT", None),
    (&["REVOKE"], "REVOKE", None),
    (&["DENY"], "DENY", None),
    (&["START", "TRANSACTION"], "START TRANSACTION", None),
    (&["BEGIN"], "BEGIN", None),
    (&["COMMIT"], "COMMIT", None),
    (&["ROLLBACK"], "ROLLBACK", None),
    (&["LOCK"], "LOCK TABLE", None),
    (&["UNLOCK"], "UNLOCK TABLE", None),
    (&["CALL"], "CALL", None),
    (&["COMMENT", "ON"], "COMMENT ON", None),
    (&["KILL"], "KILL", None),
    (&["CREATE", "OR", "REPLACE", "VIEW"], "CREATE VIEW", None),
    (
        &["CREATE", "OR", "REPLACE", "PROTECTED"],
        "CREATE PROTECTED MULTI DIALECT VIEW",
        None,
    ),
    (
        &["CREATE", "OR", "REPLACE"],
        "CREATE OR REPLACE",
        Some("Drop it first, then create it."),
    ),
    (&["CREATE", "VIEW"], "CREATE VIEW", None),
    (&["CREATE", "MATERIALIZED"], "CREATE MATERIALIZED VIEW", None),
    (
        &["CREATE", "PROTECTED"],
        "CREATE PROTECTED MULTI DIALECT VIEW",
        None,
    ),
    (&["CREATE", "TEMPORARY"], "CREATE TEMPORARY", None),
    (&["CREATE", "FUNCTION"], "CREATE FUNCTION", None),
    (&["CREATE", "ROLE"], "CREATE ROLE", None),
    (&["CREATE", "INDEX"], "CREATE INDEX", None),
    (&["DROP", "VIEW"], "DROP VIEW", None),
    (&["DROP", "MATERIALIZED"], "DROP MATERIALIZED VIEW", None),
    (&["DROP", "FUNCTION"], "DROP FUNCTION", None),
    (&["DROP", "ROLE"], "DROP ROLE", None),
    (&["DROP", "INDEX"], "DROP INDEX", None),
    (&["ALTER", "DATABASE"], "ALTER DATABASE", None),
    (&["ALTER", "SCHEMA"], "ALTER SCHEMA", None),
    (&["ALTER", "VIEW"], "ALTER VIEW", None),
    (&["ALTER", "MATERIALIZED"], "ALTER MATERIALIZED VIEW", None),
    (
        &["ALTER", "QUOTA"],
        "ALTER QUOTA",
        Some("Drop it and create it again."),
    ),
    (&["SHOW", "CREATE", "VIEW"], "SHOW CREATE VIEW", None),
    (&["SHOW", "CREATE", "DATABASE"], "SHOW CREATE DATABASE", None),
    (&["SHOW", "CREATE", "SCHEMA"], "SHOW CREATE SCHEMA", None),
    (&["SHOW", "VIEWS"], "SHOW VIEWS", None),
    (&["SHOW", "STATS"], "SHOW STATS", None),
    (&["SHOW", "GRANTS"], "SHOW GRANTS", None),
    (&["SHOW", "GRANT"], "SHOW GRANT", None),
    (&["SHOW", "ROLES"], "SHOW ROLES", None),
    (&["SHOW", "ROLE"], "SHOW ROLE GRANTS", None),
    (&["SHOW", "CURRENT"], "SHOW CURRENT ROLES", None),
    (&["SHOW", "INDEX"], "SHOW INDEX", None),
    (&["SHOW", "INDEXES"], "SHOW INDEXES", None),
    (&["SHOW", "LOCKS"], "SHOW LOCKS", None),
    (&["SHOW", "COMPACTIONS"], "SHOW COMPACTIONS", None),
    (&["SHOW", "TRANSACTIONS"], "SHOW TRANSACTIONS", None),
    (&["DESCRIBE", "INPUT"], "DESCRIBE INPUT", None),
    (&["DESCRIBE", "OUTPUT"], "DESCRIBE OUTPUT", None),
    (&["DESCRIBE", "DATABASE"], "DESCRIBE DATABASE", None),
    (&["DESCRIBE", "SCHEMA"], "DESCRIBE SCHEMA", None),
    (&["DESCRIBE", "FUNCTION"], "DESCRIBE FUNCTION", None),
    (&["SET", "ROLE"], "SET ROLE", None),
    (&["SET", "TIME", "ZONE"], "SET TIME ZONE", None),
    (&["SET", "PATH"], "SET PATH", None),
];

const WRITE_HINT: &str = "This server reads the lake; write files with another tool and register partitions.";
const PREPARE_HINT: &str =
    "Prepare through the client's own call (ADBC, JDBC, Flight SQL): `?` placeholders are bound by position.";

/// The refusal of the statement at `cursor`, when the table has one.
pub(super) fn statement(cursor: &mut Cursor) -> Option<DialectError> {
    let (words, name, hint) = REFUSED.iter().find(|(words, ..)| cursor.at_words(words))?;
    // `describe input` is also how a table of that name is described: a refusal needs more text after it.
    let next = cursor.peek_at(words.len());
    if words[0] == "DESCRIBE" && matches!(next, Kind::End | Kind::Symbol(_)) {
        return None;
    }
    if words[0] == "SET" && matches!(next, Kind::Symbol('=' | '.')) {
        return None;
    }
    let error = DialectError::not_supported(format!("{name} is not supported"), cursor.location());
    Some(match hint {
        Some(hint) => error.with_hint(*hint),
        None => error,
    })
}

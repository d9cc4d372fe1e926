//! The answer to `CommandGetSqlInfo`: every value of the protocol's `SqlInfo` enumeration, so that drivers
//! which read missing values as errors (older JDBC) work.
//!
//! What depends on the deployment comes in as [`SqlInfoFacts`]; the rest are facts of the dialect and server.

use std::collections::BTreeMap;

use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries,
    SqlSupportedTransaction, SqlSupportedUnions, SqlSupportsConvert, SqlTransactionIsolationLevel,
    SupportedSqlGrammar,
};

/// Longest database, table or column name the Glue model accepts, in characters.
const MAX_NAME_LENGTH: i64 = 255;

/// Protocol's "no limit, or not known".
const NO_LIMIT: i64 = 0;

/// What the dialect and the configuration contribute to the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct SqlInfoFacts {
    /// Version of this server.
    pub(crate) server_version: String,
    /// Reserved words beyond those of SQL:2003, upper case.
    pub(crate) keywords: Vec<String>,
    /// Names of mathematical functions.
    pub(crate) numeric_functions: Vec<String>,
    /// Names of string functions.
    pub(crate) string_functions: Vec<String>,
    /// Names of functions about session and server.
    pub(crate) system_functions: Vec<String>,
    /// Names of date and time functions.
    pub(crate) datetime_functions: Vec<String>,
    /// Life of an unused prepared statement, milliseconds; 0 for no limit.
    pub(crate) statement_timeout_ms: i32,
    /// Longest SQL text, bytes.
    pub(crate) max_statement_bytes: i64,
    /// Most prepared statements of one session.
    pub(crate) max_statements: i64,
    /// Most connections; 0 for no limit.
    pub(crate) max_connections: i64,
}

/// Builds the table that every `GetSqlInfo` call filters.
///
/// Errors: only when Arrow refuses the arrays, which a test rules out.
pub(crate) fn sql_info(facts: &SqlInfoFacts) -> Result<SqlInfoData, FlightError> {
    let mut infos = SqlInfoDataBuilder::new();
    server(&mut infos, facts);
    naming(&mut infos, facts);
    grammar(&mut infos);
    limits(&mut infos, facts);
    transactions(&mut infos);
    results(&mut infos);
    infos.build()
}

fn server(infos: &mut SqlInfoDataBuilder, facts: &SqlInfoFacts) {
    infos.append(SqlInfo::FlightSqlServerName, "Owlake");
    infos.append(SqlInfo::FlightSqlServerVersion, facts.server_version.as_str());
    infos.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    // Table data cannot be changed; definitions can (SqlDdlTable).
    infos.append(SqlInfo::FlightSqlServerReadOnly, true);
    infos.append(SqlInfo::FlightSqlServerSql, true);
    infos.append(SqlInfo::FlightSqlServerSubstrait, false);
    infos.append(SqlInfo::FlightSqlServerSubstraitMinVersion, "");
    infos.append(SqlInfo::FlightSqlServerSubstraitMaxVersion, "");
    // Begin and End do nothing on a server that only reads; without them ADBC's Python driver warns at
    // every connect that autocommit cannot be disabled.
    infos.append(
        SqlInfo::FlightSqlServerTransaction,
        SqlSupportedTransaction::Transaction as i32,
    );
    infos.append(SqlInfo::FlightSqlServerCancel, true);
    infos.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    infos.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    infos.append(
        SqlInfo::FlightSqlServerStatementTimeout,
        facts.statement_timeout_ms,
    );
    infos.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
}

fn naming(infos: &mut SqlInfoDataBuilder, facts: &SqlInfoFacts) {
    infos.append(SqlInfo::SqlDdlCatalog, false);
    infos.append(SqlInfo::SqlDdlSchema, true);
    infos.append(SqlInfo::SqlDdlTable, true);
    // Glue keeps lower-case names; quotes do not change that.
    let lower = SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32;
    infos.append(SqlInfo::SqlIdentifierCase, lower);
    infos.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    infos.append(SqlInfo::SqlQuotedIdentifierCase, lower);
    infos.append(SqlInfo::SqlAllTablesAreSelectable, true);
    infos.append(
        SqlInfo::SqlNullOrdering,
        SqlNullOrdering::SqlNullsSortedAtEnd as i32,
    );
    infos.append(SqlInfo::SqlKeywords, facts.keywords.clone());
    infos.append(SqlInfo::SqlNumericFunctions, facts.numeric_functions.clone());
    infos.append(SqlInfo::SqlStringFunctions, facts.string_functions.clone());
    infos.append(SqlInfo::SqlSystemFunctions, facts.system_functions.clone());
    infos.append(SqlInfo::SqlDatetimeFunctions, facts.datetime_functions.clone());
    infos.append(SqlInfo::SqlSearchStringEscape, "\\");
    infos.append(SqlInfo::SqlExtraNameCharacters, "");
    infos.append(SqlInfo::SqlSchemaTerm, "database");
    infos.append(SqlInfo::SqlProcedureTerm, "procedure");
    infos.append(SqlInfo::SqlCatalogTerm, "catalog");
    infos.append(SqlInfo::SqlCatalogAtStart, true);
}

fn grammar(infos: &mut SqlInfoDataBuilder) {
    infos.append(SqlInfo::SqlSupportsColumnAliasing, true);
    infos.append(SqlInfo::SqlNullPlusNullIsNull, true);
    infos.append(SqlInfo::SqlSupportsConvert, conversions());
    infos.append(SqlInfo::SqlSupportsTableCorrelationNames, true);
    infos.append(SqlInfo::SqlSupportsDifferentTableCorrelationNames, false);
    infos.append(SqlInfo::SqlSupportsExpressionsInOrderBy, true);
    infos.append(SqlInfo::SqlSupportsOrderByUnrelated, true);
    let group_by = [
        SqlSupportedGroupBy::SqlGroupByUnrelated,
        SqlSupportedGroupBy::SqlGroupByBeyondSelect,
    ];
    infos.append(SqlInfo::SqlSupportedGroupBy, mask(group_by.map(|v| v as i32)));
    infos.append(SqlInfo::SqlSupportsLikeEscapeClause, true);
    infos.append(SqlInfo::SqlSupportsNonNullableColumns, false);
    let grammar = [
        SupportedSqlGrammar::SqlMinimumGrammar,
        SupportedSqlGrammar::SqlCoreGrammar,
    ];
    infos.append(SqlInfo::SqlSupportedGrammar, mask(grammar.map(|v| v as i32)));
    // ANSI92_ENTRY_SQL is ordinal 0; arrow-flight does not export the enumeration.
    infos.append(SqlInfo::SqlAnsi92SupportedLevel, mask([0]));
    infos.append(SqlInfo::SqlSupportsIntegrityEnhancementFacility, false);
    infos.append(
        SqlInfo::SqlOuterJoinsSupportLevel,
        SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32,
    );
    // Bit masks of SqlSupportedElementActions: no procedures, indexes or privileges to name a schema in.
    infos.append(SqlInfo::SqlSchemasSupportedActions, 0_i32);
    infos.append(SqlInfo::SqlCatalogsSupportedActions, 0_i32);
    infos.append(SqlInfo::SqlSupportedPositionedCommands, 0_i32);
    infos.append(SqlInfo::SqlSelectForUpdateSupported, false);
    infos.append(SqlInfo::SqlStoredProceduresSupported, false);
    let subqueries = [
        SqlSupportedSubqueries::SqlSubqueriesInComparisons,
        SqlSupportedSubqueries::SqlSubqueriesInExists,
        SqlSupportedSubqueries::SqlSubqueriesInIns,
    ];
    infos.append(
        SqlInfo::SqlSupportedSubqueries,
        mask(subqueries.map(|v| v as i32)),
    );
    infos.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    let unions = [SqlSupportedUnions::SqlUnion, SqlSupportedUnions::SqlUnionAll];
    infos.append(SqlInfo::SqlSupportedUnions, mask(unions.map(|v| v as i32)));
}

fn limits(infos: &mut SqlInfoDataBuilder, facts: &SqlInfoFacts) {
    let unlimited = [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ];
    for info in unlimited {
        infos.append(info, NO_LIMIT);
    }
    let names = [
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlDbSchemaNameLength,
        SqlInfo::SqlMaxCatalogNameLength,
        SqlInfo::SqlMaxTableNameLength,
    ];
    for info in names {
        infos.append(info, MAX_NAME_LENGTH);
    }
    infos.append(SqlInfo::SqlMaxConnections, facts.max_connections);
    infos.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
    infos.append(SqlInfo::SqlMaxStatementLength, facts.max_statement_bytes);
    infos.append(SqlInfo::SqlMaxStatements, facts.max_statements);
}

fn transactions(infos: &mut SqlInfoDataBuilder) {
    let none = SqlTransactionIsolationLevel::SqlTransactionNone as i32;
    // Drivers read the default as int64 although the protocol's text says int32 (Arrow's Java producer).
    infos.append(SqlInfo::SqlDefaultTransactionIsolation, i64::from(none));
    infos.append(SqlInfo::SqlTransactionsSupported, false);
    infos.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, mask([none]));
    infos.append(SqlInfo::SqlDataDefinitionCausesTransactionCommit, false);
    infos.append(SqlInfo::SqlDataDefinitionsInTransactionsIgnored, false);
    infos.append(SqlInfo::SqlSavepointsSupported, false);
}

fn results(infos: &mut SqlInfoDataBuilder) {
    let forward_only = SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32;
    let read_only = SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32;
    infos.append(SqlInfo::SqlSupportedResultSetTypes, mask([forward_only]));
    infos.append(SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified, 0_i32);
    infos.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly,
        mask([read_only]),
    );
    infos.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive,
        0_i32,
    );
    infos.append(
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive,
        0_i32,
    );
    infos.append(SqlInfo::SqlBatchUpdatesSupported, false);
    infos.append(SqlInfo::SqlNamedParametersSupported, false);
    infos.append(SqlInfo::SqlLocatorsUpdateCopy, false);
    infos.append(SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

/// A mask with one bit per ordinal, the protocol's way to list enumeration values.
fn mask(ordinals: impl IntoIterator<Item = i32>) -> i32 {
    ordinals
        .into_iter()
        .fold(0, |bits, ordinal| bits | (1 << ordinal))
}

/// Which types `CAST` takes to which, after Trino's table of casts.
fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as To;
    let numbers = [
        To::SqlConvertBigint,
        To::SqlConvertDecimal,
        To::SqlConvertFloat,
        To::SqlConvertInteger,
        To::SqlConvertNumeric,
        To::SqlConvertReal,
        To::SqlConvertSmallint,
        To::SqlConvertTinyint,
    ];
    let texts = [
        To::SqlConvertChar,
        To::SqlConvertLongvarchar,
        To::SqlConvertVarchar,
    ];
    let binaries = [
        To::SqlConvertBinary,
        To::SqlConvertLongvarbinary,
        To::SqlConvertVarbinary,
    ];
    let times = [To::SqlConvertDate, To::SqlConvertTime, To::SqlConvertTimestamp];
    let targets = |groups: &[&[To]]| {
        let mut list: Vec<i32> = groups.concat().into_iter().map(|to| to as i32).collect();
        list.sort_unstable();
        list
    };
    let bit = [To::SqlConvertBit];
    let mut casts = BTreeMap::new();
    for from in numbers.iter().chain(&bit) {
        casts.insert(*from as i32, targets(&[&numbers, &texts, &bit]));
    }
    for from in &texts {
        casts.insert(
            *from as i32,
            targets(&[&numbers, &texts, &binaries, &times, &bit]),
        );
    }
    for from in &binaries {
        casts.insert(*from as i32, targets(&[&binaries]));
    }
    casts.insert(
        To::SqlConvertDate as i32,
        targets(&[&texts, &[To::SqlConvertDate, To::SqlConvertTimestamp]]),
    );
    casts.insert(
        To::SqlConvertTime as i32,
        targets(&[&texts, &[To::SqlConvertTime]]),
    );
    casts.insert(To::SqlConvertTimestamp as i32, targets(&[&texts, &times]));
    for interval in [To::SqlConvertIntervalDayTime, To::SqlConvertIntervalYearMonth] {
        casts.insert(interval as i32, targets(&[&texts, &[interval]]));
    }
    casts
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, UnionArray};
    use arrow::datatypes::{Int32Type, Int64Type, UInt32Type};

    use super::*;

    fn all() -> arrow::record_batch::RecordBatch {
        let facts = SqlInfoFacts {
            server_version: "1.2.3".to_owned(),
            keywords: vec!["UNLOAD".to_owned()],
            max_statement_bytes: 262_144,
            ..SqlInfoFacts::default()
        };
        sql_info(&facts).unwrap().record_batch([]).unwrap()
    }

    fn value(info: SqlInfo) -> (i8, arrow::array::ArrayRef) {
        let batch = all();
        let names = batch.column(0).as_primitive::<UInt32Type>();
        let row = names.values().iter().position(|v| *v == info as u32).unwrap();
        let union = batch.column(1).as_any().downcast_ref::<UnionArray>().unwrap();
        (union.type_id(row), union.value(row))
    }

    #[test]
    fn every_value_of_the_protocol_is_answered() {
        let batch = all();
        let answered = batch.column(0).as_primitive::<UInt32Type>().values().to_vec();
        let missing: Vec<_> = (0..=1000)
            .filter_map(|n| SqlInfo::try_from(n).ok())
            .filter(|info| !answered.contains(&(*info as u32)))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(answered.len() >= 80, "{}", answered.len());
    }

    #[test]
    fn values_sit_in_the_union_member_that_drivers_read() {
        assert_eq!(
            value(SqlInfo::FlightSqlServerVersion)
                .1
                .as_string::<i32>()
                .value(0),
            "1.2.3"
        );
        assert!(value(SqlInfo::FlightSqlServerReadOnly).1.as_boolean().value(0));
        let (member, limit) = value(SqlInfo::SqlMaxStatementLength);
        assert_eq!((member, limit.as_primitive::<Int64Type>().value(0)), (2, 262_144));
        let (member, transaction) = value(SqlInfo::FlightSqlServerTransaction);
        assert_eq!((member, transaction.as_primitive::<Int32Type>().value(0)), (3, 1));
        assert_eq!(value(SqlInfo::SqlDefaultTransactionIsolation).0, 2);
        assert_eq!(value(SqlInfo::SqlKeywords).0, 4);
        assert_eq!(value(SqlInfo::SqlSupportsConvert).0, 5);
    }

    #[test]
    fn masks_have_one_bit_per_ordinal() {
        assert_eq!(
            value(SqlInfo::SqlSupportedGroupBy)
                .1
                .as_primitive::<Int32Type>()
                .value(0),
            0b11
        );
        assert_eq!(
            value(SqlInfo::SqlSupportedSubqueries)
                .1
                .as_primitive::<Int32Type>()
                .value(0),
            0b111
        );
    }

    #[test]
    fn asking_for_two_values_gives_two_rows() {
        let data = sql_info(&SqlInfoFacts::default()).unwrap();
        assert_eq!(data.record_batch([0, 8]).unwrap().num_rows(), 2);
        assert_eq!(data.schema().field(0).name(), "info_name");
    }
}

//! The answer to `CommandGetXdbcTypeInfo`: the SQL types as ODBC and JDBC describe them.
//!
//! Power BI loads no table from a server that leaves this out.

use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};

/// Longest value of a text or binary type, in characters or bytes.
const UNBOUNDED: i32 = i32::MAX;

/// Builds the table of types that every `GetXdbcTypeInfo` call filters.
///
/// Errors: only when Arrow refuses the arrays, which a test rules out.
pub(crate) fn xdbc_type_info() -> Result<XdbcTypeInfoData, FlightError> {
    let mut infos = XdbcTypeInfoDataBuilder::new();
    for info in numbers()
        .into_iter()
        .chain(texts())
        .chain(times())
        .chain(others())
    {
        infos.append(info);
    }
    infos.build()
}

/// A type without parameters or literal form that can be used in every comparison.
fn plain(name: &str, data_type: XdbcDataType, column_size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        column_size: Some(column_size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        local_type_name: Some(name.to_owned()),
        sql_data_type: data_type,
        ..XdbcTypeInfo::default()
    }
}

fn numbers() -> Vec<XdbcTypeInfo> {
    // Numbers are not LIKE operands: "basic" in ODBC's words.
    let exact = |name, data_type, digits| XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        searchable: Searchable::Basic,
        minimum_scale: Some(0),
        maximum_scale: Some(0),
        num_prec_radix: Some(10),
        ..plain(name, data_type, digits)
    };
    let approximate = |name, data_type, bits| XdbcTypeInfo {
        minimum_scale: None,
        maximum_scale: None,
        num_prec_radix: Some(2),
        ..exact(name, data_type, bits)
    };
    let decimal = XdbcTypeInfo {
        create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
        maximum_scale: Some(38),
        ..exact("decimal", XdbcDataType::XdbcDecimal, 38)
    };
    vec![
        exact("tinyint", XdbcDataType::XdbcTinyint, 3),
        exact("smallint", XdbcDataType::XdbcSmallint, 5),
        exact("integer", XdbcDataType::XdbcInteger, 10),
        exact("bigint", XdbcDataType::XdbcBigint, 19),
        approximate("real", XdbcDataType::XdbcReal, 24),
        approximate("double", XdbcDataType::XdbcDouble, 53),
        decimal,
    ]
}

fn texts() -> Vec<XdbcTypeInfo> {
    let text = |name, data_type, size, params: &[&str]| XdbcTypeInfo {
        literal_prefix: Some("'".to_owned()),
        literal_suffix: Some("'".to_owned()),
        create_params: Some(params.iter().map(|p| (*p).to_owned()).collect()),
        case_sensitive: true,
        ..plain(name, data_type, size)
    };
    let binary = XdbcTypeInfo {
        literal_prefix: Some("X'".to_owned()),
        literal_suffix: Some("'".to_owned()),
        searchable: Searchable::Basic,
        ..plain("varbinary", XdbcDataType::XdbcVarbinary, UNBOUNDED)
    };
    vec![
        text("varchar", XdbcDataType::XdbcVarchar, UNBOUNDED, &["length"]),
        text("char", XdbcDataType::XdbcChar, 255, &["length"]),
        text("string", XdbcDataType::XdbcLongvarchar, UNBOUNDED, &[]),
        binary,
    ]
}

fn times() -> Vec<XdbcTypeInfo> {
    let time = |name: &str, data_type, size, subcode| XdbcTypeInfo {
        literal_prefix: Some(format!("{} '", name.split(' ').next().unwrap_or(name))),
        literal_suffix: Some("'".to_owned()),
        searchable: Searchable::Basic,
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(subcode),
        ..plain(name, data_type, size)
    };
    let fraction = |info| XdbcTypeInfo {
        minimum_scale: Some(0),
        maximum_scale: Some(9),
        ..info
    };
    let interval = |name: &str, subcode| XdbcTypeInfo {
        literal_prefix: Some("interval '".to_owned()),
        literal_suffix: Some("'".to_owned()),
        searchable: Searchable::Basic,
        datetime_subcode: Some(subcode),
        interval_precision: Some(9),
        ..plain(name, XdbcDataType::XdbcInterval, 9)
    };
    // ODBC numbers the date subcode 1, which the protocol's enumeration calls YEAR.
    vec![
        time(
            "date",
            XdbcDataType::XdbcDate,
            10,
            XdbcDatetimeSubcode::XdbcSubcodeYear,
        ),
        fraction(time(
            "time",
            XdbcDataType::XdbcTime,
            18,
            XdbcDatetimeSubcode::XdbcSubcodeTime,
        )),
        fraction(time(
            "timestamp",
            XdbcDataType::XdbcTimestamp,
            29,
            XdbcDatetimeSubcode::XdbcSubcodeTimestamp,
        )),
        fraction(time(
            "timestamp with time zone",
            XdbcDataType::XdbcTimestamp,
            35,
            XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone,
        )),
        interval(
            "interval year to month",
            XdbcDatetimeSubcode::XdbcSubcodeIntervalYearToMonth,
        ),
        interval(
            "interval day to second",
            XdbcDatetimeSubcode::XdbcSubcodeIntervalDayToSecond,
        ),
    ]
}

fn others() -> Vec<XdbcTypeInfo> {
    let boolean = XdbcTypeInfo {
        searchable: Searchable::Basic,
        ..plain("boolean", XdbcDataType::XdbcBit, 1)
    };
    let nested = |name: &str, params: &[&str]| XdbcTypeInfo {
        create_params: Some(params.iter().map(|p| (*p).to_owned()).collect()),
        searchable: Searchable::None,
        column_size: None,
        case_sensitive: true,
        ..plain(name, XdbcDataType::XdbcUnknownType, 0)
    };
    vec![
        boolean,
        nested("array", &["element type"]),
        nested("map", &["key type", "value type"]),
        nested("row", &["field name", "field type"]),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::{Array, AsArray, RecordBatch};
    use arrow::datatypes::Int32Type;

    use super::*;

    fn batch(filter: Option<i32>) -> RecordBatch {
        xdbc_type_info().unwrap().record_batch(filter).unwrap()
    }

    fn names(batch: &RecordBatch) -> Vec<String> {
        batch
            .column(0)
            .as_string::<i32>()
            .iter()
            .flatten()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_column_type_of_the_dialect_is_listed_once() {
        let listed = names(&batch(None));
        let expected = [
            "array",
            "bigint",
            "boolean",
            "char",
            "date",
            "decimal",
            "double",
            "integer",
            "map",
            "real",
            "row",
            "smallint",
            "string",
            "time",
            "timestamp",
            "tinyint",
            "varbinary",
            "varchar",
        ];
        for name in expected {
            assert_eq!(listed.iter().filter(|n| *n == name).count(), 1, "{name}");
        }
        assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len());
    }

    #[test]
    fn rows_are_ordered_by_type_number_then_name() {
        let batch = batch(None);
        let numbers = batch.column(1).as_primitive::<Int32Type>().values().to_vec();
        let keys: Vec<_> = numbers.into_iter().zip(names(&batch)).collect();
        assert!(keys.is_sorted(), "{keys:?}");
    }

    #[test]
    fn text_is_searchable_with_like_and_case_sensitive() {
        let batch = batch(Some(XdbcDataType::XdbcVarchar as i32));
        assert_eq!(names(&batch), ["varchar"]);
        let searchable = batch
            .column_by_name("searchable")
            .unwrap()
            .as_primitive::<Int32Type>()
            .value(0);
        assert_eq!(searchable, Searchable::Full as i32);
        assert!(
            batch
                .column_by_name("case_sensitive")
                .unwrap()
                .as_boolean()
                .value(0)
        );
        assert_eq!(
            batch
                .column_by_name("literal_prefix")
                .unwrap()
                .as_string::<i32>()
                .value(0),
            "'"
        );
    }

    #[test]
    fn a_date_has_its_literal_form_and_odbc_subcode() {
        let batch = batch(Some(XdbcDataType::XdbcDate as i32));
        assert_eq!(
            batch
                .column_by_name("literal_prefix")
                .unwrap()
                .as_string::<i32>()
                .value(0),
            "date '"
        );
        let verbose = batch
            .column_by_name("sql_data_type")
            .unwrap()
            .as_primitive::<Int32Type>()
            .value(0);
        assert_eq!(verbose, XdbcDataType::XdbcDatetime as i32);
        let subcode = batch
            .column_by_name("datetime_subcode")
            .unwrap()
            .as_primitive::<Int32Type>()
            .value(0);
        assert_eq!(subcode, 1);
    }

    #[test]
    fn a_type_without_parameters_has_a_null_list() {
        let batch = batch(Some(XdbcDataType::XdbcBigint as i32));
        assert!(batch.column_by_name("create_params").unwrap().is_null(0));
    }
}

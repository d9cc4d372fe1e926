//! Names of types in queries (CAST targets, typed literals) to Arrow types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::error::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType as SqlType, ExactNumberInfo, ObjectName, TimezoneInfo,
};

use super::error::{not_supported, type_mismatch};
use super::ty::{WRITTEN, written_varchar};
use crate::functions::signature::{TIMESTAMP_MS, list_of};

/// The planner of type names; the engine registers it with the session.
pub fn type_planner() -> Arc<dyn TypePlanner> {
    Arc::new(TrinoTypes)
}

#[derive(Debug)]
struct TrinoTypes;

impl TypePlanner for TrinoTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        field(sql_type).map(Some)
    }
}

fn plain(data_type: DataType) -> FieldRef {
    Arc::new(Field::new(WRITTEN, data_type, true))
}

fn field(sql_type: &SqlType) -> Result<FieldRef> {
    Ok(plain(match sql_type {
        SqlType::Boolean => DataType::Boolean,
        SqlType::TinyInt(None) => DataType::Int8,
        SqlType::SmallInt(None) => DataType::Int16,
        SqlType::Int(None) | SqlType::Integer(None) => DataType::Int32,
        SqlType::BigInt(None) => DataType::Int64,
        SqlType::Real => DataType::Float32,
        SqlType::Double(ExactNumberInfo::None) | SqlType::DoublePrecision => DataType::Float64,
        SqlType::Decimal(info) | SqlType::Dec(info) | SqlType::Numeric(info) => decimal(info)?,
        SqlType::Varchar(length) | SqlType::CharacterVarying(length) | SqlType::CharVarying(length) => {
            return varchar(length.as_ref());
        }
        SqlType::Varbinary(None) => DataType::Binary,
        SqlType::Date => DataType::Date32,
        SqlType::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            timestamp(*precision)?
        }
        SqlType::Timestamp(..) => {
            return Err(not_supported(
                "CAST to timestamp with time zone",
                "timestamp-with-time-zone",
            ));
        }
        SqlType::Time(..) => return Err(not_supported("the type time", "time")),
        SqlType::Char(_) | SqlType::Character(_) => return Err(not_supported("the type char", "char")),
        SqlType::JSON => return Err(not_supported("CAST to json", "json")),
        SqlType::Array(
            ArrayElemTypeDef::AngleBracket(item)
            | ArrayElemTypeDef::Parenthesis(item)
            | ArrayElemTypeDef::SquareBracket(item, None),
        ) => list_of(field(item)?.data_type().clone()),
        SqlType::Custom(name, modifiers) => return custom(name, modifiers),
        other => return Err(unknown(&other.to_string())),
    }))
}

fn unknown(name: &str) -> datafusion::error::DataFusionError {
    type_mismatch(format!("Unknown type: {}", name.to_lowercase()))
}

fn custom(name: &ObjectName, modifiers: &[String]) -> Result<FieldRef> {
    let name = name.to_string().to_lowercase();
    match (name.as_str(), modifiers) {
        ("varbinary", []) => Ok(plain(DataType::Binary)),
        ("map" | "row" | "ipaddress" | "uuid" | "json" | "hyperloglog", _) => {
            Err(not_supported(&format!("CAST to {name}"), "casts"))
        }
        _ => Err(unknown(&name)),
    }
}

fn varchar(length: Option<&CharacterLength>) -> Result<FieldRef> {
    match length {
        None => Ok(plain(DataType::Utf8)),
        Some(CharacterLength::IntegerLength { length, unit: None }) => Ok(Arc::new(Field::new(
            written_varchar(*length),
            DataType::Utf8,
            true,
        ))),
        Some(other) => Err(unknown(&format!("varchar({other})"))),
    }
}

fn decimal(info: &ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => (38, 0),
        ExactNumberInfo::Precision(p) => (p, 0),
        ExactNumberInfo::PrecisionAndScale(p, s) => (p, s),
    };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p @ 1..=38), Ok(s)) if s >= 0 && u64::from(p) >= s.unsigned_abs().into() => {
            Ok(DataType::Decimal128(p, s))
        }
        _ => Err(type_mismatch(format!(
            "DECIMAL precision must be in range [1, 38] and scale in [0, precision]: decimal({precision}, {scale})"
        ))),
    }
}

fn timestamp(precision: Option<u64>) -> Result<DataType> {
    Ok(match precision {
        None | Some(3) => TIMESTAMP_MS,
        Some(0) => DataType::Timestamp(TimeUnit::Second, None),
        Some(6) => DataType::Timestamp(TimeUnit::Microsecond, None),
        Some(9) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        Some(other) => {
            return Err(not_supported(
                &format!("timestamp({other})"),
                "timestamp-precision",
            ));
        }
    })
}

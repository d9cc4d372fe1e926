//! Hive column types: what `Column::data_type` texts mean, and their Arrow and Trino counterparts.
//!
//! Reading values of these types is the scan's business; this is types only.

mod arrow;
mod parse;

use std::fmt;

/// Nesting that is accepted; deeper text is refused so that no recursion over a type can overflow a stack.
pub const MAX_TYPE_DEPTH: usize = 64;

/// Longest type text, in characters (Glue).
pub const MAX_TYPE_CHARS: usize = 131_072;

/// Largest precision of a decimal.
pub const MAX_DECIMAL_PRECISION: u8 = 38;

/// A Hive column type (athena-spec 2.1 "Column types").
///
/// `Display` is the canonical Hive text; parsing it gives the same type back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HiveType {
    /// `boolean`
    Boolean,
    /// `tinyint`, 8 bits.
    TinyInt,
    /// `smallint`, 16 bits.
    SmallInt,
    /// `int`, 32 bits; `integer` is read as the same.
    Int,
    /// `bigint`, 64 bits.
    BigInt,
    /// `float`, 32 bits.
    Float,
    /// `double`, 64 bits.
    Double,
    /// `decimal(precision,scale)`, 1 to 38 digits, scale at most the precision.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `char(n)`, 1 to 255 characters.
    Char(u8),
    /// `varchar(n)`, 1 to 65535 characters.
    Varchar(u16),
    /// `string`
    String,
    /// `binary`
    Binary,
    /// `date`
    Date,
    /// `timestamp`, milliseconds, no zone.
    Timestamp,
    /// `array<element>`
    Array(Box<HiveType>),
    /// `map<key,value>`; keys are primitive.
    Map(Box<HiveType>, Box<HiveType>),
    /// `struct<name:type,...>`, at least one field, lower-case names without repeats.
    Struct(Vec<StructField>),
}

/// A field of [`HiveType::Struct`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StructField {
    /// Lower-case name.
    pub name: String,
    /// Its type.
    pub data_type: HiveType,
}

impl HiveType {
    /// Whether it has no parts; only such types can be partition keys.
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Map(..) | Self::Struct(_))
    }

    /// The Trino name that DESCRIBE and `information_schema` show: `integer`, `array(varchar)`, `timestamp(3)`.
    pub fn trino_name(&self) -> String {
        match self {
            Self::Boolean => "boolean".to_owned(),
            Self::TinyInt => "tinyint".to_owned(),
            Self::SmallInt => "smallint".to_owned(),
            Self::Int => "integer".to_owned(),
            Self::BigInt => "bigint".to_owned(),
            Self::Float => "real".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            Self::Char(length) => format!("char({length})"),
            Self::Varchar(length) => format!("varchar({length})"),
            Self::String => "varchar".to_owned(),
            Self::Binary => "varbinary".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Timestamp => "timestamp(3)".to_owned(),
            Self::Array(element) => format!("array({})", element.trino_name()),
            Self::Map(key, value) => format!("map({}, {})", key.trino_name(), value.trino_name()),
            Self::Struct(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|f| format!("{} {}", quoted(&f.name, '"'), f.data_type.trino_name()))
                    .collect();
                format!("row({})", fields.join(", "))
            }
        }
    }
}

impl fmt::Display for HiveType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::TinyInt => f.write_str("tinyint"),
            Self::SmallInt => f.write_str("smallint"),
            Self::Int => f.write_str("int"),
            Self::BigInt => f.write_str("bigint"),
            Self::Float => f.write_str("float"),
            Self::Double => f.write_str("double"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Char(length) => write!(f, "char({length})"),
            Self::Varchar(length) => write!(f, "varchar({length})"),
            Self::String => f.write_str("string"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Array(element) => write!(f, "array<{element}>"),
            Self::Map(key, value) => write!(f, "map<{key},{value}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{}", quoted(&field.name, '`'), field.data_type)?;
                }
                f.write_str(">")
            }
        }
    }
}

/// The name as it is where it reads back as an identifier, else between `quote`s.
fn quoted(name: &str, quote: char) -> String {
    if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        name.to_owned()
    } else {
        let doubled = name.replace(quote, &format!("{quote}{quote}"));
        format!("{quote}{doubled}{quote}")
    }
}

#[cfg(test)]
mod tests;

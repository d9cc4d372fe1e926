//! A value in PostgreSQL's SQL and what is known of it here: its type, how it compares, how its texts are ordered.

use std::borrow::Cow;

use arrow::datatypes::{DataType, TimeUnit};
use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use datafusion::common::ScalarValue;
use tokio_postgres::types::{Oid, Type};
use uuid::Uuid;

use super::catalog::RemoteColumn;
use super::mapping::{ANY_MODIFIER, Decode, Form, Mapping};
use super::quoting::{identifier, literal};

/// The collation of a database, and the one of bytes.
const DEFAULT_COLLATION: Oid = 100;
const C_COLLATION: Oid = 950;

/// What decides how texts compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Collation {
    /// Its id; 0 where several met.
    pub oid: Oid,
    /// Whether texts are equal only where their bytes are.
    pub deterministic: bool,
    /// Whether the order of bytes there is the order of bytes here: the database keeps UTF-8.
    pub utf8: bool,
}

impl Collation {
    /// Of texts that come from several places.
    pub(super) fn mixed(utf8: bool) -> Self {
        Self {
            oid: 0,
            deterministic: false,
            utf8,
        }
    }
}

/// A value.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// How it is written; binds as tight as a name or a call.
    pub sql: String,
    /// What comes back where it is selected.
    pub mapping: Mapping,
    pub collation: Collation,
    /// Whether it is more than a column, so that it is not NULL where an outer join finds no row.
    pub computed: bool,
    /// A decimal that has no more digits than its type here.
    pub exact: bool,
}

/// Which values compare with each other, the same way there as here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Bool,
    /// Integers and decimals.
    Number,
    Oid,
    /// Dates, and timestamps without a zone.
    Moment,
    MomentUtc,
    Text,
    /// Its order is that of its text.
    Uuid,
}

impl Value {
    /// A column of a table or of a query in FROM.
    pub(super) fn of_column(column: &RemoteColumn, qualifier: Option<&str>) -> Option<Self> {
        let name = identifier(&column.name).ok()?;
        let name = qualifier.map_or(name.clone(), |qualifier| format!("{qualifier}.{name}"));
        let mapping = &column.mapping;
        Some(Self {
            sql: match mapping.form {
                Form::Plain => name,
                Form::Cast(to) => format!("{name}::{to}"),
                Form::Abbreviated => format!("abbrev({name})"),
            },
            collation: match column.collation.oid {
                0 => Collation {
                    oid: DEFAULT_COLLATION,
                    ..column.collation
                },
                _ => column.collation,
            },
            computed: mapping.form != Form::Plain,
            exact: mapping.wire_modifier >= 0,
            mapping: Mapping {
                form: Form::Plain,
                wire_modifier: ANY_MODIFIER,
                ..mapping.clone()
            },
        })
    }

    /// Something computed, cast to the type that stands for `data_type`.
    pub(super) fn computed(sql: &str, data_type: &DataType, collation: Collation) -> Option<Self> {
        let (name, mapping) = standing_for(data_type)?;
        Some(Self {
            sql: format!("({sql})::{name}"),
            mapping,
            collation,
            computed: true,
            exact: true,
        })
    }

    /// A condition as a value.
    pub(super) fn of_condition(sql: String) -> Option<Self> {
        let (_, mapping) = standing_for(&DataType::Boolean)?;
        Some(Self {
            sql,
            mapping,
            collation: Collation::mixed(false),
            computed: true,
            exact: true,
        })
    }

    /// A constant by itself.
    pub(super) fn of_literal(value: &ScalarValue) -> Option<Self> {
        let (name, mapping) = standing_for(&value.data_type())?;
        // Among these the order of bytes is the same in every encoding.
        let utf8 = value.try_as_str().flatten().is_none_or(str::is_ascii);
        let sql = match value {
            value if value.is_null() => "NULL".to_owned(),
            ScalarValue::Boolean(Some(value)) => format!("'{value}'"),
            ScalarValue::Int16(Some(n)) => format!("'{n}'"),
            ScalarValue::Int32(Some(n)) => format!("'{n}'"),
            ScalarValue::Int64(Some(n)) => format!("'{n}'"),
            ScalarValue::Utf8(Some(text)) => literal(text).ok()?,
            ScalarValue::Decimal128(Some(value), _, scale) => format!("'{}'", decimal(*value, *scale)?),
            ScalarValue::Date32(_) | ScalarValue::TimestampMicrosecond(..) => {
                return Some(Self {
                    sql: constant(&mapping, value)?,
                    mapping,
                    collation: Collation::mixed(utf8),
                    computed: true,
                    exact: true,
                });
            }
            _ => return None,
        };
        Some(Self {
            sql: format!("{sql}::{name}"),
            mapping,
            collation: Collation {
                oid: DEFAULT_COLLATION,
                deterministic: true,
                utf8,
            },
            computed: true,
            exact: true,
        })
    }

    /// How it compares; nothing where it does not, or not as here.
    pub(super) fn class(&self) -> Option<Class> {
        class(&self.mapping)
    }

    /// As an operand whose equality is that of the engine: texts by their bytes.
    pub(super) fn key(&self) -> Cow<'_, str> {
        if self.class() == Some(Class::Text) && !self.collation.deterministic {
            Cow::Owned(self.by_bytes())
        } else {
            Cow::Borrowed(&self.sql)
        }
    }

    /// As an operand whose order is that of the engine.
    pub(super) fn order_key(&self) -> Option<Cow<'_, str>> {
        match self.class()? {
            Class::Text => self.collation.utf8.then(|| Cow::Owned(self.by_bytes())),
            _ => Some(Cow::Borrowed(&self.sql)),
        }
    }

    fn by_bytes(&self) -> String {
        format!("({} COLLATE \"C\")", self.sql)
    }

    /// The same, with texts kept apart by their bytes alone: what is grouped by.
    pub(super) fn grouped(mut self) -> Option<Self> {
        self.class()?;
        if let Cow::Owned(sql) = self.key() {
            self.sql = sql;
            self.computed = true;
            self.collation = Collation {
                oid: C_COLLATION,
                deterministic: true,
                ..self.collation
            };
        }
        Some(self)
    }

    /// Both as operands of `=`, or of another operator where `ordered`.
    pub(super) fn pair(&self, other: &Self, ordered: bool) -> Option<(String, String)> {
        let class = self.class()?;
        if other.class()? != class {
            return None;
        }
        if class != Class::Text {
            return Some((self.sql.clone(), other.sql.clone()));
        }
        if ordered && !(self.collation.utf8 && other.collation.utf8) {
            return None;
        }
        let same = self.collation == other.collation && self.collation.deterministic;
        Some(if same && !ordered {
            (self.sql.clone(), other.sql.clone())
        } else {
            (self.by_bytes(), other.by_bytes())
        })
    }
}

fn class(mapping: &Mapping) -> Option<Class> {
    Some(match &mapping.decode {
        Decode::Bool => Class::Bool,
        Decode::Int16 | Decode::Int32 | Decode::Int64 | Decode::Decimal { .. } => Class::Number,
        Decode::Oid => Class::Oid,
        Decode::Date => Class::Moment,
        Decode::Timestamp if matches!(mapping.data_type, DataType::Timestamp(_, None)) => Class::Moment,
        Decode::Timestamp => Class::MomentUtc,
        Decode::Uuid => Class::Uuid,
        // json has no `=`.
        Decode::Text if mapping.wire != Type::JSON.oid() => Class::Text,
        _ => return None,
    })
}

/// The type there that has exactly the values of a type here.
pub(super) fn standing_for(data_type: &DataType) -> Option<(&'static str, Mapping)> {
    let (name, wire, decode) = match data_type {
        DataType::Boolean => ("bool", Type::BOOL, Decode::Bool),
        DataType::Int16 => ("int2", Type::INT2, Decode::Int16),
        DataType::Int32 => ("int4", Type::INT4, Decode::Int32),
        DataType::Int64 => ("int8", Type::INT8, Decode::Int64),
        DataType::Utf8 => ("text", Type::TEXT, Decode::Text),
        DataType::Date32 => ("date", Type::DATE, Decode::Date),
        DataType::Decimal128(precision, scale) => {
            let decode = Decode::Decimal {
                precision: *precision,
                scale: *scale,
            };
            ("numeric", Type::NUMERIC, decode)
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => ("timestamp", Type::TIMESTAMP, Decode::Timestamp),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if matches!(&**zone, "UTC" | "+00:00") => {
            ("timestamptz", Type::TIMESTAMPTZ, Decode::Timestamp)
        }
        _ => return None,
    };
    let mapping = Mapping {
        data_type: data_type.clone(),
        decode,
        form: Form::Plain,
        wire: wire.oid(),
        wire_modifier: ANY_MODIFIER,
    };
    Some((name, mapping))
}

/// Whether a cast keeps every value apart from every other, in the same order, and never fails.
pub(super) fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Decimal128, Int16, Int32, Int64, Timestamp, Utf8, Utf8View};
    let whole = |digits: u8, p: &u8, s: &i8| *s >= 0 && i16::from(*p) - i16::from(*s) >= i16::from(digits);
    match (from, to) {
        (Int16, Int32 | Int64) | (Int32, Int64) | (Utf8, Utf8View) => true,
        (Int16, Decimal128(p, s)) => whole(5, p, s),
        (Int32, Decimal128(p, s)) => whole(10, p, s),
        (Int64, Decimal128(p, s)) => whole(19, p, s),
        (Date32, Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, None)) => true,
        (Decimal128(p, s), Decimal128(wide_p, wide_s)) => {
            i16::from(*wide_s) >= i16::from(*s)
                && i16::from(*wide_p) - i16::from(*wide_s) >= i16::from(*p) - i16::from(*s)
        }
        (from, to) => from == to,
    }
}

/// A literal that compares with a value of this mapping. NULL is none: what it means in a comparison is left to the
/// engine.
pub(super) fn constant(mapping: &Mapping, value: &ScalarValue) -> Option<String> {
    let value = match value {
        ScalarValue::Dictionary(_, value) => Cow::Borrowed(&**value),
        value => Cow::Borrowed(value),
    };
    match (&mapping.decode, &*value) {
        (Decode::Bool, ScalarValue::Boolean(Some(value))) => Some(value.to_string()),
        (
            Decode::Int16 | Decode::Int32 | Decode::Int64 | Decode::Decimal { .. },
            ScalarValue::Decimal128(Some(value), _, scale),
        ) => Some(format!("'{}'::numeric", decimal(*value, *scale)?)),
        (Decode::Int16 | Decode::Int32 | Decode::Int64 | Decode::Oid, value) => {
            let number = match value {
                ScalarValue::Int8(Some(n)) => i64::from(*n),
                ScalarValue::Int16(Some(n)) => i64::from(*n),
                ScalarValue::Int32(Some(n)) => i64::from(*n),
                ScalarValue::Int64(Some(n)) => *n,
                _ => return None,
            };
            // An oid is compared as the number that it is here.
            (mapping.decode != Decode::Oid || u32::try_from(number).is_ok()).then(|| {
                if mapping.decode == Decode::Oid {
                    format!("{number}::oid")
                } else {
                    format!("'{number}'::int8")
                }
            })
        }
        (
            Decode::Text,
            ScalarValue::Utf8(Some(text))
            | ScalarValue::Utf8View(Some(text))
            | ScalarValue::LargeUtf8(Some(text)),
        ) => literal(text).ok(),
        // Here a uuid is its text: one that is written otherwise equals none.
        (Decode::Uuid, ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text))) => {
            let uuid = Uuid::parse_str(text).ok()?;
            (uuid.hyphenated().to_string() == *text).then(|| format!("'{text}'::uuid"))
        }
        (Decode::Date, ScalarValue::Date32(Some(days))) => {
            let date = date32_to_datetime(*days)?.date();
            in_common_years(date.format("%Y").to_string().as_str())
                .then(|| format!("'{}'::date", date.format("%Y-%m-%d")))
        }
        (Decode::Date | Decode::Timestamp, value) => moment(mapping, value),
        _ => None,
    }
}

/// A timestamp, with the zone of its column: UTC or none.
fn moment(mapping: &Mapping, value: &ScalarValue) -> Option<String> {
    let (micros, zone) = match value {
        ScalarValue::TimestampSecond(Some(n), zone) => (n.checked_mul(1_000_000)?, zone),
        ScalarValue::TimestampMillisecond(Some(n), zone) => (n.checked_mul(1_000)?, zone),
        ScalarValue::TimestampMicrosecond(Some(n), zone) => (*n, zone),
        ScalarValue::TimestampNanosecond(Some(n), zone) if n % 1_000 == 0 => (n / 1_000, zone),
        _ => return None,
    };
    let text = timestamp_us_to_datetime(micros)?;
    if !in_common_years(text.format("%Y").to_string().as_str()) {
        return None;
    }
    let text = text.format("%Y-%m-%d %H:%M:%S%.6f");
    match (&mapping.data_type, zone.as_deref()) {
        (DataType::Date32 | DataType::Timestamp(_, None), None) => Some(format!("'{text}'::timestamp")),
        (DataType::Timestamp(_, Some(_)), Some("UTC" | "+00:00")) => {
            Some(format!("'{text}+00'::timestamptz"))
        }
        _ => None,
    }
}

/// Years that both sides write the same way.
fn in_common_years(year: &str) -> bool {
    year.len() == 4 && year.bytes().all(|c| c.is_ascii_digit()) && year != "0000"
}

/// `-12.30` for -1230 of scale 2.
fn decimal(value: i128, scale: i8) -> Option<String> {
    let scale = usize::try_from(scale).ok()?;
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    Some(if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    })
}

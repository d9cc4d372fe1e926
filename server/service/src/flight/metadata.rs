//! Batches of the Flight SQL metadata commands: catalogs, databases, tables, table types, keys.
//!
//! Takes plain rows and gives batches with exactly the schema, nullability and order that the protocol's
//! comments demand (ADBC refuses anything else). Reads no catalog: who may see what is decided before.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTables};
use arrow_flight::{IpcMessage, SchemaAsIpc};

/// Key under which a field of a table's schema keeps the column's comment.
pub(crate) const COMMENT_KEY: &str = "comment";

/// What kind of table a row names. Power BI and ODBC keep only these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TableType {
    /// `system.*` and `information_schema.*`.
    System,
    /// An external table.
    Table,
    /// A stored query.
    View,
}

impl TableType {
    /// All types, in the order of their names.
    pub(crate) const ALL: [TableType; 3] = [TableType::System, TableType::Table, TableType::View];

    /// The word drivers know.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            TableType::System => "SYSTEM TABLE",
            TableType::Table => "TABLE",
            TableType::View => "VIEW",
        }
    }

    /// Whether a type name of a request means this type; `BASE TABLE` is what information_schema says.
    fn is_named(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.as_str())
            || (self == TableType::Table && name.eq_ignore_ascii_case("BASE TABLE"))
    }
}

/// One table of a `GetTables` answer.
#[derive(Debug, Clone)]
pub(crate) struct TableRow {
    /// Catalog name.
    pub(crate) catalog: String,
    /// Database name.
    pub(crate) database: String,
    /// Table name.
    pub(crate) name: String,
    /// Kind of table.
    pub(crate) table_type: TableType,
    /// Columns as a query would return them (wire types); used only with `include_schema`.
    /// `None` stands for a table whose definition cannot be read: it is listed without columns.
    pub(crate) schema: Option<SchemaRef>,
}

/// The name filters of a metadata command; lets the caller skip what the answer would drop anyway.
///
/// Names match without regard to ASCII case, as everywhere in the catalog.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameFilter {
    catalog: Option<String>,
    database: Option<String>,
    table: Option<String>,
    types: Vec<String>,
}

impl From<&CommandGetDbSchemas> for NameFilter {
    fn from(command: &CommandGetDbSchemas) -> Self {
        Self {
            catalog: command.catalog.clone(),
            database: command.db_schema_filter_pattern.clone(),
            ..Self::default()
        }
    }
}

impl From<&CommandGetTables> for NameFilter {
    fn from(command: &CommandGetTables) -> Self {
        Self {
            catalog: command.catalog.clone(),
            database: command.db_schema_filter_pattern.clone(),
            table: command.table_name_filter_pattern.clone(),
            types: command.table_types.clone(),
        }
    }
}

impl NameFilter {
    /// Absent: every catalog. Empty: only objects without a catalog, of which there are none. The protocol
    /// compares catalogs as they are, but tools send patterns: both work.
    pub(crate) fn catalog(&self, name: &str) -> bool {
        match self.catalog.as_deref() {
            None => true,
            Some(wanted) => wanted.eq_ignore_ascii_case(name) || like(wanted, name),
        }
    }

    /// Whether the database pattern lets `name` through.
    pub(crate) fn database(&self, name: &str) -> bool {
        self.database.as_deref().is_none_or(|pattern| like(pattern, name))
    }

    /// Whether the table pattern and the list of types let a table through.
    pub(crate) fn table(&self, name: &str, table_type: TableType) -> bool {
        self.table.as_deref().is_none_or(|pattern| like(pattern, name))
            && (self.types.is_empty() || self.types.iter().any(|t| table_type.is_named(t)))
    }
}

/// SQL LIKE: `%` any run, `_` any one character, backslash takes the next character as it is.
///
/// Linear memory and at most pattern x text steps, whatever the pattern.
fn like(pattern: &str, text: &str) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum Part {
        Any,
        One,
        Exactly(char),
    }
    let mut parts = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => Part::Exactly(chars.next().unwrap_or('\\')),
            c => Part::Exactly(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut at_part, mut at_char) = (0, 0);
    // Where to go on when a later part does not fit: after the last `%`, one character further.
    let mut retry: Option<(usize, usize)> = None;
    while at_char < text.len() {
        let fits = match parts.get(at_part) {
            Some(Part::Any) => {
                retry = Some((at_part + 1, at_char));
                at_part += 1;
                continue;
            }
            Some(Part::One) => true,
            Some(Part::Exactly(c)) => c.eq_ignore_ascii_case(&text[at_char]),
            None => false,
        };
        if fits {
            at_part += 1;
            at_char += 1;
        } else if let Some((part, from)) = retry {
            retry = Some((part, from + 1));
            at_part = part;
            at_char = from + 1;
        } else {
            return false;
        }
    }
    parts[at_part..].iter().all(|part| *part == Part::Any)
}

/// Schema of `CommandGetCatalogs`.
pub(crate) fn catalogs_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![text("catalog_name", false)]))
}

/// Batch of `CommandGetCatalogs`, ordered by name.
pub(crate) fn catalogs(names: impl IntoIterator<Item = String>) -> Result<RecordBatch, ArrowError> {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_unstable();
    RecordBatch::try_new(catalogs_schema(), vec![Arc::new(StringArray::from(names))])
}

/// Schema of `CommandGetDbSchemas`.
pub(crate) fn db_schemas_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", false),
    ]))
}

/// Batch of `CommandGetDbSchemas` from (catalog, database) rows: filtered and ordered.
pub(crate) fn db_schemas(
    command: &CommandGetDbSchemas,
    rows: impl IntoIterator<Item = (String, String)>,
) -> Result<RecordBatch, ArrowError> {
    let filter = NameFilter::from(command);
    let mut rows: Vec<_> = rows
        .into_iter()
        .filter(|(catalog, name)| filter.catalog(catalog) && filter.database(name))
        .collect();
    rows.sort_unstable();
    let catalogs = StringArray::from_iter_values(rows.iter().map(|(catalog, _)| catalog));
    let names = StringArray::from_iter_values(rows.iter().map(|(_, name)| name));
    RecordBatch::try_new(db_schemas_schema(), vec![Arc::new(catalogs), Arc::new(names)])
}

/// Schema of `CommandGetTables`, with or without the column of table schemas.
pub(crate) fn tables_schema(include_schema: bool) -> SchemaRef {
    let mut fields = vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("table_type", false),
    ];
    if include_schema {
        fields.push(Field::new("table_schema", DataType::Binary, false));
    }
    Arc::new(Schema::new(fields))
}

/// Batch of `CommandGetTables`: filtered, ordered, with schemas if the command asks for them.
pub(crate) fn tables(
    command: &CommandGetTables,
    rows: impl IntoIterator<Item = TableRow>,
) -> Result<RecordBatch, ArrowError> {
    let filter = NameFilter::from(command);
    let mut rows: Vec<TableRow> = rows
        .into_iter()
        .filter(|row| {
            filter.catalog(&row.catalog)
                && filter.database(&row.database)
                && filter.table(&row.name, row.table_type)
        })
        .collect();
    rows.sort_by(|a, b| {
        let types = a.table_type.as_str().cmp(b.table_type.as_str());
        (&a.catalog, &a.database, &a.name)
            .cmp(&(&b.catalog, &b.database, &b.name))
            .then(types)
    });
    let column = |of: fn(&TableRow) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let mut columns = vec![
        column(|row| &row.catalog),
        column(|row| &row.database),
        column(|row| &row.name),
        column(|row| row.table_type.as_str()),
    ];
    if command.include_schema {
        let encoded = rows.iter().map(encoded_schema).collect::<Result<Vec<_>, _>>()?;
        columns.push(Arc::new(BinaryArray::from_iter_values(encoded)));
    }
    RecordBatch::try_new(tables_schema(command.include_schema), columns)
}

/// Schema of `CommandGetTableTypes`.
pub(crate) fn table_types_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![text("table_type", false)]))
}

/// Batch of `CommandGetTableTypes`, ordered by name.
pub(crate) fn table_types() -> Result<RecordBatch, ArrowError> {
    let names = StringArray::from_iter_values(TableType::ALL.map(TableType::as_str));
    RecordBatch::try_new(table_types_schema(), vec![Arc::new(names)])
}

/// Schema of `CommandGetPrimaryKeys`. The answer is always empty: lake tables declare no keys.
pub(crate) fn primary_keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        text("key_name", true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

/// Schema of `CommandGetExportedKeys`, `CommandGetImportedKeys` and `CommandGetCrossReference`, which the
/// protocol gives the same columns; always empty too.
pub(crate) fn foreign_keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

fn encoded_schema(row: &TableRow) -> Result<bytes::Bytes, ArrowError> {
    let schema = match &row.schema {
        Some(schema) => described(row, schema),
        None => Schema::empty(),
    };
    let options = arrow::ipc::writer::IpcWriteOptions::default();
    let IpcMessage(encoded) = SchemaAsIpc::new(&schema, &options).try_into()?;
    Ok(encoded)
}

/// The columns with the `ARROW:FLIGHT:SQL:*` keys that JDBC's getColumns and Power BI read.
fn described(row: &TableRow, schema: &Schema) -> Schema {
    let flag = |set: bool| if set { "1" } else { "0" }.to_owned();
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let (precision, scale) = size(field.data_type());
            let is_text = matches!(
                field.data_type(),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
            );
            let mut facts = vec![
                ("CATALOG_NAME", row.catalog.clone()),
                ("DB_SCHEMA_NAME", row.database.clone()),
                ("TABLE_NAME", row.name.clone()),
                ("TYPE_NAME", type_name(field.data_type())),
                ("IS_AUTO_INCREMENT", flag(false)),
                ("IS_CASE_SENSITIVE", flag(is_text)),
                ("IS_READ_ONLY", flag(true)),
                ("IS_SEARCHABLE", flag(!field.data_type().is_nested())),
            ];
            facts.extend(precision.map(|p| ("PRECISION", p.to_string())));
            facts.extend(scale.map(|s| ("SCALE", s.to_string())));
            facts.extend(
                field
                    .metadata()
                    .get(COMMENT_KEY)
                    .map(|comment| ("REMARKS", comment.clone())),
            );
            let metadata: HashMap<String, String> = facts
                .into_iter()
                .map(|(key, value)| (format!("ARROW:FLIGHT:SQL:{key}"), value))
                .collect();
            field.as_ref().clone().with_metadata(metadata)
        })
        .collect();
    Schema::new(fields)
}

/// The type as SQL spells it: Trino's names, which Athena's information_schema shows.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 => "bigint".to_owned(),
        DataType::UInt64 => "decimal(20,0)".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "varbinary".to_owned()
        }
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("time({})", fraction_digits(*unit)),
        DataType::Timestamp(unit, None) => format!("timestamp({})", fraction_digits(*unit)),
        DataType::Timestamp(unit, Some(_)) => {
            format!("timestamp({}) with time zone", fraction_digits(*unit))
        }
        DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth) => "interval year to month".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval day to second".to_owned(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("array({})", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|f| format!("{} {}", f.name(), type_name(f.data_type())))
                .collect();
            format!("row({})", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                let parts: Vec<String> = pair.iter().map(|f| type_name(f.data_type())).collect();
                format!("map({})", parts.join(", "))
            }
            other => format!("map({})", type_name(other)),
        },
        DataType::Dictionary(_, value) => type_name(value),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type()),
        DataType::Null | DataType::Union(..) => "unknown".to_owned(),
    }
}

/// Column size in decimal digits, characters or bytes, and digits after the point (JDBC's COLUMN_SIZE and
/// DECIMAL_DIGITS).
fn size(data_type: &DataType) -> (Option<i32>, Option<i32>) {
    match data_type {
        DataType::Boolean => (Some(1), None),
        DataType::Int8 => (Some(3), Some(0)),
        DataType::Int16 => (Some(5), Some(0)),
        DataType::Int32 => (Some(10), Some(0)),
        DataType::Int64 => (Some(19), Some(0)),
        DataType::Float32 => (Some(7), None),
        DataType::Float64 => (Some(15), None),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => (Some(i32::from(*p)), Some(i32::from(*s))),
        DataType::Utf8 | DataType::Binary => (Some(i32::MAX), None),
        DataType::Date32 => (Some(10), None),
        // "hh:mm:ss" and "yyyy-mm-dd hh:mm:ss", a point and the fraction.
        DataType::Time32(unit) | DataType::Time64(unit) => sized_time(8, *unit),
        DataType::Timestamp(unit, _) => sized_time(19, *unit),
        _ => (None, None),
    }
}

fn sized_time(whole: i32, unit: TimeUnit) -> (Option<i32>, Option<i32>) {
    let digits = fraction_digits(unit);
    (
        Some(if digits == 0 { whole } else { whole + 1 + digits }),
        Some(digits),
    )
}

const fn fraction_digits(unit: TimeUnit) -> i32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

#[cfg(test)]
mod tests;

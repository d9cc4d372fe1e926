//! CREATE EXTERNAL TABLE: Athena's clauses to Glue's table model (athena-spec 2.1).

use std::collections::BTreeMap;

use owlake_catalog::{Column, HiveType, SerDeInfo, StorageDescriptor, Table};
use owlake_fault::Location;

use super::cursor::{Cursor, shown};
use super::formats::{DEFAULT_FORMAT, FORMATS};
use super::lexer::Kind;
use crate::DialectError;
use crate::statement::{Command, CreateTable};

/// Clauses as they were read; each may stand once, in any order.
#[derive(Default)]
struct Clauses {
    comment: Option<String>,
    partition_keys: Option<Vec<Column>>,
    buckets: Option<(Vec<String>, i32)>,
    row_format: Option<RowFormat>,
    serde_properties: Option<BTreeMap<String, String>>,
    stored_as: Option<StoredAs>,
    location: Option<String>,
    properties: Option<BTreeMap<String, String>>,
}

enum RowFormat {
    Delimited(BTreeMap<String, String>),
    SerDe(String),
}

enum StoredAs {
    /// Index into [`FORMATS`].
    Named(usize),
    Classes {
        input: String,
        output: String,
    },
}

/// Reads everything after `CREATE EXTERNAL TABLE`.
pub(super) fn create_table(cursor: &mut Cursor) -> Result<Command, DialectError> {
    let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
    let name = cursor.table_name()?;
    let place = cursor.location();
    if cursor.at_words(&["LIKE"]) {
        return Err(DialectError::not_supported(
            "CREATE TABLE LIKE is not supported",
            place,
        ));
    }
    let declared = if *cursor.peek() == Kind::Symbol('(') {
        Some(columns(cursor)?)
    } else {
        None
    };
    let columns_declared = declared.is_some();
    let columns = declared.unwrap_or_default();
    let mut clauses = Clauses::default();
    while !matches!(cursor.peek(), Kind::End | Kind::Symbol(';')) {
        clause(cursor, &mut clauses)?;
    }
    let table = assemble(
        cursor,
        name.database.unwrap_or_default(),
        name.name,
        columns,
        clauses,
    )?;
    Ok(Command::CreateTable(Box::new(CreateTable {
        if_not_exists,
        catalog: name.catalog,
        table,
        columns_declared,
    })))
}

/// `(name type [COMMENT '...'], ...)`
fn columns(cursor: &mut Cursor) -> Result<Vec<Column>, DialectError> {
    cursor.expect_symbol('(')?;
    let mut columns: Vec<Column> = Vec::new();
    let mut names = std::collections::HashSet::new();
    loop {
        let location = cursor.location();
        let name = cursor.column_name()?;
        if !names.insert(name.clone()) {
            return Err(DialectError::syntax(
                format!("column `{name}` is there twice"),
                location,
            ));
        }
        let data_type = column_type(cursor)?.to_string();
        let comment = cursor
            .accept(&["COMMENT"])
            .then(|| cursor.literal("a comment in quotes"))
            .transpose()?;
        columns.push(Column {
            name,
            data_type,
            comment,
        });
        if !cursor.accept_symbol(',') {
            break;
        }
    }
    if *cursor.peek() != Kind::Symbol(')') {
        return Err(cursor.unexpected("',' or ')'"));
    }
    cursor.advance();
    Ok(columns)
}

/// Takes the tokens of one type and has the catalog read them.
fn column_type(cursor: &mut Cursor) -> Result<HiveType, DialectError> {
    let location = cursor.location();
    let mut text = String::new();
    let mut depth = 0_usize;
    loop {
        match cursor.peek() {
            Kind::Word(word) => {
                // Outside brackets a type is one word.
                if depth == 0 && !text.is_empty() {
                    break;
                }
                if depth > 0
                    && word.eq_ignore_ascii_case("COMMENT")
                    && matches!(cursor.peek_at(1), Kind::Single(_) | Kind::Double(_))
                {
                    // Glue's type text has no comments inside.
                    cursor.advance();
                } else {
                    text.push_str(word);
                }
            }
            Kind::Number(number) if depth > 0 => text.push_str(number),
            Kind::Backtick(name) if depth > 0 => {
                text.push('`');
                text.push_str(&name.replace('`', "``"));
                text.push('`');
            }
            Kind::Symbol(c @ ('<' | '(')) if !text.is_empty() => {
                depth += 1;
                text.push(*c);
            }
            Kind::Symbol(c @ ('>' | ')')) if depth > 0 => {
                depth -= 1;
                text.push(*c);
                if depth == 0 {
                    cursor.advance();
                    break;
                }
                cursor.advance();
                continue;
            }
            Kind::Symbol(c) if depth > 0 && !matches!(c, ';') => text.push(*c),
            _ => break,
        }
        cursor.advance();
    }
    if text.is_empty() || depth > 0 {
        return Err(cursor.unexpected(if depth > 0 { "'>'" } else { "a column type" }));
    }
    HiveType::parse(&text).map_err(|source| DialectError::Definition {
        source,
        location: Some(location),
    })
}

/// Reads one clause; a clause that is there already is an error.
fn clause(cursor: &mut Cursor, clauses: &mut Clauses) -> Result<(), DialectError> {
    let place = cursor.location();
    let repeated = if cursor.accept(&["COMMENT"]) {
        clauses
            .comment
            .replace(cursor.literal("a comment in quotes")?)
            .is_some()
    } else if cursor.accept(&["PARTITIONED", "BY"]) {
        clauses.partition_keys.replace(partition_keys(cursor)?).is_some()
    } else if cursor.accept(&["CLUSTERED", "BY"]) {
        clauses.buckets.replace(buckets(cursor)?).is_some()
    } else if cursor.accept(&["ROW", "FORMAT"]) {
        clauses.row_format.replace(row_format(cursor)?).is_some()
    } else if cursor.accept(&["WITH", "SERDEPROPERTIES"]) {
        clauses.serde_properties.replace(cursor.properties()?).is_some()
    } else if cursor.accept(&["STORED", "AS"]) {
        clauses.stored_as.replace(stored_as(cursor)?).is_some()
    } else if cursor.accept(&["LOCATION"]) {
        clauses
            .location
            .replace(cursor.literal("a location in quotes")?)
            .is_some()
    } else if cursor.accept(&["TBLPROPERTIES"]) {
        clauses.properties.replace(cursor.properties()?).is_some()
    } else if cursor.at_words(&["STORED", "BY"]) {
        return Err(DialectError::not_supported("STORED BY is not supported", place));
    } else if cursor.at_words(&["SKEWED", "BY"]) {
        return Err(DialectError::not_supported("SKEWED BY is not supported", place));
    } else if cursor.at_words(&["AS"]) {
        return Err(DialectError::not_supported(
            "CREATE TABLE AS SELECT is not supported",
            place,
        ));
    } else {
        return Err(cursor.unexpected(
            "COMMENT, PARTITIONED BY, CLUSTERED BY, ROW FORMAT, STORED AS, WITH SERDEPROPERTIES, LOCATION or TBLPROPERTIES",
        ));
    };
    if repeated {
        return Err(DialectError::syntax("a clause is there twice", place));
    }
    Ok(())
}

fn partition_keys(cursor: &mut Cursor) -> Result<Vec<Column>, DialectError> {
    let place = cursor.location();
    let keys = columns(cursor)?;
    for key in &keys {
        let primitive = HiveType::parse(&key.data_type).is_ok_and(|t| t.is_primitive());
        if !primitive {
            return Err(DialectError::syntax(
                format!(
                    "partition column `{}` must have a primitive type, not {}",
                    key.name,
                    shown(&key.data_type)
                ),
                place,
            ));
        }
    }
    Ok(keys)
}

/// `(c, ...) [SORTED BY (c [ASC|DESC], ...)] INTO n BUCKETS`
fn buckets(cursor: &mut Cursor) -> Result<(Vec<String>, i32), DialectError> {
    cursor.expect_symbol('(')?;
    let mut columns = vec![cursor.column_name()?];
    while cursor.accept_symbol(',') {
        columns.push(cursor.column_name()?);
    }
    cursor.expect_symbol(')')?;
    if cursor.at_words(&["SORTED"]) {
        return Err(DialectError::not_supported(
            "SORTED BY is not supported",
            cursor.location(),
        ));
    }
    cursor.expect(&["INTO"])?;
    let count = match cursor.peek() {
        Kind::Number(text) => text.parse::<i32>().ok().filter(|count| *count > 0),
        _ => None,
    };
    let Some(count) = count else {
        return Err(cursor.unexpected("a number of buckets"));
    };
    cursor.advance();
    cursor.expect(&["BUCKETS"])?;
    Ok((columns, count))
}

fn row_format(cursor: &mut Cursor) -> Result<RowFormat, DialectError> {
    if cursor.accept(&["SERDE"]) {
        return Ok(RowFormat::SerDe(cursor.literal("a SerDe class in quotes")?));
    }
    if !cursor.accept(&["DELIMITED"]) {
        return Err(cursor.unexpected("SERDE or DELIMITED"));
    }
    let mut parameters = BTreeMap::new();
    let mut set = |key: &str, value: String| parameters.insert(key.to_owned(), value);
    loop {
        if cursor.accept(&["FIELDS", "TERMINATED", "BY"]) {
            let delimiter = cursor.literal("a delimiter in quotes")?;
            set("field.delim", delimiter.clone());
            // Hive writes both; old SerDes read the second.
            set("serialization.format", delimiter);
            if cursor.accept(&["ESCAPED", "BY"]) {
                set("escape.delim", cursor.literal("a character in quotes")?);
            }
        } else if cursor.accept(&["COLLECTION", "ITEMS", "TERMINATED", "BY"]) {
            // The spelling is Hive's own; stored tables have it so.
            set("colelction.delim", cursor.literal("a delimiter in quotes")?);
        } else if cursor.accept(&["MAP", "KEYS", "TERMINATED", "BY"]) {
            set("mapkey.delim", cursor.literal("a delimiter in quotes")?);
        } else if cursor.accept(&["LINES", "TERMINATED", "BY"]) {
            set("line.delim", cursor.literal("a delimiter in quotes")?);
        } else if cursor.accept(&["NULL", "DEFINED", "AS"]) {
            set("serialization.null.format", cursor.literal("a text in quotes")?);
        } else {
            return Ok(RowFormat::Delimited(parameters));
        }
    }
}

fn stored_as(cursor: &mut Cursor) -> Result<StoredAs, DialectError> {
    if cursor.accept(&["INPUTFORMAT"]) {
        let input = cursor.literal("a class in quotes")?;
        cursor.expect(&["OUTPUTFORMAT"])?;
        return Ok(StoredAs::Classes {
            input,
            output: cursor.literal("a class in quotes")?,
        });
    }
    for (index, (word, ..)) in FORMATS.iter().enumerate() {
        if cursor.accept(&[word]) {
            return Ok(StoredAs::Named(index));
        }
    }
    let error =
        cursor.unexpected("PARQUET, ORC, TEXTFILE, AVRO, JSONFILE, SEQUENCEFILE, RCFILE, ION or INPUTFORMAT");
    Err(if cursor.at_words(&["JSON"]) || cursor.at_words(&["CSV"]) {
        error.with_hint(
            "JSON and CSV are named by their SerDe: ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' or 'org.apache.hadoop.hive.serde2.OpenCSVSerde'.",
        )
    } else {
        error
    })
}

fn assemble(
    cursor: &Cursor,
    database_name: String,
    name: String,
    columns: Vec<Column>,
    clauses: Clauses,
) -> Result<Table, DialectError> {
    let end: Location = cursor.location();
    let partition_keys = clauses.partition_keys.unwrap_or_default();
    if let Some(key) = partition_keys
        .iter()
        .find(|key| columns.iter().any(|column| column.name == key.name))
    {
        return Err(DialectError::syntax(
            format!("partition column `{}` is a data column too", key.name),
            end,
        )
        .with_hint("Leave it out of the first column list: its values come from the partition."));
    }
    let mut parameters = clauses.properties.unwrap_or_default();
    if parameters
        .get("table_type")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("iceberg"))
    {
        return Err(DialectError::not_supported(
            "Iceberg tables are not supported",
            end,
        ));
    }
    let Some(location) = clauses.location.filter(|location| !location.is_empty()) else {
        return Err(
            DialectError::syntax("CREATE EXTERNAL TABLE needs a LOCATION", end)
                .with_hint("Add LOCATION 's3://bucket/folder/' before TBLPROPERTIES."),
        );
    };
    let (bucket_columns, number_of_buckets) = clauses.buckets.unwrap_or((Vec::new(), -1));
    if let Some(missing) = bucket_columns
        .iter()
        .find(|b| !columns.iter().any(|column| column.name == **b))
    {
        return Err(DialectError::syntax(
            format!("CLUSTERED BY names `{missing}`, which is no data column"),
            end,
        ));
    }
    let format = match clauses.stored_as {
        Some(StoredAs::Named(index)) => index,
        _ => DEFAULT_FORMAT,
    };
    let (_, input, output, serde) = FORMATS[format];
    let (input, output) = match clauses.stored_as {
        Some(StoredAs::Classes { input, output }) => (input, output),
        _ => (input.to_owned(), output.to_owned()),
    };
    let (serde, mut serde_parameters) = match clauses.row_format {
        Some(RowFormat::SerDe(class)) => (class, BTreeMap::new()),
        Some(RowFormat::Delimited(parameters)) => (serde.to_owned(), parameters),
        None => (serde.to_owned(), BTreeMap::new()),
    };
    serde_parameters.extend(clauses.serde_properties.unwrap_or_default());
    serde_parameters
        .entry("serialization.format".to_owned())
        .or_insert_with(|| "1".to_owned());
    // EXTERNAL=FALSE has no effect (athena-spec 2.1).
    parameters.insert("EXTERNAL".to_owned(), "TRUE".to_owned());
    Ok(Table {
        name,
        database_name,
        description: clauses.comment,
        storage_descriptor: StorageDescriptor {
            columns,
            location: Some(location),
            input_format: Some(input),
            output_format: Some(output),
            serde_info: Some(SerDeInfo {
                name: None,
                serialization_library: Some(serde),
                parameters: serde_parameters,
            }),
            number_of_buckets,
            bucket_columns,
            ..StorageDescriptor::default()
        },
        partition_keys,
        table_type: Some("EXTERNAL_TABLE".to_owned()),
        parameters,
        ..Table::default()
    })
}

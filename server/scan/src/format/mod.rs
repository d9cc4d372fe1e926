//! Row formats: which SerDe reads a table, and the scan of its files line by line. One module per SerDe.
//!
//! Parquet is not in here; see `parquet_scan`.

mod avro;
mod codec;
mod columns;
mod json;
mod lazy_simple;
mod lines;
mod open_csv;
mod opener;
mod properties;
mod regex;
pub(crate) mod scan;
pub(crate) mod stored;
mod text;

use owlake_catalog::model::Parameters;
use owlake_catalog::{HiveType, Partition, StorageDescriptor, Table};

use self::avro::Avro;
use self::columns::ColumnBuilder;
use self::json::Json;
use self::lazy_simple::LazySimple;
use self::open_csv::OpenCsv;
use self::properties::Properties;
use self::regex::RegexRows;
use crate::error::ScanError;

const PARQUET_SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
const LAZY_SIMPLE_SERDE: &str = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe";

const OPEN_CSV_SERDE: &str = "org.apache.hadoop.hive.serde2.OpenCSVSerde";
const REGEX_SERDE: &str = "org.apache.hadoop.hive.serde2.RegexSerDe";
const OPENX_JSON_SERDE: &str = "org.openx.data.jsonserde.JsonSerDe";
/// The second is the name that Hive 4 moved it to.
const HIVE_JSON_SERDES: [&str; 2] = [
    "org.apache.hive.hcatalog.data.JsonSerDe",
    "org.apache.hadoop.hive.serde2.JsonSerDe",
];

const AVRO_SERDE: &str = "org.apache.hadoop.hive.serde2.avro.AvroSerDe";
const AVRO_INPUT: &str = "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat";

/// Input formats that are files of lines.
const LINE_INPUTS: [&str; 1] = ["org.apache.hadoop.mapred.TextInputFormat"];

/// How the files of a table are read.
#[derive(Debug, Clone)]
pub(crate) enum TableFormat {
    /// By `parquet_scan`.
    Parquet,
    /// By the readers of this room.
    Rows(std::sync::Arc<RowFormat>),
}

/// A SerDe with its properties, and the columns of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowFormat {
    serde: SerDe,
    /// Types of the file's columns, in order.
    columns: Vec<HiveType>,
    /// Their names.
    names: Vec<String>,
    /// Lines at the start of a file that are no rows.
    header_lines: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum SerDe {
    LazySimple(LazySimple),
    OpenCsv(OpenCsv),
    Json(Json),
    Regex(RegexRows),
    Avro(Avro),
}

/// Turns lines into rows.
pub(crate) trait RowDecoder: Send {
    /// Appends exactly one value to each builder, or fails with what is wrong with the line.
    fn decode(&mut self, line: &[u8], out: &mut [ColumnBuilder]) -> Result<(), String>;
}

impl TableFormat {
    /// The format of a table; a SerDe, an input format or a property that is not read is refused by name.
    pub(crate) fn of(table: &Table) -> Result<Self, ScanError> {
        let storage = &table.storage_descriptor;
        Self::of_storage(&table.qualified_name(), storage, &table.parameters)
    }

    fn of_storage(
        table: &str,
        storage: &StorageDescriptor,
        table_parameters: &Parameters,
    ) -> Result<Self, ScanError> {
        let info = storage.serde_info.as_ref();
        let refused = |what: String| ScanError::UnsupportedFormat {
            table: table.to_owned(),
            serde: what,
        };
        let Some(class) = info.and_then(|s| s.serialization_library.as_deref()) else {
            return Err(refused("no SerDe".to_owned()));
        };
        let short = class.rsplit('.').next().unwrap_or(class);
        let none = Parameters::default();
        let properties = Properties {
            table,
            serde: short,
            serde_parameters: info.map_or(&none, |s| &s.parameters),
            table_parameters,
        };
        if class == PARQUET_SERDE {
            return Ok(Self::Parquet);
        }
        let types = storage.columns.iter().map(|c| HiveType::parse(&c.data_type));
        let columns = types.collect::<Result<Vec<_>, _>>()?;
        let serde = match class {
            LAZY_SIMPLE_SERDE => SerDe::LazySimple(LazySimple::parse(&properties, &columns)?),
            OPEN_CSV_SERDE => SerDe::OpenCsv(OpenCsv::parse(&properties, &columns)?),
            OPENX_JSON_SERDE => SerDe::Json(Json::openx(&properties)?),
            AVRO_SERDE => SerDe::Avro(Avro::parse(&properties)?),
            REGEX_SERDE => SerDe::Regex(RegexRows::parse(&properties, &columns)?),
            class if HIVE_JSON_SERDES.contains(&class) => SerDe::Json(Json::hive(&properties)?),
            _ => return Err(refused(format!("SerDe `{class}`"))),
        };
        if let Some(input) = storage.input_format.as_deref()
            && match serde {
                SerDe::Avro(_) => input != AVRO_INPUT,
                _ => !LINE_INPUTS.contains(&input),
            }
        {
            return Err(refused(format!("input format `{input}` with {short}")));
        }
        properties.only("skip.footer.line.count", &["0"])?;
        properties.only("textinputformat.record.delimiter", &["\n"])?;
        Ok(Self::Rows(std::sync::Arc::new(RowFormat {
            serde,
            columns,
            names: storage.columns.iter().map(|c| c.name.clone()).collect(),
            header_lines: properties
                .first(&["skip.header.line.count"], properties::lines)?
                .unwrap_or(0),
        })))
    }
}

/// Refuses a partition of a Parquet table that has a SerDe of its own: its files would be taken for damaged ones.
pub(crate) fn check_parquet_partition(table: &Table, partition: &Partition) -> Result<(), ScanError> {
    let info = partition.storage_descriptor.serde_info.as_ref();
    match info.and_then(|info| info.serialization_library.as_deref()) {
        None | Some(PARQUET_SERDE) => Ok(()),
        Some(class) => Err(ScanError::UnsupportedFormat {
            table: table.qualified_name(),
            serde: format!(
                "SerDe `{class}` in partition {} of a Parquet table",
                Partition::spec(&table.partition_keys, &partition.values)
            ),
        }),
    }
}

impl RowFormat {
    /// The format of a registered partition: its own where it has one, else this.
    ///
    /// Columns are matched by position, so its columns have to have the types of the table's.
    pub(crate) fn of_partition(
        self: &std::sync::Arc<Self>,
        table: &Table,
        partition: &Partition,
    ) -> Result<std::sync::Arc<Self>, ScanError> {
        let (own, shared) = (&partition.storage_descriptor, &table.storage_descriptor);
        for (theirs, ours) in own.columns.iter().zip(&shared.columns) {
            if HiveType::parse(&theirs.data_type)? != HiveType::parse(&ours.data_type)? {
                return Err(ScanError::SchemaMismatch {
                    table: table.qualified_name(),
                    file: Partition::spec(&table.partition_keys, &partition.values),
                    column: ours.name.clone(),
                    declared: ours.data_type.clone(),
                    stored: theirs.data_type.clone(),
                });
            }
        }
        if own.serde_info.is_none() || own.serde_info == shared.serde_info {
            return Ok(std::sync::Arc::clone(self));
        }
        let storage = StorageDescriptor {
            columns: shared.columns.clone(),
            input_format: own.input_format.clone(),
            serde_info: own.serde_info.clone(),
            ..StorageDescriptor::default()
        };
        let mut parameters = table.parameters.clone();
        parameters.extend(partition.parameters.clone());
        let name = table.qualified_name();
        match TableFormat::of_storage(&name, &storage, &parameters)? {
            TableFormat::Rows(format) => Ok(format),
            TableFormat::Parquet => Err(ScanError::UnsupportedFormat {
                table: name,
                serde: format!(
                    "Parquet in partition {} of a table of another format",
                    Partition::spec(&table.partition_keys, &partition.values)
                ),
            }),
        }
    }

    /// A decoder of the file columns `wanted`, in ascending order; `Err` where rows are no lines.
    fn decoder(&self, wanted: &[usize]) -> Result<Box<dyn RowDecoder>, Avro> {
        Ok(match &self.serde {
            SerDe::Avro(serde) => return Err(serde.clone()),
            SerDe::LazySimple(serde) => Box::new(serde.decoder(&self.columns, wanted)),
            SerDe::OpenCsv(serde) => Box::new(serde.decoder(&self.columns, wanted)),
            SerDe::Regex(serde) => Box::new(serde.decoder(&self.columns, wanted)),
            SerDe::Json(serde) => {
                let columns: Vec<_> = self
                    .names
                    .iter()
                    .cloned()
                    .zip(self.columns.iter().cloned())
                    .collect();
                Box::new(serde.decoder(&columns, wanted))
            }
        })
    }

    /// Builders of the file columns `wanted`.
    fn builders(&self, wanted: &[usize]) -> Vec<ColumnBuilder> {
        wanted
            .iter()
            .filter_map(|i| self.columns.get(*i))
            .map(ColumnBuilder::top)
            .collect()
    }

    /// Whether a range of an uncompressed file can be read without what is before it.
    fn splits(&self) -> bool {
        if matches!(self.serde, SerDe::Avro(_)) {
            return false;
        }
        // One header line is within the first range wherever that ends: it is where it begins that counts.
        self.header_lines <= 1
    }
}

/// Refuses tables whose format is not read, by the name of what is not.
pub fn check_format(table: &Table) -> Result<(), ScanError> {
    TableFormat::of(table).map(|_| ())
}

/// Whether the columns of a table can be taken from its files.
pub fn describes_itself(table: &Table) -> bool {
    matches!(TableFormat::of(table), Ok(TableFormat::Parquet))
}

#[cfg(test)]
mod tests;

//! SHOW and DESCRIBE: one text column or a few, as Athena prints them.

use std::sync::Arc;

use owlake_catalog::projection::hive_location;
use owlake_catalog::{Column, HiveType, Table};
use owlake_dialect::{DatabaseName, DescribeStyle, DescribeTable, NamePattern, TableName};
use owlake_fault::{Code, Fault};

use super::{CommandOutcome, CommandRunner, refuse_reserved, text_rows};
use crate::authorizer::Action;
use crate::context::SessionSettings;
use crate::resolve::{INFORMATION_SCHEMA, SYSTEM_SCHEMA};
use crate::settings::SETTINGS;
use crate::system_tables::{INFORMATION_TABLES, SYSTEM_TABLES, visible_databases, visible_tables};

fn kept(pattern: Option<&NamePattern>, name: &str) -> bool {
    pattern.is_none_or(|p| p.matches(name))
}

fn one_column(name: &str, values: impl IntoIterator<Item = String>) -> Result<CommandOutcome, Fault> {
    Ok(CommandOutcome::rows(text_rows(
        [name],
        values.into_iter().map(|v| [Some(v)]).collect(),
    )?))
}

impl CommandRunner {
    pub(super) async fn show_databases(
        &self,
        pattern: Option<&NamePattern>,
    ) -> Result<CommandOutcome, Fault> {
        let names = visible_databases(&self.resolver, &self.context, &self.context.settings.catalog).await?;
        one_column("database_name", names.into_iter().filter(|n| kept(pattern, n)))
    }

    pub(super) async fn show_tables(
        &self,
        database: Option<&DatabaseName>,
        pattern: Option<&NamePattern>,
    ) -> Result<CommandOutcome, Fault> {
        let settings = &self.context.settings;
        let (catalog, name) = match database {
            Some(database) => self.full_database(database),
            None => (settings.catalog.clone(), settings.database.clone()),
        };
        let names: Vec<String> = match name.as_str() {
            SYSTEM_SCHEMA => SYSTEM_TABLES.iter().map(|t| (*t).to_owned()).collect(),
            INFORMATION_SCHEMA => INFORMATION_TABLES.iter().map(|t| (*t).to_owned()).collect(),
            _ => visible_tables(&self.resolver, &self.context, &catalog, &name)
                .await?
                .iter()
                .map(|t| t.name.clone())
                .collect(),
        };
        one_column("tab_name", names.into_iter().filter(|n| kept(pattern, n)))
    }

    async fn readable(&self, name: &TableName) -> Result<Arc<Table>, Fault> {
        self.row(&self.full_name(name), Action::Read).await
    }

    /// The row of a table, or what would be the row of one of `system` and `information_schema`.
    async fn described(&self, name: &TableName) -> Result<Arc<Table>, Fault> {
        let full = self.full_name(name);
        if refuse_reserved(&full.database).is_ok() {
            return self.row(&full, Action::Read).await;
        }
        let (catalog, database) = (&full.catalog, &full.database);
        let provider = self.resolver.table(&self.context, catalog, database, &full.table);
        let schema = provider.await?.schema();
        let columns = schema.fields().iter().map(|field| Column {
            name: field.name().clone(),
            data_type: HiveType::from_arrow(field.data_type())
                .map_or_else(|| field.data_type().to_string().to_lowercase(), |t| t.to_string()),
            comment: None,
        });
        let mut table = Table {
            table_type: Some("SYSTEM_TABLE".to_owned()),
            ..Table::default()
        };
        table.storage_descriptor.columns = columns.collect();
        (table.database_name, table.name) = (full.database, full.table);
        Ok(Arc::new(table))
    }

    pub(super) async fn show_partitions(&self, name: &TableName) -> Result<CommandOutcome, Fault> {
        let table = self.readable(name).await?;
        if table.partition_keys.is_empty() {
            return Err(Fault::new(
                Code::InvalidArguments,
                format!("table `{}` is not partitioned", table.qualified_name()),
            ));
        }
        let full = self.full_name(name);
        let store = self.resolver.catalog(&full.catalog)?;
        let partitions = store.partitions(&full.database, &full.table).await?;
        one_column(
            "partition",
            partitions.iter().map(|p| {
                hive_location("", &table.partition_keys, &p.values)
                    .trim_matches('/')
                    .to_owned()
            }),
        )
    }

    pub(super) async fn show_columns(&self, name: &TableName) -> Result<CommandOutcome, Fault> {
        let table = self.described(name).await?;
        let all = table
            .storage_descriptor
            .columns
            .iter()
            .chain(&table.partition_keys);
        one_column("field", all.map(|c| c.name.clone()).collect::<Vec<_>>())
    }

    pub(super) async fn show_table_properties(
        &self,
        name: &TableName,
        property: Option<&str>,
    ) -> Result<CommandOutcome, Fault> {
        let table = self.readable(name).await?;
        if let Some(key) = property
            && !table.parameters.contains_key(key)
        {
            return Err(Fault::new(
                Code::InvalidTableProperty,
                format!("table `{}` has no property `{key}`", table.qualified_name()),
            ));
        }
        let rows = table
            .parameters
            .iter()
            .filter(|(key, _)| property.is_none_or(|p| p == key.as_str()))
            .map(|(key, value)| [Some(key.clone()), Some(value.clone())])
            .collect();
        Ok(CommandOutcome::rows(text_rows(
            ["prpt_name", "prpt_value"],
            rows,
        )?))
    }

    pub(super) fn show_session(&self, pattern: Option<&NamePattern>) -> Result<CommandOutcome, Fault> {
        let fresh = SessionSettings::default();
        let rows = SETTINGS
            .iter()
            .filter(|s| kept(pattern, s.name))
            .map(|s| {
                [
                    Some(s.name.to_owned()),
                    self.context.settings.get(s.name),
                    fresh.get(s.name),
                    Some("varchar".to_owned()),
                    Some(s.description.to_owned()),
                ]
            })
            .collect();
        Ok(CommandOutcome::rows(text_rows(
            ["name", "value", "default", "type", "description"],
            rows,
        )?))
    }

    pub(super) async fn show_create_table(&self, name: &TableName) -> Result<CommandOutcome, Fault> {
        let table = self.readable(name).await?;
        let catalog = self.full_name(name).catalog;
        if self.resolver.connector(&catalog).is_some() {
            return Err(Fault::new(
                Code::NotSupported,
                format!(
                    "catalog `{catalog}` is another database, which alone can tell how a table is created"
                ),
            )
            .with_hint("DESCRIBE shows its columns."));
        }
        one_column(
            "createtab_stmt",
            create_statement(&table)
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    }

    pub(super) async fn describe(&self, describe: &DescribeTable) -> Result<CommandOutcome, Fault> {
        if describe.partition.is_some() || describe.column.len() > 1 {
            return Err(Fault::new(
                Code::NotSupported,
                "DESCRIBE of a partition or a nested column is not supported yet",
            ));
        }
        let table = self.described(&describe.table).await?;
        let text = |v: &str| Some(v.to_owned());
        let mut rows: Vec<[Option<String>; 3]> = Vec::new();
        let all = table
            .storage_descriptor
            .columns
            .iter()
            .chain(&table.partition_keys);
        for column in all {
            if describe.column.first().is_none_or(|c| *c == column.name) {
                rows.push([
                    text(&column.name),
                    text(&column.data_type),
                    column.comment.clone().or_else(|| text("")),
                ]);
            }
        }
        if let (Some(column), true) = (describe.column.first(), rows.is_empty()) {
            return Err(Fault::new(
                Code::ColumnNotFound,
                format!("table `{}` has no column `{column}`", table.qualified_name()),
            ));
        }
        if describe.column.is_empty() && !table.partition_keys.is_empty() {
            rows.push([text(""), None, None]);
            rows.push([text("# Partition Information"), None, None]);
            rows.push([text("# col_name"), text("data_type"), text("comment")]);
            rows.push([text(""), None, None]);
            for key in &table.partition_keys {
                rows.push([
                    text(&key.name),
                    text(&key.data_type),
                    key.comment.clone().or_else(|| text("")),
                ]);
            }
        }
        if describe.style != DescribeStyle::Columns && describe.column.is_empty() {
            rows.push([text(""), None, None]);
            rows.push([text("# Detailed Table Information"), None, None]);
            rows.extend(details(&table).into_iter().map(|(k, v)| [Some(k), Some(v), None]));
        }
        Ok(CommandOutcome::rows(text_rows(
            ["col_name", "data_type", "comment"],
            rows,
        )?))
    }
}

fn details(table: &Table) -> Vec<(String, String)> {
    let storage = &table.storage_descriptor;
    let serde = storage
        .serde_info
        .as_ref()
        .and_then(|s| s.serialization_library.clone())
        .unwrap_or_default();
    let mut rows = vec![
        ("Database:".to_owned(), table.database_name.clone()),
        ("Table:".to_owned(), table.name.clone()),
        (
            "Table Type:".to_owned(),
            table.table_type.clone().unwrap_or_default(),
        ),
        (
            "Location:".to_owned(),
            storage.location.clone().unwrap_or_default(),
        ),
        ("SerDe Library:".to_owned(), serde),
        (
            "InputFormat:".to_owned(),
            storage.input_format.clone().unwrap_or_default(),
        ),
        (
            "OutputFormat:".to_owned(),
            storage.output_format.clone().unwrap_or_default(),
        ),
    ];
    rows.extend(
        table
            .parameters
            .iter()
            .map(|(k, v)| (format!("Parameter {k}:"), v.clone())),
    );
    rows
}

/// A statement that creates the same table again.
fn create_statement(table: &Table) -> String {
    let column = |c: &owlake_catalog::Column| {
        let comment = c
            .comment
            .as_ref()
            .map(|t| format!(" COMMENT {}", quote(t)))
            .unwrap_or_default();
        format!("  `{}` {}{comment}", c.name, c.data_type)
    };
    let list =
        |columns: &[owlake_catalog::Column]| columns.iter().map(column).collect::<Vec<_>>().join(",\n");
    let pairs = |map: &owlake_catalog::model::Parameters| {
        map.iter()
            .map(|(k, v)| format!("  {}={}", quote(k), quote(v)))
            .collect::<Vec<_>>()
            .join(",\n")
    };
    let storage = &table.storage_descriptor;
    let mut out = format!(
        "CREATE EXTERNAL TABLE `{}.{}`(\n{})\n",
        table.database_name,
        table.name,
        list(&storage.columns)
    );
    if let Some(comment) = &table.description {
        out += &format!("COMMENT {}\n", quote(comment));
    }
    if !table.partition_keys.is_empty() {
        out += &format!("PARTITIONED BY (\n{})\n", list(&table.partition_keys));
    }
    if let Some(serde) = &storage.serde_info {
        if let Some(class) = &serde.serialization_library {
            out += &format!("ROW FORMAT SERDE\n  {}\n", quote(class));
        }
        if !serde.parameters.is_empty() {
            out += &format!("WITH SERDEPROPERTIES (\n{})\n", pairs(&serde.parameters));
        }
    }
    if let (Some(input), Some(output)) = (&storage.input_format, &storage.output_format) {
        out += &format!(
            "STORED AS INPUTFORMAT\n  {}\nOUTPUTFORMAT\n  {}\n",
            quote(input),
            quote(output)
        );
    }
    if let Some(location) = &storage.location {
        out += &format!("LOCATION\n  {}\n", quote(location));
    }
    let shown: owlake_catalog::model::Parameters = table
        .parameters
        .iter()
        .filter(|(k, _)| *k != "EXTERNAL")
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    if !shown.is_empty() {
        out += &format!("TBLPROPERTIES (\n{})\n", pairs(&shown));
    }
    out
}

/// A literal of Hive DDL; what cannot be seen, as a delimiter often cannot, is written as an escape.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => out.push_str(&format!("\\{:03o}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// Functions of the allow-list.
pub(super) fn show_functions(pattern: Option<&NamePattern>) -> Result<CommandOutcome, Fault> {
    let set = owlake_dialect::functions::function_set();
    let mut names: Vec<String> = set
        .scalar
        .iter()
        .flat_map(|f| std::iter::once(f.name()).chain(f.aliases().iter().map(String::as_str)))
        .chain(
            set.aggregate
                .iter()
                .flat_map(|f| std::iter::once(f.name()).chain(f.aliases().iter().map(String::as_str))),
        )
        .chain(
            set.window
                .iter()
                .flat_map(|f| std::iter::once(f.name()).chain(f.aliases().iter().map(String::as_str))),
        )
        .map(str::to_owned)
        .filter(|n| kept(pattern, n))
        .collect();
    names.sort_unstable();
    names.dedup();
    one_column("function", names)
}

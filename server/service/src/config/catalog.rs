//! `[[catalog]]`: other databases beside the lake.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};

use super::ConfigError;

/// One catalog over another database. What the connector's properties mean is the connector's.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct CatalogConfig {
    /// Its name in SQL, lower case.
    pub name: String,
    /// What kind of database: `postgresql`.
    pub connector: String,
    /// Everything else. `user` and `password` keep their references `${ENV:X}`, `${FILE:X}`: they are followed each
    /// time a connection is made.
    #[serde(flatten, deserialize_with = "properties")]
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for CatalogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.properties.keys().collect();
        f.debug_struct("CatalogConfig")
            .field("name", &self.name)
            .field("connector", &self.connector)
            .field("properties", &names)
            .finish()
    }
}

/// What a property may be written as.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected text, a whole number, true or false, or a list of texts"
)]
enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    List(Vec<String>),
}

fn properties<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let text = |value| match value {
        Value::Text(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::List(items) => items.join(","),
    };
    Ok(values
        .into_iter()
        .map(|(name, value)| (name, text(value)))
        .collect())
}

/// What no single entry shows, or no type can say.
pub(super) fn check(catalogs: &[CatalogConfig]) -> Result<(), ConfigError> {
    let invalid = |message| ConfigError::Invalid {
        section: "catalog",
        message,
    };
    if let Some(bad) = catalogs
        .iter()
        .find(|catalog| !owlake_engine::catalog_name_is_usable(&catalog.name))
    {
        return Err(invalid(format!(
            "name `{}` is taken or is not made of lower-case letters, digits, `_`, `-` and `@`",
            bad.name
        )));
    }
    match first_twice(catalogs.iter().map(|catalog| catalog.name.as_str())) {
        Some(twice) => Err(invalid(format!("name `{twice}` is there twice"))),
        None => Ok(()),
    }
}

/// The first name that was there before.
pub(super) fn first_twice<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = std::collections::HashSet::new();
    names.find(|name| !seen.insert(*name))
}

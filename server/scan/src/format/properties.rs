//! SERDEPROPERTIES and TBLPROPERTIES of a row format: read, or refused by name.

use owlake_catalog::model::Parameters;

use crate::error::ScanError;

/// The properties of one table or partition. Those of the SerDe win over those of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Properties<'a> {
    /// `database.table`, for errors.
    pub table: &'a str,
    /// Short name of the SerDe, for errors.
    pub serde: &'a str,
    /// SERDEPROPERTIES.
    pub serde_parameters: &'a Parameters,
    /// TBLPROPERTIES.
    pub table_parameters: &'a Parameters,
}

impl<'a> Properties<'a> {
    /// The text of a property.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.serde_parameters
            .get(key)
            .or_else(|| self.table_parameters.get(key))
            .map(String::as_str)
    }

    /// `true` in any case; anything else, and absence, is false as in Hive.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The first of `keys` that is set, read by `read`; an empty text counts as not set.
    pub(crate) fn first<T>(
        &self,
        keys: &[&str],
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ScanError> {
        for key in keys {
            if let Some(value) = self.get(key).filter(|value| !value.is_empty()) {
                return read(value)
                    .map(Some)
                    .map_err(|reason| self.bad(key, value, &reason));
            }
        }
        Ok(None)
    }

    /// Refuses properties that would change what is read, and that are not built.
    pub(crate) fn refuse(&self, keys: &[&str]) -> Result<(), ScanError> {
        match keys.iter().find(|key| self.get(key).is_some()) {
            Some(key) => Err(self.unsupported(&format!("property `{key}` is not read yet"))),
            None => Ok(()),
        }
    }

    /// Refuses a property with any other value than these.
    pub(crate) fn only(&self, key: &str, values: &[&str]) -> Result<(), ScanError> {
        match self.get(key) {
            Some(value) if !values.contains(&value) => Err(self.unsupported(&format!(
                "property `{key}` = {value:?} is not read, only {:?} is",
                values.first().unwrap_or(&"")
            ))),
            _ => Ok(()),
        }
    }

    /// A property whose value means nothing.
    pub(crate) fn bad(&self, key: &str, value: &str, reason: &str) -> ScanError {
        ScanError::BadProperty {
            table: self.table.to_owned(),
            serde: self.serde.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// Something Athena may do with this SerDe, and this server does not.
    pub(crate) fn unsupported(&self, what: &str) -> ScanError {
        ScanError::UnsupportedProperty {
            table: self.table.to_owned(),
            serde: self.serde.to_owned(),
            what: what.to_owned(),
        }
    }
}

/// A delimiter as Hive reads it: the number of a byte, or else the first character.
pub(crate) fn delimiter(text: &str) -> Result<u8, String> {
    if let Ok(number) = text.parse::<i8>() {
        return Ok(number.cast_unsigned());
    }
    match text.chars().next() {
        Some(first) if first.is_ascii() => Ok(first as u8),
        _ => Err("is no ASCII character and no number of a byte".to_owned()),
    }
}

/// A number of lines.
pub(crate) fn lines(text: &str) -> Result<u64, String> {
    text.trim()
        .parse()
        .map_err(|_| "is no number of lines".to_owned())
}

/// What `read` makes of a table `db.t` with these SERDEPROPERTIES and no others.
#[cfg(test)]
pub(crate) fn with_serde<T>(
    serde: &str,
    properties: &[(&str, &str)],
    read: impl FnOnce(&Properties<'_>) -> T,
) -> T {
    let pairs = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    read(&Properties {
        table: "db.t",
        serde,
        serde_parameters: &pairs.collect(),
        table_parameters: &Parameters::default(),
    })
}

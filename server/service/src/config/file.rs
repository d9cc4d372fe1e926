//! From TOML text to [`Config`]: substitution of `${ENV:X}` and `${FILE:path}`, the overlay of
//! `OWLAKE_<SECTION>__<KEY>`, and errors with their place.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, ConfigError, Environment};

const PREFIX: &str = "OWLAKE_";
/// Keys of `[[catalog]]` whose references are followed each time a connection is made.
const KEPT: &[&str] = &["user", "password"];

pub(super) fn parse(text: &str, place: &str, environment: &Environment) -> Result<Config, ConfigError> {
    let located = |message: String, span: Option<Range<usize>>| {
        let (line, column) = position(text, span.map_or(0, |span| span.start));
        ConfigError::File {
            place: place.to_owned(),
            line,
            column,
            message,
        }
    };
    let mut document = DeTable::parse(text).map_err(|e| located(e.message().to_owned(), e.span()))?;
    for (name, value) in document.get_mut().iter_mut() {
        let kept = if name.get_ref() == "catalog" { KEPT } else { &[] };
        substitute(value, environment, kept).map_err(|(message, span)| located(message, Some(span)))?;
    }
    overlay(document.get_mut(), environment)?;
    Config::deserialize(toml::Deserializer::from(document))
        .map_err(|e| located(e.message().to_owned(), e.span()))
}

/// Line and column, both from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// Replaces references in every text below `value` but those of keys in `kept`; an error comes with the place of
/// its text.
fn substitute(
    value: &mut Spanned<DeValue<'_>>,
    environment: &Environment,
    kept: &[&str],
) -> Result<(), (String, Range<usize>)> {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) if text.contains("${") => {
            let replaced = expand(text, environment).map_err(|message| (message, span))?;
            *text = Cow::Owned(replaced);
            Ok(())
        }
        DeValue::Array(items) => items
            .iter_mut()
            .try_for_each(|item| substitute(item, environment, kept)),
        DeValue::Table(table) => table
            .iter_mut()
            .filter(|(key, _)| !kept.contains(&key.get_ref().as_ref()))
            .try_for_each(|(_, item)| substitute(item, environment, kept)),
        _ => Ok(()),
    }
}

/// Error texts name the variable or file, never what it holds.
fn expand(text: &str, environment: &Environment) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let (reference, tail) = after.split_once('}').ok_or("`${` without its `}`")?;
        match reference.split_once(':') {
            Some(("ENV", name)) => {
                out.push_str(
                    environment
                        .get(name)
                        .ok_or(format!("environment variable {name} is not set"))?,
                );
            }
            Some(("FILE", path)) => {
                let content = std::fs::read_to_string(path)
                    .map_err(|error| format!("file `{path}` cannot be read: {error}"))?;
                out.push_str(content.trim_end_matches(['\n', '\r']));
            }
            _ => return Err("a reference is `${ENV:NAME}` or `${FILE:/path}`".to_owned()),
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// Puts every `OWLAKE_<SECTION>__<KEY>` into the document.
///
/// Each is first read alone, so that an error can name its variable.
fn overlay(document: &mut DeTable<'_>, environment: &Environment) -> Result<(), ConfigError> {
    for (name, value) in &environment.0 {
        let Some((section, key)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let error = |message: String| ConfigError::Variable {
            name: name.clone(),
            message,
        };
        let (section, key) = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
        if section == "location" || section == "workgroup" {
            return Err(error(format!(
                "[[{section}]] has several entries and is set in the file only"
            )));
        }
        let value = expand(value, environment).map_err(&error)?;
        let mut alone = DeTable::new();
        insert(&mut alone, &section, &key, &value);
        Config::deserialize(toml::Deserializer::from(Spanned::new(0..0, alone)))
            .map_err(|e| error(e.message().to_owned()))?;
        insert(document, &section, &key, &value);
    }
    Ok(())
}

fn insert(document: &mut DeTable<'_>, section: &str, key: &str, value: &str) {
    let owned = |text: &str| Spanned::new(0..0, Cow::Owned(text.to_owned()));
    let value = Spanned::new(0..0, DeValue::String(Cow::Owned(value.to_owned())));
    let entry = document
        .entry(owned(section))
        .or_insert_with(|| Spanned::new(0..0, DeValue::Table(DeTable::new())));
    // A section that is no table is reported when the whole document is read.
    if let DeValue::Table(table) = entry.get_mut() {
        table.remove(key);
        table.insert(owned(key), value);
    }
}

/// A value as TOML writes it, or the text that a reference or a variable gave.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Native(T),
    Text(String),
}

impl<T: std::str::FromStr> Lenient<T> {
    fn get<E: serde::de::Error>(self, expected: &str) -> Result<T, E> {
        match self {
            Lenient::Native(value) => Ok(value),
            Lenient::Text(text) => text
                .trim()
                .parse()
                .map_err(|_| E::custom(format!("`{text}` is not {expected}"))),
        }
    }
}

const COUNT: &str = "a whole number from 0 to 4294967295";

pub(super) fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Lenient::<bool>::deserialize(deserializer);
    value
        .map_err(|_| D::Error::custom("expected true or false"))?
        .get("true or false")
}

pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = Lenient::<u32>::deserialize(deserializer);
    value
        .map_err(|_| D::Error::custom(format!("expected {COUNT}")))?
        .get(COUNT)
}

pub(super) fn optional_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    count(deserializer).map(Some)
}

pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU32, D::Error> {
    NonZeroU32::new(count(deserializer)?).ok_or_else(|| D::Error::custom("it has to be at least 1"))
}

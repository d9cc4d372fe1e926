//! JSON, one object a line: Hive's `JsonSerDe` and OpenX's `JsonSerDe`, which forgives more.
//!
//! Values are cut out of the line as they stand there: numbers keep their digits, and text columns can hold the JSON of
//! an object. serde_json checks them and finds their ends. What a value means for a column is in `value`.

mod parts;
mod value;

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use owlake_catalog::HiveType;

use self::parts::{Member, Parts, elements, members, scalar_text};
use self::value::Rules;
use super::RowDecoder;
use super::columns::{ColumnBuilder, Scalar};
use super::properties::Properties;
use crate::error::ScanError;

/// One of the two SerDes with its properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Json {
    rules: Rules,
    /// A line that is no JSON is a row of NULLs instead of an error.
    ignore_malformed: bool,
    any_case: bool,
    dots: bool,
    /// Name in the file by column.
    mapping: Vec<(String, String)>,
}

impl Json {
    /// `org.apache.hive.hcatalog.data.JsonSerDe`
    pub(crate) fn hive(properties: &Properties<'_>) -> Result<Self, ScanError> {
        properties.refuse(&["timestamp.formats"])?;
        Ok(Self {
            rules: Rules::Hive,
            ignore_malformed: false,
            any_case: true,
            dots: false,
            mapping: Vec::new(),
        })
    }

    /// `org.openx.data.jsonserde.JsonSerDe`
    pub(crate) fn openx(properties: &Properties<'_>) -> Result<Self, ScanError> {
        properties.refuse(&["timestamp.formats"])?;
        let any_case = properties
            .get("case.insensitive")
            .is_none_or(|v| v.eq_ignore_ascii_case("true"));
        let mapping = properties
            .serde_parameters
            .iter()
            .filter_map(|(key, name)| Some((key.strip_prefix("mapping.")?.to_owned(), name.clone())))
            .collect();
        Ok(Self {
            rules: Rules::OpenX,
            ignore_malformed: properties.flag("ignore.malformed.json"),
            any_case,
            dots: properties.flag("dots.in.keys"),
            mapping,
        })
    }

    /// A decoder of the columns `wanted` (ascending) of all `columns`.
    pub(crate) fn decoder(&self, columns: &[(String, HiveType)], wanted: &[usize]) -> JsonDecoder {
        let wanted_columns: Vec<_> = wanted.iter().filter_map(|i| columns.get(*i).cloned()).collect();
        JsonDecoder {
            fields: self.fields(&wanted_columns),
            serde: self.clone(),
            ordinals: wanted.to_vec(),
        }
    }

    fn fields(&self, fields: &[(String, HiveType)]) -> Fields {
        let mut names = HashMap::new();
        let mut dotted = HashMap::new();
        for (index, (name, _)) in fields.iter().enumerate() {
            let mapped = self.mapping.iter().find(|(column, _)| column == name);
            let in_file = mapped.map_or(name.as_str(), |(_, in_file)| in_file.as_str());
            names.insert(self.folded(in_file).into_owned(), index);
            if self.dots && name.contains('_') {
                dotted.insert(self.folded(name).into_owned(), index);
            }
        }
        Fields {
            names,
            dotted,
            shapes: fields.iter().map(|(_, hive)| self.shape(hive)).collect(),
        }
    }

    fn shape(&self, hive: &HiveType) -> Shape {
        match hive {
            HiveType::Array(element) => Shape::List(Box::new(self.shape(element))),
            HiveType::Map(key, value) => Shape::Map((**key).clone(), Box::new(self.shape(value))),
            HiveType::Struct(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|f| (f.name.clone(), f.data_type.clone()))
                    .collect();
                Shape::Struct(self.fields(&fields))
            }
            primitive => Shape::Scalar(primitive.clone()),
        }
    }

    fn folded<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.any_case && name.chars().any(char::is_uppercase) {
            Cow::Owned(name.to_lowercase())
        } else {
            Cow::Borrowed(name)
        }
    }
}

/// Fields of a row or struct by their names in the file.
struct Fields {
    names: HashMap<String, usize>,
    /// Names with an underscore where the file may have a dot.
    dotted: HashMap<String, usize>,
    shapes: Vec<Shape>,
}

enum Shape {
    Scalar(HiveType),
    List(Box<Shape>),
    Map(HiveType, Box<Shape>),
    Struct(Fields),
}

/// Decodes lines.
pub(crate) struct JsonDecoder {
    serde: Json,
    fields: Fields,
    /// Position in the table of each wanted column: a line may be an array of columns.
    ordinals: Vec<usize>,
}

impl RowDecoder for JsonDecoder {
    fn decode(&mut self, line: &[u8], out: &mut [ColumnBuilder]) -> Result<(), String> {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        let found = match self.serde.rules {
            Rules::Hive => self.hive_row(line)?,
            Rules::OpenX => match self.openx_row(line) {
                Ok(found) => found,
                Err(_) if self.serde.ignore_malformed => vec![None; out.len()],
                Err(reason) => return Err(reason),
            },
        };
        for ((value, shape), builder) in found.into_iter().zip(&self.fields.shapes).zip(out) {
            match value {
                Some(value) => self.serde.value(shape, value, builder)?,
                None => builder.append_null(),
            }
        }
        Ok(())
    }
}

impl JsonDecoder {
    fn hive_row<'a>(&self, line: &'a str) -> Result<Vec<Option<&'a str>>, String> {
        // What follows the object is not looked at, as in Hive.
        let mut parts = Parts::of(line);
        let members = parts.members().map_err(|e| format!("no JSON object: {e}"))?;
        self.serde.by_field(&self.fields, members)
    }

    fn openx_row<'a>(&self, line: &'a str) -> Result<Vec<Option<&'a str>>, String> {
        match line.as_bytes().first() {
            Some(b'{') => {
                let members = members(line).map_err(|e| format!("no JSON object: {e}"))?;
                self.serde.by_field(&self.fields, members)
            }
            Some(b'[') => {
                let values = elements(line).map_err(|e| format!("no JSON array: {e}"))?;
                Ok(self.ordinals.iter().map(|i| values.get(*i).copied()).collect())
            }
            // Anything else is a row without values.
            _ => Ok(vec![None; self.ordinals.len()]),
        }
    }
}

impl Json {
    /// The members that fields want, in the order of the fields.
    fn by_field<'a>(
        &self,
        fields: &Fields,
        members: Vec<Member<'a>>,
    ) -> Result<Vec<Option<&'a str>>, String> {
        let mut found = vec![None; fields.shapes.len()];
        let mut by_dots = vec![None; if self.dots { fields.shapes.len() } else { 0 }];
        for (name, value) in members {
            let name = self.folded(&name);
            if let Some(index) = fields.names.get(name.as_ref()) {
                if found[*index].replace(value).is_some() {
                    return Err(format!("the name `{name}` is there twice"));
                }
            } else if self.dots
                && name.contains('.')
                && let Some(index) = fields.dotted.get(&name.replace('.', "_"))
            {
                by_dots[*index].get_or_insert(value);
            }
        }
        for (found, dotted) in found.iter_mut().zip(by_dots) {
            *found = found.or(dotted);
        }
        Ok(found)
    }

    fn value(&self, shape: &Shape, raw: &str, builder: &mut ColumnBuilder) -> Result<(), String> {
        if raw == "null" {
            builder.append_null();
            return Ok(());
        }
        match (shape, builder) {
            (Shape::Scalar(hive), builder) => builder.append(self.rules.scalar(hive, raw)?),
            (Shape::List(element), builder) => self.list(element, raw, builder),
            (Shape::Map(key, value), builder) => self.map(key, value, raw, builder),
            (Shape::Struct(fields), builder) => self.row(fields, raw, builder),
        }
    }

    fn list(&self, element: &Shape, raw: &str, builder: &mut ColumnBuilder) -> Result<(), String> {
        let ColumnBuilder::List(list) = builder else {
            return Err("a list for a column that is none".to_owned());
        };
        if raw.starts_with('[') {
            for value in elements(raw)? {
                self.value(element, value, &mut list.elements)?;
                list.element_done();
            }
        } else if self.rules == Rules::Hive {
            return Err(format!("an array expected, not {}", shown(raw)));
        } else if raw == "\"\"" {
            builder.append_null();
            return Ok(());
        } else {
            // One value stands for a list of one.
            self.value(element, raw, &mut list.elements)?;
            list.element_done();
        }
        list.close();
        Ok(())
    }

    fn map(
        &self,
        key_type: &HiveType,
        value: &Shape,
        raw: &str,
        builder: &mut ColumnBuilder,
    ) -> Result<(), String> {
        if self.is_blank_text(raw)? {
            builder.append_null();
            return Ok(());
        }
        let ColumnBuilder::Map(map) = builder else {
            return Err("a map for a column that is none".to_owned());
        };
        if !raw.starts_with('{') {
            return Err(format!("an object expected, not {}", shown(raw)));
        }
        let mut entries: Vec<(Scalar<'_>, &str)> = Vec::new();
        let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
        for (name, value) in members(raw)? {
            // The key of a map is text in JSON, whatever it is in the table.
            let Some(key) = self.rules.key(key_type, name)? else {
                continue;
            };
            match places.entry(key.identity()) {
                Entry::Occupied(place) => entries[*place.get()].1 = value,
                Entry::Vacant(place) => {
                    place.insert(entries.len());
                    entries.push((key, value));
                }
            }
        }
        for (key, raw) in entries {
            map.key(key)?;
            self.value(value, raw, &mut map.values)?;
        }
        map.close();
        Ok(())
    }

    fn row(&self, fields: &Fields, raw: &str, builder: &mut ColumnBuilder) -> Result<(), String> {
        let ColumnBuilder::Struct(parts) = builder else {
            return Err("a struct for a column that is none".to_owned());
        };
        let found = if raw.starts_with('{') {
            self.by_field(fields, members(raw)?)?
        } else if raw.starts_with('[') && self.rules == Rules::OpenX {
            let values = elements(raw)?;
            (0..fields.shapes.len()).map(|i| values.get(i).copied()).collect()
        } else if self.is_blank_text(raw)? {
            vec![None; fields.shapes.len()]
        } else {
            return Err(format!("an object expected, not {}", shown(raw)));
        };
        for ((value, shape), child) in found.into_iter().zip(&fields.shapes).zip(&mut parts.children) {
            match value {
                Some(value) => self.value(shape, value, child)?,
                None => child.append_null(),
            }
        }
        parts.close();
        Ok(())
    }

    /// OpenX takes a text of blanks for nothing.
    fn is_blank_text(&self, raw: &str) -> Result<bool, String> {
        Ok(self.rules == Rules::OpenX && raw.starts_with('"') && scalar_text(raw)?.trim().is_empty())
    }
}

/// A value in an error, cut to a length that fits one.
fn shown(raw: &str) -> String {
    const MOST: usize = 60;
    match raw.char_indices().nth(MOST) {
        Some((end, _)) => format!("`{}...`", &raw[..end]),
        None => format!("`{raw}`"),
    }
}

#[cfg(test)]
mod tests;

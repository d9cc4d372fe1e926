//! JSON functions over a subset of JSONPath: members by name, elements by index.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::error::Result;

use super::call::Call;
use super::json_text::{Kind, Malformed, Reader, Step, parse_path};
use super::signature::Param::{Bigint, Bool, Double, Varchar};
use super::signature::over;
use super::udf::{Json, Spec, json_spec};
use crate::semantics::error::{bad_argument, bad_cast, not_supported};

const UTF8: &DataType = &DataType::Utf8;
const INT: &DataType = &DataType::Int64;
const BOOL: &DataType = &DataType::Boolean;

pub(super) static SPECS: &[Spec] = &[
    json_spec(
        "json_extract_scalar",
        Json::In,
        &[over(&[Varchar, Varchar], UTF8, extract_scalar)],
    ),
    json_spec(
        "json_extract",
        Json::InOut,
        &[over(&[Varchar, Varchar], UTF8, extract)],
    ),
    json_spec("json_parse", Json::Out, &[over(&[Varchar], UTF8, parse)]),
    json_spec(
        "json_format",
        Json::In,
        &[over(&[Varchar], UTF8, |c| {
            let a = c.text(0)?;
            c.build_text(|r| Ok(a.get(r).map(Into::into)))
        })],
    ),
    json_spec(
        "json_array_length",
        Json::In,
        &[over(&[Varchar], INT, array_length)],
    ),
    json_spec("json_size", Json::In, &[over(&[Varchar, Varchar], INT, size)]),
    json_spec("is_json_scalar", Json::In, &[over(&[Varchar], BOOL, is_scalar)]),
    json_spec(
        "json_array_contains",
        Json::In,
        &[
            over(&[Varchar, Bool], BOOL, |c| {
                let wanted = c.boolean(1)?;
                array_contains(
                    c,
                    |r| Ok(wanted.get(r)),
                    |item, w| {
                        item.kind() == Ok(Kind::Boolean)
                            && item.raw() == Ok(if *w { "true" } else { "false" })
                    },
                )
            }),
            over(&[Varchar, Bigint], BOOL, |c| {
                let wanted = c.int(1)?;
                array_contains(
                    c,
                    |r| Ok(wanted.get(r)),
                    |item, w| {
                        item.kind() == Ok(Kind::Number) && item.raw().is_ok_and(|n| n.parse() == Ok(*w))
                    },
                )
            }),
            over(&[Varchar, Double], BOOL, |c| {
                let wanted = c.primitive::<Float64Type>(1)?;
                array_contains(
                    c,
                    |r| Ok(wanted.get(r)),
                    |item, w| {
                        item.kind() == Ok(Kind::Number)
                            && item
                                .raw()
                                .is_ok_and(|n| n.contains(['.', 'e', 'E']) && n.parse() == Ok(*w))
                    },
                )
            }),
            over(&[Varchar, Varchar], BOOL, |c| {
                let wanted = c.text(1)?;
                array_contains(
                    c,
                    |r| Ok(wanted.get(r)),
                    |item, w| item.kind() == Ok(Kind::Text) && item.string().is_ok_and(|s| s == **w),
                )
            }),
        ],
    ),
];

/// Remembers the last path: it is a constant nearly always.
struct Paths {
    text: String,
    steps: Vec<Step>,
}

impl Paths {
    fn new() -> Self {
        Self {
            text: "$".to_owned(),
            steps: Vec::new(),
        }
    }

    fn get(&mut self, path: &str) -> Result<&[Step]> {
        if self.text != path {
            self.steps = parse_path(path)
                .ok_or_else(|| not_supported(&format!("the JSON path '{path}'"), "json-paths"))?;
            path.clone_into(&mut self.text);
        }
        Ok(&self.steps)
    }
}

fn extract_scalar(c: &Call) -> Result<ArrayRef> {
    at_path(c, |found| match found.kind()? {
        Kind::Text => found.string().map(Some),
        Kind::Number | Kind::Boolean => found.raw().map(|s| Some(s.to_owned())),
        Kind::Null | Kind::Object | Kind::Array => Ok(None),
    })
}

fn extract(c: &Call) -> Result<ArrayRef> {
    at_path(c, |found| {
        let mut out = String::new();
        found.write(&mut out, false, 0)?;
        Ok(Some(out))
    })
}

/// What `value` makes of the place that the path names; malformed text has no value at any path.
fn at_path(c: &Call, value: impl Fn(Reader<'_>) -> Result<Option<String>, Malformed>) -> Result<ArrayRef> {
    let (text, path) = (c.text(0)?, c.text(1)?);
    let mut paths = Paths::new();
    c.build_text(|r| {
        let (Some(text), Some(path)) = (text.get(r), path.get(r)) else {
            return Ok(None);
        };
        let steps = paths.get(path)?;
        let found = Reader::new(text).and_then(|reader| reader.find(steps));
        let text = found.and_then(|found| found.map_or(Ok(None), &value));
        Ok(text.unwrap_or(None).map(Into::into))
    })
}

fn parse(c: &Call) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build_text(|r| {
        let Some(text) = a.get(r) else { return Ok(None) };
        let mut out = String::new();
        Reader::new(text)
            .and_then(|json| json.write(&mut out, true, 0))
            .map_err(|Malformed| bad_argument("Cannot convert value to JSON: the text is not valid JSON"))?;
        Ok(Some(out.into()))
    })
}

fn array_length(c: &Call) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build::<Int64Type>(|r| {
        Ok(a.get(r).and_then(|text| {
            let json = Reader::new(text).ok()?;
            (json.kind() == Ok(Kind::Array)).then(|| json.list().map(|l| l.len() as i64).ok())?
        }))
    })
}

fn size(c: &Call) -> Result<ArrayRef> {
    let (text, path) = (c.text(0)?, c.text(1)?);
    let mut paths = Paths::new();
    c.build::<Int64Type>(|r| {
        let (Some(text), Some(path)) = (text.get(r), path.get(r)) else {
            return Ok(None);
        };
        let steps = paths.get(path)?;
        let count = || -> Result<Option<i64>, Malformed> {
            Reader::new(text)?
                .find(steps)?
                .map(|found| found.list().map(|l| l.len() as i64))
                .transpose()
        };
        Ok(count().unwrap_or(None))
    })
}

fn is_scalar(c: &Call) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build_bool(|r| {
        let Some(text) = a.get(r) else { return Ok(None) };
        let kind = Reader::new(text)
            .and_then(|json| json.kind())
            .map_err(|Malformed| bad_argument("Invalid JSON value"))?;
        Ok(Some(!matches!(kind, Kind::Object | Kind::Array)))
    })
}

fn array_contains<T>(
    c: &Call,
    wanted: impl Fn(usize) -> Result<Option<T>>,
    same: impl Fn(&Reader<'_>, &T) -> bool,
) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build_bool(|r| {
        let (Some(text), Some(wanted)) = (a.get(r), wanted(r)?) else {
            return Ok(None);
        };
        let Ok(json) = Reader::new(text) else {
            return Ok(None);
        };
        if json.kind() != Ok(Kind::Array) {
            return Ok(None);
        }
        Ok(json
            .list()
            .ok()
            .map(|items| items.iter().any(|(_, item)| same(item, &wanted))))
    })
}

/// What `CAST(json AS varchar)` gives: the content of a string, the text of a scalar, NULL for `null`.
///
/// # Errors
/// `INVALID_CAST_ARGUMENT` for arrays and objects.
pub(crate) fn json_to_text(text: &str) -> Result<Option<String>> {
    let failed = |Malformed| bad_cast("Cannot cast malformed json");
    let json = Reader::new(text).map_err(failed)?;
    match json.kind().map_err(failed)? {
        Kind::Null => Ok(None),
        Kind::Text => json.string().map(Some).map_err(failed),
        Kind::Number => {
            let raw = json.raw().map_err(failed)?;
            Ok(Some(match raw.parse::<f64>() {
                Ok(value) if raw.contains(['.', 'e', 'E']) => crate::semantics::format_double(value),
                _ => raw.to_owned(),
            }))
        }
        Kind::Boolean => json.raw().map(|s| Some(s.to_owned())).map_err(failed),
        Kind::Object => Err(bad_cast("Unexpected token when cast to a scalar type: {")),
        Kind::Array => Err(bad_cast("Unexpected token when cast to a scalar type: [")),
    }
}

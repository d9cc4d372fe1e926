//! URLs: parts by RFC 3986, form encoding.

use std::borrow::Cow;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use percent_encoding::percent_decode_str;

use super::call::Call;
use super::signature::Param::Varchar;
use super::signature::over;
use super::udf::{Spec, spec};
use crate::semantics::error::bad_argument;

const UTF8: &DataType = &DataType::Utf8;

pub(super) static SPECS: &[Spec] = &[
    spec(
        "url_extract_protocol",
        &[],
        &[over(&[Varchar], UTF8, |c| {
            part(c, |u| Some(u.scheme.unwrap_or("").into()))
        })],
    ),
    spec(
        "url_extract_host",
        &[],
        &[over(&[Varchar], UTF8, |c| {
            part(c, |u| Some(u.host().unwrap_or("").into()))
        })],
    ),
    spec(
        "url_extract_path",
        &[],
        &[over(&[Varchar], UTF8, |c| {
            part(c, |u| Some(decode_percent(u.path)))
        })],
    ),
    spec(
        "url_extract_query",
        &[],
        &[over(&[Varchar], UTF8, |c| {
            part(c, |u| Some(u.query.map(decode_percent).unwrap_or_default()))
        })],
    ),
    spec(
        "url_extract_fragment",
        &[],
        &[over(&[Varchar], UTF8, |c| {
            part(c, |u| Some(u.fragment.map(decode_percent).unwrap_or_default()))
        })],
    ),
    spec(
        "url_extract_port",
        &[],
        &[over(&[Varchar], &DataType::Int64, port)],
    ),
    spec(
        "url_extract_parameter",
        &[],
        &[over(&[Varchar, Varchar], UTF8, parameter)],
    ),
    spec("url_encode", &[], &[over(&[Varchar], UTF8, encode)]),
    spec("url_decode", &[], &[over(&[Varchar], UTF8, decode)]),
];

struct Url<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// Parts of a URI; `None` when `java.net.URI` would not parse it.
    fn parse(text: &'a str) -> Option<Self> {
        let bad = |c: char| {
            c.is_ascii_control() || matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
        };
        if text.contains(bad) || !percent_is_complete(text) {
            return None;
        }
        let (rest, fragment) = match text.split_once('#') {
            Some((_, f)) if f.contains('#') => return None,
            Some((rest, f)) => (rest, Some(f)),
            None => (text, None),
        };
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(r, q)| (r, Some(q)));
        let scheme_end = rest.find([':', '/']).filter(|i| rest.as_bytes()[*i] == b':');
        let (scheme, rest) = match scheme_end {
            Some(0) => return None,
            Some(i) => {
                let scheme = &rest[..i];
                let ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
                if !ok {
                    return None;
                }
                (Some(scheme), &rest[i + 1..])
            }
            None => (None, rest),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(after) => {
                let end = after.find('/').unwrap_or(after.len());
                (Some(&after[..end]).filter(|a| !a.is_empty()), &after[end..])
            }
            None => (None, rest),
        };
        if path.contains(['[', ']']) {
            return None;
        }
        Some(Self {
            scheme,
            authority,
            path,
            query,
            fragment,
        })
    }

    fn host_port(&self) -> Option<(&'a str, Option<&'a str>)> {
        let authority = self.authority?;
        let server = authority.rsplit_once('@').map_or(authority, |(_, s)| s);
        if let Some(inner) = server.strip_prefix('[') {
            let end = inner.find(']')?;
            return Some((&server[..end + 2], inner[end + 1..].strip_prefix(':')));
        }
        Some(
            server
                .rsplit_once(':')
                .map_or((server, None), |(h, p)| (h, Some(p))),
        )
    }

    fn host(&self) -> Option<&'a str> {
        let (host, port) = self.host_port()?;
        // A registry-based authority has no host to Java.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let ok = host.starts_with('[') || host.chars().all(plain);
        (ok && port.is_none_or(|p| p.bytes().all(|b| b.is_ascii_digit()))).then_some(host)
    }
}

fn percent_is_complete(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'%')
        .all(|(i, _)| {
            bytes
                .get(i + 1..i + 3)
                .is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
        })
}

fn decode_percent(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// As HTML forms encode: `+` is a space.
fn decode_form(text: &str) -> String {
    decode_percent(&text.replace('+', " "))
}

fn part(c: &Call, f: impl Fn(&Url<'_>) -> Option<String>) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build_text(|r| Ok(a.get(r).and_then(Url::parse).and_then(|u| f(&u)).map(Cow::Owned)))
}

fn port(c: &Call) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build::<Int64Type>(|r| {
        Ok(a.get(r)
            .and_then(Url::parse)
            .filter(|u| u.host().is_some())
            .and_then(|u| u.host_port()?.1?.parse().ok()))
    })
}

fn parameter(c: &Call) -> Result<ArrayRef> {
    let (a, name) = (c.text(0)?, c.text(1)?);
    c.build_text(|r| {
        let (Some(text), Some(name)) = (a.get(r), name.get(r)) else {
            return Ok(None);
        };
        let found = Url::parse(text).and_then(|u| u.query).and_then(|query| {
            query
                .split('&')
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .find(|(key, _)| *key == name)
        });
        Ok(found.map(|(_, value)| decode_form(value).into()))
    })
}

fn encode(c: &Call) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build_text(|r| {
        let Some(text) = a.get(r) else { return Ok(None) };
        let mut out = String::with_capacity(text.len() + 8);
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => {
                    out.push(char::from(byte))
                }
                b' ' => out.push('+'),
                other => out.push_str(&format!("%{other:02X}")),
            }
        }
        Ok(Some(out.into()))
    })
}

fn decode(c: &Call) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build_text(|r| {
        let Some(text) = a.get(r) else { return Ok(None) };
        if !percent_is_complete(text) {
            return Err(bad_argument("URLDecoder: Incomplete trailing escape (%) pattern"));
        }
        Ok(Some(decode_form(text).into()))
    })
}

//! Bytes: hex, base64, UTF-8, digests. Text has to become bytes with `to_utf8` first, as in Trino.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::call::Call;
use super::signature::Param::{Varbinary, Varchar};
use super::signature::over;
use super::udf::{Spec, spec};
use crate::semantics::error::bad_argument;

const UTF8: &DataType = &DataType::Utf8;
const BYTES: &DataType = &DataType::Binary;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) static SPECS: &[Spec] = &[
    spec(
        "to_utf8",
        &[],
        &[over(&[Varchar], BYTES, |c| {
            let a = c.text(0)?;
            c.build_bytes(|r| Ok(a.get(r).map(|s| s.as_bytes().to_vec())))
        })],
    ),
    spec(
        "from_utf8",
        &[],
        &[over(&[Varbinary], UTF8, |c| {
            let a = c.bytes(0)?;
            c.build_text(|r| Ok(a.get(r).map(String::from_utf8_lossy)))
        })],
    ),
    spec(
        "to_hex",
        &[],
        &[over(&[Varbinary], UTF8, |c| {
            let a = c.bytes(0)?;
            c.build_text(|r| {
                Ok(a.get(r)
                    .map(|b| b.iter().map(|x| format!("{x:02X}")).collect::<String>().into()))
            })
        })],
    ),
    spec(
        "from_hex",
        &[],
        &[over(&[Varchar], BYTES, |c| {
            let a = c.text(0)?;
            c.build_bytes(|r| a.get(r).map(from_hex).transpose())
        })],
    ),
    spec(
        "to_base64",
        &[],
        &[over(&[Varbinary], UTF8, |c| to_base64(c, STANDARD))],
    ),
    spec(
        "to_base64url",
        &[],
        &[over(&[Varbinary], UTF8, |c| to_base64(c, URL_SAFE))],
    ),
    spec(
        "from_base64",
        &[],
        &[over(&[Varchar], BYTES, |c| from_base64(c, STANDARD))],
    ),
    spec(
        "from_base64url",
        &[],
        &[over(&[Varchar], BYTES, |c| from_base64(c, URL_SAFE))],
    ),
    spec("md5", &[], &[over(&[Varbinary], BYTES, |c| digest(c, "md5"))]),
    spec(
        "sha256",
        &[],
        &[over(&[Varbinary], BYTES, |c| digest(c, "sha256"))],
    ),
    spec(
        "sha512",
        &[],
        &[over(&[Varbinary], BYTES, |c| digest(c, "sha512"))],
    ),
    spec(
        "crc32",
        &[],
        &[over(&[Varbinary], &DataType::Int64, |c| {
            let a = c.bytes(0)?;
            c.build::<Int64Type>(|r| Ok(a.get(r).map(|b| i64::from(crc32(b)))))
        })],
    ),
];

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let failed = || bad_argument(format!("Invalid input string: {text}"));
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err(failed());
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    digits
        .chunks(2)
        .map(|p| {
            digit(p[0])
                .zip(digit(p[1]))
                .map(|(h, l)| h << 4 | l)
                .ok_or_else(failed)
        })
        .collect()
}

fn to_base64(c: &Call, alphabet: &[u8; 64]) -> Result<ArrayRef> {
    let a = c.bytes(0)?;
    c.build_text(|r| Ok(a.get(r).map(|bytes| encode(bytes, alphabet).into())))
}

fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(alphabet[(word >> (18 - 6 * i)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

fn from_base64(c: &Call, alphabet: &[u8; 64]) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build_bytes(|r| {
        let Some(text) = a.get(r) else { return Ok(None) };
        decode(text, alphabet)
            .map(Some)
            .ok_or_else(|| bad_argument(format!("Illegal base64 text: {text}")))
    })
}

/// Java's basic decoder: padding may be left out, but when there it has to be complete.
fn decode(text: &str, alphabet: &[u8; 64]) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    if padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) || body.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(body.len() / 4 * 3 + 2);
    for chunk in body.as_bytes().chunks(4) {
        let mut word = 0_u32;
        for i in 0..4 {
            let six = match chunk.get(i) {
                None => 0,
                Some(b) => u32::try_from(alphabet.iter().position(|a| a == b)?).ok()?,
            };
            word = word << 6 | six;
        }
        let bytes = word.to_be_bytes();
        out.extend_from_slice(&bytes[1..chunk.len()]);
    }
    Some(out)
}

/// DataFusion's digests of binary values are binary, as Trino's.
fn digest(c: &Call, algorithm: &str) -> Result<ArrayRef> {
    let array = Arc::clone(c.any(0)?.array());
    let rows = array.len();
    let field = |name: &str, t: DataType| Arc::new(Field::new(name, t, true));
    let out = datafusion::functions::crypto::digest().invoke_with_args(ScalarFunctionArgs {
        args: vec![
            ColumnarValue::Array(array),
            ColumnarValue::Scalar(ScalarValue::from(algorithm)),
        ],
        arg_fields: vec![field("value", DataType::Binary), field("method", DataType::Utf8)],
        number_rows: rows,
        return_field: field("digest", DataType::Binary),
        config_options: Arc::new(ConfigOptions::default()),
    })?;
    let out = out.into_array(rows)?;
    if rows == c.rows {
        return Ok(out);
    }
    let zeros = arrow::array::UInt32Array::from(vec![0_u32; c.rows]);
    Ok(arrow::compute::take(&out, &zeros, None)?)
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

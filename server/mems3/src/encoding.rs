//! Text forms of bytes and names on the wire: base64, URL encoding, continuation tokens.

use std::fmt::Write;

use s3s::{S3Result, s3_error};

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, b| group << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = ALPHABET[(group >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    out
}

/// Percent-encodes a name for `encoding-type=url`.
pub(crate) fn url_encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte))
            }
            _ => {
                // Writing to a string does not fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// The token that continues a listing after `name`.
pub(crate) fn encode_token(name: &str) -> String {
    hex::encode(name)
}

/// Continuation tokens are opaque to clients: the last name of the page in hex.
pub(crate) fn decode_token(token: &str) -> S3Result<String> {
    let bytes = hex::decode(token).ok();
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_rfc_4648_vectors() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (plain, coded) in vectors {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn listings_can_be_url_encoded() {
        assert_eq!(url_encode("a b/c+%é"), "a%20b/c%2B%25%C3%A9");
    }

    #[test]
    fn tokens_come_back_as_the_name_and_forged_ones_are_refused() {
        assert_eq!(decode_token(&encode_token("a/é")).unwrap(), "a/é");
        assert!(decode_token("a/é").is_err());
        assert!(decode_token("ff").is_err());
    }
}

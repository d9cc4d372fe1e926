//! Where partitions lie: `storage.location.template`, or Hive's directories below LOCATION.
//!
//! Substituted values are never looked at again for placeholders, and no value can add a `.` or `..`
//! segment; whether the result lies below an allowed root is for `scan` to say.

use super::registered::push_hive_segment;

/// Longest injected value: no longer name could be an object key.
const MAX_VALUE_BYTES: usize = 1_024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// Index of the partition column.
    Column(usize),
}

/// How a partition's location is made of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// LOCATION with its last slash; `name=value/` for each column follows, escaped.
    Hive { base: String, columns: Vec<String> },
    /// Pieces of the template, its last slash included; values stand in them as they are.
    Template(Vec<Piece>),
}

impl Layout {
    /// Hive's directories below `location`.
    pub(super) fn hive(location: &str, columns: Vec<String>) -> Self {
        let slash = if location.ends_with('/') { "" } else { "/" };
        Self::Hive {
            base: format!("{location}{slash}"),
            columns,
        }
    }

    /// Reads a template; `columns` are names and whether the column is injected. The error says what is
    /// wrong and what would be right.
    pub(super) fn template(text: &str, columns: &[(&str, bool)]) -> Result<Self, String> {
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(format!("holds the control character {c:?}; remove it"));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, placeholder) = (&rest[..at], &rest[at + 2..]);
            let (name, after) = placeholder
                .split_once('}')
                .ok_or_else(|| format!("= '{text}' has a placeholder without its closing brace"))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let column = columns
                .iter()
                .position(|(column, _)| column.eq_ignore_ascii_case(name));
            pieces.push(Piece::Column(column.ok_or_else(|| {
                let known: Vec<String> = columns
                    .iter()
                    .map(|(column, _)| format!("${{{column}}}"))
                    .collect();
                format!(
                    "= '{text}' has the unknown placeholder ${{{name}}}; the partition columns are {}",
                    known.join(", ")
                )
            })?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        if let Some((missing, _)) = columns
            .iter()
            .enumerate()
            .find_map(|(index, column)| (!pieces.contains(&Piece::Column(index))).then_some(column))
        {
            return Err(format!(
                "= '{text}' is missing partition column: '{missing}' placeholder; add ${{{missing}}}"
            ));
        }
        check_root(text, &pieces, columns)?;
        // Without its slash `.../dev1` would also stand for `.../dev10`.
        if !text.ends_with('/') {
            pieces.push(Piece::Text("/".to_owned()));
        }
        Ok(Self::Template(pieces))
    }

    /// The location of the partition whose values print as `values` (one per column, in order).
    pub(super) fn location<'a>(&self, value: impl Fn(usize) -> &'a str) -> String {
        match self {
            Self::Hive { base, columns } => {
                let mut out = base.clone();
                for (index, name) in columns.iter().enumerate() {
                    push_hive_segment(&mut out, name, value(index));
                }
                out
            }
            Self::Template(pieces) => pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.as_str(),
                    Piece::Column(index) => value(*index),
                })
                .collect(),
        }
    }

    /// Refuses a value of the table's definition (an enum item, a printed date) that could change the shape
    /// of a location. Within a template it may hold slashes, but only between non-empty parts; so every
    /// segment it takes part in holds text that is neither empty nor dots alone.
    pub(super) fn check_defined(&self, value: &str) -> Result<(), String> {
        if matches!(self, Self::Hive { .. }) {
            return Ok(());
        }
        for part in value.split('/') {
            if part.is_empty() || part == "." || part == ".." {
                return Err(format!(
                    "gives '{value}', which cannot stand in a location: between slashes there must be more than \
                     nothing, '.' or '..'"
                ));
            }
        }
        Ok(())
    }
}

/// Scheme and bucket must be plain, injected values stay out of them, no segment of the template is `.` or `..`.
fn check_root(text: &str, pieces: &[Piece], columns: &[(&str, bool)]) -> Result<(), String> {
    let scheme_end = match pieces.first() {
        Some(Piece::Text(first)) => first.find("://"),
        _ => None,
    };
    let Some(scheme_end) = scheme_end else {
        return Err(format!(
            "= '{text}' needs to begin with a scheme and bucket, such as 's3://bucket/'"
        ));
    };
    let mut in_bucket = true;
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(part) => {
                let skip = if at == 0 { scheme_end + 3 } else { 0 };
                in_bucket &= !part[skip..].contains('/');
            }
            Piece::Column(index) => {
                if let (true, Some((name, true))) = (in_bucket, columns.get(*index)) {
                    return Err(format!(
                        "= '{text}' has the injected column '{name}' in its bucket name, where a query could choose \
                         any bucket; put ${{{name}}} behind the bucket's slash"
                    ));
                }
            }
        }
    }
    if text[scheme_end + 3..]
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err(format!(
            "= '{text}' has a '.' or '..' segment; write the path without it"
        ));
    }
    Ok(())
}

/// Whether a query may give `value` for an injected column; the error names what is wrong with it.
///
/// It becomes one path segment, or a part of one, as it is: anything that could leave that segment for some
/// reader of the location, also after percent-decoding, is refused.
pub(super) fn check_injected(value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("is empty");
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err("is longer than 1024 bytes");
    }
    let mut decoded = value.as_bytes().to_vec();
    loop {
        if decoded.contains(&b'/') {
            return Err("contains a slash");
        }
        if decoded.contains(&b'\\') {
            return Err("contains a backslash");
        }
        if decoded.iter().any(u8::is_ascii_control) || value.chars().any(char::is_control) {
            return Err("contains a control character");
        }
        if decoded == b"." || decoded == b".." {
            return Err("is a relative path");
        }
        let next = percent_decoded(&decoded);
        if next.len() == decoded.len() {
            return Ok(());
        }
        decoded = next;
    }
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let hex = |b: &u8| {
        char::from(*b)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first == b'%'
            && let [high, low, behind @ ..] = behind
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            out.push(high << 4 | low);
            rest = behind;
        } else {
            out.push(*first);
        }
    }
    out
}

//! Names and texts as PostgreSQL reads them, whatever they hold.

use super::error::PostgresError;

/// A quoted identifier.
///
/// # Errors
/// A name with NUL, which the protocol cannot carry.
pub fn identifier(name: &str) -> Result<String, PostgresError> {
    refuse_nul(name)?;
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// A quoted text, read the same way whatever `standard_conforming_strings` says.
///
/// # Errors
/// A text with NUL, which the database cannot hold.
pub fn literal(text: &str) -> Result<String, PostgresError> {
    refuse_nul(text)?;
    let doubled = text.replace('\'', "''");
    Ok(if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    })
}

fn refuse_nul(text: &str) -> Result<(), PostgresError> {
    if text.contains('\0') {
        return Err(PostgresError::Nul);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_stay_inside() {
        assert_eq!(identifier(r#"a"b\c.d"#).unwrap(), r#""a""b\c.d""#);
        assert_eq!(literal("it's").unwrap(), "'it''s'");
        assert_eq!(literal(r"a\'b").unwrap(), r"E'a\\''b'");
        assert!(literal("a\0b").is_err() && identifier("\0").is_err());
    }
}

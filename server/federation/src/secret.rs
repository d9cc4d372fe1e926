//! Texts that may hold secrets: by reference (`${ENV:X}`, `${FILE:X}`) where somebody wants that, masked everywhere.
//! What a variable or a file holds is asked when a connection is made, so that a changed password is the next one used.

use std::fmt;
use std::sync::Arc;

/// Where references lead. The service reads the environment; this room never does.
pub trait SecretSource: Send + Sync + fmt::Debug {
    /// The value of an environment variable, where it is set and may be referred to.
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a file, where it may be referred to.
    ///
    /// # Errors
    /// When it cannot be read.
    fn file(&self, path: &str) -> std::io::Result<String>;
}

/// A text with references, as it was written. `Debug` and `Display` show the references, and nothing else of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Arc<str>);

/// Why a reference leads nowhere. Texts name the reference, never what it holds.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Neither `${ENV:X}` nor `${FILE:X}`.
    #[error("a reference is `${{ENV:NAME}}` or `${{FILE:/path}}`")]
    Form,
    /// Not set, or not for reference.
    #[error("environment variable {0} is not set, or not allowed as a reference")]
    Variable(String),
    /// Not readable, or not for reference.
    #[error("file `{path}` cannot be read, or is not allowed as a reference")]
    File {
        /// As written.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A piece of a text.
enum Piece<'a> {
    Plain(&'a str),
    Variable(&'a str),
    File(&'a str),
}

impl SecretText {
    /// Takes a text as it was written.
    ///
    /// # Errors
    /// When a reference in it is malformed.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, SecretError> {
        let text = Self(text.into());
        text.pieces().map(|_| text.clone())
    }

    /// The text with its references replaced; a line end at the end of a file is no part of the secret.
    ///
    /// # Errors
    /// When a reference leads nowhere.
    pub fn expose(&self, source: &dyn SecretSource) -> Result<String, SecretError> {
        let mut out = String::new();
        for piece in self.pieces()? {
            match piece {
                Piece::Plain(text) => out.push_str(text),
                Piece::Variable(name) => out.push_str(
                    &source
                        .variable(name)
                        .ok_or_else(|| SecretError::Variable(name.to_owned()))?,
                ),
                Piece::File(path) => {
                    let content = source.file(path).map_err(|source| SecretError::File {
                        path: path.to_owned(),
                        source,
                    })?;
                    out.push_str(content.trim_end_matches(['\n', '\r']));
                }
            }
        }
        Ok(out)
    }

    /// As users may see it: a text that is one reference as written, anything else masked.
    pub fn masked(&self) -> &str {
        match self.pieces().as_deref() {
            Ok([Piece::Variable(_) | Piece::File(_)]) => &self.0,
            _ => "***",
        }
    }

    fn pieces(&self) -> Result<Vec<Piece<'_>>, SecretError> {
        let mut pieces = Vec::new();
        let mut rest = &*self.0;
        while let Some((before, after)) = rest.split_once("${") {
            if !before.is_empty() {
                pieces.push(Piece::Plain(before));
            }
            let (reference, tail) = after.split_once('}').ok_or(SecretError::Form)?;
            pieces.push(match reference.split_once(':') {
                Some(("ENV", name)) if !name.is_empty() => Piece::Variable(name),
                Some(("FILE", path)) if !path.is_empty() => Piece::File(path),
                _ => return Err(SecretError::Form),
            });
            rest = tail;
        }
        if !rest.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Plain(rest));
        }
        Ok(pieces)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.masked())
    }
}

impl fmt::Display for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed;

    impl SecretSource for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "PW").then(|| "from the environment".to_owned())
        }

        fn file(&self, path: &str) -> std::io::Result<String> {
            match path {
                "/run/secrets/pw" => Ok("from a file\r\n".to_owned()),
                _ => Err(std::io::ErrorKind::NotFound.into()),
            }
        }
    }

    #[test]
    fn references_are_replaced_and_the_rest_stays() {
        let exposed = |text: &str| SecretText::new(text).unwrap().expose(&Fixed).unwrap();
        assert_eq!(exposed("${ENV:PW}"), "from the environment");
        assert_eq!(exposed("a${FILE:/run/secrets/pw}b$c}"), "afrom a fileb$c}");
        assert_eq!(exposed(""), "");
    }

    #[test]
    fn nothing_shows_a_secret() {
        for (text, shown) in [
            ("hunter2", "***"),
            ("", "***"),
            ("${ENV:PW}", "${ENV:PW}"),
            ("${ENV:PW}hunter2", "***"),
        ] {
            let secret = SecretText::new(text).unwrap();
            assert_eq!(format!("{secret:?} {secret}"), format!("{shown} {shown}"));
        }
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_named() {
        for (text, error) in [
            ("${ENV:NO}", "environment variable NO is not set"),
            ("${FILE:/no}", "file `/no` cannot be read"),
        ] {
            let failed = SecretText::new(text).unwrap().expose(&Fixed).unwrap_err();
            assert!(failed.to_string().starts_with(error), "{failed}");
        }
        for text in ["${ENV:PW", "${PW}", "${ENV:}", "${env:PW}"] {
            assert!(matches!(SecretText::new(text), Err(SecretError::Form)), "{text}");
        }
    }
}

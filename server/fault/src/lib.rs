//! What went wrong, independent of where: one concrete [`Fault`] that every room's typed error converts into.
//!
//! Leaf room: it knows no SQL engine, wire protocol or store. `service/src/flight/status.rs` maps
//! [`Kind`] to gRPC codes; nothing else does.

mod code;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use code::{Code, Kind};

/// Whether the same request may succeed later without a change by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retry {
    /// The same request fails the same way.
    #[default]
    Never,
    /// The cause is passing; a delay is given where one is known.
    Later(Option<Duration>),
}

/// Place in the SQL text, both 1-based.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Line of the text.
    pub line: u64,
    /// Column (characters) in that line.
    pub column: u64,
}

/// One failure: stable code, text that a client may see, what to do about it, and the cause kept for the log.
///
/// `Display` is the text users see: `CODE: what, line L:C. Hint`. The cause is never part of it.
#[derive(Clone)]
pub struct Fault {
    inner: Box<Inner>,
}

#[derive(Clone)]
struct Inner {
    code: Code,
    what: String,
    hint: Option<String>,
    location: Option<Location>,
    retry: Retry,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A failure with `code` and the client-safe sentence `what` (no paths of ours, hosts, credentials).
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                code,
                what: what.into(),
                hint: None,
                location: None,
                retry: Retry::Never,
                source: None,
            }),
        }
    }

    /// Adds what the reader can do about it (a sentence).
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    /// Adds the place in the SQL text.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.inner.location = Some(location);
        self
    }

    /// Says when a retry makes sense.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.inner.retry = retry;
        self
    }

    /// Keeps the cause for the log; clients never see it.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.inner.source = Some(Arc::new(source));
        self
    }

    /// Keeps an already shared cause.
    #[must_use]
    pub fn with_shared_source(mut self, source: Arc<dyn Error + Send + Sync>) -> Self {
        self.inner.source = Some(source);
        self
    }

    /// The stable error name, as Trino and Athena spell it.
    pub fn code(&self) -> Code {
        self.inner.code
    }

    /// The class of failure; decides the gRPC code.
    pub fn kind(&self) -> Kind {
        self.inner.code.kind()
    }

    /// The sentence that says what went wrong.
    pub fn what(&self) -> &str {
        &self.inner.what
    }

    /// What to do about it, where known.
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// The place in the SQL text, where known.
    pub fn location(&self) -> Option<Location> {
        self.inner.location
    }

    /// Whether a retry can help.
    pub fn retry(&self) -> Retry {
        self.inner.retry
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.inner.code, self.inner.what)?;
        if let Some(Location { line, column }) = self.inner.location {
            write!(f, ", line {line}:{column}")?;
        }
        if let Some(hint) = &self.inner.hint {
            let end = if self.inner.what.ends_with('.') { "" } else { "." };
            write!(f, "{end} {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("code", &self.inner.code)
            .field("what", &self.inner.what)
            .field("hint", &self.inner.hint)
            .field("location", &self.inner.location)
            .field("retry", &self.inner.retry)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}

/// Finds the first [`Fault`] in an error's chain, the error itself included.
///
/// Errors of ours cross foreign layers (DataFusion, Parquet, object_store) boxed; those layers keep
/// them as `source`, sometimes several wrappers deep.
pub fn fault_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Fault> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(fault) = e.downcast_ref::<Fault>() {
            return Some(fault);
        }
        next = e.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Wrapper(Fault);
    impl fmt::Display for Wrapper {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }
    impl Error for Wrapper {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn text_has_code_place_and_hint_but_no_cause() {
        let fault = Fault::new(Code::SyntaxError, "mismatched input 'FORM'")
            .at(Location { line: 1, column: 10 })
            .with_hint("Did you mean FROM?")
            .with_source(std::io::Error::other("secret detail"));
        assert_eq!(
            fault.to_string(),
            "SYNTAX_ERROR: mismatched input 'FORM', line 1:10. Did you mean FROM?"
        );
    }

    #[test]
    fn a_fault_is_found_below_wrappers() {
        let wrapped = Wrapper(Fault::new(Code::TableNotFound, "x"));
        assert_eq!(fault_of(&wrapped).map(Fault::code), Some(Code::TableNotFound));
        assert!(fault_of(&std::io::Error::other("plain")).is_none());
    }

    #[test]
    fn every_code_has_a_distinct_upper_case_name() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            let name = code.as_str();
            assert!(
                name.bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert!(seen.insert(name), "{name} twice");
        }
    }
}

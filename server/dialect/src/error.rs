//! What can be wrong with a statement, before the engine has seen it.

use datafusion::error::DataFusionError;
use owlake_catalog::CatalogError;
use owlake_fault::{Code, Fault, Location, fault_of};

/// Failures of the dialect room. `Display` is the sentence without code, place and hint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialectError {
    /// The text is not a statement of the grammar.
    #[error("{message}")]
    Syntax {
        /// What was found and what was expected.
        message: String,
        /// Where.
        location: Option<Location>,
        /// What to write instead.
        hint: Option<String>,
    },
    /// Athena has it, this server refuses it rather than answer differently.
    #[error("{message}")]
    NotSupported {
        /// A sentence: what is not supported.
        message: String,
        /// Where.
        location: Option<Location>,
        /// What to do instead.
        hint: Option<String>,
    },
    /// A limit of [`crate::GuardLimits`].
    #[error("the statement's {measure} is {value}, the limit is {limit}")]
    TooLarge {
        /// What was measured.
        measure: &'static str,
        /// What it is; a lower bound when counting stopped at the limit.
        value: u64,
        /// What it may be.
        limit: u64,
    },
    /// Placeholders that cannot be bound.
    #[error("{message}")]
    Parameters {
        /// A sentence.
        message: String,
    },
    /// Operand types that do not fit.
    #[error("{message}")]
    TypeMismatch {
        /// A sentence.
        message: String,
        /// Where, if known.
        location: Option<Location>,
    },
    /// A function refused its argument.
    #[error("{message}")]
    InvalidFunctionArgument {
        /// A sentence that names the function.
        message: String,
    },
    /// A definition the catalog's rules refuse, such as a column type.
    #[error("{source}")]
    Definition {
        /// The catalog's own words.
        source: CatalogError,
        /// Where.
        location: Option<Location>,
    },
    /// The planner failed while a plan was checked or rewritten.
    #[error("planning failed")]
    DataFusion(#[from] DataFusionError),
}

impl DialectError {
    /// A syntax error at `location`.
    pub fn syntax(message: impl Into<String>, location: impl Into<Option<Location>>) -> Self {
        Self::Syntax {
            message: message.into(),
            location: location.into(),
            hint: None,
        }
    }

    /// A refusal at `location`.
    pub fn not_supported(message: impl Into<String>, location: impl Into<Option<Location>>) -> Self {
        Self::NotSupported {
            message: message.into(),
            location: location.into(),
            hint: None,
        }
    }

    /// Adds what to do about it, where the variant has room for it.
    #[must_use]
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Syntax { hint, .. } | Self::NotSupported { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// Gives `place` to an error of the text that has none.
    #[must_use]
    pub(crate) fn or_at(mut self, place: Location) -> Self {
        if let Self::Syntax { location, .. } | Self::NotSupported { location, .. } = &mut self {
            location.get_or_insert(place);
        }
        self
    }

    /// The place in the text, where known.
    pub fn location(&self) -> Option<Location> {
        match self {
            Self::Syntax { location, .. }
            | Self::NotSupported { location, .. }
            | Self::TypeMismatch { location, .. }
            | Self::Definition { location, .. } => *location,
            Self::TooLarge { .. }
            | Self::Parameters { .. }
            | Self::InvalidFunctionArgument { .. }
            | Self::DataFusion(_) => None,
        }
    }
}

impl From<DialectError> for Fault {
    fn from(error: DialectError) -> Self {
        use DialectError as E;
        let location = error.location();
        let fault = match error {
            E::Syntax { message, hint, .. } => hinted(Self::new(Code::SyntaxError, message), hint),
            E::NotSupported { message, hint, .. } => hinted(Self::new(Code::NotSupported, message), hint),
            E::TooLarge { .. } => Self::new(Code::QueryTextTooLarge, error.to_string())
                .with_hint("Split the statement, or move long lists into a table."),
            E::Parameters { message } => Self::new(Code::InvalidParameterUsage, message),
            E::TypeMismatch { message, .. } => Self::new(Code::TypeMismatch, message),
            E::InvalidFunctionArgument { message } => Self::new(Code::InvalidFunctionArgument, message),
            E::Definition { source, .. } => Self::from(source),
            // A fault of ours that crossed the planner keeps its code.
            E::DataFusion(source) => match fault_of(&source) {
                Some(fault) => fault.clone(),
                None => Self::new(Code::GenericInternalError, "planning failed").with_source(source),
            },
        };
        match location {
            Some(location) => fault.at(location),
            None => fault,
        }
    }
}

fn hinted(fault: Fault, hint: Option<String>) -> Fault {
    match hint {
        Some(hint) => fault.with_hint(hint),
        None => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_measure_value_and_limit() {
        let fault = Fault::from(DialectError::TooLarge {
            measure: "text size in bytes",
            value: 300_000,
            limit: 262_144,
        });
        assert_eq!(
            fault.to_string(),
            "QUERY_TEXT_TOO_LARGE: the statement's text size in bytes is 300000, the limit is 262144. Split the statement, or move long lists into a table."
        );
    }

    #[test]
    fn a_fault_that_crossed_the_planner_keeps_its_code() {
        let inner = Fault::new(Code::TableNotFound, "table `a.b` does not exist");
        let error = DialectError::from(DataFusionError::External(Box::new(inner)));
        assert_eq!(Fault::from(error).code(), Code::TableNotFound);
    }

    #[test]
    fn place_and_hint_reach_the_client() {
        let error =
            DialectError::syntax("unexpected 'x'", Location { line: 2, column: 3 }).with_hint("Remove it.");
        assert_eq!(
            Fault::from(error).to_string(),
            "SYNTAX_ERROR: unexpected 'x', line 2:3. Remove it."
        );
    }
}
